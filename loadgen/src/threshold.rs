//! Owns the conditions of `--fail-if`: how they are written and what they are compared with. The verdict on messages is not theirs.

use std::fmt;
use std::str::FromStr;

use hdrhistogram::Histogram;

use crate::meter::Histograms;
use crate::report::Report;
use crate::units::parse_duration;

/// A condition that cannot be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "`{0}` is not a condition: write for instance p99>5ms, delivery.p99.9>1s, max>=2s, gap>3s, confirmed_rate<10000, \
     duplicated>0"
)]
pub struct ThresholdError(String);

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Metric {
    /// Index into `Histograms::all`, and a quantile; 0 is the smallest and 1 the largest value.
    Latency(usize, f64),
    /// The longest time without confirms.
    Gap,
    ConfirmedRate,
    DeliveredRate,
    Lost,
    Duplicated,
    Unexpected,
    InDoubt,
    Shed,
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
            Metric::Latency(..) | Metric::Gap => parse_duration(value).map_err(|_| wrong())?.as_nanos() as f64,
            _ => value.trim().parse().map_err(|_| wrong())?,
        };
        Ok(Self { text: text.to_owned(), metric, above, or_equal, limit })
    }
}

fn metric(name: &str) -> Option<Metric> {
    Some(match name {
        "gap" => Metric::Gap,
        "confirmed_rate" => Metric::ConfirmedRate,
        "delivered_rate" => Metric::DeliveredRate,
        "lost" => Metric::Lost,
        "duplicated" => Metric::Duplicated,
        "unexpected" => Metric::Unexpected,
        "in_doubt" => Metric::InDoubt,
        "shed" => Metric::Shed,
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
        let counts = &report.verdict.counts;
        Some(match self.metric {
            Metric::Latency(index, quantile) => point(report.series.histograms.all()[index], quantile)? as f64,
            Metric::Gap => report.gaps().confirm.map(|gap| (gap.end_ns - gap.begin_ns) as f64)?,
            Metric::ConfirmedRate => report.per_second(counts.confirmed),
            Metric::DeliveredRate => report.per_second(counts.delivered),
            Metric::Lost => counts.lost as f64,
            Metric::Duplicated => counts.duplicated as f64,
            Metric::Unexpected => counts.unexpected as f64,
            Metric::InDoubt => counts.in_doubt as f64,
            Metric::Shed => counts.shed as f64,
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
        // Nothing was delivered, and there is no gap between no confirms.
        check("delivery.p99>1s", None);
        check("gap>1s", None);
        for wrong in ["", "p99", "p99>", "p101>1s", "p99>5", "speed>1", "lost>many", "response.>1s", "=5"] {
            // A bare number is a time in seconds.
            assert_eq!(wrong.parse::<Threshold>().is_ok(), wrong == "p99>5", "{wrong}");
        }
    }
}
