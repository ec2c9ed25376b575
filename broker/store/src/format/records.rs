//! The records in a batch: how each kind is written and read.
//!
//! Owns their bodies, SEAL and intents included. The batch around them is in `format.rs`.

use super::{
    COPY_FIXED_BYTES, Fields, PAYLOAD_CHECKSUM_BYTES, PUBLISH_FIXED_BYTES, PayloadSeed, Position, RANGE_BYTES,
    RECORD_ALIGNMENT, RECORD_HEADER_BYTES, kind, put_text,
};
use crate::MessageKey;
use bytes::{BufMut, BytesMut};

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

/// Tells of a checkpoint: durable, name included, before this record was issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointRecord {
    /// Folder name of the lane.
    pub lane: String,
    /// Who wrote it.
    pub epoch: u64,
    /// Its attempt.
    pub attempt: u128,
    /// The lane's number in that epoch.
    pub number: u16,
    /// 1, 2, 3 ... within epoch and lane.
    pub sequence: u32,
    /// Where the journal goes on.
    pub position: Position,
}

impl CheckpointRecord {
    /// Of two checkpoints of a lane the one with the higher order is the newer one.
    pub(crate) fn order(&self) -> (u64, u32) {
        (self.epoch, self.sequence)
    }
}

/// Ids of destinations, as they lie in a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Destinations<'a>(&'a [u8]);

impl Destinations<'_> {
    /// One after the other.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = u32> + Clone {
        self.0.chunks_exact(4).map(|id| id.try_into().map(u32::from_le_bytes).expect("four bytes"))
    }
}

/// What a message is a copy of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopyOf {
    /// The number under which the message was published: its place in the order, for ever.
    pub order: u64,
    /// The record that held the message so far and is void from here on: the original, or a copy of it.
    pub replaces: u64,
}

impl CopyOf {
    /// The number under which the message in record `lsn` was published. A copy lies behind its original, whatever a
    /// damaged record says.
    pub fn order(copy_of: Option<Self>, lsn: u64) -> u64 {
        copy_of.map_or(lsn, |copy| copy.order.min(lsn))
    }
}

/// A record, read.
#[derive(Clone, Debug, PartialEq)]
pub enum Record<'a> {
    /// A message, new or copied forward.
    Publish {
        /// Of a copy.
        copy_of: Option<CopyOf>,
        /// As published.
        key: MessageKey,
        /// Where it goes.
        destinations: Destinations<'a>,
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
    /// A checkpoint is installed.
    Checkpoint(CheckpointRecord),
    /// Clean stop.
    End,
}

/// Bytes of a publish record without padding.
pub fn publish_bytes(destinations: usize, payload: usize) -> usize {
    PUBLISH_FIXED_BYTES + 4 * destinations + PAYLOAD_CHECKSUM_BYTES + payload
}

/// Bytes of a copy's record without padding.
pub fn copy_bytes(destinations: usize, payload: usize) -> usize {
    COPY_FIXED_BYTES + 4 * destinations + PAYLOAD_CHECKSUM_BYTES + payload
}

fn record_header(out: &mut BytesMut, kind: u8) -> usize {
    let start = out.len();
    out.put_u8(kind);
    out.put_slice(&[0; 7]);
    start
}

/// Sets the length of the record at `start` and pads it.
fn finish_record(out: &mut BytesMut, start: usize) {
    let length = u32::try_from(out.len() - start).expect("records are limited where they enter");
    out[start + 4..start + 8].copy_from_slice(&length.to_le_bytes());
    pad_record(out);
}

fn pad_record(out: &mut BytesMut) {
    let padding = out.len().next_multiple_of(RECORD_ALIGNMENT) - out.len();
    out.extend_from_slice(&[0; RECORD_ALIGNMENT][..padding]);
}

