//! Changes of the set of queues while they are in use: new definitions, purges, deletion.
//!
//! A purge removes what waits at the moment of the call, in steps that [`Engine::trim`] makes; what consumers hold is not
//! waiting and stays. A queue that nothing allows any more, or that is deleted, leaves in two steps: the engine says that
//! it is vacant, the server detaches its producers and lets it go.

use crate::PRIORITIES;
use crate::definition::QueueDefinition;
use crate::effect::{Effect, NameError, RemoveReason, StillLoading};
use crate::engine::Engine;
use crate::entry::{ConsumerId, QueueId};
use crate::level::Position;
use crate::lifetime::Lifetime;
use crate::queue::Queue;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

impl Engine {
    /// Other definitions, the whole set. They hold at once for existing queues, but that a consumer keeps the `prefetch`
    /// that it was attached with, and a queue with messages keeps its store. What they name is made; a queue that they
    /// allow no more leaves when it is empty and unused ([`Effect::Vacant`]).
    ///
    /// Returns the queues that keep another store than they were given.
    ///
    /// # Panics
    /// A definition has a pattern that [`crate::check_pattern`] refuses.
    pub fn redefine(&mut self, definitions: Vec<QueueDefinition>) -> Vec<QueueId> {
        self.catalogue.redefine(definitions);
        let ids = (0..self.queues.len()).map(|index| QueueId(index as u32));
        let kept = ids.filter(|queue| self.apply_definition(*queue)).collect();
        for name in self.catalogue.static_names() {
            if self.catalogue.id_of(&name).is_none() {
                self.resolve(&name).expect("definitions were checked by check_pattern");
            }
        }
        kept
    }

    /// A queue of one client, which only [`Engine::delete`] ends. For it hold the patterns that spell the first element of
    /// its name; `>` does not. One that exists is found.
    ///
    /// # Errors
    /// The name is not legal, or the queue is being deleted.
    pub fn temporary(&mut self, name: &str) -> Result<QueueId, NameError> {
        if self.catalogue.id_of(name).is_some() {
            return self.resolve(name);
        }
        let properties = self.catalogue.temporary(name)?;
        let id = self.add_queue(name, properties);
        self.queues[id.0 as usize].become_lifetime(Lifetime::Temporary);
        Ok(id)
    }

    /// Gives a queue what the definitions say now. True: but for the store.
    fn apply_definition(&mut self, id: QueueId) -> bool {
        let queue = &mut self.queues[id.0 as usize];
        let (mut properties, lifetime) = match self.catalogue.properties(&queue.name) {
            _ if matches!(queue.lifetime, Lifetime::Temporary | Lifetime::Deleting | Lifetime::Gone) => return false,
            Ok(properties) => (properties, Lifetime::Listed),
            Err(_) => (self.catalogue.unlisted(), Lifetime::Leaving),
        };
        if queue.lifetime != lifetime {
            queue.become_lifetime(lifetime);
        }
        let moves = properties.store != queue.properties.store;
        let keeps = moves && (queue.messages > 0 || queue.loading > 0 || queue.waiting);
        if keeps {
            properties.store = queue.properties.store;
        } else if moves {
            queue.unconfirmed_lsn = 0;
        }
        let other_round = properties.exclusive != queue.properties.exclusive;
        queue.properties = properties;
        if queue.loading == 0 && queue.discards() && queue.is_overfull() && !queue.overfull {
            queue.overfull = true;
            self.overfull.push_back(id);
        }
        if other_round {
            self.begin_round(id);
        }
        self.tell_vacancy(id);
        keeps && lifetime == Lifetime::Listed
    }

    /// Decides anew who may take, after a change of `exclusive`.
    fn begin_round(&mut self, id: QueueId) {
        let queue = &mut self.queues[id.0 as usize];
        for consumer in queue.round.drain(..) {
            self.consumers.all.at_mut(consumer.key().index).listed = false;
        }
        let consumers: Vec<ConsumerId> = queue.consumers.clone();
        consumers.into_iter().for_each(|consumer| self.enlist(consumer));
    }

