//! A client that publishes to and consumes from one queue, and remembers what it was promised.
//!
//! Owns the ledger of its queue and the verdict on it. Knows no server process, only addresses.

use amqp::message::{Body, Header, Properties};
use amqp::{Attach, ClientSasl, Config, Connection, Delivery, Event, LinkId, Outcome, Role, Source, Target};
use reactor::{Reactor, SocketId};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::net::SocketAddr;

const WINDOW: usize = 64;
const TICK: u64 = 1_000_000;
const TIMER_TICK: u64 = 1;

/// What was promised and what came.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    attempted: BTreeSet<u64>,
    /// By connection, in the order of the confirmations.
    confirmed: Vec<Vec<u64>>,
    delivered: BTreeMap<u64, u32>,
    acknowledged: BTreeSet<u64>,
    released: BTreeSet<u64>,
    /// Deliveries of known messages by a server that was replaced and did not know it yet.
    pub(crate) repeated_by_replaced: u64,
}

/// What kind of client it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Habits {
    /// How long it waits for an answer, in nanoseconds; how soon it connects again follows from it.
    pub(crate) patience: u64,
    /// Its messages have fewer bytes than this, beside their number.
    pub(crate) body_bytes_max: usize,
    /// It publishes fewer messages than this each millisecond.
    pub(crate) messages_max: u64,
}

/// One client process.
#[derive(Debug)]
pub(crate) struct Client {
    reactor: Reactor,
    queue: &'static str,
    servers: [SocketAddr; 2],
    habits: Habits,
    turn: usize,
    random: fastrand::Rng,
    link: Option<Link>,
    publishing: bool,
    next_id: u64,
    /// What it knows.
    pub(crate) ledger: Ledger,
    /// When it last received something, or was not served, or waited for an answer.
    busy_at: u64,
    /// Messages that it receives before it grants again; 0 = it only publishes.
    window: u32,
    /// The server that became active last.
    active: Option<usize>,
}

#[derive(Debug)]
struct Link {
    socket: SocketId,
    /// Which of the servers it leads to.
    server: usize,
    connected: bool,
    sending: bool,
    protocol: Connection,
    sender: LinkId,
    receiver: LinkId,
    unconfirmed: usize,
    unacknowledged: HashMap<u32, u64>,
    since_grant: u32,
}

impl Client {
    /// A client of `queue` behind two servers.
    pub(crate) fn new(
        reactor: Reactor,
        queue: &'static str,
        servers: [SocketAddr; 2],
        habits: Habits,
        seed: u64,
    ) -> Client {
        Client {
            reactor,
            queue,
            servers,
            habits,
            turn: 0,
            random: fastrand::Rng::with_seed(seed),
            link: None,
            publishing: true,
            next_id: 1,
            ledger: Ledger::default(),
            busy_at: 0,
            window: WINDOW as u32,
            active: None,
        }
    }

    /// The first turn.
    pub(crate) fn start(&mut self) {
        self.connect();
        self.tick();
    }

    /// From now on it publishes only.
    pub(crate) fn stop_receiving(&mut self) {
        self.window = 0;
        self.disconnect();
    }

    /// From now on it receives only.
    pub(crate) fn stop_publishing(&mut self) {
        self.publishing = false;
        self.window = WINDOW as u32;
        self.disconnect();
    }

    /// How long it has been served, with nothing to receive and nothing unanswered, in nanoseconds.
    pub(crate) fn idle_for(&self) -> u64 {
        self.reactor.now() - self.busy_at
    }

    fn tick(&mut self) {
        self.reactor.set_timer(self.reactor.now() + TICK, TIMER_TICK);
    }

