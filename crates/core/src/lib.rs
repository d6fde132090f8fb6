//! The pure half of raum: everything that can be decided without touching a machine.
//!
//! ```text
//! lab.yaml -parse-> Lab -check-> Lab -design-> State(desired) --+
//!                                                               +-diff-> Plan
//! kernel  -observe-----------------------> State(observed) -----+
//! ```
//!
//! Start with [`lab::Lab`] (what the user wants), then [`state::State`] (what a host has or should have), then
//! [`plan::Op`] (the smallest thing a host can be asked to do). The door to a real or an imagined host is [`host::Host`].
//! This crate opens no file, reads no clock, starts no process.
#![forbid(unsafe_code)]

pub mod beside;
pub mod capture;
pub mod design;
pub mod diff;
pub mod host;
pub mod import;
pub mod lab;
pub mod model;
pub mod name;
pub mod natural;
pub mod network_order;
pub mod nft;
pub mod picture;
pub mod plan;
pub mod problem;
pub mod render;
pub mod ruleset;
pub mod state;
pub mod trace;
pub mod view;
