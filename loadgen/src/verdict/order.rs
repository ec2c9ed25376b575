//! Owns the checks that compare positions in time: first-in-first-out per producer and queue, and one confirming server at a time.

use std::collections::HashMap;

use super::fates::Fates;
use crate::ledger::{Ledger, Outcome};

/// What the order check found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) out_of_order: u64,
    /// Queues that could not be judged, because several consumers shared them.
    pub(super) queues_skipped: u64,
}

/// First deliveries of messages that were confirmed at their first attempt must arrive in the order of their numbers.
/// What the broker marks as redelivered may arrive at any time.
pub(super) fn judge(ledger: &Ledger, fates: &Fates) -> Order {
    let mut order = Order::default();
    let mut consumers_of: HashMap<&str, u64> = HashMap::new();
    for consumer in &ledger.consumers {
        *consumers_of.entry(&consumer.address).or_default() += 1;
    }
    order.queues_skipped = consumers_of.values().filter(|count| **count > 1).count() as u64;
    for consumer in ledger.consumers.iter().filter(|consumer| consumers_of[consumer.address.as_str()] == 1) {
        let mut newest: HashMap<u32, u64> = HashMap::new();
        for delivery in consumer.deliveries.iter() {
            let judged = delivery.attempt == 0
                && !delivery.redelivered
                && fates.confirmed_at_once(delivery.producer, delivery.sequence)
                && fates.of(delivery.producer, delivery.sequence).is_some_and(|fate| {
                    // A further delivery is a duplicate, and counted as that.
                    fate.first_arrival_ns == delivery.arrival_ns
                });
            if judged {
                let highest = newest.entry(delivery.producer).or_insert(delivery.sequence);
                order.out_of_order += u64::from(delivery.sequence < *highest);
                *highest = delivery.sequence.max(*highest);
            }
        }
    }
    order
}

/// When a connection began, when its server first confirmed on it, and the newest send that it confirmed.
struct Tenure<'a> {
    server: &'a str,
    opened_ns: u64,
    first_confirm_ns: u64,
    newest_invoke_ns: u64,
}

/// Counts connections on which a server confirmed a send that was made after another server had already confirmed,
/// though the connection is older than that. A server that lost the active role must have closed it.
pub(super) fn confirmed_by_two(ledger: &Ledger) -> u64 {
    let tenures = tenures(ledger);
    let overlaps = |old: &Tenure<'_>| {
        tenures.iter().any(|new| {
            new.server != old.server
                && old.opened_ns < new.first_confirm_ns
                && new.first_confirm_ns < old.newest_invoke_ns
                // Of two that overlap, one took over: the other one is to blame, not both.
                && old.opened_ns < new.opened_ns
        })
    };
    tenures.iter().filter(|old| overlaps(old)).count() as u64
}

fn tenures(ledger: &Ledger) -> Vec<Tenure<'_>> {
    let mut tenures = Vec::new();
    for log in &ledger.producers {
        let mut of_connection: Vec<Tenure<'_>> = log
            .connections
            .iter()
            .map(|connection| Tenure {
                server: &connection.server,
                opened_ns: connection.opened_ns,
                first_confirm_ns: u64::MAX,
                newest_invoke_ns: 0,
            })
            .collect();
        for send in log.sends.iter().filter(|send| send.outcome == Outcome::Ok) {
            if let Some(tenure) = of_connection.get_mut(send.connection as usize) {
                tenure.first_confirm_ns = tenure.first_confirm_ns.min(send.outcome_ns);
                tenure.newest_invoke_ns = tenure.newest_invoke_ns.max(send.invoke_ns);
            }
        }
        tenures.extend(of_connection.into_iter().filter(|tenure| tenure.first_confirm_ns != u64::MAX));
    }
    tenures
}
