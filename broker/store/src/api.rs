//! The words between the store and the server: configuration, results and events. No behaviour.

use crate::StoreError;
use bytes::Bytes;
use disk::Nanos;
use std::path::PathBuf;

/// When a store's records are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// After they are durable and the ownership check passed.
    Sync,
    /// On admission; flushed in the background.
    Async,
}

/// One store of stores.conf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreConfig {
    /// Name in the configuration, such as `$sys.failsafe`.
    pub name: String,
    /// Folder below [`Config::folder`], such as `sync-msgs.db`.
    pub file: String,
    /// When its records are answered.
    pub mode: Mode,
    /// Bytes that stand ready ahead of use, at least (`file_minimum`). One segment always does.
    pub minimum_bytes: u64,
}

/// What a [`crate::Store`] is made from.
#[derive(Clone, Debug)]
pub struct Config {
    /// Absolute path of the folder that holds all stores.
    pub folder: PathBuf,
    /// The stores; a store's index in this list is its number in all calls. At most 31.
    pub stores: Vec<StoreConfig>,
    /// Folder of the epoch chain and the metadata, below `folder`; normally `meta.db`.
    pub meta_file: String,
    /// Length of a segment in bytes: a multiple of 4096, at least 65536, at most 1 GiB. The largest message is half of
    /// it.
    pub segment_bytes: u64,
    /// Length of a segment of the metadata in bytes: a multiple of 4096, at least 16384, so that a SEAL of some hundred runs
    /// fits.
    pub meta_segment_bytes: u64,
    /// Bytes of the metadata that stand ready ahead of use, at least. One segment always does.
    pub meta_minimum_bytes: u64,
    /// A batch takes no further record beyond this many bytes.
    pub batch_bytes_max: usize,
    /// Journal writes in flight per store, 1 to 4. More than one only where writes take long.
    pub writes_in_flight_max: usize,
    /// An async store writes what it has at least this often, in nanoseconds.
    pub async_flush_interval: Nanos,
    /// An async store admits nothing while so many bytes are not yet confirmable.
    pub async_unflushed_max: u64,
    /// A sync store admits nothing while so many bytes are not yet confirmable.
    pub sync_unflushed_max: u64,
    /// The owner rewrites its heartbeat, and looks at its slot even when idle, this often, in nanoseconds.
    pub heartbeat_interval: Nanos,
    /// An owner that cannot read its slot for so long gives up (`ft_activation`), in nanoseconds.
    pub unreadable_slot_limit: Nanos,
    /// Message bytes kept in memory by all stores together, at most, beyond what is not yet durable; `usize::MAX`: no
    /// limit.
    pub cache_bytes_max: usize,
    /// While watching, read the owner's journal, so that a takeover reads only what is new.
    pub standby_tailing: bool,
    /// How often a standby looks at the end of the owner's journal, in nanoseconds.
    pub tail_interval: Nanos,
    /// Messages of sparse segments are copied forward at this pace, in bytes of a second; 0: never, so that one message
    /// keeps its segment.
    pub copy_bytes_per_s: u64,
    /// Bytes that are on disk leave memory when the limit is reached.
    pub swap: bool,
    /// Go on past damage; what is dropped is kept aside and named in [`Recovered::notes`].
    pub force_start: bool,
    /// Make a new store even where `folder` holds names that are not ours.
    pub create: bool,
}

impl Config {
    /// The defaults for `stores` in `folder`.
    pub fn new(folder: PathBuf, stores: Vec<StoreConfig>) -> Self {
        Self {
            folder,
            stores,
            meta_file: "meta.db".to_owned(),
            segment_bytes: 64 << 20,
            meta_segment_bytes: 4 << 20,
            meta_minimum_bytes: 0,
            batch_bytes_max: 1 << 20,
            writes_in_flight_max: 1,
            async_flush_interval: 10_000_000,
            async_unflushed_max: 16 << 20,
            sync_unflushed_max: 64 << 20,
            heartbeat_interval: 100_000_000,
            unreadable_slot_limit: 2_000_000_000,
            cache_bytes_max: 256 << 20,
            standby_tailing: true,
            tail_interval: 20_000_000,
            copy_bytes_per_s: 32 << 20,
            swap: true,
            force_start: false,
            create: false,
        }
    }
}