    /// Begins to remove all that waits in the queue now; [`Engine::trim`] goes on with it. Returns how many messages are
    /// there, those included that consumers hold and that stay.
    ///
    /// # Errors
    /// The queue is not complete yet.
    pub fn purge(&mut self, id: QueueId) -> Result<u64, StillLoading> {
        let queue = &self.queues[id.0 as usize];
        if queue.loading > 0 {
            return Err(StillLoading);
        }
        let ends: [Position; PRIORITIES] = core::array::from_fn(|level| queue.levels[level].end());
        let messages = queue.messages;
        self.purge_before(id, ends);
        Ok(messages)
    }

    /// Whether a backlog of the queue is not complete yet.
    pub fn is_loading(&self, queue: QueueId) -> bool {
        self.queue(queue).loading > 0
    }

    /// Whether a purge of the queue is under way.
    pub fn is_purging(&self, queue: QueueId) -> bool {
        self.queue(queue).purge.is_some()
    }

    /// Whether the queue of that name is being deleted.
    pub fn is_deleting(&self, name: &str) -> bool {
        self.find(name).is_some_and(|queue| self.queue(queue).lifetime == Lifetime::Deleting)
    }

    /// Deletes the queue with all that is in it, as soon as its consumers are removed. Until it is gone nobody gets it from
    /// [`Engine::resolve`]; afterwards the name is free.
    pub fn delete(&mut self, id: QueueId) {
        let queue = &mut self.queues[id.0 as usize];
        if queue.lifetime != Lifetime::Deleting {
            queue.become_lifetime(Lifetime::Deleting);
            if queue.loading == 0 {
                self.purge_all(id);
            }
        }
        self.tell_vacancy(id);
    }

    /// Begins to remove all that is or comes into the queue.
    pub(crate) fn purge_all(&mut self, id: QueueId) {
        self.purge_before(id, [Position::MAX; PRIORITIES]);
    }

    fn purge_before(&mut self, id: QueueId, ends: [Position; PRIORITIES]) {
        if self.queues[id.0 as usize].purge.replace(Box::new(ends)).is_none() {
            self.purging.push_back(id);
        }
    }

    /// Goes on with the purges under way; returns what is left of `budget`.
    pub(crate) fn purge_some(&mut self, mut budget: usize) -> usize {
        while budget > 0
            && let Some(id) = self.purging.front().copied()
        {
            match self.queue(id).next_purged() {
                Some(victim) => {
                    budget -= 1;
                    self.remove_waiting(id, victim, RemoveReason::Purged);
                }
                None => {
                    self.purging.pop_front();
                    self.queues[id.0 as usize].purge = None;
                }
            }
        }
        budget
    }

    /// Says, once, that a queue may go.
    pub(crate) fn tell_vacancy(&mut self, id: QueueId) {
        let queue = &mut self.queues[id.0 as usize];
        if queue.lifetime.ends() && queue.is_vacant() && !queue.vacancy_told {
            queue.vacancy_told = true;
            self.effects.push_back(Effect::Vacant { queue: id });
        }
    }

    /// Answers [`Effect::Vacant`]: the queue's producers are gone. Its name, if it was let go; it is not if something came
    /// to it meanwhile.
    pub fn remove_queue(&mut self, id: QueueId) -> Option<String> {
        let queue = &mut self.queues[id.0 as usize];
        queue.vacancy_told = false;
        if !queue.lifetime.ends() || !queue.is_vacant() {
            return None;
        }
        let mut place = Queue::new(String::new(), queue.properties.clone());
        place.lifetime = queue.lifetime;
        place.become_lifetime(Lifetime::Gone);
        let gone = core::mem::replace(queue, place);
        self.free.push(id.0);
        self.catalogue.remove(&gone.name);
        self.stores[usize::from(gone.store().0)].waiting.retain(|other| *other != id);
        for list in [&mut self.runnable, &mut self.overfull, &mut self.purging] {
            list.retain(|other| *other != id);
        }
        if self.catalogue.is_static(&gone.name) {
            // Defined again while it was being deleted.
            self.resolve(&gone.name).expect("definitions were checked by check_pattern");
        }
        Some(gone.name)
    }
}
