//! Owns what the trials of a sweep found, and how it is told. What is tried next is `search`'s.

use std::fmt::{self, Write as _};
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

use crate::clock::Nanos;
use crate::report::latency;
use crate::series::{Interval, Percentiles, Series};
use crate::verdict::Ruling;

/// The name and version of the JSON document's form.
pub const SWEEP_SCHEMA: &str = "understudy.loadgen-sweep/1";
/// A backlog grows if it gains more than this share of what was offered meanwhile: half of it is noise of a window that fills and empties.
const GROWTH: f64 = 0.02;
/// ... and more than what this time holds: a burst in flight is no backlog.
const GROWTH_SECONDS: f64 = 0.005;

/// One trial at one rate.
#[derive(Debug, Clone, Serialize)]
pub struct Trial {
    /// The rate of the schedule.
    pub offered_per_s: f64,
    /// Confirmed messages a second while sending.
    pub confirmed_per_s: f64,
    /// Delivered messages a second while sending.
    pub delivered_per_s: f64,
    /// Intended send time to confirmation.
    pub response: Option<Percentiles>,
    /// Intended send time to arrival.
    pub delivery: Option<Percentiles>,
    /// The share of a core that the generator's busiest thread used.
    pub generator_cpu: Option<f64>,
    /// Why the target was not met; empty if it was.
    pub misses: Vec<String>,
    /// Why the trial proves nothing, if it does not.
    pub unfit: Option<String>,
    /// What the broker did wrong, if it did.
    pub violated: Option<String>,
}

impl Trial {
    /// Whether the rate was met. An unfit trial has not shown that.
    #[must_use]
    pub fn met(&self) -> bool {
        self.misses.is_empty() && self.unfit.is_none() && self.violated.is_none()
    }

    /// The trial in a line.
    #[must_use]
    pub fn line(&self) -> String {
        let point =
            |read: fn(&Percentiles) -> u64| self.response.as_ref().map_or_else(|| "-".to_owned(), |p| latency(read(p)));
        let why =
            [self.misses.join("; "), self.unfit.clone().unwrap_or_default(), self.violated.clone().unwrap_or_default()];
        let why: Vec<_> = why.into_iter().filter(|why| !why.is_empty()).collect();
        format!(
            "{:>10.0}/s offered {:>10.0}/s confirmed  p50 {:>9}  p99 {:>9}  p99.9 {:>9}  max {:>9}  {}",
            self.offered_per_s,
            self.confirmed_per_s,
            point(|points| points.p50_ns),
            point(|points| points.p99_ns),
            point(|points| points.p999_ns),
            point(|points| points.max_ns),
            if self.met() { "met".to_owned() } else { why.join("; ") }
        )
    }
}

/// Whether what was offered and not yet confirmed, or not yet delivered, became more and more in the trial after its warm-up.
#[must_use]
pub fn grows(series: &Series, warmup: Duration) -> bool {
    let begin_ns = series.start_ns + warmup.as_nanos() as Nanos;
    let (mut offered, mut confirmed, mut delivered) = (0_u64, 0_u64, 0_u64);
    let mut outstanding = Vec::new();
    for interval in &series.intervals {
        let Interval { counters, .. } = interval;
        offered += interval.offered;
        confirmed += counters.confirmed;
        delivered += counters.delivered;
        if interval.begin_ns >= begin_ns && interval.end_ns <= series.stop_ns {
            let behind = |done: u64| if done == 0 { 0 } else { offered.saturating_sub(done) };
            outstanding.push((offered as f64, behind(confirmed).max(behind(delivered)) as f64));
        }
    }
    let quarter = outstanding.len() / 4;
    if quarter == 0 {
        return false;
    }
    let mean = |part: &[(f64, f64)]| {
        let sum = part.iter().fold((0.0, 0.0), |sum, point| (sum.0 + point.0, sum.1 + point.1));
        (sum.0 / part.len() as f64, sum.1 / part.len() as f64)
    };
    let (early, late) = (mean(&outstanding[..quarter]), mean(&outstanding[outstanding.len() - quarter..]));
    let seconds = series.sending_seconds() - warmup.as_secs_f64();
    let (meanwhile, gained) = (late.0 - early.0, late.1 - early.1);
    let per_second = meanwhile / (seconds * 0.75).max(1e-9);
    gained > (meanwhile * GROWTH).max(per_second * GROWTH_SECONDS)
}

