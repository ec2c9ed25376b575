//! One trial: two servers, two clients, a nemesis, a drain and the verdict.
//!
//! Owns the processes and the order of a trial. The faults are in `nemesis`, what a client was promised in `client`.

use crate::client::{Client, Habits};
use crate::report::Report;
use broker::config::Configuration;
use broker::{Broker, Log, Start, StoreOptions, WallClock};
use disk::sim::SimConfig;
use reactor::sim::{HostId, World, WorldConfig};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::mpsc::Receiver;
use store::format::{BASE_OFFSETS, MetadataBase};

pub(crate) const MS: u64 = 1_000_000;
const QUEUES: &str = "sync.> store=$sys.failsafe\nasync.> store=$sys.nonfailsafe\n";
/// A pair that is left alone and does not come to rest within so much simulated time has failed.
const REST_MAX: u64 = 60_000 * MS;

/// A simulated process.
enum Process {
    Broker { number: usize, broker: Box<Broker>, lines: Receiver<String> },
    Client(Box<Client>),
    Dead,
}

/// One seeded trial.
pub(crate) struct Trial {
    pub(crate) seed: u64,
    pub(crate) random: fastrand::Rng,
    pub(crate) world: World,
    /// `ft_activation`, nanoseconds: the trial's pace.
    pub(crate) activation: u64,
    configurations: [Configuration; 2],
    habits: Habits,
    processes: Vec<Process>,
    /// The host of each server while it runs.
    pub(crate) servers: [Option<HostId>; 2],
    pub(crate) clients: Vec<HostId>,
    active: Option<HostId>,
    /// The number of its server.
    active_last: Option<usize>,
    pub(crate) last_fault: &'static str,
    pub(crate) report: Report,
    forgetful: bool,
    /// What servers log is printed.
    pub(crate) is_traced: bool,
}

fn address(number: usize) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 7222 + 2 * number as u16))
}

/// Patience as short as disk and network allow makes a failover cheap; some trials keep that of a real pair, since other
/// waits of a server do not follow it.
fn activation(random: &mut fastrand::Rng) -> u64 {
    MS * match random.u8(..64) {
        0 => 500,
        1..5 => 100,
        5..21 => 40,
        _ => 20,
    }
}

fn slow_disk(random: &mut fastrand::Rng) -> SimConfig {
    SimConfig {
        latency_ns_max: [20_000, 60_000, 60_000, 400_000][random.usize(..4)],
        slow_per_million: [0, 2_000, 10_000][random.usize(..3)],
        slow_ns_max: [MS, 5 * MS, 30 * MS][random.usize(..3)],
        late_ns_max: [MS / 10, 5 * MS, 30 * MS][random.usize(..3)],
        ..SimConfig::default()
    }
}

/// The two configurations, as a pair's operator would write them.
fn configurations(random: &mut fastrand::Rng, activation: u64) -> [Configuration; 2] {
    let folder = tempfile::tempdir().expect("a folder for the configuration");
    std::fs::write(folder.path().join("queues.conf"), QUEUES).expect("the folder is ours");
    let takeover = if random.u8(..8) == 0 { "link" } else { "both" };
    let flush = [1, 2, 10][random.usize(..3)];
    [0, 1].map(|number| {
        let text = format!(
            "server = SIM\nlisten = tcp://{}\nft_active = tcp://{}\nstore = /store\nqueues = queues.conf\n\
             ft_heartbeat = {}us\nft_activation = {}us\nft_takeover = {takeover}\nstandby_tailing = {}\n\
             async_flush_interval = {flush}ms\nsegment_size = 1MB\n",
            address(number),
            address(1 - number),
            activation / 5_000,
            activation / 1_000,
            if random.u8(..4) > 0 { "enabled" } else { "disabled" },
        );
        let path = folder.path().join(format!("server{number}.conf"));
        std::fs::write(&path, text).expect("the folder is ours");
        broker::config::load(&path, &[], true).expect("the configuration of the trial is good").0
    })
}

/// Smaller segments than an operator may ask for in most trials, so that checkpoints, and removals of segments and of
/// metadata, come every few milliseconds.
fn with_segments(configuration: Configuration, seed: u64) -> Configuration {
    let segment_bytes = if seed % 3 == 2 { configuration.segment_bytes } else { 128 << 10 };
    Configuration { segment_bytes, ..configuration }
}

