//! A trial on a broker that is not ours: the same timeline, load and judgement, with what can be seen and done from outside.
//!
//! Nobody tells when a node takes over; it is asked for ([`Foreign::is_active`]). What only our own broker reveals or understands makes no sense
//! here, and a trial that needs it is skipped.

use super::Context;
use super::depth::Depths;
use super::execution::Evidence;
use super::load::{Load, Service};
use super::meter::Meter;
use super::outcome;
use super::recovery::{DRAIN_QUIET, Watch, unanswered};
use super::subject::Subject;
use super::timeline::{Next, Seen, Timeline};
use crate::checks::Judgement;
use crate::cleanup::TemporaryFolder;
use crate::clock::{self, NS_PER_MS};
use crate::cluster::{Event, Foreign, NodeId};
use crate::error::{Error, Result};
use crate::faults::process::ProcessFault;
use crate::faults::{Effect, Fault};
use crate::history::History;
use crate::plan::{Anchor, FaultPlan, LoadPlan, TrialPlan};
use crate::result::{FaultRecord, ProcessorShare, TrialResult, Verdict};
use crate::scenario::{Consume, Role, StoreOn, Wiring};
use crate::targets::{Target, TargetQueue};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// How often a node is asked whether it serves, while something waits for that.
const ASK_EVERY: Duration = Duration::from_millis(100);
/// The longest sleep between two looks at the timeline.
const POLL: Duration = Duration::from_millis(20);
/// As in a trial on our own pair: the consumer leaves so long before the fault.
const AWAY_BEFORE_FAULT: Duration = Duration::from_millis(100);
/// A node that was stopped and has lost its store leaves in this time, and is then started again.
const LEAVE_LIMIT: Duration = Duration::from_secs(1);

/// Plays one trial.
pub(super) async fn play(
    context: &Context<'_>,
    target: &Arc<Target>,
    plan: &TrialPlan,
    history: &mut History,
) -> Result<(TrialResult, Vec<Event>)> {
    let started_ns = clock::now_ns();
    let queue = suited(plan, target)?;
    context.progress.phase(&format!("starting {}", target.name));
    let folder = TemporaryFolder::new(context.store_parent, "target-", context.keep)?;
    let mut foreign = Foreign::start(context.launcher, Arc::clone(target), plan.store, folder).await?;
    let outcome = match execute(context, plan, queue, &mut foreign).await {
        Ok(evidence) => {
            let subject = Subject::Foreign(&foreign, queue);
            outcome::conclude(context, plan, &evidence, subject, history, started_ns)
        }
        Err(error) => Err(error),
    };
    if !matches!(&outcome, Ok(trial) if trial.verdict == Verdict::Pass) {
        foreign.copy_logs(&context.out.join("logs").join(plan.file_stem()))?;
    }
    Ok((outcome?, Vec::new()))
}

async fn execute(
    context: &Context<'_>,
    plan: &TrialPlan,
    queue: &TargetQueue,
    foreign: &mut Foreign,
) -> Result<Evidence> {
    let load = Load::start(context, plan, &Service::of_target(foreign, queue)).await?;
    let mut execution = Execution::new(context, plan, foreign, load);
    execution.play().await?;
    execution.recover().await;
    execution.finish().await
}

/// The queue for the trial, or why the trial makes no sense for this target.
fn suited<'a>(plan: &TrialPlan, target: &'a Target) -> Result<&'a TargetQueue> {
    let is_process_fault =
        |fault: &FaultPlan| matches!(fault.fault, Fault::Process(ProcessFault::Kill {} | ProcessFault::Stop {}));
    let needs_events = |fault: &FaultPlan| {
        let heal = fault.heal.map(|heal| heal.after);
        [Some(fault.begin.after), heal].contains(&Some(Anchor::Recovery))
    };
    let of_standby = |fault: &FaultPlan| matches!(fault.role, Role::Standby | Role::Both);
    let is_direct = plan.pair.link == Wiring::Direct && plan.pair.clients == Wiring::Direct;
    let reasons = [
        (!plan.faults.iter().all(is_process_fault), "it has other faults than kill and stop of a node"),
        (plan.faults.iter().any(needs_events), "when a node recovers its store is not observable"),
        (target.is_lone() && plan.faults.iter().any(of_standby), "it needs a standby, and the node is a lone one"),
        (!is_direct || plan.pair.store_on != StoreOn::Folder, "it needs the links or the disk of our own pair"),
        (!plan.pair.settings.is_empty() || !plan.settings.is_empty(), "it needs parameters of our own broker"),
        (plan.backlog.is_some(), "it keeps a backlog in the store of our own pair"),
    ];
    let unsuited = |reason: String| Error::Unsuited { target: target.name.clone(), reason };
    if let Some((_, reason)) = reasons.into_iter().find(|(applies, _)| *applies) {
        return Err(unsuited(reason.to_owned()));
    }
    target.queue(plan.store).ok_or_else(|| unsuited(format!("its file names no queue for {}", plan.store)))
}

