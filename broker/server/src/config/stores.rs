//! stores.conf: `[name]` and the keys of one store below it. The three stores that EMS ships always exist.

use super::findings::{Findings, Spot, Weight};
use super::model::{Mode, StoreSpec};
use super::tables::STORE;
use super::written::{Settings, lines};
use std::path::Path;

/// The store of queues without `store=`.
pub(super) const NONFAILSAFE: &str = "$sys.nonfailsafe";
/// The sync store that EMS ships.
pub(super) const FAILSAFE: &str = "$sys.failsafe";
/// The store of everything but messages.
const META: &str = "$sys.meta";

/// Position of [`NONFAILSAFE`] among the message stores.
pub(super) const DEFAULT: u8 = 0;

/// Message stores that may exist: the number of a store has three bits in a stored message.
const STORES_MAX: usize = 8;
/// Longest name of a store's file, in bytes.
const FILE_NAME_BYTES_MAX: usize = 64;

/// Bytes kept ready by kind, where a store says nothing itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Minimums {
    pub(super) sync: u64,
    pub(super) r#async: u64,
    pub(super) meta: u64,
}

/// The message stores (shipped ones first, then in file order, so that their numbers stay when one is added at the
/// end) and `$sys.meta`.
pub(super) fn parse(
    file: Option<(&Path, &str)>,
    minimums: Minimums,
    findings: &mut Findings,
) -> (Vec<StoreSpec>, StoreSpec) {
    let mut stores = shipped(minimums);
    if let Some((path, text)) = file {
        for (spot, name, settings) in sections(path, text, findings) {
            read_section(&spot, &name, &settings, minimums, &mut stores, findings);
        }
        check_files(path, &stores, findings);
    }
    let meta = stores.remove(META_INDEX);
    (stores, meta)
}

/// Position of `$sys.meta` in [`shipped`].
const META_INDEX: usize = 2;

fn shipped(minimums: Minimums) -> Vec<StoreSpec> {
    let store = |name: &str, file: &str, mode, minimum_bytes| StoreSpec {
        name: name.to_owned(),
        file: file.to_owned(),
        mode,
        minimum_bytes,
    };
    vec![
        store(NONFAILSAFE, "async-msgs.db", Mode::Async, minimums.r#async),
        store(FAILSAFE, "sync-msgs.db", Mode::Sync, minimums.sync),
        store(META, "meta.db", Mode::Sync, minimums.meta),
    ]
}

fn sections(path: &Path, text: &str, findings: &mut Findings) -> Vec<(Spot, String, Settings)> {
    let mut sections: Vec<(Spot, String, Settings)> = Vec::new();
    for (spot, line) in lines(path, text, findings) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            let settings = Settings::new(STORE, spot.clone());
            sections.push((spot, name.trim().to_owned(), settings));
            continue;
        }
        match (line.split_once('='), sections.last_mut()) {
            (Some((name, value)), Some((_, _, settings))) => settings.set(spot, name.trim(), value, findings),
            (Some(_), None) => findings.error(&spot, "", "stands before any store", "begin with [name of the store]"),
            (None, _) => findings.error(&spot, "", format!("'{line}' has no '='"), "write [name] or key = value"),
        }
    }
    sections
}

fn read_section(
    spot: &Spot,
    name: &str,
    settings: &Settings,
    minimums: Minimums,
    stores: &mut Vec<StoreSpec>,
    findings: &mut Findings,
) {
    let known = stores.iter().position(|store| store.name == name);
    if name.is_empty() || (known.is_none() && name.starts_with("$sys.")) {
        let remedy = "names that begin with $sys. are the server's: $sys.failsafe, $sys.nonfailsafe, $sys.meta";
        findings.error(spot, name, "is not a name for a store", remedy);
        return;
    }
    if known.is_none() && !settings.is_set("file") {
        findings.error(spot, name, "has no file", "add file = name, a name inside the store folder");
        return;
    }
    if known.is_none() && stores.len() > STORES_MAX {
        findings.error(spot, name, format!("is one store too many; {STORES_MAX} are possible"), "use fewer stores");
        return;
    }
    let mode = if settings.text("mode").eq_ignore_ascii_case("sync") { Mode::Sync } else { Mode::Async };
    let index = known.unwrap_or_else(|| {
        stores.push(StoreSpec { name: name.to_owned(), file: String::new(), mode, minimum_bytes: 0 });
        stores.len() - 1
    });
    let store = &mut stores[index];
    // $sys.meta is written sync whatever its mode says.
    if settings.is_set("mode") && index != META_INDEX {
        store.mode = mode;
    }
    if settings.is_set("file") {
        store.file = settings.text("file").to_owned();
    }
    let by_mode = if store.mode == Mode::Sync { minimums.sync } else { minimums.r#async };
    let inherited = if index == META_INDEX { minimums.meta } else { by_mode };
    let own = settings.bytes("file_minimum");
    store.minimum_bytes = if own == 0 { inherited } else { own };
}

/// File names are plain and used once.
fn check_files(path: &Path, stores: &[StoreSpec], findings: &mut Findings) {
    let spot = Spot::new(path, 0);
    for (index, store) in stores.iter().enumerate() {
        let is_long = store.file.len() > FILE_NAME_BYTES_MAX;
        if is_long || store.file.contains('/') || store.file.starts_with('.') || store.file.is_empty() {
            let message = format!("'{}' is not a plain name", store.file);
            let remedy =
                format!("give a name inside the store folder, without a path, of at most {FILE_NAME_BYTES_MAX} bytes");
            findings.error(&spot, &store.name, message, remedy);
        }
        if let Some(twin) = stores[..index].iter().find(|other| other.file == store.file) {
            let message = format!("has the file '{}' of {}", store.file, twin.name);
            findings.error(&spot, &store.name, message, "give each store a file of its own");
        }
        if stores[..index].iter().any(|other| other.name == store.name) {
            findings.add(Weight::Doubt, &spot, &store.name, "is named twice", "remove one of the two sections");
        }
    }
}
