//! Taking an epoch: rules 6 and 7 of docs/FORMATS.md.
//!
//! Owns the order of steps from the spare files to the linked owner record, and the walk that claims the slots of
//! older epochs before it reads what they wrote. Whoever holds `owner.N` is the only one who may ever serve as N.

use crate::StoreError;
use crate::chain::{Newest, read_owner};
use crate::format::{
    self, BASE_OFFSETS, CheckpointRecord, MetadataBase, OwnerRecord, Piece, Record, Seal, SegmentIdentity, Unlink,
};
use crate::port::File;
use crate::recover::CHECKPOINTS_KEPT;
use crate::scan::{FoundSegment, Plan, Visit, scan};
use crate::shared::{Shared, while_doing};
use crate::spares::{Spare, create_locked, link_segment};
use crate::task::{Task, all};
use disk::{BLOCK_SIZE, DiskError, OpenMode};
use std::io::ErrorKind;
use std::path::PathBuf;
use std::rc::Rc;

/// Segments of each lane that stand before an epoch begins: the first, and the one after it.
pub(crate) const FIRST_SEGMENTS: usize = 2;

/// Spares of a lane that stand ready for a claim. One of the metadata's is ballast: without it there is room for the
/// owner record and the slots on a full disk, too.
pub(crate) fn spares_wanted(lane: usize) -> usize {
    FIRST_SEGMENTS + usize::from(lane == 0)
}

/// What a successful claim holds.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) record: OwnerRecord,
    /// `owner.N`, locked.
    pub(crate) owner: File,
    /// `slot.(N+1)`: who writes to it has taken over.
    pub(crate) slot: File,
    /// Per lane, the first segments.
    pub(crate) standing: Vec<Vec<File>>,
    /// Names that are not needed any more.
    pub(crate) leftovers: Vec<PathBuf>,
}

/// How a claim ended.
#[derive(Debug)]
pub(crate) enum Claim {
    Taken(Taken),
    /// Another has the epoch; the spares are still ours.
    Lost {
        by_epoch: u64,
        spares: Vec<Vec<Spare>>,
    },
}

/// Takes the epoch after `previous` (rule 6). `spares` holds [`FIRST_SEGMENTS`] per lane, or the ballast, too.
pub(crate) async fn take(
    shared: Rc<Shared>,
    previous: Option<OwnerRecord>,
    attempt: u128,
    mut spares: Vec<Vec<Spare>>,
) -> Result<Claim, StoreError> {
    let failed = || while_doing("claiming the store");
    let record = OwnerRecord {
        store_id: previous.as_ref().map_or(shared.process, |owner| owner.store_id),
        epoch: previous.as_ref().map_or(0, |owner| owner.epoch) + 1,
        process: shared.process,
        attempt,
        lanes: shared.names.lanes().to_vec(),
    };
    for ballast in spares.iter_mut().flat_map(|lane| lane.drain(FIRST_SEGMENTS.min(lane.len())..)) {
        shared.port.unlink(ballast.file.path()).await.map_err(failed())?;
    }
    let owner = make_claim(&shared, &record).await.map_err(failed())?;
    let segments = link_segments(&shared, &record, &spares).await.map_err(failed())?;
    make_slot(&shared, record.epoch + 1).await.map_err(failed())?;
    shared.port.sync_dir(&shared.names.meta()).await.map_err(failed())?;
    let linked = shared.port.link(owner.path(), &shared.names.owner(record.epoch)).await;
    if let Err(error) = linked {
        // A lost answer may hide a success: the record says whose it is.
        match read_owner(&shared, record.epoch).await? {
            Some(found) if found.record.attempt == attempt => {}
            Some(_) => {
                give_back(&shared, &owner, segments).await.map_err(failed())?;
                return Ok(Claim::Lost { by_epoch: record.epoch, spares });
            }
            None => return Err(failed()(error)),
        }
    }
    shared.port.sync_dir(&shared.names.meta()).await.map_err(failed())?;
    let slot = shared.port.open(shared.names.slot(record.epoch + 1), OpenMode::Read).await.map_err(failed())?;
    let leftovers = spares.iter().flatten().map(|spare| spare.file.path().to_owned());
    let leftovers = std::iter::once(owner.path().to_owned()).chain(leftovers).collect();
    let standing = spares.into_iter().map(|lane| lane.into_iter().map(|spare| spare.file).collect()).collect();
    Ok(Claim::Taken(Taken { record, owner, slot, standing, leftovers }))
}

