//! Expiry of messages that no consumer comes past, in bounded steps.

use crate::PRIORITIES;
use crate::effect::RemoveReason;
use crate::engine::Engine;
use crate::entry::QueueId;
use crate::level::Position;

/// Where the next step begins.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cursor {
    queue: usize,
    level: usize,
    position: Position,
}

impl Engine {
    /// Removes expired messages that no consumer comes past; looks at no more than `budget` entries, and goes on
    /// there at the next call. Call it about once a second.
    pub fn sweep(&mut self, now_ms: u64, mut budget: usize) {
        for _ in 0..=self.queues.len() {
            let Some(queue) = self.queues.get(self.sweep.queue) else {
                self.sweep = Cursor::default();
                continue;
            };
            if queue.expiring > 0 && !self.sweep_queue(now_ms, &mut budget) {
                return;
            }
            self.sweep = Cursor { queue: self.sweep.queue + 1, ..Cursor::default() };
        }
    }

    /// Goes on with the queue under the cursor; false when the budget ended first.
    fn sweep_queue(&mut self, now_ms: u64, budget: &mut usize) -> bool {
        let index = self.sweep.queue;
        while self.sweep.level < PRIORITIES {
            let level = self.sweep.level;
            let (next, gone) = self.queues[index].expire(level, self.sweep.position, now_ms, budget);
            for entry in gone {
                self.push_removal(QueueId(index as u32), entry, RemoveReason::Expired);
            }
            if let Some(position) = next {
                self.sweep.position = position;
                return false;
            }
            self.compact(index, level);
            self.sweep.level += 1;
            self.sweep.position = 0;
        }
        true
    }

    fn compact(&mut self, queue: usize, level: usize) {
        let state = &mut self.queues[queue];
        let browsers: alloc::vec::Vec<u32> = state.browsers.iter().map(|consumer| consumer.key().index).collect();
        let mut cursors: alloc::vec::Vec<Position> = browsers
            .iter()
            .map(|index| self.consumers.all.at(*index).cursors.as_ref().expect("a browser has cursors")[level])
            .collect();
        let purge_end = state.purge.as_deref_mut().map(|ends| &mut ends[level]);
        state.levels[level].compact(cursors.iter_mut().chain(purge_end));
        for (index, cursor) in browsers.into_iter().zip(cursors) {
            self.consumers.all.at_mut(index).cursors.as_mut().expect("a browser has cursors")[level] = cursor;
        }
    }
}
