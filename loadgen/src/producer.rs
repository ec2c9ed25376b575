//! Owns the sending workload: what is due, what may be in flight, what must be sent again. It drives no socket.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use amqp::{Attach, Connection, Delivery, Event, LinkId, Role, SenderSettleMode, Source, Target, condition};

use crate::client::Workload;
use crate::clock::Nanos;
use crate::control::{Command, Phase, Shared};
use crate::envelope::Envelope;
use crate::ledger::{self, Outcome, ProducerLog, Send};
use crate::meter::{Gauges, Meter, Readings, lock};
use crate::options::{Backlog, Limit, Resend};
use crate::payload::Identity;
use crate::requests::Replies;
use crate::run::RunError;
use crate::schedule::Schedule;
use crate::wire::Wire;

/// Messages of one turn: then the socket and the other clients of the thread have theirs.
const SENDS_PER_TURN: usize = 256;

/// A message that waits to be sent again.
#[derive(Debug, Clone, Copy)]
struct Unsent {
    sequence: u64,
    intended_ns: Nanos,
    attempt: u8,
}

/// What the broker said about one send, until the turn's end.
#[derive(Debug, Clone, Copy)]
struct Answer {
    record: u64,
    outcome: Outcome,
    /// The delivery to settle on our side, where the broker waits for that.
    settle: Option<u32>,
}

/// What can be done next.
enum Next {
    Send(Unsent),
    /// Nothing is due before then; `None`: before the schedule begins.
    Wait(Option<Nanos>),
    /// The backlog policy allows the next one then.
    Hold(Nanos),
    /// Nothing will be due any more.
    Finished,
}

/// One sending link and its schedule.
pub(crate) struct Producer {
    shared: Arc<Shared>,
    meter: Arc<Meter>,
    gauges: Arc<Gauges>,
    log: Arc<Mutex<ProducerLog>>,
    number: u32,
    address: String,
    envelope: Envelope,
    /// None until the schedule begins.
    schedule: Option<Schedule>,
    /// Messages of this producer that are the backlog to begin with; the schedule's follow.
    fill: u64,
    /// Messages of this producer, and when they stop being due.
    messages_max: u64,
    stop_ns: Nanos,
    next_sequence: u64,
    resend: VecDeque<Unsent>,
    /// Records of this connection without an outcome, some already answered ones in between.
    pending: VecDeque<usize>,
    in_flight: u32,
    /// Places in the window that rest, until then.
    resting: VecDeque<Nanos>,
    answers: Vec<Answer>,
    link: Option<LinkId>,
    confirms: u32,
    /// For the sends of the latest turns: where in the stream of bytes they begin, and their first record.
    turns: VecDeque<(u64, usize)>,
    /// Request and reply: the answers.
    replies: Option<Replies>,
    /// Whether something other than the generator held up what is due.
    held_up: bool,
    /// `paced`: when the next send is allowed.
    pace_ns: Nanos,
    stopping: bool,
    filling: bool,
    head: Vec<u8>,
}

impl Producer {
    pub(crate) fn new(
        number: u32,
        shared: Arc<Shared>,
        meter: Arc<Meter>,
        gauges: Arc<Gauges>,
        log: Arc<Mutex<ProducerLog>>,
    ) -> Self {
        let options = &shared.options;
        let producers = u64::from(options.producers);
        let share = |count: u64| (count + producers - 1 - u64::from(number)) / producers;
        let fill = share(options.build_backlog);
        let messages_max = match options.limit {
            Limit::Count(count) => fill + share(count),
            Limit::Duration(_) | Limit::None => u64::MAX,
        };
        Self {
            envelope: Envelope::new(shared.run, number, options.durable),
            address: options.address_of(number).to_owned(),
            meter,
            gauges,
            log,
            number,
            schedule: None,
            fill,
            messages_max,
            stop_ns: Nanos::MAX,
            next_sequence: 0,
            resend: VecDeque::new(),
            pending: VecDeque::new(),
            in_flight: 0,
            resting: VecDeque::new(),
            answers: Vec::new(),
            link: None,
            confirms: 0,
            turns: VecDeque::new(),
            replies: shared.options.request_reply.then(|| Replies::new(number, shared.options.window)),
            held_up: true,
            pace_ns: 0,
            stopping: false,
            filling: false,
            head: Vec::new(),
            shared,
        }
    }

