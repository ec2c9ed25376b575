//! The gate that every operation of every mount passes: at once, later, when it is healed, or never.
//!
//! Owns the model behind one lock, and the thread that lets go what waits (`state`). Knows nothing of FUSE: an operation is a closure
//! that carries its own answer. What is told of it all is in `report`.

mod report;
mod state;

pub use report::{DiskEvent, DiskReport, EventKind, ThawReport, Waits};
pub(crate) use state::{Job, Run};

use crate::clock::now_ns;
use crate::log::Log;
use crate::model::{
    CrashMode, CrashReport, DiskModel, FaultError, FaultId, FaultSpec, HostId, HostState, InFlight, Ino, Lock, Nanos,
};
use nix::errno::Errno;
use serde::{Deserialize, Serialize};
use state::{Late, LockWaiting, State, Waiting, in_flight};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

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

#[cfg(test)]
mod tests;
