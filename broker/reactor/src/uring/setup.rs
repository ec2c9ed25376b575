//! What the kernel must offer, and what to tell people when it does not.
//!
//! Owns [`Config`] and [`SetupError`], and makes the ring. Runs once, before the first wait.
#![allow(unsafe_code)]

use super::recv_buffers::RecvPool;
use super::ring::Ring;
use io_uring::{IoUring, Probe, opcode};
use nix::sys::resource::{Resource, getrlimit};
use std::io;
use std::rc::Rc;
use thiserror::Error;

/// Sizes of a reactor. The memory that it holds is about `recv_buffers * recv_buffer_size` plus 80 bytes per entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Submission entries, 1 to 8,192. When a turn queues more, it takes more than one system call.
    pub entries: u32,
    /// Receive buffers that all sockets share; a power of two, at most 32,768.
    pub recv_buffers: u16,
    /// Size of one receive buffer in bytes, and thus the most that one `Received` carries.
    pub recv_buffer_size: u32,
    /// Connections that the kernel completes before they are accepted, per listener.
    pub listen_backlog: u32,
    /// Use direct I/O where the file system has it. Off: all files are buffered, and durable writes sync their data.
    pub direct_io: bool,
}

impl Default for Config {
    fn default() -> Self {
        Config { entries: 1024, recv_buffers: 256, recv_buffer_size: 64 * 1024, listen_backlog: 1024, direct_io: true }
    }
}

/// Why there can be no reactor here. Each message says what to change.
#[derive(Debug, Error)]
pub enum SetupError {
    /// The system call does not exist.
    #[error(
        "this kernel has no io_uring (ENOSYS){}; use Linux 6.1 or later with CONFIG_IO_URING, or allow io_uring_setup, \
         io_uring_enter and io_uring_register in the container's seccomp profile",
        on_release(.release)
    )]
    NoIoUring {
        /// The kernel's release.
        release: String,
    },
    /// Switched off by the administrator.
    #[error(
        "io_uring is switched off: kernel.io_uring_disabled is {value}; run `sysctl -w kernel.io_uring_disabled=0`{}",
        if *.value == 1 { " or join the group of kernel.io_uring_group" } else { "" }
    )]
    Disabled {
        /// Of /proc/sys/kernel/io_uring_disabled.
        value: u32,
    },
    /// Refused by a security policy, most often the seccomp profile of a container.
    #[error(
        "io_uring is refused (EPERM) although kernel.io_uring_disabled is 0; a seccomp profile or security module forbids it: \
         run the container with a profile that allows io_uring_setup, io_uring_enter and io_uring_register"
    )]
    Forbidden,
    /// The kernel knows io_uring, but not a feature that the broker stands on.
    #[error("this kernel's io_uring lacks {missing}{}; use Linux {since} or later", on_release(.release))]
    KernelTooOld {
        /// The feature.
        missing: &'static str,
        /// The first kernel that has it.
        since: &'static str,
        /// The kernel's release.
        release: String,
    },
    /// Not enough memory may be locked for the ring.
    #[error(
        "the kernel refuses the memory of the ring (ENOMEM; RLIMIT_MEMLOCK is {limit_bytes} bytes); raise it with `ulimit -l` \
         or LimitMEMLOCK=, or lower the number of entries and receive buffers"
    )]
    LockedMemory {
        /// RLIMIT_MEMLOCK, in bytes.
        limit_bytes: u64,
    },
    /// A size in [`Config`] is out of range.
    #[error("reactor configuration: {parameter} is {value}, it must be {must_be}")]
    Config {
        /// The field.
        parameter: &'static str,
        /// What it holds.
        value: u64,
        /// What it may hold.
        must_be: &'static str,
    },
    /// Anything else.
    #[error("cannot set up io_uring ({stage}): {source}")]
    Io {
        /// What was being done.
        stage: &'static str,
        /// The system's error.
        source: io::Error,
    },
}

fn on_release(release: &str) -> String {
    if release.is_empty() { String::new() } else { format!(" (it is Linux {release})") }
}

/// The first kernel with DEFER_TASKRUN, the youngest feature that we cannot do without.
const KERNEL_SINCE: &str = "6.1";
/// The kernel's limit, of submission entries as of provided buffers.
const ENTRIES_MAX: u32 = 32_768;
/// One turn can complete more than it submitted: a multishot entry gives many completions.
const COMPLETIONS_PER_ENTRY: u32 = 4;

/// Operations that we cannot do without. All are older than [`KERNEL_SINCE`]; one can be missing all the same where
/// something else than Linux provides io_uring.
const NEEDED: [(u8, &str); 14] = [
    (opcode::AcceptMulti::CODE, "IORING_OP_ACCEPT"),
    (opcode::AsyncCancel::CODE, "IORING_OP_ASYNC_CANCEL"),
    (opcode::Close::CODE, "IORING_OP_CLOSE"),
    (opcode::Connect::CODE, "IORING_OP_CONNECT"),
    (opcode::Fsync::CODE, "IORING_OP_FSYNC"),
    (opcode::LinkAt::CODE, "IORING_OP_LINKAT"),
    (opcode::MkDirAt::CODE, "IORING_OP_MKDIRAT"),
    (opcode::OpenAt::CODE, "IORING_OP_OPENAT"),
    (opcode::PollAdd::CODE, "IORING_OP_POLL_ADD"),
    (opcode::Read::CODE, "IORING_OP_READ"),
    (opcode::RecvMulti::CODE, "IORING_OP_RECV"),
    (opcode::SendMsg::CODE, "IORING_OP_SENDMSG"),
    (opcode::UnlinkAt::CODE, "IORING_OP_UNLINKAT"),
    (opcode::Write::CODE, "IORING_OP_WRITE"),
];

