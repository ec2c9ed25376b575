//! Owns the receiving workload: credit, acknowledgement and the drain request. It drives no socket.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use amqp::{Attach, Connection, Event, LinkId, Message, Outcome, Role, SenderSettleMode, Source, Target, message};

use crate::client::Workload;
use crate::clock::Nanos;
use crate::control::{Command, Phase, Shared};
use crate::ledger::{self, ConsumerLog, Delivery};
use crate::meter::{Gauges, Meter, Readings, lock};
use crate::options::{Ack, Consume, Renew};
use crate::payload::{Identity, PayloadError};
use crate::responses::Responder;
use crate::wire::Wire;

/// What came in this turn, in its order: whether an acknowledgement was confirmed before or after a delivery decides what
/// the delivery is.
#[derive(Debug, Clone, Copy)]
enum Seen {
    Arrival(Arrival),
    /// The broker settled these delivery-ids, both ends inclusive.
    Settled {
        first: u32,
        last: u32,
    },
}

/// A message that arrived.
#[derive(Debug, Clone, Copy)]
struct Arrival {
    delivery_id: u32,
    settled: bool,
    redelivered: bool,
    identity: Result<Identity, PayloadError>,
}

/// One receiving link.
pub(crate) struct Consumer {
    shared: Arc<Shared>,
    meter: Arc<Meter>,
    gauges: Arc<Gauges>,
    log: Arc<Mutex<ConsumerLog>>,
    number: u32,
    address: String,
    link: Option<LinkId>,
    /// What of the granted credit is left.
    credit_left: u32,
    seen: Vec<Seen>,
    /// The time given to the last of what was seen.
    seen_ns: Nanos,
    /// Acknowledged deliveries whose confirmation is awaited, with their records, in the order of delivery-ids.
    unconfirmed: VecDeque<(u32, Option<usize>)>,
    /// Messages that are worked on, one after the other, with the time when each is done.
    working: VecDeque<(Nanos, Arrival, Option<usize>)>,
    /// Request and reply: the answers.
    responder: Option<Responder>,
    drained: bool,
    /// Whether messages are wanted already.
    released: bool,
    /// The drain request under way, and whether something arrived since it was made.
    probe: Option<(u64, bool)>,
    probe_answered: u64,
}

impl Consumer {
    pub(crate) fn new(
        number: u32,
        shared: Arc<Shared>,
        meter: Arc<Meter>,
        gauges: Arc<Gauges>,
        log: Arc<Mutex<ConsumerLog>>,
    ) -> Self {
        Self {
            address: shared.options.address_of(number).to_owned(),
            released: shared.options.consume == Consume::Always && shared.options.build_backlog == 0,
            responder: shared.options.request_reply.then(Responder::default),
            shared,
            meter,
            gauges,
            log,
            number,
            link: None,
            credit_left: 0,
            seen: Vec::new(),
            seen_ns: 0,
            unconfirmed: VecDeque::new(),
            working: VecDeque::new(),
            drained: false,
            probe: None,
            probe_answered: 0,
        }
    }

    fn arrive(&mut self, message: &Message<'_>) {
        let scanned = message::scan(message.payload);
        let redelivered =
            scanned.as_ref().is_ok_and(|found| found.header.delivery_count > 0 || !found.header.first_acquirer);
        let payload = scanned.as_ref().ok().and_then(|found| found.data(message.payload));
        let identity = payload.map_or(Err(PayloadError::Alien), |payload| self.shared.template.read(payload));
        if let Some(responder) = &mut self.responder {
            responder.note(message.payload, scanned.as_ref().ok());
        }
        let Message { delivery_id, settled, .. } = *message;
        self.seen.push(Seen::Arrival(Arrival { delivery_id, settled, redelivered, identity }));
    }

