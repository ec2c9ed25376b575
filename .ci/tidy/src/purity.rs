//! Words that have no place in a crate.
//!
//! Owns the list of what a pure crate must not touch (clock, thread, file, socket, randomness, environment), the ban
//! on switches for the simulator, the imports of the ledger and the verdict, and where the byte layout may be spelled.

use crate::Finding;
use crate::repository::Repository;
use crate::source::{Source, has_word, imports};

/// The crates without I/O, by folder. `disk` is one too; its simulated disk draws from a seed that it is given.
const PURE: [&str; 4] = ["broker/amqp/src/", "broker/disk/src/", "broker/engine/src/", "broker/store/src/"];

/// What no pure crate may name, and what to do instead.
const IMPURE: [(&str, &str); 20] = [
    ("std::time::Instant", "take the time as an argument (`now: Nanos`)"),
    ("std::time::SystemTime", "take the time as an argument"),
    ("std::time::UNIX_EPOCH", "take the time as an argument"),
    ("Instant::now", "take the time as an argument (`now: Nanos`)"),
    ("SystemTime::now", "take the time as an argument"),
    ("std::thread", "a pure crate runs on the caller's thread"),
    ("std::sync::Mutex", "one owner of each piece of state; no locks on the data path"),
    ("std::sync::RwLock", "one owner of each piece of state; no locks on the data path"),
    ("std::fs", "return a disk::DiskRequest"),
    ("std::net", "hand out bytes; sockets are the reactor's"),
    ("std::os", "file descriptors are the reactor's"),
    ("std::env", "take settings as an argument"),
    ("std::process", "return an error, or assert; ending the process is the server's"),
    ("std::io::stdout", "return an event; printing is the server's"),
    ("std::io::stderr", "return an event; printing is the server's"),
    ("rand", "take random numbers as an argument"),
    ("getrandom", "take random numbers as an argument"),
    ("libc", "system calls are the reactor's"),
    ("nix", "system calls are the reactor's"),
    ("tokio", "a pure crate has no runtime"),
];

/// Crates that must not know each other, as a word in the code: a re-export would pass the manifests.
const STRANGERS: [(&str, &[&str]); 3] = [
    ("broker/engine/src/", &["amqp", "store", "reactor", "disk"]),
    ("broker/store/src/", &["amqp", "engine", "reactor"]),
    ("broker/reactor/src/", &["amqp", "engine", "store"]),
];

/// Attributes that make production code behave differently under test.
const SWITCHES: [&str; 6] =
    ["cfg(feature", "cfg!(feature", "cfg!(test)", "cfg(not(test", "cfg(any(test", "cfg_attr(test"];

/// Ways to spell a byte layout.
const LAYOUT: [&str; 5] = ["_le_bytes", "_be_bytes", "_ne_bytes", "put_u", "get_u"];

/// No clock, thread, file, socket or randomness in a pure crate; no stranger's types.
pub fn check_words(repository: &Repository) -> Vec<Finding> {
    let mut findings = Vec::new();
    for folder in PURE {
        findings.extend(repository.sources_in(folder).flat_map(impure_words));
    }
    for (folder, strangers) in STRANGERS {
        findings.extend(repository.sources_in(folder).flat_map(|source| stranger_words(source, strangers)));
    }
    findings
}

/// Crates without even `std`: the compiler refuses what the list of words might miss.
const WITHOUT_STD: [&str; 2] = ["broker/amqp/src/lib.rs", "broker/engine/src/lib.rs"];

/// amqp and engine are built without `std`.
pub fn check_no_std(repository: &Repository) -> Vec<Finding> {
    let roots = repository.sources.iter().filter(|source| WITHOUT_STD.contains(&source.path.as_str()));
    roots.filter_map(with_std).collect()
}

fn with_std(source: &Source) -> Option<Finding> {
    let attribute = "#![cfg_attr(not(test), no_std)]";
    let without = source.code.iter().any(|code| code.trim() == attribute);
    (!without).then(|| Finding::new(&source.path, 1, format!("add `{attribute}`: a pure crate needs no std")))
}

