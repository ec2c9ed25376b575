//! A client's and a server's end of one connection, joined by two simulated wires, with simulated time.
//!
//! A test sends commands to `pair.client` and `pair.server`, calls [`Pair::run`] until nothing moves, and looks at the events
//! of both sides. Bytes arrive after a delay and in pieces of random size, so that every frame is cut everywhere sooner or later.

// Every test file has its own copy and uses a part of it.
#![allow(dead_code, unreachable_pub)]

use std::collections::VecDeque;

use amqp::{
    Attach, ClientSasl, Config, Connection, Delivery, Event, LinkId, Nanos, Open, Role, SaslCode, SendError, SessionId,
    Source, Target,
};
use bytes::Bytes;

pub const MILLISECOND: Nanos = 1_000_000;

/// An event that outlives the input that it was found in.
#[derive(Debug, Clone, PartialEq)]
pub enum Seen {
    Message { link: LinkId, delivery_id: u32, tag: Vec<u8>, settled: bool, payload: Vec<u8> },
    SaslInit { mechanism: String, response: Vec<u8>, hostname: Option<String> },
    Other(Event<'static>),
}

impl Seen {
    pub fn new(event: Event<'_>) -> Self {
        match event {
            Event::Message(message) => Self::Message {
                link: message.link,
                delivery_id: message.delivery_id,
                tag: message.tag.to_vec(),
                settled: message.settled,
                payload: message.payload.to_vec(),
            },
            Event::SaslInit { mechanism, response, hostname } => Self::SaslInit {
                mechanism: mechanism.to_owned(),
                response: response.to_vec(),
                hostname: hostname.map(str::to_owned),
            },
            Event::SaslOutcome(code) => Self::Other(Event::SaslOutcome(code)),
            Event::Open => Self::Other(Event::Open),
            Event::Begin(id) => Self::Other(Event::Begin(id)),
            Event::Begun(id) => Self::Other(Event::Begun(id)),
            Event::Attach { link, attach } => Self::Other(Event::Attach { link, attach }),
            Event::Attached { link, attach } => Self::Other(Event::Attached { link, attach }),
            Event::Flow { link, credit, drain } => Self::Other(Event::Flow { link, credit, drain }),
            Event::Drained { link } => Self::Other(Event::Drained { link }),
            Event::Outcome { link, delivery_id, token, outcome, settled } => {
                Self::Other(Event::Outcome { link, delivery_id, token, outcome, settled })
            }
            Event::SettledByPeer { session, first, last } => Self::Other(Event::SettledByPeer { session, first, last }),
            Event::Detach { link, closed, error, unsettled } => {
                Self::Other(Event::Detach { link, closed, error, unsettled })
            }
            Event::End { session, error, unsettled } => Self::Other(Event::End { session, error, unsettled }),
            Event::Close { error } => Self::Other(Event::Close { error }),
            Event::Failed(error) => Self::Other(Event::Failed(error)),
        }
    }
}

/// Bytes on their way to one side.
#[derive(Debug, Default)]
struct Wire {
    /// Arrival times and pieces.
    pieces: VecDeque<(Nanos, Bytes)>,
    /// Everything that was ever put on it.
    recorded: Vec<u8>,
}

/// What one side has seen.
#[derive(Debug, Default)]
pub struct Side {
    pub events: Vec<Seen>,
    wire: Wire,
}

/// Both ends and what is between them.
#[derive(Debug)]
pub struct Pair {
    pub now: Nanos,
    pub delay: Nanos,
    pub client: Connection,
    pub server: Connection,
    /// What the client has seen.
    pub at_client: Side,
    /// What the server has seen.
    pub at_server: Side,
    /// The server authenticates everybody, opens, and accepts every link.
    pub server_accepts: bool,
    random: fastrand::Rng,
}

pub fn config(name: &str) -> Config {
    Config { container_id: name.to_owned(), ..Config::default() }
}

impl Pair {
    /// Two ends that have not exchanged anything. The client authenticates by PLAIN.
    pub fn new(client: Config, server: Config) -> Self {
        let sasl = ClientSasl::Plain { user: "guest".to_owned(), password: "secret".to_owned() };
        Self::of(Connection::client(client, Some(sasl), 0), Connection::server(server, 0))
    }

