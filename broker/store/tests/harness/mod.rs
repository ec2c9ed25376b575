//! Several processes with a store each on one simulated disk, with clients, faults and a model of what must hold.
//!
//! The model per store: what the clients did in each epoch, in order, and how much of it was confirmed. What a later
//! epoch recovers must be exactly the state after a prefix of that, and the prefix must hold all that was ever
//! confirmed, also by an owner that does not know yet that it was replaced. For an async store, whose clients are
//! answered on admission, that is the promise "only a suffix is lost".

#![allow(dead_code, reason = "each test binary uses its part")]

pub(crate) mod image;
pub(crate) mod model;
pub(crate) mod process;

use disk::sim::{Session, SimConfig, SimDisk};
use disk::{DiskDone, DiskOp, FileId, Nanos, OpenMode, Outcome};
use model::{Model, Violation, payload};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use store::{
    Backlog, Body, Config, Event, Location, MessageKey, Mode, RecoveredDestination, RecoveredMessage, Refused, Store,
    StoreConfig,
};

pub(crate) const MS: Nanos = 1_000_000;

/// What is broken on purpose between a store and its disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mutant {
    None,
    /// Writes complete before they are on media.
    NoDurability,
    /// The ownership check always finds the slot unclaimed.
    NoCheck,
    /// Bases complete before they are on media.
    BaseNotDurable,
}

/// How wild a run is; per mille of the steps of a running process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Faults {
    pub(crate) kill: u32,
    pub(crate) pause: u32,
    pub(crate) crash: u32,
    pub(crate) lose_cache: u32,
    pub(crate) claim_unprovoked: u32,
    pub(crate) stop: u32,
}

impl Faults {
    pub(crate) const NONE: Self = Self { kill: 0, pause: 0, crash: 0, lose_cache: 0, claim_unprovoked: 0, stop: 0 };
}

/// One store of each mode, called as EMS calls them.
pub(crate) fn stores() -> Vec<StoreConfig> {
    let store =
        |name: &str, file: &str, mode| StoreConfig { name: name.into(), file: file.into(), mode, minimum_bytes: 0 };
    vec![store("$sys.failsafe", "sync-msgs.db", Mode::Sync), store("$sys.nonfailsafe", "async-msgs.db", Mode::Async)]
}

pub(crate) fn config() -> Config {
    Config {
        segment_bytes: 128 << 10,
        meta_segment_bytes: 64 << 10,
        batch_bytes_max: 16 << 10,
        async_flush_interval: MS,
        async_unflushed_max: 64 << 10,
        sync_unflushed_max: 64 << 10,
        heartbeat_interval: 2 * MS,
        unreadable_slot_limit: 40 * MS,
        cache_bytes_max: 64 << 10,
        tail_interval: MS / 2,
        ..Config::new("/data/store".into(), stores())
    }
}

/// A message that an owner believes to be live.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LiveMessage {
    pub(crate) id: u64,
    pub(crate) lsn: u64,
    pub(crate) location: Location,
}

/// A process.
pub(crate) struct Node {
    pub(crate) store: Store,
    pub(crate) session: Session,
    pub(crate) epoch: u64,
    /// Serves, and all that was recovered is known.
    pub(crate) is_serving: bool,
    /// What was recovered, as far as it is known, by store, and which stores were handed over.
    loading: Option<(store::Recovered, [(Vec<RecoveredMessage>, bool); 2])>,
    pub(crate) paused_until: Option<Nanos>,
    inbox: VecDeque<DiskDone>,
    slots: BTreeSet<FileId>,
    slot_reads: BTreeSet<u64>,
    segments: BTreeSet<FileId>,
    /// Spares that it made anew.
    pub(crate) spares_made: u64,
    /// Files that are, or may become, an owner's.
    owners: BTreeSet<FileId>,
    /// (epoch, heartbeat), and when it last changed.
    owner: Option<((u64, u64), Nanos)>,
    next_probe: Nanos,
    pub(crate) live: [Vec<LiveMessage>; 2],
    reading: BTreeMap<(u8, Location), u64>,
    /// Destinations defined in this epoch.
    defined: [u32; 2],
    pub(crate) notes: Vec<String>,
    /// Completions that it has seen.
    pub(crate) completions: u64,
    /// Messages that it copied forward.
    copied: u64,
    /// Segments of its metadata that it removed.
    removed_metadata: u64,
    /// What it was refused, and told, last.
    pub(crate) last_refused: Option<Refused>,
    pub(crate) rooms: u64,
}

