//! New definitions, purges, deletion.

use super::*;

fn queue_of(engine: &mut Engine, name: &str, lsns: std::ops::RangeInclusive<u64>) -> QueueId {
    let queue = engine.resolve(name).unwrap();
    lsns.for_each(|lsn| engine.publish(queue, entry(lsn), Visibility::Now));
    queue
}

fn purged(engine: &mut Engine) -> Vec<u64> {
    let lsn_of = |effect| match effect {
        Effect::Remove { entry, reason: RemoveReason::Purged, .. } => Some(entry.lsn),
        Effect::Vacant { .. } => None,
        other => panic!("{other:?}"),
    };
    effects(engine, 0).into_iter().filter_map(lsn_of).collect()
}

fn names(engine: &Engine) -> Vec<&str> {
    engine.queues().map(|queue| queue.name).collect()
}

#[test]
fn a_purge_goes_by_steps_and_takes_what_waited_when_it_was_asked_for() {
    let mut engine = engine(&[line("q")]);
    let queue = queue_of(&mut engine, "q", 1..=4);
    engine.publish(queue, Entry { priority: 9, ..entry(5) }, Visibility::Now);
    let consumer = engine.add_consumer(queue, ConsumerSpec::default());
    engine.credit(consumer, 1);
    let held = deliveries(&mut engine);
    assert_eq!(lsns(&held), [5]);
    assert_eq!(engine.purge(queue), Ok(5));
    engine.publish(queue, entry(6), Visibility::Now);
    assert!(engine.trim(3) && engine.is_purging(queue));
    assert_eq!(purged(&mut engine), [1, 2, 3]);
    assert!(!engine.trim(3) && !engine.is_purging(queue));
    assert_eq!(purged(&mut engine), [4]);
    // What was held comes back and stays.
    engine.settle(held[0].2, Settle::Release).unwrap();
    engine.credit(consumer, 5);
    assert_eq!(lsns(&deliveries(&mut engine)), [5, 6]);
}

#[test]
fn a_purge_keeps_its_end_when_holes_are_closed() {
    let mut engine = engine(&[line("q")]);
    let queue = engine.resolve("q").unwrap();
    engine.publish(queue, entry(1), Visibility::Now);
    (2..=200).for_each(|lsn| engine.publish(queue, Entry { expires_at_ms: 10, ..entry(lsn) }, Visibility::Now));
    engine.publish(queue, entry(201), Visibility::Now);
    engine.purge(queue).unwrap();
    (202..=260).for_each(|lsn| engine.publish(queue, entry(lsn), Visibility::Now));
    engine.sweep(11, 1000);
    assert_eq!(effects(&mut engine, 11).len(), 199, "expired");
    assert!(!engine.trim(1000));
    assert_eq!(purged(&mut engine), [1, 201]);
    assert_eq!(engine.messages(queue), 59);
}

#[test]
fn a_queue_that_is_loaded_is_not_purged() {
    let mut engine = engine(&[line("q")]);
    let queue = engine.resolve("q").unwrap();
    engine.begin_loading(queue);
    assert_eq!(engine.purge(queue), Err(StillLoading));
    engine.end_loading(queue);
    assert_eq!(engine.purge(queue), Ok(0));
    assert!(!engine.trim(1));
}

#[test]
fn new_limits_hold_at_once() {
    let mut engine = engine(&[line("q")]);
    let queue = queue_of(&mut engine, "q", 1..=5);
    let limited = QueueDefinition { maxmsgs: 2, ..line("q") };
    assert_eq!(engine.redefine(vec![limited.clone(), line("other")]), []);
    assert_eq!(names(&engine), ["q", "other"]);
    let refusal = Refusal::Full { limit: Limit::Messages(2), policy: OverflowPolicy::Default };
    assert_eq!(engine.admit(0, queue, 1), Err(refusal));
    assert!(!engine.trim(10), "what is there stays");
    engine.redefine(vec![QueueDefinition { overflow: OverflowPolicy::DiscardOld, ..limited }, line("other")]);
    assert!(!engine.trim(10));
    let left = effects(&mut engine, 0);
    assert!(left.iter().all(|effect| matches!(effect, Effect::Remove { reason: RemoveReason::Discarded, .. })));
    assert_eq!((left.len(), engine.messages(queue)), (3, 2));
}

#[test]
fn exclusive_can_be_switched() {
    let mut engine = engine(&[line("q")]);
    let queue = engine.resolve("q").unwrap();
    let first = engine.add_consumer(queue, ConsumerSpec::default());
    let second = engine.add_consumer(queue, ConsumerSpec::default());
    engine.credit(second, 10);
    engine.credit(first, 10);
    engine.redefine(vec![QueueDefinition { exclusive: true, ..line("q") }]);
    queue_of(&mut engine, "q", 1..=2);
    let taken = deliveries(&mut engine);
    assert!(taken.len() == 2 && taken.iter().all(|(_, consumer, _)| *consumer == first));
    engine.redefine(vec![line("q")]);
    queue_of(&mut engine, "q", 3..=4);
    assert!(deliveries(&mut engine).iter().any(|(_, consumer, _)| *consumer == second));
}

