//! The clients against a broker of their own: connecting, failing over, confirming, re-sending, and what the verdict then says.

use std::time::Duration;

use crate::support::{Broker, Orders, options};
use loadgen::clock::{MILLISECOND_NS, SECOND_NS};
use loadgen::ledger::{Ledger, Outcome};
use loadgen::options::{Backlog, Consume, Limit, Options, Resend};
use loadgen::run::{Finished, Handle, RunError, start};
use loadgen::schedule::Rate;
use loadgen::timeline;
use loadgen::verdict::{Rules, Ruling, Verdict, judge};

const LIMIT: Duration = Duration::from_secs(20);
const QUIET: Duration = Duration::from_millis(100);

/// Sends, settles, drains and judges; `meanwhile` happens once the schedule has begun.
async fn conduct(options: Options, meanwhile: impl AsyncFnOnce(&Handle)) -> (Finished, Verdict) {
    let handle = start(options.clone(), None).expect("a valid request");
    handle.started(LIMIT).await.expect("an active server");
    meanwhile(&handle).await;
    assert!(handle.sent_all(LIMIT).await, "{:?}", handle.snapshot());
    let drained = handle.drain(QUIET, LIMIT).await;
    let finished = handle.finish().await.expect("an orderly end");
    let rules = Rules { drained, acks_confirmed: true, one_active: true, ..Rules::default() };
    let verdict = judge(&finished.ledger, &rules);
    (finished, verdict)
}

async fn nothing(_: &Handle) {}

fn passes(verdict: &Verdict) {
    assert_eq!(verdict.verdict, Ruling::Pass, "{verdict:?}");
}

fn violates(verdict: &Verdict, word: &str) {
    assert_eq!(verdict.verdict, Ruling::Violated, "{verdict:?}");
    assert!(verdict.reasons.iter().any(|reason| reason.contains(word)), "no `{word}` in {:?}", verdict.reasons);
}

fn attempts(ledger: &Ledger, outcome: Outcome) -> usize {
    ledger.producers.iter().flat_map(|log| log.sends.iter()).filter(|send| send.outcome == outcome).count()
}

#[tokio::test]
async fn a_quiet_run_confirms_and_delivers_everything_once() {
    let broker = Broker::start(Orders::default(), 0);
    let (finished, verdict) = conduct(options(&broker), nothing).await;
    passes(&verdict);
    let counts = verdict.counts;
    assert_eq!((counts.attempted, counts.confirmed, counts.delivered, counts.duplicated), (2_000, 2_000, 2_000, 0));
    let acknowledged = |ledger: &Ledger| {
        let deliveries = ledger.consumers.iter().flat_map(|log| log.deliveries.iter());
        deliveries.filter(|delivery| delivery.acknowledged_ns >= delivery.arrival_ns).count()
    };
    assert_eq!(acknowledged(&finished.ledger), 2_000);
    assert_eq!(broker.shared.state().acknowledged, 2_000);
    let histograms = &finished.series.histograms;
    assert_eq!((histograms.response.len(), histograms.delivery.len()), (2_000, 2_000));
    assert_eq!(finished.series.counters.sent, 2_000);
    let offered: u64 = finished.series.intervals.iter().map(|interval| interval.offered).sum();
    assert_eq!(offered, 2_000);
}

#[tokio::test]
async fn messages_of_every_size_pass() {
    for payload_bytes in [16, 300, 5_000, 300_000] {
        let broker = Broker::start(Orders::default(), 0);
        let options = Options { payload_bytes, limit: Limit::Count(40), rate: Rate::Max, ..options(&broker) };
        let (_, verdict) = conduct(options, nothing).await;
        passes(&verdict);
        assert_eq!(verdict.counts.delivered_distinct, 40);
        assert!(broker.shared.state().largest_message > payload_bytes);
    }
}

#[tokio::test]
async fn a_standby_named_first_sends_its_clients_on() {
    let broker = Broker::start(Orders::default(), 1);
    let (finished, verdict) = conduct(Options { limit: Limit::Count(100), ..options(&broker) }, nothing).await;
    passes(&verdict);
    let active = broker.urls()[1].to_string();
    assert!(
        finished.ledger.producers.iter().all(|log| log.connections.len() == 1 && log.connections[0].server == active)
    );
    assert_eq!(broker.shared.state().refused_as_standby, 3);
}

