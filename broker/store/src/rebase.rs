//! Lets go of metadata: once the lane is in another segment, repeats there what a successor needs, says in the owner's file
//! that the metadata begins there now, and removes the segments before it (rule 21).
//!
//! Owns the order of steps: repeated and confirmable, both copies of the base durable, a check passed that began after
//! that, unlinked. So a claimant reads a base behind which nothing is missing, however late a removal is carried out.

use crate::StoreError;
use crate::check::Check;
use crate::checkpoints::{CHECKPOINT_RECORD_BYTES_MAX, Checkpoints};
use crate::format::{BASE_OFFSETS, MetadataBase, Seal};
use crate::lane::Lane;
use crate::port::File;
use crate::shared::{Shared, while_doing};
use crate::space::unlink;
use crate::takeover::{declare, seal_bytes};
use crate::task::Task;
use disk::BLOCK_SIZE;
use std::path::PathBuf;
use std::rc::Rc;

/// How far the next base is.
///
/// ```text
/// Idle --> Confirming --> Writing --> Checking --> Removing --> Idle
/// ```
#[derive(Debug)]
enum Step {
    /// Waits for the metadata to enter another segment.
    Idle,
    /// What was repeated must be confirmable.
    Confirming { base: MetadataBase },
    /// The base is being written; what lies before this segment will go.
    Writing { sequence: u32, task: Task<Result<(), StoreError>> },
    /// A check that was submitted after the first so many must pass.
    Checking { sequence: u32, submitted: u64 },
    /// So many segments go.
    Removing { count: u64, task: Task<Result<(), StoreError>> },
}

#[derive(Debug)]
pub(crate) struct Rebase {
    shared: Rc<Shared>,
    owner: File,
    /// Of the newest base.
    number: u64,
    /// The segment in which the metadata was repeated last: once in each is enough.
    repeated_in: u32,
    step: Step,
    /// Segments that were removed.
    pub(crate) removed_segments: u64,
}

impl Rebase {
    /// `owner`: our owner file.
    pub(crate) fn new(shared: &Rc<Shared>, owner: File) -> Self {
        Self { shared: shared.clone(), owner, number: 0, repeated_in: 1, step: Step::Idle, removed_segments: 0 }
    }

    /// Goes on with whatever can, a step at a time, until one has to wait. `seal`: the SEAL of this epoch, unless nothing
    /// more is to be repeated. True: space was freed.
    pub(crate) fn run(
        &mut self,
        lanes: &mut [Lane],
        seal: Option<&Seal>,
        checkpoints: &Checkpoints,
        check: &Check,
    ) -> Result<bool, StoreError> {
        let before = self.removed_segments;
        loop {
            let goes_on = match (&mut self.step, seal) {
                (Step::Idle, Some(seal)) => self.repeat(lanes, seal, checkpoints),
                (Step::Idle, None) => false,
                _ => self.advance(&mut lanes[0], check)?,
            };
            if !goes_on {
                return Ok(self.removed_segments > before);
            }
        }
    }

    /// Repeats the SEAL and the checkpoints that are kept, if the metadata is in another segment than the last time.
    fn repeat(&mut self, lanes: &mut [Lane], seal: &Seal, checkpoints: &Checkpoints) -> bool {
        let (sequence, first_lsn) = lanes[0].newest_segment();
        if sequence <= self.repeated_in {
            return false;
        }
        let told = checkpoints.told(lanes);
        let metadata = &mut lanes[0];
        if !metadata.has_room_for(seal_bytes(seal) + told.len() * CHECKPOINT_RECORD_BYTES_MAX) {
            return false;
        }
        let declared = declare(metadata, seal, told.iter());
        // What is repeated may itself be what enters a segment: without an end, if that counted.
        self.repeated_in = metadata.newest_segment().0;
        let Ok(durable_through) = declared else { return false };
        let (identity, number) = (metadata.identity, self.number + 1);
        self.step = Step::Confirming {
            base: MetadataBase {
                store_id: identity.store_id,
                epoch: identity.epoch,
                attempt: identity.attempt,
                number,
                first_lsn,
                durable_through,
                sequence,
            },
        };
        true
    }

    /// One step. False: it waits.
    fn advance(&mut self, metadata: &mut Lane, check: &Check) -> Result<bool, StoreError> {
        let next = match &mut self.step {
            Step::Confirming { base } if metadata.confirmable() >= base.durable_through => {
                self.number = base.number;
                let task = write(self.shared.clone(), self.owner.clone(), *base);
                Some(Step::Writing { sequence: base.sequence, task: Task::new(task) })
            }
            Step::Writing { sequence, task } => match task.poll() {
                Some(written) => {
                    written?;
                    Some(Step::Checking { sequence: *sequence, submitted: check.submitted() })
                }
                None => None,
            },
            Step::Checking { sequence, submitted } if check.has_passed_after(*submitted) => {
                let paths = take_before(metadata, *sequence);
                let count = paths.len() as u64;
                Some(Step::Removing { count, task: Task::new(unlink(self.shared.clone(), paths)) })
            }
            Step::Removing { count, task } => match task.poll() {
                Some(removed) => {
                    removed?;
                    self.removed_segments += *count;
                    Some(Step::Idle)
                }
                None => None,
            },
            Step::Idle | Step::Confirming { .. } | Step::Checking { .. } => None,
        };
        let goes_on = next.is_some();
        if let Some(next) = next {
            self.step = next;
        }
        Ok(goes_on)
    }
}

/// Takes the segments before `sequence` out of the lane; nothing is ever read from them again.
fn take_before(metadata: &mut Lane, sequence: u32) -> Vec<PathBuf> {
    let old = metadata.segments.iter().filter(|(_, segment)| segment.sequence < sequence);
    let old: Vec<u32> = old.map(|(number, _)| number).collect();
    old.into_iter().filter_map(|number| metadata.remove(number)).map(|segment| segment.path).collect()
}

/// Writes both copies, one after the other, so that one of them always reads.
async fn write(shared: Rc<Shared>, owner: File, base: MetadataBase) -> Result<(), StoreError> {
    for offset in BASE_OFFSETS {
        let mut block = shared.buffer(BLOCK_SIZE);
        base.encode(&mut block);
        owner.write(offset, block.freeze()).await.map_err(while_doing("writing where the metadata begins"))?;
    }
    Ok(())
}
