//! Owns what arrives for links: transfers, joined to messages, and dispositions on what we sent.

use alloc::boxed::Box;

use super::super::assembly::{Assembly, check_message_size};
use super::super::dispositions::precedes;
use super::super::link::{LinkState, ReceiverEnd};
use super::super::shared::{Fault, Handled, Shared};
use super::super::{Event, LinkId, Message, SessionId};
use super::Session;
use super::attaching::unattached;
use crate::condition;
use crate::performative::{Disposition, Error, Outcome, Role, SenderSettleMode, Transfer};

/// A disposition on deliveries that we sent, reported one by one.
#[derive(Debug)]
pub(in super::super) struct Walk {
    pub(in super::super) session: SessionId,
    from: u64,
    to: u64,
    settled: bool,
    outcome: Option<Outcome>,
}

impl Session {
    /// A transfer with its payload.
    #[inline]
    pub(in super::super) fn handle_transfer<'f>(
        &mut self,
        transfer: &mut Transfer<'f>,
        payload: &'f [u8],
        shared: &mut Shared,
    ) -> Result<Handled<'f>, Fault> {
        if !self.window.receive() {
            let error =
                Error::new(condition::SESSION_WINDOW_VIOLATION, "a transfer exceeds the session's incoming window");
            return Err(Fault::Session(error));
        }
        let handle = self.links.of_remote(transfer.handle).ok_or_else(unattached)?;
        let link = self.links.get_mut(handle).ok_or_else(unattached)?;
        if link.state() == LinkState::DetachSent {
            return Ok(Handled::Nothing);
        }
        let (id, settle_mode) = (link.id, link.snd_settle_mode);
        let Some(receiver) = link.receiver() else {
            let error = Error::new(condition::NOT_ALLOWED, "a transfer arrived on a link whose sender we are");
            return Err(Fault::Link(handle, error));
        };
        let mut arrival = Arrival { link: id, settle_mode, receiver, received: &mut self.received };
        if arrival.receiver.assembly.is_some() || transfer.more {
            return arrival.join(transfer, payload, shared).map_err(|error| Fault::Link(handle, error));
        }
        arrival.take_whole(transfer, payload, shared).map_err(|error| Fault::Link(handle, error))
    }
}

/// A transfer on its link.
struct Arrival<'s> {
    link: LinkId,
    settle_mode: SenderSettleMode,
    receiver: &'s mut ReceiverEnd,
    /// First and last delivery-id of the session.
    received: &'s mut Option<(u32, u32)>,
}