/// A trial under way.
struct Execution<'a> {
    context: &'a Context<'a>,
    plan: &'a TrialPlan,
    load_plan: LoadPlan,
    foreign: &'a mut Foreign,
    load: Load,
    active: NodeId,
    /// How often each victim had been started when its fault came.
    starts: [u32; 2],
    /// Faults that came, in the order of the plan, with their victims; `None` until then.
    injected: Vec<Option<(FaultRecord, Vec<NodeId>)>>,
    /// Each time that a node was found to serve that did not before.
    takeovers_ns: Vec<u64>,
    asked_ns: u64,
    healed_ns: u64,
    stopped_ns: u64,
    drained: bool,
    judgement: Judgement,
    observations: Vec<String>,
    meter: Meter,
    processor_share: ProcessorShare,
}

impl<'a> Execution<'a> {
    fn new(context: &'a Context<'a>, plan: &'a TrialPlan, foreign: &'a mut Foreign, load: Load) -> Self {
        let active = foreign.active().unwrap_or(NodeId::A);
        let meter = Meter::start(foreign.processes(active));
        Self {
            context,
            plan,
            load_plan: context.plan.load_of(plan).clone(),
            foreign,
            load,
            active,
            starts: [0; 2],
            injected: plan.faults.iter().map(|_| None).collect(),
            takeovers_ns: Vec::new(),
            asked_ns: 0,
            healed_ns: 0,
            stopped_ns: 0,
            drained: false,
            judgement: Judgement::default(),
            observations: Vec::new(),
            meter,
            processor_share: ProcessorShare::default(),
        }
    }

    /// The safety phase: every fault comes and goes.
    async fn play(&mut self) -> Result<()> {
        let warm_ns = clock::now_ns() + self.load_plan.warm_up_ms * NS_PER_MS;
        let until_ns = self.plan.until_us.map_or(u64::MAX, |until_us| warm_ns + until_us * 1000);
        let limit_ns = self.load_plan.recovery_limit_ms * NS_PER_MS;
        let mut timeline = Timeline::new(&self.plan.faults, warm_ns, until_ns, limit_ns);
        self.context.progress.phase("under load");
        loop {
            let seen = self.look().await?;
            match timeline.poll(clock::now_ns(), &seen) {
                Next::Inject(index) => self.inject(index, &mut timeline).await?,
                Next::Heal(index) => self.heal(index, &mut timeline).await?,
                Next::Overdue(_) => {
                    let (roles, limit_ms) = (self.foreign.roles(), self.load_plan.recovery_limit_ms);
                    self.judgement.unknown(format!("no node served in {limit_ms} ms; seen {roles}"));
                }
                Next::Wait(until_ns) => {
                    let wait =
                        until_ns.map_or(POLL, |at_ns| Duration::from_nanos(at_ns.saturating_sub(clock::now_ns())));
                    sleep(wait.min(POLL)).await;
                }
                Next::Done => break,
            }
        }
        if self.plan.consume == Consume::LeaveBeforeFault {
            self.load.consumer_returns().await?;
        }
        Ok(())
    }

    /// Nodes are asked only while a fault bites: the questions would be a load of their own.
    async fn look(&mut self) -> Result<Seen> {
        let has_ended = |&node: &NodeId| {
            !self.foreign.is_running(node)
                || (self.starts[node.index()] > 0 && self.foreign.starts(node) > self.starts[node.index()])
        };
        let ended = self.foreign.members().iter().copied().filter(has_ended).collect();
        let now_ns = clock::now_ns();
        let is_settled = self.injected.iter().flatten().all(|(record, _)| record.healed_ns.is_some());
        if !is_settled && now_ns.saturating_sub(self.asked_ns) >= ASK_EVERY.as_nanos() as u64 {
            self.asked_ns = now_ns;
            let successor = self.foreign.successor(self.active);
            let is_new = successor != self.active || self.foreign.starts(successor) > self.starts[successor.index()];
            if is_new && self.foreign.is_active(successor).await? {
                self.takeovers_ns.push(clock::now_ns());
            }
        }
        let has_roles = self.foreign.members().iter().all(|&node| self.foreign.is_running(node));
        Ok(Seen { takeovers_ns: self.takeovers_ns.clone(), recoveries_ns: Vec::new(), has_roles, ended })
    }

