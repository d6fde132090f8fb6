//! `raum export`: the lab file of a lab that is up, whoever wrote it: a file, or steps.

use raum::Labs;
use raum_core::name::LabName;

use crate::failure::Failure;
use crate::output::{Exit, Look, answer, answer_json};

pub fn run(lab: &str, look: Look) -> Result<Exit, Failure> {
    let lab = LabName::new(lab).map_err(|error| Failure::usage(format!("`{lab}` is no lab: {error}"), None))?;
    let text = Labs::open()?.text(&lab)?;
    if look.json {
        answer_json(&serde_json::json!({ "lab": lab, "file": text }));
    } else {
        answer(&text);
    }
    Ok(Exit::Done)
}