#[tokio::test]
async fn a_failover_costs_time_and_no_message() {
    let broker = Broker::start(Orders::default(), 0);
    let outage = Duration::from_millis(300);
    let mut fault_ns = 0;
    let (finished, verdict) = conduct(options(&broker), async |handle| {
        tokio::time::sleep(Duration::from_millis(150)).await;
        fault_ns = handle.mark("kill");
        handle.fault_begin("kill", fault_ns);
        broker.kill(0);
        tokio::time::sleep(outage).await;
        broker.activate(1);
        tokio::time::sleep(Duration::from_millis(100)).await;
        handle.fault_end(loadgen::clock::now_ns());
    })
    .await;
    passes(&verdict);
    assert_eq!(verdict.counts.confirmed, 2_000, "the schedule was not shortened");
    // Every message was due in half a second; those of the outage waited for it, and their latency says so.
    let outage_ns = outage.as_nanos() as u64;
    assert!(finished.series.histograms.response.max() >= outage_ns);
    let gaps = timeline::gaps(&finished.ledger, 0, u64::MAX);
    let gap = gaps.confirm.expect("confirms");
    assert!(gap.end_ns - gap.begin_ns >= outage_ns && gap.end_ns - gap.begin_ns < outage_ns * 4, "{gap:?}");
    assert!(gap.end_ns >= fault_ns + outage_ns);
    assert!(finished.ledger.producers.iter().all(|log| log.connections.len() == 2 && log.connections[0].is_lost()));
    assert_eq!(finished.series.counters.disconnected, 3);
    assert!(finished.series.generator_lag_p99_ns().is_some());
}

#[tokio::test]
async fn sends_cut_off_before_their_confirmation_are_sent_again_with_the_same_identity() {
    let broker = Broker::start(Orders { cut_at: Some(500), ..Orders::default() }, 0);
    let (finished, verdict) = conduct(options(&broker), nothing).await;
    passes(&verdict);
    let counts = verdict.counts;
    assert!(attempts(&finished.ledger, Outcome::Info) > 0);
    assert!(counts.attempts > counts.attempted && counts.duplicated_by_resend > 0, "{counts:?}");
    assert_eq!(counts.attempted, 2_000);
    assert_eq!(counts.duplicated, counts.duplicated_by_resend + counts.redelivered_flagged);
}

#[tokio::test]
async fn without_resend_they_stay_in_doubt() {
    let broker = Broker::start(Orders { cut_at: Some(500), ..Orders::default() }, 0);
    let options = Options { resend: Resend::Never, ..options(&broker) };
    let (_, verdict) = conduct(options, nothing).await;
    passes(&verdict);
    let counts = verdict.counts;
    assert_eq!(counts.attempts, counts.attempted);
    assert!(counts.in_doubt > 0 && counts.recovered > 0 && counts.recovered <= counts.in_doubt, "{counts:?}");
    assert_eq!(counts.confirmed + counts.in_doubt, 2_000);
}

#[tokio::test]
async fn bugs_of_the_broker_are_named() {
    let check = async |orders: Orders, word: &str| {
        let broker = Broker::start(orders, 0);
        let (_, verdict) =
            conduct(Options { producers: 1, limit: Limit::Count(400), ..options(&broker) }, nothing).await;
        violates(&verdict, word);
        verdict.counts
    };
    assert_eq!(check(Orders { drop_confirmed: Some(100), ..Orders::default() }, "lost").await.lost, 1);
    assert_eq!(check(Orders { swap: Some(100), ..Orders::default() }, "behind").await.out_of_order, 1);
    let counts = check(Orders { duplicate: Some(100), ..Orders::default() }, "not marked").await;
    assert_eq!(counts.redelivered_unflagged, 1);
    assert_eq!(check(Orders { resurrect: Some(100), ..Orders::default() }, "came back").await.resurrected, 1);
    let counts = check(Orders { corrupt: Some(100), ..Orders::default() }, "unexpected").await;
    assert_eq!((counts.corrupt, counts.lost), (1, 1));
}

