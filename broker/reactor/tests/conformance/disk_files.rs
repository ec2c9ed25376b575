//! Files, names and locks.

use crate::harness::Harness;
use bytes::Bytes;
use disk::{BLOCK_SIZE, DiskOp, FileId, OpenMode, Outcome};
use reactor::buffer::{aligned, is_aligned};
use std::io::ErrorKind;
use std::path::PathBuf;

const FILE: FileId = FileId(1);

fn blocks(count: usize, fill: u8) -> Bytes {
    let mut buffer = aligned(count * BLOCK_SIZE);
    buffer.extend((0..count * BLOCK_SIZE).map(|index| fill.wrapping_add((index / BLOCK_SIZE) as u8)));
    buffer.freeze()
}

fn path(harness: &Harness, name: &str) -> PathBuf {
    harness.directory.join(name)
}

fn open(harness: &mut Harness, file: FileId, name: &str, mode: OpenMode) -> Result<Outcome, ErrorKind> {
    let path = path(harness, name);
    harness.disk(DiskOp::Open { file, path, mode }).map_err(|error| error.kind)
}

fn create(harness: &mut Harness, file: FileId, name: &str) {
    let opened = open(harness, file, name, OpenMode::CreateNew).expect("a new file");
    assert!(matches!(opened, Outcome::Opened { len: 0, .. }), "{opened:?}");
}

fn write(harness: &mut Harness, file: FileId, offset: u64, data: Bytes, durable: bool) {
    assert_eq!(harness.disk(DiskOp::Write { file, offset, data, durable }), Ok(Outcome::Done));
}

fn read(harness: &mut Harness, file: FileId, offset: u64, len: usize) -> Bytes {
    match harness.disk(DiskOp::Read { file, offset, len }) {
        Ok(Outcome::Data(data)) => {
            assert!(is_aligned(&data) || data.is_empty(), "read data is aligned");
            data
        }
        other => panic!("{other:?}"),
    }
}

pub(crate) fn what_was_written_is_read_back(harness: &mut Harness) {
    create(harness, FILE, "a");
    write(harness, FILE, 0, blocks(3, 1), true);
    write(harness, FILE, 8192, blocks(2, 9), false);
    assert_eq!(harness.disk(DiskOp::Sync { file: FILE }), Ok(Outcome::Done));
    let expected = [blocks(2, 1), blocks(2, 9)].concat();
    assert!(read(harness, FILE, 0, 4 * BLOCK_SIZE) == expected);
    assert_eq!(harness.disk(DiskOp::Close { file: FILE }), Ok(Outcome::Done));
    let opened = open(harness, FILE, "a", OpenMode::Read).expect("it is there");
    assert!(matches!(opened, Outcome::Opened { len: 16_384, .. }), "{opened:?}");
    assert!(read(harness, FILE, 4096, 2 * BLOCK_SIZE) == expected[4096..12_288]);
}

pub(crate) fn reads_end_at_the_end_of_the_file(harness: &mut Harness) {
    create(harness, FILE, "a");
    write(harness, FILE, 0, blocks(2, 1), true);
    assert_eq!(read(harness, FILE, 4096, 4 * BLOCK_SIZE).len(), BLOCK_SIZE);
    assert_eq!(read(harness, FILE, 8192, BLOCK_SIZE).len(), 0);
    assert_eq!(harness.disk(DiskOp::SetLen { file: FILE, len: 5000 }), Ok(Outcome::Done));
    assert_eq!(read(harness, FILE, 0, 2 * BLOCK_SIZE), blocks(2, 1)[..5000]);
    assert_eq!(read(harness, FILE, 4096, BLOCK_SIZE).len(), 5000 - 4096);
}

pub(crate) fn a_new_length_reads_as_zeros(harness: &mut Harness) {
    create(harness, FILE, "a");
    assert_eq!(harness.disk(DiskOp::SetLen { file: FILE, len: 8192 }), Ok(Outcome::Done));
    assert_eq!(read(harness, FILE, 0, 8192), [0_u8; 8192][..]);
}

pub(crate) fn what_is_allocated_reads_as_zeros_and_keeps_what_there_was(harness: &mut Harness) {
    create(harness, FILE, "a");
    write(harness, FILE, 0, blocks(1, 7), true);
    assert_eq!(harness.disk(DiskOp::Allocate { file: FILE, len: 3 * BLOCK_SIZE as u64 }), Ok(Outcome::Done));
    let zeros = Bytes::from(vec![0; 2 * BLOCK_SIZE]);
    assert!(read(harness, FILE, 0, 4 * BLOCK_SIZE) == [blocks(1, 7), zeros].concat());
}

