//! Owns what we send on links: deliveries, the backlog behind the peer's window, and settlements.

use super::super::link::{End, LinkState};
use super::super::parcel::{Parcel, Progress, Queued};
use super::super::shared::Shared;
use super::super::{Delivery, SendError};
use super::{Session, SessionState};
use crate::performative::{Outcome, TAG_MAX};

impl Session {
    /// What may be sent now on a link.
    pub(in super::super) fn link_credit(&self, handle: u32) -> u32 {
        self.credit_granted(handle).min(self.open_window())
    }

    /// What the peer lets a link send, if the window takes it.
    pub(in super::super) fn credit_granted(&self, handle: u32) -> u32 {
        let Some(link) = self.links.get(handle) else { return 0 };
        match &link.end {
            End::Sender(sender) if link.state() == LinkState::Attached => sender.credit(),
            _ => 0,
        }
    }

    /// Nothing can be sent before the peer opens its window.
    pub(in super::super) fn is_blocked(&self) -> bool {
        self.open_window() == 0
    }

    /// Frames that the peer still takes behind what waits for it.
    pub(super) fn open_window(&self) -> u32 {
        if self.backlog.is_empty() { self.window.outgoing_left() } else { 0 }
    }

    /// Sends a delivery, or queues what the peer's window does not take.
    #[inline]
    pub(in super::super) fn send(
        &mut self,
        handle: u32,
        delivery: &Delivery<'_>,
        shared: &mut Shared,
    ) -> Result<u32, SendError> {
        self.check_send(handle, delivery, shared)?;
        let delivery_id =
            if delivery.settled { self.unsettled.push_settled() } else { self.unsettled.push(handle, delivery.token) };
        let parcel = Parcel {
            handle,
            delivery_id,
            tag: delivery.tag,
            format: delivery.format,
            settled: delivery.settled,
            state: delivery.state.as_ref(),
            head: delivery.head,
            body: delivery.body,
        };
        let mut progress = Progress::default();
        if self.backlog.is_empty() {
            while self.window.outgoing_left() > 0 && !parcel.is_done(progress) {
                self.window.send();
                parcel.put_frame(&mut shared.outbox, self.id.channel, shared.frame_size_max, &mut progress);
            }
        }
        if !parcel.is_done(progress) {
            self.queue(&parcel, progress);
        }
        Ok(delivery_id)
    }

    /// Refuses what cannot be sent; otherwise takes one credit.
    #[inline]
    fn check_send(&mut self, handle: u32, delivery: &Delivery<'_>, shared: &Shared) -> Result<(), SendError> {
        let link = self.links.get_mut(handle).ok_or(SendError::NotAttached)?;
        if link.state() != LinkState::Attached || self.state != SessionState::Mapped {
            return Err(SendError::NotAttached);
        }
        let sender = link.sender().ok_or(SendError::NotSender)?;
        let bytes = delivery.head.len() + delivery.body.len();
        let limits = &shared.config.limits;
        let waiting = shared.outbox.bytes() + self.backlog_bytes;
        if sender.credit() == 0 {
            return Err(SendError::NoCredit);
        }
        if delivery.tag.len() > TAG_MAX {
            return Err(SendError::TagTooLong);
        }
        if sender.message_size_max.is_some_and(|size_max| bytes as u64 > size_max) {
            return Err(SendError::MessageTooLarge);
        }
        if !delivery.settled && self.unsettled.len() >= limits.unsettled_max {
            return Err(SendError::TooManyUnsettled);
        }
        // A message beyond the limit by itself is taken when nothing else waits, or it could never be sent.
        if waiting > 0 && waiting + bytes > limits.output_bytes_max {
            return Err(SendError::OutputFull);
        }
        sender.use_credit();
        Ok(())
    }

    #[cold]
    fn queue(&mut self, parcel: &Parcel<'_>, progress: Progress) {
        let queued = Queued::new(parcel, progress);
        self.backlog_bytes += queued.bytes_left();
        self.backlog.push_back(queued);
        if let Some(sender) = self.links.get_mut(parcel.handle).and_then(|link| link.sender()) {
            sender.queue(progress.begun);
        }
    }

    /// Sends from the backlog what the peer's window takes.
    pub(super) fn pump(&mut self, shared: &mut Shared) {
        while self.window.outgoing_left() > 0
            && let Some(front) = self.backlog.front_mut()
        {
            let (handle, before, first) = (front.handle, front.bytes_left(), !front.progress.begun);
            let mut progress = front.progress;
            let parcel = front.parcel();
            parcel.put_frame(&mut shared.outbox, self.id.channel, shared.frame_size_max, &mut progress);
            let done = parcel.is_done(progress);
            front.progress = progress;
            self.backlog_bytes -= before - front.bytes_left();
            self.window.send();
            if done {
                self.backlog.pop_front();
            }
            self.note_left(handle, first, done, shared);
        }
    }

    /// A frame of a queued delivery has left; a flow that waited behind its last one follows at once.
    fn note_left(&mut self, handle: u32, first: bool, last: bool, shared: &mut Shared) {
        let Some(sender) = self.links.get_mut(handle).and_then(|link| link.sender()) else { return };
        if first {
            sender.note_begun();
        }
        if last && sender.note_finished() {
            self.mark_flow(handle, false);
            self.put_link_flows(shared);
        }
    }

    /// The link is being detached: what has not left does not.
    pub(super) fn drop_queued(&mut self, handle: u32) {
        if self.backlog.is_empty() {
            return;
        }
        self.backlog.retain(|queued| queued.handle != handle);
        self.backlog_bytes = self.backlog.iter().map(Queued::bytes_left).sum();
    }

    /// The application has no more for a link.
    pub(in super::super) fn drained(&mut self, handle: u32) {
        let Some(sender) = self.links.get_mut(handle).and_then(|link| link.sender()) else { return };
        if sender.set_drained() {
            self.mark_flow(handle, false);
        }
    }

    /// Receiver's settlement.
    #[inline]
    pub(in super::super) fn settle(&mut self, range: (u32, u32), outcome: Outcome, settled: bool, shared: &mut Shared) {
        self.dispositions.add(range, settled, Some(outcome));
        if self.dispositions.is_full() {
            self.put_dispositions(shared);
        }
    }

    /// Sender's settlement of a delivery that the peer has not settled.
    pub(in super::super) fn settle_sent(&mut self, delivery_id: u32, outcome: Option<Outcome>, shared: &mut Shared) {
        let Some(found) = self.unsettled.get(delivery_id) else { return };
        self.unsettled.remove(found.sequence);
        self.settlements.add((delivery_id, delivery_id), true, outcome);
        if self.settlements.is_full() {
            self.put_dispositions(shared);
        }
    }
}
