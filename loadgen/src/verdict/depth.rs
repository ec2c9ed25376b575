//! Owns the comparison of what a broker says it holds with what the ledger says it must hold.
//!
//! A queue holds what was stored and not removed. Stored are the attempts that were confirmed or delivered, and perhaps those in doubt;
//! removed are the deliveries whose acknowledgement was confirmed, and perhaps the others. Each attempt is a message of its own here.

use std::collections::{HashMap, HashSet};

use super::{Counts, Finding};
use crate::ledger::{Ledger, Outcome};

/// What a broker answered when it was asked how many messages a queue holds. Nobody may be sending any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DepthSeen {
    /// The queue.
    pub address: String,
    /// Messages that it holds, those that wait for an acknowledgement included.
    pub messages: u64,
    /// When it was asked (CLOCK_MONOTONIC nanoseconds).
    pub asked_ns: u64,
    /// When the answer was there.
    pub answered_ns: u64,
    /// Whether it was asked after a complete drain.
    pub after_drain: bool,
}

/// What the ledger allows, inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Bounds {
    min: u64,
    max: u64,
}

/// What is wrong with an answer, if anything.
pub(super) fn judge(ledger: &Ledger, seen: &DepthSeen, counts: &Counts) -> Option<(Finding, String)> {
    let address = &seen.address;
    if seen.after_drain {
        let left = seen.messages;
        let words = format!("{address} holds {left} messages after a complete drain");
        return (left > 0).then_some((Finding::LeftAfterDrain, words));
    }
    let Bounds { min, max } = bounds(ledger, seen);
    // What is lost is missing here too, and said already; what came back may have been here again.
    let (min, max) = (min.saturating_sub(counts.lost), max + counts.resurrected);
    let said = format!("{address} holds {} messages, and by the ledger {min} to {max}", seen.messages);
    match seen.messages {
        held if held < min => Some((Finding::DepthBelow, said)),
        held if held > max => Some((Finding::DepthAbove, said)),
        _ => None,
    }
}

fn bounds(ledger: &Ledger, seen: &DepthSeen) -> Bounds {
    let mut removed: HashSet<(u32, u64, u8)> = HashSet::new();
    let mut delivered_before: HashSet<(u32, u64, u8)> = HashSet::new();
    let mut delivered: HashSet<(u32, u64, u8)> = HashSet::new();
    for one in ledger.consumers.iter().flat_map(|log| log.deliveries.iter()) {
        let key = (one.producer, one.sequence, one.attempt);
        delivered.insert(key);
        if one.arrival_ns <= seen.answered_ns {
            delivered_before.insert(key);
        }
        if one.acknowledged_ns != 0 && one.acknowledged_ns <= seen.asked_ns {
            removed.insert(key);
        }
    }
    let mut stored = Bounds { min: 0, max: 0 };
    let mut gone = Bounds { min: 0, max: 0 };
    let mut outcomes: HashMap<(u32, u64, u8), Outcome> = HashMap::new();
    for log in ledger.producers.iter().filter(|log| log.address == seen.address) {
        outcomes.extend(log.sends.iter().map(|send| ((log.producer, send.sequence, send.attempt), send.outcome)));
    }
    for (key, outcome) in outcomes {
        let is_certain = outcome == Outcome::Ok || delivered.contains(&key);
        stored.min += u64::from(is_certain);
        stored.max += u64::from(is_certain || outcome != Outcome::Fail);
        gone.min += u64::from(removed.contains(&key));
        gone.max += u64::from(delivered_before.contains(&key));
    }
    Bounds { min: stored.min.saturating_sub(gone.max), max: stored.max.saturating_sub(gone.min) }
}
