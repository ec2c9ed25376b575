//! A batch in the making: records appended in place to the buffer that will be written and then serves as their memory.
//!
//! Owns the buffer until it is frozen. Where it lies, and when it is written, is the lane's business.

use crate::MessageKey;
use crate::format::{
    self, BATCH_HEADER_BYTES, BatchHeader, CopyOf, PayloadSeed, RANGE_BYTES, RECORD_ALIGNMENT, RECORD_HEADER_BYTES,
    SegmentIdentity,
};
use bytes::{Bytes, BytesMut};
use disk::BLOCK_SIZE;

/// Bytes that an acknowledgement of one message takes.
pub(crate) const ACKNOWLEDGE_BYTES: usize = RECORD_HEADER_BYTES + RANGE_BYTES;

#[derive(Debug)]
pub(crate) struct Batch {
    identity: SegmentIdentity,
    /// The segment's number in the lane's table.
    pub(crate) segment: u32,
    /// In the segment, in bytes.
    pub(crate) offset: u32,
    buffer: BytesMut,
    payload_seed: PayloadSeed,
    capacity: usize,
    first_lsn: u64,
    record_count: u32,
    /// Start and end of the range that a following acknowledgement may extend: the last record, if it is one.
    open_acknowledge: Option<usize>,
}

impl Batch {
    /// A batch that takes `capacity` bytes, a multiple of the block size, header included.
    pub(crate) fn new(
        buffer: BytesMut,
        capacity: usize,
        identity: SegmentIdentity,
        segment: u32,
        offset: u32,
        first_lsn: u64,
    ) -> Self {
        assert!(capacity.is_multiple_of(BLOCK_SIZE) && buffer.capacity() >= capacity && buffer.is_empty());
        assert!((offset as usize).is_multiple_of(BLOCK_SIZE) && offset >= format::FIRST_BATCH_OFFSET);
        let mut buffer = buffer;
        buffer.resize(BATCH_HEADER_BYTES, 0);
        Self {
            identity,
            segment,
            offset,
            buffer,
            payload_seed: identity.payload_seed(),
            capacity,
            first_lsn,
            record_count: 0,
            open_acknowledge: None,
        }
    }

    pub(crate) fn sequence(&self) -> u32 {
        self.identity.sequence
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.record_count == 0
    }

    /// Bytes so far, without padding.
    pub(crate) fn len(&self) -> usize {
        self.buffer.len()
    }

    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Bytes on disk if it ended now.
    pub(crate) fn padded_len(&self) -> usize {
        self.buffer.len().next_multiple_of(BLOCK_SIZE)
    }

    pub(crate) fn has_room(&self, record_bytes: usize) -> bool {
        self.buffer.len() + record_bytes.next_multiple_of(RECORD_ALIGNMENT) <= self.capacity
    }

    pub(crate) fn first_lsn(&self) -> u64 {
        self.first_lsn
    }

    pub(crate) fn last_lsn(&self) -> u64 {
        self.first_lsn + u64::from(self.record_count) - 1
    }

    fn appended(&mut self) -> u64 {
        assert!(self.buffer.len() <= self.capacity, "room was checked before the record was appended");
        self.open_acknowledge = None;
        self.record_count += 1;
        self.last_lsn()
    }

    /// Appends a message; returns its sequence number and its payload's offset in the segment.
    pub(crate) fn publish(
        &mut self,
        destinations: &[u32],
        key: MessageKey,
        payload: &[&[u8]],
        copy_of: Option<CopyOf>,
    ) -> (u64, u32) {
        let offset =
            format::put_publish(&mut self.buffer, self.payload_seed, self.offset, destinations, key, payload, copy_of);
        (self.appended(), offset)
    }

    /// Appends any other record.
    pub(crate) fn append(&mut self, put: impl FnOnce(&mut BytesMut)) -> u64 {
        put(&mut self.buffer);
        self.appended()
    }

    /// Appends an acknowledgement, as part of the record before it where that is one too.
    pub(crate) fn acknowledge(&mut self, publish_lsn: u64) -> u64 {
        let Some(record) = self.open_acknowledge else {
            let start = format::put_acknowledge(&mut self.buffer, &[(publish_lsn, publish_lsn)]);
            let lsn = self.appended();
            self.open_acknowledge = Some(start);
            return lsn;
        };
        format::extend_acknowledge(&mut self.buffer, record, publish_lsn);
        assert!(self.buffer.len() <= self.capacity, "room was checked before the record was extended");
        self.last_lsn()
    }

