//! The rules, each of which can be broken on purpose, and what comes of it.

use crate::epochs::Bounds;
use crate::properties::{GAP, LOST, MISSING, TWO, UNRECOVERED};

/// What is removed from the rules. The number in a name's description is that of docs/FORMATS.md.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mutant {
    None,
    /// 6: who finds the owner's name taken goes on as if it were its own.
    TakenIsMine,
    /// 6: the owner's name is not synced before the claimant goes on.
    OwnNameNotSynced,
    /// 6: the predecessor's name is not synced before the owner's is made.
    OlderNameNotSynced,
    /// The assumptions: a storage that loses names that were not synced ends no process.
    StorageTakesNames,
    /// 7: the epoch below is read while the mark is on its way.
    ReadBeforeMark,
    /// 7: the epoch below is read when the mark can be seen, durable or not.
    ReadBeforeMarkIsDurable,
    /// 7: only the own slot is marked, not those of empty epochs on the way down.
    MarkOnlyOwnSlot,
    /// 7: the walk ends at the first epoch, sealed or not.
    WalkEndsAtOnce,
    /// 8: a batch behind a gap is taken, too.
    TakeBehindGap,
    /// 8: a gap is damage, whatever the batches behind it claim.
    GapIsDamage,
    /// 8: durable-through is the highest number that is durable, gaps or not.
    DurableThroughOverGap,
    /// 8: a place that looks damaged is not read again.
    NoSecondLook,
    /// 9: what lies above durable-through is sealed where it lies.
    NoCopy,
    /// 9: the SEAL is issued when the copies are.
    SealBeforeCopiesAreDurable,
    /// 9: the check is submitted when the SEAL is issued.
    CheckBeforeSealIsDurable,
    /// 9: the owner serves when its SEAL is durable.
    ServeWithoutCheck,
    /// 9: the SEAL names the predecessor's run only.
    SealOnlyPredecessor,
    /// 10: runs are read to where they end now.
    ReadBeyondEnds,
    /// 11: what is durable is confirmed.
    ConfirmWithoutCheck,
    /// 11: what became durable while the check was in flight is confirmed with it.
    ConfirmWhatCameLater,
    /// 11: what is durable behind a gap is confirmed.
    ConfirmOverGap,
    /// 16: a dead segment is removed wherever it lies.
    UnlinkWithoutCheckpoint,
    /// 16: a checkpoint counts as installed when its record is issued.
    UnlinkBeforeRecordIsDurable,
    /// 16: a checkpoint counts as installed when its record is durable.
    UnlinkBeforeCheck,
    /// 16: a dead segment is removed when it lies before the newest checkpoint.
    UnlinkByNewest,
    /// 16: acknowledgements count when they are admitted.
    DeadByUnconfirmed,
    /// 16: what the SEAL does not name is removed before the check.
    SweepBeforeCheck,
    /// 16: a checkpoint holds what was admitted.
    CheckpointOfUnconfirmed,
    /// 16: the record of a checkpoint is issued when its file is.
    RecordBeforeFileIsDurable,
    /// 16: the record of a checkpoint is issued before the name of its file is synced.
    RecordBeforeNameIsDurable,
    /// 16: an epoch does not repeat the checkpoints that it found.
    CheckpointsNotRepeated,
    /// 16: recovery tries the newest checkpoint only.
    NoFallback,
    /// 16: a message counts as copied when its copy is admitted.
    CopyCountsUnconfirmed,
    /// 21: the base is issued when what is repeated is.
    BaseBeforeRepeatIsDurable,
    /// 21: metadata is removed when a check passed that began after the base was issued.
    CutBeforeBaseIsDurable,
    /// 21: metadata is removed when the base is durable.
    CutBeforeCheck,
    /// 21: a claimant looks for the base while its mark is on the way.
    BaseReadBeforeMark,
    /// 21: only the SEAL is repeated.
    CheckpointsNotRepeatedInMetadata,
}

/// How a mutant is found.
pub(crate) struct Found {
    pub(crate) mutant: Mutant,
    /// The property that it violates.
    pub(crate) violates: &'static str,
    /// Bounds that are enough.
    pub(crate) bounds: Bounds,
    /// Steps of the shortest trace.
    pub(crate) steps: usize,
}

const fn found(
    mutant: Mutant,
    violates: &'static str,
    (processes, epochs, lsns): (usize, u8, u8),
    steps: usize,
) -> Found {
    let bounds = Bounds { processes, epochs, lsns, in_flight: 2, removes: false, copies: false, rebases: false };
    Found { mutant, violates, bounds, steps }
}

/// One that takes checkpoints and removals to find.
const fn removing(
    mutant: Mutant,
    violates: &'static str,
    (processes, epochs, lsns): (usize, u8, u8),
    steps: usize,
) -> Found {
    let copies = matches!(mutant, Mutant::CopyCountsUnconfirmed);
    let bounds = Bounds { processes, epochs, lsns, in_flight: 1, removes: true, copies, rebases: false };
    Found { mutant, violates, bounds, steps }
}

