//! The host examined beforehand: what would keep labs from working here, each with its effect and a command that helps.
//!
//! Each file looks at one topic and gives its findings. Those that can be told by trying are tried, in namespaces that
//! nobody sees; nothing of the host is changed. What a limit or a setting means is decided by functions without effects,
//! so that tests can show them hosts that cannot be built.

mod firewalls;
mod kernel;
mod leftovers;
mod limits;
mod permission;
mod places;
mod settings;

use std::fmt;
use std::fs;

use serde::Serialize;

use crate::labs::Labs;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// Some labs will not work, or not as expected.
    Note,
    /// No lab, or most labs, will not work; or something was left behind.
    Problem,
}

/// What it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Topic {
    /// May this process change networks?
    Permission,
    /// Has the kernel what raum uses?
    Kernel,
    /// How much of it?
    Limits,
    /// Sysctls.
    Settings,
    /// Rules of others.
    Firewalls,
    /// `/run/netns` and `/run/raum`.
    Places,
    /// What crashed labs left.
    Leftovers,
}

/// One thing that was examined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it is about.
    pub topic: Topic,
    /// How bad it is.
    pub level: Level,
    /// A word that stays the same from version to version: `veth`, `open-files`.
    pub code: &'static str,
    /// What was found.
    pub what: String,
    /// What does not work because of it; empty if all is well.
    pub effect: String,
    /// A command for a root shell, or words where no command helps; empty if all is well.
    pub remedy: String,
}

impl Finding {
    fn ok(topic: Topic, code: &'static str, what: impl Into<String>) -> Self {
        Self { topic, level: Level::Ok, code, what: what.into(), effect: String::new(), remedy: String::new() }
    }

    fn note(
        topic: Topic,
        code: &'static str,
        what: impl Into<String>,
        effect: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        let (what, effect, remedy) = (what.into(), effect.into(), remedy.into());
        Self { topic, level: Level::Note, code, what, effect, remedy }
    }

    fn problem(
        topic: Topic,
        code: &'static str,
        what: impl Into<String>,
        effect: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { level: Level::Problem, ..Self::note(topic, code, what, effect, remedy) }
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Topic::Permission => "permission",
            Topic::Kernel => "kernel",
            Topic::Limits => "limits",
            Topic::Settings => "settings",
            Topic::Firewalls => "firewalls",
            Topic::Places => "places",
            Topic::Leftovers => "leftovers",
        })
    }
}

/// Examines the host: all findings, by topic. What could not be looked at is a finding, too.
#[must_use]
pub fn examine(labs: &mut Labs) -> Vec<Finding> {
    let mut findings = permission::examine();
    let permitted = findings.iter().all(|finding| finding.level != Level::Problem);
    if permitted {
        findings.extend(kernel::examine(labs));
    }
    findings.extend(limits::examine());
    findings.extend(settings::examine());
    if permitted {
        findings.extend(firewalls::examine(labs));
    }
    findings.extend(places::examine(labs.place()));
    if permitted {
        findings.extend(leftovers::examine(labs));
    }
    findings
}

/// The number in a file of `/proc`; None if it is not there or not to be read.
fn number(path: &str) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}
