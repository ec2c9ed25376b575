//! Every kind of file, altered in every systematic way: detected, named, and never served as good data.
//!
//! Two stores: one that three epochs wrote and that was stopped cleanly, and the golden one, which ends with writes in
//! flight. Of each file: a bit of every field of every structure, truncation, zeroed blocks,
//! blocks swapped within the file, with other files, other lanes and other epochs, whole files swapped or gone. After
//! each, a fresh store claims, and an inspection looks. What is served must be exactly what was written, or a typed error
//! names file, offset and what is affected; and the inspection must name the place.
//!
//! What no reader can know is in docs/FORMATS.md, "What cannot be detected". No other byte of any file may be hit
//! without a word; which bytes those are is said by `allowances`.

mod allowances;
mod blows;
mod files;
#[path = "../harness/mod.rs"]
mod harness;

use allowances::{Allowance, Span, may_be_gone, spans};
use blows::{Blow, blows};
use disk::BLOCK_SIZE;
use disk::sim::{SimConfig, SimDisk};
use files::{file_name, kind};
use harness::image::{FOLDER, config, golden, read, read_image};
use harness::process::{Found, Process, inspect};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use store::format::FORMAT_VERSION;
use store::{Config, Damage, Event, MessageKey, Report, SealState, StoreError};

/// Where the first batch of a segment lies.
const FIRST_BATCH: u64 = BLOCK_SIZE as u64;

/// What is live, by store, number and destination, and the names of destinations by store and number.
#[derive(Debug, PartialEq)]
struct Contents {
    messages: BTreeMap<(u8, u64, u32), (MessageKey, Vec<u8>)>,
    destinations: BTreeMap<(u8, u32), String>,
}

/// A store, and what is known of it.
struct Subject {
    name: &'static str,
    disk: SimDisk,
    contents: Contents,
    /// Messages that nothing proves to have been durable: (store, number).
    unproved: BTreeSet<(u8, u64)>,
    report: Report,
    spans: BTreeMap<PathBuf, Vec<Span>>,
}

impl Subject {
    fn new(name: &'static str, disk: SimDisk) -> Self {
        let (_, found) = Process::serving(disk.clone(), config(), 77).unwrap_or_else(|error| panic!("{error}"));
        let (report, _) = inspect(disk.clone(), FOLDER.into());
        let report = report.expect("a store");
        assert_eq!(report.damages, []);
        let in_flight = (0..).zip(&report.lanes[1..]).filter_map(|(store, lane)| Some((store, lane.in_flight.lsns?)));
        let unproved = in_flight.flat_map(|(store, (first, last))| (first..=last).map(move |lsn| (store, lsn)));
        let (unproved, contents) = (unproved.collect(), contents(&found).expect("a sound store"));
        let mut subject = Self { name, disk, contents, unproved, report, spans: BTreeMap::new() };
        subject.spans = subject.disk.paths().into_iter().map(|path| (path.clone(), spans(&subject, &path))).collect();
        subject
    }

    fn deciding(&self) -> u64 {
        self.report.owners.iter().find(|owner| owner.seal == SealState::Sealed).expect("it served").epoch
    }
}

fn contents(found: &Found) -> Result<Contents, StoreError> {
    let each = found
        .messages
        .iter()
        .map(|(message, bytes)| Ok(((message.store, message.lsn, message.destination), (message.key, bytes.clone()?))));
    let destinations = found.recovered.destinations.iter().map(|of| ((of.store, of.id), of.name.clone()));
    Ok(Contents { messages: each.collect::<Result<_, _>>()?, destinations: destinations.collect() })
}

/// Three epochs, a clean stop at the end of the first and the last, a kill between. Metadata of the first is there again, as
/// if a power loss had taken its removal back.
fn stopped() -> Subject {
    let mut disk = SimDisk::new(5, SimConfig::default());
    let mut dead = BTreeMap::new();
    // Metadata is removed within the epochs, too.
    let config = || Config { writes_in_flight_max: 1, meta_segment_bytes: 16 << 10, ..config() };
    for epoch in 1..=3u8 {
        let (mut process, found) =
            Process::serving(disk, config(), u128::from(epoch)).unwrap_or_else(|error| panic!("{error}"));
        for store in 0..2 {
            for id in 0..3 {
                process.store.define_destination(store, id, &format!("queue.{id}")).expect("there is room");
            }
        }
        for index in 0..20u32 {
            let key = MessageKey { expires_at_ms: 0, priority: (index % 10) as u8, flags: epoch };
            let payload = format!("message {index} of epoch {epoch}").repeat(1 + index as usize * 9);
            let now = process.now;
            let appended = process.store.publish(now, 0, &[index % 3, (index + 1) % 3], key, &[payload.as_bytes()]);
            process.confirmed(0, appended.expect("there is room").lsn);
            if index % 4 == 0 {
                process.rest_for(2_000_000);
                let now = process.now;
                let published = process.store.publish(now, 1, &[0], key, &[payload.as_bytes()]);
                process.confirmed(1, published.map_or(0, |appended| appended.lsn));
            }
        }
        // Some of the epoch before are consumed.
        for (message, _) in found.messages.iter().filter(|(message, _)| message.store == 0 && message.lsn % 3 == 0) {
            let is_first = found.messages.iter().find(|(other, _)| (other.store, other.lsn) == (0, message.lsn));
            if is_first.is_some_and(|(first, _)| first.destination == message.destination) {
                process.store.acknowledge(process.now, 0, message.lsn, message.location, true).expect("there is room");
            }
        }
        process.rest();
        if epoch != 2 {
            process.store.stop(process.now);
            process.until(|event| matches!(event, Event::Stopped));
        }
        disk = process.killed();
        if epoch == 1 {
            let metadata = disk.paths().into_iter().filter(|path| kind(path) == "segment of metadata");
            dead.extend(metadata.map(|path| (path.clone(), disk.content(&path).expect("a file"))));
        }
    }
    let owner = disk.content(&Path::new(FOLDER).join("meta.db/owner.3")).expect("a file");
    assert!(!disk::is_zero(&owner[2 * BLOCK_SIZE..]), "metadata was removed in the deciding epoch");
    assert!(!dead.is_empty() && !dead.keys().any(|path| disk.paths().contains(path)), "it was removed");
    dead.iter().for_each(|(path, bytes)| disk.put(path, bytes));
    Subject::new("stopped", disk)
}

