//! What happens to a whole host: it freezes, comes back late, crashes, mounts again.
//!
//! Owns the state of hosts and what each change does to their unsynced data, their names and their lease.

use super::content::Change;
use super::io::WriteRequest;
use super::locks::LeaseState;
use super::{DiskModel, HostId, Ino, Nanos, to_errno};
use nix::errno::Errno;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// What the disk hears of a host.
///
/// ```text
///       freeze           crash
///  Up --------> Frozen --------> Down
///  | ^            |                | ^
///  | +--- thaw ---+                | |
///  | +------- mounts again --------+ |
///  +------------- crash -------------+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HostState {
    /// It works.
    Up,
    /// Nothing of what it does arrives, for now.
    Frozen,
    /// It is gone, with all that it had not synced.
    Down,
}

impl HostState {
    /// Whether the drawing has an arrow from here to `next`.
    pub fn can_become(self, next: Self) -> bool {
        use HostState::{Down, Frozen, Up};
        matches!((self, next), (Up, Frozen | Down) | (Frozen, Up | Down) | (Down, Up))
    }
}

/// One host.
#[derive(Debug)]
pub(super) struct Host {
    name: String,
    state: HostState,
    pub(super) unsynced_bytes: u64,
}

impl Host {
    pub(super) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), state: HostState::Up, unsynced_bytes: 0 }
    }
}

/// What a crash leaves of what the host had not synced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "left")]
pub enum CrashMode {
    /// Nothing.
    #[default]
    Nothing,
    /// Each write, and each change of a name, with even chances.
    Subset,
    /// Each sector of each write, and each change of a name, with even chances.
    Torn {
        /// 512 or 4096.
        sector_bytes: u64,
    },
}

/// A write that a host had issued and that nobody has answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InFlight {
    /// Into which file.
    pub ino: Ino,
    /// Where.
    pub offset: u64,
    /// What.
    pub data: Vec<u8>,
}

/// What a crash did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrashReport {
    /// Unsynced writes, and writes in flight.
    pub writes: u64,
    /// Of these, in flight.
    pub in_flight: u64,
    /// Of all, those of which nothing arrived.
    pub lost: u64,
    /// Of all, those of which a part arrived.
    pub torn: u64,
    /// Bytes that did not arrive.
    pub lost_bytes: u64,
    /// Of these, bytes of which the disk had said that they were durable.
    pub claimed_lost_bytes: u64,
    /// Changes of names that were lost.
    pub names_lost: u64,
}

/// What became of a host's unsynced data when it came back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LateReport {
    /// Unsynced changes that were written over what others had written since.
    pub landed: u64,
    /// Bytes of these.
    pub landed_bytes: u64,
    /// Unsynced changes that the fence refused.
    pub refused: u64,
}

/// What one file has unsynced on one host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Unsynced {
    /// Below the mount.
    pub path: PathBuf,
    /// Writes.
    pub writes: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes among these of which the disk said that they are durable.
    pub claimed_bytes: u64,
    /// Age of the oldest, in nanoseconds.
    pub oldest_ns: Nanos,
}

/// What is known of a host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HostReport {
    /// Its name.
    pub host: String,
    /// Its state.
    pub state: HostState,
    /// The state of its lease.
    pub lease: LeaseState,
    /// Locks that it holds.
    pub locks: u64,
    /// Files that it has open.
    pub open_files: u64,
    /// What it has not synced, by file.
    pub unsynced: Vec<Unsynced>,
    /// Changes of names that it has not synced.
    pub unsynced_names: u64,
}

impl DiskModel {
    /// The state of a host.
    pub fn state(&self, host: HostId) -> HostState {
        self.hosts[usize::from(host.0)].state
    }

    fn enter(&mut self, host: HostId, next: HostState) -> Result<(), Errno> {
        let host = &mut self.hosts[usize::from(host.0)];
        if !host.state.can_become(next) {
            return Err(Errno::EINVAL);
        }
        host.state = next;
        Ok(())
    }

    /// Up again, from `former` only.
    fn leave(&mut self, host: HostId, former: HostState) -> Result<(), Errno> {
        if self.state(host) != former {
            return Err(Errno::EINVAL);
        }
        self.enter(host, HostState::Up)
    }

    /// From now on nothing of the host arrives; others do not see what it has not synced, and its lease runs out. What it sends
    /// meanwhile is kept by the caller.
    pub fn freeze(&mut self, now: Nanos, host: HostId) -> Result<(), Errno> {
        self.enter(host, HostState::Frozen)?;
        self.locks.stop_renewing(host, now);
        Ok(())
    }

    /// The host is back. What it had not synced is written now, over all that others wrote since; a fence refuses it.
    pub fn thaw(&mut self, host: HostId) -> Result<LateReport, Errno> {
        self.leave(host, HostState::Frozen)?;
        self.locks.renew(host);
        let fenced = self.locks.admit(host, None).is_err();
        let mut report = LateReport::default();
        for (&ino, content) in &mut self.files {
            for pending in content.take(host) {
                if fenced || pending.abandoned {
                    report.refused += 1;
                    continue;
                }
                report.landed += 1;
                report.landed_bytes += pending.change.bytes();
                content.land(&mut *self.media, ino, &pending.change).map_err(to_errno)?;
            }
        }
        self.count_unsynced();
        Ok(report)
    }

