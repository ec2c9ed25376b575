//! Planted bugs: each checker is shown a sound run, and the same run with one defect that it must name.

use super::*;
use crate::ledger::{Connection, ConsumerLog, Delivery, Outcome, ProducerLog, Send};

const MILLISECOND: u64 = 1_000_000;

fn connection(server: &str, opened_ns: u64, closed_ns: u64) -> Connection {
    let reason = if closed_ns == 0 { String::new() } else { "killed".to_owned() };
    Connection { server: server.to_owned(), opened_ns, closed_ns, reason }
}

fn send(sequence: u64) -> Send {
    let invoke_ns = (sequence + 1) * MILLISECOND;
    Send {
        sequence,
        intended_ns: invoke_ns,
        invoke_ns,
        outcome_ns: invoke_ns + MILLISECOND / 2,
        confirm_index: sequence as u32,
        connection: 0,
        attempt: 0,
        outcome: Outcome::Ok,
    }
}

fn delivery(producer: u32, sequence: u64) -> Delivery {
    let arrival_ns = (sequence + 2) * MILLISECOND;
    Delivery {
        sequence,
        arrival_ns,
        acknowledged_ns: arrival_ns + MILLISECOND,
        producer,
        connection: 0,
        attempt: 0,
        redelivered: false,
    }
}

/// Two producers with `count` confirmed messages each, on one queue with one consumer, all delivered in order.
fn sound(count: u64) -> Ledger {
    let producer = |number| ProducerLog {
        producer: number,
        address: "q".to_owned(),
        sends: (0..count).map(send).collect(),
        connections: vec![connection("a", 1, 0)],
        shed: 0,
    };
    let deliveries = (0..count).flat_map(|sequence| [delivery(0, sequence), delivery(1, sequence)]).collect();
    let consumer = ConsumerLog {
        address: "q".to_owned(),
        deliveries,
        connections: vec![connection("a", 1, 0)],
        ..ConsumerLog::default()
    };
    Ledger { run: 1, payload_bytes: 100, producers: vec![producer(0), producer(1)], consumers: vec![consumer] }
}

fn deliveries(ledger: &mut Ledger, change: impl FnOnce(&mut Vec<Delivery>)) {
    let mut list: Vec<Delivery> = ledger.consumers[0].deliveries.iter().copied().collect();
    change(&mut list);
    ledger.consumers[0].deliveries = list.into_iter().collect();
}

fn confirmed_acks() -> Rules {
    Rules { acks_confirmed: true, ..Rules::default() }
}

fn asynchronous(bound: AsyncBound) -> Rules {
    Rules { store: StorePromise::Async(bound), ..confirmed_acks() }
}

/// The judgement has exactly these findings, in any order.
fn finds(ledger: &Ledger, rules: &Rules, expected: &[Finding]) -> Verdict {
    let verdict = judge(ledger, rules);
    let mut found = verdict.findings.clone();
    found.sort();
    assert_eq!(found, expected, "{:?}", verdict.reasons);
    let worst = expected.iter().map(|finding| finding.ruling()).max().unwrap_or(Ruling::Pass);
    assert_eq!((verdict.verdict, verdict.reasons.len()), (worst, expected.len()));
    verdict
}

fn violates(ledger: &Ledger, rules: &Rules, word: &str) -> Counts {
    let verdict = judge(ledger, rules);
    assert_eq!(verdict.verdict, Ruling::Violated, "{verdict:?}");
    assert!(verdict.reasons.iter().any(|reason| reason.contains(word)), "no `{word}` in {:?}", verdict.reasons);
    verdict.counts
}

fn passes(ledger: &Ledger, rules: &Rules) -> Counts {
    let verdict = judge(ledger, rules);
    assert_eq!(verdict.verdict, Ruling::Pass, "{:?}", verdict.reasons);
    assert!(verdict.reasons.is_empty());
    verdict.counts
}

fn is_unknown(ledger: &Ledger, rules: &Rules, word: &str) -> Counts {
    let verdict = judge(ledger, rules);
    assert_eq!(verdict.verdict, Ruling::Unknown, "{verdict:?}");
    assert!(verdict.reasons.iter().any(|reason| reason.contains(word)), "no `{word}` in {:?}", verdict.reasons);
    verdict.counts
}

