//! Subnets that raum chooses: free, the same ones every time, and kept.

use ipnet::IpNet;
use proptest::prelude::*;
use raum_core::host::Surroundings;
use raum_core::lab::{At, Lab, check, parse, settle};
use raum_core::name::LabName;

fn lab(text: &str) -> Lab {
    parse(text, &LabName::new("chosen").unwrap()).expect("a lab")
}

/// `(first, prefix length)` of routes that the host has.
fn around(routes: &[(u32, u8)]) -> Surroundings {
    let net = |(first, len): &(u32, u8)| IpNet::new(std::net::Ipv4Addr::from(*first).into(), *len).unwrap().trunc();
    let routes = routes.iter().map(|route| (net(route), "eth0".parse().unwrap())).collect();
    Surroundings { routes, ipv6: true, ..Surroundings::default() }
}

/// Every network of a settled lab: of switches, and of links by both ends.
fn networks(lab: &Lab) -> Vec<IpNet> {
    let links = lab.links.iter().flat_map(|link| {
        let [near, far] = link.ends.each_ref().map(|end| {
            let net = |at: &At<raum_core::lab::Address>| IpNet::new(at.ip, at.prefix_len.unwrap()).unwrap().trunc();
            end.addresses.iter().map(net).collect::<Vec<_>>()
        });
        assert_eq!(near, far, "both ends are in the same networks");
        near
    });
    lab.switches.iter().flat_map(|switch| &switch.subnets).map(|at| at.value).chain(links).collect()
}

/// Labs with as many switches and links without a word about addresses.
fn text(switches: usize, links: usize) -> String {
    let mut text = "switches:\n".to_owned();
    for n in 0..switches {
        text += &format!("  s{n}: {{ subnet: auto, gateway: host }}\n");
    }
    text += "namespaces:\n  \"n[0-40]\": {}\nlinks:\n";
    for n in 0..links {
        text += &format!("  - {{ ends: [n{n}, n{}], subnet: auto }}\n", n + 1);
    }
    text
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Nothing that the host has is chosen, nor anything twice; and what is chosen passes all checks.
    #[test]
    fn what_is_chosen_is_free(
        switches in 0..20_usize,
        links in 0..30_usize,
        // most of them where raum looks first
        routes in prop::collection::vec((prop_oneof![any::<u32>(), 0x0a80_0000..0x0b00_0000_u32], 9..=32_u8), 0..40),
    ) {
        let around = around(&routes);
        let settled = settle(&lab(&text(switches, links)), &around, None);
        let found = networks(&settled);
        prop_assert_eq!(found.len(), 2 * (switches + links));
        for (at, net) in found.iter().enumerate() {
            let overlap = |other: &IpNet| other.contains(net) || net.contains(other);
            prop_assert!(!found[..at].iter().any(overlap), "{} twice", net);
            prop_assert!(!around.routes.iter().any(|(to, _)| overlap(to)), "{} is the host's", net);
        }
        prop_assert_eq!(check(&settled, &around), []);
        // written down, it is the same lab, and nothing is left to choose
        let written = lab(&settled.to_string());
        prop_assert_eq!(networks(&written), found);
        prop_assert_eq!(settle(&written, &around, None).to_string(), settled.to_string());
    }

    /// The same every time; and a lab that is up keeps what it has when better places become free, but not what others took.
    #[test]
    fn what_is_chosen_stays(switches in 1..10_usize, links in 1..10_usize, gone in any::<prop::sample::Index>()) {
        let fresh = lab(&text(switches, links));
        let nobody = around(&[]);
        let first = settle(&fresh, &nobody, None);
        prop_assert_eq!(&settle(&fresh, &nobody, None), &first);
        // on a host where the first choice of one is taken
        let found = networks(&first);
        let IpNet::V4(taken) = *gone.get(&found.into_iter().filter(|net| net.addr().is_ipv4()).collect::<Vec<_>>()) else {
            unreachable!()
        };
        let busy = around(&[(taken.network().into(), 24)]);
        let other = settle(&fresh, &busy, None);
        prop_assert_ne!(networks(&other), networks(&first));
        prop_assert_eq!(networks(&settle(&fresh, &nobody, Some(&other))), networks(&other));
        prop_assert_eq!(networks(&settle(&fresh, &busy, Some(&first))), networks(&other));
        // what comes in front of them takes nothing of theirs, not even its own first choice
        let IpNet::V4(taken) = settle(&lab("switches: { new: { subnet: auto } }"), &nobody, None).switches[0].subnets[0].value
        else { unreachable!() };
        let mut moved = first.clone();
        moved.switches[0].subnets[0].value = IpNet::V4(taken);
        let more = lab(&text(switches, links).replacen("switches:\n", "switches:\n  new: { subnet: auto }\n", 1));
        prop_assert_eq!(&networks(&settle(&more, &nobody, Some(&moved)))[2..], &networks(&moved)[..]);
    }
}

/// The first numbers are for ever: another choice would renumber labs that are written down nowhere else.
#[test]
fn the_first_choice_is_known() {
    let settled =
        settle(&lab("switches: { lan: { subnet: auto } }\nnamespaces: { a: { on: lan } }\n"), &around(&[]), None);
    let found: Vec<String> = networks(&settled).iter().map(ToString::to_string).collect();
    assert_eq!(found, ["10.143.48.0/24", "fd80:454f:8f30::/64"]);
}

/// With every network for private use taken there is one message, and no network.
#[test]
fn nothing_is_free() {
    let full = around(&[(0x0a00_0000, 8), (0xac10_0000, 12), (0xc0a8_0000, 16)]);
    let settled = settle(&lab("switches: { lan: { subnet: auto } }\nnamespaces: { a: { on: lan } }\n"), &full, None);
    let problems: Vec<String> = check(&settled, &full).into_iter().map(|problem| problem.message).collect();
    assert_eq!(problems, ["no subnet is free for `lan`"]);
}
