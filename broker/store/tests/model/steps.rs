//! The steps that a process, or the storage, can take. One step is one effect on the storage.
//!
//! Owns the rules 6 to 11, each with the places where a mutant leaves it; rule 16 is in `removal`, rule 21 in `rebasing`.

mod rebasing;
mod removal;

use crate::epochs::Epochs;
use crate::mutants::Mutant;
use crate::state::{BATCHES, CHECKPOINTS, Check, EPOCHS, Meta, Name, Phase, Process, Record, Row, State, Write};

/// What a process does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Prepare,
    Link,
    Sync,
    Mark,
    ReadBase,
    ReadMeta,
    ReadRuns,
    FallBack,
    ReadBatch,
    LookBehind,
    Copy,
    Seal,
    SubmitCheck,
    ReadSlot,
    Answer,
    Publish,
    Acknowledge { lsn: u8 },
    CopyForward { lsn: u8 },
    Unlink,
    Sweep,
    Checkpoint,
    Install,
    Repeat,
    Rebase,
    Cut,
    Die,
}

/// What may follow in each phase, removals and acknowledgements aside.
pub(crate) fn possible(phase: Phase) -> &'static [Step] {
    match phase {
        Phase::Down => &[Step::Prepare],
        Phase::Prepared => &[Step::Link, Step::Die],
        Phase::Linked => &[Step::Sync, Step::Die],
        Phase::Marking => &[Step::Mark, Step::Die],
        Phase::Marked => &[Step::ReadBase, Step::ReadMeta, Step::Die],
        Phase::Based => &[Step::ReadMeta, Step::Die],
        Phase::Named => &[Step::ReadRuns, Step::Die],
        Phase::Reading => &[Step::ReadBatch, Step::Die],
        Phase::Stopped => &[Step::LookBehind, Step::Die],
        Phase::Copying => &[Step::Copy, Step::Seal, Step::Die],
        Phase::Sealing => &[Step::SubmitCheck, Step::ReadSlot, Step::Answer, Step::Die],
        Phase::Serving => &[Step::SubmitCheck, Step::ReadSlot, Step::Answer, Step::Publish, Step::Die],
        Phase::Refused => &[],
    }
}

/// One step of a process, with its row at hand.
pub(crate) struct Turn<'a> {
    pub(crate) model: &'a Epochs,
    pub(crate) state: &'a mut State,
    pub(crate) me: Process,
}

