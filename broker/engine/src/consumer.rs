//! Consumers and the deliveries that they have not settled.
//!
//! Owns the counts and the list of unsettled deliveries per consumer; decides nothing about queues.

use crate::PRIORITIES;
use crate::entry::{ConsumerId, DeliveryToken, Entry, QueueId};
use crate::level::Position;
use crate::slab::{Key, NONE, Slab};
use alloc::boxed::Box;

/// What a consumer asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConsumerSpec {
    /// Look at waiting messages without taking them (AMQP distribution mode `copy`).
    pub browse: bool,
    /// Most unsettled deliveries, as the server's memory allows; 0 = no such limit.
    pub window_max: u32,
}

/// Bits of a [`ConsumerId`] that are its index; the rest is its generation.
const INDEX_BITS: u32 = 20;
/// Consumers that may exist at a time.
const CONSUMERS_MAX: u32 = 1 << INDEX_BITS;
/// Highest generation of a consumer.
pub(crate) const GENERATION_MAX: u32 = (1 << (32 - INDEX_BITS)) - 1;

impl ConsumerId {
    pub(crate) fn from_key(key: Key) -> Self {
        assert!(key.index < CONSUMERS_MAX, "more than {CONSUMERS_MAX} consumers");
        Self(key.generation << INDEX_BITS | key.index)
    }

    pub(crate) fn key(self) -> Key {
        Key { index: self.0 & (CONSUMERS_MAX - 1), generation: self.0 >> INDEX_BITS }
    }
}

impl DeliveryToken {
    pub(crate) fn from_key(key: Key) -> Self {
        Self(u64::from(key.generation) << 32 | u64::from(key.index))
    }

    pub(crate) fn key(self) -> Key {
        Key { index: self.0 as u32, generation: (self.0 >> 32) as u32 }
    }
}

/// One consumer.
#[derive(Debug)]
pub(crate) struct Consumer {
    pub(crate) queue: QueueId,
    /// Messages that it still asks for.
    pub(crate) credit: u32,
    /// Unsettled deliveries that it may hold; 0 = no limit.
    pub(crate) window: u32,
    pub(crate) unsettled: u32,
    /// Ends of its list of unsettled deliveries, oldest first.
    first: u32,
    last: u32,
    /// Stands in its queue's round of consumers that can take.
    pub(crate) listed: bool,
    /// Gets what there is, then `Drained`.
    pub(crate) draining: bool,
    /// A browser's next position in each priority.
    pub(crate) cursors: Option<Box<[Position; PRIORITIES]>>,
}

impl Consumer {
    pub(crate) fn new(queue: QueueId, spec: ConsumerSpec, queue_window: u32) -> Self {
        let window = match (spec.window_max, queue_window) {
            (0, other) | (other, 0) => other,
            (one, other) => one.min(other),
        };
        let cursors = spec.browse.then(|| Box::new([0; PRIORITIES]));
        Self {
            queue,
            credit: 0,
            window,
            unsettled: 0,
            first: NONE,
            last: NONE,
            listed: false,
            draining: false,
            cursors,
        }
    }

    pub(crate) fn can_take(&self) -> bool {
        self.credit > 0 && (self.window == 0 || self.unsettled < self.window)
    }

    pub(crate) fn is_browser(&self) -> bool {
        self.cursors.is_some()
    }

    pub(crate) fn oldest_unsettled(&self) -> Option<u32> {
        (self.first != NONE).then_some(self.first)
    }
}

/// A message in a consumer's hands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unsettled {
    pub(crate) entry: Entry,
    pub(crate) position: Position,
    /// Index of the consumer.
    pub(crate) consumer: u32,
    previous: u32,
    next: u32,
}

// One cache line with the slab's words: a delivery touches one of them.
const _: () = assert!(size_of::<Unsettled>() <= 56);

/// All consumers and all unsettled deliveries.
#[derive(Debug)]
pub(crate) struct Consumers {
    pub(crate) all: Slab<Consumer>,
    pub(crate) unsettled: Slab<Unsettled>,
}

impl Consumers {
    pub(crate) fn new() -> Self {
        Self { all: Slab::new(GENERATION_MAX), unsettled: Slab::new(u32::MAX) }
    }

    /// Hands `entry` to a consumer.
    pub(crate) fn hand_over(&mut self, consumer: u32, entry: Entry, position: Position) -> DeliveryToken {
        let owner = self.all.at_mut(consumer);
        assert!(owner.credit > 0, "a delivery needs credit");
        owner.credit -= 1;
        owner.unsettled += 1;
        let previous = owner.last;
        let key = self.unsettled.insert(Unsettled { entry, position, consumer, previous, next: NONE });
        owner.last = key.index;
        if previous == NONE {
            owner.first = key.index;
        } else {
            self.unsettled.at_mut(previous).next = key.index;
        }
        DeliveryToken::from_key(key)
    }

    /// Takes a delivery out of its consumer's hands.
    pub(crate) fn take_back(&mut self, token: DeliveryToken) -> Option<Unsettled> {
        let delivery = self.unsettled.remove(token.key())?;
        let owner = self.all.at_mut(delivery.consumer);
        owner.unsettled -= 1;
        if delivery.previous == NONE {
            owner.first = delivery.next;
        } else {
            self.unsettled.at_mut(delivery.previous).next = delivery.next;
        }
        if delivery.next == NONE {
            owner.last = delivery.previous;
        } else {
            self.unsettled.at_mut(delivery.next).previous = delivery.previous;
        }
        Some(delivery)
    }

    pub(crate) fn check_invariants(&self) {
        let mut total = 0;
        for (key, consumer) in self.all.iter() {
            let (mut count, mut previous, mut index) = (0, NONE, consumer.first);
            while index != NONE {
                let delivery = self.unsettled.at(index);
                assert_eq!((delivery.consumer, delivery.previous), (key.index, previous), "the list is linked");
                (previous, index) = (index, delivery.next);
                count += 1;
            }
            assert_eq!((count, previous), (consumer.unsettled, consumer.last), "the list is counted");
            assert!(consumer.window == 0 || count <= consumer.window, "the window holds");
            total += count as usize;
        }
        assert_eq!(total, self.unsettled.len(), "each delivery has an owner");
    }
}
