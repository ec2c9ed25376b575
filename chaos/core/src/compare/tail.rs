//! The difference of two latency percentiles: histograms of whole trials are merged, resampled and merged again. Nothing is averaged.

use super::difference::{Difference, TRIALS_MIN, middle, with_difference};
use std::collections::BTreeSet;

/// Resamples behind an interval of a difference of percentiles: each merges all histograms of a cell.
pub(super) const RESAMPLES: usize = 1000;
/// The percentiles that are compared.
pub(super) const PERCENTILES: [(&str, f64); 3] = [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)];

/// The recorded values of one trial, ascending, ns, and how often each was.
pub(super) type Recorded = Vec<(u64, u64)>;

/// Compares the percentiles of two lists of trials, in the order of [`PERCENTILES`].
pub(super) fn of_merged(base: &[Recorded], new: &[Recorded], seed: u64) -> [Difference; 3] {
    let sides = [Table::new(base), Table::new(new)];
    if sides.iter().any(Table::is_empty) {
        return Default::default();
    }
    let values = sides.each_ref().map(|side| side.percentiles(&vec![1; side.trials.len()]));
    let enough = sides.iter().all(|side| side.trials.len() >= TRIALS_MIN);
    let mut drawn = if enough { differences(&sides, seed) } else { Default::default() };
    std::array::from_fn(|place| {
        let interval_ms = (!drawn[place].is_empty()).then(|| middle(&mut drawn[place]));
        with_difference(Difference {
            n: sides.each_ref().map(|side| side.trials.len()),
            value_ms: values.each_ref().map(|side| Some(side[place])),
            interval_ms,
            ..Difference::default()
        })
    })
}

fn differences(sides: &[Table; 2], seed: u64) -> [Vec<f64>; 3] {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut found: [Vec<f64>; 3] = Default::default();
    for _ in 0..RESAMPLES {
        let [base, new] = sides.each_ref().map(|side| {
            let mut weights = vec![0; side.trials.len()];
            (0..weights.len()).for_each(|_| weights[random.usize(..side.trials.len())] += 1);
            side.percentiles(&weights)
        });
        for (place, list) in found.iter_mut().enumerate() {
            list.push(new[place] - base[place]);
        }
    }
    found
}

/// The histograms of several trials over the values that any of them holds.
struct Table {
    values_ns: Vec<u64>,
    /// For each trial that recorded anything, how often each value was.
    trials: Vec<Vec<u64>>,
}

impl Table {
    fn new(recorded: &[Recorded]) -> Self {
        let all: BTreeSet<u64> = recorded.iter().flatten().map(|(value, _)| *value).collect();
        let values_ns: Vec<u64> = all.into_iter().collect();
        let row = |one: &Recorded| {
            let mut counts = vec![0; values_ns.len()];
            for (value, count) in one {
                let place = values_ns.binary_search(value).expect("every value is in the list");
                counts[place] += count;
            }
            counts
        };
        let trials = recorded.iter().filter(|one| !one.is_empty()).map(row).collect();
        Self { values_ns, trials }
    }

    fn is_empty(&self) -> bool {
        self.trials.is_empty()
    }

    /// The percentiles, ms, of all messages, where each trial counts as often as its weight says.
    fn percentiles(&self, weights: &[u64]) -> [f64; 3] {
        let mut merged = vec![0; self.values_ns.len()];
        for (counts, &weight) in self.trials.iter().zip(weights).filter(|(_, weight)| **weight > 0) {
            for (sum, count) in merged.iter_mut().zip(counts) {
                *sum += count * weight;
            }
        }
        let total: u64 = merged.iter().sum();
        PERCENTILES.map(|(_, share)| {
            let rank = ((total as f64 * share).ceil() as u64).max(1);
            let mut below = 0;
            let place = merged.iter().position(|count| {
                below += count;
                below >= rank
            });
            place.map_or(0.0, |place| self.values_ns[place] as f64 / 1e6)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 98 of 100 messages take 1 ms and two take `slow_ms`.
    fn trials(n: usize, slow_ms: u64) -> Vec<Recorded> {
        (0..n as u64).map(|index| vec![(1_000_000, 98), (slow_ms * 1_000_000 + index, 2)]).collect()
    }

    #[test]
    fn percentiles_are_those_of_the_merged_messages() {
        // The mean of the two medians would be 50.5 ms; of all messages most took 100 ms.
        let merged = of_merged(&[vec![(1_000_000, 10)], vec![(100_000_000, 30)]], &trials(1, 5), 1);
        assert_eq!(merged[0].value_ms, [Some(100.0), Some(1.0)]);
    }

    #[test]
    fn a_longer_tail_shows_in_the_tail_only() {
        let [p50, p99, _] = of_merged(&trials(6, 20), &trials(6, 40), 1);
        assert_eq!((p50.difference_ms, p50.is_worse()), (Some(0.0), false));
        assert!(p99.is_worse() && p99.relative.is_some_and(|part| (part - 1.0).abs() < 0.01), "{p99:?}");
    }

    #[test]
    fn few_trials_have_no_interval_and_none_have_no_value() {
        let [p50, ..] = of_merged(&trials(5, 20), &trials(6, 20), 1);
        assert!(p50.has_values() && p50.interval_ms.is_none());
        assert!(!of_merged(&[], &trials(6, 20), 1)[0].has_values());
        assert!(!of_merged(&[vec![]], &trials(6, 20), 1)[0].has_values());
    }
}
