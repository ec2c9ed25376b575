//! Owns decoding and encoding of any [`Value`], with bounds on depth and on what few bytes can make us allocate.

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use bytes::{BufMut, Bytes, BytesMut};

use super::fields::Map;
use super::read::{ascii, utf8};
use super::write::{Compound, put_binary, put_string, put_symbol, put_uint, put_ulong};
use super::{DecodeError, FormatCode, Reader};
use crate::types::{Array, Described, Value};

/// Nesting beyond this is hostile: each level is a stack frame here and in the drop of the value.
const DEPTH_MAX: u32 = 32;

/// Values decoded from one outermost value. Elements of an array can be zero bytes wide, so that a count alone proves nothing.
const ELEMENTS_MAX: usize = 65_536;

/// Values that any outermost value may have beyond one per byte that is left, for honest arrays of zero-width elements.
const ELEMENTS_FREE: usize = 256;

/// Reads one value of any type.
pub(crate) fn read_value(reader: &mut Reader<'_>) -> Result<Value, DecodeError> {
    Decoder::new(reader).value(reader, 0)
}

/// Reads a map's entries; null is the empty map.
pub(crate) fn read_map_entries(reader: &mut Reader<'_>) -> Result<Map, DecodeError> {
    match read_value(reader)? {
        Value::Null => Ok(Vec::new()),
        Value::Map(entries) => Ok(entries),
        _ => Err(DecodeError::WrongType { expected: "map", code: 0 }),
    }
}

/// Reads a field of type symbol with `multiple`: null, one symbol or an array of symbols.
pub(crate) fn read_symbols(reader: &mut Reader<'_>) -> Result<Vec<String>, DecodeError> {
    let wrong = DecodeError::WrongType { expected: "symbols", code: reader.peek()? };
    let elements = match read_value(reader)? {
        Value::Null => return Ok(Vec::new()),
        Value::Symbol(name) => return Ok(Vec::from([name])),
        Value::Array(array) => array.into_elements(),
        _ => return Err(wrong),
    };
    let name = |element| if let Value::Symbol(name) = element { Ok(name) } else { Err(wrong) };
    elements.into_iter().map(name).collect()
}

/// Counts what one outermost value may still allocate.
struct Decoder {
    elements_left: usize,
}

impl Decoder {
    fn new(reader: &Reader<'_>) -> Self {
        Self { elements_left: ELEMENTS_MAX.min(ELEMENTS_FREE + reader.rest().len()) }
    }

    fn spend(&mut self, elements: usize) -> Result<(), DecodeError> {
        self.elements_left = self.elements_left.checked_sub(elements).ok_or(DecodeError::TooManyElements)?;
        Ok(())
    }

    fn value(&mut self, reader: &mut Reader<'_>, depth: u32) -> Result<Value, DecodeError> {
        let code = reader.u8()?;
        self.body(code, reader, depth)
    }

    /// Reads a value whose constructor was read.
    fn body(&mut self, code: u8, reader: &mut Reader<'_>, depth: u32) -> Result<Value, DecodeError> {
        if depth > DEPTH_MAX {
            return Err(DecodeError::TooDeep);
        }
        match code {
            FormatCode::DESCRIBED => {
                self.spend(2)?;
                let descriptor = self.value(reader, depth + 1)?;
                let value = self.value(reader, depth + 1)?;
                Ok(Value::Described(Box::new(Described { descriptor, value })))
            }
            FormatCode::LIST_0 => Ok(Value::List(Vec::new())),
            FormatCode::LIST_8 | FormatCode::LIST_32 => self.list(code, reader, depth).map(Value::List),
            FormatCode::MAP_8 | FormatCode::MAP_32 => self.map(code, reader, depth).map(Value::Map),
            FormatCode::ARRAY_8 | FormatCode::ARRAY_32 => self.array(code, reader, depth).map(Value::Array),
            _ => scalar(code, reader),
        }
    }

    fn list(&mut self, code: u8, reader: &mut Reader<'_>, depth: u32) -> Result<Vec<Value>, DecodeError> {
        let (mut body, count) = compound(code, reader)?;
        self.claim(count, &body)?;
        let mut list = Vec::with_capacity(count);
        for _ in 0..count {
            list.push(self.value(&mut body, depth + 1)?);
        }
        filled(&body).map(|()| list)
    }

