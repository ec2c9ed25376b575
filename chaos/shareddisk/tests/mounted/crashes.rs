//! Hosts that crash, freeze and come back, and ends of the daemon.

use crate::actor::Actor;
use crate::site::{A, Site, errno, eventually, open, read_at};
use nix::libc;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use shareddisk::gate::{EventKind, InFlightRule};
use shareddisk::model::{CrashMode, FaultKind, FaultSpec, Latency, OnLoss, Operation};
use std::os::unix::fs::FileExt;
use std::time::Duration;

#[test]
fn a_crashed_host_has_no_disk_any_more_until_it_mounts_again() {
    let Some(site) = Site::start() else { return };
    let of_a = site.file("data", 4096);
    site.disk.crash(A, CrashMode::Nothing, InFlightRule::AsUnsynced).expect("A is up");
    assert_eq!(errno(of_a.write_at(&[1], 0)), Some(libc::ENOTCONN));
    assert_eq!(errno(std::fs::metadata(site.a("data"))), Some(libc::ENOTCONN));
    assert!(site.disk.crash(A, CrashMode::Nothing, InFlightRule::AsUnsynced).is_err(), "it is down");
    open(&site.b("data")).write_at(&[2], 0).expect("B is not touched");
    site.disk.mount_again(A).expect("it is down");
    assert_eq!(read_at(&open(&site.a("data")), 0, 1), [2]);
    assert_eq!(errno(of_a.write_at(&[1], 0)), Some(libc::ENOTCONN), "what was open is of the former life");
}

/// Starts a writer on A whose write is held, and waits until the daemon has it.
fn write_in_flight(site: &Site) -> Actor {
    let writer = Actor::start("write", &site.a("data"));
    eventually("the write", || {
        let report = site.disk.report().expect("the daemon answers");
        report.waiting.get(A).is_some_and(|waits| waits.writes == 1)
    });
    writer
}

/// What B reads where A's write was in flight when A froze and B wrote, and how many of A's writes landed and were refused.
fn late_write(on_loss: OnLoss) -> Option<(Vec<u8>, (u64, u64))> {
    let site = Site::start()?;
    site.disk.set_on_loss(on_loss).expect("the daemon answers");
    site.file("data", 4096);
    let of_b = open(&site.b("data"));
    site.disk.freeze(A).expect("A is up");
    // Opening would hang as well: the actor opens the file while A is frozen, so let it do that first.
    site.disk.thaw(A).expect("A is frozen");
    let hang =
        FaultSpec { operations: vec![Operation::Write], host: Some(A.into()), ..FaultSpec::new(FaultKind::Hang) };
    let hang = site.disk.add_fault(hang).expect("a good fault");
    let mut writer = write_in_flight(&site);
    site.disk.freeze(A).expect("A is up");
    of_b.write_at(&[9; 4096], 0).expect("B is not touched");
    eventually("the end of the lease", || {
        let events = site.disk.report().expect("the daemon answers").events;
        events.iter().any(|event| matches!(event.what, EventKind::LocksLost { .. }))
    });
    site.disk.remove_fault(hang).expect("it is set");
    let thawed = site.disk.thaw(A).expect("A is frozen");
    writer.await_word("done");
    Some((read_at(&of_b, 0, 1), (thawed.writes_landed, thawed.writes_refused)))
}

#[test]
fn a_write_in_flight_of_a_frozen_host_lands_late_unless_it_is_fenced() {
    let Some(silent) = late_write(OnLoss::Silent) else { return };
    assert_eq!(silent, (vec![7], (1, 0)));
    assert_eq!(late_write(OnLoss::Fenced), Some((vec![9], (0, 1))));
}

#[test]
fn a_write_in_flight_at_a_crash_is_torn_lost_or_lands_late() {
    let found = |mode, rule| {
        let site = Site::start()?;
        site.file("data", 4096);
        let hang = FaultSpec { operations: vec![Operation::Write], ..FaultSpec::new(FaultKind::Hang) };
        site.disk.add_fault(hang).expect("a good fault");
        let mut writer = write_in_flight(&site);
        let report = site.disk.crash(A, mode, rule).expect("A is up");
        assert_eq!(report.in_flight, 1);
        assert!(
            writer.ends_within(Duration::from_millis(10)) || {
                writer.kill();
                writer.ends_within(Duration::from_secs(2))
            }
        );
        site.disk.remove_faults().expect("the daemon answers");
        let of_b = open(&site.b("data"));
        let at_once = read_at(&of_b, 0, 4096);
        if rule != InFlightRule::AsUnsynced {
            eventually("the late write", || read_at(&of_b, 0, 1) == [7]);
        }
        Some(at_once.chunks(512).filter(|sector| sector[0] == 7).count())
    };
    let Some(lost) = found(CrashMode::Nothing, InFlightRule::AsUnsynced) else { return };
    assert_eq!(lost, 0);
    let torn = found(CrashMode::Torn { sector_bytes: 512 }, InFlightRule::AsUnsynced).expect("it ran before");
    assert!((1..8).contains(&torn), "{torn} of 8 sectors, by the seed");
    assert_eq!(found(CrashMode::Nothing, InFlightRule::Late { after_ms: 300 }), Some(0), "not at once");
}

#[test]
fn a_slow_operation_of_one_host_does_not_hold_up_the_others() {
    let Some(site) = Site::start() else { return };
    let of_a = site.file("data", 8192);
    let of_b = open(&site.b("data"));
    let slow = FaultKind::Latency(Latency::Fixed { us: 400_000 });
    site.disk.add_fault(FaultSpec { host: Some(A.into()), ..FaultSpec::new(slow) }).expect("a good fault");
    let began = std::time::Instant::now();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| of_a.write_at(&[1; 4096], 0).expect("no fault"));
        of_b.write_at(&[2; 4096], 4096).expect("no fault");
        assert!(began.elapsed() < Duration::from_millis(300), "{:?}", began.elapsed());
        writer.join().expect("it writes");
    });
    assert!(began.elapsed() >= Duration::from_millis(400));
}

#[test]
fn a_killed_daemon_leaves_errors_and_no_mount() {
    let Some(site) = Site::start() else { return };
    let of_a = site.file("data", 4096);
    let mounts = [site.a(""), site.b("")];
    kill(Pid::from_raw(site.disk.pid() as i32), Signal::SIGKILL).expect("it is ours");
    eventually("the abort", || errno(of_a.write_at(&[1], 0)) == Some(libc::ENOTCONN));
    drop(of_a);
    let Site { disk, folder } = site;
    drop(disk);
    let mounted = std::fs::read_to_string("/proc/self/mountinfo").expect("every Linux has it");
    for mount in mounts {
        assert!(!mounted.contains(&*mount.to_string_lossy()), "{}", mount.display());
    }
    folder.close().expect("nothing is mounted in it");
}

/// A disk without a harness would keep its mounts for ever: its parent's death is its end.
#[test]
fn the_daemon_unmounts_when_it_is_terminated() {
    let Some(site) = Site::start() else { return };
    let pid = Pid::from_raw(site.disk.pid() as i32);
    kill(pid, Signal::SIGTERM).expect("it is ours");
    let mount = site.a("");
    eventually("the end", || {
        let mounted = std::fs::read_to_string("/proc/self/mountinfo").expect("every Linux has it");
        !mounted.contains(mount.to_string_lossy().trim_end_matches('/'))
    });
}
