//! Owns the check that one server confirms at a time.
//!
//! A server that confirms was active at some moment between the send and the arrival of the confirm. So between the first confirm on a
//! connection and the last send that was confirmed on it, that server was active all the time: a server that lost the role closes its
//! connections. Two such times of two servers must not overlap; that one follows the other, and even returns, is a failover.

use std::fmt;

use crate::ledger::{Ledger, Outcome};

/// A connection on which a server went on confirming after another server had confirmed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlap {
    /// The server that went on.
    pub old: String,
    /// The other one.
    pub new: String,
    /// The producer whose connection it is.
    pub producer: u32,
    /// When the other one had confirmed for the first time on any connection that began later.
    pub from_ns: u64,
    /// The newest send that the old one still confirmed.
    pub to_ns: u64,
}

impl Overlap {
    /// For how long at least both were active, in nanoseconds.
    #[must_use]
    pub fn overlap_ns(&self) -> u64 {
        self.to_ns - self.from_ns
    }
}

impl fmt::Display for Overlap {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (tenths_ms, producer) = (self.overlap_ns() / 100_000, self.producer);
        let (whole, tenth) = (tenths_ms / 10, tenths_ms % 10);
        write!(
            out,
            "{} confirmed for producer {producer} for {whole}.{tenth} ms at least after {} had",
            self.old, self.new
        )
    }
}

/// When a connection began, when its server first confirmed on it, and the newest send that it confirmed.
struct Tenure<'a> {
    producer: u32,
    server: &'a str,
    opened_ns: u64,
    first_confirm_ns: u64,
    newest_invoke_ns: u64,
}

/// The connections on which a server confirmed a send that was made after another server had confirmed, though the connection is older
/// than that one's.
pub(super) fn overlaps(ledger: &Ledger) -> Vec<Overlap> {
    let tenures = tenures(ledger);
    let of = |old: &Tenure<'_>| {
        let new = tenures.iter().filter(|new| {
            new.server != old.server
                && old.opened_ns < new.first_confirm_ns
                && new.first_confirm_ns < old.newest_invoke_ns
                // Of two that overlap, one took over: the other one is to blame, not both.
                && old.opened_ns < new.opened_ns
        });
        new.min_by_key(|new| new.first_confirm_ns).map(|new| Overlap {
            old: old.server.to_owned(),
            new: new.server.to_owned(),
            producer: old.producer,
            from_ns: new.first_confirm_ns,
            to_ns: old.newest_invoke_ns,
        })
    };
    tenures.iter().filter_map(of).collect()
}

fn tenures(ledger: &Ledger) -> Vec<Tenure<'_>> {
    let mut tenures = Vec::new();
    for log in &ledger.producers {
        let mut of_connection: Vec<Tenure<'_>> = log
            .connections
            .iter()
            .map(|connection| Tenure {
                producer: log.producer,
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
