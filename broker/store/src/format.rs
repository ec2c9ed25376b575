//! Every byte that the store puts on disk, and nothing else: layouts, magic numbers, checksums.
//!
//! docs/FORMATS.md shows the same tables for people; `tests/formats.rs` holds the two together through [`LAYOUT`].
//! All integers are little endian. What is read here comes from a disk: it is never asserted, `None` means invalid.

use crate::MessageKey;
use bytes::{BufMut, BytesMut};
use disk::BLOCK_SIZE;

/// Format version 1: the first. Kinds for checkpoints and transactions are reserved in it.
pub const FORMAT_VERSION: u16 = 1;

/// First bytes of a segment file.
pub const SEGMENT_MAGIC: [u8; 8] = *b"USsegmnt";
/// First bytes of the record in an owner file, at [`OWNER_RECORD_OFFSET`].
pub const OWNER_MAGIC: [u8; 8] = *b"USowner\0";
/// First bytes of the heartbeat, at the start of an owner file.
pub const HEARTBEAT_MAGIC: [u8; 8] = *b"USheartb";
/// First bytes of a claimed slot.
pub const SLOT_MAGIC: [u8; 8] = *b"USslot\0\0";
/// First bytes of a batch.
pub const BATCH_MAGIC: [u8; 4] = *b"UBat";

/// Bytes of a batch before its first record.
pub const BATCH_HEADER_BYTES: usize = 64;
/// Bytes of a record before its body.
pub const RECORD_HEADER_BYTES: usize = 8;
/// Records start at multiples of this many bytes within their batch.
pub const RECORD_ALIGNMENT: usize = 8;
/// Offset of the first batch in a segment.
pub const FIRST_BATCH_OFFSET: u32 = BLOCK_SIZE as u32;
/// Where the immutable record lies in an owner file; the heartbeat is before it, in a block of its own.
pub const OWNER_RECORD_OFFSET: u64 = BLOCK_SIZE as u64;
/// Bytes of an acknowledged range in its record.
pub const RANGE_BYTES: usize = 16;
/// Bytes from the start of a publish record to its destinations.
pub const PUBLISH_FIXED_BYTES: usize = RECORD_HEADER_BYTES + 12;
/// Bytes of the checksum just before a payload.
pub const PAYLOAD_CHECKSUM_BYTES: usize = 4;

/// Record kinds. Those without a user yet are reserved from format 1 on.
pub mod kind {
    /// A message with its destinations.
    pub const PUBLISH: u8 = 1;
    /// Ranges of publishes that are consumed.
    pub const ACKNOWLEDGE: u8 = 2;
    /// Reserved: a transaction's commit.
    pub const COMMIT: u8 = 3;
    /// A destination's id and name.
    pub const DESTINATION: u8 = 4;
    /// The ends of all older epochs.
    pub const SEAL: u8 = 5;
    /// The epoch passed its check after the seal.
    pub const SERVING: u8 = 6;
    /// Segments that are about to be unlinked.
    pub const UNLINK: u8 = 7;
    /// Clean stop.
    pub const END: u8 = 8;
    /// Reserved: a checkpoint is installed.
    pub const CHECKPOINT: u8 = 9;
    /// Reserved: a durable subscription.
    pub const DURABLE: u8 = 10;
    /// Reserved: a user's temporary destination.
    pub const TEMPORARY: u8 = 11;
    /// Reserved: an XA transaction is prepared.
    pub const PREPARE: u8 = 12;
    /// Reserved: one of several destinations of a message is consumed.
    pub const ACKNOWLEDGE_ONE: u8 = 13;
}

