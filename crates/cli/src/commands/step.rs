//! Steps: what was typed as a line and an edit, done to a lab, and what is said of it.

use raum::Labs;
use raum::edit::{Edited, Fate};
use raum_core::beside::Obstacle;
use raum_core::lab::edit::{
    Addresses, Edit, FilterOptions, Force, Line, LinkOptions, NatOptions, SwitchOptions, Words,
};
use raum_core::name::{DEFAULT_LAB, LabName};
use raum_core::plan::{Op, Plan};
use raum_core::render::{Explained, explain};
use serde::Serialize;

use super::up::{progress, wipe};
use super::{beside, describe, namespaces};
use crate::failure::Failure;
use crate::output::{DIM, Exit, GOOD, Look, STRONG, answer, answer_json, complain, paint};
use crate::steps::{
    Addr, Filter, Forced, Forward, Group, How, Link, Nat, Ns, Of, Publish, Route, Step, Switch, Translated,
};
use crate::stop;

/// `--json`: what a step did, or would do.
#[derive(Serialize)]
struct Report<'a> {
    lab: &'a str,
    changed: bool,
    dry_run: bool,
    operations: Vec<&'a Op>,
    /// Other people's rules that drop packets of the lab.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    in_the_way: &'a [Obstacle],
    #[serde(skip_serializing_if = "Option::is_none")]
    explained: Option<Vec<Explained>>,
}

/// A line as it is typed so far.
struct Typed(Line);

impl Typed {
    fn option(&mut self, name: &str, value: Option<&String>) -> Option<Words> {
        value.map(|value| self.0.option(name, value))
    }

    fn force(&mut self, forced: &Forced) -> Force {
        if forced.force {
            self.0.flag("--force");
            Force::Yes
        } else {
            Force::No
        }
    }
}

/// Words of one argument, then of those that may be many.
fn all(first: &str, rest: &[String]) -> Vec<String> {
    std::iter::once(first.to_owned()).chain(rest.iter().cloned()).collect()
}

/// A line that begins so, and its words.
fn typed(command: &str, words: &[String]) -> (Typed, Words) {
    let mut line = Line::new(&format!("raum {command}"));
    let words = line.words(words);
    (Typed(line), words)
}

/// Makes the edit of a command without options of its own.
fn plain(command: &str, words: &[String], edit: fn(Words) -> Edit) -> (Typed, Edit) {
    let (line, words) = typed(command, words);
    (line, edit(words))
}

/// Makes the edit of a command that removes something.
fn removal(command: &str, words: &[String], forced: &Forced, edit: fn(Words, Force) -> Edit) -> (Typed, Edit) {
    let (mut line, words) = typed(command, words);
    let force = line.force(forced);
    (line, edit(words, force))
}

