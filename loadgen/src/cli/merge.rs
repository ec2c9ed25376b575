//! Owns `loadgen merge`: which files are read and written.

use std::fs::File;
use std::io::BufWriter;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use super::{UsageError, write_file};
use crate::hlog;
use crate::merge::Merged;
use crate::verdict::Ruling;

/// Exit codes: the worst verdict of the results, 0 if only logs were given.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  loadgen merge host-*.hlog --hlog all.hlog
  loadgen merge host-*.hlog host-*.json --json all.json")]
pub(super) struct MergeArguments {
    /// Interval logs (.hlog), and results (.json) of the same runs
    #[arg(value_name = "FILES", required = true)]
    files: Vec<PathBuf>,
    /// Write one interval log of all: intervals of the same time are one, by the wall clocks of their machines
    #[arg(long, value_name = "FILE")]
    hlog: Option<PathBuf>,
    /// Write the result as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

impl MergeArguments {
    pub(super) fn run(&self) -> anyhow::Result<Ruling> {
        let mut merged = Merged::default();
        for path in &self.files {
            let named = || format!("{}", path.display());
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("hlog") => merged.add_log(hlog::read(path).with_context(named).map_err(UsageError)?),
                Some("json") => {
                    let text = std::fs::read_to_string(path).with_context(named)?;
                    let result = serde_json::from_str(&text).with_context(named).map_err(UsageError)?;
                    merged.add_result(&result).with_context(named).map_err(UsageError)?;
                }
                _ => return Err(UsageError(anyhow::anyhow!("{}: give .hlog and .json files", path.display())).into()),
            }
        }
        print!("{}", merged.text());
        if let Some(path) = &self.hlog {
            let file = File::create(path).with_context(|| format!("writing {}", path.display()))?;
            merged.write_log(BufWriter::new(file)).with_context(|| format!("writing {}", path.display()))?;
        }
        if let Some(path) = &self.json {
            write_file(path, serde_json::to_string_pretty(&merged.json())?.as_bytes())?;
        }
        Ok(merged.verdict())
    }
}
