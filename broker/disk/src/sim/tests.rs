//! The simulated disk keeps its own promises: what may be lost, what may not, and that a seed replays.

use super::*;
use crate::{OpenMode, Outcome};
use bytes::Bytes;
use std::collections::BTreeSet;

const FILE: FileId = FileId(7);

struct Driver {
    disk: SimDisk,
    session: Session,
    now: Nanos,
    next: u64,
}

impl Driver {
    fn new(seed: u64) -> Self {
        Self::with(seed, SimConfig::default())
    }

    fn with(seed: u64, config: SimConfig) -> Self {
        let mut disk = SimDisk::new(seed, config);
        let session = disk.attach();
        Self { disk, session, now: 0, next: 0 }
    }

    fn start(&mut self, op: DiskOp) -> u64 {
        self.next += 1;
        self.disk.submit(self.now, self.session, DiskRequest { id: self.next, op });
        self.next
    }

    fn run(&mut self, op: DiskOp) -> Result<Outcome, crate::DiskError> {
        let id = self.start(op);
        loop {
            self.now = self.disk.poll_timeout().expect("something is in flight").max(self.now);
            while let Some((_, done)) = self.disk.poll(self.now) {
                if done.id == id {
                    return done.result;
                }
            }
        }
    }

    fn create(&mut self, path: &str) {
        self.run(DiskOp::CreateDir { path: "/a".into() }).unwrap();
        self.run(DiskOp::Open { file: FILE, path: path.into(), mode: OpenMode::CreateNew }).unwrap();
    }

    fn write(&mut self, offset: u64, blocks: usize, byte: u8, durable: bool) -> DiskOp {
        DiskOp::Write { file: FILE, offset, data: block(byte, blocks), durable }
    }
}

fn block(byte: u8, blocks: usize) -> Bytes {
    let mut buffer = aligned(blocks * BLOCK_SIZE);
    buffer.resize(blocks * BLOCK_SIZE, byte);
    buffer.freeze()
}

fn sync_names(driver: &mut Driver) {
    driver.run(DiskOp::SyncDir { path: "/a".into() }).unwrap();
    driver.run(DiskOp::SyncDir { path: "/".into() }).unwrap();
}

#[test]
fn a_durable_write_with_a_synced_name_survives_every_crash() {
    for seed in 0..200 {
        let mut driver = Driver::new(seed);
        driver.create("/a/file");
        sync_names(&mut driver);
        let write = driver.write(4096, 5, 9, true);
        driver.run(write).unwrap();
        driver.disk.crash();
        let content = driver.disk.content(Path::new("/a/file")).expect("the name was synced");
        assert!(content[4096..].iter().all(|byte| *byte == 9) && content.len() == 6 * 4096, "seed {seed}");
    }
}

#[test]
fn an_unsynced_write_or_name_is_lost_by_some_crashes_and_torn_by_others() {
    let (mut lost_name, mut lost, mut kept, mut torn) = (0, 0, 0, 0);
    for seed in 0..300 {
        let mut driver = Driver::new(seed);
        driver.create("/a/file");
        driver.run(DiskOp::SetLen { file: FILE, len: 4096 }).unwrap();
        driver.run(DiskOp::Sync { file: FILE }).unwrap();
        let write = driver.write(0, 1, 9, false);
        driver.run(write).unwrap();
        driver.disk.crash();
        match driver.disk.content(Path::new("/a/file")) {
            None => lost_name += 1,
            Some(content) => match content.iter().filter(|byte| **byte == 9).count() {
                0 => lost += 1,
                4096 => kept += 1,
                _ => torn += 1,
            },
        }
    }
    assert!([lost_name, lost, kept, torn].iter().all(|count| *count > 5), "{lost_name} {lost} {kept} {torn}");
}

#[test]
fn a_kill_lets_parts_of_a_write_land_now_later_or_never() {
    let (mut late, mut partly) = (0, 0);
    for seed in 0..300 {
        let mut driver = Driver::new(seed);
        driver.create("/a/file");
        let write = driver.write(0, 4, 9, true);
        driver.start(write);
        driver.disk.kill(driver.session);
        let written =
            |disk: &SimDisk| disk.content(Path::new("/a/file")).unwrap().iter().filter(|byte| **byte == 9).count();
        let at_once = written(&driver.disk);
        assert_eq!(driver.disk.poll(u64::MAX).map(|(session, _)| session), None);
        let finally = written(&driver.disk);
        late += u32::from(finally > at_once);
        partly += u32::from(finally > 0 && finally < 4 * 4096);
    }
    assert!(late > 10 && partly > 10, "{late} {partly}");
}

#[test]
fn a_lock_excludes_another_process_until_its_holder_is_dead() {
    let mut driver = Driver::new(1);
    driver.create("/a/file");
    assert_eq!(driver.run(DiskOp::TryLock { file: FILE }), Ok(Outcome::Locked(true)));
    let first = driver.session;
    driver.session = driver.disk.attach();
    driver.run(DiskOp::Open { file: FILE, path: "/a/file".into(), mode: OpenMode::Read }).unwrap();
    assert_eq!(driver.run(DiskOp::TryLock { file: FILE }), Ok(Outcome::Locked(false)));
    driver.disk.kill(first);
    assert_eq!(driver.run(DiskOp::TryLock { file: FILE }), Ok(Outcome::Locked(true)));
}

