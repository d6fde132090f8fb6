//! Sysctls that decide what becomes of packets, and that a lab has no words for: an import tells of them.

use crate::state::Sysctl;

/// Of a whole namespace, with what the kernel has unless somebody says otherwise (Documentation/networking/ip-sysctl.rst).
const OF_NAMESPACE: [(&str, &str); 14] = [
    ("net/ipv4/conf/all/rp_filter", "0"),
    ("net/ipv4/conf/all/arp_ignore", "0"),
    ("net/ipv4/conf/all/arp_announce", "0"),
    ("net/ipv4/conf/all/proxy_arp", "0"),
    ("net/ipv4/conf/all/accept_local", "0"),
    ("net/ipv4/conf/all/route_localnet", "0"),
    ("net/ipv4/icmp_echo_ignore_all", "0"),
    ("net/ipv4/ip_default_ttl", "64"),
    ("net/ipv4/ip_nonlocal_bind", "0"),
    ("net/ipv4/ip_unprivileged_port_start", "1024"),
    ("net/ipv4/fib_multipath_hash_policy", "0"),
    ("net/ipv6/conf/all/disable_ipv6", "0"),
    ("net/ipv6/conf/all/proxy_ndp", "0"),
    ("net/ipv6/icmp/echo_ignore_all", "0"),
];

/// Of an interface.
const OF_INTERFACE: [(&str, &str, &str); 8] = [
    ("ipv4", "rp_filter", "0"),
    ("ipv4", "arp_ignore", "0"),
    ("ipv4", "arp_announce", "0"),
    ("ipv4", "proxy_arp", "0"),
    ("ipv4", "accept_local", "0"),
    ("ipv4", "route_localnet", "0"),
    ("ipv6", "disable_ipv6", "0"),
    ("ipv6", "proxy_ndp", "0"),
];

/// Those of a namespace with these interfaces, each with the kernel's own value; `default` is what new interfaces get.
pub fn telling<'n>(interfaces: impl IntoIterator<Item = &'n str>) -> Vec<(Sysctl, &'static str)> {
    let whole = OF_NAMESPACE.iter().map(|(key, usual)| ((*key).to_owned(), *usual));
    let of = |name: &str| OF_INTERFACE.map(|(family, key, usual)| (format!("net/{family}/conf/{name}/{key}"), usual));
    let each = std::iter::once("default").chain(interfaces).flat_map(of);
    whole.chain(each).filter_map(|(key, usual)| Some((Sysctl::new(&key).ok()?, usual))).collect()
}