    fn map(&mut self, code: u8, reader: &mut Reader<'_>, depth: u32) -> Result<Map, DecodeError> {
        let (mut body, count) = compound(code, reader)?;
        self.claim(count, &body)?;
        if !count.is_multiple_of(2) {
            return Err(DecodeError::OddMap);
        }
        let mut map = Vec::with_capacity(count / 2);
        for _ in 0..count / 2 {
            let key = self.value(&mut body, depth + 1)?;
            map.push((key, self.value(&mut body, depth + 1)?));
        }
        filled(&body).map(|()| map)
    }

    fn array(&mut self, code: u8, reader: &mut Reader<'_>, depth: u32) -> Result<Array, DecodeError> {
        let (mut body, count) = compound(code, reader)?;
        if count == 0 && body.is_empty() {
            return Ok(Array::default()); // Seen from clients that leave out the constructor of an empty array.
        }
        let mut descriptors = Vec::new();
        let element = loop {
            match body.u8()? {
                FormatCode::DESCRIBED => descriptors.push(self.array_descriptor(&mut body, descriptors.len())?),
                code => break code,
            }
        };
        if element >> 4 == 0x4 {
            self.spend(count)?; // Zero bytes wide: only the budget bounds them.
        } else {
            self.claim(count, &body)?;
        }
        let mut elements = Vec::with_capacity(count);
        for _ in 0..count {
            let value = self.body(element, &mut body, depth + 1)?;
            elements.push(self.describe(&descriptors, value)?);
        }
        filled(&body)?;
        Ok(Array::from_uniform(elements))
    }

    /// Descriptors of array elements are repeated in each, so only short ones are taken.
    fn array_descriptor(&mut self, body: &mut Reader<'_>, depth: usize) -> Result<Value, DecodeError> {
        if depth >= 4 {
            return Err(DecodeError::TooDeep);
        }
        match self.value(body, DEPTH_MAX)? {
            number @ Value::Ulong(_) => Ok(number),
            Value::Symbol(name) if name.len() <= 128 => Ok(Value::Symbol(name)),
            _ => Err(DecodeError::UnexpectedDescriptor),
        }
    }

    fn describe(&mut self, descriptors: &[Value], value: Value) -> Result<Value, DecodeError> {
        let mut described = value;
        for descriptor in descriptors.iter().rev() {
            self.spend(8)?; // A box and the copy of a name of at most 128 bytes: as much as eight small values.
            described = Value::described(descriptor.clone(), described);
        }
        Ok(described)
    }

    /// Every element is at least one byte, so a count beyond the bytes is a lie. Spent before anything is allocated: nested
    /// compounds cannot each claim the same bytes.
    fn claim(&mut self, count: usize, body: &Reader<'_>) -> Result<(), DecodeError> {
        if count > body.rest().len() {
            return Err(DecodeError::TooManyElements);
        }
        self.spend(count)
    }
}

/// The elements of a compound value, and their number. A code of an even high digit has one byte each for size and count.
fn compound<'a>(code: u8, reader: &mut Reader<'a>) -> Result<(Reader<'a>, usize), DecodeError> {
    if (code >> 4).is_multiple_of(2) {
        let mut body = Reader::new(reader.variable_8()?);
        let count = body.u8()?;
        Ok((body, usize::from(count)))
    } else {
        let mut body = Reader::new(reader.variable_32()?);
        let count = body.u32()?;
        Ok((body, count as usize))
    }
}

fn filled(body: &Reader<'_>) -> Result<(), DecodeError> {
    if body.is_empty() { Ok(()) } else { Err(DecodeError::WrongSize) }
}

