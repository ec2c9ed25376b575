//! Which of two servers is active: a pure state machine. Time, peer messages, lock results and store events are its
//! inputs; it opens no socket and no file.
//!
//! Safety is not decided here: the store's epochs see to it that at most one server confirms anything. This machine
//! decides when to try. `state` has the drawing, `takeover` the rule, `peer` and `retry` what it rests on.

mod event;
mod message;
mod peer;
mod retry;
mod state;
mod takeover;

#[cfg(test)]
mod tests;

pub use message::{HaConfig, Input, LogLine, Output, Recovered, Standby};
pub use state::State;

use event::EventLine;
use peer::Peer;
use std::collections::VecDeque;
use takeover::Seeker;

/// Nanoseconds of CLOCK_MONOTONIC, or of simulated time.
pub type Nanos = u64;

/// Exit code after the loss of the store: a supervisor may start the server again, which then claims afresh.
const EXIT_FENCED: i32 = 75;
/// Exit code when the store cannot be recovered: somebody has to look at it.
const EXIT_FAILED: i32 = 1;
/// Least time between two attempts to reach a peer that refuses.
const REFUSED_WAIT: Nanos = 1_000_000_000;

/// The machine of one server.
///
/// Tell it what happened by [`Ha::handle`], do what [`Ha::poll`] says until it says nothing more, and call
/// [`Ha::handle_timeout`] at [`Ha::poll_timeout`] (earlier or more often does no harm).
#[derive(Debug)]
pub struct Ha {
    config: HaConfig,
    state: State,
    /// The epoch that this server owns, or 0.
    epoch: u64,
    peer: Peer,
    seeker: Seeker,
    next_heartbeat: Nanos,
    /// When the machine last ran.
    last_run: Nanos,
    lot: u64,
    random: u64,
    outputs: VecDeque<Output>,
}

impl Ha {
    /// A machine that waits for [`Input::Start`]. `random_seed` should differ between the two servers.
    pub fn new(config: HaConfig, random_seed: u64, now: Nanos) -> Self {
        Self {
            config,
            state: State::Starting,
            epoch: 0,
            peer: Peer::new(now),
            seeker: Seeker::new(now),
            next_heartbeat: Nanos::MAX,
            last_run: now,
            lot: random_seed,
            random: random_seed | 1,
            outputs: VecDeque::new(),
        }
    }

    /// What the server is.
    pub fn state(&self) -> State {
        self.state
    }

    /// The epoch that this server owns, or 0.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// What to do next; `None` when there is nothing.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Ha::handle_timeout`] is wanted next.
    pub fn poll_timeout(&self) -> Option<Nanos> {
        if self.state == State::Fenced || self.next_heartbeat == Nanos::MAX {
            return None;
        }
        let silences = self.peer.deadlines(self.config.activation).into_iter().chain([self.disk_deadline()]);
        let silences = silences.filter(|at| self.is_seeking() && *at > self.last_run);
        let tries = [Some(self.next_heartbeat), self.peer.retry.at, self.next_probe()];
        tries.into_iter().flatten().chain(silences).min()
    }

    /// Something happened.
    pub fn handle(&mut self, now: Nanos, input: Input) {
        self.notice_pause(now);
        if self.state == State::Fenced {
            return;
        }
        match input {
            Input::Start => self.start(now),
            Input::LinkUp => self.link_up(now),
            Input::LinkDown { reason } => self.link_down(now, &reason),
            Input::LinkRefused { reason } => self.link_refused(now, reason),
            Input::PeerRefused { reason } => self.peer_refused(now, reason),
            Input::PeerState { state, epoch, lot } => self.peer_state(now, state, (epoch, lot)),
            Input::OwnerHeartbeat { epoch, counter } => self.owner_heartbeat(now, epoch, counter),
            Input::Lock { free } => self.lock(now, free),
            Input::Claimed { epoch } => self.claimed(now, epoch),
            Input::ClaimLost => self.claim_lost(now),
            Input::Recovered(figures) => self.recovered(now, figures),
            Input::Standby(standby) => self.standby_reads(now, standby),
            Input::Loaded { messages, ms } => self.loaded(now, messages, ms),
            Input::RecoveryFailed { reason } => self.recovery_failed(now, reason),
            Input::Fenced { by_epoch } => self.fenced(now, by_epoch),
            Input::Poisoned { reason } => self.poisoned(now, &reason),
            Input::Stopping => self.stopping(now),
        }
        self.review(now);
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Nanos) {
        self.notice_pause(now);
        if self.state == State::Fenced {
            return;
        }
        if self.next_heartbeat <= now {
            self.beat(now);
        }
        if self.peer.retry.take(now) && !self.peer.is_up && !self.peer.is_attempting {
            self.connect();
        }
        self.review(now);
        self.probe_if_due(now);
    }

