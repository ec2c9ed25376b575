//! Locks of every kind over both mounts, and when they are freed.

use crate::actor::{Actor, whole_file};
use crate::site::{A, HOLD_LIMIT_MS, Site, eventually, open};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, Flock, FlockArg, fcntl};
use nix::libc;
use shareddisk::gate::{EventKind, InFlightRule};
use shareddisk::model::{CrashMode, FaultKind, FaultSpec, OnLoss, Operation};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

fn posix(file: &File, kind: i32) -> Result<(), Errno> {
    fcntl(file, FcntlArg::F_SETLK(&whole_file(kind))).map(drop)
}

fn open_file(file: &File, kind: i32) -> Result<(), Errno> {
    fcntl(file, FcntlArg::F_OFD_SETLK(&whole_file(kind))).map(drop)
}

fn flock(file: &File) -> Result<Flock<File>, Errno> {
    let file = file.try_clone().expect("a descriptor");
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| errno)
}

const BUSY: Result<(), Errno> = Err(Errno::EAGAIN);

/// Fails when locks stay local to a mount: both hosts would get them, a split brain that no real disk has.
#[test]
fn each_kind_of_lock_excludes_the_other_host() {
    let Some(site) = Site::start() else { return };
    site.file("lock", 0);
    let (of_a, of_b) = (open(&site.a("lock")), open(&site.b("lock")));
    for lock in [posix, open_file] {
        assert_eq!(lock(&of_a, libc::F_WRLCK), Ok(()));
        assert_eq!(lock(&of_b, libc::F_WRLCK), BUSY);
        assert_eq!(lock(&of_b, libc::F_RDLCK), BUSY);
        assert_eq!(lock(&of_a, libc::F_UNLCK), Ok(()));
        assert_eq!(lock(&of_b, libc::F_RDLCK), Ok(()));
        assert_eq!(lock(&of_a, libc::F_RDLCK), Ok(()), "readers share");
        assert_eq!(lock(&of_a, libc::F_WRLCK), BUSY);
        assert_eq!((lock(&of_a, libc::F_UNLCK), lock(&of_b, libc::F_UNLCK)), (Ok(()), Ok(())));
    }
    let held = flock(&of_a).expect("it is free");
    assert_eq!(flock(&of_b).map(drop), BUSY);
    drop(held);
    flock(&of_b).expect("it is free again");
}

#[test]
fn the_kernel_is_told_who_holds_a_lock() {
    let Some(site) = Site::start() else { return };
    site.file("lock", 0);
    let (of_a, of_b) = (open(&site.a("lock")), open(&site.b("lock")));
    posix(&of_a, libc::F_WRLCK).expect("it is free");
    let mut asked = whole_file(libc::F_RDLCK);
    fcntl(&of_b, FcntlArg::F_GETLK(&mut asked)).expect("no fault");
    assert_eq!(i32::from(asked.l_type), libc::F_WRLCK);
    posix(&of_a, libc::F_UNLCK).expect("it is ours");
    let mut asked = whole_file(libc::F_RDLCK);
    fcntl(&of_b, FcntlArg::F_GETLK(&mut asked)).expect("no fault");
    assert_eq!(i32::from(asked.l_type), libc::F_UNLCK);
}

/// The kernel sends FLUSH with the number of the process and RELEASE without any: a table by owner alone would keep an OFD lock for ever.
#[test]
fn a_killed_holder_frees_every_kind_of_lock_at_once() {
    let Some(site) = Site::start() else { return };
    site.file("lock", 0);
    let of_b = open(&site.b("lock"));
    for role in ["hold-ofd", "hold-posix", "hold-flock"] {
        let mut holder = Actor::start(role, &site.a("lock"));
        holder.await_word("done");
        assert_eq!(posix(&of_b, libc::F_WRLCK), BUSY, "{role}");
        holder.kill();
        eventually(role, || posix(&of_b, libc::F_WRLCK).is_ok());
        posix(&of_b, libc::F_UNLCK).expect("it is ours");
    }
}

#[test]
fn closing_any_descriptor_of_the_file_drops_posix_locks_and_no_others() {
    let Some(site) = Site::start() else { return };
    site.file("lock", 0);
    let (of_a, of_b) = (open(&site.a("lock")), open(&site.b("lock")));
    posix(&of_a, libc::F_WRLCK).expect("it is free");
    drop(open(&site.a("lock")));
    assert_eq!(posix(&of_b, libc::F_WRLCK), Ok(()), "POSIX says so");
    posix(&of_b, libc::F_UNLCK).expect("it is ours");
    open_file(&of_a, libc::F_WRLCK).expect("it is free");
    drop(open(&site.a("lock")));
    assert_eq!(open_file(&of_b, libc::F_WRLCK), BUSY, "this one belongs to the open file");
    drop(of_a);
    eventually("the open file's end", || open_file(&of_b, libc::F_WRLCK).is_ok());
}

