//! One remark on a configuration file, made for the person who must mend it.

use std::fmt;
use std::path::PathBuf;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing is wrong, but something is not acted upon; told by `--check`.
    Note,
    /// The server starts all the same.
    Warning,
    /// The server does not start.
    Error,
}

/// One remark: where, what, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// The file, as it was named.
    pub file: PathBuf,
    /// Line, from 1; 0 = the file as a whole.
    pub line: usize,
    /// Where in a JSON file, as `queues[2].store`; empty in other files.
    pub path: String,
    /// The parameter or property, or empty.
    pub parameter: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub remedy: String,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.file.display())?;
        if self.line > 0 {
            write!(formatter, ":{}", self.line)?;
        }
        let severity = match self.severity {
            Severity::Note => "note",
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        write!(formatter, ": {severity}: ")?;
        if !self.path.is_empty() {
            write!(formatter, "{}: ", self.path)?;
        }
        if !self.parameter.is_empty() && !self.path.ends_with(&self.parameter) {
            write!(formatter, "{}: ", self.parameter)?;
        }
        write!(formatter, "{} ({})", self.message, self.remedy)
    }
}
