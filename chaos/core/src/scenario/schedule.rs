//! When a fault comes, when it goes, and whom it is for, as a scenario says it.

use super::Amount;
use crate::faults::Fault;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// One fault of a scenario.
#[derive(Clone, Debug, PartialEq)]
pub struct FaultSpec {
    /// What is done, with its parameters.
    pub fault: Fault,
    /// To whom.
    pub role: Role,
    /// When it comes.
    pub at: Moment,
    /// When it goes; without it, it is not taken back.
    pub heal: Option<Moment>,
    /// Whether it only sets the scene: the times of the trial count from the first fault that does not.
    pub preparation: bool,
}

/// Whom a fault is for. Who that is is looked up when the fault comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// The server that is active.
    #[default]
    Active,
    /// The one that is not.
    Standby,
    /// Both servers.
    Both,
    /// What connects the two servers.
    Link,
    /// What connects clients and servers.
    Clients,
}

impl Role {
    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Standby => "standby",
            Self::Both => "both",
            Self::Link => "link",
            Self::Clients => "clients",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A moment of a trial.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Moment {
    /// What it comes after.
    pub after: After,
    /// But no sooner than this long after the fault itself; for the end of a fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<Amount>,
    /// How long after it: `random` is uniform over one `ft_activation`, which holds several heartbeats and flushes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
}

/// How long after something.
#[derive(Clone, Debug, PartialEq)]
pub enum Phase {
    /// Drawn from the seed, uniform over one `ft_activation`.
    Random,
    /// Always the same.
    Fixed(Amount),
}

/// What a moment comes after.
#[derive(Clone, Debug, PartialEq)]
pub enum After {
    /// The end of the warm-up.
    WarmUp,
    /// The takeover that follows the latest fault.
    Takeover,
    /// A time: of the beginning of a fault, after the end of the warm-up; of its end, after its beginning.
    Time(Amount),
}

impl<'de> Deserialize<'de> for After {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.as_str() {
            "warm-up" => Ok(Self::WarmUp),
            "takeover" => Ok(Self::Takeover),
            time => time
                .parse()
                .map(Self::Time)
                .map_err(|error| D::Error::custom(format!("after: {error}; or one of warm-up, takeover"))),
        }
    }
}

impl Serialize for After {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::WarmUp => serializer.collect_str("warm-up"),
            Self::Takeover => serializer.collect_str("takeover"),
            Self::Time(amount) => serializer.collect_str(amount),
        }
    }
}

impl<'de> Deserialize<'de> for Phase {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "random" => Ok(Self::Random),
            time => {
                time.parse().map(Self::Fixed).map_err(|error| D::Error::custom(format!("phase: {error}; or random")))
            }
        }
    }
}

impl Serialize for Phase {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Random => serializer.collect_str("random"),
            Self::Fixed(amount) => serializer.collect_str(amount),
        }
    }
}
