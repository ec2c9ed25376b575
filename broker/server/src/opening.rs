//! The answer to a peer's open: who is served, who waits, who is sent to the active server.
//!
//! Owns the words of that answer. Whether this server is active is decided in `ha`.

use crate::broker::{Audience, Broker};
use crate::connection::Connection;
use crate::connections::ConnectionId;
use crate::stage::Stage;
use crate::unshared;
use amqp::{Open, Value, condition};
use reactor::Nanos;
use std::hash::BuildHasher;

/// Desired by an administrator's connection.
pub(crate) const ADMIN_CAPABILITY: &str = "understudy:admin";
/// Desired by the other server of a pair.
pub(crate) const PEER_CAPABILITY: &str = "understudy:ft";

/// How long a client that was turned away is remembered, in nanoseconds, and how many are.
const TURNED_AWAY_MEMORY: Nanos = 10_000_000_000;
const TURNED_AWAY_MAX: usize = 10_000;

impl Broker {
    /// The peer's open has arrived.
    pub(crate) fn opened(&mut self, now: Nanos, id: ConnectionId, connection: &mut Connection) {
        if connection.outgoing {
            self.peer_opened(id, connection);
            return;
        }
        let open = connection.protocol.peer().expect("the open that was just reported");
        if open.desires(PEER_CAPABILITY) || open.desires(unshared::CAPABILITY) {
            self.peer_asks(now, id, connection);
        } else if open.desires(ADMIN_CAPABILITY) {
            self.administrator_asks(connection);
        } else {
            match self.audience {
                Audience::Serve => self.serve(connection),
                Audience::Wait => {
                    connection.become_stage(Stage::Waiting);
                    self.waiting.push(id);
                }
                Audience::Refuse => self.send_away(now, id, connection),
            }
        }
    }

    fn administrator_asks(&mut self, connection: &mut Connection) {
        if connection.identity.may_administer(&self.directory) {
            connection.become_stage(Stage::Admin);
            let open = Open { offered_capabilities: vec![ADMIN_CAPABILITY.to_string()], ..self.open_answer() };
            connection.protocol.open(open);
        } else {
            let user = connection.identity.user.as_str();
            let text = match self.directory.administers(user) {
                true => format!("the password of '{user}' is needed to administer"),
                false => format!(
                    "'{user}' may not administer: it is neither admin, nor in $admin, nor in a line ADMIN of acl.conf"
                ),
            };
            self.refuse(connection, amqp::Error::new(condition::UNAUTHORIZED_ACCESS, text));
        }
    }

    /// Answers all clients that waited for the server to become active or standby.
    pub(crate) fn answer_waiting(&mut self, now: Nanos) {
        for id in std::mem::take(&mut self.waiting) {
            let Some(mut connection) = self.connections.take(id) else { continue };
            if connection.stage() == Stage::Waiting {
                match self.audience {
                    Audience::Serve => self.serve(&mut connection),
                    Audience::Refuse => self.send_away(now, id, &mut connection),
                    Audience::Wait => self.waiting.push(id),
                }
            }
            self.connections.put_back(id, connection);
            self.review(now, id);
        }
    }

    fn serve(&mut self, connection: &mut Connection) {
        let limit = self.configuration.connections_max as usize;
        if limit > 0 && self.connections.len() >= limit {
            let error =
                amqp::Error::new(condition::RESOURCE_LIMIT_EXCEEDED, format!("max_connections={limit} reached"));
            self.refuse(connection, error);
            return;
        }
        connection.become_stage(Stage::Client);
        connection.protocol.open(self.open_answer());
    }

