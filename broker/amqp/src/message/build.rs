//! Owns the encoding of whole messages.

use alloc::string::String;

use bytes::{BufMut, Bytes, BytesMut};

use super::{Header, Properties};
use crate::codec::{Compound, FormatCode, descriptor, put_binary, put_string, put_value};
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
    // Enough for the sections before the body as load generators write them; grows where it is not.
    let mut out = BytesMut::with_capacity(128 + if let Body::Data(bytes) = &body { bytes.len() } else { 0 });
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
    if header != Header::default() {
        header.encode(out);
    }
    if *properties != Properties::default() {
        properties.put(out);
    }
    if !application_properties.is_empty() {
        put_section(out, descriptor::APPLICATION_PROPERTIES);
        let map = Compound::begin(out, FormatCode::MAP_32);
        for (key, value) in application_properties {
            put_string(out, key);
            put_value(out, value);
        }
        map.end(out, application_properties.len() * 2);
    }
    match body {
        Body::Data(bytes) => {
            put_section(out, descriptor::DATA);
            put_binary(out, bytes);
        }
        Body::Value(value) => {
            put_section(out, descriptor::AMQP_VALUE);
            put_value(out, &value);
        }
    }
}

fn put_section(out: &mut BytesMut, code: u8) {
    out.put_slice(&[FormatCode::DESCRIBED, FormatCode::ULONG_SMALL, code]);
}
