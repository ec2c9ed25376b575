//! What only the kernel backend has to prove: limits, leaks, the end of a reactor.
#![allow(unsafe_code)]

use super::*;
use crate::{Reactor, RecvBuffer};
use bytes::Bytes;
use disk::{DiskOp, FileId, OpenMode};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

fn reactor(config: Config) -> Uring {
    Uring::new(config).unwrap_or_else(|error| panic!("{error}"))
}

/// A directory beside this program: the usual place for temporary files may be in memory.
pub(super) fn directory_on_disk() -> tempfile::TempDir {
    let program = std::env::current_exe().expect("this program has a path");
    tempfile::tempdir_in(program.parent().expect("it is in a directory")).expect("a directory")
}

/// Turns until `done` says so, with each event given to `handle`.
fn turn_until(uring: &mut Uring, mut handle: impl FnMut(&mut Uring, Event), mut done: impl FnMut(&Uring) -> bool) {
    let started = Instant::now();
    let mut events = VecDeque::new();
    while !done(uring) {
        assert!(started.elapsed() < Duration::from_secs(10), "it takes too long");
        uring.set_timer(uring.now() + 1_000_000, u64::MAX);
        uring.wait(&mut events).expect("wait");
        events.drain(..).for_each(|event| handle(uring, event));
    }
}

/// (the end that connected, the end that was accepted), for each of `count`.
fn connect(uring: &mut Uring, count: usize) -> Vec<(SocketId, SocketId)> {
    let (_, address) = uring.listen("127.0.0.1:0".parse().expect("an address")).expect("listen");
    let mut pairs = Vec::new();
    for _ in 0..count {
        let client = uring.connect(address);
        let (server, connected) = (std::cell::Cell::new(None), std::cell::Cell::new(false));
        let handle = |_: &mut Uring, event| match event {
            Event::Accepted { socket, .. } => server.set(Some(socket)),
            Event::Connected { socket } if socket == client => connected.set(true),
            _ => {}
        };
        turn_until(uring, handle, |_| server.get().is_some() && connected.get());
        pairs.push((client, server.get().expect("accepted")));
    }
    pairs
}

#[test]
fn sockets_that_found_no_buffer_go_on_when_one_comes_back() {
    let mut uring = reactor(Config { recv_buffers: 4, recv_buffer_size: 512, ..Config::default() });
    let pairs = connect(&mut uring, 8);
    pairs.iter().for_each(|(client, _)| uring.send(*client, vec![Bytes::from(vec![7; 4096])]));
    let mut held: Vec<RecvBuffer> = Vec::new();
    let mut received = 0;
    let keep = |held: &mut Vec<RecvBuffer>, event| {
        if let Event::Received { data, .. } = event {
            held.push(data);
        }
    };
    // Nothing is given back: after four buffers all sockets starve, and the reactor sleeps instead of spinning.
    let until = uring.now() + 30_000_000;
    let mut turns = 0;
    turn_until(
        &mut uring,
        |_, event| keep(&mut held, event),
        |uring| {
            turns += 1;
            uring.now() > until
        },
    );
    assert_eq!(held.len(), 4);
    assert!(!uring.pool.has_free());
    assert!(turns < 100, "{turns} turns in 30 ms");
    let started = Instant::now();
    while received < 8 * 4096 {
        assert!(started.elapsed() < Duration::from_secs(10), "only {received} bytes came");
        received += held.drain(..).map(|data| data.len()).sum::<usize>();
        let mut got = Vec::new();
        turn_until(
            &mut uring,
            |_, event| keep(&mut held, event),
            |_| {
                got.push(());
                got.len() > 1
            },
        );
    }
    drop(held);
    assert_eq!(received, 8 * 4096);
    assert_eq!(uring.pool.held(), 0);
}

