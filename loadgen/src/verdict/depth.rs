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

/// The least and the most of something, inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Bounds {
    min: u64,
    max: u64,
}

/// What is wrong with an answer, if anything.
pub(super) fn judge(ledger: &Ledger, seen: &DepthSeen, counts: &Counts) -> Option<(Finding, String)> {
    let (address, held) = (&seen.address, seen.messages);
    let (stored, removed) = bounds(ledger, seen);
    if seen.after_drain {
        // What was delivered may be there until its acknowledgement is confirmed.
        let unconfirmed = removed.max - removed.min;
        let words = format!(
            "{address} holds {held} messages after a complete drain, of which {unconfirmed} may be on their way out"
        );
        return (held > unconfirmed).then_some((Finding::LeftAfterDrain, words));
    }
    // What is lost is missing here too, and said already; what came back may have been here again.
    let min = stored.min.saturating_sub(removed.max).saturating_sub(counts.lost);
    let max = stored.max.saturating_sub(removed.min) + counts.resurrected;
    let said = format!("{address} holds {held} messages, and by the ledger {min} to {max}");
    match held {
        _ if held < min => Some((Finding::DepthBelow, said)),
        _ if held > max => Some((Finding::DepthAbove, said)),
        _ => None,
    }
}

/// How many messages were stored, and how many removed.
fn bounds(ledger: &Ledger, seen: &DepthSeen) -> (Bounds, Bounds) {
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
    (stored, gone)
}
