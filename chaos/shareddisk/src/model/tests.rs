//! The model as a whole: what a crash, a freeze, a lie and a full disk do to what hosts wrote.

use super::*;
use proptest::prelude::*;

const A: HostId = HostId(0);
const B: HostId = HostId(1);
const SECOND: Nanos = 1_000_000_000;

fn disk(change: impl FnOnce(&mut Settings)) -> DiskModel {
    let mut settings = Settings::new(&["hostA", "hostB"], 7);
    change(&mut settings);
    DiskModel::new(settings, Box::new(Memory::default()))
}

/// A file whose name is durable.
fn file(disk: &mut DiskModel, name: &str) -> Ino {
    let node = NewNode { kind: Kind::File, mode: 0o660, uid: 0, gid: 0, now_ns: 0 };
    let ino = disk.create(A, Ino::ROOT, OsStr::new(name), node).expect("it is free");
    disk.fsyncdir(Ino::ROOT, &Effects::default()).expect("the root is a directory");
    ino
}

/// Writes as an operation that passes all faults does.
fn write_at(
    disk: &mut DiskModel,
    host: HostId,
    ino: Ino,
    offset: u64,
    data: &[u8],
    durable: bool,
) -> Result<u64, Errno> {
    disk.admit(host, None)?;
    let path = disk.path(ino);
    let new_blocks = disk.new_blocks(ino, offset, data.len() as u64);
    let len = data.len() as u64;
    let head = Head { host, operation: Operation::Write, ino, path: &path, len, syncs: durable, new_blocks };
    let effects = disk.decide(1, &head);
    match effects.error {
        Some(errno) => Err(errno),
        None => disk.write(1, WriteRequest { host, ino, offset, data, durable }, &effects),
    }
}

fn write(disk: &mut DiskModel, host: HostId, ino: Ino, data: &[u8], durable: bool) -> Result<u64, Errno> {
    write_at(disk, host, ino, 0, data, durable)
}

fn fsync(disk: &mut DiskModel, host: HostId, ino: Ino) -> Result<(), Errno> {
    let path = disk.path(ino);
    let head = Head { host, operation: Operation::Fsync, ino, path: &path, len: 0, syncs: true, new_blocks: 0 };
    let effects = disk.decide(1, &head);
    disk.fsync(host, ino, &effects)
}

fn read(disk: &mut DiskModel, host: HostId, ino: Ino) -> Vec<u8> {
    let path = disk.path(ino);
    let head = Head { host, operation: Operation::Read, ino, path: &path, len: 9, syncs: false, new_blocks: 0 };
    let effects = disk.decide(1, &head);
    disk.read(host, ino, (0, 1 << 20), &effects).expect("it is a file")
}

fn crash(disk: &mut DiskModel, mode: CrashMode) -> CrashReport {
    disk.crash(1, A, mode, Vec::new()).expect("A is not down")
}

#[test]
fn a_crash_takes_what_was_not_synced_and_nothing_else() {
    let mut disk = disk(|_| ());
    let [synced, durable, lost] = ["synced", "durable", "lost"].map(|name| file(&mut disk, name));
    write(&mut disk, A, synced, b"synced", false).expect("space");
    fsync(&mut disk, A, synced).expect("no fault");
    write(&mut disk, A, durable, b"durable", true).expect("space");
    write(&mut disk, A, lost, b"lost", false).expect("space");
    assert_eq!(read(&mut disk, B, lost), b"lost", "a cluster file system shows it while A lives");
    let report = crash(&mut disk, CrashMode::Nothing);
    assert_eq!((report.writes, report.lost, report.lost_bytes, report.claimed_lost_bytes), (1, 1, 4, 0));
    assert_eq!(read(&mut disk, B, synced), b"synced");
    assert_eq!(read(&mut disk, B, durable), b"durable");
    assert_eq!(read(&mut disk, B, lost), b"");
    assert_eq!(disk.admit(A, None), Err(Errno::ENOTCONN));
}

