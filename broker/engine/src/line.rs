//! The waiting entries of one level in order of arrival: what a recovered store still hands over, then what was
//! published meanwhile.
//!
//! Owns the memory of the entries, in chunks: growing copies nothing, and what was taken gives its memory back. While
//! a backlog is being loaded, the arrivals behind it are kept but not shown; when it is complete they are shown by
//! the flip of a flag, so that no number of them makes a pause.

use crate::entry::Entry;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// Entries of one chunk: 32 KiB. Larger ones were not faster, and each level that is in use has one at least.
const CHUNK: usize = 1024;

/// A queue of entries that grows and shrinks by chunks.
#[derive(Debug, Default)]
struct Chunks {
    /// All but the last are full; the first `head` entries of the first are gone.
    chunks: VecDeque<Vec<Entry>>,
    head: usize,
    len: usize,
}

impl Chunks {
    fn push(&mut self, entry: Entry) {
        match self.chunks.back_mut() {
            Some(last) if last.len() < CHUNK => last.push(entry),
            other => {
                // A short queue takes no more than it needs; a long one is not moved about.
                let mut chunk = Vec::with_capacity(if other.is_some() { CHUNK } else { 0 });
                chunk.push(entry);
                self.chunks.push_back(chunk);
            }
        }
        self.len += 1;
    }

    fn pop(&mut self) -> Option<Entry> {
        let first = self.chunks.front_mut()?;
        let entry = *first.get(self.head)?;
        self.head += 1;
        self.len -= 1;
        if self.len == 0 {
            first.clear();
            self.head = 0;
        } else if self.head == CHUNK {
            self.chunks.pop_front();
            self.head = 0;
        }
        Some(entry)
    }

    fn get(&self, index: usize) -> Option<&Entry> {
        let at = index + self.head;
        self.chunks.get(at / CHUNK)?.get(at % CHUNK)
    }

    fn get_mut(&mut self, index: usize) -> Option<&mut Entry> {
        let at = index + self.head;
        self.chunks.get_mut(at / CHUNK)?.get_mut(at % CHUNK)
    }
}

/// Entries in order of arrival.
#[derive(Debug, Default)]
pub(crate) struct Line {
    /// What is shown first.
    front: Chunks,
    /// Behind `front`; empty unless a backlog was or is being loaded.
    arrivals: Chunks,
    /// More may come to `front`, so that `arrivals` is not shown.
    is_loading: bool,
}

impl Line {
    /// Whether there is no entry, shown or not.
    pub(crate) fn is_empty(&self) -> bool {
        self.front.len + self.arrivals.len == 0
    }

    /// All entries, shown or not.
    pub(crate) fn total(&self) -> usize {
        self.front.len + self.arrivals.len
    }

    /// Entries that are shown.
    pub(crate) fn len(&self) -> usize {
        if self.is_loading { self.front.len } else { self.total() }
    }

    /// Whether entries are kept back until a backlog is complete.
    pub(crate) fn set_loading(&mut self, is_loading: bool) {
        assert!(!is_loading || self.arrivals.len == 0, "a backlog is loaded before anything arrives behind it");
        self.is_loading = is_loading;
        self.turn_over();
    }

    /// Appends an entry of the backlog.
    pub(crate) fn push_loaded(&mut self, entry: Entry) {
        assert!(self.is_loading, "a backlog is announced before it is loaded");
        self.front.push(entry);
    }

    /// Appends an entry that arrives.
    pub(crate) fn push(&mut self, entry: Entry) {
        if self.is_loading || self.arrivals.len > 0 {
            self.arrivals.push(entry);
        } else {
            self.front.push(entry);
        }
    }

    pub(crate) fn front(&self) -> Option<&Entry> {
        self.front.get(0)
    }

    pub(crate) fn pop_front(&mut self) -> Option<Entry> {
        let entry = self.front.pop();
        self.turn_over();
        entry
    }

    /// Arrivals become the front when that is used up: the first entry shown is always there.
    fn turn_over(&mut self) {
        if self.front.len == 0 && !self.is_loading && self.arrivals.len > 0 {
            self.front = core::mem::take(&mut self.arrivals);
        }
    }

