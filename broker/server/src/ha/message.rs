//! What goes into the machine and what comes out.

use super::Nanos;
use super::state::State;

/// Settings, from `ft_*`.
#[derive(Clone, Debug)]
pub struct HaConfig {
    /// `ft_active`; `None` = standalone.
    pub peer_url: Option<String>,
    /// `ft_heartbeat`.
    pub heartbeat: Nanos,
    /// `ft_activation`.
    pub activation: Nanos,
    /// `ft_takeover=link`: silence of the FT link alone is enough.
    pub takeover_by_link: bool,
    /// File of the store that holds the owner's lock, for the operator.
    pub lock_file: String,
    /// `server`, for the event lines.
    pub server: String,
    /// Process id, for the event lines.
    pub process_id: u32,
}

/// Figures of a finished recovery.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// The epoch that serves now.
    pub epoch: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Live messages found.
    pub messages: u64,
    /// Segments read.
    pub segments: u64,
    /// A hot standby took over: only what it had not read before was read.
    pub hot: bool,
}

/// What a standby has read of the owner's journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standby {
    /// All of it; it is followed from now on.
    Follows {
        /// Whose journal it is.
        epoch: u64,
        /// Live messages.
        messages: u64,
        /// Bytes read.
        bytes: u64,
    },
    /// Too little: reading what was new took so long.
    Behind {
        /// Milliseconds.
        ms: u64,
    },
    /// Nothing any more: it is read anew.
    Reloads {
        /// Why the place was lost.
        reason: String,
    },
}

/// Something happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The server is set up: listening, store watched.
    Start,
    /// The FT link is open (authenticated, both directions attached).
    LinkUp,
    /// The FT link could not be made, or broke.
    LinkDown {
        /// For people.
        reason: String,
    },
    /// The peer does not accept this server as the other one of its pair; no `LinkDown` follows.
    LinkRefused {
        /// For people, with the remedy.
        reason: String,
    },
    /// A server asked for the FT link and was refused.
    PeerRefused {
        /// For people, with the remedy; the same words each time.
        reason: String,
    },
    /// A heartbeat from the peer.
    PeerState {
        /// What the peer is.
        state: State,
        /// The epoch that it owns, or 0.
        epoch: u64,
        /// Its [`Output::SendHeartbeat::lot`].
        lot: u64,
    },
    /// The on-disk heartbeat of the newest owner or claimant, on each change.
    OwnerHeartbeat {
        /// The owner's epoch.
        epoch: u64,
        /// The counter.
        counter: u64,
    },
    /// The answer to [`Output::ProbeLock`].
    Lock {
        /// No live process holds the newest owner's lock (also: there is no owner).
        free: bool,
    },
    /// We own this epoch.
    Claimed {
        /// The epoch.
        epoch: u64,
    },
    /// Somebody else was faster.
    ClaimLost,
    /// The store can serve.
    Recovered(Recovered),
    /// The standby's reading of the owner's journal.
    Standby(Standby),
    /// What was recovered stands in the queues; service began before.
    Loaded {
        /// Messages.
        messages: u64,
        /// Since service began, in milliseconds.
        ms: u64,
    },
    /// The store cannot be recovered.
    RecoveryFailed {
        /// File, offset, what is lost and what to do.
        reason: String,
    },
    /// Somebody claimed the store from us.
    Fenced {
        /// Their epoch, or 0 where only the loss is known.
        by_epoch: u64,
    },
    /// A write or sync failed: the store refuses everything from now on.
    Poisoned {
        /// What failed.
        reason: String,
    },
    /// A clean stop was asked for.
    Stopping,
}

/// Something to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Connect to the peer; answer with `LinkUp` or `LinkDown`.
    ConnectPeer,
    /// Close the FT link; no `LinkDown` follows.
    DropLink,
    /// Send a heartbeat, if there is a link.
    SendHeartbeat {
        /// What we are.
        state: State,
        /// The epoch that we own, or 0.
        epoch: u64,
        /// Drawn at the start of the process: decides which of two active servers with equal epochs leaves.
        lot: u64,
    },
    /// Ask the store for the newest owner's lock; answer with `Lock`. Before the answer that it is held, the owner's heartbeat is
    /// looked at, too, and told if it changed.
    ProbeLock,
    /// Read the files of queues, users and permissions again: this standby is about to become active.
    Reread,
    /// Ask the store to claim.
    Claim,
    /// Accept clients.
    Serve,
    /// Turn clients away: we are standby.
    Refuse,
    /// Turn clients away and stop the store cleanly; the process ends with 0 when the store has stopped.
    StopStore,
    /// Close the clients, then leave.
    Exit {
        /// Exit code of the process.
        code: i32,
        /// For people.
        reason: String,
    },
    /// A line for the operator.
    Log(LogLine),
    /// One JSON object without a line break, for the event log.
    Emit(String),
}

/// A line for the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// Whether it tells of trouble.
    pub warning: bool,
    /// The text.
    pub text: String,
}
