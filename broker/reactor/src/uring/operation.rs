//! Disk operations on the ring.
//!
//! Owns each request from `submit` to its answer, with the memory that the kernel reads and writes meanwhile: short
//! transfers go on inside, operations of several steps take one after the other. What io_uring cannot do is done on
//! the spot, each with its reason. Open files are in `file`.
//!
//! `durable` writes carry RWF_DSYNC, which on a buffered file is the write followed by fdatasync of what it wrote. No entries are
//! linked: a short write would break the chain and what follows would overtake its remainder.
#![allow(unsafe_code)]

use super::file::{CREATE_MODE, File, Files, disk_error, raw};
use super::ring::{Completion, Kind, Ring, Tag};
use crate::buffer::aligned;
use crate::slots::{Key, Slots};
use crate::sync_delay::is_flush;
use bytes::{Bytes, BytesMut};
use disk::{BLOCK_SIZE, DiskDone, DiskError, DiskOp, DiskRequest, FileId, OpenMode, Outcome};
use io_uring::{opcode, squeue, types};
use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The kernel moves at most 2 GiB less one page at once; this is a round number below.
const TRANSFER_MAX: usize = 1 << 30;
/// Paths are absolute, so the directory that they are relative to does not matter.
const NO_DIRECTORY: types::Fd = types::Fd(libc::AT_FDCWD);

/// A completed request; `flush` if it promises durability.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) done: DiskDone,
    pub(super) flush: bool,
}

#[derive(Debug)]
struct Operation {
    id: u64,
    flush: bool,
    work: Work,
}

/// The kernel reads names and data from here, and writes into `Read::buffer`: all of it is on the heap and stays where it
/// is when the operation moves.
#[derive(Debug)]
enum Work {
    Open {
        file: FileId,
        mode: OpenMode,
        path: PathBuf,
        name: CString,
    },
    Close {
        path: PathBuf,
        descriptor: i32,
    },
    SetLen {
        file: FileId,
        len: u64,
    },
    Allocate {
        file: FileId,
        len: u64,
    },
    Write {
        file: FileId,
        offset: u64,
        data: Bytes,
        written: usize,
        durable: bool,
    },
    /// `buffer` has what was read so far, and room for `len`.
    Read {
        file: FileId,
        offset: u64,
        len: usize,
        buffer: BytesMut,
    },
    Sync {
        file: FileId,
    },
    OpenDir {
        path: PathBuf,
        name: CString,
    },
    SyncDir {
        path: PathBuf,
        directory: OwnedFd,
    },
    Link {
        from: PathBuf,
        to: PathBuf,
        names: (CString, CString),
    },
    Unlink {
        path: PathBuf,
        name: CString,
    },
    /// `levels` are still to be made, the deepest first; `returned`: the one above the last was just made.
    CreateDir {
        levels: Vec<(PathBuf, CString)>,
        returned: bool,
    },
}

/// What a completion means for its operation.
enum Step {
    Again,
    Done(Result<Outcome, DiskError>),
}

/// The disk of a ring.
#[derive(Debug)]
pub(super) struct Disk {
    files: Files,
    operations: Slots<Operation>,
    has_ftruncate: bool,
}

impl Disk {
    pub(super) fn new(direct_io: bool, has_ftruncate: bool) -> Self {
        Disk { files: Files::new(direct_io), operations: Slots::new(), has_ftruncate }
    }

    /// Begins a request; gives its answer if it needed no ring.
    pub(super) fn submit(&mut self, ring: &mut Ring, DiskRequest { id, op }: DiskRequest) -> Option<Finished> {
        let flush = is_flush(&op);
        let begun = match op {
            DiskOp::TryLock { file } => Err(self.files.try_lock(file).map(Outcome::Locked)),
            // io_uring reads no directories. A store's have few names, and only its start lists them.
            DiskOp::List { path } => Err(list(&path).map(Outcome::Names)),
            DiskOp::Close { file } => match self.files.close(file, id) {
                Ok(Some((id, file))) => Ok(Some((id, close(file)))),
                Ok(None) => Ok(None),
                Err(error) => Err(Err(error)),
            },
            DiskOp::SetLen { file, len } if !self.has_ftruncate => Err(self.set_len_now(file, len)),
            op => self.begin(op).map(|work| Some((id, work))).map_err(Err),
        };
        match begun {
            Ok(Some((id, work))) => self.start(ring, Operation { id, flush, work }),
            Ok(None) => {}
            Err(result) => return Some(Finished { done: DiskDone { id, result }, flush }),
        }
        None
    }

