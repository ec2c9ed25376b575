//! The kernel backend: one ring for sockets, files, signals and the clock.
//!
//! Owns the turn: submit, wait, reap, and hand each completion to the child that began the operation. State lives in the
//! children: `socket` (with `receive`, `send`, `recv_buffers`), `accept`, `operation` (with `file`), `signal`,
//! `wake`.
//! `ring` holds the queues and `setup` makes them.
//!
//! One system call per turn: it submits all that was queued, waits with the deadline of the earliest timer, and lets the
//! kernel run its deferred work on this thread. No files or buffers are registered with the kernel, beside the
//! ring of receive buffers: registered ones are given up late when a process is killed, and with them its lock.

mod accept;
mod file;
mod operation;
mod receive;
mod recv_buffers;
mod ring;
mod send;
mod setup;
mod signal;
mod socket;
mod wake;

pub(crate) use recv_buffers::PooledBuffer;
pub use setup::{Config, SetupError};

use crate::event::{Event, ListenerId, SocketId};
use crate::facade::Backend;
use crate::slots::Key;
use crate::sync_delay::SyncDelay;
use crate::timer::Timers;
use crate::waker::Waker;
use accept::{Accepted, Listeners, RETRY_AFTER};
use bytes::Bytes;
use disk::{DiskRequest, Nanos};
use nix::time::{ClockId, clock_gettime};
use operation::{Disk, Finished};
use recv_buffers::RecvPool;
use ring::{Completion, Kind, Ring};
use setup::Setup;
use signal::Signals;
use socket::Sockets;
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use wake::WakeUps;

/// How long the end of a reactor waits for the kernel, in nanoseconds.
const DROP_PATIENCE: Nanos = 5_000_000_000;

/// What a timer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Alarm {
    User(u64),
    AcceptAgain(Key),
    DelayedSync(Key),
}

#[derive(Debug)]
pub(crate) struct Uring {
    // First, because fields are dropped in order: the kernel must be done with the memory of the others.
    ring: Ring,
    pool: Rc<RecvPool>,
    sockets: Sockets,
    listeners: Listeners,
    disk: Disk,
    sync_delay: SyncDelay,
    timers: Timers<Alarm>,
    signals: Option<Signals>,
    wake_ups: Option<WakeUps>,
    /// Events that came up outside of `wait`.
    ready: VecDeque<Event>,
    /// Kept for its memory.
    completions: Vec<Completion>,
}

impl Uring {
    pub(crate) fn new(config: Config) -> Result<Self, SetupError> {
        let Setup { ring, pool, has_ftruncate } = setup::set_up(&config)?;
        Ok(Uring {
            ring,
            sockets: Sockets::new(Rc::clone(&pool)),
            pool,
            listeners: Listeners::new(config.listen_backlog),
            disk: Disk::new(config.direct_io, has_ftruncate),
            sync_delay: SyncDelay::new(),
            timers: Timers::new(),
            signals: None,
            wake_ups: None,
            ready: VecDeque::new(),
            completions: Vec::new(),
        })
    }
}

impl Backend for Uring {
    fn now(&self) -> Nanos {
        let time = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("every Linux has CLOCK_MONOTONIC");
        time.tv_sec() as Nanos * 1_000_000_000 + time.tv_nsec() as Nanos
    }

    fn listen(&mut self, address: SocketAddr) -> io::Result<(ListenerId, SocketAddr)> {
        self.listeners.listen(&mut self.ring, address)
    }

    fn close_listener(&mut self, listener: ListenerId) {
        self.listeners.close(&mut self.ring, listener);
    }

    fn connect(&mut self, address: SocketAddr) -> SocketId {
        self.sockets.connect(&mut self.ring, address, &mut self.ready)
    }

    fn send(&mut self, socket: SocketId, chunks: Vec<Bytes>) {
        self.sockets.send(&mut self.ring, socket, chunks, &mut self.ready);
    }

    fn close(&mut self, socket: SocketId) {
        self.ready.retain(|event| match event {
            Event::Sent { socket: named } | Event::Closed { socket: named, .. } => *named != socket,
            _ => true,
        });
        self.sockets.close(&mut self.ring, socket);
    }

    fn finish(&mut self, socket: SocketId) {
        self.sockets.finish(socket);
    }

    fn pause_receive(&mut self, socket: SocketId) {
        self.sockets.pause_receive(&mut self.ring, socket);
    }

    fn resume_receive(&mut self, socket: SocketId) {
        self.sockets.resume_receive(&mut self.ring, socket);
    }

    fn submit_disk(&mut self, request: DiskRequest) {
        if let Some(finished) = self.disk.submit(&mut self.ring, request) {
            let now = self.now();
            let mut ready = std::mem::take(&mut self.ready);
            self.report(now, finished, &mut ready);
            self.ready = ready;
        }
    }

