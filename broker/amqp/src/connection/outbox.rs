//! Owns [`Outbox`]: frames waiting to be sent. Small ones share buffers, large bodies are referenced.
//! Does not decide what is sent when, except that a client's frames wait behind its SASL exchange.

use alloc::collections::VecDeque;

use bytes::{BufMut, Bytes, BytesMut};

use super::Output;
use super::framer::FRAME_TYPE_AMQP;
use super::shared::FRAME_SIZE_MIN_MAX;

/// Bodies from this size on are referenced: a further piece of a vectored write costs about as much as copying this much.
const REFERENCE_BYTES_MIN: usize = 4096;

/// A shared buffer is closed at this size, so that it grows without copying what it holds.
const SCRATCH_BYTES: usize = 64 * 1024;

/// Output handed out at once: what a socket buffer may take.
const OUTPUT_BYTES_MAX: usize = 1024 * 1024;

/// Frames waiting to be sent.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// Headers and SASL frames, which nothing overtakes.
    preface: BytesMut,
    /// Frames wait until the SASL exchange is over.
    gated: bool,
    chunks: VecDeque<Bytes>,
    /// Bytes in `chunks`.
    chunk_bytes: usize,
    /// Frames after those in `chunks`.
    scratch: BytesMut,
    /// Frames without payload that were appended since something was handed out, in bytes.
    control_bytes: usize,
}

impl Outbox {
    /// A header or SASL frame, ahead of all frames.
    pub(super) fn put_preface(&mut self, bytes: &[u8]) {
        self.preface.put_slice(bytes);
    }

    /// A frame ahead of all others.
    pub(super) fn put_preface_frame(&mut self, kind: u8, put: impl FnOnce(&mut BytesMut)) {
        put_frame(&mut self.preface, kind, 0, put);
    }

    /// Holds frames back, or lets them go.
    pub(super) fn set_gated(&mut self, gated: bool) {
        self.gated = gated;
    }

    /// Appends a frame without payload. False: it would exceed `size_max` bytes, and nothing was appended.
    #[must_use]
    pub(super) fn put_frame(&mut self, channel: u16, size_max: u32, put: impl FnOnce(&mut BytesMut)) -> bool {
        let start = self.scratch(256).len();
        let size = put_frame(&mut self.scratch, FRAME_TYPE_AMQP, channel, put);
        if size > size_max as usize {
            self.scratch.truncate(start);
            return false;
        }
        self.control_bytes += size;
        true
    }

    /// Appends a frame without payload that is small by construction: it fits every peer's max-frame-size.
    pub(super) fn put_small_frame(&mut self, channel: u16, put: impl FnOnce(&mut BytesMut)) {
        self.scratch(256);
        let size = put_frame(&mut self.scratch, FRAME_TYPE_AMQP, channel, put);
        self.control_bytes += size;
        debug_assert!(size <= FRAME_SIZE_MIN_MAX as usize, "a frame of {size} bytes is not small");
    }

    /// Frames without payload that were appended since something was handed out, in bytes.
    pub(super) fn control_bytes(&self) -> usize {
        self.control_bytes
    }

    /// The buffer that small things are appended to, with room for `bytes` more.
    #[inline]
    pub(super) fn scratch(&mut self, bytes: usize) -> &mut BytesMut {
        if self.scratch.capacity() - self.scratch.len() < bytes {
            self.grow(bytes);
        }
        &mut self.scratch
    }

    /// Appends the body of a frame whose beginning is in the scratch buffer.
    #[inline]
    pub(super) fn put_body(&mut self, body: &Bytes, start: usize, end: usize) {
        if end - start < REFERENCE_BYTES_MIN {
            self.scratch(end - start).put_slice(&body[start..end]);
        } else {
            self.close_scratch();
            self.push(body.slice(start..end));
        }
    }

    /// Bytes waiting, also those held back.
    pub(super) fn bytes(&self) -> usize {
        self.preface.len() + self.chunk_bytes + self.scratch.len()
    }

    /// Nothing to hand out.
    pub(super) fn is_empty(&self) -> bool {
        self.preface.is_empty() && (self.gated || self.chunk_bytes + self.scratch.len() == 0)
    }

    /// Hands out what may be sent now.
    pub(super) fn take(&mut self) -> Option<Output> {
        if self.is_empty() {
            return None;
        }
        self.control_bytes = 0;
        let mut output = Output::default();
        if !self.preface.is_empty() {
            let preface = self.preface.split().freeze();
            output.bytes = preface.len();
            output.chunks.push(preface);
        }
        if !self.gated {
            self.close_scratch();
            self.take_chunks(&mut output);
        }
        Some(output)
    }

    /// Gives memory back while nothing is to be sent.
    pub(super) fn shrink(&mut self) {
        if self.scratch.is_empty() {
            self.scratch = BytesMut::new();
            self.chunks.shrink_to_fit();
        }
    }