#[tokio::test]
async fn a_refused_message_is_no_loss() {
    let broker = Broker::start(Orders { reject: Some(100), ..Orders::default() }, 0);
    let (_, verdict) = conduct(options(&broker), nothing).await;
    passes(&verdict);
    assert_eq!((verdict.counts.failed, verdict.counts.confirmed), (1, 1_999));
}

#[tokio::test]
async fn the_window_bounds_what_is_in_flight() {
    let broker = Broker::start(Orders { confirm_delay: Duration::from_millis(20), ..Orders::default() }, 0);
    let options = Options {
        producers: 1,
        window: 10,
        rate: Rate::Max,
        limit: Limit::Duration(Duration::from_millis(500)),
        ..options(&broker)
    };
    let (finished, verdict) = conduct(options, nothing).await;
    passes(&verdict);
    // Ten in flight and 20 ms each: at most 500 a second.
    assert!((20..=300).contains(&verdict.counts.confirmed), "{:?}", verdict.counts);
    assert!(finished.series.intervals.iter().all(|interval| interval.in_flight <= 10));
    assert!(finished.series.histograms.service.min() >= 19 * MILLISECOND_NS);
}

#[tokio::test]
async fn a_paced_backlog_is_worked_off_no_faster_than_asked() {
    let broker = Broker::start(Orders::default(), 0);
    let options = Options {
        backlog: Backlog::Paced,
        paced_factor: 1.5,
        rate: "2000".parse().expect("a rate"),
        limit: Limit::Count(2_000),
        ..options(&broker)
    };
    let (finished, verdict) = conduct(options, async |_: &Handle| {
        tokio::time::sleep(Duration::from_millis(200)).await;
        broker.kill(0);
        tokio::time::sleep(Duration::from_millis(400)).await;
        broker.activate(1);
    })
    .await;
    passes(&verdict);
    assert_eq!(verdict.counts.confirmed, 2_000);
    // No half second holds more first attempts than the paced rate allows, give or take a turn.
    let log = &finished.ledger.producers[0];
    let mut times: Vec<u64> = log.sends.iter().filter(|send| send.attempt == 0).map(|send| send.invoke_ns).collect();
    times.sort_unstable();
    let allowed = (1_000.0 * 1.5 * 0.2 * 1.25) as usize;
    let busiest = times
        .iter()
        .enumerate()
        .map(|(index, begin)| times[index..].iter().take_while(|at| **at < begin + SECOND_NS / 5).count());
    assert!(busiest.max().is_some_and(|most| most <= allowed));
}

#[tokio::test]
async fn a_shed_backlog_is_counted_and_not_sent() {
    let broker = Broker::start(Orders::default(), 0);
    let options = Options {
        backlog: Backlog::Shed,
        shed_after: Duration::from_millis(50),
        limit: Limit::Duration(Duration::from_secs(1)),
        rate: "2000".parse().expect("a rate"),
        ..options(&broker)
    };
    let (_, verdict) = conduct(options, async |_: &Handle| {
        tokio::time::sleep(Duration::from_millis(200)).await;
        broker.kill(0);
        tokio::time::sleep(Duration::from_millis(400)).await;
        broker.activate(1);
    })
    .await;
    passes(&verdict);
    let counts = verdict.counts;
    assert!((400..=1_400).contains(&counts.shed), "{counts:?}");
    assert_eq!(counts.attempted + counts.shed, 2_000);
}

#[tokio::test]
async fn refusals_for_good_end_the_run_at_once() {
    let login = Some(("me".to_owned(), "secret".to_owned()));
    let broker = Broker::start(Orders { login: login.clone(), ..Orders::default() }, 0);
    let handle = start(options(&broker), None).expect("a valid request");
    let error = handle.started(LIMIT).await.expect_err("no login was given");
    assert!(matches!(&error, RunError::Refused { reason, .. } if reason.contains("SASL")), "{error}");
    handle.finish().await.expect("an orderly end");

    let with_login = Options {
        user: login.as_ref().map(|(user, _)| user.clone()),
        password: "secret".to_owned(),
        limit: Limit::Count(10),
        ..options(&broker)
    };
    passes(&conduct(with_login, nothing).await.1);

    let broker = Broker::start(Orders { unknown_address: Some("q".to_owned()), ..Orders::default() }, 0);
    let handle = start(options(&broker), None).expect("a valid request");
    let error = handle.started(LIMIT).await.expect_err("the queue is unknown");
    assert!(matches!(&error, RunError::Refused { reason, .. } if reason.contains("not-found")), "{error}");
}

