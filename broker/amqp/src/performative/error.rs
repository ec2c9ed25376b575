//! Owns [`Error`], what `detach`, `end`, `close` and `rejected` carry (core specification 2.8.14).
//! The names of the conditions live in [`crate::condition`].

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::types::Value;

/// An error as it travels between the peers.
#[derive(Debug, Clone, PartialEq)]
pub struct Error {
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
        Self { condition: condition.into(), description: description.into(), info: Vec::new() }
    }

    /// Adds one entry to the info map; the key becomes a symbol.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.info.push((Value::symbol(key), value.into()));
        self
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
