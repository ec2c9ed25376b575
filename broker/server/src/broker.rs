//! The loop of a shard: completions in, the cores fed and drained, one send per connection and one write per lane out.
//!
//! Owns the state of one server and the order of work within a turn. What each event means is in `inbound`, `outbound`, `peer`,
//! `opening` and `admin`; which server is active is decided in `ha`.

use crate::admin::Admin;
use crate::clock::WallClock;
use crate::config::Configuration;
use crate::connection::Connection;
use crate::connections::{ConnectionId, Connections};
use crate::exchange::Exchange;
use crate::ha::{Ha, Input, Output, Recovered, Standby, State};
use crate::inbound::outcome_of;
use crate::loading::Loaded;
use crate::log::Log;
use crate::login::Logins;
use crate::monitor::{Counters, Publisher, Takeover};
use crate::outbound::Reading;
use crate::pauses::Pauses;
use crate::peer::Attempt;
use crate::reread::{Rereading, Source};
use crate::security::Channel;
use crate::security::directory::Directory;
use crate::stage::Stage;
use crate::temporary::TemporaryQueues;
use crate::tls::{Complaints, Reload, Tls};
use crate::unshared::Unshared;
use amqp::{LinkId, Outcome};
use engine::ConsumerId;
use reactor::{Event, ListenerId, Nanos, Reactor, SocketId};
use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};

/// How long a server that leaves waits for its last words to be sent.
const FAREWELL: Nanos = 500_000_000;
/// How long a clean stop waits for the disk, and the exit code when that was not enough.
const STOP_PATIENCE: Nanos = 10_000_000_000;
const EXIT_UNFINISHED: i32 = 1;
/// How long we wait for a peer's end of file after our own.
const LINGER: Nanos = 2_000_000_000;
/// How often messages whose time has run out are looked for, and how many entries are looked at then.
const SWEEP_INTERVAL: Nanos = 1_000_000_000;
const SWEEP_BUDGET: usize = 10_000;
/// What one turn takes in of what peers sent, and how many messages it hands out; the rest is the next turn's, which follows
/// at once. Found by measuring: some 1.5 us a message of 1 KiB, several times that where memory is new. With twice as much
/// throughput was the same, and a turn met another program on its processor twice as often.
const TURN_RECEIVED_BYTES: usize = 64 << 10;
const TURN_DELIVERIES: usize = 64;
/// A turn that has taken so long takes in nothing more, whatever made it slow: memory that the system gives for the first
/// time costs ten times the work on it, and another process may have had the processor.
const TURN_INTAKE: Nanos = 200_000;

/// What a client may send ahead before it knows whether it is served, in bytes: an open and many attaches.
const HELD_BYTES_MAX: usize = 16 << 10;
/// Files that connections leave to the stores: an eighth of what the process may open, within these bounds.
const DESCRIPTORS_RESERVED_MIN: u64 = 256;
const DESCRIPTORS_RESERVED_MAX: u64 = 4096;
/// Connections beyond that are logged this often.
const TOO_MANY_LOG_PERIOD: Nanos = 10_000_000_000;

/// What clients that open a connection get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Audience {
    /// No answer yet: the server is about to know.
    Wait,
    /// Service.
    Serve,
    /// The way to the active server.
    Refuse,
}

/// What a timer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timer {
    /// The availability machine.
    Ha,
    /// The store.
    Store,
    /// The end of the process.
    Farewell,
    /// Expired messages.
    Sweep,
    /// A connection's protocol.
    Connection(ConnectionId),
    /// The patience with a peer that does not answer our attempt.
    PeerAttempt(ConnectionId),
    /// The patience with a connection that we have half closed.
    Linger(ConnectionId),
    /// Logins that wait for their turn.
    Login,
    /// More of the work at hand, at once: the turn in between sees to all the rest.
    Again,
}

impl Timer {
    const KIND_SHIFT: u32 = 60;