    async fn inject(&mut self, index: usize, timeline: &mut Timeline) -> Result<()> {
        let FaultPlan { fault, role, preparation, .. } = &self.plan.faults[index];
        if self.injected.iter().all(Option::is_none) {
            if self.plan.consume == Consume::LeaveBeforeFault {
                self.load.consumer_leaves().await?;
                sleep(AWAY_BEFORE_FAULT).await;
            }
            self.active = self.foreign.look().await?.unwrap_or(self.active);
            self.processor_share = self.meter.share();
        } else if let Some(active) = self.foreign.look().await? {
            self.active = active;
        }
        let nodes = match role {
            Role::Standby => vec![self.active.peer()],
            Role::Both => NodeId::BOTH.to_vec(),
            _ => vec![self.active],
        };
        let name = fault.words(&self.context.plan.pair_of(self.plan));
        let target = nodes.iter().map(|node| format!("{role} node {}", node.name())).collect::<Vec<_>>().join(", ");
        self.context.progress.phase(&format!("{name}, {target}"));
        let mut effects = Vec::new();
        for &node in &nodes {
            self.starts[node.index()] = self.foreign.starts(node);
            effects.extend(if fault.ends_process() {
                self.foreign.kill(node).await?
            } else {
                self.foreign.pause(node).await?
            });
        }
        let effect = Effect::join(effects.clone()).filter(|_| effects.len() == nodes.len());
        let now_ns = clock::now_ns();
        let (requested_ns, effective_ns) =
            effect.as_ref().map_or((now_ns, now_ns), |effect| (effect.requested_ns, effect.effective_ns));
        self.load.senders().fault_begin(&name, requested_ns);
        if !fault.ends_process() {
            self.begin_pause(effective_ns);
        }
        let victim = nodes.first().copied();
        timeline.injected(index, requested_ns, effective_ns, &nodes);
        let preparation = *preparation;
        let record = FaultRecord {
            name,
            target,
            preparation,
            victim,
            effect,
            healed_ns: None,
            evidence: Vec::new(),
            lied: None,
        };
        self.injected[index] = Some((record, nodes));
        Ok(())
    }

    /// Nobody takes over from a lone node that is stopped: what waits for a takeover must not wait in vain.
    fn begin_pause(&mut self, effective_ns: u64) {
        if self.foreign.target().is_lone() {
            self.takeovers_ns.push(effective_ns);
            self.observations.push(
                "nobody stands in for a lone node: the outage lasts as long as the pause, and without SIGCONT for ever"
                    .to_owned(),
            );
        }
    }

    async fn heal(&mut self, index: usize, timeline: &mut Timeline) -> Result<()> {
        let ends_process = self.plan.faults[index].fault.ends_process();
        let Some((record, victims)) = &mut self.injected[index] else { return Ok(()) };
        self.context.progress.phase(&format!("healing {}", record.name));
        for &mut node in victims {
            if !ends_process {
                let effect = self.foreign.resume(node).await?;
                record
                    .evidence
                    .push(effect.map_or_else(|| "it was not seen to run on".to_owned(), |effect| effect.proof));
                // It may find that it has lost its store, and leave.
                sleep(LEAVE_LIMIT).await;
            }
            self.foreign.start_again(node).await?;
        }
        self.healed_ns = clock::now_ns();
        record.healed_ns = Some(self.healed_ns);
        timeline.healed(index, self.healed_ns);
        Ok(())
    }

    /// The liveness phase: messages must flow again, and the queue must run dry.
    async fn recover(&mut self) {
        self.context.progress.phase("waiting for steady flow");
        let t0_ns = self.t0_ns();
        let mut watch = Watch::new(&self.load_plan, t0_ns, t0_ns.max(self.healed_ns));
        while !watch.is_over() && !watch.look(&self.load, &self.load_plan).await {}
        self.load.senders().fault_end(clock::now_ns());
        self.context.progress.phase("draining");
        let limit = Duration::from_millis(self.load_plan.recovery_limit_ms);
        if let Err(error) = self.foreign.await_roles(limit).await {
            self.judgement.violated(format!("{} did not end with all its nodes: {error}", self.foreign.target().name));
        }
        let limit = Duration::from_millis(self.load_plan.drain_limit_ms);
        let answered = self.load.stop_sending(limit).await;
        self.stopped_ns = clock::now_ns();
        if !answered {
            self.judgement.unknown(unanswered(limit));
        }
        self.drained = self.load.drain(DRAIN_QUIET, limit).await;
    }

    /// When the first fault that is no preparation took effect; without one, 0.
    fn t0_ns(&self) -> u64 {
        let first = self.records().find(|record| !record.preparation);
        first.and_then(|record| record.effect.as_ref()).map_or(0, |effect| effect.effective_ns)
    }

    fn records(&self) -> impl Iterator<Item = &FaultRecord> {
        self.injected.iter().flatten().map(|(record, _)| record)
    }

    async fn finish(mut self) -> Result<Evidence> {
        self.processor_share.harness = self.meter.harness_share();
        let load = self.load.finish().await?;
        Ok(Evidence {
            load,
            events: Vec::new(),
            faults: self.injected.into_iter().flatten().map(|(record, _)| record).collect(),
            active: self.active,
            healed_ns: self.healed_ns,
            stopped_ns: self.stopped_ns,
            drained: self.drained,
            judgement: self.judgement,
            observations: self.observations,
            processor_share: self.processor_share,
            left_after_ms: None,
            successor_read_bytes: None,
            backlog: None,
            patient: None,
            depths: Depths::default(),
            standby_log_before: String::new(),
        })
    }
}
