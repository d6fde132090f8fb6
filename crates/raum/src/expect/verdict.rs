//! What was seen, and whether it is as expected. Pure.

use std::net::IpAddr;

use raum_core::lab::Proto;

use super::{Limits, Place, Trial, Wanted};

/// A probe that somebody got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Arrival {
    /// Index of the place.
    pub place: usize,
    /// The sender as the receiver sees it.
    pub from: IpAddr,
    /// At which address; None where a raw IPv6 socket does not tell.
    pub to: Option<IpAddr>,
    /// 0 for ICMP.
    pub port: u16,
    /// raum's own listener got it; else a raw socket heard it.
    pub delivered: bool,
}

/// What became of a TCP connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Connected {
    /// raum's own listener answered.
    Answered,
    /// Somebody accepted it; no more was asked.
    Open,
    /// It was accepted, but the answer did not come; in words.
    Silent(String),
    /// Reset.
    Refused,
    /// Nothing came.
    TimedOut,
    /// The kernel did not even try; in words.
    Failed(String),
}

/// Everything that was seen of a trial.
#[derive(Debug, Clone, Default)]
pub(super) struct Evidence {
    /// The kernel's refusal to send, the last time.
    pub unsent: Option<&'static str>,
    pub arrivals: Vec<Arrival>,
    /// Where an answer came to, and from whom.
    pub answers: Vec<(usize, IpAddr)>,
    pub resets: Vec<(usize, IpAddr)>,
    pub complaints: Vec<(usize, IpAddr, &'static str)>,
    pub connected: Option<Connected>,
    /// A program listens where raum would have listened.
    pub program: bool,
    /// Something was added since it was judged.
    pub fresh: bool,
}

fn once<T: PartialEq>(all: &mut Vec<T>, one: T) {
    // probes are sent again and again; a lab that multiplies packets must not fill memory
    if all.len() < 64 && !all.contains(&one) {
        all.push(one);
    }
}

impl Evidence {
    pub fn arrived(&mut self, arrival: Arrival) {
        once(&mut self.arrivals, arrival);
    }

    pub fn answered(&mut self, place: usize, from: IpAddr) {
        once(&mut self.answers, (place, from));
    }

    pub fn reset(&mut self, place: usize, from: IpAddr) {
        once(&mut self.resets, (place, from));
    }

    pub fn complained(&mut self, place: usize, from: IpAddr, why: &'static str) {
        once(&mut self.complaints, (place, from, why));
    }

    /// Will more waiting change nothing? Only a connection says so: a lost packet may be sent again.
    pub fn is_hopeless(&self, trial: &Trial) -> bool {
        let tcp = trial.service.is_some_and(|service| service.proto == Proto::Tcp);
        tcp && matches!(self.connected, Some(Connected::Refused))
    }
}

/// An evaluated trial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Judged {
    pub passed: bool,
    /// The wanted receiver got it.
    pub arrived: bool,
    pub seen: String,
}

pub(super) fn judge(trial: &Trial, places: &[Place], evidence: &Evidence, limits: Limits) -> Judged {
    let case = Case { trial, places, evidence, limits };
    match (&trial.receiver, trial.reaches) {
        (wanted, false) => case.cannot_reach(wanted.as_ref()),
        (Some(wanted), true) => case.reaches(wanted),
        (None, true) => case.reaches_outside(),
    }
}

struct Case<'a> {
    trial: &'a Trial,
    places: &'a [Place],
    evidence: &'a Evidence,
    limits: Limits,
}