impl Node {
    /// Acknowledges a message; the store need not answer a read of it that is under way.
    pub(crate) fn acknowledge(
        &mut self,
        now: Nanos,
        store: u8,
        message: LiveMessage,
        is_awaited: bool,
    ) -> Result<u64, Refused> {
        let lsn = self.store.acknowledge(now, store, message.lsn, message.location, is_awaited)?;
        self.reading.remove(&(store, message.location));
        Ok(lsn)
    }
}

pub(crate) struct World {
    pub(crate) disk: SimDisk,
    pub(crate) now: Nanos,
    pub(crate) nodes: Vec<Option<Node>>,
    pub(crate) model: Model,
    pub(crate) config: Config,
    pub(crate) mutant: Mutant,
    pub(crate) random: fastrand::Rng,
    pub(crate) activation: Nanos,
    pub(crate) takeovers: u64,
    pub(crate) fenced: u64,
    pub(crate) stopped: u64,
    /// Takeovers by a standby that had followed the journal.
    pub(crate) hot: u64,
    /// Standbys that lost their place.
    pub(crate) reloads: u64,
    /// Publishes to the sync store beside loading, which the model does not follow: for the last epoch of a test.
    pub(crate) publishes_while_loading: bool,
    /// False: who ended stays down.
    pub(crate) restarts: bool,
    pub(crate) failures: Vec<String>,
    restart_at: Vec<Nanos>,
    next_process: u128,
    pub(crate) client_is_active: bool,
    pub(crate) message_bytes_max: usize,
    /// Turnover in which one message in so many is nearly never taken; 0: as it comes.
    pub(crate) stays: u64,
    /// Messages that were copied forward.
    pub(crate) copied: u64,
    /// Bases that were issued, and segments of metadata that were removed, by epoch.
    pub(crate) bases: u64,
    pub(crate) removed_metadata: BTreeMap<u64, u64>,
    /// Takeovers from an owner that had removed metadata, and those of them by a standby that had followed it.
    pub(crate) rebased: u64,
    pub(crate) rebased_hot: u64,
}

impl World {
    pub(crate) fn new(seed: u64, nodes: usize, config: Config) -> Self {
        Self::with_disk(SimDisk::new(seed, SimConfig::default()), seed, nodes, config)
    }

    pub(crate) fn with_disk(disk: SimDisk, seed: u64, nodes: usize, config: Config) -> Self {
        Self {
            disk,
            now: 1,
            nodes: (0..nodes).map(|_| None).collect(),
            model: Model::default(),
            config,
            mutant: Mutant::None,
            random: fastrand::Rng::with_seed(seed ^ 0x5eed),
            activation: 12 * MS,
            takeovers: 0,
            fenced: 0,
            stopped: 0,
            hot: 0,
            reloads: 0,
            publishes_while_loading: false,
            restarts: true,
            failures: Vec::new(),
            restart_at: vec![0; nodes],
            next_process: u128::from(seed) << 64,
            client_is_active: true,
            message_bytes_max: 3000,
            stays: 0,
            copied: 0,
            bases: 0,
            removed_metadata: BTreeMap::new(),
            rebased: 0,
            rebased_hot: 0,
        }
    }

    pub(crate) fn start(&mut self, index: usize) {
        self.next_process += 1 << 32;
        let session = self.disk.attach();
        let mut store = Store::new(self.config.clone(), self.next_process, disk::sim::aligned);
        store.watch(self.now);
        self.nodes[index] = Some(Node {
            store,
            session,
            epoch: 0,
            is_serving: false,
            loading: None,
            paused_until: None,
            inbox: VecDeque::new(),
            slots: BTreeSet::new(),
            slot_reads: BTreeSet::new(),
            segments: BTreeSet::new(),
            spares_made: 0,
            owners: BTreeSet::new(),
            owner: None,
            next_probe: 0,
            live: [Vec::new(), Vec::new()],
            reading: BTreeMap::new(),
            defined: [0; 2],
            notes: Vec::new(),
            completions: 0,
            copied: 0,
            removed_metadata: 0,
            last_refused: None,
            rooms: 0,
        });
    }