/// A point of the picture: a trial's rate, its latencies, and whether the target was met.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// The rate of the schedule.
    pub rate: f64,
    /// Latency of the response.
    pub response: Percentiles,
    /// Whether the target was met.
    pub met: bool,
}

/// All trials and the answer.
#[derive(Debug, Clone)]
pub struct Sweep {
    /// What had to hold.
    pub targets: Vec<String>,
    /// The trials in their order.
    pub trials: Vec<Trial>,
    /// The highest rate that met it, and whether it was confirmed as often as asked.
    pub answer: Option<(f64, bool)>,
    /// The lowest rate that did not.
    pub missed: Option<f64>,
    /// Whether somebody cut it short.
    pub interrupted: bool,
}

impl Sweep {
    /// Whether the answer stands, and why not.
    fn doubts(&self) -> Vec<String> {
        let mut doubts = Vec::new();
        if self.interrupted {
            doubts.push("the sweep was interrupted".to_owned());
        }
        match self.answer {
            None => doubts.push("no rate met the target".to_owned()),
            Some((_, false)) => doubts.push("the answer was not confirmed as often as asked".to_owned()),
            Some((_, true)) => {}
        }
        let at_missed = self.trials.iter().filter(|trial| Some(trial.offered_per_s) == self.missed);
        if at_missed.clone().any(|trial| trial.unfit.is_some() && trial.misses.is_empty()) {
            doubts.push("the generator, not the broker, ended the search: the rate is a lower bound".to_owned());
        }
        doubts
    }

    /// Whether a rate was found.
    #[must_use]
    pub fn ruling(&self) -> Ruling {
        if self.trials.iter().any(|trial| trial.violated.is_some()) {
            Ruling::Violated
        } else if self.doubts().is_empty() {
            Ruling::Pass
        } else {
            Ruling::Unknown
        }
    }

