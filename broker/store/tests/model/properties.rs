//! What must hold in every state, and what the runs must reach so that this says something.

use crate::epochs::Epochs;
use crate::state::{Phase, Record, Row, State};
use stateright::Property;

pub(crate) const LOST: &str = "what is confirmed is recovered";
pub(crate) const UNRECOVERED: &str = "what is recovered stays recovered";
pub(crate) const TWO: &str = "an epoch has one owner";
pub(crate) const GAP: &str = "what is recovered has no gap";
pub(crate) const MISSING: &str = "nothing that is needed is missing";

pub(crate) fn properties() -> Vec<Property<Epochs>> {
    vec![
        Property::always(LOST, |model: &Epochs, state| model.judge(keeps_confirmed(state))),
        Property::always(UNRECOVERED, |model: &Epochs, state| model.judge(keeps_recovered(state))),
        Property::always(TWO, |model: &Epochs, state| model.judge(has_one_owner(state))),
        Property::always(GAP, |model: &Epochs, state| model.judge(has_no_gap(state))),
        Property::always(MISSING, |model: &Epochs, state| model.judge(misses_nothing(state))),
    ]
}

/// Whether every property holds.
pub(crate) fn holds(state: &State) -> bool {
    let rules = [keeps_confirmed, keeps_recovered, has_one_owner, has_no_gap, misses_nothing];
    rules.iter().all(|rule| rule(state))
}

fn keeps_confirmed(state: &State) -> bool {
    pairs(state).all(|(older, newer)| inherits(state, older, newer, older.recovered_through() + 1, older.confirmed))
}

fn keeps_recovered(state: &State) -> bool {
    pairs(state).all(|(older, newer)| inherits(state, older, newer, 1, older.recovered_through()))
}

fn has_one_owner(state: &State) -> bool {
    let mut epochs: Vec<u8> = served(state).map(|row| row.epoch).collect();
    epochs.sort_unstable();
    epochs.windows(2).all(|pair| pair[0] != pair[1])
}

fn has_no_gap(state: &State) -> bool {
    served(state).all(|row| {
        let log = state.log(number(state, row));
        log[1..=usize::from(row.recovered_through())].iter().all(|record| *record != Record::None)
    })
}

fn misses_nothing(state: &State) -> bool {
    let is_refused = state.processes.iter().any(|process| process.phase == Phase::Refused);
    let newest = served(state).max_by_key(|row| row.epoch);
    !is_refused && newest.is_none_or(|row| holds_live(state, row))
}

/// Whether the segments of all messages are there that `row` found live, or confirmed, and nobody consumed.
fn holds_live(state: &State, row: &Row) -> bool {
    if !state.rows.iter().any(|row| row.is_data_unlinked) {
        return true;
    }
    let live = state.live(number(state, row), row.confirmed.max(row.recovered_through()));
    live.iter().filter(|held| held.place > 0).all(|held| !state.row(held.place).is_data_unlinked)
}

fn number(state: &State, row: &Row) -> u8 {
    let at = state.rows.iter().position(|of| std::ptr::eq(of, row));
    at.expect("a row of this state") as u8 + 1
}

fn served(state: &State) -> impl Iterator<Item = &Row> {
    state.rows.iter().filter(|row| row.has_served)
}

/// Each epoch that served with each later one.
fn pairs(state: &State) -> impl Iterator<Item = (&Row, &Row)> {
    served(state)
        .flat_map(move |older| served(state).filter(|newer| older.epoch < newer.epoch).map(move |newer| (older, newer)))
}

/// Whether `newer` recovered the records `from` to `through` of `older`, or they are consumed.
fn inherits(state: &State, older: &Row, newer: &Row, from: u8, through: u8) -> bool {
    let (log, recovered) = (state.log(number(state, older)), state.log(number(state, newer)));
    (usize::from(from)..=usize::from(through)).all(|lsn| match (log[lsn], recovered[lsn]) {
        (Record::Publish { .. }, Record::Gone) => is_consumed(state, newer, lsn as u8),
        (_, Record::Gone) | (Record::Gone, _) => true,
        (record, found) => lsn <= usize::from(newer.recovered_through()) && record == found,
    })
}

/// Whether an epoch before `newer` confirmed that the message was consumed, or `newer` recovered that.
fn is_consumed(state: &State, newer: &Row, lsn: u8) -> bool {
    served(state).filter(|row| row.epoch <= newer.epoch).any(|row| {
        let log = state.log(number(state, row));
        let through = if row.epoch < newer.epoch { row.confirmed } else { row.recovered_through() };
        let known = &log[..=usize::from(through)];
        known.iter().any(|record| matches!(record, Record::Acknowledge { lsn: of, .. } if *of == lsn))
    })
}
