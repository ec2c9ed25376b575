//! File locks of all hosts, and the leases under which hosts hold them.
//!
//! Owns who may lock what, and when a silent host loses its locks. Two keys cover the three kinds of locks: a lock goes with its
//! owner's close of any descriptor of the file (POSIX locks belong to a process), and with the end of the open file that took it
//! (OFD locks and flock). Ranges and flock exclude each other, as over NFS: FUSE does not tell us which is which.

use super::{Handle, HostId, Ino, Nanos};
use nix::errno::Errno;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What a lock excludes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockKind {
    /// Writers only.
    Shared,
    /// Everybody.
    Exclusive,
}

/// A request for a range of a file. `end` is inclusive, as in FUSE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lock {
    /// Whose.
    pub host: HostId,
    /// The process, for POSIX locks, or the open file, as the host's kernel numbers them.
    pub owner: u64,
    /// The open file that took it.
    pub handle: Handle,
    /// The process that took it, for `F_GETLK`.
    pub pid: u32,
    /// What it excludes.
    pub kind: LockKind,
    /// First byte.
    pub start: u64,
    /// Last byte.
    pub end: u64,
}

impl Lock {
    fn overlaps(&self, other: &Self) -> bool {
        self.start <= other.end && other.start <= self.end
    }

    fn same_owner(&self, other: &Self) -> bool {
        (self.host, self.owner) == (other.host, other.owner)
    }

    fn excludes(&self, other: &Self) -> bool {
        let exclusive = [self.kind, other.kind].contains(&LockKind::Exclusive);
        exclusive && self.overlaps(other) && !self.same_owner(other)
    }
}

/// How a host that lost its locks finds out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnLoss {
    /// Its next operation on a file whose lock it lost fails with EIO, as NFS does since Linux 3.12.
    #[default]
    Told,
    /// Not at all: its writes go through.
    Silent,
    /// The disk refuses all that it does until it mounts again.
    Fenced,
}

/// Under which rules hosts hold locks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseRules {
    /// How long after the last renewal a lease holds.
    pub lease_ns: Nanos,
    /// How long the server waits beyond that before it gives the locks to others.
    pub grace_ns: Nanos,
    /// What a host that lost its locks is told.
    pub on_loss: OnLoss,
}

/// One host's lease.
///
/// ```text
///           renewals stop             lease and grace are over
/// Current ----------------> Lapsing --------------------------> Lost
///    ^                         |                                  |
///    +---- renewed in time ----+                                  |
///    +--------------- renewed: a new lease, without locks --------+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LeaseState {
    /// Renewed all the time.
    Current,
    /// Not renewed any more; its locks still hold.
    Lapsing,
    /// Its locks are gone.
    Lost,
}

impl LeaseState {
    /// Whether the drawing has an arrow from here to `next`.
    pub fn can_become(self, next: Self) -> bool {
        use LeaseState::{Current, Lapsing, Lost};
        matches!((self, next), (Current, Lapsing) | (Lapsing, Current | Lost) | (Lost, Current))
    }
}

#[derive(Debug)]
struct Lease {
    state: LeaseState,
    /// When the locks go; meaningful while lapsing.
    ends_ns: Nanos,
    /// Open files whose lock was lost while they were open.
    lost_handles: BTreeSet<Handle>,
}

/// The lock server. Its table is bounded by what hosts hold open.
#[derive(Debug)]
pub(super) struct Locks {
    rules: LeaseRules,
    table: BTreeMap<Ino, Vec<Lock>>,
    leases: BTreeMap<HostId, Lease>,
}

impl Locks {
    /// No locks; every host has a current lease.
    pub(super) fn new(rules: LeaseRules, hosts: impl IntoIterator<Item = HostId>) -> Self {
        let lease = || Lease { state: LeaseState::Current, ends_ns: 0, lost_handles: BTreeSet::new() };
        Self { rules, table: BTreeMap::new(), leases: hosts.into_iter().map(|host| (host, lease())).collect() }
    }