impl Turn<'_> {
    fn is(&self, mutant: Mutant) -> bool {
        self.model.mutant == mutant
    }

    fn row(&self) -> &Row {
        self.state.row(self.me.row)
    }

    fn row_mut(&mut self) -> &mut Row {
        self.state.row_mut(self.me.row)
    }

    fn is_claimed(&self) -> bool {
        self.state.mark(self.me.epoch + 1).is_visible()
    }

    fn down(&mut self) -> Option<()> {
        self.me = Process::default();
        Some(())
    }

    /// Something is not there. A claimant that was overtaken leaves; any other has found damage.
    fn missing(&mut self) -> Option<()> {
        if self.is_claimed() {
            return self.down();
        }
        self.me.phase = Phase::Refused;
        Some(())
    }

    /// Takes `step`; `None`: it is not possible now.
    pub(crate) fn take(&mut self, step: Step) -> Option<()> {
        match step {
            Step::Prepare => self.prepare(),
            Step::Link => self.link(),
            Step::Sync => self.sync(),
            Step::Mark => self.marked(),
            Step::ReadBase => self.read_base(),
            Step::ReadMeta => self.read_meta(),
            Step::ReadRuns => self.read_runs(),
            Step::FallBack => self.fall_back(),
            Step::ReadBatch => self.read_batch(),
            Step::LookBehind => self.look_behind(),
            Step::Copy => self.copy(),
            Step::Seal => self.seal(),
            Step::SubmitCheck => self.submit_check(),
            Step::ReadSlot => self.read_slot(),
            Step::Answer => self.answer(),
            Step::Publish => self.publish(),
            Step::Acknowledge { lsn } => self.acknowledge(lsn),
            Step::CopyForward { lsn } => self.copy_forward(lsn),
            Step::Unlink => self.unlink(),
            Step::Sweep => self.sweep(),
            Step::Checkpoint => self.checkpoint(),
            Step::Install => self.install(),
            Step::Repeat => self.repeat(),
            Step::Rebase => self.rebase(),
            Step::Cut => self.cut(),
            Step::Die => self.down(),
        }
    }

    // --- rule 6 ------------------------------------------------------------------------------------------------

    /// Sees the newest owner, makes the first segments and the next slot, and syncs their directory.
    fn prepare(&mut self) -> Option<()> {
        let epoch = self.state.newest() + 1;
        if epoch > self.model.bounds.epochs {
            return None;
        }
        if !self.is(Mutant::OlderNameNotSynced) {
            sync(&mut self.state.owners);
        }
        self.me = Process { phase: Phase::Prepared, epoch, ..Process::default() };
        // Until it links, it does nothing; and when it comes too late, it leaves.
        if self.model.reduces { self.link() } else { Some(()) }
    }

    fn link(&mut self) -> Option<()> {
        let epoch = self.me.epoch;
        let row = match self.state.owners[usize::from(epoch) - 1] {
            Name::Absent => epoch,
            _ if self.is(Mutant::TakenIsMine) && self.state.rows[EPOCHS - 1].epoch == 0 => EPOCHS as u8,
            _ => return self.down(),
        };
        if row == epoch {
            self.state.owners[usize::from(epoch) - 1] = Name::Linked;
        }
        self.state.row_mut(row).epoch = epoch;
        (self.me.row, self.me.phase) = (row, Phase::Linked);
        Some(())
    }

    fn sync(&mut self) -> Option<()> {
        if !self.is(Mutant::OwnNameNotSynced) {
            sync(&mut self.state.owners);
        }
        self.start_mark(self.me.epoch)
    }

    // --- rule 7 ------------------------------------------------------------------------------------------------

    fn start_mark(&mut self, slot: u8) -> Option<()> {
        (self.me.at, self.me.phase) = (slot, Phase::Marking);
        self.me.has_base = self.is(Mutant::BaseReadBeforeMark) && self.sees_base(slot - 1);
        if self.is(Mutant::MarkOnlyOwnSlot) && slot < self.me.epoch {
            self.me.phase = Phase::Marked;
            return Some(());
        }
        let mark = self.state.mark_mut(slot);
        *mark = (*mark).max(Write::InFlight);
        if self.is(Mutant::ReadBeforeMark) {
            self.me.phase = Phase::Marked;
        }
        Some(())
    }

    fn marked(&mut self) -> Option<()> {
        let mark = self.state.mark_mut(self.me.at);
        if self.model.mutant != Mutant::ReadBeforeMarkIsDurable {
            *mark = Write::Durable;
        } else if !mark.is_visible() {
            return None;
        }
        self.me.phase = Phase::Marked;
        Some(())
    }

    fn read_meta(&mut self) -> Option<()> {
        if self.me.phase == Phase::Marked && self.model.bounds.rebases {
            return None;
        }
        let older = self.me.at - 1;
        if older == 0 {
            return self.inherit_nothing();
        }
        let row = self.state.row(older);
        if self.state.owners[usize::from(older) - 1] == Name::Absent || row.is_meta_unlinked {
            return self.missing();
        }
        let first = row.repeat().filter(|_| self.me.has_base).unwrap_or(0);
        let seen = row.meta[first..].iter().take_while(|(write, _)| write.is_visible()).count();
        // The base says that what is repeated was durable.
        if row.is_meta_cut && !self.me.has_base || seen == 0 && self.me.has_base {
            return self.missing();
        }
        if seen == 0 {
            return if self.is(Mutant::WalkEndsAtOnce) { self.inherit_nothing() } else { self.start_mark(older) };
        }
        let (ends, durable_through) = (row.ends, row.recovered_through());
        let mut installed = row.installed(older, first + seen);
        if self.is(Mutant::CheckpointsNotRepeatedInMetadata) && self.me.has_base {
            let before = row.installed(older, first).len();
            installed.drain(..before);
        }
        if self.is(Mutant::CheckpointsNotRepeated) {
            installed.retain(|checkpoint| checkpoint.row == older);
        }
        installed.drain(..installed.len().saturating_sub(CHECKPOINTS));
        self.row_mut().ends = ends;
        self.keep(&installed);
        self.me.has_base = false;
        (self.me.at, self.me.durable_through, self.me.phase) = (older, durable_through, Phase::Named);
        if !self.model.bounds.removes {
            // Nothing that a SEAL names changes any more.
            return self.read_runs();
        }
        Some(())
    }

    fn inherit_nothing(&mut self) -> Option<()> {
        self.row_mut().first_lsn = 1;
        self.begin()
    }

    // --- rules 8, 9, 10 ----------------------------------------------------------------------------------------

    /// Reads the runs whose ends are known, from the newest checkpoint on. All in them was durable.
    fn read_runs(&mut self) -> Option<()> {
        if self.load_checkpoint().is_none() {
            return self.missing();
        }
        let Row { mut ends, base, .. } = *self.row();
        let runs = (1..).zip(&self.state.rows).zip(&mut ends);
        for ((_, older), end) in runs.filter(|((number, _), end)| **end > 0 && *number >= base) {
            let batches = usize::from(*end - older.first_lsn);
            let is_whole = older.data[..batches].iter().all(|batch| batch.write.is_visible());
            if older.is_data_unlinked || !is_whole {
                return self.missing();
            }
            if self.model.mutant == Mutant::ReadBeyondEnds {
                *end += older.data[batches..].iter().take_while(|batch| batch.write.is_visible()).count() as u8;
            }
        }
        if self.state.row(self.me.at).is_data_unlinked {
            return self.missing();
        }
        self.row_mut().ends = ends;
        self.me.phase = Phase::Reading;
        Some(())
    }

    fn read_batch(&mut self) -> Option<()> {
        let batch =
            self.state.row(self.me.at).data.get(usize::from(self.me.seen)).filter(|batch| batch.write.is_visible());
        match batch {
            Some(batch) => {
                self.me.durable_through = self.me.durable_through.max(batch.durable_through);
                self.me.seen += 1;
            }
            None => self.me.phase = Phase::Stopped,
        }
        Some(())
    }

    fn look_behind(&mut self) -> Option<()> {
        let older = self.state.row(self.me.at);
        let lsn = older.first_lsn + self.me.seen;
        let behind = older.data.iter().skip(usize::from(self.me.seen) + 1).filter(|batch| batch.write.is_visible());
        let claimed = behind.clone().map(|batch| batch.durable_through).max().unwrap_or(0).max(self.me.durable_through);
        let is_gap = behind.count() > 0;
        if is_gap && self.is(Mutant::TakeBehindGap) {
            self.me.seen += 1;
            self.me.phase = Phase::Reading;
            Some(())
        } else if claimed >= lsn || (is_gap && self.is(Mutant::GapIsDamage)) {
            // What a batch claims to be durable is there by now: the place is read again.
            let batch = older.data.get(usize::from(self.me.seen));
            let is_there = batch.is_some_and(|batch| batch.write.is_visible()) && !self.is(Mutant::NoSecondLook);
            if !is_there {
                return self.missing();
            }
            self.me.phase = Phase::Reading;
            Some(())
        } else {
            self.inherit()
        }
    }

    /// The journal ends here: decides what is copied and what the SEAL will say.
    fn inherit(&mut self) -> Option<()> {
        let older = self.state.row(self.me.at).clone();
        let seen_through = older.first_lsn - 1 + self.me.seen;
        let durable = if self.is(Mutant::NoCopy) { seen_through } else { self.me.durable_through.min(seen_through) };
        let (is_lonely, at) = (self.is(Mutant::SealOnlyPredecessor), usize::from(self.me.at) - 1);
        let skips_gaps = self.is(Mutant::TakeBehindGap);
        let row = self.row_mut();
        if is_lonely {
            row.ends = [0; EPOCHS];
        }
        if durable >= older.first_lsn {
            row.ends[at] = durable + 1;
        }
        row.first_lsn = durable + 1;
        row.copies = seen_through - durable;
        for index in 0..row.copies {
            let batch = older.data[usize::from(durable + 1 + index - older.first_lsn)];
            row.data[usize::from(index)].record =
                if skips_gaps && !batch.write.is_visible() { Record::None } else { batch.record };
        }
        self.begin()
    }

    fn begin(&mut self) -> Option<()> {
        let Process { epoch, row, .. } = self.me;
        self.me = Process { phase: Phase::Copying, epoch, row, ..Process::default() };
        Some(())
    }

    fn copy(&mut self) -> Option<()> {
        (self.row().data_issued() < self.row().copies).then(|| self.write_data())?
    }

    fn seal(&mut self) -> Option<()> {
        let row = self.row();
        let copied =
            if self.is(Mutant::SealBeforeCopiesAreDurable) { row.next_lsn() - 1 } else { row.durable_through() };
        if copied < row.recovered_through() {
            return None;
        }
        self.me.phase = Phase::Sealing;
        self.write_meta(Meta::Seal)
    }

    // --- rule 11 -----------------------------------------------------------------------------------------------

    fn submit_check(&mut self) -> Option<()> {
        let row = self.row();
        let (mut data, mut meta) = (row.durable_through(), row.meta_durable());
        if self.is(Mutant::ConfirmOverGap) {
            let last = row.data.iter().rposition(|batch| batch.write == Write::Durable);
            data = last.map_or(data, |index| row.first_lsn + index as u8);
        }
        if self.is(Mutant::CheckBeforeSealIsDurable) {
            meta = meta.max(1);
        }
        let base = self.notes_base();
        let has_news = meta > self.me.meta_confirmable || data > row.confirmed || base && !self.me.is_base_checked;
        if self.me.check != Check::None || !has_news || meta == 0 {
            return None;
        }
        if self.model.reduces && self.state.mark(self.me.epoch + 1) == Write::Durable {
            // It would find the slot claimed and leave: it may as well die.
            return None;
        }
        let is_unchecked = match self.me.phase {
            Phase::Sealing => self.is(Mutant::ServeWithoutCheck),
            _ => self.is(Mutant::ConfirmWithoutCheck),
        };
        if is_unchecked {
            return self.confirm(data, meta, base);
        }
        self.me.check = Check::Submitted { data, meta, base };
        Some(())
    }

    fn read_slot(&mut self) -> Option<()> {
        let Check::Submitted { data, meta, base } = self.me.check else { return None };
        if self.is_claimed() {
            return self.down();
        }
        self.me.check = Check::Passed { data, meta, base };
        // The sooner it confirms, the more must hold; and nothing is possible only while the answer is on its way.
        if self.model.reduces { self.answer() } else { Some(()) }
    }

    fn answer(&mut self) -> Option<()> {
        let Check::Passed { data, meta, base } = self.me.check else { return None };
        self.me.check = Check::None;
        if self.is(Mutant::ConfirmWhatCameLater) {
            self.confirm(self.row().durable_through(), self.row().meta_durable(), base)
        } else {
            self.confirm(data, meta, base)
        }
    }

    fn confirm(&mut self, data: u8, meta: u8, base: bool) -> Option<()> {
        self.me.phase = Phase::Serving;
        self.me.meta_confirmable = meta;
        self.me.is_base_checked |= base;
        self.row_mut().has_served = true;
        self.row_mut().confirmed = data;
        if self.model.removes_at_once() {
            while self.sweep().is_some() || self.unlink().is_some() || self.cut().is_some() {}
        }
        Some(())
    }

    // --- serving -----------------------------------------------------------------------------------------------

    fn publish(&mut self) -> Option<()> {
        self.admit(Record::Publish { by: self.me.row })
    }

    fn acknowledge(&mut self, lsn: u8) -> Option<()> {
        let through = self.row().next_lsn() - 1;
        let is_live = lsn <= self.row().confirmed && self.state.live(self.me.row, through)[usize::from(lsn)].by > 0;
        is_live.then(|| self.admit(Record::Acknowledge { lsn, by: self.me.row }))?
    }

    fn admit(&mut self, record: Record) -> Option<()> {
        let index = usize::from(self.row().data_issued());
        if index >= BATCHES || self.row().next_lsn() > self.model.bounds.lsns {
            return None;
        }
        self.row_mut().data[index].record = record;
        let written = self.write_data();
        if written.is_none() {
            self.row_mut().data[index].record = Record::None;
        }
        written
    }

    fn write_data(&mut self) -> Option<()> {
        let index = usize::from(self.row().data_issued());
        if index >= BATCHES || self.row().data_in_flight() >= self.model.bounds.in_flight {
            return None;
        }
        let mut durable_through = self.row().durable_through();
        if self.is(Mutant::DurableThroughOverGap) {
            let last = self.row().data.iter().rposition(|batch| batch.write == Write::Durable);
            durable_through = last.map_or(durable_through, |index| self.row().first_lsn + index as u8);
        }
        let batch = &mut self.row_mut().data[index];
        (batch.write, batch.durable_through) = (Write::InFlight, durable_through);
        Some(())
    }

    fn write_meta(&mut self, meta: Meta) -> Option<()> {
        let index = usize::from(self.row().meta_issued());
        if index >= BATCHES || self.row().meta_in_flight() >= self.model.bounds.in_flight {
            return None;
        }
        self.row_mut().meta[index] = (Write::InFlight, meta);
        Some(())
    }
}

/// Syncs the directory of the owners.
fn sync(names: &mut [Name]) {
    names.iter_mut().filter(|name| **name == Name::Linked).for_each(|name| *name = Name::Synced);
}
