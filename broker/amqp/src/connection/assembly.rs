//! Owns [`Assembly`]: a delivery whose frames are being joined, and the budget that all of a connection share.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::condition;
use crate::performative::{DeliveryState, Error, TAG_MAX, Transfer};

/// Buffers up to this size are kept for the next delivery.
const SPARE_BYTES_MAX: usize = 1024 * 1024;

/// A delivery-tag, held in place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tag {
    bytes: [u8; TAG_MAX],
    length: u8,
}

impl Tag {
    /// Copies a tag; the caller has checked its length.
    pub(super) fn new(tag: &[u8]) -> Self {
        let mut bytes = [0; TAG_MAX];
        let length = tag.len().min(TAG_MAX);
        bytes[..length].copy_from_slice(&tag[..length]);
        Self { bytes, length: length as u8 }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

/// A delivery whose last frame has not arrived, or has just.
#[derive(Debug)]
pub(super) struct Assembly {
    pub(super) delivery_id: u32,
    pub(super) tag: Tag,
    pub(super) format: u32,
    pub(super) settled: bool,
    pub(super) state: Option<Box<DeliveryState>>,
    pub(super) payload: Vec<u8>,
}

/// What the unfinished deliveries of a connection hold together.
#[derive(Debug, Default)]
pub(super) struct AssemblyBudget {
    used: usize,
    spare: Vec<u8>,
}

impl AssemblyBudget {
    /// Begins a delivery of several frames.
    pub(super) fn begin(&mut self, delivery_id: u32, tag: &[u8], transfer: &Transfer<'_>) -> Assembly {
        Assembly {
            delivery_id,
            tag: Tag::new(tag),
            format: transfer.format.unwrap_or(0),
            settled: false,
            state: None,
            payload: core::mem::take(&mut self.spare),
        }
    }

    /// Appends a frame's payload.
    ///
    /// # Errors
    /// The message is larger than `message_size_max`, or all unfinished ones together than `bytes_max`.
    pub(super) fn append(
        &mut self,
        assembly: &mut Assembly,
        payload: &[u8],
        message_size_max: u64,
        bytes_max: usize,
    ) -> Result<(), Error> {
        check_message_size(assembly.payload.len() + payload.len(), message_size_max)?;
        if self.used + payload.len() > bytes_max {
            return Err(Error::new(
                condition::RESOURCE_LIMIT_EXCEEDED,
                "the unfinished deliveries of this connection together are too large",
            ));
        }
        self.used += payload.len();
        assembly.payload.extend_from_slice(payload);
        Ok(())
    }

    /// The delivery is complete, was aborted or lost its link. Its buffer stays with it until `recycle`.
    pub(super) fn release(&mut self, assembly: &Assembly) {
        self.used -= assembly.payload.len();
    }

    /// Takes the buffer of a delivery that is done with.
    pub(super) fn recycle(&mut self, mut payload: Vec<u8>) {
        if payload.capacity() <= SPARE_BYTES_MAX && payload.capacity() > self.spare.capacity() {
            payload.clear();
            self.spare = payload;
        }
    }
}

/// Refuses a message larger than the link takes.
pub(super) fn check_message_size(bytes: usize, message_size_max: u64) -> Result<(), Error> {
    if bytes as u64 > message_size_max {
        let description = alloc::format!("a message exceeds the limit of {message_size_max} bytes");
        return Err(Error::new(condition::LINK_MESSAGE_SIZE_EXCEEDED, description));
    }
    Ok(())
}
