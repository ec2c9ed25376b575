//! Owns [`Begin`] (core specification 2.7.2).

use bytes::BytesMut;

use crate::codec::{DecodeError, Fields, composite, descriptor};

/// One end's half of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Begin {
    /// Answers only: the channel of the begin that is answered.
    pub(crate) remote_channel: Option<u16>,
    pub(crate) next_outgoing_id: u32,
    pub(crate) incoming_window: u32,
    pub(crate) outgoing_window: u32,
    pub(crate) handle_max: u32,
}

impl Begin {
    /// Reads the fields; the descriptor was read.
    pub(crate) fn read(mut fields: Fields<'_>) -> Result<Self, DecodeError> {
        let begin = Self {
            remote_channel: fields.ushort()?,
            next_outgoing_id: fields.uint()?.ok_or(DecodeError::MissingField("next-outgoing-id"))?,
            incoming_window: fields.uint()?.ok_or(DecodeError::MissingField("incoming-window"))?,
            outgoing_window: fields.uint()?.ok_or(DecodeError::MissingField("outgoing-window"))?,
            handle_max: fields.uint()?.unwrap_or(u32::MAX),
        };
        fields.finish()?;
        Ok(begin)
    }

    /// Appends the performative.
    pub(crate) fn put(&self, out: &mut BytesMut) {
        composite(out, descriptor::BEGIN, |fields| {
            fields.ushort(self.remote_channel);
            fields.uint(Some(self.next_outgoing_id));
            fields.uint(Some(self.incoming_window));
            fields.uint(Some(self.outgoing_window));
            fields.uint(Some(self.handle_max));
        });
    }
}
