//! Faults of the disk that a pair shares, and of the hosts that use it.
//!
//! Owns what is asked of the disk, and the proof from its counters. The disk itself is the crate `shareddisk`.

use super::network::NetworkFault;
use super::process::{kill, resume, stop_main};
use super::{Bite, Effect, Held, Scene};
use crate::clock::{self, NS_PER_MS, ms_between};
use crate::cluster::{NodeId, SharedDisk, host};
use crate::error::{Error, Result};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use shareddisk::gate::{DiskEvent, EventKind, InFlightRule};
use shareddisk::model::{CrashMode, FaultId, FaultReport, FaultSpec, OnLoss};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// What can be done to the disk, and to a host as the disk sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum DiskFault {
    /// Operations of the victims misbehave; the keys are those of `shareddisk::model::FaultSpec`.
    Disk(FaultSpec),
    /// The host loses power: its links fall silent as far as they can be cut, SIGKILL, its unsynced data is lost, its locks stay until the
    /// lease is over. Healed by giving it its links back and a start of the server.
    CrashHost {
        /// What arrives of what was unsynced or in flight.
        #[serde(default)]
        unsynced: CrashMode,
        /// Whether writes in flight arrive late instead.
        #[serde(default)]
        writes: InFlightRule,
    },
    /// The host stands still with writes in flight, and is cut off from the disk: SIGSTOP. Healed by letting the writes land, then SIGCONT.
    FreezeHost {
        /// What it is told when its locks have gone to others meanwhile.
        #[serde(default)]
        on_loss: OnLoss,
    },
    /// The lock server does not hear the host any more.
    LoseLock {
        /// What it is told when its locks are gone.
        #[serde(default)]
        on_loss: OnLoss,
    },
}

/// What a fault of the disk remembers.
#[derive(Debug, Default)]
pub struct Asked {
    /// Faults that are set.
    faults: Vec<FaultId>,
    /// When it was asked for.
    requested_ns: u64,
}

/// Keys of a fault that need not be there, or are not seen when they have their defaults.
const OPTIONAL_KEYS: [&str; 6] = ["do", "path", "operations", "probability", "skip", "count"];
/// How long a fault may take until the first operation meets it, before the trial goes on without having seen that.
const FIRST_HIT_LIMIT: Duration = Duration::from_secs(3);
/// How long a host may take to have a write in flight.
const IN_FLIGHT_LIMIT: Duration = Duration::from_secs(1);
/// How long the locks may take to be lost: lease and grace, and room.
const LOSS_LIMIT: Duration = Duration::from_secs(5);
/// The disk is asked this often.
const POLL: Duration = Duration::from_millis(2);
/// After SIGKILL the host's mount is cut off, so that a process which waits for the disk can end. Long enough for the signal to be sent.
const CUT_OFF_AFTER: Duration = Duration::from_millis(2);

impl DiskFault {
    /// The names under which scenarios know them.
    pub const NAMES: &[&str] = &["disk", "crash-host", "freeze-host", "lose-lock"];

    /// Reads the table of a scenario; a key that means nothing is an error.
    pub(super) fn from_table(table: toml::Table) -> std::result::Result<Self, toml::de::Error> {
        let fault = Self::deserialize(table.clone())?;
        let known = toml::Table::try_from(&fault).map_err(serde::de::Error::custom)?;
        match table.keys().find(|key| !known.contains_key(*key) && !OPTIONAL_KEYS.contains(&key.as_str())) {
            Some(key) => Err(serde::de::Error::custom(format!("unknown key `{key}`"))),
            None => Ok(fault),
        }
    }

    /// What it is called in reports.
    pub(super) fn words(&self) -> String {
        match self {
            Self::Disk(spec) => words(spec),
            Self::CrashHost { .. } => "host crash".to_owned(),
            Self::FreezeHost { .. } => "host frozen with writes in flight".to_owned(),
            Self::LoseLock { .. } => "lock lease lost".to_owned(),
        }
    }

    /// Whether its victims end.
    pub(super) fn ends_process(&self) -> bool {
        matches!(self, Self::CrashHost { .. })
    }

