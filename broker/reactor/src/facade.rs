//! The one type that users hold.
//!
//! Owns nothing but the choice of the backend, and what a backend is; each call goes straight to it.

use crate::event::{Event, ListenerId, SocketId};
use crate::uring::{Config, SetupError, Uring};
use crate::waker::Waker;
use crate::workers::Workers;
use bytes::Bytes;
use disk::{DiskRequest, Nanos};
use std::any::Any;
use std::collections::VecDeque;
use std::fmt::Debug;
use std::io;
use std::net::SocketAddr;

/// All input and output of one thread.
///
/// Calls queue work; [`Reactor::wait`] hands all of it to the kernel in one system call and reaps what is complete.
/// Not `Send`: the kernel's ring belongs to the thread that made it.
#[derive(Debug)]
pub struct Reactor {
    pub(crate) backend: Box<dyn Backend>,
}

/// What stands behind a [`Reactor`], whose methods of the same names say what each of these does.
#[allow(missing_docs, reason = "each method is described where users find it: at `Reactor`")]
pub trait Backend: Debug + Any {
    fn now(&self) -> Nanos;
    fn listen(&mut self, address: SocketAddr) -> io::Result<(ListenerId, SocketAddr)>;
    fn close_listener(&mut self, listener: ListenerId);
    fn connect(&mut self, address: SocketAddr) -> SocketId;
    fn send(&mut self, socket: SocketId, chunks: Vec<Bytes>);
    fn close(&mut self, socket: SocketId);
    fn finish(&mut self, socket: SocketId);
    fn pause_receive(&mut self, socket: SocketId);
    fn resume_receive(&mut self, socket: SocketId);
    fn submit_disk(&mut self, request: DiskRequest);
    fn set_sync_delay(&mut self, delay: Nanos);
    fn set_timer(&mut self, at: Nanos, token: u64);
    fn watch_signals(&mut self) -> io::Result<()>;
    fn waker(&mut self) -> io::Result<Waker>;
    fn wait(&mut self, events: &mut VecDeque<Event>) -> io::Result<()>;
}

impl Reactor {
    /// A reactor on the kernel's io_uring, for the calling thread. The error names what the kernel or the container
    /// refuses and what to do about it.
    pub fn uring(config: Config) -> Result<Reactor, SetupError> {
        Ok(Reactor::over(Uring::new(config)?))
    }

    /// A reactor on `backend`: the kernel's, the double, or a layer that holds another reactor and sees what goes through it.
    pub fn over(backend: impl Backend) -> Reactor {
        Reactor { backend: Box::new(backend) }
    }

    /// The present: nanoseconds of CLOCK_MONOTONIC, or simulated.
    pub fn now(&self) -> Nanos {
        self.backend.now()
    }

    /// Listens on `address` and accepts until `close_listener`. Returns the address with its real port.
    pub fn listen(&mut self, address: SocketAddr) -> io::Result<(ListenerId, SocketAddr)> {
        self.backend.listen(address)
    }

    /// Ends listening. Connections that were accepted before live on; no further event names the listener.
    pub fn close_listener(&mut self, listener: ListenerId) {
        self.backend.close_listener(listener)
    }

    /// Begins a connection: [`Event::Connected`], or [`Event::Closed`] with the error. It never times out by itself
    /// before the kernel gives up (minutes); a user that is less patient sets a timer and closes.
    pub fn connect(&mut self, address: SocketAddr) -> SocketId {
        self.backend.connect(address)
    }

    /// Sends all chunks in order; [`Event::Sent`] when the kernel has all of them. A socket that has failed, or that the
    /// user closed, drops the data.
    ///
    /// # Panics
    /// When a send is in flight on this socket, before `Connected`, or after `finish`.
    pub fn send(&mut self, socket: SocketId, chunks: Vec<Bytes>) {
        self.backend.send(socket, chunks)
    }

    /// Closes at once: what is not in the kernel yet is dropped, and no further event names the socket.
    pub fn close(&mut self, socket: SocketId) {
        self.backend.close(socket)
    }

    /// Ends our side after the send in flight, so that the peer reads all of it and then end of file. Receiving
    /// goes on; the user still calls `close`.
    pub fn finish(&mut self, socket: SocketId) {
        self.backend.finish(socket)
    }

    /// Stops receiving, so that the peer is slowed down by its window. What the kernel had handed over already may still
    /// arrive, and neither the peer's end of file nor a reset is seen until `resume_receive`.
    pub fn pause_receive(&mut self, socket: SocketId) {
        self.backend.pause_receive(socket)
    }

    /// Receives again.
    pub fn resume_receive(&mut self, socket: SocketId) {
        self.backend.resume_receive(socket)
    }

    /// Begins disk work; [`Event::Disk`] when it is complete. Requests may complete in any order.
    ///
    /// `InvalidInput` is the answer to reads and writes whose offset or length is not a multiple of [`disk::BLOCK_SIZE`],
    /// to written data that does not begin at one in memory (see [`crate::buffer::aligned`]), and to a number that is not
    /// open, or open already.
    pub fn submit_disk(&mut self, request: DiskRequest) {
        self.backend.submit_disk(request)
    }

    /// From now on each durable write, `Sync` and `SyncDir` is reported this much later than the disk completed it, so that
    /// group commit can be tuned for slower disks than this one.
    pub fn set_sync_delay(&mut self, delay: Nanos) {
        self.backend.set_sync_delay(delay)
    }

    /// Sets the one-shot timer of `token`: [`Event::Timer`] at `at` or soon after. A token has one timer: when it is set
    /// again before it fires, the earlier deadline wins.
    pub fn set_timer(&mut self, at: Nanos, token: u64) {
        self.backend.set_timer(at, token)
    }

    /// Reports SIGTERM, SIGINT and SIGHUP as [`Event::Signal`] from now on instead of dying of them. To be called
    /// before the process starts other threads, since each thread inherits which signals are blocked.
    pub fn watch_signals(&mut self) -> io::Result<()> {
        self.backend.watch_signals()
    }

    /// The way by which other threads make this reactor report [`Event::Woken`].
    pub fn waker(&mut self) -> io::Result<Waker> {
        self.backend.waker()
    }

    /// Starts `threads` threads for work that takes long; at most `waiting_max` pieces of it wait. [`Event::Woken`] says that
    /// there are results to take. To be called after `watch_signals`.
    pub fn workers<T: Send + 'static>(&mut self, threads: usize, waiting_max: usize) -> io::Result<Workers<T>> {
        Workers::new(self.waker()?, threads, waiting_max)
    }

    /// Hands the queued work over and appends to `events` what is complete; blocks until there is at least one
    /// event. A simulated reactor never blocks: it appends what is due, perhaps nothing (see [`crate::sim::World::step`]).
    pub fn wait(&mut self, events: &mut VecDeque<Event>) -> io::Result<()> {
        self.backend.wait(events)
    }
}
