//! A full disk: messages are refused, all else goes on, and acknowledgements make space by themselves.

mod harness;

use harness::model::Violation;
use harness::{LiveMessage, MS, World, config, publish, read};
use store::{Config, Refused};

fn expect<T>(result: Result<T, Violation>, what: &str) -> T {
    result.unwrap_or_else(|violation| panic!("{what}: {}", violation.0))
}

/// A world whose disk has no space left, and in which message 0 of store 0 was refused for that.
/// Copies out of sparse segments find room as well: here it is acknowledgements that have to.
fn full(seed: u64, nodes: usize) -> (World, usize) {
    let config = Config { cache_bytes_max: 0, copy_bytes_per_s: 0, ..config() };
    let mut world = World::new(seed, nodes, config);
    expect(world.until_serving(), "start");
    expect(world.run_for(20 * MS), "work");
    let serving = expect(world.settle(), "settle");
    world.client_is_active = false;
    expect(world.run_for(50 * MS), "spares");
    world.disk.set_capacity(world.disk.used_bytes() + (900 << 10));
    for _ in 0..3_000 {
        let refused = try_publish(&mut world, serving);
        expect(world.run_for(50_000), "filling");
        if refused == Some(Refused::Full) {
            // Whatever is left is less than anything needs.
            world.disk.set_capacity(world.disk.used_bytes());
            assert!(!world.nodes[serving].as_ref().expect("serving").store.has_room(0));
            return (world, serving);
        }
    }
    panic!("the disk does not fill");
}

fn try_publish(world: &mut World, index: usize) -> Option<Refused> {
    let node = world.nodes[index].as_mut().expect("a node");
    publish(node, &mut world.model, &mut world.random, world.now, 0, 1_000)
}

/// Acknowledges what is live and wanted so; whatever the disk says, that is admitted.
fn acknowledge(world: &mut World, index: usize, goes: impl Fn(usize) -> bool) {
    let node = world.nodes[index].as_mut().expect("a node");
    let live = std::mem::take(&mut node.live[0]);
    for (position, message) in live.into_iter().enumerate() {
        if !goes(position) {
            node.live[0].push(message);
            continue;
        }
        let lsn = node.acknowledge(world.now, 0, message, true);
        world.model.acknowledged(node.epoch, 0, lsn.expect("an acknowledgement finds room"), message.id);
    }
}

fn read_all(world: &mut World, index: usize) {
    let live: Vec<LiveMessage> = world.nodes[index].as_ref().expect("a node").live[0].clone();
    for message in live {
        let node = world.nodes[index].as_mut().expect("a node");
        expect(read(node, 0, message), "a body");
    }
    expect(world.settle(), "bodies");
    world.client_is_active = false;
}

fn names(world: &World, part: &str) -> Vec<String> {
    let paths = world.disk.paths().into_iter().map(|path| path.to_string_lossy().into_owned());
    paths.filter(|path| path.contains(part)).collect()
}

/// Room is told, messages are admitted, and all of it is recovered after a power loss.
fn recovers(mut world: World, serving: usize, rooms: u64) {
    expect(world.run_for(3_000 * MS), "space returns");
    let node = world.nodes[serving].as_ref().expect("still serving");
    assert!(node.store.has_room(0), "{:?}", node.notes);
    assert!(node.rooms > rooms, "room was told: {:?}", node.store.space());
    assert_eq!((0..10).find_map(|_| try_publish(&mut world, serving)), None);
    expect(world.settle(), "settle");
    assert!(world.failures.is_empty(), "{:?}", world.failures);
    world.disk.set_capacity(u64::MAX);
    world.restarts = true;
    world.crash();
    expect(world.settle(), "recovery");
    assert!(world.failures.is_empty(), "{:?}", world.failures);
}

#[test]
fn acknowledgements_and_deliveries_go_on_and_dead_segments_go() {
    for seed in 0..5 {
        let (mut world, serving) = full(seed, 1);
        read_all(&mut world, serving);
        let rooms = world.nodes[serving].as_ref().expect("a node").rooms;
        acknowledge(&mut world, serving, |_| true);
        recovers(world, serving, rooms);
    }
}

#[test]
fn a_few_messages_left_in_each_segment_need_indices_and_checkpoints_find_room_for_them() {
    for seed in 0..5 {
        let (mut world, serving) = full(seed, 1);
        let rooms = world.nodes[serving].as_ref().expect("a node").rooms;
        expect(world.run_for(100 * MS), "checkpoints");
        acknowledge(&mut world, serving, |position| position % 40 != 0);
        expect(world.run_for(2_000 * MS), "checkpoints");
        let before = names(&world, "/sync-msgs.db/segment.").len();
        assert!(!names(&world, "/sync-msgs.db/checkpoint.").is_empty(), "one is installed");
        read_all(&mut world, serving);
        // The oldest half goes, and its segments with it.
        let half = world.nodes[serving].as_ref().expect("a node").live[0].len() / 2;
        acknowledge(&mut world, serving, |position| position < half);
        expect(world.run_for(2_000 * MS), "unlinking");
        assert!(names(&world, "/sync-msgs.db/segment.").len() < before, "{before}");
        recovers(world, serving, rooms);
    }
}

#[test]
fn space_that_returns_from_outside_is_found() {
    let (mut world, serving) = full(1, 1);
    let rooms = world.nodes[serving].as_ref().expect("a node").rooms;
    expect(world.run_for(3_000 * MS), "still full");
    assert_eq!(try_publish(&mut world, serving), Some(Refused::Full));
    world.disk.set_capacity(u64::MAX);
    recovers(world, serving, rooms);
}

#[test]
fn a_standby_takes_over_on_a_full_disk_and_makes_space() {
    for seed in 0..5 {
        let (mut world, owner) = full(seed, 2);
        world.restarts = false;
        world.kill(owner);
        let serving = expect(world.until_serving(), "takeover");
        assert!(serving != owner && world.failures.is_empty(), "{:?}", world.failures);
        read_all(&mut world, serving);
        let rooms = world.nodes[serving].as_ref().expect("a node").rooms;
        // It brought a segment or two: they fill, too.
        for _ in 0..3_000 {
            if try_publish(&mut world, serving) == Some(Refused::Full) {
                break;
            }
            expect(world.run_for(50_000), "filling");
        }
        assert_eq!(try_publish(&mut world, serving), Some(Refused::Full), "seed {seed}");
        acknowledge(&mut world, serving, |_| true);
        recovers(world, serving, rooms);
    }
}
