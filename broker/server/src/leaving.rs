//! How a server ends: by a clean stop of the store, or by leaving it to another.
//!
//! Owns the order of farewells and how long they may take. Why a server ends is decided in `ha`.

use crate::broker::{Audience, Broker};
use crate::timer::Timer;
use reactor::Nanos;

/// How long a server that leaves waits for its last words to be sent.
const FAREWELL: Nanos = 500_000_000;
/// How long a clean stop waits for the disk, and the exit code when that was not enough.
const STOP_PATIENCE: Nanos = 10_000_000_000;
const EXIT_UNFINISHED: i32 = 1;

/// How a server ends.
#[derive(Clone, Debug)]
pub(crate) struct Exit {
    /// What the process ends with.
    pub(crate) code: i32,
    /// When, at the latest.
    pub(crate) at: Nanos,
    /// Earlier, once all connections are gone.
    pub(crate) when_alone: bool,
}

impl Broker {
    /// A clean stop: nothing more is taken in, what was admitted is finished and answered.
    pub(crate) fn stop_store(&mut self, now: Nanos) {
        self.close_listeners();
        self.stopping = true;
        self.exchange.store.stop(now);
        self.exit = Some(Exit { code: EXIT_UNFINISHED, at: now + STOP_PATIENCE, when_alone: false });
        self.reactor.set_timer(now + STOP_PATIENCE, Timer::Farewell.to_token());
    }

    /// Says farewell to everybody and ends soon.
    pub(crate) fn leave(&mut self, now: Nanos, code: i32, reason: &str) {
        self.audience = Audience::Refuse;
        self.close_listeners();
        let error = self.not_active_error(reason);
        for id in self.connections.ids() {
            let Some(mut connection) = self.connections.take(id) else { continue };
            self.leave_links(&mut connection);
            // What it was about to be told may be the new owner's to say.
            connection.abandoned |= self.is_withheld(&connection) && connection.protocol.output_bytes() > 0;
            connection.close(Some(error.clone()));
            self.connections.put_back(id, connection);
        }
        (self.stopping, self.is_unsure) = (false, false);
        self.resume_stalled(now, true);
        self.exit = Some(Exit { code, at: now + FAREWELL, when_alone: true });
        self.reactor.set_timer(now + FAREWELL, Timer::Farewell.to_token());
    }

    fn close_listeners(&mut self) {
        for listener in std::mem::take(&mut self.listeners) {
            self.reactor.close_listener(listener);
        }
    }
}
