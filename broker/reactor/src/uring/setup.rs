//! What the kernel must offer, and what to tell people when it does not.
//!
//! Owns [`Config`] and [`SetupError`]. Runs once, before the first wait.

use std::io;
use thiserror::Error;

/// Sizes of a reactor. The memory that it holds is about `recv_buffers * recv_buffer_size` plus 80 bytes per entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Submission entries, 1 to 32,768. When a turn queues more, it takes more than one system call.
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
