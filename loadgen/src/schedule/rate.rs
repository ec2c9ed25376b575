//! Owns [`Rate`]: what the producers aim at, all of them together, and how that is written.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::curve::{Curve, End, Segment};
use crate::clock::Nanos;
use crate::units::parse_duration;

/// Rates are read to a millionth of a message a second.
const SECONDS: u64 = 1_000_000;

/// What the producers aim at, all of them together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rate {
    /// Closed loop: a message is due as soon as the window has room.
    Max,
    /// Open loop: `messages` per `seconds`.
    Constant {
        /// Messages per `seconds`; above 0.
        messages: u64,
        /// Seconds that `messages` are spread over; above 0.
        seconds: u64,
    },
    /// Open loop: from one rate to another in a straight line, which then stays.
    Ramp {
        /// Messages per 1,000,000 seconds at the start.
        from: u64,
        /// Messages per 1,000,000 seconds at the end and after it.
        to: u64,
        /// How long it takes.
        over: Duration,
    },
    /// Open loop: one rate after the other, each for its time; the last one stays. Messages per 1,000,000 seconds.
    Steps(Vec<(u64, Duration)>),
    /// Open loop: a rate for a while, then nothing, again and again.
    Bursts {
        /// Messages per 1,000,000 seconds within a burst.
        rate: u64,
        /// Length of a burst.
        on: Duration,
        /// From one burst's beginning to the next one's.
        every: Duration,
    },
}

impl Rate {
    /// Messages a second where that is one number; `None` for a closed loop, and for a rate that changes.
    #[must_use]
    pub fn per_second(&self) -> Option<f64> {
        match self {
            Self::Constant { messages, seconds } => Some(*messages as f64 / *seconds as f64),
            Self::Max | Self::Ramp { .. } | Self::Steps(_) | Self::Bursts { .. } => None,
        }
    }

    /// What is due over time; `None` for a closed loop.
    pub(super) fn curve(&self) -> Option<Curve> {
        let segment = |from, to, length: Duration| Segment { length_ns: length.as_nanos() as Nanos, from, to };
        Some(match self {
            Self::Max => return None,
            Self::Constant { messages, seconds } => Curve::new(*seconds, Vec::new(), End::Rate(*messages)),
            Self::Ramp { from, to, over } => Curve::new(SECONDS, vec![segment(*from, *to, *over)], End::Rate(*to)),
            Self::Steps(steps) => {
                let segments = steps.iter().map(|(rate, length)| segment(*rate, *rate, *length)).collect();
                Curve::new(SECONDS, segments, End::Rate(steps.last().map_or(0, |(rate, _)| *rate)))
            }
            Self::Bursts { rate, on, every } => {
                Curve::new(SECONDS, vec![segment(*rate, *rate, *on), segment(0, 0, *every - *on)], End::Repeat)
            }
        })
    }
}

/// A rate in messages per 1,000,000 seconds, as a person reads it.
fn shown(rate: u64) -> f64 {
    rate as f64 / SECONDS as f64
}

impl fmt::Display for Rate {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Max => out.write_str("max"),
            Self::Constant { messages, seconds } => write!(out, "{}/s", *messages as f64 / *seconds as f64),
            Self::Ramp { from, to, over } => write!(out, "{}/s to {}/s in {over:?}", shown(*from), shown(*to)),
            Self::Steps(steps) => {
                let steps: Vec<_> =
                    steps.iter().map(|(rate, length)| format!("{}/s for {length:?}", shown(*rate))).collect();
                out.write_str(&steps.join(", "))
            }
            Self::Bursts { rate, on, every } => write!(out, "{}/s for {on:?} every {every:?}", shown(*rate)),
        }
    }
}

/// Why a rate could not be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "`{0}` is not a rate: write `max`, messages a second such as 20000, 20k, 1.5M or 0.5, `ramp:1k..50k/30s`, \
     `steps:1k*10s,5k*10s`, or `bursts:20k/200ms/1s` (rate, length, period)"
)]
pub struct RateError(String);

