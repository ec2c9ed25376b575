//! A plan carried out on a pair under load: faults as the timeline says, then steady flow, then a drain.
//!
//! Decides nothing: when a fault comes and goes is `timeline`'s, what it does is `crate::faults`'.

use super::Context;
use super::depth::Depths;
use super::load::{self, Load};
use super::meter::Meter;
use super::timeline::{Next, Seen, Timeline};
use crate::checks::Judgement;
use crate::clock::{self, NS_PER_MS, ms_between};
use crate::cluster::{Event, NodeId, Pair};
use crate::error::Result;
use crate::faults::{Bite, Scene, process};
use crate::plan::{Anchor, FaultPlan, LoadPlan, PairPlan, TrialPlan};
use crate::result::{BacklogSeen, FaultRecord, ProcessorShare};
use crate::scenario::{Consume, Role};
use loadgen::ledger::Ledger;
use loadgen::run::Finished;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// What a trial leaves for the judgement.
#[derive(Debug)]
pub(super) struct Evidence {
    /// What the clients recorded.
    pub(super) load: Finished,
    /// What the nodes said.
    pub(super) events: Vec<Event>,
    /// What was done, in order.
    pub(super) faults: Vec<FaultRecord>,
    /// The node that was active before the first fault that is no preparation.
    pub(super) active: NodeId,
    /// When the last fault was healed.
    pub(super) healed_ns: u64,
    /// When sending stopped.
    pub(super) stopped_ns: u64,
    /// Whether the queue was emptied.
    pub(super) drained: bool,
    /// Findings so far.
    pub(super) judgement: Judgement,
    /// What else was seen.
    pub(super) observations: Vec<String>,
    /// Processor time used.
    pub(super) processor_share: ProcessorShare,
    /// How long after SIGCONT the victim left by itself.
    pub(super) left_after_ms: Option<f64>,
    /// What the successor read from the disk between the fault and its takeover.
    pub(super) successor_read_bytes: Option<u64>,
    /// What waited in the store.
    pub(super) backlog: Option<BacklogSeen>,
    /// What the patient clients recorded.
    pub(super) patient: Option<Ledger>,
    /// What the active server said that its queues hold.
    pub(super) depths: Depths,
    /// What the standby had logged before the first fault that is no preparation.
    pub(super) standby_log_before: String,
}

impl Evidence {
    /// What all clients recorded.
    pub(super) fn all_messages(&self) -> Ledger {
        let ledger = self.load.ledger.clone();
        match &self.patient {
            Some(patient) => load::both(ledger, patient.clone()),
            None => ledger,
        }
    }
}

/// A fault that came, in the order of the plan; `None` until then.
type Injected = Option<(FaultRecord, Bite, Vec<NodeId>)>;

/// A trial under way.
pub(super) struct Execution<'a> {
    pub(super) context: &'a Context<'a>,
    pub(super) plan: &'a TrialPlan,
    pub(super) load_plan: LoadPlan,
    settings: PairPlan,
    pub(super) pair: &'a mut Pair,
    pub(super) load: Load,
    pub(super) active: NodeId,
    injected: Vec<Injected>,
    pub(super) healed_ns: u64,
    pub(super) is_steady: bool,
    pub(super) stopped_ns: u64,
    pub(super) drained: bool,
    pub(super) judgement: Judgement,
    pub(super) observations: Vec<String>,
    pub(super) depths: Depths,
    meter: Meter,
    processor_share: ProcessorShare,
    left_after_ms: Option<f64>,
    /// What the successor had read from the disk when the fault was asked for; after the takeover, what it has read since.
    successor_read_bytes: Option<u64>,
    has_taken_over: bool,
    standby_log_before: String,
}

/// Time that a server which has to leave is given.
const EXIT_LIMIT: Duration = Duration::from_secs(10);
/// A former active server that wakes up must be gone after this time, ms.
const LEAVE_LIMIT_MS: f64 = 1000.0;
/// How long before the fault the consumer leaves: longer than several flushes, so that what is lost was never offered to it.
const AWAY_BEFORE_FAULT: Duration = Duration::from_millis(100);
/// The end of a process is no event: it is looked for this often.
const POLL: Duration = Duration::from_millis(20);

