//! The table of a lane's segments, oldest first: which of their messages are live, and where their indices are.
//!
//! Owns the counting and says which segments are dead. Unlinking them is `space`'s business, writing their indices and
//! the checkpoints that name them is `checkpoints`'.

use crate::MessageKey;
use crate::bits::Bits;
use crate::format::{CheckpointSegment, Index, copy_bytes};
use crate::port::File;
use std::collections::{BTreeSet, VecDeque};
use std::path::PathBuf;

/// Where a segment's index is.
#[derive(Clone, Debug)]
pub(crate) enum IndexPlace {
    /// Not written yet.
    Memory(Index),
    /// Written by this epoch.
    File { by: u64 },
}

#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) epoch: u64,
    pub(crate) attempt: u128,
    pub(crate) lane: u16,
    pub(crate) sequence: u32,
    /// Sequence number of the first record in it.
    pub(crate) first_lsn: u64,
    /// Behind its last record; `u64::MAX` while it is the newest.
    pub(crate) next_lsn: u64,
    pub(crate) path: PathBuf,
    /// Open from the moment at which somebody may ask for one of its messages.
    pub(crate) file: Option<File>,
    /// Messages whose removal is not yet confirmable.
    live_count: u64,
    /// Messages that no admitted record removes.
    live: Bits,
    /// Bytes that their records would take as copies. Counted from the moment at which the caller knows of them.
    live_bytes: u64,
    /// Some of its messages, live or not, are copies.
    has_copies: bool,
    /// Its messages cannot be copied forward: one does not read, or has no place.
    pub(crate) is_unmovable: bool,
    /// Where its messages go, live or not.
    destinations: BTreeSet<u32>,
    pub(crate) index: IndexPlace,
    is_gone: bool,
}

impl Segment {
    /// A segment without messages.
    pub(crate) fn new(
        (epoch, attempt, lane, sequence): (u64, u128, u16, u32),
        first_lsn: u64,
        path: PathBuf,
        file: File,
    ) -> Self {
        Self {
            epoch,
            attempt,
            lane,
            sequence,
            first_lsn,
            next_lsn: u64::MAX,
            path,
            file: Some(file),
            live_count: 0,
            live: Bits::new(first_lsn),
            live_bytes: 0,
            has_copies: false,
            is_unmovable: false,
            destinations: BTreeSet::new(),
            index: IndexPlace::Memory(Index::default()),
            is_gone: false,
        }
    }

    /// A segment as a checkpoint tells of it.
    pub(crate) fn from_checkpoint(found: CheckpointSegment, path: PathBuf) -> Self {
        Self {
            epoch: found.epoch,
            attempt: found.attempt,
            lane: found.lane,
            sequence: found.sequence,
            first_lsn: found.first_lsn,
            next_lsn: found.next_lsn,
            path,
            file: None,
            live_count: found.live.count(),
            live: found.live,
            live_bytes: 0,
            has_copies: found.has_copies,
            is_unmovable: false,
            destinations: found.destinations.into_iter().collect(),
            index: IndexPlace::File { by: found.index_epoch },
            is_gone: false,
        }
    }

    /// Whether it holds a message that no admitted record removes.
    pub(crate) fn holds(&self, lsn: u64) -> bool {
        self.live.contains(lsn)
    }

    pub(crate) fn live_count(&self) -> u64 {
        self.live_count
    }

    /// Messages that no admitted record removes.
    pub(crate) fn live(&self) -> &Bits {
        &self.live
    }

    /// Bytes that the records of its live messages would take as copies.
    pub(crate) fn live_bytes(&self) -> u64 {
        self.live_bytes
    }

    pub(crate) fn has_copies(&self) -> bool {
        self.has_copies
    }

    pub(crate) fn destinations(&self) -> impl Iterator<Item = u32> {
        self.destinations.iter().copied()
    }

    /// Epoch, attempt and sequence: what its name and its index's are made of.
    pub(crate) fn written(&self) -> (u64, u128, u32) {
        (self.epoch, self.attempt, self.sequence)
    }
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
    /// Those of them that are not gone.
    count: usize,
    live_bytes: u64,
    /// Those of them whose own is not 0.
    live_segments: usize,
    /// Numbers of those without live messages.
    empty: BTreeSet<u32>,
    removals: VecDeque<Removal>,
}

