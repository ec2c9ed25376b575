//! Stores that earlier versions wrote, kept for ever: each must read as its listing says.
//!
//! `golden/vN/store.image` holds every file of a store of format version N, `golden/vN/expected` what a claimant finds
//! in it. When the format version is raised, `cargo test -p store --test golden -- --ignored` writes the next pair with
//! the code of that day; commit it and never write it again.

mod harness;

use disk::sim::{SimConfig, SimDisk};
use disk::{BLOCK_SIZE, DiskOp};
use harness::image::{config, golden, number, read, read_image, write_image};
use harness::process::{Found, Process};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use store::{Event, Location, MessageKey, format};

/// A message as the listing shows it, by store and log sequence number.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Message {
    destinations: Vec<u32>,
    key: MessageKey,
    payload: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Expected {
    epoch: u64,
    destinations: BTreeMap<(u8, u32), String>,
    messages: BTreeMap<(u8, u64), Message>,
    /// Each is part of a note.
    notes: Vec<String>,
}

impl Expected {
    fn write(&self) -> String {
        let mut out = String::from("# message: store, number, destinations, priority, flags, expiry, payload\n");
        writeln!(out, "epoch {}", self.epoch).expect("a string takes all");
        for ((store, id), name) in &self.destinations {
            writeln!(out, "destination {store} {id} {name}").expect("a string takes all");
        }
        for ((store, lsn), Message { destinations, key, payload }) in &self.messages {
            let ids = destinations.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
            let MessageKey { expires_at_ms, priority, flags } = key;
            writeln!(out, "message {store} {lsn} {ids} {priority} {flags} {expires_at_ms} {payload}")
                .expect("a string takes all");
        }
        self.notes.iter().for_each(|note| writeln!(out, "note {note}").expect("a string takes all"));
        out
    }

    fn read(text: &str) -> Self {
        let mut expected = Self::default();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (word, rest) = line.split_once(' ').expect("a word and its fields");
            match word {
                "epoch" => expected.epoch = number(rest),
                "note" => expected.notes.push(rest.to_owned()),
                "destination" => {
                    let mut fields = rest.splitn(3, ' ');
                    let mut next = || fields.next().expect("three fields");
                    let key = (number(next()), number(next()));
                    expected.destinations.insert(key, next().to_owned());
                }
                "message" => {
                    let mut fields = rest.splitn(7, ' ');
                    let mut next = || fields.next().expect("seven fields");
                    let place = (number(next()), number(next()));
                    let destinations = next().split(',').map(number).collect();
                    let (priority, flags, expires_at_ms) = (number(next()), number(next()), number(next()));
                    let key = MessageKey { expires_at_ms, priority, flags };
                    expected.messages.insert(place, Message { destinations, key, payload: next().to_owned() });
                }
                other => panic!("a line that begins with {other}"),
            }
        }
        expected
    }
}

fn serving(disk: SimDisk, number: u128) -> (Process, Found) {
    Process::serving(disk, config(), number).unwrap_or_else(|error| panic!("{error}"))
}

/// What a claimant finds on `disk`.
fn found(disk: SimDisk, number: u128) -> (Expected, Vec<String>) {
    let (_, Found { recovered, messages }) = serving(disk, number);
    let mut found = Expected { epoch: recovered.epoch, ..Expected::default() };
    found.destinations = recovered.destinations.into_iter().map(|of| ((of.store, of.id), of.name)).collect();
    for (message, bytes) in messages {
        let bytes = bytes.unwrap_or_else(|error| panic!("{error}"));
        let payload = String::from_utf8(bytes).expect("golden payloads are text");
        let entry = found.messages.entry((message.store, message.lsn));
        let listed = entry.or_insert(Message { destinations: Vec::new(), key: message.key, payload });
        listed.destinations.push(message.destination);
    }
    (found, recovered.notes)
}

#[test]
fn every_golden_store_reads_as_its_listing_says() {
    for version in 1..=format::FORMAT_VERSION {
        let folder = golden().join(format!("v{version}"));
        let expected = Expected::read(&read(&folder.join("expected")));
        assert!(expected.messages.len() > 20, "version {version}: the listing is read");
        let image = read_image(&read(&folder.join("store.image")));
        let (mut found, notes) = found(image, 0x77);
        for note in &expected.notes {
            assert!(notes.iter().any(|of| of.contains(note)), "version {version}: {note}: {notes:?}");
        }
        found.notes = expected.notes.clone();
        assert_eq!(found, expected, "version {version}");
    }
}

