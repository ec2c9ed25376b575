//! What a trial can be: the scenarios, the store settings, and the suites that combine them.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What is done to the pair while it is under load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Scenario {
    /// SIGKILL of the active server.
    KillActive,
    /// SIGKILL of the active server while no consumer takes what it confirms.
    KillBacklog,
    /// SIGSTOP of the active server until the standby has taken over, then SIGCONT.
    PauseActive,
    /// The fault-tolerance link delays everything for longer than `ft_activation`.
    DelayHeartbeats,
    /// SIGKILL of the active server while each sync of the store takes 2 ms longer.
    SlowSync,
}

impl Scenario {
    /// All of them, in the order of the report.
    pub const ALL: [Self; 5] =
        [Self::KillActive, Self::KillBacklog, Self::PauseActive, Self::DelayHeartbeats, Self::SlowSync];

    /// The name on the command line and in every file.
    pub fn name(self) -> &'static str {
        match self {
            Self::KillActive => "kill-active",
            Self::KillBacklog => "kill-backlog",
            Self::PauseActive => "pause-active",
            Self::DelayHeartbeats => "delay-heartbeats",
            Self::SlowSync => "slow-sync",
        }
    }

    /// What happens and what is expected, for `chaos list` and the report.
    pub fn explanation(self) -> &'static str {
        match self {
            Self::KillActive => {
                "The active server gets SIGKILL; the standby takes over; the victim is started again and becomes the standby."
            }
            Self::KillBacklog => {
                "As kill-active, but the consumer is away from shortly before the kill until the takeover, so that what was confirmed last exists \
                 in the queue only. With a consumer that keeps up, a message has left the queue before an async store has written it, and \
                 nothing can be lost."
            }
            Self::PauseActive => {
                "The active server gets SIGSTOP for longer than ft_activation; the standby takes over; SIGCONT; the former active must \
                 find itself fenced and leave with exit code 75; it is started again and becomes the standby."
            }
            Self::DelayHeartbeats => {
                "Proxies hold back everything on the fault-tolerance link for longer than ft_activation, then let it go. The active \
                 server still writes its heartbeat to the shared store, so the standby must log missing heartbeats and stay standby: \
                 no takeover, no loss, no interruption."
            }
            Self::SlowSync => {
                "As kill-active, with debug_sync_delay = 2ms on both servers: what the store's durability costs on a slower disk, and \
                 what a failover does to the messages that wait for it."
            }
        }
    }

    /// Whether the standby is expected to become the active server.
    pub fn expects_takeover(self) -> bool {
        !matches!(self, Self::DelayHeartbeats)
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Where the queue under test is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum StoreSetting {
    /// `store=$sys.failsafe`: a send is confirmed when it is on disk.
    Sync,
    /// `store=$sys.nonfailsafe`: a send is confirmed when it is accepted, and written soon after.
    Async,
}

impl StoreSetting {
    /// Both, in the order of the report.
    pub const ALL: [Self; 2] = [Self::Sync, Self::Async];

    /// The name on the command line and in every file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sync => "sync",
            Self::Async => "async",
        }
    }

    /// The queue that the load uses: queues.conf gives each its store.
    pub fn address(self) -> &'static str {
        match self {
            Self::Sync => "sync.q",
            Self::Async => "async.q",
        }
    }
}

impl fmt::Display for StoreSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A named list of scenarios with their number of trials.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Suite {
    /// Every scenario in under three minutes.
    Quick,
}

impl Suite {
    /// All of them.
    pub const ALL: [Self; 1] = [Self::Quick];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Quick => "quick",
        }
    }

    /// What it is for.
    pub fn explanation(self) -> &'static str {
        match self {
            Self::Quick => "every scenario with both store settings, in under three minutes on two cores; the default",
        }
    }

    /// Trials of `scenario` for each store setting. Six is the smallest number for which a 95 % interval of the median exists.
    pub fn trials(self, scenario: Scenario) -> usize {
        match (self, scenario) {
            (Self::Quick, Scenario::KillActive) => 6,
            (Self::Quick, _) => 2,
        }
    }
}
