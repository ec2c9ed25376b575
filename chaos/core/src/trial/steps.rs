//! The steps of a plan, carried out on a pair under load.

use super::load::Load;
use super::{Context, figures, is_fault};
use crate::checks::Judgement;
use crate::clock::{self, NS_PER_MS, ms_between};
use crate::cluster::{Event, NodeId, Pair};
use crate::error::{Error, Result};
use crate::faults::{Effect, process};
use crate::plan::{Step, TrialPlan};
use crate::result::{BacklogSeen, FaultRecord, ProcessorShare};
use crate::times::Steady;
use loadgen::run::{Finished, Snapshot};
use nix::unistd::Pid;
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until};

/// What the steps leave for the judgement.
#[derive(Debug)]
pub(super) struct Evidence {
    /// What the clients recorded.
    pub(super) load: Finished,
    /// What the nodes said.
    pub(super) events: Vec<Event>,
    /// What was done, in order.
    pub(super) faults: Vec<FaultRecord>,
    /// The node that was active before the fault, and its successor.
    pub(super) active: NodeId,
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
}

/// A trial under way.
pub(super) struct Execution<'a> {
    context: &'a Context<'a>,
    plan: &'a TrialPlan,
    pair: &'a mut Pair,
    load: Load,
    active: NodeId,
    fault: Option<FaultRecord>,
    fault_at: Option<Instant>,
    is_steady: bool,
    stopped_ns: u64,
    drained: bool,
    judgement: Judgement,
    observations: Vec<String>,
    meter: Meter,
    processor_share: ProcessorShare,
    left_after_ms: Option<f64>,
    /// What the successor had read from the disk when the fault was asked for; after the takeover, what it has read since.
    successor_read_bytes: Option<u64>,
}

/// Time that a new process of the pair has to find its role.
const ROLES_LIMIT: Duration = Duration::from_secs(10);
/// Time that a fenced server has to leave.
const EXIT_LIMIT: Duration = Duration::from_secs(10);
/// A former active server that wakes up must be gone after this time, ms.
const LEAVE_LIMIT_MS: f64 = 1000.0;
/// What the search in the record may cut off at its ends.
const STEADY_MARGIN: Duration = Duration::from_millis(150);
/// Pause before the record, which has to be copied, is looked at again.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// How often the flow is looked at.
const FLOW_POLL: Duration = Duration::from_millis(50);
/// Nothing arrives for so long when the queue is empty.
const DRAIN_QUIET: Duration = Duration::from_millis(150);

impl<'a> Execution<'a> {
    pub(super) fn new(context: &'a Context<'a>, plan: &'a TrialPlan, pair: &'a mut Pair, load: Load) -> Self {
        let active = pair.active().unwrap_or(NodeId::A);
        let meter = Meter::start(pair.process(active).map(|process| process.pid()));
        Self {
            context,
            plan,
            pair,
            load,
            active,
            fault: None,
            fault_at: None,
            is_steady: false,
            stopped_ns: 0,
            drained: false,
            judgement: Judgement::default(),
            observations: Vec::new(),
            meter,
            processor_share: ProcessorShare::default(),
            left_after_ms: None,
            successor_read_bytes: None,
        }
    }

    /// Carries out one step.
    pub(super) async fn take(&mut self, step: &Step) -> Result<()> {
        if is_fault(step) {
            // The roles may have changed since the start; the fault is for whoever is active now.
            self.active = self.pair.active().unwrap_or(self.active);
            self.processor_share = self.meter.share();
            self.successor_read_bytes = self.read_bytes(self.active.peer());
        }
        match step {
            Step::Run { duration_us } => {
                self.context.progress.phase("under load");
                sleep(Duration::from_micros(*duration_us)).await;
                Ok(())
            }
            Step::KillActive => self.signal("SIGKILL", process::kill).await,
            Step::StopActive => self.signal("SIGSTOP", process::stop).await,
            Step::AwaitTakeover { at_least_ms } => self.await_takeover(*at_least_ms).await,
            Step::ContinueVictim => self.continue_victim(),
            Step::ExpectExit { code } => self.expect_exit(*code).await,
            Step::RestartVictim => self.pair.start_node(self.active),
            Step::DelayLink { delay_ms } => self.delay_link(*delay_ms),
            Step::ConsumerLeaves => self.load.consumer_leaves().await,
            Step::ConsumerReturns => self.load.consumer_returns().await,
            Step::AwaitSteady => self.await_steady().await,
            Step::Drain => self.drain().await,
        }
    }

