//! The memory of message bytes: written batches, and windows that were read back. One budget for all stores.
//!
//! Owns how much is kept and what goes first. A batch leaves when all its messages are acknowledged, or, once durable,
//! when memory is needed. Then windows that were consumed go first; after them batches of messages that stand far back
//! in their queue, the newest first, since they are wanted last; then the other durable ones and the windows, oldest
//! first. Reads nothing from disk itself.

use crate::Location;
use bytes::Bytes;
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::rc::Rc;

/// Lane, segment, and the offset of a batch or the number of a window.
type Key = (u32, u32, u32);

/// Windows that were consumed are kept up to so many bytes for readers that trail, where memory is not needed.
const CONSUMED_BYTES_MAX: usize = 8 << 20;
/// Windows read ahead of need take at most this share of the budget, and at most so many bytes.
const AHEAD_SHARE: usize = 4;
const AHEAD_BYTES_MAX: usize = 64 << 20;

/// A written batch: the bytes from its header to its padding.
#[derive(Debug)]
struct Written {
    bytes: Option<Bytes>,
    /// Bytes of memory that the buffer takes, used or not.
    capacity: usize,
    live: u32,
    /// A message in it was near the head of its queue.
    is_wanted: bool,
    /// Its number in `surplus` or `kept`: it is durable.
    order: Option<u64>,
}

#[derive(Debug)]
struct Window {
    bytes: Bytes,
    is_consumed: bool,
}

#[derive(Debug)]
struct Pool {
    bytes_max: Option<usize>,
    swaps: bool,
    /// Length of the segments that this process writes.
    segment_bytes: u64,
    lanes: u32,
    /// The next message that is appended stands far back in its queue.
    is_next_surplus: bool,
    /// Of batches, of windows, of reads under way, and of bodies that lie in no store.
    batch_bytes: usize,
    window_bytes: usize,
    read_bytes: usize,
    other_bytes: usize,
    consumed_bytes: usize,
    written: BTreeMap<Key, Written>,
    windows: BTreeMap<Key, Window>,
    window_order: VecDeque<Key>,
    consumed: VecDeque<Key>,
    /// Durable batches of messages far back, and the others, in the order in which they became durable.
    surplus: BTreeMap<u64, Key>,
    kept: BTreeMap<u64, Key>,
    durable_count: u64,
}

/// The budget for message bytes. Clones share it.
#[derive(Clone, Debug)]
pub struct Memory(Rc<RefCell<Pool>>);

impl Memory {
    /// A budget of `bytes_max` bytes, or without a limit. `swaps`: bodies that are on disk leave memory when it is
    /// reached.
    pub(crate) fn new(bytes_max: Option<usize>, swaps: bool, segment_bytes: u64) -> Self {
        Self(Rc::new(RefCell::new(Pool {
            bytes_max,
            swaps,
            segment_bytes,
            lanes: 0,
            is_next_surplus: false,
            batch_bytes: 0,
            window_bytes: 0,
            read_bytes: 0,
            other_bytes: 0,
            consumed_bytes: 0,
            written: BTreeMap::new(),
            windows: BTreeMap::new(),
            window_order: VecDeque::new(),
            consumed: VecDeque::new(),
            surplus: BTreeMap::new(),
            kept: BTreeMap::new(),
            durable_count: 0,
        })))
    }

    /// Another budget; what is above it leaves when room is next needed.
    pub fn limit(&self, bytes_max: Option<usize>) {
        self.0.borrow_mut().bytes_max = bytes_max;
    }

    /// Bytes in use.
    pub fn used(&self) -> usize {
        self.0.borrow().used()
    }

    /// Takes `bytes` for a body that lies in no store.
    pub fn hold(&self, bytes: usize) {
        let mut pool = self.0.borrow_mut();
        pool.other_bytes += bytes;
        // Only the sum has grown, and by little.
        if pool.bytes_max.is_some_and(|limit| pool.used() > limit) {
            pool.shrink();
        }
    }

    /// Gives back what was taken by `hold`.
    pub fn free(&self, bytes: usize) {
        self.0.borrow_mut().other_bytes -= bytes;
    }

    /// Whether the next message that is published stands so far back in its queue that it is not worth memory, should that
    /// become short.
    pub fn next_is_surplus(&self, is_surplus: bool) {
        self.0.borrow_mut().is_next_surplus = is_surplus;
    }
}

impl Pool {
    fn used(&self) -> usize {
        self.batch_bytes + self.window_bytes + self.read_bytes + self.other_bytes
    }

    fn forget(&mut self, key: Key) {
        let Some(batch) = self.written.remove(&key) else { return };
        self.batch_bytes -= batch.capacity;
        if let Some(order) = batch.order {
            self.surplus.remove(&order);
            self.kept.remove(&order);
        }
    }

