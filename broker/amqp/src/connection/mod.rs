//! Owns [`Connection`], one end of an AMQP 1.0 connection in either role. The parent routes; its children own the states.

mod event;

pub use event::{Delivery, Event, LinkId, Message, Nanos, Output, SendError, SessionId};

use alloc::vec::Vec;

use crate::limits::Config;
use crate::performative::{Attach, Error, Open, Outcome};
use crate::sasl::{ClientSasl, SaslCode};

/// One end of a connection, without socket and clock.
///
/// Input: [`next_event`](Self::next_event), [`handle_timeout`](Self::handle_timeout).
/// Output: [`poll_transmit`](Self::poll_transmit), [`poll_timeout`](Self::poll_timeout), [`is_finished`](Self::is_finished).
/// Everything else is a command of the application. Commands for sessions and links that are gone do nothing, because the
/// peer may have ended them at any moment.
#[derive(Debug)]
pub struct Connection {}

#[allow(unused_variables)]
impl Connection {
    /// A server's end: waits for the client's header, which may be SASL or (unless `require_sasl`) plain AMQP.
    pub fn server(config: Config, now: Nanos) -> Self {
        todo!()
    }

    /// A client's end; without SASL the plain AMQP header is sent. Commands may follow at once.
    pub fn client(config: Config, sasl: Option<ClientSasl>, now: Nanos) -> Self {
        todo!()
    }

    /// Takes frames off the front of `input` until there is something to report.
    ///
    /// Call it until it gives None; an incomplete frame at the end is kept. With empty `input` it reports what is pending.
    pub fn next_event<'e, 'i: 'e>(&'e mut self, now: Nanos, input: &mut &'i [u8]) -> Option<Event<'e>> {
        todo!()
    }

    /// Output to send now, about 1 MiB at most. None: nothing.
    pub fn poll_transmit(&mut self, now: Nanos) -> Option<Output> {
        todo!()
    }

    /// Bytes queued and not yet taken by `poll_transmit`.
    pub fn output_bytes(&self) -> usize {
        todo!()
    }

    /// When `handle_timeout` wants to be called; may change with every call.
    pub fn poll_timeout(&self) -> Option<Nanos> {
        todo!()
    }

    /// Heartbeats and idle expiry; expiry is reported by `next_event`.
    pub fn handle_timeout(&mut self, now: Nanos) {
        todo!()
    }

    /// True when nothing more will be sent or accepted: flush the output, then close the socket.
    pub fn is_finished(&self) -> bool {
        todo!()
    }

    /// The peer's open, once it has arrived.
    pub fn peer(&self) -> Option<&Open> {
        todo!()
    }

    /// Every delivery that we sent and that got no outcome, in order of delivery per session. For a lost socket, `Close` and
    /// `Failed`.
    pub fn unsettled_tokens(&self) -> Vec<(LinkId, u64)> {
        todo!()
    }

    /// Server: the answer to `SaslInit`. Anything but `Ok` ends the connection.
    pub fn sasl_outcome(&mut self, code: SaslCode) {
        todo!()
    }

    /// Client: at the start. Server: the answer to `Open`. May be followed by `close` at once.
    pub fn open(&mut self, open: Open) {
        todo!()
    }

    /// Begins a session; links may be attached at once. Answered by `Begun`, or by `End` beyond the peer's channel-max.
    pub fn begin(&mut self) -> SessionId {
        todo!()
    }

    /// Ends a session; `End` follows.
    pub fn end(&mut self, session: SessionId, error: Option<Error>) {
        todo!()
    }

    /// Closes the connection; `Close` follows when the peer answers.
    pub fn close(&mut self, error: Option<Error>) {
        todo!()
    }

    /// Attaches a link; a receiver may grant credit at once. Answered by `Attached`, or by `Detach` where it cannot be sent.
    pub fn attach(&mut self, session: SessionId, attach: Attach) -> LinkId {
        todo!()
    }

    /// The answer to `Attach`. Name and role are filled in; the modes are the application's answer.
    pub fn accept_link(&mut self, link: LinkId, attach: Attach) {
        todo!()
    }

    /// Refuses a link: an attach with a null terminus, then a closing detach with the error. No event follows.
    pub fn refuse_link(&mut self, link: LinkId, error: Error) {
        todo!()
    }

    /// Detaches a link; `Detach` follows when the peer answers.
    pub fn detach(&mut self, link: LinkId, closed: bool, error: Option<Error>) {
        todo!()
    }

    /// Receiving link: the sender may send `credit` messages from now on, whatever it could before.
    pub fn grant(&mut self, link: LinkId, credit: u32, drain: bool) {
        todo!()
    }

    /// Receiver's disposition on one delivery; adjacent equal ones leave as one range.
    pub fn settle(&mut self, session: SessionId, delivery_id: u32, outcome: Outcome, settled: bool) {
        todo!()
    }

    /// Queues a message and returns its delivery-id.
    ///
    /// # Errors
    /// See [`SendError`]; nothing was queued then.
    pub fn send(&mut self, link: LinkId, delivery: Delivery<'_>) -> Result<u32, SendError> {
        todo!()
    }

    /// What may be sent now on a sending link; 0 while the session's window is closed and for links that are gone.
    pub fn link_credit(&self, link: LinkId) -> u32 {
        todo!()
    }

    /// Sending link: there is nothing more to send; gives all credit back, behind what is queued.
    pub fn drained(&mut self, link: LinkId) {
        todo!()
    }

    /// Sender's settlement of a delivery whose outcome came unsettled.
    pub fn settle_sent(&mut self, session: SessionId, delivery_id: u32, outcome: Option<Outcome>) {
        todo!()
    }
}