/// What `Uring` is made of.
pub(super) struct Setup {
    pub(super) ring: Ring,
    pub(super) pool: Rc<RecvPool>,
    pub(super) has_ftruncate: bool,
}

/// Makes the ring and checks all that it must offer.
pub(super) fn set_up(config: &Config) -> Result<Setup, SetupError> {
    check_config(config)?;
    let mut builder = IoUring::builder();
    builder
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_taskrun_flag()
        .setup_submit_all()
        .setup_cqsize(config.entries.next_power_of_two() * COMPLETIONS_PER_ENTRY)
        .dontfork();
    let inner = builder.build(config.entries).map_err(|error| explain(error, "io_uring_setup", &Host::inspect()))?;
    let mut probe = Probe::new();
    inner
        .submitter()
        .register_probe(&mut probe)
        .map_err(|error| explain(error, "IORING_REGISTER_PROBE", &Host::inspect()))?;
    check_operations(|code| probe.is_supported(code))?;
    if !inner.params().is_feature_ext_arg() || !inner.params().is_feature_nodrop() {
        return Err(too_old("IORING_FEAT_EXT_ARG or IORING_FEAT_NODROP", &Host::inspect()));
    }
    let pool = RecvPool::new(config.recv_buffers, config.recv_buffer_size);
    // SAFETY: `Uring` drops its ring before the pool.
    unsafe { pool.register(&inner.submitter()) }
        .map_err(|error| explain(error, "IORING_REGISTER_PBUF_RING", &Host::inspect()))?;
    use_exact_timers();
    Ok(Setup { ring: Ring::new(inner), pool, has_ftruncate: probe.is_supported(opcode::Ftruncate::CODE) })
}

fn check_config(config: &Config) -> Result<(), SetupError> {
    let refuse = |parameter, value, must_be| Err(SetupError::Config { parameter, value, must_be });
    if config.entries == 0 || config.entries > ENTRIES_MAX / COMPLETIONS_PER_ENTRY {
        return refuse("entries", config.entries.into(), "1 to 8192");
    }
    if !config.recv_buffers.is_power_of_two() || u32::from(config.recv_buffers) > ENTRIES_MAX {
        return refuse("recv_buffers", config.recv_buffers.into(), "a power of two, 1 to 32768");
    }
    if !(512..=1 << 24).contains(&config.recv_buffer_size) {
        return refuse("recv_buffer_size", config.recv_buffer_size.into(), "512 bytes to 16 MiB");
    }
    Ok(())
}

fn check_operations(is_supported: impl Fn(u8) -> bool) -> Result<(), SetupError> {
    match NEEDED.iter().find(|(code, _)| !is_supported(*code)) {
        Some((_, missing)) => Err(too_old(missing, &Host::inspect())),
        None => Ok(()),
    }
}

/// The kernel lets a sleep take 50 microseconds longer than asked, to save wake-ups; a delay of a disk must be truer.
fn use_exact_timers() {
    // SAFETY: changes an attribute of the calling thread only. It cannot fail with a valid option.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1_u64) };
}

/// What decides how an error of the set-up is to be explained.
struct Host {
    release: String,
    /// kernel.io_uring_disabled; 0 where the kernel has no such switch.
    disabled: u32,
    memlock_bytes: u64,
}

impl Host {
    fn inspect() -> Self {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        Host {
            release: read("/proc/sys/kernel/osrelease"),
            disabled: read("/proc/sys/kernel/io_uring_disabled").parse().unwrap_or(0),
            memlock_bytes: getrlimit(Resource::RLIMIT_MEMLOCK).map_or(0, |(soft, _)| soft),
        }
    }
}

fn too_old(missing: &'static str, host: &Host) -> SetupError {
    SetupError::KernelTooOld { missing, since: KERNEL_SINCE, release: host.release.clone() }
}

fn explain(source: io::Error, stage: &'static str, host: &Host) -> SetupError {
    match source.raw_os_error() {
        Some(libc::ENOSYS) => SetupError::NoIoUring { release: host.release.clone() },
        Some(libc::EPERM | libc::EACCES) if host.disabled != 0 => SetupError::Disabled { value: host.disabled },
        Some(libc::EPERM | libc::EACCES) => SetupError::Forbidden,
        Some(libc::EINVAL) if stage == "io_uring_setup" => too_old("SINGLE_ISSUER and DEFER_TASKRUN", host),
        Some(libc::EINVAL) => too_old(stage, host),
        Some(libc::ENOMEM) => SetupError::LockedMemory { limit_bytes: host.memlock_bytes },
        _ => SetupError::Io { stage, source },
    }
}

#[cfg(test)]
mod tests;
