//! A trace in words.

use crate::epochs::{Action, Lane};
use crate::state::{Check, Phase, Process, State};
use crate::steps::Step;
use stateright::Path;

/// One line for each step.
pub(crate) fn describe(path: Path<State, Action>) -> String {
    let steps = path.into_vec();
    let lines = steps
        .iter()
        .zip(1..)
        .filter_map(|((state, action), number)| action.map(|action| format!("{number:>3}. {}\n", line(state, action))));
    lines.collect()
}

pub(crate) fn line(state: &State, action: Action) -> String {
    match action {
        Action::Take(index, step) => taken(state, state.processes[usize::from(index)], step),
        Action::Land { row, lane, at } => {
            format!("the write of {} can be read, but may vanish", batch(state, row, lane, at))
        }
        Action::Complete { row, lane, at } => {
            format!("{}'s owner sees its write of {} complete", owner(state, row), batch(state, row, lane, at))
        }
        Action::LandMark { slot } => format!("the mark in slot {slot} can be read, but may vanish"),
        Action::LoseCache => "the storage loses its cache".to_owned(),
        Action::LosePower { kept } => {
            format!("the power fails; of the names not synced it keeps {kept:04b} (bit N-1 for owner.N)")
        }
    }
}

fn owner(state: &State, row: u8) -> String {
    let epoch = state.row(row).epoch;
    if epoch == row { format!("epoch {epoch}") } else { format!("epoch {epoch} (the second claim)") }
}

fn checkpoint(at: u8) -> String {
    format!("checkpoint {}", at + 1)
}

fn batch(state: &State, row: u8, lane: Lane, at: u8) -> String {
    match lane {
        Lane::Data => format!("number {} in the run of {}", state.row(row).first_lsn + at, owner(state, row)),
        Lane::Base => format!("the base of {}", owner(state, row)),
        Lane::Checkpoint => format!("{} of {}", checkpoint(at), owner(state, row)),
        Lane::Meta => format!("{:?} in the metadata of {}", state.row(row).meta[usize::from(at)].1, owner(state, row)),
    }
}

fn taken(state: &State, process: Process, step: Step) -> String {
    let Process { epoch, at, seen, .. } = process;
    let who = match (process.phase, process.row) {
        (Phase::Down, _) => "a process".to_owned(),
        (_, 0) => format!("a claimant of epoch {epoch}"),
        (Phase::Serving, row) => format!("the owner of {}", owner(state, row)),
        (_, row) => format!("the claimant of {}", owner(state, row)),
    };
    let what = match step {
        Step::Prepare => format!("starts, sees epoch {} as the newest, and prepares the next", state.newest()),
        Step::Link => format!("links owner.{epoch}"),
        Step::Sync => format!("syncs the names; its mark goes to slot {epoch}"),
        Step::Mark => format!("sees its mark in slot {at} complete"),
        Step::ReadBase => {
            let has_base = at > 1 && state.row(at - 1).rebase.is_visible();
            format!("looks for a base of epoch {}: {}", at - 1, if has_base { "there is one" } else { "none" })
        }
        Step::ReadMeta if at == 1 => "inherits nothing: there is no older epoch".to_owned(),
        Step::ReadMeta => {
            let is_sealed = state.row(at - 1).meta[0].0.is_visible();
            format!("reads the metadata of epoch {}: {}", at - 1, if is_sealed { "a SEAL" } else { "no SEAL" })
        }
        Step::ReadRuns => format!("reads the runs that the SEAL of epoch {at} names"),
        Step::FallBack => "finds that the newest checkpoint does not read any more".to_owned(),
        Step::ReadBatch => {
            let row = state.row(at);
            let is_there = row.data.get(usize::from(seen)).is_some_and(|batch| batch.write.is_visible());
            let there = if is_there { "it is there" } else { "it is not there" };
            format!("looks for number {} in the run of epoch {at}: {there}", row.first_lsn + seen)
        }
        Step::LookBehind => "looks at what lies behind that place, and decides".to_owned(),
        Step::Copy => "issues a copy".to_owned(),
        Step::Seal => "issues its SEAL".to_owned(),
        Step::SubmitCheck => "notes what is durable and submits a check".to_owned(),
        Step::ReadSlot => {
            let mark = state.mark(epoch + 1);
            format!(
                "{} slot {}: {}",
                "has the answer of",
                epoch + 1,
                if mark.is_visible() { "claimed, it leaves" } else { "unclaimed" }
            )
        }
        Step::Answer => match process.check {
            Check::Passed { data, .. } => format!("gets the answer and confirms what was noted, through number {data}"),
            _ => String::new(),
        },
        Step::Publish => format!("admits a message as number {}", state.row(process.row).next_lsn()),
        Step::Acknowledge { lsn } => {
            format!("admits an acknowledgement of number {lsn} as number {}", state.row(process.row).next_lsn())
        }
        Step::CopyForward { lsn } => {
            format!("copies number {lsn} forward as number {}", state.row(process.row).next_lsn())
        }
        Step::Unlink => "removes a dead run".to_owned(),
        Step::Sweep => "removes what its SEAL does not name".to_owned(),
        Step::Checkpoint => "writes a checkpoint".to_owned(),
        Step::Install => "issues the record of its checkpoint".to_owned(),
        Step::Repeat => "repeats its metadata".to_owned(),
        Step::Rebase => "issues its base".to_owned(),
        Step::Cut => "removes the metadata before its base".to_owned(),
        Step::Die => "dies, or leaves".to_owned(),
    };
    format!("{who} {what}")
}
