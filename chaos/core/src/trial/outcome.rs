//! From what was seen to a result: moments, counts, verdict, and the files of the trial.

use super::Context;
use super::steps::Evidence;
use crate::checks::{self, Judgement};
use crate::clock::{NS_PER_MS, ms_between, now_ns};
use crate::cluster::Pair;
use crate::error::Result;
use crate::history::History;
use crate::plan::TrialPlan;
use crate::result::{Percentiles, ResponseTimes, TrialResult, Unavailable};
use crate::series::{self, Sent};
use crate::times::{self, Measured, Reference, Steady};
use loadgen::ledger::{Connection, Ledger, Outcome};
use loadgen::verdict::{Rules, Window, judge};
use std::path::Path;

/// What the operator's log of a standby says when the link is silent.
const MISSING_HEARTBEATS: &str = "Missing heartbeats";

/// Concludes one trial and writes its files.
pub(super) fn conclude(
    context: &Context<'_>,
    plan: &TrialPlan,
    evidence: &Evidence,
    pair: &Pair,
    history: &mut History,
    started_ns: u64,
) -> Result<TrialResult> {
    let ledger = &evidence.load.ledger;
    let sent = sent(ledger);
    let effect = evidence.fault.as_ref().and_then(|fault| fault.effect.clone());
    let t0_ns = effect.as_ref().map_or(evidence.load.series.start_ns, |effect| effect.effective_ns);
    let successor = evidence.active.peer();
    let reference = effect.map(|effect| Reference { effect, successor, successor_url: pair.url(successor) });
    let mut trial = skeleton(plan, evidence, started_ns);
    let mut judgement = evidence.judgement.clone();

    let successor_url = pair.url(successor);
    trial.takeover = evidence.events.iter().any(|event| {
        event.node == successor && event.t_ns >= t0_ns && event.entered().is_some_and(|state| state.is_active())
    }) || connections(ledger).any(|one| one.server == successor_url && one.opened_ns >= t0_ns);
    if connections(ledger).any(|one| one.server == successor_url && one.opened_ns < t0_ns) {
        judgement.unknown(format!("a client was served by {} while it said that it was standby", successor.name()));
    }
    let mut measured = Measured::default();
    if let Some(reference) = reference.as_ref().filter(|_| plan.scenario.expects_takeover()) {
        measured = times::measure(reference, &evidence.events, ledger);
    }
    let flow_from_ns = t0_ns + (measured.instants_ms.tf.unwrap_or(0.0) * NS_PER_MS as f64) as u64;
    let steady_ns = steady(context, evidence, &sent, t0_ns, flow_from_ns);
    if plan.scenario.expects_takeover() {
        judge_failover(&mut trial, &mut judgement, &measured, steady_ns.is_some(), context.plan.load.recovery_limit_ms);
    } else {
        judge_no_takeover(&mut trial, &mut judgement, evidence, pair);
    }
    measured.instants_ms.ts = steady_ns.map(|t_ns| ms_between(t0_ns, t_ns));
    trial.times_ms = times::durations(&measured.instants_ms);
    trial.instants_ms = measured.instants_ms;
    trial.store_recovered = measured.store_recovered;

    judge_messages(context, plan, evidence, &mut trial, &mut judgement);
    if evidence.fault.is_none() || !trial.fault_effective {
        judgement.unknown("the fault was not seen to take effect");
    }
    let fault_end_ns = steady_ns.unwrap_or(evidence.stopped_ns).max(t0_ns);
    trial.response_ms = response_times(
        &sent,
        evidence.load.series.start_ns + context.plan.load.warm_up_ms * NS_PER_MS,
        t0_ns,
        fault_end_ns,
    );
    trial.unavailable_ms = unavailable(ledger, t0_ns, fault_end_ns);
    trial.verdict = judgement.verdict;
    trial.reasons = judgement.reasons;
    trial.duration_ms = (now_ns() - started_ns) / NS_PER_MS;
    write_files(context, plan, ledger, &sent, t0_ns, history)?;
    Ok(trial)
}

fn connections(ledger: &Ledger) -> impl Iterator<Item = &Connection> {
    let producers = ledger.producers.iter().flat_map(|log| &log.connections);
    producers.chain(ledger.consumers.iter().flat_map(|log| &log.connections))
}

/// What is known without judging.
fn skeleton(plan: &TrialPlan, evidence: &Evidence, started_ns: u64) -> TrialResult {
    let mut trial = TrialResult::unjudged(plan);
    trial.observations.clone_from(&evidence.observations);
    trial.fault_effective = evidence.fault.as_ref().is_some_and(|fault| fault.effect.is_some());
    trial.fault.clone_from(&evidence.fault);
    trial.generator_lag_p99_ms =
        evidence.load.series.generator_lag_p99_ns().map(|lag_ns| lag_ns as f64 / NS_PER_MS as f64);
    trial.processor_share = evidence.processor_share.clone();
    trial.duration_ms = (now_ns() - started_ns) / NS_PER_MS;
    trial
}

