//! What `view` shows is what is there: compared with /proc, which says it in other words.

use std::fs;

use raum_core::name::NsId;
use raum_kernel::{sandbox, view};
use rustix::fs::{CWD, FileType, Mode, mknodat};

#[test]
fn the_loopback_of_a_fresh_namespace_is_shown() {
    sandbox::run(|| {
        let before = view::view(&NsId::Host).expect("a view");
        assert!(!before.interfaces[0].up);
        sandbox::loopback_up().expect("lo up");
        let seen = view::view(&NsId::Host).expect("a view");
        let lo = &seen.interfaces[0];
        assert_eq!((lo.name.as_str(), lo.kind.as_str(), lo.up, lo.mtu), ("lo", "loopback", true, 65536));
        assert!(lo.addresses.contains(&"127.0.0.1/8".parse().expect("an address")));
        let names = fs::read_to_string("/proc/net/dev").expect("/proc/net/dev");
        assert_eq!(seen.interfaces.len(), names.lines().count() - 2);
    });
}

#[test]
fn a_namespace_that_is_not_there_is_told_with_its_path() {
    sandbox::run(|| {
        let error = view::view(&"nowhere".parse::<NsId>().expect("a name")).expect_err("no such namespace");
        assert!(error.to_string().contains("/run/netns/nowhere"), "{error}");
    });
}

#[test]
fn a_pipe_in_the_place_of_a_namespace_is_not_waited_for() {
    sandbox::run(|| {
        fs::create_dir_all("/run/netns").expect("a folder");
        mknodat(CWD, "/run/netns/pipe", FileType::Fifo, Mode::RUSR, 0).expect("a pipe");
        let error = view::view(&"pipe".parse::<NsId>().expect("a name")).expect_err("no namespace");
        assert!(error.to_string().contains("EINVAL"), "{error}");
    });
}
