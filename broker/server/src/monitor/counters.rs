//! What the shard counts while it works: integers that nobody else touches.
//!
//! Owns the counts by queue, the histogram of turns, how late heartbeats left, and the figures of the last takeover. Knows
//! no other thread.

use engine::QueueId;
use reactor::Nanos;
use store::Histogram;

/// Upper bounds of turns of the loop, in nanoseconds: a turn normally stays below a millisecond.
const TURN_BOUNDS: &[Nanos] = &[
    10_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    500_000_000,
];

/// Upper bounds of how late heartbeats are, in nanoseconds; one of them is [`LATE`].
const DELAY_BOUNDS: &[Nanos] = &[
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_000_000,
    5_000_000,
    10_000_000,
    LATE,
    50_000_000,
    100_000_000,
    250_000_000,
    1_000_000_000,
    5_000_000_000,
];

/// A heartbeat that leaves so much after its time counts as late, in nanoseconds.
const LATE: Nanos = 20_000_000;

/// What went through one queue since the start of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flow {
    /// Messages and bytes of them that producers sent and the server took in.
    pub(crate) received: u64,
    pub(crate) received_bytes: u64,
    /// Handed to consumers, repetitions and browsers included.
    pub(crate) delivered: u64,
    pub(crate) delivered_bytes: u64,
    /// Removed because a consumer accepted them.
    pub(crate) acknowledged: u64,
}

impl Flow {
    /// Both together.
    pub(crate) fn plus(self, other: Flow) -> Flow {
        Flow {
            received: self.received + other.received,
            received_bytes: self.received_bytes + other.received_bytes,
            delivered: self.delivered + other.delivered,
            delivered_bytes: self.delivered_bytes + other.delivered_bytes,
            acknowledged: self.acknowledged + other.acknowledged,
        }
    }
}

/// What went through all queues.
#[derive(Debug, Default)]
pub(crate) struct Flows {
    /// By [`QueueId`].
    queues: Vec<Flow>,
}

impl Flows {
    /// The counts of one queue.
    pub(crate) fn of(&self, queue: QueueId) -> Flow {
        self.queues.get(queue.0 as usize).copied().unwrap_or_default()
    }

    pub(crate) fn received(&mut self, queue: QueueId, bytes: u64) {
        let flow = self.entry(queue);
        flow.received += 1;
        flow.received_bytes += bytes;
    }

    pub(crate) fn delivered(&mut self, queue: QueueId, bytes: u64) {
        let flow = self.entry(queue);
        flow.delivered += 1;
        flow.delivered_bytes += bytes;
    }

    pub(crate) fn acknowledged(&mut self, queue: QueueId) {
        self.entry(queue).acknowledged += 1;
    }

    fn entry(&mut self, queue: QueueId) -> &mut Flow {
        let index = queue.0 as usize;
        if index >= self.queues.len() {
            self.queues.resize(index + 1, Flow::default());
        }
        &mut self.queues[index]
    }
}

/// The heartbeats of one path: when they were due, and when they were on their way.
#[derive(Clone, Debug)]
pub(crate) struct Beats {
    /// Of the one that is not on its way yet.
    due: Option<Nanos>,
    /// How late each was, in nanoseconds.
    pub(crate) delays: Histogram,
    /// Those that were late by more than 20 ms.
    pub(crate) late: u64,
    /// The latest, in nanoseconds.
    pub(crate) delay_max: Nanos,
}

impl Beats {
    fn new() -> Beats {
        Beats { due: None, delays: Histogram::new(DELAY_BOUNDS), late: 0, delay_max: 0 }
    }

    /// One was made whose time was `due`.
    pub(crate) fn made(&mut self, due: Nanos) {
        self.due.get_or_insert(due);
    }

    /// One was made and is not on its way yet.
    pub(crate) fn is_waiting(&self) -> bool {
        self.due.is_some()
    }

    /// The one that was made is with the kernel.
    pub(crate) fn sent(&mut self, now: Nanos) {
        let Some(due) = self.due.take() else { return };
        let delay = now.saturating_sub(due);
        self.delays.record(delay);
        self.late += u64::from(delay > LATE);
        self.delay_max = self.delay_max.max(delay);
    }

    /// There is nobody to send it to.
    pub(crate) fn dropped(&mut self) {
        self.due = None;
    }
}

