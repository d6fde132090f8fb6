//! `raum exec` and `raum shell`: this process becomes the command, inside.

use std::ffi::OsString;

use raum::exec::{Exec, ExecError, become_command, shell_command};
use raum::permission;
use raum::place::Place;
use raum::resolve::{ResolveError, Resolved, resolve};

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
        ResolveError::Unknown(_) => Some("`raum show` lists what is there"),
        ResolveError::Ambiguous { .. } => Some("write the whole name of the namespace"),
        ResolveError::NoAddress { .. } | ResolveError::Observe { .. } => None,
    };
    Failure::usage(error.to_string(), help.map(ToOwned::to_owned))
}

fn failed(error: &ExecError) -> Failure {
    if let (ExecError::Permission(_), Err(missing)) = (error, permission::check()) {
        return missing.into();
    }
    Failure::Plain { message: error.to_string(), help: None, exit: Exit::Command(error.exit_code()) }
}
