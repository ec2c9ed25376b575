//! The network between simulated hosts.
//!
//! Owns listeners, connections and when what is on the wire arrives. Bytes of one connection arrive in order, cut into segments and
//! delayed by chance; different connections overtake each other. A direction that is cut holds everything, as TCP
//! does by sending again. It knows hosts by number only; what it tells them goes into a [`Mailbox`].

use super::HostId;
use super::endpoint::{Endpoint, Read, Segment};
use super::mailbox::{Appointment, Mailbox, Notice};
use crate::event::{Event, ListenerId, SocketId};
use crate::slots::{Key, Slots};
use bytes::{Buf, Bytes};
use disk::Nanos;
use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Range;

/// Where the ports that a host does not choose begin.
const EPHEMERAL_PORTS: u16 = 32_768;
/// How long a listener that could not accept leaves its backlog alone, as the kernel backend does.
const ACCEPT_AGAIN_AFTER: Nanos = 100_000_000;

/// The ranges from which the network draws.
#[derive(Clone, Debug)]
pub struct NetworkConfig {
    /// Delay of one segment between two hosts, or within one, in nanoseconds.
    pub latency: Range<Nanos>,
    /// Sizes in bytes into which sent bytes are cut.
    pub segment_bytes: Range<usize>,
    /// What the kernel takes of a connection before the peer has read it, in bytes.
    pub send_buffer_bytes: usize,
}

impl Default for NetworkConfig {
    fn default() -> Self {
        NetworkConfig { latency: 20_000..400_000, segment_bytes: 1..65_536, send_buffer_bytes: 256 * 1024 }
    }
}

#[derive(Debug)]
struct Listener {
    host: HostId,
    address: SocketAddr,
}

/// All listeners and connections of a world.
#[derive(Debug)]
pub(super) struct Network {
    config: NetworkConfig,
    random: fastrand::Rng,
    listeners: Slots<Listener>,
    sockets: Slots<Endpoint>,
    /// (from, to): what travels this way is held.
    cuts: BTreeSet<(HostId, HostId)>,
    held: Vec<((HostId, HostId), Appointment)>,
    /// Hosts whose next accepts fail, once for each entry.
    accept_failures: VecDeque<(HostId, io::ErrorKind)>,
    next_port: u16,
    mail: Mailbox,
}

impl Network {
    pub(super) fn new(seed: u64, config: NetworkConfig) -> Self {
        assert!(!config.latency.is_empty() && !config.segment_bytes.is_empty() && config.segment_bytes.start > 0);
        Network {
            config,
            random: fastrand::Rng::with_seed(seed),
            listeners: Slots::new(),
            sockets: Slots::new(),
            cuts: BTreeSet::new(),
            held: Vec::new(),
            accept_failures: VecDeque::new(),
            next_port: EPHEMERAL_PORTS,
            mail: Mailbox::default(),
        }
    }

    /// What came up since the last call.
    pub(super) fn take_mail(&mut self) -> Mailbox {
        std::mem::take(&mut self.mail)
    }

    pub(super) fn listen(&mut self, host: HostId, mut address: SocketAddr) -> io::Result<(ListenerId, SocketAddr)> {
        while address.port() == 0 {
            let port = self.ephemeral_port();
            if !self.is_taken(SocketAddr::new(address.ip(), port)) {
                address.set_port(port);
            }
        }
        if self.is_taken(address) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        Ok((ListenerId(self.listeners.insert(Listener { host, address })), address))
    }

    pub(super) fn close_listener(&mut self, host: HostId, ListenerId(key): ListenerId) {
        if self.listeners.get(key).is_some_and(|listener| listener.host == host) {
            self.listeners.remove(key);
        }
    }

    pub(super) fn connect(&mut self, now: Nanos, host: HostId, to: SocketAddr) -> SocketId {
        let socket = self.sockets.insert(Endpoint::new(host, None));
        let at = now + self.latency();
        self.mail.appointments.push((at, Appointment::Request { socket, to }));
        SocketId(socket)
    }

    pub(super) fn send(&mut self, now: Nanos, host: HostId, id: SocketId, chunks: Vec<Bytes>) {
        let Some(endpoint) = self.own(host, id) else { return };
        if endpoint.failed {
            return;
        }
        assert!(endpoint.connected, "send before Event::Connected");
        assert!(!endpoint.finishing, "send after finish");
        assert!(!endpoint.sending, "at most one send is in flight per socket: wait for Event::Sent");
        if let Some(kind) = endpoint.broken.filter(|_| endpoint.paused) {
            endpoint.failed = true;
            self.mail.event(host, Event::Closed { socket: id, error: Some(kind.into()) });
            return;
        }
        endpoint.unsent = chunks.into();
        endpoint.sending = true;
        self.pump(now, id.0);
    }

