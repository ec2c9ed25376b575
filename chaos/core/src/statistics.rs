//! Small-sample statistics over trials: order statistics only, with right-censored values, and nothing that averages percentiles.

use serde::{Deserialize, Serialize};

/// The spread of one figure over the trials of a cell. A `None` inside means "beyond the limit of the trials": the value lies among the
/// censored ones, so only a lower bound is known.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Number of trials, censored ones included.
    pub n: usize,
    /// Trials whose value was not reached within their limit.
    pub censored: usize,
    /// Smallest value.
    pub min: Option<f64>,
    /// Middle value; the mean of the two middle ones when `n` is even.
    pub median: Option<f64>,
    /// 90th percentile, nearest rank.
    pub p90: Option<f64>,
    /// Largest value.
    pub max: Option<f64>,
    /// Interval that covers the median with at least 95 % confidence, from order statistics; absent below 6 trials, where none exists.
    pub ci95: Option<[Option<f64>; 2]>,
}

/// Computes the spread of `values`, where `None` is a right-censored trial. Order of the input does not matter.
pub fn spread(values: &[Option<f64>]) -> Spread {
    let n = values.len();
    let mut sorted: Vec<f64> = values.iter().map(|value| value.unwrap_or(f64::INFINITY)).collect();
    sorted.sort_by(f64::total_cmp);
    let finite = |value: f64| value.is_finite().then_some(value);
    let at = |index: usize| sorted.get(index).copied().and_then(finite);
    if n == 0 {
        return Spread::default();
    }
    Spread {
        n,
        censored: values.iter().filter(|value| value.is_none()).count(),
        min: at(0),
        median: finite((sorted[(n - 1) / 2] + sorted[n / 2]) / 2.0),
        p90: at(nearest_rank(n, 0.9) - 1),
        max: at(n - 1),
        ci95: median_interval_rank(n).map(|rank| [at(rank - 1), at(n - rank)]),
    }
}

/// The 1-based rank of percentile `p` (0 < p <= 1) among `n` values.
pub fn nearest_rank(n: usize, p: f64) -> usize {
    ((n as f64 * p).ceil() as usize).clamp(1, n.max(1))
}

/// The largest rank k such that the k-th smallest and the k-th largest of `n` values enclose the median with at least 95 % confidence: the
/// number of values below the median is binomial with p = 1/2.
fn median_interval_rank(n: usize) -> Option<usize> {
    let mut probability = 0.5_f64.powi(n.try_into().ok()?);
    let mut below = 0.0;
    let mut best = None;
    for k in 1..=n / 2 {
        below += probability;
        if 2.0 * below > 0.05 {
            break;
        }
        best = Some(k);
        probability *= (n - k + 1) as f64 / k as f64;
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(values: &[f64]) -> Vec<Option<f64>> {
        values.iter().copied().map(Some).collect()
    }

    #[test]
    fn six_trials_give_min_to_max_as_the_interval() {
        let spread = spread(&known(&[60.0, 10.0, 50.0, 20.0, 40.0, 30.0]));
        assert_eq!(spread.n, 6);
        assert_eq!((spread.min, spread.max), (Some(10.0), Some(60.0)));
        assert_eq!(spread.median, Some(35.0));
        assert_eq!(spread.p90, Some(60.0));
        assert_eq!(spread.ci95, Some([Some(10.0), Some(60.0)]));
    }

    #[test]
    fn five_trials_have_no_interval() {
        assert_eq!(spread(&known(&[1.0, 2.0, 3.0, 4.0, 5.0])).ci95, None);
        assert_eq!(spread(&known(&[1.0, 2.0, 3.0, 4.0, 5.0])).median, Some(3.0));
    }

    #[test]
    fn interval_ranks_are_those_of_the_tables() {
        // Conover, Practical Nonparametric Statistics: n -> rank of the lower limit at 95 %.
        for (n, rank) in [(6, 1), (8, 1), (9, 2), (11, 2), (12, 3), (15, 4), (20, 6), (25, 8), (30, 10), (50, 18)] {
            assert_eq!(median_interval_rank(n), Some(rank), "n = {n}");
        }
    }

    #[test]
    fn a_censored_trial_counts_as_the_largest_and_is_never_dropped_or_zero() {
        let spread = spread(&[Some(10.0), None, Some(30.0), Some(20.0)]);
        assert_eq!((spread.n, spread.censored), (4, 1));
        assert_eq!(spread.min, Some(10.0));
        assert_eq!(spread.median, Some(25.0));
        assert_eq!((spread.p90, spread.max), (None, None));
    }

    #[test]
    fn when_half_is_censored_the_median_is_too() {
        assert_eq!(spread(&[Some(10.0), None]).median, None);
        assert_eq!(spread(&[]), Spread::default());
    }
}