/// One field of a structure: offset, size (both in bytes), name.
pub type Field = (usize, usize, &'static str);

/// The fixed part of every structure, as docs/FORMATS.md shows it.
pub const LAYOUT: &[(&str, &[Field])] = &[
    (
        "Segment header",
        &[
            (0, 8, "magic"),
            (8, 4, "checksum"),
            (12, 2, "format version"),
            (14, 2, "lane"),
            (16, 16, "store id"),
            (32, 8, "epoch"),
            (40, 16, "attempt"),
            (56, 4, "sequence"),
            (60, 4, "next sequence"),
            (64, 8, "segment bytes"),
        ],
    ),
    (
        "Batch header",
        &[
            (0, 4, "magic"),
            (4, 4, "checksum"),
            (8, 2, "format version"),
            (10, 2, "lane"),
            (12, 4, "sequence"),
            (16, 16, "store id"),
            (32, 8, "epoch"),
            (40, 8, "first LSN"),
            (48, 8, "durable-through LSN"),
            (56, 4, "record count"),
            (60, 4, "length"),
        ],
    ),
    ("Record header", &[(0, 1, "kind"), (1, 1, "reserved"), (2, 2, "reserved"), (4, 4, "length")]),
    (
        "Publish",
        &[
            (0, 8, "record header"),
            (8, 8, "expires at"),
            (16, 1, "priority"),
            (17, 1, "flags"),
            (18, 2, "destination count"),
        ],
    ),
    ("Acknowledge", &[(0, 8, "record header"), (8, 8, "first LSN"), (16, 8, "last LSN")]),
    ("Destination", &[(0, 8, "record header"), (8, 4, "id")]),
    (
        "Owner record",
        &[
            (0, 8, "magic"),
            (8, 4, "checksum"),
            (12, 2, "format version"),
            (14, 2, "lane count"),
            (16, 16, "store id"),
            (32, 8, "epoch"),
            (40, 16, "process"),
            (56, 16, "attempt"),
        ],
    ),
    (
        "Heartbeat",
        &[
            (0, 8, "magic"),
            (8, 4, "checksum"),
            (12, 2, "format version"),
            (14, 2, "reserved"),
            (16, 8, "epoch"),
            (24, 8, "counter"),
        ],
    ),
    (
        "Slot",
        &[
            (0, 8, "magic"),
            (8, 4, "checksum"),
            (12, 2, "format version"),
            (14, 2, "reserved"),
            (16, 16, "attempt"),
            (32, 8, "epoch"),
        ],
    ),
];

/// Which lane of which epoch of which store, and which of its segments: what a checksum is seeded with, so that
/// bytes of another store, epoch, attempt, lane or segment never validate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentIdentity {
    /// Of the whole store folder; fixed when it is made.
    pub store_id: u128,
    /// The epoch that wrote it.
    pub epoch: u64,
    /// The claim attempt that wrote it.
    pub attempt: u128,
    /// The lane's number in that epoch's owner record; 0 is the metadata.
    pub lane: u16,
    /// 1, 2, 3 ... within epoch and lane.
    pub sequence: u32,
}

impl SegmentIdentity {
    fn seed(&self) -> u32 {
        let mut bytes = [0; 46];
        bytes[..16].copy_from_slice(&self.store_id.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.epoch.to_le_bytes());
        bytes[24..40].copy_from_slice(&self.attempt.to_le_bytes());
        bytes[40..42].copy_from_slice(&self.lane.to_le_bytes());
        bytes[42..46].copy_from_slice(&self.sequence.to_le_bytes());
        crc32c::crc32c(&bytes)
    }

    /// The checksum of a payload at `offset` of this segment: bytes that belong elsewhere never validate.
    pub fn payload_checksum(&self, offset: u32, payload: &[&[u8]]) -> u32 {
        let seed = crc32c::crc32c_append(self.seed(), &offset.to_le_bytes());
        payload.iter().fold(seed, |checksum, part| crc32c::crc32c_append(checksum, part))
    }
}

/// Reads little-endian fields one after the other; `None` once they run out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl<'a> Fields<'a> {
    pub(crate) fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(count)?;
        self.0 = tail;
        Some(head)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes(N)?.try_into().ok()
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        Some(self.array::<1>()?[0])
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn u128(&mut self) -> Option<u128> {
        self.array().map(u128::from_le_bytes)
    }

    pub(crate) fn text(&mut self) -> Option<String> {
        let count = self.u16()?;
        String::from_utf8(self.bytes(usize::from(count))?.to_vec()).ok()
    }
}

