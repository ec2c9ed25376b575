//! Plays the trials of a plan in their order, and a disturbed one again. Writes events.jsonl beside them.
//!
//! It does not know what happens in a trial (`trial`) nor what a run concludes from all of them (`run`).

use crate::cluster::Event;
use crate::error::{AtPath, Error, Result};
use crate::history::History;
use crate::plan::TrialPlan;
use crate::result::{StoreResult, TrialResult, Verdict};
use crate::trial::{self, Context};
use serde::Serialize;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// What a run saw.
#[derive(Debug)]
pub(crate) struct Played {
    /// One trial for each of the plan.
    pub(crate) trials: Vec<TrialResult>,
    /// Those in whose place one of `trials` was played.
    pub(crate) disturbed: Vec<TrialResult>,
    /// The stores that held a backlog.
    pub(crate) stores: Vec<StoreResult>,
}

/// Plays every trial of the plan; one in which the load generator itself was late is played again, up to `replays` times.
pub(crate) async fn play(context: &Context<'_>, replays: u32) -> Result<Played> {
    let mut history = History::create(context.out)?;
    let mut events = EventFile::create(context.out)?;
    let (mut trials, mut disturbed, mut stages) = (Vec::new(), Vec::new(), trial::Stages::default());
    for plan in &context.plan.trials {
        let mut plan = plan.clone();
        let mut replays_left = replays;
        loop {
            context.progress.begin(&format!("{} {}", plan.scenario, plan.cell().place()));
            let mut trial = run_trial(context, &plan, &mut stages, &mut history, &mut events).await?;
            if replays_left == 0 || !trial.is_disturbed() {
                context.progress.end(&trial);
                trials.push(trial);
                break;
            }
            replays_left -= 1;
            // A number of its own, since its files are named after it, and the same choices: only the machine is to blame.
            plan.number = context.plan.trials.len() + disturbed.len() + 1;
            trial.reasons.push(format!("played again as trial {}", plan.number));
            context.progress.again(&trial);
            disturbed.push(trial);
        }
    }
    let stores = stages.close(context).await;
    events.finish()?;
    Ok(Played { trials, disturbed, stores })
}

/// A trial that could not be carried out is unknown (or skipped, if the machine does not allow it), and the others go on; a result
/// folder that cannot be written ends the run.
async fn run_trial(
    context: &Context<'_>,
    plan: &TrialPlan,
    stages: &mut trial::Stages,
    history: &mut History,
    events: &mut EventFile,
) -> Result<TrialResult> {
    let begin = Instant::now();
    if let Some(reason) = context.machine.lacks(&plan.requires) {
        let mut trial = TrialResult::unjudged(plan);
        trial.verdict = Verdict::Skipped;
        trial.reasons.push(reason);
        return Ok(trial);
    }
    match trial::run(context, plan, stages, history).await {
        Ok((trial, said)) => {
            events.append(&trial, said)?;
            Ok(trial)
        }
        Err(error @ Error::File { .. }) => Err(error),
        Err(error) => {
            let mut trial = TrialResult::unjudged(plan);
            if error.is_environment() {
                trial.verdict = Verdict::Skipped;
            }
            trial.reasons.push(format!("the trial could not be carried out: {error}"));
            trial.duration_ms = begin.elapsed().as_millis() as u64;
            Ok(trial)
        }
    }
}

/// events.jsonl: what the nodes said and what was done to them, with one clock and one schema.
#[derive(Debug)]
struct EventFile {
    path: PathBuf,
    writer: BufWriter<File>,
}

/// One line of the file.
#[derive(Serialize)]
struct EventLine<'a> {
    trial: usize,
    #[serde(flatten)]
    event: &'a serde_json::Value,
}

impl EventFile {
    fn create(folder: &Path) -> Result<Self> {
        let path = folder.join("events.jsonl");
        let writer = BufWriter::new(File::create(&path).at(&path)?);
        Ok(Self { path, writer })
    }

    fn append(&mut self, trial: &TrialResult, said: Vec<Event>) -> Result<()> {
        let mut lines = Vec::new();
        for event in &said {
            let value =
                serde_json::to_value(event).map_err(|source| Error::Json { path: self.path.clone(), source })?;
            lines.push((event.t_ns, value));
        }
        for fault in &trial.faults {
            let line = |t_ns, event, proof| {
                (
                    t_ns,
                    serde_json::json!({ "node": "harness", "t_ns": t_ns, "event": event, "fault": fault.name, "target": fault.target, "victim": fault.victim, "preparation": fault.preparation, "proof": proof }),
                )
            };
            if let Some(effect) = &fault.effect {
                lines.push(line(effect.requested_ns, "fault-requested", ""));
                lines.push(line(effect.effective_ns, "fault-effective", &effect.proof));
            }
            lines.extend(fault.healed_ns.map(|t_ns| line(t_ns, "fault-healed", "")));
        }
        lines.sort_by_key(|(t_ns, _)| *t_ns);
        for (_, event) in &lines {
            let line = serde_json::to_string(&EventLine { trial: trial.number, event });
            let line = line.map_err(|source| Error::Json { path: self.path.clone(), source })?;
            writeln!(self.writer, "{line}").at(&self.path)?;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<()> {
        self.writer.flush().at(&self.path)
    }
}
