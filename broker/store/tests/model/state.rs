//! What there is: the storage, as rows of files, and the processes that work on it.
//!
//! Owns the data and what can be read off it. The steps are in `steps`.
//!
//! What is left out: bytes, clocks, locks, heartbeats and temporary files. An epoch's run in the data lane is one segment,
//! a batch holds one record, and slots always exist: their names are durable before the owner's name is made.

/// Epochs that can be claimed.
pub(crate) const EPOCHS: usize = 4;

/// Batches of a lane in one epoch.
pub(crate) const BATCHES: usize = 3;

/// Sequence numbers are 1 to this.
pub(crate) const LSNS: usize = 3;

/// Where a write has got to. What was not seen to complete may vanish, whether it was read meanwhile or not.
///
/// ```text
/// Absent --> InFlight <==> Cached --> Durable     (InFlight --> Durable, too)
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Write {
    /// Not issued.
    #[default]
    Absent,
    /// Issued: it may land at any time, even when its process is dead and replaced, or never.
    InFlight,
    /// It can be read, and it can vanish.
    Cached,
    /// Its process saw it complete.
    Durable,
}

impl Write {
    pub(crate) fn is_visible(self) -> bool {
        matches!(self, Self::Cached | Self::Durable)
    }

    /// The storage loses its cache. The write may land again, or never.
    pub(crate) fn lose(&mut self) {
        if *self == Self::Cached {
            *self = Self::InFlight;
        }
    }
}

/// A name in a directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Name {
    #[default]
    Absent,
    /// A power loss may take it.
    Linked,
    Synced,
}

/// A record of the data lane; `by` is the epoch that admitted it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Record {
    #[default]
    None,
    Publish {
        by: u8,
    },
    Acknowledge {
        lsn: u8,
        by: u8,
    },
    /// It lay in a segment that is not read any more.
    Gone,
}

/// A record of the metadata. The content of a SEAL or checkpoint is in the row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Meta {
    #[default]
    None,
    Seal,
    /// Everything of this epoch and before it is dead: UNLINK of format version 1. The record of a checkpoint, which stands
    /// for it since, has the same place in the order: durable, checked, acted on.
    Unlink {
        through: u8,
    },
    /// The checkpoint is installed.
    Checkpoint,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Batch {
    pub(crate) write: Write,
    pub(crate) record: Record,
    pub(crate) durable_through: u8,
}

/// The files of one claim. Row 1 belongs to epoch 1 and so on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Row {
    /// The epoch; 0: nobody has claimed it.
    pub(crate) epoch: u8,
    /// The first sequence number of its run.
    pub(crate) first_lsn: u8,
    /// How many of its batches are copies of its predecessor's.
    pub(crate) copies: u8,
    /// The SEAL: where the run of each older epoch ends; 0: it has none.
    pub(crate) ends: [u8; EPOCHS],
    pub(crate) data: [Batch; BATCHES],
    pub(crate) meta: [(Write, Meta); BATCHES],
    /// The file of its checkpoint, and through where recovery takes its word.
    pub(crate) checkpoint: Write,
    pub(crate) checkpoint_through: u8,
    pub(crate) is_data_unlinked: bool,
    pub(crate) is_meta_unlinked: bool,
    /// It passed the check after its SEAL.
    pub(crate) has_served: bool,
    /// What was answered, or delivered.
    pub(crate) confirmed: u8,
}

/// How many writes at the start are durable.
fn durable_count(mut writes: impl Iterator<Item = Write>) -> u8 {
    let mut count = 0;
    while writes.next() == Some(Write::Durable) {
        count += 1;
    }
    count
}

impl Row {
    pub(crate) fn data_issued(&self) -> u8 {
        self.data.iter().filter(|batch| batch.write != Write::Absent).count() as u8
    }

    pub(crate) fn data_in_flight(&self) -> u8 {
        self.data_issued() - self.data.iter().filter(|batch| batch.write == Write::Durable).count() as u8
    }

    pub(crate) fn meta_issued(&self) -> u8 {
        self.meta.iter().filter(|(write, _)| *write != Write::Absent).count() as u8
    }

    pub(crate) fn meta_in_flight(&self) -> u8 {
        self.meta_issued() - self.meta.iter().filter(|(write, _)| *write == Write::Durable).count() as u8
    }

    /// Through here its own lane is durable without a gap.
    pub(crate) fn durable_through(&self) -> u8 {
        self.first_lsn - 1 + durable_count(self.data.iter().map(|batch| batch.write))
    }

    pub(crate) fn meta_durable(&self) -> u8 {
        durable_count(self.meta.iter().map(|(write, _)| *write))
    }

    pub(crate) fn next_lsn(&self) -> u8 {
        self.first_lsn + self.data_issued()
    }

