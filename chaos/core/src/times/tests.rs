//! Planted event lines and ledgers.

use super::*;
use loadgen::ledger::{ConsumerLog, Delivery, ProducerLog, Send};

const T0: u64 = 5 * NS_PER_S;

fn ms(after: i64) -> u64 {
    (T0 as i64 + after * NS_PER_MS as i64) as u64
}

fn reference() -> Reference {
    let effect = Effect { requested_ns: T0 - 50_000, effective_ns: T0, proof: "planted".to_owned() };
    let successor_url = "amqp://127.0.0.1:2".to_owned();
    Reference { effect, successor: NodeId::B, successor_start: Some(1), successor_url, keeps_connections: false }
}

fn event(node: NodeId, name: &str, after_ms: i64) -> Event {
    let line =
        format!("{{\"event\":\"{name}\",\"t_ns\":{},\"bytes\":4096,\"messages\":7,\"segments\":2}}", ms(after_ms));
    Event::parse(node, 1, &line, 0)
}

fn phases(times: [i64; 4]) -> Vec<Event> {
    PHASES.iter().zip(times).map(|((name, _), after_ms)| event(NodeId::B, name, after_ms)).collect()
}

fn connection(server: &str, opened_ns: u64) -> Connection {
    Connection { server: format!("amqp://127.0.0.1:{server}"), opened_ns, closed_ns: 0, reason: String::new() }
}

fn send(sequence: u64, attempt: u8, connection: u32, invoke_ms: i64, confirm_ms: Option<i64>) -> Send {
    let (outcome, outcome_ns) = confirm_ms.map_or((Outcome::Info, ms(0)), |after_ms| (Outcome::Ok, ms(after_ms)));
    let invoke_ns = ms(invoke_ms);
    Send { sequence, intended_ns: invoke_ns, invoke_ns, outcome_ns, confirm_index: 0, connection, attempt, outcome }
}

/// Connection 0 goes to the victim, connection 1 to the successor.
fn ledger(sends: &[Send]) -> Ledger {
    let connections = vec![connection("1", ms(-3000)), connection("2", ms(40))];
    let delivery = |arrival_ms, connection| Delivery {
        sequence: 0,
        arrival_ns: ms(arrival_ms),
        acknowledged_ns: 0,
        producer: 0,
        connection,
        attempt: 0,
        redelivered: false,
    };
    let producer = ProducerLog {
        connections: connections.clone(),
        sends: sends.iter().copied().collect(),
        ..ProducerLog::default()
    };
    let mut consumer_connections = connections;
    consumer_connections[1].opened_ns = ms(55);
    let consumer = ConsumerLog {
        connections: consumer_connections,
        deliveries: [delivery(-5, 0), delivery(2, 0), delivery(60, 1)].into_iter().collect(),
        ..ConsumerLog::default()
    };
    Ledger { producers: vec![producer], consumers: vec![consumer], ..Ledger::default() }
}

#[test]
fn a_planted_failover_gives_its_moments_and_durations() {
    let sends = [
        send(0, 0, 0, -10, Some(-9)),
        // Sent before the fault, confirmed by the new active: a re-send does not end the failover.
        send(1, 0, 0, -1, None),
        send(1, 1, 1, 41, Some(45)),
        send(2, 0, 0, 3, None),
        send(2, 1, 1, 42, Some(50)),
        send(3, 0, 1, 43, Some(48)),
    ];
    let found = measure(&reference(), &phases([2, 10, 30, 31]), &ledger(&sends));
    let instants = &found.instants_ms;
    assert_eq!((instants.td, instants.tl, instants.tr, instants.ta), (Some(2.0), Some(10.0), Some(30.0), Some(31.0)));
    assert_eq!((instants.tc, instants.tf), (Some(40.0), Some(48.0)));
    assert_eq!((instants.td1, instants.ta100), (Some(60.0), Some(55.0)));
    assert_eq!(found.store_recovered, Some(StoreRecovered { bytes: 4096, messages: 7, segments: 2 }));
    assert!(found.disorder.is_empty() && found.missing.is_empty(), "{found:?}");
    let times = durations(instants);
    assert_eq!((times.detection, times.claim, times.store_recovery), (Some(2.0), Some(8.0), Some(20.0)));
    assert_eq!((times.reattach, times.failover, times.rto), (Some(17.0), Some(48.0), None));
}

#[test]
fn a_confirm_by_the_old_active_after_the_fault_does_not_count() {
    let found = measure(&reference(), &[], &ledger(&[send(0, 0, 0, 1, Some(2))]));
    assert_eq!(found.instants_ms.tf, None);
    assert_eq!(found.missing.len(), 4);
    assert!(found.disorder.is_empty());
}

