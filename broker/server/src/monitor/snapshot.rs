//! The figures of one server at one moment, as other threads read them.
//!
//! Owns the copy, and the place where the newest one lies. Where the figures come from is in `publish`, what they are called
//! in `families`.

use super::counters::{Arrivals, Beats, Flow, Takeover};
use crate::ha::State;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use store::{Histogram, LaneStatistics};

/// The loop turns once a second when there is nothing else to do; so much later it stands still.
const STANDS_STILL_AFTER: Duration = Duration::from_secs(5);

/// A queue, or all those that are not listed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Destination {
    pub(crate) name: String,
    pub(crate) store: String,
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
    pub(crate) unsettled: u64,
    pub(crate) consumers: u64,
    pub(crate) flow: Flow,
}

/// How far a standby follows.
#[derive(Clone, Debug)]
pub(crate) struct Following {
    /// Whose journal it is.
    pub(crate) epoch: u64,
    /// Bytes read of it.
    pub(crate) bytes: u64,
    /// Live messages as far as it was read.
    pub(crate) messages: u64,
    /// Since its end was last reached, nanoseconds.
    pub(crate) behind: u64,
    /// Since there was last something new in it, nanoseconds.
    pub(crate) unchanged: u64,
}

/// Everything.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub(crate) taken: Instant,
    pub(crate) server: String,
    pub(crate) state: State,
    pub(crate) epoch: u64,
    pub(crate) destinations: Vec<Destination>,
    /// How many queues are listed by name; the others are the last of `destinations`.
    pub(crate) queues: u64,
    /// By store name; the metadata is one of them.
    pub(crate) stores: Vec<(String, LaneStatistics)>,
    pub(crate) following: Option<Following>,
    pub(crate) connections: u64,
    pub(crate) connections_max: u64,
    pub(crate) accepted: u64,
    pub(crate) peer_links: u64,
    pub(crate) message_memory: u64,
    pub(crate) volatile_memory: u64,
    pub(crate) message_memory_max: u64,
    pub(crate) entry_memory: u64,
    pub(crate) turns: Histogram,
    pub(crate) link_beats: Beats,
    pub(crate) store_beats: Beats,
    pub(crate) arrivals: Arrivals,
    pub(crate) takeover: Option<Takeover>,
    pub(crate) backlog: u64,
    pub(crate) backlog_loaded: u64,
}

impl Snapshot {
    /// Whether the loop has turned lately.
    pub(crate) fn is_live(&self) -> bool {
        self.taken.elapsed() < STANDS_STILL_AFTER
    }
}

/// Where the newest snapshot lies. Both sides hold the lock for as long as it takes to copy a pointer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Latest {
    place: Arc<Mutex<Option<Arc<Snapshot>>>>,
}

impl Latest {
    /// Puts a newer one there, unless a reader has its hand on it at this moment.
    pub(crate) fn try_put(&self, snapshot: Arc<Snapshot>) -> bool {
        let before = match self.place.try_lock() {
            Ok(mut place) => place.replace(snapshot),
            Err(_) => return false,
        };
        // Freed behind the lock.
        drop(before);
        true
    }

    /// The newest one.
    pub(crate) fn get(&self) -> Option<Arc<Snapshot>> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