impl Segments {
    /// Adds the newest segment; returns its number.
    pub(crate) fn push(&mut self, segment: Segment) -> u32 {
        assert!(self.table.back().is_none_or(|last| last.first_lsn <= segment.first_lsn), "segments come in order");
        if let Some(last) = self.table.back_mut() {
            last.next_lsn = last.next_lsn.min(segment.first_lsn);
        }
        let number = self.first + self.table.len() as u32;
        if segment.live_count == 0 {
            self.empty.insert(number);
        }
        self.table.push_back(segment);
        self.count += 1;
        number
    }

    pub(crate) fn get(&self, number: u32) -> Option<&Segment> {
        self.table.get(number.checked_sub(self.first)? as usize).filter(|segment| !segment.is_gone)
    }

    pub(crate) fn get_mut(&mut self, number: u32) -> Option<&mut Segment> {
        self.table.get_mut(number.checked_sub(self.first)? as usize).filter(|segment| !segment.is_gone)
    }

    /// Numbers and segments, oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Segment)> {
        (self.first..).zip(&self.table).filter(|(_, segment)| !segment.is_gone)
    }

    /// Counts bytes anew: the caller knows of nothing yet.
    pub(crate) fn reset_live_bytes(&mut self) {
        self.table.iter_mut().for_each(|segment| segment.live_bytes = 0);
        (self.live_bytes, self.live_segments) = (0, 0);
    }

    /// The caller knows of a message of `len` bytes in segment `number`, or, if not `is_live`, it lies there no more.
    pub(crate) fn count(&mut self, number: u32, len: u32, is_live: bool) {
        let bytes = copy_bytes(1, len as usize) as u64;
        let Some(segment) = self.get_mut(number) else { return };
        let (counted, removed) = if is_live { (bytes, 0) } else { (0, bytes) };
        let change = |of: u64| (of + counted).checked_sub(removed).expect("what is taken back was counted");
        let was_live = segment.live_bytes > 0;
        segment.live_bytes = change(segment.live_bytes);
        let is_live = segment.live_bytes > 0;
        self.live_segments = self.live_segments + usize::from(is_live) - usize::from(was_live);
        self.live_bytes = change(self.live_bytes);
    }

    /// Bytes that the records of all live messages would take as copies, as far as the caller knows of them.
    pub(crate) fn live_bytes(&self) -> u64 {
        self.live_bytes
    }

    /// Segments with messages of which the caller knows, and has not removed them.
    pub(crate) fn live_segments(&self) -> usize {
        self.live_segments
    }

    /// Segments, live or not.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Live messages.
    pub(crate) fn live_count(&self) -> u64 {
        self.table.iter().map(|segment| segment.live_count).sum()
    }

    /// The newest segment has a further message; `order`: the number under which it was published.
    pub(crate) fn published(
        &mut self,
        number: u32,
        (lsn, order): (u64, u64),
        place: (u32, u32),
        key: MessageKey,
        destinations: impl ExactSizeIterator<Item = u32> + Clone,
    ) {
        let segment = self.get_mut(number).expect("messages are appended to segments in the table");
        let was_empty = segment.live_count == 0;
        segment.live_count += 1;
        segment.live.insert(lsn);
        segment.has_copies |= order < lsn;
        match &mut segment.index {
            IndexPlace::Memory(index) => {
                let is_news = index.push(lsn, order, place, key, destinations.clone());
                if is_news {
                    segment.destinations.extend(destinations);
                }
            }
            IndexPlace::File { .. } => unreachable!("an index is written when its segment is full"),
        }
        if was_empty {
            self.empty.remove(&number);
        }
    }

    /// The record `lsn` removes the message `publish_lsn` of segment `number`.
    pub(crate) fn acknowledged(&mut self, lsn: u64, number: u32, publish_lsn: u64) {
        let was_live = self.get_mut(number).is_some_and(|segment| segment.live.remove(publish_lsn));
        assert!(was_live, "only a live message is acknowledged");
        match self.removals.back_mut() {
            Some(last) if last.lsn == lsn && last.segment == number => last.count += 1,
            _ => self.removals.push_back(Removal { lsn, segment: number, count: 1 }),
        }
    }

    /// A record that is known to be confirmable removes the messages `from` to `to`.
    pub(crate) fn removed(&mut self, from: u64, to: u64) {
        let start = self.table.partition_point(|segment| segment.first_lsn <= from).saturating_sub(1);
        let numbered = (self.first..).zip(&mut self.table).skip(start);
        for (number, segment) in numbered.take_while(|(_, segment)| segment.first_lsn <= to) {
            segment.live_count -= segment.live.remove_range(from, to);
            if segment.live_count == 0 && !segment.is_gone {
                self.empty.insert(number);
            }
        }
    }

    /// The owner of epoch `by` wrote the indices of all segments with live messages that begin before `lsn`.
    pub(crate) fn index_written(&mut self, lsn: u64, by: u64) {
        for segment in self.table.iter_mut().take_while(|segment| segment.first_lsn < lsn) {
            if matches!(segment.index, IndexPlace::Memory(_)) {
                segment.index = IndexPlace::File { by };
                segment.file = None;
            }
        }
    }

    /// Everything through `lsn` is confirmable.
    pub(crate) fn confirmed(&mut self, lsn: u64) {
        while self.removals.front().is_some_and(|removal| removal.lsn <= lsn) {
            let Some(removal) = self.removals.pop_front() else { return };
            let segment = self.get_mut(removal.segment).expect("a segment with live messages stays in the table");
            segment.live_count = segment.live_count.checked_sub(removal.count).expect("a message is removed once");
            if segment.live_count == 0 {
                self.empty.insert(removal.segment);
            }
        }
    }

    /// The oldest segment that begins before `lsn` and from which all messages are confirmably gone.
    pub(crate) fn dead_before(&self, lsn: u64) -> Option<u32> {
        let oldest = *self.empty.first()?;
        self.get(oldest).is_some_and(|segment| segment.first_lsn < lsn).then_some(oldest)
    }

    /// Dead segments that begin before `lsn`.
    pub(crate) fn dead_count(&self, lsn: u64) -> usize {
        self.empty.iter().filter(|number| self.get(**number).is_some_and(|segment| segment.first_lsn < lsn)).count()
    }

    /// Takes a dead segment out of the table; what it was is left to the caller.
    pub(crate) fn remove(&mut self, number: u32) -> Option<Segment> {
        let segment = self.get_mut(number)?;
        assert_eq!(segment.live_count, 0, "only a dead segment goes");
        let rest = Segment {
            path: std::mem::take(&mut segment.path),
            file: segment.file.take(),
            live: std::mem::take(&mut segment.live),
            destinations: std::mem::take(&mut segment.destinations),
            index: std::mem::replace(&mut segment.index, IndexPlace::File { by: 0 }),
            ..*segment
        };
        segment.is_gone = true;
        self.count -= 1;
        self.empty.remove(&number);
        while self.table.front().is_some_and(|segment| segment.is_gone) {
            self.table.pop_front();
            self.first += 1;
        }
        Some(rest)
    }

    /// What a checkpoint at `lsn` says of segment `number`, which lies before it; `None` while it has live messages and
    /// no index file, unless it may do without.
    pub(crate) fn checkpoint(&self, number: u32, lsn: u64, may_lack_index: bool) -> Option<CheckpointSegment> {
        let segment = self.get(number)?;
        let index_epoch = match segment.index {
            IndexPlace::File { by } => by,
            IndexPlace::Memory(_) if segment.live_count == 0 || may_lack_index => 0,
            IndexPlace::Memory(_) => return None,
        };
        Some(CheckpointSegment {
            epoch: segment.epoch,
            attempt: segment.attempt,
            lane: segment.lane,
            sequence: segment.sequence,
            first_lsn: segment.first_lsn,
            next_lsn: segment.next_lsn.min(lsn),
            index_epoch,
            has_copies: segment.has_copies,
            destinations: segment.destinations().collect(),
            live: if segment.live_count == 0 { Bits::new(segment.first_lsn) } else { segment.live.clone() },
        })
    }
}