    /// Takes a completion; gives the answer if the request is complete.
    pub(super) fn complete(&mut self, ring: &mut Ring, completion: Completion) -> Option<Finished> {
        let key = completion.tag.key;
        let operation = self.operations.get_mut(key).expect("an operation stays until the kernel has answered");
        let result = match operation.work.step(completion.result(), &mut self.files) {
            Step::Again => {
                self.issue(ring, key);
                return None;
            }
            Step::Done(result) => result,
        };
        let Operation { id, flush, work } = self.operations.remove(key).expect("it was there a moment ago");
        if let Some((id, file)) = work.file().and_then(|file| self.files.end(file)) {
            self.start(ring, Operation { id, flush: false, work: close(file) });
        }
        Some(Finished { done: DiskDone { id, result }, flush })
    }

    /// Gives up the memory of what is still in flight for ever, since the kernel may still write to it.
    pub(super) fn leak(&mut self) {
        std::mem::forget(std::mem::replace(&mut self.operations, Slots::new()));
    }

    fn start(&mut self, ring: &mut Ring, operation: Operation) {
        let key = self.operations.insert(operation);
        self.issue(ring, key);
    }

    fn issue(&mut self, ring: &mut Ring, key: Key) {
        let operation = self.operations.get_mut(key).expect("only pending operations are issued");
        let entry = operation.work.entry(&self.files);
        // SAFETY: what the entry points at is on the heap, owned by the operation, which stays until its completion; the
        // file stays open because it counts the operation; an operation that is abandoned is leaked.
        unsafe { ring.push(entry, Tag::new(Kind::Disk, key)) }
    }

    fn begin(&mut self, op: DiskOp) -> Result<Work, DiskError> {
        let files = &mut self.files;
        match op {
            DiskOp::Open { file, path, mode } => Ok(Work::Open { file, mode, name: name(&path)?, path }),
            DiskOp::SetLen { file, len } => files.begin(file).map(|_| Work::SetLen { file, len }),
            DiskOp::Allocate { file, len } => files.begin(file).map(|_| Work::Allocate { file, len }),
            DiskOp::Write { file, offset, data, durable } => {
                files.begin_transfer(file, Some(&data), offset..offset + data.len() as u64)?;
                Ok(Work::Write { file, offset, data, written: 0, durable })
            }
            DiskOp::Read { file, offset, len } => {
                files.begin_transfer(file, None, offset..offset + len as u64)?;
                Ok(Work::Read { file, offset, len, buffer: aligned(len) })
            }
            DiskOp::Sync { file } => files.begin(file).map(|_| Work::Sync { file }),
            DiskOp::SyncDir { path } => Ok(Work::OpenDir { name: name(&path)?, path }),
            DiskOp::Link { from, to } => Ok(Work::Link { names: (name(&from)?, name(&to)?), from, to }),
            DiskOp::Unlink { path } => Ok(Work::Unlink { name: name(&path)?, path }),
            DiskOp::CreateDir { path } => {
                Ok(Work::CreateDir { levels: vec![(path.clone(), name(&path)?)], returned: false })
            }
            DiskOp::Close { .. } | DiskOp::List { .. } | DiskOp::TryLock { .. } => {
                unreachable!("`submit` has dealt with it")
            }
        }
    }

    /// For kernels before 6.9, which have no such operation. Local file systems do it without waiting for the disk.
    fn set_len_now(&mut self, id: FileId, len: u64) -> Result<Outcome, DiskError> {
        let file = self.files.begin(id)?;
        let result = nix::unistd::ftruncate(&file.descriptor, len as i64)
            .map_err(|errno| disk_error(&format!("set the length of {} to {len}", file.path.display()), errno.into()));
        let closable = self.files.end(id);
        assert!(closable.is_none(), "no close can have come in between");
        result.map(|()| Outcome::Done)
    }
}

impl Work {
    /// The open file that counts this operation.
    fn file(&self) -> Option<FileId> {
        match self {
            Work::SetLen { file, .. } | Work::Allocate { file, .. } | Work::Sync { file } => Some(*file),
            Work::Write { file, .. } | Work::Read { file, .. } => Some(*file),
            _ => None,
        }
    }

