//! The memory of message bytes: written batches, and windows that were read back.
//!
//! Owns how much is kept and what goes first. A batch leaves when all its messages are acknowledged, or, once durable,
//! when memory is needed (oldest first); a window leaves oldest first. Reads nothing from disk itself.

use crate::Location;
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};

type Key = (u32, u32);

/// A written batch: the bytes from its header to its padding.
#[derive(Debug)]
struct Written {
    bytes: Option<Bytes>,
    /// Bytes of memory that the buffer takes, used or not.
    capacity: usize,
    live: u32,
    durable: bool,
}

#[derive(Debug)]
pub(crate) struct Cache {
    bytes_max: usize,
    bytes: usize,
    /// By segment and offset of the batch. Those not yet written have no bytes.
    written: BTreeMap<Key, Written>,
    /// Windows read back, by segment and offset of their start.
    windows: BTreeMap<Key, Bytes>,
    window_order: VecDeque<Key>,
    window_bytes: usize,
}

impl Cache {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            bytes: 0,
            written: BTreeMap::new(),
            windows: BTreeMap::new(),
            window_order: VecDeque::new(),
            window_bytes: 0,
        }
    }

    /// Bytes of memory in use.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes + self.window_bytes
    }

    /// A message was appended to the batch at `offset`.
    pub(crate) fn appended(&mut self, segment: u32, offset: u32) {
        let new = Written { bytes: None, capacity: 0, live: 0, durable: false };
        self.written.entry((segment, offset)).or_insert(new).live += 1;
    }

    /// The batch at `offset` is on its way to the disk. Batches without live messages are not kept.
    pub(crate) fn issued(&mut self, segment: u32, offset: u32, bytes: Bytes, capacity: usize) {
        let Some(batch) = self.written.get_mut(&(segment, offset)) else { return };
        if batch.live == 0 {
            self.written.remove(&(segment, offset));
            return;
        }
        batch.bytes = Some(bytes);
        batch.capacity = capacity;
        self.bytes += capacity;
        self.shrink();
    }

    /// The batch at `offset` is durable: it may go when memory is needed.
    pub(crate) fn durable(&mut self, segment: u32, offset: u32) {
        if let Some(batch) = self.written.get_mut(&(segment, offset)) {
            batch.durable = true;
        }
        self.shrink();
    }

    /// The message at `location` is acknowledged.
    pub(crate) fn released(&mut self, location: Location) {
        let Some((key, batch)) = before(&mut self.written, location) else { return };
        // A location behind an unknown batch belongs to one that is gone already: its neighbour must not pay.
        let within = batch.bytes.as_ref().is_none_or(|bytes| (location.offset - key.1) as usize <= bytes.len());
        if !within {
            return;
        }
        batch.live = batch.live.saturating_sub(1);
        if batch.live == 0 && batch.bytes.is_some() {
            self.bytes -= batch.capacity;
            self.written.remove(&key);
        }
    }

    /// The bytes of a message in a written batch.
    pub(crate) fn written(&self, location: Location) -> Option<Bytes> {
        let ((segment, offset), batch) = self.written.range(..=(location.segment, location.offset)).next_back()?;
        let start = location.offset.checked_sub(*offset).filter(|_| *segment == location.segment)? as usize;
        let bytes = batch.bytes.as_ref()?;
        (start + location.len as usize <= bytes.len()).then(|| bytes.slice(start..start + location.len as usize))
    }

    /// A window that holds `len` bytes from `offset` of `segment`: its own offset, and those bytes.
    pub(crate) fn window(&self, segment: u32, offset: u32, len: u32) -> Option<(u32, Bytes)> {
        let ((found, start), bytes) = self.windows.range(..=(segment, offset)).next_back()?;
        let from = offset.checked_sub(*start).filter(|_| *found == segment)? as usize;
        let to = from + len as usize;
        (to <= bytes.len()).then(|| (*start, bytes.slice(from..to)))
    }

    /// Keeps a window that was read.
    pub(crate) fn keep_window(&mut self, segment: u32, offset: u32, bytes: Bytes) {
        self.drop_window(segment, offset);
        self.window_bytes += bytes.len();
        self.windows.insert((segment, offset), bytes);
        self.window_order.push_back((segment, offset));
        self.shrink();
    }

    /// Forgets a window that proved stale.
    pub(crate) fn drop_window(&mut self, segment: u32, offset: u32) {
        if let Some(bytes) = self.windows.remove(&(segment, offset)) {
            self.window_bytes -= bytes.len();
            self.window_order.retain(|key| *key != (segment, offset));
        }
    }

    /// Forgets all of a segment that is gone.
    pub(crate) fn drop_segment(&mut self, segment: u32) {
        let gone: Vec<Key> = self.windows.range((segment, 0)..=(segment, u32::MAX)).map(|(key, _)| *key).collect();
        gone.iter().for_each(|(segment, offset)| self.drop_window(*segment, *offset));
        let gone: Vec<Key> = self.written.range((segment, 0)..=(segment, u32::MAX)).map(|(key, _)| *key).collect();
        for key in gone {
            self.forget(key);
        }
    }

    fn forget(&mut self, key: Key) {
        if let Some(batch) = self.written.remove(&key) {
            self.bytes -= batch.capacity;
        }
    }

    /// Windows go first, they were read ahead of need; the one that was just read stays.
    fn shrink(&mut self) {
        while self.bytes() > self.bytes_max && self.window_order.len() > 1 {
            let (segment, offset) = self.window_order[0];
            self.drop_window(segment, offset);
        }
        while self.bytes() > self.bytes_max {
            match self.written.iter().find(|(_, batch)| batch.durable) {
                Some((key, _)) => self.forget(*key),
                None => return,
            }
        }
    }
}

