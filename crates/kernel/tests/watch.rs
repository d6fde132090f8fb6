//! What happens in namespaces is told as it happens, also in those that come while one watches; what was missed is told too.

mod bare;

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use raum_core::view::{Change, Event, What};
use raum_kernel::namespace::{enter, present};
use raum_kernel::sandbox;
use raum_kernel::scene::Watcher;
use rustix::mount::{UnmountFlags, unmount};

/// Watches until an event is of this kind. Events of other tests' namespaces come in between.
fn until(watcher: &mut Watcher, what: &str, test: impl Fn(&Event) -> bool) -> Event {
    let end = Instant::now() + Duration::from_secs(600);
    let mut seen = Vec::new();
    while Instant::now() < end {
        let events = watcher.wait(Duration::from_millis(200)).expect("events");
        if let Some(found) = events.iter().find(|event| test(event)) {
            return found.clone();
        }
        seen.extend(events);
    }
    panic!("{what} was not told: {seen:#?}");
}

fn line(event: &Event) -> String {
    format!("{} {} {}", event.namespace, event.change.sign(), event.what)
}

/// All lines of one namespace up to the one that is awaited.
fn lines_until(watcher: &mut Watcher, namespace: &str, last: &str) -> Vec<String> {
    let end = Instant::now() + Duration::from_secs(600);
    let mut lines: Vec<String> = Vec::new();
    while Instant::now() < end {
        let events = watcher.wait(Duration::from_millis(200)).expect("events");
        lines.extend(events.iter().filter(|event| event.namespace == namespace).map(line));
        if lines.iter().any(|line| line == last) {
            return lines;
        }
    }
    panic!("`{last}` was not told: {lines:#?}");
}

#[test]
fn links_addresses_routes_and_neighbours_are_told_with_their_namespace() {
    sandbox::run(|| {
        let host = present().expect("here");
        let red = bare::bound("/run/netns/red");
        let mut watcher = Watcher::open().expect("to watch");
        bare::wire((&host, "to-red", 40), (&red, "eth0", 41));
        bare::address(&red, 41, [10, 0, 0, 1], 24);
        bare::default_route(&red, 41, [10, 0, 0, 9]);
        bare::neighbour(&red, 41, [10, 0, 0, 77], [2, 0, 0, 0, 0, 77]);
        let lines =
            lines_until(&mut watcher, "red", "red ~ neighbour 10.0.0.77 on eth0 at 02:00:00:00:00:4d permanent");
        for wanted in [
            "red + link eth0 (veth) down",
            "red ~ link eth0 is up",
            "red + address 10.0.0.1/24 on eth0",
            "red + route 10.0.0.0/24 dev eth0 src 10.0.0.1 proto kernel",
            "red + route default via 10.0.0.9 dev eth0 proto static",
        ] {
            let count = lines.iter().filter(|line| *line == wanted).count();
            assert_eq!(count, 1, "{wanted} in {lines:#?}");
        }
        bare::remove(&host, 40);
        let lines = lines_until(&mut watcher, "red", "red - link eth0 (veth) down");
        assert!(lines.contains(&"red - address 10.0.0.1/24 on eth0".to_owned()), "{lines:#?}");
    });
}

