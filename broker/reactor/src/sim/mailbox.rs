//! What the simulated network says: to hosts, and to itself at a later time.
//!
//! Owns only the words; `world` carries them.

use super::HostId;
use crate::event::{Event, SocketId};
use crate::slots::Key;
use disk::Nanos;
use std::io;
use std::net::SocketAddr;

/// What the network tells a host.
#[derive(Debug)]
pub(super) enum Notice {
    Event(Event),
    /// The socket has something to read; the bytes are fetched when the host takes its turn.
    Readable(SocketId),
}

/// Where notices to hosts and appointments with the network itself are put.
#[derive(Debug, Default)]
pub(super) struct Mailbox {
    pub(super) notices: Vec<(HostId, Notice)>,
    pub(super) appointments: Vec<(Nanos, Appointment)>,
}

impl Mailbox {
    pub(super) fn event(&mut self, host: HostId, event: Event) {
        self.notices.push((host, Notice::Event(event)));
    }
}

/// Something that the network does at a later time.
#[derive(Clone, Copy, Debug)]
pub(super) enum Appointment {
    /// A connection request arrives.
    Request { socket: Key, to: SocketAddr },
    /// The head of what a socket has on the wire arrives.
    Arrival { socket: Key },
    /// The peer has read so many bytes.
    Acknowledgement { socket: Key, from: HostId, bytes: usize },
    /// There is nobody: the connection is refused or reset.
    Refusal { socket: Key, from: HostId, kind: io::ErrorKind },
}