fn impure_words(source: &Source) -> Vec<Finding> {
    let imported = imports(source.production());
    let named = source.production().map(|(line, code)| (line, code.to_string()));
    let mut findings = Vec::new();
    for (line, code) in imported.into_iter().chain(named) {
        for (word, remedy) in IMPURE.iter().filter(|(word, _)| names(&code, word)) {
            findings.push(Finding::new(&source.path, line, format!("`{word}` in a pure crate: {remedy}")));
        }
        if source.path.starts_with("broker/disk/") {
            continue;
        }
        if has_word(&code, "fastrand") {
            findings.push(Finding::new(
                &source.path,
                line,
                "`fastrand` in a pure crate: take random numbers as an argument",
            ));
        }
    }
    findings.sort();
    findings.dedup();
    findings
}

/// A word without `::` is a crate and counts as the root of a path only, so that a field may be called `nix`.
fn names(code: &str, word: &str) -> bool {
    if word.contains("::") {
        return has_word(code, word);
    }
    has_word(code, word) && code.contains(&format!("{word}::"))
}

fn stranger_words(source: &Source, strangers: &[&str]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (line, path) in imports(source.production()) {
        let root = path.split("::").next().unwrap_or("");
        if strangers.contains(&root) {
            findings.push(Finding::new(
                &source.path,
                line,
                format!("knows nothing of `{root}`: the server translates"),
            ));
        }
    }
    findings
}

/// Where the broker may have a runtime beside its loop.
const BROKER: &str = "broker/server/src/";
const MONITOR: &str = "broker/server/src/monitor/";

/// The broker's loop has no runtime: only its monitor, on a thread of its own, does.
pub fn check_runtime(repository: &Repository) -> Vec<Finding> {
    let others = repository.sources_in(BROKER).filter(|source| !source.path.starts_with(MONITOR));
    others.flat_map(runtime_words).collect()
}

fn runtime_words(source: &Source) -> Vec<Finding> {
    let lines = source.production().filter(|(_, code)| ["tokio", "hyper"].iter().any(|word| names(code, word)));
    let message = "a runtime on the loop's thread: only `monitor`, which has a thread of its own, may use one";
    lines.map(|(line, _)| Finding::new(&source.path, line, message)).collect()
}

/// No switch for tests or the simulator in production code: the double stands behind reactor's own types.
pub fn check_switches(repository: &Repository) -> Vec<Finding> {
    repository.sources.iter().filter(|source| !source.path.starts_with(".ci/")).flat_map(switches).collect()
}

fn switches(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (line, code) in source.production() {
        let dense: String = code.split_whitespace().collect();
        for switch in SWITCHES.iter().filter(|switch| dense.contains(**switch)) {
            let message =
                format!("`{switch}...`: production code must not know that it is tested; use the reactor's double");
            findings.push(Finding::new(&source.path, line, message));
        }
    }
    findings
}

/// The ledger and the verdict rest on std alone, so that a fault in a library cannot excuse a loss.
pub fn check_verdict(repository: &Repository) -> Vec<Finding> {
    let judges = |source: &&Source| {
        let name = source.path.trim_start_matches("loadgen/src/");
        name.starts_with("ledger") || name.starts_with("verdict")
    };
    repository.sources_in("loadgen/src/").filter(judges).flat_map(foreign_imports).collect()
}

fn foreign_imports(source: &Source) -> Vec<Finding> {
    let allowed = |path: &str| {
        let mut parts = path.split("::");
        match (parts.next().unwrap_or(""), parts.next().unwrap_or("")) {
            ("std" | "core" | "self" | "super" | "Self", _) => true,
            ("crate", module) => module == "ledger" || module == "verdict",
            (root, _) => !LIBRARIES.contains(&root),
        }
    };
    let imported = imports(source.production());
    let inline = source.production().filter(|(_, code)| !code.trim().starts_with("use "));
    let inline = inline.flat_map(|(line, code)| roots(code).into_iter().map(move |path| (line, path)));
    let all = imported.into_iter().chain(inline).filter(|(_, path)| !allowed(path));
    all.map(|(line, path)| {
        Finding::new(&source.path, line, format!("`{path}`: ledger and verdict use only std and each other"))
    })
    .collect()
}

/// What loadgen's manifest offers, and its own crate.
const LIBRARIES: [&str; 14] = [
    "amqp",
    "anyhow",
    "bytes",
    "clap",
    "fastrand",
    "hdrhistogram",
    "indicatif",
    "libc",
    "nix",
    "plotters",
    "serde",
    "serde_json",
    "thiserror",
    "tokio",
];

