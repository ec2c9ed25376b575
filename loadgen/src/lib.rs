//! Load generator for AMQP 1.0 brokers and pairs: open loop, honest under outages, with a record of every message and a verdict.
//!
//! A map, in the order in which a message passes:
//!
//! * what is wanted: [`options`], written on a command line or in a profile as `cli` says; [`schedule`] says when each message is due,
//!   [`sizes`] how large it is, `agenda` what is to be sent now;
//! * the clients: `wire` drives one connection over a socket, [`tls`] secures it, `client` finds the active server of a list, `producer` and
//!   `consumer` own the two workloads, `requests` and `responses` the answers between them, `payload` the bytes that prove where a message
//!   comes from;
//! * what is kept: [`ledger`] (every send, every delivery), `meter` and `recorder` (latency and rates), [`series`] (what they give),
//!   [`hlog`] (as a file), `thread_use` and [`host`] (what measuring cost);
//! * what follows from it: [`verdict`] judges messages, [`judgement`] the whole run, [`report`], [`plots`], [`table`] and [`page`] show;
//! * several runs: [`search`] and [`sweep`] look for a rate, [`merge`] joins, [`compare`] and [`bootstrap`] tell differences;
//! * [`run`] ties one together, [`wall`] lets many begin at once, [`admin`] asks a broker for its administration.

#![forbid(unsafe_code)]

mod address;
pub mod admin;
mod agenda;
pub mod bootstrap;
pub mod cli;
mod client;
pub mod clock;
pub mod compare;
mod consumer;
mod control;
mod envelope;
pub mod history;
pub mod hlog;
pub mod host;
pub mod judgement;
pub mod ledger;
pub mod merge;
pub mod meter;
pub mod options;
pub mod page;
pub mod payload;
pub mod plots;
mod producer;
mod progress;
mod recorder;
pub mod report;
mod requests;
mod responses;
pub mod run;
pub mod schedule;
pub mod search;
pub mod series;
pub mod sizes;
pub mod sweep;
pub mod table;
mod thread_use;
pub mod threshold;
pub mod timeline;
mod timer;
pub mod tls;
pub mod units;
pub mod verdict;
pub mod wall;
mod wire;
