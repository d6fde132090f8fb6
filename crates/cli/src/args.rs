//! What can be typed: the commands with their help, and nothing of what they mean.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use raum_core::name::LabName;

/// Networks of Linux network namespaces: built, changed, shown, tested and removed.
#[derive(Debug, Parser)]
#[command(name = "raum", version, max_term_width = 100, propagate_version = true)]
#[command(after_help = "Exit status: 0 as asked; 1 refused and taken back, or drift; 2 wrong usage or lab file, \
                        or no such lab, namespace or file; 3 something was left behind, and is listed.")]
pub struct Args {
    /// Print JSON instead of text, on every command that shows something.
    #[arg(long, global = true, display_order = 900)]
    pub json: bool,

    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands, in the order in which a newcomer meets them.
// Deferred: the words of a command are made when it is the one that was typed. All of them are half of what `raum exec` does
// before it is another program.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub enum Command {
    /// Bring a lab up, or change it to what its file says now: all or nothing.
    Up {
        /// The lab file; `-` is standard input.
        #[arg(default_value = "raum.yaml")]
        file: PathBuf,
        /// Where a firewall of others drops the lab's packets, add rules to it that let them pass; `up` without this,
        /// or `down`, removes them.
        #[arg(long)]
        with_foreign_rules: bool,
        /// If a lab of this name is up from another file, change it to what this file says.
        #[arg(long)]
        replace: bool,
    },
    /// Remove everything of a lab, and put back what it changed on the host.
    Down {
        /// Lab files or names of labs.
        #[arg(value_name = "FILE|LAB")]
        what: Vec<String>,
        /// All labs of this host.
        #[arg(long, conflicts_with = "what")]
        all: bool,
    },
    /// Say what `up` would change, and change nothing.
    Plan {
        /// The lab file; `-` is standard input.
        #[arg(default_value = "raum.yaml")]
        file: PathBuf,
        /// Print it as a runnable shell script of `ip`, `nft` and `sysctl` commands.
        #[arg(long = "as", value_name = "FORM")]
        form: Option<Form>,
        /// As `up --with-foreign-rules` would.
        #[arg(long)]
        with_foreign_rules: bool,
        /// As `up --replace` would: of a lab that is up from another file.
        #[arg(long)]
        replace: bool,
    },
    /// Read and check a lab file alone: all problems of how it is written, then all of what it says.
    Check {
        /// The lab file; `-` is standard input.
        #[arg(default_value = "raum.yaml")]
        file: PathBuf,
    },
    /// Compare labs with what the kernel has; exit status 1 if they differ.
    Status {
        /// One lab instead of all.
        lab: Option<String>,
    },
    /// List the labs of this host.
    Ls,
    /// Show every namespace of this machine, whoever made it; or all of one, or of a lab.
    #[command(
        after_help = "A namespace is `host`, a name as `ip netns` has it, a container's name or id, `pid:1234` or any process \
                            number, `net:[INODE]`, or the file that it is bound over; without any, there is a line for \
                            each. `raum show routes` is of the namespace that you are in."
    )]
    Show {
        /// A namespace or a lab; `host` for the one that you are in.
        #[arg(value_name = "NAMESPACE|LAB")]
        what: Option<String>,
        /// Only this of it.
        part: Option<Part>,
        /// All of every namespace.
        #[arg(long)]
        all: bool,
        /// Look again every so many seconds, and show what has changed.
        #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "1", require_equals = true)]
        watch: Option<f64>,
    },
    /// Say what happens in all namespaces while it happens: links, addresses, routes, neighbours, the namespaces themselves.
    Watch {
        /// Only what happens in this namespace or lab. If there is none of that name yet, it is waited for.
        #[arg(value_name = "NAMESPACE|LAB")]
        what: Option<String>,
        /// Only these kinds of things.
        #[arg(long, value_name = "KIND", value_delimiter = ',')]
        only: Vec<Kind>,
    },
    /// Draw a lab, from its file or as it is now, or everything on the host.
    Graph {
        /// A lab that is up, or a lab file (`-` is standard input), which need not be up. All labs if absent.
        #[arg(value_name = "LAB|FILE")]
        what: Option<String>,
        /// Every network namespace of the machine, whoever made it.
        #[arg(long, conflicts_with = "what")]
        all: bool,
        /// How; else by the name of the file that `-o` names, else `text`.
        #[arg(short, long)]
        format: Option<Drawing>,
        /// Write it into a file.
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Write a lab file of namespaces that exist already, whoever made them.
    Import {
        /// Their names, as `raum graph --all` shows them.
        #[arg(value_name = "NAMESPACE", required_unless_present = "all")]
        namespaces: Vec<String>,
        /// All that have a name or are a container's, and are no lab's.
        #[arg(long, conflicts_with = "namespaces")]
        all: bool,
        /// The lab's name. `default` is the lab whose namespaces have bare names.
        #[arg(long, default_value = "imported")]
        lab: LabName,
    },
    /// Show what goes through every interface, on the whole screen: rates, drops, errors, who talks most. Keys as in htop.
    Top {
        /// Only this namespace.
        #[arg(value_name = "NAMESPACE")]
        what: Option<String>,
        /// Seconds between two looks.
        #[arg(short = 'd', long, default_value_t = 1.0, value_name = "SECONDS")]
        interval: f64,
        /// End after so many looks.
        #[arg(short = 'n', long, value_name = "N")]
        count: Option<u64>,
    },
    /// Run a command inside a namespace, as `ip netns exec` does.
    Exec {
        /// The namespace: `shop-web`, or `web` where only one lab has it.
        namespace: String,
        /// The command and its arguments.
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<OsString>,
    },
    /// Open a shell inside a namespace.
    Shell {
        /// The namespace.
        namespace: String,
    },
    /// Send ICMP echo requests from one node to another, or from everybody to everybody (`--all`).
    Ping {
        /// The node or namespace to send from; with `--all`, the lab.
        #[arg(required_unless_present = "all", value_name = "FROM|LAB")]
        from: Option<String>,
        /// A node, by name, or an address.
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        to: Option<String>,
        /// Everybody of a lab to everybody, at once, as a matrix; exit status 1 if anybody is not reached.
        #[arg(short = 'a', long)]
        all: bool,
        /// How many to send; 0 until Ctrl-C, as ping(8) without `-c`.
        #[arg(short = 'c', long, default_value_t = 3, conflicts_with = "all")]
        count: u32,
        /// Milliseconds between two.
        #[arg(short = 'i', long, default_value_t = 200, value_name = "MS", conflicts_with = "all")]
        interval: u64,
        /// Milliseconds to wait for an answer: 1000, with `--all` 3000.
        #[arg(short = 'W', long, value_name = "MS")]
        timeout: Option<u64>,
        /// Only IPv4.
        #[arg(short = '4', conflicts_with = "v6")]
        v4: bool,
        /// Only IPv6.
        #[arg(short = '6')]
        v6: bool,
    },
    /// Examine this host: what would keep labs from working, and what helps; exit status 1 at a problem.
    Doctor,
    /// Commands that edit a lab and bring it up.
    #[command(flatten)]
    Step(crate::steps::Step),
    /// Print the lab file of a lab that is up.
    Export {
        /// The lab.
        #[arg(default_value = "default")]
        lab: String,
    },
    /// Say where a packet goes and why it does not arrive: hop by hop, with the rule, route or cable that stops it.
    Trace {
        /// The node or namespace to send from.
        from: String,
        /// A node or an address; with a port TCP, else ICMP.
        #[arg(value_name = "TO[:PORT[/PROTO]]")]
        to: String,
        /// Only IPv4.
        #[arg(short = '4', conflicts_with = "v6")]
        v4: bool,
        /// Only IPv6.
        #[arg(short = '6')]
        v6: bool,
    },
    /// Try what the lab file expects (`expect:`): what reaches what, with real packets; exit status 1 if anything differs.
    Test {
        /// The lab file, or the name of a lab that is up.
        #[arg(default_value = "raum.yaml", value_name = "FILE|LAB")]
        what: String,
        /// Milliseconds to wait for what shall arrive.
        #[arg(long, default_value_t = 3000, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..=3_600_000))]
        timeout: u64,
        /// Milliseconds in which nothing must arrive, for `cannot reach`.
        #[arg(long, default_value_t = 1000, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..=3_600_000))]
        quiet: u64,
        /// Write a JUnit report into a file as well.
        #[arg(long, value_name = "FILE")]
        junit: Option<PathBuf>,
        /// Print TAP (Test Anything Protocol) instead of text.
        #[arg(long, conflicts_with = "json")]
        tap: bool,
    },
    /// Capture packets at interfaces of namespaces: lines for people, or pcapng for Wireshark (`-w`).
    #[command(after_help = "Examples:\n  raum capture web\n  raum capture web:eth0 router tcp port 80 and host db\n  \
                            raum capture web -w web.pcapng --duration 10\n  raum capture web -w - | wireshark -k -i -\n\n\
                            The filter is tcpdump's (pcap-filter(7)); names in it are those of the lab's nodes.")]
    Capture {
        /// Where (`NODE` for all its interfaces but lo, `NODE:INTERFACE`), one or several; then the filter.
        #[arg(required = true, value_name = "NODE[:INTERFACE]… [FILTER]")]
        what: Vec<String>,
        /// Words of the filter, where they could be taken for nodes.
        #[arg(last = true, value_name = "FILTER")]
        filter: Vec<String>,
        /// Write pcapng to a file, or to standard output (`-`).
        #[arg(short = 'w', long, value_name = "FILE|-", conflicts_with = "json")]
        write: Option<String>,
        /// End after so many packets; 0, or without it, at Ctrl-C.
        #[arg(short = 'c', long)]
        count: Option<u64>,
        /// End after so many seconds.
        #[arg(long, value_name = "SECONDS")]
        duration: Option<f64>,
        /// So many bytes of each packet; without it, all.
        #[arg(short = 's', long = "snap", value_name = "BYTES", value_parser = clap::value_parser!(u32).range(1..=262_144))]
        snap: Option<u32>,
    },
    /// Print the JSON Schema of the lab file.
    Schema,
    /// Print completions for a shell.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
    /// Write the manual pages into a directory.
    Man {
        /// The directory; it must exist.
        directory: PathBuf,
    },
}

