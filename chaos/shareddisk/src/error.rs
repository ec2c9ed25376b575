//! The one error type of this crate.

use std::io;
use std::path::PathBuf;

/// Why a disk cannot be started or asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no /dev/fuse, or this user may not mount; run as root, with the device passed into a container.
    #[error("no shared disk: {0}")]
    Unavailable(String),
    /// A file or folder could not be used.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
    /// The daemon could not be started.
    #[error("cannot start {program}: {source}")]
    Spawn {
        /// The program.
        program: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
    /// The daemon ended, or did not say in time that it is ready; its last words follow.
    #[error("the disk's process did not get ready: {0}")]
    NotReady(String),
    /// The daemon does not answer.
    #[error("the disk's process does not answer: {0}")]
    Silent(io::Error),
    /// The daemon refused a request, or gave an answer of another kind.
    #[error("the disk refused: {0}")]
    Refused(String),
    /// An answer was not understood.
    #[error("the disk's answer is not understood: {0}")]
    Answer(serde_json::Error),
}

/// What most functions return.
pub type Result<T> = std::result::Result<T, Error>;
