//! The spare segments of one lane that stand by.
//!
//! Owns how many are kept of those that dead segments become, and for how long. How many a lane wants at least is the lane's
//! business; making them, and making segments of them, is `spares`'.

use crate::spares::Spare;
use disk::Nanos;
use std::collections::VecDeque;

/// So many beyond those that are wanted are kept when segments die: a checkpoint lets several go at once, and each is needed
/// a little later. See docs/decisions/0040.
const REUSED_MAX: usize = 4;

/// If none was needed for so long, those beyond what is wanted go, one by one at this interval, nanoseconds: removing many at
/// once would hold up the disk.
const IDLE: Nanos = 5_000_000_000;
const INTERVAL: Nanos = 1_000_000_000;

#[derive(Debug, Default)]
pub(crate) struct Stock {
    spares: VecDeque<Spare>,
    /// When the next one may go that nobody needs.
    idle_at: Nanos,
}

impl Stock {
    pub(crate) fn is_empty(&self) -> bool {
        self.spares.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.spares.len()
    }

    pub(crate) fn add(&mut self, spare: Spare) {
        self.spares.push_back(spare);
    }

    /// One that is needed now.
    pub(crate) fn take(&mut self, now: Nanos) -> Option<Spare> {
        let spare = self.spares.pop_front()?;
        self.idle_at = now + IDLE;
        Some(spare)
    }

    /// Whether one more is kept of dead segments, beside `others` that are becoming spares, where `wanted` are wanted. On a full
    /// disk only one that is wanted: whatever else waits for space needs it.
    pub(crate) fn keeps(&self, others: usize, wanted: usize, is_disk_full: bool) -> bool {
        self.spares.len() + others < wanted + if is_disk_full { 0 } else { REUSED_MAX }
    }

    /// One that is not wanted and that nobody has needed for long.
    pub(crate) fn take_idle(&mut self, now: Nanos, wanted: usize) -> Option<Spare> {
        if self.spares.len() <= wanted || now < self.idle_at {
            return None;
        }
        self.idle_at = now + INTERVAL;
        self.spares.pop_back()
    }

    pub(crate) fn take_all(&mut self) -> VecDeque<Spare> {
        std::mem::take(&mut self.spares)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::{Port, tests::opened};

    fn stock(count: usize) -> Stock {
        let mut stock = Stock::default();
        let port = Port::default();
        (0..count).for_each(|_| stock.add(Spare::of(opened(&port, "/spare"), 4096)));
        stock
    }

    #[test]
    fn dead_segments_are_kept_up_to_a_number_and_on_a_full_disk_only_as_wanted() {
        let stock = stock(2);
        assert!(stock.keeps(REUSED_MAX - 2, 1, false) && !stock.keeps(REUSED_MAX - 1, 1, false));
        assert!(stock.keeps(0, 3, true) && !stock.keeps(0, 2, true));
    }

    #[test]
    fn what_nobody_needs_goes_one_by_one_down_to_what_is_wanted() {
        let mut stock = stock(4);
        assert!(stock.take(10).is_some());
        assert!(stock.take_idle(9 + IDLE, 1).is_none());
        assert!(stock.take_idle(10 + IDLE, 1).is_some());
        assert!(stock.take_idle(9 + IDLE + INTERVAL, 1).is_none());
        assert!(stock.take_idle(10 + IDLE + INTERVAL, 1).is_some());
        assert!(stock.take_idle(Nanos::MAX, 1).is_none(), "the last one is wanted");
    }
}
