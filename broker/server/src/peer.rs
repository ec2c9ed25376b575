//! The FT link: an AMQP connection to or from the other server of the pair, which carries heartbeats both ways.
//!
//! Owns the connection attempt, its links and the form of a heartbeat. When to connect and what a heartbeat means is decided
//! in `ha`.

use crate::broker::Broker;
use crate::connection::Connection;
use crate::connections::ConnectionId;
use crate::ha::{Input, State};
use crate::opening::PEER_CAPABILITY;
use crate::stage::Stage;
use crate::timer::Timer;
use crate::unshared;
use amqp::message::{Body, Header, Properties};
use amqp::{
    Attach, ClientSasl, Delivery, LinkId, Open, Role, SaslCode, SenderSettleMode, Source, Target, Value, condition,
};
use reactor::Nanos;
use serde::{Deserialize, Serialize};

/// The node that heartbeats are sent to and received from.
pub(crate) const ADDRESS: &str = "$sys.ft";
/// Heartbeats that the other side may send before it needs further credit.
const CREDIT: u32 = 100;

/// Our own attempt to reach the peer.
#[derive(Debug, Default)]
pub(crate) struct Attempt {
    connection: Option<ConnectionId>,
}

/// A heartbeat's body.
#[derive(Debug, Serialize, Deserialize)]
struct Heartbeat {
    state: String,
    epoch: u64,
    #[serde(default)]
    lot: u64,
}

impl Broker {
    /// Begins to connect to the peer.
    pub(crate) fn connect_peer(&mut self, now: Nanos) {
        self.drop_link();
        let Some(address) = self.peer_address else { return };
        let socket = self.reactor.connect(address);
        let sasl = ClientSasl::Plain {
            user: self.configuration.server.clone(),
            password: self.configuration.password.clone(),
        };
        let mut protocol = amqp::Connection::client(self.protocol_config(), Some(sasl), now);
        protocol.open(Open {
            container_id: self.configuration.server.clone(),
            desired_capabilities: vec![PEER_CAPABILITY.to_string()],
            properties: vec![(Value::symbol("server"), Value::from(self.configuration.server.as_str()))],
            ..Open::default()
        });
        let session = protocol.begin();
        protocol.attach(session, heartbeat_link(Role::Sender));
        let inward = protocol.attach(session, heartbeat_link(Role::Receiver));
        protocol.grant(inward, CREDIT, false);
        let id = self.connections.insert(Connection::new(socket, protocol, self.tls.connect(), true));
        self.attempt.connection = Some(id);
        let patience = self.configuration.ft_activation_ns;
        self.reactor.set_timer(now + patience, Timer::PeerAttempt(id).to_token());
    }

    /// Gives up an attempt that the peer has not answered in time.
    pub(crate) fn attempt_timeout(&mut self, id: ConnectionId) {
        if self.connections.get(id).is_some_and(|connection| connection.stage() == Stage::Handshake) {
            self.close_socket(id);
            self.peer_lost(id, "no answer in time");
        }
    }

    /// Closes the FT link that we began, if there is one; nothing is reported.
    pub(crate) fn drop_link(&mut self) {
        if let Some(id) = self.attempt.connection.take() {
            self.close_socket(id);
            self.peer_links.retain(|peer| *peer != id);
        }
    }

    /// The peer has answered our open.
    pub(crate) fn peer_opened(&mut self, id: ConnectionId, connection: &mut Connection) {
        if self.unshared.is_own(id) {
            return self.unshared_opened(connection);
        }
        let offered = connection.protocol.peer().is_some_and(|open| open.offers(PEER_CAPABILITY));
        let announces_close = connection
            .protocol
            .peer()
            .is_some_and(|open| open.property(condition::CONNECTION_ESTABLISHMENT_FAILED).is_some());
        if offered {
            connection.become_stage(Stage::Peer);
        } else if !announces_close {
            let reason = "what answers there is no server of a pair; ft_active must name the other server".to_string();
            self.link_refused(id, reason);
            connection.close(None);
        }
    }

