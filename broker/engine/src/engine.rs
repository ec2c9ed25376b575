//! The engine's public face: queues, consumers, messages in. Delivery and settlement are in `delivery.rs`.

use crate::consumer::{Consumer, ConsumerSpec, Consumers};
use crate::definition::{OverflowPolicy, QueueDefinition, Stores};
use crate::effect::{Effect, NameError, Refusal, RemoveReason};
use crate::entry::{ConsumerId, ENGINE_FLAGS, Entry, QueueId, StoreId, WHEN_CONFIRMED};
use crate::lifetime::Lifetime;
use crate::names::{Catalogue, Properties};
use crate::queue::Queue;
use crate::sweep::Cursor;
use alloc::borrow::ToOwned;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// When an entry may be delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visibility {
    /// At once.
    Now,
    /// Once [`Engine::confirmed`] has reached its lsn.
    WhenConfirmed,
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
    /// More of what a store recovered is still to come.
    pub loading: bool,
    /// queues.conf has a line of its name.
    pub is_static: bool,
    /// What holds for it, after inheritance.
    pub limits: Limits,
}

/// A consumer at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsumerSnapshot {
    /// Its queue.
    pub queue: QueueId,
    /// Messages that it still asks for.
    pub credit: u32,
    /// Deliveries that it has not settled.
    pub unsettled: u32,
    /// It only looks.
    pub browse: bool,
}

/// What holds for one queue, after inheritance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Messages that it may hold; 0 = no limit.
    pub maxmsgs: u64,
    /// Bytes that it may hold; 0 = no limit.
    pub maxbytes: u64,
    /// What happens at those limits.
    pub overflow: OverflowPolicy,
    /// Unsettled deliveries per consumer; 0 = as credit allows.
    pub prefetch: u32,
    /// Only the longest attached consumer receives.
    pub exclusive: bool,
    /// Delivery attempts after which a message is removed; 0 = no limit.
    pub max_redelivery: u16,
    /// Replaces the producer's time to live, in milliseconds; `Some(0)` = never expires.
    pub expiration_ms: Option<u64>,
}

/// How far a store is, and who waits for it.
#[derive(Debug, Default)]
pub(crate) struct StoreProgress {
    is_sync: bool,
    pub(crate) confirmed_lsn: u64,
    pub(crate) waiting: Vec<QueueId>,
}

/// All queues of one shard.
///
/// Calls come in six kinds: set-up ([`Engine::resolve`]), changes of it ([`Engine::redefine`], [`Engine::purge`],
/// [`Engine::delete`], [`Engine::remove_queue`]), backlogs ([`Engine::begin_loading`], [`Engine::recover`],
/// [`Engine::end_loading`], [`Engine::trim`]), messages ([`Engine::admit`],
/// [`Engine::publish`], [`Engine::confirmed`]), consumers ([`Engine::add_consumer`], [`Engine::credit`],
/// [`Engine::drain`], [`Engine::settle`], [`Engine::remove_consumer`]) and time ([`Engine::sweep`]). After any of
/// them call [`Engine::poll_effect`] until it gives `None`, or, when the server has no room for more,
/// [`Engine::poll_decided`].
///
/// An id that the engine did not give, or that was removed, is an error of the caller and panics, but for a
/// [`crate::DeliveryToken`]: settlements may cross with a consumer's end.
#[derive(Debug)]
pub struct Engine {
    pub(crate) catalogue: Catalogue,
    /// By [`QueueId`].
    pub(crate) queues: Vec<Queue>,
    /// Places in `queues` of queues that are gone.
    pub(crate) free: Vec<u32>,
    pub(crate) consumers: Consumers,
    /// By [`StoreId`].
    pub(crate) stores: Vec<StoreProgress>,
    /// Removals and `Drained`; deliveries are made only when polled for.
    pub(crate) effects: VecDeque<Effect>,
    /// Queues with something to do, next first.
    pub(crate) runnable: VecDeque<QueueId>,
    /// Deliveries made in a row from the front queue.
    pub(crate) turn: u32,
    pub(crate) sweep: Cursor,
    /// Queues with `discardOld` that were loaded and may hold more than they are allowed to.
    pub(crate) overfull: VecDeque<QueueId>,
    /// Queues with a purge under way.
    pub(crate) purging: VecDeque<QueueId>,
}

impl Engine {
    /// An engine with the queues that `definitions` name; patterns allow others to be made by [`Engine::resolve`].
    ///
    /// # Panics
    /// A definition has a pattern that [`crate::check_pattern`] refuses.
    pub fn new(definitions: Vec<QueueDefinition>, stores: Stores) -> Self {
        let progress =
            |store: u8| StoreProgress { is_sync: stores.sync.contains(&StoreId(store)), ..Default::default() };
        let mut engine = Self {
            catalogue: Catalogue::new(definitions, &stores),
            queues: Vec::new(),
            consumers: Consumers::new(),
            stores: (0..=u8::MAX).map(progress).collect(),
            effects: VecDeque::new(),
            runnable: VecDeque::new(),
            turn: 0,
            sweep: Cursor::default(),
            overfull: VecDeque::new(),
            purging: VecDeque::new(),
            free: Vec::new(),
        };
        for name in engine.catalogue.static_names() {
            engine.resolve(&name).expect("definitions were checked by check_pattern");
        }
        engine
    }

