//! Owns [`Link`]: one link's state, and what sender and receiver ends count. The session routes to it.

use alloc::boxed::Box;
use alloc::string::String;

use super::LinkId;
use super::assembly::Assembly;
use crate::performative::{Attach, Flow, Role, SenderSettleMode};

/// Our links count their deliveries from here, so that an error in serial arithmetic shows at once.
pub(super) const INITIAL_DELIVERY_COUNT: u32 = u32::MAX - 4;

/// How far a link has got.
///
/// ```text
///   AttachSent --(peer's attach)--> Attached <--(accepted)-- Offered
///       |                             |                         |
///       +-----------------------------+-------------------------+
///       |  our detach                 |  our detach             |  refused: attach and detach
///       v                             v                         v
///   DetachSent <----------------------+-------------------------+
///       |  peer's detach
///       v
///   Detached <-- from Attached and Offered on the peer's detach, which is answered at once; from all when the session ends
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LinkState {
    /// Our attach was sent; the peer's is awaited.
    AttachSent,
    /// The peer's attach has arrived; the application has to answer.
    Offered,
    /// Both attaches were exchanged.
    Attached,
    /// Our detach was sent; the peer's is awaited, and what comes before it is passed over.
    DetachSent,
    /// The link is gone.
    Detached,
}

impl LinkState {
    /// Whether the diagram has this edge.
    pub(super) fn can_become(self, next: Self) -> bool {
        match (self, next) {
            (Self::Detached, _) => false,
            (_, Self::Detached) => true,
            (Self::AttachSent | Self::Offered, Self::Attached | Self::DetachSent) => true,
            (Self::Attached, Self::DetachSent) => true,
            _ => false,
        }
    }
}

/// One of the two ends.
#[derive(Debug)]
pub(super) enum End {
    Sender(SenderEnd),
    Receiver(ReceiverEnd),
}

/// One link.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) id: LinkId,
    pub(super) name: String,
    state: LinkState,
    /// The peer's handle, once its attach has arrived.
    pub(super) remote_handle: Option<u32>,
    pub(super) snd_settle_mode: SenderSettleMode,
    /// The application is not told of the detach: it was, or it refused the link.
    pub(super) quiet: bool,
    /// A flow of this link is to be sent.
    pub(super) flow_due: bool,
    /// That flow asks for an answer.
    pub(super) echo_due: bool,
    pub(super) end: End,
}

impl Link {
    pub(super) fn new(id: LinkId, attach: &Attach, our_role: Role, state: LinkState) -> Self {
        let end = match our_role {
            Role::Sender => End::Sender(SenderEnd::default()),
            Role::Receiver => End::Receiver(ReceiverEnd::default()),
        };
        Self {
            id,
            name: attach.name.clone(),
            state,
            remote_handle: None,
            snd_settle_mode: attach.snd_settle_mode,
            quiet: false,
            flow_due: false,
            echo_due: false,
            end,
        }
    }

    pub(super) fn state(&self) -> LinkState {
        self.state
    }

    pub(super) fn set_state(&mut self, next: LinkState) {
        assert!(self.state.can_become(next), "link {:?}: {:?} cannot become {next:?}", self.id, self.state);
        self.state = next;
    }

    pub(super) fn role(&self) -> Role {
        match self.end {
            End::Sender(_) => Role::Sender,
            End::Receiver(_) => Role::Receiver,
        }
    }

    pub(super) fn sender(&mut self) -> Option<&mut SenderEnd> {
        match &mut self.end {
            End::Sender(sender) => Some(sender),
            End::Receiver(_) => None,
        }
    }

    pub(super) fn receiver(&mut self) -> Option<&mut ReceiverEnd> {
        match &mut self.end {
            End::Sender(_) => None,
            End::Receiver(receiver) => Some(receiver),
        }
    }

    /// Takes in what the peer's attach says about counts and sizes.
    pub(super) fn note_attach(&mut self, attach: &Attach) {
        match &mut self.end {
            End::Sender(sender) => sender.message_size_max = attach.max_message_size,
            End::Receiver(receiver) => {
                receiver.delivery_count = attach.initial_delivery_count;
                self.snd_settle_mode = attach.snd_settle_mode;
            }
        }
    }
}

