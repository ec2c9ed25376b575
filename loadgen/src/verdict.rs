//! Owns the judgement of a run: one definition of lost, duplicated, unexpected and out of order, for load runs and chaos.
//! It uses only std, reads only the ledger, and believes nothing that the broker says about itself.
//!
//! Over multisets A (attempted), E (confirmed) and D (delivered after a complete drain), in Jepsen's total-queue vocabulary:
//!
//! * lost = E - D;
//! * unexpected = deliveries whose message was never attempted, or whose attempt was provably refused, or that are damaged;
//! * duplicated = further deliveries of a message, split by cause;
//! * recovered = messages in doubt that were delivered.
//!
//! Unknown is a verdict of its own: what was not drained cannot be called lost, and a generator that was itself late proves nothing.

mod actives;
mod depth;
mod fates;
mod finding;
mod loss;
mod order;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

use std::fmt;

use crate::ledger::Ledger;
pub use actives::Overlap;
pub use depth::DepthSeen;
use fates::Fates;
pub use finding::Finding;
pub use loss::LinkLoss;

/// Pass, violated or unknown; the worst property decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ruling {
    /// Every property that could be judged holds, and all could be.
    Pass,
    /// Something essential could not be judged.
    Unknown,
    /// A property does not hold.
    Violated,
}

impl Ruling {
    /// The process exit code that stands for it.
    #[must_use]
    pub fn exit_code(self) -> i32 {
        match self {
            Self::Pass => 0,
            Self::Violated => 1,
            Self::Unknown => 2,
        }
    }
}

impl fmt::Display for Ruling {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Pass => "pass",
            Self::Unknown => "unknown",
            Self::Violated => "violated",
        })
    }
}

/// How much an async store may lose of what one producer link was confirmed, per lost connection. `None` sets no bound.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AsyncBound {
    /// Messages.
    pub messages: Option<u64>,
    /// Bytes of payload.
    pub bytes: Option<u64>,
    /// Nanoseconds from the first lost confirm to the last confirm of the link.
    pub span_ns: Option<u64>,
}

/// What the store under test promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StorePromise {
    /// What is confirmed is never lost, and a confirmed acknowledgement never forgotten.
    Sync,
    /// A fault may take the newest confirms of each link, as a suffix within the bound, and the newest acknowledgements.
    Async(AsyncBound),
}

/// A time from `begin_ns` to `end_ns` (CLOCK_MONOTONIC nanoseconds, inclusive).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// First nanosecond.
    pub begin_ns: u64,
    /// Last nanosecond.
    pub end_ns: u64,
}

impl Window {
    /// Whether `time_ns` lies within.
    #[must_use]
    pub fn contains(&self, time_ns: u64) -> bool {
        (self.begin_ns..=self.end_ns).contains(&time_ns)
    }
}

/// What to judge by.
#[derive(Debug, Clone)]
pub struct Rules {
    /// What the store promises.
    pub store: StorePromise,
    /// Whether anybody consumed; otherwise loss is not judged, and that alone does not make the verdict unknown.
    pub consumed: bool,
    /// Whether the drain was complete; otherwise nothing can be called lost.
    pub drained: bool,
    /// Whether acknowledgements were confirmed by the broker, so that resurrections can be judged.
    pub acks_confirmed: bool,
    /// Whether sends were settled by the producer, so that none was to be confirmed.
    pub settled: bool,
    /// Whether only one of the servers may confirm at any time (an active/standby pair).
    pub one_active: bool,
    /// When faults were at work. Empty means unknown: any lost connection then excuses an async store.
    pub faults: Vec<Window>,
    /// The generator's own lag, 99th percentile outside fault windows, in nanoseconds; `None` in a closed loop.
    pub generator_lag_p99_ns: Option<u64>,
    /// The lag above which the generator proves nothing.
    pub generator_lag_limit_ns: u64,
    /// What the broker said that its queues hold, after sending had stopped.
    pub depths: Vec<DepthSeen>,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            store: StorePromise::Sync,
            consumed: true,
            drained: true,
            acks_confirmed: false,
            settled: false,
            one_active: false,
            faults: Vec::new(),
            generator_lag_p99_ns: None,
            generator_lag_limit_ns: 50_000_000,
            depths: Vec::new(),
        }
    }
}

