//! Index and checkpoint files: writing one under its final name, durably, and reading one back.
//!
//! Owns the order temporary file, content durable, name, name durable (rule 16). What is in them is `format`'s and
//! `checkpoints`' business. A table is never changed once it has its name. Owns the reserves for a full disk, too.

use crate::StoreError;
use crate::format::{BlockError, FORMAT_VERSION, SegmentIdentity, TableHeader, TableKind};
use crate::port::File;
use crate::shared::{CHUNK_BYTES, Shared, while_doing};
use crate::spares::{create_locked, fill};
use bytes::{Bytes, BytesMut};
use disk::{BLOCK_SIZE, DiskError, OpenMode};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// What is said of a table without a file.
pub(crate) const MISSING: &str = "the file is missing";

/// What is wrong with a table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flaw {
    /// Where the part begins that does not read, in bytes.
    pub(crate) offset: u64,
    pub(crate) problem: &'static str,
}

/// A table that is to be written.
#[derive(Debug)]
pub(crate) struct NewTable {
    pub(crate) kind: TableKind,
    pub(crate) identity: SegmentIdentity,
    /// Folder name of the lane.
    pub(crate) lane: String,
    pub(crate) path: PathBuf,
    pub(crate) body: BytesMut,
}

impl NewTable {
    fn header(&self) -> TableHeader {
        TableHeader::new(self.kind, self.identity, &self.body)
    }
}

/// A durable file of zeros that becomes a table when the disk is full: exactly then a checkpoint is needed, since only
/// that lets dead segments go.
#[derive(Debug)]
pub(crate) struct Reserve {
    file: File,
    bytes: u64,
}

impl Reserve {
    pub(crate) fn path(&self) -> &Path {
        self.file.path()
    }
}

/// Makes a reserve of `bytes` bytes for `lane`.
pub(crate) async fn make_reserve(shared: Rc<Shared>, lane: String, bytes: u64) -> Result<Reserve, DiskError> {
    let file = create_locked(&shared, |number| shared.names.table(&lane, shared.process, number)).await?;
    match fill(&shared, &file, bytes).await {
        Ok(()) => Ok(Reserve { file, bytes }),
        Err(error) => {
            shared.port.unlink(file.path()).await?;
            Err(error)
        }
    }
}

/// Whether the disk, or our share of it, has no space left.
pub(crate) fn is_full(error: &DiskError) -> bool {
    matches!(error.kind, ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

/// Writes a table and gives it its name; into `reserve` where there is no space for another file. A reserve that was
/// not needed, or did not help, comes back.
pub(crate) async fn write(
    shared: Rc<Shared>,
    table: NewTable,
    reserve: Option<Reserve>,
) -> (Result<(), DiskError>, Option<Reserve>) {
    let written = write_new(&shared, &table).await;
    match (written, reserve) {
        (Err(error), Some(reserve)) if is_full(&error) && reserve.bytes >= table.header().file_bytes() => {
            match put(&shared, &reserve.file, &table).await {
                Ok(()) => (shared.port.unlink(reserve.path()).await, None),
                Err(error) => (Err(error), Some(reserve)),
            }
        }
        unneeded => unneeded,
    }
}

async fn write_new(shared: &Rc<Shared>, table: &NewTable) -> Result<(), DiskError> {
    let file = create_locked(shared, |number| shared.names.table(&table.lane, shared.process, number)).await?;
    let written = put(shared, &file, table).await;
    let removed = shared.port.unlink(file.path()).await;
    written.and(removed)
}

/// Content, then name, each durable.
async fn put(shared: &Rc<Shared>, file: &File, table: &NewTable) -> Result<(), DiskError> {
    let mut block = shared.buffer(BLOCK_SIZE);
    table.header().encode(&mut block);
    // Durable each: what a storage loses from its cache before a later sync, that sync does not bring back.
    file.write(0, block.freeze()).await?;
    for (index, chunk) in table.body.chunks(CHUNK_BYTES).enumerate() {
        let padded = chunk.len().next_multiple_of(BLOCK_SIZE);
        let mut buffer = shared.buffer(padded);
        buffer.extend_from_slice(chunk);
        buffer.resize(padded, 0);
        file.write((BLOCK_SIZE + index * CHUNK_BYTES) as u64, buffer.freeze()).await?;
    }
    file.sync().await?;
    shared.port.link(file.path(), &table.path).await?;
    shared.port.sync_dir(&shared.names.lane(&table.lane)).await
}

/// Reads a table's body. The inner error is damage.
pub(crate) async fn read(
    shared: &Rc<Shared>,
    kind: TableKind,
    identity: SegmentIdentity,
    path: PathBuf,
) -> Result<Result<Bytes, Flaw>, StoreError> {
    let flaw = |offset: u64, problem| Ok(Err(Flaw { offset, problem }));
    let failed = || while_doing("reading an index or a checkpoint");
    let file = match shared.port.open(path.clone(), OpenMode::Read).await {
        Ok(file) => file,
        Err(error) if error.kind == ErrorKind::NotFound => return flaw(0, MISSING),
        Err(error) => return Err(failed()(error)),
    };
    // Direct reads are whole blocks even where a damaged file ends within one.
    let first = file.opened_len().min(CHUNK_BYTES as u64).next_multiple_of(BLOCK_SIZE as u64) as usize;
    let mut bytes = file.read(0, first).await.map_err(failed())?;
    let header = match TableHeader::decode(kind, &bytes) {
        Ok(header) if header.identity == identity => header,
        Ok(_) => return flaw(0, "the file is another one than it should be"),
        Err(BlockError::Damaged) => return flaw(0, "the header does not read"),
        Err(BlockError::TooNew(found)) => return Err(StoreError::TooNew { path, found, known: FORMAT_VERSION }),
    };
    if file.opened_len() < header.file_bytes() {
        return flaw(file.opened_len(), "the file is shorter than its header says");
    }
    if (bytes.len() as u64) < header.file_bytes() {
        let mut all = BytesMut::with_capacity(header.file_bytes() as usize);
        all.extend_from_slice(&bytes);
        let rest: Vec<_> = (bytes.len() as u64..header.file_bytes())
            .step_by(CHUNK_BYTES)
            .map(|offset| file.start_read(offset, CHUNK_BYTES.min((header.file_bytes() - offset) as usize)))
            .collect();
        for ticket in rest {
            all.extend_from_slice(&crate::port::data(ticket.await.map_err(failed())?).map_err(failed())?);
        }
        bytes = all.freeze();
    }
    let end = BLOCK_SIZE + header.body_bytes as usize;
    if bytes.len() < end || !header.is_whole(&bytes[BLOCK_SIZE..end]) {
        return flaw(BLOCK_SIZE as u64, "the content does not match its checksum");
    }
    Ok(Ok(bytes.slice(BLOCK_SIZE..end)))
}