#[test]
fn settled_sends_are_promised_nothing_and_still_judged_for_what_arrives() {
    let rules = Rules { settled: true, ..Rules::default() };
    let settled = |count| {
        let mut ledger = sound(count);
        for log in &mut ledger.producers {
            log.sends = (0..count).map(|sequence| Send { outcome: Outcome::Info, ..send(sequence) }).collect();
        }
        ledger
    };
    let mut ledger = settled(5);
    deliveries(&mut ledger, |list| list.truncate(4));
    let verdict = judge(&ledger, &rules);
    assert_eq!((verdict.verdict, verdict.loss_judged, verdict.counts.lost), (Ruling::Pass, false, 0), "{verdict:?}");
    deliveries(&mut ledger, |list| list.push(list[0]));
    assert_eq!(judge(&ledger, &rules).verdict, Ruling::Violated);
}

#[test]
fn a_sound_run_passes() {
    let counts = passes(&sound(100), &confirmed_acks());
    let expected = Counts {
        attempted: 200,
        attempts: 200,
        confirmed: 200,
        delivered: 200,
        delivered_distinct: 200,
        ..Counts::default()
    };
    assert_eq!(counts, expected);
    passes(&sound(100), &asynchronous(AsyncBound { messages: Some(0), bytes: Some(0), span_ns: Some(0) }));
}

#[test]
fn a_dropped_message_is_lost() {
    let mut ledger = sound(10);
    deliveries(&mut ledger, |list| list.retain(|delivery| (delivery.producer, delivery.sequence) != (1, 4)));
    let counts = violates(&ledger, &confirmed_acks(), "lost");
    assert_eq!((counts.lost, counts.delivered_distinct), (1, 19));
    let losses = judge(&ledger, &confirmed_acks()).losses;
    assert_eq!(losses.len(), 1);
    assert_eq!((losses[0].producer, losses[0].lost, losses[0].lost_bytes), (1, 1, 100));
}

#[test]
fn what_was_not_drained_is_not_lost() {
    let mut ledger = sound(10);
    deliveries(&mut ledger, |list| list.truncate(7));
    let counts = is_unknown(&ledger, &Rules { drained: false, ..confirmed_acks() }, "not drained");
    assert_eq!((counts.lost, counts.undelivered), (0, 13));
}

#[test]
fn an_incomplete_drain_does_not_excuse_what_was_seen() {
    let mut ledger = sound(10);
    deliveries(&mut ledger, |list| list.push(delivery(0, 99)));
    violates(&ledger, &Rules { drained: false, ..confirmed_acks() }, "unexpected");
}

#[test]
fn an_unmarked_second_delivery_is_a_violation_and_a_marked_one_is_not() {
    let mut ledger = sound(10);
    deliveries(&mut ledger, |list| {
        list.push(Delivery { arrival_ns: 50 * MILLISECOND, acknowledged_ns: 0, ..delivery(0, 9) });
        list[18].acknowledged_ns = 0;
    });
    let counts = violates(&ledger, &confirmed_acks(), "not marked");
    assert_eq!((counts.duplicated, counts.redelivered_unflagged), (1, 1));
    deliveries(&mut ledger, |list| list[20].redelivered = true);
    let counts = passes(&ledger, &confirmed_acks());
    assert_eq!((counts.duplicated, counts.redelivered_flagged), (1, 1));
}

#[test]
fn a_delivery_after_a_confirmed_acknowledgement_is_a_resurrection() {
    let mut ledger = sound(10);
    deliveries(&mut ledger, |list| {
        list.push(Delivery { arrival_ns: 50 * MILLISECOND, redelivered: true, ..delivery(0, 9) });
    });
    let counts = violates(&ledger, &confirmed_acks(), "came back");
    assert_eq!((counts.duplicated, counts.resurrected), (1, 1));
    // An async store may forget its newest acknowledgements.
    assert_eq!(passes(&ledger, &asynchronous(AsyncBound::default())).resurrected, 1);
    // Where acknowledgements are not confirmed, it is an ordinary, marked redelivery.
    assert_eq!(passes(&ledger, &Rules::default()).redelivered_flagged, 1);
}

#[test]
fn an_acknowledgement_confirmed_too_late_makes_no_resurrection() {
    let mut ledger = sound(10);
    deliveries(&mut ledger, |list| {
        list[18].acknowledged_ns = 60 * MILLISECOND;
        list.push(Delivery { arrival_ns: 50 * MILLISECOND, redelivered: true, ..delivery(0, 9) });
    });
    let counts = passes(&ledger, &confirmed_acks());
    assert_eq!((counts.resurrected, counts.redelivered_flagged), (0, 1));
}

