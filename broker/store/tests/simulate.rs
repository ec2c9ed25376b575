//! The main property under random faults, from a seed: what was confirmed is recovered, nothing else comes back.
//!
//! `SIM_SEED` (a number, or any text such as a commit hash) and `SIM_SECONDS` make `long_run` explore; a failure prints
//! the one seed that replays it: `SIM_SEED=<seed> SIM_RUNS=1 cargo test -p store --test simulate long_run`.

mod harness;

use disk::sim::{SimConfig, SimDisk};
use harness::model::Violation;
use harness::{Faults, MS, Mutant, World, config};
use std::time::{Duration, Instant};

/// One random world: its shape, its disk and its faults all come from the seed.
fn world(seed: u64) -> (World, Faults) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut config = config();
    config.writes_in_flight_max = random.usize(1..=4);
    (config.segment_bytes, config.batch_bytes_max) =
        [(128 << 10, 8 << 10), (128 << 10, 12 << 10), (128 << 10, 16 << 10), (512 << 10, 60 << 10)][random.usize(0..4)];
    config.cache_bytes_max = [0, 16 << 10, 1 << 20][random.usize(0..3)];
    config.stores[0].minimum_bytes = [0, 512 << 10][random.usize(0..2)];
    let slow = SimConfig {
        latency_ns_max: [20_000, 100_000, 600_000][random.usize(0..3)],
        slow_per_million: [0, 2_000, 20_000][random.usize(0..3)],
        slow_ns_max: [MS, 30 * MS][random.usize(0..2)],
        late_ns_max: [MS / 10, 5 * MS, 50 * MS][random.usize(0..3)],
        ..SimConfig::default()
    };
    config.standby_tailing = random.u8(0..4) > 0;
    let mut sometimes = |most: u32| if random.bool() { random.u32(0..=most) } else { 0 };
    let faults = Faults {
        kill: sometimes(60),
        pause: sometimes(60),
        crash: sometimes(30),
        lose_cache: sometimes(30),
        claim_unprovoked: sometimes(60),
        stop: sometimes(20),
    };
    let nodes = 1 + seed as usize % 3;
    // Turnover above messages that stay, so that sparse segments are copied forward.
    let is_turnover = matches!(seed % 5, 2 | 4);
    if is_turnover {
        (config.segment_bytes, config.batch_bytes_max) = (64 << 10, 8 << 10);
    }
    // So small that metadata is removed within a few milliseconds.
    config.meta_segment_bytes = (16 << 10) * config.writes_in_flight_max as u64;
    let mut world = World::with_disk(SimDisk::new(seed, slow), seed, nodes, config);
    if is_turnover {
        world.stays = [8, 16, 40][seed as usize / 5 % 3];
    }
    (world, faults)
}

/// A run of some simulated time; returns how often the store changed hands.
fn run(seed: u64, mutant: Mutant) -> Result<World, Violation> {
    let (mut world, faults) = world(seed);
    world.mutant = mutant;
    while world.now < 100 * MS {
        world.nemesis(faults);
        world.step()?;
        if let Some(failure) = world.failures.first() {
            return Err(Violation(format!("without damage: {failure}")));
        }
    }
    world.settle()?;
    // And once more from the bottom of the disk: what is confirmed now is there after everything was killed.
    world.crash();
    world.settle()?;
    match world.failures.first() {
        Some(failure) => Err(Violation(format!("without damage: {failure}"))),
        None => Ok(world),
    }
}

fn check(seed: u64) -> World {
    run(seed, Mutant::None).unwrap_or_else(|violation| panic!("SIM_SEED={seed}: {}", violation.0))
}

