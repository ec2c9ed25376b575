//! Message bytes that are not in memory: reads them back in windows, ahead of who reads in order.
//!
//! Owns the reads in flight, who waits for them, and where readers stand. The windows themselves are kept by `cache`.
//! Windows lie on a grid, so that nothing is read twice; a message that is larger than a window is read by itself.

use crate::api::{Body, Event, Location};
use crate::format::PAYLOAD_CHECKSUM_BYTES;
use crate::lane::Lane;
use crate::port::{File, Port, Purpose};
use crate::segments::Segment;
use crate::shared::while_doing;
use crate::{StoreError, port};
use bytes::{Bytes, BytesMut};
use disk::{BLOCK_SIZE, DiskError, DiskOp, Outcome};
use std::collections::VecDeque;
use std::path::PathBuf;

/// Bytes of a window. With 256 KiB a drain was slower, with 4 MiB no faster.
const WINDOW_BYTES: u32 = 1 << 20;
/// Windows that are read ahead of each reader.
const AHEAD: u32 = 4;
/// Reads ahead of need that may be under way for all readers.
const READS_MAX: usize = 16;
/// Readers whose place is known; another makes the one forgotten that moved longest ago.
const READERS_MAX: usize = 32;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Window(u32),
    /// A message that is larger than a window.
    Message(Location),
}

#[derive(Debug)]
struct Read {
    request: u64,
    lane: usize,
    segment: u32,
    what: What,
    start: u64,
    len: usize,
}

/// A message that was asked for. It keeps its windows itself: memory may be too short for all that wait.
#[derive(Debug)]
struct Wait {
    lane: usize,
    location: Location,
    windows: [Option<Bytes>; 2],
    /// All its windows were asked for after the message was on disk.
    is_fresh: bool,
}

/// Where somebody reads in order: lane, segment and window.
type Place = (usize, u32, u32);

#[derive(Debug, Default)]
pub(crate) struct Bodies {
    reads: Vec<Read>,
    waiting: Vec<Wait>,
    /// The one that moved last first.
    readers: VecDeque<Place>,
}

/// The bytes that must be read for a message: its checksum stands before it.
fn range(location: Location) -> (u32, u32) {
    (location.offset - PAYLOAD_CHECKSUM_BYTES as u32, location.offset + location.len)
}

/// The first and the last window of a message.
fn windows(location: Location) -> (u32, u32) {
    let (start, end) = range(location);
    (start / WINDOW_BYTES, (end - 1) / WINDOW_BYTES)
}

/// A message's bytes from the one or two windows that it lies in; none where they end too early.
fn cut(location: Location, first: &Bytes, second: Option<&Bytes>) -> Option<Bytes> {
    let (start, end) = range(location);
    let base = windows(location).0 * WINDOW_BYTES;
    let (from, to) = ((start - base) as usize, (end - base) as usize);
    let Some(second) = second else { return (to <= first.len()).then(|| first.slice(from..to)) };
    let behind = to - WINDOW_BYTES as usize;
    if first.len() < WINDOW_BYTES as usize || behind > second.len() {
        return None;
    }
    let mut whole = BytesMut::with_capacity(to - from);
    whole.extend_from_slice(&first[from..]);
    whole.extend_from_slice(&second[..behind]);
    Some(whole.freeze())
}

impl Wait {
    /// Whether all its windows are there; takes those that memory has.
    fn gather(&mut self, lane: &Lane) -> bool {
        let (first, last) = windows(self.location);
        for (slot, index) in self.windows.iter_mut().zip(first..=last) {
            if slot.is_none() {
                *slot = lane.cache.window(self.location.segment, index);
            }
        }
        self.windows.iter().zip(first..=last).all(|(slot, _)| slot.is_some())
    }

    fn body(&self, lane: &Lane) -> Option<Bytes> {
        let bytes = cut(self.location, self.windows[0].as_ref()?, self.windows[1].as_ref())?;
        lane.verified(self.location, &bytes)
    }
}

