//! Processor time of the active server and of this program, as the kernel counts it.

use crate::faults::process::processor_time_s;
use crate::result::ProcessorShare;
use nix::unistd::Pid;
use tokio::time::Instant;

/// Processor time since the load began.
pub(super) struct Meter {
    active: Option<Pid>,
    active_s: f64,
    harness_s: f64,
    since: Instant,
}

impl Meter {
    pub(super) fn start(active: Option<Pid>) -> Self {
        let used = |pid: Option<Pid>| pid.map_or(0.0, processor_time_s);
        Self { active, active_s: used(active), harness_s: used(Some(Pid::this())), since: Instant::now() }
    }

    /// In cores, until now.
    pub(super) fn share(&self) -> ProcessorShare {
        let active_s = self.active.map_or(0.0, processor_time_s) - self.active_s;
        ProcessorShare { active: active_s / self.since.elapsed().as_secs_f64(), harness: self.harness_share() }
    }

    pub(super) fn harness_share(&self) -> f64 {
        (processor_time_s(Pid::this()) - self.harness_s) / self.since.elapsed().as_secs_f64()
    }
}
