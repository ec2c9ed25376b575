//! Connections as sockets: how many may come, what protocol they begin with, where they come from, and what goes with them.
//!
//! Owns the limit that the stores' files set to connections. What peers say is in `inbound`; who is served, in `opening`.

use crate::broker::Broker;
use crate::connection::Connection;
use crate::connections::ConnectionId;
use crate::security::Channel;
use crate::stage::Stage;
use reactor::{ListenerId, Nanos, SocketId};
use std::io;
use std::net::{IpAddr, SocketAddr};

/// What a client may send ahead before it knows whether it is served, in bytes: an open and many attaches.
const HELD_BYTES_MAX: usize = 16 << 10;
/// Files that connections leave to the stores: an eighth of what the process may open, within these bounds.
const DESCRIPTORS_RESERVED_MIN: u64 = 256;
const DESCRIPTORS_RESERVED_MAX: u64 = 4096;
/// Connections beyond that are logged this often.
const TOO_MANY_LOG_PERIOD: Nanos = 10_000_000_000;

impl Broker {
    /// Lets connections take so many of the `descriptors` that this process may have open that the stores have some left.
    pub(crate) fn share_descriptors(&mut self, descriptors: u64) {
        let reserved = (descriptors / 8).clamp(DESCRIPTORS_RESERVED_MIN, DESCRIPTORS_RESERVED_MAX);
        self.connections_ceiling = usize::try_from(descriptors.saturating_sub(reserved)).unwrap_or(usize::MAX);
    }

    /// A connection from outside has come.
    pub(crate) fn accepted(&mut self, now: Nanos, listener: ListenerId, socket: SocketId, peer: SocketAddr) {
        if self.connections.len() >= self.connections_ceiling {
            self.reactor.close(socket);
            if self.too_many_logged_at.is_none_or(|at| now >= at + TOO_MANY_LOG_PERIOD) {
                self.too_many_logged_at = Some(now);
                let limit = self.connections_ceiling;
                self.log.line(format!(
                    "Closed a connection from {peer}: there are {limit} already, which is what the limit of open files allows; raise it with `ulimit -n`"
                ));
            }
            return;
        }
        let session = if self.tls_listeners.contains(&listener) { self.tls.accept() } else { None };
        let channel = Channel { address: Some(peer.ip()), is_encrypted: session.is_some(), certificate_name: None };
        let protocol = self.accepting_protocol(now, now, &channel);
        let mut connection = Connection::new(socket, protocol, session, false);
        (connection.channel, connection.accepted_at) = (channel, now);
        let id = self.connections.insert(connection);
        self.addresses.insert(id, peer);
        self.counters.accepted += 1;
    }

    /// The protocol of a connection from outside; `accepted_at` begins its handshake_timeout.
    pub(crate) fn accepting_protocol(&mut self, now: Nanos, accepted_at: Nanos, channel: &Channel) -> amqp::Connection {
        let config = amqp::Config { sasl_mechanisms: self.sasl_offer(now, channel), ..self.protocol_config() };
        amqp::Connection::server(config, accepted_at)
    }

    /// How connections are made, on either side.
    pub(crate) fn protocol_config(&self) -> amqp::Config {
        let configuration = &self.configuration;
        amqp::Config {
            container_id: configuration.server.clone(),
            require_sasl: configuration.authorization,
            idle_timeout_ms: u32::try_from(configuration.client_timeout_ns / 1_000_000).unwrap_or(u32::MAX),
            limits: amqp::Limits {
                message_size_max: configuration.message_bytes_max,
                held_bytes_max: HELD_BYTES_MAX,
                handshake_timeout_ms: (configuration.handshake_timeout_ns / 1_000_000) as u32,
                ..amqp::Limits::default()
            },
            ..amqp::Config::default()
        }
    }

    /// The socket is gone: what the connection held goes back.
    pub(crate) fn lost(&mut self, id: ConnectionId, error: Option<io::Error>) {
        let Some(connection) = self.connections.get(id) else { return };
        let was_peer = connection.stage() == Stage::Peer || connection.outgoing;
        self.close_socket(id);
        if was_peer {
            let reason = error.map_or_else(|| "connection closed by the peer".to_string(), |error| error.to_string());
            if self.unshared.is_own(id) {
                self.unshared_failed(&reason);
            }
            self.peer_lost(id, &reason);
        }
    }

    /// Closes a socket and forgets the connection.
    pub(crate) fn close_socket(&mut self, id: ConnectionId) {
        let Some(mut connection) = self.connections.remove(id) else { return };
        self.leave_links(&mut connection);
        let kept_until = self.reactor.now().saturating_add(self.configuration.ft_reconnect_ns);
        self.temporary.connection_lost(id, kept_until);
        self.reactor.close(connection.socket);
        self.addresses.remove(&id);
    }

    /// Where a connection comes from.
    pub(crate) fn address_of(&self, id: ConnectionId) -> Option<IpAddr> {
        self.addresses.get(&id).map(SocketAddr::ip)
    }

    /// A connection, as the log names it.
    pub(crate) fn peer_name(&self, connection: &Connection) -> String {
        let address = self.connections.by_socket(connection.socket).and_then(|id| self.addresses.get(&id));
        let address = address.map_or_else(|| "the peer".to_string(), ToString::to_string);
        match connection.identity.user.as_str() {
            "" => address,
            user => format!("{user}@{address}"),
        }
    }
}