#[tokio::test]
async fn nobody_listening_is_reported_with_the_last_answer() {
    let broker = Broker::start(Orders::default(), 0);
    let urls = broker.urls();
    let options = options(&broker);
    drop(broker);
    let handle = start(options, None).expect("a valid request");
    let error = handle.started(Duration::from_millis(300)).await.expect_err("nobody listens");
    assert!(matches!(&error, RunError::Unreachable { missing: 3, clients: 3, .. }), "{error}");
    assert!(error.to_string().contains(&urls[0].to_string()) || error.to_string().contains(&urls[1].to_string()));
    handle.finish().await.expect("an orderly end");
}

#[tokio::test]
async fn a_queue_that_is_not_emptied_is_not_called_drained() {
    let broker = Broker::start(Orders::default(), 0);
    let consumers_only_later = Options { consumers: 0, limit: Limit::Count(100), ..options(&broker) };
    let handle = start(consumers_only_later, None).expect("a valid request");
    handle.started(LIMIT).await.expect("an active server");
    assert!(handle.sent_all(LIMIT).await);
    assert!(!handle.drain(QUIET, Duration::from_millis(500)).await);
    let finished = handle.finish().await.expect("an orderly end");
    let verdict = judge(&finished.ledger, &Rules { drained: false, ..Rules::default() });
    assert_eq!((verdict.verdict, verdict.counts.lost, verdict.counts.undelivered), (Ruling::Unknown, 0, 100));
    // Another run empties the queue, and does not take the messages for its own.
    let only_drain = Options { producers: 0, ..options(&broker) };
    let (finished, verdict) = conduct(only_drain, nothing).await;
    passes(&verdict);
    assert_eq!(finished.ledger.consumers[0].alien, 100);
    assert!(broker.shared.state().queue.is_empty());
}

#[tokio::test]
async fn consumers_can_wait_until_sending_has_stopped() {
    let broker = Broker::start(Orders::default(), 0);
    let options = Options { consume: Consume::AfterSending, limit: Limit::None, ..options(&broker) };
    let handle = start(options, None).expect("a valid request");
    handle.started(LIMIT).await.expect("an active server");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(handle.ledger().consumers[0].deliveries.len(), 0);
    assert!(broker.shared.state().queue.len() > 100);
    assert!(handle.stop_sending(LIMIT).await);
    assert!(handle.drain(QUIET, LIMIT).await);
    let finished = handle.finish().await.expect("an orderly end");
    let verdict = judge(&finished.ledger, &Rules { acks_confirmed: true, ..Rules::default() });
    passes(&verdict);
    assert!(verdict.counts.delivered_distinct > 100 && broker.shared.state().queue.is_empty());
}

#[tokio::test]
async fn several_threads_share_the_clients() {
    let broker = Broker::start(Orders::default(), 0);
    let options = Options { threads: 2, producers: 4, consumers: 2, ..options(&broker) };
    let (finished, verdict) = conduct(options, nothing).await;
    passes(&verdict);
    assert_eq!(verdict.counts.delivered_distinct, 2_000);
    assert_eq!(finished.ledger.producers.len(), 4);
}

#[tokio::test]
async fn an_administrator_gets_the_reply_to_a_request() {
    let broker = Broker::start(Orders::default(), 0);
    let body = serde_json::json!({"command": "set server", "args": {"debug_sync_delay": "1ms"}});
    let reply = loadgen::admin::request(&broker.urls()[0], "admin", "", &body, LIMIT).await.expect("a reply");
    assert_eq!((&reply["ok"], &reply["request"]), (&true.into(), &body));
    let error = loadgen::admin::request(&broker.urls()[1], "admin", "", &body, LIMIT).await.expect_err("a standby");
    assert!(error.to_string().contains("standby"), "{error}");
}