    /// The shown entry at `index`.
    pub(crate) fn get(&self, index: usize) -> Option<&Entry> {
        match index.checked_sub(self.front.len) {
            None => self.front.get(index),
            Some(_) if self.is_loading => None,
            Some(behind) => self.arrivals.get(behind),
        }
    }

    pub(crate) fn get_mut(&mut self, index: usize) -> Option<&mut Entry> {
        match index.checked_sub(self.front.len) {
            None => self.front.get_mut(index),
            Some(_) if self.is_loading => None,
            Some(behind) => self.arrivals.get_mut(behind),
        }
    }

    /// The entries that are shown, with their index, from `skip` on.
    pub(crate) fn iter_from(&self, skip: usize) -> impl Iterator<Item = (usize, &Entry)> {
        (skip..self.len()).map_while(|index| Some((index, self.get(index)?)))
    }

    /// The entries that are kept back.
    pub(crate) fn hidden(&self) -> impl Iterator<Item = &Entry> {
        (0..self.total() - self.len()).map_while(|index| self.arrivals.get(index))
    }

    /// Drops the entries that `keep` does not want.
    pub(crate) fn retain(&mut self, keep: impl Fn(&Entry) -> bool) {
        for part in [&mut self.front, &mut self.arrivals] {
            let mut kept = Chunks::default();
            while let Some(entry) = part.pop() {
                if keep(&entry) {
                    kept.push(entry);
                }
            }
            *part = kept;
        }
        self.turn_over();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(lsn: u64) -> Entry {
        Entry { lsn, ..Entry::default() }
    }

    fn lsns(line: &Line) -> Vec<u64> {
        line.iter_from(0).map(|(_, entry)| entry.lsn).collect()
    }

    #[test]
    fn order_and_indices_hold_over_chunks() {
        let mut line = Line::default();
        let total = 5 * CHUNK as u64 / 2;
        (0..total).for_each(|lsn| line.push(entry(lsn)));
        for expected in 0..CHUNK as u64 + 7 {
            assert_eq!(line.pop_front().map(|entry| entry.lsn), Some(expected));
        }
        let first = CHUNK as u64 + 7;
        assert_eq!(line.front().map(|entry| entry.lsn), Some(first));
        for index in 0..line.len() {
            assert_eq!(line.get(index).map(|entry| entry.lsn), Some(first + index as u64));
        }
        assert_eq!(line.get(line.len()), None);
        line.retain(|entry| entry.lsn % 2 == 0);
        assert_eq!(lsns(&line), (first..total).filter(|lsn| lsn % 2 == 0).collect::<Vec<_>>());
    }

    #[test]
    fn arrivals_stand_behind_the_backlog_and_are_hidden_until_it_is_complete() {
        let mut line = Line::default();
        line.set_loading(true);
        line.push(entry(10));
        assert_eq!((line.len(), line.total(), line.front()), (0, 1, None));
        line.push_loaded(entry(1));
        line.push_loaded(entry(2));
        line.push(entry(11));
        assert_eq!(lsns(&line), [1, 2]);
        assert_eq!(line.pop_front(), Some(entry(1)));
        assert_eq!(line.get(1), None);
        line.set_loading(false);
        line.push(entry(12));
        assert_eq!(lsns(&line), [2, 10, 11, 12]);
        line.get_mut(3).expect("shown").priority = 9;
        assert_eq!(line.pop_front(), Some(entry(2)));
        line.push(entry(13));
        assert_eq!(lsns(&line), [10, 11, 12, 13]);
        assert_eq!(line.hidden().count(), 0);
    }

    #[test]
    fn memory_that_was_used_is_given_back() {
        let mut line = Line::default();
        (0..100 * CHUNK as u64).for_each(|lsn| line.push(entry(lsn)));
        for _ in 1..100 * CHUNK {
            line.pop_front();
        }
        assert_eq!(line.front.chunks.len(), 1);
        line.pop_front();
        (0..CHUNK as u64).for_each(|lsn| line.push(entry(lsn)));
        assert_eq!((line.front.chunks.len(), line.len()), (1, CHUNK), "an empty chunk is used again from its start");
    }
}
