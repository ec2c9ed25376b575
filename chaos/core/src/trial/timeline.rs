//! When each fault of a trial comes and goes: a pure machine that is told what has been seen and says what to do next.
//!
//! It knows no pair and no clock: moments are nanoseconds that it is given. Doing things is `execution`'s.

use crate::cluster::NodeId;
use crate::plan::{Anchor, FaultPlan, When};

const NS_PER_US: u64 = 1000;

/// How far a fault is.
///
/// ```text
///             its moment has come              its moment has come, or the wait for it is over
///   Waiting -----------------------> Biting -----------------------> Healed
///      |                               |
///      | the faults have had           | it is over at once
///      | their time                    v
///      +----------> Missed           Healed
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It has not come yet.
    Waiting,
    /// It has come.
    Biting,
    /// It has gone.
    Healed,
    /// It will not come.
    Missed,
}

impl State {
    /// Whether the drawing has an arrow from here to `next`.
    fn can_become(self, next: Self) -> bool {
        use State::*;
        matches!((self, next), (Waiting, Biting | Missed) | (Biting, Healed))
    }
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Do this fault now.
    Inject(usize),
    /// Take this fault back now.
    Heal(usize),
    /// What this fault waits for has not come in the time that the plan allows; go on as if it had.
    Overdue(usize),
    /// Nothing until this moment, or until something new is seen.
    Wait(Option<u64>),
    /// All faults have come and gone.
    Done,
}

/// What can be seen of the pair.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// Each time that a server became active.
    pub(super) takeovers_ns: Vec<u64>,
    /// Each time that a server began to recover the store.
    pub(super) recoveries_ns: Vec<u64>,
    /// Whether one server is active and the other standby now.
    pub(super) has_roles: bool,
    /// The servers whose process has ended.
    pub(super) ended: Vec<NodeId>,
}

/// One fault under way.
#[derive(Debug)]
struct Track {
    plan: FaultPlan,
    state: State,
    requested_ns: u64,
    effective_ns: u64,
    healed_ns: u64,
    victims: Vec<NodeId>,
    is_overdue: bool,
}

/// The faults of one trial.
#[derive(Debug)]
pub(super) struct Timeline {
    tracks: Vec<Track>,
    warm_ns: u64,
    /// Faults that wait for those before them to be healed do not come after this moment.
    until_ns: u64,
    limit_ns: u64,
    /// When the roles were first seen after the latest change.
    settled_ns: Option<u64>,
    changed_ns: u64,
}

/// When something is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    At(u64),
    /// It waits for something to be seen, since this moment.
    Event(u64),
    /// It waits for another fault.
    Not,
}

impl Timeline {
    /// `warm_ns` is the end of the warm-up, `until_ns` the last moment for repeated faults, `limit_ns` the longest wait for an event.
    pub(super) fn new(faults: &[FaultPlan], warm_ns: u64, until_ns: u64, limit_ns: u64) -> Self {
        let track = |plan: &FaultPlan| Track {
            plan: plan.clone(),
            state: State::Waiting,
            requested_ns: 0,
            effective_ns: 0,
            healed_ns: 0,
            victims: Vec::new(),
            is_overdue: false,
        };
        let tracks = faults.iter().map(track).collect();
        Self { tracks, warm_ns, until_ns, limit_ns, settled_ns: None, changed_ns: warm_ns }
    }

    /// What to do at `now_ns`: of all that is due, what was due first.
    pub(super) fn poll(&mut self, now_ns: u64, seen: &Seen) -> Next {
        self.settle(now_ns, seen);
        let mut first: Option<(u64, Next)> = None;
        let mut overdue = None;
        for index in 0..self.tracks.len() {
            let (due, next) = match self.tracks[index].state {
                State::Waiting if self.is_over(index, now_ns) => {
                    self.set(index, State::Missed);
                    continue;
                }
                State::Waiting => (self.begin(index, seen), Next::Inject(index)),
                State::Biting => (self.end(index, seen), Next::Heal(index)),
                State::Healed | State::Missed => continue,
            };
            match due {
                Due::At(at_ns) if first.is_none_or(|(before, _)| at_ns < before) => first = Some((at_ns, next)),
                Due::Event(since_ns) if since_ns + self.limit_ns <= now_ns => overdue = overdue.or(Some(index)),
                Due::Event(_) | Due::At(_) | Due::Not => {}
            }
        }
        match (first, overdue) {
            (Some((at_ns, next)), _) if at_ns <= now_ns => next,
            (_, Some(index)) => {
                self.tracks[index].is_overdue = true;
                Next::Overdue(index)
            }
            (Some((at_ns, _)), None) => Next::Wait(Some(at_ns)),
            (None, None) if self.is_done() => Next::Done,
            (None, None) => Next::Wait(None),
        }
    }

