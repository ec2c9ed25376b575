//! Owns [`Application`]: the connection under test, what its application knows, and what must hold.

use std::collections::BTreeSet;

use amqp::{
    Attach, ClientSasl, Config, Connection, Delivery, Error, Event, LinkId, Open, Outcome, Role, SaslCode, SessionId,
    Source, Target, Value, condition,
};
use bytes::Bytes;

use crate::peer::{HEADER, HEADER_SASL, Peer, open};
use crate::program::Program;

/// Output that is queued is never more than its limit, one message and the control frames that may be refused.
const OUTPUT_BYTES_MAX: usize = 8 << 20;

/// How often things happened in a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reached {
    /// Messages received.
    pub messages: u64,
    /// Messages sent unsettled.
    pub sent: u64,
    /// Outcomes of those.
    pub outcomes: u64,
    /// Those that came back without one.
    pub returned: u64,
    /// Links that ended.
    pub detaches: u64,
    /// Sessions that ended.
    pub ends: u64,
    /// Connections that failed.
    pub failures: u64,
    /// Connections that were closed in order.
    pub closes: u64,
}

impl std::ops::AddAssign for Reached {
    fn add_assign(&mut self, other: Self) {
        self.messages += other.messages;
        self.sent += other.sent;
        self.outcomes += other.outcomes;
        self.returned += other.returned;
        self.detaches += other.detaches;
        self.ends += other.ends;
        self.failures += other.failures;
        self.closes += other.closes;
    }
}

/// The connection under test and its application.
#[derive(Debug)]
pub(crate) struct Application {
    connection: Connection,
    peer: Peer,
    now: u64,
    /// Tokens of deliveries that were sent unsettled and have not come back.
    live: BTreeSet<u64>,
    next_token: u64,
    sessions: Vec<SessionId>,
    links: Vec<LinkId>,
    received: Vec<(SessionId, u32)>,
    /// Deliveries whose outcome came unsettled.
    answered: Vec<(SessionId, u32)>,
    /// Output that was not looked at, because a frame may lie in two pieces.
    unread: Vec<u8>,
    ended: bool,
    reached: Reached,
}

impl Application {
    /// The first byte says which end this is and how far the handshake has got.
    pub(crate) fn new(kind: u8) -> Self {
        let mut config =
            Config { max_frame_size: 4096, incoming_window: 1 + u32::from(kind >> 4), ..Config::default() };
        config.limits.message_size_max = 2000;
        config.limits.assembly_bytes_max = 3000;
        config.limits.output_bytes_max = 100_000;
        config.limits.links_max = 12;
        config.limits.unsettled_max = 50;
        let connection = match kind % 4 {
            0 | 1 => Connection::server(config, 0),
            2 => Connection::client(config, None, 0),
            _ => Connection::client(config, Some(ClientSasl::Plain { user: "u".into(), password: "p".into() }), 0),
        };
        let mut application = Self {
            connection,
            peer: Peer::default(),
            now: 0,
            live: BTreeSet::new(),
            next_token: 0,
            sessions: Vec::new(),
            links: Vec::new(),
            received: Vec::new(),
            answered: Vec::new(),
            unread: Vec::new(),
            ended: false,
            reached: Reached::default(),
        };
        if kind % 4 == 1 || kind % 4 == 2 {
            application.open();
        }
        application
    }

    /// Gets through the handshake, which a random program hardly finds.
    fn open(&mut self) {
        self.connection.open(Open::default());
        self.feed(HEADER);
        self.feed(&open(600));
    }

    /// One instruction: of the peer, of the application, or of the clock.
    pub(crate) fn step(&mut self, instruction: u8, program: &mut Program<'_>) {
        match instruction {
            0..150 => {
                let frame = self.peer.next_frame(instruction, program);
                self.feed(&frame);
            }
            150 if program.byte() < 10 => self.feed(program.raw()),
            151 if program.byte() < 40 => self.feed(&[HEADER, &open(512)].concat()),
            152 if program.byte() < 40 => self.feed(HEADER_SASL),
            150..165 => self.transmit(program),
            165..170 => {
                self.now += u64::from(program.byte()) * 50_000_000;
                self.connection.handle_timeout(self.now);
                self.feed(&[]);
            }
            _ => self.command(instruction, program),
        }
        assert!(self.connection.output_bytes() < OUTPUT_BYTES_MAX);
    }

