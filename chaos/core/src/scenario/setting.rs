//! What varies between the trials of a scenario: the store, what waits in it, the standby, and further server parameters.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

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

    /// The queue of the patient clients, in the same store.
    pub fn patient_address(self) -> &'static str {
        match self {
            Self::Sync => "sync.patient",
            Self::Async => "async.patient",
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
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cell {
    /// The scenario's name.
    pub scenario: String,
    /// Where the queue is stored.
    pub store: StoreSetting,
    /// What waits in the store, if that was asked for.
    pub backlog: Option<Backlog>,
    /// The server parameters that vary between the trials of the run, by name.
    pub settings: BTreeMap<String, String>,
}

impl Cell {
    /// Where the queue is stored, what waits there, and what varies: `sync, 10 MiB hot, ft_heartbeat 1s`.
    pub fn place(&self) -> String {
        let backlog = self.backlog.map_or_else(String::new, |backlog| format!(", {backlog}"));
        let settings: String = self.settings.iter().map(|(name, value)| format!(", {name} {value}")).collect();
        format!("{}{backlog}{settings}", self.store)
    }

    /// For file names: `kill-backlog-sync-10-mib-hot`.
    pub fn slug(&self) -> String {
        let place = self.place().to_lowercase().replace(", ", "-");
        let words = place.replace(|letter: char| !letter.is_ascii_alphanumeric(), "-");
        format!("{}-{words}", self.scenario)
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
        let settings = BTreeMap::from([("ft_heartbeat".to_owned(), "1s".to_owned())]);
        let cell = Cell { scenario: "kill".to_owned(), store: StoreSetting::Sync, backlog, settings };
        assert_eq!(cell.place(), "sync, 10 MiB hot, ft_heartbeat 1s");
        assert_eq!(cell.slug(), "kill-sync-10-mib-hot-ft-heartbeat-1s");
        assert_eq!(Cell { backlog: None, settings: BTreeMap::new(), ..cell }.slug(), "kill-sync");
    }
}
