//! The power may fail after every single disk operation, and leave any one of the images that are possible then.
//!
//! A fixed workload runs: publishes and acknowledgements in two stores, rolls of segments, copies out of sparse ones,
//! unlinks, a clean stop, a killed owner and the takeover after it. After each completed operation every image of
//! `SimDisk::crash_images` is recovered by a fresh store. What it serves must be all that was confirmed, nothing that
//! was not sent, and each body as it was published.
//!
//! `CRASH_IMAGES_ROUNDS=20 cargo test --release -p store --test crash_images -- --nocapture` explores further seeds.

mod harness;

use disk::Nanos;
use disk::sim::{CrashImage, SimConfig, SimDisk};
use harness::model::{Model, Violation, payload};
use harness::process::{Found, Process};
use harness::{MS, Mutant, World, config, destination};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use store::{Config, RecoveredDestination};

/// Small segments, so that a short run rolls and unlinks many.
fn small() -> Config {
    Config {
        segment_bytes: 64 << 10,
        batch_bytes_max: 8 << 10,
        writes_in_flight_max: 3,
        async_flush_interval: MS / 4,
        ..config()
    }
}

/// With metadata that fills a segment within a few checkpoints.
fn with_small_metadata() -> Config {
    Config { writes_in_flight_max: 1, meta_segment_bytes: 16 << 10, ..small() }
}

/// Recovers from `disk` and reads all that is live.
fn serve(disk: SimDisk) -> Result<Found, String> {
    let served = Process::serving(disk, small(), 0xfee1);
    served.map(|(_, found)| found).map_err(|error| error.to_string())
}

/// What was served is what some prefix of the clients' work left that holds all that was confirmed.
fn judge(served: &Found, mut model: Model) -> Result<(), String> {
    let Found { recovered, messages } = served;
    for RecoveredDestination { id, name, .. } in &recovered.destinations {
        if *name != destination(*id) {
            return Err(format!("destination {id} is called {name}"));
        }
    }
    for (message, bytes) in messages {
        let bytes = bytes.as_ref().map_err(ToString::to_string)?;
        let id = message.key.expires_at_ms / 7;
        if bytes.len() < 8 || *bytes != payload(id, bytes.len() - 8) {
            return Err(format!("message {id} has the wrong bytes"));
        }
    }
    for store in 0..2 {
        let live = messages.iter().map(|(message, _)| *message).filter(|message| message.store == store);
        model.recovered(recovered.epoch, store, &live.collect::<Vec<_>>()).map_err(|Violation(why)| why)?;
    }
    Ok(())
}

#[derive(Default)]
struct Tally {
    operations: u64,
    images: u64,
    /// Images that no earlier one equals, which were recovered, and for which state of the clients' they were judged.
    distinct: BTreeMap<u64, (Found, Option<(u64, u64)>)>,
}

impl Tally {
    /// Looks at every image of this moment.
    fn look(&mut self, world: &World) -> Result<(), String> {
        self.operations += 1;
        let operations = self.operations;
        for CrashImage { what, disk } in world.disk.crash_images() {
            self.images += 1;
            let moment = |count: u64| format!("after operation {count}, with {what} of what was in flight");
            let fingerprint = disk.fingerprint();
            let entry = match self.distinct.entry(fingerprint) {
                Entry::Occupied(entry) => entry.into_mut(),
                Entry::Vacant(entry) => {
                    let found = serve(disk).map_err(|why| format!("{}: {why}", moment(operations)))?;
                    entry.insert((found, None))
                }
            };
            // Only what is confirmed in addition can make a good image a bad one.
            let state = (world.model.confirmed, world.takeovers);
            if entry.1 != Some(state) {
                judge(&entry.0, world.model.clone()).map_err(|why| format!("{}: {why}", moment(operations)))?;
                entry.1 = Some(state);
            }
        }
        Ok(())
    }

    /// Steps for `duration`, looking after each step in which an operation completed.
    fn run(&mut self, world: &mut World, duration: Nanos) -> Result<(), String> {
        let until = world.now + duration;
        let completions = |world: &World| world.nodes.iter().flatten().map(|node| node.completions).sum::<u64>();
        while world.now < until {
            let before = completions(world);
            world.step().map_err(|Violation(why)| why)?;
            if completions(world) != before {
                self.look(world)?;
            }
        }
        Ok(())
    }

    fn until_serving(&mut self, world: &mut World) -> Result<usize, String> {
        for _ in 0..10_000 {
            if let Some(index) = world.serving() {
                return Ok(index);
            }
            self.run(world, MS / 20)?;
        }
        Err("nobody serves".to_owned())
    }
}

fn is_there(world: &World, part: &str) -> bool {
    world.disk.paths().iter().any(|path| path.to_string_lossy().contains(part))
}

/// Acknowledges what is live; one message in so many stays, if that is given.
fn acknowledge(world: &mut World, stays: Option<u64>) -> Result<(), String> {
    let now = world.now;
    let node = world.nodes[0].as_mut().ok_or("a node")?;
    for store in 0..2u8 {
        for message in std::mem::take(&mut node.live[usize::from(store)]) {
            if stays.is_some_and(|stays| message.id.is_multiple_of(stays)) {
                node.live[usize::from(store)].push(message);
                continue;
            }
            let lsn = node.acknowledge(now, store, message, true).map_err(|why| why.to_string())?;
            world.model.acknowledged(node.epoch, store, lsn, message.id);
        }
    }
    Ok(())
}

