//! What memory allows: whether a message may be taken in, and what is said when it may not.
//!
//! Owns the rules of `max_msg_memory`, `msg_swapping` and `destination_backlog_swapout`. The bytes are counted by the
//! store's memory, the entries by the exchange.

use engine::Entry;

/// Memory of a queue entry, in bytes.
pub(crate) const ENTRY_BYTES: u64 = size_of::<Entry>() as u64;

/// The parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Budget {
    /// `max_msg_memory` in bytes; 0 = no limit.
    pub(crate) bytes_max: u64,
    /// `msg_swapping`.
    pub(crate) swapping: bool,
    /// `destination_backlog_swapout`, in messages.
    pub(crate) swapout: u64,
}

/// What is in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Used {
    /// Messages in all queues.
    pub(crate) entries: u64,
    /// Bytes of bodies in memory.
    pub(crate) bytes: u64,
    /// Those of non-persistent messages among them.
    pub(crate) volatile_bytes: u64,
}

/// Why memory takes no message now. Nothing that was confirmed is touched, and deliveries go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoMemory {
    /// The entries alone fill it.
    #[error(
        "the entries of {entries} messages take {bytes} bytes, all of max_msg_memory={limit}: consume messages, or raise max_msg_memory"
    )]
    Entries { entries: u64, bytes: u64, limit: u64 },
    /// Bodies fill it and may not leave.
    #[error(
        "max_msg_memory={limit} is reached ({bytes} bytes in use) and msg_swapping is disabled: consume messages, raise max_msg_memory or enable msg_swapping"
    )]
    Bodies { bytes: u64, limit: u64 },
    /// Non-persistent bodies fill it and cannot leave.
    #[error(
        "non-persistent messages take {bytes} bytes, all of max_msg_memory={limit}, and cannot be swapped out: consume messages, raise max_msg_memory or send persistent ones"
    )]
    Volatile { bytes: u64, limit: u64 },
}

impl Budget {
    /// Whether a message of `len` bytes may be taken in.
    pub(crate) fn admit(&self, used: Used, len: u64, durable: bool) -> Result<(), NoMemory> {
        let limit = self.bytes_max;
        if limit == 0 {
            return Ok(());
        }
        let (entries, bytes) = (used.entries, used.entries * ENTRY_BYTES);
        if bytes + ENTRY_BYTES > limit {
            return Err(NoMemory::Entries { entries, bytes, limit });
        }
        if !self.swapping && used.bytes + len > limit {
            return Err(NoMemory::Bodies { bytes: used.bytes, limit });
        }
        if !durable && used.volatile_bytes + len > limit {
            return Err(NoMemory::Volatile { bytes: used.volatile_bytes, limit });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: u64 = 1000 * ENTRY_BYTES;

    fn check(swapping: bool, durable: bool, used: Used) -> Option<String> {
        let budget = Budget { bytes_max: LIMIT, swapping, swapout: 0 };
        budget.admit(used, 100, durable).err().map(|error| error.to_string())
    }

    #[test]
    fn entries_alone_may_fill_memory() {
        let full = Used { entries: 1000, ..Used::default() };
        let text = check(true, true, full).expect("full");
        assert!(text.contains("max_msg_memory=32000") && text.contains("1000 messages"), "{text}");
        assert_eq!(check(true, true, Used { entries: 999, ..full }), None);
    }

    #[test]
    fn bodies_are_refused_only_where_they_cannot_leave() {
        let full = Used { bytes: LIMIT - 99, ..Used::default() };
        assert_eq!(check(true, true, full), None);
        assert_eq!(check(true, false, full), None, "stored ones make room");
        assert!(check(false, true, full).expect("full").contains("msg_swapping is disabled"));
        assert_eq!(check(false, true, Used { bytes: LIMIT - 100, ..full }), None);
        let volatile = Used { volatile_bytes: LIMIT - 99, ..full };
        assert_eq!(check(true, true, volatile), None);
        assert!(check(true, false, volatile).expect("full").contains("non-persistent"));
    }

    #[test]
    fn no_limit_refuses_nothing() {
        let budget = Budget { bytes_max: 0, swapping: false, swapout: 0 };
        let used = Used { entries: 1 << 40, bytes: 1 << 50, volatile_bytes: 1 << 50 };
        assert_eq!(budget.admit(used, 1, false), Ok(()));
    }
}