    /// The proof is awaited without yielding: another task could delay the reading of the clock.
    async fn signal(&mut self, name: &str, send: fn(Pid) -> Result<Option<Effect>>) -> Result<()> {
        self.context.progress.phase(&format!("{name} to {}", self.active.name()));
        let Some(victim) = self.pair.process(self.active) else { return Ok(()) };
        if let Some(exit) = victim.exit() {
            return Err(Error::NodeEnded {
                node: self.active.name(),
                status: exit.to_string(),
                last_words: victim.last_words(),
            });
        }
        let effect = send(victim.pid())?;
        let victim = Some(self.active);
        let target = format!("active server {}", self.active.name());
        self.begin_fault(FaultRecord {
            name: name.to_owned(),
            target,
            preparation: false,
            victim,
            effect,
            healed_ns: None,
            evidence: Vec::new(),
        });
        if name == "SIGKILL" {
            self.note_reaped().await;
        }
        Ok(())
    }

    fn begin_fault(&mut self, record: FaultRecord) {
        let at_ns = record.effect.as_ref().map_or_else(clock::now_ns, |effect| effect.requested_ns);
        self.load.senders().fault_begin(&record.name, at_ns);
        self.fault_at = Some(Instant::now());
        self.fault = Some(record);
    }

    async fn note_reaped(&mut self) {
        let Some(victim) = self.pair.process(self.active) else { return };
        let ended = tokio::time::timeout(EXIT_LIMIT, victim.ended()).await;
        let Some(fault) = &mut self.fault else { return };
        let (Ok(exit), Some(effect)) = (ended, &fault.effect) else { return };
        let after_ms = ms_between(effect.effective_ns, exit.t_ns);
        fault.evidence.push(format!("waitid: {exit}, {after_ms:+.3} ms from the proof in /proc"));
    }

    async fn await_takeover(&mut self, at_least_ms: u64) -> Result<()> {
        let limit = Duration::from_millis(self.context.plan.load_of(self.plan).recovery_limit_ms);
        let successor = self.active.peer();
        let taken = self.pair.await_that("a takeover", limit, |pair| pair.is_active(successor)).await;
        self.successor_read_bytes =
            self.read_bytes(successor).zip(self.successor_read_bytes).map(|(now, before)| now.saturating_sub(before));
        if let Err(error) = taken {
            self.judgement.unknown(format!("no takeover: {error}"));
        }
        if let Some(fault_at) = self.fault_at {
            sleep_until(fault_at + Duration::from_millis(at_least_ms)).await;
        }
        Ok(())
    }

    fn read_bytes(&self, node: NodeId) -> Option<u64> {
        self.pair.process(node).and_then(|process| process::read_bytes(process.pid()))
    }

    fn continue_victim(&mut self) -> Result<()> {
        let Some(victim) = self.pair.process(self.active) else { return Ok(()) };
        let effect = process::resume(victim.pid())?;
        let healed_ns = effect.as_ref().map_or_else(clock::now_ns, |effect| effect.effective_ns);
        if let Some(fault) = &mut self.fault {
            fault.healed_ns = Some(healed_ns);
            fault
                .evidence
                .push(effect.map_or_else(|| "SIGCONT was not seen to take effect".to_owned(), |effect| effect.proof));
        }
        Ok(())
    }

