//! What `chaos list` prints: every suite and scenario, what it is for, what it needs, and whether this machine has it.

use crate::machine::Machine;
use crate::measurement::MeasuringSuite;
use crate::scenario::{self, Entry, Scenario, StoreSetting, Suite};

/// The names stand in a column of this width.
const NAME_WIDTH: usize = 18;

/// The whole list.
pub(crate) fn list(machine: &Machine) -> String {
    let mut text = "Suites\n".to_owned();
    text += &scenario::suites().iter().map(|one| suite(one, machine)).collect::<String>();
    for suite in MeasuringSuite::ALL {
        text += &entry(suite.name(), suite.explanation());
        text += &entry("", &format!("  {} rounds", suite.rounds()));
    }
    text += "\nScenarios, each also a name for chaos run\n";
    text += &scenario::scenarios().iter().map(|one| described(one, machine)).collect::<String>();
    text += "\nStore settings\n";
    for (store, words) in [
        (StoreSetting::Sync, "store=$sys.failsafe: a send is confirmed when it is on disk; no loss is allowed"),
        (
            StoreSetting::Async,
            "store=$sys.nonfailsafe: a send is confirmed when it is accepted; a failover may cost the newest",
        ),
    ] {
        text += &entry(store.name(), words);
    }
    text
}

fn entry(name: &str, words: &str) -> String {
    format!("  {name:<NAME_WIDTH$} {words}\n")
}

fn suite(suite: &Suite, machine: &Machine) -> String {
    let skipped = suite.entries.iter().filter(|entry| machine.lacks(&entry.scenario.requires).is_some()).count();
    let mut text = entry(&suite.name, &suite.explanation);
    text += &suite.entries.iter().map(|one| entry("", &trials(one))).collect::<String>();
    if skipped > 0 {
        text += &entry("", &format!("  {skipped} of its scenarios would be skipped on this machine"));
    }
    text
}

fn trials(entry: &Entry) -> String {
    let mut per = "store setting".to_owned();
    if !entry.backlogs.is_empty() {
        per += ", backlog and standby";
    }
    for name in entry.matrix.keys() {
        per += &format!(", {name}");
    }
    format!("  {} x {} per {per}", entry.trials, entry.scenario.name)
}

fn described(scenario: &Scenario, machine: &Machine) -> String {
    let mut text = entry(&scenario.name, &scenario.explanation);
    if !scenario.requires.is_empty() {
        let names: Vec<String> = scenario.requires.iter().map(ToString::to_string).collect();
        let here = machine.lacks(&scenario.requires).map_or_else(
            || "which this machine has".to_owned(),
            |reason| format!("which this machine lacks, so that it is skipped: {reason}"),
        );
        text += &entry("", &format!("  requires {}, {here}", names.join(" and ")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_is_explained_and_every_suite_says_its_trials() {
        let text = list(&Machine::default());
        assert!(scenario::scenarios().iter().all(|one| text.contains(&one.explanation)));
        assert!(text.contains("6 x kill-active per store setting\n"), "{text}");
        assert!(text.contains("6 x kill-active per store setting, ft_activation, standby_tailing\n"), "{text}");
    }
}
