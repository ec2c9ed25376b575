//! The router: takes requests and completions, hands them to the part that owns them.
//!
//! Owns the phase, the way from watching through the claim to the active owner, and the end. Everything else is a
//! child's: `standby` before a claim, `claim` and `recover` as tasks in between, `active` after it.

use crate::active::{Active, Lost, Stage};
use crate::check::is_claimed;
use crate::claim::{Claim, Taken, take, walk};
use crate::follower::Following;
use crate::format::OwnerRecord;
use crate::heartbeat::Heartbeat;
use crate::port::{File, Purpose, Routed};
use crate::recover::{Inherited, inherit};
use crate::shared::{Shared, while_doing};
use crate::standby::Standby;
use crate::takeover::Takeover;
use crate::task::Task;
use crate::{
    Appended, Backlog, Body, Config, Event, LaneStatistics, Location, Memory, MessageKey, Refused, SpaceUse,
    StoreError, Tail,
};
use bytes::BytesMut;
use disk::{BLOCK_SIZE, DiskDone, DiskError, DiskRequest, Nanos, Outcome};
use std::collections::VecDeque;
use std::path::PathBuf;
use std::rc::Rc;

/// Where a process stands with the store, and what it works on there. Drawn at [`PhaseKind`].
#[derive(Debug)]
enum Phase {
    /// Nothing was asked yet.
    Idle,
    /// Follows the owners.
    Watching,
    /// A claim waits for its spares and for the newest owner to be known.
    Preparing,
    /// Taking the next epoch.
    Claiming(Task<Result<Claim, StoreError>>),
    /// The epoch is ours; reading what it inherits.
    Recovering(Box<Recovering>),
    /// Lanes of our own: copying, sealing, serving, draining.
    Active(Box<Active>),
    /// A clean stop removes the spares that nobody will use.
    Leaving(Task<Result<(), DiskError>>),
    /// Fenced, poisoned, failed or stopped: nothing more is asked of the disk.
    Ended,
}

#[derive(Debug)]
struct Recovering {
    taken: Taken,
    task: Task<Result<(Vec<Inherited>, bool), Lost>>,
}

/// Which phases follow one another.
///
/// ```text
///  Idle --> Watching <------------+
///              |                  | (another was faster; also from Preparing)
///              v                  |
///          Preparing --> Claiming +
///                            |
///                            v
///                       Recovering --> Active --> Leaving
///                            |            |          |
///                            v            v          v
///                          Ended <-------------------+      (from each of them)
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PhaseKind {
    Idle,
    Watching,
    Preparing,
    Claiming,
    Recovering,
    Active,
    Leaving,
    Ended,
}

impl PhaseKind {
    /// Whether the drawing has this edge.
    fn can_become(self, next: Self) -> bool {
        use PhaseKind::*;
        matches!(
            (self, next),
            (Idle, Watching | Preparing)
                | (Watching, Preparing)
                | (Preparing, Claiming | Watching)
                | (Claiming, Recovering | Watching)
                | (Recovering, Active)
                | (Idle | Watching | Preparing | Active, Leaving)
        ) || (next == Ended && self != Ended)
    }
}

/// All stores of one shard and the epoch chain that guards them. Not `Send`: make it on the thread that uses it.
///
/// Commands and `handle_*` are inputs; `poll_disk`, `poll_event` and `poll_timeout` say what to do next and are to be
/// asked after each input until they return `None`. `flush` is called once per turn of the loop.
#[derive(Debug)]
pub struct Store {
    shared: Rc<Shared>,
    phase: Phase,
    standby: Standby,
    heartbeat: Option<Heartbeat>,
    attempt: u128,
    epoch: u64,
    /// The newest epoch that `Owner` or `Lock` has told of.
    told_epoch: Option<u64>,
    /// What was told when the claim under way was asked for: a newer owner is not the one that was found dead.
    claim_after: Option<u64>,
    now: Nanos,
    events: VecDeque<Event>,
}

