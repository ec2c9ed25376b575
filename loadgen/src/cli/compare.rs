//! Owns `loadgen compare`: which files are read, and what the process says.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use super::{UsageError, write_file};
use crate::compare::Comparison;
use crate::hlog::{self, Entry};
use crate::verdict::Ruling;

/// Exit codes: 0 no figure is worse, 1 one is, 2 nothing follows from so little.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  loadgen compare base.hlog new.hlog
  loadgen compare base-1.hlog,base-2.hlog,base-3.hlog new-1.hlog,new-2.hlog,new-3.hlog --tolerance 5 --gate response.p99,response.rate

A figure is worse if its whole 95 % interval lies beyond the tolerance. The interval is that of a block bootstrap over the intervals of the
logs; of several runs, runs are drawn first. Exit codes: 0 not worse, 1 worse, 2 unknown, 254 usage, 255 internal.")]
pub(super) struct CompareArguments {
    /// Interval logs of the base, one for each run
    #[arg(value_name = "BASE", value_delimiter = ',', num_args = 1, required = true)]
    base: Vec<PathBuf>,
    /// Interval logs of the new runs
    #[arg(value_name = "NEW", value_delimiter = ',', num_args = 1, required = true)]
    new: Vec<PathBuf>,
    /// Differences up to this many percent do not count
    #[arg(long, value_name = "PERCENT", default_value_t = 5.0)]
    tolerance: f64,
    /// Only these figures decide, such as response.p99, delivery.p50, response.rate; without it all do
    #[arg(long, value_name = "FIGURES", value_delimiter = ',')]
    gate: Vec<String>,
    /// Runs put together by the bootstrap
    #[arg(long, value_name = "N", default_value_t = 2000, value_parser = clap::value_parser!(u32).range(100..))]
    resamples: u32,
    /// Makes the resampling repeatable
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write the result as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

impl CompareArguments {
    pub(super) fn run(&self) -> anyhow::Result<Ruling> {
        let (base, new) = (logs(&self.base)?, logs(&self.new)?);
        let comparison = Comparison {
            tolerance_percent: self.tolerance,
            resamples: self.resamples as usize,
            seed: self.seed,
            gate: self.gate.clone(),
        };
        let compared = comparison.compare(&base, &new);
        print!("{}", compared.text());
        if let Some(path) = &self.json {
            write_file(path, serde_json::to_string_pretty(&compared)?.as_bytes())?;
        }
        Ok(compared.ruling())
    }
}

fn logs(paths: &[PathBuf]) -> anyhow::Result<Vec<Vec<Entry>>> {
    let read = |path: &PathBuf| hlog::read(path).with_context(|| path.display().to_string());
    Ok(paths.iter().map(read).collect::<Result<_, _>>().map_err(UsageError)?)
}
