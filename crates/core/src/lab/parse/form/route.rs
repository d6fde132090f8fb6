//! Routes, in the words of `ip route`.

use ipnet::IpNet;

use super::name::interface;
use super::{Form, Text, address};
use crate::lab::RouteSpec;
use crate::lab::parse::meant::nearest;
use crate::lab::parse::read::Reader;
use crate::lab::parse::scalar::decimal;
use crate::name::NodeName;
use crate::state::RouteKind;

impl Form for RouteSpec {
    const DEF: &'static str = "route";
    const WHAT: &'static str = "a route";
    const HELP: &'static str = "write `10.0.0.0/8 via 10.1.0.1`, `default via 10.1.0.1 metric 100`, `10.9.0.0/16 dev eth1` or \
                                `blackhole 10.0.0.0/8`";
    const PATTERN: &'static str = "^\\s*((blackhole|unreachable|prohibit)\\s+)?(default|[0-9a-fA-F:.]+(/[0-9]{1,3})?)(\\s+(via\\s+[0-9a-fA-F:.]+|dev\\s+[^/:%\\s]{1,15}|metric\\s+[0-9]+))*\\s*$";
    const EXAMPLES: &'static [&'static str] = &[
        "10.0.0.0/8 via 10.1.0.1",
        "default via fd00::1",
        "default via 10.1.0.1 dev eth1 metric 100",
        "10.9.0.0/16 dev eth1",
        "blackhole 192.0.2.0/24",
    ];

    fn parse(text: Text<'_>, reader: &mut Reader) -> Option<Self> {
        let mut words = text.words().into_iter().peekable();
        let kind = match words.peek().map(|word| word.text) {
            Some("blackhole") => RouteKind::Blackhole,
            Some("unreachable") => RouteKind::Unreachable,
            Some("prohibit") => RouteKind::Prohibit,
            Some("unicast") => RouteKind::Unicast,
            _ => RouteKind::Unicast,
        };
        if kind != RouteKind::Unicast {
            words.next();
        }
        let Some(destination) = words.next() else {
            reader.report(text.problem("a route without a destination").label("expected a prefix").help(Self::HELP));
            return None;
        };
        let to = match destination.text {
            "default" => Some(None),
            word if NodeName::new(word).is_ok() && word.parse::<std::net::Ipv4Addr>().is_err() => {
                let problem = destination
                    .problem(format!("`{word}` cannot be a destination"))
                    .label("expected a prefix or `default`");
                let known = ["default", "blackhole", "unreachable", "prohibit"];
                reader.report(match nearest(word, known.into_iter()) {
                    Some(near) => problem.help(format!("did you mean `{near}`?")),
                    None => problem.help(Self::HELP),
                });
                None
            }
            _ => address::net(destination, true, reader).map(Some),
        };
        let mut route = Parts::default();
        route.read(&mut words, reader)?;
        let to = to?;
        let Parts { via, dev, metric } = route;
        let spec = RouteSpec {
            to,
            kind,
            via: via.as_ref().map(|(_, ip)| *ip),
            dev: dev.as_ref().map(|(_, dev)| dev.clone()),
            metric,
        };
        if kind != RouteKind::Unicast
            && let Some((word, what)) =
                via.as_ref().map(|(w, _)| (*w, "next hop")).or(dev.as_ref().map(|(w, _)| (*w, "interface")))
        {
            reader.report(
                word.problem(format!("a route that stops packets has no {what}"))
                    .label("not possible here")
                    .help("leave it out"),
            );
            return None;
        }
        match (&spec.to, &via) {
            (None, None) => {
                if kind == RouteKind::Unicast && spec.dev.is_none() {
                    reader.report(
                        destination
                            .problem("the default route leads nowhere")
                            .label("expected `via ADDRESS`")
                            .help("write `default via 10.1.0.1`"),
                    );
                    return None;
                }
                let help = text.text.replacen("default", "0.0.0.0/0", 1);
                reader.report(
                    destination
                        .problem("is `default` of IPv4 or of IPv6?")
                        .label("only the address after `via` would tell")
                        .help(format!("write `{}`, or `::/0` for IPv6", help.trim())),
                );
                None
            }
            (Some(to), Some((word, via))) if to.addr().is_ipv4() != via.is_ipv4() => {
                let family = |v4: bool| if v4 { "IPv4" } else { "IPv6" };
                reader.report(
                    word.problem(format!(
                        "a next hop of {} for a destination of {}",
                        family(via.is_ipv4()),
                        family(to.addr().is_ipv4())
                    ))
                    .label(format!("expected an {} address", family(to.addr().is_ipv4()))),
                );
                None
            }
            (Some(to), None) if kind == RouteKind::Unicast && spec.dev.is_none() => {
                reader.report(
                    text.problem(format!("the route to {} leads nowhere", show(to)))
                        .label("expected `via ADDRESS` or `dev INTERFACE`")
                        .help("to drop the packets instead, write `blackhole` before it"),
                );
                None
            }
            _ => Some(spec),
        }
    }
}

fn show(net: &IpNet) -> String {
    if net.prefix_len() == net.max_prefix_len() { net.addr().to_string() } else { net.to_string() }
}

/// The words after the destination.
#[derive(Default)]
struct Parts<'a> {
    via: Option<(Text<'a>, std::net::IpAddr)>,
    dev: Option<(Text<'a>, crate::name::IfName)>,
    metric: Option<u32>,
}

impl<'a> Parts<'a> {
    fn read(&mut self, words: &mut impl Iterator<Item = Text<'a>>, reader: &mut Reader) -> Option<()> {
        while let Some(word) = words.next() {
            if !matches!(word.text, "via" | "dev" | "metric") {
                let problem = word
                    .problem(format!("`{}` does not belong into a route", word.text))
                    .label("expected via, dev or metric");
                reader.report(match nearest(word.text, ["via", "dev", "metric"].into_iter()) {
                    Some(near) => problem.help(format!("did you mean `{near}`?")),
                    None => problem.help(RouteSpec::HELP),
                });
                return None;
            }
            let Some(value) = words.next() else {
                reader.report(word.problem(format!("nothing stands after `{}`", word.text)).help(RouteSpec::HELP));
                return None;
            };
            let twice = match word.text {
                "via" => self.via.replace((value, next_hop(value, reader)?)).is_some(),
                "dev" => self.dev.replace((value, interface(value, reader)?.value)).is_some(),
                _ => self.metric.replace(metric(value, reader)?).is_some(),
            };
            if twice {
                reader.report(word.problem(format!("`{}` stands twice in this route", word.text)).label("again here"));
                return None;
            }
        }
        Some(())
    }
}

fn next_hop(text: Text<'_>, reader: &mut Reader) -> Option<std::net::IpAddr> {
    if NodeName::new(text.text).is_ok() && !text.text.bytes().all(|b| b.is_ascii_digit()) {
        reader.report(
            text.problem(format!("the next hop is an address, not the name `{}`", text.text))
                .label("a name")
                .help("write the address of the node on the network that both share"),
        );
        return None;
    }
    address::ip(text, reader)
}

fn metric(text: Text<'_>, reader: &mut Reader) -> Option<u32> {
    match decimal(text.text).and_then(|metric| u32::try_from(metric).ok()) {
        Some(metric) => Some(metric),
        None => {
            reader.report(
                text.problem(format!("`{}` cannot be a metric", text.text)).label("0 to 4294967295; the lower wins"),
            );
            None
        }
    }
}
