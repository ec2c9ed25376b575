//! AMQP 1.0: one transfer and one disposition for each message, at both ends.
//!
//! Owns one connection with one link. The codec is the broker's own, which is also its clients': both sides pay for it.

use crate::{Peer, Progress};
use amqp::message::{Body, Header, Properties};
use amqp::{
    Attach, ClientSasl, Config, Connection, Delivery, Event, LinkId, Open, Outcome, Role, SenderSettleMode, Source,
    Target,
};
use anyhow::{Result, bail};
use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;

/// Messages that the consumer asks for; it asks again when half of them have come.
const CREDIT: u32 = 4000;

/// What flows.
#[derive(Clone, Debug)]
pub struct Flow {
    /// The queue.
    pub queue: String,
    /// Bytes of a message's body.
    pub bytes: usize,
    /// Not persistent, and without answers at either end.
    pub settled: bool,
}

/// One end.
#[derive(Debug)]
pub struct AmqpPeer {
    connection: Connection,
    link: LinkId,
    receives: bool,
    settled: bool,
    body: Bytes,
    head: Bytes,
    ready: bool,
    sent: u64,
    /// Received since credit was last granted.
    received: u32,
    output: VecDeque<Bytes>,
}

impl AmqpPeer {
    /// Sends to the queue.
    pub fn producer(flow: &Flow, number: usize) -> Self {
        Self::new(flow, Role::Sender, &format!("producer-{number}"))
    }

    /// Receives from the queue, and accepts each message.
    pub fn consumer(flow: &Flow, number: usize) -> Self {
        Self::new(flow, Role::Receiver, &format!("consumer-{number}"))
    }

    fn new(flow: &Flow, role: Role, name: &str) -> Self {
        let config =
            Config { container_id: name.to_owned(), idle_timeout_ms: 0, incoming_window: 1 << 16, ..Config::default() };
        let open = Open { container_id: name.to_owned(), ..Open::default() };
        let mut connection = Connection::client(config, Some(ClientSasl::Anonymous), 0);
        connection.open(open);
        let session = connection.begin();
        let mode = if flow.settled { SenderSettleMode::Settled } else { SenderSettleMode::Unsettled };
        let address = Some(flow.queue.clone());
        let attach = Attach {
            name: name.to_owned(),
            role,
            snd_settle_mode: mode,
            source: Some(Source { address: address.clone(), ..Source::default() }),
            target: Some(Target { address, ..Target::default() }),
            ..Attach::default()
        };
        let link = connection.attach(session, attach);
        let receives = role == Role::Receiver;
        if receives {
            connection.grant(link, CREDIT, false);
        }
        let (head, body) = message(flow);
        let settled = flow.settled;
        let output = VecDeque::new();
        AmqpPeer { connection, link, receives, settled, body, head, ready: false, sent: 0, received: 0, output }
    }
}

/// An encoded message, its header apart.
fn message(flow: &Flow) -> (Bytes, Bytes) {
    let header = Header { durable: !flow.settled, ..Header::default() };
    let mut head = BytesMut::new();
    header.encode(&mut head);
    let payload = vec![b'x'; flow.bytes];
    let whole = amqp::message::encode(Header::default(), &Properties::default(), &[], Body::Data(&payload));
    let bare = amqp::message::scan(&whole).expect("what was just encoded").bare_offset;
    (head.freeze(), Bytes::copy_from_slice(&whole[bare..]))
}

impl Peer for AmqpPeer {
    fn receive(&mut self, mut input: &[u8]) -> Result<Progress> {
        let mut progress = Progress::default();
        let (mut first, mut last) = (None, 0);
        while let Some(event) = self.connection.next_event(0, &mut input) {
            match event {
                Event::Message(message) => {
                    progress.received += 1;
                    first = first.or(Some(message.delivery_id));
                    last = message.delivery_id;
                }
                Event::Outcome { outcome: Some(Outcome::Accepted), .. } => progress.confirmed += 1,
                Event::Outcome { outcome, .. } => bail!("a message was not accepted: {outcome:?}"),
                Event::Attached { .. } => self.ready |= self.receives,
                Event::Flow { .. } => self.ready = true,
                Event::Detach { error, .. } | Event::Close { error } | Event::End { error, .. } => {
                    bail!("the broker ended it: {error:?}")
                }
                Event::Failed(error) => bail!("the connection failed: {error}"),
                _ => {}
            }
        }
        if let Some(first) = first {
            if !self.settled {
                (first..=last).for_each(|id| self.connection.settle(self.link.session, id, Outcome::Accepted, true));
            }
            self.received += progress.received as u32;
            if self.received >= CREDIT / 2 {
                self.received = 0;
                self.connection.grant(self.link, CREDIT, false);
            }
        }
        Ok(progress)
    }

    fn is_ready(&self) -> bool {
        self.ready
    }

    fn send(&mut self, count: usize) -> usize {
        for taken in 0..count {
            let tag = self.sent.to_be_bytes();
            let delivery = Delivery {
                token: self.sent,
                tag: &tag,
                settled: self.settled,
                format: 0,
                state: None,
                head: &self.head,
                body: &self.body,
            };
            if self.connection.send(self.link, delivery).is_err() {
                return taken;
            }
            self.sent += 1;
        }
        count
    }

    fn output(&mut self) -> Option<Bytes> {
        if self.output.is_empty()
            && let Some(output) = self.connection.poll_transmit(0)
        {
            self.output.extend(output.chunks);
        }
        self.output.pop_front()
    }
}