/// The paths that a line of code mentions, cut to their first two parts.
fn roots(code: &str) -> Vec<String> {
    let words = code.split(|character: char| !(character.is_alphanumeric() || character == '_' || character == ':'));
    let paths = words.filter(|word| word.contains("::"));
    paths.map(|path| path.split("::").take(2).collect::<Vec<_>>().join("::")).collect()
}

/// The byte layout of the store is spelled in `format.rs` alone.
pub fn check_layout(repository: &Repository) -> Vec<Finding> {
    repository.sources_in("broker/store/src/").flat_map(layout_words).collect()
}

fn layout_words(source: &Source) -> Vec<Finding> {
    if source.path.ends_with("/format.rs") || source.path.contains("/format/") {
        return Vec::new();
    }
    let spelled = |code: &str| LAYOUT.iter().any(|word| code.contains(word) && code.contains('('));
    let lines = source.production().filter(|(_, code)| spelled(code));
    lines
        .map(|(line, _)| {
            Finding::new(&source.path, line, "bytes are laid out in format.rs only: move the encoding there")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(findings: Vec<Finding>) -> Vec<usize> {
        findings.into_iter().map(|finding| finding.line).collect()
    }

    fn engine(text: &str) -> Source {
        Source::new("broker/engine/src/queue.rs", text, false)
    }

    #[test]
    fn clocks_files_and_randomness_are_found() {
        assert_eq!(lines(impure_words(&engine("use std::{mem, time::Instant};\n"))), [1]);
        assert_eq!(lines(impure_words(&engine("fn a() {\n    std::fs::read(x);\n}"))), [2]);
        assert_eq!(lines(impure_words(&engine("let a = fastrand::u32(..);"))), [1]);
        assert_eq!(lines(impure_words(&engine("use std::thread;"))), [1]);
        assert_eq!(lines(impure_words(&engine("let a = rand::random();"))), [1]);
    }

    #[test]
    fn comments_literals_and_tests_may_name_them() {
        let text = "//! std::fs is not used\nlet a = \"std::fs\";\n#[cfg(test)]\nmod tests {\n    use std::fs;\n}\n";
        assert_eq!(lines(impure_words(&engine(text))), [] as [usize; 0]);
    }

    #[test]
    fn a_runtime_is_found() {
        assert_eq!(lines(runtime_words(&engine("use std::mem;\nuse tokio::net::TcpStream;\n"))), [2]);
        assert_eq!(lines(runtime_words(&engine("let tokio = 1; // tokio::spawn\n"))), [] as [usize; 0]);
    }

    #[test]
    fn a_crate_with_std_is_found() {
        assert!(with_std(&engine("//! Queues.\n#![forbid(unsafe_code)]\n")).is_some());
        assert!(with_std(&engine("//! Queues.\n#![cfg_attr(not(test), no_std)]\n")).is_none());
    }

    #[test]
    fn strangers_are_found() {
        assert_eq!(lines(stranger_words(&engine("use std::mem;\nuse amqp::Header;"), &["amqp"])), [2]);
    }

    #[test]
    fn switches_are_found() {
        assert_eq!(lines(switches(&engine("#[cfg(feature = \"sim\")]\nfn a() {}\nif cfg!( test ) {}"))), [1, 3]);
        assert_eq!(lines(switches(&engine("#[cfg(test)]\nmod tests {}"))), [] as [usize; 0]);
    }

    #[test]
    fn the_verdict_uses_std_only() {
        let verdict = |text| foreign_imports(&Source::new("loadgen/src/verdict.rs", text, false));
        assert_eq!(lines(verdict("use std::mem;\nuse crate::ledger::Ledger;\nuse super::x;")), [] as [usize; 0]);
        assert_eq!(
            lines(verdict("use serde::Serialize;\nuse crate::client::Client;\nlet a = tokio::spawn(b);")),
            [1, 2, 3]
        );
    }

    #[test]
    fn the_layout_is_spelled_in_one_place() {
        let at = |path| layout_words(&Source::new(path, "out.extend(lsn.to_le_bytes());", false)).len();
        assert_eq!(at("broker/store/src/lane.rs"), 1);
        assert_eq!(at("broker/store/src/format.rs"), 0);
    }
}
