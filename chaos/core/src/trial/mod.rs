//! One trial from the fresh store to the judgement: starts the pair and the load, walks the steps of the plan, measures, judges.
//!
//! `load` drives the clients, `steps` does things to the pair, `outcome` turns what was seen into a result, with `figures` from the ledger. Nothing here is random: the plan decides.

mod figures;
mod load;
mod outcome;
mod steps;

use crate::cleanup::TemporaryFolder;
use crate::clock;
use crate::cluster::{Event, Launcher, Pair};
use crate::error::Result;
use crate::history::History;
use crate::plan::{Plan, Step, TrialPlan};
use crate::progress::Progress;
use crate::result::{TrialResult, Verdict};
use crate::scenario::Scenario;
use load::Load;
use std::path::Path;
use steps::{Evidence, Execution};

/// What all trials of a run share.
#[derive(Debug)]
pub struct Context<'a> {
    /// The whole plan.
    pub plan: &'a Plan,
    /// How nodes are started.
    pub launcher: &'a Launcher,
    /// Result folder.
    pub out: &'a Path,
    /// Folder below which each trial makes its own.
    pub store_parent: &'a Path,
    /// Whether the nodes' folders stay.
    pub keep: bool,
    /// Told when a new phase of the trial begins.
    pub progress: &'a Progress,
}

/// Runs one trial. An error means that the trial could not be carried out; what the pair did wrong is in the result.
pub async fn run(context: &Context<'_>, plan: &TrialPlan, history: &mut History) -> Result<(TrialResult, Vec<Event>)> {
    let started_ns = clock::now_ns();
    context.progress.phase("starting the pair");
    let folder = TemporaryFolder::new(context.store_parent, "pair-", context.keep)?;
    let proxied = plan.scenario == Scenario::DelayHeartbeats;
    let mut pair = Pair::start(context.launcher.clone(), &context.plan.pair, proxied, folder).await?;
    let outcome = match execute(context, plan, &mut pair).await {
        Ok(evidence) => outcome::conclude(context, plan, &evidence, &pair, history, started_ns)
            .map(|trial| (trial, evidence.events)),
        Err(error) => Err(error),
    };
    if !matches!(&outcome, Ok((trial, _)) if trial.verdict == Verdict::Pass) {
        pair.copy_logs(&context.out.join("logs").join(plan.file_stem()))?;
    }
    outcome
}

async fn execute(context: &Context<'_>, plan: &TrialPlan, pair: &mut Pair) -> Result<Evidence> {
    let load = Load::start(context, plan, pair).await?;
    let mut execution = Execution::new(context, pair, load);
    for step in &plan.steps {
        execution.take(step).await?;
    }
    execution.finish().await
}

/// Whether a step of the plan is the fault itself.
fn is_fault(step: &Step) -> bool {
    matches!(step, Step::KillActive | Step::StopActive | Step::DelayLink { delay_ms: 1.. })
}
