//! The difference of two medians with an interval, by resampling. Pure: the seed is an argument.

use crate::statistics;
use serde::{Deserialize, Serialize};

/// Resamples behind an interval of a difference of medians.
pub const RESAMPLES: usize = 10_000;
/// Trials that each run needs: of fewer, no order statistic encloses the median with 95 % either.
pub(super) const TRIALS_MIN: usize = 6;

/// A figure in both runs, BASE first, ms.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// Trials that gave the figure, or a lower bound of it.
    pub n: [usize; 2],
    /// Of those, trials in which it was not reached within the limit.
    pub censored: [usize; 2],
    /// The figure: a median over trials, or a percentile of all their messages. Absent where it lies beyond the limit.
    pub value_ms: [Option<f64>; 2],
    /// NEW minus BASE.
    pub difference_ms: Option<f64>,
    /// The same, as a part of BASE's.
    pub relative: Option<f64>,
    /// Interval that holds the difference with 95 % confidence.
    pub interval_ms: Option<[f64; 2]>,
}

impl Difference {
    /// Whether both runs have the figure at all.
    pub fn has_values(&self) -> bool {
        self.n.iter().all(|&n| n > 0)
    }

    /// Whether the interval excludes that NEW is as good as BASE, or more of its trials did not end.
    pub fn is_worse(&self) -> bool {
        self.interval_ms.is_some_and(|[low, _]| low > 0.0) || self.ends_less_often()
    }

    /// Whether the interval excludes that NEW is as bad as BASE.
    pub fn is_better(&self) -> bool {
        self.interval_ms.is_some_and(|[_, high]| high < 0.0)
    }

    /// Whether a larger part of NEW's trials did not reach the figure.
    pub fn ends_less_often(&self) -> bool {
        self.censored[1] * self.n[0] > self.censored[0] * self.n[1]
    }

    /// What can be said, in a few words.
    pub fn words(&self) -> &'static str {
        if self.ends_less_often() {
            "worse: more trials beyond their limit"
        } else if self.is_worse() {
            "worse"
        } else if self.is_better() {
            "better"
        } else if self.censored != [0, 0] {
            "not judged: trials beyond their limit"
        } else if self.interval_ms.is_none() {
            "not judged: too few trials"
        } else {
            "no difference shown"
        }
    }
}

/// Compares the medians of two samples; `None` is a trial that did not get so far within its limit.
pub(super) fn of_medians(base: &[Option<f64>], new: &[Option<f64>], seed: u64) -> Difference {
    let spreads = [statistics::spread(base), statistics::spread(new)];
    let medians = spreads.clone().map(|spread| spread.median);
    let known = |sample: &[Option<f64>]| sample.iter().copied().collect::<Option<Vec<f64>>>();
    let interval_ms = match (known(base), known(new)) {
        (Some(base), Some(new)) if base.len().min(new.len()) >= TRIALS_MIN => Some(interval(&base, &new, seed)),
        _ => None,
    };
    with_difference(Difference {
        n: spreads.clone().map(|spread| spread.n),
        censored: spreads.map(|spread| spread.censored),
        value_ms: medians,
        interval_ms,
        ..Difference::default()
    })
}

/// Compares the geometric means of a figure over cells, of which each is a pair of BASE's and NEW's value; whole cells are drawn, so that
/// few trials in each of many cells say something together.
pub(super) fn of_cells(pairs: &[(f64, f64)], seed: u64) -> Difference {
    let positive: Vec<(f64, f64)> = pairs.iter().copied().filter(|(base, new)| *base > 0.0 && *new > 0.0).collect();
    if positive.is_empty() {
        return Difference::default();
    }
    let means = |chosen: &mut dyn Iterator<Item = (f64, f64)>| {
        let (mut sums, mut n) = ([0.0, 0.0], 0.0);
        for (base, new) in chosen {
            sums = [sums[0] + base.ln(), sums[1] + new.ln()];
            n += 1.0;
        }
        sums.map(|sum| (sum / n).exp())
    };
    let mut random = fastrand::Rng::with_seed(seed);
    let mut draw = || {
        let [base, new] = means(&mut (0..positive.len()).map(|_| positive[random.usize(..positive.len())]));
        new / base - 1.0
    };
    let values = means(&mut positive.iter().copied());
    // The ratio of a draw, at the level of BASE's mean: a draw of slow cells is slow on both sides.
    let interval_ms = (positive.len() >= TRIALS_MIN).then(|| {
        let mut parts: Vec<f64> = (0..RESAMPLES).map(|_| draw()).collect();
        middle(&mut parts).map(|part| part * values[0])
    });
    with_difference(Difference {
        n: [positive.len(); 2],
        value_ms: values.map(Some),
        interval_ms,
        ..Difference::default()
    })
}

/// Adds what follows from the values.
pub(super) fn with_difference(difference: Difference) -> Difference {
    let [Some(base), Some(new)] = difference.value_ms else { return difference };
    let relative = (base > 0.0).then(|| (new - base) / base);
    Difference { difference_ms: Some(new - base), relative, ..difference }
}

