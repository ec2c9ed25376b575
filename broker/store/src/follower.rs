//! The hot standby: reads the owner's journal while the owner writes it, so that a takeover reads only what is new.
//!
//! Owns which epoch is followed, how often its tail is looked at, and starting over when the place is lost. What it
//! builds is speculative: a claimant reads once more from the last place that was known to be durable (rule 18), and
//! drops all of it when another epoch than the followed one served last. Reads only, by names and offsets.

use crate::StoreError;
use crate::api::{Event, Tail};
use crate::chain::Newest;
use crate::claim::{Metadata, Sealed, metadata_plan};
use crate::format::{CheckpointRecord, Piece};
use crate::image::Image;
use crate::recover::{self, Base, Inherited, inherited};
use crate::scan::{Mode, Scanner};
use crate::shared::Shared;
use crate::task::{Task, all, poll_slot};
use disk::Nanos;
use std::collections::VecDeque;
use std::rc::Rc;

/// After the place was lost the next attempt waits for so many intervals.
const RETRY_INTERVALS: u64 = 25;

/// A pass that takes longer than this is behind, and says so.
const BEHIND_AFTER: Nanos = 1_000_000_000;

/// One data lane that is being followed.
#[derive(Debug)]
struct Followed {
    name: String,
    scanner: Scanner<Image>,
    pieces: Vec<Piece>,
    /// Newest first.
    checkpoints: Vec<CheckpointRecord>,
    /// The order of the newest one that was told of, whether it reads or not.
    told: Option<(u64, u32)>,
    /// Told of, but not yet reached; oldest first.
    ahead: VecDeque<CheckpointRecord>,
}

/// What is known of an epoch that serves.
#[derive(Debug)]
pub(crate) struct Following {
    owner: Newest,
    metadata: Scanner<Metadata>,
    /// In the order of our lanes; `None` where the epoch had no such lane. Empty until the epoch's SEAL was read.
    lanes: Vec<Option<Followed>>,
    notes: Vec<String>,
}

#[derive(Debug)]
pub(crate) struct Follower {
    shared: Rc<Shared>,
    following: Option<Following>,
    pass: Option<Task<Result<Following, StoreError>>>,
    began: Nanos,
    next_at: Nanos,
    read_at: Nanos,
    /// How far the journal was read when the pass under way began.
    before_pass: Option<Tail>,
    is_behind: bool,
    has_loaded: bool,
}

impl Follower {
    pub(crate) fn new(shared: &Rc<Shared>) -> Self {
        let shared = shared.clone();
        Self {
            shared,
            following: None,
            pass: None,
            began: 0,
            next_at: 0,
            read_at: 0,
            before_pass: None,
            is_behind: false,
            has_loaded: false,
        }
    }

    /// When `run` is worth calling though nothing completed.
    pub(crate) fn next_at(&self) -> Option<Nanos> {
        (self.shared.config.standby_tailing && self.pass.is_none()).then_some(self.next_at)
    }

    /// A claim waits until what is being read was read.
    pub(crate) fn is_busy(&self) -> bool {
        self.pass.is_some()
    }

    /// How far the journal was read.
    pub(crate) fn tail(&self) -> Option<Tail> {
        let Some(following) = &self.following else { return self.before_pass.clone() };
        let lanes = following.lanes.iter().flatten();
        let messages = lanes.clone().map(|lane| lane.scanner.visitor().segments.live_count()).sum();
        let bytes = lanes.clone().map(|lane| lane.scanner.bytes_read()).sum();
        let through = lanes.map(|lane| lane.scanner.expected() - 1).collect();
        Some(Tail { epoch: following.owner.epoch(), through, messages, bytes, read_at: self.read_at })
    }

    /// Hands over what is known, for the claim.
    pub(crate) fn take(&mut self) -> Option<Following> {
        self.following.take().filter(|following| !following.lanes.is_empty())
    }

    /// Goes on following `newest`. `is_claiming`: no further pass begins.
    pub(crate) fn run(&mut self, now: Nanos, newest: Option<&Newest>, is_claiming: bool) -> Vec<Event> {
        let mut events = Vec::new();
        if let Some(pass) = poll_slot(&mut self.pass) {
            self.before_pass = None;
            self.next_at = now + self.shared.config.tail_interval;
            match pass {
                Ok(following) => self.passed(now, following, &mut events),
                Err(error) => {
                    self.next_at = now + self.shared.config.tail_interval * RETRY_INTERVALS;
                    self.has_loaded = false;
                    let reason = error.to_string();
                    events.push(Event::StandbyReload { reason });
                }
            }
        }
        let is_due = self.shared.config.standby_tailing && self.pass.is_none() && now >= self.next_at && !is_claiming;
        if let Some(newest) = newest.filter(|_| is_due) {
            self.before_pass = self.tail();
            // A newer owner that does not serve yet has nothing to follow; the old one's journal is what it takes over.
            let following = match self.following.take() {
                Some(following) if following.owner.record.attempt == newest.record.attempt => following,
                _ => Following::new(&self.shared, newest.clone()),
            };
            self.began = now;
            self.pass = Some(Task::new(pass(self.shared.clone(), following)));
        }
        events
    }

