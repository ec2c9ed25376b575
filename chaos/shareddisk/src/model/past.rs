//! What files held when a fault began that lets hosts read stale data.
//!
//! Owns the bytes that others have overwritten since, within a bound.

use super::faults::FaultId;
use super::{HostId, Ino};
use std::collections::BTreeMap;

/// Overwritten bytes that are kept for all such faults together. Beyond it later overwrites are read fresh.
const KEPT_BYTES_MAX: usize = 64 << 20;

/// Bytes before they were overwritten.
#[derive(Debug)]
struct Overwritten {
    ino: Ino,
    by: HostId,
    offset: u64,
    bytes: Vec<u8>,
    len_before: u64,
}

/// The past, by fault.
#[derive(Debug, Default)]
pub(super) struct Past {
    kept: BTreeMap<FaultId, Vec<Overwritten>>,
    bytes: usize,
}

impl Past {
    /// These faults are set; those that are new see the present.
    pub(super) fn begin(&mut self, faults: &[FaultId]) {
        for &fault in faults {
            self.kept.entry(fault).or_default();
        }
    }

    /// Only these faults are still set.
    pub(super) fn keep(&mut self, faults: &[FaultId]) {
        self.kept.retain(|fault, _| faults.contains(fault));
        self.bytes = self.kept.values().flatten().map(|overwritten| overwritten.bytes.len()).sum();
    }

    /// Whether anybody will ask for what is overwritten now.
    pub(super) fn is_kept(&self) -> bool {
        !self.kept.is_empty() && self.bytes < KEPT_BYTES_MAX
    }

    /// `bytes` at `offset`, in a file of `len_before` bytes, are about to be overwritten by a host.
    pub(super) fn overwrite(&mut self, ino: Ino, by: HostId, offset: u64, bytes: &[u8], len_before: u64) {
        for kept in self.kept.values_mut() {
            self.bytes += bytes.len();
            kept.push(Overwritten { ino, by, offset, bytes: bytes.to_vec(), len_before });
        }
    }

    /// Turns what `reader` would read from `offset` on into what the fault shows: writes of others are undone, newest first.
    pub(super) fn show(&self, fault: FaultId, reader: HostId, ino: Ino, offset: u64, buffer: &mut Vec<u8>) {
        let kept = self.kept.get(&fault).into_iter().flatten().rev();
        for old in kept.filter(|old| old.ino == ino && old.by != reader) {
            let len = old.len_before.saturating_sub(offset).min(buffer.len() as u64);
            buffer.truncate(len as usize);
            let from = old.offset.max(offset);
            let to = (old.offset + old.bytes.len() as u64).min(offset + len);
            if from < to {
                let source = &old.bytes[(from - old.offset) as usize..(to - old.offset) as usize];
                buffer[(from - offset) as usize..(to - offset) as usize].copy_from_slice(source);
            }
        }
    }
}