    fn obey(&mut self, command: Command) {
        self.stopping = command.phase >= Phase::Stop || self.shared.is_ledger_full();
        self.filling = command.phase == Phase::Fill;
        if self.schedule.is_none() && command.phase >= Phase::Send && command.start_ns != 0 {
            let options = &self.shared.options;
            let schedule = Schedule::new(&options.rate, command.start_ns, self.number, options.producers);
            self.schedule = Some(schedule.spread(options.spread, options.seed));
            if let Limit::Duration(duration) = options.limit {
                self.stop_ns = command.start_ns + duration.as_nanos() as Nanos;
            }
        }
    }

    /// Writes down what the broker answered.
    fn settle_answers(&mut self, now: Nanos, connection: Option<(&mut Connection, LinkId)>) {
        if self.answers.is_empty() {
            return;
        }
        let mut log = lock(&self.log);
        let mut readings = self.meter.lock();
        for answer in &self.answers {
            let Some(send) = log.sends.get_mut(answer.record as usize) else { continue };
            if send.outcome != Outcome::Pending {
                continue;
            }
            send.outcome = answer.outcome;
            send.outcome_ns = now;
            self.in_flight -= 1;
            if !self.shared.options.producer_think.is_zero() {
                self.resting.push_back(now + self.shared.options.producer_think.as_nanos() as Nanos);
            }
            if answer.outcome == Outcome::Ok {
                send.confirm_index = self.confirms;
                self.confirms += 1;
            } else if let Some(replies) = &mut self.replies {
                replies.forget(send.sequence);
            }
            measure(&mut readings, send, send.sequence >= self.fill);
        }
        while self.pending.front().and_then(|index| log.sends.get(*index)).is_some_and(is_answered) {
            self.pending.pop_front();
        }
        drop((log, readings));
        if let Some((connection, link)) = connection {
            for delivery_id in self.answers.iter().filter_map(|answer| answer.settle) {
                connection.settle_sent(link.session, delivery_id, None);
            }
        }
        self.answers.clear();
    }

