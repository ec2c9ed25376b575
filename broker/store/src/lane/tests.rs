//! The lane by itself: order, prefix, gates and limits, with completions given by hand.

use super::*;
use crate::Config;
use crate::api::StoreConfig;
use crate::format::IndexEntry;
use crate::port::tests::opened;
use disk::DiskRequest;

fn shared(mode: Mode, writes_in_flight_max: usize) -> Rc<Shared> {
    let store = StoreConfig { name: "s".into(), file: "s.db".into(), mode, minimum_bytes: 0 };
    let config = Config {
        segment_bytes: 128 << 10,
        batch_bytes_max: 16 << 10,
        writes_in_flight_max,
        sync_unflushed_max: 256 << 10,
        ..Config::new("/f".into(), vec![store])
    };
    Shared::new(config, 1, disk::sim::aligned)
}

fn lane(shared: &Rc<Shared>) -> Lane {
    let identity = LaneIdentity { store_id: 1, epoch: 1, attempt: 1, number: 1 };
    let standing = (1..=2).map(|sequence| opened(&shared.port, &format!("/f/s.db/{sequence}"))).collect();
    Lane::new(shared, identity, 1, Segments::default(), standing)
}

fn publish(lane: &mut Lane, bytes: usize) -> Result<Appended, Refused> {
    lane.publish(&[1], MessageKey::default(), &[&vec![1; bytes]])
}

fn writes(shared: &Rc<Shared>) -> Vec<DiskRequest> {
    std::iter::from_fn(|| shared.port.poll()).filter(|request| matches!(request.op, DiskOp::Write { .. })).collect()
}

#[test]
fn only_the_contiguous_prefix_is_durable() {
    let shared = shared(Mode::Sync, 3);
    let mut lane = lane(&shared);
    lane.write_time = OVERLAP_FROM;
    for _ in 0..3 {
        publish(&mut lane, 100).expect("room");
        lane.flush(0, false);
    }
    let ids: Vec<u64> = writes(&shared).iter().map(|request| request.id).collect();
    assert_eq!(ids.len(), 3);
    lane.written(0, ids[2]);
    assert_eq!(lane.durable(), 0);
    lane.written(0, ids[0]);
    assert_eq!(lane.durable(), 1);
    lane.written(0, ids[1]);
    assert_eq!((lane.durable(), lane.is_dirty()), (3, false));
    assert!(lane.checked(2) && !lane.checked(2) && lane.confirmable() == 2);
}

#[test]
fn records_wait_for_the_write_in_flight_and_go_out_together() {
    let shared = shared(Mode::Sync, 1);
    let mut lane = lane(&shared);
    publish(&mut lane, 100).expect("room");
    lane.flush(0, false);
    let first = writes(&shared);
    (0..20).for_each(|_| assert!(publish(&mut lane, 100).is_ok()));
    lane.flush(0, false);
    assert_eq!((first.len(), writes(&shared).len()), (1, 0));
    lane.written(0, first[0].id);
    lane.flush(0, false);
    assert_eq!(writes(&shared).len(), 1);
}

/// Completes the oldest write after `time`.
fn complete(lane: &mut Lane, now: &mut Nanos, time: Nanos, requests: &mut VecDeque<u64>) {
    *now += time;
    lane.written(*now, requests.pop_front().expect("a write in flight"));
}

#[test]
fn on_a_slow_disk_fair_shares_are_written_beside_each_other() {
    let shared = shared(Mode::Sync, 4);
    let mut lane = lane(&shared);
    let mut requests: VecDeque<u64> = VecDeque::new();
    let mut now = 0;
    let publish_and_flush = |lane: &mut Lane, now, count: usize| {
        (0..count).for_each(|_| assert!(publish(lane, 10).is_ok()));
        lane.flush(now, false);
        writes(&shared).iter().map(|request| request.id).collect::<Vec<_>>()
    };
    requests.extend(publish_and_flush(&mut lane, now, 3));
    assert_eq!(publish_and_flush(&mut lane, now, 3).len(), 0, "nobody knows yet that the disk is slow");
    complete(&mut lane, &mut now, 80 * OVERLAP_FROM, &mut requests);
    requests.extend(publish_and_flush(&mut lane, now, 3));
    assert_eq!(requests.len(), 1);
    // Six are under way: one is less than a fifth of all, two are not.
    assert_eq!(publish_and_flush(&mut lane, now, 1).len(), 0);
    requests.extend(publish_and_flush(&mut lane, now, 1));
    assert_eq!(requests.len(), 2);
    (0..2).for_each(|_| complete(&mut lane, &mut now, OVERLAP_FROM, &mut requests));
    lane.write_time = OVERLAP_FROM - 1;
    requests.extend(publish_and_flush(&mut lane, now, 1));
    assert_eq!(publish_and_flush(&mut lane, now, 100).len(), 0, "the disk is fast again");
}

