//! Reduces a failing trial to the fewest faults that still fail, and then to simpler ones.
//!
//! [`Shrink`] is pure: it says what to play next and is told what came of it. `reduce` chooses among the faults, `simpler` knows what is
//! simpler about a plan, `play` plays the candidates and writes the result.

mod play;
mod reduce;
mod simpler;

pub use play::{FILE, Shrunk};
pub(crate) use play::{shrink, worth_it};

use reduce::Reduce;
use std::collections::VecDeque;

/// How often the whole plan is played before it counts as not repeatable.
const CONFIRMATIONS_MAX: u32 = 3;
/// How often a candidate of a plan that does not always fail is played before it counts as passed.
const FLAKY_PLAYS: u32 = 2;

/// What can be reduced.
pub trait Reducible: Clone {
    /// How many parts can be left out.
    fn parts(&self) -> usize;

    /// With only these parts.
    fn keep(&self, kept: &[usize]) -> Self;

    /// What is simpler by one step, with words for it; the most promising first. It must end: a step may not lead back.
    fn simpler(&self) -> Vec<(String, Self)>;
}

/// Where the search is.
///
/// ```text
///   CONFIRMING --fails--> REMOVING --nothing left to remove--> SIMPLIFYING --nothing simpler fails--> DONE
///       |                     |                                                                        ^
///       +--never fails--------+--limit----------------------------------------------------------------+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The plan as it was, again.
    Confirming,
    /// Fewer parts.
    Removing,
    /// The same parts, simpler.
    Simplifying,
    /// Nothing more to try.
    Done,
}

impl Phase {
    /// All, in the order of the drawing.
    pub const ALL: [Self; 4] = [Self::Confirming, Self::Removing, Self::Simplifying, Self::Done];

    /// Whether the drawing has an arrow from here to `next`.
    pub fn can_become(self, next: Self) -> bool {
        use Phase::*;
        matches!(
            (self, next),
            (Confirming, Removing) | (Removing, Simplifying) | (Confirming | Removing | Simplifying, Done)
        )
    }
}

/// One thing to play.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate<P> {
    /// What to play.
    pub plan: P,
    /// What it is, in words.
    pub words: String,
}

/// The search for a smaller plan that fails.
#[derive(Debug)]
pub struct Shrink<P> {
    original: P,
    best: P,
    phase: Phase,
    reduce: Reduce,
    simpler: VecDeque<Candidate<P>>,
    plays: u32,
    plays_max: u32,
    /// How often the present candidate has been played.
    attempts: u32,
    /// The plan does not fail each time.
    is_flaky: bool,
    is_reproduced: bool,
}

impl<P: Reducible> Shrink<P> {
    /// A search that plays at most `plays_max` times.
    pub fn new(plan: P, plays_max: u32) -> Self {
        Self {
            reduce: Reduce::new(plan.parts()),
            best: plan.clone(),
            original: plan,
            phase: Phase::Confirming,
            simpler: VecDeque::new(),
            plays: 0,
            plays_max,
            attempts: 0,
            is_flaky: false,
            is_reproduced: false,
        }
    }

    /// The smallest plan that failed so far.
    pub fn best(&self) -> &P {
        &self.best
    }

    /// Whether the plan failed again at all.
    pub fn is_reproduced(&self) -> bool {
        self.is_reproduced
    }

    /// How often something was played.
    pub fn plays(&self) -> u32 {
        self.plays
    }

    /// What to play next; `None` when it is over. Stays the same until [`Self::told`].
    pub fn next(&mut self) -> Option<Candidate<P>> {
        if self.plays >= self.plays_max {
            self.enter(Phase::Done);
        }
        if self.phase == Phase::Removing && self.reduce.next().is_none() {
            self.simplify();
        }
        if self.phase == Phase::Simplifying && self.simpler.is_empty() {
            self.enter(Phase::Done);
        }
        match self.phase {
            Phase::Confirming => {
                Some(Candidate { plan: self.original.clone(), words: "the whole plan again".to_owned() })
            }
            Phase::Removing => {
                let kept = self.reduce.next()?;
                let words = format!("{} of {} faults", kept.len(), self.original.parts());
                Some(Candidate { plan: self.original.keep(kept), words })
            }
            Phase::Simplifying => self.simpler.front().cloned(),
            Phase::Done => None,
        }
    }

    /// Ends the search, for want of time.
    pub fn stop(&mut self) {
        self.enter(Phase::Done);
    }

