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

/// Explores everything within the bounds; returns the number of states.
fn check(processes: usize, epochs: u8, lsns: u8, removes: bool, reduces: bool) -> usize {
    let bounds = Bounds { processes, epochs, lsns, removes };
    let checker = explore(Epochs { bounds, mutant: Mutant::None, reduces });
    let states = checker.unique_state_count();
    println!("{bounds:?}: {states} states, the longest way {} steps", checker.max_depth() - 1);
    if let Some((violated, path)) = checker.discoveries().into_iter().next() {
        panic!("violated: {violated}\n{}", words::describe(path));
    }
    states
}

#[test]
fn the_rules_hold() {
    // Who is claimed and when: three servers, four epochs.
    assert_eq!(check(3, 4, 1, false, true), 170_983);
    // Two writes in flight, with copies.
    assert_eq!(check(3, 3, 2, false, true), 108_072);
    // Acknowledgements, intents, removals.
    assert_eq!(check(2, 3, 2, true, true), 150_431);
}

#[test]
fn what_is_made_equal_hides_nothing() {
    assert_eq!(check(2, 2, 2, false, false), 15_788);
    assert_eq!(check(2, 2, 2, true, false), 28_611);
    assert_eq!(check(1, 3, 2, false, false), 98_861);
    assert_eq!(check(3, 3, 1, false, false), 153_105);
}

#[test]
#[ignore = "40 s of processor time and 320 MB of memory"]
fn the_rules_hold_within_large_bounds() {
    assert_eq!(check(3, 4, 2, false, true), 3_390_445);
}

#[test]
fn each_rule_is_needed() {
    for Found { mutant, violates, bounds, steps } in MUTANTS {
        let checker = explore(Epochs { bounds, mutant, reduces: mutant.reduces() });
        let Some(path) = checker.discovery(violates) else {
            panic!("{mutant:?} was not found to violate: {violates}");
        };
        let words = words::describe(path);
        println!("{mutant:?} violates: {violates}, {} states\n{words}", checker.unique_state_count());
        assert_eq!(words.lines().count(), steps, "{mutant:?}");
    }
}

#[test]
fn a_server_can_always_serve() {
    for bounds in [
        Bounds { processes: 3, epochs: 4, lsns: 1, removes: false },
        Bounds { processes: 2, epochs: 3, lsns: 2, removes: true },
    ] {
        let progress = progress::walk(&Epochs { bounds, mutant: Mutant::None, reduces: true });
        println!("{bounds:?}: {progress:?}");
        assert_eq!(progress.stuck, 0);
        assert!(progress.serving > 0 && progress.exhausted < progress.states);
    }
    // Without its predecessor's name nobody can ever walk down.
    let bounds = Bounds { processes: 1, epochs: 4, lsns: 1, removes: false };
    let progress = progress::walk(&Epochs { bounds, mutant: Mutant::OlderNameNotSynced, reduces: false });
    println!("{progress:?}");
    assert!(progress.stuck > 0);
}
