//! Owns [`Open`] (core specification 2.7.1).

use alloc::string::String;
use alloc::vec::Vec;

use bytes::BytesMut;

use crate::codec::{DecodeError, Fields, composite, descriptor};
use crate::types::{Value, lookup};

/// What a container says about itself when a connection begins.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Open {
    /// The name of the container.
    pub container_id: String,
    /// The virtual host that the client wants.
    pub hostname: Option<String>,
    /// The largest frame that the sender of this open accepts, in bytes. Our own value comes from the configuration.
    pub max_frame_size: u32,
    /// The highest channel number that the sender of this open accepts. Our own value comes from the configuration.
    pub channel_max: u16,
    /// The sender of this open wants to hear something at least this often, in milliseconds. Our own value comes from the
    /// configuration.
    pub idle_timeout_ms: Option<u32>,
    /// Extensions that the sender of this open supports.
    pub offered_capabilities: Vec<String>,
    /// Extensions that the sender of this open would like to use.
    pub desired_capabilities: Vec<String>,
    /// More about the container: a map from symbols.
    pub properties: Vec<(Value, Value)>,
}

impl Open {
    /// The value of a property.
    pub fn property(&self, key: &str) -> Option<&Value> {
        lookup(&self.properties, key)
    }

    /// True if the sender of this open would like to use the capability.
    pub fn desires(&self, capability: &str) -> bool {
        self.desired_capabilities.iter().any(|name| name == capability)
    }

    /// True if the sender of this open supports the capability.
    pub fn offers(&self, capability: &str) -> bool {
        self.offered_capabilities.iter().any(|name| name == capability)
    }
}

impl Open {
    /// Reads the fields; the descriptor was read.
    pub(crate) fn read(mut fields: Fields<'_>) -> Result<Self, DecodeError> {
        let open = Self {
            container_id: fields.owned_string()?.ok_or(DecodeError::MissingField("container-id"))?,
            hostname: fields.owned_string()?,
            max_frame_size: fields.uint()?.unwrap_or(u32::MAX),
            channel_max: fields.ushort()?.unwrap_or(u16::MAX),
            idle_timeout_ms: fields.uint()?.filter(|milliseconds| *milliseconds > 0),
            offered_capabilities: {
                fields.skip()?; // outgoing-locales
                fields.skip()?; // incoming-locales
                fields.symbols()?
            },
            desired_capabilities: fields.symbols()?,
            properties: fields.map()?,
        };
        fields.finish()?;
        Ok(open)
    }

    /// Appends the performative.
    pub(crate) fn put(&self, out: &mut BytesMut) {
        composite(out, descriptor::OPEN, |fields| {
            fields.string(Some(&self.container_id));
            fields.string(self.hostname.as_deref());
            fields.uint(Some(self.max_frame_size));
            fields.ushort(Some(self.channel_max));
            fields.uint(self.idle_timeout_ms);
            fields.null(); // outgoing-locales
            fields.null(); // incoming-locales
            fields.symbols(&self.offered_capabilities);
            fields.symbols(&self.desired_capabilities);
            fields.map(&self.properties);
        });
    }
}
