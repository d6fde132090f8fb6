//! Classic BPF: its instructions, and an interpreter that does what the kernel does with those that filters are made of.

/// `struct sock_filter` (include/uapi/linux/filter.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Instruction {
    /// What to do.
    pub code: u16,
    /// Instructions to skip if a comparison holds.
    pub jt: u8,
    /// If it does not.
    pub jf: u8,
    /// The constant.
    pub k: u32,
}

/// Operation codes (include/uapi/linux/bpf_common.h: class, size, mode and operation added up).
pub mod code {
    /// `ld len`.
    pub const LOAD_LENGTH: u16 = 0x80;
    /// `ldx 4*([k]&0xf)`.
    pub const HEADER_LENGTH: u16 = 0xb1;
    /// `and #k`.
    pub const AND: u16 = 0x54;
    /// `ja k`.
    pub const JUMP: u16 = 0x05;
    /// `jeq #k`.
    pub const JUMP_EQUAL: u16 = 0x15;
    /// `jge #k`.
    pub const JUMP_AT_LEAST: u16 = 0x35;
    /// `ret #k`.
    pub const RETURN: u16 = 0x06;

    /// `ld`, `ldh`, `ldb` of an offset.
    #[must_use]
    pub const fn load(bytes: u8) -> u16 {
        match bytes {
            4 => 0x20,
            2 => 0x28,
            _ => 0x30,
        }
    }

    /// The same of `[x + k]`.
    #[must_use]
    pub const fn load_behind(bytes: u8) -> u16 {
        match bytes {
            4 => 0x40,
            2 => 0x48,
            _ => 0x50,
        }
    }
}

/// How many bytes of a frame a program takes; 0 if it refuses the frame, reads beyond its end, or is none.
#[must_use]
pub fn run(program: &[Instruction], frame: &[u8]) -> u32 {
    let (mut a, mut x, mut at) = (0_u32, 0_u32, 0_usize);
    let number = |offset: Option<u32>, bytes: usize| {
        let offset = usize::try_from(offset?).ok()?;
        let bytes = frame.get(offset..offset.checked_add(bytes)?)?;
        Some(bytes.iter().fold(0_u32, |number, byte| number << 8 | u32::from(*byte)))
    };
    // jumps go forward only: it ends
    while let Some(&Instruction { code, jt, jf, k }) = program.get(at) {
        at += 1;
        let loaded = match code {
            0x20 => number(Some(k), 4),
            0x28 => number(Some(k), 2),
            0x30 => number(Some(k), 1),
            0x40 => number(x.checked_add(k), 4),
            0x48 => number(x.checked_add(k), 2),
            0x50 => number(x.checked_add(k), 1),
            code::LOAD_LENGTH => Some(u32::try_from(frame.len()).unwrap_or(u32::MAX)),
            code::HEADER_LENGTH => {
                let Some(byte) = number(Some(k), 1) else { return 0 };
                x = (byte & 0xf) * 4;
                continue;
            }
            code::AND => Some(a & k),
            code::JUMP => {
                at = at.saturating_add(usize::try_from(k).unwrap_or(usize::MAX));
                continue;
            }
            code::JUMP_EQUAL => {
                at += usize::from(if a == k { jt } else { jf });
                continue;
            }
            code::JUMP_AT_LEAST => {
                at += usize::from(if a >= k { jt } else { jf });
                continue;
            }
            code::RETURN => return k,
            _ => return 0,
        };
        match loaded {
            Some(number) => a = number,
            None => return 0,
        }
    }
    0
}