#[tokio::test]
async fn a_backlog_is_built_before_anybody_consumes_and_has_no_latency() {
    let broker = Broker::start(Orders::default(), 0);
    let options = Options { build_backlog: 501, limit: Limit::Count(100), ..options(&broker) };
    let handle = start(options.clone(), None).expect("a valid request");
    handle.connected(LIMIT).await.expect("an active server");
    assert!(handle.filled(LIMIT).await);
    assert_eq!(broker.shared.state().queue.len(), 501);
    assert_eq!(handle.ledger().consumers[0].deliveries.len(), 0);
    handle.begin(loadgen::clock::now_ns());
    assert!(handle.sent_all(LIMIT).await && handle.drain(QUIET, LIMIT).await);
    let finished = handle.finish().await.expect("an orderly end");
    let verdict = judge(&finished.ledger, &Rules { acks_confirmed: true, ..Rules::default() });
    passes(&verdict);
    assert_eq!(verdict.counts.delivered_distinct, 601);
    let histograms = &finished.series.histograms;
    assert_eq!((histograms.response.len(), histograms.delivery.len()), (100, 100));
    let offered: u64 = finished.series.intervals.iter().map(|interval| interval.offered).sum();
    assert_eq!(offered, 100);
}

#[tokio::test]
async fn settled_sends_arrive_and_are_not_confirmed() {
    let broker = Broker::start(Orders::default(), 0);
    let (finished, _) = conduct(Options { settled: true, ..options(&broker) }, nothing).await;
    let settled = Rules { settled: true, acks_confirmed: true, ..Rules::default() };
    let verdict = judge(&finished.ledger, &settled);
    passes(&verdict);
    let counts = verdict.counts;
    assert_eq!((counts.confirmed, counts.in_doubt, counts.delivered_distinct), (0, 2_000, 2_000));
    assert_eq!((finished.series.histograms.response.len(), finished.series.histograms.delivery.len()), (0, 2_000));
}

#[tokio::test]
async fn settled_sends_survive_a_cut_connection_in_the_books() {
    let broker = Broker::start(Orders { cut_at: Some(500), ..Orders::default() }, 0);
    let (finished, _) = conduct(Options { settled: true, ..options(&broker) }, nothing).await;
    let verdict = judge(&finished.ledger, &Rules { settled: true, acks_confirmed: true, ..Rules::default() });
    // What was on its way is gone, and nobody promised it.
    assert!(verdict.counts.attempted == 2_000 && verdict.counts.delivered_distinct <= 2_000, "{verdict:?}");
    passes(&verdict);
}

#[tokio::test]
async fn without_a_record_everything_is_counted_and_nothing_kept() {
    let broker = Broker::start(Orders::default(), 0);
    let options = Options { ledger: false, rate: Rate::Max, limit: Limit::Count(40_000), ..options(&broker) };
    let (finished, _) = conduct(options, nothing).await;
    let counters = finished.series.counters;
    assert_eq!((counters.sent, counters.confirmed, counters.delivered), (40_000, 40_000, 40_000));
    let kept: usize = finished.ledger.producers.iter().map(|log| log.sends.iter().count()).sum();
    assert!(kept <= 3 * 16_384, "{kept}");
    assert!(finished.ledger.consumers.iter().all(|log| log.deliveries.is_empty()));
}

#[tokio::test]
async fn a_record_that_is_full_stops_the_run() {
    let broker = Broker::start(Orders::default(), 0);
    let options = Options { ledger_bytes_max: 48 * 500, limit: Limit::None, ..options(&broker) };
    let handle = start(options, None).expect("a valid request");
    handle.started(LIMIT).await.expect("an active server");
    assert!(handle.sent_all(LIMIT).await && handle.is_ledger_full());
    let finished = handle.finish().await.expect("an orderly end");
    let sent: usize = finished.ledger.producers.iter().map(|log| log.sends.len()).sum();
    assert!((100..2_000).contains(&sent), "{sent}");
}

