//! What one socket is sending.
//!
//! Owns the chunks and the message header that the kernel reads, from `send` until the last byte is in the kernel. At
//! most one entry per socket is in flight: two could be reordered, and a short one would tear the stream.
#![allow(unsafe_code)]

use bytes::{Buf, Bytes};
use io_uring::{opcode, squeue, types};
use std::os::fd::RawFd;

/// The kernel's limit for one message (UIO_MAXIOV).
const CHUNKS_PER_MESSAGE: usize = 1024;
/// A connection keeps room for so many vectors between two sends; 1 KiB, so that many idle ones cost little.
const VECTORS_KEPT: usize = 64;
/// MSG_WAITALL lets the kernel go on after a short send by itself.
const FLAGS: i32 = libc::MSG_NOSIGNAL | libc::MSG_WAITALL;
/// Above this a single chunk goes by message too, since the length of a plain send has 32 bits.
const PLAIN_SEND_MAX: usize = 1 << 30;

/// The sending side of a socket. Boxed by its owner: the kernel reads `header` and what it points at.
pub(super) struct Sender {
    /// What is not in the kernel yet; the first chunk is cut where the kernel stopped.
    chunks: Vec<Bytes>,
    /// Chunks at the front that are wholly in the kernel.
    sent: usize,
    vectors: Vec<libc::iovec>,
    header: libc::msghdr,
    busy: bool,
}

impl std::fmt::Debug for Sender {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Sender")
            .field("chunks", &self.chunks.len())
            .field("sent", &self.sent)
            .field("busy", &self.busy)
            .finish_non_exhaustive()
    }
}

impl Sender {
    pub(super) fn new() -> Box<Self> {
        // SAFETY: a message header of zeros is valid: null pointers with zero lengths.
        let header = unsafe { std::mem::zeroed() };
        Box::new(Sender { chunks: Vec::new(), sent: 0, vectors: Vec::new(), header, busy: false })
    }

    /// Whether a send has begun that is not complete.
    pub(super) fn is_busy(&self) -> bool {
        self.busy
    }

    /// Begins to send `chunks`.
    pub(super) fn begin(&mut self, chunks: Vec<Bytes>) {
        assert!(!self.busy, "at most one send is in flight per socket: wait for Event::Sent");
        self.chunks = chunks;
        self.sent = 0;
        self.busy = true;
    }

    /// Notes that `count` more bytes are in the kernel.
    pub(super) fn advance(&mut self, mut count: usize) {
        while count > 0 {
            let chunk = &mut self.chunks[self.sent];
            let step = count.min(chunk.len());
            chunk.advance(step);
            count -= step;
            if chunk.is_empty() {
                self.sent += 1;
            }
        }
    }

    /// Lets go of the chunks, whether sent or not. Only while the kernel has no entry of this sender.
    pub(super) fn end(&mut self) {
        self.chunks = Vec::new();
        if self.vectors.capacity() > VECTORS_KEPT {
            self.vectors = Vec::new();
        }
        self.busy = false;
    }

    /// The entry that sends what is left, `None` when nothing is. The entry is valid as long as this sender neither
    /// moves nor is told to begin, advance or end.
    pub(super) fn entry(&mut self, socket: RawFd) -> Option<squeue::Entry> {
        while self.chunks.get(self.sent).is_some_and(Bytes::is_empty) {
            self.sent += 1;
        }
        let rest = &self.chunks[self.sent..];
        let socket = types::Fd(socket);
        if let [only] = rest
            && only.len() <= PLAIN_SEND_MAX
        {
            return Some(opcode::Send::new(socket, only.as_ptr(), only.len() as u32).flags(FLAGS).build());
        }
        if rest.is_empty() {
            return None;
        }
        self.vectors.clear();
        self.vectors.extend(
            rest.iter()
                .take(CHUNKS_PER_MESSAGE)
                .map(|chunk| libc::iovec { iov_base: chunk.as_ptr().cast_mut().cast(), iov_len: chunk.len() }),
        );
        self.header.msg_iov = self.vectors.as_mut_ptr();
        self.header.msg_iovlen = self.vectors.len();
        Some(opcode::SendMsg::new(socket, &raw const self.header).flags(FLAGS as u32).build())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rest(sender: &Sender) -> Vec<u8> {
        sender.chunks[sender.sent..].concat()
    }

    #[test]
    fn a_short_send_goes_on_where_the_kernel_stopped() {
        let mut sender = Sender::new();
        sender.begin(vec![Bytes::from_static(b"abc"), Bytes::new(), Bytes::from_static(b"defg")]);
        assert!(sender.entry(0).is_some());
        sender.advance(4);
        assert_eq!(rest(&sender), b"efg");
        assert!(sender.entry(0).is_some());
        sender.advance(3);
        assert!(sender.entry(0).is_none());
        sender.end();
        assert!(!sender.is_busy());
    }

    #[test]
    fn nothing_to_send_needs_no_entry() {
        let mut sender = Sender::new();
        sender.begin(vec![Bytes::new(), Bytes::new()]);
        assert!(sender.entry(0).is_none());
    }

    #[test]
    fn a_message_carries_no_more_chunks_than_the_kernel_takes() {
        let mut sender = Sender::new();
        sender.begin(vec![Bytes::from_static(b"x"); 3000]);
        assert!(sender.entry(0).is_some());
        assert_eq!(sender.header.msg_iovlen, 1024);
        sender.advance(2999);
        assert_eq!(rest(&sender), b"x");
    }

    #[test]
    #[should_panic(expected = "at most one send")]
    fn two_sends_at_once_are_refused() {
        let mut sender = Sender::new();
        sender.begin(vec![Bytes::from_static(b"a")]);
        sender.begin(vec![Bytes::from_static(b"b")]);
    }
}