    pub(super) fn finish(&mut self, now: Nanos, host: HostId, id: SocketId) {
        let Some(endpoint) = self.own(host, id) else { return };
        if endpoint.finishing {
            return;
        }
        endpoint.finishing = true;
        if endpoint.connected && !endpoint.sending && !endpoint.failed {
            self.put_on_wire(now, id.0, Segment::Fin);
        }
    }

    pub(super) fn pause_receive(&mut self, host: HostId, id: SocketId) {
        if let Some(endpoint) = self.own(host, id) {
            endpoint.paused = true;
        }
    }

    pub(super) fn resume_receive(&mut self, host: HostId, id: SocketId) {
        if let Some(endpoint) = self.own(host, id) {
            endpoint.paused = false;
            self.announce(id.0);
        }
    }

    /// The user, or the kernel of a process that died, closes.
    pub(super) fn close(&mut self, now: Nanos, host: HostId, id: SocketId) {
        let Some(endpoint) = self.own(host, id) else { return };
        endpoint.closed = true;
        endpoint.unsent.clear();
        endpoint.sending = false;
        let loses_input = !endpoint.inbox.is_empty();
        endpoint.inbox.clear();
        if endpoint.peer.is_some() && endpoint.broken.is_none() {
            if loses_input && self.random.bool() {
                // A reset drops what was waiting to be sent.
                self.sockets.get_mut(id.0).expect("still there").wire.clear();
            }
            self.put_on_wire(now, id.0, if loses_input { Segment::Reset } else { Segment::Fin });
        }
        self.forget_if_done(id.0);
    }

    /// A process died: its kernel closes everything.
    pub(super) fn close_host(&mut self, now: Nanos, host: HostId) {
        for key in self.listeners.keys().collect::<Vec<_>>() {
            self.close_listener(host, ListenerId(key));
        }
        for key in self.sockets.keys().collect::<Vec<_>>() {
            self.close(now, host, SocketId(key));
        }
    }

    /// The host takes its turn and fetches what a readable socket has.
    pub(super) fn read(&mut self, now: Nanos, host: HostId, id: SocketId, mut sink: impl FnMut(Read)) {
        let Some(endpoint) = self.own(host, id) else { return };
        endpoint.announced = false;
        if endpoint.paused || endpoint.failed {
            return;
        }
        let mut bytes = 0;
        for data in endpoint.inbox.drain(..) {
            bytes += data.len();
            sink(Read::Data(data));
        }
        if let Some(kind) = endpoint.broken {
            endpoint.failed = true;
            sink(Read::Broken(kind));
        } else if endpoint.ended && !endpoint.end_reported {
            endpoint.end_reported = true;
            sink(Read::End);
        }
        if let (Some((_, peer)), true) = (endpoint.peer, bytes > 0) {
            let at = now + self.latency();
            self.mail.appointments.push((at, Appointment::Acknowledgement { socket: peer, from: host, bytes }));
        }
    }

    pub(super) fn cut(&mut self, from: HostId, to: HostId) {
        self.cuts.insert((from, to));
    }

    pub(super) fn heal(&mut self, now: Nanos, from: HostId, to: HostId) {
        self.cuts.remove(&(from, to));
        for (way, appointment) in std::mem::take(&mut self.held) {
            if way == (from, to) {
                let at = now + self.latency();
                self.mail.appointments.push((at, appointment));
            } else {
                self.held.push((way, appointment));
            }
        }
    }

    /// Resets every established connection between two hosts; what is on the wire is lost.
    pub(super) fn reset(&mut self, left: HostId, right: HostId) {
        for key in self.sockets.keys().collect::<Vec<_>>() {
            let Some(endpoint) = self.sockets.get_mut(key) else { continue };
            let between = endpoint.peer.is_some_and(|(peer, _)| {
                (endpoint.host, peer) == (left, right) || (endpoint.host, peer) == (right, left)
            });
            if between {
                endpoint.wire.clear();
                self.break_connection(key, io::ErrorKind::ConnectionReset);
                self.forget_if_done(key);
            }
        }
    }

