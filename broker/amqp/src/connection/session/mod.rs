//! Owns [`Session`]: its begin and end, and its children. Attaching, receiving, sending and flow each have their own file.

mod attaching;
mod flowing;
mod receiving;
mod sending;

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::dispositions::Dispositions;
use super::links::{HANDLE_MAX, Links};
use super::parcel::Queued;
use super::shared::Shared;
use super::unsettled::Unsettled;
use super::window::Window;
use super::{Event, LinkId, SessionId};
use crate::performative::{Begin, Error, Role};

pub(super) use receiving::Walk;

/// Our sessions number their deliveries from here: not as their transfers, so that the two cannot be confused unnoticed, and not
/// near the wrap as the other counters, because rhea (3.0.5) takes 2^32 for the number after the last.
const INITIAL_DELIVERY_ID: u32 = 0;

/// How far a session has got.
///
/// ```text
///   BeginSent --(peer's begin)--> Mapped <-- the peer's begin is answered at once
///      |                            |
///      |  our end                   |  our end
///      v                            v
///    EndSent <----------------------+
///      |  peer's end
///      v
///   Unmapped <-- from Mapped on the peer's end, which is answered at once
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SessionState {
    /// Our begin was sent; the peer's is awaited.
    BeginSent,
    /// Both begins were exchanged.
    Mapped,
    /// Our end was sent; the peer's is awaited. Only settlements are still looked at.
    EndSent,
    /// The session is gone.
    Unmapped,
}

impl SessionState {
    /// Whether the diagram has this edge.
    pub(super) fn can_become(self, next: Self) -> bool {
        matches!(
            (self, next),
            (Self::BeginSent, Self::Mapped | Self::EndSent)
                | (Self::Mapped, Self::EndSent | Self::Unmapped)
                | (Self::EndSent, Self::Unmapped)
        )
    }
}

/// One session.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) id: SessionId,
    state: SessionState,
    /// The peer's channel, once its begin has arrived.
    pub(super) remote_channel: Option<u16>,
    /// The highest handle that the peer accepts.
    handle_max: u32,
    window: Window,
    links: Links,
    /// Deliveries that we sent.
    pub(super) unsettled: Unsettled,
    /// Deliveries that wait for the peer's window.
    backlog: VecDeque<Queued>,
    /// Payload bytes in the backlog.
    backlog_bytes: usize,
    /// First and last delivery-id that we received.
    received: Option<(u32, u32)>,
    /// Settlements of deliveries that we received.
    dispositions: Dispositions,
    /// Settlements of deliveries that we sent.
    settlements: Dispositions,
    /// A flow of the session is to be sent.
    flow_due: bool,
    /// Links of which a flow is to be sent.
    links_due: Vec<u32>,
    /// The application was told of the end, or of a failure to begin.
    quiet: bool,
}

impl Session {
    /// Begins a session of ours.
    pub(super) fn begin(id: SessionId, shared: &mut Shared) -> Self {
        let session = Self::new(id, SessionState::BeginSent, shared);
        session.put_begin(None, shared);
        session
    }

    /// Answers the peer's begin.
    pub(super) fn answer(id: SessionId, channel: u16, begin: &Begin, shared: &mut Shared) -> Self {
        let mut session = Self::new(id, SessionState::Mapped, shared);
        session.note_begin(channel, begin);
        session.put_begin(Some(channel), shared);
        session
    }

    fn new(id: SessionId, state: SessionState, shared: &Shared) -> Self {
        Self {
            id,
            state,
            remote_channel: None,
            handle_max: u32::MAX,
            window: Window::new(shared.config.incoming_window),
            links: Links::default(),
            unsettled: Unsettled::new(INITIAL_DELIVERY_ID),
            backlog: VecDeque::new(),
            backlog_bytes: 0,
            received: None,
            dispositions: Dispositions::new(Role::Receiver),
            settlements: Dispositions::new(Role::Sender),
            flow_due: false,
            links_due: Vec::new(),
            quiet: false,
        }
    }

