//! The deterministic double: several processes with their own reactors in one simulated world.
//!
//! Owns nothing itself: [`World`] is what tests hold, `host` a process, `network` what is between them. The same seed and
//! the same calls give the same events, always. It has no threads, no clock and no sockets of its own.

mod endpoint;
mod host;
mod mailbox;
mod network;
mod world;

pub use network::NetworkConfig;
pub use world::{World, WorldConfig};

/// One process of a simulated world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostId(pub u32);
