//! Which rule of the routing policy (`ip rule`) sent a packet to its table, or refused it.
//!
//! The kernel tells the table that a route came from, not the rule; rules are asked in order of their priority until one of their
//! tables has a route (`fib_rules_lookup`, net/core/fib_rules.c), so the first that matches and leads to that table is the one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Flow, Question};
use crate::view::{PolicyRule, Room};

/// The rule by which a table was asked; None for one of the usual ones.
pub(super) fn chosen<'r>(room: &'r Room, question: &Question, table: &str) -> Option<&'r PolicyRule> {
    let mut asked = room.rules.iter().filter(|rule| matches(rule, question));
    let rule = asked.find(|rule| rule.action == "lookup" && rule.table.as_deref() == Some(table))?;
    (!rule.is_usual()).then_some(rule)
}

/// May another way be chosen once the packet has a source? IPv6 asks but once (`ip6_dst_lookup_tail`, net/ipv6/ip6_output.c).
pub(super) fn asks_for_source(room: &Room, flow: Flow) -> bool {
    !flow.v6() && room.rules.iter().any(|rule| !rule.v6 && rule.from.is_some())
}

/// The rule that refuses the packet, if one does before any table has a route for it.
pub(super) fn forbidding<'r>(room: &'r Room, question: &Question) -> Option<&'r PolicyRule> {
    for rule in room.rules.iter().filter(|rule| matches(rule, question)) {
        match rule.action.as_str() {
            "blackhole" | "unreachable" | "prohibit" => return Some(rule),
            "lookup" if leads(room, rule, question.flow.destination) => return None,
            _ => {}
        }
    }
    None
}

fn leads(room: &Room, rule: &PolicyRule, to: IpAddr) -> bool {
    room.routes.iter().any(|route| rule.table.as_ref() == Some(&route.table) && route.to.contains(&to))
}

/// Is the packet one of the rule's? What raum cannot read is taken to match.
fn matches(rule: &PolicyRule, question: &Question) -> bool {
    let flow = &question.flow;
    if rule.v6 != flow.v6() {
        return false;
    }
    let any = if flow.v6() { IpAddr::from(Ipv6Addr::UNSPECIFIED) } else { Ipv4Addr::UNSPECIFIED.into() };
    // what is made here comes in by lo
    let input = question.input.as_deref().unwrap_or("lo");
    let within = rule.from.is_none_or(|from| from.contains(&flow.source.unwrap_or(any)))
        && rule.to.is_none_or(|to| to.contains(&flow.destination))
        && rule.iif.as_deref().is_none_or(|iif| iif == input)
        // of a packet whose socket is bound to that interface, which that of a trace is not
        && rule.oif.is_none()
        && rule.mark.is_none_or(|(mark, mask)| question.mark & mask == mark);
    within != rule.not
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::Proto;
    use crate::view::{Owner, RouteEntry};

    fn rule(priority: u32, action: &str, table: Option<&str>) -> PolicyRule {
        PolicyRule {
            v6: false,
            priority,
            not: false,
            from: None,
            to: None,
            iif: None,
            oif: None,
            mark: None,
            others: Vec::new(),
            action: action.to_owned(),
            table: table.map(str::to_owned),
        }
    }

    fn question(mark: u32) -> Question {
        let (source, destination) = ("10.0.0.2".parse().ok(), "192.0.2.1".parse().expect("an address"));
        let flow = Flow { source, destination, proto: Proto::Icmp, source_port: None, port: None };
        Question { namespace: "a".to_owned(), flow, input: None, mark }
    }

    #[test]
    fn the_first_rule_that_matches_and_leads_to_the_table_is_told_unless_it_is_a_usual_one() {
        let mut room = Room::new("a".to_owned(), 1, Owner::Named);
        let usual = || [rule(0, "lookup", Some("local")), rule(32_766, "lookup", Some("main"))];
        room.rules = usual().into();
        assert_eq!(chosen(&room, &question(0), "main"), None);
        let marked = PolicyRule { mark: Some((7, 0xff)), ..rule(100, "lookup", Some("main")) };
        let elsewhere = PolicyRule { from: "10.9.0.0/16".parse().ok(), ..rule(50, "lookup", Some("main")) };
        let not = PolicyRule { not: true, from: "10.9.0.0/16".parse().ok(), ..rule(200, "lookup", Some("100")) };
        let [local, main] = usual();
        room.rules = vec![local, elsewhere, marked, not, main];
        let told = |mark, table| chosen(&room, &question(mark), table).map(|rule| rule.priority);
        assert_eq!(told(0, "main"), None);
        assert_eq!(told(0x107, "main"), Some(100));
        assert_eq!(told(0, "100"), Some(200));
        assert_eq!(told(0, "200"), None);
    }

    #[test]
    fn a_rule_refuses_only_what_no_table_before_it_has_a_route_for() {
        let mut room = Room::new("a".to_owned(), 1, Owner::Named);
        room.rules = vec![rule(10, "lookup", Some("100")), rule(20, "prohibit", None)];
        assert_eq!(forbidding(&room, &question(0)).map(|rule| rule.priority), Some(20));
        room.routes = vec![RouteEntry {
            to: "192.0.2.0/24".parse().expect("a prefix"),
            kind: "unicast".to_owned(),
            via: None,
            dev: None,
            source: None,
            metric: 0,
            protocol: "static".to_owned(),
            table: "100".to_owned(),
            more: Vec::new(),
        }];
        assert_eq!(forbidding(&room, &question(0)), None);
    }
}
