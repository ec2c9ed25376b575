//! The input and output of a shard: sockets, files, timers, signals and the clock, in one wait.
//!
//! [`Reactor`] is one concrete type over a [`Backend`]: the kernel's io_uring (`Reactor::uring`) or a deterministic
//! double ([`sim::World`]) that simulates time, network, disk and the death of processes from a seed. Users cannot
//! tell which one they hold; `tests/conformance.rs` runs one body of tests on both.
//!
//! Map:
//! * `facade`: [`Reactor`] itself, dispatch only
//! * `event`: [`Event`] and the ids of sockets and listeners
//! * `buffer`: aligned memory for direct I/O; [`RecvBuffer`]
//! * `timer`: the heap of timers that both backends use
//! * `slots`: generational slots; a late completion never meets a reused one
//! * `sync_delay`: `debug_sync_delay`
//! * `descriptors`: the limit of open files
//! * `waker`, `workers`: other threads, and how they are heard
//! * `uring`: the kernel backend; with `keeper` and one call of `workers` the only `unsafe` of the workspace
//! * `keeper`: a killed process closes its sockets and locks before its memory is freed
//! * `sim`: the double
//!
//! It knows no AMQP, no queue and no journal.

pub mod buffer;
mod descriptors;
mod event;
mod facade;
mod keeper;
pub mod sim;
mod slots;
mod sync_delay;
mod timer;
mod uring;
mod waker;
mod workers;

pub use buffer::RecvBuffer;
pub use descriptors::raise_descriptor_limit;
pub use disk::{BLOCK_SIZE, Nanos};
pub use event::{Event, ListenerId, SocketId};
pub use facade::{Backend, Reactor};
pub use keeper::{Keeper, keep_memory};
pub use uring::{Config, SetupError};
pub use waker::Waker;
pub use workers::{Full, Workers};
