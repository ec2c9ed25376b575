//! Owns a run from start to judgement: it starts the client threads and the recorder, and tells them what to do next.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Nanos;
use crate::ledger::Ledger;
use crate::options::{Options, OptionsError};
use crate::series::{Interval, Series};

/// Why a run could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The request makes no sense.
    #[error(transparent)]
    Options(#[from] OptionsError),
    /// The operating system refused a thread, a runtime or the log file.
    #[error("{what}: {source}")]
    System {
        /// What was wanted.
        what: &'static str,
        /// The refusal.
        source: std::io::Error,
    },
    /// A server refused for good: trying again would not help.
    #[error("{client}: {reason}")]
    Refused {
        /// Which client, at which server.
        client: String,
        /// What the server said.
        reason: String,
    },
    /// Not all clients reached a server in time.
    #[error("{missing} of {clients} clients found no server in {seconds} s; the last answer was: {reason}")]
    Unreachable {
        /// Clients without a link.
        missing: u64,
        /// All clients.
        clients: u64,
        /// How long was waited.
        seconds: u64,
        /// The last failure of any of them.
        reason: String,
    },
}

/// What a run looks like at this moment.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The last complete interval, if there is one.
    pub interval: Option<Interval>,
    /// Messages sent, re-sends included.
    pub sent: u64,
    /// Messages confirmed.
    pub confirmed: u64,
    /// Deliveries.
    pub delivered: u64,
    /// Sends without an outcome.
    pub in_flight: u64,
    /// Messages due and not sent.
    pub backlog: u64,
    /// Usable producer links.
    pub producers_connected: u64,
    /// Usable consumer links.
    pub consumers_connected: u64,
    /// Producers that have sent all and got all answers.
    pub producers_done: u64,
}

/// What a finished run leaves.
#[derive(Debug)]
pub struct Finished {
    /// Every send and every delivery.
    pub ledger: Ledger,
    /// Rates and latencies.
    pub series: Series,
}

/// A run under way. Dropping it ends the clients without grace.
#[derive(Debug)]
pub struct Handle {}

/// Starts the clients; the schedule begins when all of them are connected.
///
/// # Errors
/// The request makes no sense, or the operating system refuses a thread or the log file.
pub fn start(options: Options, interval_log: Option<&Path>) -> Result<Handle, RunError> {
    let _ = (options, interval_log);
    todo!()
}

#[allow(unused_variables, clippy::unused_async)]
impl Handle {
    /// Waits until all clients are connected and the schedule has begun; gives its start.
    ///
    /// # Errors
    /// A server refused for good, or `limit` passed.
    pub async fn started(&self, limit: Duration) -> Result<Nanos, RunError> {
        todo!()
    }

    /// What the run looks like now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        todo!()
    }

    /// Notes something that happened now, to be shown in plots; gives its time.
    pub fn mark(&self, label: &str) -> Nanos {
        todo!()
    }

    /// A fault is at work from `at_ns` on, until `fault_end`.
    pub fn fault_begin(&self, label: &str, at_ns: Nanos) {
        todo!()
    }

    /// The fault begun last is over since `at_ns`.
    pub fn fault_end(&self, at_ns: Nanos) {
        todo!()
    }

    /// Stops the schedule and waits until every send has its outcome, re-sends included, or `limit` has passed.
    /// True if every one has.
    pub async fn stop_sending(&self, limit: Duration) -> bool {
        todo!()
    }

    /// Waits until the producers are done by themselves (`Limit::Duration` or `Limit::Count`), or `limit` has passed.
    pub async fn sent_all(&self, limit: Duration) -> bool {
        todo!()
    }

    /// Waits until the queues are empty: nothing arrived for `quiet`, every consumer's explicit drain was answered with
    /// nothing, and every acknowledgement was confirmed where that was asked for. True if that came true within `limit`.
    pub async fn drain(&self, quiet: Duration, limit: Duration) -> bool {
        todo!()
    }

    /// A copy of the record so far. It takes time and memory for millions of messages: `finish` moves it out instead.
    #[must_use]
    pub fn ledger(&self) -> Arc<Ledger> {
        todo!()
    }

    /// A copy of the series so far.
    #[must_use]
    pub fn series(&self) -> Series {
        todo!()
    }

    /// Closes all connections, ends all threads and gives what they recorded.
    ///
    /// # Errors
    /// The interval log could not be written.
    pub async fn finish(self) -> Result<Finished, RunError> {
        todo!()
    }
}
