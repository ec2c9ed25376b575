//! Delivery, settlement, order and visibility.

use super::*;

fn take_all(consumer_window: u32) -> ConsumerSpec {
    ConsumerSpec { browse: false, window_max: consumer_window }
}

/// An engine with one queue, `count` messages in it, and one consumer with `credit`.
fn one_queue(definition: QueueDefinition, count: u64, credit: u32) -> (Engine, QueueId, ConsumerId) {
    let mut engine = engine(&[definition]);
    let queue = engine.resolve("q").unwrap();
    for lsn in 1..=count {
        engine.publish(queue, entry(lsn), Visibility::Now);
    }
    let consumer = engine.add_consumer(queue, ConsumerSpec::default());
    engine.credit(consumer, credit);
    (engine, queue, consumer)
}

#[test]
fn credit_bounds_deliveries() {
    let (mut engine, queue, consumer) = one_queue(line("q"), 5, 2);
    assert_eq!(lsns(&deliveries(&mut engine)), [1, 2]);
    engine.credit(consumer, 1);
    assert_eq!(lsns(&deliveries(&mut engine)), [3]);
    engine.credit(consumer, 10);
    assert_eq!(lsns(&deliveries(&mut engine)), [4, 5]);
    engine.publish(queue, entry(6), Visibility::Now);
    assert_eq!(lsns(&deliveries(&mut engine)), [6]);
}

#[test]
fn credit_withdrawn_between_polls_is_respected() {
    let (mut engine, _, consumer) = one_queue(line("q"), 3, 3);
    assert!(matches!(engine.poll_effect(0), Some(Effect::Deliver { .. })));
    engine.credit(consumer, 0);
    assert_eq!(engine.poll_effect(0), None);
}

#[test]
fn what_is_decided_comes_without_new_deliveries() {
    let (mut engine, _, consumer) = one_queue(line("q"), 3, 2);
    let (_, _, token) = deliveries(&mut engine)[0];
    engine.settle(token, Settle::Accept).unwrap();
    engine.credit(consumer, 1);
    assert!(matches!(engine.poll_decided(), Some(Effect::Remove { .. })));
    assert_eq!(engine.poll_decided(), None);
    assert_eq!(lsns(&deliveries(&mut engine)), [3]);
}

#[test]
fn acceptance_removes() {
    let (mut engine, queue, _) = one_queue(line("q"), 1, 5);
    let (_, _, token) = deliveries(&mut engine)[0];
    engine.settle(token, Settle::Accept).unwrap();
    let removed = Effect::Remove { queue, store: ASYNC, entry: entry(1), reason: RemoveReason::Accepted { token } };
    assert_eq!(effects(&mut engine, 0), [removed]);
    assert_eq!(engine.settle(token, Settle::Accept), Err(UnknownDelivery(token)));
    let snapshot = engine.queues().next().unwrap();
    assert_eq!((snapshot.messages, snapshot.bytes, snapshot.unsettled), (0, 0, 0));
}

#[test]
fn rejection_removes() {
    let (mut engine, _, _) = one_queue(line("q"), 1, 5);
    let (_, _, token) = deliveries(&mut engine)[0];
    engine.settle(token, Settle::Reject).unwrap();
    let reasons = effects(&mut engine, 0);
    assert!(matches!(reasons[..], [Effect::Remove { reason: RemoveReason::Rejected { .. }, .. }]));
}