/// Totals over all producers and queues, in messages unless said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages attempted at least once.
    pub attempted: u64,
    /// Attempts, re-sends included.
    pub attempts: u64,
    /// Messages confirmed.
    pub confirmed: u64,
    /// Messages whose every attempt was provably refused.
    pub failed: u64,
    /// Messages neither confirmed nor refused.
    pub in_doubt: u64,
    /// Messages that were due and not attempted, by the backlog policy `shed`.
    pub shed: u64,
    /// Deliveries, all of them.
    pub delivered: u64,
    /// Distinct messages delivered.
    pub delivered_distinct: u64,
    /// Confirmed and not delivered, after a complete drain.
    pub lost: u64,
    /// Confirmed and not delivered, when the drain was not complete.
    pub undelivered: u64,
    /// In doubt and delivered.
    pub recovered: u64,
    /// Deliveries that no attempt explains: the sum of the four that follow.
    pub unexpected: u64,
    /// ... of another run, or of no load generator.
    pub alien: u64,
    /// ... with damaged payload.
    pub corrupt: u64,
    /// ... with an identity that was never attempted.
    pub never_attempted: u64,
    /// ... of an attempt that was provably refused.
    pub ghosts: u64,
    /// Further deliveries of a message: the sum of the four that follow.
    pub duplicated: u64,
    /// ... because the client sent it again.
    pub duplicated_by_resend: u64,
    /// ... marked as redelivered.
    pub redelivered_flagged: u64,
    /// ... not marked, though the broker had delivered it before.
    pub redelivered_unflagged: u64,
    /// ... although the broker had confirmed the acknowledgement of an earlier delivery.
    pub resurrected: u64,
    /// First deliveries that arrived behind a later message of their producer.
    pub out_of_order: u64,
    /// Connections on which a server confirmed while another one did (two actives at once).
    pub confirmed_by_two: u64,
}

/// The judgement.
#[derive(Debug, Clone)]
pub struct Verdict {
    /// The worst of all properties.
    pub verdict: Ruling,
    /// The totals that it rests on.
    pub counts: Counts,
    /// Whether loss was judged: somebody consumed, and the queues were seen empty.
    pub loss_judged: bool,
    /// What lost something, link by link.
    pub losses: Vec<LinkLoss>,
    /// Where two servers confirmed in overlapping time.
    pub overlaps: Vec<Overlap>,
    /// What was found, a kind for each of `reasons`.
    pub findings: Vec<Finding>,
    /// Why it is not a pass, one sentence each; empty for a pass.
    pub reasons: Vec<String>,
    /// What was not judged and why, one sentence each; this alone does not make it unknown.
    pub not_judged: Vec<String>,
}

impl Verdict {
    /// Adds a demand of the caller that does not hold.
    pub fn violated(&mut self, reason: String) {
        self.add(Finding::Demand, reason);
    }

    /// Adds something essential that the caller could not judge.
    pub fn unknown(&mut self, reason: String) {
        self.add(Finding::Unjudged, reason);
    }

    /// Adds a finding, and says in a sentence what was seen.
    pub fn add(&mut self, finding: Finding, reason: String) {
        self.verdict = self.verdict.max(finding.ruling());
        self.findings.push(finding);
        self.reasons.push(reason);
    }
}

/// Judges a run.
#[must_use]
pub fn judge(ledger: &Ledger, rules: &Rules) -> Verdict {
    let fates = Fates::read(ledger, rules.acks_confirmed);
    let mut verdict = Verdict {
        verdict: Ruling::Pass,
        counts: fates.counts(rules.consumed && rules.drained),
        loss_judged: rules.consumed && rules.drained,
        losses: Vec::new(),
        overlaps: Vec::new(),
        findings: Vec::new(),
        reasons: Vec::new(),
        not_judged: Vec::new(),
    };
    judge_deliveries(&mut verdict, ledger, rules);
    judge_loss(&mut verdict, ledger, &fates, rules);
    judge_order(&mut verdict, ledger, &fates);
    judge_single_active(&mut verdict, ledger, rules);
    judge_depths(&mut verdict, ledger, rules);
    judge_validity(&mut verdict, ledger, rules);
    verdict
}

fn judge_deliveries(verdict: &mut Verdict, ledger: &Ledger, rules: &Rules) {
    let counts = verdict.counts;
    if ledger.producers.is_empty() && counts.corrupt == 0 {
        verdict.not_judged.push("where messages come from: nobody in this run sent any".to_owned());
    } else {
        for (finding, count, words) in [
            (Finding::Alien, counts.alien, "of other runs or programs"),
            (Finding::Corrupt, counts.corrupt, "with a damaged payload"),
            (Finding::NeverAttempted, counts.never_attempted, "of messages that were never sent"),
            (Finding::Ghost, counts.ghosts, "of sends that were refused"),
        ] {
            if count > 0 {
                verdict.add(finding, format!("{count} unexpected deliveries {words}"));
            }
        }
    }
    if counts.redelivered_unflagged > 0 {
        let words = format!("{} redeliveries were not marked as such", counts.redelivered_unflagged);
        verdict.add(Finding::UnflaggedRedelivery, words);
    }
    judge_resurrections(verdict, rules);
}

