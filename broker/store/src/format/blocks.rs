//! The structures that fill a block of their own: segment header, owner record, heartbeat, base, slot.
//!
//! Owns how they are written, and what a damaged or newer one is. Where they lie is in `format.rs`.

use super::{
    BASE_MAGIC, BASE_OFFSETS, BASE_SINCE_VERSION, FORMAT_VERSION, Fields, HEARTBEAT_MAGIC, OWNER_MAGIC, SEGMENT_MAGIC,
    SLOT_MAGIC, SegmentIdentity, put_text,
};
use bytes::{BufMut, BytesMut};
use disk::BLOCK_SIZE;

/// Fills up a block and puts the checksum of everything behind it at offset 8.
pub(super) fn finish_block(out: &mut BytesMut, start: usize) {
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

pub(super) fn open_block(block: &[u8], magic: [u8; 8]) -> Result<Fields<'_>, BlockError> {
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

/// Length of the owner file around a record that reads: versions differ in how many blocks follow it.
pub fn owner_file_bytes(record: &[u8]) -> u64 {
    let version = record.get(12..14).and_then(|bytes| bytes.try_into().ok()).map_or(0, u16::from_le_bytes);
    if version < BASE_SINCE_VERSION { BASE_OFFSETS[0] } else { BASE_OFFSETS[1] + BLOCK_SIZE as u64 }
}

/// Where the metadata of an epoch begins: all that lies before it is repeated from there on, and may be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetadataBase {
    /// Of the whole store folder.
    pub store_id: u128,
    /// Whose metadata.
    pub epoch: u64,
    /// Its attempt.
    pub attempt: u128,
    /// 1, 2, 3 ...; the highest counts.
    pub number: u64,
    /// First sequence number of the segment.
    pub first_lsn: u64,
    /// From the first through this sequence number everything is durable; what is repeated is within.
    pub durable_through: u64,
    /// The segment.
    pub sequence: u32,
}

impl MetadataBase {
    /// Appends the block.
    pub fn encode(&self, out: &mut BytesMut) {
        let start = out.len();
        out.put_slice(&BASE_MAGIC);
        out.put_u32_le(0);
        out.put_u16_le(FORMAT_VERSION);
        out.put_u16_le(0);
        out.put_u128_le(self.store_id);
        out.put_u64_le(self.epoch);
        out.put_u128_le(self.attempt);
        out.put_u64_le(self.number);
        out.put_u64_le(self.first_lsn);
        out.put_u64_le(self.durable_through);
        out.put_u32_le(self.sequence);
        finish_block(out, start);
    }

    /// Reads the block.
    pub fn decode(block: &[u8]) -> Result<Self, BlockError> {
        let mut fields = open_block(block, BASE_MAGIC)?;
        let mut read = || {
            let _reserved = fields.u16()?;
            let (store_id, epoch, attempt) = (fields.u128()?, fields.u64()?, fields.u128()?);
            let (number, first_lsn, durable_through) = (fields.u64()?, fields.u64()?, fields.u64()?);
            let base = Self { store_id, epoch, attempt, number, first_lsn, durable_through, sequence: fields.u32()? };
            (first_lsn <= durable_through).then_some(base)
        };
        read().ok_or(BlockError::Damaged)
    }

    /// Whether it is the one of this owner.
    pub fn is_of(&self, owner: &OwnerRecord) -> bool {
        (self.store_id, self.epoch, self.attempt) == (owner.store_id, owner.epoch, owner.attempt)
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

/// Reads a claimant's mark: its attempt, and the epoch whose slot it is in. An owner does not care: whatever is not zero
/// is a mark.
pub fn decode_slot(block: &[u8]) -> Result<(u128, u64), BlockError> {
    let mut fields = open_block(block, SLOT_MAGIC)?;
    let mut read = || {
        let _reserved = fields.u16()?;
        Some((fields.u128()?, fields.u64()?))
    };
    read().ok_or(BlockError::Damaged)
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
