//! What recovery found, handed over in parts beside other work: takeover does not wait for a large backlog.
//!
//! Owns the order, the indices that are read for it, and which destinations are finished. Which messages are live is
//! known by `segments`; bodies are not touched.
//!
//! The order is that in which messages were published. A copy lies in a later segment than its place in that order is,
//! so the indices of segments with copies are read first, and their copies are handed over when their turn comes.

use crate::StoreError;
use crate::active::Lost;
use crate::api::{Backlog as Part, Location, RecoveredMessage};
use crate::format::{IndexEntry, IndexReader};
use crate::lane::Lane;
use crate::port::File;
use crate::rebuild::{self, Loaded, Wanted};
use crate::segments::IndexPlace;
use crate::shared::Shared;
use crate::task::Task;
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

/// Indices that are read ahead.
const READS_IN_FLIGHT: usize = 4;

/// Entries of indices that are looked at for copies in a turn: some 50 us.
const TURN_ENTRIES: usize = 2048;

/// A segment with live messages that were not handed over yet.
#[derive(Debug)]
struct Source {
    segment: u32,
    destinations: Vec<u32>,
    index: Place,
    /// Numbers of the records in it that are live copies; `None`: not known yet.
    copies: Option<Vec<u64>>,
}

#[derive(Debug)]
enum Place {
    Memory(Bytes),
    /// Read for the copies in it; kept, since it is wanted once more.
    Kept(Bytes),
    File(Box<Wanted>),
    Reading(Task<Result<Loaded, Lost>>),
    Read(Box<Loaded>),
    /// Read before, and being handed over.
    Entered,
}

/// The rest of one store's backlog.
#[derive(Debug)]
pub(crate) struct Backlog {
    store: u8,
    sources: VecDeque<Source>,
    current: Option<(Source, IndexReader<Bytes>)>,
    /// An index in which copies are being looked for, and the numbers of those in it.
    collecting: Option<(IndexReader<Bytes>, Vec<u64>)>,
    /// The reader's message was not handed over yet.
    is_peeked: bool,
    /// Copies that were not handed over yet, with their segments, by the numbers under which they were published.
    copies: BTreeMap<u64, (u32, IndexEntry)>,
    /// How many sources still hold messages for a destination.
    pending: BTreeMap<u32, u32>,
    /// Live messages that the current source still has, apart from copies.
    expected_count: Option<u64>,
    /// The caller was told to wait.
    is_awaited: bool,
    notes: Vec<String>,
}

impl Backlog {
    /// Everything that is live in `lane` now.
    pub(crate) fn new(store: u8, lane: &Lane) -> Self {
        let mut sources = VecDeque::new();
        let mut pending = BTreeMap::new();
        for (number, segment) in lane.segments.iter().filter(|(_, segment)| segment.live_count() > 0) {
            let index = match &segment.index {
                IndexPlace::Memory(index) => Place::Memory(Bytes::copy_from_slice(index.body())),
                IndexPlace::File { by } => Place::File(Box::new(Wanted::new(lane, segment, *by))),
            };
            let destinations: Vec<u32> = segment.destinations().collect();
            destinations.iter().for_each(|id| *pending.entry(*id).or_default() += 1);
            let copies = (!segment.has_copies()).then(Vec::new);
            sources.push_back(Source { segment: number, destinations, index, copies });
        }
        Self {
            store,
            sources,
            current: None,
            collecting: None,
            is_peeked: false,
            copies: BTreeMap::new(),
            pending,
            expected_count: None,
            is_awaited: false,
            notes: Vec::new(),
        }
    }

    /// Whether messages for `destination` may follow.
    pub(crate) fn may_hold(&self, destination: u32) -> bool {
        self.pending.contains_key(&destination)
    }

