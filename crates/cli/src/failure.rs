//! What is said when a command did not do what it was asked to: one message, the place, the kernel's words, the way out.

use std::fmt::Write;

use raum::error::Error;
use raum::labs::{left_behind, left_lines};
use raum::reach::{Cause, Failure as NotReached};
use raum_core::diff::Conflict;
use raum_core::lab::edit::LINE_AT;
use raum_core::plan::Op;
use raum_core::problem::{Problem, Sheet, render, render_sheets};
use raum_core::state::Sysctl;
use raum_core::trace::cause::word;
use serde::Serialize;

use crate::output::{BAD, Exit, GOOD, Look, STRONG, answer_json, complain, own, paint};

/// How everybody gets networks of his own.
const OWN: &str = "in namespaces of your own: unshare --user --map-root-user --net --mount \
                   sh -c 'mount -t tmpfs tmpfs /run && exec sh'";

/// A command's failure.
#[derive(Debug)]
pub enum Failure {
    /// A lab file with problems.
    Problems {
        /// As the user wrote it.
        file: String,
        /// Its text.
        text: String,
        /// All of them.
        problems: Vec<Problem>,
    },
    /// A step with problems: they point at the line that was typed, or at the lab.
    Step {
        /// Which lab.
        lab: String,
        /// It as a lab file.
        text: String,
        /// The line.
        line: String,
        /// All of them.
        problems: Vec<Problem>,
    },
    /// The library's.
    Raum(Box<Error>),
    /// The command's own.
    Plain {
        /// What is wrong.
        message: String,
        /// The way out.
        help: Option<String>,
        /// The status.
        exit: Exit,
    },
}

impl Failure {
    /// A step's failure; `line` is what was typed.
    pub fn of_step(error: Error, line: &str) -> Self {
        match error {
            Error::Step { lab, text, problems } => {
                Failure::Step { lab: lab.to_string(), text, line: line.to_owned(), problems }
            }
            other => other.into(),
        }
    }

    /// Wrong usage.
    pub fn usage(message: String, help: Option<String>) -> Self {
        Failure::Plain { message, help, exit: Exit::Usage }
    }

    /// Refused.
    pub fn refused(message: String, help: Option<String>) -> Self {
        Failure::Plain { message, help, exit: Exit::Refused }
    }

    /// Prints it, and says with which status to leave.
    pub fn report(&self, look: Look) -> Exit {
        match self {
            Failure::Problems { file, text, problems } if look.json => {
                let problems: Vec<Told> = problems.iter().map(|problem| Told::of(problem, text)).collect();
                answer_json(&serde_json::json!({ "file": file, "problems": problems }));
                Exit::Usage
            }
            Failure::Problems { file, text, problems } => {
                complain(&own(&render(problems, file, text, look.colour)));
                Exit::Usage
            }
            Failure::Step { lab, text, line, problems } => {
                let name = format!("lab {lab}");
                let sheets =
                    [Sheet { name: &name, text, at: 0 }, Sheet { name: "command line", text: line, at: LINE_AT }];
                if look.json {
                    let told: Vec<_> = problems.iter().map(|problem| of_sheets(problem, &sheets)).collect();
                    answer_json(&serde_json::json!({ "problems": told }));
                } else {
                    complain(&own(&render_sheets(problems, &sheets, look.colour)));
                }
                Exit::Usage
            }
            Failure::Raum(error) => {
                complain(&explain(error));
                exit(error)
            }
            Failure::Plain { message, help, exit } => {
                complain(&lines(message, help.as_deref()));
                *exit
            }
        }
    }
}

/// `--json`: a problem of a lab file.
#[derive(Serialize)]
struct Told<'a> {
    message: &'a str,
    /// From 1.
    line: usize,
    /// From 1, in characters.
    column: usize,
    cause: &'a str,
    help: Option<&'a str>,
}