#[test]
fn a_second_attempt_that_arrives_too_is_the_clients_duplicate() {
    let mut ledger = sound(10);
    let log = &mut ledger.producers[0];
    log.connections = vec![connection("a", 1, 12 * MILLISECOND), connection("b", 13 * MILLISECOND, 0)];
    log.sends.get_mut(9).expect("present").outcome = Outcome::Info;
    log.sends.push(Send { attempt: 1, connection: 1, invoke_ns: 14 * MILLISECOND, confirm_index: 0, ..send(9) });
    deliveries(&mut ledger, |list| list.push(Delivery { attempt: 1, arrival_ns: 20 * MILLISECOND, ..delivery(0, 9) }));
    let counts = passes(&ledger, &confirmed_acks());
    assert_eq!((counts.duplicated, counts.duplicated_by_resend), (1, 1));
    assert_eq!((counts.attempts, counts.attempted, counts.confirmed), (21, 20, 20));
    // Either attempt alone is enough for the message not to be lost.
    deliveries(&mut ledger, |list| {
        list.retain(|delivery| (delivery.producer, delivery.sequence, delivery.attempt) != (0, 9, 0))
    });
    assert_eq!(passes(&ledger, &confirmed_acks()).duplicated, 0);
}

#[test]
fn sends_in_doubt_may_arrive_or_not() {
    let mut ledger = sound(10);
    for sequence in [8, 9] {
        ledger.producers[0].sends.get_mut(sequence).expect("present").outcome = Outcome::Info;
    }
    deliveries(&mut ledger, |list| list.retain(|delivery| (delivery.producer, delivery.sequence) != (0, 9)));
    let counts = passes(&ledger, &confirmed_acks());
    assert_eq!((counts.in_doubt, counts.recovered, counts.lost), (2, 1, 0));
}

#[test]
fn deliveries_that_no_attempt_explains_are_unexpected() {
    let check = |change: fn(&mut Ledger), count: fn(&Counts) -> u64| {
        let mut ledger = sound(10);
        change(&mut ledger);
        let counts = violates(&ledger, &confirmed_acks(), "unexpected");
        assert_eq!((count(&counts), counts.unexpected), (1, 1));
    };
    check(|ledger| ledger.consumers[0].alien = 1, |counts| counts.alien);
    check(|ledger| ledger.consumers[0].corrupt = 1, |counts| counts.corrupt);
    check(|ledger| deliveries(ledger, |list| list.push(delivery(0, 10))), |counts| counts.never_attempted);
    check(|ledger| deliveries(ledger, |list| list.push(delivery(7, 0))), |counts| counts.never_attempted);
    check(
        |ledger| deliveries(ledger, |list| list.push(Delivery { attempt: 1, ..delivery(0, 3) })),
        |counts| counts.never_attempted,
    );
    // A refused send that is delivered all the same is a ghost.
    check(
        |ledger| ledger.producers[0].sends.get_mut(9).expect("present").outcome = Outcome::Fail,
        |counts| counts.ghosts,
    );
}

#[test]
fn swapped_messages_are_out_of_order() {
    let mut ledger = sound(10);
    deliveries(&mut ledger, |list| list.swap(4, 6));
    let counts = violates(&ledger, &confirmed_acks(), "behind");
    assert_eq!(counts.out_of_order, 1);
    // Two producers have no common order.
    let mut ledger = sound(10);
    deliveries(&mut ledger, |list| list.swap(4, 5));
    passes(&ledger, &confirmed_acks());
    // What is marked as redelivered may come at any time.
    let mut ledger = sound(10);
    deliveries(&mut ledger, |list| {
        list.swap(4, 6);
        list[6].redelivered = true;
    });
    passes(&ledger, &confirmed_acks());
}

