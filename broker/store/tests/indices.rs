//! Damage to what is read after serving began: indices, which are made again, and the segments that they tell of.

mod harness;

use disk::sim::{SimConfig, SimDisk};
use harness::process::{Found, Process};
use harness::{config, destination};
use std::collections::BTreeSet;
use std::path::PathBuf;
use store::{Config, Event, Location, MessageKey, Refused, StoreError};

fn small() -> Config {
    Config { segment_bytes: 64 << 10, batch_bytes_max: 8 << 10, ..config() }
}

fn text(number: u64) -> String {
    format!("message {number} {}", "x".repeat(900))
}

/// Publishes `numbers`; the number comes back as the expiry.
fn publish(process: &mut Process, numbers: std::ops::Range<u64>) -> Vec<(u64, Location)> {
    let mut all = Vec::new();
    for number in numbers {
        let key = MessageKey { expires_at_ms: number, priority: 4, flags: 0 };
        let appended = loop {
            match process.store.publish(process.now, 0, &[0], key, &[text(number).as_bytes()]) {
                Ok(appended) => break appended,
                Err(Refused::Throttled) => process.step(),
                Err(refused) => panic!("{refused}"),
            }
        };
        all.push((appended.lsn, appended.location));
    }
    process.confirmed(0, all.last().map_or(0, |(lsn, _)| *lsn));
    all
}

/// A store of several segments, most messages of which are live, that its owner was killed on; and what is live.
fn filled() -> (SimDisk, BTreeSet<u64>) {
    let disk = SimDisk::new(1, SimConfig::default());
    let (mut process, _) = Process::serving(disk, small(), 1).expect("a new store");
    process.store.define_destination(0, 0, &destination(0)).expect("a new destination");
    let published = publish(&mut process, 1..400);
    let mut live: BTreeSet<u64> = (1..400).collect();
    let mut last = 0;
    for (index, (lsn, location)) in published.into_iter().enumerate().filter(|(index, _)| index % 3 == 0) {
        last = process.store.acknowledge(process.now, 0, lsn, location, true).expect("serving");
        live.remove(&(index as u64 + 1));
    }
    process.confirmed(0, last);
    process.rest();
    // The checkpoint after this knows what is gone.
    publish(&mut process, 400..500);
    live.extend(400..500);
    process.rest();
    (process.killed(), live)
}

fn files(disk: &SimDisk, part: &str) -> Vec<PathBuf> {
    disk.paths().into_iter().filter(|path| path.to_string_lossy().contains(part)).collect()
}

fn numbers(found: &Found) -> BTreeSet<u64> {
    for (message, bytes) in &found.messages {
        let expected = text(message.key.expires_at_ms);
        assert_eq!(bytes.as_deref(), Ok(expected.as_bytes()));
    }
    found.messages.iter().map(|(message, _)| message.key.expires_at_ms).collect()
}

fn note(process: &mut Process) -> String {
    match process.until(|event| matches!(event, Event::Note(_))) {
        Event::Note(note) => note,
        other => unreachable!("{other:?}"),
    }
}

/// Serves; or the error, be it before or after.
fn serve(disk: SimDisk, config: Config, number: u128) -> Result<(Process, Found), StoreError> {
    Process::serving(disk, config, number)
}

#[test]
fn an_index_that_is_missing_or_damaged_is_made_again_and_written_again() {
    let (pristine, live) = filled();
    let indices = files(&pristine, "/sync-msgs.db/index.");
    assert!(indices.len() >= 6, "{indices:?}");
    for (round, path) in indices.iter().enumerate() {
        for kind in 0..3 {
            let mut disk = pristine.fork(1);
            match kind {
                0 => assert!(disk.remove(path)),
                1 => assert!(disk.tamper(path, |bytes| bytes[4096 + round] ^= 4)),
                _ => assert!(disk.tamper(path, |bytes| bytes.truncate(4096))),
            }
            let what = format!("{} kind {kind}", path.display());
            let (mut process, found) = serve(disk, small(), 2).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(numbers(&found), live, "{what}");
            let note = note(&mut process);
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            assert!(note.contains(&name) && note.contains("made again"), "{note}");
            // Once a checkpoint named the new one, nobody misses the old one.
            publish(&mut process, 500..600);
            process.rest();
            let (mut process, found) = serve(process.killed(), small(), 3).expect("the next epoch");
            assert_eq!(numbers(&found), live.iter().copied().chain(500..600).collect(), "{what}");
            process.rest();
            let notes = process.notes();
            assert!(notes.is_empty(), "{what}: {notes:?}");
            assert!(!process.disk.paths().contains(path), "{what}: the old index is gone");
        }
    }
}

#[test]
fn a_segment_is_missed_when_its_messages_are_handed_over_and_force_drops_them_once() {
    let (pristine, live) = filled();
    let indices = files(&pristine, "/sync-msgs.db/index.");
    for index in &indices {
        let name = index.file_name().expect("a name").to_string_lossy().into_owned();
        let name = name.replace("index.", "segment.");
        let name = name.rsplit_once('.').expect("a writer").0.to_owned();
        let path = index.with_file_name(&name);
        for is_index_missing in [false, true] {
            let mut disk = pristine.fork(1);
            assert!(disk.remove(&path));
            if is_index_missing {
                assert!(disk.remove(index));
            }
            lossy(&disk, &name, "is missing", &live, 30..70);
        }
    }
}

#[test]
fn what_neither_the_index_nor_the_segment_has_is_named_and_force_drops_it_once() {
    let (pristine, live) = filled();
    for index in files(&pristine, "/sync-msgs.db/index.") {
        let name = index.file_name().expect("a name").to_string_lossy().replace("index.", "segment.");
        let name = name.rsplit_once('.').expect("a writer").0.to_owned();
        let mut disk = pristine.fork(1);
        assert!(disk.remove(&index));
        // With its index whole, a message that rotted would be its reader's error only.
        assert!(disk.tamper(&index.with_file_name(&name), |bytes| bytes[20 << 10] ^= 1));
        lossy(&disk, &name, "does not read", &live, 1..20);
        assert_eq!(files(&disk, "/quarantine.").len(), 0);
    }
}

/// Without force an error that names the segment; with it some messages are dropped, for ever.
fn lossy(disk: &SimDisk, name: &str, problem: &str, live: &BTreeSet<u64>, expected: std::ops::Range<usize>) {
    let error = serve(disk.fork(1), small(), 2).err().expect("an error").to_string();
    assert!(error.contains(name) && error.contains(problem), "{error}");
    assert!(error.contains("live messages of sync-msgs.db") && error.contains("--force-start"), "{error}");
    let force = Config { force_start: true, ..small() };
    let (mut process, found) = serve(disk.fork(1), force, 2).expect("force goes on");
    let kept = numbers(&found);
    let lost: Vec<&u64> = live.difference(&kept).collect();
    assert!(expected.contains(&lost.len()) && kept.is_subset(live), "{name}: {lost:?}");
    process.rest();
    let notes = process.notes();
    assert!(notes.iter().any(|note| note.contains("dropped") && note.contains(name)), "{notes:?}");
    if disk.paths().iter().any(|path| path.ends_with(format!("sync-msgs.db/{name}"))) {
        assert_eq!(files(&process.disk, &format!("/quarantine.{name}")).len(), 1);
    }
    let (_, found) = serve(process.killed(), small(), 3).unwrap_or_else(|error| panic!("without force: {error}"));
    assert_eq!(numbers(&found), kept);
}
