//! Owns the join of attempts and deliveries: what became of each message. It judges nothing.

use std::collections::HashMap;

use super::Counts;
use crate::ledger::{Delivery, Ledger, Outcome, ProducerLog};

/// What became of one message, over all its attempts and deliveries. 24 bytes, since there are millions.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fate {
    /// Attempts made; 0 means that this number was never used.
    attempts: u8,
    first_outcome: Outcome,
    pub(super) confirmed: bool,
    /// Whether every attempt was provably refused.
    failed: bool,
    /// Deliveries that one of its attempts explains.
    pub(super) deliveries: u32,
    /// When the last of them arrived.
    pub(super) last_arrival_ns: u64,
    /// When the first of them arrived.
    pub(super) first_arrival_ns: u64,
}

const NEVER_ATTEMPTED: Fate = Fate {
    attempts: 0,
    first_outcome: Outcome::Pending,
    confirmed: false,
    failed: true,
    deliveries: 0,
    last_arrival_ns: 0,
    first_arrival_ns: 0,
};

impl Fate {
    pub(super) fn is_lost(&self) -> bool {
        self.confirmed && self.deliveries == 0
    }
}

/// The fates of one producer's messages, by their number.
#[derive(Debug, Default)]
struct ProducerFates {
    fates: Vec<Fate>,
    /// Outcomes of the attempts from 1 on, which are rare.
    retries: HashMap<(u64, u8), Outcome>,
    attempts: u64,
}

impl ProducerFates {
    fn read(log: &ProducerLog) -> Self {
        let mut all = Self::default();
        for send in log.sends.iter() {
            let index = send.sequence as usize;
            if index >= all.fates.len() {
                all.fates.resize(index + 1, NEVER_ATTEMPTED);
            }
            let fate = &mut all.fates[index];
            fate.attempts = fate.attempts.max(send.attempt.saturating_add(1));
            fate.confirmed |= send.outcome == Outcome::Ok;
            fate.failed &= send.outcome == Outcome::Fail;
            if send.attempt == 0 {
                fate.first_outcome = send.outcome;
            } else {
                all.retries.insert((send.sequence, send.attempt), send.outcome);
            }
            all.attempts += 1;
        }
        all
    }

    /// The outcome of one attempt; `None` if it was never made.
    fn outcome(&self, sequence: u64, attempt: u8) -> Option<Outcome> {
        let fate = self.fates.get(sequence as usize).filter(|fate| fate.attempts > 0)?;
        if attempt == 0 { Some(fate.first_outcome) } else { self.retries.get(&(sequence, attempt)).copied() }
    }
}

/// The fates of all messages.
#[derive(Debug)]
pub(super) struct Fates {
    producers: Vec<ProducerFates>,
    counts: Counts,
}

impl Fates {
    pub(super) fn read(ledger: &Ledger, acks_confirmed: bool) -> Self {
        let producers = ledger.producers.iter().map(ProducerFates::read).collect();
        let mut fates = Self { producers, counts: Counts::default() };
        for log in &ledger.consumers {
            fates.counts.alien += log.alien;
            fates.counts.corrupt += log.corrupt;
            fates.counts.delivered += log.alien + log.corrupt + log.deliveries.len() as u64;
            for delivery in log.deliveries.iter() {
                fates.join(delivery);
            }
        }
        fates.counts.shed = ledger.producers.iter().map(|log| log.shed).sum();
        fates.count_duplicates(ledger, acks_confirmed);
        fates
    }

    fn join(&mut self, delivery: &Delivery) {
        let producer = self.producers.get_mut(delivery.producer as usize);
        let outcome = producer.as_ref().and_then(|all| all.outcome(delivery.sequence, delivery.attempt));
        match (producer, outcome) {
            (Some(_), Some(Outcome::Fail)) => self.counts.ghosts += 1,
            (Some(all), Some(_)) => {
                let fate = &mut all.fates[delivery.sequence as usize];
                if fate.deliveries == 0 {
                    fate.first_arrival_ns = delivery.arrival_ns;
                }
                fate.deliveries += 1;
                fate.first_arrival_ns = fate.first_arrival_ns.min(delivery.arrival_ns);
                fate.last_arrival_ns = fate.last_arrival_ns.max(delivery.arrival_ns);
            }
            _ => self.counts.never_attempted += 1,
        }
    }

