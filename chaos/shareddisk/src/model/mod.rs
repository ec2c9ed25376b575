//! The model: a disk that several hosts share, without FUSE, clock, randomness or threads of its own.
//!
//! Owns what is durable, what is not, who holds which lock, and which faults are set. Time is an argument, chance comes from one
//! seed, bytes lie behind the port [`Media`]. Start at [`DiskModel`]; what an operation does is in `io`, what happens to a
//! whole host in `hosts`.

mod content;
mod faults;
mod hosts;
mod io;
mod locks;
mod media;
mod names;
mod past;
mod space;

pub use faults::{
    Effects, ErrnoName, FAULTS_MAX, FaultError, FaultId, FaultKind, FaultReport, FaultSpec, Head, Latency, Operation,
    SyncFault,
};
pub use hosts::{CrashMode, CrashReport, HostReport, HostState, InFlight, LateReport, Unsynced};
pub use io::{Attributes, Space, WriteRequest};
pub use locks::{LeaseRules, LeaseState, Lock, LockKind, OnLoss};
pub use media::{Media, Memory};
pub use names::{Kind, NameRule, NewNode, Node, Rename};
pub use space::BLOCK_BYTES;

use content::Content;
use faults::Injector;
use hosts::Host;
use locks::Locks;
use names::Names;
use nix::errno::Errno;
use past::Past;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::PathBuf;

/// Nanoseconds of CLOCK_MONOTONIC, or of any clock that the user of the model keeps.
pub type Nanos = u64;

/// Number of an inode. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Ino(pub u64);

impl Ino {
    /// The root of the tree, as FUSE numbers it.
    pub const ROOT: Self = Self(1);
}

/// Index of a host in the settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct HostId(pub u8);

/// An open file of some host. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Handle(pub u64);

/// Hosts, [`HOSTS_MAX`] at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostSet(u64);

/// How many hosts one disk can have.
pub const HOSTS_MAX: usize = 16;

impl HostSet {
    /// These hosts.
    pub fn of(hosts: impl IntoIterator<Item = HostId>) -> Self {
        Self(hosts.into_iter().fold(0, |set, host| set | 1 << host.0))
    }

    /// Whether a host is among them.
    pub fn contains(self, host: HostId) -> bool {
        self.0 & 1 << host.0 != 0
    }
}

/// What a host sees of what others have not synced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Visibility {
    /// All of it, as on a cluster file system.
    #[default]
    ClusterFs,
    /// Nothing of it until the writer closes or syncs the file, as on NFS.
    CloseToOpen,
}

/// What a disk is like. Durations are nanoseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// The names of its hosts; their order gives [`HostId`].
    pub hosts: Vec<String>,
    /// What makes names durable.
    #[serde(default)]
    pub names: NameRule,
    /// What hosts see of each other.
    #[serde(default)]
    pub visibility: Visibility,
    /// Rules of locks.
    pub lease: LeaseRules,
    /// Size of the disk.
    pub capacity_bytes: u64,
    /// After this time a host writes back what nobody has synced.
    pub write_back_ns: Nanos,
    /// More than this a host does not keep unsynced: the oldest is written back.
    pub dirty_bytes_max: u64,
    /// Decides what chance decides.
    pub seed: u64,
}

impl Settings {
    /// A disk for these hosts: 30 s until write-back, as Linux does, leases of 2 s with a grace of 1 s, 64 GiB.
    pub fn new(hosts: &[&str], seed: u64) -> Self {
        let lease = LeaseRules { lease_ns: 2_000_000_000, grace_ns: 1_000_000_000, on_loss: OnLoss::Told };
        Self {
            hosts: hosts.iter().map(|&host| host.to_owned()).collect(),
            names: NameRule::PosixWorst,
            visibility: Visibility::ClusterFs,
            lease,
            capacity_bytes: 64 << 30,
            write_back_ns: 30_000_000_000,
            dirty_bytes_max: 256 << 20,
            seed,
        }
    }
}

/// A disk that several hosts share.
pub struct DiskModel {
    settings: Settings,
    media: Box<dyn Media>,
    hosts: Vec<Host>,
    names: Names,
    files: BTreeMap<Ino, Content>,
    allocated: BTreeMap<Ino, space::Allocated>,
    used_blocks: u64,
    locks: Locks,
    injector: Injector,
    past: Past,
    handles: BTreeMap<Handle, (HostId, Ino)>,
    next_handle: u64,
    random: fastrand::Rng,
    written_back_at: Nanos,
}

