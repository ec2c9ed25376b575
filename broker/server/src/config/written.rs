//! The first step: files as written, names and values with their lines. Knows the tables, not the meaning.

use super::entry::{Entry, Property};
use super::findings::{Findings, Spot, Weight};
use super::nearest::nearest;
use super::parameter::{Kind, Parameter, Status};
use super::tables::{Section, find, rows};
use super::value;
use std::collections::BTreeMap;
use std::path::Path;

/// Longest line of a configuration file, in bytes (EMS's limit).
const LINE_BYTES_MAX: usize = 256_000;

/// The text of a file, or a finding of the given weight.
pub(super) fn read(path: &Path, parameter: &str, weight: Weight, findings: &mut Findings) -> Option<String> {
    let spot = Spot::new(path, 0);
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) => {
            let remedy = "create the file, correct the path, or let the server's user read it";
            findings.add(weight, &spot, parameter, format!("cannot be read: {error}"), remedy);
            return None;
        }
    };
    match String::from_utf8(bytes) {
        Ok(text) => Some(text),
        Err(error) => {
            let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = valid.iter().filter(|byte| **byte == b'\n').count() + 1;
            findings.error(&Spot::new(path, line), parameter, "is not UTF-8 text", "save the file as UTF-8");
            None
        }
    }
}

/// The lines that say something: trimmed, without blank lines and comments (`#` or `;` at the start of a line).
pub(super) fn lines<'t>(
    path: &'t Path,
    text: &'t str,
    findings: &mut Findings,
) -> impl Iterator<Item = (Spot, &'t str)> + use<'t> {
    for (index, _) in text.lines().enumerate().filter(|(_, line)| line.len() > LINE_BYTES_MAX) {
        let message = format!("the line is longer than {LINE_BYTES_MAX} bytes");
        findings.error(&Spot::new(path, index + 1), "", message, "shorten the line");
    }
    let numbered = text.lines().enumerate().filter(|(_, line)| line.len() <= LINE_BYTES_MAX);
    let trimmed = numbered.map(|(index, line)| (index + 1, line.trim_start_matches('\u{feff}').trim()));
    trimmed
        .filter(|(_, line)| !line.is_empty() && !line.starts_with(['#', ';']))
        .map(|(number, line)| (Spot::new(path, number), line))
}

/// The value inside double quotes, or the text itself.
pub(super) fn unquote(text: &str) -> &str {
    let text = text.trim();
    text.strip_prefix('"').and_then(|inner| inner.strip_suffix('"')).unwrap_or(text)
}

/// Value of `flowControl` that stands without one.
const FLOW_CONTROL_BARE: &str = "256KB";

/// One value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    pub(super) text: String,
    pub(super) spot: Spot,
}

/// Values by parameter; all checked against their rows.
#[derive(Debug)]
pub(super) struct Settings {
    table: &'static [Section],
    values: BTreeMap<&'static str, Vec<Setting>>,
    /// Where to point when a value is missing.
    whole: Spot,
}

impl Settings {
    pub(super) fn new(table: &'static [Section], whole: Spot) -> Self {
        Self { table, values: BTreeMap::new(), whole }
    }

    /// The properties of one entry.
    pub(super) fn of(table: &'static [Section], entry: &Entry, findings: &mut Findings) -> Self {
        let mut settings = Self::new(table, entry.spot.clone());
        entry.properties.iter().for_each(|property| settings.take(property, findings));
        settings
    }

    /// Takes one property as written; one that stands without a value is a flag.
    pub(super) fn take(&mut self, property: &Property, findings: &mut Findings) {
        let bare = if property.name == "flowControl" { FLOW_CONTROL_BARE } else { "enabled" };
        let value = property.value.as_deref().unwrap_or(bare);
        self.set(property.spot.clone(), &property.name, value, findings);
    }

    /// Takes one `name = value`; an empty value means the default and is ignored, as in EMS.
    pub(super) fn set(&mut self, spot: Spot, name: &str, text: &str, findings: &mut Findings) {
        let Some(row) = find(self.table, name) else {
            return self.report_unknown(&spot, name, findings);
        };
        let text = text.trim();
        if text.is_empty() {
            return;
        }
        if let Err(error) = row.check(text) {
            let range = row.range().map(|range| format!("; range {range}")).unwrap_or_default();
            findings.error(&spot, row.name, error.to_string(), format!("{}{range}", error.remedy()));
            return;
        }
        report_status(row, text, &spot, findings);
        let values = self.values.entry(row.name).or_default();
        if let Some(earlier) = values.last().filter(|_| !row.repeatable) {
            let message = format!("was set in line {} already; this one counts", earlier.spot.line);
            findings.add(Weight::Doubt, &spot, row.name, message, "remove one of the two lines");
            values.clear();
        }
        values.push(Setting { text: text.to_owned(), spot });
    }

