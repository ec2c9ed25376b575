//! The keeper of a process's memory holds nothing open, lets the sockets of a killed process be closed first, and ends
//! with the process. The test runs itself once more as that process.

use reactor::{Config, Event, Reactor};
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Tells the second process that it is one.
const KEPT: &str = "REACTOR_TEST_KEPT";
/// Everything happens within this time.
const LIMIT: Duration = Duration::from_secs(20);
/// A busy machine may notice too late that a socket was closed before the memory was freed, but not so many times.
const ATTEMPTS: usize = 5;

#[test]
fn sockets_close_before_the_memory_is_freed_and_then_it_ends() {
    if std::env::var_os(KEPT).is_some() {
        be_kept();
    }
    if let Err(error) = Reactor::uring(Config::default()) {
        eprintln!("skipped: {error}");
        return;
    }
    let in_order = (0..ATTEMPTS).find(|_| closes_before_the_end());
    assert!(in_order.is_some(), "the keeper kept sockets open in {ATTEMPTS} attempts");
}

/// Whether a connection was seen closed while the keeper was still there.
fn closes_before_the_end() -> bool {
    let mut kept = start();
    let (address, keeper) = greeting(&mut kept);
    let folder = PathBuf::from(format!("/proc/{keeper}"));
    await_that("it closes what it inherited", || {
        std::fs::read_dir(folder.join("fd")).is_ok_and(|mut descriptors| descriptors.next().is_none())
    });
    let mut client = TcpStream::connect(address).expect("it listens");
    client.set_read_timeout(Some(LIMIT)).expect("a socket");
    client.read_exact(&mut [0]).expect("it greets");
    kept.kill().expect("it is ours");
    // Closed or reset: both tell of the death.
    assert!(matches!(client.read(&mut [0]), Ok(0) | Err(_)));
    let is_in_order = !has_ended(keeper);
    kept.wait().expect("it was started");
    await_that("it ends with the process", || has_ended(keeper));
    is_in_order
}

/// The second process: a ring, a listener, a connection with a receive in flight, until it is killed.
fn be_kept() -> ! {
    let mut reactor = Reactor::uring(Config::default()).unwrap_or_else(|error| panic!("{error}"));
    let keeper = reactor::keep_memory().expect("a process may be started");
    let (_, address) = reactor.listen("127.0.0.1:0".parse().expect("an address")).expect("listen");
    println!("kept {address} {}", keeper.process_id);
    let deadline = reactor.now() + LIMIT.as_nanos() as u64;
    reactor.set_timer(deadline, 0);
    let mut events = VecDeque::new();
    while reactor.now() < deadline {
        reactor.wait(&mut events).expect("wait");
        for event in events.drain(..) {
            if let Event::Accepted { socket, .. } = event {
                reactor.send(socket, vec![bytes::Bytes::from_static(b"!")]);
            }
        }
    }
    std::process::exit(1)
}

fn start() -> Child {
    Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "sockets_close_before_the_memory_is_freed_and_then_it_ends", "--nocapture"])
        .env(KEPT, "1")
        .stdout(Stdio::piped())
        .spawn()
        .expect("this program can be started")
}

/// Where it listens, and the process id of its keeper.
fn greeting(kept: &mut Child) -> (SocketAddr, u32) {
    let mut lines = BufReader::new(kept.stdout.take().expect("it is a pipe")).lines();
    loop {
        let line = lines.next().expect("it says where it listens").expect("text");
        if let Some((_, words)) = line.split_once("kept ") {
            let (address, keeper) = words.split_once(' ').expect("two words");
            return (address.parse().expect("an address"), keeper.parse().expect("a process id"));
        }
    }
}

/// Gone, or only waiting for init to take notice.
fn has_ended(process: u32) -> bool {
    match std::fs::read_to_string(format!("/proc/{process}/stat")) {
        Ok(stat) => stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with(['Z', 'X'])),
        Err(_gone) => true,
    }
}

fn await_that(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}: not within {LIMIT:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
