//! One simulated disk, shared by several simulated processes, deterministic from a seed.
//!
//! Owns the public surface: processes (`Session`s), submission, completion, and what can go wrong: a process is
//! killed, the power or the storage's cache is lost, an operation is made to fail, a file is altered by hand.
//! Stands in for one file system that holds what `store` assumes of it (docs/FORMATS.md, "What is assumed of the disk"):
//! reads and writes take effect between submission and completion, a durable write that completed survives.
//! Everything else is left to chance: in which order requests take effect, which blocks of a write in flight land,
//! what of the unsynced data and names a crash keeps. It does not simulate rot; tests do that by [`SimDisk::tamper`].

mod content;
mod images;
mod names;
mod operation;
#[cfg(test)]
mod tests;

use crate::{BLOCK_SIZE, DiskDone, DiskOp, DiskRequest, FileId, Nanos};
use bytes::BytesMut;
use content::Inode;
pub use images::CrashImage;
use names::{InodeId, Names};
use operation::Operation;
use std::collections::{BTreeMap, VecDeque};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// How the simulated disk behaves.
#[derive(Clone, Debug)]
pub struct SimConfig {
    /// An operation takes at least this long, in nanoseconds.
    pub latency_ns_min: Nanos,
    /// An operation normally takes at most this long, in nanoseconds.
    pub latency_ns_max: Nanos,
    /// So many operations of a million take up to `slow_ns_max` instead.
    pub slow_per_million: u32,
    /// The longest that an operation takes, in nanoseconds.
    pub slow_ns_max: Nanos,
    /// What was in flight when its process was killed may take effect up to so many nanoseconds later.
    pub late_ns_max: Nanos,
    /// A power loss keeps or drops data in units of so many bytes; a power of two, 512 to 4096.
    pub tear_bytes: usize,
    /// Writes that need more blocks than this many bytes fail with `StorageFull`.
    pub capacity_bytes: u64,
    /// Whether files open for direct I/O; if so, misaligned requests are refused as a real disk would.
    pub direct: bool,
}

impl Default for SimConfig {
    fn default() -> Self {
        Self {
            latency_ns_min: 5_000,
            latency_ns_max: 60_000,
            slow_per_million: 2_000,
            slow_ns_max: 5_000_000,
            late_ns_max: 5_000_000,
            tear_bytes: 512,
            capacity_bytes: u64::MAX,
            direct: true,
        }
    }
}

/// One simulated process that uses the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Session(pub u32);

/// The kind of a [`DiskOp`], to select operations that shall fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpKind {
    /// `DiskOp::Open`
    Open,
    /// `DiskOp::Close`
    Close,
    /// `DiskOp::SetLen`
    SetLen,
    /// `DiskOp::Allocate`
    Allocate,
    /// `DiskOp::Write`
    Write,
    /// `DiskOp::Read`
    Read,
    /// `DiskOp::Sync`
    Sync,
    /// `DiskOp::SyncDir`
    SyncDir,
    /// `DiskOp::Link`
    Link,
    /// `DiskOp::Unlink`
    Unlink,
    /// `DiskOp::CreateDir`
    CreateDir,
    /// `DiskOp::List`
    List,
    /// `DiskOp::TryLock`
    TryLock,
}

impl OpKind {
    /// The kind of `op`.
    pub fn of(op: &DiskOp) -> Self {
        match op {
            DiskOp::Open { .. } => Self::Open,
            DiskOp::Close { .. } => Self::Close,
            DiskOp::SetLen { .. } => Self::SetLen,
            DiskOp::Allocate { .. } => Self::Allocate,
            DiskOp::Write { .. } => Self::Write,
            DiskOp::Read { .. } => Self::Read,
            DiskOp::Sync { .. } => Self::Sync,
            DiskOp::SyncDir { .. } => Self::SyncDir,
            DiskOp::Link { .. } => Self::Link,
            DiskOp::Unlink { .. } => Self::Unlink,
            DiskOp::CreateDir { .. } => Self::CreateDir,
            DiskOp::List { .. } => Self::List,
            DiskOp::TryLock { .. } => Self::TryLock,
        }
    }
}

/// A planted error: the next `count` operations that match fail with `kind`.
#[derive(Clone, Debug)]
pub struct Fault {
    /// Only this process's operations; `None` is any.
    pub session: Option<Session>,
    /// Only operations of this kind.
    pub operation: OpKind,
    /// Only on a path that contains this text; empty is any.
    pub path_contains: String,
    /// The error.
    pub kind: ErrorKind,
    /// How many operations fail.
    pub count: u32,
}

#[derive(Clone, Debug)]
struct Handle {
    inode: InodeId,
    path: PathBuf,
    writable: bool,
}

#[derive(Clone, Debug)]
struct Process {
    alive: bool,
    open: BTreeMap<FileId, Handle>,
}

/// What happens at a moment of simulated time.
#[derive(Clone, Debug)]
enum Step {
    /// A part of an operation takes effect.
    Effect { operation: u64, part: usize },
    /// An operation completes.
    Complete { operation: u64 },
    /// Nothing of a killed process is in flight any more: its files close, its locks go.
    Bury { session: Session },
}

