//! Owns intended send times: exact, absolute, the same for every run of one rate and seed.
//! It reads no clock and keeps no queue: the backlog of a stalled target is a number, not memory.
//!
//! Evenly spread, message `n` of producer `p` out of `P` is message `n * P + p` of the whole run, and due when the rate's curve reaches it.
//! At random, each producer has a Poisson process of its own over the same curve: together they are one of the whole rate. Every time is
//! computed in 128 bits from the start, so nothing is summed up and nothing drifts, whatever the rate.

mod curve;
mod poisson;
mod rate;

use crate::clock::Nanos;
use curve::Curve;
use poisson::Arrivals;
pub use rate::{Rate, RateError};

/// How messages are spread over the time that the rate gives them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Spread {
    /// At equal distances.
    Even,
    /// At random, independently of each other (a Poisson process): what many users make together.
    Poisson,
}

/// The intended times of one producer.
#[derive(Debug, Clone)]
pub struct Schedule {
    start_ns: Nanos,
    producer: u64,
    producers: u64,
    /// None in a closed loop.
    curve: Option<Curve>,
    /// Two readers of one process, for they stand apart while a backlog is worked off: one for what is sent next, one for what is due.
    random: Option<(Arrivals, Arrivals)>,
}

impl Schedule {
    /// The schedule of `producer` (from 0) out of `producers`, beginning at `start_ns`.
    ///
    /// # Panics
    /// If `producer` is not below `producers`.
    #[must_use]
    pub fn new(rate: &Rate, start_ns: Nanos, producer: u32, producers: u32) -> Self {
        assert!(producer < producers);
        let (producer, producers) = (u64::from(producer), u64::from(producers));
        Self { curve: rate.curve(), start_ns, producer, producers, random: None }
    }

    /// The same rate at random times, drawn from `seed`.
    #[must_use]
    pub fn spread(mut self, spread: Spread, seed: u64) -> Self {
        self.random = self.curve.as_ref().filter(|_| spread == Spread::Poisson).map(|curve| {
            let seed = seed ^ self.producer.rotate_left(32);
            let arrivals = Arrivals::new(seed, curve.unit() * u128::from(self.producers));
            (arrivals.clone(), arrivals)
        });
        self
    }

    /// Whether messages are due by a clock, rather than when the window has room.
    #[must_use]
    pub fn is_open_loop(&self) -> bool {
        self.curve.is_some()
    }

    /// When message `sequence` (from 0) of this producer is due; `None` in a closed loop, where it is due
    /// when the window has room.
    #[must_use]
    pub fn due_ns(&mut self, sequence: u64) -> Option<Nanos> {
        let curve = self.curve.as_ref()?;
        let position = match &mut self.random {
            None => (u128::from(sequence) * u128::from(self.producers) + u128::from(self.producer)) * curve.unit(),
            Some((next, _)) => next.position(sequence),
        };
        Some(self.start_ns.saturating_add(curve.time_ns(position)))
    }

    /// How many messages of this producer are due at `now_ns`, that is have an intended time at or before it;
    /// 0 in a closed loop.
    #[must_use]
    pub fn due_count(&mut self, now_ns: Nanos) -> u64 {
        let Some(curve) = self.curve.as_ref().filter(|_| now_ns >= self.start_ns) else { return 0 };
        // A message is due at the last nanosecond that does not exceed its position: the next nanosecond does.
        let position = curve.position(now_ns - self.start_ns + 1);
        match &mut self.random {
            None => (position.div_ceil(curve.unit()) as u64 + self.producers - 1 - self.producer) / self.producers,
            Some((_, due)) => due.count(position),
        }
    }