/// One that takes the removal of metadata to find.
const fn rebasing(
    mutant: Mutant,
    violates: &'static str,
    (processes, epochs, lsns): (usize, u8, u8),
    steps: usize,
) -> Found {
    let removes = matches!(mutant, Mutant::CheckpointsNotRepeatedInMetadata);
    let bounds = Bounds { processes, epochs, lsns, in_flight: 1, removes, copies: false, rebases: true };
    Found { mutant, violates, bounds, steps }
}

impl Mutant {
    /// Whether states are made equal although a rule is missing: it takes too many to see these otherwise. What they
    /// leave out of the rules has no part in what is made equal, or is kept.
    pub(crate) fn reduces(self) -> bool {
        matches!(
            self,
            Self::None
                | Self::ReadBeyondEnds
                | Self::UnlinkWithoutCheckpoint
                | Self::UnlinkBeforeRecordIsDurable
                | Self::UnlinkBeforeCheck
                | Self::UnlinkByNewest
                | Self::DeadByUnconfirmed
                | Self::CheckpointOfUnconfirmed
                | Self::CheckpointsNotRepeated
                | Self::NoFallback
                | Self::CopyCountsUnconfirmed
                | Self::CheckpointsNotRepeatedInMetadata
        )
    }
}

/// Each mutant.
pub(crate) const MUTANTS: [Found; 38] = [
    found(Mutant::TakenIsMine, TWO, (2, 3, 2), 20),
    found(Mutant::OwnNameNotSynced, TWO, (2, 3, 2), 21),
    found(Mutant::OlderNameNotSynced, MISSING, (2, 3, 2), 12),
    found(Mutant::StorageTakesNames, TWO, (2, 2, 1), 21),
    found(Mutant::ReadBeforeMark, LOST, (2, 3, 2), 24),
    found(Mutant::ReadBeforeMarkIsDurable, LOST, (2, 3, 2), 30),
    found(Mutant::MarkOnlyOwnSlot, LOST, (2, 3, 2), 30),
    found(Mutant::WalkEndsAtOnce, LOST, (2, 3, 2), 28),
    found(Mutant::TakeBehindGap, GAP, (1, 2, 2), 29),
    found(Mutant::GapIsDamage, MISSING, (2, 3, 2), 20),
    found(Mutant::DurableThroughOverGap, MISSING, (1, 2, 3), 23),
    found(Mutant::NoSecondLook, MISSING, (2, 3, 2), 21),
    found(Mutant::NoCopy, MISSING, (2, 3, 2), 29),
    found(Mutant::SealBeforeCopiesAreDurable, MISSING, (2, 3, 2), 31),
    found(Mutant::CheckBeforeSealIsDurable, LOST, (2, 3, 2), 25),
    found(Mutant::ServeWithoutCheck, UNRECOVERED, (2, 3, 2), 36),
    found(Mutant::SealOnlyPredecessor, LOST, (1, 3, 2), 45),
    found(Mutant::ReadBeyondEnds, LOST, (1, 3, 3), 48),
    found(Mutant::ConfirmWithoutCheck, LOST, (2, 3, 2), 25),
    found(Mutant::ConfirmWhatCameLater, LOST, (2, 3, 2), 32),
    found(Mutant::ConfirmOverGap, LOST, (2, 3, 2), 28),
    removing(Mutant::UnlinkWithoutCheckpoint, MISSING, (1, 3, 2), 37),
    removing(Mutant::UnlinkBeforeRecordIsDurable, MISSING, (1, 3, 2), 42),
    removing(Mutant::UnlinkBeforeCheck, MISSING, (2, 3, 2), 40),
    removing(Mutant::UnlinkByNewest, MISSING, (1, 3, 2), 43),
    removing(Mutant::DeadByUnconfirmed, MISSING, (1, 3, 2), 44),
    removing(Mutant::SweepBeforeCheck, MISSING, (2, 3, 2), 20),
    removing(Mutant::CheckpointOfUnconfirmed, UNRECOVERED, (1, 3, 3), 44),
    removing(Mutant::RecordBeforeFileIsDurable, MISSING, (1, 2, 2), 20),
    removing(Mutant::RecordBeforeNameIsDurable, MISSING, (1, 2, 2), 21),
    removing(Mutant::CheckpointsNotRepeated, UNRECOVERED, (1, 4, 2), 53),
    removing(Mutant::NoFallback, MISSING, (1, 3, 2), 30),
    removing(Mutant::CopyCountsUnconfirmed, MISSING, (1, 3, 3), 36),
    rebasing(Mutant::BaseBeforeRepeatIsDurable, MISSING, (1, 2, 1), 20),
    rebasing(Mutant::CutBeforeBaseIsDurable, MISSING, (1, 2, 1), 24),
    rebasing(Mutant::CutBeforeCheck, MISSING, (2, 2, 1), 21),
    rebasing(Mutant::BaseReadBeforeMark, MISSING, (2, 2, 1), 24),
    rebasing(Mutant::CheckpointsNotRepeatedInMetadata, MISSING, (1, 4, 2), 46),
];
