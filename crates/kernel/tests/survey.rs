//! What is said of the host around a lab is what the test put there by other ways.

mod common;

use std::collections::BTreeMap;
use std::net::{IpAddr, TcpListener, UdpSocket};

use common::*;
use raum_core::lab::Proto;
use raum_core::name::LabName;
use raum_core::nft::Table;
use raum_core::plan::Op;
use raum_core::state::Sysctl;
use raum_kernel::{Linux, sandbox};

#[test]
fn the_hosts_networks_are_told_without_the_labs_own() {
    sandbox::run(|| {
        sandbox::loopback_up().unwrap();
        let mut linux = Linux::new().unwrap();
        done(
            &mut linux,
            &[bridge("host", "br-shop"), address("host", "br-shop", "10.1.0.1/24"), up("host", "br-shop")],
        );
        let other = LabName::new("other").unwrap();
        let mine = linux.surroundings(&lab()).unwrap();
        assert!(mine.routes.is_empty(), "{mine:?}");
        assert!(mine.addresses.iter().all(|(address, _)| address.is_loopback()), "{mine:?}");
        let theirs = linux.surroundings(&other).unwrap();
        let ip: IpAddr = "10.1.0.1".parse().unwrap();
        assert!(theirs.addresses.contains(&(ip, ifname("br-shop"))), "{theirs:?}");
        assert_eq!(theirs.routes, [("10.1.0.0/24".parse().unwrap(), ifname("br-shop"))]);
        let key = Sysctl::ipv4(&ifname("br-shop"), "forwarding");
        let path = format!("/proc/sys/{key}");
        assert_eq!(
            theirs.sysctls.get(&key).map(String::as_str),
            std::fs::read_to_string(path).ok().as_deref().map(str::trim)
        );
        assert_eq!(theirs.ipv6, std::path::Path::new("/proc/net/if_inet6").exists());
    });
}

#[test]
fn listeners_of_both_families_and_protocols_are_told() {
    sandbox::run(|| {
        sandbox::loopback_up().unwrap();
        let _tcp4 = TcpListener::bind("127.0.0.1:4001").unwrap();
        let _tcp6 = TcpListener::bind("[::1]:4002").unwrap();
        let both = TcpListener::bind("[::]:4003").unwrap();
        let _udp = UdpSocket::bind("0.0.0.0:4004").unwrap();
        let connected = UdpSocket::bind("127.0.0.1:4005").unwrap();
        connected.connect("127.0.0.1:4004").unwrap();
        let _established = std::net::TcpStream::connect(both.local_addr().unwrap()).unwrap();
        let found = Linux::new().unwrap().surroundings(&lab()).unwrap().listening;
        let entry = |proto, address: &str, port| (proto, address.parse().unwrap(), port);
        let wanted = [
            entry(Proto::Tcp, "127.0.0.1", 4001),
            entry(Proto::Tcp, "::1", 4002),
            entry(Proto::Tcp, "::", 4003),
            entry(Proto::Tcp, "0.0.0.0", 4003),
            entry(Proto::Udp, "0.0.0.0", 4004),
        ];
        assert_eq!(found, wanted.into());
    });
}

#[test]
fn labs_are_found_by_each_kind_of_mark() {
    sandbox::run(|| {
        let mut linux = Linux::new().unwrap();
        assert_eq!(linux.labs().unwrap(), []);
        done(&mut linux, &[add_ns("shop-a"), add_ns("shop-b"), bridge("host", "br0")]);
        let alias = raum_core::plan::LinkChange { alias: Some("raum:bridged".to_owned()), ..Default::default() };
        let table = Table {
            was: BTreeMap::from([(Sysctl::new("net/ipv4/ip_forward").unwrap(), "0".to_owned())]),
            ..Table::empty(&LabName::new("ruled").unwrap())
        };
        let was = BTreeMap::from([(table.lab.clone(), table.was.clone())]);
        done(&mut linux, &[set("host", "br0", alias), Op::ReplaceTable { ns: ns("host"), table }]);
        let found: Vec<String> =
            linux.labs().unwrap().iter().map(|lab| format!("{} {}", lab.name, lab.namespaces)).collect();
        assert_eq!(found, ["bridged 0", "ruled 0", "shop 2"]);
        let around = linux.surroundings(&lab()).unwrap();
        assert_eq!(around.was, was);
        assert!(around.sysctls.contains_key(&Sysctl::new("net/ipv4/ip_forward").unwrap()));
    });
}
