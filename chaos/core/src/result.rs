//! The layout of result.json. Everything that the report shows is in it or in the files that it names.

use crate::cluster::NodeId;
use crate::environment::Environment;
use crate::error::{AtPath, Error, Result};
use crate::faults::Effect;
use crate::plan::{LoadPlan, PairPlan, TrialPlan};
use crate::scenario::{Backlog, Cell, Scenario, Standby, StoreSetting, Suite, size};
use crate::statistics::{Spread, spread};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::Path;

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

/// What became of the messages of a trial. The first eight are defined in the documentation of `loadgen::verdict`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Messages {
    /// Sent at least once.
    pub attempted: u64,
    /// Confirmed by the broker.
    pub confirmed: u64,
    /// Neither confirmed nor provably refused.
    pub in_doubt: u64,
    /// Deliveries.
    pub delivered: u64,
    /// Confirmed, and not delivered by a complete drain.
    pub lost: u64,
    /// Deliveries beyond the first, of messages that were attempted.
    pub duplicated: u64,
    /// Deliveries that no attempt explains.
    pub unexpected: u64,
    /// In doubt, and delivered.
    pub recovered: u64,
    /// Of the duplicated: the client had sent them again.
    pub duplicated_by_resend: u64,
    /// Of the duplicated: marked as redelivered.
    pub redelivered_flagged: u64,
    /// Of the duplicated: not marked, though delivered before.
    pub redelivered_unflagged: u64,
    /// Of the duplicated: their acknowledgement had been confirmed.
    pub resurrected: u64,
    /// First deliveries behind a later message of the same producer.
    pub out_of_order: u64,
    /// Confirms by a server after another one had confirmed.
    pub confirmed_by_two: u64,
}

/// The moments of a failover in milliseconds after the fault took effect; absent when not seen.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Instants {
    /// The standby notices (event line).
    pub td: Option<f64>,
    /// It owns the store (event line).
    pub tl: Option<f64>,
    /// The store is recovered (event line).
    pub tr: Option<f64>,
    /// It accepts clients (event line).
    pub ta: Option<f64>,
    /// The first client is attached to it.
    pub tc: Option<f64>,
    /// First confirm, by it, of a message first sent after the fault.
    pub tf: Option<f64>,
    /// First delivery by it.
    pub td1: Option<f64>,
    /// Every client is attached to it.
    pub ta100: Option<f64>,
    /// The flow is steady from here on.
    pub ts: Option<f64>,
}

/// The durations between the moments, milliseconds; absent when not observed, or not reached within the limit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Times {
    /// td - t0.
    pub detection: Option<f64>,
    /// tl - td.
    pub claim: Option<f64>,
    /// tr - tl.
    pub store_recovery: Option<f64>,
    /// tf - ta.
    pub reattach: Option<f64>,
    /// tf - t0.
    pub failover: Option<f64>,
    /// ts - t0.
    pub rto: Option<f64>,
    /// First delivery after the fault - t0.
    pub first_delivery: Option<f64>,
    /// Every client back - t0.
    pub clients_back: Option<f64>,
}

/// What the new active server found in the store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreRecovered {
    /// Bytes scanned.
    pub bytes: u64,
    /// Live messages.
    pub messages: u64,
    /// Segment files.
    pub segments: u64,
}

/// What waited in the store when the fault came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BacklogSeen {
    /// What was asked for.
    #[serde(flatten)]
    pub asked: Backlog,
    /// Messages that waited from before the trial.
    pub messages: u64,
    /// The store's files before the load began, bytes.
    pub store_bytes: u64,
}

/// What was done to the pair, and the evidence that it bit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultRecord {
    /// Name of the fault.
    pub name: String,
    /// The node that it was done to; absent when it was the link.
    pub victim: Option<NodeId>,
    /// When, and how that is known; absent when no effect was seen.
    pub effect: Option<Effect>,
    /// When it was taken back, nanoseconds of CLOCK_MONOTONIC.
    pub healed_ns: Option<u64>,
    /// Further evidence, a sentence each.
    pub evidence: Vec<String>,
}

/// What an async store lost of one producer's confirms.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    /// The producer.
    pub producer: u32,
    /// Messages.
    pub messages: u64,
    /// Bytes of payload.
    pub bytes: u64,
    /// From the first lost confirm to the last confirm of the connection, microseconds.
    pub span_us: u64,
    /// Whether it was the end of what had been confirmed: a hole would be a violation even here.
    pub is_suffix: bool,
}

