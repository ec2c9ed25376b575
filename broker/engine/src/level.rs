//! The waiting messages of one priority in one queue.
//!
//! Owns their order. Entries never handed out stand in `ready`; those that came back stand in `returned` and go first,
//! since all of them were ahead of `ready` when they left. Knows neither consumers' credit nor limits.

use crate::entry::{ConsumerId, EXCLUSIONS, Entry, TOMBSTONE, WHEN_CONFIRMED};
use crate::line::Line;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// Order of arrival within a level. An entry keeps it while a consumer holds it.
pub(crate) type Position = u64;

/// What a consumer may see of a level.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View {
    /// Entries that wait for confirmation are visible through this lsn.
    pub(crate) confirmed_lsn: u64,
    /// Who looks.
    pub(crate) consumer: ConsumerId,
}

/// Waiting messages of one priority.
#[derive(Debug, Default)]
pub(crate) struct Level {
    /// Arrival order; the front is never a tombstone.
    ready: Line,
    /// Position of `ready[0]`. Positions below it have been handed out or removed.
    base: Position,
    /// Entries that came back; all positions are below `base`.
    returned: BTreeMap<Position, Entry>,
    /// Consumers that must not get an entry again; only for entries with the flag [`EXCLUSIONS`], waiting or unsettled.
    exclusions: BTreeMap<Position, Vec<ConsumerId>>,
    /// Holes in `ready`.
    tombstones: usize,
}

/// Holes that are tolerated before `ready` is compacted; below this it is not worth the walk.
const TOMBSTONES_MIN: usize = 64;

impl Level {
    pub(crate) fn is_empty(&self) -> bool {
        self.ready.is_empty() && self.returned.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.ready.total() - self.tombstones + self.returned.len()
    }

    pub(crate) fn has_exclusions(&self) -> bool {
        !self.exclusions.is_empty()
    }

    pub(crate) fn push(&mut self, entry: Entry) {
        assert!(!entry.has(TOMBSTONE | EXCLUSIONS), "a new entry carries flags of an old one");
        self.ready.push(entry);
    }

    /// Adds an entry of the backlog; what arrives meanwhile stays behind it.
    pub(crate) fn push_loaded(&mut self, entry: Entry) {
        assert!(!entry.has(TOMBSTONE | EXCLUSIONS), "a new entry carries flags of an old one");
        self.ready.push_loaded(entry);
    }

    /// Whether a backlog is being loaded: what arrives is not to be had before that ends.
    pub(crate) fn set_loading(&mut self, is_loading: bool) {
        self.ready.set_loading(is_loading);
    }

    /// The first entry that `view` may have.
    pub(crate) fn first(&self, view: View) -> Option<(Position, &Entry)> {
        self.first_from(0, view)
    }

    /// The first entry at or after `from` that `view` may have.
    pub(crate) fn first_from(&self, from: Position, view: View) -> Option<(Position, &Entry)> {
        if !self.returned.is_empty() {
            let mut back = self.returned.range(from..);
            if let Some((position, entry)) = back.find(|(position, entry)| !self.is_excluded(**position, entry, view)) {
                return Some((*position, entry));
            }
        }
        let skip = usize::try_from(from.saturating_sub(self.base)).expect("a position fits memory");
        let (index, entry) = self.ready.iter_from(skip).find(|(_, entry)| !entry.has(TOMBSTONE))?;
        // Whoever waits for confirmation keeps those behind it waiting: order within a priority is kept.
        let hidden = entry.has(WHEN_CONFIRMED) && entry.lsn > view.confirmed_lsn;
        if hidden { None } else { Some((self.base + index as u64, entry)) }
    }

    fn is_excluded(&self, position: Position, entry: &Entry, view: View) -> bool {
        entry.has(EXCLUSIONS) && self.exclusions.get(&position).is_some_and(|list| list.contains(&view.consumer))
    }

    /// Takes the entry at `position`, which [`Level::first`] gave. Its exclusions stay known.
    pub(crate) fn take(&mut self, position: Position) -> Entry {
        if position < self.base {
            return self.returned.remove(&position).expect("the position was just found");
        }
        if position > self.base {
            return self.bury(position);
        }
        let entry = self.ready.pop_front().expect("the position was just found");
        self.base += 1;
        self.trim();
        entry
    }

    /// Leaves a hole behind an entry that is not the first.
    fn bury(&mut self, position: Position) -> Entry {
        let index = usize::try_from(position - self.base).expect("a position fits memory");
        let place = self.ready.get_mut(index).expect("the position was just found");
        let entry = *place;
        assert!(!entry.has(TOMBSTONE), "an entry is taken once");
        place.flags |= TOMBSTONE;
        self.tombstones += 1;
        entry
    }

    fn trim(&mut self) {
        while self.ready.front().is_some_and(|entry| entry.has(TOMBSTONE)) {
            self.ready.pop_front();
            self.base += 1;
            self.tombstones -= 1;
        }
    }

