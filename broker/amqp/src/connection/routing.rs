//! Owns [`Core`]: routes frames to whoever owns their state, and ends what a fault of the peer reaches.

use alloc::vec::Vec;

use super::framer::{FRAME_TYPE_AMQP, Frame, FramingError, Unit};
use super::handshake::{SaslRequest, Side};
use super::idle::{Due, Idle};
use super::session::{Session, Walk};
use super::sessions::Sessions;
use super::shared::{Fault, Handled, Shared};
use super::state::State;
use super::{Event, LinkId, Nanos, SessionId};
use crate::codec::{DecodeError, Fields, Reader, descriptor};
use crate::condition;
use crate::limits::Config;
use crate::performative::{Attach, Begin, Detach, Disposition, Error, Flow, Open, Transfer, read_error_field};

/// Control frames that a peer can make us queue without reading any of them.
const CONTROL_BYTES_MAX: usize = 4 << 20;

/// Everything of a connection but its input.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) side: Side,
    state: State,
    /// Our close was sent with an error: the socket can be closed without the peer's answer.
    pub(super) discarding: bool,
    /// Our open was sent or queued.
    pub(super) open_sent: bool,
    pub(super) peer: Option<Open>,
    /// What the client asked for in SASL, while the application decides.
    pub(super) sasl_request: Option<SaslRequest>,
    pub(super) shared: Shared,
    pub(super) sessions: Sessions,
    /// The disposition that is being reported.
    walk: Option<Walk>,
    pub(super) idle: Idle,
}

impl Core {
    pub(super) fn new(config: Config, side: Side, now: Nanos) -> Self {
        let idle = Idle::new(now, config.idle_timeout_ms, config.limits.handshake_timeout_ms);
        Self {
            side,
            state: State::Header,
            discarding: false,
            open_sent: false,
            peer: None,
            sasl_request: None,
            shared: Shared::new(config),
            sessions: Sessions::default(),
            walk: None,
            idle,
        }
    }

    pub(super) fn state(&self) -> State {
        self.state
    }

    pub(super) fn set_state(&mut self, next: State) {
        assert!(self.state.can_become(next), "connection: {:?} cannot become {next:?}", self.state);
        self.state = next;
    }

