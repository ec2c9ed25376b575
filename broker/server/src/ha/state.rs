//! The states of a server and which may follow which.

use std::fmt;

/// What a server is at the moment.
///
/// ```text
///             peer known                      the peer, or the lock, says that
///   STARTING ------------> CONNECTING_PEER -- somebody owns the store -----+
///      |  |                       |                                        v
///      |  |  alone, lock held     |                                     STANDBY <---+
///      |  +-----------------------|---------------------------------->     |        |
///      |                          | nobody owns the store                  |        |
///      | alone, lock free         v                              takeover  |        | somebody else
///      +---------------------> CLAIMING <----------------------------------+        | was faster
///                                 |  |                                              |
///                         claimed |  +----------------------------------------------+
///                                 v
///                             RECOVERING
///                                 | recovered
///                                 v
///                               ACTIVE
///
///   Every state leads to FENCED: claimed by another, poisoned, not recoverable, or asked to stop.
///   FENCED is the end: nothing resumes an epoch, a fresh process may claim the next.
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

    /// All states, in the order of the drawing.
    pub const ALL: [Self; 7] = [
        Self::Starting,
        Self::ConnectingPeer,
        Self::Standby,
        Self::Claiming,
        Self::Recovering,
        Self::Active,
        Self::Fenced,
    ];

    /// Whether the drawing has an arrow from here to `next`.
    pub fn can_become(self, next: Self) -> bool {
        use State::*;
        match (self, next) {
            (Fenced, _) => false,
            (_, Fenced) => true,
            (Starting, ConnectingPeer | Standby | Claiming) => true,
            (ConnectingPeer, Standby | Claiming) => true,
            (Standby, Claiming) => true,
            (Claiming, Standby | Recovering) => true,
            (Recovering, Active) => true,
            _ => false,
        }
    }

    /// Whether a server in this state owns the store, or is about to.
    pub fn is_owner(self) -> bool {
        matches!(self, Self::Claiming | Self::Recovering | Self::Active)
    }

    /// The state with that [`State::name`].
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

impl fmt::Display for State {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_edge_is_drawn() {
        use State::*;
        let edges = [
            (Starting, ConnectingPeer),
            (Starting, Standby),
            (Starting, Claiming),
            (ConnectingPeer, Standby),
            (ConnectingPeer, Claiming),
            (Standby, Claiming),
            (Claiming, Standby),
            (Claiming, Recovering),
            (Recovering, Active),
        ];
        for from in State::ALL {
            for to in State::ALL {
                let expected = edges.contains(&(from, to)) || (to == Fenced && from != Fenced);
                assert_eq!(from.can_become(to), expected, "{from} to {to}");
            }
        }
    }

    #[test]
    fn names_come_back() {
        for state in State::ALL {
            assert_eq!(State::parse(state.name()), Some(state));
        }
        assert_eq!(State::parse("active"), None);
    }
}
