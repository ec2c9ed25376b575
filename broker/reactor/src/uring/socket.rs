//! Connections.
//!
//! Owns each connection from its descriptor to its last completion: connecting, receiving, closing. A slot is given
//! up only when the kernel works on nothing of it any more, so that a late completion never meets its successor.
//! Listening is in `accept`; what is being sent is in `send`.
#![allow(unsafe_code)]

use super::receive::Receive;
use super::recv_buffers::{GROUP, RecvPool};
use super::ring::{Completion, Kind, Ring, Tag};
use super::send::Sender;
use crate::buffer::RecvBuffer;
use crate::event::{Event, SocketId};
use crate::slots::{Key, Slots};
use bytes::Bytes;
use io_uring::{opcode, squeue, types};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrLike, SockaddrStorage, socket};
use std::collections::VecDeque;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::rc::Rc;

/// The life of a connection.
///
/// ```text
///   connect()                              accept
///       |                                    |
///       v             connected              v
///   +------------+ -----------------> +------+
///   | Connecting |                    | Open |
///   +------------+                    +------+
///       |     |   refused      error   |   |
///       |     +-------> +--------+ <---+   |
///       |               | Failed |         |
///       |               +--------+         |
///       |  close()          | close()      | close()
///       +---------> +---------+ <----------+
///                   | Closing |  until nothing is in flight
///                   +---------+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Connecting,
    Open,
    /// `Closed` with an error was reported; nothing more will be.
    Failed,
    /// The user is done with it.
    Closing,
}

impl Phase {
    fn can_become(self, next: Phase) -> bool {
        use Phase::*;
        matches!((self, next), (Connecting, Open | Failed | Closing) | (Open, Failed | Closing) | (Failed, Closing))
    }

    fn become_phase(&mut self, next: Phase) {
        assert!(self.can_become(next), "a connection cannot go from {self:?} to {next:?}");
        *self = next;
    }
}

#[derive(Debug)]
struct Connection {
    /// `None` only when the kernel refused to make a socket.
    stream: Option<TcpStream>,
    /// Where to, while connecting; boxed because the kernel reads it.
    address: Option<Box<SockaddrStorage>>,
    phase: Phase,
    receive: Receive,
    paused: bool,
    /// The user has ended our side.
    finishing: bool,
    sender: Box<Sender>,
    /// Why sending failed, kept until the receiving side has delivered what the peer sent before it went.
    send_error: Option<io::Error>,
    /// Entries of this connection that the kernel has.
    in_flight: u32,
}

impl Connection {
    fn new(stream: Option<TcpStream>, phase: Phase) -> Self {
        Connection {
            stream,
            address: None,
            phase,
            receive: Receive::Idle,
            paused: false,
            finishing: false,
            sender: Sender::new(),
            send_error: None,
            in_flight: 0,
        }
    }

    fn descriptor(&self) -> RawFd {
        self.stream.as_ref().expect("a connection that is in use has a socket").as_raw_fd()
    }

    fn end_our_side(&self) {
        if let Some(stream) = &self.stream {
            shutdown(stream.as_fd(), Shutdown::Write);
        }
    }

    fn fail(&mut self, key: Key, error: io::Error, events: &mut VecDeque<Event>) {
        self.phase.become_phase(Phase::Failed);
        events.push_back(Event::Closed { socket: SocketId(key), error: Some(error) });
    }

    /// # Safety
    /// As for [`Ring::push`]; the connection's own descriptor and boxes are fine, since they outlive `in_flight`.
    unsafe fn push(&mut self, ring: &mut Ring, entry: squeue::Entry, tag: Tag) {
        self.in_flight += 1;
        // SAFETY: the caller vouches for the memory; the descriptor stays open while `in_flight` is not zero.
        unsafe { ring.push(entry, tag) }
    }
}

