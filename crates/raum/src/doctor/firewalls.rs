//! Would other people's rules drop packets of a lab? Asked for one that is not there yet; `raum up` says it exactly.

use std::net::IpAddr;

use raum_core::beside::{Family, Flow, Obstacle};
use raum_core::name::IfName;
use raum_core::ruleset::Hook;

use super::{Finding, Topic};
use crate::labs::Labs;

pub(super) fn examine(labs: &mut Labs) -> Vec<Finding> {
    let obstacles = match labs.obstacles(&flows()) {
        Ok(obstacles) => obstacles,
        Err(error) => {
            let effect = "whether they drop packets of labs is not known";
            return vec![Finding::note(
                Topic::Firewalls,
                "unseen",
                format!("the rules cannot be read: {error}"),
                effect,
                "nft list ruleset",
            )];
        }
    };
    if obstacles.is_empty() {
        return vec![Finding::ok(Topic::Firewalls, "none", "no rules of others drop packets of labs")];
    }
    obstacles.iter().map(told).collect()
}

fn told(obstacle: &Obstacle) -> Finding {
    let what = format!("{} ({}: {})", obstacle.chain, obstacle.firewall.name(), obstacle.words);
    let verb = if obstacle.certain { "drops" } else { "may drop" };
    let effect = format!("it {verb} packets of a lab: {}", obstacle.flows.join(", "));
    let remedy = if obstacle.can_be_opened() {
        "raum up --with-foreign-rules FILE".to_owned()
    } else {
        obstacle.commands.join("; ")
    };
    Finding::note(Topic::Firewalls, "drops", what, effect, remedy)
}

/// What most labs need: out, in to a published port, between members of a switch, and to the host.
fn flows() -> Vec<Flow> {
    let mut flows = Vec::new();
    let Ok(lab) = IfName::new("LAB-SWITCH") else { return flows };
    for (family, member, outside) in [
        (Family::Ipv4, IpAddr::from([10, 254, 254, 2]), IpAddr::from([9, 9, 9, 9])),
        (Family::Ipv6, IpAddr::from([0xfdfe, 0, 0, 0, 0, 0, 0, 2]), IpAddr::from([0x2620, 0xfe, 0, 0, 0, 0, 0, 0xfe])),
    ] {
        let through = |what: &str| Flow {
            what: what.to_owned(),
            hook: Hook::Forward,
            input: None,
            output: None,
            source: None,
            destination: Err(family),
            proto: 6,
            port: None,
            icmp: None,
            answer: false,
            dnatted: false,
            bridged: false,
        };
        let here = || Some(lab.clone());
        let out = Flow { input: here(), source: Some(member), destination: Ok(outside), ..through("out") };
        let published = Flow {
            output: here(),
            destination: Ok(member),
            port: Some(80),
            dnatted: true,
            ..through("in to published ports")
        };
        let within = Flow {
            input: here(),
            output: here(),
            source: Some(member),
            destination: Ok(member),
            bridged: true,
            ..through("between members of a switch")
        };
        let (proto, echo) = if family == Family::Ipv6 { (58, 128) } else { (1, 8) };
        let ping = Flow {
            hook: Hook::Input,
            input: here(),
            source: Some(member),
            proto,
            icmp: Some(echo),
            ..through("pings of the host")
        };
        flows.extend([out, published, within, ping]);
    }
    flows
}
