//! Rot, truncation, missing files: named with file and offset, never served as good data, and what `--force-start` does.

mod harness;

use disk::BLOCK_SIZE;
use harness::model::Violation;
use harness::{Faults, MS, World, config, publish, read};
use std::collections::BTreeSet;
use std::path::PathBuf;
use store::Config;

fn expect<T>(result: Result<T, Violation>, what: &str) -> T {
    result.unwrap_or_else(|violation| panic!("{what}: {}", violation.0))
}

/// A store that three epochs wrote to and that was stopped cleanly: nothing in it is without proof.
fn stopped(seed: u64, config: Config) -> World {
    let mut world = World::new(seed, 1, config);
    for _ in 0..3 {
        expect(world.until_serving(), "start");
        expect(world.run_for(4 * MS), "work");
        let index = expect(world.settle(), "settle");
        world.client_is_active = false;
        expect(world.run_for(20 * MS), "sweep");
        world.nodes[index].as_mut().expect("a node").store.stop(world.now);
        world.restarts = false;
        expect(world.run_for(20 * MS), "stop");
        assert!(world.nodes[index].is_none());
        world.restarts = true;
        world.client_is_active = true;
    }
    world.client_is_active = false;
    world.restarts = false;
    world
}

fn live(world: &World, epoch: u64) -> Vec<BTreeSet<u64>> {
    (0..2).map(|store| world.model.live_ids(epoch, store)).collect()
}

/// Starts a process; `Some` if it serves, and everything that is live can be read.
fn start(world: &mut World) -> Option<Vec<BTreeSet<u64>>> {
    world.failures.clear();
    world.start(0);
    while world.failures.is_empty() {
        expect(world.step(), "start");
        if world.serving().is_some() {
            expect(world.settle(), "settle");
            world.client_is_active = false;
            let epoch = world.nodes[0].as_ref().expect("a node").epoch;
            return Some(live(world, epoch));
        }
    }
    None
}

fn files(world: &World, part: &str) -> Vec<PathBuf> {
    world.disk.paths().into_iter().filter(|path| path.to_string_lossy().contains(part)).collect()
}

/// Offsets of blocks that hold something.
fn used_blocks(bytes: &[u8]) -> Vec<usize> {
    let blocks = bytes.chunks(BLOCK_SIZE).enumerate();
    blocks.filter(|(_, block)| block.iter().any(|byte| *byte != 0)).map(|(index, _)| index * BLOCK_SIZE).collect()
}

#[test]
fn damage_anywhere_in_a_segment_is_an_error_that_names_it_or_changes_nothing() {
    let (mut refused, mut harmless) = (0, 0);
    let mut seeds = fastrand::Rng::with_seed(3);
    let pristine = stopped(1, config());
    let expected = live(&pristine, 3);
    let segments = files(&pristine, "/segment.");
    assert!(segments.len() >= 6, "{segments:?}");
    for path in &segments {
        let bytes = pristine.disk.content(path).expect("a segment");
        for offset in used_blocks(&bytes) {
            for kind in 0..4 {
                let mut world = World::with_disk(pristine.disk.fork(7), 9, 1, config());
                world.model = pristine.model.clone();
                world.client_is_active = false;
                world.restarts = false;
                let at = offset + seeds.usize(0..64);
                world.disk.tamper(path, |bytes| match kind {
                    0 => bytes[at] ^= 1 << seeds.u8(0..8),
                    1 => bytes[offset..offset + BLOCK_SIZE].fill(0),
                    2 => bytes.truncate(offset),
                    _ => bytes.copy_within(4096..8192, offset),
                });
                let what = format!("{} at {offset}, kind {kind}", path.display());
                match start_judged(&mut world) {
                    Ok(Some(found)) => {
                        assert_eq!(found, expected, "{what}");
                        harmless += 1;
                    }
                    Ok(None) => {
                        let failure = &world.failures[0];
                        // The first block of a segment may be missed only where its predecessor ends.
                        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
                        let named = failure.contains(&name) || offset == BLOCK_SIZE && failure.contains(&before(&name));
                        assert!(named && failure.contains("remedy"), "{what}: {failure}");
                        refused += 1;
                    }
                    Err(violation) => panic!("{what}: {}", violation.0),
                }
            }
        }
    }
    println!("{refused} refused, {harmless} harmless");
    assert!(refused > 50, "{refused} refused, {harmless} harmless");
}

