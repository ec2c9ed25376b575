//! Owns the comparison of two sets of runs: how their latencies and rates differ, how sure that is, and what it means. It reads no file.

use std::fmt::{self, Write as _};

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::bootstrap::{Counts, Sampled, interval95};
use crate::hlog::Entry;
use crate::meter::Histograms;
use crate::report::latency;
use crate::verdict::Ruling;

/// The name and version of the JSON document's form.
pub const COMPARE_SCHEMA: &str = "understudy.loadgen-compare/1";
/// With fewer intervals on a side the bootstrap says little: two seconds.
const INTERVALS_MIN: usize = 20;

/// A figure that is compared.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Figure {
    /// Samples a second.
    Rate,
    /// A quantile of the latency.
    Latency(f64),
}

const FIGURES: [(&str, Figure); 4] = [
    ("rate", Figure::Rate),
    ("p50", Figure::Latency(0.5)),
    ("p99", Figure::Latency(0.99)),
    ("p99.9", Figure::Latency(0.999)),
];

/// What the difference of a figure means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// The whole interval is worse than the tolerance.
    Worse,
    /// The whole interval is better than the tolerance.
    Better,
    /// The whole interval lies within the tolerance.
    Same,
    /// The interval holds both: more or longer runs would tell.
    Undecided,
}

impl fmt::Display for Change {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(match self {
            Self::Worse => "worse",
            Self::Better => "better",
            Self::Same => "same",
            Self::Undecided => "undecided",
        })
    }
}

/// The difference of one figure.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// Histogram and figure, such as `response.p99`; rates are samples a second.
    pub figure: String,
    /// Its value in the base: nanoseconds, or a second.
    pub base: f64,
    /// Its value in the new runs.
    pub new: f64,
    /// `new / base - 1`, in percent.
    pub change_percent: f64,
    /// The 95 % interval of that, in percent.
    pub ci95_percent: [f64; 2],
    /// What it means.
    pub change: Change,
}

/// How a comparison is made.
#[derive(Debug, Clone)]
pub struct Comparison {
    /// Differences up to this many percent do not matter.
    pub tolerance_percent: f64,
    /// Runs put together by the bootstrap: a thousand and more for the ends of a 95 % interval.
    pub resamples: usize,
    /// Makes the resampling repeatable.
    pub seed: u64,
    /// The figures that decide, such as `response.p99`; all if there is none.
    pub gate: Vec<String>,
}

/// What a comparison found.
#[derive(Debug, Clone, Serialize)]
pub struct Compared {
    /// The form of this document.
    pub schema: &'static str,
    /// Makes the resampling repeatable.
    pub seed: u64,
    /// Runs put together by the bootstrap.
    pub resamples: usize,
    /// Differences up to this many percent do not matter.
    pub tolerance_percent: f64,
    /// One for each figure that both sides have.
    pub differences: Vec<Difference>,
    /// Why nothing follows from it, one sentence each.
    pub reasons: Vec<String>,
    /// `pass`, `violated` or `unknown`.
    pub verdict: String,
    #[serde(skip)]
    ruling: Ruling,
}

impl Comparison {
    /// Compares the logs of the base with those of the new runs.
    #[must_use]
    pub fn compare(&self, base: &[Vec<Entry>], new: &[Vec<Entry>]) -> Compared {
        let (mut differences, mut reasons) = (Vec::new(), Vec::new());
        // Lag is the generator's own, and delay is contained in response.
        for name in Histograms::NAMES.iter().filter(|name| !["lag", "delay"].contains(*name)) {
            let (Some(base), Some(new)) = (sampled(base, name), sampled(new, name)) else { continue };
            let fewest = base.intervals().min(new.intervals());
            if fewest < INTERVALS_MIN {
                reasons.push(format!(
                    "{name}: {fewest} intervals are too few, {INTERVALS_MIN} are needed: run for longer"
                ));
            }
            differences.extend(self.differences(name, &base, &new));
        }
        if differences.is_empty() {
            reasons.push("no histogram was measured on both sides".to_owned());
        }
        let missing = self.gate.iter().filter(|name| !differences.iter().any(|found| found.figure == **name));
        reasons.extend(missing.map(|name| format!("{name} was not measured on both sides")));
        let ruling = self.ruling(&differences, &reasons);
        let (schema, seed, resamples, verdict) = (COMPARE_SCHEMA, self.seed, self.resamples, ruling.to_string());
        let tolerance_percent = self.tolerance_percent;
        Compared { schema, seed, resamples, tolerance_percent, differences, reasons, verdict, ruling }
    }

