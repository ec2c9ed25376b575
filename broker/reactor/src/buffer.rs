//! Memory for direct I/O, and the buffers that received bytes arrive in.
//!
//! Owns alignment and the way in which a receive buffer returns to its pool. Does no I/O.

use crate::uring::PooledBuffer;
use bytes::{Bytes, BytesMut};
use disk::BLOCK_SIZE;
use std::fmt;
use std::ops::Deref;

/// An empty buffer with room for at least `len` bytes whose address is a multiple of [`BLOCK_SIZE`].
///
/// The alignment holds as long as no more than `len` bytes are put in and nothing is split off the front:
/// a `BytesMut` that grows moves.
pub fn aligned(len: usize) -> BytesMut {
    let mut whole = BytesMut::with_capacity(len + BLOCK_SIZE - 1);
    let pad = whole.as_ptr().align_offset(BLOCK_SIZE);
    let aligned = whole.split_off(pad);
    assert!(is_aligned(&aligned) && aligned.capacity() >= len);
    aligned
}

/// Whether the data begins at a multiple of [`BLOCK_SIZE`].
pub fn is_aligned(data: &[u8]) -> bool {
    data.as_ptr().addr().is_multiple_of(BLOCK_SIZE)
}

/// Received bytes. Dropping it gives the memory back to the reactor.
pub struct RecvBuffer(Inner);

enum Inner {
    Pooled(PooledBuffer),
    Owned(Bytes),
}

impl RecvBuffer {
    pub(crate) fn pooled(buffer: PooledBuffer) -> Self {
        RecvBuffer(Inner::Pooled(buffer))
    }
}

impl From<Bytes> for RecvBuffer {
    fn from(bytes: Bytes) -> Self {
        RecvBuffer(Inner::Owned(bytes))
    }
}

impl fmt::Debug for RecvBuffer {
    /// Only the length: events are logged, and the bytes are somebody's data.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "RecvBuffer({} bytes)", self.len())
    }
}

impl Deref for RecvBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Inner::Pooled(buffer) => buffer,
            Inner::Owned(bytes) => bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aligned_memory_stays_aligned_until_it_is_full() {
        for len in [0, 1, 4096, 4097, 65_536, 1 << 20] {
            let mut buffer = aligned(len);
            assert!(is_aligned(&buffer));
            buffer.resize(len, 7);
            assert!(is_aligned(&buffer), "{len}");
            let frozen = buffer.freeze();
            assert!(is_aligned(&frozen) && frozen.len() == len);
        }
    }
}