    fn connect(&mut self) {
        let now = self.reactor.now();
        let server = self.turn % 2;
        let address = self.servers[server];
        self.turn += 1;
        let socket = self.reactor.connect(address);
        let config = Config {
            container_id: "client".into(),
            idle_timeout_ms: (self.habits.patience / 500_000) as u32,
            ..Config::default()
        };
        let mut protocol = Connection::client(config, Some(ClientSasl::Anonymous), now);
        protocol.open(amqp::Open { container_id: "client".into(), ..amqp::Open::default() });
        let session = protocol.begin();
        let end = |role| Attach {
            name: format!("{role:?}"),
            role,
            source: Some(if role == Role::Receiver { Source::at(self.queue) } else { Source::default() }),
            target: Some(if role == Role::Sender { Target::at(self.queue) } else { Target::default() }),
            ..Attach::default()
        };
        let sender = protocol.attach(session, end(Role::Sender));
        let receiver = protocol.attach(session, end(Role::Receiver));
        protocol.grant(receiver, self.window, false);
        self.ledger.confirmed.push(Vec::new());
        self.link = Some(Link {
            socket,
            server,
            connected: false,
            sending: false,
            protocol,
            sender,
            receiver,
            unconfirmed: 0,
            unacknowledged: HashMap::new(),
            since_grant: 0,
        });
        self.reactor.set_timer(now + self.habits.patience, 2 + self.turn as u64);
    }

    /// One turn of the process. `active`: the server that became active last.
    pub(crate) fn turn(&mut self, active: Option<usize>) {
        self.active = active;
        let mut events = VecDeque::new();
        self.reactor.wait(&mut events).expect("a simulated wait does not fail");
        while let Some(event) = events.pop_front() {
            let own = |socket| self.link.as_ref().is_some_and(|link| link.socket == socket);
            match event {
                reactor::Event::Connected { socket } if own(socket) => self.link.as_mut().unwrap().connected = true,
                reactor::Event::Sent { socket } if own(socket) => self.link.as_mut().unwrap().sending = false,
                reactor::Event::Received { socket, data } if own(socket) => self.take_in(&data),
                reactor::Event::Closed { socket, .. } if own(socket) => self.disconnect(),
                reactor::Event::Timer(TIMER_TICK) => self.on_tick(),
                // The patience with a server that accepts and then says nothing.
                reactor::Event::Timer(token) if token == 2 + self.turn as u64 && self.is_ignored() => self.disconnect(),
                _ => {}
            }
        }
        if !self.link.as_ref().is_some_and(Link::is_at_rest) {
            self.busy_at = self.reactor.now();
        }
        self.transmit();
    }

    fn is_ignored(&self) -> bool {
        self.link.as_ref().is_some_and(|link| link.protocol.link_credit(link.sender) == 0 && link.unconfirmed == 0)
    }

    fn on_tick(&mut self) {
        let now = self.reactor.now();
        if let Some(link) = &mut self.link {
            if link.protocol.poll_timeout().is_some_and(|at| at <= now) {
                link.protocol.handle_timeout(now);
                self.take_in(&[]);
            }
        } else if self.random.u64(..(self.habits.patience / 50).max(TICK)) < TICK {
            self.connect();
        }
        self.publish();
        self.tick();
    }

    fn disconnect(&mut self) {
        if let Some(link) = self.link.take() {
            self.reactor.close(link.socket);
        }
    }

    fn publish(&mut self) {
        let Some(link) = &mut self.link else { return };
        let mut count = self.random.u64(..self.habits.messages_max);
        while self.publishing && count > 0 && link.unconfirmed < WINDOW && link.protocol.link_credit(link.sender) > 0 {
            count -= 1;
            let id = self.next_id;
            self.next_id += 1;
            let mut body = id.to_be_bytes().to_vec();
            body.resize(8 + self.random.usize(..self.habits.body_bytes_max), id as u8);
            let header = Header { durable: true, ..Header::default() };
            let payload = amqp::message::encode(header, &Properties::default(), &[], Body::Data(&body));
            let tag = id.to_be_bytes();
            let delivery =
                Delivery { token: id, tag: &tag, settled: false, format: 0, state: None, head: &[], body: &payload };
            self.ledger.attempted.insert(id);
            link.protocol.send(link.sender, delivery).expect("there is credit");
            link.unconfirmed += 1;
        }
    }