fn with_tail() -> Subject {
    let image = read(&golden().join(format!("v{FORMAT_VERSION}/store.image")));
    Subject::new("with writes in flight", read_image(&image))
}

/// Names under which a place may be told of: the files themselves, and the segments beside them, where a reader comes
/// from or goes to.
fn names(paths: &[&Path]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for path in paths {
        let name = file_name(path);
        if let Some((head, sequence)) = name.rsplit_once('.').filter(|_| kind(path).starts_with("segment")) {
            let sequence: u32 = sequence.parse().expect("a number");
            names.extend([format!("{head}.{}", sequence - 1), format!("{head}.{}", sequence + 1)]);
        }
        names.insert(name);
    }
    names
}

/// How one blow ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Ended {
    /// Refused by the next owner, named by the inspection.
    Refused,
    /// Served as written, and named by the inspection.
    Named,
    /// Served as written; nobody needs what was hit.
    Unnoticed,
    /// Served without what nothing proves to have been durable.
    Tail,
}

/// What a blow changed.
#[derive(Debug, Default)]
struct Wounds {
    /// Why it may go unnoticed.
    allowances: BTreeSet<Allowance>,
    /// Something was hit that must be named.
    is_covered: bool,
    /// The file, and where a structure begins that was hit, or where the file ends.
    places: BTreeSet<(PathBuf, u64)>,
}

impl Wounds {
    /// Whether the damage was found where the blow fell. A first batch that is missing may be missed in the segment before.
    fn is_at(&self, damage: &Damage) -> bool {
        self.places.iter().any(|(file, offset)| match (*file == damage.file, *offset) {
            (true, offset) => offset == damage.offset,
            (false, FIRST_BATCH) => names(&[file]).contains(&file_name(&damage.file)),
            (false, _) => false,
        })
    }
}

fn wounds(subject: &Subject, struck: &SimDisk, paths: &[&Path]) -> Wounds {
    let mut wounds = Wounds::default();
    for path in paths {
        let before = subject.disk.content(path).expect("a file");
        let Some(after) = struck.content(path) else {
            let is_allowed = may_be_gone(subject, path);
            wounds.allowances.extend(is_allowed.then_some(Allowance::Gone));
            wounds.is_covered |= !is_allowed;
            wounds.places.insert((path.to_path_buf(), 0));
            continue;
        };
        let differs = |span: &&Span| before.get(span.range.clone()) != after.get(span.range.clone());
        let spans = &subject.spans[*path];
        for span in spans.iter().filter(differs) {
            wounds.places.insert((path.to_path_buf(), span.range.start as u64));
            wounds.allowances.extend(span.allowance);
            wounds.is_covered |= span.allowance.is_none();
        }
        // A file has its length before it has its name.
        let is_temporary = spans.iter().all(|span| span.allowance == Some(Allowance::Temporary));
        if before.len() != after.len() && !is_temporary {
            wounds.is_covered = true;
            wounds.places.insert((path.to_path_buf(), after.len().min(before.len()) as u64));
        }
    }
    wounds
}

/// File and offset that an error names; every error must.
fn place(error: &StoreError) -> Result<(PathBuf, u64), String> {
    match error {
        StoreError::Damaged { path, offset, affected, .. } if !affected.is_empty() => Ok((path.clone(), *offset)),
        StoreError::BodyDamaged { path, offset } => Ok((path.clone(), *offset)),
        other => Err(format!("names no place: {other}")),
    }
}

