//! What is generated from the program itself: the schema of the lab file, completions, manual pages.

use std::path::Path;

use clap::CommandFactory;

use crate::args::Args;
use crate::failure::Failure;
use crate::output::{Exit, answer, answer_json};

pub fn schema() -> Result<Exit, Failure> {
    answer_json(&raum_core::lab::schema());
    Ok(Exit::Done)
}

pub fn completions(shell: clap_complete::Shell) -> Result<Exit, Failure> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "raum", &mut text);
    answer(&String::from_utf8_lossy(&text));
    Ok(Exit::Done)
}

pub fn man(directory: &Path) -> Result<Exit, Failure> {
    clap_mangen::generate_to(Args::command(), directory).map_err(|error| {
        let shown = directory.display();
        Failure::refused(format!("cannot write manual pages to {shown}: {}", crate::input::words(&error)), None)
    })?;
    Ok(Exit::Done)
}
