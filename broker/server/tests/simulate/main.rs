//! Two whole servers, a client and a shared disk, simulated from a seed: kills, pauses, cut networks, clean stops and power loss in
//! any order, and nothing that was confirmed may be missing afterwards.
//!
//! `SIM_SEED` chooses the first seed, `SIM_SECONDS` how long seeds are tried; a failure prints the seed that replays it:
//! `SIM_SEED=<seed> SIM_SECONDS=0 cargo test -p broker --test simulate`.

mod client;
mod pair;

use pair::Trial;
use std::time::{Duration, Instant};

fn environment(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")),
        Err(_) => default,
    }
}

#[test]
fn simulate_failovers() {
    let first = environment("SIM_SEED", 1);
    let time = Duration::from_secs(environment("SIM_SECONDS", 3));
    let began = Instant::now();
    let mut seeds = 0_u64;
    let mut failovers = 0_u64;
    loop {
        let seed = first.wrapping_add(seeds);
        let outcome = std::panic::catch_unwind(|| Trial::new(seed).run());
        let Ok(report) = outcome else {
            panic!("seed {seed} failed; replay: SIM_SEED={seed} SIM_SECONDS=0 cargo test -p broker --test simulate");
        };
        seeds += 1;
        failovers += report.failovers;
        if began.elapsed() >= time {
            break;
        }
    }
    println!("{seeds} seeds from {first}, {failovers} failovers, nothing confirmed was lost");
}

/// The machinery itself must be able to find a loss: a broker whose disk forgets durable writes at a power loss.
#[test]
#[should_panic(expected = "lost")]
fn simulate_canary_that_must_fail() {
    for seed in 1..=50 {
        Trial::new(seed).with_forgetful_disk().run();
    }
}
