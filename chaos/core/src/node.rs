//! The node side of the harness's own binary: what a child process does before it becomes a server.

use nix::sched::{CloneFlags, setns};
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::getppid;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;

/// First argument of a child that shall run the broker linked into this binary; the broker's arguments follow.
pub const NODE_ARGUMENT: &str = "node";
/// First argument of a child that shall be a shared disk; its options follow.
pub const DISK_ARGUMENT: &str = "shared-disk";
/// First argument of a child that shall become another program; the program and its arguments follow.
pub const NODE_PROGRAM_ARGUMENT: &str = "node-program";

/// First argument of a child that shall live on a host of its own; the name of its network namespace follows, and then what it would have
/// been started with otherwise.
pub const NODE_WITHIN_ARGUMENT: &str = "node-within";

/// Environment variable of every node: the process id of the harness that started it.
pub const HARNESS_VARIABLE: &str = "CHAOS_HARNESS";

/// Where iproute2 keeps its namespaces.
const NAMESPACES: &str = "/run/netns";

/// Takes the calling thread, and those that it starts, into a network namespace.
pub fn enter(namespace: impl AsRef<OsStr>) -> io::Result<()> {
    let file = File::open(Path::new(NAMESPACES).join(namespace.as_ref()))?;
    Ok(setns(file, CloneFlags::CLONE_NEWNET)?)
}

/// Enters the namespace that the first argument names; returns the others, or an exit code if that fails.
pub fn enter_named(mut arguments: Vec<OsString>) -> Result<Vec<OsString>, i32> {
    if arguments.is_empty() {
        eprintln!("chaos node: no network namespace named");
        return Err(1);
    }
    let namespace = arguments.remove(0);
    if let Err(error) = enter(&namespace) {
        eprintln!("chaos node: cannot enter the network namespace {}: {error}", namespace.display());
        return Err(1);
    }
    Ok(arguments)
}

/// Asks the kernel to kill this process when the harness dies, also when the harness is killed itself. The setting survives
/// exec. A harness that died before the call, even before this process ran at all, is not its parent any more; a node that somebody
/// starts by hand has nobody to die with.
pub fn die_with_parent() -> nix::Result<()> {
    let Some(harness) = std::env::var_os(HARNESS_VARIABLE) else { return Ok(()) };
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    if *harness == *getppid().to_string() { Ok(()) } else { Err(nix::errno::Errno::ESRCH) }
}

/// Runs a node: `broker` is the entry point of the linked broker. Returns the exit code.
pub fn run(arguments: Vec<OsString>, broker: impl FnOnce(Vec<OsString>) -> i32) -> i32 {
    if let Err(error) = die_with_parent() {
        eprintln!("chaos node: cannot tie the node to the harness: {error}");
        return 1;
    }
    broker(arguments)
}

/// Runs a shared disk. It ends with the harness, and unmounts first. Returns the exit code.
pub fn run_disk(arguments: &[OsString]) -> i32 {
    shareddisk::daemon::run(arguments)
}

/// Becomes the program that the first argument names; returns an exit code only if that fails.
pub fn become_program(arguments: Vec<OsString>) -> i32 {
    run(arguments, |arguments| {
        let Some((program, rest)) = arguments.split_first() else {
            eprintln!("chaos node: no program named");
            return 1;
        };
        let error = std::process::Command::new(program).args(rest).env_remove(HARNESS_VARIABLE).exec();
        eprintln!("chaos node: cannot run {}: {error}", program.display());
        1
    })
}