impl Bodies {
    /// A message's bytes from memory, or a read of them under way.
    pub(crate) fn get(&mut self, port: &Port, lane_index: usize, lane: &mut Lane, location: Location) -> Body {
        let found = lane.body(location);
        if found != Body::Pending {
            return found;
        }
        if self.waiting.iter().any(|wait| wait.lane == lane_index && wait.location == location) {
            return Body::Pending;
        }
        let mut wait = Wait { lane: lane_index, location, windows: [None, None], is_fresh: false };
        if is_large(location) {
            self.read_alone(port, lane_index, lane, location);
            self.waiting.push(wait);
            return Body::Pending;
        }
        let (first, last) = windows(location);
        if wait.gather(lane) {
            match wait.body(lane) {
                Some(body) => {
                    self.moved(port, lane, (lane_index, location.segment, last));
                    return Body::Ready(body);
                }
                None => self.refresh(&mut wait, lane),
            }
        } else {
            let is_known = |index| {
                lane.cache.has_window(location.segment, index) || self.is_read(lane_index, location.segment, index)
            };
            wait.is_fresh = !(first..=last).any(is_known);
        }
        (first..=last).for_each(|index| self.read(port, lane_index, lane, location.segment, index));
        self.waiting.push(wait);
        self.moved(port, lane, (lane_index, location.segment, last));
        Body::Pending
    }

    /// The windows were read before this message was written: they are read again.
    fn refresh(&mut self, wait: &mut Wait, lane: &mut Lane) {
        let (first, last) = windows(wait.location);
        wait.windows = [None, None];
        wait.is_fresh = true;
        for index in first..=last {
            lane.cache.drop_window(wait.location.segment, index);
            // What is under way may be as old: its answer counts for nobody any more.
            let is_stale = |read: &Read| {
                read.lane == wait.lane && read.segment == wait.location.segment && read.what == What::Window(index)
            };
            for read in self.reads.iter().filter(|read| is_stale(read)) {
                lane.cache.read(read.len);
            }
            self.reads.retain(|read| !is_stale(read));
        }
    }

    /// Whether somebody waits for the message at `location`.
    pub(crate) fn is_awaited(&self, lane: usize, location: Location) -> bool {
        self.waiting.iter().any(|wait| wait.lane == lane && wait.location == location)
    }

    fn is_read(&self, lane: usize, segment: u32, index: u32) -> bool {
        let what = What::Window(index);
        self.reads.iter().any(|read| read.lane == lane && read.segment == segment && read.what == what)
    }

    /// Asks for a window that is neither there nor under way.
    fn read(&mut self, port: &Port, lane_index: usize, lane: &mut Lane, segment: u32, index: u32) {
        if !lane.cache.has_window(segment, index) && !self.is_read(lane_index, segment, index) {
            let start = u64::from(index) * u64::from(WINDOW_BYTES);
            self.submit(port, lane_index, lane, (segment, What::Window(index)), start, WINDOW_BYTES as usize);
        }
    }

    fn read_alone(&mut self, port: &Port, lane_index: usize, lane: &mut Lane, location: Location) {
        let (start, end) = range(location);
        let start = u64::from(start) / BLOCK_SIZE as u64 * BLOCK_SIZE as u64;
        let len = (u64::from(end) - start).next_multiple_of(BLOCK_SIZE as u64) as usize;
        self.submit(port, lane_index, lane, (location.segment, What::Message(location)), start, len);
    }

    fn submit(
        &mut self,
        port: &Port,
        lane_index: usize,
        lane: &mut Lane,
        (segment, what): (u32, What),
        start: u64,
        len: usize,
    ) {
        let of = lane.segments.get(segment).expect("the segment of a live message is there");
        let file = of.file.as_ref().expect("a segment is open before its messages are handed over").id();
        let op = DiskOp::Read { file, offset: start, len };
        let request = port.submit(Purpose::Window { lane: lane_index }, op);
        lane.cache.reading(len);
        self.reads.push(Read { request, lane: lane_index, segment, what, start, len });
    }

    /// Somebody reads at `place`. Who goes on from one window to the next is read ahead of.
    fn moved(&mut self, port: &Port, lane: &mut Lane, place: Place) {
        if self.readers.front() == Some(&place) {
            return;
        }
        let (lane_index, segment, index) = place;
        let follows = |reader: &Place| {
            let is_same =
                (reader.0, reader.1) == (lane_index, segment) && reader.2 <= index && index - reader.2 <= AHEAD;
            let is_next = reader.0 == lane_index && reader.1 < segment && segment - reader.1 <= 2 && index <= AHEAD;
            is_same || is_next
        };
        match self.readers.iter().position(follows).and_then(|at| self.readers.remove(at)) {
            Some(left) if left != place => {
                lane.cache.consumed(left.1, left.2);
                self.read_ahead(port, lane, place, AHEAD);
            }
            Some(_) => {}
            // A first read says little: one window more costs little, too.
            None => self.read_ahead(port, lane, place, 1),
        }
        self.readers.push_front(place);
        self.readers.truncate(READERS_MAX);
    }