    pub(super) fn fail_next_accept(&mut self, host: HostId, kind: io::ErrorKind) {
        self.accept_failures.push_back((host, kind));
    }

    /// Keeps an appointment.
    pub(super) fn keep(&mut self, now: Nanos, appointment: Appointment) {
        match appointment {
            Appointment::Request { socket, to } => self.request_arrives(now, socket, to),
            Appointment::Arrival { socket } => self.segment_arrives(now, socket),
            Appointment::Acknowledgement { socket, from, bytes } => {
                if !self.is_held(from, socket, appointment)
                    && let Some(endpoint) = self.sockets.get_mut(socket)
                {
                    endpoint.unread = endpoint.unread.saturating_sub(bytes);
                    self.pump(now, socket);
                }
            }
            Appointment::Refusal { socket, from, kind } => {
                if !self.is_held(from, socket, appointment) {
                    self.break_connection(socket, kind);
                }
            }
        }
    }

    fn request_arrives(&mut self, now: Nanos, socket: Key, to: SocketAddr) {
        let Some(host) = self.sockets.get(socket).filter(|endpoint| !endpoint.closed).map(|endpoint| endpoint.host)
        else {
            return;
        };
        let Some((key, listener)) = self.listener_at(to) else {
            // Nobody listens, perhaps on nobody's host: the answer comes from where the request was made.
            let refusal = Appointment::Refusal { socket, from: host, kind: io::ErrorKind::ConnectionRefused };
            let at = now + self.latency();
            return self.mail.appointments.push((at, refusal));
        };
        let request = Appointment::Request { socket, to };
        if self.cuts.contains(&(host, listener)) {
            return self.held.push(((host, listener), request));
        }
        if let Some(position) = self.accept_failures.iter().position(|(failing, _)| *failing == listener)
            && let Some((_, kind)) = self.accept_failures.remove(position)
        {
            self.mail.event(listener, Event::AcceptFailed { listener: ListenerId(key), error: kind.into() });
            return self.mail.appointments.push((now + ACCEPT_AGAIN_AFTER, request));
        }
        let accepted = self.sockets.insert(Endpoint::new(listener, Some((host, socket))));
        if let Some(endpoint) = self.sockets.get_mut(socket) {
            endpoint.peer = Some((listener, accepted));
        }
        let peer = SocketAddr::new(address_of(host), self.ephemeral_port());
        let event = Event::Accepted { listener: ListenerId(key), socket: SocketId(accepted), peer };
        self.mail.event(listener, event);
        self.put_on_wire(now, accepted, Segment::Greeting);
    }

    fn segment_arrives(&mut self, now: Nanos, sender: Key) {
        let Some(endpoint) = self.sockets.get_mut(sender) else { return };
        let Some((from, (to, peer))) = endpoint.peer.map(|peer| (endpoint.host, peer)) else { return };
        if self.cuts.contains(&(from, to)) {
            return self.held.push(((from, to), Appointment::Arrival { socket: sender }));
        }
        // A reset of ours may have taken it off the wire.
        let Some(segment) = endpoint.wire.pop_front() else { return };
        self.forget_if_done(sender);
        match self.sockets.get_mut(peer).filter(|endpoint| !endpoint.closed) {
            Some(_) => self.take_in(now, peer, segment),
            None if matches!(segment, Segment::Data(_) | Segment::Greeting) => {
                let refusal = Appointment::Refusal { socket: sender, from: to, kind: io::ErrorKind::ConnectionReset };
                let at = now + self.latency();
                self.mail.appointments.push((at, refusal));
            }
            None => {}
        }
    }

    fn take_in(&mut self, now: Nanos, key: Key, segment: Segment) {
        let endpoint = self.sockets.get_mut(key).expect("the caller found it");
        match segment {
            Segment::Greeting => {
                endpoint.connected = true;
                let (host, finishing) = (endpoint.host, endpoint.finishing);
                self.mail.event(host, Event::Connected { socket: SocketId(key) });
                if finishing {
                    self.put_on_wire(now, key, Segment::Fin);
                }
            }
            Segment::Data(data) => endpoint.inbox.push_back(data),
            Segment::Fin => endpoint.ended = true,
            Segment::Reset => self.break_connection(key, io::ErrorKind::ConnectionReset),
        }
        self.announce(key);
    }