/// The owner file under a temporary name: heartbeat, then record, then no base yet; durable, locked.
async fn make_claim(shared: &Rc<Shared>, record: &OwnerRecord) -> Result<File, DiskError> {
    let file = create_locked(shared, |number| shared.names.claim(shared.process, number)).await?;
    let bytes = BASE_OFFSETS[1] as usize + BLOCK_SIZE;
    let mut blocks = shared.buffer(bytes);
    format::encode_heartbeat(record.epoch, 0, &mut blocks);
    record.encode(&mut blocks);
    blocks.resize(bytes, 0);
    file.write(0, blocks.freeze()).await?;
    Ok(file)
}

/// The first segments of all lanes, headers and names durable.
async fn link_segments(
    shared: &Rc<Shared>,
    record: &OwnerRecord,
    spares: &[Vec<Spare>],
) -> Result<Vec<PathBuf>, DiskError> {
    let mut paths = Vec::new();
    for ((number, lane), spares) in (0..).zip(&record.lanes).zip(spares) {
        assert_eq!(spares.len(), FIRST_SEGMENTS);
        for (sequence, spare) in (1..).zip(spares) {
            let OwnerRecord { store_id, epoch, attempt, .. } = *record;
            let identity = SegmentIdentity { store_id, epoch, attempt, lane: number, sequence };
            paths.push(link_segment(shared, lane, spare, identity).await?);
        }
        shared.port.sync_dir(&shared.names.lane(lane)).await?;
    }
    Ok(paths)
}

/// Makes `slot.EPOCH`, unclaimed: by its length, never by writing zeros, which could land late. One that exists is as good.
async fn make_slot(shared: &Rc<Shared>, epoch: u64) -> Result<(), DiskError> {
    let file = create_locked(shared, |number| shared.names.new_slot(shared.process, number)).await?;
    file.set_len(BLOCK_SIZE as u64).await?;
    file.sync().await?;
    link_slot(shared, &file, epoch).await.map(drop)
}

/// Links a slot; false: there was one.
async fn link_slot(shared: &Rc<Shared>, file: &File, epoch: u64) -> Result<bool, DiskError> {
    let linked = match shared.port.link(file.path(), &shared.names.slot(epoch)).await {
        Err(error) if error.kind == ErrorKind::AlreadyExists => false,
        other => other.map(|()| true)?,
    };
    shared.port.unlink(file.path()).await?;
    Ok(linked)
}

/// Removes the names of a claim that was lost, so that its spares can serve the next attempt.
async fn give_back(shared: &Rc<Shared>, owner: &File, segments: Vec<PathBuf>) -> Result<(), DiskError> {
    for path in segments.iter().map(PathBuf::as_path).chain([owner.path()]) {
        shared.port.unlink(path).await?;
    }
    Ok(())
}

/// The newest epoch that ever served.
#[derive(Debug)]
pub(crate) struct Sealed {
    pub(crate) record: OwnerRecord,
    pub(crate) seal: Seal,
    pub(crate) unlinks: Vec<Unlink>,
    /// Of all lanes, oldest first.
    pub(crate) checkpoints: Vec<CheckpointRecord>,
}

/// Claims every slot from ours downwards, each **before** the epoch below it is read, until one is found that has a
/// valid SEAL (rule 7). Epochs without one are empty for ever: nobody can seal them any more. `None`: none ever served.
pub(crate) async fn walk(shared: Rc<Shared>, ours: OwnerRecord) -> Result<Option<Sealed>, StoreError> {
    for epoch in (2..=ours.epoch).rev() {
        claim_slot(&shared, epoch, ours.attempt).await.map_err(while_doing("claiming the slot"))?;
        let Some(older) = read_owner(&shared, epoch - 1).await? else {
            let affected = format!("the chain of owners below epoch {epoch}");
            let path = shared.names.owner(epoch - 1);
            return Err(StoreError::Damaged { path, offset: 0, problem: "the owner record is missing", affected });
        };
        if let Some(sealed) = read_metadata(&shared, &older).await? {
            return Ok(Some(sealed));
        }
    }
    claim_slot(&shared, 1, ours.attempt).await.map_err(while_doing("claiming the slot"))?;
    Ok(None)
}