    async fn expect_exit(&mut self, code: i32) -> Result<()> {
        let Some(victim) = self.pair.process(self.active) else { return Ok(()) };
        let name = self.active.name();
        match tokio::time::timeout(EXIT_LIMIT, victim.ended()).await {
            Ok(exit) if exit.code == Some(code) => {
                let healed_ns = self.fault.as_ref().and_then(|fault| fault.healed_ns).unwrap_or(exit.t_ns);
                let after_ms = ms_between(healed_ns, exit.t_ns);
                self.left_after_ms = Some(after_ms);
                self.observations.push(format!(
                    "the former active {name} left with exit code {code}, {after_ms:.1} ms after SIGCONT"
                ));
                if after_ms > LEAVE_LIMIT_MS {
                    self.judgement.violated(format!(
                        "the former active {name} needed {after_ms:.1} ms after SIGCONT to leave, more than {LEAVE_LIMIT_MS} ms"
                    ));
                }
            }
            Ok(exit) => {
                let words = victim.last_words();
                self.judgement.violated(format!(
                    "the former active {name} had to leave with exit code {code} (fenced), it left with {exit}: {words}"
                ));
            }
            Err(_) => self.judgement.violated(format!("the former active {name} had to leave, fenced, and runs on")),
        }
        Ok(())
    }

    fn delay_link(&mut self, delay_ms: u64) -> Result<()> {
        let Some(proxies) = self.pair.proxies() else { return Ok(()) };
        let delay = Duration::from_millis(delay_ms);
        let effects = [proxies[0].delay_both(delay), proxies[1].delay_both(delay)];
        let evidence = proxies
            .iter()
            .map(|proxy| proxy.evidence())
            .fold((0, Duration::ZERO), |sum, one| (sum.0 + one.0, sum.1.max(one.1)));
        if delay_ms > 0 {
            self.context.progress.phase(&format!("heartbeats delayed by {delay_ms} ms"));
            let [first, last] = effects;
            let proof = format!("{}; {}", first.proof, last.proof);
            let effect = Some(Effect { requested_ns: first.requested_ns, effective_ns: last.effective_ns, proof });
            let name = format!("delay {delay_ms} ms");
            self.begin_fault(FaultRecord {
                name,
                target: "link".to_owned(),
                preparation: false,
                victim: None,
                effect,
                healed_ns: None,
                evidence: Vec::new(),
            });
        } else if let Some(fault) = &mut self.fault {
            fault.healed_ns = Some(effects[1].effective_ns);
            let (pieces, held) = evidence;
            fault
                .evidence
                .push(format!("the proxies held back {pieces} pieces, one of them for {} ms", held.as_millis()));
            if held < Duration::from_millis(self.context.plan.pair_of(self.plan).ft_activation_ms) {
                self.judgement
                    .unknown(format!("nothing was held back for ft_activation: longest {} ms", held.as_millis()));
                fault.effect = None;
            }
        }
        Ok(())
    }

    /// Waits until messages flow, and then until the record shows steady flow: it knows latencies, not only counts.
    async fn await_steady(&mut self) -> Result<()> {
        self.context.progress.phase("waiting for steady flow");
        let load = self.context.plan.load_of(self.plan).clone();
        let needed = Duration::from_millis(load.steady_ms) + STEADY_MARGIN;
        let mut deadline = Instant::now() + Duration::from_millis(load.recovery_limit_ms);
        let mut next_look = self.fault_at.map(|fault_at| fault_at + needed);
        let mut is_flowing = false;
        while Instant::now() < deadline && !self.is_steady {
            let flows = flows(&self.load.snapshot(), &load);
            if flows && !is_flowing {
                self.load.senders().fault_end(clock::now_ns());
                next_look = next_look.or_else(|| Some(Instant::now() + needed));
                deadline = deadline.min(Instant::now() + needed + Duration::from_millis(load.latency_limit_ms));
            } else if !flows && is_flowing {
                self.load.senders().fault_begin("not steady yet", clock::now_ns());
                next_look = None;
            } else if flows && next_look.is_some_and(|at| at <= Instant::now()) {
                self.is_steady = self.is_steady_by_record();
                next_look = Some(Instant::now() + LOOK_AGAIN);
            }
            is_flowing = flows;
            sleep(FLOW_POLL).await;
        }
        self.load.senders().fault_end(clock::now_ns());
        Ok(())
    }

