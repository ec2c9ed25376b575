//! What the machine was while a run took place.

use nix::sys::statfs::{self, FsType};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::process::Command;

/// The machine, the software and the file system of a run. A field that could not be found out says "unknown".
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    /// Version of this program.
    pub version: String,
    /// Commit of the working directory, with `-dirty` if it was changed.
    pub commit: String,
    /// Which broker was tested.
    pub broker: String,
    /// Kernel release.
    pub kernel: String,
    /// Processor model.
    pub processor: String,
    /// Processors that this process may use.
    pub processors: usize,
    /// Memory, MiB.
    pub memory_mib: u64,
    /// File system that held the stores.
    pub file_system: String,
    /// Folder below which the stores lay.
    pub store_parent: String,
}

/// Looks around. `store_parent` is the folder below which the stores will lie.
pub fn look(broker: &str, store_parent: &Path) -> Environment {
    Environment {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        commit: commit(),
        broker: broker.to_owned(),
        kernel: file("/proc/sys/kernel/osrelease"),
        processor: field("/proc/cpuinfo", "model name"),
        processors: std::thread::available_parallelism().map_or(1, usize::from),
        memory_mib: field("/proc/meminfo", "MemTotal").trim_end_matches("kB").trim().parse().unwrap_or(0) / 1024,
        file_system: file_system(store_parent),
        store_parent: store_parent.display().to_string(),
    }
}

fn unknown() -> String {
    "unknown".to_owned()
}

fn file(path: &str) -> String {
    std::fs::read_to_string(path).map_or_else(|_| unknown(), |text| text.trim().to_owned())
}

/// The value of the first line `name: value`.
fn field(path: &str, name: &str) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with(name));
    line.and_then(|line| line.split_once(':')).map_or_else(unknown, |(_, value)| value.trim().to_owned())
}

fn commit() -> String {
    let output = Command::new("git").args(["describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]).output();
    match output {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        _ => unknown(),
    }
}

/// Names from linux/magic.h.
fn file_system(path: &Path) -> String {
    const XFS: FsType = FsType(0x5846_5342);
    const OVERLAY: FsType = FsType(0x794c_7630);
    let Ok(found) = statfs::statfs(path).map(|stat| stat.filesystem_type()) else { return unknown() };
    match found {
        statfs::EXT4_SUPER_MAGIC => "ext4".to_owned(),
        statfs::TMPFS_MAGIC => "tmpfs (memory: durable writes cost nothing here)".to_owned(),
        statfs::BTRFS_SUPER_MAGIC => "btrfs".to_owned(),
        statfs::NFS_SUPER_MAGIC => "nfs".to_owned(),
        XFS => "xfs".to_owned(),
        OVERLAY => "overlayfs".to_owned(),
        FsType(other) => format!("type {other:#x}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_a_kernel_a_processor_and_memory() {
        let seen = look("linked", Path::new("/tmp"));
        assert!(seen.processors >= 1 && seen.memory_mib > 0, "{seen:?}");
        assert_ne!(seen.kernel, "unknown");
        assert_ne!(seen.file_system, "unknown");
        assert_eq!(file_system(Path::new("/no/such/folder")), "unknown");
    }
}
