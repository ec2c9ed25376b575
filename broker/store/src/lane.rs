//! One lane: the journal of one store, written by one epoch.
//!
//! Owns the order of records, the batches between admission and media, the contiguous durable prefix, and what fits
//! where. Its children own the segment table (`segments`), the memory of bodies (`cache`) and a batch (`batch`).
//! It does not make segments (`spares`), does not check ownership (`check`) and decides nothing about time except
//! when an async store writes.

mod moved;
mod stock;
#[cfg(test)]
mod tests;

use crate::api::{Appended, Body, Location, MessageKey, Mode, Refused};
use crate::batch::{ACKNOWLEDGE_BYTES, Batch};
use crate::cache::Cache;
use crate::format::{
    self, BATCH_HEADER_BYTES, CopyOf, FIRST_BATCH_OFFSET, Position, RECORD_ALIGNMENT, RECORD_HEADER_BYTES,
    SegmentIdentity,
};
use crate::port::{File, Purpose};
use crate::segments::{Segment, Segments};
use crate::shared::Shared;
use crate::spares::Spare;
use crate::statistics::LaneStatistics;
use bytes::{Bytes, BytesMut};
use disk::{BLOCK_SIZE, DiskOp, Nanos};
use moved::Moved;
use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::rc::Rc;
use stock::Stock;

/// The smallest buffer for a batch; the next one doubles when it proves too small and halves when it proves too large.
const BATCH_BYTES_MIN: usize = 16 << 10;

/// Where a write takes so long, nanoseconds, others follow before it is complete; below, one at a time costs less work and is as
/// fast. Found by measuring on a disk of 20 us, see docs/decisions/0038.
const OVERLAP_FROM: Nanos = 200_000;
/// How much the newest write counts in the time that writes take: an eighth.
const WRITE_TIME_SHARE: Nanos = 8;

/// How long one removal that nobody waits for may wait for something to be written with, nanoseconds, where writes are not
/// beside each other: with a write of its own it would hold up the message that comes next. Several do not wait: while they
/// are written, messages gather for the write that follows. See docs/decisions/0038.
const REMOVAL_WAIT: Nanos = 1_000_000;

/// While no further segment is ready, messages leave this share of the last one to acknowledgements.
const RESERVE_SHARE: u64 = 8;

/// The same once the disk is full: only acknowledgements can make space again, each perhaps in a block of its own.
const RESERVE_SHARE_LAST: u64 = 2;

/// Definitions of destinations may take this share of a segment, since each segment repeats them.
const DEFINITIONS_SHARE: u64 = 4;

/// Whose segments a lane writes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LaneIdentity {
    pub(crate) store_id: u128,
    pub(crate) epoch: u64,
    pub(crate) attempt: u128,
    /// 0 is the metadata.
    pub(crate) number: u16,
}

/// A write that was issued and is not yet part of the durable prefix.
#[derive(Debug)]
struct Flight {
    request: u64,
    issued_at: Nanos,
    first_lsn: u64,
    last_lsn: u64,
    bytes: usize,
    segment: u32,
    offset: u32,
    is_done: bool,
}

/// Whether a record may use the reserve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Claim {
    Message,
    Reserve,
}

#[derive(Debug)]
pub(crate) struct Lane {
    shared: Rc<Shared>,
    name: String,
    pub(crate) identity: LaneIdentity,
    mode: Mode,
    segment_bytes: u64,
    unflushed_bytes_max: u64,
    next_lsn: u64,
    durable: u64,
    confirmable: u64,
    pub(crate) segments: Segments,
    pub(crate) cache: Cache,
    /// Messages that do not lie where their caller was told.
    pub(crate) moved: Moved,
    /// Segments that stand ready, from the one after the current on.
    standing: BTreeMap<u32, File>,
    /// The segment after the current one is among them.
    next_stands: bool,
    /// A spare is becoming the segment after the last standing one.
    is_adopting: bool,
    spares: Stock,
    /// The last attempt to make a spare found the disk full.
    pub(crate) is_disk_full: bool,
    /// Segment (its sequence and its number in the table) and offset at which the next batch starts.
    sequence: u32,
    current: Option<u32>,
    offset: u32,
    open: Option<Batch>,
    ready: VecDeque<Batch>,
    in_flight: VecDeque<Flight>,
    in_flight_bytes: usize,
    buffer_bytes: usize,
    last_issue: Nanos,
    /// Since when the open batch holds one removal that nobody waits for, and nothing else.
    lone_removal_since: Option<Nanos>,
    /// How long writes take, smoothed.
    write_time: Nanos,
    pub(crate) statistics: LaneStatistics,
    destinations: BTreeMap<u32, String>,
    destination_bytes: usize,
}

