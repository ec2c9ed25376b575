//! One situation per test: what must happen at this step, with these faults. The random runs are in `simulate.rs`.

mod harness;

use disk::sim::{Fault, OpKind, SimConfig, SimDisk};
use harness::model::Violation;
use harness::{MS, World, config, publish, read};
use std::io::ErrorKind;
use store::{Config, Refused};

fn expect<T>(result: Result<T, Violation>, what: &str) -> T {
    result.unwrap_or_else(|violation| panic!("{what}: {}", violation.0))
}

/// A world in which somebody serves and has confirmed some work.
fn busy(seed: u64, nodes: usize) -> (World, usize) {
    busy_with(seed, nodes, config())
}

fn busy_with(seed: u64, nodes: usize, config: Config) -> (World, usize) {
    let mut world = World::new(seed, nodes, config);
    expect(world.until_serving(), "start");
    expect(world.run_for(20 * MS), "work");
    let serving = expect(world.settle(), "settle");
    assert!(world.model.confirmed > 100, "work was done");
    (world, serving)
}

/// Publishes through the serving node until it refuses; returns why, or `None` after `most`.
fn fill(world: &mut World, index: usize, store: u8, bytes: usize, most: usize) -> Option<Refused> {
    let node = world.nodes[index].as_mut().expect("a node");
    (0..most).find_map(|_| publish(node, &mut world.model, &mut world.random, world.now, store, bytes))
}

fn fault(operation: OpKind, path: &str, kind: ErrorKind, count: u32) -> Fault {
    Fault { session: None, operation, path_contains: path.to_owned(), kind, count }
}

/// What befalls a claimant in the middle of its claim.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Blow {
    Kill,
    Crash,
    /// Stopped until another has taken over, then woken.
    Pause,
    /// Asked to end, as an operator does.
    Stop,
}

/// Kills the owner, lets a claimant get through `completions` completed operations, strikes it, and expects another to
/// serve with everything confirmed. Returns false once the claimant served before it was struck.
fn strike(blow: Blow, completions: u64, seed: u64) -> bool {
    let mut world = World::new(seed, 3, config());
    expect(world.until_serving(), "start");
    expect(world.run_for(3 * MS), "work");
    let owner = expect(world.settle(), "settle");
    let claimant = (owner + 1) % 3;
    let third = (owner + 2) % 3;
    world.restarts = false;
    world.kill(third);
    world.kill(owner);
    let before = world.nodes[claimant].as_ref().map_or(0, |node| node.completions);
    let what = format!("{blow:?} after {completions}, seed {seed}");
    loop {
        expect(world.step(), &what);
        let Some(node) = &world.nodes[claimant] else { panic!("{what}: the claimant ended: {:?}", world.failures) };
        if node.is_serving {
            return false;
        }
        if node.completions >= before + completions {
            break;
        }
    }
    match blow {
        Blow::Kill => world.kill(claimant),
        Blow::Crash => world.crash(),
        Blow::Pause => world.nodes[claimant].as_mut().expect("a node").paused_until = Some(world.now + 60 * MS),
        Blow::Stop => {
            world.nodes[claimant].as_mut().expect("a node").store.stop(world.now);
            expect(world.run_for(50 * MS), &what);
            assert_eq!((world.stopped, world.nodes[claimant].is_none()), (1, true), "{what}: it ends, and soon");
        }
    }
    world.start(third);
    expect(world.until_serving(), &what);
    expect(world.run_for(MS), &what);
    world.client_is_active = false;
    expect(world.run_for(65 * MS), &what);
    expect(world.settle(), &what);
    assert!(world.failures.is_empty(), "{what}: {:?}", world.failures);
    true
}

#[test]
fn a_claimant_may_die_between_any_two_steps() {
    let steps = (0..).take_while(|completions| strike(Blow::Kill, *completions, 1)).count();
    assert!(steps > 30, "a claim has many steps, {steps} were struck");
}

#[test]
fn the_power_may_fail_between_any_two_steps_of_a_claim() {
    let steps = (0..).take_while(|completions| strike(Blow::Crash, *completions, 2)).count();
    assert!(steps > 30, "a claim has many steps, {steps} were struck");
}

#[test]
fn a_claimant_may_be_stopped_between_any_two_steps_and_wake_after_the_takeover() {
    // What it still has to read another has removed meanwhile in some of these.
    for seed in 3..6 {
        let steps = (0..).take_while(|completions| strike(Blow::Pause, *completions, seed)).count();
        assert!(steps > 30, "a claim has many steps, {steps} were struck");
    }
}

