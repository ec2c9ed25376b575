//! Owns writing: primitives, and compound values whose size is filled in afterwards.

use bytes::{BufMut, BytesMut};

use super::{FormatCode, put_value, value::put_map};
use crate::types::Value;

/// Appends a `uint` in its shortest form.
pub(crate) fn put_uint(out: &mut BytesMut, number: u32) {
    match u8::try_from(number) {
        Ok(0) => out.put_u8(FormatCode::UINT_0),
        Ok(small) => out.put_slice(&[FormatCode::UINT_SMALL, small]),
        Err(_) => {
            out.put_u8(FormatCode::UINT);
            out.put_u32(number);
        }
    }
}

/// Appends a `ulong` in its shortest form.
pub(crate) fn put_ulong(out: &mut BytesMut, number: u64) {
    match u8::try_from(number) {
        Ok(0) => out.put_u8(FormatCode::ULONG_0),
        Ok(small) => out.put_slice(&[FormatCode::ULONG_SMALL, small]),
        Err(_) => {
            out.put_u8(FormatCode::ULONG);
            out.put_u64(number);
        }
    }
}

/// Appends a `boolean`.
pub(crate) fn put_boolean(out: &mut BytesMut, truth: bool) {
    out.put_u8(if truth { FormatCode::TRUE } else { FormatCode::FALSE });
}

/// Appends a `binary`.
pub(crate) fn put_binary(out: &mut BytesMut, bytes: &[u8]) {
    put_variable(out, FormatCode::BINARY_8, bytes);
}

/// Appends a `string`.
pub(crate) fn put_string(out: &mut BytesMut, text: &str) {
    put_variable(out, FormatCode::STRING_8, text.as_bytes());
}

/// Appends a `symbol`.
pub(crate) fn put_symbol(out: &mut BytesMut, name: &str) {
    put_variable(out, FormatCode::SYMBOL_8, name.as_bytes());
}

/// The code for sizes of four bytes is 16 above the one for sizes of one byte.
fn put_variable(out: &mut BytesMut, code_8: u8, bytes: &[u8]) {
    match u8::try_from(bytes.len()) {
        Ok(size) => out.put_slice(&[code_8, size]),
        Err(_) => {
            out.put_u8(code_8 + 0x10);
            out.put_u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        }
    }
    out.put_slice(bytes);
}

/// Appends symbols as an array, which is what a field with `multiple` holds.
pub(crate) fn put_symbols<S: AsRef<str>>(out: &mut BytesMut, names: &[S]) {
    let compound = Compound::begin(out, FormatCode::ARRAY_32);
    let short = names.iter().all(|name| name.as_ref().len() <= usize::from(u8::MAX));
    out.put_u8(if short { FormatCode::SYMBOL_8 } else { FormatCode::SYMBOL_32 });
    for name in names {
        let bytes = name.as_ref().as_bytes();
        match u8::try_from(bytes.len()) {
            Ok(size) if short => out.put_u8(size),
            _ => out.put_u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX)),
        }
        out.put_slice(bytes);
    }
    compound.end(out, names.len());
}

/// A list, map or array being written: its size and count are filled in at the end.
#[must_use]
pub(crate) struct Compound {
    start: usize,
    /// The constructor for sizes of four bytes; absent within an array, where it was written once for all elements.
    code: Option<u8>,
}

impl Compound {
    /// Bytes of size and count, four each.
    const WIDE: usize = 8;

    /// Begins a compound value. `code` is the constructor for sizes of four bytes; `end` may choose the one for one byte.
    pub(crate) fn begin(out: &mut BytesMut, code: u8) -> Self {
        let start = out.len();
        out.put_bytes(code, 1 + Self::WIDE);
        Self { start, code: Some(code) }
    }

    /// Begins an element of an array of compound values: without constructor, sizes of four bytes.
    pub(crate) fn begin_wide(out: &mut BytesMut) -> Self {
        let start = out.len();
        out.put_bytes(0, Self::WIDE);
        Self { start, code: None }
    }

