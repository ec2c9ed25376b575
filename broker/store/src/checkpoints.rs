//! Checkpoints of the lanes, written beside the data path: recovery reads the newest one and the journal behind it.
//!
//! A checkpoint stands at the start of a segment. Everything before it is described by bitmaps of live messages and by
//! one index file per segment, which is written once; so a checkpoint of millions of messages takes a bit for each.
//! Owns when one is written and the order of steps: indices, bitmaps, all of it confirmable, file, record, the record
//! confirmable (rule 16). Dead segments are `space`'s business; the bytes are `format`'s.
//!
//! The bitmaps are taken in pieces while records go on being admitted. That is right because recovery repeats all
//! records from the position on: one that was already counted changes nothing.

use crate::StoreError;
use crate::format::{self, Checkpoint, CheckpointRecord, Position, SegmentIdentity, TableKind};
use crate::lane::Lane;
use crate::recover::CHECKPOINTS_KEPT;
use crate::segments::IndexPlace;
use crate::shared::{Shared, while_doing};
use crate::tables::{self, NewTable, Reserve, is_full};
use crate::task::{Task, poll_slot};
use bytes::BytesMut;
use disk::{DiskError, Nanos};
use std::collections::VecDeque;
use std::path::PathBuf;
use std::rc::Rc;

/// Bytes that the record of a checkpoint takes at most: a name and some numbers.
pub(crate) const CHECKPOINT_RECORD_BYTES_MAX: usize = 256;

/// Bytes of bitmaps that are taken at a time, so that the loop does not pause for longer than some 50 us.
const PIECE_BYTES: usize = 256 << 10;

/// So many dead segments are worth another checkpoint.
const DEAD_COUNT_MIN: usize = 2;

/// After a disk that was full the next attempt waits so long.
const RETRY_AFTER: Nanos = 1_000_000_000;

/// Tables that can be written to a full disk: an index, and the checkpoint that leans on it. Any further index has to
/// wait; until then recovery reads the segment itself.
const RESERVES: usize = 2;

/// A reserve takes this share of a segment, but not less than [`RESERVE_BYTES_MIN`]: a bit for each of 30 million
/// messages where segments have 64 MiB.
const RESERVE_SHARE: u64 = 16;
const RESERVE_BYTES_MIN: u64 = 64 << 10;

/// A table that is being written, and the reserve that was not needed.
type Write = Task<(Result<(), DiskError>, Option<Reserve>)>;

/// How far the next checkpoint of a lane is.
#[derive(Debug)]
enum Step {
    /// Waits for the lane to enter another segment.
    Idle,
    /// Waits until the disk may have space again.
    Waiting {
        until: Nanos,
    },
    /// Writes the index of a segment.
    Indexing {
        segment: u32,
        task: Write,
    },
    /// Takes the bitmaps, up to this segment.
    Taking {
        next: u32,
        body: BytesMut,
    },
    /// What was taken must be confirmable.
    Confirming {
        through: u64,
        body: BytesMut,
    },
    Writing {
        task: Write,
    },
    /// The record of the metadata with this number must be confirmable.
    Recording {
        lsn: u64,
    },
    /// The checkpoint that is not needed any more goes.
    Removing {
        task: Task<Result<(), DiskError>>,
    },
}

#[derive(Debug)]
struct OfLane {
    /// Newest first.
    installed: VecDeque<CheckpointRecord>,
    /// Where the one in the making stands. Kept until that is installed: while its indices are written, the lane may
    /// enter segments faster than that.
    position: Option<Position>,
    sequence: u32,
    step: Step,
    /// The disk is full: indices that are not written yet are left out.
    lacks_indices: bool,
    reserves: Vec<Reserve>,
    /// One more is with the table that is being written.
    is_lent: bool,
    making: Option<Task<Result<Reserve, DiskError>>>,
    make_at: Nanos,
}

/// The checkpoints of all data lanes; the metadata needs none.
#[derive(Debug)]
pub(crate) struct Checkpoints {
    shared: Rc<Shared>,
    lanes: Vec<OfLane>,
}

impl Checkpoints {
    /// `found`: those that recovery found of each lane, newest first.
    pub(crate) fn new(shared: &Rc<Shared>, found: Vec<Vec<CheckpointRecord>>) -> Self {
        let lanes = found.into_iter().map(|installed| OfLane {
            installed: installed.into(),
            position: None,
            sequence: 0,
            step: Step::Idle,
            lacks_indices: false,
            reserves: Vec::new(),
            is_lent: false,
            making: None,
            make_at: 0,
        });
        Self { shared: shared.clone(), lanes: lanes.collect() }
    }

