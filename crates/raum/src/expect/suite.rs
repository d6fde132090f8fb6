//! What to try: expectations with the addresses and namespaces of a lab that is up.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use raum_core::host::ObserveError;
use raum_core::lab::Expectation;
use raum_core::lab::expect::Party;
use raum_core::name::{NodeName, NsId};

use super::{Place, Trial, Wanted};
use crate::record::RecordedNode;

/// Everything to try, at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suite {
    pub(super) places: Vec<Place>,
    pub(super) trials: Vec<Trial>,
    /// Expectations that cannot be tried, and why.
    pub(super) impossible: Vec<(usize, String)>,
}

/// The expectations are not about what is up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SuiteError {
    /// A node that is not there.
    #[error("`{expectation}`: no namespace `{node}` is up in this lab")]
    Unknown {
        /// As written.
        expectation: String,
        /// Who is missing.
        node: NodeName,
    },
    /// The host could not be looked at.
    #[error(transparent)]
    Observe(#[from] ObserveError),
}

impl Suite {
    /// The trials of expectations in a lab with these nodes, which a record has.
    ///
    /// # Errors
    /// [`SuiteError`]
    pub fn of(expectations: &[Expectation], nodes: &BTreeMap<NodeName, RecordedNode>) -> Result<Self, SuiteError> {
        let nodes = with_host(expectations, nodes)?;
        let places = nodes.iter().map(|(name, node)| Place {
            name: name.clone(),
            ns: node.ns.clone(),
            addresses: node.addresses.iter().map(IpNet::addr).collect(),
        });
        let mut suite = Self { places: places.collect(), trials: Vec::new(), impossible: Vec::new() };
        for (number, expectation) in expectations.iter().enumerate() {
            suite.add(number, expectation, &nodes)?;
        }
        Ok(suite)
    }

    /// Everybody to everybody by ICMP echo, over each family that both have; and who speaks to whom, by the verdict's number.
    #[must_use]
    pub fn everybody(nodes: &BTreeMap<NodeName, RecordedNode>, v6: Option<bool>) -> (Self, Vec<(NodeName, NodeName)>) {
        let places = nodes.iter().map(|(name, node)| Place {
            name: name.clone(),
            ns: node.ns.clone(),
            addresses: node.addresses.iter().map(IpNet::addr).collect(),
        });
        let mut suite = Self { places: places.collect(), trials: Vec::new(), impossible: Vec::new() };
        let mut pairs = Vec::new();
        let all: Vec<_> = nodes.iter().enumerate().collect();
        for (at, a) in all.iter().enumerate() {
            for b in &all[at + 1..] {
                // there and back one after the other: they need the same neighbours
                for ((from, (from_name, from_node)), (to, (to_name, to_node))) in [(a, b), (b, a)] {
                    for family in [false, true].into_iter().filter(|family| v6.is_none_or(|v6| v6 == *family)) {
                        let to_address = to_node.address(Some(family), Some(from_node));
                        let (Some(to_address), Some(_)) = (to_address, from_node.address(Some(family), None)) else {
                            continue;
                        };
                        suite.trials.push(Trial {
                            expectation: pairs.len(),
                            from: *from,
                            to: to_address,
                            service: None,
                            reaches: true,
                            receiver: Some(Wanted { place: *to, addresses: vec![to_address], port: None }),
                            source: None,
                        });
                    }
                    pairs.push(((*from_name).clone(), (*to_name).clone()));
                }
            }
        }
        (suite, pairs)
    }