    /// The timer as the reactor's token: the kind in the upper four bits.
    pub(crate) fn to_token(self) -> u64 {
        let (kind, rest) = match self {
            Timer::Ha => (0, 0),
            Timer::Store => (1, 0),
            Timer::Farewell => (2, 0),
            Timer::Sweep => (3, 0),
            Timer::Connection(id) => (4, id.to_token()),
            Timer::PeerAttempt(id) => (5, id.to_token()),
            Timer::Linger(id) => (6, id.to_token()),
            Timer::Again => (7, 0),
            Timer::Login => (8, 0),
        };
        assert!(rest >> Self::KIND_SHIFT == 0, "connection names stay below the timer kinds");
        kind << Self::KIND_SHIFT | rest
    }

    fn from_token(token: u64) -> Timer {
        let id = ConnectionId::from_token(token & ((1 << Self::KIND_SHIFT) - 1));
        match token >> Self::KIND_SHIFT {
            0 => Timer::Ha,
            1 => Timer::Store,
            2 => Timer::Farewell,
            3 => Timer::Sweep,
            4 => Timer::Connection(id),
            5 => Timer::PeerAttempt(id),
            6 => Timer::Linger(id),
            8 => Timer::Login,
            _ => Timer::Again,
        }
    }
}

/// How a server ends.
#[derive(Clone, Debug)]
struct Exit {
    code: i32,
    at: Nanos,
    /// Earlier, once all connections are gone.
    when_alone: bool,
}

/// What is left of a turn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TurnBudget {
    pub(crate) received_bytes: usize,
    pub(crate) deliveries: usize,
}

impl TurnBudget {
    const FULL: TurnBudget = TurnBudget { received_bytes: TURN_RECEIVED_BYTES, deliveries: TURN_DELIVERIES };

    fn is_spent(self) -> bool {
        self.received_bytes == 0 || self.deliveries == 0
    }
}

/// One server.
#[derive(Debug)]
pub struct Broker {
    pub(crate) configuration: Configuration,
    pub(crate) reactor: Reactor,
    pub(crate) exchange: Exchange,
    pub(crate) ha: Ha,
    pub(crate) log: Log,
    pub(crate) clock: WallClock,
    pub(crate) connections: Connections,
    pub(crate) consumers: HashMap<ConsumerId, (ConnectionId, LinkId)>,
    pub(crate) reading: Reading,
    pub(crate) audience: Audience,
    pub(crate) waiting: Vec<ConnectionId>,
    pub(crate) stalled: Vec<ConnectionId>,
    /// Users, groups and permissions as they are now.
    pub(crate) directory: Directory,
    pub(crate) logins: Logins,
    pub(crate) admin: Admin,
    /// There is something to do for logins within this turn.
    pub(crate) logins_under_way: bool,
    /// Connections that may exist, whatever they have said so far.
    connections_ceiling: usize,
    too_many_logged_at: Option<Nanos>,
    pub(crate) attempt: Attempt,
    pub(crate) rereading: Rereading,
    pub(crate) unshared: Unshared,
    pub(crate) temporary: TemporaryQueues,
    pub(crate) peer_address: Option<SocketAddr>,
    pub(crate) peer_links: Vec<ConnectionId>,
    addresses: HashMap<ConnectionId, SocketAddr>,
    /// Clients sent away lately, by address and container-id, and when.
    pub(crate) turned_away: HashMap<(Option<IpAddr>, String), Nanos>,
    listeners: Vec<ListenerId>,
    /// Those of `ssl://`.
    tls_listeners: Vec<ListenerId>,
    /// What new connections are encrypted with.
    pub(crate) tls: Tls,
    pub(crate) reload: Reload,
    pub(crate) complaints: Complaints,
    events: VecDeque<Event>,
    pub(crate) pauses: Pauses,
    pub(crate) counters: Counters,
    pub(crate) publisher: Option<Publisher>,
    pub(crate) budget: TurnBudget,
    /// Whether the store is still ours is not known: clients are told nothing.
    pub(crate) is_unsure: bool,
    /// A clean stop is under way: nothing is taken in.
    pub(crate) stopping: bool,
    exit: Option<Exit>,
}