    /// The files of the installed checkpoints.
    pub(crate) fn paths(&self) -> Vec<PathBuf> {
        self.lanes.iter().flat_map(|lane| lane.installed.iter()).map(|record| path(&self.shared, record)).collect()
    }

    /// The checkpoints of which the metadata tells last, and that are kept: of each lane, oldest first.
    pub(crate) fn told(&self, lanes: &[Lane]) -> Vec<CheckpointRecord> {
        let of_each = self.lanes.iter().zip(&lanes[1..]).flat_map(|(state, lane)| {
            let is_recording = matches!(state.step, Step::Recording { .. });
            let next = is_recording.then(|| state.next_record(lane));
            let mut newest: Vec<_> = next.into_iter().chain(state.installed.iter().cloned()).collect();
            newest.truncate(CHECKPOINTS_KEPT);
            newest.into_iter().rev()
        });
        of_each.collect()
    }

    /// Before this sequence number no segment of lane `index` is read again to know what is live: a dead one may go.
    /// On a full disk the newest checkpoint has to do, since space matters more than a second way back.
    pub(crate) fn covered(&self, index: usize, lane: &Lane) -> u64 {
        let installed = &self.lanes[index - 1].installed;
        let kept = if lane.is_disk_full { installed.front() } else { installed.get(CHECKPOINTS_KEPT - 1) };
        kept.map_or(0, |record| record.position.lsn)
    }

    /// When to call `run` although nothing completed.
    pub(crate) fn next_timeout(&self, now: Nanos) -> Option<Nanos> {
        let times = self.lanes.iter().filter_map(|lane| match lane.step {
            Step::Taking { .. } => Some(now),
            Step::Waiting { until } => Some(until),
            _ => None,
        });
        let makes = self.lanes.iter().filter(|lane| lane.wants_reserve() && lane.making.is_none());
        times.chain(makes.map(|lane| lane.make_at)).min()
    }

    /// Whether reserves have to be made before anything else takes what space there is.
    pub(crate) fn wants_reserve(&self) -> bool {
        self.lanes.iter().any(OfLane::wants_reserve)
    }

    /// Space was freed: no need to wait.
    pub(crate) fn retry_now(&mut self) {
        for lane in &mut self.lanes {
            lane.make_at = 0;
            if let Step::Waiting { until } = &mut lane.step {
                *until = 0;
            }
        }
    }

    /// Names of reserves that nobody will use.
    pub(crate) fn take_reserve_paths(&mut self) -> Vec<PathBuf> {
        let reserves = self.lanes.iter_mut().flat_map(|lane| std::mem::take(&mut lane.reserves));
        reserves.map(|reserve| reserve.path().to_owned()).collect()
    }

    /// Goes on with whatever can. `lanes`: all, the metadata first.
    pub(crate) fn run(&mut self, now: Nanos, lanes: &mut [Lane]) -> Result<(), StoreError> {
        let Some((metadata, lanes)) = lanes.split_first_mut() else { return Ok(()) };
        for (state, lane) in self.lanes.iter_mut().zip(lanes) {
            state.make_reserves(now, &self.shared, lane)?;
            // A step at a time, until one has to wait.
            while state.run(now, &self.shared, metadata, lane)? {}
        }
        Ok(())
    }
}

fn path(shared: &Shared, record: &CheckpointRecord) -> PathBuf {
    shared.names.checkpoint(&record.lane, record.epoch, record.attempt, record.sequence)
}

/// A full disk is waited for; anything else ends the owner.
fn or_wait(result: Result<(), DiskError>) -> Result<bool, StoreError> {
    match result {
        Ok(()) => Ok(true),
        Err(error) if is_full(&error) => Ok(false),
        Err(error) => Err(while_doing("writing a checkpoint")(error)),
    }
}

impl OfLane {
    fn wants_reserve(&self) -> bool {
        self.reserves.len() + usize::from(self.is_lent) < RESERVES
    }

    fn lend(&mut self) -> Option<Reserve> {
        let reserve = self.reserves.pop();
        self.is_lent = reserve.is_some();
        reserve
    }

