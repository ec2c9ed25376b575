//! One process with a store on a simulated disk of its own, worked by hand: for tests that choose each step.

use disk::sim::{Session, SimDisk};
use disk::{DiskOp, DiskRequest, Nanos, OpenMode};
use std::collections::{BTreeSet, VecDeque};
use std::path::PathBuf;
use store::{
    Backlog, Body, Config, Event, Inspection, Location, Recovered, RecoveredMessage, Report, Store, StoreError,
};

pub(crate) struct Process {
    pub(crate) disk: SimDisk,
    pub(crate) now: Nanos,
    pub(crate) store: Store,
    pub(crate) session: Session,
    /// Journal writes are kept here instead of being carried out.
    pub(crate) held: Option<Vec<DiskRequest>>,
    /// What was asked of the disk and answered, in order, once somebody wants to know.
    pub(crate) trace: Option<Vec<Traced>>,
    events: VecDeque<Event>,
}

/// A step of the conversation with the disk.
#[derive(Clone, Debug)]
pub(crate) enum Traced {
    Asked(DiskRequest),
    /// The request with this number.
    Answered(u64),
}

/// What a claimant found.
pub(crate) struct Found {
    pub(crate) recovered: Recovered,
    /// All live messages with their bytes.
    pub(crate) messages: Vec<(RecoveredMessage, Result<Vec<u8>, StoreError>)>,
}

impl Process {
    /// Starts the `number`-th process on `disk` and lets it claim the store.
    pub(crate) fn start(mut disk: SimDisk, config: Config, number: u128) -> Self {
        let session = disk.attach();
        let mut store = Store::new(config, number << 96 | 0x5eed, disk::sim::aligned);
        store.claim(0);
        Self { disk, now: 0, store, session, held: None, trace: None, events: VecDeque::new() }
    }

    /// Starts one that serves, or says why it does not.
    pub(crate) fn serving(disk: SimDisk, config: Config, number: u128) -> Result<(Self, Found), StoreError> {
        let (stores, forced) = (config.stores.len() as u8, config.force_start);
        let mut process = Self::start(disk, config, number);
        let is_end = |event: &Event| {
            matches!(event, Event::Serving(_) | Event::RecoveryFailed(_) | Event::Poisoned(_) | Event::Fenced { .. })
        };
        let recovered = match process.until(is_end) {
            Event::Serving(recovered) => recovered,
            Event::RecoveryFailed(error) | Event::Poisoned(error) => return Err(error),
            other => panic!("{other:?} without another process"),
        };
        let mut messages = Vec::new();
        for store in 0..stores {
            for message in process.backlog(store)? {
                let bytes = process.body(store, message.location);
                messages.push((message, bytes));
            }
        }
        if let Some(error) = process.events.iter().find_map(|event| match event {
            Event::Poisoned(error) | Event::RecoveryFailed(error) => Some(error.clone()),
            _ => None,
        }) {
            return Err(error);
        }
        // One to several destinations is handed over for each.
        let distinct: BTreeSet<(u8, u64)> = messages.iter().map(|(message, _)| (message.store, message.lsn)).collect();
        assert!(forced || recovered.messages == distinct.len() as u64);
        Ok((process, Found { recovered, messages }))
    }

    fn backlog(&mut self, store: u8) -> Result<Vec<RecoveredMessage>, StoreError> {
        let mut all = Vec::new();
        loop {
            if let Some(Event::Poisoned(error)) = self.events.iter().find(|event| matches!(event, Event::Poisoned(_))) {
                return Err(error.clone());
            }
            match self.store.backlog(store, 100) {
                Backlog::Part { messages, .. } => all.extend(messages),
                Backlog::Pending => self.step(),
                Backlog::Complete => return Ok(all),
            }
        }
    }

    pub(crate) fn submit(&mut self) {
        self.store.flush(self.now);
        while let Some(request) = self.store.poll_disk() {
            if let Some(trace) = &mut self.trace {
                trace.push(Traced::Asked(request.clone()));
            }
            match (&request.op, &mut self.held) {
                (DiskOp::Write { offset: 4096.., .. }, Some(held)) => held.push(request),
                _ => self.disk.submit(self.now, self.session, request),
            }
        }
    }