    pub fn of(client: Connection, server: Connection) -> Self {
        Self {
            now: 0,
            delay: MILLISECOND,
            client,
            server,
            at_client: Side::default(),
            at_server: Side::default(),
            server_accepts: true,
            random: fastrand::Rng::with_seed(7),
        }
    }

    /// Two ends of an open connection without sessions.
    pub fn opened() -> Self {
        Self::opened_with(config("client"), config("server"))
    }

    pub fn opened_with(client: Config, server: Config) -> Self {
        let mut pair = Self::new(client, server);
        pair.client.open(Open::default());
        pair.run();
        pair.forget();
        pair
    }

    /// An open connection with a session and a link, which the client attached in this role.
    pub fn attached(client: Config, server: Config, role: Role) -> (Self, Ends) {
        let mut pair = Self::opened_with(client, server);
        let session = pair.client.begin();
        let ends = pair.attach(session, "link", role);
        (pair, ends)
    }

    /// Attaches a link of the client and waits for the answer.
    pub fn attach(&mut self, session: SessionId, name: &str, role: Role) -> Ends {
        let client = self.client.attach(session, link(name, role));
        self.run();
        let offered = |seen: &Seen| match seen {
            Seen::Other(Event::Attach { link, attach }) if attach.name == name => Some(*link),
            _ => None,
        };
        let server = self.at_server.events.iter().find_map(offered).expect("the server has seen the attach");
        self.forget();
        Ends { client, server }
    }

    /// Moves bytes until nothing is on its way.
    pub fn run(&mut self) {
        for _ in 0..100_000 {
            self.transmit();
            let next = [&self.at_client, &self.at_server]
                .iter()
                .filter_map(|side| side.wire.pieces.front())
                .map(|(at, _)| *at)
                .min();
            match next {
                Some(at) => self.now = self.now.max(at),
                None => return,
            }
            self.receive();
        }
        panic!("the pair does not come to rest");
    }

    /// Lets time pass, with its timers.
    pub fn advance(&mut self, duration: Nanos) {
        let end = self.now + duration;
        loop {
            self.run();
            let next = [self.client.poll_timeout(), self.server.poll_timeout()].into_iter().flatten().min();
            match next {
                Some(at) if at <= end => self.now = self.now.max(at),
                _ => break,
            }
            self.client.handle_timeout(self.now);
            self.server.handle_timeout(self.now);
            self.receive();
        }
        self.now = self.now.max(end);
    }

    /// Forgets all events.
    pub fn forget(&mut self) {
        self.at_client.events.clear();
        self.at_server.events.clear();
    }

    /// All bytes that the client has sent so far.
    pub fn sent_by_client(&self) -> &[u8] {
        &self.at_server.wire.recorded
    }

    /// All bytes that the server has sent so far.
    pub fn sent_by_server(&self) -> &[u8] {
        &self.at_client.wire.recorded
    }

    /// Gives bytes to the server as if the client had sent them.
    pub fn inject_to_server(&mut self, bytes: &[u8]) {
        self.at_server.wire.pieces.push_back((self.now, Bytes::copy_from_slice(bytes)));
    }

    fn transmit(&mut self) {
        let arrival = self.now + self.delay;
        while let Some(output) = self.client.poll_transmit(self.now) {
            self.at_server.wire.put(arrival, output.chunks, &mut self.random);
        }
        while let Some(output) = self.server.poll_transmit(self.now) {
            self.at_client.wire.put(arrival, output.chunks, &mut self.random);
        }
    }

    fn receive(&mut self) {
        loop {
            let at_client = self.at_client.wire.take(self.now);
            let at_server = self.at_server.wire.take(self.now);
            let idle = at_client.is_none() && at_server.is_none();
            collect(&mut self.client, self.now, &at_client.unwrap_or_default(), &mut self.at_client.events);
            let before = self.at_server.events.len();
            collect(&mut self.server, self.now, &at_server.unwrap_or_default(), &mut self.at_server.events);
            if self.server_accepts {
                self.accept_from(before);
            }
            if idle {
                return;
            }
        }
    }