    fn make_reserves(&mut self, now: Nanos, shared: &Rc<Shared>, lane: &mut Lane) -> Result<(), StoreError> {
        if self.making.is_none() && self.wants_reserve() && now >= self.make_at {
            let bytes = (shared.config.segment_bytes / RESERVE_SHARE).max(RESERVE_BYTES_MIN);
            self.making = Some(Task::new(tables::make_reserve(shared.clone(), lane.name().to_owned(), bytes)));
        }
        match poll_slot(&mut self.making) {
            Some(Ok(reserve)) => {
                self.reserves.push(reserve);
                lane.is_disk_full &= lane.wants_spare();
                // The next one, should there be one to make.
                self.make_at = now;
            }
            Some(Err(error)) if is_full(&error) => {
                self.make_at = now + RETRY_AFTER;
                lane.is_disk_full = true;
            }
            Some(Err(error)) => return Err(while_doing("making a reserve for a full disk")(error)),
            None => {}
        }
        Ok(())
    }

    /// One step. False: it waits.
    fn run(
        &mut self,
        now: Nanos,
        shared: &Rc<Shared>,
        metadata: &mut Lane,
        lane: &mut Lane,
    ) -> Result<bool, StoreError> {
        match std::mem::replace(&mut self.step, Step::Idle) {
            Step::Idle => return Ok(self.begin(shared, lane)),
            Step::Waiting { until } if now < until => self.step = Step::Waiting { until },
            Step::Waiting { .. } => return Ok(true),
            Step::Indexing { segment, mut task } => match task.poll() {
                Some((written, reserve)) => {
                    self.reserves.extend(reserve);
                    self.is_lent = false;
                    if or_wait(written)? {
                        let by = lane.identity.epoch;
                        if let Some(segment) = lane.segments.get_mut(segment) {
                            segment.index = IndexPlace::File { by };
                        }
                    } else {
                        self.lacks_indices = true;
                    }
                    return Ok(true);
                }
                None => self.step = Step::Indexing { segment, task },
            },
            Step::Taking { next, body } => {
                self.take(lane, next, body);
                return Ok(!matches!(self.step, Step::Taking { .. }));
            }
            Step::Confirming { through, body } if lane.confirmable() < through => {
                self.step = Step::Confirming { through, body };
            }
            Step::Confirming { body, .. } => {
                self.write(shared, lane, body);
                return Ok(true);
            }
            Step::Writing { mut task } => match task.poll() {
                Some((written, reserve)) => {
                    self.reserves.extend(reserve);
                    self.is_lent = false;
                    if or_wait(written)? {
                        self.record(now, metadata, lane);
                    } else {
                        self.step = Step::Waiting { until: now + RETRY_AFTER };
                    }
                }
                None => self.step = Step::Writing { task },
            },
            Step::Recording { lsn } if metadata.confirmable() < lsn => self.step = Step::Recording { lsn },
            Step::Recording { .. } => return Ok(self.installed(shared, lane)),
            Step::Removing { mut task } => match task.poll() {
                Some(removed) => {
                    removed.map_err(while_doing("removing a checkpoint"))?;
                    return Ok(true);
                }
                None => self.step = Step::Removing { task },
            },
        }
        Ok(false)
    }

    /// Where the next checkpoint would stand, if one is due.
    fn next_position(&self, lane: &Lane) -> Option<Position> {
        let position = lane.position()?;
        let is_known = self.installed.front().is_some_and(|newest| newest.position == position);
        let oldest = self.installed.get(CHECKPOINTS_KEPT - 1);
        let is_oldest_known = oldest.is_some_and(|oldest| oldest.position == position);
        // Another one at the same place lets go of what lies before it, if that is worth it.
        let is_due = !is_known || !is_oldest_known && lane.segments.dead_count(position.lsn) >= DEAD_COUNT_MIN;
        is_due.then_some(position)
    }

