//! Plays what the search asks for, on real pairs, tells each step, and writes the smallest plan that failed.

use super::Shrink;
use crate::checks::Finding;
use crate::error::{AtPath, Error, Result};
use crate::history::History;
use crate::plan::{Plan, TrialPlan};
use crate::result::{TrialResult, Verdict};
use crate::trial::{self, Context, Stages};
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// The file with the smallest plan, in the result folder.
pub const FILE: &str = "shrunk-plan.json";
/// The folder below the result folder in which candidates leave their files.
const FOLDER: &str = "shrink";
/// No candidate is begun after this time.
const TIME_MAX: Duration = Duration::from_secs(600);

/// What came of a search, for the result.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shrunk {
    /// The trial that failed.
    pub trial: usize,
    /// Whether it failed again; otherwise nothing was reduced.
    pub is_reproduced: bool,
    /// Faults of its plan.
    pub faults_before: usize,
    /// Faults of the smallest plan that failed.
    pub faults_after: usize,
    /// How often something was played.
    pub plays: u32,
    /// What was played, and what came of it, a line each.
    pub steps: Vec<String>,
    /// How to play the smallest plan again.
    pub command: String,
}

impl Shrunk {
    /// What was found, in words.
    pub fn sentence(&self) -> String {
        let Self { trial, faults_before, faults_after, plays, command, .. } = self;
        match self.is_reproduced {
            false => format!("shrink: trial {trial} did not fail again in {plays} plays, so nothing was left out"),
            true => format!(
                "shrink: trial {trial} fails with {faults_after} of its {faults_before} faults ({plays} plays); again with: {command}"
            ),
        }
    }
}

/// The trial to reduce: the first that violated something although it has several faults.
pub(crate) fn worth_it(plan: &Plan, trials: &[TrialResult]) -> Option<(TrialPlan, Vec<Finding>)> {
    let failed = trials.iter().filter(|trial| trial.verdict == Verdict::Violated);
    failed.filter_map(|trial| Some((of(plan, trial)?, trial.findings.clone()))).find(|(plan, _)| has_several(plan))
}

/// Preparations belong to the one fault that they are for.
fn has_several(plan: &TrialPlan) -> bool {
    plan.faults.iter().filter(|fault| !fault.preparation).count() > 1
}

/// A trial that was played again has a number of its own, and the plan of the first.
fn of(plan: &Plan, trial: &TrialResult) -> Option<TrialPlan> {
    let planned = plan.trials.iter().find(|one| one.seed == trial.seed)?;
    // Candidates differ from the run in their load.
    Some(TrialPlan { load: Some(plan.load_of(planned).clone()), ..planned.clone() })
}

/// Searches for the smallest plan that fails with one of `findings`, in `plays_max` plays at most.
pub(crate) async fn shrink(
    context: &Context<'_>,
    (failing, findings): (TrialPlan, Vec<Finding>),
    plays_max: u32,
) -> Result<Shrunk> {
    let out = context.out.join(FOLDER);
    std::fs::create_dir_all(&out).at(&out)?;
    let context = Context { out: &out, ..*context };
    let mut shrunk = Shrunk { trial: failing.number, faults_before: failing.faults.len(), ..Shrunk::default() };
    context.progress.note(&format!(
        "trial {} violated something with {} faults: looking for the fewest that do, in {plays_max} plays at most",
        failing.number, shrunk.faults_before
    ));
    let begin = Instant::now();
    let mut search = Shrink::new(failing, plays_max);
    while let Some(candidate) = search.next() {
        if begin.elapsed() >= TIME_MAX {
            search.stop();
            break;
        }
        let plan = TrialPlan { number: search.plays() as usize + 1, ..candidate.plan };
        let answer = play(&context, &plan).await?;
        let fails = answer.verdict == Verdict::Violated && answer.findings.iter().any(|one| is_like(*one, &findings));
        search.told(fails);
        let line = step(&answer, &candidate.words, fails);
        context.progress.note(&line);
        shrunk.steps.push(line);
    }
    shrunk.is_reproduced = search.is_reproduced();
    shrunk.plays = search.plays();
    shrunk.faults_after = search.best().faults.len();
    write(&context, search.best(), &mut shrunk)?;
    Ok(shrunk)
}

/// A finding that makes a trial violated, and that the failing one had, too.
fn is_like(found: Finding, findings: &[Finding]) -> bool {
    found.verdict() == Verdict::Violated && findings.contains(&found)
}

fn step(answer: &TrialResult, words: &str, fails: bool) -> String {
    let (number, names) = (answer.number, answer.findings.iter().map(|one| one.name()).collect::<Vec<_>>().join(", "));
    let outcome = if fails { "still fails" } else { "does not fail" };
    format!(
        "  shrink {number:>3}  {words}: {outcome} ({}{}{names})",
        answer.verdict,
        if names.is_empty() { "" } else { ": " }
    )
}

async fn play(context: &Context<'_>, plan: &TrialPlan) -> Result<TrialResult> {
    let mut history = History::create(context.out)?;
    let mut stages = Stages::default();
    let played = trial::run(context, plan, &mut stages, &mut history).await;
    stages.close(context).await;
    match played {
        Ok((result, _)) => Ok(result),
        Err(error @ Error::File { .. }) => Err(error),
        Err(error) => {
            let mut result = TrialResult::unjudged(plan);
            result.reasons.push(error.to_string());
            Ok(result)
        }
    }
}

fn write(context: &Context<'_>, best: &TrialPlan, shrunk: &mut Shrunk) -> Result<()> {
    let folder = context.out.parent().unwrap_or(context.out);
    let path = folder.join(FILE);
    let trials = vec![TrialPlan { number: 1, ..best.clone() }];
    let plan = Plan { trials, ..context.plan.clone() };
    let text = serde_json::to_string_pretty(&plan).map_err(|source| Error::Json { path: path.clone(), source })?;
    std::fs::write(&path, text + "\n").at(&path)?;
    shrunk.command = format!("chaos replay {}", path.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{FaultPlan, Request, expand};

    #[test]
    fn only_a_violated_trial_with_several_faults_is_reduced() {
        let mut plan = expand(&Request { only: vec!["kill-active".to_owned()], ..Request::of("quick", 1) });
        let again = plan.trials[2].faults[0].clone();
        plan.trials[2].faults.push(again);
        let mut results: Vec<TrialResult> = plan.trials.iter().map(TrialResult::unjudged).collect();
        assert!(worth_it(&plan, &results).is_none());
        results[0].verdict = Verdict::Violated;
        let preparation = FaultPlan { preparation: true, ..plan.trials[0].faults[0].clone() };
        plan.trials[0].faults.insert(0, preparation);
        assert!(worth_it(&plan, &results).is_none(), "it has one fault");
        results[2].verdict = Verdict::Violated;
        results[2].number = 40;
        let (found, _) = worth_it(&plan, &results).expect("it has two");
        assert_eq!((found.number, found.load.is_some()), (plan.trials[2].number, true));
    }

    #[test]
    fn another_finding_is_another_failure() {
        use loadgen::verdict::Finding as Message;
        let findings = [Finding::Messages(Message::Lost), Finding::Unjudged];
        assert!(is_like(Finding::Messages(Message::Lost), &findings));
        assert!(!is_like(Finding::Messages(Message::OutOfOrder), &findings));
        assert!(!is_like(Finding::Unjudged, &findings));
    }
}
