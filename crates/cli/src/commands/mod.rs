//! One file per command; this one is the table of contents.

mod amount;
mod beside;
mod check;
mod clock;
mod describe;
mod doctor;
mod down;
mod export;
mod generate;
mod graph;
mod import;
mod inside;
mod ls;
mod namespaces;
mod ping;
mod plan;
mod show;
mod status;
mod step;
mod top;
mod trace;
mod up;
mod watch;

use crate::args::{Args, Command};
use crate::failure::Failure;
use crate::output::{Exit, Look};

/// Runs what was typed.
pub fn run(args: Args, look: Look) -> Result<Exit, Failure> {
    match args.command {
        Command::Up { file, with_foreign_rules } => up::run(&file, with_foreign_rules, look),
        Command::Down { what, all } => down::run(&what, all, look),
        Command::Plan { file, form, with_foreign_rules } => plan::run(&file, form, with_foreign_rules, look),
        Command::Check { file } => check::run(&file, look),
        Command::Status { lab } => status::run(lab.as_deref(), look),
        Command::Ls => ls::run(look),
        Command::Show { what, part, all, watch } => show::run(show::Asked { what, part, all, watch_s: watch }, look),
        Command::Watch { what, only } => watch::run(what.as_deref(), &only, look),
        Command::Top { what, interval, count } => top::run(&top::Asked { what, interval_s: interval, count }, look),
        Command::Graph { what, all, format, output } => {
            graph::run(what.as_deref(), all, graph::How { format, output: output.as_deref() }, look)
        }
        Command::Import { namespaces, all: _, lab } => import::run(&lab, &namespaces, look),
        Command::Exec { namespace, command } => inside::exec(&namespace, command),
        Command::Shell { namespace } => inside::shell(&namespace),
        Command::Ping { from, to, count, interval, timeout, v4, v6 } => {
            let v6 = (v4 || v6).then_some(v6);
            ping::run(&ping::Asked { from, to, count, interval, timeout, v6 }, look)
        }
        Command::Doctor => doctor::run(look),
        Command::Step(step) => step::run(&step, look),
        Command::Export { lab } => export::run(&lab, look),
        Command::Trace { from, to, v4, v6 } => trace::run(&from, &to, (v4 || v6).then_some(v6), look),
        Command::Schema => generate::schema(),
        Command::Completions { shell } => generate::completions(shell),
        Command::Man { directory } => generate::man(&directory),
    }
}
