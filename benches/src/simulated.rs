//! A whole broker on the simulated machine, loaded by clients of this crate: deterministic, so that its instructions can be counted.
//!
//! Owns the machine's settings and the windows of the clients. Network and disk answer after fixed times; a broker's turn takes no
//! time there, so that every run makes the same batches.

use crate::{AmqpPeer, Flow, Peer};
use anyhow::{Context, Result, bail, ensure};
use broker::{Broker, Log, Start, StoreOptions, WallClock};
use disk::sim::SimConfig;
use reactor::sim::{HostId, NetworkConfig, World, WorldConfig};
use reactor::{Event, Reactor, SocketId};
use std::collections::VecDeque;
use std::net::SocketAddr;

/// Simulated time that connecting, or one message, may take, nanoseconds.
const PATIENCE: u64 = 10_000_000_000;
/// What a message takes between two hosts, and the disk for a write, nanoseconds: as on the machine of results/.
const NETWORK_NS: u64 = 10_000;
const DISK_NS: u64 = 20_000;

/// What is driven through the broker.
#[derive(Clone, Debug)]
pub struct Case {
    /// What it is called.
    pub name: &'static str,
    /// Connections that send.
    pub producers: usize,
    /// Messages of each of them that may be unconfirmed.
    pub in_flight: usize,
    /// What flows.
    pub flow: Flow,
}

/// One client process with one connection.
struct Client {
    reactor: Reactor,
    socket: SocketId,
    peer: AmqpPeer,
    window: usize,
    /// Messages that it still has to send.
    left: usize,
    in_flight: usize,
    is_sending: bool,
    received: usize,
    events: VecDeque<Event>,
}

fn address() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 7222))
}

/// Drives `messages` through a fresh broker, from a producer to the one consumer, which accepts each.
///
/// # Errors
/// The broker refuses something, or messages do not arrive.
pub fn run(case: &Case, messages: usize) -> Result<()> {
    let disk =
        SimConfig { latency_ns_min: DISK_NS, latency_ns_max: DISK_NS + 1, slow_per_million: 0, ..SimConfig::default() };
    // As large as a receive buffer of the kernel backend.
    let network = NetworkConfig {
        latency: NETWORK_NS..NETWORK_NS + 1,
        segment_bytes: 65_535..65_536,
        send_buffer_bytes: 1 << 20,
    };
    let world = World::new(1, WorldConfig { disk, network, ..WorldConfig::default() });
    let mut broker = start_broker(&world)?;
    // Until it serves.
    world.run_until(world.now() + PATIENCE / 10, |_| drop(broker.turn()));
    let mut clients = vec![Client::connect(&world, AmqpPeer::consumer(&case.flow, 0), 0, 0)];
    clients.extend((0..case.producers).map(|number| {
        let peer = AmqpPeer::producer(&case.flow, number);
        Client::connect(&world, peer, case.in_flight, messages / case.producers)
    }));
    let messages = messages / case.producers * case.producers;
    let mut deadline = world.now() + PATIENCE;
    while clients[0].received < messages {
        ensure!(world.now() < deadline, "{} of {messages} messages arrived in {PATIENCE} ns", clients[0].received);
        let HostId(host) = world.step().context("nothing happens any more")?;
        let before = clients[0].received;
        match host.checked_sub(1) {
            None => ensure!(broker.turn()?.is_none(), "the broker ended"),
            Some(index) => clients[index as usize].turn()?,
        }
        let received = clients[0].received - before;
        if received > 0 {
            deadline = world.now() + PATIENCE;
            if case.flow.settled {
                clients[1].in_flight -= received;
                clients[1].act();
            }
        }
    }
    Ok(())
}

fn start_broker(world: &World) -> Result<Broker> {
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("queues.conf"), "bench store=$sys.failsafe\n")?;
    let path = folder.path().join("tibemsd.conf");
    let text = format!("server = BENCH\nlisten = tcp://{}\nstore = /store\nqueues = queues.conf\n", address());
    std::fs::write(&path, text)?;
    let configuration = match broker::config::load(&path, &[], true) {
        Ok((configuration, _)) => configuration,
        Err(problems) => bail!("the configuration of the benchmark: {problems:?}"),
    };
    let mut reactor = world.host();
    let (listener, _) = reactor.listen(address())?;
    let start = Start {
        random: 1,
        listeners: vec![listener],
        peer_address: None,
        unshared_address: None,
        source: None,
        options: StoreOptions::default(),
        clock: WallClock::starting_at(1_700_000_000_000),
    };
    let (log, _lines) = Log::observed();
    let mut broker = broker::assemble(configuration, reactor, log, start)?;
    broker.start();
    Ok(broker)
}

impl Client {
    fn connect(world: &World, peer: AmqpPeer, window: usize, left: usize) -> Self {
        let mut reactor = world.host();
        let socket = reactor.connect(address());
        let events = VecDeque::new();
        // Nothing may be sent before the connection stands.
        Client { reactor, socket, peer, window, left, in_flight: 0, is_sending: true, received: 0, events }
    }

    fn turn(&mut self) -> Result<()> {
        self.reactor.wait(&mut self.events)?;
        while let Some(event) = self.events.pop_front() {
            match event {
                Event::Connected { .. } | Event::Sent { .. } => self.is_sending = false,
                Event::Received { data, .. } => {
                    let progress = self.peer.receive(&data)?;
                    self.in_flight -= progress.confirmed;
                    self.received += progress.received;
                }
                Event::Closed { error, .. } => bail!("the broker closed the connection: {error:?}"),
                _ => {}
            }
        }
        self.act();
        Ok(())
    }

    /// Fills the window and sends.
    fn act(&mut self) {
        let due = self.left.min(self.window - self.in_flight);
        if due > 0 && self.peer.is_ready() {
            let taken = self.peer.send(due);
            self.in_flight += taken;
            self.left -= taken;
        }
        if self.is_sending {
            return;
        }
        let chunks: Vec<_> = std::iter::from_fn(|| self.peer.output()).collect();
        if !chunks.is_empty() {
            self.is_sending = true;
            self.reactor.send(self.socket, chunks);
        }
    }
}
