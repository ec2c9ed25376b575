//! Answers that wait until a record is confirmable (durable, and the ownership check passed afterwards).
//!
//! Owns one queue per store, in the order of log sequence numbers. Sends nothing itself.

use std::collections::VecDeque;

/// What is owed to a client once its record is confirmable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owed<T> {
    /// Log sequence number of the record.
    pub(crate) lsn: u64,
    /// Who waits for what.
    pub(crate) answer: T,
}

/// The answers owed, by store.
#[derive(Debug)]
pub(crate) struct Confirms<T> {
    stores: Vec<VecDeque<Owed<T>>>,
}

impl<T: Copy> Confirms<T> {
    /// No answer owed, for `stores` stores.
    pub(crate) fn new(stores: usize) -> Self {
        Confirms { stores: (0..stores).map(|_| VecDeque::new()).collect() }
    }

    /// Owes `answer` once record `lsn` of `store` is confirmable. Records are appended in order, so are the answers;
    /// acknowledgements of one batch may share a record.
    pub(crate) fn push(&mut self, store: usize, lsn: u64, answer: T) {
        let queue = &mut self.stores[store];
        assert!(queue.back().is_none_or(|last| last.lsn <= lsn), "answers are owed in the order of their records");
        queue.push_back(Owed { lsn, answer });
    }

    /// The next answer of `store` whose record is at or below `through`.
    pub(crate) fn pop(&mut self, store: usize, through: u64) -> Option<T> {
        self.pop_if(store, through, |_| true)
    }

    /// The same, if it is one that is wanted.
    #[inline]
    pub(crate) fn pop_if(&mut self, store: usize, through: u64, is_wanted: impl FnOnce(&T) -> bool) -> Option<T> {
        let queue = &mut self.stores[store];
        queue.pop_front_if(|owed| owed.lsn <= through && is_wanted(&owed.answer)).map(|owed| owed.answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_come_in_order_and_not_before_their_record() {
        let mut confirms = Confirms::new(2);
        confirms.push(0, 5, 'a');
        confirms.push(0, 7, 'b');
        confirms.push(1, 1, 'c');
        assert_eq!(confirms.pop(0, 4), None);
        assert_eq!(confirms.pop(0, 6), Some('a'));
        assert_eq!(confirms.pop(0, 6), None);
        assert_eq!(confirms.pop_if(0, 7, |answer| *answer == 'x'), None);
        assert_eq!(confirms.pop(0, 7), Some('b'));
        assert_eq!(confirms.pop(1, 7), Some('c'));
    }

    #[test]
    #[should_panic(expected = "in the order of their records")]
    fn an_answer_out_of_order_is_a_broken_invariant() {
        let mut confirms = Confirms::new(1);
        confirms.push(0, 5, ());
        confirms.push(0, 4, ());
    }
}
