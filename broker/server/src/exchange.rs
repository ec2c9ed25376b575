//! Where queues and journal meet: a message on its way in, and its removal.
//!
//! Owns engine, store, the bodies of non-persistent messages, the numbers of destinations in each store, and the answers that wait for
//! the store. Knows connections by name only, and sends nothing.

use crate::budget::{Budget, Used};
use crate::confirms::Confirms;
use crate::connection::{Producer, ReceivedDelivery, SentDelivery};
use crate::connections::ConnectionId;
use crate::loading::{Loading, TURN_DISCARDS, TURN_MESSAGES};
use crate::monitor::Flows;
use crate::temporary::is_temporary;
use crate::volatile::{self, VolatileBodies};
use amqp::condition;
use bytes::Bytes;
use engine::{DeliveryToken, Engine, Entry, Place, QueueId, Settle, StoreId, Visibility};
use reactor::Nanos;
use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use store::{Backlog, Body, Location, Memory, MessageKey, Recovered, RecoveredDestination, RecoveredMessage, Store};

/// Entry flag of the server: the message is persistent.
const DURABLE: u8 = 0x10;
/// The bits of an entry's flags that hold the index of the store that the message lies in: after a change of
/// queues.conf that is not the store of its queue.
const STORE_SHIFT: u32 = 5;

/// Stores beyond this many have no room in an entry's flags.
pub(crate) const STORES_MAX: usize = 1 << (8 - STORE_SHIFT);

/// Whether a message's answer can go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Published {
    /// Now.
    Confirmed,
    /// When its record is confirmable.
    Waiting {
        /// Log sequence number of that record.
        lsn: u64,
    },
    /// Not taken in: the store is behind. Try again when it says that it has room.
    Throttled,
}

/// A settlement that the engine has not turned into a removal yet.
#[derive(Debug)]
struct Settling {
    token: DeliveryToken,
    answer: Option<(ConnectionId, SentDelivery)>,
}

/// Engine and store, joined.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) engine: Engine,
    pub(crate) store: Store,
    volatile: VolatileBodies,
    memory: Memory,
    pub(crate) budget: Budget,
    /// What went through each queue.
    pub(crate) flows: Flows,
    /// Messages in all queues.
    entries: u64,
    /// By store: which stores confirm only what is durable.
    sync: Vec<bool>,
    destinations: Vec<HashMap<QueueId, u32>>,
    destinations_next: Vec<u32>,
    /// By store: the numbers of destinations without a queue, by name, for the next queue of that name.
    retired: Vec<HashMap<String, u32>>,
    /// By store: the numbers of temporary queues that are gone, for any other, once the removals through that record are
    /// confirmable.
    spare: Vec<VecDeque<(u64, u32)>>,
    /// By store: the record of the last removal.
    removed_last: Vec<u64>,
    lsn_last: Vec<u64>,
    /// Publishers that wait for their confirmation.
    pub(crate) publishes: Confirms<(ConnectionId, ReceivedDelivery)>,
    /// Consumers that wait for the answer to their outcome.
    pub(crate) removals: Confirms<(ConnectionId, SentDelivery)>,
    settling: VecDeque<Settling>,
    /// What recovery found and the queues do not hold yet.
    pub(crate) loading: Loading,
}

impl Exchange {
    /// `sync` tells for each store whether it confirms only what is durable.
    pub(crate) fn new(engine: Engine, store: Store, sync: Vec<bool>, budget: Budget) -> Self {
        let stores = sync.len();
        assert!(stores <= STORES_MAX, "an entry has no room for {stores} stores");
        Exchange {
            engine,
            volatile: VolatileBodies::new(store.memory()),
            memory: store.memory(),
            store,
            budget,
            flows: Flows::default(),
            entries: 0,
            sync,
            destinations: vec![HashMap::new(); stores],
            destinations_next: vec![0; stores],
            retired: vec![HashMap::new(); stores],
            spare: vec![VecDeque::new(); stores],
            removed_last: vec![0; stores],
            lsn_last: vec![0; stores],
            publishes: Confirms::new(stores),
            removals: Confirms::new(stores),
            settling: VecDeque::new(),
            loading: Loading::default(),
        }
    }