impl Store {
    /// `process_id` is random and fresh for each start of a process; `allocate` gives an empty buffer of at least the
    /// capacity asked for, at an address that is a multiple of 4096.
    ///
    /// # Panics
    /// When `config` is not within the ranges that [`Config::check`] states.
    pub fn new(config: Config, process_id: u128, allocate: fn(usize) -> BytesMut) -> Self {
        config.check().expect("the configuration was checked");
        let shared = Shared::new(config, process_id, allocate);
        let standby = Standby::new(&shared);
        Self {
            shared,
            phase: Phase::Idle,
            standby,
            heartbeat: None,
            attempt: process_id,
            epoch: 0,
            told_epoch: None,
            claim_after: None,
            now: 0,
            events: VecDeque::new(),
        }
    }

    /// The next piece of disk work.
    pub fn poll_disk(&mut self) -> Option<DiskRequest> {
        self.shared.port.poll()
    }

    /// The next thing to tell.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When `handle_timeout` is to be called next.
    pub fn poll_timeout(&self) -> Option<Nanos> {
        let heartbeat = self.heartbeat.as_ref().map(Heartbeat::next_at);
        match &self.phase {
            Phase::Idle | Phase::Ended | Phase::Leaving(_) => None,
            Phase::Watching | Phase::Preparing => {
                let retry = self.standby.retry_at().into_iter();
                retry.chain([self.standby.next_look()]).min()
            }
            Phase::Claiming(_) | Phase::Recovering(_) => heartbeat,
            Phase::Active(active) => active.next_timeout(self.now).into_iter().chain(heartbeat).min(),
        }
    }

    // --- commands ----------------------------------------------------------------------------------------------

    /// Follows the owners from now on, and fills spare segments meanwhile. `Event::Owner` follows on each change.
    pub fn watch(&mut self, now: Nanos) {
        self.now = now;
        if matches!(self.phase, Phase::Idle) {
            self.become_phase(Phase::Watching);
            self.standby.look(now);
            self.run();
        }
    }

    /// Tries the newest owner's lock; `Event::Lock` follows. Where the lock is held, the heartbeat was looked at after this moment,
    /// and `Event::Owner` came first if it had changed.
    pub fn probe_lock(&mut self, now: Nanos) {
        self.now = now;
        self.watch(now);
        if matches!(self.phase, Phase::Watching) {
            self.standby.ask_lock();
            self.run();
        }
    }

    /// Claims the epoch after the newest that `Event::Owner` or `Event::Lock` has told of: `Event::Claimed` and then `Event::Serving`, or `Event::ClaimLost` (watching goes on), or
    /// `Event::RecoveryFailed`.
    pub fn claim(&mut self, now: Nanos) {
        self.now = now;
        if matches!(self.phase, Phase::Idle | Phase::Watching) {
            self.become_phase(Phase::Preparing);
            self.standby.set_claiming(true);
            self.claim_after = self.told_epoch;
            self.standby.retry_spares();
            // Who owns the store is looked up anew: a claim of an epoch that is taken already is wasted work.
            self.standby.look(now);
            self.run();
        }
    }

    /// Clean stop: takes nothing more, finishes, checks, marks the end, frees the lock; `Event::Stopped` follows. In
    /// the middle of a claim, before it serves, it ends at once and leaves what the next claimant may find of a server
    /// that was killed.
    pub fn stop(&mut self, now: Nanos) {
        self.now = now;
        match &mut self.phase {
            Phase::Active(active) => match active.stage() {
                Stage::Copying | Stage::Sealing { .. } => return self.end(Event::Stopped),
                Stage::Serving => active.stop(),
                Stage::Draining | Stage::Ending | Stage::Ended => return,
            },
            Phase::Leaving(_) | Phase::Ended => return,
            Phase::Idle | Phase::Watching | Phase::Preparing => {
                let spares = self.standby.take_spares();
                self.leave(spares.iter().flatten().map(|spare| spare.file.path().to_owned()).collect());
            }
            Phase::Claiming(_) | Phase::Recovering(_) => return self.end(Event::Stopped),
        }
        self.run();
    }

