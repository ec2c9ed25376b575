//! Owns the step from a finished run to its verdict: what `verdict` says of the messages, and whether the generator was fit to measure.

use std::time::Duration;

use crate::clock::Nanos;
use crate::options::{Ack, DrainBy, Options};
use crate::run::Finished;
use crate::series::Series;
use crate::verdict::{AsyncBound, Counts, Finding, Rules, Ruling, StorePromise, Verdict, judge};

/// Below this a run is too short for its CPU time to say anything.
const SECONDS_MIN: f64 = 1.0;

/// By what a run is judged.
#[derive(Debug, Clone)]
pub struct Measure {
    /// What the queue's store promises.
    pub store: StorePromise,
    /// Whether only one server may confirm at a time.
    pub one_active: bool,
    /// The schedule lag above which the generator proves nothing (99th percentile, outside faults).
    pub lag_limit: Duration,
    /// The share of a core above which the generator's busiest thread counts as the bottleneck.
    pub cpu_limit: f64,
}

impl Default for Measure {
    fn default() -> Self {
        Self { store: StorePromise::Sync, one_active: false, lag_limit: Duration::from_millis(50), cpu_limit: 0.95 }
    }
}

impl Measure {
    /// A store of this kind, as far as a command line can name it.
    #[must_use]
    pub fn of_store(is_async: bool) -> StorePromise {
        if is_async { StorePromise::Async(AsyncBound::default()) } else { StorePromise::Sync }
    }

    /// Judges a finished run; `drained` says whether the queues were seen empty.
    #[must_use]
    pub fn judge(&self, options: &Options, finished: &Finished, drained: bool) -> Verdict {
        let mut verdict = if options.ledger {
            let rules = self.rules(options, finished, drained);
            let verdict = judge(&finished.ledger, &rules);
            let unproven = options.drain_by == DrainBy::Silence && verdict.counts.lost > 0;
            if unproven { judge(&finished.ledger, &Rules { drained: false, ..rules }) } else { verdict }
        } else {
            let mut verdict = unrecorded(options, finished);
            self.judge_lag(&finished.series, &mut verdict);
            verdict
        };
        self.judge_cpu(&finished.series, &mut verdict);
        verdict
    }

    fn rules(&self, options: &Options, finished: &Finished, drained: bool) -> Rules {
        Rules {
            store: self.store,
            consumed: options.consumers > 0,
            drained,
            acks_confirmed: options.ack == Ack::Confirmed,
            settled: options.settled,
            one_active: self.one_active,
            faults: finished.series.fault_windows(),
            generator_lag_p99_ns: finished.series.generator_lag_p99_ns(),
            generator_lag_limit_ns: self.lag_limit.as_nanos() as Nanos,
            depths: Vec::new(),
        }
    }

    fn judge_lag(&self, series: &Series, verdict: &mut Verdict) {
        let limit_ns = self.lag_limit.as_nanos() as Nanos;
        if let Some(lag_ns) = series.generator_lag_p99_ns().filter(|lag_ns| *lag_ns > limit_ns) {
            let (lag_ms, limit_ms) = (lag_ns / 1_000_000, limit_ns / 1_000_000);
            let words = format!("the generator was itself late: schedule lag p99 {lag_ms} ms, allowed {limit_ms} ms");
            verdict.add(Finding::GeneratorLate, words);
        }
    }

    fn judge_cpu(&self, series: &Series, verdict: &mut Verdict) {
        let busiest = series.generator_cpu().filter(|_| series.sending_seconds() >= SECONDS_MIN);
        if let Some(share) = busiest.filter(|share| *share > self.cpu_limit) {
            verdict.unknown(format!(
                "the generator was the bottleneck: its busiest thread used {:.0} % of a core, allowed {:.0} %; give it --threads or \
                 more processes, or take the rates for a lower bound",
                share * 100.0,
                self.cpu_limit * 100.0
            ));
        }
    }
}

