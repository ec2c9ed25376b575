//! What consumers get: effects of the engine become transfers.
//!
//! Owns the order of deliveries on a link while bodies are read back, and the holding back of deliveries while a peer does
//! not read. What peers say is in `inbound`.

use crate::broker::Broker;
use crate::connection::{Connection, Consumer, OUTPUT_HIGH_BYTES, PendingDelivery};
use crate::connections::ConnectionId;
use crate::exchange::{self, Exchange};
use crate::inbound::outcome_of;
use amqp::message::Header;
use amqp::{Delivery, LinkId, SendError};
use bytes::Bytes;
use engine::{ConsumerId, Effect, RemoveReason, Settle};
use reactor::Nanos;
use std::borrow::Cow;
use store::Location;

/// Consumers that wait for a body: its store and place, then connection and link.
pub(crate) type Reading = std::collections::HashMap<(u8, Location), Vec<(ConnectionId, LinkId)>>;

/// Messages of a run, and bytes: what a connection may get beyond [`OUTPUT_HIGH_BYTES`].
const RUN_MESSAGES_MAX: usize = 64;
const RUN_BYTES_MAX: usize = 64 << 10;

/// Deliveries in a row to one consumer: its link is looked up, and asked what it takes, once for all of them.
#[derive(Debug, Default)]
pub(crate) struct Run {
    consumer: Option<ConsumerId>,
    deliveries: Vec<PendingDelivery>,
    bytes: usize,
}

impl Run {
    /// Whether a delivery to `consumer` may follow those that it has.
    fn takes(&self, consumer: ConsumerId) -> bool {
        let is_short = self.deliveries.len() < RUN_MESSAGES_MAX && self.bytes < RUN_BYTES_MAX;
        self.consumer.is_none() || self.consumer == Some(consumer) && is_short
    }

    fn push(&mut self, consumer: ConsumerId, delivery: PendingDelivery) {
        self.consumer = Some(consumer);
        self.bytes += delivery.entry.place.len as usize;
        self.deliveries.push(delivery);
    }
}

/// Output below which a connection that was held back gets deliveries again.
const OUTPUT_LOW_BYTES: usize = OUTPUT_HIGH_BYTES / 4;

impl Broker {
    /// Carries out what the engine decided, and lets it hand out as many messages as the turn has left. Returns whether
    /// there was anything.
    pub(crate) fn apply_effects(&mut self, now: Nanos) -> bool {
        let now_ms = self.clock.wall_ms(now);
        let mut any = false;
        let mut run = std::mem::take(&mut self.run);
        while let Some(effect) = self.next_effect(now_ms, &mut run) {
            any = true;
            match effect {
                Effect::Deliver { consumer, token, queue, entry, .. } => {
                    self.budget.spend_delivery(|| self.reactor.now());
                    self.exchange.flows.delivered(queue, u64::from(entry.place.len));
                    if !run.takes(consumer) {
                        self.deliver(now_ms, &mut run);
                    }
                    run.push(consumer, PendingDelivery { token, entry, body: None });
                }
                Effect::Remove { queue, entry, reason, .. } => {
                    if matches!(reason, RemoveReason::Accepted { .. }) {
                        self.exchange.flows.acknowledged(queue);
                    }
                    let token = match reason {
                        RemoveReason::Accepted { token } | RemoveReason::Rejected { token } => Some(token),
                        RemoveReason::Expired
                        | RemoveReason::Discarded
                        | RemoveReason::MaxRedelivery
                        | RemoveReason::Purged => None,
                    };
                    if let Some((id, sent)) = self.exchange.remove(now, entry, token)
                        && let Some(connection) = self.connections.touch(id)
                    {
                        connection.protocol.settle_sent(sent.session, sent.delivery_id, outcome_of(sent));
                    }
                }
                Effect::Drained { consumer, unused } => {
                    self.deliver(now_ms, &mut run);
                    self.drained(now, consumer, unused);
                }
                Effect::Vacant { queue } => self.let_go(queue),
            }
        }
        self.run = run;
        any
    }