#[test]
fn namespaces_that_come_and_go_are_told_and_are_not_kept_alive() {
    sandbox::run(|| {
        let host = present().expect("here");
        let mut watcher = Watcher::open().expect("to watch");
        let red = bare::bound("/run/netns/red");
        let namespace = |name: &'static str, change: Change| {
            move |event: &Event| {
                event.namespace == name && event.change == change && matches!(event.what, What::Namespace { .. })
            }
        };
        until(&mut watcher, "red has come", namespace("red", Change::Added));
        // one that only a process has: found by and by
        let mut cat = std::thread::scope(|scope| {
            let nameless = bare::room();
            let start = move || {
                enter(nameless.as_fd()).expect("inside");
                std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().expect("cat")
            };
            scope.spawn(start).join().expect("a thread")
        });
        // it may have been seen before, as that of the thread that starts the process: then it is called otherwise now
        let of_cat = |event: &Event| match &event.what {
            What::Namespace { name, owner } => {
                event.change != Change::Removed
                    && (name.ends_with(&cat.id().to_string()) || owner.to_string().contains("cat"))
            }
            _ => false,
        };
        let nameless = match until(&mut watcher, "the namespace of a process has come", of_cat).what {
            What::Namespace { name, .. } => name,
            other => panic!("{other}"),
        };
        // what happens in those that have come while one watches is told as well
        bare::wire((&host, "to-red", 40), (&red, "eth0", 41));
        until(&mut watcher, "a link", |event| line(event) == "red + link eth0 (veth) down");
        drop(cat.stdin.take());
        cat.wait().expect("cat ends");
        let gone = move |event: &Event| {
            event.namespace == nameless
                && event.change == Change::Removed
                && matches!(event.what, What::Namespace { .. })
        };
        until(&mut watcher, "the namespace of the process is gone", gone);
        unmount("/run/netns/red", UnmountFlags::DETACH).expect("an unmount");
        drop(red);
        until(&mut watcher, "red is gone", namespace("red", Change::Removed));
    });
}

#[test]
fn what_was_missed_is_told_and_looked_at_anew() {
    sandbox::run(|| {
        let host = present().expect("here");
        let mut watcher = Watcher::with_buffer(4096).expect("to watch");
        for index in 100..160 {
            bare::bridge(&host, &format!("br{index}"), index);
        }
        until(&mut watcher, "that something was missed", |event| event.change == Change::Missed);
        // all of them are known by now: a change of one is no news of its existence
        let end = Instant::now() + Duration::from_secs(5);
        while Instant::now() < end && !watcher.wait(Duration::from_millis(100)).expect("events").is_empty() {}
        bare::remove(&host, 159);
        until(&mut watcher, "the last bridge is gone", |event| {
            event.namespace == "host" && event.change == Change::Removed && event.what.to_string().contains("br159")
        });
    });
}

#[test]
fn a_removed_namespace_whose_name_and_number_are_used_again_is_not_confused_with_the_new_one() {
    const MANY: usize = 60;
    /// More messages than are read before events are handed out.
    const FLOOD: usize = 2500;
    sandbox::run(|| {
        let host = present().expect("here");
        let name = |number: usize| format!("room{number}");
        let make = || {
            let made = (0..MANY).map(|number| bare::bound(&format!("/run/netns/{}", name(number))));
            drop(made.collect::<Vec<_>>());
        };
        make();
        let mut watcher = Watcher::open().expect("to watch");
        for number in 0..FLOOD {
            let [.., high, low] = u32::try_from(number).expect("small").to_be_bytes();
            bare::address(&host, 1, [10, 99, high, low], 32);
        }
        for number in 0..MANY {
            unmount(format!("/run/netns/{}", name(number)).as_str(), UnmountFlags::DETACH).expect("an unmount");
            std::fs::remove_file(format!("/run/netns/{}", name(number))).expect("a file");
        }
        make();
        // the old ones have gone, and each new one has come last
        let mut last: BTreeMap<String, Change> = BTreeMap::new();
        let mut gone = 0;
        let end = Instant::now() + Duration::from_secs(600);
        let is_done = |last: &BTreeMap<String, Change>, gone: usize| {
            gone >= MANY && (0..MANY).all(|number| last.get(&name(number)) == Some(&Change::Added))
        };
        while Instant::now() < end && !is_done(&last, gone) {
            for event in watcher.wait(Duration::from_millis(200)).expect("events") {
                if matches!(event.what, What::Namespace { .. }) && event.namespace.starts_with("room") {
                    gone += usize::from(event.change == Change::Removed);
                    // one for which the old one still has the name is called by its inode, too
                    let bare = event.namespace.split('#').next().unwrap_or_default().to_owned();
                    if event.change == Change::Added || event.namespace == bare {
                        last.insert(bare, event.change);
                    }
                }
            }
        }
        assert!(is_done(&last, gone), "{gone} gone, {last:#?}");
    });
}
