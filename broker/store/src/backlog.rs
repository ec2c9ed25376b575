//! What recovery found, handed over in parts beside other work: takeover does not wait for a large backlog.
//!
//! Owns the order (oldest first), the indices that are read for it, and which destinations are finished. Which messages
//! are live is known by `segments`; bodies are not touched.

use crate::StoreError;
use crate::api::{Backlog as Part, Location, RecoveredMessage};
use crate::format::IndexReader;
use crate::lane::Lane;
use crate::rebuild::{self, Loaded, Wanted};
use crate::segments::IndexPlace;
use crate::shared::Shared;
use crate::task::Task;
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

/// Indices that are read ahead.
const READS_IN_FLIGHT: usize = 4;

/// A segment with live messages that were not handed over yet.
#[derive(Debug)]
struct Source {
    segment: u32,
    destinations: Vec<u32>,
    index: Place,
}

#[derive(Debug)]
enum Place {
    Memory(Bytes),
    File(Box<Wanted>),
    Reading(Task<Result<Loaded, StoreError>>),
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
    /// How many sources still hold messages for a destination.
    pending: BTreeMap<u32, u32>,
    /// Live messages that the current source still has.
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
                IndexPlace::File { by } => {
                    let (index, identity) = lane.index_of(segment, *by);
                    Place::File(Box::new(Wanted {
                        lane: lane.name().to_owned(),
                        identity,
                        index,
                        segment: segment.path.clone(),
                        first_lsn: segment.first_lsn,
                        next_lsn: segment.next_lsn,
                        live: segment.live().clone(),
                    }))
                }
            };
            let destinations: Vec<u32> = segment.destinations().collect();
            destinations.iter().for_each(|id| *pending.entry(*id).or_default() += 1);
            sources.push_back(Source { segment: number, destinations, index });
        }
        Self { store, sources, current: None, pending, expected_count: None, is_awaited: false, notes: Vec::new() }
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

    /// Goes on with reading. True: who was told to wait can have more.
    pub(crate) fn run(&mut self, shared: &Rc<Shared>) -> Result<bool, StoreError> {
        for source in self.sources.iter_mut().take(READS_IN_FLIGHT) {
            source.index = match std::mem::replace(&mut source.index, Place::Entered) {
                Place::File(wanted) => Place::Reading(Task::new(rebuild::load(shared.clone(), *wanted))),
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
        let is_ready =
            self.sources.front().is_some_and(|source| matches!(source.index, Place::Memory(_) | Place::Read(_)));
        Ok(is_ready && std::mem::take(&mut self.is_awaited))
    }

    /// The next part: `limit` messages at most.
    pub(crate) fn next(&mut self, lane: &mut Lane, limit: usize) -> Result<Part, StoreError> {
        if self.is_complete() {
            return Ok(Part::Complete);
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
        let Source { segment, destinations, index } = source;
        let (body, is_closed) = match index {
            Place::Memory(body) => (body, false),
            Place::Read(loaded) => (apply(lane, segment, *loaded), true),
            index => {
                self.sources.push_front(Source { segment, destinations, index });
                return false;
            }
        };
        // The segment that is written to now holds new messages, too, which nobody has to be told of.
        let live_count = || lane.segments.get(segment).map_or(0, |segment| segment.live().count());
        self.expected_count = is_closed.then(live_count);
        self.current = Some((Source { segment, destinations, index: Place::Entered }, IndexReader::new(body)));
        true
    }

    /// Takes messages from the current source. False: it has no more.
    fn take(&mut self, lane: &Lane, limit: usize, messages: &mut Vec<RecoveredMessage>) -> Result<bool, StoreError> {
        let Some((source, reader)) = &mut self.current else { return Ok(false) };
        let number = source.segment;
        let Some(segment) = lane.segments.get(number) else { return Ok(false) };
        while messages.len() < limit {
            let entry = reader.next().map_err(|_| StoreError::Damaged {
                path: segment.path.clone(),
                offset: 0,
                problem: "its index is no index",
                affected: format!("live messages of {}", lane.name()),
            })?;
            let Some(entry) = entry else {
                assert!(
                    self.expected_count.is_none_or(|count| count == 0),
                    "an index holds all live messages of its segment"
                );
                return Ok(false);
            };
            if !segment.holds(entry.lsn) {
                continue;
            }
            self.expected_count = self.expected_count.map(|count| count - 1);
            let location = Location { segment: number, offset: entry.offset, len: entry.len };
            messages.extend(entry.destinations.iter().map(|destination| RecoveredMessage {
                store: self.store,
                destination: *destination,
                lsn: entry.lsn,
                location,
                key: entry.key,
            }));
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
