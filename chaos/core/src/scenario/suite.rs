//! A suite: scenarios with their number of trials, and the settings with which each is tried.

use super::{LoadSpec, Scenario, Standby, StoreSetting};
use std::collections::BTreeMap;

/// A named list of scenarios with what varies between their trials.
#[derive(Clone, Debug, PartialEq)]
pub struct Suite {
    /// Its name on the command line.
    pub name: String,
    /// What it is for.
    pub explanation: String,
    /// Store settings, where none is asked for.
    pub stores: Vec<StoreSetting>,
    /// What it changes about the load.
    pub load: LoadSpec,
    /// Parameters of both servers in every trial, by name.
    pub settings: BTreeMap<String, String>,
    /// Its scenarios in the order of the report.
    pub entries: Vec<Entry>,
}

/// A scenario of a suite.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// What is done.
    pub scenario: Scenario,
    /// Trials for each store setting, backlog, standby and combination of `matrix`.
    pub trials: usize,
    /// Bodies of the messages that wait in the store from before, bytes; empty: none wait.
    pub backlogs: Vec<u64>,
    /// The standbys above each backlog.
    pub standbys: Vec<Standby>,
    /// Server parameters whose values are all tried, in every combination.
    pub matrix: BTreeMap<String, Vec<String>>,
}

impl Entry {
    /// Whether both have their trials in the same row of a table, where nobody could tell them apart.
    pub(super) fn is_same_row(&self, other: &Self) -> bool {
        let what = |entry: &Self| (entry.scenario.name.clone(), entry.backlogs.clone(), entry.matrix.clone());
        what(self) == what(other)
    }

    /// Every combination of the matrix; one without anything where it is empty.
    pub fn combinations(&self) -> Vec<BTreeMap<String, String>> {
        let mut all = vec![BTreeMap::new()];
        for (name, values) in &self.matrix {
            let with = |value: &String| {
                all.iter()
                    .map(|one| {
                        let mut one = one.clone();
                        one.insert(name.clone(), value.clone());
                        one
                    })
                    .collect::<Vec<_>>()
            };
            all = values.iter().flat_map(with).collect();
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matrix_is_tried_in_every_combination() {
        let mut entry = super::super::suites()[0].entries[0].clone();
        assert_eq!(entry.combinations(), [BTreeMap::new()]);
        let values = |list: &[&str]| list.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>();
        entry.matrix.insert("a".to_owned(), values(&["1", "2"]));
        entry.matrix.insert("b".to_owned(), values(&["x", "y", "z"]));
        let all = entry.combinations();
        assert_eq!(all.len(), 6);
        assert!(all.iter().all(|one| one.len() == 2));
    }
}