fn put_text(out: &mut BytesMut, text: &str) {
    out.put_u16_le(u16::try_from(text.len()).expect("names are checked where they enter"));
    out.put_slice(text.as_bytes());
}

/// Fills up a block and puts the checksum of everything behind it at offset 8.
fn finish_block(out: &mut BytesMut, start: usize) {
    assert!(out.len() - start <= BLOCK_SIZE, "a block holds what is written to it");
    out.resize(start + BLOCK_SIZE, 0);
    let checksum = crc32c::crc32c(&out[start + 12..]);
    out[start + 8..start + 12].copy_from_slice(&checksum.to_le_bytes());
}

/// Why a block of its own (segment header, owner, slot, heartbeat) does not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockError {
    /// Wrong length, magic, checksum or content.
    Damaged,
    /// Whole, but of a later format version.
    TooNew(u16),
}

fn open_block(block: &[u8], magic: [u8; 8]) -> Result<Fields<'_>, BlockError> {
    let block = block.get(..BLOCK_SIZE).ok_or(BlockError::Damaged)?;
    let mut fields = Fields(block);
    let found = fields.bytes(8).ok_or(BlockError::Damaged)?;
    let checksum = fields.u32().ok_or(BlockError::Damaged)?;
    if found != magic || checksum != crc32c::crc32c(&block[12..]) {
        return Err(BlockError::Damaged);
    }
    match fields.u16() {
        Some(version) if version <= FORMAT_VERSION => Ok(fields),
        Some(version) => Err(BlockError::TooNew(version)),
        None => Err(BlockError::Damaged),
    }
}

/// The first block of a segment file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Whose it is.
    pub identity: SegmentIdentity,
    /// Length of the file in bytes.
    pub segment_bytes: u64,
}

impl SegmentHeader {
    /// Appends the block.
    pub fn encode(&self, out: &mut BytesMut) {
        let start = out.len();
        out.put_slice(&SEGMENT_MAGIC);
        out.put_u32_le(0);
        out.put_u16_le(FORMAT_VERSION);
        out.put_u16_le(self.identity.lane);
        out.put_u128_le(self.identity.store_id);
        out.put_u64_le(self.identity.epoch);
        out.put_u128_le(self.identity.attempt);
        out.put_u32_le(self.identity.sequence);
        out.put_u32_le(self.identity.sequence + 1);
        out.put_u64_le(self.segment_bytes);
        finish_block(out, start);
    }

    /// Reads the block.
    pub fn decode(block: &[u8]) -> Result<Self, BlockError> {
        let mut fields = open_block(block, SEGMENT_MAGIC)?;
        let mut read = || {
            let lane = fields.u16()?;
            let (store_id, epoch, attempt) = (fields.u128()?, fields.u64()?, fields.u128()?);
            let (sequence, next) = (fields.u32()?, fields.u32()?);
            let identity = SegmentIdentity { store_id, epoch, attempt, lane, sequence };
            (next == sequence.wrapping_add(1)).then_some(Self { identity, segment_bytes: fields.u64()? })
        };
        read().ok_or(BlockError::Damaged)
    }
}

/// The first bytes of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    /// Of its first record; the others follow without gaps.
    pub first_lsn: u64,
    /// The lane's contiguous durable log sequence number when the batch was issued.
    pub durable_through: u64,
    /// Records in it, at least one.
    pub record_count: u32,
    /// Bytes from the start of the header to the end of the last record, without the padding to the next block.
    pub length: u32,
}

impl BatchHeader {
    /// Writes the header into the first bytes of `batch` and checksums all of it.
    pub fn seal(&self, identity: &SegmentIdentity, batch: &mut [u8]) {
        assert_eq!(batch.len(), self.length as usize);
        let mut header = &mut batch[..BATCH_HEADER_BYTES];
        header.put_slice(&BATCH_MAGIC);
        header.put_u32_le(0);
        header.put_u16_le(FORMAT_VERSION);
        header.put_u16_le(identity.lane);
        header.put_u32_le(identity.sequence);
        header.put_u128_le(identity.store_id);
        header.put_u64_le(identity.epoch);
        header.put_u64_le(self.first_lsn);
        header.put_u64_le(self.durable_through);
        header.put_u32_le(self.record_count);
        header.put_u32_le(self.length);
        assert!(header.is_empty());
        let checksum = crc32c::crc32c_append(identity.seed(), &batch[8..]);
        batch[4..8].copy_from_slice(&checksum.to_le_bytes());
    }

