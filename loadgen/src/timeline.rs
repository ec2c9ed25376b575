//! Owns how long clients were without confirms and without deliveries: what an outage cost, read from the ledger alone.

use crate::clock::Nanos;
use crate::ledger::{Ledger, Outcome};
use crate::verdict::Window;

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
    use crate::ledger::{ConsumerLog, Delivery, ProducerLog, Send};

    #[test]
    fn the_longest_gap_is_that_of_all_clients_together() {
        let send = |invoke_ns: Nanos, outcome: Outcome| Send {
            sequence: 0,
            intended_ns: invoke_ns,
            invoke_ns,
            outcome_ns: invoke_ns + 5,
            confirm_index: 0,
            connection: 0,
            attempt: 0,
            outcome,
        };
        let delivery = |arrival_ns: Nanos| Delivery {
            sequence: 0,
            arrival_ns,
            acknowledged_ns: 0,
            producer: 0,
            connection: 0,
            attempt: 0,
            redelivered: false,
        };
        let producer =
            |sends: &[Send]| ProducerLog { sends: sends.iter().copied().collect(), ..ProducerLog::default() };
        let ledger = Ledger {
            producers: vec![
                producer(&[send(10, Outcome::Ok), send(60, Outcome::Ok), send(30, Outcome::Info)]),
                producer(&[send(40, Outcome::Ok), send(200, Outcome::Ok)]),
            ],
            consumers: vec![ConsumerLog { deliveries: [delivery(50)].into_iter().collect(), ..ConsumerLog::default() }],
            ..Ledger::default()
        };
        assert_eq!(gaps(&ledger, 0, 150).confirm, Some(Window { begin_ns: 15, end_ns: 45 }));
        assert_eq!(gaps(&ledger, 0, 1_000).confirm, Some(Window { begin_ns: 65, end_ns: 205 }));
        assert_eq!(gaps(&ledger, 0, 1_000).delivery, None);
    }
}
