//! Owns [`scan`]: where the sections of an encoded message lie, without decoding more than the header.

use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

use super::properties::read_id;
use super::{Header, Properties};
use crate::codec::{DecodeError, Fields, FormatCode, Reader, descriptor, read_value};
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

/// Finds the sections of an encoded message and validates their order and framing. Allocates nothing.
///
/// # Errors
/// `amqp:decode-error` if the bytes are not a sequence of sections in the order of core specification 3.2.
pub fn scan(payload: &[u8]) -> Result<Sections, Error> {
    // Offsets are kept in 32 bits; no limit on messages lets a larger one get here.
    if u32::try_from(payload.len()).is_err() {
        return Err(DecodeError::TooManyElements.into());
    }
    scan_sections(payload).map_err(Error::from)
}

fn scan_sections(payload: &[u8]) -> Result<Sections, DecodeError> {
    let mut sections = Sections::default();
    let mut reader = Reader::new(payload);
    let mut last = 0;
    while !reader.is_empty() {
        let start = offset(payload, &reader);
        let code = reader.descriptor()?;
        let repeated = code == last && matches!(code, descriptor::DATA | descriptor::AMQP_SEQUENCE);
        if rank(code)? <= rank_before(last) && !repeated {
            return Err(DecodeError::SectionOrder);
        }
        last = code;
        if code == descriptor::HEADER {
            sections.header = Header::read(&mut reader)?;
            sections.has_header = true;
            sections.bare_offset = offset(payload, &reader) as usize;
            continue;
        }
        check_kind(code, reader.peek()?)?;
        reader.skip()?;
        sections.note(code, Span { start, end: offset(payload, &reader) });
    }
    Ok(sections)
}

/// Where the reader stands; the payload's length fits in 32 bits.
fn offset(payload: &[u8], reader: &Reader<'_>) -> u32 {
    (payload.len() - reader.rest().len()) as u32
}

/// The place of a section in the message; the kinds of body share one.
fn rank(code: u8) -> Result<u8, DecodeError> {
    match code {
        descriptor::HEADER..=descriptor::APPLICATION_PROPERTIES => Ok(code),
        descriptor::DATA..=descriptor::AMQP_VALUE => Ok(descriptor::DATA),
        descriptor::FOOTER => Ok(descriptor::FOOTER),
        _ => Err(DecodeError::UnexpectedDescriptor),
    }
}

fn rank_before(code: u8) -> u8 {
    rank(code).unwrap_or(0)
}

/// Whether a section holds the kind of value that it must.
fn check_kind(section: u8, code: u8) -> Result<(), DecodeError> {
    let (right, expected) = match section {
        descriptor::PROPERTIES | descriptor::AMQP_SEQUENCE => {
            (matches!(code, FormatCode::LIST_0 | FormatCode::LIST_8 | FormatCode::LIST_32), "list")
        }
        descriptor::DATA => (matches!(code, FormatCode::BINARY_8 | FormatCode::BINARY_32), "binary"),
        descriptor::AMQP_VALUE => (true, "any value"),
        _ => (matches!(code, FormatCode::MAP_8 | FormatCode::MAP_32), "map"),
    };
    if right { Ok(()) } else { Err(DecodeError::WrongType { expected, code }) }
}

impl Sections {
    fn note(&mut self, code: u8, span: Span) {
        let kind = match code {
            descriptor::DELIVERY_ANNOTATIONS => return self.delivery_annotations = Some(span),
            descriptor::MESSAGE_ANNOTATIONS => return self.message_annotations = Some(span),
            descriptor::PROPERTIES => return self.properties = Some(span),
            descriptor::APPLICATION_PROPERTIES => return self.application_properties = Some(span),
            descriptor::FOOTER => return self.footer = Some(span),
            descriptor::DATA => BodyKind::Data,
            descriptor::AMQP_SEQUENCE => BodyKind::Sequence,
            _ => BodyKind::Value,
        };
        if self.body.sections == 0 {
            self.body.span.start = span.start;
        }
        self.body.kind = kind;
        self.body.span.end = span.end;
        self.body.sections += 1;
    }

    /// The message-id. `payload` is what was scanned.
    ///
    /// # Errors
    /// `amqp:decode-error` if the properties are malformed.
    pub fn message_id(&self, payload: &[u8]) -> Result<Option<Value>, Error> {
        let Some(mut reader) = section(payload, self.properties)? else { return Ok(None) };
        Ok(read_id(&mut Fields::read(&mut reader)?)?)
    }

    /// The decoded properties; all absent if there is no such section.
    ///
    /// # Errors
    /// `amqp:decode-error` if the properties are malformed.
    pub fn properties(&self, payload: &[u8]) -> Result<Properties, Error> {
        let Some(mut reader) = section(payload, self.properties)? else { return Ok(Properties::default()) };
        Ok(Properties::read(&mut reader)?)
    }

    /// The decoded application properties; empty if there is no such section.
    ///
    /// # Errors
    /// `amqp:decode-error` if they are malformed or a key is not a string.
    pub fn application_properties(&self, payload: &[u8]) -> Result<Vec<(String, Value)>, Error> {
        let Some(mut reader) = section(payload, self.application_properties)? else { return Ok(Vec::new()) };
        let Value::Map(entries) = read_value(&mut reader)? else { return Ok(Vec::new()) };
        let named = |(key, value)| match key {
            Value::String(name) => Ok((name, value)),
            _ => Err(DecodeError::InvalidField("application-properties").into()),
        };
        entries.into_iter().map(named).collect()
    }

    /// The decoded message annotations; empty if there is no such section.
    ///
    /// # Errors
    /// `amqp:decode-error` if they are malformed.
    pub fn message_annotations(&self, payload: &[u8]) -> Result<Vec<(Value, Value)>, Error> {
        let Some(mut reader) = section(payload, self.message_annotations)? else { return Ok(Vec::new()) };
        match read_value(&mut reader)? {
            Value::Map(entries) => Ok(entries),
            _ => Ok(Vec::new()),
        }
    }

    /// The bytes of a body that is a single data section.
    pub fn data<'p>(&self, payload: &'p [u8]) -> Option<&'p [u8]> {
        if self.body.kind != BodyKind::Data || self.body.sections != 1 {
            return None;
        }
        section(payload, Some(self.body.span)).ok()??.binary().ok()?
    }

    /// The value of a body that is an amqp-value section.
    ///
    /// # Errors
    /// `amqp:decode-error` if it is malformed.
    pub fn value(&self, payload: &[u8]) -> Result<Option<Value>, Error> {
        if self.body.kind != BodyKind::Value {
            return Ok(None);
        }
        let Some(mut reader) = section(payload, Some(self.body.span))? else { return Ok(None) };
        Ok(Some(read_value(&mut reader)?))
    }
}

/// A reader over the value of a section, behind its descriptor.
fn section(payload: &[u8], span: Option<Span>) -> Result<Option<Reader<'_>>, DecodeError> {
    let Some(span) = span else { return Ok(None) };
    let bytes = payload.get(span.range()).ok_or(DecodeError::Truncated)?;
    let mut reader = Reader::new(bytes);
    reader.descriptor()?;
    Ok(Some(reader))
}