    /// The queue with that name; makes it if a pattern allows it.
    ///
    /// # Errors
    /// The name is not legal, is itself a pattern, or nothing in queues.conf allows it; or the queue is being deleted.
    pub fn resolve(&mut self, name: &str) -> Result<QueueId, NameError> {
        if let Some(id) = self.catalogue.id_of(name) {
            let is_deleting = self.queue(id).lifetime == Lifetime::Deleting;
            return if is_deleting { Err(NameError::Deleted(name.to_owned())) } else { Ok(id) };
        }
        let properties = self.catalogue.properties(name)?;
        Ok(self.add_queue(name, properties))
    }

    /// The queue of stored messages: as [`Engine::resolve`], but a name that nothing in queues.conf allows any more
    /// gets a queue without limits, so that no stored message is lost to a change of configuration. False: it is such,
    /// and leaves when it is empty ([`Effect::Vacant`]).
    pub fn restore(&mut self, name: &str) -> (QueueId, bool) {
        match self.resolve(name) {
            Ok(id) => (id, true),
            Err(_) => {
                let properties = self.catalogue.unlisted();
                let id = self.add_queue(name, properties);
                self.queues[id.0 as usize].become_lifetime(Lifetime::Leaving);
                self.tell_vacancy(id);
                (id, false)
            }
        }
    }

    pub(crate) fn add_queue(&mut self, name: &str, properties: Properties) -> QueueId {
        let queue = Queue::new(name.to_owned(), properties);
        let index = match self.free.pop() {
            Some(index) => {
                self.queues[index as usize] = queue;
                index
            }
            None => {
                self.queues.push(queue);
                u32::try_from(self.queues.len() - 1).expect("fewer than 2^32 queues")
            }
        };
        self.catalogue.insert(name, QueueId(index));
        QueueId(index)
    }

    /// The queue with that name, if there is one; makes none.
    pub fn find(&self, name: &str) -> Option<QueueId> {
        self.catalogue.id_of(name)
    }

    /// The store that holds the queue's messages.
    pub fn store_of(&self, queue: QueueId) -> StoreId {
        self.queue(queue).store()
    }

    /// The queue's name.
    pub fn name_of(&self, queue: QueueId) -> &str {
        &self.queue(queue).name
    }

    /// A consumer at this moment.
    pub fn consumer(&self, consumer: ConsumerId) -> ConsumerSnapshot {
        let state = self.consumers.all.get(consumer.key()).expect("a consumer is used until it is removed");
        let (queue, credit, unsettled) = (state.queue, state.credit, state.unsettled);
        ConsumerSnapshot { queue, credit, unsettled, browse: state.is_browser() }
    }

    /// Messages in the queue, unsettled ones included.
    pub fn messages(&self, queue: QueueId) -> u64 {
        self.queue(queue).messages
    }

    /// `WhenConfirmed` for a queue in a sync store.
    pub fn visibility(&self, queue: QueueId) -> Visibility {
        let is_sync = self.stores[usize::from(self.store_of(queue).0)].is_sync;
        if is_sync { Visibility::WhenConfirmed } else { Visibility::Now }
    }

    /// When a message that arrives now expires, in wall-clock milliseconds, from its time to live and the queue's
    /// `expiration`, which takes precedence; 0 = never.
    pub fn expires_at_ms(&self, now_ms: u64, queue: QueueId, ttl_ms: Option<u32>) -> u64 {
        match (self.queue(queue).properties.expiration_ms, ttl_ms) {
            (Some(0), _) | (None, None) => 0,
            (Some(expiration_ms), _) => now_ms.saturating_add(expiration_ms),
            (None, Some(ttl_ms)) => now_ms.saturating_add(u64::from(ttl_ms)),
        }
    }