    pub(crate) fn step(&mut self) {
        self.submit();
        let next = self.disk.poll_timeout().into_iter().chain(self.store.poll_timeout()).min();
        self.now = next.expect("something is going on").max(self.now + 1);
        while let Some((session, done)) = self.disk.poll(self.now) {
            if session == self.session {
                if let Some(trace) = &mut self.trace {
                    trace.push(Traced::Answered(done.id));
                }
                self.store.handle_disk(self.now, done);
            }
        }
        if self.store.poll_timeout().is_some_and(|at| at <= self.now) {
            self.store.handle_timeout(self.now);
        }
        while let Some(event) = self.store.poll_event() {
            self.events.push_back(event);
        }
    }

    /// Goes on until something is told.
    pub(crate) fn until(&mut self, is_awaited: impl Fn(&Event) -> bool) -> Event {
        for _ in 0..100_000 {
            if let Some(at) = self.events.iter().position(&is_awaited) {
                return self.events.remove(at).expect("it is there");
            }
            self.step();
        }
        panic!("what was awaited does not come; {:?}", self.events);
    }

    pub(crate) fn confirmed(&mut self, store: u8, lsn: u64) {
        while self.store.confirmable(store) < lsn {
            self.step();
        }
    }

    /// Notes that were told since they were asked for.
    pub(crate) fn notes(&mut self) -> Vec<String> {
        let mut notes = Vec::new();
        self.events.retain(|event| match event {
            Event::Note(note) => {
                notes.push(note.clone());
                false
            }
            _ => true,
        });
        notes
    }

    /// Lets everything happen that goes on by itself: sweeping, unlinking, spares.
    pub(crate) fn rest(&mut self) {
        self.rest_for(400_000_000);
    }

    pub(crate) fn rest_for(&mut self, duration: Nanos) {
        let until = self.now + duration;
        while self.now < until {
            self.step();
        }
    }

    pub(crate) fn killed(mut self) -> SimDisk {
        self.disk.kill(self.session);
        let late = self.disk.poll_timeout().map_or(self.now, |at| at + 1_000_000_000);
        while self.disk.poll(late).is_some() {}
        self.disk
    }

    pub(crate) fn body(&mut self, store: u8, location: Location) -> Result<Vec<u8>, StoreError> {
        let result = match self.store.body(store, location) {
            Body::Ready(bytes) => Ok(bytes),
            Body::Pending => {
                let is_awaited = |event: &Event| matches!(event, Event::Body { store: from, location: of, .. } if (*from, *of) == (store, location));
                match self.until(is_awaited) {
                    Event::Body { result, .. } => result,
                    other => unreachable!("{other:?}"),
                }
            }
        };
        result.map(|bytes| bytes.to_vec())
    }
}

/// Lets an inspection look at the store in `folder`; returns what it says, and the disk after it.
pub(crate) fn inspect(mut disk: SimDisk, folder: PathBuf) -> (Result<Report, StoreError>, SimDisk) {
    let session = disk.attach();
    let mut inspection = Inspection::new(folder, disk::sim::aligned);
    let mut now = 0;
    let mut report = None;
    loop {
        while let Some(request) = inspection.poll_disk() {
            let op = &request.op;
            let is_lock = matches!(op, DiskOp::Open { path, .. } if path.to_string_lossy().contains("/owner."));
            let reads =
                matches!(op, DiskOp::Open { mode: OpenMode::Read, .. } | DiskOp::Read { .. } | DiskOp::Close { .. });
            assert!(is_lock || reads || matches!(op, DiskOp::List { .. } | DiskOp::TryLock { .. }), "{op:?}");
            disk.submit(now, session, request);
        }
        report = report.or_else(|| inspection.poll_report());
        match disk.poll_timeout() {
            Some(at) => now = at.max(now + 1),
            None => return (report.expect("an inspection ends"), disk),
        }
        // Others may own the store; what they wait for is not ours.
        while let Some((of, done)) = disk.poll(now) {
            if of == session {
                inspection.handle_disk(done);
            }
        }
    }
}
