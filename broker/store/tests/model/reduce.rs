//! Makes states equal that differ only in what nobody can ever read again, or do any more.
//!
//! Owns the reasons why that is sound while the rules hold; traces of mutants are searched without it.

use crate::epochs::Epochs;
use crate::mutants::Mutant;
use crate::properties::holds;
use crate::state::{BATCHES, Batch, Checkpoint, EPOCHS, Installed, Meta, Phase, Process, Row, State, Write};

/// A violation is not forgotten.
pub(crate) fn reduce(state: &mut State, model: &Epochs) {
    if let Some(base) = (0..EPOCHS).rev().find(|base| is_base(state, *base)).filter(|_| holds(state)) {
        let number = base as u8 + 1;
        // Who is older than the base can never pass a check again, and nobody reads what it may still write.
        let removes = (model.bounds.removes || model.bounds.rebases) && !model.removes_at_once();
        let may_remove = |me: &Process| removes && me.phase == Phase::Serving;
        let is_replaced = |me: &Process| me.row > 0 && me.epoch < number && !may_remove(me);
        state.processes.iter_mut().filter(|me| is_replaced(me)).for_each(|me| *me = Process::default());
        if model.mutant != Mutant::ReadBeyondEnds {
            forget_below(state, base);
        }
    }
    forget_unsealed(state);
    forget_marks(state);
    state.processes.sort_unstable();
}

fn owned_rows(state: &State) -> [bool; EPOCHS] {
    let mut owned = [false; EPOCHS];
    let rows = state.processes.iter().filter(|process| process.row > 0);
    rows.for_each(|process| owned[usize::from(process.row) - 1] = true);
    owned
}

/// Slot N is read by the owner of epoch N-1 only, and that epoch has no other owner ever again.
fn forget_marks(state: &mut State) {
    let owned = owned_rows(state);
    for (index, mark) in state.marks.iter_mut().enumerate() {
        if index == 0 || !owned[index - 1] {
            *mark = Write::Absent;
        }
    }
}

/// A run is read only when its SEAL was; who died before issuing it left nothing.
fn forget_unsealed(state: &mut State) {
    let owned = owned_rows(state);
    for (index, is_owned) in owned.into_iter().enumerate() {
        let row = &state.rows[index];
        let names =
            |row: &Row| row.ends[index] > 0 || row.found.iter().any(|found| usize::from(found.row) == index + 1);
        let is_named = state.rows.iter().any(names);
        if !is_owned && !is_named && !row.has_served && row.meta[0].0 == Write::Absent {
            let Row { epoch, is_data_unlinked, is_meta_unlinked, .. } = *row;
            state.rows[index] = Row { epoch, is_data_unlinked, is_meta_unlinked, ..Row::default() };
        }
    }
}

/// Whether everyone who comes stops at this SEAL or a newer one, and everyone who is newer is past it.
fn is_base(state: &State, base: usize) -> bool {
    let number = base as u8 + 1;
    let is_past = |process: &Process| match process.phase {
        Phase::Down | Phase::Prepared => true,
        _ if process.epoch < number => state.mark(process.epoch + 1) == Write::Durable,
        Phase::Marking | Phase::Marked | Phase::Based => process.at > number,
        Phase::Named | Phase::Reading | Phase::Stopped => process.at >= number,
        _ => true,
    };
    state.rows[base].meta[0].0 == Write::Durable && state.processes.iter().all(is_past)
}

/// Leaves what newer runs name of the older ones, and what these confirmed, unless the base served: then it was just
/// checked that the base has it, and whatever comes is checked against the base.
fn forget_below(state: &mut State, base: usize) {
    let owned = owned_rows(state);
    let is_checked = state.rows[base].has_served && !owned[..base].contains(&true);
    for index in (0..base).rev() {
        let (older, newer) = state.rows.split_at_mut(index + 1);
        let row = &mut older[index];
        if owned[index] || row.epoch == 0 {
            continue;
        }
        let is_kept = row.has_served && !is_checked;
        let end = newer.iter().map(|newer| newer.ends[index]).max().unwrap_or(0);
        let through = if is_kept { row.confirmed.max(row.recovered_through()) } else { 0 }.max(end.saturating_sub(1));
        if !is_kept {
            (row.ends, row.copies, row.confirmed, row.has_served) = ([0; EPOCHS], 0, 0, false);
            (row.found, row.base, row.live) = Default::default();
        }
        let kept = usize::from((through + 1).saturating_sub(row.first_lsn));
        for (at, batch) in row.data.iter_mut().enumerate() {
            batch.durable_through = 0;
            match row.first_lsn + at as u8 {
                _ if at >= kept => *batch = Batch::default(),
                lsn if lsn >= end => batch.write = Write::Durable,
                _ => {}
            }
        }
        row.meta = [(Write::Absent, Meta::None); BATCHES];
        (row.rebase, row.is_meta_cut) = Default::default();
        let is_found = |at: u8| newer.iter().any(|newer| newer.found.contains(&Installed { row: index as u8 + 1, at }));
        let files = (0..).zip(&mut row.checkpoints).filter(|(at, _)| !is_found(*at));
        files.for_each(|(_, file)| *file = Checkpoint::default());
    }
}