/// Between recovery and service it took no notice, kept the lock, and nobody could take over while its process waited.
#[test]
fn a_claimant_may_be_asked_to_stop_between_any_two_steps() {
    let steps = (0..).take_while(|completions| strike(Blow::Stop, *completions, 4)).count();
    assert!(steps > 30, "a claim has many steps, {steps} were struck");
}

#[test]
fn an_owner_that_was_paused_is_fenced_and_nothing_is_lost() {
    for seed in 0..10 {
        let mut world = World::new(seed, 2, config());
        let first = expect(world.until_serving(), "start");
        expect(world.run_for(10 * MS), "work");
        let wakes_at = world.now + 80 * MS;
        world.nodes[first].as_mut().expect("a node").paused_until = Some(wakes_at);
        let second = expect(world.until_serving(), "takeover");
        assert!(second != first && world.now < wakes_at, "the lock of a silent owner does not prevent takeover");
        assert_eq!(world.fenced, 0);
        expect(world.run_for(wakes_at - world.now + 10 * MS), "both");
        assert_eq!(world.fenced, 1, "seed {seed}: the old owner leaves by itself, {:?}", world.failures);
        expect(world.settle(), "settle");
    }
}

#[test]
fn of_two_claimants_at_once_exactly_one_serves() {
    for seed in 0..20 {
        let (mut world, owner) = busy(seed, 3);
        world.kill(owner);
        world.restarts = false;
        for node in world.nodes.iter_mut().flatten() {
            node.store.claim(world.now);
        }
        let takeovers = world.takeovers;
        expect(world.until_serving(), "claim");
        expect(world.run_for(9 * MS), "after the claim");
        let serving = world.nodes.iter().flatten().filter(|node| node.is_serving).count();
        assert_eq!((serving, world.takeovers), (1, takeovers + 1), "seed {seed}");
        expect(world.settle(), "settle");
    }
}

#[test]
fn a_clean_stop_leaves_nothing_to_copy_no_lock_and_no_spare() {
    let (mut world, serving) = busy(2, 1);
    world.restarts = false;
    let expected: Vec<_> = (0..2).map(|store| world.model.live_ids(1, store)).collect();
    world.nodes[serving].as_mut().expect("a node").store.stop(world.now);
    expect(world.run_for(50 * MS), "stop");
    assert_eq!((world.stopped, world.nodes[serving].is_none()), (1, true));
    let spares: Vec<_> =
        world.disk.paths().into_iter().filter(|path| path.to_string_lossy().contains("spare")).collect();
    assert!(spares.is_empty(), "{spares:?}");
    world.restarts = true;
    let index = expect(world.settle(), "restart");
    let node = world.nodes[index].as_ref().expect("a node");
    let found: Vec<_> = (0..2).map(|store| world.model.live_ids(node.epoch, store)).collect();
    assert_eq!(found, expected, "the async store lost nothing either");
}

/// Spares are made, used again and become segments all the time.
#[test]
fn a_clean_stop_at_any_time_leaves_no_spare() {
    for seed in 0..60 {
        let mut world = World::new(seed, 1, config());
        let index = expect(world.until_serving(), "start");
        expect(world.run_for(5 * MS + seed * 137_000), "work");
        world.restarts = false;
        world.nodes[index].as_mut().expect("a node").store.stop(world.now);
        expect(world.run_for(50 * MS), "stop");
        assert_eq!((world.stopped, world.nodes[index].is_none()), (1, true), "seed {seed}");
        let paths = world.disk.paths().into_iter().map(|path| path.to_string_lossy().into_owned());
        let spares: Vec<_> = paths.filter(|path| path.contains("/spare.")).collect();
        assert!(spares.is_empty(), "seed {seed}: {spares:?}");
    }
}

#[test]
fn a_crash_loses_only_a_suffix_of_the_async_store() {
    let mut lost = 0;
    for seed in 0..20 {
        let mut world = World::new(seed, 1, config());
        expect(world.until_serving(), "start");
        expect(world.run_for(7 * MS + seed * 50_000), "work");
        world.crash();
        // The model refuses anything but a prefix.
        expect(world.settle(), "recovery");
        lost += world.model.lost;
    }
    assert!(lost > 20, "the load exercises the loss: {lost}");
}

