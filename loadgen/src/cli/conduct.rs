//! Owns the course of a run as a person watches it: connecting, the backlog to begin with, the common start, sending, the last answers,
//! the drain. It judges nothing.

use std::time::Duration;

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::UsageError;
use crate::clock::{MILLISECOND_NS, Nanos, now_ns};
use crate::options::{Limit, Options};
use crate::progress::Progress;
use crate::run::Handle;
use crate::verdict::Verdict;
use crate::wall::{StartAt, Wall};

/// What a terminal shows of a run, and whether somebody wants it to end.
pub(crate) struct Watch {
    pub(crate) progress: Progress,
    interrupt: Signal,
    terminate: Signal,
}

impl Watch {
    pub(crate) fn new(quiet: bool) -> anyhow::Result<Self> {
        let signal = |kind| signal(kind).context("watching for signals");
        Ok(Self {
            progress: Progress::new(quiet),
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Waits for `step` and shows progress meanwhile; `None` if Ctrl-C or SIGTERM cut it short.
    async fn over<T>(&mut self, handle: &Handle, what: &str, step: impl Future<Output = T>) -> Option<T> {
        tokio::pin!(step);
        loop {
            tokio::select! {
                result = &mut step => return Some(result),
                _ = self.interrupt.recv() => break,
                _ = self.terminate.recv() => break,
                () = tokio::time::sleep(Duration::from_millis(50)) => self.progress.show(handle, what),
            }
        }
        self.progress.say(&format!("interrupted while {what}; once more skips the next step, too"));
        None
    }
}

/// How patiently a run is conducted.
pub(crate) struct Course {
    /// When the schedule begins; `None`: as soon as it can.
    pub(crate) start_at: Option<StartAt>,
    /// How long clients may search for a server, and sends stay unanswered.
    pub(crate) patience: Duration,
    /// How long nothing must arrive for a queue to count as empty.
    pub(crate) quiet_time: Duration,
}

/// How complete a run was at its end.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    /// Every send has its answer.
    pub(crate) answered: bool,
    /// The queues were seen empty.
    pub(crate) drained: bool,
    /// Somebody cut it short.
    pub(crate) interrupted: bool,
    /// Sending was stopped because the record had reached its bound.
    pub(crate) ledger_full: bool,
    /// What went otherwise than asked, one sentence each: the run proves nothing then.
    pub(crate) faults: Vec<String>,
}

impl Course {
    /// The whole run, up to its drain.
    pub(crate) async fn conduct(&self, handle: &Handle, options: &Options, watch: &mut Watch) -> anyhow::Result<Seen> {
        let mut seen = Seen { answered: true, ..Seen::default() };
        if !self.start(handle, options, watch, &mut seen).await? {
            return Ok(seen);
        }
        let sending = async {
            if let (Limit::Duration(duration), true) = (options.limit, options.producers > 0) {
                let start_ns = handle.start_ns();
                tokio::time::sleep(Duration::from_nanos(start_ns.saturating_sub(now_ns())) + duration).await;
            }
            // A count takes as long as it takes; a schedule that is over leaves only its backlog.
            let counted = matches!(options.limit, Limit::Count(_));
            let limit = if counted { Duration::from_secs(10 * 365 * 86_400) } else { self.patience };
            handle.sent_all(limit).await
        };
        seen.interrupted |= watch.over(handle, "sending", sending).await.is_none();
        handle.check()?;
        seen.ledger_full = handle.is_ledger_full();
        seen.answered = watch.over(handle, "settling", handle.stop_sending(self.patience)).await.unwrap_or(false);
        handle.check()?;
        if let Some(drained) = watch.over(handle, "draining", self.drain(handle)).await {
            seen.drained = drained;
        }
        Ok(seen)
    }

    /// A drain goes on while messages come; without any, or once connections are lost, it is given the patience asked for.
    async fn drain(&self, handle: &Handle) -> bool {
        loop {
            let before = handle.snapshot();
            if handle.drain(self.quiet_time, self.patience.max(Duration::from_secs(10))).await {
                return true;
            }
            let after = handle.snapshot();
            if after.delivered == before.delivered || after.disconnected > before.disconnected || after.consumers == 0 {
                return false;
            }
        }
    }

    /// Up to the schedule's beginning; false if the run is over before it.
    async fn start(
        &self,
        handle: &Handle,
        options: &Options,
        watch: &mut Watch,
        seen: &mut Seen,
    ) -> anyhow::Result<bool> {
        // The wall clock is read at once: what connecting takes must not move a start that others keep, too.
        let start = self.start_at.as_ref().map(|start_at| Wall::read().monotonic_ns(start_at)).transpose();
        let start = start.map_err(|error| UsageError(error.into()))?;
        match watch.over(handle, "connecting", handle.connected(self.patience)).await {
            Some(connected) => connected?,
            None => return Ok(false),
        }
        if options.build_backlog > 0 {
            let limit = Duration::from_secs(10 * 365 * 86_400);
            let filled = watch.over(handle, "building the backlog", handle.filled(limit)).await;
            handle.check()?;
            if filled != Some(true) {
                return Ok(false);
            }
        }
        let Some((start_ns, said)) = start else {
            // A moment ahead, so that no producer begins late.
            handle.begin(now_ns() + MILLISECOND_NS);
            return Ok(true);
        };
        watch.progress.say(&said);
        if start_ns < now_ns() {
            let late_ms = (now_ns() - start_ns) / MILLISECOND_NS;
            seen.faults.push(format!(
                "the start time had passed {late_ms} ms before all clients were ready: choose a later --start-at"
            ));
        }
        handle.begin(start_ns.max(now_ns() + MILLISECOND_NS));
        let wait = tokio::time::sleep(Duration::from_nanos(start_ns.saturating_sub(now_ns())));
        if watch.over(handle, "waiting for the start", wait).await.is_none() {
            return Ok(false);
        }
        self.note_drift(start_ns, seen);
        Ok(true)
    }

    /// A wall clock that was set or slewed since it was read has moved the others' start against ours.
    fn note_drift(&self, start_ns: Nanos, seen: &mut Seen) {
        let Some(StartAt::Time(time)) = &self.start_at else { return };
        if let Ok((now_meant_ns, _)) = Wall::read().monotonic_ns(&StartAt::Time(*time)) {
            let drift_ns = now_meant_ns.abs_diff(start_ns);
            if drift_ns > 10 * MILLISECOND_NS {
                let drift_ms = drift_ns / MILLISECOND_NS;
                seen.faults.push(format!("the wall clock moved by {drift_ms} ms while the start was waited for"));
            }
        }
    }
}

impl Seen {
    /// What the course of the run means for its verdict.
    pub(crate) fn include(&self, options: &Options, course: &Course, verdict: &mut Verdict) {
        if !self.answered {
            let patience = course.patience;
            verdict.unknown(format!("some sends were still unanswered {patience:?} after the end of the schedule"));
        }
        if self.ledger_full {
            let mib = options.ledger_bytes_max >> 20;
            verdict.unknown(format!(
                "the record reached {mib} MiB after {} sends and {} deliveries, and sending stopped: raise --ledger-max, or give \
                 --no-ledger",
                verdict.counts.attempts, verdict.counts.delivered
            ));
        }
        self.faults.iter().for_each(|fault| verdict.unknown(fault.clone()));
    }
}