    pub(crate) fn kill(&mut self, index: usize) {
        if let Some(node) = self.nodes[index].take() {
            self.disk.kill(node.session);
        }
        self.restart_at[index] = self.now + self.random.u64(0..5 * MS);
    }

    /// Power loss of everything.
    pub(crate) fn crash(&mut self) {
        self.disk.crash();
        for index in 0..self.nodes.len() {
            self.nodes[index] = None;
            self.restart_at[index] = self.now + self.random.u64(0..5 * MS);
        }
    }

    pub(crate) fn serving(&self) -> Option<usize> {
        self.nodes
            .iter()
            .position(|node| node.as_ref().is_some_and(|node| node.is_serving && node.paused_until.is_none()))
    }

    /// Moves to the next moment at which something can happen and lets it happen.
    pub(crate) fn step(&mut self) -> Result<(), Violation> {
        let timers = self.nodes.iter().flatten().filter_map(|node| match node.paused_until {
            Some(until) => Some(until),
            None if !node.inbox.is_empty() => Some(self.now),
            None => node.store.poll_timeout(),
        });
        let down = self.nodes.iter().zip(&self.restart_at).filter(|(node, _)| node.is_none() && self.restarts);
        let restarts = down.map(|(_, at)| *at);
        let client = self.now + 50_000;
        let next = timers.chain(self.disk.poll_timeout()).chain(restarts).chain([client]).min().unwrap_or(client);
        self.now = next.max(self.now + 1);
        while let Some((session, done)) = self.disk.poll(self.now) {
            if let Some(node) = self.nodes.iter_mut().flatten().find(|node| node.session == session) {
                node.inbox.push_back(done);
            }
        }
        for index in 0..self.nodes.len() {
            match &mut self.nodes[index] {
                None if self.restarts && self.restart_at[index] <= self.now => self.start(index),
                None => {}
                Some(node) if node.paused_until.is_some_and(|until| until > self.now) => {}
                Some(node) => {
                    node.paused_until = None;
                    self.turn(index)?;
                }
            }
        }
        Ok(())
    }

    /// One turn of a process's loop.
    fn turn(&mut self, index: usize) -> Result<(), Violation> {
        let now = self.now;
        let Some(node) = &mut self.nodes[index] else { return Ok(()) };
        // As in the real loop, timers may be seen before completions.
        let timers_first = self.random.bool();
        if timers_first && node.store.poll_timeout().is_some_and(|at| at <= now) {
            node.store.handle_timeout(now);
        }
        while let Some(done) = node.inbox.pop_front() {
            let done = if self.mutant == Mutant::NoCheck { lie(node, done) } else { done };
            node.completions += 1;
            node.store.handle_disk(now, done);
        }
        if node.store.poll_timeout().is_some_and(|at| at <= now) {
            node.store.handle_timeout(now);
        }
        self.events(index)?;
        self.load(index)?;
        self.decide(index);
        if self.client_is_active {
            self.client(index);
        }
        let Some(node) = &mut self.nodes[index] else { return Ok(()) };
        node.store.flush(now);
        while let Some(mut request) = node.store.poll_disk() {
            watch_files(node, request.id, &request.op);
            let is_base = is_base(node, &request.op);
            self.bases += u64::from(is_base);
            if self.mutant == Mutant::NoDurability {
                strip(node, &mut request.op);
            }
            if let DiskOp::Write { durable, .. } = &mut request.op
                && is_base
                && self.mutant == Mutant::BaseNotDurable
            {
                *durable = false;
            }
            self.disk.submit(now, node.session, request);
        }
        // Who ended tells nothing.
        if let Some(space) = node.store.space() {
            self.copied += space.copied_messages - std::mem::replace(&mut node.copied, space.copied_messages);
            let removed = space.removed_metadata_segments;
            *self.removed_metadata.entry(node.epoch).or_default() +=
                removed - std::mem::replace(&mut node.removed_metadata, removed);
        }
        self.events(index)
    }

