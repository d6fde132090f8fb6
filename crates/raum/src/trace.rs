//! Why a packet does not arrive: its way followed in the live kernel, then a real packet watched on it.
//!
//! The walk and the diagnosis are [`raum_core::trace`], the questions to the kernel [`raum_kernel::trace`]; here they are put
//! together.

mod drift;
mod gone;

use std::fmt;
use std::time::Duration;

use ipnet::IpNet;
use raum_core::host::{ObserveError, OpError};
use raum_core::name::{LabName, NsId};
use raum_core::trace::{Cause, Code, Facts, Flow, Probe, Proto, Reply, Target, Trace, judge, trace};
use raum_core::view::Parts;
use raum_kernel::scene;
use raum_kernel::trace::{Kernel, Sender, probe};
use serde::Serialize;

use crate::place::Place;
use crate::resolve::{ResolveError, Resolved, address, in_scene, named, of_interfaces, resolve};

/// How long an answer is waited for. Everything is on this machine, or near it.
const WAIT: Duration = Duration::from_secs(1);

/// What came of it.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// From where, as typed.
    pub from: String,
    /// To where, as typed.
    pub to: String,
    /// It arrived; if it is something that is answered, the answer, too.
    pub delivered: bool,
    /// In one sentence.
    pub conclusion: String,
    /// The way as the configuration tells it, and the cause.
    #[serde(flatten)]
    pub trace: Trace,
    /// What became of a real packet.
    pub probe: Probe,
    /// What could not be looked at.
    pub notes: Vec<String>,
}

/// It cannot be traced at all.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// A name leads nowhere.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// The machine cannot be looked at.
    #[error(transparent)]
    Observe(#[from] ObserveError),
    /// No packet can be sent.
    #[error("no packet can be sent from {from}: {}", error.words())]
    Send {
        /// From where.
        from: String,
        /// Why.
        error: OpError,
    },
}

/// Traces a packet from a node or namespace.
///
/// # Errors
/// [`TraceError`]. That a packet does not arrive is none.
pub fn run(place: &Place, from: &str, target: &Target, v6: Option<bool>) -> Result<Report, TraceError> {
    let report = |trace: Trace, probe: Probe, notes: Vec<String>| Report {
        from: from.to_owned(),
        to: target.to.clone(),
        delivered: trace.cause.is_none(),
        conclusion: conclusion(&trace, &probe),
        trace,
        probe,
        notes,
    };
    let unspecified = if v6 == Some(true) { [0u8; 16].into() } else { [0u8; 4].into() };
    let mut flow =
        Flow { source: None, destination: unspecified, proto: target.proto, source_port: None, port: target.port };
    let (found, lost) = match resolve(place, from) {
        // a file can be there, and no namespace
        Ok(found) => {
            let lost = gone::at(place, &found);
            (Some(found), lost)
        }
        Err(ResolveError::Unknown(text)) => (None, gone::called(place, &text)?),
        Err(error) => return Err(error.into()),
    };
    let lost = match lost {
        None => gone::target(place, found.as_ref(), &target.to)?,
        lost => lost,
    };
    if let Some(cause) = lost {
        return Ok(report(ended(from, flow, cause), Probe::default(), Vec::new()));
    }
    let parts = Parts { counters: false, nat: false, processes: false, ..Parts::ALL };
    let scene = scene::look(parts, |_| true)?;
    // somebody else's namespace, by the name that a scene gives it
    let known = |name: &str| scene.namespaces.iter().find(|room| room.namespace == name);
    let namespace = match &found {
        None => known(from).ok_or_else(|| ResolveError::Unknown(from.to_owned()))?.namespace.clone(),
        Some(found) => in_scene(&found.ns),
    };
    // of somebody else's namespace only the scene knows the addresses
    let theirs = found.is_none().then(|| known(&namespace).map(|room| of_interfaces(&NsId::Host, &room.interfaces)));
    let at = found.unwrap_or(Resolved { ns: NsId::Host, lab: None, node: None });
    let v6 = v6.or_else(|| theirs.flatten().and_then(|theirs| only(&theirs.addresses)));
    let mut meant = named(place, &at, &target.to);
    flow.destination = match address(place, &at, &target.to, v6) {
        Err(ResolveError::Unknown(text)) => {
            let room = known(&text).ok_or(ResolveError::Unknown(text))?;
            meant = Some(room.namespace.clone());
            let theirs = known(&namespace).map(|room| of_interfaces(&NsId::Host, &room.interfaces));
            let own = of_interfaces(&NsId::Host, &room.interfaces).address(v6, theirs.as_ref());
            own.ok_or_else(|| ResolveError::NoAddress { text: target.to.clone(), v6 })?
        }
        found => found?.to_canonical(),
    };
    let mut kernel = Kernel::new(scene);
    let send = |error| TraceError::Send { from: from.to_owned(), error };
    let fd = kernel.open(&namespace).map_err(send)?;
    let sender = Sender::open(std::os::fd::AsFd::as_fd(&*fd), flow.proto, flow.v6()).map_err(send)?;
    flow.source_port = Some(sender.port);
    let mut found = trace(&mut kernel, &namespace, flow, meant.as_deref());
    let (probe, notes) = probe(&mut kernel, &found, &sender, WAIT);
    judge(&mut kernel, &mut found, &probe);
    let labs: Vec<LabName> = at.lab.into_iter().chain(resolve(place, &target.to).ok().and_then(|to| to.lab)).collect();
    if let Some(repair) = drift::mend(place, kernel.scene(), &found, &labs)
        && let Some(cause) = &mut found.cause
    {
        // no address can be given to an interface that takes no IPv6
        let first = cause.mend.take().filter(|_| cause.code == Code::Ipv6Off);
        let first = first.and_then(|mend| Some(mend.split_once(" && ")?.0.to_owned()));
        cause.mend = Some(first.map_or_else(|| repair.clone(), |first| format!("{first} && {repair}")));
    }
    Ok(report(found, probe, notes))
}

/// The family of all addresses, if it is one.
fn only(addresses: &[IpNet]) -> Option<bool> {
    let first = addresses.first()?.addr().is_ipv6();
    addresses.iter().all(|net| net.addr().is_ipv6() == first).then_some(first)
}

/// A trace that ended before it began.
fn ended(from: &str, flow: Flow, cause: Cause) -> Trace {
    Trace { cause: Some(cause), ..Trace::new(from, flow) }
}

fn conclusion(trace: &Trace, probe: &Probe) -> String {
    if let Some(cause) = &trace.cause {
        return format!(
            "{}: {}",
            if cause.answer { "arrives, but is not answered" } else { "not delivered" },
            cause.what
        );
    }
    let to = trace.arrives.as_deref().map(|name| format!(" to {name}")).unwrap_or_default();
    match (&probe.reply, trace.flow.proto) {
        (Reply::Answered, Proto::Tcp) => format!("delivered{to}: the connection is accepted"),
        (Reply::Answered, _) => format!("delivered{to}: it is answered"),
        (_, Proto::Udp) => format!("delivered{to}: nobody has to answer a datagram"),
        _ => format!("delivered{to}, as far as can be seen"),
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.conclusion)
    }
}
