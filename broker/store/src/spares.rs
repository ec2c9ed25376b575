//! Spare segments: files of zeros that are made ahead of use, and how one becomes a segment.
//!
//! A spare belongs to the process that made it, which holds its lock for as long as it has the file open, so that
//! those of dead processes are known. It is never reused by another: a write of its maker may still land.
//! Owns making and adopting; how many there should be is decided by the lane and, before there are lanes, by the store.

use crate::StoreError;
use crate::format::{SegmentHeader, SegmentIdentity};
use crate::port::File;
use crate::shared::{CHUNK_BYTES, Shared, while_doing};
use disk::{BLOCK_SIZE, DiskError, OpenMode};
use std::collections::VecDeque;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// A file of zeros, durable.
#[derive(Debug)]
pub(crate) struct Spare {
    pub(crate) file: File,
    bytes: u64,
}

/// Makes a spare of `bytes` bytes for `lane`, with `depth` writes in flight.
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

/// Makes a new temporary file and locks it. A sweeper may have locked it first, taken it for a dead process's, and
/// unlinked it under that lock: then the lock fails or the name is gone, and another file is made.
pub(crate) async fn create_locked(shared: &Rc<Shared>, name: impl Fn(u64) -> PathBuf) -> Result<File, DiskError> {
    loop {
        let path = name(shared.next_number());
        let file = shared.port.open(path.clone(), OpenMode::CreateNew).await?;
        if !file.try_lock().await? {
            continue;
        }
        match shared.port.open(path, OpenMode::Read).await {
            Err(error) if error.kind == ErrorKind::NotFound => {}
            other => return other.map(|_| file),
        }
    }
}

/// Fills a file with zeros, durably. Where a claim waits, the rest only gets its place on the disk: it reads as zeros, too,
/// at once, but the first write to each part of it costs the file system a change of its own.
async fn fill_or_allocate(shared: &Rc<Shared>, file: &File, bytes: u64, depth: usize) -> Result<(), DiskError> {
    let filled = fill_while(shared, file, bytes, depth, || !shared.is_hurried.get()).await?;
    if filled < bytes {
        match file.allocate(bytes).await {
            Err(error) if error.kind == ErrorKind::Unsupported => return fill(shared, file, bytes, depth).await,
            other => other?,
        }
    }
    file.sync().await
}

/// Fills a file with zeros, durably.
pub(crate) async fn fill(shared: &Rc<Shared>, file: &File, bytes: u64, depth: usize) -> Result<(), DiskError> {
    fill_while(shared, file, bytes, depth, || true).await?;
    file.sync().await
}

/// Writes zeros until the file has `bytes` bytes or `goes_on` says no; gives the bytes that were written.
async fn fill_while(
    shared: &Rc<Shared>,
    file: &File,
    bytes: u64,
    depth: usize,
    goes_on: impl Fn() -> bool,
) -> Result<u64, DiskError> {
    let mut in_flight = VecDeque::new();
    let mut filled = 0;
    for offset in (0..bytes).step_by(CHUNK_BYTES) {
        if !goes_on() {
            break;
        }
        let len = (bytes - offset).min(CHUNK_BYTES as u64) as usize;
        in_flight.push_back(file.start_write(offset, shared.zeros(len), false));
        filled = offset + len as u64;
        if in_flight.len() >= depth
            && let Some(oldest) = in_flight.pop_front()
        {
            oldest.await?;
        }
    }
    for write in in_flight {
        write.await?;
    }
    Ok(filled)
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
