//! One host's mount: FUSE requests become operations of the model, answers of the model become FUSE replies.
//!
//! Owns the translation and the flags of the mount. Every file is opened for direct I/O, and the write-back cache of the kernel stays
//! off: every write reaches the model before it returns, so that nothing is dirty where a crash could not drop it. Under direct I/O
//! the kernel sends no FSYNC after a write with O_DSYNC or RWF_DSYNC, but the flag itself; it is honoured here.

use crate::clock::wall_ns;
use crate::gate::{Gate, Job};
use crate::model::{
    Attributes, BLOCK_BYTES, DiskModel, Effects, Handle, HostId, Ino, Kind, Lock, LockKind, NewNode, Operation, Rename,
    WriteRequest,
};
use fuser::{
    AccessFlags, BsdFileFlags, CopyFileRangeFlags, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation,
    INodeNo, InitFlags, KernelConfig, LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData,
    ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyLock, ReplyLseek, ReplyOpen, ReplyStatfs, ReplyWrite, Request,
    TimeOrNow, WriteFlags,
};
use nix::errno::Errno;
use nix::libc;
use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Nothing is cached: what one host changes the other sees at its next look.
const NO_TTL: Duration = Duration::ZERO;
/// Requests that the kernel may have in flight in the background, which asynchronous direct I/O counts as.
const BACKGROUND_MAX: u16 = 512;
/// Most bytes of one write request.
const WRITE_BYTES_MAX: u32 = 1 << 20;

/// One host's side of the disk.
#[derive(Debug)]
pub(crate) struct Mount {
    host: HostId,
    gate: Arc<Gate>,
}

type Admitted<'a> = Result<&'a Effects, Errno>;

impl Mount {
    pub(crate) fn new(host: HostId, gate: Arc<Gate>) -> Self {
        Self { host, gate }
    }

    fn submit(&self, job: Job, run: impl FnOnce(&mut DiskModel, Admitted<'_>) -> Result<u64, Errno> + Send + 'static) {
        self.gate.submit(self.host, job, Box::new(run));
    }

    /// An operation that answers with nothing.
    fn submit_empty(
        &self,
        job: Job,
        reply: ReplyEmpty,
        run: impl FnOnce(&mut DiskModel, &Effects) -> Result<(), Errno> + Send + 'static,
    ) {
        self.submit(job, move |model, admitted| {
            let result = admitted.and_then(|effects| run(model, effects));
            match result {
                Ok(()) => reply.ok(),
                Err(errno) => reply.error(to_fuse(errno)),
            }
            result.map(|()| 0)
        });
    }

    /// An operation that answers with a name's inode.
    fn submit_entry(
        &self,
        job: Job,
        reply: ReplyEntry,
        run: impl FnOnce(&mut DiskModel) -> Result<Ino, Errno> + Send + 'static,
    ) {
        let host = self.host;
        self.submit(job, move |model, admitted| {
            let found = admitted.and_then(|_| run(model)).and_then(|ino| model.attributes(host, ino));
            match found {
                Ok(attributes) => reply.entry(&NO_TTL, &file_attr(&attributes), Generation(0)),
                Err(errno) => {
                    reply.error(to_fuse(errno));
                    return Err(errno);
                }
            }
            Ok(0)
        });
    }

    fn submit_open(&self, ino: INodeNo, flags: FopenFlags, reply: ReplyOpen) {
        let host = self.host;
        self.submit(Job::new(Operation::Open, Ino(ino.0)), move |model, admitted| {
            match admitted.and_then(|_| model.open(host, Ino(ino.0))) {
                Ok(handle) => reply.opened(FileHandle(handle.0), flags),
                Err(errno) => {
                    reply.error(to_fuse(errno));
                    return Err(errno);
                }
            }
            Ok(0)
        });
    }
}

fn to_fuse(errno: Errno) -> fuser::Errno {
    fuser::Errno::from_i32(errno as i32)
}

/// Every file: no page cache, and writes into what has its place side by side.
fn file_flags() -> FopenFlags {
    FopenFlags::FOPEN_DIRECT_IO | FopenFlags::FOPEN_PARALLEL_DIRECT_WRITES
}

fn file_attr(attributes: &Attributes) -> FileAttr {
    let time = UNIX_EPOCH + Duration::from_nanos(attributes.node.modified_ns);
    FileAttr {
        ino: INodeNo(attributes.ino.0),
        size: attributes.len,
        blocks: attributes.blocks * (BLOCK_BYTES / 512),
        atime: time,
        mtime: time,
        ctime: time,
        crtime: time,
        kind: file_type(&attributes.node.kind),
        perm: attributes.node.mode,
        nlink: attributes.node.links,
        uid: attributes.node.uid,
        gid: attributes.node.gid,
        rdev: 0,
        blksize: BLOCK_BYTES as u32,
        flags: 0,
    }
}

fn file_type(kind: &Kind) -> FileType {
    match kind {
        Kind::File => FileType::RegularFile,
        Kind::Directory => FileType::Directory,
        Kind::Symlink(_) => FileType::Symlink,
    }
}

fn new_node(request: &Request, kind: Kind, mode: u32) -> NewNode {
    NewNode { kind, mode: (mode & 0o7777) as u16, uid: request.uid(), gid: request.gid(), now_ns: wall_ns() }
}

/// Whether a write is a sync at the same time.
fn is_durable(flags: OpenFlags) -> bool {
    flags.0 & (libc::O_DSYNC | libc::O_SYNC) != 0
}

/// What fcntl(2) calls a lock, other than the end of one.
fn lock_kind(typ: i32) -> LockKind {
    if typ == libc::F_RDLCK { LockKind::Shared } else { LockKind::Exclusive }
}

fn lock_job(ino: INodeNo, handle: FileHandle) -> Job {
    Job { handle: Some(Handle(handle.0)), ..Job::new(Operation::Lock, Ino(ino.0)) }
}

impl Filesystem for Mount {
    fn init(&mut self, _request: &Request, config: &mut KernelConfig) -> io::Result<()> {
        // Without the first two, locks would be local to a mount and both hosts would get them.
        let needed = InitFlags::FUSE_POSIX_LOCKS | InitFlags::FUSE_FLOCK_LOCKS;
        config.add_capabilities(needed).map_err(|missing| {
            io::Error::other(format!("this kernel's FUSE lacks {missing:?}, without which locks are not shared"))
        })?;
        // Where the kernel lacks these, large or asynchronous direct I/O comes in pieces or one after the other: slower, not wrong.
        for wanted in [InitFlags::FUSE_ASYNC_DIO, InitFlags::FUSE_PARALLEL_DIROPS, InitFlags::FUSE_DIRECT_IO_ALLOW_MMAP]
        {
            let _ = config.add_capabilities(wanted);
        }
        let _ = config.set_max_background(BACKGROUND_MAX);
        let _ = config.set_max_write(WRITE_BYTES_MAX);
        Ok(())
    }