    /// The peer's close tells why it does not want us.
    pub(crate) fn closed_by_server(&mut self, id: ConnectionId, error: Option<&amqp::Error>) {
        if self.unshared.is_own(id) {
            return self
                .unshared_failed(&error.map_or_else(|| "closed by the other server".to_string(), ToString::to_string));
        }
        match error {
            Some(error) if error.condition == condition::UNAUTHORIZED_ACCESS => {
                self.link_refused(id, error.description.clone());
            }
            Some(error) => self.peer_lost(id, &error.to_string()),
            None => self.peer_lost(id, "closed by the peer"),
        }
    }

    fn link_refused(&mut self, id: ConnectionId, reason: String) {
        if self.attempt.connection == Some(id) {
            self.attempt.connection = None;
            let now = self.reactor.now();
            self.ha.handle(now, Input::LinkRefused { reason });
        }
    }

    /// Our name or password was not accepted.
    pub(crate) fn peer_refused_us(&mut self, id: ConnectionId, connection: &mut Connection, code: SaslCode) {
        let reason = format!(
            "it does not accept the name '{name}' and its password ({code:?}); set the same server and password on both, and give \
             users.conf there the user '{name}' with that password",
            name = self.configuration.server
        );
        if self.unshared.is_own(id) {
            self.unshared_failed(&reason);
        }
        self.link_refused(id, reason);
        connection.close(None);
    }

    /// A login as `user` failed. True: it is that of the other server, and the operator knows.
    pub(crate) fn peer_login_failed(&mut self, now: Nanos, id: ConnectionId, user: &str) -> bool {
        let own = &self.configuration.server;
        let is_peer = self.configuration.ft.is_some() && user == own;
        if is_peer {
            let reason = format!(
                "at {}, its login as '{own}' failed; set the same server and password on both, and give users.conf here the user \
                 '{own}' with that password",
                self.host_of(id)
            );
            self.ha.handle(now, Input::PeerRefused { reason });
        }
        is_peer
    }

    /// Where a connection comes from, in the same words at each attempt.
    fn host_of(&self, id: ConnectionId) -> String {
        self.address_of(id).map_or_else(|| "an unknown address".to_string(), |address| address.to_string())
    }

    /// The other server opened a connection to us.
    pub(crate) fn peer_asks(&mut self, now: Nanos, id: ConnectionId, connection: &mut Connection) {
        let open = connection.protocol.peer().expect("the open that was just reported");
        let name = match open.property("server") {
            Some(Value::String(name)) => name.clone(),
            _ => String::new(),
        };
        let own = &self.configuration.server;
        let is_named_alike = name == *own;
        if !is_named_alike || (self.configuration.authorization && connection.identity.user != *own) {
            let text = match is_named_alike {
                false => format!(
                    "this server is '{own}', not '{name}'; both servers of a pair must have the same name: set the parameter server \
                     of one as on the other and restart it"
                ),
                true => format!("it logged in as '{}', not as '{own}'", connection.identity.user),
            };
            let reason = format!("at {}: {text}", self.host_of(id));
            connection.protocol.open(Open {
                container_id: own.clone(),
                properties: vec![(Value::symbol(condition::CONNECTION_ESTABLISHMENT_FAILED), Value::Bool(true))],
                ..Open::default()
            });
            connection.close(Some(amqp::Error::new(condition::UNAUTHORIZED_ACCESS, text)));
            self.ha.handle(now, Input::PeerRefused { reason });
            return;
        }
        connection.become_stage(Stage::Peer);
        connection.protocol.open(Open {
            container_id: own.clone(),
            offered_capabilities: vec![PEER_CAPABILITY.to_string(), unshared::CAPABILITY.to_string()],
            properties: vec![(Value::symbol("server"), Value::from(own.as_str()))],
            ..Open::default()
        });
    }

    /// A link of the other server's connection to us.
    pub(crate) fn attach_peer(
        &mut self,
        now: Nanos,
        id: ConnectionId,
        connection: &mut Connection,
        link: LinkId,
        attach: &Attach,
    ) -> Result<(), amqp::Error> {
        let node = match attach.role {
            Role::Sender => attach.target.as_ref().and_then(|target| target.address.as_deref()),
            Role::Receiver => attach.source.as_ref().and_then(|source| source.address.as_deref()),
        };
        let is_description = node == Some(unshared::ADDRESS) && attach.role == Role::Receiver;
        if node != Some(ADDRESS) && !is_description {
            return Err(amqp::Error::new(condition::NOT_ALLOWED, format!("a peer may attach to {ADDRESS} only")));
        }
        let answer = Attach {
            snd_settle_mode: attach.snd_settle_mode,
            source: attach.source.clone(),
            target: attach.target.clone(),
            ..Attach::default()
        };
        connection.protocol.accept_link(link, answer);
        match attach.role {
            Role::Sender => {
                connection.protocol.grant(link, CREDIT, false);
                connection.request_links.push(link);
            }
            Role::Receiver => {
                connection.reply_links.insert(node.unwrap_or_default().to_string(), link);
            }
        }
        self.link_up_if_complete(now, id, connection);
        Ok(())
    }

