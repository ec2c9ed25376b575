//! Owns the waiting half of request and reply: the queue of its own that a producer's answers come to, and which requests have none yet.

use std::collections::HashMap;

use amqp::{Attach, Connection, LinkId, Message, Outcome, Role, SenderSettleMode, SessionId, Source, Target, message};

use crate::clock::Nanos;
use crate::meter::Readings;
use crate::payload::Template;

/// The answers to one producer's requests.
#[derive(Debug)]
pub(crate) struct Replies {
    producer: u32,
    /// Answers that the broker may send ahead.
    credit: u32,
    link: Option<LinkId>,
    /// The queue that the broker made for them.
    address: Option<String>,
    credit_left: u32,
    /// Requests without an answer: number, and when it was due.
    waiting: HashMap<u64, Nanos>,
    /// What came in this turn: delivery-id, whether it has to be settled, and the request that it answers.
    arrived: Vec<(u32, bool, Option<u64>)>,
}

impl Replies {
    /// For a producer with `window` requests under way at most.
    pub(crate) fn new(producer: u32, window: u32) -> Self {
        Self {
            producer,
            credit: window.max(1),
            link: None,
            address: None,
            credit_left: 0,
            waiting: HashMap::new(),
            arrived: Vec::new(),
        }
    }

    /// Asks for a queue on a new connection. What was not answered on the one before is not going to be.
    pub(crate) fn prepare(&mut self, connection: &mut Connection, session: SessionId) {
        let attach = Attach {
            name: "replies".to_owned(),
            role: Role::Receiver,
            snd_settle_mode: SenderSettleMode::Mixed,
            source: Some(Source { dynamic: true, ..Source::default() }),
            target: Some(Target::default()),
            ..Attach::default()
        };
        let link = connection.attach(session, attach);
        connection.grant(link, self.credit, false);
        (self.link, self.credit_left, self.address) = (Some(link), self.credit, None);
    }

    /// The broker has answered an attach, perhaps this one's.
    pub(crate) fn attached(&mut self, link: LinkId, attach: &Attach) {
        if self.link == Some(link) {
            self.address = attach.source.as_ref().and_then(|source| source.address.clone());
        }
    }

    /// The address for answers, and whether another request may wait for one.
    pub(crate) fn address(&self, window: u32) -> Option<&str> {
        self.address.as_deref().filter(|_| self.waiting.len() < window as usize)
    }

    /// A request was sent.
    pub(crate) fn expect(&mut self, sequence: u64, intended_ns: Nanos) {
        self.waiting.insert(sequence, intended_ns);
    }

    /// A request will not be answered: the broker has refused it.
    pub(crate) fn forget(&mut self, sequence: u64) {
        self.waiting.remove(&sequence);
    }

    /// Requests without an answer.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// An answer has come. It holds the payload of its request.
    pub(crate) fn arrive(&mut self, message: &Message<'_>, template: &Template) {
        let sections = message::scan(message.payload).ok();
        let payload = sections.and_then(|found| found.data(message.payload));
        let identity = payload.and_then(|payload| template.read(payload).ok());
        let sequence = identity.filter(|identity| identity.producer == self.producer).map(|identity| identity.sequence);
        self.arrived.push((message.delivery_id, !message.settled, sequence));
    }

    /// Measures and settles what came in this turn.
    pub(crate) fn take(&mut self, now: Nanos, connection: &mut Connection, readings: &mut Readings) {
        let Some(link) = self.link.filter(|_| !self.arrived.is_empty()) else { return };
        for (delivery_id, unsettled, sequence) in self.arrived.drain(..) {
            if unsettled {
                connection.settle(link.session, delivery_id, Outcome::Accepted, true);
            }
            self.credit_left = self.credit_left.saturating_sub(1);
            // A second answer to the same request counts as none.
            if let Some(intended_ns) = sequence.and_then(|sequence| self.waiting.remove(&sequence)) {
                readings.counters.replies += 1;
                Readings::record(&mut readings.histograms.round_trip, intended_ns, now);
            }
        }
        if self.credit_left <= self.credit / 2 {
            connection.grant(link, self.credit, false);
            self.credit_left = self.credit;
        }
    }

    /// The connection is gone, and the queue with it.
    pub(crate) fn end(&mut self) {
        (self.link, self.address) = (None, None);
        self.waiting.clear();
        self.arrived.clear();
    }
}
