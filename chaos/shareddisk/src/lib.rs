//! One disk, two hosts: a shared disk that loses, delays, tears and fences as real ones do.
//!
//! [`model`] is the disk as a plain library: what is durable and what is not, who holds which lock, which faults are set. The rest
//! puts it to work: [`daemon`] mounts one folder for each host over one model (`mount` translates FUSE, `folder` keeps the durable
//! bytes in files, [`gate`] lets operations wait), [`control`] are the words of its socket, [`client`] is the harness's side.
//!
//! A process's death is not a host's crash: unsynced data stays in the host's layer and is written back later. [`client::Disk::crash`]
//! is what loses it. Take no figures of speed from this disk: each operation goes through the daemon.

#![forbid(unsafe_code)]

pub mod client;
mod clock;
pub mod control;
pub mod daemon;
mod error;
mod folder;
pub mod gate;
mod log;
pub mod model;
mod mount;

pub use error::{Error, Result};
pub use log::{RECORDS_MAX, Record};