    /// Whether the candidate failed as the plan did.
    pub fn told(&mut self, fails: bool) {
        self.plays += 1;
        self.attempts += 1;
        match self.phase {
            Phase::Confirming => self.confirmed(fails),
            Phase::Removing | Phase::Simplifying if !fails && self.is_flaky && self.attempts < FLAKY_PLAYS => {}
            Phase::Removing => {
                self.reduce.told(fails);
                if fails {
                    self.best = self.original.keep(self.reduce.kept());
                }
                self.attempts = 0;
            }
            Phase::Simplifying => {
                let candidate = self.simpler.pop_front();
                if let Some(candidate) = candidate.filter(|_| fails) {
                    self.best = candidate.plan;
                    self.fill_simpler();
                }
                self.attempts = 0;
            }
            Phase::Done => {}
        }
    }

    fn confirmed(&mut self, fails: bool) {
        if fails {
            self.is_reproduced = true;
            self.is_flaky = self.attempts > 1;
            self.attempts = 0;
            self.enter(Phase::Removing);
        } else if self.attempts >= CONFIRMATIONS_MAX {
            self.enter(Phase::Done);
        }
    }

    fn simplify(&mut self) {
        self.enter(Phase::Simplifying);
        self.fill_simpler();
    }

    fn fill_simpler(&mut self) {
        self.simpler = self.best.simpler().into_iter().map(|(words, plan)| Candidate { plan, words }).collect();
    }

    fn enter(&mut self, next: Phase) {
        if self.phase != next {
            assert!(self.phase.can_become(next), "{:?} does not lead to {next:?}", self.phase);
            self.phase = next;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Faults, and a length.
    #[derive(Clone, Debug, PartialEq)]
    struct Toy {
        faults: Vec<char>,
        length: u32,
    }

    impl Reducible for Toy {
        fn parts(&self) -> usize {
            self.faults.len()
        }

        fn keep(&self, kept: &[usize]) -> Self {
            Self { faults: kept.iter().map(|&index| self.faults[index]).collect(), ..*self }
        }

        fn simpler(&self) -> Vec<(String, Self)> {
            let half = Self { length: self.length / 2, ..self.clone() };
            if self.length > 1 { vec![("half as long".to_owned(), half)] } else { vec![] }
        }
    }

    fn toy() -> Toy {
        Toy { faults: "abcdef".chars().collect(), length: 16 }
    }

    fn run(plays_max: u32, mut fails: impl FnMut(&Toy) -> bool) -> Shrink<Toy> {
        let mut shrink = Shrink::new(toy(), plays_max);
        while let Some(candidate) = shrink.next() {
            assert_eq!(shrink.next().as_ref(), Some(&candidate), "it stays until the answer");
            let answer = fails(&candidate.plan);
            shrink.told(answer);
        }
        shrink
    }

    #[test]
    fn first_fewer_faults_then_simpler_ones() {
        let shrink = run(100, |toy| toy.faults.contains(&'d') && toy.length >= 4);
        assert_eq!(*shrink.best(), Toy { faults: vec!['d'], length: 4 });
        assert!(shrink.is_reproduced());
    }

    #[test]
    fn what_does_not_fail_again_stays_whole() {
        let shrink = run(100, |_| false);
        assert_eq!((shrink.best(), shrink.is_reproduced(), shrink.plays()), (&toy(), false, CONFIRMATIONS_MAX));
    }

    #[test]
    fn a_candidate_of_a_flaky_plan_gets_a_second_chance() {
        // Fails at each second play only.
        let mut plays = 0;
        let shrink = run(100, |toy| {
            plays += 1;
            toy.faults.contains(&'d') && plays % 2 == 0
        });
        assert_eq!(shrink.best().faults, ['d']);
        // A plan that fails at once is not flaky: each candidate is played once.
        let mut seen: Vec<Toy> = Vec::new();
        run(100, |toy| {
            assert!(!seen[1.min(seen.len())..].contains(toy), "{toy:?} again");
            seen.push(toy.clone());
            toy.faults.contains(&'d')
        });
    }

    #[test]
    fn it_ends_at_its_limit_with_the_best_so_far() {
        let shrink = run(4, |toy| toy.faults.contains(&'d'));
        assert_eq!(shrink.plays(), 4);
        assert!(shrink.best().faults.len() < 6 && shrink.best().faults.contains(&'d'));
        let mut stopped = Shrink::new(toy(), 100);
        stopped.stop();
        assert_eq!(stopped.next(), None);
    }

    #[test]
    fn every_edge_is_drawn() {
        use Phase::*;
        let edges = [
            (Confirming, Removing),
            (Removing, Simplifying),
            (Confirming, Done),
            (Removing, Done),
            (Simplifying, Done),
        ];
        for from in Phase::ALL {
            for to in Phase::ALL {
                assert_eq!(from.can_become(to), edges.contains(&(from, to)), "{from:?} to {to:?}");
            }
        }
    }
}
