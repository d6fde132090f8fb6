//! Edits: one step that a person types, done to a lab.
//!
//! A step changes the lab, never a host: what comes of it is checked, designed and brought up as any other lab. Words that
//! were typed are read by the same forms as the lab file, and problems point at them ([`Line`]).
//!
//! Done twice, a step that adds something changes nothing the second time. What others refer to is not removed, unless they
//! are to go with it (`force`). Interfaces get their names, and those on a switch their addresses, written down when they
//! come: whatever comes and goes later does not move them.

mod address;
mod cable;
mod filter;
mod find;
mod line;
mod link;
mod namespace;
mod port;
mod refer;
mod route;
mod switch;
#[cfg(test)]
mod tests;

pub use line::{LINE_AT, Line, Words};

use super::parse::typed;
use super::{At, FILE_MAX, Lab, Node};
use crate::name::{LabName, NodeName};
use crate::problem::Problem;

/// A value, or why the step cannot be done.
type Refused<T> = Result<T, Vec<Problem>>;

fn one<T>(problem: Problem) -> Refused<T> {
    Err(vec![problem])
}

/// One step. The words are as typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// `NAME…`, each may be a range.
    AddNamespaces(Words),
    /// `NAME…`, each may be a range; links go with them.
    DelNamespaces(Words, Force),
    /// `NAME [SUBNET…]`
    AddSwitch(Words, SwitchOptions),
    /// `NAME…`
    DelSwitches(Words, Force),
    /// `NODE[:INTERFACE] [ADDRESS/LEN…] NODE[:INTERFACE] [ADDRESS/LEN…]`
    Connect(Words, Addresses),
    /// `NODE[:INTERFACE] NODE[:INTERFACE]`
    Disconnect(Words, Force),
    /// `NODE[:INTERFACE] SWITCH [ADDRESS…]`; the node may be a range.
    Attach(Words),
    /// `NODE[:INTERFACE] SWITCH`
    Detach(Words, Force),
    /// `NODE[:INTERFACE] ADDRESS…`
    AddAddresses(Words),
    /// `NODE[:INTERFACE] ADDRESS…`
    DelAddresses(Words, Force),
    /// `NODE ROUTE`
    AddRoute(Words),
    /// `NODE ROUTE`, of which the destination is enough where it is the only one.
    DelRoute(Words),
    /// `SWITCH NODE` or `NODE ADDRESS…`
    SetGateway(Words),
    /// `SWITCH` or `NODE`
    DelGateway(Words),
    /// `NODE on|off`
    Forwarding(Words),
    /// `SWITCH` or `NODE`
    AddNat(Words, NatOptions),
    /// As for [`Edit::AddNat`], in place of what there is.
    SetNat(Words, NatOptions),
    /// `SWITCH` or `NODE`
    DelNat(Words),
    /// `NODE PORT…`
    AddPublish(Words),
    /// `NODE PORT…`
    DelPublish(Words),
    /// `NODE [INTERFACE] [ADDRESS:]PORT to NODE[:PORT]`, with `->` for `to` as in the lab file.
    AddForward(Words),
    /// As for [`Edit::AddForward`]; what stands before `to` is enough.
    DelForward(Words),
    /// `allow|deny FROM [to [TO] [SERVICE]]`, with `->` for `to` as in the lab file; of the lab, or in a namespace.
    AddFilterRule(Words, Option<Words>),
    /// As for [`Edit::AddFilterRule`].
    DelFilterRule(Words, Option<Words>),
    /// `allow|deny`, for what no rule speaks of.
    FilterDefault(Words, FilterOptions),
    /// No filter of the lab, or in a namespace, any more. The words are empty.
    DelFilter(Words, Option<Words>),
    /// `GROUP MEMBER…`, each may be a range.
    AddGroup(Words),
    /// `GROUP [MEMBER…]`; without members the whole group.
    DelGroup(Words, Force),
    /// `NODE[:INTERFACE]…`: plug in.
    LinkUp(Words),
    /// `NODE[:INTERFACE]…`: pull out.
    LinkDown(Words),
    /// `NODE[:INTERFACE]` or `SWITCH`
    SetLink(Words, LinkOptions),
}

/// Is what refers to something removed with it?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Force {
    /// No: then neither is removed, and it is told.
    No,
    /// Yes.
    Yes,
}

/// Which addresses does a link get whose ends are typed without any?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Addresses {
    /// Chosen ones.
    Chosen,
    /// None.
    None,
}

/// Keys of a new switch.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SwitchOptions {
    /// `gateway:`
    pub gateway: Option<Words>,
    /// `nat: true`
    pub nat: Option<Words>,
    /// `in:`
    pub place: Option<Words>,
    /// `mtu:`
    pub mtu: Option<Words>,
    /// `mac:`
    pub mac: Option<Words>,
    /// `isolated: true`
    pub isolated: Option<Words>,
}

/// Keys of address translation.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NatOptions {
    /// `out:`
    pub out: Option<Words>,
    /// `source:`
    pub source: Vec<Words>,
    /// `like:`
    pub like: Option<Words>,
}

/// Keys of a packet filter.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FilterOptions {
    /// The namespace whose filter it is; without one that of the lab.
    pub place: Option<Words>,
    /// `outgoing:`
    pub outgoing: Option<Words>,
}

/// Keys of an interface.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LinkOptions {
    /// `mtu:`
    pub mtu: Option<Words>,
    /// `mac:`
    pub mac: Option<Words>,
    /// `isolated:`, `on` or `off`, of a switch.
    pub isolated: Option<Words>,
}

