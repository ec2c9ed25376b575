//! SIGKILL frees the lock: the next process must get it as soon as the kernel has ended what was in flight. The test runs
//! itself once more as the process to be killed.

use bytes::Bytes;
use disk::{DiskOp, DiskRequest, FileId, OpenMode, Outcome};
use reactor::{Config, Event, Reactor, buffer};
use std::collections::VecDeque;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Tells the second process where the files are.
const VICTIM: &str = "REACTOR_TEST_VICTIM";
const LOCK: FileId = FileId(1);
const DATA: FileId = FileId(2);
const WRITES_IN_FLIGHT: u64 = 8;
/// The victim ends by itself after so many nanoseconds, should nobody kill it.
const LIFE: u64 = 10_000_000_000;

fn disk(reactor: &mut Reactor, op: DiskOp) -> Outcome {
    reactor.submit_disk(DiskRequest { id: 0, op });
    let mut events = VecDeque::new();
    loop {
        reactor.wait(&mut events).expect("wait");
        for event in events.drain(..) {
            if let Event::Disk(done) = event {
                return done.result.unwrap_or_else(|error| panic!("{error}"));
            }
        }
    }
}

fn open(reactor: &mut Reactor, file: FileId, path: PathBuf, mode: OpenMode) {
    disk(reactor, DiskOp::Open { file, path, mode });
}

/// Locks, then writes, receives and sends until it is killed.
fn be_the_victim(directory: &Path) -> ! {
    let mut reactor = Reactor::uring(Config::default()).unwrap_or_else(|error| panic!("{error}"));
    open(&mut reactor, LOCK, directory.join("lock"), OpenMode::CreateNew);
    open(&mut reactor, DATA, directory.join("data"), OpenMode::CreateNew);
    assert_eq!(disk(&mut reactor, DiskOp::TryLock { file: LOCK }), Outcome::Locked(true));
    let (_, address) = reactor.listen("127.0.0.1:0".parse().expect("an address")).expect("listen");
    reactor.connect(address);
    println!("locked");
    let mut block = buffer::aligned(1 << 20);
    block.resize(1 << 20, 1);
    let block = block.freeze();
    let write = |reactor: &mut Reactor, id: u64| {
        let op = DiskOp::Write { file: DATA, offset: id << 20, data: block.clone(), durable: true };
        reactor.submit_disk(DiskRequest { id, op });
    };
    (0..WRITES_IN_FLIGHT).for_each(|id| write(&mut reactor, id));
    let mut events = VecDeque::new();
    reactor.set_timer(reactor.now() + LIFE, 0);
    loop {
        reactor.wait(&mut events).expect("wait");
        for event in events.drain(..) {
            match event {
                Event::Timer(_) => std::process::exit(1),
                Event::Disk(done) => write(&mut reactor, done.id),
                Event::Connected { socket } | Event::Sent { socket } => {
                    reactor.send(socket, vec![Bytes::from(vec![0; 100_000])]);
                }
                _ => {}
            }
        }
    }
}

/// A second process, which does not outlive the test.
struct Victim(Child);

impl Drop for Victim {
    fn drop(&mut self) {
        self.0.kill().and_then(|()| self.0.wait()).expect("a child of ours can be killed");
    }
}

fn start_victim(directory: &Path) -> Victim {
    let child = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "a_killed_process_gives_up_its_lock", "--nocapture"])
        .env(VICTIM, directory)
        .stdout(Stdio::piped())
        .spawn()
        .expect("a second process");
    let mut victim = Victim(child);
    let mut lines = BufReader::new(victim.0.stdout.take().expect("it is piped")).lines();
    assert!(lines.any(|line| line.expect("a line").contains("locked")), "the victim did not come up");
    victim
}

#[test]
fn a_killed_process_gives_up_its_lock() {
    if let Some(directory) = std::env::var_os(VICTIM) {
        be_the_victim(Path::new(&directory));
    }
    let mut reactor = Reactor::uring(Config::default()).unwrap_or_else(|error| panic!("{error}"));
    for _ in 0..3 {
        let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
        let mut victim = start_victim(directory.path());
        open(&mut reactor, LOCK, directory.path().join("lock"), OpenMode::ReadWrite);
        std::thread::sleep(Duration::from_millis(30));
        let held = disk(&mut reactor, DiskOp::TryLock { file: LOCK });
        victim.0.kill().expect("SIGKILL");
        let killed = Instant::now();
        assert_eq!(held, Outcome::Locked(false));
        while disk(&mut reactor, DiskOp::TryLock { file: LOCK }) != Outcome::Locked(true) {
            assert!(killed.elapsed() < Duration::from_secs(2), "the lock of a dead process is still held");
            std::thread::sleep(Duration::from_micros(200));
        }
        println!("the lock was free {:?} after SIGKILL", killed.elapsed());
        drop(victim);
        disk(&mut reactor, DiskOp::Close { file: LOCK });
    }
}
