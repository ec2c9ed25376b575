//! Space: unlinks the oldest segments once nothing in them is wanted (rule 16), and sweeps up after dead processes.
//!
//! Owns the intents and the order intent, durable, checked, act. A late act is harmless: the intent lies inside every
//! later SEAL. Copying sparse segments forward, and checkpoints, are for later; their record kinds are reserved.

use crate::format::{self, Unlink};
use crate::lane::Lane;
use crate::shared::{Shared, while_doing};
use crate::task::{Task, poll_slot};
use crate::{StoreError, sweep};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::rc::Rc;

/// Bytes that an intent takes at most: a name and three numbers.
const INTENT_BYTES_MAX: usize = 256;

#[derive(Debug)]
struct Intent {
    /// Number of the record in the metadata lane.
    lsn: u64,
    lane: usize,
    /// The oldest segment that stays.
    stays: u32,
}

#[derive(Debug)]
pub(crate) struct Space {
    shared: Rc<Shared>,
    epoch: u64,
    intents: Vec<Intent>,
    unlinking: Option<Task<Result<(), StoreError>>>,
    sweeping: Option<Task<Result<(), StoreError>>>,
}

impl Space {
    pub(crate) fn new(shared: &Rc<Shared>, epoch: u64) -> Self {
        Self { shared: shared.clone(), epoch, intents: Vec::new(), unlinking: None, sweeping: None }
    }

    /// Removes, once, what no epoch needs any more. Only after our SEAL is durable and checked.
    pub(crate) fn sweep(&mut self, attempt: u128, lanes: &[Lane], leftovers: Vec<PathBuf>) {
        let live: BTreeSet<PathBuf> =
            lanes.iter().flat_map(|lane| lane.segments.iter().map(|segment| segment.path.clone())).collect();
        self.sweeping = Some(Task::new(sweep::sweep(self.shared.clone(), self.epoch, attempt, live, leftovers)));
    }

    /// Declares what is dead by confirmable records. One intent per lane at a time.
    pub(crate) fn declare(&mut self, lanes: &mut [Lane]) {
        for index in 1..lanes.len() {
            if self.intents.iter().any(|intent| intent.lane == index) {
                continue;
            }
            let Some(stays) = lanes[index].dead_before() else { continue };
            let unlink = self.intent(&lanes[index], stays);
            // A full metadata lane waits; nothing depends on the space being freed now.
            if let Ok(lsn) = lanes[0].append_record(INTENT_BYTES_MAX, |out| format::put_intent(out, &unlink)) {
                self.intents.push(Intent { lsn, lane: index, stays });
            }
        }
    }

    fn intent(&self, lane: &Lane, stays: u32) -> Unlink {
        let (epoch, sequence, first_lsn) = match lane.segments.get(stays) {
            Some(segment) => (segment.epoch, segment.sequence, segment.first_lsn),
            // Everything is dead and this epoch has not written here yet: its first segment will come next.
            None => (self.epoch, 1, lane.next_lsn()),
        };
        Unlink { lane: lane.name().to_owned(), epoch, sequence, first_lsn }
    }

    /// Goes on: acts on intents that are confirmable, and with the sweep. True: space was freed.
    pub(crate) fn run(&mut self, lanes: &mut [Lane]) -> Result<bool, StoreError> {
        if let Some(swept) = poll_slot(&mut self.sweeping) {
            swept?;
        }
        let freed = match poll_slot(&mut self.unlinking) {
            Some(unlinked) => unlinked.map(|()| true)?,
            None => false,
        };
        if self.unlinking.is_none()
            && let Some(index) = self.intents.iter().position(|intent| intent.lsn <= lanes[0].confirmable())
        {
            let intent = self.intents.remove(index);
            let paths = lanes[intent.lane].remove_before(intent.stays);
            let shared = self.shared.clone();
            let mut task = Task::new(unlink(shared, paths));
            // Issues the first request now; the rest follows its completion.
            match task.poll() {
                Some(result) => result?,
                None => self.unlinking = Some(task),
            }
        }
        Ok(freed)
    }
}

/// One after the other: a file system may pay for freed blocks at its next commit.
async fn unlink(shared: Rc<Shared>, paths: Vec<PathBuf>) -> Result<(), StoreError> {
    for path in paths {
        shared.port.unlink(&path).await.map_err(while_doing("removing a dead segment"))?;
    }
    Ok(())
}
