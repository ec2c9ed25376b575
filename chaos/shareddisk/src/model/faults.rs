//! Faults: which operations they hit, what they do to them, and the proof that they did.
//!
//! Owns the rules and their counters. It decides only: delays are kept by the caller, effects carried out by the model.

use super::{HostId, Ino, Nanos};
use nix::errno::Errno;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Classes of operations, as faults and the log name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Operation {
    /// Bytes are read.
    Read,
    /// Bytes are written, also when the write is a sync at the same time.
    Write,
    /// A file is synced.
    Fsync,
    /// A directory is synced.
    Fsyncdir,
    /// A file or directory is opened.
    Open,
    /// A name or attributes are asked for, or a directory is listed.
    Lookup,
    /// A file, directory or symbolic link is made.
    Create,
    /// A name is removed.
    Unlink,
    /// A name is moved.
    Rename,
    /// A further name is made.
    Link,
    /// Attributes are set, the length among them.
    Truncate,
    /// Space is allocated or given back.
    Allocate,
    /// A lock is asked for or given up.
    Lock,
    /// A descriptor is closed.
    Close,
}

impl Operation {
    /// Whether it changes the disk.
    fn changes(self) -> bool {
        use Operation::{Allocate, Create, Link, Rename, Truncate, Unlink, Write};
        matches!(self, Write | Create | Unlink | Rename | Link | Truncate | Allocate)
    }
}

/// How long an operation takes longer, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "distribution")]
pub enum Latency {
    /// Always the same.
    Fixed {
        /// The delay.
        us: u64,
    },
    /// Anything between two bounds, both included.
    Uniform {
        /// The least.
        us_min: u64,
        /// The most.
        us_max: u64,
    },
    /// Exponential: many short delays, few long ones; cut at ten times the mean.
    Exponential {
        /// The mean.
        us_mean: u64,
    },
}

impl Latency {
    fn draw(self, random: &mut fastrand::Rng) -> Nanos {
        let us = match self {
            Self::Fixed { us } => us,
            Self::Uniform { us_min, us_max } => random.u64(us_min..=us_max.max(us_min)),
            Self::Exponential { us_mean } => {
                let drawn = -(1.0 - random.f64()).ln() * us_mean as f64;
                (drawn as u64).min(us_mean.saturating_mul(10))
            }
        };
        us * 1000
    }
}

/// What a fault does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum FaultKind {
    /// Operations take longer.
    Latency(Latency),
    /// Operations are not answered until the fault is removed.
    Hang,
    /// Operations fail with an error of the operating system, such as EIO or ENOSPC; nothing is done.
    Error {
        /// Its name.
        errno: ErrnoName,
    },
    /// No more than this many bytes can be allocated beyond what is; what has its place can be written.
    Full {
        /// In bytes.
        free_bytes: u64,
    },
    /// What changes the disk fails with EROFS.
    ReadOnly,
    /// Writes take only a part of their bytes, whole blocks of 512 where they can, and say so.
    ShortWrite,
    /// A part of the write's sectors reaches the disk, the others do not; the write fails with EIO.
    TornWrite {
        /// 512 or 4096.
        sector_bytes: u64,
    },
    /// Syncs, and writes that are syncs, fail with EIO. Nothing becomes durable by them.
    FsyncError {
        /// All later syncs of that file fail too; otherwise the bytes count as clean and are never written, as Linux does.
        sticky: bool,
    },
    /// Syncs, and writes that are syncs, succeed, and nothing becomes durable by them.
    LyingFsync,
    /// One bit of what is read, or of what is written, is inverted.
    BitFlip,
    /// Reads give what other hosts had written when the fault began.
    StaleRead,
    /// Reads and writes share a rate.
    Bandwidth {
        /// Its amount.
        bytes_per_second: u64,
    },
}