#[test]
fn what_is_in_flight_fits_in_half_a_segment() {
    let shared = shared(Mode::Sync, 4);
    let mut lane = lane(&shared);
    lane.write_time = OVERLAP_FROM;
    (0..2).for_each(|_| assert!(publish(&mut lane, 40 << 10).is_ok()));
    lane.flush(0, false);
    let first = writes(&shared);
    assert_eq!(first.len(), 1, "two would be more than half of 128 KiB");
    lane.written(0, first[0].id);
    lane.flush(0, false);
    assert_eq!(writes(&shared).len(), 1);
}

#[test]
fn an_async_lane_waits_for_its_time_but_not_for_the_write_before() {
    let shared = shared(Mode::Async, 2);
    let mut lane = lane(&shared);
    let interval = shared.config.async_flush_interval;
    publish(&mut lane, 100).expect("room");
    assert_eq!(lane.flush_at(), Some(interval));
    lane.flush(interval - 1, false);
    assert!(writes(&shared).is_empty());
    lane.flush(interval, false);
    publish(&mut lane, 100).expect("room");
    lane.flush(2 * interval, false);
    assert_eq!(writes(&shared).len(), 2);
}

/// Publishes until refused, completing every write.
fn fill(lane: &mut Lane, shared: &Rc<Shared>) -> Refused {
    loop {
        if let Err(refused) = publish(lane, 2_000) {
            return refused;
        }
        lane.flush(0, false);
        writes(shared).iter().for_each(|request| lane.written(0, request.id));
    }
}

#[test]
fn without_a_further_segment_messages_stop_and_acknowledgements_go_on() {
    let shared = shared(Mode::Sync, 1);
    let mut lane = lane(&shared);
    let message = publish(&mut lane, 100).expect("room");
    assert_eq!(fill(&mut lane, &shared), Refused::Throttled);
    assert!(!lane.has_room() && lane.wants_spare());
    lane.is_disk_full = true;
    assert_eq!(publish(&mut lane, 100), Err(Refused::Full));
    lane.acknowledge(message.lsn, message.location, None).expect("the reserve takes it");
    lane.flush(0, false);
    assert_eq!(writes(&shared).len(), 1);
}

#[test]
fn one_removal_that_nobody_waits_for_goes_with_what_comes_next_or_after_its_time() {
    let shared = shared(Mode::Sync, 2);
    let mut lane = lane(&shared);
    let messages: Vec<Appended> = (0..8).map(|_| publish(&mut lane, 100).expect("room")).collect();
    let written = |lane: &mut Lane, now: Nanos| {
        lane.flush(now, false);
        let requests = writes(&shared);
        requests.iter().for_each(|request| lane.written(now, request.id));
        requests.len()
    };
    let remove = |lane: &mut Lane, index: usize, unawaited: Option<Nanos>| {
        lane.acknowledge(messages[index].lsn, messages[index].location, unawaited).expect("room");
    };
    assert_eq!((written(&mut lane, 0), lane.flush_at()), (1, None));
    remove(&mut lane, 0, Some(10));
    assert_eq!((written(&mut lane, 9 + REMOVAL_WAIT), lane.flush_at()), (0, Some(10 + REMOVAL_WAIT)));
    assert_eq!((written(&mut lane, 10 + REMOVAL_WAIT), lane.is_dirty()), (1, false));
    // Behind a write that does not end it needs no timer.
    let now = 2 * REMOVAL_WAIT;
    publish(&mut lane, 100).expect("room");
    lane.flush(now, false);
    let under_way = writes(&shared);
    remove(&mut lane, 1, Some(now));
    assert_eq!((written(&mut lane, now + REMOVAL_WAIT), lane.flush_at()), (0, None));
    under_way.iter().for_each(|request| lane.written(now + REMOVAL_WAIT, request.id));
    assert_eq!((written(&mut lane, now + REMOVAL_WAIT), lane.is_dirty()), (1, false));
    // A message takes it along, a second one does, and so does one that somebody waits for.
    remove(&mut lane, 2, Some(now));
    publish(&mut lane, 100).expect("room");
    assert_eq!((written(&mut lane, now), lane.is_dirty()), (1, false));
    remove(&mut lane, 3, Some(now));
    remove(&mut lane, 4, Some(now));
    assert_eq!((written(&mut lane, now), lane.is_dirty()), (1, false));
    remove(&mut lane, 5, Some(now));
    remove(&mut lane, 6, None);
    assert_eq!((written(&mut lane, now), lane.is_dirty()), (1, false));
    // Where writes are beside each other it holds up nothing.
    lane.write_time = OVERLAP_FROM;
    remove(&mut lane, 7, Some(now));
    assert_eq!((written(&mut lane, now), lane.is_dirty()), (1, false));
}