impl Edit {
    /// Does the step to a lab.
    ///
    /// # Errors
    /// What is wrong with it, pointing at the line and, for what it has to do with, at the text of the lab. The lab is as
    /// before then.
    pub fn apply(&self, lab: &mut Lab) -> Result<(), Vec<Problem>> {
        let mut edited = lab.clone();
        self.edit(&mut edited)?;
        without_idle_host(&mut edited);
        if edited.to_string().len() > FILE_MAX {
            // it could not be read again
            return one(Problem::new(format!("lab `{}` becomes too big", edited.name.value), LINE_AT..LINE_AT)
                .label(format!("its file would have more than {FILE_MAX} bytes"))
                .help("write a lab file with ranges, `n[1-10000]`, and bring it up"));
        }
        *lab = edited;
        Ok(())
    }

    /// Namespaces that it would take away, and that are none of the lab's.
    #[must_use]
    pub fn foreign_to(&self, lab: &Lab) -> Vec<NodeName> {
        let Edit::DelNamespaces(words, _) = self else { return Vec::new() };
        let names = namespace::names(words).unwrap_or_default().into_iter().map(|name| name.value);
        names.filter(|name| !lab.nodes.iter().any(|node| node.name.value == *name)).collect()
    }

    fn edit(&self, lab: &mut Lab) -> Refused<()> {
        match self {
            Edit::AddNamespaces(words) => namespace::add(lab, words),
            Edit::DelNamespaces(words, force) => namespace::del(lab, words, *force),
            Edit::AddSwitch(words, options) => switch::add(lab, words, options),
            Edit::DelSwitches(words, force) => switch::del(lab, words, *force),
            Edit::Connect(words, addresses) => cable::connect(lab, words, *addresses),
            Edit::Disconnect(words, force) => cable::disconnect(lab, words, *force),
            Edit::Attach(words) => cable::attach(lab, words),
            Edit::Detach(words, force) => cable::detach(lab, words, *force),
            Edit::AddAddresses(words) => address::add(lab, words),
            Edit::DelAddresses(words, force) => address::del(lab, words, *force),
            Edit::AddRoute(words) => route::add(lab, words),
            Edit::DelRoute(words) => route::del(lab, words),
            Edit::SetGateway(words) => route::set_gateway(lab, words),
            Edit::DelGateway(words) => route::del_gateway(lab, words),
            Edit::Forwarding(words) => route::forwarding(lab, words),
            Edit::AddNat(words, options) => port::add_nat(lab, words, options, port::There::Stays),
            Edit::SetNat(words, options) => port::add_nat(lab, words, options, port::There::Goes),
            Edit::DelNat(words) => port::del_nat(lab, words),
            Edit::AddPublish(words) => port::add_publish(lab, words),
            Edit::DelPublish(words) => port::del_publish(lab, words),
            Edit::AddForward(words) => port::add_forward(lab, words),
            Edit::DelForward(words) => port::del_forward(lab, words),
            Edit::AddFilterRule(words, place) => filter::add(lab, words, place.as_ref()),
            Edit::DelFilterRule(words, place) => filter::del(lab, words, place.as_ref()),
            Edit::FilterDefault(words, options) => filter::default(lab, words, options),
            Edit::DelFilter(words, place) => filter::off(lab, words, place.as_ref()),
            Edit::AddGroup(words) => filter::add_group(lab, words),
            Edit::DelGroup(words, force) => filter::del_group(lab, words, *force),
            Edit::LinkUp(words) => link::plug(lab, words, true),
            Edit::LinkDown(words) => link::plug(lab, words, false),
            Edit::SetLink(words, options) => link::set(lab, words, options),
        }
    }
}

impl Lab {
    /// A lab without anything, to begin with.
    #[must_use]
    pub fn empty(name: LabName) -> Self {
        Lab {
            name: At::nowhere(name),
            switches: Vec::new(),
            nodes: Vec::new(),
            links: Vec::new(),
            groups: Vec::new(),
            filter: None,
            expect: Vec::new(),
        }
    }

    /// Is nothing in it that a host could have?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.switches.is_empty() && self.nodes.is_empty() && self.links.is_empty()
    }
}

/// The host stands in a lab for its routes, and while a link ends at it.
fn without_idle_host(lab: &mut Lab) {
    let is_linked = lab.links.iter().flat_map(|link| &link.ends).any(|end| end.to.is_host());
    lab.nodes.retain(|node| !node.name.is_host() || is_linked || *node != Node::new(node.name.clone()));
}

/// A name; missing words are told with what is expected.
fn name(words: &Words, what: &str) -> Refused<At<NodeName>> {
    expected(words, what)?;
    typed::form(&words.text, words.at)
}

/// Is there a word at all?
fn expected(words: &Words, what: &str) -> Refused<()> {
    if words.text.trim().is_empty() {
        return one(Problem::new(format!("expected {what}"), words.at.saturating_sub(1)..words.at).label("missing"));
    }
    Ok(())
}

/// What is typed for yes and no.
fn on_or_off(words: &Words) -> Refused<bool> {
    expected(words, "`on` or `off`")?;
    match words.text.as_str() {
        "on" => Ok(true),
        "off" => Ok(false),
        other => {
            one(Problem::new(format!("`{other}` is neither `on` nor `off`"), words.span())
                .label("expected `on` or `off`"))
        }
    }
}

/// There is no word more.
fn end_of_line(words: &Words) -> Refused<()> {
    match words.split().first() {
        None => Ok(()),
        Some(word) => one(Problem::new(format!("`{}` is one word too many", word.text), word.span())
            .help("leave it out; `--help` says what belongs here")),
    }
}
