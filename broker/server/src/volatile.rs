//! Bodies of non-persistent messages: memory only, gone with the process, as EMS has it.
//!
//! Owns the slots and their byte count, which is part of the store's memory budget. A slot's number travels as the `offset` of a `Place` whose segment is [`SEGMENT`].

use bytes::Bytes;
use engine::Place;

/// The segment number that marks a place in memory; no journal segment has it.
pub(crate) const SEGMENT: u32 = u32::MAX;

/// The bodies, by slot.
#[derive(Debug)]
pub(crate) struct VolatileBodies {
    memory: store::Memory,
    slots: Vec<Option<Bytes>>,
    free: Vec<u32>,
    bytes: u64,
}

impl VolatileBodies {
    /// No bodies; those to come count in `memory`.
    pub(crate) fn new(memory: store::Memory) -> Self {
        Self { memory, slots: Vec::new(), free: Vec::new(), bytes: 0 }
    }

    /// Keeps `body` until it is removed.
    pub(crate) fn insert(&mut self, body: Bytes) -> Place {
        let len = body.len() as u32;
        self.bytes += u64::from(len);
        self.memory.hold(body.len());
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            (self.slots.len() - 1) as u32
        });
        self.slots[slot as usize] = Some(body);
        Place { segment: SEGMENT, offset: slot, len }
    }

    /// The body at `place`.
    pub(crate) fn get(&self, place: Place) -> &Bytes {
        assert_eq!(place.segment, SEGMENT, "not a place in memory");
        self.slots[place.offset as usize].as_ref().expect("a queue entry refers to a body that was removed")
    }

    /// Forgets the body at `place`.
    pub(crate) fn remove(&mut self, place: Place) {
        assert_eq!(place.segment, SEGMENT, "not a place in memory");
        let body = self.slots[place.offset as usize].take().expect("a body is removed twice");
        self.bytes -= body.len() as u64;
        self.memory.free(body.len());
        self.free.push(place.offset);
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_used_again_after_removal() {
        let config = store::Config::new("/store".into(), Vec::new());
        let memory = store::Store::new(config, 1, reactor::buffer::aligned).memory();
        let mut bodies = VolatileBodies::new(memory.clone());
        let first = bodies.insert(Bytes::from_static(b"one"));
        let second = bodies.insert(Bytes::from_static(b"second"));
        assert_eq!(bodies.bytes(), 9);
        bodies.remove(first);
        let third = bodies.insert(Bytes::from_static(b"3"));
        assert_eq!(third.offset, first.offset);
        assert_eq!(&bodies.get(second)[..], b"second");
        assert_eq!(&bodies.get(third)[..], b"3");
        assert_eq!((bodies.bytes(), memory.used()), (7, 7));
    }
}
