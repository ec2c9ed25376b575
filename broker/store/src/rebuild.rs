//! What is live in a segment that recovery did not read: from its index, or, if that is damaged, from the segment.
//!
//! An index is derived data: one that is missing or does not read is made again by reading its segment. Owns that, and
//! what is said of live messages that neither has. Handing them over is `backlog`'s business.

use crate::StoreError;
use crate::active::Lost;
use crate::bits::Bits;
use crate::check::is_claimed;
use crate::format::{CopyOf, End, Index, IndexReader, Piece, Record, SegmentIdentity, TableKind};
use crate::lane::Lane;
use crate::port::File;
use crate::scan::{FoundSegment, Plan, Visit, salvage, set_aside};
use crate::segments::Segment;
use crate::shared::{Shared, while_doing};
use crate::tables;
use bytes::Bytes;
use disk::{BLOCK_SIZE, OpenMode};
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::rc::Rc;

/// A segment of which a checkpoint told.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// Folder name of the lane.
    pub(crate) lane: String,
    pub(crate) identity: SegmentIdentity,
    pub(crate) index: PathBuf,
    pub(crate) segment: PathBuf,
    /// Of its first record, and behind its last.
    pub(crate) first_lsn: u64,
    pub(crate) next_lsn: u64,
    pub(crate) live: Bits,
}

impl Wanted {
    /// `segment` of `lane`, whose index was written by the owner of epoch `by`.
    pub(crate) fn new(lane: &Lane, segment: &Segment, by: u64) -> Self {
        let (index, identity) = lane.index_of(segment, by);
        Self {
            lane: lane.name().to_owned(),
            identity,
            index,
            segment: segment.path.clone(),
            first_lsn: segment.first_lsn,
            next_lsn: segment.next_lsn,
            live: segment.live().clone(),
        }
    }
}

/// What there is of it.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    /// Body of the index.
    pub(crate) body: Bytes,
    /// The segment, open; `None` if it is missing.
    pub(crate) file: Option<File>,
    /// The index was made again.
    pub(crate) rebuilt: Option<Index>,
    /// Live messages that `--force-start` drops.
    pub(crate) lost: Vec<u64>,
    /// For the operator's log.
    pub(crate) notes: Vec<String>,
}

/// Opens a segment and reads its index. `slot`: who writes to it has taken over, and may have removed what is wanted: that is no
/// damage. What is damaged is an error, unless `--force-start` was given.
pub(crate) async fn load(shared: Rc<Shared>, slot: File, wanted: Wanted) -> Result<Loaded, Lost> {
    let (loaded, error) = match find(&shared, wanted).await {
        Ok((loaded, None)) => return Ok(loaded),
        Ok((loaded, Some(error))) => (Some(loaded), error),
        Err(error) => (None, error),
    };
    if is_claimed(slot.read(0, BLOCK_SIZE).await) {
        return Err(Lost::Fenced);
    }
    let Some(mut loaded) = loaded.filter(|_| shared.config.force_start) else { return Err(error.into()) };
    loaded.notes.push(format!("dropped: {error}"));
    if let StoreError::Damaged { path, .. } = &error {
        set_aside(&shared, path).await?;
    }
    Ok(loaded)
}

/// What there is of a segment, and the damage if that is not all that is live in it.
async fn find(shared: &Rc<Shared>, wanted: Wanted) -> Result<(Loaded, Option<StoreError>), StoreError> {
    let file = match shared.port.open(wanted.segment.clone(), OpenMode::Read).await {
        Ok(file) => file,
        Err(error) if error.kind == ErrorKind::NotFound => {
            let lost: Vec<u64> = wanted.live.iter().collect();
            let error = damaged(&wanted, &lost, 0, "the segment is missing");
            return Ok((Loaded { lost, ..Loaded::default() }, Some(error)));
        }
        Err(error) => return Err(while_doing("opening a segment")(error)),
    };
    let read = tables::read(shared, TableKind::Index, wanted.identity, wanted.index.clone()).await?;
    match read {
        Ok(body) => Ok((Loaded { body, file: Some(file), ..Loaded::default() }, None)),
        Err(flaw) => rebuild(shared, wanted, file, flaw.problem).await,
    }
}

/// Makes the index again by reading the segment.
async fn rebuild(
    shared: &Rc<Shared>,
    wanted: Wanted,
    file: File,
    problem: &'static str,
) -> Result<(Loaded, Option<StoreError>), StoreError> {
    let SegmentIdentity { store_id, epoch, attempt, lane, sequence } = wanted.identity;
    let end = End { sequence, offset: u32::MAX, lsn: wanted.next_lsn };
    let piece = Piece { epoch, attempt, lane, first_sequence: sequence, first_lsn: wanted.first_lsn, end: Some(end) };
    let plan = Plan {
        lane: wanted.lane.clone(),
        store_id,
        pieces: vec![piece],
        durable_through: 0,
        gaps: Vec::new(),
        holds_tail: false,
    };
    let (scanned, Indexer(index)) = salvage(shared.clone(), plan, Indexer::default()).await?;
    let found = numbers(index.body());
    let lost: Vec<u64> = wanted.live.iter().filter(|lsn| !found.contains(lsn)).collect();
    let note = format!("{}: {problem}; it was made again from its segment", wanted.index.display());
    let body = Bytes::copy_from_slice(index.body());
    let loaded = Loaded { body, file: Some(file), rebuilt: Some(index), lost, notes: vec![note] };
    if loaded.lost.is_empty() {
        return Ok((loaded, None));
    }
    let (offset, problem) = match scanned.damage {
        Some(StoreError::Damaged { offset, problem, .. }) => (offset, problem),
        _ => (0, "a message that is live is not there"),
    };
    let error = damaged(&wanted, &loaded.lost, offset, problem);
    Ok((loaded, Some(error)))
}

fn numbers(body: &[u8]) -> BTreeSet<u64> {
    let mut reader = IndexReader::new(body);
    let mut found = BTreeSet::new();
    while let Ok(Some(entry)) = reader.next() {
        found.insert(entry.lsn);
    }
    found
}

fn damaged(wanted: &Wanted, lost: &[u64], offset: u64, problem: &'static str) -> StoreError {
    let (first, last) = (lost.first().copied().unwrap_or_default(), lost.last().copied().unwrap_or_default());
    let affected = format!("{} live messages of {}, numbers {first} to {last}", lost.len(), wanted.lane);
    StoreError::Damaged { path: wanted.segment.clone(), offset, problem, affected }
}

/// Lists the messages of a segment.
#[derive(Debug, Default)]
struct Indexer(Index);

impl Visit for Indexer {
    fn segment(&mut self, _found: FoundSegment) {}

    fn record(&mut self, lsn: u64, record: Record<'_>, offset: u32) {
        if let Record::Publish { copy_of, key, destinations, payload_offset, payload } = record
            && destinations.iter().len() > 0
        {
            let order = CopyOf::order(copy_of, lsn);
            self.0.push(lsn, order, (offset + payload_offset, payload.len() as u32), key, destinations.iter());
        }
    }
}