fn scalar(code: u8, reader: &mut Reader<'_>) -> Result<Value, DecodeError> {
    Ok(match code {
        FormatCode::NULL => Value::Null,
        FormatCode::TRUE => Value::Bool(true),
        FormatCode::FALSE => Value::Bool(false),
        FormatCode::BOOLEAN => Value::Bool(reader.boolean_byte()?),
        FormatCode::UBYTE => Value::Ubyte(reader.u8()?),
        FormatCode::BYTE => Value::Byte(i8::from_be_bytes(reader.array()?)),
        FormatCode::USHORT => Value::Ushort(u16::from_be_bytes(reader.array()?)),
        FormatCode::SHORT => Value::Short(i16::from_be_bytes(reader.array()?)),
        FormatCode::UINT_0 => Value::Uint(0),
        FormatCode::UINT_SMALL => Value::Uint(u32::from(reader.u8()?)),
        FormatCode::UINT => Value::Uint(reader.u32()?),
        FormatCode::INT_SMALL => Value::Int(i32::from(i8::from_be_bytes(reader.array()?))),
        FormatCode::INT => Value::Int(i32::from_be_bytes(reader.array()?)),
        FormatCode::ULONG_0 => Value::Ulong(0),
        FormatCode::ULONG_SMALL => Value::Ulong(u64::from(reader.u8()?)),
        FormatCode::ULONG => Value::Ulong(reader.u64()?),
        FormatCode::LONG_SMALL => Value::Long(i64::from(i8::from_be_bytes(reader.array()?))),
        FormatCode::LONG => Value::Long(i64::from_be_bytes(reader.array()?)),
        FormatCode::FLOAT => Value::Float(f32::from_be_bytes(reader.array()?)),
        FormatCode::DOUBLE => Value::Double(f64::from_be_bytes(reader.array()?)),
        FormatCode::DECIMAL_32 => Value::Decimal32(reader.array()?),
        FormatCode::DECIMAL_64 => Value::Decimal64(reader.array()?),
        FormatCode::DECIMAL_128 => Value::Decimal128(reader.array()?),
        FormatCode::CHAR => Value::Char(char::from_u32(reader.u32()?).ok_or(DecodeError::BadChar)?),
        FormatCode::TIMESTAMP => Value::Timestamp(i64::from_be_bytes(reader.array()?)),
        FormatCode::UUID => Value::Uuid(reader.array()?),
        FormatCode::BINARY_8 => Value::Binary(Bytes::copy_from_slice(reader.variable_8()?)),
        FormatCode::BINARY_32 => Value::Binary(Bytes::copy_from_slice(reader.variable_32()?)),
        FormatCode::STRING_8 => Value::String(utf8(reader.variable_8()?)?.to_owned()),
        FormatCode::STRING_32 => Value::String(utf8(reader.variable_32()?)?.to_owned()),
        FormatCode::SYMBOL_8 => Value::Symbol(ascii(reader.variable_8()?)?.to_owned()),
        FormatCode::SYMBOL_32 => Value::Symbol(ascii(reader.variable_32()?)?.to_owned()),
        _ => return Err(DecodeError::UnknownFormatCode(code)),
    })
}

/// Appends a value in its shortest encoding.
pub(crate) fn put_value(out: &mut BytesMut, value: &Value) {
    match value {
        Value::Null => out.put_u8(FormatCode::NULL),
        Value::Bool(true) => out.put_u8(FormatCode::TRUE),
        Value::Bool(false) => out.put_u8(FormatCode::FALSE),
        Value::Uint(number) => put_uint(out, *number),
        Value::Ulong(number) => put_ulong(out, *number),
        Value::Int(number) => match i8::try_from(*number) {
            Ok(small) => out.put_slice(&[FormatCode::INT_SMALL, small.to_be_bytes()[0]]),
            Err(_) => put_wide(out, value),
        },
        Value::Long(number) => match i8::try_from(*number) {
            Ok(small) => out.put_slice(&[FormatCode::LONG_SMALL, small.to_be_bytes()[0]]),
            Err(_) => put_wide(out, value),
        },
        Value::Binary(bytes) => put_binary(out, bytes),
        Value::String(text) => put_string(out, text),
        Value::Symbol(name) => put_symbol(out, name),
        Value::List(list) => put_list(out, list),
        Value::Map(map) => put_map(out, map),
        Value::Array(array) => put_array(out, array),
        Value::Described(described) => {
            out.put_u8(FormatCode::DESCRIBED);
            put_value(out, &described.descriptor);
            put_value(out, &described.value);
        }
        _ => put_wide(out, value),
    }
}

fn put_list(out: &mut BytesMut, list: &[Value]) {
    if list.is_empty() {
        return out.put_u8(FormatCode::LIST_0);
    }
    let compound = Compound::begin(out, FormatCode::LIST_32);
    list.iter().for_each(|element| put_value(out, element));
    compound.end(out, list.len());
}

/// Appends a map.
pub(crate) fn put_map(out: &mut BytesMut, map: &[(Value, Value)]) {
    let compound = Compound::begin(out, FormatCode::MAP_32);
    for (key, value) in map {
        put_value(out, key);
        put_value(out, value);
    }
    compound.end(out, map.len() * 2);
}