/// Writes our mark into a slot, durably. A missing one is linked with the mark already in it.
async fn claim_slot(shared: &Rc<Shared>, epoch: u64, attempt: u128) -> Result<(), DiskError> {
    let mark = || {
        let mut block = shared.buffer(BLOCK_SIZE);
        format::encode_slot(attempt, epoch, &mut block);
        block.freeze()
    };
    match shared.port.open(shared.names.slot(epoch), OpenMode::ReadWrite).await {
        Ok(slot) => return slot.write(0, mark()).await,
        Err(error) if error.kind != ErrorKind::NotFound => return Err(error),
        Err(_) => {}
    }
    let file = create_locked(shared, |number| shared.names.new_slot(shared.process, number)).await?;
    file.write(0, mark()).await?;
    if link_slot(shared, &file, epoch).await? {
        return shared.port.sync_dir(&shared.names.meta()).await;
    }
    let slot = shared.port.open(shared.names.slot(epoch), OpenMode::ReadWrite).await?;
    slot.write(0, mark()).await
}

/// The metadata of an epoch, as far as a successor needs it, however long that is.
#[derive(Debug, Default)]
pub(crate) struct Metadata {
    epoch: u64,
    seal: Option<Seal>,
    /// The last of each lane: one says all that those before it said.
    unlinks: Vec<Unlink>,
    /// The last [`CHECKPOINTS_KEPT`] of each lane, oldest first.
    checkpoints: Vec<CheckpointRecord>,
}

impl Metadata {
    /// Of this epoch, nothing read yet.
    pub(crate) fn of(epoch: u64) -> Self {
        Self { epoch, ..Self::default() }
    }

    /// Of all lanes, oldest first.
    pub(crate) fn checkpoints(&self) -> &[CheckpointRecord] {
        &self.checkpoints
    }

    /// What was read of the epoch of `record`, once its SEAL was.
    pub(crate) fn sealed(&self, record: &OwnerRecord) -> Option<Sealed> {
        Some(Sealed {
            record: record.clone(),
            seal: self.seal.clone()?,
            unlinks: self.unlinks.clone(),
            checkpoints: self.checkpoints.clone(),
        })
    }

    fn intend(&mut self, unlink: Unlink) {
        self.unlinks.retain(|known| known.lane != unlink.lane);
        self.unlinks.push(unlink);
    }

    /// Whoever removes metadata repeats the newest ones of each lane: one may come twice, or before an older one.
    fn install(&mut self, checkpoint: CheckpointRecord) {
        let is_of = |known: &CheckpointRecord| known.lane == checkpoint.lane;
        let lane = checkpoint.lane.clone();
        let newer = self.checkpoints.iter().position(|known| is_of(known) && known.order() >= checkpoint.order());
        match newer {
            Some(at) if self.checkpoints[at].order() == checkpoint.order() => return,
            Some(at) => self.checkpoints.insert(at, checkpoint),
            None => self.checkpoints.push(checkpoint),
        }
        let mut of_lane = (0..).zip(&self.checkpoints).filter(|(_, known)| known.lane == lane).map(|(at, _)| at);
        let (oldest, count) = (of_lane.next(), 1 + of_lane.count());
        if let Some(oldest) = oldest.filter(|_| count > CHECKPOINTS_KEPT) {
            self.checkpoints.remove(oldest);
        }
    }
}

impl Visit for Metadata {
    fn segment(&mut self, _found: FoundSegment) {}

    fn record(&mut self, _lsn: u64, record: Record<'_>, _offset: u32) {
        match record {
            Record::Seal(seal) if seal.epoch == self.epoch => self.seal = Some(seal),
            Record::Unlink(unlink) => self.intend(unlink),
            Record::Checkpoint(checkpoint) => self.install(checkpoint),
            _ => {}
        }
    }
}

