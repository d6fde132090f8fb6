//! The command `raum`.
fn main() {}
