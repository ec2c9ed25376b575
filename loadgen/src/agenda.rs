//! Owns what one producer has to send and when: the backlog to begin with, the schedule, what must be sent again, and what is given up.
//! It is pure; connections and records are the producer's.

use std::collections::VecDeque;

use crate::clock::Nanos;
use crate::control::{Command, Phase};
use crate::options::{Backlog, Limit, Options};
use crate::schedule::Schedule;

/// A message that waits to be sent, for the first time or again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unsent {
    pub(crate) sequence: u64,
    pub(crate) intended_ns: Nanos,
    pub(crate) attempt: u8,
}

/// What can be done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    Send(Unsent),
    /// Nothing is due before then; `None`: before the schedule begins.
    Wait(Option<Nanos>),
    /// The backlog policy allows the next one then.
    Hold(Nanos),
    /// Nothing will be due any more.
    Finished,
}

/// The messages of one producer.
#[derive(Debug)]
pub(crate) struct Agenda {
    number: u32,
    /// None until the schedule begins.
    schedule: Option<Schedule>,
    /// Messages that are the backlog to begin with; the schedule's follow.
    fill: u64,
    /// Messages in all, and when they stop being due.
    messages_max: u64,
    stop_ns: Nanos,
    next_sequence: u64,
    resend: VecDeque<Unsent>,
    /// `paced`: when the next send is allowed.
    pace_ns: Nanos,
    stopping: bool,
    filling: bool,
}

impl Agenda {
    /// Of producer `number`.
    pub(crate) fn new(number: u32, options: &Options) -> Self {
        let producers = u64::from(options.producers);
        let share = |count: u64| (count + producers - 1 - u64::from(number)) / producers;
        let fill = share(options.build_backlog);
        let messages_max = match options.limit {
            Limit::Count(count) => fill + share(count),
            Limit::Duration(_) | Limit::None => u64::MAX,
        };
        Self {
            number,
            schedule: None,
            fill,
            messages_max,
            stop_ns: Nanos::MAX,
            next_sequence: 0,
            resend: VecDeque::new(),
            pace_ns: 0,
            stopping: false,
            filling: false,
        }
    }

    /// Takes in how far the run is; `stop` ends the sending whatever that is.
    pub(crate) fn obey(&mut self, command: Command, stop: bool, options: &Options) {
        self.stopping = command.phase >= Phase::Stop || stop;
        self.filling = command.phase == Phase::Fill;
        if self.schedule.is_none() && command.phase >= Phase::Send && command.start_ns != 0 {
            let schedule = Schedule::new(&options.rate, command.start_ns, self.number, options.producers);
            self.schedule = Some(schedule.spread(options.spread, options.seed));
            if let Limit::Duration(duration) = options.limit {
                self.stop_ns = command.start_ns + duration.as_nanos() as Nanos;
            }
        }
    }

    /// Whether a message belongs to the schedule, rather than to the backlog to begin with: only then latency means something.
    pub(crate) fn is_scheduled(&self, sequence: u64) -> bool {
        sequence >= self.fill
    }

    /// Whether messages are due by a clock, rather than when the window has room.
    pub(crate) fn is_open_loop(&self) -> bool {
        self.schedule.as_ref().is_some_and(Schedule::is_open_loop)
    }

    /// What is to be done at `now`.
    pub(crate) fn next(&mut self, now: Nanos, options: &Options) -> Next {
        if let Some(unsent) = self.resend.front() {
            return self.paced(now, *unsent, options);
        }
        let (sequence, attempt) = (self.next_sequence, 0);
        if self.filling && sequence < self.fill && !self.stopping {
            return Next::Send(Unsent { sequence, intended_ns: now, attempt });
        }
        let Some(schedule) = &mut self.schedule else { return Next::Wait(None) };
        let due_ns = schedule.due_ns(sequence.saturating_sub(self.fill)).unwrap_or(now);
        if self.stopping || sequence >= self.messages_max || due_ns >= self.stop_ns {
            return Next::Finished;
        }
        if due_ns > now {
            return Next::Wait(Some(due_ns));
        }
        self.paced(now, Unsent { sequence, intended_ns: due_ns, attempt }, options)
    }

