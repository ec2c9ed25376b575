//! What a claimant inherits: reads all lanes of the newest epoch that served and of those its SEAL names.
//!
//! Owns the translation of a SEAL and the intents after it into what is to be read, and of what was read into the
//! runs that the next SEAL will name. Copying and sealing are `takeover`'s business.

use crate::StoreError;
use crate::claim::Sealed;
use crate::format::{Gap, Piece, SealedLane, Unlink};
use crate::live::Live;
use crate::scan::{Plan, Scanned, Visit, scan};
use crate::shared::Shared;
use crate::task::{Task, all};
use std::rc::Rc;

/// One lane as it was found.
#[derive(Debug, Default)]
pub(crate) struct Inherited {
    pub(crate) scanned: Scanned,
    pub(crate) live: Live,
    /// Runs of older epochs for the next SEAL, ends included.
    pub(crate) pieces: Vec<Piece>,
}

impl Inherited {
    /// The first sequence number that the new epoch writes: the first that is to be copied, or the next new one.
    pub(crate) fn first_lsn(&self) -> u64 {
        self.scanned.held.front().map_or(self.scanned.next_lsn.max(1), |held| held.first_lsn())
    }

    /// Known gaps that still lie in what is live.
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
    let mut others = found.split_off(shared.names.lanes().len() - 1);
    for Inherited { scanned, live, .. } in &mut others {
        // Nobody will copy what was held back, but it counts. Where it lies does not matter any more.
        scanned.held.iter().for_each(|held| held.records(|lsn, record| live.record(lsn, record, 0, 0)));
    }
    let unconfigured = lanes[found.len()..].iter().zip(&others).find(|(_, lane)| lane.live.count() > 0);
    match unconfigured {
        Some((file, lane)) => Err(StoreError::NotConfigured { file: file.clone(), messages: lane.live.count() }),
        None => Ok(found),
    }
}

async fn read(shared: Rc<Shared>, sealed: Rc<Sealed>, lane: String) -> Result<Inherited, StoreError> {
    let Some(plan) = plan(&sealed, &lane) else { return Ok(Inherited::default()) };
    let pieces = plan.pieces.clone();
    let (scanned, live) = scan(shared, plan, Live::default()).await?;
    let pieces = pieces.into_iter().filter_map(|piece| ended(piece, &scanned)).collect();
    Ok(Inherited { scanned, live, pieces })
}

/// What to read of `lane`; `None` where the epoch had no such lane.
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
    sealed.unlinks.iter().filter(|unlink| unlink.lane == lane).for_each(|unlink| trim(&mut pieces, unlink));
    Some(Plan {
        lane: lane.to_owned(),
        store_id: sealed.record.store_id,
        pieces,
        durable_through: known.own_durable_through,
        gaps: known.gaps.clone(),
        holds_tail: true,
    })
}

/// Leaves out what an intent declared dead, whether it is already gone or not.
fn trim(pieces: &mut Vec<Piece>, unlink: &Unlink) {
    pieces.retain(|piece| piece.epoch >= unlink.epoch);
    if let Some(first) =
        pieces.first_mut().filter(|first| first.epoch == unlink.epoch && first.first_sequence <= unlink.sequence)
    {
        first.first_sequence = unlink.sequence;
        first.first_lsn = unlink.first_lsn;
    }
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

    fn unlink(epoch: u64, sequence: u32, first_lsn: u64) -> Unlink {
        Unlink { lane: String::new(), epoch, sequence, first_lsn }
    }

    #[test]
    fn intents_cut_runs_from_the_front_and_an_older_intent_adds_nothing() {
        let mut pieces = vec![piece(1, Some(150)), piece(3, Some(350)), piece(4, None)];
        trim(&mut pieces, &unlink(3, 2, 320));
        assert_eq!(
            pieces.iter().map(|piece| (piece.epoch, piece.first_sequence)).collect::<Vec<_>>(),
            [(3, 2), (4, 1)]
        );
        trim(&mut pieces, &unlink(3, 1, 300));
        assert_eq!((pieces[0].first_sequence, pieces[0].first_lsn), (2, 320));
        trim(&mut pieces, &unlink(4, 5, 500));
        assert_eq!(pieces.iter().map(|piece| (piece.epoch, piece.first_sequence)).collect::<Vec<_>>(), [(4, 5)]);
    }

    #[test]
    fn a_run_without_records_is_left_out() {
        let scanned = Scanned { end: Some(End { sequence: 1, offset: 4096, lsn: 400 }), ..Scanned::default() };
        assert_eq!(ended(piece(4, None), &scanned), None);
        assert!(ended(piece(3, Some(301)), &scanned).is_some());
        assert_eq!(ended(piece(3, None), &scanned).and_then(|piece| piece.end).map(|end| end.lsn), Some(400));
    }
}