    fn passed(&mut self, now: Nanos, mut following: Following, events: &mut Vec<Event>) {
        events.extend(std::mem::take(&mut following.notes).into_iter().map(Event::Note));
        let is_loaded = !following.lanes.is_empty();
        self.following = Some(following);
        self.read_at = now;
        if is_loaded && !self.has_loaded {
            self.has_loaded = true;
            self.is_behind = false;
            events.extend(self.tail().map(Event::StandbyFollows));
        } else if is_loaded {
            let was_behind = std::mem::replace(&mut self.is_behind, now > self.began + BEHIND_AFTER);
            if self.is_behind && !was_behind {
                events.push(Event::StandbyBehind { nanos: now - self.began });
            }
        }
    }
}

impl Following {
    fn new(shared: &Rc<Shared>, owner: Newest) -> Self {
        let metadata = Scanner::new(shared.clone(), metadata_plan(&owner.record, None), Metadata::of(owner.epoch()));
        Self { owner, metadata, lanes: Vec::new(), notes: Vec::new() }
    }

    /// Goes to where the metadata begins if that is ahead: what lies before it is repeated there and may be gone.
    async fn catch_up(&mut self, shared: &Rc<Shared>) -> Result<(), StoreError> {
        if let Some(base) = self.owner.base().await?
            && base.sequence > self.metadata.sequence()
        {
            let plan = metadata_plan(&self.owner.record, Some(&base));
            self.metadata = Scanner::new(shared.clone(), plan, Metadata::of(self.owner.epoch()));
        }
        Ok(())
    }

    /// What a claimant inherits, if the epoch that was followed is the last one that served: reads what is new.
    pub(crate) async fn finish(
        mut self,
        shared: &Rc<Shared>,
        sealed: &Sealed,
    ) -> Result<Option<Vec<Inherited>>, StoreError> {
        let is_same = self.owner.record == sealed.record && self.lanes.len() + 1 == shared.names.lanes().len();
        // A store that is not configured any more has to be looked at by the long way.
        let is_complete = sealed.record.lanes.iter().all(|lane| shared.names.lanes().contains(lane));
        if !is_same || !is_complete {
            return Ok(None);
        }
        self.note_checkpoints(&sealed.checkpoints);
        let lanes = self.lanes.into_iter().map(|lane| Task::new(finish_lane(lane)));
        all(lanes.collect()).await.into_iter().collect::<Result<Vec<_>, _>>().map(Some)
    }

    /// Works off the checkpoints that were told of since the last time.
    fn note_checkpoints(&mut self, newest: &[CheckpointRecord]) {
        for record in newest {
            let lane = self.lanes.iter_mut().flatten().find(|lane| lane.name == record.lane);
            if let Some(lane) = lane.filter(|lane| lane.told < Some(record.order())) {
                lane.told = Some(record.order());
                lane.ahead.push_back(record.clone());
            }
        }
    }
}

impl Followed {
    /// A checkpoint says that all before it is durable. Once that was read, its segments' indices, which the owner wrote,
    /// need not be kept in memory.
    fn reach_checkpoints(&mut self) -> Result<(), StoreError> {
        while let Some(next) = self.ahead.front() {
            self.scanner.known_durable(next.position.lsn - 1)?;
            if self.scanner.first_held() < next.position.lsn {
                return Ok(());
            }
            let Some(record) = self.ahead.pop_front() else { return Ok(()) };
            let segments = &mut self.scanner.visitor_mut().segments;
            segments.index_written(record.position.lsn, record.epoch);
            self.checkpoints.insert(0, record);
            self.checkpoints.truncate(recover::CHECKPOINTS_KEPT);
            if let Some(oldest) = self.checkpoints.get(recover::CHECKPOINTS_KEPT - 1) {
                while let Some(dead) = segments.dead_before(oldest.position.lsn) {
                    segments.remove(dead);
                }
            }
        }
        Ok(())
    }
}

async fn finish_lane(lane: Option<Followed>) -> Result<Inherited, StoreError> {
    let Some(mut lane) = lane else { return Ok(Inherited::default()) };
    lane.reach_checkpoints()?;
    lane.scanner.rewind().await?;
    lane.scanner.advance(Mode::Final).await?;
    lane.reach_checkpoints()?;
    let Followed { scanner, pieces, checkpoints, .. } = lane;
    let (scanned, image) = scanner.finish();
    let pieces = recover::from_oldest(pieces, &checkpoints);
    Ok(inherited(scanned, image, &pieces, checkpoints))
}

/// Reads on: metadata first, so that a checkpoint is known before what lies behind it.
async fn pass(shared: Rc<Shared>, mut following: Following) -> Result<Following, StoreError> {
    following.catch_up(&shared).await?;
    following.metadata.advance(Mode::Follow).await?;
    if following.lanes.is_empty() {
        let Some(sealed) = following.metadata.visitor().sealed(&following.owner.record) else { return Ok(following) };
        for lane in &shared.names.lanes()[1..] {
            let base = recover::base(&shared, &sealed, lane).await?;
            following.lanes.push(base.map(|base| {
                let Base { plan, image, pieces, checkpoints, notes } = base;
                following.notes.extend(notes);
                let scanner = Scanner::new(shared.clone(), plan, image);
                let of_lane = sealed.checkpoints.iter().filter(|known| known.lane == *lane);
                let told = of_lane.map(CheckpointRecord::order).max();
                Followed { name: lane.clone(), scanner, pieces, checkpoints, told, ahead: VecDeque::new() }
            }));
        }
    }
    let checkpoints = following.metadata.visitor().checkpoints().to_vec();
    following.note_checkpoints(&checkpoints);
    for lane in following.lanes.iter_mut().flatten() {
        lane.scanner.advance(Mode::Follow).await?;
        lane.reach_checkpoints()?;
    }
    Ok(following)
}