    /// The answer in words; the trials were told one by one.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::new();
        // Writing into a string cannot fail.
        self.write(&mut out).expect("a string takes everything");
        out
    }

    fn write(&self, out: &mut String) -> fmt::Result {
        for trial in &self.trials {
            writeln!(out, "{}", trial.line())?;
        }
        let target = self.targets.join(" and ");
        match (self.answer, self.missed) {
            (Some((rate, _)), Some(missed)) => writeln!(out, "{rate:.0}/s meets {target}; {missed:.0}/s does not")?,
            (Some((rate, _)), None) => writeln!(out, "{rate:.0}/s meets {target}; no higher rate was tried")?,
            (None, _) => writeln!(out, "no rate meets {target}")?,
        }
        for doubt in self.doubts() {
            writeln!(out, "{}: {doubt}", self.ruling())?;
        }
        writeln!(out, "verdict: {}", self.ruling())
    }

    /// All of it as one JSON document.
    #[must_use]
    pub fn json(&self) -> Value {
        json!({
            "schema": SWEEP_SCHEMA, "verdict": self.ruling().to_string(), "reasons": self.doubts(), "targets": self.targets,
            "rate_per_s": self.answer.map(|(rate, _)| rate), "missed_per_s": self.missed, "trials": self.trials,
        })
    }

    /// A line of names and a line for each trial.
    #[must_use]
    pub fn csv(&self) -> String {
        let mut out = "offered_per_s,confirmed_per_s,delivered_per_s,p50_us,p99_us,p999_us,max_us,met\n".to_owned();
        for trial in &self.trials {
            let point = |read: fn(&Percentiles) -> u64| {
                trial.response.as_ref().map_or_else(String::new, |points| format!("{:.3}", read(points) as f64 / 1e3))
            };
            writeln!(
                out,
                "{},{:.1},{:.1},{},{},{},{},{}",
                trial.offered_per_s,
                trial.confirmed_per_s,
                trial.delivered_per_s,
                point(|points| points.p50_ns),
                point(|points| points.p99_ns),
                point(|points| points.p999_ns),
                point(|points| points.max_ns),
                trial.met()
            )
            .expect("a string takes everything");
        }
        out
    }

    /// What the picture shows, by rate.
    #[must_use]
    pub fn points(&self) -> Vec<Point> {
        let point =
            |trial: &Trial| Some(Point { rate: trial.offered_per_s, response: trial.response?, met: trial.met() });
        let mut points: Vec<Point> = self.trials.iter().filter_map(point).collect();
        points.sort_by(|one, other| one.rate.total_cmp(&other.rate));
        points
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten seconds in which `offered` messages come and `done` are confirmed in each tenth.
    fn series(offered: u64, done: impl Fn(u64) -> u64) -> Series {
        let interval = |number: u64| {
            let mut interval = Interval { begin_ns: 1 + number * 100_000_000, offered, ..Interval::default() };
            interval.end_ns = interval.begin_ns + 100_000_000;
            interval.counters.confirmed = done(number);
            interval
        };
        Series {
            start_ns: 1,
            stop_ns: 10_000_000_001,
            intervals: (0..100).map(interval).collect(),
            ..Series::default()
        }
    }

    #[test]
    fn a_backlog_that_grows_is_seen_and_a_steady_one_is_not() {
        let warmup = Duration::from_secs(1);
        assert!(!grows(&series(1_000, |_| 1_000), warmup));
        assert!(!grows(&series(1_000, |number| if number == 0 { 100 } else { 1_000 }), warmup), "a steady one");
        assert!(!grows(&series(1_000, |number| 990 + number % 2 * 20), warmup), "one that swings");
        assert!(grows(&series(1_000, |_| 950), warmup));
        assert!(!grows(&series(1_000, |number| if number < 50 { 990 } else { 1_010 }), warmup), "one that goes again");
    }

    fn trial(rate: f64, misses: &[&str], unfit: Option<&str>) -> Trial {
        Trial {
            offered_per_s: rate,
            confirmed_per_s: rate,
            delivered_per_s: rate,
            response: Some(Percentiles { p99_ns: 1_500, ..Percentiles::default() }),
            delivery: None,
            generator_cpu: Some(0.5),
            misses: misses.iter().map(|text| (*text).to_owned()).collect(),
            unfit: unfit.map(str::to_owned),
            violated: None,
        }
    }

    fn sweep(trials: Vec<Trial>, answer: Option<(f64, bool)>) -> Sweep {
        Sweep { targets: vec!["p99<5ms".to_owned()], trials, answer, missed: Some(200.0), interrupted: false }
    }

    #[test]
    fn an_answer_stands_if_the_broker_ended_the_search() {
        let missed = trial(200.0, &["p99<5ms does not hold"], None);
        let found = sweep(vec![trial(100.0, &[], None), missed.clone()], Some((100.0, true)));
        assert_eq!(found.ruling(), Ruling::Pass);
        assert!(found.text().contains("100/s meets p99<5ms; 200/s does not"), "{}", found.text());
        let by_us = sweep(vec![trial(100.0, &[], None), trial(200.0, &[], Some("late"))], Some((100.0, true)));
        assert_eq!(by_us.ruling(), Ruling::Unknown);
        assert!(by_us.text().contains("lower bound"), "{}", by_us.text());
        assert_eq!(sweep(vec![missed.clone()], None).ruling(), Ruling::Unknown);
        assert_eq!(sweep(vec![missed.clone()], Some((100.0, false))).ruling(), Ruling::Unknown);
        let lost = Trial { violated: Some("1 lost".to_owned()), ..missed };
        assert_eq!(sweep(vec![lost], Some((100.0, true))).ruling(), Ruling::Violated);
    }

    #[test]
    fn every_trial_has_a_line_and_a_point() {
        let found = sweep(vec![trial(200.0, &["slow"], None), trial(100.0, &[], None)], Some((100.0, true)));
        let csv = found.csv();
        let lines: Vec<_> = csv.lines().collect();
        assert_eq!(lines[2], "100,100.0,100.0,0.000,1.500,0.000,0.000,true");
        assert_eq!(
            found.points().iter().map(|point| (point.rate, point.met)).collect::<Vec<_>>(),
            [(100.0, true), (200.0, false)]
        );
        assert_eq!(found.json()["trials"][0]["misses"][0], "slow");
    }
}