    /// Names a destination of `store`, before the first publish to it. The same again is no error.
    ///
    /// # Panics
    /// When the id has another name already.
    pub fn define_destination(&mut self, store: u8, id: u32, name: &str) -> Result<(), Refused> {
        self.active()?.define(store, id, name)
    }

    /// Gives a defined destination another name: its queue is gone, and the removals of its messages are confirmable.
    ///
    /// # Errors
    /// As for [`Store::define_destination`].
    pub fn rename_destination(&mut self, store: u8, id: u32, name: &str) -> Result<(), Refused> {
        self.active()?.rename(store, id, name)
    }

    /// Admits a message for `destinations`; the parts of `payload` are copied once, into the batch. Answer it when
    /// `Event::Confirmable` reaches its number (sync), or at once (async).
    pub fn publish(
        &mut self,
        now: Nanos,
        store: u8,
        destinations: &[u32],
        key: MessageKey,
        payload: &[&[u8]],
    ) -> Result<Appended, Refused> {
        self.active()?.publish(now, store, destinations, key, payload)
    }

    /// Admits the removal of a live message; returns the number of the record that says so. If nobody waits
    /// until [`Event::Confirmable`] reaches it, it may be written a millisecond later.
    ///
    /// # Panics
    /// When the message is not live.
    pub fn acknowledge(
        &mut self,
        now: Nanos,
        store: u8,
        publish_lsn: u64,
        location: Location,
        is_awaited: bool,
    ) -> Result<u64, Refused> {
        self.active()?.acknowledge(store, publish_lsn, location, (!is_awaited).then_some(now))
    }

    /// Whether a publish of ordinary size would be admitted now; when not, `Event::Room` follows.
    pub fn has_room(&self, store: u8) -> bool {
        match &self.phase {
            Phase::Active(active) => active.has_room(store),
            _ => false,
        }
    }

    /// Whether a message for `store` has to wait, until [`Event::Room`]. On a full disk it has not: it is refused.
    pub fn is_throttled(&self, store: u8) -> bool {
        match &self.phase {
            Phase::Active(active) => active.is_throttled(store),
            _ => true,
        }
    }

    /// A live message's bytes. After `Pending`, `Event::Body` follows, unless the message is acknowledged meanwhile.
    pub fn body(&mut self, store: u8, location: Location) -> Body {
        match &mut self.phase {
            Phase::Active(active) => active.body(store, location),
            _ => Body::Pending,
        }
    }

    /// The budget for message bytes, which bodies outside the store share.
    pub fn memory(&self) -> Memory {
        self.shared.memory.clone()
    }

    /// Hands over what recovery found, oldest first and `limit` messages at most: to be called until it is complete,
    /// beside other work. Messages are acknowledged and read only after they were handed over.
    pub fn backlog(&mut self, store: u8, limit: usize) -> Backlog {
        let Phase::Active(active) = &mut self.phase else { return Backlog::Complete };
        match active.backlog(store, limit) {
            Ok(part) => part,
            Err(lost) => {
                self.settle(Err(lost));
                Backlog::Pending
            }
        }
    }

    /// How far a standby has read the owner's journal; `None` while it does not follow one.
    pub fn tail(&self) -> Option<Tail> {
        self.standby.tail()
    }

    /// What segments take; `None` before serving.
    pub fn space(&self) -> Option<SpaceUse> {
        match &self.phase {
            Phase::Active(active) => Some(active.space()),
            _ => None,
        }
    }

    /// What was written: the metadata first, then each store; nothing before serving.
    pub fn statistics(&self) -> impl Iterator<Item = &LaneStatistics> {
        let active = match &self.phase {
            Phase::Active(active) => Some(active.statistics()),
            _ => None,
        };
        active.into_iter().flatten()
    }

