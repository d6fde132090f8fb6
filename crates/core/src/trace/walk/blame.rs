//! Who is to blame: what stops a packet, said as what was done wrong.

use std::net::IpAddr;

use super::Walk;
use crate::ruleset::{Base, Family, Hook, Place};
use crate::trace::cause::{Cause, Code, inside, ip, nft};
use crate::trace::filter::name;
use crate::trace::{Flow, has, room, together};
use crate::view::{Owner, Room};

impl Walk<'_> {
    /// A forward that leads to nobody is told as that.
    pub(super) fn explained(&self, cause: Cause) -> Cause {
        let dead =
            matches!(cause.code, Code::NeighbourFailed | Code::NoRoute | Code::WrongPrefix | Code::InterfaceDown);
        let Some(forward) = self.changed.iter().rfind(|changed| changed.destination).filter(|_| dead) else {
            return cause;
        };
        if let Some(rule) =
            forward.foreign.as_ref().filter(|_| self.owned(forward.before.destination, &forward.namespace))
        {
            let to = forward.after.destination;
            let what = format!("{} in {} turns it to {to}", describe(rule), forward.namespace);
            let mend = self.without(rule, &forward.namespace);
            return Cause::new(Code::NatForeign, &forward.namespace, what, mend).astray();
        }
        let what = format!(
            "{} in {} is forwarded to {}, where it ends: {}",
            Endpoint(forward.before),
            forward.namespace,
            Endpoint(forward.after),
            cause.what
        );
        Cause::new(Code::DnatDead, &forward.namespace, what, cause.mend)
    }

    /// Does somebody else have the address that a packet was on its way to when it was translated?
    pub(super) fn owned(&self, ip: IpAddr, here: &str) -> bool {
        let Some(here) = room(&self.scene, here).filter(|here| !has(here, ip)) else { return false };
        together(&self.scene, here).into_iter().any(|room| has(room, ip))
    }

    /// It arrived, but not where it was sent to.
    pub(super) fn caught(&self, arrived: &str, destination: IpAddr) -> Option<Cause> {
        let forward = self.changed.iter().find(|changed| changed.destination && changed.foreign.is_some())?;
        let there = self.scene.namespaces.iter().any(|room| room.namespace == arrived && has(room, destination));
        if there || !self.owned(destination, &forward.namespace) {
            return None;
        }
        let rule = forward.foreign.as_ref()?;
        let what = format!(
            "{} in {} turns it to {arrived}, though it was on its way elsewhere",
            describe(rule),
            forward.namespace
        );
        Some(Cause::new(Code::NatForeign, &forward.namespace, what, self.without(rule, &forward.namespace)).astray())
    }

    /// It ended at somebody who has the address of the one who is meant.
    pub(super) fn taken(&self, room: &Room, destination: IpAddr) -> Option<Cause> {
        let here = &room.namespace;
        let meant = self.meant.as_ref().filter(|meant| *meant != here)?;
        if self.changed.iter().any(|changed| changed.destination) {
            return None;
        }
        let mut all = room.interfaces.iter().flat_map(|one| one.addresses.iter().map(move |own| (one, own)));
        let (interface, own) = all.find(|(_, own)| own.addr() == destination)?;
        let what = format!("{here} has the address {destination} of {meant} itself, on {}", interface.name);
        let mend = ip(room, &format!("address del {own} dev {}", interface.name));
        Some(Cause::new(Code::DuplicateAddress, here, what, Some(mend)).astray())
    }

    /// The command that takes a rule away.
    pub(super) fn without(&self, rule: &Place, namespace: &str) -> Option<String> {
        let (room, handle) = (room(&self.scene, namespace)?, rule.rule?);
        nft(room, &format!("delete rule {} handle {handle}", name(rule)))
    }

    /// How a router comes to give what leaves it its own address: in the lab's file, or in its rules.
    pub(super) fn masquerade(&mut self, router: &Room, v6: bool) -> Option<String> {
        let by = self.left.iter().rev().find(|(namespace, _)| *namespace == router.namespace);
        let out = by.map_or("<out>", |(_, dev)| dev.as_str());
        let of_lab = |room: &Room| matches!(room.owner, Owner::Lab(_));
        let sender = self.seen.first().and_then(|seen| room(&self.scene, &seen.namespace));
        // that of the host is written at the switch whose gateway it is
        if router.owner == Owner::Host && sender.is_some_and(of_lab) {
            return Some(format!("nat: {{ out: {out} }} at the switch in the lab file, then raum up"));
        }
        if of_lab(router) {
            return Some(format!("nat: {{ out: {out} }} for {} in the lab file, then raum up", router.namespace));
        }
        let rules = self.facts.rules(&router.namespace);
        let family = if v6 { Family::Ip6 } else { Family::Ip };
        let is_nat = |base: &Base| base.kind == "nat" && base.hook == Hook::Postrouting;
        let fit = rules.tables.iter().filter(|table| table.family == family || table.family == Family::Inet);
        let found = fit.flat_map(|table| table.chains.iter().map(move |chain| (table, chain)));
        let mut found = found.filter(|(_, chain)| chain.base.as_ref().is_some_and(is_nat));
        match found.next() {
            Some((table, chain)) => nft(
                router,
                &format!("add rule {} {} {} oifname {out} masquerade", table.family, table.name, chain.name),
            ),
            // nft takes its arguments as one text, which for a shell is one word
            None => nft(router, out).is_some().then(|| {
                let chain = "chain postrouting { type nat hook postrouting priority 100; policy accept;";
                format!("{} 'table {family} nat {{ {chain} oifname {out} masquerade; }}; }}'", inside(router, "nft"))
            }),
        }
    }

    /// What befalls the answer, said as that.
    pub(super) fn answered(&mut self, mut cause: Cause, arrived: &str, answer: Flow) -> Cause {
        cause.answer = true;
        let Code::NoRoute = cause.code else { return cause };
        cause.code = Code::NoReturnRoute;
        let client = answer.destination;
        cause.what = format!("the answer does not come back: {}", cause.what);
        // a private address that has gone out to where nobody knows it
        let translates = self.changed.iter().any(|changed| !changed.destination);
        let last = self.seen.iter().rev().map(|seen| &seen.namespace).find(|namespace| *namespace != arrived).cloned();
        let outside = answer.source.is_some_and(|ip| !is_private(ip));
        if is_private(client) && outside && !translates && cause.namespace == arrived {
            cause.code = Code::NatMissing;
            cause.what = format!("{client} is private and went out untranslated: {arrived} has no way to answer it");
            let scene = self.scene.clone();
            let router = last.as_deref().and_then(|name| room(&scene, name));
            cause.mend = router.and_then(|router| self.masquerade(router, client.is_ipv6()));
        } else if let Some(there) = room(&self.scene, &cause.namespace) {
            let length = if client.is_ipv6() { 128 } else { 32 };
            cause.mend = cause.mend.or_else(|| Some(ip(there, &format!("route add {client}/{length} via <gateway>"))));
        }
        cause
    }
}

/// `203.0.113.2:80/tcp`
struct Endpoint(Flow);

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let flow = self.0;
        match (flow.destination, flow.port) {
            (IpAddr::V6(ip), Some(port)) => write!(f, "[{ip}]:{port}"),
            (ip, Some(port)) => write!(f, "{ip}:{port}"),
            (ip, None) => write!(f, "{ip}"),
        }
    }
}

/// RFC 1918, RFC 6598; RFC 4193.
fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_private() || (ip.octets()[0] == 100 && ip.octets()[1] & 0xc0 == 64),
        IpAddr::V6(ip) => ip.is_unique_local(),
    }
}

fn describe(place: &Place) -> String {
    format!("the rule `{}` of chain {}", place.words, name(place))
}
