//! Reaching a state: plan, run, look again, and on any failure go back to what was there.
//!
//! The only place where operations are run. It knows no labs and no files, so the same code is driven by the tests against
//! the model host, with a fault at every operation, and by the commands against Linux.

use std::sync::atomic::{AtomicBool, Ordering};

use raum_core::diff::{Conflict, diff};
use raum_core::host::{Host, ObserveError, OpError, Outcome, Scope};
use raum_core::plan::{Op, Plan, Stage};
use raum_core::state::State;

/// How often a target is approached when what is seen afterwards differs: somebody else may be at work on the same objects.
const ATTEMPTS: usize = 3;

/// What the kernel says of an object that somebody else removed or made in the meantime.
const ELSEWHERE: [&str; 4] = ["ENODEV", "ENOENT", "ESRCH", "EEXIST"];

/// Told before each stage: title, operations done so far, operations in all.
pub type Progress<'a> = dyn FnMut(&'static str, usize, usize) + 'a;

/// What `reach` did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reached {
    /// The plan that was run; empty if there was nothing to do.
    pub plan: Plan,
}

/// Why the target was not reached. Whatever the reason, the host is as before, except for what `left` lists.
#[derive(Debug)]
pub struct Failure {
    /// What happened.
    pub cause: Cause,
    /// How many operations had been done, and were undone.
    pub undone: usize,
    /// What could not be undone: the operations that would still be needed, with the reason where there is one.
    pub left: Vec<Left>,
}

/// Something that could not be put right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// What would have to be done.
    pub op: Op,
    /// Why the kernel did not.
    pub why: Option<OpError>,
}

/// The reason of a [`Failure`].
#[derive(Debug)]
pub enum Cause {
    /// Foreign objects have names that are wanted. Nothing was touched.
    Conflicts(Vec<Conflict>),
    /// The host could not be looked at.
    Observe(ObserveError),
    /// The kernel refused an operation.
    Refused {
        /// Its number in the plan, from 1.
        step: usize,
        /// How many there are.
        of: usize,
        /// The operation.
        op: Box<Op>,
        /// The kernel's words.
        error: OpError,
    },
    /// The user asked to stop (Ctrl-C, SIGTERM, SIGHUP).
    Interrupted {
        /// The operations done by then.
        done: usize,
        /// How many there are.
        of: usize,
    },
    /// Everything was acknowledged, yet the host shows something else: these operations would still be needed. Somebody
    /// else works on the same objects.
    Unverified(Plan),
    /// The caller's last step, after the network, failed: a file could not be written.
    Caller(String),
}

/// Brings the host from `before`, which was just observed, to `target`, or leaves it as it was.
///
/// # Errors
/// [`Failure`], after everything has been undone that could be.
pub fn reach(
    host: &mut dyn Host,
    scope: &Scope,
    before: &State,
    target: &State,
    stop: &AtomicBool,
    progress: &mut Progress<'_>,
) -> Result<Reached, Failure> {
    let untouched = |cause| Failure { cause, undone: 0, left: Vec::new() };
    let plan = diff(&scope.lab, before, target).map_err(|conflicts| untouched(Cause::Conflicts(conflicts)))?;
    let mut done = 0;
    let mut result = run(host, &plan, &mut done, stop, progress).and_then(|()| verify(host, scope, target));
    for _ in 1..ATTEMPTS {
        let Some(rest) = overtaken(host, scope, target, &result) else { break };
        result = run(host, &rest, &mut done, stop, progress).and_then(|()| verify(host, scope, target));
    }
    match result {
        Ok(()) => Ok(Reached { plan }),
        Err(cause) => Err(undo(host, scope, before, &plan, done, cause)),
    }
}

/// What is still to be done where somebody else was faster: what was refused is needed no longer, or something was undone
/// behind our back. Mostly it is the kernel itself, which removes the links of a deleted namespace in its own time
/// (`cleanup_net`, net/core/net_namespace.c).
fn overtaken(host: &mut dyn Host, scope: &Scope, target: &State, result: &Result<(), Cause>) -> Option<Plan> {
    match result {
        Err(Cause::Unverified(rest)) => Some(rest.clone()),
        Err(Cause::Refused { op, error, .. }) if ELSEWHERE.contains(&error.code) => {
            let now = host.observe(scope).ok()?;
            let rest = diff(&scope.lab, &now, target).ok()?;
            let needed = rest.ops().any(|needed| needed == op.as_ref());
            (!needed).then_some(rest)
        }
        _ => None,
    }
}

/// Goes back to `before` because a step after the network failed: `cause` says which.
pub fn take_back(host: &mut dyn Host, scope: &Scope, before: &State, plan: &Plan, cause: String) -> Failure {
    undo(host, scope, before, plan, plan.ops().count(), Cause::Caller(cause))
}