#[test]
fn a_killed_process_loses_nothing_and_old_data_is_written_back() {
    let mut disk = disk(|_| ());
    let ino = file(&mut disk, "file");
    let handle = disk.open(A, ino).expect("it is there");
    write(&mut disk, A, ino, b"kept", false).expect("space");
    disk.close(A, ino, 1).expect("no fault");
    disk.release(handle).expect("no fault");
    let node = NewNode { kind: Kind::File, mode: 0o660, uid: 0, gid: 0, now_ns: 0 };
    disk.create(A, Ino::ROOT, OsStr::new("unsynced name"), node).expect("it is free");
    disk.poll(10 * SECOND);
    assert_eq!(disk.host_reports(10 * SECOND)[0].unsynced[0].bytes, 4, "10 s are not old");
    disk.poll(40 * SECOND);
    let report = &disk.host_reports(40 * SECOND)[0];
    assert_eq!((&report.unsynced[..], report.unsynced_names), (&[][..], 0));
    crash(&mut disk, CrashMode::Nothing);
    assert_eq!(read(&mut disk, B, ino), b"kept");
}

#[test]
fn on_nfs_others_see_what_was_closed_or_synced() {
    let mut disk = disk(|settings| settings.visibility = Visibility::CloseToOpen);
    let ino = file(&mut disk, "file");
    write(&mut disk, A, ino, b"mine", false).expect("space");
    assert_eq!((read(&mut disk, A, ino), read(&mut disk, B, ino)), (b"mine".to_vec(), Vec::new()));
    disk.close(A, ino, 1).expect("no fault");
    assert_eq!(read(&mut disk, B, ino), b"mine");
}

#[test]
fn a_crash_with_torn_sectors_leaves_some_of_each_and_no_half_sector() {
    let mut disk = disk(|_| ());
    let ino = file(&mut disk, "file");
    write(&mut disk, A, ino, &[1; 64 * 512], true).expect("space");
    write(&mut disk, A, ino, &[2; 64 * 512], false).expect("space");
    let in_flight = vec![InFlight { ino, offset: 64 * 512, data: vec![3; 64 * 512] }];
    let report = disk.crash(1, A, CrashMode::Torn { sector_bytes: 512 }, in_flight).expect("A is up");
    assert_eq!((report.writes, report.in_flight, report.torn), (2, 1, 2));
    let mut left = read(&mut disk, B, ino);
    left.resize(128 * 512, 0);
    let sectors: Vec<u8> = left.chunks(512).map(|sector| sector[0]).collect();
    assert!(left.chunks(512).all(|sector| sector.iter().all(|&byte| byte == sector[0])));
    let count = |range: &[u8], byte| range.iter().filter(|&&found| found == byte).count();
    assert!((16..48).contains(&count(&sectors[..64], 2)) && count(&sectors[..64], 0) == 0, "{sectors:?}");
    assert!((16..48).contains(&count(&sectors[64..], 3)), "{sectors:?}");
}

#[test]
fn a_lying_sync_is_found_out_by_a_crash_and_the_report_counts_the_lie() {
    let mut disk = disk(|_| ());
    let ino = file(&mut disk, "file");
    disk.add_fault(FaultSpec::new(FaultKind::LyingFsync)).expect("a good fault");
    assert_eq!(write(&mut disk, A, ino, b"dsync", true), Ok(5));
    write_at(&mut disk, A, ino, 5, b"+fsync", false).expect("space");
    assert_eq!(fsync(&mut disk, A, ino), Ok(()));
    assert_eq!(read(&mut disk, B, ino), b"dsync+fsync");
    assert_eq!(disk.host_reports(1)[0].unsynced[0].claimed_bytes, 11);
    assert_eq!(crash(&mut disk, CrashMode::Nothing).claimed_lost_bytes, 11);
    assert_eq!(read(&mut disk, B, ino), b"");
    assert_eq!(disk.fault_reports()[0].hit, 2);
}

