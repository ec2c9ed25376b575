//! One queue: its levels, its counts and its consumers.
//!
//! Owns the figures that the limits look at; the engine owns the effects and the consumers themselves.

use crate::PRIORITIES;
use crate::definition::OverflowPolicy;
use crate::effect::{Limit, Refusal};
use crate::engine::Limits;
use crate::entry::{ConsumerId, Entry, StoreId};
use crate::level::{Level, Position, View};
use crate::lifetime::Lifetime;
use crate::names::Properties;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;

/// One queue.
#[derive(Debug)]
pub(crate) struct Queue {
    pub(crate) name: String,
    pub(crate) properties: Properties,
    /// By priority, 0 lowest.
    pub(crate) levels: [Level; PRIORITIES],
    /// Bit p: `levels[p]` is not empty.
    occupied: u16,
    /// Messages and bytes in the queue: waiting and unsettled.
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
    /// Those that consumers hold.
    pub(crate) unsettled: u64,
    /// Waiting messages that may expire.
    pub(crate) expiring: u64,
    /// Highest lsn published that needs confirmation.
    pub(crate) unconfirmed_lsn: u64,
    /// Attached consumers that take, in order of arrival.
    pub(crate) consumers: Vec<ConsumerId>,
    /// Attached browsers, in order of arrival.
    pub(crate) browsers: Vec<ConsumerId>,
    /// The round: consumers that may take, next first. May name some that cannot any more.
    pub(crate) round: VecDeque<ConsumerId>,
    /// Consumers that drain.
    pub(crate) draining: u32,
    /// Stands in the engine's list of queues with something to do.
    pub(crate) runnable: bool,
    /// Stands in its store's list of queues that wait for confirmation.
    pub(crate) waiting: bool,
    /// Backlogs that recovered stores still hand over; what arrives waits behind them.
    pub(crate) loading: u32,
    /// Stands in the engine's list of queues that were loaded and may hold more than they are allowed to.
    pub(crate) overfull: bool,
    /// A purge is under way: by level, the position before which all that waits leaves.
    pub(crate) purge: Option<Box<[Position; PRIORITIES]>>,
    /// How long it stays.
    pub(crate) lifetime: Lifetime,
    /// [`crate::Effect::Vacant`] has been given and not been answered.
    pub(crate) vacancy_told: bool,
}

pub(crate) fn level_of(entry: &Entry) -> usize {
    usize::from(entry.priority).min(PRIORITIES - 1)
}

impl Queue {
    pub(crate) fn new(name: String, properties: Properties) -> Self {
        Self {
            name,
            properties,
            levels: Default::default(),
            occupied: 0,
            messages: 0,
            bytes: 0,
            unsettled: 0,
            expiring: 0,
            unconfirmed_lsn: 0,
            consumers: Vec::new(),
            browsers: Vec::new(),
            round: VecDeque::new(),
            draining: 0,
            runnable: false,
            waiting: false,
            loading: 0,
            overfull: false,
            purge: None,
            lifetime: Lifetime::Listed,
            vacancy_told: false,
        }
    }

    /// Enters the next part of its life.
    pub(crate) fn become_lifetime(&mut self, next: Lifetime) {
        assert!(self.lifetime.can_become(next), "{:?} does not become {next:?}", self.lifetime);
        self.lifetime = next;
    }

    /// Holds nothing, serves nobody, and nothing is on its way to it.
    pub(crate) fn is_vacant(&self) -> bool {
        self.messages == 0 && self.consumers.is_empty() && self.browsers.is_empty() && self.loading == 0
    }

    /// A waiting entry that the purge under way covers.
    pub(crate) fn next_purged(&self) -> Option<(usize, Position)> {
        let ends = self.purge.as_deref()?;
        self.occupied_levels().find_map(|level| {
            let (position, _) = self.levels[level].oldest()?;
            (position < ends[level]).then_some((level, position))
        })
    }

    pub(crate) fn store(&self) -> StoreId {
        self.properties.store
    }

    pub(crate) fn push(&mut self, entry: Entry) {
        let level = self.note_new(&entry);
        self.levels[level].push(entry);
    }

    /// Adds an entry of the backlog, ahead of all that arrived meanwhile.
    pub(crate) fn push_loaded(&mut self, entry: Entry) {
        let level = self.note_new(&entry);
        self.levels[level].push_loaded(entry);
    }

    fn note_new(&mut self, entry: &Entry) -> usize {
        let level = level_of(entry);
        self.messages += 1;
        self.bytes += entry.bytes();
        self.expiring += u64::from(entry.expires_at_ms != 0);
        self.occupied |= 1 << level;
        level
    }

    /// One backlog more, or one less. True: the last one is complete.
    pub(crate) fn change_loading(&mut self, more: bool) -> bool {
        let was = self.loading > 0;
        self.loading = if more { self.loading + 1 } else { self.loading.checked_sub(1).expect("a backlog ends once") };
        let is = self.loading > 0;
        if was != is {
            self.levels.iter_mut().for_each(|level| level.set_loading(is));
        }
        was && !is
    }

    /// Takes a waiting entry out of its level; it still counts as in the queue.
    pub(crate) fn take(&mut self, level: usize, position: Position) -> Entry {
        let entry = self.levels[level].take(position);
        self.note_taken(level, &entry);
        entry
    }

    fn note_taken(&mut self, level: usize, entry: &Entry) {
        self.expiring -= u64::from(entry.expires_at_ms != 0);
        if self.levels[level].is_empty() {
            self.occupied &= !(1 << level);
        }
    }

    pub(crate) fn put_back(&mut self, position: Position, entry: Entry) {
        let level = level_of(&entry);
        self.expiring += u64::from(entry.expires_at_ms != 0);
        self.levels[level].put_back(position, entry);
        self.occupied |= 1 << level;
    }

