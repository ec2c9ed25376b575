//! What an inspection tells. Data only; the words for people are the caller's.

use crate::StoreError;
use std::path::PathBuf;

/// Whether a process holds the newest owner's lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lock {
    /// A running process owns the store.
    Held,
    /// Nobody does.
    Free,
    /// It could not be tried; why.
    Unknown(String),
}

/// What an epoch came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seal {
    /// It served; it is the one that decides now.
    Sealed,
    /// It has been claimed and never served.
    Never,
    /// A newer epoch has declared its end.
    Superseded,
    /// Damage hides it.
    Unknown,
}

/// A slot: whether somebody claimed the epoch of its number, or a later one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// Zeros.
    Unclaimed,
    /// A whole mark.
    Claimed,
    /// Neither: counts as claimed.
    Garbled,
    /// No such file, or one that cannot be read.
    Missing,
}

/// An epoch.
#[derive(Clone, Debug)]
pub struct OwnerState {
    /// Its number.
    pub epoch: u64,
    /// Who owned it: process and attempt, if the record reads.
    pub identity: Option<(u128, u128)>,
    /// The heartbeat's counter, if it reads.
    pub heartbeat: Option<u64>,
    /// What it came to.
    pub seal: Seal,
    /// It ended by a clean stop; known of the epoch that decides only.
    pub is_clean: bool,
    /// `slot.EPOCH`.
    pub slot: Slot,
}

/// What a segment is good for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentRole {
    /// It holds records of the journal.
    Live,
    /// Made ahead of use, or used for nothing yet.
    Ready,
    /// Nothing names it any more; the next owner removes it.
    Dead,
}

/// A segment file.
#[derive(Clone, Debug)]
pub struct SegmentState {
    /// Its path.
    pub file: PathBuf,
    /// Who wrote it.
    pub epoch: u64,
    /// Its number within epoch and lane.
    pub sequence: u32,
    /// What it is good for.
    pub role: SegmentRole,
    /// First and last log sequence number, of a live one.
    pub lsns: Option<(u64, u64)>,
    /// Bytes up to the end of its last batch, header included.
    pub used_bytes: u64,
    /// Length of the file in bytes.
    pub file_bytes: u64,
    /// Messages in it that nobody acknowledged.
    pub live_messages: u64,
}

/// A destination and what waits in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DestinationState {
    /// Its number within the store.
    pub id: u32,
    /// Its name; empty where damage took it.
    pub name: String,
    /// Live messages, those to several destinations counted in each.
    pub messages: u64,
}

/// What lies above durable-through: writes in flight when the owner ended or, now, the work of a running one. No damage.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InFlight {
    /// Batches.
    pub batches: u64,
    /// First and last log sequence number.
    pub lsns: Option<(u64, u64)>,
    /// Messages among their records.
    pub messages: u64,
}

/// A lane: the metadata, or the journal of one store.
#[derive(Clone, Debug)]
pub struct LaneState {
    /// Its folder's name.
    pub name: String,
    /// Its segments, by epoch and sequence.
    pub segments: Vec<SegmentState>,
    /// Live messages, those in flight included.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Known destinations.
    pub destinations: Vec<DestinationState>,
    /// The log sequence number that comes next.
    pub next_lsn: u64,
    /// Above durable-through.
    pub in_flight: InFlight,
    /// Ranges of log sequence numbers that an earlier `--force-start` gave up.
    pub given_up: Vec<(u64, u64)>,
    /// Unused spares and claims in the making, of running or dead processes.
    pub temporary_files: u64,
}

impl LaneState {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            segments: Vec::new(),
            messages: 0,
            bytes: 0,
            destinations: Vec::new(),
            next_lsn: 1,
            in_flight: InFlight::default(),
            given_up: Vec::new(),
            temporary_files: 0,
        }
    }
}

/// One place that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub file: PathBuf,
    /// Byte offset of the first bad block.
    pub offset: u64,
    /// What is wrong there.
    pub problem: String,
    /// What is lost or hidden by it.
    pub affected: String,
    /// The records that are lost, first and last log sequence number; the last is `None` where nothing readable follows.
    pub lsns: Option<(u64, Option<u64>)>,
    /// What to do.
    pub remedy: &'static str,
}

const RESTORE_OR_FORCE: &str =
    "restore the file from a copy, or start with --force-start, which sets it aside and drops what is affected";
const RESTORE: &str = "restore the file from a copy";

impl Damage {
    /// Messages that may be lost, at most; `None` where nobody can say.
    pub fn messages_max(&self) -> Option<u64> {
        match self.lsns {
            Some((first, last)) => last.map(|last| last - first + 1),
            None => Some(0),
        }
    }

    pub(super) fn of_file(file: PathBuf, offset: u64, problem: String, affected: String) -> Self {
        Self { file, offset, problem, affected, lsns: None, remedy: RESTORE }
    }

    /// What recovery says of a place. `lane` is named where the error names no file.
    pub(super) fn of_error(error: StoreError, lane: PathBuf, lsns: Option<(u64, Option<u64>)>) -> Self {
        match error {
            StoreError::Damaged { path, offset, problem, affected } => {
                Self { file: path, offset, problem: problem.to_owned(), affected, lsns, remedy: RESTORE_OR_FORCE }
            }
            StoreError::TooNew { path, found, known } => Self {
                file: path,
                offset: 0,
                problem: format!("format version {found}, this version reads up to {known}"),
                affected: "all that follows it".to_owned(),
                lsns,
                remedy: "use the version that wrote it",
            },
            other => {
                let affected = "all that follows it".to_owned();
                Self { lsns, ..Self::of_file(lane, 0, other.to_string(), affected) }
            }
        }
    }

    /// Whether both speak of the same place.
    pub(super) fn is_at(&self, other: &Self) -> bool {
        (&self.file, self.offset) == (&other.file, other.offset)
    }
}

/// Everything that an inspection found.
#[derive(Clone, Debug)]
pub struct Report {
    /// The store's folder.
    pub folder: PathBuf,
    /// As its newest readable owner says.
    pub store_id: Option<u128>,
    /// Whether a running process owns it.
    pub lock: Lock,
    /// All epochs, oldest first.
    pub owners: Vec<OwnerState>,
    /// The slot of the epoch that would come next.
    pub next_slot: Slot,
    /// The metadata, then the stores.
    pub lanes: Vec<LaneState>,
    /// Every place that is not as it was written. Empty: the store is sound.
    pub damages: Vec<Damage>,
    /// What is unusual and does no harm.
    pub remarks: Vec<String>,
}

impl Report {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            store_id: None,
            lock: Lock::Free,
            owners: Vec::new(),
            next_slot: Slot::Missing,
            lanes: Vec::new(),
            damages: Vec::new(),
            remarks: Vec::new(),
        }
    }

    /// Orders what was found; two checks may have met the same place.
    pub(super) fn finish(&mut self) {
        self.damages.sort_by(|one, other| (&one.file, one.offset).cmp(&(&other.file, other.offset)));
        // The one that says which records are lost says more.
        self.damages.dedup_by(|later, first| {
            let is_same = later.is_at(first);
            if is_same && first.lsns.is_none() {
                std::mem::swap(later, first);
            }
            is_same
        });
        self.remarks.dedup();
    }
}