/// What a later sync makes of bytes whose sync failed, and whether it fails too.
fn after_a_failed_sync(sticky: bool) -> (Result<(), Errno>, Vec<u8>, Vec<u8>) {
    let mut disk = disk(|_| ());
    let ino = file(&mut disk, "file");
    let spec = FaultSpec { count: Some(1), ..FaultSpec::new(FaultKind::FsyncError { sticky }) };
    disk.add_fault(spec).expect("a good fault");
    assert_eq!(write(&mut disk, A, ino, b"data", true), Err(Errno::EIO), "a durable write is a sync");
    let again = fsync(&mut disk, A, ino);
    let seen = read(&mut disk, A, ino);
    crash(&mut disk, CrashMode::Nothing);
    (again, seen, read(&mut disk, B, ino))
}

#[test]
fn a_failed_sync_stays_failed_or_forgets_the_data() {
    assert_eq!(after_a_failed_sync(true), (Err(Errno::EIO), b"data".to_vec(), Vec::new()));
    assert_eq!(after_a_failed_sync(false), (Ok(()), b"data".to_vec(), Vec::new()), "clean, and lost");
}

/// What B sees after A, frozen with unsynced data, came back when its locks had gone to B, and what A is told.
fn zombie(on_loss: OnLoss) -> (Vec<u8>, LateReport, Result<(), Errno>) {
    let mut disk = disk(|settings| settings.lease.on_loss = on_loss);
    let ino = file(&mut disk, "file");
    let handle = disk.open(A, ino).expect("it is there");
    let kind = LockKind::Exclusive;
    let lock = |host, handle| Lock { host, owner: 1, handle, pid: 1, kind, start: 0, end: u64::MAX };
    disk.lock(ino, lock(A, handle)).expect("it is free");
    write(&mut disk, A, ino, b"AAAA", false).expect("space");
    disk.freeze(0, A).expect("A is up");
    assert_eq!(read(&mut disk, B, ino), b"", "a frozen host cannot be asked for what it has");
    let of_b = disk.open(B, ino).expect("it is there");
    assert_eq!(disk.lock(ino, lock(B, of_b)), Err(Errno::EAGAIN));
    assert_eq!(disk.poll(3 * SECOND), [(A, 1)]);
    disk.lock(ino, lock(B, of_b)).expect("the lease is over");
    write(&mut disk, B, ino, b"BB", true).expect("space");
    let report = disk.thaw(A).expect("A is frozen");
    (read(&mut disk, B, ino), report, disk.admit(A, Some(handle)))
}

#[test]
fn a_zombie_writes_over_the_new_owner_unless_it_is_fenced() {
    let landed = LateReport { landed: 1, landed_bytes: 4, refused: 0 };
    assert_eq!(zombie(OnLoss::Silent), (b"AAAA".to_vec(), landed, Ok(())));
    assert_eq!(zombie(OnLoss::Told), (b"AAAA".to_vec(), landed, Err(Errno::EIO)));
    let refused = LateReport { refused: 1, ..LateReport::default() };
    assert_eq!(zombie(OnLoss::Fenced), (b"BB".to_vec(), refused, Err(Errno::EIO)));
}

#[test]
fn a_crashed_host_keeps_its_locks_until_the_lease_is_over_and_a_new_mount_frees_them() {
    let mut disk = disk(|_| ());
    let ino = file(&mut disk, "file");
    let handle = disk.open(A, ino).expect("it is there");
    let kind = LockKind::Exclusive;
    let lock = |host, handle| Lock { host, owner: 1, handle, pid: 1, kind, start: 0, end: u64::MAX };
    disk.lock(ino, lock(A, handle)).expect("it is free");
    crash(&mut disk, CrashMode::Nothing);
    let of_b = disk.open(B, ino).expect("it is there");
    assert_eq!(disk.lock(ino, lock(B, of_b)), Err(Errno::EAGAIN), "a crash frees nothing");
    disk.mount_again(A).expect("A is down");
    assert_eq!(disk.lock(ino, lock(B, of_b)), Ok(()));
}