    /// Reads a header without its checksum; `None` when it cannot be one of this segment.
    pub fn peek(identity: &SegmentIdentity, bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields(bytes.get(..BATCH_HEADER_BYTES)?);
        let (magic, _checksum) = (fields.bytes(4)?, fields.u32()?);
        let (version, lane, sequence) = (fields.u16()?, fields.u16()?, fields.u32()?);
        let (store_id, epoch) = (fields.u128()?, fields.u64()?);
        let (first_lsn, durable_through) = (fields.u64()?, fields.u64()?);
        let (record_count, length) = (fields.u32()?, fields.u32()?);
        let ours = magic == BATCH_MAGIC && version == FORMAT_VERSION && lane == identity.lane;
        let here = sequence == identity.sequence && store_id == identity.store_id && epoch == identity.epoch;
        let sane = record_count > 0 && first_lsn > durable_through && length as usize > BATCH_HEADER_BYTES;
        let header = Self { first_lsn, durable_through, record_count, length };
        (ours && here && sane && first_lsn.checked_add(u64::from(record_count)).is_some()).then_some(header)
    }

    /// Whether all bytes of the batch, header included, are as they were written.
    pub fn is_whole(identity: &SegmentIdentity, batch: &[u8]) -> bool {
        let mut fields = Fields(&batch[4..]);
        fields.u32() == Some(crc32c::crc32c_append(identity.seed(), &batch[8..]))
    }

    /// Sequence number after its last record.
    pub fn next_lsn(&self) -> u64 {
        self.first_lsn + u64::from(self.record_count)
    }

    /// Bytes that it takes on disk.
    pub fn padded_bytes(&self) -> u32 {
        self.length.next_multiple_of(BLOCK_SIZE as u32)
    }
}

/// The immutable record of an owner file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnerRecord {
    /// Of the whole store folder.
    pub store_id: u128,
    /// Which epoch it owns.
    pub epoch: u64,
    /// The process, fresh for each start.
    pub process: u128,
    /// The claim attempt; names the segments: the first of each lane is number 1.
    pub attempt: u128,
    /// Folder names of the lanes; number 0 is the metadata.
    pub lanes: Vec<String>,
}

impl OwnerRecord {
    /// Appends the block.
    pub fn encode(&self, out: &mut BytesMut) {
        let start = out.len();
        out.put_slice(&OWNER_MAGIC);
        out.put_u32_le(0);
        out.put_u16_le(FORMAT_VERSION);
        out.put_u16_le(u16::try_from(self.lanes.len()).expect("lanes are counted where they enter"));
        out.put_u128_le(self.store_id);
        out.put_u64_le(self.epoch);
        out.put_u128_le(self.process);
        out.put_u128_le(self.attempt);
        self.lanes.iter().for_each(|lane| put_text(out, lane));
        finish_block(out, start);
    }

    /// Reads the block.
    pub fn decode(block: &[u8]) -> Result<Self, BlockError> {
        let mut fields = open_block(block, OWNER_MAGIC)?;
        let mut read = || {
            let count = fields.u16()?;
            let (store_id, epoch) = (fields.u128()?, fields.u64()?);
            let (process, attempt) = (fields.u128()?, fields.u128()?);
            let lanes = (0..count).map(|_| fields.text()).collect::<Option<Vec<_>>>()?;
            (!lanes.is_empty()).then_some(Self { store_id, epoch, process, attempt, lanes })
        };
        read().ok_or(BlockError::Damaged)
    }
}