    pub(super) async fn inject(&self, scene: &mut Scene<'_>) -> Result<Bite> {
        let disk = shared(scene)?;
        match self {
            Self::Disk(spec) => set(disk, spec, scene.nodes).await,
            Self::CrashHost { unsynced, writes } => {
                let mut bite = silence(scene).await?;
                let mut effects = Vec::new();
                for &node in scene.nodes {
                    effects.push(crash(scene, node, (*unsynced, *writes), &mut bite)?);
                }
                bite.effect = Effect::of_each(effects);
                Ok(bite)
            }
            Self::FreezeHost { on_loss } => {
                disk.disk().set_on_loss(*on_loss)?;
                freeze(scene).await
            }
            Self::LoseLock { on_loss } => {
                disk.disk().set_on_loss(*on_loss)?;
                lose_lock(disk, scene.nodes).await
            }
        }
    }

    pub(super) async fn heal(&self, scene: &mut Scene<'_>, bite: &mut Bite) -> Result<u64> {
        if let (Self::CrashHost { .. }, Some(cut)) = (self, NetworkFault::of_a_dead_host(scene.pair.links())) {
            return cut.heal(scene, bite).await;
        }
        let disk = shared(scene)?.disk();
        match self {
            Self::CrashHost { .. } => {}
            Self::Disk(_) => {
                if let Held::Disk(asked) = &bite.held {
                    asked.faults.iter().try_for_each(|&id| disk.remove_fault(id))?;
                }
            }
            Self::FreezeHost { .. } => return thaw(scene, bite),
            Self::LoseLock { .. } => {
                for &node in scene.nodes {
                    disk.renew_lease(host(node))?;
                }
                disk.set_on_loss(OnLoss::Told)?;
            }
        }
        Ok(clock::now_ns())
    }

    /// The counters decide whether a fault of operations has hit any, and when first.
    pub(super) fn examine(&self, scene: &mut Scene<'_>, bite: &mut Bite) -> Result<()> {
        let (Self::Disk(_), Held::Disk(asked)) = (self, &bite.held) else { return Ok(()) };
        let reports = reports(shared(scene)?, &asked.faults)?;
        let requested_ns = asked.requested_ns;
        bite.evidence.extend(reports.iter().map(sentence));
        if bite.effect.is_none() {
            bite.effect = effect(&reports, requested_ns);
        }
        Ok(())
    }
}

fn shared<'a>(scene: &'a Scene<'_>) -> Result<&'a SharedDisk> {
    let missing = || Error::Usage("a fault of the disk needs store_on = \"shared-disk\" in [pair]".to_owned());
    scene.pair.disk().ok_or_else(missing)
}

fn words(spec: &FaultSpec) -> String {
    let table = toml::Table::try_from(spec).unwrap_or_default();
    let text = |key: &str| table.get(key).and_then(toml::Value::as_str).unwrap_or_default().to_owned();
    let operations = table.get("operations").and_then(toml::Value::as_array).into_iter().flatten();
    let operations: Vec<&str> = operations.filter_map(toml::Value::as_str).collect();
    let on = if operations.is_empty() { String::new() } else { format!(" of {}", operations.join(", ")) };
    let errno = text("errno");
    let which = if errno.is_empty() { String::new() } else { format!(" {errno}") };
    format!("disk: {}{which}{on}", text("kind"))
}

/// Sets a fault for each node and waits until an operation has met it.
async fn set(disk: &SharedDisk, spec: &FaultSpec, nodes: &[NodeId]) -> Result<Bite> {
    let mut asked = Asked { requested_ns: clock::now_ns(), ..Asked::default() };
    for &node in nodes {
        let spec = FaultSpec { host: Some(host(node).to_owned()), ..spec.clone() };
        asked.faults.push(disk.disk().add_fault(spec)?);
    }
    let deadline = Instant::now() + FIRST_HIT_LIMIT;
    let effect = loop {
        let found = effect(&reports(disk, &asked.faults)?, asked.requested_ns);
        if found.is_some() || Instant::now() >= deadline {
            break found;
        }
        sleep(POLL).await;
    };
    Ok(Bite { effect, held: Held::Disk(asked), ..Bite::default() })
}

fn reports(disk: &SharedDisk, faults: &[FaultId]) -> Result<Vec<FaultReport>> {
    let report = disk.disk().report()?;
    Ok(report.faults.into_iter().filter(|fault| faults.contains(&fault.id)).collect())
}