    /// Looks at the few messages that arrived more than once.
    fn count_duplicates(&mut self, ledger: &Ledger, acks_confirmed: bool) {
        let mut repeated: Vec<Delivery> = Vec::new();
        for delivery in ledger.consumers.iter().flat_map(|log| log.deliveries.iter()) {
            let explained = self.producers.get(delivery.producer as usize).is_some_and(|all| {
                !matches!(all.outcome(delivery.sequence, delivery.attempt), None | Some(Outcome::Fail))
                    && all.fates[delivery.sequence as usize].deliveries > 1
            });
            if explained {
                repeated.push(*delivery);
            }
        }
        repeated.sort_by_key(|delivery| (delivery.producer, delivery.sequence, delivery.arrival_ns));
        for message in repeated.chunk_by(|a, b| (a.producer, a.sequence) == (b.producer, b.sequence)) {
            for (index, delivery) in message.iter().enumerate().skip(1) {
                self.count_duplicate(&message[..index], delivery, acks_confirmed);
            }
        }
    }

    fn count_duplicate(&mut self, earlier: &[Delivery], delivery: &Delivery, acks_confirmed: bool) {
        let acknowledged = |before: &&Delivery| {
            acks_confirmed && before.acknowledged_ns != 0 && before.acknowledged_ns < delivery.arrival_ns
        };
        let mut same_attempt = earlier.iter().filter(|before| before.attempt == delivery.attempt).peekable();
        let counter = if same_attempt.peek().is_none() {
            &mut self.counts.duplicated_by_resend
        } else if same_attempt.any(|before| acknowledged(&before)) {
            &mut self.counts.resurrected
        } else if delivery.redelivered {
            &mut self.counts.redelivered_flagged
        } else {
            &mut self.counts.redelivered_unflagged
        };
        *counter += 1;
    }

    /// The totals; what is lost and what is only undelivered depends on whether the drain was complete.
    pub(super) fn counts(&self, drained: bool) -> Counts {
        let mut counts = self.counts;
        for all in &self.producers {
            counts.attempts += all.attempts;
            for fate in all.fates.iter().filter(|fate| fate.attempts > 0) {
                let arrived = fate.deliveries > 0;
                counts.attempted += 1;
                counts.confirmed += u64::from(fate.confirmed);
                counts.failed += u64::from(fate.failed);
                counts.in_doubt += u64::from(!fate.confirmed && !fate.failed);
                counts.recovered += u64::from(!fate.confirmed && arrived);
                counts.delivered_distinct += u64::from(arrived);
                counts.lost += u64::from(drained && fate.is_lost());
                counts.undelivered += u64::from(!drained && fate.is_lost());
            }
        }
        counts.unexpected = counts.alien + counts.corrupt + counts.never_attempted + counts.ghosts;
        counts.duplicated = counts.duplicated_by_resend
            + counts.redelivered_flagged
            + counts.redelivered_unflagged
            + counts.resurrected;
        counts
    }

    /// The fate of one message; `None` if it was never attempted.
    pub(super) fn of(&self, producer: u32, sequence: u64) -> Option<&Fate> {
        let fates = &self.producers.get(producer as usize)?.fates;
        fates.get(sequence as usize).filter(|fate| fate.attempts > 0)
    }

    /// Whether the first attempt of a message was confirmed.
    pub(super) fn confirmed_at_once(&self, producer: u32, sequence: u64) -> bool {
        self.of(producer, sequence).is_some_and(|fate| fate.first_outcome == Outcome::Ok)
    }
}
