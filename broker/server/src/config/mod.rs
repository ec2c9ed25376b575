//! The configuration files of EMS, read in two steps: as written (names, values, lines), then as meant.
//!
//! Start at [`load`]. `tables` knows every name; `written` reads files; `server_file`, `queues`, `users`, `groups`, `acl` and
//! `stores` give them meaning; `help` makes docs/PARAMETERS.md. Paths in a file are relative to the folder of the main file (in
//! EMS: to the working directory). Opens no store and no socket; with DB_FILES it looks whether the
//! store is there.

mod server_file;

mod acl;
mod groups;
mod queues;
mod stores;
mod users;

mod tables;
mod value;
mod written;

mod edit;
mod replace;

mod diagnostic;
mod findings;
mod help;
mod model;
mod nearest;
mod parameter;
mod permission;

#[cfg(test)]
mod tests;

pub use diagnostic::{Diagnostic, Severity};
pub use edit::{Form, Text};
pub use groups::{ADMINISTRATORS, EVERYBODY};
pub use help::parameters_help;
pub use model::{
    AclEntry, AclTarget, Configuration, Ft, Group, Listen, Mode, Paths, Principal, QueueSpec, StoreSpec, User,
};
pub use parameter::{Kind, Parameter, Status};
pub use permission::{ALL, Permission, Permissions, Scope};
pub use replace::{ReplaceError, replace};
pub use tables::{QUEUE, SERVER, STORE, Section};
pub use users::ADMINISTRATOR;
pub use value::ValueError;

use findings::Findings;
use std::path::Path;

/// Reads tibemsd.conf at `path` and the files that it names. `overrides` are `--set NAME=VALUE` and beat the file; with
/// `strict` (`--check`) unknown names and unreadable files are errors. All files are read to the end, so that one run
/// reports everything.
///
/// # Errors
/// All diagnostics, when at least one of them must stop the start.
pub fn load(
    path: &Path,
    overrides: &[(String, String)],
    strict: bool,
) -> Result<(Configuration, Vec<Diagnostic>), Vec<Diagnostic>> {
    let mut findings = Findings::default();
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let loaded = server_file::load(&path, overrides, &mut findings);
    let abort_on = loaded.as_ref().map_or(&[][..], |loaded| &loaded.abort_on);
    let diagnostics = findings.finish(strict, abort_on);
    match loaded {
        Some(loaded) if diagnostics.iter().all(|diagnostic| diagnostic.severity == Severity::Warning) => {
            Ok((loaded.configuration, diagnostics))
        }
        _ => Err(diagnostics),
    }
}

/// A switch as in the files (`enabled`, `off`).
///
/// # Errors
/// What is wrong with it and what to write, for people.
pub fn flag(text: &str) -> Result<bool, String> {
    value::flag(text).map_err(|error| format!("{error}: {}", error.remedy()))
}

/// The row of a parameter of tibemsd.conf.
pub fn parameter(name: &str) -> Option<&'static Parameter> {
    tables::find(SERVER, name)
}

/// What one line of queues.conf says, and what is wrong with it; doubts are errors, as under `--check`. `file` is the
/// file that it is for.
pub fn queue_line(file: &Path, line: &str, stores: &[StoreSpec]) -> (Option<QueueSpec>, Vec<Diagnostic>) {
    let mut findings = Findings::default();
    let spec = queues::parse(file, line, stores, &mut findings).pop();
    (spec, findings.finish(true, &[]))
}

/// The properties in a line of queues.conf, as written.
pub fn properties_of(line: &str) -> Vec<String> {
    queues::properties_of(line).map(str::to_owned).collect()
}

/// A time as in the files (`3`, `0.25`, `250ms`), in nanoseconds.
///
/// # Errors
/// What is wrong with it and what to write, for people.
pub fn duration_ns(text: &str) -> Result<u64, String> {
    value::nanos(text).map_err(|error| format!("{error}: {}", error.remedy()))
}
