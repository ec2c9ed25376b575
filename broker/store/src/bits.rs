//! A set of sequence numbers that lie close together: one bit each, from a first number on.
//!
//! Owns nothing but the bits; what being in the set means is said by `segments`.

/// Sequence numbers from `first` on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bits {
    first: u64,
    words: Vec<u64>,
}

impl Bits {
    /// An empty set for numbers from `first` on.
    pub(crate) fn new(first: u64) -> Self {
        Self { first, words: Vec::new() }
    }

    /// A set as [`Bits::words`] gave it.
    pub(crate) fn from_words(first: u64, words: Vec<u64>) -> Self {
        Self { first, words }
    }

    /// 64 numbers each, the lowest bit first.
    pub(crate) fn words(&self) -> &[u64] {
        &self.words
    }

    fn place(&self, number: u64) -> Option<(usize, u64)> {
        let index = number.checked_sub(self.first)?;
        Some((usize::try_from(index / 64).expect("a set fits memory"), 1 << (index % 64)))
    }

    /// # Panics
    /// When `number` is before the first.
    pub(crate) fn insert(&mut self, number: u64) {
        let (word, bit) = self.place(number).expect("a number of this set");
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        self.words[word] |= bit;
    }

    pub(crate) fn contains(&self, number: u64) -> bool {
        self.place(number).is_some_and(|(word, bit)| self.words.get(word).is_some_and(|bits| bits & bit != 0))
    }

    /// Whether it was there.
    pub(crate) fn remove(&mut self, number: u64) -> bool {
        let Some((word, bit)) = self.place(number) else { return false };
        match self.words.get_mut(word) {
            Some(bits) if *bits & bit != 0 => {
                *bits &= !bit;
                true
            }
            _ => false,
        }
    }

    /// Removes `from` to `to`, both included; returns how many were there.
    pub(crate) fn remove_range(&mut self, from: u64, to: u64) -> u64 {
        let from = from.max(self.first);
        let end = self.first + 64 * self.words.len() as u64;
        let to = to.min(end.saturating_sub(1));
        let (mut at, mut removed) = (from, 0);
        while at <= to && at < end {
            let (word, bit) = self.place(at).expect("within the set");
            let last = (self.first + 64 * (word as u64 + 1) - 1).min(to);
            let count = last - at + 1;
            let mask = if count == 64 { u64::MAX } else { ((1u64 << count) - 1) << bit.trailing_zeros() };
            removed += u64::from((self.words[word] & mask).count_ones());
            self.words[word] &= !mask;
            at = last + 1;
        }
        removed
    }

    /// In order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u64> {
        let numbers = |(index, word): (usize, &u64)| {
            let (first, word) = (self.first + 64 * index as u64, *word);
            (0..64).filter(move |bit| word >> bit & 1 == 1).map(move |bit| first + bit)
        };
        self.words.iter().enumerate().flat_map(numbers)
    }

    pub(crate) fn count(&self) -> u64 {
        self.words.iter().map(|word| u64::from(word.count_ones())).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn it_is_a_set() {
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..200 {
            let first = random.u64(0..1000);
            let (mut bits, mut model) = (Bits::new(first), BTreeSet::new());
            for _ in 0..100 {
                let number = first + random.u64(0..300);
                match random.u8(0..4) {
                    0 | 1 => {
                        bits.insert(number);
                        model.insert(number);
                    }
                    2 => assert_eq!(bits.remove(number), model.remove(&number)),
                    _ => {
                        let (from, to) = (random.u64(0..1400), number);
                        let gone: Vec<u64> =
                            model.iter().copied().filter(|number| (from..=to).contains(number)).collect();
                        model.retain(|number| !gone.contains(number));
                        assert_eq!(bits.remove_range(from, to), gone.len() as u64);
                    }
                }
                assert_eq!(bits.count(), model.len() as u64);
                assert_eq!(bits.contains(number), model.contains(&number));
            }
            let copy = Bits::from_words(first, bits.words().to_vec());
            assert!(bits.iter().eq(model.iter().copied()));
            assert!((0..1400).all(|number| copy.contains(number) == model.contains(&number)));
        }
    }
}
