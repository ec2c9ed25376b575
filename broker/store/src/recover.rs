//! What a claimant inherits: of each lane the newest checkpoint that reads, and the journal behind it.
//!
//! Owns the translation of a SEAL, and of the checkpoints and intents after it, into what is to be read, and of what was
//! read into the runs that the next SEAL will name. Copying and sealing are `takeover`'s business.

use crate::StoreError;
use crate::claim::Sealed;
use crate::format::{Checkpoint, CheckpointRecord, Gap, Piece, SealedLane, SegmentIdentity, TableKind, Unlink};
use crate::image::Image;
use crate::scan::{Plan, Scanned, scan};
use crate::segments::{Segment, Segments};
use crate::shared::Shared;
use crate::tables::{self, Flaw};
use crate::task::{Task, all};
use disk::BLOCK_SIZE;
use std::rc::Rc;

/// Checkpoints that are kept of a lane: the newest, and the one before it should that be damaged.
pub(crate) const CHECKPOINTS_KEPT: usize = 2;

/// One lane as it was found.
#[derive(Debug, Default)]
pub(crate) struct Inherited {
    pub(crate) scanned: Scanned,
    pub(crate) image: Image,
    /// Runs of older epochs for the next SEAL, ends included.
    pub(crate) pieces: Vec<Piece>,
    /// Those that read and are to be kept, newest first.
    pub(crate) checkpoints: Vec<CheckpointRecord>,
}

impl Inherited {
    /// The first sequence number that the new epoch writes: the first that is to be copied, or the next new one.
    pub(crate) fn first_lsn(&self) -> u64 {
        self.scanned.held.front().map_or(self.scanned.next_lsn.max(1), |held| held.first_lsn())
    }

    /// Known gaps that still lie in what may be read again.
    pub(crate) fn gaps(&self) -> Vec<Gap> {
        let first = self.pieces.first().map_or(self.first_lsn(), |piece| piece.first_lsn);
        self.scanned.gaps.iter().copied().filter(|(_, to)| *to >= first).collect()
    }
}

/// Reads every lane; the result is in the order of our lanes, without the metadata.
pub(crate) async fn inherit(shared: Rc<Shared>, sealed: Option<Sealed>) -> Result<Vec<Inherited>, StoreError> {
    let Some(sealed) = sealed else {
        return Ok(shared.names.lanes()[1..].iter().map(|_| Inherited::default()).collect());
    };
    let sealed = Rc::new(sealed);
    let ours = shared.names.lanes()[1..].iter().cloned();
    let others = sealed.record.lanes[1..].iter().filter(|lane| !shared.names.lanes().contains(lane)).cloned();
    let lanes: Vec<String> = ours.chain(others).collect();
    let tasks = lanes.iter().map(|lane| Task::new(read(shared.clone(), sealed.clone(), lane.clone())));
    let mut found = all(tasks.collect()).await.into_iter().collect::<Result<Vec<_>, _>>()?;
    let others = found.split_off(shared.names.lanes().len() - 1);
    for (file, lane) in lanes[found.len()..].iter().zip(&others) {
        let messages = lane.image.segments.live_count() + held_messages(&lane.scanned);
        if messages > 0 {
            return Err(StoreError::NotConfigured { file: file.clone(), messages });
        }
    }
    Ok(found)
}

/// Messages that were held back: nobody will copy those of a lane that is not configured any more, but they count.
fn held_messages(scanned: &Scanned) -> u64 {
    let mut messages = 0;
    for held in &scanned.held {
        held.records(|_, record| messages += u64::from(matches!(record, crate::format::Record::Publish { .. })));
    }
    messages
}

async fn read(shared: Rc<Shared>, sealed: Rc<Sealed>, lane: String) -> Result<Inherited, StoreError> {
    let Some(base) = base(&shared, &sealed, &lane).await? else { return Ok(Inherited::default()) };
    let Base { plan, image, pieces, checkpoints, notes } = base;
    let (mut scanned, image) = scan(shared, plan, image).await?;
    scanned.notes.extend(notes);
    Ok(inherited(scanned, image, &pieces, checkpoints))
}

