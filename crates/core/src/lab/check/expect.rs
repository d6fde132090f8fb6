//! Expectations: about somebody who is there, possible, and not against each other.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::Range;

use super::scene::Scene;
use super::{did_you_mean, family};
use crate::lab::expect::{Party, Service};
use crate::lab::{At, Expectation, Proto};
use crate::problem::Problem;

pub(super) fn check(scene: &Scene<'_>, problems: &mut Vec<Problem>) {
    let mut said: BTreeMap<(&str, &Party, Option<Service>), Vec<Said<'_>>> = BTreeMap::new();
    for expect in &scene.lab.expect {
        let before = problems.len();
        problems.extend(known(scene, &At::new(Party::Node(expect.from.value.clone()), expect.from.span.clone())));
        problems.extend(known(scene, &expect.to));
        for party in
            expect.receiver.iter().map(|at| At::new(at.party.clone(), at.span.clone())).chain(expect.source.clone())
        {
            problems.extend(known(scene, &party));
        }
        if problems.len() > before {
            continue;
        }
        let all = said.entry((expect.from.as_str(), &expect.to, expect.service)).or_default();
        problems.extend(all.iter().find_map(|(first, span)| against(first, expect, span)));
        all.push((expect, expect.span.clone()));
        let Some(families) = tried(scene, expect, problems) else { continue };
        problems.extend(families.iter().find_map(|v6| possible(scene, expect, *v6)));
    }
}

type Said<'a> = (&'a At<Expectation>, Range<usize>);

/// Is there such a namespace, or somebody with such an address?
fn known(scene: &Scene<'_>, party: &At<Party>) -> Option<Problem> {
    let Party::Node(name) = &party.value else { return None };
    if scene.has_node(name.as_str()) {
        return None;
    }
    let problem = Problem::new(format!("there is no namespace `{name}`"), party.span.clone());
    Some(match scene.switch(name.as_str()) {
        Some(_) => problem.label("this is a switch").help("write the name of a namespace that is on it"),
        None => problem.label("expected the name of a namespace, or `host`").help(did_you_mean(
            name.as_str(),
            scene.nodes(),
            "write it under `namespaces:`",
        )),
    })
}

/// The same twice, or its contrary.
fn against(first: &At<Expectation>, second: &At<Expectation>, span: &Range<usize>) -> Option<Problem> {
    let both = match (first.over_v6, second.over_v6) {
        (Some(a), Some(b)) => a == b,
        _ => true,
    };
    let problem = |message: String| Problem::new(message, second.span.clone());
    let what = |expect: &Expectation| {
        let port = expect.service.map(|service| format!(" at {}/{}", service.port, service.proto)).unwrap_or_default();
        format!("`{}` reaches `{}`{port}", expect.from.value, expect.to.value)
    };
    if both && first.reaches != second.reaches {
        return problem(format!("{}, and does not", what(second)))
            .label("against what stands before")
            .related(span.clone(), "this says the contrary")
            .help("one of the two cannot be so: remove it, or say `over ipv4` and `over ipv6`")
            .into();
    }
    (first.value == second.value).then(|| {
        problem("the same is expected twice".to_owned())
            .label("again here")
            .related(span.clone(), "first here")
            .help("leave one of them out")
    })
}

/// The families to try it over; none, and a problem, if there is no way to.
fn tried(scene: &Scene<'_>, expect: &At<Expectation>, problems: &mut Vec<Problem>) -> Option<Vec<bool>> {
    let families = expect.families(|node, v6| has(scene, node.as_str(), v6));
    if let (Some(over), Some(to)) = (expect.over_v6, expect.to.v6())
        && over != to
    {
        problems.push(
            Problem::new(format!("{} is not reached over {}", expect.to.value, family(over)), expect.to.span.clone())
                .label(format!("an {} address", family(to)))
                .help("leave `over` out: the address says it"),
        );
        return None;
    }
    if let Party::Node(to) = &expect.to.value {
        if *to == expect.from.value {
            problems.push(
                Problem::new(format!("`{to}` always reaches itself"), expect.to.span.clone())
                    .label("the one who speaks")
                    .help("write the address to try a way that leads back, such as that of a published port"),
            );
            return None;
        }
        // who listens on the host, and at which addresses, shows when it is tried
        if families.is_empty() && !to.is_host() && !expect.from.is_host() {
            let lacks = |node: &str| {
                let known =
                    [false, true].into_iter().filter(|v6| has(scene, node, *v6)).map(|v6| family(v6).to_owned());
                match known.collect::<Vec<_>>().as_slice() {
                    [] => "no address".to_owned(),
                    [one] => format!("{one} only"),
                    both => both.join(" and "),
                }
            };
            let wanted = expect.over_v6.map_or(String::new(), |v6| format!(" over {}", family(v6)));
            problems.push(
                Problem::new(
                    format!("`{}` cannot try to reach `{to}`{wanted}", expect.from.value),
                    expect.to.span.clone(),
                )
                .label(format!(
                    "`{}` has {}, `{to}` has {}",
                    expect.from.value,
                    lacks(expect.from.as_str()),
                    lacks(to.as_str())
                ))
                .help("give both an address of the same family, or leave this line out"),
            );
            return None;
        }
    }
    Some(families)
}

fn has(scene: &Scene<'_>, node: &str, v6: bool) -> bool {
    scene.addresses(node).any(|(_, net)| net.addr().is_ipv6() == v6)
}

/// Can it be found out whether that is so?
fn possible(scene: &Scene<'_>, expect: &At<Expectation>, v6: bool) -> Option<Problem> {
    let addresses = |party: &Party| match party {
        Party::Address(ip) => BTreeSet::from([*ip]),
        Party::Node(name) => scene.addresses(name.as_str()).map(|(_, net)| net.addr()).collect::<BTreeSet<IpAddr>>(),
    };
    for at in expect.receiver.iter().map(|at| At::new(at.party.clone(), at.span.clone())).chain(expect.source.clone()) {
        let is_host = matches!(&at.value, Party::Node(name) if name.is_host());
        if !is_host && !addresses(&at.value).iter().any(|ip| ip.is_ipv6() == v6) {
            return Problem::new(format!("`{}` has no {} address", at.value, family(v6)), at.span)
                .label(format!("this is tried over {}", family(v6)))
                .help(format!("write `over {}` at the end", if v6 { "ipv4" } else { "ipv6" }))
                .into();
        }
    }
    let owner = |ip: IpAddr| scene.nodes().any(|node| scene.addresses(node).any(|(_, net)| net.addr() == ip));
    let around = |ip: IpAddr| scene.around.addresses.iter().any(|(address, _)| *address == ip);
    if let Some(at) = &expect.receiver
        && let Party::Address(ip) = at.party
        && !owner(ip)
        && !around(ip)
    {
        return Problem::new(format!("nobody of the lab has the address {ip}"), at.span.clone())
            .label("raum looks there for what arrives")
            .help("write the name or an address of a namespace of the lab")
            .into();
    }
    let outside = matches!(expect.to.value, Party::Address(ip) if !owner(ip) && !around(ip));
    let udp = expect.service.is_some_and(|service| service.proto == Proto::Udp);
    if outside && expect.receiver.is_none() && (udp || expect.source.is_some()) {
        return Problem::new(format!("nobody of the lab has the address {}", expect.to.value), expect.to.span.clone())
            .label("raum cannot see what arrives there")
            .help("write `as NODE` if a namespace of the lab gets it in the end; ICMP and TCP can be tried by their answers")
            .into();
    }
    None
}
