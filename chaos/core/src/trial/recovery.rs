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
const DRAIN_QUIET: Duration = Duration::from_millis(150);

/// What is looked at.
pub(super) struct Liveness<'a> {
    pub(super) load: &'a Load,
    pub(super) plan: &'a LoadPlan,
    /// When the first fault that is no preparation took effect.
    pub(super) t0_ns: u64,
    /// The last fault must have gone, and the first one must have come.
    pub(super) from_ns: u64,
}

/// How the end of the load went.
pub(super) struct Drain {
    /// When sending stopped.
    pub(super) stopped_ns: u64,
    /// Whether the queue was emptied.
    pub(super) drained: bool,
    /// What else was seen.
    pub(super) observations: Vec<String>,
}

impl Liveness<'_> {
    /// Waits until messages flow, and then until the record shows steady flow: it knows latencies, not only counts. True if it did.
    pub(super) async fn await_steady(&self) -> bool {
        let needed = Duration::from_millis(self.plan.steady_ms) + STEADY_MARGIN;
        let mut deadline = Instant::now() + Duration::from_millis(self.plan.recovery_limit_ms);
        let gone = Duration::from_nanos(clock::now_ns().saturating_sub(self.from_ns));
        let mut next_look = Some(Instant::now() + needed.saturating_sub(gone));
        let (mut is_flowing, mut is_steady) = (false, false);
        while Instant::now() < deadline && !is_steady {
            let flows = flows(&self.load.snapshot(), self.plan);
            if flows && !is_flowing {
                self.load.senders().fault_end(clock::now_ns());
                next_look = next_look.or_else(|| Some(Instant::now() + needed));
                deadline = deadline.min(Instant::now() + needed + Duration::from_millis(self.plan.latency_limit_ms));
            } else if !flows && is_flowing {
                self.load.senders().fault_begin("not steady yet", clock::now_ns());
                next_look = None;
            } else if flows && next_look.is_some_and(|at| at <= Instant::now()) {
                is_steady = self.is_steady_by_record();
                next_look = Some(Instant::now() + LOOK_AGAIN);
            }
            is_flowing = flows;
            sleep(FLOW_POLL).await;
        }
        self.load.senders().fault_end(clock::now_ns());
        is_steady
    }

    /// Whether the record shows steady flow since all faults have gone.
    fn is_steady_by_record(&self) -> bool {
        let sent = figures::sent(&self.load.sent_so_far());
        let now_ns = clock::now_ns();
        Steady::from_baseline(&sent, self.t0_ns, self.plan.steady_ms * NS_PER_MS)
            .find(&sent, self.from_ns, now_ns)
            .is_some()
    }

    /// Stops sending and lets the consumer empty the queue.
    pub(super) async fn drain(&self) -> Drain {
        let limit = Duration::from_millis(self.plan.drain_limit_ms);
        let answered = self.load.stop_sending(limit).await;
        let stopped_ns = clock::now_ns();
        let mut observations = Vec::new();
        if !answered {
            observations.push(format!("some sends were still unanswered {} ms after the last one", limit.as_millis()));
        }
        let drained = self.load.drain(DRAIN_QUIET, limit).await;
        Drain { stopped_ns, drained, observations }
    }
}

impl Execution<'_> {
    /// Waits for steady flow.
    pub(super) async fn await_steady(&mut self) {
        self.context.progress.phase("waiting for steady flow");
        self.is_steady = self.liveness().await_steady().await;
    }

    fn liveness(&self) -> Liveness<'_> {
        let t0_ns = self.t0_ns();
        Liveness { load: &self.load, plan: &self.load_plan, t0_ns, from_ns: t0_ns.max(self.healed_ns) }
    }

    /// Waits for the roles, stops sending and lets the consumer empty the queue.
    pub(super) async fn drain(&mut self) -> Result<()> {
        self.context.progress.phase("draining");
        if let Err(error) = self.pair.await_roles(ROLES_LIMIT).await {
            self.judgement.violated(format!("the pair did not end as an active and a standby server: {error}"));
        }
        let Drain { stopped_ns, drained, observations } = self.liveness().drain().await;
        (self.stopped_ns, self.drained) = (stopped_ns, drained);
        self.observations.extend(observations);
        Ok(())
    }
}

/// All clients have a link, and no more than 100 ms worth of messages waits for anything.
fn flows(snapshot: &Snapshot, load: &LoadPlan) -> bool {
    let connected = snapshot.producers_connected == u64::from(load.producers)
        && snapshot.consumers_connected == u64::from(load.consumers);
    connected && snapshot.backlog + snapshot.in_flight <= (load.rate_per_s / 10).max(u64::from(load.producers))
}
