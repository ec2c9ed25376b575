//! The gate that every operation of every mount passes: at once, later, when it is healed, or never.
//!
//! Owns the model behind one lock, the operations that wait, and the thread that lets them go. Knows nothing of FUSE: an operation is
//! a closure that carries its own answer.

use crate::clock::now_ns;
use crate::log::{Log, Record};
use crate::model::{
    CrashMode, CrashReport, DiskModel, Effects, FaultError, FaultId, FaultReport, FaultSpec, Handle, Head, HostId,
    HostReport, HostState, InFlight, Ino, LateReport, Lock, Nanos, Operation,
};
use nix::errno::Errno;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

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

struct Waiting {
    host: HostId,
    job: Job,
    arrived_ns: Nanos,
    /// Known once the operation has arrived at the disk; not while its host is frozen.
    effects: Option<Effects>,
    run: Run,
}

/// A request for a lock that waits (F_SETLKW).
struct LockWaiting {
    ino: Ino,
    wanted: Lock,
    arrived_ns: Nanos,
    answer: Box<dyn FnOnce(Result<(), Errno>) + Send>,
}

/// A write whose host is gone, on its way to the disk.
struct Late {
    host: HostId,
    write: InFlight,
}

struct State {
    model: DiskModel,
    due: BTreeMap<(Nanos, u64), Waiting>,
    held: Vec<Waiting>,
    locks: Vec<LockWaiting>,
    late: BTreeMap<(Nanos, u64), Late>,
    sequence: u64,
    log: Log,
    events: Vec<DiskEvent>,
    stopping: bool,
}

/// What happened to a host, with CLOCK_MONOTONIC in nanoseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DiskEvent {
    /// When.
    pub t_ns: Nanos,
    /// Which host.
    pub host: String,
    /// What.
    #[serde(flatten)]
    pub what: EventKind,
}

/// The kinds of [`DiskEvent`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "event")]
pub enum EventKind {
    /// Nothing of it arrives any more.
    Frozen,
    /// It is back.
    Thawed(ThawReport),
    /// It lost power.
    Crashed(CrashReport),
    /// A write that was in flight at a crash has arrived.
    LandedLate {
        /// Its bytes.
        bytes: u64,
        /// Whether a fence refused it.
        refused: bool,
    },
    /// It mounted again.
    Mounted,
    /// The lock server does not hear it any more.
    LeaseNotRenewed,
    /// Its lease is over.
    LocksLost {
        /// How many locks it held.
        locks: u64,
    },
    /// An operation was held for longer than the limit and has been failed.
    Watchdog {
        /// How many.
        operations: u64,
    },
}

/// Events that are kept; there are a few for each fault.
const EVENTS_MAX: usize = 10_000;

/// What came with a host that was frozen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThawReport {
    /// Its unsynced data.
    pub unsynced: LateReport,
    /// Operations that waited.
    pub operations: u64,
    /// Writes among them that were carried out now, late.
    pub writes_landed: u64,
    /// Bytes of these.
    pub bytes_landed: u64,
    /// Writes among them that were refused.
    pub writes_refused: u64,
    /// When the first of these writes had arrived, in nanoseconds of CLOCK_MONOTONIC.
    pub first_write_ns: Option<Nanos>,
}

/// All that is known, for the folder of a result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DiskReport {
    /// CLOCK_MONOTONIC, in nanoseconds.
    pub t_ns: Nanos,
    /// Each host, and what it has not synced.
    pub hosts: Vec<HostReport>,
    /// Each fault, and what it hit.
    pub faults: Vec<FaultReport>,
    /// What happened to hosts, oldest first.
    pub events: Vec<DiskEvent>,
    /// Operations that wait, by host.
    pub waiting: BTreeMap<String, Waits>,
    /// Operations that the log does not keep any more.
    pub log_dropped: u64,
}

/// Operations of a host that wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waits {
    /// All.
    pub operations: u64,
    /// Writes.
    pub writes: u64,
}

/// What becomes of writes in flight at a crash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "in_flight")]
pub enum InFlightRule {
    /// What becomes of unsynced writes.
    #[default]
    AsUnsynced,
    /// They arrive after this time, as from a queue in the network or the array.
    Late {
        /// In milliseconds.
        after_ms: u64,
    },
}

/// The model and all that waits for it.
pub struct Gate {
    state: Mutex<State>,
    wake: Condvar,
    hold_limit_ns: Nanos,
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Gate").finish_non_exhaustive()
    }
}