/// Appends the block of a heartbeat.
pub fn encode_heartbeat(epoch: u64, counter: u64, out: &mut BytesMut) {
    let start = out.len();
    out.put_slice(&HEARTBEAT_MAGIC);
    out.put_u32_le(0);
    out.put_u16_le(FORMAT_VERSION);
    out.put_u16_le(0);
    out.put_u64_le(epoch);
    out.put_u64_le(counter);
    finish_block(out, start);
}

/// The counter of a heartbeat; `None` for a torn or foreign one, which says nothing.
pub fn decode_heartbeat(epoch: u64, block: &[u8]) -> Option<u64> {
    let mut fields = open_block(block, HEARTBEAT_MAGIC).ok()?;
    let _reserved = fields.u16()?;
    (fields.u64()? == epoch).then(|| fields.u64())?
}

/// Appends the block with which a claimant marks a slot. Any other non-zero content marks it as well.
pub fn encode_slot(attempt: u128, epoch: u64, out: &mut BytesMut) {
    let start = out.len();
    out.put_slice(&SLOT_MAGIC);
    out.put_u32_le(0);
    out.put_u16_le(FORMAT_VERSION);
    out.put_u16_le(0);
    out.put_u128_le(attempt);
    out.put_u64_le(epoch);
    finish_block(out, start);
}

/// The end of a lane of an epoch: what lies beyond does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// Segment.
    pub sequence: u32,
    /// Offset of the first byte beyond.
    pub offset: u32,
    /// The sequence number that would have come next.
    pub lsn: u64,
}

/// A run of segments of one lane, written by one epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Who wrote it.
    pub epoch: u64,
    /// Its attempt.
    pub attempt: u128,
    /// The lane's number in that epoch.
    pub lane: u16,
    /// The first segment that may still hold something.
    pub first_sequence: u32,
    /// The first sequence number in that segment.
    pub first_lsn: u64,
    /// Where it ends; `None` only while an epoch's own tail is being read.
    pub end: Option<End>,
}

/// Sequence numbers that are known to be lost to damage: from, to (inclusive).
pub type Gap = (u64, u64);

/// What a SEAL says of one lane.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct SealedLane {
    /// Folder name of the lane.
    pub name: String,
    /// The first sequence number in the sealing epoch's own segments.
    pub own_first_lsn: u64,
    /// Through here the sealing epoch's own segments were durable before the SEAL.
    pub own_durable_through: u64,
    /// Older epochs' runs, oldest first.
    pub pieces: Vec<Piece>,
    /// Given up with `--force-start`.
    pub gaps: Vec<Gap>,
}

/// The ends of all older epochs, as the newest one that served declares them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seal {
    /// The epoch that declares.
    pub epoch: u64,
    /// All lanes except the metadata, whose older epochs are superseded by this record.
    pub lanes: Vec<SealedLane>,
}

impl Seal {
    /// Appends the record's body.
    pub fn encode(&self, out: &mut BytesMut) {
        out.put_u64_le(self.epoch);
        out.put_u16_le(u16::try_from(self.lanes.len()).expect("lanes are counted where they enter"));
        for lane in &self.lanes {
            put_text(out, &lane.name);
            out.put_u64_le(lane.own_first_lsn);
            out.put_u64_le(lane.own_durable_through);
            out.put_u32_le(lane.pieces.len() as u32);
            lane.pieces.iter().for_each(|piece| encode_piece(piece, out));
            out.put_u32_le(lane.gaps.len() as u32);
            for (from, to) in &lane.gaps {
                out.put_u64_le(*from);
                out.put_u64_le(*to);
            }
        }
    }

    fn decode(mut fields: Fields<'_>) -> Option<Self> {
        let (epoch, count) = (fields.u64()?, fields.u16()?);
        let mut lanes = Vec::new();
        for _ in 0..count {
            let name = fields.text()?;
            let (own_first_lsn, own_durable_through) = (fields.u64()?, fields.u64()?);
            let pieces = (0..fields.u32()?).map(|_| decode_piece(&mut fields)).collect::<Option<_>>()?;
            let gaps = (0..fields.u32()?).map(|_| Some((fields.u64()?, fields.u64()?))).collect::<Option<_>>()?;
            lanes.push(SealedLane { name, own_first_lsn, own_durable_through, pieces, gaps });
        }
        Some(Self { epoch, lanes })
    }
}