    /// Whether the record shows steady flow since the fault.
    fn is_steady_by_record(&self) -> bool {
        let effect = self.fault.as_ref().and_then(|fault| fault.effect.as_ref());
        let t0_ns = effect.map_or(0, |effect| effect.effective_ns);
        let sent = figures::sent(&self.load.sent_so_far());
        let now_ns = clock::now_ns();
        Steady::from_baseline(&sent, t0_ns, self.context.plan.load_of(self.plan).steady_ms * NS_PER_MS)
            .find(&sent, t0_ns, now_ns)
            .is_some()
    }

    async fn drain(&mut self) -> Result<()> {
        self.context.progress.phase("draining");
        if let Err(error) = self.pair.await_roles(ROLES_LIMIT).await {
            self.judgement.violated(format!("the pair did not end as an active and a standby server: {error}"));
        }
        let limit = Duration::from_millis(self.context.plan.load_of(self.plan).drain_limit_ms);
        let answered = self.load.stop_sending(limit).await;
        self.stopped_ns = clock::now_ns();
        if !answered {
            self.observations
                .push(format!("some sends were still unanswered {} ms after the last one", limit.as_millis()));
        }
        self.drained = self.load.drain(DRAIN_QUIET, limit).await;
        Ok(())
    }

    /// Ends the load, and the nodes where nothing more is wanted of them, and hands over what they left.
    pub(super) async fn finish(mut self, ends_pair: bool) -> Result<Evidence> {
        self.processor_share.harness = self.meter.harness_share();
        let load = self.load.finish().await?;
        let events = if ends_pair { self.pair.finish() } else { self.pair.events().snapshot() };
        Ok(Evidence {
            load,
            events,
            faults: self.fault.into_iter().collect(),
            active: self.active,
            stopped_ns: self.stopped_ns,
            drained: self.drained,
            judgement: self.judgement,
            observations: self.observations,
            processor_share: self.processor_share,
            left_after_ms: self.left_after_ms,
            successor_read_bytes: self.successor_read_bytes,
            backlog: None,
        })
    }
}

/// All clients have a link, and no more than 100 ms worth of messages waits for anything.
fn flows(snapshot: &Snapshot, load: &crate::plan::LoadPlan) -> bool {
    let connected = snapshot.producers_connected == u64::from(load.producers)
        && snapshot.consumers_connected == u64::from(load.consumers);
    connected && snapshot.backlog + snapshot.in_flight <= (load.rate_per_s / 10).max(u64::from(load.producers))
}

/// Processor time since the load began.
struct Meter {
    active: Option<Pid>,
    active_s: f64,
    harness_s: f64,
    since: Instant,
}

impl Meter {
    fn start(active: Option<Pid>) -> Self {
        let used = |pid: Option<Pid>| pid.map_or(0.0, process::processor_time_s);
        Self { active, active_s: used(active), harness_s: used(Some(Pid::this())), since: Instant::now() }
    }

    fn share(&self) -> ProcessorShare {
        let active_s = self.active.map_or(0.0, process::processor_time_s) - self.active_s;
        ProcessorShare { active: active_s / self.since.elapsed().as_secs_f64(), harness: self.harness_share() }
    }

    fn harness_share(&self) -> f64 {
        (process::processor_time_s(Pid::this()) - self.harness_s) / self.since.elapsed().as_secs_f64()
    }
}