#[test]
fn a_failed_write_poisons_at_once_and_for_good() {
    let (mut world, serving) = busy(2, 1);
    world.restarts = false;
    world.disk.fail_next(fault(OpKind::Write, "/sync-msgs.db/", ErrorKind::Other, 1));
    assert_eq!(fill(&mut world, serving, 0, 100, 3), None);
    let confirmed = world.model.confirmed;
    world.client_is_active = false;
    expect(world.run_for(5 * MS), "after the failure");
    assert_eq!(world.failures.len(), 1, "{:?}", world.failures);
    assert!(world.failures[0].contains("writing the journal"), "{:?}", world.failures);
    assert_eq!(world.model.confirmed, confirmed, "nothing is confirmed after a failed write");
    world.restarts = true;
    expect(world.settle(), "another process serves");
}

#[test]
fn a_full_disk_refuses_messages_takes_acknowledgements_and_recovers_with_space() {
    let (mut world, serving) = busy(4, 1);
    let free = 400 << 10;
    world.disk.set_capacity(world.disk.used_bytes() + free);
    world.client_is_active = false;
    let mut refused = None;
    for _ in 0..2_000 {
        refused = fill(&mut world, serving, 0, 1_000, 1).or(refused);
        expect(world.run_for(50_000), "filling");
        if refused == Some(Refused::Full) {
            break;
        }
    }
    assert_eq!(refused, Some(Refused::Full));
    let node = world.nodes[serving].as_mut().expect("still serving");
    assert!(!node.store.has_room(0));
    let live = std::mem::take(&mut node.live[0]);
    for message in live {
        let lsn = node.store.acknowledge(world.now, 0, message.lsn, message.location, true);
        world.model.acknowledged(node.epoch, 0, lsn.expect("an acknowledgement finds room"), message.id);
    }
    let rooms = node.rooms;
    // The acknowledged segments are unlinked, which makes room by itself.
    expect(world.run_for(3_000 * MS), "space returns");
    let node = world.nodes[serving].as_ref().expect("still serving");
    assert!(node.store.has_room(0) && node.rooms > rooms, "{:?}", node.notes);
    assert_eq!(fill(&mut world, serving, 0, 1_000, 10), None);
    expect(world.settle(), "settle");
    assert!(world.failures.is_empty(), "{:?}", world.failures);
    // A start without a standby's spares needs room for two segments per store, and says so.
    world.restarts = false;
    world.crash();
    world.disk.set_capacity(world.disk.used_bytes() + (64 << 10));
    world.start(0);
    expect(world.run_for(50 * MS), "start on a full disk");
    assert!(world.failures[0].contains("preparing a claim"), "{:?}", world.failures);
    world.disk.set_capacity(u64::MAX);
    world.restarts = true;
    expect(world.settle(), "recovery");
}

#[test]
fn unflushed_bytes_are_bounded_and_room_is_told() {
    let (mut world, serving) = busy(1, 1);
    world.client_is_active = false;
    for store in 0..2 {
        assert_eq!(fill(&mut world, serving, store, 4_000, 1_000), Some(Refused::Throttled));
        assert!(!world.nodes[serving].as_ref().expect("a node").store.has_room(store));
        let rooms = world.nodes[serving].as_ref().expect("a node").rooms;
        expect(world.run_for(10 * MS), "flush");
        let node = world.nodes[serving].as_ref().expect("a node");
        assert!(node.store.has_room(store) && node.rooms > rooms, "store {store}");
    }
}

#[test]
fn messages_of_several_segments_may_wait_to_be_written() {
    let config =
        Config { segment_bytes: 64 << 10, batch_bytes_max: 4 << 10, sync_unflushed_max: 256 << 10, ..config() };
    let config = Config { stores: config.stores.iter().cloned().map(standing_ready).collect(), ..config };
    let (mut world, serving) = busy_with(1, 1, config);
    world.client_is_active = false;
    expect(world.run_for(50 * MS), "spares");
    for _ in 0..10 {
        assert_eq!(fill(&mut world, serving, 0, 4_000, 1_000), Some(Refused::Throttled));
        expect(world.settle(), "written");
        world.client_is_active = false;
    }
}

fn standing_ready(store: store::StoreConfig) -> store::StoreConfig {
    store::StoreConfig { minimum_bytes: 512 << 10, ..store }
}

#[test]
fn an_async_store_admits_nothing_while_the_check_is_old() {
    let (mut world, serving) = busy(1, 1);
    world.client_is_active = false;
    expect(world.run_for(1_500 * MS), "idle");
    // A pause: the clock moves on, completions do not.
    world.now += 30 * MS;
    assert_eq!(fill(&mut world, serving, 1, 10, 1), Some(Refused::Throttled));
    expect(world.run_for(2 * MS), "the check");
    assert_eq!(fill(&mut world, serving, 1, 10, 1), None);
}

