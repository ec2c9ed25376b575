//! The broker: configuration, availability, security, administration, and the loop that joins the pure cores.
//!
//! Map, in reading order:
//!
//! * `start`: from the command line to a running server; `options`
//! * `broker`: the loop of a shard, the order of work within a turn; `timer`; `leaving`: how a server ends
//! * `inbound`, `outbound`: what peers say; what consumers get
//! * `exchange`: where queues (`engine`) and journal (`store`) meet; `confirms`, `volatile`, `loading`, `budget`
//! * `accepting`, `connection`, `connections`, `stage`, `transform`: connections that come, one of
//!   them, the table, the stages of its life, its bytes
//! * `tls`: certificates and keys, TLS sessions, what goes wrong with them
//! * `login`, `security`: who a connection is, what it may do
//! * `opening`: who is served, who is sent away
//! * `ha`, `peer`: which server is active; the FT link; `ownership`: what clients are told when that is in doubt;
//!   `reread`: the object files at activation; `unshared`: two servers with a store each
//! * `admin`: request/reply administration; `monitor`: health and figures over HTTP; `queues`: queues that change while they are in use; `temporary`: queues of clients
//! * `store_check`: `broker store-check`, offline
//! * `tool`: the program `broker-admin`
//! * `config`: the files of EMS
//! * `log`, `clock`, `pauses`, `processors`
//!
//! Codec, queues, journal and input/output are the crates `amqp`, `engine`, `store` and `reactor`.

#![forbid(unsafe_code)]

mod accepting;
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
mod leaving;
mod loading;
mod log;
mod login;
mod monitor;
mod opening;
mod options;
mod outbound;
mod ownership;
mod pauses;
mod peer;
mod processors;
mod queues;
mod reread;
mod security;
mod stage;
mod start;
mod store_check;
mod temporary;
mod timer;
mod tls;
mod tool;
mod transform;
mod unshared;
mod volatile;

pub use broker::Broker;
pub use clock::WallClock;
pub use log::Log;
pub use reread::Source;
pub use start::{Start, StoreOptions, assemble, run, run_on};
pub use tool::administer;