impl Lane {
    /// A lane whose first record gets `first_lsn`. Its first two segments stand ready; `segments` holds older epochs'.
    pub(crate) fn new(
        shared: &Rc<Shared>,
        identity: LaneIdentity,
        first_lsn: u64,
        segments: Segments,
        standing: Vec<File>,
    ) -> Self {
        assert!(standing.len() >= 2 && first_lsn > 0);
        let config = &shared.config;
        let store = identity.number.checked_sub(1).map(|index| &config.stores[usize::from(index)]);
        let mode = store.map_or(Mode::Sync, |store| store.mode);
        let unflushed_bytes_max =
            if mode == Mode::Sync { config.sync_unflushed_max } else { config.async_unflushed_max };
        Self {
            shared: shared.clone(),
            name: shared.names.lanes()[usize::from(identity.number)].clone(),
            identity,
            mode,
            segment_bytes: shared.segment_bytes(usize::from(identity.number)),
            unflushed_bytes_max,
            next_lsn: first_lsn,
            durable: first_lsn - 1,
            confirmable: first_lsn - 1,
            segments,
            cache: Cache::new(&shared.memory),
            moved: Moved::default(),
            standing: (1..).zip(standing).collect(),
            next_stands: true,
            is_adopting: false,
            spares: Stock::default(),
            is_disk_full: false,
            sequence: 1,
            current: None,
            offset: FIRST_BATCH_OFFSET,
            open: None,
            ready: VecDeque::new(),
            in_flight: VecDeque::new(),
            in_flight_bytes: 0,
            buffer_bytes: BATCH_BYTES_MIN,
            last_issue: 0,
            lone_removal_since: None,
            write_time: 0,
            statistics: LaneStatistics::new(),
            destinations: BTreeMap::new(),
            destination_bytes: 0,
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn mode(&self) -> Mode {
        self.mode
    }

    /// The sequence number that the next record gets.
    pub(crate) fn next_lsn(&self) -> u64 {
        self.next_lsn
    }

    /// Through here records are contiguously durable.
    pub(crate) fn durable(&self) -> u64 {
        self.durable
    }

    /// Through here records are durable and checked.
    pub(crate) fn confirmable(&self) -> u64 {
        self.confirmable
    }

    pub(crate) fn destinations(&self) -> impl Iterator<Item = (u32, &str)> {
        self.destinations.iter().map(|(id, name)| (*id, name.as_str()))
    }

    // --- admission ---------------------------------------------------------------------------------------------

    /// The largest publish record that is admitted, in bytes.
    fn record_bytes_max(&self) -> usize {
        self.in_flight_bytes_max() - BATCH_HEADER_BYTES
    }

    /// Bytes that were admitted and are not yet durable.
    fn unflushed_bytes(&self) -> u64 {
        let waiting: usize = self.ready.iter().map(Batch::len).sum();
        (waiting + self.open.as_ref().map_or(0, Batch::len) + self.in_flight_bytes) as u64
    }

    /// Whether a further segment can be had.
    fn can_roll(&self) -> bool {
        let after_next =
            self.standing.contains_key(&(self.sequence + 2)) || self.is_adopting || !self.spares.is_empty();
        self.next_stands && after_next
    }

    /// Whether a message of ordinary size would be admitted now, as far as the lane can tell.
    pub(crate) fn has_room(&self) -> bool {
        self.unflushed_bytes() < self.unflushed_bytes_max && self.fits(1, Claim::Message).is_ok()
    }

    /// Whether a message has to wait for something that comes by itself.
    pub(crate) fn is_throttled(&self) -> bool {
        self.unflushed_bytes() >= self.unflushed_bytes_max || self.fits(1, Claim::Message) == Err(Refused::Throttled)
    }

    fn fits(&self, record_bytes: usize, claim: Claim) -> Result<(), Refused> {
        let end = self.end_with(record_bytes);
        let is_last = self.is_disk_full && self.spares.is_empty() && !self.is_adopting;
        let reserve =
            if is_last { self.segment_bytes / RESERVE_SHARE_LAST } else { self.segment_bytes / RESERVE_SHARE };
        let fits = match claim {
            Claim::Message => self.next_stands && (end <= self.segment_bytes - reserve || self.can_roll() && !is_last),
            // It may wait in memory for the segment after the next one.
            Claim::Reserve => self.next_stands || end <= self.segment_bytes,
        };
        match (fits, self.is_disk_full) {
            (true, _) => Ok(()),
            (false, true) => Err(Refused::Full),
            (false, false) => Err(Refused::Throttled),
        }
    }

    /// Whether the open batch takes the record.
    fn takes(&self, batch: &Batch, record_bytes: usize) -> bool {
        batch.has_room(record_bytes) && batch.len() + record_bytes <= self.shared.config.batch_bytes_max
    }

    /// Where in the segment the lane would end with one more record, in bytes.
    fn end_with(&self, record_bytes: usize) -> u64 {
        let alone = (BATCH_HEADER_BYTES + record_bytes + RECORD_ALIGNMENT).next_multiple_of(BLOCK_SIZE);
        let (offset, bytes) = match &self.open {
            Some(batch) if self.takes(batch, record_bytes) => {
                (batch.offset, (batch.len() + record_bytes + RECORD_ALIGNMENT).next_multiple_of(BLOCK_SIZE))
            }
            Some(batch) => (batch.offset, batch.padded_len() + alone),
            None => (self.offset, alone),
        };
        u64::from(offset) + bytes as u64
    }

    /// Makes sure that the open batch takes `record_bytes` more.
    fn make_room(&mut self, record_bytes: usize, claim: Claim) -> Result<(), Refused> {
        self.fits(record_bytes, claim)?;
        let batch_bytes_max = self.shared.config.batch_bytes_max;
        match &self.open {
            Some(batch) if self.takes(batch, record_bytes) => return Ok(()),
            Some(batch) => {
                self.buffer_bytes = (batch.capacity() * 2).min(batch_bytes_max.next_multiple_of(BLOCK_SIZE));
                self.close_batch();
            }
            None => {}
        }
        if self.current.is_none() || self.end_with(record_bytes) > self.segment_bytes {
            self.enter_segment();
        }
        if self.open.as_ref().is_none_or(|batch| !batch.has_room(record_bytes)) {
            self.close_batch();
            self.open_batch(record_bytes);
        }
        Ok(())
    }

    /// Goes on in the next segment, which stands ready or is about to, and repeats the definitions there.
    fn enter_segment(&mut self) {
        assert!(self.open.is_none(), "a batch does not cross segments");
        if self.current.is_some() {
            self.sequence += 1;
            self.offset = FIRST_BATCH_OFFSET;
        }
        let file =
            self.standing.get(&self.sequence).expect("the next segment stands before its predecessor is used").clone();
        // A batch that waits to be issued needs its successor, though messages have filled several segments behind it.
        let oldest = self.ready.front().map_or(self.sequence, Batch::sequence);
        self.standing.retain(|sequence, _| *sequence >= oldest);
        self.next_stands = self.standing.contains_key(&(self.sequence + 1));
        let LaneIdentity { epoch, attempt, number, .. } = self.identity;
        let path = self.shared.names.segment(&self.name, epoch, attempt, self.sequence);
        let written = (epoch, attempt, number, self.sequence);
        self.current = Some(self.segments.push(Segment::new(written, self.next_lsn, path, file)));
        let definitions: Vec<(u32, String)> = self.destinations.iter().map(|(id, name)| (*id, name.clone())).collect();
        if !definitions.is_empty() && self.sequence > 1 {
            self.open_batch(self.destination_bytes);
            definitions.iter().for_each(|(id, name)| self.put_destination(*id, name));
        }
    }

    fn put_destination(&mut self, id: u32, name: &str) {
        self.append(|out| format::put_destination(out, id, name));
    }

    fn open_batch(&mut self, record_bytes: usize) {
        let needed = (BATCH_HEADER_BYTES + record_bytes + RECORD_ALIGNMENT).next_multiple_of(BLOCK_SIZE);
        let left = (self.segment_bytes - u64::from(self.offset)) as usize;
        assert!(needed <= left, "a batch is placed where it fits");
        let capacity = self.buffer_bytes.max(needed).min(left);
        let buffer = self.shared.buffer(capacity);
        let segment = self.current.expect("a batch lies in a segment");
        self.open = Some(Batch::new(buffer, capacity, self.segment_identity(), segment, self.offset, self.next_lsn));
    }

    fn segment_identity(&self) -> SegmentIdentity {
        let LaneIdentity { store_id, epoch, attempt, number } = self.identity;
        SegmentIdentity { store_id, epoch, attempt, lane: number, sequence: self.sequence }
    }

    fn close_batch(&mut self) {
        let Some(batch) = self.open.take() else { return };
        self.lone_removal_since = None;
        if batch.is_empty() {
            return;
        }
        self.offset = batch.offset + batch.padded_len() as u32;
        self.ready.push_back(batch);
    }

    fn batch(&mut self) -> &mut Batch {
        self.open.as_mut().expect("room was made")
    }

    /// Appends a record for which room was made.
    fn append(&mut self, put: impl FnOnce(&mut BytesMut)) -> u64 {
        let lsn = self.batch().append(put);
        self.lone_removal_since = None;
        assert_eq!(lsn, self.next_lsn, "sequence numbers have no gaps");
        self.next_lsn += 1;
        lsn
    }

    /// Admits a message.
    pub(crate) fn publish(
        &mut self,
        destinations: &[u32],
        key: MessageKey,
        payload: &[&[u8]],
    ) -> Result<Appended, Refused> {
        let payload_bytes = payload.iter().map(|part| part.len()).sum();
        // As a copy it must fit, too.
        if format::copy_bytes(destinations.len(), payload_bytes) > self.record_bytes_max()
            || destinations.len() > usize::from(u16::MAX)
        {
            return Err(Refused::TooLarge);
        }
        if self.unflushed_bytes() >= self.unflushed_bytes_max {
            return Err(Refused::Throttled);
        }
        self.publish_record(destinations, key, payload, None, Claim::Message)
    }

    /// Takes over a record of an older epoch: it keeps its sequence number, and no limit applies.
    pub(crate) fn inherit_message(
        &mut self,
        destinations: &[u32],
        key: MessageKey,
        payload: &[u8],
        copy_of: Option<CopyOf>,
    ) -> Result<u64, Refused> {
        let appended = self.publish_record(destinations, key, &[payload], copy_of, Claim::Reserve)?;
        Ok(appended.lsn)
    }

    fn publish_record(
        &mut self,
        destinations: &[u32],
        key: MessageKey,
        payload: &[&[u8]],
        copy_of: Option<CopyOf>,
        claim: Claim,
    ) -> Result<Appended, Refused> {
        let payload_bytes: usize = payload.iter().map(|part| part.len()).sum();
        let record_bytes = if copy_of.is_some() { format::copy_bytes } else { format::publish_bytes };
        self.make_room(record_bytes(destinations.len(), payload_bytes), claim)?;
        let (lsn, offset) = self.batch().publish(destinations, key, payload, copy_of);
        self.lone_removal_since = None;
        assert_eq!(lsn, self.next_lsn, "sequence numbers have no gaps");
        self.next_lsn += 1;
        let (segment, start) = (self.batch().segment, self.batch().offset);
        let len = u32::try_from(payload_bytes).expect("a record is smaller than a segment");
        let order = CopyOf::order(copy_of, lsn);
        self.segments.published(segment, (lsn, order), (offset, len), key, destinations.iter().copied());
        self.segments.count(segment, len, true);
        self.cache.appended(segment, start);
        Ok(Appended { lsn, location: Location { segment, offset, len } })
    }

    /// Admits the removal of a message of which the caller knows its number and where it was told that it lies. What
    /// goes is the one record that holds it now: a copy has taken the place of those before it. `unawaited`: nobody waits
    /// for it to be written, at this time.
    pub(crate) fn acknowledge(&mut self, lsn: u64, told: Location, unawaited: Option<Nanos>) -> Result<u64, Refused> {
        let Appended { lsn: record, location } = self.moved.now(told).unwrap_or(Appended { lsn, location: told });
        let lsn = self.remove_message(record, location.segment, unawaited)?;
        self.moved.forget(told);
        self.segments.count(location.segment, location.len, false);
        self.cache.released(location);
        Ok(lsn)
    }

    fn remove_message(&mut self, publish_lsn: u64, number: u32, unawaited: Option<Nanos>) -> Result<u64, Refused> {
        self.make_room(ACKNOWLEDGE_BYTES, Claim::Reserve)?;
        self.lone_removal_since = unawaited.filter(|_| self.batch().is_empty());
        let lsn = self.batch().acknowledge(publish_lsn);
        assert!(lsn == self.next_lsn || lsn + 1 == self.next_lsn, "an acknowledgement extends the last record at most");
        self.next_lsn = lsn + 1;
        self.segments.acknowledged(lsn, number, publish_lsn);
        Ok(lsn)
    }

    /// Removes a message that damage took from segment `number`, for ever if there is room for that record.
    pub(crate) fn give_up(&mut self, number: u32, publish_lsn: u64) {
        if self.remove_message(publish_lsn, number, None).is_err() {
            self.segments.removed(publish_lsn, publish_lsn);
        }
    }

    /// Goes on with sequence number `lsn` where damage left a gap before it.
    pub(crate) fn skip_to(&mut self, lsn: u64) {
        assert!(lsn >= self.next_lsn);
        if lsn > self.next_lsn {
            self.close_batch();
            if !self.is_dirty() {
                self.durable = lsn - 1;
            }
            self.next_lsn = lsn;
        }
    }

    /// Admits any other record of `record_bytes` bytes at most.
    pub(crate) fn append_record(
        &mut self,
        record_bytes: usize,
        put: impl FnOnce(&mut BytesMut),
    ) -> Result<u64, Refused> {
        if record_bytes > self.record_bytes_max() {
            return Err(Refused::TooLarge);
        }
        self.make_room(record_bytes, Claim::Reserve)?;
        Ok(self.append(put))
    }

    /// Names a destination, here and at the start of every later segment.
    pub(crate) fn define(&mut self, id: u32, name: &str) -> Result<(), Refused> {
        if let Some(known) = self.destinations.get(&id) {
            assert_eq!(known, name, "a destination keeps its name");
            return Ok(());
        }
        let bytes = (RECORD_HEADER_BYTES + 4 + name.len()).next_multiple_of(RECORD_ALIGNMENT);
        if (self.destination_bytes + bytes) as u64 > self.segment_bytes / DEFINITIONS_SHARE {
            return Err(Refused::Full);
        }
        self.make_room(bytes, Claim::Message)?;
        self.put_destination(id, name);
        self.destinations.insert(id, name.to_owned());
        self.destination_bytes += bytes;
        Ok(())
    }

    /// Gives a destination another name. Nothing of what lies before may be live: it would come back under this name.
    pub(crate) fn rename(&mut self, id: u32, name: &str) -> Result<(), Refused> {
        let size = |name: &str| (RECORD_HEADER_BYTES + 4 + name.len()).next_multiple_of(RECORD_ALIGNMENT);
        let known = self.destinations.get(&id).expect("a destination that was defined");
        let bytes = self.destination_bytes - size(known) + size(name);
        if bytes as u64 > self.segment_bytes / DEFINITIONS_SHARE {
            return Err(Refused::Full);
        }
        self.make_room(size(name), Claim::Message)?;
        self.put_destination(id, name);
        self.destinations.insert(id, name.to_owned());
        self.destination_bytes = bytes;
        Ok(())
    }

    // --- writing -----------------------------------------------------------------------------------------------

    /// Whether something was admitted that is not yet durable.
    pub(crate) fn is_dirty(&self) -> bool {
        self.durable + 1 < self.next_lsn
    }

    /// When to write next what does not go out at once.
    pub(crate) fn flush_at(&self) -> Option<Nanos> {
        let is_free = self.ready.is_empty() && self.in_flight.len() < self.writes_max();
        if !is_free || self.open.is_none() {
            return None;
        }
        match self.mode {
            Mode::Async => Some(self.last_issue + self.shared.config.async_flush_interval),
            // Beside a write that takes longer than usual it waits for the end of that, which needs no timer.
            Mode::Sync if self.in_flight.is_empty() => self.lone_removal_since.map(|since| since + REMOVAL_WAIT),
            Mode::Sync => None,
        }
    }

    /// Whether what has accumulated waits for something to be written with.
    fn has_time(&self, now: Nanos) -> bool {
        self.write_time < OVERLAP_FROM && self.lone_removal_since.is_some_and(|since| now < since + REMOVAL_WAIT)
    }

    /// Metadata is little, and its segments are small.
    fn writes_max(&self) -> usize {
        if self.identity.number == 0 { 1 } else { self.shared.config.writes_in_flight_max }
    }

    /// All writes in flight together must fit in a successor's first segment, should they have to be copied there.
    fn in_flight_bytes_max(&self) -> usize {
        self.segment_bytes as usize / 2
    }

    /// Whether what has accumulated is to be written beside the writes in flight. On a slow disk that is so once it is a fair share
    /// of all that is under way: much smaller ones would keep all places taken while the rest waits.
    fn is_worth_a_write(&self) -> bool {
        let Some(batch) = self.open.as_ref().filter(|batch| !batch.is_empty()) else { return true };
        let records = |flight: &Flight| flight.last_lsn + 1 - flight.first_lsn;
        let under_way: u64 = self.in_flight.iter().map(records).sum();
        let accumulated = batch.last_lsn() + 1 - batch.first_lsn();
        // With all places taken, and one share more that waits: less than a place's, or unequal shares would wait in turn.
        let is_share = accumulated * (self.writes_max() as u64 + 1) >= under_way + accumulated;
        under_way == 0 || self.write_time >= OVERLAP_FROM && is_share
    }

    /// Whether the oldest batch may be written now.
    fn may_issue(&self) -> bool {
        self.ready.front().is_some_and(|batch| {
            let is_bounded = self.in_flight_bytes + batch.padded_len() <= self.in_flight_bytes_max();
            // The segment after the one that is written to must stand, or a reader could meet a missing name.
            (self.in_flight.is_empty() || is_bounded) && self.standing.contains_key(&(batch.sequence() + 1))
        })
    }

    /// Issues what accumulated, as far as writes in flight allow. `at_once`: an async store does not wait for its time, nor does a
    /// removal for company.
    pub(crate) fn flush(&mut self, now: Nanos, at_once: bool) {
        while self.in_flight.len() < self.writes_max() {
            let is_due =
                self.mode == Mode::Sync || at_once || now >= self.last_issue + self.shared.config.async_flush_interval;
            let is_worth_it = self.mode == Mode::Async || self.is_worth_a_write() && (at_once || !self.has_time(now));
            if self.ready.is_empty() && is_due && is_worth_it {
                if let Some(batch) = &self.open
                    && batch.len() < batch.capacity() / 4
                {
                    self.buffer_bytes = (batch.capacity() / 2).next_multiple_of(BLOCK_SIZE).max(BATCH_BYTES_MIN);
                }
                self.close_batch();
            }
            if !self.may_issue() {
                return;
            }
            self.issue(now);
        }
    }

    fn issue(&mut self, now: Nanos) {
        let Some(batch) = self.ready.pop_front() else { return };
        let (segment, offset, capacity) = (batch.segment, batch.offset, batch.capacity());
        let (first_lsn, last_lsn) = (batch.first_lsn(), batch.last_lsn());
        let data = batch.finish(self.durable);
        self.cache.issued(segment, offset, data.clone(), capacity);
        let file = self.segments.get(segment).and_then(|segment| segment.file.as_ref());
        let file = file.expect("a segment stays, and stays open, while it is written").id();
        let bytes = data.len();
        let op = DiskOp::Write { file, offset: u64::from(offset), data, durable: true };
        let request = self.shared.port.submit(Purpose::Batch { lane: usize::from(self.identity.number) }, op);
        let flight = Flight { request, issued_at: now, first_lsn, last_lsn, bytes, segment, offset, is_done: false };
        self.in_flight.push_back(flight);
        self.in_flight_bytes += bytes;
        self.last_issue = now;
    }

    /// A write is on media. The durable prefix grows over it once all before it are.
    pub(crate) fn written(&mut self, now: Nanos, request: u64) {
        let flight = self.in_flight.iter_mut().find(|flight| flight.request == request);
        let flight = flight.expect("a write completes once");
        flight.is_done = true;
        let records = flight.last_lsn + 1 - flight.first_lsn;
        let time = now.saturating_sub(flight.issued_at);
        self.write_time = (self.write_time * (WRITE_TIME_SHARE - 1) + time) / WRITE_TIME_SHARE;
        self.statistics.committed(time, flight.bytes, records);
        while self.in_flight.front().is_some_and(|flight| flight.is_done) {
            let Some(flight) = self.in_flight.pop_front() else { return };
            assert!(flight.last_lsn > self.durable && flight.last_lsn < self.next_lsn);
            self.durable = flight.last_lsn;
            self.in_flight_bytes -= flight.bytes;
            self.cache.durable(flight.segment, flight.offset);
        }
    }

    /// A check passed that was submitted when `through` was durable. True: something became confirmable.
    pub(crate) fn checked(&mut self, through: u64) -> bool {
        assert!(through <= self.durable);
        if through <= self.confirmable {
            return false;
        }
        self.confirmable = through;
        self.segments.confirmed(through);
        true
    }

    // --- segments ----------------------------------------------------------------------------------------------

    /// Whether another spare should be made, given how many bytes are to stand ready.
    pub(crate) fn wants_spare(&self) -> bool {
        self.spares.len() < self.spares_wanted()
    }

    /// Whether a spare would become a segment at once, if there was one.
    pub(crate) fn waits_for_spare(&self) -> bool {
        let newest = self.standing.last_key_value().map_or(self.sequence, |(sequence, _)| *sequence);
        self.spares.is_empty() && !self.is_adopting && newest < self.newest_wanted()
    }

    /// Whether dead segment `segment` should become a spare, beside `others`, rather than be removed.
    pub(crate) fn may_reuse(&self, segment: &Segment, others: usize) -> bool {
        let is_ours = (segment.epoch, segment.attempt) == (self.identity.epoch, self.identity.attempt);
        // What was set aside keeps its bytes.
        let is_bare = !self.shared.config.force_start;
        is_ours && is_bare && self.spares.keeps(others, self.spares_wanted(), self.is_disk_full)
    }

    /// A spare that nobody has needed for long.
    pub(crate) fn take_idle_spare(&mut self, now: Nanos) -> Option<Spare> {
        self.spares.take_idle(now, self.spares_wanted())
    }

    fn spares_wanted(&self) -> usize {
        let store = self.identity.number.checked_sub(1).map(|index| &self.shared.config.stores[usize::from(index)]);
        let minimum = store.map_or(self.shared.config.meta_minimum_bytes, |store| store.minimum_bytes);
        let minimum = minimum.div_ceil(self.segment_bytes);
        let standing = self.standing.len() as u64;
        minimum.saturating_sub(standing).max(1) as usize
    }

    pub(crate) fn add_spare(&mut self, spare: Spare) {
        self.spares.add(spare);
        self.is_disk_full = false;
    }

    /// A spare that is to become the next standing segment now, with its identity. Early, so that nobody waits for it.
    pub(crate) fn next_adoption(&mut self, now: Nanos) -> Option<(Spare, SegmentIdentity)> {
        let next = *self.standing.last_key_value()?.0 + 1;
        if self.is_adopting || next > self.newest_wanted() {
            return None;
        }
        let spare = self.spares.take(now)?;
        self.is_adopting = true;
        Some((spare, SegmentIdentity { sequence: next, ..self.segment_identity() }))
    }

    /// The newest segment that should stand by now.
    fn newest_wanted(&self) -> u32 {
        let is_half_full = u64::from(self.offset) > self.segment_bytes / 2;
        if is_half_full { self.sequence + 2 } else { self.sequence + 1 }
    }

    /// The spare that was taken stands now.
    pub(crate) fn adopted(&mut self, sequence: u32, file: File) {
        assert!(self.is_adopting);
        self.is_adopting = false;
        self.standing.insert(sequence, file);
        self.next_stands |= sequence == self.sequence + 1;
    }

    /// Where the journal goes on if everything before the segment that is written to now is known: a checkpoint's
    /// position. `None` while something before it is not confirmable.
    pub(crate) fn position(&self) -> Option<Position> {
        let (sequence, lsn) = self.newest_segment();
        (self.confirmable + 1 >= lsn).then_some(Position { epoch: self.identity.epoch, sequence, lsn })
    }

    /// The sequence of the segment that is written to, and the number of its first record.
    pub(crate) fn newest_segment(&self) -> (u32, u64) {
        let current = self.current.and_then(|number| self.segments.get(number));
        (self.sequence, current.map_or(self.next_lsn, |segment| segment.first_lsn))
    }

    /// Whether further records, `bytes` in all, would be admitted now.
    pub(crate) fn has_room_for(&self, bytes: usize) -> bool {
        self.fits(bytes, Claim::Reserve).is_ok()
    }

    /// The segment that is written to.
    pub(crate) fn current(&self) -> Option<u32> {
        self.current
    }

    pub(crate) fn segment_bytes(&self) -> u64 {
        self.segment_bytes
    }

    /// Takes a dead segment out of the table.
    pub(crate) fn remove(&mut self, number: u32) -> Option<Segment> {
        let segment = self.segments.remove(number)?;
        self.cache.drop_segment(number);
        Some(segment)
    }

    pub(crate) fn take_spares(&mut self) -> VecDeque<Spare> {
        self.spares.take_all()
    }

    // --- bodies ------------------------------------------------------------------------------------------------

    /// A message's bytes if they are in memory. Those not yet issued are copied: their buffer still grows.
    pub(crate) fn body(&self, location: Location) -> Body {
        if let Some(bytes) = self.cache.written(location) {
            return Body::Ready(bytes);
        }
        let mut unissued = self.ready.iter().chain(&self.open);
        match unissued.find(|batch| batch.contains(location.segment, location.offset)) {
            Some(batch) => Body::Ready(batch.copy(location.offset, location.len)),
            None => Body::Pending,
        }
    }

    /// The name of a segment's index, and what its bytes are sealed with; `by`: the epoch that wrote it.
    pub(crate) fn index_of(&self, segment: &Segment, by: u64) -> (PathBuf, SegmentIdentity) {
        (self.shared.names.index(&self.name, segment.written(), by), self.identity_of(segment))
    }

    fn identity_of(&self, segment: &Segment) -> SegmentIdentity {
        SegmentIdentity {
            store_id: self.identity.store_id,
            epoch: segment.epoch,
            attempt: segment.attempt,
            lane: segment.lane,
            sequence: segment.sequence,
        }
    }

    /// Whether bytes read back are the message at `location`; `bytes` start with its checksum.
    pub(crate) fn verified(&self, location: Location, bytes: &Bytes) -> Option<Bytes> {
        let segment = self.segments.get(location.segment)?;
        self.identity_of(segment).checked_payload(location.offset, bytes).map(|payload| bytes.slice_ref(payload))
    }
}