    fn break_connection(&mut self, key: Key, kind: io::ErrorKind) {
        let Some(endpoint) = self.sockets.get_mut(key) else { return };
        if endpoint.closed || endpoint.broken.is_some() {
            return;
        }
        endpoint.broken = Some(kind);
        endpoint.unsent.clear();
        endpoint.sending = false;
        self.announce(key);
    }

    /// Tells the host, once, that there is something to read.
    fn announce(&mut self, key: Key) {
        let Some(endpoint) = self.sockets.get_mut(key) else { return };
        if endpoint.closed || endpoint.paused || endpoint.announced || !endpoint.has_news() {
            return;
        }
        endpoint.announced = true;
        self.mail.notices.push((endpoint.host, Notice::Readable(SocketId(key))));
    }

    /// Moves bytes of the send in flight into the kernel and onto the wire, as far as the buffer goes.
    fn pump(&mut self, now: Nanos, key: Key) {
        loop {
            let limit = self.random.usize(self.config.segment_bytes.clone());
            let Some(endpoint) = self.sockets.get_mut(key) else { return };
            if !endpoint.sending || endpoint.closed {
                return;
            }
            while endpoint.unsent.front().is_some_and(Bytes::is_empty) {
                endpoint.unsent.pop_front();
            }
            let Some(chunk) = endpoint.unsent.front_mut() else { break };
            let room = self.config.send_buffer_bytes.saturating_sub(endpoint.unread);
            let count = limit.min(room).min(chunk.len());
            if count == 0 {
                return;
            }
            let data = chunk.slice(..count);
            chunk.advance(count);
            endpoint.unread += count;
            self.put_on_wire(now, key, Segment::Data(data));
        }
        let Some(endpoint) = self.sockets.get_mut(key) else { return };
        endpoint.sending = false;
        let (host, finishing) = (endpoint.host, endpoint.finishing);
        self.mail.event(host, Event::Sent { socket: SocketId(key) });
        if finishing {
            self.put_on_wire(now, key, Segment::Fin);
        }
    }

    fn put_on_wire(&mut self, now: Nanos, key: Key, segment: Segment) {
        let at = now + self.latency();
        let Some(endpoint) = self.sockets.get_mut(key) else { return };
        endpoint.last_arrival = endpoint.last_arrival.max(at);
        endpoint.wire.push_back(segment);
        self.mail.appointments.push((endpoint.last_arrival, Appointment::Arrival { socket: key }));
    }

    /// Holds an appointment whose way to `socket` is cut.
    fn is_held(&mut self, from: HostId, socket: Key, appointment: Appointment) -> bool {
        let Some(endpoint) = self.sockets.get(socket) else { return false };
        let way = (from, endpoint.host);
        let cut = self.cuts.contains(&way);
        if cut {
            self.held.push((way, appointment));
        }
        cut
    }

    fn forget_if_done(&mut self, key: Key) {
        if self.sockets.get(key).is_some_and(|endpoint| endpoint.closed && endpoint.wire.is_empty()) {
            self.sockets.remove(key);
        }
    }

    fn own(&mut self, host: HostId, id: SocketId) -> Option<&mut Endpoint> {
        self.sockets.get_mut(id.0).filter(|endpoint| endpoint.host == host && !endpoint.closed)
    }

    fn listener_at(&self, to: SocketAddr) -> Option<(Key, HostId)> {
        self.listeners.keys().find_map(|key| {
            let listener = self.listeners.get(key)?;
            reaches(to, listener.address).then_some((key, listener.host))
        })
    }

    fn is_taken(&self, address: SocketAddr) -> bool {
        let taken = |key| {
            self.listeners
                .get(key)
                .is_some_and(|other| reaches(address, other.address) || reaches(other.address, address))
        };
        self.listeners.keys().any(taken)
    }

    fn ephemeral_port(&mut self) -> u16 {
        self.next_port = self.next_port.checked_add(1).unwrap_or(EPHEMERAL_PORTS);
        self.next_port
    }

    fn latency(&mut self) -> Nanos {
        self.random.u64(self.config.latency.clone())
    }
}

/// Whether a connection to `to` meets a listener on `listening`.
fn reaches(to: SocketAddr, listening: SocketAddr) -> bool {
    to.port() == listening.port() && (to.ip() == listening.ip() || listening.ip().is_unspecified())
}

fn address_of(host: HostId) -> IpAddr {
    let [.., high, low] = (host.0 + 1).to_be_bytes();
    IpAddr::V4(Ipv4Addr::new(10, 0, high, low))
}
