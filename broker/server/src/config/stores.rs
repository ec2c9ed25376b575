//! stores.conf: `[name]` and the keys of one store below it. The three stores that EMS ships always exist.

use super::entry::Entry;
use super::findings::{Findings, Spot, Weight};
use super::model::{Mode, StoreSpec};
use super::nearest::nearest;
use super::tables::STORE;
use super::written::Settings;

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
pub(super) fn read(entries: &[Entry], minimums: Minimums, findings: &mut Findings) -> (Vec<StoreSpec>, StoreSpec) {
    let mut stores = shipped(minimums);
    for (index, entry) in entries.iter().enumerate() {
        let settings = Settings::of(STORE, entry, findings);
        if entries[..index].iter().any(|other| other.name == entry.name) {
            findings.add(Weight::Doubt, &entry.spot, &entry.name, "is named twice", "remove one of the two sections");
        }
        if let Some(index) = read_section(entry, &settings, minimums, &mut stores, findings) {
            check_file(settings.spot("file"), &stores[index], &stores, findings);
        }
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

/// There is no store of that name.
pub(super) fn report_unknown(spot: &Spot, name: &str, stores: &[StoreSpec], findings: &mut Findings) {
    let remedy = match nearest(name, stores.iter().map(|store| store.name.as_str())) {
        Some(known) => format!("did you mean {known}?"),
        None => "add the store to stores.conf".to_owned(),
    };
    findings.error(spot, "store", format!("there is no store '{name}'"), remedy);
}

/// One section; the position of its store.
fn read_section(
    entry: &Entry,
    settings: &Settings,
    minimums: Minimums,
    stores: &mut Vec<StoreSpec>,
    findings: &mut Findings,
) -> Option<usize> {
    let (spot, name) = (&entry.spot, entry.name.as_str());
    let known = stores.iter().position(|store| store.name == name);
    if name.is_empty() || (known.is_none() && name.starts_with("$sys.")) {
        let remedy = "names that begin with $sys. are the server's: $sys.failsafe, $sys.nonfailsafe, $sys.meta";
        findings.error(spot, name, "is not a name for a store", remedy);
        return None;
    }
    if known.is_none() && !settings.is_set("file") {
        findings.error(spot, name, "has no file", "add file = name, a name inside the store folder");
        return None;
    }
    if known.is_none() && stores.len() > STORES_MAX {
        findings.error(spot, name, format!("is one store too many; {STORES_MAX} are possible"), "use fewer stores");
        return None;
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
    Some(index)
}

/// File names are plain and used once.
fn check_file(spot: &Spot, store: &StoreSpec, stores: &[StoreSpec], findings: &mut Findings) {
    let is_long = store.file.len() > FILE_NAME_BYTES_MAX;
    if is_long || store.file.contains('/') || store.file.starts_with('.') || store.file.is_empty() {
        let message = format!("'{}' is not a plain name", store.file);
        let remedy =
            format!("give a name inside the store folder, without a path, of at most {FILE_NAME_BYTES_MAX} bytes");
        findings.error(spot, &store.name, message, remedy);
    }
    if let Some(twin) = stores.iter().find(|other| other.name != store.name && other.file == store.file) {
        let message = format!("has the file '{}' of {}", store.file, twin.name);
        findings.error(spot, &store.name, message, "give each store a file of its own");
    }
}
