//! The check of `slot.N`: which epochs are claimed, and whether a mark is missing that must be there.

use super::Listing;
use super::report::{Damage, Report, Slot};
use crate::format;
use crate::names::Name;
use crate::shared::Shared;
use disk::{BLOCK_SIZE, OpenMode, is_zero};
use std::rc::Rc;

/// Adds the slots to the report. `sealed` is the epoch that decides, 0 if none ever served: it stands on the marks in
/// its own slot and in all below, which were durable before it read anything.
pub(super) async fn check(shared: &Rc<Shared>, listing: &Listing, sealed: u64, report: &mut Report) {
    let newest = report.owners.last().map_or(0, |owner| owner.epoch);
    for epoch in 1..=newest + 1 {
        let (slot, flaw) = read(shared, epoch).await;
        let is_claimed = matches!(slot, Slot::Claimed | Slot::Garbled);
        let problem = match slot {
            _ if flaw.is_some() => None,
            // No claimant has ever come to the first epoch's own slot before it was made.
            Slot::Unclaimed if epoch <= sealed => Some("the mark of the claimant is gone".to_owned()),
            Slot::Garbled if epoch <= sealed => Some("the mark of the claimant does not read".to_owned()),
            _ if is_claimed && epoch > newest => Some("claimed, but the owner of that epoch is missing".to_owned()),
            _ => None,
        };
        let flaw = flaw.or(problem.map(|problem| (0, problem)));
        if let Some((offset, problem)) = flaw {
            let affected = match epoch.checked_sub(1) {
                Some(before) if before > 0 => format!("whether the owner of epoch {before} knows that it was replaced"),
                _ => "nothing that is stored".to_owned(),
            };
            report.damages.push(Damage::of_file(shared.names.slot(epoch), offset, problem, affected));
        } else if slot == Slot::Garbled {
            let path = shared.names.slot(epoch);
            report.remarks.push(format!("{}: offset 0: a torn mark, which counts as one", path.display()));
        }
        match report.owners.iter_mut().find(|owner| owner.epoch == epoch) {
            Some(owner) => owner.slot = slot,
            None => report.next_slot = slot,
        }
    }
    for (name, parsed) in &listing.names {
        match parsed {
            Name::Slot { epoch } if *epoch == 0 || *epoch > newest + 2 => {
                let problem = "a slot of an epoch that nobody can have claimed".to_owned();
                let path = shared.names.meta().join(name);
                report.damages.push(Damage::of_file(path, 0, problem, "the chain of owners".to_owned()));
            }
            _ => {}
        }
    }
}

/// A slot, and what is wrong with the file as such, at which offset.
async fn read(shared: &Rc<Shared>, epoch: u64) -> (Slot, Option<(u64, String)>) {
    let file = match shared.port.open(shared.names.slot(epoch), OpenMode::Read).await {
        Ok(file) => file,
        Err(error) => return (Slot::Missing, Some((0, format!("the slot cannot be opened: {error}")))),
    };
    let block = match file.read(0, BLOCK_SIZE).await {
        Ok(block) => block,
        Err(error) => return (Slot::Missing, Some((0, format!("the slot does not read: {error}")))),
    };
    let len = file.opened_len();
    let wrong_length = (len != BLOCK_SIZE as u64)
        .then(|| (len.min(BLOCK_SIZE as u64), format!("the file has {len} bytes instead of {BLOCK_SIZE}")));
    if block.len() == BLOCK_SIZE && is_zero(&block) {
        return (Slot::Unclaimed, wrong_length);
    }
    match format::decode_slot(&block) {
        Ok((_, of)) if of == epoch => (Slot::Claimed, wrong_length),
        Ok((_, of)) => (Slot::Garbled, Some((0, format!("the mark is of epoch {of}")))),
        Err(_) => (Slot::Garbled, wrong_length),
    }
}