    /// Sends the heartbeat if its time has come, whatever else waits to be handled. Returns when that time was.
    pub fn beat_in_time(&mut self, now: Nanos) -> Option<Nanos> {
        if self.state == State::Fenced || self.next_heartbeat > now {
            return None;
        }
        let due = self.next_heartbeat;
        self.beat(now);
        Some(due)
    }

    fn start(&mut self, now: Nanos) {
        assert_eq!(self.state, State::Starting, "a server starts once");
        self.next_heartbeat = now + self.config.heartbeat;
        self.peer.restart_clock(now);
        self.seeker.restart_clock(now);
        if self.config.peer_url.is_some() {
            self.enter(now, State::ConnectingPeer, "start of one server of a pair");
            self.connect();
        } else {
            self.log("No ft_active: this server stands alone");
        }
    }

    fn connect(&mut self) {
        self.peer.is_attempting = true;
        self.outputs.push_back(Output::ConnectPeer);
    }

    fn link_up(&mut self, now: Nanos) {
        if !self.peer.is_up {
            self.log(format!("Connected to the other server '{}'", self.peer_url()));
        }
        self.peer.link_up(now);
        self.send_heartbeat();
    }

    fn link_down(&mut self, now: Nanos, reason: &str) {
        if self.peer.is_up {
            self.warn(format!("Connection to the other server '{}' is lost: {reason}", self.peer_url()));
            self.peer.retry.begin(now, 0);
            self.seeker.restart();
        } else if self.peer.retry.at.is_none() {
            let jitter = self.random_byte();
            self.peer.retry.again(now, jitter);
        }
        self.peer.link_down();
    }

    /// Who is refused says so once, and tries less often: only an operator can change it.
    fn link_refused(&mut self, now: Nanos, reason: String) {
        self.peer.is_attempting = false;
        if !self.peer.is_up {
            self.peer.retry.at = Some(now + self.config.heartbeat.max(REFUSED_WAIT));
        }
        if self.peer.note_refusal(reason.clone()) {
            self.warn(format!("The other server '{}' refuses this one: {reason}", self.peer_url()));
            self.emit(EventLine::new("peer-refuses", now, &reason, self.epoch, &self.config).json());
        }
    }

    fn peer_refused(&mut self, now: Nanos, reason: String) {
        if self.peer.note_refused(reason.clone()) {
            self.warn(format!("Another server was refused as the peer of this one: {reason}"));
            self.emit(EventLine::new("peer-refused", now, &reason, self.epoch, &self.config).json());
        }
    }

    fn peer_state(&mut self, now: Nanos, state: State, (epoch, lot): (u64, u64)) {
        if self.peer.said() != Some(state) {
            self.log(format!("The other server '{}' is {state}", self.peer_url()));
        }
        self.peer.heard(now, state);
        let is_dual = self.state == State::Active && state == State::Active;
        if is_dual {
            self.report_dual_active(now, epoch);
        }
        let owns = matches!(state, State::Active | State::Recovering);
        let is_newer = epoch > self.epoch || (is_dual && (epoch, lot) > (self.epoch, self.lot));
        if matches!(self.state, State::Active | State::Recovering) && owns && is_newer {
            let reason = match epoch == self.epoch {
                true => format!("both servers own epoch {epoch} of their stores, and the lot is against this one"),
                false => format!("the other server owns epoch {epoch}, this one only {}", self.epoch),
            };
            self.leave(now, EXIT_FENCED, reason);
        }
    }

    /// Two servers are active, so that at least one of them is not the owner of the store that clients know.
    fn report_dual_active(&mut self, now: Nanos, epoch: u64) {
        if std::mem::replace(&mut self.peer.is_dual_reported, true) {
            return;
        }
        let text = format!("Fault-tolerance error: Dual-Active server detected at {}", self.peer_url());
        self.emit(EventLine::new("dual-active", now, &text, self.epoch, &self.config).json());
        self.warn(text);
        if epoch == self.epoch {
            // In one store an epoch has one owner.
            self.warn(format!(
                "Both servers own epoch {epoch}, so that each has a store of its own: the parameter store must name the same folder \
                 on both; what the server that leaves holds stays in its store"
            ));
        }
        // The other learns of it as soon.
        self.send_heartbeat();
    }

    fn recovered(&mut self, now: Nanos, figures: Recovered) {
        if self.state != State::Recovering {
            return;
        }
        self.emit(EventLine::new("recovered", now, "the store is read", self.epoch, &self.config).with(figures).json());
        let Recovered { messages, bytes, segments, hot, .. } = figures;
        let before = if hot { ", the rest was known" } else { "" };
        self.log(format!("Recovered {messages} messages from {bytes} bytes in {segments} segments{before}"));
        self.outputs.push_back(Output::Serve);
        self.enter(now, State::Active, "the store is recovered");
        self.log("Server is now active");
        self.emit(EventLine::new("accepting", now, "clients are accepted", self.epoch, &self.config).json());
    }

