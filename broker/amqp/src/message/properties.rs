//! Owns [`Properties`], the immutable properties of a message (core specification 3.2.4).

use alloc::string::String;

use bytes::{Bytes, BytesMut};

use crate::codec::{DecodeError, Fields, Reader, composite, descriptor};
use crate::types::Value;

/// Immutable properties of a message.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Properties {
    /// Names the message: a ulong, uuid, binary or string.
    pub message_id: Option<Value>,
    /// The user who produced the message.
    pub user_id: Option<Bytes>,
    /// The node that the message is meant for.
    pub to: Option<String>,
    /// What the message is about.
    pub subject: Option<String>,
    /// The node to send replies to.
    pub reply_to: Option<String>,
    /// Names the message that this one answers: a ulong, uuid, binary or string.
    pub correlation_id: Option<Value>,
    /// MIME type of the body, a symbol.
    pub content_type: Option<String>,
    /// Encoding on top of it, a symbol.
    pub content_encoding: Option<String>,
    /// When the message expires, in milliseconds since the Unix epoch.
    pub absolute_expiry_time_ms: Option<i64>,
    /// When the message was made, in milliseconds since the Unix epoch.
    pub creation_time_ms: Option<i64>,
    /// The group that the message belongs to.
    pub group_id: Option<String>,
    /// Its place in the group.
    pub group_sequence: Option<u32>,
    /// The group of the replies.
    pub reply_to_group_id: Option<String>,
}

impl Properties {
    /// Reads the list of fields; the descriptor was read.
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut fields = Fields::read(reader)?;
        let properties = Self {
            message_id: read_id(&mut fields)?,
            user_id: fields.binary()?.map(Bytes::copy_from_slice),
            to: fields.owned_string()?,
            subject: fields.owned_string()?,
            reply_to: fields.owned_string()?,
            correlation_id: read_id(&mut fields)?,
            content_type: fields.owned_symbol()?,
            content_encoding: fields.owned_symbol()?,
            absolute_expiry_time_ms: fields.timestamp()?,
            creation_time_ms: fields.timestamp()?,
            group_id: fields.owned_string()?,
            group_sequence: fields.uint()?,
            reply_to_group_id: fields.owned_string()?,
        };
        fields.finish()?;
        Ok(properties)
    }

    /// Appends the section.
    pub(super) fn put(&self, out: &mut BytesMut) {
        composite(out, descriptor::PROPERTIES, |fields| {
            fields.value(self.message_id.as_ref().unwrap_or(&Value::Null));
            fields.binary(self.user_id.as_deref());
            fields.string(self.to.as_deref());
            fields.string(self.subject.as_deref());
            fields.string(self.reply_to.as_deref());
            fields.value(self.correlation_id.as_ref().unwrap_or(&Value::Null));
            fields.symbol(self.content_type.as_deref());
            fields.symbol(self.content_encoding.as_deref());
            fields.timestamp(self.absolute_expiry_time_ms);
            fields.timestamp(self.creation_time_ms);
            fields.string(self.group_id.as_deref());
            fields.uint(self.group_sequence);
            fields.string(self.reply_to_group_id.as_deref());
        });
    }
}

/// Reads a message-id or correlation-id, which has one of four types.
pub(super) fn read_id(fields: &mut Fields<'_>) -> Result<Option<Value>, DecodeError> {
    match fields.value()? {
        Value::Null => Ok(None),
        id @ (Value::Ulong(_) | Value::Uuid(_) | Value::Binary(_) | Value::String(_)) => Ok(Some(id)),
        _ => Err(DecodeError::InvalidField("message-id")),
    }
}
