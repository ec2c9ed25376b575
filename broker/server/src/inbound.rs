//! What peers say: frames become commands of exchange, availability machine and administration.
//!
//! Owns the dispatch of protocol events and the attaching of links. What goes out to consumers is in `outbound`.

use crate::broker::Broker;
use crate::config::Permission;
use crate::connection::{Connection, Consumer, Deferred, Producer, ReceivedDelivery, SentDelivery};
use crate::connections::ConnectionId;
use crate::exchange::Published;
use crate::stage::Stage;
use crate::temporary;
use crate::tls::{Heard, PeerCertificate, Trouble};
use amqp::{Attach, Event, LinkId, Outcome, Role, SaslCode, SenderSettleMode, SessionId, condition};
use bytes::Bytes;
use engine::{ConsumerSpec, DeliveryToken, Settle};
use reactor::Nanos;

/// Messages that a producer may have under way to us and unanswered. With group commit the window sets the batch: a
/// smaller one makes more and smaller writes.
const PRODUCER_WINDOW: u32 = 2048;
/// What a step of a TLS handshake takes of a turn, as received bytes: so a turn takes two steps. A whole handshake took
/// 0.3 ms on average (300 each with P-256 and with RSA-2048).
const HANDSHAKE_COST_BYTES: usize = 32 << 10;
/// Unsettled deliveries of one consumer, whatever its credit: bounds the memory that one link can pin.
const CONSUMER_WINDOW_MAX: u32 = 65_536;

impl Broker {
    /// Bytes arrived.
    pub(crate) fn receive(&mut self, now: Nanos, id: ConnectionId, network: &[u8]) {
        let Some(mut connection) = self.connections.take(id) else { return };
        let mut transform = std::mem::take(&mut connection.transform);
        if transform.is_handshaking() {
            self.budget.received_bytes = self.budget.received_bytes.saturating_sub(HANDSHAKE_COST_BYTES);
        }
        let result = transform.inbound(network, |heard| match heard {
            Heard::Bytes(input) if connection.stalled => connection.unread.extend_from_slice(input),
            Heard::Bytes(input) => self.feed(now, id, &mut connection, input),
            Heard::Secured(certificate) => self.secured(now, &mut connection, certificate),
        });
        connection.transform = transform;
        if let Err(trouble) = result {
            self.not_understood(now, id, &mut connection, &trouble);
        }
        self.connections.put_back(id, connection);
    }

    /// The TLS handshake is complete. Only now it is known what can be offered to a client.
    fn secured(&mut self, now: Nanos, connection: &mut Connection, certificate: Option<PeerCertificate>) {
        if !connection.outgoing && connection.stage() == Stage::Handshake {
            connection.channel.certificate_name =
                certificate.as_ref().and_then(|certificate| certificate.common_name.clone());
            connection.protocol = self.accepting_protocol(now, connection.accepted_at, &connection.channel);
        }
        connection.peer_certificate = certificate;
    }

    /// What a peer sends is not what this end of the connection expects, or not acceptable to TLS.
    fn not_understood(&mut self, now: Nanos, id: ConnectionId, connection: &mut Connection, trouble: &Trouble) {
        if connection.stage() == Stage::Closing {
            return;
        }
        let reason = trouble.tell(connection.side());
        if self.complaints.is_news(now, connection.channel.address, &reason) {
            self.log.line(format!("Connection {} failed: {reason}", self.peer_name(connection)));
        }
        self.leave_links(connection);
        if connection.stage() == Stage::Peer || connection.outgoing {
            self.peer_lost(id, &reason);
        }
        connection.close(None);
    }

    /// Stops looking at what a connection says until [`Broker::resume_stalled`].
    fn stall(&mut self, id: ConnectionId, connection: &mut Connection, input: &[u8]) {
        connection.unread.extend_from_slice(input);
        connection.stalled = true;
        self.reactor.pause_receive(connection.socket);
        self.stalled.push(id);
    }

