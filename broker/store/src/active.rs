//! The owner of the newest epoch: writes, checks, confirms.
//!
//! Owns the lanes and what keeps them going: the check, the segments to come, space, bodies read back. The path to
//! serving is: copies durable, SEAL durable, check passed (rule 9). Each child has its own file; this one routes.

use crate::StoreError;
use crate::api::{Appended, Backlog, Body, Event, Location, MessageKey, Mode, Recovered, Refused, SpaceUse};
use crate::bodies::Bodies;
use crate::check::{Check, Verdict};
use crate::checkpoints::Checkpoints;
use crate::claim::Taken;
use crate::format::{self, RECORD_HEADER_BYTES};
use crate::forward::{Copied, Forward};
use crate::lane::Lane;
use crate::maker::{Made, Maker};
use crate::port::{File, Purpose};
use crate::rebase::Rebase;
use crate::shared::{Shared, while_doing};
use crate::space::Space;
use crate::spares;
use crate::statistics::LaneStatistics;
use crate::takeover::Takeover;
use crate::task::Task;
use disk::{DiskError, Nanos, Outcome};
use std::cell::Cell;
use std::path::PathBuf;
use std::rc::Rc;

/// Writes in flight while filling a spare beside the data path.
const FILL_DEPTH: usize = 1;

/// An async store stops admitting after so many flush intervals without a passed check (rule 14).
const UNCHECKED_INTERVALS_MAX: u64 = 4;

/// After the last admission to an async store the slot is looked at more often for so long, so that the next
/// admission need not wait for a check.
const RECENTLY: Nanos = 1_000_000_000;

/// Why the owner has to go.
#[derive(Debug)]
pub(crate) enum Lost {
    /// Another process has taken over.
    Fenced,
    /// The disk failed.
    Poisoned(StoreError),
}

impl From<StoreError> for Lost {
    fn from(error: StoreError) -> Self {
        Self::Poisoned(error)
    }
}

/// A spare that is becoming a segment: its sequence and its file.
type Adoption = Task<Result<(u32, File), StoreError>>;

/// What a lane's caller was told last.
#[derive(Clone, Debug)]
struct Told {
    room: bool,
    /// The caller waits because the lane is behind.
    waits: Cell<bool>,
    confirmable: u64,
}

/// How far the owner is.
///
/// ```text
/// Copying --> Sealing --> Serving
///                            |
///                            v  (clean stop)
///                        Draining --> Ending --> Ended
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// What was inherited above durable-through is being written to our own segments.
    Copying,
    /// The SEAL (this record of the metadata) is being written, then checked.
    Sealing { lsn: u64 },
    /// Requests are taken.
    Serving,
    /// Clean stop: waits until all is durable and checked.
    Draining,
    /// The END records are being written.
    Ending,
    /// Nothing is left to do.
    Ended,
}

impl Stage {
    /// Whether the drawing above has this edge.
    pub(crate) fn can_become(self, next: Self) -> bool {
        matches!(
            (self, next),
            (Self::Copying, Self::Sealing { .. })
                | (Self::Sealing { .. }, Self::Serving)
                | (Self::Serving, Self::Draining)
                | (Self::Draining, Self::Ending)
                | (Self::Ending, Self::Ended)
        )
    }
}

#[derive(Debug)]
pub(crate) struct Active {
    shared: Rc<Shared>,
    stage: Stage,
    takeover: Takeover,
    attempt: u128,
    epoch: u64,
    /// Kept open: it carries our lock.
    _owner: File,
    check: Check,
    maker: Maker,
    adoptions: Vec<(usize, Adoption)>,
    checkpoints: Checkpoints,
    forward: Forward,
    space: Space,
    rebase: Rebase,
    bodies: Bodies,
    leftovers: Vec<PathBuf>,
    told: Vec<Told>,
    last_async_admission: Option<Nanos>,
    events: Vec<Event>,
}

impl Active {
    pub(crate) fn new(shared: &Rc<Shared>, taken: Taken, takeover: Takeover) -> Self {
        let lanes = takeover.lanes.len();
        let checkpoints = takeover.checkpoints();
        Self {
            shared: shared.clone(),
            stage: Stage::Copying,
            takeover,
            attempt: taken.record.attempt,
            epoch: taken.record.epoch,
            rebase: Rebase::new(shared, taken.owner.clone()),
            _owner: taken.owner,
            maker: Maker::default(),
            adoptions: Vec::new(),
            checkpoints: Checkpoints::new(shared, checkpoints),
            forward: Forward::new(shared, taken.slot.clone(), lanes - 1),
            check: Check::new(taken.slot, lanes),
            space: Space::new(shared, taken.record.epoch),
            bodies: Bodies::default(),
            leftovers: taken.leftovers,
            told: vec![Told { room: true, waits: Cell::new(false), confirmable: 0 }; lanes],
            last_async_admission: None,
            events: Vec::new(),
        }
    }