    /// What to ask of the kernel next.
    fn entry(&mut self, files: &Files) -> squeue::Entry {
        let descriptor = |file: &FileId| types::Fd(raw(files.get(*file)));
        match self {
            Work::Open { mode, name, .. } => opcode::OpenAt::new(NO_DIRECTORY, name.as_ptr())
                .flags(Files::open_flags(*mode))
                .mode(CREATE_MODE)
                .build(),
            Work::Close { descriptor, .. } => opcode::Close::new(types::Fd(*descriptor)).build(),
            Work::SetLen { file, len } => opcode::Ftruncate::new(descriptor(file), *len).build(),
            Work::Allocate { file, len } => opcode::Fallocate::new(descriptor(file), *len).build(),
            Work::Write { file, offset, data, written, durable } => {
                let rest = &data[*written..];
                opcode::Write::new(descriptor(file), rest.as_ptr(), rest.len().min(TRANSFER_MAX) as u32)
                    .offset(*offset + *written as u64)
                    .rw_flags(if *durable { libc::RWF_DSYNC } else { 0 })
                    .build()
            }
            Work::Read { file, offset, len, buffer } => {
                let room = *len - buffer.len();
                let rest = buffer.spare_capacity_mut().as_mut_ptr().cast();
                opcode::Read::new(descriptor(file), rest, room.min(TRANSFER_MAX) as u32)
                    .offset(*offset + buffer.len() as u64)
                    .build()
            }
            Work::Sync { file } => opcode::Fsync::new(descriptor(file)).build(),
            Work::OpenDir { name, .. } => opcode::OpenAt::new(NO_DIRECTORY, name.as_ptr())
                .flags(libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC)
                .build(),
            Work::SyncDir { directory, .. } => opcode::Fsync::new(types::Fd(directory.as_raw_fd())).build(),
            Work::Link { names: (from, to), .. } => {
                opcode::LinkAt::new(NO_DIRECTORY, from.as_ptr(), NO_DIRECTORY, to.as_ptr()).build()
            }
            Work::Unlink { name, .. } => opcode::UnlinkAt::new(NO_DIRECTORY, name.as_ptr()).build(),
            Work::CreateDir { levels, .. } => {
                let (_, name) = levels.last().expect("a directory is still to be made");
                opcode::MkDirAt::new(NO_DIRECTORY, name.as_ptr()).mode(0o770).build()
            }
        }
    }