    /// Looks at what was left unread while a store had no room, as far as the turn's budget goes. A message that a store
    /// refused is tried again only when the store has said that it has room (`told`). Whose turn it is not keeps its place before
    /// those that had theirs and wait again: else the first would take all the room each time.
    pub(crate) fn resume_stalled(&mut self, now: Nanos, told: bool) {
        let mut passed_over = Vec::new();
        for id in std::mem::take(&mut self.stalled) {
            let Some(mut connection) = self.connections.take(id) else { continue };
            let waits = connection.deferred.as_mut().map_or(self.budget.received_bytes == 0, |deferred| {
                deferred.has_room |= told;
                !deferred.has_room
            });
            if self.stopping
                || waits
                || self.is_withheld(&connection)
                || !self.exchange.has_room(connection.stores_used)
            {
                passed_over.push(id);
                self.connections.restore(id, connection);
                continue;
            }
            connection.stalled = false;
            let mut unread = connection.unread.split();
            let rest = unread.split_off(unread.len().min(self.budget.received_bytes));
            self.budget.received_bytes -= unread.len();
            if let Some(Deferred { delivery, payload, .. }) = connection.deferred.take() {
                self.message(now, id, &mut connection, delivery, &payload);
            }
            if connection.stalled {
                connection.unread = unread;
            } else {
                self.feed(now, id, &mut connection, &unread);
            }
            if !rest.is_empty() && !connection.stalled {
                self.stall(id, &mut connection, &[]);
            }
            connection.unread.unsplit(rest);
            if !connection.stalled {
                self.reactor.resume_receive(connection.socket);
            }
            self.connections.put_back(id, connection);
        }
        passed_over.append(&mut self.stalled);
        self.stalled = passed_over;
    }

    /// Reports what the protocol has to say without new bytes, after a timeout.
    pub(crate) fn review(&mut self, now: Nanos, id: ConnectionId) {
        let Some(mut connection) = self.connections.take(id) else { return };
        if !connection.stalled {
            self.feed(now, id, &mut connection, &[]);
        }
        self.connections.put_back(id, connection);
    }

    fn feed(&mut self, now: Nanos, id: ConnectionId, connection: &mut Connection, mut input: &[u8]) {
        // Once: what a store has no room for after that is deferred.
        let has_room = self.exchange.has_room(connection.stores_used);
        loop {
            if connection.stalled {
                connection.unread.extend_from_slice(input);
                return;
            }
            if self.stopping || self.is_withheld(connection) || !has_room {
                self.stall(id, connection, input);
                return;
            }
            let Some(event) = connection.protocol.next_event(now, &mut input) else { return };
            match event {
                Event::Message(message) => {
                    let delivery = ReceivedDelivery {
                        link: message.link,
                        delivery_id: message.delivery_id,
                        settled: message.settled,
                    };
                    let producer = connection.producers.get(&message.link);
                    let time = (now, self.clock.wall_ms(now));
                    match producer.map(|producer| self.exchange.publish(time, producer, message.payload)) {
                        Some(Ok(Published::Throttled)) => {
                            connection.deferred = Some(Deferred::new(delivery, message.payload));
                            self.stall(id, connection, &[]);
                        }
                        Some(result) => self.answer_publish(id, connection, delivery, result),
                        None => {
                            let payload = Bytes::copy_from_slice(message.payload);
                            self.request(now, id, connection, delivery, &payload);
                        }
                    }
                }
                Event::SaslInit { mechanism, response, .. } => {
                    let (mechanism, response) = (mechanism.to_string(), Bytes::copy_from_slice(response));
                    self.sasl_init(now, id, connection, &mechanism, &response);
                }
                Event::SaslOutcome(SaslCode::Ok) | Event::Begin(_) | Event::Begun(_) | Event::Drained { .. } => {}
                Event::SaslOutcome(code) => self.peer_refused_us(id, connection, code),
                Event::Open => self.opened(now, id, connection),
                Event::Attach { link, attach } => self.attach(now, id, connection, link, *attach),
                Event::Attached { link, attach } => self.attached(now, id, connection, link, &attach),
                Event::Flow { link, credit, drain } => {
                    self.describe_on(connection, link, credit);
                    self.flow(connection, link, credit, drain);
                }
                Event::Outcome { link, delivery_id, token, outcome, settled } => {
                    self.outcome(id, connection, (link.session, delivery_id), token, outcome, settled);
                }
                // A sender that settles what we have not answered does not want the answer any more.
                Event::SettledByPeer { .. } => {}
                Event::Detach { link, closed, .. } => {
                    self.temporary.link_ended(id, link, closed);
                    self.detached(connection, link);
                }
                Event::End { session, .. } => self.ended(id, connection, session),
                Event::Close { error } => self.closed_by_peer(id, connection, error.as_ref()),
                Event::Failed(error) => {
                    let during = if connection.transform.is_handshaking() { "during the TLS handshake: " } else { "" };
                    self.log.line(format!("Connection {} failed: {during}{error}", self.peer_name(connection)));
                    self.leave_links(connection);
                    if connection.outgoing {
                        self.peer_lost(id, &error.to_string());
                    }
                    connection.close(None);
                }
            }
        }
    }