    /// The last time at which this server certainly owned the store: when the last check that passed was submitted. `None`
    /// for one that does not serve. Who woke from a pause may have been replaced since.
    pub fn owned_at(&self) -> Option<Nanos> {
        match &self.phase {
            Phase::Active(active) => active.owned_at(),
            _ => None,
        }
    }

    /// Through here records of `store` are durable and checked.
    pub fn confirmable(&self, store: u8) -> u64 {
        match &self.phase {
            Phase::Active(active) => active.confirmable(store),
            _ => 0,
        }
    }

    /// Writes the owner's heartbeat if its time has come, so that it need not wait for other work of the turn. Returns
    /// when that time was.
    pub fn beat_in_time(&mut self, now: Nanos) -> Option<Nanos> {
        let due = self.heartbeat.as_ref().map(Heartbeat::next_at).filter(|at| *at <= now)?;
        self.now = now;
        self.beat().then_some(due)
    }

    /// Once per turn of the loop: issues what accumulated where no write is in flight (group commit without a timer).
    pub fn flush(&mut self, now: Nanos) {
        self.now = now;
        if let Phase::Active(active) = &mut self.phase {
            active.flush(now);
        }
    }

    fn active(&mut self) -> Result<&mut Active, Refused> {
        match &mut self.phase {
            Phase::Active(active) => Ok(active),
            _ => Err(Refused::NotServing),
        }
    }

    // --- inputs ------------------------------------------------------------------------------------------------

    /// A piece of disk work completed.
    pub fn handle_disk(&mut self, now: Nanos, done: DiskDone) {
        self.now = now;
        let request = done.id;
        match self.shared.port.route(done) {
            Routed::Nobody => return,
            Routed::Task => {}
            Routed::Purpose(purpose, result) => self.completed(purpose, request, result),
        }
        self.run();
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Nanos) {
        self.now = now;
        self.run();
        self.flush(now);
    }

    fn completed(&mut self, purpose: Purpose, request: u64, result: Result<Outcome, DiskError>) {
        if purpose == Purpose::Heartbeat {
            match (result, &mut self.heartbeat) {
                (Err(cause), _) => self.poisoned(while_doing("writing the heartbeat")(cause)),
                (Ok(_), Some(heartbeat)) => heartbeat.written(),
                (Ok(_), None) => {}
            }
            return;
        }
        let Phase::Active(active) = &mut self.phase else { return };
        let completed = active.completed(self.now, purpose, request, result);
        let events = active.take_events();
        self.events.extend(events);
        self.settle(completed);
    }

    // --- going on ----------------------------------------------------------------------------------------------

    /// Goes on as far as the disk has answered.
    fn run(&mut self) {
        self.beat();
        match &mut self.phase {
            Phase::Idle | Phase::Ended => {}
            Phase::Watching | Phase::Preparing => self.run_standby(),
            Phase::Claiming(_) => self.run_claim(),
            Phase::Recovering(_) => self.run_recovery(),
            Phase::Active(_) => self.run_active(),
            Phase::Leaving(task) => match task.poll() {
                Some(Err(error)) => {
                    self.events.push_back(Event::Note(format!("a spare segment stays behind: {error}")));
                    self.end(Event::Stopped);
                }
                Some(Ok(())) => self.end(Event::Stopped),
                None => {}
            },
        }
    }

    /// Whether one was due and the disk had taken the one before.
    fn beat(&mut self) -> bool {
        let Some(heartbeat) = &mut self.heartbeat else { return false };
        let Some(op) = heartbeat.beat(self.now, &self.shared) else { return false };
        self.shared.port.submit(Purpose::Heartbeat, op);
        true
    }