/// Draws as many values as there are, with replacement, from both, and takes the middle 95 % of the differences of their medians.
fn interval(base: &[f64], new: &[f64], seed: u64) -> [f64; 2] {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut drawn = Vec::new();
    let mut differences: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            let [of_base, of_new] = [base, new].map(|values| {
                drawn.clear();
                drawn.extend((0..values.len()).map(|_| values[random.usize(..values.len())]));
                median(&mut drawn)
            });
            of_new - of_base
        })
        .collect();
    middle(&mut differences)
}

/// The middle 95 % of `values`.
pub(super) fn middle(values: &mut [f64]) -> [f64; 2] {
    values.sort_by(f64::total_cmp);
    let at = |share: f64| values[statistics::nearest_rank(values.len(), share) - 1];
    [at(0.025), at(0.975)]
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let n = values.len();
    (values[(n - 1) / 2] + values[n / 2]) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(from: f64, n: usize) -> Vec<Option<f64>> {
        (0..n).map(|index| Some(from + index as f64)).collect()
    }

    #[test]
    fn a_shift_is_found_and_the_same_is_no_difference() {
        let shifted = of_medians(&sample(50.0, 6), &sample(90.0, 6), 1);
        assert_eq!((shifted.difference_ms, shifted.value_ms[0]), (Some(40.0), Some(52.5)));
        let [low, high] = shifted.interval_ms.expect("six trials are enough");
        assert!(low > 30.0 && high < 50.0 && low < high, "{low} {high}");
        assert_eq!((shifted.is_worse(), shifted.words()), (true, "worse"));
        assert_eq!(of_medians(&sample(90.0, 6), &sample(50.0, 6), 1).words(), "better");
        let same = of_medians(&sample(50.0, 6), &sample(50.5, 6), 1);
        assert!(!same.is_worse() && !same.is_better(), "{same:?}");
    }

    #[test]
    fn the_same_seed_gives_the_same_interval() {
        let (base, new) = (sample(10.0, 9), sample(11.0, 7));
        assert_eq!(of_medians(&base, &new, 7), of_medians(&base, &new, 7));
        assert_ne!(of_medians(&base, &new, 7).interval_ms, None);
    }

    #[test]
    fn five_trials_have_a_difference_and_no_interval() {
        let few = of_medians(&sample(50.0, 5), &sample(90.0, 6), 1);
        assert_eq!((few.difference_ms, few.interval_ms), (Some(40.5), None));
        assert_eq!((few.is_worse(), few.words()), (false, "not judged: too few trials"));
    }

    #[test]
    fn many_cells_with_few_trials_say_something_together() {
        let cells = |factor: f64| -> Vec<(f64, f64)> {
            (0..12).map(|index| (50.0 * f64::from(index + 1), 50.0 * f64::from(index + 1) * factor)).collect()
        };
        let slower = of_cells(&cells(1.2), 1);
        assert!(slower.is_worse() && slower.relative.is_some_and(|part| (part - 0.2).abs() < 1e-9), "{slower:?}");
        let mixed: Vec<(f64, f64)> = cells(1.3)
            .into_iter()
            .zip(0..)
            .map(|((base, new), index)| if index % 2 == 0 { (base, new) } else { (new, base) })
            .collect();
        assert_eq!(of_cells(&mixed, 1).words(), "no difference shown");
        assert_eq!(of_cells(&cells(1.2)[..5], 1).interval_ms, None);
        assert!(!of_cells(&[], 1).has_values());
    }

    #[test]
    fn trials_without_an_end_are_counted_and_never_dropped() {
        let mut new = sample(50.0, 6);
        new[0] = None;
        let worse = of_medians(&sample(50.0, 6), &new, 1);
        assert_eq!((worse.censored, worse.interval_ms), ([0, 1], None));
        assert!(worse.is_worse());
        let better = of_medians(&new, &sample(50.0, 6), 1);
        assert!(!better.is_worse() && better.words().starts_with("not judged"), "{better:?}");
        let half = of_medians(&sample(1.0, 2), &[Some(1.0), None], 1);
        assert_eq!((half.value_ms, half.difference_ms), ([Some(1.5), None], None));
    }

    /// How often the interval holds the true difference, for the smallest allowed sample of a skewed distribution.
    #[test]
    fn the_interval_covers_the_difference_as_often_as_it_says() {
        let mut random = fastrand::Rng::with_seed(3);
        let mut draw = |median_ms: f64| -> Vec<Option<f64>> {
            // Exponential above a floor, as failover times are: the median of the tail is ln 2.
            let tail = |unit: f64| -unit.max(1e-12).ln() - std::f64::consts::LN_2;
            (0..TRIALS_MIN).map(|_| Some(median_ms + 20.0 * tail(random.f64()))).collect()
        };
        let covered = (0..300).filter(|&round| {
            let one = of_medians(&draw(80.0), &draw(100.0), round);
            one.interval_ms.is_some_and(|[low, high]| (low..=high).contains(&20.0))
        });
        let share = covered.count() as f64 / 300.0;
        assert!(share >= 0.93, "{share}");
    }
}
