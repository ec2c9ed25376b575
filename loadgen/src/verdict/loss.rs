//! Owns the shape of a loss: what an async store may lose is the newest part of what each link was confirmed, never a hole.

use super::fates::{Fate, Fates};
use super::{AsyncBound, Finding, Rules};
use crate::ledger::{Connection, Ledger, Outcome, ProducerLog, Send};

/// What one connection era of one producer lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkLoss {
    /// The producer's number.
    pub producer: u32,
    /// Index into the producer's connections.
    pub connection: u32,
    /// Messages confirmed on that connection.
    pub confirmed: u64,
    /// Those of them that were lost.
    pub lost: u64,
    /// Bytes of payload that were lost.
    pub lost_bytes: u64,
    /// Nanoseconds from the first lost confirm to the last confirm of the connection.
    pub span_ns: u64,
    /// Lost messages that a later confirm of the same connection survived: holes.
    pub holes: u64,
    /// Whether the connection was lost within a fault, which alone excuses a loss.
    pub excused: bool,
}

/// All connection eras that lost something, in the order of producers and connections.
pub(super) fn by_link(ledger: &Ledger, fates: &Fates, rules: &Rules) -> Vec<LinkLoss> {
    let mut losses = Vec::new();
    for log in &ledger.producers {
        if !log.sends.iter().any(|send| is_lost(fates, log, send)) {
            continue;
        }
        let one_consumer = ledger.consumers.iter().filter(|consumer| consumer.address == log.address).count() == 1;
        for (index, connection) in log.connections.iter().enumerate() {
            let confirms = confirms_of(log, index as u32);
            let mut loss = examine(log, &confirms, fates, connection, one_consumer);
            if loss.lost > 0 {
                loss.connection = index as u32;
                loss.lost_bytes = loss.lost * ledger.payload_bytes;
                loss.excused = is_excused(connection, rules);
                losses.push(loss);
            }
        }
    }
    losses
}

fn is_lost(fates: &Fates, log: &ProducerLog, send: &Send) -> bool {
    send.outcome == Outcome::Ok && fates.of(log.producer, send.sequence).is_some_and(Fate::is_lost)
}

/// The confirmed sends of one connection, in the order of confirmation.
fn confirms_of(log: &ProducerLog, connection: u32) -> Vec<Send> {
    let of_connection = |send: &&Send| send.connection == connection && send.outcome == Outcome::Ok;
    let mut confirms: Vec<Send> = log.sends.iter().filter(of_connection).copied().collect();
    confirms.sort_by_key(|send| send.confirm_index);
    confirms
}

/// A later confirm proves a hole only if it survived the store's loss. With one consumer the queue's order is known, and
/// any delivery proves it; with several, one that arrived before the connection was lost may have left the store in time.
fn examine(
    log: &ProducerLog,
    confirms: &[Send],
    fates: &Fates,
    connection: &Connection,
    one_consumer: bool,
) -> LinkLoss {
    let mut loss = LinkLoss {
        producer: log.producer,
        connection: 0,
        confirmed: confirms.len() as u64,
        lost: 0,
        lost_bytes: 0,
        span_ns: 0,
        holes: 0,
        excused: false,
    };
    let mut survivor_behind = false;
    for send in confirms.iter().rev() {
        let Some(fate) = fates.of(log.producer, send.sequence) else { continue };
        if fate.is_lost() {
            loss.lost += 1;
            loss.holes += u64::from(survivor_behind);
            loss.span_ns = confirms.last().map_or(0, |last| last.outcome_ns.saturating_sub(send.outcome_ns));
        } else {
            survivor_behind |= one_consumer || fate.last_arrival_ns > connection.closed_ns;
        }
    }
    loss
}

fn is_excused(connection: &Connection, rules: &Rules) -> bool {
    connection.is_lost()
        && (rules.faults.is_empty() || rules.faults.iter().any(|fault| fault.contains(connection.closed_ns)))
}

/// What is wrong with these losses for an async store with this bound, one sentence each.
pub(super) fn violations(losses: &[LinkLoss], bound: &AsyncBound) -> Vec<(Finding, String)> {
    let mut found = Vec::new();
    for loss in losses {
        let link = format!("producer {} on its connection {}", loss.producer, loss.connection);
        if !loss.excused {
            let words = format!("{link} lost {} confirmed messages without a fault", loss.lost);
            found.push((Finding::LossWithoutFault, words));
        }
        if loss.holes > 0 {
            let words = format!("{link} lost {} messages from the middle of its confirms: a hole", loss.holes);
            found.push((Finding::LossHole, words));
        }
        for (what, value, limit) in [
            ("messages", loss.lost, bound.messages),
            ("bytes", loss.lost_bytes, bound.bytes),
            ("nanoseconds of confirms", loss.span_ns, bound.span_ns),
        ] {
            if let Some(limit) = limit.filter(|limit| value > *limit) {
                let words = format!("{link} lost {value} {what}, more than the {limit} allowed");
                found.push((Finding::LossBeyondBound, words));
            }
        }
    }
    found
}
