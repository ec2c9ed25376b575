//! The plan of a run: everything that was decided before the first process is started, expanded from one seed.
//!
//! A plan draws its random numbers here and nowhere else, so the same seed and options give the same plan, byte for byte.

use crate::faults::Fault;
use crate::faults::network::NetworkFault;
use crate::faults::process::ProcessFault;
use crate::scenario::{
    After, Amount, Backlog, Cell, Consume, Entry, Expect, FaultSpec, LoadSpec, Moment, PairSpec, Requirement, Scenario,
    Standby, StoreSetting, Suite, Takeover,
};
use loadgen::units::{parse_bytes, parse_duration};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Version of the layout of plan.json.
pub const SCHEMA: &str = "understudy.plan/1";

/// The load of every trial: an open loop, so the schedule does not wait for the broker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoadPlan {
    /// Offered rate over all producers, messages per second.
    pub rate_per_s: u64,
    /// Body of each message, bytes.
    pub size_bytes: usize,
    /// Sending links, each on its own connection.
    pub producers: u32,
    /// Receiving links.
    pub consumers: u32,
    /// A server that is silent for so long counts as lost to a client, ms. A stopped server closes no socket, so this is a part of
    /// the failover time of `pause-active`.
    pub client_idle_timeout_ms: u64,
    /// Longest wait for one connection attempt, from TCP to the attached link, ms.
    pub client_connect_timeout_ms: u64,
    /// Unconfirmed messages that each producer may have in flight.
    pub window: u32,
    /// Messages that the consumer lets the broker send ahead.
    pub credit: u32,
    /// Time under load before the fault may come, ms.
    pub warm_up_ms: u64,
    /// Length of steady flow that counts as recovered, ms.
    pub steady_ms: u64,
    /// Longest wait for a recovery after the fault; beyond it the trial is right-censored, ms.
    pub recovery_limit_ms: u64,
    /// Longest wait for the latency to be back where it was while messages flow again; beyond it the time to steady flow is
    /// right-censored, ms.
    pub latency_limit_ms: u64,
    /// Longest wait for the queue to run dry after the last send, ms.
    pub drain_limit_ms: u64,
}

impl Default for LoadPlan {
    fn default() -> Self {
        Self {
            rate_per_s: 20_000,
            size_bytes: 1024,
            producers: 4,
            consumers: 1,
            client_idle_timeout_ms: 500,
            client_connect_timeout_ms: 250,
            window: 2000,
            credit: 1000,
            warm_up_ms: 2000,
            steady_ms: 2000,
            recovery_limit_ms: 15_000,
            latency_limit_ms: 4000,
            drain_limit_ms: 15_000,
        }
    }
}

impl LoadPlan {
    /// With what a suite or scenario changes; its values were checked when they were read.
    pub fn with(mut self, spec: &LoadSpec) -> Self {
        let ms = |target: &mut u64, text: &Option<String>| {
            if let Some(Ok(time)) = text.as_deref().map(parse_duration) {
                *target = time.as_millis() as u64;
            }
        };
        ms(&mut self.client_idle_timeout_ms, &spec.idle_timeout);
        ms(&mut self.client_connect_timeout_ms, &spec.connect_timeout);
        ms(&mut self.warm_up_ms, &spec.warmup);
        ms(&mut self.steady_ms, &spec.steady);
        ms(&mut self.recovery_limit_ms, &spec.recovery_limit);
        ms(&mut self.latency_limit_ms, &spec.latency_limit);
        ms(&mut self.drain_limit_ms, &spec.drain_limit);
        if let Some(Ok(bytes)) = spec.size.as_deref().map(parse_bytes) {
            self.size_bytes = bytes;
        }
        self.rate_per_s = spec.rate.unwrap_or(self.rate_per_s);
        self.producers = spec.producers.unwrap_or(self.producers);
        self.consumers = spec.consumers.unwrap_or(self.consumers);
        self.window = spec.window.unwrap_or(self.window);
        self.credit = spec.credit.unwrap_or(self.credit);
        self
    }
}

