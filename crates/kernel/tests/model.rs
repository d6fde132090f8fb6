//! The imagined host of `raum_core::model` and the real one: the same plans and the same damage, and both must look the same
//! afterwards. What properties show of `diff` on the model is true of Linux as far as this holds.

use raum_core::diff::diff;
use raum_core::host::{Host, Outcome, Scope};
use raum_core::model::{ModelHost, imagine};
use raum_core::name::{IfName, LabName, Mac, NsId};
use raum_core::plan::{LinkChange, Op, Plan};
use raum_core::state::{PortFlag, State};
use raum_kernel::{Linux, sandbox};

/// Pairs of states each test goes through.
const ROUNDS: u64 = 60;

fn lab() -> LabName {
    LabName::new("mine").unwrap()
}

/// Numbers that look like chance and are the same each time (Steele, Lea, Flood: SplitMix64).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u8) -> u8 {
        u8::try_from(self.next() % u64::from(n.max(1))).unwrap()
    }
}

struct Both {
    linux: Linux,
    model: ModelHost,
    scope: Scope,
}

impl Both {
    fn new() -> Self {
        let uplink = Op::AddBridge {
            ns: NsId::Host,
            name: IfName::new(imagine::UPLINK).unwrap(),
            mac: Mac([2, 0, 0, 0, 0, 1]),
            mtu: 1500,
            group: 0,
        };
        let mut both = Self { linux: Linux::new().unwrap(), model: ModelHost::new(), scope: Scope::of(&lab()) };
        both.model.by_hand(&uplink).unwrap();
        assert_eq!(both.linux.run(&[uplink]), [Outcome::Done]);
        both
    }

    /// What is seen of both, which must be one.
    fn seen(&mut self, after: &str) -> State {
        let on_linux = self.linux.observe(&self.scope).unwrap();
        let imagined = self.model.observe(&self.scope).unwrap();
        assert!(
            on_linux == imagined,
            "{after}\nonly on Linux:\n{}only imagined:\n{}",
            without(&on_linux, &imagined),
            without(&imagined, &on_linux)
        );
        on_linux
    }

    fn apply(&mut self, plan: &Plan) {
        let listing: String = plan.ops().map(|op| format!("{op:?}\n")).collect();
        for stage in &plan.stages {
            let (done, imagined) = (self.linux.run(&stage.ops), self.model.run(&stage.ops));
            for ((op, done), imagined) in stage.ops.iter().zip(&done).zip(&imagined) {
                assert_eq!(done, &Outcome::Done, "{op:?} in {} of\n{listing}", stage.title);
                assert_eq!(imagined, &Outcome::Done, "imagined {op:?} in {}", stage.title);
            }
        }
    }

    fn reach(&mut self, target: &State) {
        let from = self.seen("before a plan");
        let plan = diff(&lab(), &from, target).unwrap();
        self.apply(&plan);
        let listing: String = plan.ops().map(|op| format!("{op:?}\n")).collect();
        let reached = self.seen(&listing);
        assert_eq!(diff(&lab(), &reached, target), Ok(Plan::default()), "{listing}");
    }

    /// The same by hand on both; refused by one, it must be refused by the other.
    fn by_hand(&mut self, op: &Op) {
        let imagined = self.model.by_hand(op);
        let done = self.linux.run(std::slice::from_ref(op));
        match (&done[0], &imagined) {
            (Outcome::Done, Ok(_)) => {}
            (Outcome::Failed(real), Err(imagined)) => assert_eq!(real.code, imagined.code, "{op:?}"),
            (real, imagined) => panic!("{op:?}: {real:?} on Linux, imagined {imagined:?}"),
        }
    }
}

/// The lines of one that the other has not.
fn without(one: &State, other: &State) -> String {
    let other = other.to_string();
    let mut lines: Vec<&str> = other.lines().collect();
    lines.sort_unstable();
    let one = one.to_string();
    one.lines().filter(|line| lines.binary_search(line).is_err()).map(|line| format!("  {line}\n")).collect()
}

/// Without sysctls: what those were before is a matter of the machine.
fn imagined(chance: &mut Chance) -> State {
    let mut state = imagine::state(&lab(), &mut |n| chance.below(n));
    state.namespaces.values_mut().for_each(|ns| ns.sysctls.clear());
    state
}

/// What a person may do to what is there; not all of it succeeds.
fn damage(seen: &State, chance: &mut Chance) -> Vec<Op> {
    let mut ops: Vec<Op> = Vec::new();
    for (id, ns) in &seen.namespaces {
        let id = || id.clone();
        for (name, link) in &ns.links {
            let change = match chance.below(7) {
                0 | 1 => LinkChange { up: Some(!link.up), ..LinkChange::default() },
                2 => LinkChange { mtu: Some(1279), ..LinkChange::default() },
                3 => LinkChange { master: Some(None), ..LinkChange::default() },
                4 => LinkChange { arp: Some(!link.arp), ..LinkChange::default() },
                5 => {
                    let flags = [PortFlag::Learning, PortFlag::Flood, PortFlag::McastFlood, PortFlag::NeighSuppress];
                    let flag = flags[usize::from(chance.below(4))];
                    LinkChange { port: [(flag, !flag.is_usual())].into(), ..LinkChange::default() }
                }
                _ => LinkChange { mac: Some(Mac([2, 9, 9, 9, 9, 9])), ..LinkChange::default() },
            };
            ops.push(Op::SetLink { ns: id(), name: name.clone(), set: change });
            ops.push(Op::DelLink { ns: id(), name: name.clone() });
            let address = format!("10.{}.0.77/24", chance.below(4)).parse().unwrap();
            ops.push(Op::AddAddress { ns: id(), link: name.clone(), address });
            let mut addresses = link.addresses.iter();
            ops.extend(addresses.next().map(|a| Op::DelAddress { ns: id(), link: name.clone(), address: *a }));
        }
        ops.extend(ns.routes.iter().map(|route| Op::DelRoute { ns: id(), route: route.clone() }));
        ops.extend(ns.table.iter().map(|table| Op::DelTable { ns: id(), name: table.name.clone() }));
    }
    (0..1 + chance.below(6))
        .filter_map(|_| Some(ops.get(usize::from(chance.below(u8::try_from(ops.len()).ok()?)))?.clone()))
        .collect()
}

fn go_through(seed: u64, mut step: impl FnMut(&mut Both, &mut Chance)) {
    let mut chance = Chance(seed);
    let mut both = Both::new();
    for _ in 0..ROUNDS {
        let target = imagined(&mut chance);
        let present = both.linux.observe(&both.scope).unwrap();
        both.scope = imagine::scope(&lab(), &[&present, &target]);
        both.reach(&target);
        step(&mut both, &mut chance);
        both.reach(&target);
    }
    both.reach(&State::default());
    assert!(both.linux.observe(&Scope::of(&lab())).unwrap().is_bare());
}

#[test]
fn random_plans_lead_to_the_same_on_both() {
    sandbox::run(|| go_through(1, |_, _| {}));
}

#[test]
fn damage_by_hand_does_the_same_to_both_and_is_repaired_on_both() {
    sandbox::run(|| {
        go_through(2, |both, chance| {
            let seen = both.seen("before the damage");
            for op in damage(&seen, chance) {
                both.by_hand(&op);
                both.seen(&format!("after {op:?}"));
            }
        });
    });
}
