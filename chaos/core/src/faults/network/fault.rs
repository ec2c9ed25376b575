//! The faults of a network, as scenarios name them: what each does to which links, how it is taken back, and what proves that it bit.
//!
//! Where links are proxied, a fault shapes proxies; where the servers are hosts of their own, it is rules of the packet filter.

use super::lane::Tally;
use super::proxy::Direction;
use super::rate::ByteRate;
use super::shape::{Passage, Shape};
use crate::clock;
use crate::cluster::NodeId;
use crate::cluster::links::{Links, ProxyName, Side, Way};
use crate::cluster::namespaces::rules::{Cut, Manner, Packets, Rules};
use crate::error::{Error, Result};
use crate::faults::{Bite, Effect, Held, Scene};
use crate::plan::PairPlan;
use crate::scenario::{Amount, PairSpec, Role, Wiring};
use serde::{Deserialize, Serialize};
use std::io::ErrorKind;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::Instant;

/// What can be done to connections.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum NetworkFault {
    /// Everything on the fault-tolerance link is held back, whatever the role.
    DelayHeartbeats {
        /// By how much, each direction.
        amount: Amount,
    },
    /// Everything is held back.
    Delay {
        /// By how much.
        amount: Amount,
        /// Which direction.
        #[serde(default)]
        way: Way,
        /// Which links of a server.
        #[serde(default)]
        side: Side,
    },
    /// Everything is held back by a random part of an amount; order is kept.
    Jitter {
        /// The largest part.
        amount: Amount,
        /// Which direction.
        #[serde(default)]
        way: Way,
        /// Which links of a server.
        #[serde(default)]
        side: Side,
    },
    /// A line carries so many bytes in a second.
    Bandwidth {
        /// Bytes per second, each direction of each link.
        rate: ByteRate,
        /// Which direction.
        #[serde(default)]
        way: Way,
        /// Which links of a server.
        #[serde(default)]
        side: Side,
    },
    /// Nothing is read; connections stay open.
    Stall {
        /// Which direction.
        #[serde(default)]
        way: Way,
        /// Which links of a server.
        #[serde(default)]
        side: Side,
    },
    /// Bytes vanish and nobody is told: half-open connections.
    Drop {
        /// Which direction.
        #[serde(default)]
        way: Way,
        /// Which links of a server.
        #[serde(default)]
        side: Side,
    },
    /// Nothing passes until it is healed, as if the cable were out.
    Cut {
        /// Which direction.
        #[serde(default)]
        way: Way,
        /// Which links of a server.
        #[serde(default)]
        side: Side,
        /// What becomes of packets, where servers are hosts of their own.
        #[serde(default)]
        manner: Manner,
    },
    /// All connections are reset, once.
    Reset {
        /// Which links of a server.
        #[serde(default)]
        side: Side,
    },
    /// New connections are refused.
    Refuse {
        /// Which links of a server.
        #[serde(default)]
        side: Side,
    },
}

/// To whom it is done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target<'a> {
    /// What can be cut.
    pub(super) links: &'a Links,
    /// Whom the scenario names.
    pub(super) role: Role,
    /// Who has that role; for `link` and `clients`, the active server and its peer.
    pub(super) nodes: &'a [NodeId],
    /// Settings of the pair, which amounts may refer to.
    pub(super) settings: &'a PairPlan,
}

/// A fault in force: since when, and what is to be undone.
#[derive(Debug)]
pub struct Inflicted {
    since: Instant,
    what: What,
}

/// What is to be undone.
#[derive(Debug)]
enum What {
    Shaped { change: Change, lanes: Vec<(ProxyName, Direction, Tally)>, waiting: u64 },
    Refused(Vec<ProxyName>),
    Ruled(Vec<Rules>),
}

/// What a fault left when it was taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Healed {
    /// When it had no effect any more, nanoseconds of CLOCK_MONOTONIC.
    pub(super) healed_ns: u64,
    /// What was counted while it was in force.
    pub(super) evidence: Option<String>,
    /// Whether that shows that it bit.
    pub(super) has_bitten: bool,
}

/// One thing in a [`Shape`].
#[derive(Clone, Copy, Debug, PartialEq)]
enum Change {
    Delay(Duration),
    Jitter(Duration),
    Rate(std::num::NonZeroU64),
    Passage(Passage),
}