#[test]
fn a_message_of_eight_mebibytes_is_kept_and_one_beyond_half_a_segment_refused() {
    let config = Config { segment_bytes: 32 << 20, sync_unflushed_max: 32 << 20, ..config() };
    let mut world = World::new(1, 1, config);
    world.client_is_active = false;
    let serving = expect(world.until_serving(), "start");
    // A client may define a destination first and send nothing.
    while world.nodes[serving].as_ref().is_some_and(|node| node.live[0].is_empty()) {
        assert_eq!(fill(&mut world, serving, 0, 8 << 20, 1), None);
    }
    assert_eq!(fill(&mut world, serving, 0, 16 << 20, 1), Some(Refused::TooLarge));
    expect(world.settle(), "settle");
    world.client_is_active = false;
    world.crash();
    let index = expect(world.settle(), "recovery");
    let node = world.nodes[index].as_mut().expect("a node");
    let message = node.live[0].pop().expect("the message came back");
    assert!(read(node, 0, message).is_ok());
}

#[test]
fn segments_of_many_chunks_come_back_whole() {
    let config = Config {
        segment_bytes: 8 << 20,
        batch_bytes_max: 1 << 20,
        sync_unflushed_max: 8 << 20,
        async_unflushed_max: 8 << 20,
        ..config()
    };
    let mut world = World::new(1, 1, config);
    world.client_is_active = false;
    let serving = expect(world.until_serving(), "start");
    for _ in 0..200 {
        for store in 0..2 {
            fill(&mut world, serving, store, 7_001, 50);
        }
        expect(world.run_for(MS / 4), "work");
    }
    expect(world.settle(), "settle");
    let expected: Vec<_> = (0..2).map(|store| world.model.live_ids(1, store)).collect();
    assert!(expected.iter().all(|live| live.len() > 3_000), "several segments are full");
    world.client_is_active = false;
    world.crash();
    // Whatever comes back is read, too.
    let index = expect(world.settle(), "recovery");
    let epoch = world.nodes[index].as_ref().expect("a node").epoch;
    let found: Vec<_> = (0..2).map(|store| world.model.live_ids(epoch, store)).collect();
    assert_eq!(found, expected);
}

#[test]
fn an_owner_that_cannot_read_its_slot_gives_up_in_time() {
    let (mut world, _) = busy(1, 1);
    world.client_is_active = false;
    world.restarts = false;
    world.disk.fail_next(fault(OpKind::Read, "/slot.2", ErrorKind::TimedOut, u32::MAX));
    let limit = world.config.unreadable_slot_limit;
    let (until, mut steps) = (world.now + limit - 5 * MS, 0);
    while world.now < until {
        expect(world.step(), "before the limit");
        steps += 1;
    }
    assert!(world.failures.is_empty());
    // It waits for the retry instead of being called all the time.
    assert!(steps < 10_000, "{steps} steps");
    expect(world.run_for(20 * MS), "after the limit");
    assert!(world.failures[0].contains("ownership could not be checked"), "{:?}", world.failures);
}

#[test]
fn an_owner_whose_slot_is_damaged_leaves() {
    for damage in [|bytes: &mut Vec<u8>| bytes.truncate(100), |bytes: &mut Vec<u8>| bytes[4000] = 1] {
        let (mut world, _) = busy(1, 1);
        assert!(world.disk.tamper("/data/store/meta.db/slot.2".as_ref(), damage));
        expect(world.run_for(5 * MS), "check");
        assert_eq!(world.fenced, 1);
        expect(world.settle(), "the next process claims");
    }
}

/// Acknowledges what is live; false: some found no room yet.
fn drain(world: &mut World, index: usize) -> bool {
    let node = world.nodes[index].as_mut().expect("a node");
    for store in 0..2u8 {
        let mut left = Vec::new();
        for message in std::mem::take(&mut node.live[usize::from(store)]) {
            match node.acknowledge(world.now, store, message, true) {
                Ok(lsn) => world.model.acknowledged(node.epoch, store, lsn, message.id),
                Err(_) => left.push(message),
            }
        }
        node.live[usize::from(store)] = left;
    }
    node.live.iter().all(Vec::is_empty)
}

