//! Owns [`Header`], the only section that a broker rewrites (core specification 3.2.1).

use bytes::BytesMut;

/// Transfer details of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The message must survive a restart of the broker.
    pub durable: bool,
    /// 0 lowest to 255 highest; 4 by default.
    pub priority: u8,
    /// How long the message lives, in milliseconds.
    pub ttl_ms: Option<u32>,
    /// Nobody has acquired the message before.
    pub first_acquirer: bool,
    /// Earlier deliveries that failed.
    pub delivery_count: u32,
}

impl Default for Header {
    fn default() -> Self {
        Self { durable: false, priority: 4, ttl_ms: None, first_acquirer: false, delivery_count: 0 }
    }
}

impl Header {
    /// Appends the header section; at most 32 bytes.
    pub fn encode(&self, out: &mut BytesMut) {
        let _ = out;
        todo!()
    }
}
