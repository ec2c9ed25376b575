//! The liveness phase, when every fault has gone: messages must flow again, and the queue must run dry.

use super::execution::Execution;
use super::figures;
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

impl Execution<'_> {
    /// Waits until messages flow, and then until the record shows steady flow: it knows latencies, not only counts.
    pub(super) async fn await_steady(&mut self) -> Result<()> {
        self.context.progress.phase("waiting for steady flow");
        let load = self.load_plan.clone();
        let needed = Duration::from_millis(load.steady_ms) + STEADY_MARGIN;
        let mut deadline = Instant::now() + Duration::from_millis(load.recovery_limit_ms);
        let gone = Duration::from_nanos(clock::now_ns().saturating_sub(self.since_ns()));
        let mut next_look = Some(Instant::now() + needed.saturating_sub(gone));
        let mut is_flowing = false;
        while Instant::now() < deadline && !self.is_steady {
            self.restart_leavers()?;
            let flows = flows(&self.load.snapshot(), &load);
            if flows && !is_flowing {
                self.load.senders().fault_end(clock::now_ns());
                next_look = next_look.or_else(|| Some(Instant::now() + needed));
                deadline = deadline.min(Instant::now() + needed + Duration::from_millis(load.latency_limit_ms));
            } else if !flows && is_flowing {
                self.load.senders().fault_begin("not steady yet", clock::now_ns());
                next_look = None;
            } else if flows && next_look.is_some_and(|at| at <= Instant::now()) {
                self.is_steady = self.is_steady_by_record();
                next_look = Some(Instant::now() + LOOK_AGAIN);
            }
            is_flowing = flows;
            sleep(FLOW_POLL).await;
        }
        self.load.senders().fault_end(clock::now_ns());
        Ok(())
    }

    /// The last fault must have gone, and the first one must have come.
    fn since_ns(&self) -> u64 {
        self.t0_ns().max(self.healed_ns)
    }

    /// Whether the record shows steady flow since all faults have gone.
    fn is_steady_by_record(&self) -> bool {
        let t0_ns = self.t0_ns();
        let sent = figures::sent(&self.load.sent_so_far());
        let now_ns = clock::now_ns();
        Steady::from_baseline(&sent, t0_ns, self.load_plan.steady_ms * NS_PER_MS)
            .find(&sent, self.since_ns(), now_ns)
            .is_some()
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
            self.observations
                .push(format!("some sends were still unanswered {} ms after the last one", limit.as_millis()));
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

/// All clients have a link, and no more than 100 ms worth of messages waits for anything.
fn flows(snapshot: &Snapshot, load: &LoadPlan) -> bool {
    let connected = snapshot.producers_connected == u64::from(load.producers)
        && snapshot.consumers_connected == u64::from(load.consumers);
    connected && snapshot.backlog + snapshot.in_flight <= (load.rate_per_s / 10).max(u64::from(load.producers))
}