/// An error of the operating system, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(clippy::upper_case_acronyms, reason = "these are their names")]
pub enum ErrnoName {
    /// Input/output error.
    EIO,
    /// No space left on device.
    ENOSPC,
    /// Disk quota exceeded.
    EDQUOT,
    /// Read-only file system.
    EROFS,
    /// Stale file handle.
    ESTALE,
    /// Operation not permitted.
    EPERM,
    /// Permission denied.
    EACCES,
    /// Connection timed out.
    ETIMEDOUT,
    /// No locks available.
    ENOLCK,
}

impl ErrnoName {
    fn errno(self) -> Errno {
        match self {
            Self::EIO => Errno::EIO,
            Self::ENOSPC => Errno::ENOSPC,
            Self::EDQUOT => Errno::EDQUOT,
            Self::EROFS => Errno::EROFS,
            Self::ESTALE => Errno::ESTALE,
            Self::EPERM => Errno::EPERM,
            Self::EACCES => Errno::EACCES,
            Self::ETIMEDOUT => Errno::ETIMEDOUT,
            Self::ENOLCK => Errno::ENOLCK,
        }
    }
}

/// A fault and which operations it hits: all that it can, unless narrowed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FaultSpec {
    /// Only on this host, by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Only on paths below the mount that match, such as `/store/sync-msgs.db/*`; `*` crosses folders.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Only these operations.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub operations: Vec<Operation>,
    /// Each operation is hit with this probability.
    #[serde(default = "always")]
    pub probability: f64,
    /// So many matching operations pass before the first is hit.
    #[serde(default)]
    pub skip: u64,
    /// At most so many are hit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// What it does.
    #[serde(flatten)]
    pub kind: FaultKind,
}

fn always() -> f64 {
    1.0
}

impl FaultSpec {
    /// A fault on everything that it can hit.
    pub fn new(kind: FaultKind) -> Self {
        Self { host: None, path: None, operations: Vec::new(), probability: 1.0, skip: 0, count: None, kind }
    }
}

/// Why a fault is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum FaultError {
    /// The probability is no probability; give one from 0 to 1.
    #[error("a probability is from 0 to 1")]
    Probability,
    /// The path is no pattern.
    #[error("{pattern}: not a pattern of paths: {why}")]
    Path {
        /// What was given.
        pattern: String,
        /// What the parser said.
        why: &'static str,
    },
    /// The host does not exist.
    #[error("no host is called {0}")]
    Host(String),
    /// Sectors have 512 or 4096 bytes.
    #[error("a sector has 512 or 4096 bytes, not {0}")]
    Sector(u64),
    /// A rate of nothing never ends; use a hang.
    #[error("a bandwidth is at least one byte a second")]
    Bandwidth,
    /// There are as many faults as are kept.
    #[error("no more than {FAULTS_MAX} faults can be set")]
    TooMany,
}

/// Faults that may be set at the same time, removed ones included: their counters stay until they are read.
pub const FAULTS_MAX: usize = 64;

/// The number of a fault, in the order in which they were set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FaultId(pub u64);

/// The proof of a fault's effect.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FaultReport {
    /// Which.
    pub id: FaultId,
    /// What it was told to do.
    pub spec: FaultSpec,
    /// Whether it is still set.
    pub active: bool,
    /// Operations that it could have hit.
    pub matched: u64,
    /// Operations that it hit.
    pub hit: u64,
    /// CLOCK_MONOTONIC of the first hit, in nanoseconds.
    pub first_ns: Option<Nanos>,
    /// CLOCK_MONOTONIC of the last hit, in nanoseconds.
    pub last_ns: Option<Nanos>,
}

/// What is known of an operation before it is carried out.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// On which host.
    pub host: HostId,
    /// Its class.
    pub operation: Operation,
    /// On which file or, for names, directory.
    pub ino: Ino,
    /// Its path below the mount.
    pub path: &'a Path,
    /// Bytes read or written.
    pub len: u64,
    /// Whether it makes something durable.
    pub syncs: bool,
    /// Blocks that it needs and the file does not have.
    pub new_blocks: u64,
}

/// What a sync does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncFault {
    /// Fails; what was written stays to be written.
    Fails,
    /// Fails; what was written counts as clean.
    FailsClean,
    /// Succeeds without having done anything.
    Lies,
}

