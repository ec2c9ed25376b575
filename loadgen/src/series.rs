//! Owns what the recorder hands out: rates and percentiles per interval, marks, and the histograms of the whole run.

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::clock::Nanos;
use crate::meter::{Counters, Histograms};
use crate::verdict::Window;

/// Points of a latency distribution, in nanoseconds. Percentiles are never averaged: they come from merged histograms.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Percentiles {
    /// Samples.
    pub count: u64,
    /// The smallest.
    pub min_ns: u64,
    /// The median.
    pub p50_ns: u64,
    /// 90th percentile.
    pub p90_ns: u64,
    /// 99th percentile.
    pub p99_ns: u64,
    /// 99.9th percentile.
    pub p999_ns: u64,
    /// 99.99th percentile.
    pub p9999_ns: u64,
    /// The largest.
    pub max_ns: u64,
}

impl Percentiles {
    /// The points of `histogram`; `None` if it is empty.
    #[must_use]
    pub fn of(histogram: &Histogram<u64>) -> Option<Self> {
        (!histogram.is_empty()).then(|| Self {
            count: histogram.len(),
            min_ns: histogram.min(),
            p50_ns: histogram.value_at_quantile(0.5),
            p90_ns: histogram.value_at_quantile(0.9),
            p99_ns: histogram.value_at_quantile(0.99),
            p999_ns: histogram.value_at_quantile(0.999),
            p9999_ns: histogram.value_at_quantile(0.9999),
            max_ns: histogram.max(),
        })
    }
}

/// About a tenth of a second of the run.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Interval {
    /// Its beginning (CLOCK_MONOTONIC nanoseconds).
    pub begin_ns: Nanos,
    /// Its end.
    pub end_ns: Nanos,
    /// Messages that the schedule wanted sent in it; 0 in a closed loop.
    pub offered: u64,
    /// What happened in it.
    #[serde(flatten)]
    pub counters: Counters,
    /// Messages due and not sent, at its end.
    pub backlog: u64,
    /// Sends without an outcome, at its end.
    pub in_flight: u64,
    /// Usable producer links, at its end.
    pub producers_connected: u64,
    /// Usable consumer links, at its end.
    pub consumers_connected: u64,
    /// The share of a core that the generator's busiest thread used; `None` if none told.
    pub generator_cpu: Option<f64>,
    /// The share of the time in which a thread of the generator could have run and had no core; `None` where the system does not tell.
    pub generator_wait: Option<f64>,
    /// Intended send time to confirmation; `None` if nothing was confirmed.
    pub response: Option<Percentiles>,
    /// Last attempt to confirmation.
    pub service: Option<Percentiles>,
    /// Intended send time to arrival; `None` if nothing arrived.
    pub delivery: Option<Percentiles>,
}

impl Interval {
    /// Its length in seconds.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        (self.end_ns - self.begin_ns) as f64 / 1e9
    }
}

/// Something that happened, to be shown beside the measurements.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mark {
    /// When (CLOCK_MONOTONIC nanoseconds).
    pub at_ns: Nanos,
    /// What.
    pub label: String,
}

/// A time in which a fault was at work, to be shown as a band and kept out of the generator's self-check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FaultWindow {
    /// Its beginning (CLOCK_MONOTONIC nanoseconds).
    pub begin_ns: Nanos,
    /// Its end; `None` while it lasts.
    pub end_ns: Option<Nanos>,
    /// What it was.
    pub label: String,
}

impl FaultWindow {
    /// As a closed window; one that still lasts has no end.
    #[must_use]
    pub fn window(&self) -> Window {
        Window { begin_ns: self.begin_ns, end_ns: self.end_ns.unwrap_or(Nanos::MAX) }
    }
}

/// All that the recorder has seen.
#[derive(Debug, Clone, Default)]
pub struct Series {
    /// The schedule's start; 0 if it has not started.
    pub start_ns: Nanos,
    /// When sending stopped; 0 while it goes on.
    pub stop_ns: Nanos,
    /// Consecutive intervals, the oldest first.
    pub intervals: Vec<Interval>,
    /// Marks in the order in which they were made.
    pub marks: Vec<Mark>,
    /// Fault windows in the order in which they began.
    pub faults: Vec<FaultWindow>,
    /// Latency of the whole run after the warm-up.
    pub histograms: Histograms,
    /// Counts of the whole run, warm-up included.
    pub counters: Counters,
}

impl Series {
    /// The 99th percentile of the generator's own lag outside fault windows, in nanoseconds; `None` in a closed loop.
    #[must_use]
    pub fn generator_lag_p99_ns(&self) -> Option<u64> {
        (!self.histograms.lag.is_empty()).then(|| self.histograms.lag.value_at_quantile(0.99))
    }

    /// The share of a core that the generator's busiest thread used while messages were sent; `None` if no interval lies within.
    #[must_use]
    pub fn generator_cpu(&self) -> Option<f64> {
        self.mean_while_sending(|interval| interval.generator_cpu)
    }

    /// The share of that time in which a thread of the generator had to wait for a core.
    #[must_use]
    pub fn generator_wait(&self) -> Option<f64> {
        self.mean_while_sending(|interval| interval.generator_wait)
    }

    fn mean_while_sending(&self, read: fn(&Interval) -> Option<f64>) -> Option<f64> {
        let stop_ns = if self.stop_ns == 0 { Nanos::MAX } else { self.stop_ns };
        let within = self
            .intervals
            .iter()
            .filter(|interval| self.start_ns != 0 && interval.end_ns > self.start_ns && interval.begin_ns < stop_ns);
        let (weighted, seconds) = within
            .filter_map(|interval| Some((read(interval)?, interval.seconds())))
            .fold((0.0, 0.0), |(weighted, sum), (share, seconds)| (weighted + share * seconds, sum + seconds));
        (seconds > 0.0).then(|| weighted / seconds)
    }

    /// The fault windows, for the rules of the verdict.
    #[must_use]
    pub fn fault_windows(&self) -> Vec<Window> {
        self.faults.iter().map(FaultWindow::window).collect()
    }

    /// The length of the time in which messages were sent, in seconds.
    #[must_use]
    pub fn sending_seconds(&self) -> f64 {
        let last_ns = self.intervals.last().map_or(self.start_ns, |interval| interval.end_ns);
        let stop_ns = if self.stop_ns == 0 { last_ns } else { self.stop_ns };
        stop_ns.saturating_sub(self.start_ns) as f64 / 1e9
    }
}