#[test]
fn several_consumers_have_no_common_order_but_each_connection_has_one() {
    let mut ledger = sound(10);
    let second = ConsumerLog {
        consumer: 1,
        address: "q".to_owned(),
        connections: vec![connection("a", 1, 0)],
        ..ConsumerLog::default()
    };
    ledger.consumers.push(second);
    // The second consumer gets message 2 of producer 0 late, by its own clock before everything else.
    deliveries(&mut ledger, |list| list.retain(|one| (one.producer, one.sequence) != (0, 2)));
    ledger.consumers[1].deliveries =
        [Delivery { arrival_ns: 50 * MILLISECOND, ..delivery(0, 2) }].into_iter().collect();
    let verdict = finds(&ledger, &confirmed_acks(), &[]);
    assert!(verdict.not_judged.iter().any(|reason| reason.contains("order")));
    // Within one connection of the first one, order is judged.
    deliveries(&mut ledger, |list| list.swap(4, 8));
    finds(&ledger, &confirmed_acks(), &[Finding::OutOfOrder]);
    // What was in flight to the other consumer of a server that died comes on the next connection, unmarked.
    deliveries(&mut ledger, |list| {
        list.swap(4, 8);
        let late = list.remove(4);
        list.push(Delivery { connection: 1, arrival_ns: 60 * MILLISECOND, ..late });
    });
    ledger.consumers[0].connections.push(connection("b", 55 * MILLISECOND, 0));
    finds(&ledger, &confirmed_acks(), &[]);
}

/// The connection of producer 0 is lost at 50 ms; the messages from `first` on are lost with it.
fn lost_suffix(first: u64) -> Ledger {
    let mut ledger = sound(20);
    ledger.producers[0].connections = vec![connection("a", 1, 50 * MILLISECOND)];
    deliveries(&mut ledger, |list| list.retain(|delivery| delivery.producer != 0 || delivery.sequence < first));
    ledger
}

#[test]
fn an_async_store_may_lose_a_suffix_within_its_bound() {
    let ledger = lost_suffix(15);
    let bound = AsyncBound { messages: Some(5), bytes: Some(500), span_ns: Some(4 * MILLISECOND) };
    let counts = passes(&ledger, &asynchronous(bound));
    assert_eq!(counts.lost, 5);
    assert_eq!(judge(&ledger, &asynchronous(bound)).losses[0].span_ns, 4 * MILLISECOND);
    // A sync store may not.
    violates(&ledger, &confirmed_acks(), "5 confirmed messages were lost");
    // Nor may an async store lose more than its bound, in any unit.
    violates(&ledger, &asynchronous(AsyncBound { messages: Some(4), ..bound }), "5 messages");
    violates(&ledger, &asynchronous(AsyncBound { bytes: Some(499), ..bound }), "500 bytes");
    violates(&ledger, &asynchronous(AsyncBound { span_ns: Some(4 * MILLISECOND - 1), ..bound }), "nanoseconds");
}

#[test]
fn a_hole_is_a_violation_even_in_an_async_store() {
    let mut ledger = lost_suffix(15);
    deliveries(&mut ledger, |list| {
        list.push(Delivery { arrival_ns: 60 * MILLISECOND, redelivered: true, ..delivery(0, 17) })
    });
    violates(&ledger, &asynchronous(AsyncBound::default()), "hole");
    let losses = judge(&ledger, &asynchronous(AsyncBound::default())).losses;
    assert_eq!((losses[0].lost, losses[0].holes), (4, 2));
}

#[test]
fn the_confirm_order_decides_what_a_suffix_is() {
    // Message 3 was confirmed last: losing it alone is a suffix, and losing 19, confirmed before it, with it.
    let mut ledger = sound(20);
    ledger.producers[0].connections = vec![connection("a", 1, 50 * MILLISECOND)];
    let late = ledger.producers[0].sends.get_mut(3).expect("present");
    (late.confirm_index, late.outcome_ns) = (20, 40 * MILLISECOND);
    deliveries(&mut ledger, |list| list.retain(|delivery| (delivery.producer, delivery.sequence) != (0, 3)));
    passes(&ledger, &asynchronous(AsyncBound::default()));
    ledger.producers[0].sends.get_mut(3).expect("present").confirm_index = 0;
    violates(&ledger, &asynchronous(AsyncBound::default()), "hole");
}

#[test]
fn with_several_consumers_only_what_survived_the_fault_proves_a_hole() {
    let mut ledger = lost_suffix(15);
    // Another consumer had message 17 before the fault, while 15 and 16 still lay in the store.
    let early = Delivery { arrival_ns: 30 * MILLISECOND, ..delivery(0, 17) };
    ledger.consumers.push(ConsumerLog {
        consumer: 1,
        address: "q".to_owned(),
        deliveries: [early].into_iter().collect(),
        ..ConsumerLog::default()
    });
    passes(&ledger, &asynchronous(AsyncBound::default()));
    // After the fault, it came out of the recovered store.
    let late = Delivery { arrival_ns: 60 * MILLISECOND, ..early };
    ledger.consumers[1].deliveries = [late].into_iter().collect();
    violates(&ledger, &asynchronous(AsyncBound::default()), "hole");
}

