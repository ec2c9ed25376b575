//! The liveness phase, when every fault has gone: messages must flow again, and the queue must run dry.

use super::execution::Execution;
use super::figures;
use super::load::Load;
use crate::clock::{self, NS_PER_MS};
use crate::error::Result;
use crate::plan::LoadPlan;
use crate::times::Steady;
use loadgen::run::Snapshot;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Time that a new process of the pair has to find its role.
const ROLES_LIMIT: Duration = Duration::from_secs(10);
/// What the search in the record may cut off at its ends.
const STEADY_MARGIN: Duration = Duration::from_millis(150);
/// Pause before the record, which has to be copied, is looked at again.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// How often the flow is looked at.
const FLOW_POLL: Duration = Duration::from_millis(50);
/// Nothing arrives for so long when the queue is empty.
pub(super) const DRAIN_QUIET: Duration = Duration::from_millis(150);

/// Looks whether messages flow, and then whether the record shows steady flow: it knows latencies, not only counts.
pub(super) struct Watch {
    needed: Duration,
    deadline: Instant,
    next_look: Option<Instant>,
    is_flowing: bool,
    t0_ns: u64,
    from_ns: u64,
}

impl Watch {
    /// `t0_ns` is when the first fault took effect; the last one must have gone at `from_ns`.
    pub(super) fn new(load: &LoadPlan, t0_ns: u64, from_ns: u64) -> Self {
        let needed = Duration::from_millis(load.steady_ms) + STEADY_MARGIN;
        let gone = Duration::from_nanos(clock::now_ns().saturating_sub(from_ns));
        let next_look = Some(Instant::now() + needed.saturating_sub(gone));
        let deadline = Instant::now() + Duration::from_millis(load.recovery_limit_ms);
        Self { needed, deadline, next_look, is_flowing: false, t0_ns, from_ns }
    }

    /// Whether it has been waited long enough.
    pub(super) fn is_over(&self) -> bool {
        Instant::now() >= self.deadline
    }

    /// Looks once, after a pause; true when the flow is steady.
    pub(super) async fn look(&mut self, load: &Load, plan: &LoadPlan) -> bool {
        let flows = flows(&load.snapshot(), plan);
        let mut is_steady = false;
        if flows && !self.is_flowing {
            load.senders().fault_end(clock::now_ns());
            self.next_look = self.next_look.or_else(|| Some(Instant::now() + self.needed));
            let latest = Instant::now() + self.needed + Duration::from_millis(plan.latency_limit_ms);
            self.deadline = self.deadline.min(latest);
        } else if !flows && self.is_flowing {
            load.senders().fault_begin("not steady yet", clock::now_ns());
            self.next_look = None;
        } else if flows && self.next_look.is_some_and(|at| at <= Instant::now()) {
            is_steady = self.is_steady_by_record(load, plan);
            self.next_look = Some(Instant::now() + LOOK_AGAIN);
        }
        self.is_flowing = flows;
        sleep(FLOW_POLL).await;
        is_steady
    }

    /// Whether the record shows steady flow since all faults have gone.
    fn is_steady_by_record(&self, load: &Load, plan: &LoadPlan) -> bool {
        let sent = figures::sent(&load.sent_so_far());
        let now_ns = clock::now_ns();
        Steady::from_baseline(&sent, self.t0_ns, plan.steady_ms * NS_PER_MS).find(&sent, self.from_ns, now_ns).is_some()
    }
}

impl Execution<'_> {
    /// Waits for steady flow; meanwhile who leaves is started again.
    pub(super) async fn await_steady(&mut self) -> Result<()> {
        self.context.progress.phase("waiting for steady flow");
        let t0_ns = self.t0_ns();
        let mut watch = Watch::new(&self.load_plan, t0_ns, t0_ns.max(self.healed_ns));
        while !watch.is_over() && !self.is_steady {
            self.restart_leavers()?;
            self.is_steady = watch.look(&self.load, &self.load_plan).await;
        }
        self.load.senders().fault_end(clock::now_ns());
        Ok(())
    }

    /// Stops sending and lets the consumer empty the queue.
    pub(super) async fn drain(&mut self) -> Result<()> {
        self.context.progress.phase("draining");
        if let Err(error) = self.pair.await_roles(ROLES_LIMIT).await {
            self.judgement.violated(format!("the pair did not end as an active and a standby server: {error}"));
        }
        let limit = Duration::from_millis(self.load_plan.drain_limit_ms);
        let answered = self.load.stop_sending(limit).await;
        self.stopped_ns = clock::now_ns();
        if !answered {
            self.judgement.unknown(unanswered(limit));
        }
        self.ask_depths(false).await;
        self.drained = self.load.drain(DRAIN_QUIET, limit).await;
        if self.drained {
            self.ask_depths(true).await;
        }
        Ok(())
    }

    /// What the broker says about its queues is compared with the record later.
    async fn ask_depths(&mut self, after_drain: bool) {
        self.depths.ask(self.pair, self.plan.store.address(), after_drain).await;
        if self.load_plan.patient > 0 {
            self.depths.ask(self.pair, self.plan.store.patient_address(), after_drain).await;
        }
    }
}

/// What a healthy server owes to each send: an answer. Without it, whether the message was to be kept cannot be judged.
pub(super) fn unanswered(limit: Duration) -> String {
    format!("some sends were still unanswered {} ms after the last one", limit.as_millis())
}

/// All clients have a link, and no more than 100 ms worth of messages waits for anything.
fn flows(snapshot: &Snapshot, load: &LoadPlan) -> bool {
    let connected = snapshot.producers_connected == u64::from(load.producers)
        && snapshot.consumers_connected == u64::from(load.consumers);
    connected && snapshot.backlog + snapshot.in_flight <= (load.rate_per_s / 10).max(u64::from(load.producers))
}
