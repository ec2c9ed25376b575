//! Owns [`Idle`]: the connection's clocks. When the peer was heard last, when it must hear from us, how long phases may take.

use super::Nanos;

const NANOS_PER_MILLISECOND: Nanos = 1_000_000;

/// Heartbeats are not sent more often than this, whatever the peer asks for: it could make us flood it.
const HEARTBEAT_INTERVAL_MIN: Nanos = 10 * NANOS_PER_MILLISECOND;

/// What a timer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// Send an empty frame.
    Heartbeat,
    /// The peer was silent for too long.
    Silence,
    /// Handshake or close took too long.
    Phase,
}

/// The connection's clocks.
#[derive(Debug)]
pub(super) struct Idle {
    /// How long the peer may be silent.
    silence_max: Option<Nanos>,
    received_at: Nanos,
    /// How long we may be silent: half of what the peer asked for.
    heartbeat_interval: Option<Nanos>,
    sent_at: Nanos,
    /// When the current phase must be over.
    phase_deadline: Option<Nanos>,
    /// When this machine last looked at a clock, for deadlines that commands set.
    now: Nanos,
}

impl Idle {
    pub(super) fn new(now: Nanos, idle_timeout_ms: u32, handshake_timeout_ms: u32) -> Self {
        let silence_max = (idle_timeout_ms > 0).then_some(Nanos::from(idle_timeout_ms) * NANOS_PER_MILLISECOND);
        let mut idle =
            Self { silence_max, received_at: now, heartbeat_interval: None, sent_at: now, phase_deadline: None, now };
        idle.set_phase(handshake_timeout_ms);
        idle
    }

    pub(super) fn note_now(&mut self, now: Nanos) {
        self.now = self.now.max(now);
    }

    pub(super) fn note_received(&mut self, now: Nanos) {
        self.note_now(now);
        self.received_at = self.now;
    }

    pub(super) fn note_sent(&mut self, now: Nanos) {
        self.note_now(now);
        self.sent_at = self.now;
    }

    /// The peer wants to hear something at least this often.
    pub(super) fn set_peer_timeout(&mut self, milliseconds: Option<u32>) {
        self.heartbeat_interval = milliseconds
            .map(|milliseconds| (Nanos::from(milliseconds) * NANOS_PER_MILLISECOND / 2).max(HEARTBEAT_INTERVAL_MIN));
    }

    /// A phase begins that must be over after this many milliseconds; 0 = no limit.
    pub(super) fn set_phase(&mut self, milliseconds: u32) {
        self.phase_deadline =
            (milliseconds > 0).then_some(self.now + Nanos::from(milliseconds) * NANOS_PER_MILLISECOND);
    }

    pub(super) fn end_phase(&mut self) {
        self.phase_deadline = None;
    }

    /// The next moment at which something is due.
    pub(super) fn next(&self) -> Option<Nanos> {
        let silence = self.silence_max.map(|limit| self.received_at + limit);
        let heartbeat = self.heartbeat_interval.map(|interval| self.sent_at + interval);
        [silence, heartbeat, self.phase_deadline].into_iter().flatten().min()
    }

    /// What is due now, the worst first.
    pub(super) fn due(&self, now: Nanos) -> Option<Due> {
        if self.phase_deadline.is_some_and(|deadline| now >= deadline) {
            return Some(Due::Phase);
        }
        if self.silence_max.is_some_and(|limit| now >= self.received_at + limit) {
            return Some(Due::Silence);
        }
        self.heartbeat_interval.is_some_and(|interval| now >= self.sent_at + interval).then_some(Due::Heartbeat)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Nanos = NANOS_PER_MILLISECOND;

    #[test]
    fn silence_and_heartbeats_are_counted_from_the_last_frame() {
        let mut idle = Idle::new(0, 1000, 0);
        assert_eq!(idle.next(), Some(1000 * MS));
        idle.set_peer_timeout(Some(600));
        assert_eq!(idle.next(), Some(300 * MS));
        assert_eq!(idle.due(299 * MS), None);
        assert_eq!(idle.due(300 * MS), Some(Due::Heartbeat));
        idle.note_sent(300 * MS);
        assert_eq!(idle.next(), Some(600 * MS));
        idle.note_received(500 * MS);
        idle.note_sent(1400 * MS);
        assert_eq!(idle.due(1499 * MS), None);
        assert_eq!(idle.due(1500 * MS), Some(Due::Silence));
    }

    #[test]
    fn a_phase_has_its_own_deadline() {
        let mut idle = Idle::new(5 * MS, 0, 10);
        assert_eq!(idle.next(), Some(15 * MS));
        assert_eq!(idle.due(15 * MS), Some(Due::Phase));
        idle.end_phase();
        assert_eq!(idle.next(), None);
        idle.note_received(20 * MS);
        idle.set_phase(10);
        assert_eq!(idle.next(), Some(30 * MS));
    }

    #[test]
    fn a_tiny_timeout_does_not_make_us_flood_the_peer() {
        let mut idle = Idle::new(0, 0, 0);
        idle.set_peer_timeout(Some(1));
        assert_eq!(idle.next(), Some(HEARTBEAT_INTERVAL_MIN));
    }
}