/// What a server is made of.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) configuration: Configuration,
    pub(crate) reactor: Reactor,
    pub(crate) exchange: Exchange,
    pub(crate) ha: Ha,
    pub(crate) log: Log,
    pub(crate) clock: WallClock,
    pub(crate) peer_address: Option<SocketAddr>,
    pub(crate) source: Option<Source>,
    pub(crate) unshared: Unshared,
    pub(crate) temporary: TemporaryQueues,
    pub(crate) listeners: Vec<ListenerId>,
    pub(crate) tls_listeners: Vec<ListenerId>,
    pub(crate) tls: Tls,
    pub(crate) logins: Logins,
    pub(crate) admin: Admin,
}

impl Broker {
    /// Joins the parts; nothing happens before [`Broker::start`].
    pub(crate) fn new(parts: Parts) -> Broker {
        Broker {
            admin: parts.admin,
            directory: Directory::new(&parts.configuration),
            logins: parts.logins,
            logins_under_way: false,
            connections_ceiling: usize::MAX,
            too_many_logged_at: None,
            configuration: parts.configuration,
            reactor: parts.reactor,
            exchange: parts.exchange,
            ha: parts.ha,
            log: parts.log,
            clock: parts.clock,
            connections: Connections::default(),
            consumers: HashMap::new(),
            reading: Reading::new(),
            audience: Audience::Wait,
            waiting: Vec::new(),
            stalled: Vec::new(),
            attempt: Attempt::default(),
            rereading: Rereading::new(parts.source),
            unshared: parts.unshared,
            temporary: parts.temporary,
            peer_address: parts.peer_address,
            peer_links: Vec::new(),
            addresses: HashMap::new(),
            turned_away: HashMap::new(),
            tls_listeners: parts.tls_listeners,
            listeners: parts.listeners,
            tls: parts.tls,
            reload: Reload::default(),
            complaints: Complaints::default(),
            events: VecDeque::new(),
            pauses: Pauses::new(),
            counters: Counters::new(),
            publisher: None,
            budget: TurnBudget::FULL,
            is_unsure: false,
            stopping: false,
            exit: None,
        }
    }

    /// Begins: watches the store, looks for the peer.
    pub fn start(&mut self) {
        let now = self.reactor.now();
        self.reactor.set_sync_delay(self.configuration.debug_sync_delay_ns);
        self.reactor.set_timer(now + SWEEP_INTERVAL, Timer::Sweep.to_token());
        self.exchange.store.watch(now);
        self.ha.handle(now, Input::Start);
        self.finish_turn(now);
    }

    /// Lets connections take so many of the `descriptors` that this process may have open that the stores have some left.
    pub(crate) fn share_descriptors(&mut self, descriptors: u64) {
        let reserved = (descriptors / 8).clamp(DESCRIPTORS_RESERVED_MIN, DESCRIPTORS_RESERVED_MAX);
        self.connections_ceiling = usize::try_from(descriptors.saturating_sub(reserved)).unwrap_or(usize::MAX);
    }

    /// Turns until the end; the result is the exit code of the process.
    ///
    /// # Errors
    /// The ring itself failed.
    pub fn run(&mut self) -> io::Result<i32> {
        loop {
            if let Some(code) = self.turn()? {
                return Ok(code);
            }
        }
    }

    /// Waits for completions and works them off. Gives the exit code once the server has ended.
    ///
    /// # Errors
    /// The ring itself failed.
    pub fn turn(&mut self) -> io::Result<Option<i32>> {
        let mut events = std::mem::take(&mut self.events);
        self.reactor.wait(&mut events)?;
        let now = self.reactor.now();
        self.budget = TurnBudget::FULL;
        self.beat_in_time(now);
        self.review_ownership(now);
        while self.budget.received_bytes > 0
            && let Some(event) = events.pop_front()
        {
            self.handle(now, event);
            if self.reactor.now() >= now + TURN_INTAKE {
                self.budget.received_bytes = 0;
            }
        }
        self.events = events;
        self.finish_turn(now);
        self.end_turn(now);
        let over = self.exit.as_ref().filter(|exit| exit.at <= now || (exit.when_alone && self.connections.len() == 0));
        Ok(over.map(|exit| exit.code))
    }

