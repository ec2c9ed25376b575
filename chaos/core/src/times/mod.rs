//! The moments and durations of a failover, from what clients saw (the ledger) and, for the phases inside, from event lines.
//!
//! Event lines only annotate: they must lie in order between the fault and the first confirm, or the trial is unknown.

use crate::clock::{NS_PER_MS, NS_PER_S, ms_between};
use crate::cluster::{Event, NodeId};
use crate::faults::Effect;
use crate::result::{Instants, StoreRecovered, Times};
use crate::series::Sent;
use loadgen::ledger::{Connection, Ledger, Outcome};

/// What a failover is measured against.
#[derive(Clone, Debug)]
pub struct Reference {
    /// The fault.
    pub effect: Effect,
    /// The node that shall take over.
    pub successor: NodeId,
    /// Which start of it became active; absent where none did. A successor may itself be killed and started again.
    pub successor_start: Option<u32>,
    /// Its URL, as the load generator writes it in its records.
    pub successor_url: String,
    /// Whether it goes on with the connections that it had before the fault.
    pub keeps_connections: bool,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measured {
    /// The moments, ms after the fault.
    pub instants_ms: Instants,
    /// What the successor recovered.
    pub store_recovered: Option<StoreRecovered>,
    /// What is wrong with the order of the phases.
    pub disorder: Vec<String>,
    /// Phases without an event line.
    pub missing: Vec<&'static str>,
}

/// Names of the event lines of the phases, in the order in which they must come, and what they tell.
const PHASES: [(&str, &str); 4] = [
    ("standby-notices", "td, the standby notices"),
    ("claimed", "tl, the store is claimed"),
    ("recovered", "tr, the store is recovered"),
    ("accepting", "ta, clients are accepted"),
];

/// Finds all moments but `ts`.
pub fn measure(reference: &Reference, events: &[Event], ledger: &Ledger) -> Measured {
    let t0 = reference.effect.effective_ns;
    let after = |t_ns: u64| ms_between(t0, t_ns);
    let phases = PHASES.map(|(name, _)| phase(reference, events, name));
    let tf_ns = first_confirm(reference, ledger);
    let [td, tl, tr, ta] = phases.map(|event| event.map(|event| after(event.t_ns)));
    let opened = client_connections(ledger);
    let reattached = opened.clone().filter_map(|connections| first_back(reference, connections));
    let all_back: Option<Vec<u64>> = opened.map(|connections| first_back(reference, connections)).collect();
    Measured {
        instants_ms: Instants {
            td,
            tl,
            tr,
            ta,
            tc: reattached.min().map(after),
            tf: tf_ns.map(after),
            td1: first_delivery(reference, ledger).map(after),
            ta100: all_back.and_then(|times| times.into_iter().max()).map(after),
            ts: None,
        },
        store_recovered: phases[2].map(recovered),
        disorder: disorder(reference, &phases, tf_ns),
        missing: PHASES
            .iter()
            .zip(&phases)
            .filter(|(_, event)| event.is_none())
            .map(|((_, words), _)| *words)
            .collect(),
    }
}

/// The first such event of the successor after the fault was asked for, by the process that became active.
fn phase<'a>(reference: &Reference, events: &'a [Event], name: &str) -> Option<&'a Event> {
    let requested_ns = reference.effect.requested_ns;
    let of_successor = |event: &&Event| {
        let is_process = reference.successor_start.is_none_or(|start| event.start == start);
        event.node == reference.successor && is_process && event.event == name && event.t_ns >= requested_ns
    };
    events.iter().filter(of_successor).min_by_key(|event| event.t_ns)
}

fn recovered(event: &Event) -> StoreRecovered {
    let number = |name| event.number(name).unwrap_or(0);
    StoreRecovered { bytes: number("bytes"), messages: number("messages"), segments: number("segments") }
}

/// The fault took effect between its request and the first proof of it; a phase within that time is no disorder.
fn disorder(reference: &Reference, phases: &[Option<&Event>; 4], tf_ns: Option<u64>) -> Vec<String> {
    let mut found = Vec::new();
    let mut previous = ("t0, the fault", reference.effect.requested_ns);
    let seen = PHASES.iter().zip(phases).filter_map(|((_, words), event)| event.map(|event| (*words, event.t_ns)));
    for (words, t_ns) in seen.chain(tf_ns.map(|t_ns| ("tf, the first confirm", t_ns))) {
        if t_ns < previous.1 {
            found.push(format!("{words} lies {:.3} ms before {}", ms_between(t_ns, previous.1), previous.0));
        }
        previous = (words, t_ns);
    }
    found
}

/// The first confirm, on a connection to the successor, of a message whose first attempt came after the fault.
fn first_confirm(reference: &Reference, ledger: &Ledger) -> Option<u64> {
    let t0 = reference.effect.effective_ns;
    let mut first: Option<u64> = None;
    for log in &ledger.producers {
        // Sends are in the order of invocation, so first attempts after the fault have the sequence numbers from here on.
        let Some(from) =
            log.sends.iter().find(|send| send.attempt == 0 && send.invoke_ns > t0).map(|send| send.sequence)
        else {
            continue;
        };
        let confirms = log.sends.iter().filter(|send| {
            let server = log.connections.get(send.connection as usize);
            send.sequence >= from
                && send.outcome == Outcome::Ok
                && server.is_some_and(|one| is_successor(reference, one))
        });
        first = confirms.map(|send| send.outcome_ns).chain(first).min();
    }
    first
}

