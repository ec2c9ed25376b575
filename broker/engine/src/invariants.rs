//! What must hold between any two calls.

use crate::engine::Engine;
use crate::entry::QueueId;
use crate::lifetime::Lifetime;

impl Engine {
    /// Walks everything and panics where something does not hold. O(entries): for tests and simulations, and for the
    /// pass after each turn of the loop in debug builds.
    pub fn check_invariants(&self) {
        self.consumers.check_invariants();
        for (index, queue) in self.queues.iter().enumerate() {
            queue.check_invariants();
            self.check_consumers(QueueId(index as u32));
        }
        for queue in &self.runnable {
            assert!(self.queue(*queue).runnable, "a listed queue knows it");
        }
        for queue in &self.purging {
            assert!(self.queue(*queue).purge.is_some(), "a queue with a purge under way knows it");
        }
        let gone = self.queues.iter().filter(|queue| queue.lifetime == Lifetime::Gone).count();
        assert_eq!(gone, self.free.len(), "the places of those that are gone are free");
    }

    fn check_consumers(&self, id: QueueId) {
        let queue = self.queue(id);
        let (mut unsettled, mut draining) = (0, 0);
        for consumer in queue.consumers.iter().chain(&queue.browsers) {
            let state = self.consumers.all.get(consumer.key()).expect("an attached consumer exists");
            assert_eq!(state.queue, id, "a consumer has one queue");
            assert_eq!(state.listed, queue.round.contains(consumer), "the round is known to its members");
            draining += u32::from(state.draining);
            if state.is_browser() {
                continue;
            }
            unsettled += u64::from(state.unsettled);
            let forgotten = state.can_take() && queue.is_entitled(*consumer) && !state.listed;
            assert!(!forgotten, "who can take stands in the round");
            if !queue.runnable && state.can_take() && queue.is_entitled(*consumer) {
                let waiting = queue.first(self.view(id, *consumer));
                assert!(waiting.is_none(), "a message and a taker wait for each other in '{}'", queue.name);
            }
        }
        assert_eq!((unsettled, draining), (queue.unsettled, queue.draining), "queue and consumers agree");
        assert_eq!(queue.runnable, self.runnable.contains(&id), "a runnable queue is listed");
        assert_eq!(queue.purge.is_some(), self.purging.contains(&id), "a purge under way is listed");
        let may_go = queue.lifetime.ends() && queue.is_vacant();
        assert!(!may_go || queue.vacancy_told, "a queue that may go is told of: '{}'", queue.name);
    }
}
