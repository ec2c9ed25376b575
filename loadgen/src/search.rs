//! Owns the search for the highest rate that meets a target: which rate is tried next, and when the answer is sure. It runs nothing.

/// More trials than this are made for no answer.
const TRIALS_MAX: usize = 60;

/// What one trial found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// The target was met.
    Met,
    /// It was not.
    Missed,
}

/// How far a search is.
///
/// ```text
///   Rising ----(missed, none met)----> Falling ----(too low)----> Done
///     |  \                               |   ^                      ^
///     |   (missed, one met)              |   |                      |
///     |    \                           (met) (missed, none met)     |
///     |     v                            v   |                      |
///     |   Halving <----------------------+   |                      |
///     |     |  ^                             |                      |
///     |     |  +---(missed, one met)---+     |                      |
///     |  (near enough)                 |     |                      |
///     |     v                          |     |                      |
///     +-> Confirming ------------------+-----+------(confirmed)-----+
///    (limit met)
/// ```
///
/// Every stage ends in Done when the trials are used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Nothing was missed yet: the rate doubles.
    Rising,
    /// Nothing was met yet: the rate halves.
    Falling,
    /// One rate was met and a higher one missed: the middle is tried.
    Halving,
    /// They are near enough: the lower one is tried again until it is sure.
    Confirming,
    /// The answer stands, or there is none.
    Done,
}

impl Stage {
    /// Whether the diagram has this edge.
    #[must_use]
    pub fn can_become(self, next: Self) -> bool {
        use Stage::{Confirming, Done, Falling, Halving, Rising};
        match self {
            Rising => matches!(next, Falling | Halving | Confirming | Done),
            Falling => matches!(next, Halving | Done),
            Halving => matches!(next, Confirming | Done),
            Confirming => matches!(next, Halving | Falling | Done),
            Done => false,
        }
    }
}

/// Where to search, and how exactly.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    /// The first rate, in messages a second.
    pub first: f64,
    /// Nothing lower is tried.
    pub least: f64,
    /// Nothing higher is tried.
    pub most: f64,
    /// Near enough: the missed rate is so much higher than the met one, such as 0.05.
    pub precision: f64,
    /// So many trials in all must have met the answer, and more than have missed it.
    pub confirmations: usize,
}

/// The trials of one rate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Votes {
    met: usize,
    missed: usize,
}

/// A search under way.
#[derive(Debug, Clone)]
pub struct Search {
    bounds: Bounds,
    stage: Stage,
    rate: f64,
    votes: Votes,
    /// Rates that were met, the highest last, with the trials that say so.
    met: Vec<(f64, Votes)>,
    missed: Option<f64>,
    trials: usize,
}

impl Search {
    /// A search that begins at the first rate of `bounds`.
    #[must_use]
    pub fn new(bounds: Bounds) -> Self {
        let rate = rounded(bounds.first.clamp(bounds.least, bounds.most));
        Self { bounds, stage: Stage::Rising, rate, votes: Votes::default(), met: Vec::new(), missed: None, trials: 0 }
    }

    /// How far it is.
    #[must_use]
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// The rate to try now; `None` when it is over.
    #[must_use]
    pub fn next_rate(&self) -> Option<f64> {
        (self.stage != Stage::Done).then_some(self.rate)
    }

    /// The highest rate that was met, once the search is over, and whether it was confirmed as often as asked.
    #[must_use]
    pub fn answer(&self) -> Option<(f64, bool)> {
        self.met.last().map(|(rate, votes)| (*rate, votes.met >= self.bounds.confirmations))
    }

    /// The lowest rate that was missed.
    #[must_use]
    pub fn missed(&self) -> Option<f64> {
        self.missed
    }

    /// Takes in what a trial at `next_rate` found.
    pub fn note(&mut self, finding: Finding) {
        self.trials += 1;
        match finding {
            Finding::Met => self.votes.met += 1,
            Finding::Missed => self.votes.missed += 1,
        }
        let Votes { met, missed } = self.votes;
        // A single miss may be an accident of the machine: two of three decide. Going up, one trial that meets is enough.
        let enough = match self.stage {
            Stage::Rising | Stage::Falling => 1,
            Stage::Confirming => self.bounds.confirmations,
            Stage::Halving | Stage::Done => 2,
        };
        if missed >= 2 && missed >= met {
            self.decide_missed();
        } else if met >= enough && met > missed {
            self.decide_met();
        }
        if self.trials >= TRIALS_MAX && self.stage != Stage::Done {
            self.become_stage(Stage::Done);
        }
    }

    fn decide_met(&mut self) {
        let (rate, votes) = (self.rate, self.votes);
        self.met.retain(|(met, _)| *met < rate);
        self.met.push((rate, votes));
        match self.stage {
            Stage::Confirming => self.become_stage(Stage::Done),
            Stage::Rising if rate >= self.bounds.most => self.confirm(),
            Stage::Rising => self.try_rate(rate * 2.0),
            _ => self.approach(),
        }
    }