    /// Heartbeats come before what peers sent: as much of that may wait as the receive buffers hold, many turns' worth.
    fn beat_in_time(&mut self, now: Nanos) {
        if let Some(due) = self.ha.beat_in_time(now) {
            self.counters.link_beats.made(due);
        }
        if let Some(due) = self.exchange.store.beat_in_time(now) {
            self.counters.store_beats.made(due);
        }
    }

    /// Heartbeats also leave before data: the kernel sees to requests in their order.
    fn send_heartbeats(&mut self, now: Nanos) {
        if self.counters.link_beats.is_waiting() {
            for id in self.peer_links.clone() {
                self.finish_connection(now, id);
            }
        }
    }

    fn end_turn(&mut self, began: Nanos) {
        let now = self.reactor.now();
        self.pauses.record(now - began);
        self.counters.turns.record(now - began);
        self.counters.store_beats.sent(now);
        if self.peer_links.is_empty() {
            self.counters.link_beats.dropped();
        } else if self.counters.link_beats.is_waiting() && !self.peer_links.iter().any(|id| self.has_output(*id)) {
            self.counters.link_beats.sent(now);
        }
        self.publish(now);
    }

    fn has_output(&self, id: ConnectionId) -> bool {
        self.connections.get(id).is_some_and(|connection| connection.protocol.output_bytes() > 0)
    }

    /// What this server is at the moment.
    pub fn state(&self) -> State {
        self.ha.state()
    }

    fn handle(&mut self, now: Nanos, event: Event) {
        match event {
            Event::Accepted { listener, socket, peer } => self.accepted(now, listener, socket, peer),
            Event::AcceptFailed { error, .. } => {
                self.log.line(format!(
                    "A connection could not be accepted: {error}; raise the limit of open files if this goes on"
                ));
            }
            Event::Connected { socket } | Event::Sent { socket } => {
                if let Some(id) = self.connections.by_socket(socket)
                    && let Some(connection) = self.connections.touch(id)
                {
                    connection.sent();
                }
            }
            Event::Received { socket, data } => {
                self.budget.received_bytes = self.budget.received_bytes.saturating_sub(data.len());
                if let Some(id) = self.connections.by_socket(socket) {
                    self.receive(now, id, &data);
                }
            }
            Event::Closed { socket, error } => {
                if let Some(id) = self.connections.by_socket(socket) {
                    self.lost(id, error);
                }
            }
            Event::Disk(done) => self.exchange.store.handle_disk(now, done),
            Event::Timer(token) => self.timer(now, Timer::from_token(token)),
            Event::Signal(signal) => self.signal(now, signal),
            Event::Woken => self.logins_under_way = true,
        }
    }

    fn accepted(&mut self, now: Nanos, listener: ListenerId, socket: SocketId, peer: SocketAddr) {
        if self.connections.len() >= self.connections_ceiling {
            self.reactor.close(socket);
            if self.too_many_logged_at.is_none_or(|at| now >= at + TOO_MANY_LOG_PERIOD) {
                self.too_many_logged_at = Some(now);
                let limit = self.connections_ceiling;
                self.log.line(format!(
                    "Closed a connection from {peer}: there are {limit} already, which is what the limit of open files allows; raise it with `ulimit -n`"
                ));
            }
            return;
        }
        let session = if self.tls_listeners.contains(&listener) { self.tls.accept() } else { None };
        let channel = Channel { address: Some(peer.ip()), is_encrypted: session.is_some(), certificate_name: None };
        let protocol = self.accepting_protocol(now, now, &channel);
        let mut connection = Connection::new(socket, protocol, session, false);
        (connection.channel, connection.accepted_at) = (channel, now);
        let id = self.connections.insert(connection);
        self.addresses.insert(id, peer);
        self.counters.accepted += 1;
    }

    /// The protocol of a connection from outside; `accepted_at` begins its handshake_timeout.
    pub(crate) fn accepting_protocol(&mut self, now: Nanos, accepted_at: Nanos, channel: &Channel) -> amqp::Connection {
        let config = amqp::Config { sasl_mechanisms: self.sasl_offer(now, channel), ..self.protocol_config() };
        amqp::Connection::server(config, accepted_at)
    }