/// Ways to draw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Drawing {
    /// For a slide or a page; light and dark.
    Svg,
    /// For Markdown on a forge.
    Mermaid,
    /// For Graphviz.
    Dot,
    /// For a terminal.
    Text,
}

/// Forms of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// A shell script.
    Ip,
}

/// What `show` can show alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// Interfaces with their other ends and counters.
    #[value(alias = "link", alias = "interfaces")]
    Links,
    /// Addresses of interfaces.
    #[value(alias = "addr", alias = "addresses", alias = "address")]
    Addrs,
    /// Routes of all tables.
    #[value(alias = "route")]
    Routes,
    /// Which routing table is asked for which packet.
    #[value(alias = "rule")]
    Rules,
    /// The ARP and ND tables.
    #[value(alias = "neighbours", alias = "neighbors", alias = "neighbour", alias = "neighbor", alias = "arp")]
    Neigh,
    /// Which hardware address is behind which port of a bridge.
    Fdb,
    /// NAT and port forwards, in words.
    Nat,
    /// What is let through and what is dropped: chains and rules of others than raum.
    #[value(alias = "filters", alias = "chains", alias = "firewall")]
    Filter,
    /// Listening sockets with their processes.
    #[value(alias = "ss", alias = "listeners")]
    Sockets,
    /// Processes.
    #[value(alias = "processes")]
    Ps,
}

