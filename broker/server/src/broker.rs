//! The loop of a shard: completions in, the cores fed and drained, one send per connection and one write per lane out.
//!
//! Owns the state of one server and the order of work within a turn. What each event means is in `accepting`, `inbound`, `outbound`,
//! `peer`, `opening`, `admin` and `leaving`; which server is active is decided in `ha`.

use crate::admin::Admin;
use crate::clock::WallClock;
use crate::config::Configuration;
use crate::connection::ReceivedDelivery;
use crate::connections::{ConnectionId, Connections};
use crate::exchange::Exchange;
use crate::ha::{Ha, Input, Output, Recovered, Standby, State};
use crate::inbound::outcome_of;
use crate::leaving::Exit;
use crate::loading::Loaded;
use crate::log::Log;
use crate::login::Logins;
use crate::monitor::{Counters, Publisher, Takeover};
use crate::outbound::{Reading, Run};
use crate::pauses::Pauses;
use crate::peer::Attempt;
use crate::reread::{Rereading, Source};
use crate::security::directory::Directory;
use crate::temporary::TemporaryQueues;
use crate::timer::Timer;
use crate::tls::{Complaints, Reload, Tls};
use crate::unshared::Unshared;
use amqp::{LinkId, Outcome};
use engine::ConsumerId;
use reactor::{Event, ListenerId, Nanos, Reactor};
use rustc_hash::FxHashMap;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};

/// How long we wait for a peer's end of file after our own.
const LINGER: Nanos = 2_000_000_000;
/// How often messages whose time has run out are looked for, and how many entries are looked at then.
const SWEEP_INTERVAL: Nanos = 1_000_000_000;
const SWEEP_BUDGET: usize = 10_000;
/// What one turn takes in of what peers sent, and how many messages it hands out, at most; the rest is the next turn's, which
/// follows at once. Time is the limit that counts; see [`TURN_INTAKE`] and docs/decisions/0038.
const TURN_RECEIVED_BYTES: usize = 256 << 10;
const TURN_DELIVERIES: usize = 1024;
/// A turn that has taken so long takes in nothing more, whatever made it slow: memory that the system gives for the first
/// time costs ten times the work on it, and another process may have had the processor.
const TURN_INTAKE: Nanos = 200_000;
/// After twice that it hands out nothing more either.
const TURN_HANDING_OUT: Nanos = 400_000;
/// Messages that are handed out between two looks at the clock.
const DELIVERIES_PER_LOOK: usize = 64;

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

/// What is left of a turn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TurnBudget {
    pub(crate) received_bytes: usize,
    pub(crate) deliveries: usize,
    /// When the last message is handed out, at most.
    until: Nanos,
}

impl TurnBudget {
    /// The budget of a turn that begins now.
    fn full(now: Nanos) -> TurnBudget {
        TurnBudget { received_bytes: TURN_RECEIVED_BYTES, deliveries: TURN_DELIVERIES, until: now + TURN_HANDING_OUT }
    }

    /// One message is handed out; now and then `now` is asked for the time.
    pub(crate) fn spend_delivery(&mut self, now: impl FnOnce() -> Nanos) {
        self.deliveries -= 1;
        if self.deliveries.is_multiple_of(DELIVERIES_PER_LOOK) && now() >= self.until {
            self.deliveries = 0;
        }
    }

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
    pub(crate) consumers: FxHashMap<ConsumerId, (ConnectionId, LinkId)>,
    pub(crate) reading: Reading,
    /// Its memory only: nothing is kept from one turn to the next.
    pub(crate) run: Run,
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
    pub(crate) connections_ceiling: usize,
    pub(crate) too_many_logged_at: Option<Nanos>,
    pub(crate) attempt: Attempt,
    pub(crate) rereading: Rereading,
    pub(crate) unshared: Unshared,
    pub(crate) temporary: TemporaryQueues,
    pub(crate) peer_address: Option<SocketAddr>,
    pub(crate) peer_links: Vec<ConnectionId>,
    pub(crate) addresses: HashMap<ConnectionId, SocketAddr>,
    /// Clients sent away lately, by address and a hash of the container-id, and when.
    pub(crate) turned_away: HashMap<(Option<IpAddr>, u64), Nanos>,
    pub(crate) listeners: Vec<ListenerId>,
    /// Those of `ssl://`.
    pub(crate) tls_listeners: Vec<ListenerId>,
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
    pub(crate) exit: Option<Exit>,
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
            consumers: FxHashMap::default(),
            reading: Reading::new(),
            run: Run::default(),
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
            budget: TurnBudget::full(0),
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
        self.budget = TurnBudget::full(now);
        self.beat_in_time(now);
        self.review_ownership(now);
        self.resume_stalled_first(now);
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

    /// Half of what a turn takes in is for those that a store had no room for: while new input fills every turn, nothing would be
    /// left for them.
    fn resume_stalled_first(&mut self, now: Nanos) {
        if !self.stalled.is_empty() {
            let for_news = self.budget.received_bytes / 2;
            self.budget.received_bytes -= for_news;
            self.resume_stalled(now, false);
            self.budget.received_bytes += for_news;
        }
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
        if self.budget.received_bytes > 0 {
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
            let mut last = delivery;
            let is_next = |last: ReceivedDelivery| move |(other, next): &_| *other == id && last.precedes(next);
            while let Some((_, next)) = self.exchange.publishes.pop_if(index, through, is_next(last)) {
                last = next;
            }
            if let Some(connection) = self.connections.touch(id) {
                connection.answer(delivery, last.delivery_id, Outcome::Accepted);
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
}
