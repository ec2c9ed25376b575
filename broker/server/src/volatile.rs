//! Bodies of non-persistent messages: memory only, gone with the process, as EMS has it.
//!
//! Owns the slots and their byte count. A slot's number travels as the `offset` of a `Place` whose segment is [`SEGMENT`].

use bytes::Bytes;
use engine::Place;

/// The segment number that marks a place in memory; no journal segment has it.
pub(crate) const SEGMENT: u32 = u32::MAX;

/// The bodies, by slot.
#[derive(Debug, Default)]
pub(crate) struct VolatileBodies {
    slots: Vec<Option<Bytes>>,
    free: Vec<u32>,
    bytes: u64,
}

impl VolatileBodies {
    /// Keeps `body` until it is removed.
    pub(crate) fn insert(&mut self, body: Bytes) -> Place {
        let len = body.len() as u32;
        self.bytes += u64::from(len);
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            (self.slots.len() - 1) as u32
        });
        self.slots[slot as usize] = Some(body);
        Place { segment: SEGMENT, offset: slot, len }
    }

    /// The body at `place`.
    pub(crate) fn get(&self, place: Place) -> Bytes {
        assert_eq!(place.segment, SEGMENT, "not a place in memory");
        self.slots[place.offset as usize].clone().expect("a queue entry refers to a body that was removed")
    }

    /// Forgets the body at `place`.
    pub(crate) fn remove(&mut self, place: Place) {
        assert_eq!(place.segment, SEGMENT, "not a place in memory");
        let body = self.slots[place.offset as usize].take().expect("a body is removed twice");
        self.bytes -= body.len() as u64;
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
        let mut bodies = VolatileBodies::default();
        let first = bodies.insert(Bytes::from_static(b"one"));
        let second = bodies.insert(Bytes::from_static(b"second"));
        assert_eq!(bodies.bytes(), 9);
        bodies.remove(first);
        let third = bodies.insert(Bytes::from_static(b"3"));
        assert_eq!(third.offset, first.offset);
        assert_eq!(&bodies.get(second)[..], b"second");
        assert_eq!(&bodies.get(third)[..], b"3");
        assert_eq!(bodies.bytes(), 7);
    }
}
