//! Journal, group commit, epochs and recovery of the broker: pure. Disk requests come out, completions go in.
//!
//! Start at [`Store`]. The byte layout is in `format` and docs/FORMATS.md and nowhere else.
//! No clock, thread, file, socket or randomness of its own: time and disk results are arguments.

#![forbid(unsafe_code)]

mod api;
mod error;
mod store;

pub use api::{
    Appended, Body, Config, Event, Location, MessageKey, Mode, Recovered, RecoveredMessage, Refused, StoreConfig,
};
pub use error::StoreError;
pub use store::Store;
