//! Owns [`Disposition`] (core specification 2.7.6).

use bytes::BytesMut;

use super::{DeliveryState, Role};
use crate::codec::{DecodeError, Fields, composite, descriptor};

/// The state of a range of deliveries.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Disposition {
    /// The role of the sender of the frame.
    pub(crate) role: Role,
    pub(crate) first: u32,
    /// Inclusive, in serial number arithmetic.
    pub(crate) last: u32,
    pub(crate) settled: bool,
    pub(crate) state: Option<DeliveryState>,
}

impl Disposition {
    /// Reads the fields; the descriptor was read.
    #[inline]
    pub(crate) fn read(mut fields: Fields<'_>) -> Result<Self, DecodeError> {
        let role = Role::from_wire(fields.boolean()?.ok_or(DecodeError::MissingField("role"))?);
        let first = fields.uint()?.ok_or(DecodeError::MissingField("first"))?;
        let disposition = Self {
            role,
            first,
            last: fields.uint()?.unwrap_or(first),
            settled: fields.boolean()?.unwrap_or(false),
            state: fields.composite(DeliveryState::read)?,
        };
        fields.finish()?;
        Ok(disposition)
    }

    /// Appends the performative.
    pub(crate) fn put(&self, out: &mut BytesMut) {
        composite(out, descriptor::DISPOSITION, |fields| {
            fields.boolean(self.role.is_receiver());
            fields.uint(Some(self.first));
            fields.uint((self.last != self.first).then_some(self.last));
            fields.flag(self.settled);
            fields.optional(self.state.as_ref(), |out, state| state.put(out));
        });
    }
}
