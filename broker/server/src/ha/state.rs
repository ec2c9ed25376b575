//! The states of a server and which may follow which.

use std::fmt;

/// What a server is at the moment.
///
/// ```text
///            Start (peer known)                   link up, peer claims, recovers or is active
///  STARTING ------------------> CONNECTING_PEER ---------------------------------> STANDBY
///      | Start (standalone)      |        ^                                         |    ^
///      |                         |        | lock lost and no link           takeover|    | claim lost,
///      |            lock free    |        |                                         v    | recovery failed
///      +-----------------------> +--------+----------------------------------> CLAIMING--+
///                                                                                |  claimed
///                                                                                v
///                      any state --fenced, poisoned, stopped--> FENCED <--- RECOVERING
///                                                                 ^              | recovered
///                                                                 |              v
///                                                                 +----------- ACTIVE
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// Not started.
    Starting,
    /// Asking the peer, and the owner's lock, whether somebody is active.
    ConnectingPeer,
    /// Somebody else is active, as far as one can see.
    Standby,
    /// Trying to become the owner of the store.
    Claiming,
    /// Owner; reading the store.
    Recovering,
    /// Serving clients.
    Active,
    /// Not the owner any more, or unable to write: on the way out.
    Fenced,
}

impl State {
    /// The word in event lines and on the FT link.
    pub fn name(self) -> &'static str {
        match self {
            Self::Starting => "STARTING",
            Self::ConnectingPeer => "CONNECTING_PEER",
            Self::Standby => "STANDBY",
            Self::Claiming => "CLAIMING",
            Self::Recovering => "RECOVERING",
            Self::Active => "ACTIVE",
            Self::Fenced => "FENCED",
        }
    }

    /// The state with that [`State::name`].
    pub fn parse(name: &str) -> Option<Self> {
        use State::*;
        [Starting, ConnectingPeer, Standby, Claiming, Recovering, Active, Fenced]
            .into_iter()
            .find(|state| state.name() == name)
    }
}

impl fmt::Display for State {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}
