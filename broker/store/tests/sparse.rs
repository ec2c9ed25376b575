//! Sparse segments: one message that nobody takes does not keep its segment, and keeps its place in the queue.

mod harness;

use disk::sim::{SimConfig, SimDisk};
use harness::process::{Found, Process, inspect};
use harness::{MS, World, config, destination};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use store::{Config, Event, Location, MessageKey, Refused};

/// Large enough that the two reserves for a full disk, 64 KiB each at least, are no more than half a segment.
const SEGMENT_BYTES: u64 = 256 << 10;
const MESSAGE_BYTES: usize = 1_000;

/// One message in so many stays: about one for each segment.
const STAYS: u64 = 200;

fn small() -> Config {
    Config { segment_bytes: SEGMENT_BYTES, batch_bytes_max: 8 << 10, ..config() }
}

fn text(number: u64) -> String {
    format!("{number} {}", "x".repeat(MESSAGE_BYTES))
}

/// A store under turnover: what is live, by number.
struct Turnover {
    process: Process,
    store: u8,
    next: u64,
    live: BTreeMap<u64, (u64, Location)>,
    recent: VecDeque<u64>,
    used_bytes_max: u64,
}

impl Turnover {
    fn new(config: Config, store: u8) -> Self {
        let (mut process, _) = Process::serving(SimDisk::new(1, SimConfig::default()), config, 1).expect("a new store");
        process.store.define_destination(store, 0, &destination(0)).expect("a new destination");
        Self { process, store, next: 1, live: BTreeMap::new(), recent: VecDeque::new(), used_bytes_max: 0 }
    }

    /// Publishes `count` messages; all but a few are taken soon after. The expiry is the number.
    fn run(&mut self, count: u64) {
        for number in self.next..self.next + count {
            let key = MessageKey { expires_at_ms: number, priority: 4, flags: 0 };
            let appended = loop {
                let text = text(number);
                match self.process.store.publish(self.process.now, self.store, &[0], key, &[text.as_bytes()]) {
                    Ok(appended) => break appended,
                    Err(Refused::Throttled) => self.process.step(),
                    Err(refused) => panic!("{refused}"),
                }
            };
            self.live.insert(number, (appended.lsn, appended.location));
            if !number.is_multiple_of(STAYS) {
                self.recent.push_back(number);
            }
            if self.recent.len() > 10
                && let Some(number) = self.recent.pop_front()
            {
                self.take(number);
            }
            // 256 KiB in 6 ms or so.
            if number.is_multiple_of(4) {
                self.process.rest_for(MS / 10);
            }
            // Right after a takeover what the dead owner made ahead of use is still there.
            if number.is_multiple_of(50) && number > self.next + 2 * STAYS {
                self.measure();
            }
        }
        self.next += count;
    }

    fn take(&mut self, number: u64) {
        let (lsn, location) = self.live.remove(&number).expect("it is live");
        self.process.store.acknowledge(self.process.now, self.store, lsn, location, true).expect("serving");
    }

    /// Disk use of the store's folder, beyond twice what is live.
    fn measure(&mut self) {
        let folder = if self.store == 0 { "/sync-msgs.db/" } else { "/async-msgs.db/" };
        let paths = self.process.disk.paths().into_iter().filter(|path| path.to_string_lossy().contains(folder));
        let used: u64 = paths.map(|path| self.process.disk.content(&path).map_or(0, |bytes| bytes.len() as u64)).sum();
        let live = (self.live.len() * MESSAGE_BYTES) as u64;
        self.used_bytes_max = self.used_bytes_max.max(used.saturating_sub(2 * live));
    }

    /// Every live message reads, under the place that was told first.
    fn read_all(&mut self) {
        for (number, (_, location)) in self.live.clone() {
            let body = self.process.body(self.store, location).expect("a live message");
            assert_eq!(String::from_utf8_lossy(&body), text(number));
        }
    }

    /// Another process takes over: it must find what is live, once each, in the order of publishes.
    fn take_over(self, config: Config, number: u128) -> Self {
        let Self { mut process, store, next, live, .. } = self;
        process.rest();
        let (process, Found { messages, .. }) = Process::serving(process.killed(), config, number).expect("it starts");
        let found: Vec<u64> = messages.iter().map(|(message, _)| message.key.expires_at_ms).collect();
        assert_eq!(found, live.keys().copied().collect::<Vec<_>>(), "each once, in order");
        for (message, body) in &messages {
            assert_eq!(message.lsn, live[&message.key.expires_at_ms].0, "a message keeps its number");
            let body = body.as_ref().expect("a live message");
            assert_eq!(String::from_utf8_lossy(body), text(message.key.expires_at_ms));
        }
        let live = messages.iter().map(|(message, _)| (message.key.expires_at_ms, (message.lsn, message.location)));
        Self { process, store, next, live: live.collect(), recent: VecDeque::new(), used_bytes_max: 0 }
    }
}

fn turnover_with_one_that_stays_in_each_segment(store: u8) {
    let mut turnover = Turnover::new(small(), store);
    let mut ever = 0;
    for round in 0..3 {
        turnover.run(7_000);
        turnover.read_all();
        let space = turnover.process.store.space().expect("serving");
        assert!(space.copied_messages > 20 && space.removed_segments > 20, "{space:?}");
        let limit = 8 * SEGMENT_BYTES;
        assert!(
            turnover.used_bytes_max <= limit,
            "round {round}: {} bytes beyond twice the live ones, {space:?}",
            turnover.used_bytes_max
        );
        // Some that were copied, perhaps more than once, are taken after all.
        let goes: Vec<u64> = turnover.live.keys().copied().filter(|number| number.is_multiple_of(STAYS * 3)).collect();
        goes.iter().for_each(|number| turnover.take(*number));
        turnover.recent.clear();
        ever += space.copied_messages;
        turnover = turnover.take_over(small(), 2 + round);
    }
    assert!(ever > 100, "{ever} copies");
}

