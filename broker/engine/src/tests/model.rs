//! Random histories against a naive model.
//!
//! The model is a plain list of messages. It does not predict which of several consumers is served; it checks that
//! each effect is allowed at that moment, and, when the engine says that nothing is left to do, that it is so.

use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

#[derive(Clone, Debug)]
enum Step {
    Publish { queue: usize, priority: u8, ttl: u64, len: u32 },
    Confirm { lag: u64 },
    Attach { queue: usize, browse: bool, window: u32 },
    Detach { consumer: usize },
    Credit { consumer: usize, credit: u32 },
    Drain { consumer: usize, credit: u32 },
    Settle { delivery: usize, outcome: Settle },
    Time { ms: u64 },
    Sweep { budget: usize },
    Poll { count: usize },
    Load { count: usize },
    Trim { budget: usize },
    Purge { queue: usize },
    Redefine { maxmsgs: u64, exclusive: bool },
}

fn outcome() -> impl Strategy<Value = Settle> {
    prop_oneof![
        4 => Just(Settle::Accept),
        2 => Just(Settle::Release),
        1 => Just(Settle::Reject),
        3 => (any::<bool>(), any::<bool>())
            .prop_map(|(failed, undeliverable_here)| Settle::Modify { failed, undeliverable_here }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        9 => (0..5usize, 0..12u8, 0..4u64, 1..200u32).prop_map(|(queue, priority, ttl, len)| Step::Publish {
            queue,
            priority,
            ttl: ttl * 7,
            len
        }),
        4 => (0..4u64).prop_map(|lag| Step::Confirm { lag }),
        2 => (0..5usize, 0..4u8, 0..4u32).prop_map(|(queue, kind, window)| Step::Attach {
            queue,
            browse: kind == 0,
            window
        }),
        1 => any::<usize>().prop_map(|consumer| Step::Detach { consumer }),
        5 => (any::<usize>(), 0..6u32).prop_map(|(consumer, credit)| Step::Credit { consumer, credit }),
        1 => (any::<usize>(), 0..6u32).prop_map(|(consumer, credit)| Step::Drain { consumer, credit }),
        8 => (any::<usize>(), outcome()).prop_map(|(delivery, outcome)| Step::Settle { delivery, outcome }),
        1 => (1..9u64).prop_map(|ms| Step::Time { ms }),
        1 => (1..20usize).prop_map(|budget| Step::Sweep { budget }),
        4 => (1..9usize).prop_map(|count| Step::Poll { count }),
        3 => (1..6usize).prop_map(|count| Step::Load { count }),
        2 => (1..4usize).prop_map(|budget| Step::Trim { budget }),
        1 => (0..5usize).prop_map(|queue| Step::Purge { queue }),
        1 => (1..6u64, any::<bool>()).prop_map(|(maxmsgs, exclusive)| Step::Redefine { maxmsgs, exclusive }),
    ]
}

#[derive(Clone, Debug)]
struct Message {
    queue: usize,
    entry: Entry,
    holder: Option<ConsumerId>,
    excluded: BTreeSet<ConsumerId>,
    must_be_confirmed: bool,
    /// Published while its queue was being loaded.
    arrived_behind: bool,
}

#[derive(Clone, Debug)]
struct Taker {
    queue: usize,
    browse: bool,
    window: u32,
    credit: u32,
    draining: bool,
    seen: BTreeSet<u64>,
}

struct Model {
    engine: Engine,
    definitions: Vec<QueueDefinition>,
    ids: Vec<QueueId>,
    now_ms: u64,
    lsn: u64,
    confirmed: u64,
    /// By lsn: everything in the queues.
    messages: BTreeMap<u64, Message>,
    takers: BTreeMap<ConsumerId, Taker>,
    /// Attach order, for exclusive queues.
    order: Vec<ConsumerId>,
    held: Vec<(DeliveryToken, ConsumerId, u64)>,
    /// Removals that the engine owes.
    owed: Vec<(u64, RemoveReason)>,
    /// What a recovered store still hands over, in order.
    backlog: VecDeque<(usize, Entry)>,
    /// Queues whose backlog is not complete.
    loading: BTreeSet<usize>,
    /// What the purges under way cover.
    purged: BTreeSet<u64>,
}

impl Model {
    fn new(backlog: &[(usize, u8, u32)]) -> Self {
        let sync = Some(SYNC);
        let definitions = vec![
            line("plain"),
            QueueDefinition { store: sync, prefetch: Prefetch::Count(2), ..line("sync") },
            QueueDefinition { maxmsgs: 4, overflow: OverflowPolicy::DiscardOld, ..line("discard") },
            QueueDefinition { store: sync, maxbytes: 600, max_redelivery: 2, ..line("full") },
            QueueDefinition { exclusive: true, ..line("exclusive") },
        ];
        let mut engine = engine(&definitions);
        let ids: Vec<QueueId> =
            definitions.iter().map(|definition| engine.resolve(&definition.pattern).unwrap()).collect();
        let loading: BTreeSet<usize> = backlog.iter().map(|(queue, ..)| *queue).collect();
        loading.iter().for_each(|queue| engine.begin_loading(ids[*queue]));
        let numbered = (1..).zip(backlog).map(|(lsn, (queue, priority, len))| {
            let place = Place { len: *len, ..Place::default() };
            (*queue, Entry { priority: *priority, place, ..entry(lsn) })
        });
        let backlog: VecDeque<(usize, Entry)> = numbered.collect();
        let lsn = backlog.len() as u64;
        Self {
            engine,
            definitions,
            ids,
            now_ms: 1000,
            lsn,
            confirmed: lsn,
            messages: BTreeMap::new(),
            takers: BTreeMap::new(),
            order: Vec::new(),
            held: Vec::new(),
            owed: Vec::new(),
            backlog,
            loading,
            purged: BTreeSet::new(),
        }
    }

    fn apply(&mut self, step: &Step) {
        match *step {
            Step::Publish { queue, priority, ttl, len } => self.publish(queue, priority, ttl, len),
            Step::Confirm { lag } => {
                self.confirmed = self.confirmed.max(self.lsn.saturating_sub(lag));
                self.engine.confirmed(SYNC, self.confirmed);
            }
            Step::Attach { queue, browse, window } => self.attach(queue, browse, window),
            Step::Detach { consumer } => self.with_consumer(consumer, Self::detach),
            Step::Credit { consumer, credit } => self.with_consumer(consumer, |model, id| {
                model.engine.credit(id, credit);
                model.takers.get_mut(&id).unwrap().credit = credit;
            }),
            Step::Drain { consumer, credit } => self.with_consumer(consumer, |model, id| {
                model.engine.drain(id, credit);
                let taker = model.takers.get_mut(&id).unwrap();
                (taker.credit, taker.draining) = (credit, true);
            }),
            Step::Settle { delivery, outcome } => self.settle(delivery, outcome),
            Step::Time { ms } => self.now_ms += ms,
            Step::Sweep { budget } => self.engine.sweep(self.now_ms, budget),
            Step::Poll { count } => {
                for _ in 0..count {
                    self.poll();
                }
            }
            Step::Load { count } => self.load(count),
            Step::Trim { budget } => self.trim(budget),
            Step::Purge { queue } => self.purge(queue),
            Step::Redefine { maxmsgs, exclusive } => {
                self.definitions[2].maxmsgs = maxmsgs;
                self.definitions[4].exclusive = exclusive;
                assert_eq!(self.engine.redefine(self.definitions.clone()), []);
            }
        }
        self.engine.check_invariants();
    }

    fn purge(&mut self, queue: usize) {
        // What the sweep took out is taken note of first.
        while self.has_effects_queued() {
            self.poll();
        }
        let inside = self.messages.values().filter(|message| message.queue == queue);
        let covered: Vec<u64> = inside.map(|message| message.entry.lsn).collect();
        let begun = self.engine.purge(self.ids[queue]);
        if self.loading.contains(&queue) {
            assert_eq!(begun, Err(StillLoading));
        } else {
            assert_eq!(begun, Ok(covered.len() as u64));
            self.purged.extend(covered);
        }
    }

    fn trim(&mut self, budget: usize) {
        self.engine.trim(budget);
        while self.has_effects_queued() {
            self.poll();
        }
        let (engine, ids, messages) = (&self.engine, &self.ids, &self.messages);
        self.purged.retain(|lsn| {
            let Some(message) = messages.get(lsn) else { return false };
            let goes_on = engine.is_purging(ids[message.queue]);
            assert!(goes_on || message.holder.is_some(), "a purge that is over left nothing waiting");
            goes_on
        });
    }

    /// Hands over the next part of the backlog; a queue is told of the end some time after its last message.
    fn load(&mut self, count: usize) {
        for _ in 0..count {
            let Some((queue, entry)) = self.backlog.pop_front() else { break };
            self.engine.recover(self.ids[queue], entry);
            let (excluded, must_be_confirmed) = (BTreeSet::new(), false);
            let message = Message { queue, entry, holder: None, excluded, must_be_confirmed, arrived_behind: false };
            self.messages.insert(entry.lsn, message);
        }
        let unfinished: BTreeSet<usize> = self.backlog.iter().map(|(queue, _)| *queue).collect();
        for queue in self.loading.difference(&unfinished).copied().collect::<Vec<usize>>() {
            self.engine.end_loading(self.ids[queue]);
            self.loading.remove(&queue);
        }
    }

    fn with_consumer(&mut self, choice: usize, act: impl FnOnce(&mut Self, ConsumerId)) {
        // The end of a drain is taken note of before anything new is asked for.
        while self.has_effects_queued() {
            self.poll();
        }
        if !self.order.is_empty() {
            act(self, self.order[choice % self.order.len()]);
        }
    }

    fn publish(&mut self, queue: usize, priority: u8, ttl: u64, len: u32) {
        let definition = self.definitions[queue].clone();
        let inside = || self.messages.values().filter(|message| message.queue == queue);
        let count = inside().count() as u64;
        let bytes: u64 = inside().map(|message| u64::from(message.entry.place.len)).sum();
        let admitted = self.engine.admit(self.now_ms, self.ids[queue], len);
        let fits = (definition.maxmsgs == 0 || count < definition.maxmsgs)
            && (definition.maxbytes == 0 || bytes + u64::from(len) <= definition.maxbytes);
        if fits {
            assert_eq!(admitted, Ok(()), "there was room");
        }
        if admitted.is_err() {
            return;
        }
        self.lsn += 1;
        let expires_at_ms = if ttl == 0 { 0 } else { self.now_ms + ttl };
        let entry = Entry { priority, expires_at_ms, place: Place { len, ..Place::default() }, ..entry(self.lsn) };
        let visibility = self.engine.visibility(self.ids[queue]);
        self.engine.publish(self.ids[queue], entry, visibility);
        let must_be_confirmed = visibility == Visibility::WhenConfirmed;
        let arrived_behind = self.loading.contains(&queue);
        let excluded = BTreeSet::new();
        let message = Message { queue, entry, holder: None, excluded, must_be_confirmed, arrived_behind };
        self.messages.insert(self.lsn, message);
    }

    fn attach(&mut self, queue: usize, browse: bool, window_max: u32) {
        let id = self.engine.add_consumer(self.ids[queue], ConsumerSpec { browse, window_max });
        let prefetch = if queue == 1 { 2 } else { 0 };
        let window = [window_max, prefetch].into_iter().filter(|window| *window > 0).min().unwrap_or(0);
        let taker = Taker { queue, browse, window, credit: 0, draining: false, seen: BTreeSet::new() };
        assert!(self.takers.insert(id, taker).is_none(), "ids are fresh");
        self.order.push(id);
    }

    fn detach(&mut self, id: ConsumerId) {
        self.engine.remove_consumer(id);
        let taker = self.takers.remove(&id).unwrap();
        self.order.retain(|other| *other != id);
        let held: Vec<u64> = self.held.iter().filter(|(_, holder, _)| *holder == id).map(|(.., lsn)| *lsn).collect();
        self.held.retain(|(_, holder, _)| *holder != id);
        if !taker.browse {
            held.into_iter().for_each(|lsn| self.give_back(lsn, true));
        }
        self.messages.values_mut().for_each(|message| {
            message.excluded.remove(&id);
        });
    }

    fn give_back(&mut self, lsn: u64, failed: bool) {
        let message = self.messages.get_mut(&lsn).unwrap();
        message.holder = None;
        message.entry.delivery_count += u16::from(failed);
        let attempts_max = u16::from(self.definitions[message.queue].max_redelivery);
        if failed && attempts_max > 0 && message.entry.delivery_count >= attempts_max {
            self.messages.remove(&lsn);
            self.owed.push((lsn, RemoveReason::MaxRedelivery));
        }
    }

    fn settle(&mut self, choice: usize, outcome: Settle) {
        if self.held.is_empty() {
            return;
        }
        let (token, id, lsn) = self.held.swap_remove(choice % self.held.len());
        assert_eq!(self.engine.settle(token, outcome), Ok(()));
        assert_eq!(self.engine.settle(token, outcome), Err(UnknownDelivery(token)));
        if self.takers[&id].browse {
            return;
        }
        match outcome {
            Settle::Accept | Settle::Reject => {
                self.messages.remove(&lsn);
                let accepted = outcome == Settle::Accept;
                self.owed.push((
                    lsn,
                    if accepted { RemoveReason::Accepted { token } } else { RemoveReason::Rejected { token } },
                ));
            }
            Settle::Release => self.give_back(lsn, false),
            Settle::Modify { failed, undeliverable_here } => {
                if undeliverable_here {
                    self.messages.get_mut(&lsn).unwrap().excluded.insert(id);
                }
                self.give_back(lsn, failed);
            }
        }
    }

    /// Whether the model would hand `message` to `id`, expiry aside.
    fn is_visible(&self, message: &Message, id: ConsumerId) -> bool {
        let taker = &self.takers[&id];
        let blocked = |other: &Message| {
            other.queue == message.queue
                && other.entry.priority.min(9) == message.entry.priority.min(9)
                && other.entry.lsn <= message.entry.lsn
                && other.must_be_confirmed
                && other.entry.lsn > self.confirmed
        };
        message.queue == taker.queue
            && message.holder.is_none()
            && !(message.arrived_behind && self.loading.contains(&message.queue))
            && !message.excluded.contains(&id)
            && !(taker.browse && taker.seen.contains(&message.entry.lsn))
            && !self.messages.values().any(blocked)
    }

    fn first_for(&self, id: ConsumerId) -> Option<&Message> {
        let visible = self.messages.values().filter(|message| self.is_visible(message, id));
        visible.min_by_key(|message| (std::cmp::Reverse(message.entry.priority.min(9)), message.entry.lsn))
    }

    fn can_take(&self, id: ConsumerId) -> bool {
        let taker = &self.takers[&id];
        let held = self.held.iter().filter(|(_, holder, _)| *holder == id).count() as u32;
        let first =
            self.order.iter().find(|other| !self.takers[other].browse && self.takers[other].queue == taker.queue);
        let entitled = taker.browse || !self.definitions[taker.queue].exclusive || first == Some(&id);
        taker.credit > 0 && (taker.window == 0 || held < taker.window) && entitled
    }

    /// One effect, checked; false when the engine says that there is none.
    fn poll(&mut self) -> bool {
        let effect = self.engine.poll_effect(self.now_ms);
        self.engine.check_invariants();
        match effect {
            Some(Effect::Deliver { consumer, token, queue, store, entry }) => {
                self.check_delivery(consumer, queue, entry);
                assert_eq!(store, self.engine.store_of(queue));
                self.held.push((token, consumer, entry.lsn));
            }
            Some(Effect::Remove { queue, entry, reason, .. }) => self.check_removal(queue, entry, reason),
            Some(Effect::Vacant { queue }) => panic!("queue {queue:?} is defined"),
            Some(Effect::Drained { consumer, unused }) => {
                let taker = self.takers.get_mut(&consumer).expect("the dead are told nothing");
                assert!(taker.draining, "nobody asked for a drain");
                assert_eq!(unused, taker.credit, "what is left of the credit");
                (taker.draining, taker.credit) = (false, 0);
            }
            None => {
                self.check_quiet();
                return false;
            }
        }
        true
    }

    fn check_delivery(&mut self, consumer: ConsumerId, queue: QueueId, entry: Entry) {
        assert!(self.can_take(consumer), "credit, window and exclusivity");
        let browse = self.takers[&consumer].browse;
        if browse {
            // Browsers pass over expired messages; what they are shown is waiting and new to them.
            let message = &self.messages[&entry.lsn];
            assert!(self.is_visible(message, consumer));
        } else {
            let first = self.first_for(consumer).expect("the model knows a message");
            assert_eq!((first.entry.lsn, self.ids[first.queue]), (entry.lsn, queue), "order");
        }
        let message = &self.messages[&entry.lsn];
        assert!(entry.expires_at_ms == 0 || entry.expires_at_ms > self.now_ms, "not expired");
        assert_eq!((message.entry.delivery_count, message.entry.place), (entry.delivery_count, entry.place));
        let taker = self.takers.get_mut(&consumer).unwrap();
        taker.credit -= 1;
        if browse {
            taker.seen.insert(entry.lsn);
        } else {
            self.messages.get_mut(&entry.lsn).unwrap().holder = Some(consumer);
        }
    }

    fn check_removal(&mut self, queue: QueueId, entry: Entry, reason: RemoveReason) {
        match reason {
            RemoveReason::Expired => {
                let message = self.messages.remove(&entry.lsn).expect("still there");
                assert!(message.holder.is_none() && entry.expires_at_ms <= self.now_ms);
                assert_eq!(self.ids[message.queue], queue);
            }
            RemoveReason::Purged => {
                let message = self.messages.remove(&entry.lsn).expect("still there");
                assert!(message.holder.is_none() && self.purged.contains(&entry.lsn), "a purge covers it");
            }
            RemoveReason::Discarded => {
                let message = self.messages.remove(&entry.lsn).expect("still there");
                assert!(message.holder.is_none());
                assert_eq!(self.definitions[message.queue].overflow, OverflowPolicy::DiscardOld);
                assert!(!self.loading.contains(&message.queue), "what is the oldest is not known yet");
            }
            _ => {
                let due = self.owed.iter().position(|owed| *owed == (entry.lsn, reason)).expect("asked for");
                self.owed.remove(due);
            }
        }
    }

    /// The engine says that nothing is left to do.
    fn check_quiet(&self) {
        assert_eq!(self.owed, [], "removals were reported");
        for id in &self.order {
            let is_loading = self.loading.contains(&self.takers[id].queue);
            assert!(is_loading || !self.takers[id].draining, "a drain was answered");
            if self.can_take(*id) {
                let live = self.messages.values().find(|message| {
                    let expired = message.entry.expires_at_ms != 0 && message.entry.expires_at_ms <= self.now_ms;
                    self.is_visible(message, *id) && !expired
                });
                // Browsers do not come back to what was returned behind them.
                assert!(live.is_none() || self.takers[id].browse, "{id:?} could take {live:?}");
            }
        }
        for (index, snapshot) in self.engine.queues().enumerate() {
            let inside = || self.messages.values().filter(|message| message.queue == index);
            let bytes = inside().map(|message| u64::from(message.entry.place.len)).sum::<u64>();
            assert_eq!((snapshot.messages, snapshot.bytes), (inside().count() as u64, bytes));
            assert_eq!(snapshot.loading, self.loading.contains(&index));
            assert_eq!(snapshot.unsettled, inside().filter(|message| message.holder.is_some()).count() as u64);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn random_histories_agree_with_the_model(
        backlog in prop::collection::vec((0..5usize, 0..12u8, 1..200u32), 0..40),
        steps in prop::collection::vec(step(), 1..150),
    ) {
        let mut model = Model::new(&backlog);
        for step in &steps {
            model.apply(step);
            // Discards are decided by `admit` and are reported before the next step.
            if matches!(step, Step::Publish { .. }) {
                while model.has_effects_queued() {
                    model.poll();
                }
            }
        }
        model.finish();
    }
}

impl Model {
    fn has_effects_queued(&self) -> bool {
        !self.engine.effects.is_empty()
    }

    fn poll_all(&mut self) {
        let mut polls = 0;
        while self.poll() {
            polls += 1;
            assert!(polls < 100_000, "effects end");
        }
    }

    /// Loads the rest and looks that nothing stays behind: a consumer with enough credit gets everything in order.
    fn finish(&mut self) {
        self.load(usize::MAX);
        self.engine.check_invariants();
        for _ in 0..=self.messages.len() + self.ids.len() {
            self.trim(1);
        }
        assert!(!self.engine.trim(1), "purges end");
        self.poll_all();
        self.order.clone().into_iter().for_each(|id| self.detach(id));
        self.confirmed = self.lsn;
        self.engine.confirmed(SYNC, self.confirmed);
        for queue in 0..self.definitions.len() {
            self.attach(queue, false, 0);
            let id = *self.order.last().expect("just attached");
            self.engine.credit(id, u32::MAX);
            self.takers.get_mut(&id).expect("just attached").credit = u32::MAX;
            loop {
                self.poll_all();
                let held: Vec<(DeliveryToken, ConsumerId, u64)> = std::mem::take(&mut self.held);
                if held.is_empty() {
                    break;
                }
                for delivery in held {
                    self.held.push(delivery);
                    self.settle(0, Settle::Accept);
                }
            }
        }
        assert_eq!(self.messages.len(), 0, "everything can be had in the end");
    }
}
