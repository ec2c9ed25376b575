//! Owns [`Detach`], end and close (core specification 2.7.7 to 2.7.9), which differ only in what they close.

use bytes::BytesMut;

use super::Error;
use crate::codec::{DecodeError, Fields, composite, descriptor};

/// Detaches a link.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Detach {
    pub(crate) handle: u32,
    pub(crate) closed: bool,
    pub(crate) error: Option<Error>,
}

impl Detach {
    /// Reads the fields; the descriptor was read.
    pub(crate) fn read(mut fields: Fields<'_>) -> Result<Self, DecodeError> {
        let detach = Self {
            handle: fields.uint()?.ok_or(DecodeError::MissingField("handle"))?,
            closed: fields.boolean()?.unwrap_or(false),
            error: fields.composite(Error::read)?,
        };
        fields.finish()?;
        Ok(detach)
    }

    /// Appends the performative.
    pub(crate) fn put(&self, out: &mut BytesMut) {
        composite(out, descriptor::DETACH, |fields| {
            fields.uint(Some(self.handle));
            fields.flag(self.closed);
            fields.optional(self.error.as_ref(), |out, error| error.put(out));
        });
    }
}

/// Reads the only field of end and close; the descriptor was read.
pub(crate) fn read_error_field(mut fields: Fields<'_>) -> Result<Option<Error>, DecodeError> {
    let error = fields.composite(Error::read)?;
    fields.finish()?;
    Ok(error)
}

/// Appends an end.
pub(crate) fn put_end(out: &mut BytesMut, error: Option<&Error>) {
    put_closing(out, descriptor::END, error);
}

/// Appends a close.
pub(crate) fn put_close(out: &mut BytesMut, error: Option<&Error>) {
    put_closing(out, descriptor::CLOSE, error);
}

fn put_closing(out: &mut BytesMut, code: u8, error: Option<&Error>) {
    composite(out, code, |fields| fields.optional(error, |out, error| error.put(out)));
}
