//! Many trials on several threads, one seed after the other, and the account of them.
//!
//! Owns the environment variables, the threads and the report file. What a trial is, is `pair`'s business.

use crate::pair::Trial;
use crate::report::Report;
use serde_json::{Value, json};
use std::any::Any;
use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// How often a long run says how far it is.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(60);
/// A run that has found so many violations ends.
const VIOLATIONS_MAX: usize = 20;

/// What to run.
#[derive(Debug)]
pub(crate) struct Plan {
    first_seed: u64,
    seconds: u64,
    failovers: u64,
    threads: u64,
    report: Option<String>,
}

/// The account so far.
#[derive(Debug, Default)]
pub(crate) struct Account {
    seeds: u64,
    total: Report,
    /// Seeds, and what they found.
    violations: Vec<(u64, String)>,
    told: Duration,
}

fn environment(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")),
        Err(_) => default,
    }
}

fn replay(seed: u64) -> String {
    format!("SIM_SEED={seed} SIM_SECONDS=0 cargo test -p broker --test simulate simulate_failovers")
}

fn words_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without words").to_owned()
}

impl Plan {
    /// What the environment asks for.
    pub(crate) fn from_environment() -> Plan {
        let failovers = environment("SIM_FAILOVERS", 0);
        Plan {
            first_seed: environment("SIM_SEED", 1),
            seconds: environment("SIM_SECONDS", if failovers == 0 { 3 } else { 0 }),
            failovers,
            threads: environment("SIM_THREADS", 1).max(1),
            report: std::env::var("SIM_REPORT").ok(),
        }
    }

    /// Runs seeds until both the time and the number of failovers are reached; one at least.
    pub(crate) fn run(&self) {
        let began = Instant::now();
        let account = Mutex::new(Account::default());
        let taken = Mutex::new(0);
        std::thread::scope(|scope| {
            for _ in 0..self.threads {
                scope.spawn(|| while self.run_one(began, &taken, &account) {});
            }
        });
        let account = account.into_inner().expect("no thread panics while it holds the account");
        let wall = began.elapsed();
        account.print(self.first_seed, wall);
        if let Some(path) = &self.report {
            let text = format!("{:#}\n", self.json(&account, wall));
            std::fs::write(path, text).unwrap_or_else(|error| panic!("SIM_REPORT={path}: {error}"));
        }
        let seeds: Vec<u64> = account.violations.iter().map(|(seed, _)| *seed).collect();
        assert!(seeds.is_empty(), "a promise was broken; seeds {seeds:?}");
    }

    /// False: enough.
    fn run_one(&self, began: Instant, taken: &Mutex<u64>, account: &Mutex<Account>) -> bool {
        let seed = {
            let mut taken = taken.lock().expect("no thread panics here");
            *taken += 1;
            self.first_seed.wrapping_add(*taken - 1)
        };
        let outcome = std::panic::catch_unwind(|| Trial::new(seed).run());
        let mut account = account.lock().expect("no thread panics while it holds the account");
        account.seeds += 1;
        match outcome {
            Ok(report) => account.total.add(&report),
            Err(panic) => {
                println!("seed {seed} failed; replay: {}", replay(seed));
                account.violations.push((seed, words_of(panic.as_ref())));
            }
        }
        let elapsed = began.elapsed();
        if elapsed - account.told > PROGRESS_INTERVAL {
            account.told = elapsed;
            account.print(self.first_seed, elapsed);
        }
        let is_enough = elapsed >= Duration::from_secs(self.seconds) && account.total.failovers >= self.failovers;
        !is_enough && account.violations.len() < VIOLATIONS_MAX
    }

    fn json(&self, account: &Account, wall: Duration) -> Value {
        let commit = Command::new("git").args(["describe", "--always", "--dirty", "--abbrev=40"]).output();
        let commit = commit.ok().filter(|output| output.status.success());
        let profile = if cfg!(debug_assertions) { "" } else { "--release " };
        let command = format!(
            "SIM_SEED={} SIM_SECONDS={} SIM_FAILOVERS={} SIM_THREADS={} cargo test {profile}-p broker --test simulate \
             simulate_failovers -- --nocapture",
            self.first_seed, self.seconds, self.failovers, self.threads
        );
        let mut fields = account.total.json();
        fields["seeds"] = json!({ "first": self.first_seed, "count": account.seeds });
        fields["violations"] = account
            .violations
            .iter()
            .map(|(seed, what)| json!({ "seed": seed, "what": what, "replay": replay(*seed) }))
            .collect();
        fields["wall_s"] = json!(wall.as_secs_f64());
        fields["failovers_per_minute"] = json!(account.per_minute(wall));
        fields["threads"] = json!(self.threads);
        fields["commit"] = json!(commit.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()));
        fields["command"] = json!(command);
        fields
    }
}

impl Account {
    fn per_minute(&self, wall: Duration) -> u64 {
        (self.total.failovers as f64 * 60.0 / wall.as_secs_f64()) as u64
    }

    fn print(&self, first: u64, wall: Duration) {
        let Report { failovers, hot, confirmed, simulated, bases, removed_metadata, rebased, rebased_hot, .. } =
            self.total;
        println!(
            "{} seeds from {first}, {failovers} failovers ({hot} hot) in {:.1} s, {} a minute; {confirmed} messages confirmed \
             in {} simulated s; {bases} bases of metadata, {removed_metadata} segments removed, {rebased} failovers behind one ({rebased_hot} hot); {} violations",
            self.seeds,
            wall.as_secs_f64(),
            self.per_minute(wall),
            simulated / 1_000_000_000,
            self.violations.len()
        );
    }
}
