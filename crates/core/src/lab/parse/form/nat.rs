//! Words for how a NAT behaves.

use super::{Form, Text};
use crate::lab::parse::meant::nearest;
use crate::lab::parse::read::Reader;
use crate::lab::{Dependence, NatLike, PortChoice};

impl Form for NatLike {
    const DEF: &'static str = "natLike";
    const WHAT: &'static str = "a kind of NAT";
    const HELP: &'static str =
        "there is home, corporate, full-cone, restricted, port-restricted, carrier-grade and cloud";
    const PATTERN: &'static str = "^(home|corporate|full-cone|restricted|port-restricted|carrier-grade|cloud)$";
    const EXAMPLES: &'static [&'static str] =
        &["home", "corporate", "full-cone", "restricted", "port-restricted", "carrier-grade", "cloud"];

    fn parse(text: Text<'_>, reader: &mut Reader) -> Option<Self> {
        // as other people call them
        let word = match text.text.to_ascii_lowercase().as_str() {
            "symmetric" | "enterprise" => "corporate",
            "cgnat" | "cgn" | "carrier" => "carrier-grade",
            "fullcone" | "cone" | "endpoint-independent" => "full-cone",
            "restricted-cone" | "address-restricted" | "address-dependent" => "restricted",
            "port-restricted-cone" | "address-and-port-dependent" => "port-restricted",
            _ => text.text,
        };
        word_of(text, word, &NatLike::ALL.map(|like| (like.word(), like)), "no kind of NAT", Self::HELP, reader)
    }
}

impl Form for Dependence {
    const DEF: &'static str = "natDependence";
    const WHAT: &'static str = "a dependence";
    const HELP: &'static str =
        "there is endpoint-independent, address-dependent and address-and-port-dependent (RFC 4787)";
    const PATTERN: &'static str = "^(endpoint-independent|address-dependent|address-and-port-dependent)$";
    const EXAMPLES: &'static [&'static str] =
        &["endpoint-independent", "address-dependent", "address-and-port-dependent"];

    fn parse(text: Text<'_>, reader: &mut Reader) -> Option<Self> {
        let word = match text.text.to_ascii_lowercase().as_str() {
            "eim" | "eif" | "independent" | "endpoint" | "none" => "endpoint-independent",
            "adm" | "adf" | "address" => "address-dependent",
            "apdm" | "apdf" | "address-and-port" | "port-dependent" | "symmetric" => "address-and-port-dependent",
            _ => text.text,
        };
        let all = Dependence::ALL.map(|one| (one.word(), one));
        word_of(text, word, &all, "nothing that a NAT can depend on", Self::HELP, reader)
    }
}

impl Form for PortChoice {
    const DEF: &'static str = "natPorts";
    const WHAT: &'static str = "a choice of ports";
    const HELP: &'static str = "there is preserve and random";
    const PATTERN: &'static str = "^(preserve|random)$";
    const EXAMPLES: &'static [&'static str] = &["preserve", "random"];

    fn parse(text: Text<'_>, reader: &mut Reader) -> Option<Self> {
        let word = match text.text.to_ascii_lowercase().as_str() {
            "preserved" | "preservation" | "keep" | "same" => "preserve",
            "fully-random" => "random",
            _ => text.text,
        };
        word_of(text, word, &PortChoice::ALL.map(|one| (one.word(), one)), "no choice of ports", Self::HELP, reader)
    }
}

/// The value of a word; of another one, which it may have meant.
fn word_of<T: Copy>(
    text: Text<'_>,
    meant: &str,
    all: &[(&'static str, T)],
    what: &str,
    help: &str,
    reader: &mut Reader,
) -> Option<T> {
    if let Some((_, found)) = all.iter().find(|(word, _)| *word == text.text) {
        return Some(*found);
    }
    let problem = text.problem(format!("`{}` is {what}", text.text));
    reader.report(match nearest(meant, all.iter().map(|(word, _)| *word)) {
        Some(near) => problem.help(format!("did you mean `{near}`?")),
        None => problem.help(help),
    });
    None
}
