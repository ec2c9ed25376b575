//! Owns the AMQP type encoding (core specification part 1): [`Reader`] over received bytes, writers over a growing buffer.
//! Does not know which performative has which fields; hostile bytes give a [`DecodeError`] at bounded cost.

mod code;
mod fields;
mod read;
mod value;
mod write;

pub(crate) use code::{FormatCode, descriptor};
pub(crate) use fields::Fields;
pub(crate) use read::Reader;
pub(crate) use value::{put_value, read_value};
pub(crate) use write::{Compound, composite, put_binary, put_string, put_symbols};

/// Bytes that are not valid AMQP encoding, or not what belongs there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end within a value.
    #[error("the bytes end within a value")]
    Truncated,
    /// A constructor that the specification does not define.
    #[error("unknown format code 0x{0:02x}")]
    UnknownFormatCode(u8),
    /// A value of another type than the field has.
    #[error("expected {expected}, found format code 0x{code:02x}")]
    WrongType {
        /// What the field holds.
        expected: &'static str,
        /// What was found.
        code: u8,
    },
    /// A string that is not UTF-8.
    #[error("a string is not UTF-8")]
    NotUtf8,
    /// A symbol that is not ASCII.
    #[error("a symbol is not ASCII")]
    NotAscii,
    /// A char that is no Unicode scalar value.
    #[error("a char is not a Unicode scalar value")]
    BadChar,
    /// A boolean byte other than 0 and 1.
    #[error("a boolean is neither 0 nor 1")]
    BadBoolean,
    /// A map with an odd number of elements.
    #[error("a map has a key without a value")]
    OddMap,
    /// A compound value that claims more elements than its bytes can hold, or than we decode.
    #[error("a compound value claims too many elements")]
    TooManyElements,
    /// Values nested deeper than we decode.
    #[error("values are nested too deeply")]
    TooDeep,
    /// A compound value whose elements do not fill its declared size.
    #[error("a compound value has a wrong size")]
    WrongSize,
    /// A descriptor that is neither a ulong nor a symbol, or that we do not know here.
    #[error("unexpected descriptor")]
    UnexpectedDescriptor,
    /// A mandatory field is absent.
    #[error("mandatory field {0} is absent")]
    MissingField(&'static str),
    /// A field holds a value outside its range.
    #[error("field {0} holds a value outside its range")]
    InvalidField(&'static str),
    /// The sections of a message are out of order.
    #[error("the sections of the message are out of order")]
    SectionOrder,
}