#[test]
fn what_is_confirmed_is_recovered() {
    let worlds: Vec<World> = (0..60).map(check).collect();
    let sum = |value: fn(&World) -> u64| worlds.iter().map(value).sum::<u64>();
    let (takeovers, confirmed, lost) =
        (sum(|world| world.takeovers), sum(|world| world.model.confirmed), sum(|world| world.model.lost));
    let (hot, reloads, copied) = (sum(|world| world.hot), sum(|world| world.reloads), sum(|world| world.copied));
    let (bases, removed) = (sum(|world| world.bases), sum(|world| world.removed_metadata.values().sum()));
    let (rebased, rebased_hot) = (sum(|world| world.rebased), sum(|world| world.rebased_hot));
    println!(
        "{takeovers} takeovers, {hot} of them hot, {reloads} places lost, {confirmed} changes confirmed, {lost} \
         unconfirmed ones lost, {copied} messages copied forward; {bases} copies of bases, {removed} segments of metadata \
         removed, {rebased} takeovers behind that, {rebased_hot} of them hot"
    );
    assert!(hot > 20 && copied > 200, "standbys take over, and sparse segments are copied: {hot} {copied}");
    assert!(
        removed > 100 && rebased > 15 && rebased_hot > 5,
        "metadata is removed before takeovers, hot ones among them: {removed} {rebased} {rebased_hot}"
    );
    assert!(
        takeovers > 200 && confirmed > 10_000 && lost > 10,
        "the runs exercise what they claim to: {takeovers} {confirmed} {lost}"
    );
}

/// Seeds that found something, and what.
const FOUND: [(u64, &str); 3] = [
    (5, "a sweeper let go of a temporary file's lock before it had unlinked it"),
    (9_001_141, "a power loss took owner.1 when a claim of epoch 2 had begun, and the folder was refused"),
    (7_000_823, "what a replaced owner wrote while it was being read looked like damage"),
];

#[test]
fn what_was_found_once_stays_mended() {
    for (seed, story) in FOUND {
        println!("{seed}: {story}");
        check(seed);
    }
}

/// The property must fail within this many seeds when it is broken on purpose.
const MUTANT_SEEDS: u64 = 60;

fn first_failure(mutant: Mutant) -> Option<(u64, Violation)> {
    (0..MUTANT_SEEDS).find_map(|seed| run(seed, mutant).err().map(|violation| (seed, violation)))
}

#[test]
fn without_durable_writes_the_property_fails() {
    let (seed, violation) = first_failure(Mutant::NoDurability).expect("the mutant must be found out");
    println!("seed {seed}: {}", violation.0);
}

#[test]
fn without_the_ownership_check_the_property_fails() {
    let (seed, violation) = first_failure(Mutant::NoCheck).expect("the mutant must be found out");
    println!("seed {seed}: {}", violation.0);
}

#[test]
fn without_durable_bases_the_property_fails() {
    let (seed, violation) = first_failure(Mutant::BaseNotDurable).expect("the mutant must be found out");
    println!("seed {seed}: {}", violation.0);
    assert!(violation.0.contains("/meta.db/segment.") && violation.0.contains("missing"), "{}", violation.0);
}

#[test]
fn long_run() {
    let seconds = variable("SIM_SECONDS").unwrap_or(2);
    let runs = variable("SIM_RUNS").unwrap_or(u64::MAX);
    let first = variable("SIM_SEED").unwrap_or(1_000_000);
    let until = Instant::now() + Duration::from_secs(seconds);
    let (mut takeovers, mut rebased, mut removed, mut done) = (0, 0, 0, 0);
    for seed in (0..runs).map(|run| first.wrapping_add(run)) {
        let world = check(seed);
        takeovers += world.takeovers;
        rebased += world.rebased;
        removed += world.removed_metadata.values().sum::<u64>();
        done += 1;
        if Instant::now() >= until {
            break;
        }
    }
    println!(
        "{done} runs from seed {first}, {takeovers} takeovers; {removed} segments of metadata removed, {rebased} takeovers \
         behind that"
    );
}

/// A number from the environment; text that is none, such as a commit hash, becomes one.
fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok().filter(|text| !text.is_empty())?;
    let hash = |text: &str| {
        text.bytes()
            .fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
    };
    Some(text.parse().unwrap_or_else(|_| hash(&text)))
}
