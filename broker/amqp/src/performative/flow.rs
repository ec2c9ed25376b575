//! Owns [`Flow`] (core specification 2.7.4).

use bytes::BytesMut;

use crate::codec::{DecodeError, Fields, composite, descriptor};

/// State of a session and, where there is a handle, of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Flow {
    pub(crate) next_incoming_id: Option<u32>,
    pub(crate) incoming_window: u32,
    pub(crate) next_outgoing_id: u32,
    pub(crate) outgoing_window: u32,
    pub(crate) handle: Option<u32>,
    pub(crate) delivery_count: Option<u32>,
    pub(crate) link_credit: Option<u32>,
    pub(crate) available: Option<u32>,
    pub(crate) drain: bool,
    pub(crate) echo: bool,
}

impl Flow {
    /// Reads the fields; the descriptor was read.
    pub(crate) fn read(mut fields: Fields<'_>) -> Result<Self, DecodeError> {
        let flow = Self {
            next_incoming_id: fields.uint()?,
            incoming_window: fields.uint()?.ok_or(DecodeError::MissingField("incoming-window"))?,
            next_outgoing_id: fields.uint()?.ok_or(DecodeError::MissingField("next-outgoing-id"))?,
            outgoing_window: fields.uint()?.ok_or(DecodeError::MissingField("outgoing-window"))?,
            handle: fields.uint()?,
            delivery_count: fields.uint()?,
            link_credit: fields.uint()?,
            available: fields.uint()?,
            drain: fields.boolean()?.unwrap_or(false),
            echo: fields.boolean()?.unwrap_or(false),
        };
        fields.finish()?;
        Ok(flow)
    }

    /// Appends the performative.
    pub(crate) fn put(&self, out: &mut BytesMut) {
        composite(out, descriptor::FLOW, |fields| {
            fields.uint(self.next_incoming_id);
            fields.uint(Some(self.incoming_window));
            fields.uint(Some(self.next_outgoing_id));
            fields.uint(Some(self.outgoing_window));
            fields.uint(self.handle);
            fields.uint(self.delivery_count);
            fields.uint(self.link_credit);
            fields.uint(self.available);
            fields.flag(self.drain);
            fields.flag(self.echo);
        });
    }
}
