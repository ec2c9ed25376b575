//! The pair that a trial is played on, and the backlog in its store. A small backlog is filled for one trial, a large one serves
//! several: after a kill the victim has come back as the standby, and the next trial goes on from there.

use super::Context;
use crate::backlog::{Queue, demand_room, folder_bytes};
use crate::checks;
use crate::cleanup::TemporaryFolder;
use crate::cluster::{NodeId, Pair, Setup};
use crate::error::{Error, Result};
use crate::faults::process;
use crate::plan::TrialPlan;
use crate::result::{StoreResult, Verdict};
use crate::scenario::{Backlog, StoreSetting};
use loadgen::ledger::Ledger;
use loadgen::verdict::{Rules, judge};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// A node that reads less than this in [`CALM_FOR`] has caught up: it only follows a journal that hardly grows. A node that reads a
/// store, as a standby or behind its takeover, reads many times as much.
const CALM_BYTES: u64 = 16 << 20;
const CALM_FOR: Duration = Duration::from_millis(750);
/// A standby reads at least so fast while it catches up, bytes a second.
const CATCH_UP_BYTES_PER_S_MIN: u64 = 64 << 20;
/// Time that a restarted standby has to find its role.
const ROLES_LIMIT: Duration = Duration::from_secs(20);

/// The stage of the last trial, while it may serve another, and what became of the stores of those before.
#[derive(Debug, Default)]
pub struct Stages {
    current: Option<Stage>,
    concluded: Vec<StoreResult>,
}

/// A pair and what waits in its store.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) pair: Pair,
    plan: TrialPlan,
    filled: Option<Filled>,
    /// What was seen while it was made ready for the trial.
    pub(super) observations: Vec<String>,
}

/// What was put into a store before its first trial.
#[derive(Debug)]
struct Filled {
    ledger: Ledger,
    record: StoreResult,
}

impl Stages {
    /// The stage for a trial: the last one if its store serves this trial too, and else a new one.
    pub(super) async fn enter(&mut self, context: &Context<'_>, plan: &TrialPlan) -> Result<Stage> {
        let mut stage = match self.current.take() {
            Some(stage) if plan.shares_store_with(&stage.plan) => stage,
            other => {
                self.conclude(context, other).await;
                Stage::open(context, plan).await?
            }
        };
        stage.plan.clone_from(plan);
        if let Some(backlog) = plan.backlog {
            stage.make_ready(context, backlog).await?;
        }
        Ok(stage)
    }

    /// Takes a stage back after its trial. One that was not drained would show its messages to the next trial.
    pub(super) async fn leave(&mut self, context: &Context<'_>, mut stage: Stage, drained: bool) {
        let Some(filled) = &mut stage.filled else { return };
        filled.record.trials.push(stage.plan.number);
        self.current = Some(stage);
        if !drained {
            let last = self.current.take();
            self.conclude(context, last).await;
        }
    }

    /// Notes that a trial could not be carried out on a stage that is gone with its backlog.
    pub(super) fn lose(&mut self, plan: &TrialPlan, error: &Error) {
        if let Some(backlog) = plan.backlog {
            let mut record = StoreResult::new(plan.store, backlog.size_bytes);
            record.trials.push(plan.number);
            if error.is_environment() {
                record.verdict = Verdict::Skipped;
            }
            record
                .reasons
                .push("a trial on this store could not be carried out, so its backlog was not read".to_owned());
            self.concluded.push(record);
        }
    }

    /// Ends the last stage and tells what became of every backlog.
    pub async fn close(mut self, context: &Context<'_>) -> Vec<StoreResult> {
        let last = self.current.take();
        self.conclude(context, last).await;
        self.concluded
    }

    async fn conclude(&mut self, context: &Context<'_>, stage: Option<Stage>) {
        let Some(Stage { pair, filled: Some(mut filled), .. }) = stage else { return };
        if let Err(error) = filled.drain(context, &pair).await {
            filled.record.reasons.push(format!("the backlog could not be drained: {error}"));
        }
        context.progress.note(&filled.record.line());
        self.concluded.push(filled.record);
    }
}

impl Stage {
    async fn open(context: &Context<'_>, plan: &TrialPlan) -> Result<Self> {
        context.progress.phase("starting the pair");
        let folder = TemporaryFolder::new(context.store_parent, "pair-", context.keep)?;
        let mut settings = plan.backlog.map_or_else(Vec::new, tailing);
        settings.extend(plan.extra_settings());
        let setup = Setup { spec: plan.pair.clone(), seed: plan.seed, lone: false, settings };
        let pair = Pair::start(context.launcher.clone(), &context.plan.pair_of(plan), &setup, folder).await?;
        let mut stage = Self { pair, plan: plan.clone(), filled: None, observations: Vec::new() };
        if let Some(backlog) = plan.backlog {
            stage.filled = Some(Filled::fill(context, &stage.pair, plan.store, backlog.size_bytes).await?);
        }
        Ok(stage)
    }