    fn decide_missed(&mut self) {
        let rate = self.rate;
        self.missed = Some(rate);
        self.met.retain(|(met, _)| *met < rate);
        if !self.met.is_empty() {
            self.approach();
        } else if rate <= self.bounds.least {
            self.become_stage(if self.stage == Stage::Rising { Stage::Falling } else { Stage::Done });
            if self.stage == Stage::Falling {
                self.become_stage(Stage::Done);
            }
        } else {
            self.become_stage(Stage::Falling);
            self.try_rate(rate / 2.0);
        }
    }

    /// Between a rate that was met and one that was missed.
    fn approach(&mut self) {
        let (Some((low, _)), Some(high)) = (self.met.last().copied(), self.missed) else { return };
        let middle = rounded((low * high).sqrt());
        if high / low - 1.0 <= self.bounds.precision || middle <= low || middle >= high {
            self.become_stage(Stage::Halving);
            self.confirm();
        } else {
            self.become_stage(Stage::Halving);
            self.try_rate(middle);
        }
    }

    fn confirm(&mut self) {
        self.become_stage(Stage::Confirming);
        let Some((rate, votes)) = self.met.last().copied() else { return };
        (self.rate, self.votes) = (rate, votes);
        if votes.met >= self.bounds.confirmations {
            self.become_stage(Stage::Done);
        }
    }

    fn try_rate(&mut self, rate: f64) {
        self.rate = rounded(rate.clamp(self.bounds.least, self.bounds.most));
        self.votes = Votes::default();
    }

    fn become_stage(&mut self, next: Stage) {
        if self.stage != next {
            assert!(self.stage.can_become(next), "{:?} cannot become {next:?}", self.stage);
            self.stage = next;
        }
    }
}

/// Three digits are enough for a rate, and read well.
fn rounded(rate: f64) -> f64 {
    let step = 10_f64.powf(rate.log10().floor() - 2.0);
    ((rate / step).round() * step * 1e6).round() / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { first: 1_000.0, least: 1.0, most: 1_000_000.0, precision: 0.05, confirmations: 3 };

    /// Runs a search against a broker that sustains `limit`; gives the answer, the trials, and every stage on the way.
    fn search(bounds: Bounds, mut meets: impl FnMut(f64, usize) -> bool) -> (Search, usize, Vec<Stage>) {
        let (mut search, mut trials, mut stages) = (Search::new(bounds), 0, vec![Stage::Rising]);
        while let Some(rate) = search.next_rate() {
            search.note(if meets(rate, trials) { Finding::Met } else { Finding::Missed });
            trials += 1;
            if stages.last() != Some(&search.stage()) {
                stages.push(search.stage());
            }
        }
        (search, trials, stages)
    }

    #[test]
    fn a_limit_is_found_to_the_precision_from_above_and_below() {
        for limit in [2.5, 37.0, 999.0, 1_000.0, 12_345.0, 700_000.0] {
            let (search, trials, _) = search(BOUNDS, |rate, _| rate <= limit);
            let (answer, sure) = search.answer().expect("some rate is met");
            assert!(answer <= limit && answer * 1.06 >= limit && sure, "{limit}: {answer} after {trials}");
            assert!(search.missed().is_some_and(|missed| missed > limit) && trials <= 40, "{limit}: {trials}");
        }
    }

    #[test]
    fn one_accident_does_not_move_the_answer() {
        for accident in 0..20 {
            let (search, ..) = search(BOUNDS, |rate, trial| rate <= 12_345.0 && trial != accident);
            let (answer, _) = search.answer().expect("some rate is met");
            assert!(answer <= 12_345.0 && answer * 1.06 >= 12_345.0, "accident {accident}: {answer}");
        }
    }

    #[test]
    fn the_bounds_are_kept() {
        let (above, ..) = search(BOUNDS, |_, _| true);
        assert_eq!((above.answer(), above.missed()), (Some((1_000_000.0, true)), None));
        let (below, trials, stages) = search(BOUNDS, |_, _| false);
        assert_eq!((below.answer(), below.missed()), (None, Some(1.0)));
        assert_eq!(stages, [Stage::Rising, Stage::Falling, Stage::Done]);
        assert!(trials < 30, "{trials}");
    }

    #[test]
    fn a_broker_that_is_met_by_chance_only_ends_all_the_same() {
        let mut random = fastrand::Rng::with_seed(5);
        for _ in 0..200 {
            let (_, trials, _) = search(BOUNDS, |_, _| random.bool());
            assert!(trials <= TRIALS_MAX);
        }
    }

    #[test]
    fn the_edges_are_those_of_the_diagram() {
        use Stage::{Confirming, Done, Falling, Halving, Rising};
        let all = [Rising, Falling, Halving, Confirming, Done];
        let edges = [
            (Rising, Falling),
            (Rising, Halving),
            (Rising, Confirming),
            (Rising, Done),
            (Falling, Halving),
            (Falling, Done),
            (Halving, Confirming),
            (Halving, Done),
            (Confirming, Halving),
            (Confirming, Falling),
            (Confirming, Done),
        ];
        for from in all {
            for to in all {
                assert_eq!(from.can_become(to), edges.contains(&(from, to)), "{from:?} -> {to:?}");
            }
        }
    }
}
