//! `raum ls`: the labs of this host.

use comfy_table::{Table, presets};
use raum::Labs;
use raum::labs::Found;
use serde::Serialize;

use crate::failure::Failure;
use crate::output::{Exit, Look, answer, answer_json};

/// `--json`: one lab.
#[derive(Serialize)]
struct Row<'a> {
    lab: &'a str,
    namespaces: usize,
    file: Option<String>,
    state: &'static str,
}

pub fn run(look: Look) -> Result<Exit, Failure> {
    let found = Labs::open()?.list()?;
    let rows: Vec<Row<'_>> = found
        .iter()
        .map(|found| Row {
            lab: found.lab.as_str(),
            namespaces: found.namespaces,
            file: found.record.as_ref().and_then(|record| Some(record.file.as_ref()?.display().to_string())),
            state: state(found),
        })
        .collect();
    if look.json {
        answer_json(&rows);
    } else if rows.is_empty() {
        answer("no lab is up on this host\n");
    } else {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_header(["LAB", "NAMESPACES", "STATE", "FILE"]);
        for row in &rows {
            let file = row.file.as_deref().unwrap_or("-");
            table.add_row([row.lab, &row.namespaces.to_string(), row.state, file]);
        }
        let lines = table.lines().map(|line| line.trim().to_owned() + "\n");
        answer(&lines.collect::<String>());
    }
    Ok(Exit::Done)
}

fn state(found: &Found) -> &'static str {
    match (&found.record, found.interrupted) {
        (_, true) => "interrupted",
        (Some(_), false) => "up",
        (None, false) => "unrecorded",
    }
}
