//! The stages of one connection's life, and which may follow which.

/// What a connection is at the moment.
///
/// ```text
///              open of a client while not active yet          served
///  HANDSHAKE -----------------------------------> WAITING -----------+
///      |  |                                          |               v
///      |  +------------ active already -------------(------------> CLIENT
///      |  +------------ desires understudy:admin ---(------------> ADMIN
///      |  +------------ desires understudy:ft ------(------------> PEER
///      |                                             |               |
///      +--- refused, failed, closed -----------------+---------------+---> CLOSING
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// SASL, or the open, is still to come (for our own FT connection: the peer's).
    Handshake,
    /// A client's open is answered once the server is active, or refused once it is standby.
    Waiting,
    /// A client that sends and receives messages.
    Client,
    /// An administrator.
    Admin,
    /// The other server of the pair.
    Peer,
    /// Our close is on its way; what still arrives is dropped.
    Closing,
}

impl Stage {
    /// Whether `next` may follow.
    pub(crate) fn can_become(self, next: Stage) -> bool {
        use Stage::{Admin, Client, Closing, Handshake, Peer, Waiting};
        matches!(
            (self, next),
            (Handshake, Waiting | Client | Admin | Peer | Closing)
                | (Waiting, Client | Closing)
                | (Client | Admin | Peer, Closing)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::Stage::{self, Admin, Client, Closing, Handshake, Peer, Waiting};

    #[test]
    fn exactly_the_drawn_edges_exist() {
        let drawn = [
            (Handshake, Waiting),
            (Handshake, Client),
            (Handshake, Admin),
            (Handshake, Peer),
            (Handshake, Closing),
            (Waiting, Client),
            (Waiting, Closing),
            (Client, Closing),
            (Admin, Closing),
            (Peer, Closing),
        ];
        let all: [Stage; 6] = [Handshake, Waiting, Client, Admin, Peer, Closing];
        for from in all {
            for to in all {
                assert_eq!(from.can_become(to), drawn.contains(&(from, to)), "{from:?} -> {to:?}");
            }
        }
    }
}
