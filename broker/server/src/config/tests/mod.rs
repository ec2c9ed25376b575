//! Tests of the configuration, by example: a file, and what comes of it.

mod conversion;
mod garbage;
mod json;
mod meaning;
mod pages;
mod permissions;
mod problems;
mod side_files;
mod values;

use super::*;
use std::path::PathBuf;

/// A folder with configuration files, removed at the end.
pub(super) struct Folder {
    folder: tempfile::TempDir,
}

impl Folder {
    /// A folder with one `tibemsd.conf` and a queues.conf with `>`.
    pub(super) fn new(server: &str) -> Self {
        let folder = Self { folder: tempfile::tempdir().unwrap() };
        folder.with("tibemsd.conf", server).with("queues.conf", ">\n")
    }

    pub(super) fn with(self, name: &str, text: &str) -> Self {
        std::fs::write(self.folder.path().join(name), text).unwrap();
        self
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn load(&self, strict: bool) -> Result<(Configuration, Vec<Diagnostic>), Vec<Diagnostic>> {
        load(&self.path("tibemsd.conf"), &[], strict)
    }

    /// The configuration, without a single remark.
    pub(super) fn clean(&self) -> Configuration {
        let (configuration, remarks) = self.load(true).unwrap_or_else(|errors| panic!("{errors:#?}"));
        assert_eq!(remarks, []);
        configuration
    }

    /// All remarks, one a line, without the folder.
    pub(super) fn remarks(&self, strict: bool) -> String {
        let remarks = match self.load(strict) {
            Ok((_, remarks)) => remarks,
            Err(remarks) => {
                assert!(remarks.iter().any(|remark| remark.severity == Severity::Error), "errors stop, nothing else");
                remarks
            }
        };
        let folder = format!("{}/", self.folder.path().display());
        remarks.iter().map(|remark| format!("{remark}\n").replace(&folder, "")).collect()
    }
}

/// A main file, and all remarks on it at start.
pub(super) fn check(server: &str, expected: &str) {
    assert_eq!(Folder::new(server).remarks(false), expected, "for {server:?}");
}
