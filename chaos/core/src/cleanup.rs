//! What must not outlive a run: child processes, network namespaces and temporary folders, whichever way the run ends.
//!
//! Three nets, each for what the one before cannot catch. Guards clean up on return, on error and on Ctrl-C (which the run turns
//! into an error). A panic hook empties the registry, since release builds abort on panic and run no destructor. When the
//! harness itself is killed, the kernel kills its nodes: see [`crate::node::die_with_parent`]; a shared disk is told, and unmounts. Temporary
//! folders and namespaces survive that last case; the next run that makes namespaces removes those.

use crate::error::{AtPath, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What exists now. A process is listed from its start until it is reaped, so its id cannot belong to somebody else.
#[derive(Default)]
struct Registry {
    processes: BTreeSet<i32>,
    namespaces: BTreeSet<String>,
    folders: BTreeSet<PathBuf>,
}

static REGISTRY: Mutex<Registry> =
    Mutex::new(Registry { processes: BTreeSet::new(), namespaces: BTreeSet::new(), folders: BTreeSet::new() });

/// The registry is three sets, valid after any panic.
fn registry() -> MutexGuard<'static, Registry> {
    REGISTRY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Notes a child process.
pub(crate) fn add_process(pid: Pid) {
    registry().processes.insert(pid.as_raw());
}

/// Forgets a child process; call it before the process is reaped.
pub(crate) fn remove_process(pid: Pid) {
    registry().processes.remove(&pid.as_raw());
}

/// Notes a network namespace that is about to be made.
pub(crate) fn add_namespace(name: &str) {
    registry().namespaces.insert(name.to_owned());
}

/// Forgets a network namespace that its guard removes; false if it was swept before.
pub(crate) fn remove_namespace(name: &str) -> bool {
    registry().namespaces.remove(name)
}

/// Kills every child and removes every namespace and every temporary folder that is still listed.
pub fn sweep() {
    let Registry { processes, namespaces, folders } = std::mem::take(&mut *registry());
    for pid in processes {
        // An error means that it has ended already, which is what is wanted.
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
    namespaces.iter().for_each(|name| crate::cluster::namespaces::remove(name));
    for folder in folders {
        shareddisk::client::unmount_below(&folder);
        if let Err(error) = std::fs::remove_dir_all(&folder) {
            eprintln!("chaos: cannot remove {}: {error}", folder.display());
        }
    }
}

/// Makes a panic on any thread print its message, sweep, and end the process with `exit_code`.
pub fn sweep_on_panic(exit_code: i32) {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        print(info);
        sweep();
        std::process::exit(exit_code);
    }));
}

/// A folder of its own under the temporary directory, removed on drop unless it is kept.
#[derive(Debug)]
pub struct TemporaryFolder {
    path: PathBuf,
    keep: bool,
}

impl TemporaryFolder {
    /// Makes a folder in `parent` whose name is `prefix` and some random characters.
    pub fn new(parent: &Path, prefix: &str, keep: bool) -> Result<Self> {
        let path = tempfile::Builder::new().prefix(prefix).tempdir_in(parent).at(parent)?.keep();
        if !keep {
            registry().folders.insert(path.clone());
        }
        Ok(Self { path, keep })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        if self.keep || !registry().folders.remove(&self.path) {
            return;
        }
        if let Err(error) = std::fs::remove_dir_all(&self.path) {
            eprintln!("chaos: cannot remove {}: {error}", self.path.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_goes_with_its_guard_unless_it_is_kept() {
        let parent = tempfile::tempdir().expect("a temporary folder");
        let gone = TemporaryFolder::new(parent.path(), "gone-", false).expect("a folder");
        let kept = TemporaryFolder::new(parent.path(), "kept-", true).expect("a folder");
        std::fs::write(gone.path().join("file"), "x").expect("a file in it");
        let (gone_path, kept_path) = (gone.path().to_owned(), kept.path().to_owned());
        drop((gone, kept));
        assert!(!gone_path.exists());
        assert!(kept_path.exists());
    }
}
