//! Owns [`scan`]: where the sections of an encoded message lie, without decoding more than the header.

use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

use super::{Header, Properties};
use crate::performative::Error;
use crate::types::Value;

/// A range of bytes within a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// The first byte.
    pub start: u32,
    /// The byte after the last.
    pub end: u32,
}

impl Span {
    /// As a range to index the payload with.
    pub fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// What a body is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BodyKind {
    /// No body section at all.
    #[default]
    None,
    /// One or more data sections.
    Data,
    /// One or more amqp-sequence sections.
    Sequence,
    /// One amqp-value section.
    Value,
}

/// Where the body lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BodyRange {
    /// What it is made of.
    pub kind: BodyKind,
    /// All its sections, descriptors included.
    pub span: Span,
    /// How many sections.
    pub sections: u32,
}

/// Where the sections of a message lie. Spans include the section's descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sections {
    /// The decoded header, or its defaults.
    pub header: Header,
    /// A header section was present.
    pub has_header: bool,
    /// The first byte after the header section: what is forwarded unchanged, behind a rewritten header.
    pub bare_offset: usize,
    /// Delivery annotations.
    pub delivery_annotations: Option<Span>,
    /// Message annotations.
    pub message_annotations: Option<Span>,
    /// Properties.
    pub properties: Option<Span>,
    /// Application properties.
    pub application_properties: Option<Span>,
    /// The body.
    pub body: BodyRange,
    /// The footer.
    pub footer: Option<Span>,
}

/// Finds the sections of an encoded message and validates their order and framing.
///
/// # Errors
/// `amqp:decode-error` if the bytes are not a sequence of sections in the order of core specification 3.2.
pub fn scan(payload: &[u8]) -> Result<Sections, Error> {
    let _ = payload;
    todo!()
}

impl Sections {
    /// The message-id. `payload` is what was scanned.
    ///
    /// # Errors
    /// `amqp:decode-error` if the properties are malformed.
    pub fn message_id(&self, payload: &[u8]) -> Result<Option<Value>, Error> {
        let _ = payload;
        todo!()
    }

    /// The decoded properties; all absent if there is no such section.
    ///
    /// # Errors
    /// `amqp:decode-error` if the properties are malformed.
    pub fn properties(&self, payload: &[u8]) -> Result<Properties, Error> {
        let _ = payload;
        todo!()
    }

    /// The decoded application properties; empty if there is no such section.
    ///
    /// # Errors
    /// `amqp:decode-error` if they are malformed or a key is not a string.
    pub fn application_properties(&self, payload: &[u8]) -> Result<Vec<(String, Value)>, Error> {
        let _ = payload;
        todo!()
    }

    /// The decoded message annotations; empty if there is no such section.
    ///
    /// # Errors
    /// `amqp:decode-error` if they are malformed.
    pub fn message_annotations(&self, payload: &[u8]) -> Result<Vec<(Value, Value)>, Error> {
        let _ = payload;
        todo!()
    }

    /// The bytes of a body that is a single data section.
    pub fn data<'p>(&self, payload: &'p [u8]) -> Option<&'p [u8]> {
        let _ = payload;
        todo!()
    }

    /// The value of a body that is an amqp-value section.
    ///
    /// # Errors
    /// `amqp:decode-error` if it is malformed.
    pub fn value(&self, payload: &[u8]) -> Result<Option<Value>, Error> {
        let _ = payload;
        todo!()
    }
}
