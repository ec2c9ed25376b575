//! The ownership check: a read of the slot after ours, submitted **after** what it shall confirm became durable.
//!
//! Owns what was durable when the read was submitted, when a check last passed, and when an unreadable slot means
//! that we give up. Rule 2 says what counts as unclaimed: a read of one block of zeros, and nothing else.

use crate::port::{File, data};
use bytes::Bytes;
use disk::{BLOCK_SIZE, DiskError, DiskOp, Nanos, Outcome, is_zero};
use std::io::ErrorKind;
use std::path::PathBuf;

/// What a read of the slot says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Ours: what was noted per lane is confirmable.
    Unclaimed(Vec<u64>),
    /// Somebody took over.
    Claimed,
    /// Nothing can be said.
    Unknown,
}

/// Whether a read of a slot shows that somebody claimed it. Only one block of zeros means that nobody did; other errors
/// than a missing or stale file say nothing.
pub(crate) fn is_claimed(result: Result<Bytes, DiskError>) -> bool {
    match result {
        Ok(bytes) => bytes.len() != BLOCK_SIZE || !is_zero(&bytes),
        Err(error) => matches!(error.kind, ErrorKind::NotFound | ErrorKind::StaleNetworkFileHandle),
    }
}

#[derive(Debug)]
struct Flight {
    noted: Vec<u64>,
    submitted: Nanos,
}

#[derive(Debug)]
pub(crate) struct Check {
    slot: File,
    in_flight: Option<Flight>,
    /// How many were submitted, and which of them was the last that passed.
    submitted: u64,
    passed: u64,
    /// Per lane, what the last passed check covered.
    covered: Vec<u64>,
    last_passed: Option<Nanos>,
    /// When its read was submitted: the slot was unclaimed then, or later.
    owned_at: Option<Nanos>,
    /// Since when no read has been answered well.
    unknown_since: Option<Nanos>,
    last_error: Option<DiskError>,
    next_try: Nanos,
    /// The limit was seen to have passed at this time; it must still be so a little later, since after a pause of the
    /// process the answer may be waiting right behind the clock.
    overdue_since: Option<Nanos>,
}

impl Check {
    pub(crate) fn new(slot: File, lanes: usize) -> Self {
        Self {
            slot,
            in_flight: None,
            submitted: 0,
            passed: 0,
            covered: vec![0; lanes],
            last_passed: None,
            owned_at: None,
            unknown_since: None,
            last_error: None,
            next_try: 0,
            overdue_since: None,
        }
    }

    pub(crate) fn slot(&self) -> &File {
        &self.slot
    }

    pub(crate) fn slot_path(&self) -> PathBuf {
        self.slot.path().to_owned()
    }

    /// When the last check passed.
    pub(crate) fn last_passed(&self) -> Option<Nanos> {
        self.last_passed
    }

    /// The last time that we certainly were the owner. Not the time of an answer: that may have waited for us.
    pub(crate) fn owned_at(&self) -> Option<Nanos> {
        self.owned_at
    }

    /// How many checks were submitted so far.
    pub(crate) fn submitted(&self) -> u64 {
        self.submitted
    }

    /// Whether a check passed that was submitted after the first `submitted`.
    pub(crate) fn has_passed_after(&self, submitted: u64) -> bool {
        self.passed > submitted
    }

    pub(crate) fn is_in_flight(&self) -> bool {
        self.in_flight.is_some()
    }

    pub(crate) fn last_error(&self) -> String {
        self.last_error.as_ref().map_or_else(|| "no answer".to_owned(), ToString::to_string)
    }

    /// Starts a check if one is due: something became durable since the last, or `idle_at` is reached. `durable` is the
    /// contiguous durable prefix of each lane, now.
    pub(crate) fn start(&mut self, now: Nanos, durable: &[u64], idle_at: Nanos) -> Option<DiskOp> {
        let has_news = durable.iter().zip(&self.covered).any(|(durable, covered)| durable > covered);
        if self.in_flight.is_some() || now < self.next_try || (!has_news && now < idle_at) {
            return None;
        }
        self.submitted += 1;
        self.in_flight = Some(Flight { noted: durable.to_vec(), submitted: now });
        Some(DiskOp::Read { file: self.slot.id(), offset: 0, len: BLOCK_SIZE })
    }

    /// The read was answered. An unknown answer is asked again after `retry_after`.
    pub(crate) fn answered(&mut self, now: Nanos, result: Result<Outcome, DiskError>, retry_after: Nanos) -> Verdict {
        let flight = self.in_flight.take().expect("an answer follows a read");
        match result.and_then(data) {
            Ok(bytes) if !is_claimed(Ok(bytes.clone())) => {
                self.covered.copy_from_slice(&flight.noted);
                self.last_passed = Some(now);
                self.owned_at = Some(flight.submitted);
                self.passed = self.submitted;
                self.unknown_since = None;
                self.overdue_since = None;
                Verdict::Unclaimed(flight.noted)
            }
            Err(error) if !is_claimed(Err(error.clone())) => {
                self.unknown(flight.submitted, error, now + retry_after);
                Verdict::Unknown
            }
            _ => Verdict::Claimed,
        }
    }