/// The name of the segment before this one.
fn before(name: &str) -> String {
    let (head, sequence) = name.rsplit_once('.').expect("a sequence");
    format!("{head}.{}:", sequence.parse::<u32>().expect("a number") - 1)
}

fn start_judged(world: &mut World) -> Result<Option<Vec<BTreeSet<u64>>>, Violation> {
    world.start(0);
    while world.failures.is_empty() {
        world.step()?;
        if world.serving().is_some() {
            world.settle()?;
            let epoch = world.nodes[0].as_ref().expect("a node").epoch;
            return Ok(Some(live(world, epoch)));
        }
    }
    Ok(None)
}

/// The last segment of the sync store with several batches, in the newest epoch: recovery reads it.
fn victim(world: &World) -> (PathBuf, usize) {
    let mut paths = files(world, "/sync-msgs.db/segment.3.");
    paths.sort_by_key(|path| path.to_string_lossy().rsplit('.').next().and_then(|text| text.parse::<u32>().ok()));
    let candidates = paths.into_iter().rev().find_map(|path| {
        let bytes = world.disk.content(&path)?;
        let sequence = path.to_string_lossy().rsplit('.').next()?.parse::<u32>().ok()?.to_le_bytes();
        // A file that is used again holds others behind its own.
        let is_own = |at: &usize| bytes[*at..].starts_with(b"UBat") && bytes[*at + 12..*at + 16] == sequence;
        let batches: Vec<usize> = used_blocks(&bytes).into_iter().filter(is_own).collect();
        (batches.len() > 1).then(|| (path, batches[(batches.len() - 1) / 2]))
    });
    candidates.expect("a segment with batches")
}

/// Once a gap is known, the next start needs no force.
fn starts_without_force(world: &mut World, expected: &[BTreeSet<u64>]) {
    world.kill(0);
    expect(world.run_for(20 * MS), "buried");
    world.config.force_start = false;
    let again = start(world).unwrap_or_else(|| panic!("{:?}", world.failures));
    assert_eq!(again, expected);
}

#[test]
fn force_start_drops_what_is_damaged_keeps_the_rest_and_says_so_once() {
    // What the damaged batch held may have been acknowledged since.
    let lost: usize = (2..12).map(lost_to_force_start).sum();
    assert!(lost > 0, "no batch held a message that was live");
}

/// Damages a batch and goes on without it; how many live messages that costs.
fn lost_to_force_start(seed: u64) -> usize {
    let mut world = stopped(seed, config());
    let expected = live(&world, 3);
    let (path, offset) = victim(&world);
    let bytes = world.disk.content(&path).expect("a segment");
    let records = u32::from_le_bytes(bytes[offset + 56..offset + 60].try_into().expect("4 bytes")) as usize;
    assert!(world.disk.tamper(&path, |bytes| bytes[offset + 100] ^= 1));
    assert!(start(&mut world).is_none());
    let failure = world.failures[0].clone();
    assert!(failure.contains(&format!("offset {offset}")) && failure.contains("--force-start"), "{failure}");
    // What is dropped is a loss, so the model cannot judge it; the sets can.
    world.model.forgive();
    world.config.force_start = true;
    let found = start(&mut world).unwrap_or_else(|| panic!("{:?}", world.failures));
    let notes = world.nodes[0].as_ref().expect("a node").notes.clone();
    assert!(notes.iter().any(|note| note.contains("dropped") && note.contains("segment.3.")), "{notes:?}");
    assert_eq!(found[1], expected[1], "the other store is untouched");
    let lost = expected[0].difference(&found[0]).count();
    assert!(lost <= records, "only what lay in the batch is dropped, {lost} messages for {records} records");
    let quarantined = files(&world, "/quarantine.");
    assert_eq!(quarantined.len(), 1, "{quarantined:?}");
    starts_without_force(&mut world, &found);
    lost
}

