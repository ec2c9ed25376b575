//! Unshared state: two servers that serve side by side, each from a store of its own. Clients are told of both; what a dead one
//! holds comes back when it restarts.
//!
//! Owns the comparison of what must be the same on both, and the connection on which the other server describes itself. There is
//! no failover between them, so that `ha` does not know of the other.

use crate::broker::Broker;
use crate::config::{AclTarget, Configuration, Permissions, Principal, Scope};
use crate::connection::Connection;
use crate::connections::ConnectionId;
use crate::ha::State;
use crate::security::directory::Directory;
use crate::tls::Tls;
use amqp::message::{Body, Header, Properties};
use amqp::{Attach, ClientSasl, Delivery, LinkId, Open, Role, SenderSettleMode, Source, Target, Value, condition};
use blake2::{Blake2s256, Digest};
use engine::QueueDefinition;
use reactor::Nanos;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

/// Desired by the other server.
pub(crate) const CAPABILITY: &str = "understudy:unshared";
/// The node that sends a server's description.
pub(crate) const ADDRESS: &str = "$sys.unshared";
/// How often the two are compared, and how long an answer may take.
const INTERVAL: Nanos = 10_000_000_000;
/// Differences that are told one by one.
const TOLD_MAX: usize = 50;

/// What must be the same on both servers: by kind and name, a digest of all there is to it.
type Description = BTreeMap<String, String>;

/// The other server, as far as it is compared.
#[derive(Debug)]
pub(crate) struct Unshared {
    address: Option<SocketAddr>,
    connection: Option<ConnectionId>,
    next_at: Nanos,
    differences: BTreeSet<String>,
    /// Why it could not be asked; the operator knows.
    failure: Option<String>,
    is_compared: bool,
}

impl Unshared {
    /// Nothing is known of the server at `address` yet.
    pub(crate) fn new(address: Option<SocketAddr>) -> Self {
        Unshared {
            address,
            connection: None,
            next_at: 0,
            differences: BTreeSet::new(),
            failure: None,
            is_compared: false,
        }
    }

    /// Whether we began that connection to compare ourselves.
    pub(crate) fn is_own(&self, id: ConnectionId) -> bool {
        self.connection == Some(id)
    }

    /// For `show state`; null without an unshared peer.
    pub(crate) fn state(&self) -> serde_json::Value {
        match self.address {
            Some(_) => {
                json!({ "compared": self.is_compared, "failure": self.failure, "differences": self.differences })
            }
            None => serde_json::Value::Null,
        }
    }
}

/// What this server has that must be the same on the other; `directory` is newer than the files.
fn describe(configuration: &Configuration, directory: &Directory, tls: &Tls) -> Description {
    let store = |queue: &QueueDefinition| queue.store.map(|id| configuration.stores[usize::from(id.0)].name.as_str());
    let queues = configuration.queues.iter().map(|queue| {
        let anywhere = QueueDefinition { store: None, ..queue.definition.clone() };
        let text = format!("{anywhere:?} {:?} {}", store(&queue.definition), queue.secure);
        (format!("queue '{}'", queue.definition.pattern), digest(&text))
    });
    // Equal passwords have different hashes.
    let users = directory.users().map(|user| (format!("user '{}'", user.name), String::new()));
    let groups = directory.groups().map(|group| {
        let members: BTreeSet<&String> = group.members.iter().collect();
        (format!("group '{}'", group.name), digest(&format!("{members:?}")))
    });
    let listens = [("tcp", false), ("ssl", true)].map(|(scheme, tls)| {
        let is_offered = configuration.listens.iter().any(|listen| listen.tls == tls);
        (format!("listening on {scheme}://"), is_offered.to_string())
    });
    let parameters = [
        ("parameter authorization".to_owned(), configuration.authorization.to_string()),
        ("parameter allow_plain_without_tls".to_owned(), configuration.plain_without_tls.to_string()),
    ];
    let people = users.chain(groups).chain(permissions(directory));
    queues.chain(people).chain(listens).chain(parameters).chain(tls.agreement.iter().cloned()).collect()
}

/// All that was granted to somebody on something, however many lines say it.
fn permissions(directory: &Directory) -> Description {
    let mut all: BTreeMap<String, (Scope, Permissions)> = BTreeMap::new();
    for entry in directory.acl() {
        let who = match &entry.principal {
            Principal::User(name) => format!("user '{name}'"),
            Principal::Group(name) => format!("group '{name}'"),
        };
        let what = match &entry.target {
            AclTarget::Queue(name) => format!("queue '{name}'"),
            AclTarget::Topic(name) => format!("topic '{name}'"),
            AclTarget::Admin => "the server".to_owned(),
        };
        let name = format!("permission of {who} on {what}");
        let (_, sum) = all.entry(name).or_insert((entry.target.scope(), Permissions::NONE));
        *sum = sum.with(entry.permissions);
    }
    all.into_iter().map(|(name, (scope, permissions))| (name, permissions.words(scope))).collect()
}

