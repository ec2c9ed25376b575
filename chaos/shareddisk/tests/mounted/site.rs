//! A disk of two hosts in a temporary folder, for one test.

use shareddisk::Record;
use shareddisk::client::{Disk, unavailable};
use shareddisk::daemon::Options;
use shareddisk::model::{Operation, Settings};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

pub(crate) const A: &str = "hostA";
pub(crate) const B: &str = "hostB";

/// What may be held before the watchdog ends it: more than any test needs, less than anybody waits.
pub(crate) const HOLD_LIMIT_MS: u64 = 5_000;

pub(crate) struct Site {
    // Before the folder, so that nothing is mounted when it is removed.
    pub(crate) disk: Disk,
    pub(crate) folder: tempfile::TempDir,
}

impl Site {
    /// `None` where there can be no disk, which has then been said.
    pub(crate) fn start() -> Option<Self> {
        Self::with(|_| ())
    }

    pub(crate) fn with(change: impl FnOnce(&mut Options)) -> Option<Self> {
        if let Some(why) = unavailable() {
            eprintln!("skipped: {why}");
            return None;
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        let backing = folder.path().join("backing");
        std::fs::create_dir(&backing).expect("the folder is ours");
        let mut settings = Settings::new(&[A, B], 1);
        settings.lease.lease_ns = 300_000_000;
        settings.lease.grace_ns = 200_000_000;
        let mut options = Options {
            settings,
            backing,
            mounts: vec![folder.path().join(A), folder.path().join(B)],
            socket: folder.path().join("control"),
            hold_limit_ms: HOLD_LIMIT_MS,
            dies_with_parent: true,
        };
        change(&mut options);
        let program = Command::new(env!("CARGO_BIN_EXE_shareddisk"));
        let disk = Disk::start(program, options).expect("the disk starts");
        Some(Self { disk, folder })
    }

    pub(crate) fn a(&self, name: &str) -> PathBuf {
        self.disk.mount(0).join(name)
    }

    pub(crate) fn b(&self, name: &str) -> PathBuf {
        self.disk.mount(1).join(name)
    }

    /// A file that both hosts know for good, of some length.
    pub(crate) fn file(&self, name: &str, len: u64) -> File {
        let file = open(&self.a(name));
        file.set_len(len).expect("space");
        file.sync_all().expect("no fault");
        File::open(self.disk.mount(0)).expect("the root").sync_all().expect("no fault");
        file
    }

    /// All operations that the daemon remembers.
    pub(crate) fn log(&self) -> Vec<Record> {
        let path = self.folder.path().join("log");
        self.disk.write_log(&path).expect("the daemon answers");
        let text = std::fs::read_to_string(&path).expect("it was written");
        text.lines().map(|line| serde_json::from_str(line).expect("it is a record")).collect()
    }

    pub(crate) fn count(&self, operation: Operation) -> usize {
        self.log().iter().filter(|record| record.operation == operation).count()
    }

    /// Bytes that a host has not synced.
    pub(crate) fn unsynced(&self, index: usize) -> u64 {
        let report = self.disk.report().expect("the daemon answers");
        report.hosts[index].unsynced.iter().map(|file| file.bytes).sum()
    }
}

/// Opens for reading and writing, and makes the file if it is missing.
pub(crate) fn open(path: &Path) -> File {
    let options = File::options().read(true).write(true).create(true).truncate(false).open(path);
    options.unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

pub(crate) fn read_at(file: &File, offset: u64, len: usize) -> Vec<u8> {
    let mut buffer = vec![0; len];
    let count = file.read_at(&mut buffer, offset).expect("no fault");
    buffer.truncate(count);
    buffer
}

/// Waits until something holds; fails after some seconds.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(8);
    while !holds() {
        assert!(Instant::now() < deadline, "{what} does not happen");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The error number of a failed call.
pub(crate) fn errno<T>(result: std::io::Result<T>) -> Option<i32> {
    result.err().and_then(|error| error.raw_os_error())
}
