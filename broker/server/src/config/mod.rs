//! The configuration files of EMS, read in two steps: as written (names, values, lines), then as meant.

mod diagnostic;
mod model;

pub use diagnostic::{Diagnostic, Severity};
pub use model::{Configuration, Ft, Listen, Mode, QueueSpec, StoreSpec, User};

use std::path::Path;

/// Reads tibemsd.conf at `path` and the files that it names. `overrides` are `--set NAME=VALUE`; with `strict`
/// (`--check`) unknown names are errors.
///
/// # Errors
/// All diagnostics, when at least one is an error that must stop the start.
#[allow(clippy::todo)]
pub fn load(
    _path: &Path,
    _overrides: &[(String, String)],
    _strict: bool,
) -> Result<(Configuration, Vec<Diagnostic>), Vec<Diagnostic>> {
    todo!()
}
/// placeholder until merged
pub fn duration_ns(_text: &str) -> Result<u64, String> {
    todo!()
}
/// placeholder until merged
pub fn parameters_help() -> String {
    todo!()
}
