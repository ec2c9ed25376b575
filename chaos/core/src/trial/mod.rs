//! One trial from the fresh store to the judgement: starts the pair and the load, lets the faults of the plan come and go (safety), waits
//! for steady flow and drains (liveness), measures, judges. Nothing here is random: the plan decides.
//!
//! `stage` keeps the pair, `load` drives the clients, `timeline` says when a fault comes and goes, `execution` does it, `recovery` is what
//! comes after, `outcome` turns what was seen into a result, with `figures` from the ledger, `meter` from the kernel and `depth` from the broker.

mod depth;
mod execution;
mod figures;
mod load;
mod meter;
mod outcome;
mod recovery;
mod stage;
mod timeline;

use crate::clock;
use crate::cluster::{Event, Launcher};
use crate::error::Result;
use crate::history::History;
use crate::machine::Machine;
use crate::plan::{Plan, TrialPlan};
use crate::progress::Progress;
use crate::result::{BacklogSeen, TrialResult, Verdict};
use execution::{Evidence, Execution};
use load::Load;
use stage::Stage;
pub use stage::Stages;
pub(crate) use stage::TAILING_UNKNOWN;
use std::path::Path;

/// What all trials of a run share.
#[derive(Debug)]
pub struct Context<'a> {
    /// The whole plan.
    pub plan: &'a Plan,
    /// How nodes are started.
    pub launcher: &'a Launcher,
    /// What the machine allows.
    pub machine: &'a Machine,
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
pub async fn run(
    context: &Context<'_>,
    plan: &TrialPlan,
    stages: &mut Stages,
    history: &mut History,
) -> Result<(TrialResult, Vec<Event>)> {
    let outcome = play(context, plan, stages, history).await;
    if let Err(error) = &outcome {
        stages.lose(plan, error);
    }
    outcome
}

async fn play(
    context: &Context<'_>,
    plan: &TrialPlan,
    stages: &mut Stages,
    history: &mut History,
) -> Result<(TrialResult, Vec<Event>)> {
    let started_ns = clock::now_ns();
    let mut stage = stages.enter(context, plan).await?;
    let outcome = match execute(context, plan, &mut stage).await {
        Ok(evidence) => {
            outcome::conclude(context, plan, &evidence, &stage.pair, history, started_ns).map(|trial| (trial, evidence))
        }
        Err(error) => Err(error),
    };
    if !matches!(&outcome, Ok((trial, _)) if trial.verdict == Verdict::Pass) {
        stage.pair.copy_logs(&context.out.join("logs").join(plan.file_stem()))?;
    }
    let (trial, evidence) = outcome?;
    stages.leave(context, stage, evidence.drained).await;
    Ok((trial, evidence.events))
}

async fn execute(context: &Context<'_>, plan: &TrialPlan, stage: &mut Stage) -> Result<Evidence> {
    let started_ns = clock::now_ns();
    let (messages, store_bytes) = stage.size()?;
    let observations = std::mem::take(&mut stage.observations);
    let load = Load::start(context, plan, &stage.pair).await?;
    let mut execution = Execution::new(context, plan, &mut stage.pair, load);
    execution.play().await?;
    execution.await_steady().await?;
    execution.drain().await?;
    let mut evidence = execution.finish(plan.backlog.is_none()).await?;
    // A pair that serves several trials has told of the earlier ones before.
    evidence.events.retain(|event| event.t_ns >= started_ns || plan.backlog.is_none());
    evidence.observations.extend(observations);
    evidence.backlog = plan.backlog.map(|asked| BacklogSeen { asked, messages, store_bytes });
    Ok(evidence)
}
