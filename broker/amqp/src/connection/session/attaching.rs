//! Owns attach and detach: who answers what, refusals, and what the application learns when a link is gone.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use super::super::link::{End, INITIAL_DELIVERY_COUNT, Link, LinkState};
use super::super::links::HANDLE_MAX;
use super::super::shared::{Fault, Shared};
use super::super::{Event, LinkId};
use super::Session;
use crate::condition;
use crate::performative::{Attach, Detach, Error, Role};

/// Longest name of a link that a peer attaches, in bytes: names are kept.
const NAME_BYTES_MAX: usize = 4096;

/// Links beyond the limit whose refusal the peer has not answered. More is an attack.
const REFUSED_LINKS_MAX: usize = 256;

impl Session {
    /// Attaches a link of ours. The identifier is good for commands at once; what cannot be sent is reported as detached.
    pub(in super::super) fn attach(&mut self, attach: Attach, shared: &mut Shared) -> LinkId {
        let id = self.new_link_id(shared);
        match self.try_attach(id, attach, shared) {
            Ok(()) => {}
            Err(error) => {
                shared.events.push_back(Event::Detach {
                    link: id,
                    closed: true,
                    error: Some(error),
                    unsettled: Vec::new(),
                });
            }
        }
        id
    }

    fn new_link_id(&self, shared: &mut Shared) -> LinkId {
        LinkId { session: self.id, handle: self.links.free_handle(), serial: shared.next_serial() }
    }

    fn try_attach(&mut self, id: LinkId, mut attach: Attach, shared: &mut Shared) -> Result<(), Error> {
        if id.handle > self.handle_max.min(HANDLE_MAX) {
            return Err(Error::new(
                condition::RESOURCE_LIMIT_EXCEEDED,
                "the peer accepts no more links in this session",
            ));
        }
        if shared.names.contains_key(&(attach.role, attach.name.clone())) {
            return Err(Error::new(condition::NOT_ALLOWED, "a link of this name and role is attached already"));
        }
        let mut link = Link::new(id, &attach, attach.role, LinkState::AttachSent);
        complete(&mut attach, &mut link, shared);
        self.put_attach(&attach, id.handle, shared)?;
        shared.names.insert((attach.role, attach.name), id);
        shared.links += 1;
        self.links.insert(link);
        Ok(())
    }

    fn put_attach(&self, attach: &Attach, handle: u32, shared: &mut Shared) -> Result<(), Error> {
        if shared.outbox.put_frame(self.id.channel, shared.frame_size_max, |out| attach.put(out, handle)) {
            return Ok(());
        }
        Err(Error::new(condition::FRAME_SIZE_TOO_SMALL, "the attach is larger than the peer's max-frame-size"))
    }

    /// The peer's attach: the answer to ours, or a link of its own.
    pub(in super::super) fn handle_attach(
        &mut self,
        remote: u32,
        attach: Attach,
        shared: &mut Shared,
    ) -> Result<(), Fault> {
        if remote > shared.config.handle_max.min(HANDLE_MAX) {
            let error =
                Error::new(condition::CONNECTION_FRAMING_ERROR, "a handle exceeds the handle-max of the session");
            return Err(Fault::Connection(error));
        }
        if attach.name.len() > NAME_BYTES_MAX {
            return Err(Fault::Session(Error::new(condition::INVALID_FIELD, "the link's name is too long")));
        }
        if self.links.of_remote(remote).is_some() {
            return Err(Fault::Session(Error::new(condition::SESSION_HANDLE_IN_USE, "the handle is in use")));
        }
        let key = (attach.role.opposite(), attach.name);
        let ours = shared.names.get(&key).copied();
        let attach = Attach { name: key.1, ..attach };
        match ours {
            Some(id) if self.awaits_attach(id) => self.handle_answer(id, remote, attach, shared),
            _ => self.handle_offer(remote, attach, shared)?,
        }
        Ok(())
    }

    /// Whether a link is one that we attached and the peer has not.
    pub(in super::super) fn awaits_attach(&self, id: LinkId) -> bool {
        self.links.get(id.handle).filter(|link| link.id == id).is_some_and(|link| {
            link.remote_handle.is_none() && matches!(link.state(), LinkState::AttachSent | LinkState::DetachSent)
        })
    }

    fn handle_answer(&mut self, id: LinkId, remote: u32, attach: Attach, shared: &mut Shared) {
        self.links.set_remote(id.handle, remote);
        let Some(link) = self.links.get_mut(id.handle) else { return };
        link.note_attach(&attach);
        if link.state() == LinkState::AttachSent {
            link.set_state(LinkState::Attached);
            shared.events.push_back(Event::Attached { link: id, attach: Box::new(attach) });
        }
    }

    fn handle_offer(&mut self, remote: u32, attach: Attach, shared: &mut Shared) -> Result<(), Fault> {
        let id = self.new_link_id(shared);
        let handle = id.handle;
        if handle > self.handle_max {
            let error = Error::new(condition::RESOURCE_LIMIT_EXCEEDED, "no handle is left to answer with");
            return Err(Fault::Session(error));
        }
        let mut link = Link::new(id, &attach, attach.role.opposite(), LinkState::Offered);
        link.note_attach(&attach);
        self.links.insert(link);
        self.links.set_remote(handle, remote);
        shared.links += 1;
        let beyond = shared.links.saturating_sub(shared.config.limits.links_max);
        if beyond > 0 {
            let error = Error::new(condition::RESOURCE_LIMIT_EXCEEDED, "too many links in this connection");
            if beyond > REFUSED_LINKS_MAX {
                return Err(Fault::Connection(error));
            }
            self.refuse_link(handle, error, shared);
            return Ok(());
        }
        shared.names.insert((attach.role.opposite(), attach.name.clone()), id);
        shared.events.push_back(Event::Attach { link: id, attach: Box::new(attach) });
        Ok(())
    }