/// What the faults do to one operation, all together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Effects {
    /// It takes that much longer.
    pub delay_ns: Nanos,
    /// It is not answered until this fault is removed.
    pub held_by: Option<FaultId>,
    /// It fails; nothing is done.
    pub error: Option<Errno>,
    /// Only so many bytes are written.
    pub short: Option<u64>,
    /// Sectors of this size arrive or not, by this seed.
    pub torn: Option<(u64, u64)>,
    /// This sync does something wrong.
    pub sync: Option<SyncFault>,
    /// The bit with this number, modulo the length, is inverted.
    pub flipped: Option<u64>,
    /// The read sees the past of this fault.
    pub stale: Option<FaultId>,
    /// Which faults hit.
    pub faults: Vec<FaultId>,
}

#[derive(Debug)]
struct Active {
    spec: FaultSpec,
    host: Option<HostId>,
    pattern: Option<glob::Pattern>,
    active: bool,
    matched: u64,
    hit: u64,
    first_ns: Option<Nanos>,
    last_ns: Option<Nanos>,
    /// Files whose sync has failed for good.
    stuck: BTreeSet<(HostId, Ino)>,
    /// When the rate has room again.
    free_at: Nanos,
    /// Blocks that may still be allocated.
    free_blocks: u64,
}

/// All faults.
#[derive(Debug)]
pub(super) struct Injector {
    faults: BTreeMap<FaultId, Active>,
    next: u64,
    random: fastrand::Rng,
}

impl Injector {
    /// No faults; `seed` decides what chance decides.
    pub(super) fn new(seed: u64) -> Self {
        Self { faults: BTreeMap::new(), next: 1, random: fastrand::Rng::with_seed(seed) }
    }

    /// Sets a fault. `host` resolves the name of a host.
    pub(super) fn add(
        &mut self,
        spec: FaultSpec,
        host: impl Fn(&str) -> Option<HostId>,
    ) -> Result<FaultId, FaultError> {
        if self.faults.len() >= FAULTS_MAX {
            return Err(FaultError::TooMany);
        }
        if !(0.0..=1.0).contains(&spec.probability) {
            return Err(FaultError::Probability);
        }
        match spec.kind {
            FaultKind::TornWrite { sector_bytes } if ![512, 4096].contains(&sector_bytes) => {
                return Err(FaultError::Sector(sector_bytes));
            }
            FaultKind::Bandwidth { bytes_per_second: 0 } => return Err(FaultError::Bandwidth),
            _ => {}
        }
        let resolve = |name: &String| host(name).ok_or_else(|| FaultError::Host(name.clone()));
        let on = spec.host.as_ref().map(resolve).transpose()?;
        let compile = |pattern: &String| {
            let refused = |error: glob::PatternError| FaultError::Path { pattern: pattern.clone(), why: error.msg };
            glob::Pattern::new(pattern).map_err(refused)
        };
        let pattern = spec.path.as_ref().map(compile).transpose()?;
        let free_blocks = if let FaultKind::Full { free_bytes } = spec.kind { free_bytes / 4096 } else { 0 };
        let id = FaultId(self.next);
        self.next += 1;
        let fault = Active {
            spec,
            host: on,
            pattern,
            active: true,
            matched: 0,
            hit: 0,
            first_ns: None,
            last_ns: None,
            stuck: BTreeSet::new(),
            free_at: 0,
            free_blocks,
        };
        self.faults.insert(id, fault);
        Ok(id)
    }

    /// Ends a fault; its counters stay. Whether it was set.
    pub(super) fn remove(&mut self, id: FaultId) -> bool {
        self.faults.get_mut(&id).is_some_and(|fault| std::mem::replace(&mut fault.active, false))
    }

    /// Ends all faults.
    pub(super) fn remove_all(&mut self) {
        self.faults.values_mut().for_each(|fault| fault.active = false);
    }

    /// Whether a fault is still set.
    pub(super) fn is_active(&self, id: FaultId) -> bool {
        self.faults.get(&id).is_some_and(|fault| fault.active)
    }

