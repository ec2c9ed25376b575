//! Owns how sure one can be of a figure that a run's intervals give: a block bootstrap. It reads no file and judges nothing.
//!
//! Neighbouring intervals resemble each other, so blocks of them are drawn, with replacement and around the end, until a run of the same
//! length is put together; of several runs, as many are drawn first. The figures of many such runs show how much they vary by chance.

use std::collections::BTreeSet;
use std::ops::Range;

use hdrhistogram::Histogram;

/// Intervals of a block: a second of ten, longer than most pauses of a broker that spoil neighbours together.
const BLOCK_INTERVALS: usize = 10;

/// A run: how many samples each value had by the end of each interval.
#[derive(Debug, Clone)]
struct Run {
    /// One row more than there are intervals; the first is all zero.
    sums: Vec<Vec<u64>>,
    block: usize,
}

impl Run {
    fn intervals(&self) -> usize {
        self.sums.len() - 1
    }

    fn add(&self, range: Range<usize>, counts: &mut [u64]) {
        let (before, after) = (&self.sums[range.start], &self.sums[range.end]);
        for (count, (before, after)) in counts.iter_mut().zip(before.iter().zip(after)) {
            *count += after - before;
        }
    }

    /// As many intervals as it has, from blocks at random.
    fn draw(&self, random: &mut fastrand::Rng, counts: &mut [u64]) {
        let intervals = self.intervals();
        let mut left = intervals;
        while left > 0 {
            let (start, length) = (random.usize(..intervals), self.block.min(left));
            let end = (start + length).min(intervals);
            self.add(start..end, counts);
            self.add(0..start + length - end, counts);
            left -= length;
        }
    }
}

/// All runs of one side of a comparison, for one histogram.
#[derive(Debug, Clone)]
pub struct Sampled {
    /// Every value that occurs, in order.
    values: Vec<u64>,
    runs: Vec<Run>,
    seconds_per_interval: f64,
}

/// How often each value occurs, in one run put together or in all that were made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counts<'a> {
    values: &'a [u64],
    counts: Vec<u64>,
    intervals: usize,
}

impl Sampled {
    /// From the intervals of each run, in their order, an empty histogram for one in which nothing was measured.
    #[must_use]
    pub fn new(runs: &[Vec<Histogram<u64>>], seconds_per_interval: f64) -> Self {
        let recorded = |histogram: &Histogram<u64>| -> Vec<(u64, u64)> {
            histogram
                .iter_recorded()
                .map(|step| (step.value_iterated_to(), step.count_since_last_iteration()))
                .collect()
        };
        let values: BTreeSet<u64> = runs.iter().flatten().flat_map(recorded).map(|(value, _)| value).collect();
        let values: Vec<u64> = values.into_iter().collect();
        let run = |intervals: &Vec<Histogram<u64>>| {
            let mut sums = vec![vec![0; values.len()]];
            for histogram in intervals {
                let mut sum = sums[sums.len() - 1].clone();
                for (value, count) in recorded(histogram) {
                    if let Ok(index) = values.binary_search(&value) {
                        sum[index] += count;
                    }
                }
                sums.push(sum);
            }
            Run { block: BLOCK_INTERVALS.min(intervals.len() / 10).max(1), sums }
        };
        let runs = runs.iter().filter(|intervals| !intervals.is_empty()).map(run).collect();
        Self { values, runs, seconds_per_interval }
    }

    /// Intervals of all runs together.
    #[must_use]
    pub fn intervals(&self) -> usize {
        self.runs.iter().map(Run::intervals).sum()
    }

    /// All that was measured.
    #[must_use]
    pub fn all(&self) -> Counts<'_> {
        let mut counts = vec![0; self.values.len()];
        self.runs.iter().for_each(|run| run.add(0..run.intervals(), &mut counts));
        Counts { values: &self.values, counts, intervals: self.intervals() }
    }

    /// A run, or as many as there are, put together at random.
    #[must_use]
    pub fn draw(&self, random: &mut fastrand::Rng) -> Counts<'_> {
        let (mut counts, mut intervals) = (vec![0; self.values.len()], 0);
        for index in 0..self.runs.len() {
            let chosen = if self.runs.len() > 1 { random.usize(..self.runs.len()) } else { index };
            self.runs[chosen].draw(random, &mut counts);
            intervals += self.runs[chosen].intervals();
        }
        Counts { values: &self.values, counts, intervals }
    }

    /// Samples a second.
    #[must_use]
    pub fn rate(&self, counts: &Counts<'_>) -> f64 {
        counts.total() as f64 / (counts.intervals as f64 * self.seconds_per_interval)
    }
}

impl Counts<'_> {
    fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The smallest value that the share `quantile` of all samples does not exceed; `None` without samples.
    #[must_use]
    pub fn quantile(&self, quantile: f64) -> Option<u64> {
        let wanted = ((self.total() as f64 * quantile).ceil() as u64).max(1);
        let mut seen = 0;
        let at = self.counts.iter().position(|count| {
            seen += count;
            seen >= wanted
        });
        at.map(|at| self.values[at])
    }
}

/// The bounds that hold the middle 95 % of `figures`.
#[must_use]
pub fn interval95(mut figures: Vec<f64>) -> Option<(f64, f64)> {
    figures.sort_unstable_by(f64::total_cmp);
    let at = |share: f64| figures.get(((figures.len() as f64 - 1.0) * share).round() as usize).copied();
    at(0.025).zip(at(0.975))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interval(values: &[u64]) -> Histogram<u64> {
        let mut histogram = Histogram::new(3).expect("three digits");
        values.iter().for_each(|value| histogram.record(*value).expect("in range"));
        histogram
    }

    #[test]
    fn all_is_what_was_measured() {
        let run: Vec<_> = (0..20).map(|number| interval(&[10, 20 + number])).chain([interval(&[])]).collect();
        let sampled = Sampled::new(&[run], 0.1);
        let all = sampled.all();
        assert_eq!((all.total(), sampled.intervals()), (40, 21));
        assert_eq!((all.quantile(0.5), all.quantile(0.51), all.quantile(1.0)), (Some(10), Some(20), Some(39)));
        assert!((sampled.rate(&all) - 40.0 / 2.1).abs() < 1e-9);
        assert_eq!(Sampled::new(&[], 0.1).all().quantile(0.5), None);
    }

    #[test]
    fn a_drawn_run_is_as_long_and_the_seed_repeats_it() {
        let run: Vec<_> = (0..200).map(|number| interval(&[number + 1])).collect();
        let sampled = Sampled::new(&[run.clone(), run], 0.1);
        let draw = |seed| sampled.draw(&mut fastrand::Rng::with_seed(seed));
        assert_eq!((draw(1).total(), draw(1).intervals), (400, 400));
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }

    /// In 200 experiments with a known mean rate, the interval must hold the truth in about 95 of 100.
    #[test]
    fn the_interval_holds_the_truth_as_often_as_it_says() {
        let mut held = 0;
        for experiment in 0..200 {
            let mut random = fastrand::Rng::with_seed(experiment);
            let run: Vec<_> = (0..100).map(|_| interval(&vec![5; random.usize(0..21)])).collect();
            let sampled = Sampled::new(&[run], 1.0);
            let figures = (0..300).map(|_| sampled.rate(&sampled.draw(&mut random))).collect();
            let (low, high) = interval95(figures).expect("figures");
            held += u32::from(low <= 10.0 && 10.0 <= high);
        }
        assert!((175..=199).contains(&held), "{held} of 200");
    }
}