    /// A message that was kept while its store was behind.
    fn message(
        &mut self,
        now: Nanos,
        id: ConnectionId,
        connection: &mut Connection,
        delivery: ReceivedDelivery,
        payload: &Bytes,
    ) {
        let Some(producer) = connection.producers.get(&delivery.link) else { return };
        match self.exchange.publish((now, self.clock.wall_ms(now)), producer, payload) {
            Ok(Published::Throttled) => {
                connection.deferred = Some(Deferred::new(delivery, payload));
                self.stall(id, connection, &[]);
            }
            result => self.answer_publish(id, connection, delivery, result),
        }
    }

    fn answer_publish(
        &mut self,
        id: ConnectionId,
        connection: &mut Connection,
        delivery: ReceivedDelivery,
        result: Result<Published, amqp::Error>,
    ) {
        let producer = connection.producers.get_mut(&delivery.link).expect("the producer of this message");
        producer.unanswered += 1;
        match result {
            Ok(Published::Waiting { lsn }) => {
                self.exchange.publishes.push(usize::from(producer.store), lsn, (id, delivery));
            }
            Ok(Published::Confirmed) => connection.answer(delivery, delivery.delivery_id, Outcome::Accepted),
            Ok(Published::Throttled) => unreachable!("a throttled message is kept, not answered"),
            Err(error) if delivery.settled => {
                // The sender wants no answer, so that the end of its link is the only way to tell it.
                connection.protocol.detach(delivery.link, true, Some(error));
                connection.producers.remove(&delivery.link);
            }
            Err(error) => connection.answer(delivery, delivery.delivery_id, Outcome::Rejected(Some(error))),
        }
    }

    fn attach(&mut self, now: Nanos, id: ConnectionId, connection: &mut Connection, link: LinkId, attach: Attach) {
        let result = match (connection.stage(), attach.role) {
            (Stage::Client, Role::Sender) => self.attach_producer((now, id), connection, link, &attach),
            (Stage::Client, Role::Receiver) => self.attach_consumer((now, id), connection, link, &attach),
            (Stage::Admin, _) => self.attach_admin(id, connection, link, &attach),
            (Stage::Peer, _) => self.attach_peer(now, id, connection, link, &attach),
            (Stage::Handshake | Stage::Waiting | Stage::Closing, _) => return,
        };
        if let Err(error) = result {
            self.log.line(format!("Link '{}' of {} refused: {error}", attach.name, self.peer_name(connection)));
            connection.protocol.refuse_link(link, error);
            // What was made for it beforehand.
            self.temporary.link_ended(id, link, true);
        }
    }