    fn next(&mut self, now: Nanos) -> Next {
        if let Some(unsent) = self.resend.front() {
            return self.paced(now, *unsent);
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
        self.paced(now, Unsent { sequence, intended_ns: due_ns, attempt })
    }

    /// Passes over what the backlog policy gives up: what is too late, or more than may wait.
    fn shed(&mut self, now: Nanos, log: &mut ProducerLog, readings: &mut Readings) {
        let options = &self.shared.options;
        if self.stopping || options.backlog != Backlog::Shed && options.backlog_max.is_none() {
            return;
        }
        let late_ns = now.saturating_sub(options.shed_after.as_nanos() as Nanos);
        let too_late = if options.backlog == Backlog::Shed { self.due_count(late_ns) } else { 0 };
        let producers = u64::from(self.shared.options.producers);
        let waiting_max = self.shared.options.backlog_max.map(|max| max.div_ceil(producers));
        let too_many = waiting_max.map_or(0, |max| self.due_count(now).saturating_sub(max));
        let shed = too_late.max(too_many).saturating_sub(self.next_sequence);
        self.next_sequence += shed;
        log.shed += shed;
        readings.counters.shed += shed;
    }

    /// How many messages of the schedule were due at `at_ns`, those of the backlog to begin with included.
    fn due_count(&mut self, at_ns: Nanos) -> u64 {
        let at_ns = at_ns.min(self.stop_ns.saturating_sub(1));
        let due = self.schedule.as_mut().map(|schedule| self.fill + schedule.due_count(at_ns));
        due.unwrap_or(0).min(self.messages_max)
    }

    fn paced(&self, now: Nanos, unsent: Unsent) -> Next {
        let early = self.shared.options.backlog == Backlog::Paced && now < self.pace_ns;
        if early { Next::Hold(self.pace_ns) } else { Next::Send(unsent) }
    }

    /// Sends what is due and permitted; gives the time of the next turn.
    fn produce(&mut self, now: Nanos, link: LinkId, wire: &mut Wire) -> Option<Nanos> {
        let shared = Arc::clone(&self.shared);
        let (log, meter) = (Arc::clone(&self.log), Arc::clone(&self.meter));
        let (mut log, mut readings) = (lock(&log), meter.lock());
        self.open_turn(now, wire, &mut log);
        self.shed(now, &mut log, &mut readings);
        let records_before = log.sends.len();
        let mut next_ns = Some(now);
        for _ in 0..SENDS_PER_TURN {
            let unsent = match self.next(now) {
                Next::Send(unsent) => unsent,
                Next::Wait(at_ns) => {
                    // Caught up: from here on, only the generator itself can be late.
                    self.held_up = false;
                    next_ns = at_ns.map(|at_ns| at_ns.max(now + shared.options.tick.as_nanos() as Nanos));
                    break;
                }
                Next::Hold(at_ns) => {
                    next_ns = Some(at_ns);
                    break;
                }
                Next::Finished => {
                    next_ns = None;
                    break;
                }
            };
            let full = self.in_flight as usize + self.resting.len() >= shared.options.window as usize;
            let unanswerable = |replies: &Replies| replies.address(shared.options.window).is_none();
            let full = full || self.replies.as_ref().is_some_and(unanswerable);
            let blocked = full || wire.connection.link_credit(link) == 0 || wire.is_congested();
            if blocked || !self.send(now, unsent, link, wire, &mut log) {
                self.held_up = true;
                next_ns = self.resting.front().copied();
                break;
            }
            self.count(now, &unsent, &mut readings);
        }
        shared.note_records((log.sends.len() - records_before) * size_of::<Send>());
        next_ns
    }

    /// Notes where the turn's sends begin, and gives up what no longer matters.
    fn open_turn(&mut self, now: Nanos, wire: &Wire, log: &mut ProducerLog) {
        while self.resting.pop_front_if(|until_ns| *until_ns <= now).is_some() {}
        self.turns.retain(|(offset, _)| *offset >= wire.written_bytes());
        self.turns.push_back((wire.output_offset(), log.sends.len()));
        if !self.shared.options.ledger {
            let unanswered = self.pending.front().copied().unwrap_or(usize::MAX);
            let unwritten = self.turns.front().map_or(usize::MAX, |(_, record)| *record);
            log.sends.forget_before(unanswered.min(unwritten));
        }
    }

    /// Hands one message to the connection; false if it takes none now.
    fn send(&mut self, now: Nanos, unsent: Unsent, link: LinkId, wire: &mut Wire, log: &mut ProducerLog) -> bool {
        let Unsent { sequence, intended_ns, attempt } = unsent;
        let (template, settled) = (&self.shared.template, self.shared.options.settled);
        let filler = template.filler(self.number, sequence);
        let reply_to = self.replies.as_ref().and_then(|replies| replies.address(u32::MAX));
        self.envelope.write(sequence, filler.payload_bytes() as u32, reply_to, &mut self.head);
        // What waits in a queue on purpose says nothing about latency.
        let intended = (sequence >= self.fill).then_some(intended_ns);
        let identity = Identity { producer: self.number, sequence, attempt, intended_ns: intended };
        template.write_head(&identity, filler, &mut self.head);
        let record = log.sends.len();
        let delivery = Delivery {
            token: record as u64,
            tag: &(record as u32).to_be_bytes(),
            settled,
            format: 0,
            state: None,
            head: &self.head,
            body: filler.bytes().clone(),
        };
        match wire.connection.send(link, delivery) {
            Ok(_delivery_id) => {}
            Err(amqp::SendError::MessageTooLarge) => {
                let reason = amqp::SendError::MessageTooLarge.to_string();
                self.shared.fail(RunError::Refused { client: format!("producer {}", self.number), reason });
                return false;
            }
            Err(_busy) => return false,
        }
        log.sends.push(Send {
            sequence,
            intended_ns,
            invoke_ns: now,
            outcome_ns: if settled { now } else { 0 },
            confirm_index: 0,
            connection: log.connections.len() as u32 - 1,
            attempt,
            outcome: if settled { Outcome::Info } else { Outcome::Pending },
        });
        if let Some(replies) = &mut self.replies {
            replies.expect(sequence, intended_ns);
        }
        if !settled {
            self.pending.push_back(record);
            self.in_flight += 1;
        }
        true
    }

    fn count(&mut self, now: Nanos, unsent: &Unsent, readings: &mut Readings) {
        readings.counters.sent += 1;
        if unsent.attempt == 0 {
            self.next_sequence = unsent.sequence + 1;
            let open_loop = self.schedule.as_ref().is_some_and(Schedule::is_open_loop);
            if open_loop && !self.held_up {
                Readings::record(&mut readings.histograms.lag, unsent.intended_ns, now);
            }
        } else {
            readings.counters.resent += 1;
        }
        if self.resend.front().is_some_and(|first| first.sequence == unsent.sequence) {
            self.resend.pop_front();
        }
        if self.shared.options.backlog == Backlog::Paced
            && let Some(schedule) = &self.schedule
        {
            let step = (schedule.interval_ns(unsent.intended_ns) / self.shared.options.paced_factor) as Nanos;
            let tick = self.shared.options.tick.as_nanos() as Nanos;
            self.pace_ns = self.pace_ns.max(now.saturating_sub(tick)) + step;
        }
    }

    /// Takes back what provably never left: those sends were not made. Gives them in order.
    fn take_back(&mut self, log: &mut ProducerLog, written_bytes: u64) -> Vec<Unsent> {
        let first = self.turns.iter().find(|(offset, _)| *offset >= written_bytes).map(|(_, record)| *record);
        let Some(first) = first else { return Vec::new() };
        let mut taken = Vec::new();
        while log.sends.len() > first {
            let Some(send) = log.sends.pop() else { break };
            taken.push(Unsent { sequence: send.sequence, intended_ns: send.intended_ns, attempt: send.attempt });
            if self.pending.pop_back_if(|record| *record >= log.sends.len()).is_some() {
                self.in_flight -= 1;
            }
        }
        taken.reverse();
        taken
    }

    /// The sends that the lost connection left without an answer are in doubt, and sent again if that is wanted.
    fn doubt(&mut self, now: Nanos, log: &mut ProducerLog) -> Vec<Unsent> {
        let mut again = Vec::new();
        for index in self.pending.drain(..) {
            let Some(send) = log.sends.get_mut(index).filter(|send| !is_answered(send)) else { continue };
            send.outcome = Outcome::Info;
            send.outcome_ns = now;
            if self.shared.options.resend == Resend::Unconfirmed && send.attempt < u8::MAX {
                let attempt = send.attempt + 1;
                again.push(Unsent { sequence: send.sequence, intended_ns: send.intended_ns, attempt });
            }
        }
        again
    }

    fn show(&mut self, now: Nanos) {
        let due = if self.stopping { 0 } else { self.due_count(now) };
        let backlog = due.saturating_sub(self.next_sequence) + self.resend.len() as u64;
        Gauges::set(&self.gauges.backlog, backlog);
        Gauges::set(&self.gauges.in_flight, u64::from(self.in_flight));
        let filled = self.next_sequence >= self.fill && !self.has_unanswered();
        self.gauges.filled.store(filled, Ordering::Relaxed);
        let done = self.is_done(now);
        self.gauges.done.store(done, Ordering::Relaxed);
    }

    fn has_unanswered(&self) -> bool {
        self.replies.as_ref().is_some_and(|replies| replies.waiting() > 0)
            || self.in_flight > 0
            || !self.resend.is_empty()
    }

    fn is_done(&mut self, now: Nanos) -> bool {
        let number = self.next_sequence.saturating_sub(self.fill);
        let schedule_over = self.stopping
            || self.schedule.as_mut().is_some_and(|schedule| {
                let due_ns = schedule.due_ns(number).unwrap_or(now);
                self.next_sequence >= self.messages_max || due_ns >= self.stop_ns
            });
        schedule_over && !self.has_unanswered()
    }
}

fn is_answered(send: &Send) -> bool {
    send.outcome != Outcome::Pending
}

/// Counts an outcome; what has no latency by intention gives none.
fn measure(readings: &mut Readings, send: &Send, timed: bool) {
    let histograms = &mut readings.histograms;
    match send.outcome {
        Outcome::Ok if !timed => readings.counters.confirmed += 1,
        Outcome::Ok => {
            readings.counters.confirmed += 1;
            Readings::record(&mut histograms.response, send.intended_ns, send.outcome_ns);
            Readings::record(&mut histograms.service, send.invoke_ns, send.outcome_ns);
            Readings::record(&mut histograms.delay, send.intended_ns, send.invoke_ns);
        }
        Outcome::Fail => readings.counters.failed += 1,
        Outcome::Info | Outcome::Pending => readings.counters.in_doubt += 1,
    }
}

/// Which conditions of a rejection prove that the broker did not keep the message. Any other leaves it in doubt.
fn is_refused_for_sure(condition: &str) -> bool {
    let proofs = [
        condition::RESOURCE_LIMIT_EXCEEDED,
        condition::UNAUTHORIZED_ACCESS,
        condition::NOT_ALLOWED,
        condition::NOT_FOUND,
        condition::NOT_IMPLEMENTED,
        condition::INVALID_FIELD,
        condition::DECODE_ERROR,
        condition::PRECONDITION_FAILED,
        condition::LINK_MESSAGE_SIZE_EXCEEDED,
    ];
    proofs.contains(&condition)
}

fn judge_outcome(outcome: Option<&amqp::Outcome>) -> Outcome {
    match outcome {
        Some(amqp::Outcome::Accepted) => Outcome::Ok,
        Some(amqp::Outcome::Rejected(Some(error))) if is_refused_for_sure(&error.condition) => Outcome::Fail,
        _ => Outcome::Info,
    }
}

impl Workload for Producer {
    fn attach(&self) -> Attach {
        let settled = self.shared.options.settled;
        let target = Target { capabilities: vec!["queue".to_owned()], ..Target::at(self.address.as_str()) };
        Attach {
            name: format!("loadgen-{:016x}-producer-{}", self.shared.run, self.number),
            role: Role::Sender,
            snd_settle_mode: if settled { SenderSettleMode::Settled } else { SenderSettleMode::Unsettled },
            source: Some(Source::default()),
            target: Some(target),
            ..Attach::default()
        }
    }