    /// Messages that wait, and bytes of the store's files.
    pub(super) fn size(&self) -> Result<(u64, u64)> {
        let messages = self.filled.as_ref().map_or(0, |filled| filled.record.messages);
        Ok((messages, folder_bytes(&self.pair.store())?))
    }

    /// Gives the standby the setting of the trial, and both servers time to read what they follow or still have to load.
    async fn make_ready(&mut self, context: &Context<'_>, backlog: Backlog) -> Result<()> {
        self.pair.await_roles(ROLES_LIMIT).await?;
        let standby = self.pair.active().unwrap_or(NodeId::A).peer();
        if !self.pair.has_settings(standby, &tailing(backlog))? {
            context.progress.phase(&format!("restarting the standby as a {} one", backlog.standby));
            self.pair.end_node(standby);
            self.pair.change_settings(standby, &tailing(backlog))?;
            self.pair.start_node(standby)?;
            self.pair.await_roles(ROLES_LIMIT).await?;
        }
        if self.pair.read_logs(standby).lines().any(|line| line.contains(TAILING) && line.contains("not a known name"))
        {
            self.observations.push(TAILING_UNKNOWN.to_owned());
        }
        context.progress.phase("waiting until both servers have caught up");
        let limit = Duration::from_secs(10 + backlog.size_bytes / CATCH_UP_BYTES_PER_S_MIN);
        for node in NodeId::BOTH {
            if !self.await_calm(node, limit).await {
                let name = node.name();
                self.observations.push(format!("{name} still read from the disk after {limit:?}, when the load began"));
            }
        }
        Ok(())
    }

    /// Waits until a node hardly reads from the disk, as the kernel counts it: the broker need not say when it has caught up.
    async fn await_calm(&self, node: NodeId, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        let read_bytes = || self.pair.process(node).and_then(|process| process::read_bytes(process.pid()));
        let mut before = read_bytes();
        while Instant::now() < deadline {
            sleep(CALM_FOR).await;
            let now = read_bytes();
            match (before, now) {
                (Some(before), Some(now)) if now.saturating_sub(before) > CALM_BYTES => {}
                _ => return true,
            }
            before = now;
        }
        false
    }
}

const TAILING: &str = "standby_tailing";
/// What is noted where the broker took the parameter for a mistake.
pub(crate) const TAILING_UNKNOWN: &str = "this broker does not know standby_tailing";

fn tailing(backlog: Backlog) -> Vec<(String, String)> {
    vec![(TAILING.to_owned(), backlog.standby.tailing().to_owned())]
}

impl Filled {
    async fn fill(context: &Context<'_>, pair: &Pair, store: StoreSetting, size_bytes: u64) -> Result<Self> {
        let mut record = StoreResult::new(store, size_bytes);
        record.messages = (size_bytes / context.plan.load.size_bytes as u64).max(1);
        demand_room(pair.folder(), size_bytes)?;
        let (ledger, seconds) = queue(context, pair, store).fill(record.messages).await?;
        record.fill_s = seconds;
        record.store_bytes = folder_bytes(&pair.store())?;
        Ok(Self { ledger, record })
    }

    /// Reads the whole backlog and judges it against what was confirmed when it was filled.
    async fn drain(&mut self, context: &Context<'_>, pair: &Pair) -> Result<()> {
        let record = &mut self.record;
        let drained = queue(context, pair, record.store).drain(self.ledger.run, record.messages).await?;
        record.drain_s = drained.seconds;
        self.ledger.consumers = drained.consumers;
        let store = checks::promise(record.store, &context.plan.pair);
        let rules =
            Rules { store, drained: drained.complete, acks_confirmed: true, one_active: true, ..Rules::default() };
        let verdict = judge(&self.ledger, &rules);
        record.verdict = checks::verdict(&verdict);
        record.reasons.extend(verdict.reasons.iter().cloned());
        record.delivered = verdict.counts.delivered;
        record.lost = verdict.counts.lost;
        record.duplicated = verdict.counts.duplicated;
        Ok(())
    }
}

fn queue<'a>(context: &'a Context<'_>, pair: &'a Pair, store: StoreSetting) -> Queue<'a> {
    let payload_bytes = context.plan.load.size_bytes;
    Queue { pair, address: store.backlog_address(), payload_bytes, progress: context.progress }
}

impl StoreResult {
    /// A store of which nothing is known yet.
    fn new(store: StoreSetting, size_bytes: u64) -> Self {
        Self {
            store,
            size_bytes,
            trials: Vec::new(),
            messages: 0,
            store_bytes: 0,
            fill_s: 0.0,
            drain_s: 0.0,
            delivered: 0,
            lost: 0,
            duplicated: 0,
            verdict: Verdict::Unknown,
            reasons: Vec::new(),
        }
    }
}
