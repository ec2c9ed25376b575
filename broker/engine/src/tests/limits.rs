//! maxmsgs, maxbytes, overflowPolicy, maxRedelivery, sweeping.

use super::*;

fn full(limit: Limit, policy: OverflowPolicy) -> Result<(), Refusal> {
    Err(Refusal::Full { limit, policy })
}

fn fill(engine: &mut Engine, queue: QueueId, lsns: std::ops::RangeInclusive<u64>) {
    for lsn in lsns {
        engine.admit(0, queue, 100).unwrap();
        engine.publish(queue, entry(lsn), Visibility::Now);
    }
}

#[test]
fn a_full_queue_refuses() {
    for policy in [OverflowPolicy::Default, OverflowPolicy::RejectIncoming] {
        let mut engine = engine(&[QueueDefinition { maxmsgs: 2, overflow: policy, ..line("q") }]);
        let queue = engine.resolve("q").unwrap();
        fill(&mut engine, queue, 1..=2);
        assert_eq!(engine.admit(0, queue, 1), full(Limit::Messages(2), policy));
        // What consumers hold still counts.
        let consumer = engine.add_consumer(queue, ConsumerSpec::default());
        engine.credit(consumer, 1);
        let token = deliveries(&mut engine)[0].2;
        assert_eq!(engine.admit(0, queue, 1), full(Limit::Messages(2), policy));
        engine.settle(token, Settle::Accept).unwrap();
        assert_eq!(engine.admit(0, queue, 1), Ok(()));
    }
}

#[test]
fn bytes_are_limited() {
    let mut engine = engine(&[QueueDefinition { maxbytes: 250, ..line("q") }]);
    let queue = engine.resolve("q").unwrap();
    fill(&mut engine, queue, 1..=2);
    assert_eq!(engine.admit(0, queue, 50), Ok(()));
    assert_eq!(engine.admit(0, queue, 51), full(Limit::Bytes(250), OverflowPolicy::Default));
}

#[test]
fn discard_old_makes_room() {
    let definition = QueueDefinition { maxbytes: 300, overflow: OverflowPolicy::DiscardOld, ..line("q") };
    let mut engine = engine(&[definition]);
    let queue = engine.resolve("q").unwrap();
    engine.publish(queue, Entry { priority: 9, ..entry(1) }, Visibility::Now);
    fill(&mut engine, queue, 2..=3);
    assert_eq!(engine.admit(0, queue, 200), Ok(()));
    let discarded: Vec<u64> = effects(&mut engine, 0)
        .iter()
        .map(|effect| match effect {
            Effect::Remove { entry, reason: RemoveReason::Discarded, .. } => entry.lsn,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(discarded, [1, 2], "the oldest, whatever their priority");
    // Larger than the queue can ever hold: nothing is sacrificed for it.
    assert_eq!(engine.admit(0, queue, 301), full(Limit::Bytes(300), OverflowPolicy::DiscardOld));
    assert_eq!(effects(&mut engine, 0), []);
}

#[test]
fn discard_old_cannot_take_what_consumers_hold() {
    let definition = QueueDefinition { maxmsgs: 1, overflow: OverflowPolicy::DiscardOld, ..line("q") };
    let mut engine = engine(&[definition]);
    let queue = engine.resolve("q").unwrap();
    fill(&mut engine, queue, 1..=1);
    let consumer = engine.add_consumer(queue, ConsumerSpec::default());
    engine.credit(consumer, 1);
    deliveries(&mut engine);
    assert_eq!(engine.admit(0, queue, 1), full(Limit::Messages(1), OverflowPolicy::DiscardOld));
}

#[test]
fn expired_heads_make_room_first() {
    let mut engine = engine(&[QueueDefinition { maxmsgs: 1, ..line("q") }]);
    let queue = engine.resolve("q").unwrap();
    engine.publish(queue, Entry { expires_at_ms: 10, ..entry(1) }, Visibility::Now);
    assert!(engine.admit(9, queue, 1).is_err());
    assert_eq!(engine.admit(10, queue, 1), Ok(()));
    assert!(matches!(effects(&mut engine, 10)[..], [Effect::Remove { reason: RemoveReason::Expired, .. }]));
}

#[test]
fn attempts_are_limited() {
    let mut engine = engine(&[QueueDefinition { max_redelivery: 2, ..line("q") }]);
    let queue = engine.resolve("q").unwrap();
    fill(&mut engine, queue, 1..=1);
    let consumer = engine.add_consumer(queue, ConsumerSpec::default());
    engine.credit(consumer, 100);
    let failed = Settle::Modify { failed: true, undeliverable_here: false };
    for outcome in [Settle::Release, failed, Settle::Release, failed] {
        let token = deliveries(&mut engine)[0].2;
        engine.settle(token, outcome).unwrap();
    }
    let last = effects(&mut engine, 0);
    assert!(matches!(last[..], [Effect::Remove { reason: RemoveReason::MaxRedelivery, .. }]), "{last:?}");
    assert_eq!(engine.queues().next().unwrap().messages, 0);
}

#[test]
fn sweeping_finds_what_nobody_passes() {
    let mut engine = engine(&[line("a"), line("b")]);
    let queues = ["a", "b"].map(|name| engine.resolve(name).unwrap());
    for (index, queue) in queues.into_iter().enumerate() {
        for lsn in 0..500 {
            // Every tenth stays, among them the very first.
            let expires_at_ms = if lsn % 10 == 0 { 0 } else { 100 };
            let entry = Entry { expires_at_ms, ..entry(index as u64 * 500 + lsn + 1) };
            engine.publish(queue, entry, Visibility::Now);
        }
    }
    let mut steps = 0;
    let mut gone = Vec::new();
    while gone.len() < 900 {
        engine.sweep(100, 64);
        let step = effects(&mut engine, 0);
        assert!(step.len() <= 64, "the budget bounds a step");
        gone.extend(step);
        steps += 1;
        assert!(steps < 50, "the sweep moves on");
    }
    engine.sweep(100, 10_000);
    assert_eq!(effects(&mut engine, 0), []);
    let left: Vec<u64> = engine.queues().map(|queue| queue.messages).collect();
    assert_eq!(left, [50, 50]);
    let consumer = engine.add_consumer(queues[0], ConsumerSpec::default());
    engine.credit(consumer, 1000);
    let order = lsns(&deliveries(&mut engine));
    assert_eq!(order, (0..50).map(|index| index * 10 + 1).collect::<Vec<u64>>());
}

#[test]
fn a_browser_keeps_its_place_when_holes_are_closed() {
    let mut engine = engine(&[line("q")]);
    let queue = engine.resolve("q").unwrap();
    for lsn in 1..=200 {
        let expires_at_ms = if lsn % 4 == 1 { 0 } else { 100 };
        engine.publish(queue, Entry { expires_at_ms, ..entry(lsn) }, Visibility::Now);
    }
    let browser = engine.add_consumer(queue, ConsumerSpec { browse: true, window_max: 0 });
    engine.credit(browser, 100);
    assert_eq!(lsns(&deliveries(&mut engine)).last(), Some(&100));
    engine.sweep(100, 10_000);
    effects(&mut engine, 100);
    engine.credit(browser, 100);
    assert_eq!(lsns(&deliveries(&mut engine)), (101..=200).step_by(4).collect::<Vec<u64>>());
}