fn put_array(out: &mut BytesMut, array: &Array) {
    let compound = Compound::begin(out, FormatCode::ARRAY_32);
    put_array_elements(out, array);
    compound.end(out, array.elements().len());
}

fn put_array_elements(out: &mut BytesMut, array: &Array) {
    let Some(mut first) = array.elements().first() else { return out.put_u8(FormatCode::NULL) };
    while let Value::Described(described) = first {
        out.put_u8(FormatCode::DESCRIBED);
        put_value(out, &described.descriptor);
        first = &described.value;
    }
    out.put_u8(wide_code(first));
    array.elements().iter().for_each(|element| put_wide_body(out, innermost(element)));
}

fn innermost(mut value: &Value) -> &Value {
    while let Value::Described(described) = value {
        value = &described.value;
    }
    value
}

fn put_wide(out: &mut BytesMut, value: &Value) {
    out.put_u8(wide_code(value));
    put_wide_body(out, value);
}

/// The constructor that can hold every value of this type: what the elements of an array share.
fn wide_code(value: &Value) -> u8 {
    match value {
        Value::Null | Value::Described(_) => FormatCode::NULL,
        Value::Bool(_) => FormatCode::BOOLEAN,
        Value::Ubyte(_) => FormatCode::UBYTE,
        Value::Ushort(_) => FormatCode::USHORT,
        Value::Uint(_) => FormatCode::UINT,
        Value::Ulong(_) => FormatCode::ULONG,
        Value::Byte(_) => FormatCode::BYTE,
        Value::Short(_) => FormatCode::SHORT,
        Value::Int(_) => FormatCode::INT,
        Value::Long(_) => FormatCode::LONG,
        Value::Float(_) => FormatCode::FLOAT,
        Value::Double(_) => FormatCode::DOUBLE,
        Value::Decimal32(_) => FormatCode::DECIMAL_32,
        Value::Decimal64(_) => FormatCode::DECIMAL_64,
        Value::Decimal128(_) => FormatCode::DECIMAL_128,
        Value::Char(_) => FormatCode::CHAR,
        Value::Timestamp(_) => FormatCode::TIMESTAMP,
        Value::Uuid(_) => FormatCode::UUID,
        Value::Binary(_) => FormatCode::BINARY_32,
        Value::String(_) => FormatCode::STRING_32,
        Value::Symbol(_) => FormatCode::SYMBOL_32,
        Value::List(_) => FormatCode::LIST_32,
        Value::Map(_) => FormatCode::MAP_32,
        Value::Array(_) => FormatCode::ARRAY_32,
    }
}

fn put_wide_body(out: &mut BytesMut, value: &Value) {
    match value {
        Value::Null | Value::Described(_) => {}
        Value::Bool(truth) => out.put_u8(u8::from(*truth)),
        Value::Ubyte(number) => out.put_u8(*number),
        Value::Ushort(number) => out.put_u16(*number),
        Value::Uint(number) => out.put_u32(*number),
        Value::Ulong(number) => out.put_u64(*number),
        Value::Byte(number) => out.put_i8(*number),
        Value::Short(number) => out.put_i16(*number),
        Value::Int(number) => out.put_i32(*number),
        Value::Long(number) | Value::Timestamp(number) => out.put_i64(*number),
        Value::Float(number) => out.put_f32(*number),
        Value::Double(number) => out.put_f64(*number),
        Value::Decimal32(bytes) => out.put_slice(bytes),
        Value::Decimal64(bytes) => out.put_slice(bytes),
        Value::Decimal128(bytes) | Value::Uuid(bytes) => out.put_slice(bytes),
        Value::Char(letter) => out.put_u32(u32::from(*letter)),
        Value::Binary(bytes) => put_sized(out, bytes),
        Value::String(text) | Value::Symbol(text) => put_sized(out, text.as_bytes()),
        Value::List(list) => {
            let compound = Compound::begin_wide(out);
            list.iter().for_each(|element| put_value(out, element));
            compound.end(out, list.len());
        }
        Value::Map(map) => {
            let compound = Compound::begin_wide(out);
            map.iter().for_each(|(key, value)| {
                put_value(out, key);
                put_value(out, value);
            });
            compound.end(out, map.len() * 2);
        }
        Value::Array(array) => {
            let compound = Compound::begin_wide(out);
            put_array_elements(out, array);
            compound.end(out, array.elements().len());
        }
    }
}

fn put_sized(out: &mut BytesMut, bytes: &[u8]) {
    out.put_u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    out.put_slice(bytes);
}