    fn events(&mut self, index: usize) -> Result<(), Violation> {
        while let Some(node) = &mut self.nodes[index] {
            let Some(event) = node.store.poll_event() else { break };
            match event {
                Event::Owner { epoch, heartbeat } => node.owner = Some(((epoch, heartbeat), self.now)),
                Event::Lock { free, .. } if free && node.epoch == 0 => node.store.claim(self.now),
                Event::Lock { .. } | Event::Claimed { .. } => {}
                Event::Room { .. } => node.rooms += 1,
                Event::ClaimLost { .. } => node.next_probe = self.now + self.random.u64(MS..10 * MS),
                Event::Serving(recovered) => {
                    node.epoch = recovered.epoch;
                    node.loading = Some((recovered, Default::default()));
                }
                Event::Backlog { .. } | Event::StandbyFollows(_) | Event::StandbyBehind { .. } => {}
                Event::StandbyReload { .. } => self.reloads += 1,
                Event::Confirmable { .. } if !node.is_serving => {}
                Event::Confirmable { store, through } => self.model.confirmed(node.epoch, store, through)?,
                Event::Body { store, location, result } => {
                    let Some(id) = node.reading.remove(&(store, location)) else { continue };
                    match result {
                        Ok(bytes) => check_payload(id, &bytes)?,
                        Err(error) => self.failures.push(format!("body of {id}: {error}")),
                    }
                }
                Event::Note(note) => node.notes.push(note),
                Event::RecoveryFailed(error) => {
                    self.failures.push(error.to_string());
                    self.kill(index);
                }
                Event::Poisoned(error) => {
                    self.failures.push(error.to_string());
                    self.kill(index);
                }
                Event::Fenced { .. } => {
                    self.fenced += 1;
                    self.kill(index);
                }
                Event::Stopped => {
                    self.stopped += 1;
                    self.kill(index);
                }
            }
        }
        Ok(())
    }

    /// Takes over what was recovered, a part in each turn. Clients have to wait until all is known, since the model
    /// has to know what an epoch began with.
    fn load(&mut self, index: usize) -> Result<(), Violation> {
        let Some(node) = &mut self.nodes[index] else { return Ok(()) };
        let Some((_, stores)) = &mut node.loading else { return Ok(()) };
        if self.publishes_while_loading {
            let published = node.store.publish(self.now, 0, &[0], MessageKey::default(), &[&[7; 100]]);
            assert!(published.is_ok(), "{published:?}");
        }
        for (store, (messages, is_complete)) in (0..).zip(stores.iter_mut()) {
            while !*is_complete {
                match node.store.backlog(store, self.random.usize(1..200)) {
                    Backlog::Part { messages: part, .. } => messages.extend(part),
                    Backlog::Complete => *is_complete = true,
                    Backlog::Pending => break,
                }
                if self.random.u8(0..8) == 0 {
                    break;
                }
            }
        }
        if stores.iter().all(|(_, is_complete)| *is_complete)
            && let Some((recovered, stores)) = node.loading.take()
        {
            self.serve(index, recovered, stores.map(|(messages, _)| messages))?;
        }
        Ok(())
    }

    fn serve(
        &mut self,
        index: usize,
        recovered: store::Recovered,
        stores: [Vec<RecoveredMessage>; 2],
    ) -> Result<(), Violation> {
        let Some(node) = &mut self.nodes[index] else { return Ok(()) };
        self.takeovers += 1;
        self.hot += u64::from(recovered.hot);
        let before = self.removed_metadata.range(..recovered.epoch).next_back();
        let is_rebased = before.is_some_and(|(_, removed)| *removed > 0);
        self.rebased += u64::from(is_rebased);
        self.rebased_hot += u64::from(is_rebased && recovered.hot);
        node.is_serving = true;
        node.notes.extend(recovered.notes.clone());
        for (store, messages) in (0..2u8).zip(&stores) {
            let names = recovered.destinations.iter().filter(|found| found.store == store);
            for RecoveredDestination { id, name, has_backlog, .. } in names.clone() {
                let has_messages = messages.iter().any(|message| message.destination == *id);
                if *name != destination(*id) || has_messages && !has_backlog {
                    return Err(Violation(format!("destination {id} is called {name}, backlog: {has_backlog}")));
                }
            }
            node.defined[usize::from(store)] = names.count() as u32;
            let live = self.model.recovered(recovered.epoch, store, messages)?;
            node.live[usize::from(store)] = live;
        }
        // What proves lost only when it is handed over was counted.
        if !self.config.force_start
            && recovered.messages != stores.iter().map(|messages| messages.len() as u64).sum::<u64>()
        {
            return Err(Violation("the number of recovered messages is wrong".into()));
        }
        // Whatever is live can be read.
        for store in 0..2u8 {
            for message in node.live[usize::from(store)].clone() {
                read(node, store, message)?;
            }
        }
        Ok(())
    }

