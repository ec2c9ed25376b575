//! The files that are written once and then only read: a segment's index and a lane's checkpoint.
//!
//! Owns their bytes. Both are a header block and a body with a checksum that is seeded with the identity, so that bytes
//! that belong elsewhere never validate. When they are written, and what is in them, is said by `checkpoints`.

use super::blocks::{finish_block, open_block};
use super::{BlockError, CHECKPOINT_MAGIC, FORMAT_VERSION, Fields, INDEX_MAGIC, SegmentIdentity, put_text};
use crate::MessageKey;
use crate::bits::Bits;
use bytes::{BufMut, BytesMut};
use disk::BLOCK_SIZE;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableKind {
    /// Of a segment; its identity is the segment's.
    Index,
    /// Of a lane; its identity is the writer's, with the checkpoint's number in place of the sequence.
    Checkpoint,
}

/// The first block of an index or a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableHeader {
    /// What follows.
    pub kind: TableKind,
    /// Whose it is.
    pub identity: SegmentIdentity,
    /// Bytes of the body, without padding.
    pub body_bytes: u64,
    /// Of the body.
    pub body_checksum: u32,
}

impl TableHeader {
    /// The header for `body`.
    pub fn new(kind: TableKind, identity: SegmentIdentity, body: &[u8]) -> Self {
        let body_checksum = crc32c::crc32c_append(identity.seed(), body);
        Self { kind, identity, body_bytes: body.len() as u64, body_checksum }
    }

    /// Appends the block.
    pub fn encode(&self, out: &mut BytesMut) {
        let start = out.len();
        out.put_slice(if self.kind == TableKind::Index { &INDEX_MAGIC } else { &CHECKPOINT_MAGIC });
        out.put_u32_le(0);
        out.put_u16_le(FORMAT_VERSION);
        out.put_u16_le(self.identity.lane);
        out.put_u128_le(self.identity.store_id);
        out.put_u64_le(self.identity.epoch);
        out.put_u128_le(self.identity.attempt);
        out.put_u32_le(self.identity.sequence);
        out.put_u32_le(self.body_checksum);
        out.put_u64_le(self.body_bytes);
        finish_block(out, start);
    }

    /// Reads the block of a file that should be of this kind.
    pub fn decode(kind: TableKind, block: &[u8]) -> Result<Self, BlockError> {
        let magic = if kind == TableKind::Index { INDEX_MAGIC } else { CHECKPOINT_MAGIC };
        let mut fields = open_block(block, magic)?;
        let mut read = || {
            let lane = fields.u16()?;
            let (store_id, epoch, attempt) = (fields.u128()?, fields.u64()?, fields.u128()?);
            let (sequence, body_checksum, body_bytes) = (fields.u32()?, fields.u32()?, fields.u64()?);
            let identity = SegmentIdentity { store_id, epoch, attempt, lane, sequence };
            Some(Self { kind, identity, body_bytes, body_checksum })
        };
        read().ok_or(BlockError::Damaged)
    }

    /// Whether `body` is what was written.
    pub fn is_whole(&self, body: &[u8]) -> bool {
        body.len() as u64 == self.body_bytes && crc32c::crc32c_append(self.identity.seed(), body) == self.body_checksum
    }

    /// Bytes of the whole file.
    pub fn file_bytes(&self) -> u64 {
        BLOCK_SIZE as u64 + self.body_bytes.next_multiple_of(BLOCK_SIZE as u64)
    }
}

/// Appends a number in groups of seven bits, the lowest first.
/// The most bytes that a number takes.
const NUMBER_BYTES_MAX: usize = 10;

fn put_number(out: &mut impl BufMut, mut number: u64) {
    while number >= 0x80 {
        out.put_u8(number as u8 | 0x80);
        number >>= 7;
    }
    out.put_u8(number as u8);
}

fn number(fields: &mut Fields<'_>) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let byte = fields.u8()?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// A message of a segment, as its index tells of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IndexEntry {
    /// Its log sequence number.
    pub lsn: u64,
    /// The number under which it was published: another one if this is a copy.
    pub order: u64,
    /// Offset of its payload in the segment.
    pub offset: u32,
    /// Length of its payload in bytes.
    pub len: u32,
    /// As published.
    pub key: MessageKey,
    /// Where it goes.
    pub destinations: Vec<u32>,
}