    /// How many trials there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.trials.len() + self.impossible.len()
    }

    /// Is there nothing to try?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn add(
        &mut self,
        number: usize,
        expectation: &Expectation,
        nodes: &BTreeMap<NodeName, RecordedNode>,
    ) -> Result<(), SuiteError> {
        let place = |name: &NodeName| {
            self.places
                .iter()
                .position(|place| place.name == *name)
                .ok_or_else(|| SuiteError::Unknown { expectation: expectation.to_string(), node: name.clone() })
        };
        let from = place(&expectation.from)?;
        let has = |name: &NodeName, v6: bool| {
            nodes.get(name).is_some_and(|node| node.addresses.iter().any(|net| net.addr().is_ipv6() == v6))
        };
        if let Party::Node(to) = &expectation.to.value {
            place(to)?;
        }
        let mut trials = Vec::new();
        for to in self.targets(expectation, nodes, &expectation.families(has)) {
            let v6 = to.is_ipv6();
            let port = expectation.service.map(|service| service.port);
            let of_family = |at: usize| self.places[at].addresses.iter().copied().filter(|ip| ip.is_ipv6() == v6);
            let owner = |ip: IpAddr| self.places.iter().position(|place| place.addresses.contains(&ip));
            let receiver = match expectation.receiver.as_ref().map(|at| (&at.party, at.port.or(port))) {
                Some((Party::Node(name), port)) => {
                    let at = place(name)?;
                    Some(Wanted { place: at, addresses: of_family(at).collect(), port })
                }
                Some((Party::Address(ip), port)) => {
                    owner(*ip).map(|place| Wanted { place, addresses: vec![*ip], port })
                }
                None => owner(to).map(|place| Wanted { place, addresses: vec![to], port }),
            };
            let source = match expectation.source.as_ref().map(|at| &at.value) {
                None => None,
                Some(Party::Address(ip)) => Some(vec![*ip]),
                Some(Party::Node(name)) => Some(of_family(place(name)?).collect()),
            };
            trials.push(Trial {
                expectation: number,
                from,
                to,
                service: expectation.service,
                reaches: expectation.reaches,
                receiver,
                source,
            });
        }
        if trials.is_empty() {
            let why = format!(
                "not tried: `{}` and `{}` have no address of the same family",
                *expectation.from, *expectation.to
            );
            self.impossible.push((number, why));
        }
        self.trials.extend(trials);
        Ok(())
    }

    /// The addresses to speak to: what reaches a node reaches its own address, as `raum ping` takes it; what cannot reach it
    /// reaches none of its addresses.
    fn targets(
        &self,
        expectation: &Expectation,
        nodes: &BTreeMap<NodeName, RecordedNode>,
        families: &[bool],
    ) -> Vec<IpAddr> {
        let name = match &expectation.to.value {
            Party::Address(ip) => return vec![*ip],
            Party::Node(name) => name,
        };
        let Some(to) = nodes.get(name) else { return Vec::new() };
        let from = nodes.get(&expectation.from.value);
        if expectation.reaches {
            return families.iter().filter_map(|v6| to.address(Some(*v6), from)).collect();
        }
        to.addresses.iter().map(IpNet::addr).filter(|ip| families.contains(&ip.is_ipv6())).collect()
    }
}

/// The nodes, and the host with all its addresses if an expectation is about it, or if it is a part of the lab.
fn with_host(
    expectations: &[Expectation],
    nodes: &BTreeMap<NodeName, RecordedNode>,
) -> Result<BTreeMap<NodeName, RecordedNode>, SuiteError> {
    let mut nodes = nodes.clone();
    let known = |ip: &IpAddr| nodes.values().any(|node| node.addresses.iter().any(|net| net.addr() == *ip));
    let is_host = |party: &Party| match party {
        Party::Node(name) => name.is_host(),
        Party::Address(ip) => !known(ip),
    };
    let about = |expectation: &Expectation| {
        expectation.from.is_host()
            || is_host(&expectation.to)
            || expectation.receiver.as_ref().is_some_and(|at| is_host(&at.party))
            || expectation.source.as_ref().is_some_and(|at| is_host(at))
    };
    let Ok(name) = NodeName::new("host") else { return Ok(nodes) };
    if expectations.iter().any(about) || nodes.contains_key(&name) {
        let own = nodes.entry(name).or_insert_with(|| RecordedNode { ns: NsId::Host, addresses: Vec::new() });
        let view = raum_kernel::view::view(&NsId::Host)?;
        for net in view.interfaces.iter().flat_map(|interface| &interface.addresses) {
            let local = net.addr().is_loopback() || crate::resolve::is_link_local(net.addr());
            if !local && !own.addresses.contains(net) {
                own.addresses.push(*net);
            }
        }
    }
    Ok(nodes)
}
