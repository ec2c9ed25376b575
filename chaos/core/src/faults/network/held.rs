//! What one direction of one connection holds back, in order, and when the first of it may go: pure. Time and randomness come from outside.

use super::shape::{Line, Passage, Shape};
use bytes::{Buf, Bytes};
use std::collections::VecDeque;
use std::num::NonZeroU64;
use std::time::Duration;
use tokio::time::Instant;

/// Bytes that one direction of one connection holds back; beyond, nothing is read, so that the sender's window closes. A quarter of a
/// second at 16 MiB a second.
pub(super) const HELD_BYTES_MAX: usize = 4 << 20;
/// Pieces, which cost some memory even when they are small.
pub(super) const HELD_PIECES_MAX: usize = 1 << 14;

/// How a stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// FIN: no more bytes, all of them were sent.
    Closed,
    /// RST: the connection is gone.
    Reset,
}

/// What arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Item {
    Bytes(Bytes),
    End(End),
}

#[derive(Debug)]
struct Piece {
    item: Item,
    arrived: Instant,
    /// Its part of the jitter, 0 to 1.
    share: f64,
    /// It could not go when it was first asked for.
    waited: bool,
    /// When the line has carried it, and at which rate.
    carried: Option<(NonZeroU64, Instant)>,
}

/// Whether the first piece may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// There is none.
    Empty,
    /// It may.
    Now,
    /// Not before then.
    At(Instant),
    /// Not until the shape changes.
    Withheld,
}

/// The pieces.
#[derive(Debug, Default)]
pub(super) struct Held {
    pieces: VecDeque<Piece>,
    bytes: usize,
}