/// The first operation that was hit is the effect.
fn effect(reports: &[FaultReport], requested_ns: u64) -> Option<Effect> {
    let effective_ns = reports.iter().filter_map(|report| report.first_ns).min()?;
    let hit: u64 = reports.iter().map(|report| report.hit).sum();
    let proof = format!("the disk's counters: the first operation hit at {effective_ns} ns, {hit} when it was looked");
    Some(Effect { requested_ns, effective_ns, proof })
}

fn sentence(report: &FaultReport) -> String {
    let host = report.spec.host.as_deref().unwrap_or("every host");
    let span_ms = report.first_ns.zip(report.last_ns).map_or(0.0, |(first, last)| ms_between(first, last));
    format!("{host}: {} of {} operations hit, over {span_ms:.1} ms", report.hit, report.matched)
}

/// A dead host tells nobody: no FIN, no RST. What the end of its process would say must not leave it, so its links are cut before.
async fn silence(scene: &mut Scene<'_>) -> Result<Bite> {
    let Some(cut) = NetworkFault::of_a_dead_host(scene.pair.links()) else { return Ok(Bite::default()) };
    let mut bite = cut.inject(scene).await?;
    bite.evidence.extend(bite.effect.take().map(|effect| effect.proof));
    Ok(bite)
}

/// The host's requests stop first, so that the end of its process frees no lock, and its mount is cut off, so that the process ends.
fn crash(
    scene: &Scene<'_>,
    node: NodeId,
    (unsynced, writes): (CrashMode, InFlightRule),
    bite: &mut Bite,
) -> Result<Option<Effect>> {
    let disk = shared(scene)?.disk();
    let pid = pid(scene, node)?;
    disk.freeze(host(node))?;
    let (effect, report) = std::thread::scope(|scope| {
        let cut = scope.spawn(|| {
            std::thread::sleep(CUT_OFF_AFTER);
            disk.crash(host(node), unsynced, writes)
        });
        let effect = kill(pid);
        (effect, cut.join().expect("asking does not panic"))
    });
    let report = report?;
    bite.evidence.push(format!(
        "{}: of {} writes unsynced or in flight ({} in flight) {} did not arrive and {} in part: {} bytes; {} changes of names lost",
        host(node),
        report.writes.max(report.in_flight),
        report.in_flight,
        report.lost,
        report.torn,
        report.lost_bytes,
        report.names_lost
    ));
    if report.claimed_lost_bytes > 0 {
        let host = host(node);
        bite.lied =
            Some(format!("{host} lost {} bytes that the disk had said to be durable", report.claimed_lost_bytes));
    }
    effect
}

fn pid(scene: &Scene<'_>, node: NodeId) -> Result<Pid> {
    let process = scene.pair.process(node).filter(|process| process.exit().is_none());
    let ended = || Error::Usage(format!("{} does not run any more", node.name()));
    Ok(process.ok_or_else(ended)?.pid())
}

async fn freeze(scene: &Scene<'_>) -> Result<Bite> {
    let disk = shared(scene)?.disk();
    let mut bite = Bite::default();
    let mut effects = Vec::new();
    for &node in scene.nodes {
        let pid = pid(scene, node)?;
        disk.freeze(host(node))?;
        let deadline = Instant::now() + IN_FLIGHT_LIMIT;
        let writes = loop {
            let writes = disk.report()?.waiting.get(host(node)).map_or(0, |waits| waits.writes);
            if writes > 0 || Instant::now() >= deadline {
                break writes;
            }
            sleep(POLL).await;
        };
        effects.push(stop_main(pid)?);
        bite.evidence.push(format!("{}: {writes} writes in flight when it stood still", host(node)));
    }
    bite.effect = Effect::of_each(effects);
    Ok(bite)
}

/// What was in flight lands before the process runs on: it finds its writes done, long after the other server took over.
fn thaw(scene: &Scene<'_>, bite: &mut Bite) -> Result<u64> {
    let disk = shared(scene)?.disk();
    let mut effects = Vec::new();
    for &node in scene.nodes {
        let report = disk.thaw(host(node))?;
        let late_ms = report.first_write_ns.map_or(0.0, |arrived_ns| ms_between(arrived_ns, clock::now_ns()));
        bite.evidence.push(format!(
            "{}: {} writes of {} bytes landed {late_ms:.0} ms late, {} were refused; of its unsynced data {} changes landed, {} were refused",
            host(node),
            report.writes_landed,
            report.bytes_landed,
            report.writes_refused,
            report.unsynced.landed,
            report.unsynced.refused
        ));
        if report.writes_landed + report.writes_refused + report.unsynced.landed + report.unsynced.refused == 0 {
            bite.withdraw("nothing was in flight and nothing unsynced: there was nothing to land late");
        }
        effects.extend(resume(pid(scene, node)?)?);
    }
    let Some(effect) = Effect::join(effects) else {
        bite.evidence.push("SIGCONT was not seen to take effect".to_owned());
        return Ok(clock::now_ns());
    };
    bite.evidence.push(effect.proof);
    Ok(effect.effective_ns)
}