    /// The state of a host's lease.
    pub(super) fn lease(&self, host: HostId) -> LeaseState {
        self.leases.get(&host).map_or(LeaseState::Lost, |lease| lease.state)
    }

    /// How many locks a host holds.
    pub(super) fn held(&self, host: HostId) -> usize {
        self.table.values().flatten().filter(|lock| lock.host == host).count()
    }

    /// From `now` on, what a host that loses its locks is told.
    pub(super) fn set_on_loss(&mut self, on_loss: OnLoss) {
        self.rules.on_loss = on_loss;
    }

    /// The lock that stands in the way, if one does.
    pub(super) fn conflict(&self, ino: Ino, wanted: &Lock) -> Option<Lock> {
        self.table.get(&ino)?.iter().find(|lock| lock.excludes(wanted)).copied()
    }

    /// Takes a lock, or changes the kind of one that the owner has.
    pub(super) fn lock(&mut self, ino: Ino, wanted: Lock) -> Result<(), Errno> {
        if self.lease(wanted.host) == LeaseState::Lost {
            return Err(Errno::ENOLCK);
        }
        if self.conflict(ino, &wanted).is_some() {
            return Err(Errno::EAGAIN);
        }
        self.unlock(ino, &wanted);
        self.table.entry(ino).or_default().push(wanted);
        Ok(())
    }

    /// Gives up the owner's locks in the range; what reaches out of it stays.
    pub(super) fn unlock(&mut self, ino: Ino, range: &Lock) {
        let Some(locks) = self.table.get_mut(&ino) else { return };
        let mut rest = Vec::new();
        locks.retain(|lock| {
            let hit = lock.same_owner(range) && lock.overlaps(range);
            if hit && lock.start < range.start {
                rest.push(Lock { end: range.start - 1, ..*lock });
            }
            if hit && lock.end > range.end {
                rest.push(Lock { start: range.end + 1, ..*lock });
            }
            !hit
        });
        locks.extend(rest);
    }

    /// A process closed a descriptor of the file: its POSIX locks on it are gone.
    pub(super) fn closed_by(&mut self, ino: Ino, host: HostId, owner: u64) {
        self.keep(|at, lock| at != ino || (lock.host, lock.owner) != (host, owner));
    }

    /// An open file is gone: all that was locked through it is free.
    pub(super) fn released(&mut self, handle: Handle) {
        self.keep(|_, lock| lock.handle != handle);
        for lease in self.leases.values_mut() {
            lease.lost_handles.remove(&handle);
        }
    }

    fn keep(&mut self, kept: impl Fn(Ino, &Lock) -> bool) {
        self.table.retain(|&ino, locks| {
            locks.retain(|lock| kept(ino, lock));
            !locks.is_empty()
        });
    }

    /// The host is not heard any more, from `now` on.
    pub(super) fn stop_renewing(&mut self, host: HostId, now: Nanos) {
        let rules = self.rules;
        if let Some(lease) = self.leases.get_mut(&host).filter(|lease| lease.state == LeaseState::Current) {
            lease.state = LeaseState::Lapsing;
            lease.ends_ns = now + rules.lease_ns + rules.grace_ns;
        }
    }

    /// The host is heard again. Has it lost its locks, it starts anew, and still finds out by the rules; one that was fenced stays so.
    pub(super) fn renew(&mut self, host: HostId) {
        let fenced = self.rules.on_loss == OnLoss::Fenced;
        if let Some(lease) = self.leases.get_mut(&host)
            && !(fenced && lease.state == LeaseState::Lost)
        {
            lease.state = LeaseState::Current;
        }
    }

    /// The host mounts again: its former self is gone, with all that it held, and what it has lost.
    pub(super) fn mounted_again(&mut self, host: HostId) {
        self.keep(|_, lock| lock.host != host);
        if let Some(lease) = self.leases.get_mut(&host) {
            lease.state = LeaseState::Current;
            lease.lost_handles.clear();
        }
    }