    fn take_chunks(&mut self, output: &mut Output) {
        output.chunks.reserve(self.chunks.len().min(64));
        while output.bytes < OUTPUT_BYTES_MAX
            && let Some(mut chunk) = self.chunks.pop_front()
        {
            let room = OUTPUT_BYTES_MAX - output.bytes;
            if chunk.len() > room {
                self.chunks.push_front(chunk.split_off(room));
            }
            output.bytes += chunk.len();
            self.chunk_bytes -= chunk.len();
            output.chunks.push(chunk);
        }
    }

    #[cold]
    fn grow(&mut self, bytes: usize) {
        if self.scratch.len() >= SCRATCH_BYTES / 4 {
            self.close_scratch();
            self.scratch = BytesMut::with_capacity(SCRATCH_BYTES.max(bytes));
        } else {
            // Doubles, or takes the old memory back if all of its output has been dropped.
            self.scratch.reserve(bytes.max(self.scratch.len()).max(512));
        }
    }

    fn close_scratch(&mut self) {
        if !self.scratch.is_empty() {
            let chunk = self.scratch.split().freeze();
            self.push(chunk);
        }
    }

    fn push(&mut self, chunk: Bytes) {
        self.chunk_bytes += chunk.len();
        self.chunks.push_back(chunk);
    }
}

/// Appends a frame and returns its size.
fn put_frame(out: &mut BytesMut, kind: u8, channel: u16, put: impl FnOnce(&mut BytesMut)) -> usize {
    let start = begin_frame(out, kind, channel);
    put(out);
    let size = out.len() - start;
    end_frame(out, start, size);
    size
}

/// Appends a frame's header; its size is filled in by [`end_frame`].
#[inline]
pub(super) fn begin_frame(out: &mut BytesMut, kind: u8, channel: u16) -> usize {
    let start = out.len();
    let [high, low] = channel.to_be_bytes();
    out.put_slice(&[0, 0, 0, 0, 2, kind, high, low]);
    start
}

/// Fills in the size of the frame that begins at `start`.
#[inline]
pub(super) fn end_frame(out: &mut BytesMut, start: usize, size: usize) {
    let size = u32::try_from(size).unwrap_or(u32::MAX);
    out[start..start + 4].copy_from_slice(&size.to_be_bytes());
}

/// All chunks in one.
#[cfg(test)]
pub(super) fn joined(output: &Output) -> Vec<u8> {
    output.chunks.concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(outbox: &mut Outbox) -> Vec<u8> {
        let mut all = Vec::new();
        while let Some(output) = outbox.take() {
            assert!(output.bytes <= OUTPUT_BYTES_MAX);
            assert_eq!(output.bytes, joined(&output).len());
            all.extend(joined(&output));
        }
        all
    }

    #[test]
    fn small_bodies_are_copied_and_large_ones_referenced_in_order() {
        let mut outbox = Outbox::default();
        let small = Bytes::from(vec![1; 100]);
        let large = Bytes::from(vec![2; 5000]);
        outbox.put_body(&small, 0, 100);
        outbox.put_body(&large, 10, 4990);
        outbox.put_body(&small, 50, 100);
        assert_eq!(outbox.bytes(), 100 + 4980 + 50);
        let output = outbox.take().unwrap();
        let sizes: Vec<usize> = output.chunks.iter().map(Bytes::len).collect();
        assert_eq!(sizes, [100, 4980, 50]);
        assert_eq!(output.chunks[1].as_ptr(), large[10..].as_ptr());
        assert_eq!(outbox.take(), None);
    }

    #[test]
    fn output_is_handed_out_in_bounded_pieces() {
        let mut outbox = Outbox::default();
        let body = Bytes::from((0..=255).cycle().take(3000).collect::<Vec<u8>>());
        let mut expected = Vec::new();
        for _ in 0..1000 {
            outbox.put_body(&body, 0, 3000);
            expected.extend_from_slice(&body);
        }
        assert_eq!(outbox.bytes(), 3_000_000);
        assert!(drain(&mut outbox) == expected);
        assert_eq!(outbox.bytes(), 0);
    }

    #[test]
    fn a_frame_beyond_the_limit_leaves_no_trace() {
        let mut outbox = Outbox::default();
        assert!(outbox.put_frame(3, 512, |out| out.put_slice(b"abc")));
        assert!(!outbox.put_frame(3, 512, |out| out.put_bytes(0, 505)));
        assert_eq!(drain(&mut outbox), [0, 0, 0, 11, 2, 0, 0, 3, b'a', b'b', b'c']);
    }

    #[test]
    fn gated_frames_wait_behind_the_preface() {
        let mut outbox = Outbox::default();
        outbox.set_gated(true);
        outbox.put_small_frame(0, |out| out.put_slice(b"frame"));
        assert!(outbox.is_empty());
        outbox.put_preface(b"header");
        assert_eq!(drain(&mut outbox), b"header");
        outbox.put_preface(b"AMQP");
        outbox.set_gated(false);
        assert_eq!(drain(&mut outbox), b"AMQP\0\0\0\x0d\x02\0\0\0frame");
    }
}