    fn run_standby(&mut self) {
        if self.now >= self.standby.next_look() {
            self.standby.look(self.now);
        }
        match self.standby.run(self.now) {
            Ok(events) => {
                for event in &events {
                    if let Event::Owner { epoch, .. } | Event::Lock { epoch, .. } = event {
                        self.told_epoch = self.told_epoch.max(Some(*epoch));
                    }
                }
                self.events.extend(events);
            }
            Err(error) => return self.end(Event::RecoveryFailed(error)),
        }
        if !matches!(self.phase, Phase::Preparing) {
            return;
        }
        if let Some(cause) = self.standby.spare_error.take() {
            return self.end(Event::RecoveryFailed(while_doing("preparing a claim")(cause)));
        }
        if self.standby.is_ready() {
            let newest_epoch = self.standby.newest().map_or(0, |newest| newest.epoch);
            if self.claim_after.is_some_and(|told| newest_epoch > told) {
                self.become_phase(Phase::Watching);
                self.standby.set_claiming(false);
                self.events.push_back(Event::ClaimLost { by_epoch: newest_epoch });
                return;
            }
            self.attempt = self.attempt.wrapping_add(1);
            let spares = self.standby.take_spares();
            let task = Task::new(take(self.shared.clone(), self.standby.newest(), self.attempt, spares));
            self.become_phase(Phase::Claiming(task));
            self.run();
        }
    }

    fn run_claim(&mut self) {
        let Phase::Claiming(task) = &mut self.phase else { return };
        match task.poll() {
            None => {}
            Some(Err(error)) => self.end(Event::RecoveryFailed(error)),
            Some(Ok(Claim::Lost { by_epoch, spares })) => {
                self.standby.return_spares(spares);
                self.standby.set_claiming(false);
                self.become_phase(Phase::Watching);
                self.events.push_back(Event::ClaimLost { by_epoch });
                self.standby.look(self.now);
                self.run();
            }
            Some(Ok(Claim::Taken(taken))) => {
                // From here on nobody waits for spares.
                self.shared.is_hurried.set(false);
                self.epoch = taken.record.epoch;
                self.heartbeat = Some(Heartbeat::new(taken.owner.clone(), self.epoch, self.now));
                self.events.push_back(Event::Claimed { epoch: self.epoch });
                if !taken.owner.is_direct() {
                    let note = "the file system refuses direct I/O: writes are buffered and synced, and only this host may take the store over";
                    self.events.push_back(Event::Note(note.to_owned()));
                }
                let following = self.standby.take_following();
                let task = recover(self.shared.clone(), taken.record.clone(), taken.slot.clone(), following);
                let task = Task::new(task);
                self.become_phase(Phase::Recovering(Box::new(Recovering { taken, task })));
                self.run();
            }
        }
    }

    fn run_recovery(&mut self) {
        let Phase::Recovering(recovering) = &mut self.phase else { return };
        let Some(inherited) = recovering.task.poll() else { return };
        let takeover = inherited.and_then(|(inherited, hot)| {
            let mut takeover = Takeover::new(&self.shared, &recovering.taken, inherited)?;
            takeover.recovered.hot = hot;
            Ok(takeover)
        });
        match takeover {
            Err(Lost::Poisoned(error)) => self.end(Event::RecoveryFailed(error)),
            Err(lost) => self.settle(Err(lost)),
            Ok(takeover) => {
                let Phase::Recovering(recovering) = std::mem::replace(&mut self.phase, Phase::Idle) else {
                    unreachable!("the phase was Recovering just now")
                };
                assert!(PhaseKind::Recovering.can_become(PhaseKind::Active));
                self.phase = Phase::Active(Box::new(Active::new(&self.shared, recovering.taken, takeover)));
                self.run();
            }
        }
    }

    fn run_active(&mut self) {
        let Phase::Active(active) = &mut self.phase else { return };
        let ran = active.run(self.now);
        let events = active.take_events();
        self.events.extend(events);
        self.settle(ran);
        let Phase::Active(active) = &mut self.phase else { return };
        if active.stage() != Stage::Ended {
            return;
        }
        let spares = active.take_spare_paths();
        self.heartbeat = None;
        // The owner file closes with the active part, which frees our lock.
        self.leave(spares);
        self.run();
    }

