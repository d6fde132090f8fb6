//! `raum plan`: what `up` would do.

use std::path::Path;

use raum::Labs;

use super::describe;
use crate::args::Form;
use crate::failure::Failure;
use crate::input::LabFile;
use crate::output::{Exit, Look, STRONG, answer, answer_json, paint};

/// In brackets: as `up --with-foreign-rules` would, as `up --replace` would.
pub fn run(file: &Path, form: Option<Form>, [foreign_rules, replace]: [bool; 2], look: Look) -> Result<Exit, Failure> {
    let file = LabFile::read(file)?;
    let lab = file.parse()?;
    let mut labs = Labs::open()?;
    labs.open_foreign_rules(foreign_rules);
    labs.replace(replace);
    let prepared = labs.plan(lab, file.path.clone()).map_err(|error| match error {
        raum::Error::Invalid(problems) => file.invalid(problems),
        other => other.into(),
    })?;
    let name = prepared.lab.name.as_str();
    match form {
        Some(Form::Ip) if look.json => answer_json(&raum_core::render::explain(&prepared.plan)),
        Some(Form::Ip) => answer(&raum_core::render::script(&prepared.plan)),
        None if look.json => answer_json(&prepared.plan),
        None if prepared.plan.is_empty() => answer(&format!("{} is up, nothing to change\n", paint(STRONG, name))),
        None => {
            let head = format!("`raum up` would change {}: {}\n", paint(STRONG, name), describe::count(&prepared.plan));
            answer(&(head + &describe::plan(&prepared.plan, 0)));
        }
    }
    Ok(Exit::Done)
}
