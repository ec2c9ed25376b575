//! Owns [`Unsettled`]: deliveries that we sent and whose settlement is awaited, by delivery-id.
//! A ring, so that a disposition over a range costs what lies in the range and nothing is allocated per delivery.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

/// Holes make up at most this share of the ring before its oldest deliveries move out: a consumer may keep one message for
/// hours while millions pass.
const HOLES_PER_DELIVERY_MAX: usize = 8;

/// The ring does not care about holes below this length.
const RING_LENGTH_FREE: usize = 4096;

/// Where a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Settled, or sent settled.
    Free,
    /// No outcome yet.
    Waiting,
    /// The peer sent an outcome without settling; our settlement is awaited.
    Answered,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Slot {
    token: u64,
    handle: u32,
    stage: Stage,
}

/// A delivery that a disposition was found for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    /// Position in the order of sending; see [`Unsettled::resolve`].
    pub(super) sequence: u64,
    pub(super) delivery_id: u32,
    pub(super) handle: u32,
    pub(super) token: u64,
    /// An outcome came before.
    pub(super) answered: bool,
}

/// Deliveries that we sent, in order. Positions are counted in 64 bits; delivery-ids are their low 32, shifted.
#[derive(Debug)]
pub(super) struct Unsettled {
    next_id: u32,
    next_sequence: u64,
    /// The newest deliveries without gap: the last element is the one before `next_sequence`.
    ring: VecDeque<Slot>,
    /// Old deliveries that would keep the ring long.
    stragglers: BTreeMap<u64, Slot>,
    /// Deliveries that are not free, ring and stragglers together.
    live: usize,
}

impl Unsettled {
    pub(super) fn new(first_id: u32) -> Self {
        Self { next_id: first_id, next_sequence: 0, ring: VecDeque::new(), stragglers: BTreeMap::new(), live: 0 }
    }

    /// How many await their settlement.
    pub(super) fn len(&self) -> usize {
        self.live
    }

    /// Numbers a delivery that is sent settled.
    pub(super) fn push_settled(&mut self) -> u32 {
        if !self.ring.is_empty() {
            self.ring.push_back(Slot { token: 0, handle: 0, stage: Stage::Free });
            self.bound_holes();
        }
        self.number()
    }

    /// Numbers a delivery and keeps it.
    pub(super) fn push(&mut self, handle: u32, token: u64) -> u32 {
        self.ring.push_back(Slot { token, handle, stage: Stage::Waiting });
        self.live += 1;
        self.bound_holes();
        self.number()
    }

    fn number(&mut self) -> u32 {
        let id = self.next_id;
        self.next_id = id.wrapping_add(1);
        self.next_sequence += 1;
        id
    }

    /// The positions of a range of delivery-ids, both ends inclusive, as far as they were sent.
    pub(super) fn resolve(&self, first: u32, last: u32) -> Option<(u64, u64)> {
        let first = self.sequence_of(first)?;
        let last = self.sequence_of(last).or(self.next_sequence.checked_sub(1))?;
        Some((first, last))
    }

    /// The position of a delivery-id; none if it is not yet given out.
    fn sequence_of(&self, id: u32) -> Option<u64> {
        let age = self.next_id.wrapping_sub(id);
        if age == 0 || age > 1 << 31 {
            return None;
        }
        // Ids from before the session began count as its first.
        Some(self.next_sequence.saturating_sub(u64::from(age)))
    }

    /// The first delivery at or after position `from` and up to `to` that is not settled.
    pub(super) fn next_in(&self, from: u64, to: u64) -> Option<Found> {
        if from > to {
            return None;
        }
        if let Some((sequence, slot)) = self.stragglers.range(from..=to).next() {
            return Some(self.found(*sequence, *slot));
        }
        let base = self.ring_base();
        let start = usize::try_from(from.saturating_sub(base)).ok()?;
        let end = usize::try_from(to.checked_sub(base)?.saturating_add(1)).ok()?.min(self.ring.len());
        let at = (start..end).find(|at| self.ring[*at].stage != Stage::Free)?;
        Some(self.found(base + at as u64, self.ring[at]))
    }