pub(crate) fn names_are_created_once(harness: &mut Harness) {
    create(harness, FILE, "a");
    assert_eq!(open(harness, FileId(2), "a", OpenMode::CreateNew), Err(ErrorKind::AlreadyExists));
    // Both handles see one file.
    open(harness, FileId(2), "a", OpenMode::ReadWrite).expect("it is there");
    write(harness, FILE, 0, blocks(1, 5), true);
    assert_eq!(read(harness, FileId(2), 0, BLOCK_SIZE), blocks(1, 5));
}

pub(crate) fn links_are_made_once_and_unlinked(harness: &mut Harness) {
    create(harness, FILE, "tmp");
    write(harness, FILE, 0, blocks(1, 3), true);
    let (from, to) = (path(harness, "tmp"), path(harness, "owner.1"));
    let link = DiskOp::Link { from: from.clone(), to: to.clone() };
    assert_eq!(harness.disk(link.clone()), Ok(Outcome::Done));
    assert_eq!(harness.disk(link).map_err(|error| error.kind), Err(ErrorKind::AlreadyExists));
    let unlink = DiskOp::Unlink { path: from };
    assert_eq!(harness.disk(unlink.clone()), Ok(Outcome::Done));
    assert_eq!(harness.disk(unlink).map_err(|error| error.kind), Err(ErrorKind::NotFound));
    open(harness, FileId(2), "owner.1", OpenMode::Read).expect("the other name is left");
    assert_eq!(read(harness, FileId(2), 0, BLOCK_SIZE), blocks(1, 3));
}

pub(crate) fn directories_are_made_with_their_parents_and_listed(harness: &mut Harness) {
    let deep = path(harness, "one/two/three");
    for _ in 0..2 {
        assert_eq!(harness.disk(DiskOp::CreateDir { path: deep.clone() }), Ok(Outcome::Done));
    }
    create(harness, FILE, "one/two/b");
    create(harness, FileId(2), "one/two/a");
    let parent = path(harness, "one/two");
    assert_eq!(harness.disk(DiskOp::SyncDir { path: parent.clone() }), Ok(Outcome::Done));
    let names = ["a", "b", "three"].map(String::from).to_vec();
    assert_eq!(harness.disk(DiskOp::List { path: parent }), Ok(Outcome::Names(names)));
    let below_a_file = path(harness, "one/two/a/x");
    let refused = harness.disk(DiskOp::CreateDir { path: below_a_file }).expect_err("a file is in the way");
    assert_eq!(refused.kind, ErrorKind::NotADirectory);
}

pub(crate) fn what_is_not_there_is_not_found(harness: &mut Harness) {
    let missing = path(harness, "missing");
    let other = path(harness, "other");
    for op in [
        DiskOp::Open { file: FILE, path: missing.clone(), mode: OpenMode::Read },
        DiskOp::Open { file: FILE, path: missing.clone(), mode: OpenMode::ReadWrite },
        DiskOp::Open { file: FILE, path: missing.join("below"), mode: OpenMode::CreateNew },
        DiskOp::Unlink { path: missing.clone() },
        DiskOp::Link { from: missing.clone(), to: other },
        DiskOp::SyncDir { path: missing.clone() },
        DiskOp::List { path: missing.clone() },
    ] {
        let error = harness.disk(op.clone()).expect_err("nothing is there");
        assert_eq!(error.kind, ErrorKind::NotFound, "{op:?}: {error}");
        assert!(error.message.contains("missing"), "the message names the path: {error}");
    }
}

pub(crate) fn a_lock_has_one_holder(harness: &mut Harness) {
    create(harness, FILE, "lock");
    let second = FileId(2);
    open(harness, second, "lock", OpenMode::ReadWrite).expect("it is there");
    assert_eq!(harness.disk(DiskOp::TryLock { file: FILE }), Ok(Outcome::Locked(true)));
    assert_eq!(harness.disk(DiskOp::TryLock { file: FILE }), Ok(Outcome::Locked(true)));
    assert_eq!(harness.disk(DiskOp::TryLock { file: second }), Ok(Outcome::Locked(false)));
    assert_eq!(harness.disk(DiskOp::Close { file: FILE }), Ok(Outcome::Done));
    assert_eq!(harness.disk(DiskOp::TryLock { file: second }), Ok(Outcome::Locked(true)));
}

