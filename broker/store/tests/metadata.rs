//! Metadata does not pile up within an epoch: what a successor needs is repeated, and the segments before that go.

mod harness;

use disk::sim::{SimConfig, SimDisk};
use disk::{DiskOp, FileId};
use harness::model::Violation;
use harness::process::{Process, Traced};
use harness::{MS, World, config, publish, stores};
use std::collections::BTreeMap;
use std::path::PathBuf;
use store::{Config, MessageKey, StoreError};

const FOLDER: &str = "/data/store/meta.db/";

/// Segments of the metadata that hold three batches, and of a store that hold two messages.
fn small() -> Config {
    Config { segment_bytes: 64 << 10, writes_in_flight_max: 1, meta_segment_bytes: 16 << 10, ..config() }
}

/// The same with the defaults of a server.
fn at_leisure() -> Config {
    Config { batch_bytes_max: 16 << 10, segment_bytes: 64 << 10, ..Config::new("/data/store".into(), stores()) }
}

fn serving(disk: SimDisk, config: Config, number: u128) -> Process {
    Process::serving(disk, config, number).unwrap_or_else(|error| panic!("{error}")).0
}

/// Publishes messages that fill segments and takes each of them at once: a checkpoint for every second one.
fn turn_over(process: &mut Process, messages: usize, mut look: impl FnMut(&Process)) {
    process.store.define_destination(0, 0, "queue.0").expect("there is room");
    for _ in 0..messages {
        let now = process.now;
        let appended = loop {
            match process.store.publish(now, 0, &[0], MessageKey::default(), &[&[7; 24 << 10]]) {
                Ok(appended) => break appended,
                Err(_) => process.step(),
            }
        };
        process.confirmed(0, appended.lsn);
        let now = process.now;
        let lsn = process.store.acknowledge(now, 0, appended.lsn, appended.location, true).expect("there is room");
        process.confirmed(0, lsn);
        look(process);
    }
}

fn metadata(disk: &SimDisk) -> Vec<PathBuf> {
    disk.paths().into_iter().filter(|path| path.to_string_lossy().contains("/meta.db/segment.")).collect()
}

#[test]
fn metadata_stays_within_a_few_segments_over_thousands_of_checkpoints() {
    for config in [small(), Config { meta_segment_bytes: 64 << 10, ..at_leisure() }] {
        let mut process = serving(SimDisk::new(1, SimConfig::default()), config.clone(), 1);
        let mut most = 0;
        turn_over(&mut process, 5_000, |process| most = most.max(metadata(&process.disk).len()));
        let space = process.store.space().expect("it serves");
        let checkpoints = space.removed_metadata_segments * (config.meta_segment_bytes / 4096 - 2);
        println!("{most} segments at most, {space:?}, about {checkpoints} checkpoints");
        // One that is written to and the one before it, two that stand ready, and those that are about to go.
        assert!(most <= 6 && space.metadata_segments <= 4, "{most} {space:?}");
        assert!(space.removed_metadata_segments > 100, "{space:?}");
        let (process, found) = Process::serving(process.killed(), config, 2).unwrap_or_else(|error| panic!("{error}"));
        assert!(found.messages.is_empty());
        assert!(metadata(&process.disk).len() <= 6, "the successor sweeps them up");
    }
}

/// Who was opened as what, by the trace.
fn paths(trace: &[Traced]) -> BTreeMap<FileId, PathBuf> {
    let opened = trace.iter().filter_map(|step| match step {
        Traced::Asked(request) => match &request.op {
            DiskOp::Open { file, path, .. } => Some((*file, path.clone())),
            _ => None,
        },
        Traced::Answered(_) => None,
    });
    opened.collect()
}

