//! The chain of owners, as a process that does not own the store sees it: which is the newest, does it beat, does it
//! hold its lock; and whether a folder is a store at all.
//!
//! Owns reading `owner.N`. Claiming is in `claim`; nothing here writes.

use crate::StoreError;
use crate::format::{self, BASE_OFFSETS, BlockError, FORMAT_VERSION, MetadataBase, OWNER_RECORD_OFFSET, OwnerRecord};
use crate::names::Name;
use crate::port::File;
use crate::shared::{Shared, while_doing};
use bytes::Bytes;
use disk::{BLOCK_SIZE, OpenMode, is_zero};
use std::io::ErrorKind;
use std::path::Path;
use std::rc::Rc;

/// The newest owner or claimant.
#[derive(Clone, Debug)]
pub(crate) struct Newest {
    pub(crate) record: OwnerRecord,
    /// As last read; a torn or missing one leaves the last value.
    pub(crate) heartbeat: u64,
    file: File,
    /// Bytes that the file was made with.
    file_bytes: u64,
}

impl Newest {
    pub(crate) fn epoch(&self) -> u64 {
        self.record.epoch
    }

    /// Where its metadata begins; `None`: with its first segment. A claimant has the slot before it asks.
    pub(crate) async fn base(&self) -> Result<Option<MetadataBase>, StoreError> {
        if self.file_bytes <= BASE_OFFSETS[0] {
            return Ok(None);
        }
        if self.file.opened_len() < self.file_bytes {
            return Err(self.damaged(self.file.opened_len(), "the owner's file is shorter than it was made"));
        }
        // An owner that does not know yet that it was replaced may write one copy, then the other, while both are read.
        for _ in 0..2 {
            let blocks = self.file.read(BASE_OFFSETS[0], 2 * BLOCK_SIZE).await;
            let blocks = blocks.map_err(while_doing("reading where the metadata begins"))?;
            if is_zero(&blocks) {
                return Ok(None);
            }
            let copies = [self.read_base(&blocks, 0)?, self.read_base(&blocks, 1)?];
            let newest = copies.into_iter().flatten().max_by_key(|base| base.number);
            // The first one of all may have been on its way when the power failed.
            if newest.is_some() || is_zero(&blocks[BLOCK_SIZE..]) {
                return Ok(newest);
            }
        }
        Err(self.damaged(BASE_OFFSETS[0], "where the metadata begins does not read"))
    }

    /// One of the two copies; `None`: it is torn, or zeros.
    fn read_base(&self, blocks: &Bytes, index: usize) -> Result<Option<MetadataBase>, StoreError> {
        match MetadataBase::decode(blocks.get(index * BLOCK_SIZE..).unwrap_or_default()) {
            Ok(base) => Ok(base.is_of(&self.record).then_some(base)),
            Err(BlockError::Damaged) => Ok(None),
            Err(BlockError::TooNew(found)) => {
                Err(StoreError::TooNew { path: self.file.path().to_owned(), found, known: FORMAT_VERSION })
            }
        }
    }

    fn damaged(&self, offset: u64, problem: &'static str) -> StoreError {
        let affected = format!("the metadata of epoch {}", self.epoch());
        StoreError::Damaged { path: self.file.path().to_owned(), offset, problem, affected }
    }
}

/// Follows the chain from `known` on to its newest owner and reads its heartbeat. `None`: there is no store yet, and
/// one may be made.
pub(crate) async fn follow(shared: Rc<Shared>, known: Option<Newest>) -> Result<Option<Newest>, StoreError> {
    let mut newest = match known {
        Some(newest) => newest,
        None => match find(&shared).await? {
            Some(newest) => newest,
            None => return Ok(None),
        },
    };
    while let Some(next) = read_owner(&shared, newest.epoch() + 1).await? {
        newest = next;
    }
    let block = newest.file.read(0, BLOCK_SIZE).await.map_err(while_doing("reading the owner's heartbeat"))?;
    newest.heartbeat = format::decode_heartbeat(newest.epoch(), &block).unwrap_or(newest.heartbeat);
    Ok(Some(newest))
}

