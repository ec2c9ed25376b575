//! The check of segment files by themselves: header and length, which were durable before the file had its name.
//!
//! Also of those that hold nothing: made ahead of use, or dead and not yet removed. What the batches in them say is
//! `journal`'s business.

use super::Listing;
use super::report::{Damage, Report, Seal, SegmentRole, SegmentState};
use crate::StoreError;
use crate::format::{BlockError, FORMAT_VERSION, OwnerRecord, SegmentHeader, SegmentIdentity};
use crate::names::Name;
use crate::shared::Shared;
use disk::{BLOCK_SIZE, OpenMode};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Adds the lane's files to the report, whose lane number `index` holds what its journal says of live ones.
pub(super) async fn check(
    shared: &Rc<Shared>,
    listing: &Listing,
    index: usize,
    records: &BTreeMap<u64, OwnerRecord>,
    report: &mut Report,
) {
    let folder = shared.names.lane(&listing.lane);
    for (name, parsed) in &listing.names {
        let path = folder.join(name);
        match *parsed {
            Name::Segment { epoch, attempt, sequence } => {
                let identity = listing.identity(records, (epoch, attempt, sequence), &path, report);
                if let Some(identity) = identity {
                    add(shared, path, identity, index, report).await;
                }
            }
            Name::Temporary { .. } => report.lanes[index].temporary_files += 1,
            Name::Quarantine => report.remarks.push(format!("{}: set aside by --force-start", path.display())),
            Name::Foreign => report.remarks.push(format!("{}: not a file of the store", path.display())),
            Name::Owner { .. } | Name::Slot { .. } | Name::Index { .. } | Name::Checkpoint { .. } => {}
        }
    }
    report.lanes[index].segments.sort_by_key(|segment| (segment.epoch, segment.sequence));
}

async fn add(shared: &Rc<Shared>, path: PathBuf, identity: SegmentIdentity, index: usize, report: &mut Report) {
    let known = report.lanes[index].segments.iter().position(|segment| segment.file == path);
    let role = match known {
        Some(_) => SegmentRole::Live,
        None => role(&identity, index, report),
    };
    let (file_bytes, wrong) = read(shared, &path, &identity).await;
    if let Some((offset, error)) = wrong {
        let affected = match role {
            SegmentRole::Live => "the records in it",
            SegmentRole::Ready => "nothing yet: it was made ahead of use",
            SegmentRole::Dead => "nothing: no live record lies in it",
        };
        report.damages.push(match error {
            Wrong::Problem(problem) => Damage::of_file(path.clone(), offset, problem, affected.to_owned()),
            Wrong::Error(error) => Damage::of_error(error, path.clone(), None),
        });
    }
    let segments = &mut report.lanes[index].segments;
    match known {
        Some(at) => segments[at].file_bytes = file_bytes,
        None => segments.push(SegmentState {
            file: path,
            epoch: identity.epoch,
            sequence: identity.sequence,
            role,
            lsns: None,
            used_bytes: 0,
            file_bytes,
            live_messages: 0,
        }),
    }
}

/// What a segment is good for of which the journal of a store says nothing.
fn role(identity: &SegmentIdentity, index: usize, report: &Report) -> SegmentRole {
    let deciding = report.owners.iter().find(|owner| owner.seal == Seal::Sealed).map_or(0, |owner| owner.epoch);
    let is_passed = |segment: &SegmentState| {
        segment.role == SegmentRole::Live && segment.epoch == identity.epoch && segment.sequence > identity.sequence
    };
    let is_dead = identity.epoch < deciding || report.lanes[index].segments.iter().any(is_passed);
    if is_dead { SegmentRole::Dead } else { SegmentRole::Ready }
}

enum Wrong {
    Problem(String),
    Error(StoreError),
}

/// Length of the file, and what is wrong where.
async fn read(shared: &Rc<Shared>, path: &Path, identity: &SegmentIdentity) -> (u64, Option<(u64, Wrong)>) {
    let problem = |text: String| Some((0, Wrong::Problem(text)));
    let file = match shared.port.open(path.to_owned(), OpenMode::Read).await {
        Ok(file) => file,
        Err(error) => return (0, problem(format!("the segment cannot be opened: {error}"))),
    };
    let len = file.opened_len();
    let block = match file.read(0, BLOCK_SIZE).await {
        Ok(block) => block,
        Err(error) => return (len, problem(format!("the segment does not read: {error}"))),
    };
    match SegmentHeader::decode(&block) {
        Ok(header) if header.identity != *identity => {
            (len, problem("the segment's header is of another segment".to_owned()))
        }
        Ok(header) if header.segment_bytes != len => {
            let text = format!("the file has {len} bytes, its header says {}", header.segment_bytes);
            (len, Some((len.min(header.segment_bytes), Wrong::Problem(text))))
        }
        Ok(_) => (len, None),
        Err(BlockError::Damaged) => (len, problem("the segment's header is not the one that was written".to_owned())),
        Err(BlockError::TooNew(found)) => {
            let error = StoreError::TooNew { path: path.to_owned(), found, known: FORMAT_VERSION };
            (len, Some((0, Wrong::Error(error))))
        }
    }
}
