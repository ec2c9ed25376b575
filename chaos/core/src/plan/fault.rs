//! A fault of a plan: what is done to whom, and the moments at which it comes and goes, with every random choice made.

use crate::faults::Fault;
use crate::scenario::Role;
use serde::{Deserialize, Serialize};

/// One fault of a trial.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FaultPlan {
    /// What is done, with its parameters.
    pub fault: Fault,
    /// To whom; who that is is looked up when it comes.
    pub role: Role,
    /// When it comes.
    pub begin: When,
    /// When it goes; absent for a fault that is over at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heal: Option<When>,
    /// Whether it only sets the scene.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub preparation: bool,
}

/// A moment of a trial: so long after something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct When {
    /// After what.
    pub after: Anchor,
    /// How long after it, microseconds.
    #[serde(default)]
    pub plus_us: u64,
    /// But no sooner than this long after the fault itself took effect, microseconds; for the end of a fault.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub at_least_us: u64,
}

fn is_zero(value: &u64) -> bool {
    *value == 0
}

/// What a moment comes after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Anchor {
    /// The end of the warm-up.
    WarmUp,
    /// The effect of a fault: for the beginning of one, of the fault before it; for the end of one, its own.
    Fault,
    /// A server becomes active, after that effect.
    Takeover,
    /// A server has claimed the store and recovers it, after that effect.
    Recovery,
    /// Every fault before it is healed and both servers have their roles.
    Healed,
    /// Its victims have ended.
    Exit,
    /// Everything else has come and gone.
    End,
}