impl Case<'_> {
    fn proto(&self) -> Option<Proto> {
        self.trial.service.map(|service| service.proto)
    }

    fn answered(&self) -> Option<IpAddr> {
        self.evidence.answers.iter().find(|(place, _)| *place == self.trial.from).map(|(_, from)| *from)
    }

    /// `laptop:22`, or `laptop` for ICMP.
    fn spot(&self, place: usize, port: u16) -> String {
        let name = self.places.get(place).map_or("?", |place| place.name.as_str());
        if port == 0 { name.to_owned() } else { format!("{name}:{port}") }
    }

    fn wanted_spot(&self, wanted: &Wanted) -> String {
        self.spot(wanted.place, wanted.port.unwrap_or(0))
    }

    /// `203.0.113.2 (router)`.
    fn who(&self, ip: IpAddr) -> String {
        match self.places.iter().find(|place| place.addresses.contains(&ip)) {
            Some(place) => format!("{ip} ({})", place.name),
            None => ip.to_string(),
        }
    }

    fn is_at(&self, arrival: &Arrival, wanted: &Wanted) -> bool {
        let address = arrival.to.is_none_or(|to| wanted.addresses.contains(&to));
        arrival.place == wanted.place && arrival.port == wanted.port.unwrap_or(0) && address
    }

    fn arrived_at(&self, arrival: &Arrival) -> String {
        let spot = self.spot(arrival.place, arrival.port);
        format!("arrived at {spot} from {}", self.who(arrival.from))
    }

    fn reaches(&self, wanted: &Wanted) -> Judged {
        let evidence = self.evidence;
        let here: Vec<&Arrival> = evidence.arrivals.iter().filter(|arrival| self.is_at(arrival, wanted)).collect();
        // what a listener got counts more than what was heard besides
        let best = here.iter().find(|arrival| arrival.delivered).or(here.first());
        let judged = |passed, seen| Judged { passed, arrived: best.is_some(), seen };
        let Some(best) = best else {
            let elsewhere = evidence.arrivals.iter().find(|arrival| arrival.delivered).or(evidence.arrivals.first());
            return judged(
                false,
                match elsewhere {
                    Some(arrival) => format!("{}, not at {}", self.arrived_at(arrival), self.wanted(wanted)),
                    None => format!("nothing arrived at {}{}", self.wanted_spot(wanted), self.why_not()),
                },
            );
        };
        if let Some(sources) = &self.trial.source
            && let Some(other) = here.iter().find(|a| a.delivered == best.delivered && !sources.contains(&a.from))
        {
            let expected: Vec<String> = sources.iter().map(|ip| self.who(*ip)).collect();
            let expected = if expected.is_empty() { "somebody else".to_owned() } else { expected.join(" or ") };
            return judged(false, format!("{}, not from {expected}", self.arrived_at(other)));
        }
        let seen = self.arrived_at(best);
        match self.proto() {
            None => match self.answered() {
                Some(_) => judged(true, seen),
                None => judged(false, format!("{seen}, but no answer came back{}", self.complaint())),
            },
            Some(Proto::Udp) if evidence.program => {
                judged(true, format!("{seen}; a program listens there and was not asked for an answer"))
            }
            Some(Proto::Udp) => match self.answered() {
                Some(_) => judged(true, seen),
                None => judged(false, format!("{seen}, but no answer came back{}", self.complaint())),
            },
            Some(Proto::Tcp | Proto::Sctp) => match &evidence.connected {
                Some(Connected::Answered) => judged(best.delivered, seen),
                Some(Connected::Open) if evidence.program => {
                    judged(true, format!("{seen}, connected to the program there"))
                }
                Some(Connected::Open) => judged(false, format!("{seen}, but somebody else accepted the connection")),
                Some(Connected::Silent(why)) => {
                    judged(false, format!("{seen}, connected, but no answer came back: {why}"))
                }
                Some(Connected::Refused) => judged(false, format!("{seen}, but the connection was refused")),
                Some(Connected::TimedOut) | None => judged(false, format!("{seen}, but its answer did not come back")),
                Some(Connected::Failed(why)) => judged(false, format!("{seen}, but the connection failed: {why}")),
            },
        }
    }

    /// `laptop:22`, with the addresses if they were what was wrong.
    fn wanted(&self, wanted: &Wanted) -> String {
        let spot = self.wanted_spot(wanted);
        let same = |a: &Arrival| a.place == wanted.place && a.port == wanted.port.unwrap_or(0);
        match self.evidence.arrivals.iter().find(|arrival| same(arrival)).and_then(|arrival| arrival.to) {
            Some(to) => {
                let all: Vec<String> = wanted.addresses.iter().map(ToString::to_string).collect();
                format!("{spot} by its address {} but {to}", all.join(" or "))
            }
            None => spot,
        }
    }

    fn reaches_outside(&self) -> Judged {
        let judged = |passed, seen: String| Judged { passed, arrived: passed, seen };
        match (self.proto(), self.answered(), &self.evidence.connected) {
            (Some(Proto::Tcp), _, Some(Connected::Answered | Connected::Open | Connected::Silent(_))) => {
                judged(true, format!("{} accepted the connection", self.trial.to))
            }
            (Some(Proto::Tcp), _, Some(Connected::Refused)) => {
                judged(false, format!("{} refused the connection", self.trial.to))
            }
            (None, Some(from), _) => judged(true, format!("{} answered", self.who(from))),
            _ => judged(false, format!("no answer from {}{}", self.trial.to, self.why_not())),
        }
    }

    fn cannot_reach(&self, wanted: Option<&Wanted>) -> Judged {
        let evidence = self.evidence;
        if let Some(arrival) = evidence.arrivals.first() {
            return Judged { passed: false, arrived: true, seen: self.arrived_at(arrival) };
        }
        if let Some(from) = self.answered() {
            return Judged { passed: false, arrived: true, seen: format!("{} answered", self.who(from)) };
        }
        let quiet = self.limits.quiet.as_millis();
        let seen = match wanted {
            Some(wanted) => format!("nothing arrived at {} in {quiet} ms", self.wanted_spot(wanted)),
            None => format!("no answer from {} in {quiet} ms; nobody can look there", self.trial.to),
        };
        Judged { passed: true, arrived: false, seen: seen + &self.because() }
    }

    /// Why it did not even leave, or who says that it does not arrive.
    fn because(&self) -> String {
        match self.evidence.unsent {
            Some(why) => format!(": not sent, {why}"),
            None => self.complaint(),
        }
    }

    fn why_not(&self) -> String {
        let because = self.because();
        match (because.is_empty(), &self.evidence.connected) {
            (false, _) => because,
            (true, Some(Connected::Failed(why))) => format!(": {why}"),
            (true, Some(Connected::Refused)) => ": the connection was refused on the way".to_owned(),
            _ => format!(" in {} s", self.limits.patience.as_secs_f32()),
        }
    }

    fn complaint(&self) -> String {
        match self.evidence.complaints.first() {
            Some((_, from, why)) => format!(": {} says {why}", self.who(*from)),
            None => String::new(),
        }
    }
}