impl std::fmt::Debug for DiskModel {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("DiskModel").field("settings", &self.settings).field("hosts", &self.hosts).finish()
    }
}

impl DiskModel {
    /// An empty disk, all of whose hosts are up.
    pub fn new(settings: Settings, media: Box<dyn Media>) -> Self {
        assert!((1..=HOSTS_MAX).contains(&settings.hosts.len()), "a disk has 1 to {HOSTS_MAX} hosts");
        let hosts: Vec<Host> = settings.hosts.iter().map(|name| Host::new(name)).collect();
        let ids = (0..hosts.len()).map(|index| HostId(index as u8));
        Self {
            locks: Locks::new(settings.lease, ids),
            names: Names::new(settings.names),
            injector: Injector::new(settings.seed),
            random: fastrand::Rng::with_seed(settings.seed.wrapping_add(1)),
            media,
            hosts,
            files: BTreeMap::new(),
            allocated: BTreeMap::new(),
            used_blocks: 0,
            past: Past::default(),
            handles: BTreeMap::new(),
            next_handle: 1,
            written_back_at: 0,
            settings,
        }
    }

    /// The host of this name.
    pub fn host(&self, name: &str) -> Option<HostId> {
        self.settings.hosts.iter().position(|host| host == name).map(|index| HostId(index as u8))
    }

    /// All hosts.
    pub fn hosts(&self) -> impl Iterator<Item = HostId> + use<> {
        (0..self.hosts.len() as u8).map(HostId)
    }

    /// The name of a host.
    pub fn host_name(&self, host: HostId) -> &str {
        &self.settings.hosts[usize::from(host.0)]
    }

    /// A path of an inode below the mount, with a slash in front.
    pub fn path(&self, ino: Ino) -> PathBuf {
        self.names.path(ino)
    }

    /// Sets a fault.
    pub fn add_fault(&mut self, spec: FaultSpec) -> Result<FaultId, FaultError> {
        let hosts = self.settings.hosts.clone();
        let resolve = |name: &str| hosts.iter().position(|host| host == name).map(|index| HostId(index as u8));
        let id = self.injector.add(spec, resolve)?;
        self.past.begin(&self.injector.stale_readers());
        Ok(id)
    }

    /// Ends a fault, or all; their proofs stay.
    pub fn remove_faults(&mut self, id: Option<FaultId>) {
        match id {
            Some(id) => drop(self.injector.remove(id)),
            None => self.injector.remove_all(),
        }
        self.past.keep(&self.injector.stale_readers());
    }

    /// Whether a fault is still set.
    pub fn is_fault_active(&self, id: FaultId) -> bool {
        self.injector.is_active(id)
    }

    /// The proofs of all faults.
    pub fn fault_reports(&self) -> Vec<FaultReport> {
        self.injector.reports()
    }

    /// What the faults do to an operation that arrives at `now`.
    pub fn decide(&mut self, now: Nanos, head: &Head<'_>) -> Effects {
        self.injector.decide(now, head)
    }

    /// Whether the disk takes an operation from this host: fences, lost locks, hosts that are gone.
    pub fn admit(&self, host: HostId, handle: Option<Handle>) -> Result<(), Errno> {
        if self.state(host) == HostState::Down {
            return Err(Errno::ENOTCONN);
        }
        self.locks.admit(host, handle)
    }

    /// Does what time does: leases end, old unsynced data is written back. Gives the hosts that lost their locks, and how many.
    pub fn poll(&mut self, now: Nanos) -> Vec<(HostId, usize)> {
        if now >= self.written_back_at + WRITE_BACK_INTERVAL_NS {
            self.written_back_at = now;
            self.write_back(now);
        }
        self.locks.lapse(now)
    }

    /// When [`Self::poll`] has something to do again, at the latest.
    pub fn next_at(&self) -> Nanos {
        let write_back = self.written_back_at + WRITE_BACK_INTERVAL_NS;
        self.locks.next_at().map_or(write_back, |lease| lease.min(write_back))
    }

    /// Takes a lock. `EAGAIN` while another has it.
    pub fn lock(&mut self, ino: Ino, wanted: Lock) -> Result<(), Errno> {
        self.names.node(ino)?;
        self.locks.lock(ino, wanted)
    }

