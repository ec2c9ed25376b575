//! One request in flight on the simulated disk: how it is split, when its parts take effect, what it answers.
//!
//! Owns the meaning of each [`DiskOp`]. Content and names are in their own files; what survives a kill is in `mod.rs`.

use super::content::{Captured, Inode};
use super::names::{InodeId, Name};
use super::{Handle, OpKind, Session, SimDisk, aligned};
use crate::{BLOCK_SIZE, DiskDone, DiskError, DiskOp, DiskRequest, FileId, OpenMode, Outcome};
use bytes::{Bytes, BytesMut};
use std::io::ErrorKind;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// A request in flight.
#[derive(Clone, Debug)]
pub(super) struct Operation {
    pub(super) session: Session,
    id: u64,
    work: Work,
    result: Result<Outcome, DiskError>,
    /// How often the cache had been lost when it began.
    losses: u64,
}

/// What is to be done, with the file already looked up.
#[derive(Clone, Debug)]
enum Work {
    /// Fails without any effect.
    Refused,
    /// Blocks `parts[i]` of the file receive their share of `data` in one step each.
    Write {
        inode: InodeId,
        first: u64,
        data: Bytes,
        durable: bool,
        parts: Vec<Range<u64>>,
    },
    /// `parts` as for writes; `out` fills up.
    Read {
        inode: InodeId,
        offset: u64,
        out: BytesMut,
        parts: Vec<Range<u64>>,
    },
    Sync {
        inode: InodeId,
        captured: Captured,
    },
    SetLen {
        inode: InodeId,
        len: u64,
    },
    Lock {
        inode: InodeId,
        file: FileId,
    },
    Other(DiskOp),
}

impl Operation {
    /// In how many steps it takes effect.
    pub(super) fn parts(&self) -> usize {
        match &self.work {
            Work::Refused => 0,
            Work::Write { parts, .. } | Work::Read { parts, .. } => parts.len(),
            _ => 1,
        }
    }

    pub(super) fn inode(&self) -> Option<InodeId> {
        match self.work {
            Work::Write { inode, .. } | Work::Read { inode, .. } | Work::Sync { inode, .. } => Some(inode),
            Work::SetLen { inode, .. } | Work::Lock { inode, .. } => Some(inode),
            Work::Refused | Work::Other(_) => None,
        }
    }

    /// The file and the blocks that a write changes.
    pub(super) fn writes(&self) -> Option<(InodeId, Range<u64>)> {
        match &self.work {
            Work::Write { inode, first, data, .. } => Some((*inode, *first..*first + (data.len() / BLOCK_SIZE) as u64)),
            _ => None,
        }
    }
}

fn error(kind: ErrorKind, what: &str, path: &Path) -> DiskError {
    DiskError { kind, message: format!("{what} {}: {kind}", path.display()) }
}

impl SimDisk {
    /// Looks up the file, applies planted errors, and splits the work.
    pub(super) fn begin(&mut self, session: Session, request: DiskRequest) -> Operation {
        let DiskRequest { id, op } = request;
        let (path, kind) = (self.path_of(session, &op), OpKind::of(&op));
        let losses = self.losses;
        let refused = |error| Operation { session, id, work: Work::Refused, result: Err(error), losses };
        let Some(path) = path else {
            return refused(error(ErrorKind::InvalidInput, "file that is not open:", Path::new("?")));
        };
        let planted = self.faults.iter_mut().find(|fault| {
            let here = path.to_string_lossy().contains(&fault.path_contains);
            fault.count > 0 && fault.operation == kind && fault.session.is_none_or(|of| of == session) && here
        });
        if let Some(fault) = planted {
            fault.count -= 1;
            return refused(error(fault.kind, &format!("{kind:?}"), &path));
        }
        match self.work(session, op) {
            Ok(work) => Operation { session, id, work, result: Ok(Outcome::Done), losses },
            Err(kind) => refused(error(kind, "request", &path)),
        }
    }

    fn path_of(&self, session: Session, op: &DiskOp) -> Option<PathBuf> {
        match op {
            DiskOp::Open { path, .. } | DiskOp::SyncDir { path } | DiskOp::Unlink { path } => Some(path.clone()),
            DiskOp::CreateDir { path } | DiskOp::List { path } => Some(path.clone()),
            DiskOp::Link { to, .. } => Some(to.clone()),
            DiskOp::Close { file } | DiskOp::SetLen { file, .. } | DiskOp::Allocate { file, .. } => {
                self.open_path(session, *file)
            }
            DiskOp::Write { file, .. } => self.open_path(session, *file),
            DiskOp::Read { file, .. } | DiskOp::Sync { file } | DiskOp::TryLock { file } => {
                self.open_path(session, *file)
            }
        }
    }

    fn open_path(&self, session: Session, file: FileId) -> Option<PathBuf> {
        self.process(session).open.get(&file).map(|handle| handle.path.clone())
    }