    fn lookup(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let name = name.to_owned();
        let job = Job::new(Operation::Lookup, Ino(parent.0));
        self.submit_entry(job, reply, move |model| model.lookup(Ino(parent.0), &name));
    }

    fn getattr(&self, _request: &Request, ino: INodeNo, _handle: Option<FileHandle>, reply: ReplyAttr) {
        let host = self.host;
        self.submit(Job::new(Operation::Lookup, Ino(ino.0)), move |model, admitted| {
            match admitted.and_then(|_| model.attributes(host, Ino(ino.0))) {
                Ok(attributes) => reply.attr(&NO_TTL, &file_attr(&attributes)),
                Err(errno) => {
                    reply.error(to_fuse(errno));
                    return Err(errno);
                }
            }
            Ok(0)
        });
    }

    fn setattr(
        &self,
        _request: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        _atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _handle: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let host = self.host;
        let modified_ns = mtime.map(|time| match time {
            TimeOrNow::SpecificTime(time) => time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64),
            TimeOrNow::Now => wall_ns(),
        });
        let job = Job { len: size.unwrap_or(0), ..Job::new(Operation::Truncate, Ino(ino.0)) };
        self.submit(job, move |model, admitted| {
            let ino = Ino(ino.0);
            let set = |model: &mut DiskModel| {
                model.set_owner(ino, mode.map(|mode| (mode & 0o7777) as u16), uid, gid)?;
                if let Some(len) = size {
                    model.set_len(crate::clock::now_ns(), host, ino, len)?;
                }
                if let Some(modified_ns) = modified_ns {
                    model.set_modified(ino, modified_ns)?;
                }
                model.attributes(host, ino)
            };
            match admitted.and_then(|_| set(model)) {
                Ok(attributes) => reply.attr(&NO_TTL, &file_attr(&attributes)),
                Err(errno) => {
                    reply.error(to_fuse(errno));
                    return Err(errno);
                }
            }
            Ok(0)
        });
    }