/// Waits for the loss itself: until then the lease still holds.
async fn lose_lock(disk: &SharedDisk, nodes: &[NodeId]) -> Result<Bite> {
    let requested_ns = clock::now_ns();
    for &node in nodes {
        disk.disk().expire_lease(host(node))?;
    }
    let deadline = Instant::now() + LOSS_LIMIT;
    loop {
        let events = disk.disk().report()?.events;
        let effect = Effect::of_each(nodes.iter().map(|&node| loss(&events, host(node), requested_ns)));
        if effect.is_some() || Instant::now() >= deadline {
            return Ok(Bite::of(effect));
        }
        sleep(POLL).await;
    }
}

/// That this host has lost locks since then.
fn loss(events: &[DiskEvent], host: &str, requested_ns: u64) -> Option<Effect> {
    let of_host = events.iter().filter(|event| event.host == host && event.t_ns >= requested_ns);
    let mut losses = of_host.filter_map(|event| match event.what {
        EventKind::LocksLost { locks } if locks > 0 => Some((event.t_ns, locks)),
        _ => None,
    });
    let (effective_ns, locks) = losses.next()?;
    let after_ms = (effective_ns - requested_ns) / NS_PER_MS;
    let proof = format!("the disk's lock server: {host} lost {locks} locks after {after_ms} ms");
    Some(Effect { requested_ns, effective_ns, proof })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> std::result::Result<DiskFault, String> {
        DiskFault::from_table(text.parse().expect("it is TOML")).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn a_fault_is_read_as_people_write_it() {
        let fault =
            read("do = 'disk'\nkind = 'error'\nerrno = 'EIO'\noperations = ['write']\ncount = 1").expect("valid");
        assert_eq!(fault.words(), "disk: error EIO of write");
        let text = "do = 'crash-host'\nunsynced = { left = 'torn', sector_bytes = 512 }";
        let torn =
            DiskFault::CrashHost { unsynced: CrashMode::Torn { sector_bytes: 512 }, writes: InFlightRule::AsUnsynced };
        assert_eq!(read(text), Ok(torn));
        assert_eq!(read("do = 'lose-lock'\non_loss = 'silent'"), Ok(DiskFault::LoseLock { on_loss: OnLoss::Silent }));
    }

    #[test]
    fn only_locks_that_the_victim_lost_after_it_was_asked_for_are_evidence() {
        let event = |t_ns, host: &str, what| DiskEvent { t_ns, host: host.to_owned(), what };
        let lost = |locks| EventKind::LocksLost { locks };
        let events = [event(4, "a", lost(1)), event(6, "b", lost(1)), event(7, "a", lost(0))];
        assert_eq!(loss(&events, "a", 5), None);
        assert_eq!(loss(&events, "b", 5).map(|effect| effect.effective_ns), Some(6));
    }

    #[test]
    fn a_key_that_means_nothing_is_refused() {
        let error = read("do = 'disk'\nkind = 'hang'\npaht = '/store/*'").expect_err("paht");
        assert!(error.contains("`paht`"), "{error}");
        assert!(read("do = 'crash-host'\nsynced = 'none'").is_err());
        assert!(read("do = 'disk'\nkind = 'hung'").is_err());
    }

    #[test]
    fn a_plan_keeps_the_fault() {
        let text = "do = 'disk'\nkind = 'latency'\ndistribution = 'uniform'\nus_min = 1\nus_max = 5\npath = '/store/*'";
        let fault = super::super::Fault::from_table(text.parse().expect("it is TOML")).expect("it is a fault");
        let json = serde_json::to_string(&fault).expect("it is data");
        assert_eq!(serde_json::from_str::<super::super::Fault>(&json).expect("it was written"), fault, "{json}");
    }
}