    pub(crate) fn stage(&self) -> Stage {
        self.stage
    }

    pub(crate) fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    fn become_stage(&mut self, next: Stage) {
        assert!(self.stage.can_become(next), "{:?} does not become {next:?}", self.stage);
        self.stage = next;
    }

    fn lanes(&self) -> &[Lane] {
        &self.takeover.lanes
    }

    fn lane(&self, store: u8) -> &Lane {
        &self.takeover.lanes[usize::from(store) + 1]
    }

    fn lane_mut(&mut self, store: u8) -> Result<&mut Lane, Refused> {
        match self.stage {
            Stage::Serving => Ok(&mut self.takeover.lanes[usize::from(store) + 1]),
            _ => Err(Refused::NotServing),
        }
    }

    // --- requests ----------------------------------------------------------------------------------------------

    pub(crate) fn define(&mut self, store: u8, id: u32, name: &str) -> Result<(), Refused> {
        self.lane_mut(store)?.define(id, name)
    }

    pub(crate) fn rename(&mut self, store: u8, id: u32, name: &str) -> Result<(), Refused> {
        self.lane_mut(store)?.rename(id, name)
    }

    pub(crate) fn publish(
        &mut self,
        now: Nanos,
        store: u8,
        destinations: &[u32],
        key: MessageKey,
        payload: &[&[u8]],
    ) -> Result<Appended, Refused> {
        let is_async = self.lane_mut(store)?.mode() == Mode::Async;
        if is_async {
            self.last_async_admission = Some(now);
            if self.is_unchecked(now) {
                self.start_check(now, true);
                self.told[usize::from(store) + 1].room = false;
                return Err(Refused::Throttled);
            }
        }
        let result = self.lane_mut(store)?.publish(destinations, key, payload);
        if let Err(refused @ (Refused::Throttled | Refused::Full)) = result {
            let told = &mut self.told[usize::from(store) + 1];
            told.room = false;
            told.waits.set(refused == Refused::Throttled);
        }
        result
    }

    pub(crate) fn acknowledge(
        &mut self,
        store: u8,
        publish_lsn: u64,
        location: Location,
        unawaited: Option<Nanos>,
    ) -> Result<u64, Refused> {
        self.lane_mut(store)?.acknowledge(publish_lsn, location, unawaited)
    }

    pub(crate) fn has_room(&self, store: u8) -> bool {
        self.stage == Stage::Serving && self.lane(store).has_room()
    }

    pub(crate) fn is_throttled(&self, store: u8) -> bool {
        let is_throttled = self.stage != Stage::Serving || self.lane(store).is_throttled();
        if is_throttled {
            self.told[usize::from(store) + 1].waits.set(true);
        }
        is_throttled
    }

    pub(crate) fn body(&mut self, store: u8, location: Location) -> Body {
        let index = usize::from(store) + 1;
        let lane = &mut self.takeover.lanes[index];
        let place = lane.place(location);
        self.bodies.get(&self.shared.port, index, lane, place)
    }

    /// The next part of what was recovered.
    pub(crate) fn backlog(&mut self, store: u8, limit: usize) -> Result<Backlog, Lost> {
        let Takeover { lanes, backlogs, .. } = &mut self.takeover;
        match backlogs.get_mut(usize::from(store)) {
            Some(backlog) => Ok(backlog.next(&mut lanes[usize::from(store) + 1], limit)?),
            None => Ok(Backlog::Complete),
        }
    }

    pub(crate) fn space(&self) -> SpaceUse {
        let Copied { messages, bytes } = self.forward.copied;
        let removed_segments = self.space.removed_segments;
        let unknown = SpaceUse {
            copied_messages: messages,
            copied_bytes: bytes,
            removed_segments,
            metadata_segments: self.lanes()[0].segments.len() as u64,
            removed_metadata_segments: self.rebase.removed_segments,
            ..SpaceUse::default()
        };
        self.lanes()[1..].iter().fold(unknown, |of, lane| {
            let segments = lane.segments.len() as u64;
            SpaceUse {
                segments: of.segments + segments,
                segment_bytes: of.segment_bytes + segments * lane.segment_bytes(),
                live_bytes: of.live_bytes + lane.segments.live_bytes(),
                ..of
            }
        })
    }

