//! The layout of result.json. Everything that the report shows is in it or in the files that it names.
//!
//! `trial` tells of one trial, `summary` of what trials have in common; here is the run, its verdict and its stores.

mod summary;
mod target;
mod trial;

pub use summary::{Ratio, SummaryRow, ratios, summarize};
pub use target::{NOT_OBSERVABLE, TargetSeen};
pub use trial::{
    BacklogSeen, FaultRecord, Instants, Loss, Messages, Observed, Percentiles, ProcessorShare, ResponseTimes,
    StoreRecovered, Times, TrialResult, Unavailable,
};

use crate::environment::Environment;
use crate::error::{AtPath, Error, Result};
use crate::plan::{LoadPlan, PairPlan};
use crate::scenario::{Cell, StoreSetting, size};
use crate::shrink::Shrunk;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use summary::summarize_cell;

/// Version of the layout of result.json.
pub const SCHEMA: &str = "understudy.chaos/1";
/// Its file name.
pub const FILE: &str = "result.json";

/// What is concluded. The order is that of severity: the worst one of several counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Everything that was promised held, and could be seen to hold.
    #[default]
    Pass,
    /// The environment does not allow the trial.
    Skipped,
    /// Something essential could not be judged.
    Unknown,
    /// A promise was broken.
    Violated,
}

impl Verdict {
    /// The name in files and on the terminal.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Skipped => "skipped",
            Self::Unknown => "unknown",
            Self::Violated => "violated",
        }
    }

    /// What is concluded from several: the worst; what was skipped counts only where everything was.
    pub fn of_all(verdicts: impl Iterator<Item = Self>) -> Self {
        let all: Vec<Self> = verdicts.collect();
        let judged = all.iter().filter(|verdict| **verdict != Self::Skipped).max();
        judged.or(all.first()).copied().unwrap_or(Self::Unknown)
    }

    /// The exit code of a run that ends with it.
    pub fn exit_code(self) -> i32 {
        match self {
            Self::Pass => 0,
            Self::Violated => 1,
            Self::Unknown => 2,
            Self::Skipped => 3,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A store with a backlog: how it was filled, and what a complete drain found after the trials that it served.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoreResult {
    /// Where the backlog was stored.
    pub store: StoreSetting,
    /// Bodies of its messages, bytes.
    pub size_bytes: u64,
    /// The trials that it served.
    pub trials: Vec<usize>,
    /// Messages that were confirmed when it was filled.
    pub messages: u64,
    /// The store's files after it was filled, bytes.
    pub store_bytes: u64,
    /// How long it took to fill, s.
    pub fill_s: f64,
    /// How long it took to drain, s.
    pub drain_s: f64,
    /// Deliveries.
    pub delivered: u64,
    /// Confirmed, and not delivered.
    pub lost: u64,
    /// Deliveries beyond the first.
    pub duplicated: u64,
    /// What is concluded.
    pub verdict: Verdict,
    /// Why it is not a pass, a sentence each.
    pub reasons: Vec<String>,
}

impl StoreResult {
    /// One line that says what it gave.
    pub fn line(&self) -> String {
        let Self { messages, fill_s, drain_s, delivered, lost, duplicated, verdict, .. } = self;
        let mut line = format!(
            "     {} backlog of {}: {verdict}, {messages} messages filled in {fill_s:.1} s, {delivered} delivered in {drain_s:.1} s, {lost} lost, \
             {duplicated} duplicates",
            self.store,
            size(self.size_bytes)
        );
        for reason in &self.reasons {
            line += &format!("\n         {reason}");
        }
        line
    }
}

/// The whole run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunResult {
    /// Always [`SCHEMA`].
    pub schema: String,
    /// The worst verdict of all trials.
    pub verdict: Verdict,
    /// Name of the suite.
    pub suite: String,
    /// Seed.
    pub seed: u64,
    /// The command line that repeats the plan.
    pub command: String,
    /// When it began, UTC.
    pub started: String,
    /// How long it took, s.
    pub duration_s: f64,
    /// Where it ran.
    pub environment: Environment,
    /// The broker or pair that was tested in place of our own pair.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<TargetSeen>,
    /// The load.
    pub load: LoadPlan,
    /// The pair's settings.
    pub pair: PairPlan,
    /// What an async store may lose, in words.
    pub async_bound: String,
    /// Whether any async trial lost something; otherwise the load did not exercise the difference.
    pub async_loss_seen: bool,
    /// The trials in the order in which they ran.
    pub trials: Vec<TrialResult>,
    /// Trials that could not be judged, since the load generator itself was late, and in whose place another was played. They count
    /// nowhere; their reasons name the trial in their place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disturbed: Vec<TrialResult>,
    /// One row for each scenario, store setting, backlog and standby that was run.
    pub summary: Vec<SummaryRow>,
    /// The stores with a backlog, in the order in which they were filled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stores: Vec<StoreResult>,
    /// What the size of a backlog costs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ratios: Vec<Ratio>,
    /// What a failing plan was reduced to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shrunk: Option<Shrunk>,
}

impl RunResult {
    /// Reads the result of a folder.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(FILE);
        let text = std::fs::read_to_string(&path).at(&path)?;
        let not_understood = |source| Error::Json { path: path.clone(), source };
        let schema: SchemaOnly = serde_json::from_str(&text).map_err(not_understood)?;
        if schema.schema != SCHEMA {
            return Err(Error::Schema { path, found: schema.schema, expected: SCHEMA });
        }
        serde_json::from_str(&text).map_err(not_understood)
    }

    /// Writes it into a folder.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let path = folder.join(FILE);
        let text = serde_json::to_string_pretty(self).map_err(|source| Error::Json { path: path.clone(), source })?;
        std::fs::write(&path, text + "\n").at(&path)
    }

    /// The loss of all trials of a scenario with a store setting, whatever their backlog; `None` if there was none.
    pub fn loss(&self, scenario: &str, store: StoreSetting) -> Option<SummaryRow> {
        let of_both = |trial: &&TrialResult| trial.scenario == scenario && trial.store == store;
        let trials: Vec<&TrialResult> = self.trials.iter().filter(of_both).collect();
        (!trials.is_empty()).then(|| {
            let cell = Cell { scenario: scenario.to_owned(), store, backlog: None, settings: BTreeMap::new() };
            summarize_cell(cell, &trials)
        })
    }

    /// The names of the scenarios, in the order in which they were first tried.
    pub fn scenarios(&self) -> Vec<String> {
        summary::scenarios(&self.trials)
    }

    /// The trials of a cell.
    pub fn cell(&self, cell: &Cell) -> impl Iterator<Item = &TrialResult> {
        self.trials.iter().filter(move |trial| trial.cell() == *cell)
    }
}

