//! What a person reads after a run. Everything is built from the files of the result folder, so that it can be built again.
//!
//! `theme` and `plots` draw, `html` lays out the page, `text` writes tables for terminals and Markdown, `junit` for CI servers.

mod junit;
#[cfg(test)]
pub(crate) mod synthetic;
mod text;

use crate::error::{AtPath, Result};
use crate::result::RunResult;
use std::path::Path;

pub use text::terminal_table;

/// Name of the page.
pub const HTML_FILE: &str = "report.html";

/// Builds all reports of a result folder and returns the result that they show.
pub fn build(folder: &Path) -> Result<RunResult> {
    let result = RunResult::read(folder)?;
    write(folder, "summary.md", &text::markdown(&result))?;
    write(folder, "trials.csv", &text::trials_csv(&result))?;
    write(folder, "junit.xml", &junit::document(&result)?)?;
    Ok(result)
}

fn write(folder: &Path, name: &str, text: &str) -> Result<()> {
    let path = folder.join(name);
    std::fs::write(&path, text).at(&path)
}
