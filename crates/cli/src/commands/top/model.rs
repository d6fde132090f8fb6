//! What `raum top` shows and how it is ordered: a table that keys and samples change, without a terminal.

use std::collections::HashMap;
use std::time::Instant;

use raum_core::natural::natural;
use raum_core::view::{Counters, Flow, Rates, Sample, per_second};
use serde::Serialize;

/// One interface.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// Its namespace.
    pub namespace: String,
    /// The kernel's number of that.
    pub inode: u64,
    /// Its name.
    pub interface: String,
    /// Its number.
    #[serde(skip)]
    pub index: u32,
    /// Up, with a carrier.
    pub up: bool,
    /// Per second.
    pub rates: Rates,
}

/// A connection with its rate.
#[derive(Debug, Clone, PartialEq)]
pub struct Talker {
    pub flow: Flow,
    /// Bytes per second, of both directions.
    pub rate: f64,
}

/// By what the table is ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    Namespace,
    Interface,
    Received,
    Sent,
    PacketsIn,
    PacketsOut,
    Dropped,
    Errors,
}

impl Column {
    pub const ALL: [Column; 8] = [
        Column::Namespace,
        Column::Interface,
        Column::Received,
        Column::Sent,
        Column::PacketsIn,
        Column::PacketsOut,
        Column::Dropped,
        Column::Errors,
    ];

    pub fn title(self) -> &'static str {
        match self {
            Column::Namespace => "NAMESPACE",
            Column::Interface => "INTERFACE",
            Column::Received => "IN/s",
            Column::Sent => "OUT/s",
            Column::PacketsIn => "PKT IN/s",
            Column::PacketsOut => "PKT OUT/s",
            Column::Dropped => "DROP/s",
            Column::Errors => "ERR/s",
        }
    }
}

/// Everything that is on the screen.
pub struct Model {
    rows: Vec<Row>,
    counters: HashMap<(u64, u32), Counters>,
    taken: Option<Instant>,
    pub column: Column,
    /// Smallest first.
    pub inverted: bool,
    /// Only rows whose namespace or interface has this in it.
    pub filter: String,
    /// Interfaces through which nothing goes, too, and lo.
    pub idle: bool,
    pub bits: bool,
    pub paused: bool,
    pub talkers_shown: bool,
    /// Which row of those that are shown.
    cursor: usize,
    pub talkers: Vec<Talker>,
    /// Why there are none.
    pub silence: Option<String>,
    flows: HashMap<(u64, u32), u64>,
    flows_taken: Option<Instant>,
}

impl Model {
    pub fn new() -> Self {
        Self {
            rows: Vec::new(),
            counters: HashMap::new(),
            taken: None,
            column: Column::Received,
            inverted: false,
            filter: String::new(),
            idle: true,
            bits: false,
            paused: false,
            talkers_shown: true,
            cursor: 0,
            talkers: Vec::new(),
            silence: None,
            flows: HashMap::new(),
            flows_taken: None,
        }
    }

    /// Takes new counters. The row under the cursor stays under it, wherever it goes.
    pub fn sample(&mut self, samples: Vec<Sample>, now: Instant) {
        let seconds = self.taken.map_or(0.0, |taken| now.duration_since(taken).as_secs_f64());
        let before = std::mem::take(&mut self.counters);
        let here = self.selected().map(|row| (row.inode, row.index));
        self.rows.clear();
        for sample in samples {
            for link in sample.interfaces {
                let Some(counters) = link.counters else { continue };
                let key = (sample.inode, link.index);
                // what was not there before has no rate yet
                let rates = before.get(&key).map(|before| Rates::between(before, &counters, seconds));
                self.counters.insert(key, counters);
                self.rows.push(Row {
                    namespace: sample.namespace.clone(),
                    inode: sample.inode,
                    interface: link.name,
                    index: link.index,
                    up: link.up && link.carrier,
                    rates: rates.unwrap_or_default(),
                });
            }
        }
        self.taken = Some(now);
        if let Some(here) = here
            && let Some(at) = self.shown().iter().position(|row| (row.inode, row.index) == here)
        {
            self.cursor = at;
        }
    }

