//! The broker: configuration, availability, security, administration, and the loop that joins the pure cores.
//!
//! Map, in reading order:
//!
//! * `start`: from the command line to a running server; `options`
//! * `broker`: the loop of a shard, the order of work within a turn
//! * `inbound`, `outbound`: what peers say; what consumers get
//! * `exchange`: where queues (`engine`) and journal (`store`) meet; `confirms`, `volatile`, `loading`, `budget`
//! * `connection`, `connections`, `stage`, `transform`: one connection, the table, the stages of its life, its bytes
//! * `login`, `security`: who a connection is, what it may do
//! * `opening`: who is served, who is sent away
//! * `ha`, `peer`: which server is active; the FT link
//! * `admin`: request/reply administration; `queues`: queues that change while they are in use
//! * `store_check`: `broker store-check`, offline
//! * `tool`: the program `broker-admin`
//! * `config`: the files of EMS
//! * `log`, `clock`, `pauses`
//!
//! Codec, queues, journal and input/output are the crates `amqp`, `engine`, `store` and `reactor`.

#![forbid(unsafe_code)]

mod admin;
mod broker;
mod budget;
mod clock;
pub mod config;
mod confirms;
mod connection;
mod connections;
mod exchange;
pub mod ha;
mod inbound;
mod loading;
mod log;
mod login;
mod opening;
mod options;
mod outbound;
mod pauses;
mod peer;
mod queues;
mod security;
mod stage;
mod start;
mod store_check;
mod tool;
mod transform;
mod volatile;

pub use broker::Broker;
pub use clock::WallClock;
pub use log::Log;
pub use start::{Start, StoreOptions, assemble, run};
pub use tool::administer;
