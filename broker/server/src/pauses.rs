//! How long the turns of the loop took: while one lasts, nothing else is served.
//!
//! Owns the distribution. Waiting for completions is no part of a turn; what the system gave to other processes is.

use reactor::Nanos;

/// Each power of two is cut into so many buckets, so a quantile is at most an eighth too high.
const BUCKETS_PER_POWER: usize = 8;
const BUCKETS: usize = (64 - BUCKETS_PER_POWER.ilog2() as usize + 1) * BUCKETS_PER_POWER;

/// The durations of all turns since the start.
#[derive(Debug)]
pub(crate) struct Pauses {
    turns: u64,
    longest: Nanos,
    counts: [u64; BUCKETS],
}

impl Pauses {
    pub(crate) fn new() -> Pauses {
        Pauses { turns: 0, longest: 0, counts: [0; BUCKETS] }
    }

    pub(crate) fn record(&mut self, duration: Nanos) {
        self.turns += 1;
        self.longest = self.longest.max(duration);
        self.counts[bucket_of(duration)] += 1;
    }

    pub(crate) fn turns(&self) -> u64 {
        self.turns
    }

    pub(crate) fn longest(&self) -> Nanos {
        self.longest
    }

    /// The duration that at least `per_mille` of a thousand turns did not exceed; 0 before the first.
    pub(crate) fn quantile(&self, per_mille: u64) -> Nanos {
        let wanted = (u128::from(self.turns) * u128::from(per_mille)).div_ceil(1000);
        let mut passed = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            passed += u128::from(*count);
            if passed >= wanted {
                return end_of(bucket).min(self.longest);
            }
        }
        self.longest
    }
}

fn bucket_of(duration: Nanos) -> usize {
    let fine = BUCKETS_PER_POWER.ilog2();
    if duration < BUCKETS_PER_POWER as u64 {
        return duration as usize;
    }
    let shift = duration.ilog2() - fine;
    (shift as usize + 1) * BUCKETS_PER_POWER + (duration >> shift) as usize % BUCKETS_PER_POWER
}

/// The longest duration of a bucket.
fn end_of(bucket: usize) -> Nanos {
    let (power, part) = (bucket / BUCKETS_PER_POWER, (bucket % BUCKETS_PER_POWER) as u64);
    match power.checked_sub(1) {
        None => part,
        Some(shift) => {
            let parts_to_end = u128::from(part) + BUCKETS_PER_POWER as u128 + 1;
            ((parts_to_end << shift) - 1).try_into().unwrap_or(Nanos::MAX)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_ends_where_the_next_begins() {
        assert_eq!((bucket_of(0), bucket_of(Nanos::MAX)), (0, BUCKETS - 1));
        for bucket in 0..BUCKETS {
            let end = end_of(bucket);
            assert_eq!(bucket_of(end), bucket, "{end}");
            if bucket + 1 < BUCKETS {
                assert_eq!(bucket_of(end + 1), bucket + 1, "{end}");
            }
        }
    }

    #[test]
    fn quantiles_are_an_eighth_too_high_at_most() {
        let mut pauses = Pauses::new();
        assert_eq!(pauses.quantile(999), 0);
        (1..=10_000).for_each(|us| pauses.record(us * 1000));
        for (per_mille, exact) in [(500, 5_000_000), (990, 9_900_000), (999, 9_990_000)] {
            let quantile = pauses.quantile(per_mille);
            assert!((exact..=exact + exact / 8).contains(&quantile), "{per_mille}: {quantile}");
        }
        assert_eq!((pauses.quantile(1000), pauses.longest(), pauses.turns()), (10_000_000, 10_000_000, 10_000));
    }
}
