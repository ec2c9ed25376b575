//! Owns [`Properties`], the immutable properties of a message (core specification 3.2.4).

use alloc::string::String;

use bytes::Bytes;

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