/// What the sending end counts.
#[derive(Debug)]
pub(super) struct SenderEnd {
    /// Deliveries that `send` has taken, counted from [`INITIAL_DELIVERY_COUNT`].
    delivery_count: u32,
    credit: u32,
    /// Deliveries that wait behind the session's window, not begun.
    queued: u32,
    /// The same and the one that has left in part.
    unfinished: u32,
    /// The receiver asked for the credit to be used or given back.
    pub(super) drain: bool,
    /// The application has no more for this drain; the credit is given back once `unfinished` is 0.
    drained: bool,
    /// The largest message that the receiver accepts.
    pub(super) message_size_max: Option<u64>,
}

impl Default for SenderEnd {
    fn default() -> Self {
        Self {
            delivery_count: INITIAL_DELIVERY_COUNT,
            credit: 0,
            queued: 0,
            unfinished: 0,
            drain: false,
            drained: false,
            message_size_max: None,
        }
    }
}

impl SenderEnd {
    pub(super) fn credit(&self) -> u32 {
        self.credit
    }

    /// Takes in a flow. Credit is absolute: counted from the delivery-count that the receiver had seen.
    pub(super) fn handle_flow(&mut self, flow: &Flow) {
        let Some(link_credit) = flow.link_credit else { return };
        let seen = flow.delivery_count.unwrap_or(INITIAL_DELIVERY_COUNT);
        let under_way = self.delivery_count.wrapping_sub(seen);
        // A count ahead of ours is the receiver's error and gives no more than it says.
        self.credit = if under_way < 1 << 31 { link_credit.saturating_sub(under_way) } else { link_credit };
        self.drain = flow.drain;
        self.drained = false;
    }

    /// One delivery is taken.
    pub(super) fn use_credit(&mut self) {
        self.delivery_count = self.delivery_count.wrapping_add(1);
        self.credit -= 1;
    }

    /// The application has no more. True: a flow has to say so, now.
    pub(super) fn set_drained(&mut self) -> bool {
        self.drained = self.drain;
        self.give_back()
    }

    /// A delivery has to wait, after its beginning has left or before.
    pub(super) fn queue(&mut self, begun: bool) {
        self.unfinished += 1;
        self.queued += u32::from(!begun);
    }

    /// A queued delivery has begun to leave.
    pub(super) fn note_begun(&mut self) {
        self.queued -= 1;
    }

    /// A queued delivery has left. True: it was the last before a flow that says that the link is drained.
    pub(super) fn note_finished(&mut self) -> bool {
        self.unfinished -= 1;
        self.give_back()
    }

    /// Deliveries that have not begun to leave.
    pub(super) fn queued(&self) -> u32 {
        self.queued
    }

    fn give_back(&mut self) -> bool {
        let due = self.drained && self.unfinished == 0;
        if due {
            self.delivery_count = self.delivery_count.wrapping_add(self.credit);
            self.credit = 0;
            self.drained = false;
        }
        due
    }

    /// What a flow says: deliveries that have left, and the credit counted from there.
    pub(super) fn flow(&self) -> (u32, u32) {
        (self.delivery_count.wrapping_sub(self.queued), self.credit.saturating_add(self.queued))
    }
}

/// What the receiving end counts.
#[derive(Debug, Default)]
pub(super) struct ReceiverEnd {
    /// Deliveries that have arrived, counted from the sender's start; none before its attach has arrived.
    pub(super) delivery_count: Option<u32>,
    credit: u32,
    /// Deliveries that the sender may still send by any earlier grant: a smaller one may cross them on the way.
    allowed: u32,
    drain: bool,
    pub(super) assembly: Option<Box<Assembly>>,
    /// The largest message that we accept.
    pub(super) message_size_max: u64,
}

impl ReceiverEnd {
    /// The application's grant.
    pub(super) fn grant(&mut self, credit: u32, drain: bool) {
        self.credit = credit.min(i32::MAX as u32);
        self.allowed = self.allowed.max(self.credit);
        self.drain = drain;
    }

    /// A delivery begins. False: the sender had no credit for it.
    pub(super) fn use_credit(&mut self) -> bool {
        let Some(allowed) = self.allowed.checked_sub(1) else { return false };
        self.allowed = allowed;
        self.credit = self.credit.saturating_sub(1);
        self.delivery_count = self.delivery_count.map(|count| count.wrapping_add(1));
        true
    }

