//! A real pair on this machine: its configuration files, its processes, and what they say of themselves.

mod configuration;
mod events;
pub mod links;
pub mod namespaces;
mod pair;
mod process;
mod shared_disk;

pub use configuration::{Addresses, Settings, Setup, write_configuration};
pub use events::{Event, EventLog, NodeState};
pub use pair::{Launcher, NodeId, Pair};
pub use process::{Exit, NodeProcess};
pub use shared_disk::{SharedDisk, host};
