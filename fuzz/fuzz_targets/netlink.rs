//! Any bytes as the kernel's answer: `cargo +nightly fuzz run netlink`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    assert!(raum_kernel::garbage::decode(bytes) <= bytes.len());
});
