//! The run: everything is sent at once and again, everybody listens, until all is clear or time is over.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use raum_core::host::OpError;
use raum_core::lab::Proto;
use raum_core::name::NsId;
use raum_kernel::neighbours::{self, Neighbours};
use raum_kernel::{errno, namespace};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::connect::{Try, connect_all, stop_work};
use super::ears::{Ear, Mouth};
use super::listen::{Connection, Listener, Spot};
use super::verdict::{Arrival, Connected, Evidence, judge};
use super::wire::{Run, What};
use super::{Limits, RunError, Suite, Trial, Verdict};
use crate::ping::{random, refusal};

/// Probes are sent again then, as long as it is not clear: the first one may wait for a neighbour, or be lost.
const AGAIN: [Duration; 6] = [
    Duration::ZERO,
    Duration::from_millis(100),
    Duration::from_millis(300),
    Duration::from_millis(700),
    Duration::from_millis(1500),
    Duration::from_millis(2500),
];
/// How soon a connection's end or a stop is noticed.
const SLICE: Duration = Duration::from_millis(10);
/// Sent before everybody is listened to again: buffers hold more than that.
const BURST: usize = 64;
/// Connections that are tried at the same time.
const THREADS: usize = 64;
/// Trials under way at the same time, where there would be too many neighbours.
const WINDOW: usize = 200;
/// The kernel's usual limit of neighbours, where it does not tell (`gc_thresh3`).
const NEIGHBOURS: usize = 1024;
/// In a bigger lab only those are listened to that an expectation is about.
const PLACES_MAX: usize = 128;

struct Engine<'a> {
    suite: &'a Suite,
    run: Run,
    ears: Vec<Ear>,
    mouths: Vec<Mouth>,
    listeners: Vec<Listener>,
    connections: VecDeque<Connection>,
    evidence: Vec<Evidence>,
    /// Those that are under way, by their numbers.
    active: Vec<Active>,
    /// The first one that was not begun yet.
    next: usize,
    /// From its beginning to the moment that it was clear, for each.
    clear: Vec<Option<Duration>>,
    /// Where neighbours are to be forgotten, if there would be too many of them.
    neighbours: Vec<Neighbours>,
    /// So many became clear since.
    remembered: usize,
}

/// A trial that is under way.
#[derive(Debug, Clone, Copy)]
struct Active {
    number: usize,
    start: Instant,
    /// How often it was sent.
    sent: usize,
}

pub(super) fn run(suite: &Suite, limits: Limits, stop: &AtomicBool) -> Result<Vec<Verdict>, RunError> {
    let needed = needed(suite);
    let refused = |place: usize, cause| RunError::Refused { node: suite.places[place].name.clone(), cause };
    let sockets: usize = needed.len() * 12 + suite.trials.len().min(THREADS) * 2 + suite.trials.len();
    room_for(sockets);
    let mut namespaces = BTreeMap::new();
    for &place in &needed {
        let fd = match &suite.places[place].ns {
            NsId::Host => namespace::present(),
            NsId::Named(name) => namespace::named(name),
        };
        namespaces.insert(place, fd.map_err(|cause| refused(place, cause))?);
    }
    let trials = u32::try_from(suite.trials.len()).unwrap_or(u32::MAX);
    let [number, other] = [random(), random()];
    let sequence = u32::try_from(other & 0xffff_ffff).unwrap_or(0);
    let mut engine = Engine {
        suite,
        run: Run { number, sequence, trials },
        ears: Vec::new(),
        mouths: Vec::new(),
        listeners: Vec::new(),
        connections: VecDeque::new(),
        evidence: suite.trials.iter().map(|_| Evidence::default()).collect(),
        active: Vec::new(),
        next: 0,
        clear: vec![None; suite.trials.len()],
        neighbours: Vec::new(),
        remembered: 0,
    };
    let forget = too_many_neighbours(suite, &namespaces).map_err(|(place, cause)| refused(place, cause))?;
    for (&place, fd) in &namespaces {
        engine.open(place, fd).map_err(|cause| refused(place, cause))?;
        if forget && suite.places[place].ns != NsId::Host {
            let opened = namespace::in_namespace(fd, Neighbours::open).and_then(|opened| opened);
            engine.neighbours.push(opened.map_err(|cause| refused(place, cause))?);
        }
    }
    engine.note_programs();
    let (told, results) = channel();
    let work = Mutex::new(VecDeque::from(engine.connects()));
    thread::scope(|scope| {
        let threads = work.lock().map_or(0, |work| work.len()).min(THREADS);
        for _ in 0..threads {
            let (told, work, namespaces, run) = (told.clone(), &work, &namespaces, engine.run);
            let act = move || connect_all(work, namespaces, &run, limits.patience, stop, &told);
            if let Err(cause) = thread::Builder::new().name("raum-test".to_owned()).spawn_scoped(scope, act) {
                let place = suite.trials.first().map_or(0, |trial| trial.from);
                stop_work(work);
                return Err(refused(place, errno::at_io("a thread", &cause)));
            }
        }
        drop(told);
        let result = engine.work(limits, stop, &results);
        stop_work(&work);
        result
    })
}

