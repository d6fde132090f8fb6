//! What can be typed of steps: commands that edit a lab and bring it up, each one line.

use clap::{Args, Subcommand};

// Words that several steps have. They have no doc comments: clap would take those for what a deferred command is about.

// On every step.
#[derive(Debug, Args)]
pub struct How {
    /// The lab; in the lab `default` namespaces have bare names.
    #[arg(long, default_value = "default", value_name = "NAME")]
    pub lab: String,
    /// Say what would be done, and do nothing.
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Print the `ip`, `nft` and `sysctl` commands that do the same, each with its reason, before it is done.
    #[arg(long)]
    pub explain: bool,
}

// On steps that remove something.
#[derive(Debug, Args)]
pub struct Forced {
    /// What refers to it goes too.
    #[arg(short, long)]
    pub force: bool,
    #[command(flatten)]
    pub how: How,
}

/// Steps by hand: each edits a lab and brings it up, all or nothing.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub enum Step {
    /// Namespaces: add, delete, list.
    #[command(subcommand)]
    Ns(Ns),
    /// Connect two namespaces with a wire (a veth pair): `raum connect red blue`, or with addresses of your own:
    /// `raum connect red 10.0.0.1/24 blue 10.0.0.2/24`.
    Connect {
        /// Both ends, each `NODE[:INTERFACE] [ADDRESS/LEN]…`, as in the lab file; NODE may be `host`. Without any address
        /// free ones are chosen, of IPv4 and IPv6.
        #[arg(required = true, value_name = "END")]
        ends: Vec<String>,
        /// Choose no addresses.
        #[arg(long)]
        no_addresses: bool,
        #[command(flatten)]
        how: How,
    },
    /// Take a wire between two namespaces away: `raum disconnect red blue`.
    Disconnect {
        /// Both ends, each `NODE[:INTERFACE]`.
        #[arg(required = true, value_name = "END")]
        ends: Vec<String>,
        #[command(flatten)]
        forced: Forced,
    },
    /// Switches (Linux bridges): add, delete.
    #[command(subcommand)]
    Switch(Switch),
    /// Put a namespace on a switch: `raum attach red lan 10.1.0.7`.
    Attach {
        /// `NODE[:INTERFACE]`, or a range: `n[1-10]`.
        namespace: String,
        /// The switch.
        switch: String,
        /// Its addresses; without them one of each of the switch's subnets is chosen.
        address: Vec<String>,
        #[command(flatten)]
        how: How,
    },
    /// Take a namespace off a switch: `raum detach red lan`.
    Detach {
        /// `NODE[:INTERFACE]`
        namespace: String,
        /// The switch.
        switch: String,
        #[command(flatten)]
        forced: Forced,
    },
    /// Addresses of interfaces: add, delete.
    #[command(subcommand)]
    Addr(Addr),
    /// Routes: add, delete.
    #[command(subcommand)]
    Route(Route),
    /// Say who is the gateway: `raum gateway lan host` for a switch, `raum gateway red 10.0.0.2` for a namespace.
    Gateway {
        /// A switch, or a namespace.
        what: String,
        /// Of a switch a namespace or `host`; of a namespace an address, one of each family.
        #[arg(required_unless_present = "none", conflicts_with = "none")]
        gateway: Vec<String>,
        /// None any more.
        #[arg(long)]
        none: bool,
        #[command(flatten)]
        how: How,
    },
    /// Does a namespace pass packets on? `raum forwarding router on`.
    Forwarding {
        /// The namespace.
        namespace: String,
        /// `on` or `off`.
        #[arg(value_name = "on|off")]
        value: String,
        #[command(flatten)]
        how: How,
    },
    /// Translate the addresses of what leaves (masquerade): add, set, delete.
    #[command(subcommand)]
    Nat(Nat),
    /// Ports of the host that lead to a namespace: add, delete.
    #[command(subcommand)]
    Publish(Publish),
    /// Ports of a router namespace that lead to others: add, delete.
    #[command(subcommand)]
    Forward(Forward),
    /// Packet filters: rules, the default, none.
    #[command(subcommand)]
    Filter(Filter),
    /// Names for several namespaces and switches, in filter rules: add, delete.
    #[command(subcommand)]
    Group(Group),
    /// Interfaces: pull the cable, plug it in, MTU, hardware address.
    #[command(subcommand)]
    Link(Link),
}

/// `raum ns`
#[derive(Debug, Subcommand)]
pub enum Ns {
    /// Add namespaces, as `ip netns add` does: `raum ns add red blue`, `raum ns add n[1-10]`.
    Add {
        /// Names or ranges of names.
        #[arg(required = true)]
        name: Vec<String>,
        #[command(flatten)]
        how: How,
    },
    /// Delete namespaces, and the links that end there.
    Del {
        /// Names or ranges of names.
        #[arg(required = true)]
        name: Vec<String>,
        #[command(flatten)]
        forced: Forced,
    },
    /// List the named namespaces of this host, with lab and addresses.
    List {
        /// Only those of this lab.
        #[arg(long, value_name = "NAME")]
        lab: Option<String>,
    },
}