    fn read_ahead(&mut self, port: &Port, lane: &mut Lane, (lane_index, mut segment, mut index): Place, depth: u32) {
        for _ in 0..depth {
            index += 1;
            // Our own were empty when they were opened.
            let opened_len = |of: &Segment| of.file.as_ref().map(File::opened_len).filter(|len| *len > 0);
            let len = lane.segments.get(segment).and_then(opened_len).unwrap_or(lane.cache.segment_bytes());
            if u64::from(index) * u64::from(WINDOW_BYTES) >= len {
                (segment, index) = (segment + 1, 0);
            }
            let is_open = lane.segments.get(segment).is_some_and(|of| of.file.is_some());
            let (from, to) = (index * WINDOW_BYTES, (index * WINDOW_BYTES).saturating_add(WINDOW_BYTES));
            if !is_open
                || self.reads.len() >= READS_MAX
                || !lane.cache.is_on_disk(segment, from)
                || lane.cache.holds_batch(segment, from, to)
                || !lane.cache.may_read_ahead(WINDOW_BYTES as usize)
            {
                return;
            }
            self.read(port, lane_index, lane, segment, index);
        }
    }

    /// A window arrived, or could not be read: tells those who wait. Messages that are gone meanwhile are not told of.
    pub(crate) fn arrived(
        &mut self,
        port: &Port,
        request: u64,
        lane: &mut Lane,
        result: Result<Outcome, DiskError>,
    ) -> Vec<Event> {
        let Some(at) = self.reads.iter().position(|read| read.request == request) else { return Vec::new() };
        let read = self.reads.swap_remove(at);
        lane.cache.read(read.len);
        let result = result.and_then(port::data).map_err(while_doing("reading a message back"));
        if let (Ok(bytes), What::Window(index)) = (&result, read.what)
            && lane.segments.get(read.segment).is_some()
        {
            lane.cache.keep_window(read.segment, index, bytes.clone());
        }
        let mut answers = Vec::new();
        for mut wait in std::mem::take(&mut self.waiting) {
            let is_ours = wait.lane == read.lane
                && wait.location.segment == read.segment
                && match read.what {
                    What::Window(index) => {
                        let (first, last) = windows(wait.location);
                        (first..=last).contains(&index) && last - first < 2 && !is_large(wait.location)
                    }
                    What::Message(location) => wait.location == location,
                };
            if !is_ours {
                self.waiting.push(wait);
                continue;
            }
            if let Some(answer) = self.answer(port, &read, &mut wait, lane, &result) {
                let store = (read.lane - 1) as u8;
                answers.extend(answer.map(|result| Event::Body { store, location: wait.location, result }));
            } else {
                self.waiting.push(wait);
            }
        }
        answers
    }

    /// What `wait` is told: nothing yet, nothing ever, or its result.
    #[expect(clippy::option_option, reason = "the outer says whether it is over, the inner whether anybody is told")]
    fn answer(
        &mut self,
        port: &Port,
        read: &Read,
        wait: &mut Wait,
        lane: &mut Lane,
        result: &Result<Bytes, StoreError>,
    ) -> Option<Option<Result<Bytes, StoreError>>> {
        let location = wait.location;
        let Some(path) = lane.segments.get(location.segment).map(|segment| segment.path.clone()) else {
            return Some(None);
        };
        let bytes = match result {
            Ok(bytes) => bytes,
            Err(error) => return Some(Some(Err(error.clone()))),
        };
        let What::Window(index) = read.what else {
            let (start, end) = range(location);
            let (from, to) = ((u64::from(start) - read.start) as usize, (u64::from(end) - read.start) as usize);
            let whole = (to <= bytes.len()).then(|| bytes.slice(from..to));
            let body = whole.and_then(|whole| lane.verified(location, &whole));
            return Some(Some(body.ok_or_else(|| damaged(path, location))));
        };
        let (first, last) = windows(location);
        wait.windows[(index - first) as usize] = Some(bytes.clone());
        if !wait.gather(lane) {
            // The other one is under way, unless it left memory before this one came.
            (first..=last).filter(|other| *other != index).for_each(|other| {
                self.read(port, read.lane, lane, location.segment, other);
            });
            return None;
        }
        if let Some(body) = wait.body(lane) {
            return Some(Some(Ok(body)));
        }
        if wait.is_fresh {
            return Some(Some(Err(damaged(path, location))));
        }
        self.refresh(wait, lane);
        (first..=last).for_each(|index| self.read(port, read.lane, lane, location.segment, index));
        None
    }
}