/// Which places must be heard: all of a lab, or in a big one those that the expectations are about.
fn needed(suite: &Suite) -> BTreeSet<usize> {
    let about = suite.trials.iter().flat_map(|trial| [Some(trial.from), trial.receiver.as_ref().map(|r| r.place)]);
    let mut needed: BTreeSet<usize> = about.flatten().collect();
    if suite.places.len() <= PLACES_MAX {
        needed.extend(0..suite.places.len());
    }
    needed
}

/// Would all of it at once fill the kernel's table of neighbours? Each trial makes two at most, asking and being asked; none where
/// they have each other written down. Half of the limit is left to others.
fn too_many_neighbours(suite: &Suite, namespaces: &BTreeMap<usize, OwnedFd>) -> Result<bool, (usize, OpError)> {
    let limit = |v6| neighbours::limit(v6).ok().flatten().and_then(|limit| usize::try_from(limit).ok());
    let limits = [false, true].map(|v6| limit(v6).unwrap_or(NEIGHBOURS));
    let are_too_many = |trials: &mut dyn Iterator<Item = &Trial>| {
        let mut counts = [0_usize; 2];
        trials.for_each(|trial| counts[usize::from(trial.to.is_ipv6())] += 1);
        counts.iter().zip(limits).any(|(count, limit)| count * 2 > limit / 2)
    };
    if !are_too_many(&mut suite.trials.iter()) {
        return Ok(false);
    }
    let mut written: BTreeMap<usize, BTreeSet<IpAddr>> = BTreeMap::new();
    for (&place, fd) in namespaces {
        let known = namespace::in_namespace(fd, || Neighbours::open()?.written()).and_then(|known| known);
        written.insert(place, known.map_err(|cause| (place, cause))?.into_iter().collect());
    }
    let is_asked = |trial: &&Trial| written.get(&trial.from).is_none_or(|known| !known.contains(&trial.to));
    Ok(are_too_many(&mut suite.trials.iter().filter(is_asked)))
}

/// As many open files as are needed, as far as the hard limit goes. What is refused later is told where it is.
fn room_for(sockets: usize) {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    let wanted = u64::try_from(sockets).unwrap_or(u64::MAX).saturating_add(256);
    if limit.current.is_some_and(|current| current < wanted) {
        limit.current = Some(limit.maximum.map_or(wanted, |maximum| maximum.min(wanted)));
        setrlimit(Resource::Nofile, limit).unwrap_or_default();
    }
}

