//! The numbers of deliveries on a session where some are delivered twice: ours on the wire, the broker's behind.

/// Second deliveries that one session may see; then it goes on without. Bounds what is kept.
const SECONDS_MAX: usize = 256;

/// Which deliveries, by the broker's numbers, were delivered a second time. Numbers do not wrap within a trial.
#[derive(Debug, Default)]
pub(crate) struct Numbering {
    twice: Vec<u32>,
}

impl Numbering {
    /// The number of the first delivery of the broker's `id` on the wire.
    pub(crate) fn to_wire(&self, id: u32) -> u32 {
        id + self.twice.partition_point(|twice| *twice < id) as u32
    }

    /// The last number on the wire that stands for the broker's `id`.
    pub(crate) fn last_on_wire(&self, id: u32) -> u32 {
        self.to_wire(id) + u32::from(self.twice.binary_search(&id).is_ok())
    }

    /// How many second deliveries there were.
    pub(crate) fn seconds(&self) -> u32 {
        self.twice.len() as u32
    }

    /// Gives the newest delivery a second number; `None` when there are too many.
    pub(crate) fn again(&mut self, id: u32) -> Option<u32> {
        if self.twice.len() >= SECONDS_MAX || self.twice.last().is_some_and(|last| *last >= id) {
            return None;
        }
        self.twice.push(id);
        Some(self.last_on_wire(id))
    }

    /// The broker's number for a number on the wire; a second delivery has that of its first.
    pub(crate) fn to_broker(&self, wire: u32) -> u32 {
        // Each earlier second delivery moved the number by one.
        let mut before = 0;
        for twice in &self.twice {
            if twice + before >= wire {
                break;
            }
            before += 1;
        }
        wire - before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_translate_both_ways() {
        let mut numbering = Numbering::default();
        assert_eq!((numbering.to_wire(5), numbering.to_broker(5)), (5, 5));
        assert_eq!(numbering.again(3), Some(4));
        assert_eq!(numbering.again(3), None);
        assert_eq!(numbering.again(7), Some(9));
        let broker: Vec<u32> = (0..12).map(|wire| numbering.to_broker(wire)).collect();
        assert_eq!(broker, [0, 1, 2, 3, 3, 4, 5, 6, 7, 7, 8, 9]);
        let wire: Vec<u32> = (0..10).map(|id| numbering.to_wire(id)).collect();
        assert_eq!(wire, [0, 1, 2, 3, 5, 6, 7, 8, 10, 11]);
        assert_eq!((numbering.last_on_wire(3), numbering.last_on_wire(4)), (4, 5));
    }

    #[test]
    fn second_deliveries_end_before_they_fill_the_memory() {
        let mut numbering = Numbering::default();
        let given = (0..1000).filter_map(|id| numbering.again(id)).count();
        assert_eq!(given, SECONDS_MAX);
    }
}
