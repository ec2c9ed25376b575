//! One TLS session: records of the network in, bytes of the protocol out, and back. Owns rustls' state and its stages.
//!
//! Driven by the loop's events, one call per piece that arrived and one per send; does no I/O. What it keeps is bounded: an
//! incomplete record inward, nothing outward.

use super::certificate::PeerCertificate;
use super::trouble::Trouble;
use bytes::{BufMut, Bytes, BytesMut};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, Connection, ServerConfig, ServerConnection};
use std::io::{self, BufRead, IoSlice, Write};
use std::sync::Arc;

/// Plaintext that is turned into records at once: what a cache holds.
const STEP_BYTES: usize = 64 * 1024;
/// What a record adds to its at most 16 KiB, rounded up.
const RECORD_OVERHEAD_BYTES: usize = 64;
const RECORD_BYTES_MAX: usize = 16 * 1024;

/// Where a session is.
///
/// ```text
///   HANDSHAKE ---- both sides are satisfied ----> OPEN ---- we have said all ----> CLOSED
///       |                                          |
///       +------- an error, or an alert ------------+---> FAILED
///       |
///       +------- given up before it was open --------------------------------> CLOSED
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// No byte of the protocol may pass yet.
    Handshake,
    /// Bytes pass.
    Open,
    /// Nothing that arrives is looked at; an alert may still have to leave.
    Failed,
    /// Our close_notify is on its way.
    Closed,
}

impl State {
    fn can_become(self, next: State) -> bool {
        use State::{Closed, Failed, Handshake, Open};
        matches!((self, next), (Handshake, Open | Failed | Closed) | (Open, Failed | Closed))
    }
}

/// What came in.
#[derive(Debug)]
pub(crate) enum Heard<'h> {
    /// Bytes of the protocol.
    Bytes(&'h [u8]),
    /// The handshake is complete; with the other side's certificate, if it showed one and that was verified.
    Secured(Option<PeerCertificate>),
}

/// One session.
#[derive(Debug)]
pub(crate) struct Session {
    connection: Connection,
    state: State,
    /// The first bytes of the other side were those of plain AMQP; `None` before there are any.
    began_plain: Option<bool>,
}

impl Session {
    pub(super) fn accept(config: Arc<ServerConfig>) -> Session {
        let connection = ServerConnection::new(config).expect("the configuration needs no early data and no tickets");
        Session { connection: connection.into(), state: State::Handshake, began_plain: None }
    }

    pub(super) fn connect(config: Arc<ClientConfig>, name: ServerName<'static>) -> Session {
        let connection = ClientConnection::new(config, name).expect("ring makes a hello for every server name");
        Session { connection: connection.into(), state: State::Handshake, began_plain: None }
    }

    /// Whether bytes of the protocol may be sent.
    pub(crate) fn is_open(&self) -> bool {
        self.state == State::Open
    }

    /// Whether nothing of the protocol will ever pass again.
    pub(crate) fn has_failed(&self) -> bool {
        self.state == State::Failed
    }

    /// Whether the handshake is still under way.
    pub(crate) fn is_handshaking(&self) -> bool {
        self.state == State::Handshake
    }

    fn become_state(&mut self, next: State) {
        assert!(self.state.can_become(next), "a session cannot become {next:?} from {:?}", self.state);
        self.state = next;
    }

    /// Takes in what arrived, and gives `hear` what it means, one record at a time.
    ///
    /// # Errors
    /// The session is over; what [`Session::outbound`] gives then tells the other side.
    pub(crate) fn inbound(&mut self, mut network: &[u8], mut hear: impl FnMut(Heard<'_>)) -> Result<(), Trouble> {
        let began_plain = *self.began_plain.get_or_insert_with(|| network.starts_with(b"AMQP"));
        while !network.is_empty() && matches!(self.state, State::Handshake | State::Open) {
            let result = match self.connection.read_tls(&mut network) {
                // After the other side's close_notify nothing is read.
                Ok(0) => return Ok(()),
                Ok(_) => self.connection.process_new_packets().map_err(Trouble::Tls),
                Err(error) => Err(Trouble::Record(error)),
            };
            if let Err(trouble) = result {
                self.become_state(State::Failed);
                return Err(if began_plain { Trouble::SpeaksPlain } else { trouble });
            }
            if self.state == State::Handshake && !self.connection.is_handshaking() {
                self.become_state(State::Open);
                let certificate = self.connection.peer_certificates().and_then(<[_]>::first);
                hear(Heard::Secured(certificate.and_then(PeerCertificate::of)));
            }
            self.give(&mut hear);
        }
        Ok(())
    }

    fn give(&mut self, hear: &mut impl FnMut(Heard<'_>)) {
        let mut reader = self.connection.reader();
        // An error says that there is nothing (more) to read, which is no news here.
        while let Ok(bytes) = reader.fill_buf()
            && !bytes.is_empty()
        {
            let count = bytes.len();
            hear(Heard::Bytes(bytes));
            reader.consume(count);
        }
    }

    /// Turns bytes of the protocol into records, behind those of the handshake that wait. One buffer, so that one send takes
    /// it; empty if there is nothing. Before the session is open `protocol` must be empty.
    pub(crate) fn outbound(&mut self, protocol: &[Bytes]) -> Bytes {
        let count: usize = protocol.iter().map(Bytes::len).sum();
        assert!(count == 0 || self.state == State::Open, "bytes of the protocol in a session that is {:?}", self.state);
        let records = count.div_ceil(RECORD_BYTES_MAX) + count.div_ceil(STEP_BYTES);
        let mut output = Output(BytesMut::with_capacity(count + records * RECORD_OVERHEAD_BYTES));
        self.write_records(&mut output);
        let mut slices: Vec<IoSlice<'_>> = protocol.iter().map(|chunk| IoSlice::new(chunk)).collect();
        let mut rest = &mut slices[..];
        while !rest.is_empty() {
            let written = self.connection.writer().write_vectored(rest).expect("rustls' writer is memory");
            self.write_records(&mut output);
            IoSlice::advance_slices(&mut rest, written);
        }
        output.0.freeze()
    }

    fn write_records(&mut self, output: &mut Output) {
        while self.connection.wants_write() {
            self.connection.write_tls(output).expect("memory takes everything");
        }
    }

    /// Ends the session in order, unless it has failed; what is left to be sent.
    pub(crate) fn close(&mut self) -> Bytes {
        if matches!(self.state, State::Handshake | State::Open) {
            self.connection.send_close_notify();
            self.become_state(State::Closed);
        }
        self.outbound(&[])
    }
}

/// Collects records.
struct Output(BytesMut);

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.put_slice(bytes);
        Ok(bytes.len())
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        slices.iter().for_each(|slice| self.0.put_slice(slice));
        Ok(slices.iter().map(|slice| slice.len()).sum())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::State::{self, Closed, Failed, Handshake, Open};

    #[test]
    fn exactly_the_drawn_edges_exist() {
        let drawn = [(Handshake, Open), (Handshake, Failed), (Handshake, Closed), (Open, Failed), (Open, Closed)];
        let all: [State; 4] = [Handshake, Open, Failed, Closed];
        for from in all {
            for to in all {
                assert_eq!(from.can_become(to), drawn.contains(&(from, to)), "{from:?} -> {to:?}");
            }
        }
    }
}