/// `raum switch`
#[derive(Debug, Subcommand)]
pub enum Switch {
    /// Add a switch: `raum switch add lan 10.1.0.0/24 --gateway host --nat`.
    Add {
        /// Its name.
        name: String,
        /// Its subnets: at most one of IPv4 and one of IPv6.
        subnet: Vec<String>,
        /// Who has the first address of the subnets and routes for the others: `host`.
        #[arg(long, value_name = "NODE")]
        gateway: Option<String>,
        /// Translate the addresses of what leaves the host; with `--gateway host`.
        #[arg(long)]
        nat: bool,
        /// Members reach the gateway and what is behind it, but not each other.
        #[arg(long)]
        isolated: bool,
        /// The namespace it lives in; without it, the host.
        #[arg(long = "in", value_name = "NODE")]
        place: Option<String>,
        /// MTU in bytes, of it and what is on it.
        #[arg(long, value_name = "BYTES")]
        mtu: Option<String>,
        /// Hardware address.
        #[arg(long, value_name = "ADDRESS")]
        mac: Option<String>,
        #[command(flatten)]
        how: How,
    },
    /// Delete switches.
    Del {
        /// Their names.
        #[arg(required = true)]
        name: Vec<String>,
        #[command(flatten)]
        forced: Forced,
    },
}

/// `raum addr`
#[derive(Debug, Subcommand)]
pub enum Addr {
    /// Add addresses: `raum addr add red:eth0 10.0.0.1/24 fd00::1/64`.
    Add {
        /// `NODE:INTERFACE`; NODE alone if it has one interface.
        interface: String,
        /// Addresses with prefix length; without it where a switch's subnet gives one.
        #[arg(required = true)]
        address: Vec<String>,
        #[command(flatten)]
        how: How,
    },
    /// Delete addresses: `raum addr del red:eth0 10.0.0.1`.
    Del {
        /// `NODE:INTERFACE`; NODE alone if it has one interface.
        interface: String,
        /// Addresses.
        #[arg(required = true)]
        address: Vec<String>,
        #[command(flatten)]
        forced: Forced,
    },
}

/// `raum route`
#[derive(Debug, Subcommand)]
pub enum Route {
    /// Add a route, in the words of `ip route`: `raum route add red default via 10.0.0.2`.
    Add {
        /// A namespace, or `host`.
        namespace: String,
        /// `PREFIX|default via ADDRESS [dev INTERFACE] [metric N]`, `PREFIX dev INTERFACE`, `blackhole PREFIX`.
        #[arg(required = true)]
        route: Vec<String>,
        #[command(flatten)]
        how: How,
    },
    /// Delete a route: `raum route del red default`.
    Del {
        /// A namespace, or `host`.
        namespace: String,
        /// The destination, and as much more as tells it from others.
        #[arg(required = true)]
        route: Vec<String>,
        #[command(flatten)]
        how: How,
    },
}

// How to translate.
#[derive(Debug, Args)]
pub struct Translated {
    /// A switch whose gateway is the host, or a namespace.
    pub what: String,
    /// The interface that packets leave by; of a switch, any without it.
    #[arg(short, long, value_name = "INTERFACE")]
    pub out: Option<String>,
    /// The address that packets leave with, at most one of each family; without it that of the interface.
    #[arg(short, long, value_name = "ADDRESS")]
    pub source: Vec<String>,
    /// Behave like a NAT found in the field: home, corporate, full-cone, carrier-grade, cloud; of a namespace.
    #[arg(long, value_name = "KIND")]
    pub like: Option<String>,
    #[command(flatten)]
    pub how: How,
}

/// `raum nat`
#[derive(Debug, Subcommand)]
pub enum Nat {
    /// Translate: `raum nat add lan` on the host, `raum nat add router --out wan` in a namespace.
    Add(Translated),
    /// Translate in another way than until now: `raum nat set router --out wan --like home`. What is not typed is not kept.
    Set(Translated),
    /// Translate no longer.
    Del {
        /// A switch or a namespace.
        what: String,
        #[command(flatten)]
        how: How,
    },
}

