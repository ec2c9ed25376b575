//! The model as the checker sees it: its bounds, its first state, what can happen next.
//!
//! Owns what the storage does by itself: landing, completing, losing. What processes do is in `steps`.

use crate::mutants::Mutant;
use crate::properties::properties;
use crate::reduce::reduce;
use crate::state::{EPOCHS, Name, Phase, Process, Row, State, Write};
use crate::steps::{Step, Turn, possible};
use stateright::{Model, Property};
use std::sync::atomic::{AtomicBool, Ordering};

/// How far the exploration goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) processes: usize,
    /// At most [`EPOCHS`].
    pub(crate) epochs: u8,
    /// Sequence numbers of the data lane.
    pub(crate) lsns: u8,
    /// Whether messages are acknowledged, checkpoints written, and segments removed.
    pub(crate) removes: bool,
    /// Writes that a process may have in flight in each lane.
    pub(crate) in_flight: u8,
    /// Whether messages are copied forward.
    pub(crate) copies: bool,
    /// Whether metadata is repeated, and removed before that.
    pub(crate) rebases: bool,
}

/// The model.
#[derive(Debug)]
pub(crate) struct Epochs {
    pub(crate) bounds: Bounds,
    pub(crate) mutant: Mutant,
    /// Whether states are made equal that cannot behave differently.
    pub(crate) reduces: bool,
    has_failed: AtomicBool,
}

impl Epochs {
    pub(crate) fn new(bounds: Bounds, mutant: Mutant, reduces: bool) -> Self {
        Self { bounds, mutant, reduces, has_failed: AtomicBool::new(false) }
    }

    /// Whether files go as soon as they may. A file that is still there harms nobody, so that the sooner it goes, the more
    /// must hold; and nothing makes one removable but a check.
    pub(crate) fn removes_at_once(&self) -> bool {
        (self.bounds.removes || self.bounds.rebases) && self.reduces && self.mutant == Mutant::None
    }

    /// Lets the first violation through and no later one: the checker keeps the last that it is told of, which need not
    /// have the shortest trace.
    pub(crate) fn judge(&self, holds: bool) -> bool {
        holds || self.has_failed.swap(true, Ordering::Relaxed)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    Data,
    Meta,
    /// The file of a checkpoint.
    Checkpoint,
    /// The base in the owner's file.
    Base,
}

/// A step of a process or of the storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Take(u8, Step),
    Land {
        row: u8,
        lane: Lane,
        at: u8,
    },
    Complete {
        row: u8,
        lane: Lane,
        at: u8,
    },
    LandMark {
        slot: u8,
    },
    LoseCache,
    /// A bit for each owner's name that was not synced and stays nevertheless.
    LosePower {
        kept: u8,
    },
}

