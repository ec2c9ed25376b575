//! Owns the record of what clients attempted, what was confirmed and what was delivered, compactly, for millions of
//! messages. It uses only std and judges nothing: that is `verdict`'s work.

use std::collections::VecDeque;
use std::fmt;

/// Records of one chunk: large enough to be cheap, small enough that growth never copies or stalls the clients.
const CHUNK_RECORDS: usize = 16 * 1024;

/// A list that grows without moving what it holds: a reallocation of tens of megabytes would show in latency.
#[derive(Clone)]
pub struct Chunks<T> {
    chunks: VecDeque<Vec<T>>,
    /// Chunks given up at the front: the indices of what follows stay.
    forgotten: usize,
    /// The last chunk given up, to be filled again: fresh memory costs a page fault every 85 records.
    spare: Vec<T>,
}

impl<T> Default for Chunks<T> {
    fn default() -> Self {
        Self { chunks: VecDeque::new(), forgotten: 0, spare: Vec::new() }
    }
}

impl<T> Chunks<T> {
    /// Appends a record and gives its index.
    pub fn push(&mut self, record: T) -> usize {
        if self.chunks.back().is_none_or(|chunk| chunk.len() == CHUNK_RECORDS) {
            let mut chunk = std::mem::take(&mut self.spare);
            chunk.reserve_exact(CHUNK_RECORDS);
            self.chunks.push_back(chunk);
        }
        let index = self.len();
        if let Some(chunk) = self.chunks.back_mut() {
            chunk.push(record);
        }
        index
    }

    /// How many records were appended and not removed, those that were forgotten included.
    #[must_use]
    pub fn len(&self) -> usize {
        match self.chunks.back() {
            None => self.forgotten * CHUNK_RECORDS,
            Some(last) => (self.forgotten + self.chunks.len() - 1) * CHUNK_RECORDS + last.len(),
        }
    }

    /// Whether there is no record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The record at `index`, unless it was forgotten.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&T> {
        self.chunks.get((index / CHUNK_RECORDS).checked_sub(self.forgotten)?)?.get(index % CHUNK_RECORDS)
    }

    /// The record at `index`, to be changed.
    pub fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        self.chunks.get_mut((index / CHUNK_RECORDS).checked_sub(self.forgotten)?)?.get_mut(index % CHUNK_RECORDS)
    }

    /// All records that are kept, in the order in which they were appended.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().flatten()
    }

    /// Removes the last record.
    pub fn pop(&mut self) -> Option<T> {
        let record = self.chunks.back_mut()?.pop();
        if self.chunks.back().is_some_and(Vec::is_empty) {
            self.chunks.pop_back();
        }
        record
    }

    /// Gives up records before `index`, in whole chunks: their memory is used again.
    pub fn forget_before(&mut self, index: usize) {
        while self.forgotten < index / CHUNK_RECORDS
            && let Some(mut chunk) = self.chunks.pop_front()
        {
            chunk.clear();
            self.spare = chunk;
            self.forgotten += 1;
        }
    }
}

impl<T> fmt::Debug for Chunks<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} records", self.len())
    }
}

impl<T> FromIterator<T> for Chunks<T> {
    fn from_iter<I: IntoIterator<Item = T>>(records: I) -> Self {
        let mut chunks = Self::default();
        for record in records {
            chunks.push(record);
        }
        chunks
    }
}

/// What became of one attempt to send a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Invoked and not answered yet; in doubt if it stays so.
    Pending,
    /// Confirmed: the broker answered with the outcome accepted.
    Ok,
    /// Provably refused: it must never be delivered.
    Fail,
    /// Anything else: the message may appear or not, for ever.
    Info,
}

/// One attempt to send a message: 48 bytes. It is written when the attempt is invoked, and completed by its outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Send {
    /// The message's number within its producer, from 0.
    pub sequence: u64,
    /// When the schedule wanted it sent (CLOCK_MONOTONIC nanoseconds).
    pub intended_ns: u64,
    /// When it was handed to the connection.
    pub invoke_ns: u64,
    /// When the outcome was known; 0 while it is pending.
    pub outcome_ns: u64,
    /// Position in the order of confirmations of its connection, from 0; only for `Outcome::Ok`.
    pub confirm_index: u32,
    /// Index into the producer's `connections`.
    pub connection: u32,
    /// 0 for the first attempt of a message, 1 for its first re-send, and so on.
    pub attempt: u8,
    /// What became of it.
    pub outcome: Outcome,
}

