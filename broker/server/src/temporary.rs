//! Temporary queues: made by a client's link for itself, gone with that link, kept for a while when the connection is lost.
//!
//! Owns who may receive from which, and when which is to be deleted. Its owner, a container-id and a user, is part of a queue's
//! name, so that a server that takes over knows it without having been told. How a queue is emptied and removed is `engine`'s.

use crate::broker::Broker;
use crate::connection::Connection;
use crate::connections::ConnectionId;
use amqp::{LinkId, Role, Source, Target, Value, condition};
use blake2::{Blake2s256, Digest};
use engine::{Engine, QueueId};
use reactor::Nanos;
use std::collections::HashMap;

/// First element of the names, as in EMS.
const PREFIX: &str = "$TMP$.";
/// Temporary queues of one connection, and of all clients together.
const CONNECTION_MAX: usize = 1000;
const ALL_MAX: usize = 100_000;
/// Descriptor of the only lifetime policy that is granted, delete-on-close (AMQP 1.0 part 3, section 3.5.10).
const DELETE_ON_CLOSE: u64 = 0x2b;

/// Whether `name` is that of a temporary queue.
pub(crate) fn is_temporary(name: &str) -> bool {
    name.starts_with(PREFIX)
}

/// Whose a queue is: 32 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Owner(String);

