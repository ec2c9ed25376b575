//! Owns [`Parcel`]: one delivery on its way out, cut into frames that the peer accepts; and [`Queued`], one that has to wait.

use alloc::boxed::Box;

use bytes::{BufMut, Bytes};

use super::assembly::Tag;
use super::framer::FRAME_TYPE_AMQP;
use super::outbox::{Outbox, begin_frame, end_frame};
use crate::performative::{DeliveryState, Transfer};

/// A delivery to be written. The payload is `head` followed by `body`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parcel<'a> {
    pub(super) handle: u32,
    pub(super) delivery_id: u32,
    pub(super) tag: &'a [u8],
    pub(super) format: u32,
    pub(super) settled: bool,
    pub(super) state: Option<&'a DeliveryState>,
    pub(super) head: &'a [u8],
    pub(super) body: &'a Bytes,
}

/// How much of a delivery was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Progress {
    /// The first frame was.
    pub(super) begun: bool,
    /// Bytes of the payload.
    pub(super) written: usize,
}

impl Parcel<'_> {
    /// Bytes of the payload.
    pub(super) fn len(&self) -> usize {
        self.head.len() + self.body.len()
    }

    pub(super) fn is_done(&self, progress: Progress) -> bool {
        progress.begun && progress.written == self.len()
    }

    /// Writes one frame of at most `frame_size_max` bytes.
    #[inline]
    pub(super) fn put_frame(&self, outbox: &mut Outbox, channel: u16, frame_size_max: u32, progress: &mut Progress) {
        let first = !progress.begun;
        let mut transfer = Transfer {
            handle: self.handle,
            delivery_id: first.then_some(self.delivery_id),
            tag: first.then_some(self.tag),
            format: first.then_some(self.format),
            settled: first.then_some(self.settled),
            more: false,
            state: if first { self.state.cloned().map(Box::new) } else { None },
            aborted: false,
        };
        let remaining = self.len() - progress.written;
        let out = outbox.scratch(8 + Transfer::SIZE_MAX);
        let start = begin_frame(out, FRAME_TYPE_AMQP, channel);
        transfer.put(out);
        let mut room = frame_size_max as usize - (out.len() - start);
        if remaining > room {
            out.truncate(start + 8);
            transfer.more = true;
            transfer.put(out);
            room = frame_size_max as usize - (out.len() - start);
        }
        let length = remaining.min(room);
        let size = out.len() - start + length;
        end_frame(out, start, size);
        self.put_payload(outbox, progress.written, progress.written + length);
        *progress = Progress { begun: true, written: progress.written + length };
    }

    #[inline]
    fn put_payload(&self, outbox: &mut Outbox, start: usize, end: usize) {
        let head = self.head.len();
        if start < head {
            let part = &self.head[start..end.min(head)];
            outbox.scratch(part.len()).put_slice(part);
        }
        if end > head {
            outbox.put_body(self.body, start.saturating_sub(head), end - head);
        }
    }
}

/// A delivery that waits behind the session's window.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) handle: u32,
    delivery_id: u32,
    tag: Tag,
    format: u32,
    settled: bool,
    state: Option<DeliveryState>,
    head: Bytes,
    body: Bytes,
    pub(super) progress: Progress,
}

impl Queued {
    pub(super) fn new(parcel: &Parcel<'_>, progress: Progress) -> Self {
        Self {
            handle: parcel.handle,
            delivery_id: parcel.delivery_id,
            tag: Tag::new(parcel.tag),
            format: parcel.format,
            settled: parcel.settled,
            state: parcel.state.cloned(),
            head: Bytes::copy_from_slice(parcel.head),
            body: parcel.body.clone(),
            progress,
        }
    }

    pub(super) fn parcel(&self) -> Parcel<'_> {
        Parcel {
            handle: self.handle,
            delivery_id: self.delivery_id,
            tag: self.tag.as_bytes(),
            format: self.format,
            settled: self.settled,
            state: self.state.as_ref(),
            head: &self.head,
            body: &self.body,
        }
    }

    /// Bytes of the payload that were not written.
    pub(super) fn bytes_left(&self) -> usize {
        self.head.len() + self.body.len() - self.progress.written
    }
}
