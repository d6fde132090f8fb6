//! The sandbox is what it says: empty, separate, and uid 0; and sockets inside speak to the kernel.

use std::fs;
use std::os::fd::AsFd;

use raum_kernel::message::Requests;
use raum_kernel::namespace::{in_namespace, present};
use raum_kernel::sandbox;
use raum_kernel::socket::{Protocol, Socket};

const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const IFLA_IFNAME: u16 = 3;

fn links(socket: &mut Socket) -> Vec<String> {
    let mut requests = Requests::new();
    requests.request(RTM_GETLINK, 0, &[0; 16]);
    let reply = socket.dump(&mut requests).unwrap();
    let name = |attributes: raum_kernel::message::Attributes| Some(attributes.find(IFLA_IFNAME)?.text()?.to_owned());
    reply.answers().filter(|a| a.kind == RTM_NEWLINK).filter_map(|a| name(a.split(16)?.1)).collect()
}

#[test]
fn a_test_has_an_empty_network_and_run_folder_and_is_root() {
    sandbox::run(|| {
        assert!(sandbox::inside());
        assert!(rustix::process::geteuid().is_root());
        let mut socket = Socket::open(Protocol::Route).unwrap();
        assert!(links(&mut socket).contains(&"lo".to_owned()));
        assert!(!fs::exists("/run/netns").unwrap());
        fs::create_dir_all("/run/netns").unwrap();
    });
}

#[test]
fn lo_comes_up_here_and_outside() {
    sandbox::run(|| {
        let answers = || std::net::UdpSocket::bind("127.0.0.1:0").and_then(|s| s.connect("127.0.0.1:9")).is_ok();
        sandbox::loopback_up().unwrap();
        assert!(answers());
        let outside = sandbox::outside().unwrap();
        assert!(in_namespace(&outside, answers).unwrap());
        let inode = |fd: &dyn AsFd| rustix::fs::fstat(fd).unwrap().st_ino;
        assert_ne!(inode(&present().unwrap()), inode(&outside));
    });
}

#[test]
fn refusals_land_on_their_request_with_the_kernels_words() {
    sandbox::run(|| {
        let mut socket = Socket::open(Protocol::Route).unwrap();
        let mut requests = Requests::new();
        let add = |requests: &mut Requests, name: &str| {
            requests.request(RTM_NEWLINK, 0x600, &[0; 16]).text(IFLA_IFNAME, name).nest(18, |info| {
                info.text(1, "bridge");
            });
        };
        add(&mut requests, "one");
        add(&mut requests, "one");
        add(&mut requests, "two");
        let outcomes = socket.run(&mut requests).unwrap();
        assert_eq!(outcomes.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true]);
        assert_eq!(outcomes[1].as_ref().unwrap_err().code, "EEXIST");
        let found = links(&mut socket);
        assert!(found.contains(&"one".to_owned()) && found.contains(&"two".to_owned()), "{found:?}");

        // a route without a way: the kernel says why in its own words
        requests.clear();
        let rtmsg = [2, 0, 0, 0, 254, 4, 0, 1, 0, 0, 0, 0];
        requests.request(24, 0x600, &rtmsg).attribute(5, &[192, 0, 2, 1]);
        let refusal = socket.run_one(&mut requests).unwrap_err();
        assert_eq!(refusal.words(), "Nexthop has invalid gateway (ENETUNREACH)");
    });
}
