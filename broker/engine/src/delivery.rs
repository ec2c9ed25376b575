//! Handing messages to consumers and taking them back.

use crate::consumer::Unsettled;
use crate::effect::{Effect, RemoveReason, Settle, UnknownDelivery};
use crate::engine::Engine;
use crate::entry::{ConsumerId, DeliveryToken, Entry, QueueId};
use crate::level::{Position, View};
use crate::lifetime::Lifetime;
use crate::queue::level_of;

/// Deliveries in a row from one queue before the next has its turn.
const TURN_MAX: u32 = 64;

/// Where a waiting entry stands: level and position.
type Spot = (usize, Position);

impl Engine {
    /// The next piece of work; `None` when there is none. Deliveries are decided here, so credit that is withdrawn
    /// between two calls is respected. `now_ms` is the wall clock in milliseconds.
    pub fn poll_effect(&mut self, now_ms: u64) -> Option<Effect> {
        loop {
            if let Some(effect) = self.effects.pop_front() {
                return Some(effect);
            }
            let queue = *self.runnable.front()?;
            let delivery = self.deliver_one(queue, now_ms);
            if delivery.is_some() {
                self.end_turn_if_long(queue);
                return delivery;
            }
            if self.effects.is_empty() {
                self.rest(queue);
            }
        }
    }