    fn prepare(&mut self, connection: &mut Connection, link: LinkId) {
        if let Some(replies) = &mut self.replies {
            replies.prepare(connection, link.session);
        }
    }

    fn begin(&mut self, now: Nanos, server: &str, link: LinkId) {
        let connection =
            ledger::Connection { server: server.to_owned(), opened_ns: now, closed_ns: 0, reason: String::new() };
        lock(&self.log).connections.push(connection);
        self.link = Some(link);
        self.confirms = 0;
        self.turns.clear();
        self.resting.clear();
    }

    fn observe(&mut self, event: Event<'_>) {
        match (&event, &mut self.replies) {
            (Event::Attached { link, attach }, Some(replies)) => replies.attached(*link, attach),
            (Event::Message(message), Some(replies)) => replies.arrive(message, &self.shared.template),
            _ => {}
        }
        if let Event::Outcome { delivery_id, token, outcome, settled, .. } = event {
            if outcome.as_ref().is_some_and(|outcome| !outcome.is_terminal()) && !settled {
                return;
            }
            let settle = (!settled).then_some(delivery_id);
            self.answers.push(Answer { record: token, outcome: judge_outcome(outcome.as_ref()), settle });
        }
    }

    fn act(&mut self, now: Nanos, command: Command, wire: &mut Wire) -> Option<Nanos> {
        self.obey(command);
        let link = self.link?;
        self.settle_answers(now, Some((&mut wire.connection, link)));
        if let Some(replies) = &mut self.replies {
            replies.take(now, &mut wire.connection, &mut self.meter.lock());
        }
        let next_ns = self.produce(now, link, wire);
        self.show(now);
        next_ns
    }