#[test]
fn an_image_comes_back_as_it_was_written() {
    let text = "file meta.db/a 70\n0 0102\n64 ff\nfile meta.db/b 0\n";
    assert_eq!(write_image(&read_image(text)), text);
}

/// What the writer did so far.
struct Writer {
    process: Process,
    expected: Expected,
    /// Of live messages.
    locations: BTreeMap<(u8, u64), Location>,
}

impl Writer {
    fn define(&mut self, store: u8, id: u32, name: &str) {
        self.process.store.define_destination(store, id, name).expect("there is room");
        self.expected.destinations.insert((store, id), name.to_owned());
    }

    fn publish(&mut self, store: u8, destinations: &[u32], bytes: usize) -> u64 {
        let number = self.expected.messages.len();
        let mut payload = format!("message {number} of epoch {}", self.expected.epoch);
        payload.push_str(&"=".repeat(bytes.saturating_sub(payload.len())));
        let key = MessageKey {
            expires_at_ms: if number.is_multiple_of(4) { 4_000_000_000_000 + number as u64 } else { 0 },
            priority: (number % 10) as u8,
            flags: (number % 3) as u8,
        };
        let mut admitted = None;
        while admitted.is_none() {
            let now = self.process.now;
            admitted = self.process.store.publish(now, store, destinations, key, &[payload.as_bytes()]).ok();
            if admitted.is_none() {
                // An asynchronous store that was idle waits for a check.
                self.process.step();
            }
        }
        let appended = admitted.expect("there is room");
        self.locations.insert((store, appended.lsn), appended.location);
        let message = Message { destinations: destinations.to_vec(), key, payload };
        self.expected.messages.insert((store, appended.lsn), message);
        appended.lsn
    }

    fn acknowledge(&mut self, store: u8, lsn: u64) -> u64 {
        self.expected.messages.remove(&(store, lsn)).expect("it is live");
        let location = self.locations.remove(&(store, lsn)).expect("it is live");
        self.process.store.acknowledge(self.process.now, store, lsn, location, true).expect("there is room")
    }

    /// Turnover until metadata of this epoch is removed, so that its owner's file says where it begins.
    fn remove_metadata(&mut self) {
        let first = |epoch| format!("/meta.db/segment.{epoch}.");
        let is_there = |process: &Process, epoch| {
            let is_first = |path: &std::path::PathBuf| {
                let path = path.to_string_lossy();
                path.contains(&first(epoch)) && path.ends_with(".1")
            };
            process.disk.paths().iter().any(is_first)
        };
        for _ in 0..100 {
            if !is_there(&self.process, self.expected.epoch) {
                return;
            }
            let lsns = self.publish_apart(0, &[&[1]], 16);
            let acknowledged = lsns.iter().map(|lsn| self.acknowledge(0, *lsn)).max().expect("sixteen of them");
            self.process.confirmed(0, acknowledged);
            self.process.rest();
        }
        panic!("no metadata was removed");
    }

    /// A batch each for `count` messages, and what they are numbered.
    fn publish_apart(&mut self, store: u8, destinations: &[&[u32]], count: usize) -> Vec<u64> {
        let each = (0..count).map(|index| {
            let lsn = self.publish(store, destinations[index % destinations.len()], 0);
            self.process.confirmed(store, lsn);
            lsn
        });
        each.collect()
    }

    /// Another process takes the store over after this one died.
    fn next_epoch(self, number: u128, disk: impl FnOnce(Process) -> SimDisk) -> Self {
        let (process, Found { recovered, messages }) = serving(disk(self.process), number);
        let locations = messages.iter().map(|(message, _)| ((message.store, message.lsn), message.location));
        let expected = Expected { epoch: recovered.epoch, ..self.expected };
        Self { locations: locations.collect(), process, expected }
    }

    /// Writes in flight: all of them were handed in, `landed` says which took effect, and of how many blocks.
    fn land(&mut self, landed: &[(usize, usize)]) {
        self.process.submit();
        let held = self.process.held.take().expect("writes were held");
        for (index, blocks) in landed {
            let mut request = held[*index].clone();
            let DiskOp::Write { data, .. } = &mut request.op else { unreachable!("only writes are held") };
            *data = data.slice(data.len() - blocks * BLOCK_SIZE..);
            if let DiskOp::Write { offset, data, .. } = &mut request.op {
                let whole = match &held[*index].op {
                    DiskOp::Write { data, .. } => data.len(),
                    _ => 0,
                };
                *offset += (whole - data.len()) as u64;
            }
            self.process.disk.submit(self.process.now, self.process.session, request);
        }
        let late = self.process.now + 1_000_000_000;
        while self.process.disk.poll(late).is_some() {}
    }
}

