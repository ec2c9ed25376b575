//! From what was seen to a result: moments, verdict, and the files of the trial.

use super::Context;
use super::execution::Evidence;
use super::figures::{self, connections};
use super::subject::Subject;
use crate::checks::{self, Finding, Judgement};
use crate::clock::{NS_PER_MS, ms_between, now_ns};
use crate::cluster::NodeId;
use crate::error::Result;
use crate::fates;
use crate::history::History;
use crate::plan::TrialPlan;
use crate::result::TrialResult;
use crate::scenario::{StoreSetting, Takeover};
use crate::series::{self, Sent};
use crate::times::{self, Measured, Reference, Steady};
use loadgen::ledger::Ledger;
use loadgen::verdict::{Rules, Window, judge};

/// Concludes one trial and writes its files.
pub(super) fn conclude(
    context: &Context<'_>,
    plan: &TrialPlan,
    evidence: &Evidence,
    subject: Subject<'_>,
    history: &mut History,
    started_ns: u64,
) -> Result<TrialResult> {
    let mut conclusion = Conclusion::new(context, plan, evidence, subject);
    conclusion.look_for_takeover();
    conclusion.measure();
    conclusion.judge_messages();
    conclusion.write_files(history)?;
    Ok(conclusion.finish(started_ns))
}

/// The first node that becomes active after the fault, and which start of it; without one, the node that ought to.
fn successor(evidence: &Evidence, subject: Subject<'_>, requested_ns: u64) -> (NodeId, Option<u32>) {
    let after = evidence.events.iter().filter(|event| event.t_ns >= requested_ns);
    let active = after.filter(|event| event.entered().is_some_and(|state| state.is_active()));
    let first = active.min_by_key(|event| event.t_ns);
    first.map_or_else(|| (subject.successor(evidence.active), None), |event| (event.node, Some(event.start)))
}

/// A result while it is being put together.
struct Conclusion<'a> {
    context: &'a Context<'a>,
    evidence: &'a Evidence,
    subject: Subject<'a>,
    plan: &'a TrialPlan,
    /// The node that is active after the fault, or ought to be.
    successor: NodeId,
    /// Which start of it became active.
    successor_start: Option<u32>,
    sent: Vec<Sent>,
    /// When the fault took effect; without one, when the load began.
    t0_ns: u64,
    judgement: Judgement,
    /// When the first of all messages that a sync store lost was confirmed.
    first_lost_ns: Option<u64>,
    trial: TrialResult,
}

impl<'a> Conclusion<'a> {
    fn new(context: &'a Context<'a>, plan: &'a TrialPlan, evidence: &'a Evidence, subject: Subject<'a>) -> Self {
        let first = evidence.faults.iter().find(|fault| !fault.preparation);
        let effect = first.and_then(|fault| fault.effect.as_ref());
        let series = &evidence.load.series;
        let requested_ns = effect.map_or(u64::MAX, |effect| effect.requested_ns);
        let (successor, successor_start) = successor(evidence, subject, requested_ns);
        let mut judgement = evidence.judgement.clone();
        if first.is_none() {
            judgement.find(Finding::NoEffect, "no fault has come");
        }
        let without = evidence.faults.iter().filter(|fault| fault.effect.is_none());
        for fault in without.clone() {
            let why: String = fault.evidence.iter().map(|sentence| format!(": {sentence}")).collect();
            let words = format!("{} ({}) was not seen to take effect{why}", fault.name, fault.target);
            judgement.find(Finding::NoEffect, words);
        }
        let mut trial = TrialResult::unjudged(plan);
        trial.observations.clone_from(&evidence.observations);
        trial.fault_effective = effect.is_some() && without.count() == 0;
        trial.faults.clone_from(&evidence.faults);
        trial.generator_lag_p99_ms = series.generator_lag_p99_ns().map(|lag_ns| lag_ns as f64 / NS_PER_MS as f64);
        trial.processor_share = evidence.processor_share.clone();
        trial.left_after_ms = evidence.left_after_ms;
        trial.successor_read_bytes = evidence.successor_read_bytes;
        trial.backlog.clone_from(&evidence.backlog);
        Self {
            context,
            evidence,
            subject,
            plan,
            successor,
            successor_start,
            sent: figures::sent(&evidence.load.ledger),
            t0_ns: effect.map_or(series.start_ns, |effect| effect.effective_ns),
            judgement,
            first_lost_ns: None,
            trial,
        }
    }