/// Reads `owner.EPOCH`; `None` where there is none.
pub(crate) async fn read_owner(shared: &Rc<Shared>, epoch: u64) -> Result<Option<Newest>, StoreError> {
    let path = shared.names.owner(epoch);
    let file = match shared.port.open(path.clone(), OpenMode::Read).await {
        Ok(file) => file,
        Err(error) if error.kind == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(while_doing("opening the owner record")(error)),
    };
    let block = file.read(OWNER_RECORD_OFFSET, BLOCK_SIZE).await.map_err(while_doing("reading the owner record"))?;
    match OwnerRecord::decode(&block) {
        Ok(record) if record.epoch == epoch => {
            Ok(Some(Newest { record, heartbeat: 0, file, file_bytes: format::owner_file_bytes(&block) }))
        }
        Ok(_) | Err(BlockError::Damaged) => {
            let affected = format!("the chain of owners from epoch {epoch} on");
            Err(StoreError::Damaged {
                path,
                offset: OWNER_RECORD_OFFSET,
                problem: "the owner record does not read",
                affected,
            })
        }
        Err(BlockError::TooNew(found)) => Err(StoreError::TooNew { path, found, known: FORMAT_VERSION }),
    }
}

/// Whether the lock of the newest owner is free.
pub(crate) async fn is_lock_free(shared: Rc<Shared>, epoch: u64) -> Result<bool, StoreError> {
    let file = shared
        .port
        .open(shared.names.owner(epoch), OpenMode::ReadWrite)
        .await
        .map_err(while_doing("opening the owner's lock"))?;
    file.try_lock().await.map_err(while_doing("trying the owner's lock"))
}

/// The newest owner by listing; later ones are found by name. Refuses a folder that is neither a store nor empty.
async fn find(shared: &Rc<Shared>) -> Result<Option<Newest>, StoreError> {
    let names = list(shared, &shared.names.meta()).await?;
    let epochs = names.iter().filter_map(|name| match Name::parse(name) {
        Name::Owner { epoch } => Some(epoch),
        _ => None,
    });
    let epoch = epochs.max().unwrap_or(1);
    if let Some(owner) = read_owner(shared, epoch).await? {
        return Ok(Some(owner));
    }
    if shared.config.create {
        return Ok(None);
    }
    match foreign(shared).await? {
        None => Ok(None),
        // Another process may have made the store meanwhile.
        Some(found) => match read_owner(shared, 1).await? {
            Some(owner) => Ok(Some(owner)),
            None => {
                let missing = shared.names.owner(1).display().to_string();
                Err(StoreError::NotAStore { folder: shared.names.folder().to_owned(), missing, found })
            }
        },
    }
}

async fn list(shared: &Rc<Shared>, folder: &Path) -> Result<Vec<String>, StoreError> {
    match shared.port.list(folder).await {
        Err(error) if error.kind == ErrorKind::NotFound => Ok(Vec::new()),
        other => other.map_err(while_doing("listing the store's folder")),
    }
}

/// A name that the first claims of a new store would not have left behind: the folder is something else, or a store
/// that lost its chain. A claim of epoch 2 may have begun when a power loss took the name of `owner.1`; `slot.1` is
/// made only after that name is durable.
async fn foreign(shared: &Rc<Shared>) -> Result<Option<String>, StoreError> {
    for name in list(shared, shared.names.folder()).await? {
        if !shared.names.lanes().contains(&name) {
            return Ok(Some(name));
        }
    }
    for lane in shared.names.lanes() {
        for name in list(shared, &shared.names.lane(lane)).await? {
            match Name::parse(&name) {
                Name::Temporary { .. } | Name::Segment { epoch: 1 | 2, .. } | Name::Slot { epoch: 2 | 3 } => {}
                _ => return Ok(Some(format!("{lane}/{name}"))),
            }
        }
    }
    Ok(None)
}