/// Each message that was sent, with its first confirm.
fn sent(ledger: &Ledger) -> Vec<Sent> {
    let mut all = Vec::new();
    for log in &ledger.producers {
        let base = all.len();
        for send in log.sends.iter() {
            let place = base + send.sequence as usize;
            if place >= all.len() {
                all.resize(place + 1, Sent { intended_ns: send.intended_ns, confirmed_ns: None });
            }
            let one: &mut Sent = &mut all[place];
            if send.attempt == 0 {
                one.intended_ns = send.intended_ns;
            }
            if send.outcome == Outcome::Ok {
                one.confirmed_ns = Some(one.confirmed_ns.map_or(send.outcome_ns, |before| before.min(send.outcome_ns)));
            }
        }
    }
    all
}

fn steady(context: &Context<'_>, evidence: &Evidence, sent: &[Sent], t0_ns: u64, from_ns: u64) -> Option<u64> {
    let length_ns = context.plan.load.steady_ms * NS_PER_MS;
    let steady = Steady::from_baseline(sent, t0_ns, length_ns);
    // The last messages before the stop have had no time to be confirmed.
    let end_ns = sent.iter().map(|one| one.intended_ns).max().unwrap_or(t0_ns);
    steady.find(sent, from_ns, end_ns).filter(|_| evidence.steady_seen)
}

fn judge_failover(
    trial: &mut TrialResult,
    judgement: &mut Judgement,
    measured: &Measured,
    steady: bool,
    limit_ms: u64,
) {
    for sentence in &measured.disorder {
        judgement.unknown(format!("the phases are out of order: {sentence}"));
    }
    if measured.instants_ms.tf.is_none() || !steady {
        trial.censored_ms = Some(limit_ms as f64);
        let what = if measured.instants_ms.tf.is_none() { "confirm by a new active server" } else { "steady flow" };
        judgement.unknown(format!("no {what} within {limit_ms} ms of the fault: the times are right-censored"));
    }
    if !measured.missing.is_empty() {
        trial.observations.push(format!("not observable: {}", measured.missing.join("; ")));
    }
}

fn judge_no_takeover(trial: &mut TrialResult, judgement: &mut Judgement, evidence: &Evidence, pair: &Pair) {
    let standby = evidence.active.peer();
    if trial.takeover {
        judgement.violated(format!(
            "{} took over although the active server wrote its heartbeat to the store",
            standby.name()
        ));
    }
    let log = read_logs(&pair.folder().join(standby.name()));
    match log.lines().filter(|line| line.contains(MISSING_HEARTBEATS)).count() {
        0 => judgement.violated(format!("the standby {} did not log \"{MISSING_HEARTBEATS}\"", standby.name())),
        count => trial
            .observations
            .push(format!("the standby {} logged \"{MISSING_HEARTBEATS}\" {count} times and stayed", standby.name())),
    }
    let lost_connections =
        evidence.load.ledger.producers.iter().flat_map(|log| &log.connections).filter(|one| one.is_lost()).count();
    trial.observations.push(format!("clients lost {lost_connections} connections"));
}

/// The operator's log may go to a file or to standard error.
fn read_logs(folder: &Path) -> String {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let texts = entries.filter(|entry| entry.path().extension().is_some_and(|kind| kind == "log"));
    texts
        .filter_map(|entry| std::fs::read(entry.path()).ok())
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .collect()
}

fn judge_messages(
    context: &Context<'_>,
    plan: &TrialPlan,
    evidence: &Evidence,
    trial: &mut TrialResult,
    judgement: &mut Judgement,
) {
    let series = &evidence.load.series;
    // The proof of a fault comes a moment after its effect: connections may break within that moment.
    let begin_ns = trial.fault.as_ref().and_then(|fault| fault.effect.as_ref()).map(|effect| effect.requested_ns);
    let faults = begin_ns.map(|begin_ns| Window { begin_ns, end_ns: u64::MAX });
    let rules = Rules {
        store: checks::promise(plan.store, &context.plan.pair),
        drained: evidence.drained,
        acks_confirmed: true,
        one_active: true,
        faults: faults.into_iter().collect(),
        generator_lag_p99_ns: series.generator_lag_p99_ns(),
        ..Rules::default()
    };
    let verdict = judge(&evidence.load.ledger, &rules);
    judgement.include(&verdict);
    trial.messages = checks::messages(&verdict.counts);
    trial.losses = checks::losses(&verdict.losses);
    trial.not_judged.clone_from(&verdict.not_judged);
    judgement.check_total_loss(plan.store, &context.plan.pair, &trial.losses);
}

