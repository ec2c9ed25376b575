//! Faults of links between processes of this machine: a userspace TCP proxy on each, shaped by direction while it runs.
//!
//! `fault` is what scenarios name. `shape` and `held` decide, without a socket or a clock, what is let go when; `pump` and `connection` carry it out; `proxy` is the handle.
//! With nothing set, a piece is written as soon as it is read. Faults between hosts, below TCP, are rules of the packet filter: [`crate::cluster::namespaces`].

mod connection;
mod fault;
#[cfg(test)]
mod fault_tests;
mod held;
mod lane;
mod proxy;
mod pump;
mod rate;
mod shape;
#[cfg(test)]
mod tests;

pub use connection::Connections;
pub use fault::{Inflicted, NetworkFault};
pub use lane::Tally;
pub use proxy::{Direction, Proxy};
pub use rate::ByteRate;
pub use shape::{Line, Passage, Shape};
