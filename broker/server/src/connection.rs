//! One connection: its socket, its protocol state, and the links on it.
//!
//! Owns the bytes on the way in and out and the tables of producers and consumers. What a message does is decided in
//! `messages` (inward) and `deliveries` (outward).

use crate::security::{Channel, Identity};
use crate::stage::Stage;
use crate::tls::{PeerCertificate, Session, Side};
use crate::transform::Transform;
use amqp::message::Header;
use amqp::{LinkId, SessionId};
use bytes::{Bytes, BytesMut};
use engine::{ConsumerId, DeliveryToken, Entry, QueueId};
use reactor::{Nanos, Reactor, SocketId};
use rustc_hash::FxHashMap;
use std::collections::{HashMap, VecDeque};

/// Bytes of output above which a connection gets no further deliveries until the peer has read some.
pub(crate) const OUTPUT_HIGH_BYTES: usize = 1 << 20;

/// A link on which the peer sends messages to a queue.
#[derive(Debug)]
pub(crate) struct Producer {
    /// Where its messages go.
    pub(crate) queue: QueueId,
    /// Index of the queue's store.
    pub(crate) store: u8,
    /// The queue's number in that store's records; a temporary queue gets one with its first persistent message.
    pub(crate) destination: Option<u32>,
    /// Deliveries received and not yet answered.
    pub(crate) unanswered: u32,
    /// Deliveries answered since credit was last granted.
    pub(crate) answered: u32,
}

/// A message that waits on its consumer's link for its body, or for the messages before it.
#[derive(Clone, Debug)]
pub(crate) struct PendingDelivery {
    /// Names the hand-over.
    pub(crate) token: DeliveryToken,
    /// The message.
    pub(crate) entry: Entry,
    /// Its body, once read back.
    pub(crate) body: Option<Bytes>,
}

/// An encoded header section, kept because the next message's is the same as a rule.
#[derive(Debug, Default)]
pub(crate) struct Head {
    header: Header,
    bytes: BytesMut,
}

impl Head {
    /// The section for `header`.
    pub(crate) fn encode(&mut self, header: Header) -> &[u8] {
        if self.bytes.is_empty() || self.header != header {
            self.bytes.clear();
            header.encode(&mut self.bytes);
            self.header = header;
        }
        &self.bytes
    }
}

/// A link on which the peer receives messages from a queue.
#[derive(Debug)]
pub(crate) struct Consumer {
    /// The engine's name for it.
    pub(crate) id: ConsumerId,
    /// Deliveries are sent settled: handed out is gone.
    pub(crate) settled: bool,
    /// The header section of what was sent last.
    pub(crate) head: Head,
    /// Handed out by the engine, not yet sent; in order.
    pub(crate) pending: VecDeque<PendingDelivery>,
    /// The peer asked for what there is, and then for its credit back.
    pub(crate) draining: bool,
    /// The queue's drain has ended with so much of the credit left: to be answered behind the deliveries that wait.
    pub(crate) drained: Option<u32>,
}

impl Consumer {
    /// One that has nothing yet.
    pub(crate) fn new(id: ConsumerId, settled: bool) -> Self {
        Consumer { id, settled, head: Head::default(), pending: VecDeque::new(), draining: false, drained: None }
    }
}

/// A message that a store did not take in yet.
#[derive(Debug)]
pub(crate) struct Deferred {
    /// The delivery that brought it.
    pub(crate) delivery: ReceivedDelivery,
    /// The message as it is encoded.
    pub(crate) payload: Bytes,
    /// The store has said since that it has room. It says so once, maybe while this connection is not listened to.
    pub(crate) has_room: bool,
}

impl Deferred {
    /// One that was refused just now.
    pub(crate) fn new(delivery: ReceivedDelivery, payload: &[u8]) -> Self {
        Deferred { delivery, payload: Bytes::copy_from_slice(payload), has_room: false }
    }
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Connection {
    /// The socket.
    pub(crate) socket: SocketId,
    /// The protocol.
    pub(crate) protocol: amqp::Connection,
    /// What it comes through.
    pub(crate) channel: Channel,
    /// Who it is.
    pub(crate) identity: Identity,
    /// An administrator's changes of files wait for `commit`.
    pub(crate) holds_changes: bool,
    stage: Stage,
    /// Between its bytes and the network's.
    pub(crate) transform: Transform,
    /// The other side's certificate, once it has shown one and that was verified.
    pub(crate) peer_certificate: Option<PeerCertificate>,
    /// When it came in, or 0.
    pub(crate) accepted_at: Nanos,
    /// Links towards us. The hash is a quick one: we choose the numbers of links, so that no peer can choose collisions.
    pub(crate) producers: FxHashMap<LinkId, Producer>,
    /// Links away from us.
    pub(crate) consumers: FxHashMap<LinkId, Consumer>,
    /// An administrator's reply links, by address, and a peer's link for our heartbeats under [`crate::peer::ADDRESS`].
    pub(crate) reply_links: HashMap<String, LinkId>,
    /// Links on which requests to the server itself arrive.
    pub(crate) request_links: Vec<LinkId>,
    /// Stores that its producers use, one bit each: all must have room before the next frame is looked at.
    pub(crate) stores_used: u32,
    /// A message that a store did not take in yet, being behind.
    pub(crate) deferred: Option<Deferred>,
    /// Nothing of what it says is looked at for the moment.
    pub(crate) stalled: bool,
    /// Received after that, or while a store had no room; looked at when it has.
    pub(crate) unread: BytesMut,
    /// Its deliveries are held back until the peer reads.
    pub(crate) congested: bool,
    /// To be closed without another word.
    pub(crate) abandoned: bool,
    /// We began it (the FT link towards the peer).
    pub(crate) outgoing: bool,
    sending: bool,
    finishing: bool,
    timer_at: Nanos,
}

/// Where a delivery of a peer waits for its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ReceivedDelivery {
    /// The link.
    pub(crate) link: LinkId,
    /// The delivery on the link's session.
    pub(crate) delivery_id: u32,
    /// The sender wants no answer; only its credit is renewed.
    pub(crate) settled: bool,
}

