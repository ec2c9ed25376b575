//! The command line: as typed. What it means is decided in [`crate::plan`] and `crate::run`.

use crate::scenario::{Scenario, StoreSetting, Suite};
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// Starts a broker pair, breaks it under load, and reports what the failover cost.
///
/// Without a command: `chaos run quick`.
#[derive(Debug, Parser)]
#[command(name = "chaos", version, args_conflicts_with_subcommands = true, after_help = EXIT_CODES)]
pub struct Options {
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Options of `chaos run quick`.
    #[command(flatten)]
    pub run: RunOptions,
}

const EXIT_CODES: &str =
    "Exit codes: 0 pass, 1 violated, 2 unknown, 3 skipped by the environment, 254 usage, 255 internal.";

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a suite of trials and write a report.
    Run {
        /// Which trials.
        #[arg(value_enum, default_value_t = Suite::Quick)]
        suite: Suite,
        /// How.
        #[command(flatten)]
        options: RunOptions,
    },
    /// Explain suites, scenarios and store settings.
    List,
    /// Build the report of a result folder anew, from the data in it.
    Report {
        /// The folder of an earlier run.
        folder: PathBuf,
    },
}

/// Options of a run.
#[derive(Clone, Debug, Default, Args)]
pub struct RunOptions {
    /// Folder for the results; made if absent [default: a new folder under the temporary directory].
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Seed of everything random [default: from the clock; printed].
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Trials per scenario and store setting [default: the suite's].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub trials: Option<u16>,
    /// Only these scenarios, separated by commas.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "NAME")]
    pub only: Vec<Scenario>,
    /// Only these store settings, separated by commas.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "SETTING")]
    pub store: Vec<StoreSetting>,
    /// Test this broker's program instead of the broker that is linked into this one.
    #[arg(long, value_name = "PATH")]
    pub broker: Option<PathBuf>,
    /// Offered load, messages per second over all producers [default: 20000].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub rate: Option<u64>,
    /// Keep the folders of the nodes (configuration, logs, store) in the result folder.
    #[arg(long)]
    pub keep: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parse(line: &str) -> Result<Options, clap::Error> {
        Options::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn the_definition_is_consistent() {
        Options::command().debug_assert();
    }

    #[test]
    fn nothing_means_run_with_the_same_options() {
        let options = parse("chaos --seed 7 --store sync").expect("valid");
        assert!(options.command.is_none());
        assert_eq!((options.run.seed, options.run.store), (Some(7), vec![StoreSetting::Sync]));
        let options = parse("chaos run quick --only kill-active,slow-sync --trials 3 --out /tmp/x").expect("valid");
        let Some(Command::Run { suite: Suite::Quick, options }) = options.command else { panic!("it is a run") };
        assert_eq!(options.only, [Scenario::KillActive, Scenario::SlowSync]);
        assert_eq!(options.trials, Some(3));
    }

    #[test]
    fn mistakes_are_usage_errors() {
        for line in [
            "chaos run slow",
            "chaos --trials 0",
            "chaos run --store maybe",
            "chaos report",
            "chaos --seed 1 list",
            "chaos --rate 0",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