fn is_large(location: Location) -> bool {
    range(location).1 - range(location).0 > WINDOW_BYTES
}

fn damaged(path: PathBuf, location: Location) -> StoreError {
    StoreError::BodyDamaged { path, offset: u64::from(location.offset) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{Mode, StoreConfig};
    use crate::lane::LaneIdentity;
    use crate::port::tests::opened;
    use crate::segments::Segments;
    use crate::shared::Shared;
    use crate::{Config, MessageKey};
    use std::collections::BTreeMap;
    use std::rc::Rc;

    /// A lane whose written bytes are kept aside, as a disk would.
    struct Rig {
        shared: Rc<Shared>,
        lane: Lane,
        bodies: Bodies,
        disk: BTreeMap<disk::FileId, Vec<u8>>,
        reads: Vec<(u64, disk::FileId, u64, usize)>,
        read_count: usize,
    }

    const SEGMENT_BYTES: usize = 1 << 20;

    impl Rig {
        /// With `memory` bytes for bodies.
        fn new(memory: usize) -> Rig {
            let store = StoreConfig { name: "s".into(), file: "s.db".into(), mode: Mode::Sync, minimum_bytes: 0 };
            let config = Config {
                segment_bytes: SEGMENT_BYTES as u64,
                batch_bytes_max: 64 << 10,
                cache_bytes_max: memory,
                ..Config::new("/f".into(), vec![store])
            };
            let shared = Shared::new(config, 1, disk::sim::aligned);
            let standing = (1..=12).map(|sequence| opened(&shared.port, &format!("/f/s.db/{sequence}"))).collect();
            let identity = LaneIdentity { store_id: 1, epoch: 1, attempt: 1, number: 1 };
            let lane = Lane::new(&shared, identity, 1, Segments::default(), standing);
            Rig { shared, lane, bodies: Bodies::default(), disk: BTreeMap::new(), reads: Vec::new(), read_count: 0 }
        }

        /// Takes the requests that were made; writes complete at once.
        fn requests(&mut self) {
            while let Some(request) = self.shared.port.poll() {
                match request.op {
                    DiskOp::Write { file, offset, data, .. } => {
                        let content = self.disk.entry(file).or_insert_with(|| vec![0; SEGMENT_BYTES]);
                        content[offset as usize..offset as usize + data.len()].copy_from_slice(&data);
                        self.lane.written(0, request.id);
                    }
                    DiskOp::Read { file, offset, len } => self.reads.push((request.id, file, offset, len)),
                    _ => {}
                }
            }
        }

        fn publish(&mut self, bytes: usize, number: u64) -> Location {
            let mut body = vec![0; bytes];
            body[..8].copy_from_slice(&number.to_be_bytes());
            let appended = self.lane.publish(&[1], MessageKey::default(), &[&body]).expect("room");
            self.lane.flush(0, false);
            self.requests();
            appended.location
        }

        /// Answers the oldest read.
        fn answer(&mut self) -> Vec<Event> {
            let (request, file, offset, len) = self.reads.remove(0);
            self.read_count += 1;
            let content = self.disk.entry(file).or_insert_with(|| vec![0; SEGMENT_BYTES]);
            let end = (offset as usize + len).min(content.len());
            let bytes = Bytes::copy_from_slice(&content[offset as usize..end]);
            let events = self.bodies.arrived(&self.shared.port, request, &mut self.lane, Ok(Outcome::Data(bytes)));
            self.requests();
            events
        }

        fn body(&mut self, location: Location) -> Bytes {
            let found = self.bodies.get(&self.shared.port, 1, &mut self.lane, location);
            self.requests();
            if let Body::Ready(body) = found {
                return body;
            }
            for _ in 0..100 {
                match self.answer().pop() {
                    Some(Event::Body { location: told, result, .. }) if told == location => {
                        return result.expect("whole");
                    }
                    Some(other) => panic!("{other:?}"),
                    None => {}
                }
            }
            panic!("no answer")
        }
    }

    #[test]
    fn a_reader_in_order_is_read_ahead_of_nothing_is_read_twice_and_the_budget_holds() {
        const MEMORY: usize = 16 << 20;
        for memory in [0, 256 << 10, MEMORY] {
            let mut rig = Rig::new(memory);
            let locations: Vec<Location> = (0..2_000).map(|number| rig.publish(1000, number)).collect();
            // Nothing of it is left in memory.
            rig.shared.memory.hold(MEMORY);
            rig.shared.memory.free(MEMORY);
            let segments = locations.last().expect("some").segment as usize + 1;
            let mut most = 0;
            for (number, location) in (0..).zip(&locations) {
                let body = rig.body(*location);
                assert_eq!(&body[..8], &u64::to_be_bytes(number));
                most = most.max(rig.reads.len());
                assert!(rig.shared.memory.used() <= memory.max(2 << 20), "{} of {memory}", rig.shared.memory.used());
            }
            assert!(rig.read_count + rig.reads.len() <= segments, "{} reads, {segments} windows", rig.read_count);
            assert_eq!(most >= 2, memory == MEMORY, "reads ahead: {most}");
        }
    }

    #[test]
    fn a_window_that_was_read_before_a_message_was_written_is_read_again() {
        let mut rig = Rig::new(0);
        let first = rig.publish(1000, 1);
        assert_eq!(&rig.body(first)[..8], &1u64.to_be_bytes());
        let second = rig.publish(1000, 2);
        assert_eq!(&rig.body(second)[..8], &2u64.to_be_bytes(), "from memory it is stale");
        // And one that joins a read under way.
        rig.lane.cache.drop_window(first.segment, 0);
        assert_eq!(rig.bodies.get(&rig.shared.port, 1, &mut rig.lane, first), Body::Pending);
        rig.requests();
        let stale = rig.disk.clone();
        let third = rig.publish(1000, 3);
        assert_eq!(rig.bodies.get(&rig.shared.port, 1, &mut rig.lane, third), Body::Pending);
        let fresh = std::mem::replace(&mut rig.disk, stale);
        assert_eq!(rig.answer().len(), 1, "the first has its answer");
        rig.disk = fresh;
        let events = rig.answer();
        assert!(
            matches!(&events[..], [Event::Body { location, result: Ok(_), .. }] if *location == third),
            "{events:?}"
        );
    }

    #[test]
    fn what_is_damaged_on_disk_is_told_once() {
        let mut rig = Rig::new(0);
        let location = rig.publish(1000, 1);
        let content = rig.disk.values_mut().next().expect("a file");
        content[location.offset as usize + 500] ^= 1;
        assert_eq!(rig.bodies.get(&rig.shared.port, 1, &mut rig.lane, location), Body::Pending);
        rig.requests();
        let events = rig.answer();
        assert!(matches!(&events[..], [Event::Body { result: Err(StoreError::BodyDamaged { .. }), .. }]), "{events:?}");
        assert!(rig.reads.is_empty() && rig.bodies.waiting.is_empty());
    }

    #[test]
    fn a_message_over_two_windows_is_put_together() {
        let window = |first: u8| Bytes::from(vec![first; WINDOW_BYTES as usize]);
        let checksum = PAYLOAD_CHECKSUM_BYTES as u32;
        let location = Location { segment: 0, offset: 2 * WINDOW_BYTES - 10, len: 30 };
        assert_eq!(windows(location), (1, 2));
        let whole = cut(location, &window(1), Some(&window(2))).expect("whole");
        assert_eq!(whole.len() as u32, 30 + checksum);
        assert_eq!(whole.iter().filter(|byte| **byte == 1).count() as u32, 10 + checksum);
        assert_eq!(cut(location, &window(1), Some(&Bytes::from_static(b"short"))), None);
        let within = Location { segment: 0, offset: 2 * WINDOW_BYTES + checksum, len: 30 };
        assert_eq!(windows(within), (2, 2));
        assert_eq!(cut(within, &Bytes::from_static(b"short"), None), None);
    }
}
