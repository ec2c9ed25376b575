//! Owns flows, both ways: windows, credit, drain and echo; and the flush that sends what was collected.

use super::super::Event;
use super::super::link::{End, LinkState};
use super::super::shared::{Fault, Shared};
use super::attaching::unattached;
use super::{Session, SessionState};
use crate::performative::Flow;

impl Session {
    /// The peer's flow. One without handle opens the window all the same, so that queued deliveries go on.
    pub(in super::super) fn handle_flow(&mut self, flow: &Flow, shared: &mut Shared) -> Result<(), Fault> {
        let left_before = self.open_window();
        self.window.handle_flow(flow);
        self.pump(shared);
        let mut told = None;
        match flow.handle {
            Some(remote) => {
                let handle = self.links.of_remote(remote).ok_or_else(unattached)?;
                self.handle_link_flow(handle, flow, shared);
                told = Some(handle);
            }
            None => self.flow_due |= flow.echo,
        }
        if self.open_window() > left_before {
            self.report_widened(left_before, told, shared);
        }
        Ok(())
    }

    fn handle_link_flow(&mut self, handle: u32, flow: &Flow, shared: &mut Shared) {
        let Some(link) = self.links.get_mut(handle) else { return };
        if link.state() == LinkState::DetachSent {
            return;
        }
        let id = link.id;
        match &mut link.end {
            End::Sender(sender) => {
                sender.handle_flow(flow);
                self.report_credit(handle, shared);
            }
            End::Receiver(receiver) => {
                receiver.handle_flow(flow);
                if receiver.take_drained() {
                    shared.events.push_back(Event::Drained { link: id });
                }
            }
        }
        if flow.echo {
            self.mark_flow(handle, false);
        }
    }

    /// Tells the application what it may send. While the window is closed the report waits for it to open: a drain that is
    /// answered before that would give back credit for messages that are there.
    pub(super) fn report_credit(&mut self, handle: u32, shared: &mut Shared) {
        let credit = self.link_credit(handle);
        let blocked = self.is_blocked();
        let Some(link) = self.links.get_mut(handle) else { return };
        let (id, attached) = (link.id, link.state() == LinkState::Attached);
        let Some(sender) = link.sender() else { return };
        let waits = blocked && sender.credit() > 0;
        if attached && !waits {
            shared.events.push_back(Event::Flow { link: id, credit, drain: sender.drain });
        }
    }

    /// Tells the application anew of links that had more credit than the window took, now that it takes more. Without that a
    /// link whose peer widens the window before all of it is used would stand still with credit left.
    fn report_widened(&mut self, left_before: u32, told: Option<u32>, shared: &mut Shared) {
        let window = self.open_window();
        for link in self.links.iter_mut() {
            let (id, attached) = (link.id, link.state() == LinkState::Attached);
            if let Some(sender) = link.sender()
                && attached
                && told != Some(id.handle)
                && (sender.credit() > left_before || left_before == 0 && sender.drain)
            {
                let credit = sender.credit().min(window);
                shared.events.push_back(Event::Flow { link: id, credit, drain: sender.drain });
            }
        }
    }

    /// The application's grant.
    pub(in super::super) fn grant(&mut self, handle: u32, credit: u32, drain: bool) {
        let Some(receiver) = self.links.get_mut(handle).and_then(|link| link.receiver()) else { return };
        receiver.grant(credit, drain);
        // Without credit nothing may come that ends the drain, so the sender is asked for an answer.
        self.mark_flow(handle, drain && credit == 0);
    }

    /// A flow of this link is sent with the next flush.
    pub(super) fn mark_flow(&mut self, handle: u32, echo: bool) {
        let Some(link) = self.links.get_mut(handle) else { return };
        link.echo_due = echo;
        if !link.flow_due {
            link.flow_due = true;
            self.links_due.push(handle);
        }
    }

    /// Sends collected settlements, then flows.
    pub(in super::super) fn flush(&mut self, shared: &mut Shared) {
        if !self.is_usable() {
            return;
        }
        self.put_dispositions(shared);
        self.put_link_flows(shared);
        let refresh = self.state == SessionState::Mapped && self.window.is_refresh_due();
        if self.flow_due || refresh {
            self.flow_due = false;
            let flow = self.window.flow();
            shared.outbox.put_small_frame(self.id.channel, |out| flow.put(out));
        }
    }

    pub(super) fn put_dispositions(&mut self, shared: &mut Shared) {
        let channel = self.id.channel;
        for dispositions in [&mut self.dispositions, &mut self.settlements] {
            if !dispositions.is_empty() {
                dispositions.flush(|disposition| shared.put_disposition(channel, disposition));
            }
        }
    }

    /// Sends the flows of links. Those that are not attached yet wait, except for receivers, whose grant may follow their attach.
    pub(super) fn put_link_flows(&mut self, shared: &mut Shared) {
        if self.links_due.is_empty() {
            return;
        }
        let mut due = core::mem::take(&mut self.links_due);
        due.retain(|handle| !self.put_link_flow(*handle, shared));
        self.links_due = due;
    }

    /// False: it has to wait for the application's answer to the link.
    fn put_link_flow(&mut self, handle: u32, shared: &mut Shared) -> bool {
        let Some(link) = self.links.get_mut(handle) else { return true };
        match link.state() {
            LinkState::Offered => return false,
            LinkState::DetachSent | LinkState::Detached => {
                link.flow_due = false;
                return true;
            }
            LinkState::AttachSent | LinkState::Attached => {}
        }
        if !link.flow_due {
            return true;
        }
        link.flow_due = false;
        let echo = core::mem::take(&mut link.echo_due);
        let flow = match &link.end {
            End::Sender(sender) => {
                let (delivery_count, credit) = sender.flow();
                Flow {
                    delivery_count: Some(delivery_count),
                    link_credit: Some(credit),
                    available: Some(sender.queued()),
                    drain: sender.drain,
                    ..self.window.flow()
                }
            }
            End::Receiver(receiver) => Flow {
                delivery_count: receiver.delivery_count,
                link_credit: Some(receiver.credit()),
                drain: receiver.is_draining(),
                ..self.window.flow()
            },
        };
        let flow = Flow { handle: Some(handle), echo, ..flow };
        shared.outbox.put_small_frame(self.id.channel, |out| flow.put(out));
        true
    }
}