/// The messages of a segment in order, in the bytes that the index file will have.
#[derive(Clone, Debug, Default)]
pub struct Index {
    body: BytesMut,
    last: IndexEntry,
}

/// Flags of an entry: key and destinations are those of the one before; it is a copy.
const SAME: u8 = 1;
const COPY: u8 = 2;

impl Index {
    /// Adds a message behind the last one. `order`: the number under which it was published. True: its key or its
    /// destinations are not those of the one before.
    pub fn push(
        &mut self,
        lsn: u64,
        order: u64,
        (offset, len): (u32, u32),
        key: MessageKey,
        destinations: impl ExactSizeIterator<Item = u32> + Clone,
    ) -> bool {
        let last = &mut self.last;
        assert!(lsn > last.lsn && offset >= last.offset + last.len, "messages come in order");
        assert!(order <= lsn, "a copy comes after its original");
        let is_same = key == last.key && destinations.clone().eq(last.destinations.iter().copied());
        let is_copy = order < lsn;
        let mut entry = [0; 1 + 4 * NUMBER_BYTES_MAX];
        let mut rest = &mut entry[..];
        rest.put_u8(if is_same { SAME } else { 0 } | if is_copy { COPY } else { 0 });
        put_number(&mut rest, lsn - last.lsn);
        if is_copy {
            put_number(&mut rest, lsn - order);
        }
        put_number(&mut rest, u64::from(offset - last.offset - last.len));
        put_number(&mut rest, u64::from(len));
        let bytes = 1 + 4 * NUMBER_BYTES_MAX - rest.len();
        self.body.extend_from_slice(&entry[..bytes]);
        if !is_same {
            put_number(&mut self.body, key.expires_at_ms);
            self.body.put_slice(&[key.priority, key.flags]);
            put_number(&mut self.body, destinations.len() as u64);
            last.destinations.clear();
            for id in destinations {
                put_number(&mut self.body, u64::from(id));
                last.destinations.push(id);
            }
        }
        (last.lsn, last.offset, last.len, last.key) = (lsn, offset, len, key);
        !is_same
    }

    /// The bytes so far.
    pub fn body(&self) -> &[u8] {
        &self.body
    }
}

/// Reads the body of an index from front to back.
#[derive(Clone, Debug)]
pub struct IndexReader<B> {
    body: B,
    at: usize,
    entry: IndexEntry,
}

impl<B: AsRef<[u8]>> IndexReader<B> {
    /// From the first message on.
    pub fn new(body: B) -> Self {
        Self { body, at: 0, entry: IndexEntry::default() }
    }

    /// The message that was read last.
    pub fn entry(&self) -> &IndexEntry {
        &self.entry
    }

    /// The next message; `Ok(None)` behind the last. The error: not an index.
    #[expect(clippy::should_implement_trait, reason = "it lends its entry")]
    pub fn next(&mut self) -> Result<Option<&IndexEntry>, BlockError> {
        let rest = &self.body.as_ref()[self.at..];
        if rest.is_empty() {
            return Ok(None);
        }
        let mut fields = Fields(rest);
        read_entry(&mut fields, &mut self.entry).ok_or(BlockError::Damaged)?;
        self.at += rest.len() - fields.0.len();
        Ok(Some(&self.entry))
    }
}

fn read_entry(fields: &mut Fields<'_>, entry: &mut IndexEntry) -> Option<()> {
    let flags = fields.u8()?;
    entry.lsn = entry.lsn.checked_add(number(fields)?)?;
    entry.order = if flags & COPY == 0 { entry.lsn } else { entry.lsn.checked_sub(number(fields)?)? };
    let start = entry.offset.checked_add(entry.len)?;
    entry.offset = start.checked_add(u32::try_from(number(fields)?).ok()?)?;
    entry.len = u32::try_from(number(fields)?).ok()?;
    if flags & SAME == 0 {
        entry.key = MessageKey { expires_at_ms: number(fields)?, priority: fields.u8()?, flags: fields.u8()? };
        entry.destinations.clear();
        for _ in 0..number(fields)? {
            entry.destinations.push(u32::try_from(number(fields)?).ok()?);
        }
    }
    Some(())
}

