//! A run that never took place, for tests of the report.

use crate::cluster::NodeId;
use crate::environment::Environment;
use crate::fates::{Fate, Message};
use crate::faults::Effect;
use crate::plan::{Plan, Request, TrialPlan, expand};
use crate::result::{
    self, FaultRecord, Instants, Percentiles, RunResult, StoreRecovered, StoreResult, TrialResult, Verdict,
};
use crate::scenario::{Standby, StoreSetting};
use crate::series::{self, Sent};
use crate::{checks, times};
use std::path::Path;

fn plan(suite: &str) -> Plan {
    expand(&Request::of(suite, 7))
}

/// All trials of the quick suite, passed, with 20,000 confirmed messages each.
pub(crate) fn run() -> RunResult {
    played(plan("quick"))
}

/// The same of the suite about backlogs: a cold standby needs 1 ms for each MiB.
pub(crate) fn backlogs() -> RunResult {
    let mut result = played(plan("backlog"));
    result.ratios = result::ratios(&result.summary);
    result.stores = vec![StoreResult {
        store: StoreSetting::Sync,
        size_bytes: 1 << 30,
        trials: vec![13, 14],
        messages: 1 << 20,
        store_bytes: 1200 << 20,
        fill_s: 12.0,
        drain_s: 20.0,
        delivered: 1 << 20,
        lost: 0,
        duplicated: 0,
        verdict: Verdict::Violated,
        reasons: vec!["planted <reason>".to_owned()],
    }];
    result
}

/// Several faults in each trial, one of them before the first; a trial that was skipped; an async loss whose messages are known.
pub(crate) fn troubled() -> RunResult {
    let mut result = run();
    for trial in &mut result.trials {
        let mut cut = trial.faults[0].clone();
        cut.name = "cut <both directions>".to_owned();
        cut.target = "link".to_owned();
        cut.effect = Some(Effect { requested_ns: 100_000_000, effective_ns: 100_001_000, proof: "planted".to_owned() });
        cut.healed_ns = Some(900_001_000);
        trial.faults.push(cut);
    }
    let mut skipped = TrialResult { number: 29, scenario: "host-crash".to_owned(), ..result.trials[0].clone() };
    skipped.verdict = Verdict::Skipped;
    skipped.reasons = vec!["no /dev/fuse here".to_owned()];
    result.trials.push(skipped);
    result.summary = result::summarize(&result.trials);
    result
}

/// Messages around the loss of the second trial.
pub(crate) fn fates() -> Vec<Message> {
    let message = |sequence: u64| {
        let confirmed_ms = sequence as f64 - 50.0;
        let is_lost = (30..40).contains(&sequence);
        Message {
            producer: (sequence % 4) as u32,
            sequence,
            sent_ms: confirmed_ms - 1.0,
            confirmed_ms: Some(confirmed_ms),
            delivered_ms: (!is_lost).then_some(confirmed_ms + 1.0),
            fate: if is_lost { Fate::Lost } else { Fate::Delivered },
        }
    };
    (0..100).map(message).collect()
}

fn played(plan: Plan) -> RunResult {
    let trials: Vec<TrialResult> = plan.trials.iter().map(trial).collect();
    RunResult {
        shrunk: None,
        schema: result::SCHEMA.to_owned(),
        verdict: Verdict::Pass,
        suite: plan.suite.clone(),
        seed: plan.seed,
        command: format!("cargo run --release -p chaos -- run {} --seed 7", plan.suite),
        started: "2026-01-31T12:00:00Z".to_owned(),
        duration_s: 140.0,
        environment: Environment {
            processor: "Imaginary <CPU> & Sons".to_owned(),
            processors: 2,
            ..Environment::default()
        },
        async_bound: checks::async_bound_in_words(&plan.pair),
        load: plan.load,
        pair: plan.pair,
        async_loss_seen: true,
        summary: result::summarize(&trials),
        stores: vec![],
        ratios: vec![],
        trials,
        disturbed: vec![],
    }
}