/// Why a [`Config`] cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Segments are whole blocks, 64 KiB (of the metadata 16 KiB) to 1 GiB.
    #[error("a segment must have a multiple of 4096 bytes, from 65536 (of the metadata 16384) to 1073741824")]
    SegmentBytes,
    /// A batch has 4 KiB at least, and all writes in flight together half a segment at most.
    #[error("a batch must have at least 4096 bytes, and all batches in flight together at most half a segment")]
    BatchBytes,
    /// One to four writes in flight.
    #[error("there are 1 to 4 writes in flight")]
    WritesInFlight,
    /// At most 31 stores, with different folder names of 1 to 64 bytes and no path in them.
    #[error("there are at most 31 stores, each with a folder name of its own of 1 to 64 bytes")]
    Stores,
    /// The folder's path is absolute.
    #[error("the store's folder must be an absolute path")]
    Folder,
}

impl Config {
    /// Whether all values are within their ranges.
    pub fn check(&self) -> Result<(), ConfigError> {
        if !(1..=4).contains(&self.writes_in_flight_max) {
            return Err(ConfigError::WritesInFlight);
        }
        let is_segment = |bytes: u64, minimum: u64| bytes.is_multiple_of(4096) && (minimum..=1 << 30).contains(&bytes);
        if !is_segment(self.segment_bytes, 65_536) || !is_segment(self.meta_segment_bytes, 16_384) {
            return Err(ConfigError::SegmentBytes);
        }
        let in_flight = (self.batch_bytes_max * self.writes_in_flight_max) as u64;
        if self.batch_bytes_max < 4096 || in_flight > self.segment_bytes / 2 {
            return Err(ConfigError::BatchBytes);
        }
        let mut files: Vec<&str> =
            self.stores.iter().map(|store| store.file.as_str()).chain([self.meta_file.as_str()]).collect();
        let is_name =
            |file: &&str| (1..=64).contains(&file.len()) && !file.contains('/') && *file != "." && *file != "..";
        let are_names = files.iter().all(is_name);
        files.sort_unstable();
        let count = files.len();
        files.dedup();
        if !are_names || count > 32 || files.len() != count {
            return Err(ConfigError::Stores);
        }
        if self.folder.is_absolute() { Ok(()) } else { Err(ConfigError::Folder) }
    }
}

/// Where a message's bytes lie, for as long as the message is not acknowledged. Opaque to others; valid in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Location {
    /// Number of the segment within its store, given by this process.
    pub segment: u32,
    /// Offset of the first byte in the segment file.
    pub offset: u32,
    /// Length in bytes.
    pub len: u32,
}

/// The few fields of a message that recovery hands back without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct MessageKey {
    /// Wall clock milliseconds since 1970 at which it expires; 0 is never.
    pub expires_at_ms: u64,
    /// Priority, 0 to 9.
    pub priority: u8,
    /// For the caller.
    pub flags: u8,
}

/// A record that was admitted; it is answered when [`Event::Confirmable`] reaches `lsn` (sync) or at once (async).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Log sequence number: the order of this store's records, for ever.
    pub lsn: u64,
    /// Where the payload lies.
    pub location: Location,
}

/// Why a record was not admitted. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The disk has no space for another segment: acknowledge messages or make space.
    #[error("the store is full")]
    Full,
    /// Too much is not yet durable: try again after [`Event::Room`].
    #[error("the store is behind, wait for room")]
    Throttled,
    /// The record would not fit in half a segment: reject the message.
    #[error("the record is larger than half a segment")]
    TooLarge,
    /// The store is not serving: it is standby, fenced, poisoned or stopping.
    #[error("the store is not serving")]
    NotServing,
}

/// A message's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// In memory.
    Ready(Bytes),
    /// Being read; [`Event::Body`] follows.
    Pending,
}

/// A message that recovery found and that no acknowledgement removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecoveredMessage {
    /// Index of the store.
    pub store: u8,
    /// Destination id; a message to several destinations is listed once for each.
    pub destination: u32,
    /// Its log sequence number.
    pub lsn: u64,
    /// Where its bytes lie.
    pub location: Location,
    /// As it was published.
    pub key: MessageKey,
}

/// A destination that recovery found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoveredDestination {
    /// Index of the store.
    pub store: u8,
    /// As it was defined.
    pub id: u32,
    /// As it was defined.
    pub name: String,
    /// Live messages may lie in it: new ones wait behind them until [`Backlog::Part`] says that it is finished.
    pub has_backlog: bool,
}

/// What [`crate::Store::backlog`] hands over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Backlog {
    /// The next live messages in order of their sequence numbers.
    Part {
        /// About as many as were asked for: one to several destinations is handed over for each. Perhaps none.
        messages: Vec<RecoveredMessage>,
        /// Destinations to which no more follow.
        finished: Vec<u32>,
    },
    /// The next ones are being read; [`Event::Backlog`] follows.
    Pending,
    /// All were handed over.
    Complete,
}

