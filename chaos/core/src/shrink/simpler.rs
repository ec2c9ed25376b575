//! What is fewer and what is simpler about a trial's plan.

use super::Reducible;
use crate::plan::{Anchor, LoadPlan, TrialPlan, When};

/// A rate below which a trial shows little, messages a second.
const RATE_MIN: u64 = 200;
/// A warm-up that is not made shorter, ms.
const WARM_UP_MS_MIN: u64 = 500;
/// Times that are not halved any more, microseconds.
const TIME_US_MIN: u64 = 50_000;

impl Reducible for TrialPlan {
    fn parts(&self) -> usize {
        self.faults.len()
    }

    /// Whatever the first one that is left waited for, it comes after the warm-up.
    fn keep(&self, kept: &[usize]) -> Self {
        let mut plan = self.clone();
        plan.faults = kept.iter().filter_map(|&index| self.faults.get(index).cloned()).collect();
        if let Some(first) = plan.faults.first_mut() {
            first.begin.after = Anchor::WarmUp;
        }
        plan
    }

    fn simpler(&self) -> Vec<(String, Self)> {
        let mut found = Vec::new();
        if self.backlog.is_some() {
            found.push(("no backlog".to_owned(), Self { backlog: None, ..self.clone() }));
        }
        for name in self.settings.keys() {
            let mut plan = self.clone();
            plan.settings.remove(name);
            found.push((format!("{name} as usual"), plan));
        }
        if let Some(load) = &self.load {
            let with = |load| Self { load: Some(load), ..self.clone() };
            found.extend(simpler_loads(load).into_iter().map(|(words, load)| (words, with(load))));
        }
        for index in 0..self.faults.len() {
            found.extend(self.shorter(index));
        }
        found
    }
}

fn simpler_loads(load: &LoadPlan) -> Vec<(String, LoadPlan)> {
    let mut found = Vec::new();
    let mut add = |words: String, load: LoadPlan| found.push((words, load));
    if load.producers > 1 {
        add("one producer".to_owned(), LoadPlan { producers: 1, ..load.clone() });
    }
    if load.consumers > 1 {
        add("one consumer".to_owned(), LoadPlan { consumers: 1, ..load.clone() });
    }
    if load.patient > 0 {
        add("no patient clients".to_owned(), LoadPlan { patient: 0, ..load.clone() });
    }
    if load.rate_per_s / 4 >= RATE_MIN {
        let rate_per_s = load.rate_per_s / 4;
        add(format!("{rate_per_s} messages/s"), LoadPlan { rate_per_s, ..load.clone() });
    }
    if load.warm_up_ms / 2 >= WARM_UP_MS_MIN {
        let warm_up_ms = load.warm_up_ms / 2;
        add(format!("warm-up of {warm_up_ms} ms"), LoadPlan { warm_up_ms, ..load.clone() });
    }
    found
}

impl TrialPlan {
    /// One fault's times at half their length.
    fn shorter(&self, index: usize) -> Vec<(String, Self)> {
        let fault = &self.faults[index];
        let begin = halved(fault.begin).map(|begin| (begin, fault.heal, "comes sooner"));
        let heal = fault.heal.and_then(halved).map(|heal| (fault.begin, Some(heal), "goes sooner"));
        let shortened = begin.into_iter().chain(heal).map(|(begin, heal, words)| {
            let mut plan = self.clone();
            (plan.faults[index].begin, plan.faults[index].heal) = (begin, heal);
            (format!("fault {} {words}", index + 1), plan)
        });
        shortened.collect()
    }
}

fn halved(when: When) -> Option<When> {
    let (plus_us, at_least_us) = (when.plus_us / 2, when.at_least_us / 2);
    let is_long = when.plus_us >= TIME_US_MIN || when.at_least_us >= TIME_US_MIN;
    is_long.then_some(When { plus_us, at_least_us, ..when })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Request, expand};

    fn paused() -> TrialPlan {
        let plan = expand(&Request { only: vec!["pause-active".to_owned()], ..Request::of("quick", 1) });
        let mut trial = plan.trials[0].clone();
        trial.load = Some(plan.load_of(&trial).clone());
        let again = trial.faults[0].clone();
        trial.faults.push(again);
        trial.faults[1].begin.after = Anchor::Healed;
        trial
    }

    #[test]
    fn what_is_left_does_not_wait_for_what_is_gone() {
        let whole = paused();
        assert_eq!(whole.keep(&[0, 1]), whole);
        let second = whole.keep(&[1]);
        assert_eq!((second.faults.len(), second.faults[0].begin.after), (1, Anchor::WarmUp));
        assert!(whole.keep(&[]).faults.is_empty());
    }

    #[test]
    fn simpler_steps_differ_and_come_to_an_end() {
        let mut plan = paused();
        let mut steps = 0;
        while let Some((words, simpler)) = plan.simpler().pop() {
            assert_ne!(simpler, plan, "{words}");
            plan = simpler;
            steps += 1;
            assert!(steps < 1000);
        }
        let load = plan.load.expect("it was given");
        assert_eq!((load.producers, load.patient), (1, 0));
        assert!(load.rate_per_s < 4 * RATE_MIN && load.warm_up_ms < 2 * WARM_UP_MS_MIN);
    }
}