    /// How connections are made, on either side.
    pub(crate) fn protocol_config(&self) -> amqp::Config {
        let configuration = &self.configuration;
        amqp::Config {
            container_id: configuration.server.clone(),
            require_sasl: configuration.authorization,
            idle_timeout_ms: u32::try_from(configuration.client_timeout_ns / 1_000_000).unwrap_or(u32::MAX),
            limits: amqp::Limits {
                message_size_max: configuration.message_bytes_max,
                held_bytes_max: HELD_BYTES_MAX,
                handshake_timeout_ms: (configuration.handshake_timeout_ns / 1_000_000) as u32,
                ..amqp::Limits::default()
            },
            ..amqp::Config::default()
        }
    }

    fn timer(&mut self, now: Nanos, timer: Timer) {
        match timer {
            Timer::Ha => self.ha.handle_timeout(now),
            Timer::Store => self.exchange.store.handle_timeout(now),
            Timer::Farewell | Timer::Again => {}
            Timer::Login => self.logins_under_way = true,
            Timer::Sweep => {
                self.take_certificates();
                self.exchange.engine.sweep(self.clock.wall_ms(now), SWEEP_BUDGET);
                self.expire_temporary(now);
                self.compare_unshared(now);
                self.reactor.set_timer(now + SWEEP_INTERVAL, Timer::Sweep.to_token());
            }
            Timer::Connection(id) => {
                if let Some(connection) = self.connections.touch(id) {
                    connection.handle_timeout(now);
                    self.review(now, id);
                }
            }
            Timer::PeerAttempt(id) => self.attempt_timeout(id),
            Timer::Linger(id) => self.close_socket(id),
        }
    }

    fn signal(&mut self, now: Nanos, signal: i32) {
        if signal == libc::SIGHUP {
            self.log.line("SIGHUP: reading the certificates again");
            self.reload_certificates();
        } else {
            self.log.line(format!("Stopping on signal {signal}"));
            self.stop(now);
        }
    }

    /// Begins a clean stop: what was admitted is finished and answered, the store is closed, clients are sent away.
    pub(crate) fn stop(&mut self, now: Nanos) {
        self.ha.handle(now, Input::Stopping);
    }

    /// The socket is gone: what the connection held goes back.
    fn lost(&mut self, id: ConnectionId, error: Option<io::Error>) {
        let Some(connection) = self.connections.get(id) else { return };
        let was_peer = connection.stage() == Stage::Peer || connection.outgoing;
        self.close_socket(id);
        if was_peer {
            let reason = error.map_or_else(|| "connection closed by the peer".to_string(), |error| error.to_string());
            if self.unshared.is_own(id) {
                self.unshared_failed(&reason);
            }
            self.peer_lost(id, &reason);
        }
    }

    /// Closes a socket and forgets the connection.
    pub(crate) fn close_socket(&mut self, id: ConnectionId) {
        let Some(mut connection) = self.connections.remove(id) else { return };
        self.leave_links(&mut connection);
        let kept_until = self.reactor.now().saturating_add(self.configuration.ft_reconnect_ns);
        self.temporary.connection_lost(id, kept_until);
        self.reactor.close(connection.socket);
        self.addresses.remove(&id);
    }

    /// Where a connection comes from.
    pub(crate) fn address_of(&self, id: ConnectionId) -> Option<IpAddr> {
        self.addresses.get(&id).map(SocketAddr::ip)
    }

    /// A connection, as the log names it.
    pub(crate) fn peer_name(&self, connection: &Connection) -> String {
        let address = self.connections.by_socket(connection.socket).and_then(|id| self.addresses.get(&id));
        let address = address.map_or_else(|| "the peer".to_string(), ToString::to_string);
        match connection.identity.user.as_str() {
            "" => address,
            user => format!("{user}@{address}"),
        }
    }

    /// Takes over a part of what was recovered.
    fn load(&mut self, now: Nanos) {
        if self.stopping || self.exit.is_some() {
            return;
        }
        if self.exchange.load() {
            self.reactor.set_timer(now, Timer::Again.to_token());
        }
        if let Some(Loaded { messages, time }) = self.exchange.loading.report(now) {
            if let Some(takeover) = &mut self.counters.takeover {
                takeover.loading = Some(time);
            }
            self.ha.handle(now, Input::Loaded { messages, ms: time / 1_000_000 });
        }
    }

