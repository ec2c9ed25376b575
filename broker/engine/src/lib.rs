//! Queues, delivery and limits: commands in, [`Effect`]s out.
//!
//! Pure: no clock, thread, file, socket, randomness or AMQP type; wall-clock time is an argument. A queue holds
//! [`Entry`]s of 32 bytes, never a message body. Start at [`Engine`].
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod engine;

mod changes;
mod delivery;
mod loading;
mod sweep;

mod consumer;
mod level;
mod lifetime;
mod line;
mod queue;

mod definition;
mod effect;
mod entry;
mod names;

mod invariants;
mod slab;

#[cfg(test)]
mod tests;

pub use consumer::ConsumerSpec;
pub use definition::{OverflowPolicy, Prefetch, QueueDefinition, Stores};
pub use effect::{Effect, Limit, NameError, Refusal, RemoveReason, Settle, StillLoading, UnknownDelivery};
pub use engine::{ConsumerSnapshot, Engine, Limits, QueueSnapshot, Visibility};
pub use entry::{ConsumerId, DeliveryToken, Entry, Place, QueueId, StoreId};
pub use names::{check_name, check_pattern, is_pattern, matches};

/// Longest queue name, in bytes. Our own limit, the one that EMS has for a destination name.
pub const NAME_BYTES_MAX: usize = 249;
/// Most elements between the dots of a queue name.
pub const NAME_ELEMENTS_MAX: usize = 64;
/// Priorities are 0 to 9; a higher number counts as 9.
pub const PRIORITIES: usize = 10;
