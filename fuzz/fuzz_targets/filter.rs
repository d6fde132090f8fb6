//! Any text as a capture filter, any bytes as a frame: what is read is compiled and run, what is refused has its place, and a
//! packet is one printable line. `cargo +nightly fuzz run filter`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use raum_core::capture::machine::run;
use raum_core::capture::summary::line;
use raum_core::capture::{compile, parse};

fuzz_target!(|input: (&str, &[u8])| {
    let (text, frame) = input;
    match parse(text, &|_| Vec::new()) {
        Ok(filter) => {
            if let Ok(program) = compile(filter.as_ref(), 96) {
                assert!([0, 96].contains(&run(&program, frame)));
            }
        }
        Err(problem) => assert!(text.get(problem.span.clone()).is_some()),
    }
    assert!(!line(frame).contains(char::is_control));
});