    fn finish_turn(&mut self, now: Nanos) {
        self.review_ownership(now);
        self.poll_reread(now);
        self.load(now);
        if !self.stalled.is_empty() {
            self.resume_stalled(now, false);
        }
        self.delete_ended();
        loop {
            let mut any = self.apply_effects(now);
            if self.logins_under_way {
                any = true;
                self.continue_logins(now);
            }
            self.exchange.store.flush(now);
            while let Some(event) = self.exchange.store.poll_event() {
                any = true;
                self.store_event(now, event);
            }
            while let Some(output) = self.ha.poll() {
                any = true;
                self.ha_output(now, output);
            }
            if !any {
                break;
            }
        }
        self.send_heartbeats(now);
        self.answer_administrators();
        while let Some(request) = self.exchange.store.poll_disk() {
            self.reactor.submit_disk(request);
        }
        while let Some(id) = self.connections.next_touched() {
            self.finish_connection(now, id);
        }
        if self.budget.is_spent() {
            self.reactor.set_timer(now, Timer::Again.to_token());
        }
        if let Some(at) = self.ha.poll_timeout() {
            self.reactor.set_timer(at, Timer::Ha.to_token());
        }
        if let Some(at) = self.exchange.store.poll_timeout() {
            self.reactor.set_timer(at, Timer::Store.to_token());
        }
    }

    fn finish_connection(&mut self, now: Nanos, id: ConnectionId) {
        let Some(mut connection) = self.connections.take(id) else { return };
        if connection.abandoned {
            self.connections.restore(id, connection);
            self.close_socket(id);
            return;
        }
        let was_finishing = connection.is_finishing();
        if !self.is_withheld(&connection) {
            connection.transmit(now, &mut self.reactor);
        }
        connection.arm_timer(&mut self.reactor, Timer::Connection(id).to_token());
        if connection.is_finishing() && !was_finishing {
            self.reactor.set_timer(now + LINGER, Timer::Linger(id).to_token());
        }
        let congested = connection.congested;
        self.connections.restore(id, connection);
        if congested && self.relieve(now, id) {
            self.apply_effects(now);
        }
    }

    fn store_event(&mut self, now: Nanos, event: store::Event) {
        match event {
            store::Event::Owner { epoch, heartbeat } => {
                self.ha.handle(now, Input::OwnerHeartbeat { epoch, counter: heartbeat });
            }
            store::Event::Lock { free, .. } => self.ha.handle(now, Input::Lock { free }),
            store::Event::Claimed { epoch } => self.ha.handle(now, Input::Claimed { epoch }),
            store::Event::Serving(recovered) => self.serving(now, &recovered),
            store::Event::ClaimLost { .. } => self.ha.handle(now, Input::ClaimLost),
            store::Event::RecoveryFailed(error) => {
                self.ha.handle(now, Input::RecoveryFailed { reason: error.to_string() });
            }
            store::Event::Confirmable { store, through } => self.confirmable(store, through),
            store::Event::Room { .. } => self.resume_stalled(now, true),
            store::Event::Body { store, location, result } => self.body_arrived(now, (store, location), result),
            store::Event::Backlog { store } => {
                self.exchange.loading.has_more(store);
                self.reactor.set_timer(now, Timer::Again.to_token());
            }
            store::Event::Fenced { by_epoch } => self.ha.handle(now, Input::Fenced { by_epoch }),
            store::Event::Poisoned(error) => self.ha.handle(now, Input::Poisoned { reason: error.to_string() }),
            store::Event::Stopped => self.leave(now, 0, "this server is stopping"),
            store::Event::StandbyFollows(store::Tail { epoch, messages, bytes, .. }) => {
                self.ha.handle(now, Input::Standby(Standby::Follows { epoch, messages, bytes }));
            }
            store::Event::StandbyBehind { nanos } => {
                self.ha.handle(now, Input::Standby(Standby::Behind { ms: nanos / 1_000_000 }));
            }
            store::Event::StandbyReload { reason } => self.ha.handle(now, Input::Standby(Standby::Reloads { reason })),
            store::Event::Note(text) => self.log.line(text),
        }
    }