#[test]
fn a_waiter_gets_the_lock_when_it_is_free() {
    let Some(site) = Site::start() else { return };
    site.file("lock", 0);
    let of_b = open(&site.b("lock"));
    posix(&of_b, libc::F_WRLCK).expect("it is free");
    let mut waiter = Actor::start("wait-posix", &site.a("lock"));
    std::thread::sleep(Duration::from_millis(100));
    posix(&of_b, libc::F_UNLCK).expect("it is ours");
    waiter.await_word("done");
    assert_eq!(posix(&of_b, libc::F_WRLCK), BUSY);
}

/// A process in F_SETLKW cannot be killed before the daemon answers. The watchdog answers, and nobody hangs for ever.
#[test]
fn a_killed_waiter_is_let_go_by_the_watchdog() {
    let Some(site) = Site::with(|options| options.hold_limit_ms = 1_000) else { return };
    site.file("lock", 0);
    let of_b = open(&site.b("lock"));
    posix(&of_b, libc::F_WRLCK).expect("it is free");
    let mut waiter = Actor::start("wait-posix", &site.a("lock"));
    std::thread::sleep(Duration::from_millis(100));
    waiter.kill();
    assert!(!waiter.ends_within(Duration::from_millis(300)), "SIGKILL does not end it: the kernel waits for us");
    assert!(waiter.ends_within(Duration::from_secs(5)));
    let events = site.disk.report().expect("the daemon answers").events;
    assert!(events.iter().any(|event| event.what == EventKind::Watchdog { operations: 1 }), "{events:?}");
}

#[test]
fn a_killed_process_that_waits_for_a_hanging_write_goes_when_the_hang_is_healed() {
    let Some(site) = Site::start() else { return };
    site.file("data", 4096);
    let hang = FaultSpec { operations: vec![Operation::Write], ..FaultSpec::new(FaultKind::Hang) };
    let hang = site.disk.add_fault(hang).expect("a good fault");
    let mut writer = Actor::start("write", &site.a("data"));
    eventually("the write", || site.disk.report().expect("it answers").waiting.contains_key(A));
    writer.kill();
    assert!(!writer.ends_within(Duration::from_millis(200)));
    let began = Instant::now();
    site.disk.remove_fault(hang).expect("it is set");
    assert!(writer.ends_within(Duration::from_secs(2)));
    assert!(began.elapsed() < Duration::from_millis(HOLD_LIMIT_MS), "the heal did it, not the watchdog");
}

#[test]
fn a_crash_of_the_host_keeps_the_lock_until_the_lease_is_over() {
    let Some(site) = Site::start() else { return };
    site.file("lock", 0);
    let of_b = open(&site.b("lock"));
    let mut holder = Actor::start("hold-ofd", &site.a("lock"));
    holder.await_word("done");
    let crashed = Instant::now();
    site.disk.crash(A, CrashMode::Nothing, InFlightRule::AsUnsynced).expect("A is up");
    holder.kill();
    assert!(holder.ends_within(Duration::from_secs(2)), "its mount is aborted, so nothing holds it");
    eventually("the end of the lease", || open_file(&of_b, libc::F_WRLCK).is_ok());
    let waited = crashed.elapsed();
    assert!(waited >= Duration::from_millis(500), "300 ms of lease and 200 ms of grace, not {waited:?}");
}

/// What becomes of A's next write, and of its next lock, after it lost the lease of its lock.
fn after_the_lease(on_loss: OnLoss) -> Option<(Option<i32>, Result<(), Errno>)> {
    let site = Site::start()?;
    site.disk.set_on_loss(on_loss).expect("the daemon answers");
    let of_a = site.file("lock", 4096);
    open_file(&of_a, libc::F_WRLCK).expect("it is free");
    let of_b = open(&site.b("lock"));
    site.disk.expire_lease(A).expect("the daemon answers");
    assert_eq!(open_file(&of_b, libc::F_WRLCK), BUSY);
    eventually("the end of the lease", || open_file(&of_b, libc::F_WRLCK).is_ok());
    let written = crate::site::errno(of_a.write_at(&[1; 512], 0));
    Some((written, open_file(&of_a, libc::F_WRLCK)))
}

#[test]
fn a_host_that_lost_its_lease_is_told_or_not_or_fenced() {
    let Some(told) = after_the_lease(OnLoss::Told) else { return };
    assert_eq!(told, (Some(libc::EIO), Err(Errno::EIO)));
    assert_eq!(after_the_lease(OnLoss::Silent), Some((None, Err(Errno::ENOLCK))));
    assert_eq!(after_the_lease(OnLoss::Fenced), Some((Some(libc::EIO), Err(Errno::EIO))));
}