/// The workload, from a seed; one process at first, another takes over from it.
fn workload(seed: u64, mutant: Mutant) -> Result<Tally, String> {
    let disk = SimConfig { slow_per_million: 0, latency_ns_min: 20_000, ..SimConfig::default() };
    let mut world = World::with_disk(SimDisk::new(seed, disk), seed, 1, small());
    world.mutant = mutant;
    world.message_bytes_max = 700;
    let mut tally = Tally::default();
    tally.until_serving(&mut world)?;
    tally.run(&mut world, MS / 2)?;
    world.kill(0);
    tally.until_serving(&mut world)?;
    tally.run(&mut world, MS / 2)?;
    // With a few left in each segment, these are copied.
    world.stays = 8;
    for _ in 0..24 {
        if world.copied >= 4 {
            break;
        }
        acknowledge(&mut world, Some(8))?;
        tally.run(&mut world, MS / 4)?;
    }
    world.stays = 0;
    // With little live left, what the checkpoints cover is unlinked.
    for _ in 0..20 {
        if !is_there(&world, "/sync-msgs.db/segment.1.") {
            break;
        }
        acknowledge(&mut world, None)?;
        tally.run(&mut world, MS / 4)?;
    }
    // A clean stop, and the epoch after it.
    world.nodes[0].as_mut().ok_or("a node")?.store.stop(world.now);
    tally.run(&mut world, MS)?;
    tally.until_serving(&mut world)?;
    tally.run(&mut world, MS / 4)?;
    let parts = ["/sync-msgs.db/segment.2.", "/checkpoint.2.", "/index."];
    if !parts.iter().all(|part| is_there(&world, part)) || is_there(&world, "/sync-msgs.db/segment.1.") {
        return Err(format!("nothing was rolled or unlinked: {:?}", world.disk.paths()));
    }
    if world.copied < 4 {
        return Err(format!("{} messages were copied forward", world.copied));
    }
    if world.takeovers < 3 || world.stopped != 1 || !world.failures.is_empty() {
        return Err(format!("{} takeovers, {} stops, {:?}", world.takeovers, world.stopped, world.failures));
    }
    Ok(tally)
}

#[test]
fn every_image_that_a_crash_can_leave_is_recovered() {
    let rounds = std::env::var("CRASH_IMAGES_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    for seed in 1..=rounds {
        let tally = workload(seed, Mutant::None).unwrap_or_else(|why| panic!("seed {seed}: {why}"));
        let Tally { operations, images, distinct } = tally;
        println!("seed {seed}: {operations} operations, {images} images, {} of them distinct", distinct.len());
        let epochs: BTreeSet<u64> = distinct.values().map(|(found, _)| found.recovered.epoch).collect();
        assert!(epochs.len() >= 4 && images > 1_000 && distinct.len() > 500, "the workload is one: {epochs:?}");
    }
}

/// Turnover until the serving epoch has removed metadata twice.
fn remove_metadata(tally: &mut Tally, world: &mut World) -> Result<(), String> {
    for _ in 0..60 {
        let epoch = world.nodes[0].as_ref().map_or(0, |node| node.epoch);
        if world.removed_metadata.get(&epoch).is_some_and(|removed| *removed >= 2) {
            return Ok(());
        }
        acknowledge(world, None)?;
        tally.run(world, MS / 4)?;
    }
    Err(format!("no metadata was removed: {:?}", world.removed_metadata))
}

/// Metadata is removed in each of two epochs, the first of which is killed in the middle of it.
fn metadata_workload(seed: u64, mutant: Mutant) -> Result<Tally, String> {
    let disk = SimConfig { slow_per_million: 0, latency_ns_min: 20_000, ..SimConfig::default() };
    let mut world = World::with_disk(SimDisk::new(seed, disk), seed, 1, with_small_metadata());
    world.mutant = mutant;
    world.message_bytes_max = 5_000;
    let mut tally = Tally::default();
    for _ in 0..2 {
        tally.until_serving(&mut world)?;
        remove_metadata(&mut tally, &mut world)?;
        world.kill(0);
    }
    tally.until_serving(&mut world)?;
    if !world.failures.is_empty() {
        return Err(format!("{:?}", world.failures));
    }
    Ok(tally)
}

#[test]
fn every_image_around_the_removal_of_metadata_is_recovered() {
    let rounds = std::env::var("CRASH_IMAGES_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    for seed in 1..=rounds {
        let tally = metadata_workload(seed, Mutant::None).unwrap_or_else(|why| panic!("seed {seed}: {why}"));
        let Tally { operations, images, distinct } = tally;
        println!("seed {seed}: {operations} operations, {images} images, {} of them distinct", distinct.len());
        assert!(images > 1_000 && distinct.len() > 300, "the workload is one");
    }
}

#[test]
fn an_owner_that_removes_metadata_before_its_base_is_durable_is_found() {
    let why = metadata_workload(1, Mutant::BaseNotDurable).err().expect("some image is refused");
    assert!(why.contains("/meta.db/segment.") && why.contains("missing"), "{why}");
}

#[test]
fn an_owner_that_answers_before_its_writes_are_durable_is_found() {
    // In the metadata it shows at once as damage, in a data lane as a confirmed message that is missing.
    let why = workload(1, Mutant::NoDurability).err().expect("some image is refused");
    assert!(why.contains("confirmed") || why.contains("durable does not read"), "{why}");
}
