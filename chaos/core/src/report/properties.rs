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

/// Which trials can show a property, which findings break it, and what is counted.
struct Rule {
    promise: &'static str,
    /// What is counted, in words.
    counted: &'static str,
    applies: fn(&TrialResult) -> bool,
    /// By name, as in docs/CHECKERS.md.
    findings: &'static [&'static str],
    /// How often a trial broke it, where the messages tell; a finding counts once at least.
    count: fn(&TrialResult) -> u64,
}

fn is_sync(trial: &TrialResult) -> bool {
    trial.store == StoreSetting::Sync
}

fn not_counted(_: &TrialResult) -> u64 {
    0
}

const RULES: [Rule; 10] = [
    Rule {
        promise: "Sync store: no confirmed message is lost",
        counted: "lost messages",
        applies: is_sync,
        findings: &["lost"],
        count: |trial| trial.messages.lost,
    },
    Rule {
        promise: "Async store: only the newest confirms are lost, as a suffix within the bound",
        counted: "trials with a hole, or a loss beyond the bound or without a fault",
        applies: |trial| !is_sync(trial),
        findings: &["loss-hole", "loss-beyond-bound", "loss-without-fault", "total-loss-beyond-bound"],
        count: not_counted,
    },
    Rule {
        promise: "Nothing is delivered that was not sent, or damaged",
        counted: "unexpected deliveries",
        applies: |_| true,
        findings: &["alien", "corrupt", "never-attempted", "ghost"],
        count: |trial| trial.messages.unexpected,
    },
    Rule {
        promise: "What is delivered again is marked as redelivered",
        counted: "unmarked redeliveries",
        applies: |_| true,
        findings: &["unflagged-redelivery"],
        count: |trial| trial.messages.redelivered_unflagged,
    },
    Rule {
        promise: "Sync store: what was acknowledged does not come back",
        counted: "resurrected messages",
        applies: is_sync,
        findings: &["resurrected"],
        count: |trial| trial.messages.resurrected,
    },
    Rule {
        promise: "Messages of a producer arrive in their order",
        counted: "messages out of order",
        applies: |_| true,
        findings: &["out-of-order"],
        count: |trial| trial.messages.out_of_order,
    },
    Rule {
        promise: "One server confirms at a time",
        counted: "connections of two actives",
        applies: |_| true,
        findings: &["two-actives", "epochs-overlap"],
        count: |trial| trial.messages.confirmed_by_two,
    },
    Rule {
        promise: "The queues hold what the clients' record says, and nothing after a drain",
        counted: "trials with another depth",
        applies: |_| true,
        findings: &["depth-below-ledger", "depth-above-ledger", "left-after-drain"],
        count: not_counted,
    },
    Rule {
        promise: "Every fault was seen to take effect",
        counted: "trials with a fault without effect",
        applies: |_| true,
        findings: &["no-effect"],
        count: |trial| u64::from(!trial.fault_effective),
    },
    Rule {
        promise: "What the scenario expects: a takeover or none, exit codes, roles, logs, progress",
        counted: "trials with something else",
        applies: |_| true,
        findings: &["expectation", "demand"],
        count: not_counted,
    },
];

impl Rule {
    /// How often a trial broke it. A negative control shows what it must and passes: nothing is broken.
    fn broken(&self, trial: &TrialResult) -> u64 {
        if trial.verdict == Verdict::Pass { 0 } else { self.seen(trial) }
    }

    fn seen(&self, trial: &TrialResult) -> u64 {
        let is_found = trial.findings.iter().any(|finding| self.findings.contains(&finding.name()));
        (self.count)(trial).max(u64::from(is_found))
    }

    /// A fault without effect proves nothing, and breaks nothing either.
    fn is_of_faults(&self) -> bool {
        self.findings == ["no-effect"]
    }
}

