//! The files that are read and checked and of which nothing comes yet: topics, durables, factories, routes, transports,
//! certified listeners and channels. Bridges are in `bridges`.

use super::entry::Entry;
use super::family::{self, SideFile};
use super::findings::{Findings, Spot, Weight};
use super::model::{Kept, StoreSpec};
use super::written::Settings;
use super::{queues, stores};
use std::net::SocketAddr;

/// All entries that are sound; `check` says whether one is. The first of two with one name counts, where `name`
/// tells what an entry is called.
fn read(
    file: &SideFile,
    entries: &[Entry],
    findings: &mut Findings,
    name: impl Fn(&Entry, &Settings) -> String,
    check: impl Fn(&Entry, &Settings, &mut Findings) -> bool,
) -> Vec<Kept> {
    let mut names: Vec<String> = Vec::new();
    let mut kept = Vec::new();
    for entry in entries {
        let settings = Settings::of(file.table, entry, findings);
        let full_name = name(entry, &settings);
        if names.contains(&full_name) {
            let message = "is named twice; the first counts";
            findings.add(Weight::Doubt, &entry.spot, &full_name, message, "remove one of the two");
            continue;
        }
        names.push(full_name);
        if check(entry, &settings, findings) {
            findings.unused(Weight::Unused, &entry.spot, &entry.name, file.unused);
            let properties = settings.written();
            kept.push(Kept { name: entry.name.clone(), properties, line: entry.spot.line });
        }
    }
    kept
}

fn read_named(
    file: &SideFile,
    entries: &[Entry],
    findings: &mut Findings,
    check: impl Fn(&Entry, &Settings, &mut Findings) -> bool,
) -> Vec<Kept> {
    read(file, entries, findings, |entry, _| entry.name.clone(), check)
}

/// topics.conf.
pub(super) fn topics(entries: &[Entry], stores: &[StoreSpec], findings: &mut Findings) -> Vec<Kept> {
    read_named(family::TOPICS, entries, findings, |entry, settings, findings| {
        let store = settings.text("store");
        let is_sound = queues::check_pattern(&entry.spot, &entry.name, findings);
        if settings.is_set("store") && !stores.iter().any(|known| known.name == store) {
            stores::report_unknown(settings.spot("store"), store, stores, findings);
            return false;
        }
        is_sound
    })
}

/// durables.conf.
pub(super) fn durables(entries: &[Entry], findings: &mut Findings) -> Vec<Kept> {
    let name = |entry: &Entry, settings: &Settings| {
        format!("{} {} {}", entry.name, settings.text("name"), settings.text("clientid")).trim_end().to_owned()
    };
    read(family::DURABLES, entries, findings, name, |entry, settings, findings| {
        if !settings.is_set("name") {
            findings.error(&entry.spot, "name", "is missing", "give the durable a name");
            return false;
        }
        queues::check_pattern(&entry.spot, &entry.name, findings)
    })
}

/// factories.conf and routes.conf: each entry leads somewhere.
pub(super) fn with_url(file: &SideFile, entries: &[Entry], findings: &mut Findings) -> Vec<Kept> {
    read_named(file, entries, findings, |entry, settings, findings| {
        let has_url = settings.is_set("url") || has_bad(entry, "url");
        if !has_url {
            let remedy = "add url = tcp://host:port, or with commas between the URLs of a pair";
            findings.error(&entry.spot, &entry.name, "has no url", remedy);
        }
        has_url
    })
}

/// transports.conf.
pub(super) fn transports(entries: &[Entry], findings: &mut Findings) -> Vec<Kept> {
    read_named(family::TRANSPORTS, entries, findings, |entry, settings, findings| {
        let is_first = entry.properties.first().is_some_and(|property| property.name == "type");
        if !is_first && !is_json(&entry.spot) {
            let message = "does not begin with its type";
            findings.error(&entry.spot, &entry.name, message, "put type=tibrv, tibrvcm or tibftl below [name]");
        } else if !settings.is_set("type") && !has_bad(entry, "type") {
            findings.error(&entry.spot, &entry.name, "has no type", "add type: tibrv, tibrvcm or tibftl");
        }
        settings.is_set("type")
    })
}

/// tibrvcm.conf.
pub(super) fn listeners(entries: &[Entry], transports: &[Kept], findings: &mut Findings) -> Vec<Kept> {
    let name = |entry: &Entry, settings: &Settings| format!("{} {}", entry.name, settings.text("listener"));
    read(family::LISTENERS, entries, findings, name, |entry, settings, findings| {
        let subject = settings.text("subject");
        if subject.is_empty() || subject.split('.').any(|element| ["", "*", ">"].contains(&element)) {
            let message = format!("'{subject}' is not the subject of a certified listener");
            findings.error(&entry.spot, "subject", message, "write elements with dots between, without wildcards");
            return false;
        }
        if !transports.iter().any(|transport| transport.name == entry.name) {
            let remedy = format!("add [{}] to transports.conf, or correct the name", entry.name);
            findings.error(&entry.spot, &entry.name, "is not a transport", remedy);
            return false;
        }
        true
    })
}

/// channels.conf.
pub(super) fn channels(entries: &[Entry], findings: &mut Findings) -> Vec<Kept> {
    read_named(family::CHANNELS, entries, findings, |_, settings, findings| {
        let address = settings.text("address");
        let is_group = address.parse::<SocketAddr>().is_ok_and(|address| address.ip().is_multicast());
        if !is_group {
            let message = format!("'{address}' is not the address of a multicast group");
            let spot = settings.spot("address");
            findings.error(spot, "address", message, "write address = ip:port, for instance 239.1.2.3:10");
        }
        is_group
    })
}

/// The order of keys says something in files only.
fn is_json(spot: &Spot) -> bool {
    !spot.path.is_empty()
}

/// Whether a property stands there; where it is not set, it was reported.
fn has_bad(entry: &Entry, name: &str) -> bool {
    entry.properties.iter().any(|property| property.name == name && property.value.as_deref() != Some(""))
}
