//! Owns [`Connection`], one end of an AMQP 1.0 connection in either role. The parent routes; its children own the states.

mod assembly;

mod dispositions;
mod event;
mod framer;
mod handshake;
mod idle;
mod link;
mod links;
mod outbox;
mod parcel;
mod routing;
mod session;
mod sessions;
mod shared;
mod state;
mod unsettled;
mod window;

pub use event::{Delivery, Event, LinkId, Message, Nanos, Output, SendError, SessionId};

use alloc::string::String;
use alloc::vec::Vec;

use self::framer::{Frame, Framer, Located};
use self::handshake::Side;
use self::routing::Core;
use self::session::Session;
use self::shared::{Handled, Shared};
use self::state::State;
use crate::codec::{Fields, Reader};
use crate::condition;
use crate::limits::Config;
use crate::performative::{Attach, Error, Open, Outcome, Transfer};
use crate::sasl::{ClientSasl, SaslCode};

/// One end of a connection, without socket and clock.
///
/// Input: [`next_event`](Self::next_event), [`handle_timeout`](Self::handle_timeout).
/// Output: [`poll_transmit`](Self::poll_transmit), [`poll_timeout`](Self::poll_timeout), [`is_finished`](Self::is_finished).
/// Everything else is a command of the application. Commands for sessions and links that are gone do nothing, because the
/// peer may have ended them at any moment.
#[derive(Debug)]
pub struct Connection {
    framer: Framer,
    core: Core,
}