    fn attach_producer(
        &mut self,
        (now, id): (Nanos, ConnectionId),
        connection: &mut Connection,
        link: LinkId,
        attach: &Attach,
    ) -> Result<(), amqp::Error> {
        let target = attach.target.as_ref().ok_or_else(|| null_terminus("target"))?;
        if target.coordinator {
            return Err(amqp::Error::new(condition::NOT_IMPLEMENTED, "transactions are not supported yet"));
        }
        let address = match target.dynamic {
            true => self.make_temporary((id, link), connection)?,
            false => node_name(target.address.as_deref(), "target")?.to_string(),
        };
        self.attach_temporary(now, (id, link), connection, &address, Role::Sender)?;
        self.check_queue(connection, Permission::Send, &address)?;
        let producer = self.exchange.producer(&address)?;
        connection.stores_used |= 1 << producer.store;
        connection.producers.insert(link, producer);
        let answer = Attach {
            snd_settle_mode: attach.snd_settle_mode,
            source: attach.source.clone(),
            target: Some(temporary::target_granted(target, address)),
            max_message_size: Some(self.configuration.message_bytes_max),
            ..Attach::default()
        };
        connection.protocol.accept_link(link, answer);
        connection.protocol.grant(link, PRODUCER_WINDOW, false);
        Ok(())
    }

    fn attach_consumer(
        &mut self,
        (now, id): (Nanos, ConnectionId),
        connection: &mut Connection,
        link: LinkId,
        attach: &Attach,
    ) -> Result<(), amqp::Error> {
        let source = attach.source.as_ref().ok_or_else(|| null_terminus("source"))?;
        let address = match source.dynamic {
            true => self.make_temporary((id, link), connection)?,
            false => node_name(source.address.as_deref(), "source")?.to_string(),
        };
        self.attach_temporary(now, (id, link), connection, &address, Role::Receiver)?;
        let browse = source.distribution_mode.as_deref() == Some("copy");
        let permission = if browse { Permission::Browse } else { Permission::Receive };
        self.check_queue(connection, permission, &address)?;
        let queue = self.exchange.queue(&address)?;
        let spec = ConsumerSpec { browse, window_max: CONSUMER_WINDOW_MAX };
        let consumer = self.exchange.engine.add_consumer(queue, spec);
        self.consumers.insert(consumer, (id, link));
        let settled = attach.snd_settle_mode == SenderSettleMode::Settled;
        connection.consumers.insert(link, Consumer::new(consumer, settled));
        // What the answer leaves out was not granted: no filter is supported yet.
        let granted = amqp::Source { filter: Vec::new(), ..temporary::source_granted(source, address) };
        let answer = Attach {
            snd_settle_mode: attach.snd_settle_mode,
            source: Some(granted),
            target: attach.target.clone(),
            ..Attach::default()
        };
        connection.protocol.accept_link(link, answer);
        Ok(())
    }

    fn outcome(
        &mut self,
        id: ConnectionId,
        connection: &mut Connection,
        (session, delivery_id): (SessionId, u32),
        token: u64,
        outcome: Option<Outcome>,
        settled: bool,
    ) {
        let settle = match outcome {
            Some(Outcome::Accepted) => Settle::Accept,
            Some(Outcome::Rejected(_)) => Settle::Reject,
            Some(Outcome::Released) => Settle::Release,
            Some(Outcome::Modified { delivery_failed, undeliverable_here, .. }) => {
                Settle::Modify { failed: delivery_failed, undeliverable_here }
            }
            // Progress, or transactions that no coordinator here has declared.
            Some(Outcome::Received { .. } | Outcome::Declared { .. } | Outcome::Transactional { .. }) => return,
            // Settled without an outcome: the message may not have been processed (default outcome).
            None => Settle::Modify { failed: true, undeliverable_here: false },
        };
        let sent = SentDelivery { session, delivery_id, accepted: settle == Settle::Accept };
        let answer = (!settled).then_some((id, sent));
        if self.exchange.settle(DeliveryToken(token), settle, answer) && !settled {
            connection.protocol.settle_sent(session, delivery_id, outcome_of(sent));
        }
    }

