//! Owns [`Reader`], a cursor over received bytes: primitives, described values, and skipping without recursion.
//! Never allocates: strings and binaries are borrowed.

use super::code::descriptor::descriptor_code;
use super::{DecodeError, FormatCode};

/// Descriptors of descriptors: deeper ones are hostile.
const DESCRIPTOR_DEPTH_MAX: u32 = 32;

/// A cursor over bytes that a peer sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
}

/// Defines a reader of one nullable primitive from the list of its format codes.
macro_rules! nullable {
    ($($(#[$doc:meta])* $name:ident -> $type:ty, $expected:literal { $($code:path => $read:expr),* $(,)? })*) => {
        $(
            $(#[$doc])*
            #[inline]
            pub(crate) fn $name(&mut self) -> Result<Option<$type>, DecodeError> {
                match self.u8()? {
                    FormatCode::NULL => Ok(None),
                    $($code => {
                        let read: fn(&mut Self) -> Result<$type, DecodeError> = $read;
                        read(self).map(Some)
                    })*
                    code => Err(DecodeError::WrongType { expected: $expected, code }),
                }
            }
        )*
    };
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// What has not been read.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    #[inline]
    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.bytes.split_at_checked(count).ok_or(DecodeError::Truncated)?;
        self.bytes = rest;
        Ok(taken)
    }

    #[inline]
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (taken, rest) = self.bytes.split_first_chunk().ok_or(DecodeError::Truncated)?;
        self.bytes = rest;
        Ok(*taken)
    }

    #[inline]
    pub(crate) fn u8(&mut self) -> Result<u8, DecodeError> {
        let (first, rest) = self.bytes.split_first().ok_or(DecodeError::Truncated)?;
        self.bytes = rest;
        Ok(*first)
    }

    #[inline]
    pub(crate) fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_be_bytes)
    }

    #[inline]
    pub(crate) fn u64(&mut self) -> Result<u64, DecodeError> {
        self.array().map(u64::from_be_bytes)
    }

    pub(crate) fn peek(&self) -> Result<u8, DecodeError> {
        self.bytes.first().copied().ok_or(DecodeError::Truncated)
    }

    nullable! {
        /// `boolean`.
        boolean -> bool, "boolean" {
            FormatCode::TRUE => |_| Ok(true),
            FormatCode::FALSE => |_| Ok(false),
            FormatCode::BOOLEAN => |reader| reader.boolean_byte(),
        }
        /// `ubyte`.
        ubyte -> u8, "ubyte" { FormatCode::UBYTE => |reader| reader.u8() }
        /// `ushort`.
        ushort -> u16, "ushort" { FormatCode::USHORT => |reader| reader.array().map(u16::from_be_bytes) }
        /// `uint`.
        uint -> u32, "uint" {
            FormatCode::UINT => |reader| reader.u32(),
            FormatCode::UINT_SMALL => |reader| reader.u8().map(u32::from),
            FormatCode::UINT_0 => |_| Ok(0),
        }
        /// `ulong`.
        ulong -> u64, "ulong" {
            FormatCode::ULONG => |reader| reader.u64(),
            FormatCode::ULONG_SMALL => |reader| reader.u8().map(u64::from),
            FormatCode::ULONG_0 => |_| Ok(0),
        }
        /// `timestamp`, in milliseconds since the Unix epoch.
        timestamp -> i64, "timestamp" { FormatCode::TIMESTAMP => |reader| reader.array().map(i64::from_be_bytes) }
        /// `binary`.
        binary -> &'a [u8], "binary" {
            FormatCode::BINARY_8 => |reader| reader.variable_8(),
            FormatCode::BINARY_32 => |reader| reader.variable_32(),
        }
        /// `string`.
        string -> &'a str, "string" {
            FormatCode::STRING_8 => |reader| reader.variable_8().and_then(utf8),
            FormatCode::STRING_32 => |reader| reader.variable_32().and_then(utf8),
        }
        /// `symbol`.
        symbol -> &'a str, "symbol" {
            FormatCode::SYMBOL_8 => |reader| reader.variable_8().and_then(ascii),
            FormatCode::SYMBOL_32 => |reader| reader.variable_32().and_then(ascii),
        }
    }

    pub(crate) fn boolean_byte(&mut self) -> Result<bool, DecodeError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(DecodeError::BadBoolean),
        }
    }

    pub(crate) fn variable_8(&mut self) -> Result<&'a [u8], DecodeError> {
        let size = self.u8()?;
        self.take(usize::from(size))
    }

    pub(crate) fn variable_32(&mut self) -> Result<&'a [u8], DecodeError> {
        let size = self.u32()?;
        self.take(size as usize)
    }

    /// The code of the descriptor of a described value; the value follows.
    #[inline]
    pub(crate) fn descriptor(&mut self) -> Result<u8, DecodeError> {
        if let [FormatCode::DESCRIBED, FormatCode::ULONG_SMALL, code, rest @ ..] = self.bytes {
            self.bytes = rest;
            return Ok(*code);
        }
        self.descriptor_in_full()
    }

    fn descriptor_in_full(&mut self) -> Result<u8, DecodeError> {
        match self.u8()? {
            FormatCode::DESCRIBED => {}
            code => return Err(DecodeError::WrongType { expected: "a described value", code }),
        }
        match self.peek()? {
            FormatCode::SYMBOL_8 | FormatCode::SYMBOL_32 => {
                let name = self.symbol()?.ok_or(DecodeError::UnexpectedDescriptor)?;
                descriptor_code(name.as_bytes()).ok_or(DecodeError::UnexpectedDescriptor)
            }
            _ => {
                let code = self.ulong().map_err(|_| DecodeError::UnexpectedDescriptor)?;
                code.and_then(|code| u8::try_from(code).ok()).ok_or(DecodeError::UnexpectedDescriptor)
            }
        }
    }

    /// Passes over one value of any type, in constant time but for chains of descriptors.
    pub(crate) fn skip(&mut self) -> Result<(), DecodeError> {
        // A described value is a descriptor and a value, so each one adds one value to pass over.
        let mut values = 1;
        let mut described = 0;
        while values > 0 {
            let code = self.u8()?;
            if code == FormatCode::DESCRIBED {
                described += 1;
                if described > DESCRIPTOR_DEPTH_MAX {
                    return Err(DecodeError::TooDeep);
                }
                values += 1;
                continue;
            }
            self.skip_body(code)?;
            values -= 1;
        }
        Ok(())
    }

    /// Passes over a value whose constructor was read; the high digit of every code tells its width.
    fn skip_body(&mut self, code: u8) -> Result<(), DecodeError> {
        let width = match code >> 4 {
            0x4 => 0,
            0x5 => 1,
            0x6 => 2,
            0x7 => 4,
            0x8 => 8,
            0x9 => 16,
            0xa | 0xc | 0xe => usize::from(self.u8()?),
            0xb | 0xd | 0xf => self.u32()? as usize,
            _ => return Err(DecodeError::UnknownFormatCode(code)),
        };
        self.take(width).map(|_| ())
    }
}

pub(crate) fn utf8(bytes: &[u8]) -> Result<&str, DecodeError> {
    core::str::from_utf8(bytes).map_err(|_| DecodeError::NotUtf8)
}

pub(crate) fn ascii(bytes: &[u8]) -> Result<&str, DecodeError> {
    if !bytes.is_ascii() {
        return Err(DecodeError::NotAscii);
    }
    core::str::from_utf8(bytes).map_err(|_| DecodeError::NotAscii)
}
