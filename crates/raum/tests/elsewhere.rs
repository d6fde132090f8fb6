//! A lab's host is the network namespace that it was brought up in. From another one that has the same `/run` it is left alone.

use std::fs;
use std::sync::atomic::AtomicBool;
use std::thread;

use raum::Labs;
use raum::error::Error;
use raum_core::name::LabName;
use raum_kernel::{namespace, sandbox};

const LAB: &str = "
lab: shop
switches:
  lan: { subnet: 10.10.0.0/24, gateway: host, nat: true }
namespaces:
  web: { on: lan }
";

fn name() -> LabName {
    LabName::new("shop").expect("a name")
}

fn up() -> Result<(), Error> {
    let lab = raum_core::lab::parse(LAB, &name()).expect("no problems");
    Labs::open()?.up(lab, None, &AtomicBool::new(false), &mut |_, _, _| {}).map(drop)
}

fn down() -> Result<(), Error> {
    Labs::open()?.down(&name(), &mut |_, _, _| {}).map(drop)
}

/// In a network namespace of its own, with everything else as it is here.
fn in_another_network<T: Send>(run: impl FnOnce() -> T + Send) -> T {
    let inside = || {
        namespace::enter_fresh().expect("a namespace");
        run()
    };
    thread::scope(|scope| scope.spawn(inside).join().expect("it ends"))
}

fn is_refused<T>(result: Result<T, Error>) -> bool {
    matches!(result, Err(Error::Elsewhere { lab, way }) if lab == name() && way.exists())
}

#[test]
fn a_lab_is_left_alone_from_another_network() {
    sandbox::run(|| {
        up().expect("up");
        let there = in_another_network(|| {
            let refused =
                [is_refused(up()), is_refused(Labs::open().expect("labs").drift(&name())), is_refused(down())];
            (refused, fs::exists("/proc/sys/net/ipv4/conf/shop-lan").expect("to look"))
        });
        assert_eq!(there, ([true; 3], false));
        let (_, missing) = Labs::open().expect("labs").drift(&name()).expect("a comparison");
        assert!(missing.is_empty(), "{missing:?}");
        down().expect("down");
        assert!(!fs::exists("/run/raum").expect("to look"));
    });
}

#[test]
fn what_is_left_of_a_lab_whose_host_is_gone_is_removed_from_anywhere() {
    sandbox::run(|| {
        in_another_network(up).expect("up");
        assert!(fs::exists("/run/netns/shop-web").expect("to look"));
        down().expect("down");
        assert!(!fs::exists("/run/netns").expect("to look") && !fs::exists("/run/raum").expect("to look"));
    });
}