    /// The delivery of this id if it is not settled.
    pub(super) fn get(&self, id: u32) -> Option<Found> {
        let sequence = self.sequence_of(id)?;
        self.next_in(sequence, sequence)
    }

    /// The delivery at this position got an outcome.
    pub(super) fn set_answered(&mut self, sequence: u64) {
        if let Some(slot) = self.slot(sequence) {
            slot.stage = Stage::Answered;
        }
    }

    /// The delivery at this position is settled.
    pub(super) fn remove(&mut self, sequence: u64) {
        if self.stragglers.remove(&sequence).is_some() {
            self.live -= 1;
        } else if let Some(slot) = self.slot(sequence)
            && slot.stage != Stage::Free
        {
            slot.stage = Stage::Free;
            self.live -= 1;
            self.trim();
        }
    }

    /// Removes the deliveries of a link; the tokens of those without outcome, in order.
    pub(super) fn remove_link(&mut self, handle: u32) -> Vec<u64> {
        let mut tokens = Vec::new();
        let mut from = 0;
        while let Some(found) = self.next_in(from, u64::MAX) {
            from = found.sequence + 1;
            if found.handle == handle {
                if !found.answered {
                    tokens.push(found.token);
                }
                self.remove(found.sequence);
            }
        }
        tokens
    }

