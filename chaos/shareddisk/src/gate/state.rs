//! What waits for the model, and what lets it go.
//!
//! Owns operations that are delayed or held, locks that are waited for and writes whose host is gone.

use super::report::{DiskEvent, EventKind};
use crate::clock::now_ns;
use crate::log::{Log, Record};
use crate::model::{DiskModel, Effects, Handle, Head, HostId, HostState, InFlight, Ino, Lock, Nanos, Operation};
use nix::errno::Errno;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Events that are kept; there are a few for each fault.
const EVENTS_MAX: usize = 10_000;

/// What an operation is, before it is carried out.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) operation: Operation,
    pub(crate) ino: Ino,
    pub(crate) handle: Option<Handle>,
    pub(crate) offset: u64,
    pub(crate) len: u64,
    pub(crate) syncs: bool,
    /// The bytes of a write: what may land late although nobody waits for it any more.
    pub(crate) data: Option<Arc<[u8]>>,
}

impl Job {
    pub(crate) fn new(operation: Operation, ino: Ino) -> Self {
        Self { operation, ino, handle: None, offset: 0, len: 0, syncs: false, data: None }
    }
}

/// Carries an operation out, or answers the error; gives what was done for the log.
pub(crate) type Run = Box<dyn FnOnce(&mut DiskModel, Result<&Effects, Errno>) -> Result<u64, Errno> + Send>;

pub(super) struct Waiting {
    pub(super) host: HostId,
    pub(super) job: Job,
    pub(super) arrived_ns: Nanos,
    /// Known once the operation has arrived at the disk; not while its host is frozen.
    pub(super) effects: Option<Effects>,
    pub(super) run: Run,
}

/// A request for a lock that waits (F_SETLKW).
pub(super) struct LockWaiting {
    pub(super) ino: Ino,
    pub(super) wanted: Lock,
    pub(super) arrived_ns: Nanos,
    pub(super) answer: Box<dyn FnOnce(Result<(), Errno>) + Send>,
}

/// A write whose host is gone, on its way to the disk.
pub(super) struct Late {
    pub(super) host: HostId,
    pub(super) write: InFlight,
}

pub(super) struct State {
    pub(super) model: DiskModel,
    pub(super) due: BTreeMap<(Nanos, u64), Waiting>,
    pub(super) held: Vec<Waiting>,
    pub(super) locks: Vec<LockWaiting>,
    pub(super) late: BTreeMap<(Nanos, u64), Late>,
    pub(super) sequence: u64,
    pub(super) log: Log,
    pub(super) events: Vec<DiskEvent>,
    pub(super) stopping: bool,
}

pub(super) fn in_flight(waiting: &Waiting) -> Option<InFlight> {
    let data = waiting.job.data.as_ref()?;
    Some(InFlight { ino: waiting.job.ino, offset: waiting.job.offset, data: data.to_vec() })
}

impl State {
    /// Decides what happens to an operation. Whether the thread must look when it is due.
    pub(super) fn dispatch(&mut self, mut waiting: Waiting) -> bool {
        if self.stopping {
            self.fail(waiting, Errno::EIO);
            return false;
        }
        if self.model.state(waiting.host) == HostState::Frozen {
            self.held.push(waiting);
            return false;
        }
        let effects = self.decide(&waiting);
        let (held, delay_ns) = (effects.held_by.is_some(), effects.delay_ns);
        waiting.effects = Some(effects);
        if held {
            self.held.push(waiting);
        } else if delay_ns > 0 {
            self.sequence += 1;
            self.due.insert((now_ns() + delay_ns, self.sequence), waiting);
            return true;
        } else {
            self.execute(waiting);
        }
        false
    }

    /// Whether something still holds an operation: its host is frozen, or a fault that is set.
    pub(super) fn is_held(&self, waiting: &Waiting) -> bool {
        let by = waiting.effects.as_ref().and_then(|effects| effects.held_by);
        self.model.state(waiting.host) == HostState::Frozen || by.is_some_and(|by| self.model.is_fault_active(by))
    }

    fn decide(&mut self, waiting: &Waiting) -> Effects {
        let job = &waiting.job;
        let path = self.model.path(job.ino);
        let grows = matches!(job.operation, Operation::Write | Operation::Allocate);
        let new_blocks = if grows { self.model.new_blocks(job.ino, job.offset, job.len) } else { 0 };
        let head = Head {
            host: waiting.host,
            operation: job.operation,
            ino: job.ino,
            path: &path,
            len: job.len,
            syncs: job.syncs,
            new_blocks,
        };
        self.model.decide(now_ns(), &head)
    }

    /// Carries out an operation and lets waiting locks go on.
    pub(super) fn execute(&mut self, waiting: Waiting) {
        let frees = matches!(waiting.job.operation, Operation::Lock | Operation::Close);
        // Its answer went to whoever asked; here it is only logged.
        let _ = self.execute_now(waiting);
        if frees {
            self.retry_locks();
        }
    }

    pub(super) fn execute_now(&mut self, mut waiting: Waiting) -> Result<u64, Errno> {
        let effects = match waiting.effects.take() {
            Some(effects) => effects,
            None => self.decide(&waiting),
        };
        let closes = waiting.job.operation == Operation::Close;
        let admitted = if closes { Ok(()) } else { self.model.admit(waiting.host, waiting.job.handle) };
        let admitted = admitted.and(effects.error.map_or(Ok(()), Err)).map(|()| &effects);
        let result = (waiting.run)(&mut self.model, admitted);
        self.record(waiting.host, &waiting.job, waiting.arrived_ns, result, &effects);
        result
    }

