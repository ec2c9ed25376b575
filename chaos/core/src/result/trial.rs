//! The part of result.json that tells of one trial.

use super::Verdict;
use crate::checks::{Finding, Windows};
use crate::clock::NS_PER_MS;
use crate::cluster::NodeId;
use crate::faults::Effect;
use crate::plan::TrialPlan;
use crate::scenario::{Backlog, Cell, StoreSetting, Takeover};
use loadgen::verdict::Rules;
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;

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
    /// Whom it was done to, in words.
    #[serde(default)]
    pub target: String,
    /// Whether it only set the scene.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub preparation: bool,
    /// The node that it was done to, or the first of several; absent when it was none.
    pub victim: Option<NodeId>,
    /// When, and how that is known; absent when no effect was seen.
    pub effect: Option<Effect>,
    /// When it was taken back, nanoseconds of CLOCK_MONOTONIC.
    pub healed_ns: Option<u64>,
    /// Further evidence, a sentence each.
    pub evidence: Vec<String>,
    /// What the fault made the disk report as durable and drop, in words: this alone explains a loss.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lied: Option<String>,
}

/// Whether a takeover was expected in results from before they said so.
fn usual() -> bool {
    true
}

fn one_or_several<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<FaultRecord>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Read {
        Several(Vec<FaultRecord>),
        One(Option<FaultRecord>),
    }
    Ok(match Read::deserialize(deserializer)? {
        Read::Several(list) => list,
        Read::One(one) => one.into_iter().collect(),
    })
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
    /// The scenario's name.
    pub scenario: String,
    /// Whether the standby had to become the active server.
    #[serde(default = "usual")]
    pub takeover_expected: bool,
    /// Where the queue was stored.
    pub store: StoreSetting,
    /// What waited in the store from before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backlog: Option<BacklogSeen>,
    /// The server parameters that vary between the trials of the run, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, String>,
    /// The trial's seed.
    pub seed: u64,
    /// What is concluded.
    pub verdict: Verdict,
    /// Why it is not a pass, a sentence each.
    pub reasons: Vec<String>,
    /// What kind of finding each reason is.
    #[serde(default)]
    pub findings: Vec<Finding>,
    /// What was not judged, a sentence each.
    pub not_judged: Vec<String>,
    /// What else was seen.
    pub observations: Vec<String>,
    /// Whether the fault was seen to bite.
    pub fault_effective: bool,
    /// What was done to the pair, in order. A run from before there could be several has one, as `fault`.
    #[serde(default, alias = "fault", deserialize_with = "one_or_several")]
    pub faults: Vec<FaultRecord>,
    /// Whether a takeover took place.
    pub takeover: bool,
    /// Whether there was a failover to be measured: one was expected, or one was seen where it is allowed.
    #[serde(default)]
    pub failover_measured: bool,
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
    /// From the start of the process that serves after the fault, where it was started after it, to the first delivery by it, milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_to_first_delivery_ms: Option<f64>,
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
    /// The windows of the producers, each without its usual gap.
    #[serde(default)]
    pub producers: Windows,
    /// The windows of the consumers.
    #[serde(default)]
    pub consumers: Windows,
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
            scenario: plan.scenario.clone(),
            takeover_expected: plan.takeover == Takeover::Expected,
            store: plan.store,
            settings: plan.settings.clone(),
            backlog: plan.backlog.map(|asked| BacklogSeen { asked, messages: 0, store_bytes: 0 }),
            seed: plan.seed,
            verdict: Verdict::Unknown,
            reasons: Vec::new(),
            findings: Vec::new(),
            not_judged: Vec::new(),
            observations: Vec::new(),
            fault_effective: false,
            faults: Vec::new(),
            takeover: false,
            failover_measured: false,
            messages: Messages::default(),
            instants_ms: Instants::default(),
            times_ms: Times::default(),
            censored_ms: None,
            store_recovered: None,
            successor_read_bytes: None,
            start_to_first_delivery_ms: None,
            left_after_ms: None,
            losses: Vec::new(),
            response_ms: ResponseTimes::default(),
            unavailable_ms: Unavailable::default(),
            generator_lag_p99_ms: None,
            processor_share: ProcessorShare::default(),
            duration_ms: 0,
        }
    }

    /// Whether the machine, rather than the pair, is why it could not be judged: the load generator itself was late, outside the fault.
    pub fn is_disturbed(&self) -> bool {
        let limit_ms = Rules::default().generator_lag_limit_ns as f64 / NS_PER_MS as f64;
        self.verdict == Verdict::Unknown && self.generator_lag_p99_ms.is_some_and(|lag_ms| lag_ms > limit_ms)
    }

    /// Name of the trial's files, such as `trial-03-kill-active-sync`.
    pub fn file_stem(&self) -> String {
        format!("trial-{:02}-{}-{}", self.number, self.scenario, self.store)
    }

    /// The row of the tables that it belongs to.
    pub fn cell(&self) -> Cell {
        Cell {
            scenario: self.scenario.clone(),
            store: self.store,
            backlog: self.backlog.as_ref().map(|seen| seen.asked),
            settings: self.settings.clone(),
        }
    }

    /// The fault from which the times count: the first that is no preparation.
    pub fn fault(&self) -> Option<&FaultRecord> {
        self.faults.iter().find(|fault| !fault.preparation)
    }

    /// The failover time; absent where there was none to be measured, and where it was not observed at all.
    pub fn failover(&self) -> Option<Observed> {
        match self.takeover_expected || self.failover_measured {
            true => self.observed(self.times_ms.failover),
            false => self.times_ms.failover.map(Observed::At),
        }
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
