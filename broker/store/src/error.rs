//! What can be wrong with a store, in words that name the file, the place, what is affected and the remedy.

use disk::DiskError;
use std::path::PathBuf;

/// Why a store cannot be served or go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// A disk operation failed. The process must give up the store; another may claim it.
    #[error("{while_doing}: {cause}")]
    Disk {
        /// What the store was about.
        while_doing: &'static str,
        /// The failed operation.
        cause: DiskError,
    },
    /// Bytes that were certainly written do not read back. Restore the file, or start with `--force-start`, which
    /// keeps a copy aside and goes on without what is affected.
    #[error("{}: offset {offset}: {problem}; affected: {affected}; remedy: restore the file from a copy, or start with --force-start, which sets it aside and drops what is affected", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Byte offset of the first bad block.
        offset: u64,
        /// What is wrong there.
        problem: &'static str,
        /// What is lost with it.
        affected: String,
    },
    /// The folder has no store of ours but is not empty. Check the path and the mount, or start with `--create-store`.
    #[error("{}: not a store ({missing} is missing) but not empty ({found} is there); remedy: check the path and that the disk is mounted, or start with --create-store to make a new store beside it", folder.display())]
    NotAStore {
        /// The configured folder.
        folder: PathBuf,
        /// The file that a store would have.
        missing: String,
        /// A name that is there.
        found: String,
    },
    /// The chain knows a store that the configuration does not, and it holds messages. Configure it again or drain it first.
    #[error(
        "{file}: holds {messages} messages but is not configured; remedy: put the store back into stores.conf, or drain it before removing it"
    )]
    NotConfigured {
        /// The store's folder.
        file: String,
        /// Live messages in it.
        messages: u64,
    },
    /// The store was written by a newer version. Use that version.
    #[error("{}: format version {found}, this version reads up to {known}; remedy: use the version that wrote it", path.display())]
    TooNew {
        /// The file.
        path: PathBuf,
        /// Its format version.
        found: u16,
        /// Ours.
        known: u16,
    },
    /// The ownership slot could not be read for `ft_activation`; whether we still own the store is unknown.
    #[error("{}: ownership could not be checked in time ({last}); remedy: check the shared storage, then restart", path.display())]
    SlotUnreadable {
        /// The slot.
        path: PathBuf,
        /// The last answer.
        last: String,
    },
    /// A message read back does not match its checksum.
    #[error("{}: offset {offset}: message bytes do not match their checksum; remedy: restore the file from a copy", path.display())]
    BodyDamaged {
        /// The segment.
        path: PathBuf,
        /// Byte offset of the message.
        offset: u64,
    },
    /// What must be taken over from the epoch before does not fit in the first segments.
    #[error(
        "{file}: segments are too small for what the previous owner left unfinished; remedy: configure at least the segment size that the store was written with"
    )]
    SegmentsTooSmall {
        /// The lane's folder.
        file: String,
    },
}