    /// A producer for the queue `name`.
    pub(crate) fn producer(&mut self, name: &str) -> Result<Producer, amqp::Error> {
        let queue = self.queue(name)?;
        let store = self.engine.store_of(queue).0;
        // Most temporary queues never see a persistent message.
        let destination = if is_temporary(name) { None } else { Some(self.destination(queue, store)?) };
        Ok(Producer { queue, store, destination, unanswered: 0, answered: 0 })
    }

    /// The queue `name`, made if queues.conf allows it; temporary ones are not made here.
    pub(crate) fn queue(&mut self, name: &str) -> Result<QueueId, amqp::Error> {
        if is_temporary(name) {
            let gone =
                || amqp::Error::new(condition::NOT_FOUND, format!("there is no temporary queue '{name}' any more"));
            return self.engine.find(name).ok_or_else(gone);
        }
        self.engine.resolve(name).map_err(|cause| amqp::Error::new(condition::NOT_FOUND, cause.to_string()))
    }

    /// A queue that nothing allows any more goes, unless something came to it meanwhile. Its producers are gone.
    pub(crate) fn remove_queue(&mut self, queue: QueueId) -> Option<String> {
        let name = self.engine.remove_queue(queue)?;
        for index in 0..self.destinations.len() {
            let Some(id) = self.destinations[index].remove(&queue) else { continue };
            if is_temporary(&name) {
                self.spare[index].push_back((self.removed_last[index], id));
            } else {
                self.retired[index].insert(name.clone(), id);
            }
        }
        Some(name)
    }

    /// Points a producer to where its queue's messages go now, after a change of definitions.
    pub(crate) fn redirect(&mut self, producer: &mut Producer) -> Result<(), amqp::Error> {
        let store = self.engine.store_of(producer.queue).0;
        if store != producer.store {
            producer.destination = Some(self.destination(producer.queue, store)?);
            producer.store = store;
        }
        Ok(())
    }

    fn destination(&mut self, queue: QueueId, store: u8) -> Result<u32, amqp::Error> {
        let index = usize::from(store);
        if let Some(id) = self.destinations[index].get(&queue) {
            return Ok(*id);
        }
        if let Some(id) = self.retired[index].remove(self.engine.name_of(queue)) {
            self.destinations[index].insert(queue, id);
            return Ok(id);
        }
        let name = self.engine.name_of(queue);
        let is_free = |(removed, _): &(u64, u32)| *removed <= self.store.confirmable(store);
        if is_temporary(name)
            && let Some((_, id)) = self.spare[index].front().copied().filter(is_free)
        {
            self.store
                .rename_destination(store, id, name)
                .map_err(|cause| amqp::Error::new(condition::RESOURCE_LIMIT_EXCEEDED, cause.to_string()))?;
            self.spare[index].pop_front();
            self.destinations[index].insert(queue, id);
            return Ok(id);
        }
        let id = self.destinations_next[index];
        self.store
            .define_destination(store, id, self.engine.name_of(queue))
            .map_err(|cause| amqp::Error::new(condition::RESOURCE_LIMIT_EXCEEDED, cause.to_string()))?;
        self.destinations_next[index] += 1;
        self.destinations[index].insert(queue, id);
        Ok(id)
    }

