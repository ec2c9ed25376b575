//! Messages that do not lie where their caller was told, since they were copied forward.
//!
//! A caller knows a message by its number and by the place that it was told, for as long as the message lives. Owns the
//! way from there to the record that holds it now, and what the lane does when a message moves. An entry stays until the
//! message is acknowledged, so there are no more of them than live copies.

use super::{Claim, Lane};
use crate::format::{CopyOf, IndexEntry, copy_bytes};
use crate::{Appended, Location, Refused};
use std::collections::BTreeMap;

#[derive(Debug, Default)]
pub(crate) struct Moved {
    /// By the place that the caller was told.
    now: BTreeMap<Location, Appended>,
    /// By the place of now, the one that the caller was told.
    told: BTreeMap<Location, Location>,
}

impl Moved {
    /// The record that holds a message, and its place; `None` if both are as the caller was told.
    pub(crate) fn now(&self, told: Location) -> Option<Appended> {
        self.now.get(&told).copied()
    }

    /// What the caller was told of the message that lies at `now`.
    pub(crate) fn told(&self, now: Location) -> Location {
        self.told.get(&now).copied().unwrap_or(now)
    }

    /// The message at `from` lies in the record `to` from here on.
    pub(crate) fn moved(&mut self, from: Location, to: Appended) {
        let told = self.told.remove(&from).unwrap_or(from);
        self.now.insert(told, to);
        self.told.insert(to.location, told);
    }

    /// The caller is told of a message in the record `copy`, which is another than the one that it was published with.
    pub(crate) fn handed_over(&mut self, copy: Appended) {
        self.now.insert(copy.location, copy);
        self.told.insert(copy.location, copy.location);
    }

    /// The message is acknowledged.
    pub(crate) fn forget(&mut self, told: Location) {
        if let Some(now) = self.now.remove(&told) {
            self.told.remove(&now.location);
        }
    }
}

impl Lane {
    /// Copies a live message forward, whose index entry and place are given. Its old record is void from here on, and
    /// counts in its segment until the copy is confirmable (rule 16).
    pub(crate) fn copy_forward(&mut self, entry: &IndexEntry, from: Location, payload: &[u8]) -> Result<(), Refused> {
        if copy_bytes(entry.destinations.len(), payload.len()) > self.record_bytes_max() {
            return Err(Refused::TooLarge);
        }
        if self.unflushed_bytes() >= self.unflushed_bytes_max {
            return Err(Refused::Throttled);
        }
        let copy_of = Some(CopyOf { order: entry.order, replaces: entry.lsn });
        let payload = [payload];
        // It is on disk already, so its body is the first to leave memory.
        self.shared.memory.next_is_surplus(true);
        let copied = self.publish_record(&entry.destinations, entry.key, &payload, copy_of, Claim::Message);
        self.shared.memory.next_is_surplus(false);
        let copied = copied?;
        self.segments.acknowledged(copied.lsn, from.segment, entry.lsn);
        self.segments.count(from.segment, from.len, false);
        self.cache.released(from);
        self.moved.moved(from, copied);
        Ok(())
    }

    /// The caller is told of a recovered message.
    pub(crate) fn handed_over(&mut self, entry: &IndexEntry, location: Location) {
        self.segments.count(location.segment, location.len, true);
        if entry.order != entry.lsn {
            self.moved.handed_over(Appended { lsn: entry.lsn, location });
        }
    }

    /// Where a message lies of which the caller was told that it lies at `location`.
    pub(crate) fn place(&self, location: Location) -> Location {
        self.moved.now(location).map_or(location, |now| now.location)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(offset: u32) -> Location {
        Location { segment: 1, offset, len: 10 }
    }

    fn copy(lsn: u64, offset: u32) -> Appended {
        Appended { lsn, location: at(offset) }
    }

    #[test]
    fn a_message_is_found_however_often_it_moved_and_leaves_nothing_behind() {
        let mut moved = Moved::default();
        moved.handed_over(copy(5, 500));
        moved.moved(at(100), copy(10, 1000));
        moved.moved(at(1000), copy(20, 2000));
        moved.moved(at(500), copy(21, 2100));
        assert_eq!((moved.now(at(100)), moved.now(at(500))), (Some(copy(20, 2000)), Some(copy(21, 2100))));
        assert_eq!((moved.told(at(2000)), moved.told(at(2100)), moved.told(at(7))), (at(100), at(500), at(7)));
        assert_eq!((moved.now(at(1000)), moved.told(at(1000))), (None, at(1000)));
        moved.forget(at(100));
        moved.forget(at(500));
        moved.forget(at(7));
        assert!(moved.now.is_empty() && moved.told.is_empty(), "{moved:?}");
    }
}