    /// A takeover is what the other node says, or what clients find there.
    fn look_for_takeover(&mut self) {
        let (t0_ns, url) = (self.t0_ns, self.subject.server(self.successor));
        let says_so = self.evidence.events.iter().any(|event| {
            event.node == self.successor
                && event.t_ns >= t0_ns
                && event.entered().is_some_and(|state| state.is_active())
        });
        let ledger = &self.evidence.load.ledger;
        let is_other = self.successor != self.evidence.active;
        let is_new = is_other || self.subject.is_lone();
        let mut served = connections(ledger).filter(|one| is_new && one.server == url);
        self.trial.takeover = (says_so && is_other) || served.clone().any(|one| one.opened_ns >= t0_ns);
        if is_other && served.any(|one| one.opened_ns < t0_ns) {
            let name = self.successor.name();
            self.judgement.unknown(format!("a client was served by {name} while it said that it was standby"));
        }
    }

    fn measure(&mut self) {
        let mut measured = Measured::default();
        self.trial.failover_measured = self.is_measured();
        if self.is_measured()
            && let Some(effect) = self.trial.fault().and_then(|fault| fault.effect.clone())
        {
            let successor_url = self.subject.server(self.successor);
            // A lone node that was stopped goes on with the connections that it had.
            let keeps_connections = self.subject.is_lone() && !self.trial.takeover;
            let reference = Reference {
                effect,
                successor: self.successor,
                successor_start: self.successor_start,
                successor_url,
                keeps_connections,
            };
            measured = times::measure(&reference, &self.evidence.events, &self.evidence.load.ledger);
        }
        let steady_ns = self.steady_ns(measured.instants_ms.tf.unwrap_or(0.0));
        if steady_ns.is_none() {
            self.judge_unsteady();
        }
        if self.is_measured() {
            self.judge_failover(&measured);
        } else if self.plan.takeover == Takeover::Forbidden {
            self.judge_no_takeover();
        }
        self.judge_logs();
        self.judge_progress();
        measured.instants_ms.ts = steady_ns.map(|t_ns| ms_between(self.t0_ns, t_ns));
        self.trial.times_ms = times::durations(&measured.instants_ms);
        self.trial.start_to_first_delivery_ms = self.start_to_first_delivery_ms(measured.instants_ms.td1);
        self.trial.instants_ms = measured.instants_ms;
        self.trial.store_recovered = measured.store_recovered;
        self.figures(steady_ns);
    }

    /// From the start of the successor's process, where that came after the fault.
    fn start_to_first_delivery_ms(&self, td1_ms: Option<f64>) -> Option<f64> {
        let started_ns = self.subject.started_ns(self.successor).filter(|&started_ns| started_ns > self.t0_ns)?;
        td1_ms.map(|td1_ms| td1_ms - ms_between(self.t0_ns, started_ns))
    }

    /// Whether there is a failover to be measured: one was expected, or one was seen where it is allowed.
    fn is_measured(&self) -> bool {
        match self.plan.takeover {
            Takeover::Expected => true,
            Takeover::Forbidden => false,
            Takeover::Allowed => checks::became_active(&self.evidence.events, self.t0_ns).is_some(),
        }
    }

    /// Steady flow does not begin before the first confirm, even where an outage is too short to show in percentiles.
    fn steady_ns(&self, tf_ms: f64) -> Option<u64> {
        let from_ns = self.t0_ns + (tf_ms * NS_PER_MS as f64) as u64;
        self.steady().find(&self.sent, from_ns, self.sent_until_ns())
    }

    fn steady(&self) -> Steady {
        Steady::from_baseline(&self.sent, self.t0_ns, self.context.plan.load_of(self.plan).steady_ms * NS_PER_MS)
    }

    fn sent_until_ns(&self) -> u64 {
        self.sent.iter().map(|one| one.intended_ns).max().unwrap_or(self.t0_ns)
    }