    fn drop_window(&mut self, key: Key) {
        let Some(window) = self.windows.remove(&key) else { return };
        self.window_bytes -= window.bytes.len();
        if window.is_consumed {
            self.consumed_bytes -= window.bytes.len();
            self.consumed.retain(|other| *other != key);
        } else {
            self.window_order.retain(|other| *other != key);
        }
    }

    /// Makes room as the head of this file says.
    fn shrink(&mut self) {
        let limit = self.bytes_max.unwrap_or(usize::MAX);
        while let Some(key) = self.consumed.front().copied() {
            if self.used() <= limit && self.consumed_bytes <= CONSUMED_BYTES_MAX {
                break;
            }
            self.drop_window(key);
        }
        // Without a limit nothing else bounds what waits far back.
        while self.swaps && (self.used() > limit || self.bytes_max.is_none()) {
            let Some(key) = self.surplus.last_key_value().map(|(_, key)| *key) else { break };
            self.forget(key);
        }
        while self.swaps && self.used() > limit {
            let Some(key) = self.kept.first_key_value().map(|(_, key)| *key) else { break };
            self.forget(key);
        }
        while self.used() > limit && self.window_order.len() > 1 {
            self.drop_window(self.window_order[0]);
        }
    }
}

/// One lane's part of the memory.
#[derive(Debug)]
pub(crate) struct Cache {
    pool: Rc<RefCell<Pool>>,
    lane: u32,
    /// Segment and offset of the newest batch that is known to be on disk.
    durable_end: Option<(u32, u32)>,
}

impl Cache {
    pub(crate) fn new(memory: &Memory) -> Self {
        let mut pool = memory.0.borrow_mut();
        pool.lanes += 1;
        Self { pool: memory.0.clone(), lane: pool.lanes, durable_end: None }
    }

    /// A message was appended to the batch at `offset`.
    pub(crate) fn appended(&mut self, segment: u32, offset: u32) {
        let mut pool = self.pool.borrow_mut();
        let is_wanted = !std::mem::take(&mut pool.is_next_surplus);
        let new = Written { bytes: None, capacity: 0, live: 0, is_wanted: false, order: None };
        let batch = pool.written.entry((self.lane, segment, offset)).or_insert(new);
        batch.live += 1;
        batch.is_wanted |= is_wanted;
    }

    /// The batch at `offset` is on its way to the disk. Batches without live messages are not kept.
    pub(crate) fn issued(&mut self, segment: u32, offset: u32, bytes: Bytes, capacity: usize) {
        let mut pool = self.pool.borrow_mut();
        let key = (self.lane, segment, offset);
        let Some(batch) = pool.written.get_mut(&key) else { return };
        if batch.live == 0 {
            pool.written.remove(&key);
            return;
        }
        batch.bytes = Some(bytes);
        batch.capacity = capacity;
        pool.batch_bytes += capacity;
        pool.shrink();
    }

    /// The batch at `offset` is durable: it may go when memory is needed.
    pub(crate) fn durable(&mut self, segment: u32, offset: u32) {
        self.durable_end = Some((segment, offset));
        let key = (self.lane, segment, offset);
        let mut guard = self.pool.borrow_mut();
        let pool = &mut *guard;
        if let Some(batch) = pool.written.get_mut(&key) {
            pool.durable_count += 1;
            batch.order = Some(pool.durable_count);
            let list = if batch.is_wanted { &mut pool.kept } else { &mut pool.surplus };
            list.insert(pool.durable_count, key);
        }
        pool.shrink();
    }

    /// The message at `location` is acknowledged.
    pub(crate) fn released(&mut self, location: Location) {
        let mut pool = self.pool.borrow_mut();
        let place = (self.lane, location.segment, location.offset);
        let Some((key, batch)) = pool.written.range_mut(..=place).next_back() else { return };
        if (key.0, key.1) != (self.lane, location.segment) {
            return;
        }
        // A location behind an unknown batch belongs to one that is gone already: its neighbour must not pay.
        let within = batch.bytes.as_ref().is_none_or(|bytes| (location.offset - key.2) as usize <= bytes.len());
        if !within {
            return;
        }
        batch.live = batch.live.saturating_sub(1);
        if batch.live == 0 && batch.bytes.is_some() {
            let key = *key;
            pool.forget(key);
        }
    }

    /// The bytes of a message in a written batch.
    pub(crate) fn written(&self, location: Location) -> Option<Bytes> {
        let pool = self.pool.borrow();
        let place = (self.lane, location.segment, location.offset);
        let ((lane, segment, offset), batch) = pool.written.range(..=place).next_back()?;
        if (*lane, *segment) != (self.lane, location.segment) {
            return None;
        }
        let start = location.offset.checked_sub(*offset)? as usize;
        let bytes = batch.bytes.as_ref()?;
        (start + location.len as usize <= bytes.len()).then(|| bytes.slice(start..start + location.len as usize))
    }

