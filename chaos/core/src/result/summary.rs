//! What the trials of a run have in common, and what the size of a backlog costs: the figures of the tables and plots.

use super::{Messages, Observed, TrialResult, Verdict};
use crate::scenario::{Backlog, Cell, Standby, StoreSetting};
use crate::statistics::{Spread, spread};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// All trials of one scenario with one store setting, and one backlog and standby.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SummaryRow {
    /// The scenario's name.
    pub scenario: String,
    /// Whether the standby had to become the active server.
    #[serde(default)]
    pub takeover_expected: bool,
    /// Where the queue was stored.
    pub store: StoreSetting,
    /// What waited in the store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backlog: Option<Backlog>,
    /// The server parameters that vary between the trials of the run, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, String>,
    /// The worst verdict.
    pub verdict: Verdict,
    /// Number of trials.
    pub trials: usize,
    /// Confirmed messages of all of them.
    pub confirmed: u64,
    /// Lost messages.
    pub lost: u64,
    /// Most that one trial lost.
    pub lost_max: u64,
    /// Further deliveries.
    pub duplicated: u64,
    /// Of those: unmarked, or after a confirmed acknowledgement.
    pub duplicated_wrongly: u64,
    /// Deliveries that nothing explains.
    pub unexpected: u64,
    /// Failover time over the trials, ms.
    pub failover_ms: Spread,
    /// Store recovery time, ms.
    pub store_recovery_ms: Spread,
    /// Detection time, ms.
    pub detection_ms: Spread,
    /// Claim time, ms.
    pub claim_ms: Spread,
    /// Reattach time, ms.
    pub reattach_ms: Spread,
    /// Time to steady flow, ms.
    pub rto_ms: Spread,
    /// How long after SIGCONT a stopped active server left, ms.
    #[serde(default)]
    pub left_after_ms: Spread,
    /// What the new active server read from the disk until its takeover, bytes.
    #[serde(default)]
    pub successor_read_bytes: Spread,
}

impl SummaryRow {
    /// What its trials have in common.
    pub fn cell(&self) -> Cell {
        Cell {
            scenario: self.scenario.clone(),
            store: self.store,
            backlog: self.backlog,
            settings: self.settings.clone(),
        }
    }
}

/// How much more something costs above the largest backlog than above the smallest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ratio {
    /// What was measured.
    pub what: String,
    /// Where the backlog was stored.
    pub store: StoreSetting,
    /// The standby.
    pub standby: Standby,
    /// The largest backlog, bytes, and the median above it, ms.
    pub largest: (u64, f64),
    /// The smallest backlog, bytes, and the median above it, ms.
    pub smallest: (u64, f64),
    /// The one through the other.
    pub ratio: f64,
}

/// The ratios of the medians that are known, above the largest and the smallest backlog.
pub fn ratios(summary: &[SummaryRow]) -> Vec<Ratio> {
    const FIGURES: [(&str, fn(&SummaryRow) -> &Spread); 2] =
        [("failover", |row| &row.failover_ms), ("store recovery", |row| &row.store_recovery_ms)];
    let mut found = Vec::new();
    for store in StoreSetting::ALL {
        for (standby, (what, spread)) in Standby::ALL.into_iter().flat_map(|one| FIGURES.map(|figure| (one, figure))) {
            let medians = summary.iter().filter(|row| row.store == store).filter_map(|row| {
                let backlog = row.backlog.filter(|backlog| backlog.standby == standby)?;
                Some((backlog.size_bytes, spread(row).median?))
            });
            let largest = medians.clone().max_by_key(|(bytes, _)| *bytes);
            let smallest = medians.min_by_key(|(bytes, _)| *bytes);
            if let (Some(largest), Some(smallest)) = (largest, smallest)
                && largest.0 > smallest.0
                && smallest.1 > 0.0
            {
                let ratio = largest.1 / smallest.1;
                found.push(Ratio { what: what.to_owned(), store, standby, largest, smallest, ratio });
            }
        }
    }
    found
}

/// The names of the scenarios, in the order in which they were first tried.
pub(super) fn scenarios(trials: &[TrialResult]) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for trial in trials {
        if !found.contains(&trial.scenario) {
            found.push(trial.scenario.clone());
        }
    }
    found
}

/// One row for each cell that has a trial.
pub fn summarize(trials: &[TrialResult]) -> Vec<SummaryRow> {
    let scenarios = scenarios(trials);
    let mut cells: Vec<Cell> = trials.iter().map(TrialResult::cell).collect();
    cells.sort_by_cached_key(|cell| (scenarios.iter().position(|name| *name == cell.scenario), cell.clone()));
    cells.dedup();
    let rows = cells.into_iter().map(|cell| {
        let trials: Vec<&TrialResult> = trials.iter().filter(|trial| trial.cell() == cell).collect();
        summarize_cell(cell, &trials)
    });
    rows.collect()
}

pub(super) fn summarize_cell(Cell { scenario, store, backlog, settings }: Cell, cell: &[&TrialResult]) -> SummaryRow {
    let sum = |count: fn(&Messages) -> u64| cell.iter().map(|trial| count(&trial.messages)).sum();
    let censorable = |time: fn(&TrialResult) -> Option<Observed>| {
        let values: Vec<Option<f64>> = cell.iter().filter_map(|trial| time(trial)).map(Observed::reached).collect();
        spread(&values)
    };
    let seen = |value: &dyn Fn(&TrialResult) -> Option<f64>| {
        let values: Vec<Option<f64>> = cell.iter().map(|trial| value(trial)).filter(Option::is_some).collect();
        spread(&values)
    };
    SummaryRow {
        scenario,
        takeover_expected: cell.iter().any(|trial| trial.takeover_expected),
        store,
        backlog,
        settings,
        verdict: cell.iter().map(|trial| trial.verdict).max().unwrap_or_default(),
        trials: cell.len(),
        confirmed: sum(|messages| messages.confirmed),
        lost: sum(|messages| messages.lost),
        lost_max: cell.iter().map(|trial| trial.messages.lost).max().unwrap_or(0),
        duplicated: sum(|messages| messages.duplicated),
        duplicated_wrongly: sum(|messages| messages.redelivered_unflagged + messages.resurrected),
        unexpected: sum(|messages| messages.unexpected),
        failover_ms: censorable(TrialResult::failover),
        store_recovery_ms: seen(&|trial| trial.times_ms.store_recovery),
        detection_ms: seen(&|trial| trial.times_ms.detection),
        claim_ms: seen(&|trial| trial.times_ms.claim),
        reattach_ms: seen(&|trial| trial.times_ms.reattach),
        rto_ms: censorable(TrialResult::rto),
        left_after_ms: seen(&|trial| trial.left_after_ms),
        successor_read_bytes: seen(&|trial| trial.successor_read_bytes.map(|bytes| bytes as f64)),
    }
}