/// Joins what was known before reading and what was read.
pub(crate) fn inherited(
    scanned: Scanned,
    image: Image,
    pieces: &[Piece],
    checkpoints: Vec<CheckpointRecord>,
) -> Inherited {
    let pieces = pieces.iter().filter_map(|piece| ended(*piece, &scanned)).collect();
    Inherited { scanned, image, pieces, checkpoints }
}

/// Where reading a lane begins.
#[derive(Debug)]
pub(crate) struct Base {
    /// What is to be read.
    pub(crate) plan: Plan,
    /// What the lane held before that.
    pub(crate) image: Image,
    /// Runs that the next SEAL has to name: from the older checkpoint on.
    pub(crate) pieces: Vec<Piece>,
    pub(crate) checkpoints: Vec<CheckpointRecord>,
    pub(crate) notes: Vec<String>,
}

/// What to read of `lane`, from its newest checkpoint that reads; `None` where the epoch had no such lane.
pub(crate) async fn base(shared: &Rc<Shared>, sealed: &Sealed, lane: &str) -> Result<Option<Base>, StoreError> {
    let Some(mut plan) = plan(sealed, lane) else { return Ok(None) };
    let known = sealed.checkpoints.iter().filter(|checkpoint| checkpoint.lane == lane);
    let newest: Vec<CheckpointRecord> = known.rev().take(CHECKPOINTS_KEPT).cloned().collect();
    let mut pieces = plan.pieces.clone();
    let (mut notes, mut first_damage) = (Vec::new(), None);
    for (index, record) in newest.iter().enumerate() {
        match load(shared, plan.store_id, record).await? {
            Ok(checkpoint) => {
                let checkpoints = newest[index..].to_vec();
                pieces = from_oldest(pieces, &checkpoints);
                let start = checkpoint.position;
                trim(&mut plan.pieces, (start.epoch, start.sequence, start.lsn));
                let image = image(shared, lane, checkpoint);
                return Ok(Some(Base { plan, image, pieces, checkpoints, notes }));
            }
            Err(error) => {
                notes.push(format!("{error}; the checkpoint before it is used"));
                first_damage.get_or_insert(error);
            }
        }
    }
    match first_damage {
        // Without any checkpoint, what is left of the journal is all there is.
        Some(error) if !shared.config.force_start => Err(error),
        _ => Ok(Some(Base { plan, image: Image::default(), pieces, checkpoints: Vec::new(), notes })),
    }
}

/// The runs from the oldest of `checkpoints` (newest first) on.
pub(crate) fn from_oldest(mut pieces: Vec<Piece>, checkpoints: &[CheckpointRecord]) -> Vec<Piece> {
    if let Some(oldest) = checkpoints.last().map(|oldest| oldest.position) {
        trim(&mut pieces, (oldest.epoch, oldest.sequence, oldest.lsn));
    }
    pieces
}

/// Reads a checkpoint. The inner error is damage.
pub(crate) async fn load(
    shared: &Rc<Shared>,
    store_id: u128,
    record: &CheckpointRecord,
) -> Result<Result<Checkpoint, StoreError>, StoreError> {
    let CheckpointRecord { epoch, attempt, sequence, number: lane, .. } = *record;
    let identity = SegmentIdentity { store_id, epoch, attempt, lane, sequence };
    let path = shared.names.checkpoint(&record.lane, epoch, attempt, sequence);
    let body = tables::read(shared, TableKind::Checkpoint, identity, path.clone()).await?;
    let undecodable = Flaw { offset: BLOCK_SIZE as u64, problem: "the content is no checkpoint" };
    let checkpoint = body.and_then(|body| Checkpoint::decode(&body).ok_or(undecodable));
    Ok(checkpoint.map_err(|Flaw { offset, problem }| StoreError::Damaged {
        path,
        offset,
        problem,
        affected: format!("which messages of {} before number {} are live", record.lane, record.position.lsn),
    }))
}

fn image(shared: &Rc<Shared>, lane: &str, checkpoint: Checkpoint) -> Image {
    let mut segments = Segments::default();
    for mut found in checkpoint.segments {
        found.next_lsn = found.next_lsn.min(checkpoint.position.lsn);
        let path = shared.names.segment(lane, found.epoch, found.attempt, found.sequence);
        segments.push(Segment::from_checkpoint(found, path));
    }
    Image::new(segments, checkpoint.destinations)
}