/// A removal follows a look at the slot that was asked for when both copies of the base had been answered.
#[test]
fn metadata_goes_only_after_a_check_that_began_when_the_base_was_durable() {
    let slow = SimConfig { latency_ns_min: 5_000, latency_ns_max: 2 * MS, ..SimConfig::default() };
    let mut process = Process::start(SimDisk::new(3, slow), small(), 1);
    process.trace = Some(Vec::new());
    process.until(|event| matches!(event, store::Event::Serving(_)));
    turn_over(&mut process, 120, |_| {});
    let trace = process.trace.take().expect("it was kept");
    let paths = paths(&trace);
    let is = |file: &FileId, part: &str| paths[file].to_string_lossy().contains(part);
    // Copies on their way, copies answered since the last removal, checks that began after both.
    let (mut writes, mut answered, mut checks, mut is_checked, mut removed) = (Vec::new(), 0, Vec::new(), false, 0);
    for step in &trace {
        match step {
            Traced::Asked(request) => match &request.op {
                DiskOp::Write { file, offset: 8192 | 12288, durable, .. } if is(file, "/meta.db/claim.") => {
                    assert!(*durable && writes.is_empty(), "one after the other, each durable");
                    (answered, is_checked) = (answered % 2, false);
                    checks.clear();
                    writes.push(request.id);
                }
                DiskOp::Read { file, .. } if is(file, "/slot.") && answered == 2 => checks.push(request.id),
                DiskOp::Unlink { path } if path.to_string_lossy().starts_with(&format!("{FOLDER}segment.")) => {
                    assert!(is_checked && answered == 2, "{}: removed before its time", path.display());
                    removed += 1;
                }
                _ => {}
            },
            Traced::Answered(id) => {
                if writes.first() == Some(id) {
                    writes.clear();
                    answered += 1;
                }
                is_checked |= checks.contains(id);
            }
        }
    }
    assert!(removed > 10, "{removed} were removed");
}

fn base_block(process: Process, damage: impl Fn(&mut Vec<u8>)) -> Result<(), StoreError> {
    let mut disk = process.killed();
    assert!(disk.tamper(&PathBuf::from(format!("{FOLDER}owner.1")), |bytes| damage(bytes)));
    Process::serving(disk, small(), 2).map(drop)
}

#[test]
fn a_base_is_kept_twice_and_only_the_loss_of_both_is_fatal_and_named() {
    let process = || {
        let mut process = serving(SimDisk::new(1, SimConfig::default()), small(), 1);
        turn_over(&mut process, 30, |_| {});
        process.rest();
        process
    };
    for at in [8192, 12288] {
        base_block(process(), |bytes| bytes[at + 60] ^= 1).unwrap_or_else(|error| panic!("{at}: {error}"));
        base_block(process(), |bytes| bytes[at..at + 4096].fill(0)).unwrap_or_else(|error| panic!("{at}: {error}"));
    }
    let error =
        base_block(process(), |bytes| (bytes[8192 + 60], bytes[12288 + 60]) = (1, 1)).expect_err("none is left");
    assert!(matches!(&error, StoreError::Damaged { path, offset: 8192, .. } if path.ends_with("owner.1")), "{error}");
    let error = base_block(process(), |bytes| bytes.truncate(8192)).expect_err("none is left");
    assert!(matches!(&error, StoreError::Damaged { path, offset: 8192, .. } if path.ends_with("owner.1")), "{error}");
    // As if nothing had been removed.
    let error = base_block(process(), |bytes| bytes[8192..].fill(0)).expect_err("the first segment is gone");
    assert!(error.to_string().contains("the segment is missing"), "{error}");
    let newer = |bytes: &mut Vec<u8>| {
        bytes[8192 + 12] = 99;
        let checksum = crc32c::crc32c(&bytes[8192 + 12..12288]);
        bytes[8192 + 8..8192 + 12].copy_from_slice(&checksum.to_le_bytes());
    };
    let error = base_block(process(), newer).expect_err("a later version wrote it");
    assert!(matches!(error, StoreError::TooNew { found: 99, .. }), "{error}");
}

