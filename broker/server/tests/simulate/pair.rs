//! One trial: two servers, two clients, a nemesis, a drain and the verdict.

use crate::client::Client;
use broker::{Broker, Log, Start, StoreOptions, WallClock};
use disk::sim::SimDisk;
use reactor::sim::{HostId, World, WorldConfig};
use std::net::SocketAddr;

const MS: u64 = 1_000_000;
const QUEUES: &str = "sync.> store=$sys.failsafe\nasync.> store=$sys.nonfailsafe\n";

/// What a trial went through.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// Times that another server became active.
    pub(crate) failovers: u64,
}

/// A simulated process.
enum Process {
    Broker { number: usize, broker: Box<Broker> },
    Client(Box<Client>),
    Dead,
}

/// One seeded trial.
pub(crate) struct Trial {
    seed: u64,
    random: fastrand::Rng,
    world: World,
    folder: tempfile::TempDir,
    processes: Vec<Process>,
    /// The host of each server while it runs.
    servers: [Option<HostId>; 2],
    active: Option<HostId>,
    failovers: u64,
    forgetful: bool,
}

fn address(number: usize) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 7222 + 2 * number as u16))
}

impl Trial {
    /// The trial of `seed`.
    pub(crate) fn new(seed: u64) -> Trial {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("queues.conf"), QUEUES).unwrap();
        for number in 0..2 {
            let text = format!(
                "server = SIM\nlisten = tcp://{}\nft_active = tcp://{}\nstore = /store\nqueues = queues.conf\n\
                 ft_heartbeat = 100ms\nft_activation = 500ms\nsegment_size = 1MB\n",
                address(number),
                address(1 - number)
            );
            std::fs::write(folder.path().join(format!("server{number}.conf")), text).unwrap();
        }
        Trial {
            seed,
            random: fastrand::Rng::with_seed(seed),
            world: World::new(seed, WorldConfig::default()),
            folder,
            processes: Vec::new(),
            servers: [None, None],
            active: None,
            failovers: 0,
            forgetful: false,
        }
    }

    /// A disk that forgets what it promised, to see that the trial notices.
    pub(crate) fn with_forgetful_disk(mut self) -> Trial {
        self.forgetful = true;
        self
    }

    fn start_server(&mut self, number: usize) {
        let path = self.folder.path().join(format!("server{number}.conf"));
        let (configuration, _) =
            broker::config::load(&path, &[], true).expect("the configuration of the trial is good");
        let mut reactor = self.world.host();
        let host = self.world.id(&reactor);
        reactor.watch_signals().unwrap();
        // The port of a process that has just died may still be taken for a moment.
        let (listener, _) = reactor.listen(address(number)).expect("a dead server's port is free");
        let start = Start {
            random: self.random.u128(..),
            listeners: vec![listener],
            peer_address: Some(address(1 - number)),
            options: StoreOptions::default(),
            clock: WallClock::starting_at(1_700_000_000_000),
        };
        let mut broker = broker::assemble(configuration, reactor, Log::silent(), start).unwrap();
        broker.start();
        assert_eq!(host.0 as usize, self.processes.len(), "one process for each host");
        self.processes.push(Process::Broker { number, broker: Box::new(broker) });
        self.servers[number] = Some(host);
    }

    fn start_client(&mut self, queue: &'static str) -> HostId {
        let reactor = self.world.host();
        let host = self.world.id(&reactor);
        let mut client = Client::new(reactor, queue, [address(0), address(1)], self.random.u64(..));
        client.start();
        self.processes.push(Process::Client(Box::new(client)));
        host
    }

    fn client(&mut self, host: HostId) -> &mut Client {
        match &mut self.processes[host.0 as usize] {
            Process::Client(client) => client,
            _ => panic!("a client is at {host:?}"),
        }
    }

    fn run_for(&mut self, time: u64) {
        let until = self.world.now() + time;
        let world = self.world.clone();
        world.run_until(until, |host| self.turn(host));
    }

    fn turn(&mut self, host: HostId) {
        let ended = match &mut self.processes[host.0 as usize] {
            Process::Broker { number, broker } => {
                let ended = broker.turn().expect("a simulated wait does not fail").map(|code| (*number, code));
                if broker.state() == broker::ha::State::Active && self.active != Some(host) {
                    self.failovers += u64::from(self.active.is_some());
                    self.active = Some(host);
                }
                ended
            }
            Process::Client(client) => {
                client.turn();
                None
            }
            Process::Dead => None,
        };
        if let Some((number, code)) = ended {
            assert!(code == 0 || code == 75, "server {number} ended with {code}");
            self.bury(number);
        }
    }

    fn bury(&mut self, number: usize) {
        if let Some(host) = self.servers[number].take() {
            self.world.kill(host);
            self.processes[host.0 as usize] = Process::Dead;
        }
    }

    /// One fault, or the end of one.
    fn misfortune(&mut self) {
        let number = self.random.usize(..2);
        match self.random.u32(..100) {
            0..35 => self.bury(number),
            35..55 => {
                if let Some(host) = self.servers[number] {
                    self.world.pause(host);
                    let time = self.random.u64(1..1500) * MS;
                    self.run_for(time);
                    self.world.resume(host);
                }
            }
            55..75 => {
                if let [Some(one), Some(other)] = self.servers {
                    self.world.partition(&[one], &[other]);
                    let time = self.random.u64(1..1500) * MS;
                    self.run_for(time);
                    self.world.unite(&[one], &[other]);
                }
            }
            75..85 => {
                if let Some(host) = self.servers[number] {
                    self.world.signal(host, 15);
                }
            }
            85..90 => self.power_loss(),
            _ => {}
        }
    }

    /// All servers lose power; the clients, elsewhere, live on.
    fn power_loss(&mut self) {
        self.bury(0);
        self.bury(1);
        self.world.with_disk(SimDisk::crash);
    }

    /// Power loss of a storage that forgets what it had called durable a while ago.
    fn forgetful_power_loss(&mut self) {
        let before = self.world.with_disk(|disk| disk.fork(self.seed));
        self.run_for(500 * MS);
        self.power_loss();
        self.world.with_disk(|disk| *disk = before);
        self.world.with_disk(SimDisk::crash);
    }

    fn restart_the_dead(&mut self) {
        for number in 0..2 {
            if self.servers[number].is_none() {
                self.start_server(number);
            }
        }
    }

    /// Runs it all; panics where a promise was broken.
    pub(crate) fn run(mut self) -> Report {
        self.start_server(0);
        self.start_server(1);
        let clients = [self.start_client("sync.q"), self.start_client("async.q")];
        for _ in 0..self.random.u32(4..12) {
            let time = self.random.u64(1..800) * MS;
            self.run_for(time);
            self.misfortune();
            if self.random.bool() {
                let time = self.random.u64(1..400) * MS;
                self.run_for(time);
            }
            self.restart_the_dead();
        }
        if self.forgetful {
            self.restart_the_dead();
            self.client(clients[0]).stop_receiving();
            self.run_for(3000 * MS);
            self.forgetful_power_loss();
        }
        self.drain(&clients);
        self.client(clients[0]).ledger.check_sync();
        self.client(clients[1]).ledger.check_async();
        assert!(self.client(clients[0]).ledger.confirmed() > 0, "seed {}: nothing was confirmed at all", self.seed);
        Report { failovers: self.failovers }
    }

    /// Heals everything, then lets the clients receive until nothing comes any more. A pair that does not come back is
    /// a failure as bad as a loss.
    fn drain(&mut self, clients: &[HostId; 2]) {
        for client in clients {
            self.client(*client).stop_publishing();
        }
        let mut quiet = 0;
        for _ in 0..60 {
            self.restart_the_dead();
            for client in clients {
                self.client(*client).arrived = 0;
            }
            self.run_for(1000 * MS);
            let arrived: u64 = clients.iter().map(|client| self.client(*client).arrived).sum();
            quiet = if arrived == 0 { quiet + 1 } else { 0 };
            if quiet == 4 {
                return;
            }
        }
        panic!("seed {}: the pair does not come to rest", self.seed);
    }
}