    /// A fault has come.
    pub(super) fn injected(&mut self, index: usize, requested_ns: u64, effective_ns: u64, victims: &[NodeId]) {
        self.set(index, State::Biting);
        let track = &mut self.tracks[index];
        (track.requested_ns, track.effective_ns, track.victims) = (requested_ns, effective_ns, victims.to_vec());
        track.is_overdue = false;
        self.change(effective_ns);
        if self.tracks[index].plan.heal.is_none() {
            self.healed(index, effective_ns);
        }
    }

    /// A fault has gone.
    pub(super) fn healed(&mut self, index: usize, t_ns: u64) {
        self.set(index, State::Healed);
        self.tracks[index].healed_ns = t_ns;
        self.change(t_ns);
    }

    fn set(&mut self, index: usize, next: State) {
        let state = &mut self.tracks[index].state;
        assert!(state.can_become(next), "fault {index}: {state:?} cannot become {next:?}");
        *state = next;
    }

    fn change(&mut self, t_ns: u64) {
        self.changed_ns = self.changed_ns.max(t_ns);
        self.settled_ns = None;
    }

    fn settle(&mut self, now_ns: u64, seen: &Seen) {
        if seen.has_roles {
            self.settled_ns.get_or_insert(now_ns);
        } else {
            self.settled_ns = None;
        }
    }

    fn is_over(&self, index: usize, now_ns: u64) -> bool {
        now_ns >= self.until_ns && self.tracks[index].plan.begin.after == Anchor::Healed
    }

    fn is_done(&self) -> bool {
        self.tracks.iter().all(|track| matches!(track.state, State::Healed | State::Missed))
    }

    fn begin(&self, index: usize, seen: &Seen) -> Due {
        let track = &self.tracks[index];
        let When { after, plus_us, .. } = track.plan.begin;
        let plus = |t_ns: u64| Due::At(t_ns + plus_us * NS_PER_US);
        let before = index.checked_sub(1).map(|before| &self.tracks[before]);
        if after == Anchor::WarmUp {
            return plus(self.warm_ns);
        }
        let Some(before) = before else { return plus(self.warm_ns) };
        let come = matches!(before.state, State::Biting | State::Healed);
        match after {
            Anchor::Healed => {
                let gone = |track: &Track| matches!(track.state, State::Healed | State::Missed);
                let latest_ns = self.tracks[..index].iter().map(|track| track.healed_ns).max().unwrap_or(0);
                match self.settled_ns {
                    _ if !self.tracks[..index].iter().all(gone) => Due::Not,
                    _ if track.is_overdue => plus(latest_ns),
                    Some(settled_ns) => plus(settled_ns.max(latest_ns)),
                    None => Due::Event(latest_ns),
                }
            }
            _ if !come => Due::Not,
            Anchor::Takeover => event(&seen.takeovers_ns, before, track, plus_us),
            Anchor::Recovery => event(&seen.recoveries_ns, before, track, plus_us),
            _ => plus(before.effective_ns),
        }
    }