    /// A copy of bytes that were appended, by their offset in the segment.
    pub(crate) fn copy(&self, offset: u32, len: u32) -> Bytes {
        let start = (offset - self.offset) as usize;
        Bytes::copy_from_slice(&self.buffer[start..start + len as usize])
    }

    /// Whether `offset` of its segment lies in it.
    pub(crate) fn contains(&self, segment: u32, offset: u32) -> bool {
        segment == self.segment && offset >= self.offset && ((offset - self.offset) as usize) < self.buffer.len()
    }

    /// Pads and checksums the batch: from here on its bytes never change.
    pub(crate) fn finish(mut self, durable_through: u64) -> Bytes {
        assert!(!self.is_empty() && durable_through < self.first_lsn);
        let length = self.buffer.len();
        let header = BatchHeader {
            first_lsn: self.first_lsn,
            durable_through,
            record_count: self.record_count,
            length: u32::try_from(length).expect("a batch is smaller than a segment"),
        };
        header.seal(&self.identity, &mut self.buffer[..length]);
        self.buffer.resize(length.next_multiple_of(BLOCK_SIZE), 0);
        self.buffer.freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{Record, read_record};

    fn identity() -> SegmentIdentity {
        SegmentIdentity { store_id: 1, epoch: 2, attempt: 3, lane: 1, sequence: 1 }
    }

    fn batch() -> Batch {
        Batch::new(disk::sim::aligned(8192), 8192, identity(), 0, 4096, 10)
    }

    fn records(bytes: &[u8], header: &BatchHeader) -> Vec<String> {
        let mut at = BATCH_HEADER_BYTES;
        let mut found = Vec::new();
        while at < header.length as usize {
            let (record, len) = read_record(&bytes[at..header.length as usize]).expect("a record");
            found.push(match record {
                Record::Publish { payload, .. } => format!("publish {}", payload.len()),
                Record::Acknowledge(ranges) => format!("acknowledge {ranges:?}"),
                other => format!("{other:?}"),
            });
            at += len;
        }
        found
    }

    #[test]
    fn a_finished_batch_reads_back_and_any_flipped_bit_shows() {
        let mut batch = batch();
        let (lsn, offset) = batch.publish(&[4], MessageKey::default(), &[b"hel", b"lo"], None);
        assert_eq!((lsn, batch.copy(offset, 5)), (10, Bytes::from_static(b"hello")));
        let bytes = batch.finish(9);
        assert_eq!(bytes.len(), 4096);
        let header = BatchHeader::peek(&identity(), &bytes).expect("a header");
        assert_eq!((header.first_lsn, header.durable_through, header.record_count), (10, 9, 1));
        let whole = &bytes[..header.length as usize];
        assert!(BatchHeader::is_whole(&identity(), whole));
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let header =
                BatchHeader::peek(&identity(), &flipped).filter(|header| header.length as usize == whole.len());
            assert!(header.is_none() || !BatchHeader::is_whole(&identity(), &flipped), "bit {bit}");
        }
        let other = SegmentIdentity { attempt: 4, ..identity() };
        assert!(!BatchHeader::is_whole(&other, whole), "another attempt's bytes do not validate");
    }

    #[test]
    fn neighbouring_acknowledgements_share_a_record_and_a_range() {
        let mut batch = batch();
        let lsns: Vec<u64> = [5, 6, 7, 9].iter().map(|lsn| batch.acknowledge(*lsn)).collect();
        assert_eq!(lsns, [10, 10, 10, 10]);
        batch.publish(&[1], MessageKey::default(), &[b"x"], None);
        assert_eq!(batch.acknowledge(8), 12);
        let bytes = batch.finish(0);
        let header = BatchHeader::peek(&identity(), &bytes).expect("a header");
        assert_eq!(records(&bytes, &header), ["acknowledge [(5, 7), (9, 9)]", "publish 1", "acknowledge [(8, 8)]"]);
    }
}
