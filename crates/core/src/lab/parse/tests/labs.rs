//! Random labs that are valid as far as the reader can tell, as JSON.

use proptest::prelude::*;
use proptest::{collection, option};
use serde_json::{Map, Value, json};

use crate::lab::parse::form::Form;
use crate::lab::{Dependence, NatLike, PortChoice};

fn v4() -> impl Strategy<Value = String> {
    any::<[u8; 4]>().prop_map(|ip| std::net::Ipv4Addr::from(ip).to_string())
}

fn v6() -> impl Strategy<Value = String> {
    any::<[u8; 16]>().prop_map(|ip| std::net::Ipv6Addr::from(ip).to_string())
}

fn ip() -> impl Strategy<Value = String> {
    prop_oneof![v4(), v6()]
}

fn address() -> impl Strategy<Value = String> {
    (ip(), option::of(0u8..=32)).prop_map(|(ip, len)| match len {
        Some(len) => format!("{ip}/{len}"),
        None => ip,
    })
}

fn net(v4_too: bool) -> impl Strategy<Value = String> {
    let four = (any::<[u8; 4]>(), 0u8..=32).prop_map(|(ip, len)| (std::net::IpAddr::from(ip), len));
    let six = (any::<[u8; 16]>(), 0u8..=128).prop_map(|(ip, len)| (std::net::IpAddr::from(ip), len));
    let either = if v4_too { prop_oneof![four.boxed(), six.boxed()].boxed() } else { six.boxed() };
    either.prop_map(|(ip, len)| ipnet::IpNet::new(ip, len).unwrap().trunc().to_string())
}

/// Names that nobody takes for something else, and some that people do.
fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        "[A-Za-z0-9][A-Za-z0-9_-]{0,8}",
        Just("yes".to_owned()),
        Just("0x1".to_owned()),
        Just("null".to_owned())
    ]
}

fn ifname() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]{1,8}[0-9]{0,3}",
        "[!-$&-.0-9;-~]{1,15}".prop_filter("reserved", |name| name != "." && name != ".."),
    ]
}

fn mac() -> impl Strategy<Value = String> {
    any::<[u8; 5]>().prop_map(|[a, b, c, d, e]| format!("02:{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}"))
}

fn mtu() -> impl Strategy<Value = Value> {
    (68u32..=65535).prop_map(|mtu| json!(mtu))
}

/// `first-last` and as many from another first.
fn ports() -> impl Strategy<Value = (String, String)> {
    (1u16..=65535, 1u16..=65535, option::of(1u16..100)).prop_map(|(from, to, more)| match more {
        Some(more) if from.max(to) <= 65535 - more => {
            (format!("{from}-{}", from + more), format!("{to}-{}", to + more))
        }
        _ => (from.to_string(), to.to_string()),
    })
}

fn proto() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just(""), Just("/tcp"), Just("/udp")]
}

fn listen() -> impl Strategy<Value = String> {
    let four = v4().prop_filter("unspecified", |ip| ip != "0.0.0.0").prop_map(|ip| format!("{ip}:"));
    let six = v6().prop_filter("unspecified", |ip| ip != "::").prop_map(|ip| format!("[{ip}]:"));
    prop_oneof![Just(String::new()), four, six]
}

fn publish() -> impl Strategy<Value = Value> {
    prop_oneof![
        (1u16..=65535).prop_map(|port| json!(port)),
        (listen(), ports(), any::<bool>(), proto()).prop_map(|(ip, (from, to), same, proto)| {
            json!(if same { format!("{ip}{from}{proto}") } else { format!("{ip}{from}:{to}{proto}") })
        }),
    ]
}

fn forward() -> impl Strategy<Value = Value> {
    (option::of(ifname()), listen(), ports(), proto(), name(), any::<bool>()).prop_map(
        |(ifname, ip, (from, to), proto, node, same)| {
            let ifname = ifname.map(|name| format!("{name} ")).unwrap_or_default();
            let to = if same { String::new() } else { format!(":{to}") };
            json!(format!("{ifname}{ip}{from}{proto} -> {node}{to}"))
        },
    )
}

fn route() -> impl Strategy<Value = Value> {
    let tail = || {
        (option::of(ifname()), option::of(any::<u32>())).prop_map(|(dev, metric)| {
            let dev = dev.map(|dev| format!(" dev {dev}")).unwrap_or_default();
            dev + &metric.map(|metric| format!(" metric {metric}")).unwrap_or_default()
        })
    };
    let stop = prop_oneof![Just("blackhole"), Just("unreachable"), Just("prohibit")];
    prop_oneof![
        (ip(), tail()).prop_map(|(via, tail)| json!(format!("default via {via}{tail}"))),
        (net(false), v6(), tail()).prop_map(|(to, via, tail)| json!(format!("{to} via {via}{tail}"))),
        (net(true), ifname()).prop_map(|(to, dev)| json!(format!("{to} dev {dev}"))),
        (stop, net(true)).prop_map(|(kind, to)| json!(format!("{kind} {to}"))),
    ]
}

