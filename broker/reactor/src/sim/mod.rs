//! The deterministic double: several hosts with their own reactors in one simulated world.

mod host;
mod world;

pub(crate) use host::SimHost;
pub use world::{HostId, World, WorldConfig};
