//! Real traffic between the namespaces of a lab that the real command brought up: who reaches whom, and what address the
//! other side sees.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::process::Command;
use std::time::{Duration, Instant};

use raum_kernel::namespace::in_namespace;

use super::RAUM;

/// Long enough for a loaded machine; only a lost packet waits for it.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// For what must not arrive: each such test waits that long.
pub const IMPATIENCE: Duration = Duration::from_millis(400);
/// What must arrive is sent so often. On a loaded machine a bridge's port may begin to pass packets on seconds after it came
/// up (net/core/link_watch.c), or the kernel's table of neighbours be full for a while; then nobody answers who has an address.
const TRIES: usize = 4;

pub fn raum(args: &[&str]) -> (bool, String) {
    let output = Command::new(RAUM).args(args).output().expect("raum");
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.success(), said)
}

pub fn up(lab: &str) {
    fs::write("/run/lab.yaml", lab).expect("a lab file");
    let (fine, said) = raum(&["up", "/run/lab.yaml"]);
    assert!(fine, "{said}");
}

pub fn within<T: Send>(ns: &str, f: impl FnOnce() -> T + Send) -> T {
    let file = File::open(format!("/run/netns/{ns}")).expect("the namespace");
    in_namespace(file.as_fd(), f).expect("a thread inside")
}

pub fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// Connects from one place to another, and returns the client's address as the server saw it.
pub fn tcp(from: Option<&str>, to: &str, server: &TcpListener) -> Result<IpAddr, String> {
    let mut tried = once(from, to, server);
    for _ in 1..TRIES {
        match tried {
            Err((Some(ErrorKind::HostUnreachable | ErrorKind::TimedOut), _)) => tried = once(from, to, server),
            _ => break,
        }
    }
    tried.map_err(|(_, words)| words)
}

/// One connection; if there is none, why.
fn once(from: Option<&str>, to: &str, server: &TcpListener) -> Result<IpAddr, (Option<ErrorKind>, String)> {
    let to = address(to);
    let connect = || TcpStream::connect_timeout(&to, PATIENCE);
    let mut client = match from {
        Some(ns) => within(ns, connect),
        None => connect(),
    }
    .map_err(|error| (Some(error.kind()), format!("connect to {to}: {error}")))?;
    let told = |what: &str, error: io::Error| (None, format!("{what}: {error}"));
    let (mut accepted, seen) = server.accept().map_err(|error| told("accept", error))?;
    client.write_all(b"over the wire").map_err(|error| told("write", error))?;
    let mut got = [0; 13];
    accepted.set_read_timeout(Some(PATIENCE)).map_err(|error| told("a timeout", error))?;
    accepted.read_exact(&mut got).map_err(|error| told("read", error))?;
    assert_eq!(&got, b"over the wire");
    Ok(seen.ip())
}

pub fn listen(ns: &str, at: &str) -> TcpListener {
    within(ns, || TcpListener::bind(address(at)).expect("a listener"))
}

pub fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// Is the connection refused or lost?
pub fn is_closed(from: Option<&str>, to: &str) -> bool {
    let to = address(to);
    let connect = || TcpStream::connect_timeout(&to, IMPATIENCE).is_err();
    match from {
        Some(ns) => within(ns, connect),
        None => connect(),
    }
}

/// A UDP socket in a namespace, or here, that waits with patience.
pub fn udp(ns: Option<&str>, at: &str) -> UdpSocket {
    let at = address(at);
    let bind = move || UdpSocket::bind(at).expect("a socket");
    let socket = match ns {
        Some(ns) => within(ns, bind),
        None => bind(),
    };
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    socket
}

/// Sends a datagram, in this time: where the kernel's table of neighbours, which all tests share, is full for a moment there is no
/// room for another one. For IPv6 that is EINVAL (`ip6_finish_output2`, net/ipv6/ip6_output.c).
pub fn sent(from: &UdpSocket, to: &str, wait: Duration) -> io::Result<()> {
    let (to, until) = (address(to), Instant::now() + wait);
    loop {
        match from.send_to(b"a datagram", to) {
            Err(error) if error.kind() == ErrorKind::InvalidInput && Instant::now() < until => {
                std::thread::sleep(Duration::from_millis(100));
            }
            done => return done.map(drop),
        }
    }
}

/// Sends a datagram, and gives the sender's address as the other socket saw it; None if nothing came in that time.
pub fn datagram(from: &UdpSocket, to: &str, at: &UdpSocket, wait: Duration) -> Option<SocketAddr> {
    sent(from, to, wait).ok()?;
    at.set_read_timeout(Some(wait)).expect("a timeout");
    let mut buffer = [0; 32];
    let (length, seen) = at.recv_from(&mut buffer).ok()?;
    assert_eq!(&buffer[..length], b"a datagram");
    Some(seen)
}

/// A datagram that must arrive: it is sent again if it does not. None that came late is left.
pub fn heard(from: &UdpSocket, to: &str, at: &UdpSocket) -> Option<SocketAddr> {
    let sent = (0..TRIES).find_map(|before| Some((before, datagram(from, to, at, PATIENCE)?)));
    let (before, seen) = sent?;
    if before > 0 {
        at.set_read_timeout(Some(IMPATIENCE)).expect("a timeout");
        while at.recv_from(&mut [0; 32]).is_ok() {}
    }
    Some(seen)
}

/// Bridged packets meet the rules inside the bridge, or do not: `br_netfilter`, where the kernel has it.
pub fn bridged(meets: &str) {
    for what in ["iptables", "ip6tables"] {
        let file = format!("/proc/sys/net/bridge/bridge-nf-call-{what}");
        if fs::exists(&file).expect("to look") {
            fs::write(&file, meets).expect("a sysctl of the sandbox");
        }
    }
}
