//! Owns [`Curve`]: how many messages a rate has made due by a time, and when a given one is, in whole numbers only.
//!
//! A *position* counts messages in parts of `unit` each, from the start. A rate is so many positions a nanosecond, so constant rates and
//! their steps are exact, and a ramp's quadratic is cut to a whole position from the start each time: nothing is summed up.

use crate::clock::Nanos;

/// A part of a curve in which the rate goes from one value to another in a straight line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Segment {
    /// Its length; above 0.
    pub(super) length_ns: Nanos,
    /// Positions a nanosecond at its beginning.
    pub(super) from: u64,
    /// Positions a nanosecond at its end.
    pub(super) to: u64,
}

impl Segment {
    /// Positions in its first `time_ns`.
    fn position(&self, time_ns: Nanos) -> u128 {
        let (time, length) = (u128::from(time_ns), u128::from(self.length_ns));
        let straight = u128::from(self.from) * time;
        // floor(|to - from| * time^2 / (2 * length)) without leaving 128 bits
        let slope = u128::from(self.from.abs_diff(self.to)) * time;
        let (whole, rest) = (slope / (2 * length), slope % (2 * length));
        let bend = whole * time + rest * time / (2 * length);
        if self.to >= self.from { straight + bend } else { straight - bend }
    }

    fn positions(&self) -> u128 {
        self.position(self.length_ns)
    }

    /// The last nanosecond of it by which `position` was not exceeded; `position` lies within.
    fn time_ns(&self, position: u128) -> Nanos {
        if self.from == self.to {
            return (position / u128::from(self.from)) as Nanos;
        }
        let guess = self.guess_ns(position as f64).min(self.length_ns as f64) as Nanos;
        // Floating point is off by a few nanoseconds in a long ramp: gallop to both sides, then halve.
        let (mut low, mut high, mut step) = (guess, guess, 1);
        while low > 0 && self.position(low) > position {
            low = low.saturating_sub(step);
            step *= 2;
        }
        step = 1;
        while high < self.length_ns && self.position(high) <= position {
            high = (high + step).min(self.length_ns);
            step *= 2;
        }
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if self.position(middle) <= position { low = middle } else { high = middle }
        }
        low
    }

    /// The root of the ramp's quadratic in the form that does not cancel where the ramp is nearly flat.
    fn guess_ns(&self, position: f64) -> f64 {
        let (from, to) = (self.from as f64, self.to as f64);
        let slope = (to - from) / self.length_ns as f64;
        2.0 * position / (from + (from * from + 2.0 * slope * position).max(0.0).sqrt()).max(f64::MIN_POSITIVE)
    }

    fn rate(&self, time_ns: Nanos) -> f64 {
        let share = time_ns as f64 / self.length_ns as f64;
        self.from as f64 + (self.to as f64 - self.from as f64) * share
    }
}

/// What follows the last segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// This rate, for ever.
    Rate(u64),
    /// The first segment again.
    Repeat,
}

/// Messages due over time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Curve {
    /// Positions that make one message.
    unit: u128,
    segments: Vec<Segment>,
    end: End,
    period_ns: Nanos,
    period_positions: u128,
}

impl Curve {
    /// A curve whose rates are in messages per `seconds`.
    pub(super) fn new(seconds: u64, segments: Vec<Segment>, end: End) -> Self {
        let period_ns = segments.iter().map(|segment| segment.length_ns).sum();
        let period_positions = segments.iter().map(Segment::positions).sum();
        Self { unit: u128::from(seconds) * 1_000_000_000, segments, end, period_ns, period_positions }
    }

    pub(super) fn unit(&self) -> u128 {
        self.unit
    }

    /// Positions by `time_ns` after the start.
    pub(super) fn position(&self, time_ns: Nanos) -> u128 {
        let (mut position, mut time_ns) = match self.end {
            End::Repeat => (u128::from(time_ns / self.period_ns) * self.period_positions, time_ns % self.period_ns),
            End::Rate(rate) if time_ns >= self.period_ns => {
                return self.period_positions + u128::from(rate) * u128::from(time_ns - self.period_ns);
            }
            End::Rate(_) => (0, time_ns),
        };
        for segment in &self.segments {
            if time_ns < segment.length_ns {
                return position + segment.position(time_ns);
            }
            position += segment.positions();
            time_ns -= segment.length_ns;
        }
        position
    }