/// What one step has brought: an event, or where to find what an event borrows.
enum Step<'i> {
    Event(Event<'i>),
    /// A message whose frame is in the stash.
    Stashed(Message<'static>),
    /// A message whose frames were joined.
    Joined(Message<'static>),
    SaslInit,
}

impl Connection {
    /// A server's end: waits for the client's header, which may be SASL or (unless `require_sasl`) plain AMQP.
    pub fn server(config: Config, now: Nanos) -> Self {
        Self { framer: Framer::default(), core: Core::new(bounded(config), Side::Server, now) }
    }

    /// A client's end; without SASL the plain AMQP header is sent. Commands may follow at once.
    pub fn client(config: Config, sasl: Option<ClientSasl>, now: Nanos) -> Self {
        let mut core = Core::new(bounded(config), Side::Client { sasl }, now);
        core.start_client();
        Self { framer: Framer::default(), core }
    }

    /// Takes frames off the front of `input` until there is something to report.
    ///
    /// Call it until it gives None; an incomplete frame at the end is kept. With empty `input` it reports what is pending.
    #[inline]
    pub fn next_event<'e, 'i: 'e>(&'e mut self, now: Nanos, input: &mut &'i [u8]) -> Option<Event<'e>> {
        match self.step(now, input)? {
            Step::Event(event) => Some(event),
            Step::Stashed(message) => {
                let (tag, payload) = transfer_parts(self.framer.stashed())?;
                Some(Event::Message(Message { tag, payload, ..message }))
            }
            Step::Joined(message) => {
                let assembly = self.core.shared.completed.as_deref()?;
                let (tag, payload) = (assembly.tag.as_bytes(), assembly.payload.as_slice());
                Some(Event::Message(Message { tag, payload, ..message }))
            }
            Step::SaslInit => {
                let request = self.core.sasl_request.as_ref()?;
                Some(Event::SaslInit {
                    mechanism: &request.mechanism,
                    response: &request.response,
                    hostname: request.hostname.as_deref(),
                })
            }
        }
    }

    #[inline]
    fn step<'i>(&mut self, now: Nanos, input: &mut &'i [u8]) -> Option<Step<'i>> {
        let Self { framer, core } = self;
        core.shared.recycle_completed();
        loop {
            if let Some(event) = core.next_pending() {
                return Some(Step::Event(event));
            }
            if core.state() == State::Closed {
                *input = &[];
                return None;
            }
            if core.state().holds_input() {
                framer.hold(input);
                if framer.held_bytes() <= core.shared.config.limits.held_bytes_max {
                    return None;
                }
                core.fail(Error::new(
                    condition::RESOURCE_LIMIT_EXCEEDED,
                    "too much input before the connection is open",
                ));
                continue;
            }
            let handled = match framer.next(core.unit(), input) {
                Ok(Some(Located::Input(bytes))) => match core.handle_unit(now, bytes) {
                    Handled::Whole(message) => return Some(Step::Event(Event::Message(message))),
                    other => other,
                },
                Ok(Some(Located::Stash)) => core.handle_unit(now, framer.stashed()),
                Ok(None) => return None,
                Err(error) => {
                    core.fail_framing(error);
                    Handled::Nothing
                }
            };
            match handled {
                Handled::Nothing => core.check_control_bytes(),
                Handled::Whole(message) => return Some(Step::Stashed(message.without_bytes())),
                Handled::Joined(message) => return Some(Step::Joined(message.without_bytes())),
                Handled::SaslInit => return Some(Step::SaslInit),
            }
        }
    }

    /// Output to send now, about 1 MiB at most. None: nothing.
    pub fn poll_transmit(&mut self, now: Nanos) -> Option<Output> {
        self.core.flush();
        let output = self.core.shared.outbox.take()?;
        self.core.idle.note_sent(now);
        Some(output)
    }

    /// Bytes queued and not yet taken by `poll_transmit`, also those that wait for the peer's session window.
    pub fn output_bytes(&self) -> usize {
        let backlog: usize = self.core.sessions.iter().map(Session::backlog_bytes).sum();
        self.core.shared.outbox.bytes() + backlog
    }

    /// When `handle_timeout` wants to be called; may change with every call.
    pub fn poll_timeout(&self) -> Option<Nanos> {
        if self.core.state() == State::Closed { None } else { self.core.idle.next() }
    }

    /// Heartbeats and idle expiry; expiry is reported by `next_event`.
    pub fn handle_timeout(&mut self, now: Nanos) {
        self.core.handle_timeout(now);
    }

    /// True when nothing more has to be said: flush the output, then close the socket (its sending half first, so that the
    /// peer reads what was said last).
    ///
    /// After a close with an error the peer's answer is not waited for: python-qpid-proton does not send it but waits for the
    /// end of the socket to go on to another server. If it comes all the same, it is reported.
    pub fn is_finished(&self) -> bool {
        self.core.state() == State::Closed || self.core.discarding
    }

    /// The peer's open, once it has arrived.
    pub fn peer(&self) -> Option<&Open> {
        self.core.peer.as_ref()
    }

    /// Every delivery that we sent and that got no outcome, in order of delivery per session. For a lost socket, `Close` and
    /// `Failed`.
    pub fn unsettled_tokens(&self) -> Vec<(LinkId, u64)> {
        self.core.unsettled_tokens()
    }

    /// Server: offers other mechanisms than the configuration names. Has no effect once the client's header has arrived.
    pub fn offer_sasl(&mut self, mechanisms: Vec<String>) {
        self.core.shared.config.sasl_mechanisms = mechanisms;
    }

    /// Server: the answer to `SaslInit`. Anything but `Ok` ends the connection.
    pub fn sasl_outcome(&mut self, code: SaslCode) {
        self.core.decide_sasl(code);
    }

    /// Client: at the start. Server: the answer to `Open`. May be followed by `close` at once.
    ///
    /// An empty container-id and a client's absent hostname are taken from the configuration, as are all limits. One with the
    /// property amqp:connection-establishment-failed announces a close and makes the client send heartbeats in quick succession,
    /// by which it finds the end of the socket.
    pub fn open(&mut self, open: Open) {
        self.core.open(open);
    }

    /// Begins a session; links may be attached at once. Answered by `Begun`, or by `End` beyond the peer's channel-max.
    ///
    /// # Panics
    /// If `open` has not been called: nothing can precede it.
    pub fn begin(&mut self) -> SessionId {
        let core = &mut self.core;
        assert!(core.open_sent, "begin before open");
        let free = core.sessions.free_channel(None, core.channel_max());
        let serial = core.shared.next_serial();
        let (Some(channel), State::Opened | State::Header | State::Sasl | State::AmqpHeader | State::Open) =
            (free, core.state())
        else {
            let session = SessionId { channel: u16::MAX, serial };
            let error = Some(Error::new(condition::RESOURCE_LIMIT_EXCEEDED, "no channel is left for another session"));
            core.shared.events.push_back(Event::End { session, error, unsettled: Vec::new() });
            return session;
        };
        let id = SessionId { channel, serial };
        let session = Session::begin(id, &mut core.shared);
        core.sessions.insert(session);
        id
    }

    /// Ends a session; `End` follows.
    pub fn end(&mut self, session: SessionId, error: Option<Error>) {
        self.with(session, |session, shared| session.end(error.as_ref(), shared));
    }

    /// Closes the connection; `Close` follows when the peer answers. Before the opens have been exchanged it just ends.
    pub fn close(&mut self, error: Option<Error>) {
        self.core.close(error.as_ref());
    }

    /// Attaches a link; a receiver may grant credit at once. Answered by `Attached`, or by `Detach` where it cannot be sent.
    pub fn attach(&mut self, session: SessionId, attach: Attach) -> LinkId {
        let gone = LinkId { session, handle: u32::MAX, serial: 0 };
        self.with(session, |session, shared| session.attach(attach, shared)).unwrap_or(gone)
    }

    /// The answer to `Attach`. Name and role are filled in; the modes are the application's answer.
    pub fn accept_link(&mut self, link: LinkId, attach: Attach) {
        self.with_link(link, |session, shared| session.accept_link(link.handle, attach, shared));
    }

    /// Refuses a link: an attach with a null terminus, then a closing detach with the error. No event follows.
    pub fn refuse_link(&mut self, link: LinkId, error: Error) {
        self.with_link(link, |session, shared| session.refuse_link(link.handle, error, shared));
    }

    /// Detaches a link; `Detach` follows when the peer answers.
    pub fn detach(&mut self, link: LinkId, closed: bool, error: Option<Error>) {
        self.with_link(link, |session, shared| session.detach(link.handle, closed, error, shared));
    }

    /// Receiving link: the sender may send `credit` messages from now on, whatever it could before.
    pub fn grant(&mut self, link: LinkId, credit: u32, drain: bool) {
        self.with_link(link, |session, _| session.grant(link.handle, credit, drain));
    }

    /// Receiver's disposition on one delivery; adjacent equal ones leave as one range.
    #[inline]
    pub fn settle(&mut self, session: SessionId, delivery_id: u32, outcome: Outcome, settled: bool) {
        self.settle_range(session, (delivery_id, delivery_id), outcome, settled);
    }

    /// The same for all deliveries from the first to the last number, both included.
    #[inline]
    pub fn settle_range(&mut self, session: SessionId, range: (u32, u32), outcome: Outcome, settled: bool) {
        self.with(session, |session, shared| session.settle(range, outcome, settled, shared));
    }

    /// Queues a message and returns its delivery-id.
    ///
    /// # Errors
    /// See [`SendError`]; nothing was queued then.
    #[inline]
    pub fn send(&mut self, link: LinkId, delivery: Delivery<'_>) -> Result<u32, SendError> {
        self.with_link(link, |session, shared| session.send(link.handle, &delivery, shared))
            .unwrap_or(Err(SendError::NotAttached))
    }

    /// What may be sent now on a sending link; 0 while the session's window is closed and for links that are gone.
    pub fn link_credit(&self, link: LinkId) -> u32 {
        if !matches!(self.core.state(), State::Opened) {
            return 0;
        }
        let session = self.core.sessions.get(link.session).filter(|session| session.has_link(link));
        session.map_or(0, |session| session.link_credit(link.handle))
    }

    /// What the receiver lets a sending link send, whatever the session's window takes of it now; 0 for links that are gone.
    pub fn credit_granted(&self, link: LinkId) -> u32 {
        let session = self.core.sessions.get(link.session).filter(|session| session.has_link(link));
        session.map_or(0, |session| session.credit_granted(link.handle))
    }

    /// Whether a sending link waits for the session's window. When that opens or widens, the link's credit and its drain are
    /// reported anew: until then no drain should be answered, for the credit reported was no more than the window took.
    pub fn is_blocked(&self, link: LinkId) -> bool {
        self.core.sessions.get(link.session).is_some_and(|session| session.has_link(link) && session.is_blocked())
    }

    /// Sending link: there is nothing more to send; answers a drain by giving all credit back, behind what is queued.
    pub fn drained(&mut self, link: LinkId) {
        self.with_link(link, |session, _| session.drained(link.handle));
    }

    /// Sender's settlement of a delivery whose outcome came unsettled.
    pub fn settle_sent(&mut self, session: SessionId, delivery_id: u32, outcome: Option<Outcome>) {
        self.with(session, |session, shared| session.settle_sent(delivery_id, outcome, shared));
    }

    /// Passes a command to its session, if that and the connection still take commands.
    #[inline]
    fn with<T>(&mut self, id: SessionId, command: impl FnOnce(&mut Session, &mut Shared) -> T) -> Option<T> {
        if matches!(self.core.state(), State::CloseSent | State::Closed) {
            return None;
        }
        let session = self.core.sessions.get_mut(id).filter(|session| session.is_usable())?;
        Some(command(session, &mut self.core.shared))
    }

    /// Passes a command to the session of a link, if the link is not gone.
    #[inline]
    fn with_link<T>(&mut self, link: LinkId, command: impl FnOnce(&mut Session, &mut Shared) -> T) -> Option<T> {
        self.with(link.session, |session, shared| session.has_link(link).then(|| command(session, shared))).flatten()
    }
}

/// The configuration with limits that the protocol can carry.
fn bounded(mut config: Config) -> Config {
    config.max_frame_size = config.max_frame_size.max(shared::FRAME_SIZE_MIN_MAX);
    config
}

/// Tag and payload of a transfer that was understood before.
fn transfer_parts(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut reader = Reader::new(Frame::parse(bytes).ok()?.body);
    reader.descriptor().ok()?;
    let mut transfer = Transfer::default();
    transfer.read(Fields::read(&mut reader).ok()?).ok()?;
    Some((transfer.tag.unwrap_or_default(), reader.rest()))
}