impl Change {
    fn apply(self, shape: &mut Shape) {
        match self {
            Self::Delay(delay) => shape.delay = delay,
            Self::Jitter(jitter) => shape.jitter = jitter,
            Self::Rate(rate) => shape.bytes_per_s = Some(rate),
            Self::Passage(passage) => shape.passage = passage,
        }
    }

    /// Leaves alone what other faults do.
    fn undo(self, shape: &mut Shape) {
        let clear = Shape::default();
        match self {
            Self::Delay(_) => shape.delay = clear.delay,
            Self::Jitter(_) => shape.jitter = clear.jitter,
            Self::Rate(_) => shape.bytes_per_s = clear.bytes_per_s,
            Self::Passage(_) => shape.passage = clear.passage,
        }
    }

    /// Whether the counters of the time in which it was in force show it. A delay that is taken back before its length is over has held
    /// nothing back for so long.
    fn has_bitten(self, counted: &Tally, waiting: u64) -> bool {
        match self {
            Self::Delay(delay) => counted.pieces_delayed > 0 && counted.held_max >= delay,
            Self::Jitter(_) | Self::Rate(_) => counted.pieces_delayed > 0,
            Self::Passage(Passage::Stalled) => counted.connections_unread > 0,
            Self::Passage(Passage::Cut) => counted.bytes_passed == 0 && (counted.bytes_withheld > 0 || waiting > 0),
            Self::Passage(Passage::Swallowing) => {
                counted.bytes_passed == 0 && (counted.bytes_swallowed > 0 || waiting > 0)
            }
            Self::Passage(Passage::Open) => false,
        }
    }
}

impl NetworkFault {
    /// The names under which scenarios know them.
    pub const NAMES: &[&str] =
        &["delay-heartbeats", "delay", "jitter", "bandwidth", "stall", "drop", "cut", "reset", "refuse"];

    /// What the links of a host without power do: everything to and from it vanishes, and nobody is told. None where they cannot be cut.
    pub(in crate::faults) fn of_a_dead_host(links: &Links) -> Option<Self> {
        let (way, side) = (Way::Both, Side::Everything);
        if links.hosts().is_some() {
            return Some(Self::Cut { way, side, manner: Manner::Drop });
        }
        let is_proxied = !links.lanes(NodeId::A, side, way).is_empty();
        is_proxied.then_some(Self::Drop { way, side })
    }

    /// What it is called in reports, with its amounts.
    pub(in crate::faults) fn words(&self, pair: &PairPlan) -> String {
        let ms = |amount: &Amount| format!("{} ms", amount.duration(pair).as_millis());
        match self {
            Self::DelayHeartbeats { amount } => format!("delay heartbeats {}", ms(amount)),
            Self::Delay { amount, way, .. } => format!("delay {}{way}", ms(amount)),
            Self::Jitter { amount, way, .. } => format!("jitter {}{way}", ms(amount)),
            Self::Bandwidth { rate, way, .. } => format!("bandwidth {rate}{way}"),
            Self::Stall { way, .. } => format!("stall{way}"),
            Self::Drop { way, .. } => format!("drop{way}"),
            Self::Cut { way, .. } => format!("cut{way}"),
            Self::Reset { .. } => "reset".to_owned(),
            Self::Refuse { .. } => "refuse".to_owned(),
        }
    }

    /// Whether it is over as soon as it has happened.
    pub(in crate::faults) fn is_instant(&self) -> bool {
        matches!(self, Self::Reset { .. })
    }

    pub(in crate::faults) async fn inject(&self, scene: &mut Scene<'_>) -> Result<Bite> {
        let Scene { role, nodes, settings, .. } = *scene;
        self.inflict(&Target { links: scene.pair.links(), role, nodes, settings }).await
    }

    /// Takes it back. The counters say now whether it bit: what passes afterwards is not the fault's.
    pub(in crate::faults) async fn heal(&self, scene: &mut Scene<'_>, bite: &mut Bite) -> Result<u64> {
        let Held::Network(inflicted) = std::mem::take(&mut bite.held) else { return Ok(clock::now_ns()) };
        let healed = inflicted.heal(scene.pair.links()).await?;
        match healed.evidence {
            Some(words) if healed.has_bitten => bite.evidence.push(words),
            Some(words) => bite.withdraw(words),
            None => {}
        }
        Ok(healed.healed_ns)
    }