    fn standby_reads(&mut self, now: Nanos, standby: Standby) {
        let (event, epoch, reason) = match standby {
            Standby::Follows { epoch, messages, bytes } => {
                let reason =
                    format!("The journal of epoch {epoch} is followed: {messages} messages, {bytes} bytes read");
                self.log(reason.clone());
                ("standby-follows", epoch, reason)
            }
            Standby::Behind { ms } => {
                let reason = format!("This standby is behind: reading what was new took {ms} ms");
                self.warn(reason.clone());
                ("standby-behind", self.seeker.owner_epoch(), reason)
            }
            Standby::Reloads { reason } => {
                let reason = format!("This standby lost its place in the journal and reads it anew: {reason}");
                self.warn(reason.clone());
                ("standby-reloads", self.seeker.owner_epoch(), reason)
            }
        };
        self.emit(EventLine::new(event, now, &reason, epoch, &self.config).json());
    }

    fn loaded(&mut self, now: Nanos, messages: u64, ms: u64) {
        if self.state != State::Active {
            return;
        }
        let line = EventLine::new("loaded", now, "the queues hold the backlog", self.epoch, &self.config);
        self.emit(line.with_load(messages, ms).json());
        self.log(format!("Loaded a backlog of {messages} messages in {ms} ms"));
    }

    fn recovery_failed(&mut self, now: Nanos, reason: String) {
        self.warn(format!("Server failed to recover state: {reason}"));
        self.leave(now, EXIT_FAILED, reason);
    }

    fn fenced(&mut self, now: Nanos, by_epoch: u64) {
        let reason = match by_epoch {
            0 => "the store is not this server's any more".to_owned(),
            by_epoch => format!("the store was claimed by epoch {by_epoch}"),
        };
        self.leave(now, EXIT_FENCED, reason);
    }

    fn poisoned(&mut self, now: Nanos, reason: &str) {
        self.leave(now, EXIT_FENCED, format!("the store cannot be written: {reason}"));
    }

    fn stopping(&mut self, now: Nanos) {
        let owned = matches!(self.state, State::Recovering | State::Active);
        if owned {
            self.outputs.extend([Output::Refuse, Output::StopStore]);
            self.enter(now, State::Fenced, "a stop was asked for");
        } else {
            self.enter(now, State::Fenced, "a stop was asked for");
            self.outputs.push_back(Output::Exit { code: 0, reason: "a stop was asked for".to_owned() });
        }
    }

    /// Ends: the peer is told, clients are closed.
    fn leave(&mut self, now: Nanos, code: i32, reason: String) {
        self.warn(format!("Server gives up: {reason}"));
        self.enter(now, State::Fenced, &reason);
        self.outputs.push_back(Output::Exit { code, reason });
    }

    /// Changes the state, tells programs and peer.
    fn enter(&mut self, now: Nanos, next: State, reason: &str) {
        assert!(self.state.can_become(next), "{} cannot become {next}", self.state);
        let from = std::mem::replace(&mut self.state, next);
        let epoch = if self.epoch == 0 { self.seeker.owner_epoch() } else { self.epoch };
        self.emit(EventLine::new("ft_state", now, reason, epoch, &self.config).between(from, next).json());
        self.send_heartbeat();
    }

    fn beat(&mut self, now: Nanos) {
        self.next_heartbeat = now + self.config.heartbeat;
        self.send_heartbeat();
        // An active server looks for its peer too: two actives that cannot see each other should find out.
        let alone = !self.peer.is_up && !self.peer.is_attempting && self.peer.retry.at.is_none();
        if self.config.peer_url.is_some() && alone {
            self.connect();
        }
    }

    fn send_heartbeat(&mut self) {
        if self.peer.is_up {
            self.outputs.push_back(Output::SendHeartbeat { state: self.state, epoch: self.epoch, lot: self.lot });
        }
    }

    /// After a pause of this process (SIGSTOP, a starved machine) others seem silent whose words wait in our buffers.
    fn notice_pause(&mut self, now: Nanos) {
        let gap = now.saturating_sub(self.last_run);
        self.last_run = self.last_run.max(now);
        if self.state == State::Starting || gap <= self.config.heartbeat + self.config.activation / 4 {
            return;
        }
        self.warn(format!("This server did not run for {} ms", gap / 1_000_000));
        self.peer.restart_clock(now);
        self.seeker.restart_clock(now);
    }

    fn peer_url(&self) -> &str {
        self.config.peer_url.as_deref().unwrap_or("unknown")
    }

    fn log(&mut self, text: impl Into<String>) {
        self.outputs.push_back(Output::Log(LogLine { warning: false, text: text.into() }));
    }

    fn warn(&mut self, text: impl Into<String>) {
        self.outputs.push_back(Output::Log(LogLine { warning: true, text: text.into() }));
    }

    fn emit(&mut self, json: String) {
        self.outputs.push_back(Output::Emit(json));
    }

    /// Xorshift: only to keep two servers from doing the same thing at the same time.
    fn random_byte(&mut self) -> u8 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 32) as u8
    }
}
