//! An explicit-state model of the rules of epochs (docs/FORMATS.md), explored without a gap, and with each rule removed.
//!
//! What it is, what it found and how to run the large bound: docs/decisions/0003-model-of-the-epochs.md.

mod epochs;
mod mutants;
mod progress;
mod properties;
mod reduce;
mod state;
mod steps;
mod words;

use epochs::{Bounds, Epochs};
use mutants::{Found, MUTANTS, Mutant};
use stateright::{Checker, HasDiscoveries, Model};

fn explore(model: Epochs) -> impl Checker<Epochs> {
    model.checker().finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join()
}

const fn bounds(processes: usize, epochs: u8, lsns: u8) -> Bounds {
    Bounds { processes, epochs, lsns, in_flight: 2, removes: false, copies: false, rebases: false }
}

const fn removing(processes: usize, epochs: u8, lsns: u8) -> Bounds {
    Bounds { removes: true, ..bounds(processes, epochs, lsns) }
}

/// With messages that are copied forward, and one write in flight.
const fn copying(processes: usize, epochs: u8, lsns: u8) -> Bounds {
    Bounds { copies: true, in_flight: 1, ..removing(processes, epochs, lsns) }
}

/// With metadata that is repeated and removed, and one write in flight.
const fn rebasing(processes: usize, epochs: u8, lsns: u8) -> Bounds {
    Bounds { rebases: true, in_flight: 1, ..bounds(processes, epochs, lsns) }
}

/// The same beside checkpoints and removals.
const fn rebasing_beside(processes: usize, epochs: u8, lsns: u8) -> Bounds {
    Bounds { removes: true, ..rebasing(processes, epochs, lsns) }
}

/// Explores everything within the bounds; `states` is how many states that are, so that a smaller model is noticed.
fn check(bounds: Bounds, reduces: bool, states: usize) {
    let checker = explore(Epochs::new(bounds, Mutant::None, reduces));
    let found = checker.unique_state_count();
    println!("{bounds:?}: {found} states, the longest way {} steps", checker.max_depth() - 1);
    if let Some((violated, path)) = checker.discoveries().into_iter().next() {
        panic!("violated: {violated}\n{}", words::describe(path));
    }
    assert_eq!(found, states, "{bounds:?}");
}

#[test]
fn the_rules_hold() {
    // Who claims what and when: three servers, four epochs.
    check(bounds(3, 4, 1), true, 170_983);
    // Two writes in flight.
    check(bounds(3, 3, 2), true, 108_072);
    // What is removed while another comes, and what is consumed or copied before it is.
    check(copying(2, 3, 2), true, 207_191);
    check(copying(1, 3, 3), true, 111_496);
    // Metadata that is removed within its epoch.
    check(rebasing(2, 3, 1), true, 47_683);
    check(rebasing_beside(1, 3, 2), true, 245_776);
}

#[test]
fn what_is_made_equal_hides_nothing() {
    check(bounds(2, 2, 2), false, 15_788);
    check(copying(1, 2, 2), false, 73_498);
    check(copying(2, 2, 1), false, 53_677);
    check(bounds(1, 3, 2), false, 98_861);
    check(bounds(3, 3, 1), false, 153_105);
    check(rebasing(2, 2, 1), false, 64_179);
}

#[test]
#[ignore = "minutes of processor time and hundreds of megabytes"]
fn the_rules_hold_within_large_bounds() {
    check(bounds(3, 4, 2), true, 3_390_445);
    check(removing(2, 3, 2), true, 686_305);
    check(copying(1, 4, 2), true, 300_612);
    check(rebasing(3, 4, 1), true, 1_828_654);
    check(rebasing_beside(2, 3, 2), true, 2_471_059);
}

#[test]
fn each_rule_is_needed() {
    let mut found = Vec::new();
    for Found { mutant, violates, bounds, steps } in MUTANTS {
        let checker = explore(Epochs::new(bounds, mutant, mutant.reduces()));
        let Some(path) = checker.discovery(violates) else {
            let others: Vec<_> = checker.discoveries().into_keys().collect();
            panic!("{mutant:?} was not found to violate: {violates}, but {others:?}");
        };
        let words = words::describe(path);
        println!("{mutant:?} violates: {violates}, {} states\n{words}", checker.unique_state_count());
        found.push((mutant, words.lines().count(), steps));
    }
    let wrong: Vec<_> = found.iter().filter(|(_, found, said)| found != said).collect();
    assert!(wrong.is_empty(), "traces of other lengths than the table says: {wrong:?}");
}

#[test]
fn a_server_can_always_serve() {
    for bounds in [bounds(3, 4, 1), copying(1, 3, 3), rebasing(2, 3, 1)] {
        let progress = progress::walk(&Epochs::new(bounds, Mutant::None, true));
        println!("{bounds:?}: {progress:?}");
        assert_eq!(progress.stuck, 0);
        assert!(progress.serving > 0 && progress.exhausted < progress.states);
    }
    // Without its predecessor's name nobody can ever walk down.
    let bounds = bounds(1, 4, 1);
    let progress = progress::walk(&Epochs::new(bounds, Mutant::OlderNameNotSynced, false));
    println!("{progress:?}");
    assert!(progress.stuck > 0);
}
