//! The simulated world: the same seed gives the same events, and each fault does what its name says.

use bytes::Bytes;
use disk::sim::{Fault, OpKind, SimConfig};
use disk::{DiskOp, DiskRequest, FileId, OpenMode, Outcome};
use reactor::sim::{HostId, NetworkConfig, World, WorldConfig};
use reactor::{Event, Reactor, SocketId};
use std::collections::VecDeque;
use std::io::ErrorKind;

const SEEDS: std::ops::Range<u64> = 0..30;
const MILLISECOND: u64 = 1_000_000;

/// A process that notes what happens to it and answers whatever it reads with the same bytes.
struct Process {
    id: HostId,
    reactor: Reactor,
    log: Vec<String>,
    read: Vec<u8>,
    sockets: Vec<SocketId>,
    echo: bool,
    sending: bool,
    to_send: Vec<Bytes>,
}

impl Process {
    fn new(world: &World, echo: bool) -> Self {
        let reactor = world.host();
        let id = world.id(&reactor);
        let (log, read, sockets, to_send) = (vec![], vec![], vec![], vec![]);
        Process { id, reactor, log, read, sockets, echo, sending: false, to_send }
    }

    fn turn(&mut self) {
        let mut events = VecDeque::new();
        self.reactor.wait(&mut events).expect("wait");
        for event in events {
            self.log.push(format!("{} {event:?}", self.reactor.now()));
            match event {
                Event::Accepted { socket, .. } | Event::Connected { socket } => self.sockets.push(socket),
                Event::Received { data, .. } => {
                    self.read.extend_from_slice(&data);
                    if self.echo {
                        self.to_send.push(Bytes::copy_from_slice(&data));
                    }
                }
                Event::Sent { .. } => self.sending = false,
                Event::Closed { socket, .. } => {
                    self.reactor.close(socket);
                    self.sockets.retain(|other| *other != socket);
                    self.sending = false;
                }
                _ => {}
            }
        }
        if !self.sending && !self.to_send.is_empty() && !self.sockets.is_empty() {
            self.reactor.send(self.sockets[0], std::mem::take(&mut self.to_send));
            self.sending = true;
        }
    }

    fn saw(&self, what: &str) -> usize {
        self.log.iter().filter(|line| line.contains(what)).count()
    }
}

fn run(world: &World, processes: &mut [&mut Process], nanos: u64) {
    world.run_until(world.now() + nanos, |host| {
        processes.iter_mut().filter(|process| process.id == host).for_each(|process| process.turn());
    });
}

/// A client and an echoing server, connected.
fn connected(world: &World) -> (Process, Process) {
    let (mut client, mut server) = (Process::new(world, false), Process::new(world, true));
    let address = "127.0.0.1:7222".parse().expect("an address");
    server.reactor.listen(address).expect("listen");
    client.reactor.connect(address);
    run(world, &mut [&mut client, &mut server], 10 * MILLISECOND);
    assert_eq!((client.sockets.len(), server.sockets.len()), (1, 1));
    (client, server)
}

fn for_each_seed(test: impl Fn(World)) {
    SEEDS.for_each(|seed| test(World::new(seed, WorldConfig::default())));
}

/// A file, and whatever `operations` gave on it, in the order of completion.
fn on_disk(world: &World, process: &mut Process, operations: Vec<DiskOp>) -> Vec<Result<Outcome, ErrorKind>> {
    let mut results = Vec::new();
    for (id, op) in operations.into_iter().enumerate() {
        process.reactor.submit_disk(DiskRequest { id: id as u64, op });
        let mut events = VecDeque::new();
        while events.is_empty() {
            assert_eq!(world.step(), Some(process.id));
            process.reactor.wait(&mut events).expect("wait");
        }
        match events.pop_front() {
            Some(Event::Disk(done)) => results.push(done.result.map_err(|error| error.kind)),
            other => panic!("{other:?}"),
        }
    }
    results
}

fn open_and_lock(mode: OpenMode) -> Vec<DiskOp> {
    let file = FileId(1);
    vec![DiskOp::Open { file, path: "/lock".into(), mode }, DiskOp::TryLock { file }]
}

#[test]
fn the_same_seed_gives_the_same_events_and_another_seed_others() {
    let play = |seed| {
        let world = World::new(seed, WorldConfig::default());
        let (mut client, mut server) = connected(&world);
        client.to_send.push(Bytes::from(vec![9; 400_000]));
        client.turn();
        run(&world, &mut [&mut client, &mut server], 500 * MILLISECOND);
        assert_eq!(client.read, vec![9; 400_000]);
        (client.log, server.log)
    };
    assert_eq!(play(1), play(1));
    assert_ne!(play(1), play(2));
}

