//! Owns what several processes saw together: histograms are added, counts are summed, the worst verdict stands. Nothing is averaged.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::time::{Duration, UNIX_EPOCH};

use hdrhistogram::Histogram;
use serde_json::{Map, Value, json};

use crate::hlog::{self, Entry};
use crate::report::{SCHEMA, latency};
use crate::series::Percentiles;
use crate::verdict::Ruling;

/// The name and version of the JSON document's form.
pub const MERGE_SCHEMA: &str = "understudy.loadgen-merge/1";
/// Intervals of different machines are one if they begin in the same tenth of a second.
const INTERVAL: Duration = Duration::from_millis(100);

/// A result that cannot be merged.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum MergeError {
    /// Not a result of a run.
    #[error("not a result of `loadgen run --json` of the form {SCHEMA}: {0} is missing or of another form")]
    Form(&'static str),
}

/// What was merged so far.
#[derive(Debug, Default)]
pub struct Merged {
    logs: usize,
    results: usize,
    /// By beginning in `INTERVAL`s since 1970 and by tag.
    intervals: BTreeMap<(u128, String), Histogram<u64>>,
    /// By tag.
    totals: BTreeMap<String, Histogram<u64>>,
    messages: BTreeMap<String, u64>,
    rates: BTreeMap<String, f64>,
    verdicts: Vec<Ruling>,
    reasons: Vec<String>,
}

impl Merged {
    /// Adds the intervals of a log.
    pub fn add_log(&mut self, entries: Vec<Entry>) {
        self.logs += 1;
        for Entry { tag, begin, histogram, .. } in entries {
            add(self.totals.entry(tag.clone()), &histogram);
            add(self.intervals.entry((begin.as_nanos() / INTERVAL.as_nanos(), tag)), &histogram);
        }
    }

    /// Adds the counts and the verdict of a result.
    ///
    /// # Errors
    /// It is no result of a run.
    pub fn add_result(&mut self, result: &Value) -> Result<(), MergeError> {
        if result["schema"] != SCHEMA {
            return Err(MergeError::Form("schema"));
        }
        let object = |name: &'static str| result[name].as_object().ok_or(MergeError::Form(name));
        let ruling = match result["verdict"].as_str() {
            Some("pass") => Ruling::Pass,
            Some("violated") => Ruling::Violated,
            Some("unknown") => Ruling::Unknown,
            _ => return Err(MergeError::Form("verdict")),
        };
        for (name, count) in object("messages")? {
            *self.messages.entry(name.clone()).or_default() += count.as_u64().ok_or(MergeError::Form("messages"))?;
        }
        for (name, rate) in object("rates")? {
            *self.rates.entry(name.clone()).or_default() += rate.as_f64().ok_or(MergeError::Form("rates"))?;
        }
        let run = result["run"].as_str().unwrap_or("");
        let reasons = result["reasons"].as_array().into_iter().flatten().filter_map(Value::as_str);
        self.reasons.extend(reasons.map(|reason| format!("run {run}: {reason}")));
        self.verdicts.push(ruling);
        self.results += 1;
        Ok(())
    }

    /// The worst verdict of all results; a pass if there was none.
    #[must_use]
    pub fn verdict(&self) -> Ruling {
        self.verdicts.iter().copied().max().unwrap_or(Ruling::Pass)
    }