    fn end(&mut self, now: Nanos, reason: &str, wire: &Wire) {
        self.settle_answers(now, None);
        let log = Arc::clone(&self.log);
        let mut log = lock(&log);
        let taken = self.take_back(&mut log, wire.written_bytes());
        let again = self.doubt(now, &mut log);
        let mut readings = self.meter.lock();
        readings.counters.in_doubt += u64::from(self.in_flight);
        readings.counters.sent = readings.counters.sent.saturating_sub(taken.len() as u64);
        drop(readings);
        // Oldest first: what was in doubt, then re-sends that did not leave, then those that still waited.
        let new = taken.iter().filter(|unsent| unsent.attempt == 0).map(|unsent| unsent.sequence).min();
        self.next_sequence = new.unwrap_or(self.next_sequence);
        let waiting = again.into_iter().chain(taken.into_iter().filter(|unsent| unsent.attempt > 0));
        self.resend = waiting.chain(self.resend.drain(..)).collect();
        self.in_flight = 0;
        if let Some(replies) = &mut self.replies {
            replies.end();
        }
        self.link = None;
        self.held_up = true;
        if let Some(connection) = log.connections.last_mut() {
            connection.closed_ns = now;
            reason.clone_into(&mut connection.reason);
        }
        drop(log);
        self.show(now);
    }

    fn idle(&mut self, now: Nanos, command: Command) {
        self.obey(command);
        self.show(now);
    }

    fn is_needed(&self, phase: Phase) -> bool {
        phase < Phase::Stop || (phase < Phase::Quit && self.has_unanswered())
    }
}