    /// Answers what the server has seen since; the answers may let it see more.
    fn accept_from(&mut self, mut at: usize) {
        while at < self.at_server.events.len() {
            match &self.at_server.events[at] {
                Seen::SaslInit { .. } => self.server.sasl_outcome(SaslCode::Ok),
                Seen::Other(Event::Open) => self.server.open(Open::default()),
                Seen::Other(Event::Attach { link, attach }) => {
                    let answer =
                        Attach { source: attach.source.clone(), target: attach.target.clone(), ..Attach::default() };
                    self.server.accept_link(*link, Attach { snd_settle_mode: attach.snd_settle_mode, ..answer });
                }
                _ => {}
            }
            at += 1;
            collect(&mut self.server, self.now, &[], &mut self.at_server.events);
        }
    }
}

fn collect(connection: &mut Connection, now: Nanos, bytes: &[u8], events: &mut Vec<Seen>) {
    let mut input = bytes;
    while let Some(event) = connection.next_event(now, &mut input) {
        events.push(Seen::new(event));
    }
    assert!(input.is_empty(), "input is taken whole");
}

impl Wire {
    fn put(&mut self, arrival: Nanos, chunks: Vec<Bytes>, random: &mut fastrand::Rng) {
        for mut chunk in chunks {
            self.recorded.extend_from_slice(&chunk);
            while !chunk.is_empty() {
                let size = if random.bool() { chunk.len() } else { random.usize(1..=chunk.len().min(300)) };
                self.pieces.push_back((arrival, chunk.split_to(size)));
            }
        }
    }

    fn take(&mut self, now: Nanos) -> Option<Bytes> {
        let (_, bytes) = self.pieces.pop_front_if(|(arrival, _)| *arrival <= now)?;
        Some(bytes)
    }
}

/// Both ends of one link.
#[derive(Debug, Clone, Copy)]
pub struct Ends {
    pub client: LinkId,
    pub server: LinkId,
}

/// What a client says to attach a link to a queue of that name.
pub fn link(name: &str, role: Role) -> Attach {
    Attach {
        name: name.to_owned(),
        role,
        source: Some(Source::at(name)),
        target: Some(Target::at(name)),
        ..Attach::default()
    }
}

/// Sends an unsettled message whose tag is its token.
pub fn send(connection: &mut Connection, link: LinkId, token: u64, body: impl Into<Bytes>) -> Result<u32, SendError> {
    let (tag, body) = (token.to_be_bytes(), body.into());
    let delivery = Delivery { token, tag: &tag, settled: false, format: 0, state: None, head: b"head:", body: &body };
    connection.send(link, delivery)
}

/// Sends `count` unsettled messages with the same body, whose tokens count from 0.
pub fn send_many(connection: &mut Connection, link: LinkId, count: u64, body: impl Into<Bytes>) {
    let body = body.into();
    for token in 0..count {
        send(connection, link, token, body.clone()).expect("there is credit");
    }
}

/// Payloads of the messages in a list of events.
pub fn payloads(events: &[Seen]) -> Vec<&[u8]> {
    events
        .iter()
        .filter_map(|seen| if let Seen::Message { payload, .. } = seen { Some(payload.as_slice()) } else { None })
        .collect()
}

/// Tokens of the outcomes in a list of events.
pub fn outcomes(events: &[Seen]) -> Vec<u64> {
    let token = |seen: &Seen| if let Seen::Other(Event::Outcome { token, .. }) = seen { Some(*token) } else { None };
    events.iter().filter_map(token).collect()
}

/// Ids of the messages in a list of events.
pub fn delivery_ids(events: &[Seen]) -> Vec<u32> {
    let id = |seen: &Seen| if let Seen::Message { delivery_id, .. } = seen { Some(*delivery_id) } else { None };
    events.iter().filter_map(id).collect()
}

/// The frames in a recorded stream, without protocol headers: type, channel and body.
pub fn frames(mut stream: &[u8]) -> Vec<(u8, u16, Vec<u8>)> {
    let mut frames = Vec::new();
    while !stream.is_empty() {
        if stream.starts_with(b"AMQP") {
            stream = &stream[8..];
            continue;
        }
        let size = u32::from_be_bytes(stream[..4].try_into().unwrap()) as usize;
        frames.push((stream[5], u16::from_be_bytes([stream[6], stream[7]]), stream[8..size].to_vec()));
        stream = &stream[size..];
    }
    frames
}

/// How many AMQP frames of a recorded stream have this performative.
pub fn count_frames(stream: &[u8], code: u8) -> usize {
    frames(stream).iter().filter(|(kind, _, body)| *kind == 0 && body.starts_with(&[0, 0x53, code])).count()
}
