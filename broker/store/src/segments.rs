//! The table of a lane's live segments, oldest first, and how many live messages each still holds.
//!
//! Owns the counting and says which oldest segments are dead. Unlinking them is `space`'s business.

use crate::port::File;
use std::collections::VecDeque;
use std::path::PathBuf;

#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) epoch: u64,
    pub(crate) attempt: u128,
    pub(crate) lane: u16,
    pub(crate) sequence: u32,
    /// Sequence number of the first record in it.
    pub(crate) first_lsn: u64,
    pub(crate) path: PathBuf,
    pub(crate) file: File,
    /// Messages whose removal is not yet confirmable.
    pub(crate) live: u64,
}

/// A removal that counts once its record is confirmable.
#[derive(Debug)]
struct Removal {
    lsn: u64,
    segment: u32,
    count: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Segments {
    first: u32,
    table: VecDeque<Segment>,
    removals: VecDeque<Removal>,
}

impl Segments {
    /// Adds the newest segment; returns its number.
    pub(crate) fn push(&mut self, segment: Segment) -> u32 {
        self.table.push_back(segment);
        self.first + self.table.len() as u32 - 1
    }

    pub(crate) fn get(&self, number: u32) -> Option<&Segment> {
        self.table.get(number.checked_sub(self.first)? as usize)
    }

    pub(crate) fn get_mut(&mut self, number: u32) -> Option<&mut Segment> {
        self.table.get_mut(number.checked_sub(self.first)? as usize)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Segment> {
        self.table.iter()
    }

    /// Sets the counts of live messages after recovery; segments that are not listed have none.
    pub(crate) fn set_live(&mut self, counts: &std::collections::BTreeMap<u32, u64>) {
        for (number, segment) in (self.first..).zip(&mut self.table) {
            segment.live = counts.get(&number).copied().unwrap_or(0);
        }
    }

    pub(crate) fn published(&mut self, number: u32) {
        self.get_mut(number).expect("messages are appended to segments in the table").live += 1;
    }

    /// The record `lsn` removes a message of segment `number`.
    pub(crate) fn acknowledged(&mut self, lsn: u64, number: u32) {
        assert!(self.get(number).is_some_and(|segment| segment.live > 0), "only a live message is acknowledged");
        match self.removals.back_mut() {
            Some(last) if last.lsn == lsn && last.segment == number => last.count += 1,
            _ => self.removals.push_back(Removal { lsn, segment: number, count: 1 }),
        }
    }

    /// Everything through `lsn` is confirmable.
    pub(crate) fn confirmed(&mut self, lsn: u64) {
        while self.removals.front().is_some_and(|removal| removal.lsn <= lsn) {
            let Some(removal) = self.removals.pop_front() else { return };
            let segment = self.get_mut(removal.segment).expect("a segment with live messages stays in the table");
            segment.live = segment.live.checked_sub(removal.count).expect("a message is removed once");
        }
    }

    /// The number of the oldest segment that must stay, given that `current` must; `None` when none can go.
    pub(crate) fn dead_before(&self, current: u32) -> Option<u32> {
        let dead = self.table.iter().take_while(|segment| segment.live == 0).count() as u32;
        let stays = (self.first + dead).min(current);
        (stays > self.first).then_some(stays)
    }

    /// Takes all segments before number `stays` out of the table.
    pub(crate) fn remove_before(&mut self, stays: u32) -> Vec<(u32, Segment)> {
        let count = stays.saturating_sub(self.first);
        let removed = (self.first..).zip(self.table.drain(..count as usize)).collect();
        self.first += count;
        removed
    }
}
