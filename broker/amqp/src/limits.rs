//! Owns [`Config`] and [`Limits`]: everything about a connection that is decided before it begins.

use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

/// What a connection says about itself and how much it takes.
#[derive(Debug, Clone)]
pub struct Config {
    /// Our name, sent in `open`.
    pub container_id: String,
    /// The virtual host that we ask for, sent in `open` and in SASL by a client.
    pub hostname: Option<String>,
    /// The largest frame that we accept, in bytes; at least 512.
    pub max_frame_size: u32,
    /// The highest channel number that we accept.
    pub channel_max: u16,
    /// The highest handle that we accept in each session.
    pub handle_max: u32,
    /// We fail the connection when nothing arrives for this long, in milliseconds; 0 = never. The peer is told half of it.
    pub idle_timeout_ms: u32,
    /// How many transfer frames we take per session before the peer has to wait for a refresh, which comes at half.
    pub incoming_window: u32,
    /// Server: refuse clients that begin with the plain AMQP header.
    pub require_sasl: bool,
    /// Server: the SASL mechanisms offered.
    pub sasl_mechanisms: Vec<String>,
    /// Bounds on what a peer can make us hold.
    pub limits: Limits,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            container_id: String::new(),
            hostname: None,
            max_frame_size: 128 * 1024,
            channel_max: 255,
            handle_max: 1023,
            idle_timeout_ms: 60_000,
            incoming_window: 4096,
            require_sasl: false,
            sasl_mechanisms: vec!["PLAIN".to_string(), "ANONYMOUS".to_string()],
            limits: Limits::default(),
        }
    }
}

/// Bounds on what a peer can make a connection hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The largest message that we accept, in bytes; sent in `attach` where the application gives no smaller one.
    pub message_size_max: u64,
    /// Unfinished multi-frame deliveries of all links together, in bytes.
    pub assembly_bytes_max: usize,
    /// Output queued and not yet taken, in bytes; beyond it `send` refuses.
    pub output_bytes_max: usize,
    /// Sent deliveries that wait for their settlement, per session; beyond it `send` refuses.
    pub unsettled_max: usize,
    /// Links of all sessions together.
    pub links_max: usize,
    /// The largest frame before both opens have been exchanged, in bytes (the specification says 512; tokens need more).
    pub handshake_frame_size_max: u32,
    /// Input kept while the application decides about SASL or the open, in bytes.
    pub held_bytes_max: usize,
    /// From the first byte to the peer's open, in milliseconds.
    pub handshake_timeout_ms: u32,
    /// The largest performative other than a transfer's payload, in bytes.
    pub performative_size_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_size_max: 64 << 20,
            assembly_bytes_max: 128 << 20,
            output_bytes_max: 16 << 20,
            unsettled_max: 65_536,
            links_max: 4096,
            handshake_frame_size_max: 8 << 10,
            held_bytes_max: 64 << 10,
            handshake_timeout_ms: 10_000,
            performative_size_max: 32 << 10,
        }
    }
}
