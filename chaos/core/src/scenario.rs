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
    /// SIGKILL of the active server while no consumer takes what it confirms, on request above a backlog of a given size.
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
                 nothing can be lost. With --backlog, a queue of the same store holds that much from before, with a standby that follows the journal \
                 (hot) or one that reads the store at the takeover (cold)."
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

    /// The queue that holds the backlog, in the same store.
    pub fn backlog_address(self) -> &'static str {
        match self {
            Self::Sync => "sync.backlog",
            Self::Async => "async.backlog",
        }
    }
}

impl fmt::Display for StoreSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What the standby does before it is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Standby {
    /// `standby_tailing = enabled`: it follows the journal of the active server.
    Hot,
    /// `standby_tailing = disabled`: it reads the store when it takes over.
    Cold,
}

impl Standby {
    /// Both, in the order of the report.
    pub const ALL: [Self; 2] = [Self::Hot, Self::Cold];

    /// The name on the command line and in every file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hot => "hot",
            Self::Cold => "cold",
        }
    }

    /// The value of the server parameter `standby_tailing`.
    pub fn tailing(self) -> &'static str {
        match self {
            Self::Hot => "enabled",
            Self::Cold => "disabled",
        }
    }
}

impl fmt::Display for Standby {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What waits in the store when the fault comes, and who waits for the fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Backlog {
    /// Bodies of the messages that wait, bytes.
    pub size_bytes: u64,
    /// The standby.
    pub standby: Standby,
}

impl fmt::Display for Backlog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", size(self.size_bytes), self.standby)
    }
}

/// A size in the largest binary unit that leaves a short number: `10 MiB`.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let power = (bytes.max(1).ilog2() / 10).min(UNITS.len() as u32 - 1);
    let number = bytes as f64 / f64::from(2_u32).powi(power as i32 * 10);
    let digits = usize::from(number.fract() > 0.0 && number < 100.0);
    format!("{number:.digits$} {}", UNITS[power as usize])
}

/// What the trials of one row of a table have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cell {
    /// What is done.
    pub scenario: Scenario,
    /// Where the queue is stored.
    pub store: StoreSetting,
    /// What waits in the store, if that was asked for.
    pub backlog: Option<Backlog>,
}

impl Cell {
    /// Where the queue is stored, and what waits there: `sync, 10 MiB hot`.
    pub fn place(&self) -> String {
        let backlog = self.backlog.map_or_else(String::new, |backlog| format!(", {backlog}"));
        format!("{}{backlog}", self.store)
    }

    /// For file names: `kill-backlog-sync-10mib-hot`.
    pub fn slug(&self) -> String {
        let backlog = self.backlog.map_or_else(String::new, |one| format!("-{one}").to_lowercase());
        format!("{}-{}{}", self.scenario, self.store, backlog.replace(' ', "-"))
    }
}

/// A named list of scenarios with their number of trials.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Suite {
    /// Every scenario in under three minutes.
    Quick,
    /// Kills above backlogs of several sizes, with hot and with cold standbys.
    Backlog,
    /// Many pauses of the active server.
    Pause,
    /// How fast a broker starts on a large store.
    Startup,
    /// What memory a broker needs above a queue that does not fit into it.
    Memory,
    /// Two brokers under the same load, without a fault.
    Steady,
}

impl Suite {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Quick, Self::Backlog, Self::Pause, Self::Startup, Self::Memory, Self::Steady];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Quick => "quick",
            Self::Backlog => "backlog",
            Self::Pause => "pause",
            Self::Startup => "startup",
            Self::Memory => "memory",
            Self::Steady => "steady",
        }
    }

    /// What it is for.
    pub fn explanation(self) -> &'static str {
        match self {
            Self::Quick => "every scenario with both store settings, in under three minutes on two cores; the default",
            Self::Backlog => {
                "what a takeover costs above 10 MiB, 1 GiB and 10 GiB of waiting messages, with a hot and with a cold standby; needs 20 GiB of disk"
            }
            Self::Pause => {
                "whether a woken former active server ever costs a confirmed message; a rate of losses needs many trials"
            }
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

    /// Trials of `scenario` for each store setting, and for each backlog and standby. Six is the smallest number for which a 95 %
    /// interval of the median exists; thirty without a loss bound the rate of losses at 10 % (3/n).
    pub fn trials(self, scenario: Scenario) -> usize {
        match (self, scenario) {
            (Self::Quick, Scenario::KillActive) | (Self::Backlog, Scenario::KillBacklog) => 6,
            (Self::Quick, _) => 2,
            (Self::Pause, Scenario::PauseActive) => 30,
            _ => 0,
        }
    }

    /// Store settings, where none is asked for.
    pub fn stores(self) -> &'static [StoreSetting] {
        match self {
            Self::Quick => &StoreSetting::ALL,
            _ => &[StoreSetting::Sync],
        }
    }

    /// Backlogs below `kill-backlog`, bytes, where none are asked for.
    pub fn backlogs(self) -> &'static [u64] {
        match self {
            Self::Backlog => &[10 << 20, 1 << 30, 10 << 30],
            _ => &[],
        }
    }

    /// Offered load where none is asked for, messages per second. Above a backlog it is small: what it leaves in a store that serves
    /// several trials must not change its size.
    pub fn rate_per_s(self) -> u64 {
        match self {
            Self::Backlog => 2000,
            _ => 20_000,
        }
    }

    /// Repetitions, where it measures without a fault; `None` for suites of trials.
    pub fn rounds(self) -> Option<usize> {
        match self {
            Self::Startup => Some(5),
            Self::Memory => Some(3),
            Self::Steady => Some(6),
            Self::Quick | Self::Backlog | Self::Pause => None,
        }
    }

    /// Messages that wait in the queue of a measurement, where no number is asked for.
    pub fn messages(self) -> u64 {
        match self {
            Self::Startup => 2_000_000,
            Self::Memory => 5_000_000,
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short() {
        let sizes = [(0, "0 B"), (1000, "1000 B"), (10 << 20, "10 MiB"), (1 << 30, "1 GiB"), (3 << 29, "1.5 GiB")];
        assert!(sizes.iter().all(|(bytes, words)| size(*bytes) == *words));
    }

    #[test]
    fn a_cell_names_its_files() {
        let backlog = Some(Backlog { size_bytes: 10 << 20, standby: Standby::Hot });
        let cell = Cell { scenario: Scenario::KillBacklog, store: StoreSetting::Sync, backlog };
        assert_eq!((cell.place().as_str(), cell.slug().as_str()), ("sync, 10 MiB hot", "kill-backlog-sync-10-mib-hot"));
        assert_eq!(Cell { backlog: None, ..cell }.slug(), "kill-backlog-sync");
    }
}
