//! A layer between the broker and its reactor. Owns what all defects share: everything passes through, and events of the layer's own.

use bytes::Bytes;
use disk::{DiskDone, DiskRequest, Nanos, Outcome};
use reactor::{Backend, Event, ListenerId, Reactor, SocketId, Waker};
use std::collections::VecDeque;
use std::fmt::Debug;
use std::io;
use std::net::SocketAddr;

/// A timer of the layer's own. The broker's tokens have smaller kinds in their upper four bits.
const TOKEN: u64 = u64::MAX;

/// What one defect changes; what it does not mention passes through.
pub(crate) trait Meddler: Debug + 'static {
    /// The broker asks for disk work.
    fn disk(&mut self, below: &mut Below, request: DiskRequest) {
        below.reactor.submit_disk(request);
    }

    /// The broker connects, which it does to its peer only.
    fn connect(&mut self, below: &mut Below, address: SocketAddr) -> SocketId {
        below.reactor.connect(address)
    }

    /// The broker sends.
    fn send(&mut self, below: &mut Below, socket: SocketId, chunks: Vec<Bytes>) {
        below.reactor.send(socket, chunks);
    }

    /// The broker closes a socket.
    fn close(&mut self, below: &mut Below, socket: SocketId) {
        below.reactor.close(socket);
    }

    /// Something happened; `None` keeps it from the broker.
    fn event(&mut self, _below: &mut Below, event: Event) -> Option<Event> {
        Some(event)
    }

    /// The layer's timer fired.
    fn timeout(&mut self, _below: &mut Below) {}
}

/// The reactor under a layer, and what the layer itself reports.
#[derive(Debug)]
pub(crate) struct Below {
    pub(crate) reactor: Reactor,
    own: VecDeque<Event>,
}

impl Below {
    /// Answers a request that the reactor has not been asked, or not yet.
    pub(crate) fn answer(&mut self, id: u64, outcome: Outcome) {
        self.own.push_back(Event::Disk(DiskDone { id, result: Ok(outcome) }));
        // So that a wait for other events ends.
        self.wake_at(self.reactor.now());
    }

    /// Calls [`Meddler::timeout`] at this time.
    pub(crate) fn wake_at(&mut self, at: Nanos) {
        self.reactor.set_timer(at, TOKEN);
    }
}

/// A backend that lets a meddler see everything first.
#[derive(Debug)]
pub(crate) struct Layer<M> {
    below: Below,
    meddler: M,
    events: VecDeque<Event>,
}

impl<M: Meddler> Layer<M> {
    pub(crate) fn new(reactor: Reactor, meddler: M) -> Self {
        Self { below: Below { reactor, own: VecDeque::new() }, meddler, events: VecDeque::new() }
    }
}

impl<M: Meddler> Backend for Layer<M> {
    fn now(&self) -> Nanos {
        self.below.reactor.now()
    }

    fn listen(&mut self, address: SocketAddr) -> io::Result<(ListenerId, SocketAddr)> {
        self.below.reactor.listen(address)
    }

    fn close_listener(&mut self, listener: ListenerId) {
        self.below.reactor.close_listener(listener);
    }

    fn connect(&mut self, address: SocketAddr) -> SocketId {
        self.meddler.connect(&mut self.below, address)
    }

    fn send(&mut self, socket: SocketId, chunks: Vec<Bytes>) {
        self.meddler.send(&mut self.below, socket, chunks);
    }

    fn close(&mut self, socket: SocketId) {
        self.meddler.close(&mut self.below, socket);
    }

    fn finish(&mut self, socket: SocketId) {
        self.below.reactor.finish(socket);
    }

    fn pause_receive(&mut self, socket: SocketId) {
        self.below.reactor.pause_receive(socket);
    }

    fn resume_receive(&mut self, socket: SocketId) {
        self.below.reactor.resume_receive(socket);
    }

    fn submit_disk(&mut self, request: DiskRequest) {
        self.meddler.disk(&mut self.below, request);
    }

    fn set_sync_delay(&mut self, delay: Nanos) {
        self.below.reactor.set_sync_delay(delay);
    }

    fn set_timer(&mut self, at: Nanos, token: u64) {
        self.below.reactor.set_timer(at, token);
    }

    fn watch_signals(&mut self) -> io::Result<()> {
        self.below.reactor.watch_signals()
    }

    fn waker(&mut self) -> io::Result<Waker> {
        self.below.reactor.waker()
    }

    /// May give nothing, when all that happened was the layer's own affair: a turn of the broker without an event does no harm.
    fn wait(&mut self, events: &mut VecDeque<Event>) -> io::Result<()> {
        self.below.reactor.wait(&mut self.events)?;
        while let Some(event) = self.events.pop_front() {
            match event {
                Event::Timer(TOKEN) => self.meddler.timeout(&mut self.below),
                event => events.extend(self.meddler.event(&mut self.below, event)),
            }
        }
        events.append(&mut self.below.own);
        Ok(())
    }
}
