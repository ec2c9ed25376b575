//! Sweeps up what dead processes and lost claims left behind. Runs once, after our SEAL is durable and checked.
//!
//! What may go, even if we are fenced meanwhile and act late:
//! * a segment, an index or a checkpoint of an older epoch that is not in use: no later epoch can need it;
//! * a segment of our epoch by another attempt: it lost the epoch for ever;
//! * a temporary file whose lock we get: its maker is dead, and nobody else ever uses it.
//!
//! Segments of later epochs are never touched.

use crate::StoreError;
use crate::names::Name;
use crate::shared::{Shared, while_doing};
use disk::{DiskError, OpenMode};
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// `live`: files that are in use. `leftovers`: our own temporary names.
pub(crate) async fn sweep(
    shared: Rc<Shared>,
    epoch: u64,
    attempt: u128,
    live: BTreeSet<PathBuf>,
    leftovers: Vec<PathBuf>,
) -> Result<(), StoreError> {
    let failed = || while_doing("sweeping up after dead processes");
    for path in &leftovers {
        shared.port.unlink(path).await.map_err(failed())?;
    }
    for lane in shared.names.lanes() {
        let folder = shared.names.lane(lane);
        for name in shared.port.list(&folder).await.map_err(failed())? {
            let path = folder.join(&name);
            let goes = match Name::parse(&name) {
                Name::Segment { epoch: of, .. } if of < epoch => !live.contains(&path),
                Name::Segment { epoch: of, attempt: by, .. } if of == epoch => by != attempt,
                Name::Index { by, .. } | Name::Checkpoint { epoch: by, .. } if by < epoch => !live.contains(&path),
                Name::Temporary { process } if process != shared.process => {
                    remove_abandoned(&shared, &path).await.map_err(failed())?;
                    false
                }
                _ => false,
            };
            if goes {
                shared.port.unlink(&path).await.map_err(failed())?;
            }
        }
    }
    Ok(())
}

/// Removes a temporary file whose lock is free: its maker is dead. The lock is held until the name is gone, so that a
/// maker that comes to its own file just now sees either.
async fn remove_abandoned(shared: &Rc<Shared>, path: &Path) -> Result<(), DiskError> {
    let file = match shared.port.open(path.to_owned(), OpenMode::ReadWrite).await {
        Err(error) if error.kind == ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    if file.try_lock().await? {
        shared.port.unlink(path).await?;
    }
    Ok(())
}