    /// Does it.
    pub(super) async fn inflict(&self, target: &Target<'_>) -> Result<Bite> {
        let hosts = target.links.hosts();
        match (self, hosts) {
            (Self::Cut { way, manner, .. }, Some(_)) => self.enforce(target, *way, *manner),
            (_, Some(_)) => Err(Error::NoLink { needed: "a proxied link" }),
            (Self::Reset { .. }, None) => self.reset(target).await,
            (Self::Refuse { .. }, None) => self.refuse(target).await,
            (_, None) => self.shape(target),
        }
    }

    fn way(&self) -> Way {
        match self {
            Self::Delay { way, .. }
            | Self::Jitter { way, .. }
            | Self::Bandwidth { way, .. }
            | Self::Stall { way, .. }
            | Self::Drop { way, .. }
            | Self::Cut { way, .. } => *way,
            Self::DelayHeartbeats { .. } | Self::Reset { .. } | Self::Refuse { .. } => Way::Both,
        }
    }

    /// Which links of a server.
    fn side(&self, role: Role) -> Side {
        match (self, role) {
            (Self::DelayHeartbeats { .. }, _) | (_, Role::Link) => Side::Peer,
            (_, Role::Clients) => Side::Clients,
            (
                Self::Delay { side, .. }
                | Self::Jitter { side, .. }
                | Self::Bandwidth { side, .. }
                | Self::Stall { side, .. }
                | Self::Drop { side, .. }
                | Self::Cut { side, .. }
                | Self::Reset { side }
                | Self::Refuse { side },
                _,
            ) => *side,
        }
    }

    /// Which links of which servers, seen from the server.
    fn scope<'a>(&self, target: &Target<'a>) -> (&'a [NodeId], Side) {
        let is_link = matches!(self, Self::DelayHeartbeats { .. }) || target.role == Role::Link;
        (if is_link { &target.nodes[..1] } else { target.nodes }, self.side(target.role))
    }

    /// What a scenario's pair lacks for it, with the remedy.
    pub(in crate::faults) fn check(&self, role: Role, pair: &PairSpec) -> Result<(), String> {
        if [pair.link, pair.clients].contains(&Wiring::Namespaces) {
            let is_cut = matches!(self, Self::Cut { .. });
            return if is_cut { Ok(()) } else { Err("between namespaces there is `cut` only".to_owned()) };
        }
        let (link, clients) = (pair.link == Wiring::Proxied, pair.clients == Wiring::Proxied);
        let (is_there, keys) = match self.side(role) {
            Side::Peer => (link, "link"),
            Side::Clients => (clients, "clients"),
            Side::Everything => (link || clients, "link or clients"),
        };
        if is_there { Ok(()) } else { Err(format!("it needs {keys} = \"proxied\" in [pair]")) }
    }

    fn lanes(&self, target: &Target<'_>) -> Result<Vec<(ProxyName, Direction)>> {
        let (nodes, side) = self.scope(target);
        let mut lanes = Vec::new();
        for lane in nodes.iter().flat_map(|&node| target.links.lanes(node, side, self.way())) {
            if !lanes.contains(&lane) {
                lanes.push(lane);
            }
        }
        if lanes.is_empty() {
            return Err(Error::NoLink { needed: "a proxied link" });
        }
        Ok(lanes)
    }

    fn change(&self, pair: &PairPlan) -> Change {
        match self {
            Self::DelayHeartbeats { amount } | Self::Delay { amount, .. } => Change::Delay(amount.duration(pair)),
            Self::Jitter { amount, .. } => Change::Jitter(amount.duration(pair)),
            Self::Bandwidth { rate, .. } => Change::Rate(rate.bytes_per_s()),
            Self::Stall { .. } => Change::Passage(Passage::Stalled),
            Self::Drop { .. } => Change::Passage(Passage::Swallowing),
            Self::Cut { .. } => Change::Passage(Passage::Cut),
            Self::Reset { .. } | Self::Refuse { .. } => Change::Passage(Passage::Open),
        }
    }

    fn shape(&self, target: &Target<'_>) -> Result<Bite> {
        let change = self.change(target.settings);
        let requested_ns = clock::now_ns();
        let mut lanes = Vec::new();
        for (name, direction) in self.lanes(target)? {
            let proxy = target.links.proxy(name)?;
            proxy.forget_longest(direction);
            proxy.change(direction, |shape| change.apply(shape));
            lanes.push((name, direction, proxy.tally(direction)));
        }
        let proof = format!("set in the proxies: {}; {} directions of links", self.words(target.settings), lanes.len());
        let effect = Some(Effect { requested_ns, effective_ns: clock::now_ns(), proof });
        let waiting = kept_waiting(target.links, &lanes)?;
        Ok(in_force(effect, What::Shaped { change, lanes, waiting }))
    }

    async fn reset(&self, target: &Target<'_>) -> Result<Bite> {
        let requested_ns = clock::now_ns();
        let mut connections = 0;
        for name in names(&self.lanes(target)?) {
            connections += target.links.proxy(name)?.reset().await?;
        }
        let proof = format!("the proxies reset {connections} connections on both sides");
        let effect = Effect { requested_ns, effective_ns: clock::now_ns(), proof };
        Ok(Bite::of((connections > 0).then_some(effect)))
    }

    async fn refuse(&self, target: &Target<'_>) -> Result<Bite> {
        let requested_ns = clock::now_ns();
        let names = names(&self.lanes(target)?);
        let mut refused = 0;
        for &name in &names {
            let proxy = target.links.proxy(name)?;
            proxy.refuse(true).await?;
            let tried = TcpStream::connect(proxy.address()).await;
            refused += usize::from(tried.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused));
        }
        let proof = format!("the kernel refused a connection to {refused} of {} proxies", names.len());
        let effect = Effect { requested_ns, effective_ns: clock::now_ns(), proof };
        let effect = (refused == names.len()).then_some(effect);
        Ok(in_force(effect, What::Refused(names)))
    }

    fn enforce(&self, target: &Target<'_>, way: Way, manner: Manner) -> Result<Bite> {
        let Some(hosts) = target.links.hosts() else {
            return Err(Error::NoLink { needed: "hosts of their own" });
        };
        let requested_ns = clock::now_ns();
        let (nodes, side) = self.scope(target);
        let rules = nodes.iter().map(|&host| Rules::enforce(hosts, &Cut { host, side, way, manner }));
        let rules: Vec<Rules> = rules.collect::<Result<_>>()?;
        let proof = format!("nft took the rules: {}", self.words(target.settings));
        let effect = Some(Effect { requested_ns, effective_ns: clock::now_ns(), proof });
        Ok(in_force(effect, What::Ruled(rules)))
    }
}

