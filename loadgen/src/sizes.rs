//! Owns [`Sizes`]: how large messages are, how that is written, and the few hundred sizes that stand for a distribution.

use std::fmt;
use std::str::FromStr;

use crate::units::parse_bytes;

/// Sizes that stand for a continuous distribution, each as likely as the others: its quantiles in the middle of equal steps.
const QUANTILES: usize = 512;

/// How large the payloads are, in bytes.
#[derive(Debug, Clone, PartialEq)]
pub enum Sizes {
    /// All alike.
    Fixed(usize),
    /// Any from the first to the second, each as likely.
    Uniform(usize, usize),
    /// One of these, as often as its weight says.
    Buckets(Vec<(usize, u32)>),
    /// Around this median, with this standard deviation of the natural logarithm: many small ones and a long tail.
    Lognormal(usize, f64),
}

/// Sizes that cannot be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "`{0}` is not a size: write 16, 1KiB or 64KB, a range such as 100..2KiB, weighted sizes such as 16:70,1KiB:25,64KiB:5, \
     or lognormal:1KiB/0.8 (median and deviation of the logarithm)"
)]
pub struct SizesError(String);

impl FromStr for Sizes {
    type Err = SizesError;

    fn from_str(text: &str) -> Result<Self, SizesError> {
        let bytes = |text: &str| parse_bytes(text).ok();
        let sizes = if let Some(rest) = text.strip_prefix("lognormal:") {
            rest.split_once('/').and_then(|(median, sigma)| Some(Self::Lognormal(bytes(median)?, sigma.parse().ok()?)))
        } else if let Some((least, most)) = text.split_once("..") {
            bytes(least).zip(bytes(most)).map(|(least, most)| Self::Uniform(least, most))
        } else if text.contains(':') {
            let bucket = |text: &str| {
                text.split_once(':').and_then(|(size, weight)| Some((bytes(size)?, weight.trim().parse().ok()?)))
            };
            text.split(',').map(bucket).collect::<Option<_>>().map(Self::Buckets)
        } else {
            bytes(text).map(Self::Fixed)
        };
        sizes.filter(Self::is_sensible).ok_or_else(|| SizesError(text.to_owned()))
    }
}

impl fmt::Display for Sizes {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(size) => write!(out, "{size} B"),
            Self::Uniform(least, most) => write!(out, "{least} to {most} B"),
            Self::Buckets(buckets) => {
                let shown: Vec<_> = buckets.iter().map(|(size, weight)| format!("{size}:{weight}")).collect();
                write!(out, "{} B", shown.join(","))
            }
            Self::Lognormal(median, sigma) => write!(out, "lognormal {median} B/{sigma}"),
        }
    }
}

impl Sizes {
    fn is_sensible(&self) -> bool {
        match self {
            Self::Fixed(_) => true,
            Self::Uniform(least, most) => least <= most,
            Self::Buckets(buckets) => buckets.iter().any(|(_, weight)| *weight > 0) && buckets.len() <= QUANTILES,
            Self::Lognormal(median, sigma) => *median > 0 && (0.0..=3.0).contains(sigma),
        }
    }

    /// The sizes that occur, each with its weight.
    #[must_use]
    pub fn table(&self) -> Vec<(usize, u32)> {
        let quantile = |step: usize| (step as f64 + 0.5) / QUANTILES as f64;
        match self {
            Self::Fixed(size) => vec![(*size, 1)],
            Self::Uniform(least, most) if most - least < QUANTILES => (*least..=*most).map(|size| (size, 1)).collect(),
            Self::Uniform(least, most) => {
                let size = |step| least + ((most - least) as f64 * quantile(step)).round() as usize;
                (0..QUANTILES).map(|step| (size(step), 1)).collect()
            }
            Self::Buckets(buckets) => buckets.iter().copied().filter(|(_, weight)| *weight > 0).collect(),
            Self::Lognormal(median, sigma) => {
                let size = |step| (*median as f64 * (sigma * normal_quantile(quantile(step))).exp()).round() as usize;
                (0..QUANTILES).map(|step| (size(step), 1)).collect()
            }
        }
    }

    /// The same with nothing smaller than `least`: the tail of a distribution ends where a message can still say which it is.
    #[must_use]
    pub fn table_from(&self, least: usize) -> Vec<(usize, u32)> {
        self.table().into_iter().map(|(size, weight)| (size.max(least), weight)).collect()
    }

    /// The smallest size that was asked for; 0 for a distribution without an end.
    #[must_use]
    pub fn least(&self) -> usize {
        match self {
            Self::Lognormal(..) => 0,
            _ => self.table().iter().map(|(size, _)| *size).min().unwrap_or(0),
        }
    }
}

/// The quantile of the standard normal distribution, by bisection of its integral: it is asked a few hundred times in a run.
fn normal_quantile(share: f64) -> f64 {
    let (mut low, mut high) = (-8.0, 8.0);
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        if normal_share(middle) < share { low = middle } else { high = middle }
    }
    (low + high) / 2.0
}

/// The share of the standard normal distribution below `value`, by its series (Marsaglia 2004).
fn normal_share(value: f64) -> f64 {
    let (mut sum, mut term) = (value, value);
    for index in 1..200 {
        term *= value * value / f64::from(2 * index + 1);
        sum += term;
    }
    (0.5 + sum * (-value * value / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt()).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read() {
        let check = |text: &str, expected: Option<Sizes>| assert_eq!(text.parse().ok(), expected, "{text}");
        check("16", Some(Sizes::Fixed(16)));
        check("100..2KiB", Some(Sizes::Uniform(100, 2048)));
        check("16:70,1KiB:25,64KB:5", Some(Sizes::Buckets(vec![(16, 70), (1024, 25), (64_000, 5)])));
        check("lognormal:1KiB/0.5", Some(Sizes::Lognormal(1024, 0.5)));
        for wrong in ["", "big", "5..4", "16:0", "16:a", "1:", "lognormal:1KiB", "lognormal:0/1", "lognormal:1KiB/9"] {
            check(wrong, None);
        }
    }

    #[test]
    fn a_distribution_has_the_median_and_the_tail_that_were_asked_for() {
        let sizes: Vec<usize> = Sizes::Lognormal(1000, 1.0).table().iter().map(|(size, _)| *size).collect();
        assert!(sizes.is_sorted() && sizes[255] < 1000 && sizes[256] > 1000 && sizes[256] - sizes[255] < 10);
        // One in about six is above e times the median: the normal share beyond one deviation is 0.1587.
        let beyond = sizes.iter().filter(|size| **size > 2718).count() as f64 / sizes.len() as f64;
        assert!((beyond - 0.1587).abs() < 0.003, "{beyond}");
        let uniform = Sizes::Uniform(100, 10_100).table();
        let mean = uniform.iter().map(|(size, _)| *size).sum::<usize>() / uniform.len();
        assert!(mean.abs_diff(5_100) < 3 && uniform[0].0 > 100, "{mean}");
        assert_eq!(Sizes::Uniform(5, 7).table(), [(5, 1), (6, 1), (7, 1)]);
        assert_eq!(Sizes::Lognormal(20, 2.0).table_from(16).iter().map(|(size, _)| *size).min(), Some(16));
    }
}
