//! Owns intended send times: exact, absolute, the same for every run of one rate.
//! It reads no clock and keeps no queue: the backlog of a stalled target is a number, not memory.
//!
//! Message `n` of producer `p` out of `P` is message `n * P + p` of the whole run and is due
//! `(n * P + p) / rate` after the start. The quotient is taken in 128 bits from the start each time,
//! so nothing is summed up and nothing drifts, whatever the rate.

use std::fmt;
use std::str::FromStr;

use crate::clock::{Nanos, SECOND_NS};

/// What the producers aim at, all of them together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rate {
    /// Closed loop: a message is due as soon as the window has room.
    Max,
    /// Open loop: `messages` per `seconds`, evenly spread.
    Constant {
        /// Messages per `seconds`; above 0.
        messages: u64,
        /// Seconds that `messages` are spread over; above 0.
        seconds: u64,
    },
}

impl Rate {
    /// Messages a second; `None` for a closed loop.
    #[must_use]
    pub fn per_second(self) -> Option<f64> {
        match self {
            Self::Max => None,
            Self::Constant { messages, seconds } => Some(messages as f64 / seconds as f64),
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.per_second() {
            None => out.write_str("max"),
            Some(rate) => write!(out, "{rate}/s"),
        }
    }
}

/// Why a rate could not be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not a rate: write `max`, or messages a second such as 20000, 20k, 1.5M or 0.5")]
pub struct RateError(String);

impl FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Self, RateError> {
        let refused = || RateError(text.to_owned());
        if text.eq_ignore_ascii_case("max") {
            return Ok(Self::Max);
        }
        let (number, unit) = match text.as_bytes().last() {
            Some(b'k' | b'K') => (&text[..text.len() - 1], 1_000),
            Some(b'm' | b'M') => (&text[..text.len() - 1], 1_000_000),
            _ => (text, 1),
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.len() + fraction.len() > 12 || fraction.len() > 6 || !digits(whole) || !digits_or_none(fraction) {
            return Err(refused());
        }
        let scaled: u64 = format!("{whole}{fraction}").parse().map_err(|_| refused())?;
        let messages = scaled * unit;
        let seconds = 10_u64.pow(fraction.len() as u32);
        if messages == 0 { Err(refused()) } else { Ok(Self::Constant { messages, seconds }) }
    }
}

fn digits(text: &str) -> bool {
    !text.is_empty() && digits_or_none(text)
}

fn digits_or_none(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The intended times of one producer.
#[derive(Debug, Clone)]
pub struct Schedule {
    rate: Rate,
    start_ns: Nanos,
    producer: u64,
    producers: u64,
}

impl Schedule {
    /// The schedule of `producer` (from 0) out of `producers`, beginning at `start_ns`.
    ///
    /// # Panics
    /// If `producer` is not below `producers`.
    #[must_use]
    pub fn new(rate: Rate, start_ns: Nanos, producer: u32, producers: u32) -> Self {
        assert!(producer < producers);
        Self { rate, start_ns, producer: u64::from(producer), producers: u64::from(producers) }
    }

    /// When message `sequence` (from 0) of this producer is due; `None` in a closed loop, where it is due
    /// when the window has room.
    #[must_use]
    pub fn due_ns(&self, sequence: u64) -> Option<Nanos> {
        let Rate::Constant { messages, seconds } = self.rate else { return None };
        let number = u128::from(sequence) * u128::from(self.producers) + u128::from(self.producer);
        let offset = number * u128::from(seconds) * u128::from(SECOND_NS) / u128::from(messages);
        Some(self.start_ns + offset as u64)
    }

    /// How many messages of this producer are due at `now_ns`, that is have an intended time at or before it;
    /// 0 in a closed loop.
    #[must_use]
    pub fn due_count(&self, now_ns: Nanos) -> u64 {
        let Rate::Constant { messages, seconds } = self.rate else { return 0 };
        if now_ns < self.start_ns {
            return 0;
        }
        // number n is due iff floor(n * seconds * 1e9 / messages) <= elapsed, that is n * unit < (elapsed + 1) * messages
        let elapsed = u128::from(now_ns - self.start_ns);
        let unit = u128::from(seconds) * u128::from(SECOND_NS);
        let total = ((elapsed + 1) * u128::from(messages)).div_ceil(unit) as u64;
        (total + self.producers - 1 - self.producer) / self.producers
    }

    /// The time between two messages of this producer, rounded down; 0 in a closed loop.
    #[must_use]
    pub fn interval_ns(&self) -> Nanos {
        let Rate::Constant { messages, seconds } = self.rate else { return 0 };
        (u128::from(self.producers) * u128::from(seconds) * u128::from(SECOND_NS) / u128::from(messages)) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn constant(messages: u64, seconds: u64) -> Rate {
        Rate::Constant { messages, seconds }
    }

    #[test]
    fn no_drift_over_a_billion_intervals() {
        // 3 messages a second: an interval of 333333333.33 ns, that any rounding of the interval would show at once.
        let schedule = Schedule::new(constant(3, 1), 17, 0, 1);
        assert_eq!(schedule.due_ns(3_000_000_000), Some(17 + 1_000_000_000 * SECOND_NS));
        // 700,000 a second from 7 producers: each sends exactly 100,000 a second.
        for producer in 0..7 {
            let schedule = Schedule::new(constant(700_000, 1), 0, producer, 7);
            let first = schedule.due_ns(0).expect("open loop");
            assert_eq!(schedule.due_ns(1_000_000_000), Some(first + 10_000 * SECOND_NS));
        }
    }

    #[test]
    fn intervals_never_differ_by_more_than_one_nanosecond() {
        let schedule = Schedule::new(constant(999_983, 1), 5, 0, 1);
        let mut before = schedule.due_ns(0).expect("open loop");
        for sequence in 1..200_000 {
            let due = schedule.due_ns(sequence).expect("open loop");
            let gap = due - before;
            assert!(gap == schedule.interval_ns() || gap == schedule.interval_ns() + 1, "{gap} at {sequence}");
            before = due;
        }
    }

    #[test]
    fn due_count_is_the_inverse_of_due_ns() {
        for (messages, seconds, producers) in [(20_000, 1, 4), (3, 2, 2), (1_000_003, 7, 5), (1, 1, 1)] {
            for producer in 0..producers {
                let schedule = Schedule::new(constant(messages, seconds), 1_000, producer, producers);
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
        let due = |producer| Schedule::new(constant(4_000, 1), 0, producer, 4).due_ns(0).expect("open loop");
        assert_eq!([due(0), due(1), due(2), due(3)], [0, 250_000, 500_000, 750_000]);
    }

    #[test]
    fn rates_are_read_exactly() {
        let check = |text: &str, expected: Option<Rate>| assert_eq!(text.parse().ok(), expected, "{text}");
        check("max", Some(Rate::Max));
        check("20000", Some(constant(20_000, 1)));
        check("20k", Some(constant(20_000, 1)));
        check("1.5M", Some(constant(15_000_000, 10)));
        check("0.25", Some(constant(25, 100)));
        for wrong in ["", "0", "0.0", "-1", "1.2.3", "k", "1e6", "fast", ".5", "99999999999999999999"] {
            check(wrong, None);
        }
    }
}