#[test]
fn stale_reads_show_what_others_had_written_before_and_own_writes_always() {
    let mut disk = disk(|_| ());
    let ino = file(&mut disk, "file");
    write(&mut disk, A, ino, b"old old", true).expect("space");
    let spec = FaultSpec { host: Some("hostB".into()), ..FaultSpec::new(FaultKind::StaleRead) };
    let fault = disk.add_fault(spec).expect("a good fault");
    write(&mut disk, A, ino, b"new", true).expect("space");
    write_at(&mut disk, A, ino, 7, b" longer", true).expect("space");
    assert_eq!(read(&mut disk, B, ino), b"old old");
    assert_eq!(read(&mut disk, A, ino), b"new old longer");
    write_at(&mut disk, B, ino, 4, b"own", true).expect("space");
    assert_eq!(read(&mut disk, B, ino), b"old own");
    disk.remove_faults(Some(fault));
    assert_eq!(read(&mut disk, B, ino), b"new own longer");
}

#[test]
fn short_flipped_and_torn_writes_are_what_they_say() {
    let mut disk = disk(|_| ());
    let ino = file(&mut disk, "file");
    let once = |kind| FaultSpec { count: Some(1), ..FaultSpec::new(kind) };
    disk.add_fault(once(FaultKind::ShortWrite)).expect("a good fault");
    let taken = write(&mut disk, A, ino, &[1; 4096], true).expect("it is short, not failed");
    assert!(taken < 4096 && taken.is_multiple_of(512), "{taken}");
    assert_eq!(read(&mut disk, B, ino).len() as u64, taken);
    disk.add_fault(FaultSpec { operations: vec![Operation::Write], ..once(FaultKind::BitFlip) }).expect("a good fault");
    write(&mut disk, A, ino, &[0; 4096], true).expect("nobody notices");
    let ones: u32 = read(&mut disk, B, ino).iter().map(|byte| byte.count_ones()).sum();
    assert_eq!(ones, 1);
    disk.add_fault(once(FaultKind::TornWrite { sector_bytes: 512 })).expect("a good fault");
    assert_eq!(write(&mut disk, A, ino, &[0xff; 64 * 512], true), Err(Errno::EIO));
    let arrived = read(&mut disk, B, ino).chunks(512).filter(|sector| sector[0] == 0xff).count();
    assert!((16..48).contains(&arrived), "{arrived}");
}

#[test]
fn a_full_disk_takes_what_has_its_place() {
    let mut disk = disk(|settings| settings.capacity_bytes = 4 * BLOCK_BYTES);
    let [kept, other] = ["kept", "other"].map(|name| file(&mut disk, name));
    disk.allocate(1, A, kept, (0, 3 * BLOCK_BYTES), false).expect("space");
    assert_eq!(disk.attributes(A, kept).expect("it is there").len, 3 * BLOCK_BYTES);
    assert_eq!(write(&mut disk, A, other, &[1; 2 * 4096], true), Err(Errno::ENOSPC));
    assert_eq!(write(&mut disk, A, kept, &[1; 3 * 4096], true), Ok(3 * 4096));
    assert_eq!(disk.space().free, 1);
    disk.erase(1, A, kept, (0, 2 * BLOCK_BYTES), true).expect("it is a file");
    assert_eq!(disk.space().free, 3);
    assert_eq!(write(&mut disk, A, other, &[1; 2 * 4096], true), Ok(2 * 4096));
    disk.set_len(1, A, other, 0).expect("it is a file");
    disk.remove(A, Ino::ROOT, OsStr::new("kept"), false).expect("it is there");
    assert_eq!(disk.space().free, 3, "the durable tree still has the name");
    disk.fsyncdir(Ino::ROOT, &Effects::default()).expect("no fault");
    assert_eq!(disk.space().free, 4);
}

#[test]
fn holes_are_found() {
    let mut disk = disk(|_| ());
    let ino = file(&mut disk, "file");
    write_at(&mut disk, A, ino, 2 * BLOCK_BYTES, &[1; 4096], true).expect("space");
    disk.set_len(1, A, ino, 5 * BLOCK_BYTES).expect("it is a file");
    let seek = |offset, data| disk.seek(A, ino, offset * BLOCK_BYTES, data).map(|found| found / BLOCK_BYTES);
    assert_eq!([seek(0, true), seek(2, true), seek(3, true)], [Ok(2), Ok(2), Err(Errno::ENXIO)]);
    assert_eq!([seek(0, false), seek(2, false), seek(5, false)], [Ok(0), Ok(3), Err(Errno::ENXIO)]);
}

