//! queues.conf: `name property,property=value`, one queue or pattern a line. Inheritance is the engine's.

use super::entry::Entry;
use super::findings::{Findings, Spot, Weight};
use super::model::{QueueSpec, StoreSpec};
use super::stores;
use super::tables::QUEUE;
use super::value;
use super::written::Settings;
use engine::{OverflowPolicy, Prefetch, QueueDefinition, StoreId};
use std::collections::HashSet;

/// All queues; the first of two with one name counts.
pub(super) fn read(entries: &[Entry], stores: &[StoreSpec], findings: &mut Findings) -> Vec<QueueSpec> {
    let mut queues: Vec<QueueSpec> = Vec::new();
    let mut names = HashSet::new();
    for entry in entries {
        let (spot, pattern) = (&entry.spot, &entry.name);
        if !check_pattern(spot, pattern, findings) {
            continue;
        }
        if !names.insert(pattern) {
            findings.add(Weight::Doubt, spot, pattern, "is named twice; the first counts", "remove this line");
            continue;
        }
        let settings = Settings::of(QUEUE, entry, findings);
        queues.push(QueueReader { spot, settings: &settings, stores, findings }.queue(pattern));
    }
    queues
}

/// Whether that may be a destination or a pattern; otherwise it is said why not.
pub(super) fn check_pattern(spot: &Spot, pattern: &str, findings: &mut Findings) -> bool {
    let checked = engine::check_pattern(pattern);
    if let Err(error) = &checked {
        let remedy = "write elements with dots between; * stands for one element, > as the last for one or more";
        findings.error(spot, pattern, error.to_string(), remedy);
    }
    checked.is_ok()
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
            stores::report_unknown(self.settings.spot("store"), name, self.stores, self.findings);
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
                self.findings.error(self.settings.spot("prefetch"), "prefetch", message, "write a number or none");
                Prefetch::Unset
            }
        }
    }

    fn max_redelivery(&mut self) -> u8 {
        let attempts = u8::try_from(self.settings.count("maxRedelivery")).expect("the row has that range");
        if attempts == 1 {
            let spot = self.settings.spot("maxRedelivery");
            self.findings.error(spot, "maxRedelivery", "1 is outside the range 2 to 255", "write 0 for no limit");
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
