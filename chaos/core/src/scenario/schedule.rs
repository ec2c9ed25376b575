//! When a fault comes, when it goes, and whom it is for, as a scenario says it.

use super::Amount;
use crate::faults::Fault;
use crate::plan::Anchor;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
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
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Moment {
    /// What it comes after.
    pub after: After,
    /// But no sooner than this long after the fault itself; for the end of a fault.
    pub at_least: Option<Amount>,
    /// How long after it.
    pub phase: Option<Phase>,
}

/// How long after something.
#[derive(Clone, Debug, PartialEq)]
pub enum Phase {
    /// Drawn from the seed, uniform over this time; without one, over one `ft_activation`, which holds several heartbeats and flushes.
    Random(Option<Amount>),
    /// Always the same.
    Fixed(Amount),
}

/// What a moment comes after.
#[derive(Clone, Debug, PartialEq)]
pub enum After {
    /// Something that happens.
    Anchor(Anchor),
    /// A time: of the beginning of a fault, after the end of the warm-up; of its end, after its beginning.
    Time(Amount),
}

impl After {
    /// What a fault can come after, by name.
    pub(super) const BEGINNINGS: &[(&str, Anchor)] = &[
        ("warm-up", Anchor::WarmUp),
        ("fault", Anchor::Fault),
        ("takeover", Anchor::Takeover),
        ("recovery", Anchor::Recovery),
        ("healed", Anchor::Healed),
    ];
    /// What it can go after, by name.
    pub(super) const ENDS: &[(&str, Anchor)] =
        &[("takeover", Anchor::Takeover), ("recovery", Anchor::Recovery), ("exit", Anchor::Exit), ("end", Anchor::End)];

    /// An error in words unless it is a time or one of `allowed`.
    pub(super) fn check(&self, allowed: &[(&str, Anchor)]) -> Result<(), String> {
        match self {
            Self::Anchor(anchor) if !allowed.iter().any(|one| one.1 == *anchor) => {
                let names: Vec<&str> = allowed.iter().map(|one| one.0).collect();
                Err(format!("write a time, or one of {}", names.join(", ")))
            }
            _ => Ok(()),
        }
    }
}

impl<'de> Deserialize<'de> for After {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if let Some((_, anchor)) = Self::BEGINNINGS.iter().chain(Self::ENDS).find(|one| one.0 == text) {
            return Ok(Self::Anchor(*anchor));
        }
        let names = "or one of warm-up, fault, takeover, recovery, healed for a beginning; takeover, recovery, exit, end for an end";
        text.parse().map(Self::Time).map_err(|error| D::Error::custom(format!("after: {error}; {names}")))
    }
}

impl<'de> Deserialize<'de> for Phase {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let amount = |text: &str| {
            text.trim().parse().map_err(|error| D::Error::custom(format!("phase: {error}; or random, or random 2s")))
        };
        match text.strip_prefix("random") {
            Some("") => Ok(Self::Random(None)),
            Some(within) => amount(within).map(|within| Self::Random(Some(within))),
            None => amount(&text).map(Self::Fixed),
        }
    }
}