    fn paced(&self, now: Nanos, unsent: Unsent, options: &Options) -> Next {
        let early = options.backlog == Backlog::Paced && now < self.pace_ns;
        if early { Next::Hold(self.pace_ns) } else { Next::Send(unsent) }
    }

    /// The message that `next` gave was sent.
    pub(crate) fn note_sent(&mut self, now: Nanos, unsent: &Unsent, options: &Options) {
        if unsent.attempt == 0 {
            self.next_sequence = unsent.sequence + 1;
        }
        self.resend.pop_front_if(|first| first.sequence == unsent.sequence);
        if options.backlog == Backlog::Paced
            && let Some(schedule) = &self.schedule
        {
            let step = (schedule.interval_ns(unsent.intended_ns) / options.paced_factor) as Nanos;
            let tick = options.tick.as_nanos() as Nanos;
            self.pace_ns = self.pace_ns.max(now.saturating_sub(tick)) + step;
        }
    }

    /// Passes over what the backlog policy gives up: what is too late, or more than may wait. Gives how many that were.
    pub(crate) fn shed(&mut self, now: Nanos, options: &Options) -> u64 {
        if self.stopping || options.backlog != Backlog::Shed && options.backlog_max.is_none() {
            return 0;
        }
        let late_ns = now.saturating_sub(options.shed_after.as_nanos() as Nanos);
        let too_late = if options.backlog == Backlog::Shed { self.due_count(late_ns) } else { 0 };
        let waiting_max = options.backlog_max.map(|max| max.div_ceil(u64::from(options.producers)));
        let too_many = waiting_max.map_or(0, |max| self.due_count(now).saturating_sub(max));
        let shed = too_late.max(too_many).saturating_sub(self.next_sequence);
        self.next_sequence += shed;
        shed
    }

    /// How many messages of the schedule were due at `at_ns`, those of the backlog to begin with included.
    fn due_count(&mut self, at_ns: Nanos) -> u64 {
        let at_ns = at_ns.min(self.stop_ns.saturating_sub(1));
        let due = self.schedule.as_mut().map(|schedule| self.fill + schedule.due_count(at_ns));
        due.unwrap_or(0).min(self.messages_max)
    }

    /// The connection is lost: `doubtful` has to be sent again, and `taken` never left. Both are in the order of sending.
    pub(crate) fn put_back(&mut self, doubtful: Vec<Unsent>, taken: &[Unsent]) {
        let first_new = taken.iter().filter(|unsent| unsent.attempt == 0).map(|unsent| unsent.sequence).min();
        self.next_sequence = first_new.unwrap_or(self.next_sequence);
        // Oldest first: what was in doubt, then re-sends that did not leave, then those that still waited.
        let again = taken.iter().copied().filter(|unsent| unsent.attempt > 0);
        self.resend = doubtful.into_iter().chain(again).chain(self.resend.drain(..)).collect();
    }

    /// Messages due and not sent.
    pub(crate) fn backlog(&mut self, now: Nanos) -> u64 {
        let due = if self.stopping { 0 } else { self.due_count(now) };
        due.saturating_sub(self.next_sequence) + self.resend.len() as u64
    }

    pub(crate) fn has_resends(&self) -> bool {
        !self.resend.is_empty()
    }

    /// Whether the backlog to begin with was sent.
    pub(crate) fn is_filled(&self) -> bool {
        self.next_sequence >= self.fill
    }