/// The SEAL that was repeated is the last record but for a checkpoint or two: the base proves that it was there.
#[test]
fn a_repeated_seal_that_rots_does_not_pass_for_one_that_was_never_written() {
    let mut process = serving(SimDisk::new(1, SimConfig::default()), small(), 1);
    let mut before = 0;
    for _ in 0..200 {
        turn_over(&mut process, 1, |_| {});
        let removed = process.store.space().expect("it serves").removed_metadata_segments;
        if removed > before {
            let mut disk = process.disk.clone();
            disk.kill(process.session);
            let last = metadata(&disk).into_iter().filter(|path| {
                disk.content(path)
                    .is_some_and(|bytes| bytes.len() > 8192 && bytes[4096..8192].iter().any(|byte| *byte != 0))
            });
            for path in last {
                let mut struck = disk.clone();
                for block in 1..4 {
                    struck.tamper(&path, |bytes| bytes[block * 4096..(block + 1) * 4096].fill(0));
                }
                let result = Process::serving(struck, small(), 2);
                assert!(matches!(result, Err(StoreError::Damaged { .. })), "{}", path.display());
            }
            before = removed;
        }
    }
    assert!(before > 10, "{before}");
}

/// The older of the two checkpoints is repeated, too: it is the way back.
#[test]
fn behind_a_base_a_damaged_checkpoint_falls_back_to_the_one_before() {
    for messages in 24..32 {
        let mut process = serving(SimDisk::new(1, SimConfig::default()), small(), 1);
        turn_over(&mut process, messages, |_| {});
        process.rest();
        assert!(process.store.space().expect("it serves").removed_metadata_segments > 0);
        let mut disk = process.killed();
        let order = |path: &PathBuf| {
            let name = path.to_string_lossy().into_owned();
            name.contains("/sync-msgs.db/checkpoint.").then(|| name.rsplit('.').next()?.parse::<u32>().ok())?
        };
        let newest = disk.paths().into_iter().filter(|path| order(path).is_some()).max_by_key(order);
        assert!(disk.tamper(&newest.expect("a checkpoint"), |bytes| bytes[4_098] ^= 1));
        let (_, found) = Process::serving(disk, small(), 2).unwrap_or_else(|error| panic!("{messages}: {error}"));
        let is_told = found.recovered.notes.iter().any(|note| note.contains("the checkpoint before it is used"));
        assert!(is_told, "{messages}: {:?}", found.recovered.notes);
    }
}

/// Publishes, and takes nothing, until the owner has removed metadata once more.
fn publish_until_removed(world: &mut World, owner: usize, seed: u64) {
    let removed = |world: &World| world.removed_metadata.values().sum::<u64>();
    let before = removed(world);
    let until = world.now + 400 * MS;
    // Slowly, so that checkpoints keep up.
    let mut next = world.now;
    while removed(world) == before {
        assert!(world.now < until, "seed {seed}: nothing was removed");
        if world.now >= next {
            next = world.now + MS / 2;
            let node = world.nodes[owner].as_mut().expect("a node");
            publish(node, &mut world.model, &mut world.random, world.now, 0, 20_000);
        }
        world.step().unwrap_or_else(|violation| panic!("seed {seed}: {}", violation.0));
    }
}

/// A standby that slept while what it was about to read went finds its place again, and takes over hot.
#[test]
fn a_standby_that_fell_behind_the_base_goes_on_from_there() {
    for seed in 0..6 {
        let mut world = World::new(seed, 2, small());
        let fail = |violation: Violation| -> usize { panic!("seed {seed}: {}", violation.0) };
        let owner = world.until_serving().unwrap_or_else(fail);
        world.client_is_active = false;
        // Who wakes has not seen a heartbeat for long; it shall find its place, not claim.
        world.activation = 4_000 * MS;
        publish_until_removed(&mut world, owner, seed);
        world.nodes[1 - owner].as_mut().expect("a node").paused_until = Some(world.now + 1_000 * MS);
        for _ in 0..3 {
            publish_until_removed(&mut world, owner, seed);
        }
        let standby = world.nodes[1 - owner].as_mut().expect("a node");
        standby.paused_until = Some(world.now);
        publish_until_removed(&mut world, owner, seed);
        world.settle().unwrap_or_else(fail);
        world.restarts = false;
        world.kill(owner);
        world.until_serving().unwrap_or_else(fail);
        let notes = &world.nodes[1 - owner].as_ref().expect("a node").notes;
        assert_eq!((world.hot, world.reloads, world.rebased_hot), (1, 0, 1), "seed {seed}: {notes:?}");
        assert!(world.failures.is_empty(), "{:?}", world.failures);
    }
}
