//! Operations on one file: reads, writes, syncs, lengths and space.
//!
//! Owns what each does to durable and unsynced bytes, with and without faults. Whether it may be done at all is decided before.

use super::content::{Change, Pending};
use super::faults::{Effects, SyncFault};
use super::names::{Kind, Node};
use super::space::{self, BLOCK_BYTES};
use super::{DiskModel, Handle, HostId, HostSet, HostState, Ino, Nanos, to_errno};
use nix::errno::Errno;
use std::collections::BTreeMap;

/// A write as it arrives.
#[derive(Clone, Copy, Debug)]
pub struct WriteRequest<'a> {
    /// On which host.
    pub host: HostId,
    /// Into which file.
    pub ino: Ino,
    /// Where.
    pub offset: u64,
    /// What.
    pub data: &'a [u8],
    /// Whether it is to be durable when it returns (O_DSYNC, O_SYNC, RWF_DSYNC).
    pub durable: bool,
}

/// What stat(2) tells.
#[derive(Clone, Debug)]
pub struct Attributes {
    /// The inode.
    pub ino: Ino,
    /// Its attributes.
    pub node: Node,
    /// Its length as the host sees it, in bytes.
    pub len: u64,
    /// Blocks of 4 KiB that have their place.
    pub blocks: u64,
}

/// What statfs(2) tells, in blocks of 4 KiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// The size of the disk.
    pub total: u64,
    /// What is not allocated.
    pub free: u64,
    /// Inodes.
    pub files: u64,
}

/// The most that one copy of a range moves; the caller goes on.
const COPY_BYTES_MAX: u64 = 1 << 20;
/// Unsynced changes of one file that are kept; beyond it the oldest are written back. Keeps a read from looking through more.
const PENDING_MAX: usize = 65_536;

impl DiskModel {
    /// Attributes, as a host sees them.
    pub fn attributes(&self, host: HostId, ino: Ino) -> Result<Attributes, Errno> {
        let node = self.names.node(ino)?.clone();
        let len = match &node.kind {
            Kind::File => self.files.get(&ino).map_or(0, |content| content.len(self.seen_by(host))),
            Kind::Directory => BLOCK_BYTES,
            Kind::Symlink(target) => target.as_os_str().len() as u64,
        };
        let blocks = self.allocated.get(&ino).map_or(0, |allocated| allocated.total());
        Ok(Attributes { ino, node, len, blocks })
    }

    /// Sets owner, group or mode.
    pub fn set_owner(&mut self, ino: Ino, mode: Option<u16>, uid: Option<u32>, gid: Option<u32>) -> Result<(), Errno> {
        let node = self.names.node_mut(ino)?;
        node.mode = mode.unwrap_or(node.mode);
        node.uid = uid.unwrap_or(node.uid);
        node.gid = gid.unwrap_or(node.gid);
        Ok(())
    }

    /// Sets the time of the last change, in nanoseconds of the epoch.
    pub fn set_modified(&mut self, ino: Ino, modified_ns: u64) -> Result<(), Errno> {
        self.names.node_mut(ino)?.modified_ns = modified_ns;
        Ok(())
    }

    /// Up to `len` bytes from `offset`; fewer at the end of the file.
    pub fn read(
        &mut self,
        host: HostId,
        ino: Ino,
        (offset, len): (u64, usize),
        effects: &Effects,
    ) -> Result<Vec<u8>, Errno> {
        let seen = self.seen_by(host);
        let content = self.files.get(&ino).ok_or(Errno::EISDIR)?;
        let mut bytes = content.read(&mut *self.media, ino, (offset, len), seen).map_err(to_errno)?;
        if let Some(fault) = effects.stale {
            self.past.show(fault, host, ino, offset, &mut bytes);
        }
        flip(&mut bytes, effects);
        Ok(bytes)
    }