    /// The proofs of all faults, also of those that were removed.
    pub(super) fn reports(&self) -> Vec<FaultReport> {
        let report = |(&id, fault): (&FaultId, &Active)| FaultReport {
            id,
            spec: fault.spec.clone(),
            active: fault.active,
            matched: fault.matched,
            hit: fault.hit,
            first_ns: fault.first_ns,
            last_ns: fault.last_ns,
        };
        self.faults.iter().map(report).collect()
    }

    /// Which faults let reads see the past.
    pub(super) fn stale_readers(&self) -> Vec<FaultId> {
        let stale = |fault: &Active| fault.active && fault.spec.kind == FaultKind::StaleRead;
        self.faults.iter().filter(|(_, fault)| stale(fault)).map(|(&id, _)| id).collect()
    }

    /// What the faults do to an operation that arrives at `now`. Each call counts.
    pub(super) fn decide(&mut self, now: Nanos, head: &Head<'_>) -> Effects {
        let mut effects = Effects::default();
        let random = &mut self.random;
        for (&id, fault) in self.faults.iter_mut().filter(|(_, fault)| fault.active) {
            if !fault.matches(head) {
                continue;
            }
            fault.matched += 1;
            if fault.is_due(head, random) && fault.add_to(now, id, head, &mut effects, random) {
                fault.hit += 1;
                fault.first_ns.get_or_insert(now);
                fault.last_ns = Some(now);
                effects.faults.push(id);
            }
        }
        effects
    }
}

impl Active {
    fn matches(&self, head: &Head<'_>) -> bool {
        let host = self.host.is_none_or(|host| host == head.host);
        let operation = self.spec.operations.is_empty() || self.spec.operations.contains(&head.operation);
        host && operation && self.can_hit(head) && self.pattern.as_ref().is_none_or(|p| p.matches_path(head.path))
    }

    /// What it makes sense for.
    fn can_hit(&self, head: &Head<'_>) -> bool {
        use Operation::{Allocate, Close, Read, Write};
        match self.spec.kind {
            FaultKind::Latency(_) | FaultKind::Hang | FaultKind::Error { .. } => head.operation != Close,
            FaultKind::Full { .. } => matches!(head.operation, Write | Allocate) && head.new_blocks > 0,
            FaultKind::ReadOnly => head.operation.changes(),
            FaultKind::ShortWrite | FaultKind::TornWrite { .. } => head.operation == Write,
            FaultKind::FsyncError { .. } | FaultKind::LyingFsync => head.syncs,
            FaultKind::BitFlip => matches!(head.operation, Read | Write) && head.len > 0,
            FaultKind::StaleRead => head.operation == Read,
            FaultKind::Bandwidth { .. } => matches!(head.operation, Read | Write),
        }
    }

    fn is_due(&mut self, head: &Head<'_>, random: &mut fastrand::Rng) -> bool {
        if self.stuck.contains(&(head.host, head.ino)) {
            return true;
        }
        let counted = self.matched > self.spec.skip && self.spec.count.is_none_or(|count| self.hit < count);
        counted && (self.spec.probability >= 1.0 || random.f64() < self.spec.probability)
    }

