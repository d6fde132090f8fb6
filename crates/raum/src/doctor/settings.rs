//! Sysctls of the host that change what packets of a lab meet.

use super::{Finding, Topic, number};

/// The values that matter; None where this kernel has not got them.
#[derive(Debug, Clone, Copy, Default)]
struct Settings {
    /// `net.bridge.bridge-nf-call-{ip,ip6}tables`: the module is loaded if they are there.
    bridge: [Option<u64>; 2],
    /// `net.ipv4.conf.{all,default}.rp_filter`
    rp_filter: [Option<u64>; 2],
    /// `net.ipv4.icmp_echo_ignore_all`, `net.ipv6.icmp.echo_ignore_all`
    deaf: [Option<u64>; 2],
}

pub(super) fn examine() -> Vec<Finding> {
    let of = |keys: [&str; 2]| keys.map(|key| number(&format!("/proc/sys/net/{key}")));
    judge(&Settings {
        bridge: of(["bridge/bridge-nf-call-iptables", "bridge/bridge-nf-call-ip6tables"]),
        rp_filter: of(["ipv4/conf/all/rp_filter", "ipv4/conf/default/rp_filter"]),
        deaf: of(["ipv4/icmp_echo_ignore_all", "ipv6/icmp/echo_ignore_all"]),
    })
}

fn judge(settings: &Settings) -> Vec<Finding> {
    let what = match settings.bridge {
        [None, None] => "packets inside a switch pass no filters (br_netfilter is not loaded)",
        [Some(1), _] | [_, Some(1)] => {
            "packets inside a switch pass the filters of its namespace, too (br_netfilter is on)"
        }
        _ => "packets inside a switch pass no filters (br_netfilter is off)",
    };
    let mut findings = vec![Finding::ok(Topic::Settings, "br_netfilter", what), rp_filter(settings.rp_filter)];
    let keys = ["net.ipv4.icmp_echo_ignore_all", "net.ipv6.icmp.echo_ignore_all"];
    for (key, value) in keys.iter().zip(settings.deaf) {
        if value == Some(1) {
            findings.push(Finding::note(
                Topic::Settings,
                "echo",
                format!("the host answers no pings ({key} is 1)"),
                "a ping from a lab to the host is lost, though all else works",
                format!("sysctl -w {key}=0"),
            ));
        }
    }
    findings
}

/// The greater of the values for all interfaces and for one counts (Documentation/networking/ip-sysctl.rst), and 1, strict,
/// is less than 2, loose: so an interface can be loosened, but not freed, where it is 1 for all.
fn rp_filter([all, default]: [Option<u64>; 2]) -> Finding {
    let code = "rp_filter";
    let effect = "IPv4 packets that come in where their answers would not go out are dropped, on labs' interfaces, too";
    match (all, default) {
        (Some(1), _) | (Some(0), Some(1)) => Finding::note(
            Topic::Settings,
            code,
            "source addresses are checked strictly (rp_filter 1)",
            effect,
            "sysctl -w net.ipv4.conf.all.rp_filter=2",
        ),
        (Some(2), _) | (_, Some(2)) => {
            Finding::ok(Topic::Settings, code, "source addresses must have a route (rp_filter 2)")
        }
        _ => Finding::ok(Topic::Settings, code, "source addresses are not checked (rp_filter 0)"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    fn notes(settings: &Settings) -> Vec<String> {
        judge(settings)
            .into_iter()
            .filter(|f| f.level != Level::Ok)
            .map(|f| format!("{} {}", f.code, f.remedy))
            .collect()
    }

    #[test]
    fn a_kernel_without_these_keys_and_the_usual_values_are_well() {
        assert!(notes(&Settings::default()).is_empty());
        for value in [0, 2] {
            let usual = Settings { bridge: [Some(1); 2], rp_filter: [Some(value); 2], deaf: [Some(0); 2] };
            assert!(notes(&usual).is_empty(), "{usual:?}");
        }
    }

    #[test]
    fn strict_filters_and_a_deaf_host_are_told_with_the_key() {
        let told =
            |all, default| notes(&Settings { rp_filter: [Some(all), Some(default)], ..Settings::default() }).len();
        assert_eq!([told(1, 0), told(0, 1), told(1, 1), told(2, 1), told(0, 0)], [1, 1, 1, 0, 0]);
        let deaf = notes(&Settings { deaf: [Some(0), Some(1)], ..Settings::default() });
        assert_eq!(deaf, ["echo sysctl -w net.ipv6.icmp.echo_ignore_all=0"]);
    }
}
