//! Other threads: wake-ups and workers.

use crate::harness::Harness;
use reactor::{Event, Full};
use std::time::Duration;

fn woken(harness: &mut Harness) {
    harness.expect("Woken", |event| match event {
        Event::Woken => Ok(()),
        other => Err(other),
    });
}

pub(crate) fn a_wake_up_is_reported_once(harness: &mut Harness) {
    let waker = harness.reactor.waker().expect("a waker");
    for _ in 0..3 {
        (0..5).for_each(|_| waker.wake());
        woken(harness);
        assert!(harness.events_within(2_000_000).is_empty(), "five calls before the report are one");
    }
}

pub(crate) fn another_thread_ends_the_wait(harness: &mut Harness) {
    let first = harness.reactor.waker().expect("a waker");
    let second = harness.reactor.waker().expect("another");
    for waker in [first, second] {
        std::thread::spawn(move || waker.wake()).join().expect("the thread ends");
        woken(harness);
    }
}

pub(crate) fn workers_give_all_results(harness: &mut Harness) {
    let mut workers = harness.reactor.workers(2, 100).expect("threads");
    (0..100u64).for_each(|number| workers.submit(move || number * number).expect("there is room"));
    let mut results = Vec::new();
    while results.len() < 100 {
        woken(harness);
        results.extend(std::iter::from_fn(|| workers.take()));
    }
    results.sort_unstable();
    assert_eq!(results, (0..100).map(|number| number * number).collect::<Vec<u64>>());
    assert_eq!(workers.take(), None);
}

pub(crate) fn workers_refuse_what_is_too_much(harness: &mut Harness) {
    let mut workers = harness.reactor.workers(1, 2).expect("a thread");
    let work = || std::thread::sleep(Duration::from_millis(20));
    let taken = (0..10).take_while(|_| workers.submit(work) != Err(Full)).count();
    assert!((2..=3).contains(&taken), "{taken}: two wait, and one may have begun");
    let mut results = 0;
    while results < taken {
        woken(harness);
        results += std::iter::from_fn(|| workers.take()).count();
    }
    assert_eq!(workers.submit(work), Ok(()), "there is room again");
}

pub(crate) fn workers_end_with_what_waits_undone(harness: &mut Harness) {
    let mut workers = harness.reactor.workers(1, 100).expect("a thread");
    (0..100).for_each(|_| workers.submit(|| std::thread::sleep(Duration::from_secs(1))).expect("there is room"));
    // The harness would lose its patience with a hundred seconds.
    drop(workers);
    assert!(harness.events_within(1_000_000).len() <= 1, "at most the end of the one that was begun");
}