pub fn run(step: &Step, look: Look) -> Result<Exit, Failure> {
    let ((line, edit), how) = match step {
        Step::Ns(Ns::List { lab }) => return namespaces::run(lab.as_deref(), look),
        Step::Ns(Ns::Add { name, how }) => (plain("ns add", name, Edit::AddNamespaces), how),
        Step::Ns(Ns::Del { name, forced }) => (removal("ns del", name, forced, Edit::DelNamespaces), &forced.how),
        Step::Connect { ends, no_addresses, how } => {
            let (line, words) = typed("connect", ends);
            let addresses = if *no_addresses { Addresses::None } else { Addresses::Chosen };
            ((line, Edit::Connect(words, addresses)), how)
        }
        Step::Disconnect { ends, forced } => (removal("disconnect", ends, forced, Edit::Disconnect), &forced.how),
        Step::Attach { namespace, switch, address, how } => {
            (plain("attach", &all(namespace, &all(switch, address)), Edit::Attach), how)
        }
        Step::Detach { namespace, switch, forced } => {
            (removal("detach", &[namespace.clone(), switch.clone()], forced, Edit::Detach), &forced.how)
        }
        Step::Switch(switch) => of_switch(switch),
        Step::Addr(Addr::Add { interface, address, how }) => {
            (plain("addr add", &all(interface, address), Edit::AddAddresses), how)
        }
        Step::Addr(Addr::Del { interface, address, forced }) => {
            (removal("addr del", &all(interface, address), forced, Edit::DelAddresses), &forced.how)
        }
        Step::Route(Route::Add { namespace, route, how }) => {
            (plain("route add", &all(namespace, route), Edit::AddRoute), how)
        }
        Step::Route(Route::Del { namespace, route, how }) => {
            (plain("route del", &all(namespace, route), Edit::DelRoute), how)
        }
        Step::Gateway { what, none: true, how, .. } => {
            let (mut line, words) = typed("gateway", std::slice::from_ref(what));
            line.0.flag("--none");
            ((line, Edit::DelGateway(words)), how)
        }
        Step::Gateway { what, gateway, how, .. } => (plain("gateway", &all(what, gateway), Edit::SetGateway), how),
        Step::Forwarding { namespace, value, how } => {
            (plain("forwarding", &[namespace.clone(), value.clone()], Edit::Forwarding), how)
        }
        Step::Nat(Nat::Add(translated)) => (nat("nat add", translated, Edit::AddNat), &translated.how),
        Step::Nat(Nat::Set(translated)) => (nat("nat set", translated, Edit::SetNat), &translated.how),
        Step::Nat(Nat::Del { what, how }) => (plain("nat del", std::slice::from_ref(what), Edit::DelNat), how),
        Step::Publish(Publish::Add { namespace, port, how }) => {
            (plain("publish add", &all(namespace, port), Edit::AddPublish), how)
        }
        Step::Publish(Publish::Del { namespace, port, how }) => {
            (plain("publish del", &all(namespace, port), Edit::DelPublish), how)
        }
        Step::Forward(Forward::Add { namespace, forward, how }) => {
            (plain("forward add", &all(namespace, forward), Edit::AddForward), how)
        }
        Step::Forward(Forward::Del { namespace, forward, how }) => {
            (plain("forward del", &all(namespace, forward), Edit::DelForward), how)
        }
        Step::Filter(filter) => of_filter(filter),
        Step::Group(Group::Add { group, member, how }) => {
            (plain("group add", &all(group, member), Edit::AddGroup), how)
        }
        Step::Group(Group::Del { group, member, forced }) => {
            (removal("group del", &all(group, member), forced, Edit::DelGroup), &forced.how)
        }
        Step::Link(Link::Up { interface, how }) => (plain("link up", interface, Edit::LinkUp), how),
        Step::Link(Link::Down { interface, how }) => (plain("link down", interface, Edit::LinkDown), how),
        Step::Link(Link::Set { interface, mtu, mac, isolated, how }) => {
            let (mut line, words) = typed("link set", std::slice::from_ref(interface));
            let options = LinkOptions {
                mtu: line.option("--mtu", mtu.as_ref()),
                mac: line.option("--mac", mac.as_ref()),
                isolated: line.option("--isolated", isolated.as_ref()),
            };
            ((line, Edit::SetLink(words, options)), how)
        }
    };
    take(line, &edit, how, look)
}

fn nat(command: &str, translated: &Translated, edit: fn(Words, NatOptions) -> Edit) -> (Typed, Edit) {
    let (mut line, words) = typed(command, std::slice::from_ref(&translated.what));
    let options = NatOptions {
        out: line.option("--out", translated.out.as_ref()),
        source: translated.source.iter().map(|source| line.0.option("--source", source)).collect(),
        like: line.option("--like", translated.like.as_ref()),
    };
    (line, edit(words, options))
}

fn of_switch(switch: &Switch) -> ((Typed, Edit), &How) {
    match switch {
        Switch::Del { name, forced } => (removal("switch del", name, forced, Edit::DelSwitches), &forced.how),
        Switch::Add { name, subnet, gateway, nat, isolated, place, mtu, mac, how } => {
            let (mut line, words) = typed("switch add", &all(name, subnet));
            let options = SwitchOptions {
                gateway: line.option("--gateway", gateway.as_ref()),
                nat: nat.then(|| line.0.flag("--nat")),
                isolated: isolated.then(|| line.0.flag("--isolated")),
                place: line.option("--in", place.as_ref()),
                mtu: line.option("--mtu", mtu.as_ref()),
                mac: line.option("--mac", mac.as_ref()),
            };
            ((line, Edit::AddSwitch(words, options)), how)
        }
    }
}