/// The settings of the pair that decide how fast it notices and how much an async store may lose.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PairPlan {
    /// `ft_heartbeat`, ms.
    pub ft_heartbeat_ms: u64,
    /// `ft_activation`, ms.
    pub ft_activation_ms: u64,
    /// `async_flush_interval`, ms: an async store writes at least this often.
    pub async_flush_interval_ms: u64,
    /// `async_unflushed_max`, bytes: an async store accepts no more while this much is not yet written.
    pub async_unflushed_bytes_max: u64,
    /// `segment_bytes`: small segments, since each trial fills its own with zeros.
    pub segment_bytes: u64,
}

impl Default for PairPlan {
    fn default() -> Self {
        Self {
            ft_heartbeat_ms: 100,
            ft_activation_ms: 500,
            async_flush_interval_ms: 10,
            async_unflushed_bytes_max: 4 << 20,
            segment_bytes: 16 << 20,
        }
    }
}

impl PairPlan {
    /// The parameters that are times which this program reckons with.
    pub const TIMES: [&str; 2] = ["ft_heartbeat", "ft_activation"];

    /// With the settings of a suite or trial, as far as this program reckons with them; values were checked when they were read.
    pub fn with(mut self, settings: &BTreeMap<String, String>) -> Self {
        for (name, target) in Self::TIMES.into_iter().zip([&mut self.ft_heartbeat_ms, &mut self.ft_activation_ms]) {
            if let Some(Ok(time)) = settings.get(name).map(|text| parse_duration(text)) {
                *target = time.as_millis() as u64;
            }
        }
        self
    }
}

/// One thing that is done to the pair, in order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum Step {
    /// Let the load run.
    Run {
        /// For how long, microseconds: the random phase of the fault makes it uneven.
        duration_us: u64,
    },
    /// SIGKILL to whichever node is active.
    KillActive,
    /// SIGSTOP to whichever node is active.
    StopActive,
    /// Wait until the standby has taken over, but at least this long after the fault.
    AwaitTakeover {
        /// Shortest wait, ms.
        at_least_ms: u64,
    },
    /// SIGCONT to the stopped node.
    ContinueVictim,
    /// The victim must end by itself with this exit code.
    ExpectExit {
        /// Exit code of a fenced server.
        code: i32,
    },
    /// Start the victim again; it becomes the standby.
    RestartVictim,
    /// Delay the fault-tolerance link in both directions, ms.
    DelayLink {
        /// Added delay, ms; 0 heals.
        delay_ms: u64,
    },
    /// The consumer closes its connection.
    ConsumerLeaves,
    /// The consumer connects again.
    ConsumerReturns,
    /// Run on until the flow has been steady for the load's `steady_ms`, or the recovery limit.
    AwaitSteady,
    /// Stop sending, let the consumer empty the queue, judge.
    Drain,
}

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
    /// What must be seen besides the messages.
    pub expect: Expect,
    /// Seed of this trial, drawn from the run's.
    pub seed: u64,
    /// When the fault comes after the warm-up, microseconds: uniform over one `ft_activation`, which holds several heartbeats and flushes.
    pub fault_phase_us: u64,
    /// What is done, in order.
    pub steps: Vec<Step>,
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
/// The slowest recovery that is waited for, bytes a second: a cold standby reads the whole store.
const RECOVERY_BYTES_PER_S_MIN: u64 = 64 << 20;

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

    /// The pair's settings in a trial.
    pub fn pair_of(&self, trial: &TrialPlan) -> PairPlan {
        self.pair.clone().with(&trial.pair.settings).with(&trial.settings)
    }
}

/// What a plan is made from.
#[derive(Clone, Debug)]
pub struct Request {
    /// Suite.
    pub suite: Suite,
    /// Seed.
    pub seed: u64,
    /// Trials per scenario and store setting, instead of the suite's.
    pub trials: Option<usize>,
    /// Names of scenarios; empty means all.
    pub only: Vec<String>,
    /// Store settings; empty means the suite's.
    pub stores: Vec<StoreSetting>,
    /// Backlogs of the scenarios whose consumers leave, bytes; empty means the suite's.
    pub backlogs: Vec<u64>,
    /// Standbys of each backlog; empty means both.
    pub standbys: Vec<Standby>,
    /// Load of every trial.
    pub load: LoadPlan,
}