impl Gate {
    /// `hold_limit` is how long an operation may be held before it fails with EIO, whatever holds it.
    pub fn new(model: DiskModel, hold_limit: Duration) -> Self {
        let state = State {
            model,
            due: BTreeMap::new(),
            held: Vec::new(),
            locks: Vec::new(),
            late: BTreeMap::new(),
            sequence: 0,
            log: Log::default(),
            events: Vec::new(),
            stopping: false,
        };
        Self { state: Mutex::new(state), wake: Condvar::new(), hold_limit_ns: hold_limit.as_nanos() as u64 }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic in one operation answers that one with EIO; the model is consistent between operations.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An operation arrives.
    pub(crate) fn submit(&self, host: HostId, job: Job, run: Run) {
        let mut state = self.lock();
        let waiting = Waiting { host, job, arrived_ns: now_ns(), effects: None, run };
        if state.dispatch(waiting) {
            self.wake.notify_one();
        }
    }

    /// A request for a lock that waits until it is free.
    pub(crate) fn wait_for_lock(
        &self,
        ino: Ino,
        wanted: Lock,
        answer: impl FnOnce(Result<(), Errno>) + Send + 'static,
    ) {
        let mut state = self.lock();
        state.locks.push(LockWaiting { ino, wanted, arrived_ns: now_ns(), answer: Box::new(answer) });
        state.retry_locks();
    }

    /// Sets a fault.
    pub fn add_fault(&self, spec: FaultSpec) -> Result<FaultId, FaultError> {
        self.lock().model.add_fault(spec)
    }

    /// Ends a fault, or all; what they held goes on.
    pub fn remove_faults(&self, id: Option<FaultId>) {
        let mut state = self.lock();
        state.model.remove_faults(id);
        let (free, kept): (Vec<Waiting>, Vec<Waiting>) =
            std::mem::take(&mut state.held).into_iter().partition(|held| !state.is_held(held));
        state.held = kept;
        for waiting in free {
            state.execute(waiting);
        }
    }

    /// What is known.
    pub fn report(&self) -> DiskReport {
        let state = self.lock();
        let t_ns = now_ns();
        let mut waiting: BTreeMap<String, Waits> = BTreeMap::new();
        for held in state.held.iter().chain(state.due.values()) {
            let waits = waiting.entry(state.model.host_name(held.host).to_owned()).or_default();
            waits.operations += 1;
            waits.writes += u64::from(held.job.data.is_some());
        }
        DiskReport {
            t_ns,
            hosts: state.model.host_reports(t_ns),
            faults: state.model.fault_reports(),
            events: state.events.clone(),
            waiting,
            log_dropped: state.log.dropped(),
        }
    }

    /// Writes the last operations, one JSON object on each line; gives how many.
    pub fn write_log(&self, path: &Path) -> std::io::Result<u64> {
        self.lock().log.write_to(path)
    }

    /// Changes the model in a way that nothing waits for.
    pub(crate) fn with_model<T>(&self, change: impl FnOnce(&mut DiskModel) -> T) -> T {
        let mut state = self.lock();
        let result = change(&mut state.model);
        state.retry_locks();
        self.wake.notify_one();
        result
    }

    /// The lock server does not hear the host any more.
    pub fn expire_lease(&self, host: HostId) {
        let mut state = self.lock();
        state.model.expire_lease(now_ns(), host);
        state.note(host, EventKind::LeaseNotRenewed);
        self.wake.notify_one();
    }

    /// Nothing of the host arrives from now on, until it thaws or crashes.
    pub fn freeze(&self, host: HostId) -> Result<(), Errno> {
        let mut state = self.lock();
        state.model.freeze(now_ns(), host)?;
        // What was delayed is on its way, and does not arrive either.
        let delayed: Vec<(Nanos, u64)> =
            state.due.iter().filter(|(_, waiting)| waiting.host == host).map(|(&key, _)| key).collect();
        for key in delayed {
            let waiting = state.due.remove(&key);
            state.held.extend(waiting);
        }
        state.note(host, EventKind::Frozen);
        self.wake.notify_one();
        Ok(())
    }

    /// A frozen host is back: its unsynced data is written, then all that it had sent, in order.
    pub fn thaw(&self, host: HostId) -> Result<ThawReport, Errno> {
        let mut state = self.lock();
        let unsynced = state.model.thaw(host)?;
        let mut report = ThawReport { unsynced, ..ThawReport::default() };
        for waiting in state.take_waiting(host) {
            if state.is_held(&waiting) {
                state.held.push(waiting);
                continue;
            }
            report.operations += 1;
            let write = waiting.job.data.as_ref().map(|data| data.len() as u64);
            let arrived_ns = waiting.arrived_ns;
            let result = state.execute_now(waiting);
            match (write, result) {
                (Some(bytes), Ok(_)) => {
                    report.writes_landed += 1;
                    report.bytes_landed += bytes;
                }
                (Some(_), Err(_)) => report.writes_refused += 1,
                (None, _) => {}
            }
            if write.is_some() {
                report.first_write_ns.get_or_insert(arrived_ns);
            }
        }
        state.note(host, EventKind::Thawed(report));
        state.retry_locks();
        Ok(report)
    }

    /// The host loses power. `abort` cuts its mount off, after which nobody hears an answer.
    pub fn crash(
        &self,
        host: HostId,
        mode: CrashMode,
        rule: InFlightRule,
        abort: impl FnOnce(),
    ) -> Result<CrashReport, Errno> {
        let mut state = self.lock();
        if state.model.state(host) == HostState::Down {
            return Err(Errno::EINVAL);
        }
        let waiting = state.take_waiting(host);
        state.locks.retain(|lock| lock.wanted.host != host);
        let writes: Vec<InFlight> = waiting.iter().filter_map(in_flight).collect();
        let now = now_ns();
        let mut report = match rule {
            InFlightRule::AsUnsynced => state.model.crash(now, host, mode, writes)?,
            InFlightRule::Late { after_ms } => {
                let due = now + after_ms * 1_000_000;
                for write in writes {
                    state.sequence += 1;
                    let key = (due, state.sequence);
                    state.late.insert(key, Late { host, write });
                }
                state.model.crash(now, host, mode, Vec::new())?
            }
        };
        report.in_flight = waiting.iter().filter(|waiting| waiting.job.data.is_some()).count() as u64;
        abort();
        drop(waiting);
        state.note(host, EventKind::Crashed(report));
        self.wake.notify_one();
        Ok(report)
    }

    /// A host that was down is up again.
    pub(crate) fn mounted_again(&self, host: HostId) -> Result<(), Errno> {
        let mut state = self.lock();
        state.model.mount_again(host)?;
        state.note(host, EventKind::Mounted);
        state.retry_locks();
        Ok(())
    }

    /// Lets everything go that waits, with an error, and ends [`Self::run`].
    pub fn stop(&self) {
        let mut state = self.lock();
        state.stopping = true;
        let due = std::mem::take(&mut state.due).into_values();
        let held = std::mem::take(&mut state.held);
        for waiting in due.chain(held) {
            state.fail(waiting, Errno::EIO);
        }
        for lock in std::mem::take(&mut state.locks) {
            (lock.answer)(Err(Errno::EIO));
        }
        self.wake.notify_all();
    }

    /// Lets go what is due, until [`Self::stop`].
    pub fn run(&self) {
        let mut state = self.lock();
        while !state.stopping {
            let now = now_ns();
            state.pass(now, self.hold_limit_ns);
            let wait = state.next_at(self.hold_limit_ns).saturating_sub(now_ns());
            let waited = self.wake.wait_timeout(state, Duration::from_nanos(wait));
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

fn in_flight(waiting: &Waiting) -> Option<InFlight> {
    let data = waiting.job.data.as_ref()?;
    Some(InFlight { ino: waiting.job.ino, offset: waiting.job.offset, data: data.to_vec() })
}

impl State {
    /// Decides what happens to an operation. Whether the thread must look when it is due.
    fn dispatch(&mut self, mut waiting: Waiting) -> bool {
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
    fn is_held(&self, waiting: &Waiting) -> bool {
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
    fn execute(&mut self, waiting: Waiting) {
        let frees = matches!(waiting.job.operation, Operation::Lock | Operation::Close);
        // Its answer went to whoever asked; here it is only logged.
        let _ = self.execute_now(waiting);
        if frees {
            self.retry_locks();
        }
    }

    fn execute_now(&mut self, mut waiting: Waiting) -> Result<u64, Errno> {
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

    fn fail(&mut self, waiting: Waiting, errno: Errno) {
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

    fn note(&mut self, host: HostId, what: EventKind) {
        if self.events.len() < EVENTS_MAX {
            let host = self.model.host_name(host).to_owned();
            self.events.push(DiskEvent { t_ns: now_ns(), host, what });
        }
    }

    /// Takes out all that waits of a host, in the order in which it arrived.
    fn take_waiting(&mut self, host: HostId) -> Vec<Waiting> {
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
    fn retry_locks(&mut self) {
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
    fn pass(&mut self, now: Nanos, hold_limit_ns: Nanos) {
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

    fn next_at(&self, hold_limit_ns: Nanos) -> Nanos {
        let due = self.due.first_key_value().map(|(key, _)| key.0);
        let late = self.late.first_key_value().map(|(key, _)| key.0);
        let held = self.held.iter().map(|waiting| waiting.arrived_ns).min();
        let locks = self.locks.iter().map(|lock| lock.arrived_ns).min();
        let overdue = held.into_iter().chain(locks).min().map(|arrived_ns| arrived_ns + hold_limit_ns);
        let model = Some(self.model.next_at());
        [due, late, overdue, model].into_iter().flatten().min().unwrap_or(Nanos::MAX)
    }
}
