//! The command line: as typed. What it means is decided in [`crate::plan`] and `crate::run`.

use crate::compare::CompareOptions;
use crate::scenario::{Requirement, Standby, StoreSetting};
use clap::{Args, Parser, Subcommand, ValueEnum};
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
    "Exit codes: 0 pass, 1 violated, 2 unknown, 3 everything skipped by the environment, 254 usage, 255 internal.";

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a suite of trials and write a report.
    Run {
        /// A suite or a scenario that `chaos list` names, or the file of one of yours, which ends in .toml.
        #[arg(default_value = QUICK)]
        suite: String,
        /// How.
        #[command(flatten)]
        options: RunOptions,
    },
    /// Explain suites, scenarios and store settings.
    List,
    /// Run the plan of an earlier run again.
    Replay {
        /// The folder of the earlier run, or a plan's file, such as its shrunk-plan.json.
        path: PathBuf,
        /// Only this trial of it.
        #[arg(long, value_name = "N")]
        trial: Option<usize>,
        /// How.
        #[command(flatten)]
        options: ReplayOptions,
    },
    /// Build the report of a result folder anew, from the data in it.
    Report {
        /// The folder of an earlier run.
        folder: PathBuf,
    },
    /// Say whether a run differs from an earlier one, by how much, and how sure that is; with --gate, fail if it became worse.
    Compare(CompareOptions),
}

/// The suite that is run where none is named.
pub const QUICK: &str = "quick";
/// Replays of a disturbed trial, unless said otherwise.
pub const REPLAYS: u32 = 2;
/// Plays of a search for the fewest faults that still fail, unless said otherwise: enough for one fault out of twenty.
pub const SHRINK: u32 = 24;

/// Options of a run.
#[derive(Clone, Debug, Default, Args)]
pub struct RunOptions {
    /// Folder for the results; made if absent [default: a new folder under the temporary directory].
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Seed of everything random [default: from the clock; printed].
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Trials per scenario and store setting, or rounds of a measurement [default: the suite's].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub trials: Option<u16>,
    /// Only these scenarios, separated by commas.
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    pub only: Vec<String>,
    /// Only these store settings, separated by commas.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "SETTING")]
    pub store: Vec<StoreSetting>,
    /// Kill above backlogs of these sizes, such as 10MiB,1GiB, separated by commas [default: the suite's].
    #[arg(long, value_parser = loadgen::units::parse_size, value_delimiter = ',', value_name = "SIZE")]
    pub backlog: Vec<u64>,
    /// Whether the standby of a backlog follows the journal [default: both]; for `steady`, which one runs beside it [default: none].
    #[arg(long, value_enum, value_name = "KIND")]
    pub standby: Option<StandbyChoice>,
    /// Messages that wait in the queue of `startup` and `memory` [default: 2000000 and 5000000].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub messages: Option<u64>,
    /// Test this broker's program instead of the broker that is linked into this one.
    #[arg(long, value_name = "PATH")]
    pub broker: Option<PathBuf>,
    /// The broker's program that `steady` compares with.
    #[arg(long, value_name = "PATH")]
    pub against: Option<PathBuf>,
    /// Offered load, messages per second over all producers [default: the suite's: 20000, above backlogs 2000].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub rate: Option<u64>,
    /// How long faults are repeated in scenarios that repeat them, such as 10m [default: the scenario's].
    #[arg(long, value_parser = loadgen::units::parse_duration, value_name = "TIME")]
    pub duration: Option<std::time::Duration>,
    /// How often a trial is played again that could not be judged because the load generator itself was late: the machine was busy.
    #[arg(long, value_name = "N", default_value_t = REPLAYS, value_parser = clap::value_parser!(u32).range(0..=10))]
    pub replays: u32,
    /// Fail if the machine lacks one of these, instead of skipping the scenarios that need it.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "NEED")]
    pub require: Vec<Requirement>,
    /// How often something is played to reduce a trial that violated something with several faults to the fewest that do; 0: never.
    #[arg(long, value_name = "N", default_value_t = SHRINK, value_parser = clap::value_parser!(u32).range(0..=1000))]
    pub shrink: u32,
    /// Keep the folders of the nodes (configuration, logs, store) in the result folder.
    #[arg(long)]
    pub keep: bool,
}

/// Options of a replay: the plan has everything else.
#[derive(Clone, Debug, Args)]
pub struct ReplayOptions {
    /// Folder for the results; made if absent [default: a new folder under the temporary directory].
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Test this broker's program instead of the broker that is linked into this one.
    #[arg(long, value_name = "PATH")]
    pub broker: Option<PathBuf>,
    /// How often a trial is played again that could not be judged because the load generator itself was late.
    #[arg(long, value_name = "N", default_value_t = REPLAYS, value_parser = clap::value_parser!(u32).range(0..=10))]
    pub replays: u32,
    /// How often something is played to reduce a trial that violated something with several faults to the fewest that do; 0: never.
    #[arg(long, value_name = "N", default_value_t = SHRINK, value_parser = clap::value_parser!(u32).range(0..=1000))]
    pub shrink: u32,
    /// Keep the folders of the nodes in the result folder.
    #[arg(long)]
    pub keep: bool,
}

/// Which standbys are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum StandbyChoice {
    /// One that follows the journal of the active server.
    Hot,
    /// One that reads the store when it takes over.
    Cold,
    /// Each in turn.
    Both,
}

impl StandbyChoice {
    /// The kinds that are meant.
    pub fn kinds(self) -> &'static [Standby] {
        match self {
            Self::Hot => &[Standby::Hot],
            Self::Cold => &[Standby::Cold],
            Self::Both => &Standby::ALL,
        }
    }

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hot => "hot",
            Self::Cold => "cold",
            Self::Both => "both",
        }
    }
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
        let Some(Command::Run { suite, options }) = options.command else { panic!("it is a run") };
        assert_eq!(suite, "quick");
        assert_eq!(options.only, ["kill-active", "slow-sync"]);
        assert_eq!(options.trials, Some(3));
    }

    #[test]
    fn backlogs_are_sizes() {
        let options = parse("chaos run backlog --backlog 10MiB,1GiB --standby hot --trials 2").expect("valid");
        let Some(Command::Run { suite, options }) = options.command else { panic!("it is a run") };
        assert_eq!(suite, "backlog");
        assert_eq!(options.backlog, [10 << 20, 1 << 30]);
        assert_eq!(options.standby.map(StandbyChoice::kinds), Some([Standby::Hot].as_slice()));
    }

    #[test]
    fn mistakes_are_usage_errors() {
        for line in [
            "chaos --trials 0",
            "chaos run --store maybe",
            "chaos report",
            "chaos --seed 1 list",
            "chaos --rate 0",
            "chaos run backlog --backlog many",
            "chaos run backlog --standby warm",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