#[cfg(test)]
impl Request {
    /// A shipped suite as it is.
    pub(crate) fn of(suite: &str, seed: u64) -> Self {
        Self {
            suite: crate::scenario::Library::find(suite).expect("it is shipped"),
            seed,
            trials: None,
            only: vec![],
            stores: vec![],
            backlogs: vec![],
            standbys: vec![],
            load: LoadPlan::default(),
        }
    }
}

/// Expands a request. Store settings and scenarios alternate, so that a machine that gets slower during the run slows all of them alike.
pub fn expand(request: &Request) -> Plan {
    let entries: Vec<Entry> = request.suite.entries.iter().filter_map(|entry| asked(request, entry)).collect();
    let largest = entries.iter().flat_map(|entry| &entry.backlogs).max().copied().unwrap_or(0);
    let mut load = request.load.clone();
    load.recovery_limit_ms += largest / RECOVERY_BYTES_PER_S_MIN * 1000;
    let mut draft = Draft {
        random: fastrand::Rng::with_seed(request.seed),
        settings: request.suite.settings.clone(),
        plan: Plan {
            schema: SCHEMA.to_owned(),
            suite: request.suite.name.clone(),
            seed: request.seed,
            load,
            pair: PairPlan::default().with(&request.suite.settings),
            trials: Vec::new(),
        },
    };
    let stores = or_default(&request.stores, &request.suite.stores);
    let rounds = entries.iter().map(|entry| entry.trials).max().unwrap_or(0);
    for round in 0..rounds {
        for entry in entries.iter().filter(|entry| round < entry.trials && entry.backlogs.is_empty()) {
            for settings in entry.combinations() {
                for &store in stores {
                    draft.add(&entry.scenario, store, None, settings.clone());
                }
            }
        }
    }
    for entry in entries.iter().filter(|entry| !entry.backlogs.is_empty()) {
        draft.add_backlogs(entry, stores);
    }
    draft.plan
}

/// An entry of the suite with what the command line changes about it; `None` if it was not asked for.
fn asked(request: &Request, entry: &Entry) -> Option<Entry> {
    if !request.only.is_empty() && !request.only.contains(&entry.scenario.name) {
        return None;
    }
    let mut entry = entry.clone();
    entry.trials = request.trials.unwrap_or(entry.trials);
    if entry.scenario.load.consume == Some(Consume::LeaveBeforeFault) {
        entry.backlogs = or_default(&request.backlogs, &entry.backlogs).to_vec();
    }
    entry.standbys = or_default(&request.standbys, &entry.standbys).to_vec();
    Some(entry)
}

/// A plan under way.
struct Draft {
    random: fastrand::Rng,
    /// Of the suite: parameters of both servers in every trial.
    settings: BTreeMap<String, String>,
    plan: Plan,
}

impl Draft {
    fn add(
        &mut self,
        scenario: &Scenario,
        store: StoreSetting,
        backlog: Option<Backlog>,
        settings: BTreeMap<String, String>,
    ) {
        let plan = &mut self.plan;
        let mut pair = scenario.pair.clone();
        for (name, value) in &self.settings {
            pair.settings.entry(name.clone()).or_insert_with(|| value.clone());
        }
        let times = plan.pair.clone().with(&pair.settings).with(&settings);
        let fault_phase_us = self.random.u64(0..times.ft_activation_ms * 1000);
        let load = plan.load.clone().with(&scenario.load);
        let steps = steps(scenario, &load, &times, fault_phase_us);
        plan.trials.push(TrialPlan {
            number: plan.trials.len() + 1,
            scenario: scenario.name.clone(),
            takeover: scenario.takeover,
            requires: scenario.requires.clone(),
            store,
            backlog,
            settings,
            pair,
            load: (load != plan.load).then_some(load),
            expect: scenario.expect.clone(),
            seed: self.random.u64(..),
            fault_phase_us,
            steps,
        });
    }

