//! Calls beyond reads and writes: a broker that finds one missing would go another way than on a real disk.

use crate::site::{Site, errno, open, read_at};
use nix::fcntl::{FallocateFlags, RenameFlags, fallocate, renameat2};
use nix::libc;
use nix::sys::statvfs::statvfs;
use nix::unistd::{Whence, lseek64};
use rustix::fs::copy_file_range;
use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};

#[test]
fn names_can_be_linked_moved_exchanged_and_listed() {
    let Some(site) = Site::start() else { return };
    std::fs::write(site.a("one"), "1").expect("space");
    std::fs::hard_link(site.a("one"), site.a("link")).expect("space");
    assert_eq!(std::fs::metadata(site.b("one")).expect("it is there").nlink(), 2);
    assert_eq!(errno(std::fs::hard_link(site.b("one"), site.b("link"))), Some(libc::EEXIST));
    std::fs::write(site.a("two"), "2").expect("space");
    let rename = |flags| {
        let cwd = nix::fcntl::AT_FDCWD;
        renameat2(cwd, &site.a("one"), cwd, &site.a("two"), flags)
    };
    assert_eq!(rename(RenameFlags::RENAME_NOREPLACE), Err(nix::errno::Errno::EEXIST));
    assert_eq!(rename(RenameFlags::RENAME_EXCHANGE), Ok(()));
    assert_eq!(std::fs::read(site.b("one")).expect("it is there"), b"2");
    assert_eq!(rename(RenameFlags::empty()), Ok(()));
    std::fs::create_dir(site.a("folder")).expect("space");
    std::os::unix::fs::symlink("two", site.a("symbolic")).expect("space");
    assert_eq!(std::fs::read(site.b("symbolic")).expect("it leads to two"), b"2");
    let mut names: Vec<String> = std::fs::read_dir(site.b(""))
        .expect("the root")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("ASCII"))
        .collect();
    names.sort();
    assert_eq!(names, ["folder", "link", "symbolic", "two"]);
    std::fs::remove_dir(site.b("folder")).expect("it is empty");
    std::fs::remove_file(site.b("link")).expect("it is there");
    assert!(!site.a("folder").exists() && !site.a("link").exists());
}

#[test]
fn an_open_file_outlives_its_name() {
    let Some(site) = Site::start() else { return };
    let file = site.file("data", 4096);
    std::fs::remove_file(site.b("data")).expect("it is there");
    file.write_at(b"alive", 0).expect("it is open");
    assert_eq!(read_at(&file, 0, 5), b"alive");
}

#[test]
fn space_can_be_allocated_punched_sought_and_copied() {
    let Some(site) = Site::start() else { return };
    let file = open(&site.a("data"));
    fallocate(&file, FallocateFlags::empty(), 0, 16 * 4096).expect("space");
    assert_eq!(file.metadata().expect("it is open").len(), 16 * 4096);
    assert_eq!(file.metadata().expect("it is open").blocks(), 16 * 8);
    file.write_at(&[1; 16 * 4096], 0).expect("space");
    let punch = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
    fallocate(&file, punch, 4096, 2 * 4096).expect("no fault");
    assert_eq!((read_at(&file, 4095, 2), read_at(&file, 3 * 4096 - 1, 2)), (vec![1, 0], vec![0, 1]));
    assert_eq!(lseek64(&file, 0, Whence::SeekHole), Ok(4096));
    assert_eq!(lseek64(&file, 4096, Whence::SeekData), Ok(3 * 4096));
    fallocate(&file, FallocateFlags::FALLOC_FL_ZERO_RANGE, 0, 10).expect("no fault");
    assert_eq!(read_at(&file, 9, 2), [0, 1]);
    fallocate(&file, FallocateFlags::FALLOC_FL_KEEP_SIZE, 16 * 4096, 4096).expect("space");
    assert_eq!(file.metadata().expect("it is open").len(), 16 * 4096);
    let target = open(&site.a("copy"));
    let (mut from, mut to) = (3 * 4096, 0);
    let copied = copy_file_range(&file, Some(&mut from), &target, Some(&mut to), 8192).expect("no fault");
    assert_eq!((copied, read_at(&target, 0, 8193)), (8192, vec![1; 8192]));
}

/// fuser cannot answer FUSE_TMPFILE; the error is the one of file systems without it, for which programs have another way.
#[test]
fn unnamed_files_are_refused_as_unsupported() {
    let Some(site) = Site::start() else { return };
    let unnamed = File::options().write(true).custom_flags(libc::O_TMPFILE).open(site.a(""));
    assert_eq!(errno(unnamed), Some(libc::EOPNOTSUPP));
}

#[test]
fn the_disk_tells_its_size() {
    let Some(site) = Site::with(|options| options.settings.capacity_bytes = 100 * 4096) else { return };
    let space = || statvfs(&site.b("")).expect("it is mounted");
    assert_eq!((space().blocks(), space().blocks_free(), space().block_size()), (100, 100, 4096));
    let file = open(&site.a("data"));
    fallocate(&file, FallocateFlags::empty(), 0, 90 * 4096).expect("space");
    assert_eq!(space().blocks_available(), 10);
    assert_eq!(errno(open(&site.a("more")).write_at(&[1; 11 * 4096], 0)), Some(libc::ENOSPC));
    file.write_at(&[1; 90 * 4096], 0).expect("it has its place");
}