#[test]
fn space_is_bounded_under_steady_turnover() {
    let mut world = World::new(1, 1, config());
    expect(world.until_serving(), "start");
    let mut most = 0;
    for _ in 0..20 {
        expect(world.run_for(20 * MS), "turnover");
        // Consumers keep up: whatever is live is acknowledged.
        while !drain(&mut world, 0) {
            expect(world.step(), "drain");
        }
        expect(world.settle(), "settle");
        world.client_is_active = false;
        expect(world.run_for(30 * MS), "unlink");
        world.client_is_active = true;
        let paths = world.disk.paths().into_iter().map(|path| path.to_string_lossy().into_owned());
        most = most.max(paths.filter(|path| path.contains("sync-msgs.db/")).count());
    }
    assert!(world.model.confirmed > 5_000);
    // One in the making may come to those.
    assert!(
        most <= 2 * (9 + 4 + 1),
        "{most} files of two stores, each of which needs about eight and keeps four spares"
    );
}

/// Fills whole segments, none of whose messages stay.
fn turn_over(world: &mut World, index: usize, rounds: usize) {
    for _ in 0..rounds {
        for store in 0..2 {
            fill(world, index, store, 3_000, 10);
        }
        expect(world.run_for(MS), "turnover");
        while !drain(world, index) {
            expect(world.step(), "drain");
        }
    }
}

#[test]
fn dead_segments_are_used_again_and_no_further_ones_are_made() {
    let mut world = World::new(1, 1, config());
    world.client_is_active = false;
    let index = expect(world.until_serving(), "start");
    turn_over(&mut world, index, 100);
    let counts = |world: &World| {
        let node = world.nodes[index].as_ref().expect("a node");
        (node.spares_made, node.store.space().expect("it serves").removed_segments)
    };
    let (made, removed) = counts(&world);
    turn_over(&mut world, index, 200);
    let (made_more, removed_more) = (counts(&world).0 - made, counts(&world).1 - removed);
    assert!(removed_more > 50 && made_more * 10 < removed_more, "{made_more} made while {removed_more} died");
    // Who needs none for long gives them back.
    let spares = |world: &World| {
        let paths = world.disk.paths().into_iter().map(|path| path.to_string_lossy().into_owned());
        paths.filter(|path| path.contains("sync-msgs.db/spare.")).count()
    };
    assert!(spares(&world) > 2, "more than are wanted");
    expect(world.run_for(15_000 * MS), "idle");
    assert_eq!(spares(&world), 2);
    // What they held before is not taken for theirs.
    assert_eq!(fill(&mut world, index, 0, 100, 5), None);
    expect(world.settle(), "settle");
    world.client_is_active = false;
    world.crash();
    expect(world.settle(), "recovery");
    assert!(world.failures.is_empty(), "{:?}", world.failures);
}

/// It read a segment of which the owner has made another meanwhile.
#[test]
fn a_standby_under_which_a_segment_was_used_again_starts_over_and_takes_over_hot() {
    let mut reloads = 0;
    for seed in 0..8 {
        let mut world = World::new(seed, 2, config());
        world.client_is_active = false;
        let owner = expect(world.until_serving(), "start");
        world.activation = 4_000 * MS;
        for _ in 0..4 {
            turn_over(&mut world, owner, 3 + seed as usize);
            world.nodes[1 - owner].as_mut().expect("a node").paused_until = Some(world.now + 1_000 * MS);
            turn_over(&mut world, owner, 60);
            world.nodes[1 - owner].as_mut().expect("a node").paused_until = Some(world.now);
        }
        assert_eq!(fill(&mut world, owner, 0, 100, 5), None);
        expect(world.run_for(100 * MS), "it finds its place");
        assert_eq!(expect(world.settle(), "settle"), owner);
        world.client_is_active = false;
        reloads += world.reloads;
        world.restarts = false;
        world.kill(owner);
        expect(world.until_serving(), "takeover");
        assert_eq!(world.hot, 1, "seed {seed}: {} reloads", world.reloads);
        assert!(world.failures.is_empty(), "seed {seed}: {:?}", world.failures);
    }
    assert!(reloads > 0, "none lost its place");
}

