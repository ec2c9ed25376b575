//! What administrators are shown: figures and lists as JSON.
//!
//! Owns the names of the fields. Long lists come in pages; how people see them is the tool's.

use super::command::{Kept, Kind, Show};
use crate::broker::Broker;
use crate::budget::ENTRY_BYTES;
use crate::config;
use crate::connection::Connection;
use crate::connections::ConnectionId;
use crate::stage::Stage;
use engine::{ConsumerId, QueueSnapshot};
use reactor::Nanos;
use serde_json::{Map, Value, json};

/// Rows of one reply. Some 300 bytes each, so that a reply takes less than a third of a megabyte and a fraction of a
/// millisecond.
const PAGE_ROWS: usize = 1000;

/// A list from its row `from` on; `next` in the reply tells where the next page begins.
pub(super) fn page(name: &str, from: usize, rows: impl Iterator<Item = Value>) -> Value {
    page_of(name, from, rows, |row| row)
}

/// The same of what is made into rows for this page only.
fn page_of<T>(name: &str, from: usize, items: impl Iterator<Item = T>, row: impl Fn(T) -> Value) -> Value {
    let mut items = items.skip(from).peekable();
    let page: Vec<Value> = items.by_ref().take(PAGE_ROWS).map(row).collect();
    let mut reply = Map::new();
    if items.peek().is_some() {
        reply.insert("next".to_owned(), json!(from + page.len()));
    }
    reply.insert(name.to_owned(), Value::Array(page));
    Value::Object(reply)
}

impl Broker {
    /// Carries out `show`.
    pub(super) fn show(&self, now: Nanos, show: &Show, from: usize) -> Result<Value, String> {
        let reply = match show {
            Show::State => self.show_state(),
            Show::Server => self.show_server(),
            Show::Queues(pattern, kind) => {
                check_pattern(pattern)?;
                page_of("queues", from, self.queues_like(pattern, *kind), |queue| self.queue_row(&queue))
            }
            Show::Queue(name) => self.show_queue(name)?,
            Show::Flows(pattern) => {
                check_pattern(pattern)?;
                page("stat", from, self.flow_rows(pattern))
            }
            Show::Connections => page("connections", from, self.connection_rows(now)),
            Show::Consumers(pattern) => {
                check_pattern(pattern)?;
                page("consumers", from, self.consumer_rows(pattern))
            }
            Show::Consumer(id) => {
                let found = self.consumer_rows(">").find(|row| row["id"] == *id);
                found.ok_or_else(|| format!("there is no consumer {id}"))?
            }
            Show::Stores => page("stores", from, self.store_rows()),
            Show::Store(name) => self.show_store(name)?,
            Show::Config => self.show_config(),
            Show::Kept(kept) => self.show_kept(*kept, from),
            Show::Users | Show::User(_) | Show::Groups | Show::Group(_) => self.show_people(show, from)?,
        };
        Ok(reply)
    }

    fn show_state(&self) -> Value {
        let used = self.exchange.used();
        json!({
            "server": self.configuration.server,
            "state": self.ha.state().name(),
            "fault_tolerant_state": self.fault_tolerant_state(),
            "epoch": self.ha.epoch(),
            "connections": self.connections.len(),
            "process_id": std::process::id(),
            "unshared": self.unshared.state(),
            "debug_sync_delay_ns": self.configuration.debug_sync_delay_ns,
            "non_persistent_bytes": used.volatile_bytes,
            "message_memory": used.bytes,
            "max_msg_memory": self.exchange.budget.bytes_max,
            "queued_messages": used.entries,
            "entry_memory": used.entries * ENTRY_BYTES,
            "standby": self.exchange.store.tail().map(|tail| json!({
                "epoch": tail.epoch, "through": tail.through, "messages": tail.messages, "bytes_read": tail.bytes,
            })),
            "space": self.exchange.store.space().map(|space| json!({
                "segments": space.segments, "segment_bytes": space.segment_bytes, "live_bytes": space.live_bytes,
                "copied_messages": space.copied_messages, "copied_bytes": space.copied_bytes,
                "removed_segments": space.removed_segments, "metadata_segments": space.metadata_segments,
                "removed_metadata_segments": space.removed_metadata_segments,
            })),
            "backlog_messages": self.exchange.loading.recovered,
            "backlog_loaded": self.exchange.loading.loaded,
            "loop_turns": self.pauses.turns(),
            "loop_pause_us_p50": self.pauses.quantile(500) / 1000,
            "loop_pause_us_p99": self.pauses.quantile(990) / 1000,
            "loop_pause_us_p99_9": self.pauses.quantile(999) / 1000,
            "loop_pause_us_max": self.pauses.longest() / 1000,
        })
    }

