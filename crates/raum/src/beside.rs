//! Beside other people's rules: who drops a lab's packets on this host ([`raum_core::beside`]).

use std::collections::BTreeSet;

use raum_core::beside::{Firewall, Flow, Obstacle, obstacles};
use raum_kernel::firewalld;

use crate::error::Error;
use crate::labs::Labs;
use crate::record::Record;

impl Labs {
    /// Whose rules drop, or may drop, these packets.
    ///
    /// # Errors
    /// [`Error::Observe`] if the rules cannot be read.
    pub fn obstacles(&mut self, flows: &[Flow]) -> Result<Vec<Obstacle>, Error> {
        if flows.is_empty() {
            return Ok(Vec::new());
        }
        let others = self.host().others()?;
        let mut found = obstacles(&others.rules, flows, others.bridged);
        if found.iter().any(|obstacle| !obstacle.zones.is_empty()) && !firewalld::is_reachable() {
            found.iter_mut().for_each(|obstacle| obstacle.zones.clear());
        }
        for (v6, tables) in [false, true].into_iter().zip(&others.legacy) {
            if tables.iter().any(|table| table == "filter") && flows.iter().any(|flow| flow.is_v6() == v6) {
                found.push(legacy(v6));
            }
        }
        Ok(found)
    }

    /// Whose rules drop, or may drop, packets of a lab as it was last brought up, but for those that it has opened.
    ///
    /// # Errors
    /// As [`Labs::obstacles`].
    pub fn still_in_the_way(&mut self, record: &Record) -> Result<Vec<Obstacle>, Error> {
        let mut found = self.obstacles(&record.flows)?;
        found.retain(|obstacle| !record.foreign_rules || !obstacle.can_be_opened());
        Ok(found)
    }
}

/// Rules of the old iptables are beside nf_tables, and nobody can read them by netlink. The table is there as soon as
/// somebody looked at it, so whether it drops anything is not known.
fn legacy(v6: bool) -> Obstacle {
    let program = if v6 { "ip6tables-legacy" } else { "iptables-legacy" };
    Obstacle {
        chain: format!("{} filter of the old iptables", if v6 { "ip6" } else { "ip" }),
        words: "which raum cannot read".to_owned(),
        certain: false,
        turns: false,
        flows: vec!["any".to_owned()],
        firewall: Firewall::Iptables,
        commands: vec![format!("{program} -S")],
        openings: BTreeSet::new(),
        zones: BTreeSet::new(),
    }
}