    fn serving(&mut self, now: Nanos, recovered: &store::Recovered) {
        for remark in self.exchange.recover(now, recovered) {
            self.log.line(remark);
        }
        self.keep_temporary(now);
        self.reactor.set_timer(now, Timer::Again.to_token());
        for note in &recovered.notes {
            self.log.line(note.clone());
        }
        self.counters.takeover = Some(Takeover {
            time: now - self.counters.claim_began,
            bytes: recovered.bytes,
            messages: recovered.messages,
            loading: None,
        });
        let figures = Recovered {
            epoch: recovered.epoch,
            bytes: recovered.bytes,
            messages: recovered.messages,
            segments: recovered.segments,
            hot: recovered.hot,
        };
        self.ha.handle(now, Input::Recovered(figures));
    }

    fn confirmable(&mut self, store: u8, through: u64) {
        let index = usize::from(store);
        while let Some((id, delivery)) = self.exchange.publishes.pop(index, through) {
            if let Some(connection) = self.connections.touch(id) {
                connection.answer(delivery, Outcome::Accepted);
            }
        }
        while let Some((id, sent)) = self.exchange.removals.pop(index, through) {
            if let Some(connection) = self.connections.touch(id) {
                connection.protocol.settle_sent(sent.session, sent.delivery_id, outcome_of(sent));
            }
        }
        self.exchange.confirmable(store, through);
    }

    fn ha_output(&mut self, now: Nanos, output: Output) {
        match output {
            Output::ConnectPeer => self.connect_peer(now),
            Output::DropLink => self.drop_link(),
            Output::SendHeartbeat { state, epoch, lot } => self.send_heartbeat(state, epoch, lot),
            Output::ProbeLock => self.exchange.store.probe_lock(now),
            Output::Reread => self.reread(now),
            Output::Claim => {
                self.audience = Audience::Wait;
                self.counters.claim_began = now;
                self.exchange.store.claim(now);
            }
            Output::Serve => {
                self.read_files_again();
                self.audience = Audience::Serve;
                self.answer_waiting(now);
            }
            Output::Refuse => {
                self.audience = Audience::Refuse;
                self.answer_waiting(now);
            }
            Output::StopStore => self.stop_store(now),
            Output::Exit { code, reason } => self.leave(now, code, &reason),
            Output::Log(line) => self.log.line(line.text),
            Output::Emit(json) => self.log.event(json),
        }
    }

    /// A clean stop: nothing more is taken in, what was admitted is finished and answered.
    fn stop_store(&mut self, now: Nanos) {
        self.close_listeners();
        self.stopping = true;
        self.exchange.store.stop(now);
        self.exit = Some(Exit { code: EXIT_UNFINISHED, at: now + STOP_PATIENCE, when_alone: false });
        self.reactor.set_timer(now + STOP_PATIENCE, Timer::Farewell.to_token());
    }

    /// Says farewell to everybody and ends soon.
    fn leave(&mut self, now: Nanos, code: i32, reason: &str) {
        self.audience = Audience::Refuse;
        self.close_listeners();
        let error = self.not_active_error(reason);
        for id in self.connections.ids() {
            let Some(mut connection) = self.connections.take(id) else { continue };
            self.leave_links(&mut connection);
            // What it was about to be told may be the new owner's to say.
            connection.abandoned |= self.is_withheld(&connection) && connection.protocol.output_bytes() > 0;
            connection.close(Some(error.clone()));
            self.connections.put_back(id, connection);
        }
        (self.stopping, self.is_unsure) = (false, false);
        self.resume_stalled(now, true);
        self.exit = Some(Exit { code, at: now + FAREWELL, when_alone: true });
        self.reactor.set_timer(now + FAREWELL, Timer::Farewell.to_token());
    }

    fn close_listeners(&mut self) {
        for listener in std::mem::take(&mut self.listeners) {
            self.reactor.close_listener(listener);
        }
    }
}
