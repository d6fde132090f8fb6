//! Killed anywhere, refused anywhere: `up`, a changing `up` and `down` of a lab that uses everything, with a fault at each
//! netlink message and each file operation in turn (`common/points.rs` says which, and `RAUM_ALL_POINTS=1` takes all).

mod common;

use std::os::unix::process::ExitStatusExt;

use common::points::{Judge, NEW, VERBS, Verb, begin, fine, raum, said, sample, whole};
use common::snapshot;
use raum_kernel::sandbox;

/// The command dies at that point, or, where the threads' order left it out, ends well.
fn killed(verb: Verb, point: usize, when: &str, judge: &mut Judge) {
    verb.prepare();
    let output = raum(&verb.args(), Some(&format!("kill@{point}")));
    if output.status.signal() != Some(9) && !output.status.success() {
        judge.wrong.push(format!("{when}: {}", said(&output)));
    }
}

#[test]
fn killed_anywhere_down_leaves_nothing() {
    sandbox::run(|| {
        let mut judge = Judge::new(begin());
        for (number, verb) in VERBS.into_iter().enumerate() {
            let points = verb.points();
            let tried = sample(points.len(), 12, number);
            for point in &tried {
                let when = format!("{verb:?} killed at {}", points[*point]);
                killed(verb, *point, &when, &mut judge);
                judge.clean(&when);
            }
            println!("{verb:?}: killed at {} of {} points", tried.len(), points.len());
        }
        judge.end();
    });
}

#[test]
fn killed_anywhere_up_reaches_the_wanted_state() {
    sandbox::run(|| {
        let mut judge = Judge::new(begin());
        fine(&["up", "--replace", NEW], "undisturbed");
        let wanted = whole();
        judge.clean("undisturbed");
        for (number, verb) in VERBS.into_iter().enumerate() {
            let points = verb.points();
            let tried = sample(points.len(), 12, number + 1);
            for point in &tried {
                let when = format!("{verb:?} killed at {}", points[*point]);
                killed(verb, *point, &when, &mut judge);
                judge.fine(&["up", "--replace", NEW], &when);
                judge.fine(&["status", "all"], &when);
                judge.same(&wanted, &whole(), &when);
                judge.clean(&when);
            }
            println!("{verb:?}: killed at {} of {} points", tried.len(), points.len());
        }
        judge.end();
    });
}

const FAULTS: [&str; 9] = ["EBUSY", "ENOMEM", "ENOSPC", "EEXIST", "ENODEV", "EPERM", "interrupted", "short", "lost"];

#[test]
fn refused_anywhere_it_is_done_or_undone_or_what_is_left_is_listed() {
    sandbox::run(|| {
        let mut judge = Judge::new(begin());
        for verb in VERBS {
            let points = verb.points();
            let (mut tried, mut statuses) = (0, [0; 4]);
            for (number, fault) in FAULTS.into_iter().enumerate() {
                for point in sample(points.len(), 3, number) {
                    let when = format!("{verb:?} with {fault} at {}", points[point]);
                    verb.prepare();
                    let at_first = verb.look();
                    let output = raum(&verb.args(), Some(&format!("{fault}@{point}")));
                    let when = format!("{when}: {}", said(&output));
                    tried += 1;
                    match (output.status.code(), verb) {
                        (Some(0), Verb::Down) => judge.same(&judge.before.clone(), &snapshot::take(), &when),
                        (Some(0), _) => judge.fine(&["status", "all"], &when),
                        (Some(1), Verb::Down) if when.contains("error: ") => {}
                        // a lock that was not got must stay where it is: another one may have it
                        (Some(1), _) if when.contains("cannot lock /run/raum: ") => {}
                        // an interface of the file is gone for all that the command can see
                        (Some(2), _) if fault == "ENODEV" => judge.same(&at_first, &verb.look(), &when),
                        (Some(1), _) => judge.same(&at_first, &verb.look(), &when),
                        (Some(3), _) if when.contains("these are still to be done:\n  ") => {}
                        _ => judge.wrong.push(when.clone()),
                    }
                    let code = output.status.code().and_then(|code| usize::try_from(code).ok()).expect("a status");
                    statuses[code] += 1;
                    judge.clean(&when);
                }
            }
            println!("{verb:?}: {tried} faults; statuses 0, 1, 3: {}, {}, {}", statuses[0], statuses[1], statuses[3]);
        }
        judge.end();
    });
}
