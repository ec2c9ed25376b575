//! Owns the encoding of whole messages.

use alloc::string::String;

use bytes::{Bytes, BytesMut};

use super::{Header, Properties};
use crate::types::Value;

/// A body to encode.
#[derive(Debug, Clone, PartialEq)]
pub enum Body<'a> {
    /// One data section.
    Data(&'a [u8]),
    /// One amqp-value section.
    Value(Value),
}

/// Encodes a message. Empty application properties leave their section out, as do properties that are all absent.
pub fn encode(
    header: Header,
    properties: &Properties,
    application_properties: &[(String, Value)],
    body: Body<'_>,
) -> Bytes {
    let mut out = BytesMut::new();
    encode_into(&mut out, header, properties, application_properties, body);
    out.freeze()
}

/// Appends an encoded message to a buffer.
pub fn encode_into(
    out: &mut BytesMut,
    header: Header,
    properties: &Properties,
    application_properties: &[(String, Value)],
    body: Body<'_>,
) {
    let _ = (out, header, properties, application_properties, body);
    todo!()
}
