//! A client that waits for each step. Owns one socket; what is said over it is the peer's.

use amqp::{ClientSasl, Config, Connection, Event, Open};
use anyhow::{Result, bail, ensure};
use benches::{Peer, Progress, Wire};
use bytes::Bytes;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::os::fd::AsFd;

/// How long the broker may be silent when something is expected of it, ms.
const SILENCE_MS: u16 = 20_000;

/// One connection.
pub(crate) struct Client<P> {
    wire: Wire,
    peer: P,
    /// Since it connected: a message may come with the answer to the link.
    pub(crate) total: Progress,
}

impl<P: Peer> Client<P> {
    /// Connects, and waits until the peer is ready.
    ///
    /// # Errors
    /// The broker refuses it, or says nothing for long.
    pub(crate) fn connect(address: SocketAddr, peer: P) -> Result<Self> {
        let mut client = Client { wire: Wire::connect(address)?, peer, total: Progress::default() };
        while !client.peer.is_ready() {
            client.turn()?;
        }
        Ok(client)
    }

    /// Queues at most `count` messages; returns how many.
    pub(crate) fn send(&mut self, count: usize) -> usize {
        self.peer.send(count)
    }

    /// Writes what there is to write, and waits for input.
    ///
    /// # Errors
    /// The connection is lost, or nothing comes for long.
    pub(crate) fn turn(&mut self) -> Result<()> {
        let is_blocked = self.wire.write(&mut self.peer)?;
        self.wait(if is_blocked { PollFlags::POLLIN | PollFlags::POLLOUT } else { PollFlags::POLLIN })?;
        let progress = self.wire.read(&mut self.peer)?;
        self.total.confirmed += progress.confirmed;
        self.total.received += progress.received;
        Ok(())
    }

    /// Writes all there is to write.
    ///
    /// # Errors
    /// As of [`Client::turn`].
    pub(crate) fn flush(&mut self) -> Result<()> {
        while self.wire.write(&mut self.peer)? {
            self.wait(PollFlags::POLLOUT)?;
        }
        Ok(())
    }

    fn wait(&self, events: PollFlags) -> Result<()> {
        let mut polled = [PollFd::new(self.wire.stream.as_fd(), events)];
        ensure!(poll(&mut polled, PollTimeout::from(SILENCE_MS))? > 0, "the broker says nothing for {SILENCE_MS} ms");
        Ok(())
    }
}

/// A connection with a session and nothing else.
pub(crate) struct Idle {
    connection: Connection,
    is_begun: bool,
    output: VecDeque<Bytes>,
}

impl Idle {
    /// One that has not said anything yet.
    pub(crate) fn new(number: usize) -> Self {
        let container_id = format!("idle-{number}");
        let config = Config { container_id: container_id.clone(), idle_timeout_ms: 0, ..Config::default() };
        let mut connection = Connection::client(config, Some(ClientSasl::Anonymous), 0);
        connection.open(Open { container_id, ..Open::default() });
        connection.begin();
        Idle { connection, is_begun: false, output: VecDeque::new() }
    }
}

impl Peer for Idle {
    fn receive(&mut self, mut input: &[u8]) -> Result<Progress> {
        while let Some(event) = self.connection.next_event(0, &mut input) {
            match event {
                Event::Begun(_) => self.is_begun = true,
                Event::Close { error } => bail!("the broker closed a connection: {error:?}"),
                Event::Failed(error) => bail!("a connection failed: {error}"),
                _ => {}
            }
        }
        Ok(Progress::default())
    }

    fn is_ready(&self) -> bool {
        self.is_begun
    }

    fn send(&mut self, _count: usize) -> usize {
        0
    }

    fn output(&mut self) -> Option<Bytes> {
        if self.output.is_empty()
            && let Some(output) = self.connection.poll_transmit(0)
        {
            self.output.extend(output.chunks);
        }
        self.output.pop_front()
    }
}