fn response_times(sent: &[Sent], warm_ns: u64, t0_ns: u64, steady_ns: u64) -> ResponseTimes {
    let part = |from_ns: u64, to_ns: u64| {
        let responses = sent.iter().filter_map(|one| {
            let confirmed_ns = one.confirmed_ns.filter(|t_ns| (from_ns..to_ns).contains(t_ns))?;
            Some(confirmed_ns.saturating_sub(one.intended_ns))
        });
        percentiles(responses.collect())
    };
    ResponseTimes {
        before: part(warm_ns.min(t0_ns), t0_ns),
        during: part(t0_ns, steady_ns),
        after: part(steady_ns, u64::MAX),
    }
}

fn percentiles(mut values_ns: Vec<u64>) -> Percentiles {
    values_ns.sort_unstable();
    let n = values_ns.len();
    let at = |p: f64| {
        values_ns.get(crate::statistics::nearest_rank(n, p) - 1).map_or(0.0, |&value| value as f64 / NS_PER_MS as f64)
    };
    Percentiles { n: n as u64, p50: at(0.5), p99: at(0.99), p999: at(0.999), max: at(1.0) }
}

fn unavailable(ledger: &Ledger, t0_ns: u64, end_ns: u64) -> Unavailable {
    let sorted = |mut times: Vec<u64>| {
        times.sort_unstable();
        times
    };
    let confirms: Vec<Vec<u64>> = ledger
        .producers
        .iter()
        .map(|log| {
            sorted(log.sends.iter().filter(|send| send.outcome == Outcome::Ok).map(|send| send.outcome_ns).collect())
        })
        .collect();
    let worst = confirms.iter().filter_map(|times| series::largest_gap_ms(times, t0_ns, end_ns)).max_by(f64::total_cmp);
    let deliveries = ledger.consumers.iter().flat_map(|log| log.deliveries.iter()).map(|one| one.arrival_ns);
    Unavailable {
        publish: series::largest_gap_ms(&sorted(confirms.concat()), t0_ns, end_ns),
        publish_worst_client: worst,
        deliver: series::largest_gap_ms(&sorted(deliveries.collect()), t0_ns, end_ns),
    }
}

fn write_files(
    context: &Context<'_>,
    plan: &TrialPlan,
    ledger: &Ledger,
    sent: &[Sent],
    t0_ns: u64,
    history: &mut History,
) -> Result<()> {
    let deliveries: Vec<u64> =
        ledger.consumers.iter().flat_map(|log| log.deliveries.iter()).map(|one| one.arrival_ns).collect();
    let buckets = series::buckets(sent, &deliveries, t0_ns);
    series::write(&context.out.join(format!("{}.csv", plan.file_stem())), &buckets)?;
    history.append(plan, ledger, t0_ns)
}

#[cfg(test)]
mod tests {
    use super::*;
    use loadgen::ledger::{ProducerLog, Send};

    fn send(sequence: u64, attempt: u8, intended_ns: u64, outcome: Outcome, outcome_ns: u64) -> Send {
        Send {
            sequence,
            intended_ns,
            invoke_ns: intended_ns,
            outcome_ns,
            confirm_index: 0,
            connection: 0,
            attempt,
            outcome,
        }
    }

    #[test]
    fn a_message_counts_once_with_its_first_confirm_and_its_first_intent() {
        let sends = [
            send(0, 0, 10, Outcome::Info, 0),
            send(1, 0, 20, Outcome::Ok, 25),
            send(0, 1, 10, Outcome::Ok, 90),
            send(0, 2, 10, Outcome::Ok, 95),
        ];
        let log = ProducerLog { sends: sends.into_iter().collect(), ..ProducerLog::default() };
        let ledger = Ledger { producers: vec![log.clone(), log], ..Ledger::default() };
        let list = sent(&ledger);
        let expected =
            [Sent { intended_ns: 10, confirmed_ns: Some(90) }, Sent { intended_ns: 20, confirmed_ns: Some(25) }];
        assert_eq!(list, [expected, expected].concat());
    }

    #[test]
    fn percentiles_are_nearest_ranks() {
        let found = percentiles((1..=1000).map(|ms| ms * NS_PER_MS).collect());
        assert_eq!((found.n, found.p50, found.p99, found.p999, found.max), (1000, 500.0, 990.0, 999.0, 1000.0));
        assert_eq!(percentiles(Vec::new()), Percentiles::default());
    }
}
