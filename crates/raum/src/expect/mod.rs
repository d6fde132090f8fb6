//! Expectations put to the test: real packets between the namespaces of a lab, all at once, and who really gets them.
//!
//! ```text
//! Expectation -suite-> Trial (one for each family) -engine, wire, ears, listen-> Evidence -verdict-> Verdict
//! ```
//!
//! Every namespace of the lab is listened to by raw sockets: what they hear has passed all rules and translations of that
//! namespace and would be given to a program. So an arrival is known wherever it happens, with the sender as it is seen there,
//! and a `cannot reach` is proven by nobody having heard anything, not by a client's patience. For `reaches`, raum also
//! listens on the port itself if nobody does, and answers, so that the way back is tried too; where a program listens
//! already, that one is used: it gets a connection without a byte, or one datagram.

mod connect;
mod ears;
mod engine;
mod listen;
mod suite;
mod verdict;
mod wire;

use std::net::IpAddr;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use raum_core::host::OpError;
use raum_core::lab::expect::Service;
use raum_core::name::{NodeName, NsId};
use serde::Serialize;

pub use suite::{Suite, SuiteError};

/// Whose packets can be seen: a node of the lab, or the host.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    name: NodeName,
    ns: NsId,
    addresses: Vec<IpAddr>,
}

/// One expectation over one family.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Trial {
    /// Its number among the expectations.
    expectation: usize,
    /// Index of the place that sends.
    from: usize,
    to: IpAddr,
    service: Option<Service>,
    reaches: bool,
    /// Who shall get it; None for an address that nobody of the lab has.
    receiver: Option<Wanted>,
    /// The addresses that the receiver may see as the sender's; None for any.
    source: Option<Vec<IpAddr>>,
}

/// Who shall get a probe.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wanted {
    /// Index of the place.
    place: usize,
    /// At any of these addresses.
    addresses: Vec<IpAddr>,
    /// None for ICMP.
    port: Option<u16>,
}

/// How long things are waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// For what shall arrive.
    pub patience: Duration,
    /// For what shall not: so long nobody must hear anything.
    pub quiet: Duration,
}

/// What came of an expectation, over one family.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Its number among the expectations, from 0.
    #[serde(rename = "number")]
    pub expectation: usize,
    /// The address that was spoken to; None if there is none.
    #[serde(rename = "address")]
    pub to: Option<IpAddr>,
    /// Is it as expected?
    pub passed: bool,
    /// What was seen, in words.
    pub seen: String,
    /// A program that was there already took part, not raum's own listener.
    pub real: bool,
    /// From the beginning of all to the moment that it was clear; in JSON as microseconds.
    #[serde(rename = "time_us", serialize_with = "crate::ping::micros")]
    pub time: Duration,
}

/// Why nothing could be tried.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The kernel refuses what is needed for trying.
    #[error("cannot try from `{node}`: {cause}")]
    Refused {
        /// Where.
        node: NodeName,
        /// The kernel's answer.
        cause: OpError,
    },
    /// Somebody wants an end.
    #[error("interrupted: not everything was tried")]
    Stopped,
}

impl Suite {
    /// Tries everything at once. One verdict for each expectation and family, in order.
    ///
    /// # Errors
    /// [`RunError`]: a namespace is gone, no raw sockets are allowed, or `stop` was set.
    pub fn run(&self, limits: Limits, stop: &AtomicBool) -> Result<Vec<Verdict>, RunError> {
        let mut verdicts = if self.trials.is_empty() { Vec::new() } else { engine::run(self, limits, stop)? };
        verdicts.extend(self.impossible.iter().map(|(expectation, why)| Verdict {
            expectation: *expectation,
            to: None,
            passed: false,
            seen: why.clone(),
            real: false,
            time: Duration::ZERO,
        }));
        verdicts.sort_by_key(|verdict| verdict.expectation);
        Ok(verdicts)
    }
}