impl Engine<'_> {
    /// Opens what is needed in one namespace.
    fn open(&mut self, place: usize, fd: &OwnedFd) -> Result<(), OpError> {
        let trials = &self.suite.trials;
        let families: BTreeSet<bool> = trials.iter().map(|trial| trial.to.is_ipv6()).collect();
        let protos: BTreeSet<(bool, Option<Proto>)> =
            trials.iter().map(|trial| (trial.to.is_ipv6(), trial.service.map(|service| service.proto))).collect();
        let speaks: BTreeSet<bool> =
            trials.iter().filter(|trial| trial.from == place).map(|trial| trial.to.is_ipv6()).collect();
        let spots: BTreeSet<Spot> = trials.iter().flat_map(spots).filter(|spot| spot.place == place).collect();
        let open = || -> Result<_, OpError> {
            let (mut ears, mut mouths, mut listeners) = (Vec::new(), Vec::new(), Vec::new());
            for &v6 in &families {
                // errors about the others come by ICMP too
                for proto in [None, Some(Proto::Tcp), Some(Proto::Udp)] {
                    if proto.is_none() || protos.contains(&(v6, proto)) {
                        match Ear::open(place, v6, proto) {
                            Ok(ear) => ears.push(ear),
                            // a kernel, or a namespace, without IPv6
                            Err(cause) if v6 && cause.code == "EAFNOSUPPORT" => {}
                            Err(cause) => return Err(cause),
                        }
                    }
                }
            }
            for &v6 in &speaks {
                mouths.push(Mouth::open(place, v6)?);
            }
            for &spot in &spots {
                match Listener::open(spot) {
                    Ok(listener) => listeners.extend(listener),
                    Err(cause) => {
                        return Err(errno::at(&format!("listening on {}/{}", spot.address, spot.proto), cause));
                    }
                }
            }
            Ok((ears, mouths, listeners))
        };
        let (ears, mouths, listeners) = namespace::in_namespace(fd, open)??;
        self.ears.extend(ears);
        self.mouths.extend(mouths);
        self.listeners.extend(listeners);
        Ok(())
    }

    /// Where somebody else listens already.
    fn note_programs(&mut self) {
        let own: BTreeSet<Spot> = self.listeners.iter().map(|listener| listener.spot).collect();
        for (trial, evidence) in self.suite.trials.iter().zip(&mut self.evidence) {
            evidence.program = spots(trial).iter().any(|spot| !own.contains(spot));
        }
    }

    /// The connections to try.
    fn connects(&self) -> Vec<Try> {
        let all = self.suite.trials.iter().zip(&self.evidence).enumerate();
        all.filter_map(|(number, (trial, evidence))| {
            let service = trial.service.filter(|service| service.proto == Proto::Tcp && trial.reaches)?;
            Some(Try {
                trial: u32::try_from(number).ok()?,
                from: trial.from,
                to: SocketAddr::new(trial.to, service.port),
                own: trial.receiver.is_some() && !evidence.program,
            })
        })
        .collect()
    }

    fn work(
        &mut self,
        limits: Limits,
        stop: &AtomicBool,
        results: &Receiver<(u32, Connected)>,
    ) -> Result<Vec<Verdict>, RunError> {
        loop {
            if stop.load(Ordering::Relaxed) {
                return Err(RunError::Stopped);
            }
            self.begin();
            self.send_due();
            self.hear();
            for (trial, result) in results.try_iter() {
                if let Some(evidence) = usize::try_from(trial).ok().and_then(|at| self.evidence.get_mut(at)) {
                    evidence.connected = Some(result);
                    evidence.fresh = true;
                }
            }
            self.settle(limits);
            if self.active.is_empty() && self.next == self.suite.trials.len() {
                // what arrived while all this was looked at
                self.hear();
                return Ok(self.verdicts(limits));
            }
            self.wait(SLICE);
        }
    }

    /// Begins as many as may be under way.
    fn begin(&mut self) {
        let window = if self.neighbours.is_empty() { usize::MAX } else { WINDOW };
        let more = window.saturating_sub(self.active.len()).min(self.suite.trials.len() - self.next);
        let start = Instant::now();
        self.active.extend((self.next..self.next + more).map(|number| Active { number, start, sent: 0 }));
        self.next += more;
    }

    /// Lets go of those that are clear, or whose time is over. What must not arrive is only clear when its time is over.
    fn settle(&mut self, limits: Limits) {
        let (suite, evidence, clear) = (self.suite, &mut self.evidence, &mut self.clear);
        let before = self.active.len();
        self.active.retain(|active| {
            let (trial, evidence) = (&suite.trials[active.number], &mut evidence[active.number]);
            let elapsed = active.start.elapsed();
            let tcp = trial.service.is_some_and(|service| service.proto == Proto::Tcp);
            let over = match trial.reaches {
                // a connection has its own patience, and a little more for a loaded machine
                true => elapsed >= limits.patience && (!tcp || evidence.connected.is_some()),
                false => elapsed >= limits.quiet,
            };
            let done = over
                || (std::mem::take(&mut evidence.fresh) && {
                    let passed = judge(trial, &suite.places, evidence, limits).passed;
                    passed == trial.reaches || evidence.is_hopeless(trial)
                });
            if done {
                clear[active.number] = Some(elapsed);
            }
            !done
        });
        self.remembered += before - self.active.len();
        if self.remembered >= WINDOW {
            self.remembered = 0;
            for neighbours in &mut self.neighbours {
                // only a matter of room: if there is none, sending says so
                neighbours.forget().unwrap_or_default();
            }
        }
    }

    fn verdicts(&self, limits: Limits) -> Vec<Verdict> {
        let all = self.suite.trials.iter().zip(&self.evidence).zip(&self.clear);
        all.map(|((trial, evidence), clear)| {
            let judged = judge(trial, &self.suite.places, evidence, limits);
            Verdict {
                expectation: trial.expectation,
                to: Some(trial.to),
                passed: judged.passed,
                seen: judged.seen,
                real: evidence.program && judged.arrived,
                time: clear.unwrap_or_default(),
            }
        })
        .collect()
    }

    /// Sends what is to be sent for the first time or again.
    fn send_due(&mut self) {
        let mut sent = 0;
        for at in 0..self.active.len() {
            let Active { number, start, sent: times } = self.active[at];
            if AGAIN.get(times).is_none_or(|due| start.elapsed() < *due) {
                continue;
            }
            let Ok(id) = u32::try_from(number) else { continue };
            let unsent = self.send(id, &self.suite.trials[number]).err();
            self.evidence[number].unsent = unsent.map(|cause| refusal(cause).unwrap_or("the kernel does not send it"));
            self.active[at].sent += 1;
            sent += 1;
            if sent % BURST == 0 {
                self.hear();
            }
        }
    }

    fn send(&self, id: u32, trial: &Trial) -> Result<(), Errno> {
        let v6 = trial.to.is_ipv6();
        let mouth = || self.mouths.iter().find(|mouth| mouth.place == trial.from && mouth.v6 == v6);
        let ear = |proto| self.ears.iter().find(|ear| ear.place == trial.from && ear.v6 == v6 && ear.proto == proto);
        let missing = Errno::AFNOSUPPORT;
        match trial.service {
            None => ear(None).ok_or(missing)?.speak(&self.run.echo(id, v6), trial.to),
            Some(service) if service.proto == Proto::Udp => {
                let to = SocketAddr::new(trial.to, service.port);
                mouth().ok_or(missing)?.datagram(&self.run.mark(id, false), to)
            }
            Some(service) => {
                let from = mouth().ok_or(missing)?.source(trial.to)?;
                let segment = self.run.syn(id, from, (trial.to, service.port));
                ear(Some(Proto::Tcp)).ok_or(missing)?.speak(&segment, trial.to)
            }
        }
    }

    /// Everything that has arrived anywhere.
    fn hear(&mut self) {
        let evidence = &mut self.evidence;
        let mut of = |trial: u32, note: &mut dyn FnMut(&mut Evidence)| {
            if let Some(evidence) = usize::try_from(trial).ok().and_then(|at| evidence.get_mut(at)) {
                note(evidence);
                evidence.fresh = true;
            }
        };
        for ear in &self.ears {
            ear.listen(&self.run, &mut |heard| {
                let Some(from) = heard.from.map(|ip: IpAddr| ip.to_canonical()) else { return };
                of(heard.trial, &mut |evidence| match heard.what {
                    What::Probe { port } => {
                        evidence.arrived(Arrival { place: ear.place, from, to: heard.to, port, delivered: false });
                    }
                    // an answer to somebody else is none: NAT may have led it astray
                    What::Answer => evidence.answered(ear.place, from),
                    What::Reset => evidence.reset(ear.place, from),
                    What::Complaint { why } => evidence.complained(ear.place, from, why),
                });
            });
        }
        let mut delivered = |arrived: super::listen::Delivered| {
            of(arrived.trial, &mut |evidence| {
                evidence.arrived(Arrival {
                    place: arrived.spot.place,
                    from: arrived.from.to_canonical(),
                    to: Some(arrived.spot.address.ip()),
                    port: arrived.spot.address.port(),
                    delivered: true,
                });
            });
        };
        for listener in &self.listeners {
            listener.take(&self.run, &mut self.connections, &mut delivered);
        }
        let run = self.run;
        self.connections.retain_mut(|connection| connection.serve(&run, &mut delivered));
    }

    /// Until something arrives, or for so long. An error of poll (no memory) only makes the loop go round sooner.
    fn wait(&self, most: Duration) {
        let ears = self.ears.iter().map(|ear| &ear.fd);
        let all = ears.chain(self.listeners.iter().map(|l| &l.fd)).chain(self.connections.iter().map(|c| &c.fd));
        let mut fds: Vec<PollFd<'_>> = all.map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
        if let Ok(most) = Timespec::try_from(most) {
            poll(&mut fds, Some(&most)).unwrap_or_default();
        }
    }
}

/// Where raum wants to listen for a trial.
fn spots(trial: &Trial) -> Vec<Spot> {
    let (Some(service), Some(wanted), true) = (trial.service, &trial.receiver, trial.reaches) else {
        return Vec::new();
    };
    let Some(port) = wanted.port else { return Vec::new() };
    let at = |ip: &IpAddr| Spot { place: wanted.place, proto: service.proto, address: SocketAddr::new(*ip, port) };
    wanted.addresses.iter().map(at).collect()
}