#[test]
fn too_much_unsynced_data_is_written_back() {
    let mut disk = disk(|settings| settings.dirty_bytes_max = 10_000);
    let ino = file(&mut disk, "file");
    for index in 0..5 {
        write_at(&mut disk, A, ino, index * 4096, &[1; 4096], false).expect("space");
    }
    let unsynced: u64 = disk.host_reports(1)[0].unsynced.iter().map(|file| file.bytes).sum();
    assert!(unsynced <= 10_000, "{unsynced}");
    crash(&mut disk, CrashMode::Nothing);
    assert_eq!(read(&mut disk, B, ino).len(), 4 * 4096);
}

#[test]
fn every_edge_of_a_host_is_walked() {
    use HostState::{Down, Frozen, Up};
    let mut disk = disk(|_| ());
    let mut walked = Vec::new();
    let steps: [fn(&mut DiskModel); 6] = [
        |disk| disk.freeze(0, A).expect("up"),
        |disk| assert_eq!(disk.thaw(A), Ok(LateReport::default())),
        |disk| assert_eq!(crash(disk, CrashMode::Nothing), CrashReport::default()),
        |disk| disk.mount_again(A).expect("down"),
        |disk| disk.freeze(0, A).expect("up"),
        |disk| assert_eq!(crash(disk, CrashMode::Subset), CrashReport::default()),
    ];
    for step in steps {
        let before = disk.state(A);
        step(&mut disk);
        assert!(before.can_become(disk.state(A)));
        walked.push((before, disk.state(A)));
    }
    assert_eq!(walked, [(Up, Frozen), (Frozen, Up), (Up, Down), (Down, Up), (Up, Frozen), (Frozen, Down)]);
    assert!(!Down.can_become(Frozen) && !Up.can_become(Up));
    assert_eq!(disk.thaw(A), Err(Errno::EINVAL), "what is down does not thaw");
    assert_eq!(disk.state(B), Up);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) })]

    /// Whatever is written and synced before a crash that keeps a subset is there afterwards, and every byte was written by somebody
    /// at that place. Fails when a sync forgets something, or a crash invents something.
    #[test]
    fn synced_bytes_survive_any_crash(
        writes in proptest::collection::vec((0_u64..20, any::<bool>(), any::<bool>()), 1..40),
        seed in any::<u64>(),
        torn in any::<bool>(),
    ) {
        let mut disk = disk(|settings| settings.seed = seed);
        let ino = file(&mut disk, "file");
        let mut durable = [0_u8; 20];
        let mut possible: Vec<Vec<u8>> = vec![vec![0]; 20];
        for (index, (block, is_durable, sync_after)) in writes.iter().enumerate() {
            let byte = index as u8 + 1;
            write_at(&mut disk, A, ino, block * 512, &[byte; 512], *is_durable).expect("space");
            let slot = &mut possible[*block as usize];
            slot.push(byte);
            if *is_durable {
                durable[*block as usize] = byte;
                *slot = vec![byte];
            }
            if *sync_after {
                fsync(&mut disk, A, ino).expect("no fault");
                for (slot, durable) in possible.iter_mut().zip(&mut durable) {
                    *durable = *slot.last().expect("never empty");
                    *slot = vec![*durable];
                }
            }
        }
        let mode = if torn { CrashMode::Torn { sector_bytes: 512 } } else { CrashMode::Subset };
        crash(&mut disk, mode);
        let mut left = read(&mut disk, B, ino);
        left.resize(20 * 512, 0);
        for (block, bytes) in left.chunks(512).enumerate() {
            prop_assert!(possible[block].contains(&bytes[0]), "block {} holds {}, possible {:?}", block, bytes[0], possible[block]);
            prop_assert!(bytes.iter().all(|byte| *byte == bytes[0]));
        }
    }
}
