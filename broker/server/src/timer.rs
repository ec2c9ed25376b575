//! What the timers of a shard are for, and how the reactor names them.

use crate::connections::ConnectionId;

/// What a timer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timer {
    /// The availability machine.
    Ha,
    /// The store.
    Store,
    /// The end of the process.
    Farewell,
    /// Expired messages.
    Sweep,
    /// A connection's protocol.
    Connection(ConnectionId),
    /// The patience with a peer that does not answer our attempt.
    PeerAttempt(ConnectionId),
    /// The patience with a connection that we have half closed.
    Linger(ConnectionId),
    /// Logins that wait for their turn.
    Login,
    /// More of the work at hand, at once: the turn in between sees to all the rest.
    Again,
}

impl Timer {
    const KIND_SHIFT: u32 = 60;

    /// The timer as the reactor's token: the kind in the upper four bits.
    pub(crate) fn to_token(self) -> u64 {
        let (kind, rest) = match self {
            Timer::Ha => (0, 0),
            Timer::Store => (1, 0),
            Timer::Farewell => (2, 0),
            Timer::Sweep => (3, 0),
            Timer::Connection(id) => (4, id.to_token()),
            Timer::PeerAttempt(id) => (5, id.to_token()),
            Timer::Linger(id) => (6, id.to_token()),
            Timer::Again => (7, 0),
            Timer::Login => (8, 0),
        };
        assert!(rest >> Self::KIND_SHIFT == 0, "connection names stay below the timer kinds");
        kind << Self::KIND_SHIFT | rest
    }

    /// The timer that the reactor gives back.
    pub(crate) fn from_token(token: u64) -> Timer {
        let id = ConnectionId::from_token(token & ((1 << Self::KIND_SHIFT) - 1));
        match token >> Self::KIND_SHIFT {
            0 => Timer::Ha,
            1 => Timer::Store,
            2 => Timer::Farewell,
            3 => Timer::Sweep,
            4 => Timer::Connection(id),
            5 => Timer::PeerAttempt(id),
            6 => Timer::Linger(id),
            8 => Timer::Login,
            _ => Timer::Again,
        }
    }
}