    /// The application's answer to an offered link.
    pub(in super::super) fn accept_link(&mut self, handle: u32, mut attach: Attach, shared: &mut Shared) {
        let Some(link) = self.links.get_mut(handle) else { return };
        if link.state() != LinkState::Offered {
            return;
        }
        complete(&mut attach, link, shared);
        if link.role() == Role::Sender {
            link.snd_settle_mode = attach.snd_settle_mode;
        }
        if let Err(error) = self.put_attach(&attach, handle, shared) {
            return self.fail_link(handle, true, error, shared);
        }
        let Some(link) = self.links.get_mut(handle) else { return };
        link.set_state(LinkState::Attached);
        // A flow that came before the answer.
        if link.sender().is_some_and(|sender| sender.credit() > 0 || sender.drain) {
            self.report_credit(handle, shared);
        }
    }

    /// Refuses an offered link: attach without terminus, then a closing detach.
    pub(in super::super) fn refuse_link(&mut self, handle: u32, error: Error, shared: &mut Shared) {
        let Some(link) = self.links.get_mut(handle) else { return };
        if link.state() != LinkState::Offered {
            return;
        }
        link.quiet = true;
        self.put_null_attach(handle, shared);
        self.put_detach(handle, true, Some(error), shared);
    }

    fn put_null_attach(&mut self, handle: u32, shared: &mut Shared) {
        let Some(link) = self.links.get_mut(handle) else { return };
        let mut attach = Attach { snd_settle_mode: link.snd_settle_mode, ..Attach::default() };
        complete(&mut attach, link, shared);
        // The only long part is the name, which came in a frame of the peer: if it does not fit, the detach says enough.
        let fits = shared.outbox.put_frame(self.id.channel, shared.frame_size_max, |out| attach.put(out, handle));
        debug_assert!(fits || attach.name.len() > 256, "a null attach is small");
    }

    /// Our detach.
    pub(in super::super) fn detach(&mut self, handle: u32, closed: bool, error: Option<Error>, shared: &mut Shared) {
        match self.links.get(handle).map(Link::state) {
            Some(LinkState::Offered) => {
                self.put_null_attach(handle, shared);
                self.put_detach(handle, closed, error, shared);
            }
            Some(LinkState::AttachSent | LinkState::Attached) => self.put_detach(handle, closed, error, shared),
            Some(LinkState::DetachSent | LinkState::Detached) | None => {}
        }
    }

    fn put_detach(&mut self, handle: u32, closed: bool, error: Option<Error>, shared: &mut Shared) {
        self.flush(shared);
        shared.put_detach(self.id.channel, Detach { handle, closed, error });
        if let Some(link) = self.links.get_mut(handle) {
            link.set_state(LinkState::DetachSent);
        }
        self.drop_queued(handle);
    }

    /// The peer broke a rule of the link, or it cannot go on: it is detached, and the application is told at once.
    pub(in super::super) fn fail_link(&mut self, handle: u32, closed: bool, error: Error, shared: &mut Shared) {
        self.detach(handle, closed, Some(error.clone()), shared);
        self.report_detach(handle, closed, Some(error), shared);
    }

    /// The peer's detach, which is answered.
    pub(in super::super) fn handle_detach(&mut self, detach: Detach, shared: &mut Shared) -> Result<(), Fault> {
        let handle = self.links.of_remote(detach.handle).ok_or_else(unattached)?;
        self.detach(handle, detach.closed, None, shared);
        self.report_detach(handle, detach.closed, detach.error, shared);
        self.release_link(handle, shared);
        Ok(())
    }

    fn report_detach(&mut self, handle: u32, closed: bool, error: Option<Error>, shared: &mut Shared) {
        let unsettled = self.unsettled.remove_link(handle);
        let Some(link) = self.links.get_mut(handle) else { return };
        if !link.quiet {
            link.quiet = true;
            shared.events.push_back(Event::Detach { link: link.id, closed, error, unsettled });
        }
    }

    /// Forgets a link.
    pub(super) fn release_link(&mut self, handle: u32, shared: &mut Shared) {
        let Some(mut link) = self.links.remove(handle) else { return };
        link.set_state(LinkState::Detached);
        shared.links -= 1;
        shared.forget_name(link.role(), &link.name, link.id);
        if let End::Receiver(receiver) = &mut link.end
            && let Some(assembly) = receiver.assembly.take()
        {
            shared.assemblies.release(&assembly);
        }
    }
}

/// Fills in what the connection knows better than the application.
fn complete(attach: &mut Attach, link: &mut Link, shared: &Shared) {
    let limit = shared.config.limits.message_size_max;
    attach.name.clone_from(&link.name);
    attach.role = link.role();
    attach.initial_delivery_count = None;
    match &mut link.end {
        End::Sender(_) => attach.initial_delivery_count = Some(INITIAL_DELIVERY_COUNT),
        End::Receiver(receiver) => {
            let size = attach.max_message_size.map_or(limit, |size| size.min(limit));
            receiver.message_size_max = size;
            attach.max_message_size = Some(size);
        }
    }
}

/// A frame names a handle to which no link is attached.
pub(super) fn unattached() -> Fault {
    Fault::Session(Error::new(condition::SESSION_UNATTACHED_HANDLE, String::from("no link is attached to the handle")))
}