    fn unknown(&mut self, since: Nanos, error: DiskError, next_try: Nanos) {
        self.unknown_since.get_or_insert(since);
        self.last_error = Some(error);
        self.next_try = next_try;
    }

    /// Whether the slot has not been readable for `limit`, seen twice at least `grace` apart.
    pub(crate) fn is_overdue(&mut self, now: Nanos, limit: Nanos, grace: Nanos) -> bool {
        let since = self.unknown_since.or(self.in_flight.as_ref().map(|flight| flight.submitted));
        if since.is_none_or(|since| now < since + limit) {
            self.overdue_since = None;
            return false;
        }
        now >= *self.overdue_since.get_or_insert(now) + grace
    }

    /// When `start` is worth calling again after an unknown answer.
    pub(crate) fn retry_at(&self) -> Option<Nanos> {
        (self.in_flight.is_none() && self.unknown_since.is_some()).then_some(self.next_try)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::{Port, tests::opened};

    fn zeros() -> Result<Outcome, DiskError> {
        Ok(Outcome::Data(Bytes::from_static(&[0; BLOCK_SIZE])))
    }

    fn failed(kind: ErrorKind) -> Result<Outcome, DiskError> {
        Err(DiskError { kind, message: String::new() })
    }

    fn check() -> Check {
        Check::new(opened(&Port::default(), "/slot.2"), 2)
    }

    #[test]
    fn only_what_was_durable_before_the_read_is_confirmed() {
        let mut check = check();
        assert!(check.start(10, &[5, 7], 1_000).is_some());
        assert!(check.start(11, &[6, 9], 1_000).is_none(), "one read at a time");
        assert_eq!(check.owned_at(), None);
        assert_eq!(check.answered(12, zeros(), 1), Verdict::Unclaimed(vec![5, 7]));
        assert_eq!(check.owned_at(), Some(10), "an answer tells of the time when it was asked for");
        assert!(check.start(13, &[5, 7], 1_000).is_none(), "nothing new, not idle for long");
        assert!(check.start(13, &[6, 7], 1_000).is_some());
        assert_eq!(check.answered(14, zeros(), 1), Verdict::Unclaimed(vec![6, 7]));
        assert!(check.start(1_000, &[6, 7], 1_000).is_some(), "an idle owner looks, too");
    }

    #[test]
    fn what_waits_for_a_check_waits_for_one_that_began_later() {
        let mut check = check();
        check.start(0, &[1, 1], 0);
        let begun = check.submitted();
        check.answered(1, zeros(), 1);
        assert!(!check.has_passed_after(begun), "it was on its way");
        check.start(2, &[1, 1], 0);
        assert!(!check.has_passed_after(begun));
        check.answered(3, failed(ErrorKind::TimedOut), 1);
        assert!(!check.has_passed_after(begun), "an unknown answer is none");
        check.start(4, &[1, 1], 0);
        check.answered(5, zeros(), 1);
        assert!(check.has_passed_after(begun));
    }

    #[test]
    fn only_a_block_of_zeros_is_unclaimed() {
        let claimed = [
            Ok(Outcome::Data(Bytes::from_static(&[0; BLOCK_SIZE - 1]))),
            Ok(Outcome::Data(Bytes::from_iter((0..BLOCK_SIZE).map(|index| u8::from(index == 4000))))),
            failed(ErrorKind::NotFound),
            failed(ErrorKind::StaleNetworkFileHandle),
        ];
        for answer in claimed {
            let mut check = check();
            check.start(0, &[1, 1], 0);
            assert_eq!(check.answered(1, answer, 1), Verdict::Claimed);
        }
    }

    #[test]
    fn an_unreadable_slot_is_retried_and_given_up_after_the_limit_seen_twice() {
        let mut check = check();
        check.start(0, &[1, 1], 0);
        assert_eq!(check.answered(10, failed(ErrorKind::TimedOut), 5), Verdict::Unknown);
        assert_eq!(check.retry_at(), Some(15));
        assert!(check.start(14, &[2, 2], 0).is_none() && check.start(15, &[2, 2], 0).is_some());
        assert!(!check.is_overdue(99, 100, 20));
        assert!(!check.is_overdue(100, 100, 20), "a pause may have hidden the answer");
        assert!(check.is_overdue(120, 100, 20));
        check.answered(121, zeros(), 5);
        assert!(!check.is_overdue(1_000, 100, 20) && check.retry_at().is_none());
    }
}
