//! File descriptors: none is left behind, and the want of them does not spin. One test, because it changes and counts
//! what the whole process shares.

use bytes::Bytes;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use reactor::{Config, Event, Reactor, SocketId};
use std::collections::VecDeque;
use std::fs::File;
use std::net::{SocketAddr, TcpStream};

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("proc").count()
}

/// Takes every descriptor that the process may still have.
fn exhaust() -> Vec<File> {
    std::iter::from_fn(|| File::open("/dev/null").ok()).collect()
}

/// Turns for `nanos` nanoseconds; gives the events and the number of turns.
fn turn_for(reactor: &mut Reactor, nanos: u64) -> (Vec<Event>, usize) {
    let mut events = VecDeque::new();
    let mut seen = Vec::new();
    let mut turns = 0;
    let until = reactor.now() + nanos;
    loop {
        reactor.set_timer(until, 0);
        reactor.wait(&mut events).expect("wait");
        seen.extend(events.drain(..).filter(|event| !matches!(event, Event::Timer(0))));
        turns += 1;
        if reactor.now() >= until {
            break;
        }
    }
    (seen, turns)
}

fn accepted(events: &[Event]) -> Vec<SocketId> {
    events
        .iter()
        .filter_map(|event| match event {
            Event::Accepted { socket, .. } => Some(*socket),
            _ => None,
        })
        .collect()
}

/// Opens and closes connections from both ends.
fn come_and_go(reactor: &mut Reactor, address: SocketAddr, count: usize) {
    for _ in 0..count / 50 {
        let clients: Vec<SocketId> = (0..50).map(|_| reactor.connect(address)).collect();
        let mut events = VecDeque::new();
        let mut left = 2 * clients.len();
        while left > 0 {
            reactor.wait(&mut events).expect("wait");
            for event in events.drain(..) {
                match event {
                    Event::Accepted { socket, .. } => reactor.send(socket, vec![Bytes::from_static(&[5; 100])]),
                    Event::Received { socket, .. } | Event::Closed { socket, .. } => {
                        reactor.close(socket);
                        left -= 1;
                    }
                    Event::Connected { .. } | Event::Sent { .. } => {}
                    other => panic!("{other:?}"),
                }
            }
        }
    }
}

#[test]
fn descriptors_are_neither_leaked_nor_hunted_for() {
    let before_all = open_descriptors();
    let mut reactor = Reactor::uring(Config::default()).unwrap_or_else(|error| panic!("{error}"));
    let (listener, address) = reactor.listen("127.0.0.1:0".parse().expect("an address")).expect("listen");
    let before = open_descriptors();
    come_and_go(&mut reactor, address, 1000);
    turn_for(&mut reactor, 50_000_000);
    assert_eq!(open_descriptors(), before, "after a thousand connections");

    // The kernel notes the limit when it begins to accept.
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("getrlimit");
    setrlimit(Resource::RLIMIT_NOFILE, 200, hard).expect("setrlimit");
    reactor.close_listener(listener);
    let (listener, address) = reactor.listen(address).expect("listen again");
    turn_for(&mut reactor, 1_000_000);
    let clients: Vec<TcpStream> = (0..3).map(|_| TcpStream::connect(address).expect("the backlog takes it")).collect();
    let taken = exhaust();
    let (events, turns) = turn_for(&mut reactor, 350_000_000);
    let failures =
        events.iter().filter(|event| matches!(event, Event::AcceptFailed { listener: of, .. } if *of == listener));
    let failures = failures.count();
    assert!((1..=5).contains(&failures), "{failures} failures in 350 ms");
    assert!(turns < 30, "{turns} turns in 350 ms");
    assert!(accepted(&events).is_empty());
    // An attempt to connect says so as well.
    let refused = reactor.connect(address);
    let (events, _) = turn_for(&mut reactor, 1_000_000);
    let told =
        events.iter().any(|event| matches!(event, Event::Closed { socket, error: Some(_) } if *socket == refused));
    assert!(told, "{events:?}");
    reactor.close(refused);

    // They come in as soon as there are descriptors again.
    drop(taken);
    let (events, _) = turn_for(&mut reactor, 300_000_000);
    assert_eq!(accepted(&events).len(), 3);
    drop(clients);
    drop(reactor);
    assert_eq!(open_descriptors(), before_all, "after the end of the reactor");
}
