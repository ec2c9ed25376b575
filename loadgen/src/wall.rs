//! Owns the way from the wall clock, which machines share, to CLOCK_MONOTONIC, which schedules use; and how a start time is written.

use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::clock::{Nanos, now_ns};
use crate::units::parse_duration;

/// Readings of both clocks: the tightest pair counts.
const READINGS: usize = 64;

/// When a schedule is to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartAt {
    /// At this time of the wall clock.
    Time(SystemTime),
    /// So long after the program started.
    After(Duration),
}

/// A start time that cannot be read or kept.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum StartError {
    /// Neither a time nor a distance.
    #[error("`{0}` is not a start: write a time such as 2026-11-26T12:00:00Z, or +10s")]
    Text(String),
    /// A time that lies before now.
    #[error("the start time passed {0:?} ago: choose a later --start-at")]
    Past(Duration),
}

impl FromStr for StartAt {
    type Err = StartError;

    fn from_str(text: &str) -> Result<Self, StartError> {
        let wrong = || StartError::Text(text.to_owned());
        if let Some(after) = text.strip_prefix('+') {
            return parse_duration(after).map(Self::After).map_err(|_| wrong());
        }
        humantime::parse_rfc3339(text).map(Self::Time).map_err(|_| wrong())
    }
}

/// What both clocks said at one moment.
#[derive(Debug, Clone, Copy)]
pub struct Wall {
    /// Nanoseconds since 1970.
    wall_ns: u128,
    monotonic_ns: Nanos,
    /// The wall clock was read within so many nanoseconds of `monotonic_ns`, on either side.
    uncertainty_ns: Nanos,
}

impl Wall {
    /// Reads both clocks.
    #[must_use]
    pub fn read() -> Self {
        let reading = |_| {
            let before_ns = now_ns();
            let wall_ns = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos());
            let width_ns = now_ns() - before_ns;
            Self { wall_ns, monotonic_ns: before_ns + width_ns / 2, uncertainty_ns: width_ns.div_ceil(2) }
        };
        let tightest = (0..READINGS).map(reading).min_by_key(|reading| reading.uncertainty_ns);
        tightest.unwrap_or_else(|| reading(0))
    }

    /// The start in nanoseconds of CLOCK_MONOTONIC, and a sentence that says how it was found and how exact it is.
    ///
    /// # Errors
    /// The time has passed.
    pub fn monotonic_ns(&self, start: &StartAt) -> Result<(Nanos, String), StartError> {
        let ahead = match start {
            StartAt::After(after) => *after,
            StartAt::Time(time) => {
                let wanted_ns = time.duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos());
                let nanos = |ns: u128| Duration::from_nanos(ns as u64);
                if wanted_ns < self.wall_ns {
                    return Err(StartError::Past(nanos(self.wall_ns - wanted_ns)));
                }
                nanos(wanted_ns - self.wall_ns)
            }
        };
        let start_ns = self.monotonic_ns + ahead.as_nanos() as Nanos;
        let at = humantime::format_rfc3339_nanos(UNIX_EPOCH + Duration::from_nanos(self.wall_ns as u64) + ahead);
        let said = format!(
            "start at {at}, that is CLOCK_MONOTONIC {start_ns} ns, within {} ns; between machines the error of their clocks comes on top",
            self.uncertainty_ns
        );
        Ok((start_ns, said))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_as_far_ahead_on_both_clocks() {
        let wall = Wall { wall_ns: 1_000_000_000_000_000_000, monotonic_ns: 500, uncertainty_ns: 40 };
        let check = |text: &str, expected: Result<Nanos, StartError>| {
            let start = text.parse::<StartAt>().expect(text);
            let found = wall.monotonic_ns(&start).map(|(start_ns, said)| {
                assert!(said.contains("within 40 ns"), "{said}");
                start_ns
            });
            assert_eq!(found, expected, "{text}");
        };
        check("+10s", Ok(10_000_000_500));
        check("2001-09-09T01:46:41.25Z", Ok(1_250_000_500));
        check("2001-09-09T01:46:39Z", Err(StartError::Past(Duration::from_secs(1))));
        for wrong in ["", "soon", "+", "2026-11-26", "10s"] {
            assert!(wrong.parse::<StartAt>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_clocks_are_read_close_together() {
        let (first, second) = (Wall::read(), Wall::read());
        assert!(first.uncertainty_ns < 1_000_000, "{first:?}");
        assert!(second.monotonic_ns >= first.monotonic_ns && second.wall_ns > 0);
    }
}