    /// Begins if the lane is in another segment than at the last checkpoint: with an index that is missing, or with
    /// the bitmaps.
    fn begin(&mut self, shared: &Rc<Shared>, lane: &Lane) -> bool {
        let Some(position) = self.position.or_else(|| self.next_position(lane)) else { return false };
        self.position = Some(position);
        let before = lane.segments.iter().take_while(|(_, segment)| segment.first_lsn < position.lsn);
        for (number, segment) in before.filter(|(_, segment)| segment.live_count() > 0 && !self.lacks_indices) {
            let IndexPlace::Memory(index) = &segment.index else { continue };
            let (path, identity) = lane.index_of(segment, lane.identity.epoch);
            let body = BytesMut::from(index.body());
            let table = NewTable { kind: TableKind::Index, identity, lane: lane.name().to_owned(), path, body };
            // The last reserve is the checkpoint's.
            let reserve = if self.reserves.len() > 1 { self.lend() } else { None };
            let task = Task::new(tables::write(shared.clone(), table, reserve));
            self.step = Step::Indexing { segment: number, task };
            return true;
        }
        let destinations = lane.destinations().map(|(id, name)| (id, name.to_owned())).collect();
        let head = Checkpoint { position, destinations, segments: Vec::new() };
        let mut body = BytesMut::new();
        head.encode_head(&mut body);
        self.step = Step::Taking { next: 0, body };
        true
    }

    fn position(&self) -> Position {
        self.position.expect("a checkpoint in the making has its place")
    }

    /// Takes some of the bitmaps.
    fn take(&mut self, lane: &Lane, next: u32, mut body: BytesMut) {
        let position = self.position();
        let limit = body.len() + PIECE_BYTES;
        let before = lane.segments.iter().skip_while(|(number, _)| *number < next);
        let mut before = before.take_while(|(_, segment)| segment.first_lsn < position.lsn);
        while body.len() < limit {
            let Some((number, segment)) = before.next() else {
                self.step = Step::Confirming { through: lane.next_lsn() - 1, body };
                return;
            };
            // The journal behind the checkpoint before this one may be read again, so its segments are named even if
            // nothing in them is live.
            let is_kept = self.installed.front().is_none_or(|previous| segment.first_lsn >= previous.position.lsn);
            if segment.live_count() > 0 || is_kept {
                let Some(found) = lane.segments.checkpoint(number, position.lsn, self.lacks_indices) else {
                    // Its index proved damaged meanwhile and was rebuilt: begins again, by writing that.
                    self.step = Step::Idle;
                    return;
                };
                found.encode(&mut body);
            }
            self.step = Step::Taking { next: number + 1, body: BytesMut::new() };
        }
        if let Step::Taking { body: slot, .. } = &mut self.step {
            *slot = body;
        }
    }

    fn write(&mut self, shared: &Rc<Shared>, lane: &Lane, body: BytesMut) {
        self.sequence += 1;
        let record = self.next_record(lane);
        let identity = SegmentIdentity {
            store_id: lane.identity.store_id,
            epoch: record.epoch,
            attempt: record.attempt,
            lane: record.number,
            sequence: record.sequence,
        };
        let path = path(shared, &record);
        let table = NewTable { kind: TableKind::Checkpoint, identity, lane: record.lane, path, body };
        let reserve = self.lend();
        let task = Task::new(tables::write(shared.clone(), table, reserve));
        self.step = Step::Writing { task };
    }

    fn next_record(&self, lane: &Lane) -> CheckpointRecord {
        CheckpointRecord {
            lane: lane.name().to_owned(),
            epoch: lane.identity.epoch,
            attempt: lane.identity.attempt,
            number: lane.identity.number,
            sequence: self.sequence,
            position: self.position(),
        }
    }

    /// The file is there under its name: tells of it.
    fn record(&mut self, now: Nanos, metadata: &mut Lane, lane: &Lane) {
        let record = self.next_record(lane);
        match metadata.append_record(CHECKPOINT_RECORD_BYTES_MAX, |out| format::put_checkpoint(out, &record)) {
            Ok(lsn) => self.step = Step::Recording { lsn },
            // The metadata has no room yet. The file that nobody will hear of is swept up by the next epoch.
            Err(_) => self.step = Step::Waiting { until: now + RETRY_AFTER },
        }
    }

    fn installed(&mut self, shared: &Rc<Shared>, lane: &Lane) -> bool {
        self.installed.push_front(self.next_record(lane));
        self.position = None;
        self.lacks_indices = false;
        let oldest = (self.installed.len() > CHECKPOINTS_KEPT).then(|| self.installed.pop_back()).flatten();
        if let Some(record) = oldest {
            let shared = shared.clone();
            let path = path(&shared, &record);
            self.step = Step::Removing { task: Task::new(async move { shared.port.unlink(&path).await }) };
        }
        true
    }
}