    /// All queues, in order of creation, but that those made since one was removed may stand in its place.
    pub fn queues(&self) -> impl Iterator<Item = QueueSnapshot<'_>> {
        self.queues_from(0)
    }

    /// The same, but for those in the first `count` places.
    pub fn queues_from(&self, count: usize) -> impl Iterator<Item = QueueSnapshot<'_>> {
        let queues = (count..).zip(self.queues.get(count..).unwrap_or_default());
        let existing = queues.filter(|(_, queue)| queue.lifetime != Lifetime::Gone);
        existing.map(|(index, queue)| QueueSnapshot {
            id: QueueId(index as u32),
            name: &queue.name,
            store: queue.store(),
            messages: queue.messages,
            bytes: queue.bytes,
            unsettled: queue.unsettled,
            consumers: queue.consumers.len(),
            browsers: queue.browsers.len(),
            loading: queue.loading > 0,
            is_static: self.catalogue.is_static(&queue.name),
            limits: queue.limits(),
        })
    }

    /// Applies the limits before a publish of `len` bytes. Under `discardOld` the oldest waiting messages leave, each
    /// with an [`Effect::Remove`]; while the queue is being loaded, which of them are the oldest is not known, so that
    /// nothing leaves then and what is too much leaves afterwards ([`Engine::trim`]).
    ///
    /// # Errors
    /// The queue is full and its policy, or the fact that consumers hold what is in it, leaves no room; or it is being
    /// deleted.
    pub fn admit(&mut self, now_ms: u64, queue: QueueId, len: u32) -> Result<(), Refusal> {
        if self.queue(queue).lifetime == Lifetime::Deleting {
            return Err(Refusal::Deleted);
        }
        while let Some(limit) = self.queue(queue).exceeded(len) {
            let state = self.queue(queue);
            if state.discards() && (state.loading > 0 || state.overfull) && !state.is_hopeless(len) {
                return Ok(());
            }
            let (victim, reason) = match state.expired_head(now_ms) {
                Some(expired) => (expired, RemoveReason::Expired),
                None if !state.discards() || state.is_hopeless(len) => return Err(state.refusal(limit)),
                None => (state.oldest().ok_or_else(|| state.refusal(limit))?, RemoveReason::Discarded),
            };
            self.remove_waiting(queue, victim, reason);
        }
        Ok(())
    }

    /// Adds a message, after the store has given it its lsn. LSNs of one queue must not fall.
    pub fn publish(&mut self, queue: QueueId, mut entry: Entry, visibility: Visibility) {
        entry.flags &= !ENGINE_FLAGS;
        let state = &mut self.queues[queue.0 as usize];
        let store = &mut self.stores[usize::from(state.properties.store.0)];
        if visibility == Visibility::WhenConfirmed {
            entry.flags |= WHEN_CONFIRMED;
            state.unconfirmed_lsn = entry.lsn;
            if entry.lsn > store.confirmed_lsn {
                state.push(entry);
                if !state.waiting {
                    state.waiting = true;
                    store.waiting.push(queue);
                }
                return;
            }
        }
        state.push(entry);
        self.wake(queue);
    }

    /// Makes entries of `store` deliverable that wait for confirmation, through `through_lsn`.
    pub fn confirmed(&mut self, store: StoreId, through_lsn: u64) {
        let progress = &mut self.stores[usize::from(store.0)];
        assert!(through_lsn >= progress.confirmed_lsn, "confirmation does not go back");
        progress.confirmed_lsn = through_lsn;
        let mut waiting = core::mem::take(&mut progress.waiting);
        waiting.retain(|queue| {
            self.wake(*queue);
            let state = &mut self.queues[queue.0 as usize];
            state.waiting = state.unconfirmed_lsn > through_lsn;
            state.waiting
        });
        self.stores[usize::from(store.0)].waiting = waiting;
    }

    /// Attaches a consumer, without credit.
    pub fn add_consumer(&mut self, queue: QueueId, spec: ConsumerSpec) -> ConsumerId {
        let window = self.queue(queue).properties.window_max;
        let consumer = ConsumerId::from_key(self.consumers.all.insert(Consumer::new(queue, spec, window)));
        let state = &mut self.queues[queue.0 as usize];
        if spec.browse {
            state.browsers.push(consumer);
        } else {
            state.consumers.push(consumer);
        }
        consumer
    }

    /// Sets what the consumer still asks for (absolute, as AMQP's link-credit).
    pub fn credit(&mut self, consumer: ConsumerId, credit: u32) {
        self.consumer_mut(consumer).credit = credit;
        self.enlist(consumer);
    }

    /// Sets the credit, delivers what there is, then says [`Effect::Drained`] and drops the rest of the credit.
    pub fn drain(&mut self, consumer: ConsumerId, credit: u32) {
        let state = self.consumer_mut(consumer);
        state.credit = credit;
        let queue = state.queue;
        if !core::mem::replace(&mut state.draining, true) {
            self.queues[queue.0 as usize].draining += 1;
        }
        self.enlist(consumer);
        self.wake(queue);
    }

    pub(crate) fn queue(&self, queue: QueueId) -> &Queue {
        &self.queues[queue.0 as usize]
    }

    pub(crate) fn consumer_mut(&mut self, consumer: ConsumerId) -> &mut Consumer {
        self.consumers.all.get_mut(consumer.key()).expect("a consumer is used until it is removed")
    }

    /// Gives the queue a turn, if anybody could take from it.
    pub(crate) fn wake(&mut self, queue: QueueId) {
        let state = &mut self.queues[queue.0 as usize];
        if !state.runnable && state.has_takers() {
            state.runnable = true;
            self.runnable.push_back(queue);
        }
    }

    /// Puts a consumer into its queue's round, if it can take.
    pub(crate) fn enlist(&mut self, consumer: ConsumerId) {
        let state = self.consumers.all.get_mut(consumer.key()).expect("a consumer is used until it is removed");
        let queue = &mut self.queues[state.queue.0 as usize];
        if state.can_take() {
            if !state.is_browser() && !state.listed && queue.is_entitled(consumer) {
                state.listed = true;
                queue.round.push_back(consumer);
            }
            let queue = state.queue;
            self.wake(queue);
        }
    }
}
