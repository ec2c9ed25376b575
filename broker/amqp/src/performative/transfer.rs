//! Owns [`Transfer`] (core specification 2.7.5): read in place, written from a template.

use alloc::boxed::Box;

use bytes::{BufMut, BytesMut};

use super::DeliveryState;
use crate::codec::{DecodeError, Fields, FormatCode, composite, descriptor};

/// Longest delivery-tag (core specification 2.8.7).
pub(crate) const TAG_MAX: usize = 32;

/// One frame of a delivery, borrowed from the input.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Transfer<'a> {
    pub(crate) handle: u32,
    pub(crate) delivery_id: Option<u32>,
    pub(crate) tag: Option<&'a [u8]>,
    pub(crate) format: Option<u32>,
    pub(crate) settled: Option<bool>,
    pub(crate) more: bool,
    /// Rare, so it does not make every transfer large.
    pub(crate) state: Option<Box<DeliveryState>>,
    pub(crate) aborted: bool,
}

impl<'a> Transfer<'a> {
    /// Reads the fields into a transfer at its defaults; the descriptor was read. In place, because moving the result of every
    /// transfer costs more than reading it.
    #[inline]
    pub(crate) fn read(&mut self, mut fields: Fields<'a>) -> Result<(), DecodeError> {
        self.handle = fields.uint()?.ok_or(DecodeError::MissingField("handle"))?;
        self.delivery_id = fields.uint()?;
        self.tag = fields.binary()?;
        self.format = fields.uint()?;
        self.settled = fields.boolean()?;
        self.more = fields.boolean()?.unwrap_or(false);
        if self.tag.is_some_and(|tag| tag.len() > TAG_MAX) {
            return Err(DecodeError::InvalidField("delivery-tag"));
        }
        if !fields.is_exhausted() {
            self.read_rare(&mut fields)?;
        }
        fields.finish()
    }

    #[cold]
    fn read_rare(&mut self, fields: &mut Fields<'a>) -> Result<(), DecodeError> {
        fields.skip()?; // rcv-settle-mode: one per link is enough for us.
        self.state = fields.composite(DeliveryState::read)?.map(Box::new);
        fields.skip()?; // resume: links are not resumed.
        self.aborted = fields.boolean()?.unwrap_or(false);
        Ok(())
    }

    /// The most bytes that [`Self::put`] appends when there is no state.
    pub(crate) const SIZE_MAX: usize = 3 + 3 + 5 + 5 + 2 + TAG_MAX + 5 + 1 + 1;

    /// Appends the performative.
    #[inline]
    pub(crate) fn put(&self, out: &mut BytesMut) {
        if let (None, false, Some(delivery_id), Some(tag)) = (&self.state, self.aborted, self.delivery_id, self.tag) {
            self.put_first(out, delivery_id, tag);
        } else {
            self.put_any(out);
        }
    }

    /// The common case: the first or only frame of a delivery without a state.
    fn put_first(&self, out: &mut BytesMut, delivery_id: u32, tag: &[u8]) {
        let mut frame = [0u8; Self::SIZE_MAX];
        let mut at = 6;
        frame[..4].copy_from_slice(&[
            FormatCode::DESCRIBED,
            FormatCode::ULONG_SMALL,
            descriptor::TRANSFER,
            FormatCode::LIST_8,
        ]);
        at += put_uint_at(&mut frame[at..], self.handle);
        frame[at] = FormatCode::UINT;
        frame[at + 1..at + 5].copy_from_slice(&delivery_id.to_be_bytes());
        at += 5;
        frame[at] = FormatCode::BINARY_8;
        frame[at + 1] = tag.len() as u8; // At most TAG_MAX, which the sender checked.
        frame[at + 2..at + 2 + tag.len()].copy_from_slice(tag);
        at += 2 + tag.len();
        at += put_uint_at(&mut frame[at..], self.format.unwrap_or(0));
        frame[at] = if self.settled.unwrap_or(false) { FormatCode::TRUE } else { FormatCode::FALSE };
        at += 1;
        if self.more {
            frame[at] = FormatCode::TRUE;
            at += 1;
        }
        frame[4] = (at - 5) as u8; // At most SIZE_MAX, which is far below 256.
        frame[5] = 5 + u8::from(self.more);
        out.put_slice(&frame[..at]);
    }

    fn put_any(&self, out: &mut BytesMut) {
        composite(out, descriptor::TRANSFER, |fields| {
            fields.uint(Some(self.handle));
            fields.uint(self.delivery_id);
            fields.binary(self.tag);
            fields.uint(self.format);
            fields.optional(self.settled, |out, settled| {
                out.put_u8(if settled { FormatCode::TRUE } else { FormatCode::FALSE });
            });
            fields.flag(self.more);
            fields.null(); // rcv-settle-mode
            fields.optional(self.state.as_deref(), |out, state| state.put(out));
            fields.null(); // resume
            fields.flag(self.aborted);
        });
    }
}

#[inline]
fn put_uint_at(frame: &mut [u8], number: u32) -> usize {
    match u8::try_from(number) {
        Ok(0) => {
            frame[0] = FormatCode::UINT_0;
            1
        }
        Ok(small) => {
            frame[..2].copy_from_slice(&[FormatCode::UINT_SMALL, small]);
            2
        }
        Err(_) => {
            frame[0] = FormatCode::UINT;
            frame[1..5].copy_from_slice(&number.to_be_bytes());
            5
        }
    }
}
