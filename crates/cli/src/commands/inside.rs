//! `raum exec` and `raum shell`: this process becomes the command, inside.

use std::ffi::OsString;

use raum::exec::{Exec, ExecError, become_command, shell_command};
use raum::permission;
use raum::place::Place;
use raum::resolve::{ResolveError, Resolved, resolve};
use raum_core::view::Selected;

use crate::failure::Failure;
use crate::output::{CHANGED, Exit, complain, paint};

pub fn exec(namespace: &str, command: Vec<OsString>) -> Result<Exit, Failure> {
    let place = Place::default();
    let found = find(&place, namespace)?;
    let Some(ns) = found.ns.name() else { return Err(failed(&become_command(command))) };
    let exec = Exec { ns: ns.clone(), hosts: found.hosts(&place), argv: command };
    for skipped in exec.enter().map_err(|error| failed(&error))? {
        complain(&format!("{}: {skipped}\n", paint(CHANGED.bold(), "warning")));
    }
    Err(failed(&exec.replace()))
}

pub fn shell(namespace: &str) -> Result<Exit, Failure> {
    exec(namespace, shell_command())
}

/// The namespace that was typed.
pub fn find(place: &Place, text: &str) -> Result<Resolved, Failure> {
    resolve(place, text).map_err(|error| explain(&error))
}

/// A name that leads nowhere, and what would lead somewhere. Who may not look into raum's files and into namespaces is told that,
/// not that there is no such name.
pub fn explain(error: &ResolveError) -> Failure {
    if let (ResolveError::Unknown(_) | ResolveError::Observe { .. }, Err(missing)) = (error, permission::check()) {
        return missing.into();
    }
    let help = match error {
        ResolveError::Unknown(text) => Some(known_otherwise(text)),
        ResolveError::Ambiguous { .. } => Some("write the whole name of the namespace".to_owned()),
        ResolveError::NoAddress { .. } | ResolveError::Observe { .. } => None,
    };
    Failure::usage(error.to_string(), help)
}

/// What a name that no namespace has is of, by all that `raum show` knows.
fn known_otherwise(text: &str) -> String {
    match raum::scene::find(&Place::default(), text) {
        Ok(Selected::Lab(lab)) => format!("`{lab}` is a lab: `raum show {lab}` lists its namespaces"),
        Ok(Selected::Room(_)) => "`raum show` shows it, but it has no name under /run/netns: \
                                  nsenter --net=/proc/PID/ns/net goes in by a process of it"
            .to_owned(),
        Err(_) => "`raum show` lists what is there".to_owned(),
    }
}

fn failed(error: &ExecError) -> Failure {
    if let (ExecError::Permission(_), Err(missing)) = (error, permission::check()) {
        return missing.into();
    }
    Failure::Plain { message: error.to_string(), help: None, exit: Exit::Command(error.exit_code()) }
}
