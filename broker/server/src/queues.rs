//! Changes of the set of queues while clients are attached: new definitions, deletion, purge.
//!
//! Owns what becomes of the links of a queue that changes or goes. Which queues there are is decided in `engine`; what
//! asks for a change is in `admin`.

use crate::broker::Broker;
use crate::connection::Connection;
use crate::temporary::is_temporary;
use crate::timer::Timer;
use amqp::{LinkId, condition};
use engine::{QueueDefinition, QueueId};

impl Broker {
    /// Other definitions of queues, the whole set. Returns the names of those that keep their store since they hold
    /// messages.
    pub(crate) fn redefine_queues(&mut self, definitions: Vec<QueueDefinition>) -> Vec<String> {
        let kept = self.exchange.engine.redefine(definitions);
        for id in self.connections.ids() {
            let Some(mut connection) = self.connections.take(id) else { continue };
            self.redirect(&mut connection);
            self.connections.put_back(id, connection);
        }
        self.go_on_at_once();
        kept.into_iter().map(|queue| self.exchange.engine.name_of(queue).to_string()).collect()
    }

    /// Producers follow their queue to another store.
    fn redirect(&mut self, connection: &mut Connection) {
        let mut lost = Vec::new();
        for (link, producer) in &mut connection.producers {
            match self.exchange.redirect(producer) {
                Ok(()) => connection.stores_used |= 1 << producer.store,
                Err(error) => lost.push((*link, error)),
            }
        }
        for (link, error) in lost {
            connection.protocol.detach(link, true, Some(error));
            connection.producers.remove(&link);
        }
    }

    /// Deletes a queue with all that is in it; whoever uses it is told.
    pub(crate) fn delete_queue(&mut self, queue: QueueId) {
        self.exchange.engine.delete(queue);
        self.detach_all(queue, "the queue was deleted");
        self.go_on_at_once();
    }

    /// Nothing allows the queue any more, and it is empty: who still sends to it is told, and it goes.
    pub(crate) fn let_go(&mut self, queue: QueueId) {
        self.detach_all(queue, "no line of queues.conf allows this queue any more");
        let Some(name) = self.exchange.remove_queue(queue) else { return };
        if is_temporary(&name) {
            self.temporary.forget(queue);
        } else {
            self.log.line(format!("Queue '{name}' is gone"));
        }
    }

    /// Ends all links of a queue.
    fn detach_all(&mut self, queue: QueueId, reason: &str) {
        for id in self.connections.ids() {
            let Some(mut connection) = self.connections.take(id) else { continue };
            let links = self.links_of(&connection, queue);
            for link in &links {
                connection.producers.remove(link);
                if let Some(consumer) = connection.consumers.remove(link) {
                    self.leave_queue(&consumer);
                }
                let error = amqp::Error::new(condition::RESOURCE_DELETED, reason);
                connection.protocol.detach(*link, true, Some(error));
            }
            match links.is_empty() {
                true => self.connections.restore(id, connection),
                false => self.connections.put_back(id, connection),
            }
        }
    }

    fn links_of(&self, connection: &Connection, queue: QueueId) -> Vec<LinkId> {
        let producers = connection.producers.iter().filter(|(_, producer)| producer.queue == queue);
        let consumers = connection.consumers.iter();
        let consumers = consumers.filter(|(_, consumer)| self.exchange.engine.consumer(consumer.id).queue == queue);
        producers.map(|(link, _)| *link).chain(consumers.map(|(link, _)| *link)).collect()
    }

    /// Steps of work wait: another turn follows this one.
    pub(crate) fn go_on_at_once(&mut self) {
        self.reactor.set_timer(self.reactor.now(), Timer::Again.to_token());
    }
}