    /// By lane, the metadata's first.
    pub(crate) fn statistics(&self) -> impl Iterator<Item = &LaneStatistics> {
        self.lanes().iter().map(|lane| &lane.statistics)
    }

    pub(crate) fn confirmable(&self, store: u8) -> u64 {
        self.lane(store).confirmable()
    }

    pub(crate) fn owned_at(&self) -> Option<Nanos> {
        self.check.owned_at()
    }

    pub(crate) fn stop(&mut self) {
        if self.stage == Stage::Serving {
            self.become_stage(Stage::Draining);
        }
    }

    // --- writing and checking ----------------------------------------------------------------------------------

    /// Issues what accumulated.
    pub(crate) fn flush(&mut self, now: Nanos) {
        let at_once = self.stage != Stage::Serving;
        self.takeover.lanes.iter_mut().for_each(|lane| lane.flush(now, at_once));
    }

    /// A request of ours completed.
    pub(crate) fn completed(
        &mut self,
        now: Nanos,
        purpose: Purpose,
        request: u64,
        result: Result<Outcome, DiskError>,
    ) -> Result<(), Lost> {
        match purpose {
            Purpose::Batch { lane } => {
                result.map_err(while_doing("writing the journal"))?;
                self.takeover.lanes[lane].written(now, request);
            }
            Purpose::Window { lane } => {
                let lane = &mut self.takeover.lanes[lane];
                let answers = self.bodies.arrived(&self.shared.port, request, lane, result);
                // Who asked knows the place that was told then.
                self.events.extend(answers.into_iter().map(|answer| match answer {
                    Event::Body { store, location, result } => {
                        Event::Body { store, location: lane.moved.told(location), result }
                    }
                    other => other,
                }));
            }
            Purpose::Check => self.checked(now, result)?,
            Purpose::Heartbeat => unreachable!("the store keeps the heartbeat itself"),
        }
        Ok(())
    }

    fn checked(&mut self, now: Nanos, result: Result<Outcome, DiskError>) -> Result<(), Lost> {
        let retry_after = self.shared.config.heartbeat_interval / 8;
        match self.check.answered(now, result, retry_after) {
            Verdict::Claimed => return Err(Lost::Fenced),
            Verdict::Unknown => {}
            Verdict::Unclaimed(noted) => {
                for (lane, through) in self.takeover.lanes.iter_mut().zip(noted) {
                    lane.checked(through);
                }
            }
        }
        Ok(())
    }

    fn durable(&self) -> Vec<u64> {
        self.lanes().iter().map(Lane::durable).collect()
    }

    fn start_check(&mut self, now: Nanos, at_once: bool) {
        let idle_at = if at_once { now } else { self.idle_check_at(now) };
        let durable = self.durable();
        if let Some(op) = self.check.start(now, &durable, idle_at) {
            self.shared.port.submit(Purpose::Check, op);
        }
    }

    /// When the slot is looked at next although nothing became durable.
    fn idle_check_at(&self, now: Nanos) -> Nanos {
        let config = &self.shared.config;
        let is_recent = self.last_async_admission.is_some_and(|at| now < at + RECENTLY);
        let interval = if is_recent {
            config.async_flush_interval * UNCHECKED_INTERVALS_MAX / 2
        } else {
            config.heartbeat_interval
        };
        self.check.last_passed().map_or(now, |at| at + interval)
    }

    fn is_unchecked(&self, now: Nanos) -> bool {
        let limit = self.shared.config.async_flush_interval * UNCHECKED_INTERVALS_MAX;
        self.check.last_passed().is_none_or(|at| now >= at + limit)
    }

    // --- going on ----------------------------------------------------------------------------------------------

    /// Does whatever has become possible.
    pub(crate) fn run(&mut self, now: Nanos) -> Result<(), Lost> {
        let (limit, grace) = (self.shared.config.unreadable_slot_limit, self.shared.config.heartbeat_interval);
        if self.check.is_overdue(now, limit, grace) {
            return Err(Lost::Poisoned(StoreError::SlotUnreadable {
                path: self.check.slot_path(),
                last: self.check.last_error(),
            }));
        }
        self.run_segments(now)?;
        self.run_stage()?;
        self.run_backlogs()?;
        if self.stage == Stage::Serving {
            let was_waiting = self.checkpoints.wants_reserve();
            self.checkpoints.run(now, &mut self.takeover.lanes)?;
            if was_waiting && !self.checkpoints.wants_reserve() {
                self.run_segments(now)?;
            }
        }
        if self.stage == Stage::Serving {
            let Takeover { lanes, backlogs, .. } = &mut self.takeover;
            self.forward.run(now, &mut lanes[1..], backlogs, &self.bodies);
            self.events.extend(self.forward.take_notes().into_iter().map(Event::Note));
        }
        let may_unlink = matches!(self.stage, Stage::Serving | Stage::Draining);
        if may_unlink && self.run_removals(now)? {
            self.maker.retry_now();
            self.checkpoints.retry_now();
        }
        if self.stage != Stage::Serving {
            self.flush(now);
        }
        self.start_check(now, false);
        self.tell(now);
        Ok(())
    }

