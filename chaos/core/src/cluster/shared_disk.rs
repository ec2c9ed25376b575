//! The disk that a pair shares, with a mount for each node as for a host of its own.
//!
//! Owns the disk's process and where its folders lie. What the disk does wrong is `crate::faults::disk`.

use super::NodeId;
use crate::cleanup::{add_process, remove_process};
use crate::error::{AtPath, Result};
use crate::node;
use nix::unistd::Pid;
use shareddisk::client::Disk;
use shareddisk::daemon::Options;
use shareddisk::model::{HostState, LeaseState, OnLoss, Settings};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Locks of a silent host stay for this long, and for the time below besides: longer than a pair needs to notice by other means.
const LEASE_NS: u64 = 1_000_000_000;
const GRACE_NS: u64 = 500_000_000;
/// Whatever holds an operation, it fails after this time: longer than any trial holds one, short enough to end a run that went wrong.
const HOLD_LIMIT_MS: u64 = 60_000;
/// The folder of the disk below that of the pair.
const FOLDER: &str = "disk";

/// A disk with two hosts. Dropping it unmounts.
#[derive(Debug)]
pub struct SharedDisk {
    disk: Disk,
    pid: Pid,
}

impl Drop for SharedDisk {
    fn drop(&mut self) {
        // Before it is reaped, which the drop of the disk does next.
        remove_process(self.pid);
    }
}

impl SharedDisk {
    /// Mounts a new, empty disk below the folder of a pair. `harness` is this program, which is the disk's process too.
    pub(super) fn start(harness: &Path, folder: &Path) -> Result<Self> {
        let folder = folder.join(FOLDER);
        let backing = folder.join("backing");
        std::fs::create_dir_all(&backing).at(&backing)?;
        let mut settings = Settings::new(&NodeId::BOTH.map(host), 0);
        settings.lease.lease_ns = LEASE_NS;
        settings.lease.grace_ns = GRACE_NS;
        let options = Options {
            settings,
            backing,
            mounts: NodeId::BOTH.map(|node| folder.join(host(node))).to_vec(),
            socket: folder.join("control"),
            hold_limit_ms: HOLD_LIMIT_MS,
            dies_with_parent: true,
        };
        let mut command = Command::new(harness);
        command.arg(node::DISK_ARGUMENT);
        let disk = Disk::start(command, options)?;
        let pid = Pid::from_raw(disk.pid().cast_signed());
        add_process(pid);
        Ok(Self { disk, pid })
    }

    /// To whom faults are told.
    pub fn disk(&self) -> &Disk {
        &self.disk
    }

    /// Where a node finds the store.
    pub(super) fn store(&self, node: NodeId) -> PathBuf {
        self.disk.mount(node.index()).join("store")
    }

    /// Nothing is held any more: a process that waits for the disk could not be ended.
    pub(super) fn let_go(&self) {
        // A disk that does not answer is gone, and holds nothing either.
        let _ = self.disk.remove_faults();
        for node in NodeId::BOTH {
            let _ = self.disk.thaw(host(node));
        }
    }

    /// A server starts on its host: one that has crashed mounts anew, one that has lost its lease gets a new one, without a fence.
    pub(super) fn boot(&self, node: NodeId) -> Result<()> {
        let report = self.disk.report()?;
        let found = &report.hosts[node.index()];
        if found.state == HostState::Down {
            self.disk.mount_again(host(node))?;
        } else if found.lease != LeaseState::Current {
            self.disk.set_on_loss(OnLoss::Told)?;
            self.disk.renew_lease(host(node))?;
        }
        Ok(())
    }

    /// Writes what the disk knows, and the last operations, into the folder of a trial's logs.
    pub(super) fn write_report(&self, target: &Path) -> Result<()> {
        let path = target.join("disk.json");
        let text = serde_json::to_string_pretty(&self.disk.report()?)
            .map_err(|source| crate::Error::Json { path: path.clone(), source })?;
        std::fs::write(&path, text).at(&path)?;
        self.disk.write_log(&target.join("disk-operations.jsonl"))?;
        Ok(())
    }
}

/// The host on which a node runs, as the disk names it.
pub fn host(node: NodeId) -> &'static str {
    match node {
        NodeId::A => "hostA",
        NodeId::B => "hostB",
    }
}
