//! What queues.conf says of a name or pattern, and how a queue inherits from all that match it.

use crate::entry::StoreId;
use alloc::string::String;

/// What happens at `maxmsgs` or `maxbytes`. For queues EMS documents `default` and `rejectIncoming` alike: the
/// producer gets an error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OverflowPolicy {
    /// Refuse the new message.
    #[default]
    Default,
    /// Remove the oldest waiting messages to make room. One that a consumer holds unsettled is not waiting.
    DiscardOld,
    /// Refuse the new message.
    RejectIncoming,
}

/// How many unsettled deliveries one consumer may hold, beside its AMQP credit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Prefetch {
    /// Not said: inherit, and where nothing is said the credit alone decides. EMS's default of 5 bounds what its
    /// client library fetches ahead of the application, and in AMQP that is what link credit expresses.
    #[default]
    Unset,
    /// One at a time.
    None,
    /// At most so many, at least 1.
    Count(u32),
}

/// One line of queues.conf. Zero, `None`, `Unset` and `Default` mean "not said" and inherit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueDefinition {
    /// A name, or a pattern: `*` stands for one element, a last `>` for one or more.
    pub pattern: String,
    /// The store; not said anywhere: [`Stores::default`].
    pub store: Option<StoreId>,
    /// Messages that the queue may hold, unsettled ones included; 0 = no limit.
    pub maxmsgs: u64,
    /// Bytes that the queue may hold, unsettled ones included; 0 = no limit.
    pub maxbytes: u64,
    /// What happens at those limits.
    pub overflow: OverflowPolicy,
    /// Unsettled deliveries per consumer.
    pub prefetch: Prefetch,
    /// Only the longest attached consumer receives.
    pub exclusive: bool,
    /// Delivery attempts after which a message is removed (2 to 255); 0 = no limit.
    pub max_redelivery: u8,
    /// Replaces the producer's time to live, in milliseconds; `Some(0)` = never expires.
    pub expiration_ms: Option<u64>,
}

/// What the engine must know of the stores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stores {
    /// Where a queue goes that no `store=` covers (EMS: `$sys.nonfailsafe`).
    pub default: StoreId,
    /// Stores whose messages are delivered only when confirmed.
    pub sync: alloc::vec::Vec<StoreId>,
}
