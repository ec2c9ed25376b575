//! What is measured: the command line.
//!
//! Owns nothing else; what a setting does is said where it is used.

use benches::Flow;
use clap::{Parser, ValueEnum};
use std::net::SocketAddr;

/// What the broker speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Protocol {
    /// AMQP 1.0: a transfer and a disposition for each message, at both ends.
    Amqp,
    /// Redis streams: XADD, pipelined, and XREAD, which acknowledges nothing.
    Redis,
    /// NATS core: PUB and SUB, at most once.
    Nats,
    /// NATS JetStream: PUB with an answer for each message, and a push consumer that acknowledges what it read at once.
    Jetstream,
    /// No broker: a durable write and an answer for each message, without a consumer.
    Bare,
}

/// Loads one broker and prints one line of JSON.
#[derive(Debug, Parser)]
pub(crate) struct Options {
    /// What the broker speaks.
    #[arg(long)]
    pub(crate) protocol: Protocol,
    /// Where it listens.
    #[arg(long)]
    pub(crate) address: SocketAddr,
    /// The queue, stream or subject.
    #[arg(long, default_value = "bench")]
    pub(crate) queue: String,
    /// Connections that send.
    #[arg(long, default_value_t = 1)]
    pub(crate) producers: usize,
    /// Connections that receive and acknowledge.
    #[arg(long, default_value_t = 1)]
    pub(crate) consumers: usize,
    /// Messages of one producer that may be unconfirmed.
    #[arg(long, default_value_t = 1000)]
    pub(crate) in_flight: usize,
    /// Bytes of a message.
    #[arg(long, default_value_t = 1024)]
    pub(crate) bytes: usize,
    /// Not persistent and without answers; a message counts as confirmed when the consumer has it, so that no queue grows.
    #[arg(long)]
    pub(crate) settled: bool,
    /// Messages a second of all producers together, sent on time whatever the broker does; 0: as fast as it confirms.
    #[arg(long, default_value_t = 0)]
    pub(crate) rate: u64,
    /// Seconds before the measurement.
    #[arg(long, default_value_t = 1.0)]
    pub(crate) warm_up: f64,
    /// Seconds of the measurement.
    #[arg(long, default_value_t = 2.0)]
    pub(crate) seconds: f64,
    /// The broker's processes, whose processor time is counted.
    #[arg(long, value_delimiter = ',')]
    pub(crate) broker_pid: Vec<u32>,
    /// Block device whose flushes are counted, as in /sys/block.
    #[arg(long)]
    pub(crate) device: Option<String>,
    /// Copied to the output.
    #[arg(long, default_value = "")]
    pub(crate) label: String,
}

impl Options {
    /// What flows.
    pub(crate) fn flow(&self) -> Flow {
        Flow { queue: self.queue.clone(), bytes: self.bytes, settled: self.settled }
    }

    /// Nanoseconds before the measurement.
    pub(crate) fn warm_up_ns(&self) -> u64 {
        (self.warm_up * 1e9) as u64
    }

    /// Nanoseconds of the measurement.
    pub(crate) fn seconds_ns(&self) -> u64 {
        (self.seconds * 1e9) as u64
    }
}