impl ReceivedDelivery {
    /// Whether `next` is the delivery after this one, on the same link, and to be answered alike.
    #[inline]
    pub(crate) fn precedes(self, next: &ReceivedDelivery) -> bool {
        next.link == self.link && next.delivery_id == self.delivery_id.wrapping_add(1) && next.settled == self.settled
    }
}

/// A delivery of ours whose outcome waits for its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SentDelivery {
    /// The session.
    pub(crate) session: SessionId,
    /// The delivery on the session.
    pub(crate) delivery_id: u32,
    /// The outcome was `accepted`, otherwise `rejected`.
    pub(crate) accepted: bool,
}

impl Connection {
    /// A connection on `socket` that speaks `protocol`, within TLS if there is a `session`.
    pub(crate) fn new(socket: SocketId, protocol: amqp::Connection, session: Option<Session>, outgoing: bool) -> Self {
        Connection {
            socket,
            protocol,
            channel: Channel::default(),
            identity: Identity::default(),
            holds_changes: false,
            stage: Stage::Handshake,
            transform: Transform::of(session),
            peer_certificate: None,
            accepted_at: 0,
            producers: FxHashMap::default(),
            consumers: FxHashMap::default(),
            reply_links: HashMap::new(),
            request_links: Vec::new(),
            stores_used: 0,
            deferred: None,
            stalled: false,
            unread: BytesMut::new(),
            congested: false,
            abandoned: false,
            outgoing,
            // Nothing may be sent before the connection stands.
            sending: outgoing,
            finishing: false,
            timer_at: Nanos::MAX,
        }
    }

    /// What it is at the moment.
    pub(crate) fn stage(&self) -> Stage {
        self.stage
    }

    /// Enters the next stage.
    pub(crate) fn become_stage(&mut self, next: Stage) {
        assert!(self.stage.can_become(next), "a connection cannot become {next:?} from {:?}", self.stage);
        self.stage = next;
    }

    /// Begins to close, unless it does already; `error` tells the peer why.
    pub(crate) fn close(&mut self, error: Option<amqp::Error>) {
        if self.stage != Stage::Closing {
            self.protocol.close(error);
            self.stage = Stage::Closing;
        }
    }

    /// Hands what is to be sent to the reactor, unless a send is in flight; half-closes after the last byte.
    pub(crate) fn transmit(&mut self, now: Nanos, reactor: &mut Reactor) {
        if self.sending || self.finishing {
            return;
        }
        let protocol = || self.protocol.poll_transmit(now).map(|output| output.chunks);
        let mut chunks = self.transform.outbound(protocol);
        if chunks.is_none() && (self.protocol.is_finished() || self.transform.has_failed()) {
            chunks = self.transform.close();
            self.finishing = true;
        }
        if let Some(chunks) = chunks {
            self.sending = true;
            reactor.send(self.socket, chunks);
        }
        if self.finishing {
            reactor.finish(self.socket);
        }
    }

    /// Who began it.
    pub(crate) fn side(&self) -> Side {
        if self.outgoing { Side::Connecting } else { Side::Accepting }
    }

    /// The send in flight is complete, or the connection that we began stands.
    pub(crate) fn sent(&mut self) {
        self.sending = false;
    }

    /// Our last byte is sent; the peer may still be reading.
    pub(crate) fn is_finishing(&self) -> bool {
        self.finishing
    }

    /// Sets the timer `token` of this connection if its protocol needs one earlier than the one that is set.
    pub(crate) fn arm_timer(&mut self, reactor: &mut Reactor, token: u64) {
        if let Some(at) = self.protocol.poll_timeout()
            && at < self.timer_at
        {
            self.timer_at = at;
            reactor.set_timer(at, token);
        }
    }

    /// The timer fired.
    pub(crate) fn handle_timeout(&mut self, now: Nanos) {
        self.timer_at = Nanos::MAX;
        if self.protocol.poll_timeout().is_some_and(|at| at <= now) {
            self.protocol.handle_timeout(now);
        }
    }
}