#[tokio::test]
async fn a_consumer_that_works_takes_one_message_after_the_other() {
    let broker = Broker::start(Orders::default(), 0);
    let options = Options {
        consumer_think: Duration::from_millis(5),
        credit: 10,
        limit: Limit::Count(60),
        rate: Rate::Max,
        ..options(&broker)
    };
    let begin = loadgen::clock::now_ns();
    let (finished, verdict) = conduct(options, nothing).await;
    passes(&verdict);
    assert!(loadgen::clock::now_ns() - begin >= 60 * 5 * MILLISECOND_NS);
    let deliveries: Vec<_> = finished.ledger.consumers[0].deliveries.iter().copied().collect();
    assert_eq!(deliveries.len(), 60);
    // It never had more than its credit: the eleventh came after the first was acknowledged.
    assert!(deliveries[10].arrival_ns >= deliveries[0].arrival_ns + 5 * MILLISECOND_NS);
    let mut acknowledged: Vec<u64> = deliveries.iter().map(|delivery| delivery.acknowledged_ns).collect();
    acknowledged.sort_unstable();
    assert!(acknowledged[59] - acknowledged[0] >= 59 * 5 * MILLISECOND_NS * 9 / 10);
}

#[tokio::test]
async fn a_user_who_thinks_sends_less() {
    let broker = Broker::start(Orders::default(), 0);
    let options = Options {
        producers: 1,
        window: 4,
        producer_think: Duration::from_millis(20),
        rate: Rate::Max,
        limit: Limit::Duration(Duration::from_millis(600)),
        ..options(&broker)
    };
    let (_, verdict) = conduct(options, nothing).await;
    passes(&verdict);
    // Four places, and each rests 20 ms: at most 200 a second.
    assert!((20..=124).contains(&verdict.counts.confirmed), "{:?}", verdict.counts);
}

#[tokio::test]
async fn sizes_of_a_distribution_arrive_whole() {
    let broker = Broker::start(Orders::default(), 0);
    let sizes = Some("16:70,1KiB:25,64KiB:5".parse().expect("sizes"));
    let (finished, verdict) = conduct(Options { sizes, limit: Limit::Count(400), ..options(&broker) }, nothing).await;
    passes(&verdict);
    assert_eq!(verdict.counts.delivered_distinct, 400);
    assert!(broker.shared.state().largest_message > 65_536);
    // Only those of 48 bytes and more carry their time.
    let timed = finished.series.histograms.delivery.len();
    assert!((60..180).contains(&timed), "{timed}");
}

#[tokio::test]
async fn a_backlog_beyond_its_bound_is_shed() {
    let broker = Broker::start(Orders::default(), 0);
    let options = Options {
        backlog_max: Some(100),
        limit: Limit::Duration(Duration::from_secs(1)),
        rate: "2000".parse().expect("a rate"),
        ..options(&broker)
    };
    let (finished, verdict) = conduct(options, async |_: &Handle| {
        tokio::time::sleep(Duration::from_millis(200)).await;
        broker.kill(0);
        tokio::time::sleep(Duration::from_millis(400)).await;
        broker.activate(1);
    })
    .await;
    passes(&verdict);
    assert!((300..=1_400).contains(&verdict.counts.shed), "{:?}", verdict.counts);
    assert_eq!(verdict.counts.attempted + verdict.counts.shed, 2_000);
    assert!(finished.series.counters.shed == verdict.counts.shed);
}

#[tokio::test]
async fn a_rate_that_changes_is_kept() {
    let broker = Broker::start(Orders::default(), 0);
    let options = Options {
        rate: "steps:200*500ms,2k*500ms".parse().expect("a rate"),
        limit: Limit::Duration(Duration::from_secs(1)),
        ..options(&broker)
    };
    let (finished, verdict) = conduct(options, nothing).await;
    passes(&verdict);
    assert_eq!(verdict.counts.confirmed, 1_100);
    let start_ns = finished.series.start_ns;
    let sends = finished.ledger.producers.iter().flat_map(|log| log.sends.iter());
    assert_eq!(sends.filter(|send| send.intended_ns < start_ns + SECOND_NS / 2).count(), 100);
}
