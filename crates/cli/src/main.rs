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
    let args = args::Args::parse();
    let look = output::Look::of(&args);
    match commands::run(args, look) {
        Ok(exit) => exit.code(),
        Err(failure) => failure.report(look).code(),
    }
}
