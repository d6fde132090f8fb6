//! `doctor` on hosts that were spoilt on purpose, as far as a shell alone cannot spoil them.

use raum::Labs;
use raum::doctor::{Finding, Level, examine};
use raum_core::host::{Host, Outcome};
use raum_core::lab::link_group;
use raum_core::name::{IfName, LabName, Mac, NsId};
use raum_core::plan::{Op, VethEnd};
use raum_kernel::sandbox;
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

fn told() -> Vec<Finding> {
    let mut labs = Labs::open().expect("the kernel");
    examine(&mut labs).into_iter().filter(|finding| finding.level != Level::Ok).collect()
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
