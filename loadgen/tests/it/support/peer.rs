//! One connection of the test broker.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use amqp::message::{self, Body, Header, Properties, scan};
use amqp::{
    Attach, Config, Connection, Delivery, Error, Event, LinkId, Open, Outcome, Role, SaslCode, SessionId, Source,
    Target, condition, sasl,
};
use bytes::{Bytes, BytesMut};
use tokio::net::TcpStream;

use super::{Shared, Stored};

/// A message sent to a consumer.
struct Sent {
    stored: Stored,
    session: SessionId,
    delivery_id: u32,
}

/// What an event asks for, once its borrow is over.
enum Step {
    Sasl(SaslCode),
    Open,
    Attach(LinkId, Box<Attach>),
    Message { link: LinkId, delivery_id: u32, payload: Vec<u8> },
    Answer { token: u64, accepted: bool, settled: bool },
    Drain(LinkId),
    Gone,
    Nothing,
}

pub(crate) struct Peer {
    stream: TcpStream,
    shared: Arc<Shared>,
    active: bool,
    connection: Connection,
    started: Instant,
    senders: Vec<LinkId>,
    receivers: HashMap<LinkId, u32>,
    reply_link: Option<LinkId>,
    draining: Vec<LinkId>,
    sent: HashMap<u64, Sent>,
    next_token: u64,
    confirms: VecDeque<(Instant, SessionId, u32)>,
    resurrections: VecDeque<(Instant, Stored)>,
    over: bool,
}

impl Peer {
    pub(crate) fn new(stream: TcpStream, shared: Arc<Shared>, active: bool) -> Self {
        let config = Config { container_id: "test-broker".to_owned(), require_sasl: true, ..Config::default() };
        Self {
            stream,
            shared,
            active,
            connection: Connection::server(config, 0),
            started: Instant::now(),
            senders: Vec::new(),
            receivers: HashMap::new(),
            reply_link: None,
            draining: Vec::new(),
            sent: HashMap::new(),
            next_token: 0,
            confirms: VecDeque::new(),
            resurrections: VecDeque::new(),
            over: false,
        }
    }

    fn now(&self) -> u64 {
        self.started.elapsed().as_nanos() as u64
    }