    /// Messages that flow again, but slowly, are a long recovery; messages that do not flow are none at all.
    fn judge_unsteady(&mut self) {
        let until_ns = self.sent_until_ns();
        let observed_ms = ms_between(self.t0_ns, until_ns).max(0.0);
        self.trial.censored_ms = Some(observed_ms);
        let limit = self.steady();
        let flow = Steady { p99_ns_max: u64::MAX, ..limit };
        match flow.find(&self.sent, self.t0_ns, until_ns) {
            Some(flow_ns) => self.trial.observations.push(format!(
                "95 % of the offered rate came back after {:.0} ms, but p99 stayed above {} ms for the {observed_ms:.0} ms that were \
                 observed: the time to steady flow is right-censored",
                ms_between(self.t0_ns, flow_ns),
                limit.p99_ns_max / NS_PER_MS
            )),
            None => self.judgement.unknown(format!("no steady flow in the {observed_ms:.0} ms after the fault: right-censored")),
        }
    }

    fn judge_failover(&mut self, measured: &Measured) {
        for sentence in &measured.disorder {
            self.judgement.unknown(format!("the phases are out of order: {sentence}"));
        }
        if measured.instants_ms.tf.is_none() {
            let observed_ms = ms_between(self.t0_ns, self.sent_until_ns()).max(0.0);
            self.trial.censored_ms = Some(observed_ms);
            let words = "no confirm by a new active server in the";
            self.judgement
                .unknown(format!("{words} {observed_ms:.0} ms after the fault: the times are right-censored"));
        }
        if !measured.missing.is_empty() {
            self.trial.observations.push(format!("not observable: {}", measured.missing.join("; ")));
        }
    }

    fn judge_no_takeover(&mut self) {
        // Without a reason nobody may take over either: before the fault as little as after it.
        let taker = checks::became_active(&self.evidence.events, self.evidence.load.series.start_ns);
        if let Some(node) = taker.or(self.trial.takeover.then_some(self.successor)) {
            self.judgement.violated(format!("{} took over although it must not", node.name()));
        }
        let lost = connections(&self.evidence.load.ledger).filter(|one| one.is_lost()).count();
        self.trial.observations.push(format!("clients lost {lost} connections"));
        if let Some(allowed) = self.plan.expect.connections_lost_max.filter(|allowed| lost > *allowed) {
            self.judgement.violated(format!("clients lost {lost} connections, {allowed} were allowed"));
        }
    }

    fn judge_logs(&mut self) {
        let expect = &self.plan.expect;
        if expect.standby_logs.is_none() && expect.standby_keeps_silent.is_none() {
            return;
        }
        let standby = self.evidence.active.peer();
        let name = standby.name();
        let Some(log) = self.subject.logs(standby) else { return };
        // What it said before the fault is not about it.
        let before = self.evidence.standby_log_before.as_str();
        let lines = |words: &str| checks::lines_since(before, &log, words);
        if let Some(words) = &expect.standby_logs {
            match lines(words) {
                0 => self.judgement.violated(format!("the standby {name} did not log \"{words}\"")),
                count => {
                    self.trial.observations.push(format!("the standby {name} logged \"{words}\" (lines: {count})"));
                }
            }
        }
        if let Some(words) = expect.standby_keeps_silent.as_ref().filter(|words| lines(words) > 0) {
            self.judgement.violated(format!("the standby {name} logged \"{words}\" without a reason"));
        }
    }

    /// Once every fault has gone, a pair in which nothing flows at all has broken its promise: nothing is left to wait for.
    fn judge_progress(&mut self) {
        let healed_ns = self.evidence.healed_ns.max(self.t0_ns);
        let waited_ms = ms_between(healed_ns, self.evidence.stopped_ns);
        let enough = waited_ms >= self.context.plan.load_of(self.plan).recovery_limit_ms as f64;
        let confirmed = self.sent.iter().filter_map(|one| one.confirmed_ns).any(|t_ns| t_ns > healed_ns);
        if !confirmed && enough {
            self.judgement.violated(format!("no progress after healing: not one confirm in {waited_ms:.0} ms"));
        }
    }