    /// The mean time between two messages of this producer around `at_ns`; 0 in a closed loop.
    #[must_use]
    pub fn interval_ns(&self, at_ns: Nanos) -> f64 {
        let rate = self.curve.as_ref().map(|curve| curve.rate(at_ns.saturating_sub(self.start_ns)));
        rate.filter(|rate| *rate > 0.0).map_or(0.0, |rate| self.producers as f64 / rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SECOND_NS;

    fn constant(messages: u64, seconds: u64) -> Rate {
        Rate::Constant { messages, seconds }
    }

    #[test]
    fn no_drift_over_a_billion_intervals() {
        // 3 messages a second: an interval of 333333333.33 ns, that any rounding of the interval would show at once.
        let mut schedule = Schedule::new(&constant(3, 1), 17, 0, 1);
        assert_eq!(schedule.due_ns(3_000_000_000), Some(17 + 1_000_000_000 * SECOND_NS));
        // 700,000 a second from 7 producers: each sends exactly 100,000 a second.
        for producer in 0..7 {
            let mut schedule = Schedule::new(&constant(700_000, 1), 0, producer, 7);
            let first = schedule.due_ns(0).expect("open loop");
            assert_eq!(schedule.due_ns(1_000_000_000), Some(first + 10_000 * SECOND_NS));
        }
    }

    #[test]
    fn intervals_never_differ_by_more_than_one_nanosecond() {
        let mut schedule = Schedule::new(&constant(999_983, 1), 5, 0, 1);
        let mut before = schedule.due_ns(0).expect("open loop");
        for sequence in 1..200_000 {
            let due = schedule.due_ns(sequence).expect("open loop");
            let gap = (due - before) as f64;
            assert!((gap - schedule.interval_ns(due)).abs() < 1.0, "{gap} at {sequence}");
            before = due;
        }
    }

    #[test]
    fn due_count_is_the_inverse_of_due_ns() {
        for (messages, seconds, producers) in [(20_000, 1, 4), (3, 2, 2), (1_000_003, 7, 5), (1, 1, 1)] {
            for producer in 0..producers {
                let mut schedule = Schedule::new(&constant(messages, seconds), 1_000, producer, producers);
                assert_eq!(schedule.due_count(999), 0);
                for sequence in (0..500).chain(1_000_000..1_000_050) {
                    let due = schedule.due_ns(sequence).expect("open loop");
                    assert_eq!(schedule.due_count(due), sequence + 1);
                    assert!(schedule.due_count(due - 1) <= sequence);
                }
            }
        }
    }

    #[test]
    fn producers_are_staggered_evenly() {
        let due = |producer| Schedule::new(&constant(4_000, 1), 0, producer, 4).due_ns(0).expect("open loop");
        assert_eq!([due(0), due(1), due(2), due(3)], [0, 250_000, 500_000, 750_000]);
    }

    #[test]
    fn due_count_is_the_inverse_of_due_ns_for_every_form_and_spread() {
        for text in ["2k", "ramp:1k..5k/2s", "ramp:5k..0/2s", "steps:1k*500ms,0*1s,3k*1s", "bursts:10k/100ms/1s"] {
            let rate: Rate = text.parse().expect(text);
            for (spread, producer) in [(Spread::Even, 0), (Spread::Even, 2), (Spread::Poisson, 1)] {
                let mut schedule = Schedule::new(&rate, 1_000, producer, 3).spread(spread, 7);
                for sequence in (0..1_500).rev().step_by(7) {
                    let due = schedule.due_ns(sequence).expect("open loop");
                    if due == Nanos::MAX {
                        continue;
                    }
                    // At random two may share a nanosecond.
                    let count = schedule.due_count(due);
                    assert!(
                        count > sequence && schedule.due_count(due - 1) <= sequence,
                        "{text} {spread:?} {sequence}"
                    );
                    assert!(spread == Spread::Poisson || count == sequence + 1, "{text} {sequence}: {count}");
                }
            }
        }
    }

    #[test]
    fn producers_at_random_make_the_whole_rate_and_differ() {
        let rate = constant(30_000, 1);
        let at_ns = 10 * SECOND_NS;
        let mut schedules: Vec<_> =
            (0..3).map(|producer| Schedule::new(&rate, 0, producer, 3).spread(Spread::Poisson, 1)).collect();
        let counts: Vec<u64> = schedules.iter_mut().map(|schedule| schedule.due_count(at_ns)).collect();
        // 300,000 messages with a deviation of 548.
        assert!(counts.iter().sum::<u64>().abs_diff(300_000) < 2_700, "{counts:?}");
        assert!(counts[0] != counts[1] && counts[1] != counts[2], "{counts:?}");
    }
}
