//! Names of namespaces and interfaces: unique on the machine, and they tell who made them, so that what a killed harness left is known as such.

use crate::cluster::NodeId;
use std::sync::atomic::{AtomicU32, Ordering};

const PREFIX: &str = "understudy";

/// A harness process: its id, and when it started, since ids are given again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    pid: u32,
    /// Clock ticks after the boot.
    started: u64,
}

impl Owner {
    /// This process.
    pub(super) fn this() -> Self {
        let pid = std::process::id();
        Self { pid, started: started(pid).unwrap_or(0) }
    }

    /// Whose namespace this is, if it is one of a harness.
    pub(super) fn of(namespace: &str) -> Option<Self> {
        let mut parts = namespace.strip_prefix(PREFIX)?.strip_prefix('-')?.split('-');
        Some(Self { pid: parts.next()?.parse().ok()?, started: parts.next()?.parse().ok()? })
    }

    /// Whether it still runs.
    pub(super) fn lives(self) -> bool {
        started(self.pid) == Some(self.started)
    }

    pub(super) fn namespace(self, number: u32, node: NodeId) -> String {
        format!("{PREFIX}-{}-{}-{number}-{}", self.pid, self.started, node.name())
    }

    /// The clients' end of a link. Linux allows 15 characters.
    pub(super) fn interface(self, number: u32, node: NodeId) -> String {
        format!("ch{}x{}{}", self.pid, number % 1000, node.name())
    }

    /// Where to begin to look for addresses: harnesses that start together begin apart.
    pub(super) fn seed(self, number: u32) -> u32 {
        self.pid.wrapping_add(number.wrapping_mul(7919))
    }
}

/// Hosts of one process are told apart by a number.
pub(super) fn next_number() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

fn started(pid: u32) -> Option<u64> {
    let line = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // Field 22; the name, field 2, may contain anything.
    line.rsplit_once(')')?.1.split_ascii_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_its_owner_and_whether_that_lives() {
        let own = Owner::this();
        let name = own.namespace(3, NodeId::B);
        assert_eq!(Owner::of(&name), Some(own));
        assert!(own.lives());
        assert!(!Owner { started: own.started + 1, ..own }.lives(), "the id was given again");
        assert!(!Owner { pid: i32::MAX as u32, started: 1 }.lives());
        for foreign in ["lab", "understudy", "understudy-lab-1", "understudy-7"] {
            assert_eq!(Owner::of(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn interfaces_have_short_names() {
        let owner = Owner { pid: 4_194_304, started: u64::MAX };
        assert!(owner.interface(u32::MAX, NodeId::A).len() <= 15);
        assert_ne!(owner.interface(1, NodeId::A), owner.interface(1, NodeId::B));
    }
}
