//! One file per command; this one is the table of contents.

mod amount;
mod beside;
mod capture;
mod check;
mod clock;
mod describe;
mod doctor;
mod down;
mod everybody;
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
mod test;
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
        Command::Up { file, with_foreign_rules, replace } => up::run(&file, with_foreign_rules, replace, look),
        Command::Down { what, all } => down::run(&what, all, look),
        Command::Plan { file, form, with_foreign_rules, replace } => {
            plan::run(&file, form, [with_foreign_rules, replace], look)
        }
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
        Command::Ping { from, to, all, count, interval, timeout, v4, v6 } => {
            let v6 = (v4 || v6).then_some(v6);
            match (from, to) {
                (Some(from), Some(to)) if !all => {
                    ping::run(&ping::Asked { from, to, count, interval, timeout: timeout.unwrap_or(1000), v6 }, look)
                }
                (lab, _) => everybody::run(lab.as_deref(), timeout.unwrap_or(3000), v6, look),
            }
        }
        Command::Doctor => doctor::run(look),
        Command::Step(step) => step::run(&step, look),
        Command::Export { lab } => export::run(&lab, look),
        Command::Trace { from, to, v4, v6 } => trace::run(&from, &to, (v4 || v6).then_some(v6), look),
        Command::Test { what, timeout, quiet, junit, tap } => {
            test::run(&test::Asked { what, timeout, quiet, junit, tap }, look)
        }
        Command::Capture { what, filter, write, count, duration, snap } => {
            capture::run(&capture::Asked { what, filter, write, count, duration, snap }, look)
        }
        Command::Schema => generate::schema(),
        Command::Completions { shell } => generate::completions(shell),
        Command::Man { directory } => generate::man(&directory),
    }
}
