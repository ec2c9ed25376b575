//! The open files of the disk vocabulary.
//!
//! Owns descriptors, whether they are for direct I/O, locks, and how many operations each file has with the kernel.
//! The operations themselves are in `operation`.

use crate::buffer::is_aligned;
use disk::{BLOCK_SIZE, DiskError, FileId, OpenMode};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::ops::Range;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::path::PathBuf;

/// Mode of a new file, before the process's umask: the pair may run under two users of one group.
pub(super) const CREATE_MODE: u32 = 0o660;

#[derive(Debug)]
pub(super) struct File {
    pub(super) descriptor: OwnedFd,
    pub(super) direct: bool,
    pub(super) path: PathBuf,
    writable: bool,
    /// Operations that the kernel has.
    in_flight: u32,
    /// The `Close` request that waits for them.
    closing: Option<u64>,
}

#[derive(Debug)]
pub(super) struct Files {
    open: HashMap<FileId, File>,
    direct_io: bool,
}

impl Files {
    pub(super) fn new(direct_io: bool) -> Self {
        Files { open: HashMap::new(), direct_io }
    }

    /// Flags for openat(2). O_DIRECT is not among them: a file system that refuses it would do so only after it has created
    /// the file, and a second try would find the name taken.
    pub(super) fn open_flags(mode: OpenMode) -> i32 {
        let flags = match mode {
            OpenMode::Read => OFlag::O_RDONLY,
            OpenMode::ReadWrite => OFlag::O_RDWR,
            OpenMode::CreateNew => OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL,
        };
        (flags | OFlag::O_CLOEXEC).bits()
    }

    /// Takes over a file that was just opened. Gives whether its I/O is direct, and its length in bytes.
    ///
    /// On the spot: setting a flag is no I/O, and the attributes of a file that was opened a moment ago are cached.
    pub(super) fn adopt(
        &mut self,
        id: FileId,
        path: PathBuf,
        mode: OpenMode,
        descriptor: OwnedFd,
    ) -> io::Result<(bool, u64)> {
        let direct = self.direct_io && make_direct(&descriptor)?;
        let len = nix::sys::stat::fstat(&descriptor)?.st_size as u64;
        let Entry::Vacant(vacant) = self.open.entry(id) else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "another file is open under this number"));
        };
        vacant.insert(File { descriptor, direct, path, writable: mode != OpenMode::Read, in_flight: 0, closing: None });
        Ok((direct, len))
    }

    /// A file for a new operation, which counts as in flight from now on.
    pub(super) fn begin(&mut self, id: FileId) -> Result<&File, DiskError> {
        match self.open.get_mut(&id) {
            Some(file) if file.closing.is_none() => {
                file.in_flight += 1;
                Ok(file)
            }
            _ => Err(not_open(id)),
        }
    }

    /// As `begin`, for reading or writing `range`: refuses what direct I/O would, and a write to a file that is open for
    /// reading. Buffered files are held to the same, so that a mistake shows on every file system.
    pub(super) fn begin_transfer(
        &mut self,
        id: FileId,
        data: Option<&[u8]>,
        range: Range<u64>,
    ) -> Result<(), DiskError> {
        let file = self.begin(id)?;
        let blocks = [range.start, range.end].iter().all(|edge| edge.is_multiple_of(BLOCK_SIZE as u64));
        let writes = data.is_none_or(|data| file.writable && is_aligned(data) && !data.is_empty());
        if blocks && writes {
            return Ok(());
        }
        let what = if data.is_some() { "write" } else { "read" };
        let message = format!(
            "cannot {what} bytes {range:?} of {}: offset, length and address must be multiples of {BLOCK_SIZE}, \
             and the file open for it",
            file.path.display()
        );
        let closable = self.end(id);
        assert!(closable.is_none(), "no close can have come in between");
        Err(DiskError { kind: io::ErrorKind::InvalidInput, message })
    }

    /// An operation of `begin` is complete. Gives the descriptor to close, if a close waited for this.
    pub(super) fn end(&mut self, id: FileId) -> Option<(u64, File)> {
        let file = self.open.get_mut(&id).expect("a file stays open while it has operations");
        file.in_flight -= 1;
        self.take_if_closable(id)
    }

    /// Closes as soon as no operation is in flight; at once if the answer is `Some`.
    pub(super) fn close(&mut self, id: FileId, request: u64) -> Result<Option<(u64, File)>, DiskError> {
        match self.open.get_mut(&id) {
            Some(file) if file.closing.is_none() => file.closing = Some(request),
            _ => return Err(not_open(id)),
        }
        Ok(self.take_if_closable(id))
    }

    fn take_if_closable(&mut self, id: FileId) -> Option<(u64, File)> {
        let file = self.open.get(&id)?;
        let request = file.closing.filter(|_| file.in_flight == 0)?;
        self.open.remove(&id).map(|file| (request, file))
    }

    /// The file of an operation in flight.
    pub(super) fn get(&self, id: FileId) -> &File {
        self.open.get(&id).expect("a file stays open while it has operations")
    }

    /// Tries to lock, without waiting. On the spot: io_uring has no lock operation, and a lock that is tried does not
    /// sleep. Of the kinds of locks this is the one that belongs to the open file: closing another descriptor of the
    /// file does not drop it, and the kernel frees it at the moment when the process is gone and its last operation on
    /// the file has ended.
    pub(super) fn try_lock(&self, id: FileId) -> Result<bool, DiskError> {
        let file = self.open.get(&id).filter(|file| file.closing.is_none()).ok_or_else(|| not_open(id))?;
        let whole_file = libc::flock {
            l_type: libc::F_WRLCK as i16,
            l_whence: libc::SEEK_SET as i16,
            l_start: 0,
            l_len: 0,
            l_pid: 0,
        };
        match fcntl(&file.descriptor, FcntlArg::F_OFD_SETLK(&whole_file)) {
            Ok(_) => Ok(true),
            Err(Errno::EAGAIN | Errno::EACCES) => Ok(false),
            Err(errno) => Err(disk_error(&format!("lock {}", file.path.display()), errno.into())),
        }
    }
}

/// Whether the file system takes O_DIRECT for this file.
fn make_direct(descriptor: &OwnedFd) -> io::Result<bool> {
    let flags = OFlag::from_bits_retain(fcntl(descriptor, FcntlArg::F_GETFL)?);
    match fcntl(descriptor, FcntlArg::F_SETFL(flags | OFlag::O_DIRECT)) {
        Ok(_) => Ok(true),
        Err(Errno::EINVAL) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

pub(super) fn raw(file: &File) -> RawFd {
    file.descriptor.as_raw_fd()
}

/// An error for decisions and for people: what could not be done, to which path, and why.
pub(super) fn disk_error(what: &str, error: io::Error) -> DiskError {
    DiskError { kind: error.kind(), message: format!("cannot {what}: {error}") }
}

fn not_open(id: FileId) -> DiskError {
    let message = format!("file {} is not open", id.0);
    DiskError { kind: io::ErrorKind::InvalidInput, message }
}