    /// The last nanosecond by which no more than `position` positions were due: when the message there is due.
    pub(super) fn time_ns(&self, position: u128) -> Nanos {
        let (mut time_ns, mut position) = match self.end {
            End::Repeat => {
                let periods = (position / self.period_positions) as Nanos;
                (periods.saturating_mul(self.period_ns), position % self.period_positions)
            }
            End::Rate(rate) if position >= self.period_positions => {
                let beyond = (position - self.period_positions).checked_div(u128::from(rate));
                let beyond_ns = beyond.and_then(|time| Nanos::try_from(time).ok()).unwrap_or(Nanos::MAX);
                return self.period_ns.saturating_add(beyond_ns);
            }
            End::Rate(_) => (0, position),
        };
        for segment in &self.segments {
            if position < segment.positions() {
                return time_ns.saturating_add(segment.time_ns(position));
            }
            position -= segment.positions();
            time_ns = time_ns.saturating_add(segment.length_ns);
        }
        time_ns
    }

    /// Messages a nanosecond at `time_ns` after the start; the mean of a period where nothing is due.
    pub(super) fn rate(&self, time_ns: Nanos) -> f64 {
        let at = |mut time_ns: Nanos| {
            self.segments.iter().find_map(|segment| {
                let within = (time_ns < segment.length_ns).then(|| segment.rate(time_ns));
                time_ns = time_ns.saturating_sub(segment.length_ns);
                within
            })
        };
        let rate = match self.end {
            End::Repeat => at(time_ns % self.period_ns).unwrap_or(0.0),
            End::Rate(rate) => at(time_ns).unwrap_or(rate as f64),
        };
        let mean = self.period_positions as f64 / self.period_ns.max(1) as f64;
        (if rate > 0.0 { rate } else { mean }) / self.unit as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Nanos = 1_000_000_000;

    fn segment(length_ns: Nanos, from: u64, to: u64) -> Segment {
        Segment { length_ns, from, to }
    }

    /// `time_ns` is the inverse of `position`, to the nanosecond.
    fn check_inverse(curve: &Curve, positions: impl Iterator<Item = u128>) {
        for position in positions {
            let time_ns = curve.time_ns(position);
            assert!(curve.position(time_ns) <= position, "{position}");
            assert!(curve.position(time_ns + 1) > position, "{position}: {time_ns} is not the last");
        }
    }

    #[test]
    fn a_ramp_makes_due_what_its_area_says() {
        let curve = Curve::new(1, vec![segment(10 * SECOND, 100, 300)], End::Rate(300));
        let messages = |seconds: Nanos| curve.position(seconds * SECOND) / curve.unit();
        assert_eq!([messages(0), messages(5), messages(10), messages(11)], [0, 750, 2000, 2300]);
        check_inverse(&curve, (0..3_000).map(|message| message * curve.unit()));
        let down = Curve::new(1, vec![segment(10 * SECOND, 300, 0)], End::Rate(5));
        assert_eq!(down.position(10 * SECOND) / down.unit(), 1500);
        check_inverse(&down, (0..1_600).map(|message| message * down.unit()));
    }

    #[test]
    fn a_day_long_ramp_at_a_hundred_million_a_second_stays_exact() {
        let day = 86_400 * SECOND;
        // Rates in millionths, as `1.000001` is written.
        let curve = Curve::new(1_000_000, vec![segment(day, 1, 100_000_000_000_000)], End::Rate(1));
        let expected = 50_000_000_u128 * 86_400;
        assert_eq!(curve.position(day) / curve.unit(), expected);
        check_inverse(&curve, (0..1_000).map(|part| expected * curve.unit() / 1_000 * part));
    }

    #[test]
    fn pauses_hold_nothing_and_repeat_without_drift() {
        let pause = vec![segment(SECOND / 5, 20_000, 20_000), segment(SECOND * 4 / 5, 0, 0)];
        let curve = Curve::new(1, pause, End::Repeat);
        let due = |message: u128| curve.time_ns(message * curve.unit());
        assert_eq!([due(0), due(3_999), due(4_000)], [0, 199_950_000, SECOND]);
        assert_eq!(due(4_000 * 1_000_000_000), 1_000_000_000 * SECOND);
        check_inverse(&curve, (0..20_000).map(|message| message * curve.unit()));
        assert!((curve.rate(SECOND / 10) * 1e9 - 20_000.0).abs() < 1e-6);
        assert!((curve.rate(SECOND / 2) * 1e9 - 4_000.0).abs() < 1e-6);
    }

    #[test]
    fn a_curve_that_ends_makes_nothing_due_afterwards() {
        let curve = Curve::new(1, vec![segment(SECOND, 10, 10)], End::Rate(0));
        assert_eq!(curve.position(100 * SECOND), curve.position(SECOND));
        assert_eq!(curve.time_ns(10 * curve.unit()), Nanos::MAX);
    }
}
