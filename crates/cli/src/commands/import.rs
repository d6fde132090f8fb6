//! `raum import`: a lab file out of namespaces that exist already.

use raum::import::of_host;
use raum_core::name::LabName;

use crate::failure::Failure;
use crate::output::{Exit, Look, answer, answer_json, complain};

pub fn run(lab: &LabName, namespaces: &[String], look: Look) -> Result<Exit, Failure> {
    let import = of_host(lab, namespaces)?;
    if import.lab.nodes.is_empty() {
        complain("note: no namespace has a name, or is a container's, and is no lab's; `raum show` lists all\n");
    }
    if look.json {
        answer_json(&serde_json::json!({ "file": import.lab.to_string(), "notes": import.notes }));
    } else {
        answer(&import.to_string());
    }
    Ok(Exit::Done)
}
