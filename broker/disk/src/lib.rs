//! The words in which the store asks for disk work and the reactor answers.
//!
//! Owns the types `DiskRequest`, `DiskOp`, `DiskDone` and, in [`sim`], a simulated disk that executes them
//! deterministically. Executes nothing on a real disk (that is `reactor`) and knows no journal (that is `store`).

#![forbid(unsafe_code)]

pub mod sim;

use bytes::Bytes;
use std::path::PathBuf;

/// Nanoseconds of CLOCK_MONOTONIC, or of simulated time.
pub type Nanos = u64;

/// Every offset, length and address of direct I/O is a multiple of this, in bytes.
pub const BLOCK_SIZE: usize = 4096;

/// Whether all of `bytes` are zero. By parts, which the compiler turns into vector instructions: recovery asks this of each
/// block behind the end of a journal.
pub fn is_zero(bytes: &[u8]) -> bool {
    bytes.chunks(64).all(|part| part.iter().fold(0, |all, byte| all | byte) == 0)
}

/// A number that the requester chooses for a file when it opens it; unique among its open files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId(pub u32);

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// Existing file, reads only.
    Read,
    /// Existing file, reads and writes.
    ReadWrite,
    /// New file, reads and writes; `AlreadyExists` when the name is taken (O_CREAT | O_EXCL).
    CreateNew,
}

/// One piece of disk work. Paths are absolute.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "each variant's line speaks of its fields")]
pub enum DiskOp {
    /// Opens `path` as `file`, for direct I/O where the file system has it. Answer: [`Outcome::Opened`].
    Open { file: FileId, path: PathBuf, mode: OpenMode },
    /// Closes `file` (and drops its lock). Answer: [`Outcome::Done`].
    Close { file: FileId },
    /// Sets the length in bytes; the new range reads as zeros.
    SetLen { file: FileId, len: u64 },
    /// Makes the file `len` bytes long, all of them with their place on the disk; what is new reads as zeros. `Unsupported`
    /// where the file system cannot.
    Allocate { file: FileId, len: u64 },
    /// Writes all of `data` at `offset`. With `durable`, completion means that the data is on media (RWF_DSYNC).
    /// A short write is completed or reported as an error by the executor, never as success.
    Write { file: FileId, offset: u64, data: Bytes, durable: bool },
    /// Reads up to `len` bytes at `offset`; shorter only at the end of the file. Answer: [`Outcome::Data`].
    Read { file: FileId, offset: u64, len: usize },
    /// Flushes file data and length (fsync).
    Sync { file: FileId },
    /// Makes the names in a directory durable (fsync of the directory).
    SyncDir { path: PathBuf },
    /// Hard link; `AlreadyExists` when `to` is taken.
    Link { from: PathBuf, to: PathBuf },
    /// Removes a name.
    Unlink { path: PathBuf },
    /// Makes a directory and its missing parents; one that exists already is success.
    CreateDir { path: PathBuf },
    /// Lists the names in a directory. Answer: [`Outcome::Names`], sorted.
    List { path: PathBuf },
    /// Tries for an exclusive open-file-description lock, without waiting. Answer: [`Outcome::Locked`].
    TryLock { file: FileId },
}

/// A request; `id` returns in its [`DiskDone`]. Requests may complete in any order.
#[derive(Clone, Debug)]
pub struct DiskRequest {
    /// Chosen by the requester, unique among its outstanding requests.
    pub id: u64,
    /// What to do.
    pub op: DiskOp,
}

/// What a completed operation gave.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each variant's line speaks of its fields")]
pub enum Outcome {
    /// Nothing beyond success.
    Done,
    /// The file is open; `direct` is false where the file system refused O_DIRECT, `len` is its length in bytes.
    Opened { direct: bool, len: u64 },
    /// What was read. Block aligned in memory.
    Data(Bytes),
    /// Names, sorted.
    Names(Vec<String>),
    /// Whether the lock is ours now.
    Locked(bool),
}

/// Why an operation failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskError {
    /// For decisions.
    pub kind: std::io::ErrorKind,
    /// For people: names the operation and the path.
    pub message: String,
}

impl std::fmt::Display for DiskError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for DiskError {}

/// The completion of the request with the same `id`.
#[derive(Clone, Debug)]
pub struct DiskDone {
    /// The request's id.
    pub id: u64,
    /// Its result.
    pub result: Result<Outcome, DiskError>,
}