fn before(written: &mut BTreeMap<Key, Written>, location: Location) -> Option<(Key, &mut Written)> {
    let (key, batch) = written.range_mut(..=(location.segment, location.offset)).next_back()?;
    (key.0 == location.segment).then_some((*key, batch))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn location(offset: u32) -> Location {
        Location { segment: 1, offset, len: 10 }
    }

    fn filled(bytes_max: usize, batches: u32) -> Cache {
        let mut cache = Cache::new(bytes_max);
        for batch in 1..=batches {
            cache.appended(1, batch * 4096);
            cache.issued(1, batch * 4096, Bytes::from(vec![batch as u8; 4096]), 4096);
        }
        cache
    }

    #[test]
    fn what_is_not_durable_stays_and_the_oldest_durable_goes_first() {
        let mut cache = filled(8192, 4);
        assert_eq!(cache.bytes(), 4 * 4096);
        cache.durable(1, 2 * 4096);
        cache.durable(1, 3 * 4096);
        assert_eq!(cache.bytes(), 2 * 4096);
        assert!(cache.written(location(4096 + 100)).is_some());
        assert!(cache.written(location(2 * 4096 + 100)).is_none());
        assert_eq!(cache.written(location(4 * 4096 + 100)), Some(Bytes::from(vec![4; 10])));
    }

    #[test]
    fn a_batch_leaves_with_its_last_message() {
        let mut cache = filled(1 << 20, 2);
        cache.appended(1, 4096);
        cache.released(location(4096 + 100));
        assert!(cache.written(location(4096 + 100)).is_some());
        cache.released(location(4096 + 200));
        assert!(cache.written(location(4096 + 100)).is_none());
        assert_eq!(cache.bytes(), 4096);
    }

    #[test]
    fn releasing_what_was_evicted_does_not_touch_its_neighbour() {
        let mut cache = filled(4096, 2);
        cache.durable(1, 4096);
        cache.appended(1, 4096 * 5);
        cache.released(location(3 * 4096 + 100));
        assert!(cache.written(location(2 * 4096 + 100)).is_some());
    }

    #[test]
    fn windows_answer_ranges_and_are_bounded() {
        let mut cache = Cache::new(8192);
        for window in 0..4 {
            cache.keep_window(1, window * 4096, Bytes::from(vec![window as u8; 4096]));
        }
        assert_eq!(cache.bytes(), 8192);
        assert!(cache.window(1, 0, 10).is_none());
        assert_eq!(cache.window(1, 3 * 4096 + 5, 10), Some((3 * 4096, Bytes::from(vec![3; 10]))));
        assert!(cache.window(1, 3 * 4096 + 4090, 10).is_none());
        cache.drop_segment(1);
        assert_eq!(cache.bytes(), 0);
    }
}