fn in_force(effect: Option<Effect>, what: What) -> Bite {
    Bite { held: Held::Network(Inflicted { since: Instant::now(), what }), ..Bite::of(effect) }
}

/// The proxies of some directions, each once.
fn names(lanes: &[(ProxyName, Direction)]) -> Vec<ProxyName> {
    let mut names: Vec<ProxyName> = lanes.iter().map(|lane| lane.0).collect();
    names.dedup();
    names
}

/// Connections that were kept waiting so far by the proxies of these directions.
fn kept_waiting(links: &Links, lanes: &[(ProxyName, Direction, Tally)]) -> Result<u64> {
    let mut names: Vec<ProxyName> = lanes.iter().map(|lane| lane.0).collect();
    names.dedup();
    names.into_iter().map(|name| Ok(links.proxy(name)?.connections().kept_waiting)).sum()
}

impl Inflicted {
    /// Takes it back and says what it did.
    pub(super) async fn heal(self, links: &Links) -> Result<Healed> {
        let in_force = self.since.elapsed();
        match self.what {
            What::Shaped { change, lanes, waiting } => reshape(links, change, &lanes, waiting, in_force),
            What::Refused(names) => {
                for name in names {
                    links.proxy(name)?.refuse(false).await?;
                }
                Ok(Healed { healed_ns: clock::now_ns(), evidence: None, has_bitten: true })
            }
            What::Ruled(rules) => {
                let mut sum = Packets::default();
                for rules in rules {
                    let packets = rules.remove()?;
                    sum = Packets { stopped: sum.stopped + packets.stopped, passed: sum.passed + packets.passed };
                }
                let counted = format!(
                    "the packet filter stopped {} packets in {} ms, {} passed",
                    sum.stopped,
                    in_force.as_millis(),
                    sum.passed
                );
                let has_bitten = sum.stopped > 0 && sum.passed == 0;
                Ok(Healed { healed_ns: clock::now_ns(), evidence: Some(counted), has_bitten })
            }
        }
    }
}