    /// Forgets an entry that was taken and will not come back.
    pub(crate) fn forget(&mut self, position: Position, entry: &Entry) {
        self.levels[level_of(entry)].forget(position, entry);
        self.messages -= 1;
        self.bytes -= entry.bytes();
    }

    /// Levels with waiting entries, highest priority first.
    fn occupied_levels(&self) -> impl Iterator<Item = usize> + use<> {
        let mut bits = self.occupied;
        core::iter::from_fn(move || {
            let level = bits.checked_ilog2()? as usize;
            bits &= !(1 << level);
            Some(level)
        })
    }

    /// What `view` gets next.
    pub(crate) fn first(&self, view: View) -> Option<(usize, Position, Entry)> {
        self.occupied_levels().find_map(|level| {
            let (position, entry) = self.levels[level].first(view)?;
            Some((level, position, *entry))
        })
    }

    /// What a browser with `cursors` sees next.
    pub(crate) fn next_unseen(&self, cursors: &[Position; PRIORITIES], view: View) -> Option<(usize, Position, Entry)> {
        self.occupied_levels().find_map(|level| {
            let (position, entry) = self.levels[level].first_from(cursors[level], view)?;
            Some((level, position, *entry))
        })
    }

    /// The waiting entry that was published first.
    pub(crate) fn oldest(&self) -> Option<(usize, Position)> {
        let heads = self.occupied_levels().filter_map(|level| {
            let (position, entry) = self.levels[level].oldest()?;
            Some((entry.lsn, level, position))
        });
        heads.min().map(|(_, level, position)| (level, position))
    }

    /// An expired entry at the head of a level.
    pub(crate) fn expired_head(&self, now_ms: u64) -> Option<(usize, Position)> {
        if self.expiring == 0 {
            return None;
        }
        self.occupied_levels().find_map(|level| {
            let (position, entry) = self.levels[level].oldest()?;
            entry.is_expired(now_ms).then_some((level, position))
        })
    }

    pub(crate) fn has_exclusions(&self) -> bool {
        self.levels.iter().any(Level::has_exclusions)
    }

    /// Which limit one more message of `len` bytes would exceed.
    pub(crate) fn exceeded(&self, len: u32) -> Option<Limit> {
        let Properties { maxmsgs, maxbytes, .. } = self.properties;
        if maxmsgs != 0 && self.messages + 1 > maxmsgs {
            return Some(Limit::Messages(maxmsgs));
        }
        (maxbytes != 0 && self.bytes + u64::from(len) > maxbytes).then_some(Limit::Bytes(maxbytes))
    }

    /// Whether it holds more than its limits allow.
    pub(crate) fn is_overfull(&self) -> bool {
        let Properties { maxmsgs, maxbytes, .. } = self.properties;
        (maxmsgs != 0 && self.messages > maxmsgs) || (maxbytes != 0 && self.bytes > maxbytes)
    }

    /// Whether discarding can never make room for `len` bytes.
    pub(crate) fn is_hopeless(&self, len: u32) -> bool {
        self.properties.maxbytes != 0 && u64::from(len) > self.properties.maxbytes
    }

    /// What holds for it, as others are told.
    pub(crate) fn limits(&self) -> Limits {
        let properties = &self.properties;
        Limits {
            maxmsgs: properties.maxmsgs,
            maxbytes: properties.maxbytes,
            overflow: properties.overflow,
            prefetch: properties.window_max,
            exclusive: properties.exclusive,
            max_redelivery: properties.max_redelivery,
            expiration_ms: properties.expiration_ms,
        }
    }

    pub(crate) fn refusal(&self, limit: Limit) -> Refusal {
        Refusal::Full { limit, policy: self.properties.overflow }
    }

    pub(crate) fn discards(&self) -> bool {
        self.properties.overflow == OverflowPolicy::DiscardOld
    }

    /// Whether `consumer` may take messages, as far as `exclusive` goes.
    pub(crate) fn is_entitled(&self, consumer: ConsumerId) -> bool {
        !self.properties.exclusive || self.consumers.first() == Some(&consumer)
    }

    pub(crate) fn has_takers(&self) -> bool {
        !self.round.is_empty() || !self.browsers.is_empty() || self.draining > 0
    }

    /// Removes expired entries of one level; see [`Level::expire`].
    pub(crate) fn expire(
        &mut self,
        level: usize,
        from: Position,
        now_ms: u64,
        budget: &mut usize,
    ) -> (Option<Position>, Vec<Entry>) {
        let mut gone = Vec::new();
        let next = self.levels[level].expire(from, now_ms, budget, |position, entry| gone.push((position, entry)));
        for (position, entry) in &gone {
            self.note_taken(level, entry);
            self.forget(*position, entry);
        }
        (next, gone.into_iter().map(|(_, entry)| entry).collect())
    }

    pub(crate) fn check_invariants(&self) {
        let mut waiting = 0;
        let mut expiring = 0;
        for (index, level) in self.levels.iter().enumerate() {
            level.check_invariants();
            assert_eq!(self.occupied >> index & 1 == 1, !level.is_empty(), "the bitmap tells of entries");
            let all = || level.entries().map(|(_, entry)| entry).chain(level.hidden());
            assert_eq!(all().count(), level.len());
            assert!(all().all(|entry| level_of(entry) == index), "an entry stands in its level");
            assert!(self.loading > 0 || level.hidden().next().is_none(), "a loaded queue hides nothing");
            waiting += level.len() as u64;
            expiring += all().filter(|entry| entry.expires_at_ms != 0).count() as u64;
        }
        assert_eq!(waiting + self.unsettled, self.messages, "messages are waiting or unsettled");
        assert_eq!(expiring, self.expiring, "entries that expire are counted");
    }
}