    fn end(&self, index: usize, seen: &Seen) -> Due {
        let track = &self.tracks[index];
        let Some(When { after, plus_us, at_least_us }) = track.plan.heal else { return Due::Not };
        let no_sooner = |due: Due| match due {
            Due::At(at_ns) => Due::At(at_ns.max(track.effective_ns + at_least_us * NS_PER_US)),
            other => other,
        };
        no_sooner(match after {
            Anchor::Takeover => event(&seen.takeovers_ns, track, track, plus_us),
            Anchor::Recovery => event(&seen.recoveries_ns, track, track, plus_us),
            Anchor::Exit if track.is_overdue || track.victims.iter().all(|node| seen.ended.contains(node)) => {
                Due::At(track.effective_ns + plus_us * NS_PER_US)
            }
            Anchor::Exit => Due::Event(track.effective_ns),
            Anchor::End | Anchor::Healed => {
                let others = self.tracks.iter().enumerate().filter(|(other, _)| *other != index);
                let over = |track: &Track| {
                    let waits = matches!(track.plan.heal, Some(When { after: Anchor::End | Anchor::Healed, .. }));
                    matches!(track.state, State::Healed | State::Missed) || (track.state == State::Biting && waits)
                };
                if others.map(|(_, track)| track).all(over) {
                    Due::At(self.changed_ns + plus_us * NS_PER_US)
                } else {
                    Due::Not
                }
            }
            Anchor::WarmUp | Anchor::Fault => Due::At(track.effective_ns + plus_us * NS_PER_US),
        })
    }
}

