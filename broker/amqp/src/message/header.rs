//! Owns [`Header`], the only section that a broker rewrites (core specification 3.2.1).

use bytes::BytesMut;

use crate::codec::{DecodeError, Fields, Reader, composite, descriptor};

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
    /// Appends the header section; at most 25 bytes. Fields at their default are left out.
    pub fn encode(&self, out: &mut BytesMut) {
        composite(out, descriptor::HEADER, |fields| {
            fields.flag(self.durable);
            match self.priority {
                4 => fields.null(),
                priority => fields.ubyte(priority),
            }
            fields.uint(self.ttl_ms);
            fields.flag(self.first_acquirer);
            fields.uint((self.delivery_count > 0).then_some(self.delivery_count));
        });
    }

    /// Reads the list of fields; the descriptor was read.
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut fields = Fields::read(reader)?;
        let header = Self {
            durable: fields.boolean()?.unwrap_or(false),
            priority: fields.ubyte()?.unwrap_or(4),
            ttl_ms: fields.uint()?,
            first_acquirer: fields.boolean()?.unwrap_or(false),
            delivery_count: fields.uint()?.unwrap_or(0),
        };
        fields.finish()?;
        Ok(header)
    }
}
