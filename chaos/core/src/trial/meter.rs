//! Processor time of the active server and of this program, as the kernel counts it.

use crate::faults::process::processor_time_s;
use crate::result::ProcessorShare;
use nix::unistd::Pid;
use tokio::time::Instant;

/// Processor time since the load began.
pub(super) struct Meter {
    active: Vec<Pid>,
    active_s: f64,
    harness_s: f64,
    since: Instant,
}

impl Meter {
    /// `active`: the processes of the active server.
    pub(super) fn start(active: Vec<Pid>) -> Self {
        let active_s = used_s(&active);
        Self { active, active_s, harness_s: processor_time_s(Pid::this()), since: Instant::now() }
    }

    /// In cores, until now.
    pub(super) fn share(&self) -> ProcessorShare {
        let active_s = used_s(&self.active) - self.active_s;
        ProcessorShare { active: active_s / self.since.elapsed().as_secs_f64(), harness: self.harness_share() }
    }

    pub(super) fn harness_share(&self) -> f64 {
        (processor_time_s(Pid::this()) - self.harness_s) / self.since.elapsed().as_secs_f64()
    }
}

fn used_s(processes: &[Pid]) -> f64 {
    processes.iter().map(|&pid| processor_time_s(pid)).sum()
}
