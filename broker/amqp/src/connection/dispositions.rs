//! Owns [`Dispositions`]: settlements waiting to be sent, joined into as few ranges as possible.

use alloc::vec::Vec;

use crate::performative::{Disposition, Outcome, Role};

/// Runs kept before they have to be sent.
const RUNS_MAX: usize = 1024;

/// Settlements of one role in one session.
#[derive(Debug)]
pub(super) struct Dispositions {
    role: Role,
    runs: Vec<Disposition>,
    /// Runs are in the order of their delivery-ids.
    sorted: bool,
}

impl Dispositions {
    pub(super) fn new(role: Role) -> Self {
        Self { role, runs: Vec::new(), sorted: true }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Too many runs wait: they have to be sent now.
    pub(super) fn is_full(&self) -> bool {
        self.runs.len() >= RUNS_MAX
    }

    /// Adds a settlement of the deliveries from `first` to `last`.
    #[inline]
    pub(super) fn add(&mut self, (first, last): (u32, u32), settled: bool, state: Option<Outcome>) {
        if let Some(run) = self.runs.last_mut() {
            if run.last.wrapping_add(1) == first && run.settled == settled && run.state == state {
                run.last = last;
                return;
            }
            self.sorted &= precedes(run.last, first);
        }
        self.runs.push(Disposition { role: self.role, first, last, settled, state });
    }

    /// Gives the ranges, in order of their ids. Two that concern the same delivery keep their order.
    pub(super) fn flush(&mut self, mut emit: impl FnMut(Disposition)) {
        if !self.sorted {
            // Serial numbers have no least element, but all those in flight lie within half of the circle.
            let anchor = self.runs[0].first.wrapping_sub(1 << 31);
            self.runs.sort_by_key(|run| run.first.wrapping_sub(anchor));
            self.sorted = true;
        }
        let mut joined: Option<Disposition> = None;
        for run in self.runs.drain(..) {
            match &mut joined {
                Some(last)
                    if last.last.wrapping_add(1) == run.first
                        && last.settled == run.settled
                        && last.state == run.state =>
                {
                    last.last = run.last;
                }
                _ => {
                    if let Some(done) = joined.replace(run) {
                        emit(done);
                    }
                }
            }
        }
        joined.into_iter().for_each(emit);
    }
}

/// Serial number arithmetic (RFC 1982).
pub(super) fn precedes(one: u32, two: u32) -> bool {
    one != two && two.wrapping_sub(one) < 1 << 31
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(ids: &[(u32, bool)], expected: &[(u32, u32, bool)]) {
        let mut dispositions = Dispositions::new(Role::Receiver);
        for (id, accepted) in ids {
            let outcome = if *accepted { Outcome::Accepted } else { Outcome::Released };
            dispositions.add((*id, *id), true, Some(outcome));
        }
        let mut seen = Vec::new();
        dispositions.flush(|run| seen.push((run.first, run.last, run.state == Some(Outcome::Accepted))));
        assert_eq!(seen, expected);
        assert!(dispositions.is_empty());
    }

    #[test]
    fn adjacent_equal_ones_become_one_range() {
        check(&[], &[]);
        check(&[(5, true)], &[(5, 5, true)]);
        check(&[(5, true), (6, true), (7, true)], &[(5, 7, true)]);
        check(&[(5, true), (6, false), (7, true)], &[(5, 5, true), (6, 6, false), (7, 7, true)]);
        check(&[(5, true), (7, true)], &[(5, 5, true), (7, 7, true)]);
    }

    #[test]
    fn ranges_continue_ranges() {
        let mut dispositions = Dispositions::new(Role::Receiver);
        for range in [(u32::MAX - 5, u32::MAX), (0, 3), (5, 9), (4, 4)] {
            dispositions.add(range, true, Some(Outcome::Accepted));
        }
        let mut seen = Vec::new();
        dispositions.flush(|run| seen.push((run.first, run.last)));
        assert_eq!(seen, [(u32::MAX - 5, 9)]);
    }

    #[test]
    fn order_of_settlement_does_not_matter() {
        check(&[(1, true), (3, true), (2, true), (0, true)], &[(0, 3, true)]);
        check(&[(9, true), (8, false), (7, true)], &[(7, 7, true), (8, 8, false), (9, 9, true)]);
    }

    #[test]
    fn ranges_cross_the_wrap() {
        check(&[(u32::MAX - 1, true), (u32::MAX, true), (0, true), (1, true)], &[(u32::MAX - 1, 1, true)]);
        check(&[(1, true), (u32::MAX, true), (0, true)], &[(u32::MAX, 1, true)]);
    }

    #[test]
    fn two_steps_of_one_delivery_keep_their_order() {
        let mut dispositions = Dispositions::new(Role::Sender);
        dispositions.add((4, 4), false, Some(Outcome::Accepted));
        dispositions.add((4, 4), true, Some(Outcome::Accepted));
        dispositions.add((3, 3), true, Some(Outcome::Accepted));
        let mut seen = Vec::new();
        dispositions.flush(|run| seen.push((run.first, run.last, run.settled)));
        assert_eq!(seen, [(3, 3, true), (4, 4, false), (4, 4, true)]);
    }
}
