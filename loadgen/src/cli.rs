//! Owns the command line: the commands, and what a process does with them, up to its exit code.

mod arguments;
mod compare;
mod conduct;
mod merge;
mod profile;
mod run;
mod sweep;

use std::ffi::OsString;
use std::path::Path;

use anyhow::Context;
use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::run::RunError;
use crate::tls::TlsError;
use crate::verdict::Ruling;

/// Exit code for a command line that makes no sense.
const EXIT_USAGE: i32 = 254;
/// Exit code for a failure of the generator itself.
const EXIT_INTERNAL: i32 = 255;

/// Load generator for AMQP 1.0 brokers and pairs: open loop, honest under outages, with a verdict on every message.
#[derive(Debug, Parser)]
#[command(name = "loadgen", version, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Send and receive, survive failovers, report latency and judge what was lost.
    Run(Box<run::RunArguments>),
    /// Find the highest rate that meets a target, and draw latency against load.
    Sweep(Box<sweep::SweepArguments>),
    /// Join what several processes recorded, without averaging anything.
    Merge(merge::MergeArguments),
    /// Tell how two sets of runs differ, with intervals, and fail if the new one is worse.
    Compare(compare::CompareArguments),
}

/// Something that a person wrote makes no sense; the message names it and the remedy.
#[derive(Debug, thiserror::Error)]
#[error("{0:#}")]
struct UsageError(anyhow::Error);

/// Runs the command line `arguments` (program name first) and gives the process's exit code.
pub fn run(arguments: impl Iterator<Item = OsString>) -> i32 {
    let arguments = match profile::expand(arguments.collect(), &Cli::command()) {
        Ok(arguments) => arguments,
        Err(error) => {
            eprintln!("loadgen: {error}");
            return EXIT_USAGE;
        }
    };
    let parsed = Cli::command().try_get_matches_from(arguments).and_then(|matches| Cli::from_arg_matches(&matches));
    match parsed {
        Ok(cli) => exit_code(carry_out(&cli.command)),
        Err(error) => {
            let shown = error.print();
            let asked_for = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            if asked_for && shown.is_ok() { 0 } else { EXIT_USAGE }
        }
    }
}

fn carry_out(command: &Command) -> anyhow::Result<Ruling> {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().context("starting a runtime");
    match command {
        Command::Run(arguments) => runtime()?.block_on(arguments.run()),
        Command::Sweep(arguments) => runtime()?.block_on(arguments.run()),
        Command::Merge(arguments) => arguments.run(),
        Command::Compare(arguments) => arguments.run(),
    }
}

fn exit_code(result: anyhow::Result<Ruling>) -> i32 {
    let error = match result {
        Ok(ruling) => return ruling.exit_code(),
        Err(error) => error,
    };
    eprintln!("loadgen: {error:#}");
    if error.is::<TlsError>() || error.is::<UsageError>() {
        return EXIT_USAGE;
    }
    match error.downcast_ref::<RunError>() {
        Some(RunError::Options(_)) => EXIT_USAGE,
        // Nothing was measured, but not for a fault of ours.
        Some(RunError::Unreachable { .. } | RunError::Refused { .. }) => Ruling::Unknown.exit_code(),
        _ => EXIT_INTERNAL,
    }
}

fn write_file(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    std::fs::write(path, content).with_context(|| format!("writing {}", path.display()))
}
