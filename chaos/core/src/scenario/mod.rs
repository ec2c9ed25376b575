//! What a trial can be, as data: scenarios and suites, read from TOML files (docs/SCENARIOS.md describes the format).
//!
//! `library` holds the shipped files and finds a file or a name, `read` turns text into data and says what is wrong with it, `schedule`
//! is when a fault comes and goes, `suite` combines scenarios, `setting` is what varies between trials. What comes of it is [`crate::plan`].

mod amount;
mod library;
mod read;
mod schedule;
mod setting;
mod suite;

pub use amount::Amount;
pub use library::{Library, scenario, scenarios, suites};
pub use schedule::{After, FaultSpec, Moment, Phase, Role};
pub use setting::{Backlog, Cell, Standby, StoreSetting, size};
pub use suite::{Entry, Suite};

use crate::checks::Finding;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What is done to a pair while it is under load, and what is expected of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// Its name on the command line and in every file.
    pub name: String,
    /// What happens and what is expected, for `chaos list` and the report.
    pub explanation: String,
    /// Whether the standby shall become the active server.
    pub takeover: Takeover,
    /// What the machine must allow.
    pub requires: Vec<Requirement>,
    /// How the pair is set up.
    pub pair: PairSpec,
    /// What it needs of the load.
    pub load: LoadSpec,
    /// What is done, in the order of the file.
    pub faults: Vec<FaultSpec>,
    /// Whether faults come again and again, each drawn from the list by the seed.
    pub repeat: Option<Repeat>,
    /// What must be seen besides.
    pub expect: Expect,
}

/// Whether the standby shall become the active server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Takeover {
    /// It must; the times of the failover are measured.
    #[default]
    Expected,
    /// It must not.
    Forbidden,
    /// It may.
    Allowed,
}

/// What a machine may lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Requirement {
    /// A shared disk that misbehaves: root and /dev/fuse.
    Disk,
    /// Hosts of their own: root, network namespaces and nft.
    Network,
}

/// How the pair is set up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PairSpec {
    /// What the store lies on.
    pub store_on: StoreOn,
    /// What lies between the two servers.
    pub link: Wiring,
    /// What lies between clients and servers.
    pub clients: Wiring,
    /// Further parameters of both servers, by name.
    pub settings: BTreeMap<String, String>,
}

/// What the store lies on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StoreOn {
    /// A folder of this machine.
    #[default]
    Folder,
    /// A disk of its own with a mount for each server, which can misbehave.
    SharedDisk,
}

/// What lies between two ends of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wiring {
    /// Nothing.
    #[default]
    Direct,
    /// A proxy of this program.
    Proxied,
    /// A network of its own: each server in a network namespace.
    Namespaces,
}

/// What a suite or scenario changes about the load and the length of its trials; absent values stay as they are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LoadSpec {
    /// Offered rate over all producers, messages per second.
    pub rate: Option<u64>,
    /// Body of each message.
    pub size: Option<String>,
    /// Sending links.
    pub producers: Option<u32>,
    /// Receiving links.
    pub consumers: Option<u32>,
    /// Pairs of a producer and a consumer, with a queue of their own, that never give up a silent server.
    pub patient: Option<u32>,
    /// When consumers take messages.
    pub consume: Option<Consume>,
    /// Unconfirmed messages of each producer.
    pub window: Option<u32>,
    /// Messages that the broker may send ahead.
    pub credit: Option<u32>,
    /// A silent server counts as lost after this time.
    pub idle_timeout: Option<String>,
    /// Longest wait for one connection attempt.
    pub connect_timeout: Option<String>,
    /// Time under load before the first fault.
    pub warmup: Option<String>,
    /// Length of steady flow that counts as recovered.
    pub steady: Option<String>,
    /// Longest wait for a recovery.
    pub recovery_limit: Option<String>,
    /// Longest wait for the latency to be back.
    pub latency_limit: Option<String>,
    /// Longest wait for the queue to run dry.
    pub drain_limit: Option<String>,
}

/// When consumers take messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Consume {
    /// All the time.
    #[default]
    Always,
    /// They leave shortly before the first fault and return once the pair serves again.
    LeaveBeforeFault,
}

/// Faults that come again and again, each when those before it are healed.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Repeat {
    /// Longest pause before the next one; how long it is is drawn from the seed.
    pub every: Amount,
    /// For how long new ones come, unless the command line says otherwise.
    pub duration: Amount,
}

/// What must be seen besides the messages.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Expect {
    /// The victim must leave by itself with this exit code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// The victim may leave by itself with this exit code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub may_exit_code: Option<i32>,
    /// These must be found, and passing needs nothing else to be: a negative control. A loss must be explained by the faults' evidence.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
    /// The log of the standby must hold these words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub standby_logs: Option<String>,
    /// The log of the standby must not hold these words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub standby_keeps_silent: Option<String>,
    /// Clients may lose so many connections; looked at where no takeover may happen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections_lost_max: Option<usize>,
}

impl std::fmt::Display for Requirement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Disk => "disk",
            Self::Network => "network",
        })
    }
}
