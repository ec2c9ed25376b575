//! What can be done to a pair. Each fault returns evidence that it bit, taken from the operating system and not from the broker.

pub mod network;
pub mod process;
pub mod tree;

use network::NetworkFault;
use process::ProcessFault;
use serde::{Deserialize, Serialize};

/// What is done, with its parameters: one variant for each room of this module, which owns the faults in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Fault {
    /// To a server's process.
    Process(ProcessFault),
    /// To what connects servers and clients.
    Network(NetworkFault),
}

impl Fault {
    /// Reads the table of a scenario: the key `do` names the fault, the others are its own parameters.
    pub fn from_table(table: toml::Table) -> Result<Self, String> {
        let name = table.get("do").and_then(toml::Value::as_str).unwrap_or_default().to_owned();
        let name = name.as_str();
        let rooms = [(ProcessFault::NAMES, true), (NetworkFault::NAMES, false)];
        let is_process = rooms.iter().find(|(names, _)| names.contains(&name)).map(|room| room.1);
        let read = |error: toml::de::Error| format!("do = \"{name}\": {}", error.message());
        match is_process {
            Some(true) => ProcessFault::deserialize(table).map(Self::Process).map_err(read),
            Some(false) => NetworkFault::deserialize(table).map(Self::Network).map_err(read),
            None => {
                let all: Vec<&str> = rooms.iter().flat_map(|(names, _)| names.iter().copied()).collect();
                Err(format!("do = `{name}`: expected one of {}", all.join(", ")))
            }
        }
    }
}

/// When a fault was asked for, when it was seen to have effect, and how that is known. Times are nanoseconds of CLOCK_MONOTONIC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effect {
    /// Just before the request.
    pub requested_ns: u64,
    /// The first moment at which the effect was seen; the true moment lies between the two.
    pub effective_ns: u64,
    /// What was seen.
    pub proof: String,
}
