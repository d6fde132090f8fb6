//! Out of a namespace: by which interface, over which wire or bridge, to whom.

use super::{Here, Walk};
use crate::ruleset::Hook;
use crate::trace::cause::{Cause, Code, inside};
use crate::trace::filter::Passing;
use crate::trace::neighbour::{Next, next, table};
use crate::trace::wire::{Reached, inside_bridge};
use crate::trace::{Choice, Flow, Layer, Proto, is_link_local};
use crate::view::{Interface, Room, Scene};

impl Walk<'_> {
    /// With `br_netfilter` a packet that is translated back onto its own bridge is bridged, not routed
    /// (`br_nf_pre_routing_finish`, net/bridge/br_netfilter_hooks.c): out of the port where it came in, if that may be.
    pub(super) fn hairpin(
        &mut self,
        room: &Room,
        here: &Here,
        choice: &Choice,
        input: &Interface,
    ) -> Result<(), Cause> {
        let translated = self.changed.iter().any(|changed| changed.namespace == room.namespace && changed.destination);
        if !translated || choice.dev.as_deref() != Some(&input.name) || !self.bridges_filter(room, here.flow.v6()) {
            return Ok(());
        }
        let Some(port) = here.port.as_deref().and_then(|name| room.interface(name)) else { return Ok(()) };
        let scene = self.scene.clone();
        let hop = choice.via.unwrap_or(here.flow.destination);
        let same = match next(&scene, room, input, hop, false, None) {
            Ok(Next::Reached(found, _)) => found.way.iter().any(|(namespace, text)| {
                *namespace == room.namespace && text.ends_with(&format!("port {}", port.name))
            }),
            _ => false,
        };
        if same && port.port.as_ref().is_some_and(|port| !port.hairpin) {
            let what = format!("{} in {} may not send out what came in there (hairpin)", port.name, room.namespace);
            let mend = inside_bridge(room, &port.name, "hairpin on");
            return Err(Cause::new(Code::HairpinOff, &room.namespace, what, Some(mend)));
        }
        Ok(())
    }

    pub(super) fn bridges_filter(&mut self, room: &Room, v6: bool) -> bool {
        let key = if v6 { "net/bridge/bridge-nf-call-ip6tables" } else { "net/bridge/bridge-nf-call-iptables" };
        self.facts.sysctl(&room.namespace, key).is_some_and(|value| value.trim() == "1")
    }

    /// Out by an interface, to whoever has the next address.
    pub(super) fn out(
        &mut self,
        scene: &Scene,
        room: &Room,
        here: &Here,
        choice: &Choice,
    ) -> Result<Option<Here>, Cause> {
        let Some(dev) = choice.dev.as_deref().and_then(|name| room.interface(name)) else {
            let what = format!("the route `{}` in {} has no interface", choice.route, room.namespace);
            return Err(Cause::new(Code::Unexplained, &room.namespace, what, None));
        };
        self.too_long(room, here, dev);
        if !self.answer {
            self.left.push((room.namespace.clone(), dev.name.clone()));
        }
        let hop = choice.via.unwrap_or(here.flow.destination);
        let full = table(self.facts, hop.is_ipv6());
        match next(scene, room, dev, hop, choice.via.is_some(), full)? {
            Next::Open(text) => {
                self.step(&room.namespace, Layer::Wire, text);
                Ok(None)
            }
            Next::Reached(reached, text) => {
                self.step(&room.namespace, Layer::Neighbour, text);
                for (namespace, text) in &reached.way {
                    self.step(namespace, Layer::Wire, text.clone());
                }
                self.bridged(&reached, here)?;
                if self.narrow.is_none() {
                    self.narrow = reached.narrow.clone();
                }
                Ok(Some(Here {
                    namespace: reached.room.namespace.clone(),
                    flow: here.flow,
                    input: Some(reached.interface.name.clone()),
                    port: reached.port.map(|port| port.name.clone()),
                }))
            }
        }
    }

    /// A router that has a narrower interface must tell the sender (RFC 1191, RFC 8201): may it?
    pub(super) fn too_long(&mut self, room: &Room, here: &Here, dev: &Interface) {
        let narrower = dev.mtu < self.mtu;
        self.mtu = self.mtu.min(dev.mtu);
        let Some(input) = here.input.as_deref().and_then(|name| room.interface(name)) else { return };
        let (Some(sender), false, None) = (here.flow.source, self.answer, &self.mute) else { return };
        if !narrower {
            return;
        }
        let v6 = here.flow.v6();
        let own = input.addresses.iter().map(ipnet::IpNet::addr).find(|ip| ip.is_ipv6() == v6 && !is_link_local(*ip));
        let flow = Flow { source: own, destination: sender, proto: Proto::Icmp, source_port: None, port: None };
        let rules = self.facts.rules(&room.namespace);
        // "fragmentation needed", "packet too big"
        let icmp = Some(if v6 { 2 } else { 3 });
        let passing = Passing {
            room,
            flow,
            input: None,
            output: Some(input),
            answer: false,
            dnatted: false,
            restored: None,
            mark: 0,
            icmp,
        };
        let Some(cause) = passing.through(Hook::Output, &rules).cause else { return };
        let what = format!(
            "packets of more than {} bytes vanish in {}: it may not tell the sender, for {}",
            dev.mtu, room.namespace, cause.what
        );
        self.mute = Some(Cause::new(Code::MtuBlackHole, &room.namespace, what, cause.mend));
    }

    /// Bridges that show IP packets to the rules of their namespace.
    pub(super) fn bridged(&mut self, reached: &Reached<'_>, here: &Here) -> Result<(), Cause> {
        let last = (reached.room.inode, reached.interface.index);
        let crossed = reached.bridges.iter().filter(|(room, bridge)| (room.inode, bridge.index) != last);
        for (room, bridge) in crossed {
            // what a namespace sends by its own bridge has been through its rules
            if room.namespace == here.namespace || !self.bridges_filter(room, here.flow.v6()) {
                continue;
            }
            let rules = self.facts.rules(&room.namespace);
            let passing = Passing {
                room,
                flow: here.flow,
                input: Some(bridge),
                output: Some(bridge),
                answer: self.answer,
                dnatted: false,
                restored: None,
                mark: 0,
                icmp: None,
            };
            if let Some(cause) = passing.through(Hook::Forward, &rules).cause {
                let what = format!(
                    "bridge {} shows its packets to the IP rules (br_netfilter), and {}",
                    bridge.name, cause.what
                );
                let family = if here.flow.v6() { "ip6tables" } else { "iptables" };
                let mend = inside(room, &format!("sysctl -w net.bridge.bridge-nf-call-{family}=0"));
                return Err(Cause::new(Code::BrNetfilter, &room.namespace, what, Some(mend)));
            }
        }
        Ok(())
    }
}
