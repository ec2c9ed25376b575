//! Timers.

use crate::harness::Harness;
use reactor::Event;

fn next_timer(harness: &mut Harness) -> u64 {
    harness.expect("Timer", |event| match event {
        Event::Timer(token) => Ok(token),
        other => Err(other),
    })
}

pub(crate) fn timers_fire_in_order_and_not_early(harness: &mut Harness) {
    let start = harness.reactor.now();
    let deadlines = [(3, 9_000_000), (1, 3_000_000), (2, 6_000_000), (4, 9_000_001)];
    for (token, after) in deadlines {
        harness.reactor.set_timer(start + after, token);
    }
    for expected in [1, 2, 3, 4] {
        assert_eq!(next_timer(harness), expected);
        let (_, after) = deadlines.into_iter().find(|(token, _)| *token == expected).expect("one of them");
        assert!(harness.reactor.now() >= start + after, "timer {expected} was early");
    }
    assert!(harness.events_within(1_000_000).is_empty());
}

pub(crate) fn the_earliest_deadline_of_a_token_wins(harness: &mut Harness) {
    let start = harness.reactor.now();
    for after in [400_000_000, 2_000_000, 200_000_000] {
        harness.reactor.set_timer(start + after, 7);
    }
    assert_eq!(next_timer(harness), 7);
    let after = harness.reactor.now() - start;
    assert!((2_000_000..200_000_000).contains(&after), "{after}");
    assert!(harness.events_within(450_000_000).is_empty(), "it fires once");
}

pub(crate) fn a_timer_in_the_past_fires_at_once(harness: &mut Harness) {
    harness.reactor.set_timer(0, 1);
    harness.reactor.set_timer(harness.reactor.now(), 2);
    assert_eq!((next_timer(harness), next_timer(harness)), (1, 2));
}