    /// Takes in one message; `payload` is the encoded message. The error is the reason to reject it with.
    pub(crate) fn publish(
        &mut self,
        (now, now_ms): (Nanos, u64),
        producer: &Producer,
        payload: &[u8],
    ) -> Result<Published, amqp::Error> {
        let sections = amqp::message::scan(payload)?;
        let header = sections.header;
        let body = &payload[sections.bare_offset..];
        self.engine
            .admit(now_ms, producer.queue, body.len() as u32)
            .map_err(|cause| amqp::Error::new(condition::RESOURCE_LIMIT_EXCEEDED, cause.to_string()))?;
        self.budget
            .admit(self.used(), body.len() as u64, header.durable)
            .map_err(|cause| amqp::Error::new(condition::RESOURCE_LIMIT_EXCEEDED, cause.to_string()))?;
        let index = usize::from(producer.store);
        let mut entry = Entry {
            expires_at_ms: self.engine.expires_at_ms(now_ms, producer.queue, header.ttl_ms),
            priority: header.priority,
            flags: producer.store << STORE_SHIFT,
            ..Entry::default()
        };
        if !header.durable {
            entry.lsn = self.lsn_last[index];
            entry.place = self.volatile.insert(Bytes::copy_from_slice(body));
            self.entries += 1;
            self.engine.publish(producer.queue, entry, Visibility::Now);
            self.flows.received(producer.queue, body.len() as u64);
            return Ok(Published::Confirmed);
        }
        let key = MessageKey { expires_at_ms: entry.expires_at_ms, priority: entry.priority, flags: 0 };
        let destinations = [match producer.destination {
            Some(destination) => destination,
            None => self.destination(producer.queue, producer.store)?,
        }];
        self.memory.next_is_surplus(self.engine.messages(producer.queue) >= self.budget.swapout);
        let appended = match self.store.publish(now, producer.store, &destinations, key, &[body]) {
            Ok(appended) => appended,
            Err(store::Refused::Throttled) => return Ok(Published::Throttled),
            Err(cause) => return Err(amqp::Error::new(condition::RESOURCE_LIMIT_EXCEEDED, cause.to_string())),
        };
        self.entries += 1;
        self.lsn_last[index] = appended.lsn;
        entry.lsn = appended.lsn;
        entry.place = place(appended.location);
        entry.flags |= DURABLE;
        self.flows.received(producer.queue, body.len() as u64);
        let sync = self.sync[index];
        self.engine.publish(producer.queue, entry, if sync { Visibility::WhenConfirmed } else { Visibility::Now });
        Ok(if sync { Published::Waiting { lsn: appended.lsn } } else { Published::Confirmed })
    }

    /// A consumer's outcome. `answer` names who waits for ours; true: it can be given at once.
    pub(crate) fn settle(
        &mut self,
        token: DeliveryToken,
        outcome: Settle,
        answer: Option<(ConnectionId, SentDelivery)>,
    ) -> bool {
        // Settled before: a repeated disposition has nothing left to wait for.
        let known = self.engine.settle(token, outcome).is_ok();
        let removes = known && matches!(outcome, Settle::Accept | Settle::Reject);
        if removes {
            self.settling.push_back(Settling { token, answer });
        }
        !removes
    }

    /// Records that a message left its queue. Returns whom to answer at once, if anybody.
    pub(crate) fn remove(
        &mut self,
        now: Nanos,
        entry: Entry,
        token: Option<DeliveryToken>,
    ) -> Option<(ConnectionId, SentDelivery)> {
        let answer = token.and_then(|token| self.settlement(token));
        self.entries -= 1;
        if entry.place.segment == volatile::SEGMENT {
            self.volatile.remove(entry.place);
            return answer;
        }
        let store = store_of(&entry);
        match self.store.acknowledge(now, store, entry.lsn, location(entry.place), answer.is_some()) {
            Ok(lsn) => {
                self.removed_last[usize::from(store)] = lsn;
                if let Some(answer) = answer {
                    self.removals.push(usize::from(store), lsn, answer);
                }
            }
            // The store is not ours any more: the next owner hands the message out again, and this answer is never given.
            Err(store::Refused::NotServing) => {}
            Err(cause) => unreachable!("an acknowledgement always has room: {cause}"),
        }
        None
    }

    fn settlement(&mut self, token: DeliveryToken) -> Option<(ConnectionId, SentDelivery)> {
        let settling = self.settling.pop_front().expect("a removal without its settlement");
        assert_eq!(settling.token, token, "removals come in the order of their settlements");
        settling.answer
    }

