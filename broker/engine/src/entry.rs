//! The names of things and the queue entry: where a message lies and what routing must know of it.
//!
//! Owns no container; knows nothing of the bytes that a [`Place`] points at.

/// A queue, as given by [`crate::Engine::resolve`]. Valid until [`crate::Engine::remove_queue`]; may name another one
/// afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueueId(pub u32);

/// A consumer, as given by [`crate::Engine::add_consumer`]. Never names another consumer after its removal
/// until 4096 others have used its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConsumerId(pub u32);

/// A store, by the index that the server gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StoreId(pub u8);

/// One hand-over of one message to one consumer. Names nothing else afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeliveryToken(pub u64);

/// Where the body lies; opaque to the engine but for `len`, which the byte limits count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Place {
    /// The segment of the store.
    pub segment: u32,
    /// Bytes from the start of the segment.
    pub offset: u32,
    /// Bytes of the encoded message.
    pub len: u32,
}

/// One message in a queue: a location and flags, never a pointer to a body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// Log sequence number of the publish record in the queue's store.
    pub lsn: u64,
    /// Wall clock in milliseconds since 1970 from which the message is expired; 0 = never.
    pub expires_at_ms: u64,
    /// Where the body lies.
    pub place: Place,
    /// 0 to 9 count, higher first; more counts as 9 (as JMS and EMS have it).
    pub priority: u8,
    /// The high four bits are the server's and come back unchanged; the low four are the engine's.
    pub flags: u8,
    /// Unsuccessful attempts so far (AMQP 1.0 section 3.2.1, `delivery-count`).
    pub delivery_count: u16,
}

/// Engine flag: an earlier process may have handed the message out; `delivery_count` may be too low.
pub(crate) const MAY_HAVE_BEEN_DELIVERED: u8 = 1;
/// Engine flag: deliverable only once the store has confirmed `lsn`.
pub(crate) const WHEN_CONFIRMED: u8 = 1 << 1;
/// Engine flag: some consumers must not get this entry again; the queue knows which.
pub(crate) const EXCLUSIONS: u8 = 1 << 2;
/// Engine flag: a hole in the middle of a queue, left by expiry.
pub(crate) const TOMBSTONE: u8 = 1 << 3;
/// The bits of `flags` that are the engine's.
pub(crate) const ENGINE_FLAGS: u8 = 0x0f;

impl Entry {
    /// Whether the receiver must be told that this may be a repetition: AMQP's `first-acquirer` is then false
    /// where `delivery_count` is 0.
    pub fn may_have_been_delivered(&self) -> bool {
        self.delivery_count > 0 || self.flags & MAY_HAVE_BEEN_DELIVERED != 0
    }

    pub(crate) fn is_expired(&self, now_ms: u64) -> bool {
        self.expires_at_ms != 0 && self.expires_at_ms <= now_ms
    }

    pub(crate) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    pub(crate) fn bytes(&self) -> u64 {
        u64::from(self.place.len)
    }
}

// A backlog of ten million messages must stay well below 1 GiB of memory.
const _: () = assert!(size_of::<Entry>() <= 32);
