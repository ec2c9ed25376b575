//! The rule of taking over: when to ask for the owner's lock, and when to claim.
//!
//! A claim is tried when the newest owner's lock is free, or when the FT link and the owner's heartbeat in the store have
//! both been silent for `ft_activation` (with `ft_takeover=link` the link alone). A lock that a silent owner still holds
//! does not prevent takeover; silence of the link alone never causes one.

use super::event::EventLine;
use super::message::Output;
use super::retry::Retry;
use super::state::State;
use super::{Ha, Nanos};

const MS: Nanos = 1_000_000;
/// Longest wait before a first probe when the peer is starting too, so that one of the two is ahead.
const BOTH_IDLE_WAIT: Nanos = 20 * MS;
/// Further wait of a server that has just started, while the peer stands by: the standby follows the store already and
/// takes over sooner.
const STANDBY_FIRST: Nanos = 200 * MS;
/// Waits after a lost claim.
const LOST_WAIT_MIN: Nanos = 20 * MS;
const LOST_WAIT_SPREAD: Nanos = 80 * MS;

/// What is known of the store's owner, and the search for the moment to claim.
#[derive(Debug)]
pub(super) struct Seeker {
    /// When to ask for the lock again.
    pub(super) retry: Retry,
    /// A question for the lock is unanswered.
    is_asking: bool,
    /// When it was asked. The heartbeat was looked at since.
    asked: Nanos,
    /// Nobody is known to be active: the lock is being watched.
    is_suspicious: bool,
    /// The operator knows that the lock is held.
    is_lock_reported: bool,
    /// Newest owner and its heartbeat counter.
    owner: (u64, u64),
    /// When they last changed, or our start.
    changed: Nanos,
}

impl Seeker {
    pub(super) fn new(now: Nanos) -> Self {
        Self {
            retry: Retry::new(),
            is_asking: false,
            asked: now,
            is_suspicious: false,
            is_lock_reported: false,
            owner: (0, 0),
            changed: now,
        }
    }

    pub(super) fn owner_epoch(&self) -> u64 {
        self.owner.0
    }

    pub(super) fn restart_clock(&mut self, now: Nanos) {
        self.changed = now;
    }

    /// The situation is new: ask at once, and often at first.
    pub(super) fn restart(&mut self) {
        (self.is_suspicious, self.is_lock_reported) = (false, false);
        self.retry.stop();
    }
}

impl Ha {
    /// Whether this server is one that may claim.
    pub(super) fn is_seeking(&self) -> bool {
        let alone = self.config.peer_url.is_none();
        matches!(self.state, State::ConnectingPeer | State::Standby) || (self.state == State::Starting && alone)
    }

    pub(super) fn disk_deadline(&self) -> Nanos {
        self.seeker.changed + self.config.activation
    }

    pub(super) fn owner_heartbeat(&mut self, now: Nanos, epoch: u64, counter: u64) {
        if (epoch, counter) != self.seeker.owner {
            self.seeker.owner = (epoch, counter);
            self.seeker.changed = now;
        }
    }

    /// Looks at what is known after each input.
    pub(super) fn review(&mut self, now: Nanos) {
        let has_started = self.next_heartbeat != Nanos::MAX;
        if !self.is_seeking() || !has_started {
            return;
        }
        self.report_silence(now);
        if self.peer.is_live_owner(now, self.config.activation) {
            self.seeker.restart();
            if self.state == State::ConnectingPeer {
                self.stand_by(now, "the other server is active");
            }
            return;
        }
        if self.must_hear_peer_first(now) {
            return;
        }
        if !self.seeker.is_suspicious {
            self.begin_search(now);
        }
        self.probe_if_due(now);
    }

    /// At the start the peer is asked before the lock.
    fn must_hear_peer_first(&self, now: Nanos) -> bool {
        let waits = self.peer.is_attempting && !self.peer.is_up;
        let unheard =
            self.peer.is_up && self.peer.said().is_none() && !self.peer.is_silent(now, self.config.activation);
        self.state == State::ConnectingPeer && (waits || unheard)
    }

    fn report_silence(&mut self, now: Nanos) {
        let silent = self.peer.is_up && self.peer.is_silent(now, self.config.activation);
        if !silent || self.peer.is_missed {
            return;
        }
        self.peer.is_missed = true;
        self.warn(format!("Missing heartbeats from primary server '{}'", self.peer_url()));
        // The connection may be half dead; a new one shows whether the peer is.
        self.outputs.push_back(Output::DropLink);
        self.peer.link_down();
        self.peer.retry.begin(now, 0);
        self.seeker.restart();
    }