    fn command(&mut self, instruction: u8, program: &mut Program<'_>) {
        let (Some(link), Some(session)) = (pick(&self.links, program), pick(&self.sessions, program)) else {
            return self.begin();
        };
        match instruction {
            170..190 => self.send(link, program),
            190..205 => self.connection.grant(link, program.number() % 40, program.flag()),
            205..220 => {
                if let Some((session, id)) = pick(&self.received, program) {
                    let outcome = if program.flag() { Outcome::Accepted } else { Outcome::Released };
                    self.connection.settle(session, id, outcome, program.flag());
                }
            }
            220..225 => self.connection.drained(link),
            225..230 => {
                if let Some((session, id)) = self.answered.pop() {
                    self.connection.settle_sent(session, id, Some(Outcome::Accepted));
                }
            }
            230 => self.connection.detach(link, program.flag(), None),
            233 if program.flag() => self.connection.refuse_link(link, Error::new(condition::NOT_FOUND, "")),
            234..238 => self.begin(),
            238..242 => {
                let role = if program.flag() { Role::Sender } else { Role::Receiver };
                self.attach(session, role, &format!("name-{}", program.byte() % 6));
            }
            242 if program.byte() < 60 => {
                self.connection.end(session, None);
            }
            243 if program.byte() < 16 => self.connection.close(None),
            _ => {}
        }
        self.feed(&[]);
    }

    fn begin(&mut self) {
        if !self.ended && self.connection.peer().is_some() {
            let session = self.connection.begin();
            self.sessions.push(session);
            self.attach(session, Role::Sender, "first");
        }
    }

    fn attach(&mut self, session: SessionId, role: Role, name: &str) {
        let (source, target) = (Some(Source::default()), Some(Target::at("q")));
        let attach = Attach { name: name.to_owned(), role, source, target, ..Attach::default() };
        let link = self.connection.attach(session, attach);
        self.links.push(link);
    }

    fn send(&mut self, link: LinkId, program: &mut Program<'_>) {
        let settled = program.byte() < 60;
        let token = self.next_token;
        let body = Bytes::from(vec![7; program.number() as usize % 6000]);
        let tag = token.to_be_bytes();
        let delivery = Delivery { token, tag: &tag, settled, format: 0, state: None, head: b"head", body: &body };
        if self.connection.send(link, delivery).is_ok() {
            self.next_token += 1;
            if !settled {
                self.live.insert(token);
                self.reached.sent += 1;
            }
        }
    }

    /// Input of the peer, and what it makes the connection report.
    fn feed(&mut self, bytes: &[u8]) {
        let mut input = bytes;
        // Every event is caused by something: more of them than this cannot come from one frame and what was pending.
        for _ in 0..100_000 {
            let Some(event) = self.connection.next_event(self.now, &mut input) else {
                assert!(input.is_empty(), "input is taken whole");
                return;
            };
            let reaction = note(event, &mut self.live, &mut self.reached);
            self.react(reaction);
        }
        panic!("events without end");
    }

    fn react(&mut self, reaction: Reaction) {
        match reaction {
            Reaction::None => {}
            Reaction::Sasl => self.connection.sasl_outcome(SaslCode::Ok),
            Reaction::Open => self.connection.open(Open::default()),
            Reaction::Session(session) => self.sessions.push(session),
            Reaction::Link(link, attach) => {
                self.links.push(link);
                self.connection.accept_link(link, *attach);
                self.connection.grant(link, 20, false);
            }
            Reaction::Message(session, id) => self.received.push((session, id)),
            Reaction::Answered(session, id) => self.answered.push((session, id)),
            Reaction::Ended => self.ended = true,
        }
    }

