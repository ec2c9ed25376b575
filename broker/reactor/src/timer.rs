//! Timers: one per token, the earliest deadline wins.
//!
//! Owns the order in which timers are due. Reads no clock: time is an argument.

use disk::Nanos;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::hash::Hash;

/// Pending timers by token `T`. A token that is set again keeps the earlier deadline, so that a user who re-arms
/// on each turn neither loses a wake-up nor grows the heap.
#[derive(Debug)]
pub(crate) struct Timers<T> {
    /// (deadline, sequence, token); an entry whose token has another deadline by now is stale and is skipped.
    heap: BinaryHeap<Reverse<(Nanos, u64, T)>>,
    deadlines: HashMap<T, (Nanos, u64)>,
    sequence: u64,
}

impl<T: Copy + Eq + Ord + Hash> Timers<T> {
    pub(crate) fn new() -> Self {
        Timers { heap: BinaryHeap::new(), deadlines: HashMap::new(), sequence: 0 }
    }

    /// Sets a one-shot timer; no effect when the token has an earlier or equal deadline already.
    pub(crate) fn set(&mut self, at: Nanos, token: T) {
        if self.deadlines.get(&token).is_some_and(|(pending, _)| *pending <= at) {
            return;
        }
        self.sequence += 1;
        self.deadlines.insert(token, (at, self.sequence));
        self.heap.push(Reverse((at, self.sequence, token)));
    }

    /// The next deadline.
    pub(crate) fn next_at(&mut self) -> Option<Nanos> {
        self.skip_stale();
        self.heap.peek().map(|Reverse((at, _, _))| *at)
    }

    /// Takes one timer that is due at `now`; in the order of deadlines, equal ones in the order of setting.
    pub(crate) fn pop_due(&mut self, now: Nanos) -> Option<T> {
        if self.next_at()? > now {
            return None;
        }
        let Reverse((_, _, token)) = self.heap.pop()?;
        self.deadlines.remove(&token);
        Some(token)
    }

    fn skip_stale(&mut self) {
        while let Some(Reverse((at, sequence, token))) = self.heap.peek() {
            if self.deadlines.get(token) == Some(&(*at, *sequence)) {
                return;
            }
            self.heap.pop();
        }
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