/// One, or a list.
fn few(one: impl Strategy<Value = Value> + Clone + 'static) -> impl Strategy<Value = Value> {
    prop_oneof![one.clone(), collection::vec(one, 0..4).prop_map(Value::Array)]
}

fn end(key: &'static str) -> impl Strategy<Value = Value> + Clone {
    let addresses = || collection::vec(address(), 0..3);
    let short = (name(), option::of(ifname()), addresses()).prop_map(|(name, ifname, addresses)| {
        let ifname = ifname.map(|ifname| format!(":{ifname}")).unwrap_or_default();
        json!(addresses.iter().fold(format!("{name}{ifname}"), |text, address| format!("{text} {address}")))
    });
    let long = object(vec![
        ("interface", ifname().prop_map(Value::String).boxed()),
        ("address", few(address().prop_map(Value::String).boxed()).boxed()),
        ("mtu", mtu().boxed()),
        ("mac", mac().prop_map(Value::String).boxed()),
        ("down", any::<bool>().prop_map(Value::Bool).boxed()),
    ]);
    let long = (name(), long).prop_map(move |(name, mut end)| {
        end[key] = json!(name);
        end
    });
    prop_oneof![short.boxed(), long.boxed()].boxed()
}

/// A mapping with any of these keys.
fn object(keys: Vec<(&'static str, BoxedStrategy<Value>)>) -> impl Strategy<Value = Value> {
    let optional: Vec<_> = keys
        .into_iter()
        .map(|(key, value)| option::of(value).prop_map(move |v| v.map(|v| (key.to_owned(), v))))
        .collect();
    optional.prop_map(|entries| Value::Object(entries.into_iter().flatten().collect()))
}

fn one_of_each_family(v4: BoxedStrategy<String>, v6: BoxedStrategy<String>) -> BoxedStrategy<Value> {
    (option::of(v4), option::of(v6))
        .prop_map(|(four, six)| Value::Array([four, six].into_iter().flatten().map(Value::String).collect()))
        .boxed()
}

fn switch() -> impl Strategy<Value = Value> {
    let v4_net = (any::<[u8; 4]>(), 0u8..=32)
        .prop_map(|(ip, len)| ipnet::Ipv4Net::new(ip.into(), len).unwrap().trunc().to_string())
        .boxed();
    let out = prop_oneof![any::<bool>().prop_map(Value::Bool), nat()];
    object(vec![
        ("subnet", one_of_each_family(v4_net, net(false).boxed())),
        ("gateway", name().prop_map(Value::String).boxed()),
        ("nat", out.boxed()),
        ("in", name().prop_map(Value::String).boxed()),
        ("mtu", mtu().boxed()),
        ("mac", mac().prop_map(Value::String).boxed()),
        ("isolated", any::<bool>().prop_map(Value::Bool).boxed()),
    ])
}

fn nat() -> impl Strategy<Value = Value> {
    let usable = |text: &String| {
        text.parse().is_ok_and(|ip: std::net::IpAddr| !(ip.is_unspecified() || ip.is_multicast() || ip.is_loopback()))
    };
    let source =
        one_of_each_family(v4().prop_filter("usable", usable).boxed(), v6().prop_filter("usable", usable).boxed());
    (ifname(), option::of(source)).prop_map(|(out, source)| match source {
        Some(source) => json!({ "out": out, "source": source }),
        None => json!({ "out": out }),
    })
}

fn namespace() -> impl Strategy<Value = Value> {
    object(vec![
        ("on", few(end("switch")).boxed()),
        ("gateway", one_of_each_family(v4().boxed(), v6().boxed())),
        ("routes", few(route().boxed()).boxed()),
        ("forwarding", any::<bool>().prop_map(Value::Bool).boxed()),
        ("nat", router_nat().boxed()),
        ("publish", few(publish().boxed()).boxed()),
        ("forward", few(forward().boxed()).boxed()),
        ("filter", filter(true).boxed()),
    ])
}

fn router_nat() -> impl Strategy<Value = Value> {
    let word = |words: &'static [&'static str]| proptest::sample::select(words).prop_map(|word| json!(word)).boxed();
    let seconds = || (1u32..=2_147_483).prop_map(|seconds| json!(seconds)).boxed();
    let timeouts = object(vec![("udp", seconds()), ("udp-stream", seconds()), ("tcp", seconds()), ("icmp", seconds())]);
    let keys = object(vec![
        ("like", word(NatLike::EXAMPLES)),
        ("mapping", word(Dependence::EXAMPLES)),
        ("filtering", word(Dependence::EXAMPLES)),
        ("ports", word(PortChoice::EXAMPLES)),
        ("hairpin", any::<bool>().prop_map(Value::Bool).boxed()),
        ("timeouts", timeouts.boxed()),
    ]);
    (nat(), keys).prop_map(|(mut nat, keys)| {
        if let (Value::Object(nat), Value::Object(keys)) = (&mut nat, keys) {
            nat.extend(keys);
        }
        nat
    })
}