    /// What the engine decided next; what deliveries bring about comes once there is nothing else.
    fn next_effect(&mut self, now_ms: u64, run: &mut Run) -> Option<Effect> {
        loop {
            let effect = match self.budget.deliveries {
                0 => self.exchange.engine.poll_decided(),
                _ if self.is_unsure => self.exchange.engine.poll_decided(),
                _ => self.exchange.engine.poll_effect(now_ms),
            };
            if effect.is_some() || run.deliveries.is_empty() {
                return effect;
            }
            self.deliver(now_ms, run);
        }
    }

    /// Hands a run to its consumer's link, and leaves it empty.
    fn deliver(&mut self, now_ms: u64, run: &mut Run) {
        let Some(consumer) = run.consumer.take() else { return };
        run.bytes = 0;
        let Some((id, link)) = self.consumers.get(&consumer).copied() else {
            for delivery in run.deliveries.drain(..) {
                self.exchange.settle(delivery.token, Settle::Release, None);
            }
            return;
        };
        let connection = self.connections.touch(id).expect("a consumer's connection is there");
        let pending = &mut connection.consumers.get_mut(&link).expect("a consumer's link is there").pending;
        pending.extend(run.deliveries.drain(..));
        pump(&mut self.exchange, &mut self.reading, now_ms, (id, link), connection);
    }

    /// A body was read back, or could not be.
    pub(crate) fn body_arrived(&mut self, now: Nanos, key: (u8, Location), body: Result<Bytes, store::StoreError>) {
        let waiting = self.reading.remove(&key).unwrap_or_default();
        let now_ms = self.clock.wall_ms(now);
        for (id, link) in waiting {
            let Some(connection) = self.connections.touch(id) else { continue };
            let Some(consumer) = connection.consumers.get_mut(&link) else { continue };
            match &body {
                Ok(body) => {
                    for pending in &mut consumer.pending {
                        if exchange::body_key(&pending.entry) == key {
                            pending.body = Some(body.clone());
                        }
                    }
                }
                Err(error) => {
                    self.log.line(format!("A message cannot be read back and is not delivered: {error}"));
                    consumer.pending.retain(|pending| exchange::body_key(&pending.entry) != key);
                }
            }
            pump(&mut self.exchange, &mut self.reading, now_ms, (id, link), connection);
        }
    }

    /// A receiver's credit changed. Messages that wait for it beyond the new credit go back to their queue, for others.
    pub(crate) fn flow(&mut self, connection: &mut Connection, link: LinkId, credit: u32, drain: bool) {
        let congested = connection.congested;
        let granted = connection.protocol.credit_granted(link) as usize;
        if let Some(consumer) = connection.consumers.get_mut(&link) {
            consumer.draining = drain;
            consumer.drained = None;
            while consumer.pending.len() > granted
                && let Some(pending) = consumer.pending.pop_back()
            {
                self.exchange.settle(pending.token, Settle::Release, None);
            }
            if !congested {
                set_credit(&mut self.exchange, consumer, credit);
            }
        }
    }

    fn drained(&mut self, now: Nanos, consumer: ConsumerId, unused: u32) {
        let Some((id, link)) = self.consumers.get(&consumer).copied() else { return };
        let Some(connection) = self.connections.touch(id) else { return };
        let Some(consumer) = connection.consumers.get_mut(&link) else { return };
        consumer.drained = Some(unused);
        let now_ms = self.clock.wall_ms(now);
        pump(&mut self.exchange, &mut self.reading, now_ms, (id, link), connection);
    }

    /// Gives a connection that was held back its deliveries again, once the peer has read enough. False: it is still held back.
    ///
    /// It is looked at again in this turn only if it got something to send: what else holds it back, such as outcomes that
    /// wait for the disk, ends with an event of a later turn, which looks at it.
    pub(crate) fn relieve(&mut self, now: Nanos, id: ConnectionId) -> bool {
        let Some(connection) = self.connections.get_mut(id) else { return false };
        let output_before = connection.protocol.output_bytes();
        if !connection.congested || output_before > OUTPUT_LOW_BYTES {
            return false;
        }
        connection.congested = false;
        let now_ms = self.clock.wall_ms(now);
        let links: Vec<LinkId> = connection.consumers.keys().copied().collect();
        for link in links {
            pump(&mut self.exchange, &mut self.reading, now_ms, (id, link), connection);
            let credit = connection.protocol.link_credit(link);
            if !connection.congested
                && let Some(consumer) = connection.consumers.get_mut(&link)
            {
                set_credit(&mut self.exchange, consumer, credit);
            }
        }
        let is_relieved = !connection.congested;
        if connection.protocol.output_bytes() > output_before {
            self.connections.touch(id);
        }
        is_relieved
    }
}

