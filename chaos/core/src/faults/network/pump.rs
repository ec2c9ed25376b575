//! One direction of one connection: reads, holds back and writes as the lane says. Owns no socket and decides nothing about time.

use super::held::{End, Held, Item, Turn};
use super::lane::{Inner, Lane};
use super::shape::{Passage, Shape};
use bytes::Bytes;
use std::io::ErrorKind;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};

/// Largest piece read at once, bytes: at 1 MB/s, a line is taken for 16 ms by it.
const PIECE_BYTES: usize = 16 << 10;

/// How one direction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The source closed it, and the sink is to be told.
    Closed,
    /// Both sides are to be told that the connection is gone.
    Reset,
    /// The sink takes nothing more. Its own word about that comes in the other direction.
    Failed,
}

/// The reading and the writing side, and what is between.
pub(super) struct Pump<'a> {
    source: &'a TcpStream,
    sink: &'a TcpStream,
    lane: &'a Lane,
    random: fastrand::Rng,
    held: Held,
    buffer: Vec<u8>,
    /// The source has said its last word.
    has_ended: bool,
    /// Something was thrown away.
    has_hole: bool,
    /// This stall has been counted.
    is_unread: bool,
}

/// What to wait for.
#[derive(Clone, Copy, Debug, Default)]
struct Wish {
    read: bool,
    write: bool,
    due: Option<Instant>,
}

impl<'a> Pump<'a> {
    /// `seed` decides the jitter.
    pub(super) fn new(source: &'a TcpStream, sink: &'a TcpStream, lane: &'a Lane, seed: u64) -> Self {
        Self {
            source,
            sink,
            lane,
            random: fastrand::Rng::with_seed(seed),
            held: Held::default(),
            buffer: vec![0; PIECE_BYTES],
            has_ended: false,
            has_hole: false,
            is_unread: false,
        }
    }

    /// Runs until this direction is over.
    pub(super) async fn run(mut self) -> Outcome {
        let mut changes = self.lane.changes();
        loop {
            changes.borrow_and_update();
            let wish = match self.release() {
                Ok(wish) => wish,
                Err(outcome) => return outcome,
            };
            let due = wish.due.unwrap_or_else(Instant::now);
            tokio::select! {
                _ = self.source.readable(), if wish.read => self.take(),
                _ = self.sink.writable(), if wish.write => {}
                () = sleep_until(due), if wish.due.is_some() => {}
                changed = changes.changed() => if changed.is_err() { return Outcome::Reset },
            }
        }
    }

    /// Writes what may go now; an outcome ends the direction.
    fn release(&mut self) -> Result<Wish, Outcome> {
        let mut inner = self.lane.lock();
        if inner.shape.passage == Passage::Swallowing {
            self.has_hole |= !self.held.is_empty();
            inner.tally.bytes_swallowed += self.held.clear() as u64;
        } else if self.has_hole {
            return Err(Outcome::Reset);
        }
        let stalled = inner.shape.passage == Passage::Stalled;
        self.is_unread &= stalled;
        let mut wish = Wish::default();
        loop {
            let now = Instant::now();
            let Inner { shape, line, tally } = &mut *inner;
            match self.held.turn(now, shape, line) {
                Turn::Empty | Turn::Withheld => break,
                Turn::At(due) => {
                    wish.due = Some(due);
                    break;
                }
                Turn::Now => {}
            }
            let written = match self.held.front() {
                Some(Item::Bytes(bytes)) => self.sink.try_write(bytes),
                Some(Item::End(End::Closed)) => return Err(Outcome::Closed),
                Some(Item::End(End::Reset)) => return Err(Outcome::Reset),
                None => break,
            };
            match written {
                Ok(count) => {
                    tally.bytes_passed += count as u64;
                    if let Some(held) = self.held.gone(now, count) {
                        tally.pieces_delayed += 1;
                        tally.held_max = tally.held_max.max(held);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    wish.write = true;
                    break;
                }
                Err(_) => return Err(Outcome::Failed),
            }
        }
        wish.read = !self.has_ended && self.held.has_room() && !(stalled && self.is_unread);
        Ok(wish)
    }

    /// The source has something.
    fn take(&mut self) {
        let mut inner = self.lane.lock();
        let Inner { shape, tally, .. } = &mut *inner;
        if shape.passage == Passage::Stalled {
            self.is_unread = true;
            tally.connections_unread += 1;
            return;
        }
        let item = match self.source.try_read(&mut self.buffer) {
            Ok(0) => Item::End(End::Closed),
            Ok(count) if self.held.is_empty() && *shape == Shape::default() => {
                // The common case, without a copy. An error will be met again by the next write.
                let passed = self.sink.try_write(&self.buffer[..count]).unwrap_or(0);
                tally.bytes_passed += passed as u64;
                if passed == count {
                    return;
                }
                Item::Bytes(Bytes::copy_from_slice(&self.buffer[passed..count]))
            }
            Ok(count) => Item::Bytes(Bytes::copy_from_slice(&self.buffer[..count])),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => return,
            Err(_) => Item::End(End::Reset),
        };
        self.has_ended |= matches!(item, Item::End(_));
        if let (Passage::Cut, Item::Bytes(bytes)) = (shape.passage, &item) {
            tally.bytes_withheld += bytes.len() as u64;
        }
        self.held.push(Instant::now(), item, self.random.f64());
    }
}