    /// Whether nothing will be due any more.
    pub(crate) fn is_over(&mut self, now: Nanos) -> bool {
        let number = self.next_sequence.saturating_sub(self.fill);
        self.stopping
            || self.schedule.as_mut().is_some_and(|schedule| {
                let due_ns = schedule.due_ns(number).unwrap_or(now);
                self.next_sequence >= self.messages_max || due_ns >= self.stop_ns
            })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const MILLISECOND: Nanos = 1_000_000;

    /// An agenda at 1,000 messages a second whose schedule begins at 1 ms, so that message n is due at n + 1 ms.
    fn agenda(options: &Options) -> Agenda {
        let mut agenda = Agenda::new(0, options);
        agenda.obey(Command { phase: Phase::Send, start_ns: MILLISECOND, probe: 0 }, false, options);
        agenda
    }

    fn options(change: impl FnOnce(&mut Options)) -> Options {
        let mut options = Options { rate: "1k".parse().expect("a rate"), limit: Limit::None, ..Options::default() };
        change(&mut options);
        options
    }

    /// Sends all that is permitted at `now`; gives the numbers and what comes then.
    fn send_all(agenda: &mut Agenda, now: Nanos, options: &Options) -> (Vec<u64>, Next) {
        let mut sent = Vec::new();
        loop {
            match agenda.next(now, options) {
                Next::Send(unsent) => {
                    agenda.note_sent(now, &unsent, options);
                    sent.push(unsent.sequence);
                }
                other => return (sent, other),
            }
        }
    }

    #[test]
    fn what_is_due_is_sent_in_order_up_to_the_limit() {
        let options = options(|options| options.limit = Limit::Count(5));
        let mut agenda = agenda(&options);
        assert_eq!(
            send_all(&mut agenda, 3 * MILLISECOND, &options),
            (vec![0, 1, 2], Next::Wait(Some(4 * MILLISECOND)))
        );
        assert!(!agenda.is_over(3 * MILLISECOND));
        assert_eq!(send_all(&mut agenda, 60 * MILLISECOND, &options), (vec![3, 4], Next::Finished));
        assert!(agenda.is_over(60 * MILLISECOND));
    }

    #[test]
    fn the_backlog_to_begin_with_comes_first_and_shifts_the_schedule() {
        let options = options(|options| options.build_backlog = 3);
        let mut agenda = Agenda::new(0, &options);
        assert_eq!(agenda.next(5, &options), Next::Wait(None));
        agenda.obey(Command { phase: Phase::Fill, start_ns: 0, probe: 0 }, false, &options);
        assert_eq!(send_all(&mut agenda, 5, &options), (vec![0, 1, 2], Next::Wait(None)));
        assert!(agenda.is_filled() && !agenda.is_scheduled(2) && agenda.is_scheduled(3));
        agenda.obey(Command { phase: Phase::Send, start_ns: MILLISECOND, probe: 0 }, false, &options);
        assert_eq!(send_all(&mut agenda, MILLISECOND, &options), (vec![3], Next::Wait(Some(2 * MILLISECOND))));
    }

    #[test]
    fn what_is_too_late_or_too_much_is_shed_and_counted() {
        let late = options(|options| {
            (options.backlog, options.shed_after) = (Backlog::Shed, Duration::from_millis(10));
        });
        let mut first = agenda(&late);
        assert_eq!(first.shed(50 * MILLISECOND, &late), 40);
        assert_eq!(send_all(&mut first, 50 * MILLISECOND, &late).0, (40..50).collect::<Vec<_>>());
        let bounded = options(|options| options.backlog_max = Some(7));
        let mut second = agenda(&bounded);
        assert_eq!((second.shed(50 * MILLISECOND, &bounded), second.backlog(50 * MILLISECOND)), (43, 7));
        let patient = options(|_| {});
        let mut third = agenda(&patient);
        assert_eq!((third.shed(50 * MILLISECOND, &patient), third.backlog(50 * MILLISECOND)), (0, 50));
    }

    #[test]
    fn a_paced_backlog_is_held_to_its_factor() {
        let options = options(|options| (options.backlog, options.paced_factor) = (Backlog::Paced, 2.0));
        let mut agenda = agenda(&options);
        let now = 100 * MILLISECOND;
        let (sent, next) = send_all(&mut agenda, now, &options);
        // Half a millisecond for each, reckoned from a tick ago.
        assert_eq!((sent, next), (vec![0], Next::Hold(now - 200_000 + MILLISECOND / 2)));
    }

    #[test]
    fn what_did_not_leave_is_sent_again_the_oldest_first() {
        let options = options(|_| {});
        let mut agenda = agenda(&options);
        let (sent, _) = send_all(&mut agenda, 6 * MILLISECOND, &options);
        assert_eq!(sent, [0, 1, 2, 3, 4, 5]);
        let unsent = |sequence, attempt| Unsent { sequence, intended_ns: MILLISECOND, attempt };
        agenda.put_back(vec![unsent(1, 1), unsent(2, 1)], &[unsent(4, 0), unsent(5, 0)]);
        assert!(agenda.has_resends() && agenda.backlog(6 * MILLISECOND) == 4);
        assert_eq!(send_all(&mut agenda, 6 * MILLISECOND, &options).0, [1, 2, 4, 5]);
    }
}
