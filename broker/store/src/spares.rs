//! Spare segments: files that stand ready before they are needed, and how one becomes a segment. They are full of zeros, or of what
//! a dead segment of the same epoch held, none of which validates in another.
//!
//! A spare belongs to the process that made it, which holds its lock for as long as it has the file open, so that
//! those of dead processes are known. It is never reused by another: a write of its maker may still land.
//! Owns making, using again and adopting; how many there should be is decided by the lane and, before there are lanes, by the store.

use crate::StoreError;
use crate::format::{SegmentHeader, SegmentIdentity};
use crate::port::File;
use crate::shared::{CHUNK_BYTES, Shared, while_doing};
use disk::{BLOCK_SIZE, DiskError, OpenMode};
use std::future::poll_fn;
use std::io::ErrorKind;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::task::Poll;

/// A file of the length of a segment, all of it in place on the disk.
#[derive(Debug)]
pub(crate) struct Spare {
    pub(crate) file: File,
    bytes: u64,
}

#[cfg(test)]
impl Spare {
    pub(crate) fn of(file: File, bytes: u64) -> Self {
        Self { file, bytes }
    }
}

/// Makes a spare for `lane`, with `depth` writes in flight.
pub(crate) async fn make(shared: Rc<Shared>, lane: usize, depth: usize) -> Result<Spare, DiskError> {
    let bytes = shared.segment_bytes(lane);
    let lane = shared.names.lanes()[lane].clone();
    let file = create_locked(&shared, |number| shared.names.spare(&lane, shared.process, number)).await?;
    match fill_or_allocate(&shared, &file, bytes, depth).await {
        Ok(()) => Ok(Spare { file, bytes }),
        Err(error) => {
            shared.port.unlink(file.path()).await?;
            Err(error)
        }
    }
}

/// Makes dead segments of this epoch spares again (rule 17). Their names are gone, durably, before their headers can be
/// replaced: whoever comes by name finds them missing, as if they had been removed.
pub(crate) async fn reuse(shared: &Rc<Shared>, lane: usize, segments: Vec<PathBuf>) -> Result<Vec<Spare>, DiskError> {
    let (bytes, lane) = (shared.segment_bytes(lane), &shared.names.lanes()[lane]);
    let mut names = Vec::new();
    for segment in segments {
        let name = shared.names.spare(lane, shared.process, shared.next_number());
        match shared.port.link(&segment, &name).await {
            Ok(()) => names.push(name),
            // Who has taken over meanwhile removed it.
            Err(error) if error.kind == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        shared.port.unlink(&segment).await?;
    }
    sync_names(shared, &shared.names.lane(lane)).await?;
    let mut spares = Vec::new();
    for name in names {
        let Some(file) = found(shared.port.open(name.clone(), OpenMode::ReadWrite).await)? else { continue };
        // A read of a message that is gone may still have it open, and with it the lock.
        if lock(shared, &file).await? && file.opened_len() == bytes {
            spares.push(Spare { file, bytes });
        } else {
            shared.port.unlink(&name).await?;
        }
    }
    Ok(spares)
}

/// Locks a temporary file of ours. A sweeper may have locked it first, taken it for a dead process's, and unlinked it under
/// that lock: then the lock fails or the name is gone. False: it is not ours any more.
async fn lock(shared: &Rc<Shared>, file: &File) -> Result<bool, DiskError> {
    Ok(file.try_lock().await? && found(shared.port.open(file.path().to_owned(), OpenMode::Read).await)?.is_some())
}

/// A missing file is no error.
fn found(opened: Result<File, DiskError>) -> Result<Option<File>, DiskError> {
    match opened {
        Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}

/// Makes a new temporary file and locks it; another one where a sweeper was first.
pub(crate) async fn create_locked(shared: &Rc<Shared>, name: impl Fn(u64) -> PathBuf) -> Result<File, DiskError> {
    loop {
        let file = shared.port.open(name(shared.next_number()), OpenMode::CreateNew).await?;
        if lock(shared, &file).await? {
            return Ok(file);
        }
    }
}

/// Bytes of a write that fills a spare: what is written beside it waits behind one of these.
const FILL_BYTES: usize = 256 << 10;

/// Fills a spare with zeros, durably, as fast as it may be. Where a claim waits, the rest only gets its place on the disk: it
/// reads as zeros, too, at once, but the first write to each part of it costs the file system a change of its own.
async fn fill_or_allocate(shared: &Rc<Shared>, file: &File, bytes: u64, depth: usize) -> Result<(), DiskError> {
    let mut filled = 0;
    while filled < bytes && !shared.is_hurried.get() {
        poll_fn(|_| if shared.fill_limit.get() >= filled { Poll::Ready(()) } else { Poll::Pending }).await;
        let until = bytes.min(filled + FILL_BYTES as u64 * depth as u64);
        fill_range(shared, file, filled..until).await?;
        filled = until;
    }
    if filled < bytes {
        match file.allocate(bytes).await {
            Err(error) if error.kind == ErrorKind::Unsupported => return fill(shared, file, bytes).await,
            other => other?,
        }
    }
    file.sync().await
}

/// Fills a file with zeros, durably.
pub(crate) async fn fill(shared: &Rc<Shared>, file: &File, bytes: u64) -> Result<(), DiskError> {
    for offset in (0..bytes).step_by(CHUNK_BYTES) {
        fill_range(shared, file, offset..bytes.min(offset + CHUNK_BYTES as u64)).await?;
    }
    file.sync().await
}

/// Writes zeros, all at once.
async fn fill_range(shared: &Rc<Shared>, file: &File, range: Range<u64>) -> Result<(), DiskError> {
    let chunks = range.clone().step_by(FILL_BYTES);
    let write = |offset: u64| {
        let len = (range.end - offset).min(FILL_BYTES as u64) as usize;
        file.start_write(offset, shared.zeros(len), false)
    };
    for write in chunks.map(write).collect::<Vec<_>>() {
        write.await?;
    }
    Ok(())
}

/// Makes a spare the segment `identity` of `lane`: header durable first, then the name, so that a segment's name
/// never meets a file without its header. The spare's own name stays.
pub(crate) async fn link_segment(
    shared: &Rc<Shared>,
    lane: &str,
    spare: &Spare,
    identity: SegmentIdentity,
) -> Result<PathBuf, DiskError> {
    let mut block = shared.buffer(BLOCK_SIZE);
    SegmentHeader { identity, segment_bytes: spare.bytes }.encode(&mut block);
    spare.file.write(0, block.freeze()).await?;
    let path = shared.names.segment(lane, identity.epoch, identity.attempt, identity.sequence);
    shared.port.link(spare.file.path(), &path).await?;
    Ok(path)
}

/// As `link_segment`, for a lane that is in use: the name is durable and the spare's own is gone.
pub(crate) async fn adopt(
    shared: Rc<Shared>,
    lane: String,
    spare: Spare,
    identity: SegmentIdentity,
) -> Result<(u32, File), StoreError> {
    let failed = || while_doing("making the next segment");
    link_segment(&shared, &lane, &spare, identity).await.map_err(failed())?;
    sync_names(&shared, &shared.names.lane(&lane)).await.map_err(failed())?;
    shared.port.unlink(spare.file.path()).await.map_err(failed())?;
    Ok((identity.sequence, spare.file))
}

pub(crate) async fn sync_names(shared: &Rc<Shared>, folder: &Path) -> Result<(), DiskError> {
    shared.port.sync_dir(folder).await
}
