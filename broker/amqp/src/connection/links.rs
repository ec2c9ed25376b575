//! Owns [`Links`]: a session's links by our handle and by the peer's.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::link::Link;

/// No link is attached to a handle of the peer.
const NONE: u32 = u32::MAX;

/// Handles that the peer may use, whatever the configuration says: each costs four bytes once it is used.
pub(super) const HANDLE_MAX: u32 = 65_535;

/// A session's links.
#[derive(Debug, Default)]
pub(super) struct Links {
    by_handle: Vec<Option<Box<Link>>>,
    /// Our handle by the peer's.
    by_remote: Vec<u32>,
}

impl Links {
    /// The lowest handle that is free.
    pub(super) fn free_handle(&self) -> u32 {
        let free = self.by_handle.iter().position(Option::is_none).unwrap_or(self.by_handle.len());
        u32::try_from(free).unwrap_or(u32::MAX)
    }

    /// Adds a link under its own handle, which is free.
    pub(super) fn insert(&mut self, link: Link) -> &mut Link {
        let at = link.id.handle as usize;
        if at >= self.by_handle.len() {
            self.by_handle.resize_with(at + 1, || None);
        }
        let place = &mut self.by_handle[at];
        assert!(place.is_none(), "handle {at} is in use");
        place.insert(Box::new(link))
    }

    #[inline]
    pub(super) fn get(&self, handle: u32) -> Option<&Link> {
        self.by_handle.get(handle as usize)?.as_deref()
    }

    #[inline]
    pub(super) fn get_mut(&mut self, handle: u32) -> Option<&mut Link> {
        self.by_handle.get_mut(handle as usize)?.as_deref_mut()
    }

    /// Our handle of the link that the peer attached to its own.
    #[inline]
    pub(super) fn of_remote(&self, remote: u32) -> Option<u32> {
        self.by_remote.get(remote as usize).copied().filter(|handle| *handle != NONE)
    }

    /// The peer's attach has arrived. The caller has checked the handle against [`HANDLE_MAX`].
    pub(super) fn set_remote(&mut self, handle: u32, remote: u32) {
        let at = remote as usize;
        if at >= self.by_remote.len() {
            self.by_remote.resize(at + 1, NONE);
        }
        self.by_remote[at] = handle;
        if let Some(link) = self.get_mut(handle) {
            link.remote_handle = Some(remote);
        }
    }

    /// Takes a link out and frees both handles.
    pub(super) fn remove(&mut self, handle: u32) -> Option<Box<Link>> {
        let link = self.by_handle.get_mut(handle as usize)?.take()?;
        if let Some(remote) = link.remote_handle {
            self.by_remote[remote as usize] = NONE;
        }
        Some(link)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Link> {
        self.by_handle.iter_mut().filter_map(Option::as_deref_mut)
    }

    pub(super) fn handles(&self) -> impl Iterator<Item = u32> + use<> {
        let handles: Vec<u32> = self.by_handle.iter().flatten().map(|link| link.id.handle).collect();
        handles.into_iter()
    }
}
