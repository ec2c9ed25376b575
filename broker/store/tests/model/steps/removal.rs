//! Rule 16: checkpoints, what is dead by them, and what a claimant makes of them.
//!
//! Owns the places where a mutant leaves that rule. The order of all steps is in `steps`.

use super::Turn;
use crate::mutants::Mutant;
use crate::state::{CHECKPOINTS, Checkpoint, Held, Installed, Live, Meta, Name, Phase, Record, Row, Write};

impl Turn<'_> {
    pub(super) fn keep(&mut self, installed: &[Installed]) {
        let mut found = [Installed::default(); CHECKPOINTS];
        found[CHECKPOINTS - installed.len()..].copy_from_slice(installed);
        self.row_mut().found = found;
    }

    /// The newest checkpoint has rotted. Only claimants look at it, so that happens when one does; once in all, and only
    /// where the one before it is there: that is kept for this.
    pub(super) fn fall_back(&mut self) -> Option<()> {
        let [before, newest] = self.row().found;
        let are_there =
            before.row > 0 && self.state.checkpoint(before).reads() && self.state.checkpoint(newest).reads();
        if self.state.has_rotted || !are_there {
            return None;
        }
        self.state.has_rotted = true;
        *self.state.checkpoint_mut(newest) = Checkpoint::default();
        self.read_runs()
    }

    /// Takes the newest checkpoint that reads, or none where there is none. `None`: there should be one.
    pub(super) fn load_checkpoint(&mut self) -> Option<()> {
        let mut found: Vec<Installed> = self.row().found.iter().copied().filter(|found| found.row > 0).collect();
        if found.is_empty() {
            return Some(());
        }
        let tries = if self.is(Mutant::NoFallback) { 1 } else { CHECKPOINTS };
        for _ in 0..tries {
            let newest = *found.last()?;
            let file = self.state.checkpoint(newest);
            if file.reads() {
                let (live, oldest) = (file.live, found[0].row);
                self.keep(&found);
                let row = self.row_mut();
                (row.base, row.live) = (newest.row, live);
                row.ends[..usize::from(oldest) - 1].fill(0);
                return Some(());
            }
            found.pop();
        }
        None
    }

    /// What is live by the records that count.
    fn live(&self, counts_unconfirmed: bool) -> Live {
        let row = self.row();
        self.state.live(self.me.row, if counts_unconfirmed { row.next_lsn() - 1 } else { row.confirmed })
    }

    /// Before the run of this row nothing is read again by whoever comes.
    fn covered(&self) -> u8 {
        let count = match self.model.mutant {
            Mutant::UnlinkBeforeRecordIsDurable => self.row().meta_issued(),
            Mutant::UnlinkBeforeCheck => self.row().meta_durable(),
            _ => self.me.meta_confirmable,
        };
        let installed = self.row().installed(self.me.row, usize::from(count));
        let kept = if self.is(Mutant::UnlinkByNewest) { 1 } else { CHECKPOINTS };
        match installed.len().checked_sub(kept) {
            _ if self.is(Mutant::UnlinkWithoutCheckpoint) => self.me.row,
            Some(at) => installed[at].row,
            None => 0,
        }
    }

    /// The oldest run before that of row `covered` in which nothing is live.
    fn dead(&self, covered: u8) -> Option<u8> {
        let (row, mut live) = (self.row(), self.live(self.is(Mutant::DeadByUnconfirmed)));
        if self.is(Mutant::CopyCountsUnconfirmed) {
            let admitted = self.live(true);
            live.iter_mut().zip(admitted).filter(|(_, of)| of.by > 0).for_each(|(held, of)| *held = of);
        }
        (1..covered.min(self.me.row)).find(|number| {
            let is_known = row.ends[usize::from(*number) - 1] > 0 || row.live.iter().any(|held| held.place == *number);
            let is_there = is_known && !self.state.row(*number).is_data_unlinked;
            is_there && live.iter().all(|held| held.place != *number)
        })
    }

    /// Removes the oldest run that is dead and covered.
    pub(super) fn unlink(&mut self) -> Option<()> {
        let dead = self.dead(self.covered())?;
        self.state.row_mut(dead).is_data_unlinked = true;
        Some(())
    }

    /// Writes a message of an older run once more, so that the run may die.
    pub(super) fn copy_forward(&mut self, lsn: u8) -> Option<()> {
        let held = self.live(false)[usize::from(lsn)];
        let is_pending = self.state.live(self.me.row, self.row().next_lsn() - 1)[usize::from(lsn)] != held;
        let is_old = held.place > 0 && held.place != self.me.row;
        (is_old && !is_pending).then(|| self.admit(Record::Copy { lsn, by: held.by }))?
    }

    /// Writes the file of a checkpoint: what is live before our own run. Whoever reads it reads our run as well.
    pub(super) fn checkpoint(&mut self) -> Option<()> {
        let (number, is_reduced) = (self.me.row, self.model.reduces);
        if self.row().checkpoints[0].write != Write::Absent && self.dead(number).is_none() {
            // Another one at the same place is worth it when it lets go of something.
            return None;
        }
        // What it knows of our own records changes nothing: they are read again.
        let is_early = self.is(Mutant::CheckpointOfUnconfirmed);
        let mut live = match is_reduced && !is_early {
            true => self.state.live(number, self.row().first_lsn - 1),
            false => self.live(is_early),
        };
        live.iter_mut().filter(|held| held.place == number).for_each(|held| *held = Held::default());
        let file = self.row_mut().checkpoints.iter_mut().find(|file| file.write == Write::Absent)?;
        // Nobody looks at it until it is durable and its record is issued.
        file.write = if is_reduced { Write::Durable } else { Write::InFlight };
        file.live = live;
        if is_reduced { self.install() } else { Some(()) }
    }

    /// Gives it its name, durably, and issues the record that says so.
    pub(super) fn install(&mut self) -> Option<()> {
        let is_early = self.is(Mutant::RecordBeforeFileIsDurable);
        let at = self.row().checkpoints.iter().position(|file| file.name == Name::Absent)?;
        let name = if self.is(Mutant::RecordBeforeNameIsDurable) { Name::Linked } else { Name::Synced };
        let file = &mut self.row_mut().checkpoints[at];
        if file.write != Write::Durable && !(is_early && file.write != Write::Absent) {
            return None;
        }
        file.name = name;
        self.write_meta(Meta::Checkpoint { at: at as u8 })
    }

    /// Removes what our SEAL and our checkpoints do not name, and the metadata that the SEAL supersedes.
    pub(super) fn sweep(&mut self) -> Option<()> {
        let is_early = self.is(Mutant::SweepBeforeCheck) && self.row().meta_durable() > 0;
        if self.me.phase != Phase::Serving && !is_early {
            return None;
        }
        let (Row { ends, live, .. }, older) = (self.row().clone(), usize::from(self.me.epoch) - 1);
        let rows = (1..).zip(&mut self.state.rows[..older]).zip(ends);
        let mut rows = rows.filter(|((_, row), _)| !row.is_meta_unlinked).peekable();
        rows.peek()?;
        rows.for_each(|((number, row), end)| {
            row.is_meta_unlinked = true;
            row.is_data_unlinked |= end == 0 && live.iter().all(|held| held.place != number);
        });
        Some(())
    }
}