    /// Adds its effect. Whether it had one.
    fn add_to(
        &mut self,
        now: Nanos,
        id: FaultId,
        head: &Head<'_>,
        effects: &mut Effects,
        random: &mut fastrand::Rng,
    ) -> bool {
        match self.spec.kind {
            FaultKind::Latency(latency) => effects.delay_ns += latency.draw(random),
            FaultKind::Hang => effects.held_by = Some(id),
            FaultKind::Error { errno } => effects.error = Some(errno.errno()),
            FaultKind::Full { .. } if head.new_blocks <= self.free_blocks => {
                self.free_blocks -= head.new_blocks;
                return false;
            }
            FaultKind::Full { .. } => effects.error = Some(Errno::ENOSPC),
            FaultKind::ReadOnly => effects.error = Some(Errno::EROFS),
            FaultKind::ShortWrite if head.len < 2 => return false,
            FaultKind::ShortWrite => effects.short = Some(short(head.len, random)),
            FaultKind::TornWrite { sector_bytes } => effects.torn = Some((sector_bytes, random.u64(..))),
            FaultKind::FsyncError { sticky: true } => {
                self.stuck.insert((head.host, head.ino));
                effects.sync = Some(SyncFault::Fails);
            }
            FaultKind::FsyncError { sticky: false } => effects.sync = Some(SyncFault::FailsClean),
            FaultKind::LyingFsync => effects.sync = Some(SyncFault::Lies),
            FaultKind::BitFlip => effects.flipped = Some(random.u64(..)),
            FaultKind::StaleRead => effects.stale = Some(id),
            FaultKind::Bandwidth { bytes_per_second } => {
                let begins = self.free_at.max(now);
                self.free_at = begins + head.len.saturating_mul(1_000_000_000) / bytes_per_second;
                effects.delay_ns += self.free_at - now;
            }
        }
        true
    }
}