fn judge(subject: &Subject, path: &Path, blow: &Blow) -> Result<(Ended, BTreeSet<Allowance>), String> {
    let mut struck = subject.disk.fork(1);
    blow.strike(&mut struck, path);
    let paths: Vec<&Path> = std::iter::once(path).chain(blow.other().map(PathBuf::as_path)).collect();
    let (names, wounds) = (names(&paths), wounds(subject, &struck, &paths));
    let (report, _) = inspect(struck.clone(), FOLDER.into());
    let damages = report.map_err(|error| format!("the inspection fails: {error}"))?.damages;
    let names_it = |damage: &Damage| {
        let is_told =
            names.contains(&file_name(&damage.file)) || names.iter().any(|name| damage.problem.contains(name));
        is_told && !damage.affected.is_empty()
    };
    let is_named = damages.iter().any(names_it);
    if !is_named && (wounds.is_covered || !damages.is_empty()) {
        return Err(format!("not named: {damages:#?}"));
    }
    if wounds.is_covered && !damages.iter().any(|damage| wounds.is_at(damage)) {
        return Err(format!("named elsewhere: {:?}: {damages:#?}", wounds.places));
    }
    let found = Process::serving(struck, config(), 88);
    let served = match found.and_then(|(_, found)| contents(&found)) {
        Ok(served) => served,
        Err(error) => {
            let (file, _) = place(&error)?;
            return match names.contains(&file_name(&file)) && is_named {
                true => Ok((Ended::Refused, BTreeSet::new())),
                false => Err(format!("refused with {error}, {damages:#?}")),
            };
        }
    };
    let ended = compare(subject, &served, is_named)?;
    Ok((ended, if is_named { BTreeSet::new() } else { wounds.allowances }))
}

fn compare(subject: &Subject, served: &Contents, is_named: bool) -> Result<Ended, String> {
    let (expected, found) = (&subject.contents, served);
    if expected.destinations != found.destinations {
        return Err(format!("serves the destinations {:?}", found.destinations));
    }
    let missing = expected.messages.keys().filter(|key| !found.messages.contains_key(key));
    let missing: BTreeSet<(u8, u64)> = missing.map(|(store, lsn, _)| (*store, *lsn)).collect();
    let is_altered = found.messages.iter().any(|(key, value)| expected.messages.get(key) != Some(value));
    if is_altered || !missing.is_subset(&subject.unproved) {
        let (found, expected) = (found.messages.len(), expected.messages.len());
        return Err(format!("served {found} of {expected} messages, missing {missing:?}"));
    }
    Ok(match (is_named, missing.is_empty()) {
        (_, false) => Ended::Tail,
        (true, true) => Ended::Named,
        (false, true) => Ended::Unnoticed,
    })
}

/// What came of all blows to one store.
#[derive(Debug, Default)]
struct Tally {
    counts: BTreeMap<(String, &'static str, Ended), u32>,
    used: BTreeSet<Allowance>,
}

impl Tally {
    fn sum(&self, ended: Ended) -> u32 {
        self.counts.iter().filter(|((_, _, of), _)| *of == ended).map(|(_, count)| count).sum()
    }
}

fn strike_everything(subject: &Subject) -> Tally {
    let mut random = fastrand::Rng::with_seed(11);
    let mut tally = Tally::default();
    let mut failures = Vec::new();
    for path in subject.disk.paths() {
        for blow in blows(&subject.disk, &path, &mut random) {
            match judge(subject, &path, &blow) {
                Ok((ended, allowances)) => {
                    *tally.counts.entry((kind(&path), blow.name(), ended)).or_default() += 1;
                    tally.used.extend(allowances);
                }
                Err(why) => failures.push(format!("{}: {blow:?}: {why}", path.display())),
            }
        }
    }
    for ((kind, blow, ended), count) in &tally.counts {
        println!("{}: {kind}, {blow}: {count} {ended:?}", subject.name);
    }
    let count = failures.len();
    failures.truncate(50);
    assert!(failures.is_empty(), "{count} failed, such as\n{}", failures.join("\n"));
    tally
}

#[test]
fn no_alteration_of_a_stopped_store_is_served_and_all_that_matter_are_named() {
    let tally = strike_everything(&stopped());
    assert!(tally.sum(Ended::Refused) > 300 && tally.sum(Ended::Named) > 100, "the blows are blows");
    assert_eq!(tally.sum(Ended::Tail), 0, "all of it is proved");
    assert!(tally.used.contains(&Allowance::Dead), "a row of the list that nothing needs");
}

#[test]
fn no_alteration_of_a_store_with_writes_in_flight_costs_more_than_those() {
    let tally = strike_everything(&with_tail());
    assert!(tally.sum(Ended::Refused) > 300 && tally.sum(Ended::Tail) > 0, "the blows are blows");
    let others: BTreeSet<_> = Allowance::ALL.into_iter().filter(|row| *row != Allowance::Dead).collect();
    assert_eq!(tally.used, others, "a row of the list that nothing needs");
}

#[test]
fn the_document_lists_what_cannot_be_detected() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/FORMATS.md");
    let document = read(Path::new(path));
    let (_, rest) = document.split_once("\n## What cannot be detected\n").expect("the section");
    let section = rest.split("\n## ").next().expect("some text");
    let rows = section.lines().filter_map(|line| line.strip_prefix("| ")).skip(1);
    let listed: Vec<&str> = rows.filter_map(|row| row.split(" | ").next()).collect();
    assert_eq!(listed, Allowance::ALL.map(Allowance::name));
}
