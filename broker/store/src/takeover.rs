//! From inherited journals to lanes of our own: rule 9, up to the SEAL.
//!
//! Owns the copying of what lies above durable-through, which was seen but may not be on media, and the content of
//! the SEAL. Writing both, in that order, and checking are `active`'s business.

use crate::StoreError;
use crate::api::{Recovered, RecoveredDestination, Refused};
use crate::backlog::Backlog;
use crate::checkpoints::CHECKPOINT_RECORD_BYTES_MAX;
use crate::claim::Taken;
use crate::format::{
    self, BATCH_HEADER_BYTES, CheckpointRecord, CopyOf, Gap, Piece, RANGE_BYTES, RECORD_HEADER_BYTES, Record, Seal,
    SealedLane,
};
use crate::lane::{Lane, LaneIdentity};
use crate::port::File;
use crate::recover::Inherited;
use crate::segments::Segments;
use crate::shared::Shared;
use std::collections::BTreeMap;
use std::rc::Rc;

/// What a lane inherited that the SEAL must name.
#[derive(Debug)]
struct Inheritance {
    own_first_lsn: u64,
    pieces: Vec<Piece>,
    gaps: Vec<Gap>,
    /// Newest first.
    checkpoints: Vec<CheckpointRecord>,
}

/// Lanes that hold everything inherited, none of it written yet.
#[derive(Debug)]
pub(crate) struct Takeover {
    pub(crate) lanes: Vec<Lane>,
    pub(crate) recovered: Recovered,
    /// What the caller has not taken over yet, by store.
    pub(crate) backlogs: Vec<Backlog>,
    inheritances: Vec<Inheritance>,
    epoch: u64,
    /// Once it was declared.
    pub(crate) seal: Option<Seal>,
}

impl Takeover {
    pub(crate) fn new(shared: &Rc<Shared>, taken: &Taken, inherited: Vec<Inherited>) -> Result<Self, StoreError> {
        let epoch = taken.record.epoch;
        let mut standing = taken.standing.iter().cloned();
        let identity =
            |number| LaneIdentity { store_id: taken.record.store_id, epoch, attempt: taken.record.attempt, number };
        let metadata = Lane::new(shared, identity(0), 1, Segments::default(), standing.next().unwrap_or_default());
        let recovered = Recovered { epoch, ..Recovered::default() };
        let mut takeover = Self {
            lanes: vec![metadata],
            recovered,
            backlogs: Vec::new(),
            inheritances: Vec::new(),
            epoch,
            seal: None,
        };
        for ((number, inherited), standing) in (1..).zip(inherited).zip(standing) {
            takeover.add(shared, identity(number), inherited, standing)?;
        }
        Ok(takeover)
    }

    fn add(
        &mut self,
        shared: &Rc<Shared>,
        identity: LaneIdentity,
        mut inherited: Inherited,
        standing: Vec<File>,
    ) -> Result<(), StoreError> {
        let (own_first_lsn, gaps) = (inherited.first_lsn(), inherited.gaps());
        let segments = std::mem::take(&mut inherited.image.segments);
        let mut lane = Lane::new(shared, identity, own_first_lsn, segments, standing);
        let too_small = |_: Refused| StoreError::SegmentsTooSmall {
            file: shared.names.lanes()[usize::from(identity.number)].clone(),
        };
        copy(&mut lane, &mut inherited).map_err(too_small)?;
        inherited.image.segments = std::mem::take(&mut lane.segments);
        let Inherited { scanned, mut image, pieces, checkpoints } = inherited;
        for id in image.nameless() {
            let name = format!("lost.name.{id}");
            self.recovered
                .notes
                .push(format!("{}: the name of a destination is lost, it is called {name}", lane.name()));
            image.destinations.insert(id, name);
        }
        lane.segments = image.segments;
        for (id, name) in &image.destinations {
            lane.define(*id, name).map_err(too_small)?;
        }
        let store = identity.number as u8 - 1;
        lane.segments.reset_live_bytes();
        let backlog = Backlog::new(store, &lane);
        self.recovered.bytes += scanned.bytes_read;
        self.recovered.segments += scanned.segments_read;
        self.recovered.messages += lane.segments.live_count();
        self.recovered.destinations.extend(lane.destinations().map(|(id, name)| RecoveredDestination {
            store,
            id,
            name: name.to_owned(),
            has_backlog: backlog.may_hold(id),
        }));
        self.recovered.notes.extend(scanned.notes);
        self.lanes.push(lane);
        self.backlogs.push(backlog);
        self.inheritances.push(Inheritance { own_first_lsn, pieces, gaps, checkpoints });
        Ok(())
    }

