//! Owns [`Source`] and [`Target`], the ends of a link (core specification 3.5.3, 3.5.4 and 4.5.1).

use alloc::string::String;
use alloc::vec::Vec;

use bytes::BytesMut;

use super::Outcome;
use crate::codec::{DecodeError, Fields, Reader, composite, descriptor, put_string};
use crate::types::Value;

/// Where messages come from.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Source {
    /// The name of the node; absent with `dynamic`, and in null sources of anonymous links.
    pub address: Option<String>,
    /// 0 nothing is kept, 1 the terminus, 2 the terminus and its unsettled state.
    pub durable: u32,
    /// When the terminus expires: `link-detach`, `session-end` (the default), `connection-close` or `never`.
    pub expiry_policy: Option<String>,
    /// How long the terminus lives after that, in seconds.
    pub timeout_s: u32,
    /// The receiver asks for a new node; the answer carries its address.
    pub dynamic: bool,
    /// Properties of the new node: a map from symbols.
    pub dynamic_node_properties: Vec<(Value, Value)>,
    /// `move` or `copy` (browsing).
    pub distribution_mode: Option<String>,
    /// Filters: a map from symbols chosen by the client to described values, which the descriptor identifies.
    pub filter: Vec<(Value, Value)>,
    /// The outcome of deliveries that are never settled.
    pub default_outcome: Option<Outcome>,
    /// Symbols of the outcomes that are possible.
    pub outcomes: Vec<String>,
    /// Extensions.
    pub capabilities: Vec<String>,
}

/// Where messages go to.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Target {
    /// True: this is a transaction coordinator, which has capabilities only.
    pub coordinator: bool,
    /// The name of the node; absent with `dynamic`, and for the anonymous terminus.
    pub address: Option<String>,
    /// 0 nothing is kept, 1 the terminus, 2 the terminus and its unsettled state.
    pub durable: u32,
    /// When the terminus expires: `link-detach`, `session-end` (the default), `connection-close` or `never`.
    pub expiry_policy: Option<String>,
    /// How long the terminus lives after that, in seconds.
    pub timeout_s: u32,
    /// The sender asks for a new node; the answer carries its address.
    pub dynamic: bool,
    /// Properties of the new node: a map from symbols.
    pub dynamic_node_properties: Vec<(Value, Value)>,
    /// Extensions.
    pub capabilities: Vec<String>,
}

impl Source {
    /// A source with an address and all else at its default.
    pub fn at(address: impl Into<String>) -> Self {
        Self { address: Some(address.into()), ..Self::default() }
    }
}

impl Target {
    /// A target with an address and all else at its default.
    pub fn at(address: impl Into<String>) -> Self {
        Self { address: Some(address.into()), ..Self::default() }
    }
}

/// Reads an address, which the specification allows to be of any type; we know strings only.
fn read_address(fields: &mut Fields<'_>) -> Result<Option<String>, DecodeError> {
    fields.owned_string().map_err(|error| match error {
        DecodeError::WrongType { .. } => DecodeError::InvalidField("address"),
        other => other,
    })
}

impl Source {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        if reader.descriptor()? != descriptor::SOURCE {
            return Err(DecodeError::UnexpectedDescriptor);
        }
        let mut fields = Fields::read(reader)?;
        let source = Self {
            address: read_address(&mut fields)?,
            durable: fields.uint()?.unwrap_or(0),
            expiry_policy: fields.owned_symbol()?,
            timeout_s: fields.uint()?.unwrap_or(0),
            dynamic: fields.boolean()?.unwrap_or(false),
            dynamic_node_properties: fields.map()?,
            distribution_mode: fields.owned_symbol()?,
            filter: fields.map()?,
            default_outcome: fields.composite(Outcome::read)?,
            outcomes: fields.symbols()?,
            capabilities: fields.symbols()?,
        };
        fields.finish()?;
        Ok(source)
    }

    pub(crate) fn put(&self, out: &mut BytesMut) {
        composite(out, descriptor::SOURCE, |fields| {
            fields.optional(self.address.as_deref(), put_string);
            fields.uint((self.durable > 0).then_some(self.durable));
            fields.symbol(self.expiry_policy.as_deref());
            fields.uint((self.timeout_s > 0).then_some(self.timeout_s));
            fields.flag(self.dynamic);
            fields.map(&self.dynamic_node_properties);
            fields.symbol(self.distribution_mode.as_deref());
            fields.map(&self.filter);
            fields.optional(self.default_outcome.as_ref(), |out, outcome| outcome.put(out));
            fields.symbols(&self.outcomes);
            fields.symbols(&self.capabilities);
        });
    }
}

impl Target {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let coordinator = match reader.descriptor()? {
            descriptor::TARGET => false,
            descriptor::COORDINATOR => true,
            _ => return Err(DecodeError::UnexpectedDescriptor),
        };
        let mut fields = Fields::read(reader)?;
        let target = if coordinator {
            Self { coordinator, capabilities: fields.symbols()?, ..Self::default() }
        } else {
            Self {
                coordinator,
                address: read_address(&mut fields)?,
                durable: fields.uint()?.unwrap_or(0),
                expiry_policy: fields.owned_symbol()?,
                timeout_s: fields.uint()?.unwrap_or(0),
                dynamic: fields.boolean()?.unwrap_or(false),
                dynamic_node_properties: fields.map()?,
                capabilities: fields.symbols()?,
            }
        };
        fields.finish()?;
        Ok(target)
    }

    pub(crate) fn put(&self, out: &mut BytesMut) {
        if self.coordinator {
            return composite(out, descriptor::COORDINATOR, |fields| fields.symbols(&self.capabilities));
        }
        composite(out, descriptor::TARGET, |fields| {
            fields.optional(self.address.as_deref(), put_string);
            fields.uint((self.durable > 0).then_some(self.durable));
            fields.symbol(self.expiry_policy.as_deref());
            fields.uint((self.timeout_s > 0).then_some(self.timeout_s));
            fields.flag(self.dynamic);
            fields.map(&self.dynamic_node_properties);
            fields.symbols(&self.capabilities);
        });
    }
}
