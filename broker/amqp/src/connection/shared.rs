//! Owns [`Shared`]: what all sessions of a connection use, and [`Fault`], how far an error of the peer reaches.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;

use super::assembly::{Assembly, AssemblyBudget};
use super::outbox::Outbox;
use super::{Event, LinkId, Message};
use crate::limits::Config;
use crate::performative::{Detach, Disposition, Error, Outcome, Role, put_close, put_end};

/// The largest frame that every peer accepts (core specification 2.4.1).
pub(super) const FRAME_SIZE_MIN_MAX: u32 = 512;

/// The peer broke a rule: what has to end for it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Fault {
    Session(Error),
    /// Our handle.
    Link(u32, Error),
    Connection(Error),
}

impl From<crate::codec::DecodeError> for Fault {
    fn from(error: crate::codec::DecodeError) -> Self {
        Self::Connection(error.into())
    }
}

/// What a header or frame has brought. Most report through [`Shared::events`].
#[derive(Debug)]
pub(super) enum Handled<'f> {
    Nothing,
    /// A message of one frame, borrowed from it.
    Whole(Message<'f>),
    /// A message of several frames: tag and payload are in [`Shared::completed`].
    Joined(Message<'f>),
    /// What the client asked for is with the handshake.
    SaslInit,
}

/// What all sessions of a connection use.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) config: Config,
    pub(super) outbox: Outbox,
    /// Reported before more input is looked at.
    pub(super) events: VecDeque<Event<'static>>,
    /// The largest frame that the peer accepts. Before its open has arrived nothing large is sent.
    pub(super) frame_size_max: u32,
    /// Our links by our role and name, which is how the peers know them.
    pub(super) names: BTreeMap<(Role, String), LinkId>,
    /// Links of all sessions, also those whose detach the peer has not answered.
    pub(super) links: usize,
    /// Sessions and links that were ever begun and attached.
    serial: u32,
    pub(super) assemblies: AssemblyBudget,
    /// The message of several frames that was reported last.
    pub(super) completed: Option<Box<Assembly>>,
}

impl Shared {
    pub(super) fn new(config: Config) -> Self {
        Self {
            config,
            outbox: Outbox::default(),
            events: VecDeque::new(),
            frame_size_max: u32::MAX,
            names: BTreeMap::new(),
            links: 0,
            serial: 0,
            assemblies: AssemblyBudget::default(),
            completed: None,
        }
    }

    /// A number that no session or link of this connection had before.
    pub(super) fn next_serial(&mut self) -> u32 {
        self.serial = self.serial.wrapping_add(1);
        self.serial
    }

    /// Takes the buffer of the message that was reported last.
    pub(super) fn recycle_completed(&mut self) {
        if let Some(assembly) = self.completed.take() {
            self.assemblies.recycle(assembly.payload);
        }
    }

    /// Forgets a name, unless another link has it by now.
    pub(super) fn forget_name(&mut self, role: Role, name: &str, id: LinkId) {
        let key = (role, String::from(name));
        if self.names.get(&key) == Some(&id) {
            self.names.remove(&key);
        }
    }
}

impl Shared {
    /// Sends a detach; what may be long in its error is cut off where the frame would be too large.
    pub(super) fn put_detach(&mut self, channel: u16, mut detach: Detach) {
        if !self.outbox.put_frame(channel, self.frame_size_max, |out| detach.put(out)) {
            detach.error = detach.error.as_ref().map(Error::shortened);
            self.outbox.put_small_frame(channel, |out| detach.put(out));
        }
    }

    /// Sends an end, as `put_detach` does.
    pub(super) fn put_end(&mut self, channel: u16, error: Option<&Error>) {
        if !self.outbox.put_frame(channel, self.frame_size_max, |out| put_end(out, error)) {
            let error = error.map(Error::shortened);
            self.outbox.put_small_frame(channel, |out| put_end(out, error.as_ref()));
        }
    }

    /// Sends a close, as `put_detach` does.
    pub(super) fn put_close(&mut self, error: Option<&Error>) {
        if !self.outbox.put_frame(0, self.frame_size_max, |out| put_close(out, error)) {
            let error = error.map(Error::shortened);
            self.outbox.put_small_frame(0, |out| put_close(out, error.as_ref()));
        }
    }

    /// Sends a disposition, as `put_detach` does.
    pub(super) fn put_disposition(&mut self, channel: u16, mut disposition: Disposition) {
        if !self.outbox.put_frame(channel, self.frame_size_max, |out| disposition.put(out)) {
            disposition.state = disposition.state.as_ref().map(Outcome::shortened);
            self.outbox.put_small_frame(channel, |out| disposition.put(out));
        }
    }
}
