//! Any text as steps by hand, one a line: the first byte says which, the rest is what is typed. No panic; a lab that comes of
//! them is written and read back as it is. `cargo +nightly fuzz run steps`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use raum_core::design::design;
use raum_core::host::Surroundings;
use raum_core::lab::edit::{Addresses, Edit, FilterOptions, Force, Line, LinkOptions, NatOptions, SwitchOptions};
use raum_core::lab::{Lab, check, parse, settle};
use raum_core::name::LabName;

fn edit(line: &str) -> Option<Edit> {
    let (which, words) = (*line.as_bytes().first()?, line.get(1..)?);
    let mut typed = Line::new("raum");
    let words = typed.words(&[words]);
    let force = if which & 0x20 == 0 { Force::No } else { Force::Yes };
    let option = |typed: &mut Line, bit: u8, value: &str| (which & bit != 0).then(|| typed.option("--option", value));
    Some(match which % 30 {
        0 => Edit::AddNamespaces(words),
        1 => Edit::DelNamespaces(words, force),
        2 => {
            let gateway = option(&mut typed, 0x20, "host");
            let nat = option(&mut typed, 0x40, "");
            Edit::AddSwitch(words, SwitchOptions { gateway, nat, ..SwitchOptions::default() })
        }
        3 => Edit::DelSwitches(words, force),
        4 => Edit::Connect(words, if force == Force::Yes { Addresses::None } else { Addresses::Chosen }),
        5 => Edit::Disconnect(words, force),
        6 => Edit::Attach(words),
        7 => Edit::Detach(words, force),
        8 => Edit::AddAddresses(words),
        9 => Edit::DelAddresses(words, force),
        10 => Edit::AddRoute(words),
        11 => Edit::DelRoute(words),
        12 => Edit::SetGateway(words),
        13 => Edit::DelGateway(words),
        14 => Edit::Forwarding(words),
        15 => {
            let (out, like) = (option(&mut typed, 0x40, "eth0"), option(&mut typed, 0x20, "home"));
            Edit::AddNat(words, NatOptions { out, like, ..NatOptions::default() })
        }
        16 => Edit::DelNat(words),
        17 => Edit::AddPublish(words),
        18 => Edit::DelPublish(words),
        19 => Edit::AddForward(words),
        20 => Edit::DelForward(words),
        21 => Edit::LinkUp(words),
        22 => Edit::LinkDown(words),
        23 => Edit::AddFilterRule(words, option(&mut typed, 0x40, "a")),
        24 => Edit::DelFilterRule(words, option(&mut typed, 0x40, "a")),
        25 => Edit::FilterDefault(words, FilterOptions::default()),
        26 => Edit::DelFilter(words, option(&mut typed, 0x40, "a")),
        27 => Edit::AddGroup(words),
        28 => Edit::DelGroup(words, force),
        _ => {
            let (mtu, mac) = (option(&mut typed, 0x20, "1400"), option(&mut typed, 0x40, "02:00:00:00:00:01"));
            Edit::SetLink(words, LinkOptions { mtu, mac, isolated: None })
        }
    })
}

fuzz_target!(|text: &str| {
    let name = LabName::new("fuzz").expect("a name");
    let mut lab = Lab::empty(name.clone());
    let around = Surroundings { ipv6: true, ..Surroundings::default() };
    for edit in text.lines().take(30).filter_map(edit) {
        let before = lab.to_string();
        match edit.apply(&mut lab) {
            Err(problems) => assert!(!problems.is_empty() && lab.to_string() == before),
            Ok(()) if lab.is_empty() => {}
            Ok(()) => {
                let written = lab.to_string();
                let again = parse(&written, &name).unwrap_or_else(|problems| panic!("{written}\n{problems:?}"));
                assert_eq!(again.to_string(), written);
            }
        }
    }
    if lab.nodes.len() < 100 {
        let lab = settle(&lab, &around, None);
        drop(check(&lab, &around));
        drop(design(&lab, &around));
    }
});