    pub(crate) async fn run(&mut self) {
        let mut buffer = vec![0; 64 * 1024];
        while !self.over {
            match self.stream.try_read(&mut buffer) {
                Ok(0) => return,
                Ok(count) => self.receive(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.receive(&[]),
                Err(_gone) => return,
            }
            if self.over {
                return;
            }
            self.confirm();
            self.deliver();
            if self.flush().await.is_err() || self.connection.is_finished() {
                return;
            }
            // A turn each millisecond is enough for tests, and needs no wake-up from other connections.
            let _elapsed = tokio::time::timeout(Duration::from_millis(1), self.stream.readable()).await;
        }
    }

    async fn flush(&mut self) -> io::Result<()> {
        while let Some(output) = self.connection.poll_transmit(self.now()) {
            for chunk in output.chunks {
                let mut rest = &chunk[..];
                while !rest.is_empty() {
                    self.stream.writable().await?;
                    match self.stream.try_write(rest) {
                        Ok(count) => rest = &rest[count..],
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        Err(error) => return Err(error),
                    }
                }
            }
        }
        Ok(())
    }

    fn receive(&mut self, mut input: &[u8]) {
        loop {
            let now = self.now();
            let step = match self.connection.next_event(now, &mut input) {
                None => return,
                Some(event) => read(event, &self.shared),
            };
            self.act(step);
        }
    }

    fn act(&mut self, step: Step) {
        match step {
            Step::Sasl(code) => self.connection.sasl_outcome(code),
            Step::Open => self.open(),
            Step::Attach(link, attach) => self.attach(link, &attach),
            Step::Message { link, delivery_id, payload } if Some(link) == self.admin_link() => {
                self.reply(link, delivery_id, &payload);
            }
            Step::Message { link, delivery_id, payload } => self.store(link, delivery_id, payload),
            Step::Answer { token, accepted, settled } => self.answer(token, accepted, settled),
            Step::Drain(link) => self.draining.push(link),
            Step::Gone => self.over = true,
            Step::Nothing => {}
        }
    }

    fn open(&mut self) {
        let mut open = Open { container_id: "test-broker".to_owned(), ..Open::default() };
        if self.active {
            return self.connection.open(open);
        }
        self.shared.state().refused_as_standby += 1;
        open.properties.push((amqp::Value::symbol(condition::CONNECTION_ESTABLISHMENT_FAILED), true.into()));
        self.connection.open(open);
        self.connection.close(Some(Error::new(condition::CONNECTION_FORCED, "standby")));
    }

    fn admin_link(&self) -> Option<LinkId> {
        self.reply_link.and(self.senders.first().copied())
    }

    fn attach(&mut self, link: LinkId, attach: &Attach) {
        let mut answer = attach.clone();
        let address = match attach.role {
            Role::Sender => attach.target.as_ref().and_then(|target| target.address.clone()),
            Role::Receiver => attach.source.as_ref().and_then(|source| source.address.clone()),
        };
        if address.is_some() && address == self.shared.orders.unknown_address {
            return self.connection.refuse_link(link, Error::new(condition::NOT_FOUND, "no such queue"));
        }
        match attach.role {
            Role::Sender => {
                self.senders.push(link);
                answer.target = Some(Target { address, ..Target::default() });
                self.connection.accept_link(link, answer);
                self.connection.grant(link, self.shared.orders.credit.unwrap_or(1000), false);
                self.receivers.insert(link, 0);
            }
            Role::Receiver => {
                let dynamic = attach.source.as_ref().is_some_and(|source| source.dynamic);
                let address = if dynamic { Some("reply-1".to_owned()) } else { address };
                answer.source = Some(Source { address, dynamic, ..Source::default() });
                self.connection.accept_link(link, answer);
                if dynamic {
                    self.reply_link = Some(link);
                } else {
                    self.receivers.insert(link, u32::MAX);
                }
            }
        }
    }

    /// Echoes an administrator's request.
    fn reply(&mut self, link: LinkId, delivery_id: u32, payload: &[u8]) {
        self.connection.settle(link.session, delivery_id, Outcome::Accepted, true);
        let sections = scan(payload).expect("a valid message");
        let request: serde_json::Value = serde_json::from_slice(sections.data(payload).expect("data")).expect("JSON");
        let body = serde_json::json!({"ok": true, "request": request}).to_string();
        let reply = message::encode(Header::default(), &Properties::default(), &[], Body::Data(body.as_bytes()));
        let delivery =
            Delivery { token: u64::MAX, tag: b"r", settled: false, format: 0, state: None, head: &[], body: &reply };
        self.connection.send(self.reply_link.expect("attached"), delivery).expect("credit");
    }

    fn store(&mut self, link: LinkId, delivery_id: u32, mut payload: Vec<u8>) {
        let used = self.receivers.entry(link).or_default();
        *used += 1;
        if used.is_multiple_of(200) && self.shared.orders.credit.is_none() {
            self.connection.grant(link, 1000, false);
        }
        let shared = Arc::clone(&self.shared);
        let (orders, mut state) = (&shared.orders, shared.state());
        state.largest_message = state.largest_message.max(payload.len());
        let number = state.accepted;
        state.accepted += 1;
        if orders.reject == Some(number) {
            let error = Error::new(condition::RESOURCE_LIMIT_EXCEEDED, "the queue is full");
            return self.connection.settle(link.session, delivery_id, Outcome::Rejected(Some(error)), true);
        }
        if orders.corrupt == Some(number)
            && let Some(byte) = payload.last_mut()
        {
            *byte ^= 1;
        }
        let stored = Stored { payload, redelivered: false };
        if orders.duplicate == Some(number) {
            state.queue.push_back(stored.clone());
        }
        if orders.drop_confirmed != Some(number) {
            state.queue.push_back(stored);
        }
        if orders.swap.is_some_and(|swap| swap + 1 == number) {
            let last = state.queue.len() - 1;
            state.queue.swap(last, last - 1);
        }
        if orders.cut_at == Some(number) {
            self.over = true;
        }
        self.confirms.push_back((Instant::now() + orders.confirm_delay, link.session, delivery_id));
    }

    fn confirm(&mut self) {
        while let Some((_, session, delivery_id)) = self.confirms.pop_front_if(|(at, _, _)| *at <= Instant::now()) {
            self.connection.settle(session, delivery_id, Outcome::Accepted, true);
        }
    }

    fn answer(&mut self, token: u64, accepted: bool, settled: bool) {
        let Some(sent) = self.sent.remove(&token) else { return };
        let mut state = self.shared.state();
        if !accepted {
            return state.queue.push_front(Stored { redelivered: true, ..sent.stored });
        }
        let number = state.acknowledged;
        state.acknowledged += 1;
        if !settled {
            self.connection.settle_sent(sent.session, sent.delivery_id, None);
        }
        if self.shared.orders.resurrect == Some(number) {
            // Later, so that the confirmation of the acknowledgement has long arrived.
            let at = Instant::now() + Duration::from_millis(30);
            self.resurrections.push_back((at, Stored { redelivered: true, ..sent.stored }));
        }
    }

    fn deliver(&mut self) {
        let shared = Arc::clone(&self.shared);
        while let Some((_, stored)) = self.resurrections.pop_front_if(|(at, _)| *at <= Instant::now()) {
            shared.state().queue.push_back(stored);
        }
        let links: Vec<LinkId> =
            self.receivers.iter().filter(|(_, kind)| **kind == u32::MAX).map(|(link, _)| *link).collect();
        for link in links {
            // A swap needs its second half in the queue before the first may leave.
            let held = if shared.orders.swap.is_some() { 1 } else { 0 };
            while self.connection.link_credit(link) > 0 {
                let stored = {
                    let mut state = shared.state();
                    let swapped = shared.orders.swap.is_none_or(|swap| state.accepted > swap + 1);
                    if state.queue.len() <= if swapped { 0 } else { held } { None } else { state.queue.pop_front() }
                };
                let Some(stored) = stored else { break };
                self.send(link, stored);
            }
        }
        for link in std::mem::take(&mut self.draining) {
            self.connection.drained(link);
        }
    }

    /// The header is the broker's to write; the rest of the message is passed on as it came.
    fn send(&mut self, link: LinkId, stored: Stored) {
        let sections = scan(&stored.payload).expect("a valid message");
        let mut head = BytesMut::new();
        let delivery_count = u32::from(stored.redelivered);
        Header { first_acquirer: !stored.redelivered, delivery_count, ..sections.header }.encode(&mut head);
        let token = self.next_token;
        self.next_token += 1;
        let delivery = Delivery {
            token,
            tag: &token.to_be_bytes(),
            settled: false,
            format: 0,
            state: None,
            head: &head,
            body: &Bytes::copy_from_slice(&stored.payload[sections.bare_offset..]),
        };
        let delivery_id = self.connection.send(link, delivery).expect("credit");
        self.sent.insert(token, Sent { stored, session: link.session, delivery_id });
    }

    /// What was sent and not acknowledged goes back to the head of the queue, marked, in order.
    pub(crate) fn give_back(&mut self) {
        let mut sent: Vec<(u64, Sent)> = self.sent.drain().collect();
        sent.sort_by_key(|(token, _)| std::cmp::Reverse(*token));
        let mut state = self.shared.state();
        for (_, sent) in sent {
            state.queue.push_front(Stored { redelivered: true, ..sent.stored });
        }
    }
}

fn read(event: Event<'_>, shared: &Shared) -> Step {
    match event {
        Event::SaslInit { mechanism, response, .. } => {
            let allowed = match &shared.orders.login {
                None => true,
                Some((user, password)) => {
                    mechanism == "PLAIN" && sasl::plain(response) == Some((user.as_str(), password.as_str()))
                }
            };
            Step::Sasl(if allowed { SaslCode::Ok } else { SaslCode::Auth })
        }
        Event::Open => Step::Open,
        Event::Attach { link, attach } => Step::Attach(link, attach),
        Event::Message(message) => {
            Step::Message { link: message.link, delivery_id: message.delivery_id, payload: message.payload.to_vec() }
        }
        Event::Outcome { token, outcome, settled, .. } => {
            Step::Answer { token, accepted: outcome == Some(Outcome::Accepted), settled }
        }
        Event::Flow { link, drain: true, .. } => Step::Drain(link),
        Event::Close { .. } | Event::Failed(_) => Step::Gone,
        _ => Step::Nothing,
    }
}