#[test]
fn links_share_content_and_refuse_a_taken_name() {
    let mut driver = Driver::new(1);
    driver.create("/a/one");
    let link = |to: &str| DiskOp::Link { from: "/a/one".into(), to: to.into() };
    driver.run(link("/a/two")).unwrap();
    assert_eq!(driver.run(link("/a/two")).unwrap_err().kind, ErrorKind::AlreadyExists);
    let write = driver.write(0, 1, 3, true);
    driver.run(write).unwrap();
    driver.run(DiskOp::Unlink { path: "/a/one".into() }).unwrap();
    assert_eq!(driver.disk.content(Path::new("/a/two")).unwrap()[0], 3);
    assert_eq!(driver.run(DiskOp::List { path: "/a".into() }), Ok(Outcome::Names(vec!["two".into()])));
}

#[test]
fn capacity_and_planted_errors_fail_the_request_and_unlinking_gives_space_back() {
    let mut driver = Driver::with(1, SimConfig { capacity_bytes: 8192, ..SimConfig::default() });
    driver.create("/a/file");
    let write = driver.write(0, 3, 1, true);
    assert_eq!(driver.run(write).unwrap_err().kind, ErrorKind::StorageFull);
    driver.run(DiskOp::Close { file: FILE }).unwrap();
    driver.run(DiskOp::Unlink { path: "/a/file".into() }).unwrap();
    assert_eq!(driver.disk.used_bytes(), 0);
    let fault =
        Fault { session: None, operation: OpKind::List, path_contains: "a".into(), kind: ErrorKind::Other, count: 1 };
    driver.disk.fail_next(fault);
    assert!(driver.run(DiskOp::List { path: "/a".into() }).is_err());
    assert!(driver.run(DiskOp::List { path: "/a".into() }).is_ok());
}

#[test]
fn direct_files_refuse_misaligned_requests() {
    let mut driver = Driver::new(1);
    driver.create("/a/file");
    let odd = DiskOp::Write { file: FILE, offset: 512, data: block(1, 1), durable: false };
    assert_eq!(driver.run(odd).unwrap_err().kind, ErrorKind::InvalidInput);
    let odd = DiskOp::Write { file: FILE, offset: 0, data: block(1, 2).slice(1..4097), durable: false };
    assert_eq!(driver.run(odd).unwrap_err().kind, ErrorKind::InvalidInput);
    let odd = DiskOp::Read { file: FILE, offset: 0, len: 100 };
    assert_eq!(driver.run(odd).unwrap_err().kind, ErrorKind::InvalidInput);
}

#[test]
fn the_same_seed_gives_the_same_history() {
    let history = |seed| {
        let mut driver = Driver::new(seed);
        driver.create("/a/file");
        for byte in 0..50 {
            let write = driver.write(u64::from(byte) * 4096, 2, byte, false);
            driver.start(write);
        }
        let mut order = Vec::new();
        while let Some((_, done)) = driver.disk.poll(1_000_000) {
            order.push(done.id);
        }
        driver.disk.crash();
        (order, driver.disk.content(Path::new("/a/file")))
    };
    assert_eq!(history(5), history(5));
    assert_ne!(history(5).0, history(6).0);
}

#[test]
fn crash_images_hold_what_is_durable_and_any_one_of_what_is_not() {
    let mut disk = SimDisk::new(1, SimConfig::default());
    disk.put(Path::new("/d/file"), &[7; 3 * BLOCK_SIZE]);
    let session = disk.attach();
    let mut submit = |id: u64, op: DiskOp| disk.submit(id * 100_000_000, session, DiskRequest { id, op });
    submit(1, DiskOp::Open { file: FileId(1), path: "/d/file".into(), mode: OpenMode::ReadWrite });
    let _ = disk.poll(200_000_000);
    let mut submit = |id: u64, op: DiskOp| disk.submit(id * 100_000_000, session, DiskRequest { id, op });
    let mut data = aligned(2 * BLOCK_SIZE);
    data.resize(2 * BLOCK_SIZE, 9);
    let data = data.freeze();
    submit(3, DiskOp::Write { file: FileId(1), offset: 0, data: data.clone(), durable: true });
    submit(3, DiskOp::Write { file: FileId(1), offset: 3 * BLOCK_SIZE as u64, data, durable: true });
    submit(3, DiskOp::Link { from: "/d/file".into(), to: "/d/other".into() });
    let images = disk.crash_images();
    let states: BTreeSet<(bool, Vec<u8>)> = images
        .iter()
        .map(|image| {
            let bytes = image.disk.content(Path::new("/d/file")).expect("a durable name");
            let sectors = bytes.chunks(512).map(|sector| sector[0]).collect();
            (image.disk.content(Path::new("/d/other")).is_some(), sectors)
        })
        .collect();
    let old = [[7; 8], [7; 8], [7; 8]].concat();
    let new = [[9; 8], [9; 8], [7; 8], [9; 8], [9; 8]].concat();
    for expected in [
        (false, old.clone()),
        (true, old.clone()),
        (true, new.clone()),
        (false, new),
        (false, [[9; 8], [9; 8], [7; 8]].concat()),
        (false, [[9; 8], [7; 8], [7; 8]].concat()),
        (false, [[7; 8], [9; 8], [7; 8]].concat()),
        (false, [[9, 7, 9, 7, 9, 7, 9, 7], [9, 7, 9, 7, 9, 7, 9, 7], [7; 8]].concat()),
        (false, [[7; 8], [7; 8], [7; 8], [9; 8], [9; 8]].concat()),
    ] {
        assert!(states.contains(&expected), "{expected:?} is missing in {states:?}");
    }
    let fingerprints: BTreeSet<u64> = images.iter().map(|image| image.disk.fingerprint()).collect();
    assert_eq!(fingerprints.len(), states.len());
}