/// Where the journal goes on behind a checkpoint: at the start of this segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// Epoch of the segment.
    pub epoch: u64,
    /// Sequence of the segment.
    pub sequence: u32,
    /// The first sequence number in it.
    pub lsn: u64,
}

/// A segment with live messages, as a checkpoint tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CheckpointSegment {
    pub(crate) epoch: u64,
    pub(crate) attempt: u128,
    pub(crate) lane: u16,
    pub(crate) sequence: u32,
    pub(crate) first_lsn: u64,
    /// Behind its last record.
    pub(crate) next_lsn: u64,
    /// The epoch that wrote its index.
    pub(crate) index_epoch: u64,
    /// Some of its messages are copies.
    pub(crate) has_copies: bool,
    /// Destinations of its messages, live or not.
    pub(crate) destinations: Vec<u32>,
    pub(crate) live: Bits,
}

/// Flag behind the lane's number in a checkpoint: some of the segment's messages are copies.
const HAS_COPIES: u64 = 1 << 16;

/// What a lane held before a position of its journal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    pub(crate) position: Position,
    pub(crate) destinations: Vec<(u32, String)>,
    /// Oldest first.
    pub(crate) segments: Vec<CheckpointSegment>,
}

impl Checkpoint {
    /// Starts a body: everything but the segments, which follow by [`CheckpointSegment::encode`].
    pub(crate) fn encode_head(&self, out: &mut BytesMut) {
        assert!(self.segments.is_empty(), "segments are appended one by one");
        put_number(out, self.position.epoch);
        put_number(out, u64::from(self.position.sequence));
        put_number(out, self.position.lsn);
        put_number(out, self.destinations.len() as u64);
        for (id, name) in &self.destinations {
            put_number(out, u64::from(*id));
            put_text(out, name);
        }
    }

    /// Reads a body whose checksum was found good.
    pub(crate) fn decode(body: &[u8]) -> Option<Self> {
        let mut fields = Fields(body);
        let fields = &mut fields;
        let narrow = |value: Option<u64>| u32::try_from(value?).ok();
        let position = Position { epoch: number(fields)?, sequence: narrow(number(fields))?, lsn: number(fields)? };
        let destinations =
            (0..number(fields)?).map(|_| Some((narrow(number(fields))?, fields.text()?))).collect::<Option<_>>()?;
        let mut segments = Vec::new();
        while !fields.0.is_empty() {
            segments.push(CheckpointSegment::decode(fields)?);
        }
        Some(Self { position, destinations, segments })
    }
}

impl CheckpointSegment {
    pub(crate) fn encode(&self, out: &mut BytesMut) {
        put_number(out, self.epoch);
        out.put_u128_le(self.attempt);
        put_number(out, u64::from(self.lane) | if self.has_copies { HAS_COPIES } else { 0 });
        put_number(out, u64::from(self.sequence));
        put_number(out, self.first_lsn);
        put_number(out, self.next_lsn);
        put_number(out, self.index_epoch);
        put_number(out, self.destinations.len() as u64);
        self.destinations.iter().for_each(|id| put_number(out, u64::from(*id)));
        put_number(out, self.live.words().len() as u64);
        self.live.words().iter().for_each(|word| out.put_u64_le(*word));
    }