    /// Fills in size and count.
    pub(crate) fn end(self, out: &mut BytesMut, count: usize) {
        let Some(code) = self.code else { return Self::fill_wide(out, self.start, count) };
        let body = self.start + 1 + Self::WIDE;
        let length = out.len() - body;
        match (u8::try_from(length + 1), u8::try_from(count)) {
            (Ok(size), Ok(count)) => {
                out.copy_within(body.., self.start + 3);
                out.truncate(self.start + 3 + length);
                out[self.start..self.start + 3].copy_from_slice(&[code - 0x10, size, count]);
            }
            _ => Self::fill_wide(out, self.start + 1, count),
        }
    }

    fn fill_wide(out: &mut BytesMut, at: usize, count: usize) {
        let size = u32::try_from(out.len() - at - 4).unwrap_or(u32::MAX);
        out[at..at + 4].copy_from_slice(&size.to_be_bytes());
        out[at + 4..at + 8].copy_from_slice(&u32::try_from(count).unwrap_or(u32::MAX).to_be_bytes());
    }
}

/// Appends a described list: a composite value of the specification.
pub(crate) fn composite(out: &mut BytesMut, descriptor: u8, fields: impl FnOnce(&mut ListWriter<'_>)) {
    out.put_slice(&[FormatCode::DESCRIBED, FormatCode::ULONG_SMALL, descriptor]);
    let start = out.len();
    let compound = Compound::begin(out, FormatCode::LIST_32);
    let mut writer = ListWriter { out, count: 0, nulls: 0 };
    fields(&mut writer);
    let count = writer.count;
    if count == 0 {
        out.truncate(start);
        out.put_u8(FormatCode::LIST_0);
    } else {
        compound.end(out, count);
    }
}

/// Writes the fields of a composite value; nulls at its end are left out.
pub(crate) struct ListWriter<'b> {
    out: &'b mut BytesMut,
    count: usize,
    nulls: usize,
}

impl ListWriter<'_> {
    /// A field that is not null, written by `put`.
    pub(crate) fn field(&mut self, put: impl FnOnce(&mut BytesMut)) {
        self.out.put_bytes(FormatCode::NULL, self.nulls);
        self.count += self.nulls + 1;
        self.nulls = 0;
        put(self.out);
    }

    pub(crate) fn null(&mut self) {
        self.nulls += 1;
    }

    /// A field that is null where absent.
    pub(crate) fn optional<T>(&mut self, field: Option<T>, put: impl FnOnce(&mut BytesMut, T)) {
        match field {
            Some(present) => self.field(|out| put(out, present)),
            None => self.null(),
        }
    }

    pub(crate) fn boolean(&mut self, truth: bool) {
        self.field(|out| put_boolean(out, truth));
    }

    /// A boolean whose default is false.
    pub(crate) fn flag(&mut self, truth: bool) {
        self.optional(truth.then_some(true), put_boolean);
    }

    pub(crate) fn ubyte(&mut self, number: u8) {
        self.field(|out| out.put_slice(&[FormatCode::UBYTE, number]));
    }

    pub(crate) fn ushort(&mut self, number: Option<u16>) {
        self.optional(number, |out, number| {
            out.put_u8(FormatCode::USHORT);
            out.put_u16(number);
        });
    }

    pub(crate) fn uint(&mut self, number: Option<u32>) {
        self.optional(number, put_uint);
    }

    pub(crate) fn ulong(&mut self, number: Option<u64>) {
        self.optional(number, put_ulong);
    }

    pub(crate) fn timestamp(&mut self, milliseconds: Option<i64>) {
        self.optional(milliseconds, |out, number| {
            out.put_u8(FormatCode::TIMESTAMP);
            out.put_i64(number);
        });
    }

    pub(crate) fn string(&mut self, text: Option<&str>) {
        self.optional(text, put_string);
    }

    pub(crate) fn symbol(&mut self, name: Option<&str>) {
        self.optional(name, put_symbol);
    }

    pub(crate) fn binary(&mut self, bytes: Option<&[u8]>) {
        self.optional(bytes, put_binary);
    }

    /// Null where empty.
    pub(crate) fn symbols<S: AsRef<str>>(&mut self, names: &[S]) {
        self.optional((!names.is_empty()).then_some(names), |out, names| put_symbols(out, names));
    }

    /// Null where empty.
    pub(crate) fn map(&mut self, entries: &[(Value, Value)]) {
        self.optional((!entries.is_empty()).then_some(entries), put_map);
    }

    pub(crate) fn value(&mut self, value: &Value) {
        self.optional((!value.is_null()).then_some(value), put_value);
    }
}
