//! What is known of the other server: the link to it, and what it last said.
//!
//! Owns the times of hearing and of trying to connect; decides nothing.

use super::Nanos;
use super::retry::Retry;
use super::state::State;

/// The other server, as seen from here.
#[derive(Debug)]
pub(super) struct Peer {
    /// There is a link, in either direction.
    pub(super) is_up: bool,
    /// A connection attempt of ours is under way.
    pub(super) is_attempting: bool,
    /// When to try to connect again.
    pub(super) retry: Retry,
    /// What it said last on the present link, and since when it says so.
    said: Option<(State, Nanos)>,
    /// When it was last heard, or the link came up.
    heard: Nanos,
    /// When it was last heard as owner of the store, or our start.
    heard_as_owner: Nanos,
    /// The operator knows that heartbeats are missing.
    pub(super) is_missed: bool,
    /// The operator knows that both servers are active.
    pub(super) is_dual_reported: bool,
    /// What the operator knows: why it refuses us, and why we refused another server.
    refusals: (Option<String>, Option<String>),
}

impl Peer {
    pub(super) fn new(now: Nanos) -> Self {
        Self {
            is_up: false,
            is_attempting: false,
            retry: Retry::new(),
            said: None,
            heard: now,
            heard_as_owner: now,
            is_missed: false,
            is_dual_reported: false,
            refusals: (None, None),
        }
    }

    pub(super) fn link_up(&mut self, now: Nanos) {
        (self.is_up, self.is_attempting, self.is_missed) = (true, false, false);
        (self.is_dual_reported, self.refusals) = (false, (None, None));
        self.heard = now;
        self.retry.stop();
    }

    pub(super) fn link_down(&mut self) {
        (self.is_up, self.is_attempting) = (false, false);
        self.said = None;
    }

    /// It refuses us. True: the operator does not know that yet.
    pub(super) fn note_refusal(&mut self, reason: String) -> bool {
        self.refusals.0.replace(reason.clone()) != Some(reason)
    }

    /// We refused somebody. True: the operator does not know that yet.
    pub(super) fn note_refused(&mut self, reason: String) -> bool {
        self.refusals.1.replace(reason.clone()) != Some(reason)
    }

    pub(super) fn heard(&mut self, now: Nanos, state: State) {
        self.is_up = true;
        self.is_missed = false;
        self.heard = now;
        let since = self.said.filter(|(said, _)| *said == state).map_or(now, |(_, since)| since);
        self.said = Some((state, since));
        if state.is_owner() {
            self.heard_as_owner = now;
        }
    }

    pub(super) fn said(&self) -> Option<State> {
        self.said.map(|(state, _)| state)
    }

    /// The peer owns the store and is alive. One that has been claiming for longer than `activation` does not count: it
    /// may hang on a path to the store that is sound for us.
    pub(super) fn is_live_owner(&self, now: Nanos, activation: Nanos) -> bool {
        let Some((state, since)) = self.said else { return false };
        let hangs = state == State::Claiming && now.saturating_sub(since) >= activation;
        self.is_up && !self.is_silent(now, activation) && state.is_owner() && !hangs
    }

    /// The peer is alive and no owner.
    pub(super) fn is_idle(&self, now: Nanos, activation: Nanos) -> bool {
        self.is_up && !self.is_silent(now, activation) && self.said().is_some_and(|state| !state.is_owner())
    }

    pub(super) fn is_silent(&self, now: Nanos, activation: Nanos) -> bool {
        now.saturating_sub(self.heard) >= activation
    }

    /// Nobody has said for `activation` that he owns the store.
    pub(super) fn is_owner_silent(&self, now: Nanos, activation: Nanos) -> bool {
        now.saturating_sub(self.heard_as_owner) >= activation
    }

    /// When silence would begin to count.
    pub(super) fn deadlines(&self, activation: Nanos) -> [Nanos; 2] {
        [self.heard + activation, self.heard_as_owner + activation]
    }

    /// Nothing could be heard for a while that was our own fault.
    pub(super) fn restart_clock(&mut self, now: Nanos) {
        (self.heard, self.heard_as_owner) = (now, now);
    }
}