#[test]
fn connections_overtake_each_other() {
    let overtaken = |seed| {
        let world = World::new(seed, WorldConfig::default());
        let mut server = Process::new(&world, false);
        let mut client = Process::new(&world, false);
        let address = "127.0.0.1:7222".parse().expect("an address");
        server.reactor.listen(address).expect("listen");
        for _ in 0..2 {
            client.reactor.connect(address);
        }
        run(&world, &mut [&mut client, &mut server], 10 * MILLISECOND);
        let order = client.sockets.clone();
        order.iter().enumerate().for_each(|(index, socket)| {
            client.reactor.send(*socket, vec![Bytes::from(vec![index as u8])]);
        });
        run(&world, &mut [&mut client, &mut server], 10 * MILLISECOND);
        server.read == [1, 0]
    };
    let count = SEEDS.filter(|seed| overtaken(*seed)).count();
    assert!((1..SEEDS.count()).contains(&count), "{count}");
}

#[test]
fn a_killed_process_takes_no_turn_and_its_connections_end() {
    for_each_seed(|world| {
        let (mut client, mut server) = connected(&world);
        world.kill(server.id);
        client.to_send.push(Bytes::from_static(b"is anybody there"));
        client.turn();
        run(&world, &mut [&mut client, &mut server], 20 * MILLISECOND);
        assert_eq!(client.saw("Closed"), 1, "{:?}", client.log);
        assert_eq!(server.read, b"");
        client.reactor.connect("127.0.0.1:7222".parse().expect("an address"));
        run(&world, &mut [&mut client, &mut server], 20 * MILLISECOND);
        assert_eq!(client.saw("ConnectionRefused"), 1, "{:?}", client.log);
        // Whatever the dead one is still told to do has no effect.
        server.reactor.connect("127.0.0.1:7222".parse().expect("an address"));
        server.reactor.set_timer(0, 1);
        server.reactor.submit_disk(DiskRequest { id: 1, op: DiskOp::List { path: "/".into() } });
        assert!(server.reactor.listen("127.0.0.1:7222".parse().expect("an address")).is_err());
        assert_eq!(world.step(), None);
    });
}

#[test]
fn a_stopped_process_goes_on_where_it_was() {
    for_each_seed(|world| {
        let (mut client, mut server) = connected(&world);
        server.reactor.set_timer(world.now() + MILLISECOND, 5);
        world.pause(server.id);
        client.to_send.push(Bytes::from(vec![1; 1_000_000]));
        client.turn();
        run(&world, &mut [&mut client, &mut server], 200 * MILLISECOND);
        assert_eq!((server.read.len(), server.saw("Timer"), client.read.len()), (0, 0, 0));
        assert_eq!(client.saw("Sent"), 0, "the kernel of a stopped process takes only a buffer full");
        assert_eq!(client.saw("Closed"), 0);
        world.resume(server.id);
        run(&world, &mut [&mut client, &mut server], 500 * MILLISECOND);
        assert_eq!((server.read.len(), server.saw("Timer(5)"), client.read.len()), (1_000_000, 1, 1_000_000));
    });
}

#[test]
fn a_cut_holds_one_direction_and_healing_delivers() {
    for_each_seed(|world| {
        let (mut client, mut server) = connected(&world);
        world.cut(server.id, client.id);
        client.to_send.push(Bytes::from_static(b"hello"));
        client.turn();
        run(&world, &mut [&mut client, &mut server], 100 * MILLISECOND);
        assert_eq!((&server.read[..], &client.read[..]), (&b"hello"[..], &b""[..]));
        assert_eq!(client.saw("Closed"), 0, "a cut is not noticed");
        world.heal(server.id, client.id);
        run(&world, &mut [&mut client, &mut server], 100 * MILLISECOND);
        assert_eq!(client.read, b"hello");
    });
}

