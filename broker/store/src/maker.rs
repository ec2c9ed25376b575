//! Makes spare segments in the background, one at a time, for the standby and for the owner alike.
//!
//! Owns the one file that is being filled and the pause after a full disk. Who gets the spare is its user's business.

use crate::shared::Shared;
use crate::spares::{self, Spare};
use crate::task::Task;
use disk::{DiskError, Nanos};
use std::io::ErrorKind;
use std::rc::Rc;

/// After a failure the next attempt waits so long.
const RETRY_AFTER: Nanos = 1_000_000_000;

#[derive(Debug, Default)]
pub(crate) struct Maker {
    filling: Option<(usize, Task<Result<Spare, DiskError>>)>,
    retry_at: Option<Nanos>,
}

/// What came of an attempt.
#[derive(Debug)]
pub(crate) enum Made {
    Spare {
        lane: usize,
        spare: Spare,
    },
    /// No space left; tried again later.
    DiskFull {
        lane: usize,
        error: DiskError,
    },
    Failed(DiskError),
}

impl Maker {
    pub(crate) fn is_busy(&self) -> bool {
        self.filling.is_some()
    }

    /// Starts a spare for `lane`, unless one is being made or a pause is due. `depth`: writes in flight.
    pub(crate) fn start(&mut self, now: Nanos, shared: &Rc<Shared>, lane: usize, depth: usize) {
        if self.filling.is_none() && self.retry_at.is_none_or(|at| now >= at) {
            self.retry_at = None;
            self.filling = Some((lane, Task::new(spares::make(shared.clone(), lane, depth))));
        }
    }

    pub(crate) fn poll(&mut self, now: Nanos) -> Option<Made> {
        let (lane, task) = self.filling.as_mut()?;
        let (lane, result) = (*lane, task.poll()?);
        self.filling = None;
        Some(match result {
            Ok(spare) => Made::Spare { lane, spare },
            Err(error) => {
                self.retry_at = Some(now + RETRY_AFTER);
                let is_full = matches!(error.kind, ErrorKind::StorageFull | ErrorKind::QuotaExceeded);
                if is_full { Made::DiskFull { lane, error } } else { Made::Failed(error) }
            }
        })
    }

    /// Space was freed: no need to wait.
    pub(crate) fn retry_now(&mut self) {
        self.retry_at = None;
    }

    pub(crate) fn retry_at(&self) -> Option<Nanos> {
        self.retry_at
    }
}