/// The counters are read before the change is undone: what passes afterwards is not the fault's.
fn reshape(
    links: &Links,
    change: Change,
    lanes: &[(ProxyName, Direction, Tally)],
    waiting: u64,
    in_force: Duration,
) -> Result<Healed> {
    let mut sum = Tally::default();
    for (name, direction, before) in lanes {
        let proxy = links.proxy(*name)?;
        let counted = proxy.tally(*direction).since(before);
        sum = sum.plus(&counted);
    }
    let waiting = kept_waiting(links, lanes)? - waiting;
    for (name, direction, _) in lanes {
        links.proxy(*name)?.change(*direction, |shape| change.undo(shape));
    }
    let healed_ns = clock::now_ns();
    Ok(Healed {
        healed_ns,
        evidence: Some(words(change, &sum, waiting, in_force)),
        has_bitten: change.has_bitten(&sum, waiting),
    })
}

fn words(change: Change, counted: &Tally, waiting: u64, in_force: Duration) -> String {
    let Tally { bytes_passed, pieces_delayed, bytes_withheld, bytes_swallowed, connections_unread, .. } = counted;
    let (held_ms, in_force_ms) = (counted.held_max.as_millis(), in_force.as_millis());
    match change {
        Change::Delay(_) | Change::Jitter(_) | Change::Rate(_) => format!(
            "in {in_force_ms} ms the proxies held back {pieces_delayed} pieces, one of them for {held_ms} ms; {bytes_passed} bytes passed"
        ),
        Change::Passage(Passage::Stalled | Passage::Open) => format!(
            "in {in_force_ms} ms the proxies left {connections_unread} connections unread that had something to say"
        ),
        Change::Passage(Passage::Cut) => format!(
            "in {in_force_ms} ms {bytes_passed} bytes passed, {bytes_withheld} were withheld, {waiting} new connections waited"
        ),
        Change::Passage(Passage::Swallowing) => format!(
            "in {in_force_ms} ms {bytes_passed} bytes passed, {bytes_swallowed} were swallowed, {waiting} new connections waited"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_undoes_only_itself() {
        let mut shape = Shape::default();
        let changes = [
            Change::Delay(Duration::from_millis(1)),
            Change::Jitter(Duration::from_millis(2)),
            Change::Rate(std::num::NonZeroU64::MIN),
            Change::Passage(Passage::Cut),
        ];
        for change in changes {
            let before = shape;
            change.apply(&mut shape);
            assert_ne!(shape, before);
            let mut undone = shape;
            change.undo(&mut undone);
            assert_eq!(undone, before, "{change:?}");
        }
    }

    #[test]
    fn a_fault_that_left_no_trace_has_not_bitten() {
        let nothing = Tally::default();
        let check = |change: Change, counted: Tally, waiting: u64| {
            assert!(!change.has_bitten(&nothing, 0), "{change:?}");
            assert!(change.has_bitten(&counted, waiting), "{change:?}");
            let leak = Tally { bytes_passed: 1, ..counted };
            let is_tight = matches!(change, Change::Passage(Passage::Cut | Passage::Swallowing));
            assert_eq!(change.has_bitten(&leak, waiting), !is_tight, "{change:?}");
        };
        let delay = Duration::from_millis(50);
        let delayed = Tally { pieces_delayed: 1, held_max: delay, ..nothing };
        check(Change::Delay(delay), delayed, 0);
        assert!(!Change::Delay(delay * 2).has_bitten(&delayed, 0));
        check(Change::Jitter(delay), delayed, 0);
        check(Change::Rate(std::num::NonZeroU64::MIN), delayed, 0);
        check(Change::Passage(Passage::Stalled), Tally { connections_unread: 1, ..nothing }, 0);
        check(Change::Passage(Passage::Cut), Tally { bytes_withheld: 1, ..nothing }, 0);
        check(Change::Passage(Passage::Cut), nothing, 1);
        check(Change::Passage(Passage::Swallowing), Tally { bytes_swallowed: 1, ..nothing }, 0);
    }
}