/// Without a record only counters speak.
fn unrecorded(options: &Options, finished: &Finished) -> Verdict {
    let counters = finished.series.counters;
    let strangers =
        |read: fn(&crate::ledger::ConsumerLog) -> u64| finished.ledger.consumers.iter().map(read).sum::<u64>();
    let (alien, corrupt) = (strangers(|log| log.alien), strangers(|log| log.corrupt));
    let counts = Counts {
        attempted: counters.sent - counters.resent,
        attempts: counters.sent,
        confirmed: counters.confirmed,
        failed: counters.failed,
        in_doubt: counters.in_doubt,
        shed: counters.shed,
        delivered: counters.delivered,
        alien,
        corrupt,
        unexpected: alien + corrupt,
        ..Counts::default()
    };
    let mut verdict = Verdict {
        verdict: Ruling::Pass,
        counts,
        loss_judged: false,
        losses: Vec::new(),
        overlaps: Vec::new(),
        findings: Vec::new(),
        reasons: Vec::new(),
        not_judged: vec!["loss, duplicates and order: no message was written down (--no-ledger)".to_owned()],
    };
    if corrupt > 0 {
        verdict.add(Finding::Corrupt, format!("{corrupt} deliveries were damaged"));
    }
    if options.producers > 0 && counts.attempted == 0 {
        verdict.add(Finding::NothingSent, "nothing was sent".to_owned());
    } else if options.producers > 0 && !options.settled && counts.confirmed == 0 {
        verdict.add(Finding::NothingConfirmed, "nothing was confirmed".to_owned());
    }
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Ledger;
    use crate::series::Interval;

    fn finished(cpu: f64, seconds: u64) -> Finished {
        let mut series = Series { start_ns: 1, stop_ns: 1 + seconds * 1_000_000_000, ..Series::default() };
        series.counters.sent = 10;
        series.counters.confirmed = 10;
        let interval =
            Interval { begin_ns: 1, end_ns: series.stop_ns, generator_cpu: Some(cpu), ..Interval::default() };
        series.intervals.push(interval);
        Finished { ledger: Ledger::default(), series }
    }

    #[test]
    fn a_saturated_generator_proves_nothing() {
        let check = |cpu: f64, seconds: u64, expected: Ruling| {
            let options = Options { ledger: false, ..Options::default() };
            let verdict = Measure::default().judge(&options, &finished(cpu, seconds), true);
            assert_eq!(verdict.verdict, expected, "{cpu} {seconds}: {:?}", verdict.reasons);
        };
        check(0.5, 10, Ruling::Pass);
        check(0.99, 10, Ruling::Unknown);
        // Half a second at full speed is how every run begins.
        check(0.99, 0, Ruling::Pass);
    }

    #[test]
    fn what_is_missing_after_a_silence_is_not_proven_lost() {
        use crate::ledger::{ConsumerLog, Outcome, ProducerLog, Send};
        let send = Send {
            sequence: 0,
            intended_ns: 1,
            invoke_ns: 1,
            outcome_ns: 2,
            confirm_index: 0,
            connection: 0,
            attempt: 0,
            outcome: Outcome::Ok,
        };
        let mut found = finished(0.1, 10);
        found.ledger.producers.push(ProducerLog { sends: [send].into_iter().collect(), ..ProducerLog::default() });
        found.ledger.consumers.push(ConsumerLog::default());
        let judged = |drain_by| Measure::default().judge(&Options { drain_by, ..Options::default() }, &found, true);
        let (asked, silent) = (judged(DrainBy::Request), judged(DrainBy::Silence));
        assert_eq!((asked.verdict, asked.counts.lost), (Ruling::Violated, 1), "{asked:?}");
        assert_eq!((silent.verdict, silent.counts.undelivered), (Ruling::Unknown, 1), "{silent:?}");
    }

    #[test]
    fn a_late_generator_and_a_run_without_messages_prove_nothing() {
        let options = Options { ledger: false, ..Options::default() };
        let mut late = finished(0.1, 10);
        late.series.histograms.lag.record(60_000_000).expect("in range");
        assert_eq!(Measure::default().judge(&options, &late, true).verdict, Ruling::Unknown);
        let mut silent = finished(0.1, 10);
        silent.series.counters.confirmed = 0;
        assert_eq!(Measure::default().judge(&options, &silent, true).verdict, Ruling::Unknown);
        let settled = Options { settled: true, ..options };
        assert_eq!(Measure::default().judge(&settled, &silent, true).verdict, Ruling::Pass);
    }
}