/// How many bases each owner wrote, from the first owner on, and how many segments of its metadata are gone.
fn bases(world: &World) -> Vec<(u64, u64)> {
    let folder = Path::new("/store/meta.db");
    let base = |epoch: u64| {
        let file = world.with_disk(|disk| disk.content(&folder.join(format!("owner.{epoch}"))))?;
        let base = MetadataBase::decode(file.get(BASE_OFFSETS[0] as usize..).unwrap_or_default());
        Some(base.map_or((0, 1), |base| (base.number, base.sequence)))
    };
    let paths = world.with_disk(|disk| disk.paths());
    // A claimant that lost may have left segments of the same epoch and numbers: each number counts once.
    let count_gone = |(epoch, (number, sequence)): (u64, (u64, u32))| {
        let there: BTreeSet<u32> = paths
            .iter()
            .filter(|path| path.starts_with(folder))
            .filter_map(|path| {
                path.file_name()?.to_str()?.strip_prefix(&format!("segment.{epoch}."))?.rsplit('.').next()?.parse().ok()
            })
            .filter(|at| *at < sequence)
            .collect();
        (number, u64::from(sequence - 1) - there.len() as u64)
    };
    (1..).map_while(|epoch| Some((epoch, base(epoch)?))).map(count_gone).collect()
}

/// Tells, in a replay, what happens.
pub(crate) fn trace(is_traced: bool, world: &World, what: impl FnOnce() -> String) {
    if is_traced {
        println!("{:>9.3} ms: {}", world.now() as f64 / 1e6, what());
    }
}

impl Trial {
    /// The trial of `seed`.
    pub(crate) fn new(seed: u64) -> Trial {
        let mut random = fastrand::Rng::with_seed(seed);
        let activation = activation(&mut random);
        let disk = slow_disk(&mut random);
        let body_bytes_max = [100, 3000, 3000, 20_000][random.usize(..4)];
        let messages_max = [2, 3, 6][random.usize(..3)];
        Trial {
            seed,
            world: World::new(seed, WorldConfig { disk, ..WorldConfig::default() }),
            activation,
            configurations: configurations(&mut random, activation)
                .map(|configuration| with_segments(configuration, seed)),
            habits: Habits { patience: 2 * activation, body_bytes_max, messages_max },
            random,
            processes: Vec::new(),
            servers: [None, None],
            clients: Vec::new(),
            active: None,
            active_last: None,
            last_fault: "nothing",
            report: Report::default(),
            forgetful: false,
            is_traced: std::env::var_os("SIM_TRACE").is_some(),
        }
    }

    /// A disk that forgets what it promised, to see that the trial notices.
    pub(crate) fn with_forgetful_disk(mut self) -> Trial {
        self.forgetful = true;
        self
    }

    fn start_server(&mut self, number: usize) {
        let mut reactor = self.world.host();
        let host = self.world.id(&reactor);
        reactor.watch_signals().unwrap();
        // The port of a process that has just died may still be taken for a moment.
        let (listener, _) = reactor.listen(address(number)).expect("a dead server's port is free");
        let start = Start {
            random: self.random.u128(..),
            listeners: vec![listener],
            peer_address: Some(address(1 - number)),
            unshared_address: None,
            source: None,
            options: StoreOptions::default(),
            clock: WallClock::starting_at(1_700_000_000_000),
        };
        let (log, lines) = Log::observed();
        let mut broker = broker::assemble(self.configurations[number].clone(), reactor, log, start).unwrap();
        broker.start();
        assert_eq!(host.0 as usize, self.processes.len(), "one process for each host");
        self.processes.push(Process::Broker { number, broker: Box::new(broker), lines });
        self.servers[number] = Some(host);
    }

    fn start_client(&mut self, queue: &'static str) {
        let reactor = self.world.host();
        let host = self.world.id(&reactor);
        let seed = self.random.u64(..);
        let mut client = Client::new(reactor, queue, [address(0), address(1)], self.habits, seed);
        client.start();
        self.processes.push(Process::Client(Box::new(client)));
        self.clients.push(host);
    }