impl Owner {
    fn of(user: &str, container_id: &str) -> Owner {
        let mut hash = Blake2s256::new();
        hash.update((user.len() as u64).to_be_bytes());
        hash.update(user.as_bytes());
        hash.update(container_id.as_bytes());
        Owner(hash.finalize()[..16].iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

/// Where a queue's owner is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Connected; the queue ends with that link.
    Connected(ConnectionId, Option<LinkId>),
    /// Gone without a word; the queue is kept until then.
    Lost(Nanos),
}

/// The temporary queues of one server.
#[derive(Debug)]
pub(crate) struct TemporaryQueues {
    server: String,
    /// Differs after each start, so that no name comes twice.
    start: u64,
    made: u64,
    places: HashMap<QueueId, Place>,
    by_connection: HashMap<ConnectionId, Vec<QueueId>>,
    /// Until then, names that an earlier server gave out are believed: those without stored messages are known to nobody else.
    believed_until: Nanos,
    /// To be deleted.
    ended: Vec<QueueId>,
}

impl TemporaryQueues {
    /// None yet; `start` differs after each start of a process.
    pub(crate) fn new(server: &str, start: u64) -> Self {
        let legal = |letter: char| if letter.is_ascii_alphanumeric() || "-_".contains(letter) { letter } else { '_' };
        TemporaryQueues {
            server: server.chars().map(legal).collect(),
            start,
            made: 0,
            places: HashMap::new(),
            by_connection: HashMap::new(),
            believed_until: 0,
            ended: Vec::new(),
        }
    }

    fn make(
        &mut self,
        engine: &mut Engine,
        owner: &Owner,
        place: (ConnectionId, LinkId),
    ) -> Result<String, amqp::Error> {
        let of_connection = self.by_connection.get(&place.0).map_or(0, Vec::len);
        if of_connection >= CONNECTION_MAX {
            return Err(limit(format!("the connection has {CONNECTION_MAX} temporary queues")));
        }
        self.made += 1;
        let Owner(owner) = owner;
        let name = format!("{PREFIX}{}.{owner}.{:016x}.{}", self.server, self.start, self.made);
        let queue = self.add(engine, &name)?;
        self.connect(queue, place);
        Ok(name)
    }

    fn add(&mut self, engine: &mut Engine, name: &str) -> Result<QueueId, amqp::Error> {
        if self.places.len() >= ALL_MAX {
            return Err(limit(format!("the server has {ALL_MAX} temporary queues")));
        }
        engine.temporary(name).map_err(|cause| amqp::Error::new(condition::NOT_FOUND, cause.to_string()))
    }

    fn connect(&mut self, queue: QueueId, (id, link): (ConnectionId, LinkId)) {
        self.disconnect(queue);
        self.places.insert(queue, Place::Connected(id, Some(link)));
        self.by_connection.entry(id).or_default().push(queue);
    }

    /// Forgets where a queue's owner was.
    fn disconnect(&mut self, queue: QueueId) {
        if let Some(Place::Connected(id, _)) = self.places.remove(&queue)
            && let Some(queues) = self.by_connection.get_mut(&id)
        {
            queues.retain(|other| *other != queue);
            if queues.is_empty() {
                self.by_connection.remove(&id);
            }
        }
    }

    /// A link asks for the queue `name`: anybody may send, the owner receives.
    fn attach(
        &mut self,
        now: Nanos,
        engine: &mut Engine,
        (name, role): (&str, Role),
        owner: &Owner,
        place: (ConnectionId, LinkId),
    ) -> Result<(), amqp::Error> {
        let own = owner_in(name, &self.server) == Some(owner.0.as_str());
        if role == Role::Receiver && !own {
            let text = format!("only the client that made '{name}' may receive from it");
            return Err(amqp::Error::new(condition::UNAUTHORIZED_ACCESS, text));
        }
        let known = engine.find(name).filter(|queue| self.places.contains_key(queue));
        let queue = match known {
            Some(queue) => queue,
            None if now < self.believed_until && self.is_of_another_start(name) => {
                let queue = self.add(engine, name)?;
                self.places.insert(queue, Place::Lost(self.believed_until));
                queue
            }
            None => {
                return Err(amqp::Error::new(condition::NOT_FOUND, format!("there is no temporary queue '{name}'")));
            }
        };
        let is_back =
            role == Role::Receiver && !matches!(self.places[&queue], Place::Connected(id, _) if id == place.0);
        if is_back {
            self.connect(queue, place);
        }
        Ok(())
    }

    /// Whether an earlier server gave out that name: our own are all known.
    fn is_of_another_start(&self, name: &str) -> bool {
        let own = format!(".{:016x}.", self.start);
        owner_in(name, &self.server).is_some() && !name.contains(&own)
    }

    /// A link ended by its client's will; with `closed`, what it made ends too.
    pub(crate) fn link_ended(&mut self, id: ConnectionId, link: LinkId, closed: bool) {
        let made = |queue: &&QueueId| self.places.get(queue) == Some(&Place::Connected(id, Some(link)));
        let queues: Vec<QueueId> = self.by_connection.get(&id).into_iter().flatten().filter(made).copied().collect();
        for queue in queues {
            if closed {
                self.end(queue);
            } else {
                self.places.insert(queue, Place::Connected(id, None));
            }
        }
    }

    /// A client closed its connection.
    pub(crate) fn connection_closed(&mut self, id: ConnectionId) {
        for queue in self.by_connection.remove(&id).unwrap_or_default() {
            self.end(queue);
        }
    }

    /// A connection is gone; its client may come back until `until`.
    pub(crate) fn connection_lost(&mut self, id: ConnectionId, until: Nanos) {
        for queue in self.by_connection.remove(&id).unwrap_or_default() {
            self.places.insert(queue, Place::Lost(until));
        }
    }

    fn end(&mut self, queue: QueueId) {
        self.disconnect(queue);
        self.ended.push(queue);
    }

    /// Ends the queues whose clients have not come back; how many.
    fn expire(&mut self, now: Nanos) -> usize {
        let late = |place: &Place| matches!(place, Place::Lost(until) if *until <= now);
        let queues: Vec<QueueId> =
            self.places.iter().filter(|(_, place)| late(place)).map(|(queue, _)| *queue).collect();
        queues.iter().for_each(|queue| self.end(*queue));
        queues.len()
    }

    /// Recovery is complete: names are believed, and what it found is kept, until `until`.
    fn recovered(&mut self, engine: &Engine, until: Nanos) {
        self.believed_until = until;
        for queue in engine.queues().filter(|queue| is_temporary(queue.name)) {
            self.places.insert(queue.id, Place::Lost(until));
        }
    }

    /// A queue is gone.
    pub(crate) fn forget(&mut self, queue: QueueId) {
        self.disconnect(queue);
    }
}

impl Broker {
    /// A queue for the client that asks for a node of its own. Returns its name.
    pub(crate) fn make_temporary(
        &mut self,
        place: (ConnectionId, LinkId),
        connection: &Connection,
    ) -> Result<String, amqp::Error> {
        self.temporary.make(&mut self.exchange.engine, &owner_of(connection), place)
    }

    /// Looks whether a client may attach to `name`, if that is a temporary queue.
    pub(crate) fn attach_temporary(
        &mut self,
        now: Nanos,
        place: (ConnectionId, LinkId),
        connection: &Connection,
        name: &str,
        role: Role,
    ) -> Result<(), amqp::Error> {
        if !is_temporary(name) {
            return Ok(());
        }
        self.temporary.attach(now, &mut self.exchange.engine, (name, role), &owner_of(connection), place)
    }

    /// From now on clients have `ft_reconnect_timeout` to come back.
    pub(crate) fn keep_temporary(&mut self, now: Nanos) {
        let until = now.saturating_add(self.configuration.ft_reconnect_ns);
        self.temporary.recovered(&self.exchange.engine, until);
    }

    /// Ends what its clients have not come back for.
    pub(crate) fn expire_temporary(&mut self, now: Nanos) {
        let count = self.temporary.expire(now);
        if count > 0 {
            self.log.line(format!(
                "{count} temporary queues are removed: their clients did not come back within ft_reconnect_timeout"
            ));
        }
    }

    /// Deletes the queues that have ended.
    pub(crate) fn delete_ended(&mut self) {
        for queue in std::mem::take(&mut self.temporary.ended) {
            self.delete_queue(queue);
        }
    }
}

fn owner_of(connection: &Connection) -> Owner {
    let container_id = connection.protocol.peer().map_or("", |open| open.container_id.as_str());
    Owner::of(&connection.identity.user, container_id)
}

/// The owner that a name of this server's tells of.
fn owner_in<'n>(name: &'n str, server: &str) -> Option<&'n str> {
    let rest = name.strip_prefix(PREFIX)?.strip_prefix(server)?.strip_prefix('.')?;
    let mut elements = rest.split('.');
    let (owner, start, number) = (elements.next()?, elements.next()?, elements.next()?);
    let is_hex = |text: &str, len: usize| text.len() == len && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_whole = is_hex(owner, 32) && is_hex(start, 16) && number.parse::<u64>().is_ok() && elements.next().is_none();
    is_whole.then_some(owner)
}

