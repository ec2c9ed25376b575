//! The scenarios and suites that are shipped inside the program, and how a name or a file on the command line is found.

use super::read::{self, Source};
use super::{Entry, LoadSpec, Scenario, Standby, StoreSetting, Suite};
use crate::error::{AtPath, Error, Result};
use std::collections::BTreeMap;
use std::path::Path;

macro_rules! shipped {
    ($folder:literal: $($name:literal),+ $(,)?) => {
        [$(($name, include_str!(concat!("../../", $folder, "/", $name, ".toml")))),+]
    };
}

const SCENARIOS: &[(&str, &str)] = &shipped!(
    "scenarios": "kill-active",
    "kill-backlog",
    "pause-active",
    "delay-heartbeats",
    "delay-heartbeats-below",
    "slow-sync",
    "kill-standby",
    "kill-both",
    "kill-in-recovery",
    "kill-twice",
    "stop-clean",
    "restart-active",
    "rolling-restart",
    "starve-active",
    "partition",
    "partition-one-way",
    "partition-other-way",
    "client-partition",
    "jitter",
    "slow-link",
    "reset-clients",
    "refused-clients",
    "half-open-clients",
    "stalled-clients",
    "host-cut",
    "host-partition",
    "kill-cut-off-host",
    "host-crash",
    "torn-writes",
    "slow-disk",
    "disk-hang",
    "fsync-error",
    "disk-full",
    "read-only",
    "lock-lost",
    "zombie-write-back",
    "lying-fsync",
    "soak",
    "soak-disk",
);
const SUITES: &[(&str, &str)] =
    &shipped!("suites": "quick", "ci", "full", "soak", "disk", "control", "backlog", "pause");

/// Trials of a scenario that is run by itself.
const TRIALS_ALONE: usize = 2;

/// All shipped scenarios, in the order of `chaos list`.
pub fn scenarios() -> Vec<Scenario> {
    let read =
        |&(name, text): &(&str, &str)| read::scenario(Source { name, text }).expect("a test reads every shipped file");
    SCENARIOS.iter().map(read).collect()
}

/// All shipped suites, in the order of `chaos list`.
pub fn suites() -> Vec<Suite> {
    let read = |&(name, text): &(&str, &str)| {
        read::suite(Source { name, text }, scenario).expect("a test reads every shipped file")
    };
    SUITES.iter().map(read).collect()
}

/// The shipped scenario with this name.
pub fn scenario(name: &str) -> Result<Scenario> {
    let found = SCENARIOS.iter().find(|one| one.0 == name);
    let &(name, text) = found.ok_or_else(|| Error::Usage(format!("no scenario {name}; chaos list names them all")))?;
    read::scenario(Source { name, text })
}

/// What `chaos run` was asked for.
#[derive(Debug)]
pub struct Library;

impl Library {
    /// A shipped suite or scenario by its name, or a suite or scenario file by its path. A scenario alone becomes a suite of its own.
    /// In a suite's file, a scenario is a shipped one or a file beside it.
    pub fn find(name: &str) -> Result<Suite> {
        if let Some(suite) = suites().into_iter().find(|suite| suite.name == name) {
            return Ok(suite);
        }
        if !name.ends_with(".toml") {
            return scenario(name).map(alone).map_err(|_| {
                Error::Usage(format!(
                    "{name}: neither a suite nor a scenario, see chaos list; a file's name ends in .toml"
                ))
            });
        }
        let path = Path::new(name);
        let text = std::fs::read_to_string(path).at(path)?;
        let source = Source { name, text: &text };
        if !source.is_suite() {
            return read::scenario(source).map(alone);
        }
        let folder = path.parent().unwrap_or(Path::new("."));
        read::suite(source, |name| match name.ends_with(".toml") {
            true => read_scenario(&folder.join(name)),
            false => scenario(name),
        })
    }
}

fn read_scenario(path: &Path) -> Result<Scenario> {
    let text = std::fs::read_to_string(path).at(path)?;
    read::scenario(Source { name: &path.display().to_string(), text: &text })
}

fn alone(scenario: Scenario) -> Suite {
    Suite {
        name: scenario.name.clone(),
        explanation: scenario.explanation.clone(),
        stores: StoreSetting::ALL.to_vec(),
        load: LoadSpec::default(),
        settings: BTreeMap::new(),
        entries: vec![Entry {
            scenario,
            trials: TRIALS_ALONE,
            backlogs: Vec::new(),
            standbys: Standby::ALL.to_vec(),
            matrix: BTreeMap::new(),
        }],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_file_is_read_and_has_the_name_of_its_file() {
        let names = |list: &[(&str, &str)]| list.iter().map(|one| one.0.to_owned()).collect::<Vec<_>>();
        assert_eq!(scenarios().iter().map(|one| one.name.clone()).collect::<Vec<_>>(), names(SCENARIOS));
        assert_eq!(suites().iter().map(|one| one.name.clone()).collect::<Vec<_>>(), names(SUITES));
    }

    /// Every key of the table and of those in it.
    fn keys(table: &toml::Table) -> Vec<String> {
        let mut found = Vec::new();
        for (key, value) in table {
            found.push(key.clone());
            let inner = match value {
                // Parameters of the broker have a page of their own.
                toml::Value::Table(_) if key == "settings" || key == "matrix" => continue,
                toml::Value::Table(table) => vec![table],
                toml::Value::Array(list) => list.iter().filter_map(toml::Value::as_table).collect(),
                _ => continue,
            };
            found.extend(inner.into_iter().flat_map(keys));
        }
        found
    }

    #[test]
    fn every_key_of_a_shipped_file_and_every_fault_is_described() {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/SCENARIOS.md");
        let page = std::fs::read_to_string(page).expect("it is in the repository");
        let described = |word: &str| {
            page.contains(&format!("`{word}`"))
                || page.contains(&format!("`[{word}]`"))
                || page.contains(&format!("`[[{word}]]`"))
        };
        for (name, text) in SCENARIOS.iter().chain(SUITES) {
            let table: toml::Table = toml::from_str(text).expect("another test reads it");
            let missing: Vec<String> = keys(&table).into_iter().filter(|key| !described(key)).collect();
            assert!(missing.is_empty(), "{name}: {missing:?}");
        }
        let missing: Vec<&str> = crate::faults::Fault::names().into_iter().filter(|name| !described(name)).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }

    #[test]
    fn every_file_in_the_folders_is_shipped() {
        for (folder, list) in [("scenarios", SCENARIOS), ("suites", SUITES)] {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
            let count = std::fs::read_dir(folder).expect("it is in the repository").count();
            assert_eq!(count, list.len());
        }
    }

    #[test]
    fn a_file_of_the_user_is_a_suite_or_a_scenario() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).expect("the folder is ours");
            path.display().to_string()
        };
        let kill = SCENARIOS[0].1.replace("kill-active", "mine");
        let scenario = write("mine.toml", &kill);
        let suite = write(
            "all.toml",
            "name = \"all\"\nexplanation = \"e\"\n[[scenario]]\nname = \"mine.toml\"\n[[scenario]]\nname = \"slow-sync\"\n",
        );
        assert_eq!(Library::find(&scenario).expect("a scenario").entries[0].scenario.name, "mine");
        let names: Vec<_> =
            Library::find(&suite).expect("a suite").entries.into_iter().map(|one| one.scenario.name).collect();
        assert_eq!(names, ["mine", "slow-sync"]);
        assert!(matches!(Library::find("slow"), Err(Error::Usage(_))));
        assert!(matches!(Library::find("/no/such.toml"), Err(Error::File { .. })));
    }
}