    /// The next piece of work that is decided already: hands out nothing new, for a server that has done enough for now.
    pub fn poll_decided(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// Rotates the runnable queues, so that one busy queue does not starve the others.
    fn end_turn_if_long(&mut self, queue: QueueId) {
        self.turn += 1;
        if self.turn >= TURN_MAX {
            self.turn = 0;
            self.runnable.pop_front();
            self.runnable.push_back(queue);
        }
    }

    /// Nothing more can be delivered from the front queue: those who drain are done, unless more is being loaded.
    fn rest(&mut self, queue: QueueId) {
        self.runnable.pop_front();
        self.turn = 0;
        let state = &mut self.queues[queue.0 as usize];
        state.runnable = false;
        if state.draining == 0 || state.loading > 0 {
            return;
        }
        state.draining = 0;
        for consumer in state.browsers.iter().chain(&state.consumers) {
            let drained = self.consumers.all.get_mut(consumer.key()).expect("an attached consumer exists");
            if core::mem::take(&mut drained.draining) {
                let unused = core::mem::take(&mut drained.credit);
                self.effects.push_back(Effect::Drained { consumer: *consumer, unused });
            }
        }
    }

    /// One delivery from `queue`, or effects queued, or nothing to do.
    fn deliver_one(&mut self, queue: QueueId, now_ms: u64) -> Option<Effect> {
        if !self.queue(queue).browsers.is_empty() {
            let shown = self.show_one(queue, now_ms);
            if shown.is_some() {
                return shown;
            }
        }
        let mut attempts = self.queue(queue).round.len();
        while attempts > 0 && self.effects.is_empty() {
            attempts -= 1;
            let consumer = *self.queue(queue).round.front()?;
            if !self.may_take(queue, consumer) {
                continue;
            }
            match self.queue(queue).first(self.view(queue, consumer)) {
                Some((level, position, entry)) if entry.is_expired(now_ms) => {
                    self.remove_waiting(queue, (level, position), RemoveReason::Expired);
                }
                Some((level, position, _)) => return Some(self.deliver(queue, consumer, (level, position))),
                None if !self.queue(queue).has_exclusions() => return None,
                None => self.queues[queue.0 as usize].round.rotate_left(1),
            }
        }
        None
    }

    /// Drops the first of the round if it cannot take any more.
    fn may_take(&mut self, queue: QueueId, consumer: ConsumerId) -> bool {
        let state = &mut self.queues[queue.0 as usize];
        let first = self.consumers.all.at_mut(consumer.key().index);
        let may = first.can_take();
        if !may {
            first.listed = false;
            state.round.pop_front();
        }
        may
    }

    pub(crate) fn view(&self, queue: QueueId, consumer: ConsumerId) -> View {
        let store = self.queue(queue).store();
        View { confirmed_lsn: self.stores[usize::from(store.0)].confirmed_lsn, consumer }
    }

    /// Hands the entry at `spot` to the first of the round.
    fn deliver(&mut self, queue: QueueId, consumer: ConsumerId, (level, position): Spot) -> Effect {
        let state = &mut self.queues[queue.0 as usize];
        let entry = state.take(level, position);
        state.unsettled += 1;
        let token = self.consumers.hand_over(consumer.key().index, entry, position);
        state.round.pop_front();
        let taker = self.consumers.all.at_mut(consumer.key().index);
        taker.listed = taker.can_take();
        if taker.listed {
            state.round.push_back(consumer);
        }
        Effect::Deliver { consumer, token, queue, store: state.store(), entry }
    }

    /// Shows one entry to a browser.
    fn show_one(&mut self, queue: QueueId, now_ms: u64) -> Option<Effect> {
        for index in 0..self.queue(queue).browsers.len() {
            let consumer = self.queue(queue).browsers[index];
            while self.consumers.all.at(consumer.key().index).can_take() {
                let browser = self.consumers.all.at(consumer.key().index);
                let cursors = browser.cursors.as_deref().expect("a browser has cursors");
                let view = self.view(queue, consumer);
                let Some((level, position, entry)) = self.queue(queue).next_unseen(cursors, view) else { break };
                let browser = self.consumers.all.at_mut(consumer.key().index);
                browser.cursors.as_mut().expect("a browser has cursors")[level] = position + 1;
                if !entry.is_expired(now_ms) {
                    let token = self.consumers.hand_over(consumer.key().index, entry, position);
                    let store = self.queue(queue).store();
                    return Some(Effect::Deliver { consumer, token, queue, store, entry });
                }
            }
        }
        None
    }

    /// Applies what a consumer did with a delivery. Removal and answer follow as [`Effect::Remove`].
    ///
    /// # Errors
    /// The delivery was settled before, or its consumer is gone: nothing to do.
    pub fn settle(&mut self, token: DeliveryToken, outcome: Settle) -> Result<(), UnknownDelivery> {
        let mut delivery = self.consumers.take_back(token).ok_or(UnknownDelivery(token))?;
        let owner = self.consumers.all.at(delivery.consumer);
        let (queue, is_browser) = (owner.queue, owner.is_browser());
        let consumer = ConsumerId::from_key(self.consumers.all.key_of(delivery.consumer));
        if !is_browser {
            self.queues[queue.0 as usize].unsettled -= 1;
            match outcome {
                Settle::Accept => self.remove_taken(queue, &delivery, RemoveReason::Accepted { token }),
                Settle::Reject => self.remove_taken(queue, &delivery, RemoveReason::Rejected { token }),
                Settle::Release => self.give_back(queue, delivery, false),
                Settle::Modify { failed, undeliverable_here } => {
                    if undeliverable_here {
                        let level = level_of(&delivery.entry);
                        let state = &mut self.queues[queue.0 as usize];
                        state.levels[level].exclude(delivery.position, &mut delivery.entry, consumer);
                    }
                    self.give_back(queue, delivery, failed);
                }
            }
        }
        self.enlist(consumer);
        Ok(())
    }

    /// Detaches a consumer. What it holds goes back with one more attempt counted, as EMS counts everything that
    /// was prefetched; the server first releases ([`Settle::Release`]) what it never sent.
    pub fn remove_consumer(&mut self, consumer: ConsumerId) {
        let state = self.consumer_mut(consumer);
        state.credit = 0;
        let (queue, was_draining, is_browser) = (state.queue, state.draining, state.is_browser());
        while let Some(index) = self.consumers.all.at(consumer.key().index).oldest_unsettled() {
            let token = DeliveryToken::from_key(self.consumers.unsettled.key_of(index));
            let delivery = self.consumers.take_back(token).expect("a listed delivery exists");
            if !is_browser {
                self.queues[queue.0 as usize].unsettled -= 1;
                self.give_back(queue, delivery, true);
            }
        }
        self.effects.retain(|effect| !matches!(effect, Effect::Drained { consumer: named, .. } if *named == consumer));
        let removed = self.consumers.all.remove(consumer.key());
        assert!(removed.is_some(), "a consumer is removed once");
        let state = &mut self.queues[queue.0 as usize];
        for list in [&mut state.consumers, &mut state.browsers] {
            list.retain(|other| *other != consumer);
        }
        state.round.retain(|other| *other != consumer);
        state.draining -= u32::from(was_draining);
        for level in state.levels.iter_mut().filter(|level| level.has_exclusions()) {
            level.forget_consumer(consumer);
        }
        // The next in line of an exclusive queue.
        if let Some(heir) = state.consumers.first().copied() {
            self.enlist(heir);
        }
        self.tell_vacancy(queue);
    }

    /// Returns an entry to its place, or removes it after too many failed attempts.
    fn give_back(&mut self, queue: QueueId, mut delivery: Unsettled, failed: bool) {
        delivery.entry.delivery_count = delivery.entry.delivery_count.saturating_add(u16::from(failed));
        let state = &mut self.queues[queue.0 as usize];
        let attempts_max = state.properties.max_redelivery;
        if failed && attempts_max != 0 && delivery.entry.delivery_count >= attempts_max {
            return self.remove_taken(queue, &delivery, RemoveReason::MaxRedelivery);
        }
        state.put_back(delivery.position, delivery.entry);
        if state.lifetime == Lifetime::Deleting {
            self.purge_all(queue);
        }
        self.wake(queue);
    }

    fn remove_taken(&mut self, queue: QueueId, delivery: &Unsettled, reason: RemoveReason) {
        self.queues[queue.0 as usize].forget(delivery.position, &delivery.entry);
        self.push_removal(queue, delivery.entry, reason);
    }

    pub(crate) fn remove_waiting(&mut self, queue: QueueId, (level, position): Spot, reason: RemoveReason) {
        let state = &mut self.queues[queue.0 as usize];
        let entry = state.take(level, position);
        state.forget(position, &entry);
        self.push_removal(queue, entry, reason);
    }

    pub(crate) fn push_removal(&mut self, queue: QueueId, entry: Entry, reason: RemoveReason) {
        let store = self.queue(queue).store();
        self.effects.push_back(Effect::Remove { queue, store, entry, reason });
        self.tell_vacancy(queue);
    }
}