impl<'a> Execution<'a> {
    pub(super) fn new(context: &'a Context<'a>, plan: &'a TrialPlan, pair: &'a mut Pair, load: Load) -> Self {
        let active = pair.active().unwrap_or(NodeId::A);
        let meter = Meter::start(pair.process(active).map(|process| process.pid()).into_iter().collect());
        Self {
            context,
            plan,
            load_plan: context.plan.load_of(plan).clone(),
            settings: context.plan.pair_of(plan),
            pair,
            load,
            active,
            injected: plan.faults.iter().map(|_| None).collect(),
            healed_ns: 0,
            is_steady: false,
            stopped_ns: 0,
            drained: false,
            judgement: Judgement::default(),
            observations: Vec::new(),
            depths: Depths::default(),
            meter,
            processor_share: ProcessorShare::default(),
            left_after_ms: None,
            successor_read_bytes: None,
            has_taken_over: false,
            standby_log_before: String::new(),
        }
    }

    /// The safety phase: every fault comes and goes.
    pub(super) async fn play(&mut self) -> Result<()> {
        let warm_ns = clock::now_ns() + self.load_plan.warm_up_ms * NS_PER_MS;
        let until_ns = self.plan.until_us.map_or(u64::MAX, |until_us| warm_ns + until_us * 1000);
        let limit_ns = self.load_plan.recovery_limit_ms * NS_PER_MS;
        let mut timeline = Timeline::new(&self.plan.faults, warm_ns, until_ns, limit_ns);
        self.context.progress.phase("under load");
        loop {
            let mark = self.pair.events().len();
            self.restart_leavers()?;
            let seen = self.look();
            match timeline.poll(clock::now_ns(), &seen) {
                Next::Inject(index) => self.inject(index, &mut timeline).await?,
                Next::Heal(index) => self.heal(index, &mut timeline).await?,
                Next::Overdue(index) => {
                    let (words, roles) = (self.plan.faults[index].fault.words(&self.settings), self.pair.roles());
                    let limit_ms = self.load_plan.recovery_limit_ms;
                    self.judgement
                        .unknown(format!("{words}: what it waits for did not come in {limit_ms} ms; seen {roles}"));
                }
                Next::Wait(until_ns) => {
                    let wait =
                        until_ns.map_or(POLL, |at_ns| Duration::from_nanos(at_ns.saturating_sub(clock::now_ns())));
                    // Elapsed or woken, everything is looked at again.
                    let _ = timeout(wait.min(POLL), self.pair.events().changed(mark)).await;
                }
                Next::Done => break,
            }
        }
        if self.plan.consume == Consume::LeaveBeforeFault {
            self.load.consumer_returns().await?;
        }
        Ok(())
    }

    fn look(&mut self) -> Seen {
        let mut seen = Seen { has_roles: self.pair.has_roles(), ..Seen::default() };
        for event in self.pair.events().snapshot() {
            match event.entered() {
                Some(state) if state.is_active() => seen.takeovers_ns.push(event.t_ns),
                Some(state) if state.is_recovering() => seen.recoveries_ns.push(event.t_ns),
                _ => {}
            }
        }
        seen.ended = NodeId::BOTH.into_iter().filter(|&node| self.pair.exit(node).is_some()).collect();
        let successor = self.active.peer();
        if !self.has_taken_over && self.successor_read_bytes.is_some() && self.pair.is_active(successor) {
            self.has_taken_over = true;
            let now = self.read_bytes(successor).zip(self.successor_read_bytes);
            self.successor_read_bytes = now.map(|(now, before)| now.saturating_sub(before));
        }
        seen
    }

    fn read_bytes(&self, node: NodeId) -> Option<u64> {
        self.pair.process(node).and_then(|process| process::read_bytes(process.pid()))
    }

    /// Whoever has the role now: while nobody is active, whoever was so last.
    fn nodes(&self, role: Role) -> Vec<NodeId> {
        let active = self.pair.active().unwrap_or(self.active);
        match role {
            Role::Active => vec![active],
            Role::Standby => vec![active.peer()],
            Role::Both | Role::Link | Role::Clients => vec![active, active.peer()],
        }
    }

