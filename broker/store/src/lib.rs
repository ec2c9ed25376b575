//! Journal, group commit, epochs and recovery of the broker: pure. Disk requests come out, completions go in.
//!
//! Start at [`Store`]. The byte layout is in `format` and docs/FORMATS.md and nowhere else; "rule N" in a comment is one
//! of the rules of epochs there.
//! No clock, thread, file, socket or randomness of its own: time and disk results are arguments.

#![forbid(unsafe_code)]

mod active;
mod api;
mod backlog;
mod batch;
mod bits;
mod bodies;
mod cache;
mod chain;
mod check;
mod checkpoints;
mod claim;
mod decide;
mod error;
mod follower;
pub mod format;
mod forward;
mod heartbeat;
mod image;
mod inspect;
mod lane;
mod maker;
mod names;
mod port;
mod reader;
mod rebase;
mod rebuild;
mod recover;
mod scan;
mod segments;
mod shared;
mod space;
mod spares;
mod standby;
mod statistics;
mod store;
mod sweep;
mod tables;
mod takeover;
mod task;

pub use api::{
    Appended, Backlog, Body, Config, ConfigError, Event, Location, MessageKey, Mode, Recovered, RecoveredDestination,
    RecoveredMessage, Refused, SpaceUse, StoreConfig, Tail,
};
pub use cache::Memory;
pub use error::StoreError;
pub use inspect::{
    Damage, DestinationState, InFlight, Inspection, LaneState, Lock, OwnerState, Report, SealState, SegmentRole,
    SegmentState, Slot,
};
pub use statistics::{Histogram, LaneStatistics};
pub use store::Store;
