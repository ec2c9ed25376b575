//! What a test body holds: a reactor of either backend, and how to get its next event.
//!
//! Owns the difference between the backends. A test that waits for something that does not come fails after [`PATIENCE`].

use disk::{DiskDone, DiskError, DiskOp, DiskRequest, Nanos, Outcome};
use reactor::sim::{World, WorldConfig};
use reactor::{Config, Event, ListenerId, Reactor, SocketId};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Real time that one test may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// A token that no test uses: it only wakes up the reactor.
const ALARM: u64 = u64::MAX;

pub(crate) struct Harness {
    pub(crate) reactor: Reactor,
    /// An existing, empty directory.
    pub(crate) directory: PathBuf,
    events: VecDeque<Event>,
    world: Option<World>,
    seed: u64,
    started: Instant,
    next_request: u64,
    _temporary: Option<tempfile::TempDir>,
}

impl Harness {
    pub(crate) fn uring(config: Config) -> Self {
        // On a disk, because that is where direct I/O differs.
        let temporary = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory for the test");
        let reactor = Reactor::uring(config).unwrap_or_else(|error| panic!("{error}"));
        Self::new(reactor, temporary.path().to_owned(), None, 0, Some(temporary))
    }

    pub(crate) fn sim(seed: u64) -> Self {
        let world = World::new(seed, WorldConfig::default());
        let mut harness = Self::new(world.host(), PathBuf::from("/store"), Some(world), seed, None);
        let path = harness.directory.clone();
        harness.disk(DiskOp::CreateDir { path }).expect("the directory");
        harness
    }

    fn new(
        reactor: Reactor,
        directory: PathBuf,
        world: Option<World>,
        seed: u64,
        temporary: Option<tempfile::TempDir>,
    ) -> Self {
        Harness {
            reactor,
            directory,
            events: VecDeque::new(),
            world,
            seed,
            started: Instant::now(),
            next_request: 0,
            _temporary: temporary,
        }
    }

    /// Bytes that no backend takes for a peer that does not read.
    pub(crate) fn more_than_buffers_hold(&self) -> usize {
        if self.world.is_some() { 1_000_000 } else { 24_000_000 }
    }

    /// The next event, whenever it comes.
    pub(crate) fn next(&mut self) -> Event {
        loop {
            if let Some(event) = self.events.pop_front() {
                return event;
            }
            assert!(self.started.elapsed() < PATIENCE, "seed {}: no event", self.seed);
            if let Some(world) = &self.world {
                assert!(world.step().is_some(), "seed {}: nothing will ever happen again", self.seed);
            } else {
                // Wakes up a test that waits for nothing.
                self.reactor.set_timer(self.reactor.now() + PATIENCE.as_nanos() as Nanos, ALARM);
            }
            self.reactor.wait(&mut self.events).expect("wait");
        }
    }

    /// The next event, and it must be this one.
    pub(crate) fn expect<T>(&mut self, what: &str, pick: impl FnOnce(Event) -> Result<T, Event>) -> T {
        let event = self.next();
        pick(event).unwrap_or_else(|event| panic!("seed {}: {event:?} instead of {what}", self.seed))
    }

    /// All events of the next `nanos` nanoseconds.
    pub(crate) fn events_within(&mut self, nanos: Nanos) -> Vec<Event> {
        self.reactor.set_timer(self.reactor.now() + nanos, ALARM - 1);
        let mut events = Vec::new();
        loop {
            match self.next() {
                Event::Timer(token) if token == ALARM - 1 => return events,
                event => events.push(event),
            }
        }
    }

    /// Does disk work and waits for it; nothing else may be going on.
    pub(crate) fn disk(&mut self, op: DiskOp) -> Result<Outcome, DiskError> {
        let id = self.submit(op);
        let DiskDone { id: done, result } = self.disk_done();
        assert_eq!(done, id);
        result
    }

    pub(crate) fn submit(&mut self, op: DiskOp) -> u64 {
        self.next_request += 1;
        self.reactor.submit_disk(DiskRequest { id: self.next_request, op });
        self.next_request
    }

    pub(crate) fn disk_done(&mut self) -> DiskDone {
        self.expect("Disk", |event| match event {
            Event::Disk(done) => Ok(done),
            other => Err(other),
        })
    }

    pub(crate) fn listen(&mut self) -> (ListenerId, SocketAddr) {
        self.reactor.listen("127.0.0.1:0".parse().expect("an address")).expect("listen")
    }

    /// Two ends of a connection: (the one that connected, the one that was accepted).
    pub(crate) fn pair(&mut self) -> (SocketId, SocketId) {
        let (listener, address) = self.listen();
        let client = self.reactor.connect(address);
        let (mut connected, mut accepted) = (false, None);
        while !connected || accepted.is_none() {
            match self.next() {
                Event::Connected { socket } if socket == client => connected = true,
                Event::Accepted { listener: by, socket, .. } if by == listener => accepted = Some(socket),
                other => panic!("seed {}: {other:?} while connecting", self.seed),
            }
        }
        (client, accepted.expect("the loop waited for it"))
    }
}
