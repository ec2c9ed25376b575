//! One trial from the fresh store to the judgement: starts the pair and the load, walks the steps of the plan, measures, judges.
//!
//! `stage` keeps the pair, `load` drives the clients, `steps` does things to the pair, `outcome` turns what was seen into a result, with `figures` from the ledger. Nothing here is random: the plan decides.

mod figures;
mod load;
mod outcome;
mod stage;
mod steps;

use crate::clock;
use crate::cluster::{Event, Launcher};
use crate::error::Result;
use crate::history::History;
use crate::plan::{Plan, Step, TrialPlan};
use crate::progress::Progress;
use crate::result::{BacklogSeen, TrialResult, Verdict};
use crate::target::Target;
use load::{Load, Service};
use stage::Stage;
pub use stage::Stages;
pub(crate) use stage::TAILING_UNKNOWN;
use std::path::Path;
use std::sync::Arc;
use steps::{Evidence, Execution};

/// What all trials of a run share.
#[derive(Debug)]
pub struct Context<'a> {
    /// The whole plan.
    pub plan: &'a Plan,
    /// How nodes are started.
    pub launcher: &'a Launcher,
    /// What is tested in place of our own pair.
    pub target: Option<&'a Arc<Target>>,
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
    let load = Load::start(context, plan, &Service::of_pair(&stage.pair, plan.store)).await?;
    let mut execution = Execution::new(context, plan, &mut stage.pair, load);
    for step in &plan.steps {
        execution.take(step).await?;
    }
    let mut evidence = execution.finish(plan.backlog.is_none()).await?;
    // A pair that serves several trials has told of the earlier ones before.
    evidence.events.retain(|event| event.t_ns >= started_ns || plan.backlog.is_none());
    evidence.observations.extend(observations);
    evidence.backlog = plan.backlog.map(|asked| BacklogSeen { asked, messages, store_bytes });
    Ok(evidence)
}

/// Whether a step of the plan is the fault itself.
fn is_fault(step: &Step) -> bool {
    matches!(step, Step::KillActive | Step::StopActive | Step::DelayLink { delay_ms: 1.. })
}