    /// The summary in words.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = format!("{} logs and {} results together\n", self.logs, self.results);
        // Writing into a string cannot fail.
        self.write(&mut out).expect("a string takes everything");
        out
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        for (name, rate) in &self.rates {
            writeln!(out, "  {name} {rate:.0}")?;
        }
        let shown = self.messages.iter().filter(|(_, count)| **count > 0);
        let shown: Vec<_> = shown.map(|(name, count)| format!("{name} {count}")).collect();
        if !shown.is_empty() {
            writeln!(out, "  {}", shown.join("  "))?;
        }
        if !self.totals.is_empty() {
            let columns = ["samples", "50 %", "99 %", "99.9 %", "99.99 %", "max"].map(|name| format!(" {name:>11}"));
            writeln!(out, "{:<20}{}", "latency", columns.concat())?;
        }
        for (tag, histogram) in &self.totals {
            let Some(points) = Percentiles::of(histogram) else { continue };
            write!(out, "{tag:<20} {:>11}", points.count)?;
            for value_ns in [points.p50_ns, points.p99_ns, points.p999_ns, points.p9999_ns, points.max_ns] {
                write!(out, " {:>11}", latency(value_ns))?;
            }
            writeln!(out)?;
        }
        for reason in &self.reasons {
            writeln!(out, "{reason}")?;
        }
        if self.results > 0 { writeln!(out, "verdict: {}", self.verdict()) } else { Ok(()) }
    }

    /// The same as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        let latency: Map<String, Value> =
            self.totals.iter().map(|(tag, histogram)| (tag.clone(), json!(Percentiles::of(histogram)))).collect();
        json!({
            "schema": MERGE_SCHEMA, "logs": self.logs, "results": self.results, "messages": self.messages,
            "rates": self.rates, "latency_ns": latency, "verdict": self.verdict().to_string(), "reasons": self.reasons,
        })
    }

    /// Writes one interval log of all.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write_log(&self, out: impl Write) -> io::Result<()> {
        let first = self.intervals.keys().map(|(index, _)| *index).min().unwrap_or(0);
        let after = |index: u128| Duration::from_nanos(((index - first) * INTERVAL.as_nanos()) as u64);
        let wall = UNIX_EPOCH + Duration::from_nanos((first * INTERVAL.as_nanos()) as u64);
        let comment = format!("[Latencies of {} load runs in nanoseconds, merged; tags: histogram.phase]", self.logs);
        hlog::write(out, wall, &[comment], |log| {
            self.intervals
                .iter()
                .try_for_each(|((index, tag), histogram)| log.write(tag, after(*index), INTERVAL, histogram))
        })
    }
}

fn add<K: Ord>(entry: std::collections::btree_map::Entry<'_, K, Histogram<u64>>, part: &Histogram<u64>) {
    let sum = entry.or_insert_with(|| {
        let mut sum = Histogram::new_from(part);
        sum.auto(true);
        sum
    });
    // It fails only for a histogram that does not grow, and these do.
    sum.add(part).expect("an auto-resizing histogram takes every value");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(tag: &str, begin_ms: u64, values: impl Iterator<Item = u64>) -> Entry {
        let mut histogram = Histogram::new(3).expect("three digits");
        values.for_each(|value| histogram.record(value).expect("in range"));
        let begin = Duration::from_millis(begin_ms);
        Entry { tag: tag.to_owned(), begin, length: INTERVAL, histogram }
    }

    /// A slow machine with few messages must not count as much as a fast one with many, as it would in an average.
    #[test]
    fn percentiles_are_those_of_all_samples_together() {
        let mut merged = Merged::default();
        merged.add_log(vec![entry("response", 1_000, 1..=1_000)]);
        merged.add_log(vec![
            entry("response", 1_040, (1..=10).map(|value| value * 1_000_000)),
            entry("lag", 5_000, 3..4),
        ]);
        let total = &merged.totals["response"];
        assert_eq!((total.len(), total.value_at_quantile(0.5)), (1_010, 505));
        assert!(total.max() >= 10_000_000 && total.value_at_quantile(0.98) < 1_001);
        assert_eq!(merged.intervals.len(), 2, "the same tenth of a second is one interval");
        let mut log = Vec::new();
        merged.write_log(&mut log).expect("written");
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("all.hlog");
        std::fs::write(&path, log).expect("written");
        let read = hlog::read(&path).expect("a log");
        assert_eq!((read.len(), read[0].histogram.len(), read[0].begin), (2, 1_010, Duration::from_secs(1)));
    }

    #[test]
    fn counts_are_summed_and_the_worst_verdict_stands() {
        let result = |verdict: &str, confirmed: u64| {
            json!({
                "schema": SCHEMA, "verdict": verdict, "run": "1", "reasons": ["late"],
                "messages": {"confirmed": confirmed}, "rates": {"confirmed_per_s": 2.5},
            })
        };
        let mut merged = Merged::default();
        merged.add_result(&result("pass", 5)).expect("a result");
        assert_eq!(merged.verdict(), Ruling::Pass);
        merged.add_result(&result("unknown", 7)).expect("a result");
        assert_eq!(
            (merged.verdict(), merged.messages["confirmed"], merged.rates["confirmed_per_s"]),
            (Ruling::Unknown, 12, 5.0)
        );
        assert!(merged.text().contains("verdict: unknown") && merged.json()["messages"]["confirmed"] == 12);
        assert_eq!(merged.add_result(&json!({"schema": "x"})), Err(MergeError::Form("schema")));
    }
}
