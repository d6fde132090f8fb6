//! `doctor` on hosts that were spoilt on purpose, as far as a shell alone cannot spoil them.

use raum::Labs;
use raum::doctor::{Finding, Level, examine};
use raum_core::host::{Host, Outcome};
use raum_core::lab::link_group;
use raum_core::name::{IfName, LabName, Mac, NsId};
use raum_core::plan::{Op, VethEnd};
use raum_kernel::release::OWNED_TABLES;
use raum_kernel::sandbox;
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

/// All but what this kernel is too old for, which is nobody's fault.
fn told() -> Vec<Finding> {
    let mut labs = Labs::open().expect("the kernel");
    let told = |finding: &Finding| match finding.code {
        "ipv6-forwarding" | "trace" => finding.level == Level::Problem,
        _ => finding.level != Level::Ok,
    };
    examine(&mut labs).into_iter().filter(told).collect()
}

#[test]
fn a_process_with_half_of_the_rights_is_told_what_it_lacks() {
    sandbox::run(|| {
        let mut sets = capabilities(None).expect("capabilities");
        sets.effective.remove(CapabilitySet::SYS_ADMIN);
        set_capabilities(None, sets).expect("fewer capabilities");
        let told = told();
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!((told[0].code, told[0].level), ("capabilities", Level::Problem));
        assert!(told[0].what.ends_with("has not got CAP_SYS_ADMIN"), "{}", told[0].what);
        assert!(told[0].remedy.contains("SYS_ADMIN"), "{}", told[0].remedy);
    });
}

#[test]
fn interfaces_of_a_lab_that_nobody_knows_are_told_with_the_command_that_removes_them() {
    sandbox::run(|| {
        let mut host = raum_kernel::Linux::new().expect("the kernel");
        let group = link_group(&LabName::new("lost").expect("a name"));
        let end = |name: &str, last| VethEnd {
            ns: NsId::Host,
            name: IfName::new(name).expect("a name"),
            mac: Mac([2, 0, 0, 0, 0, last]),
            mtu: 1500,
            master: None,
            up: false,
        };
        let op = Op::AddVeth { a: end("lost-web", 1), b: end("lost-db", 2), group };
        assert_eq!(host.run(std::slice::from_ref(&op)), [Outcome::Done]);
        let told = told();
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!(told[0].what, "interfaces of a lab that is gone: lost-db, lost-web");
        assert_eq!(told[0].remedy, format!("ip link del group {group}"));
    });
}

#[test]
fn the_examination_changes_nothing() {
    sandbox::run(|| {
        let seen = || {
            let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("mounts");
            let run = std::fs::read_dir("/run").expect("a folder").count();
            let links = std::fs::read_to_string("/proc/self/net/dev").expect("interfaces").lines().count();
            (mounts, run, links)
        };
        let before = seen();
        assert_eq!(told(), []);
        assert_eq!(seen(), before);
    });
}

/// A kernel that says of itself that it is older.
#[test]
fn what_the_kernel_is_too_old_for_is_told() {
    sandbox::run(|| {
        let of_trace = || {
            let mut labs = Labs::open().expect("the kernel");
            let mut found = examine(&mut labs);
            found.retain(|finding| finding.code == "trace");
            found.into_iter().map(|finding| (finding.level, finding.what)).collect::<Vec<_>>()
        };
        let expected = if OWNED_TABLES.is_here() { Level::Ok } else { Level::Note };
        assert_eq!(of_trace().into_iter().map(|(level, _)| level).collect::<Vec<_>>(), [expected]);
        sandbox::say_an_older_release().expect("another personality");
        let told = of_trace();
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].0, Level::Note);
        assert!(told[0].1.contains("5.12"), "{}", told[0].1);
    });
}
