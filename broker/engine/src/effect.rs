//! What the engine answers: effects for the server to carry out, and refusals.

use crate::definition::OverflowPolicy;
use crate::entry::{ConsumerId, DeliveryToken, Entry, QueueId, StoreId};
use alloc::string::String;

/// Work for the server, from [`crate::Engine::poll_effect`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Send the message at `entry.place` to `consumer`; answer with [`crate::Engine::settle`].
    Deliver {
        /// Who gets it.
        consumer: ConsumerId,
        /// Names this hand-over.
        token: DeliveryToken,
        /// Where it came from.
        queue: QueueId,
        /// The store that holds the body.
        store: StoreId,
        /// The message.
        entry: Entry,
    },
    /// The message has left its queue: append an acknowledgement record to `store`.
    Remove {
        /// The queue that it left.
        queue: QueueId,
        /// The store that holds it.
        store: StoreId,
        /// The message.
        entry: Entry,
        /// Why.
        reason: RemoveReason,
    },
    /// A draining consumer has got all there was: its credit is 0 now, tell the receiver.
    Drained {
        /// Who drained.
        consumer: ConsumerId,
        /// The credit that it had left; without any it may not have got all.
        unused: u32,
    },
    /// Nothing allows the queue any more, and it has neither messages nor consumers: detach its producers, then call
    /// [`crate::Engine::remove_queue`].
    Vacant {
        /// The queue that may go.
        queue: QueueId,
    },
}

/// Why a message left its queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemoveReason {
    /// A consumer accepted it; answer the settlement once the removal is confirmable.
    Accepted {
        /// The hand-over that was accepted.
        token: DeliveryToken,
    },
    /// A consumer rejected it (terminal in AMQP; there is no dead-letter queue yet); answer like `Accepted`.
    Rejected {
        /// The hand-over that was rejected.
        token: DeliveryToken,
    },
    /// Its time to live ran out.
    Expired,
    /// `overflowPolicy=discardOld` made room for a newer one.
    Discarded,
    /// Delivered in vain as often as `maxRedelivery` allows.
    MaxRedelivery,
    /// An administrator emptied or deleted the queue.
    Purged,
}

/// What a consumer did with a delivery (AMQP 1.0 section 3.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settle {
    /// Done with it: remove.
    Accept,
    /// Back to its place, not counted as an attempt.
    Release,
    /// Cannot be processed: remove.
    Reject,
    /// Back to its place.
    Modify {
        /// Count it as an unsuccessful attempt.
        failed: bool,
        /// Not to this consumer again.
        undeliverable_here: bool,
    },
}

/// The delivery is not (or no longer) unsettled: settled before, or its consumer is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no unsettled delivery has the token {0:?}")]
pub struct UnknownDelivery(pub DeliveryToken);

/// Why a queue takes no message now. The server answers `amqp:resource-limit-exceeded`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A limit of the queue is reached.
    #[error("the queue is full: {limit} ({policy:?})")]
    Full {
        /// Which limit.
        limit: Limit,
        /// The policy that did not make room.
        policy: OverflowPolicy,
    },
    /// An administrator deleted the queue, and it is being emptied.
    #[error("the queue is being deleted")]
    Deleted,
}

/// The queue cannot be purged: what a store recovered is still being loaded. Try again when it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the queue is still being loaded")]
pub struct StillLoading;

/// A limit of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// `maxmsgs`.
    Messages(u64),
    /// `maxbytes`.
    Bytes(u64),
}

impl core::fmt::Display for Limit {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Messages(limit) => write!(formatter, "maxmsgs={limit}"),
            Self::Bytes(limit) => write!(formatter, "maxbytes={limit}"),
        }
    }
}

/// Why a name is not that of a queue.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// No name at all.
    #[error("a queue name must not be empty")]
    Empty,
    /// Longer than [`crate::NAME_BYTES_MAX`] or of more than [`crate::NAME_ELEMENTS_MAX`] elements.
    #[error("the queue name is too long: {bytes} bytes, {elements} elements")]
    TooLong {
        /// Bytes of the name.
        bytes: usize,
        /// Elements between dots.
        elements: usize,
    },
    /// Two dots in a row, or one at either end.
    #[error("'{0}' has an empty element")]
    EmptyElement(String),
    /// Control characters or blanks.
    #[error("the queue name has a blank or a control character at byte {0}")]
    BadCharacter(usize),
    /// A pattern where a name is needed, or `*` and `>` not standing alone, or `>` not last.
    #[error("'{0}' is a wildcard, not the name of one queue")]
    Wildcard(String),
    /// Neither defined nor matched by a pattern in queues.conf.
    #[error("no line of queues.conf allows a queue '{0}'")]
    NotAllowed(String),
    /// Being deleted; the name is free once the last of its messages has left.
    #[error("the queue '{0}' is being deleted")]
    Deleted(String),
}