    /// What the HA machine of a server would do, roughly.
    fn decide(&mut self, index: usize) {
        let Some(node) = &mut self.nodes[index] else { return };
        if node.is_serving || node.loading.is_some() || self.now < node.next_probe {
            return;
        }
        let Some(((epoch, _), since)) = node.owner else { return };
        node.next_probe = self.now + 2 * MS + self.random.u64(0..MS);
        if epoch > 0 && self.now >= since + self.activation {
            node.store.claim(self.now);
        } else {
            node.store.probe_lock(self.now);
        }
    }

    /// Clients of a serving node: publish, acknowledge, read.
    fn client(&mut self, index: usize) {
        let Some(node) = &mut self.nodes[index] else { return };
        if !node.is_serving {
            return;
        }
        for store in 0..2u8 {
            for _ in 0..self.random.usize(0..4) {
                let is_full = self.stays > 0 && node.live[usize::from(store)].len() > 40;
                if self.random.u8(0..10) < if is_full { 2 } else { 6 } {
                    let len = self.random.usize(0..self.message_bytes_max);
                    publish(node, &mut self.model, &mut self.random, self.now, store, len);
                } else {
                    let live = &mut node.live[usize::from(store)];
                    if live.is_empty() || self.stays > 0 && live.len() < 20 {
                        continue;
                    }
                    // Mostly in order, now and then one is left behind or taken early.
                    let at = if self.random.u8(0..10) == 0 { self.random.usize(0..live.len()) } else { 0 };
                    let goes = |message: &LiveMessage| self.stays == 0 || !message.id.is_multiple_of(self.stays);
                    let at = if at == 0 { live.iter().position(goes).unwrap_or(0) } else { at };
                    let message = live[at];
                    let is_awaited = self.random.bool();
                    if let Ok(lsn) = node.acknowledge(self.now, store, message, is_awaited) {
                        node.live[usize::from(store)].remove(at);
                        self.model.acknowledged(node.epoch, store, lsn, message.id);
                    }
                }
            }
            let live = &node.live[usize::from(store)];
            if !live.is_empty() && self.random.u8(0..4) == 0 {
                let message = live[self.random.usize(0..live.len())];
                if let Err(violation) = read(node, store, message) {
                    self.failures.push(violation.0);
                }
            }
        }
    }

    /// Plants faults at random before a step.
    pub(crate) fn nemesis(&mut self, faults: Faults) {
        let mut hits = |per_mille: u32| per_mille > 0 && self.random.u32(0..10_000) < per_mille;
        let (kill, pause, crash) = (hits(faults.kill), hits(faults.pause), hits(faults.crash));
        let (lose, claim, stop) = (hits(faults.lose_cache), hits(faults.claim_unprovoked), hits(faults.stop));
        let index = self.random.usize(0..self.nodes.len());
        if kill {
            self.kill(index);
        }
        if crash {
            self.crash();
        }
        if lose {
            self.disk.lose_cache();
        }
        let pause_for = self.random.u64(MS..40 * MS);
        // A paused process does nothing, not even stop.
        if let Some(node) = self.nodes[index].as_mut().filter(|node| node.paused_until.is_none()) {
            if pause {
                node.paused_until = Some(self.now + pause_for);
            }
            if claim && !pause && node.epoch == 0 {
                node.store.claim(self.now);
            }
            if stop && !pause && node.is_serving {
                node.store.stop(self.now);
            }
        }
    }

    /// Without faults: steps until somebody serves and all that it admitted is confirmed.
    pub(crate) fn settle(&mut self) -> Result<usize, Violation> {
        self.client_is_active = false;
        let deadline = self.now + 4_000 * MS;
        while self.now < deadline {
            self.step()?;
            if let Some(index) = self.serving()
                && let Some(node) = &self.nodes[index]
                && (0..2).all(|store| self.model.is_quiet(node.epoch, store))
                && node.reading.is_empty()
            {
                self.client_is_active = true;
                return Ok(index);
            }
        }
        Err(Violation(format!(
            "nobody serves after four quiet seconds; {:?}",
            self.failures.iter().take(3).collect::<Vec<_>>()
        )))
    }