fn trial(plan: &TrialPlan) -> TrialResult {
    let mut trial = TrialResult::unjudged(plan);
    trial.verdict = Verdict::Pass;
    trial.fault_effective = true;
    trial.takeover = trial.takeover_expected;
    trial.messages.attempted = 20_100;
    trial.messages.confirmed = 20_000;
    trial.messages.delivered = 20_100;
    if plan.store == StoreSetting::Async && plan.scenario == "kill-active" {
        trial.messages.lost = plan.number as u64;
    }
    let effect = Effect { requested_ns: 999, effective_ns: 1000, proof: "planted".to_owned() };
    trial.faults = vec![FaultRecord {
        name: "SIGKILL".to_owned(),
        target: "active server A".to_owned(),
        preparation: false,
        victim: trial.takeover.then_some(NodeId::A),
        effect: Some(effect),
        healed_ns: (!trial.takeover).then_some(1_500_001_000),
        evidence: vec!["planted evidence".to_owned()],
        lied: None,
    }];
    if trial.takeover {
        trial.instants_ms = instants(plan);
        trial.times_ms = times::durations(&trial.instants_ms);
        let bytes = 40_000_000 + plan.number as u64 * 1_000_000;
        trial.store_recovered = Some(StoreRecovered { bytes, messages: 120, segments: 3 });
    }
    trial.response_ms.before = Percentiles { n: 10_000, p50: 0.8, p99: 3.0, p999: 5.0, max: 9.0 };
    trial.response_ms.during = Percentiles { n: 900, p50: 40.0, p99: 90.0, p999: 95.0, max: 99.0 };
    trial.response_ms.after = Percentiles { n: 9_000, p50: 0.9, p99: 3.3, p999: 5.5, max: 9.5 };
    trial.duration_ms = 5400;
    trial
}

fn instants(plan: &TrialPlan) -> Instants {
    let cold = plan.backlog.filter(|backlog| backlog.standby == Standby::Cold);
    let reading_ms = cold.map_or(0.0, |backlog| (backlog.size_bytes >> 20) as f64);
    let base = if plan.scenario == "pause-active" { 520.0 } else { 3.0 };
    let scale = 1.0 + plan.number as f64 / 40.0;
    let at = |ms: f64| Some(base + ms * scale);
    Instants {
        td: at(0.0),
        tl: at(9.0),
        tr: at(30.0 + reading_ms),
        ta: at(30.5 + reading_ms),
        tc: at(34.0 + reading_ms),
        tf: at(42.0 + reading_ms),
        td1: at(44.0 + reading_ms),
        ta100: at(50.0 + reading_ms),
        ts: at(160.0 + reading_ms),
    }
}

/// Writes the run with its series, as a real run would leave it.
pub(crate) fn write(folder: &Path, result: &RunResult) {
    result.write(folder).expect("the folder is the test's");
    for trial in &result.trials {
        let buckets = series::buckets(&sent(trial), &[], ZERO_NS);
        series::write(&folder.join(format!("{}.csv", trial.file_stem())), &buckets).expect("the folder is the test's");
    }
}

const ZERO_NS: u64 = 10_000_000_000;

/// Two messages each millisecond; what is due between the fault and the first confirm waits for it.
fn sent(trial: &TrialResult) -> Vec<Sent> {
    let outage_ns = trial.instants_ms.tf.unwrap_or(0.0) as u64 * 1_000_000;
    let one = |index: u64| {
        let intended_ns = ZERO_NS - 2_400_000_000 + index * 500_000;
        let jitter_ns = 400_000 + index * 7919 % 1_100_000;
        let waits = (ZERO_NS..ZERO_NS + outage_ns).contains(&intended_ns);
        let from_ns = if waits { ZERO_NS + outage_ns } else { intended_ns };
        Sent { intended_ns, confirmed_ns: Some(from_ns + jitter_ns) }
    };
    (0..9600).map(one).collect()
}
