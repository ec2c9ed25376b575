//! What trials went through: counters, and their form as JSON.
//!
//! Owns the counters and how they are added up. Decides nothing.

use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Counters of one trial, or of many.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Report {
    /// Times that another process became active.
    pub(crate) failovers: u64,
    /// Of these, by a standby that had followed the journal.
    pub(crate) hot: u64,
    /// Faults, by name.
    pub(crate) faults: BTreeMap<&'static str, u64>,
    /// Failovers, by the fault before them.
    pub(crate) failovers_after: BTreeMap<&'static str, u64>,
    /// Messages whose publisher was told that they are safe.
    pub(crate) confirmed: u64,
    /// Deliveries of known messages by a server that was replaced and did not know it yet.
    pub(crate) repeated_by_replaced: u64,
    /// Bases that owners wrote before they removed metadata.
    pub(crate) bases: u64,
    /// Segments of metadata that owners had removed when another took over from them.
    pub(crate) removed_metadata: u64,
    /// Failovers from an owner with a base, and those of them by a standby that had followed its journal.
    pub(crate) rebased: u64,
    pub(crate) rebased_hot: u64,
    /// Simulated nanoseconds.
    pub(crate) simulated: u64,
}

impl Report {
    /// Another process became active, after this fault.
    pub(crate) fn count_failover(&mut self, after: &'static str, hot: bool, is_rebased: bool) {
        self.failovers += 1;
        self.hot += u64::from(hot);
        self.rebased += u64::from(is_rebased);
        self.rebased_hot += u64::from(is_rebased && hot);
        *self.failovers_after.entry(after).or_default() += 1;
    }

    /// A fault happened.
    pub(crate) fn count_fault(&mut self, name: &'static str) {
        *self.faults.entry(name).or_default() += 1;
    }

    /// Adds another trial's counters.
    pub(crate) fn add(&mut self, other: &Report) {
        self.failovers += other.failovers;
        self.hot += other.hot;
        self.confirmed += other.confirmed;
        self.repeated_by_replaced += other.repeated_by_replaced;
        self.bases += other.bases;
        self.removed_metadata += other.removed_metadata;
        self.rebased += other.rebased;
        self.rebased_hot += other.rebased_hot;
        self.simulated += other.simulated;
        for (sum, counts) in [(&mut self.faults, &other.faults), (&mut self.failovers_after, &other.failovers_after)] {
            counts.iter().for_each(|(name, count)| *sum.entry(name).or_default() += count);
        }
    }

    /// The counters, for a file.
    pub(crate) fn json(&self) -> Value {
        json!({
            "failovers": self.failovers,
            "failovers_hot": self.hot,
            "failovers_cold": self.failovers - self.hot,
            "failovers_after": self.failovers_after,
            "faults": self.faults,
            "confirmed_messages": self.confirmed,
            "repeated_by_a_replaced_server": self.repeated_by_replaced,
            "metadata_bases": self.bases,
            "metadata_segments_removed": self.removed_metadata,
            "failovers_behind_a_base": self.rebased,
            "failovers_behind_a_base_hot": self.rebased_hot,
            "simulated_s": self.simulated / 1_000_000_000,
        })
    }
}