/// What to read of `lane` without a checkpoint; `None` where the epoch had no such lane.
fn plan(sealed: &Sealed, lane: &str) -> Option<Plan> {
    let number = sealed.record.lanes.iter().position(|name| name == lane)?;
    let unknown = SealedLane { name: lane.to_owned(), own_first_lsn: 1, ..SealedLane::default() };
    let known = sealed.seal.lanes.iter().find(|known| known.name == lane).unwrap_or(&unknown);
    let own = Piece {
        epoch: sealed.record.epoch,
        attempt: sealed.record.attempt,
        lane: number as u16,
        first_sequence: 1,
        first_lsn: known.own_first_lsn,
        end: None,
    };
    let mut pieces: Vec<Piece> = known.pieces.iter().copied().chain([own]).collect();
    let intents = sealed.unlinks.iter().filter(|unlink| unlink.lane == lane);
    intents.for_each(|Unlink { epoch, sequence, first_lsn, .. }| trim(&mut pieces, (*epoch, *sequence, *first_lsn)));
    Some(Plan {
        lane: lane.to_owned(),
        store_id: sealed.record.store_id,
        pieces,
        durable_through: known.own_durable_through,
        gaps: known.gaps.clone(),
        holds_tail: true,
    })
}

/// Leaves out what lies before a segment: (its epoch, sequence, first sequence number).
fn trim(pieces: &mut Vec<Piece>, (epoch, sequence, first_lsn): (u64, u32, u64)) {
    pieces.retain(|piece| piece.epoch >= epoch);
    if let Some(first) = pieces.first_mut().filter(|first| first.epoch == epoch && first.first_sequence <= sequence) {
        first.first_sequence = sequence;
        first.first_lsn = first_lsn;
    }
    // A checkpoint may stand at the start of a segment of which nothing is inside the end: nobody keeps that.
    pieces.retain(|piece| piece.end.is_none_or(|end| end.lsn > piece.first_lsn));
}

/// The run with its end; `None` when nothing of it is left.
fn ended(piece: Piece, scanned: &Scanned) -> Option<Piece> {
    let end = piece.end.or(scanned.end)?;
    let is_empty = end.lsn <= piece.first_lsn;
    (!is_empty).then_some(Piece { end: Some(end), ..piece })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::End;

    fn piece(epoch: u64, end: Option<u64>) -> Piece {
        let end = end.map(|lsn| End { sequence: 3, offset: 4096, lsn });
        Piece { epoch, attempt: 1, lane: 1, first_sequence: 1, first_lsn: epoch * 100, end }
    }

    #[test]
    fn runs_are_cut_from_the_front_and_an_older_cut_adds_nothing() {
        let mut pieces = vec![piece(1, Some(150)), piece(3, Some(350)), piece(4, None)];
        trim(&mut pieces, (3, 2, 320));
        assert_eq!(
            pieces.iter().map(|piece| (piece.epoch, piece.first_sequence)).collect::<Vec<_>>(),
            [(3, 2), (4, 1)]
        );
        trim(&mut pieces, (3, 1, 300));
        assert_eq!((pieces[0].first_sequence, pieces[0].first_lsn), (2, 320));
        trim(&mut pieces, (4, 5, 500));
        assert_eq!(pieces.iter().map(|piece| (piece.epoch, piece.first_sequence)).collect::<Vec<_>>(), [(4, 5)]);
    }

    #[test]
    fn a_cut_at_the_end_of_a_run_leaves_nothing_of_it() {
        let mut pieces = vec![piece(1, Some(150)), piece(3, None)];
        trim(&mut pieces, (1, 4, 150));
        assert_eq!(pieces, [piece(3, None)]);
    }

    #[test]
    fn a_run_without_records_is_left_out() {
        let scanned = Scanned { end: Some(End { sequence: 1, offset: 4096, lsn: 400 }), ..Scanned::default() };
        assert_eq!(ended(piece(4, None), &scanned), None);
        assert!(ended(piece(3, Some(301)), &scanned).is_some());
        assert_eq!(ended(piece(3, None), &scanned).and_then(|piece| piece.end).map(|end| end.lsn), Some(400));
    }
}
