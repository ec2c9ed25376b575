//! The properties that a run judges, each with its verdict and the count that it rests on: the first thing that a reader sees.

use super::text::count;
use crate::result::{RunResult, TrialResult, Verdict};
use crate::scenario::StoreSetting;

/// One property.
#[derive(Debug)]
pub(super) struct Property {
    /// What is promised.
    pub(super) promise: &'static str,
    /// Whether it held; `None` when no trial could have shown it.
    pub(super) verdict: Option<Verdict>,
    /// What that rests on.
    pub(super) evidence: String,
}

impl Property {
    /// Its verdict in a word.
    pub(super) fn word(&self) -> &'static str {
        match self.verdict {
            Some(Verdict::Pass) => "PASS",
            Some(Verdict::Violated) => "FAIL",
            Some(Verdict::Unknown) => "UNKNOWN",
            Some(Verdict::Skipped) => "SKIPPED",
            None => "NOT RUN",
        }
    }

    /// The class that colours it.
    pub(super) fn class(&self) -> &'static str {
        self.verdict.map_or("skipped", Verdict::name)
    }
}

/// Which trials can show a property, and how often one broke it.
struct Rule {
    promise: &'static str,
    /// What is counted, in words.
    counted: &'static str,
    applies: fn(&TrialResult) -> bool,
    broken: fn(&TrialResult) -> u64,
}

fn is_sync(trial: &TrialResult) -> bool {
    trial.store == StoreSetting::Sync
}

/// An async loss that its promise does not cover makes the trial violated; a loss within the bound does not.
fn async_broken(trial: &TrialResult) -> u64 {
    let holes = trial.losses.iter().filter(|loss| !loss.is_suffix).count() as u64;
    let beyond = trial.verdict == Verdict::Violated && trial.reasons.iter().any(|reason| reason.contains(" lost "));
    holes.max(u64::from(beyond))
}

const RULES: [Rule; 9] = [
    Rule {
        promise: "Sync store: no confirmed message is lost",
        counted: "lost messages",
        applies: is_sync,
        broken: |trial| trial.messages.lost,
    },
    Rule {
        promise: "Async store: only the newest confirms are lost, as a suffix within the bound",
        counted: "losses with a hole or beyond the bound",
        applies: |trial| !is_sync(trial),
        broken: async_broken,
    },
    Rule {
        promise: "Nothing is delivered that was not sent, or damaged",
        counted: "unexpected deliveries",
        applies: |_| true,
        broken: |trial| trial.messages.unexpected,
    },
    Rule {
        promise: "What is delivered again is marked as redelivered",
        counted: "unmarked redeliveries",
        applies: |_| true,
        broken: |trial| trial.messages.redelivered_unflagged,
    },
    Rule {
        promise: "Sync store: what was acknowledged does not come back",
        counted: "resurrected messages",
        applies: is_sync,
        broken: |trial| trial.messages.resurrected,
    },
    Rule {
        promise: "Messages of a producer arrive in their order",
        counted: "messages out of order",
        applies: |_| true,
        broken: |trial| trial.messages.out_of_order,
    },
    Rule {
        promise: "One server confirms at a time",
        counted: "confirms by two servers",
        applies: |_| true,
        broken: |trial| trial.messages.confirmed_by_two,
    },
    Rule {
        promise: "The standby takes over where it must",
        counted: "takeovers that did not come",
        applies: |trial| trial.takeover_expected,
        broken: |trial| u64::from(!trial.takeover && trial.verdict == Verdict::Violated),
    },
    Rule {
        promise: "Every fault was seen to take effect",
        counted: "faults without effect",
        applies: |_| true,
        broken: |_| 0,
    },
];

/// All properties of a run, and at the end whatever else broke.
pub(super) fn properties(result: &RunResult) -> Vec<Property> {
    let mut found: Vec<Property> = RULES.iter().map(|rule| judge(rule, result)).collect();
    let explained = |trial: &TrialResult| RULES.iter().any(|rule| (rule.applies)(trial) && (rule.broken)(trial) > 0);
    let violated = result.trials.iter().filter(|trial| trial.verdict == Verdict::Violated && !explained(trial)).count();
    let stores = result.stores.iter().filter(|store| store.verdict == Verdict::Violated).count();
    let others = violated + stores;
    found.push(Property {
        promise: "Everything else that the scenarios expect",
        verdict: Some(if others > 0 {
            Verdict::Violated
        } else {
            unless_unknown(&result.trials.iter().collect::<Vec<_>>())
        }),
        evidence: format!("{others} further violations"),
    });
    found
}