    /// Takes the connections of the namespace that is looked at.
    pub fn flows(&mut self, inode: u64, flows: Vec<Flow>, now: Instant) {
        let seconds = self.flows_taken.map_or(0.0, |taken| now.duration_since(taken).as_secs_f64());
        let before = std::mem::take(&mut self.flows);
        let counted = flows.iter().any(|flow| flow.bytes.is_some());
        self.silence = match (flows.is_empty(), counted) {
            (true, _) => Some("the kernel tracks no connection here".to_owned()),
            (false, false) => Some(
                "the kernel tracks connections here, but does not count their bytes: sysctl net.netfilter.nf_conntrack_acct=1"
                    .to_owned(),
            ),
            (false, true) => None,
        };
        self.talkers.clear();
        for flow in flows {
            let bytes = flow.bytes.unwrap_or(0);
            let key = (inode, flow.id);
            let rate = before.get(&key).map_or(0.0, |before| per_second(*before, bytes, seconds));
            self.flows.insert(key, bytes);
            self.talkers.push(Talker { flow, rate });
        }
        self.talkers.sort_by(|a, b| b.rate.total_cmp(&a.rate).then_with(|| b.flow.bytes.cmp(&a.flow.bytes)));
        self.flows_taken = Some(now);
    }

    /// The rows in their order.
    pub fn shown(&self) -> Vec<&Row> {
        let filter = self.filter.to_lowercase();
        let busy = |row: &Row| row.rates != Rates::default() && row.interface != "lo";
        let wanted = |row: &&Row| {
            (self.idle || busy(row))
                && (row.namespace.to_lowercase().contains(&filter) || row.interface.to_lowercase().contains(&filter))
        };
        let mut rows: Vec<&Row> = self.rows.iter().filter(wanted).collect();
        let rate = |row: &Row| match self.column {
            Column::Received => row.rates.rx_bytes,
            Column::Sent => row.rates.tx_bytes,
            Column::PacketsIn => row.rates.rx_packets,
            Column::PacketsOut => row.rates.tx_packets,
            Column::Dropped => row.rates.dropped,
            Column::Errors => row.rates.errors,
            Column::Namespace | Column::Interface => 0.0,
        };
        // names in order, amounts with the greatest first; the kernel's order among equals
        rows.sort_by(|a, b| match self.column {
            Column::Namespace => natural(&a.namespace, &b.namespace),
            Column::Interface => natural(&a.interface, &b.interface),
            _ => rate(b).total_cmp(&rate(a)),
        });
        if self.inverted {
            rows.reverse();
        }
        rows
    }

    /// The row under the cursor.
    pub fn selected(&self) -> Option<Row> {
        let shown = self.shown();
        shown.get(self.cursor.min(shown.len().saturating_sub(1))).map(|row| (*row).clone())
    }

    /// Its place among those that are shown.
    pub fn cursor(&self) -> usize {
        self.cursor.min(self.shown().len().saturating_sub(1))
    }

    /// Moves the cursor by so many rows.
    pub fn go(&mut self, by: isize) {
        let last = self.shown().len().saturating_sub(1);
        self.cursor = self.cursor().saturating_add_signed(by).min(last);
    }

    /// The next or the one before, round about.
    pub fn order_by(&mut self, forward: bool) {
        let at = Column::ALL.iter().position(|column| *column == self.column).unwrap_or(0);
        let step = if forward { 1 } else { Column::ALL.len() - 1 };
        self.column = Column::ALL[(at + step) % Column::ALL.len()];
    }

    /// To the next row after the cursor that has this in its names.
    pub fn search(&mut self, text: &str) {
        let text = text.to_lowercase();
        let shown = self.shown();
        let has =
            |row: &&Row| row.namespace.to_lowercase().contains(&text) || row.interface.to_lowercase().contains(&text);
        let from = self.cursor();
        let found = (0..shown.len()).map(|step| (from + step) % shown.len()).find(|at| has(&shown[*at]));
        self.cursor = found.unwrap_or(from);
    }

