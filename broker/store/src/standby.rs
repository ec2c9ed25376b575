//! A process that does not own the store: it follows the chain of owners, tries the owner's lock when asked, and has
//! the spares ready that a claim needs, so that a takeover pays nothing for them.
//!
//! Owns what it last knew of the chain, and the spares until a claim takes them.

use crate::chain::{self, Newest};
use crate::claim::{FIRST_SEGMENTS, make_folders, spares_wanted};
use crate::follower::{Follower, Following};
use crate::format::OwnerRecord;
use crate::maker::{Made, Maker};
use crate::shared::{Shared, while_doing};
use crate::spares::Spare;
use crate::task::{Task, poll_slot};
use crate::{Event, StoreError, Tail};
use disk::Nanos;
use std::rc::Rc;

/// Writes in flight while filling: nobody else needs the disk of a standby.
const FILL_DEPTH: usize = 4;

#[derive(Debug)]
pub(crate) struct Standby {
    shared: Rc<Shared>,
    newest: Option<Newest>,
    has_looked: bool,
    /// (epoch, heartbeat) as last told.
    told: Option<(u64, u64)>,
    following: Option<Task<Result<Option<Newest>, StoreError>>>,
    next_look: Nanos,
    is_lock_asked: bool,
    probing: Option<Probe>,
    folders: Option<Task<Result<(), disk::DiskError>>>,
    has_folders: bool,
    follower: Follower,
    /// A claim is under way: nothing more is followed.
    is_claiming: bool,
    maker: Maker,
    spares: Vec<Vec<Spare>>,
    /// A spare could not be made; a claim must say so instead of waiting.
    pub(crate) spare_error: Option<disk::DiskError>,
}

/// A question for the lock of `epoch`'s owner. That somebody holds it is told only with a look at the heartbeat that began after
/// the question: whoever judges an owner by its silence must not take a slow answer of the disk for it.
#[derive(Debug)]
struct Probe {
    epoch: u64,
    trying: Option<Task<Result<bool, StoreError>>>,
    look: Look,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    /// Another one, which began before, is under way.
    Wanted,
    UnderWay,
    Done,
}

impl Standby {
    pub(crate) fn new(shared: &Rc<Shared>) -> Self {
        Self {
            shared: shared.clone(),
            newest: None,
            has_looked: false,
            told: None,
            following: None,
            next_look: 0,
            is_lock_asked: false,
            probing: None,
            folders: None,
            has_folders: false,
            follower: Follower::new(shared),
            is_claiming: false,
            maker: Maker::default(),
            spares: shared.names.lanes().iter().map(|_| Vec::new()).collect(),
            spare_error: None,
        }
    }

    /// Whether a claim is under way: spares that are missing are then made as fast as possible, where there may be messages
    /// that somebody waits for. In a new store there are none.
    pub(crate) fn set_claiming(&mut self, is_claiming: bool) {
        self.is_claiming = is_claiming;
        self.hurry();
    }

    fn hurry(&self) {
        self.shared.is_hurried.set(self.is_claiming && self.newest.is_some());
    }

    pub(crate) fn next_look(&self) -> Nanos {
        self.next_look
    }

    /// Tries again at once to make what could not be made before.
    pub(crate) fn retry_spares(&mut self) {
        self.spare_error = None;
        self.maker.retry_now();
    }

    /// Tries the newest owner's lock as soon as it is known.
    pub(crate) fn ask_lock(&mut self) {
        self.is_lock_asked = true;
    }

    /// Looks at the chain now.
    pub(crate) fn look(&mut self, now: Nanos) {
        self.next_look = now + self.shared.config.heartbeat_interval;
        if self.following.is_none() {
            self.begin_look();
        }
    }

    fn begin_look(&mut self) {
        self.following = Some(Task::new(chain::follow(self.shared.clone(), self.newest.clone())));
        if let Some(probe) = &mut self.probing {
            probe.look = Look::UnderWay;
        }
    }

    /// Goes on with whatever can. The inner error ends the store.
    pub(crate) fn run(&mut self, now: Nanos) -> Result<Vec<Event>, StoreError> {
        let mut events = Vec::new();
        self.run_look(&mut events)?;
        if let Some(event) = self.run_probe(&mut events)? {
            events.push(event);
        }
        events.extend(self.follower.run(now, self.newest.as_ref(), self.is_claiming));
        self.run_spares(now, &mut events)?;
        Ok(events)
    }

