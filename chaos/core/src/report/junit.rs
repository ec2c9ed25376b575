//! junit.xml: a test case for each trial, for CI servers.

use super::scenarios::failover_words;
use super::tables::evidence;
use crate::error::Result;
use crate::result::{RunResult, TrialResult, Verdict};
use quick_junit::{NonSuccessKind, Property, Report, TestCase, TestCaseStatus, TestSuite};
use std::path::Path;
use std::time::Duration;

/// The document. A violated promise is a failure; what could not be judged is an error, so that no server counts it as passed.
/// `folder` is where the result lies, for the commands that play a trial again.
pub(super) fn document(result: &RunResult, folder: &Path) -> Result<String> {
    let mut report = Report::new(format!("chaos {}", result.suite));
    report.set_time(Duration::from_secs_f64(result.duration_s));
    for scenario in result.scenarios() {
        let trials = result
            .trials
            .iter()
            .filter(|trial| trial.scenario == scenario)
            .map(|trial| case(trial, replay(folder, trial)));
        let disturbed = result.disturbed.iter().filter(|trial| trial.scenario == scenario);
        let cases: Vec<TestCase> = trials.chain(disturbed.map(|trial| replayed(result, trial))).collect();
        let mut suite = TestSuite::new(scenario.clone());
        suite.set_time(cases.iter().filter_map(|case| case.time).sum());
        suite.add_property(Property::new("seed", result.seed.to_string()));
        suite.add_property(Property::new("replay", result.command.clone()));
        suite.add_test_cases(cases);
        report.add_test_suite(suite);
    }
    Ok(report.to_string()?)
}

/// A trial in whose place another was played says nothing about the pair.
fn replayed(result: &RunResult, trial: &TrialResult) -> TestCase {
    let mut case = case(trial, result.command.clone());
    case.status = TestCaseStatus::skipped();
    case.status.set_message(trial.reasons.join("; "));
    case
}

fn replay(folder: &Path, trial: &TrialResult) -> String {
    format!("chaos replay {} --trial {}", folder.display(), trial.number)
}

fn case(trial: &TrialResult, replay: String) -> TestCase {
    let mut status = match trial.verdict {
        Verdict::Pass => TestCaseStatus::success(),
        Verdict::Skipped => TestCaseStatus::skipped(),
        Verdict::Unknown => TestCaseStatus::non_success(NonSuccessKind::Error),
        Verdict::Violated => TestCaseStatus::non_success(NonSuccessKind::Failure),
    };
    if trial.verdict != Verdict::Pass {
        status.set_message(trial.reasons.join("; "));
        status.set_type(trial.verdict.name());
    }
    let mut case = TestCase::new(format!("trial {} {}", trial.number, trial.cell().place()), status);
    case.set_classname(format!("chaos.{}.{}", trial.scenario, trial.store));
    case.set_time(Duration::from_millis(trial.duration_ms));
    case.add_property(Property::new("seed", trial.seed.to_string()));
    case.add_property(Property::new("replay", replay));
    let messages = &trial.messages;
    let figures = format!(
        "seed {}; {}; lost {} of {} confirmed; duplicated {}",
        trial.seed,
        failover_words(trial),
        messages.lost,
        messages.confirmed,
        messages.duplicated
    );
    case.set_system_out([vec![figures], evidence(trial)].concat().join("\n"));
    case
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::synthetic;

    #[test]
    fn the_document_is_well_formed_and_says_what_happened() {
        let mut result = synthetic::run();
        result.trials[0].verdict = Verdict::Violated;
        result.trials[0].reasons = vec!["5 < 6 & \"lost\"".to_owned()];
        result.trials[1].verdict = Verdict::Unknown;
        result.trials[2].verdict = Verdict::Skipped;
        result.trials[2].reasons = vec!["no /dev/fuse".to_owned()];
        let text = document(&result, Path::new("out")).expect("it can be written");
        let read = Report::deserialize_from_str(&text).expect("it is well-formed");
        assert_eq!(read.tests, result.trials.len());
        assert_eq!((read.failures, read.errors), (1, 1));
        assert_eq!(read.test_suites.len(), result.scenarios().len());
        assert!(text.contains("5 &lt; 6 &amp;") && text.contains("<skipped message=\"no /dev/fuse\""), "{text}");
        let case = &read.test_suites[0].test_cases[0];
        let property =
            |name| case.properties.iter().find(|one| one.name.as_str() == name).map(|one| one.value.as_str());
        assert_eq!(property("seed"), Some(result.trials[0].seed.to_string().as_str()));
        assert!(property("replay").is_some_and(|command| command == "chaos replay out --trial 1"), "{case:?}");
    }

    #[test]
    fn a_trial_that_was_played_again_is_skipped_and_says_where() {
        let mut result = synthetic::run();
        let mut late = result.trials[0].clone();
        late.verdict = Verdict::Unknown;
        late.reasons = vec!["played again as trial 29".to_owned()];
        result.disturbed.push(late);
        let text = document(&result, Path::new("out")).expect("it can be written");
        let read = Report::deserialize_from_str(&text).expect("it is well-formed");
        assert_eq!((read.tests, read.failures, read.errors), (result.trials.len() + 1, 0, 0));
        assert!(text.contains("played again as trial 29"), "{text}");
    }
}
