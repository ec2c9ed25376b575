//! queues.conf: `name property,property=value`, one queue or pattern a line. Inheritance is the engine's.

use super::findings::{Findings, Spot, Weight};
use super::model::{QueueSpec, StoreSpec};
use super::nearest::nearest;
use super::stores;
use super::tables::QUEUE;
use super::value;
use super::written::{Settings, lines};
use engine::{OverflowPolicy, Prefetch, QueueDefinition, StoreId};
use std::path::Path;

/// Value of a property that stands without one, where it is not a flag.
const FLOW_CONTROL_BARE: &str = "256KB";

/// All lines; the first of two with one name counts.
pub(super) fn parse(path: &Path, text: &str, stores: &[StoreSpec], findings: &mut Findings) -> Vec<QueueSpec> {
    let mut queues: Vec<QueueSpec> = Vec::new();
    for (spot, line) in lines(path, text, findings) {
        let (pattern, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        if let Err(error) = engine::check_pattern(pattern) {
            let remedy = "write elements with dots between; * stands for one element, > as the last for one or more";
            findings.error(&spot, pattern, error.to_string(), remedy);
            continue;
        }
        if queues.iter().any(|queue| queue.definition.pattern == pattern) {
            findings.add(Weight::Doubt, &spot, pattern, "is named twice; the first counts", "remove this line");
            continue;
        }
        let settings = properties(&spot, rest, findings);
        queues.push(QueueReader { spot: &spot, settings: &settings, stores, findings }.queue(pattern));
    }
    queues
}

fn properties(spot: &Spot, text: &str, findings: &mut Findings) -> Settings {
    let mut settings = Settings::new(QUEUE, spot.clone());
    for property in split_properties(text) {
        let (name, value) = match property.split_once('=') {
            Some((name, value)) => (name.trim(), value),
            None if property == "flowControl" => (property, FLOW_CONTROL_BARE),
            None => (property, "enabled"),
        };
        settings.set(spot.clone(), name, value, findings);
    }
    settings
}

/// The properties in a line, as written.
pub(super) fn properties_of(line: &str) -> impl Iterator<Item = &str> {
    let (_, rest) = line.trim().split_once(char::is_whitespace).unwrap_or((line, ""));
    split_properties(rest).into_iter()
}

/// Splits at commas outside double quotes; blanks around are dropped.
fn split_properties(text: &str) -> Vec<&str> {
    let mut quoted = false;
    let parts = text.split(move |letter| {
        quoted ^= letter == '"';
        letter == ',' && !quoted
    });
    parts.map(str::trim).filter(|part| !part.is_empty()).collect()
}

struct QueueReader<'r> {
    spot: &'r Spot,
    settings: &'r Settings,
    stores: &'r [StoreSpec],
    findings: &'r mut Findings,
}

impl QueueReader<'_> {
    fn queue(mut self, pattern: &str) -> QueueSpec {
        let settings = self.settings;
        let definition = QueueDefinition {
            pattern: pattern.to_owned(),
            store: self.store(),
            maxmsgs: settings.count("maxmsgs"),
            maxbytes: settings.bytes("maxbytes"),
            overflow: overflow(settings.text("overflowPolicy")),
            prefetch: self.prefetch(),
            exclusive: settings.flag("exclusive"),
            max_redelivery: self.max_redelivery(),
            expiration_ms: settings.is_set("expiration").then(|| settings.nanos("expiration") / 1_000_000),
        };
        QueueSpec { definition, secure: settings.flag("secure"), line: self.spot.line }
    }

    fn store(&mut self) -> Option<StoreId> {
        let name = match (self.settings.is_set("store"), self.settings.flag("failsafe")) {
            (true, _) => self.settings.text("store"),
            (false, true) => stores::FAILSAFE,
            (false, false) => return None,
        };
        let index = self.stores.iter().position(|store| store.name == name);
        if index.is_none() {
            let remedy = match nearest(name, self.stores.iter().map(|store| store.name.as_str())) {
                Some(known) => format!("did you mean {known}?"),
                None => "add the store to stores.conf".to_owned(),
            };
            self.findings.error(self.spot, "store", format!("there is no store '{name}'"), remedy);
        }
        index.map(|index| StoreId(u8::try_from(index).expect("stores.conf is bounded")))
    }

    fn prefetch(&mut self) -> Prefetch {
        let text = self.settings.text("prefetch");
        match value::count(text).map(u32::try_from) {
            _ if text.is_empty() => Prefetch::Unset,
            _ if text == "none" => Prefetch::None,
            Ok(Ok(0)) => Prefetch::Unset,
            Ok(Ok(count)) => Prefetch::Count(count),
            _ => {
                let message = format!("'{text}' is neither a number nor none");
                self.findings.error(self.spot, "prefetch", message, "write a number or none");
                Prefetch::Unset
            }
        }
    }

    fn max_redelivery(&mut self) -> u8 {
        let attempts = u8::try_from(self.settings.count("maxRedelivery")).expect("the row has that range");
        if attempts == 1 {
            self.findings.error(self.spot, "maxRedelivery", "1 is outside the range 2 to 255", "write 0 for no limit");
        }
        attempts
    }
}

fn overflow(word: &str) -> OverflowPolicy {
    match word.to_ascii_lowercase().as_str() {
        "discardold" => OverflowPolicy::DiscardOld,
        "rejectincoming" => OverflowPolicy::RejectIncoming,
        _ => OverflowPolicy::Default,
    }
}
