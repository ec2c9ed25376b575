//! Queues that are used while a recovered store still hands over what they hold.

use super::*;

/// A queue that waits for its backlog.
fn loading(definition: QueueDefinition) -> (Engine, QueueId) {
    let mut engine = engine(&[definition]);
    let queue = engine.resolve("q").unwrap();
    engine.begin_loading(queue);
    (engine, queue)
}

fn recover(engine: &mut Engine, queue: QueueId, lsns: std::ops::RangeInclusive<u64>) {
    lsns.for_each(|lsn| engine.recover(queue, entry(lsn)));
}

fn consumer(engine: &mut Engine, queue: QueueId, credit: u32) -> ConsumerId {
    let consumer = engine.add_consumer(queue, ConsumerSpec::default());
    engine.credit(consumer, credit);
    consumer
}

#[test]
fn loaded_messages_are_delivered_at_once_and_arrivals_behind_the_last_of_them() {
    let (mut engine, queue) = loading(line("q"));
    consumer(&mut engine, queue, 100);
    engine.publish(queue, entry(10), Visibility::Now);
    assert_eq!(lsns(&deliveries(&mut engine)), []);
    recover(&mut engine, queue, 1..=2);
    assert_eq!(lsns(&deliveries(&mut engine)), [1, 2]);
    engine.publish(queue, Entry { priority: 9, ..entry(11) }, Visibility::Now);
    recover(&mut engine, queue, 3..=3);
    assert_eq!(lsns(&deliveries(&mut engine)), [3]);
    engine.end_loading(queue);
    assert_eq!(lsns(&deliveries(&mut engine)), [11, 10], "now by priority");
    engine.publish(queue, entry(12), Visibility::Now);
    assert_eq!(lsns(&deliveries(&mut engine)), [12]);
}

#[test]
fn a_queue_with_two_backlogs_waits_for_both() {
    let (mut engine, queue) = loading(line("q"));
    engine.begin_loading(queue);
    consumer(&mut engine, queue, 100);
    engine.publish(queue, entry(10), Visibility::Now);
    engine.end_loading(queue);
    assert_eq!(lsns(&deliveries(&mut engine)), []);
    recover(&mut engine, queue, 1..=1);
    engine.end_loading(queue);
    assert_eq!(lsns(&deliveries(&mut engine)), [1, 10]);
}

#[test]
fn an_arrival_in_a_sync_store_waits_for_its_confirmation_too() {
    let (mut engine, queue) = loading(QueueDefinition { store: Some(SYNC), ..line("q") });
    consumer(&mut engine, queue, 100);
    engine.publish(queue, entry(10), Visibility::WhenConfirmed);
    engine.publish(queue, entry(11), Visibility::WhenConfirmed);
    engine.confirmed(SYNC, 10);
    assert_eq!(lsns(&deliveries(&mut engine)), []);
    engine.end_loading(queue);
    assert_eq!(lsns(&deliveries(&mut engine)), [10]);
    engine.confirmed(SYNC, 11);
    assert_eq!(lsns(&deliveries(&mut engine)), [11]);
}

#[test]
fn a_drain_is_answered_when_the_queue_is_loaded() {
    let (mut engine, queue) = loading(line("q"));
    let consumer = engine.add_consumer(queue, ConsumerSpec::default());
    engine.drain(consumer, 5);
    assert_eq!(effects(&mut engine, 0), []);
    recover(&mut engine, queue, 1..=2);
    assert_eq!(deliveries(&mut engine).len(), 2);
    engine.publish(queue, entry(3), Visibility::Now);
    engine.end_loading(queue);
    let rest = effects(&mut engine, 0);
    assert!(matches!(rest[..], [Effect::Deliver { .. }, Effect::Drained { .. }]), "{rest:?}");
}

#[test]
fn a_consumer_may_leave_and_give_back_while_its_queue_is_loaded() {
    let (mut engine, queue) = loading(line("q"));
    let first = consumer(&mut engine, queue, 2);
    recover(&mut engine, queue, 1..=3);
    engine.publish(queue, entry(10), Visibility::Now);
    assert_eq!(lsns(&deliveries(&mut engine)), [1, 2]);
    engine.drain(first, 0);
    engine.remove_consumer(first);
    recover(&mut engine, queue, 4..=4);
    engine.end_loading(queue);
    consumer(&mut engine, queue, 100);
    assert_eq!(lsns(&deliveries(&mut engine)), [1, 2, 3, 4, 10]);
}

