//! Faults of links between processes of this machine: a userspace TCP proxy on each, shaped by direction while it runs.
//!
//! [`shape`] and [`held`] decide, without a socket or a clock, what is let go when; [`pump`] and [`connection`] carry it out; [`proxy`] is the handle.
//! With nothing set, a piece is written as soon as it is read. Faults between hosts, below TCP, are rules of the packet filter: [`crate::cluster::namespaces`].

mod connection;
mod held;
mod lane;
mod proxy;
mod pump;
mod shape;
#[cfg(test)]
mod tests;

pub use connection::Connections;
pub use lane::Tally;
pub use proxy::{Direction, Proxy};
pub use shape::{Line, Passage, Shape};

use crate::scenario::Amount;
use serde::{Deserialize, Serialize};

/// What can be done to a connection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum NetworkFault {
    /// Each direction is held back.
    Delay {
        /// By how much.
        amount: Amount,
    },
}

impl NetworkFault {
    /// The names under which scenarios know them.
    pub const NAMES: &[&str] = &["delay"];
}