    fn readlink(&self, _request: &Request, ino: INodeNo, reply: ReplyData) {
        let host = self.host;
        self.submit(Job::new(Operation::Lookup, Ino(ino.0)), move |model, admitted| {
            let target = admitted.and_then(|_| model.attributes(host, Ino(ino.0))).and_then(|attributes| {
                if let Kind::Symlink(target) = attributes.node.kind { Ok(target) } else { Err(Errno::EINVAL) }
            });
            match target {
                Ok(target) => reply.data(target.as_os_str().as_encoded_bytes()),
                Err(errno) => {
                    reply.error(to_fuse(errno));
                    return Err(errno);
                }
            }
            Ok(0)
        });
    }

    fn mkdir(&self, request: &Request, parent: INodeNo, name: &OsStr, mode: u32, umask: u32, reply: ReplyEntry) {
        let (host, name) = (self.host, name.to_owned());
        let node = new_node(request, Kind::Directory, mode & !umask);
        let job = Job::new(Operation::Create, Ino(parent.0));
        self.submit_entry(job, reply, move |model| model.create(host, Ino(parent.0), &name, node));
    }

    fn unlink(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let (host, name) = (self.host, name.to_owned());
        let job = Job::new(Operation::Unlink, Ino(parent.0));
        self.submit_empty(job, reply, move |model, _| model.remove(host, Ino(parent.0), &name, false));
    }

    fn rmdir(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let (host, name) = (self.host, name.to_owned());
        let job = Job::new(Operation::Unlink, Ino(parent.0));
        self.submit_empty(job, reply, move |model, _| model.remove(host, Ino(parent.0), &name, true));
    }

    fn symlink(&self, request: &Request, parent: INodeNo, name: &OsStr, target: &Path, reply: ReplyEntry) {
        let (host, name) = (self.host, name.to_owned());
        let node = new_node(request, Kind::Symlink(target.to_owned()), 0o777);
        let job = Job::new(Operation::Create, Ino(parent.0));
        self.submit_entry(job, reply, move |model| model.create(host, Ino(parent.0), &name, node));
    }

    fn rename(
        &self,
        _request: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let how = if flags.is_empty() {
            Rename::Replace
        } else if flags == RenameFlags::RENAME_NOREPLACE {
            Rename::Refuse
        } else if flags == RenameFlags::RENAME_EXCHANGE {
            Rename::Exchange
        } else {
            return reply.error(fuser::Errno::EINVAL);
        };
        let (host, name, newname) = (self.host, name.to_owned(), newname.to_owned());
        let job = Job::new(Operation::Rename, Ino(parent.0));
        self.submit_empty(job, reply, move |model, _| {
            model.rename(host, (Ino(parent.0), &name), (Ino(newparent.0), &newname), how)
        });
    }

    fn link(&self, _request: &Request, ino: INodeNo, newparent: INodeNo, newname: &OsStr, reply: ReplyEntry) {
        let (host, name) = (self.host, newname.to_owned());
        let job = Job::new(Operation::Link, Ino(newparent.0));
        self.submit_entry(job, reply, move |model| {
            model.link(host, Ino(ino.0), Ino(newparent.0), &name)?;
            Ok(Ino(ino.0))
        });
    }

    fn open(&self, _request: &Request, ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        self.submit_open(ino, file_flags(), reply);
    }

    fn create(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        let (host, name) = (self.host, name.to_owned());
        let node = new_node(request, Kind::File, mode & !umask);
        self.submit(Job::new(Operation::Create, Ino(parent.0)), move |model, admitted| {
            let create = |model: &mut DiskModel| {
                let ino = model.create(host, Ino(parent.0), &name, node)?;
                Ok((model.open(host, ino)?, model.attributes(host, ino)?))
            };
            match admitted.and_then(|_| create(model)) {
                Ok((handle, attributes)) => {
                    let handle = FileHandle(handle.0);
                    reply.created(&NO_TTL, &file_attr(&attributes), Generation(0), handle, file_flags());
                }
                Err(errno) => {
                    reply.error(to_fuse(errno));
                    return Err(errno);
                }
            }
            Ok(0)
        });
    }

    fn read(
        &self,
        _request: &Request,
        ino: INodeNo,
        handle: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let host = self.host;
        let job =
            Job { handle: Some(Handle(handle.0)), offset, len: size.into(), ..Job::new(Operation::Read, Ino(ino.0)) };
        self.submit(job, move |model, admitted| {
            match admitted.and_then(|effects| model.read(host, Ino(ino.0), (offset, size as usize), effects)) {
                Ok(bytes) => {
                    reply.data(&bytes);
                    Ok(bytes.len() as u64)
                }
                Err(errno) => {
                    reply.error(to_fuse(errno));
                    Err(errno)
                }
            }
        });
    }

