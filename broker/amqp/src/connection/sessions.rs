//! Owns [`Sessions`]: a connection's sessions by our channel and by the peer's.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::SessionId;
use super::session::Session;

/// A connection's sessions. Both tables are bounded by the channel-max of their side.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    by_channel: Vec<Option<Box<Session>>>,
    by_remote: Vec<Option<u16>>,
}

impl Sessions {
    /// The lowest channel that is free, up to `channel_max`; `wanted` if that is free.
    pub(super) fn free_channel(&self, wanted: Option<u16>, channel_max: u16) -> Option<u16> {
        let is_free = |channel: &u16| self.by_channel.get(usize::from(*channel)).is_none_or(Option::is_none);
        let wanted = wanted.filter(|channel| *channel <= channel_max && is_free(channel));
        wanted.or_else(|| (0..=channel_max).find(is_free))
    }

    /// Adds a session under its own channel, which is free.
    pub(super) fn insert(&mut self, session: Session) {
        let at = usize::from(session.id.channel);
        if at >= self.by_channel.len() {
            self.by_channel.resize_with(at + 1, || None);
        }
        assert!(self.by_channel[at].is_none(), "channel {at} is in use");
        if let Some(remote) = session.remote_channel {
            self.set_remote(session.id, remote);
        }
        self.by_channel[at] = Some(Box::new(session));
    }

    /// The peer's begin has arrived on this channel.
    pub(super) fn set_remote(&mut self, id: SessionId, remote: u16) {
        let at = usize::from(remote);
        if at >= self.by_remote.len() {
            self.by_remote.resize(at + 1, None);
        }
        self.by_remote[at] = Some(id.channel);
    }

    #[inline]
    pub(super) fn get(&self, id: SessionId) -> Option<&Session> {
        self.by_channel.get(usize::from(id.channel))?.as_deref().filter(|session| session.id == id)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, id: SessionId) -> Option<&mut Session> {
        self.on_channel(id.channel).filter(|session| session.id == id)
    }

    /// The session on a channel of ours.
    #[inline]
    pub(super) fn on_channel(&mut self, channel: u16) -> Option<&mut Session> {
        self.by_channel.get_mut(usize::from(channel))?.as_deref_mut()
    }

    /// The session that the peer began or answered on this channel.
    #[inline]
    pub(super) fn of_remote(&mut self, remote: u16) -> Option<&mut Session> {
        let channel = (*self.by_remote.get(usize::from(remote))?)?;
        self.on_channel(channel)
    }

    /// Forgets a session and frees both channels.
    pub(super) fn remove(&mut self, id: SessionId) {
        let Some(place) = self.by_channel.get_mut(usize::from(id.channel)) else { return };
        if let Some(remote) = place.take().and_then(|session| session.remote_channel) {
            self.by_remote[usize::from(remote)] = None;
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Session> {
        self.by_channel.iter().filter_map(Option::as_deref)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Session> {
        self.by_channel.iter_mut().filter_map(Option::as_deref_mut)
    }
}
