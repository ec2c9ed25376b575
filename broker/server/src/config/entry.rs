//! One line or section of a file as written, or one element of a list in tibemsd.json. Knows no table and no meaning.

use super::findings::{Findings, Spot};
use super::written::unquote;

/// One `name = value`, or a name that stands alone.
#[derive(Clone, Debug)]
pub(super) struct Property {
    pub(super) spot: Spot,
    pub(super) name: String,
    /// `None` = it stands alone, as a flag does.
    pub(super) value: Option<String>,
}

impl Property {
    pub(super) fn new(spot: Spot, name: &str, value: Option<&str>) -> Self {
        Self { spot, name: name.to_owned(), value: value.map(str::to_owned) }
    }
}

/// A name and what is said of it.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) spot: Spot,
    pub(super) name: String,
    pub(super) properties: Vec<Property>,
}

/// How the lines of a file make entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Syntax {
    /// `name property,property=value`
    Lines,
    /// `[name]`, then `key = value`
    Sections,
    /// `topic name property,property=value`: the second word is the property `name`.
    Durables,
    /// `[transport] listener subject`: the second and third word are properties.
    Listeners,
}

/// The entries of a file, or of a part of it.
pub(super) fn entries<'t>(
    syntax: Syntax,
    lines: impl Iterator<Item = (Spot, &'t str)>,
    findings: &mut Findings,
) -> Vec<Entry> {
    match syntax {
        Syntax::Sections => sections(lines, findings),
        Syntax::Lines => lines.filter_map(|(spot, line)| property_line(spot, line, findings)).collect(),
        Syntax::Durables => lines.filter_map(|(spot, line)| durable(spot, line, findings)).collect(),
        Syntax::Listeners => lines.filter_map(|(spot, line)| listener(spot, line, findings)).collect(),
    }
}

/// The lines of tibemsd.conf.
pub(super) fn assignments<'t>(lines: impl Iterator<Item = (Spot, &'t str)>, findings: &mut Findings) -> Vec<Property> {
    let mut properties = Vec::new();
    for (spot, line) in lines {
        match line.split_once('=') {
            Some((name, value)) => properties.extend(assignment(spot, name.trim(), value.trim(), findings)),
            None => findings.error(&spot, "", format!("'{line}' has no '='"), "write name = value"),
        }
    }
    properties
}

/// One `name = value`; `None` when the value's quote stays open. A quote within a value is a letter of it.
fn assignment(spot: Spot, name: &str, value: &str, findings: &mut Findings) -> Option<Property> {
    if value.starts_with('"') && !value.matches('"').count().is_multiple_of(2) {
        findings.error(&spot, name, UNCLOSED, CLOSE);
        return None;
    }
    Some(Property::new(spot, name, Some(unquote(value))))
}

const UNCLOSED: &str = "has a double quote that is not closed";
const CLOSE: &str = "close it on the same line";

fn sections<'t>(lines: impl Iterator<Item = (Spot, &'t str)>, findings: &mut Findings) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    for (spot, line) in lines {
        if let Some(rest) = line.strip_prefix('[') {
            if !rest.ends_with(']') {
                findings.error(&spot, "", format!("'{line}' has no ']' at its end"), "write [name]");
            }
            let name = rest.trim_end_matches(']').trim().to_owned();
            entries.push(Entry { spot, name, properties: Vec::new() });
            continue;
        }
        match (line.split_once('='), entries.last_mut()) {
            (Some((name, value)), Some(entry)) => {
                entry.properties.extend(assignment(spot, name.trim(), value.trim(), findings));
            }
            (Some(_), None) => findings.error(&spot, "", "stands before any [name]", "begin with a line [name]"),
            (None, _) => findings.error(&spot, "", format!("'{line}' has no '='"), "write [name] or key = value"),
        }
    }
    entries
}

fn property_line(spot: Spot, line: &str, findings: &mut Findings) -> Option<Entry> {
    let (name, rest) = first_word(line);
    let properties = properties(&spot, rest, findings)?;
    Some(Entry { spot, name: name.to_owned(), properties })
}

fn durable(spot: Spot, line: &str, findings: &mut Findings) -> Option<Entry> {
    let (topic, rest) = first_word(line);
    let (name, rest) = first_word(rest);
    if name.is_empty() {
        findings.error(&spot, topic, "has no name of a durable", "write topic durable-name property,property=value");
        return None;
    }
    let mut all = vec![Property::new(spot.clone(), "name", Some(name))];
    all.extend(properties(&spot, rest, findings)?);
    Some(Entry { spot, name: topic.to_owned(), properties: all })
}

fn listener(spot: Spot, line: &str, findings: &mut Findings) -> Option<Entry> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [transport, listener, subject] = words[..] else {
        findings.error(&spot, "", "is not a certified listener", "write [transport] listener-name subject");
        return None;
    };
    let transport = transport.trim_start_matches('[').trim_end_matches(']').to_owned();
    let property = |name, value| Property::new(spot.clone(), name, Some(value));
    let properties = vec![property("listener", listener), property("subject", subject)];
    Some(Entry { spot, name: transport, properties })
}

fn first_word(text: &str) -> (&str, &str) {
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    (word, rest.trim_start())
}

/// `property,property=value`; `None` when a quote stays open, so that nothing can be made of it.
fn properties(spot: &Spot, text: &str, findings: &mut Findings) -> Option<Vec<Property>> {
    if !text.matches('"').count().is_multiple_of(2) {
        findings.error(spot, "", UNCLOSED, CLOSE);
        return None;
    }
    let property = |text: &str| match text.split_once('=') {
        Some((name, value)) => Property::new(spot.clone(), name.trim(), Some(unquote(value))),
        None => Property::new(spot.clone(), text, None),
    };
    Some(split(text).into_iter().map(property).collect())
}

/// Splits at commas outside double quotes; blanks around are dropped.
pub(super) fn split(text: &str) -> Vec<&str> {
    let mut quoted = false;
    let parts = text.split(move |letter| {
        quoted ^= letter == '"';
        letter == ',' && !quoted
    });
    parts.map(str::trim).filter(|part| !part.is_empty()).collect()
}
