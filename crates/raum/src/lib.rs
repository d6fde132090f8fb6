//! raum builds, changes, compares and removes networks of Linux network namespaces on one machine.
//!
//! Nothing here prints, exits or reads the environment.
#![forbid(unsafe_code)]

pub mod error;
pub mod exec;
pub mod ping;
pub mod place;
pub mod reach;
pub mod record;
pub mod resolve;

pub use error::Error;
pub use raum_core as core;