/// Appends a message to a batch that starts at `batch_offset` of its segment; returns the payload's offset in the file.
/// The fixed part is put together aside and appended at once: many small appends cost more than the message.
pub fn put_publish(
    out: &mut BytesMut,
    seed: PayloadSeed,
    batch_offset: u32,
    destinations: &[u32],
    key: MessageKey,
    payload: &[&[u8]],
    copy_of: Option<CopyOf>,
) -> u32 {
    let start = out.len();
    let payload_bytes: usize = payload.iter().map(|part| part.len()).sum();
    let record_bytes = if copy_of.is_some() { copy_bytes } else { publish_bytes };
    let length = u32::try_from(record_bytes(destinations.len(), payload_bytes));
    let mut fixed = [0; COPY_FIXED_BYTES];
    let mut rest = &mut fixed[..];
    rest.put_slice(&[if copy_of.is_some() { kind::COPY } else { kind::PUBLISH }, 0, 0, 0]);
    rest.put_u32_le(length.expect("records are limited where they enter"));
    if let Some(CopyOf { order, replaces }) = copy_of {
        rest.put_u64_le(order);
        rest.put_u64_le(replaces);
    }
    rest.put_u64_le(key.expires_at_ms);
    rest.put_slice(&[key.priority, key.flags]);
    rest.put_u16_le(u16::try_from(destinations.len()).expect("destinations are limited where they enter"));
    let fixed_bytes = COPY_FIXED_BYTES - rest.len();
    out.extend_from_slice(&fixed[..fixed_bytes]);
    destinations.iter().for_each(|id| out.extend_from_slice(&id.to_le_bytes()));
    let offset = batch_offset + (out.len() + PAYLOAD_CHECKSUM_BYTES) as u32;
    out.extend_from_slice(&seed.checksum(offset, payload).to_le_bytes());
    payload.iter().for_each(|part| out.extend_from_slice(part));
    pad_record(out);
    debug_assert_eq!(
        out.len(),
        start + record_bytes(destinations.len(), payload_bytes).next_multiple_of(RECORD_ALIGNMENT)
    );
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

/// Adds an acknowledgement to the record at `record`, which must be the last one: to its last range where it continues it.
pub fn extend_acknowledge(out: &mut BytesMut, record: usize, publish_lsn: u64) {
    let last = out.len() - 8;
    let through = out[last..].try_into().map(u64::from_le_bytes).expect("a range ends with eight bytes");
    if through + 1 == publish_lsn {
        out[last..].copy_from_slice(&publish_lsn.to_le_bytes());
        return;
    }
    out.put_u64_le(publish_lsn);
    out.put_u64_le(publish_lsn);
    finish_record(out, record);
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

/// Appends the record of a checkpoint.
pub fn put_checkpoint(out: &mut BytesMut, checkpoint: &CheckpointRecord) {
    let start = record_header(out, kind::CHECKPOINT);
    put_text(out, &checkpoint.lane);
    out.put_u64_le(checkpoint.epoch);
    out.put_u128_le(checkpoint.attempt);
    out.put_u16_le(checkpoint.number);
    out.put_u32_le(checkpoint.sequence);
    out.put_u64_le(checkpoint.position.epoch);
    out.put_u32_le(checkpoint.position.sequence);
    out.put_u64_le(checkpoint.position.lsn);
    finish_record(out, start);
}

fn read_checkpoint(mut body: Fields<'_>) -> Option<CheckpointRecord> {
    let (lane, epoch, attempt) = (body.text()?, body.u64()?, body.u128()?);
    let (number, sequence) = (body.u16()?, body.u32()?);
    let position = Position { epoch: body.u64()?, sequence: body.u32()?, lsn: body.u64()? };
    Some(CheckpointRecord { lane, epoch, attempt, number, sequence, position })
}

/// Appends an intent to unlink, as format version 1 did.
pub fn put_intent(out: &mut BytesMut, unlink: &Unlink) {
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
        kind::PUBLISH => read_publish(body, whole, None),
        kind::COPY => {
            let copy_of = Some(CopyOf { order: body.u64()?, replaces: body.u64()? });
            read_publish(body, whole, copy_of)
        }
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
        kind::CHECKPOINT => read_checkpoint(body).map(Record::Checkpoint),
        kind::END => Some(Record::End),
        _ => None,
    }
}

fn read_publish<'a>(mut body: Fields<'a>, whole: &'a [u8], copy_of: Option<CopyOf>) -> Option<Record<'a>> {
    let expires_at_ms = body.u64()?;
    let (priority, flags, count) = (body.u8()?, body.u8()?, body.u16()?);
    let destinations = Destinations(body.bytes(4 * usize::from(count))?);
    let _checksum = body.u32()?;
    let payload_offset = (whole.len() - body.0.len()) as u32;
    Some(Record::Publish {
        copy_of,
        key: MessageKey { expires_at_ms, priority, flags },
        destinations,
        payload_offset,
        payload: body.0,
    })
}