impl Held {
    /// Whether more may be taken in.
    pub(super) fn has_room(&self) -> bool {
        self.bytes < HELD_BYTES_MAX && self.pieces.len() < HELD_PIECES_MAX
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Takes in what arrived, with its share of the jitter (0 to 1).
    pub(super) fn push(&mut self, now: Instant, item: Item, share: f64) {
        if let Item::Bytes(bytes) = &item {
            self.bytes += bytes.len();
        }
        // Behind one that waits, it waits too, even if its own time is over when its turn comes.
        let waited = self.pieces.front().is_some_and(|front| front.waited);
        self.pieces.push_back(Piece { item, arrived: now, share, waited, carried: None });
    }

    /// Whether the first piece may go. Once its delay is over it takes its turn on the line, if that has a rate.
    pub(super) fn turn(&mut self, now: Instant, shape: &Shape, line: &mut Line) -> Turn {
        let Some(piece) = self.pieces.front_mut() else { return Turn::Empty };
        let turn = piece.turn(now, shape, line);
        piece.waited |= turn != Turn::Now;
        turn
    }

    /// The first piece.
    pub(super) fn front(&self) -> Option<&Item> {
        self.pieces.front().map(|piece| &piece.item)
    }

    /// The first `count` bytes of the first piece have gone. With the last of them, says how long a piece that had to wait was held back.
    pub(super) fn gone(&mut self, now: Instant, count: usize) -> Option<Duration> {
        let piece = self.pieces.front_mut()?;
        if let Item::Bytes(bytes) = &mut piece.item {
            bytes.advance(count);
            self.bytes -= count;
            if !bytes.is_empty() {
                return None;
            }
        }
        let piece = self.pieces.pop_front()?;
        piece.waited.then(|| now.saturating_duration_since(piece.arrived))
    }

    /// Throws everything away; returns the bytes.
    pub(super) fn clear(&mut self) -> usize {
        self.pieces.clear();
        std::mem::take(&mut self.bytes)
    }
}

impl Piece {
    fn turn(&mut self, now: Instant, shape: &Shape, line: &mut Line) -> Turn {
        if matches!(shape.passage, Passage::Cut | Passage::Swallowing) {
            return Turn::Withheld;
        }
        let due = self.arrived + shape.hold(self.share);
        if due > now {
            return Turn::At(due);
        }
        let (Some(rate), Item::Bytes(bytes)) = (shape.bytes_per_s, &self.item) else { return Turn::Now };
        let carried = self.carried.filter(|(reserved_at, _)| *reserved_at == rate);
        let (_, through) = carried.unwrap_or_else(|| (rate, line.reserve(now, bytes.len(), rate)));
        self.carried = Some((rate, through));
        if through > now { Turn::At(through) } else { Turn::Now }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Rig {
        held: Held,
        shape: Shape,
        line: Line,
        start: Instant,
    }

    fn rig(shape: Shape) -> Rig {
        Rig { held: Held::default(), shape, line: Line::default(), start: Instant::now() }
    }

    impl Rig {
        fn at(&self, ms: u64) -> Instant {
            self.start + Duration::from_millis(ms)
        }

        fn push(&mut self, ms: u64, text: &'static [u8], share: f64) {
            self.held.push(self.at(ms), Item::Bytes(Bytes::from_static(text)), share);
        }

        fn turn(&mut self, ms: u64) -> Turn {
            self.held.turn(self.at(ms), &self.shape, &mut self.line)
        }
    }

    #[test]
    fn without_a_shape_a_piece_goes_at_once_and_did_not_wait() {
        let mut rig = rig(Shape::default());
        assert_eq!(rig.turn(0), Turn::Empty);
        rig.push(0, b"now", 0.9);
        assert_eq!(rig.turn(0), Turn::Now);
        assert_eq!(rig.held.gone(rig.at(0), 3), None);
        assert_eq!((rig.turn(0), rig.held.bytes), (Turn::Empty, 0));
    }

    #[test]
    fn delay_and_jitter_count_from_the_arrival_and_follow_the_shape() {
        let (delay, jitter) = (Duration::from_millis(20), Duration::from_millis(10));
        let mut rig = rig(Shape { delay, jitter, ..Shape::default() });
        rig.push(5, b"later", 0.5);
        assert_eq!(rig.turn(5), Turn::At(rig.at(30)));
        rig.shape.delay = Duration::ZERO;
        assert_eq!(rig.turn(5), Turn::At(rig.at(10)));
        assert_eq!(rig.turn(10), Turn::Now);
        assert_eq!(rig.held.gone(rig.at(11), 2), None);
        assert_eq!(rig.held.front(), Some(&Item::Bytes(Bytes::from_static(b"ter"))));
        assert_eq!(rig.held.gone(rig.at(12), 3), Some(Duration::from_millis(7)));
    }

    #[test]
    fn order_is_kept_whatever_the_jitter_draws() {
        let mut rig = rig(Shape { jitter: Duration::from_millis(10), ..Shape::default() });
        rig.push(0, b"first", 1.0);
        rig.push(0, b"second", 0.0);
        assert_eq!(rig.turn(0), Turn::At(rig.at(10)));
        rig.push(1, b"third", 0.0);
        assert_eq!(rig.held.gone(rig.at(10), 5), Some(Duration::from_millis(10)));
        assert_eq!(rig.turn(10), Turn::Now);
        assert_eq!(rig.held.gone(rig.at(10), 6), None, "nothing waited yet when it came");
        assert_eq!(rig.turn(10), Turn::Now);
        assert_eq!(rig.held.gone(rig.at(10), 5), Some(Duration::from_millis(9)));
    }

    #[test]
    fn a_piece_takes_the_line_once_its_delay_is_over_and_again_when_the_rate_changes() {
        let mut rig = rig(Shape { bytes_per_s: NonZeroU64::new(1000), ..Shape::default() });
        rig.shape.delay = Duration::from_millis(50);
        rig.push(0, &[0; 100], 0.0);
        assert_eq!(rig.turn(0), Turn::At(rig.at(50)));
        assert_eq!(rig.turn(50), Turn::At(rig.at(150)));
        assert_eq!(rig.turn(60), Turn::At(rig.at(150)));
        rig.shape.bytes_per_s = NonZeroU64::new(10_000);
        rig.line.clear();
        assert_eq!(rig.turn(60), Turn::At(rig.at(70)));
        rig.shape.bytes_per_s = None;
        assert_eq!(rig.turn(60), Turn::Now);
    }

    #[test]
    fn a_cut_withholds_and_a_stall_lets_go_what_was_read() {
        let mut rig = rig(Shape { passage: Passage::Cut, ..Shape::default() });
        rig.push(0, b"kept", 0.0);
        assert_eq!(rig.turn(1000), Turn::Withheld);
        rig.shape.passage = Passage::Stalled;
        assert_eq!(rig.turn(1000), Turn::Now);
        assert_eq!(rig.held.gone(rig.at(1000), 4), Some(Duration::from_secs(1)));
    }

    #[test]
    fn bytes_and_pieces_are_bounded() {
        let mut rig = rig(Shape::default());
        rig.held.push(rig.start, Item::Bytes(Bytes::from(vec![0; HELD_BYTES_MAX])), 0.0);
        assert!(!rig.held.has_room());
        assert_eq!(rig.held.clear(), HELD_BYTES_MAX);
        (0..HELD_PIECES_MAX).for_each(|_| rig.push(0, b"x", 0.0));
        assert!(!rig.held.has_room());
        rig.held.gone(rig.start, 1);
        assert!(rig.held.has_room());
    }

    #[test]
    fn an_end_waits_its_turn_and_takes_no_line() {
        let mut rig = rig(Shape { bytes_per_s: NonZeroU64::new(1), ..Shape::default() });
        rig.shape.delay = Duration::from_millis(10);
        rig.held.push(rig.start, Item::End(End::Closed), 0.0);
        assert_eq!(rig.turn(0), Turn::At(rig.at(10)));
        assert_eq!(rig.turn(10), Turn::Now);
        assert_eq!(rig.held.front(), Some(&Item::End(End::Closed)));
        assert_eq!(rig.held.gone(rig.at(10), 0), Some(Duration::from_millis(10)));
        assert!(rig.held.is_empty());
    }
}
