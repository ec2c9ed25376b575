//! Reads one segment from front to back, several chunks ahead of need.
//!
//! Owns the reads in flight and the bytes between them and the scan. Knows batches only well enough to classify what
//! lies at an offset.

use crate::decide::BatchSeen;
use crate::format::{BATCH_HEADER_BYTES, BatchHeader, SegmentIdentity};
use crate::port::{File, Ticket, data};
use crate::shared::CHUNK_BYTES;
use bytes::{Bytes, BytesMut};
use disk::{BLOCK_SIZE, DiskError, is_zero};
use std::cmp::Ordering;
use std::collections::VecDeque;

/// Chunks that are read ahead.
const READS_IN_FLIGHT: usize = 4;

/// Bytes of the first read at a place; each further one is twice as large, up to [`CHUNK_BYTES`]. At the end of a journal
/// most of what is read is zeros.
const FIRST_READ_BYTES: usize = 64 << 10;

#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) file: File,
    /// Reads end here.
    limit: u64,
    /// Nothing behind this is read before it is asked for.
    ahead_limit: u64,
    in_flight: VecDeque<(usize, Ticket)>,
    next_read: u64,
    next_bytes: usize,
    /// What arrived and is not behind us yet, in order; whole chunks, so that a batch within one is not copied.
    chunks: VecDeque<Bytes>,
    /// Offset in the file of the first byte of `chunks`, and behind the last.
    base: u64,
    end: u64,
    /// Bytes that arrived.
    pub(crate) bytes_read: u64,
}

/// A valid batch: its header, and all its bytes.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) header: BatchHeader,
    pub(crate) bytes: Bytes,
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
        let (in_flight, chunks) = (VecDeque::new(), VecDeque::new());
        Self {
            file,
            limit,
            ahead_limit: limit,
            in_flight,
            next_read: 0,
            next_bytes: FIRST_READ_BYTES,
            chunks,
            base: 0,
            end: 0,
            bytes_read: 0,
        }
    }

    /// Goes on reading at `offset`, which may lie before what was read.
    pub(crate) fn restart(&mut self, offset: u64) {
        self.in_flight.clear();
        self.chunks.clear();
        (self.base, self.end, self.next_read) = (offset, offset, offset);
        self.ahead_limit = self.limit;
        self.next_bytes = FIRST_READ_BYTES;
    }

    /// The bytes at `offset`, which goes back only by `restart`; `None` beyond the end.
    pub(crate) async fn bytes(&mut self, offset: u64, len: usize) -> Result<Option<Bytes>, DiskError> {
        assert!(offset >= self.base, "a segment is read forwards");
        self.forget(offset);
        while self.end < offset + len as u64 {
            if offset + len as u64 > self.limit {
                return Ok(None);
            }
            self.read_ahead();
            let Some((asked, ticket)) = self.in_flight.pop_front() else { return Ok(None) };
            let bytes = data(ticket.await?)?;
            self.bytes_read += bytes.len() as u64;
            self.end += bytes.len() as u64;
            if bytes.len() < asked {
                self.limit = self.end;
                self.in_flight.clear();
            }
            self.chunks.push_back(bytes);
        }
        Ok(Some(self.cut((offset - self.base) as usize, len)))
    }

    /// `len` bytes from `start` of the chunks: a part of one, or put together from several.
    fn cut(&self, mut start: usize, len: usize) -> Bytes {
        let mut parts = BytesMut::new();
        for chunk in &self.chunks {
            if start >= chunk.len() {
                start -= chunk.len();
                continue;
            }
            if parts.is_empty() && start + len <= chunk.len() {
                return chunk.slice(start..start + len);
            }
            let wanted = (len - parts.len()).min(chunk.len() - start);
            parts.extend_from_slice(&chunk[start..start + wanted]);
            start = 0;
            if parts.len() == len {
                break;
            }
        }
        parts.freeze()
    }

    fn read_ahead(&mut self) {
        while self.next_read < self.limit {
            let depth = if self.next_bytes < CHUNK_BYTES { 1 } else { READS_IN_FLIGHT };
            let is_enough = self.next_read >= self.ahead_limit && !self.in_flight.is_empty();
            if self.in_flight.len() >= depth || is_enough {
                return;
            }
            let len = (self.limit - self.next_read).min(self.next_bytes as u64) as usize;
            self.next_bytes = (self.next_bytes * 2).min(CHUNK_BYTES);
            // Direct reads are whole blocks even where a damaged file ends within one.
            let asked = len.next_multiple_of(BLOCK_SIZE);
            self.in_flight.push_back((len, self.file.start_read(self.next_read, asked)));
            self.next_read += len as u64;
        }
    }

    /// Drops the chunks that end before `offset`.
    fn forget(&mut self, offset: u64) {
        while self.chunks.front().is_some_and(|chunk| self.base + chunk.len() as u64 <= offset) {
            self.base += self.chunks.pop_front().map_or(0, |chunk| chunk.len() as u64);
        }
    }

    /// Looks at `offset`, where the batch with sequence number `expected` would be.
    pub(crate) async fn classify(
        &mut self,
        identity: &SegmentIdentity,
        offset: u64,
        expected: u64,
    ) -> Result<(BatchSeen, Option<Found>), DiskError> {
        let Some(block) = self.bytes(offset, BLOCK_SIZE).await? else { return Ok((BatchSeen::Damaged, None)) };
        let Some(header) = BatchHeader::peek(identity, &block[..BATCH_HEADER_BYTES]) else {
            return Ok((if is_zero(&block) { BatchSeen::Zero } else { BatchSeen::Damaged }, None));
        };
        let batch = self.bytes(offset, header.length as usize).await?;
        let Some(bytes) = batch.filter(|batch| BatchHeader::is_whole(identity, batch)) else {
            return Ok((BatchSeen::Damaged, None));
        };
        let seen = match header.first_lsn.cmp(&expected) {
            Ordering::Less => BatchSeen::Behind,
            Ordering::Equal => BatchSeen::Next,
            Ordering::Greater => BatchSeen::Ahead,
        };
        Ok((seen, Some(Found { header, bytes })))
    }

    /// Bytes of the batch at `offset` as its header says, whether the rest of it is whole or not; 0 without a header.
    pub(crate) async fn peeked(&mut self, identity: &SegmentIdentity, offset: u64) -> Result<u64, DiskError> {
        if offset < self.base {
            return Ok(0);
        }
        let Some(block) = self.bytes(offset, BLOCK_SIZE).await? else { return Ok(0) };
        let header = BatchHeader::peek(identity, &block[..BATCH_HEADER_BYTES]);
        Ok(header.map_or(0, |header| u64::from(header.padded_bytes())))
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
        self.ahead_limit = end;
        while at < end.min(self.limit) {
            let (_, found) = self.classify(identity, at, minimum).await?;
            let Some(Found { header, .. }) = found else {
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