#[test]
fn phases_out_of_order_are_found() {
    let confirmed = ledger(&[send(0, 0, 1, 41, Some(48))]);
    let check = |times, expected: usize| {
        let found = measure(&reference(), &phases(times), &confirmed);
        assert_eq!(found.disorder.len(), expected, "{times:?}: {:?}", found.disorder);
    };
    check([2, 10, 30, 31], 0);
    check([2, 30, 10, 31], 1);
    // Accepted after the first confirm: one of the two clocks, or one of the two programs, is wrong.
    check([2, 10, 30, 49], 1);
    check([12, 10, 9, 8], 3);
}

#[test]
fn events_before_the_fault_or_of_the_victim_are_not_phases() {
    let mut events = phases([-200, -150, -100, -50]);
    events.push(event(NodeId::A, "standby-notices", 5));
    let found = measure(&reference(), &events, &ledger(&[]));
    assert_eq!(found.missing.len(), 4);
}

#[test]
fn phases_of_a_successor_that_was_killed_are_not_those_of_its_next_start() {
    // It noticed, owned the store and was killed; started again, it owns the store at once and recovers it.
    let mut events = phases([2, 10, 1230, 1231]);
    let mut again = event(NodeId::B, "claimed", 1000);
    (again.start, events[2].start, events[3].start) = (2, 2, 2);
    events.push(again);
    let found = measure(&Reference { successor_start: Some(2), ..reference() }, &events, &ledger(&[]));
    let times = durations(&found.instants_ms);
    assert_eq!((times.detection, times.claim, times.store_recovery), (None, None, Some(230.0)));
    assert_eq!(found.missing, ["td, the standby notices"]);
    // Where nobody became active, what the node said is all there is.
    let found = measure(&Reference { successor_start: None, ..reference() }, &events[..2], &ledger(&[]));
    assert_eq!((found.instants_ms.td, found.instants_ms.tl), (Some(2.0), Some(10.0)));
}

#[test]
fn noticed_between_request_and_proof_is_in_order_and_took_no_time() {
    let mut events = phases([0, 10, 30, 31]);
    events[0].t_ns = T0 - 20_000;
    let found = measure(&reference(), &events, &ledger(&[]));
    assert!(found.disorder.is_empty(), "{:?}", found.disorder);
    assert_eq!(durations(&found.instants_ms).detection, Some(0.0));
}

/// One message each millisecond from -1 s to 4 s, with the response time that `response_ms` gives for its intended time.
fn flow(response_ms: impl Fn(i64) -> Option<i64>) -> Vec<Sent> {
    let one = |at: i64| Sent { intended_ns: ms(at), confirmed_ns: response_ms(at).map(|after| ms(at + after)) };
    (-1000..4000).map(one).collect()
}

fn steady_ms(sent: &[Sent]) -> Option<f64> {
    let steady = Steady::from_baseline(sent, T0, 2 * NS_PER_S);
    assert_eq!(steady.p99_ns_max, P99_FLOOR_NS.max(4 * NS_PER_MS));
    steady.find(sent, T0, ms(4000)).map(|t_ns| ms_between(T0, t_ns))
}

#[test]
fn steady_flow_begins_when_the_backlog_is_worked_off() {
    // Nothing until 300 ms, then everything that waited at once.
    let found = steady_ms(&flow(|at| Some(if (0..300).contains(&at) { 300 - at } else { 2 }))).expect("it recovers");
    assert!((290.0..=320.0).contains(&found), "{found}");
    assert_eq!(steady_ms(&flow(|_| Some(2))), Some(0.0));
}

#[test]
fn a_flow_that_stays_slow_or_thin_is_never_steady() {
    assert_eq!(steady_ms(&flow(|at| Some(if at < 0 { 2 } else { 40 }))), None);
    assert_eq!(steady_ms(&flow(|at| (at < 0 || at % 10 != 0).then_some(2))), None);
}

#[test]
fn a_lone_node_that_ran_on_ends_the_outage_on_the_connections_that_it_had() {
    let sends = [send(0, 0, 0, -10, Some(-9)), send(1, 0, 0, 3, Some(70))];
    let lone = Reference { successor_url: "amqp://127.0.0.1:1".to_owned(), keeps_connections: true, ..reference() };
    let found = measure(&lone, &[], &ledger(&sends)).instants_ms;
    assert_eq!((found.tf, found.td1), (Some(70.0), Some(2.0)));
    // Nobody had to come back.
    assert_eq!((found.tc, found.ta100), (None, None));
    let restarted = Reference { keeps_connections: false, ..lone };
    assert_eq!(measure(&restarted, &[], &ledger(&sends)).instants_ms.tf, None);
}
