//! Filters as programs of classic BPF (Linux: Documentation/networking/filter.rst).
//!
//! Jumps go forward only, so the program is made from its end: whoever jumps knows already where to.

use super::expr::{Compare, Expr, Load, PACKET, Test};
use super::machine::{Instruction, code};

/// `BPF_MAXINSNS` (include/uapi/linux/bpf_common.h).
pub const INSTRUCTIONS_MAX: usize = 4096;

/// A filter has too many tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the filter becomes {0} instructions; the kernel takes {INSTRUCTIONS_MAX}")]
pub struct TooLong(pub usize);

/// The program that takes so many bytes of each frame that the filter takes.
///
/// # Errors
/// [`TooLong`]
pub fn compile(filter: Option<&Expr>, bytes: u32) -> Result<Vec<Instruction>, TooLong> {
    let mut program = Backwards(Vec::new());
    let refuse = program.add(code::RETURN, 0);
    let take = program.add(code::RETURN, bytes);
    let entry = match filter {
        Some(filter) => program.test(filter, take, refuse),
        None => take,
    };
    // whatever comes first must be the entry
    if entry != program.0.len() {
        program.jump(entry);
    }
    if program.0.len() > INSTRUCTIONS_MAX {
        return Err(TooLong(program.0.len()));
    }
    program.0.reverse();
    Ok(program.0)
}

/// Instructions, the last one first. A place is the number of instructions from there to the end.
struct Backwards(Vec<Instruction>);

impl Backwards {
    fn add(&mut self, code: u16, k: u32) -> usize {
        self.0.push(Instruction { code, jt: 0, jf: 0, k });
        self.0.len()
    }

    /// How many instructions there are between the next one that is added and a place.
    fn distance(&self, place: usize) -> usize {
        self.0.len() - place
    }

    fn jump(&mut self, to: usize) -> usize {
        let distance = u32::try_from(self.distance(to)).unwrap_or(u32::MAX);
        self.add(code::JUMP, distance)
    }

    /// A place near enough for a conditional jump, which has eight bits, when `more` instructions come before it.
    fn near(&mut self, to: usize, more: usize) -> usize {
        if self.distance(to) + more <= usize::from(u8::MAX) { to } else { self.jump(to) }
    }

    /// Where the test of a filter begins.
    fn test(&mut self, filter: &Expr, yes: usize, no: usize) -> usize {
        match filter {
            Expr::Not(inner) => self.test(inner, no, yes),
            Expr::And(first, second) => {
                let second = self.test(second, yes, no);
                self.test(first, second, no)
            }
            Expr::Or(first, second) => {
                let second = self.test(second, yes, no);
                self.test(first, yes, second)
            }
            Expr::Is(test) => self.compare(*test, yes, no),
        }
    }

    fn compare(&mut self, test: Test, yes: usize, no: usize) -> usize {
        // the second of two long jumps makes the first one longer by one
        let yes = self.near(yes, 1);
        let no = self.near(no, 0);
        let short = |distance: usize| u8::try_from(distance).unwrap_or(u8::MAX);
        let (jt, jf) = (short(self.distance(yes)), short(self.distance(no)));
        let code = match test.compare {
            Compare::Equal => code::JUMP_EQUAL,
            Compare::AtLeast => code::JUMP_AT_LEAST,
        };
        self.0.push(Instruction { code, jt, jf, k: test.value });
        if test.mask != u32::MAX {
            self.add(code::AND, test.mask);
        }
        match test.load {
            Load::At { offset, bytes } => self.add(code::load(bytes), offset),
            Load::BehindIpv4 { offset, bytes } => {
                self.add(code::load_behind(bytes), PACKET + offset);
                self.add(code::HEADER_LENGTH, PACKET)
            }
            Load::Length => self.add(code::LOAD_LENGTH, 0),
        }
    }
}