fn encode_piece(piece: &Piece, out: &mut BytesMut) {
    let end = piece.end.expect("a sealed run has an end");
    out.put_u64_le(piece.epoch);
    out.put_u128_le(piece.attempt);
    out.put_u16_le(piece.lane);
    out.put_u32_le(piece.first_sequence);
    out.put_u64_le(piece.first_lsn);
    out.put_u32_le(end.sequence);
    out.put_u32_le(end.offset);
    out.put_u64_le(end.lsn);
}

fn decode_piece(fields: &mut Fields<'_>) -> Option<Piece> {
    let (epoch, attempt, lane) = (fields.u64()?, fields.u128()?, fields.u16()?);
    let (first_sequence, first_lsn) = (fields.u32()?, fields.u64()?);
    let end = Some(End { sequence: fields.u32()?, offset: fields.u32()?, lsn: fields.u64()? });
    Some(Piece { epoch, attempt, lane, first_sequence, first_lsn, end })
}

/// An intent: of one lane, everything before this segment is dead and will be unlinked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unlink {
    /// Folder name of the lane.
    pub lane: String,
    /// Epoch of the first segment that stays.
    pub epoch: u64,
    /// Sequence of the first segment that stays.
    pub sequence: u32,
    /// First sequence number in it.
    pub first_lsn: u64,
}

/// A record, read.
#[derive(Clone, Debug, PartialEq)]
pub enum Record<'a> {
    /// A message.
    Publish {
        /// As published.
        key: MessageKey,
        /// Where it goes, four bytes each.
        destinations: Vec<u32>,
        /// Offset of the payload from the start of the record.
        payload_offset: u32,
        /// The message's bytes.
        payload: &'a [u8],
    },
    /// Publishes that are consumed, as inclusive ranges.
    Acknowledge(Vec<(u64, u64)>),
    /// A destination.
    Destination {
        /// Its number within the store.
        id: u32,
        /// Its name.
        name: &'a str,
    },
    /// The ends of older epochs.
    Seal(Seal),
    /// The epoch passed its check after its SEAL.
    Serving(u64),
    /// An intent.
    Unlink(Unlink),
    /// Clean stop.
    End,
}

/// Bytes of a publish record without padding.
pub fn publish_bytes(destinations: usize, payload: usize) -> usize {
    PUBLISH_FIXED_BYTES + 4 * destinations + PAYLOAD_CHECKSUM_BYTES + payload
}

fn record_header(out: &mut BytesMut, kind: u8) -> usize {
    let start = out.len();
    out.put_u8(kind);
    out.put_slice(&[0; 7]);
    start
}

/// Sets the length of the record at `start` and pads it.
pub(crate) fn finish_record(out: &mut BytesMut, start: usize) {
    let length = u32::try_from(out.len() - start).expect("records are limited where they enter");
    out[start + 4..start + 8].copy_from_slice(&length.to_le_bytes());
    let padded = out.len().next_multiple_of(RECORD_ALIGNMENT);
    out.resize(padded, 0);
}

/// Appends a publish record to a batch that starts at `batch_offset` of its segment; returns the payload's offset in the file.
pub fn put_publish(
    out: &mut BytesMut,
    identity: &SegmentIdentity,
    batch_offset: u32,
    destinations: &[u32],
    key: MessageKey,
    payload: &[&[u8]],
) -> u32 {
    let start = record_header(out, kind::PUBLISH);
    out.put_u64_le(key.expires_at_ms);
    out.put_u8(key.priority);
    out.put_u8(key.flags);
    out.put_u16_le(u16::try_from(destinations.len()).expect("destinations are limited where they enter"));
    destinations.iter().for_each(|id| out.put_u32_le(*id));
    let offset = batch_offset + (out.len() + PAYLOAD_CHECKSUM_BYTES) as u32;
    out.put_u32_le(identity.payload_checksum(offset, payload));
    payload.iter().for_each(|part| out.put_slice(part));
    finish_record(out, start);
    offset
}