#[test]
fn only_a_fault_excuses_an_async_store() {
    let mut ledger = lost_suffix(15);
    let elsewhere = Window { begin_ns: 70 * MILLISECOND, end_ns: 80 * MILLISECOND };
    let around = Window { begin_ns: 45 * MILLISECOND, end_ns: 55 * MILLISECOND };
    let rules = |fault| Rules { faults: vec![fault], ..asynchronous(AsyncBound::default()) };
    passes(&ledger, &rules(around));
    violates(&ledger, &rules(elsewhere), "without a fault");
    // No connection was lost at all.
    ledger.producers[0].connections = vec![connection("a", 1, 0)];
    violates(&ledger, &asynchronous(AsyncBound::default()), "without a fault");
}

/// Producer 0 stays on server a, producer 1 changes to server b at 5.2 ms, which confirms at once.
fn two_servers() -> Ledger {
    let mut ledger = sound(10);
    let log = &mut ledger.producers[1];
    log.connections = vec![connection("a", 1, 5 * MILLISECOND), connection("b", 5 * MILLISECOND + 200_000, 0)];
    for sequence in 5..10 {
        log.sends.get_mut(sequence).expect("present").connection = 1;
    }
    ledger
}

#[test]
fn two_servers_that_confirm_at_once_are_noticed() {
    let rules = Rules { one_active: true, ..confirmed_acks() };
    passes(&sound(10), &rules);
    let verdict = finds(&two_servers(), &rules, &[Finding::TwoActives]);
    assert_eq!(verdict.counts.confirmed_by_two, 1);
    // Producer 0 sent its last message, which a confirmed, at 10 ms; b had first confirmed at 6.5 ms.
    let overlap = &verdict.overlaps[0];
    assert_eq!((overlap.old.as_str(), overlap.new.as_str(), overlap.producer), ("a", "b", 0));
    assert_eq!(overlap.overlap_ns(), 3_500_000);
    assert!(verdict.reasons[0].contains("for 3.5 ms at least"), "{:?}", verdict.reasons);
    // Where every server may confirm, it is nothing.
    passes(&two_servers(), &confirmed_acks());
    // What server a confirmed before b began may be read later than b's first confirm.
    let mut ledger = two_servers();
    let mut sends: Vec<Send> = ledger.producers[0].sends.iter().copied().collect();
    sends.truncate(6);
    sends[5].outcome_ns = 40 * MILLISECOND;
    ledger.producers[0].sends = sends.into_iter().collect();
    deliveries(&mut ledger, |list| list.retain(|delivery| delivery.producer == 1 || delivery.sequence < 6));
    passes(&ledger, &rules);
}

#[test]
fn a_failover_and_back_is_no_overlap() {
    // Both producers: a until 4 ms, b until 7 ms, a again; each server confirms only while it is the only one.
    let mut ledger = sound(10);
    for log in &mut ledger.producers {
        log.connections = vec![
            connection("a", 1, 4 * MILLISECOND + 800_000),
            connection("b", 4 * MILLISECOND + 900_000, 7 * MILLISECOND + 800_000),
            connection("a", 7 * MILLISECOND + 900_000, 0),
        ];
        for sequence in 0..10 {
            let connection = [0, 0, 0, 0, 1, 1, 1, 2, 2, 2][sequence];
            log.sends.get_mut(sequence).expect("present").connection = connection;
        }
    }
    finds(&ledger, &Rules { one_active: true, ..confirmed_acks() }, &[]);
}

/// Ten messages of each of two producers were sent and confirmed by 11 ms; `read` of each were read and acknowledged by 40 ms, the
/// others after 60 ms.
fn half_read(read: u64) -> Ledger {
    let mut ledger = sound(10);
    deliveries(&mut ledger, |list| {
        for one in list.iter_mut().filter(|one| one.sequence >= read) {
            one.arrival_ns += 60 * MILLISECOND;
            one.acknowledged_ns += 60 * MILLISECOND;
        }
    });
    ledger
}

fn depth(messages: u64, at_ms: u64) -> Rules {
    let at_ns = at_ms * MILLISECOND;
    let seen =
        DepthSeen { address: "q".to_owned(), messages, asked_ns: at_ns, answered_ns: at_ns, after_drain: at_ms > 100 };
    Rules { depths: vec![seen], ..confirmed_acks() }
}