#[derive(Deserialize)]
struct SchemaOnly {
    schema: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::synthetic;
    use crate::scenario::Standby;

    #[test]
    fn each_backlog_and_standby_is_a_row_and_the_loss_is_of_all_of_them() {
        let result = synthetic::backlogs();
        let cells: Vec<String> = result.summary.iter().map(|row| row.cell().place()).collect();
        assert_eq!(cells.len(), 6);
        assert_eq!([cells[0].as_str(), cells[5].as_str()], ["sync, 10 MiB hot", "sync, 10 GiB cold"]);
        assert!(result.summary.iter().all(|row| row.trials == 6));
        let loss = result.loss("kill-backlog", StoreSetting::Sync).expect("it was run");
        assert_eq!((loss.trials, loss.confirmed), (36, 36 * 20_000));
        assert_eq!(result.loss("kill-backlog", StoreSetting::Async), None);
    }

    #[test]
    fn the_ratio_is_that_of_the_medians_above_the_largest_and_the_smallest() {
        let ratios = ratios(&synthetic::backlogs().summary);
        assert_eq!(ratios.len(), 4);
        let of = |standby| ratios.iter().find(|one| one.standby == standby && one.what == "failover").expect("planted");
        assert_eq!((of(Standby::Hot).largest.0, of(Standby::Hot).smallest.0), (10 << 30, 10 << 20));
        // Later trials are slower in the planted run: a little for hot ones, 10 GiB for cold ones.
        assert!((1.0..2.0).contains(&of(Standby::Hot).ratio), "{ratios:?}");
        assert!(of(Standby::Cold).ratio > 100.0, "{ratios:?}");
        assert!(super::ratios(&synthetic::run().summary).is_empty());
    }

    #[test]
    fn a_result_from_before_backlogs_is_read() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let text = serde_json::to_string(&synthetic::run()).expect("plain data");
        let old = text.replace("\"successor_read_bytes\":null,", "").replace("\"left_after_ms\":null,", "");
        std::fs::write(folder.path().join(FILE), old).expect("the folder is ours");
        assert_eq!(RunResult::read(folder.path()).expect("it is understood").trials.len(), 28);
    }

    #[test]
    fn a_failover_that_was_allowed_and_not_reached_is_not_left_out() {
        let mut trials = synthetic::run().trials;
        trials.retain(|trial| trial.scenario == "kill-active" && trial.store == StoreSetting::Sync);
        for trial in &mut trials {
            trial.takeover_expected = false;
        }
        // One in which nobody became active, and one in which a server did whom no client reached.
        trials[0].times_ms.failover = None;
        (trials[1].times_ms.failover, trials[1].failover_measured, trials[1].censored_ms) = (None, true, Some(5000.0));
        let row = &summarize(&trials)[0];
        assert_eq!((row.failover_ms.n, row.failover_ms.censored), (trials.len() - 1, 1));
        assert_eq!(row.failover_ms.max, None, "it is larger than every one that was reached");
    }

    #[test]
    fn what_was_skipped_counts_only_where_everything_was() {
        use Verdict::{Pass, Skipped, Unknown, Violated};
        let of = |list: &[Verdict]| Verdict::of_all(list.iter().copied());
        assert_eq!(of(&[Skipped, Pass]), Pass);
        assert_eq!(of(&[Skipped, Skipped]), Skipped);
        assert_eq!(of(&[Pass, Violated, Unknown, Skipped]), Violated);
        assert_eq!(of(&[]), Unknown);
    }

    #[test]
    fn a_trial_is_disturbed_if_only_the_generator_was_late() {
        let mut trial = synthetic::run().trials.swap_remove(0);
        trial.generator_lag_p99_ms = Some(51.0);
        for (verdict, expected) in [(Verdict::Unknown, true), (Verdict::Violated, false), (Verdict::Pass, false)] {
            trial.verdict = verdict;
            assert_eq!(trial.is_disturbed(), expected, "{verdict}");
        }
        trial.verdict = Verdict::Unknown;
        trial.generator_lag_p99_ms = Some(49.0);
        assert!(!trial.is_disturbed(), "something else is why it could not be judged");
    }
}