    /// The standbys alternate; sizes and stores do not, so that a large backlog is filled once.
    fn add_backlogs(&mut self, entry: &Entry, stores: &[StoreSetting]) {
        for settings in entry.combinations() {
            for &store in stores {
                for &size_bytes in &entry.backlogs {
                    for &standby in std::iter::repeat_n(&entry.standbys, entry.trials).flatten() {
                        let backlog = Some(Backlog { size_bytes, standby });
                        self.add(&entry.scenario, store, backlog, settings.clone());
                    }
                }
            }
        }
    }
}

/// What was asked for, or what is usual.
fn or_default<'a, T>(asked: &'a [T], usual: &'a [T]) -> &'a [T] {
    if asked.is_empty() { usual } else { asked }
}

fn steps(scenario: &Scenario, load: &LoadPlan, pair: &PairPlan, phase_us: u64) -> Vec<Step> {
    let leaves = scenario.load.consume == Some(Consume::LeaveBeforeFault);
    let mut steps = vec![Step::Run { duration_us: load.warm_up_ms * 1000 + phase_us }];
    if leaves {
        steps.extend([Step::ConsumerLeaves, Step::Run { duration_us: AWAY_BEFORE_FAULT_US }]);
    }
    for FaultSpec { fault, heal, .. } in &scenario.faults {
        let ms = |amount: &Amount| amount.duration(pair).as_millis() as u64;
        let at_least_ms = heal.as_ref().and_then(|heal| heal.at_least.as_ref()).map_or(0, ms);
        let takeover = Step::AwaitTakeover { at_least_ms };
        match fault {
            Fault::Process(ProcessFault::Kill {}) => steps.extend([Step::KillActive, takeover, Step::RestartVictim]),
            Fault::Process(ProcessFault::Stop {}) => {
                steps.extend([Step::StopActive, takeover, Step::ContinueVictim]);
                steps.extend(scenario.expect.exit_code.map(|code| Step::ExpectExit { code }));
                steps.push(Step::RestartVictim);
            }
            Fault::Network(NetworkFault::Delay { amount }) => {
                steps.push(Step::DelayLink { delay_ms: ms(amount) });
                if let Some(Moment { after: After::Time(time), .. }) = heal {
                    steps.push(Step::Run { duration_us: ms(time) * 1000 });
                }
                steps.push(Step::DelayLink { delay_ms: 0 });
            }
        }
    }
    if leaves {
        steps.push(Step::ConsumerReturns);
    }
    steps.extend([Step::AwaitSteady, Step::Drain]);
    steps
}

/// How long before the fault the consumer leaves: longer than several flushes, so that what is lost was never offered to it.
const AWAY_BEFORE_FAULT_US: u64 = 100_000;
/// What a fenced server leaves with.
pub const EXIT_CODE_FENCED: i32 = 75;

#[cfg(test)]
mod tests {
    use super::*;

    fn request(seed: u64) -> Request {
        Request::of("quick", seed)
    }

    #[test]
    fn the_same_seed_gives_the_same_plan_and_another_one_other_phases() {
        assert_eq!(expand(&request(7)), expand(&request(7)));
        let phases = |seed| expand(&request(seed)).trials.iter().map(|trial| trial.fault_phase_us).collect::<Vec<_>>();
        assert_ne!(phases(7), phases(8));
    }

    #[test]
    fn quick_has_six_kills_and_two_of_each_other_per_store_setting() {
        let plan = expand(&request(1));
        for store in StoreSetting::ALL {
            for scenario in ["kill-active", "kill-backlog", "pause-active", "delay-heartbeats", "slow-sync"] {
                let found = plan.trials.iter().filter(|one| one.scenario == scenario && one.store == store).count();
                assert_eq!(found, if scenario == "kill-active" { 6 } else { 2 }, "{scenario} {store}");
            }
        }
        assert_eq!(plan.trials.len(), 28);
    }

    #[test]
    fn store_settings_alternate() {
        let plan = expand(&request(1));
        for pair in plan.trials.chunks(2) {
            assert_eq!((pair[0].store, pair[1].store), (StoreSetting::Sync, StoreSetting::Async));
            assert_eq!(pair[0].scenario, pair[1].scenario);
        }
    }