/// Takes away whatever can be taken away: unlike [`reach`] it goes on after an error, and never goes back.
///
/// # Errors
/// [`ObserveError`] if the host cannot be looked at. Otherwise what is left is in the answer: empty is what one wants.
pub fn teardown(
    host: &mut dyn Host,
    scope: &Scope,
    before: &State,
    target: &State,
    progress: &mut Progress<'_>,
) -> Result<(Plan, Vec<Left>), ObserveError> {
    let first = diff(&scope.lab, before, target).unwrap_or_default();
    let mut left = approach(host, scope, before.clone(), target, progress)?;
    left.dedup();
    Ok((first, left))
}

/// Runs a plan; `done` counts the operations that were done, over all plans of one change.
fn run(
    host: &mut dyn Host,
    plan: &Plan,
    done: &mut usize,
    stop: &AtomicBool,
    progress: &mut Progress<'_>,
) -> Result<(), Cause> {
    let of = *done + plan.ops().count();
    for stage in &plan.stages {
        if stop.load(Ordering::Relaxed) {
            return Err(Cause::Interrupted { done: *done, of });
        }
        progress(stage.title, *done, of);
        let outcomes = host.run(&stage.ops);
        if let Some((i, error)) = first_failure(&outcomes) {
            *done += i;
            return Err(Cause::Refused { step: *done + 1, of, op: Box::new(stage.ops[i].clone()), error });
        }
        *done += stage.ops.len();
    }
    if stop.load(Ordering::Relaxed) && *done > 0 {
        return Err(Cause::Interrupted { done: *done, of });
    }
    Ok(())
}

fn first_failure(outcomes: &[Outcome]) -> Option<(usize, OpError)> {
    outcomes.iter().enumerate().find_map(|(i, outcome)| match outcome {
        Outcome::Failed(error) => Some((i, error.clone())),
        Outcome::Done | Outcome::NotRun => None,
    })
}

fn verify(host: &mut dyn Host, scope: &Scope, target: &State) -> Result<(), Cause> {
    let after = host.observe(scope).map_err(Cause::Observe)?;
    let rest = diff(&scope.lab, &after, target).map_err(Cause::Conflicts)?;
    if rest.is_empty() { Ok(()) } else { Err(Cause::Unverified(rest)) }
}

fn undo(host: &mut dyn Host, scope: &Scope, before: &State, plan: &Plan, undone: usize, cause: Cause) -> Failure {
    let left = match host.observe(scope).and_then(|now| approach(host, scope, now, before, &mut |_, _, _| {})) {
        Ok(left) => left,
        // unable to look, so unable to say what is left: the plan's operations are the honest answer
        Err(error) => plan.ops().map(|op| Left { op: op.clone(), why: Some(error.cause.clone()) }).collect(),
    };
    Failure { cause, undone, left }
}

/// Runs towards `target` over refused operations, as often as that still changes something.
fn approach(
    host: &mut dyn Host,
    scope: &Scope,
    mut now: State,
    target: &State,
    progress: &mut Progress<'_>,
) -> Result<Vec<Left>, ObserveError> {
    let mut refusals: Vec<(Op, OpError)> = Vec::new();
    for _ in 0..ATTEMPTS {
        // a conflict while going back: a foreign object has taken the name of one of ours that is gone
        let Ok(plan) = diff(&scope.lab, &now, target) else { break };
        if plan.is_empty() {
            return Ok(Vec::new());
        }
        refusals = run_over(host, &plan.stages, progress);
        let next = host.observe(scope)?;
        if next == now {
            break;
        }
        now = next;
    }
    let rest = diff(&scope.lab, &now, target).unwrap_or_default();
    let why = |op: &Op| refusals.iter().find(|(refused, _)| refused == op).map(|(_, error)| error.clone());
    Ok(rest.ops().map(|op| Left { op: op.clone(), why: why(op) }).collect())
}

/// Runs every operation that is not refused; what the kernel did not get to see because of an earlier refusal is tried
/// once more, one by one.
fn run_over(host: &mut dyn Host, stages: &[Stage], progress: &mut Progress<'_>) -> Vec<(Op, OpError)> {
    let of = stages.iter().map(|stage| stage.ops.len()).sum();
    let mut done = 0;
    let mut refusals = Vec::new();
    for stage in stages {
        progress(stage.title, done, of);
        for (op, outcome) in stage.ops.iter().zip(host.run(&stage.ops)) {
            let outcome = match outcome {
                Outcome::NotRun => host.run(std::slice::from_ref(op)).pop().unwrap_or(Outcome::NotRun),
                other => other,
            };
            if let Outcome::Failed(error) = outcome {
                refusals.push((op.clone(), error));
            }
        }
        done += stage.ops.len();
    }
    refusals
}