/// All connections of a ring.
#[derive(Debug)]
pub(super) struct Sockets {
    slots: Slots<Connection>,
    /// Connections that found no receive buffer, oldest first; may name some that have gone on since.
    starved: VecDeque<Key>,
    pool: Rc<RecvPool>,
}

impl Sockets {
    pub(super) fn new(pool: Rc<RecvPool>) -> Self {
        Sockets { slots: Slots::new(), starved: VecDeque::new(), pool }
    }

    /// Takes in an accepted connection and receives from it.
    pub(super) fn adopt(&mut self, ring: &mut Ring, stream: TcpStream) -> SocketId {
        let key = self.slots.insert(Connection::new(Some(stream), Phase::Open));
        self.arm(ring, key);
        SocketId(key)
    }

    pub(super) fn connect(&mut self, ring: &mut Ring, address: SocketAddr, events: &mut VecDeque<Event>) -> SocketId {
        let (stream, error) = match make_socket(address) {
            Ok(stream) => (Some(stream), None),
            Err(error) => (None, Some(error)),
        };
        let key = self.slots.insert(Connection::new(stream, Phase::Connecting));
        let connection = self.slots.get_mut(key).expect("just inserted");
        if let Some(error) = error {
            connection.fail(key, error, events);
            return SocketId(key);
        }
        let descriptor = types::Fd(connection.descriptor());
        let address = connection.address.insert(Box::new(SockaddrStorage::from(address)));
        let entry = opcode::Connect::new(descriptor, address.as_ptr(), address.len()).build();
        // SAFETY: the address is boxed and kept until the connect is complete.
        unsafe { connection.push(ring, entry, Tag::new(Kind::Connect, key)) };
        SocketId(key)
    }

    pub(super) fn send(&mut self, ring: &mut Ring, id: SocketId, chunks: Vec<Bytes>, events: &mut VecDeque<Event>) {
        let Some(connection) = self.slots.get_mut(id.0) else { return };
        match connection.phase {
            Phase::Failed | Phase::Closing => return,
            Phase::Connecting => panic!("send before Event::Connected"),
            Phase::Open => assert!(!connection.finishing, "send after finish"),
        }
        connection.sender.begin(chunks);
        Self::go_on_sending(ring, id.0, connection, events);
    }

    pub(super) fn finish(&mut self, SocketId(key): SocketId) {
        let Some(connection) = self.slots.get_mut(key) else { return };
        connection.finishing = true;
        if connection.phase == Phase::Open && !connection.sender.is_busy() {
            connection.end_our_side();
        }
    }

    pub(super) fn close(&mut self, ring: &mut Ring, SocketId(key): SocketId) {
        let Some(connection) = self.slots.get_mut(key) else { return };
        if connection.phase == Phase::Closing {
            return;
        }
        let connecting = connection.phase == Phase::Connecting;
        connection.phase.become_phase(Phase::Closing);
        if connection.in_flight == 0 {
            self.slots.remove(key);
            return;
        }
        // Both, because a cancellation misses an operation that is just being retried, and shutdown one that is not
        // connected yet.
        if let Some(stream) = &connection.stream {
            shutdown(stream.as_fd(), Shutdown::Both);
        }
        let armed = connection.receive == Receive::Armed;
        let sending = connection.sender.is_busy();
        for (kind, in_flight) in [(Kind::Connect, connecting), (Kind::Receive, armed), (Kind::Send, sending)] {
            if in_flight {
                ring.cancel(Tag::new(kind, key));
            }
        }
    }

    pub(super) fn pause_receive(&mut self, ring: &mut Ring, SocketId(key): SocketId) {
        let Some(connection) = self.slots.get_mut(key) else { return };
        connection.paused = true;
        match connection.receive {
            Receive::Armed => {
                connection.receive.become_state(Receive::Stopping);
                ring.cancel(Tag::new(Kind::Receive, key));
            }
            Receive::Starved => connection.receive.become_state(Receive::Idle),
            Receive::Idle | Receive::Stopping | Receive::Ended => {}
        }
    }

