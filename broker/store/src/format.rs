//! Every byte that the store puts on disk, and nothing else: layouts, magic numbers, checksums.
//!
//! docs/FORMATS.md shows the same tables for people; `tests/formats.rs` holds the two together through [`LAYOUT`].
//! All integers are little endian. What is read here comes from a disk: it is never asserted, `None` means invalid.

mod blocks;
mod records;
mod tables;

pub use blocks::*;
pub use records::*;
pub use tables::*;

use bytes::{BufMut, BytesMut};
use disk::BLOCK_SIZE;

/// Format version 1: the first; kinds for checkpoints and transactions are reserved in it. Version 2: checkpoints and
/// indices are written, intents are not any more. Version 3: messages of sparse segments are copied forward. Version 4:
/// an owner's file says where its metadata begins. All are read.
pub const FORMAT_VERSION: u16 = 4;

/// First bytes of a segment file.
pub const SEGMENT_MAGIC: [u8; 8] = *b"USsegmnt";
/// First bytes of the record in an owner file, at [`OWNER_RECORD_OFFSET`].
pub const OWNER_MAGIC: [u8; 8] = *b"USowner\0";
/// First bytes of the heartbeat, at the start of an owner file.
pub const HEARTBEAT_MAGIC: [u8; 8] = *b"USheartb";
/// First bytes of a base, at [`BASE_OFFSETS`] of an owner file.
pub const BASE_MAGIC: [u8; 8] = *b"USbase\0\0";
/// First bytes of a claimed slot.
pub const SLOT_MAGIC: [u8; 8] = *b"USslot\0\0";
/// First bytes of a segment's index.
pub const INDEX_MAGIC: [u8; 8] = *b"USindex\0";
/// First bytes of a checkpoint.
pub const CHECKPOINT_MAGIC: [u8; 8] = *b"UScheckp";
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
/// Where the two copies of the base lie in an owner file. Zeros: nothing was removed of the metadata.
pub const BASE_OFFSETS: [u64; 2] = [2 * BLOCK_SIZE as u64, 3 * BLOCK_SIZE as u64];
/// The first format version whose owner files have bases.
const BASE_SINCE_VERSION: u16 = 4;
/// Bytes of an acknowledged range in its record.
pub const RANGE_BYTES: usize = 16;
/// Bytes from the start of a publish record to its destinations.
pub const PUBLISH_FIXED_BYTES: usize = RECORD_HEADER_BYTES + 12;
/// The same of a copy.
pub const COPY_FIXED_BYTES: usize = PUBLISH_FIXED_BYTES + 16;
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
    /// Segments that are about to be unlinked; written by format version 1 only.
    pub const UNLINK: u8 = 7;
    /// Clean stop.
    pub const END: u8 = 8;
    /// A checkpoint is installed.
    pub const CHECKPOINT: u8 = 9;
    /// Reserved: a durable subscription.
    pub const DURABLE: u8 = 10;
    /// Reserved: a user's temporary destination.
    pub const TEMPORARY: u8 = 11;
    /// Reserved: an XA transaction is prepared.
    pub const PREPARE: u8 = 12;
    /// Reserved: one of several destinations of a message is consumed.
    pub const ACKNOWLEDGE_ONE: u8 = 13;
    /// A message of a sparse segment once more; its record there is void.
    pub const COPY: u8 = 14;
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
    (
        "Copy",
        &[
            (0, 8, "record header"),
            (8, 8, "order"),
            (16, 8, "replaces"),
            (24, 8, "expires at"),
            (32, 1, "priority"),
            (33, 1, "flags"),
            (34, 2, "destination count"),
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
        "Base",
        &[
            (0, 8, "magic"),
            (8, 4, "checksum"),
            (12, 2, "format version"),
            (14, 2, "reserved"),
            (16, 16, "store id"),
            (32, 8, "epoch"),
            (40, 16, "attempt"),
            (56, 8, "number"),
            (64, 8, "first LSN"),
            (72, 8, "durable-through LSN"),
            (80, 4, "sequence"),
        ],
    ),
    (
        "Table header",
        &[
            (0, 8, "magic"),
            (8, 4, "checksum"),
            (12, 2, "format version"),
            (14, 2, "lane"),
            (16, 16, "store id"),
            (32, 8, "epoch"),
            (40, 16, "attempt"),
            (56, 4, "sequence"),
            (60, 4, "body checksum"),
            (64, 8, "body bytes"),
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

    /// What the checksums of its payloads begin with.
    pub fn payload_seed(&self) -> PayloadSeed {
        PayloadSeed(self.seed())
    }

    /// The payload at `offset`, given the bytes from its checksum on, if it is what was written there.
    pub fn checked_payload<'a>(&self, offset: u32, bytes: &'a [u8]) -> Option<&'a [u8]> {
        let mut fields = Fields(bytes);
        let checksum = fields.u32()?;
        (checksum == self.payload_seed().checksum(offset, &[fields.0])).then_some(fields.0)
    }
}

/// What the checksums of a segment's payloads begin with: computed once for many messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PayloadSeed(u32);

impl PayloadSeed {
    /// The checksum of a payload at `offset` of this segment: bytes that belong elsewhere never validate.
    pub fn checksum(self, offset: u32, payload: &[&[u8]]) -> u32 {
        let seed = crc32c::crc32c_append(self.0, &offset.to_le_bytes());
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
        let ours = magic == BATCH_MAGIC && (1..=FORMAT_VERSION).contains(&version) && lane == identity.lane;
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