    fn decode(fields: &mut Fields<'_>) -> Option<Self> {
        let (epoch, attempt) = (number(fields)?, fields.u128()?);
        let lane = number(fields)?;
        let (lane, has_copies) = (u16::try_from(lane & !HAS_COPIES).ok()?, lane & HAS_COPIES != 0);
        let sequence = u32::try_from(number(fields)?).ok()?;
        let (first_lsn, next_lsn, index_epoch) = (number(fields)?, number(fields)?, number(fields)?);
        let destinations = (0..number(fields)?).map(|_| u32::try_from(number(fields)?).ok()).collect::<Option<_>>()?;
        let words = (0..number(fields)?).map(|_| fields.u64()).collect::<Option<_>>()?;
        let live = Bits::from_words(first_lsn, words);
        Some(Self { epoch, attempt, lane, sequence, first_lsn, next_lsn, index_epoch, has_copies, destinations, live })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> SegmentIdentity {
        SegmentIdentity { store_id: 1, epoch: 2, attempt: 3, lane: 4, sequence: 5 }
    }

    #[test]
    fn an_index_gives_back_what_was_pushed() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut index = Index::default();
        let mut expected = Vec::new();
        let (mut lsn, mut offset) = (0, 4096);
        for _ in 0..1000 {
            lsn += random.u64(1..3);
            offset += random.u32(0..9000);
            let entry = IndexEntry {
                lsn,
                order: if random.u8(0..4) == 0 { random.u64(1..=lsn) } else { lsn },
                offset,
                len: random.u32(0..70_000),
                key: MessageKey { expires_at_ms: random.u64(0..2), priority: random.u8(3..5), flags: 3 },
                destinations: (0..random.u32(1..3)).collect(),
            };
            index.push(lsn, entry.order, (offset, entry.len), entry.key, entry.destinations.iter().copied());
            offset += entry.len;
            expected.push(entry);
        }
        let mut reader = IndexReader::new(index.body());
        for entry in &expected {
            assert_eq!(reader.next(), Ok(Some(entry)));
        }
        assert_eq!(reader.next(), Ok(None));
        let cut = &index.body()[..index.body().len() - 1];
        let mut reader = IndexReader::new(cut);
        while let Ok(Some(_)) = reader.next() {}
        assert_eq!(reader.next(), Err(BlockError::Damaged));
    }

    #[test]
    fn a_message_like_the_one_before_takes_six_bytes() {
        let mut index = Index::default();
        for message in 0..1000u32 {
            let lsn = u64::from(message) + 1;
            index.push(lsn, lsn, (4096 + message * 1100, 1024), MessageKey::default(), [1].into_iter());
        }
        assert!(index.body().len() < 6100, "{}", index.body().len());
    }

    #[test]
    fn a_checkpoint_gives_back_what_was_written() {
        let mut live = Bits::new(100);
        [100, 163, 164, 400].into_iter().for_each(|lsn| live.insert(lsn));
        let segment = CheckpointSegment {
            epoch: 1,
            attempt: u128::MAX,
            lane: 2,
            sequence: 70_000,
            first_lsn: 100,
            next_lsn: 500,
            index_epoch: 3,
            has_copies: false,
            destinations: vec![1, 300],
            live,
        };
        let copies = CheckpointSegment { has_copies: true, ..segment.clone() };
        let head = Checkpoint {
            position: Position { epoch: 4, sequence: 9, lsn: 1 << 40 },
            destinations: vec![(1, "a".into()), (300, "b.c".into())],
            segments: Vec::new(),
        };
        let mut body = BytesMut::new();
        head.encode_head(&mut body);
        segment.encode(&mut body);
        copies.encode(&mut body);
        let expected = Checkpoint { segments: vec![segment, copies], ..head };
        assert_eq!(Checkpoint::decode(&body), Some(expected));
        assert_eq!(Checkpoint::decode(&body[..body.len() - 1]), None);
    }

    #[test]
    fn a_table_is_whole_only_with_its_own_identity() {
        let header = TableHeader::new(TableKind::Index, identity(), b"body");
        let mut block = BytesMut::new();
        header.encode(&mut block);
        assert_eq!(TableHeader::decode(TableKind::Index, &block), Ok(header));
        assert_eq!(TableHeader::decode(TableKind::Checkpoint, &block), Err(BlockError::Damaged));
        assert!(header.is_whole(b"body") && !header.is_whole(b"bode") && !header.is_whole(b"bod"));
        let other = TableHeader { identity: SegmentIdentity { sequence: 6, ..identity() }, ..header };
        assert!(!other.is_whole(b"body"));
        assert_eq!(header.file_bytes(), 2 * BLOCK_SIZE as u64);
    }
}
