//! Owns the sending workload: what may be in flight, what is answered, what is in doubt. It drives no socket; what is due
//! says the agenda.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use amqp::{Attach, Connection, Delivery, Event, LinkId, Role, SenderSettleMode, Source, Target, condition};

use crate::agenda::{Agenda, Next, Unsent};
use crate::client::Workload;
use crate::clock::Nanos;
use crate::control::{Command, Phase, Shared};
use crate::envelope::Envelope;
use crate::ledger::{self, Outcome, ProducerLog, Send};
use crate::meter::{Gauges, Meter, Readings, lock};
use crate::options::Resend;
use crate::payload::Identity;
use crate::requests::Replies;
use crate::run::RunError;
use crate::wire::Wire;

/// Messages of one turn: then the socket and the other clients of the thread have theirs.
const SENDS_PER_TURN: usize = 256;

/// What the broker said about one send, until the turn's end.
#[derive(Debug, Clone, Copy)]
struct Answer {
    record: u64,
    outcome: Outcome,
    /// The delivery to settle on our side, where the broker waits for that.
    settle: Option<u32>,
}

/// One sending link and its record.
pub(crate) struct Producer {
    shared: Arc<Shared>,
    meter: Arc<Meter>,
    gauges: Arc<Gauges>,
    log: Arc<Mutex<ProducerLog>>,
    number: u32,
    address: String,
    envelope: Envelope,
    agenda: Agenda,
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
        Self {
            envelope: Envelope::new(shared.run, number, options.durable),
            address: options.address_of(number).to_owned(),
            meter,
            gauges,
            log,
            number,
            agenda: Agenda::new(number, options),
            pending: VecDeque::new(),
            in_flight: 0,
            resting: VecDeque::new(),
            answers: Vec::new(),
            link: None,
            confirms: 0,
            turns: VecDeque::new(),
            replies: shared.options.request_reply.then(|| Replies::new(number, shared.options.window)),
            held_up: true,
            head: Vec::new(),
            shared,
        }
    }

    fn obey(&mut self, command: Command) {
        self.agenda.obey(command, self.shared.is_ledger_full(), &self.shared.options);
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
            measure(&mut readings, send, self.agenda.is_scheduled(send.sequence));
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

    /// Sends what is due and permitted; gives the time of the next turn.
    fn produce(&mut self, now: Nanos, link: LinkId, wire: &mut Wire) -> Option<Nanos> {
        let shared = Arc::clone(&self.shared);
        let (log, meter) = (Arc::clone(&self.log), Arc::clone(&self.meter));
        let (mut log, mut readings) = (lock(&log), meter.lock());
        self.open_turn(now, wire, &mut log);
        let shed = self.agenda.shed(now, &shared.options);
        log.shed += shed;
        readings.counters.shed += shed;
        let records_before = log.sends.len();
        let mut next_ns = Some(now);
        for _ in 0..SENDS_PER_TURN {
            let unsent = match self.agenda.next(now, &shared.options) {
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
        let intended = self.agenda.is_scheduled(sequence).then_some(intended_ns);
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
            body: filler.bytes(),
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
        if unsent.attempt > 0 {
            readings.counters.resent += 1;
        } else if self.agenda.is_open_loop() && !self.held_up {
            Readings::record(&mut readings.histograms.lag, unsent.intended_ns, now);
        }
        self.agenda.note_sent(now, unsent, &self.shared.options);
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
        Gauges::set(&self.gauges.backlog, self.agenda.backlog(now));
        Gauges::set(&self.gauges.in_flight, u64::from(self.in_flight));
        let answered = !self.has_unanswered();
        self.gauges.filled.store(answered && self.agenda.is_filled(), Ordering::Relaxed);
        let done = answered && self.agenda.is_over(now);
        self.gauges.done.store(done, Ordering::Relaxed);
    }

    fn has_unanswered(&self) -> bool {
        let waiting = self.replies.as_ref().map_or(0, Replies::waiting);
        waiting > 0 || self.in_flight > 0 || self.agenda.has_resends()
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
        self.agenda.put_back(again, &taken);
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
