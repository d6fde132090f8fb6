//! `raum trace`: the way of a packet, and why it does not arrive.

use raum::place::Place;
use raum::trace::{Report, TraceError, run as follow};
use raum_core::trace::{Reply, Sighting, Step};

use super::inside::explain;
use crate::failure::Failure;
use crate::output::{BAD, DIM, Exit, GOOD, Look, STRONG, answer, answer_json, paint};

pub fn run(from: &str, to: &str, v6: Option<bool>, look: Look) -> Result<Exit, Failure> {
    let target = to.parse().map_err(|error: raum_core::trace::NoTarget| Failure::usage(error.to_string(), None))?;
    let report = follow(&Place::default(), from, &target, v6).map_err(|error| failed(&error))?;
    if look.json {
        answer_json(&report);
    } else {
        answer(&text(&report, to));
    }
    Ok(if report.delivered { Exit::Done } else { Exit::Refused })
}

fn failed(error: &TraceError) -> Failure {
    match error {
        TraceError::Resolve(error) => explain(error),
        TraceError::Observe(_) => Failure::refused(error.to_string(), None),
        TraceError::Send { error: cause, .. } => {
            let help = matches!(cause.code, "EPERM" | "EACCES").then(|| "run it with sudo".to_owned());
            Failure::refused(error.to_string(), help)
        }
    }
}

fn text(report: &Report, to: &str) -> String {
    let trace = &report.trace;
    // where the way ended before it began nobody knows the packet
    let flow = if trace.flow.destination.is_unspecified() { String::new() } else { format!("  {}", trace.flow) };
    let mut text = format!("{} → {}{}\n", paint(STRONG, &report.from), paint(STRONG, to), paint(DIM, flow));
    steps(&trace.there, &mut text);
    if !trace.back.is_empty() {
        text += &format!("{}\n", paint(DIM, "and the answer"));
        steps(&trace.back, &mut text);
    }
    text += &packet(report);
    for note in &report.notes {
        text += &format!("{}\n", paint(DIM, note));
    }
    let style = if report.delivered { GOOD } else { BAD };
    text += &format!("{}\n", paint(style, &report.conclusion));
    if let Some(mend) = trace.cause.as_ref().and_then(|cause| cause.mend.as_deref()) {
        text += &format!("  mend: {}\n", paint(STRONG, mend));
    }
    text
}

/// Each namespace once, with what happens there under it.
fn steps(steps: &[Step], text: &mut String) {
    let mut last = "";
    for step in steps {
        if step.namespace != last {
            *text += &format!("{}\n", paint(STRONG, &step.namespace));
            last = &step.namespace;
        }
        *text += &format!("  {:<9}  {}\n", step.layer, step.text);
    }
}

/// What became of the real packet.
fn packet(report: &Report) -> String {
    let probe = &report.probe;
    let said = match &probe.reply {
        Reply::NotSent => return String::new(),
        Reply::Refused(why) => format!("not sent: {why}"),
        Reply::Answered => "answered".to_owned(),
        Reply::Closed => "refused by the other side".to_owned(),
        Reply::Unreachable(why) => why.clone(),
        Reply::Silence => "no answer".to_owned(),
    };
    let mut text = format!("{}\n  {:<9}  {said}\n", paint(STRONG, "a real packet"), "answer");
    if let Some(last) = probe.sightings.iter().rfind(|sighting| !sighting.answer) {
        text += &format!("  {:<9}  {}\n", "seen", seen(last));
    }
    if let Some(last) = probe.sightings.iter().rfind(|sighting| sighting.answer) {
        text += &format!("  {:<9}  the answer {}\n", "", seen(last));
    }
    for reason in probe.reasons.keys().filter(|_| !report.delivered) {
        text += &format!("  {:<9}  {reason}, says the kernel\n", "dropped");
    }
    for counter in probe.counters.iter().filter(|_| !report.delivered) {
        text += &format!("  {:<9}  {counter}\n", "counter");
    }
    text
}

fn seen(sighting: &Sighting) -> String {
    let last = if sighting.verdict == "drop" { "dropped" } else { "last" };
    format!("{last} in {} ({})", sighting.namespace, sighting.chain)
}