/// The first of `times_ns` after `cause` was asked for: the proof of a fault comes a moment after its effect.
fn event(times_ns: &[u64], cause: &Track, waiting: &Track, plus_us: u64) -> Due {
    match times_ns.iter().find(|t_ns| **t_ns >= cause.requested_ns) {
        Some(t_ns) => Due::At((*t_ns).max(cause.effective_ns) + plus_us * NS_PER_US),
        None if waiting.is_overdue => Due::At(cause.effective_ns + plus_us * NS_PER_US),
        None => Due::Event(cause.effective_ns),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::Fault;
    use crate::faults::process::ProcessFault;
    use crate::scenario::Role;

    const MS: u64 = 1_000_000;
    const LIMIT: u64 = 1000 * MS;

    fn fault(begin: (Anchor, u64), heal: Option<(Anchor, u64)>) -> FaultPlan {
        let when = |(after, ms): (Anchor, u64)| When { after, plus_us: ms * 1000, at_least_us: 0 };
        let (begin, heal) = (when(begin), heal.map(when));
        FaultPlan { fault: Fault::Process(ProcessFault::Kill {}), role: Role::Active, begin, heal, preparation: false }
    }

    fn timeline(faults: &[FaultPlan]) -> Timeline {
        Timeline::new(faults, 100 * MS, u64::MAX, LIMIT)
    }

    fn roles() -> Seen {
        Seen { has_roles: true, ..Seen::default() }
    }

    #[test]
    fn states_change_as_drawn() {
        use State::*;
        let edges = [(Waiting, Biting), (Waiting, Missed), (Biting, Healed)];
        for from in [Waiting, Biting, Healed, Missed] {
            for to in [Waiting, Biting, Healed, Missed] {
                assert_eq!(from.can_become(to), edges.contains(&(from, to)), "{from:?} {to:?}");
            }
        }
    }

    #[test]
    fn a_fault_comes_at_its_time_and_goes_at_the_takeover() {
        let mut line = timeline(&[fault((Anchor::WarmUp, 50), Some((Anchor::Takeover, 0)))]);
        assert_eq!(line.poll(0, &roles()), Next::Wait(Some(150 * MS)));
        assert_eq!(line.poll(150 * MS, &roles()), Next::Inject(0));
        line.injected(0, 150 * MS, 151 * MS, &[NodeId::A]);
        let earlier = Seen { takeovers_ns: vec![20 * MS], ..roles() };
        assert_eq!(line.poll(160 * MS, &earlier), Next::Wait(None));
        let seen = Seen { takeovers_ns: vec![20 * MS, 180 * MS], ..roles() };
        assert_eq!(line.poll(181 * MS, &seen), Next::Heal(0));
        line.healed(0, 182 * MS);
        assert_eq!(line.poll(183 * MS, &seen), Next::Done);
    }

    #[test]
    fn a_takeover_that_never_comes_is_overdue_once_and_the_fault_goes() {
        let mut line = timeline(&[fault((Anchor::WarmUp, 0), Some((Anchor::Takeover, 0)))]);
        line.injected(0, 100 * MS, 100 * MS, &[NodeId::A]);
        assert_eq!(line.poll(1099 * MS, &roles()), Next::Wait(None));
        assert_eq!(line.poll(1100 * MS, &roles()), Next::Overdue(0));
        assert_eq!(line.poll(1100 * MS, &roles()), Next::Heal(0));
    }

    #[test]
    fn a_pause_lasts_at_least_as_long_as_planned() {
        let mut pause = fault((Anchor::WarmUp, 0), Some((Anchor::Takeover, 0)));
        pause.heal = pause.heal.map(|when| When { at_least_us: 500_000, ..when });
        let mut line = timeline(&[pause]);
        line.injected(0, 100 * MS, 100 * MS, &[NodeId::A]);
        let seen = Seen { takeovers_ns: vec![300 * MS], ..roles() };
        assert_eq!(line.poll(310 * MS, &seen), Next::Wait(Some(600 * MS)));
        assert_eq!(line.poll(600 * MS, &seen), Next::Heal(0));
    }

    #[test]
    fn a_second_fault_hits_the_recovery_from_the_first() {
        let faults = [
            fault((Anchor::WarmUp, 0), Some((Anchor::Fault, 900))),
            fault((Anchor::Recovery, 0), Some((Anchor::Fault, 500))),
        ];
        let mut line = timeline(&faults);
        assert_eq!(line.poll(100 * MS, &roles()), Next::Inject(0));
        line.injected(0, 100 * MS, 100 * MS, &[NodeId::A]);
        assert_eq!(line.poll(101 * MS, &Seen::default()), Next::Wait(Some(1000 * MS)));
        let seen = Seen { recoveries_ns: vec![10 * MS, 120 * MS], ..Seen::default() };
        assert_eq!(line.poll(121 * MS, &seen), Next::Inject(1));
        line.injected(1, 121 * MS, 122 * MS, &[NodeId::B]);
        assert_eq!(line.poll(622 * MS, &seen), Next::Heal(1));
        line.healed(1, 622 * MS);
        assert_eq!(line.poll(1000 * MS, &seen), Next::Heal(0));
    }

    #[test]
    fn the_next_of_a_series_waits_until_both_servers_have_their_roles() {
        let kill = |begin| fault(begin, Some((Anchor::Exit, 0)));
        let faults = [kill((Anchor::WarmUp, 0)), kill((Anchor::Healed, 50)), kill((Anchor::Healed, 50))];
        let mut line = Timeline::new(&faults, 100 * MS, 400 * MS, LIMIT);
        line.injected(0, 100 * MS, 100 * MS, &[NodeId::A]);
        assert_eq!(line.poll(110 * MS, &Seen::default()), Next::Wait(None));
        let ended = Seen { ended: vec![NodeId::A], ..Seen::default() };
        assert_eq!(line.poll(120 * MS, &ended), Next::Heal(0));
        line.healed(0, 120 * MS);
        assert_eq!(line.poll(150 * MS, &Seen::default()), Next::Wait(None));
        assert_eq!(line.poll(200 * MS, &roles()), Next::Wait(Some(250 * MS)));
        assert_eq!(line.poll(250 * MS, &roles()), Next::Inject(1));
        line.injected(1, 250 * MS, 250 * MS, &[NodeId::B]);
        line.healed(1, 300 * MS);
        assert_eq!(line.poll(400 * MS, &roles()), Next::Done, "the third would come too late");
    }

    #[test]
    fn what_lasts_to_the_end_goes_after_everything_else() {
        let faults = [
            fault((Anchor::WarmUp, 0), Some((Anchor::End, 0))),
            fault((Anchor::Fault, 10), Some((Anchor::Fault, 20))),
            fault((Anchor::Fault, 10), None),
        ];
        let mut line = timeline(&faults);
        line.injected(0, 100 * MS, 100 * MS, &[]);
        assert_eq!(line.poll(110 * MS, &roles()), Next::Inject(1));
        line.injected(1, 110 * MS, 110 * MS, &[]);
        assert_eq!(line.poll(120 * MS, &roles()), Next::Inject(2));
        line.injected(2, 120 * MS, 120 * MS, &[]);
        assert_eq!(line.poll(130 * MS, &roles()), Next::Heal(1));
        line.healed(1, 130 * MS);
        assert_eq!(line.poll(131 * MS, &roles()), Next::Heal(0));
        line.healed(0, 131 * MS);
        assert_eq!(line.poll(132 * MS, &roles()), Next::Done);
    }
}