    async fn inject(&mut self, index: usize, timeline: &mut Timeline) -> Result<()> {
        let FaultPlan { fault, role, preparation, begin, .. } = &self.plan.faults[index];
        let is_first = !preparation && self.injected.iter().flatten().all(|(record, ..)| record.preparation);
        if is_first && self.plan.consume == Consume::LeaveBeforeFault {
            self.load.consumer_leaves().await?;
            sleep(AWAY_BEFORE_FAULT).await;
        }
        let nodes = self.nodes(*role);
        if is_first {
            // The roles may have changed since the start; the fault is for whoever is active now.
            self.active = self.pair.active().unwrap_or(self.active);
            self.processor_share = self.meter.share();
            self.successor_read_bytes = self.read_bytes(self.active.peer());
            self.standby_log_before = self.pair.read_logs(self.active.peer());
        }
        let name = fault.words(&self.settings);
        let target = target(*role, &nodes);
        self.context.progress.phase(&format!("{name}, {target}"));
        let mut scene = Scene { pair: self.pair, settings: &self.settings, role: *role, nodes: &nodes };
        let mut bite = fault.inject(&mut scene).await?;
        if begin.after == Anchor::Recovery {
            self.demand_recovery(&mut bite);
        }
        let now_ns = clock::now_ns();
        let (requested_ns, effective_ns) =
            bite.effect.as_ref().map_or((now_ns, now_ns), |effect| (effect.requested_ns, effect.effective_ns));
        if !preparation {
            self.load.senders().fault_begin(&name, requested_ns);
        }
        if fault.ends_process() {
            self.note_ends(&nodes, effective_ns, &mut bite).await;
        }
        let is_of_nodes = matches!(role, Role::Active | Role::Standby | Role::Both);
        let victim = nodes.first().copied().filter(|_| is_of_nodes);
        let record = FaultRecord {
            name,
            target,
            preparation: *preparation,
            victim,
            effect: None,
            healed_ns: None,
            evidence: Vec::new(),
            lied: None,
        };
        timeline.injected(index, requested_ns, effective_ns, &nodes);
        self.injected[index] = Some((record, bite, nodes));
        Ok(())
    }

    /// A fault for a server that recovers must find one that has not served yet.
    fn demand_recovery(&self, bite: &mut Bite) {
        let Some(effective_ns) = bite.effect.as_ref().map(|effect| effect.effective_ns) else { return };
        let events = self.pair.events().snapshot();
        let mut states = events.iter().filter(|event| event.t_ns <= effective_ns).filter_map(Event::entered);
        match states.next_back() {
            Some(state) if state.is_recovering() => {
                bite.evidence
                    .push("the last that was heard of the pair was that a server recovers the store".to_owned());
            }
            other => bite.withdraw(format!(
                "it came too late: {} was heard of last, not a recovery",
                other.map_or_else(|| "nothing".to_owned(), |state| state.0)
            )),
        }
    }

    async fn note_ends(&mut self, nodes: &[NodeId], effective_ns: u64, bite: &mut Bite) {
        for &node in nodes {
            let Some(victim) = self.pair.process(node) else { continue };
            let name = node.name();
            match timeout(EXIT_LIMIT, victim.ended()).await {
                Ok(exit) => {
                    let after_ms = ms_between(effective_ns, exit.t_ns);
                    bite.evidence.push(format!("waitid: {name}: {exit}, {after_ms:+.3} ms from the proof in /proc"));
                }
                Err(_) => bite.withdraw(format!("{name} still runs {} s later", EXIT_LIMIT.as_secs())),
            }
        }
    }

    async fn heal(&mut self, index: usize, timeline: &mut Timeline) -> Result<()> {
        let FaultPlan { fault, role, .. } = &self.plan.faults[index];
        let Some((mut record, mut bite, nodes)) = self.injected[index].take() else { return Ok(()) };
        self.context.progress.phase(&format!("healing {}", record.name));
        let mut scene = Scene { pair: self.pair, settings: &self.settings, role: *role, nodes: &nodes };
        let healed_ns = fault.heal(&mut scene, &mut bite).await?;
        record.healed_ns = (!fault.ends_process()).then_some(healed_ns);
        let victims = if matches!(role, Role::Link | Role::Clients) { &nodes[..1] } else { &nodes[..] };
        for &node in victims {
            self.restore(node, fault.ends_process(), healed_ns).await?;
        }
        self.healed_ns = clock::now_ns();
        timeline.healed(index, self.healed_ns);
        self.injected[index] = Some((record, bite, nodes));
        Ok(())
    }

