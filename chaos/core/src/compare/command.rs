//! The command `chaos compare`: its options, what it prints, and the files that it leaves.

use super::{Gate, Request};
use crate::error::{AtPath, Result};
use crate::report;
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// Options of a comparison.
#[derive(Clone, Debug, Args)]
pub struct CompareOptions {
    /// Result folder of the earlier run.
    pub base: PathBuf,
    /// Result folder of the later run.
    pub new: PathBuf,
    /// What may not become worse, and by how much, separated by commas: failover=10%,response-p99=5ms. Sets the exit code.
    #[arg(long, value_delimiter = ',', value_name = "FIGURE=INCREASE")]
    pub gate: Vec<Gate>,
    /// Folder for comparison.html, .md, .json, .csv and .svg; made if absent [default: NEW, whose report then shows it].
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// What is printed.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// Compare although load, settings or machine differ; the differences are listed.
    #[arg(long)]
    pub despite_differences: bool,
}

/// What is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For a terminal.
    Text,
    /// For a summary of a CI server.
    Markdown,
    /// For programs.
    Json,
}

/// Compares, prints, writes the files, and returns the exit code.
pub fn main(options: &CompareOptions) -> Result<i32> {
    let request = Request { gates: options.gate.clone(), despite_differences: options.despite_differences };
    let comparison = super::compare(&options.base, &options.new, &request)?;
    let folder = options.out.as_ref().unwrap_or(&options.new);
    std::fs::create_dir_all(folder).at(folder)?;
    comparison.write(folder)?;
    report::build_comparison(folder, &comparison)?;
    match options.format {
        Format::Text => print!("{}", report::comparison_text(&comparison)),
        Format::Markdown => print!("{}", report::comparison_markdown(&comparison)),
        Format::Json => println!("{}", comparison.to_json()?),
    }
    if options.format == Format::Text {
        println!("\npage: {}", folder.join(report::COMPARISON_HTML_FILE).display());
    }
    Ok(comparison.exit_code())
}