/// `raum publish`
#[derive(Debug, Subcommand)]
pub enum Publish {
    /// Publish ports: `raum publish add web 8080:80`, the host's port first.
    Add {
        /// The namespace.
        namespace: String,
        /// `[ADDRESS:]PORT[-PORT][:PORT[-PORT]][/udp]`
        #[arg(required = true)]
        port: Vec<String>,
        #[command(flatten)]
        how: How,
    },
    /// Publish ports no longer: `raum publish del web 8080`.
    Del {
        /// The namespace.
        namespace: String,
        /// The host's port, or the whole entry.
        #[arg(required = true)]
        port: Vec<String>,
        #[command(flatten)]
        how: How,
    },
}

/// `raum forward`
#[derive(Debug, Subcommand)]
pub enum Forward {
    /// Forward a port: `raum forward add router wan 2222 to laptop:22`.
    Add {
        /// The router.
        namespace: String,
        /// `[INTERFACE] [ADDRESS:]PORT[-PORT][/udp] to NODE[:PORT[-PORT]]`; the lab file's `->` needs quotes in a shell.
        #[arg(required = true)]
        forward: Vec<String>,
        #[command(flatten)]
        how: How,
    },
    /// Forward a port no longer: `raum forward del router wan 2222`.
    Del {
        /// The router.
        namespace: String,
        /// What stands before `to`, or the whole.
        #[arg(required = true)]
        forward: Vec<String>,
        #[command(flatten)]
        how: How,
    },
}

// Whose filter.
#[derive(Debug, Args)]
pub struct Of {
    /// The namespace whose filter it is; without it the lab's, which those keep who receive.
    #[arg(long = "in", value_name = "NODE")]
    pub place: Option<String>,
    #[command(flatten)]
    pub how: How,
}

/// `raum filter`
#[derive(Debug, Subcommand)]
pub enum Filter {
    /// Add a rule: `raum filter add deny lan to front 22`, `raum filter add allow front to 5432/tcp --in db`.
    Add {
        /// `allow` or `deny`
        #[arg(value_name = "allow|deny")]
        policy: String,
        /// `FROM [to [TO] [SERVICE]]`: namespaces, switches, groups, prefixes or `any`; 80, 80-90/tcp, 53/udp, tcp, icmp.
        #[arg(required = true)]
        rule: Vec<String>,
        #[command(flatten)]
        of: Of,
    },
    /// Delete a rule.
    Del {
        /// `allow` or `deny`
        #[arg(value_name = "allow|deny")]
        policy: String,
        /// As it was added.
        #[arg(required = true)]
        rule: Vec<String>,
        #[command(flatten)]
        of: Of,
    },
    /// Say what happens to what no rule speaks of: `raum filter default deny --in db`.
    Default {
        /// `allow` or `deny`
        #[arg(value_name = "allow|deny")]
        policy: String,
        /// The same of what the namespace itself sends; allowed, if it was never said.
        #[arg(long, value_name = "allow|deny")]
        outgoing: Option<String>,
        #[command(flatten)]
        of: Of,
    },
    /// No filter any more.
    Off {
        #[command(flatten)]
        of: Of,
    },
}

/// `raum group`
#[derive(Debug, Subcommand)]
pub enum Group {
    /// Add a group, or members to one: `raum group add front web[1-3]`.
    Add {
        /// Its name.
        group: String,
        /// Namespaces, ranges of them, and switches for everybody on them.
        #[arg(required = true)]
        member: Vec<String>,
        #[command(flatten)]
        how: How,
    },
    /// Delete members of a group, or without members the whole.
    Del {
        /// Its name.
        group: String,
        /// Who is to leave it.
        member: Vec<String>,
        #[command(flatten)]
        forced: Forced,
    },
}

/// `raum link`
#[derive(Debug, Subcommand)]
pub enum Link {
    /// Plug the cable in again: `raum link up red:eth0`.
    Up {
        /// `NODE:INTERFACE`; NODE alone if it has one interface.
        #[arg(required = true)]
        interface: Vec<String>,
        #[command(flatten)]
        how: How,
    },
    /// Pull the cable out: `raum link down red:eth0`. Addresses and routes come back with `raum link up`.
    Down {
        /// `NODE:INTERFACE`; NODE alone if it has one interface.
        #[arg(required = true)]
        interface: Vec<String>,
        #[command(flatten)]
        how: How,
    },
    /// Set MTU or hardware address: `raum link set red:eth0 --mtu 1400`; isolate the members of a switch.
    Set {
        /// `NODE:INTERFACE`, NODE alone if it has one interface, or a switch.
        interface: String,
        /// MTU in bytes.
        #[arg(long, value_name = "BYTES")]
        mtu: Option<String>,
        /// Hardware address.
        #[arg(long, value_name = "ADDRESS")]
        mac: Option<String>,
        /// `on`: members of this switch reach its gateway, but not each other.
        #[arg(long, value_name = "on|off")]
        isolated: Option<String>,
        #[command(flatten)]
        how: How,
    },
}
