//! Owns the SASL frames' bodies (core specification 5.3.3). No mechanism that we offer has a challenge.

use alloc::string::String;
use alloc::vec::Vec;

use bytes::BytesMut;

use crate::codec::{DecodeError, Fields, composite, descriptor, put_symbols};
use crate::sasl::SaslCode;

/// A client's choice, borrowed from the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SaslInit<'a> {
    pub(crate) mechanism: &'a str,
    pub(crate) response: Option<&'a [u8]>,
    pub(crate) hostname: Option<&'a str>,
}

impl<'a> SaslInit<'a> {
    /// Reads the fields; the descriptor was read.
    pub(crate) fn read(mut fields: Fields<'a>) -> Result<Self, DecodeError> {
        let init = Self {
            mechanism: fields.symbol()?.ok_or(DecodeError::MissingField("mechanism"))?,
            response: fields.binary()?,
            hostname: fields.string()?,
        };
        fields.finish()?;
        Ok(init)
    }

    /// Appends the performative.
    pub(crate) fn put(&self, out: &mut BytesMut) {
        composite(out, descriptor::SASL_INIT, |fields| {
            fields.symbol(Some(self.mechanism));
            fields.binary(self.response);
            fields.string(self.hostname);
        });
    }
}

/// A server's verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SaslOutcome {
    pub(crate) code: SaslCode,
}

impl SaslOutcome {
    /// Reads the fields; the descriptor was read.
    pub(crate) fn read(mut fields: Fields<'_>) -> Result<Self, DecodeError> {
        let code = match fields.ubyte()?.ok_or(DecodeError::MissingField("code"))? {
            0 => SaslCode::Ok,
            1 => SaslCode::Auth,
            2 => SaslCode::Sys,
            3 => SaslCode::SysPerm,
            4 => SaslCode::SysTemp,
            _ => return Err(DecodeError::InvalidField("code")),
        };
        fields.skip()?; // additional-data
        fields.finish()?;
        Ok(Self { code })
    }

    /// Appends the performative.
    pub(crate) fn put(&self, out: &mut BytesMut) {
        let code = match self.code {
            SaslCode::Ok => 0,
            SaslCode::Auth => 1,
            SaslCode::Sys => 2,
            SaslCode::SysPerm => 3,
            SaslCode::SysTemp => 4,
        };
        composite(out, descriptor::SASL_OUTCOME, |fields| {
            fields.ubyte(code);
        });
    }
}

/// Reads the mechanisms that a server offers; the descriptor was read.
pub(crate) fn read_mechanisms(mut fields: Fields<'_>) -> Result<Vec<String>, DecodeError> {
    let mechanisms = fields.symbols()?;
    fields.finish()?;
    Ok(mechanisms)
}

/// Appends the mechanisms that a server offers.
pub(crate) fn put_mechanisms(out: &mut BytesMut, mechanisms: &[String]) {
    composite(out, descriptor::SASL_MECHANISMS, |fields| {
        fields.field(|out| put_symbols(out, mechanisms));
    });
}