/// The last of epoch 3: writes in flight of which the first two landed, the fourth landed without the third, and one
/// of the other store only with its second block.
fn tail(writer: &mut Writer) {
    let kept = writer.expected.clone();
    writer.process.held = Some(Vec::new());
    let mut landed = Vec::new();
    for _ in 0..4 {
        landed.push(writer.publish(0, &[1], 0));
        writer.process.submit();
    }
    writer.publish(1, &[0], 5_000);
    // An asynchronous store writes when its interval is over.
    writer.process.now += 20_000_000;
    writer.process.store.handle_timeout(writer.process.now);
    writer.process.submit();
    assert_eq!(writer.process.held.as_ref().map(Vec::len), Some(5));
    writer.land(&[(0, 1), (1, 1), (3, 1), (4, 1)]);
    let messages = landed[..2].iter().map(|lsn| ((0, *lsn), writer.expected.messages[&(0, *lsn)].clone())).collect();
    writer.expected = kept;
    let messages: BTreeMap<_, _> = messages;
    writer.expected.messages.extend(messages);
    writer.expected.notes.push("writes in flight behind it are dropped".to_owned());
}

#[test]
#[ignore = "writes the golden store of the present format version, once"]
fn write_the_golden_store() {
    let folder = golden().join(format!("v{}", format::FORMAT_VERSION));
    assert!(!folder.exists(), "{}: a golden store is written once", folder.display());
    let (process, _) = serving(SimDisk::new(1, SimConfig::default()), 1);
    let mut writer =
        Writer { process, expected: Expected { epoch: 1, ..Expected::default() }, locations: BTreeMap::new() };
    // Epoch 1: three segments, the first one dead and gone, a clean stop.
    for (id, name) in ["orders", "invoices", "audit.trail"].iter().enumerate() {
        writer.define(0, id as u32, name);
    }
    writer.define(1, 0, "prices");
    let first = writer.publish_apart(0, &[&[0], &[1], &[0, 2]], 40);
    writer.publish_apart(1, &[&[0]], 3);
    let acknowledged = first[..18].iter().map(|lsn| writer.acknowledge(0, *lsn)).max().expect("eighteen of them");
    writer.process.confirmed(0, acknowledged);
    writer.process.rest();
    let mut writer = writer.next_epoch(2, |mut process| {
        process.store.stop(process.now);
        process.until(|event| matches!(event, Event::Stopped));
        process.killed()
    });
    // Epoch 2: acknowledged ranges across epochs, a tail that its successor copies.
    writer.publish_apart(0, &[&[2], &[0, 1]], 18);
    let acknowledged = [20, 22, 23, 24, 26].map(|index| writer.acknowledge(0, first[index]));
    writer.process.confirmed(0, *acknowledged.last().expect("five of them"));
    writer.process.rest();
    // What is left in the old segments was copied out of them.
    assert!(writer.process.store.space().is_some_and(|space| space.copied_messages > 0));
    writer.process.held = Some(Vec::new());
    writer.publish(0, &[2], 0);
    writer.land(&[(0, 1)]);
    let mut writer = writer.next_epoch(3, Process::killed);
    // Epoch 3: the first run is acknowledged except for one in its last segment, so that an intent cuts the run; then the
    // writes in flight.
    writer.define(0, 3, "late.comer");
    writer.publish_apart(0, &[&[3]], 4);
    writer.remove_metadata();
    let left: Vec<u64> = first.iter().copied().filter(|lsn| writer.locations.contains_key(&(0, *lsn))).collect();
    let acknowledged =
        left[..left.len() - 1].iter().map(|lsn| writer.acknowledge(0, *lsn)).max().expect("some of them");
    writer.process.confirmed(0, acknowledged);
    writer.process.rest();
    tail(&mut writer);
    // Epoch 4: claimed, never sealed.
    let mut claimant = Process::start(writer.process.killed(), config(), 4);
    claimant.until(|event| matches!(event, Event::Claimed { .. }));
    let disk = claimant.killed();
    let expected = Expected { epoch: 5, ..writer.expected };
    let image = write_image(&disk);
    assert_eq!(found(disk, 0x99).0.messages, expected.messages);
    std::fs::create_dir_all(&folder).expect("a new folder");
    std::fs::write(folder.join("store.image"), image).expect("written");
    std::fs::write(folder.join("expected"), expected.write()).expect("written");
}