fn judge_resurrections(verdict: &mut Verdict, rules: &Rules) {
    let counts = verdict.counts;
    if counts.resurrected > 0 {
        let sentence = format!("{} messages came back after their acknowledgement was confirmed", counts.resurrected);
        match rules.store {
            StorePromise::Sync => verdict.add(Finding::Resurrected, sentence),
            StorePromise::Async(_) => {
                verdict.not_judged.push(format!("{sentence}; an async store may forget the newest"))
            }
        }
    }
    if !rules.acks_confirmed && rules.consumed {
        verdict.not_judged.push("resurrection: acknowledgements were not confirmed (use --ack confirmed)".to_owned());
    }
}

fn judge_loss(verdict: &mut Verdict, ledger: &Ledger, fates: &Fates, rules: &Rules) {
    if !rules.consumed {
        verdict.not_judged.push("loss, order and duplicates: nobody consumed".to_owned());
        return;
    }
    if rules.settled {
        verdict.loss_judged = false;
        verdict.not_judged.push("loss: settled sends are promised nothing".to_owned());
        return;
    }
    if !rules.drained {
        let undelivered = verdict.counts.undelivered;
        verdict.not_judged.push(format!("loss: {undelivered} confirmed messages were not read before the end"));
        return;
    }
    verdict.losses = loss::by_link(ledger, fates, rules);
    let lost = verdict.counts.lost;
    match rules.store {
        StorePromise::Sync if lost > 0 => verdict.add(Finding::Lost, format!("{lost} confirmed messages were lost")),
        StorePromise::Sync => {}
        StorePromise::Async(bound) => {
            for (finding, reason) in loss::violations(&verdict.losses, &bound) {
                verdict.add(finding, reason);
            }
        }
    }
}

fn judge_order(verdict: &mut Verdict, ledger: &Ledger, fates: &Fates) {
    let order = order::judge(ledger, fates);
    verdict.counts.out_of_order = order.out_of_order;
    if order.out_of_order > 0 {
        let words = format!("{} messages arrived behind later ones of the same producer", order.out_of_order);
        verdict.add(Finding::OutOfOrder, words);
    }
    if order.queues_shared > 0 {
        let shared = order.queues_shared;
        verdict.not_judged.push(format!(
            "order between consumers: {shared} queues had several, whose arrivals have no one order; judged was each connection of each of them"
        ));
    }
}

fn judge_single_active(verdict: &mut Verdict, ledger: &Ledger, rules: &Rules) {
    if !rules.one_active {
        return;
    }
    verdict.overlaps = actives::overlaps(ledger);
    verdict.counts.confirmed_by_two = verdict.overlaps.len() as u64;
    if let Some(longest) = verdict.overlaps.iter().max_by_key(|overlap| overlap.overlap_ns()).cloned() {
        let connections = verdict.overlaps.len();
        verdict.add(
            Finding::TwoActives,
            format!(
                "two actives: on {connections} connections a server confirmed sends that were made after another one had already confirmed; {longest}"
            ),
        );
    }
}

fn judge_depths(verdict: &mut Verdict, ledger: &Ledger, rules: &Rules) {
    if !rules.drained {
        return;
    }
    for seen in &rules.depths {
        if let Some((finding, words)) = depth::judge(ledger, seen, &verdict.counts) {
            verdict.add(finding, words);
        }
    }
}

fn judge_validity(verdict: &mut Verdict, ledger: &Ledger, rules: &Rules) {
    if rules.consumed && !rules.drained {
        verdict.add(Finding::NotDrained, "the queues were not drained, so loss could not be judged".to_owned());
    }
    if verdict.counts.attempted > 0 && verdict.counts.confirmed == 0 && !rules.settled {
        verdict.add(Finding::NothingConfirmed, "nothing was confirmed, so there was nothing to lose".to_owned());
    }
    if verdict.counts.attempted == 0 && !ledger.producers.is_empty() {
        verdict.add(Finding::NothingSent, "nothing was sent".to_owned());
    }
    if let Some(lag_ns) = rules.generator_lag_p99_ns.filter(|lag_ns| *lag_ns > rules.generator_lag_limit_ns) {
        let words = format!(
            "the generator was itself late: schedule lag p99 {} ms, allowed {} ms",
            lag_ns / 1_000_000,
            rules.generator_lag_limit_ns / 1_000_000
        );
        verdict.add(Finding::GeneratorLate, words);
    }
}
