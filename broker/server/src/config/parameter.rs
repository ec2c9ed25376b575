//! The shape of a row in the parameter tables, and the check of a value against its row.

use super::value::{self, ValueError};

/// What a parameter takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// A password; mangled ones are refused.
    Password,
    /// A file or folder.
    Path,
    /// A boolean.
    Flag,
    /// A time; the range is in nanoseconds, ends included.
    Time(u64, u64),
    /// A size; the range is in bytes, ends included. 0 is always allowed and means "not set" or "no limit".
    Size(u64, u64),
    /// A whole number; ends included.
    Count(u64, u64),
    /// One of some words.
    Choice(&'static [&'static str]),
    /// Several of some words, with commas between.
    Choices(&'static [&'static str]),
    /// Numbers with commas between.
    Counts,
    /// `tcp://host:port` or `ssl://host:port`.
    Address,
    /// URLs that clients understand, with commas between.
    ClientUrls,
    /// URLs of servers, with commas between; `+` separates those that share no state.
    ServerUrls,
}

/// What the server makes of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It does what the help says.
    Implemented,
    /// It is read and checked, but has no effect; a value other than the default gives a warning that says so.
    Accepted(&'static str),
    /// A value other than the default stops the start; the text is the remedy.
    Refused(&'static str),
    /// It is read, checked and kept; its file as a whole is not acted upon.
    Kept,
}

/// One row.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    /// As in the file.
    pub name: &'static str,
    /// Other spellings.
    pub aliases: &'static [&'static str],
    /// What it takes.
    pub kind: Kind,
    /// Value when it is missing or empty, as one would write it; empty = not set.
    pub default: &'static str,
    /// Whether it may stand more than once.
    pub repeatable: bool,
    /// What the server makes of it.
    pub status: Status,
    /// Whether a running server can be told another value.
    pub live: bool,
    /// For people.
    pub help: &'static str,
}

impl Parameter {
    pub(crate) const fn new(name: &'static str, kind: Kind, default: &'static str, help: &'static str) -> Self {
        Self { name, aliases: &[], kind, default, repeatable: false, status: Status::Implemented, live: false, help }
    }

    pub(crate) const fn accepted(self, instead: &'static str) -> Self {
        Self { status: Status::Accepted(instead), ..self }
    }

    pub(crate) const fn refused(self, remedy: &'static str) -> Self {
        Self { status: Status::Refused(remedy), ..self }
    }

    pub(crate) const fn kept(self) -> Self {
        Self { status: Status::Kept, ..self }
    }

    pub(crate) const fn live(self) -> Self {
        Self { live: true, ..self }
    }

    pub(crate) const fn repeatable(self) -> Self {
        Self { repeatable: true, ..self }
    }

    pub(crate) const fn alias(self, aliases: &'static [&'static str]) -> Self {
        Self { aliases, ..self }
    }

    pub(crate) fn is_called(&self, name: &str) -> bool {
        self.name == name || self.aliases.contains(&name)
    }

    /// Whether a value says something other than the default.
    pub(crate) fn differs_from_default(&self, text: &str) -> bool {
        match self.kind {
            Kind::Flag => value::flag(text) != value::flag(self.default),
            Kind::Time(..) => value::nanos(text) != value::nanos(self.default),
            Kind::Size(..) => value::bytes(text) != value::bytes(self.default),
            _ => text != self.default,
        }
    }

    /// Checks a value that is not empty.
    pub(crate) fn check(&self, text: &str) -> Result<(), ValueError> {
        match self.kind {
            Kind::Text | Kind::Path => Ok(()),
            Kind::Password if text.starts_with("$man$") => Err(ValueError::Mangled),
            Kind::Password => Ok(()),
            Kind::Flag => value::flag(text).map(drop),
            Kind::Time(least, most) => self.check_range(text, value::nanos(text)?, least, most),
            Kind::Size(..) if value::bytes(text)? == 0 => Ok(()),
            Kind::Size(least, most) => self.check_range(text, value::bytes(text)?, least, most),
            Kind::Count(least, most) => self.check_range(text, value::count(text)?, least, most),
            Kind::Choice(choices) => value::choice(text, choices).map(drop),
            Kind::Choices(choices) => {
                value::list(text).into_iter().try_for_each(|word| value::choice(word, choices).map(drop))
            }
            Kind::Counts => value::list(text).into_iter().try_for_each(|number| value::count(number).map(drop)),
            Kind::Address => value::address(text).map(drop),
            Kind::ClientUrls => value::list(text).into_iter().try_for_each(|url| value::client_url(url).map(drop)),
            Kind::ServerUrls => text.split([',', '+']).map(str::trim).try_for_each(|url| value::address(url).map(drop)),
        }
    }

    fn check_range(&self, text: &str, number: u64, least: u64, most: u64) -> Result<(), ValueError> {
        if (least..=most).contains(&number) {
            return Ok(());
        }
        Err(ValueError::Range(text.to_owned(), self.range().unwrap_or_default()))
    }

    /// The range, for people.
    pub fn range(&self) -> Option<String> {
        match self.kind {
            Kind::Time(least, most) => Some(format!("{} to {}", show_time(least), show_time(most))),
            Kind::Size(0, u64::MAX) => None,
            Kind::Size(least, u64::MAX) => Some(format!("0, or at least {}", show_size(least))),
            Kind::Size(least, most) => Some(format!("0, or {} to {}", show_size(least), show_size(most))),
            Kind::Count(least, u64::MAX) => Some(format!("at least {least}")),
            Kind::Count(least, most) => Some(format!("{least} to {most}")),
            _ => None,
        }
    }

    /// What it takes, for people.
    pub fn takes(&self) -> String {
        match self.kind {
            Kind::Text => "text".into(),
            Kind::Password => "password".into(),
            Kind::Path => "path".into(),
            Kind::Flag => "enabled or disabled".into(),
            Kind::Time(..) => "time in seconds".into(),
            Kind::Size(..) => "size".into(),
            Kind::Count(..) => "number".into(),
            Kind::Choice(choices) => choices.join(", "),
            Kind::Choices(choices) => format!("list of {}", choices.join(", ")),
            Kind::Counts => "list of numbers".into(),
            Kind::Address => "tcp://host:port".into(),
            Kind::ClientUrls => "list of amqp://host:port".into(),
            Kind::ServerUrls => "list of tcp://host:port".into(),
        }
    }
}

/// Nanoseconds of a day.
const DAY: u64 = 86_400 * 1_000_000_000;
/// Highest time that the tables allow: 100 years.
pub(crate) const FOREVER: u64 = 36_500 * DAY;

fn show_time(nanos: u64) -> String {
    match nanos {
        0 => "0".into(),
        _ if nanos < 1_000_000 => format!("{}us", nanos / 1_000),
        _ if nanos < 1_000_000_000 => format!("{}ms", nanos / 1_000_000),
        _ if nanos.is_multiple_of(DAY) => format!("{}day", nanos / DAY),
        _ => format!("{}s", nanos / 1_000_000_000),
    }
}

fn show_size(bytes: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GB"), (1 << 20, "MB"), (1 << 10, "KB")];
    let unit = UNITS.iter().find(|(unit, _)| bytes >= *unit && bytes.is_multiple_of(*unit));
    unit.map_or_else(|| bytes.to_string(), |(unit, name)| format!("{}{name}", bytes / unit))
}
