//! The Understudy broker.

pub mod config;
pub mod ha;