    #[test]
    fn phases_cover_one_activation_period() {
        let plan = expand(&Request { trials: Some(200), only: vec!["kill-active".to_owned()], ..request(3) });
        let phases: Vec<u64> = plan.trials.iter().map(|trial| trial.fault_phase_us).collect();
        assert!(phases.iter().all(|&phase| phase < 500_000));
        assert!(phases.iter().any(|&phase| phase < 50_000) && phases.iter().any(|&phase| phase > 450_000));
    }

    #[test]
    fn only_and_store_narrow_the_plan() {
        let narrowed = Request {
            only: vec!["pause-active".to_owned()],
            stores: vec![StoreSetting::Async],
            trials: Some(1),
            ..request(1)
        };
        let plan = expand(&narrowed);
        assert_eq!(plan.trials.len(), 1);
        assert_eq!(plan.trials[0].file_stem(), "trial-01-pause-active-async");
        assert!(plan.trials[0].steps.contains(&Step::ExpectExit { code: 75 }));
    }

    #[test]
    fn a_delay_is_longer_than_the_activation_time_and_is_healed() {
        let plan = expand(&Request { only: vec!["delay-heartbeats".to_owned()], ..request(1) });
        let delays: Vec<u64> = plan.trials[0]
            .steps
            .iter()
            .filter_map(|step| match step {
                Step::DelayLink { delay_ms } => Some(*delay_ms),
                _ => None,
            })
            .collect();
        assert!(delays[0] > plan.pair.ft_activation_ms);
        assert_eq!(delays.last(), Some(&0));
    }

    #[test]
    fn the_consumer_is_away_at_the_kill_and_comes_back() {
        let plan = expand(&Request { only: vec!["kill-backlog".to_owned()], ..request(1) });
        let place = |wanted: &Step| plan.trials[0].steps.iter().position(|step| step == wanted).expect("it is planned");
        assert!(place(&Step::ConsumerLeaves) < place(&Step::KillActive));
        assert!(place(&Step::KillActive) < place(&Step::ConsumerReturns));
        assert!(place(&Step::ConsumerReturns) < place(&Step::Drain));
    }

    #[test]
    fn each_backlog_meets_both_standbys_in_turn_and_a_large_one_is_filled_once() {
        let plan = expand(&Request::of("backlog", 1));
        assert_eq!(plan.trials.len(), 3 * 2 * 6);
        let backlogs: Vec<Backlog> = plan.trials.iter().filter_map(|trial| trial.backlog).collect();
        assert!(
            backlogs
                .chunks(2)
                .all(|pair| pair[0].size_bytes == pair[1].size_bytes
                    && [pair[0].standby, pair[1].standby] == Standby::ALL)
        );
        let fills = 1 + plan.trials.windows(2).filter(|pair| !pair[1].shares_store_with(&pair[0])).count();
        assert_eq!(fills, 12 + 1 + 1);
        assert!(plan.load.recovery_limit_ms > 100_000);
        assert!(plan.trials.iter().all(|trial| trial.scenario == "kill-backlog"));
    }

    #[test]
    fn a_suite_has_no_trials_of_other_scenarios_and_a_size_can_be_asked_for_in_any() {
        let pauses = expand(&Request::of("pause", 1));
        assert_eq!(pauses.trials.len(), 30);
        assert!(pauses.trials.iter().all(|one| one.cell().place() == "sync" && one.scenario == "pause-active"));
        let only = vec!["kill-active".to_owned()];
        assert!(expand(&Request { only, trials: Some(2), ..Request::of("pause", 1) }).trials.is_empty());
        let standbys = vec![Standby::Cold];
        let plan = expand(&Request { backlogs: vec![1 << 20], standbys, ..request(1) });
        let found: Vec<_> = plan.trials.iter().filter_map(|trial| trial.backlog).collect();
        assert_eq!(found, [Backlog { size_bytes: 1 << 20, standby: Standby::Cold }; 4]);
        assert!(plan.trials.iter().any(|trial| trial.backlog.is_none()));
    }

    #[test]
    fn a_plan_survives_its_file() {
        let plan = expand(&Request { backlogs: vec![1 << 20], ..request(9) });
        let text = serde_json::to_string(&plan).expect("plans are plain data");
        assert_eq!(serde_json::from_str::<Plan>(&text).expect("what was written is read"), plan);
    }
}
