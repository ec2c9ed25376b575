//! Collects what is wrong with the files, so that one run reports everything, and decides at the end what stops the
//! start.

use super::diagnostic::{Diagnostic, Severity};
use std::path::{Path, PathBuf};

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weight {
    /// Always stops the start.
    Error,
    /// Never does.
    Warning,
    /// Stops it under `--check` or with CONFIG_ERRORS in startup_abort_list.
    Doubt,
    /// Stops it under `--check` or with CONFIG_FILES in startup_abort_list.
    MissingFile,
}

/// A place in a file.
#[derive(Clone, Debug)]
pub(super) struct Spot {
    pub(super) file: PathBuf,
    /// From 1; 0 = the file as a whole.
    pub(super) line: usize,
}

impl Spot {
    pub(super) fn new(file: &Path, line: usize) -> Self {
        Self { file: file.to_owned(), line }
    }
}

/// All findings so far.
#[derive(Debug, Default)]
pub(super) struct Findings {
    items: Vec<(Weight, Diagnostic)>,
}

impl Findings {
    pub(super) fn add(
        &mut self,
        weight: Weight,
        spot: &Spot,
        parameter: &str,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        let diagnostic = Diagnostic {
            severity: Severity::Warning,
            file: spot.file.clone(),
            line: spot.line,
            parameter: parameter.to_owned(),
            message: message.into(),
            remedy: remedy.into(),
        };
        self.items.push((weight, diagnostic));
    }

    pub(super) fn error(
        &mut self,
        spot: &Spot,
        parameter: &str,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.add(Weight::Error, spot, parameter, message, remedy);
    }

    /// Gives each finding its severity. `abort_on` are words of startup_abort_list.
    pub(super) fn finish(self, strict: bool, abort_on: &[&str]) -> Vec<Diagnostic> {
        let stops = |weight| match weight {
            Weight::Error => true,
            Weight::Warning => false,
            Weight::Doubt => strict || abort_on.contains(&"CONFIG_ERRORS"),
            Weight::MissingFile => strict || abort_on.contains(&"CONFIG_FILES"),
        };
        let judged = self.items.into_iter().map(|(weight, mut diagnostic)| {
            diagnostic.severity = if stops(weight) { Severity::Error } else { Severity::Warning };
            diagnostic
        });
        judged.collect()
    }
}