    fn take_in(&mut self, mut input: &[u8]) {
        let now = self.reactor.now();
        let Some(mut link) = self.link.take() else { return };
        let mut over = false;
        while let Some(event) = link.protocol.next_event(now, &mut input) {
            match event {
                Event::Message(message) => {
                    let (session, delivery_id) = (message.link.session, message.delivery_id);
                    let sections = amqp::message::scan(message.payload).expect("the broker sends valid messages");
                    let body = sections.data(message.payload).expect("one data section");
                    let id = u64::from_be_bytes(body[..8].try_into().unwrap());
                    let is_whole =
                        body[8..].chunks(64).all(|part| part.iter().fold(0, |all, byte| all | (byte ^ id as u8)) == 0);
                    assert!(is_whole, "message {id} is damaged");
                    let header = sections.header;
                    self.busy_at = now;
                    let is_marked = header.delivery_count > 0 || !header.first_acquirer;
                    // What a server handed out before it was replaced may be under way: nothing could stop it. Afterwards it
                    // hands out nothing before it looks at its slot.
                    let is_replaced = self.active.is_some_and(|active| active != link.server);
                    self.ledger.deliver(id, is_marked, is_replaced);
                    match self.random.u8(..10) {
                        0 => {
                            self.ledger.released.insert(id);
                            link.protocol.settle(session, delivery_id, Outcome::Released, true);
                        }
                        1 => link.protocol.settle(session, delivery_id, Outcome::Accepted, true),
                        _ => {
                            link.unacknowledged.insert(delivery_id, id);
                            link.protocol.settle(session, delivery_id, Outcome::Accepted, false);
                        }
                    }
                    link.since_grant += 1;
                    if link.since_grant >= WINDOW as u32 / 2 {
                        link.since_grant = 0;
                        link.protocol.grant(link.receiver, self.window, false);
                    }
                }
                Event::Outcome { token, outcome, .. } => {
                    link.unconfirmed -= 1;
                    if outcome == Some(Outcome::Accepted) {
                        self.ledger.confirmed.last_mut().expect("this connection's").push(token);
                    }
                }
                Event::SettledByPeer { first, last, .. } => {
                    let ids = &mut self.ledger.acknowledged;
                    link.unacknowledged.retain(|delivery_id, id| {
                        let settled = (first..=last).contains(delivery_id);
                        if settled {
                            ids.insert(*id);
                        }
                        !settled
                    });
                }
                Event::Close { .. } | Event::Failed(_) | Event::Detach { .. } | Event::End { .. } => over = true,
                _ => {}
            }
        }
        if over {
            self.reactor.close(link.socket);
        } else {
            self.link = Some(link);
        }
    }

    fn transmit(&mut self) {
        let now = self.reactor.now();
        if let Some(link) = &mut self.link
            && link.connected
            && !link.sending
            && let Some(output) = link.protocol.poll_transmit(now)
        {
            link.sending = true;
            self.reactor.send(link.socket, output.chunks);
        }
    }
}

impl Link {
    /// The server grants credit, which only an active one does, and owes no answer.
    fn is_at_rest(&self) -> bool {
        self.protocol.link_credit(self.sender) > 0 && self.unconfirmed == 0 && self.unacknowledged.is_empty()
    }
}

impl Ledger {
    fn deliver(&mut self, id: u64, marked: bool, replaced: bool) {
        assert!(self.attempted.contains(&id), "message {id} was never sent");
        if replaced && (self.acknowledged.contains(&id) || self.delivered.contains_key(&id)) {
            self.repeated_by_replaced += 1;
            return;
        }
        assert!(
            !self.acknowledged.contains(&id),
            "the confirmed acknowledgement of message {id} was lost: it came back"
        );
        let times = self.delivered.entry(id).or_default();
        // A released message goes out again as it was.
        assert!(*times == 0 || marked || self.released.contains(&id), "message {id} was repeated without a mark");
        *times += 1;
    }

    /// How many messages were confirmed.
    pub(crate) fn confirmed(&self) -> usize {
        self.confirmed.iter().map(Vec::len).sum()
    }

    /// Checks the promise of a sync store: everything confirmed was delivered.
    pub(crate) fn check_sync(&self) {
        let missing = |id: &&u64| !self.delivered.contains_key(id);
        let lost: Vec<_> = self.confirmed.iter().flatten().filter(missing).collect();
        assert!(lost.is_empty(), "{} confirmed messages were lost: {lost:?}", lost.len());
    }

    /// Checks the promise of an async store: what is lost of each connection is the end of what it was confirmed.
    pub(crate) fn check_async(&self) {
        for confirmed in &self.confirmed {
            let kept = confirmed.iter().rposition(|id| self.delivered.contains_key(id)).map_or(0, |last| last + 1);
            let hole = confirmed[..kept].iter().find(|id| !self.delivered.contains_key(id));
            assert!(hole.is_none(), "message {hole:?} was lost although a later one of the same connection was kept");
        }
    }
}
