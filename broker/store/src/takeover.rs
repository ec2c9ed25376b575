//! From inherited journals to lanes of our own: rule 9, up to the SEAL.
//!
//! Owns the copying of what lies above durable-through, which was seen but may not be on media, and the content of
//! the SEAL. Writing both, in that order, and checking are `active`'s business.

use crate::StoreError;
use crate::api::{Recovered, RecoveredDestination, RecoveredMessage, Refused};
use crate::claim::Taken;
use crate::format::{self, BATCH_HEADER_BYTES, Gap, Piece, RANGE_BYTES, RECORD_HEADER_BYTES, Record, Seal, SealedLane};
use crate::lane::{Lane, LaneIdentity};
use crate::live::Live;
use crate::port::File;
use crate::recover::Inherited;
use crate::segments::{Segment, Segments};
use crate::shared::Shared;
use std::collections::VecDeque;
use std::rc::Rc;

/// What a lane inherited that the SEAL must name.
#[derive(Debug)]
struct Inheritance {
    own_first_lsn: u64,
    pieces: Vec<Piece>,
    gaps: Vec<Gap>,
}

/// Lanes that hold everything inherited, none of it written yet.
#[derive(Debug)]
pub(crate) struct Takeover {
    pub(crate) lanes: Vec<Lane>,
    pub(crate) recovered: Recovered,
    /// Live messages that the caller has not taken over yet, by store.
    pub(crate) backlogs: Vec<VecDeque<RecoveredMessage>>,
    inheritances: Vec<Inheritance>,
    epoch: u64,
}

impl Takeover {
    pub(crate) fn new(shared: &Rc<Shared>, taken: &Taken, inherited: Vec<Inherited>) -> Result<Self, StoreError> {
        let epoch = taken.record.epoch;
        let mut standing = taken.standing.iter().cloned();
        let identity =
            |number| LaneIdentity { store_id: taken.record.store_id, epoch, attempt: taken.record.attempt, number };
        let metadata = Lane::new(shared, identity(0), 1, Segments::default(), standing.next().unwrap_or_default());
        let recovered = Recovered { epoch, ..Recovered::default() };
        let mut takeover =
            Self { lanes: vec![metadata], recovered, backlogs: Vec::new(), inheritances: Vec::new(), epoch };
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
        let mut segments = Segments::default();
        for found in std::mem::take(&mut inherited.scanned.segments) {
            let Piece { epoch, attempt, lane, .. } = found.piece;
            let (sequence, first_lsn) = (found.sequence, found.first_lsn);
            segments.push(Segment {
                epoch,
                attempt,
                lane,
                sequence,
                first_lsn,
                path: found.path,
                file: found.file,
                live: 0,
            });
        }
        let mut lane = Lane::new(shared, identity, own_first_lsn, segments, standing);
        let too_small = |_: Refused| StoreError::SegmentsTooSmall {
            file: shared.names.lanes()[usize::from(identity.number)].clone(),
        };
        copy(&mut lane, &mut inherited).map_err(too_small)?;
        let Inherited { scanned, mut live, pieces } = inherited;
        for id in live.nameless() {
            let name = format!("lost.name.{id}");
            self.recovered
                .notes
                .push(format!("{}: the name of a destination is lost, it is called {name}", lane.name()));
            live.defined(id, &name);
        }
        for (id, name) in live.destinations() {
            lane.define(id, name).map_err(too_small)?;
        }
        lane.segments.set_live(&live.per_segment());
        self.report(identity.number as u8 - 1, &lane, live, &scanned);
        self.recovered.notes.extend(scanned.notes);
        self.lanes.push(lane);
        self.inheritances.push(Inheritance { own_first_lsn, pieces, gaps });
        Ok(())
    }

    fn report(&mut self, store: u8, lane: &Lane, live: Live, scanned: &crate::scan::Scanned) {
        let backlog: VecDeque<RecoveredMessage> = live.recovered(store).collect();
        let recovered = &mut self.recovered;
        recovered.bytes += scanned.bytes_read;
        recovered.segments += scanned.segments_read;
        recovered.messages += backlog.len() as u64;
        recovered.destinations.extend(lane.destinations().map(|(id, name)| RecoveredDestination {
            store,
            id,
            name: name.to_owned(),
            has_backlog: backlog.iter().any(|message| message.destination == id),
        }));
        self.backlogs.push(backlog);
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
        let mut body = bytes::BytesMut::new();
        seal.encode(&mut body);
        let metadata = &mut self.lanes[0];
        let file = metadata.name().to_owned();
        let bytes = body.len() + RECORD_HEADER_BYTES + BATCH_HEADER_BYTES;
        metadata
            .append_record(bytes, |out| format::put_seal(out, &seal))
            .map_err(|_| StoreError::SegmentsTooSmall { file })
    }
}

/// Takes over what was held back; each record keeps its sequence number.
fn copy(lane: &mut Lane, inherited: &mut Inherited) -> Result<(), Refused> {
    for held in std::mem::take(&mut inherited.scanned.held) {
        let mut copied = Ok(());
        held.records(|lsn, record| {
            if copied.is_ok() {
                lane.skip_to(lsn);
                copied = copy_record(lane, &mut inherited.live, lsn, record);
            }
        });
        copied?;
    }
    lane.skip_to(inherited.scanned.next_lsn.max(1));
    Ok(())
}

fn copy_record(lane: &mut Lane, live: &mut Live, lsn: u64, record: Record<'_>) -> Result<(), Refused> {
    let copied = match record {
        Record::Publish { key, destinations, payload, .. } => {
            let ids: Vec<u32> = destinations.iter().collect();
            let appended = lane.copy_publish(&ids, key, payload)?;
            live.published(appended.lsn, appended.location, key, ids.into_iter());
            appended.lsn
        }
        Record::Acknowledge(ranges) => {
            for (first, last) in &ranges {
                live.acknowledged(*first, *last, |location| lane.cache.released(location));
            }
            let bytes = RECORD_HEADER_BYTES + RANGE_BYTES * ranges.len();
            lane.append_record(bytes, |out| {
                format::put_acknowledge(out, &ranges);
            })?
        }
        Record::Destination { id, name } => {
            live.defined(id, name);
            lane.append_record(RECORD_HEADER_BYTES + 4 + name.len(), |out| format::put_destination(out, id, name))?
        }
        // A clean end has no meaning any more; it is kept for its sequence number. Metadata never lies in a data lane.
        Record::End | Record::Seal(_) | Record::Serving(_) | Record::Unlink(_) => {
            lane.append_record(RECORD_HEADER_BYTES, format::put_end)?
        }
    };
    assert_eq!(copied, lsn, "a copy keeps its sequence number");
    Ok(())
}