/// Appends an acknowledgement of `ranges`; returns where the record starts.
pub fn put_acknowledge(out: &mut BytesMut, ranges: &[(u64, u64)]) -> usize {
    let start = record_header(out, kind::ACKNOWLEDGE);
    for (first, last) in ranges {
        out.put_u64_le(*first);
        out.put_u64_le(*last);
    }
    finish_record(out, start);
    start
}

/// Appends a destination's definition.
pub fn put_destination(out: &mut BytesMut, id: u32, name: &str) {
    let start = record_header(out, kind::DESTINATION);
    out.put_u32_le(id);
    out.put_slice(name.as_bytes());
    finish_record(out, start);
}

/// Appends a SEAL.
pub fn put_seal(out: &mut BytesMut, seal: &Seal) {
    let start = record_header(out, kind::SEAL);
    seal.encode(out);
    finish_record(out, start);
}

/// Appends the mark that the epoch serves.
pub fn put_serving(out: &mut BytesMut, epoch: u64) {
    let start = record_header(out, kind::SERVING);
    out.put_u64_le(epoch);
    finish_record(out, start);
}

/// Appends an intent to unlink.
pub fn put_unlink(out: &mut BytesMut, unlink: &Unlink) {
    let start = record_header(out, kind::UNLINK);
    put_text(out, &unlink.lane);
    out.put_u64_le(unlink.epoch);
    out.put_u32_le(unlink.sequence);
    out.put_u64_le(unlink.first_lsn);
    finish_record(out, start);
}

/// Appends the mark of a clean stop.
pub fn put_end(out: &mut BytesMut) {
    let start = record_header(out, kind::END);
    finish_record(out, start);
}

/// Reads the record at the start of `bytes`; returns it and its padded length. `None`: not a record of this version.
pub fn read_record(bytes: &[u8]) -> Option<(Record<'_>, usize)> {
    let mut fields = Fields(bytes);
    let (kind, _reserved) = (fields.u8()?, fields.bytes(3)?);
    let length = fields.u32()? as usize;
    let whole = bytes.get(..length)?;
    let body = Fields(whole.get(RECORD_HEADER_BYTES..)?);
    Some((read_body(kind, body, whole)?, length.next_multiple_of(RECORD_ALIGNMENT)))
}

fn read_body<'a>(kind: u8, mut body: Fields<'a>, whole: &'a [u8]) -> Option<Record<'a>> {
    match kind {
        kind::PUBLISH => read_publish(body, whole),
        kind::ACKNOWLEDGE => {
            let mut ranges = Vec::with_capacity(body.0.len() / RANGE_BYTES);
            while !body.0.is_empty() {
                ranges.push((body.u64()?, body.u64()?));
            }
            Some(Record::Acknowledge(ranges))
        }
        kind::DESTINATION => Some(Record::Destination { id: body.u32()?, name: std::str::from_utf8(body.0).ok()? }),
        kind::SEAL => Seal::decode(body).map(Record::Seal),
        kind::SERVING => Some(Record::Serving(body.u64()?)),
        kind::UNLINK => {
            let (lane, epoch) = (body.text()?, body.u64()?);
            Some(Record::Unlink(Unlink { lane, epoch, sequence: body.u32()?, first_lsn: body.u64()? }))
        }
        kind::END => Some(Record::End),
        _ => None,
    }
}

fn read_publish<'a>(mut body: Fields<'a>, whole: &'a [u8]) -> Option<Record<'a>> {
    let expires_at_ms = body.u64()?;
    let (priority, flags, count) = (body.u8()?, body.u8()?, body.u16()?);
    let destinations = (0..count).map(|_| body.u32()).collect::<Option<Vec<_>>>()?;
    let _checksum = body.u32()?;
    let payload_offset = (whole.len() - body.0.len()) as u32;
    Some(Record::Publish {
        key: MessageKey { expires_at_ms, priority, flags },
        destinations,
        payload_offset,
        payload: body.0,
    })
}