    fn figures(&mut self, steady_ns: Option<u64>) {
        let load = &self.evidence.load;
        let end_ns = steady_ns.unwrap_or(self.evidence.stopped_ns).max(self.t0_ns);
        self.trial.response_ms = figures::response_times(&self.sent, self.t0_ns, end_ns);
        self.trial.unavailable_ms = figures::unavailable(&load.ledger, self.t0_ns, end_ns);
    }

    fn judge_messages(&mut self) {
        // The proof of a fault comes a moment after its effect: connections may break within that moment.
        let effect = self.trial.fault().and_then(|fault| fault.effect.as_ref());
        let fault = effect.map(|effect| Window { begin_ns: effect.requested_ns, end_ns: u64::MAX });
        let mut store = self.subject.promise(self.context, self.plan);
        if let Subject::Pair(_) = self.subject {
            let successor = checks::became_active(&self.evidence.events, self.evidence.load.series.start_ns);
            store = checks::promise_kept_by(store, successor);
        }
        let rules = Rules {
            store,
            drained: self.evidence.drained,
            acks_confirmed: self.subject.confirms_acknowledgements(),
            one_active: true,
            faults: fault.into_iter().collect(),
            generator_lag_p99_ns: self.evidence.load.series.generator_lag_p99_ns(),
            depths: self.evidence.depths.seen.clone(),
            ..Rules::default()
        };
        let ledger = self.evidence.all_messages();
        let verdict = judge(&ledger, &rules);
        self.judgement.include(&verdict);
        // What an async store had confirmed and not yet written, a disk that lies later can still take.
        if verdict.counts.lost > 0 && self.plan.store == StoreSetting::Sync {
            self.first_lost_ns = fates::first_lost_ns(&ledger);
        }
        self.trial.messages = checks::messages(&verdict.counts);
        self.trial.losses = checks::losses(&verdict.losses);
        if let Subject::Pair(_) = self.subject {
            let pair = self.context.plan.pair_of(self.plan);
            self.judgement.check_total_loss(self.plan.store, &pair, &self.trial.losses);
        }
        self.trial.not_judged = verdict.not_judged;
        self.trial.not_judged.extend(self.evidence.depths.not_judged.iter().cloned());
        self.judge_epochs(&ledger);
    }

    fn judge_epochs(&mut self, ledger: &Ledger) {
        // What is not ours tells of no epochs.
        let Subject::Pair(pair) = self.subject else { return };
        let node_of = |url: &str| NodeId::BOTH.into_iter().find(|node| pair.url(*node) == url);
        let tenures = checks::tenures(ledger, &self.evidence.events, node_of);
        if tenures.is_empty() {
            self.trial.not_judged.push("epochs: no server told which it owned".to_owned());
        }
        for sentence in checks::overlaps(&tenures) {
            self.judgement.find(Finding::EpochsOverlap, sentence);
        }
    }

    fn write_files(&self, history: &mut History) -> Result<()> {
        let ledger = &self.evidence.load.ledger;
        let buckets = series::buckets(&self.sent, &figures::arrivals(ledger), self.t0_ns);
        series::write(&self.context.out.join(format!("{}.csv", self.plan.file_stem())), &buckets)?;
        let all = self.evidence.all_messages();
        let around_loss = fates::around_loss(&all, self.t0_ns);
        if !around_loss.is_empty() {
            fates::write(&self.context.out.join(format!("{}-fates.csv", self.plan.file_stem())), &around_loss)?;
        }
        history.append(self.plan, &all, ledger, self.t0_ns)
    }

    fn finish(mut self, started_ns: u64) -> TrialResult {
        let first_lost_ns = self.first_lost_ns;
        let attributed = self.judgement.attribute(&self.evidence.faults, first_lost_ns);
        self.trial.observations.extend(attributed);
        let (expect, store) = (&self.plan.expect, self.plan.store);
        let demanded = self.judgement.settle(&expect.findings, store, &self.evidence.faults, first_lost_ns);
        self.trial.observations.extend(demanded);
        let Judgement { verdict, reasons, findings } = self.judgement;
        TrialResult { verdict, reasons, findings, duration_ms: (now_ns() - started_ns) / NS_PER_MS, ..self.trial }
    }
}
