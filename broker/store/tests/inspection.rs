//! The inspection says what a store holds, finds damage in every kind of file, and leaves no trace.

mod harness;

use disk::sim::SimDisk;
use harness::image::{FOLDER, config, golden, read, read_image};
use harness::process::{Process, inspect};
use std::path::{Path, PathBuf};
use store::{Lock, Report, SealState, SegmentRole, Slot, StoreError};

fn image() -> SimDisk {
    read_image(&read(&golden().join("v1/store.image")))
}

fn report(disk: &SimDisk) -> Report {
    let (result, after) = inspect(disk.clone(), FOLDER.into());
    assert_eq!(after.fingerprint(), disk.fingerprint(), "an inspection changes nothing");
    result.expect("a store")
}

#[test]
fn a_sound_store_is_described() {
    let report = report(&image());
    assert_eq!(report.damages, []);
    assert_eq!((report.lock, report.next_slot), (Lock::Free, Slot::Unclaimed));
    let seals: Vec<_> = report.owners.iter().map(|owner| (owner.seal, owner.slot)).collect();
    let superseded = (SealState::Superseded, Slot::Claimed);
    assert_eq!(
        seals,
        [superseded, superseded, (SealState::Sealed, Slot::Claimed), (SealState::Never, Slot::Unclaimed)]
    );
    let lane = &report.lanes[1];
    assert_eq!((lane.name.as_str(), lane.messages, report.lanes[2].messages), ("sync-msgs.db", 26, 3));
    assert_eq!((lane.in_flight.batches, lane.in_flight.lsns, lane.in_flight.messages), (2, Some((87, 88)), 2));
    let names: Vec<_> = lane.destinations.iter().map(|of| (of.name.as_str(), of.messages)).collect();
    assert_eq!(names.len(), 4);
    assert!(names.contains(&("late.comer", 4)), "{names:?}");
    let live: Vec<_> = lane.segments.iter().filter(|segment| segment.role == SegmentRole::Live).collect();
    assert!(live.windows(2).all(|pair| pair[0].lsns.unwrap().1 < pair[1].lsns.unwrap().0), "{live:?}");
    assert_eq!(live.iter().map(|segment| segment.live_messages).sum::<u64>() + 2, lane.messages);
    assert!(live.iter().all(|segment| segment.file_bytes == 64 << 10 && segment.used_bytes > 4096), "{live:?}");
}

#[test]
fn a_store_with_checkpoints_is_sound_and_the_segments_before_them_are_read() {
    let disk = read_image(&read(&golden().join("v2/store.image")));
    assert!(disk.paths().iter().any(|path| path.to_string_lossy().contains("/checkpoint.")));
    let report = report(&disk);
    assert_eq!(report.damages, []);
    let lane = &report.lanes[1];
    let live = lane.segments.iter().map(|segment| segment.live_messages).sum::<u64>();
    assert!(lane.messages > 20 && live + lane.in_flight.messages == lane.messages, "{lane:?}");
    assert!(lane.destinations.iter().all(|destination| !destination.name.is_empty()), "{lane:?}");
}

#[test]
fn every_damage_is_named_not_only_the_first() {
    let mut disk = image();
    let places: [(&str, usize); 5] = [
        ("/meta.db/owner.2", 4096 + 70),
        ("/meta.db/slot.1", 20),
        ("/sync-msgs.db/segment.2.00000002000000000000000000005eee.1", 2 * 4096 + 30),
        ("/sync-msgs.db/segment.2.00000002000000000000000000005eee.2", 50),
        ("/async-msgs.db/segment.1.00000001000000000000000000005eee.1", 4096 + 80),
    ];
    for (name, at) in places {
        assert!(disk.tamper(Path::new(&format!("{FOLDER}{name}")), |bytes| bytes[at] ^= 1), "{name}");
    }
    let report = report(&disk);
    for (name, at) in places {
        let block = (at / 4096 * 4096) as u64;
        let is_named = |damage: &store::Damage| damage.file.ends_with(&name[1..]) && damage.offset == block;
        assert!(report.damages.iter().any(is_named), "{name} at {block}: {:#?}", report.damages);
    }
    let lost: Vec<_> = report.damages.iter().filter_map(|damage| damage.lsns).collect();
    assert!(lost.iter().all(|(first, last)| last.is_some_and(|last| last >= *first)), "{lost:?}");
}

