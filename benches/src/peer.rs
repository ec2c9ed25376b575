//! What a protocol has to offer to be measured. Owns no socket.

use anyhow::Result;
use bytes::Bytes;

/// What one look at the input brought.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    /// Messages of this connection that the broker confirmed.
    pub confirmed: usize,
    /// Messages that were received.
    pub received: usize,
}

/// One connection's half of a protocol.
pub trait Peer {
    /// Takes what has arrived.
    ///
    /// # Errors
    /// The broker refused something, or said what is not understood.
    fn receive(&mut self, input: &[u8]) -> Result<Progress>;
    /// Whether messages can flow.
    fn is_ready(&self) -> bool;
    /// Queues at most `count` messages; returns how many it took.
    fn send(&mut self, count: usize) -> usize;
    /// The next piece to write.
    fn output(&mut self) -> Option<Bytes>;
}
