//! The plan of a run: everything that was decided before the first process is started, expanded from one seed.
//!
//! `expand` draws the random numbers, here and nowhere else, so the same seed and options give the same plan, byte for byte. A plan needs
//! nothing besides to be carried out: `settings` are the load and the pair, `fault` is what is done and when.

mod expand;
mod fault;
mod settings;

pub use expand::{Request, expand};
pub use fault::{Anchor, FaultPlan, When};
pub use settings::{LoadPlan, PairPlan};

use crate::scenario::{Backlog, Cell, Consume, Expect, PairSpec, Requirement, StoreSetting, Takeover};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Version of the layout of plan.json.
pub const SCHEMA: &str = "understudy.plan/2";

/// One trial.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrialPlan {
    /// Position in the run, from 1.
    pub number: usize,
    /// The scenario's name.
    pub scenario: String,
    /// Whether the standby shall become the active server.
    pub takeover: Takeover,
    /// What the machine must allow.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requires: Vec<Requirement>,
    /// Where the queue is stored.
    pub store: StoreSetting,
    /// What waits in the same store from before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backlog: Option<Backlog>,
    /// The server parameters that vary between the trials of the run, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, String>,
    /// How the pair is set up.
    pub pair: PairSpec,
    /// The load of this trial, where it is not that of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load: Option<LoadPlan>,
    /// When consumers take messages.
    #[serde(default)]
    pub consume: Consume,
    /// What must be seen besides the messages.
    pub expect: Expect,
    /// Seed of this trial, drawn from the run's.
    pub seed: u64,
    /// When the first fault that is no preparation comes after the warm-up, microseconds.
    pub fault_phase_us: u64,
    /// What is done. A fault waits for those before it, where its moment says so.
    pub faults: Vec<FaultPlan>,
    /// Faults that wait for those before them to be healed do not come later than this after the warm-up, microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_us: Option<u64>,
}

impl TrialPlan {
    /// Name of the trial's files, such as `trial-03-kill-active-sync`.
    pub fn file_stem(&self) -> String {
        format!("trial-{:02}-{}-{}", self.number, self.scenario, self.store)
    }

    /// The row of the tables that it belongs to.
    pub fn cell(&self) -> Cell {
        Cell {
            scenario: self.scenario.clone(),
            store: self.store,
            backlog: self.backlog,
            settings: self.settings.clone(),
        }
    }

    /// The parameters of both servers that go into their files as they are.
    pub fn extra_settings(&self) -> Vec<(String, String)> {
        let mut all = self.pair.settings.clone();
        all.extend(self.settings.clone());
        all.into_iter().filter(|(name, _)| !PairPlan::TIMES.contains(&name.as_str())).collect()
    }

    /// Whether it goes on with the store that `before` leaves. A small backlog is filled anew for each trial.
    pub fn shares_store_with(&self, before: &Self) -> bool {
        let size_bytes = |trial: &Self| trial.backlog.map(|backlog| backlog.size_bytes);
        let is_large = size_bytes(self).is_some_and(|bytes| bytes > REFILLED_BYTES_MAX);
        is_large && self.store == before.store && size_bytes(self) == size_bytes(before)
    }
}

/// Backlogs up to this size are filled anew for each trial, which takes seconds; above it, the trials of a size share one store.
const REFILLED_BYTES_MAX: u64 = 256 << 20;

/// The whole run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Always [`SCHEMA`].
    pub schema: String,
    /// Name of the suite.
    pub suite: String,
    /// The seed from which everything random was drawn.
    pub seed: u64,
    /// Load of every trial.
    pub load: LoadPlan,
    /// Settings of the pair.
    pub pair: PairPlan,
    /// The trials in the order in which they run.
    pub trials: Vec<TrialPlan>,
}

impl Plan {
    /// The load of a trial.
    pub fn load_of<'a>(&'a self, trial: &'a TrialPlan) -> &'a LoadPlan {
        trial.load.as_ref().unwrap_or(&self.load)
    }

    /// Changes the load of every trial, of those too whose scenario has one of its own.
    pub fn adapt_load(&mut self, change: impl Fn(LoadPlan) -> LoadPlan) {
        self.load = change(self.load.clone());
        for trial in &mut self.trials {
            trial.load = trial.load.take().map(&change);
        }
    }

    /// The pair's settings in a trial.
    pub fn pair_of(&self, trial: &TrialPlan) -> PairPlan {
        self.pair.clone().with(&trial.pair.settings).with(&trial.settings)
    }
}
