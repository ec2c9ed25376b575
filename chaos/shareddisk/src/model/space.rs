//! Which blocks of a file have their place on the disk: what was allocated cannot fail for want of space.
//!
//! Owns sets of ranges, in blocks. How much space there is belongs to the model.

use std::collections::BTreeMap;
use std::ops::Range;

/// Bytes of a block, the unit in which space is counted.
pub const BLOCK_BYTES: u64 = 4096;

/// Blocks that have their place, as ranges that neither touch nor overlap. One for each hole at most.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Allocated {
    ranges: BTreeMap<u64, u64>,
}

/// The blocks that `len` bytes at `offset` touch.
pub(super) fn blocks(offset: u64, len: u64) -> Range<u64> {
    offset / BLOCK_BYTES..offset.saturating_add(len).div_ceil(BLOCK_BYTES)
}

impl Allocated {
    /// How many blocks of `range` have no place yet.
    pub(super) fn missing(&self, range: Range<u64>) -> u64 {
        let total = range.end.saturating_sub(range.start);
        let present: u64 =
            self.overlapping(&range).map(|(start, end)| end.min(range.end) - start.max(range.start)).sum();
        total - present
    }

    /// How many blocks have their place.
    pub(super) fn total(&self) -> u64 {
        self.ranges.iter().map(|(start, end)| end - start).sum()
    }

    fn overlapping(&self, range: &Range<u64>) -> impl Iterator<Item = (u64, u64)> {
        let range = range.clone();
        let before = self.ranges.range(..range.start).next_back();
        let inside = self.ranges.range(range.start..range.end.max(range.start));
        let all = before.into_iter().chain(inside).map(|(&start, &end)| (start, end));
        all.filter(move |&(start, end)| start < range.end && end > range.start)
    }

    /// Gives `range` its place.
    pub(super) fn insert(&mut self, range: Range<u64>) {
        if range.start >= range.end {
            return;
        }
        let near = range.start.saturating_sub(1)..range.end + 1;
        let touching: Vec<(u64, u64)> = self.overlapping(&near).collect();
        let (mut start, mut end) = (range.start, range.end);
        for (other_start, other_end) in touching {
            self.ranges.remove(&other_start);
            start = start.min(other_start);
            end = end.max(other_end);
        }
        self.ranges.insert(start, end);
    }

    /// Gives the place of `range` back.
    pub(super) fn remove(&mut self, range: Range<u64>) {
        if range.start >= range.end {
            return;
        }
        let overlapping: Vec<(u64, u64)> = self.overlapping(&range).collect();
        for (start, end) in overlapping {
            self.ranges.remove(&start);
            if start < range.start {
                self.ranges.insert(start, range.start);
            }
            if end > range.end {
                self.ranges.insert(range.end, end);
            }
        }
    }

    /// The first block from `from` on that is in place (`wanted`) or is not; `None` without one.
    pub(super) fn next(&self, from: u64, wanted: bool) -> Option<u64> {
        let inside = self.overlapping(&(from..from + 1)).next();
        match (inside, wanted) {
            (Some(_), true) | (None, false) => Some(from),
            (Some((_, end)), false) => Some(end),
            (None, true) => self.ranges.range(from..).next().map(|(&start, _)| start),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) })]

        /// A set of single blocks is the measure. Fails when ranges are merged or cut wrongly.
        #[test]
        fn it_counts_as_a_set_of_blocks_does(
            steps in proptest::collection::vec((any::<bool>(), 0_u64..40, 0_u64..12), 1..40),
            ask in 0_u64..45,
        ) {
            let mut allocated = Allocated::default();
            let mut set = BTreeSet::new();
            for (insert, start, len) in steps {
                let missing = (start..start + len).filter(|block| !set.contains(block)).count() as u64;
                prop_assert_eq!(allocated.missing(start..start + len), missing);
                if insert {
                    allocated.insert(start..start + len);
                    set.extend(start..start + len);
                } else {
                    allocated.remove(start..start + len);
                    set.retain(|block| !(start..start + len).contains(block));
                }
                prop_assert_eq!(allocated.total(), set.len() as u64);
            }
            prop_assert_eq!(allocated.next(ask, true), set.range(ask..).next().copied());
            prop_assert_eq!(allocated.next(ask, false), (ask..).find(|block| !set.contains(block)));
        }
    }

    #[test]
    fn bytes_count_by_the_blocks_that_they_touch() {
        assert_eq!(blocks(0, 0), 0..0);
        assert_eq!(blocks(4095, 2), 0..2);
        assert_eq!(blocks(4096, 4096), 1..2);
    }
}