/// The simulated disk. `Clone` forks it: both copies go on from the same state with the same chance.
#[derive(Clone, Debug)]
pub struct SimDisk {
    config: SimConfig,
    random: fastrand::Rng,
    now: Nanos,
    names: Names,
    inodes: BTreeMap<InodeId, Inode>,
    processes: Vec<Process>,
    locks: BTreeMap<InodeId, (Session, FileId)>,
    steps: BTreeMap<(Nanos, u64), Step>,
    operations: BTreeMap<u64, Operation>,
    done: VecDeque<(Session, DiskDone)>,
    faults: Vec<Fault>,
    next_inode: u64,
    next_step: u64,
    next_operation: u64,
    used_blocks: u64,
    /// How often the cache was lost.
    losses: u64,
}

impl SimDisk {
    /// An empty disk that holds the directory `/`.
    pub fn new(seed: u64, config: SimConfig) -> Self {
        assert!(config.latency_ns_min > 0 && config.latency_ns_min <= config.latency_ns_max);
        assert!(config.tear_bytes.is_power_of_two() && (512..=BLOCK_SIZE).contains(&config.tear_bytes));
        Self {
            config,
            random: fastrand::Rng::with_seed(seed),
            now: 0,
            names: Names::new(),
            inodes: BTreeMap::new(),
            processes: Vec::new(),
            locks: BTreeMap::new(),
            steps: BTreeMap::new(),
            operations: BTreeMap::new(),
            done: VecDeque::new(),
            faults: Vec::new(),
            next_inode: 1,
            next_step: 0,
            next_operation: 0,
            used_blocks: 0,
            losses: 0,
        }
    }

    /// A process starts to use the disk.
    pub fn attach(&mut self) -> Session {
        self.processes.push(Process { alive: true, open: BTreeMap::new() });
        Session(self.processes.len() as u32 - 1)
    }

    /// Hands in a request. It takes effect, and completes, at later times than `now`.
    pub fn submit(&mut self, now: Nanos, session: Session, request: DiskRequest) {
        self.now = self.now.max(now);
        assert!(self.process(session).alive, "a killed process submits nothing");
        let latency = self.latency();
        let complete_at = self.now + latency;
        let operation = self.begin(session, request);
        let parts = operation.parts();
        let key = self.next_operation;
        self.next_operation += 1;
        self.operations.insert(key, operation);
        for part in 0..parts {
            let at = self.now + self.random.u64(1..=latency);
            self.schedule(at, Step::Effect { operation: key, part });
        }
        self.schedule(complete_at, Step::Complete { operation: key });
    }

    /// Carries out what is due at `now`; returns completions one by one, `None` when there is no more.
    pub fn poll(&mut self, now: Nanos) -> Option<(Session, DiskDone)> {
        while self.steps.first_key_value().is_some_and(|((at, _), _)| *at <= now) {
            let ((at, _), step) = self.steps.pop_first()?;
            self.now = self.now.max(at);
            self.run(step);
        }
        self.now = self.now.max(now);
        self.done.pop_front()
    }

    /// When `poll` may have something to do next; its answer then may still be `None`.
    pub fn poll_timeout(&self) -> Option<Nanos> {
        if !self.done.is_empty() {
            return Some(self.now);
        }
        self.steps.first_key_value().map(|((at, _), _)| *at)
    }

    /// SIGKILL. Each part of what is in flight takes effect now, within `late_ns_max`, or never; completions are
    /// not delivered. Locks go free once nothing is in flight any more, as the kernel does it.
    pub fn kill(&mut self, session: Session) {
        if !self.process(session).alive {
            return;
        }
        self.processes[session.0 as usize].alive = false;
        self.done.retain(|(of, _)| *of != session);
        let mut last = self.now;
        let steps = std::mem::take(&mut self.steps);
        for ((at, order), step) in steps {
            match step {
                Step::Effect { operation, .. } if self.operations[&operation].session == session => {
                    match self.random.u8(0..3) {
                        0 => self.run(step),
                        1 => {
                            let later = self.now + self.random.u64(0..=self.config.late_ns_max);
                            last = last.max(later);
                            self.schedule(later, step);
                        }
                        _ => {}
                    }
                }
                Step::Complete { operation } if self.operations[&operation].session == session => {}
                _ => {
                    self.steps.insert((at, order), step);
                }
            }
        }
        if last == self.now {
            self.bury(session);
        } else {
            self.schedule(last, Step::Bury { session });
        }
    }

    /// Power loss: every process dies, and of what was not durable each unit is kept, dropped or torn by chance.
    pub fn crash(&mut self) {
        let steps = std::mem::take(&mut self.steps);
        for (_, step) in steps {
            if matches!(step, Step::Effect { .. }) && self.random.bool() {
                self.run(step);
            }
        }
        self.operations.clear();
        self.done.clear();
        self.locks.clear();
        for process in &mut self.processes {
            process.alive = false;
            process.open.clear();
        }
        for inode in self.inodes.values_mut() {
            inode.lose_length(&mut self.random);
        }
        self.names.lose_cache(&mut self.random);
        self.lose_cache();
    }

