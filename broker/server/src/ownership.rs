//! Whether the store is still this server's, as far as clients may see.
//!
//! Owns the rule that nothing is told to clients while the last check that passed is too old. What was confirmed is safe without it; it
//! keeps a server that was replaced while it did not run from handing out what the new owner hands out, too.

use crate::broker::Broker;
use crate::connection::Connection;
use crate::ha::State;
use crate::stage::Stage;
use reactor::Nanos;

impl Broker {
    /// Looks at the age of the last check. Nobody takes a store before its owner has been silent for `ft_activation`, and what was
    /// heard last may be a heartbeat older than the check. Who was not certain for longer than the rest may have been replaced, and
    /// waits for the next check, which begins at once.
    pub(crate) fn review_ownership(&mut self, now: Nanos) {
        let (heartbeat, activation) = (self.configuration.ft_heartbeat_ns, self.configuration.ft_activation_ns);
        // An idle owner looks once in a heartbeat.
        let limit = (activation - heartbeat).max(heartbeat + heartbeat / 2);
        let is_old = |at: Nanos| now.saturating_sub(at) >= limit;
        let is_unsure = self.ha.state() == State::Active && self.exchange.store.owned_at().is_none_or(is_old);
        if std::mem::replace(&mut self.is_unsure, is_unsure) && !is_unsure {
            for id in self.connections.ids() {
                self.connections.touch(id);
            }
        }
    }

    /// Whether a connection is neither listened to nor told anything at the moment.
    pub(crate) fn is_withheld(&self, connection: &Connection) -> bool {
        self.is_unsure && matches!(connection.stage(), Stage::Client | Stage::Closing)
    }
}