    /// Puts an entry back to the place that it was taken from.
    pub(crate) fn put_back(&mut self, position: Position, entry: Entry) {
        assert!(position < self.base, "only what was handed out comes back");
        let twin = self.returned.insert(position, entry);
        assert!(twin.is_none(), "two entries at one position");
    }

    pub(crate) fn exclude(&mut self, position: Position, entry: &mut Entry, consumer: ConsumerId) {
        entry.flags |= EXCLUSIONS;
        let list = self.exclusions.entry(position).or_default();
        if !list.contains(&consumer) {
            list.push(consumer);
        }
    }

    /// Forgets what was kept of an entry that is gone for good.
    pub(crate) fn forget(&mut self, position: Position, entry: &Entry) {
        if entry.has(EXCLUSIONS) {
            self.exclusions.remove(&position);
        }
    }

    /// Forgets a consumer that is gone.
    pub(crate) fn forget_consumer(&mut self, consumer: ConsumerId) {
        for list in self.exclusions.values_mut() {
            list.retain(|other| *other != consumer);
        }
    }

    /// The first entry in order, whoever may see it.
    pub(crate) fn oldest(&self) -> Option<(Position, &Entry)> {
        let back = self.returned.first_key_value().map(|(position, entry)| (*position, entry));
        back.or_else(|| self.ready.front().map(|entry| (self.base, entry)))
    }

    /// The position that the next entry gets.
    pub(crate) fn end(&self) -> Position {
        self.base + self.ready.len() as u64
    }

    /// Removes expired entries from `from` on, looking at no more than `budget`; returns where to go on, if anywhere.
    pub(crate) fn expire(
        &mut self,
        from: Position,
        now_ms: u64,
        budget: &mut usize,
        mut gone: impl FnMut(Position, Entry),
    ) -> Option<Position> {
        let back: Vec<Position> = self.returned.range(from..).take(*budget).map(|(position, _)| *position).collect();
        *budget -= back.len();
        for position in &back {
            if self.returned[position].is_expired(now_ms) {
                gone(*position, self.take(*position));
            }
        }
        if *budget == 0 {
            return Some(back.last().map_or(from, |last| last + 1));
        }
        let start = from.max(self.base);
        let end = (self.base + self.ready.len() as u64).min(start.saturating_add(*budget as u64));
        *budget -= usize::try_from(end.saturating_sub(start)).expect("bounded by the budget");
        for position in start..end {
            // `take` may trim holes and so move `base` past `position`.
            let Some(index) = position.checked_sub(self.base) else { continue };
            let Some(entry) = self.ready.get(index as usize) else { break };
            if !entry.has(TOMBSTONE) && entry.is_expired(now_ms) {
                gone(position, self.take(position));
            }
        }
        (end < self.base + self.ready.len() as u64).then_some(end)
    }

    /// Closes the holes when there are many. `cursors` are positions of browsers and keep meaning the same entry.
    pub(crate) fn compact<'c>(&mut self, cursors: impl Iterator<Item = &'c mut Position>) {
        if self.tombstones < TOMBSTONES_MIN || self.tombstones * 2 < self.ready.len() {
            return;
        }
        for cursor in cursors.filter(|cursor| **cursor > self.base) {
            let ahead = usize::try_from(*cursor - self.base).expect("a position fits memory");
            let holes = self.ready.iter_from(0).take(ahead).filter(|(_, entry)| entry.has(TOMBSTONE)).count();
            *cursor -= holes as u64;
        }
        self.ready.retain(|entry| !entry.has(TOMBSTONE));
        self.tombstones = 0;
    }

    /// All waiting entries that are shown, in order.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (Position, &Entry)> {
        let ready = self.ready.iter_from(0).map(|(index, entry)| (self.base + index as u64, entry));
        self.returned
            .iter()
            .map(|(position, entry)| (*position, entry))
            .chain(ready.filter(|(_, entry)| !entry.has(TOMBSTONE)))
    }

    /// Those that wait behind a backlog.
    pub(crate) fn hidden(&self) -> impl Iterator<Item = &Entry> {
        self.ready.hidden()
    }

    pub(crate) fn check_invariants(&self) {
        let holes = self.ready.iter_from(0).filter(|(_, entry)| entry.has(TOMBSTONE)).count();
        assert_eq!(holes, self.tombstones, "tombstones are counted");
        assert!(self.ready.front().is_none_or(|entry| !entry.has(TOMBSTONE)), "the front is an entry");
        assert!(self.returned.last_key_value().is_none_or(|(position, _)| *position < self.base));
        assert!(self.exclusions.last_key_value().is_none_or(|(position, _)| *position < self.base));
        for (position, entry) in self.entries() {
            let known = self.exclusions.contains_key(&position);
            assert_eq!(entry.has(EXCLUSIONS), known, "the flag tells of exclusions");
        }
    }
}