    /// Gives up a range.
    pub fn unlock(&mut self, ino: Ino, range: &Lock) {
        self.locks.unlock(ino, range);
    }

    /// The lock that stands in the way, if one does.
    pub fn conflict(&self, ino: Ino, wanted: &Lock) -> Option<Lock> {
        self.locks.conflict(ino, wanted)
    }

    /// The inode of a name.
    pub fn lookup(&self, parent: Ino, name: &OsStr) -> Result<Ino, Errno> {
        self.names.lookup(parent, name)
    }

    /// The names in a directory.
    pub fn list(&self, parent: Ino) -> Result<Vec<(std::ffi::OsString, Ino)>, Errno> {
        self.names.list(parent)
    }

    /// Makes a new inode.
    pub fn create(&mut self, host: HostId, parent: Ino, name: &OsStr, node: NewNode) -> Result<Ino, Errno> {
        let file = node.kind == Kind::File;
        let ino = self.names.create(host, parent, name, node)?;
        if file {
            self.files.insert(ino, Content::default());
        }
        Ok(ino)
    }

    /// A further name of a file.
    pub fn link(&mut self, host: HostId, ino: Ino, parent: Ino, name: &OsStr) -> Result<(), Errno> {
        self.names.link(host, ino, parent, name)
    }

    /// Removes a name, of a directory or of something else.
    pub fn remove(&mut self, host: HostId, parent: Ino, name: &OsStr, directory: bool) -> Result<(), Errno> {
        self.names.remove(host, parent, name, directory)?;
        self.collect()
    }

    /// Moves a name.
    pub fn rename(&mut self, host: HostId, from: (Ino, &OsStr), to: (Ino, &OsStr), how: Rename) -> Result<(), Errno> {
        self.names.rename(host, from, to, how)?;
        self.collect()
    }

    /// Opens a file or directory.
    pub fn open(&mut self, host: HostId, ino: Ino) -> Result<Handle, Errno> {
        self.names.node(ino)?;
        let handle = Handle(self.next_handle);
        self.next_handle += 1;
        self.handles.insert(handle, (host, ino));
        Ok(handle)
    }

    /// A process closes one of its descriptors of the file.
    pub fn close(&mut self, host: HostId, ino: Ino, owner: u64) -> Result<(), Errno> {
        self.locks.closed_by(ino, host, owner);
        if self.settings.visibility == Visibility::CloseToOpen && self.files.contains_key(&ino) {
            self.commit_file(ino, HostSet::of([host]))?;
        }
        Ok(())
    }

    /// An open file has no descriptor any more.
    pub fn release(&mut self, handle: Handle) -> Result<(), Errno> {
        self.locks.released(handle);
        self.handles.remove(&handle);
        self.collect()
    }

    /// Forgets files that have neither name nor handle.
    fn collect(&mut self) -> Result<(), Errno> {
        let open: BTreeSet<Ino> = self.handles.values().map(|&(_, ino)| ino).collect();
        for ino in self.names.collect(&open) {
            if self.files.remove(&ino).is_some() {
                self.media.remove(ino).map_err(to_errno)?;
            }
            self.used_blocks -= self.allocated.remove(&ino).map_or(0, |allocated| allocated.total());
        }
        Ok(())
    }

    /// The tree that would be left if all hosts lost power now: directories, and files by inode and length.
    pub fn durable_tree(&self) -> (Vec<PathBuf>, Vec<(PathBuf, Ino, u64)>) {
        let (directories, files) = self.names.durable_tree();
        let len = |ino: Ino| self.files.get(&ino).map_or(0, |content| content.durable_len);
        (directories, files.into_iter().map(|(path, ino)| (path, ino, len(ino))).collect())
    }

    /// Whose unsynced changes a host sees.
    fn seen_by(&self, host: HostId) -> HostSet {
        match self.settings.visibility {
            Visibility::CloseToOpen => HostSet::of([host]),
            Visibility::ClusterFs => {
                HostSet::of(self.hosts().filter(|&other| other == host || self.state(other) == HostState::Up))
            }
        }
    }
}

/// How often unsynced data is looked through for what is old; found by choice, the age itself is a setting.
const WRITE_BACK_INTERVAL_NS: Nanos = 500_000_000;

/// The error of the medium, as the file system passes it on.
fn to_errno(error: std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

#[cfg(test)]
mod tests;
