//! Time, the hosts of a simulated world and what happens to them.
//!
//! Owns the clock and the agenda, and carries each thing that is due to the part that it concerns. The network is in
//! `network`, a process in `host`, the disk in the crate `disk`.

use super::HostId;
use super::host::{Host, SimHost};
use super::mailbox::Appointment;
use super::network::{Network, NetworkConfig};
use crate::Reactor;
use crate::event::Event;
use disk::Nanos;
use disk::sim::{Session, SimConfig, SimDisk};
use std::any::Any;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;

/// How a world behaves.
#[derive(Clone, Debug)]
pub struct WorldConfig {
    /// The first moment, in nanoseconds.
    pub start: Nanos,
    /// The network between the hosts.
    pub network: NetworkConfig,
    /// The disk that they share.
    pub disk: SimConfig,
}

impl Default for WorldConfig {
    fn default() -> Self {
        WorldConfig { start: 1_000_000_000, network: NetworkConfig::default(), disk: SimConfig::default() }
    }
}

/// A world: processes, the network between them and one shared disk, all driven by one seed and one thread.
///
/// Each process holds a [`Reactor`] of this world. A test lets each take its first turn, and from then on only those that
/// `step` names; a turn calls [`Reactor::wait`], which returns what is due without blocking.
///
/// ```
/// use reactor::sim::{World, WorldConfig};
/// use std::collections::VecDeque;
///
/// let world = World::new(7, WorldConfig::default());
/// let mut reactor = world.host();
/// reactor.set_timer(reactor.now() + 1_000, 42);
/// let mut events = VecDeque::new();
/// while let Some(host) = world.step() {
///     assert_eq!(host, world.id(&reactor));
///     reactor.wait(&mut events).unwrap();
/// }
/// assert!(matches!(events.pop_front(), Some(reactor::Event::Timer(42))));
/// ```
///
/// Addresses are one namespace: whichever host listens on an address is reached by it, and 127.0.0.1 is no exception.
#[derive(Clone, Debug)]
pub struct World {
    state: Rc<RefCell<State>>,
}

/// What a world and its hosts share.
#[derive(Debug)]
pub(super) struct State {
    pub(super) now: Nanos,
    random: fastrand::Rng,
    agenda: BTreeMap<(Nanos, u64), Appointment>,
    appointments_made: u64,
    pub(super) hosts: Vec<Host>,
    /// Those that were not killed, ascending: a long trial starts hundreds.
    living: Vec<HostId>,
    pub(super) network: Network,
    pub(super) disk: SimDisk,
}

impl World {
    /// A world at time `config.start` without hosts.
    pub fn new(seed: u64, config: WorldConfig) -> World {
        let mut random = fastrand::Rng::with_seed(seed);
        let network = Network::new(random.u64(..), config.network);
        let disk = SimDisk::new(random.u64(..), config.disk);
        let state = State {
            now: config.start,
            random,
            agenda: BTreeMap::new(),
            appointments_made: 0,
            hosts: Vec::new(),
            living: Vec::new(),
            network,
            disk,
        };
        World { state: Rc::new(RefCell::new(state)) }
    }

    /// Starts a process: a reactor with a session of its own on the shared disk. A process that was killed is started
    /// again as another one.
    pub fn host(&self) -> Reactor {
        let mut state = self.state.borrow_mut();
        let session = state.disk.attach();
        let id = HostId(state.hosts.len() as u32);
        state.hosts.push(Host::new(session));
        state.living.push(id);
        Reactor::over(SimHost::new(Rc::clone(&self.state), id))
    }

    /// The host that a reactor of this world belongs to.
    ///
    /// # Panics
    /// When the reactor is not of this world.
    pub fn id(&self, reactor: &Reactor) -> HostId {
        let backend: &dyn Any = reactor.backend.as_ref();
        match backend.downcast_ref::<SimHost>() {
            Some(host) if host.is_of(&self.state) => host.id(),
            _ => panic!("the reactor is not of this world"),
        }
    }

    /// The present.
    pub fn now(&self) -> Nanos {
        self.state.borrow().now
    }

    /// Lets time run until a process that is neither stopped nor dead has something to reap, and tells which; with several
    /// at the same time, chance picks. The caller must let it take a turn before the next step. `None`: nothing
    /// will happen any more by itself.
    pub fn step(&self) -> Option<HostId> {
        self.state.borrow_mut().step(Nanos::MAX)
    }

    /// Steps until it is `until`, with a `turn` for each host that `step` names. Appends nothing to time when `until` is
    /// past.
    pub fn run_until(&self, until: Nanos, mut turn: impl FnMut(HostId)) {
        loop {
            let ready = self.state.borrow_mut().step(until);
            match ready {
                Some(host) => turn(host),
                None => break,
            }
        }
        let mut state = self.state.borrow_mut();
        state.now = state.now.max(until);
    }

    /// SIGKILL: the process takes no turn any more, its connections end, its locks go free, and what it has in flight on
    /// the disk may still land. Its reactor does nothing from now on.
    pub fn kill(&self, host: HostId) {
        self.state.borrow_mut().kill(host);
    }

    /// SIGSTOP: the process takes no turn; its kernel goes on with disk and network.
    pub fn pause(&self, host: HostId) {
        self.state.borrow_mut().host(host).stopped = true;
    }

