//! Owns what one thread of clients measures: histograms and counters, handed over to the recorder by one swap.
//!
//! The clients of a thread share one meter and lock it once per turn of their loops, so that the only other party, the
//! recorder with its ten visits a second, is the only possible contention.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use hdrhistogram::Histogram;

use crate::clock::Nanos;

/// The clients' mutexes guard plain data that is valid at every step, so a panic elsewhere does not spoil it.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Latencies in nanoseconds, each in a histogram of three significant digits that grows as needed.
#[derive(Debug, Clone)]
pub struct Histograms {
    /// Intended send time to confirmation: what a user of the schedule feels.
    pub response: Histogram<u64>,
    /// Last attempt to confirmation: what the broker took.
    pub service: Histogram<u64>,
    /// Intended send time to the last attempt: how late the client was, for whatever reason.
    pub delay: Histogram<u64>,
    /// Intended send time to arrival at a consumer.
    pub delivery: Histogram<u64>,
    /// Request and reply: intended send time to the arrival of the answer.
    pub round_trip: Histogram<u64>,
    /// How late the generator itself was: intended send time to attempt, where nothing held it up.
    pub lag: Histogram<u64>,
}

impl Histograms {
    /// The names of the histograms, in the order of `all`.
    pub const NAMES: [&'static str; 6] = ["response", "service", "delay", "delivery", "round_trip", "lag"];

    /// All of them, by the names.
    #[must_use]
    pub fn all(&self) -> [&Histogram<u64>; 6] {
        [&self.response, &self.service, &self.delay, &self.delivery, &self.round_trip, &self.lag]
    }

    pub(crate) fn all_mut(&mut self) -> [&mut Histogram<u64>; 6] {
        [
            &mut self.response,
            &mut self.service,
            &mut self.delay,
            &mut self.delivery,
            &mut self.round_trip,
            &mut self.lag,
        ]
    }

    /// Adds the samples of `other`. Empty ones are passed over: each has some hundred kilobytes of counters.
    pub fn add(&mut self, other: &Self) {
        for (sum, part) in self.all_mut().into_iter().zip(other.all()).filter(|(_, part)| !part.is_empty()) {
            // It fails only for a histogram that does not grow, and all of these do.
            sum.add(part).expect("an auto-resizing histogram takes every value");
        }
    }

    /// Forgets all samples and keeps the memory.
    pub fn reset(&mut self) {
        self.all_mut().into_iter().filter(|histogram| !histogram.is_empty()).for_each(Histogram::reset);
    }
}

impl Default for Histograms {
    fn default() -> Self {
        // Steps of 64 ns are below what a socket's round trip can show, and save a third of the memory.
        let make = || {
            let mut histogram =
                Histogram::new_with_bounds(100, 60_000_000_000, 3).expect("bounds in order, digits below 6");
            histogram.auto(true);
            histogram
        };
        Self { response: make(), service: make(), delay: make(), delivery: make(), round_trip: make(), lag: make() }
    }
}

/// Events since the last swap.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counters {
    /// Attempts handed to a connection.
    pub sent: u64,
    /// Of them, attempts after the first.
    pub resent: u64,
    /// Confirmations.
    pub confirmed: u64,
    /// Refusals.
    pub failed: u64,
    /// Attempts whose confirmation a lost connection took away.
    pub in_doubt: u64,
    /// Messages dropped by the backlog policy `shed`.
    pub shed: u64,
    /// Deliveries.
    pub delivered: u64,
    /// Acknowledgements confirmed by the broker.
    pub acknowledged: u64,
    /// Answers that a requester got.
    pub replies: u64,
    /// Connections that became usable.
    pub connected: u64,
    /// Connections that were lost.
    pub disconnected: u64,
}

impl Counters {
    /// Adds the counts of `other`.
    pub fn add(&mut self, other: &Self) {
        self.sent += other.sent;
        self.resent += other.resent;
        self.confirmed += other.confirmed;
        self.failed += other.failed;
        self.in_doubt += other.in_doubt;
        self.shed += other.shed;
        self.delivered += other.delivered;
        self.acknowledged += other.acknowledged;
        self.replies += other.replies;
        self.connected += other.connected;
        self.disconnected += other.disconnected;
    }
}

/// What a thread of clients measured since the last swap.
#[derive(Debug, Clone, Default)]
pub(crate) struct Readings {
    pub(crate) histograms: Histograms,
    pub(crate) counters: Counters,
}

impl Readings {
    /// Records a latency; a clock that ran backwards between two threads counts as zero, never as nothing.
    pub(crate) fn record(histogram: &mut Histogram<u64>, from_ns: Nanos, to_ns: Nanos) {
        // It fails only for a histogram that does not grow, and all of these do.
        histogram.record(to_ns.saturating_sub(from_ns)).expect("an auto-resizing histogram takes every value");
    }

    pub(crate) fn reset(&mut self) {
        self.histograms.reset();
        self.counters = Counters::default();
    }
}

/// The readings of one thread of clients.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    readings: Mutex<Readings>,
}

impl Meter {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Readings> {
        lock(&self.readings)
    }

    /// Takes what was measured, and leaves the empty readings in its place: a swap, so that the clients never wait.
    pub(crate) fn swap(&self, empty: &mut Readings) {
        std::mem::swap(&mut *self.lock(), empty);
    }
}

/// The present state of one client, for people to watch and for the run to wait on.
#[derive(Debug, Default)]
pub(crate) struct Gauges {
    /// Messages due and not sent.
    pub(crate) backlog: AtomicU64,
    /// Sends without an outcome, or acknowledgements without confirmation.
    pub(crate) in_flight: AtomicU64,
    /// Whether its link is usable.
    pub(crate) connected: AtomicBool,
    /// Producer: whether its part of the backlog that was asked for is in the queue.
    pub(crate) filled: AtomicBool,
    /// Producer: whether all that it will send is sent and answered.
    pub(crate) done: AtomicBool,
    /// Consumer: the last drain request that the broker answered.
    pub(crate) answered_probe: AtomicU64,
    /// Consumer: the last drain request that the broker answered with nothing.
    pub(crate) empty_probe: AtomicU64,
    /// Consumer: when the last message arrived.
    pub(crate) last_arrival_ns: AtomicU64,
}

impl Gauges {
    pub(crate) fn set(gauge: &AtomicU64, value: u64) {
        gauge.store(value, Ordering::Relaxed);
    }

    pub(crate) fn get(gauge: &AtomicU64) -> u64 {
        gauge.load(Ordering::Relaxed)
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.connected.load(Ordering::Relaxed)
    }

    pub(crate) fn is_filled(&self) -> bool {
        self.filled.load(Ordering::Relaxed)
    }

    pub(crate) fn is_done(&self) -> bool {
        self.done.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outages_of_any_length_are_recorded_and_merged() {
        let mut sum = Histograms::default();
        let mut part = Histograms::default();
        let hours_ns = 7 * 3_600 * 1_000_000_000;
        Readings::record(&mut part.response, 0, hours_ns);
        Readings::record(&mut part.response, 10, 5);
        sum.add(&part);
        sum.add(&part);
        assert_eq!(sum.response.len(), 4);
        assert!(sum.response.max() >= hours_ns);
        assert_eq!(sum.response.min(), 0);
        sum.reset();
        assert_eq!(sum.response.len(), 0);
    }
}
