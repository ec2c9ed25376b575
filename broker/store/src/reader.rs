//! Reads one segment from front to back, several chunks ahead of need.
//!
//! Owns the reads in flight and the bytes between them and the scan. Knows batches only well enough to classify what
//! lies at an offset.

use crate::decide::BatchSeen;
use crate::format::{BATCH_HEADER_BYTES, BatchHeader, SegmentIdentity};
use crate::port::{File, Ticket, data};
use crate::shared::CHUNK_BYTES;
use disk::{BLOCK_SIZE, DiskError};
use std::collections::VecDeque;

/// Chunks that are read ahead.
const READS_IN_FLIGHT: usize = 4;

#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) file: File,
    /// Reads end here.
    limit: u64,
    in_flight: VecDeque<(usize, Ticket)>,
    next_read: u64,
    buffer: Vec<u8>,
    /// Offset in the file of the first byte of `buffer`.
    base: u64,
    /// Bytes that arrived.
    pub(crate) bytes_read: u64,
}

/// What lies behind a place that does not continue the journal.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ahead {
    /// The highest durable-through that a valid batch claims.
    pub(crate) durable_through: u64,
    /// The first valid batch: offset, sequence number.
    pub(crate) next: Option<(u64, u64)>,
}

impl Reader {
    /// Reads `file` up to `limit` bytes.
    pub(crate) fn new(file: File, limit: u64) -> Self {
        let limit = limit.min(file.opened_len());
        Self { file, limit, in_flight: VecDeque::new(), next_read: 0, buffer: Vec::new(), base: 0, bytes_read: 0 }
    }

    /// Goes on reading at `offset`, which may lie before what was read.
    pub(crate) fn restart(&mut self, offset: u64) {
        self.in_flight.clear();
        self.buffer.clear();
        self.base = offset;
        self.next_read = offset;
    }

    /// The bytes at `offset`, which goes back only by `restart`; `None` beyond the end.
    pub(crate) async fn bytes(&mut self, offset: u64, len: usize) -> Result<Option<&[u8]>, DiskError> {
        self.forget(offset);
        while self.base + (self.buffer.len() as u64) < offset + len as u64 {
            if offset + len as u64 > self.limit {
                return Ok(None);
            }
            self.read_ahead();
            let Some((asked, ticket)) = self.in_flight.pop_front() else { return Ok(None) };
            let bytes = data(ticket.await?)?;
            self.bytes_read += bytes.len() as u64;
            self.buffer.extend_from_slice(&bytes);
            if bytes.len() < asked {
                self.limit = self.base + self.buffer.len() as u64;
                self.in_flight.clear();
            }
        }
        let start = (offset - self.base) as usize;
        Ok(Some(&self.buffer[start..start + len]))
    }

    fn read_ahead(&mut self) {
        while self.in_flight.len() < READS_IN_FLIGHT && self.next_read < self.limit {
            let len = (self.limit - self.next_read).min(CHUNK_BYTES as u64) as usize;
            // Direct reads are whole blocks even where a damaged file ends within one.
            let asked = len.next_multiple_of(BLOCK_SIZE);
            self.in_flight.push_back((len, self.file.start_read(self.next_read, asked)));
            self.next_read += len as u64;
        }
    }

    /// Drops what lies before `offset`, now and then.
    fn forget(&mut self, offset: u64) {
        let dead = offset.saturating_sub(self.base) as usize;
        if dead > CHUNK_BYTES && dead <= self.buffer.len() {
            self.buffer.drain(..dead);
            self.base = offset;
        }
    }

    /// Looks at `offset`, where the batch with sequence number `expected` would be.
    pub(crate) async fn classify(
        &mut self,
        identity: &SegmentIdentity,
        offset: u64,
        expected: u64,
    ) -> Result<(BatchSeen, Option<BatchHeader>), DiskError> {
        let Some(block) = self.bytes(offset, BLOCK_SIZE).await? else { return Ok((BatchSeen::Damaged, None)) };
        let Some(header) = BatchHeader::peek(identity, &block[..BATCH_HEADER_BYTES]) else {
            let is_zero = block.iter().all(|byte| *byte == 0);
            return Ok((if is_zero { BatchSeen::Zero } else { BatchSeen::Damaged }, None));
        };
        let whole = match self.bytes(offset, header.length as usize).await? {
            Some(batch) => BatchHeader::is_whole(identity, batch),
            None => false,
        };
        let seen = match header.first_lsn.cmp(&expected) {
            _ if !whole => return Ok((BatchSeen::Damaged, None)),
            std::cmp::Ordering::Less => BatchSeen::Behind,
            std::cmp::Ordering::Equal => BatchSeen::Next,
            std::cmp::Ordering::Greater => BatchSeen::Ahead,
        };
        Ok((seen, Some(header)))
    }

    /// Searches valid batches from `offset` to `end`. `minimum`: only those count as the next one that start there or later.
    pub(crate) async fn look_ahead(
        &mut self,
        identity: &SegmentIdentity,
        offset: u64,
        end: u64,
        minimum: u64,
    ) -> Result<Ahead, DiskError> {
        let mut ahead = Ahead::default();
        let mut at = offset;
        while at < end.min(self.limit) {
            let (_, header) = self.classify(identity, at, minimum).await?;
            let Some(header) = header else {
                at += BLOCK_SIZE as u64;
                continue;
            };
            ahead.durable_through = ahead.durable_through.max(header.durable_through);
            if ahead.next.is_none() && header.first_lsn >= minimum {
                ahead.next = Some((at, header.first_lsn));
            }
            at += u64::from(header.padded_bytes());
        }
        Ok(ahead)
    }
}
