//! All of one namespace: what a person wants to see of it at a glance; everything of a kind has a view of its own.

use raum_core::view::{PolicyRule, Room};

use super::{filter, interface, missing, nat, part};
use crate::args::Part;
use crate::output::{DIM, STRONG, paint};

/// More processes than this are counted.
const PROCESSES: usize = 6;
/// More lines of neighbours, sockets or forwarding entries than this are cut.
const LINES: usize = 24;

pub fn text(room: &Room) -> String {
    let mut text = heading(room);
    if !room.processes.is_empty() {
        let all: Vec<String> = room.processes.iter().map(ToString::to_string).collect();
        let told =
            if all.len() > PROCESSES { format!("{} ({})", all.len(), see(room, Part::Ps)) } else { all.join(", ") };
        text += &format!("  processes  {told}\n");
    }
    if !room.interfaces.is_empty() {
        text += "  interfaces\n";
        text += &interface::lines(room, 4).concat();
    }
    let learned: Vec<String> = part::forwarding(room, false, 4);
    section(&mut text, "behind the ports", learned, room, Part::Fdb);
    let rules: Vec<String> = room.rules.iter().filter(|rule| !is_usual(rule)).map(|rule| part::rule(rule, 4)).collect();
    section(&mut text, "routing rules", rules, room, Part::Rules);
    let routes: Vec<String> =
        room.routes.iter().filter(|route| !route.is_implied()).map(|route| format!("    {route}\n")).collect();
    section(&mut text, "routes", routes, room, Part::Routes);
    section(&mut text, "neighbours", part::lines(room, Part::Neigh, false), room, Part::Neigh);
    text += &nat::sections(room);
    section(&mut text, "filters", filter::lines(room, 4), room, Part::Filter);
    section(&mut text, "listening", part::lines(room, Part::Sockets, false), room, Part::Sockets);
    text + &missing("  ", &room.missing)
}

/// Its name, and whose it is.
pub fn heading(room: &Room) -> String {
    let mut about = vec![room.owner.to_string()];
    if let Some(lab) = room.lab.as_ref().filter(|_| room.owner == raum_core::view::Owner::Host) {
        about.push(format!("with lab {lab}"));
    }
    let own = format!("/run/netns/{}", room.namespace);
    about.extend(room.paths.iter().filter(|path| **path != own && **path != room.namespace).cloned());
    format!("{}  {}\n", paint(STRONG, &room.namespace), paint(DIM, about.join("  ")))
}

fn section(text: &mut String, title: &str, lines: Vec<String>, room: &Room, part: Part) {
    if lines.is_empty() {
        return;
    }
    *text += &format!("  {title}\n");
    let more = lines.len().saturating_sub(LINES);
    // one line more is no longer than to say so
    let shown = if more > 1 { LINES } else { lines.len() };
    text.extend(lines.iter().take(shown).map(String::as_str));
    if shown < lines.len() {
        *text += &format!("    … and {more} more ({})\n", see(room, part));
    }
}

fn see(room: &Room, part: Part) -> String {
    paint(DIM, format!("raum show {} {}", room.namespace, part.name()))
}

/// The rules that every namespace has: 0 local, 32766 main, 32767 default.
fn is_usual(rule: &PolicyRule) -> bool {
    let bare = rule.from.is_none() && rule.to.is_none() && rule.iif.is_none() && rule.oif.is_none();
    let table = match rule.priority {
        0 => "local",
        32766 => "main",
        32767 => "default",
        _ => return false,
    };
    bare && !rule.not && rule.mark.is_none() && rule.others.is_empty() && rule.table.as_deref() == Some(table)
}
