//! Owns the check of first-in-first-out per producer and queue.
//!
//! A queue with one consumer has one order of arrivals. With several, each connection of each consumer has one: what the broker sends
//! on it is a part of the queue's order. Between consumers nothing can be judged, since arrivals on two sockets have no order; nor
//! between two connections, since what another consumer had in flight when its server died comes late, and unmarked.

use std::collections::HashMap;

use super::fates::Fates;
use crate::ledger::{ConsumerLog, Delivery, Ledger};

/// What the order check found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) out_of_order: u64,
    /// Queues that several consumers shared, so that only a part could be judged.
    pub(super) queues_shared: u64,
}

/// First deliveries of messages that were confirmed at their first attempt must arrive in the order of their numbers.
/// What the broker marks as redelivered may arrive at any time.
pub(super) fn judge(ledger: &Ledger, fates: &Fates) -> Order {
    let mut order = Order::default();
    let mut consumers_of: HashMap<&str, u64> = HashMap::new();
    for consumer in &ledger.consumers {
        *consumers_of.entry(&consumer.address).or_default() += 1;
    }
    order.queues_shared = consumers_of.values().filter(|count| **count > 1).count() as u64;
    for consumer in &ledger.consumers {
        let is_shared = consumers_of[consumer.address.as_str()] > 1;
        order.out_of_order += out_of_order(consumer, is_shared, fates);
    }
    order
}

fn out_of_order(consumer: &ConsumerLog, is_shared: bool, fates: &Fates) -> u64 {
    let mut count = 0;
    // By producer; with several consumers also by connection.
    let mut newest: HashMap<(u32, u32), u64> = HashMap::new();
    for delivery in consumer.deliveries.iter().filter(|delivery| is_judged(delivery, fates)) {
        let era = if is_shared { delivery.connection } else { 0 };
        let highest = newest.entry((delivery.producer, era)).or_insert(delivery.sequence);
        count += u64::from(delivery.sequence < *highest);
        *highest = delivery.sequence.max(*highest);
    }
    count
}

fn is_judged(delivery: &Delivery, fates: &Fates) -> bool {
    delivery.attempt == 0
        && !delivery.redelivered
        && fates.confirmed_at_once(delivery.producer, delivery.sequence)
        // A further delivery is a duplicate, and counted as that.
        && fates.of(delivery.producer, delivery.sequence).is_some_and(|fate| fate.first_arrival_ns == delivery.arrival_ns)
}
