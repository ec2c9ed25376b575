//! The byte-transform stage between a socket and the codec: nothing, or TLS.
//!
//! Owns how bytes of the network become bytes of the protocol and back. Knows no frame.

use crate::tls::{Heard, Session, Trouble};
use bytes::Bytes;

/// The beginning of a TLS record: a handshake, or an alert, of any version.
const TLS_RECORDS: [[u8; 2]; 2] = [[0x16, 3], [0x15, 3]];

/// What stands between one socket and its codec.
#[derive(Debug)]
pub(crate) enum Transform {
    /// Bytes pass unchanged.
    Plain {
        /// Something has arrived, and it was no TLS.
        heard: bool,
    },
    /// TLS, from the first byte.
    Tls(Box<Session>),
}

impl Default for Transform {
    fn default() -> Self {
        Transform::Plain { heard: false }
    }
}

impl Transform {
    /// TLS if there is a session, otherwise plain.
    pub(crate) fn of(session: Option<Session>) -> Self {
        session.map_or_else(Transform::default, |session| Transform::Tls(Box::new(session)))
    }

    /// Bytes from the network; `hear` gets what they mean, piece by piece.
    ///
    /// # Errors
    /// Nothing of the protocol will come any more; what is still to be sent tells the other side.
    pub(crate) fn inbound(&mut self, network: &[u8], mut hear: impl FnMut(Heard<'_>)) -> Result<(), Trouble> {
        match self {
            Transform::Plain { heard } => {
                if !*heard && TLS_RECORDS.iter().any(|record| network.starts_with(record)) {
                    return Err(Trouble::SpeaksTls);
                }
                *heard = true;
                hear(Heard::Bytes(network));
                Ok(())
            }
            Transform::Tls(session) => session.inbound(network, hear),
        }
    }

    /// What to send now: bytes of `protocol`, which is asked only when they may be sent, and TLS's own.
    pub(crate) fn outbound(&mut self, protocol: impl FnOnce() -> Option<Vec<Bytes>>) -> Option<Vec<Bytes>> {
        match self {
            Transform::Plain { .. } => protocol(),
            Transform::Tls(session) => {
                let chunks = if session.is_open() { protocol().unwrap_or_default() } else { Vec::new() };
                Some(session.outbound(&chunks)).filter(|records| !records.is_empty()).map(|records| vec![records])
            }
        }
    }

    /// The last words below the protocol.
    pub(crate) fn close(&mut self) -> Option<Vec<Bytes>> {
        match self {
            Transform::Plain { .. } => None,
            Transform::Tls(session) => {
                Some(session.close()).filter(|records| !records.is_empty()).map(|records| vec![records])
            }
        }
    }

    /// A TLS handshake is under way.
    pub(crate) fn is_handshaking(&self) -> bool {
        matches!(self, Transform::Tls(session) if session.is_handshaking())
    }

    /// Whether nothing of the protocol can pass any more.
    pub(crate) fn has_failed(&self) -> bool {
        matches!(self, Transform::Tls(session) if session.has_failed())
    }
}