    /// Handle and token of every delivery without outcome, in order.
    pub(super) fn waiting(&self) -> impl Iterator<Item = (u32, u64)> + '_ {
        let slots = self.stragglers.values().chain(&self.ring);
        slots.filter(|slot| slot.stage == Stage::Waiting).map(|slot| (slot.handle, slot.token))
    }

    fn ring_base(&self) -> u64 {
        self.next_sequence - self.ring.len() as u64
    }

    fn slot(&mut self, sequence: u64) -> Option<&mut Slot> {
        if let Some(at) = sequence.checked_sub(self.ring_base()) {
            return self.ring.get_mut(usize::try_from(at).ok()?);
        }
        self.stragglers.get_mut(&sequence)
    }

    fn found(&self, sequence: u64, slot: Slot) -> Found {
        // The difference of positions is below 2^31 for every id that a peer can still name.
        let age = self.next_sequence - sequence;
        Found {
            sequence,
            delivery_id: self.next_id.wrapping_sub(age as u32),
            handle: slot.handle,
            token: slot.token,
            answered: slot.stage == Stage::Answered,
        }
    }

    /// Drops what is settled at the front.
    fn trim(&mut self) {
        while let Some(slot) = self.ring.front()
            && slot.stage == Stage::Free
        {
            self.ring.pop_front();
        }
    }

    /// Moves the oldest delivery out of a ring of holes. One per delivery sent is enough, because each makes one slot.
    fn bound_holes(&mut self) {
        if self.ring.len() < RING_LENGTH_FREE || self.ring.len() < self.live * HOLES_PER_DELIVERY_MAX {
            return;
        }
        // The delivery that was just pushed is not numbered yet, so the ring's base is one more.
        let sequence = self.next_sequence + 1 - self.ring.len() as u64;
        if let Some(slot) = self.ring.pop_front()
            && slot.stage != Stage::Free
        {
            self.stragglers.insert(sequence, slot);
        }
        self.trim();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: u32 = u32::MAX - 3;

    fn ids(unsettled: &Unsettled, first: u32, last: u32) -> Vec<u32> {
        let Some((mut from, to)) = unsettled.resolve(first, last) else { return Vec::new() };
        let mut ids = Vec::new();
        while let Some(found) = unsettled.next_in(from, to) {
            ids.push(found.delivery_id);
            from = found.sequence + 1;
        }
        ids
    }

    #[test]
    fn ranges_find_what_is_unsettled_across_the_wrap() {
        let mut unsettled = Unsettled::new(FIRST);
        let sent: Vec<u32> = (0..8).map(|token| unsettled.push(0, token)).collect();
        assert_eq!(sent[3..6], [u32::MAX, 0, 1]);
        assert_eq!(ids(&unsettled, FIRST, 3), sent);
        assert_eq!(ids(&unsettled, u32::MAX, 1), [u32::MAX, 0, 1]);
        unsettled.remove(unsettled.get(0).unwrap().sequence);
        assert_eq!(ids(&unsettled, u32::MAX, 1), [u32::MAX, 1]);
        assert_eq!(unsettled.len(), 7);
        assert_eq!(unsettled.get(0), None);
    }

    #[test]
    fn ids_that_were_not_sent_are_passed_over() {
        let mut unsettled = Unsettled::new(FIRST);
        assert_eq!(unsettled.resolve(FIRST, FIRST), None);
        unsettled.push(0, 1);
        assert_eq!(ids(&unsettled, FIRST - 100, FIRST.wrapping_add(100)), [FIRST]);
        assert_eq!(ids(&unsettled, FIRST + 1, FIRST.wrapping_add(9)), Vec::<u32>::new());
    }

    #[test]
    fn settled_deliveries_take_a_number_and_no_slot() {
        let mut unsettled = Unsettled::new(0);
        assert_eq!(unsettled.push_settled(), 0);
        assert_eq!(unsettled.push(7, 70), 1);
        assert_eq!(unsettled.push_settled(), 2);
        assert_eq!(unsettled.push(8, 80), 3);
        assert_eq!(ids(&unsettled, 0, 9), [1, 3]);
        assert_eq!(unsettled.remove_link(7), [70]);
        assert_eq!(unsettled.waiting().collect::<Vec<_>>(), [(8, 80)]);
    }

    #[test]
    fn answered_deliveries_are_not_reported_as_waiting() {
        let mut unsettled = Unsettled::new(0);
        let ids: Vec<u32> = (0..4).map(|token| unsettled.push(1, token)).collect();
        assert_eq!(ids, [0, 1, 2, 3]);
        unsettled.set_answered(1);
        assert!(unsettled.get(1).unwrap().answered);
        assert_eq!(unsettled.waiting().map(|(_, token)| token).collect::<Vec<_>>(), [0, 2, 3]);
        assert_eq!(unsettled.remove_link(1), [0, 2, 3]);
        assert_eq!(unsettled.len(), 0);
    }

    /// One message kept while many pass: the ring must not grow with those that passed.
    #[test]
    fn a_delivery_that_is_kept_for_long_does_not_make_the_ring_long() {
        let mut unsettled = Unsettled::new(FIRST);
        let kept = unsettled.push(0, 99);
        for token in 0..100_000 {
            let id = unsettled.push(0, token);
            unsettled.remove(unsettled.get(id).unwrap().sequence);
        }
        assert!(unsettled.ring.len() <= RING_LENGTH_FREE + 1, "{}", unsettled.ring.len());
        assert_eq!(unsettled.get(kept).map(|found| (found.token, found.delivery_id)), Some((99, kept)));
        assert_eq!(ids(&unsettled, kept, kept.wrapping_add(200_000)), [kept]);
        unsettled.remove(unsettled.get(kept).unwrap().sequence);
        assert_eq!(unsettled.len(), 0);
    }

    /// Random operations against a plain map.
    #[test]
    fn agrees_with_a_map() {
        for seed in 0..20 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut unsettled = Unsettled::new(FIRST);
            let mut model: BTreeMap<u64, (u32, u64)> = BTreeMap::new();
            for step in 0..20_000u64 {
                if random.u8(..) < 140 {
                    let settled = random.u8(..) < 20;
                    let handle = random.u32(0..3);
                    if settled {
                        unsettled.push_settled();
                    } else {
                        unsettled.push(handle, step);
                        model.insert(unsettled.next_sequence - 1, (handle, step));
                    }
                } else if unsettled.next_sequence > 0 {
                    let back = random.u64(1..=unsettled.next_sequence.min(5000));
                    let sequence = unsettled.next_sequence - back;
                    let id = FIRST.wrapping_add(sequence as u32);
                    let expected = model.remove(&sequence).map(|(_, token)| token);
                    let found = unsettled.get(id);
                    assert_eq!(found.map(|found| found.token), expected, "seed {seed}");
                    if let Some(found) = found {
                        assert_eq!(found.delivery_id, id);
                        unsettled.remove(found.sequence);
                    }
                }
                assert_eq!(unsettled.len(), model.len(), "seed {seed}");
            }
            assert_eq!(unsettled.waiting().collect::<Vec<_>>(), model.values().copied().collect::<Vec<_>>());
        }
    }
}
