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

/// Checkpoints that an epoch can write, and that are kept.
pub(crate) const CHECKPOINTS: usize = 2;

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
    /// A message of `by` that is live, once more.
    Copy {
        lsn: u8,
        by: u8,
    },
    /// It lay in a segment that is not read any more.
    Gone,
}

/// A record of the metadata. The content of a SEAL, the checkpoints that were found and are repeated before it, and those
/// of the epoch itself are in the row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Meta {
    #[default]
    None,
    Seal,
    /// The checkpoint of this epoch is installed.
    Checkpoint {
        at: u8,
    },
    /// The SEAL and the newest checkpoints once more, in another segment.
    Repeat,
}

/// A live message: who admitted it, and the row of the run in which it lies. 0: none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Held {
    pub(crate) by: u8,
    pub(crate) place: u8,
}

/// Live messages by sequence number; index 0 is unused.
pub(crate) type Live = [Held; LSNS + 1];

/// The file of a checkpoint: what was live before the run of the epoch that wrote it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Checkpoint {
    pub(crate) write: Write,
    pub(crate) name: Name,
    pub(crate) live: Live,
}

impl Checkpoint {
    pub(crate) fn reads(&self) -> bool {
        self.write.is_visible() && self.name != Name::Absent
    }
}

/// A checkpoint: the row of the epoch that wrote it, before whose run it stands, and which of its files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Installed {
    /// 0: none.
    pub(crate) row: u8,
    pub(crate) at: u8,
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
    /// The base: its metadata begins where it is repeated.
    pub(crate) rebase: Write,
    pub(crate) checkpoints: [Checkpoint; CHECKPOINTS],
    /// The checkpoints that it found and repeats, oldest first, 0 before.
    pub(crate) found: [Installed; CHECKPOINTS],
    /// Of the checkpoint from which it recovered: the row before whose run that stands, and what was live. 0: without one.
    pub(crate) base: u8,
    pub(crate) live: Live,
    pub(crate) is_data_unlinked: bool,
    pub(crate) is_meta_unlinked: bool,
    /// The metadata before the base is removed.
    pub(crate) is_meta_cut: bool,
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

    /// Which record of the metadata repeats it.
    pub(crate) fn repeat(&self) -> Option<usize> {
        self.meta.iter().position(|(write, meta)| *write != Write::Absent && *meta == Meta::Repeat)
    }

    pub(crate) fn next_lsn(&self) -> u8 {
        self.first_lsn + self.data_issued()
    }

    /// Through here it served what it inherited.
    pub(crate) fn recovered_through(&self) -> u8 {
        self.first_lsn - 1 + self.copies
    }

    /// The checkpoints that the first `count` records of the metadata of row `number` tell of, oldest first.
    pub(crate) fn installed(&self, number: u8, count: usize) -> Vec<Installed> {
        let own = self.meta[..count].iter().filter_map(|(_, meta)| match meta {
            Meta::Checkpoint { at } => Some(Installed { row: number, at: *at }),
            _ => None,
        });
        self.found.iter().copied().filter(|found| found.row > 0).chain(own).collect()
    }
}

/// What a process does.
///
/// ```text
/// Down --> Prepared --> Linked --> Marking <--> Marked --> Named --> Reading <--> Stopped --> Copying --> Sealing --> Serving
///  ^          |            |        ^ |           |  |       ^ |        |            |           |           |          |
///  |          |            |        | |           |  v       | |        |            |           |           |          |
///  |          |            |        +-+-----------+ Based ---+ |        |            |           |           |          |
///  |          |            |          |           |    |       |        |            |           |           |          |
///  +----------+------------+----------+-----------+----+-------+--------+------------+-----------+-----------+----------+
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
    /// It knows where that begins, if metadata is removed at all.
    Based,
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
    Submitted { data: u8, meta: u8, base: bool },
    /// The slot was unclaimed when it was read; the answer is on the way.
    Passed { data: u8, meta: u8, base: bool },
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
    /// A check passed that began when its base was durable.
    pub(crate) is_base_checked: bool,
    /// A claimant: the metadata that it is about to read has a base.
    pub(crate) has_base: bool,
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
    /// A checkpoint has rotted.
    pub(crate) has_rotted: bool,
}

impl State {
    pub(crate) fn new(processes: usize) -> Self {
        Self {
            owners: Default::default(),
            marks: Default::default(),
            rows: Default::default(),
            processes: vec![Process::default(); processes],
            has_rotted: false,
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

    pub(crate) fn checkpoint(&self, installed: Installed) -> &Checkpoint {
        &self.row(installed.row).checkpoints[usize::from(installed.at)]
    }

    pub(crate) fn checkpoint_mut(&mut self, installed: Installed) -> &mut Checkpoint {
        &mut self.row_mut(installed.row).checkpoints[usize::from(installed.at)]
    }

    /// The records that the owner of row `number` read or wrote: sequence number, record, and the row in which it lies.
    fn records(&self, number: u8) -> impl Iterator<Item = (u8, Record, u8)> {
        let row = self.row(number);
        let runs = (1..).zip(&self.rows).zip(row.ends).filter(|((of, _), end)| *end > 0 && *of >= row.base);
        let inherited = runs.flat_map(|((of, older), end)| (older.first_lsn..end).map(move |lsn| (lsn, older, of)));
        let own = (row.first_lsn..).take(usize::from(row.data_issued())).map(move |lsn| (lsn, row, number));
        inherited.chain(own).map(|(lsn, row, of)| (lsn, row.data[usize::from(lsn - row.first_lsn)].record, of))
    }

    /// All that the owner of row `number` holds: what it inherited, then its own records.
    pub(crate) fn log(&self, number: u8) -> Log {
        let row = self.row(number);
        let mut log = Log::default();
        let mut first = row.first_lsn;
        for (lsn, record, _) in self.records(number) {
            first = first.min(lsn);
            let place = &mut log[usize::from(lsn)];
            if *place == Record::None {
                *place = record;
            }
        }
        let copies = log.into_iter().filter_map(|record| match record {
            Record::Copy { lsn, by } if lsn < first => Some((usize::from(lsn), by)),
            _ => None,
        });
        let known = row.live.iter().enumerate().filter(|(_, held)| held.by > 0).map(|(lsn, held)| (lsn, held.by));
        for (lsn, by) in known.chain(copies).collect::<Vec<_>>() {
            log[lsn] = Record::Publish { by };
        }
        log[1..usize::from(first)].iter_mut().filter(|of| **of == Record::None).for_each(|of| *of = Record::Gone);
        log
    }

    /// What is live by the records through `through` that the owner of row `number` holds, and where it lies.
    pub(crate) fn live(&self, number: u8, through: u8) -> Live {
        let mut live = self.row(number).live;
        let records: Vec<_> = self.records(number).filter(|(lsn, ..)| *lsn <= through).collect();
        for (lsn, record, place) in &records {
            match record {
                Record::Publish { by } => live[usize::from(*lsn)] = Held { by: *by, place: *place },
                Record::Copy { lsn, by } => live[usize::from(*lsn)] = Held { by: *by, place: *place },
                _ => {}
            }
        }
        for (_, record, _) in &records {
            if let Record::Acknowledge { lsn, .. } = record {
                live[usize::from(*lsn)] = Held::default();
            }
        }
        live
    }
}