    /// Removes our spares; the lock went with the owner file.
    fn leave(&mut self, spares: Vec<PathBuf>) {
        let shared = self.shared.clone();
        let task = Task::new(async move {
            for path in spares {
                shared.port.unlink(&path).await?;
            }
            Ok(())
        });
        self.become_phase(Phase::Leaving(task));
    }

    fn settle(&mut self, result: Result<(), Lost>) {
        match result {
            Ok(()) => {}
            Err(Lost::Fenced) => self.end(Event::Fenced { by_epoch: self.epoch + 1 }),
            Err(Lost::Poisoned(error)) => self.poisoned(error),
        }
    }

    /// A write failed: nothing after it may be confirmed, and neither the batch nor the block is tried again.
    fn poisoned(&mut self, error: StoreError) {
        self.end(Event::Poisoned(error));
    }

    fn end(&mut self, event: Event) {
        self.heartbeat = None;
        self.become_phase(Phase::Ended);
        self.shared.port.close();
        self.events.push_back(event);
    }

    fn become_phase(&mut self, next: Phase) {
        let (from, to) = (self.phase.kind(), next.kind());
        assert!(from.can_become(to), "{from:?} does not become {to:?}");
        self.phase = next;
    }
}

impl Phase {
    fn kind(&self) -> PhaseKind {
        match self {
            Self::Idle => PhaseKind::Idle,
            Self::Watching => PhaseKind::Watching,
            Self::Preparing => PhaseKind::Preparing,
            Self::Claiming(_) => PhaseKind::Claiming,
            Self::Recovering(_) => PhaseKind::Recovering,
            Self::Active(_) => PhaseKind::Active,
            Self::Leaving(_) => PhaseKind::Leaving,
            Self::Ended => PhaseKind::Ended,
        }
    }
}

/// Reads what an epoch inherits; true: from where a hot standby was. A claimant that was overtaken meanwhile may find segments gone: that is no damage.
async fn recover(
    shared: Rc<Shared>,
    record: OwnerRecord,
    slot: File,
    following: Option<Following>,
) -> Result<(Vec<Inherited>, bool), Lost> {
    let inherited = async {
        let sealed = walk(shared.clone(), record).await?;
        let mut note = None;
        if let (Some(following), Some(sealed)) = (following, &sealed) {
            match following.finish(&shared, sealed).await {
                Ok(Some(inherited)) => return Ok((inherited, true)),
                Ok(None) => {}
                // The owner may have removed what a slow standby had not read. The long way shows whether that is all.
                Err(error) => note = Some(format!("this standby had lost its place when it took over: {error}")),
            }
        }
        let mut inherited = inherit(shared.clone(), sealed).await?;
        if let Some(first) = inherited.first_mut() {
            first.scanned.notes.extend(note);
        }
        Ok((inherited, false))
    };
    match inherited.await {
        Ok(inherited) => Ok(inherited),
        Err(_) if is_claimed(slot.read(0, BLOCK_SIZE).await) => Err(Lost::Fenced),
        Err(error) => Err(Lost::Poisoned(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::PhaseKind::{self, *};

    #[test]
    fn phases_follow_the_drawing() {
        let all = [Idle, Watching, Preparing, Claiming, Recovering, Active, Leaving, Ended];
        let check = |from: PhaseKind, next: &[PhaseKind]| {
            for to in all {
                assert_eq!(from.can_become(to), next.contains(&to), "{from:?} {to:?}");
            }
        };
        check(Idle, &[Watching, Preparing, Leaving, Ended]);
        check(Watching, &[Preparing, Leaving, Ended]);
        check(Preparing, &[Watching, Claiming, Leaving, Ended]);
        check(Claiming, &[Recovering, Watching, Ended]);
        check(Recovering, &[Active, Ended]);
        check(Active, &[Leaving, Ended]);
        check(Leaving, &[Ended]);
        check(Ended, &[]);
    }
}
