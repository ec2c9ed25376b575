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
    /// Stops it under `--check` or with TRANSPORTS in startup_abort_list.
    Transport,
    /// Never stops: it is sound, and nothing comes of it. `--check` tells each, a start one line for each file.
    Unused,
    /// The same, of a transport: TRANSPORTS in startup_abort_list stops the start.
    UnusedTransport,
}

/// A place in a file.
#[derive(Clone, Debug)]
pub(super) struct Spot {
    pub(super) file: PathBuf,
    /// From 1; 0 = the file as a whole.
    pub(super) line: usize,
    /// In a JSON file: `queues[2].store`.
    pub(super) path: String,
}

impl Spot {
    pub(super) fn new(file: &Path, line: usize) -> Self {
        Self { file: file.to_owned(), line, path: String::new() }
    }

    /// A place in a JSON file.
    pub(super) fn in_json(file: &Path, line: usize, path: String) -> Self {
        Self { file: file.to_owned(), line, path }
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
            path: spot.path.clone(),
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

    /// Something sound of which nothing comes, and why.
    pub(super) fn unused(&mut self, weight: Weight, spot: &Spot, name: &str, reason: &str) {
        let remedy = "remove it, or leave it for EMS";
        self.add(weight, spot, name, format!("{UNUSED}: {reason}"), remedy);
    }

    /// How many there are, for [`Findings::soften`].
    pub(super) fn mark(&self) -> usize {
        self.items.len()
    }

    /// Errors found since `mark` weigh less.
    pub(super) fn soften(&mut self, mark: usize, weight: Weight) {
        for (found, _) in &mut self.items[mark..] {
            if *found == Weight::Error {
                *found = weight;
            }
        }
    }

    /// Findings since `mark` on lines of a text that was made from a JSON file get the places that the lines came from.
    pub(super) fn relocate(&mut self, mark: usize, spots: &[Spot]) {
        for (_, diagnostic) in &mut self.items[mark..] {
            if let Some(spot) = diagnostic.line.checked_sub(1).and_then(|index| spots.get(index)) {
                diagnostic.line = spot.line;
                diagnostic.path.clone_from(&spot.path);
            }
        }
    }

    /// Gives each finding its severity. `abort_on` are words of startup_abort_list.
    pub(super) fn finish(self, strict: bool, abort_on: &[&str]) -> Vec<Diagnostic> {
        let judge = |weight| match weight {
            Weight::Error => Severity::Error,
            Weight::Doubt if strict || abort_on.contains(&"CONFIG_ERRORS") => Severity::Error,
            Weight::MissingFile if strict || abort_on.contains(&"CONFIG_FILES") => Severity::Error,
            Weight::Transport if strict => Severity::Error,
            Weight::Transport | Weight::UnusedTransport if abort_on.contains(&"TRANSPORTS") => Severity::Error,
            Weight::Unused | Weight::UnusedTransport => Severity::Note,
            Weight::Warning | Weight::Doubt | Weight::MissingFile | Weight::Transport => Severity::Warning,
        };
        let judged = self.items.into_iter().map(|(weight, diagnostic)| (judge(weight), diagnostic));
        let judged = judged.map(|(severity, diagnostic)| Diagnostic { severity, ..diagnostic });
        if strict { judged.collect() } else { summarise(judged) }
    }
}

/// What is said of everything that is read and of which nothing comes.
const UNUSED: &str = "accepted, not acted upon";
/// Names that a summary tells.
const SUMMARY_NAMES_MAX: usize = 5;

/// One warning for all notes on a file, where the first of them stood.
fn summarise(diagnostics: impl Iterator<Item = Diagnostic>) -> Vec<Diagnostic> {
    let mut kept: Vec<Diagnostic> = Vec::new();
    let mut names: Vec<(PathBuf, Vec<String>)> = Vec::new();
    for diagnostic in diagnostics {
        if diagnostic.severity != Severity::Note {
            kept.push(diagnostic);
            continue;
        }
        match names.iter_mut().find(|(file, _)| *file == diagnostic.file) {
            Some((_, names)) => names.push(diagnostic.parameter),
            None => names.push((diagnostic.file, vec![diagnostic.parameter])),
        }
    }
    kept.extend(names.into_iter().map(|(file, names)| summary(file, &names)));
    kept
}

fn summary(file: PathBuf, names: &[String]) -> Diagnostic {
    let told = names.len().min(SUMMARY_NAMES_MAX);
    let more = if names.len() > told { format!(" and {} more", names.len() - told) } else { String::new() };
    Diagnostic {
        severity: Severity::Warning,
        file,
        line: 0,
        path: String::new(),
        parameter: String::new(),
        message: format!("{UNUSED}: {}{more}", names[..told].join(", ")),
        remedy: "broker --check tells the lines and why".to_owned(),
    }
}