    fn differences(&self, name: &str, base: &Sampled, new: &Sampled) -> Vec<Difference> {
        let mut random = fastrand::Rng::with_seed(self.seed);
        let value = |figure: Figure, of: &Sampled, counts: &Counts<'_>| match figure {
            Figure::Rate => Some(of.rate(counts)),
            Figure::Latency(quantile) => counts.quantile(quantile).map(|value| value as f64),
        };
        let percent = |base: f64, new: f64| (new / base - 1.0) * 100.0;
        let mut drawn = vec![Vec::with_capacity(self.resamples); FIGURES.len()];
        for _ in 0..self.resamples {
            let (base_counts, new_counts) = (base.draw(&mut random), new.draw(&mut random));
            for ((_, figure), drawn) in FIGURES.iter().zip(&mut drawn) {
                let pair = value(*figure, base, &base_counts).zip(value(*figure, new, &new_counts));
                drawn.extend(pair.map(|(base, new)| percent(base, new)));
            }
        }
        let difference = |((figure_name, figure), drawn): (&(&str, Figure), Vec<f64>)| {
            let base = value(*figure, base, &base.all())?;
            let new = value(*figure, new, &new.all())?;
            let (low, high) = interval95(drawn)?;
            Some(Difference {
                figure: format!("{name}.{figure_name}"),
                base,
                new,
                change_percent: percent(base, new),
                ci95_percent: [low, high],
                change: change(*figure, low, high, self.tolerance_percent),
            })
        };
        FIGURES.iter().zip(drawn).filter_map(difference).collect()
    }

    fn ruling(&self, differences: &[Difference], reasons: &[String]) -> Ruling {
        let decides = |found: &&Difference| self.gate.is_empty() || self.gate.contains(&found.figure);
        if !reasons.is_empty() {
            Ruling::Unknown
        } else if differences.iter().filter(decides).any(|found| found.change == Change::Worse) {
            Ruling::Violated
        } else {
            Ruling::Pass
        }
    }
}

/// More latency is worse, more rate is better.
fn change(figure: Figure, low: f64, high: f64, tolerance: f64) -> Change {
    let (worst, best) = if figure == Figure::Rate { (-low, -high) } else { (high, low) };
    if best > tolerance {
        Change::Worse
    } else if worst < -tolerance {
        Change::Better
    } else if worst <= tolerance && best >= -tolerance {
        Change::Same
    } else {
        Change::Undecided
    }
}

/// The steady intervals of one histogram; `None` if no run has any.
fn sampled(logs: &[Vec<Entry>], tag: &str) -> Option<Sampled> {
    let runs: Vec<Vec<Histogram<u64>>> = logs.iter().map(|log| intervals(log, tag)).collect();
    let lengths: Vec<f64> =
        logs.iter().flatten().filter(|entry| entry.tag == tag).map(|e| e.length.as_secs_f64()).collect();
    let seconds = lengths.iter().sum::<f64>() / lengths.len() as f64;
    (!lengths.is_empty()).then(|| Sampled::new(&runs, seconds))
}

/// The intervals of one run, with an empty one for each in which nothing was measured: an outage has no samples, and counts.
fn intervals(log: &[Entry], tag: &str) -> Vec<Histogram<u64>> {
    let mut intervals: Vec<Histogram<u64>> = Vec::new();
    let mut end = None;
    for entry in log.iter().filter(|entry| entry.tag == tag) {
        let gap = end.map_or(0.0, |end| entry.begin.saturating_sub(end).as_secs_f64());
        let silent = (gap / entry.length.as_secs_f64().max(1e-6)).round() as usize;
        intervals.extend((0..silent).map(|_| Histogram::new_from(&entry.histogram)));
        intervals.push(entry.histogram.clone());
        end = Some(entry.begin + entry.length);
    }
    intervals
}

impl Compared {
    /// Whether the new runs are no worse.
    #[must_use]
    pub fn ruling(&self) -> Ruling {
        self.ruling
    }

