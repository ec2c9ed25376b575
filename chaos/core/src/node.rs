//! The node side of the harness's own binary: what a child process does before it becomes a server.

use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::getppid;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;

/// First argument of a child that shall run the broker linked into this binary; the broker's arguments follow.
pub const NODE_ARGUMENT: &str = "node";
/// First argument of a child that shall be a shared disk; its options follow.
pub const DISK_ARGUMENT: &str = "shared-disk";
/// First argument of a child that shall become another program; the program and its arguments follow.
pub const NODE_PROGRAM_ARGUMENT: &str = "node-program";

/// Asks the kernel to kill this process when the harness dies, also when the harness is killed itself. The setting survives
/// exec. A harness that died before the call is noticed by the changed parent.
pub fn die_with_parent() -> nix::Result<()> {
    let parent = getppid();
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    if getppid() == parent { Ok(()) } else { Err(nix::errno::Errno::ESRCH) }
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
        let error = std::process::Command::new(program).args(rest).exec();
        eprintln!("chaos node: cannot run {}: {error}", program.display());
        1
    })
}
