//! Owns how a connection begins and ends: protocol headers, SASL, open and close.

use alloc::string::String;
use alloc::vec::Vec;

use super::Event;
use super::framer::{FRAME_TYPE_SASL, Frame};
use super::routing::Core;
use super::shared::{FRAME_SIZE_MIN_MAX, Fault, Handled};
use super::state::State;
use crate::codec::{DecodeError, Fields, Reader, descriptor};
use crate::condition;
use crate::performative::{Error, Open, SaslInit, SaslOutcome, put_mechanisms, read_mechanisms};
use crate::sasl::{ClientSasl, SaslCode};

const HEADER_AMQP: [u8; 8] = *b"AMQP\x00\x01\x00\x00";
const HEADER_SASL: [u8; 8] = *b"AMQP\x03\x01\x00\x00";

/// Frames that we send are not larger than this, whatever the peer accepts, so that links of a session take turns.
const FRAME_SIZE_SENT_MAX: u32 = 1 << 20;

/// What a client that is turned away is told as our idle time-out, in milliseconds. python-qpid-proton does not read after a
/// close with amqp:connection:forced, so that only writing tells it that the socket is gone and that it may go on to another
/// server: the heartbeats that it sends for this make it write soon.
const REFUSED_IDLE_TIMEOUT_MS: u32 = 400;

/// Which end this is.
#[derive(Debug)]
pub(super) enum Side {
    Client { sasl: Option<ClientSasl> },
    Server,
}

/// What a client asked for in SASL.
#[derive(Debug)]
pub(super) struct SaslRequest {
    pub(super) mechanism: String,
    pub(super) response: Vec<u8>,
    pub(super) hostname: Option<String>,
}

impl Core {
    /// A client speaks first.
    pub(super) fn start_client(&mut self) {
        match &self.side {
            Side::Client { sasl: Some(_) } => {
                self.shared.outbox.set_gated(true);
                self.shared.outbox.put_preface(&HEADER_SASL);
            }
            Side::Client { sasl: None } => self.shared.outbox.put_preface(&HEADER_AMQP),
            Side::Server => {}
        }
    }

    /// A protocol header.
    pub(super) fn handle_header(&mut self, header: &[u8]) {
        let (sasl_expected, plain_expected) = match (&self.side, self.state()) {
            (_, State::AmqpHeader) | (Side::Client { sasl: None }, _) => (false, true),
            (Side::Client { sasl: Some(_) }, _) => (true, false),
            (Side::Server, _) => (true, !self.shared.config.require_sasl),
        };
        let is_server = matches!(self.side, Side::Server);
        if header == HEADER_AMQP && plain_expected {
            if is_server {
                self.shared.outbox.put_preface(&HEADER_AMQP);
            }
            return self.set_state(State::Open);
        }
        if header == HEADER_SASL && sasl_expected {
            if is_server {
                self.shared.outbox.put_preface(&HEADER_SASL);
                let mechanisms = &self.shared.config.sasl_mechanisms;
                self.shared.outbox.put_preface_frame(FRAME_TYPE_SASL, |out| put_mechanisms(out, mechanisms));
            }
            return self.set_state(State::Sasl);
        }
        if is_server {
            // The specification's answer to an unknown header: one that would have been accepted, then the end.
            self.shared.outbox.put_preface(if sasl_expected { &HEADER_SASL } else { &HEADER_AMQP });
        }
        self.fail(Error::new(condition::CONNECTION_FRAMING_ERROR, "the peer's protocol header is not supported here"));
    }