#[test]
fn each_turnover_of_owners_leaves_no_files_behind() {
    let mut world = World::new(1, 1, config());
    let mut counts = Vec::new();
    for _ in 0..8 {
        let index = expect(world.until_serving(), "start");
        assert!(drain(&mut world, index));
        assert_eq!(fill(&mut world, index, 0, 100, 20), None);
        expect(world.settle(), "settle");
        world.client_is_active = false;
        expect(world.run_for(20 * MS), "sweep");
        let names = world.disk.paths().into_iter().map(|path| path.to_string_lossy().into_owned());
        counts.push(names.filter(|name| !name.contains("/owner.") && !name.contains("/slot.")).count());
        world.kill(index);
    }
    assert!(counts[7] <= counts[2], "files pile up: {counts:?}");
}

fn with_file(path: &str) -> SimDisk {
    use disk::{DiskOp, DiskRequest, FileId, OpenMode};
    let mut disk = SimDisk::new(1, SimConfig::default());
    let session = disk.attach();
    let folder: std::path::PathBuf = path.rsplit_once('/').expect("a path").0.into();
    let ops = [
        DiskOp::CreateDir { path: folder },
        DiskOp::Open { file: FileId(1), path: path.into(), mode: OpenMode::CreateNew },
    ];
    for (id, op) in (1..).zip(ops) {
        disk.submit(id * MS, session, DiskRequest { id, op });
        assert!(disk.poll(id * MS + MS / 2).is_some_and(|(_, done)| done.result.is_ok()));
    }
    disk.kill(session);
    disk
}

#[test]
fn a_folder_that_is_something_else_is_refused_by_name_unless_told_to_create() {
    for (path, named) in [
        ("/data/store/holiday.jpg", "holiday.jpg"),
        ("/data/store/sync-msgs.db/segment.7.000000000000000000000000000000aa.3", "sync-msgs.db/segment.7"),
        ("/data/store/meta.db/slot.1", "meta.db/slot.1"),
    ] {
        let mut world = World::with_disk(with_file(path), 1, 1, config());
        world.restarts = false;
        world.start(0);
        expect(world.run_for(20 * MS), "start");
        assert!(world.failures[0].contains("not a store") && world.failures[0].contains(named), "{:?}", world.failures);
    }
    let create = Config { create: true, ..config() };
    let mut world = World::with_disk(with_file("/data/store/lost+found/x"), 1, 1, create);
    expect(world.until_serving(), "--create-store");
}

#[test]
fn a_store_that_is_not_configured_any_more_must_be_empty() {
    let (mut world, serving) = busy(2, 1);
    assert_eq!(fill(&mut world, serving, 1, 100, 5), None);
    expect(world.settle(), "settle");
    let all = world.config.clone();
    world.config.stores.truncate(1);
    world.client_is_active = false;
    world.restarts = false;
    world.kill(serving);
    expect(world.run_for(20 * MS), "buried");
    world.start(serving);
    expect(world.run_for(50 * MS), "without it");
    assert!(
        world.failures[0].contains("async-msgs.db") && world.failures[0].contains("not configured"),
        "{:?}",
        world.failures
    );
    world.config = all;
    world.restarts = true;
    expect(world.settle(), "with it again");
}

#[test]
fn records_accumulate_while_a_write_is_in_flight() {
    let (mut world, serving) = busy(1, 1);
    world.client_is_active = false;
    expect(world.run_for(10 * MS), "idle");
    let node = world.nodes[serving].as_mut().expect("a node");
    let mut writes = 0;
    let mut in_flight = Vec::new();
    for round in 0..50 {
        publish(node, &mut world.model, &mut world.random, world.now, 0, 200);
        node.store.flush(world.now);
        while let Some(request) = node.store.poll_disk() {
            if let disk::DiskOp::Write { durable: true, data, .. } = &request.op {
                writes += 1;
                assert!(round == 0 || data.len() > 4096, "the second write takes all that accumulated");
            }
            in_flight.push(request);
        }
    }
    assert_eq!(writes, 1, "one write is in flight, 49 messages wait for it");
    let session = node.session;
    in_flight.into_iter().for_each(|request| world.disk.submit(world.now, session, request));
    expect(world.settle(), "settle");
}

#[test]
fn publishing_goes_on_while_the_backlog_is_handed_over() {
    let (mut world, serving) = busy(3, 1);
    world.client_is_active = false;
    expect(world.run_for(10 * MS), "spares");
    assert_eq!(fill(&mut world, serving, 0, 100, 20), None);
    expect(world.settle(), "settle");
    world.client_is_active = false;
    world.kill(serving);
    world.publishes_while_loading = true;
    let index = expect(world.until_serving(), "takeover");
    let node = world.nodes[index].as_ref().expect("a node");
    assert!(!node.live[0].is_empty() && world.failures.is_empty(), "{:?}", world.failures);
}