/// All properties of a run, and at the end whatever else broke.
pub(super) fn properties(result: &RunResult) -> Vec<Property> {
    let mut found: Vec<Property> = RULES.iter().map(|rule| judge(rule, result)).collect();
    let explained = |trial: &TrialResult| {
        RULES.iter().any(|rule| !rule.is_of_faults() && (rule.applies)(trial) && rule.broken(trial) > 0)
    };
    let violated = result.trials.iter().filter(|trial| trial.verdict == Verdict::Violated && !explained(trial)).count();
    let stores = result.stores.iter().filter(|store| store.verdict == Verdict::Violated).count();
    if violated + stores > 0 {
        found.push(Property {
            promise: "Everything else; the reasons are below",
            verdict: Some(Verdict::Violated),
            evidence: format!("{violated} trials and {stores} backlogs violated"),
        });
    }
    found
}

fn judge(rule: &Rule, result: &RunResult) -> Property {
    let trials: Vec<&TrialResult> = result.trials.iter().filter(|trial| (rule.applies)(trial)).collect();
    let played: Vec<&TrialResult> = trials.iter().copied().filter(|one| one.verdict != Verdict::Skipped).collect();
    let broken: u64 = played.iter().map(|trial| rule.broken(trial)).sum();
    let unknown = played.iter().filter(|trial| trial.verdict == Verdict::Unknown).count();
    let verdict = match (trials.is_empty(), played.is_empty(), broken) {
        (true, ..) => None,
        (_, true, _) => Some(Verdict::Skipped),
        (.., 1..) if rule.is_of_faults() => Some(Verdict::Unknown),
        (.., 1..) => Some(Verdict::Violated),
        // A pass needs that every trial could be judged.
        _ if unknown > 0 && !rule.is_of_faults() => Some(Verdict::Unknown),
        _ => Some(Verdict::Pass),
    };
    let confirmed: u64 = played.iter().map(|trial| trial.messages.confirmed).sum();
    let demanded: u64 = played.iter().map(|trial| rule.seen(trial) - rule.broken(trial)).sum();
    let demanded = if demanded > 0 { format!("; {} where they had to be", count(demanded)) } else { String::new() };
    let not_judged = if unknown > 0 { format!(", {unknown} trials not judged") } else { String::new() };
    let evidence = format!(
        "{} {} in {} trials, {} confirmed messages{not_judged}{demanded}",
        count(broken),
        rule.counted,
        played.len(),
        count(confirmed)
    );
    Property { promise: rule.promise, verdict, evidence }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::Finding;
    use crate::report::synthetic;

    fn word_or_none(result: &RunResult, start: &str) -> Option<&'static str> {
        properties(result).iter().find(|one| one.promise.starts_with(start)).map(Property::word)
    }

    fn word(result: &RunResult, start: &str) -> &'static str {
        word_or_none(result, start).expect("it is judged")
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
    fn every_finding_that_violates_breaks_one_property() {
        for finding in Finding::all().into_iter().filter(|one| one.verdict() == Verdict::Violated) {
            let mut result = synthetic::run();
            // Some are about sync stores, some about async ones.
            for trial in &mut result.trials[..2] {
                trial.findings = vec![finding];
                trial.verdict = Verdict::Violated;
            }
            let failed = properties(&result).iter().filter(|one| one.word() == "FAIL").count();
            let others = usize::from(word_or_none(&result, "Everything else").is_some());
            assert_eq!(failed - others, 1, "{finding}");
        }
    }

    #[test]
    fn a_loss_within_the_bound_passes() {
        assert_eq!(word(&synthetic::run(), "Async store"), "PASS");
    }

    #[test]
    fn a_negative_control_that_shows_what_it_must_breaks_nothing() {
        let mut result = synthetic::run();
        result.trials[0].messages.lost = 1234;
        let found = properties(&result);
        assert_eq!(found[0].word(), "PASS");
        assert!(found[0].evidence.ends_with("; 1,234 where they had to be"), "{}", found[0].evidence);
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
