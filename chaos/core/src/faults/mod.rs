//! What can be done to a pair. Each fault returns evidence that it bit, taken from the operating system and not from the broker.
//!
//! A room owns its faults: `process` (signals, starvation), `network` (proxies on links, rules between hosts), `disk` (the shared disk and the hosts that
//! use it). To add a fault:
//!
//! 1. A variant of the room's enum with its parameters (`Kill {}`, `Delay { amount: Amount }`), its name in `NAMES`; a new room is a
//!    variant of [`Fault`] besides, with an arm in each of its methods.
//! 2. `inject(&self, scene)` does it, and returns a [`Bite`]: the [`Effect`] with its proof, or none where no effect was seen; and in
//!    [`Held`] whatever the fault must remember until it is healed (a variant of the room's own).
//! 3. `heal(&self, scene, bite)` takes it back and returns the moment. A fault that ends processes ([`Fault::ends_process`]) is healed
//!    by starting its victims again, which the trial does; one that is over at once ([`Fault::is_instant`]) is never healed.
//! 4. `examine(&self, scene, bite)` is called once at the end of the trial, before the load ends: it adds sentences of evidence, and
//!    calls [`Bite::withdraw`] if the counters say that nothing happened. A trial with a fault that shows no evidence is unknown.
//!
//! When a fault comes and goes, and who the victims are, is not decided here: see `crate::trial`.

pub mod disk;
pub mod network;
pub mod process;
pub mod tree;

use crate::cluster::{NodeId, Pair};
use crate::error::Result;
use crate::plan::PairPlan;
use crate::scenario::{PairSpec, Role, StoreOn};
use disk::{Asked, DiskFault};
use network::{Inflicted, NetworkFault};
use process::{ProcessFault, Starving};
use serde::{Deserialize, Serialize};

/// What is done, with its parameters: one variant for each room of this module, which owns the faults in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Fault {
    /// To a server's process.
    Process(ProcessFault),
    /// To what connects servers and clients.
    Network(NetworkFault),
    /// To the disk that the servers share.
    Disk(DiskFault),
}

/// What a fault may reach.
#[derive(Debug)]
pub struct Scene<'a> {
    /// The pair under test.
    pub pair: &'a mut Pair,
    /// Its settings.
    pub settings: &'a PairPlan,
    /// Whom the fault is for.
    pub role: Role,
    /// The nodes that have that role now; for `link` and `clients`, the active server and its peer, in this order.
    pub nodes: &'a [NodeId],
}

/// A fault that was done.
#[derive(Debug, Default)]
pub struct Bite {
    /// When it took effect, and how that is known.
    pub effect: Option<Effect>,
    /// Further evidence, a sentence each; without an effect, what is known instead.
    pub evidence: Vec<String>,
    /// What it made the disk report as durable and drop, in words, if it did; set by `examine`.
    pub lied: Option<String>,
    /// What it must remember until it is healed and examined.
    pub held: Held,
}

/// What a fault remembers.
#[derive(Debug, Default)]
pub enum Held {
    /// Nothing.
    #[default]
    Nothing,
    /// Processes that are kept short of processor time.
    Starving(Vec<Starving>),
    /// What the shared disk was asked to do.
    Disk(Asked),
    /// What is done to links.
    Network(Inflicted),
}

impl Bite {
    /// A fault that took effect.
    pub fn of(effect: Option<Effect>) -> Self {
        Self { effect, ..Self::default() }
    }

    /// The fault had no effect after all.
    pub fn withdraw(&mut self, reason: impl Into<String>) {
        self.effect = None;
        self.evidence.push(reason.into());
    }
}

impl Fault {
    /// Reads the table of a scenario: the key `do` names the fault, the others are its own parameters.
    pub fn from_table(table: toml::Table) -> Result<Self, String> {
        let name = table.get("do").and_then(toml::Value::as_str).unwrap_or_default().to_owned();
        let wrong = |error: toml::de::Error| format!("do = \"{name}\": {}", error.message());
        if ProcessFault::NAMES.contains(&name.as_str()) {
            return ProcessFault::deserialize(table).map(Self::Process).map_err(wrong);
        }
        if NetworkFault::NAMES.contains(&name.as_str()) {
            return NetworkFault::deserialize(table).map(Self::Network).map_err(wrong);
        }
        if DiskFault::NAMES.contains(&name.as_str()) {
            return DiskFault::from_table(table).map(Self::Disk).map_err(wrong);
        }
        let all = Self::names().join(", ");
        Err(format!("do = `{name}`: expected one of {all}"))
    }

