//! What the instruments share: `peerload`, `footprint` and `instructions` in `src/bin` drive a broker with the same client. The measurements of parts
//! are in `benches/benches`; `cargo bench` runs them all.

#![forbid(unsafe_code)]

mod amqp_peer;
mod peer;
mod simulated;
mod wire;

pub use amqp_peer::{AmqpPeer, Flow};
pub use peer::{Peer, Progress};
pub use simulated::{Case, run};
pub use wire::Wire;
