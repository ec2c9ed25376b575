//! The owner's sign of life: a counter in the first block of its owner file, which watchers time with their own clocks.
//!
//! Owns when to beat. A hint only: no decision about safety rests on it.

use crate::format;
use crate::port::File;
use crate::shared::Shared;
use disk::{BLOCK_SIZE, DiskOp, Nanos};

#[derive(Debug)]
pub(crate) struct Heartbeat {
    owner: File,
    epoch: u64,
    counter: u64,
    is_in_flight: bool,
    next_at: Nanos,
}

impl Heartbeat {
    /// Beats from `now` on.
    pub(crate) fn new(owner: File, epoch: u64, now: Nanos) -> Self {
        Self { owner, epoch, counter: 0, is_in_flight: false, next_at: now }
    }

    pub(crate) fn next_at(&self) -> Nanos {
        self.next_at
    }

    /// The next beat if it is due. One that the disk has not taken yet is not overtaken.
    pub(crate) fn beat(&mut self, now: Nanos, shared: &Shared) -> Option<DiskOp> {
        if now < self.next_at {
            return None;
        }
        self.next_at = now + shared.config.heartbeat_interval;
        if self.is_in_flight {
            return None;
        }
        self.is_in_flight = true;
        self.counter += 1;
        let mut block = shared.buffer(BLOCK_SIZE);
        format::encode_heartbeat(self.epoch, self.counter, &mut block);
        Some(DiskOp::Write { file: self.owner.id(), offset: 0, data: block.freeze(), durable: false })
    }

    pub(crate) fn written(&mut self) {
        self.is_in_flight = false;
    }
}