impl FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Self, RateError> {
        let rate = match text.split_once(':') {
            None if text.eq_ignore_ascii_case("max") => Some(Self::Max),
            None => number(text).map(|(messages, seconds)| Self::Constant { messages, seconds }),
            Some(("ramp", rest)) => ramp(rest),
            Some(("steps", rest)) => rest.split(',').map(step).collect::<Option<_>>().map(Self::Steps),
            Some(("bursts", rest)) => bursts(rest),
            Some(_) => None,
        };
        // A curve without any messages would never begin.
        rate.filter(Self::sends).ok_or_else(|| RateError(text.to_owned()))
    }
}

impl Rate {
    fn sends(&self) -> bool {
        match self {
            Self::Max => true,
            Self::Constant { messages, .. } => *messages > 0,
            Self::Ramp { from, to, .. } => from.max(to) > &0,
            Self::Steps(steps) => steps.iter().any(|(rate, _)| *rate > 0),
            Self::Bursts { rate, .. } => *rate > 0,
        }
    }
}

fn ramp(text: &str) -> Option<Rate> {
    let (rates, over) = text.split_once('/')?;
    let (from, to) = rates.split_once("..")?;
    Some(Rate::Ramp { from: millionths(from)?, to: millionths(to)?, over: length(over)? })
}

fn step(text: &str) -> Option<(u64, Duration)> {
    let (rate, time) = text.split_once('*')?;
    Some((millionths(rate)?, length(time)?))
}

fn bursts(text: &str) -> Option<Rate> {
    let (rate, times) = text.split_once('/')?;
    let (on, every) = times.split_once('/')?;
    let (on, every) = (length(on)?, length(every)?);
    (on < every).then_some(Rate::Bursts { rate: millionths(rate)?, on, every })
}

fn length(text: &str) -> Option<Duration> {
    parse_duration(text).ok().filter(|length| !length.is_zero())
}

fn millionths(text: &str) -> Option<u64> {
    let (messages, seconds) = number(text.trim())?;
    // 10^8 messages a second keep every product of a day's ramp within 128 bits.
    Some(messages * (SECONDS / seconds)).filter(|rate| *rate <= 100_000_000 * SECONDS)
}

/// Messages, and the seconds that they are spread over.
fn number(text: &str) -> Option<(u64, u64)> {
    let (number, unit) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 1_000),
        Some(b'm' | b'M') => (&text[..text.len() - 1], 1_000_000),
        _ => (text, 1),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || whole.len() + fraction.len() > 12 || fraction.len() > 6 {
        return None;
    }
    let digits = format!("{whole}{fraction}");
    let scaled: u64 = digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())??;
    Some((scaled * unit, 10_u64.pow(fraction.len() as u32)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_exactly() {
        let check = |text: &str, expected: Option<Rate>| assert_eq!(text.parse().ok(), expected, "{text}");
        let constant = |messages, seconds| Some(Rate::Constant { messages, seconds });
        let seconds = Duration::from_secs;
        check("max", Some(Rate::Max));
        check("20000", constant(20_000, 1));
        check("20k", constant(20_000, 1));
        check("1.5M", constant(15_000_000, 10));
        check("0.25", constant(25, 100));
        check("ramp:0..1k/30s", Some(Rate::Ramp { from: 0, to: 1_000 * SECONDS, over: seconds(30) }));
        check(
            "steps:1*10s,0*1s,2.5*1s",
            Some(Rate::Steps(vec![(SECONDS, seconds(10)), (0, seconds(1)), (2_500_000, seconds(1))])),
        );
        let bursts = Rate::Bursts { rate: 20_000 * SECONDS, on: Duration::from_millis(200), every: seconds(1) };
        check("bursts:20k/200ms/1s", Some(bursts));
        let wrong = ["", "0", "0.0", "-1", "1.2.3", "k", "1e6", "fast", ".5", "99999999999999999999", "ramp:1k/3s"];
        let more = ["ramp:0..0/1s", "ramp:1..2/0s", "steps:", "steps:0*1s", "steps:1k", "bursts:1k/1s/1s", "waves:1k"];
        for wrong in wrong.into_iter().chain(more) {
            check(wrong, None);
        }
    }
}