#[test]
fn the_broker_holds_what_the_ledger_says_it_holds() {
    let ledger = half_read(4);
    finds(&ledger, &depth(12, 50), &[]);
    finds(&ledger, &depth(11, 50), &[Finding::DepthBelow]);
    finds(&ledger, &depth(13, 50), &[Finding::DepthAbove]);
    finds(&ledger, &depth(0, 200), &[]);
    finds(&ledger, &depth(1, 200), &[Finding::LeftAfterDrain]);
    // An acknowledgement whose confirmation is under way.
    let mut late = half_read(4);
    deliveries(&mut late, |list| list[0].acknowledged_ns = 201 * MILLISECOND);
    finds(&late, &depth(1, 200), &[]);
    finds(&late, &depth(2, 200), &[Finding::LeftAfterDrain]);
    // Nobody sends to that queue: it must be empty.
    let mut elsewhere = depth(1, 50);
    elsewhere.depths[0].address = "other".to_owned();
    finds(&ledger, &elsewhere, &[Finding::DepthAbove]);
}

#[test]
fn what_is_in_doubt_widens_what_the_broker_may_hold() {
    let mut ledger = half_read(4);
    // A send in doubt that was delivered is certain to be there; one that was not may be.
    ledger.producers[0].sends.get_mut(9).expect("present").outcome = Outcome::Info;
    finds(&ledger, &depth(12, 50), &[]);
    finds(&ledger, &depth(13, 50), &[Finding::DepthAbove]);
    deliveries(&mut ledger, |list| list.retain(|one| (one.producer, one.sequence) != (0, 9)));
    finds(&ledger, &depth(11, 50), &[]);
    finds(&ledger, &depth(12, 50), &[]);
    finds(&ledger, &depth(13, 50), &[Finding::DepthAbove]);
    // An acknowledgement under way may have arrived.
    deliveries(&mut ledger, |list| list[0].acknowledged_ns = 55 * MILLISECOND);
    finds(&ledger, &depth(13, 50), &[]);
    // A message that is lost is missing, and that is one finding.
    deliveries(&mut ledger, |list| list.retain(|one| (one.producer, one.sequence) != (1, 9)));
    finds(&ledger, &depth(10, 50), &[Finding::Lost]);
    finds(&ledger, &depth(9, 50), &[Finding::Lost, Finding::DepthBelow]);
    // Without a drain, nothing of this is known.
    let rules = Rules { drained: false, ..depth(9, 50) };
    finds(&ledger, &rules, &[Finding::NotDrained]);
}

#[test]
fn a_late_generator_proves_nothing() {
    let rules = |lag_ns| Rules { generator_lag_p99_ns: Some(lag_ns), ..confirmed_acks() };
    passes(&sound(10), &rules(50 * MILLISECOND));
    is_unknown(&sound(10), &rules(51 * MILLISECOND), "schedule lag");
    // But a violation stays one.
    let mut ledger = sound(10);
    deliveries(&mut ledger, |list| list.truncate(19));
    violates(&ledger, &rules(51 * MILLISECOND), "lost");
}

#[test]
fn a_run_without_confirms_or_messages_proves_nothing() {
    let mut ledger = sound(2);
    for log in &mut ledger.producers {
        for index in 0..2 {
            log.sends.get_mut(index).expect("present").outcome = Outcome::Info;
        }
    }
    is_unknown(&ledger, &confirmed_acks(), "nothing was confirmed");
    let mut ledger = sound(0);
    is_unknown(&ledger, &confirmed_acks(), "nothing was sent");
    // A run that only empties queues has nothing to lose, and cannot know whose messages it finds.
    ledger.producers.clear();
    ledger.consumers[0].alien = 5;
    assert_eq!(passes(&ledger, &confirmed_acks()).delivered, 5);
    ledger.consumers[0].corrupt = 1;
    violates(&ledger, &confirmed_acks(), "damaged");
}

#[test]
fn a_run_that_does_not_consume_says_so() {
    let mut ledger = sound(10);
    ledger.consumers.clear();
    let rules = Rules { consumed: false, drained: false, ..Rules::default() };
    assert_eq!(passes(&ledger, &rules).lost, 0);
    assert!(judge(&ledger, &rules).not_judged.iter().any(|reason| reason.contains("nobody consumed")));
}

#[test]
fn exit_codes_follow_the_ruling() {
    assert_eq!([Ruling::Pass, Ruling::Violated, Ruling::Unknown].map(Ruling::exit_code), [0, 1, 2]);
    assert!(Ruling::Violated > Ruling::Unknown && Ruling::Unknown > Ruling::Pass);
}
