//! What can be typed: the commands with their help, and nothing of what they mean.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

/// Networks of Linux network namespaces: built, changed, shown, tested and removed.
#[derive(Debug, Parser)]
#[command(name = "raum", version, max_term_width = 100, propagate_version = true)]
#[command(after_help = "Exit status: 0 as asked; 1 refused and taken back, or drift; 2 wrong usage or lab file; \
                        3 something was left behind, and is listed.")]
pub struct Args {
    /// Print JSON instead of text, on every command that shows something.
    #[arg(long, global = true)]
    pub json: bool,

    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands, in the order in which a newcomer meets them.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Bring a lab up, or change it to what its file says now: all or nothing.
    Up {
        /// The lab file; `-` is standard input.
        #[arg(default_value = "raum.yaml")]
        file: PathBuf,
        /// Where a firewall of others drops the lab's packets, add rules to it that let them pass; `down` removes them.
        #[arg(long)]
        with_foreign_rules: bool,
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
    },
    /// Read and check a lab file alone; every problem of it at once.
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
    /// Show interfaces, addresses, routes, neighbours, NAT and forwards.
    Show {
        /// A lab or a namespace; `host` for the host. All labs if absent.
        #[arg(value_name = "LAB|NAMESPACE")]
        what: Option<String>,
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
        /// How many to send; 0 until Ctrl-C.
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
        /// End after so many packets.
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
