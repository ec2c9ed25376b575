//! The HTTP monitor: whether the server lives, whether it is active, and its figures for Prometheus.
//!
//! `counters` are plain integers that the shard keeps; `publish` copies them, a few times a second, into a `snapshot` that
//! other threads may read; `http` answers from the newest one, on a thread of its own with a runtime of its own, and
//! `families` says which metrics there are, in the form of `exposition`. The shard never waits for a reader: what it cannot
//! publish at once it publishes a turn later.

mod counters;
mod exposition;
mod families;
mod http;
mod page;
mod publish;
mod snapshot;

#[cfg(test)]
mod tests;

pub(crate) use counters::{Counters, Flows, Takeover};
pub(crate) use http::Monitor;
pub(crate) use page::metrics_help;
pub(crate) use publish::Publisher;