impl<'a> Told<'a> {
    fn of(problem: &'a Problem, text: &str) -> Self {
        let before = text.get(..problem.span.start).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Self {
            message: &problem.message,
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            cause: &problem.label,
            help: problem.help.as_deref(),
        }
    }
}

/// `--json`: a problem of a step, with the sheet that its line and column are on.
fn of_sheets(problem: &Problem, sheets: &[Sheet<'_>]) -> serde_json::Value {
    let sheet = sheets.iter().rfind(|sheet| sheet.at <= problem.span.start).or(sheets.first());
    let Some(sheet) = sheet else { return serde_json::Value::Null };
    let span = problem.span.start - sheet.at..problem.span.end.saturating_sub(sheet.at);
    let local = Problem { span, ..problem.clone() };
    let mut told = serde_json::json!(Told::of(&local, sheet.text));
    told["file"] = sheet.name.into();
    told
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Raum(Box::new(error))
    }
}

/// The status of the library's failure. What was asked about and is not there has one of its own: 1 is an answer about
/// something that is there, such as the drift that `status` found.
fn exit(error: &Error) -> Exit {
    match error {
        Error::NoLab(_) | Error::NoNamespace(_) | Error::NothingToImport => Exit::Usage,
        error if left_behind(error) => Exit::LeftBehind,
        _ => Exit::Refused,
    }
}

fn lines(message: &str, help: Option<&str>) -> String {
    let mut text = format!("{}: {}\n", paint(BAD.bold(), "error"), paint(STRONG, message));
    if let Some(help) = help {
        text += &format!("{}: {help}\n", paint(GOOD.bold(), "help"));
    }
    text
}

fn explain(error: &Error) -> String {
    match error {
        Error::NotReached { lab, failure } => not_reached(lab.as_str(), failure),
        Error::Leftovers { lab, left } => {
            let mut text = lines(&error.to_string(), None);
            text += "  these are still to be done:\n";
            for line in left_lines(left) {
                text += &format!("    {line}\n");
            }
            text + &help(&format!("run `raum down {lab}` again once the cause is gone"))
        }
        Error::Conflicts(conflicts) => {
            let way_out = |conflict: &Conflict| format!("nothing was touched; {}", conflict.help());
            conflicts.iter().map(|conflict| lines(&conflict.to_string(), Some(&way_out(conflict)))).collect()
        }
        Error::OtherFile { lab, file, .. } => lines(
            &error.to_string(),
            Some(&format!(
                "nothing was touched. Give one of them another name (`lab:`), or remove the first: raum down {lab}; \
                 `raum up --replace {}` makes it what this file says",
                file.display()
            )),
        ),
        Error::Permission { .. } => lines(&error.to_string(), Some(&format!("run it with sudo, or {OWN}"))),
        Error::TooFewFiles(_) => lines(
            &error.to_string(),
            Some("nothing was touched. `ulimit -n` tells the limit, `ulimit -n 1024` raises it"),
        ),
        // the folder is root's alone: the way out is the same
        Error::File(error) if error.cause.kind() == std::io::ErrorKind::PermissionDenied => {
            match raum::permission::check() {
                Err(missing) => explain(&missing),
                Ok(()) => {
                    lines(&error.to_string(), Some(&format!("/run must be writable: run it with sudo, or {OWN}")))
                }
            }
        }
        Error::File(error) if matches!(error.action, "read" | "understand") => lines(
            &error.to_string(),
            Some("`raum up FILE` of the lab's file writes it anew; `raum down LAB` does without"),
        ),
        Error::NoRecord(_) => lines(
            &error.to_string(),
            Some("`raum up FILE` of its lab file compares and makes a new one; `raum down` works without"),
        ),
        Error::Interrupted(lab) => lines(
            &error.to_string(),
            Some(&format!("`raum up FILE` of its lab file does the rest; `raum down {lab}` removes what there is")),
        ),
        Error::NoNamespace(_) => lines(&error.to_string(), Some("`raum graph --all` shows them, with their names")),
        Error::Elsewhere { way, .. } => {
            let there =
                format!("nothing was touched; go there: nsenter --net={} raum …", word(&way.display().to_string()));
            lines(&error.to_string(), Some(&there))
        }
        Error::Inside(_) => lines(
            &error.to_string(),
            Some(
                "nothing was touched; leave it first, or, for labs that end with it, `mount -t tmpfs tmpfs /run` inside",
            ),
        ),
        Error::NothingToImport => lines(
            &error.to_string(),
            Some("name namespaces, as `raum show` lists them; of the host, what leads to them is imported too"),
        ),
        Error::Kernel(words) if words.starts_with("/proc/") => lines(&error.to_string(), Some("is /proc mounted?")),
        Error::NoLab(_) => lines(&error.to_string(), Some("`raum ls` lists them")),
        other => lines(&other.to_string(), None),
    }
}