fn filter(of_namespace: bool) -> impl Strategy<Value = Value> {
    let policy = || prop_oneof![Just("allow"), Just("deny")];
    let party = || {
        let name = name().prop_filter("a range, a service or a word", |name| {
            let word = ["any", "tcp", "udp", "sctp", "icmp"].contains(&name.as_str());
            !word && !name.starts_with(|c: char| c.is_ascii_digit())
        });
        prop_oneof![Just("any".to_owned()), name, net(true)]
    };
    let port = (1u16..=65535, 1u16..=65535).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b)));
    let proto = prop_oneof![Just("/tcp"), Just("/udp"), Just("/sctp"), Just("")];
    let port = (port, proto).prop_map(|(port, proto)| port + proto);
    let service = prop_oneof![Just("icmp".to_owned()), Just("tcp".to_owned()), port];
    let rule = (party(), option::of(party()), option::of(service)).prop_map(|(from, to, service)| {
        let right: Vec<String> = [to, service].into_iter().flatten().collect();
        if right.is_empty() { from } else { format!("{from} -> {}", right.join(" ")) }
    });
    let rules = || collection::vec(rule.clone(), 0..3);
    (policy(), option::of(policy()), rules(), rules()).prop_map(move |(default, outgoing, allow, deny)| {
        let mut filter = json!({ "default": default, "allow": allow, "deny": deny });
        if let (Some(outgoing), true, Value::Object(filter)) = (outgoing, of_namespace, &mut filter) {
            filter.insert("outgoing".to_owned(), json!(outgoing));
        }
        filter
    })
}

fn expect() -> impl Strategy<Value = Value> {
    let port = || option::of((1u16..=65535, proto()));
    let at = |party: String, port: Option<(u16, &'static str)>| match port {
        None => party,
        Some((port, proto)) if party.contains("::") || party.matches(':').count() > 1 => {
            format!("[{party}]:{port}{proto}")
        }
        Some((port, proto)) => format!("{party}:{port}{proto}"),
    };
    let one = |ip: &String| ip.parse::<std::net::IpAddr>().is_ok_and(|ip| !ip.is_unspecified() && !ip.is_multicast());
    let party = move || prop_oneof![name(), ip().prop_filter("somebody's", one)];
    let over = || option::of(prop_oneof![Just(" over ipv4"), Just(" over ipv6")]).prop_map(Option::unwrap_or_default);
    let one_way =
        (name(), party(), port(), option::of((party(), option::of(1u16..=65535))), option::of(party()), over())
            .prop_map(move |(from, to, port, receiver, source, over)| {
                let receiver = receiver.map(|(party, of)| {
                    format!(" as {}", at(party, of.filter(|_| port.is_some()).map(|port| (port, ""))))
                });
                let (receiver, source) = (receiver.unwrap_or_default(), source.map(|party| format!(" from {party}")));
                json!(format!("{from} reaches {}{receiver}{}{over}", at(to, port), source.unwrap_or_default()))
            });
    let cannot = (name(), party(), port(), over())
        .prop_map(move |(a, b, port, over)| json!(format!("{a} cannot reach {}{over}", at(b, port))));
    let each = (name(), name(), port(), over()).prop_map(|(a, b, port, over)| {
        let port = port.map(|(port, proto)| format!(" at {port}{proto}")).unwrap_or_default();
        json!(format!("{a} and {b} reach each other{port}{over}"))
    });
    prop_oneof![one_way, cannot, each]
}

/// Entries with names that are unique in the whole lab by their first letter and number.
fn named(letter: char, one: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    let entry = ("[a-z_-]{0,4}", option::of(one));
    collection::vec(entry, 0..4).prop_map(move |entries| {
        let entries = entries.into_iter().enumerate();
        let map: Map<String, Value> = entries
            .map(|(number, (tail, value))| (format!("{letter}{number}{tail}"), value.unwrap_or(Value::Null)))
            .collect();
        Value::Object(map)
    })
}

/// A lab.
pub fn lab() -> impl Strategy<Value = Value> {
    let link = (end("node"), end("node"), option::of(mtu())).prop_map(|(left, right, mtu)| match mtu {
        Some(mtu) => json!({ "ends": [left, right], "mtu": mtu }),
        None => json!({ "ends": [left, right] }),
    });
    object(vec![
        ("lab", name().prop_map(Value::String).boxed()),
        ("switches", named('s', switch()).boxed()),
        ("namespaces", named('n', namespace()).boxed()),
        ("links", collection::vec(link, 0..4).prop_map(Value::Array).boxed()),
        (
            "groups",
            collection::vec(name().prop_map(Value::String), 0..3).prop_map(|members| json!({ "g": members })).boxed(),
        ),
        ("filter", filter(false).boxed()),
        ("expect", collection::vec(expect(), 0..4).prop_map(Value::Array).boxed()),
    ])
    .prop_filter("an empty file is refused", |lab| lab.as_object().is_some_and(|lab| !lab.is_empty()))
}