    /// Turns a client away in the form that failover clients understand: an open that announces the close, then the close
    /// that names the active server. python-qpid-proton takes any open for success and begins its list of URLs anew, so
    /// that it would come back here for ever: a client that comes back soon is ended without an open, and goes on.
    fn send_away(&mut self, now: Nanos, id: ConnectionId, connection: &mut Connection) {
        let container = connection.protocol.peer().map_or("", |open| open.container_id.as_str());
        // The name may be as long as a frame.
        let container = self.turned_away.hasher().hash_one(container);
        if self.turned_away.len() >= TURNED_AWAY_MAX {
            self.turned_away.clear();
        }
        let before = self.turned_away.insert((self.address_of(id), container), now);
        if before.is_some_and(|before| now < before + TURNED_AWAY_MEMORY) {
            connection.abandoned = true;
        } else {
            let error = self.not_active_error("this server is on standby");
            self.refuse(connection, error);
        }
    }

    fn refuse(&mut self, connection: &mut Connection, error: amqp::Error) {
        let mut open = self.open_answer();
        open.properties.push((Value::symbol(condition::CONNECTION_ESTABLISHMENT_FAILED), Value::Bool(true)));
        connection.protocol.open(open);
        connection.close(Some(error));
    }

    /// Says that clients must go elsewhere, and where.
    pub(crate) fn not_active_error(&self, reason: &str) -> amqp::Error {
        match self.other_server() {
            Some((scheme, host, port)) => {
                let text = format!("{reason}; the active server is {scheme}://{host}:{port}");
                let error = amqp::Error::new(condition::CONNECTION_FORCED, text);
                error.with("network-host", host.as_str()).with("port", Value::Ushort(port))
            }
            None => amqp::Error::new(condition::CONNECTION_FORCED, reason),
        }
    }

    /// The first URL that clients are told and that is not one of our own.
    pub(crate) fn other_server(&self) -> Option<(&str, String, u16)> {
        let own = |host: &str, port: u16| {
            self.configuration
                .listens
                .iter()
                .any(|listen| listen.port == port && (listen.host == host || listen.host.is_empty()))
        };
        let told = self.configuration.failover_list.iter().filter_map(|url| taken_apart(url));
        let peer = self.configuration.ft.iter().map(|ft| {
            let scheme = if ft.peer_tls { "amqps" } else { "amqp" };
            (scheme, ft.peer_host.clone(), ft.peer_port)
        });
        told.chain(peer).find(|(_, host, port)| !own(host, *port))
    }

    fn open_answer(&self) -> Open {
        let servers: Vec<Value> = self.configuration.failover_list.iter().filter_map(|url| server_entry(url)).collect();
        let mut properties = vec![
            (Value::symbol("product"), Value::from("Understudy")),
            (Value::symbol("version"), Value::from(env!("CARGO_PKG_VERSION"))),
        ];
        if !servers.is_empty() {
            properties.push((Value::symbol("failover-server-list"), Value::List(servers)));
        }
        Open { container_id: self.configuration.server.clone(), properties, ..Open::default() }
    }
}

fn server_entry(url: &str) -> Option<Value> {
    let (scheme, host, port) = taken_apart(url)?;
    Some(Value::Map(vec![
        (Value::symbol("network-host"), Value::from(host.as_str())),
        (Value::symbol("port"), Value::Uint(u32::from(port))),
        (Value::symbol("scheme"), Value::from(scheme)),
    ]))
}

/// Scheme, host and port of a URL that clients are told.
fn taken_apart(url: &str) -> Option<(&str, String, u16)> {
    let (scheme, address) = url.split_once("://").unwrap_or(("amqp", url));
    let (host, port) = address.rsplit_once(':')?;
    Some((scheme, host.to_string(), port.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::taken_apart;

    #[test]
    fn urls_are_taken_apart() {
        assert_eq!(taken_apart("amqps://a:5671"), Some(("amqps", "a".to_string(), 5671)));
        assert_eq!(taken_apart("a:5672"), Some(("amqp", "a".to_string(), 5672)));
        assert_eq!(taken_apart("amqp://a"), None);
        assert_eq!(taken_apart("amqp://a:x"), None);
    }
}