#[test]
fn a_thousand_connections_leave_nothing_behind() {
    let mut uring = reactor(Config::default());
    let before = uring.ring.in_flight();
    let (listener, address) = uring.listen("127.0.0.1:0".parse().expect("an address")).expect("listen");
    let mut ended = 0;
    let mut begun = 0;
    while begun < 1000 {
        let batch: Vec<SocketId> = (0..50).map(|_| uring.connect(address)).collect();
        begun += batch.len();
        turn_until(
            &mut uring,
            |uring, event| match event {
                // Closed while the peer's bytes, or its own, are under way, or at once.
                Event::Connected { socket } => {
                    uring.send(socket, vec![Bytes::from_static(&[1; 3000])]);
                    if socket.0.index % 3 == 0 {
                        uring.close(socket);
                    }
                }
                Event::Received { socket, .. } => uring.close(socket),
                Event::Closed { socket, .. } => {
                    ended += 1;
                    uring.close(socket);
                }
                Event::Accepted { socket, .. } if socket.0.index % 5 == 0 => uring.close(socket),
                Event::Accepted { .. } | Event::Sent { .. } | Event::Timer(_) => {}
                other => panic!("{other:?}"),
            },
            |uring| uring.sockets.len() == 0,
        );
    }
    assert!(ended > 0);
    uring.close_listener(listener);
    turn_until(&mut uring, |_, _| {}, |uring| uring.listeners.len() == 0 && uring.ring.in_flight() == before);
    assert_eq!(uring.pool.held(), 0);
}

#[test]
fn closing_ends_a_send_that_the_peer_does_not_read() {
    let mut uring = reactor(Config::default());
    let (client, server) = connect(&mut uring, 1)[0];
    uring.pause_receive(server);
    uring.send(client, vec![Bytes::from(vec![1; 32 << 20])]);
    let until = uring.now() + 20_000_000;
    turn_until(&mut uring, |_, _| {}, |uring| uring.now() > until);
    assert_eq!(uring.sockets.len(), 2);
    uring.close(client);
    turn_until(&mut uring, |_, _| {}, |uring| uring.sockets.len() == 1);
}

#[test]
fn both_ends_send_without_delay() {
    let mut uring = reactor(Config::default());
    let (client, server) = connect(&mut uring, 1)[0];
    for socket in [client, server] {
        let stream = uring.sockets.stream(socket);
        assert!(stream.nodelay().expect("getsockopt"), "TCP_NODELAY");
        // SAFETY: asks for the flags of a descriptor that is open.
        let flags = unsafe { libc::fcntl(stream.as_raw_fd(), libc::F_GETFD) };
        assert_eq!(flags, libc::FD_CLOEXEC, "a child process must not keep connections");
    }
}

#[test]
fn a_reactor_that_is_dropped_waits_for_the_kernel() {
    let directory = directory_on_disk();
    let mut uring = reactor(Config::default());
    let (client, server) = connect(&mut uring, 1)[0];
    uring.pause_receive(server);
    uring.send(client, vec![Bytes::from(vec![1; 32 << 20])]);
    let path = directory.path().join("file");
    let open = DiskOp::Open { file: FileId(1), path: path.clone(), mode: OpenMode::CreateNew };
    uring.submit_disk(DiskRequest { id: 1, op: open });
    let mut opened = false;
    let mut events = VecDeque::new();
    while !opened {
        uring.wait(&mut events).expect("wait");
        opened = events.drain(..).any(|event| matches!(event, Event::Disk(_)));
    }
    for id in 0..16 {
        let mut data = crate::buffer::aligned(1 << 20);
        data.resize(1 << 20, 3);
        let op = DiskOp::Write { file: FileId(1), offset: id << 20, data: data.freeze(), durable: true };
        uring.submit_disk(DiskRequest { id, op });
    }
    uring.ring.enter(Some(0)).expect("submit");
    assert!(uring.ring.in_flight() > 0);
    let started = Instant::now();
    drop(uring);
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
}

#[test]
fn a_watched_signal_is_an_event() {
    let mut uring = reactor(Config::default());
    uring.watch_signals().expect("signalfd");
    uring.watch_signals().expect("once more does nothing");
    for signal in [libc::SIGTERM, libc::SIGHUP, libc::SIGTERM] {
        // SAFETY: sends a signal to the calling thread, which has it blocked.
        assert_eq!(unsafe { libc::raise(signal) }, 0);
        let seen = std::cell::Cell::new(0);
        let handle = |_: &mut Uring, event| {
            if let Event::Signal(signal) = event {
                seen.set(signal);
            }
        };
        turn_until(&mut uring, handle, |_| seen.get() == signal);
    }
}

#[test]
fn the_reactor_is_bound_to_its_thread() {
    // A compile-time fact: `Reactor` must not become `Send`, or the kernel would refuse its submissions.
    trait NotSend<Marker> {
        fn holds(&self) {}
    }
    struct Ambiguous;
    impl<T: ?Sized> NotSend<()> for std::marker::PhantomData<T> {}
    impl<T: ?Sized + Send> NotSend<Ambiguous> for std::marker::PhantomData<T> {}
    std::marker::PhantomData::<Reactor>.holds();
}
