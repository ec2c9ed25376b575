//! Owns [`Error`], what `detach`, `end`, `close` and `rejected` carry (core specification 2.8.14).
//! The names of the conditions live in [`crate::condition`].

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::ops::Deref;

use bytes::BytesMut;

use crate::codec::{DecodeError, Fields, Reader, composite, descriptor};
use crate::condition;
use crate::types::Value;

/// An error as it travels between the peers: a pointer to its [`ErrorParts`], so that results and outcomes stay small.
#[derive(Debug, Clone, PartialEq)]
pub struct Error(Box<ErrorParts>);

/// What an [`Error`] says.
#[derive(Debug, Clone, PartialEq)]
pub struct ErrorParts {
    /// What kind of error: a symbol, mostly one of [`crate::condition`].
    pub condition: Cow<'static, str>,
    /// Words for people; may be empty.
    pub description: String,
    /// More for programs: a map from symbols.
    pub info: Vec<(Value, Value)>,
}

impl Error {
    /// An error without an info map.
    pub fn new(condition: impl Into<Cow<'static, str>>, description: impl Into<String>) -> Self {
        ErrorParts { condition: condition.into(), description: description.into(), info: Vec::new() }.into()
    }

    /// Adds one entry to the info map; the key becomes a symbol.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.0.info.push((Value::symbol(key), value.into()));
        self
    }
}

impl From<ErrorParts> for Error {
    fn from(parts: ErrorParts) -> Self {
        Self(Box::new(parts))
    }
}

impl Deref for Error {
    type Target = ErrorParts;

    fn deref(&self) -> &ErrorParts {
        &self.0
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.condition)?;
        if !self.description.is_empty() {
            write!(formatter, ": {}", self.description)?;
        }
        Ok(())
    }
}

impl core::error::Error for Error {}

impl Error {
    /// Reads an error: a described list.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        if reader.descriptor()? != descriptor::ERROR {
            return Err(DecodeError::UnexpectedDescriptor);
        }
        let mut fields = Fields::read(reader)?;
        let condition = fields.owned_symbol()?.ok_or(DecodeError::MissingField("condition"))?;
        let description = fields.owned_string()?.unwrap_or_default();
        let info = fields.map()?;
        fields.finish()?;
        Ok(ErrorParts { condition: Cow::Owned(condition), description, info }.into())
    }

    /// Appends the error as a described list.
    pub(crate) fn put(&self, out: &mut BytesMut) {
        composite(out, descriptor::ERROR, |fields| {
            fields.symbol(Some(&self.condition));
            fields.string((!self.description.is_empty()).then_some(self.description.as_str()));
            fields.map(&self.info);
        });
    }

    /// The error with what may be long cut off, for frames that it made larger than the peer accepts.
    pub(crate) fn shortened(&self) -> Self {
        const DESCRIPTION_MAX: usize = 128;
        let description =
            self.description.char_indices().take_while(|(at, letter)| at + letter.len_utf8() <= DESCRIPTION_MAX);
        Self::new(self.condition.clone(), description.map(|(_, letter)| letter).collect::<String>())
    }
}

impl From<DecodeError> for Error {
    fn from(error: DecodeError) -> Self {
        let condition = match error {
            DecodeError::MissingField(_) | DecodeError::InvalidField(_) => condition::INVALID_FIELD,
            _ => condition::DECODE_ERROR,
        };
        Self::new(condition, error.to_string())
    }
}
