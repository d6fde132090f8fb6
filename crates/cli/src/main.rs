//! The command `raum`: what was typed goes to one file per command, what it answers is printed here.

mod args;
mod commands;
mod failure;
mod input;
mod output;
mod steps;
mod stop;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    if let Err(failure) = refuse_if_elevated() {
        return failure.report(output::Look::plain()).code();
    }
    let args = args::Args::parse();
    let look = output::Look::of(&args);
    match commands::run(args, look) {
        Ok(output::Exit::Done) if output::unwritten() => output::Exit::Refused.code(),
        Ok(exit) => exit.code(),
        Err(failure) => failure.report(look).code(),
    }
}

/// raum runs commands, reads files and writes to `/run` as it is told: what is right for root and for whoever has the
/// capabilities would be a way to all of them for somebody who has got them from this file alone.
fn refuse_if_elevated() -> Result<(), failure::Failure> {
    if !raum::permission::elevated() {
        return Ok(());
    }
    Err(failure::Failure::refused(
        "raum does not run set-user-ID, set-group-ID or with file capabilities: whoever may start it could do anything"
            .to_owned(),
        Some("remove these from the file, and let those who may run it with sudo".to_owned()),
    ))
}
