//! Makes spare segments in the background, one at a time, for the standby and for the owner alike.
//!
//! Owns the one file that is being filled, how fast that goes beside service, and the pause after a full disk. Who gets the
//! spare is its user's business.

use crate::shared::Shared;
use crate::spares::{self, Spare};
use crate::task::Task;
use disk::{DiskError, Nanos};
use std::io::ErrorKind;
use std::rc::Rc;

/// After a failure the next attempt waits so long.
const RETRY_AFTER: Nanos = 1_000_000_000;

/// Beside service a spare grows by twice what the lanes write meanwhile, so that it stands in time, and by so many bytes a second,
/// so that it stands at some time. At once it would hold up what is written beside it; see docs/decisions/0040.
const FILL_SHARE: u64 = 2;
const FILL_BYTES_PER_S: u64 = 32 << 20;

/// How often it is looked how far it may have grown.
const FILL_INTERVAL: Nanos = 2_000_000;

#[derive(Debug, Default)]
pub(crate) struct Maker {
    filling: Option<(usize, Task<Result<Spare, DiskError>>)>,
    /// When filling it beside service began, and what the lanes had written by then.
    began: Option<(Nanos, u64)>,
    /// When that is to be looked at, while something is being filled.
    grows_at: Option<Nanos>,
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
            (self.began, self.grows_at) = (None, Some(now));
            self.filling = Some((lane, Task::new(spares::make(shared.clone(), lane, depth))));
        }
    }

    /// Says how far it may be filled now. `written`: what all lanes have written, in bytes. `is_urgent`: somebody waits for it.
    pub(crate) fn pace(&mut self, now: Nanos, shared: &Rc<Shared>, written: u64, is_urgent: bool) {
        let (since, before) = *self.began.get_or_insert((now, written));
        let by_time = u128::from(now - since) * u128::from(FILL_BYTES_PER_S) / 1_000_000_000;
        let limit = (written - before) * FILL_SHARE + by_time as u64;
        shared.fill_limit.set(if is_urgent { u64::MAX } else { limit });
        self.grows_at = Some(now + FILL_INTERVAL);
    }

    pub(crate) fn poll(&mut self, now: Nanos) -> Option<Made> {
        let (lane, task) = self.filling.as_mut()?;
        let (lane, result) = (*lane, task.poll()?);
        (self.filling, self.grows_at) = (None, None);
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

    /// When to call `pace`; `None`: nothing is being filled.
    pub(crate) fn grows_at(&self) -> Option<Nanos> {
        self.grows_at
    }
}
