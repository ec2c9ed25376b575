//! What the stores recovered and the queues do not hold yet.
//!
//! Owns which stores still hand over messages, which queues wait for them, and the figures of the way. The messages go
//! from store to engine in `exchange`; how much at a time is decided here.

use engine::QueueId;
use reactor::Nanos;
use std::collections::{BTreeMap, HashMap};

/// Messages that one turn of the loop takes over: 0.1 to 0.2 ms on a machine that does a turn with 2048 messages of a
/// producer in 2 ms (measured in release builds with 1 million messages in one queue and in 1000).
pub(crate) const TURN_MESSAGES: usize = 2048;
/// Messages that one turn discards where `discardOld` was waiting for the end of loading: each is a record.
pub(crate) const TURN_DISCARDS: usize = 512;

/// How far a store is with its backlog.
///
/// ```text
///   READY <----> READING
///     |             |
///     +-> COMPLETE <+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// More can be had.
    Ready,
    /// More can be had when the store says so.
    Reading,
    /// Nothing is left.
    Complete,
}

impl Source {
    /// Whether `next` may follow.
    fn can_become(self, next: Source) -> bool {
        matches!(
            (self, next),
            (Source::Ready, Source::Reading | Source::Complete) | (Source::Reading, Source::Ready | Source::Complete)
        )
    }
}

/// A backlog that has been taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Loaded {
    /// Messages.
    pub(crate) messages: u64,
    /// Since serving began, in nanoseconds.
    pub(crate) time: Nanos,
}

/// The backlogs of all stores.
#[derive(Debug, Default)]
pub(crate) struct Loading {
    /// By store.
    sources: Vec<Source>,
    /// The queues of recovered destinations, by store and number.
    queues: HashMap<(u8, u32), QueueId>,
    /// Of them, those with messages to come.
    unfinished: BTreeMap<(u8, u32), QueueId>,
    /// The store that is asked next.
    next: usize,
    since: Nanos,
    is_reported: bool,
    /// Messages that recovery found, and those of them that the queues hold or held.
    pub(crate) recovered: u64,
    pub(crate) loaded: u64,
}

impl Loading {
    /// Recovery is over: `stores` stores have `recovered` messages to hand over.
    pub(crate) fn begin(&mut self, now: Nanos, stores: usize, recovered: u64) {
        self.sources = vec![Source::Ready; stores];
        (self.since, self.recovered, self.loaded) = (now, recovered, 0);
    }

    /// A recovered destination belongs to `queue`.
    pub(crate) fn expect(&mut self, store: u8, destination: u32, queue: QueueId, has_backlog: bool) {
        self.queues.insert((store, destination), queue);
        if has_backlog {
            self.unfinished.insert((store, destination), queue);
        }
    }

    /// The queue of a recovered destination.
    pub(crate) fn queue(&self, store: u8, destination: u32) -> QueueId {
        self.queues[&(store, destination)]
    }

    /// The store to take from next, by turns.
    pub(crate) fn next_store(&mut self) -> Option<u8> {
        let count = self.sources.len();
        let found = (0..count).map(|step| (self.next + step) % count).find(|at| self.sources[*at] == Source::Ready)?;
        self.next = found + 1;
        Some(found as u8)
    }

    /// Whether a store has messages that can be had now.
    pub(crate) fn is_ready(&self) -> bool {
        self.sources.contains(&Source::Ready)
    }

    /// The store reads the next ones.
    pub(crate) fn reading(&mut self, store: u8) {
        self.become_source(store, Source::Reading);
    }

    /// The store has read more.
    pub(crate) fn has_more(&mut self, store: u8) {
        if self.sources.get(usize::from(store)) == Some(&Source::Reading) {
            self.become_source(store, Source::Ready);
        }
    }

    /// No more messages follow for the destination. The queue, if it was waiting for them.
    pub(crate) fn finish(&mut self, store: u8, destination: u32) -> Option<QueueId> {
        self.unfinished.remove(&(store, destination))
    }

    /// No more messages follow from the store. The queues that were still waiting for some.
    pub(crate) fn complete(&mut self, store: u8) -> Vec<QueueId> {
        self.become_source(store, Source::Complete);
        let left = self.unfinished.extract_if((store, 0)..=(store, u32::MAX), |_, _| true);
        left.map(|(_, queue)| queue).collect()
    }

    fn become_source(&mut self, store: u8, next: Source) {
        let source = &mut self.sources[usize::from(store)];
        assert!(source.can_become(next), "{source:?} does not become {next:?}");
        *source = next;
    }

    /// The figures, once, when the last message has been taken over. Nothing is told where there was none.
    pub(crate) fn report(&mut self, now: Nanos) -> Option<Loaded> {
        let is_complete = !self.sources.is_empty() && self.sources.iter().all(|source| *source == Source::Complete);
        if !is_complete || std::mem::replace(&mut self.is_reported, true) || self.loaded == 0 {
            return None;
        }
        Some(Loaded { messages: self.loaded, time: now.saturating_sub(self.since) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stores_take_turns_and_one_that_reads_holds_up_no_other() {
        let mut loading = Loading::default();
        assert_eq!((loading.next_store(), loading.report(1)), (None, None));
        loading.begin(10, 3, 5);
        let order: Vec<_> = (0..4).map(|_| loading.next_store()).collect();
        assert_eq!(order, [Some(0), Some(1), Some(2), Some(0)]);
        loading.reading(1);
        assert_eq!((loading.next_store(), loading.next_store()), (Some(2), Some(0)));
        loading.complete(0);
        loading.complete(2);
        assert_eq!((loading.next_store(), loading.is_ready()), (None, false));
        loading.has_more(0);
        assert!(!loading.is_ready(), "what is complete stays so");
        loading.has_more(1);
        assert_eq!(loading.next_store(), Some(1));
        loading.loaded = 5;
        assert_eq!(loading.report(15), None);
        loading.complete(1);
        assert_eq!(loading.report(15), Some(Loaded { messages: 5, time: 5 }));
        assert_eq!(loading.report(16), None, "told once");
    }

    #[test]
    fn a_queue_is_finished_once() {
        let mut loading = Loading::default();
        loading.begin(0, 1, 2);
        for destination in 0..4 {
            loading.expect(0, destination, QueueId(destination), destination != 3);
        }
        assert_eq!(loading.queue(0, 3), QueueId(3));
        assert_eq!(loading.finish(0, 3), None, "it had nothing to wait for");
        assert_eq!(loading.finish(0, 1), Some(QueueId(1)));
        assert_eq!(loading.finish(0, 1), None);
        assert_eq!(loading.complete(0), [QueueId(0), QueueId(2)]);
    }

    #[test]
    fn exactly_the_drawn_edges_exist() {
        use Source::{Complete, Reading, Ready};
        let drawn = [(Ready, Reading), (Ready, Complete), (Reading, Ready), (Reading, Complete)];
        for from in [Ready, Reading, Complete] {
            for to in [Ready, Reading, Complete] {
                assert_eq!(from.can_become(to), drawn.contains(&(from, to)), "{from:?} -> {to:?}");
            }
        }
    }
}
