//! Reaching a state on the model host: what happens when an operation is refused, when the user stops, when the host lies.

use std::sync::atomic::{AtomicBool, Ordering};

use raum::reach::{Cause, reach, teardown};
use raum_core::design::{Design, design};
use raum_core::diff::diff;
use raum_core::host::{Host, ObserveError, OpError, Outcome, Scope, Surroundings};
use raum_core::lab::parse;
use raum_core::model::ModelHost;
use raum_core::name::LabName;
use raum_core::plan::{Op, Plan};
use raum_core::state::State;

const LAB: &str = "
lab: t
switches:
  lan: { subnet: [10.10.0.0/24, \"fd10:10::/64\"], gateway: router }
namespaces:
  router: { on: lan, nat: { out: wan }, forward: [\"wan 2222 -> web:22\"] }
  web: { on: lan }
  world: { }
links:
  - ends: [\"router:wan 203.0.113.2/30\", \"world 203.0.113.1/30\"]
";

fn designed(text: &str) -> Design {
    let lab = parse(text, &"t".parse::<LabName>().expect("a name")).expect("a lab");
    design(&lab, &Surroundings { ipv6: true, ..Surroundings::default() })
}

/// Another lab of the same name, so that a change has something to take away, to add and to change.
fn changed() -> Design {
    designed(
        &LAB.replace("web: { on: lan }", "web: { on: lan 10.10.0.77 }\n  new: { on: lan }").replace("2222", "2223"),
    )
}

fn never() -> AtomicBool {
    AtomicBool::new(false)
}

fn refusal() -> OpError {
    OpError { errno: 12, code: "ENOMEM", message: "Cannot allocate memory".to_owned() }
}

fn reached(host: &mut ModelHost, design: &Design) {
    let before = host.observe(&design.scope).expect("observed");
    reach(host, &design.scope, &before, &design.state, &never(), &mut |_, _, _| {}).expect("reached");
}

/// From nothing, and from an older version of the lab.
fn starts() -> Vec<(ModelHost, Design)> {
    let mut older = ModelHost::new();
    reached(&mut older, &designed(LAB));
    vec![(ModelHost::new(), designed(LAB)), (older, changed())]
}

#[test]
fn a_refusal_at_any_step_leaves_the_host_as_it_was() {
    for (start, wanted) in starts() {
        let before = start.clone().observe(&wanted.scope).expect("observed");
        let mut step = 0;
        loop {
            let mut host = start.clone();
            host.fail_at(step, refusal());
            let result = reach(&mut host, &wanted.scope, &before, &wanted.state, &never(), &mut |_, _, _| {});
            let Err(failure) = result else { break };
            assert!(matches!(&failure.cause, Cause::Refused { error, .. } if *error == refusal()), "{failure:?}");
            assert!(failure.left.is_empty(), "step {step}: {:?}", failure.left);
            assert_eq!(host.observe(&wanted.scope).expect("observed"), before, "step {step}");
            step += 1;
        }
        assert!(step > 10, "only {step} steps were tried");
    }
}

#[test]
fn stopping_at_any_stage_leaves_the_host_as_it_was() {
    for (start, wanted) in starts() {
        let before = start.clone().observe(&wanted.scope).expect("observed");
        for stage in 0..100 {
            let mut host = start.clone();
            let stop = never();
            let mut seen = 0;
            let mut at_stage = |_: &'static str, _: usize, _: usize| {
                if seen == stage {
                    stop.store(true, Ordering::Relaxed);
                }
                seen += 1;
            };
            let result = reach(&mut host, &wanted.scope, &before, &wanted.state, &stop, &mut at_stage);
            let Err(failure) = result else {
                assert!(stage > 3, "only {stage} stages");
                break;
            };
            assert!(matches!(failure.cause, Cause::Interrupted { .. }), "{failure:?}");
            assert_eq!(host.observe(&wanted.scope).expect("observed"), before, "stage {stage}");
        }
    }
}

/// Says Done to every IPv6 address, and does nothing.
struct Liar(ModelHost);

impl Host for Liar {
    fn observe(&mut self, scope: &Scope) -> Result<State, ObserveError> {
        self.0.observe(scope)
    }

    fn run(&mut self, stage: &[Op]) -> Vec<Outcome> {
        let lied = |op: &Op| matches!(op, Op::AddAddress { address, .. } if address.addr().is_ipv6());
        let honest: Vec<Op> = stage.iter().filter(|op| !lied(op)).cloned().collect();
        let mut outcomes = self.0.run(&honest).into_iter();
        stage.iter().map(|op| if lied(op) { Outcome::Done } else { outcomes.next().expect("an outcome") }).collect()
    }
}

/// Removes what it is about to be asked to remove a moment before, as the kernel does with the links of a namespace that
/// somebody deleted.
struct Faster(ModelHost);

impl Host for Faster {
    fn observe(&mut self, scope: &Scope) -> Result<State, ObserveError> {
        self.0.observe(scope)
    }

    fn run(&mut self, stage: &[Op]) -> Vec<Outcome> {
        if let Some(removal) = stage.iter().find(|op| matches!(op, Op::DelLink { .. })) {
            assert_eq!(self.0.run(std::slice::from_ref(removal)), [Outcome::Done]);
        }
        self.0.run(stage)
    }
}

#[test]
fn what_somebody_else_removed_meanwhile_stops_nobody() {
    let mut host = ModelHost::new();
    reached(&mut host, &designed(LAB));
    let wanted = designed(&LAB.replace("  web: { on: lan }\n", "").replace(", forward: [\"wan 2222 -> web:22\"]", ""));
    let mut host = Faster(host);
    let before = host.observe(&wanted.scope).expect("observed");
    reach(&mut host, &wanted.scope, &before, &wanted.state, &never(), &mut |_, _, _| {}).expect("reached");
    let after = host.observe(&wanted.scope).expect("observed");
    assert_eq!(diff(&wanted.scope.lab, &after, &wanted.state).expect("no conflicts"), Plan::default());
}

#[test]
fn an_acknowledged_step_that_did_not_happen_is_noticed_and_all_is_taken_back() {
    // without routes over the addresses that are not there: those would be refused
    let wanted =
        designed("lab: t\nnamespaces: { a: , b: }\nlinks:\n  - ends: [\"a 10.0.0.1/24 fd01::1/64\", b 10.0.0.2/24]\n");
    let mut host = Liar(ModelHost::new());
    let before = host.observe(&wanted.scope).expect("observed");
    let failure =
        reach(&mut host, &wanted.scope, &before, &wanted.state, &never(), &mut |_, _, _| {}).expect_err("noticed");
    assert!(matches!(&failure.cause, Cause::Unverified(rest) if !rest.is_empty()), "{failure:?}");
    assert_eq!(host.observe(&wanted.scope).expect("observed"), before);
}

#[test]
fn teardown_goes_on_after_a_refusal_and_leaves_nothing() {
    let wanted = designed(LAB);
    for step in 0..20 {
        let mut host = ModelHost::new();
        reached(&mut host, &wanted);
        let before = host.observe(&wanted.scope).expect("observed");
        host.fail_at(step, refusal());
        let (_, left) =
            teardown(&mut host, &wanted.scope, &before, &State::default(), &mut |_, _, _| {}).expect("looked at");
        assert!(left.is_empty(), "step {step}: {left:?}");
        assert!(host.observe(&wanted.scope).expect("observed").is_bare());
    }
}
