//! Whether a server can serve after whatever happened.
//!
//! The checker has no property for "from every state some schedule leads there", so this walks the whole graph itself:
//! forwards to number the states, then backwards from the good ones.

use crate::epochs::Epochs;
use crate::state::{Name, Phase, State, Write};
use stateright::Model;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

/// What the walk found.
#[derive(Debug)]
pub(crate) struct Progress {
    pub(crate) states: usize,
    /// Somebody serves in them whom nobody is about to replace.
    pub(crate) serving: usize,
    /// The last epoch of the bounds was claimed and its claimant is dead: nothing more can be claimed here.
    pub(crate) exhausted: usize,
    /// From these, the exhausted ones aside, nobody ever serves.
    pub(crate) stuck: usize,
}

fn serves(state: &State) -> bool {
    let is_safe = |epoch: u8| state.mark(epoch + 1) == Write::Absent;
    state.processes.iter().any(|process| process.phase == Phase::Serving && is_safe(process.epoch))
}

fn is_exhausted_at(state: &State, last: u8) -> bool {
    let is_alive = state.processes.iter().any(|process| process.epoch == last);
    state.owners[usize::from(last) - 1] != Name::Absent && !is_alive
}

fn key(state: &State) -> u64 {
    let mut hasher = DefaultHasher::new();
    state.hash(&mut hasher);
    hasher.finish()
}

pub(crate) fn walk(model: &Epochs) -> Progress {
    let mut numbers: HashMap<u64, u32> = HashMap::new();
    let mut frontier: VecDeque<(u32, State)> = VecDeque::new();
    let (mut good, mut backwards): (Vec<u32>, Vec<Vec<u32>>) = (Vec::new(), Vec::new());
    let mut is_exhausted = Vec::new();
    let mut actions = Vec::new();
    let mut number = |state: State, frontier: &mut VecDeque<(u32, State)>, backwards: &mut Vec<Vec<u32>>| {
        let next = backwards.len() as u32;
        match numbers.entry(key(&state)) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(new) => {
                new.insert(next);
                backwards.push(Vec::new());
                frontier.push_back((next, state));
                next
            }
        }
    };
    for state in model.init_states() {
        number(state, &mut frontier, &mut backwards);
    }
    while let Some((from, state)) = frontier.pop_front() {
        if serves(&state) {
            good.push(from);
        }
        is_exhausted.push(is_exhausted_at(&state, model.bounds.epochs));
        model.actions(&state, &mut actions);
        for next in actions.drain(..).filter_map(|action| model.next_state(&state, action)) {
            let to = number(next, &mut frontier, &mut backwards);
            backwards[to as usize].push(from);
        }
    }
    let serving = good.len();
    let mut reaches = vec![false; backwards.len()];
    while let Some(state) = good.pop() {
        if !std::mem::replace(&mut reaches[state as usize], true) {
            good.extend(&backwards[state as usize]);
        }
    }
    let exhausted = is_exhausted.iter().filter(|is_exhausted| **is_exhausted).count();
    let stuck =
        reaches.iter().zip(&is_exhausted).filter(|(reaches, is_exhausted)| !**reaches && !**is_exhausted).count();
    Progress { states: backwards.len(), serving, exhausted, stuck }
}