fn limit(text: String) -> amqp::Error {
    amqp::Error::new(condition::RESOURCE_LIMIT_EXCEEDED, text)
}

/// What is granted of a source: with a node of its own, its name and its lifetime.
pub(crate) fn source_granted(asked: &Source, name: String) -> Source {
    match asked.dynamic {
        true => Source { address: Some(name), dynamic_node_properties: delete_on_close(), ..asked.clone() },
        false => asked.clone(),
    }
}

/// The same of a target.
pub(crate) fn target_granted(asked: &Target, name: String) -> Target {
    match asked.dynamic {
        true => Target { address: Some(name), dynamic_node_properties: delete_on_close(), ..asked.clone() },
        false => asked.clone(),
    }
}

fn delete_on_close() -> Vec<(Value, Value)> {
    let policy = Value::described(Value::Ulong(DELETE_ON_CLOSE), Value::List(Vec::new()));
    vec![(Value::symbol("lifetime-policy"), policy)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::{StoreId, Stores};

    const TIMEOUT: Nanos = 60;

    struct Rig {
        queues: TemporaryQueues,
        engine: Engine,
        links: Vec<LinkId>,
    }

    fn rig() -> Rig {
        let engine = Engine::new(Vec::new(), Stores { default: StoreId(0), sync: Vec::new() });
        let mut client = amqp::Connection::client(amqp::Config::default(), None, 0);
        client.open(amqp::Open::default());
        let session = client.begin();
        let links = (0..3).map(|number| {
            let attach =
                amqp::Attach { name: number.to_string(), source: Some(Source::default()), ..amqp::Attach::default() };
            client.attach(session, attach)
        });
        Rig { queues: TemporaryQueues::new("EMS.SERVER", 7), engine, links: links.collect() }
    }

    impl Rig {
        fn make(&mut self, owner: &Owner, connection: u64) -> String {
            let place = (ConnectionId::from_token(connection), self.links[0]);
            self.queues.make(&mut self.engine, owner, place).unwrap()
        }

        fn attach(&mut self, now: Nanos, name: &str, role: Role, owner: &Owner, connection: u64) -> Result<(), String> {
            let place = (ConnectionId::from_token(connection), self.links[1]);
            let result = self.queues.attach(now, &mut self.engine, (name, role), owner, place);
            result.map_err(|error| error.condition.to_string())
        }

        fn ended(&mut self) -> usize {
            std::mem::take(&mut self.queues.ended).len()
        }
    }

    #[test]
    fn a_name_tells_the_owner_and_differs_each_time() {
        let (mut rig, owner) = (rig(), Owner::of("user", "container"));
        let names = [rig.make(&owner, 1), rig.make(&owner, 1)];
        assert_ne!(names[0], names[1]);
        assert!(names[0].starts_with("$TMP$.EMS_SERVER."), "{}", names[0]);
        assert_eq!(owner_in(&names[0], "EMS_SERVER"), Some(owner.0.as_str()));
        for other in [Owner::of("user", "container2"), Owner::of("userc", "ontainer"), Owner::of("", "usercontainer")] {
            assert_ne!(owner, other);
        }
        for bad in ["$TMP$.EMS_SERVER.x.0.1", "$TMP$.OTHER.0.0.1", "$TMP$.EMS_SERVER"] {
            assert_eq!(owner_in(bad, "EMS_SERVER"), None, "{bad}");
        }
    }

    #[test]
    fn everybody_sends_and_the_owner_receives() {
        let (mut rig, owner, other) = (rig(), Owner::of("a", "c"), Owner::of("b", "c"));
        let name = rig.make(&owner, 1);
        assert_eq!(rig.attach(0, &name, Role::Sender, &other, 2), Ok(()));
        assert_eq!(rig.attach(0, &name, Role::Receiver, &other, 2), Err(condition::UNAUTHORIZED_ACCESS.to_string()));
        assert_eq!(rig.attach(0, &name, Role::Receiver, &owner, 1), Ok(()));
    }

    #[test]
    fn a_queue_ends_with_its_link_or_a_closed_connection_and_waits_after_a_lost_one() {
        let (mut rig, owner) = (rig(), Owner::of("a", "c"));
        rig.make(&owner, 1);
        rig.queues.link_ended(ConnectionId::from_token(1), rig.links[2], true);
        assert_eq!(rig.ended(), 0, "another link");
        rig.queues.link_ended(ConnectionId::from_token(1), rig.links[0], false);
        assert_eq!(rig.ended(), 0, "only detached");
        rig.queues.connection_closed(ConnectionId::from_token(1));
        assert_eq!(rig.ended(), 1);

        rig.make(&owner, 2);
        rig.queues.link_ended(ConnectionId::from_token(2), rig.links[0], true);
        assert_eq!(rig.ended(), 1);

        let name = rig.make(&owner, 3);
        rig.queues.connection_lost(ConnectionId::from_token(3), TIMEOUT);
        assert_eq!(rig.queues.expire(TIMEOUT - 1), 0);
        assert_eq!(rig.attach(TIMEOUT - 1, &name, Role::Receiver, &owner, 4), Ok(()));
        assert_eq!(rig.queues.expire(TIMEOUT), 0, "its owner is back");
        rig.queues.connection_lost(ConnectionId::from_token(3), TIMEOUT);
        assert_eq!(rig.queues.expire(TIMEOUT), 0, "the old connection has nothing to do with it any more");
        rig.queues.connection_lost(ConnectionId::from_token(4), 2 * TIMEOUT);
        assert_eq!((rig.queues.expire(2 * TIMEOUT), rig.ended()), (1, 1));
        assert_eq!(rig.attach(0, &name, Role::Receiver, &owner, 5), Err(condition::NOT_FOUND.to_string()));
    }

    #[test]
    fn a_server_that_took_over_believes_names_for_a_while() {
        let (mut rig, owner, other) = (rig(), Owner::of("a", "c"), Owner::of("b", "c"));
        let name = |number: u32| format!("$TMP$.EMS_SERVER.{}.00000000000000ff.{number}", owner.0);
        assert_eq!(rig.attach(0, &name(1), Role::Receiver, &owner, 1), Err(condition::NOT_FOUND.to_string()));
        let stored = rig.engine.temporary(&name(1)).unwrap();
        rig.queues.recovered(&rig.engine, TIMEOUT);
        assert_eq!(rig.attach(1, &name(2), Role::Receiver, &other, 1), Err(condition::UNAUTHORIZED_ACCESS.to_string()));
        assert_eq!(rig.attach(1, &name(2), Role::Sender, &other, 1), Ok(()), "who replies may be the first to come");
        assert_eq!(rig.attach(2, &name(2), Role::Receiver, &owner, 2), Ok(()));
        let own = rig.make(&owner, 2);
        rig.queues.connection_closed(ConnectionId::from_token(2));
        assert_eq!(
            rig.attach(3, &own, Role::Sender, &owner, 3),
            Err(condition::NOT_FOUND.to_string()),
            "it was deleted"
        );
        assert_eq!(rig.ended(), 2);
        assert_eq!(rig.attach(TIMEOUT, &name(3), Role::Receiver, &owner, 2), Err(condition::NOT_FOUND.to_string()));
        assert_eq!(rig.queues.expire(TIMEOUT), 1, "nobody came for the stored one");
        assert_eq!(rig.queues.ended, [stored]);
    }

    #[test]
    fn a_connection_has_a_limit() {
        let (mut rig, owner) = (rig(), Owner::of("a", "c"));
        (0..CONNECTION_MAX).for_each(|_| drop(rig.make(&owner, 1)));
        let place = (ConnectionId::from_token(1), rig.links[0]);
        let error = rig.queues.make(&mut rig.engine, &owner, place).unwrap_err();
        assert_eq!(error.condition, condition::RESOURCE_LIMIT_EXCEEDED);
        rig.make(&owner, 2);
    }
}