fn help(text: &str) -> String {
    format!("{}: {text}\n", paint(GOOD.bold(), "help"))
}

fn not_reached(lab: &str, failure: &NotReached) -> String {
    let mut text = String::new();
    let head = match &failure.cause {
        Cause::Refused { step, of, .. } => {
            format!("lab `{lab}` was not brought up: the kernel refused step {step} of {of}")
        }
        Cause::Interrupted { done, of } => {
            format!("lab `{lab}` was not brought up: interrupted after {done} of {of} steps")
        }
        Cause::Unverified(_) => {
            format!("lab `{lab}` was not brought up: the kernel acknowledged every step, but shows something else")
        }
        Cause::Observe(error) => format!("lab `{lab}` was not brought up: {error}"),
        Cause::Caller(error) => format!("lab `{lab}` was not brought up: {error}"),
        Cause::Conflicts(conflicts) => {
            let all: Vec<String> = conflicts.iter().map(ToString::to_string).collect();
            format!("lab `{lab}` was not brought up: {}", all.join("; "))
        }
    };
    text += &lines(&head, None);
    let mut row = |name: &str, value: &str| {
        let written = writeln!(text, "  {:<7} {value}", name);
        debug_assert!(written.is_ok(), "writing to a String cannot fail");
    };
    match &failure.cause {
        Cause::Refused { op, error, .. } => {
            for line in raum_core::render::beginning(op) {
                row("step", &line);
            }
            row("kernel", &error.words());
        }
        Cause::Unverified(plan) => {
            for op in plan.ops().take(10) {
                row("missing", &raum_core::render::beginning(op).join("; "));
            }
        }
        _ => {}
    }
    let way_out = match &failure.cause {
        Cause::Refused { op, error, .. } => without_v6(op, error.code),
        _ => None,
    };
    if failure.left.is_empty() {
        let undone = match failure.undone {
            0 => "nothing had been done".to_owned(),
            1 => "the one earlier step; the host is as before".to_owned(),
            n => format!("all {n} earlier steps; the host is as before"),
        };
        row("undone", &undone);
        text += &way_out.map(|way_out| help(&way_out)).unwrap_or_default();
    } else {
        row("undone", "not everything; these are still to be done:");
        for line in left_lines(&failure.left) {
            row("left", &line);
        }
        text += &help(&format!("`raum down {lab}` removes what carries the lab's mark"));
    }
    text
}

/// The kernel refuses IPv6 addresses where somebody has switched IPv6 off (`ipv6_add_addr`, net/ipv6/addrconf.c).
fn without_v6(op: &Op, code: &str) -> Option<String> {
    let Op::AddAddress { ns, link, address } = op else { return None };
    if code != "EACCES" || address.addr().is_ipv4() {
        return None;
    }
    let key = Sysctl::ipv6(link, "disable_ipv6");
    let switch_on = raum_core::render::command(&Op::SetSysctl { ns: ns.clone(), key, value: "0".to_owned() });
    Some(format!("IPv6 is switched off there; this switches it on: {}", switch_on.join("; ")))
}