#[test]
fn force_start_goes_on_without_a_missing_segment() {
    let mut world = stopped(3, config());
    let (path, _) = victim(&world);
    assert!(world.disk.remove(&path));
    assert!(start(&mut world).is_none());
    assert!(world.failures[0].contains("is missing"), "{:?}", world.failures);
    world.model.forgive();
    world.config.force_start = true;
    let found = start(&mut world).unwrap_or_else(|| panic!("{:?}", world.failures));
    starts_without_force(&mut world, &found);
}

#[test]
fn a_garbled_or_missing_owner_is_named_and_not_even_force_makes_up_another() {
    // A base would prove that the newest epoch served.
    let without_bases = Config { meta_segment_bytes: 1 << 20, ..config() };
    for (name, missing) in [("owner.3", false), ("owner.2", true)] {
        let mut world = stopped(4, without_bases.clone());
        let path = files(&world, name)[0].clone();
        if missing {
            // With the newest owner's metadata gone, too, the walk needs the one before.
            let metadata = files(&world, "/meta.db/segment.3.");
            assert!(!metadata.is_empty());
            world.disk.remove(&path);
            for path in metadata {
                world.disk.tamper(&path, |bytes| bytes[BLOCK_SIZE..].fill(0));
            }
        } else {
            world.disk.tamper(&path, |bytes| bytes[BLOCK_SIZE + 20] ^= 4);
        }
        world.config.force_start = true;
        assert!(start(&mut world).is_none(), "{name}");
        assert!(world.failures[0].contains(name), "{:?}", world.failures);
    }
}

#[test]
fn a_torn_heartbeat_does_no_harm() {
    let mut world = stopped(5, config());
    let expected = live(&world, 3);
    let path = files(&world, "owner.3")[0].clone();
    world.disk.tamper(&path, |bytes| bytes[100] ^= 4);
    assert_eq!(start(&mut world), Some(expected));
}

#[test]
fn a_message_that_rots_while_it_waits_is_an_error_for_its_reader_and_for_nobody_else() {
    let mut world = stopped(6, Config { cache_bytes_max: 0, ..config() });
    start(&mut world).expect("it starts");
    for _ in 0..200 {
        let node = world.nodes[0].as_mut().expect("a node");
        let refused = publish(node, &mut world.model, &mut world.random, world.now, 0, 3_000);
        assert!(matches!(refused, None | Some(store::Refused::Throttled)), "{refused:?}");
        expect(world.run_for(MS / 5), "work");
    }
    for path in files(&world, "/sync-msgs.db/segment.") {
        world.disk.tamper(&path, |bytes| bytes[BLOCK_SIZE..].iter_mut().for_each(|byte| *byte ^= 0x10));
    }
    let node = world.nodes[0].as_mut().expect("a node");
    let messages = node.live[0].clone();
    let mut errors = 0;
    for message in messages {
        let node = world.nodes[0].as_mut().expect("a node");
        let at_once = read(node, 0, message);
        for _ in 0..200 {
            expect(world.step(), "reading");
        }
        let later = std::mem::take(&mut world.failures);
        assert!(later.iter().all(|failure| failure.contains("do not match their checksum")), "{later:?}");
        errors += u32::from(at_once.is_err() || !later.is_empty());
    }
    assert!(errors > 0, "the rot is noticed");
    assert!(world.serving().is_some() && world.failures.is_empty(), "and the store goes on: {:?}", world.failures);
}

#[test]
fn a_crash_while_the_journal_is_written_is_no_damage() {
    // The normal trace of writes in flight, four of them, in every order.
    let config = Config { writes_in_flight_max: 4, batch_bytes_max: 8 << 10, ..config() };
    for seed in 0..40 {
        let mut world = World::new(seed, 1, config.clone());
        expect(world.until_serving(), "start");
        let until = world.now + 3 * MS + seed * 30_000;
        while world.now < until {
            world.nemesis(Faults::NONE);
            expect(world.step(), "work");
        }
        world.crash();
        expect(world.settle(), "recovery");
        assert!(world.failures.is_empty(), "seed {seed}: {:?}", world.failures);
    }
}