    fn put_begin(&self, remote_channel: Option<u16>, shared: &mut Shared) {
        let begin = self.window.begin(remote_channel, shared.config.handle_max.min(HANDLE_MAX));
        shared.outbox.put_small_frame(self.id.channel, |out| begin.put(out));
    }

    fn note_begin(&mut self, channel: u16, begin: &Begin) {
        self.remote_channel = Some(channel);
        self.handle_max = begin.handle_max;
        self.window.handle_begin(begin);
    }

    fn set_state(&mut self, next: SessionState) {
        assert!(self.state.can_become(next), "session {:?}: {:?} cannot become {next:?}", self.id, self.state);
        self.state = next;
    }

    /// Waits for the peer's begin.
    pub(super) fn awaits_begin(&self) -> bool {
        self.remote_channel.is_none() && matches!(self.state, SessionState::BeginSent | SessionState::EndSent)
    }

    /// Commands have no effect once our end was sent.
    pub(super) fn is_usable(&self) -> bool {
        matches!(self.state, SessionState::BeginSent | SessionState::Mapped)
    }

    /// The peer answers our begin.
    pub(super) fn handle_begin(&mut self, channel: u16, begin: &Begin, shared: &mut Shared) {
        self.note_begin(channel, begin);
        if self.state == SessionState::BeginSent {
            self.set_state(SessionState::Mapped);
            shared.events.push_back(Event::Begun(self.id));
        }
    }

    /// Our end.
    pub(super) fn end(&mut self, error: Option<&Error>, shared: &mut Shared) {
        if self.is_usable() {
            self.flush(shared);
            shared.put_end(self.id.channel, error);
            self.set_state(SessionState::EndSent);
        }
    }

    /// The peer broke a rule of the session: it ends, and the application is told at once.
    pub(super) fn fail(&mut self, error: Error, shared: &mut Shared) {
        if self.is_usable() {
            self.end(Some(&error), shared);
            self.report_end(Some(error), shared);
        }
    }

    /// The peer's end, which is answered. The caller forgets the session.
    pub(super) fn handle_end(&mut self, error: Option<Error>, shared: &mut Shared) {
        if self.state == SessionState::Mapped {
            self.flush(shared);
            shared.put_end(self.id.channel, None);
        }
        self.set_state(SessionState::Unmapped);
        self.report_end(error, shared);
    }

    fn report_end(&mut self, error: Option<Error>, shared: &mut Shared) {
        if self.quiet {
            return;
        }
        self.quiet = true;
        let unsettled = self.unsettled_tokens().collect();
        for handle in self.links.handles() {
            self.release_link(handle, shared);
        }
        self.backlog.clear();
        self.backlog_bytes = 0;
        self.unsettled = Unsettled::new(INITIAL_DELIVERY_ID);
        shared.events.push_back(Event::End { session: self.id, error, unsettled });
    }

    /// Deliveries that we sent and that got no outcome.
    pub(super) fn unsettled_tokens(&self) -> impl Iterator<Item = (LinkId, u64)> + '_ {
        self.unsettled.waiting().filter_map(|(handle, token)| Some((self.links.get(handle)?.id, token)))
    }

    /// Whether the link is one of this session and not gone.
    #[inline]
    pub(super) fn has_link(&self, id: LinkId) -> bool {
        self.links.get(id.handle).is_some_and(|link| link.id == id)
    }

    /// Bytes waiting for the peer's window.
    pub(super) fn backlog_bytes(&self) -> usize {
        self.backlog_bytes
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_edges_are_those_of_the_diagram() {
        use super::SessionState::*;
        let edges =
            [(BeginSent, Mapped), (BeginSent, EndSent), (Mapped, EndSent), (Mapped, Unmapped), (EndSent, Unmapped)];
        for from in [BeginSent, Mapped, EndSent, Unmapped] {
            for to in [BeginSent, Mapped, EndSent, Unmapped] {
                assert_eq!(from.can_become(to), edges.contains(&(from, to)), "{from:?} -> {to:?}");
            }
        }
    }
}
