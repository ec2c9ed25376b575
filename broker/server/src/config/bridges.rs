//! bridges.conf: `[topic:source]` or `[queue:source]`, then `topic=target selector="..."` or `queue=target`. Read and
//! checked; nothing comes of them yet.

use super::entry::{Entry, Property};
use super::findings::{Findings, Weight};
use super::model::{Bridge, BridgeTarget, Destination};
use super::nearest::nearest;
use super::queues;
use super::written::unquote;

/// Why nothing comes of them.
const NO_BRIDGES: &str = "there are no bridges";
const KINDS: [&str; 2] = ["topic", "queue"];

/// All bridges that are sound; the first of two with one source counts.
pub(super) fn read(entries: &[Entry], findings: &mut Findings) -> Vec<Bridge> {
    let mut bridges: Vec<Bridge> = Vec::new();
    for entry in entries {
        let Some(source) = source(entry, findings) else { continue };
        if bridges.iter().any(|bridge| bridge.source == source) {
            let message = "is named twice; the first counts";
            findings.add(Weight::Doubt, &entry.spot, &entry.name, message, "move the targets below the first");
            continue;
        }
        let targets: Vec<_> = entry.properties.iter().filter_map(|property| target(property, findings)).collect();
        if entry.properties.is_empty() {
            findings.error(&entry.spot, &entry.name, "has no target", "add a line queue=name or topic=name");
        }
        findings.unused(Weight::Unused, &entry.spot, &entry.name, NO_BRIDGES);
        bridges.push(Bridge { source, targets, line: entry.spot.line });
    }
    bridges
}

fn source(entry: &Entry, findings: &mut Findings) -> Option<Destination> {
    let destination = entry.name.split_once(':').and_then(|(kind, name)| destination(kind, name));
    let Some(destination) = destination else {
        let message = format!("'{}' is not the source of a bridge", entry.name);
        findings.error(&entry.spot, "", message, "write [topic:name] or [queue:name]");
        return None;
    };
    queues::check_pattern(&entry.spot, destination.name(), findings).then_some(destination)
}

fn target(property: &Property, findings: &mut Findings) -> Option<BridgeTarget> {
    let spot = &property.spot;
    let (name, selector) = split_selector(property.value.as_deref().unwrap_or(""));
    let Some(destination) = destination(&property.name, name) else {
        let remedy = match nearest(&property.name, KINDS.into_iter()) {
            Some(known) => format!("did you mean {known}?"),
            None => "write queue=name or topic=name, and selector=\"...\" on the same line".to_owned(),
        };
        findings.error(spot, &property.name, "is not the target of a bridge", remedy);
        return None;
    };
    let selector = match selector {
        "" => None,
        written => match written.strip_prefix("selector=").filter(|text| is_quoted(text)) {
            Some(quoted) => Some(unquote(quoted).to_owned()),
            None => {
                let message = format!("'{written}' is not a selector");
                findings.error(spot, &property.name, message, "write selector=\"...\" behind the target");
                return None;
            }
        },
    };
    if name.contains(['*', '>']) {
        let remedy = "name one destination; only the source of a bridge may be a pattern";
        findings.error(spot, &property.name, format!("'{name}' is a pattern"), remedy);
        return None;
    }
    queues::check_pattern(spot, name, findings).then_some(BridgeTarget { destination, selector })
}

/// `name selector="..."`
pub(super) fn split_selector(value: &str) -> (&str, &str) {
    let (name, selector) = value.split_once(char::is_whitespace).unwrap_or((value, ""));
    (name, selector.trim())
}

fn is_quoted(text: &str) -> bool {
    text.len() >= 2 && text.starts_with('"') && text.ends_with('"')
}

fn destination(kind: &str, name: &str) -> Option<Destination> {
    match kind {
        "topic" => Some(Destination::Topic(name.to_owned())),
        "queue" => Some(Destination::Queue(name.to_owned())),
        _ => None,
    }
}
