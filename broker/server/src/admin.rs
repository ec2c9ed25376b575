//! Administration over AMQP request/reply: JSON requests to `$sys.admin`, replies to a node that the administrator made.
//!
//! Owns the commands and the form of their replies. Who may administer is decided in `opening`.

use crate::broker::Broker;
use crate::budget::ENTRY_BYTES;
use crate::config;
use crate::connection::{Connection, ReceivedDelivery};
use crate::connections::ConnectionId;
use crate::stage::Stage;
use amqp::message::{Body, Header, Properties};
use amqp::{Attach, Delivery, LinkId, Outcome, Role, Source, condition};
use reactor::Nanos;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Where requests go.
pub(crate) const ADDRESS: &str = "$sys.admin";
/// Requests that an administrator may have under way.
const CREDIT: u32 = 16;

#[derive(Debug, Deserialize)]
struct Request {
    command: String,
    #[serde(default)]
    args: BTreeMap<String, String>,
}

impl Broker {
    /// A message on a link to the server itself.
    pub(crate) fn request(
        &mut self,
        now: Nanos,
        id: ConnectionId,
        connection: &mut Connection,
        delivery: ReceivedDelivery,
        payload: &[u8],
    ) {
        if !connection.request_links.contains(&delivery.link) {
            // A message for a link that was detached while it was under way.
            return;
        }
        match connection.stage() {
            Stage::Peer if self.unshared.is_own(id) => self.description_arrived(connection, payload),
            Stage::Peer => self.heartbeat_arrived(now, connection, delivery.link, payload),
            Stage::Admin => self.command_arrived(now, id, connection, delivery, payload),
            Stage::Handshake | Stage::Waiting | Stage::Client | Stage::Closing => {}
        }
    }

    /// A link of an administrator: requests inward, replies outward.
    pub(crate) fn attach_admin(
        &mut self,
        id: ConnectionId,
        connection: &mut Connection,
        link: LinkId,
        attach: &Attach,
    ) -> Result<(), amqp::Error> {
        let mut answer = Attach {
            snd_settle_mode: attach.snd_settle_mode,
            source: attach.source.clone(),
            target: attach.target.clone(),
            ..Attach::default()
        };
        match attach.role {
            Role::Sender => {
                if attach.target.as_ref().and_then(|target| target.address.as_deref()) != Some(ADDRESS) {
                    return Err(amqp::Error::new(
                        condition::NOT_FOUND,
                        format!("administrators send to {ADDRESS} only"),
                    ));
                }
                connection.request_links.push(link);
                connection.protocol.accept_link(link, answer);
                connection.protocol.grant(link, CREDIT, false);
            }
            Role::Receiver => {
                let source = attach.source.as_ref().filter(|source| source.dynamic).ok_or_else(|| {
                    amqp::Error::new(condition::NOT_ALLOWED, "an administrator receives from a dynamic source only")
                })?;
                let address = format!("$sys.reply.{}.{}", id.to_token(), link.handle);
                answer.source = Some(Source { address: Some(address.clone()), ..source.clone() });
                connection.reply_links.insert(address, link);
                connection.protocol.accept_link(link, answer);
            }
        }
        Ok(())
    }

    fn command_arrived(
        &mut self,
        now: Nanos,
        id: ConnectionId,
        connection: &mut Connection,
        delivery: ReceivedDelivery,
        payload: &[u8],
    ) {
        let outcome = match read_request(payload) {
            Ok((properties, request)) => {
                let reply = self.execute(now, &request);
                send_reply(connection, &properties, &reply)
            }
            Err(error) => Err(error),
        };
        let outcome = match outcome {
            Ok(()) => Outcome::Accepted,
            Err(error) => {
                self.log.line(format!("A request of administrator {} failed: {error}", self.peer_name(connection)));
                Outcome::Rejected(Some(error))
            }
        };
        if !delivery.settled {
            connection.protocol.settle(delivery.link.session, delivery.delivery_id, outcome, true);
        }
        connection.protocol.grant(delivery.link, CREDIT, false);
        debug_assert!(self.connections.get(id).is_none(), "taken out while it is served");
    }