#[test]
fn released_entries_keep_their_place_and_count() {
    let (mut engine, _, consumer) = one_queue(line("q"), 4, 3);
    let first = deliveries(&mut engine);
    engine.settle(first[1].2, Settle::Release).unwrap();
    engine.settle(first[0].2, Settle::Modify { failed: true, undeliverable_here: false }).unwrap();
    engine.credit(consumer, 9);
    let again = effects(&mut engine, 0);
    let counts: Vec<(u64, u16, bool)> = again
        .iter()
        .map(|effect| match effect {
            Effect::Deliver { entry, .. } => (entry.lsn, entry.delivery_count, entry.may_have_been_delivered()),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(counts, [(1, 1, true), (2, 0, false), (4, 0, false)]);
}

#[test]
fn a_lost_consumer_counts_as_an_attempt() {
    let (mut engine, queue, consumer) = one_queue(line("q"), 3, 2);
    assert_eq!(lsns(&deliveries(&mut engine)), [1, 2]);
    engine.remove_consumer(consumer);
    engine.check_invariants();
    let heir = engine.add_consumer(queue, ConsumerSpec::default());
    engine.credit(heir, 5);
    let counts: Vec<(u64, u16)> = effects(&mut engine, 0)
        .iter()
        .map(|effect| match effect {
            Effect::Deliver { entry, .. } => (entry.lsn, entry.delivery_count),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(counts, [(1, 1), (2, 1), (3, 0)]);
}

#[test]
fn settlement_after_the_consumer_is_gone_is_unknown() {
    let (mut engine, _, consumer) = one_queue(line("q"), 1, 1);
    let (_, _, token) = deliveries(&mut engine)[0];
    engine.remove_consumer(consumer);
    assert_eq!(engine.settle(token, Settle::Accept), Err(UnknownDelivery(token)));
    assert_eq!(engine.queues().next().unwrap().messages, 1);
}

#[test]
fn higher_priority_first_and_fifo_within() {
    let mut engine = engine(&[line("q")]);
    let queue = engine.resolve("q").unwrap();
    for (lsn, priority) in [(1, 0), (2, 9), (3, 4), (4, 9), (5, 200), (6, 0)] {
        engine.publish(queue, Entry { priority, ..entry(lsn) }, Visibility::Now);
    }
    let consumer = engine.add_consumer(queue, ConsumerSpec::default());
    engine.credit(consumer, 100);
    assert_eq!(lsns(&deliveries(&mut engine)), [2, 4, 5, 3, 1, 6]);
}

#[test]
fn round_robin_among_those_with_credit() {
    let (mut engine, queue, first) = one_queue(line("q"), 6, 2);
    let second = engine.add_consumer(queue, ConsumerSpec::default());
    engine.add_consumer(queue, ConsumerSpec::default());
    engine.credit(second, 9);
    let takers: Vec<ConsumerId> = deliveries(&mut engine).iter().map(|delivery| delivery.1).collect();
    assert_eq!(takers, [first, second, first, second, second, second]);
}

#[test]
fn a_busy_queue_does_not_starve_another() {
    let mut engine = engine(&[line("a"), line("b")]);
    let [busy, calm] = ["a", "b"].map(|name| engine.resolve(name).unwrap());
    for queue in [busy, calm] {
        let consumer = engine.add_consumer(queue, ConsumerSpec::default());
        engine.credit(consumer, 10_000);
    }
    for lsn in 1..=1000 {
        engine.publish(busy, entry(lsn), Visibility::Now);
    }
    engine.publish(calm, entry(1001), Visibility::Now);
    let order = lsns(&deliveries(&mut engine));
    assert!(order.iter().position(|lsn| *lsn == 1001).unwrap() <= 64);
    assert_eq!(order.len(), 1001);
}

#[test]
fn windows_bound_unsettled_deliveries() {
    let definition = QueueDefinition { prefetch: Prefetch::Count(3), ..line("q") };
    let (mut engine, queue, _) = one_queue(definition, 10, 100);
    let first = deliveries(&mut engine);
    assert_eq!(lsns(&first), [1, 2, 3]);
    engine.settle(first[2].2, Settle::Accept).unwrap();
    effects(&mut engine, 0);
    let narrow = engine.add_consumer(queue, take_all(1));
    engine.credit(narrow, 100);
    assert_eq!(engine.queues().next().unwrap().unsettled, 3);
    assert_eq!(deliveries(&mut engine).len(), 1);
}

#[test]
fn no_prefetch_is_one_at_a_time() {
    let definition = QueueDefinition { prefetch: Prefetch::None, ..line("q") };
    let (mut engine, ..) = one_queue(definition, 10, 100);
    assert_eq!(lsns(&deliveries(&mut engine)), [1]);
}

#[test]
fn an_exclusive_queue_serves_the_first_then_the_next() {
    let definition = QueueDefinition { exclusive: true, ..line("q") };
    let (mut engine, queue, first) = one_queue(definition, 3, 1);
    let second = engine.add_consumer(queue, ConsumerSpec::default());
    engine.credit(second, 9);
    let taken = deliveries(&mut engine);
    assert_eq!((taken.len(), taken[0].1), (1, first));
    engine.remove_consumer(first);
    let taken = deliveries(&mut engine);
    assert_eq!(lsns(&taken), [1, 2, 3]);
    assert!(taken.iter().all(|delivery| delivery.1 == second));
}

#[test]
fn undeliverable_here_goes_elsewhere() {
    let (mut engine, queue, first) = one_queue(line("q"), 2, 1);
    let token = deliveries(&mut engine)[0].2;
    engine.settle(token, Settle::Modify { failed: false, undeliverable_here: true }).unwrap();
    engine.credit(first, 9);
    assert_eq!(lsns(&deliveries(&mut engine)), [2], "the excluded one is passed over");
    let second = engine.add_consumer(queue, ConsumerSpec::default());
    engine.credit(second, 9);
    let taken = deliveries(&mut engine);
    assert_eq!((taken.len(), taken[0].0, taken[0].1), (1, 1, second));
    // It stays excluded for the first when the second gives it back.
    engine.remove_consumer(second);
    assert_eq!(deliveries(&mut engine), []);
    engine.remove_consumer(first);
    let third = engine.add_consumer(queue, ConsumerSpec::default());
    assert_ne!(first, third);
    engine.credit(third, 9);
    assert_eq!(lsns(&deliveries(&mut engine)), [1, 2]);
}

#[test]
fn excluded_heads_do_not_hide_others_from_others() {
    let (mut engine, queue, first) = one_queue(line("q"), 1, 1);
    let token = deliveries(&mut engine)[0].2;
    engine.settle(token, Settle::Modify { failed: false, undeliverable_here: true }).unwrap();
    let second = engine.add_consumer(queue, ConsumerSpec::default());
    engine.credit(first, 1);
    assert_eq!(deliveries(&mut engine), []);
    engine.credit(second, 1);
    assert_eq!(deliveries(&mut engine).len(), 1);
}

#[test]
fn unconfirmed_messages_wait() {
    let mut engine = engine(&[QueueDefinition { store: Some(SYNC), ..line("q") }]);
    let queue = engine.resolve("q").unwrap();
    let consumer = engine.add_consumer(queue, ConsumerSpec::default());
    engine.credit(consumer, 100);
    assert_eq!(engine.visibility(queue), Visibility::WhenConfirmed);
    for lsn in 10..15 {
        engine.publish(queue, entry(lsn), Visibility::WhenConfirmed);
    }
    assert_eq!(deliveries(&mut engine), []);
    engine.confirmed(ASYNC, 99);
    assert_eq!(deliveries(&mut engine), []);
    engine.confirmed(SYNC, 12);
    assert_eq!(lsns(&deliveries(&mut engine)), [10, 11, 12]);
    engine.confirmed(SYNC, 14);
    assert_eq!(lsns(&deliveries(&mut engine)), [13, 14]);
    engine.confirmed(SYNC, 20);
    engine.publish(queue, entry(15), Visibility::WhenConfirmed);
    assert_eq!(lsns(&deliveries(&mut engine)), [15]);
}

#[test]
fn an_unconfirmed_head_does_not_hold_up_other_priorities() {
    let mut engine = engine(&[QueueDefinition { store: Some(SYNC), ..line("q") }]);
    let queue = engine.resolve("q").unwrap();
    let consumer = engine.add_consumer(queue, ConsumerSpec::default());
    engine.credit(consumer, 100);
    engine.publish(queue, entry(1), Visibility::WhenConfirmed);
    engine.publish(queue, Entry { priority: 9, ..entry(2) }, Visibility::WhenConfirmed);
    engine.confirmed(SYNC, 1);
    assert_eq!(lsns(&deliveries(&mut engine)), [1]);
    engine.confirmed(SYNC, 2);
    assert_eq!(lsns(&deliveries(&mut engine)), [2]);
}

#[test]
fn recovered_messages_are_marked() {
    let mut engine = engine(&[QueueDefinition { store: Some(SYNC), ..line("q") }]);
    let queue = engine.resolve("q").unwrap();
    engine.begin_loading(queue);
    engine.recover(queue, Entry { flags: 0xf0, ..entry(5) });
    let consumer = engine.add_consumer(queue, ConsumerSpec::default());
    engine.credit(consumer, 1);
    match engine.poll_effect(0) {
        Some(Effect::Deliver { entry, .. }) => {
            assert!(entry.may_have_been_delivered());
            assert_eq!((entry.delivery_count, entry.flags & 0xf0), (0, 0xf0), "the server's bits come back");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn drain_delivers_then_reports() {
    let (mut engine, queue, consumer) = one_queue(line("q"), 2, 0);
    engine.drain(consumer, 5);
    let drained = effects(&mut engine, 0);
    assert!(matches!(drained[..], [Effect::Deliver { .. }, Effect::Deliver { .. }, Effect::Drained { .. }]));
    engine.publish(queue, entry(3), Visibility::Now);
    assert_eq!(effects(&mut engine, 0), [], "the credit is gone");
    engine.drain(consumer, 5);
    engine.drain(consumer, 5);
    assert_eq!(effects(&mut engine, 0).len(), 2, "one delivery, one report");
}

#[test]
fn drain_answers_whatever_holds_the_consumer_up() {
    // Empty queue.
    let (mut engine, _, consumer) = one_queue(line("q"), 0, 0);
    engine.drain(consumer, 5);
    assert_eq!(effects(&mut engine, 0), [Effect::Drained { consumer, unused: 5 }]);
    // Closed window.
    let (mut engine, _, consumer) = one_queue(QueueDefinition { prefetch: Prefetch::None, ..line("q") }, 2, 1);
    deliveries(&mut engine);
    engine.drain(consumer, 5);
    assert_eq!(effects(&mut engine, 0), [Effect::Drained { consumer, unused: 5 }]);
    // Standing by at an exclusive queue.
    let (mut engine, queue, _) = one_queue(QueueDefinition { exclusive: true, ..line("q") }, 2, 0);
    let second = engine.add_consumer(queue, ConsumerSpec::default());
    engine.drain(second, 5);
    assert_eq!(effects(&mut engine, 0), [Effect::Drained { consumer: second, unused: 5 }]);
    // Removed while it drains: nobody is left to tell.
    engine.drain(second, 5);
    engine.remove_consumer(second);
    assert_eq!(effects(&mut engine, 0), []);
}

#[test]
fn a_drain_of_exactly_the_credit_is_reported_too() {
    let (mut engine, _, consumer) = one_queue(line("q"), 9, 0);
    engine.drain(consumer, 2);
    let drained = effects(&mut engine, 0);
    assert!(matches!(drained[..], [Effect::Deliver { .. }, Effect::Deliver { .. }, Effect::Drained { .. }]));
}

#[test]
fn expired_messages_are_not_delivered() {
    let mut engine = engine(&[line("q")]);
    let queue = engine.resolve("q").unwrap();
    for (lsn, expires_at_ms) in [(1, 50), (2, 0), (3, 100), (4, 101)] {
        engine.publish(queue, Entry { expires_at_ms, ..entry(lsn) }, Visibility::Now);
    }
    let consumer = engine.add_consumer(queue, ConsumerSpec::default());
    engine.credit(consumer, 9);
    let seen = effects(&mut engine, 100);
    let expired = |lsn| move |effect: &Effect| matches!(effect, Effect::Remove { entry, reason: RemoveReason::Expired, .. } if entry.lsn == lsn);
    let delivered = |lsn| move |effect: &Effect| matches!(effect, Effect::Deliver { entry, .. } if entry.lsn == lsn);
    assert!(expired(1)(&seen[0]) && delivered(2)(&seen[1]) && expired(3)(&seen[2]) && delivered(4)(&seen[3]));
    assert_eq!(seen.len(), 4);
}

#[test]
fn browsers_see_everything_once_and_take_nothing() {
    let (mut engine, queue, taker) = one_queue(line("q"), 3, 0);
    engine.publish(queue, Entry { priority: 8, ..entry(4) }, Visibility::Now);
    let browser = engine.add_consumer(queue, ConsumerSpec { browse: true, window_max: 0 });
    engine.credit(browser, 100);
    let seen = deliveries(&mut engine);
    assert_eq!(lsns(&seen), [4, 1, 2, 3]);
    engine.settle(seen[0].2, Settle::Accept).unwrap();
    assert_eq!(effects(&mut engine, 0), [], "a browser removes nothing");
    engine.publish(queue, entry(5), Visibility::Now);
    assert_eq!(lsns(&deliveries(&mut engine)), [5]);
    engine.credit(taker, 100);
    assert_eq!(lsns(&deliveries(&mut engine)), [4, 1, 2, 3, 5]);
    engine.remove_consumer(browser);
    engine.check_invariants();
    assert_eq!(engine.queues().next().unwrap().unsettled, 5);
}

#[test]
fn a_browser_can_drain() {
    let (mut engine, queue, _) = one_queue(line("q"), 1, 0);
    let browser = engine.add_consumer(queue, ConsumerSpec { browse: true, window_max: 0 });
    engine.drain(browser, 10);
    let seen = effects(&mut engine, 0);
    assert!(matches!(seen[..], [Effect::Deliver { .. }, Effect::Drained { .. }]));
}

#[test]
fn stored_messages_of_a_name_that_is_not_allowed_any_more_are_kept() {
    let mut engine = Engine::new(Vec::new(), Stores { default: StoreId(0), sync: Vec::new() });
    let (queue, allowed) = engine.restore("gone.from.the.file");
    assert!(!allowed);
    engine.begin_loading(queue);
    engine.recover(queue, entry(1));
    assert_eq!(engine.resolve("gone.from.the.file"), Ok(queue), "a consumer can still drain it");
    assert_eq!(engine.restore("gone.from.the.file"), (queue, true));
}
