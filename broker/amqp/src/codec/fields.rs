//! Owns [`Fields`], the fields of a composite value read one after the other; absent ones at the end read as null.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;

use super::value::{read_map_entries, read_symbols};
use super::{DecodeError, FormatCode, Reader, read_value};
use crate::types::Value;

/// A map as it stands in a field.
pub(crate) type Map = Vec<(Value, Value)>;

/// The fields of a composite value that have not been read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fields<'a> {
    reader: Reader<'a>,
    remaining: u32,
}

/// Defines field readers of the same name as those of [`Reader`].
macro_rules! forward {
    ($($name:ident -> $type:ty),* $(,)?) => {
        $(
            #[inline]
            pub(crate) fn $name(&mut self) -> Result<Option<$type>, DecodeError> {
                if self.next() { self.reader.$name() } else { Ok(None) }
            }
        )*
    };
}

impl<'a> Fields<'a> {
    /// Reads the frame of a list; its fields are read later, one by one.
    #[inline]
    pub(crate) fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let (body, remaining) = match reader.u8()? {
            FormatCode::LIST_8 => {
                let mut body = Reader::new(reader.variable_8()?);
                let count = body.u8()?;
                (body, u32::from(count))
            }
            FormatCode::LIST_32 => {
                let mut body = Reader::new(reader.variable_32()?);
                let count = body.u32()?;
                (body, count)
            }
            FormatCode::LIST_0 => (Reader::new(&[]), 0),
            code => return Err(DecodeError::WrongType { expected: "list", code }),
        };
        // Every field has at least its constructor, so a greater count is a lie.
        if remaining as usize > body.rest().len() {
            return Err(DecodeError::TooManyElements);
        }
        Ok(Self { reader: body, remaining })
    }

    /// True when every field was read; what may follow is absent.
    #[inline]
    pub(crate) fn is_exhausted(&self) -> bool {
        self.remaining == 0
    }

    #[inline]
    fn next(&mut self) -> bool {
        match self.remaining.checked_sub(1) {
            Some(remaining) => {
                self.remaining = remaining;
                true
            }
            None => false,
        }
    }

    forward! {
        boolean -> bool, ubyte -> u8, ushort -> u16, uint -> u32, ulong -> u64, timestamp -> i64,
        binary -> &'a [u8], string -> &'a str, symbol -> &'a str,
    }

    /// A field of any type; null where absent.
    pub(crate) fn value(&mut self) -> Result<Value, DecodeError> {
        if self.next() { read_value(&mut self.reader) } else { Ok(Value::Null) }
    }

    /// A symbol, an array of them, or none.
    pub(crate) fn symbols(&mut self) -> Result<Vec<String>, DecodeError> {
        if self.next() { read_symbols(&mut self.reader) } else { Ok(Vec::new()) }
    }

    /// A map; empty where absent.
    pub(crate) fn map(&mut self) -> Result<Map, DecodeError> {
        if self.next() { read_map_entries(&mut self.reader) } else { Ok(Vec::new()) }
    }

    /// A string as an owned one.
    pub(crate) fn owned_string(&mut self) -> Result<Option<String>, DecodeError> {
        Ok(self.string()?.map(ToOwned::to_owned))
    }

    /// A symbol as an owned string.
    pub(crate) fn owned_symbol(&mut self) -> Result<Option<String>, DecodeError> {
        Ok(self.symbol()?.map(ToOwned::to_owned))
    }

    /// A field that `read` decodes, unless it is null or absent.
    pub(crate) fn composite<T>(
        &mut self,
        read: impl FnOnce(&mut Reader<'a>) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, DecodeError> {
        if !self.next() {
            return Ok(None);
        }
        if self.reader.peek()? == FormatCode::NULL {
            self.reader.skip()?;
            return Ok(None);
        }
        read(&mut self.reader).map(Some)
    }

    /// Passes over one field.
    pub(crate) fn skip(&mut self) -> Result<(), DecodeError> {
        if self.next() { self.reader.skip() } else { Ok(()) }
    }

    /// Passes over fields that nobody asked for, and checks that they fill the list.
    #[inline]
    pub(crate) fn finish(mut self) -> Result<(), DecodeError> {
        while self.next() {
            self.reader.skip()?;
        }
        if self.reader.is_empty() { Ok(()) } else { Err(DecodeError::WrongSize) }
    }
}
