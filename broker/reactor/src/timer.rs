//! Timers: one per token, the earliest deadline wins.
//!
//! Owns the order in which timers are due. Reads no clock: time is an argument.

use disk::Nanos;
use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;

/// Pending timers by token `T`. A token that is set again keeps the earlier deadline, so that a user who re-arms
/// on each turn does not lose a wake-up.
#[derive(Debug)]
pub(crate) struct Timers<T> {
    /// (deadline, sequence, token), one for each token.
    order: BTreeSet<(Nanos, u64, T)>,
    deadlines: HashMap<T, (Nanos, u64)>,
    sequence: u64,
}

impl<T: Copy + Eq + Ord + Hash> Timers<T> {
    pub(crate) fn new() -> Self {
        Timers { order: BTreeSet::new(), deadlines: HashMap::new(), sequence: 0 }
    }

    /// Sets a one-shot timer; no effect when the token has an earlier or equal deadline already.
    pub(crate) fn set(&mut self, at: Nanos, token: T) {
        if let Some((pending, sequence)) = self.deadlines.get(&token).copied() {
            if pending <= at {
                return;
            }
            self.order.remove(&(pending, sequence, token));
        }
        self.sequence += 1;
        self.deadlines.insert(token, (at, self.sequence));
        self.order.insert((at, self.sequence, token));
    }

    /// The next deadline.
    pub(crate) fn next_at(&self) -> Option<Nanos> {
        self.order.first().map(|(at, _, _)| *at)
    }

    /// Takes one timer that is due at `now`; in the order of deadlines, equal ones in the order of setting.
    pub(crate) fn pop_due(&mut self, now: Nanos) -> Option<T> {
        if self.next_at()? > now {
            return None;
        }
        let (_, _, token) = self.order.pop_first()?;
        self.deadlines.remove(&token);
        Some(token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(timers: &mut Timers<u64>, now: Nanos) -> Vec<u64> {
        std::iter::from_fn(|| timers.pop_due(now)).collect()
    }

    #[test]
    fn deadlines_come_in_order_and_equal_ones_as_they_were_set() {
        let mut timers = Timers::new();
        for (at, token) in [(30, 3), (10, 1), (20, 9), (20, 2)] {
            timers.set(at, token);
        }
        assert_eq!(timers.next_at(), Some(10));
        assert_eq!(due(&mut timers, 9), []);
        assert_eq!(due(&mut timers, 25), [1, 9, 2]);
        assert_eq!(timers.next_at(), Some(30));
        assert_eq!(due(&mut timers, 30), [3]);
        assert_eq!(timers.next_at(), None);
    }

    #[test]
    fn the_earliest_deadline_of_a_token_wins_and_fires_once() {
        let mut timers = Timers::new();
        timers.set(50, 1);
        timers.set(20, 1);
        timers.set(90, 1);
        assert_eq!(timers.next_at(), Some(20));
        assert_eq!(due(&mut timers, 100), [1]);
        assert_eq!(timers.next_at(), None);
        timers.set(20, 1);
        assert_eq!(due(&mut timers, 100), [1]);
    }
}