    /// What the operator should know.
    pub(crate) fn take_notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }

    /// Whether everything was handed over.
    pub(crate) fn is_complete(&self) -> bool {
        self.sources.is_empty() && self.current.is_none()
    }

    /// Goes on with reading. True: who was told to wait can have more. `slot`: who writes to it has taken over.
    pub(crate) fn run(&mut self, shared: &Rc<Shared>, slot: &File) -> Result<bool, Lost> {
        let is_collecting = self.is_collecting();
        let wanted = |source: &&mut Source| !is_collecting || source.copies.is_none();
        for source in self.sources.iter_mut().filter(wanted).take(READS_IN_FLIGHT) {
            source.index = match std::mem::replace(&mut source.index, Place::Entered) {
                Place::File(wanted) => Place::Reading(Task::new(rebuild::load(shared.clone(), slot.clone(), *wanted))),
                index => index,
            };
            if let Place::Reading(task) = &mut source.index
                && let Some(loaded) = task.poll()
            {
                let mut loaded = loaded?;
                self.notes.append(&mut loaded.notes);
                source.index = Place::Read(Box::new(loaded));
            }
        }
        let mut next = self.sources.iter().filter(|source| !is_collecting || source.copies.is_none());
        let is_read = |source: &Source| matches!(source.index, Place::Memory(_) | Place::Kept(_) | Place::Read(_));
        Ok(next.next().is_some_and(is_read) && std::mem::take(&mut self.is_awaited))
    }

    /// Whether some copies are not known yet.
    fn is_collecting(&self) -> bool {
        self.sources.iter().any(|source| source.copies.is_none())
    }

    /// Goes on noting the copies in the indices that have some. `None`: all are known.
    fn collect(&mut self, lane: &mut Lane) -> Result<Option<Part>, StoreError> {
        let Some(source) = self.sources.iter_mut().find(|source| source.copies.is_none()) else { return Ok(None) };
        if self.collecting.is_none() {
            let body = match std::mem::replace(&mut source.index, Place::Entered) {
                Place::Memory(body) => {
                    source.index = Place::Memory(body.clone());
                    body
                }
                Place::Read(loaded) => {
                    let body = apply(lane, source.segment, *loaded);
                    source.index = Place::Kept(body.clone());
                    body
                }
                index => {
                    source.index = index;
                    self.is_awaited = true;
                    return Ok(Some(Part::Pending));
                }
            };
            self.collecting = Some((IndexReader::new(body), Vec::new()));
        }
        let Some((reader, found)) = &mut self.collecting else { return Ok(None) };
        for _ in 0..TURN_ENTRIES {
            let Some(entry) = reader.next().map_err(|_| no_index(lane, source.segment))? else {
                source.copies = Some(std::mem::take(found));
                self.collecting = None;
                break;
            };
            let is_live = || lane.segments.get(source.segment).is_some_and(|segment| segment.holds(entry.lsn));
            if entry.order != entry.lsn && is_live() {
                found.push(entry.lsn);
                self.copies.insert(entry.order, (source.segment, entry.clone()));
            }
        }
        Ok(Some(Part::Part { messages: Vec::new(), finished: Vec::new() }))
    }

    /// The next part: `limit` messages at most.
    pub(crate) fn next(&mut self, lane: &mut Lane, limit: usize) -> Result<Part, StoreError> {
        if self.is_complete() {
            return Ok(Part::Complete);
        }
        if let Some(part) = self.collect(lane)? {
            return Ok(part);
        }
        let (mut messages, mut finished) = (Vec::new(), Vec::new());
        while messages.len() < limit && !self.is_complete() {
            if self.current.is_none() && !self.enter(lane) {
                break;
            }
            if !self.take(lane, limit, &mut messages)? {
                self.leave(&mut finished);
            }
        }
        if messages.is_empty() && finished.is_empty() {
            self.is_awaited = true;
            return Ok(Part::Pending);
        }
        Ok(Part::Part { messages, finished })
    }

    /// Begins with the next source. False: it is not read yet.
    fn enter(&mut self, lane: &mut Lane) -> bool {
        let Some(source) = self.sources.pop_front() else { return false };
        let Source { segment, destinations, index, copies } = source;
        let (body, is_closed) = match index {
            Place::Memory(body) => (body, false),
            Place::Kept(body) => (body, true),
            Place::Read(loaded) => (apply(lane, segment, *loaded), true),
            index => {
                self.sources.push_front(Source { segment, destinations, index, copies });
                return false;
            }
        };
        // The segment that is written to now holds new messages, too, which nobody has to be told of.
        let live_count = || {
            let Some(segment) = lane.segments.get(segment) else { return 0 };
            let copies = copies.iter().flatten().filter(|lsn| segment.holds(**lsn)).count() as u64;
            segment.live().count() - copies
        };
        self.expected_count = is_closed.then(live_count);
        self.current = Some((Source { segment, destinations, index: Place::Entered, copies }, IndexReader::new(body)));
        true
    }

    /// Takes messages from the current source, and copies whose turn it is. False: the source has no more.
    fn take(
        &mut self,
        lane: &mut Lane,
        limit: usize,
        messages: &mut Vec<RecoveredMessage>,
    ) -> Result<bool, StoreError> {
        let Some((source, reader)) = &mut self.current else { return Ok(false) };
        let number = source.segment;
        while messages.len() < limit {
            if !self.is_peeked {
                if reader.next().map_err(|_| no_index(lane, number))?.is_none() {
                    assert!(
                        self.expected_count.is_none_or(|count| count == 0),
                        "an index holds all live messages of its segment"
                    );
                    return Ok(false);
                }
                self.is_peeked = true;
            }
            let entry = reader.entry();
            if let Some(copy) = self.copies.first_entry().filter(|copy| *copy.key() < entry.lsn) {
                let (segment, entry) = copy.remove();
                hand_over(lane, self.store, segment, &entry, messages);
                continue;
            }
            self.is_peeked = false;
            // A copy comes behind its original, so its turn was before.
            if entry.order == entry.lsn && lane.segments.get(number).is_some_and(|segment| segment.holds(entry.lsn)) {
                self.expected_count = self.expected_count.map(|count| count - 1);
                hand_over(lane, self.store, number, entry, messages);
            }
        }
        Ok(true)
    }

    fn leave(&mut self, finished: &mut Vec<u32>) {
        let Some((source, _)) = self.current.take() else { return };
        for id in source.destinations {
            if let Some(count) = self.pending.get_mut(&id) {
                *count -= 1;
                if *count == 0 {
                    self.pending.remove(&id);
                    finished.push(id);
                }
            }
        }
    }
}

