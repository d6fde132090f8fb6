//! Capturing packets, the pure half: filters as tcpdump has them, packets as lines for people, packets as pcapng for
//! Wireshark. The sockets are in `raum-kernel`.

mod compile;
pub mod expr;
pub mod machine;
mod parse;
pub mod pcapng;
pub mod summary;

pub use compile::{TooLong, compile};
pub use parse::parse;