    /// Segments that nobody needs any more. True: space was freed.
    fn run_removals(&mut self, now: Nanos) -> Result<bool, StoreError> {
        let Takeover { lanes, seal, .. } = &mut self.takeover;
        let seal = seal.as_ref().filter(|_| self.stage == Stage::Serving);
        let freed = self.space.run(now, lanes, &self.checkpoints)?;
        Ok(self.rebase.run(lanes, seal, &self.checkpoints, &self.check)? || freed)
    }

    /// Reads of indices for what is still to be handed over.
    fn run_backlogs(&mut self) -> Result<(), Lost> {
        for (store, backlog) in (0..).zip(&mut self.takeover.backlogs) {
            if backlog.run(&self.shared, self.check.slot())? {
                self.events.push(Event::Backlog { store });
            }
            self.events.extend(backlog.take_notes().into_iter().map(Event::Note));
        }
        Ok(())
    }

    /// Spares and the segments that they become.
    fn run_segments(&mut self, now: Nanos) -> Result<(), Lost> {
        if self.maker.grows_at().is_some_and(|at| now >= at) {
            let written = self.lanes().iter().map(|lane| lane.statistics.batches.sum()).sum();
            let is_urgent = self.stage != Stage::Serving || self.lanes().iter().any(Lane::waits_for_spare);
            self.maker.pace(now, &self.shared, written, is_urgent);
        }
        loop {
            // Without reserves a full disk would stay full: they come first.
            let may_make = self.stage != Stage::Serving || !self.checkpoints.wants_reserve();
            // Who leaves needs none but for what still has to be written.
            let is_leaving = matches!(self.stage, Stage::Draining | Stage::Ending);
            let wants = |lane: &Lane| lane.wants_spare() && (!is_leaving || lane.waits_for_spare());
            match self.lanes().iter().position(wants) {
                Some(_) if !may_make => self.maker.retry_now(),
                Some(index) => self.maker.start(now, &self.shared, index, FILL_DEPTH),
                None => self.maker.retry_now(),
            }
            match self.maker.poll(now) {
                Some(Made::Spare { lane, spare }) => self.takeover.lanes[lane].add_spare(spare),
                Some(Made::DiskFull { lane, error }) => {
                    self.takeover.lanes[lane].is_disk_full = true;
                    self.events.push(Event::Note(format!("no space for another segment: {error}")));
                }
                Some(Made::Failed(error)) => return Err(while_doing("making a spare segment")(error).into()),
                None => break,
            }
        }
        // Who waits behind a lane that found the disk full finds it so, too.
        if self.lanes().iter().any(|lane| lane.is_disk_full) {
            let waiting = self.takeover.lanes.iter_mut().filter(|lane| lane.wants_spare());
            waiting.for_each(|lane| lane.is_disk_full = true);
        }
        for (index, lane) in self.takeover.lanes.iter_mut().enumerate() {
            if let Some((spare, identity)) = lane.next_adoption(now) {
                let task = spares::adopt(self.shared.clone(), lane.name().to_owned(), spare, identity);
                self.adoptions.push((index, Task::new(task)));
            }
        }
        let mut index = 0;
        while index < self.adoptions.len() {
            let (lane, task) = &mut self.adoptions[index];
            let lane = *lane;
            match task.poll() {
                Some(adopted) => {
                    let (sequence, file) = adopted?;
                    self.adoptions.swap_remove(index);
                    self.takeover.lanes[lane].adopted(sequence, file);
                }
                None => index += 1,
            }
        }
        Ok(())
    }

    fn run_stage(&mut self) -> Result<(), Lost> {
        match self.stage {
            Stage::Copying if !self.lanes().iter().any(Lane::is_dirty) => {
                let lsn = self.takeover.seal()?;
                self.become_stage(Stage::Sealing { lsn });
            }
            Stage::Sealing { lsn } if self.lanes()[0].confirmable() >= lsn => self.serve()?,
            Stage::Draining if self.is_drained() => {
                for lane in &mut self.takeover.lanes {
                    // Without room for it the next start copies a little more; nothing else depends on END.
                    if lane.append_record(RECORD_HEADER_BYTES, format::put_end).is_err() {
                        self.events.push(Event::Note(format!("{}: no room for the mark of a clean stop", lane.name())));
                    }
                }
                self.become_stage(Stage::Ending);
            }
            Stage::Ending if self.is_tidy() && !self.lanes().iter().any(Lane::is_dirty) => {
                self.become_stage(Stage::Ended);
            }
            _ => {}
        }
        Ok(())
    }