    /// Through here it served what it inherited.
    pub(crate) fn recovered_through(&self) -> u8 {
        self.first_lsn - 1 + self.copies
    }

    /// Everything of this epoch and before it is declared dead, by intents that were issued; 0: nothing.
    pub(crate) fn dead_through(&self) -> u8 {
        let through = |meta: &(Write, Meta)| match meta.1 {
            Meta::Unlink { through } => through,
            _ => 0,
        };
        self.meta.iter().map(through).max().unwrap_or(0)
    }
}

/// What a process does.
///
/// ```text
/// Down --> Prepared --> Linked --> Marking <--> Marked --> Named --> Reading <--> Stopped --> Copying --> Sealing --> Serving
///  ^          |            |          |           |          |          |            |           |           |          |
///  +----------+------------+----------+-----------+----------+----------+------------+-----------+-----------+----------+
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Not running, or it only watches: it knows nothing.
    #[default]
    Down,
    /// It saw the newest owner and made its files.
    Prepared,
    /// It made the owner's name.
    Linked,
    /// Its mark is on the way to slot `at`.
    Marking,
    /// Its mark is there; it will read the metadata of epoch `at - 1`.
    Marked,
    /// It found the SEAL of epoch `at`; it will read the runs that the SEAL names.
    Named,
    /// It reads the run of epoch `at`; `seen` batches so far.
    Reading,
    /// The next batch is not there; it will look behind that place.
    Stopped,
    /// It writes what it inherited to its own run.
    Copying,
    /// It issued its SEAL.
    Sealing,
    Serving,
    /// It found damage. There is none in the model, so this is a violation.
    Refused,
}

/// The check of the slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Check {
    #[default]
    None,
    /// The read is on the way.
    Submitted { data: u8, meta: u8 },
    /// The slot was unclaimed when it was read; the answer is on the way.
    Passed { data: u8, meta: u8 },
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Process {
    pub(crate) epoch: u8,
    pub(crate) phase: Phase,
    /// The number of its row: its epoch, unless two took the same epoch.
    pub(crate) row: u8,
    pub(crate) at: u8,
    pub(crate) seen: u8,
    /// The highest durable-through that it read.
    pub(crate) durable_through: u8,
    pub(crate) check: Check,
    /// How many records of its metadata are confirmable.
    pub(crate) meta_confirmable: u8,
}

/// Records by sequence number; index 0 is unused.
pub(crate) type Log = [Record; LSNS + 1];

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    /// `owner.1` and so on.
    pub(crate) owners: [Name; EPOCHS],
    /// The marks in `slot.1` and so on.
    pub(crate) marks: [Write; EPOCHS + 1],
    pub(crate) rows: [Row; EPOCHS],
    /// Sorted: a process has no identity but what it does.
    pub(crate) processes: Vec<Process>,
}

impl State {
    pub(crate) fn new(processes: usize) -> Self {
        Self {
            owners: Default::default(),
            marks: Default::default(),
            rows: Default::default(),
            processes: vec![Process::default(); processes],
        }
    }

    pub(crate) fn row(&self, number: u8) -> &Row {
        &self.rows[usize::from(number) - 1]
    }

    pub(crate) fn row_mut(&mut self, number: u8) -> &mut Row {
        &mut self.rows[usize::from(number) - 1]
    }

    pub(crate) fn mark(&self, slot: u8) -> Write {
        self.marks[usize::from(slot) - 1]
    }

    pub(crate) fn mark_mut(&mut self, slot: u8) -> &mut Write {
        &mut self.marks[usize::from(slot) - 1]
    }

    /// The newest epoch that somebody owns.
    pub(crate) fn newest(&self) -> u8 {
        self.owners.iter().rposition(|name| *name != Name::Absent).map_or(0, |index| index as u8 + 1)
    }

    /// All that the owner of `row` holds: what it inherited, then its own records.
    pub(crate) fn log(&self, row: &Row) -> Log {
        let mut log = Log::default();
        let mut first = row.first_lsn;
        let runs = self.rows.iter().zip(row.ends).filter(|(_, end)| *end > 0);
        for (older, lsn) in runs.flat_map(|(older, end)| (older.first_lsn..end).map(move |lsn| (older, lsn))) {
            first = first.min(lsn);
            let place = &mut log[usize::from(lsn)];
            if *place == Record::None {
                *place = older.data[usize::from(lsn - older.first_lsn)].record;
            }
        }
        for (lsn, batch) in (row.first_lsn..).zip(&row.data).take(usize::from(row.data_issued())) {
            let place = &mut log[usize::from(lsn)];
            if *place == Record::None {
                *place = batch.record;
            }
        }
        log[1..usize::from(first)].fill(Record::Gone);
        log
    }
}
