//! Checks: what is wrong with a lab as a whole, found before anything is touched.
//!
//! A lab without problems can be designed, and the kernel has no reason to refuse what comes of it, as far as the lab and
//! its [`Surroundings`] tell. What is merely unusual passes: a namespace that is the gateway and does not forward may be
//! the very lesson of a lab. Every problem ends in a way out.

mod addresses;
mod ends;
mod expect;
mod filter;
mod names;
mod ports;
mod routing;
mod scene;
mod subnets;

use std::collections::HashMap;

use super::Lab;
use crate::host::Surroundings;
use crate::problem::Problem;
use scene::Scene;
pub(super) use scene::overlap;

/// So many problems of a lab are told.
const PROBLEMS_MAX: usize = 1000;

/// All problems of the lab, in the order of the file.
///
/// What the many names of a range have in common is one problem, not one for each.
#[must_use]
pub fn check(lab: &Lab, around: &Surroundings) -> Vec<Problem> {
    let scene = Scene::of(lab, around);
    let mut problems = Vec::new();
    names::check(&scene, &mut problems);
    ends::check(&scene, &mut problems);
    subnets::check(&scene, &mut problems);
    addresses::check(&scene, &mut problems);
    routing::check(&scene, &mut problems);
    ports::check(&scene, &mut problems);
    filter::check(&scene, &mut problems);
    expect::check(&scene, &mut problems);
    problems.sort_by(|a, b| (a.span.start, a.span.end, &a.message).cmp(&(b.span.start, b.span.end, &b.message)));
    // more than anybody would read
    problems.truncate(PROBLEMS_MAX);
    gather(problems)
}

/// Problems of one place that differ in numbers only become the first of them.
fn gather(problems: Vec<Problem>) -> Vec<Problem> {
    let mut seen: HashMap<_, usize> = HashMap::new();
    let mut kept: Vec<(Problem, usize)> = Vec::new();
    for problem in problems {
        let shape: String = problem.message.chars().filter(|c| !c.is_ascii_digit()).collect();
        // labs that do not come from a file have no places
        let key = (!problem.span.is_empty()).then(|| (problem.span.clone(), shape));
        match key.as_ref().and_then(|key| seen.get(key)) {
            Some(&at) => kept[at].1 += usize::from(kept[at].0.message != problem.message),
            None => {
                if let Some(key) = key {
                    seen.insert(key, kept.len());
                }
                kept.push((problem, 0));
            }
        }
    }
    kept.into_iter()
        .map(|(mut problem, more)| {
            if more > 0 {
                let comma = if problem.label.is_empty() { "" } else { ", " };
                problem.label = format!("{}{comma}and {more} more like this", problem.label);
            }
            problem
        })
        .collect()
}

/// The known word nearest to a wrong one, if any is near.
#[must_use]
pub fn nearest<'k>(word: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    let lower = word.to_ascii_lowercase();
    known
        .map(|key| (strsim::damerau_levenshtein(&lower, &key.to_ascii_lowercase()), key))
        .filter(|&(distance, key)| distance <= 1 + key.len() / 4 && distance < key.len())
        .min()
        .map(|(_, key)| key)
}

/// `did you mean ...?` if some known word is near, else what is known, else `otherwise`.
pub(super) fn did_you_mean<'k>(word: &str, known: impl Iterator<Item = &'k str> + Clone, otherwise: &str) -> String {
    match nearest(word, known.clone()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => match list(known.map(|k| format!("`{k}`"))) {
            None => otherwise.to_owned(),
            Some(known) => format!("there is {known}"),
        },
    }
}

/// The first few, with commas.
fn list(mut all: impl Iterator<Item = String>) -> Option<String> {
    const SHOWN: usize = 5;
    let mut text = all.next()?;
    for (at, item) in all.enumerate() {
        if at + 1 == SHOWN {
            text.push_str(", …");
            break;
        }
        text.push_str(", ");
        text.push_str(&item);
    }
    Some(text)
}

/// `IPv4` or `IPv6`.
fn family(v6: bool) -> &'static str {
    if v6 { "IPv6" } else { "IPv4" }
}