    /// Whether a batch between two offsets of `segment` is in memory.
    pub(crate) fn holds_batch(&self, segment: u32, from: u32, to: u32) -> bool {
        let pool = self.pool.borrow();
        pool.written.range((self.lane, segment, from)..(self.lane, segment, to)).next().is_some()
    }

    /// Whether what lies at `offset` of `segment` is on disk, as far as is known.
    pub(crate) fn is_on_disk(&self, segment: u32, offset: u32) -> bool {
        self.durable_end.is_none_or(|end| (segment, offset) < end)
    }

    /// Length of the segments that this process writes, in bytes.
    pub(crate) fn segment_bytes(&self) -> u64 {
        self.pool.borrow().segment_bytes
    }

    /// Window number `index` of `segment`.
    pub(crate) fn window(&self, segment: u32, index: u32) -> Option<Bytes> {
        self.pool.borrow().windows.get(&(self.lane, segment, index)).map(|window| window.bytes.clone())
    }

    pub(crate) fn has_window(&self, segment: u32, index: u32) -> bool {
        self.pool.borrow().windows.contains_key(&(self.lane, segment, index))
    }

    /// Whether memory may be spent on `bytes` that nobody has asked for yet.
    pub(crate) fn may_read_ahead(&self, bytes: usize) -> bool {
        let pool = self.pool.borrow();
        let limit = pool.bytes_max.map_or(AHEAD_BYTES_MAX, |limit| (limit / AHEAD_SHARE).min(AHEAD_BYTES_MAX));
        pool.window_bytes - pool.consumed_bytes + pool.read_bytes + bytes <= limit
    }

    /// A read of `bytes` begins.
    pub(crate) fn reading(&mut self, bytes: usize) {
        let mut pool = self.pool.borrow_mut();
        pool.read_bytes += bytes;
        pool.shrink();
    }

    /// A read of `bytes` is over.
    pub(crate) fn read(&mut self, bytes: usize) {
        self.pool.borrow_mut().read_bytes -= bytes;
    }

    /// Keeps a window that was read.
    pub(crate) fn keep_window(&mut self, segment: u32, index: u32, bytes: Bytes) {
        let key = (self.lane, segment, index);
        let mut pool = self.pool.borrow_mut();
        pool.drop_window(key);
        pool.window_bytes += bytes.len();
        pool.windows.insert(key, Window { bytes, is_consumed: false });
        pool.window_order.push_back(key);
        pool.shrink();
    }

    /// The reader has left a window behind: it goes before all others.
    pub(crate) fn consumed(&mut self, segment: u32, index: u32) {
        let key = (self.lane, segment, index);
        let mut guard = self.pool.borrow_mut();
        let pool = &mut *guard;
        let Some(window) = pool.windows.get_mut(&key).filter(|window| !window.is_consumed) else { return };
        window.is_consumed = true;
        pool.consumed_bytes += window.bytes.len();
        pool.window_order.retain(|other| *other != key);
        pool.consumed.push_back(key);
        pool.shrink();
    }

    /// Forgets a window that proved stale.
    pub(crate) fn drop_window(&mut self, segment: u32, index: u32) {
        self.pool.borrow_mut().drop_window((self.lane, segment, index));
    }

    /// Forgets all of a segment that is gone.
    pub(crate) fn drop_segment(&mut self, segment: u32) {
        self.drop_range((self.lane, segment, 0), (self.lane, segment, u32::MAX));
    }

