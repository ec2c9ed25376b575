//! Clusters, faults, checks and reports of the chaos harness.
//!
//! A run goes [`options`] -> [`plan`] -> (for each trial: [`cluster`], the load generator, [`faults`], [`checks`], [`times`]) -> [`report`].
//! This crate knows a broker only as processes, sockets, event lines and exit codes; it never links one.

#![forbid(unsafe_code)]

pub mod cleanup;
pub mod clock;
pub mod cluster;
mod error;
pub mod faults;
pub mod node;
pub mod options;
pub mod plan;
pub mod scenario;
pub mod statistics;

pub use error::{Error, Result};