    /// What is reported before more input is looked at. Outcomes come first: they were in the input before all else.
    pub(super) fn next_pending(&mut self) -> Option<Event<'static>> {
        if let Some(walk) = &mut self.walk {
            let outcome = self.sessions.get_mut(walk.session).and_then(|session| session.next_outcome(walk));
            if outcome.is_some() {
                return outcome;
            }
            self.walk = None;
        }
        self.shared.events.pop_front()
    }

    /// What the next input is.
    pub(super) fn unit(&self) -> Unit {
        match self.state {
            State::Header | State::AmqpHeader => Unit::Header,
            State::Sasl | State::SaslDecision | State::Open => {
                Unit::Frame { size_max: self.shared.config.limits.handshake_frame_size_max }
            }
            _ => Unit::Frame { size_max: self.shared.config.max_frame_size },
        }
    }

    /// A protocol header or a frame.
    #[inline]
    pub(super) fn handle_unit<'f>(&mut self, now: Nanos, bytes: &'f [u8]) -> Handled<'f> {
        self.idle.note_received(now);
        if matches!(self.state, State::Header | State::AmqpHeader) {
            self.handle_header(bytes);
            return Handled::Nothing;
        }
        let frame = match Frame::parse(bytes) {
            Ok(frame) => frame,
            Err(error) => {
                self.fail_framing(error);
                return Handled::Nothing;
            }
        };
        match self.handle_frame(frame) {
            Ok(handled) => handled,
            Err(fault) => {
                self.handle_fault(frame.channel, fault);
                Handled::Nothing
            }
        }
    }

    #[inline]
    fn handle_frame<'f>(&mut self, frame: Frame<'f>) -> Result<Handled<'f>, Fault> {
        if self.state == State::Sasl {
            return self.handle_sasl(frame);
        }
        if frame.kind != FRAME_TYPE_AMQP {
            let words = "a SASL frame after the SASL exchange";
            return Err(Fault::Connection(Error::new(condition::CONNECTION_FRAMING_ERROR, words)));
        }
        if frame.body.is_empty() {
            return Ok(Handled::Nothing); // A heartbeat.
        }
        if frame.channel > self.shared.config.channel_max {
            let words = "a channel exceeds the channel-max of the connection";
            return Err(Fault::Connection(Error::new(condition::CONNECTION_FRAMING_ERROR, words)));
        }
        let mut reader = Reader::new(frame.body);
        let code = reader.descriptor()?;
        let fields = Fields::read(&mut reader)?;
        if code == descriptor::TRANSFER && self.state == State::Opened {
            return self.handle_transfer(frame.channel, fields, reader.rest());
        }
        if frame.body.len() > self.shared.config.limits.performative_size_max && code != descriptor::TRANSFER {
            let words = "a performative is larger than this container takes";
            return Err(Fault::Connection(Error::new(condition::RESOURCE_LIMIT_EXCEEDED, words)));
        }
        if !reader.is_empty() && code != descriptor::TRANSFER {
            return Err(DecodeError::WrongSize.into());
        }
        self.handle_performative(frame.channel, code, fields)?;
        Ok(Handled::Nothing)
    }

    #[inline]
    fn handle_transfer<'f>(
        &mut self,
        channel: u16,
        fields: Fields<'f>,
        payload: &'f [u8],
    ) -> Result<Handled<'f>, Fault> {
        let mut transfer = Transfer::default();
        transfer.read(fields)?;
        let session = self.sessions.of_remote(channel).ok_or_else(unmapped)?;
        if !session.is_usable() {
            return Ok(Handled::Nothing);
        }
        session.handle_transfer(&mut transfer, payload, &mut self.shared)
    }

    fn handle_performative(&mut self, channel: u16, code: u8, fields: Fields<'_>) -> Result<(), Fault> {
        match (self.state, code) {
            (_, descriptor::OPEN) => return self.handle_open(Open::read(fields)?),
            (_, descriptor::CLOSE) => return self.handle_close(read_error_field(fields)?),
            (State::Opened, _) => {}
            // Our close is under way: settlements still count, all else is void.
            (State::CloseSent, descriptor::DISPOSITION) => {}
            (State::CloseSent, descriptor::BEGIN..=descriptor::END) => return Ok(()),
            (_, descriptor::BEGIN..=descriptor::END) => {
                return Err(Fault::Connection(Error::new(condition::ILLEGAL_STATE, "a frame before the open")));
            }
            _ => {}
        }
        match code {
            descriptor::BEGIN => self.handle_begin(channel, &Begin::read(fields)?),
            descriptor::ATTACH => {
                let (handle, attach) = Attach::read(fields)?;
                self.handle_attach(channel, handle, attach)
            }
            descriptor::FLOW => {
                let flow = Flow::read(fields)?;
                self.with_session(channel, |session, shared| session.handle_flow(&flow, shared))
            }
            descriptor::DISPOSITION => self.handle_disposition(channel, Disposition::read(fields)?),
            descriptor::DETACH => {
                let detach = Detach::read(fields)?;
                self.with_session(channel, |session, shared| session.handle_detach(detach, shared))
            }
            descriptor::END => self.handle_end(channel, read_error_field(fields)?),
            _ => Err(DecodeError::UnexpectedDescriptor.into()),
        }
    }

    /// Passes a frame to its session. One whose end was sent passes it over.
    fn with_session(
        &mut self,
        channel: u16,
        handle: impl FnOnce(&mut Session, &mut Shared) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let session = self.sessions.of_remote(channel).ok_or_else(unmapped)?;
        if session.is_usable() { handle(session, &mut self.shared) } else { Ok(()) }
    }

    fn handle_begin(&mut self, channel: u16, begin: &Begin) -> Result<(), Fault> {
        let refuse = |words: &str| Err(Fault::Connection(Error::new(condition::NOT_ALLOWED, words)));
        if self.sessions.of_remote(channel).is_some() {
            return refuse("a begin on a channel that has a session");
        }
        if let Some(ours) = begin.remote_channel {
            return match self.sessions.on_channel(ours) {
                Some(session) if session.awaits_begin() => {
                    let id = session.id;
                    session.handle_begin(channel, begin, &mut self.shared);
                    self.sessions.set_remote(id, channel);
                    Ok(())
                }
                _ => refuse("a begin answers no begin of ours"),
            };
        }
        let Some(ours) = self.sessions.free_channel(Some(channel), self.channel_max()) else {
            let words = "no channel is left to answer with";
            return Err(Fault::Connection(Error::new(condition::RESOURCE_LIMIT_EXCEEDED, words)));
        };
        let id = SessionId { channel: ours, serial: self.shared.next_serial() };
        let session = Session::answer(id, channel, begin, &mut self.shared);
        self.sessions.insert(session);
        self.shared.events.push_back(Event::Begin(id));
        Ok(())
    }

    /// The highest channel that we may use.
    pub(super) fn channel_max(&self) -> u16 {
        let ours = self.shared.config.channel_max.min(u16::MAX - 1);
        self.peer.as_ref().map_or(ours, |peer| peer.channel_max.min(ours))
    }

    /// An attach. A link that is attached already under this name and role is taken away from where it was.
    fn handle_attach(&mut self, channel: u16, handle: u32, attach: Attach) -> Result<(), Fault> {
        let key = (attach.role.opposite(), attach.name);
        let held = self.shared.names.get(&key).copied();
        let attach = Attach { name: key.1, ..attach };
        if let Some(id) = held
            && let Some(holder) = self.sessions.get_mut(id.session)
            && !holder.awaits_attach(id)
        {
            let error = Error::new(condition::LINK_STOLEN, "the link was attached again");
            holder.fail_link(id.handle, false, error, &mut self.shared);
        }
        self.with_session(channel, |session, shared| session.handle_attach(handle, attach, shared))
    }

    fn handle_disposition(&mut self, channel: u16, disposition: Disposition) -> Result<(), Fault> {
        let Some(session) = self.sessions.of_remote(channel) else {
            return if self.state == State::CloseSent { Ok(()) } else { Err(unmapped()) };
        };
        self.walk = session.handle_disposition(disposition, &mut self.shared)?;
        Ok(())
    }

    fn handle_end(&mut self, channel: u16, error: Option<Error>) -> Result<(), Fault> {
        let session = self.sessions.of_remote(channel).ok_or_else(unmapped)?;
        let id = session.id;
        session.handle_end(error, &mut self.shared);
        self.sessions.remove(id);
        Ok(())
    }

    fn handle_fault(&mut self, channel: u16, fault: Fault) {
        let shared = &mut self.shared;
        match fault {
            Fault::Connection(error) => self.fail(error),
            Fault::Session(error) => match self.sessions.of_remote(channel) {
                Some(session) => session.fail(error, shared),
                None => self.fail(error),
            },
            Fault::Link(handle, error) => match self.sessions.of_remote(channel) {
                Some(session) => session.fail_link(handle, true, error, shared),
                None => self.fail(error),
            },
        }
    }

    pub(super) fn fail_framing(&mut self, error: FramingError) {
        self.fail(Error::new(condition::CONNECTION_FRAMING_ERROR, alloc::format!("{error}")));
    }

    /// A peer that makes us answer and reads nothing must not fill our memory.
    pub(super) fn check_control_bytes(&mut self) {
        if self.shared.outbox.control_bytes() > CONTROL_BYTES_MAX {
            self.fail(Error::new(condition::RESOURCE_LIMIT_EXCEEDED, "too many answers wait to be read"));
        }
    }

    /// Ends the connection for an error that we found.
    pub(super) fn fail(&mut self, error: Error) {
        if self.state == State::Closed {
            return;
        }
        if !self.state.is_before_open() && self.state != State::CloseSent {
            if !self.open_sent {
                self.put_open(Open::default());
            }
            self.shared.put_close(Some(&error));
        }
        self.set_state(State::Closed);
        self.shared.events.push_back(Event::Failed(error));
    }

    /// Sends what was collected.
    pub(super) fn flush(&mut self) {
        if !matches!(self.state, State::CloseSent | State::Closed) {
            for session in self.sessions.iter_mut() {
                session.flush(&mut self.shared);
            }
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Nanos) {
        if self.state == State::Closed {
            return;
        }
        self.idle.note_now(now);
        match self.idle.due(now) {
            Some(Due::Heartbeat) => {
                if self.shared.outbox.is_empty() && self.open_sent {
                    self.shared.outbox.shrink();
                    self.shared.outbox.put_small_frame(0, |_| {});
                }
                self.idle.note_sent(now); // Output that the socket has not taken is as good as a heartbeat.
            }
            Some(Due::Silence) => {
                self.fail(Error::new(condition::RESOURCE_LIMIT_EXCEEDED, "nothing was heard for the idle time-out"));
            }
            Some(Due::Phase) => {
                let words = "the peer took too long to open or to close the connection";
                self.fail(Error::new(condition::RESOURCE_LIMIT_EXCEEDED, words));
            }
            None => {}
        }
    }

    /// Every delivery that we sent and that got no outcome.
    pub(super) fn unsettled_tokens(&self) -> Vec<(LinkId, u64)> {
        self.sessions.iter().flat_map(Session::unsettled_tokens).collect()
    }
}

/// A frame on a channel that has no session.
fn unmapped() -> Fault {
    Fault::Connection(Error::new(condition::NOT_ALLOWED, "a frame on a channel that has no session"))
}