    fn drop_range(&mut self, from: Key, to: Key) {
        let mut pool = self.pool.borrow_mut();
        let range = (Bound::Included(from), Bound::Included(to));
        let windows: Vec<Key> = pool.windows.range(range).map(|(key, _)| *key).collect();
        windows.into_iter().for_each(|key| pool.drop_window(key));
        let batches: Vec<Key> = pool.written.range(range).map(|(key, _)| *key).collect();
        batches.into_iter().for_each(|key| pool.forget(key));
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        self.drop_range((self.lane, 0, 0), (self.lane, u32::MAX, u32::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn location(offset: u32) -> Location {
        Location { segment: 1, offset, len: 10 }
    }

    fn cache(bytes_max: usize) -> (Memory, Cache) {
        let memory = Memory::new(Some(bytes_max), true, 1 << 20);
        let cache = Cache::new(&memory);
        (memory, cache)
    }

    fn fill(cache: &mut Cache, batches: std::ops::RangeInclusive<u32>) {
        for batch in batches {
            cache.appended(1, batch * 4096);
            cache.issued(1, batch * 4096, Bytes::from(vec![batch as u8; 4096]), 4096);
        }
    }

    #[test]
    fn what_is_not_durable_stays_and_the_oldest_durable_goes_first() {
        let (memory, mut cache) = cache(8192);
        fill(&mut cache, 1..=4);
        assert_eq!(memory.used(), 4 * 4096);
        cache.durable(1, 2 * 4096);
        cache.durable(1, 3 * 4096);
        assert_eq!(memory.used(), 2 * 4096);
        assert!(cache.written(location(4096 + 100)).is_some());
        assert!(cache.written(location(2 * 4096 + 100)).is_none());
        assert_eq!(cache.written(location(4 * 4096 + 100)), Some(Bytes::from(vec![4; 10])));
    }

    #[test]
    fn of_those_far_back_in_their_queue_the_newest_goes_first() {
        let (memory, mut cache) = cache(4 * 4096);
        fill(&mut cache, 1..=2);
        memory.next_is_surplus(true);
        fill(&mut cache, 3..=3);
        memory.next_is_surplus(true);
        fill(&mut cache, 4..=4);
        (1..=4).for_each(|batch| cache.durable(1, batch * 4096));
        let held = |cache: &Cache| -> Vec<u32> {
            (1..=5).filter(|batch| cache.written(location(batch * 4096 + 100)).is_some()).collect()
        };
        assert_eq!(held(&cache), [1, 2, 3, 4]);
        memory.hold(4096);
        assert_eq!(held(&cache), [1, 2, 3]);
        fill(&mut cache, 5..=5);
        assert_eq!(held(&cache), [1, 2, 5]);
        memory.hold(4096);
        assert_eq!(held(&cache), [2, 5], "then the oldest");
        memory.free(2 * 4096);
        assert_eq!(memory.used(), 2 * 4096);
    }

    #[test]
    fn one_budget_holds_for_all_lanes() {
        let (memory, mut first) = cache(2 * 4096);
        let mut second = Cache::new(&memory);
        fill(&mut first, 1..=2);
        first.durable(1, 4096);
        first.durable(1, 2 * 4096);
        fill(&mut second, 1..=1);
        assert_eq!(memory.used(), 2 * 4096);
        assert!(first.written(location(4096 + 100)).is_none() && second.written(location(4096 + 100)).is_some());
        drop(second);
        assert_eq!(memory.used(), 4096, "a lane takes its bytes with it");
    }

    #[test]
    fn nothing_leaves_without_swapping_and_what_is_far_back_leaves_at_once_without_a_limit() {
        for (bytes_max, swaps, left) in [(Some(4096), false, 2 * 4096), (None, true, 4096), (None, false, 2 * 4096)] {
            let memory = Memory::new(bytes_max, swaps, 1 << 20);
            let mut cache = Cache::new(&memory);
            fill(&mut cache, 1..=1);
            memory.next_is_surplus(true);
            fill(&mut cache, 2..=2);
            cache.durable(1, 4096);
            cache.durable(1, 2 * 4096);
            assert_eq!(memory.used(), left, "{bytes_max:?} {swaps}");
        }
    }

    #[test]
    fn a_batch_leaves_with_its_last_message() {
        let (memory, mut cache) = cache(1 << 20);
        fill(&mut cache, 1..=2);
        cache.appended(1, 4096);
        cache.released(location(4096 + 100));
        assert!(cache.written(location(4096 + 100)).is_some());
        cache.released(location(4096 + 200));
        assert!(cache.written(location(4096 + 100)).is_none());
        assert_eq!(memory.used(), 4096);
    }

    #[test]
    fn releasing_what_was_evicted_does_not_touch_its_neighbour() {
        let (_, mut cache) = cache(4096);
        fill(&mut cache, 1..=2);
        cache.durable(1, 4096);
        cache.appended(1, 4096 * 5);
        cache.released(location(3 * 4096 + 100));
        assert!(cache.written(location(2 * 4096 + 100)).is_some());
    }

    #[test]
    fn consumed_windows_go_first_and_the_last_one_stays() {
        let (memory, mut cache) = cache(3 * 4096);
        let keep = |cache: &mut Cache, index: u32| cache.keep_window(1, index, Bytes::from(vec![index as u8; 4096]));
        (0..3).for_each(|index| keep(&mut cache, index));
        cache.consumed(1, 1);
        keep(&mut cache, 3);
        let held = |cache: &Cache| (0..6).filter(|index| cache.has_window(1, *index)).collect::<Vec<u32>>();
        assert_eq!(held(&cache), [0, 2, 3]);
        cache.reading(4096);
        assert_eq!((held(&cache), memory.used()), (vec![2, 3], 3 * 4096));
        cache.read(4096);
        assert_eq!(cache.window(1, 3), Some(Bytes::from(vec![3; 4096])));
        memory.hold(4 * 4096);
        assert_eq!(held(&cache), [3], "one may be what somebody waits for");
        cache.drop_segment(1);
        assert_eq!(memory.used(), 4 * 4096);
    }
}
