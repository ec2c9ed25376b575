//! What hosts did, in order: the last operations, for the folder of a result.
//!
//! Owns the records, within a bound.

use crate::model::{Effects, FaultId, Ino, Nanos, Operation};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Operations that are kept; the oldest leave first. Some seconds of a busy pair.
pub const RECORDS_MAX: usize = 100_000;

/// One operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// CLOCK_MONOTONIC when it was carried out, in nanoseconds.
    pub t_ns: Nanos,
    /// CLOCK_MONOTONIC when it arrived.
    pub arrived_ns: Nanos,
    /// Host.
    pub host: String,
    /// What.
    pub operation: Operation,
    /// On which inode.
    pub ino: Ino,
    /// Its path below the mount.
    pub path: PathBuf,
    /// Where in the file.
    pub offset: u64,
    /// How many bytes were asked for.
    pub len: u64,
    /// Whether it was to make something durable.
    pub syncs: bool,
    /// Bytes done, or nothing with an error.
    pub done: Option<u64>,
    /// The error, by its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Faults that hit it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<FaultId>,
}

/// The last operations.
#[derive(Debug, Default)]
pub(crate) struct Log {
    records: VecDeque<Record>,
    dropped: u64,
}

impl Log {
    pub(crate) fn push(&mut self, record: Record, effects: &Effects) {
        if self.records.len() >= RECORDS_MAX {
            self.records.pop_front();
            self.dropped += 1;
        }
        self.records.push_back(Record { faults: effects.faults.clone(), ..record });
    }

    /// Operations that are no longer kept.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Writes one JSON object on each line.
    pub(crate) fn write_to(&self, path: &Path) -> io::Result<u64> {
        let mut file = BufWriter::new(std::fs::File::create(path)?);
        for record in &self.records {
            serde_json::to_writer(&mut file, record)?;
            file.write_all(b"\n")?;
        }
        file.flush()?;
        Ok(self.records.len() as u64)
    }
}