    /// Writes, and gives how many bytes it took.
    pub fn write(&mut self, now: Nanos, request: WriteRequest<'_>, effects: &Effects) -> Result<u64, Errno> {
        let WriteRequest { ino, offset, durable, .. } = request;
        let len = effects.short.unwrap_or(request.data.len() as u64).min(request.data.len() as u64);
        self.reserve(ino, offset, len)?;
        self.remember(request.host, ino, offset, len)?;
        let mut flipped;
        let mut data = &request.data[..len as usize];
        if effects.flipped.is_some() {
            flipped = data.to_vec();
            flip(&mut flipped, effects);
            data = &flipped;
        }
        if let Some((sector_bytes, seed)) = effects.torn {
            self.tear(WriteRequest { data, ..request }, sector_bytes, &mut fastrand::Rng::with_seed(seed))?;
            return Err(Errno::EIO);
        }
        match effects.sync.filter(|_| durable) {
            None if durable => self.write_through(ino, offset, data, self.seen_by(request.host))?,
            fault => {
                let claimed = fault == Some(SyncFault::Lies);
                self.keep(now, request.host, ino, Change::Write { offset, data: data.to_vec() }, claimed)?;
                self.fail_sync(request.host, ino, fault)?;
            }
        }
        Ok(len)
    }

    /// Applies a fault of a sync whose bytes are pending.
    fn fail_sync(&mut self, host: HostId, ino: Ino, fault: Option<SyncFault>) -> Result<(), Errno> {
        match fault {
            None | Some(SyncFault::Lies) => Ok(()),
            Some(SyncFault::Fails) => Err(Errno::EIO),
            Some(SyncFault::FailsClean) => {
                self.content(ino)?.abandon(host);
                Err(Errno::EIO)
            }
        }
    }

    /// Lets each sector of a write arrive or not, by chance; for good. Gives how many did.
    pub(super) fn tear(
        &mut self,
        request: WriteRequest<'_>,
        sector_bytes: u64,
        random: &mut fastrand::Rng,
    ) -> Result<u64, Errno> {
        let seen = self.seen_by(request.host);
        let mut arrived = 0;
        for (index, sector) in request.data.chunks(sector_bytes as usize).enumerate() {
            if random.bool() {
                let offset = request.offset + index as u64 * sector_bytes;
                self.write_through(request.ino, offset, sector, seen)?;
                arrived += 1;
            }
        }
        Ok(arrived)
    }

    pub(super) fn write_through(&mut self, ino: Ino, offset: u64, data: &[u8], seen: HostSet) -> Result<(), Errno> {
        let content = self.files.get_mut(&ino).ok_or(Errno::EISDIR)?;
        content.write_through(&mut *self.media, ino, offset, data, seen).map_err(to_errno)
    }

    fn content(&mut self, ino: Ino) -> Result<&mut super::Content, Errno> {
        self.files.get_mut(&ino).ok_or(Errno::EISDIR)
    }

    /// Keeps a change unsynced, and writes back what is too much.
    fn keep(&mut self, now: Nanos, host: HostId, ino: Ino, change: Change, claimed: bool) -> Result<(), Errno> {
        let bytes = change.bytes();
        let too_many = self.content(ino)?.pending().len() >= PENDING_MAX;
        if too_many || self.hosts[usize::from(host.0)].unsynced_bytes + bytes > self.settings.dirty_bytes_max {
            self.write_back_host(host)?;
        }
        self.content(ino)?.push(Pending { host, made_ns: now, change, abandoned: false, claimed });
        self.hosts[usize::from(host.0)].unsynced_bytes += bytes;
        Ok(())
    }

    /// Syncs a file.
    pub fn fsync(&mut self, host: HostId, ino: Ino, effects: &Effects) -> Result<(), Errno> {
        match effects.sync {
            Some(SyncFault::Lies) => {
                self.content(ino)?.claim(host);
                Ok(())
            }
            fault @ Some(_) => self.fail_sync(host, ino, fault),
            None => {
                self.commit_file(ino, self.seen_by(host))?;
                self.names.sync_file();
                Ok(())
            }
        }
    }