    fn write(
        &self,
        _request: &Request,
        ino: INodeNo,
        handle: FileHandle,
        offset: u64,
        data: &[u8],
        _write_flags: WriteFlags,
        flags: OpenFlags,
        _owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let host = self.host;
        let durable = is_durable(flags);
        let data: Arc<[u8]> = data.into();
        let job = Job {
            handle: Some(Handle(handle.0)),
            offset,
            len: data.len() as u64,
            syncs: durable,
            data: Some(Arc::clone(&data)),
            ..Job::new(Operation::Write, Ino(ino.0))
        };
        self.submit(job, move |model, admitted| {
            let request = WriteRequest { host, ino: Ino(ino.0), offset, data: &data, durable };
            let written = admitted.and_then(|effects| model.write(crate::clock::now_ns(), request, effects));
            match written {
                Ok(count) => {
                    // The inode was just written to, so it is there.
                    let _ = model.set_modified(Ino(ino.0), wall_ns());
                    reply.written(count as u32);
                }
                Err(errno) => reply.error(to_fuse(errno)),
            }
            written
        });
    }

    fn flush(&self, _request: &Request, ino: INodeNo, _handle: FileHandle, owner: LockOwner, reply: ReplyEmpty) {
        let host = self.host;
        let job = Job::new(Operation::Close, Ino(ino.0));
        self.submit_empty(job, reply, move |model, _| model.close(host, Ino(ino.0), owner.0));
    }

    fn release(
        &self,
        _request: &Request,
        ino: INodeNo,
        handle: FileHandle,
        _flags: OpenFlags,
        _owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        let job = Job::new(Operation::Close, Ino(ino.0));
        self.submit_empty(job, reply, move |model, _| model.release(Handle(handle.0)));
    }

    fn fsync(&self, _request: &Request, ino: INodeNo, handle: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        let host = self.host;
        let job = Job { handle: Some(Handle(handle.0)), syncs: true, ..Job::new(Operation::Fsync, Ino(ino.0)) };
        self.submit_empty(job, reply, move |model, effects| model.fsync(host, Ino(ino.0), effects));
    }

    fn opendir(&self, _request: &Request, ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        self.submit_open(ino, FopenFlags::empty(), reply);
    }

    fn readdir(&self, _request: &Request, ino: INodeNo, _handle: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let host = self.host;
        self.submit(Job::new(Operation::Lookup, Ino(ino.0)), move |model, admitted| {
            let listed = admitted.and_then(|_| model.list(Ino(ino.0)));
            let entries = match listed {
                Ok(entries) => entries,
                Err(errno) => {
                    reply.error(to_fuse(errno));
                    return Err(errno);
                }
            };
            let dots = [(".".into(), Ino(ino.0)), ("..".into(), Ino(ino.0))];
            for (index, (name, child)) in dots.into_iter().chain(entries).enumerate().skip(offset as usize) {
                let directory = FileType::Directory;
                let kind = model.attributes(host, child).map_or(directory, |found| file_type(&found.node.kind));
                if reply.add(INodeNo(child.0), index as u64 + 1, kind, &name) {
                    break;
                }
            }
            reply.ok();
            Ok(0)
        });
    }

    fn releasedir(&self, _request: &Request, ino: INodeNo, handle: FileHandle, _flags: OpenFlags, reply: ReplyEmpty) {
        let job = Job::new(Operation::Close, Ino(ino.0));
        self.submit_empty(job, reply, move |model, _| model.release(Handle(handle.0)));
    }

    fn fsyncdir(&self, _request: &Request, ino: INodeNo, _handle: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        let job = Job { syncs: true, ..Job::new(Operation::Fsyncdir, Ino(ino.0)) };
        self.submit_empty(job, reply, move |model, effects| model.fsyncdir(Ino(ino.0), effects));
    }

    fn statfs(&self, _request: &Request, ino: INodeNo, reply: ReplyStatfs) {
        self.submit(Job::new(Operation::Lookup, Ino(ino.0)), move |model, admitted| {
            if let Err(errno) = admitted {
                reply.error(to_fuse(errno));
                return Err(errno);
            }
            let space = model.space();
            let block = BLOCK_BYTES as u32;
            reply.statfs(space.total, space.free, space.free, space.files, u64::MAX >> 1, block, 255, block);
            Ok(0)
        });
    }

    fn access(&self, _request: &Request, _ino: INodeNo, _mask: AccessFlags, reply: ReplyEmpty) {
        // The mount lets the kernel check permissions (default_permissions).
        reply.ok();
    }

