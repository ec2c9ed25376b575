//! The suites that measure without a fault. They are code, not files: each has its own way.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// A suite that measures without a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum MeasuringSuite {
    /// How fast a broker starts on a large store.
    Startup,
    /// What memory a broker needs above a queue that does not fit into it.
    Memory,
    /// Two brokers under the same load.
    Steady,
}

impl MeasuringSuite {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Startup, Self::Memory, Self::Steady];

    /// The one with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name() == name)
    }

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Startup => "startup",
            Self::Memory => "memory",
            Self::Steady => "steady",
        }
    }

    /// What it is for.
    pub fn explanation(self) -> &'static str {
        match self {
            Self::Startup => {
                "no fault: from the start of a lone broker's process to the first delivery, above 2 million messages of 1 KiB and with a clean \
                 page cache, against the time in which the store's files can be read; needs root"
            }
            Self::Memory => {
                "no fault: the peak memory of a lone broker with max_msg_memory = 256MB above 5 million messages of 1 KiB, and its drain rate \
                 against that with everything in memory; needs 8 GiB of memory"
            }
            Self::Steady => {
                "no fault: confirm latency at a fixed rate and the largest rate of --broker against --against, in turn; a lone broker, or a pair \
                 with --standby"
            }
        }
    }

    /// Offered load where none is asked for, messages per second.
    pub fn rate_per_s(self) -> u64 {
        20_000
    }

    /// Repetitions.
    pub fn rounds(self) -> usize {
        match self {
            Self::Startup => 5,
            Self::Memory => 3,
            Self::Steady => 6,
        }
    }

    /// Messages that wait in the queue, where no number is asked for; 0: none do.
    pub fn messages(self) -> u64 {
        match self {
            Self::Startup => 2_000_000,
            Self::Memory => 5_000_000,
            Self::Steady => 0,
        }
    }
}