    fn run_look(&mut self, events: &mut Vec<Event>) -> Result<(), StoreError> {
        let Some(found) = poll_slot(&mut self.following) else { return Ok(()) };
        self.newest = found?;
        self.has_looked = true;
        self.hurry();
        if let Some(probe) = self.probing.as_mut().filter(|probe| probe.look == Look::UnderWay) {
            probe.look = Look::Done;
        }
        let newest = self.newest.as_ref().map_or((0, 0), |newest| (newest.epoch(), newest.heartbeat));
        if self.told != Some(newest) {
            self.told = Some(newest);
            events.push(Event::Owner { epoch: newest.0, heartbeat: newest.1 });
        }
        Ok(())
    }

    fn run_probe(&mut self, events: &mut Vec<Event>) -> Result<Option<Event>, StoreError> {
        if self.is_lock_asked && self.has_looked && self.probing.is_none() {
            self.is_lock_asked = false;
            let Some(newest) = &self.newest else { return Ok(Some(Event::Lock { epoch: 0, free: true })) };
            let epoch = newest.epoch();
            let trying = Some(Task::new(chain::is_lock_free(self.shared.clone(), epoch)));
            self.probing = Some(Probe { epoch, trying, look: Look::Wanted });
        }
        let Some(probe) = &mut self.probing else { return Ok(None) };
        let epoch = probe.epoch;
        if let Some(free) = poll_slot(&mut probe.trying)
            && free?
        {
            self.probing = None;
            return Ok(Some(Event::Lock { epoch, free: true }));
        }
        if probe.look == Look::Wanted && self.following.is_none() {
            self.begin_look();
            self.run_look(events)?;
        }
        let is_answered = |probe: &Probe| probe.trying.is_none() && probe.look == Look::Done;
        Ok(self.probing.take_if(|probe| is_answered(probe)).map(|_| Event::Lock { epoch, free: false }))
    }

    /// Folders first, then the spares of one lane after the other.
    fn run_spares(&mut self, now: Nanos, events: &mut Vec<Event>) -> Result<(), StoreError> {
        if !self.has_looked {
            return Ok(());
        }
        if !self.has_folders && self.folders.is_none() {
            self.folders = Some(Task::new(make_folders(self.shared.clone())));
        }
        if let Some(made) = poll_slot(&mut self.folders) {
            made.map_err(while_doing("making the store's folders"))?;
            self.has_folders = true;
        }
        while self.has_folders {
            let wanted = (0..self.spares.len()).find(|lane| self.spares[*lane].len() < spares_wanted(*lane));
            match wanted {
                Some(lane) => self.maker.start(now, &self.shared, lane, FILL_DEPTH),
                None => self.maker.retry_now(),
            }
            match self.maker.poll(now) {
                Some(Made::Spare { lane, spare }) => {
                    self.spare_error = None;
                    self.spares[lane].push(spare);
                }
                Some(Made::DiskFull { error, .. } | Made::Failed(error)) => {
                    events.push(Event::Note(format!("no spare segment: {error}")));
                    // A claim can do without its ballast.
                    let is_needed = self.spares.iter().any(|lane| lane.len() < FIRST_SEGMENTS);
                    self.spare_error = is_needed.then_some(error);
                    // The folder itself may have gone.
                    self.has_folders = false;
                }
                None => return Ok(()),
            }
        }
        Ok(())
    }

    pub(crate) fn retry_at(&self) -> Option<Nanos> {
        let follow_at = self.follower.next_at().filter(|_| self.newest.is_some() && !self.is_claiming);
        self.maker.retry_at().into_iter().chain(follow_at).min()
    }

    pub(crate) fn tail(&self) -> Option<Tail> {
        self.follower.tail()
    }

    /// What the hot standby knows, for the claim.
    pub(crate) fn take_following(&mut self) -> Option<Following> {
        self.follower.take()
    }

    /// Whether a claim has all that it needs.
    pub(crate) fn is_ready(&self) -> bool {
        let has_spares = self.spares.iter().all(|lane| lane.len() >= FIRST_SEGMENTS);
        let is_idle = self.following.is_none() && !self.maker.is_busy() && !self.follower.is_busy();
        self.has_looked && is_idle && has_spares
    }

    pub(crate) fn newest(&self) -> Option<OwnerRecord> {
        self.newest.as_ref().map(|newest| newest.record.clone())
    }

    pub(crate) fn take_spares(&mut self) -> Vec<Vec<Spare>> {
        let empty = self.spares.iter().map(|_| Vec::new()).collect();
        std::mem::replace(&mut self.spares, empty)
    }

    pub(crate) fn return_spares(&mut self, spares: Vec<Vec<Spare>>) {
        self.spares = spares;
    }
}