    fn getlk(
        &self,
        _request: &Request,
        ino: INodeNo,
        handle: FileHandle,
        owner: LockOwner,
        start: u64,
        end: u64,
        typ: i32,
        pid: u32,
        reply: ReplyLock,
    ) {
        let wanted =
            Lock { host: self.host, owner: owner.0, handle: Handle(handle.0), pid, kind: lock_kind(typ), start, end };
        let job = lock_job(ino, handle);
        self.submit(job, move |model, admitted| {
            match admitted.map(|_| model.conflict(Ino(ino.0), &wanted)) {
                Ok(Some(lock)) => {
                    let typ = if lock.kind == LockKind::Shared { libc::F_RDLCK } else { libc::F_WRLCK };
                    // A process of another host has no number here.
                    let pid = if lock.host == wanted.host { lock.pid } else { 0 };
                    reply.locked(lock.start, lock.end, typ, pid);
                }
                Ok(None) => reply.locked(start, end, libc::F_UNLCK, 0),
                Err(errno) => {
                    reply.error(to_fuse(errno));
                    return Err(errno);
                }
            }
            Ok(0)
        });
    }

    fn setlk(
        &self,
        _request: &Request,
        ino: INodeNo,
        handle: FileHandle,
        owner: LockOwner,
        start: u64,
        end: u64,
        typ: i32,
        pid: u32,
        sleep: bool,
        reply: ReplyEmpty,
    ) {
        let wanted =
            Lock { host: self.host, owner: owner.0, handle: Handle(handle.0), pid, kind: lock_kind(typ), start, end };
        let job = lock_job(ino, handle);
        if sleep && typ != libc::F_UNLCK {
            return self.gate.wait_for_lock(Ino(ino.0), wanted, move |result| match result {
                Ok(()) => reply.ok(),
                Err(errno) => reply.error(to_fuse(errno)),
            });
        }
        self.submit_empty(job, reply, move |model, _| {
            if typ == libc::F_UNLCK {
                model.unlock(Ino(ino.0), &wanted);
                return Ok(());
            }
            model.lock(Ino(ino.0), wanted)
        });
    }

    fn fallocate(
        &self,
        _request: &Request,
        ino: INodeNo,
        handle: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        let host = self.host;
        let keep_len = mode & libc::FALLOC_FL_KEEP_SIZE != 0;
        let (ino, what) = (Ino(ino.0), mode & !libc::FALLOC_FL_KEEP_SIZE);
        let job = Job { handle: Some(Handle(handle.0)), offset, len: length, ..Job::new(Operation::Allocate, ino) };
        let range = (offset, length);
        self.submit_empty(job, reply, move |model, _| {
            let now = crate::clock::now_ns();
            match what {
                0 => model.allocate(now, host, ino, range, keep_len),
                libc::FALLOC_FL_PUNCH_HOLE if keep_len => model.erase(now, host, ino, range, true),
                libc::FALLOC_FL_ZERO_RANGE => {
                    model.allocate(now, host, ino, range, keep_len)?;
                    model.erase(now, host, ino, range, false)
                }
                _ => Err(Errno::EOPNOTSUPP),
            }
        });
    }

    fn lseek(&self, _request: &Request, ino: INodeNo, handle: FileHandle, offset: i64, whence: i32, reply: ReplyLseek) {
        let host = self.host;
        let job = Job { handle: Some(Handle(handle.0)), ..Job::new(Operation::Lookup, Ino(ino.0)) };
        self.submit(job, move |model, admitted| {
            let found = admitted.and_then(|_| {
                let offset = u64::try_from(offset).map_err(|_| Errno::ENXIO)?;
                model.seek(host, Ino(ino.0), offset, whence == libc::SEEK_DATA)
            });
            match found {
                Ok(found) => reply.offset(found as i64),
                Err(errno) => reply.error(to_fuse(errno)),
            }
            found
        });
    }

    fn copy_file_range(
        &self,
        _request: &Request,
        ino_in: INodeNo,
        _handle_in: FileHandle,
        offset_in: u64,
        ino_out: INodeNo,
        handle_out: FileHandle,
        offset_out: u64,
        len: u64,
        _flags: CopyFileRangeFlags,
        reply: ReplyWrite,
    ) {
        let host = self.host;
        let handle = Some(Handle(handle_out.0));
        let job = Job { handle, offset: offset_out, len, ..Job::new(Operation::Write, Ino(ino_out.0)) };
        self.submit(job, move |model, admitted| {
            let (from, to) = ((Ino(ino_in.0), offset_in), (Ino(ino_out.0), offset_out));
            let copied = admitted.and_then(|_| model.copy_range(crate::clock::now_ns(), host, from, to, len));
            match copied {
                Ok(count) => reply.written(count as u32),
                Err(errno) => reply.error(to_fuse(errno)),
            }
            copied
        });
    }
}