    /// SIGCONT.
    pub fn resume(&self, host: HostId) {
        self.state.borrow_mut().host(host).stopped = false;
    }

    /// Any other signal that a server watches: an event, or death if it does not watch.
    pub fn signal(&self, host: HostId, signal: i32) {
        let mut state = self.state.borrow_mut();
        if state.host(host).watches_signals {
            state.host(host).tell(Event::Signal(signal));
        } else {
            state.kill(host);
        }
    }

    /// Power loss of the whole world: all processes die, and the disk keeps of what was not durable what chance leaves.
    pub fn crash(&self) {
        let mut state = self.state.borrow_mut();
        state.disk.crash();
        for host in (0..state.hosts.len() as u32).map(HostId) {
            state.kill(host);
        }
    }

    /// Holds everything that travels from `source` to `target` until `heal`; connections do not notice by themselves.
    pub fn cut(&self, source: HostId, target: HostId) {
        self.state.borrow_mut().network.cut(source, target);
    }

    /// Undoes `cut`; what was held arrives.
    pub fn heal(&self, source: HostId, target: HostId) {
        let mut state = self.state.borrow_mut();
        let now = state.now;
        state.network.heal(now, source, target);
        state.collect_mail();
    }

    /// Cuts both directions between each host of `left` and each of `right`.
    pub fn partition(&self, left: &[HostId], right: &[HostId]) {
        for (&one, &other) in left.iter().flat_map(|one| right.iter().map(move |other| (one, other))) {
            self.cut(one, other);
            self.cut(other, one);
        }
    }

    /// Undoes `partition`.
    pub fn unite(&self, left: &[HostId], right: &[HostId]) {
        for (&one, &other) in left.iter().flat_map(|one| right.iter().map(move |other| (one, other))) {
            self.heal(one, other);
            self.heal(other, one);
        }
    }

    /// Resets every connection between the two; what is on its way is lost.
    pub fn reset(&self, left: HostId, right: HostId) {
        let mut state = self.state.borrow_mut();
        state.network.reset(left, right);
        state.collect_mail();
    }

    /// Lets the next connection to the host fail to be accepted, once; it is tried again as the kernel backend would.
    pub fn fail_next_accept(&self, host: HostId, kind: io::ErrorKind) {
        self.state.borrow_mut().network.fail_next_accept(host, kind);
    }

    /// Access to the shared disk: to plant errors, to tamper, to look at what is durable.
    pub fn with_disk<T>(&self, action: impl FnOnce(&mut SimDisk) -> T) -> T {
        action(&mut self.state.borrow_mut().disk)
    }

    /// The process's session on the shared disk.
    pub fn session(&self, host: HostId) -> Session {
        self.state.borrow_mut().host(host).session
    }
}

impl State {
    pub(super) fn host(&mut self, HostId(index): HostId) -> &mut Host {
        &mut self.hosts[index as usize]
    }

    /// Carries over what the network has for hosts and agenda. To be called after each call that may produce some.
    pub(super) fn collect_mail(&mut self) {
        let mail = self.network.take_mail();
        for (host, notice) in mail.notices {
            self.host(host).notify(notice);
        }
        for (at, appointment) in mail.appointments {
            self.appointments_made += 1;
            self.agenda.insert((at, self.appointments_made), appointment);
        }
    }

    fn kill(&mut self, id: HostId) {
        let (now, session) = (self.now, self.host(id).session);
        if self.host(id).die() {
            self.living.retain(|living| *living != id);
            self.disk.kill(session);
            self.network.close_host(now, id);
            self.collect_mail();
        }
    }

    fn step(&mut self, until: Nanos) -> Option<HostId> {
        loop {
            if let Some(host) = self.ready_host() {
                return Some(host);
            }
            let next = self.next_at().filter(|at| *at <= until)?;
            self.now = self.now.max(next);
            self.carry_out();
        }
    }

    fn ready_host(&mut self) -> Option<HostId> {
        let (now, hosts) = (self.now, &self.hosts);
        let ready = self.living.iter().filter(|id| hosts[id.0 as usize].is_ready(now));
        let count = ready.clone().count();
        if count == 0 {
            return None;
        }
        ready.copied().nth(self.random.usize(..count))
    }

    fn next_at(&self) -> Option<Nanos> {
        let appointment = self.agenda.first_key_value().map(|((at, _), _)| *at);
        let timer = self.living.iter().filter_map(|id| self.hosts[id.0 as usize].next_alarm()).min();
        [appointment, timer, self.disk.poll_timeout()].into_iter().flatten().min()
    }

    /// Does what is due now, in the order in which it was due.
    fn carry_out(&mut self) {
        while let Some(entry) = self.agenda.first_entry().filter(|entry| entry.key().0 <= self.now) {
            let appointment = entry.remove();
            self.network.keep(self.now, appointment);
            self.collect_mail();
        }
        while let Some((session, done)) = self.disk.poll(self.now) {
            let now = self.now;
            let hosts = &self.hosts;
            let owner = self.living.iter().find(|id| hosts[id.0 as usize].session == session);
            if let Some(id) = owner.copied() {
                self.host(id).disk_done(now, done);
            }
        }
    }
}
