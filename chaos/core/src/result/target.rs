//! The part of result.json that tells of a broker that is not ours: what its target file says of it, and what it does not reveal.

use crate::scenario::StoreSetting;
use crate::targets::Target;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The moments and durations that only event lines of our own broker tell; in the trials of another they are absent.
pub const NOT_OBSERVABLE: [&str; 8] = ["td", "tl", "tr", "ta", "detection", "claim", "store_recovery", "reattach"];

/// A broker or a pair that was tested from outside.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TargetSeen {
    /// Its name.
    pub name: String,
    /// What it is and how it is set up.
    pub explanation: String,
    /// Its nodes: one that its supervisor starts again, or two that stand in for each other.
    pub nodes: usize,
    /// What the supervisor waits before it starts a node again, ms.
    pub restart_after_ms: Option<u64>,
    /// What the queue of each store setting is, in the broker's own words.
    pub queues: BTreeMap<StoreSetting, String>,
    /// Names of the moments and durations that it does not reveal.
    pub not_observable: Vec<String>,
}

impl TargetSeen {
    /// What is to be told of a target.
    pub fn of(target: &Target) -> Self {
        let queue = |store: StoreSetting| Some((store, target.queue(store)?.words.clone()));
        Self {
            name: target.name.clone(),
            explanation: target.explanation.clone(),
            nodes: target.nodes.len(),
            restart_after_ms: target.restart_after.map(|delay| delay.as_millis() as u64),
            queues: StoreSetting::ALL.into_iter().filter_map(queue).collect(),
            not_observable: NOT_OBSERVABLE.map(str::to_owned).to_vec(),
        }
    }

    /// In sentences, for the report: what it is, what its queues are, and what it does not reveal.
    pub fn in_words(&self) -> String {
        let kind = match (self.nodes, self.restart_after_ms) {
            (1, Some(ms)) => format!("a lone node that its supervisor starts again {ms} ms after its end"),
            (1, None) => "a lone node".to_owned(),
            _ => "two nodes that stand in for each other".to_owned(),
        };
        let queues: Vec<String> = self.queues.iter().map(|(store, words)| format!("{store} is {words}")).collect();
        format!(
            "{}, {kind}: {} {}. Not observable from outside: when a standby notices, owns the store, has recovered it and accepts clients, and the \
             durations between ({}).",
            self.name,
            self.explanation.trim(),
            queues.join("; "),
            self.not_observable.join(", ")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_name_what_is_hidden_and_what_the_queues_are() {
        let seen = TargetSeen {
            name: "X".to_owned(),
            explanation: "a broker.".to_owned(),
            nodes: 1,
            restart_after_ms: Some(100),
            queues: BTreeMap::from([(StoreSetting::Sync, "a safe queue".to_owned())]),
            not_observable: NOT_OBSERVABLE.map(str::to_owned).to_vec(),
        };
        let words = seen.in_words();
        for part in ["X, a lone node", "100 ms", "sync is a safe queue", "Not observable", "store_recovery"] {
            assert!(words.contains(part), "{words}");
        }
        let pair = TargetSeen { nodes: 2, ..seen };
        assert!(pair.in_words().contains("two nodes that stand in for each other"));
    }
}