    fn is_drained(&self) -> bool {
        self.is_tidy() && !self.lanes().iter().any(|lane| lane.confirmable() + 1 < lane.next_lsn())
    }

    /// Whether no spare is in the making, or on its way to or from a segment: none stays behind.
    fn is_tidy(&self) -> bool {
        self.adoptions.is_empty() && !self.maker.is_busy() && !self.space.is_releasing()
    }

    fn serve(&mut self) -> Result<(), Lost> {
        self.become_stage(Stage::Serving);
        let epoch = self.epoch;
        // A batch after the SEAL whose durable-through covers it: without one, a SEAL that rots would look as if it
        // had never been written.
        let serving =
            self.takeover.lanes[0].append_record(RECORD_HEADER_BYTES + 8, |out| format::put_serving(out, epoch));
        if serving.is_err() {
            let file = self.lanes()[0].name().to_owned();
            return Err(Lost::Poisoned(StoreError::SegmentsTooSmall { file }));
        }
        for (told, lane) in self.told.iter_mut().zip(&self.takeover.lanes) {
            told.confirmable = lane.confirmable();
        }
        let leftovers = std::mem::take(&mut self.leftovers);
        self.space.sweep(self.attempt, &self.takeover.lanes, &self.checkpoints, leftovers);
        let recovered: Recovered = std::mem::take(&mut self.takeover.recovered);
        self.events.push(Event::Serving(recovered));
        Ok(())
    }

    /// Tells what changed for the callers.
    fn tell(&mut self, now: Nanos) {
        if !matches!(self.stage, Stage::Serving | Stage::Draining | Stage::Ending) {
            return;
        }
        let is_unchecked = self.is_unchecked(now);
        for (index, told) in self.told.iter_mut().enumerate().skip(1) {
            let (store, lane) = ((index - 1) as u8, &self.takeover.lanes[index]);
            if lane.confirmable() > told.confirmable {
                told.confirmable = lane.confirmable();
                self.events.push(Event::Confirmable { store, through: told.confirmable });
            }
            let was = told.room;
            let waits_for_check = !was && lane.mode() == Mode::Async && is_unchecked;
            told.room = lane.has_room() && !waits_for_check;
            // Who waits must not do so while the disk is full: asked again, the lane says so.
            let is_released = told.waits.get() && !waits_for_check && !lane.is_throttled();
            if is_released {
                told.waits.set(false);
            }
            if told.room && !was || is_released {
                self.events.push(Event::Room { store });
            }
        }
    }

    /// When `flush` or `run` is worth calling though nothing completed.
    pub(crate) fn next_timeout(&self, now: Nanos) -> Option<Nanos> {
        let flushes = self.lanes().iter().filter_map(Lane::flush_at);
        let retry_at = self.check.retry_at();
        // While answers are unknown, an idle check is due all the time, and may not be tried before the retry.
        let idle = (!self.check.is_in_flight() && retry_at.is_none()).then(|| self.idle_check_at(now));
        let retries = retry_at.into_iter().chain(self.maker.retry_at()).chain(self.maker.grows_at());
        let checkpoints = (self.stage == Stage::Serving).then(|| self.checkpoints.next_timeout(now)).flatten();
        let copies = (self.stage == Stage::Serving).then(|| self.forward.next_timeout(now)).flatten();
        flushes.chain(idle).chain(retries).chain(checkpoints).chain(copies).min()
    }

    /// The names of spares that nobody will use.
    pub(crate) fn take_spare_paths(&mut self) -> Vec<PathBuf> {
        let spares = self.takeover.lanes.iter_mut().flat_map(Lane::take_spares);
        let spares = spares.map(|spare| spare.file.path().to_owned());
        spares.chain(self.checkpoints.take_reserve_paths()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Stage;

    #[test]
    fn stages_follow_one_another_and_nothing_else() {
        let stages =
            [Stage::Copying, Stage::Sealing { lsn: 1 }, Stage::Serving, Stage::Draining, Stage::Ending, Stage::Ended];
        for (index, from) in stages.into_iter().enumerate() {
            for (next, to) in stages.into_iter().enumerate() {
                assert_eq!(from.can_become(to), next == index + 1, "{from:?} {to:?}");
            }
        }
    }
}
