//! `raum check`: reads a lab file and checks it, and needs no permission for that.

use std::path::Path;

use raum::Labs;

use super::describe;
use crate::failure::Failure;
use crate::input::LabFile;
use crate::output::{Exit, GOOD, Look, STRONG, answer, answer_json, paint};

pub fn run(file: &Path, look: Look) -> Result<Exit, Failure> {
    let file = LabFile::read(file)?;
    let lab = file.parse()?;
    let problems = Labs::open()?.check(&lab)?;
    if !problems.is_empty() {
        return Err(file.invalid(problems));
    }
    if look.json {
        answer_json(&serde_json::json!({ "lab": lab.name.as_str(), "problems": [] }));
    } else {
        let name = paint(STRONG, &lab.name.value);
        // `on:` is a link, too
        let links = lab.links.len() + lab.nodes.iter().map(|node| node.on.len()).sum::<usize>();
        let parts = [(lab.nodes.len(), "node"), (lab.switches.len(), "switch"), (links, "link")];
        let size = parts.map(|(count, what)| describe::counted(count, what)).join(", ");
        answer(&format!("{name} is {}: {size}\n", paint(GOOD, "fine")));
    }
    Ok(Exit::Done)
}