#[test]
fn a_browser_sees_the_loaded_part_and_then_the_rest() {
    let (mut engine, queue) = loading(line("q"));
    let browser = engine.add_consumer(queue, ConsumerSpec { browse: true, window_max: 0 });
    engine.credit(browser, 100);
    recover(&mut engine, queue, 1..=2);
    engine.publish(queue, entry(10), Visibility::Now);
    assert_eq!(lsns(&deliveries(&mut engine)), [1, 2]);
    recover(&mut engine, queue, 3..=3);
    assert_eq!(lsns(&deliveries(&mut engine)), [3]);
    engine.end_loading(queue);
    assert_eq!(lsns(&deliveries(&mut engine)), [10]);
}

#[test]
fn expired_messages_of_the_loaded_part_are_swept_and_arrivals_afterwards() {
    let (mut engine, queue) = loading(line("q"));
    let expiring = |lsn| Entry { expires_at_ms: 5, ..entry(lsn) };
    recover(&mut engine, queue, 1..=1);
    engine.recover(queue, expiring(2));
    engine.publish(queue, expiring(10), Visibility::Now);
    engine.sweep(9, 100);
    assert_eq!(effects(&mut engine, 9).len(), 1);
    engine.end_loading(queue);
    engine.sweep(9, 100);
    engine.sweep(9, 100);
    assert_eq!(effects(&mut engine, 9).len(), 1);
    assert_eq!(engine.queues().next().unwrap().messages, 1);
}

#[test]
fn limits_count_what_is_loaded_and_what_arrived() {
    let (mut engine, queue) = loading(QueueDefinition { maxmsgs: 2, ..line("q") });
    recover(&mut engine, queue, 1..=1);
    assert_eq!(engine.admit(0, queue, 1), Ok(()));
    engine.publish(queue, entry(10), Visibility::Now);
    assert!(engine.admit(0, queue, 1).is_err());
    // No limit holds back what is stored.
    recover(&mut engine, queue, 2..=4);
    engine.end_loading(queue);
    assert!(!engine.trim(100) && effects(&mut engine, 0).is_empty());
    assert_eq!(engine.queues().next().unwrap().messages, 5);
}

#[test]
fn discard_old_waits_until_the_oldest_are_known_and_goes_in_steps() {
    let definition = QueueDefinition { maxmsgs: 3, maxbytes: 1000, overflow: OverflowPolicy::DiscardOld, ..line("q") };
    let (mut engine, queue) = loading(definition);
    recover(&mut engine, queue, 5..=6);
    for lsn in 10..=13 {
        assert_eq!(engine.admit(0, queue, 100), Ok(()));
        engine.publish(queue, entry(lsn), Visibility::Now);
    }
    assert!(engine.admit(0, queue, 1001).is_err(), "never fits");
    recover(&mut engine, queue, 7..=7);
    assert!(!engine.trim(100) && effects(&mut engine, 0).is_empty());
    engine.end_loading(queue);
    let discarded = |effects: Vec<Effect>| -> Vec<u64> {
        let lsn = |effect: &Effect| match effect {
            Effect::Remove { entry, reason: RemoveReason::Discarded, .. } => entry.lsn,
            other => panic!("{other:?}"),
        };
        effects.iter().map(lsn).collect()
    };
    assert!(engine.trim(3));
    assert_eq!(discarded(effects(&mut engine, 0)), [5, 6, 7]);
    assert_eq!(engine.admit(0, queue, 100), Ok(()), "the trim goes on, no publish waits for all of it");
    assert!(!engine.trim(3));
    assert_eq!(discarded(effects(&mut engine, 0)), [10]);
    assert_eq!(engine.admit(0, queue, 100), Ok(()));
    assert_eq!(discarded(effects(&mut engine, 0)), [11], "as usual from here on");
}

#[test]
#[should_panic(expected = "announced before it is loaded")]
fn what_was_not_announced_is_not_loaded() {
    let mut engine = engine(&[line("q")]);
    let queue = engine.resolve("q").unwrap();
    engine.recover(queue, entry(1));
}
