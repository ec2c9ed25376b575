//! What was written, how much at a time, and how long the disk took.
//!
//! Owns [`Histogram`] and the counts of a lane, plain integers that only grow. Nothing is decided by them.

use disk::Nanos;

/// Upper bounds of commit times in nanoseconds: a flush takes some 20 us on a fast drive and 20 ms on a turning disk.
const COMMIT_BOUNDS: &[Nanos] = &[
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    1_000_000_000,
    5_000_000_000,
];

/// Upper bounds of batches in bytes: from one block to the largest batch.
const BATCH_BOUNDS: &[u64] = &[4096, 16_384, 65_536, 131_072, 262_144, 524_288, 1_048_576];

/// Counts of values by fixed bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    bounds: &'static [u64],
    /// One more than bounds: the last is for what lies above all of them.
    counts: Vec<u64>,
    sum: u64,
}

impl Histogram {
    /// Without values; `bounds` rise, and a value that equals one lies below it.
    pub fn new(bounds: &'static [u64]) -> Self {
        assert!(bounds.is_sorted(), "bounds rise");
        Self { bounds, counts: vec![0; bounds.len() + 1], sum: 0 }
    }

    /// Counts a value.
    pub fn record(&mut self, value: u64) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        self.counts[bucket] += 1;
        self.sum = self.sum.saturating_add(value);
    }

    /// How many values there are.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Their sum.
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// Each bound and how many values do not exceed it.
    pub fn cumulative(&self) -> impl Iterator<Item = (u64, u64)> {
        let below = self.counts.iter().scan(0, |sum, count| {
            *sum += count;
            Some(*sum)
        });
        self.bounds.iter().copied().zip(below)
    }
}

/// What one lane wrote since it serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneStatistics {
    /// From the issue of a batch's write to its completion, in nanoseconds; time that `debug_sync_delay` adds is part of it.
    pub commits: Histogram,
    /// Bytes of each batch as written, padding included.
    pub batches: Histogram,
    /// Records in them: messages, acknowledgements (several in one record), definitions.
    pub records: u64,
}

impl LaneStatistics {
    pub(crate) fn new() -> Self {
        Self { commits: Histogram::new(COMMIT_BOUNDS), batches: Histogram::new(BATCH_BOUNDS), records: 0 }
    }

    /// A batch is on media.
    pub(crate) fn committed(&mut self, took: Nanos, bytes: usize, records: u64) {
        self.commits.record(took);
        self.batches.record(bytes as u64);
        self.records += records;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_count_at_every_bound_that_they_do_not_exceed() {
        let mut histogram = Histogram::new(&[10, 20]);
        for value in [0, 10, 11, 20, 21, 1000] {
            histogram.record(value);
        }
        assert_eq!(histogram.cumulative().collect::<Vec<_>>(), [(10, 2), (20, 4)]);
        assert_eq!((histogram.count(), histogram.sum()), (6, 1062));
    }
}
