//! The check of indices and checkpoints by themselves: header, identity, and the checksum of all content.
//!
//! Whether one is missing that the metadata or a checkpoint names is `journal`'s business.

use super::Listing;
use super::report::{Damage, Report};
use crate::format::{OwnerRecord, TableKind};
use crate::names::Name;
use crate::shared::Shared;
use crate::tables;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Reads every table of the lane.
pub(super) async fn check(
    shared: &Rc<Shared>,
    listing: &Listing,
    records: &BTreeMap<u64, OwnerRecord>,
    report: &mut Report,
) {
    for (name, parsed) in &listing.names {
        let (kind, epoch, attempt, sequence) = match *parsed {
            Name::Index { epoch, attempt, sequence, .. } => (TableKind::Index, epoch, attempt, sequence),
            Name::Checkpoint { epoch, attempt, sequence } => (TableKind::Checkpoint, epoch, attempt, sequence),
            _ => continue,
        };
        let path = shared.names.lane(&listing.lane).join(name);
        let identity = listing.identity(records, (epoch, attempt, sequence), &path, report);
        let Some(identity) = identity else { continue };
        let affected = match kind {
            TableKind::Index => format!("where the messages of segment.{epoch}.{attempt:032x}.{sequence} lie"),
            TableKind::Checkpoint => format!("which messages of {} before it are live", listing.lane),
        };
        match tables::read(shared, kind, identity, path.clone()).await {
            Ok(Ok(_)) => {}
            Ok(Err(flaw)) => {
                report.damages.push(Damage::of_file(path, flaw.offset, flaw.problem.to_owned(), affected));
            }
            Err(error) => report.damages.push(Damage::of_error(error, path, None)),
        }
    }
}