#[test]
fn a_partition_holds_new_connections_too() {
    for_each_seed(|world| {
        let (mut client, mut server) = (Process::new(&world, false), Process::new(&world, true));
        let address = "127.0.0.1:7222".parse().expect("an address");
        server.reactor.listen(address).expect("listen");
        world.partition(&[client.id], &[server.id]);
        client.reactor.connect(address);
        client.to_send.push(Bytes::from(vec![2; 600_000]));
        run(&world, &mut [&mut client, &mut server], 100 * MILLISECOND);
        assert_eq!((client.log.len(), server.log.len()), (0, 0));
        world.unite(&[client.id], &[server.id]);
        run(&world, &mut [&mut client, &mut server], 300 * MILLISECOND);
        assert_eq!(client.read, vec![2; 600_000]);
    });
}

#[test]
fn a_reset_tells_both_ends() {
    for_each_seed(|world| {
        let (mut client, mut server) = connected(&world);
        world.reset(client.id, server.id);
        run(&world, &mut [&mut client, &mut server], MILLISECOND);
        assert_eq!((client.saw("ConnectionReset"), server.saw("ConnectionReset")), (1, 1));
    });
}

#[test]
fn a_failing_accept_is_reported_and_tried_again() {
    for_each_seed(|world| {
        let (mut client, mut server) = (Process::new(&world, false), Process::new(&world, true));
        let address = "127.0.0.1:7222".parse().expect("an address");
        server.reactor.listen(address).expect("listen");
        world.fail_next_accept(server.id, ErrorKind::OutOfMemory);
        client.reactor.connect(address);
        run(&world, &mut [&mut client, &mut server], 200 * MILLISECOND);
        assert_eq!((server.saw("AcceptFailed"), server.saw("Accepted")), (1, 1));
        assert_eq!(client.saw("Connected"), 1);
    });
}

#[test]
fn signals_are_events_for_those_who_watch_and_death_for_others() {
    let world = World::new(1, WorldConfig::default());
    let (mut watching, mut other) = (Process::new(&world, false), Process::new(&world, false));
    watching.reactor.watch_signals().expect("watch");
    world.signal(watching.id, 15);
    world.signal(other.id, 15);
    other.reactor.set_timer(0, 1);
    run(&world, &mut [&mut watching, &mut other], MILLISECOND);
    assert_eq!((watching.saw("Signal(15)"), other.log.len()), (1, 0));
}

#[test]
fn a_lock_outlives_a_stop_but_not_a_kill() {
    for_each_seed(|world| {
        let (mut first, mut second) = (Process::new(&world, false), Process::new(&world, false));
        let locked = on_disk(&world, &mut first, open_and_lock(OpenMode::CreateNew));
        assert_eq!(locked[1], Ok(Outcome::Locked(true)));
        world.pause(first.id);
        let locked = on_disk(&world, &mut second, open_and_lock(OpenMode::ReadWrite));
        assert_eq!(locked[1], Ok(Outcome::Locked(false)));
        world.kill(first.id);
        let locked = on_disk(&world, &mut second, vec![DiskOp::TryLock { file: FileId(1) }]);
        assert_eq!(locked[0], Ok(Outcome::Locked(true)));
    });
}

#[test]
fn a_crash_ends_all_and_keeps_what_was_synced() {
    for_each_seed(|world| {
        let mut first = Process::new(&world, false);
        on_disk(&world, &mut first, open_and_lock(OpenMode::CreateNew));
        let synced = on_disk(&world, &mut first, vec![DiskOp::SyncDir { path: "/".into() }]);
        assert_eq!(synced[0], Ok(Outcome::Done));
        first.reactor.set_timer(world.now() + 1, 1);
        world.crash();
        assert_eq!(world.step(), None);
        let mut second = Process::new(&world, false);
        let locked = on_disk(&world, &mut second, open_and_lock(OpenMode::ReadWrite));
        assert_eq!(locked[1], Ok(Outcome::Locked(true)));
    });
}

#[test]
fn planted_disk_errors_reach_the_process() {
    let disk = SimConfig { capacity_bytes: 4096, ..SimConfig::default() };
    let world = World::new(1, WorldConfig { disk, network: NetworkConfig::default(), start: 0 });
    let mut process = Process::new(&world, false);
    let session = Some(world.session(process.id));
    let fault = Fault {
        session,
        operation: OpKind::List,
        path_contains: String::new(),
        kind: ErrorKind::StaleNetworkFileHandle,
        count: 1,
    };
    world.with_disk(|disk| disk.fail_next(fault));
    let list = DiskOp::List { path: "/".into() };
    let results = on_disk(&world, &mut process, vec![list.clone(), list]);
    assert_eq!(results, [Err(ErrorKind::StaleNetworkFileHandle), Ok(Outcome::Names(vec![]))]);
}
