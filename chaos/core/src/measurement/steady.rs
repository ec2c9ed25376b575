//! Two brokers under the same steady load, in turn: confirm latency at a fixed rate, and the rate at which they confirm when nothing
//! holds the senders back. The broker under test is compared with the other one, which it should not be worse than.

use super::Broker;
use super::result::{Draft, Unit, spread_of};
use super::site::{Site, payload_bytes};
use crate::backlog::urls;
use crate::clock::{NS_PER_MS, NS_PER_S};
use crate::error::Result;
use crate::plan::LoadPlan;
use crate::result::Verdict;
use crate::scenario::size;
use loadgen::options::{Ack, Limit, Options};
use loadgen::run::Finished;
use loadgen::schedule::Rate;
use loadgen::series::{Interval, Percentiles};
use std::time::Duration;

/// Load before anything is measured: caches, allocations and the first segments.
const WARM_UP: Duration = Duration::from_secs(2);
/// Length of the load at a fixed rate, warm-up included: at 20,000 messages a second 200 lie above the 99.9th percentile.
const AT_RATE: Duration = Duration::from_secs(12);
/// Length of the load without a rate, warm-up included.
const AT_MOST: Duration = Duration::from_secs(7);
/// Limits for connections, the last answers and the drain.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
const DRAIN_LIMIT: Duration = Duration::from_secs(60);
const DRAIN_QUIET: Duration = Duration::from_millis(150);

const THROUGHPUT: &str = "confirmed at most";
const UNDER_TEST: &str = "A";
const BASE: &str = "B";

/// With fewer rounds the ranges of two samples of the same thing are often apart.
const ROUNDS_MIN: usize = 5;

/// A figure that is compared: its name, and how much worse it may be without being called so. The tail of a latency varies more than its
/// middle, so that small differences of it say nothing.
const COMPARED: [(&str, f64); 4] =
    [("confirm p50", 0.10), ("confirm p99", 0.20), ("confirm p99.9", 0.30), (THROUGHPUT, 0.05)];

pub(super) async fn run(site: &Site<'_>, draft: &mut Draft) -> Result<()> {
    let request = site.request;
    let others = request.against.iter().map(|broker| (BASE, broker));
    let brokers: Vec<(&str, &Broker)> = std::iter::once((UNDER_TEST, &request.broker)).chain(others).collect();
    for (name, broker) in &brokers {
        draft.set(name, broker.words.clone());
    }
    draft.set(
        "load",
        format!("{} messages/s of {}, then as many as are confirmed", request.rate_per_s, size(payload_bytes() as u64)),
    );
    draft.set("store", request.store.name());
    draft.set("standby", request.standby.map_or("none, the broker is alone", |standby| standby.name()));
    for round in 1..=request.rounds {
        for (name, broker) in &brokers {
            site.progress.begin(&format!("broker {name}"));
            measure(site, draft, name, broker).await?;
            let values = COMPARED.map(|(figure, _)| match draft.values(figure, name).last() {
                Some(value) => format!("{figure} {}", unit(figure).words(*value)),
                None => format!("{figure} -"),
            });
            site.progress.end_step(&format!("  {round}/{}  {name}  {}", request.rounds, values.join("  ")));
        }
    }
    conclude(draft);
    Ok(())
}

fn unit(figure: &str) -> Unit {
    if figure == THROUGHPUT { Unit::PerSecond } else { Unit::Ms }
}

async fn measure(site: &Site<'_>, draft: &mut Draft, name: &str, broker: &Broker) -> Result<()> {
    let pair = site.start(broker, Vec::new()).await?;
    let load = LoadPlan::default();
    let options = Options {
        urls: urls(&pair),
        addresses: vec![site.request.store.address().to_owned()],
        payload_bytes: payload_bytes(),
        producers: load.producers,
        consumers: load.consumers,
        window: load.window,
        credit: load.credit,
        ack: Ack::Confirmed,
        seed: site.request.seed,
        warmup: WARM_UP,
        ..Options::default()
    };
    site.progress.phase("at a fixed rate");
    let rate = Rate::Constant { messages: site.request.rate_per_s, seconds: 1 };
    let finished = load_for(site, draft, Options { rate, ..options.clone() }, AT_RATE).await?;
    if let Some(found) = Percentiles::of(&finished.series.histograms.response) {
        for (figure, value_ns) in [("p50", found.p50_ns), ("p99", found.p99_ns), ("p99.9", found.p999_ns)] {
            draft.record(&format!("confirm {figure}"), name, Unit::Ms, value_ns as f64 / NS_PER_MS as f64);
        }
    }
    site.progress.phase("as fast as it confirms");
    let finished = load_for(site, draft, Options { rate: Rate::Max, ..options }, AT_MOST).await?;
    let series = &finished.series;
    let from_ns = series.start_ns + WARM_UP.as_nanos() as u64;
    if let Some(per_s) = confirmed_per_s(&series.intervals, from_ns, series.stop_ns) {
        draft.record(THROUGHPUT, name, Unit::PerSecond, per_s);
    }
    Ok(())
}

/// One load from its connections to the judgement.
async fn load_for(site: &Site<'_>, draft: &mut Draft, options: Options, length: Duration) -> Result<Finished> {
    let handle = loadgen::run::start(Options { limit: Limit::Duration(length), ..options }, None)?;
    handle.started(CONNECT_LIMIT).await?;
    handle.sent_all(length + DRAIN_LIMIT).await;
    let answered = handle.stop_sending(DRAIN_LIMIT).await;
    let drained = handle.drain(DRAIN_QUIET, DRAIN_LIMIT).await;
    let finished = handle.finish().await?;
    site.judge_run(draft, &finished.ledger, answered && drained, finished.series.generator_lag_p99_ns());
    Ok(finished)
}