    /// Ends the leases whose time is over. Gives the hosts that lost their locks, and how many.
    pub(super) fn lapse(&mut self, now: Nanos) -> Vec<(HostId, usize)> {
        let over = |lease: &Lease| lease.state == LeaseState::Lapsing && lease.ends_ns <= now;
        let hosts: Vec<HostId> = self.leases.iter().filter(|(_, lease)| over(lease)).map(|(&host, _)| host).collect();
        hosts.into_iter().map(|host| (host, self.lose(host))).collect()
    }

    fn lose(&mut self, host: HostId) -> usize {
        let lost: Vec<Handle> =
            self.table.values().flatten().filter(|lock| lock.host == host).map(|lock| lock.handle).collect();
        self.keep(|_, lock| lock.host != host);
        if let Some(lease) = self.leases.get_mut(&host) {
            lease.state = LeaseState::Lost;
            lease.lost_handles.extend(&lost);
        }
        lost.len()
    }

    /// When the next lease is over.
    pub(super) fn next_at(&self) -> Option<Nanos> {
        let lapsing = self.leases.values().filter(|lease| lease.state == LeaseState::Lapsing);
        lapsing.map(|lease| lease.ends_ns).min()
    }

    /// Whether the disk takes an operation from this host, on an open file if it is on one.
    pub(super) fn admit(&self, host: HostId, handle: Option<Handle>) -> Result<(), Errno> {
        let Some(lease) = self.leases.get(&host) else { return Err(Errno::EIO) };
        let lost = handle.is_some_and(|handle| lease.lost_handles.contains(&handle));
        match self.rules.on_loss {
            OnLoss::Fenced if lease.state == LeaseState::Lost => Err(Errno::EIO),
            OnLoss::Told if lost => Err(Errno::EIO),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: HostId = HostId(0);
    const B: HostId = HostId(1);
    const INO: Ino = Ino(2);
    const SECOND: Nanos = 1_000_000_000;

    fn locks(on_loss: OnLoss) -> Locks {
        Locks::new(LeaseRules { lease_ns: 2 * SECOND, grace_ns: SECOND, on_loss }, [A, B])
    }

    fn whole(host: HostId, owner: u64, handle: u64) -> Lock {
        let kind = LockKind::Exclusive;
        Lock { host, owner, handle: Handle(handle), pid: 1, kind, start: 0, end: u64::MAX }
    }

    #[test]
    fn hosts_exclude_each_other_and_owner_numbers_of_two_hosts_are_not_the_same() {
        let mut locks = locks(OnLoss::Told);
        assert_eq!(locks.lock(INO, whole(A, 7, 1)), Ok(()));
        assert_eq!(locks.lock(INO, whole(B, 7, 2)), Err(Errno::EAGAIN));
        let shared = Lock { kind: LockKind::Shared, ..whole(A, 7, 1) };
        assert_eq!(locks.lock(INO, shared), Ok(()), "an owner changes its own lock");
        assert_eq!(locks.lock(INO, Lock { kind: LockKind::Shared, ..whole(B, 7, 2) }), Ok(()));
        assert_eq!(locks.lock(INO, whole(A, 7, 1)), Err(Errno::EAGAIN));
    }

    #[test]
    fn an_unlock_in_the_middle_leaves_both_ends() {
        let mut locks = locks(OnLoss::Told);
        locks.lock(INO, whole(A, 1, 1)).expect("it is free");
        locks.unlock(INO, &Lock { start: 10, end: 19, ..whole(A, 1, 1) });
        let try_range = |start, end| locks.conflict(INO, &Lock { start, end, ..whole(B, 1, 2) }).is_none();
        assert!(try_range(10, 19) && !try_range(9, 9) && !try_range(20, 20));
    }

    #[test]
    fn the_end_of_a_process_frees_posix_locks_and_the_end_of_an_open_file_the_others() {
        let mut locks = locks(OnLoss::Told);
        let open_file_owner = 99;
        locks.lock(INO, whole(A, open_file_owner, 1)).expect("it is free");
        locks.closed_by(INO, A, 7);
        assert!(locks.conflict(INO, &whole(B, 1, 2)).is_some(), "a process's end says nothing of its open files");
        locks.released(Handle(1));
        assert!(locks.conflict(INO, &whole(B, 1, 2)).is_none());
        locks.lock(INO, whole(A, 7, 3)).expect("it is free");
        locks.closed_by(Ino(3), A, 7);
        locks.closed_by(INO, B, 7);
        assert_eq!(locks.held(A), 1, "another file, another host");
        locks.closed_by(INO, A, 7);
        assert_eq!(locks.held(A), 0, "the close of any descriptor drops it");
    }

    #[test]
    fn a_silent_host_keeps_its_locks_until_lease_and_grace_are_over() {
        let mut locks = locks(OnLoss::Told);
        locks.lock(INO, whole(A, 1, 1)).expect("it is free");
        locks.stop_renewing(A, 10 * SECOND);
        assert_eq!(locks.next_at(), Some(13 * SECOND));
        assert_eq!(locks.lapse(13 * SECOND - 1), []);
        assert_eq!(locks.lock(INO, whole(B, 1, 2)), Err(Errno::EAGAIN));
        assert_eq!(locks.lapse(13 * SECOND), [(A, 1)]);
        assert_eq!(locks.lock(INO, whole(B, 1, 2)), Ok(()));
    }

    #[test]
    fn a_host_that_is_heard_in_time_loses_nothing() {
        let mut locks = locks(OnLoss::Told);
        locks.lock(INO, whole(A, 1, 1)).expect("it is free");
        locks.stop_renewing(A, 0);
        locks.renew(A);
        assert_eq!((locks.lapse(100 * SECOND), locks.held(A)), (vec![], 1));
    }

    /// What `admit` says to A after it has lost its lock: on that open file, on another, and of all after a renewal.
    fn verdicts(on_loss: OnLoss) -> [Result<(), Errno>; 3] {
        let mut locks = locks(on_loss);
        locks.lock(INO, whole(A, 1, 1)).expect("it is free");
        locks.stop_renewing(A, 0);
        locks.lapse(100 * SECOND);
        locks.renew(A);
        assert_eq!(locks.admit(B, Some(Handle(2))), Ok(()), "the other host is not touched");
        let before = [locks.admit(A, Some(Handle(1))), locks.admit(A, Some(Handle(5)))];
        locks.mounted_again(A);
        [before[0], before[1], locks.admit(A, Some(Handle(1)))]
    }

    #[test]
    fn a_host_that_lost_its_locks_finds_out_as_the_rules_say() {
        assert_eq!(verdicts(OnLoss::Told), [Err(Errno::EIO), Ok(()), Ok(())]);
        assert_eq!(verdicts(OnLoss::Silent), [Ok(()), Ok(()), Ok(())]);
        assert_eq!(verdicts(OnLoss::Fenced), [Err(Errno::EIO), Err(Errno::EIO), Ok(())]);
    }

    #[test]
    fn every_edge_of_a_lease_is_walked() {
        use LeaseState::{Current, Lapsing, Lost};
        let mut locks = locks(OnLoss::Silent);
        let mut walked = Vec::new();
        let mut state = locks.lease(A);
        let steps: [fn(&mut Locks); 6] = [
            |locks| locks.stop_renewing(A, 0),
            |locks| locks.renew(A),
            |locks| locks.stop_renewing(A, 0),
            |locks| drop(locks.lapse(100 * SECOND)),
            |locks| locks.stop_renewing(A, 0),
            |locks| locks.renew(A),
        ];
        for step in steps {
            step(&mut locks);
            let next = locks.lease(A);
            if next != state {
                assert!(state.can_become(next), "{state:?} to {next:?}");
                walked.push((state, next));
            }
            state = next;
        }
        assert_eq!(
            walked,
            [(Current, Lapsing), (Lapsing, Current), (Current, Lapsing), (Lapsing, Lost), (Lost, Current)]
        );
        assert!(!Lost.can_become(Lapsing) && !Current.can_become(Lost));
    }
}
