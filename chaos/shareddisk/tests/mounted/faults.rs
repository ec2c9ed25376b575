//! Faults as a host feels them, each with its proof.

use crate::site::{A, B, Site, errno, open, read_at};
use nix::libc;
use shareddisk::model::{ErrnoName, FaultKind, FaultSpec, Latency, Operation};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

fn on_writes_of_a(kind: FaultKind) -> FaultSpec {
    FaultSpec { host: Some(A.into()), operations: vec![Operation::Write], ..FaultSpec::new(kind) }
}

/// How often the only fault has hit.
fn hits(site: &Site) -> u64 {
    let report = site.disk.report().expect("the daemon answers");
    let [fault] = &report.faults[..] else { panic!("one fault") };
    assert_eq!(fault.first_ns.is_some(), fault.hit > 0);
    assert!(fault.first_ns <= fault.last_ns && fault.last_ns.unwrap_or(0) <= report.t_ns);
    fault.hit
}

#[test]
fn errors_arrive_with_their_number_and_stop_when_healed() {
    let Some(site) = Site::start() else { return };
    let (of_a, of_b) = (site.file("data", 4096), open(&site.b("data")));
    for (name, number) in
        [(ErrnoName::EIO, libc::EIO), (ErrnoName::ENOSPC, libc::ENOSPC), (ErrnoName::ESTALE, libc::ESTALE)]
    {
        let fault = site.disk.add_fault(on_writes_of_a(FaultKind::Error { errno: name })).expect("a good fault");
        assert_eq!(errno(of_a.write_at(&[1], 0)), Some(number));
        assert_eq!(errno(of_b.write_at(&[1], 0)), None);
        site.disk.remove_fault(fault).expect("it is set");
        assert_eq!(errno(of_a.write_at(&[1], 0)), None);
    }
    let report = site.disk.report().expect("the daemon answers");
    assert!(report.faults.iter().all(|fault| fault.hit == 1 && !fault.active), "{:?}", report.faults);
}

#[test]
fn a_path_and_a_count_choose_the_operation() {
    let Some(site) = Site::start() else { return };
    let (journal, other) = (site.file("journal.1", 4096), site.file("other", 4096));
    let path = Some("/journal.*".to_owned());
    let spec =
        FaultSpec { path, skip: 1, count: Some(1), ..on_writes_of_a(FaultKind::Error { errno: ErrnoName::EIO }) };
    site.disk.add_fault(spec).expect("a good fault");
    assert_eq!(errno(other.write_at(&[1], 0)), None);
    let results = [0; 3].map(|_| errno(journal.write_at(&[1], 0)));
    assert_eq!(results, [None, Some(libc::EIO), None]);
    assert_eq!(hits(&site), 1);
}

#[test]
fn a_delay_delays_and_a_rate_limits() {
    let Some(site) = Site::start() else { return };
    let file = site.file("data", 1 << 20);
    let measure = |kind| {
        let fault = site.disk.add_fault(on_writes_of_a(kind)).expect("a good fault");
        let began = Instant::now();
        for index in 0..4 {
            file.write_at(&[1; 64 << 10], index * (64 << 10)).expect("space");
        }
        site.disk.remove_fault(fault).expect("it is set");
        began.elapsed()
    };
    assert!(measure(FaultKind::Latency(Latency::Fixed { us: 30_000 })) >= Duration::from_millis(120));
    let limited = measure(FaultKind::Bandwidth { bytes_per_second: 1 << 20 });
    assert!(limited >= Duration::from_millis(250), "256 KiB at 1 MiB/s: {limited:?}");
}

#[test]
fn a_read_only_disk_refuses_changes_and_serves_reads() {
    let Some(site) = Site::start() else { return };
    let file = site.file("data", 4096);
    site.disk
        .add_fault(FaultSpec { host: Some(A.into()), ..FaultSpec::new(FaultKind::ReadOnly) })
        .expect("a good fault");
    assert_eq!(errno(file.write_at(&[1], 0)), Some(libc::EROFS));
    assert_eq!(errno(File::create(site.a("new"))), Some(libc::EROFS));
    assert_eq!(errno(std::fs::remove_file(site.a("data"))), Some(libc::EROFS));
    assert_eq!(read_at(&file, 0, 1), [0]);
    std::fs::write(site.b("new"), "B may").expect("B is not touched");
    assert_eq!(hits(&site), 3);
}

#[test]
fn a_sync_fails_or_lies() {
    let Some(site) = Site::start() else { return };
    let file = site.file("data", 4096);
    file.write_at(&[1; 4096], 0).expect("space");
    let once = FaultSpec { count: Some(1), ..FaultSpec::new(FaultKind::FsyncError { sticky: false }) };
    site.disk.add_fault(once).expect("a good fault");
    assert_eq!(errno(file.sync_all()), Some(libc::EIO));
    assert_eq!(errno(file.sync_all()), None, "what is marked clean is not written again");
    assert_eq!(site.unsynced(0), 4096);
    assert_eq!(hits(&site), 1);
}

#[test]
fn short_writes_flipped_bits_and_stale_reads_reach_the_host() {
    let Some(site) = Site::start() else { return };
    let (of_a, of_b) = (site.file("data", 8192), open(&site.b("data")));
    let once = |spec: FaultSpec| FaultSpec { count: Some(1), ..spec };
    site.disk.add_fault(once(on_writes_of_a(FaultKind::ShortWrite))).expect("a good fault");
    let taken = of_a.write_at(&[1; 8192], 0).expect("it is short, not failed");
    assert!(taken < 8192 && taken.is_multiple_of(512), "{taken}");
    let read = FaultSpec { operations: vec![Operation::Read], ..FaultSpec::new(FaultKind::BitFlip) };
    site.disk.add_fault(once(read)).expect("a good fault");
    let (flipped, clean) = (read_at(&of_a, 0, 512), read_at(&of_a, 0, 512));
    let different: u32 = flipped.iter().zip(&clean).map(|(left, right)| (left ^ right).count_ones()).sum();
    assert_eq!(different, 1);
    let stale = FaultSpec { host: Some(B.into()), ..FaultSpec::new(FaultKind::StaleRead) };
    let stale = site.disk.add_fault(stale).expect("a good fault");
    of_a.write_at(&[8; 512], 0).expect("space");
    assert_eq!(read_at(&of_b, 0, 1), [1]);
    site.disk.remove_fault(stale).expect("it is set");
    assert_eq!(read_at(&of_b, 0, 1), [8]);
}

#[test]
fn a_wrong_request_is_refused_with_its_reason() {
    let Some(site) = Site::start() else { return };
    let wrong = FaultSpec { host: Some("hostC".into()), ..FaultSpec::new(FaultKind::Hang) };
    let error = site.disk.add_fault(wrong).expect_err("there is no such host");
    assert!(error.to_string().contains("hostC"), "{error}");
    let error = site.disk.freeze("hostD").expect_err("there is no such host");
    assert!(error.to_string().contains("hostD"), "{error}");
    assert!(site.disk.thaw(A).is_err(), "it is not frozen");
}
