//! When bytes and names are durable, with every way to say so.

use crate::site::{A, B, Site, open, read_at};
use disk::{DiskOp, DiskRequest, FileId, OpenMode, Outcome};
use nix::libc;
use reactor::buffer::aligned;
use reactor::{Config, Event, Reactor};
use rustix::io::{ReadWriteFlags, pwritev2};
use shareddisk::gate::InFlightRule;
use shareddisk::model::{CrashMode, NameRule, Operation};
use std::collections::VecDeque;
use std::fs::File;
use std::io::IoSlice;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

fn crash(site: &Site) {
    site.disk.crash(A, CrashMode::Nothing, InFlightRule::AsUnsynced).expect("A is up");
}

/// Fails if the kernel kept dirty pages: a crash of the host could not drop them, and would prove nothing.
#[test]
fn every_write_reaches_the_daemon_before_it_returns() {
    let Some(site) = Site::start() else { return };
    let file = site.file("data", 0);
    for index in 0..1500 {
        file.write_at(&[1; 100], index * 100).expect("space");
        if index % 500 == 0 {
            assert_eq!(site.count(Operation::Write), index as usize + 1);
        }
    }
    assert_eq!(site.count(Operation::Write), 1500);
    assert_eq!(site.unsynced(0), 150_000);
}

#[test]
fn what_was_not_synced_is_gone_with_the_host_and_what_was_is_not() {
    let Some(site) = Site::start() else { return };
    let file = site.file("data", 8192);
    file.write_at(&[1; 4096], 0).expect("space");
    file.sync_data().expect("no fault");
    file.write_at(&[2; 4096], 4096).expect("space");
    let of_b = open(&site.b("data"));
    assert_eq!(read_at(&of_b, 4096, 1), [2], "B sees it while A lives");
    crash(&site);
    assert_eq!((read_at(&of_b, 0, 1), read_at(&of_b, 4096, 1)), (vec![1], vec![0]));
}

/// Under FOPEN_DIRECT_IO the kernel sends no FSYNC for these: only the flags of the write say it.
#[test]
fn durable_writes_are_durable_by_flag_of_the_file_and_of_the_call() {
    let Some(site) = Site::start() else { return };
    site.file("data", 4 * 4096);
    let with = |flag| File::options().write(true).custom_flags(flag).open(site.a("data")).expect("it is there");
    with(libc::O_DSYNC).write_at(&[1; 4096], 0).expect("space");
    with(libc::O_SYNC).write_at(&[2; 4096], 4096).expect("space");
    let block = [3; 4096];
    pwritev2(with(0), &[IoSlice::new(&block)], 2 * 4096, ReadWriteFlags::DSYNC).expect("space");
    with(0).write_at(&[4; 4096], 3 * 4096).expect("space");
    assert_eq!(site.unsynced(0), 4096, "the last one only");
    let of_b = open(&site.b("data"));
    crash(&site);
    let found: Vec<u8> = (0..4).flat_map(|block| read_at(&of_b, block * 4096, 1)).collect();
    assert_eq!(found, [1, 2, 3, 0]);
}

fn ring_op(reactor: &mut Reactor, op: DiskOp) -> Outcome {
    reactor.submit_disk(DiskRequest { id: 1, op });
    let mut events = VecDeque::new();
    loop {
        reactor.wait(&mut events).expect("wait");
        while let Some(event) = events.pop_front() {
            if let Event::Disk(done) = event {
                return done.result.expect("no fault");
            }
        }
    }
}

/// As the broker writes: O_DIRECT and RWF_DSYNC through io_uring.
#[test]
fn durable_writes_through_io_uring_are_durable() {
    let Some(site) = Site::start() else { return };
    site.file("data", 2 * 4096);
    let mut reactor = Reactor::uring(Config::default()).unwrap_or_else(|error| panic!("{error}"));
    let file = FileId(1);
    let opened = ring_op(&mut reactor, DiskOp::Open { file, path: site.a("data"), mode: OpenMode::ReadWrite });
    assert_eq!(opened, Outcome::Opened { direct: true, len: 8192 });
    for (index, durable) in [(0, true), (1, false)] {
        let mut data = aligned(4096);
        data.extend(std::iter::repeat_n(index as u8 + 1, 4096));
        ring_op(&mut reactor, DiskOp::Write { file, offset: index * 4096, data: data.freeze(), durable });
    }
    let writes: Vec<bool> =
        site.log().iter().filter(|record| record.operation == Operation::Write).map(|r| r.syncs).collect();
    assert_eq!(writes, [true, false]);
    assert_eq!(site.count(Operation::Fsync), 1, "the one that made the file");
    let of_b = open(&site.b("data"));
    crash(&site);
    assert_eq!((read_at(&of_b, 0, 1), read_at(&of_b, 4096, 1)), (vec![1], vec![0]));
}

/// Fails when a mount caches: NFS without care shows old bytes here.
#[test]
fn an_open_file_of_one_host_shows_what_the_other_wrote() {
    let Some(site) = Site::start() else { return };
    let of_a = site.file("data", 4096);
    let of_b = open(&site.b("data"));
    for round in 1..50 {
        assert_eq!(read_at(&of_b, 0, 1), [round - 1]);
        of_a.write_at(&[round], 0).expect("space");
        assert_eq!(read_at(&of_b, 0, 1), [round]);
    }
    of_a.set_len(10_000).expect("space");
    assert_eq!(of_b.metadata().expect("it is there").len(), 10_000);
    std::fs::rename(site.a("data"), site.a("moved")).expect("no fault");
    assert!(!site.b("data").exists() && site.b("moved").exists());
}

/// What B finds of a name after A made it, synced the file, perhaps the folder, and crashed.
fn name_after_crash(rule: NameRule, sync_folder: bool) -> Option<bool> {
    let site = Site::with(|options| options.settings.names = rule)?;
    let file = File::create(site.a("new")).expect("space");
    file.write_at(b"data", 0).expect("space");
    file.sync_all().expect("no fault");
    if sync_folder {
        File::open(site.a("")).expect("the root").sync_all().expect("no fault");
    }
    crash(&site);
    Some(site.b("new").exists())
}

#[test]
fn a_new_name_needs_a_sync_of_its_folder_unless_one_journal_holds_all() {
    let Some(kept) = name_after_crash(NameRule::PosixWorst, false) else { return };
    assert!(!kept);
    assert_eq!(name_after_crash(NameRule::PosixWorst, true), Some(true));
    assert_eq!(name_after_crash(NameRule::Ext4Like, false), Some(true));
}

#[test]
fn what_is_durable_can_be_exported_as_a_tree() {
    let Some(site) = Site::start() else { return };
    std::fs::create_dir(site.b("folder")).expect("space");
    let file = File::create(site.b("folder/kept")).expect("space");
    file.write_at(b"kept", 0).expect("space");
    file.sync_all().expect("no fault");
    file.write_at(b"lost", 0).expect("space");
    for folder in [site.b(""), site.b("folder")] {
        File::open(folder).expect("it is there").sync_all().expect("no fault");
    }
    File::create(site.b("folder/lost")).expect("space");
    let target = site.folder.path().join("tree");
    assert_eq!(site.disk.export(&target).expect("no fault"), 1);
    assert_eq!(std::fs::read(target.join("folder/kept")).expect("it is there"), b"kept");
    assert!(!target.join("folder/lost").exists());
    assert_eq!(site.disk.host(1), B);
    assert!(Path::new(&target).is_dir());
}
