//! Owns what crosses the border between connection and application: identifiers, events, deliveries, output.

use alloc::boxed::Box;
use alloc::vec::Vec;

use bytes::Bytes;

use crate::performative::{Attach, DeliveryState, Error, Outcome};
use crate::sasl::SaslCode;

/// Nanoseconds of a monotonic clock. The crate never reads one: the caller passes the time.
pub type Nanos = u64;

/// A session of a connection. Channels are used again, identifiers are not: a settlement that waited for a disk while its
/// session ended cannot settle a message of the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId {
    pub(super) channel: u16,
    /// Counts the sessions of the connection.
    pub(super) serial: u32,
}

impl SessionId {
    /// Our channel.
    pub fn channel(self) -> u16 {
        self.channel
    }
}

/// A link of a connection. Handles are used again, identifiers are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId {
    /// The session that it belongs to.
    pub session: SessionId,
    /// Our handle.
    pub handle: u32,
    /// Counts the links of the connection.
    pub(super) serial: u32,
}

/// What a peer did, in its order.
#[derive(Debug, Clone, PartialEq)]
pub enum Event<'e> {
    /// Server: the client authenticates; answer by `sasl_outcome`. Input is kept meanwhile.
    SaslInit {
        /// One of the offered mechanisms.
        mechanism: &'e str,
        /// The initial response; see [`crate::sasl::plain`].
        response: &'e [u8],
        /// The virtual host that the client wants.
        hostname: Option<&'e str>,
    },
    /// Client: the server's verdict. Anything but `Ok` ends the connection.
    SaslOutcome(SaslCode),
    /// The peer's open has arrived: see `Connection::peer`. A server answers by `open`; input is kept meanwhile.
    Open,
    /// The peer began a session (answered already).
    Begin(SessionId),
    /// Our begin was answered.
    Begun(SessionId),
    /// The peer attaches a link: answer by `accept_link` or `refuse_link`, at once or later.
    Attach {
        /// The new link.
        link: LinkId,
        /// What the peer said.
        attach: Box<Attach>,
    },
    /// Our attach was answered. A null terminus at the peer's end is a refusal: a `Detach` follows.
    Attached {
        /// The link.
        link: LinkId,
        /// What the peer said.
        attach: Box<Attach>,
    },
    /// We are the sender: what may be sent has changed, also when the session's window opens again.
    Flow {
        /// The link.
        link: LinkId,
        /// Messages that may be sent.
        credit: u32,
        /// Send what is there, then call `drained`.
        drain: bool,
    },
    /// We are the receiver: the sender has used or given back all credit of a `grant` with drain.
    Drained {
        /// The link.
        link: LinkId,
    },
    /// A whole message.
    Message(Message<'e>),
    /// The peer's disposition on one delivery that we sent.
    Outcome {
        /// The link that it was sent on (it may be detached by now).
        link: LinkId,
        /// Its number within the session.
        delivery_id: u32,
        /// The application's token of `send`.
        token: u64,
        /// The state; absent: settled without one.
        outcome: Option<Outcome>,
        /// False: the peer waits for `settle_sent`.
        settled: bool,
    },
    /// The sender settled deliveries that we received and have not settled, both ends inclusive.
    SettledByPeer {
        /// The session.
        session: SessionId,
        /// The first delivery-id.
        first: u32,
        /// The last delivery-id.
        last: u32,
    },
    /// The link is gone: the peer detached it (answered already), answered our detach, or broke a rule (the error is ours).
    Detach {
        /// The link.
        link: LinkId,
        /// The terminus is gone too; otherwise only this use of it.
        closed: bool,
        /// Why.
        error: Option<Error>,
        /// Tokens of deliveries that we sent and that got no outcome, in order of delivery.
        unsettled: Vec<u64>,
    },
    /// The session and its links are gone: the peer ended it (answered already), answered our end, or broke a rule.
    End {
        /// The session.
        session: SessionId,
        /// Why.
        error: Option<Error>,
        /// Tokens of deliveries that we sent and that got no outcome, in order of delivery.
        unsettled: Vec<(LinkId, u64)>,
    },
    /// The peer closed (answered already) or answered our close. See `Connection::unsettled_tokens`.
    Close {
        /// Why.
        error: Option<Error>,
    },
    /// The peer broke the protocol or fell silent; our answer is queued. See `Connection::unsettled_tokens`.
    Failed(Error),
}

/// A whole message, borrowed from the input or from where its frames were joined.
#[derive(Debug, Clone, PartialEq)]
pub struct Message<'e> {
    /// The link.
    pub link: LinkId,
    /// Its number within the session, for `settle`.
    pub delivery_id: u32,
    /// The sender's tag, at most 32 bytes.
    pub tag: &'e [u8],
    /// message-format; 0 for AMQP messages.
    pub format: u32,
    /// The sender does not wait for a disposition.
    pub settled: bool,
    /// The state that the sender gave, for transactions.
    pub state: Option<Box<DeliveryState>>,
    /// The encoded message.
    pub payload: &'e [u8],
}

impl Message<'_> {
    /// The message without what it borrows.
    pub(super) fn without_bytes(self) -> Message<'static> {
        Message {
            link: self.link,
            delivery_id: self.delivery_id,
            tag: &[],
            format: self.format,
            settled: self.settled,
            state: self.state,
            payload: &[],
        }
    }
}

/// A message to send. The payload is `head` followed by `body`.
#[derive(Debug, Clone)]
pub struct Delivery<'a> {
    /// Comes back with the outcome.
    pub token: u64,
    /// At most 32 bytes, unique among the unsettled deliveries of the link.
    pub tag: &'a [u8],
    /// Do not wait for a disposition.
    pub settled: bool,
    /// message-format; 0 for AMQP messages.
    pub format: u32,
    /// For transactions.
    pub state: Option<DeliveryState>,
    /// The beginning of the payload; copied.
    pub head: &'a [u8],
    /// The rest; copied where small, otherwise referenced.
    pub body: &'a Bytes,
}

/// Why `send` refused; nothing was queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// No such link, or it is not attached: wait for `Attached` or forget it.
    #[error("the link is not attached")]
    NotAttached,
    /// The link receives.
    #[error("the link is not a sending link")]
    NotSender,
    /// The link has no credit: wait for `Flow`.
    #[error("the link has no credit")]
    NoCredit,
    /// The tag is longer than 32 bytes.
    #[error("the delivery tag is longer than 32 bytes")]
    TagTooLong,
    /// The message is larger than the peer accepts on this link.
    #[error("the message is larger than the peer's max-message-size")]
    MessageTooLarge,
    /// Too many deliveries wait for their settlement: wait for `Outcome`.
    #[error("too many deliveries of the session are unsettled")]
    TooManyUnsettled,
    /// Too much output is queued: wait until the socket has taken some.
    #[error("too much output is queued")]
    OutputFull,
}

/// Bytes to send, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Output {
    /// The pieces.
    pub chunks: Vec<Bytes>,
    /// Their total length.
    pub bytes: usize,
}
