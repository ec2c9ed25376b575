//! The live messages of one lane, built up from its records in order.
//!
//! Owns which message is still wanted. Does not keep bodies.

use crate::MessageKey;
use crate::api::{Location, RecoveredMessage};
use crate::format::Record;
use crate::scan::Visit;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug)]
struct Message {
    lsn: u64,
    location: Location,
    key: MessageKey,
    destination: u32,
    /// Beyond the first.
    more_destinations: Vec<u32>,
    is_live: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Live {
    /// In order of sequence numbers.
    messages: Vec<Message>,
    dead: usize,
    destinations: BTreeMap<u32, String>,
}

impl Live {
    pub(crate) fn published(
        &mut self,
        lsn: u64,
        location: Location,
        key: MessageKey,
        mut destinations: impl Iterator<Item = u32>,
    ) {
        assert!(self.messages.last().is_none_or(|last| last.lsn < lsn), "records come in order");
        let Some(destination) = destinations.next() else { return };
        let more_destinations = destinations.collect();
        self.messages.push(Message { lsn, location, key, destination, more_destinations, is_live: true });
    }

    /// An acknowledgement removes what lies in a range; `removed` is told where each message lay.
    pub(crate) fn acknowledged(&mut self, first: u64, last: u64, mut removed: impl FnMut(Location)) {
        let start = self.messages.partition_point(|message| message.lsn < first);
        let range = self.messages[start..].iter_mut().take_while(|message| message.lsn <= last);
        for message in range.filter(|message| message.is_live) {
            self.dead += 1;
            message.is_live = false;
            removed(message.location);
        }
        if self.dead > 1024 && self.dead > self.messages.len() / 2 {
            self.messages.retain(|message| message.is_live);
            self.dead = 0;
        }
    }

    pub(crate) fn defined(&mut self, id: u32, name: &str) {
        self.destinations.insert(id, name.to_owned());
    }

    /// How many live messages each segment holds, by its number.
    pub(crate) fn per_segment(&self) -> BTreeMap<u32, u64> {
        let mut counts = BTreeMap::new();
        for message in self.messages.iter().filter(|message| message.is_live) {
            *counts.entry(message.location.segment).or_default() += 1;
        }
        counts
    }

    pub(crate) fn count(&self) -> u64 {
        (self.messages.len() - self.dead) as u64
    }

    pub(crate) fn destinations(&self) -> impl Iterator<Item = (u32, &str)> {
        self.destinations.iter().map(|(id, name)| (*id, name.as_str()))
    }

    /// Ids that live messages go to although damage took their names.
    pub(crate) fn nameless(&self) -> BTreeSet<u32> {
        let live = self.messages.iter().filter(|message| message.is_live);
        let ids = live.flat_map(|message| message.more_destinations.iter().chain([&message.destination]));
        ids.filter(|id| !self.destinations.contains_key(id)).copied().collect()
    }

    /// What the server is told of store `store`.
    pub(crate) fn recovered(self, store: u8) -> impl Iterator<Item = RecoveredMessage> {
        self.messages.into_iter().filter(|message| message.is_live).flat_map(move |message| {
            let Message { lsn, location, key, .. } = message;
            let destinations = std::iter::once(message.destination).chain(message.more_destinations);
            destinations.map(move |destination| RecoveredMessage { store, destination, lsn, location, key })
        })
    }
}

impl Visit for Live {
    fn record(&mut self, lsn: u64, record: Record<'_>, segment: u32, offset: u32) {
        match record {
            Record::Publish { key, destinations, payload_offset, payload } => {
                let location = Location { segment, offset: offset + payload_offset, len: payload.len() as u32 };
                self.published(lsn, location, key, destinations.iter());
            }
            Record::Acknowledge(ranges) => {
                ranges.iter().for_each(|(first, last)| self.acknowledged(*first, *last, |_| {}))
            }
            Record::Destination { id, name } => self.defined(id, name),
            // Metadata is read by its own visitor; a clean end leaves nothing to do.
            Record::Seal(_) | Record::Serving(_) | Record::Unlink(_) | Record::End => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publish(live: &mut Live, lsn: u64) {
        live.published(
            lsn,
            Location { segment: lsn as u32 / 10, offset: 4096, len: 1 },
            MessageKey::default(),
            [1, 2].into_iter(),
        );
    }

    #[test]
    fn ranges_remove_what_they_cover_and_nothing_twice() {
        let mut live = Live::default();
        (1..30).for_each(|lsn| publish(&mut live, lsn));
        let mut removed = 0;
        live.acknowledged(5, 12, |_| removed += 1);
        live.acknowledged(12, 12, |_| removed += 1);
        assert_eq!(removed, 8);
        assert_eq!(live.count(), 21);
        assert_eq!(live.per_segment(), BTreeMap::from([(0, 4), (1, 7), (2, 10)]));
        let lsns: Vec<u64> =
            live.recovered(0).filter(|message| message.destination == 2).map(|message| message.lsn).collect();
        assert_eq!(lsns, (1..5).chain(13..30).collect::<Vec<_>>());
    }

    #[test]
    fn compaction_keeps_the_rest() {
        let mut live = Live::default();
        (1..5000).for_each(|lsn| publish(&mut live, lsn));
        live.acknowledged(1, 4000, |_| {});
        assert!(live.messages.len() < 1000 && live.count() == 999);
    }
}