    /// Takes in the sender's flow, by which it gives credit back.
    pub(super) fn handle_flow(&mut self, flow: &Flow) {
        let (Some(theirs), Some(ours)) = (flow.delivery_count, self.delivery_count) else { return };
        let advance = theirs.wrapping_sub(ours);
        if advance < 1 << 31 {
            self.delivery_count = Some(theirs);
            self.credit = self.credit.saturating_sub(advance);
            self.allowed = self.allowed.saturating_sub(advance);
        }
    }

    /// True once, when a drain is over.
    pub(super) fn take_drained(&mut self) -> bool {
        let over = self.drain && self.credit == 0;
        self.drain &= !over;
        over
    }

    pub(super) fn credit(&self) -> u32 {
        self.credit
    }

    pub(super) fn is_draining(&self) -> bool {
        self.drain
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_edges_are_those_of_the_diagram() {
        use LinkState::*;
        let all = [AttachSent, Offered, Attached, DetachSent, Detached];
        let edges = [
            (AttachSent, Attached),
            (AttachSent, DetachSent),
            (Offered, Attached),
            (Offered, DetachSent),
            (Attached, DetachSent),
            (AttachSent, Detached),
            (Offered, Detached),
            (Attached, Detached),
            (DetachSent, Detached),
        ];
        for from in all {
            for to in all {
                assert_eq!(from.can_become(to), edges.contains(&(from, to)), "{from:?} -> {to:?}");
            }
        }
    }

    fn flow(delivery_count: Option<u32>, link_credit: u32, drain: bool) -> Flow {
        Flow { delivery_count, link_credit: Some(link_credit), drain, ..Flow::default() }
    }

    #[test]
    fn credit_is_absolute_and_survives_the_wrap() {
        let mut sender = SenderEnd::default();
        sender.handle_flow(&flow(None, 10, false));
        assert_eq!(sender.credit(), 10);
        (0..7).for_each(|_| sender.use_credit());
        assert_eq!(sender.flow(), (2, 3));
        sender.handle_flow(&flow(Some(INITIAL_DELIVERY_COUNT.wrapping_add(4)), 10, false));
        assert_eq!(sender.credit(), 7);
        sender.handle_flow(&flow(Some(INITIAL_DELIVERY_COUNT), 3, false));
        assert_eq!(sender.credit(), 0);
    }

    #[test]
    fn a_drain_is_answered_behind_what_is_queued() {
        let mut sender = SenderEnd::default();
        sender.handle_flow(&flow(None, 10, true));
        sender.use_credit();
        sender.queue(false);
        assert!(!sender.set_drained());
        assert_eq!(sender.flow(), (INITIAL_DELIVERY_COUNT, 10));
        sender.note_begun();
        assert_eq!(sender.flow(), (INITIAL_DELIVERY_COUNT.wrapping_add(1), 9));
        assert!(sender.note_finished());
        assert_eq!(sender.flow(), (INITIAL_DELIVERY_COUNT.wrapping_add(10), 0));
    }

    #[test]
    fn without_a_drain_credit_is_kept() {
        let mut sender = SenderEnd::default();
        sender.handle_flow(&flow(None, 10, false));
        assert!(!sender.set_drained());
        assert_eq!(sender.credit(), 10);
    }

    #[test]
    fn a_smaller_grant_does_not_condemn_what_is_under_way() {
        let mut receiver = ReceiverEnd { delivery_count: Some(u32::MAX), ..ReceiverEnd::default() };
        receiver.grant(3, false);
        receiver.grant(1, false);
        assert!(receiver.use_credit() && receiver.use_credit() && receiver.use_credit());
        assert!(!receiver.use_credit());
        assert_eq!(receiver.delivery_count, Some(2));
    }

    #[test]
    fn a_drain_is_over_when_credit_is_used_or_given_back() {
        let mut receiver = ReceiverEnd { delivery_count: Some(5), ..ReceiverEnd::default() };
        receiver.grant(3, true);
        assert!(receiver.use_credit());
        assert!(!receiver.take_drained());
        receiver.handle_flow(&flow(Some(8), 0, true));
        assert!(receiver.take_drained());
        assert!(!receiver.take_drained());
    }
}