    /// Writes down what came, and acknowledges it where there still is a connection.
    ///
    /// What one read brought gets one nanosecond after the other, so that the record keeps its order.
    fn take_seen(&mut self, now: Nanos, mut acknowledge: Option<(&mut Connection, LinkId)>) {
        if self.seen.is_empty() {
            return;
        }
        let (log, meter) = (Arc::clone(&self.log), Arc::clone(&self.meter));
        let (mut log, mut readings) = (lock(&log), meter.lock());
        let records_before = log.deliveries.len();
        self.seen_ns = self.seen_ns.max(now);
        let mut batch = std::mem::take(&mut self.seen);
        for seen in batch.drain(..) {
            self.seen_ns += 1;
            match seen {
                Seen::Settled { first, last } => self.confirm(first, last, &mut log, &mut readings),
                Seen::Arrival(arrival) => {
                    let record =
                        write_down(self.seen_ns, &arrival, self.shared.options.ledger, &mut log, &mut readings);
                    if let Some((connection, link)) = &mut acknowledge {
                        self.work(now, arrival, record, connection, *link);
                    }
                    self.credit_left = self.credit_left.saturating_sub(1);
                    if let Some((_, something_came)) = &mut self.probe {
                        *something_came = true;
                    }
                    Gauges::set(&self.gauges.last_arrival_ns, now);
                }
            }
        }
        self.shared.note_records((log.deliveries.len() - records_before) * size_of::<Delivery>());
        // Its memory serves the next turn.
        self.seen = batch;
    }

    /// Acknowledges a message at once, or begins to work on it once the one before it is done.
    fn work(&mut self, now: Nanos, arrival: Arrival, record: Option<usize>, connection: &mut Connection, link: LinkId) {
        let think_ns = self.shared.options.consumer_think.as_nanos() as Nanos;
        if think_ns == 0 {
            return self.acknowledge(&arrival, record, connection, link);
        }
        let begin_ns = self.working.back().map_or(now, |(done_ns, ..)| now.max(*done_ns));
        self.working.push_back((begin_ns + think_ns, arrival, record));
    }

    /// Acknowledges what is done; gives the time when the next message will be.
    fn finish_work(&mut self, now: Nanos, connection: &mut Connection, link: LinkId) -> Option<Nanos> {
        while let Some((_, arrival, record)) = self.working.pop_front_if(|(done_ns, ..)| *done_ns <= now) {
            self.acknowledge(&arrival, record, connection, link);
        }
        self.working.front().map(|(done_ns, ..)| *done_ns)
    }

    fn acknowledge(&mut self, arrival: &Arrival, record: Option<usize>, connection: &mut Connection, link: LinkId) {
        if let Some(responder) = &mut self.responder {
            responder.finish();
        }
        match self.shared.options.ack {
            _ if arrival.settled => {}
            Ack::Accept => connection.settle(link.session, arrival.delivery_id, Outcome::Accepted, true),
            Ack::Confirmed => {
                connection.settle(link.session, arrival.delivery_id, Outcome::Accepted, false);
                self.unconfirmed.push_back((arrival.delivery_id, record));
            }
            Ack::Settled | Ack::None => {}
        }
    }

    /// Writes down which acknowledgements the broker has confirmed.
    fn confirm(&mut self, first: u32, last: u32, log: &mut ConsumerLog, readings: &mut Readings) {
        // Delivery-ids are serial numbers: distances are compared, not values.
        let span = last.wrapping_sub(first);
        let covered = |id: u32| id.wrapping_sub(first) <= span;
        let mut confirm = |record: Option<usize>| {
            readings.counters.acknowledged += 1;
            if let Some(delivery) = record.and_then(|record| log.deliveries.get_mut(record)) {
                delivery.acknowledged_ns = self.seen_ns;
            }
        };
        while let Some((_, record)) = self.unconfirmed.pop_front_if(|(id, _)| covered(*id)) {
            confirm(record);
        }
        // Confirmed out of order, which a broker may do: look through the rest.
        if self.unconfirmed.iter().any(|(id, _)| covered(*id)) {
            self.unconfirmed.iter().filter(|(id, _)| covered(*id)).for_each(|(_, record)| confirm(*record));
            self.unconfirmed.retain(|(id, _)| !covered(*id));
        }
    }

    /// Renews the credit at half, and asks for a drain when the run wants one.
    fn grant(&mut self, command: Command, connection: &mut Connection, link: LinkId) {
        let wanted = if self.shared.options.consume == Consume::Always { Phase::Send } else { Phase::Stop };
        self.released |= command.phase >= wanted;
        if !self.released {
            return;
        }
        // What is worked on counts: a slow consumer does not collect more than it asked for.
        let answers = self.responder.as_ref().map_or(0, Responder::waiting);
        let credit = self.shared.options.credit.saturating_sub((self.working.len() + answers) as u32);
        let renew_at = if self.shared.options.renew == Renew::Half { credit / 2 } else { 0 };
        if std::mem::take(&mut self.drained) {
            if let Some((number, something_came)) = self.probe.take() {
                self.probe_answered = number;
                if !something_came {
                    Gauges::set(&self.gauges.empty_probe, number);
                }
                Gauges::set(&self.gauges.answered_probe, number);
            }
            connection.grant(link, credit, false);
            self.credit_left = credit;
        }
        // With messages at work there is less credit, or none: an answer to that would say nothing of the queue.
        let at_rest = self.working.is_empty() && answers == 0;
        if command.probe > self.probe_answered && self.probe.is_none() && at_rest {
            self.probe = Some((command.probe, false));
            connection.grant(link, credit, true);
            self.credit_left = credit;
        } else if self.probe.is_none() && self.credit_left <= renew_at && self.credit_left < credit {
            connection.grant(link, credit, false);
            self.credit_left = credit;
        }
    }
}