/// The heartbeats that come.
#[derive(Clone, Debug)]
pub(crate) struct Arrivals {
    last_at: Option<Nanos>,
    /// Between two of them, in nanoseconds.
    pub(crate) gaps: Histogram,
}

impl Arrivals {
    /// One came.
    pub(crate) fn arrived(&mut self, now: Nanos) {
        if let Some(last_at) = self.last_at.replace(now) {
            self.gaps.record(now - last_at);
        }
    }

    /// The next one belongs to another link.
    pub(crate) fn interrupted(&mut self) {
        self.last_at = None;
    }
}

/// The last time that this server became the owner of the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Takeover {
    /// From the claim until the store could serve, in nanoseconds.
    pub(crate) time: Nanos,
    /// Bytes read.
    pub(crate) bytes: u64,
    /// Messages found.
    pub(crate) messages: u64,
    /// From then on until the queues held the backlog, in nanoseconds; `None` while they do not.
    pub(crate) loading: Option<Nanos>,
}

/// All counts that belong to no other part of the server.
#[derive(Debug)]
pub(crate) struct Counters {
    /// Turns of the loop, in nanoseconds, the waits for work not counted.
    pub(crate) turns: Histogram,
    /// Heartbeats on the FT link.
    pub(crate) link_beats: Beats,
    /// Heartbeats in the store.
    pub(crate) store_beats: Beats,
    /// Heartbeats of the peer.
    pub(crate) arrivals: Arrivals,
    /// Connections accepted.
    pub(crate) accepted: u64,
    /// When the claim under way began.
    pub(crate) claim_began: Nanos,
    /// The last takeover, or start.
    pub(crate) takeover: Option<Takeover>,
}

impl Counters {
    pub(crate) fn new() -> Counters {
        Counters {
            turns: Histogram::new(TURN_BOUNDS),
            link_beats: Beats::new(),
            store_beats: Beats::new(),
            arrivals: Arrivals { last_at: None, gaps: Histogram::new(GAP_BOUNDS) },
            accepted: 0,
            claim_began: 0,
            takeover: None,
        }
    }
}

/// Upper bounds of the time between two heartbeats of the peer, in nanoseconds: `ft_heartbeat` is 3 s by default, and 100 ms
/// or 250 ms where a failover has to be fast.
const GAP_BOUNDS: &[Nanos] = &[
    50_000_000,
    90_000_000,
    100_000_000,
    110_000_000,
    120_000_000,
    150_000_000,
    240_000_000,
    260_000_000,
    300_000_000,
    500_000_000,
    1_000_000_000,
    2_900_000_000,
    3_100_000_000,
    5_000_000_000,
    10_000_000_000,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heartbeat_is_late_by_the_time_from_due_to_sent() {
        let mut beats = Beats::new();
        beats.sent(5);
        assert_eq!(beats.delays.count(), 0, "none was made");
        beats.made(1_000_000);
        // The next one joins the one that still waits.
        beats.made(90_000_000);
        assert!(beats.is_waiting());
        beats.sent(LATE + 1_000_001);
        assert_eq!((beats.late, beats.delay_max, beats.delays.sum()), (1, LATE + 1, LATE + 1));
        beats.made(200_000_000);
        beats.sent(200_000_000 + LATE);
        beats.made(300_000_000);
        beats.dropped();
        beats.sent(400_000_000);
        assert_eq!((beats.late, beats.delays.count()), (1, 2), "on the bound is in time; dropped is not counted");
    }

    #[test]
    fn gaps_are_those_of_one_link() {
        let mut arrivals = Counters::new().arrivals;
        for now in [100, 200, 350] {
            arrivals.arrived(now);
        }
        arrivals.interrupted();
        arrivals.arrived(9_000);
        assert_eq!((arrivals.gaps.count(), arrivals.gaps.sum()), (2, 250));
    }

    #[test]
    fn queues_are_counted_apart() {
        let mut flows = Flows::default();
        flows.received(QueueId(3), 10);
        flows.delivered(QueueId(1), 7);
        flows.acknowledged(QueueId(3));
        let expected = Flow { received: 1, received_bytes: 10, acknowledged: 1, ..Flow::default() };
        assert_eq!(flows.of(QueueId(3)), expected);
        assert_eq!(flows.of(QueueId(9)), Flow::default());
        assert_eq!(flows.of(QueueId(1)).plus(expected).delivered_bytes, 7);
    }
}