/// One delivery of a message of this run: 40 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivery {
    /// The message's number within its producer.
    pub sequence: u64,
    /// When it arrived (CLOCK_MONOTONIC nanoseconds).
    pub arrival_ns: u64,
    /// When the broker settled our acknowledgement; 0 if it did not, or was not asked to.
    pub acknowledged_ns: u64,
    /// The producer that sent it.
    pub producer: u32,
    /// Index into the consumer's `connections`.
    pub connection: u32,
    /// The attempt that it came from.
    pub attempt: u8,
    /// Whether the broker marked it as possibly delivered before: delivery-count above 0, or first-acquirer false.
    pub redelivered: bool,
}

/// One connection era of a client: from a usable link to its loss.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// The URL that was connected to.
    pub server: String,
    /// When the link was usable.
    pub opened_ns: u64,
    /// When its loss was noticed, or it was closed by us; 0 while it is up.
    pub closed_ns: u64,
    /// Why it ended, in words; empty while it is up, and when we closed it.
    pub reason: String,
}

impl Connection {
    /// Whether it was lost, rather than being up or closed by the client itself.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.closed_ns != 0 && !self.reason.is_empty()
    }
}

/// All that one producer did.
#[derive(Debug, Clone, Default)]
pub struct ProducerLog {
    /// Its number, from 0.
    pub producer: u32,
    /// The queue that it sends to.
    pub address: String,
    /// Every attempt, in the order of invocation.
    pub sends: Chunks<Send>,
    /// Every connection era.
    pub connections: Vec<Connection>,
    /// Messages that were due and never attempted because the backlog policy is `shed`.
    pub shed: u64,
}

/// All that one consumer saw.
#[derive(Debug, Clone, Default)]
pub struct ConsumerLog {
    /// Its number, from 0.
    pub consumer: u32,
    /// The queue that it receives from.
    pub address: String,
    /// Every delivery of this run's messages, in the order of arrival.
    pub deliveries: Chunks<Delivery>,
    /// Every connection era.
    pub connections: Vec<Connection>,
    /// Deliveries whose payload belongs to another run, or to no load generator at all.
    pub alien: u64,
    /// Deliveries whose payload is damaged.
    pub corrupt: u64,
}

/// The record of a whole run.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    /// The random number that this run's messages carry.
    pub run: u64,
    /// Size of each payload in bytes; the mean where sizes differ.
    pub payload_bytes: u64,
    /// One per producer, by its number.
    pub producers: Vec<ProducerLog>,
    /// One per consumer, by its number.
    pub consumers: Vec<ConsumerLog>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_stay_compact() {
        assert!(size_of::<Send>() <= 48);
        assert!(size_of::<Delivery>() <= 40);
    }

    #[test]
    fn what_is_forgotten_keeps_its_indices_and_frees_its_memory() {
        let mut chunks: Chunks<usize> = (0..CHUNK_RECORDS * 2 + 3).collect();
        chunks.forget_before(CHUNK_RECORDS * 2 - 1);
        assert_eq!((chunks.get(CHUNK_RECORDS - 1), chunks.get(CHUNK_RECORDS)), (None, Some(&CHUNK_RECORDS)));
        assert_eq!((chunks.len(), chunks.iter().count()), (CHUNK_RECORDS * 2 + 3, CHUNK_RECORDS + 3));
        for index in CHUNK_RECORDS * 2 + 3..CHUNK_RECORDS * 50 {
            assert_eq!(chunks.push(index), index);
            chunks.forget_before(index);
        }
        assert!(chunks.chunks.len() <= 2);
        while chunks.pop().is_some() {}
        assert_eq!(chunks.len(), CHUNK_RECORDS * chunks.forgotten);
    }

    #[test]
    fn chunks_keep_order_and_index_across_their_edges() {
        let count = CHUNK_RECORDS * 2 + 3;
        let mut chunks: Chunks<usize> = (0..count).collect();
        assert_eq!(chunks.len(), count);
        assert!(chunks.iter().copied().eq(0..count));
        assert_eq!(chunks.get(CHUNK_RECORDS), Some(&CHUNK_RECORDS));
        assert_eq!(chunks.get(count), None);
        if let Some(record) = chunks.get_mut(CHUNK_RECORDS * 2) {
            *record = 7;
        }
        assert_eq!(chunks.iter().nth(CHUNK_RECORDS * 2), Some(&7));
        for _ in 0..3 {
            chunks.pop();
        }
        assert_eq!(chunks.len(), CHUNK_RECORDS * 2);
        assert_eq!(chunks.push(9), CHUNK_RECORDS * 2);
    }
}
