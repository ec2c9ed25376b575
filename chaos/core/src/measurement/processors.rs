//! A processor for the broker and the others for the harness, so that neither interrupts the other: how long a turn of the broker's loop
//! takes is measured by the clock, which goes on while another program has the processor.
//!
//! Owns the binding of this thread and of those that it starts meanwhile.

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// This thread, which is to be bound.
const OURSELVES: Pid = Pid::from_raw(0);

/// Which processors are whose.
#[derive(Clone, Copy, Debug)]
pub(super) struct Division {
    all: CpuSet,
    broker: usize,
}

impl Division {
    /// `None` on a machine with one processor, or one that does not tell which there are.
    pub(super) fn of_this_machine() -> Option<Self> {
        let all = sched_getaffinity(OURSELVES).ok()?;
        let mut ids = (0..CpuSet::count()).filter(|id| all.is_set(*id).unwrap_or(false));
        let broker = ids.next()?;
        ids.next().map(|_| Self { all, broker })
    }

    /// The broker's processor, as `processor_ids` names it.
    pub(super) fn broker(&self) -> usize {
        self.broker
    }

    /// Keeps off the broker's processor until the result is dropped; `None` if the system does not allow that.
    pub(super) fn keep_off(&self) -> Option<KeptOff> {
        let mut rest = self.all;
        rest.unset(self.broker).ok()?;
        sched_setaffinity(OURSELVES, &rest).ok()?;
        Some(KeptOff { all: self.all })
    }
}

/// As long as it lives, this thread and those that it starts keep off the broker's processor.
#[derive(Debug)]
pub(super) struct KeptOff {
    all: CpuSet,
}

impl Drop for KeptOff {
    fn drop(&mut self) {
        // What was allowed before is allowed again; and nothing depends on it.
        let _ = sched_setaffinity(OURSELVES, &self.all);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_thread_keeps_off_as_long_as_asked() {
        let Some(division) = Division::of_this_machine() else { return };
        let may_use = |id| sched_getaffinity(OURSELVES).is_ok_and(|set| set.is_set(id).unwrap_or(false));
        assert!(may_use(division.broker()));
        let kept = division.keep_off().expect("a thread may give a processor up");
        assert!(!may_use(division.broker()));
        drop(kept);
        assert!(may_use(division.broker()));
    }
}