    fn begin_search(&mut self, now: Nanos) {
        self.seeker.is_suspicious = true;
        if self.state == State::Standby {
            let reason = "no active server is known";
            let epoch = self.seeker.owner_epoch();
            self.emit(EventLine::new("standby-notices", now, reason, epoch, &self.config).json());
        }
        let mut delay = 0;
        if self.peer.is_idle(now, self.config.activation) {
            delay += BOTH_IDLE_WAIT * Nanos::from(self.random_byte()) / 256;
            if self.state == State::ConnectingPeer && self.peer.said() == Some(State::Standby) {
                delay += STANDBY_FIRST;
            }
        }
        self.seeker.retry.begin(now, delay);
    }

    /// When the lock is to be asked for.
    pub(super) fn next_probe(&self) -> Option<Nanos> {
        self.seeker.retry.at.filter(|_| self.is_seeking() && !self.seeker.is_asking)
    }

    pub(super) fn probe_if_due(&mut self, now: Nanos) {
        if self.next_probe().is_some() && self.seeker.retry.take(now) {
            (self.seeker.is_asking, self.seeker.asked) = (true, now);
            self.outputs.push_back(Output::ProbeLock);
        }
    }

    pub(super) fn lock(&mut self, now: Nanos, free: bool) {
        self.seeker.is_asking = false;
        if !self.is_seeking() || self.peer.is_live_owner(now, self.config.activation) {
            return;
        }
        if free {
            return self.claim(now, "the lock of the store's owner is free");
        }
        self.report_lock();
        if self.state != State::Standby {
            self.stand_by(now, "the store is in use");
        }
        if self.is_owner_dead(now) {
            return self.claim(now, "the owner of the store is silent");
        }
        let jitter = self.random_byte();
        self.seeker.retry.again(now, jitter);
    }

    fn report_lock(&mut self) {
        if std::mem::replace(&mut self.seeker.is_lock_reported, true) {
            return;
        }
        self.warn(format!("Unable to open store file '{}', file may be locked", self.config.lock_file));
        if self.state == State::Standby {
            self.log("Server is re-entering standby mode");
        }
    }

    /// The silence that outweighs a lock. On the disk it counts up to the question for the lock, since the answer came with a
    /// later look: what time the disk took to answer is no silence of the owner.
    fn is_owner_dead(&self, now: Nanos) -> bool {
        let link = self.peer.is_owner_silent(now, self.config.activation);
        let disk = self.seeker.asked.saturating_sub(self.seeker.changed) >= self.config.activation;
        link && (disk || self.config.takeover_by_link)
    }

    fn stand_by(&mut self, now: Nanos, reason: &str) {
        self.enter(now, State::Standby, reason);
        self.outputs.push_back(Output::Refuse);
        self.log(match &self.config.peer_url {
            Some(url) => format!("Server is in standby mode for '{url}'"),
            None => "The store is in use by another server; waiting until its owner is gone".to_owned(),
        });
    }

    fn claim(&mut self, now: Nanos, reason: &str) {
        if self.state == State::Standby {
            self.log(match &self.config.peer_url {
                Some(url) => format!("Server activating on failure of '{url}'"),
                None => "Server activating: the owner of the store is gone".to_owned(),
            });
            self.outputs.push_back(Output::Reread);
        }
        self.seeker.restart();
        self.enter(now, State::Claiming, reason);
        self.outputs.push_back(Output::Claim);
    }

    pub(super) fn claimed(&mut self, now: Nanos, epoch: u64) {
        if self.state != State::Claiming {
            return;
        }
        self.epoch = epoch;
        self.emit(EventLine::new("claimed", now, "the store is ours", epoch, &self.config).json());
        self.enter(now, State::Recovering, "the store is claimed");
        self.log("Recovering state, please wait");
    }

    pub(super) fn claim_lost(&mut self, now: Nanos) {
        if self.state != State::Claiming {
            return;
        }
        self.warn("Server failed to recover state: another server claimed the store first");
        self.log("Server is re-entering standby mode");
        // The winner is alive: its silence is counted from now.
        self.seeker.restart_clock(now);
        self.peer.restart_clock(now);
        self.stand_by(now, "another server claimed the store first");
        let wait = LOST_WAIT_MIN + LOST_WAIT_SPREAD * Nanos::from(self.random_byte()) / 256;
        self.seeker.is_suspicious = true;
        self.seeker.retry.begin(now, wait);
    }
}
