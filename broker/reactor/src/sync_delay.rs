//! `debug_sync_delay`: makes a flush look slower than it is.
//!
//! Owns the completions that are held back. They are held after the disk has finished, and in user space, so that the delay
//! keeps neither a file nor its lock longer when the process is killed.

use crate::slots::{Key, Slots};
use disk::{DiskDone, DiskOp, Nanos};

/// Completions that wait for their time.
#[derive(Debug)]
pub(crate) struct SyncDelay {
    delay: Nanos,
    held: Slots<DiskDone>,
}

impl SyncDelay {
    pub(crate) fn new() -> Self {
        SyncDelay { delay: 0, held: Slots::new() }
    }

    /// For completions from now on, in nanoseconds.
    pub(crate) fn set(&mut self, delay: Nanos) {
        self.delay = delay;
    }

    /// Keeps `done` if there is a delay; gives when it is due and the key to `release` it by.
    pub(crate) fn hold(&mut self, now: Nanos, done: DiskDone) -> Result<(Nanos, Key), DiskDone> {
        if self.delay == 0 {
            return Err(done);
        }
        Ok((now + self.delay, self.held.insert(done)))
    }

    /// What was held.
    pub(crate) fn release(&mut self, key: Key) -> DiskDone {
        self.held.remove(key).expect("each held completion is released once, by its timer")
    }
}

/// Whether the completion of `op` promises that something is on media.
pub(crate) fn is_flush(op: &DiskOp) -> bool {
    matches!(op, DiskOp::Write { durable: true, .. } | DiskOp::Sync { .. } | DiskOp::SyncDir { .. })
}