fn judge(rule: &Rule, result: &RunResult) -> Property {
    let trials: Vec<&TrialResult> = result.trials.iter().filter(|trial| (rule.applies)(trial)).collect();
    let played: Vec<&TrialResult> = trials.iter().copied().filter(|one| one.verdict != Verdict::Skipped).collect();
    let of_fault = rule.counted == "faults without effect";
    let no_effect = played.iter().filter(|trial| !trial.fault_effective).count() as u64;
    let broken: u64 = if of_fault { no_effect } else { played.iter().map(|trial| (rule.broken)(trial)).sum() };
    let verdict = match (trials.is_empty(), played.is_empty(), broken) {
        (true, ..) => None,
        (_, true, _) => Some(Verdict::Skipped),
        // A fault without effect proves nothing; it breaks nothing either.
        (.., 1..) if of_fault => Some(Verdict::Unknown),
        (.., 1..) => Some(Verdict::Violated),
        _ if of_fault => Some(Verdict::Pass),
        _ => Some(unless_unknown(&played)),
    };
    let confirmed: u64 = played.iter().map(|trial| trial.messages.confirmed).sum();
    let unknown = played.iter().filter(|trial| trial.verdict == Verdict::Unknown).count();
    let not_judged = if unknown > 0 { format!(", {unknown} trials not judged") } else { String::new() };
    let evidence = format!(
        "{} {} in {} trials, {} confirmed messages{not_judged}",
        count(broken),
        rule.counted,
        played.len(),
        count(confirmed)
    );
    Property { promise: rule.promise, verdict, evidence }
}

/// A pass needs that every trial could be judged.
fn unless_unknown(trials: &[&TrialResult]) -> Verdict {
    let all_known = trials.iter().all(|trial| trial.verdict != Verdict::Unknown);
    if all_known { Verdict::Pass } else { Verdict::Unknown }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::synthetic;

    fn word(result: &RunResult, start: &str) -> &'static str {
        let all = properties(result);
        all.iter().find(|one| one.promise.starts_with(start)).expect("it is judged").word()
    }

    #[test]
    fn a_planted_break_of_each_property_fails_that_one_alone() {
        let plants: [(&str, fn(&mut TrialResult)); 6] = [
            ("Sync store: no", |trial| trial.messages.lost = 1),
            ("Nothing is", |trial| trial.messages.unexpected = 1),
            ("What is", |trial| trial.messages.redelivered_unflagged = 1),
            ("Sync store: what", |trial| trial.messages.resurrected = 1),
            ("Messages of", |trial| trial.messages.out_of_order = 1),
            ("One server", |trial| trial.messages.confirmed_by_two = 1),
        ];
        for (promise, plant) in plants {
            let mut result = synthetic::run();
            let trial = result.trials.iter_mut().find(|trial| is_sync(trial)).expect("there is one");
            trial.verdict = Verdict::Violated;
            plant(trial);
            let failed: Vec<&str> =
                properties(&result).into_iter().filter(|one| one.word() == "FAIL").map(|one| one.promise).collect();
            assert_eq!(failed.len(), 1, "{failed:?}");
            assert!(failed[0].starts_with(promise), "{failed:?}");
        }
    }

    #[test]
    fn a_loss_within_the_bound_passes_and_a_hole_fails() {
        let mut result = synthetic::run();
        assert_eq!(word(&result, "Async store"), "PASS");
        let trial = result.trials.iter_mut().find(|trial| !is_sync(trial)).expect("there is one");
        trial.verdict = Verdict::Violated;
        trial.losses = vec![crate::result::Loss { producer: 0, messages: 3, bytes: 3, span_us: 9, is_suffix: false }];
        assert_eq!(word(&result, "Async store"), "FAIL");
    }

    #[test]
    fn what_was_not_judged_or_not_run_is_no_pass() {
        let mut result = synthetic::run();
        result.trials[0].verdict = Verdict::Unknown;
        result.trials[0].fault_effective = false;
        assert_eq!(word(&result, "Sync store: no"), "UNKNOWN");
        assert_eq!(word(&result, "Every fault"), "UNKNOWN");
        result.trials.retain(|trial| !is_sync(trial));
        assert_eq!(word(&result, "Sync store: no"), "NOT RUN");
        result.trials.iter_mut().for_each(|trial| trial.verdict = Verdict::Skipped);
        assert_eq!(word(&result, "Async store"), "SKIPPED");
    }

    #[test]
    fn a_violation_that_no_count_explains_is_not_hidden() {
        let mut result = synthetic::run();
        result.trials[3].verdict = Verdict::Violated;
        assert_eq!(word(&result, "Everything else"), "FAIL");
    }
}