fn first_delivery(reference: &Reference, ledger: &Ledger) -> Option<u64> {
    let t0 = reference.effect.effective_ns;
    let times = ledger.consumers.iter().flat_map(|log| {
        let by_successor =
            |index: u32| log.connections.get(index as usize).is_some_and(|one| is_successor(reference, one));
        log.deliveries.iter().find(move |one| one.arrival_ns > t0 && by_successor(one.connection))
    });
    times.map(|delivery| delivery.arrival_ns).min()
}

fn is_successor(reference: &Reference, connection: &Connection) -> bool {
    connection.server == reference.successor_url && (reference.keeps_connections || is_new(reference, connection))
}

fn is_new(reference: &Reference, connection: &Connection) -> bool {
    connection.opened_ns > reference.effect.requested_ns
}

fn client_connections(ledger: &Ledger) -> impl Iterator<Item = &[Connection]> + Clone {
    let producers = ledger.producers.iter().map(|log| log.connections.as_slice());
    producers.chain(ledger.consumers.iter().map(|log| log.connections.as_slice()))
}

fn first_back(reference: &Reference, connections: &[Connection]) -> Option<u64> {
    connections.iter().find(|one| is_successor(reference, one) && is_new(reference, one)).map(|one| one.opened_ns)
}

/// The durations between the moments.
pub fn durations(instants: &Instants) -> Times {
    let between = |from: Option<f64>, to: Option<f64>| Some(to? - from?);
    Times {
        // The standby may notice before the harness has seen the proof in /proc, by microseconds.
        detection: instants.td.map(|td| td.max(0.0)),
        claim: between(instants.td, instants.tl),
        store_recovery: between(instants.tl, instants.tr),
        reattach: between(instants.ta, instants.tf),
        failover: instants.tf,
        rto: instants.ts,
        first_delivery: instants.td1,
        clients_back: instants.ta100,
    }
}

/// What counts as steady flow.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Steady {
    /// Length that the flow must keep up, ns.
    pub length_ns: u64,
    /// Share of the offered messages that must be confirmed.
    pub goodput: f64,
    /// The 99th percentile of the response time must not exceed this, ns.
    pub p99_ns_max: u64,
}

/// Latency on a shared machine jitters by milliseconds, whatever the broker does: a limit below this would measure the machine.
const P99_FLOOR_NS: u64 = 10 * NS_PER_MS;
/// Step of the search, and so the resolution of `ts`.
const STEP_NS: u64 = 10 * NS_PER_MS;

impl Steady {
    /// Goodput of at least 95 % and a 99th percentile of at most twice that of the last second before the fault.
    pub fn from_baseline(sent: &[Sent], t0_ns: u64, length_ns: u64) -> Self {
        let baseline = (t0_ns - NS_PER_S.min(t0_ns))..t0_ns;
        let mut responses: Vec<u64> =
            sent.iter().filter_map(response).filter(|one| baseline.contains(&one.0)).map(|one| one.1).collect();
        responses.sort_unstable();
        let rank = crate::statistics::nearest_rank(responses.len(), 0.99);
        let p99_ns = responses.get(rank - 1).copied().unwrap_or(0);
        Self { length_ns, goodput: 0.95, p99_ns_max: (2 * p99_ns).max(P99_FLOOR_NS) }
    }

    /// The first moment from `from_ns` on after which the flow is steady; `None` if it is not before sending ends.
    pub fn find(&self, sent: &[Sent], from_ns: u64, end_ns: u64) -> Option<u64> {
        let steps = (end_ns.saturating_sub(from_ns) / STEP_NS) as usize;
        let length = (self.length_ns / STEP_NS) as usize;
        let step = |t_ns: u64| {
            t_ns.checked_sub(from_ns).map(|distance| (distance / STEP_NS) as usize).filter(|&step| step < steps)
        };
        let mut counts = vec![Count::default(); steps];
        for one in sent {
            if let Some(step) = step(one.intended_ns) {
                counts[step].offered += 1;
            }
            if let Some((confirmed_ns, response_ns)) = response(one)
                && let Some(step) = step(confirmed_ns)
            {
                counts[step].confirmed += 1;
                counts[step].slow += u64::from(response_ns > self.p99_ns_max);
            }
        }
        let window = |start: usize| counts[start..start + length].iter().fold(Count::default(), Count::plus);
        let found = (0..(steps + 1).saturating_sub(length)).find(|&start| self.holds(window(start)))?;
        Some(from_ns + found as u64 * STEP_NS)
    }

    fn holds(&self, count: Count) -> bool {
        let enough = count.confirmed as f64 >= count.offered as f64 * self.goodput;
        enough && count.confirmed > 0 && count.slow as f64 <= count.confirmed as f64 * 0.01
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    offered: u64,
    confirmed: u64,
    slow: u64,
}

impl Count {
    fn plus(self, other: &Self) -> Self {
        Self {
            offered: self.offered + other.offered,
            confirmed: self.confirmed + other.confirmed,
            slow: self.slow + other.slow,
        }
    }
}

/// When a message was confirmed and how long after its intended send time.
fn response(sent: &Sent) -> Option<(u64, u64)> {
    let confirmed_ns = sent.confirmed_ns?;
    Some((confirmed_ns, confirmed_ns.saturating_sub(sent.intended_ns)))
}

#[cfg(test)]
mod tests;