/// Publishes; right after a claim that may have to wait for a segment, since the reserves for a full disk come first.
fn publish(process: &mut Process) -> u64 {
    for _ in 0..1_000 {
        let now = process.now;
        match process.store.publish(now, 0, &[0], store::MessageKey::default(), &[b"while it is read"]) {
            Ok(published) => return published.lsn,
            Err(refused) => assert_eq!(refused, store::Refused::Throttled),
        }
        process.step();
    }
    panic!("there is never room");
}

#[test]
fn what_was_found_before_the_checkpoint_is_told_even_where_the_journal_behind_it_cannot_be_read() {
    let mut disk = read_image(&read(&golden().join("v2/store.image")));
    let tamper = |disk: &mut SimDisk, name: &str, change: &dyn Fn(&mut Vec<u8>)| {
        assert!(disk.tamper(Path::new(&format!("{FOLDER}/sync-msgs.db/{name}")), |bytes| change(bytes)), "{name}");
    };
    // A message before the checkpoint, an index that is gone, and the journal behind it by a version to come.
    let (rotten, newer) =
        ("segment.2.00000002000000000000000000005eee.1", "segment.3.00000003000000000000000000005eee.1");
    tamper(&mut disk, rotten, &|bytes| bytes[2 * 4096 + 30] ^= 1);
    tamper(&mut disk, newer, &|bytes| {
        bytes[12..14].copy_from_slice(&99u16.to_le_bytes());
        let checksum = crc32c::crc32c(&bytes[12..4096]);
        bytes[8..12].copy_from_slice(&checksum.to_le_bytes());
    });
    let index = format!("{FOLDER}/sync-msgs.db/index.2.00000002000000000000000000005eee.2.3");
    assert!(disk.remove(Path::new(&index)));
    let report = report(&disk);
    for (name, offset, problem) in [
        (rotten, 2 * 4096, "does not read"),
        (newer, 0, "format version 99"),
        ("index.2.00000002000000000000000000005eee.2.3", 0, "missing"),
    ] {
        let is_told = |damage: &store::Damage| {
            damage.file.ends_with(name) && damage.offset == offset && damage.problem.contains(problem)
        };
        assert!(report.damages.iter().any(is_told), "{name}: {:#?}", report.damages);
    }
    let live: u64 = report.lanes[1].segments.iter().map(|segment| segment.live_messages).sum();
    assert!(live > 0, "what was read counts: {:?}", report.lanes[1]);
}

#[test]
fn a_running_owner_is_told_of_and_not_disturbed() {
    let (mut process, _) = Process::serving(image(), config(), 9).unwrap_or_else(|error| panic!("{error}"));
    for round in 0..40 {
        let lsn = publish(&mut process);
        if round % 4 == 0 {
            process.confirmed(0, lsn);
        } else {
            process.step();
        }
        let (result, _) = inspect(process.disk.fork(round), FOLDER.into());
        let report = result.expect("a store");
        assert_eq!((&report.lock, report.damages.len()), (&Lock::Held, 0), "{report:#?}");
        assert!(report.lanes[1].messages >= 26);
    }
}

#[test]
fn a_folder_without_a_store_is_an_error() {
    let mut disk = SimDisk::new(1, disk::sim::SimConfig::default());
    disk.put(Path::new("/golden/holiday.jpg"), b"x");
    let (result, _) = inspect(disk, PathBuf::from(FOLDER));
    assert!(matches!(result, Err(StoreError::NotAStore { .. })));
}