    fn set_sync_delay(&mut self, delay: Nanos) {
        self.sync_delay.set(delay);
    }

    fn set_timer(&mut self, at: Nanos, token: u64) {
        self.timers.set(at, Alarm::User(token));
    }

    fn watch_signals(&mut self) -> io::Result<()> {
        if self.signals.is_none() {
            self.signals = Some(Signals::watch(&mut self.ring)?);
        }
        Ok(())
    }

    fn waker(&mut self) -> io::Result<Waker> {
        let wake_ups = match self.wake_ups.take() {
            Some(wake_ups) => wake_ups,
            None => WakeUps::watch(&mut self.ring)?,
        };
        Ok(self.wake_ups.insert(wake_ups).waker())
    }

    fn wait(&mut self, events: &mut VecDeque<Event>) -> io::Result<()> {
        let before = events.len();
        loop {
            events.append(&mut self.ready);
            self.sockets.feed_starved(&mut self.ring);
            let timeout = if events.len() > before { Some(0) } else { self.time_to_next_alarm() };
            self.ring.enter(timeout)?;
            self.reap(events)?;
            self.ring_alarms(events);
            if events.len() > before {
                return Ok(());
            }
        }
    }
}

impl Uring {
    fn time_to_next_alarm(&mut self) -> Option<Nanos> {
        let at = self.timers.next_at()?;
        Some(at.saturating_sub(self.now()))
    }

    fn reap(&mut self, events: &mut VecDeque<Event>) -> io::Result<()> {
        let mut completions = std::mem::take(&mut self.completions);
        self.ring.reap(&mut completions);
        let routed = completions.drain(..).try_for_each(|completion| self.route(completion, events));
        self.completions = completions;
        routed
    }

    fn route(&mut self, completion: Completion, events: &mut VecDeque<Event>) -> io::Result<()> {
        match completion.tag.kind {
            Kind::Connect | Kind::Receive | Kind::Send => {
                self.sockets.complete(&mut self.ring, completion, events);
            }
            Kind::Disk => {
                if let Some(finished) = self.disk.complete(&mut self.ring, completion) {
                    self.report(self.now(), finished, events);
                }
            }
            Kind::Accept => self.accepted(completion, events),
            Kind::Signal => {
                if let Some(signals) = &self.signals {
                    signals.complete(&mut self.ring, completion, events)?;
                }
            }
            Kind::Wake => {
                if let Some(wake_ups) = &self.wake_ups {
                    wake_ups.complete(&mut self.ring, completion, events)?;
                }
            }
            Kind::Cancel => {}
        }
        Ok(())
    }

    fn accepted(&mut self, completion: Completion, events: &mut VecDeque<Event>) {
        let listener = ListenerId(completion.tag.key);
        match self.listeners.complete(&mut self.ring, completion, events) {
            Accepted::Connection { stream, peer } => {
                let socket = self.sockets.adopt(&mut self.ring, stream);
                events.push_back(Event::Accepted { listener, socket, peer });
            }
            Accepted::RetryLater => self.timers.set(self.now() + RETRY_AFTER, Alarm::AcceptAgain(listener.0)),
            Accepted::Nothing => {}
        }
    }

    fn report(&mut self, now: Nanos, Finished { done, flush }: Finished, events: &mut VecDeque<Event>) {
        let held = if flush { self.sync_delay.hold(now, done) } else { Err(done) };
        match held {
            Ok((at, key)) => self.timers.set(at, Alarm::DelayedSync(key)),
            Err(done) => events.push_back(Event::Disk(done)),
        }
    }

    fn ring_alarms(&mut self, events: &mut VecDeque<Event>) {
        if self.timers.next_at().is_none() {
            return;
        }
        let now = self.now();
        while let Some(alarm) = self.timers.pop_due(now) {
            match alarm {
                Alarm::User(token) => events.push_back(Event::Timer(token)),
                Alarm::AcceptAgain(key) => self.listeners.arm(&mut self.ring, key),
                Alarm::DelayedSync(key) => events.push_back(Event::Disk(self.sync_delay.release(key))),
            }
        }
    }
}

impl Drop for Uring {
    /// Waits until the kernel touches none of our memory any more. What a broken disk keeps beyond [`DROP_PATIENCE`] is
    /// leaked instead.
    fn drop(&mut self) {
        self.sockets.close_all(&mut self.ring);
        self.listeners.close_all(&mut self.ring);
        self.ring.cancel_all();
        let deadline = self.now() + DROP_PATIENCE;
        while self.ring.in_flight() > 0 {
            let left = deadline.saturating_sub(self.now());
            let mut nobody_listens = VecDeque::new();
            let turned = self.ring.enter(Some(left)).and_then(|()| self.reap(&mut nobody_listens));
            if left == 0 || turned.is_err() {
                self.disk.leak();
                std::mem::forget(Rc::clone(&self.pool));
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests;
