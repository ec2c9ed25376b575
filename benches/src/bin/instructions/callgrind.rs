//! Runs this program under callgrind and reads what it counted.
//!
//! Owns where an instruction belongs: to the crate whose source it comes from, inlined or not; what comes from a library belongs to
//! the crate whose function it was inlined into, or else to `libraries`.

use crate::layers::{LIBRARIES, SIMULATOR};
use anyhow::{Context, Result, ensure};
use std::collections::{BTreeMap, HashMap};
use std::process::Command;

/// Only what is called from here is counted.
const COUNTED: &str = "broker::broker::Broker::turn";
/// A piece of a source's path, the beginning of a function's name, and the layer.
const LAYERS: [(&str, &str, &str); 7] = [
    ("broker/reactor/src/sim/", "reactor::sim::", SIMULATOR),
    ("broker/disk/src/", "disk::", SIMULATOR),
    ("broker/amqp/src/", "amqp::", "amqp"),
    ("broker/engine/src/", "engine::", "engine"),
    ("broker/store/src/", "store::", "store"),
    ("broker/reactor/src/", "reactor::", "reactor"),
    ("broker/server/src/", "broker::", "server"),
];

/// Instructions by layer of one run of `drive`.
pub(crate) fn count(case: &str, messages: usize) -> Result<BTreeMap<String, u64>> {
    let out = tempfile::NamedTempFile::new()?;
    let status = Command::new("valgrind")
        .args(["--tool=callgrind", "--quiet", "--collect-atstart=no", &format!("--toggle-collect={COUNTED}")])
        .arg(format!("--callgrind-out-file={}", out.path().display()))
        .arg(std::env::current_exe()?)
        .args(["drive", case, &messages.to_string()])
        .status()
        .context("valgrind cannot be started: install it (apt-get install valgrind)")?;
    ensure!(status.success(), "{case} failed under valgrind: {status}");
    Ok(read(&std::fs::read_to_string(out.path())?))
}

/// Names that were given once and are numbers afterwards.
#[derive(Default)]
struct Names(HashMap<String, String>);

impl Names {
    fn name(&mut self, text: &str) -> String {
        let Some((id, rest)) = text.split_once(')') else { return text.to_owned() };
        if rest.is_empty() {
            return self.0.get(id).cloned().unwrap_or_default();
        }
        self.0.insert(id.to_owned(), rest.trim().to_owned());
        rest.trim().to_owned()
    }
}

/// Sums the lines of a callgrind file. Lines behind `calls=` tell what was called, which is counted there.
fn read(text: &str) -> BTreeMap<String, u64> {
    let (mut files, mut functions) = (Names::default(), Names::default());
    let (mut file, mut function, mut is_call) = (String::new(), String::new(), false);
    let mut counts = BTreeMap::new();
    for line in text.lines() {
        if let Some((key, value)) = line.split_once('=').filter(|(key, _)| key.len() <= 5) {
            match key {
                "fl" | "fi" | "fe" => file = files.name(value),
                "fn" => function = functions.name(value),
                "cfi" | "cfl" => drop(files.name(value)),
                "cfn" => drop(functions.name(value)),
                "calls" => is_call = true,
                _ => {}
            }
            continue;
        }
        if !line.starts_with(|first: char| first.is_ascii_digit() || "+-*".contains(first)) {
            continue;
        }
        let count = line.split(' ').nth(1).and_then(|count| count.parse::<u64>().ok());
        if let Some(count) = count.filter(|_| !std::mem::take(&mut is_call)) {
            *counts.entry(layer(&file, &function).to_owned()).or_default() += count;
        }
    }
    counts
}

fn layer(file: &str, function: &str) -> &'static str {
    let by_file = LAYERS.iter().find(|(path, _, _)| file.contains(path));
    let function = function.trim_start_matches('<');
    let by_function = || LAYERS.iter().find(|(_, name, _)| function.starts_with(name));
    by_file.or_else(by_function).map_or(LIBRARIES, |(_, _, layer)| layer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_belong_to_the_source_that_they_come_from() {
        let text = "events: Ir\nfl=(1) /x/broker/amqp/src/a.rs\nfn=(1) amqp::f\n10 5\n+1 7\nfi=(2) /rustc/core/slice.rs\n3 2\n\
                    cfi=(3) /x/broker/store/src/s.rs\ncfn=(2) store::g\ncalls=1 9\n4 1000\nfl=(3)\nfn=(2)\n9 1000\n\
                    fl=(4) /libc/memcpy.c\nfn=(3) memcpy\n1 11\ntotals: 1025\n";
        let expected = [("amqp", 14), ("libraries", 11), ("store", 1000)];
        assert_eq!(read(text), expected.map(|(layer, count)| (layer.to_owned(), count)).into());
    }

    #[test]
    fn the_simulated_machine_is_not_the_reactor() {
        assert_eq!(layer("/x/broker/reactor/src/sim/world.rs", "reactor::sim::World::step"), SIMULATOR);
        assert_eq!(layer("/x/broker/reactor/src/facade.rs", "reactor::facade::Reactor::wait"), "reactor");
        assert_eq!(layer("/rustc/alloc/vec.rs", "<amqp::connection::Connection>::send"), "amqp");
    }
}
