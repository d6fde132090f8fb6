//! Is it the lab itself that is not as it should be? Then its own `raum up` mends it, and better than a command by hand.

use std::collections::BTreeSet;

use raum_core::name::LabName;
use raum_core::plan::Op;
use raum_core::trace::{Cause, Code, Trace};
use raum_core::view::{Owner, Scene};

use crate::Labs;
use crate::place::Place;
use crate::resolve::in_scene;

/// The command that brings back what a lab has lost, if that is what the cause is about. `asked` are the labs of both ends.
pub(super) fn mend(place: &Place, scene: &Scene, trace: &Trace, asked: &[LabName]) -> Option<String> {
    let cause = trace.cause.as_ref()?;
    let mut on_the_way: BTreeSet<&str> = trace.seen.iter().map(|seen| seen.namespace.as_str()).collect();
    on_the_way.insert(&cause.namespace);
    let passed = scene.namespaces.iter().filter(|room| on_the_way.contains(room.namespace.as_str()));
    let marked = passed.filter_map(|room| if let Owner::Lab(lab) = &room.owner { Some(lab.clone()) } else { None });
    let mut labs: BTreeSet<LabName> = marked.chain(asked.iter().cloned()).collect();
    if labs.is_empty() {
        labs.extend(place.labs());
    }
    let mut door = Labs::open().ok()?;
    labs.iter().find_map(|lab| {
        // a lab that cannot be compared tells nothing about the packet
        let (record, plan) = door.drift(lab).ok()?;
        plan.ops().any(|op| concerns(op, cause, &on_the_way)).then(|| record.repair())
    })
}

/// Would this operation, which brings back what was lost, undo the cause?
fn concerns(op: &Op, cause: &Cause, on_the_way: &BTreeSet<&str>) -> bool {
    let ns = in_scene(op.ns());
    let (here, passed) = (ns == cause.namespace, on_the_way.contains(ns.as_str()));
    match (op, cause.code) {
        (Op::ReplaceTable { .. }, Code::FilterOwn | Code::NobodyListens | Code::ListensElsewhere) => here,
        (Op::ReplaceTable { .. }, Code::NatMissing | Code::NoReturnRoute | Code::DnatDead) => passed,
        (Op::AddOpening { .. }, Code::FilterForeign | Code::FilterPolicy | Code::BrNetfilter) => here,
        (
            Op::AddAddress { .. },
            Code::NoAddress | Code::Ipv6Off | Code::NoRoute | Code::NoReturnRoute | Code::WrongPrefix,
        ) => passed,
        // whoever should answer for an address need not be on the way
        (
            Op::AddAddress { .. },
            Code::NeighbourFailed | Code::WrongGateway | Code::GatewayUnreachable | Code::DnatDead,
        ) => true,
        (
            Op::SetRoute { .. } | Op::RouteSubnet { .. },
            Code::NoRoute
            | Code::NoReturnRoute
            | Code::NatMissing
            | Code::DnatDead
            | Code::WrongGateway
            | Code::GatewayUnreachable,
        ) => passed,
        (Op::SetNeighbour { .. }, Code::StaticNeighbour) => here,
        (Op::SetSysctl { .. }, Code::ForwardingOff | Code::EchoIgnored) => here,
        (Op::SetLink { set, .. }, Code::NeighbourFailed | Code::Unexplained) => {
            passed && (set.arp.is_some() || !set.port.is_empty())
        }
        // with an interface that goes down IPv6 loses its addresses, which `up` alone brings back
        (Op::SetLink { set, .. }, Code::InterfaceDown) => passed && set.up == Some(true),
        (Op::SetLink { set, .. }, Code::PeerMissing | Code::NoCarrier) => passed && set.master.is_some(),
        (Op::AddVeth { .. } | Op::AddBridge { .. }, Code::PeerMissing | Code::NoCarrier | Code::NoRoute) => true,
        _ => false,
    }
}