    /// The storage loses data in its volatile cache while the processes go on. Names and lengths stay: a server that
    /// may restart under its clients makes those durable before it answers.
    pub fn lose_cache(&mut self) {
        self.losses += 1;
        for inode in self.inodes.values_mut() {
            inode.lose_data(&mut self.random, self.config.tear_bytes);
        }
        self.collect();
    }

    /// Plants an error.
    pub fn fail_next(&mut self, fault: Fault) {
        self.faults.push(fault);
    }

    /// Removes all planted errors.
    pub fn heal(&mut self) {
        self.faults.clear();
    }

    /// Changes the capacity, in bytes.
    pub fn set_capacity(&mut self, capacity_bytes: u64) {
        self.config.capacity_bytes = capacity_bytes;
    }

    /// Bytes that blocks occupy now.
    pub fn used_bytes(&self) -> u64 {
        self.used_blocks * BLOCK_SIZE as u64
    }

    /// A copy with another chance, to look at what a crash here could leave.
    pub fn fork(&self, seed: u64) -> Self {
        let mut copy = self.clone();
        copy.random = fastrand::Rng::with_seed(seed);
        copy
    }

    /// All files' paths, sorted.
    pub fn paths(&self) -> Vec<PathBuf> {
        self.names.files().map(|(path, _)| path.clone()).collect()
    }

    /// The content of a file as a reader sees it now; `None` when there is no such file.
    pub fn content(&self, path: &Path) -> Option<Vec<u8>> {
        Some(self.inodes[&self.names.file(path)?].to_vec())
    }

    /// Alters a file behind everybody's back, durably (rot, truncation, a careless hand). False: no such file.
    pub fn tamper(&mut self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) -> bool {
        let Some(id) = self.names.file(path) else {
            return false;
        };
        let mut bytes = self.inodes[&id].to_vec();
        change(&mut bytes);
        self.inodes.insert(id, Inode::from_bytes(&bytes));
        self.collect();
        true
    }

    /// Puts a file with `bytes` where there was none, with its folders, behind everybody's back and durably.
    pub fn put(&mut self, path: &Path, bytes: &[u8]) {
        assert!(self.names.put(path, InodeId(self.next_inode)), "{} is taken", path.display());
        self.inodes.insert(InodeId(self.next_inode), Inode::from_bytes(bytes));
        self.next_inode += 1;
        self.collect();
    }

    /// Removes a name behind everybody's back, durably. False: no such name.
    pub fn remove(&mut self, path: &Path) -> bool {
        let removed = self.names.forget(path);
        self.collect();
        removed
    }

    fn process(&self, session: Session) -> &Process {
        &self.processes[session.0 as usize]
    }

    fn latency(&mut self) -> Nanos {
        let slow = self.random.u32(0..1_000_000) < self.config.slow_per_million;
        let most =
            if slow { self.config.slow_ns_max.max(self.config.latency_ns_max) } else { self.config.latency_ns_max };
        self.random.u64(self.config.latency_ns_min..=most)
    }

    fn schedule(&mut self, at: Nanos, step: Step) {
        self.next_step += 1;
        self.steps.insert((at, self.next_step), step);
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Effect { operation, part } => self.effect(operation, part),
            Step::Complete { operation } => self.complete(operation),
            Step::Bury { session } => self.bury(session),
        }
    }

    fn bury(&mut self, session: Session) {
        self.processes[session.0 as usize].open.clear();
        self.locks.retain(|_, (holder, _)| *holder != session);
        self.operations.retain(|_, operation| operation.session != session);
        self.collect();
    }

    /// Frees files that nothing can reach any more and counts the rest.
    fn collect(&mut self) {
        let mut reachable: Vec<InodeId> = self.names.files().map(|(_, inode)| inode).collect();
        reachable.extend(self.processes.iter().flat_map(|process| process.open.values().map(|handle| handle.inode)));
        reachable.extend(self.operations.values().filter_map(|operation| operation.inode()));
        reachable.sort_unstable();
        reachable.dedup();
        self.used_blocks = reachable.iter().filter_map(|id| self.inodes.get(id)).map(Inode::blocks).sum();
        reachable.extend(self.names.durable_files());
        reachable.sort_unstable();
        self.inodes.retain(|id, _| reachable.binary_search(id).is_ok());
    }
}

/// A buffer of at least `len` bytes capacity at a block-aligned address, as the real executor allocates it.
pub fn aligned(len: usize) -> BytesMut {
    let mut buffer = BytesMut::with_capacity(len + BLOCK_SIZE);
    let excess = buffer.as_ptr() as usize % BLOCK_SIZE;
    if excess != 0 {
        buffer.resize(BLOCK_SIZE - excess, 0);
        drop(buffer.split_to(BLOCK_SIZE - excess));
    }
    assert!((buffer.as_ptr() as usize).is_multiple_of(BLOCK_SIZE) && buffer.capacity() >= len);
    buffer
}