    /// The checkpoints of each lane that were found, newest first.
    pub(crate) fn checkpoints(&self) -> Vec<Vec<CheckpointRecord>> {
        self.inheritances.iter().map(|inheritance| inheritance.checkpoints.clone()).collect()
    }

    /// Declares the ends of all older epochs. To be called when all that was copied is durable.
    pub(crate) fn seal(&mut self) -> Result<u64, StoreError> {
        let lanes = self.inheritances.iter().zip(&self.lanes[1..]).map(|(inheritance, lane)| {
            assert!(!lane.is_dirty(), "a SEAL comes after what it leans on");
            SealedLane {
                name: lane.name().to_owned(),
                own_first_lsn: inheritance.own_first_lsn,
                own_durable_through: lane.durable(),
                pieces: inheritance.pieces.clone(),
                gaps: inheritance.gaps.clone(),
            }
        });
        let seal = Seal { epoch: self.epoch, lanes: lanes.collect() };
        let checkpoints = self.inheritances.iter().flat_map(|inheritance| inheritance.checkpoints.iter().rev());
        let metadata = &mut self.lanes[0];
        let file = metadata.name().to_owned();
        let lsn = declare(metadata, &seal, checkpoints).map_err(|_| StoreError::SegmentsTooSmall { file })?;
        self.seal = Some(seal);
        Ok(lsn)
    }
}

/// Appends a SEAL, and before it the checkpoints of all lanes, each lane's oldest first: whoever finds the SEAL finds them.
pub(crate) fn declare<'a>(
    metadata: &mut Lane,
    seal: &Seal,
    checkpoints: impl Iterator<Item = &'a CheckpointRecord>,
) -> Result<u64, Refused> {
    for record in checkpoints {
        metadata.append_record(CHECKPOINT_RECORD_BYTES_MAX, |out| format::put_checkpoint(out, record))?;
    }
    metadata.append_record(seal_bytes(seal), |out| format::put_seal(out, seal))
}

/// Bytes that the record of a SEAL takes at most.
pub(crate) fn seal_bytes(seal: &Seal) -> usize {
    let mut body = bytes::BytesMut::new();
    seal.encode(&mut body);
    body.len() + RECORD_HEADER_BYTES + BATCH_HEADER_BYTES
}

/// Takes over what was held back; each record keeps its sequence number.
fn copy(lane: &mut Lane, inherited: &mut Inherited) -> Result<(), Refused> {
    for held in std::mem::take(&mut inherited.scanned.held) {
        let mut copied = Ok(());
        held.records(|lsn, record| {
            if copied.is_ok() {
                lane.skip_to(lsn);
                copied = copy_record(lane, &mut inherited.image.destinations, lsn, record);
            }
        });
        copied?;
    }
    lane.skip_to(inherited.scanned.next_lsn.max(1));
    Ok(())
}

fn copy_record(
    lane: &mut Lane,
    names: &mut BTreeMap<u32, String>,
    lsn: u64,
    record: Record<'_>,
) -> Result<(), Refused> {
    let copied = match record {
        Record::Publish { copy_of, key, destinations, payload, .. } => {
            let ids: Vec<u32> = destinations.iter().collect();
            if let Some(CopyOf { replaces, .. }) = copy_of {
                lane.segments.removed(replaces, replaces);
            }
            lane.inherit_message(&ids, key, payload, copy_of)?
        }
        Record::Acknowledge(ranges) => {
            ranges.iter().for_each(|(from, to)| lane.segments.removed(*from, *to));
            let bytes = RECORD_HEADER_BYTES + RANGE_BYTES * ranges.len();
            lane.append_record(bytes, |out| {
                format::put_acknowledge(out, &ranges);
            })?
        }
        Record::Destination { id, name } => {
            names.insert(id, name.to_owned());
            lane.append_record(RECORD_HEADER_BYTES + 4 + name.len(), |out| format::put_destination(out, id, name))?
        }
        // A clean end has no meaning any more; it is kept for its sequence number. Metadata never lies in a data lane.
        Record::End | Record::Seal(_) | Record::Serving(_) | Record::Unlink(_) | Record::Checkpoint(_) => {
            lane.append_record(RECORD_HEADER_BYTES, format::put_end)?
        }
    };
    assert_eq!(copied, lsn, "a copy keeps its sequence number");
    Ok(())
}