/// A part of a write: a whole number of sectors where it has more than one.
fn short(len: u64, random: &mut fastrand::Rng) -> u64 {
    let unit = if len > 512 { 512 } else { 1 };
    random.u64(1..len.div_ceil(unit)) * unit
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(operation: Operation, path: &Path) -> Head<'_> {
        Head { host: HostId(0), operation, ino: Ino(5), path, len: 8192, syncs: false, new_blocks: 0 }
    }

    fn injector(specs: impl IntoIterator<Item = FaultSpec>) -> Injector {
        let mut injector = Injector::new(1);
        for spec in specs {
            injector.add(spec, |name| (name == "hostA").then_some(HostId(0))).expect("it is a good fault");
        }
        injector
    }

    fn hang() -> FaultSpec {
        FaultSpec::new(FaultKind::Hang)
    }

    fn is_hit(injector: &mut Injector, head: &Head<'_>) -> bool {
        !injector.decide(1, head).faults.is_empty()
    }

    #[test]
    fn host_path_and_operation_narrow_a_fault() {
        let spec = FaultSpec {
            host: Some("hostA".into()),
            path: Some("/store/*".into()),
            operations: vec![Operation::Write],
            ..hang()
        };
        let mut injector = injector([spec]);
        let path = Path::new("/store/meta.db/owner.1");
        assert!(is_hit(&mut injector, &head(Operation::Write, path)));
        assert!(!is_hit(&mut injector, &head(Operation::Read, path)));
        assert!(!is_hit(&mut injector, &head(Operation::Write, Path::new("/other"))));
        assert!(!is_hit(&mut injector, &Head { host: HostId(1), ..head(Operation::Write, path) }));
        let [report] = &injector.reports()[..] else { panic!("one fault") };
        assert_eq!((report.matched, report.hit, report.first_ns), (1, 1, Some(1)));
    }

    #[test]
    fn skip_and_count_choose_the_nth() {
        let mut injector = injector([FaultSpec { skip: 2, count: Some(3), ..hang() }]);
        let hits: Vec<bool> = (0..8).map(|_| is_hit(&mut injector, &head(Operation::Read, Path::new("/")))).collect();
        assert_eq!(hits, [false, false, true, true, true, false, false, false]);
        assert_eq!(injector.reports()[0].matched, 8);
    }

    #[test]
    fn a_probability_is_kept_and_the_seed_repeats_it() {
        let count = || {
            let mut injector = injector([FaultSpec { probability: 0.25, ..hang() }]);
            (0..4000).filter(|_| is_hit(&mut injector, &head(Operation::Read, Path::new("/")))).count()
        };
        assert!((850..1150).contains(&count()), "{}", count());
        assert_eq!(count(), count());
    }

    #[test]
    fn a_removed_fault_hits_nothing_and_keeps_its_proof() {
        let mut injector = injector([hang()]);
        let read = head(Operation::Read, Path::new("/"));
        assert!(is_hit(&mut injector, &read));
        assert!(injector.remove(FaultId(1)) && !injector.remove(FaultId(1)));
        assert!(!is_hit(&mut injector, &read));
        assert_eq!((injector.reports()[0].hit, injector.reports()[0].active), (1, false));
    }

    #[test]
    fn allocated_space_is_never_refused() {
        let mut injector = injector([FaultSpec::new(FaultKind::Full { free_bytes: 3 * 4096 })]);
        let mut write = |new_blocks| {
            let head = Head { new_blocks, ..head(Operation::Write, Path::new("/")) };
            injector.decide(1, &head).error
        };
        assert_eq!(
            [write(2), write(2), write(1), write(1), write(0)],
            [None, Some(Errno::ENOSPC), None, Some(Errno::ENOSPC), None]
        );
    }

    #[test]
    fn a_sticky_error_of_a_sync_stays_with_the_file_and_the_other_kind_does_not() {
        let sync = |ino| Head { syncs: true, ino: Ino(ino), ..head(Operation::Fsync, Path::new("/")) };
        let once = |sticky| FaultSpec { count: Some(1), ..FaultSpec::new(FaultKind::FsyncError { sticky }) };
        let mut sticky = injector([once(true)]);
        let verdicts = [1, 1, 2].map(|ino| sticky.decide(1, &sync(ino)).sync);
        assert_eq!(verdicts, [Some(SyncFault::Fails), Some(SyncFault::Fails), None]);
        let mut clean = injector([once(false)]);
        let verdicts = [1, 1].map(|ino| clean.decide(1, &sync(ino)).sync);
        assert_eq!(verdicts, [Some(SyncFault::FailsClean), None]);
    }

    #[test]
    fn a_rate_is_shared_by_all_that_wait_for_it() {
        let kind = FaultKind::Bandwidth { bytes_per_second: 8192 };
        let mut injector = injector([FaultSpec::new(kind)]);
        let delays =
            [0, 0, 10_000_000_000].map(|now| injector.decide(now, &head(Operation::Write, Path::new("/"))).delay_ns);
        assert_eq!(delays, [1_000_000_000, 2_000_000_000, 1_000_000_000]);
    }

    #[test]
    fn latencies_stay_in_their_distribution() {
        let mut random = fastrand::Rng::with_seed(3);
        let mut draw = |latency: Latency| (0..2000).map(|_| latency.draw(&mut random) / 1000).collect::<Vec<u64>>();
        assert!(draw(Latency::Fixed { us: 7 }).iter().all(|&us| us == 7));
        assert!(draw(Latency::Uniform { us_min: 5, us_max: 9 }).iter().all(|us| (5..=9).contains(us)));
        let drawn = draw(Latency::Exponential { us_mean: 1000 });
        let mean = drawn.iter().sum::<u64>() / 2000;
        assert!((850..1150).contains(&mean) && drawn.iter().all(|&us| us <= 10_000), "{mean}");
    }

    #[test]
    fn nonsense_is_refused() {
        let mut injector = Injector::new(1);
        let mut add = |spec| injector.add(spec, |_| None);
        assert_eq!(add(FaultSpec { probability: 1.5, ..hang() }), Err(FaultError::Probability));
        assert_eq!(add(FaultSpec { host: Some("hostZ".into()), ..hang() }), Err(FaultError::Host("hostZ".into())));
        assert!(matches!(add(FaultSpec { path: Some("a***".into()), ..hang() }), Err(FaultError::Path { .. })));
        let torn = FaultKind::TornWrite { sector_bytes: 100 };
        assert_eq!(add(FaultSpec::new(torn)), Err(FaultError::Sector(100)));
    }

    #[test]
    fn a_fault_reads_as_people_write_it() {
        let text = r#"{"host":"hostA","operations":["write"],"kind":"latency","distribution":"fixed","us":500}"#;
        let spec: FaultSpec = serde_json::from_str(text).expect("it is a fault");
        let latency = FaultKind::Latency(Latency::Fixed { us: 500 });
        assert_eq!(
            spec,
            FaultSpec { host: Some("hostA".into()), operations: vec![Operation::Write], ..FaultSpec::new(latency) }
        );
    }
}