    /// Takes the kernel's answer.
    fn step(&mut self, result: io::Result<u32>, files: &mut Files) -> Step {
        if result.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::Interrupted) {
            return Step::Again;
        }
        match self {
            Work::Write { .. } => return self.step_write(result, files),
            Work::Read { .. } => return self.step_read(result, files),
            Work::CreateDir { .. } => return self.step_create_dir(result),
            _ => {}
        }
        let value = match result {
            Ok(value) => value,
            Err(error) => return Step::Done(Err(disk_error(&self.describe(files), error))),
        };
        match self {
            Work::Open { file, path, mode, .. } => {
                // SAFETY: the kernel made this descriptor for this completion; nobody else knows it.
                let descriptor = unsafe { OwnedFd::from_raw_fd(value as i32) };
                let opened = files.adopt(*file, path.clone(), *mode, descriptor);
                Step::Done(match opened {
                    Ok((direct, len)) => Ok(Outcome::Opened { direct, len }),
                    Err(error) => Err(disk_error(&self.describe(files), error)),
                })
            }
            Work::OpenDir { path, .. } => {
                // SAFETY: as above.
                let directory = unsafe { OwnedFd::from_raw_fd(value as i32) };
                *self = Work::SyncDir { path: std::mem::take(path), directory };
                Step::Again
            }
            _ => Step::Done(Ok(Outcome::Done)),
        }
    }

    fn step_write(&mut self, result: io::Result<u32>, files: &Files) -> Step {
        let Work::Write { file, data, written, .. } = self else { unreachable!("only for writes") };
        let count = match result {
            Ok(count) => count as usize,
            Err(error) => return Step::Done(Err(disk_error(&self.describe(files), error))),
        };
        let mut reached = *written + count;
        if reached == data.len() {
            return Step::Done(Ok(Outcome::Done));
        }
        if files.get(*file).direct {
            // The rest must begin at a block; what is written twice is the same bytes.
            reached -= reached % BLOCK_SIZE;
        }
        if reached <= *written {
            return Step::Done(Err(disk_error(&self.describe(files), io::ErrorKind::WriteZero.into())));
        }
        *written = reached;
        Step::Again
    }

    fn step_read(&mut self, result: io::Result<u32>, files: &Files) -> Step {
        let Work::Read { file, len, buffer, .. } = self else { unreachable!("only for reads") };
        let count = match result {
            Ok(count) => count as usize,
            Err(error) => return Step::Done(Err(disk_error(&self.describe(files), error))),
        };
        let reached = buffer.len() + count;
        assert!(reached <= buffer.capacity(), "the kernel read more than there is room for");
        // SAFETY: the kernel wrote `count` bytes behind the ones that were there.
        unsafe { buffer.set_len(reached) };
        // A direct read ends off a block boundary only at the end of the file, and could not go on from there.
        let at_end = count == 0 || (files.get(*file).direct && !reached.is_multiple_of(BLOCK_SIZE));
        if !at_end && reached < *len {
            return Step::Again;
        }
        Step::Done(Ok(Outcome::Data(std::mem::take(buffer).freeze())))
    }

    fn step_create_dir(&mut self, result: io::Result<u32>) -> Step {
        let Work::CreateDir { levels, returned } = self else { unreachable!("only for directories") };
        let (path, _) = levels.last().expect("a directory is still to be made");
        let fail =
            |error: io::Error| Step::Done(Err(disk_error(&format!("create directory {}", path.display()), error)));
        match result {
            Ok(_) => {}
            // On the spot, and only in the rare case that the name is taken: by a directory, as a rule.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if !path.is_dir() {
                    return fail(error);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound && !*returned => {
                let Some(parent) = path.parent().map(Path::to_path_buf) else { return fail(error) };
                match name(&parent) {
                    Ok(name) => levels.push((parent, name)),
                    Err(error) => return Step::Done(Err(error)),
                }
                return Step::Again;
            }
            Err(error) => return fail(error),
        }
        levels.pop();
        *returned = true;
        if levels.is_empty() { Step::Done(Ok(Outcome::Done)) } else { Step::Again }
    }

    /// What is being done, in the words of an error message.
    fn describe(&self, files: &Files) -> String {
        let path = |file: &FileId| files.get(*file).path.display().to_string();
        match self {
            Work::Open { path, mode, .. } => format!("open {} ({mode:?})", path.display()),
            Work::Close { path, .. } => format!("close {}", path.display()),
            Work::SetLen { file, len } => format!("set the length of {} to {len}", path(file)),
            Work::Allocate { file, len } => format!("give {} {len} bytes of the disk", path(file)),
            Work::Write { file, offset, data, .. } => {
                format!("write {} bytes at {offset} of {}", data.len(), path(file))
            }
            Work::Read { file, offset, len, .. } => format!("read {len} bytes at {offset} of {}", path(file)),
            Work::Sync { file } => format!("sync {}", path(file)),
            Work::OpenDir { path, .. } | Work::SyncDir { path, .. } => format!("sync directory {}", path.display()),
            Work::Link { from, to, .. } => format!("link {} to {}", from.display(), to.display()),
            Work::Unlink { path, .. } => format!("unlink {}", path.display()),
            Work::CreateDir { levels, .. } => {
                format!("create directory {}", levels.first().map_or(Path::new(""), |(path, _)| path).display())
            }
        }
    }
}

/// Closing goes through the ring, since network file systems flush on close.
fn close(file: File) -> Work {
    Work::Close { path: file.path, descriptor: file.descriptor.into_raw_fd() }
}

fn name(path: &Path) -> Result<CString, DiskError> {
    CString::new(path.as_os_str().as_bytes()).map_err(|error| {
        disk_error(&format!("use the path {path:?}"), io::Error::new(io::ErrorKind::InvalidInput, error))
    })
}

/// Names that are not UTF-8 are none of ours; they are listed so that people can recognise them.
fn list(path: &Path) -> Result<Vec<String>, DiskError> {
    let names = || -> io::Result<Vec<String>> {
        let mut names = std::fs::read_dir(path)?
            .map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()))
            .collect::<io::Result<Vec<String>>>()?;
        names.sort_unstable();
        Ok(names)
    };
    names().map_err(|error| disk_error(&format!("list {}", path.display()), error))
}

#[cfg(test)]
mod tests;