    /// Steps until somebody serves, with clients as they are.
    pub(crate) fn until_serving(&mut self) -> Result<usize, Violation> {
        let deadline = self.now + 4_000 * MS;
        while self.now < deadline {
            self.step()?;
            if let Some(index) = self.serving() {
                return Ok(index);
            }
        }
        Err(Violation(format!("nobody serves; {:?}", self.failures.iter().take(3).collect::<Vec<_>>())))
    }

    pub(crate) fn run_for(&mut self, duration: Nanos) -> Result<(), Violation> {
        let until = self.now + duration;
        while self.now < until {
            self.step()?;
        }
        Ok(())
    }
}

pub(crate) fn destination(id: u32) -> String {
    format!("queue.{id}")
}

pub(crate) fn publish(
    node: &mut Node,
    model: &mut Model,
    random: &mut fastrand::Rng,
    now: Nanos,
    store: u8,
    len: usize,
) -> Option<Refused> {
    let defined = &mut node.defined[usize::from(store)];
    if *defined < 5 && random.bool() && node.store.define_destination(store, *defined, &destination(*defined)).is_ok() {
        *defined += 1;
    }
    if *defined == 0 {
        return None;
    }
    let id = model.next_id();
    let bytes = payload(id, len);
    let key = MessageKey { expires_at_ms: id * 7, priority: (id % 10) as u8, flags: 3 };
    let (head, tail) = bytes.split_at(bytes.len() / 2);
    match node.store.publish(now, store, &[id as u32 % *defined], key, &[head, tail]) {
        Ok(appended) => {
            model.published(node.epoch, store, appended.lsn, id);
            node.live[usize::from(store)].push(LiveMessage { id, lsn: appended.lsn, location: appended.location });
            None
        }
        Err(refused) => {
            node.last_refused = Some(refused);
            Some(refused)
        }
    }
}

pub(crate) fn read(node: &mut Node, store: u8, message: LiveMessage) -> Result<(), Violation> {
    match node.store.body(store, message.location) {
        Body::Ready(bytes) => check_payload(message.id, &bytes),
        Body::Pending => {
            node.reading.insert((store, message.location), message.id);
            Ok(())
        }
    }
}

fn check_payload(id: u64, bytes: &[u8]) -> Result<(), Violation> {
    if bytes.len() >= 8 && bytes == payload(id, bytes.len() - 8) {
        return Ok(());
    }
    Err(Violation(format!("message {id} has the wrong bytes")))
}

/// Takes the durability from journal batches: writes behind the first block of a segment.
fn strip(node: &Node, op: &mut DiskOp) {
    if let DiskOp::Write { file, offset: 4096.., durable, .. } = op
        && node.segments.contains(file)
    {
        *durable = false;
    }
}

/// A copy of a base.
fn is_base(node: &Node, op: &DiskOp) -> bool {
    matches!(op, DiskOp::Write { file, offset: 8192 | 12288, .. } if node.owners.contains(file))
}

/// Notes which reads are ownership checks, and which files are segments or an owner's.
fn watch_files(node: &mut Node, id: u64, op: &DiskOp) {
    match op {
        DiskOp::Open { file, path, mode } if path.to_string_lossy().contains("/spare.") => {
            node.spares_made += u64::from(*mode == OpenMode::CreateNew);
            node.segments.insert(*file);
        }
        DiskOp::Open { file, path, mode: OpenMode::CreateNew } if path.to_string_lossy().contains("/claim.") => {
            node.owners.insert(*file);
        }
        DiskOp::Open { file, path, mode: OpenMode::Read } if path.to_string_lossy().contains("/slot.") => {
            node.slots.insert(*file);
        }
        DiskOp::Read { file, .. } if node.slots.contains(file) => {
            node.slot_reads.insert(id);
        }
        _ => {}
    }
}

/// Answers an ownership check with zeros.
fn lie(node: &mut Node, done: DiskDone) -> DiskDone {
    if !node.slot_reads.remove(&done.id) {
        return done;
    }
    let mut zeros = disk::sim::aligned(4096);
    zeros.resize(4096, 0);
    DiskDone { id: done.id, result: Ok(Outcome::Data(zeros.freeze())) }
}
