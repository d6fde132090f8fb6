//! Ctrl-C at any moment, SIGTERM, SIGHUP, and readers that go away: the lab is up, or the host is as it was.
//!
//! The moments are each point of `common/points.rs` (`RAUM_ALL_POINTS=1` for all of them), and, for a lab of which much is
//! done by several threads, so many milliseconds.

mod common;

use std::fs;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use common::points::{Judge, VERBS, Verb, begin, raum as raum_with, said, sample};
use common::snapshot;
use common::{RAUM, assert_same, host_side};
use raum_kernel::sandbox;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};

const LAB: &str = r#"
lab: many
switches:
  lan: { subnet: [10.10.0.0/16, "fd10::/64"], gateway: host, nat: true }
namespaces:
  "n[1-150]": { on: lan }
  web: { on: lan, publish: ["8080:80"] }
"#;

fn raum(args: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(RAUM).args(args).output().expect("raum");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Starts `raum`, signals it after so many milliseconds, and gives its exit status and what it said.
fn interrupted(args: &[&str], after: u64, signal: Signal) -> (Option<i32>, String) {
    let child = Command::new(RAUM).args(args).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("raum");
    sleep(Duration::from_millis(after));
    // it may have ended already
    let pid = Pid::from_raw(i32::try_from(child.id()).expect("a pid")).expect("a pid");
    match kill_process(pid, signal) {
        Ok(()) | Err(Errno::SRCH) => {}
        Err(errno) => panic!("{errno}"),
    }
    let output = child.wait_with_output().expect("raum");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn is_undone(said: &str) -> bool {
    said.contains("the host is as before") || said.contains("nothing had been done")
}

#[test]
fn up_is_done_or_undone_whenever_it_is_interrupted() {
    sandbox::run(|| {
        fs::write("/run/many.yaml", LAB).expect("a lab file");
        let before = host_side();
        let (mut done, mut undone) = (0, 0);
        for (after, signal) in (0..40).step_by(4).zip([Signal::INT, Signal::TERM, Signal::HUP].into_iter().cycle()) {
            let (code, said) = interrupted(&["up", "/run/many.yaml"], after, signal);
            match code {
                Some(0) => {
                    done += 1;
                    assert_eq!(raum(&["status"]), (Some(0), String::new()));
                    assert_eq!(raum(&["down", "many"]).0, Some(0));
                }
                Some(1) => {
                    undone += 1;
                    assert!(said.contains("interrupted") && is_undone(&said), "{said}");
                }
                // before it could catch signals
                None => {}
                code => panic!("{code:?}: {said}"),
            }
            assert_same(&before, &host_side(), &format!("{signal:?} after {after} ms"));
        }
        println!("{done} done, {undone} undone");
    });
}

#[test]
fn a_change_is_done_or_undone_whenever_it_is_interrupted() {
    sandbox::run(|| {
        let file = "/run/many.yaml";
        fs::write(file, LAB).expect("a lab file");
        assert_eq!(raum(&["up", file]).0, Some(0));
        let changed = LAB.replace("n[1-150]", "m[1-100]").replace("8080", "8081");
        for after in (0..30).step_by(6) {
            let before = host_side();
            fs::write(file, &changed).expect("a lab file");
            let (code, said) = interrupted(&["up", file], after, Signal::INT);
            match code {
                Some(0) => {
                    fs::write(file, LAB).expect("a lab file");
                    assert_eq!(raum(&["up", file]).0, Some(0));
                }
                Some(1) | None => assert!(code.is_none() || is_undone(&said), "{said}"),
                code => panic!("{code:?}: {said}"),
            }
            assert_same(&before, &host_side(), &format!("interrupted after {after} ms"));
            assert_eq!(raum(&["status"]), (Some(0), String::new()));
        }
        // teardown is not interrupted: it goes on to the end
        let (code, said) = interrupted(&["down", "many"], 10, Signal::INT);
        // unless it came before it could be caught: then nothing was begun
        let code = if code.is_none() { raum(&["down", "many"]).0 } else { code };
        assert_eq!(code, Some(0), "{said}");
        assert!(!fs::exists("/run/netns").expect("to look"));
    });
}

#[test]
fn signalled_at_any_point_it_is_done_or_undone() {
    sandbox::run(|| {
        let mut judge = Judge::new(begin());
        for verb in VERBS {
            let points = verb.points();
            let (mut done, mut undone) = (0, 0);
            for (number, signal) in ["SIGINT", "SIGTERM", "SIGHUP", "pipe"].into_iter().enumerate() {
                for point in sample(points.len(), 4, number) {
                    let when = format!("{verb:?} with {signal} at {}", points[point]);
                    verb.prepare();
                    let at_first = verb.look();
                    let output = raum_with(&verb.args(), Some(&format!("{signal}@{point}")));
                    let said = said(&output);
                    let when = format!("{when}: {said}");
                    match (output.status.code(), verb) {
                        // what was begun is finished, and nobody need hear of it
                        (Some(0), Verb::Down) => judge.same(&judge.before.clone(), &snapshot::take(), &when),
                        (Some(0), _) => judge.fine(&["status", "all"], &when),
                        (Some(1), Verb::Up | Verb::Change) if said.contains("interrupted") && is_undone(&said) => {
                            judge.same(&at_first, &verb.look(), &when);
                        }
                        _ => judge.wrong.push(when.clone()),
                    }
                    *(if output.status.success() { &mut done } else { &mut undone }) += 1;
                    judge.clean(&when);
                }
            }
            println!("{verb:?}: {done} done, {undone} undone");
        }
        judge.end();
    });
}
