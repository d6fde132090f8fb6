//! Real traffic between the namespaces of a lab that the real command brought up: who reaches whom, and what address the
//! other side sees.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::process::Command;
use std::time::Duration;

use raum_kernel::namespace::in_namespace;

use super::RAUM;

/// Long enough for a loaded machine; only a lost packet waits for it.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// For what must not arrive: each such test waits that long.
pub const IMPATIENCE: Duration = Duration::from_millis(400);

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
    let to = address(to);
    let connect = || TcpStream::connect_timeout(&to, PATIENCE);
    let mut client = match from {
        Some(ns) => within(ns, connect),
        None => connect(),
    }
    .map_err(|error| format!("connect to {to}: {error}"))?;
    let (mut accepted, seen) = server.accept().map_err(|error| error.to_string())?;
    client.write_all(b"over the wire").map_err(|error| error.to_string())?;
    let mut got = [0; 13];
    accepted.set_read_timeout(Some(PATIENCE)).map_err(|error| error.to_string())?;
    accepted.read_exact(&mut got).map_err(|error| format!("read: {error}"))?;
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

/// Sends a datagram, and gives the sender's address as the other socket saw it; None if nothing came in that time.
pub fn datagram(from: &UdpSocket, to: &str, at: &UdpSocket, wait: Duration) -> Option<SocketAddr> {
    from.send_to(b"a datagram", address(to)).ok()?;
    at.set_read_timeout(Some(wait)).expect("a timeout");
    let mut buffer = [0; 32];
    let (length, seen) = at.recv_from(&mut buffer).ok()?;
    assert_eq!(&buffer[..length], b"a datagram");
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