    fn execute(&mut self, now: Nanos, request: &Request) -> Value {
        let result = match request.command.as_str() {
            "show state" => Ok(self.show_state()),
            "show queues" => Ok(self.show_queues()),
            "set server" => self.set_server(&request.args),
            "shutdown" => {
                self.stop(now);
                Ok(json!({}))
            }
            other => Err(format!("unknown command '{other}': known are show state, show queues, set server, shutdown")),
        };
        match result {
            Ok(Value::Object(mut fields)) => {
                fields.insert("ok".to_string(), Value::Bool(true));
                Value::Object(fields)
            }
            Ok(other) => json!({ "ok": true, "result": other }),
            Err(error) => json!({ "ok": false, "error": error }),
        }
    }

    fn show_state(&self) -> Value {
        let used = self.exchange.used();
        json!({
            "server": self.configuration.server,
            "state": self.ha.state().name(),
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
                "removed_segments": space.removed_segments,
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

    fn show_queues(&self) -> Value {
        let store_name = |id: engine::StoreId| self.configuration.stores[usize::from(id.0)].name.as_str();
        let rows: Vec<Value> = self
            .exchange
            .engine
            .queues()
            .map(|queue| {
                json!({ "name": queue.name, "store": store_name(queue.store), "messages": queue.messages, "bytes": queue.bytes,
                        "unsettled": queue.unsettled, "consumers": queue.consumers, "browsers": queue.browsers,
                        "loading": queue.loading })
            })
            .collect();
        json!({ "queues": rows })
    }

    fn set_server(&mut self, args: &BTreeMap<String, String>) -> Result<Value, String> {
        for (name, value) in args {
            match name.as_str() {
                "debug_sync_delay" => {
                    let delay_ns = config::duration_ns(value)?;
                    self.configuration.debug_sync_delay_ns = delay_ns;
                    self.reactor.set_sync_delay(delay_ns);
                    self.log.line(format!("debug_sync_delay is {value} now"));
                }
                other => {
                    return Err(format!("'{other}' cannot be changed while the server runs; debug_sync_delay can"));
                }
            }
        }
        Ok(json!({}))
    }
}

fn read_request(payload: &[u8]) -> Result<(Properties, Request), amqp::Error> {
    let sections = amqp::message::scan(payload)?;
    let properties = sections.properties(payload)?;
    let body = sections.data(payload).unwrap_or_default();
    let request = serde_json::from_slice(body).map_err(|cause| {
        amqp::Error::new(
            condition::DECODE_ERROR,
            format!("the request is not of the form {{\"command\":...,\"args\":{{}}}}: {cause}"),
        )
    })?;
    Ok((properties, request))
}

fn send_reply(connection: &mut Connection, request: &Properties, reply: &Value) -> Result<(), amqp::Error> {
    let address = request.reply_to.as_deref().unwrap_or_default();
    let link = connection.reply_links.get(address).copied().ok_or_else(|| {
        amqp::Error::new(
            condition::PRECONDITION_FAILED,
            format!("reply-to '{address}' is not a reply node of this connection"),
        )
    })?;
    let properties = Properties {
        to: Some(address.to_string()),
        correlation_id: request.correlation_id.clone(),
        content_type: Some("application/json".to_string()),
        ..Properties::default()
    };
    let body = reply.to_string();
    let payload = amqp::message::encode(Header::default(), &properties, &[], Body::Data(body.as_bytes()));
    let delivery = Delivery { token: 0, tag: b"r", settled: true, format: 0, state: None, head: &[], body: payload };
    connection
        .protocol
        .send(link, delivery)
        .map(|_| ())
        .map_err(|cause| amqp::Error::new(condition::PRECONDITION_FAILED, format!("the reply cannot be sent: {cause}")))
}
