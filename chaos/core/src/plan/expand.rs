//! From a request to a plan: which trials in which order, and every random choice, drawn from one seed.

use super::{Anchor, FaultPlan, LoadPlan, PairPlan, Plan, SCHEMA, TrialPlan, When};
use crate::scenario::{
    After, Backlog, Consume, Entry, FaultSpec, Moment, Phase, Scenario, Standby, StoreSetting, Suite,
};
use std::collections::BTreeMap;
use std::time::Duration;

/// The slowest recovery that is waited for, bytes a second: a cold standby reads the whole store.
const RECOVERY_BYTES_PER_S_MIN: u64 = 64 << 20;

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
    /// How long faults are repeated in scenarios that repeat them; `None`: as each of them says.
    pub duration: Option<Duration>,
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
            duration: None,
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
        duration: request.duration,
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

/// What was asked for, or what is usual.
fn or_default<'a, T>(asked: &'a [T], usual: &'a [T]) -> &'a [T] {
    if asked.is_empty() { usual } else { asked }
}

/// A plan under way.
struct Draft {
    random: fastrand::Rng,
    /// Of the suite: parameters of both servers in every trial.
    settings: BTreeMap<String, String>,
    duration: Option<Duration>,
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
        let mut pair = scenario.pair.clone();
        for (name, value) in &self.settings {
            pair.settings.entry(name.clone()).or_insert_with(|| value.clone());
        }
        let times = self.plan.pair.clone().with(&pair.settings).with(&settings);
        let (faults, until_us) = self.faults(scenario, &times);
        let seed = self.random.u64(..);
        let plan = &mut self.plan;
        let load = plan.load.clone().with(&scenario.load);
        let first = faults.iter().find(|fault| !fault.preparation);
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
            consume: scenario.load.consume.unwrap_or_default(),
            fault_phase_us: first.map_or(0, |fault| fault.begin.plus_us),
            faults,
            until_us,
            expect: scenario.expect.clone(),
            seed,
        });
    }

    /// The faults in their order, and how long repeated ones may come after the warm-up, microseconds.
    fn faults(&mut self, scenario: &Scenario, times: &PairPlan) -> (Vec<FaultPlan>, Option<u64>) {
        let us = |time: Duration| time.as_micros() as u64;
        let Some(repeat) = &scenario.repeat else {
            return (scenario.faults.iter().map(|fault| self.fault(fault, times)).collect(), None);
        };
        let preparations = scenario.faults.iter().filter(|fault| fault.preparation);
        let mut faults: Vec<FaultPlan> = preparations.map(|fault| self.fault(fault, times)).collect();
        let choices: Vec<&FaultSpec> = scenario.faults.iter().filter(|fault| !fault.preparation).collect();
        let every_us = us(repeat.every.duration(times)).max(1);
        let until_us = us(self.duration.unwrap_or(repeat.duration.duration(times)));
        for index in 0..until_us.div_ceil(every_us).clamp(1, FAULTS_MAX) {
            let choice = self.random.choice(&choices).expect("a scenario has a fault");
            let mut fault = self.fault(choice, times);
            let after = if index == 0 { Anchor::WarmUp } else { Anchor::Healed };
            fault.begin = When { after, plus_us: self.random.u64(0..every_us), at_least_us: 0 };
            faults.push(fault);
        }
        (faults, Some(until_us))
    }

    fn fault(&mut self, spec: &FaultSpec, times: &PairPlan) -> FaultPlan {
        let begin = self.when(&spec.at, times, Anchor::WarmUp);
        let heal = match &spec.heal {
            Some(moment) => Some(self.when(moment, times, Anchor::Fault)),
            None if spec.fault.is_instant() => None,
            None => Some(When { after: Anchor::End, plus_us: 0, at_least_us: 0 }),
        };
        FaultPlan { fault: spec.fault.clone(), role: spec.role, begin, heal, preparation: spec.preparation }
    }

    /// `zero` is what a bare time counts from.
    fn when(&mut self, moment: &Moment, times: &PairPlan, zero: Anchor) -> When {
        let us = |amount: &crate::scenario::Amount| amount.duration(times).as_micros() as u64;
        let (after, time_us) = match &moment.after {
            After::Time(amount) => (zero, us(amount)),
            After::Anchor(anchor) => (*anchor, 0),
        };
        let phase_us = match &moment.phase {
            None => 0,
            Some(Phase::Fixed(amount)) => us(amount),
            Some(Phase::Random(within)) => {
                let within_us = within.as_ref().map_or(times.ft_activation_ms * 1000, us);
                self.random.u64(0..within_us.max(1))
            }
        };
        When { after, plus_us: time_us + phase_us, at_least_us: moment.at_least.as_ref().map_or(0, us) }
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

/// Most faults of one trial: a week of one each minute.
const FAULTS_MAX: u64 = 10_080;

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
    fn a_load_is_adapted_in_scenarios_with_one_of_their_own_too() {
        let mut plan = expand(&request(1));
        let patient = |plan: &Plan| plan.trials.iter().filter(|trial| plan.load_of(trial).patient > 0).count();
        assert!(patient(&plan) > 0, "pause-active has patient clients");
        plan.adapt_load(|load| LoadPlan { patient: 0, ..load });
        assert_eq!(patient(&plan), 0);
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
        assert_eq!(plan.trials[0].expect.exit_code, Some(75));
    }

    #[test]
    fn amounts_follow_the_settings_of_the_trial() {
        let mut slow = Request::of("quick", 1);
        slow.suite.entries.retain(|entry| entry.scenario.name == "pause-active");
        slow.suite.entries[0].matrix.insert("ft_activation".to_owned(), vec!["300ms".to_owned(), "2s".to_owned()]);
        let plan = expand(&slow);
        assert_eq!(plan.trials.len(), 2 * 2 * 2);
        for trial in &plan.trials {
            let activation_ms = plan.pair_of(trial).ft_activation_ms;
            let heal = trial.faults[0].heal.expect("a pause ends");
            assert_eq!((heal.after, heal.at_least_us), (Anchor::Takeover, 2 * activation_ms * 1000));
            assert!(trial.fault_phase_us < activation_ms * 1000);
        }
        let places: Vec<String> = plan.trials.iter().take(4).map(|trial| trial.cell().place()).collect();
        assert_eq!(
            places,
            [
                "sync, ft_activation 300ms",
                "async, ft_activation 300ms",
                "sync, ft_activation 2s",
                "async, ft_activation 2s"
            ]
        );
    }

    #[test]
    fn faults_that_repeat_are_drawn_from_the_seed_and_end_with_their_time() {
        let mut request = Request::of("quick", 1);
        request.suite.entries.truncate(1);
        let pause = crate::scenario::scenario("pause-active").expect("it is shipped");
        let scenario = &mut request.suite.entries[0].scenario;
        scenario.faults.extend(pause.faults);
        let amount = |text: &str| text.parse().expect("a time");
        scenario.repeat = Some(crate::scenario::Repeat { every: amount("5s"), duration: amount("10m") });
        let faults = |request: &Request| expand(request).trials.swap_remove(0).faults;
        let drawn = faults(&request);
        assert_eq!(drawn.len(), 120);
        assert!(drawn[1..].iter().all(|fault| fault.begin.after == Anchor::Healed && fault.begin.plus_us < 5_000_000));
        let kinds = |name: &str| drawn.iter().filter(|fault| fault.fault.words(&PairPlan::default()) == name).count();
        assert!(kinds("SIGKILL") > 30 && kinds("SIGSTOP") > 30);
        assert_ne!(faults(&Request { seed: 2, ..request.clone() }), drawn);
        assert_eq!(faults(&Request { duration: Some(Duration::from_secs(20)), ..request }).len(), 4);
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
