//! The configuration files of EMS, read in two steps: as written (names, values, lines), then as meant.
//!
//! Start at [`load`]. `tables` and `kept_tables` know every name, `family` every file. As written: `source` reads the
//! .conf files (`entry`, `written`) or one tibemsd.json (`json`), and gives the same of both. As meant: `server_file`,
//! `tls`, `queues`, `users`, `groups`, `acl`, `stores`, `monitors`, `bridges` and `kept`. `convert` makes one form of the other, `help` makes
//! docs/PARAMETERS.md. Paths in a file are relative to the folder of the main file (in EMS: to the working directory).
//! Opens no store and no socket; with DB_FILES it looks whether the store is there.

mod server_file;
mod tls;

mod convert;

mod acl;
mod bridges;
mod groups;
mod kept;
mod monitors;
mod queues;
mod stores;
mod users;

mod entry;
mod family;
mod json;
mod kept_tables;
mod source;
mod tables;
mod value;
mod written;

mod edit;
mod edit_json;
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

pub use convert::{Conversion, Converted, convert};
pub use diagnostic::{Diagnostic, Severity};
pub use edit::{Form, Text};
pub use edit_json::Tree;
pub use groups::{ADMINISTRATORS, EVERYBODY};
pub use help::parameters_help;
pub use kept_tables::{CHANNEL, DURABLE, FACTORY, LISTENER, ROUTE, TOPIC, TRANSPORT};
pub use model::{
    AclEntry, AclTarget, Bridge, BridgeTarget, Configuration, Destination, Ft, Group, Kept, KeptFiles, Listen, Mode,
    Paths, Principal, QueueSpec, Role, StoreSpec, TlsFiles, TlsSettings, User,
};
pub use parameter::{Kind, Parameter, Status};
pub use permission::{ALL, Permission, Permissions, Scope};
pub use replace::{ReplaceError, replace};
pub use tables::{QUEUE, SERVER, STORE, Section};
pub use users::ADMINISTRATOR;
pub use value::ValueError;

use findings::Findings;
use std::path::Path;

/// Reads tibemsd.conf at `path` and the files that it names, or one tibemsd.json as its primary server. `overrides` are
/// `--set NAME=VALUE` and beat the file; with `strict` (`--check`) unknown names and unreadable files are errors, and what
/// is not acted upon is told line by line. All files are read to the end, so that one run reports everything.
///
/// # Errors
/// All diagnostics, when at least one of them must stop the start.
pub fn load(
    path: &Path,
    overrides: &[(String, String)],
    strict: bool,
) -> Result<(Configuration, Vec<Diagnostic>), Vec<Diagnostic>> {
    load_as(Role::Primary, path, overrides, strict)
}

/// [`load`], for either server of a tibemsd.json.
///
/// # Errors
/// As [`load`]; also where a tibemsd.conf is asked for its secondary.
pub fn load_as(
    role: Role,
    path: &Path,
    overrides: &[(String, String)],
    strict: bool,
) -> Result<(Configuration, Vec<Diagnostic>), Vec<Diagnostic>> {
    let mut findings = Findings::default();
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let loaded = server_file::load(&path, role, overrides, &mut findings);
    let abort_on = loaded.as_ref().map_or(&[][..], |loaded| &loaded.abort_on);
    let diagnostics = findings.finish(strict, abort_on);
    match loaded {
        Some(loaded) if diagnostics.iter().all(|diagnostic| diagnostic.severity < Severity::Error) => {
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

/// All rows of tibemsd.conf.
pub fn parameters() -> impl Iterator<Item = &'static Parameter> {
    tables::rows(SERVER)
}

/// A size as in the files (`512MB`), in bytes.
///
/// # Errors
/// What is wrong with it and what to write, for people.
pub fn bytes(text: &str) -> Result<u64, String> {
    value::bytes(text).map_err(|error| format!("{error}: {}", error.remedy()))
}

/// What one line of queues.conf says, and what is wrong with it; doubts are errors, as under `--check`. `file` is the
/// file that it is for.
pub fn queue_line(file: &Path, line: &str, stores: &[StoreSpec]) -> (Option<QueueSpec>, Vec<Diagnostic>) {
    let mut findings = Findings::default();
    let lines: Vec<_> = written::lines(file, line, &mut findings).collect();
    let entries = entry::entries(entry::Syntax::Lines, lines.into_iter(), &mut findings);
    let spec = queues::read(&entries, stores, &mut findings).pop();
    (spec, findings.finish(true, &[]))
}

/// The properties in a line of queues.conf, as written.
pub fn properties_of(line: &str) -> Vec<String> {
    let (_, rest) = line.trim().split_once(char::is_whitespace).unwrap_or((line, ""));
    entry::split(rest).into_iter().map(str::to_owned).collect()
}

/// A time as in the files (`3`, `0.25`, `250ms`), in nanoseconds.
///
/// # Errors
/// What is wrong with it and what to write, for people.
pub fn duration_ns(text: &str) -> Result<u64, String> {
    value::nanos(text).map_err(|error| format!("{error}: {}", error.remedy()))
}