/// Over the intervals that lie within; `None` if there are none.
fn confirmed_per_s(intervals: &[Interval], from_ns: u64, to_ns: u64) -> Option<f64> {
    let within = intervals.iter().filter(|one| one.begin_ns >= from_ns && one.end_ns <= to_ns);
    let (confirmed, length_ns) = within.fold((0, 0), |(confirmed, length_ns), one| {
        (confirmed + one.counters.confirmed, length_ns + one.end_ns - one.begin_ns)
    });
    (length_ns > 0).then(|| confirmed as f64 * NS_PER_S as f64 / length_ns as f64)
}

/// Worse is what is worse by more than its tolerance and by more than chance: each median lies outside of the other's range.
fn conclude(draft: &mut Draft) {
    for (figure, tolerance) in COMPARED {
        let of = |subject| (spread_of(draft.values(figure, subject)), draft.values(figure, subject).len());
        let ((under_test, n), (base, _)) = (of(UNDER_TEST), of(BASE));
        let (Some(a), Some(b)) = (under_test.median, base.median) else { continue };
        let larger_is_worse = unit(figure) == Unit::Ms;
        let change = if b > 0.0 { a / b - 1.0 } else { 0.0 };
        let worse_by = if larger_is_worse { change } else { -change };
        let outside = |value: f64, (low, high): (Option<f64>, Option<f64>)| {
            low.is_some_and(|low| value < low) || high.is_some_and(|high| value > high)
        };
        let is_apart = outside(a, (base.min, base.max)) && outside(b, (under_test.min, under_test.max));
        let words = |value: f64| unit(figure).words(value);
        let judgement = match (worse_by > tolerance, is_apart) {
            (true, true) => "worse",
            (true, false) => "not told from chance",
            (false, _) => "no regression",
        };
        let (change, tolerance) = (change * 100.0, tolerance * 100.0);
        let medians =
            format!("{figure}: {UNDER_TEST} {}, {BASE} {} (medians of {n}), {change:+.1} %", words(a), words(b));
        if n < ROUNDS_MIN {
            draft.find(format!("{medians}: too few rounds to judge, {ROUNDS_MIN} are needed"));
        } else {
            draft.demand(format!("{medians}: {judgement} (tolerance {tolerance:.0} %)"), judgement != "worse");
        }
    }
    if !draft.has_demands() {
        draft
            .lower(Verdict::Unknown, "nothing could be judged: too few rounds, or too little measured of both brokers");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use loadgen::meter::Counters;

    fn compared(figure: &str, under_test: [f64; 5], base: [f64; 5]) -> bool {
        let mut draft = Draft::default();
        for (subject, values) in [(UNDER_TEST, under_test), (BASE, base)] {
            values.into_iter().for_each(|value| draft.record(figure, subject, unit(figure), value));
        }
        conclude(&mut draft);
        draft.met() == [Some(true)]
    }

    #[test]
    fn a_regression_is_large_and_no_chance() {
        assert!(!compared("confirm p50", [1.2, 1.25, 1.3, 1.2, 1.3], [1.0, 1.0, 1.05, 1.0, 1.0]));
        // Within the tolerance.
        assert!(compared("confirm p50", [1.06, 1.07, 1.08, 1.07, 1.07], [1.0, 1.0, 1.05, 1.0, 1.0]));
        // Large, but the ranges contain each other's medians.
        assert!(compared("confirm p99", [1.0, 3.0, 4.0, 3.0, 3.0], [0.9, 2.0, 4.0, 2.0, 2.0]));
        // Better is never worse.
        assert!(compared("confirm p99", [0.1; 5], [1.0; 5]));
        assert!(!compared(THROUGHPUT, [90e3, 91e3, 92e3, 91e3, 91e3], [100e3, 101e3, 102e3, 101e3, 101e3]));
        assert!(compared(THROUGHPUT, [110e3; 5], [100e3, 101e3, 102e3, 101e3, 101e3]));
    }

    #[test]
    fn nothing_to_compare_is_no_pass() {
        let mut draft = Draft::default();
        conclude(&mut draft);
        assert!(!draft.has_demands());
        for subject in [UNDER_TEST, BASE] {
            (0..ROUNDS_MIN - 1).for_each(|_| draft.record("confirm p50", subject, Unit::Ms, 1.0));
        }
        conclude(&mut draft);
        assert_eq!(draft.met(), [None]);
    }

    #[test]
    fn the_rate_is_that_of_whole_intervals_within() {
        let interval = |begin_ms: u64, confirmed| Interval {
            begin_ns: begin_ms * NS_PER_MS,
            end_ns: (begin_ms + 100) * NS_PER_MS,
            offered: 0,
            counters: Counters { confirmed, ..Counters::default() },
            backlog: 0,
            in_flight: 0,
            producers_connected: 1,
            consumers_connected: 1,
            response: None,
            service: None,
            delivery: None,
            ..Interval::default()
        };
        let intervals = [interval(0, 1), interval(100, 500), interval(200, 700), interval(300, 9)];
        assert_eq!(confirmed_per_s(&intervals, 100 * NS_PER_MS, 350 * NS_PER_MS), Some(6000.0));
        assert_eq!(confirmed_per_s(&intervals, 0, 50 * NS_PER_MS), None);
    }
}
