//! One simulated process, and the reactor that it holds.
//!
//! Owns the process's events, timers and held-back flushes. What it does to network and disk goes through the world.

use super::HostId;
use super::endpoint::Read;
use super::mailbox::Notice;
use super::world::State;
use crate::event::{Event, ListenerId, SocketId};
use crate::facade::Backend;
use crate::slots::Key;
use crate::sync_delay::{SyncDelay, is_flush};
use crate::timer::Timers;
use crate::waker::Waker;
use bytes::Bytes;
use disk::sim::Session;
use disk::{DiskDone, DiskRequest, Nanos};
use std::cell::RefCell;
use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What a timer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Alarm {
    User(u64),
    DelayedSync(Key),
}

/// The world's side of a process.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) session: Session,
    pub(super) stopped: bool,
    pub(super) watches_signals: bool,
    woken: Arc<AtomicBool>,
    alive: bool,
    notices: VecDeque<Notice>,
    timers: Timers<Alarm>,
    sync_delay: SyncDelay,
    /// Requests in flight whose completion promises durability.
    flushes: BTreeSet<u64>,
}

impl Host {
    pub(super) fn new(session: Session) -> Self {
        Host {
            session,
            stopped: false,
            watches_signals: false,
            woken: Arc::new(AtomicBool::new(false)),
            alive: true,
            notices: VecDeque::new(),
            timers: Timers::new(),
            sync_delay: SyncDelay::new(),
            flushes: BTreeSet::new(),
        }
    }

    pub(super) fn notify(&mut self, notice: Notice) {
        if self.alive {
            self.notices.push_back(notice);
        }
    }

    pub(super) fn tell(&mut self, event: Event) {
        self.notify(Notice::Event(event));
    }

    pub(super) fn disk_done(&mut self, now: Nanos, done: DiskDone) {
        let held = if self.flushes.remove(&done.id) { self.sync_delay.hold(now, done) } else { Err(done) };
        match held {
            Ok((at, key)) => self.timers.set(at, Alarm::DelayedSync(key)),
            Err(done) => self.tell(Event::Disk(done)),
        }
    }

    /// Whether a turn now would give an event.
    pub(super) fn is_ready(&self, now: Nanos) -> bool {
        let runs = self.alive && !self.stopped;
        let has_news = !self.notices.is_empty() || self.woken.load(Ordering::Acquire);
        runs && (has_news || self.timers.next_at().is_some_and(|at| at <= now))
    }

    pub(super) fn next_alarm(&self) -> Option<Nanos> {
        if self.alive && !self.stopped { self.timers.next_at() } else { None }
    }

    /// False when it was dead already.
    pub(super) fn die(&mut self) -> bool {
        self.notices.clear();
        self.timers = Timers::new();
        std::mem::replace(&mut self.alive, false)
    }
}

/// The reactor of a simulated process. When the process was killed, every call does nothing.
#[derive(Debug)]
pub(crate) struct SimHost {
    world: Rc<RefCell<State>>,
    id: HostId,
}

impl SimHost {
    pub(super) fn new(world: Rc<RefCell<State>>, id: HostId) -> Self {
        SimHost { world, id }
    }

    pub(super) fn id(&self) -> HostId {
        self.id
    }

    pub(super) fn is_of(&self, world: &Rc<RefCell<State>>) -> bool {
        Rc::ptr_eq(&self.world, world)
    }
}

impl Backend for SimHost {
    fn now(&self) -> Nanos {
        self.world.borrow().now
    }

    fn listen(&mut self, address: SocketAddr) -> io::Result<(ListenerId, SocketAddr)> {
        if !self.is_alive() {
            return Err(io::Error::other("the process was killed"));
        }
        self.world.borrow_mut().network.listen(self.id, address)
    }

    fn close_listener(&mut self, listener: ListenerId) {
        self.act(|state, id, now| {
            state.network.close_listener(id, listener);
            // What waited to be accepted is closed.
            let mut dropped = Vec::new();
            state.host(id).notices.retain(|notice| match notice {
                Notice::Event(Event::Accepted { listener: named, socket, .. }) if *named == listener => {
                    dropped.push(*socket);
                    false
                }
                Notice::Event(Event::AcceptFailed { listener: named, .. }) => *named != listener,
                _ => true,
            });
            dropped.into_iter().for_each(|socket| state.network.close(now, id, socket));
        });
    }