/// Percentiles of one latency over one part of a trial, milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Percentiles {
    /// Number of samples.
    pub n: u64,
    /// Median.
    pub p50: f64,
    /// 99th percentile.
    pub p99: f64,
    /// 99.9th percentile.
    pub p999: f64,
    /// Largest.
    pub max: f64,
}

/// Latency from the intended send time to the confirm.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ResponseTimes {
    /// Confirmed in the last second before the fault.
    pub before: Percentiles,
    /// Confirmed between the fault and steady flow.
    pub during: Percentiles,
    /// Confirmed in steady flow after it.
    pub after: Percentiles,
}

/// One trial.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrialResult {
    /// Position in the run, from 1.
    pub number: usize,
    /// What was done.
    pub scenario: Scenario,
    /// Where the queue was stored.
    pub store: StoreSetting,
    /// What waited in the store from before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backlog: Option<BacklogSeen>,
    /// The trial's seed.
    pub seed: u64,
    /// What is concluded.
    pub verdict: Verdict,
    /// Why it is not a pass, a sentence each.
    pub reasons: Vec<String>,
    /// What was not judged, a sentence each.
    pub not_judged: Vec<String>,
    /// What else was seen.
    pub observations: Vec<String>,
    /// Whether the fault was seen to bite.
    pub fault_effective: bool,
    /// The fault.
    pub fault: Option<FaultRecord>,
    /// Whether a takeover took place.
    pub takeover: bool,
    /// The messages.
    pub messages: Messages,
    /// Moments after the fault.
    pub instants_ms: Instants,
    /// Durations.
    pub times_ms: Times,
    /// Set when there was no recovery while the trial lasted, this many milliseconds: the times that are absent are at least that long.
    pub censored_ms: Option<f64>,
    /// What the new active server recovered.
    pub store_recovered: Option<StoreRecovered>,
    /// What it read from the disk between the fault and its takeover, by the kernel's count, bytes.
    #[serde(default)]
    pub successor_read_bytes: Option<u64>,
    /// How long after SIGCONT a stopped active server left by itself, milliseconds.
    #[serde(default)]
    pub left_after_ms: Option<f64>,
    /// Async losses, by producer.
    pub losses: Vec<Loss>,
    /// Latency.
    pub response_ms: ResponseTimes,
    /// Longest time without a confirm, and without a delivery, that overlaps the fault, milliseconds.
    pub unavailable_ms: Unavailable,
    /// How late the generator itself was, 99th percentile outside the fault, milliseconds.
    pub generator_lag_p99_ms: Option<f64>,
    /// Processor time of each part over the trial, as a share of one core.
    pub processor_share: ProcessorShare,
    /// Duration of the whole trial, ms.
    pub duration_ms: u64,
}

/// Largest gaps over the fault, milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Unavailable {
    /// Between two confirms, over all producers.
    pub publish: Option<f64>,
    /// Between two confirms of the producer that was hit hardest.
    pub publish_worst_client: Option<f64>,
    /// Between two deliveries.
    pub deliver: Option<f64>,
}

/// Processor time used, in cores.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ProcessorShare {
    /// The active server before the fault.
    pub active: f64,
    /// The load generator with this harness.
    pub harness: f64,
}

impl TrialResult {
    /// A trial of which nothing is known yet, not even whether it passes.
    pub fn unjudged(plan: &TrialPlan) -> Self {
        Self {
            number: plan.number,
            scenario: plan.scenario,
            store: plan.store,
            backlog: plan.backlog.map(|asked| BacklogSeen { asked, messages: 0, store_bytes: 0 }),
            seed: plan.seed,
            verdict: Verdict::Unknown,
            reasons: Vec::new(),
            not_judged: Vec::new(),
            observations: Vec::new(),
            fault_effective: false,
            fault: None,
            takeover: false,
            messages: Messages::default(),
            instants_ms: Instants::default(),
            times_ms: Times::default(),
            censored_ms: None,
            store_recovered: None,
            successor_read_bytes: None,
            left_after_ms: None,
            losses: Vec::new(),
            response_ms: ResponseTimes::default(),
            unavailable_ms: Unavailable::default(),
            generator_lag_p99_ms: None,
            processor_share: ProcessorShare::default(),
            duration_ms: 0,
        }
    }

    /// Name of the trial's files, such as `trial-03-kill-active-sync`.
    pub fn file_stem(&self) -> String {
        format!("trial-{:02}-{}-{}", self.number, self.scenario, self.store)
    }