    /// A frame of the SASL exchange.
    pub(super) fn handle_sasl<'f>(&mut self, frame: Frame<'f>) -> Result<Handled<'f>, Fault> {
        if frame.kind != FRAME_TYPE_SASL {
            let words = "an AMQP frame within the SASL exchange";
            return Err(Fault::Connection(Error::new(condition::CONNECTION_FRAMING_ERROR, words)));
        }
        let mut reader = Reader::new(frame.body);
        let code = reader.descriptor()?;
        let fields = Fields::read(&mut reader)?;
        match (&self.side, code) {
            (Side::Server, descriptor::SASL_INIT) => self.handle_sasl_init(SaslInit::read(fields)?),
            (Side::Client { .. }, descriptor::SASL_MECHANISMS) => {
                self.choose_mechanism(&read_mechanisms(fields)?);
                Ok(Handled::Nothing)
            }
            (Side::Client { .. }, descriptor::SASL_OUTCOME) => {
                self.handle_sasl_outcome(SaslOutcome::read(fields)?.code);
                Ok(Handled::Nothing)
            }
            _ => Err(DecodeError::UnexpectedDescriptor.into()),
        }
    }

    fn handle_sasl_init<'f>(&mut self, init: SaslInit<'_>) -> Result<Handled<'f>, Fault> {
        if !self.shared.config.sasl_mechanisms.iter().any(|name| name == init.mechanism) {
            self.put_sasl_outcome(SaslCode::Auth);
            let words = "the client chose a SASL mechanism that was not offered";
            return Err(Fault::Connection(Error::new(condition::UNAUTHORIZED_ACCESS, words)));
        }
        self.sasl_request = Some(SaslRequest {
            mechanism: init.mechanism.into(),
            response: init.response.unwrap_or_default().to_vec(),
            hostname: init.hostname.map(String::from),
        });
        self.set_state(State::SaslDecision);
        Ok(Handled::SaslInit)
    }

    fn choose_mechanism(&mut self, offered: &[String]) {
        let Side::Client { sasl: Some(sasl) } = &self.side else { return };
        let mechanism = sasl.mechanism();
        if !offered.iter().any(|name| name == mechanism) {
            let words = alloc::format!("the server does not offer SASL {mechanism} but {}", offered.join(", "));
            return self.fail(Error::new(condition::UNAUTHORIZED_ACCESS, words));
        }
        let response = sasl.initial_response();
        let hostname = self.shared.config.hostname.as_deref();
        let init = SaslInit { mechanism, response: Some(&response), hostname };
        self.shared.outbox.put_preface_frame(FRAME_TYPE_SASL, |out| init.put(out));
    }

    fn handle_sasl_outcome(&mut self, code: SaslCode) {
        self.shared.events.push_back(Event::SaslOutcome(code));
        if code == SaslCode::Ok {
            self.shared.outbox.put_preface(&HEADER_AMQP);
            self.shared.outbox.set_gated(false);
            self.set_state(State::AmqpHeader);
        } else {
            self.set_state(State::Closed);
        }
    }

    fn put_sasl_outcome(&mut self, code: SaslCode) {
        let outcome = SaslOutcome { code };
        self.shared.outbox.put_preface_frame(FRAME_TYPE_SASL, |out| outcome.put(out));
    }

    /// The application's answer to a SASL request.
    pub(super) fn decide_sasl(&mut self, code: SaslCode) {
        if self.state() == State::SaslDecision {
            self.sasl_request = None;
            self.put_sasl_outcome(code);
            self.set_state(if code == SaslCode::Ok { State::AmqpHeader } else { State::Closed });
        }
    }

    /// The application's open.
    pub(super) fn open(&mut self, open: Open) {
        if self.open_sent || self.state() == State::Closed {
            return;
        }
        self.put_open(open);
        if self.state() == State::OpenDecision {
            self.set_state(State::Opened);
        }
    }

    /// Sends our open; its limits are those that we enforce.
    pub(super) fn put_open(&mut self, mut open: Open) {
        let config = &self.shared.config;
        open.max_frame_size = config.max_frame_size;
        open.channel_max = config.channel_max;
        // Half of what we enforce, so that a peer that sends at the last moment is not cut off.
        open.idle_timeout_ms = (config.idle_timeout_ms > 0).then_some((config.idle_timeout_ms / 2).max(1));
        if open.property(condition::CONNECTION_ESTABLISHMENT_FAILED).is_some() {
            open.idle_timeout_ms = Some(REFUSED_IDLE_TIMEOUT_MS);
        }
        if open.container_id.is_empty() {
            open.container_id.clone_from(&config.container_id);
        }
        if open.hostname.is_none() && matches!(self.side, Side::Client { .. }) {
            open.hostname.clone_from(&config.hostname);
        }
        self.open_sent = true;
        // An open has to be sent whole: the peer's limit is not known yet, or it is the limit of a peer that we refuse.
        let sent = self.shared.outbox.put_frame(0, u32::MAX, |out| open.put(out));
        debug_assert!(sent, "no open is larger than 4 GiB");
    }

    /// The peer's open.
    pub(super) fn handle_open(&mut self, open: Open) -> Result<(), Fault> {
        if self.peer.is_some() {
            return Err(Fault::Connection(Error::new(condition::ILLEGAL_STATE, "a second open")));
        }
        let frame_size_max = open.max_frame_size;
        if frame_size_max < FRAME_SIZE_MIN_MAX {
            let words = "max-frame-size is below the 512 bytes that everybody has to accept";
            return Err(Fault::Connection(Error::new(condition::FRAME_SIZE_TOO_SMALL, words)));
        }
        self.shared.frame_size_max = frame_size_max.min(FRAME_SIZE_SENT_MAX);
        self.idle.set_peer_timeout(open.idle_timeout_ms);
        self.peer = Some(open);
        if self.state() == State::Open {
            self.idle.end_phase();
            self.set_state(if self.open_sent { State::Opened } else { State::OpenDecision });
            self.shared.events.push_back(Event::Open);
        }
        Ok(())
    }

    /// Our close.
    pub(super) fn close(&mut self, error: Option<&Error>) {
        match self.state() {
            State::CloseSent | State::Closed => {}
            State::Opened | State::Open if self.open_sent => {
                self.flush();
                self.shared.put_close(error);
                self.idle.set_phase(self.shared.config.limits.handshake_timeout_ms);
                self.discarding = error.is_some();
                self.set_state(State::CloseSent);
            }
            State::OpenDecision => {
                self.open(Open::default());
                self.close(error);
            }
            _ => self.set_state(State::Closed),
        }
    }

    /// The peer's close, which is answered.
    pub(super) fn handle_close(&mut self, error: Option<Error>) -> Result<(), Fault> {
        if self.state() != State::CloseSent {
            if !self.open_sent {
                self.put_open(Open::default());
            }
            self.shared.put_close(None);
        }
        self.set_state(State::Closed);
        self.shared.events.push_back(Event::Close { error });
        Ok(())
    }
}