/// What a claim found.
#[derive(Clone, Debug, Default)]
pub struct Recovered {
    /// The epoch that serves now.
    pub epoch: u64,
    /// A hot standby took over: only what it had not read before was read.
    pub hot: bool,
    /// Bytes read from the journal.
    pub bytes: u64,
    /// Live messages; [`crate::Store::backlog`] hands them over.
    pub messages: u64,
    /// Segments read.
    pub segments: u64,
    /// Defined destinations.
    pub destinations: Vec<RecoveredDestination>,
    /// For the operator's log: what was cut, dropped or quarantined.
    pub notes: Vec<String>,
}

/// How far a standby has read the owner's journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tail {
    /// Whose journal it is.
    pub epoch: u64,
    /// By store, the log sequence number of the last record that was read.
    pub through: Vec<u64>,
    /// Live messages as far as it was read.
    pub messages: u64,
    /// Bytes that were read.
    pub bytes: u64,
    /// When its end was last reached.
    pub read_at: Nanos,
}

/// What the segments of all stores take, and what was done about it since serving began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct SpaceUse {
    /// Segments that hold, or held, messages.
    pub segments: u64,
    /// Bytes of them, as far as they have the present length.
    pub segment_bytes: u64,
    /// Bytes of live messages, with what a record adds, as far as they were handed over.
    pub live_bytes: u64,
    /// Messages that were copied forward out of sparse segments.
    pub copied_messages: u64,
    /// Their bytes.
    pub copied_bytes: u64,
    /// Segments that were dead and are removed.
    pub removed_segments: u64,
    /// Segments of the metadata that hold records.
    pub metadata_segments: u64,
    /// Segments of the metadata whose records were repeated in newer ones, and that are removed.
    pub removed_metadata_segments: u64,
}

/// What the store has to tell.
#[derive(Clone, Debug)]
pub enum Event {
    /// While watching: the owner's journal was read to its end and is followed from now on.
    StandbyFollows(Tail),
    /// While watching: reading what the owner had written took so long, in nanoseconds.
    StandbyBehind {
        /// From the start of the pass to its end.
        nanos: Nanos,
    },
    /// While watching: the place in the owner's journal is lost; what was read is dropped and read anew.
    StandbyReload {
        /// Why.
        reason: String,
    },
    /// While watching: the newest owner or claimant, and its heartbeat counter, which stands still when it hangs.
    Owner {
        /// 0 when there is no store yet.
        epoch: u64,
        /// Changes with each beat.
        heartbeat: u64,
    },
    /// Answer to `probe_lock`.
    Lock {
        /// The newest owner.
        epoch: u64,
        /// True when its process is gone, or when there is no owner at all.
        free: bool,
    },
    /// The epoch is ours; nobody else can confirm any more. Recovery goes on.
    Claimed {
        /// Our epoch.
        epoch: u64,
    },
    /// Recovered, sealed and checked: requests are taken.
    Serving(Recovered),
    /// Another was faster; watching goes on.
    ClaimLost {
        /// Its epoch.
        by_epoch: u64,
    },
    /// The claim failed; the error names file, offset, what is affected and the remedy. Nothing more comes.
    RecoveryFailed(StoreError),
    /// Records of `store` through this log sequence number are durable and checked: answer them.
    Confirmable {
        /// Index of the store.
        store: u8,
        /// Log sequence number.
        through: u64,
    },
    /// A store that refused with [`Refused::Throttled`] or [`Refused::Full`] admits again, or one that refused with
    /// `Throttled` would say `Full` now: ask again.
    Room {
        /// Index of the store.
        store: u8,
    },
    /// More of what recovery found can be had from [`crate::Store::backlog`].
    Backlog {
        /// Index of the store.
        store: u8,
    },
    /// The bytes that `body` did not have.
    Body {
        /// Index of the store.
        store: u8,
        /// As asked.
        location: Location,
        /// The bytes, checked against their checksum.
        result: Result<Bytes, StoreError>,
    },
    /// Another process owns the store: confirm nothing more, close the clients, exit. Nothing more comes.
    Fenced {
        /// The epoch that was claimed after ours.
        by_epoch: u64,
    },
    /// The disk failed us: as for `Fenced`. Nothing more comes.
    Poisoned(StoreError),
    /// Everything that was admitted is durable, checked and closed.
    Stopped,
    /// For the operator's log.
    Note(String),
}