    /// Syncs a directory.
    pub fn fsyncdir(&mut self, ino: Ino, effects: &Effects) -> Result<(), Errno> {
        self.names.list(ino)?;
        match effects.sync {
            Some(SyncFault::Lies) => Ok(()),
            Some(_) => Err(Errno::EIO),
            None => {
                self.names.sync_directory(ino);
                self.collect()
            }
        }
    }

    pub(super) fn commit_file(&mut self, ino: Ino, of: HostSet) -> Result<u64, Errno> {
        let content = self.files.get_mut(&ino).ok_or(Errno::EISDIR)?;
        let written = content.commit(&mut *self.media, ino, |pending| of.contains(pending.host));
        self.count_unsynced();
        written.map_err(to_errno)
    }

    /// What each host has not synced, counted anew.
    pub(super) fn count_unsynced(&mut self) {
        let mut bytes: BTreeMap<HostId, u64> = BTreeMap::new();
        for pending in self.files.values().flat_map(|content| content.pending()) {
            *bytes.entry(pending.host).or_default() += pending.change.bytes();
        }
        for (index, host) in self.hosts.iter_mut().enumerate() {
            host.unsynced_bytes = bytes.get(&HostId(index as u8)).copied().unwrap_or(0);
        }
    }

    /// Old unsynced data of hosts that are up becomes durable.
    pub(super) fn write_back(&mut self, now: Nanos) {
        let before = now.saturating_sub(self.settings.write_back_ns);
        let up = HostSet::of(self.hosts().filter(|&host| self.state(host) == HostState::Up));
        self.names.write_back(now, before, up);
        let is_old = |pending: &Pending| up.contains(pending.host) && pending.made_ns < before;
        for (&ino, content) in &mut self.files {
            if content.pending().iter().any(is_old) {
                // An error of the medium leaves the change pending: the next sync meets it again.
                let _ = content.commit(&mut *self.media, ino, is_old);
            }
        }
        self.count_unsynced();
    }

    /// All unsynced data of a host becomes durable.
    fn write_back_host(&mut self, host: HostId) -> Result<(), Errno> {
        let inos: Vec<Ino> = self.files.keys().copied().collect();
        for ino in inos {
            self.commit_file(ino, HostSet::of([host]))?;
        }
        Ok(())
    }

    /// Sets the length.
    pub fn set_len(&mut self, now: Nanos, host: HostId, ino: Ino, len: u64) -> Result<(), Errno> {
        let before = self.content(ino)?.len(HostSet::of([host]));
        self.remember(host, ino, len, before.saturating_sub(len))?;
        self.keep(now, host, ino, Change::SetLen(len), false)?;
        self.give_back(ino, len.div_ceil(BLOCK_BYTES)..u64::MAX);
        Ok(())
    }

    /// Gives a range its place, and makes the file as long as that unless `keep_len`.
    pub fn allocate(
        &mut self,
        now: Nanos,
        host: HostId,
        ino: Ino,
        (offset, len): (u64, u64),
        keep_len: bool,
    ) -> Result<(), Errno> {
        self.reserve(ino, offset, len)?;
        let end = offset + len;
        let seen = self.seen_by(host);
        if !keep_len && self.content(ino)?.len(seen) < end {
            self.keep(now, host, ino, Change::SetLen(end), false)?;
        }
        Ok(())
    }

    /// Lets a range read as zeros; `punch` also gives its place back.
    pub fn erase(
        &mut self,
        now: Nanos,
        host: HostId,
        ino: Ino,
        (offset, len): (u64, u64),
        punch: bool,
    ) -> Result<(), Errno> {
        if punch {
            self.give_back(ino, offset.div_ceil(BLOCK_BYTES)..(offset + len) / BLOCK_BYTES);
        } else {
            self.reserve(ino, offset, len)?;
        }
        self.remember(host, ino, offset, len)?;
        self.keep(now, host, ino, Change::Erase { offset, len }, false)
    }

