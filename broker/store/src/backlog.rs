//! What recovery found, handed over in parts beside other work: takeover does not wait for a large backlog.
//!
//! Owns the order (oldest first), the indices that are read for it, and which destinations are finished. Which messages
//! are live is known by `segments`; bodies are not touched.

use crate::StoreError;
use crate::api::{Backlog as Part, Location, RecoveredMessage};
use crate::format::{IndexReader, SegmentIdentity, TableKind};
use crate::lane::Lane;
use crate::port::File;
use crate::segments::IndexPlace;
use crate::shared::{Shared, while_doing};
use crate::tables;
use crate::task::Task;
use bytes::Bytes;
use disk::OpenMode;
use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
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
    File { path: PathBuf, identity: SegmentIdentity, segment: PathBuf },
    Reading(Task<Result<(Bytes, File), StoreError>>),
    Read(Bytes, File),
}

/// The rest of one store's backlog.
#[derive(Debug)]
pub(crate) struct Backlog {
    store: u8,
    sources: VecDeque<Source>,
    current: Option<(Source, IndexReader<Bytes>)>,
    /// How many sources still hold messages for a destination.
    pending: BTreeMap<u32, u32>,
    /// The caller was told to wait.
    is_awaited: bool,
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
                    let (path, identity) = lane.index_of(segment, *by);
                    Place::File { path, identity, segment: segment.path.clone() }
                }
            };
            let destinations: Vec<u32> = segment.destinations().collect();
            destinations.iter().for_each(|id| *pending.entry(*id).or_default() += 1);
            sources.push_back(Source { segment: number, destinations, index });
        }
        Self { store, sources, current: None, pending, is_awaited: false }
    }

    /// Whether messages for `destination` may follow.
    pub(crate) fn may_hold(&self, destination: u32) -> bool {
        self.pending.contains_key(&destination)
    }

    /// Whether everything was handed over.
    pub(crate) fn is_complete(&self) -> bool {
        self.sources.is_empty() && self.current.is_none()
    }

    /// Goes on with reading. True: who was told to wait can have more.
    pub(crate) fn run(&mut self, shared: &Rc<Shared>) -> Result<bool, StoreError> {
        for source in self.sources.iter_mut().take(READS_IN_FLIGHT) {
            if let Place::File { path, identity, segment } = &source.index {
                let task = read(shared.clone(), path.clone(), *identity, segment.clone());
                source.index = Place::Reading(Task::new(task));
            }
            if let Place::Reading(task) = &mut source.index
                && let Some(read) = task.poll()
            {
                let (body, file) = read?;
                source.index = Place::Read(body, file);
            }
        }
        let is_ready =
            self.sources.front().is_some_and(|source| matches!(source.index, Place::Memory(_) | Place::Read(..)));
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
        let (body, index) = match index {
            Place::Memory(body) => (body.clone(), Place::Memory(body)),
            Place::Read(body, file) => {
                if let Some(segment) = lane.segments.get_mut(segment) {
                    segment.file.get_or_insert(file.clone());
                }
                (body.clone(), Place::Read(body, file))
            }
            index => {
                self.sources.push_front(Source { segment, destinations, index });
                return false;
            }
        };
        self.current = Some((Source { segment, destinations, index }, IndexReader::new(body)));
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
            let Some(entry) = entry else { return Ok(false) };
            if !segment.holds(entry.lsn) {
                continue;
            }
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

/// Reads an index and opens its segment.
async fn read(
    shared: Rc<Shared>,
    path: PathBuf,
    identity: SegmentIdentity,
    segment: PathBuf,
) -> Result<(Bytes, File), StoreError> {
    let body = tables::read(&shared, TableKind::Index, identity, path.clone()).await?;
    let body = body.map_err(|problem| StoreError::Damaged {
        path,
        offset: 0,
        problem,
        affected: format!("which messages lie in {}", segment.display()),
    })?;
    let file = shared.port.open(segment, OpenMode::Read).await.map_err(while_doing("opening a segment"))?;
    Ok((body, file))
}
