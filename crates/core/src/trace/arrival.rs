//! The packet is where it should be: does anybody want it?

use super::cause::{Cause, Code};
use super::{Flow, Layer, Proto, Step};
use crate::lab;
use crate::view::{Listener, Room};

/// Who takes it, or why nobody does.
pub(super) fn arrival(room: &Room, flow: Flow) -> Result<Step, Cause> {
    let step = |text: String| Step { namespace: room.namespace.clone(), layer: Layer::Arrival, text };
    let (proto, Some(port)) = (flow.proto, flow.port.filter(|_| flow.proto != Proto::Icmp)) else {
        return Ok(step(format!("{} is an address of {}", flow.destination, room.namespace)));
    };
    if room.missing.iter().any(|missing| missing.what == "listening sockets") {
        return Ok(step("who listens cannot be seen".to_owned()));
    }
    let same = |listener: &&Listener| {
        let wanted = if proto == Proto::Tcp { lab::Proto::Tcp } else { lab::Proto::Udp };
        listener.proto == wanted && listener.port == port
    };
    let takes = |listener: &&Listener| {
        let all = listener.address.is_unspecified() && (listener.address.is_ipv6() == flow.v6() || listener.both);
        listener.address == flow.destination || all
    };
    let all = || room.listeners.iter().filter(same);
    if let Some(found) = all().find(takes) {
        let who: Vec<String> = found.holders.iter().map(ToString::to_string).collect();
        let who = if who.is_empty() { "somebody".to_owned() } else { who.join(", ") };
        return Ok(step(format!("{who} listens on {proto} port {port}")));
    }
    let here = &room.namespace;
    if let Some(other) = all().next() {
        let what = format!(
            "in {here} {proto} port {port} is listened on at {} only, not at {}",
            other.address, flow.destination
        );
        let everywhere = if flow.v6() { "[::]" } else { "0.0.0.0" };
        let mend = format!("let the program listen on {everywhere}:{port}");
        return Err(Cause::new(Code::ListensElsewhere, here, what, Some(mend)));
    }
    let what = format!("nobody in {here} listens on {proto} port {port}");
    Err(Cause::new(Code::NobodyListens, here, what, Some("start the program that should listen there".to_owned())))
}
