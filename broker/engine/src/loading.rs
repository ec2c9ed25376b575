//! Filling queues with what a recovered store hands over, part by part, while they are in use.
//!
//! A queue that is being loaded delivers what it has, in order; what is published meanwhile waits behind the backlog
//! and can be had when that is complete. So the order within a priority holds. Between priorities it holds for what is
//! loaded: an arrival, or a part that is not loaded yet, does not overtake lower priorities that are.
//!
//! Limits count what is loaded and what arrived. `discardOld` waits until the queue is loaded; the sweep and browsers
//! see the loaded part; a drain is answered when the queue is loaded and empty for it.

use crate::effect::RemoveReason;
use crate::engine::Engine;
use crate::entry::{ENGINE_FLAGS, Entry, MAY_HAVE_BEEN_DELIVERED, QueueId};
use crate::lifetime::Lifetime;

impl Engine {
    /// Announces a backlog of `queue`: what is published from now on waits behind it. Once for each store that has one,
    /// before the first publish.
    ///
    /// # Panics
    /// Messages wait behind a backlog that was complete already.
    pub fn begin_loading(&mut self, queue: QueueId) {
        self.queues[queue.0 as usize].change_loading(true);
    }

    /// Adds a message from a recovered store, in lsn order: deliverable at once, and marked as possibly delivered
    /// before ([`Entry::may_have_been_delivered`]). No limit applies.
    ///
    /// # Panics
    /// The queue's backlog was not announced, or is complete.
    pub fn recover(&mut self, queue: QueueId, mut entry: Entry) {
        entry.flags = entry.flags & !ENGINE_FLAGS | MAY_HAVE_BEEN_DELIVERED;
        self.queues[queue.0 as usize].push_loaded(entry);
        self.wake(queue);
    }

    /// One backlog of `queue` is complete. With the last one, what arrived meanwhile can be had.
    ///
    /// # Panics
    /// No backlog of the queue is under way.
    pub fn end_loading(&mut self, queue: QueueId) {
        let state = &mut self.queues[queue.0 as usize];
        if !state.change_loading(false) {
            return;
        }
        if state.lifetime == Lifetime::Deleting {
            self.purge_all(queue);
        }
        self.tell_vacancy(queue);
        let state = &mut self.queues[queue.0 as usize];
        if state.discards() && state.is_overfull() {
            state.overfull = true;
            self.overfull.push_back(queue);
        }
        self.wake(queue);
    }

    /// Removes what is purged, and discards the oldest messages of queues with `discardOld` that hold too many after
    /// loading or under new limits: `budget` at most. True: there are more.
    pub fn trim(&mut self, budget: usize) -> bool {
        let budget = self.purge_some(budget);
        for _ in 0..budget {
            let Some(queue) = self.overfull.front().copied() else { return false };
            let state = self.queue(queue);
            match state.oldest().filter(|_| state.discards() && state.is_overfull()) {
                Some(victim) => self.remove_waiting(queue, victim, RemoveReason::Discarded),
                None => {
                    self.overfull.pop_front();
                    self.queues[queue.0 as usize].overfull = false;
                }
            }
        }
        !self.overfull.is_empty() || !self.purging.is_empty()
    }
}
