//! One end of a simulated connection: what its kernel would know of it.
//!
//! Owns the fields and what they mean; `network` moves the bytes.

use super::HostId;
use crate::slots::Key;
use bytes::Bytes;
use disk::Nanos;
use std::collections::VecDeque;
use std::io;

/// What travels on a connection, in order.
#[derive(Debug)]
pub(super) enum Segment {
    /// The listener's side has taken the connection in.
    Greeting,
    Data(Bytes),
    /// The sender ended its side.
    Fin,
    Reset,
}

/// One end of a connection.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) host: HostId,
    /// `None` until the listener has answered.
    pub(super) peer: Option<(HostId, Key)>,
    pub(super) connected: bool,
    /// The user has closed it; it stays until the wire is empty.
    pub(super) closed: bool,
    /// `Closed` with an error was reported.
    pub(super) failed: bool,
    /// Of the send in flight, what the kernel has not taken yet.
    pub(super) unsent: VecDeque<Bytes>,
    pub(super) sending: bool,
    /// The user has ended our side.
    pub(super) finishing: bool,
    /// Bytes that the kernel took and the peer has not read.
    pub(super) unread: usize,
    /// On the way to the peer, in order; an appointment for each.
    pub(super) wire: VecDeque<Segment>,
    /// Nothing that is sent later arrives before this.
    pub(super) last_arrival: Nanos,
    /// Arrived, and not read by the process yet.
    pub(super) inbox: VecDeque<Bytes>,
    pub(super) paused: bool,
    /// A `Readable` is on its way to the host.
    pub(super) announced: bool,
    /// The peer's end of file has arrived.
    pub(super) ended: bool,
    pub(super) end_reported: bool,
    /// The connection failed, refused or reset.
    pub(super) broken: Option<io::ErrorKind>,
}

impl Endpoint {
    pub(super) fn new(host: HostId, peer: Option<(HostId, Key)>) -> Self {
        Endpoint {
            host,
            peer,
            connected: peer.is_some(),
            closed: false,
            failed: false,
            unsent: VecDeque::new(),
            sending: false,
            finishing: false,
            unread: 0,
            wire: VecDeque::new(),
            last_arrival: 0,
            inbox: VecDeque::new(),
            paused: false,
            announced: false,
            ended: false,
            end_reported: false,
            broken: None,
        }
    }

    /// Whether reading would give something.
    pub(super) fn has_news(&self) -> bool {
        !self.inbox.is_empty() || (self.ended && !self.end_reported) || (self.broken.is_some() && !self.failed)
    }
}

/// What reading a socket gave.
#[derive(Debug)]
pub(super) enum Read {
    Data(Bytes),
    End,
    Broken(io::ErrorKind),
}
