//! Owns what all clients of a run share: the request, the present command, and what they report back.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::clock::Nanos;
use crate::meter::lock;
use crate::options::Options;
use crate::payload::Template;
use crate::run::RunError;

/// How far the run is; each phase includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Clients connect, consumers receive; the schedule has not begun.
    Connect,
    /// Producers put the backlog that was asked for into the queues; consumers wait.
    Fill,
    /// Producers follow the schedule.
    Send,
    /// Producers send nothing new, and finish what is unanswered.
    Stop,
    /// Clients close their connections and end.
    Quit,
}

/// What clients are to do now.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Command {
    pub(crate) phase: Phase,
    /// The schedule's start; 0 before `Phase::Send`.
    pub(crate) start_ns: Nanos,
    /// Number of the last drain request to consumers; 0 for none.
    pub(crate) probe: u64,
}

/// What all clients of a run share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) run: u64,
    pub(crate) template: Template,
    /// Bytes of the records of all clients.
    ledger_bytes: AtomicU64,
    /// Whether sending was stopped because of their size.
    ledger_full: AtomicBool,
    /// The first refusal that trying again cannot mend.
    failure: Mutex<Option<RunError>>,
    /// The last failure of any attempt to connect.
    last_reason: Mutex<String>,
}

impl Shared {
    pub(crate) fn new(options: Options, run: u64) -> Self {
        let seed = options.seed;
        let template = match &options.sizes {
            _ if !options.contents.is_empty() => Template::of_contents(run, &options.contents, seed),
            Some(sizes) => Template::of_sizes(run, sizes, seed),
            None => Template::new(run, options.payload_bytes, seed),
        };
        Self {
            options,
            run,
            template,
            ledger_bytes: AtomicU64::new(0),
            ledger_full: AtomicBool::new(false),
            failure: Mutex::new(None),
            last_reason: Mutex::new(String::new()),
        }
    }

    /// Notes that records of `bytes` were made, and whether they are too many now.
    pub(crate) fn note_records(&self, bytes: usize) {
        if bytes > 0 && self.options.ledger {
            let before = self.ledger_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
            if before + bytes as u64 > self.options.ledger_bytes_max {
                self.ledger_full.store(true, Ordering::Relaxed);
            }
        }
    }

    /// Whether the record has reached the size at which sending stops.
    pub(crate) fn is_ledger_full(&self) -> bool {
        self.ledger_full.load(Ordering::Relaxed)
    }

    /// Reports a refusal for good; only the first one counts.
    pub(crate) fn fail(&self, error: RunError) {
        lock(&self.failure).get_or_insert(error);
    }

    pub(crate) fn take_failure(&self) -> Option<RunError> {
        lock(&self.failure).take()
    }

    pub(crate) fn has_failed(&self) -> bool {
        lock(&self.failure).is_some()
    }

    pub(crate) fn note_reason(&self, reason: &str) {
        reason.clone_into(&mut lock(&self.last_reason));
    }

    pub(crate) fn last_reason(&self) -> String {
        lock(&self.last_reason).clone()
    }
}
