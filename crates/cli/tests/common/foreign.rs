//! Rules of other programs, written by hand: the chains that Docker, ufw and firewalld make, as far as they decide about a
//! lab's packets. Where those programs are installed they make the same (docs/beside.md says which were tried).

use raum_kernel::message::{NLM_F_APPEND, NLM_F_CREATE, Request, Requests};
use raum_kernel::socket::{Protocol, Socket};

/// `NFPROTO_*`
pub const INET: u8 = 1;
pub const IP: u8 = 2;
pub const IP6: u8 = 10;

/// Hook numbers.
pub const PREROUTING: u32 = 0;
pub const INPUT: u32 = 1;
pub const FORWARD: u32 = 2;

const DROP: i32 = 0;
const ACCEPT: i32 = 1;
const JUMP: i32 = -3;
const RETURN: i32 = -5;

/// A part of a rule.
#[derive(Clone, Copy)]
pub enum Part {
    Iif(&'static str),
    Established,
    /// `meta l4proto` and the first byte behind: ICMP types.
    Icmp(u8, u8),
    /// `meta l4proto` and the destination port.
    Port(u8, u16),
    /// `dnat to`, an address.
    Dnat(&'static [u8]),
    Accept,
    Drop,
    Jump(&'static str),
    Return,
    /// `reject with icmpx admin-prohibited`
    Reject,
}

/// Hook, priority, and whether the policy is drop.
type Base = (u32, i32, bool);

/// A table: its chains with hook and policy (dropped?), then rules in order.
pub struct Table {
    pub family: u8,
    pub name: &'static str,
    pub chains: Vec<(&'static str, Option<Base>)>,
    pub rules: Vec<(&'static str, Vec<Part>)>,
}

/// `nft flush ruleset`, by somebody else.
pub fn flush() {
    // NFT_MSG_DELTABLE of AF_UNSPEC without a name
    send(|requests| {
        requests.request(10 << 8 | 2, 0, &[0; 4]);
    });
}

/// One chain emptied, as its program does when it is reloaded.
pub fn empty(family: u8, table: &str, chain: &str) {
    // NFT_MSG_DELRULE without a handle
    send(|requests| {
        requests.request(10 << 8 | 8, 0, &[family, 0, 0, 0]).text(1, table).text(2, chain);
    });
}

pub fn load(table: &Table) {
    let header = [table.family, 0, 0, 0];
    send(|requests| {
        requests.request(10 << 8, NLM_F_CREATE, &header).text(1, table.name);
        for (name, base) in &table.chains {
            let mut request = requests.request(10 << 8 | 3, NLM_F_CREATE, &header);
            request.text(1, table.name).text(3, name);
            if let Some((hook, priority, drops)) = base {
                request.text(7, if *hook == PREROUTING { "nat" } else { "filter" }).be32(5, u32::from(!drops)).nest(
                    4,
                    |nest| {
                        nest.be32(1, *hook).attribute(2, &priority.to_be_bytes());
                    },
                );
            }
        }
        for (chain, parts) in &table.rules {
            let mut request = requests.request(10 << 8 | 6, NLM_F_CREATE | NLM_F_APPEND, &header);
            request.text(1, table.name).text(2, chain);
            request.nest(4, |list| parts.iter().for_each(|part| write(*part, list)));
        }
    });
}

fn send(fill: impl FnOnce(&mut Requests)) {
    let mut requests = Requests::new();
    requests.request(0x10, 0, &[0, 0, 0, 10]);
    fill(&mut requests);
    requests.request(0x11, 0, &[0, 0, 0, 10]);
    let mut socket = Socket::open(Protocol::Netfilter).expect("a socket");
    socket.transact(&mut requests).expect("foreign rules");
}

fn expr(list: &mut Request<'_>, name: &str, fill: impl FnOnce(&mut Request<'_>)) {
    list.nest(1, |element| {
        element.text(1, name);
        element.nest(2, fill);
    });
}

fn compare(list: &mut Request<'_>, how: u32, data: &[u8]) {
    expr(list, "cmp", |cmp| {
        cmp.be32(1, 1).be32(2, how).nest(3, |nest| {
            nest.attribute(1, data);
        });
    });
}

fn verdict(list: &mut Request<'_>, code: i32, chain: Option<&str>) {
    expr(list, "immediate", |immediate| {
        immediate.be32(1, 0).nest(2, |data| {
            data.nest(2, |verdict| {
                verdict.attribute(1, &code.to_be_bytes());
                if let Some(chain) = chain {
                    verdict.text(2, chain);
                }
            });
        });
    });
}

fn write(part: Part, list: &mut Request<'_>) {
    let meta = |list: &mut Request<'_>, key: u32| {
        expr(list, "meta", |meta| {
            meta.be32(2, key).be32(1, 1);
        });
    };
    match part {
        Part::Iif(name) => {
            let mut bytes = name.as_bytes().to_vec();
            bytes.resize(16, 0);
            meta(list, 6);
            compare(list, 0, &bytes);
        }
        Part::Established => {
            expr(list, "ct", |ct| {
                ct.be32(2, 0).be32(1, 1);
            });
            expr(list, "bitwise", |bits| {
                bits.be32(1, 1).be32(2, 1).be32(3, 4);
                for (kind, value) in [(4, 6_u32), (5, 0)] {
                    bits.nest(kind, |nest| {
                        nest.attribute(1, &value.to_ne_bytes());
                    });
                }
            });
            compare(list, 1, &[0; 4]);
        }
        Part::Icmp(proto, kind) => {
            meta(list, 16);
            compare(list, 0, &[proto]);
            expr(list, "payload", |payload| {
                payload.be32(1, 1).be32(2, 2).be32(3, 0).be32(4, 1);
            });
            compare(list, 0, &[kind]);
        }
        Part::Port(proto, port) => {
            meta(list, 16);
            compare(list, 0, &[proto]);
            expr(list, "payload", |payload| {
                payload.be32(1, 1).be32(2, 2).be32(3, 2).be32(4, 2);
            });
            compare(list, 0, &port.to_be_bytes());
        }
        Part::Dnat(address) => {
            expr(list, "immediate", |immediate| {
                immediate.be32(1, 1).nest(2, |data| {
                    data.attribute(1, address);
                });
            });
            let family = if address.len() == 4 { IP } else { IP6 };
            // NFT_NAT_DNAT
            expr(list, "nat", |nat| {
                nat.be32(1, 1).be32(2, family.into()).be32(3, 1);
            });
        }
        Part::Accept => verdict(list, ACCEPT, None),
        Part::Drop => verdict(list, DROP, None),
        Part::Jump(chain) => verdict(list, JUMP, Some(chain)),
        Part::Return => verdict(list, RETURN, None),
        Part::Reject => expr(list, "reject", |reject| {
            // NFT_REJECT_ICMPX_UNREACH, NFT_REJECT_ICMPX_ADMIN_PROHIBITED
            reject.be32(1, 2).u8(2, 3);
        }),
    }
}

/// What Docker 28 makes of the filter table of each family.
pub fn docker() {
    for family in [IP, IP6] {
        load(&Table {
            family,
            name: "filter",
            chains: vec![
                ("FORWARD", Some((FORWARD, 0, true))),
                ("DOCKER-USER", None),
                ("DOCKER-FORWARD", None),
                ("DOCKER-CT", None),
            ],
            rules: vec![
                ("FORWARD", vec![Part::Jump("DOCKER-USER")]),
                ("FORWARD", vec![Part::Jump("DOCKER-FORWARD")]),
                ("DOCKER-FORWARD", vec![Part::Jump("DOCKER-CT")]),
                ("DOCKER-FORWARD", vec![Part::Iif("docker0"), Part::Accept]),
                ("DOCKER-CT", vec![Part::Iif("docker0"), Part::Established, Part::Accept]),
                ("DOCKER-USER", vec![Part::Return]),
            ],
        });
    }
}

/// What `ufw enable` makes: routed and incoming connections dropped, but for pings and answers.
pub fn ufw() {
    for (family, six, proto, echo) in [(IP, "", 1, 8), (IP6, "6", 58, 128)] {
        // names that live as long as the process: tests make them twice
        let name = |rest: &str| -> &'static str { format!("ufw{six}-{rest}").leak() };
        let mut rules = Vec::new();
        for (base, way) in [("INPUT", "input"), ("FORWARD", "forward")] {
            let before = name(&format!("before-{way}"));
            rules.push((base, vec![Part::Jump(before)]));
            rules.push((before, vec![Part::Established, Part::Accept]));
            rules.push((before, vec![Part::Icmp(proto, echo), Part::Accept]));
            if family == IP6 && way == "input" {
                rules.extend([135, 136].map(|kind| (before, vec![Part::Icmp(58, kind), Part::Accept])));
            }
            rules.push((before, vec![Part::Jump(name(&format!("user-{way}")))]));
        }
        let mut chains = vec![("INPUT", Some((INPUT, 0, true))), ("FORWARD", Some((FORWARD, 0, true)))];
        let own = ["before-input", "user-input", "before-forward", "user-forward"];
        chains.extend(own.map(|rest| (name(rest), None)));
        load(&Table { family, name: "filter", chains, rules });
    }
}

/// `docker run -p PORT:80` without its proxy, for both families.
pub fn docker_port(port: u16) {
    for (family, container) in
        [(IP, &[172, 17, 0, 2][..]), (IP6, &[0xfd, 0x17, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2])]
    {
        load(&Table {
            family,
            name: "nat",
            chains: vec![("PREROUTING", Some((PREROUTING, -100, false))), ("DOCKER", None)],
            rules: vec![
                ("PREROUTING", vec![Part::Jump("DOCKER")]),
                ("DOCKER", vec![Part::Port(6, port), Part::Dnat(container)]),
            ],
        });
    }
}

/// A firewall written by hand for both families, that lets nothing through and nothing in.
pub fn strict() {
    load(&Table {
        family: INET,
        name: "mine",
        chains: vec![("way-in", Some((INPUT, 0, true))), ("through", Some((FORWARD, 0, true)))],
        rules: vec![
            ("through", vec![Part::Established, Part::Accept]),
            ("way-in", vec![Part::Established, Part::Accept]),
            ("way-in", vec![Part::Iif("lo"), Part::Accept]),
            // IPv6 works on the host's own network: neighbour solicitations and advertisements
            ("way-in", vec![Part::Iif("up0"), Part::Icmp(58, 135), Part::Accept]),
            ("way-in", vec![Part::Iif("up0"), Part::Icmp(58, 136), Part::Accept]),
        ],
    });
}

/// What firewalld makes of an interface in no zone of its own.
pub fn firewalld() {
    load(&Table {
        family: INET,
        name: "firewalld",
        chains: vec![("filter_FORWARD", Some((FORWARD, 10, false))), ("filter_FWD_public", None)],
        rules: vec![
            ("filter_FORWARD", vec![Part::Established, Part::Accept]),
            ("filter_FORWARD", vec![Part::Jump("filter_FWD_public")]),
            ("filter_FWD_public", vec![Part::Reject]),
        ],
    });
}