fn set_credit(exchange: &mut Exchange, consumer: &Consumer, credit: u32) {
    let credit = credit.saturating_sub(consumer.pending.len() as u32);
    if consumer.draining {
        exchange.engine.drain(consumer.id, credit);
    } else {
        exchange.engine.credit(consumer.id, credit);
    }
}

/// Sends what waits on a link, in order, as far as bodies are there and the connection takes more.
fn pump(
    exchange: &mut Exchange,
    reading: &mut Reading,
    now_ms: u64,
    (id, link): (ConnectionId, LinkId),
    connection: &mut Connection,
) {
    let Connection { protocol, consumers, congested, .. } = connection;
    let Some(consumer) = consumers.get_mut(&link) else { return };
    while !*congested && let Some(pending) = consumer.pending.front() {
        let (token, settled) = (pending.token, consumer.settled);
        let read = pending.body.as_ref().map(Cow::Borrowed);
        let Some(body) = read.or_else(|| exchange.body(&pending.entry)) else {
            let waiting = reading.entry(exchange::body_key(&pending.entry)).or_default();
            if !waiting.contains(&(id, link)) {
                waiting.push((id, link));
            }
            return;
        };
        let head = consumer.head.encode(header(now_ms, pending));
        let tag = &token.0.to_be_bytes();
        let delivery = Delivery { token: token.0, tag, settled, format: 0, state: None, head, body: &body };
        let sent = protocol.send(link, delivery);
        drop(body);
        match sent {
            Ok(_) if settled => {
                exchange.settle(token, Settle::Accept, None);
            }
            Ok(_) => {}
            Err(SendError::MessageTooLarge | SendError::TagTooLong | SendError::NotSender) => {
                exchange.settle(token, Settle::Modify { failed: false, undeliverable_here: true }, None);
            }
            // The link is on its way out: what waits goes back to its queue when that is reported.
            Err(SendError::NotAttached) => return,
            Err(SendError::NoCredit | SendError::TooManyUnsettled | SendError::OutputFull) => {
                *congested = true;
                break;
            }
        }
        consumer.pending.pop_front();
        *congested = protocol.output_bytes() >= OUTPUT_HIGH_BYTES;
    }
    if *congested {
        consumers.values().for_each(|consumer| exchange.engine.credit(consumer.id, 0));
    } else if consumer.pending.is_empty()
        && let Some(unused) = consumer.drained.take()
    {
        answer_drain(exchange, protocol, consumer, link, unused);
    }
}

/// Everything was sent before the drain of a queue ended, `unused` being left of the credit that the queue was told of.
fn answer_drain(
    exchange: &mut Exchange,
    protocol: &mut amqp::Connection,
    consumer: &mut Consumer,
    link: LinkId,
    unused: u32,
) {
    if unused == 0 && protocol.is_blocked(link) {
        // The queue was told of no more credit than the session's window took. When that opens, the drain is reported anew.
        return;
    }
    let credit = protocol.link_credit(link);
    if unused == 0 && credit > 0 {
        set_credit(exchange, consumer, credit);
        return;
    }
    consumer.draining = false;
    protocol.drained(link);
}

fn header(now_ms: u64, pending: &PendingDelivery) -> Header {
    let entry = &pending.entry;
    let ttl_ms = (entry.expires_at_ms > 0)
        .then(|| u32::try_from(entry.expires_at_ms.saturating_sub(now_ms)).unwrap_or(u32::MAX));
    let repeated = entry.may_have_been_delivered();
    Header {
        durable: exchange::is_durable(entry),
        priority: entry.priority,
        ttl_ms,
        first_acquirer: !repeated,
        delivery_count: u32::from(entry.delivery_count),
    }
}