fn of_filter(filter: &Filter) -> ((Typed, Edit), &How) {
    match filter {
        Filter::Add { policy, rule, of } => (ruled("filter add", policy, rule, of, Edit::AddFilterRule), &of.how),
        Filter::Del { policy, rule, of } => (ruled("filter del", policy, rule, of, Edit::DelFilterRule), &of.how),
        Filter::Default { policy, outgoing, of } => {
            let (mut line, words) = typed("filter default", std::slice::from_ref(policy));
            let options = FilterOptions {
                place: line.option("--in", of.place.as_ref()),
                outgoing: line.option("--outgoing", outgoing.as_ref()),
            };
            ((line, Edit::FilterDefault(words, options)), &of.how)
        }
        Filter::Off { of } => (ruled("filter off", "", &[], of, Edit::DelFilter), &of.how),
    }
}

/// Makes the edit of a command about a filter, of the lab or of a namespace.
fn ruled(
    command: &str,
    policy: &str,
    rule: &[String],
    of: &Of,
    edit: fn(Words, Option<Words>) -> Edit,
) -> (Typed, Edit) {
    let words = if policy.is_empty() { Vec::new() } else { all(policy, rule) };
    let (mut line, words) = typed(command, &words);
    let place = line.option("--in", of.place.as_ref());
    (line, edit(words, place))
}

/// Does it, or says what it would do.
fn take(mut line: Typed, edit: &Edit, how: &How, look: Look) -> Result<Exit, Failure> {
    let lab = LabName::new(&how.lab)
        .map_err(|error| Failure::usage(format!("`{}` cannot be the name of a lab: {error}", how.lab), None))?;
    if how.lab != DEFAULT_LAB {
        line.option("--lab", Some(&how.lab));
    }
    let stop = stop::on_signal()?;
    let mut labs = Labs::open()?;
    let mut announce = |plan: &Plan| {
        if how.explain && !look.json {
            answer(&explained(plan));
        }
    };
    let result = match how.dry_run {
        true => labs.prepare_edit(&lab, edit, &mut announce),
        false => labs.edit(&lab, edit, &mut announce, &stop, &mut progress(look)),
    };
    wipe(look);
    let edited = result.map_err(|error| Failure::of_step(error, line.0.as_str()))?;
    for (ns, pids) in edited.inhabited.iter().filter(|_| !how.dry_run) {
        let pids: Vec<String> = pids.iter().map(u32::to_string).collect();
        let pids = pids.join(" ");
        complain(&format!("warning: processes still run in what was {ns}, without a network now: {pids}\n"));
    }
    if look.json {
        answer_json(&Report {
            lab: lab.as_str(),
            changed: edited.fate != Fate::Same,
            dry_run: how.dry_run,
            operations: edited.plan.ops().collect(),
            in_the_way: &edited.obstacles,
            explained: how.explain.then(|| explain(&edited.plan)),
        });
    } else {
        answer(&said(&lab, &edited, how));
        complain(&beside::notes(&edited.obstacles, &lab, None, true));
    }
    Ok(Exit::Done)
}

/// The commands, each under its reason.
fn explained(plan: &Plan) -> String {
    let block = |step: &Explained| {
        let reason = paint(DIM, format!("# {}", step.reason));
        step.commands.iter().fold(format!("{reason}\n"), |text, command| text + command + "\n") + "\n"
    };
    explain(plan).iter().map(block).collect()
}

fn said(lab: &LabName, edited: &Edited, how: &How) -> String {
    let name = paint(STRONG, lab);
    let count = match edited.plan.is_empty() {
        true => "nothing to do on the host".to_owned(),
        false => describe::count(&edited.plan),
    };
    let mut text = match (edited.fate, how.dry_run) {
        (Fate::Same, _) => return format!("{name} is so already, nothing to change\n"),
        (Fate::Gone, true) => format!("this would remove {name}: {count}\n"),
        (_, true) => format!("this would change {name}: {count}\n"),
        (Fate::Up, false) => format!("{name} is {}: {count}\n", paint(GOOD, "up")),
        (Fate::Changed, false) => format!("{name} is {}: {count}\n", paint(GOOD, "changed")),
        (Fate::Gone, false) => format!("{name} is down: nothing is left of it\n"),
    };
    if !how.explain {
        text += &describe::plan(&edited.plan, 20);
    }
    if let (Some(file), Fate::Changed, false) = (&edited.file, edited.fate, how.dry_run) {
        let file = file.display();
        text += &paint(
            DIM,
            format!(
                "{file} is not changed: `raum export {lab}` prints what is now, `raum up` of the file takes it back"
            ),
        );
        text += "\n";
    }
    text
}
