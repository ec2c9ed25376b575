//! The loop: reads, refills the windows, writes, waits.
//!
//! Owns the windows of messages in flight and the times at which they were sent, or should have been.

use crate::options::Options;
use anyhow::{Result, bail};
use benches::{Peer, Progress, Wire};
use hdrhistogram::Histogram;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;
use std::collections::VecDeque;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// How long connections may take to become usable.
const READY_WITHIN: Duration = Duration::from_secs(10);

/// One connection of the load.
pub(crate) struct Client {
    wire: Wire,
    peer: Box<dyn Peer>,
    sends: bool,
    /// Something waits for the socket.
    is_blocked: bool,
    /// Messages that may be unconfirmed.
    window: usize,
    in_flight: usize,
    /// Of messages in flight, oldest first: when they were due, and how many.
    sent: VecDeque<(u64, usize)>,
    /// In an open loop: when the next message is due, and how long after it the one behind it.
    next_at: u64,
    interval_ns: u64,
}

impl Client {
    /// Connects.
    pub(crate) fn new(options: &Options, peer: Box<dyn Peer>, sends: bool) -> Result<Self> {
        let interval_ns = (1_000_000_000 * options.producers as u64).checked_div(options.rate).unwrap_or(0);
        Ok(Client {
            wire: Wire::connect(options.address)?,
            peer,
            sends,
            is_blocked: false,
            window: options.in_flight,
            in_flight: 0,
            sent: VecDeque::new(),
            next_at: 0,
            interval_ns,
        })
    }

    /// How many messages are to be sent now.
    fn due(&self, now: u64) -> usize {
        let room = self.window - self.in_flight;
        match self.interval_ns {
            0 => room,
            interval if self.next_at <= now => room.min(((now - self.next_at) / interval) as usize + 1),
            _ => 0,
        }
    }

    fn refill(&mut self, now: u64) {
        let due = self.due(now);
        if !self.sends || self.is_blocked || due == 0 {
            return;
        }
        let taken = self.peer.send(due);
        self.in_flight += taken;
        if self.interval_ns == 0 {
            self.sent.push_back((now, taken));
            return;
        }
        for _ in 0..taken {
            self.sent.push_back((self.next_at, 1));
            self.next_at += self.interval_ns;
        }
    }

    fn confirm(&mut self, now: u64, mut count: usize, latencies: &mut Histogram<u64>) {
        self.in_flight -= count;
        while count > 0
            && let Some((at, left)) = self.sent.front_mut()
        {
            let step = count.min(*left);
            latencies.saturating_record_n(now.saturating_sub(*at).max(1), step as u64);
            *left -= step;
            count -= step;
            if *left == 0 {
                self.sent.pop_front();
            }
        }
    }
}

/// All connections, and what was measured.
pub(crate) struct Load {
    began: Instant,
    clients: Vec<Client>,
    /// What a consumer receives confirms a producer's message.
    by_receipt: bool,
    /// Sent to confirmed, nanoseconds.
    pub(crate) latencies: Histogram<u64>,
    /// Since measuring began.
    pub(crate) total: Progress,
}

impl Load {
    /// A load that has not begun.
    pub(crate) fn new(options: &Options, clients: Vec<Client>) -> Self {
        let latencies = Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("the bounds are in order");
        let by_receipt = options.settled;
        Load { began: Instant::now(), clients, by_receipt, latencies, total: Progress::default() }
    }

    /// Adds a connection.
    pub(crate) fn add(&mut self, client: Client) {
        self.clients.push(client);
    }

    /// From now on what happens counts.
    pub(crate) fn begin_measuring(&mut self) {
        self.latencies.reset();
        self.total = Progress::default();
    }

    /// Runs until all connections are usable, without sending.
    pub(crate) fn run_until_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + READY_WITHIN;
        while !self.clients.iter().all(|client| client.peer.is_ready()) {
            if Instant::now() > deadline {
                bail!("the connections are not usable after {READY_WITHIN:?}");
            }
            self.turn(false)?;
        }
        Ok(())
    }

    /// Sends and receives for some nanoseconds.
    pub(crate) fn run_for(&mut self, nanos: u64) -> Result<()> {
        let now = self.now();
        for (index, client) in self.clients.iter_mut().enumerate() {
            // In an open loop the producers do not send at the same moment.
            if client.next_at == 0 {
                client.next_at = now + index as u64 * client.interval_ns / 16;
            }
        }
        while self.now() < now + nanos {
            self.turn(true)?;
        }
        Ok(())
    }

    fn now(&self) -> u64 {
        self.began.elapsed().as_nanos() as u64
    }

    fn turn(&mut self, may_send: bool) -> Result<()> {
        let now = self.now();
        for client in &mut self.clients {
            if may_send {
                client.refill(now);
            }
            client.is_blocked = client.wire.write(&mut *client.peer)?;
        }
        let readable = self.wait(now)?;
        let now = self.now();
        for index in readable {
            let client = &mut self.clients[index];
            let progress = client.wire.read(&mut *client.peer)?;
            self.account(now, index, progress);
        }
        Ok(())
    }

    fn account(&mut self, now: u64, index: usize, progress: Progress) {
        self.total.received += progress.received;
        let (producer, confirmed) = match self.by_receipt {
            true => (self.clients.iter().position(|client| client.sends), progress.received),
            false => (Some(index), progress.confirmed),
        };
        if let Some(producer) = producer
            && confirmed > 0
        {
            self.total.confirmed += confirmed;
            self.clients[producer].confirm(now, confirmed, &mut self.latencies);
        }
    }

    /// Waits for input, for room to write, or for the next message's time. Returns who can read.
    fn wait(&self, now: u64) -> Result<Vec<usize>> {
        let events = |client: &Client| match client.is_blocked {
            true => PollFlags::POLLIN | PollFlags::POLLOUT,
            false => PollFlags::POLLIN,
        };
        let mut polled: Vec<PollFd<'_>> =
            self.clients.iter().map(|client| PollFd::new(client.wire.stream.as_fd(), events(client))).collect();
        let open = self
            .clients
            .iter()
            .filter(|client| client.sends && client.interval_ns > 0 && client.in_flight < client.window);
        let next_at = open.map(|client| client.next_at).min().unwrap_or(now + 100_000_000);
        let timeout = TimeSpec::from_duration(Duration::from_nanos(next_at.saturating_sub(now).min(100_000_000)));
        ppoll(&mut polled, Some(timeout), None)?;
        let is_readable = |fd: &PollFd<'_>| fd.any().unwrap_or(false);
        Ok(polled.iter().enumerate().filter(|(_, fd)| is_readable(fd)).map(|(index, _)| index).collect())
    }
}
