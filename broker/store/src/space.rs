//! Space: unlinks segments once nothing in them is wanted (rule 16), and sweeps up after dead processes.
//!
//! Owns which dead segment goes when: only one that lies before the older of the two checkpoints that are kept, so that
//! no later epoch reads it. A late act is harmless, since every later epoch begins with one of these checkpoints or
//! with a newer one. That sparse segments die is `forward`'s business.

use crate::checkpoints::Checkpoints;
use crate::lane::Lane;
use crate::segments::{IndexPlace, Segment};
use crate::shared::{Shared, while_doing};
use crate::task::{Task, poll_slot};
use crate::{StoreError, sweep};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::rc::Rc;

#[derive(Debug)]
pub(crate) struct Space {
    shared: Rc<Shared>,
    epoch: u64,
    unlinking: Option<Task<Result<(), StoreError>>>,
    sweeping: Option<Task<Result<(), StoreError>>>,
    /// Segments that were let go since serving began.
    pub(crate) removed_segments: u64,
}

impl Space {
    pub(crate) fn new(shared: &Rc<Shared>, epoch: u64) -> Self {
        Self { shared: shared.clone(), epoch, unlinking: None, sweeping: None, removed_segments: 0 }
    }

    /// Removes, once, what no epoch needs any more. Only after our SEAL is durable and checked.
    pub(crate) fn sweep(&mut self, attempt: u128, lanes: &[Lane], checkpoints: &Checkpoints, leftovers: Vec<PathBuf>) {
        let mut live: BTreeSet<PathBuf> = checkpoints.paths().into_iter().collect();
        for lane in lanes {
            for (_, segment) in lane.segments.iter() {
                live.extend(index_path(lane, segment));
                live.insert(segment.path.clone());
            }
        }
        self.sweeping = Some(Task::new(sweep::sweep(self.shared.clone(), self.epoch, attempt, live, leftovers)));
    }

    /// Goes on. True: space was freed.
    pub(crate) fn run(&mut self, lanes: &mut [Lane], checkpoints: &Checkpoints) -> Result<bool, StoreError> {
        let mut freed = false;
        for done in [poll_slot(&mut self.sweeping), poll_slot(&mut self.unlinking)].into_iter().flatten() {
            done?;
            freed = true;
        }
        if self.unlinking.is_none() {
            let mut paths = Vec::new();
            for (index, lane) in (1..).zip(&mut lanes[1..]) {
                let covered = checkpoints.covered(index, lane);
                for segment in dead(lane, covered) {
                    self.removed_segments += 1;
                    paths.extend(index_path(lane, &segment));
                    paths.push(segment.path);
                }
            }
            if !paths.is_empty() {
                let mut task = Task::new(unlink(self.shared.clone(), paths));
                // Issues the first request now; the rest follows its completion.
                match task.poll() {
                    Some(result) => result?,
                    None => self.unlinking = Some(task),
                }
            }
        }
        Ok(freed)
    }
}

/// Takes the dead segments that begin before `covered` out of the lane.
fn dead(lane: &mut Lane, covered: u64) -> Vec<Segment> {
    let mut segments = Vec::new();
    while let Some(number) = lane.segments.dead_before(covered) {
        segments.extend(lane.remove(number));
    }
    segments
}

fn index_path(lane: &Lane, segment: &Segment) -> Option<PathBuf> {
    match segment.index {
        IndexPlace::File { by } => Some(lane.index_of(segment, by).0),
        IndexPlace::Memory(_) => None,
    }
}

/// One after the other: a file system may pay for freed blocks at its next commit.
pub(crate) async fn unlink(shared: Rc<Shared>, paths: Vec<PathBuf>) -> Result<(), StoreError> {
    for path in paths {
        shared.port.unlink(&path).await.map_err(while_doing("removing a dead segment"))?;
    }
    Ok(())
}
