//! junit.xml: a test case for each trial, for CI servers.

use crate::error::Result;
use crate::result::{RunResult, TrialResult, Verdict};
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use std::time::Duration;

/// The document. A violated promise is a failure; what could not be judged is an error, so that no server counts it as passed.
pub(super) fn document(result: &RunResult) -> Result<String> {
    let mut report = Report::new(format!("chaos {}", result.suite));
    report.set_time(Duration::from_secs_f64(result.duration_s));
    for scenario in result.scenarios() {
        let trials: Vec<&TrialResult> = result.trials.iter().filter(|trial| trial.scenario == scenario).collect();
        let disturbed = result.disturbed.iter().filter(|trial| trial.scenario == scenario).map(replayed);
        let mut suite = TestSuite::new(scenario.clone());
        suite.set_time(Duration::from_millis(trials.iter().map(|trial| trial.duration_ms).sum()));
        suite.add_test_cases(trials.into_iter().map(case).chain(disturbed));
        report.add_test_suite(suite);
    }
    Ok(report.to_string()?)
}

/// A trial in whose place another was played says nothing about the pair.
fn replayed(trial: &TrialResult) -> TestCase {
    let mut case = case(trial);
    case.status = TestCaseStatus::skipped();
    case.status.set_message(trial.reasons.join("; "));
    case
}

fn case(trial: &TrialResult) -> TestCase {
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
    let mut case = TestCase::new(format!("trial {} {}", trial.number, trial.store), status);
    case.set_classname(format!("chaos.{}.{}", trial.scenario, trial.store));
    case.set_time(Duration::from_millis(trial.duration_ms));
    let messages = &trial.messages;
    let failover = trial.times_ms.failover.map_or_else(|| "none".to_owned(), |ms| format!("{ms:.1} ms"));
    case.set_system_out(format!(
        "seed {}; failover {failover}; lost {} of {} confirmed; duplicated {}",
        trial.seed, messages.lost, messages.confirmed, messages.duplicated
    ));
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
        let text = document(&result).expect("it can be written");
        let read = Report::deserialize_from_str(&text).expect("it is well-formed");
        assert_eq!(read.tests, result.trials.len());
        assert_eq!((read.failures, read.errors), (1, 1));
        assert_eq!(read.test_suites.len(), result.scenarios().len());
        assert!(text.contains("5 &lt; 6 &amp;"), "{text}");
    }

    #[test]
    fn a_trial_that_was_played_again_is_skipped_and_says_where() {
        let mut result = synthetic::run();
        let mut late = result.trials[0].clone();
        late.verdict = Verdict::Unknown;
        late.reasons = vec!["played again as trial 29".to_owned()];
        result.disturbed.push(late);
        let text = document(&result).expect("it can be written");
        let read = Report::deserialize_from_str(&text).expect("it is well-formed");
        assert_eq!((read.tests, read.failures, read.errors), (result.trials.len() + 1, 0, 0));
        assert!(text.contains("played again as trial 29"), "{text}");
    }
}