    /// The comparison in words.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::new();
        // Writing into a string cannot fail.
        self.write(&mut out).expect("a string takes everything");
        out
    }

    fn write(&self, out: &mut String) -> fmt::Result {
        let columns = ["base", "new", "change"].map(|name| format!(" {name:>12}"));
        writeln!(out, "{:<18}{} {:>22}", "figure", columns.concat(), "95 % interval")?;
        for found in &self.differences {
            let shown = |value: f64| {
                if found.figure.ends_with("rate") { format!("{value:.0}/s") } else { latency(value as u64) }
            };
            let [low, high] = found.ci95_percent;
            let interval = format!("{low:+.1} % to {high:+.1} %");
            let (base, new, change) = (shown(found.base), shown(found.new), found.change_percent);
            writeln!(
                out,
                "{:<18} {base:>12} {new:>12} {change:>+10.1} % {interval:>22}  {}",
                found.figure, found.change
            )?;
        }
        writeln!(
            out,
            "block bootstrap over intervals, {} resamples, seed {}; differences up to {} % do not count",
            self.resamples, self.seed, self.tolerance_percent
        )?;
        for reason in &self.reasons {
            writeln!(out, "{}: {reason}", self.verdict)?;
        }
        writeln!(out, "verdict: {}", self.verdict)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Ten intervals a second with some scatter; `slower` multiplies every latency.
    fn log(seed: u64, seconds: u64, slower: f64) -> Vec<Entry> {
        let mut random = fastrand::Rng::with_seed(seed);
        let entry = |number: u64| {
            let mut histogram = Histogram::new(3).expect("three digits");
            for _ in 0..100 {
                let value_ns = (100_000.0 + 50_000.0 * random.f64()) * slower;
                histogram.record(value_ns as u64).expect("in range");
            }
            let length = Duration::from_millis(100);
            Entry { tag: "response".to_owned(), begin: length * number as u32, length, histogram }
        };
        (0..seconds * 10).map(entry).collect()
    }

    fn compare(base: &[Vec<Entry>], new: &[Vec<Entry>], gate: &[&str]) -> Compared {
        let gate = gate.iter().map(|name| (*name).to_owned()).collect();
        Comparison { tolerance_percent: 3.0, resamples: 200, seed: 1, gate }.compare(base, new)
    }

    #[test]
    fn equal_runs_pass_and_slower_ones_do_not() {
        let base = [log(1, 10, 1.0)];
        let same = compare(&base, &[log(2, 10, 1.0)], &[]);
        assert_eq!(same.ruling(), Ruling::Pass, "{}", same.text());
        assert!(same.differences.iter().all(|found| found.change == Change::Same), "{}", same.text());
        let worse = compare(&base, &[log(3, 10, 1.2)], &[]);
        assert_eq!(worse.ruling(), Ruling::Violated);
        let p99 = worse.differences.iter().find(|found| found.figure == "response.p99").expect("compared");
        assert!(p99.ci95_percent[0] > 15.0 && p99.ci95_percent[1] < 25.0, "{p99:?}");
        assert_eq!(compare(&base, &[log(3, 10, 0.8)], &[]).ruling(), Ruling::Pass, "better is no failure");
        assert_eq!(
            compare(&base, &[log(3, 10, 1.2)], &["response.rate"]).ruling(),
            Ruling::Pass,
            "the gate looks at the rate"
        );
    }

    #[test]
    fn an_outage_lowers_the_rate_although_it_has_no_interval() {
        let mut broken = log(2, 20, 1.0);
        broken.retain(|entry| !(50..150).contains(&(entry.begin.as_millis() / 100)));
        let found = compare(&[log(1, 20, 1.0), log(4, 20, 1.0)], &[broken], &[]);
        let rate = &found.differences[0];
        assert_eq!((rate.figure.as_str(), rate.new.round()), ("response.rate", 500.0));
        assert!((rate.change_percent + 50.0).abs() < 1.0 && rate.change == Change::Worse, "{rate:?}");
    }

    #[test]
    fn too_little_is_unknown() {
        assert_eq!(compare(&[log(1, 1, 1.0)], &[log(2, 1, 1.0)], &[]).ruling(), Ruling::Unknown);
        assert_eq!(compare(&[log(1, 10, 1.0)], &[Vec::new()], &[]).ruling(), Ruling::Unknown);
        let asked = compare(&[log(1, 10, 1.0)], &[log(2, 10, 1.0)], &["delivery.p99"]);
        assert_eq!(asked.ruling(), Ruling::Unknown);
        assert!(asked.text().contains("delivery.p99 was not measured"));
    }

    #[test]
    fn an_interval_is_judged_by_where_it_lies() {
        let check = |figure, low, high, expected| assert_eq!(change(figure, low, high, 5.0), expected, "{low} {high}");
        let latency = Figure::Latency(0.5);
        check(latency, 6.0, 9.0, Change::Worse);
        check(latency, 4.0, 9.0, Change::Undecided);
        check(latency, -4.0, 4.0, Change::Same);
        check(latency, -9.0, -6.0, Change::Better);
        check(Figure::Rate, 6.0, 9.0, Change::Better);
        check(Figure::Rate, -9.0, -6.0, Change::Worse);
    }
}
