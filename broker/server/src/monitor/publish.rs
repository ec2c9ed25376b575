//! Copies the shard's figures for other threads, a few times a second.
//!
//! Owns when that is done and how much of it at a time. Runs at the end of a turn, on the shard's thread.

use super::snapshot::{Destination, Following, Latest, Snapshot};
use crate::broker::Broker;
use crate::budget::ENTRY_BYTES;
use crate::exchange::Exchange;
use crate::ha::State;
use engine::QueueSnapshot;
use reactor::Nanos;
use std::sync::Arc;
use std::time::Instant;
use store::Tail;

/// How often, at most; a change of state is published at once.
const INTERVAL: Nanos = 100_000_000;

/// Queues that are listed by name, those that were made first; also how many of the others are added up at a time. Turns
/// of an idle server with 5,000 queues, copies included, stayed below 0.25 ms.
const QUEUES_MAX: usize = 1000;

/// How the sum of the queues that are not listed is called: no queue can have that name.
pub(crate) const OTHERS: &str = ">";

/// The shard's side of the monitor.
#[derive(Debug)]
pub(crate) struct Publisher {
    latest: Latest,
    next_at: Nanos,
    told: Option<State>,
    others: Others,
    /// Epoch and bytes of the journal that a standby follows, and when they last changed.
    tail_place: (u64, u64),
    tail_changed_at: Nanos,
}

impl Publisher {
    /// Publishes to `latest`.
    pub(crate) fn new(latest: Latest) -> Publisher {
        let others = Others::default();
        Publisher { latest, next_at: 0, told: None, others, tail_place: (0, 0), tail_changed_at: 0 }
    }

    fn is_due(&self, now: Nanos, state: State) -> bool {
        now >= self.next_at || self.told != Some(state)
    }

    fn following(&mut self, now: Nanos, tail: &Tail) -> Following {
        let place = (tail.epoch, tail.bytes);
        if std::mem::replace(&mut self.tail_place, place) != place {
            self.tail_changed_at = now;
        }
        Following {
            epoch: tail.epoch,
            bytes: tail.bytes,
            messages: tail.messages,
            behind: now.saturating_sub(tail.read_at),
            unchanged: now.saturating_sub(self.tail_changed_at),
        }
    }
}

/// The sum of the queues that are not listed: a part of them each time, the result once all were looked at.
#[derive(Debug, Default)]
struct Others {
    /// How many of them are in `sum`.
    passed: usize,
    sum: Destination,
    result: Option<Destination>,
}

impl Others {
    fn advance(&mut self, exchange: &Exchange) {
        let mut looked_at = 0;
        for queue in exchange.engine.queues_from(QUEUES_MAX + self.passed).take(QUEUES_MAX) {
            looked_at += 1;
            let one = destination(exchange, &queue, String::new());
            let sum = std::mem::take(&mut self.sum);
            self.sum = Destination {
                name: sum.name,
                store: sum.store,
                messages: sum.messages + one.messages,
                bytes: sum.bytes + one.bytes,
                unsettled: sum.unsettled + one.unsettled,
                consumers: sum.consumers + one.consumers,
                flow: sum.flow.plus(one.flow),
            };
        }
        self.passed += looked_at;
        if looked_at < QUEUES_MAX {
            let sum = std::mem::take(&mut self.sum);
            self.result = (self.passed > 0).then(|| Destination { name: OTHERS.to_string(), ..sum });
            self.passed = 0;
        }
    }
}

fn destination(exchange: &Exchange, queue: &QueueSnapshot<'_>, store: String) -> Destination {
    Destination {
        name: if store.is_empty() { String::new() } else { queue.name.to_string() },
        store,
        messages: queue.messages,
        bytes: queue.bytes,
        unsettled: queue.unsettled,
        consumers: queue.consumers as u64,
        flow: exchange.flows.of(queue.id),
    }
}

impl Broker {
    /// Lets `publisher` have the figures from now on.
    pub(crate) fn publish_to(&mut self, publisher: Publisher) {
        self.publisher = Some(publisher);
    }

    /// Publishes the figures if it is time.
    pub(crate) fn publish(&mut self, now: Nanos) {
        let state = self.ha.state();
        let Some(mut publisher) = self.publisher.take_if(|publisher| publisher.is_due(now, state)) else { return };
        publisher.others.advance(&self.exchange);
        let snapshot = self.snapshot(&mut publisher, now, state);
        // Otherwise a reader takes the one before at this moment: the next turn tries again.
        if publisher.latest.try_put(Arc::new(snapshot)) {
            publisher.next_at = now + INTERVAL;
            publisher.told = Some(state);
        }
        self.publisher = Some(publisher);
    }

    fn snapshot(&self, publisher: &mut Publisher, now: Nanos, state: State) -> Snapshot {
        let (exchange, counters) = (&self.exchange, &self.counters);
        let used = exchange.used();
        let mut destinations = self.listed();
        let queues = destinations.len() as u64;
        destinations.extend(publisher.others.result.clone());
        let names = std::iter::once(&self.configuration.meta).chain(&self.configuration.stores);
        let names = names.map(|store| store.name.clone());
        Snapshot {
            taken: Instant::now(),
            server: self.configuration.server.clone(),
            state,
            epoch: self.ha.epoch(),
            destinations,
            queues,
            stores: names.zip(exchange.store.statistics().cloned()).collect(),
            following: exchange.store.tail().map(|tail| publisher.following(now, &tail)),
            connections: self.connections.len() as u64,
            connections_max: u64::from(self.configuration.connections_max),
            accepted: counters.accepted,
            peer_links: self.peer_links.len() as u64,
            message_memory: used.bytes,
            volatile_memory: used.volatile_bytes,
            message_memory_max: exchange.budget.bytes_max,
            entry_memory: used.entries * ENTRY_BYTES,
            turns: counters.turns.clone(),
            link_beats: counters.link_beats.clone(),
            store_beats: counters.store_beats.clone(),
            arrivals: counters.arrivals.clone(),
            takeover: counters.takeover,
            backlog: exchange.loading.recovered,
            backlog_loaded: exchange.loading.loaded,
        }
    }

    fn listed(&self) -> Vec<Destination> {
        let stores = &self.configuration.stores;
        let queues = self.exchange.engine.queues_from(0).take(QUEUES_MAX);
        queues
            .map(|queue| destination(&self.exchange, &queue, stores[usize::from(queue.store.0)].name.clone()))
            .collect()
    }
}