    pub(super) fn resume_receive(&mut self, ring: &mut Ring, SocketId(key): SocketId) {
        let Some(connection) = self.slots.get_mut(key) else { return };
        connection.paused = false;
        self.arm(ring, key);
    }

    /// Receives again where buffers were wanting, if there are some now.
    pub(super) fn feed_starved(&mut self, ring: &mut Ring) {
        if !self.pool.has_free() {
            return;
        }
        // All of them: one that is left out could sleep for ever, and one that finds no buffer just comes back here.
        for key in std::mem::take(&mut self.starved) {
            self.arm(ring, key);
        }
    }

    pub(super) fn complete(&mut self, ring: &mut Ring, completion: Completion, events: &mut VecDeque<Event>) {
        let key = completion.tag.key;
        // Taken over in any case, so that the buffer goes back even if nobody wants its bytes.
        let data = completion.buffer().map(|id| self.pool.take(id, completion.result().unwrap_or(0)));
        let connection = self.slots.get_mut(key).expect("a connection stays until nothing of it is in flight");
        if !completion.more() {
            connection.in_flight -= 1;
        }
        if connection.phase == Phase::Closing {
            if connection.in_flight == 0 {
                self.slots.remove(key);
            }
            return;
        }
        match completion.tag.kind {
            Kind::Connect => self.connected(ring, completion, events),
            Kind::Send => self.sent(ring, completion, events),
            Kind::Receive => self.received(ring, completion, data.map(RecvBuffer::pooled), events),
            other => unreachable!("{other:?} is not an operation of a connection"),
        }
    }

    fn connected(&mut self, ring: &mut Ring, completion: Completion, events: &mut VecDeque<Event>) {
        let key = completion.tag.key;
        let Some(connection) = self.slots.get_mut(key) else { return };
        connection.address = None;
        if let Err(error) = completion.result() {
            return connection.fail(key, error, events);
        }
        connection.phase.become_phase(Phase::Open);
        events.push_back(Event::Connected { socket: SocketId(key) });
        if connection.finishing {
            connection.end_our_side();
        }
        self.arm(ring, key);
    }

    fn sent(&mut self, ring: &mut Ring, completion: Completion, events: &mut VecDeque<Event>) {
        let key = completion.tag.key;
        let Some(connection) = self.slots.get_mut(key) else { return };
        let error = match completion.result() {
            Ok(0) => io::Error::from(io::ErrorKind::WriteZero),
            Ok(count) => {
                connection.sender.advance(count as usize);
                return Self::go_on_sending(ring, key, connection, events);
            }
            Err(error) if is_transient(&error) => return Self::go_on_sending(ring, key, connection, events),
            Err(error) => error,
        };
        connection.sender.end();
        if connection.phase == Phase::Failed {
            return;
        }
        // The peer may have said why before it went: deliver that first. The receiving side then ends by itself.
        if matches!(connection.receive, Receive::Armed | Receive::Starved) {
            connection.send_error = Some(error);
        } else {
            connection.fail(key, error, events);
        }
    }

    fn go_on_sending(ring: &mut Ring, key: Key, connection: &mut Connection, events: &mut VecDeque<Event>) {
        let descriptor = connection.descriptor();
        if let Some(entry) = connection.sender.entry(descriptor) {
            // SAFETY: the sender is boxed, and neither it nor its chunks change before the completion.
            return unsafe { connection.push(ring, entry, Tag::new(Kind::Send, key)) };
        }
        connection.sender.end();
        if connection.phase == Phase::Open {
            events.push_back(Event::Sent { socket: SocketId(key) });
            if connection.finishing {
                connection.end_our_side();
            }
        }
    }

