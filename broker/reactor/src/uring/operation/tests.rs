//! What cannot be provoked on a healthy disk: short transfers, interruptions, errors; and the flag that makes a write durable.

use super::*;
use crate::uring::tests::directory_on_disk;
use std::fs::File as StdFile;

const FILE: FileId = FileId(3);

/// One open file of each kind: on the test's own directory, direct or buffered.
fn files(direct: bool) -> (Files, tempfile::TempDir) {
    let directory = directory_on_disk();
    let path = directory.path().join("data");
    let descriptor = OwnedFd::from(StdFile::create_new(&path).expect("a file"));
    let mut files = Files::new(direct);
    let (is_direct, _) = files.adopt(FILE, path, OpenMode::CreateNew, descriptor).expect("adopt");
    assert_eq!(is_direct, direct, "the tests need a file system with direct I/O");
    (files, directory)
}

fn write(blocks: usize, durable: bool) -> Work {
    let mut data = aligned(blocks * BLOCK_SIZE);
    data.resize(blocks * BLOCK_SIZE, 1);
    Work::Write { file: FILE, offset: 8192, data: data.freeze(), written: 0, durable }
}

fn read(blocks: usize) -> Work {
    let len = blocks * BLOCK_SIZE;
    Work::Read { file: FILE, offset: 0, len, buffer: aligned(len) }
}

/// The fields of the submitted entry: (offset, length, flags), at their places in struct io_uring_sqe.
fn fields(entry: &squeue::Entry) -> (u64, u32, i32) {
    let bytes: *const u8 = std::ptr::from_ref(entry).cast();
    // SAFETY: an entry is the kernel's 64 byte structure; these fields lie within and are read unaligned.
    unsafe {
        (
            bytes.add(8).cast::<u64>().read_unaligned(),
            bytes.add(24).cast::<u32>().read_unaligned(),
            bytes.add(28).cast::<i32>().read_unaligned(),
        )
    }
}

fn again(step: Step) {
    if let Step::Done(result) = step {
        panic!("{result:?} instead of going on");
    }
}

fn done(step: Step) -> Result<Outcome, DiskError> {
    match step {
        Step::Again => panic!("it goes on"),
        Step::Done(result) => result,
    }
}

fn system_error(errno: i32) -> io::Result<u32> {
    Err(io::Error::from_raw_os_error(errno))
}

#[test]
fn only_a_durable_write_asks_the_kernel_for_durability() {
    let (files, _directory) = files(true);
    assert_eq!(fields(&write(2, true).entry(&files)), (8192, 8192, libc::RWF_DSYNC));
    assert_eq!(fields(&write(2, false).entry(&files)), (8192, 8192, 0));
}

#[test]
fn a_short_write_goes_on_at_a_block_and_stays_durable() {
    let (mut files, _directory) = files(true);
    let mut work = write(4, true);
    again(work.step(Ok(4096 + 512), &mut files));
    assert_eq!(fields(&work.entry(&files)), (8192 + 4096, 3 * 4096, libc::RWF_DSYNC));
    again(work.step(system_error(libc::EINTR), &mut files));
    assert_eq!(done(work.step(Ok(3 * 4096), &mut files)), Ok(Outcome::Done));
}

#[test]
fn a_buffered_short_write_goes_on_at_its_byte() {
    let (mut files, _directory) = files(false);
    let mut work = write(1, true);
    again(work.step(Ok(100), &mut files));
    assert_eq!(fields(&work.entry(&files)), (8192 + 100, 4096 - 100, libc::RWF_DSYNC));
}

#[test]
fn a_write_without_progress_is_an_error() {
    let (mut files, _directory) = files(true);
    for count in [0, 512] {
        let error = done(write(2, true).step(Ok(count), &mut files)).expect_err("it would never end");
        assert_eq!(error.kind, io::ErrorKind::WriteZero);
    }
    let error = done(write(2, true).step(system_error(libc::ENOSPC), &mut files)).expect_err("it is full");
    assert_eq!(error.kind, io::ErrorKind::StorageFull);
    assert!(error.message.contains("write 8192 bytes at 8192 of") && error.message.contains("data"), "{error}");
}

#[test]
fn a_short_read_goes_on_unless_it_met_the_end() {
    let check = |direct, counts: &[u32], expected_len| {
        let (mut files, _directory) = files(direct);
        let mut work = read(4);
        let (last, first) = counts.split_last().expect("at least one");
        first.iter().for_each(|count| again(work.step(Ok(*count), &mut files)));
        match done(work.step(Ok(*last), &mut files)) {
            Ok(Outcome::Data(data)) => assert_eq!(data.len(), expected_len),
            other => panic!("{other:?}"),
        }
    };
    check(true, &[4 * 4096], 4 * 4096);
    check(true, &[4096, 3 * 4096], 4 * 4096);
    check(true, &[4096, 0], 4096);
    check(true, &[4096 + 100], 4096 + 100);
    check(false, &[100, 4096, 0], 4196);
    check(true, &[0], 0);
}

#[test]
fn a_parent_that_cannot_be_made_ends_the_attempt() {
    let (mut files, directory) = files(true);
    // A dangling link: mkdir says that it exists, yet nothing can be made below it.
    let dangling = directory.path().join("dangling");
    std::os::unix::fs::symlink("nowhere", &dangling).expect("symlink");
    let path = dangling.join("below");
    let mut work = Work::CreateDir { levels: vec![(path.clone(), name(&path).expect("a name"))], returned: false };
    again(work.step(system_error(libc::ENOENT), &mut files));
    let error = done(work.step(system_error(libc::EEXIST), &mut files)).expect_err("it is no directory");
    assert!(error.message.contains("dangling"), "{error}");
}
