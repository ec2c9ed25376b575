//! Owns [`Window`]: how many transfer frames each side of a session may send (core specification 2.5.6).

use crate::performative::{Begin, Flow};

/// Our sessions count their transfers from here, so that an error in serial arithmetic shows at once.
pub(super) const INITIAL_OUTGOING_ID: u32 = u32::MAX - 3;

/// What we say about how many frames we may want to send: no limit of ours.
const OUTGOING_WINDOW: u32 = i32::MAX as u32;

/// The transfer counters of a session.
#[derive(Debug)]
pub(super) struct Window {
    /// Of the peer's next transfer; none before its begin has arrived.
    next_incoming_id: Option<u32>,
    /// The size to which our window is opened each time.
    size: u32,
    /// Transfers that the peer may still send by what it was told last.
    incoming_left: u32,
    next_outgoing_id: u32,
    /// Transfers that the peer still takes.
    outgoing_left: u32,
}

impl Window {
    pub(super) fn new(size: u32) -> Self {
        let size = size.clamp(1, i32::MAX as u32);
        Self {
            next_incoming_id: None,
            size,
            incoming_left: size,
            next_outgoing_id: INITIAL_OUTGOING_ID,
            outgoing_left: 0,
        }
    }

    /// Our begin.
    pub(super) fn begin(&self, remote_channel: Option<u16>, handle_max: u32) -> Begin {
        Begin {
            remote_channel,
            next_outgoing_id: self.next_outgoing_id,
            incoming_window: self.incoming_left,
            outgoing_window: OUTGOING_WINDOW,
            handle_max,
        }
    }

    pub(super) fn handle_begin(&mut self, begin: &Begin) {
        self.next_incoming_id = Some(begin.next_outgoing_id);
        self.outgoing_left = begin.incoming_window;
    }

    /// Takes in what a flow says about the peer's incoming window.
    pub(super) fn handle_flow(&mut self, flow: &Flow) {
        let seen = flow.next_incoming_id.unwrap_or(INITIAL_OUTGOING_ID);
        let under_way = self.next_outgoing_id.wrapping_sub(seen);
        // An id ahead of ours is the peer's error and gives no more than its window says.
        self.outgoing_left =
            if under_way < 1 << 31 { flow.incoming_window.saturating_sub(under_way) } else { flow.incoming_window };
    }

    /// A transfer has arrived. False: the peer may not have sent it.
    pub(super) fn receive(&mut self) -> bool {
        let Some(left) = self.incoming_left.checked_sub(1) else { return false };
        self.incoming_left = left;
        self.next_incoming_id = self.next_incoming_id.map(|id| id.wrapping_add(1));
        true
    }

    /// Half of the window is used: the peer should be told that it is open again, even if no link has anything to say.
    pub(super) fn is_refresh_due(&self) -> bool {
        self.incoming_left <= self.size / 2
    }

    /// Transfers that the peer still takes.
    pub(super) fn outgoing_left(&self) -> u32 {
        self.outgoing_left
    }

    /// A transfer is sent.
    pub(super) fn send(&mut self) {
        self.outgoing_left -= 1;
        self.next_outgoing_id = self.next_outgoing_id.wrapping_add(1);
    }

    /// The session's part of a flow; opens our window whole.
    pub(super) fn flow(&mut self) -> Flow {
        self.incoming_left = self.size;
        Flow {
            next_incoming_id: self.next_incoming_id,
            incoming_window: self.incoming_left,
            next_outgoing_id: self.next_outgoing_id,
            outgoing_window: OUTGOING_WINDOW,
            ..Flow::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(next_incoming_id: Option<u32>, incoming_window: u32) -> Flow {
        Flow { next_incoming_id, incoming_window, ..Flow::default() }
    }

    #[test]
    fn the_outgoing_window_counts_what_is_under_way_across_the_wrap() {
        let mut window = Window::new(10);
        window.handle_flow(&flow(None, 8));
        (0..6).for_each(|_| window.send());
        assert_eq!(window.outgoing_left(), 2);
        window.handle_flow(&flow(Some(INITIAL_OUTGOING_ID.wrapping_add(5)), 8));
        assert_eq!(window.outgoing_left(), 7);
        window.handle_flow(&flow(Some(INITIAL_OUTGOING_ID), 3));
        assert_eq!(window.outgoing_left(), 0);
    }

    #[test]
    fn the_incoming_window_is_enforced_and_refreshed_at_half() {
        let mut window = Window::new(4);
        assert!(!window.is_refresh_due());
        assert!(window.receive() && window.receive());
        assert!(window.is_refresh_due());
        assert!(window.receive() && window.receive());
        assert!(!window.receive());
        assert_eq!(window.flow().incoming_window, 4);
        assert!(window.receive());
    }
}