    fn connect(&mut self, address: SocketAddr) -> SocketId {
        let mut state = self.world.borrow_mut();
        let (id, now) = (self.id, state.now);
        let socket = state.network.connect(now, id, address);
        if !state.host(id).alive {
            state.network.close(now, id, socket);
        }
        state.collect_mail();
        socket
    }

    fn send(&mut self, socket: SocketId, chunks: Vec<Bytes>) {
        self.act(|state, id, now| state.network.send(now, id, socket, chunks));
    }

    fn close(&mut self, socket: SocketId) {
        self.act(|state, id, now| {
            state.host(id).notices.retain(|notice| socket_of(notice) != Some(socket));
            state.network.close(now, id, socket);
        });
    }

    fn finish(&mut self, socket: SocketId) {
        self.act(|state, id, now| state.network.finish(now, id, socket));
    }

    fn pause_receive(&mut self, socket: SocketId) {
        self.act(|state, id, _| state.network.pause_receive(id, socket));
    }

    fn resume_receive(&mut self, socket: SocketId) {
        self.act(|state, id, _| state.network.resume_receive(id, socket));
    }

    fn submit_disk(&mut self, request: DiskRequest) {
        self.act(|state, id, now| {
            let host = state.host(id);
            if is_flush(&request.op) {
                host.flushes.insert(request.id);
            }
            let session = host.session;
            state.disk.submit(now, session, request);
        });
    }

    fn set_sync_delay(&mut self, delay: Nanos) {
        self.act(|state, id, _| state.host(id).sync_delay.set(delay));
    }

    fn set_timer(&mut self, at: Nanos, token: u64) {
        self.act(|state, id, _| state.host(id).timers.set(at, Alarm::User(token)));
    }

    fn watch_signals(&mut self) -> io::Result<()> {
        self.act(|state, id, _| state.host(id).watches_signals = true);
        Ok(())
    }

    fn waker(&mut self) -> io::Result<Waker> {
        let woken = Arc::clone(&self.world.borrow_mut().host(self.id).woken);
        Ok(Waker::sim(woken))
    }

    fn wait(&mut self, events: &mut VecDeque<Event>) -> io::Result<()> {
        self.act(|state, id, now| {
            for notice in std::mem::take(&mut state.host(id).notices) {
                match notice {
                    Notice::Event(event) => events.push_back(event),
                    Notice::Readable(socket) => {
                        state.network.read(now, id, socket, |read| events.push_back(read_event(socket, read)));
                    }
                }
            }
            let host = state.host(id);
            if host.woken.swap(false, Ordering::AcqRel) {
                events.push_back(Event::Woken);
            }
            while let Some(alarm) = host.timers.pop_due(now) {
                events.push_back(match alarm {
                    Alarm::User(token) => Event::Timer(token),
                    Alarm::DelayedSync(key) => Event::Disk(host.sync_delay.release(key)),
                });
            }
        });
        Ok(())
    }
}

impl SimHost {
    fn is_alive(&self) -> bool {
        self.world.borrow_mut().host(self.id).alive
    }

    /// What a living process does to its world.
    fn act(&mut self, action: impl FnOnce(&mut State, HostId, Nanos)) {
        let mut state = self.world.borrow_mut();
        if state.host(self.id).alive {
            let now = state.now;
            action(&mut state, self.id, now);
            state.collect_mail();
        }
    }
}

fn read_event(socket: SocketId, read: Read) -> Event {
    match read {
        Read::Data(data) => Event::Received { socket, data: data.into() },
        Read::End => Event::Closed { socket, error: None },
        Read::Broken(kind) => Event::Closed { socket, error: Some(kind.into()) },
    }
}

fn socket_of(notice: &Notice) -> Option<SocketId> {
    match notice {
        Notice::Readable(socket) => Some(*socket),
        Notice::Event(
            Event::Accepted { socket, .. }
            | Event::Connected { socket }
            | Event::Received { socket, .. }
            | Event::Sent { socket }
            | Event::Closed { socket, .. },
        ) => Some(*socket),
        Notice::Event(
            Event::AcceptFailed { .. } | Event::Disk(_) | Event::Timer(_) | Event::Signal(_) | Event::Woken,
        ) => None,
    }
}