/// Lists a live message, once for each of its destinations.
fn hand_over(lane: &mut Lane, store: u8, segment: u32, entry: &IndexEntry, messages: &mut Vec<RecoveredMessage>) {
    if !lane.segments.get(segment).is_some_and(|segment| segment.holds(entry.lsn)) {
        return;
    }
    let location = Location { segment, offset: entry.offset, len: entry.len };
    lane.handed_over(entry, location);
    messages.extend(entry.destinations.iter().map(|destination| RecoveredMessage {
        store,
        destination: *destination,
        lsn: entry.order,
        location,
        key: entry.key,
    }));
}

fn no_index(lane: &Lane, number: u32) -> StoreError {
    StoreError::Damaged {
        path: lane.segments.get(number).map(|segment| segment.path.clone()).unwrap_or_default(),
        offset: 0,
        problem: "its index is no index",
        affected: format!("live messages of {}", lane.name()),
    }
}

/// Tells the lane what became of a segment; returns its index.
fn apply(lane: &mut Lane, number: u32, loaded: Loaded) -> Bytes {
    let Loaded { body, file, rebuilt, lost, .. } = loaded;
    if let Some(segment) = lane.segments.get_mut(number) {
        if segment.file.is_none() {
            segment.file = file;
        }
        if let Some(index) = rebuilt {
            // The next checkpoint writes it.
            segment.index = IndexPlace::Memory(index);
        }
    }
    for lsn in lost {
        lane.give_up(number, lsn);
    }
    body
}
