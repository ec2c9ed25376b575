//! The bare write and answer of `bare`: no broker, the limit for one message in flight.

use crate::options::Options;
use anyhow::Result;
use benches::{Peer, Progress};
use bytes::{Bytes, BytesMut};

/// Sends.
pub(crate) struct BareProducer {
    message: Vec<u8>,
    output: BytesMut,
}

impl BareProducer {
    /// A producer.
    pub(crate) fn new(options: &Options) -> Self {
        let mut message = (options.bytes as u32).to_be_bytes().to_vec();
        message.resize(message.len() + options.bytes, b'x');
        BareProducer { message, output: BytesMut::new() }
    }
}

impl Peer for BareProducer {
    /// One byte confirms one message.
    fn receive(&mut self, input: &[u8]) -> Result<Progress> {
        Ok(Progress { confirmed: input.len(), received: 0 })
    }

    fn is_ready(&self) -> bool {
        true
    }

    fn send(&mut self, count: usize) -> usize {
        (0..count).for_each(|_| self.output.extend_from_slice(&self.message));
        count
    }

    fn output(&mut self) -> Option<Bytes> {
        (!self.output.is_empty()).then(|| self.output.split().freeze())
    }
}
