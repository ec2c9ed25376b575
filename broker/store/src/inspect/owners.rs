//! The check of `owner.N`: the chain without gaps, each record whole, the newest one's lock, bases.

use super::Listing;
use super::report::{Damage, Lock, OwnerState, Report, Seal, Slot};
use crate::StoreError;
use crate::chain;
use crate::format::{self, BASE_OFFSETS, MetadataBase, OWNER_RECORD_OFFSET, OwnerRecord};
use crate::names::Name;
use crate::port::File;
use crate::shared::Shared;
use disk::{BLOCK_SIZE, OpenMode, is_zero};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;

/// Adds all epochs to the report; returns the records that read.
pub(super) async fn check(shared: &Rc<Shared>, listing: &Listing, report: &mut Report) -> BTreeMap<u64, OwnerRecord> {
    let epochs = listing.names.iter().filter_map(|(_, name)| match name {
        Name::Owner { epoch } => Some(*epoch),
        _ => None,
    });
    let newest = epochs.max().unwrap_or(0);
    let mut records = BTreeMap::new();
    for epoch in 1..=newest {
        let (state, record) = check_one(shared, epoch, report).await;
        report.owners.push(state);
        records.extend(record.map(|record| (epoch, record)));
    }
    report.store_id = records.values().next_back().map(|record| record.store_id);
    for (epoch, record) in &records {
        if Some(record.store_id) != report.store_id {
            let problem = "the record is of another store".to_owned();
            report.damages.push(damage(shared.names.owner(*epoch), OWNER_RECORD_OFFSET, problem, *epoch));
        }
    }
    report.lock = match chain::is_lock_free(shared.clone(), newest).await {
        Ok(true) => Lock::Free,
        Ok(false) => Lock::Held,
        Err(error) => Lock::Unknown(error.to_string()),
    };
    records
}

fn damage(path: PathBuf, offset: u64, problem: String, epoch: u64) -> Damage {
    Damage::of_file(path, offset, problem, format!("the chain of owners at epoch {epoch}"))
}

async fn check_one(shared: &Rc<Shared>, epoch: u64, report: &mut Report) -> (OwnerState, Option<OwnerRecord>) {
    let path = shared.names.owner(epoch);
    let mut state = OwnerState {
        epoch,
        identity: None,
        heartbeat: None,
        seal: Seal::Unknown,
        is_clean: false,
        slot: Slot::Missing,
    };
    let file = match shared.port.open(path.clone(), OpenMode::Read).await {
        Ok(file) => file,
        Err(error) => {
            report.damages.push(damage(path, 0, format!("the owner record cannot be opened: {error}"), epoch));
            return (state, None);
        }
    };
    let len = file.opened_len();
    match file.read(0, BLOCK_SIZE).await {
        Ok(block) => state.heartbeat = format::decode_heartbeat(epoch, &block),
        Err(error) => report.damages.push(damage(path.clone(), 0, format!("does not read: {error}"), epoch)),
    }
    if state.heartbeat.is_none() {
        report.remarks.push(format!(
            "{}: offset 0: the heartbeat does not read; a power loss may tear one, and it proves nothing",
            path.display()
        ));
    }
    let record = match chain::read_owner(shared, epoch).await {
        Ok(Some(newest)) => Some(newest.record),
        Ok(None) => None,
        Err(StoreError::Damaged { offset, problem, .. }) => {
            report.damages.push(damage(path.clone(), offset, problem.to_owned(), epoch));
            None
        }
        Err(error) => {
            report.damages.push(Damage::of_error(error, path.clone(), None));
            None
        }
    };
    let made = file_bytes(&file, record.as_ref()).await;
    if len != made {
        let problem = format!("the file has {len} bytes instead of {made}");
        report.damages.push(damage(path.clone(), len.min(made), problem, epoch));
    }
    if let Some(record) = &record {
        check_bases(&file, record, report).await;
    }
    state.identity = record.as_ref().map(|record| (record.process, record.attempt));
    (state, record)
}

/// Bytes that the file was made with, as its record says; where none reads, those of a version to which it may belong.
async fn file_bytes(file: &File, record: Option<&OwnerRecord>) -> u64 {
    match file.read(OWNER_RECORD_OFFSET, BLOCK_SIZE).await {
        Ok(block) if record.is_some() => format::owner_file_bytes(&block),
        _ if file.opened_len() == BASE_OFFSETS[0] => BASE_OFFSETS[0],
        _ => BASE_OFFSETS[1] + BLOCK_SIZE as u64,
    }
}

/// Looks at the copies of the base. A torn one is the trace of a power loss: what it would have said is in the other, or
/// nothing was removed yet.
async fn check_bases(file: &File, owner: &OwnerRecord, report: &mut Report) {
    for offset in BASE_OFFSETS.into_iter().filter(|offset| *offset < file.opened_len()) {
        let Ok(block) = file.read(offset, BLOCK_SIZE).await else { continue };
        let is_ours = MetadataBase::decode(&block).is_ok_and(|base| base.is_of(owner));
        if !is_ours && !is_zero(&block) {
            let file = file.path().display();
            report.remarks.push(format!("{file}: offset {offset}: a copy of the base does not read; the other counts"));
        }
    }
}
