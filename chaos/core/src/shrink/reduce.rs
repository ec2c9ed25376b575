//! Which parts of a failing list to try next: delta debugging (Zeller and Hildebrandt, 2002). It plays nothing and knows no faults.
//!
//! First nothing at all, then ever smaller chunks alone, then all but one chunk. What fails becomes the list; it ends when no single
//! part can be left out.

use std::collections::HashSet;

/// The search.
#[derive(Clone, Debug)]
pub(super) struct Reduce {
    kept: Vec<usize>,
    chunks: usize,
    /// The next try: chunk alone from 0, all but a chunk from `chunks`.
    next: usize,
    asked: Option<Vec<usize>>,
    /// What did not fail; never asked again.
    passed: HashSet<Vec<usize>>,
    tried_nothing: bool,
}

impl Reduce {
    /// A list of `count` parts that fails.
    pub(super) fn new(count: usize) -> Self {
        Self {
            kept: (0..count).collect(),
            chunks: 2.min(count),
            next: 0,
            asked: None,
            passed: HashSet::new(),
            tried_nothing: count == 0,
        }
    }

    /// The smallest list known to fail.
    pub(super) fn kept(&self) -> &[usize] {
        &self.kept
    }

    /// What to try; the same until [`Self::told`]. `None`: no part can be left out.
    pub(super) fn next(&mut self) -> Option<&[usize]> {
        if self.asked.is_none() {
            self.asked = self.choose();
        }
        self.asked.as_deref()
    }

    fn choose(&mut self) -> Option<Vec<usize>> {
        if !self.tried_nothing {
            self.tried_nothing = true;
            return Some(Vec::new());
        }
        while self.kept.len() > 1 {
            while self.next < 2 * self.chunks {
                let candidate = self.candidate(self.next);
                self.next += 1;
                if candidate.len() < self.kept.len() && !self.passed.contains(&candidate) {
                    return Some(candidate);
                }
            }
            if self.chunks >= self.kept.len() {
                return None;
            }
            self.chunks = (self.chunks * 2).min(self.kept.len());
            self.next = 0;
        }
        None
    }

    fn candidate(&self, index: usize) -> Vec<usize> {
        let (chunk, alone) = (index % self.chunks, index < self.chunks);
        let begin = self.kept.len() * chunk / self.chunks;
        let end = self.kept.len() * (chunk + 1) / self.chunks;
        let is_in = |place: &usize| (begin..end).contains(place) == alone;
        (0..self.kept.len()).filter(is_in).map(|place| self.kept[place]).collect()
    }

    /// Whether what was asked for failed.
    pub(super) fn told(&mut self, fails: bool) {
        let Some(asked) = self.asked.take() else { return };
        if !fails {
            self.passed.insert(asked);
            return;
        }
        let was_alone = self.next <= self.chunks;
        self.kept = asked;
        let chunks = if was_alone { 2 } else { self.chunks.saturating_sub(1).max(2) };
        (self.chunks, self.next) = (chunks.min(self.kept.len().max(1)), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Runs the search against a rule; gives what is left, and how often it asked.
    fn search(count: usize, fails: impl Fn(&[usize]) -> bool) -> (Vec<usize>, usize) {
        let mut reduce = Reduce::new(count);
        let mut asked = 0;
        while let Some(candidate) = reduce.next().map(<[usize]>::to_vec) {
            asked += 1;
            reduce.told(fails(&candidate));
        }
        (reduce.kept().to_vec(), asked)
    }

    #[test]
    fn the_one_part_that_matters_is_left() {
        for guilty in 0..9 {
            let (kept, asked) = search(9, |list| list.contains(&guilty));
            assert_eq!(kept, [guilty]);
            assert!(asked <= 12, "{asked} tries for {guilty}");
        }
    }

    #[test]
    fn two_parts_that_only_fail_together_are_left() {
        assert_eq!(search(8, |list| list.contains(&1) && list.contains(&6)).0, [1, 6]);
    }

    #[test]
    fn what_fails_anyway_needs_no_part_and_one_try() {
        assert_eq!(search(5, |_| true), (vec![], 1));
        assert_eq!(search(0, |_| true), (vec![], 0));
        assert_eq!(search(1, |list| !list.is_empty()), (vec![0], 1));
    }

    proptest! {
        #[test]
        fn no_part_of_what_is_left_can_be_left_out(
            count in 1..12_usize,
            guilty in prop::collection::btree_set(0..12_usize, 1..4),
        ) {
            let guilty: Vec<usize> = guilty.into_iter().filter(|part| *part < count).collect();
            let (kept, asked) = search(count, |list| guilty.iter().all(|part| list.contains(part)));
            prop_assert_eq!(kept, guilty);
            prop_assert!(asked <= count * count + 3 * count);
        }
    }
}