#[test]
fn a_batch_is_written_only_when_the_segment_after_it_stands() {
    let shared = shared(Mode::Sync, 1);
    let mut lane = lane(&shared);
    fill(&mut lane, &shared);
    // Acknowledgements and the like go on, until they are in the second segment, in memory: the third does not stand.
    while lane.sequence == 1 {
        lane.append_record(24, format::put_end).expect("memory");
        lane.flush(0, false);
        writes(&shared).iter().for_each(|request| lane.written(0, request.id));
    }
    assert_eq!(lane.sequence, 2);
    lane.append_record(24, format::put_end).expect("memory");
    lane.flush(0, false);
    assert!(writes(&shared).is_empty() && lane.is_dirty());
    assert_eq!(publish(&mut lane, 100), Err(Refused::Throttled), "nothing new that could only wait");
    lane.is_adopting = true;
    lane.adopted(3, opened(&shared.port, "/f/s.db/3"));
    lane.flush(0, false);
    assert_eq!(writes(&shared).len(), 1);
}

#[test]
fn bodies_not_yet_written_are_copied_and_written_ones_shared() {
    let shared = shared(Mode::Sync, 1);
    let mut lane = lane(&shared);
    let one = lane.publish(&[1], MessageKey::default(), &[b"one"]).expect("room");
    assert_eq!(lane.body(one.location), Body::Ready(Bytes::from_static(b"one")));
    lane.flush(0, false);
    let two = lane.publish(&[1], MessageKey::default(), &[b"two"]).expect("room");
    assert_eq!(lane.body(one.location), Body::Ready(Bytes::from_static(b"one")));
    assert_eq!(lane.body(two.location), Body::Ready(Bytes::from_static(b"two")));
    lane.acknowledge(one.lsn, one.location, None).expect("room");
    assert_eq!(lane.body(one.location), Body::Pending, "an acknowledged message leaves memory");
}

#[test]
fn limits_hold() {
    let shared = shared(Mode::Sync, 1);
    let mut lane = lane(&shared);
    assert_eq!(publish(&mut lane, 64 << 10), Err(Refused::TooLarge));
    let admitted = (0..1_000).take_while(|_| publish(&mut lane, 1_000).is_ok()).count();
    assert!((60..130).contains(&admitted), "{admitted} messages of 1000 bytes in a segment of 128 KiB");
    let names = (0..100).take_while(|id| lane.define(*id, &"n".repeat(1_000)).is_ok()).count();
    assert!(names <= 32, "{names} names of 1000 bytes in a quarter of a segment");
}

#[test]
fn a_message_that_was_copied_counts_in_its_old_segment_until_the_copy_is_confirmable() {
    let shared = shared(Mode::Sync, 1);
    let mut lane = lane(&shared);
    let message = lane.publish(&[1], MessageKey::default(), &[b"one"]).expect("room");
    let entry = IndexEntry {
        lsn: message.lsn,
        order: message.lsn,
        offset: message.location.offset,
        len: message.location.len,
        key: MessageKey::default(),
        destinations: vec![1],
    };
    fill(&mut lane, &shared);
    lane.is_adopting = true;
    lane.adopted(3, opened(&shared.port, "/f/s.db/3"));
    lane.close_batch();
    lane.enter_segment();
    lane.checked(lane.durable());
    let count = |lane: &Lane, number| lane.segments.get(number).map(|segment| segment.live_count());
    let (old, before) = (message.location.segment, count(&lane, message.location.segment));
    lane.copy_forward(&entry, message.location, b"one").expect("room");
    assert_eq!(count(&lane, old), before, "only a confirmable copy lets the original go");
    let place = lane.place(message.location);
    assert_ne!(place.segment, old);
    assert_eq!(lane.body(place), Body::Ready(Bytes::from_static(b"one")));
    lane.flush(0, false);
    writes(&shared).iter().for_each(|request| lane.written(0, request.id));
    assert_eq!(count(&lane, old), before, "durable is not yet checked");
    lane.checked(lane.durable());
    assert_eq!(count(&lane, old), before.map(|count| count - 1));
    // Whoever knows the message by its first place removes the copy.
    lane.acknowledge(message.lsn, message.location, None).expect("room");
    assert_eq!(lane.place(message.location), message.location);
    assert_eq!(lane.segments.get(place.segment).map(|segment| segment.live().count()), Some(0));
}
