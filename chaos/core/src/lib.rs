//! Clusters, faults, checks and reports of the chaos harness.
//!
//! A run goes [`options`] -> [`plan`] -> (for each trial: [`cluster`], the load generator, [`faults`], [`checks`], [`times`]) -> [`report`].
//! What is measured without a fault is [`measurement`]. A plan that fails is reduced by [`shrink`]. Two runs beside each other are
//! [`compare`].
//! This crate knows a broker only as processes, sockets, event lines and exit codes; it never links one.

#![forbid(unsafe_code)]

pub mod backlog;
pub mod checks;
pub mod cleanup;
pub mod clock;
pub mod cluster;
pub mod compare;
pub mod environment;
mod error;
pub mod fates;
pub mod faults;
pub mod history;
pub mod latency;
mod listing;
pub mod machine;
pub mod measurement;
pub mod node;
pub mod options;
pub mod plan;
pub mod progress;
mod replay;
pub mod report;
pub mod result;
mod run;
pub mod scenario;
mod sequence;
pub mod series;
pub mod shrink;
pub mod statistics;
pub mod times;
pub mod trial;

pub use error::{Error, Result};
pub use run::main;
