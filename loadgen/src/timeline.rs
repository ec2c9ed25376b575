//! Owns what the record of clients says about a fault: when they were back, when confirms and deliveries went on, and for how long
//! there were none. It reads the ledger only; what the broker says about the phases of its failover is somebody else's.

use crate::clock::Nanos;
use crate::ledger::{Connection, Ledger, Outcome};
use crate::verdict::Window;

/// What clients saw of a fault that took effect at some time t0. `None`: it did not happen before the end of the record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recovery {
    /// tc: the first client attached anew.
    pub first_attach_ns: Option<Nanos>,
    /// tf: first confirm, on a connection made after t0, of a message first sent after t0.
    pub first_confirm_ns: Option<Nanos>,
    /// td1: first delivery on a connection made after t0.
    pub first_delivery_ns: Option<Nanos>,
    /// ta100: every client that lost its connection has a new one.
    pub all_attached_ns: Option<Nanos>,
}

/// What clients saw of a fault that took effect at `fault_ns`, considering what happened before `until_ns`.
#[must_use]
pub fn recovery(ledger: &Ledger, fault_ns: Nanos, until_ns: Nanos) -> Recovery {
    let connections = || {
        let producers = ledger.producers.iter().map(|log| &log.connections);
        producers.chain(ledger.consumers.iter().map(|log| &log.connections))
    };
    let attached = |list: &Vec<Connection>| {
        let new = list.iter().map(|connection| connection.opened_ns);
        new.filter(|opened_ns| (fault_ns..until_ns).contains(opened_ns)).min()
    };
    let is_affected = |list: &&Vec<Connection>| {
        list.iter().any(|connection| {
            connection.opened_ns < fault_ns
                && connection.is_lost()
                && (fault_ns..until_ns).contains(&connection.closed_ns)
        })
    };
    let returns: Vec<Option<Nanos>> = connections().filter(is_affected).map(attached).collect();
    Recovery {
        first_attach_ns: returns.iter().copied().flatten().min(),
        first_confirm_ns: first_confirm(ledger, fault_ns, until_ns),
        first_delivery_ns: first_delivery(ledger, fault_ns, until_ns),
        all_attached_ns: returns.iter().copied().collect::<Option<Vec<_>>>().and_then(|all| all.into_iter().max()),
    }
}

fn first_confirm(ledger: &Ledger, fault_ns: Nanos, until_ns: Nanos) -> Option<Nanos> {
    let confirms = ledger.producers.iter().flat_map(|log| {
        log.sends.iter().filter(move |send| {
            let is_new = |connection: &Connection| connection.opened_ns >= fault_ns;
            send.outcome == Outcome::Ok
                && send.attempt == 0
                && send.invoke_ns >= fault_ns
                && log.connections.get(send.connection as usize).is_some_and(is_new)
        })
    });
    confirms.map(|send| send.outcome_ns).filter(|at_ns| *at_ns < until_ns).min()
}

fn first_delivery(ledger: &Ledger, fault_ns: Nanos, until_ns: Nanos) -> Option<Nanos> {
    let deliveries = ledger.consumers.iter().flat_map(|log| {
        log.deliveries.iter().filter(move |delivery| {
            let is_new = |connection: &Connection| connection.opened_ns >= fault_ns;
            log.connections.get(delivery.connection as usize).is_some_and(is_new)
        })
    });
    deliveries.map(|delivery| delivery.arrival_ns).filter(|at_ns| (fault_ns..until_ns).contains(at_ns)).min()
}

/// The longest time without any confirm, over all producers, and without any delivery, over all consumers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Gaps {
    /// Between two confirms; `None` with fewer than two.
    pub confirm: Option<Window>,
    /// Between two deliveries; `None` with fewer than two.
    pub delivery: Option<Window>,
}

/// The longest gaps between `from_ns` and `until_ns`.
#[must_use]
pub fn gaps(ledger: &Ledger, from_ns: Nanos, until_ns: Nanos) -> Gaps {
    let within = |at_ns: &Nanos| (from_ns..until_ns).contains(at_ns);
    let confirms = ledger.producers.iter().flat_map(|log| log.sends.iter());
    let confirms = confirms.filter(|send| send.outcome == Outcome::Ok).map(|send| send.outcome_ns);
    let deliveries = ledger.consumers.iter().flat_map(|log| log.deliveries.iter());
    Gaps {
        confirm: longest_gap(confirms.filter(within).collect()),
        delivery: longest_gap(deliveries.map(|delivery| delivery.arrival_ns).filter(within).collect()),
    }
}

fn longest_gap(mut times_ns: Vec<Nanos>) -> Option<Window> {
    times_ns.sort_unstable();
    let windows = times_ns.windows(2).map(|pair| Window { begin_ns: pair[0], end_ns: pair[1] });
    windows.max_by_key(|window| window.end_ns - window.begin_ns)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Chunks, ConsumerLog, Delivery, ProducerLog, Send};

    fn send(connection: u32, attempt: u8, invoke_ns: Nanos, outcome_ns: Nanos) -> Send {
        let outcome = Outcome::Ok;
        Send {
            sequence: 0,
            intended_ns: invoke_ns,
            invoke_ns,
            outcome_ns,
            confirm_index: 0,
            connection,
            attempt,
            outcome,
        }
    }

    fn connections(times_ns: &[(Nanos, Nanos)]) -> Vec<Connection> {
        let make = |&(opened_ns, closed_ns): &(Nanos, Nanos)| Connection {
            server: String::new(),
            opened_ns,
            closed_ns,
            reason: if closed_ns == 0 { String::new() } else { "lost".to_owned() },
        };
        times_ns.iter().map(make).collect()
    }

    fn delivery(connection: u32, arrival_ns: Nanos) -> Delivery {
        Delivery {
            sequence: 0,
            arrival_ns,
            acknowledged_ns: 0,
            producer: 0,
            connection,
            attempt: 0,
            redelivered: false,
        }
    }

    #[test]
    fn recovery_counts_only_what_the_new_active_did_for_new_messages() {
        let sends: Chunks<Send> = [
            send(0, 0, 90, 105),  // an answer that was already under way at the fault
            send(0, 0, 101, 106), // sent after the fault to the old active
            send(1, 1, 140, 145), // a re-send
            send(1, 0, 150, 160),
            send(1, 0, 151, 155),
        ]
        .into_iter()
        .collect();
        let producer = ProducerLog { sends, connections: connections(&[(1, 110), (130, 0)]), ..ProducerLog::default() };
        let consumer = ConsumerLog {
            deliveries: [delivery(0, 103), delivery(1, 170)].into_iter().collect(),
            connections: connections(&[(1, 112), (142, 0)]),
            ..ConsumerLog::default()
        };
        let mut ledger = Ledger { producers: vec![producer], consumers: vec![consumer], ..Ledger::default() };
        let expected = Recovery {
            first_attach_ns: Some(130),
            first_confirm_ns: Some(155),
            first_delivery_ns: Some(170),
            all_attached_ns: Some(142),
        };
        assert_eq!(recovery(&ledger, 100, 1_000), expected);
        // A client that never came back leaves the time open; it is not zero.
        ledger.consumers[0].connections.pop();
        assert_eq!(recovery(&ledger, 100, 1_000).all_attached_ns, None);
        assert_eq!(recovery(&ledger, 100, 150).first_confirm_ns, None);
        let gaps = gaps(&ledger, 0, 1_000);
        assert_eq!(gaps.confirm, Some(Window { begin_ns: 106, end_ns: 145 }));
        assert_eq!(gaps.delivery, Some(Window { begin_ns: 103, end_ns: 170 }));
    }
}
