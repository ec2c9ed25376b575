//! The judgement of a trial: the load generator's verdict on the messages, plus what each scenario expects of the pair.

mod epochs;
mod expected;
mod finding;
mod tenancy;
mod unavailability;

pub use epochs::{Tenure, overlaps, tenures};
pub use expected::lines_since;
pub use finding::Finding;
pub use tenancy::{became_active, promise_kept_by};
pub use unavailability::{Windows, windows};

use crate::clock::NS_PER_MS;
use crate::plan::PairPlan;
use crate::result::{Loss, Messages, Verdict};
use crate::scenario::StoreSetting;
use loadgen::verdict::{AsyncBound, Counts, LinkLoss, Ruling, StorePromise};

/// What clients may see a write to take beyond the flush interval: the write itself, and the scheduling of three busy processes on
/// a small machine.
const WRITE_ALLOWANCE_MS: u64 = 100;
/// An async store stops confirming after so many flush intervals without a passed ownership check.
const FLUSHES_WITHOUT_CHECK_MAX: u64 = 4;

/// What a store setting promises, in the terms of the load generator.
pub fn promise(store: StoreSetting, pair: &PairPlan) -> StorePromise {
    match store {
        StoreSetting::Sync => StorePromise::Sync,
        StoreSetting::Async => StorePromise::Async(AsyncBound {
            messages: None,
            bytes: Some(pair.async_unflushed_bytes_max),
            span_ns: Some(async_span_ms(pair) * NS_PER_MS),
        }),
    }
}

fn async_span_ms(pair: &PairPlan) -> u64 {
    FLUSHES_WITHOUT_CHECK_MAX * pair.async_flush_interval_ms + WRITE_ALLOWANCE_MS
}

/// The same in words, for the report.
pub fn async_bound_in_words(pair: &PairPlan) -> String {
    format!(
        "A failover may cost an async store the newest confirms of each producer, as a suffix without holes: at most \
         async_unflushed_max ({} MiB) in all, and at most {} ms of confirms ({FLUSHES_WITHOUT_CHECK_MAX} x async_flush_interval of {} ms \
         without a passed ownership check, plus {WRITE_ALLOWANCE_MS} ms for the write itself and for scheduling).",
        pair.async_unflushed_bytes_max >> 20,
        async_span_ms(pair),
        pair.async_flush_interval_ms,
    )
}

/// The verdict on a trial while it is being put together: the worst of all findings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judgement {
    /// The worst so far.
    pub verdict: Verdict,
    /// Why it is not a pass, a sentence each.
    pub reasons: Vec<String>,
    /// What kind of finding each of them is.
    pub findings: Vec<Finding>,
}

impl Judgement {
    /// A promise was broken.
    pub fn violated(&mut self, reason: impl Into<String>) {
        self.find(Finding::Expectation, reason);
    }

    /// Something essential could not be judged.
    pub fn unknown(&mut self, reason: impl Into<String>) {
        self.find(Finding::Unjudged, reason);
    }

    /// Adds a finding with its reason.
    pub fn find(&mut self, finding: Finding, reason: impl Into<String>) {
        self.verdict = self.verdict.max(finding.verdict());
        self.findings.push(finding);
        self.reasons.push(reason.into());
    }

    /// Takes over the load generator's verdict.
    pub fn include(&mut self, messages: &loadgen::verdict::Verdict) {
        for (finding, reason) in messages.findings.iter().zip(&messages.reasons) {
            self.find(Finding::Messages(*finding), reason.clone());
        }
    }

    /// The bound of the whole store: each producer alone may be within it and their sum beyond.
    pub fn check_total_loss(&mut self, store: StoreSetting, pair: &PairPlan, losses: &[Loss]) {
        let lost: u64 = losses.iter().map(|loss| loss.bytes).sum();
        if store == StoreSetting::Async && lost > pair.async_unflushed_bytes_max {
            let max = pair.async_unflushed_bytes_max;
            let words = format!("all producers together lost {lost} bytes, more than the {max} of async_unflushed_max");
            self.find(Finding::TotalLossBeyondBound, words);
        }
    }
}

/// The load generator's ruling in the words of this harness.
pub fn verdict(messages: &loadgen::verdict::Verdict) -> Verdict {
    of_ruling(messages.verdict)
}

fn of_ruling(ruling: Ruling) -> Verdict {
    match ruling {
        Ruling::Pass => Verdict::Pass,
        Ruling::Unknown => Verdict::Unknown,
        Ruling::Violated => Verdict::Violated,
    }
}

/// The counts that the result keeps.
pub fn messages(counts: &Counts) -> Messages {
    Messages {
        attempted: counts.attempted,
        confirmed: counts.confirmed,
        in_doubt: counts.in_doubt,
        delivered: counts.delivered,
        lost: counts.lost,
        duplicated: counts.duplicated,
        unexpected: counts.unexpected,
        recovered: counts.recovered,
        duplicated_by_resend: counts.duplicated_by_resend,
        redelivered_flagged: counts.redelivered_flagged,
        redelivered_unflagged: counts.redelivered_unflagged,
        resurrected: counts.resurrected,
        out_of_order: counts.out_of_order,
        confirmed_by_two: counts.confirmed_by_two,
    }
}

/// The losses that the result keeps.
pub fn losses(links: &[LinkLoss]) -> Vec<Loss> {
    let loss = |link: &LinkLoss| Loss {
        producer: link.producer,
        messages: link.lost,
        bytes: link.lost_bytes,
        span_us: link.span_ns / 1000,
        is_suffix: link.holes == 0,
    };
    links.iter().map(loss).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_finding_decides_and_all_reasons_stay() {
        let mut judgement = Judgement::default();
        assert_eq!(judgement.verdict, Verdict::Pass);
        judgement.unknown("not drained");
        judgement.violated("lost");
        judgement.unknown("late");
        assert_eq!(judgement.verdict, Verdict::Violated);
        assert_eq!(judgement.reasons, ["not drained", "lost", "late"]);
    }

    #[test]
    fn producers_within_their_bound_can_exceed_it_together() {
        let pair = PairPlan { async_unflushed_bytes_max: 1000, ..PairPlan::default() };
        let loss = |producer| Loss { producer, messages: 6, bytes: 600, span_us: 10, is_suffix: true };
        let check = |store, losses: &[Loss]| {
            let mut judgement = Judgement::default();
            judgement.check_total_loss(store, &pair, losses);
            judgement.verdict
        };
        assert_eq!(check(StoreSetting::Async, &[loss(0)]), Verdict::Pass);
        assert_eq!(check(StoreSetting::Async, &[loss(0), loss(1)]), Verdict::Violated);
        // Any loss of a sync store is a violation already, without a bound.
        assert_eq!(check(StoreSetting::Sync, &[loss(0), loss(1)]), Verdict::Pass);
    }

    #[test]
    fn the_words_name_the_figures_of_the_plan() {
        let pair = PairPlan::default();
        let words = async_bound_in_words(&pair);
        assert!(words.contains("4 MiB") && words.contains("140 ms"), "{words}");
        let StorePromise::Async(bound) = promise(StoreSetting::Async, &pair) else { panic!("it is async") };
        assert_eq!((bound.bytes, bound.span_ns), (Some(4 << 20), Some(140_000_000)));
        assert_eq!(promise(StoreSetting::Sync, &pair), StorePromise::Sync);
    }
}