    /// The lock server does not hear the host any more; its data goes on to arrive.
    pub fn expire_lease(&mut self, now: Nanos, host: HostId) {
        self.locks.stop_renewing(host, now);
    }

    /// The lock server hears the host again.
    pub fn renew_lease(&mut self, host: HostId) {
        self.locks.renew(host);
    }

    /// What hosts that lose their locks from now on are told.
    pub fn set_on_loss(&mut self, on_loss: super::OnLoss) {
        self.locks.set_on_loss(on_loss);
    }

    /// The host loses power. Its locks stay until its lease has run out.
    pub fn crash(
        &mut self,
        now: Nanos,
        host: HostId,
        mode: CrashMode,
        in_flight: Vec<InFlight>,
    ) -> Result<CrashReport, Errno> {
        self.enter(host, HostState::Down)?;
        self.locks.stop_renewing(host, now);
        self.handles.retain(|_, (owner, _)| *owner != host);
        let mut report = CrashReport { in_flight: in_flight.len() as u64, ..CrashReport::default() };
        let mut random = self.random.fork();
        let inos: Vec<Ino> = self.files.keys().copied().collect();
        for ino in inos {
            let taken = self.files.get_mut(&ino).map(|content| content.take(host)).unwrap_or_default();
            for pending in taken {
                let claimed = pending.claimed;
                let mode = if pending.abandoned { CrashMode::Nothing } else { mode };
                self.survive(host, ino, pending.change, mode, (&mut random, &mut report, claimed))?;
            }
        }
        for write in in_flight {
            if !self.files.contains_key(&write.ino) {
                continue;
            }
            let change = Change::Write { offset: write.offset, data: write.data };
            self.survive(host, write.ino, change, mode, (&mut random, &mut report, false))?;
        }
        let keeps_some = mode != CrashMode::Nothing;
        report.names_lost = self.names.crash(host, || keeps_some && random.bool()) as u64;
        self.count_unsynced();
        self.collect()?;
        Ok(report)
    }

    /// Decides over one unsynced change at a crash.
    fn survive(
        &mut self,
        host: HostId,
        ino: Ino,
        change: Change,
        mode: CrashMode,
        (random, report, claimed): (&mut fastrand::Rng, &mut CrashReport, bool),
    ) -> Result<(), Errno> {
        let bytes = change.bytes();
        report.writes += 1;
        let arrived_bytes = match (mode, &change) {
            (CrashMode::Torn { sector_bytes }, Change::Write { offset, data }) => {
                let request = WriteRequest { host, ino, offset: *offset, data, durable: true };
                (self.tear(request, sector_bytes, random)? * sector_bytes).min(bytes)
            }
            (CrashMode::Nothing, _) => 0,
            _ if random.bool() => {
                let content = self.files.get_mut(&ino).ok_or(Errno::ESTALE)?;
                content.land(&mut *self.media, ino, &change).map_err(to_errno)?;
                bytes
            }
            _ => 0,
        };
        report.lost += u64::from(arrived_bytes == 0);
        report.torn += u64::from(arrived_bytes > 0 && arrived_bytes < bytes);
        report.lost_bytes += bytes - arrived_bytes;
        report.claimed_lost_bytes += if claimed { bytes - arrived_bytes } else { 0 };
        Ok(())
    }

    /// A write that was in flight at a crash arrives; a fence refuses it.
    pub fn land(&mut self, host: HostId, write: &InFlight) -> Result<(), Errno> {
        self.locks.admit(host, None)?;
        let content = self.files.get_mut(&write.ino).ok_or(Errno::ESTALE)?;
        let change = Change::Write { offset: write.offset, data: write.data.clone() };
        content.land(&mut *self.media, write.ino, &change).map_err(to_errno)
    }

    /// A host that was down is there again, with nothing in its memory.
    pub fn mount_again(&mut self, host: HostId) -> Result<(), Errno> {
        self.leave(host, HostState::Down)?;
        self.locks.mounted_again(host);
        Ok(())
    }

    /// What is known of each host.
    pub fn host_reports(&self, now: Nanos) -> Vec<HostReport> {
        let report = |(index, host): (usize, &Host)| {
            let id = HostId(index as u8);
            HostReport {
                host: host.name.clone(),
                state: host.state,
                lease: self.locks.lease(id),
                locks: self.locks.held(id) as u64,
                open_files: self.handles.values().filter(|&&(owner, _)| owner == id).count() as u64,
                unsynced: self.unsynced(now, id),
                unsynced_names: self.names.pending(id) as u64,
            }
        };
        self.hosts.iter().enumerate().map(report).collect()
    }

    fn unsynced(&self, now: Nanos, host: HostId) -> Vec<Unsynced> {
        let mut found = Vec::new();
        for (&ino, content) in &self.files {
            let of_host = || content.pending().iter().filter(|pending| pending.host == host);
            let Some(oldest_ns) = of_host().map(|pending| pending.made_ns).min() else { continue };
            found.push(Unsynced {
                path: self.path(ino),
                writes: of_host().count() as u64,
                bytes: of_host().map(|pending| pending.change.bytes()).sum(),
                claimed_bytes: of_host().filter(|pending| pending.claimed).map(|pending| pending.change.bytes()).sum(),
                oldest_ns: now.saturating_sub(oldest_ns),
            });
        }
        found
    }
}
