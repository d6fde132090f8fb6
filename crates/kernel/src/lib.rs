//! The kernel half of raum: it runs stages of operations and observes a state, over netlink sockets that it speaks itself.
//!
//! From the bottom up: [`message`] writes and reads netlink messages, [`socket`] sends them and matches the answers,
//! [`namespace`] enters network namespaces, [`nft`] speaks nf_tables and conntrack. [`sandbox`] gives a test a network of
//! its own. It knows no lab files and decides nothing: a plan comes in, outcomes go out. All of raum's `unsafe` is here.

pub mod errno;
pub mod message;
pub mod namespace;
pub mod nft;
pub mod processes;
pub mod sandbox;
pub mod socket;
pub mod view;