/// How the metadata of an epoch is read, from its base on.
pub(crate) fn metadata_plan(record: &OwnerRecord, base: Option<&MetadataBase>) -> Plan {
    let (first_sequence, first_lsn) = base.map_or((1, 1), |base| (base.sequence, base.first_lsn));
    let piece = Piece { epoch: record.epoch, attempt: record.attempt, lane: 0, first_sequence, first_lsn, end: None };
    Plan {
        lane: record.lanes[0].clone(),
        store_id: record.store_id,
        pieces: vec![piece],
        // Else a SEAL that rots at the very end would look as if it had never been written.
        durable_through: base.map_or(0, |base| base.durable_through),
        gaps: Vec::new(),
        holds_tail: false,
    }
}

/// Reads an epoch's metadata lane. `None`: it never sealed, so it never served.
async fn read_metadata(shared: &Rc<Shared>, owner: &Newest) -> Result<Option<Sealed>, StoreError> {
    let (record, base) = (&owner.record, owner.base().await?);
    let plan = metadata_plan(record, base.as_ref());
    let (scanned, metadata) = scan(shared.clone(), plan, Metadata::of(record.epoch)).await?;
    match (metadata.sealed(record), scanned.damage) {
        (Some(sealed), _) => Ok(Some(sealed)),
        // Not even --force-start may take an epoch whose SEAL was destroyed for one that never served.
        (None, Some(damage)) => Err(damage),
        (None, None) => Ok(None),
    }
}

/// Makes the folders of a store, durably.
pub(crate) async fn make_folders(shared: Rc<Shared>) -> Result<(), DiskError> {
    let lanes = shared.names.lanes().iter().map(|lane| {
        let (shared, folder) = (shared.clone(), shared.names.lane(lane));
        Task::new(async move { shared.port.create_dir(&folder).await })
    });
    all(lanes.collect()).await.into_iter().collect::<Result<(), _>>()?;
    // Parents may be new as well. One that we may not read was not made by us.
    for folder in shared.names.folder().ancestors() {
        match shared.port.sync_dir(folder).await {
            Err(error) if error.kind == ErrorKind::PermissionDenied => {}
            other => other?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Position;

    fn told(orders: &[(&str, u64, u32)]) -> Vec<(String, u64, u32)> {
        let mut metadata = Metadata::of(3);
        for (lane, epoch, sequence) in orders {
            let position = Position { epoch: *epoch, sequence: 1, lsn: 1 };
            let (lane, epoch, sequence) = ((*lane).to_owned(), *epoch, *sequence);
            metadata.install(CheckpointRecord { lane, epoch, attempt: 1, number: 1, sequence, position });
        }
        metadata.checkpoints.into_iter().map(|of| (of.lane, of.epoch, of.sequence)).collect()
    }

    #[test]
    fn the_newest_checkpoints_of_each_lane_are_kept_in_order_however_often_they_are_told() {
        let check = |orders: &[(&str, u64, u32)], kept: &[(&str, u64, u32)]| {
            let kept: Vec<_> = kept.iter().map(|(lane, epoch, at)| ((*lane).to_owned(), *epoch, *at)).collect();
            assert_eq!(told(orders), kept, "{orders:?}");
        };
        check(&[("a", 2, 9), ("a", 3, 1), ("b", 3, 1), ("a", 3, 2)], &[("a", 3, 1), ("b", 3, 1), ("a", 3, 2)]);
        // What made the metadata enter the segment comes before what is repeated there.
        check(&[("a", 3, 13), ("a", 3, 12), ("a", 3, 13)], &[("a", 3, 12), ("a", 3, 13)]);
        check(&[("a", 3, 12), ("a", 3, 13), ("a", 3, 12), ("a", 3, 13), ("a", 3, 14)], &[("a", 3, 13), ("a", 3, 14)]);
        check(&[("a", 3, 12), ("a", 3, 13), ("a", 3, 11)], &[("a", 3, 12), ("a", 3, 13)]);
    }

    #[test]
    fn the_last_intent_of_each_lane_is_kept() {
        let mut metadata = Metadata::of(1);
        let intend = |lane: &str, sequence| Unlink { lane: lane.to_owned(), epoch: 1, sequence, first_lsn: 1 };
        [intend("a", 1), intend("b", 2), intend("a", 3)].into_iter().for_each(|unlink| metadata.intend(unlink));
        assert_eq!(metadata.unlinks, [intend("b", 2), intend("a", 3)]);
    }
}