    fn work(&mut self, session: Session, op: DiskOp) -> Result<Work, ErrorKind> {
        let aligned_to = |value: u64| value.is_multiple_of(BLOCK_SIZE as u64) || !self.config.direct;
        let handle = |file: &FileId| &self.process(session).open[file];
        Ok(match op {
            DiskOp::Write { file, offset, data, durable } => {
                let address = data.as_ptr() as usize as u64;
                let whole = data.len().is_multiple_of(BLOCK_SIZE) && offset.is_multiple_of(BLOCK_SIZE as u64);
                if !whole || !aligned_to(address) || data.is_empty() || !handle(&file).writable {
                    return Err(ErrorKind::InvalidInput);
                }
                let inode = handle(&file).inode;
                let parts = self.split((data.len() / BLOCK_SIZE) as u64);
                Work::Write { inode, first: offset / BLOCK_SIZE as u64, data, durable, parts }
            }
            DiskOp::Read { file, offset, len } => {
                if !aligned_to(offset) || !aligned_to(len as u64) {
                    return Err(ErrorKind::InvalidInput);
                }
                let inode = handle(&file).inode;
                let available = self.inodes[&inode].len().saturating_sub(offset).min(len as u64) as usize;
                let mut out = aligned(available);
                out.resize(available, 0);
                let parts = self.split(available.div_ceil(BLOCK_SIZE) as u64);
                Work::Read { inode, offset, out, parts }
            }
            DiskOp::Sync { file } => {
                let inode = handle(&file).inode;
                Work::Sync { inode, captured: self.inodes[&inode].capture(None) }
            }
            DiskOp::SetLen { file, len } => Work::SetLen { inode: handle(&file).inode, len },
            // As a write of zeros behind what there is: that needs space, and may be lost before a sync.
            DiskOp::Allocate { file, len } => {
                let inode = handle(&file).inode;
                let first = self.inodes[&inode].len().div_ceil(BLOCK_SIZE as u64);
                let blocks = len.div_ceil(BLOCK_SIZE as u64).saturating_sub(first);
                let data = Bytes::from(vec![0; blocks as usize * BLOCK_SIZE]);
                let parts = self.split(blocks);
                Work::Write { inode, first, data, durable: false, parts }
            }
            DiskOp::TryLock { file } => Work::Lock { inode: handle(&file).inode, file },
            other => Work::Other(other),
        })
    }

    /// Cuts `blocks` blocks into at most three parts at random places.
    fn split(&mut self, blocks: u64) -> Vec<Range<u64>> {
        if blocks == 0 {
            return Vec::new();
        }
        let (mut low, mut high) = (self.random.u64(0..=blocks), self.random.u64(0..=blocks));
        if low > high {
            std::mem::swap(&mut low, &mut high);
        }
        [0..low, low..high, high..blocks].into_iter().filter(|part| !part.is_empty()).collect()
    }

    /// One part of an operation takes effect.
    pub(super) fn effect(&mut self, key: u64, part: usize) {
        let Some(mut operation) = self.operations.remove(&key) else {
            return;
        };
        let (result, session) = (operation.result.clone(), operation.session);
        let outcome = match &mut operation.work {
            Work::Refused => result,
            Work::Write { inode, first, data, parts, .. } => {
                self.write_part(*inode, *first, data, parts[part].clone()).and(result)
            }
            Work::Read { inode, offset, out, parts } => {
                let range =
                    parts[part].start as usize * BLOCK_SIZE..(parts[part].end as usize * BLOCK_SIZE).min(out.len());
                self.inodes[inode].read(*offset + range.start as u64, &mut out[range]);
                result
            }
            Work::Sync { .. } => result,
            Work::SetLen { inode, len } => {
                self.inodes.get_mut(inode).expect("an operation keeps its file").set_len(*len);
                result
            }
            Work::Lock { inode, file } => {
                let holder = *self.locks.entry(*inode).or_insert((session, *file));
                Ok(Outcome::Locked(holder == (session, *file)))
            }
            Work::Other(op) => self.other(session, op),
        };
        operation.result = outcome;
        self.operations.insert(key, operation);
    }

    fn write_part(&mut self, inode: InodeId, first: u64, data: &Bytes, part: Range<u64>) -> Result<Outcome, DiskError> {
        let capacity = self.config.capacity_bytes / BLOCK_SIZE as u64;
        for index in part {
            let file = self.inodes.get_mut(&inode).expect("an operation keeps its file");
            let allocates = !file.has_block(first + index);
            if allocates && self.used_blocks >= capacity {
                return Err(error(ErrorKind::StorageFull, "write", Path::new("/")));
            }
            self.used_blocks += u64::from(allocates);
            let start = index as usize * BLOCK_SIZE;
            file.write_block(first + index, &data[start..start + BLOCK_SIZE]);
        }
        Ok(Outcome::Done)
    }

