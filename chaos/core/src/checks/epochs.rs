//! The check that epochs confirm one after the other, where the broker tells its epochs.
//!
//! Each confirm belongs to the newest epoch that its server had claimed when the client's connection began. An epoch was active between
//! its first confirm and the last send that it confirmed; the times of two epochs must not overlap, whichever clients saw them. It sees
//! more than the same check on one connection: a server that woke up and serves new clients, too.

use crate::clock::ms_between;
use crate::cluster::{Event, NodeId};
use loadgen::ledger::{Ledger, Outcome};
use std::collections::BTreeMap;

/// The event line by which a server tells that it owns a new epoch.
const CLAIMED: &str = "claimed";

/// An epoch, and when it surely confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tenure {
    /// Its number.
    pub epoch: u64,
    /// Its owner.
    pub node: NodeId,
    /// Its first confirm, nanoseconds.
    pub first_confirm_ns: u64,
    /// The newest send that it confirmed, nanoseconds.
    pub newest_send_ns: u64,
}

/// When each epoch confirmed, by their numbers; empty where no server tells epochs. `node_of` knows the node of a URL.
pub fn tenures(ledger: &Ledger, events: &[Event], node_of: impl Fn(&str) -> Option<NodeId>) -> Vec<Tenure> {
    let mut tenures: BTreeMap<u64, Tenure> = BTreeMap::new();
    for log in &ledger.producers {
        let owners: Vec<Option<(u64, NodeId)>> = log
            .connections
            .iter()
            .map(|connection| {
                let node = node_of(&connection.server)?;
                Some((epoch_at(events, node, connection.opened_ns)?, node))
            })
            .collect();
        for send in log.sends.iter().filter(|send| send.outcome == Outcome::Ok) {
            let Some(&Some((epoch, node))) = owners.get(send.connection as usize) else { continue };
            let (first_confirm_ns, newest_send_ns) = (send.outcome_ns, send.invoke_ns);
            let tenure = tenures.entry(epoch).or_insert(Tenure { epoch, node, first_confirm_ns, newest_send_ns });
            tenure.first_confirm_ns = tenure.first_confirm_ns.min(first_confirm_ns);
            tenure.newest_send_ns = tenure.newest_send_ns.max(newest_send_ns);
        }
    }
    tenures.into_values().collect()
}

fn epoch_at(events: &[Event], node: NodeId, t_ns: u64) -> Option<u64> {
    let claims = events.iter().filter(|event| event.node == node && event.event == CLAIMED && event.t_ns <= t_ns);
    claims.max_by_key(|event| event.t_ns).and_then(|event| event.number("epoch"))
}

/// What is wrong, a sentence for each pair of epochs that overlap.
pub fn overlaps(tenures: &[Tenure]) -> Vec<String> {
    let mut found = Vec::new();
    for (index, old) in tenures.iter().enumerate() {
        for new in &tenures[index + 1..] {
            if new.first_confirm_ns < old.newest_send_ns {
                let for_ms = ms_between(new.first_confirm_ns, old.newest_send_ns);
                found.push(format!(
                    "epoch {} of {} still confirmed for {for_ms:.1} ms at least after epoch {} of {} had",
                    old.epoch,
                    old.node.name(),
                    new.epoch,
                    new.node.name()
                ));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use loadgen::ledger::{Connection, ProducerLog, Send};

    const MS: u64 = 1_000_000;

    fn claimed(node: NodeId, epoch: u64, at_ms: u64) -> Event {
        let line = format!("{{\"event\":\"claimed\",\"t_ns\":{},\"epoch\":{epoch}}}", at_ms * MS);
        Event::parse(node, 1, &line, 0)
    }

    /// One producer with one connection; it sends at these times and is answered 1 ms later.
    fn producer(server: &str, opened_ms: u64, sends_ms: &[u64]) -> ProducerLog {
        let send = |(index, at): (usize, &u64)| Send {
            sequence: index as u64,
            intended_ns: at * MS,
            invoke_ns: at * MS,
            outcome_ns: (at + 1) * MS,
            confirm_index: index as u32,
            connection: 0,
            attempt: 0,
            outcome: Outcome::Ok,
        };
        let connection =
            Connection { server: server.to_owned(), opened_ns: opened_ms * MS, closed_ns: 0, reason: String::new() };
        let sends = sends_ms.iter().enumerate().map(send).collect();
        ProducerLog { sends, connections: vec![connection], ..ProducerLog::default() }
    }

    fn check(producers: Vec<ProducerLog>, expected: &[&str]) {
        let events = [claimed(NodeId::A, 1, 1), claimed(NodeId::B, 2, 100)];
        let ledger = Ledger { producers, ..Ledger::default() };
        let node_of = |url: &str| NodeId::BOTH.into_iter().find(|node| node.name() == url);
        let found = overlaps(&tenures(&ledger, &events, node_of));
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (sentence, word) in found.iter().zip(expected) {
            assert!(sentence.contains(word), "{sentence}");
        }
    }

    #[test]
    fn one_epoch_after_the_other_is_a_failover() {
        check(vec![producer("A", 2, &[10, 20, 99]), producer("B", 101, &[110, 120])], &[]);
        // The confirm of a send from before may be read late.
        check(vec![producer("A", 2, &[10, 109]), producer("B", 101, &[110, 120])], &[]);
    }

    #[test]
    fn an_old_epoch_that_goes_on_is_found_on_whatever_connection() {
        check(vec![producer("A", 2, &[10, 150]), producer("B", 101, &[110])], &["for 39.0 ms"]);
        // On a connection that began after the other epoch had: the loss of a connection does not hide it.
        let late = producer("A", 130, &[140, 151]);
        check(vec![producer("A", 2, &[10]), late, producer("B", 101, &[110])], &["epoch 1 of A"]);
    }

    #[test]
    fn a_server_that_tells_no_epochs_is_not_judged() {
        let ledger = Ledger { producers: vec![producer("A", 2, &[10]), producer("B", 1, &[5])], ..Ledger::default() };
        assert!(tenures(&ledger, &[], |_| Some(NodeId::A)).is_empty());
    }
}