    fn client(&mut self, index: usize) -> &mut Client {
        match &mut self.processes[self.clients[index].0 as usize] {
            Process::Client(client) => client,
            _ => panic!("a client is there"),
        }
    }

    pub(crate) fn run_for(&mut self, time: u64) {
        let until = self.world.now() + time;
        let world = self.world.clone();
        world.run_until(until, |host| self.turn(host));
    }

    fn turn(&mut self, host: HostId) {
        let ended = match &mut self.processes[host.0 as usize] {
            Process::Broker { number, broker, lines } => {
                let ended = broker.turn().expect("a simulated wait does not fail").map(|code| (*number, code));
                let (mut hot, mut became_active) = (false, false);
                for line in lines.try_iter() {
                    hot |= line.contains("\"hot\":true");
                    became_active |= line.contains("\"to\":\"ACTIVE\"");
                    trace(self.is_traced, &self.world, || format!("server {number}, process {}: {line}", host.0));
                }
                // Not the state: one that was replaced while it was stopped takes itself for active when it wakes up.
                if became_active {
                    if self.active.is_some() {
                        let bases = bases(&self.world);
                        let (number, gone) = bases.iter().rev().nth(1).copied().unwrap_or_default();
                        self.report.count_failover(self.last_fault, hot, number > 0);
                        self.report.removed_metadata += gone;
                    }
                    self.active = Some(host);
                    self.active_last = Some(*number);
                }
                ended
            }
            Process::Client(client) => {
                client.turn(self.active_last);
                None
            }
            Process::Dead => None,
        };
        if let Some((number, code)) = ended {
            assert!(code == 0 || code == 75, "server {number} ended with {code}");
            self.bury(number);
        }
    }

    /// The server that became active last, while it runs.
    pub(crate) fn active_number(&self) -> Option<usize> {
        (0..2).find(|number| self.active.is_some() && self.servers[*number] == self.active)
    }

    pub(crate) fn bury(&mut self, number: usize) {
        if let Some(host) = self.servers[number].take() {
            self.world.kill(host);
            self.processes[host.0 as usize] = Process::Dead;
        }
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
        let began = self.world.now();
        self.start_server(0);
        self.start_server(1);
        self.start_client("sync.q");
        self.start_client("async.q");
        // As long as it takes that something is confirmed.
        self.run_for(3 * self.activation + 100 * MS);
        let misfortunes = if self.activation < 500 * MS { self.random.u32(20..60) } else { self.random.u32(4..12) };
        for _ in 0..misfortunes {
            let time = self.respite();
            self.run_for(time);
            self.misfortune();
            if self.random.bool() {
                let time = self.respite();
                self.run_for(time);
            }
            self.restart_the_dead();
        }
        if self.forgetful {
            self.client(0).stop_receiving();
            self.run_for(6 * self.activation + 100 * MS);
            self.forgetful_power_loss();
        }
        self.drain();
        self.client(0).ledger.check_sync();
        self.client(1).ledger.check_async();
        assert!(self.client(0).ledger.confirmed() > 0, "seed {}: nothing was confirmed at all", self.seed);
        self.report.confirmed = (0..2).map(|index| self.client(index).ledger.confirmed() as u64).sum();
        self.report.repeated_by_replaced = (0..2).map(|index| self.client(index).ledger.repeated_by_replaced).sum();
        self.report.bases = bases(&self.world).iter().map(|(number, _)| number).sum();
        self.report.simulated = self.world.now() - began;
        self.report
    }

    /// Heals everything, then lets the clients receive until nothing comes any more. A pair that does not come back is
    /// a failure as bad as a loss.
    fn drain(&mut self) {
        for index in 0..2 {
            self.client(index).stop_publishing();
        }
        // An owner that was replaced learns it with its next heartbeat; nobody rests beside it for so long.
        let rest = 2 * self.activation + 50 * MS;
        let until = self.world.now() + REST_MAX;
        while self.world.now() < until {
            self.restart_the_dead();
            self.run_for(rest / 4);
            if (0..2).all(|index| self.client(index).idle_for() >= rest) {
                return;
            }
        }
        panic!("seed {}: the pair does not come to rest", self.seed);
    }
}
