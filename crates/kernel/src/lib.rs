//! The kernel half of raum: it runs stages of operations and observes a state, over netlink sockets that it speaks itself.
//!
//! From the bottom up: [`message`] writes and reads netlink messages, [`socket`] sends them and matches the answers,
//! [`namespace`] enters network namespaces, [`link`], [`address`] and [`route`] speak rtnetlink, [`nft`] nf_tables and conntrack. [`Linux`] does all of it behind the door [`raum_core::host::Host`]. [`sandbox`] gives a test a network of
//! its own. It knows no lab files and decides nothing: a plan comes in, outcomes go out. All of raum's `unsafe` is here.

pub mod address;
mod beside;
mod directory;
pub mod elevated;
pub mod errno;
pub mod fault;
pub mod firewalld;
#[doc(hidden)]
pub mod garbage;
pub mod guests;
pub mod link;
mod linux;
pub mod message;
pub mod names_folder;
pub mod namespace;
pub mod neighbours;
pub mod nft;
mod observe;
pub mod probe;
pub mod processes;
pub mod release;
pub mod route;
pub mod ruleset;
mod run;
pub mod sandbox;
pub mod scene;
pub mod socket;
mod space;
mod survey;
mod sysctl;
pub mod tap;
pub mod trace;
pub mod view;
mod workers;

pub use beside::Others;
pub use linux::{Linux, OpenError, TooFewFiles};
pub use survey::LabFound;
