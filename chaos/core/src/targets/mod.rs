//! What a target file says: how a broker or a pair that is not ours is started, ended, found and judged.
//!
//! This owns the words of the file and their meaning, not the processes: those are [`crate::cluster`]'s. docs/TARGETS.md describes each key.

mod command;
mod file;

pub use command::{CommandLine, Finished, Running, Variables};
pub use file::read;

use crate::plan::LoadPlan;
use crate::scenario::StoreSetting;
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// A broker, or a pair, that is driven from outside.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// What the report calls it.
    pub name: String,
    /// What it is and how it is set up, for the report.
    pub explanation: String,
    /// Programs that must be there: names that are looked up in PATH, or paths.
    #[serde(default)]
    pub requires: Vec<String>,
    /// How to get what is required, for the message that says that it is missing.
    #[serde(default)]
    pub remedy: String,
    /// Names of free TCP ports that each trial gets: `${port.NAME}`.
    #[serde(default)]
    pub ports: Vec<String>,
    /// What the supervisor waits before it starts a node again that has ended; without it only the scenario starts nodes again.
    #[serde(default, deserialize_with = "some_duration")]
    pub restart_after: Option<Duration>,
    /// How clients log in; without it, anonymously.
    pub login: Option<Login>,
    /// What clients must mind.
    #[serde(default)]
    pub clients: Clients,
    /// The queue under test for each store setting.
    pub queues: Queues,
    /// Carried out before each trial's nodes are started: gives a fresh store, where `${dir}` alone does not.
    pub clean: Option<CommandLine>,
    /// Carried out once the nodes were started, before anybody connects: makes the queues.
    pub prepare: Option<CommandLine>,
    /// Environment of every command.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// How long things may take.
    #[serde(default)]
    pub limits: Limits,
    /// The nodes: one, or two that stand in for each other.
    #[serde(rename = "node")]
    pub nodes: Vec<TargetNode>,
    /// Folder of the file: `${target}`.
    #[serde(skip)]
    pub folder: PathBuf,
}

/// A name and a password.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// Name.
    pub user: String,
    /// Password.
    pub password: String,
}

/// What clients of this broker must mind.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clients {
    /// A server that is silent for so long counts as lost; without it, the load's.
    #[serde(default, deserialize_with = "some_duration")]
    pub idle_timeout: Option<Duration>,
    /// Longest wait for one connection attempt; without it, the load's.
    #[serde(default, deserialize_with = "some_duration")]
    pub connect_timeout: Option<Duration>,
    /// Whether the broker confirms acknowledgements.
    #[serde(default)]
    pub acknowledgements: Acknowledgements,
}

/// What a consumer learns of its acknowledgements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Acknowledgements {
    /// The broker settles once the removal is as safe as the message was: what comes back afterwards is a violation.
    #[default]
    Confirmed,
    /// Nothing: what was acknowledged may come back, marked as redelivered.
    Unconfirmed,
}

/// The queues of a target; a store setting without one is skipped.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Queues {
    /// Where a send is confirmed when it is on disk.
    pub sync: Option<TargetQueue>,
    /// The other kind that the broker has.
    pub r#async: Option<TargetQueue>,
}

/// A queue and what the broker promises for it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TargetQueue {
    /// AMQP address of the queue, for senders and receivers.
    pub address: String,
    /// What it is in the broker's own words, for the report.
    pub words: String,
    /// What a fault may cost.
    #[serde(default)]
    pub promise: Promise,
    /// Where the broker cannot answer a drain: the queue counts as empty when nothing arrived for so long.
    #[serde(default, deserialize_with = "some_duration")]
    pub empty_after: Option<Duration>,
}

/// What a fault may cost of the confirmed messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Promise {
    /// None of them.
    #[default]
    NothingLost,
    /// The newest of each producer, as a suffix without holes.
    NewestLost {
        /// At most the confirms of so long a time.
        #[serde(default, deserialize_with = "some_duration")]
        span: Option<Duration>,
    },
}

/// How long things may take.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// From the start commands until clients are accepted.
    #[serde(deserialize_with = "duration")]
    pub start: Duration,
    /// Each other command.
    #[serde(deserialize_with = "duration")]
    pub command: Duration,
    /// From a fault until clients are accepted again; beyond it the trial is right-censored.
    #[serde(deserialize_with = "duration")]
    pub recovery: Duration,
}

impl Default for Limits {
    /// A JVM or an Erlang machine starts in seconds; a command only tells or sends something.
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { start: seconds(60), command: seconds(20), recovery: seconds(60) }
    }
}

/// One node of a target. Nodes have no names of their own: they are A and B, in the order of the file.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TargetNode {
    /// Where clients find it.
    pub url: String,
    /// Starts it.
    pub start: CommandLine,
    /// Whether `start` ends once the node is launched; otherwise its process is the node, or the node's parent.
    #[serde(default)]
    pub start_returns: bool,
    /// Ends it in good order, at the end of a trial; what is left of it here is then killed.
    pub stop: Option<CommandLine>,
    /// Prints the process ids of the node, where they cannot be found by the mark in their environment.
    pub pids: Option<CommandLine>,
    /// Prints `active` where the node serves clients, and anything else where it does not; without it, whoever accepts clients is active.
    pub role: Option<CommandLine>,
    /// Exits with 0 when the node is ready to take over; without it, a node that runs is.
    pub ready: Option<CommandLine>,
    /// Does what SIGKILL does, for a node on another machine.
    pub kill: Option<CommandLine>,
    /// Exits with 0 once `kill` has had effect.
    pub kill_proof: Option<CommandLine>,
    /// Does what SIGSTOP does.
    pub pause: Option<CommandLine>,
    /// Exits with 0 once `pause` has had effect.
    pub pause_proof: Option<CommandLine>,
    /// Does what SIGCONT does.
    pub resume: Option<CommandLine>,
    /// Exits with 0 once `resume` has had effect.
    pub resume_proof: Option<CommandLine>,
    /// Files and folders that are kept of a trial that does not pass.
    #[serde(default)]
    pub logs: Vec<String>,
}

impl Target {
    /// The queue for a store setting.
    pub fn queue(&self, store: StoreSetting) -> Option<&TargetQueue> {
        match store {
            StoreSetting::Sync => self.queues.sync.as_ref(),
            StoreSetting::Async => self.queues.r#async.as_ref(),
        }
    }

    /// One node that nobody stands in for: a takeover is its own restart.
    pub fn is_lone(&self) -> bool {
        self.nodes.len() == 1
    }

    /// The load with what clients of this broker must mind.
    pub fn load(&self, load: LoadPlan) -> LoadPlan {
        let ms = |time: Duration| time.as_millis() as u64;
        LoadPlan {
            client_idle_timeout_ms: self.clients.idle_timeout.map_or(load.client_idle_timeout_ms, ms),
            client_connect_timeout_ms: self.clients.connect_timeout.map_or(load.client_connect_timeout_ms, ms),
            recovery_limit_ms: load.recovery_limit_ms.max(ms(self.limits.recovery)),
            // They need a queue of their own.
            patient: 0,
            ..load
        }
    }

    /// The first of the required programs that is not there.
    pub fn missing(&self) -> Option<&str> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let is_there = |program: &str| match program.contains('/') {
            true => self.folder.join(program).exists(),
            false => std::env::split_paths(&path).any(|folder| folder.join(program).is_file()),
        };
        self.requires.iter().map(String::as_str).find(|program| !is_there(program))
    }
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    loadgen::units::parse_duration(&text).map_err(serde::de::Error::custom)
}

fn some_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    duration(deserializer).map(Some)
}
