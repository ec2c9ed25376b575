//! Rule 21: metadata is repeated, the base says so, and what lies before it goes.
//!
//! Owns the places where a mutant leaves that rule. The order of all steps is in `steps`.

use super::Turn;
use crate::mutants::Mutant;
use crate::state::{Meta, Name, Phase, Write};

impl Turn<'_> {
    /// Whether a claimant that looks now sees a base of epoch `older`.
    pub(super) fn sees_base(&self, older: u8) -> bool {
        older > 0 && self.state.row(older).rebase.is_visible()
    }

    /// Looks where the metadata of the epoch below begins.
    pub(super) fn read_base(&mut self) -> Option<()> {
        if !self.model.bounds.rebases {
            return None;
        }
        let older = self.me.at - 1;
        if older == 0 {
            return self.inherit_nothing();
        }
        if self.state.owners[usize::from(older) - 1] == Name::Absent {
            return self.missing();
        }
        if !self.is(Mutant::BaseReadBeforeMark) {
            self.me.has_base = self.sees_base(older);
        }
        self.me.phase = Phase::Based;
        Some(())
    }

    /// Writes what a successor needs of the metadata once more.
    pub(super) fn repeat(&mut self) -> Option<()> {
        self.row().repeat().is_none().then(|| self.write_meta(Meta::Repeat))?
    }

    /// Says in the owner's file that the metadata begins with what was repeated.
    pub(super) fn rebase(&mut self) -> Option<()> {
        let row = self.row();
        let is_early = self.is(Mutant::BaseBeforeRepeatIsDurable);
        let repeated = if is_early { row.meta_issued() } else { row.meta_durable() };
        if row.rebase != Write::Absent || row.repeat().is_none_or(|at| at >= usize::from(repeated)) {
            return None;
        }
        self.row_mut().rebase = Write::InFlight;
        Some(())
    }

    /// Whether the base counts for a check that is submitted now.
    pub(super) fn notes_base(&self) -> bool {
        match self.row().rebase {
            Write::Absent => false,
            Write::Durable => true,
            _ => self.is(Mutant::CutBeforeBaseIsDurable),
        }
    }

    /// Removes the metadata before the base.
    pub(super) fn cut(&mut self) -> Option<()> {
        let is_checked = self.me.is_base_checked || self.is(Mutant::CutBeforeCheck) && self.notes_base();
        if !is_checked || self.row().is_meta_cut {
            return None;
        }
        self.row_mut().is_meta_cut = true;
        Some(())
    }
}
