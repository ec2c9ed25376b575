//! A TCP proxy on 127.0.0.1: one listener, its connections, and the commands to it.
//!
//! It runs on a thread of its own, so that it neither waits for the load's clients nor delays them.

use super::connection::{Connections, Link};
use super::lane::{Lane, Tally};
use super::shape::Shape;
use crate::error::{Doing, Error, Result};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

/// Connections at a time; more wait in the kernel until some have ended.
const CONNECTIONS_MAX: usize = 256;
/// What the kernel keeps of connections that were not accepted yet.
const BACKLOG: u32 = 128;
/// Commands that wait; each is answered before its sender goes on.
const COMMANDS_MAX: usize = 4;

/// From the side that connected, or towards it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the connecting side to the target.
    Forward,
    /// From the target back.
    Backward,
}

impl Direction {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::Forward, Self::Backward];
}

/// What the thread is asked for.
#[derive(Debug)]
enum Command {
    /// Reset all connections; answers how many.
    Reset(oneshot::Sender<u64>),
    /// Refuse new connections, or listen again.
    Refuse(bool, oneshot::Sender<io::Result<()>>),
}

/// A running proxy; it ends when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    link: Arc<Link>,
    commands: Option<mpsc::Sender<Command>>,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Listens on a free port of 127.0.0.1 and forwards each connection to `target`, which must be on this machine. `seed` decides the jitter.
    pub fn start(target: SocketAddr, seed: u64) -> Result<Self> {
        if !target.ip().is_loopback() {
            return Err(Error::NotLoopback(target));
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.doing("start the proxy's runtime")?;
        let listener = {
            let _entered = runtime.enter();
            listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).doing("listen for the proxy")?
        };
        let address = listener.local_addr().doing("read the proxy's port")?;
        let link = Arc::new(Link {
            target,
            forward: Lane::new(),
            backward: Lane::new(),
            resets: watch::Sender::new(()),
            connections: watch::Sender::default(),
            seed,
        });
        let (commands, received) = mpsc::channel(COMMANDS_MAX);
        let acceptor = Acceptor { address, link: Arc::clone(&link), connections: JoinSet::new() };
        let run = move || runtime.block_on(acceptor.run(listener, received));
        let thread = std::thread::Builder::new().name("proxy".to_owned()).spawn(run).doing("start the proxy")?;
        Ok(Self { address, link, commands: Some(commands), thread: Some(thread) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes what is done to one direction. When this returns, the change has effect: what is held back already follows it too.
    pub fn change(&self, direction: Direction, change: impl FnOnce(&mut Shape)) {
        self.lane(direction).change(change);
    }

    /// What is done to one direction now.
    pub fn shape(&self, direction: Direction) -> Shape {
        self.lane(direction).lock().shape
    }

    /// What happened in one direction so far.
    pub fn tally(&self, direction: Direction) -> Tally {
        self.lane(direction).lock().tally
    }

    /// Lets [`Tally::held_max`] begin again.
    pub fn forget_longest(&self, direction: Direction) {
        self.lane(direction).lock().tally.held_max = Duration::ZERO;
    }

    /// What became of connections so far.
    pub fn connections(&self) -> Connections {
        *self.link.connections.borrow()
    }

    /// Resets all connections on both sides; returns how many, once the last is gone.
    pub async fn reset(&self) -> Result<u64> {
        self.ask(Command::Reset).await
    }

    /// Refuses new connections as a port does that nobody listens on, or listens again. Connections that exist stay.
    pub async fn refuse(&self, refuse: bool) -> Result<()> {
        let done = self.ask(|answer| Command::Refuse(refuse, answer)).await?;
        done.doing(if refuse { "stop listening" } else { "listen again for the proxy" })
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T> {
        let (sender, answer) = oneshot::channel();
        let gone = || io::Error::from(io::ErrorKind::BrokenPipe);
        if let Some(commands) = &self.commands {
            commands.send(command(sender)).await.map_err(|_| gone()).doing("ask the proxy")?;
        }
        answer.await.map_err(|_| gone()).doing("hear the proxy's answer")
    }

    fn lane(&self, direction: Direction) -> &Lane {
        match direction {
            Direction::Forward => &self.link.forward,
            Direction::Backward => &self.link.backward,
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.commands.take());
        if let Some(thread) = self.thread.take() {
            // Its panic was printed by the hook.
            let _ = thread.join();
        }
    }
}

fn bound(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    // Connections that outlive the listener keep its port.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    bound(address)?.listen(BACKLOG)
}

/// What holds the port: a listener, or a socket that makes the kernel refuse.
enum Port {
    Open(TcpListener),
    Refusing {
        _reserved: TcpSocket,
    },
    /// Another process took it meanwhile; who asked was told.
    Lost,
}

/// The proxy's thread.
struct Acceptor {
    address: SocketAddr,
    link: Arc<Link>,
    connections: JoinSet<()>,
}

impl Acceptor {
    /// Runs until nobody is left who could send a command; the connections end with it.
    async fn run(mut self, listener: TcpListener, mut commands: mpsc::Receiver<Command>) {
        let mut port = Port::Open(listener);
        let mut number = 0;
        loop {
            let has_room = self.connections.len() < CONNECTIONS_MAX;
            tokio::select! {
                command = commands.recv() => match command {
                    Some(command) => port = self.obey(command, port).await,
                    None => return,
                },
                accepted = accept(&port), if has_room => if let Ok(near) = accepted {
                    let (link, resets) = (Arc::clone(&self.link), self.link.resets.subscribe());
                    number += 1;
                    self.connections.spawn(async move { link.serve(near, resets, number).await });
                } else {
                    // Out of descriptors, or a connection that went away before it was accepted: the next may succeed.
                    tokio::time::sleep(Duration::from_millis(10)).await;
                },
                Some(_) = self.connections.join_next() => {}
            }
        }
    }

    async fn obey(&mut self, command: Command, port: Port) -> Port {
        match command {
            Command::Reset(answer) => {
                let before = self.link.connections.borrow().reset;
                self.link.resets.send_replace(());
                while self.connections.join_next().await.is_some() {}
                // Who asked may have been given up meanwhile, here and below.
                let _ = answer.send(self.link.connections.borrow().reset - before);
                port
            }
            Command::Refuse(refuse, answer) => {
                drop(port);
                let (port, done) = match self.port(refuse) {
                    Ok(port) => (Some(port), Ok(())),
                    Err(error) => (None, Err(error)),
                };
                let _ = answer.send(done);
                port.unwrap_or(Port::Lost)
            }
        }
    }

    fn port(&self, refuse: bool) -> io::Result<Port> {
        Ok(if refuse { Port::Refusing { _reserved: bound(self.address)? } } else { Port::Open(listen(self.address)?) })
    }
}

/// A port that is not open accepts nobody.
async fn accept(port: &Port) -> io::Result<tokio::net::TcpStream> {
    match port {
        Port::Open(listener) => listener.accept().await.map(|(near, _)| near),
        Port::Refusing { .. } | Port::Lost => std::future::pending().await,
    }
}