    pub fn rows(&self) -> &[Row] {
        &self.rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use raum_core::view::Interface;
    use std::time::Duration;

    fn sample(name: &str, inode: u64, received: u64, sent: u64) -> Sample {
        let text = format!(
            r#"{{"index":2,"name":"eth0","kind":"veth","up":true,"carrier":true,"mtu":1500,"mac":null,"master":null,
                "peer_index":null,"alias":null,"altnames":[],"addresses":[],"counters":{{"rx_bytes":{received},
                "rx_packets":0,"rx_errors":0,"rx_dropped":0,"tx_bytes":{sent},"tx_packets":0,"tx_errors":0,"tx_dropped":0}}}}"#
        );
        let link: Interface = serde_json::from_str(&text).expect("an interface");
        Sample { namespace: name.to_owned(), inode, interfaces: vec![link] }
    }

    fn names(model: &Model) -> Vec<String> {
        model.shown().iter().map(|row| row.namespace.clone()).collect()
    }

    fn busy() -> Model {
        let mut model = Model::new();
        let begin = Instant::now();
        model.sample(vec![sample("a", 1, 0, 0), sample("b", 2, 0, 0), sample("c", 3, 0, 0)], begin);
        let now = begin + Duration::from_secs(2);
        model.sample(vec![sample("a", 1, 100, 900), sample("b", 2, 3000, 10), sample("c", 3, 0, 0)], now);
        model
    }

    #[test]
    fn the_busiest_comes_first_by_the_chosen_column() {
        let mut model = busy();
        assert_eq!(names(&model), ["b", "a", "c"]);
        assert_eq!(model.shown()[0].rates.rx_bytes, 1500.0);
        model.order_by(true);
        assert_eq!((model.column, names(&model)), (Column::Sent, vec!["a".into(), "b".into(), "c".into()]));
        model.inverted = true;
        assert_eq!(names(&model), ["c", "b", "a"]);
        model.order_by(false);
        assert_eq!(model.column, Column::Received);
    }

    #[test]
    fn the_cursor_stays_on_its_row_and_inside_the_table() {
        // it was on the first row, `a`, which has come to be the second
        let mut model = busy();
        assert_eq!((model.cursor(), model.selected().expect("a row").namespace), (1, "a".to_owned()));
        let now = Instant::now() + Duration::from_secs(4);
        model.sample(vec![sample("a", 1, 99_999, 900), sample("b", 2, 3000, 10)], now);
        assert_eq!((model.cursor(), model.selected().expect("a row").namespace), (0, "a".to_owned()));
        model.go(100);
        assert_eq!(model.cursor(), 1);
        model.go(-100);
        assert_eq!(model.cursor(), 0);
        model.sample(Vec::new(), now);
        model.go(1);
        assert_eq!((model.cursor(), model.selected()), (0, None));
        model.search("x");
    }

    #[test]
    fn filters_and_searches_find_names() {
        let mut model = busy();
        model.search("C");
        assert_eq!(model.selected().expect("a row").namespace, "c");
        model.idle = false;
        assert_eq!(names(&model), ["b", "a"]);
        model.filter = "A".to_owned();
        assert_eq!(names(&model), ["a"]);
        model.filter = "nosuch".to_owned();
        assert!(names(&model).is_empty());
    }

    #[test]
    fn talkers_are_ordered_by_rate_and_silence_is_explained() {
        let mut model = Model::new();
        let end = |port| ([10, 0, 0, 1], port).into();
        let flow = |id, bytes| Flow { id, proto: 6, from: end(1), to: end(2), answered_by: None, bytes };
        let begin = Instant::now();
        model.flows(1, vec![flow(1, Some(0)), flow(2, Some(500))], begin);
        model.flows(1, vec![flow(1, Some(100)), flow(2, Some(2500))], begin + Duration::from_secs(1));
        assert_eq!(
            model.talkers.iter().map(|one| (one.flow.id, one.rate)).collect::<Vec<_>>(),
            [(2, 2000.0), (1, 100.0)]
        );
        assert_eq!(model.silence, None);
        model.flows(1, vec![flow(1, None)], begin);
        assert!(model.silence.as_ref().is_some_and(|why| why.contains("nf_conntrack_acct")));
        model.flows(1, Vec::new(), begin);
        assert!(model.silence.is_some());
    }
}