/// What `watch` tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Namespaces that come and go.
    #[value(alias = "namespaces")]
    Namespace,
    /// Interfaces.
    #[value(alias = "links")]
    Link,
    /// Their addresses.
    #[value(alias = "addr", alias = "addrs", alias = "addresses")]
    Address,
    /// Routes, but not those of the table `local`, which follow from the addresses.
    #[value(alias = "routes")]
    Route,
    /// Routing rules.
    #[value(alias = "rules")]
    Rule,
    /// The ARP and ND tables.
    #[value(alias = "neigh", alias = "neighbours", alias = "neighbors", alias = "neighbor")]
    Neighbour,
    /// What bridges learn and forget.
    Fdb,
}

impl Kind {
    /// As events call it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Namespace => "namespace",
            Kind::Link => "link",
            Kind::Address => "address",
            Kind::Route => "route",
            Kind::Rule => "rule",
            Kind::Neighbour => "neighbour",
            Kind::Fdb => "fdb",
        }
    }
}

impl Part {
    /// As it is typed.
    pub fn name(self) -> &'static str {
        match self {
            Part::Links => "links",
            Part::Addrs => "addrs",
            Part::Routes => "routes",
            Part::Rules => "rules",
            Part::Neigh => "neigh",
            Part::Fdb => "fdb",
            Part::Nat => "nat",
            Part::Filter => "filter",
            Part::Sockets => "sockets",
            Part::Ps => "ps",
        }
    }
}
