//! Space: unlinks segments once nothing in them is wanted (rule 16), or makes them spares again (rule 17), and sweeps up
//! after dead processes.
//!
//! Owns which dead segment goes when: only one that lies before the older of the two checkpoints that are kept, so that
//! no later epoch reads it. A late act is harmless, since every later epoch begins with one of these checkpoints or
//! with a newer one. How many spares are kept is the lane's business, that sparse segments die is `forward`'s.

use crate::checkpoints::Checkpoints;
use crate::lane::Lane;
use crate::segments::{IndexPlace, Segment};
use crate::shared::{Shared, while_doing};
use crate::spares::{self, Spare};
use crate::task::{Task, poll_slot};
use crate::{StoreError, sweep};
use disk::Nanos;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::rc::Rc;

/// Segments that became spares, with their lanes.
type Reused = Vec<(usize, Spare)>;

#[derive(Debug)]
pub(crate) struct Space {
    shared: Rc<Shared>,
    epoch: u64,
    releasing: Option<Task<Result<Reused, StoreError>>>,
    sweeping: Option<Task<Result<(), StoreError>>>,
    /// Segments that were let go since serving began.
    pub(crate) removed_segments: u64,
}

impl Space {
    pub(crate) fn new(shared: &Rc<Shared>, epoch: u64) -> Self {
        Self { shared: shared.clone(), epoch, releasing: None, sweeping: None, removed_segments: 0 }
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

    /// Whether a dead segment is on its way out. Who ends waits for it: it may be a spare by then.
    pub(crate) fn is_releasing(&self) -> bool {
        self.releasing.is_some()
    }

    /// Goes on. True: space was freed.
    pub(crate) fn run(
        &mut self,
        now: Nanos,
        lanes: &mut [Lane],
        checkpoints: &Checkpoints,
    ) -> Result<bool, StoreError> {
        let mut freed = false;
        if let Some(done) = poll_slot(&mut self.sweeping) {
            done?;
            freed = true;
        }
        if let Some(done) = poll_slot(&mut self.releasing) {
            done?.into_iter().for_each(|(lane, spare)| lanes[lane].add_spare(spare));
            freed = true;
        }
        if self.releasing.is_none() {
            let (mut paths, mut reused) = (Vec::new(), Vec::new());
            for (index, lane) in (1..).zip(&mut lanes[1..]) {
                let covered = checkpoints.covered(index, lane);
                let mut of_lane = Vec::new();
                for segment in dead(lane, covered) {
                    self.removed_segments += 1;
                    paths.extend(index_path(lane, &segment));
                    let goes_to = if lane.may_reuse(&segment, of_lane.len()) { &mut of_lane } else { &mut paths };
                    goes_to.push(segment.path);
                }
                if !of_lane.is_empty() {
                    reused.push((index, of_lane));
                }
                paths.extend(lane.take_idle_spare(now).map(|spare| spare.file.path().to_owned()));
            }
            if !paths.is_empty() || !reused.is_empty() {
                let mut task = Task::new(release(self.shared.clone(), paths, reused));
                // Issues the first request now; the rest follows its completion.
                assert!(task.poll().is_none(), "a disk does not answer at once");
                self.releasing = Some(task);
            }
        }
        Ok(freed)
    }
}

/// Removes files, and makes the segments in `reused` (of each lane) spares.
async fn release(
    shared: Rc<Shared>,
    paths: Vec<PathBuf>,
    reused: Vec<(usize, Vec<PathBuf>)>,
) -> Result<Reused, StoreError> {
    unlink(shared.clone(), paths).await?;
    let mut spares = Vec::new();
    for (index, segments) in reused {
        let of_lane = spares::reuse(&shared, index, segments).await;
        let of_lane = of_lane.map_err(while_doing("making a dead segment a spare"))?;
        spares.extend(of_lane.into_iter().map(|spare| (index, spare)));
    }
    Ok(spares)
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
