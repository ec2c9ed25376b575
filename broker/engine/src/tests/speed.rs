//! What one message costs. Run it with `cargo test --release -p engine speed -- --nocapture`.

use super::*;
use std::time::Instant;

/// Messages in flight at a time.
const WINDOW: u64 = 256;
const MESSAGES: u64 = 1_000_000;

#[test]
fn speed_of_publish_deliver_accept() {
    let mut engine = engine(&[QueueDefinition { store: Some(SYNC), ..line("q") }]);
    let queue = engine.resolve("q").unwrap();
    let consumer = engine.add_consumer(queue, ConsumerSpec::default());
    let messages = if cfg!(debug_assertions) { MESSAGES / 50 } else { MESSAGES };
    let start = Instant::now();
    let (mut delivered, mut removed) = (0, 0);
    for batch in 0..messages / WINDOW {
        engine.credit(consumer, WINDOW as u32);
        for lsn in batch * WINDOW..(batch + 1) * WINDOW {
            engine.admit(0, queue, 100).unwrap();
            engine.publish(queue, entry(lsn + 1), Visibility::WhenConfirmed);
        }
        engine.confirmed(SYNC, (batch + 1) * WINDOW);
        while let Some(effect) = engine.poll_effect(0) {
            match effect {
                Effect::Deliver { token, .. } => {
                    delivered += 1;
                    engine.settle(token, Settle::Accept).unwrap();
                }
                Effect::Remove { .. } => removed += 1,
                Effect::Drained { .. } | Effect::Vacant { .. } => panic!("nobody drains, all queues stay"),
            }
        }
    }
    let each = start.elapsed().as_nanos() / u128::from(delivered);
    println!("publish + deliver + accept: {each} ns in all");
    assert_eq!((delivered, removed), (messages / WINDOW * WINDOW, delivered));
}
