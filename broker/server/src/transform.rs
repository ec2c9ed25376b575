//! The byte-transform stage between a socket and the codec: plain today, TLS in the same place later.
//!
//! Owns how bytes of the network become bytes of the protocol and back. Knows no frame.

use bytes::Bytes;

/// What stands between one socket and its codec.
#[derive(Debug, Default)]
pub(crate) enum Transform {
    /// Bytes pass unchanged.
    #[default]
    Plain,
}

impl Transform {
    /// Bytes from the network, as bytes of the protocol.
    pub(crate) fn inbound<'a>(&'a mut self, network: &'a [u8]) -> &'a [u8] {
        match self {
            Transform::Plain => network,
        }
    }

    /// Bytes of the protocol, as bytes for the network.
    pub(crate) fn outbound(&mut self, protocol: Vec<Bytes>) -> Vec<Bytes> {
        match self {
            Transform::Plain => protocol,
        }
    }
}