    /// Takes the output, checks that a peer could read it, and lets the peer answer.
    fn transmit(&mut self, program: &mut Program<'_>) {
        while let Some(output) = self.connection.poll_transmit(self.now) {
            assert_eq!(output.bytes, output.chunks.iter().map(Bytes::len).sum::<usize>());
            output.chunks.iter().for_each(|chunk| self.unread.extend_from_slice(chunk));
        }
        let mut answers = Vec::new();
        let size_max = self.connection.peer().map_or(u32::MAX, |peer| peer.max_frame_size.max(512));
        let unread = std::mem::take(&mut self.unread);
        let mut rest = &unread[..];
        while !rest.is_empty() {
            if rest.starts_with(b"AMQP") {
                rest = &rest[8..];
                continue;
            }
            let size = u32::from_be_bytes(rest[..4].try_into().expect("a frame has a size"));
            let (frame, behind) = rest.split_at(size as usize);
            rest = behind;
            if frame.len() > 8 {
                let (performative, _) = Value::decode(&frame[8..]).expect("every frame can be decoded");
                let channel = u16::from_be_bytes([frame[6], frame[7]]);
                answers.extend(self.peer.answer(channel, &performative, program));
                let Value::Described(described) = performative else { panic!("a performative is described") };
                let is_open = described.descriptor == Value::Ulong(0x10);
                assert!(is_open || size <= size_max, "a frame of {size} bytes to a peer that takes {size_max}");
            }
        }
        self.feed(&answers);
    }

    /// Every delivery is accounted for.
    pub(crate) fn finish(mut self) -> Reached {
        self.feed(&[]);
        self.transmit(&mut Program::new(&[]));
        let left: BTreeSet<u64> = self.connection.unsettled_tokens().into_iter().map(|(_, token)| token).collect();
        assert_eq!(left, self.live, "every delivery comes back exactly once");
        self.reached
    }
}

/// What the application does about an event, which still borrows from the connection.
enum Reaction {
    None,
    Sasl,
    Open,
    Session(SessionId),
    Link(LinkId, Box<Attach>),
    Message(SessionId, u32),
    Answered(SessionId, u32),
    Ended,
}

fn note(event: Event<'_>, live: &mut BTreeSet<u64>, reached: &mut Reached) -> Reaction {
    let mut take = |token: u64| assert!(live.remove(&token), "token {token} came back twice or was never sent");
    match event {
        Event::SaslInit { .. } => return Reaction::Sasl,
        Event::Open => return Reaction::Open,
        Event::Begin(session) => return Reaction::Session(session),
        Event::Attach { link, attach } => return Reaction::Link(link, attach),
        Event::Message(message) => {
            assert!(message.tag.len() <= 32);
            assert!(message.payload.len() <= 2000);
            reached.messages += 1;
            return Reaction::Message(message.link.session, message.delivery_id);
        }
        Event::Outcome { link, delivery_id, token, outcome, settled } => {
            if settled || outcome.as_ref().is_some_and(Outcome::is_terminal) {
                take(token);
                reached.outcomes += 1;
                if !settled {
                    return Reaction::Answered(link.session, delivery_id);
                }
            }
        }
        Event::Detach { unsettled, .. } => {
            reached.detaches += 1;
            reached.returned += unsettled.len() as u64;
            unsettled.into_iter().for_each(take);
        }
        Event::End { unsettled, .. } => {
            reached.ends += 1;
            reached.returned += unsettled.len() as u64;
            unsettled.into_iter().for_each(|(_, token)| take(token));
        }
        Event::Close { .. } => {
            reached.closes += 1;
            return Reaction::Ended;
        }
        Event::Failed(_) | Event::SaslOutcome(_) => {
            reached.failures += 1;
            return Reaction::Ended;
        }
        Event::Begun(_)
        | Event::Attached { .. }
        | Event::Flow { .. }
        | Event::Drained { .. }
        | Event::SettledByPeer { .. } => {}
    }
    Reaction::None
}

fn pick<T: Copy>(from: &[T], program: &mut Program<'_>) -> Option<T> {
    let at = usize::from(program.byte());
    (!from.is_empty()).then(|| from[at % from.len()])
}