    /// An operation on names or handles.
    fn other(&mut self, session: Session, op: &DiskOp) -> Result<Outcome, DiskError> {
        match op {
            DiskOp::Open { file, path, mode } => self.open(session, *file, path, *mode),
            DiskOp::Close { file } => {
                self.processes[session.0 as usize].open.remove(file);
                self.locks.retain(|_, holder| *holder != (session, *file));
                self.collect();
                Ok(Outcome::Done)
            }
            DiskOp::SyncDir { path } => self.directory(path, "sync").map(|()| {
                self.names.sync_directory(path);
                Outcome::Done
            }),
            DiskOp::List { path } => self.directory(path, "list").map(|()| Outcome::Names(self.names.list(path))),
            DiskOp::Link { from, to } => self.link(from, to),
            DiskOp::Unlink { path } => match self.names.file(path) {
                None => Err(error(ErrorKind::NotFound, "unlink", path)),
                Some(_) => {
                    self.names.remove(path);
                    self.collect();
                    Ok(Outcome::Done)
                }
            },
            DiskOp::CreateDir { path } if self.names.create_directories(path) => Ok(Outcome::Done),
            DiskOp::CreateDir { path } => Err(error(ErrorKind::NotADirectory, "create directory", path)),
            other => unreachable!("{other:?} works on an open file"),
        }
    }

    fn directory(&self, path: &Path, what: &str) -> Result<(), DiskError> {
        if self.names.has_directory(path) { Ok(()) } else { Err(error(ErrorKind::NotFound, what, path)) }
    }

    fn link(&mut self, from: &Path, to: &Path) -> Result<Outcome, DiskError> {
        let Some(inode) = self.names.file(from) else {
            return Err(error(ErrorKind::NotFound, "link", from));
        };
        if self.names.get(to).is_some() {
            return Err(error(ErrorKind::AlreadyExists, "link", to));
        }
        self.directory(to.parent().unwrap_or(Path::new("/")), "link")?;
        self.names.insert(to, Name::File(inode));
        Ok(Outcome::Done)
    }

    fn open(&mut self, session: Session, file: FileId, path: &Path, mode: OpenMode) -> Result<Outcome, DiskError> {
        let process = &self.processes[session.0 as usize];
        if process.open.contains_key(&file) {
            return Err(error(ErrorKind::InvalidInput, "open under a number in use", path));
        }
        let inode = match (mode, self.names.get(path)) {
            (OpenMode::CreateNew, Some(_)) => {
                return Err(error(ErrorKind::AlreadyExists, "create", path));
            }
            (OpenMode::CreateNew, None) => self.create(path)?,
            (_, Some(Name::File(inode))) => inode,
            (_, Some(Name::Directory)) => return Err(error(ErrorKind::IsADirectory, "open", path)),
            (_, None) => return Err(error(ErrorKind::NotFound, "open", path)),
        };
        let handle = Handle { inode, path: path.to_owned(), writable: mode != OpenMode::Read };
        let process = &mut self.processes[session.0 as usize];
        if process.alive {
            process.open.insert(file, handle);
        }
        Ok(Outcome::Opened { direct: self.config.direct, len: self.inodes[&inode].len() })
    }

    fn create(&mut self, path: &Path) -> Result<InodeId, DiskError> {
        self.directory(path.parent().unwrap_or(Path::new("/")), "create")?;
        let inode = InodeId(self.next_inode);
        self.next_inode += 1;
        self.inodes.insert(inode, Inode::default());
        self.names.insert(path, Name::File(inode));
        Ok(inode)
    }

    /// An operation completes: what it promised to be durable is so from here on.
    pub(super) fn complete(&mut self, key: u64) {
        let Some(operation) = self.operations.remove(&key) else {
            return;
        };
        let Operation { session, id, work, mut result, losses } = operation;
        match work {
            Work::Write { inode, first, data, durable: true, .. } if result.is_ok() => {
                let range = first..first + (data.len() / BLOCK_SIZE) as u64;
                let file = self.inodes.get_mut(&inode).expect("an operation keeps its file");
                if losses != self.losses {
                    // The cache was lost meanwhile: a storage that answers has written the data again.
                    for (index, block) in range.clone().zip(data.chunks(BLOCK_SIZE)) {
                        file.write_block(index, block);
                    }
                }
                let captured = file.capture(Some(range));
                file.make_durable(captured, false);
            }
            Work::Sync { inode, captured } if result.is_ok() => {
                let file = self.inodes.get_mut(&inode).expect("an operation keeps its file");
                file.make_durable(captured, losses != self.losses);
            }
            Work::Read { out, .. } if result.is_ok() => result = Ok(Outcome::Data(out.freeze())),
            _ => {}
        }
        self.done.push_back((session, DiskDone { id, result }));
    }
}