    /// Like [`Settings::set`], in place of what the file says.
    pub(super) fn replace(&mut self, spot: Spot, name: &str, text: &str, findings: &mut Findings) {
        if let Some(row) = find(self.table, name) {
            self.values.remove(row.name);
        }
        self.set(spot, name, text, findings);
    }

    fn report_unknown(&self, spot: &Spot, name: &str, findings: &mut Findings) {
        let remedy = match nearest(name, rows(self.table).map(|row| row.name)) {
            Some(known) => format!("did you mean {known}?"),
            None => "remove the line; docs/PARAMETERS.md lists the names".to_owned(),
        };
        findings.add(Weight::Doubt, spot, name, "is not a known name", remedy);
    }

    fn row(&self, name: &str) -> &'static Parameter {
        find(self.table, name).expect("the meaning asks for rows of the table")
    }

    /// Where `name` was set last, or the file as a whole.
    pub(super) fn spot(&self, name: &str) -> &Spot {
        self.values.get(name).and_then(|values| values.last()).map_or(&self.whole, |setting| &setting.spot)
    }

    pub(super) fn is_set(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    /// The value, or the default; empty where there is neither.
    pub(super) fn text(&self, name: &str) -> &str {
        let row = self.row(name);
        self.values.get(row.name).and_then(|values| values.last()).map_or(row.default, |setting| &setting.text)
    }

    /// All that was set, as written, apart from the spelling of booleans; without the defaults.
    pub(super) fn written(&self) -> Vec<(String, String)> {
        let all = self.values.iter().flat_map(|(name, values)| values.iter().map(move |value| (*name, value)));
        let spelling = |name: &str, text: &str| match (self.row(name).kind, value::flag(text)) {
            (Kind::Flag, Ok(true)) => "enabled".to_owned(),
            (Kind::Flag, Ok(false)) => "disabled".to_owned(),
            _ => text.to_owned(),
        };
        all.map(|(name, value)| (name.to_owned(), spelling(name, &value.text))).collect()
    }

    /// All values of a repeatable parameter, or its default.
    pub(super) fn texts(&self, name: &str) -> Vec<Setting> {
        let row = self.row(name);
        let default = || Setting { text: row.default.to_owned(), spot: self.whole.clone() };
        self.values.get(row.name).cloned().unwrap_or_else(|| vec![default()])
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        value::flag(self.text(name)).expect("checked when it was set")
    }

    pub(super) fn nanos(&self, name: &str) -> u64 {
        value::nanos(self.text(name)).expect("checked when it was set")
    }

    /// A size; 0 stands for the default.
    pub(super) fn bytes(&self, name: &str) -> u64 {
        match value::bytes(self.text(name)).expect("checked when it was set") {
            0 if !self.row(name).default.is_empty() => value::bytes(self.row(name).default).expect("a sound row"),
            bytes => bytes,
        }
    }

    /// A size of which 0 is one.
    pub(super) fn bytes_or_none(&self, name: &str) -> u64 {
        value::bytes(self.text(name)).expect("checked when it was set")
    }

    pub(super) fn count(&self, name: &str) -> u64 {
        value::count(self.text(name)).expect("checked when it was set")
    }
}

/// Says so where a parameter has no effect, or must not be used.
fn report_status(row: &Parameter, text: &str, spot: &Spot, findings: &mut Findings) {
    if !row.differs_from_default(text) {
        return;
    }
    match row.status {
        Status::Implemented | Status::Kept => {}
        Status::Accepted(instead) => {
            let weight = if TRANSPORTS.contains(&row.name) { Weight::UnusedTransport } else { Weight::Unused };
            findings.unused(weight, spot, row.name, instead);
        }
        Status::Refused(remedy) => {
            findings.error(spot, row.name, format!("'{text}' is not supported"), remedy);
        }
    }
}

/// Parameters that ask for transports, which startup_abort_list can insist on.
const TRANSPORTS: [&str; 2] = ["tibrv_transports", "tibftl_transports"];