#[test]
fn a_message_that_stays_does_not_keep_its_segment() {
    turnover_with_one_that_stays_in_each_segment(0);
}

#[test]
fn a_message_that_stays_does_not_keep_its_segment_of_an_async_store() {
    turnover_with_one_that_stays_in_each_segment(1);
}

#[test]
fn without_copies_each_keeps_its_segment() {
    let config = Config { copy_bytes_per_s: 0, ..small() };
    let mut turnover = Turnover::new(config.clone(), 0);
    turnover.run(6_000);
    assert!(turnover.used_bytes_max > 16 * SEGMENT_BYTES, "{}", turnover.used_bytes_max);
    // With a budget, what is there is copied without any traffic.
    let mut turnover = turnover.take_over(small(), 2);
    turnover.process.rest();
    turnover.measure();
    assert!(turnover.used_bytes_max <= 8 * SEGMENT_BYTES, "{}", turnover.used_bytes_max);
    turnover.read_all();
}

#[test]
fn the_budget_is_kept() {
    let config = Config { copy_bytes_per_s: 0, ..small() };
    let mut turnover = Turnover::new(config, 0);
    turnover.run(6_000);
    let slow = Config { copy_bytes_per_s: 5_000, ..small() };
    let mut turnover = turnover.take_over(slow, 2);
    let before = turnover.process.store.space().expect("serving").copied_bytes;
    turnover.process.rest_for(1_000 * MS);
    let copied = turnover.process.store.space().expect("serving").copied_bytes - before;
    // A turn may take 32 messages at once.
    assert!((2_000..=5_000 + 32 * 1_100).contains(&copied), "{copied} bytes in a second");
}

#[test]
fn an_inspection_counts_a_copied_message_once() {
    let mut turnover = Turnover::new(small(), 0);
    turnover.run(6_000);
    turnover.process.rest();
    assert!(turnover.process.store.space().is_some_and(|space| space.copied_messages > 10));
    let live = turnover.live.len() as u64;
    let (report, _) = inspect(turnover.process.killed(), small().folder);
    let report = report.expect("a store");
    assert_eq!((report.lanes[1].messages, report.damages), (live, Vec::new()));
}

#[test]
fn a_standby_that_follows_knows_what_was_copied() {
    for (seed, tailing) in [(1, true), (2, false), (3, true)] {
        let config = Config { standby_tailing: tailing, ..small() };
        let mut world = World::new(seed, 2, config);
        world.stays = 16;
        world.message_bytes_max = 1_000;
        for _ in 0..4 {
            let serving = world.until_serving().unwrap_or_else(|violation| panic!("{}", violation.0));
            world.run_for(60 * MS).unwrap_or_else(|violation| panic!("{}", violation.0));
            world.kill(serving);
        }
        // What each owner recovered was compared with what its predecessor left, order included.
        world.settle().unwrap_or_else(|violation| panic!("{}", violation.0));
        assert!(world.copied > 50 && world.failures.is_empty(), "{} copies, {:?}", world.copied, world.failures);
        assert_eq!(world.hot > 0, tailing, "{} hot takeovers", world.hot);
    }
}

/// A message that somebody waits for while its segment is copied is answered, and one that rots stays where it is.
#[test]
fn a_message_that_rots_is_left_alone_and_the_others_are_copied() {
    let config = Config { copy_bytes_per_s: 0, cache_bytes_max: 0, ..small() };
    let mut turnover = Turnover::new(config, 0);
    turnover.run(4_000);
    let Turnover { mut process, live, .. } = turnover;
    process.rest();
    let mut disk = process.killed();
    let rotten = text(STAYS * 10);
    let path = disk.paths().into_iter().find(|path| {
        let is_segment = path.to_string_lossy().contains("/sync-msgs.db/segment.");
        let find = |bytes: Vec<u8>| bytes.windows(8).any(|part| part == &rotten.as_bytes()[..8]);
        is_segment && disk.content(path).is_some_and(find)
    });
    let path = path.expect("it lies in a segment");
    let bytes = disk.content(&path).expect("a file");
    let at = bytes.windows(rotten.len()).position(|part| part == rotten.as_bytes()).expect("the message is there");
    assert!(disk.tamper(&path, |bytes| bytes[at + 500] ^= 1));
    let (mut process, Found { messages, .. }) =
        Process::serving(disk, Config { cache_bytes_max: 0, ..small() }, 2).expect("it starts");
    process.rest();
    let errors: BTreeSet<u64> =
        messages.iter().filter(|(_, body)| body.is_err()).map(|(message, _)| message.key.expires_at_ms).collect();
    assert_eq!(errors, BTreeSet::from([STAYS * 10]));
    let notes = process.notes();
    let space = process.store.space().expect("serving");
    assert!(notes.iter().any(|note| note.contains("stays as it is")), "{notes:?} {space:?}");
    assert!(space.copied_messages as usize > live.len() / 3, "{space:?}");
    for (message, _) in messages {
        assert_eq!(process.body(0, message.location).is_err(), errors.contains(&message.key.expires_at_ms));
    }
    process.store.stop(process.now);
    process.until(|event| matches!(event, Event::Stopped));
}
