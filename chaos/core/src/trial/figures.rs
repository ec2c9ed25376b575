//! Figures of a trial that are counted from the ledger alone.

use crate::checks;
use crate::clock::{NS_PER_MS, NS_PER_S};
use crate::result::{Percentiles, ResponseTimes, Unavailable};
use crate::series::{self, Sent};
use crate::statistics::nearest_rank;
use loadgen::ledger::{Connection, Ledger, Outcome};

/// Each message that was sent, with its first confirm.
pub(super) fn sent(ledger: &Ledger) -> Vec<Sent> {
    let mut all = Vec::new();
    for log in &ledger.producers {
        let base = all.len();
        for send in log.sends.iter() {
            let place = base + send.sequence as usize;
            if place >= all.len() {
                all.resize(place + 1, Sent { intended_ns: send.intended_ns, confirmed_ns: None });
            }
            let one: &mut Sent = &mut all[place];
            if send.attempt == 0 {
                one.intended_ns = send.intended_ns;
            }
            if send.outcome == Outcome::Ok {
                one.confirmed_ns = Some(one.confirmed_ns.map_or(send.outcome_ns, |before| before.min(send.outcome_ns)));
            }
        }
    }
    all
}

/// Every connection of every client.
pub(super) fn connections(ledger: &Ledger) -> impl Iterator<Item = &Connection> + Clone {
    let producers = ledger.producers.iter().flat_map(|log| &log.connections);
    producers.chain(ledger.consumers.iter().flat_map(|log| &log.connections))
}

/// When each delivery arrived, in no particular order.
pub(super) fn arrivals(ledger: &Ledger) -> Vec<u64> {
    ledger.consumers.iter().flat_map(|log| log.deliveries.iter()).map(|one| one.arrival_ns).collect()
}

fn arrivals_by_consumer(ledger: &Ledger) -> Vec<Vec<u64>> {
    ledger.consumers.iter().map(|log| log.deliveries.iter().map(|one| one.arrival_ns).collect()).collect()
}

/// Response times in the last second before the fault, until steady flow, and after.
pub(super) fn response_times(sent: &[Sent], t0_ns: u64, steady_ns: u64) -> ResponseTimes {
    let part = |from_ns: u64, to_ns: u64| {
        let responses = sent.iter().filter_map(|one| {
            let confirmed_ns = one.confirmed_ns.filter(|t_ns| (from_ns..to_ns).contains(t_ns))?;
            Some(confirmed_ns.saturating_sub(one.intended_ns))
        });
        percentiles(responses.collect())
    };
    ResponseTimes {
        before: part(t0_ns.saturating_sub(NS_PER_S), t0_ns),
        during: part(t0_ns, steady_ns),
        after: part(steady_ns, u64::MAX),
    }
}

fn percentiles(mut values_ns: Vec<u64>) -> Percentiles {
    values_ns.sort_unstable();
    let n = values_ns.len();
    let at = |p: f64| values_ns.get(nearest_rank(n, p) - 1).map_or(0.0, |&value| value as f64 / NS_PER_MS as f64);
    Percentiles { n: n as u64, p50: at(0.5), p99: at(0.99), p999: at(0.999), max: at(1.0) }
}

/// The largest gaps that overlap the fault.
pub(super) fn unavailable(ledger: &Ledger, t0_ns: u64, end_ns: u64) -> Unavailable {
    let sorted = |mut times: Vec<u64>| {
        times.sort_unstable();
        times
    };
    let confirms: Vec<Vec<u64>> = ledger
        .producers
        .iter()
        .map(|log| {
            sorted(log.sends.iter().filter(|send| send.outcome == Outcome::Ok).map(|send| send.outcome_ns).collect())
        })
        .collect();
    let worst = confirms.iter().filter_map(|times| series::largest_gap_ms(times, t0_ns, end_ns)).max_by(f64::total_cmp);
    Unavailable {
        publish: series::largest_gap_ms(&sorted(confirms.concat()), t0_ns, end_ns),
        publish_worst_client: worst,
        deliver: series::largest_gap_ms(&sorted(arrivals(ledger)), t0_ns, end_ns),
        producers: checks::windows(&confirms, t0_ns, end_ns),
        consumers: checks::windows(&arrivals_by_consumer(ledger), t0_ns, end_ns),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use loadgen::ledger::{ProducerLog, Send};

    fn send(sequence: u64, attempt: u8, intended_ns: u64, outcome: Outcome, outcome_ns: u64) -> Send {
        Send {
            sequence,
            intended_ns,
            invoke_ns: intended_ns,
            outcome_ns,
            confirm_index: 0,
            connection: 0,
            attempt,
            outcome,
        }
    }

    #[test]
    fn a_message_counts_once_with_its_first_confirm_and_its_first_intent() {
        let sends = [
            send(0, 0, 10, Outcome::Info, 0),
            send(1, 0, 20, Outcome::Ok, 25),
            send(0, 1, 10, Outcome::Ok, 90),
            send(0, 2, 10, Outcome::Ok, 95),
        ];
        let log = ProducerLog { sends: sends.into_iter().collect(), ..ProducerLog::default() };
        let ledger = Ledger { producers: vec![log.clone(), log], ..Ledger::default() };
        let list = sent(&ledger);
        let expected =
            [Sent { intended_ns: 10, confirmed_ns: Some(90) }, Sent { intended_ns: 20, confirmed_ns: Some(25) }];
        assert_eq!(list, [expected, expected].concat());
    }

    #[test]
    fn percentiles_are_nearest_ranks() {
        let found = percentiles((1..=1000).map(|ms| ms * NS_PER_MS).collect());
        assert_eq!((found.n, found.p50, found.p99, found.p999, found.max), (1000, 500.0, 990.0, 999.0, 1000.0));
        assert_eq!(percentiles(Vec::new()), Percentiles::default());
    }
}