    /// The row of the tables that it belongs to.
    pub fn cell(&self) -> Cell {
        Cell { scenario: self.scenario, store: self.store, backlog: self.backlog.as_ref().map(|seen| seen.asked) }
    }

    /// The failover time; absent where no failover is expected, and where it was not observed at all.
    pub fn failover(&self) -> Option<Observed> {
        if self.scenario.expects_takeover() { self.observed(self.times_ms.failover) } else { None }
    }

    /// The time to steady flow; absent where it was not observed at all.
    pub fn rto(&self) -> Option<Observed> {
        self.observed(self.times_ms.rto)
    }

    fn observed(&self, ms: Option<f64>) -> Option<Observed> {
        ms.map(Observed::At).or(self.censored_ms.map(Observed::Beyond))
    }
}

/// A time that was reached, or for which only a lower bound is known, ms.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Observed {
    /// Reached after this time.
    At(f64),
    /// Not reached in this time.
    Beyond(f64),
}

impl Observed {
    /// The time, for positions in plots.
    pub fn ms(self) -> f64 {
        match self {
            Self::At(ms) | Self::Beyond(ms) => ms,
        }
    }

    /// The value, unless it is censored.
    pub fn reached(self) -> Option<f64> {
        match self {
            Self::At(ms) => Some(ms),
            Self::Beyond(_) => None,
        }
    }
}

/// All trials of one scenario with one store setting, and one backlog and standby.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SummaryRow {
    /// What was done.
    pub scenario: Scenario,
    /// Where the queue was stored.
    pub store: StoreSetting,
    /// What waited in the store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backlog: Option<Backlog>,
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
        Cell { scenario: self.scenario, store: self.store, backlog: self.backlog }
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

/// The whole run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunResult {
    /// Always [`SCHEMA`].
    pub schema: String,
    /// The worst verdict of all trials.
    pub verdict: Verdict,
    /// Suite.
    pub suite: Suite,
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
    /// One row for each scenario, store setting, backlog and standby that was run.
    pub summary: Vec<SummaryRow>,
    /// The stores with a backlog, in the order in which they were filled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stores: Vec<StoreResult>,
    /// What the size of a backlog costs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ratios: Vec<Ratio>,
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
    pub fn loss(&self, scenario: Scenario, store: StoreSetting) -> Option<SummaryRow> {
        let of_both = |trial: &&TrialResult| trial.scenario == scenario && trial.store == store;
        let trials: Vec<&TrialResult> = self.trials.iter().filter(of_both).collect();
        (!trials.is_empty()).then(|| summarize_cell(Cell { scenario, store, backlog: None }, &trials))
    }

    /// The trials of a cell.
    pub fn cell(&self, cell: Cell) -> impl Iterator<Item = &TrialResult> {
        self.trials.iter().filter(move |trial| trial.cell() == cell)
    }
}

#[derive(Deserialize)]
struct SchemaOnly {
    schema: String,
}

/// One row for each cell that has a trial.
pub fn summarize(trials: &[TrialResult]) -> Vec<SummaryRow> {
    let mut cells: Vec<Cell> = trials.iter().map(TrialResult::cell).collect();
    cells.sort_unstable();
    cells.dedup();
    let rows = cells.into_iter().map(|cell| {
        let trials: Vec<&TrialResult> = trials.iter().filter(|trial| trial.cell() == cell).collect();
        summarize_cell(cell, &trials)
    });
    rows.collect()
}

fn summarize_cell(Cell { scenario, store, backlog }: Cell, cell: &[&TrialResult]) -> SummaryRow {
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
        store,
        backlog,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::synthetic;

    #[test]
    fn each_backlog_and_standby_is_a_row_and_the_loss_is_of_all_of_them() {
        let result = synthetic::backlogs();
        let cells: Vec<String> = result.summary.iter().map(|row| row.cell().place()).collect();
        assert_eq!(cells.len(), 6);
        assert_eq!([cells[0].as_str(), cells[5].as_str()], ["sync, 10 MiB hot", "sync, 10 GiB cold"]);
        assert!(result.summary.iter().all(|row| row.trials == 6));
        let loss = result.loss(Scenario::KillBacklog, StoreSetting::Sync).expect("it was run");
        assert_eq!((loss.trials, loss.confirmed), (36, 36 * 20_000));
        assert_eq!(result.loss(Scenario::KillBacklog, StoreSetting::Async), None);
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
}
