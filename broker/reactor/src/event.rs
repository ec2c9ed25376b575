//! What a reactor reports, and the names of what it reports about.
//!
//! Owns no behaviour.

use crate::RecvBuffer;
use crate::slots::Key;
use disk::DiskDone;
use std::io;
use std::net::SocketAddr;

/// A connection. Never reused: the id of a closed socket stays invalid for the life of the reactor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SocketId(pub(crate) Key);

/// A listening socket. Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ListenerId(pub(crate) Key);

/// Something happened. Closed set: a shard's loop matches it exhaustively.
///
/// Events that [`crate::Reactor::wait`] has handed out before the user calls [`crate::Reactor::close`] may still name that
/// socket; the user looks the id up among its own connections and ignores the unknown.
#[derive(Debug)]
pub enum Event {
    /// A peer connected to `listener`; receiving has begun.
    Accepted {
        /// The listener that it came in by.
        listener: ListenerId,
        /// The new connection.
        socket: SocketId,
        /// The peer's address.
        peer: SocketAddr,
    },
    /// A connection could not be accepted, most often for want of file descriptors. The listener tries again by
    /// itself, after a pause.
    AcceptFailed {
        /// The listener concerned.
        listener: ListenerId,
        /// Why.
        error: io::Error,
    },
    /// The connection that `connect` began stands; receiving has begun.
    Connected {
        /// The connection.
        socket: SocketId,
    },
    /// Bytes from the peer, in order.
    Received {
        /// The connection.
        socket: SocketId,
        /// The bytes; give them up soon, since the reactor has a fixed number of buffers.
        data: RecvBuffer,
    },
    /// All that the last `send` was given is in the kernel; the next `send` is allowed.
    Sent {
        /// The connection.
        socket: SocketId,
    },
    /// The peer ended its side (`error` is `None`: our side can still send), or the connection failed (no further
    /// event follows). At most one of each per socket; the user still calls `close`.
    Closed {
        /// The connection.
        socket: SocketId,
        /// `None` at the peer's end of file.
        error: Option<io::Error>,
    },
    /// A disk request is complete.
    Disk(DiskDone),
    /// The timer of this token is due.
    Timer(u64),
    /// A signal that `watch_signals` asked for.
    Signal(i32),
    /// A [`crate::Waker`] of this reactor was used, once or more often since the last report.
    Woken,
}
