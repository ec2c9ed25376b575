//! Owns [`State`], how far the connection has got.

/// How far the connection has got.
///
/// ```text
///  Header --> Sasl --> SaslDecision --> AmqpHeader      server: headers and SASL; SaslDecision waits for the application
///    |          |            |               |
///    |          +--(client: outcome)-------->|
///    |                                       v
///    +------(plain AMQP header)-----------> Open --> OpenDecision    OpenDecision: the peer's open came before ours
///                                            |            |
///                                            v            v
///                                         +-----> Opened
///                                         |          |  close sent
///                                         v          v
///                                       CloseSent (the peer's open may still be on its way)
///                                            |  peer's close, or silence
///    from every state: failure or close      v
///   --------------------------------------> Closed
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Waits for the peer's first protocol header.
    Header,
    /// SASL frames are exchanged.
    Sasl,
    /// Server: the application has to call `sasl_outcome`; input is held.
    SaslDecision,
    /// SASL has succeeded; waits for the peer's AMQP header.
    AmqpHeader,
    /// Waits for the peer's open.
    Open,
    /// The application has to call `open`; input is held.
    OpenDecision,
    /// Both opens were exchanged.
    Opened,
    /// Our close was sent; the peer's is awaited.
    CloseSent,
    /// Nothing more is sent or accepted.
    Closed,
}

impl State {
    /// Every state.
    #[cfg(test)]
    pub(super) const ALL: [Self; 9] = [
        Self::Header,
        Self::Sasl,
        Self::SaslDecision,
        Self::AmqpHeader,
        Self::Open,
        Self::OpenDecision,
        Self::Opened,
        Self::CloseSent,
        Self::Closed,
    ];

    /// Whether the diagram has this edge.
    pub(super) fn can_become(self, next: Self) -> bool {
        match (self, next) {
            (Self::Closed, _) => false,
            (_, Self::Closed) => true,
            (Self::Header, Self::Sasl | Self::Open) => true,
            (Self::Sasl, Self::SaslDecision | Self::AmqpHeader) => true,
            (Self::SaslDecision, Self::AmqpHeader) => true,
            (Self::AmqpHeader, Self::Open) => true,
            (Self::Open, Self::OpenDecision | Self::Opened | Self::CloseSent) => true,
            (Self::OpenDecision, Self::Opened) => true,
            (Self::Opened, Self::CloseSent) => true,
            _ => false,
        }
    }

    /// The application has to decide before input can be looked at.
    pub(super) fn holds_input(self) -> bool {
        matches!(self, Self::SaslDecision | Self::OpenDecision)
    }

    /// Protocol headers and SASL: before any AMQP frame.
    pub(super) fn is_before_open(self) -> bool {
        matches!(self, Self::Header | Self::Sasl | Self::SaslDecision | Self::AmqpHeader)
    }
}

#[cfg(test)]
mod tests {
    use super::State::{self, *};

    #[test]
    fn the_edges_are_those_of_the_diagram() {
        let edges = [
            (Header, Sasl),
            (Header, Open),
            (Sasl, SaslDecision),
            (Sasl, AmqpHeader),
            (SaslDecision, AmqpHeader),
            (AmqpHeader, Open),
            (Open, OpenDecision),
            (Open, Opened),
            (Open, CloseSent),
            (OpenDecision, Opened),
            (Opened, CloseSent),
        ];
        for from in State::ALL {
            for to in State::ALL {
                let drawn = edges.contains(&(from, to)) || (to == Closed && from != Closed);
                assert_eq!(from.can_become(to), drawn, "{from:?} -> {to:?}");
            }
        }
    }
}
