//! What is done to one direction of a link, and the rate of its line: pure, with the time as an argument.
//!
//! Several things may be done at once: they are fields, each of which does nothing by default.

use serde::{Deserialize, Serialize};
use std::num::NonZeroU64;
use std::time::Duration;
use tokio::time::Instant;

/// What becomes of the bytes that arrive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Passage {
    /// They go on, after their delay.
    #[default]
    Open,
    /// Nothing is read. What had been read goes on; the sender's window closes.
    Stalled,
    /// Nothing goes on, neither bytes nor ends nor new connections. What is read is kept and goes on when the passage opens again, as
    /// what TCP sends again does.
    Cut,
    /// Bytes and ends are thrown away and nobody is told. A connection that lost something is reset when the passage opens again, since TCP
    /// never delivers a stream with a hole.
    Swallowing,
}

impl Passage {
    /// Whether the packets of a handshake would get through.
    pub fn lets_connect(self) -> bool {
        matches!(self, Self::Open | Self::Stalled)
    }
}

/// All that is done to one direction. The default does nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// Each piece is held back for so long.
    pub delay: Duration,
    /// And for a random part of this on top. Pieces stay in order, so one that waits makes those behind it wait.
    pub jitter: Duration,
    /// Bytes that the line carries in a second, all connections together; unlimited if absent.
    pub bytes_per_s: Option<NonZeroU64>,
    /// What becomes of the bytes.
    pub passage: Passage,
}

impl Shape {
    /// How long a piece is held back that drew `share` (0 to 1) of the jitter.
    pub fn hold(&self, share: f64) -> Duration {
        self.delay + self.jitter.mul_f64(share)
    }
}

/// The line that the connections of one direction share: it carries one piece after the other.
#[derive(Clone, Copy, Debug, Default)]
pub struct Line {
    free_at: Option<Instant>,
}

impl Line {
    /// Takes the line for a piece, behind those that have it already; returns when the last byte is through.
    pub fn reserve(&mut self, now: Instant, bytes: usize, bytes_per_s: NonZeroU64) -> Instant {
        let begins = self.free_at.map_or(now, |free_at| free_at.max(now));
        let ends = begins + Duration::from_secs_f64(bytes as f64 / bytes_per_s.get() as f64);
        self.free_at = Some(ends);
        ends
    }

    /// Forgets what was reserved: the rate has changed, and everybody reserves again.
    pub fn clear(&mut self) {
        self.free_at = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_held_back_by_default_and_jitter_adds_its_share() {
        assert_eq!(Shape::default().hold(1.0), Duration::ZERO);
        let shape = Shape { delay: Duration::from_millis(20), jitter: Duration::from_millis(10), ..Shape::default() };
        let held = [0.0, 0.5, 1.0].map(|share| shape.hold(share).as_millis());
        assert_eq!(held, [20, 25, 30]);
    }

    #[test]
    fn the_line_carries_one_piece_after_the_other_and_rests_between() {
        let (mut line, start) = (Line::default(), Instant::now());
        let rate = NonZeroU64::new(1000).expect("not zero");
        let after = |ms: u64| start + Duration::from_millis(ms);
        assert_eq!(line.reserve(start, 500, rate), after(500));
        assert_eq!(line.reserve(after(100), 100, rate), after(600));
        assert_eq!(line.reserve(after(2000), 100, rate), after(2100));
        line.clear();
        assert_eq!(line.reserve(after(2000), 100, rate), after(2100));
    }

    #[test]
    fn a_handshake_needs_a_passage() {
        let passages = [Passage::Open, Passage::Stalled, Passage::Cut, Passage::Swallowing];
        assert_eq!(passages.map(Passage::lets_connect), [true, true, false, false]);
    }
}
