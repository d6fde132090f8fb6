//! raum builds, changes, compares and removes networks of Linux network namespaces on one machine.
//!
//! A [`labs::Labs`] is the door: give it a lab ([`raum_core::lab::parse`]), and it brings the host there or leaves it as it
//! was.
//!
//! ```no_run
//! use std::sync::atomic::AtomicBool;
//!
//! let text = "lab: rooms\nnamespaces: { red: , blue: }\nlinks:\n  - ends: [red 10.0.0.1/24, blue 10.0.0.2/24]\n";
//! let name = "rooms".parse().expect("a name");
//! let lab = raum_core::lab::parse(text, &name).expect("no problems");
//! let mut labs = raum::Labs::open()?;
//! labs.up(lab, None, &AtomicBool::new(false), &mut |_, _, _| {})?;
//! labs.down(&name, &mut |_, _, _| {})?;
//! # Ok::<(), raum::Error>(())
//! ```
//!
//! Nothing here prints or exits, and the environment is not read but for the shell and the PATH of [`exec`].
#![forbid(unsafe_code)]

pub mod beside;
pub mod capture;
pub mod doctor;
pub mod edit;
pub mod error;
pub mod exec;
pub mod expect;
pub mod import;
mod known;
pub mod labs;
pub mod permission;
pub mod picture;
pub mod ping;
pub mod place;
pub mod reach;
pub mod record;
pub mod resolve;
pub mod scene;
pub mod trace;

pub use error::Error;
pub use labs::Labs;
pub use raum_core as core;
pub use raum_kernel::scene::Watcher;