    /// An answer to an attach of ours.
    pub(crate) fn attached(
        &mut self,
        now: Nanos,
        id: ConnectionId,
        connection: &mut Connection,
        link: LinkId,
        attach: &Attach,
    ) {
        if attach.role == Role::Receiver {
            connection.reply_links.insert(ADDRESS.to_string(), link);
        } else {
            connection.request_links.push(link);
        }
        self.link_up_if_complete(now, id, connection);
    }

    fn link_up_if_complete(&mut self, now: Nanos, id: ConnectionId, connection: &Connection) {
        if !connection.reply_links.contains_key(ADDRESS)
            || connection.request_links.is_empty()
            || self.peer_links.contains(&id)
        {
            return;
        }
        self.peer_links.push(id);
        self.counters.arrivals.interrupted();
        self.ha.handle(now, Input::LinkUp);
    }

    /// A heartbeat of the peer.
    pub(crate) fn heartbeat_arrived(&mut self, now: Nanos, connection: &mut Connection, link: LinkId, payload: &[u8]) {
        let heartbeat = amqp::message::scan(payload)
            .ok()
            .and_then(|sections| sections.data(payload))
            .and_then(|body| serde_json::from_slice::<Heartbeat>(body).ok())
            .and_then(|heartbeat| Some((State::parse(&heartbeat.state)?, heartbeat.epoch, heartbeat.lot)));
        self.counters.arrivals.arrived(now);
        match heartbeat {
            Some((state, epoch, lot)) => self.ha.handle(now, Input::PeerState { state, epoch, lot }),
            None => self.log.line("A heartbeat of the peer is not understood: are both servers of the same version?"),
        }
        connection.protocol.grant(link, CREDIT, false);
    }

    /// Sends a heartbeat on every FT link.
    pub(crate) fn send_heartbeat(&mut self, state: State, epoch: u64, lot: u64) {
        let heartbeat = Heartbeat { state: state.name().to_string(), epoch, lot };
        let json = serde_json::to_vec(&heartbeat).expect("a heartbeat is plain data");
        let payload = amqp::message::encode(Header::default(), &Properties::default(), &[], Body::Data(&json));
        for id in self.peer_links.clone() {
            let Some(connection) = self.connections.touch(id) else { continue };
            let Some(link) = connection.reply_links.get(ADDRESS).copied() else { continue };
            let delivery =
                Delivery { token: 0, tag: b"h", settled: true, format: 0, state: None, head: &[], body: &payload };
            // A peer that takes nothing finds out by itself: it misses this heartbeat.
            let _ = connection.protocol.send(link, delivery);
        }
    }

    /// An FT link, or the attempt to make one, is over.
    pub(crate) fn peer_lost(&mut self, id: ConnectionId, reason: &str) {
        let attempted = self.attempt.connection == Some(id);
        if attempted {
            self.attempt.connection = None;
        }
        let links = self.peer_links.len();
        self.peer_links.retain(|peer| *peer != id);
        if self.peer_links.is_empty() && (attempted || links > 0) {
            let now = self.reactor.now();
            self.ha.handle(now, Input::LinkDown { reason: reason.to_string() });
        }
    }
}

fn heartbeat_link(role: Role) -> Attach {
    Attach {
        name: match role {
            Role::Sender => "heartbeats to the peer".to_string(),
            Role::Receiver => "heartbeats from the peer".to_string(),
        },
        role,
        snd_settle_mode: SenderSettleMode::Settled,
        source: Some(Source::at(ADDRESS)),
        target: Some(Target::at(ADDRESS)),
        ..Attach::default()
    }
}