/// The record's index, or `None` for a message that is not ours.
fn write_down(
    now: Nanos,
    arrival: &Arrival,
    ledger: bool,
    log: &mut ConsumerLog,
    readings: &mut Readings,
) -> Option<usize> {
    readings.counters.delivered += 1;
    let identity = match arrival.identity {
        Ok(identity) => identity,
        Err(PayloadError::Alien) => {
            log.alien += 1;
            return None;
        }
        Err(PayloadError::Corrupt) => {
            log.corrupt += 1;
            return None;
        }
    };
    if let Some(intended_ns) = identity.intended_ns {
        Readings::record(&mut readings.histograms.delivery, intended_ns, now);
    }
    let record = Delivery {
        sequence: identity.sequence,
        arrival_ns: now,
        acknowledged_ns: 0,
        producer: identity.producer,
        connection: (log.connections.len() as u32).saturating_sub(1),
        attempt: identity.attempt,
        redelivered: arrival.redelivered,
    };
    ledger.then(|| log.deliveries.push(record))
}

impl Workload for Consumer {
    fn attach(&self) -> Attach {
        let source = Source { capabilities: vec!["queue".to_owned()], ..Source::at(self.address.as_str()) };
        let settled = self.shared.options.ack == Ack::Settled;
        Attach {
            name: format!("loadgen-{:016x}-consumer-{}", self.shared.run, self.number),
            role: Role::Receiver,
            snd_settle_mode: if settled { SenderSettleMode::Settled } else { SenderSettleMode::Unsettled },
            source: Some(source),
            target: Some(Target::default()),
            ..Attach::default()
        }
    }

    fn prepare(&mut self, connection: &mut Connection, link: LinkId) {
        self.credit_left = if self.released { self.shared.options.credit } else { 0 };
        if self.released {
            connection.grant(link, self.credit_left, false);
        }
    }

    fn begin(&mut self, now: Nanos, server: &str, link: LinkId) {
        let connection =
            ledger::Connection { server: server.to_owned(), opened_ns: now, closed_ns: 0, reason: String::new() };
        lock(&self.log).connections.push(connection);
        self.link = Some(link);
    }

    fn detached(&mut self, link: LinkId) -> bool {
        self.responder.as_mut().is_some_and(|responder| responder.detached(link))
    }

    fn observe(&mut self, event: Event<'_>) {
        match event {
            Event::Message(message) => self.arrive(&message),
            Event::SettledByPeer { first, last, .. } => self.seen.push(Seen::Settled { first, last }),
            Event::Drained { .. } => self.drained = true,
            _ => {}
        }
    }

    fn act(&mut self, now: Nanos, command: Command, wire: &mut Wire) -> Option<Nanos> {
        let link = self.link?;
        self.take_seen(now, Some((&mut wire.connection, link)));
        let next_ns = self.finish_work(now, &mut wire.connection, link);
        if let Some(responder) = &mut self.responder {
            responder.send(&mut wire.connection, link.session);
        }
        self.grant(command, &mut wire.connection, link);
        Gauges::set(&self.gauges.in_flight, (self.unconfirmed.len() + self.working.len()) as u64);
        next_ns
    }

    fn end(&mut self, now: Nanos, reason: &str, _wire: &Wire) {
        self.take_seen(now, None);
        self.unconfirmed.clear();
        self.working.clear();
        if let Some(responder) = &mut self.responder {
            responder.end();
        }
        self.link = None;
        (self.probe, self.drained) = (None, false);
        Gauges::set(&self.gauges.in_flight, 0);
        if let Some(connection) = lock(&self.log).connections.last_mut() {
            connection.closed_ns = now;
            reason.clone_into(&mut connection.reason);
        }
    }

    fn idle(&mut self, _now: Nanos, _command: Command) {}

    fn is_needed(&self, phase: Phase) -> bool {
        phase < Phase::Quit
    }
}