    /// The names of all faults, as scenarios write them.
    pub fn names() -> Vec<&'static str> {
        [ProcessFault::NAMES, NetworkFault::NAMES, DiskFault::NAMES].concat()
    }

    /// What a scenario's pair or its role lacks for it, with the remedy.
    pub fn check(&self, role: Role, pair: &PairSpec) -> Result<(), String> {
        let is_of_servers = matches!(role, Role::Active | Role::Standby | Role::Both);
        match self {
            Self::Network(fault) => fault.check(role, pair),
            _ if !is_of_servers => Err(format!("role = \"{role}\": it is done to active, standby or both")),
            Self::Disk(_) if pair.store_on != StoreOn::SharedDisk => {
                Err("it needs store_on = \"shared-disk\" in [pair]".to_owned())
            }
            Self::Process(_) | Self::Disk(_) => Ok(()),
        }
    }

    /// What it is called in reports, with its amounts.
    pub fn words(&self, settings: &PairPlan) -> String {
        match self {
            Self::Process(fault) => fault.words(),
            Self::Network(fault) => fault.words(settings),
            Self::Disk(fault) => fault.words(),
        }
    }

    /// Whether its victims end, and are started again to heal it.
    pub fn ends_process(&self) -> bool {
        match self {
            Self::Process(fault) => fault.ends_process(),
            Self::Network(_) => false,
            Self::Disk(fault) => fault.ends_process(),
        }
    }

    /// Whether it is over as soon as it has happened.
    pub fn is_instant(&self) -> bool {
        match self {
            Self::Process(_) | Self::Disk(_) => false,
            Self::Network(fault) => fault.is_instant(),
        }
    }

    /// Does it.
    pub async fn inject(&self, scene: &mut Scene<'_>) -> Result<Bite> {
        match self {
            Self::Process(fault) => fault.inject(scene).await,
            Self::Network(fault) => fault.inject(scene).await,
            Self::Disk(fault) => fault.inject(scene).await,
        }
    }

    /// Takes it back; the moment in nanoseconds of CLOCK_MONOTONIC.
    pub async fn heal(&self, scene: &mut Scene<'_>, bite: &mut Bite) -> Result<u64> {
        match self {
            Self::Process(fault) => fault.heal(scene, bite),
            Self::Network(fault) => fault.heal(scene, bite).await,
            Self::Disk(fault) => fault.heal(scene, bite).await,
        }
    }

    /// Looks for evidence at the end of the trial.
    pub async fn examine(&self, scene: &mut Scene<'_>, bite: &mut Bite) -> Result<()> {
        match self {
            // Their evidence is complete when they are healed.
            Self::Process(_) | Self::Network(_) => Ok(()),
            Self::Disk(fault) => fault.examine(scene, bite),
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

impl Effect {
    /// One effect for several that were asked for together: from the first request to the last proof.
    pub fn join(effects: impl IntoIterator<Item = Self>) -> Option<Self> {
        effects.into_iter().reduce(|first, next| Self {
            requested_ns: first.requested_ns.min(next.requested_ns),
            effective_ns: first.effective_ns.max(next.effective_ns),
            proof: format!("{}; {}", first.proof, next.proof),
        })
    }

    /// One effect for what was done to each victim; none if one of them showed none.
    pub fn of_each(effects: impl IntoIterator<Item = Option<Self>>) -> Option<Self> {
        Self::join(effects.into_iter().collect::<Option<Vec<_>>>()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_that_are_done_together_are_one_effect() {
        let effect =
            |requested_ns, effective_ns, proof: &str| Effect { requested_ns, effective_ns, proof: proof.to_owned() };
        let joined = Effect::join([effect(5, 9, "a"), effect(6, 7, "b")]);
        assert_eq!(joined, Some(effect(5, 9, "a; b")));
        assert_eq!(Effect::join([]), None);
        // A victim that was spared is no part of an effect.
        assert_eq!(Effect::of_each([Some(effect(5, 9, "a")), Some(effect(6, 7, "b"))]), joined);
        assert_eq!(Effect::of_each([Some(effect(5, 9, "a")), None]), None);
    }
}
