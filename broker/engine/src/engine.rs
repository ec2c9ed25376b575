//! The engine's public face.

use crate::definition::{QueueDefinition, Stores};
use crate::effect::{Effect, NameError, Refusal, Settle, UnknownDelivery};
use crate::entry::{ConsumerId, DeliveryToken, Entry, QueueId, StoreId};
use alloc::vec::Vec;

/// When an entry may be delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visibility {
    /// At once.
    Now,
    /// Once [`Engine::confirmed`] has reached its lsn.
    WhenConfirmed,
}

/// What a consumer asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConsumerSpec {
    /// Look at waiting messages without taking them (AMQP distribution mode `copy`).
    pub browse: bool,
    /// Most unsettled deliveries, as the server's memory allows; 0 = no such limit.
    pub window_max: u32,
}

/// A queue at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueSnapshot<'e> {
    /// Its id.
    pub id: QueueId,
    /// Its name.
    pub name: &'e str,
    /// Its store.
    pub store: StoreId,
    /// Messages in the queue, unsettled ones included.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Messages that consumers hold unsettled.
    pub unsettled: u64,
    /// Consumers that take messages.
    pub consumers: usize,
    /// Consumers that only look.
    pub browsers: usize,
}

/// All queues of one shard.
#[derive(Debug)]
pub struct Engine {}

#[allow(missing_docs, unused_variables, clippy::todo)]
impl Engine {
    pub fn new(definitions: Vec<QueueDefinition>, stores: Stores) -> Self {
        todo!()
    }
    pub fn resolve(&mut self, name: &str) -> Result<QueueId, NameError> {
        todo!()
    }
    pub fn store_of(&self, queue: QueueId) -> StoreId {
        todo!()
    }
    pub fn name_of(&self, queue: QueueId) -> &str {
        todo!()
    }
    /// `WhenConfirmed` for a queue in a sync store.
    pub fn visibility(&self, queue: QueueId) -> Visibility {
        todo!()
    }
    /// When a message that arrives now expires, from its time to live and the queue's `expiration`; 0 = never.
    pub fn expires_at_ms(&self, now_ms: u64, queue: QueueId, ttl_ms: Option<u32>) -> u64 {
        todo!()
    }
    pub fn queues(&self) -> impl Iterator<Item = QueueSnapshot<'_>> {
        core::iter::empty()
    }
    pub fn admit(&mut self, now_ms: u64, queue: QueueId, len: u32) -> Result<(), Refusal> {
        todo!()
    }
    pub fn publish(&mut self, queue: QueueId, entry: Entry, visibility: Visibility) {
        todo!()
    }
    pub fn confirmed(&mut self, store: StoreId, through_lsn: u64) {
        todo!()
    }
    pub fn recover(&mut self, queue: QueueId, entry: Entry) {
        todo!()
    }
    pub fn add_consumer(&mut self, queue: QueueId, spec: ConsumerSpec) -> ConsumerId {
        todo!()
    }
    pub fn remove_consumer(&mut self, consumer: ConsumerId) {
        todo!()
    }
    pub fn credit(&mut self, consumer: ConsumerId, credit: u32) {
        todo!()
    }
    pub fn drain(&mut self, consumer: ConsumerId, credit: u32) {
        todo!()
    }
    pub fn settle(&mut self, token: DeliveryToken, outcome: Settle) -> Result<(), UnknownDelivery> {
        todo!()
    }
    pub fn poll_effect(&mut self, now_ms: u64) -> Option<Effect> {
        todo!()
    }
    /// Removes expired messages that no consumer comes past; looks at no more than `budget` entries. Call it
    /// about once a second.
    pub fn sweep(&mut self, now_ms: u64, budget: usize) {
        todo!()
    }
    /// Walks everything and panics where something does not hold. O(entries).
    pub fn check_invariants(&self) {
        todo!()
    }
}
