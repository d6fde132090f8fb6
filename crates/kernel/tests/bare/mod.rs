//! Namespaces and links as others make them: by bare system calls and messages, without raum's operations and marks.
#![allow(dead_code, reason = "each test file uses some of it")]

use std::fs::{self, File};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use raum_kernel::message::Requests;
use raum_kernel::namespace::{fresh, in_namespace};
use raum_kernel::socket::{Protocol, Socket};
use rustix::mount::{MountPropagationFlags, mount_bind, mount_change};

const NEW: u16 = 0x600;

/// A fresh namespace without a name.
pub fn room() -> OwnedFd {
    fresh().expect("a namespace")
}

/// Binds a namespace over a file, as `ip netns`, Docker and Podman do.
pub fn bind(ns: &OwnedFd, path: &str) {
    let path = Path::new(path);
    fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    File::create(path).expect("a file");
    mount_bind(format!("/proc/self/fd/{}", ns.as_raw_fd()), path).expect("a mount");
    mount_change(path, MountPropagationFlags::PRIVATE).expect("a private mount");
}

/// A fresh namespace bound over a file.
pub fn bound(path: &str) -> OwnedFd {
    let ns = room();
    bind(&ns, path);
    ns
}

/// Sends requests inside a namespace; all must be done.
pub fn tell(ns: &OwnedFd, fill: impl FnOnce(&mut Requests) + Send) {
    let outcome = in_namespace(ns, || {
        let mut requests = Requests::new();
        fill(&mut requests);
        Socket::open(Protocol::Route)?.run(&mut requests)
    });
    for outcome in outcome.expect("the namespace").expect("an answer") {
        outcome.expect("done");
    }
}

fn ifinfo(index: u32, up: bool) -> [u8; 16] {
    let mut header = [0; 16];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    header[8..12].copy_from_slice(&u32::from(up).to_ne_bytes());
    header[12..].copy_from_slice(&u32::from(up).to_ne_bytes());
    header
}

/// A veth pair, each end with a namespace, a name and an index; both up.
pub fn wire((a, a_name, a_index): (&OwnedFd, &str, u32), (b, b_name, b_index): (&OwnedFd, &str, u32)) {
    tell(a, |requests| {
        requests.request(16, NEW, &ifinfo(a_index, false)).text(3, a_name).nest(18, |info| {
            info.text(1, "veth").nest(2, |data| {
                data.nest(1, |peer| {
                    let fd = b.as_fd().as_raw_fd().to_ne_bytes();
                    peer.raw(&ifinfo(b_index, false)).text(3, b_name).attribute(28, &fd);
                });
            });
        });
    });
    up(a, a_index);
    up(b, b_index);
}

/// A bridge, up.
pub fn bridge(ns: &OwnedFd, name: &str, index: u32) {
    tell(ns, |requests| {
        requests.request(16, NEW, &ifinfo(index, true)).text(3, name).nest(18, |info| {
            info.text(1, "bridge");
        });
    });
}

/// Brings a link up.
pub fn up(ns: &OwnedFd, index: u32) {
    tell(ns, |requests| {
        requests.request(19, 0, &ifinfo(index, true));
    });
}

/// Makes a link a bridge's port.
pub fn enslave(ns: &OwnedFd, index: u32, bridge: u32) {
    tell(ns, |requests| {
        requests.request(19, 0, &ifinfo(index, false)).u32(10, bridge);
    });
}

/// Gives a link an IPv4 address.
pub fn address(ns: &OwnedFd, index: u32, address: [u8; 4], prefix: u8) {
    tell(ns, |requests| {
        let [a, b, c, d] = index.to_ne_bytes();
        requests.request(20, NEW, &[2, prefix, 0, 0, a, b, c, d]).attribute(2, &address).attribute(1, &address);
    });
}

/// Tells who is behind an IPv4 address, once and for all.
pub fn neighbour(ns: &OwnedFd, index: u32, address: [u8; 4], mac: [u8; 6]) {
    /// `NUD_PERMANENT`
    const PERMANENT: u8 = 0x80;
    tell(ns, |requests| {
        let [a, b, c, d] = index.to_ne_bytes();
        let state = u16::from(PERMANENT).to_ne_bytes();
        let header = [2, 0, 0, 0, a, b, c, d, state[0], state[1], 0, 0];
        requests.request(28, NEW, &header).attribute(1, &address).attribute(2, &mac);
    });
}

/// A default route, of `RTPROT_STATIC`.
pub fn default_route(ns: &OwnedFd, index: u32, via: [u8; 4]) {
    tell(ns, |requests| {
        let header = [2, 0, 0, 0, 254, 4, 0, 1, 0, 0, 0, 0];
        requests.request(24, NEW, &header).attribute(5, &via).u32(4, index);
    });
}

/// Waits until every link that is up has a link-local address, which nobody else has.
pub fn settled(ns: &OwnedFd) {
    let count = |socket: &mut Socket, kind, header: &[u8], test: fn(&[u8]) -> bool| {
        let mut requests = Requests::new();
        requests.request(kind, 0, header);
        socket.dump(&mut requests).expect("a list").answers().filter(|answer| test(answer.body)).count()
    };
    in_namespace(ns, || {
        let mut socket = Socket::open(Protocol::Route).expect("a socket");
        for _ in 0..1000 {
            // ifinfomsg: flags at 8, IFF_UP; index at 4, lo is 1
            let up = count(&mut socket, 18, &[0; 16], |body| {
                body.len() >= 16 && u32::from_ne_bytes([body[8], body[9], body[10], body[11]]) & 1 == 1 && body[4] != 1
            });
            // ifaddrmsg: family, prefix, flags (IFA_F_TENTATIVE), scope (RT_SCOPE_LINK)
            let ready = count(&mut socket, 22, &[10, 0, 0, 0, 0, 0, 0, 0], |body| {
                body.len() >= 8 && body[2] & 0x40 == 0 && body[3] == 253
            });
            if ready >= up {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        panic!("no link-local addresses");
    })
    .expect("the namespace");
}

/// Removes a link.
pub fn remove(ns: &OwnedFd, index: u32) {
    tell(ns, |requests| {
        requests.request(17, 0, &ifinfo(index, false));
    });
}