    /// The body of a message, or `None` while it is read back ([`store::Event::Body`] tells).
    pub(crate) fn body(&mut self, entry: &Entry) -> Option<Cow<'_, Bytes>> {
        if entry.place.segment == volatile::SEGMENT {
            return Some(Cow::Borrowed(self.volatile.get(entry.place)));
        }
        match self.store.body(store_of(entry), location(entry.place)) {
            Body::Ready(body) => Some(Cow::Owned(body)),
            Body::Pending => None,
        }
    }

    /// Makes the queues that the store found. Their messages follow by [`Exchange::load`]. Returns remarks for the operator.
    pub(crate) fn recover(&mut self, now: Nanos, recovered: &Recovered) -> Vec<String> {
        let mut remarks = Vec::new();
        self.loading.begin(now, self.sync.len(), recovered.messages);
        for RecoveredDestination { store, id, name, has_backlog } in &recovered.destinations {
            let index = usize::from(*store);
            self.destinations_next[index] = self.destinations_next[index].max(id + 1);
            if !has_backlog && is_temporary(name) {
                self.spare[index].push_back((0, *id));
                continue;
            }
            // An empty queue comes back when somebody asks for it.
            if !has_backlog && self.engine.find(name).is_none() {
                self.retired[index].insert(name.clone(), *id);
                continue;
            }
            let temporary = is_temporary(name).then(|| self.engine.temporary(name).ok()).flatten();
            let (queue, known) = temporary.map_or_else(|| self.engine.restore(name), |queue| (queue, true));
            if !known {
                remarks.push(format!(
                    "Queue '{name}' holds stored messages, but no line of queues.conf allows it: kept until it is empty"
                ));
            }
            if *has_backlog {
                self.engine.begin_loading(queue);
            }
            self.loading.expect(*store, *id, queue, *has_backlog);
            self.destinations[index].insert(queue, *id);
        }
        for (store, last) in self.lsn_last.iter_mut().enumerate() {
            // All that was recovered lies below.
            *last = self.store.confirmable(store as u8);
        }
        remarks
    }

    /// Fills the queues with some of what the stores found: as much as one turn of the loop allows. True: there is more to
    /// do at once.
    pub(crate) fn load(&mut self) -> bool {
        let mut budget = TURN_MESSAGES;
        // A part may be empty: so a turn also has an end in parts.
        for _ in 0..=self.sync.len() {
            let Some(store) = self.loading.next_store().filter(|_| budget > 0) else { break };
            match self.store.backlog(store, budget) {
                Backlog::Part { messages, finished } => {
                    budget = budget.saturating_sub(messages.len());
                    self.take_over(&messages);
                    for destination in finished {
                        if let Some(queue) = self.loading.finish(store, destination) {
                            self.engine.end_loading(queue);
                        }
                    }
                }
                Backlog::Pending => self.loading.reading(store),
                Backlog::Complete => {
                    for queue in self.loading.complete(store) {
                        self.engine.end_loading(queue);
                    }
                }
            }
        }
        self.engine.trim(TURN_DISCARDS) || self.loading.is_ready()
    }

    fn take_over(&mut self, messages: &[RecoveredMessage]) {
        for message in messages {
            let queue = self.loading.queue(message.store, message.destination);
            let entry = Entry {
                lsn: message.lsn,
                expires_at_ms: message.key.expires_at_ms,
                place: place(message.location),
                priority: message.key.priority,
                flags: DURABLE | message.store << STORE_SHIFT,
                delivery_count: 0,
            };
            self.engine.recover(queue, entry);
        }
        self.loading.loaded += messages.len() as u64;
        self.entries += messages.len() as u64;
    }

    /// What became durable and checked.
    pub(crate) fn confirmable(&mut self, store: u8, through: u64) {
        self.engine.confirmed(StoreId(store), through);
    }

    /// Whether all the stores in the bit set `stores` take further records.
    pub(crate) fn has_room(&self, stores: u32) -> bool {
        (0..self.sync.len()).all(|store| stores & 1 << store == 0 || !self.store.is_throttled(store as u8))
    }

    /// Another `max_msg_memory`; 0 = no limit. What is above it leaves memory as room is needed.
    pub(crate) fn limit_memory(&mut self, bytes_max: u64) {
        self.budget.bytes_max = bytes_max;
        self.memory.limit((bytes_max > 0).then(|| usize::try_from(bytes_max).unwrap_or(usize::MAX)));
    }

    /// What messages take of memory.
    pub(crate) fn used(&self) -> Used {
        let (bytes, volatile_bytes) = (self.memory.used() as u64, self.volatile.bytes());
        Used { entries: self.entries, bytes, volatile_bytes }
    }
}

/// The store that an entry's body lies in.
pub(crate) fn store_of(entry: &Entry) -> u8 {
    entry.flags >> STORE_SHIFT
}

/// Whether the message is persistent.
pub(crate) fn is_durable(entry: &Entry) -> bool {
    entry.flags & DURABLE != 0
}

/// Names a body that is read back: its store and where it lies.
pub(crate) fn body_key(entry: &Entry) -> (u8, Location) {
    (store_of(entry), location(entry.place))
}

fn place(location: Location) -> Place {
    Place { segment: location.segment, offset: location.offset, len: location.len }
}

fn location(place: Place) -> Location {
    Location { segment: place.segment, offset: place.offset, len: place.len }
}
