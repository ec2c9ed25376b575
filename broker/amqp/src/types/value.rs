//! Owns [`Value`], any AMQP value held in memory, and its conversions from Rust's types.
//! Hot paths never build one: transfers, dispositions and flows are read in place.

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use bytes::{Bytes, BytesMut};

use crate::codec::{Reader, put_value, read_value};
use crate::performative::Error;

/// Any AMQP 1.0 value (core specification 1.6).
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Value {
    /// The absent value.
    #[default]
    Null,
    /// `boolean`.
    Bool(bool),
    /// `ubyte`.
    Ubyte(u8),
    /// `ushort`.
    Ushort(u16),
    /// `uint`.
    Uint(u32),
    /// `ulong`.
    Ulong(u64),
    /// `byte`.
    Byte(i8),
    /// `short`.
    Short(i16),
    /// `int`.
    Int(i32),
    /// `long`.
    Long(i64),
    /// `float`.
    Float(f32),
    /// `double`.
    Double(f64),
    /// `decimal32`: IEEE 754-2008, kept as its bytes.
    Decimal32([u8; 4]),
    /// `decimal64`: IEEE 754-2008, kept as its bytes.
    Decimal64([u8; 8]),
    /// `decimal128`: IEEE 754-2008, kept as its bytes.
    Decimal128([u8; 16]),
    /// `char`.
    Char(char),
    /// `timestamp`: milliseconds since the Unix epoch.
    Timestamp(i64),
    /// `uuid`: RFC 4122 section 4.1.2.
    Uuid([u8; 16]),
    /// `binary`.
    Binary(Bytes),
    /// `string`.
    String(String),
    /// `symbol`: ASCII.
    Symbol(String),
    /// `list`.
    List(Vec<Value>),
    /// `map`, in the order of the wire; a repeated key is kept as it came.
    Map(Vec<(Value, Value)>),
    /// `array`: values of one type.
    Array(Array),
    /// A value with a descriptor.
    Described(Box<Described>),
}

/// A value with a descriptor (core specification 1.2).
#[derive(Debug, Clone, PartialEq)]
pub struct Described {
    /// Names the type: a ulong or a symbol.
    pub descriptor: Value,
    /// The value underneath.
    pub value: Value,
}

/// The values given to [`Array::new`] are not all of one type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an AMQP array holds values of one type only")]
pub struct MixedArray;

/// An `array`: every element has the same type, and the same descriptor where described.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Array {
    elements: Vec<Value>,
}

impl Array {
    /// Makes an array.
    ///
    /// # Errors
    /// [`MixedArray`] if the elements are not all of one type.
    pub fn new(elements: Vec<Value>) -> Result<Self, MixedArray> {
        let uniform = elements.windows(2).all(|pair| pair[0].is_same_type(&pair[1]));
        if uniform { Ok(Self { elements }) } else { Err(MixedArray) }
    }

    /// An array of symbols.
    pub fn symbols<S: AsRef<str>>(names: &[S]) -> Self {
        let elements = names.iter().map(|name| Value::symbol(name.as_ref())).collect();
        Self { elements }
    }

    /// An array of elements that are known to be of one type, because one constructor served them all.
    pub(crate) fn from_uniform(elements: Vec<Value>) -> Self {
        Self { elements }
    }

    /// The elements.
    pub fn elements(&self) -> &[Value] {
        &self.elements
    }

    /// Gives up the elements.
    pub fn into_elements(self) -> Vec<Value> {
        self.elements
    }
}

impl Value {
    /// A symbol.
    pub fn symbol(name: impl Into<String>) -> Self {
        Self::Symbol(name.into())
    }

    /// A value with a descriptor.
    pub fn described(descriptor: impl Into<Self>, value: impl Into<Self>) -> Self {
        Self::Described(Box::new(Described { descriptor: descriptor.into(), value: value.into() }))
    }

    /// Reads the value at the front of `bytes`; gives it and the bytes behind it.
    ///
    /// # Errors
    /// `amqp:decode-error` if the bytes are not a value, or one that is nested too deeply or claims too many elements.
    pub fn decode(bytes: &[u8]) -> Result<(Self, &[u8]), Error> {
        let mut reader = Reader::new(bytes);
        let value = read_value(&mut reader)?;
        Ok((value, reader.rest()))
    }

    /// Appends the value in its shortest encoding.
    pub fn encode(&self, out: &mut BytesMut) {
        put_value(out, self);
    }

    /// True for [`Value::Null`].
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The text of a string or a symbol.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) | Self::Symbol(text) => Some(text),
            _ => None,
        }
    }

    /// The number of any unsigned or non-negative signed integer.
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Self::Ubyte(number) => Some(u64::from(*number)),
            Self::Ushort(number) => Some(u64::from(*number)),
            Self::Uint(number) => Some(u64::from(*number)),
            Self::Ulong(number) => Some(*number),
            Self::Byte(number) => u64::try_from(*number).ok(),
            Self::Short(number) => u64::try_from(*number).ok(),
            Self::Int(number) => u64::try_from(*number).ok(),
            Self::Long(number) | Self::Timestamp(number) => u64::try_from(*number).ok(),
            _ => None,
        }
    }

    /// The value of a boolean.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(truth) => Some(*truth),
            _ => None,
        }
    }

    /// The bytes of a binary.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Binary(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The value of the first entry of a map whose key is this string or symbol.
    pub fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Map(entries) => lookup(entries, key),
            _ => None,
        }
    }

    fn is_same_type(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Described(one), Self::Described(two)) => {
                one.descriptor == two.descriptor && one.value.is_same_type(&two.value)
            }
            _ => core::mem::discriminant(self) == core::mem::discriminant(other),
        }
    }
}

/// The value of the first entry whose key is this string or symbol, in a map as this crate holds it.
pub fn lookup<'a>(entries: &'a [(Value, Value)], key: &str) -> Option<&'a Value> {
    entries.iter().find(|(name, _)| name.as_str() == Some(key)).map(|(_, value)| value)
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

macro_rules! from_rust_type {
    ($($rust:ty => $variant:ident),* $(,)?) => {
        $(impl From<$rust> for Value {
            fn from(value: $rust) -> Self {
                Self::$variant(value)
            }
        })*
    };
}

from_rust_type! {
    bool => Bool, u8 => Ubyte, u16 => Ushort, u32 => Uint, u64 => Ulong,
    i8 => Byte, i16 => Short, i32 => Int, i64 => Long, f32 => Float, f64 => Double, char => Char,
    String => String, Bytes => Binary, Vec<Self> => List, Vec<(Self, Self)> => Map, Array => Array,
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}