    /// Whether the other server is there, in GEMS's words; nothing where there is no pair.
    fn fault_tolerant_state(&self) -> Option<&'static str> {
        self.configuration.ft.as_ref()?;
        Some(if self.peer_links.is_empty() { "STANDALONE" } else { "FULLY_OPERATIONAL" })
    }

    fn show_server(&self) -> Value {
        let configuration = &self.configuration;
        let used = self.exchange.used();
        let clients = self.connections.ids().into_iter().filter_map(|id| self.connections.get(id));
        let clients: Vec<&Connection> = clients.filter(|connection| connection.stage() == Stage::Client).collect();
        let switch = |on: bool| if on { "enabled" } else { "disabled" };
        let backup = configuration.ft.as_ref().map_or_else(|| "none".to_owned(), |ft| ft.peer_url.clone());
        let limit = |limit: u64| if limit == 0 { "no limit".to_owned() } else { limit.to_string() };
        json!({
            "server": configuration.server,
            "version": env!("CARGO_PKG_VERSION"),
            "process_id": std::process::id(),
            "state": self.ha.state().name(),
            "other_server": backup,
            "configuration_file": configuration.file.display().to_string(),
            "log_file": configuration.logfile.as_ref().map(|file| file.display().to_string()),
            "authorization": switch(configuration.authorization),
            "queues": self.exchange.engine.queues().count(),
            "client_connections": clients.len(),
            "max_connections": limit(u64::from(configuration.connections_max)),
            "producers": clients.iter().map(|client| client.producers.len()).sum::<usize>(),
            "consumers": clients.iter().map(|client| client.consumers.len()).sum::<usize>(),
            "pending_messages": used.entries,
            "message_memory": used.bytes,
            "max_msg_memory": limit(self.exchange.budget.bytes_max),
            "msg_swapping": switch(configuration.swapping),
            "store": configuration.store_folder.display().to_string(),
            "heartbeat_ms": configuration.ft_heartbeat_ns / 1_000_000,
            "activation_ms": configuration.ft_activation_ns / 1_000_000,
        })
    }

    fn queues_like(&self, pattern: &str, kind: Option<Kind>) -> impl Iterator<Item = QueueSnapshot<'_>> {
        let wanted = move |queue: &QueueSnapshot<'_>| {
            let is_kind = kind.is_none_or(|kind| (kind == Kind::Static) == queue.is_static);
            is_kind && engine::matches(pattern, queue.name)
        };
        self.exchange.engine.queues().filter(wanted)
    }

    fn queue_row(&self, queue: &QueueSnapshot<'_>) -> Value {
        json!({
            "name": queue.name, "static": queue.is_static, "store": self.store_name(queue.store),
            "messages": queue.messages, "bytes": queue.bytes, "unsettled": queue.unsettled,
            "consumers": queue.consumers, "browsers": queue.browsers, "loading": queue.loading,
        })
    }

    /// What went through the queues since this server started.
    fn flow_rows(&self, pattern: &str) -> impl Iterator<Item = Value> {
        self.exchange.engine.queues().filter(move |queue| engine::matches(pattern, queue.name)).map(|queue| {
            let flow = self.exchange.flows.of(queue.id);
            json!({
                "name": queue.name, "received": flow.received, "received_bytes": flow.received_bytes,
                "delivered": flow.delivered, "delivered_bytes": flow.delivered_bytes, "acknowledged": flow.acknowledged,
            })
        })
    }

    fn store_name(&self, store: engine::StoreId) -> &str {
        &self.configuration.stores[usize::from(store.0)].name
    }

    fn show_queue(&self, name: &str) -> Result<Value, String> {
        let found = self.exchange.engine.queues().find(|queue| queue.name == name);
        let queue = found.ok_or_else(|| no_queue(name))?;
        let limits = queue.limits;
        let mut reply = self.queue_row(&queue);
        let more = json!({
            "properties": self.properties_of(name).join(","),
            "maxmsgs": limits.maxmsgs, "maxbytes": limits.maxbytes,
            "overflow_policy": format!("{:?}", limits.overflow),
            "prefetch": limits.prefetch, "exclusive": limits.exclusive,
            "max_redelivery": limits.max_redelivery, "expiration_ms": limits.expiration_ms,
        });
        merge(&mut reply, more);
        Ok(reply)
    }

    fn connection_rows(&self, now: Nanos) -> impl Iterator<Item = Value> {
        let ids = self.connections.ids().into_iter();
        ids.filter_map(move |id| Some(self.connection_row(now, id, self.connections.get(id)?)))
    }

    fn connection_row(&self, now: Nanos, id: ConnectionId, connection: &Connection) -> Value {
        let open = connection.protocol.peer();
        let kind = match connection.stage() {
            Stage::Handshake => "handshake",
            Stage::Waiting => "waiting",
            Stage::Client => "client",
            Stage::Admin => "administrator",
            Stage::Peer => "other server",
            Stage::Closing => "closing",
        };
        json!({
            "id": id.to_token(), "kind": kind, "user": connection.identity.user,
            "host": self.address_of(id).map(|address| address.to_string()),
            "client_id": open.map(|open| open.container_id.as_str()),
            "producers": connection.producers.len(), "consumers": connection.consumers.len(),
            "unsettled": connection.consumers.values().map(|one| u64::from(self.unsettled(one.id))).sum::<u64>(),
            "output_bytes": connection.protocol.output_bytes(),
            "uptime_s": now.saturating_sub(connection.accepted_at) / 1_000_000_000,
        })
    }

    fn unsettled(&self, consumer: ConsumerId) -> u32 {
        self.exchange.engine.consumer(consumer).unsettled
    }

    fn consumer_rows(&self, pattern: &str) -> impl Iterator<Item = Value> {
        let mut all: Vec<(ConsumerId, ConnectionId)> = self.consumers.iter().map(|(id, (on, _))| (*id, *on)).collect();
        all.sort_unstable();
        let row = move |(id, on): (ConsumerId, ConnectionId)| {
            let consumer = self.exchange.engine.consumer(id);
            let queue = self.exchange.engine.name_of(consumer.queue);
            let user = self.connections.get(on).map_or("", |connection| connection.identity.user.as_str());
            engine::matches(pattern, queue).then(|| {
                json!({
                    "id": id.0, "connection": on.to_token(), "user": user, "queue": queue,
                    "browser": consumer.browse, "credit": consumer.credit, "unsettled": consumer.unsettled,
                })
            })
        };
        all.into_iter().filter_map(row)
    }

    fn store_rows(&self) -> impl Iterator<Item = Value> {
        (0..self.configuration.stores.len()).map(|index| self.store_row(index))
    }

    fn store_row(&self, index: usize) -> Value {
        let store = &self.configuration.stores[index];
        let inside = || self.exchange.engine.queues().filter(|queue| usize::from(queue.store.0) == index);
        json!({
            "name": store.name, "type": "file", "access_mode": format!("{:?}", store.mode).to_lowercase(),
            "file": store.file, "queues": inside().count(),
            "message_count": inside().map(|queue| queue.messages).sum::<u64>(),
            "message_size": inside().map(|queue| queue.bytes).sum::<u64>(),
            "preallocation_minimum": store.minimum_bytes,
        })
    }

    fn show_store(&self, name: &str) -> Result<Value, String> {
        let meta = &self.configuration.meta;
        if name == meta.name {
            return Ok(json!({ "name": meta.name, "type": "file", "access_mode": "sync", "file": meta.file,
                              "preallocation_minimum": meta.minimum_bytes }));
        }
        let index = self.configuration.stores.iter().position(|store| store.name == name);
        let index = index.ok_or_else(|| format!("there is no store '{name}'; show stores lists them"))?;
        let mut reply = self.store_row(index);
        // Checksums are on always; what the journal takes is known for all stores together.
        merge(&mut reply, json!({ "crc": true }));
        if let Some(space) = self.exchange.store.space() {
            let free = space.segment_bytes.saturating_sub(space.live_bytes);
            let more = json!({
                "all_stores_file_size": space.segment_bytes, "all_stores_used": space.live_bytes,
                "all_stores_free": free, "all_stores_segments": space.segments,
                "defrag_bytes_per_s": self.configuration.defrag_bytes_per_s,
            });
            merge(&mut reply, more);
        }
        Ok(reply)
    }

    /// What the configuration holds of what is not acted upon.
    fn show_kept(&self, kept: Kept, from: usize) -> Value {
        let files = &self.configuration.kept;
        let (name, list) = match kept {
            Kept::Topics => ("topics", &files.topics),
            Kept::Durables => ("durables", &files.durables),
            Kept::Factories => ("factories", &files.factories),
            Kept::Routes => ("routes", &files.routes),
            Kept::Transports => ("transports", &files.transports),
            Kept::Channels => ("channels", &files.channels),
            Kept::Bridges => return page("bridges", from, files.bridges.iter().map(bridge_row)),
        };
        page(
            name,
            from,
            list.iter().map(|entry| {
                let set = entry.properties.iter().map(|(name, value)| match name.contains("password") {
                    true => format!("{name}=***"),
                    false => format!("{name}={value}"),
                });
                json!({ "name": entry.name, "properties": set.collect::<Vec<_>>().join(","), "acted_upon": false })
            }),
        )
    }

    /// What the main file sets, without passwords.
    fn show_config(&self) -> Value {
        let parameters = self.admin.files.parameters().into_iter().map(|(name, value)| {
            let value = if name.contains("password") && !value.is_empty() { "***".to_owned() } else { value };
            json!({ "parameter": name, "value": value })
        });
        let rows: Vec<Value> = parameters.collect();
        let unwritten: Vec<String> = self.admin.files.unwritten().map(|path| path.display().to_string()).collect();
        json!({ "file": self.configuration.file.display().to_string(), "not_committed": unwritten, "parameters": rows })
    }
}

/// That there is no such queue, in words for people.
pub(super) fn no_queue(name: &str) -> String {
    format!("there is no queue '{name}'; show queues lists them")
}

/// That a text is not a pattern of queues, in words for people.
pub(super) fn check_pattern(pattern: &str) -> Result<(), String> {
    engine::check_pattern(pattern).map_err(|error| error.to_string())
}

fn bridge_row(bridge: &config::Bridge) -> Value {
    let in_words = |destination: &config::Destination| match destination {
        config::Destination::Topic(name) => format!("topic {name}"),
        config::Destination::Queue(name) => format!("queue {name}"),
    };
    let targets: Vec<String> = bridge.targets.iter().map(|target| in_words(&target.destination)).collect();
    json!({ "name": in_words(&bridge.source), "targets": targets.join(", "), "acted_upon": false })
}

fn merge(reply: &mut Value, more: Value) {
    if let (Value::Object(reply), Value::Object(more)) = (reply, more) {
        reply.extend(more);
    }
}
