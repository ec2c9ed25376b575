//! A slab: constant-time insert and remove without hashing, and keys that notice when they are stale.
//!
//! Owns the slots and their generations; knows nothing of what lies in them.

use alloc::vec::Vec;

/// Names a value in a [`Slab`]; `generation` differs after the slot has been used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    /// Next free slot, while this one is free; `NONE` ends the list.
    next_free: u32,
    value: Option<T>,
}

/// No slot.
pub(crate) const NONE: u32 = u32::MAX;

/// Values at stable indices.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    slots: Vec<Slot<T>>,
    first_free: u32,
    len: usize,
    /// Generations run from 0 to this, then again from 0.
    generation_max: u32,
}

impl<T> Slab<T> {
    pub(crate) fn new(generation_max: u32) -> Self {
        Self { slots: Vec::new(), first_free: NONE, len: 0, generation_max }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn insert(&mut self, value: T) -> Key {
        self.len += 1;
        let index = self.first_free;
        if let Some(slot) = self.slots.get_mut(index as usize) {
            assert!(slot.value.is_none(), "a free slot holds a value");
            self.first_free = slot.next_free;
            slot.value = Some(value);
            return Key { index, generation: slot.generation };
        }
        let index = u32::try_from(self.slots.len()).expect("fewer than 2^32 slots");
        assert!(index != NONE, "the slab is full");
        self.slots.push(Slot { generation: 0, next_free: NONE, value: Some(value) });
        Key { index, generation: 0 }
    }

    pub(crate) fn remove(&mut self, key: Key) -> Option<T> {
        let slot = self.slots.get_mut(key.index as usize)?;
        if slot.generation != key.generation {
            return None;
        }
        let value = slot.value.take()?;
        slot.generation = if slot.generation == self.generation_max { 0 } else { slot.generation + 1 };
        slot.next_free = self.first_free;
        self.first_free = key.index;
        self.len -= 1;
        Some(value)
    }

    pub(crate) fn get(&self, key: Key) -> Option<&T> {
        let slot = self.slots.get(key.index as usize)?;
        if slot.generation == key.generation { slot.value.as_ref() } else { None }
    }

    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let slot = self.slots.get_mut(key.index as usize)?;
        if slot.generation == key.generation { slot.value.as_mut() } else { None }
    }

    /// The value that our own structures say lies at `index`.
    pub(crate) fn at(&self, index: u32) -> &T {
        self.slots[index as usize].value.as_ref().expect("a linked slot holds a value")
    }

    /// Like [`Slab::at`].
    pub(crate) fn at_mut(&mut self, index: u32) -> &mut T {
        self.slots[index as usize].value.as_mut().expect("a linked slot holds a value")
    }

    pub(crate) fn key_of(&self, index: u32) -> Key {
        Key { index, generation: self.slots[index as usize].generation }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Key, &T)> {
        self.slots.iter().enumerate().filter_map(|(index, slot)| {
            let key = Key { index: index as u32, generation: slot.generation };
            slot.value.as_ref().map(|value| (key, value))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stale_keys_find_nothing() {
        let mut slab = Slab::new(u32::MAX);
        let first = slab.insert("first");
        assert_eq!(slab.remove(first), Some("first"));
        let second = slab.insert("second");
        assert_eq!(second.index, first.index);
        assert_eq!(slab.get(first), None);
        assert_eq!(slab.remove(first), None);
        assert_eq!((slab.get(second), slab.len()), (Some(&"second"), 1));
    }

    #[test]
    fn generations_wrap() {
        let mut slab = Slab::new(1);
        let keys: [Key; 3] = core::array::from_fn(|round| {
            let key = slab.insert(round);
            slab.remove(key);
            key
        });
        assert_eq!(keys[0], keys[2]);
        assert_ne!(keys[0], keys[1]);
    }
}