    fn received(
        &mut self,
        ring: &mut Ring,
        completion: Completion,
        data: Option<RecvBuffer>,
        events: &mut VecDeque<Event>,
    ) {
        let key = completion.tag.key;
        let Some(connection) = self.slots.get_mut(key) else { return };
        if connection.phase == Phase::Failed {
            return;
        }
        let next = match (completion.result(), data) {
            (Ok(0), _) => {
                match connection.send_error.take() {
                    Some(error) => connection.fail(key, error, events),
                    None => events.push_back(Event::Closed { socket: SocketId(key), error: None }),
                }
                Receive::Ended
            }
            (Ok(_), data) => {
                let data = data.expect("received bytes come in a buffer of the pool");
                events.push_back(Event::Received { socket: SocketId(key), data });
                Receive::Idle
            }
            (Err(error), _) if is_out_of_buffers(&error) && !connection.paused => Receive::Starved,
            (Err(error), _) if is_out_of_buffers(&error) || is_transient(&error) => Receive::Idle,
            (Err(error), _) => {
                connection.fail(key, error, events);
                Receive::Ended
            }
        };
        if completion.more() {
            return;
        }
        connection.receive.become_state(next);
        match next {
            Receive::Starved => self.starved.push_back(key),
            _ => self.arm(ring, key),
        }
    }

    /// Begins a multishot receive, if the connection is in a state to receive.
    fn arm(&mut self, ring: &mut Ring, key: Key) {
        let Some(connection) = self.slots.get_mut(key) else { return };
        let resting = matches!(connection.receive, Receive::Idle | Receive::Starved);
        if !resting || connection.paused || connection.phase != Phase::Open {
            return;
        }
        connection.receive.become_state(Receive::Armed);
        let entry = opcode::RecvMulti::new(types::Fd(connection.descriptor()), GROUP).build();
        // SAFETY: the entry names no memory but the pool's, which outlives the ring.
        unsafe { connection.push(ring, entry, Tag::new(Kind::Receive, key)) }
    }

    /// Ends all connections, for the end of the reactor.
    pub(super) fn close_all(&mut self, ring: &mut Ring) {
        for key in self.slots.keys().collect::<Vec<_>>() {
            self.close(ring, SocketId(key));
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    #[cfg(test)]
    pub(super) fn stream(&self, id: SocketId) -> &TcpStream {
        self.slots.get(id.0).and_then(|connection| connection.stream.as_ref()).expect("an open connection")
    }
}

fn make_socket(address: SocketAddr) -> io::Result<TcpStream> {
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let descriptor = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    let stream = TcpStream::from(descriptor);
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Errors that say nothing about the connection; `ECANCELED` is the answer to a pause.
fn is_transient(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINTR | libc::EAGAIN | libc::ECANCELED))
}

fn is_out_of_buffers(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ENOBUFS)
}

/// Shuts down. The only error that a socket of ours can give, that it is not connected (any more), leaves nothing to do.
pub(super) fn shutdown(socket: BorrowedFd<'_>, how: Shutdown) {
    let how = match how {
        Shutdown::Read => nix::sys::socket::Shutdown::Read,
        Shutdown::Write => nix::sys::socket::Shutdown::Write,
        Shutdown::Both => nix::sys::socket::Shutdown::Both,
    };
    if let Err(error) = nix::sys::socket::shutdown(socket.as_raw_fd(), how) {
        assert_eq!(error, nix::errno::Errno::ENOTCONN, "shutdown of a socket of ours");
    }
}

#[cfg(test)]
mod tests {
    use super::Phase::{self, *};

    #[test]
    fn every_edge_of_a_connections_life_and_no_other_can_be_walked() {
        let all = [Connecting, Open, Failed, Closing];
        let edges = [
            (Connecting, Open),
            (Connecting, Failed),
            (Connecting, Closing),
            (Open, Failed),
            (Open, Closing),
            (Failed, Closing),
        ];
        for from in all {
            for to in all {
                assert_eq!(Phase::can_become(from, to), edges.contains(&(from, to)), "{from:?} -> {to:?}");
            }
        }
        for (from, to) in edges {
            let mut phase = from;
            phase.become_phase(to);
            assert_eq!(phase, to);
        }
    }
}