fn digest(text: &str) -> String {
    Blake2s256::digest(text.as_bytes())[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What is not the same, in words.
fn differences(own: &Description, other: &Description) -> BTreeSet<String> {
    let here = own.iter().filter_map(|(name, digest)| match other.get(name) {
        None => Some(format!("{name} is here only")),
        Some(there) if there != digest => Some(format!("{name} differs")),
        Some(_) => None,
    });
    let there = other.keys().filter(|name| !own.contains_key(*name)).map(|name| format!("{name} is there only"));
    here.chain(there).collect()
}

impl Broker {
    /// Asks the other server how it is set up, from time to time.
    pub(crate) fn compare_unshared(&mut self, now: Nanos) {
        let Some(address) = self.unshared.address else { return };
        if now < self.unshared.next_at || self.ha.state() != State::Active {
            return;
        }
        self.unshared.next_at = now + INTERVAL;
        if let Some(id) = self.unshared.connection {
            self.unshared_failed("no answer in time");
            self.close_socket(id);
        }
        let socket = self.reactor.connect(address);
        let (server, password) = (self.configuration.server.clone(), self.configuration.password.clone());
        let sasl = ClientSasl::Plain { user: server.clone(), password };
        let mut protocol = amqp::Connection::client(self.protocol_config(), Some(sasl), now);
        protocol.open(Open {
            container_id: server.clone(),
            desired_capabilities: vec![CAPABILITY.to_string()],
            properties: vec![(Value::symbol("server"), Value::from(server.as_str()))],
            ..Open::default()
        });
        let session = protocol.begin();
        let inward = protocol.attach(
            session,
            Attach {
                name: "description".to_string(),
                role: Role::Receiver,
                snd_settle_mode: SenderSettleMode::Settled,
                source: Some(Source::at(ADDRESS)),
                target: Some(Target::at(ADDRESS)),
                ..Attach::default()
            },
        );
        protocol.grant(inward, 1, false);
        self.unshared.connection =
            Some(self.connections.insert(Connection::new(socket, protocol, self.tls.connect(), true)));
    }

    /// The other server has answered our open.
    pub(crate) fn unshared_opened(&mut self, connection: &mut Connection) {
        let peer = connection.protocol.peer();
        let announces_close =
            peer.is_some_and(|open| open.property(condition::CONNECTION_ESTABLISHMENT_FAILED).is_some());
        if peer.is_some_and(|open| open.offers(CAPABILITY)) {
            connection.become_stage(crate::stage::Stage::Peer);
        } else if !announces_close {
            self.unshared_failed(
                "what answers there is no server of this kind; unshared_peer must name the other server",
            );
            connection.close(None);
        }
    }

    /// The other server asks for our description: it grants credit for it.
    pub(crate) fn describe_on(&mut self, connection: &mut Connection, link: LinkId, credit: u32) {
        if credit == 0 || connection.reply_links.get(ADDRESS) != Some(&link) {
            return;
        }
        let json =
            serde_json::to_vec(&describe(&self.configuration, &self.directory, &self.tls)).expect("strings are JSON");
        let payload = amqp::message::encode(Header::default(), &Properties::default(), &[], Body::Data(&json));
        let delivery =
            Delivery { token: 0, tag: b"d", settled: true, format: 0, state: None, head: &[], body: &payload };
        if let Err(error) = connection.protocol.send(link, delivery) {
            self.log.line(format!("The other server cannot be told how this one is set up: {error}"));
        }
    }

    /// How the other server is set up.
    pub(crate) fn description_arrived(&mut self, connection: &mut Connection, payload: &[u8]) {
        let sections = amqp::message::scan(payload).ok();
        let body = sections.and_then(|sections| sections.data(payload));
        match body.and_then(|body| serde_json::from_slice::<Description>(body).ok()) {
            Some(other) => {
                self.report_differences(differences(&describe(&self.configuration, &self.directory, &self.tls), &other))
            }
            None => self.unshared_failed("its description is not understood: are both servers of the same version?"),
        }
        self.unshared.connection = None;
        connection.close(None);
    }

    fn report_differences(&mut self, found: BTreeSet<String>) {
        let is_first = !std::mem::replace(&mut self.unshared.is_compared, true);
        self.unshared.failure = None;
        if found == self.unshared.differences && !is_first {
            return;
        }
        for (index, difference) in found.difference(&self.unshared.differences).enumerate() {
            if index == TOLD_MAX {
                self.log.line("Further differences are in 'show state'");
                break;
            }
            self.log.line(format!("The unshared servers are set up differently: {difference}"));
        }
        if found.is_empty() {
            self.log.line("The unshared servers are set up alike");
        }
        let event = json!({ "event": "unshared-compared", "t_ns": self.reactor.now(), "differences": found });
        self.log.event(event.to_string());
        self.unshared.differences = found;
    }

    /// The other server could not be asked. It may well be down: that is told once.
    pub(crate) fn unshared_failed(&mut self, reason: &str) {
        self.unshared.connection = None;
        if self.unshared.failure.replace(reason.to_string()).as_deref() != Some(reason) {
            self.log.line(format!("The unshared server cannot be compared with this one: {reason}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_named() {
        let of = |rows: &[(&str, &str)]| {
            rows.iter().map(|(name, digest)| (name.to_string(), digest.to_string())).collect::<Description>()
        };
        let check = |own: &[(&str, &str)], other: &[(&str, &str)], expected: &[&str]| {
            let found: Vec<String> = differences(&of(own), &of(other)).into_iter().collect();
            assert_eq!(found, expected);
        };
        check(&[], &[], &[]);
        check(&[("queue 'a'", "1")], &[("queue 'a'", "1")], &[]);
        check(&[("queue 'a'", "1")], &[("queue 'a'", "2")], &["queue 'a' differs"]);
        check(&[("queue 'a'", "1")], &[("queue 'b'", "1")], &["queue 'a' is here only", "queue 'b' is there only"]);
    }
}
