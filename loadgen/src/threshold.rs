//! Owns the conditions of `--fail-if`: how they are written and what they are compared with. The verdict on messages is not theirs.

use std::fmt;
use std::str::FromStr;

use hdrhistogram::Histogram;

use crate::meter::Histograms;
use crate::report::Report;
use crate::units::parse_duration;
use crate::verdict::Window;

/// A condition that cannot be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "`{0}` is not a condition: write for instance p99>5ms, delivery.p99.9>1s, round_trip.mean>1ms, max>=2s, gap>3s, \
     delivery_gap>3s, confirmed_rate<10000, backlog>1000, generator_cpu>80, or one of {names}>0",
    names = COUNTS.map(|(name, _)| name).join(", ")
)]
pub struct ThresholdError(String);

/// The counts that a condition may name.
const COUNTS: [(&str, fn(&Report<'_>) -> u64); 16] = [
    ("lost", |report| report.verdict.counts.lost),
    ("duplicated", |report| report.verdict.counts.duplicated),
    ("unexpected", |report| report.verdict.counts.unexpected),
    ("out_of_order", |report| report.verdict.counts.out_of_order),
    ("in_doubt", |report| report.verdict.counts.in_doubt),
    ("recovered", |report| report.verdict.counts.recovered),
    ("failed", |report| report.verdict.counts.failed),
    ("shed", |report| report.verdict.counts.shed),
    ("attempted", |report| report.verdict.counts.attempted),
    ("confirmed", |report| report.verdict.counts.confirmed),
    ("delivered", |report| report.verdict.counts.delivered),
    ("replies", |report| report.series.counters.replies),
    ("resent", |report| report.series.counters.resent),
    ("disconnected", |report| report.series.counters.disconnected),
    ("backlog", |report| report.series.intervals.iter().map(|interval| interval.backlog).max().unwrap_or(0)),
    ("in_flight", |report| report.series.intervals.iter().map(|interval| interval.in_flight).max().unwrap_or(0)),
];

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Metric {
    /// Index into `Histograms::all`, and a quantile; 0 is the smallest and 1 the largest value.
    Latency(usize, f64),
    /// The mean of a histogram.
    Mean(usize),
    /// The longest time without confirms.
    ConfirmGap,
    /// The longest time without deliveries.
    DeliveryGap,
    ConfirmedRate,
    DeliveredRate,
    /// In percent of a core.
    GeneratorCpu,
    /// Index into `COUNTS`.
    Count(usize),
}

/// A condition under which a run counts as failed, such as `p99>5ms`.
#[derive(Debug, Clone, PartialEq)]
pub struct Threshold {
    text: String,
    metric: Metric,
    above: bool,
    or_equal: bool,
    /// Nanoseconds, messages a second, or messages.
    limit: f64,
}

impl fmt::Display for Threshold {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}

impl FromStr for Threshold {
    type Err = ThresholdError;

    fn from_str(text: &str) -> Result<Self, ThresholdError> {
        let wrong = || ThresholdError(text.to_owned());
        let at = text.find(['<', '>']).ok_or_else(wrong)?;
        let (name, rest) = text.split_at(at);
        let above = rest.starts_with('>');
        let value = rest[1..].strip_prefix('=');
        let (or_equal, value) = (value.is_some(), value.unwrap_or(&rest[1..]));
        let metric = metric(name.trim()).ok_or_else(wrong)?;
        let limit = match metric {
            Metric::Latency(..) | Metric::Mean(_) | Metric::ConfirmGap | Metric::DeliveryGap => {
                parse_duration(value).map_err(|_| wrong())?.as_nanos() as f64
            }
            _ => value.trim().parse().map_err(|_| wrong())?,
        };
        Ok(Self { text: text.to_owned(), metric, above, or_equal, limit })
    }
}

fn metric(name: &str) -> Option<Metric> {
    if let Some(index) = COUNTS.iter().position(|(count, _)| *count == name) {
        return Some(Metric::Count(index));
    }
    Some(match name {
        "gap" => Metric::ConfirmGap,
        "delivery_gap" => Metric::DeliveryGap,
        "confirmed_rate" => Metric::ConfirmedRate,
        "delivered_rate" => Metric::DeliveredRate,
        "generator_cpu" => Metric::GeneratorCpu,
        _ => return latency(name),
    })
}

/// `p99.9`, or `delivery.p99.9`; without a histogram's name the response time is meant.
fn latency(name: &str) -> Option<Metric> {
    let named = Histograms::NAMES.iter().enumerate().find_map(|(index, histogram)| {
        let point = name.strip_prefix(histogram)?.strip_prefix('.')?;
        Some((index, point))
    });
    let (index, point) = named.unwrap_or((0, name));
    let quantile = match point {
        "min" => 0.0,
        "max" => 1.0,
        "mean" => return Some(Metric::Mean(index)),
        _ => point.strip_prefix('p')?.parse::<f64>().ok().map(|percent| percent / 100.0)?,
    };
    (0.0..=1.0).contains(&quantile).then_some(Metric::Latency(index, quantile))
}

impl Threshold {
    /// Whether the condition holds, so that the run has failed; `None` if there is nothing to compare.
    #[must_use]
    pub fn holds(&self, report: &Report<'_>) -> Option<bool> {
        let value = self.value(report)?;
        let beyond = if self.above { value > self.limit } else { value < self.limit };
        Some(beyond || self.or_equal && value == self.limit)
    }

    fn value(&self, report: &Report<'_>) -> Option<f64> {
        let length = |gap: Option<Window>| gap.map(|gap| (gap.end_ns - gap.begin_ns) as f64);
        Some(match self.metric {
            Metric::Latency(index, quantile) => point(report.series.histograms.all()[index], quantile)? as f64,
            Metric::Mean(index) => {
                let histogram = report.series.histograms.all()[index];
                (!histogram.is_empty()).then(|| histogram.mean())?
            }
            Metric::ConfirmGap => length(report.gaps().confirm)?,
            Metric::DeliveryGap => length(report.gaps().delivery)?,
            Metric::ConfirmedRate => report.per_second(report.verdict.counts.confirmed),
            Metric::DeliveredRate => report.delivered_per_second(),
            Metric::GeneratorCpu => report.series.generator_cpu()? * 100.0,
            Metric::Count(index) => COUNTS[index].1(report) as f64,
        })
    }
}

fn point(histogram: &Histogram<u64>, quantile: f64) -> Option<u64> {
    (!histogram.is_empty())
        .then(|| if quantile == 0.0 { histogram.min() } else { histogram.value_at_quantile(quantile) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Ledger;
    use crate::options::Options;
    use crate::series::Series;
    use crate::verdict::{Rules, judge};

    #[test]
    fn conditions_are_read_and_compared() {
        let mut series = Series { start_ns: 1, stop_ns: 2_000_000_001, ..Series::default() };
        for latency_ms in 1..=100 {
            series.histograms.response.record(latency_ms * 1_000_000).expect("in range");
        }
        let (ledger, options) = (Ledger::default(), Options::default());
        let mut verdict = judge(&ledger, &Rules::default());
        (verdict.counts.duplicated, verdict.counts.confirmed) = (3, 1_000);
        let report = Report { options: &options, ledger: &ledger, series: &series, verdict: &verdict };
        let check = |text: &str, expected: Option<bool>| {
            assert_eq!(text.parse::<Threshold>().expect(text).holds(&report), expected, "{text}");
        };
        check("p50>49ms", Some(true));
        check("p50 > 60ms", Some(false));
        check("response.p99.9>99ms", Some(true));
        check("max<1s", Some(true));
        check("min<0.5ms", Some(false));
        check("duplicated>=3", Some(true));
        check("duplicated>3", Some(false));
        check("confirmed_rate<500", Some(false));
        check("confirmed_rate<=500", Some(true));
        check("lost>0", Some(false));
        check("mean>50ms", Some(true));
        check("response.mean>51ms", Some(false));
        check("generator_cpu>10", None);
        check("backlog>=0", Some(true));
        // Nothing was delivered, and there is no gap between no confirms.
        check("delivery.p99>1s", None);
        check("gap>1s", None);
        for wrong in ["", "p99", "p99>", "p101>1s", "p99>5", "speed>1", "lost>many", "response.>1s", "=5"] {
            // A bare number is a time in seconds.
            assert_eq!(wrong.parse::<Threshold>().is_ok(), wrong == "p99>5", "{wrong}");
        }
    }
}
