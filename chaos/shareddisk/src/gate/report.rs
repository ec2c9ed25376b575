//! What is told of the disk: events, what came with a host that was frozen, and all that is known.

use crate::model::{CrashReport, FaultReport, HostReport, LateReport, Nanos};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What happened to a host, with CLOCK_MONOTONIC in nanoseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DiskEvent {
    /// When.
    pub t_ns: Nanos,
    /// Which host.
    pub host: String,
    /// What.
    #[serde(flatten)]
    pub what: EventKind,
}

/// The kinds of [`DiskEvent`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "event")]
pub enum EventKind {
    /// Nothing of it arrives any more.
    Frozen,
    /// It is back.
    Thawed(ThawReport),
    /// It lost power.
    Crashed(CrashReport),
    /// A write that was in flight at a crash has arrived.
    LandedLate {
        /// Its bytes.
        bytes: u64,
        /// Whether a fence refused it.
        refused: bool,
    },
    /// It mounted again.
    Mounted,
    /// The lock server does not hear it any more.
    LeaseNotRenewed,
    /// Its lease is over.
    LocksLost {
        /// How many locks it held.
        locks: u64,
    },
    /// An operation was held for longer than the limit and has been failed.
    Watchdog {
        /// How many.
        operations: u64,
    },
}

/// What came with a host that was frozen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThawReport {
    /// Its unsynced data.
    pub unsynced: LateReport,
    /// Operations that waited.
    pub operations: u64,
    /// Writes among them that were carried out now, late.
    pub writes_landed: u64,
    /// Bytes of these.
    pub bytes_landed: u64,
    /// Writes among them that were refused.
    pub writes_refused: u64,
    /// When the first of these writes had arrived, in nanoseconds of CLOCK_MONOTONIC.
    pub first_write_ns: Option<Nanos>,
}

/// All that is known, for the folder of a result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DiskReport {
    /// CLOCK_MONOTONIC, in nanoseconds.
    pub t_ns: Nanos,
    /// Each host, and what it has not synced.
    pub hosts: Vec<HostReport>,
    /// Each fault, and what it hit.
    pub faults: Vec<FaultReport>,
    /// What happened to hosts, oldest first.
    pub events: Vec<DiskEvent>,
    /// Operations that wait, by host.
    pub waiting: BTreeMap<String, Waits>,
    /// Operations that the log does not keep any more.
    pub log_dropped: u64,
}

/// Operations of a host that wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waits {
    /// All.
    pub operations: u64,
    /// Writes.
    pub writes: u64,
}