    /// The next place with data (`data`) or without.
    pub fn seek(&self, host: HostId, ino: Ino, offset: u64, data: bool) -> Result<u64, Errno> {
        let len = self.files.get(&ino).ok_or(Errno::EISDIR)?.len(self.seen_by(host));
        if offset >= len {
            return Err(Errno::ENXIO);
        }
        let allocated = self.allocated.get(&ino);
        let block = offset / BLOCK_BYTES;
        let next = match allocated {
            Some(allocated) => allocated.next(block, data),
            None if data => None,
            None => Some(block),
        };
        match next.map(|block| (block * BLOCK_BYTES).max(offset)) {
            Some(found) if found < len => Ok(found),
            _ if data => Err(Errno::ENXIO),
            _ => Ok(len),
        }
    }

    /// Copies a range, or the first part of it. Gives how many bytes.
    pub fn copy_range(
        &mut self,
        now: Nanos,
        host: HostId,
        from: (Ino, u64),
        to: (Ino, u64),
        len: u64,
    ) -> Result<u64, Errno> {
        let effects = Effects::default();
        let len = len.min(COPY_BYTES_MAX) as usize;
        let bytes = self.read(host, from.0, (from.1, len), &effects)?;
        let request = WriteRequest { host, ino: to.0, offset: to.1, data: &bytes, durable: false };
        self.write(now, request, &effects)
    }

    /// How many blocks a write or an allocation needs that the file does not have.
    pub fn new_blocks(&self, ino: Ino, offset: u64, len: u64) -> u64 {
        let range = space::blocks(offset, len);
        match self.allocated.get(&ino) {
            Some(allocated) => allocated.missing(range),
            None => range.end - range.start,
        }
    }

    fn reserve(&mut self, ino: Ino, offset: u64, len: u64) -> Result<(), Errno> {
        let new = self.new_blocks(ino, offset, len);
        if self.used_blocks + new > self.settings.capacity_bytes / BLOCK_BYTES {
            return Err(Errno::ENOSPC);
        }
        self.used_blocks += new;
        self.allocated.entry(ino).or_default().insert(space::blocks(offset, len));
        Ok(())
    }

    fn give_back(&mut self, ino: Ino, range: std::ops::Range<u64>) {
        if let Some(allocated) = self.allocated.get_mut(&ino) {
            let before = allocated.total();
            allocated.remove(range);
            self.used_blocks -= before - allocated.total();
        }
    }

    /// Keeps what is about to be overwritten, if a fault will ask for it.
    fn remember(&mut self, host: HostId, ino: Ino, offset: u64, len: u64) -> Result<(), Errno> {
        if !self.past.is_kept() {
            return Ok(());
        }
        let seen = self.seen_by(host);
        let content = self.files.get(&ino).ok_or(Errno::EISDIR)?;
        let before = content.len(seen);
        let bytes = content.read(&mut *self.media, ino, (offset, len as usize), seen).map_err(to_errno)?;
        self.past.overwrite(ino, host, offset, &bytes, before);
        Ok(())
    }

    /// How much space there is.
    pub fn space(&self) -> Space {
        let total = self.settings.capacity_bytes / BLOCK_BYTES;
        Space { total, free: total - self.used_blocks, files: self.files.len() as u64 }
    }

    /// The file of an open handle.
    pub fn handle_ino(&self, handle: Handle) -> Option<Ino> {
        self.handles.get(&handle).map(|&(_, ino)| ino)
    }
}

fn flip(bytes: &mut [u8], effects: &Effects) {
    let Some(bit) = effects.flipped.filter(|_| !bytes.is_empty()) else { return };
    let bit = bit % (bytes.len() as u64 * 8);
    bytes[(bit / 8) as usize] ^= 1 << (bit % 8);
}