    pub(super) fn fail(&mut self, waiting: Waiting, errno: Errno) {
        let result = (waiting.run)(&mut self.model, Err(errno));
        self.record(waiting.host, &waiting.job, waiting.arrived_ns, result, &Effects::default());
    }

    fn record(&mut self, host: HostId, job: &Job, arrived_ns: Nanos, result: Result<u64, Errno>, effects: &Effects) {
        let record = Record {
            t_ns: now_ns(),
            arrived_ns,
            host: self.model.host_name(host).to_owned(),
            operation: job.operation,
            ino: job.ino,
            path: self.model.path(job.ino),
            offset: job.offset,
            len: job.len,
            syncs: job.syncs,
            done: result.ok(),
            error: result.err().map(|errno| format!("{errno:?}")),
            faults: Vec::new(),
        };
        self.log.push(record, effects);
    }

    pub(super) fn note(&mut self, host: HostId, what: EventKind) {
        if self.events.len() < EVENTS_MAX {
            let host = self.model.host_name(host).to_owned();
            self.events.push(DiskEvent { t_ns: now_ns(), host, what });
        }
    }

    /// Takes out all that waits of a host, in the order in which it arrived.
    pub(super) fn take_waiting(&mut self, host: HostId) -> Vec<Waiting> {
        let (mut taken, kept): (Vec<Waiting>, Vec<Waiting>) =
            std::mem::take(&mut self.held).into_iter().partition(|waiting| waiting.host == host);
        self.held = kept;
        for (key, waiting) in std::mem::take(&mut self.due) {
            if waiting.host == host {
                taken.push(waiting);
            } else {
                self.due.insert(key, waiting);
            }
        }
        taken.sort_by_key(|waiting| waiting.arrived_ns);
        taken
    }

    /// Tries the locks that wait, the oldest first.
    pub(super) fn retry_locks(&mut self) {
        for lock in std::mem::take(&mut self.locks) {
            let host = lock.wanted.host;
            if self.model.state(host) == HostState::Frozen {
                self.locks.push(lock);
                continue;
            }
            let admitted = self.model.admit(host, Some(lock.wanted.handle));
            match admitted.and_then(|()| self.model.lock(lock.ino, lock.wanted)) {
                Err(Errno::EAGAIN) => self.locks.push(lock),
                result => (lock.answer)(result),
            }
        }
    }

    /// Does all that is due at `now`.
    pub(super) fn pass(&mut self, now: Nanos, hold_limit_ns: Nanos) {
        while let Some(entry) = self.due.first_entry().filter(|entry| entry.key().0 <= now) {
            let waiting = entry.remove();
            self.execute(waiting);
        }
        while let Some(entry) = self.late.first_entry().filter(|entry| entry.key().0 <= now) {
            let Late { host, write } = entry.remove();
            let landed = self.model.land(host, &write);
            self.note(host, EventKind::LandedLate { bytes: write.data.len() as u64, refused: landed.is_err() });
        }
        let lost = self.model.poll(now);
        for &(host, locks) in &lost {
            self.note(host, EventKind::LocksLost { locks: locks as u64 });
        }
        if !lost.is_empty() {
            self.retry_locks();
        }
        self.fail_overdue(now, hold_limit_ns);
    }

    /// The watchdog: what is held for too long fails, so that nobody hangs for ever.
    fn fail_overdue(&mut self, now: Nanos, hold_limit_ns: Nanos) {
        let is_overdue = |arrived_ns: Nanos| arrived_ns + hold_limit_ns <= now;
        let (overdue, kept): (Vec<Waiting>, Vec<Waiting>) =
            std::mem::take(&mut self.held).into_iter().partition(|waiting| is_overdue(waiting.arrived_ns));
        self.held = kept;
        let mut by_host: BTreeMap<HostId, u64> = BTreeMap::new();
        for waiting in overdue {
            *by_host.entry(waiting.host).or_default() += 1;
            self.fail(waiting, Errno::EIO);
        }
        for lock in std::mem::take(&mut self.locks) {
            if is_overdue(lock.arrived_ns) {
                *by_host.entry(lock.wanted.host).or_default() += 1;
                (lock.answer)(Err(Errno::EIO));
            } else {
                self.locks.push(lock);
            }
        }
        for (host, operations) in by_host {
            self.note(host, EventKind::Watchdog { operations });
        }
    }

    pub(super) fn next_at(&self, hold_limit_ns: Nanos) -> Nanos {
        let due = self.due.first_key_value().map(|(key, _)| key.0);
        let late = self.late.first_key_value().map(|(key, _)| key.0);
        let held = self.held.iter().map(|waiting| waiting.arrived_ns).min();
        let locks = self.locks.iter().map(|lock| lock.arrived_ns).min();
        let overdue = held.into_iter().chain(locks).min().map(|arrived_ns| arrived_ns + hold_limit_ns);
        let model = Some(self.model.next_at());
        [due, late, overdue, model].into_iter().flatten().min().unwrap_or(Nanos::MAX)
    }
}