    /// Starts a victim again that was ended, or that has to leave by itself.
    async fn restore(&mut self, node: NodeId, was_ended: bool, healed_ns: u64) -> Result<()> {
        match self.plan.expect.exit_code {
            Some(code) => self.demand_exit(node, code, healed_ns).await,
            None if !was_ended => return Ok(()),
            None => {}
        }
        self.pair.start_node(node)
    }

    /// Starts a server again that has left by itself as it may: a supervisor would.
    pub(super) fn restart_leavers(&mut self) -> Result<()> {
        let Some(code) = self.plan.expect.may_exit_code else { return Ok(()) };
        for node in NodeId::BOTH {
            if let Some(exit) = self.pair.exit(node).filter(|exit| exit.code == Some(code)) {
                self.observations.push(format!("{} left with {exit}, as it may, and was started again", node.name()));
                self.pair.start_node(node)?;
            }
        }
        Ok(())
    }

    async fn demand_exit(&mut self, node: NodeId, code: i32, healed_ns: u64) {
        let Some(victim) = self.pair.process(node) else { return };
        let name = node.name();
        match timeout(EXIT_LIMIT, victim.ended()).await {
            Ok(exit) if exit.code == Some(code) => {
                let after_ms = ms_between(healed_ns, exit.t_ns);
                self.observations
                    .push(format!("{name} left with exit code {code}, {after_ms:+.1} ms after the fault was healed"));
                if after_ms > 0.0 && self.left_after_ms.is_none() {
                    self.left_after_ms = Some(after_ms);
                }
                if after_ms > LEAVE_LIMIT_MS {
                    self.judgement.violated(format!(
                        "{name} needed {after_ms:.1} ms to leave after the fault was healed, more than {LEAVE_LIMIT_MS} ms"
                    ));
                }
            }
            Ok(exit) => {
                let words = victim.last_words();
                self.judgement
                    .violated(format!("{name} had to leave with exit code {code}, it left with {exit}: {words}"));
            }
            Err(_) => self.judgement.violated(format!("{name} had to leave with exit code {code}, and runs on")),
        }
    }

    /// When the first fault that is no preparation took effect; without one, 0.
    pub(super) fn t0_ns(&self) -> u64 {
        let first = self.injected.iter().flatten().find(|(record, ..)| !record.preparation);
        first.and_then(|(_, bite, _)| bite.effect.as_ref()).map_or(0, |effect| effect.effective_ns)
    }

    /// Examines every fault, ends the load, and the nodes where nothing more is wanted of them, and hands over what they left.
    pub(super) async fn finish(mut self, ends_pair: bool) -> Result<Evidence> {
        self.processor_share.harness = self.meter.harness_share();
        let faults = self.examine().await?;
        let patient = self.load.finish_patient().await?;
        let load = self.load.finish().await?;
        let events = if ends_pair { self.pair.finish() } else { self.pair.events().snapshot() };
        Ok(Evidence {
            load,
            events,
            faults,
            active: self.active,
            healed_ns: self.healed_ns,
            stopped_ns: self.stopped_ns,
            drained: self.drained,
            judgement: self.judgement,
            observations: self.observations,
            processor_share: self.processor_share,
            left_after_ms: self.left_after_ms,
            successor_read_bytes: self.successor_read_bytes,
            backlog: None,
            patient,
            depths: self.depths,
            standby_log_before: self.standby_log_before,
        })
    }

    async fn examine(&mut self) -> Result<Vec<FaultRecord>> {
        let mut records = Vec::new();
        for (planned, injected) in self.plan.faults.iter().zip(std::mem::take(&mut self.injected)) {
            let Some((mut record, mut bite, nodes)) = injected else { continue };
            let mut scene = Scene { pair: self.pair, settings: &self.settings, role: planned.role, nodes: &nodes };
            planned.fault.examine(&mut scene, &mut bite).await?;
            (record.effect, record.evidence, record.lied) = (bite.effect, bite.evidence, bite.lied);
            records.push(record);
        }
        Ok(records)
    }
}

/// In words: `active server A`.
fn target(role: Role, nodes: &[NodeId]) -> String {
    match (role, nodes) {
        (Role::Active | Role::Standby, [node, ..]) => format!("{role} server {}", node.name()),
        (Role::Both, _) => "both servers".to_owned(),
        (Role::Link, _) => "fault-tolerance link".to_owned(),
        _ => role.to_string(),
    }
}