#[test]
fn a_queue_with_messages_keeps_its_store() {
    let mut engine = engine(&[line("full"), line("empty")]);
    let full = queue_of(&mut engine, "full", 1..=1);
    let empty = engine.resolve("empty").unwrap();
    let moved = |name| QueueDefinition { store: Some(SYNC), ..line(name) };
    assert_eq!(engine.redefine(vec![moved("full"), moved("empty")]), [full]);
    assert_eq!((engine.store_of(full), engine.store_of(empty)), (ASYNC, SYNC));
    assert_eq!(engine.visibility(empty), Visibility::WhenConfirmed);
}

#[test]
fn a_queue_that_is_allowed_no_more_leaves_when_it_is_empty_and_unused() {
    let mut engine = engine(&[line("empty"), line("used"), line("stays")]);
    let empty = engine.resolve("empty").unwrap();
    let used = queue_of(&mut engine, "used", 1..=1);
    let consumer = engine.add_consumer(used, ConsumerSpec::default());
    engine.redefine(vec![line("stays")]);
    assert_eq!(effects(&mut engine, 0), [Effect::Vacant { queue: empty }]);
    assert_eq!(engine.remove_queue(empty).as_deref(), Some("empty"));
    assert_eq!(names(&engine), ["used", "stays"]);
    assert_eq!(engine.resolve("empty"), Err(NameError::NotAllowed("empty".into())));
    assert_eq!(engine.resolve("used"), Ok(used), "what it holds can be had");
    engine.credit(consumer, 1);
    let token = deliveries(&mut engine)[0].2;
    engine.settle(token, Settle::Accept).unwrap();
    assert_eq!(effects(&mut engine, 0).len(), 1, "the consumer is still there");
    engine.remove_consumer(consumer);
    assert_eq!(effects(&mut engine, 0), [Effect::Vacant { queue: used }]);
    // Something came before the answer: it is told again.
    engine.publish(used, entry(2), Visibility::Now);
    assert_eq!(engine.remove_queue(used), None);
    engine.purge(used).unwrap();
    engine.trim(10);
    assert_eq!(effects(&mut engine, 0).last(), Some(&Effect::Vacant { queue: used }));
    assert!(engine.remove_queue(used).is_some());
    engine.check_invariants();
}

#[test]
fn the_place_of_a_queue_is_used_again() {
    let mut engine = engine(&[line("a"), line("b")]);
    for _ in 0..100 {
        let a = engine.resolve("a").unwrap();
        engine.redefine(vec![line("b")]);
        engine.poll_effect(0);
        engine.remove_queue(a);
        engine.redefine(vec![line("a"), line("b")]);
        assert_eq!(engine.resolve("a"), Ok(a));
    }
    assert_eq!(engine.queues.len(), 2);
}

#[test]
fn deletion_waits_for_consumers_and_empties_the_queue() {
    let mut engine = engine(&[line(">")]);
    let queue = queue_of(&mut engine, "q", 1..=3);
    let consumer = engine.add_consumer(queue, ConsumerSpec::default());
    engine.credit(consumer, 1);
    deliveries(&mut engine);
    engine.delete(queue);
    assert_eq!(engine.resolve("q"), Err(NameError::Deleted("q".into())));
    assert_eq!(engine.admit(0, queue, 1), Err(Refusal::Deleted));
    engine.trim(10);
    assert_eq!(purged(&mut engine), [2, 3]);
    engine.redefine(vec![line("q")]);
    engine.remove_consumer(consumer);
    engine.trim(10);
    assert_eq!(purged(&mut engine), [1], "what was held leaves as well");
    assert_eq!(engine.remove_queue(queue).as_deref(), Some("q"));
    // It was defined again meanwhile.
    assert_eq!((names(&engine), engine.messages(queue)), (vec!["q"], 0));
    assert!(engine.resolve("q").is_ok());
}

#[test]
fn deletion_of_a_queue_that_is_loaded_waits_for_its_backlog() {
    let mut engine = engine(&[line("q")]);
    let queue = engine.resolve("q").unwrap();
    engine.begin_loading(queue);
    engine.recover(queue, entry(1));
    engine.delete(queue);
    assert!(!engine.trim(10));
    engine.recover(queue, entry(2));
    engine.end_loading(queue);
    engine.trim(10);
    assert_eq!(purged(&mut engine), [1, 2]);
    assert!(engine.remove_queue(queue).is_some());
}
