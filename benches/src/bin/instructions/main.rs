//! Counts the broker's instructions per message, per layer, and compares them with those that are checked in.
//!
//! Owns the cases and the comparison. Counting is done by valgrind's callgrind (`callgrind`), of a broker on the simulated machine
//! (`benches::run`): so the result is the same on a busy machine. What the kernel does is not counted.

mod callgrind;
mod layers;

use anyhow::{Context, Result, ensure};
use benches::{Case, Flow};
use clap::{Parser, Subcommand};
use layers::{Counts, compare, table};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

/// Messages of the shorter run; the longer one has twice as many, and the difference is counted, so that the start is not.
const MESSAGES: usize = 2000;
/// The same with one message in flight, of which each makes its own batch.
const MESSAGES_SINGLE: usize = 200;

/// Counts instructions per message.
#[derive(Debug, Parser)]
struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Counts all cases and compares them with a file of earlier counts; fails above its tolerance.
    Check {
        /// The earlier counts.
        file: PathBuf,
    },
    /// Counts all cases and writes the file.
    Record {
        /// Where to.
        file: PathBuf,
    },
    /// Drives messages through a broker, to be run under callgrind.
    Drive {
        /// Name of the case.
        case: String,
        /// How many messages.
        messages: usize,
    },
}

fn cases() -> Vec<Case> {
    let case = |name, producers, in_flight, bytes, settled| {
        let flow = Flow { queue: "bench".to_owned(), bytes, settled };
        Case { name, producers, in_flight, flow }
    };
    vec![
        case("durable-1x1000-16", 1, 1000, 16, false),
        case("durable-1x1000-1024", 1, 1000, 1024, false),
        case("durable-16x50-16", 16, 50, 16, false),
        case("durable-1x1-16", 1, 1, 16, false),
        case("settled-1x1000-16", 1, 1000, 16, true),
    ]
}

fn main() -> Result<ExitCode> {
    match Options::parse().command {
        Command::Drive { case, messages } => {
            let case = cases().into_iter().find(|known| known.name == case).context("no such case")?;
            benches::run(&case, messages)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Record { file } => {
            let counts = count_all()?;
            std::fs::write(&file, serde_json::to_string_pretty(&counts)? + "\n")?;
            println!("{}", table(&counts));
            Ok(ExitCode::SUCCESS)
        }
        Command::Check { file } => {
            let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
            let before: BTreeMap<String, Counts> = serde_json::from_str(&text)?;
            let counts = count_all()?;
            println!("{}", table(&counts));
            let remarks = compare(&before, &counts);
            remarks.iter().for_each(|remark| println!("{remark}"));
            Ok(if remarks.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
    }
}

fn count_all() -> Result<BTreeMap<String, Counts>> {
    cases().iter().map(|case| Ok((case.name.to_owned(), count(case)?))).collect()
}

fn count(case: &Case) -> Result<Counts> {
    let messages = if case.in_flight == 1 { MESSAGES_SINGLE } else { MESSAGES };
    let short = callgrind::count(case.name, messages)?;
    let long = callgrind::count(case.name, 2 * messages)?;
    ensure!(long.values().sum::<u64>() > short.values().sum(), "callgrind counted nothing in the broker's turns");
    let of = |counts: &BTreeMap<String, u64>, layer: &String| counts.get(layer).copied().unwrap_or(0) as f64;
    let per_message = |layer: &String| ((of(&long, layer) - of(&short, layer)) / messages as f64).max(0.0);
    Ok(long.keys().map(|layer| (layer.clone(), per_message(layer).round())).collect())
}
