//! What is said of other people's rules that are in a lab's way.

use std::path::Path;

use raum_core::beside::{Guest, Obstacle};
use raum_core::name::LabName;

use crate::output::{CHANGED, STRONG, paint};

/// Flows that are named, of each chain.
const SHOWN: usize = 4;

/// A note of what others have put beside the lab.
pub fn guests(guests: &[Guest]) -> String {
    if guests.is_empty() {
        return String::new();
    }
    let note = paint(CHANGED.bold(), "note");
    let mut text = format!("{note}: not of the lab, and left alone by raum:\n");
    for guest in guests {
        text += &format!("    {guest}\n      remove it with  {}\n", guest.remove);
    }
    text
}

/// A note for each chain that drops the lab's packets, with the commands that open it.
/// `edited`: the lab is no longer what its file says, or has none.
pub fn notes(obstacles: &[Obstacle], lab: &LabName, file: Option<&Path>, edited: bool) -> String {
    let mut text = String::new();
    for obstacle in obstacles {
        let verb = match (obstacle.turns, obstacle.certain) {
            (false, true) => "drops packets of this lab",
            (false, false) => "may drop packets of this lab",
            (true, true) => "turns packets for this lab elsewhere",
            (true, false) => "may turn packets for this lab elsewhere",
        };
        let firewall = obstacle.firewall.name();
        let chain = paint(STRONG, &obstacle.chain);
        let note = paint(CHANGED.bold(), "note");
        text += &format!("{note}: {chain} ({firewall}: {}) {verb}:\n", obstacle.words);
        for flow in obstacle.flows.iter().take(SHOWN) {
            text += &format!("    {flow}\n");
        }
        if obstacle.flows.len() > SHOWN {
            text += &format!("    and {} more\n", obstacle.flows.len() - SHOWN);
        }
        let verb = if !obstacle.can_be_opened() { "see" } else { "open it with" };
        let verb = if obstacle.certain { "open it with" } else { verb };
        let verb = match obstacle.turns {
            true => "one of the two gets them: publish another port, or end what has this one; see",
            false => verb,
        };
        text += &format!("  {verb}\n");
        for command in &obstacle.commands {
            text += &format!("    {command}\n");
        }
    }
    if obstacles.iter().any(Obstacle::can_be_opened) {
        let again = match file {
            Some(file) if !edited => format!("raum up --with-foreign-rules {}", file.display()),
            _ => format!("raum export {lab} | raum up --with-foreign-rules -"),
        };
        text += &format!("  or let raum do it, until `raum up` without that or `raum down`:\n    {again}\n");
    }
    text
}