impl Model for Epochs {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::new(self.bounds.processes)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (index, process) in state.processes.iter().enumerate() {
            if index > 0 && state.processes[index - 1] == *process {
                continue;
            }
            let steps = possible(process.phase).iter();
            actions.extend(steps.map(|step| Action::Take(index as u8, *step)));
            if self.bounds.removes && process.phase == Phase::Serving {
                actions.extend((1..=self.bounds.lsns).map(|lsn| Action::Take(index as u8, Step::Acknowledge { lsn })));
                let steps = [Step::Checkpoint, Step::Install, Step::Unlink];
                let count = if self.removes_at_once() { 1 } else { steps.len() };
                actions.extend(steps[..count].iter().map(|step| Action::Take(index as u8, *step)));
            }
            if self.bounds.rebases && process.phase == Phase::Serving {
                let steps = [Step::Repeat, Step::Rebase, Step::Cut];
                let count = if self.removes_at_once() { 2 } else { steps.len() };
                actions.extend(steps[..count].iter().map(|step| Action::Take(index as u8, *step)));
            }
            if self.bounds.copies && process.phase == Phase::Serving {
                actions.extend((1..=self.bounds.lsns).map(|lsn| Action::Take(index as u8, Step::CopyForward { lsn })));
            }
            if self.bounds.removes && process.phase == Phase::Named {
                actions.push(Action::Take(index as u8, Step::FallBack));
            }
            if self.bounds.removes
                && !self.removes_at_once()
                && matches!(process.phase, Phase::Sealing | Phase::Serving)
            {
                actions.push(Action::Take(index as u8, Step::Sweep));
            }
        }
        for (row, number) in state.rows.iter().zip(1..) {
            let is_owned = state.processes.iter().any(|process| process.row == number);
            let data = row.data.iter().map(|batch| (Lane::Data, batch.write)).zip(0..);
            let meta = row.meta.iter().map(|(write, _)| (Lane::Meta, *write)).zip(0..);
            let checkpoints = row.checkpoints.iter().map(|file| (Lane::Checkpoint, file.write)).zip(0..);
            for ((lane, write), at) in data.chain(meta).chain(checkpoints).chain([((Lane::Base, row.rebase), 0)]) {
                if write == Write::InFlight {
                    actions.push(Action::Land { row: number, lane, at });
                }
                if is_owned && matches!(write, Write::InFlight | Write::Cached) {
                    actions.push(Action::Complete { row: number, lane, at });
                }
            }
        }
        let marks = state.marks.iter().zip(1..).filter(|(mark, _)| **mark == Write::InFlight);
        actions.extend(marks.map(|(_, slot)| Action::LandMark { slot }));
        actions.push(Action::LoseCache);
        let is_linked = |row: &Row| row.checkpoints.iter().any(|file| file.name == Name::Linked);
        if state.owners.contains(&Name::Linked) || state.rows.iter().any(is_linked) {
            actions.extend((0..1 << EPOCHS).map(|kept| Action::LosePower { kept }));
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        match action {
            Action::Take(index, step) => {
                let me = state.processes[usize::from(index)];
                let mut turn = Turn { model: self, state: &mut next, me };
                turn.take(step)?;
                let me = turn.me;
                next.processes[usize::from(index)] = me;
                next.processes.sort_unstable();
            }
            Action::Land { row, lane, at } => *write(next.row_mut(row), lane, at) = Write::Cached,
            Action::Complete { row, lane, at } => *write(next.row_mut(row), lane, at) = Write::Durable,
            Action::LandMark { slot } => *next.mark_mut(slot) = Write::Cached,
            Action::LoseCache => lose_cache(&mut next),
            Action::LosePower { kept } => lose_power(&mut next, kept, self.mutant)?,
        }
        if self.reduces {
            reduce(&mut next, self);
        }
        (next != *state).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties()
    }
}

fn write(row: &mut Row, lane: Lane, at: u8) -> &mut Write {
    match lane {
        Lane::Data => &mut row.data[usize::from(at)].write,
        Lane::Meta => &mut row.meta[usize::from(at)].0,
        Lane::Checkpoint => &mut row.checkpoints[usize::from(at)].write,
        Lane::Base => &mut row.rebase,
    }
}

fn lose_cache(state: &mut State) {
    state.marks.iter_mut().for_each(Write::lose);
    for row in &mut state.rows {
        row.data.iter_mut().for_each(|batch| batch.write.lose());
        row.meta.iter_mut().for_each(|(write, _)| write.lose());
        row.checkpoints.iter_mut().for_each(|file| file.write.lose());
        row.rebase.lose();
    }
}

/// All processes end, and of the names that were not synced `kept` stay. `None`: that is no choice here.
fn lose_power(state: &mut State, kept: u8, mutant: Mutant) -> Option<()> {
    lose_cache(state);
    let lives_on = mutant == Mutant::StorageTakesNames;
    if !lives_on {
        state.processes.iter_mut().for_each(|process| *process = Process::default());
    }
    let files = state.rows.iter_mut().flat_map(|row| &mut row.checkpoints);
    files.filter(|file| file.name == Name::Linked).for_each(|file| file.name = Name::Absent);
    for (index, name) in state.owners.iter_mut().enumerate() {
        let is_kept = kept >> index & 1 == 1;
        match name {
            Name::Linked if is_kept => *name = Name::Synced,
            Name::Linked if lives_on && state.rows[EPOCHS - 1].epoch != 0 => return None,
            Name::Linked => {
                *name = Name::Absent;
                let lost = std::mem::take(&mut state.rows[index]);
                // What it served stays true.
                if (lost.has_served || lives_on) && state.rows[EPOCHS - 1].epoch == 0 {
                    state.rows[EPOCHS - 1] = lost;
                    let owners = state.processes.iter_mut().filter(|process| usize::from(process.row) == index + 1);
                    owners.for_each(|process| process.row = EPOCHS as u8);
                }
            }
            _ if is_kept => return None,
            _ => {}
        }
    }
    state.processes.sort_unstable();
    Some(())
}