pub(crate) fn misaligned_requests_are_refused(harness: &mut Harness) {
    create(harness, FILE, "a");
    let shifted = blocks(2, 1).slice(512..512 + BLOCK_SIZE);
    for op in [
        DiskOp::Write { file: FILE, offset: 512, data: blocks(1, 1), durable: true },
        DiskOp::Write { file: FILE, offset: 0, data: blocks(1, 1).slice(..512), durable: true },
        DiskOp::Write { file: FILE, offset: 0, data: shifted, durable: false },
        DiskOp::Write { file: FILE, offset: 0, data: Bytes::new(), durable: true },
        DiskOp::Read { file: FILE, offset: 512, len: 4096 },
        DiskOp::Read { file: FILE, offset: 0, len: 100 },
    ] {
        let error = harness.disk(op.clone()).expect_err("it is misaligned");
        assert_eq!(error.kind, ErrorKind::InvalidInput, "{op:?}: {error}");
    }
    assert_eq!(harness.disk(DiskOp::Close { file: FILE }), Ok(Outcome::Done));
    open(harness, FILE, "a", OpenMode::Read).expect("it is there");
    let read_only = DiskOp::Write { file: FILE, offset: 0, data: blocks(1, 1), durable: true };
    assert_eq!(harness.disk(read_only).expect_err("open for reading").kind, ErrorKind::InvalidInput);
}

pub(crate) fn files_that_are_not_open_are_refused(harness: &mut Harness) {
    for op in [
        DiskOp::Write { file: FILE, offset: 0, data: blocks(1, 1), durable: true },
        DiskOp::Read { file: FILE, offset: 0, len: 4096 },
        DiskOp::Sync { file: FILE },
        DiskOp::SetLen { file: FILE, len: 4096 },
        DiskOp::Allocate { file: FILE, len: 4096 },
        DiskOp::TryLock { file: FILE },
        DiskOp::Close { file: FILE },
    ] {
        let error = harness.disk(op.clone()).expect_err("it is not open");
        assert_eq!(error.kind, ErrorKind::InvalidInput, "{op:?}: {error}");
    }
    create(harness, FILE, "a");
    assert_eq!(open(harness, FILE, "a", OpenMode::Read), Err(ErrorKind::InvalidInput), "the number is in use");
}

pub(crate) fn many_writes_at_once_all_land(harness: &mut Harness) {
    create(harness, FILE, "a");
    let mut pending: Vec<u64> = (0..64)
        .map(|index| {
            let data = blocks(4, index as u8);
            harness.submit(DiskOp::Write { file: FILE, offset: index * 16_384, data, durable: index % 2 == 0 })
        })
        .collect();
    while !pending.is_empty() {
        let done = harness.disk_done();
        assert_eq!(done.result, Ok(Outcome::Done));
        let position = pending.iter().position(|id| *id == done.id).expect("each completes once");
        pending.swap_remove(position);
    }
    for index in 0..64 {
        assert!(read(harness, FILE, index * 16_384, 16_384) == blocks(4, index as u8), "write {index}");
    }
}

pub(crate) fn the_sync_delay_holds_back_flushes_only(harness: &mut Harness) {
    // Far more than a busy disk takes.
    const DELAY: u64 = 600_000_000;
    create(harness, FILE, "a");
    harness.reactor.set_sync_delay(DELAY);
    let path = harness.directory.clone();
    let flushes = [
        DiskOp::Write { file: FILE, offset: 0, data: blocks(1, 1), durable: true },
        DiskOp::Sync { file: FILE },
        DiskOp::SyncDir { path },
    ];
    let start = harness.reactor.now();
    let ids: Vec<u64> = flushes.into_iter().map(|op| harness.submit(op)).collect();
    let plain = harness.submit(DiskOp::Write { file: FILE, offset: 4096, data: blocks(1, 2), durable: false });
    assert_eq!(harness.disk_done().id, plain);
    let mut flushed: Vec<u64> = (0..3).map(|_| harness.disk_done().id).collect();
    assert!(harness.reactor.now() >= start + DELAY);
    flushed.sort_unstable();
    assert_eq!(flushed, ids);
    harness.reactor.set_sync_delay(0);
    let start = harness.reactor.now();
    assert_eq!(harness.disk(DiskOp::Sync { file: FILE }), Ok(Outcome::Done));
    assert!(harness.reactor.now() < start + DELAY);
}