    fn detached(&mut self, connection: &mut Connection, link: LinkId) {
        connection.producers.remove(&link);
        if let Some(consumer) = connection.consumers.remove(&link) {
            self.leave_queue(&consumer);
        }
        connection.reply_links.retain(|_, reply| *reply != link);
        connection.request_links.retain(|request| *request != link);
    }

    fn ended(&mut self, id: ConnectionId, connection: &mut Connection, session: SessionId) {
        let links = connection.links_of(session);
        for link in links {
            self.temporary.link_ended(id, link, true);
            self.detached(connection, link);
        }
    }

    fn closed_by_peer(&mut self, id: ConnectionId, connection: &mut Connection, error: Option<&amqp::Error>) {
        self.leave_links(connection);
        self.temporary.connection_closed(id);
        if connection.stage() == Stage::Peer || connection.outgoing {
            self.closed_by_server(id, error);
        }
        connection.close(None);
    }

    /// Gives back what a connection's consumers hold, before its links go.
    pub(crate) fn leave_links(&mut self, connection: &mut Connection) {
        connection.producers.clear();
        connection.stores_used = 0;
        connection.deferred = None;
        for (_, consumer) in connection.consumers.drain() {
            self.leave_queue(&consumer);
        }
    }

    pub(crate) fn leave_queue(&mut self, consumer: &Consumer) {
        for pending in &consumer.pending {
            // Never sent: not an attempt.
            self.exchange.settle(pending.token, Settle::Release, None);
        }
        self.exchange.engine.remove_consumer(consumer.id);
        self.consumers.remove(&consumer.id);
    }
}

impl Connection {
    /// Answers the deliveries of a producer from `delivery` to the number `last`, and renews the credit once half of it has
    /// been answered: on commit, not on receipt, so that the store's pace reaches the sender.
    pub(crate) fn answer(&mut self, delivery: ReceivedDelivery, last: u32, outcome: Outcome) {
        if !delivery.settled {
            self.protocol.settle_range(delivery.link.session, (delivery.delivery_id, last), outcome, true);
        }
        if let Some(producer) = self.producers.get_mut(&delivery.link) {
            let count = last.wrapping_sub(delivery.delivery_id) + 1;
            producer.unanswered -= count;
            producer.answered += count;
            if producer.answered >= PRODUCER_WINDOW / 2 {
                producer.answered = 0;
                self.protocol.grant(delivery.link, credit_left(producer), false);
            }
        }
    }

    fn links_of(&self, session: SessionId) -> Vec<LinkId> {
        let all = self.producers.keys().chain(self.consumers.keys()).chain(self.reply_links.values());
        let mut links: Vec<_> =
            all.chain(&self.request_links).copied().filter(|link| link.session == session).collect();
        links.sort_unstable();
        links.dedup();
        links
    }
}

fn credit_left(producer: &Producer) -> u32 {
    PRODUCER_WINDOW.saturating_sub(producer.unanswered)
}

/// The outcome that answers a consumer's.
pub(crate) fn outcome_of(sent: SentDelivery) -> Option<Outcome> {
    sent.accepted.then_some(Outcome::Accepted)
}

fn null_terminus(which: &str) -> amqp::Error {
    amqp::Error::new(condition::INVALID_FIELD, format!("the {which} of the link is null"))
}

fn node_name<'a>(address: Option<&'a str>, which: &str) -> Result<&'a str, amqp::Error> {
    let address = address.ok_or_else(|| {
        amqp::Error::new(condition::INVALID_FIELD, format!("the {which} has no address: name a queue"))
    })?;
    if address.starts_with("$sys.") {
        return Err(amqp::Error::new(condition::UNAUTHORIZED_ACCESS, format!("'{address}' belongs to the server")));
    }
    Ok(address)
}