impl Arrival<'_> {
    /// A delivery of one frame, in place.
    #[inline]
    fn take_whole<'f>(
        &mut self,
        transfer: &mut Transfer<'f>,
        payload: &'f [u8],
        shared: &mut Shared,
    ) -> Result<Handled<'f>, Error> {
        let (delivery_id, tag) = self.begin(transfer)?;
        self.note_drained(shared);
        if transfer.aborted {
            return Ok(Handled::Nothing);
        }
        let settled = transfer.settled.unwrap_or(false);
        self.check(settled, payload.len())?;
        Ok(Handled::Whole(Message {
            link: self.link,
            delivery_id,
            tag,
            format: transfer.format.unwrap_or(0),
            settled,
            state: transfer.state.take(),
            payload,
        }))
    }

    /// The first frame of a delivery: it needs an id, a tag and credit.
    #[inline]
    fn begin<'f>(&mut self, transfer: &Transfer<'f>) -> Result<(u32, &'f [u8]), Error> {
        let (Some(delivery_id), Some(tag)) = (transfer.delivery_id, transfer.tag) else {
            let words = "the first transfer of a delivery has no delivery-id or no delivery-tag";
            return Err(Error::new(condition::INVALID_FIELD, words));
        };
        let first = match *self.received {
            Some((_, last)) if !precedes(last, delivery_id) => {
                return Err(Error::new(condition::INVALID_FIELD, "a delivery-id does not follow the one before it"));
            }
            Some((first, _)) => first,
            None => delivery_id,
        };
        *self.received = Some((first, delivery_id));
        if !self.receiver.use_credit() {
            return Err(Error::new(condition::LINK_TRANSFER_LIMIT_EXCEEDED, "a message exceeds the link's credit"));
        }
        Ok((delivery_id, tag))
    }

    /// What a whole delivery must fulfil.
    #[inline]
    fn check(&self, settled: bool, bytes: usize) -> Result<(), Error> {
        if self.settle_mode == SenderSettleMode::Settled && !settled {
            return Err(Error::new(condition::NOT_ALLOWED, "an unsettled delivery on a link whose sender settles"));
        }
        check_message_size(bytes, self.receiver.message_size_max)
    }

    /// Reported after the message that is being returned.
    #[inline]
    fn note_drained(&mut self, shared: &mut Shared) {
        if self.receiver.take_drained() {
            shared.events.push_back(Event::Drained { link: self.link });
        }
    }

    /// A frame of a delivery of several.
    #[inline(never)]
    fn join<'f>(&mut self, transfer: &Transfer<'f>, payload: &[u8], shared: &mut Shared) -> Result<Handled<'f>, Error> {
        let mut assembly = match self.receiver.assembly.take() {
            Some(assembly) => assembly,
            None => {
                let (delivery_id, tag) = self.begin(transfer)?;
                Box::new(shared.assemblies.begin(delivery_id, tag, transfer))
            }
        };
        let joined = self.append(&mut assembly, transfer, payload, shared);
        if joined.is_ok() && transfer.more && !transfer.aborted {
            self.receiver.assembly = Some(assembly);
            return Ok(Handled::Nothing);
        }
        shared.assemblies.release(&assembly);
        self.note_drained(shared);
        joined?;
        if transfer.aborted {
            shared.assemblies.recycle(assembly.payload);
            return Ok(Handled::Nothing);
        }
        self.check(assembly.settled, assembly.payload.len())?;
        let message = self.message(&mut assembly);
        shared.completed = Some(assembly);
        Ok(Handled::Joined(message))
    }

    fn append(
        &self,
        assembly: &mut Assembly,
        transfer: &Transfer<'_>,
        payload: &[u8],
        shared: &mut Shared,
    ) -> Result<(), Error> {
        if transfer.delivery_id.is_some_and(|id| id != assembly.delivery_id) {
            let words = "a delivery begins before the one before it is complete";
            return Err(Error::new(condition::NOT_ALLOWED, words));
        }
        if transfer.aborted {
            return Ok(());
        }
        assembly.settled |= transfer.settled.unwrap_or(false);
        if transfer.state.is_some() {
            assembly.state.clone_from(&transfer.state);
        }
        let bytes_max = shared.config.limits.assembly_bytes_max;
        shared.assemblies.append(assembly, payload, self.receiver.message_size_max, bytes_max)
    }

    fn message<'f>(&self, assembly: &mut Assembly) -> Message<'f> {
        Message {
            link: self.link,
            delivery_id: assembly.delivery_id,
            tag: &[],
            format: assembly.format,
            settled: assembly.settled,
            state: assembly.state.take(),
            payload: &[],
        }
    }
}

impl Session {
    /// The peer's disposition. What it says about deliveries that we sent is reported one by one from the walk.
    pub(in super::super) fn handle_disposition(
        &mut self,
        disposition: Disposition,
        shared: &mut Shared,
    ) -> Result<Option<Walk>, Fault> {
        let Disposition { role, first, last, settled, state } = disposition;
        if precedes(last, first) || last.wrapping_sub(first) >= 1 << 31 {
            let error = Error::new(condition::INVALID_FIELD, "a disposition's last delivery-id precedes its first");
            return Err(Fault::Session(error));
        }
        if role == Role::Sender {
            if settled && let Some((first, last)) = self.clip_to_received(first, last) {
                shared.events.push_back(Event::SettledByPeer { session: self.id, first, last });
            }
            return Ok(None);
        }
        let says_nothing = state.is_none() && !settled;
        let range = if says_nothing { None } else { self.unsettled.resolve(first, last) };
        Ok(range.map(|(from, to)| Walk { session: self.id, from, to, settled, outcome: state }))
    }

    /// The part of a range of delivery-ids that was received at all.
    fn clip_to_received(&self, first: u32, last: u32) -> Option<(u32, u32)> {
        let (lowest, highest) = self.received?;
        let first = if precedes(first, lowest) { lowest } else { first };
        let last = if precedes(highest, last) { highest } else { last };
        (!precedes(last, first)).then_some((first, last))
    }

    /// The next report of a disposition. None: it is over.
    pub(in super::super) fn next_outcome(&mut self, walk: &mut Walk) -> Option<Event<'static>> {
        while let Some(found) = self.unsettled.next_in(walk.from, walk.to) {
            walk.from = found.sequence + 1;
            let terminal = walk.outcome.as_ref().is_some_and(Outcome::is_terminal);
            if walk.settled {
                self.unsettled.remove(found.sequence);
            } else if terminal {
                self.unsettled.set_answered(found.sequence);
            }
            if found.answered {
                continue; // The application has the outcome already.
            }
            let Some(link) = self.links.get(found.handle) else { continue };
            return Some(Event::Outcome {
                link: link.id,
                delivery_id: found.delivery_id,
                token: found.token,
                outcome: walk.outcome.clone(),
                settled: walk.settled,
            });
        }
        None
    }
}
