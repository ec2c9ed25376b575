//! Listening sockets.
//!
//! Owns each listener and its one multishot accept: re-arming, and the pause after a failure so that exhaustion of
//! descriptors does not spin. What is accepted goes to `socket`.
#![allow(unsafe_code)]

use super::ring::{Completion, Kind, Ring, Tag};
use super::socket::shutdown;
use crate::event::{Event, ListenerId};
use crate::slots::{Key, Slots};
use disk::Nanos;
use io_uring::{opcode, types};
use nix::sys::socket::{Backlog, setsockopt, sockopt};
use std::collections::VecDeque;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

/// How long a listener that could not accept leaves its backlog alone.
pub(super) const RETRY_AFTER: Nanos = 100_000_000;

#[derive(Debug)]
struct Listener {
    socket: TcpListener,
    /// Whether the kernel has an accept of it.
    armed: bool,
    closing: bool,
}

/// What an accept completion calls for.
#[derive(Debug)]
pub(super) enum Accepted {
    /// A connection to take in.
    Connection {
        stream: TcpStream,
        peer: SocketAddr,
    },
    /// Arm again, but only after [`RETRY_AFTER`].
    RetryLater,
    Nothing,
}

#[derive(Debug)]
pub(super) struct Listeners {
    slots: Slots<Listener>,
    backlog: i32,
}

impl Listeners {
    pub(super) fn new(backlog: u32) -> Self {
        Listeners { slots: Slots::new(), backlog: backlog.min(i32::MAX as u32) as i32 }
    }

    pub(super) fn listen(&mut self, ring: &mut Ring, address: SocketAddr) -> io::Result<(ListenerId, SocketAddr)> {
        // Sets SO_REUSEADDR, without which a restarted server waits for the old connections to time out.
        let socket = TcpListener::bind(address)?;
        nix::sys::socket::listen(&socket, Backlog::new(self.backlog)?)?;
        // Accepted sockets inherit it, which saves a system call for each.
        setsockopt(&socket, sockopt::TcpNoDelay, &true)?;
        let address = socket.local_addr()?;
        let key = self.slots.insert(Listener { socket, armed: false, closing: false });
        self.arm(ring, key);
        Ok((ListenerId(key), address))
    }

    pub(super) fn close(&mut self, ring: &mut Ring, ListenerId(key): ListenerId) {
        let Some(listener) = self.slots.get_mut(key) else { return };
        listener.closing = true;
        if !listener.armed {
            self.slots.remove(key);
            return;
        }
        // The port is free at once, and the accept ends with an error; the cancellation is for kernels that let it sleep.
        shutdown(listener.socket.as_fd(), Shutdown::Both);
        ring.cancel(Tag::new(Kind::Accept, key));
    }

    /// Accepts (again); for a listener that is gone by now nothing happens.
    pub(super) fn arm(&mut self, ring: &mut Ring, key: Key) {
        let Some(listener) = self.slots.get_mut(key) else { return };
        if listener.armed || listener.closing {
            return;
        }
        listener.armed = true;
        let descriptor = types::Fd(listener.socket.as_raw_fd());
        let entry = opcode::AcceptMulti::new(descriptor).flags(libc::SOCK_CLOEXEC).build();
        // SAFETY: the entry names no memory; the listener keeps its descriptor until its accept has ended.
        unsafe { ring.push(entry, Tag::new(Kind::Accept, key)) }
    }

    pub(super) fn complete(
        &mut self,
        ring: &mut Ring,
        completion: Completion,
        events: &mut VecDeque<Event>,
    ) -> Accepted {
        let key = completion.tag.key;
        let listener = self.slots.get_mut(key).expect("a listener stays until its accept has ended");
        if !completion.more() {
            listener.armed = false;
        }
        // SAFETY: the kernel made this descriptor for this completion; nobody else knows it.
        let accepted = completion.result().map(|fd| unsafe { OwnedFd::from_raw_fd(fd as i32) });
        if listener.closing {
            if !listener.armed {
                self.slots.remove(key);
            }
            return Accepted::Nothing;
        }
        match accepted {
            Ok(descriptor) => {
                self.arm(ring, key);
                let stream = TcpStream::from(descriptor);
                // Multishot accept cannot tell the peer. A peer that is gone already never was there.
                stream.peer_addr().map_or(Accepted::Nothing, |peer| Accepted::Connection { stream, peer })
            }
            Err(error) if passes_by_itself(&error) => {
                self.arm(ring, key);
                Accepted::Nothing
            }
            Err(error) => {
                events.push_back(Event::AcceptFailed { listener: ListenerId(key), error });
                Accepted::RetryLater
            }
        }
    }

    /// Ends all listeners, for the end of the reactor.
    pub(super) fn close_all(&mut self, ring: &mut Ring) {
        for key in self.slots.keys().collect::<Vec<_>>() {
            self.close(ring, ListenerId(key));
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }
}

/// Errors of one connection, not of the listener (accept(2) lists them).
fn passes_by_itself(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::ECONNABORTED
                | libc::EINTR
                | libc::EAGAIN
                | libc::EPROTO
                | libc::ENETDOWN
                | libc::EHOSTDOWN
                | libc::EHOSTUNREACH
                | libc::ENETUNREACH
                | libc::ECANCELED
        )
    )
}
