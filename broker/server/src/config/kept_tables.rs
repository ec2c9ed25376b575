//! The tables of the files that are read, checked and kept, and not acted upon: topics, durables, factories, routes,
//! transports, certified listeners and channels. Names are those of EMS 8.6.

use super::parameter::{FOREVER, Kind, Parameter};
use super::tables::{OVERFLOW_WORDS, Section};
use Kind::*;

const fn row(name: &'static str, kind: Kind, default: &'static str, help: &'static str) -> Parameter {
    Parameter::new(name, kind, default, help).kept()
}

const ANY_COUNT: Kind = Count(0, u32::MAX as u64);
const ANY_SIZE: Kind = Size(0, u64::MAX);
const ANY_TIME: Kind = Time(0, FOREVER);

/// Properties in topics.conf. A property without a value is a flag.
pub const TOPIC: &[Section] = &[("Topic properties", TOPIC_PROPERTIES)];

const TOPIC_PROPERTIES: &[Parameter] = &[
    row("store", Text, "$sys.nonfailsafe", "Store of the messages."),
    row("failsafe", Flag, "disabled", "Older word for store=$sys.failsafe."),
    row("secure", Flag, "disabled", "Check permissions."),
    row("global", Flag, "disabled", "Routable."),
    row("maxbytes", ANY_SIZE, "0", "Bytes that each subscriber or durable may have waiting; 0 = no limit."),
    row("maxmsgs", Count(0, u64::MAX), "0", "Messages that each may have waiting; 0 = no limit."),
    row("overflowPolicy", Choice(OVERFLOW_WORDS), "default", "What happens at these limits."),
    row("prefetch", ANY_COUNT, "64", "Messages that a consumer fetches ahead; 0 = inherited."),
    row("expiration", ANY_TIME, "", "Replaces the publisher's time to live; 0 = never expires."),
    row("flowControl", ANY_SIZE, "0", "Backlog at which publishers are slowed down; without a value 256KB."),
    row("sender_name", Flag, "disabled", "Stamp messages with the sender's user name."),
    row("sender_name_enforced", Flag, "disabled", "The same, whatever the sender says."),
    row("trace", Text, "", "Trace messages; trace=body with their bodies."),
    row("import", Text, "", "Transports to import from."),
    row("export", Text, "", "Transports to export to."),
    row("channel", Text, "", "Multicast channel."),
];

/// Properties in durables.conf.
pub const DURABLE: &[Section] = &[("Durable properties", DURABLE_PROPERTIES)];

const DURABLE_PROPERTIES: &[Parameter] = &[
    row("name", Text, "", "Name of the durable, the second word of the line."),
    row("clientid", Text, "", "Client id of the subscriber."),
    row("nolocal", Flag, "disabled", "Not what its own connection publishes."),
    row("selector", Text, "", "Only messages that the selector chooses."),
    row("route", Flag, "disabled", "The subscriber is a route."),
];

/// Keys of a section of factories.conf.
pub const FACTORY: &[Section] = &[("Factory parameters", FACTORY_KEYS)];

const FACTORY_KEYS: &[Parameter] = &[
    row(
        "type",
        Choice(&["generic", "xageneric", "topic", "queue", "xatopic", "xaqueue"]),
        "generic",
        "Kind of connections.",
    ),
    row("url", ServerUrls, "", "Servers to connect to; commas within a pair, + between servers that share no state."),
    row("jndinames", Text, "", "Names to look it up by, with commas between."),
    row("description", Text, "", "Free text."),
    row("clientID", Text, "", "Client id of its connections."),
    row("metric", Choice(&["connections", "byte_rate"]), "connections", "What load balancing counts."),
    row("connect_attempt_count", Count(1, u32::MAX as u64), "2", "Rounds over the URLs at the first connect."),
    row("connect_attempt_delay", ANY_COUNT, "500", "Pause between them, in milliseconds."),
    row("connect_attempt_timeout", ANY_COUNT, "0", "Limit of each, in milliseconds; 0 = none."),
    row("reconnect_attempt_count", Count(1, u32::MAX as u64), "4", "Rounds over the URLs after a failover."),
    row("reconnect_attempt_delay", ANY_COUNT, "500", "Pause between them, in milliseconds."),
    row("reconnect_attempt_timeout", ANY_COUNT, "0", "Limit of each, in milliseconds; 0 = none."),
    row("multicast_daemon", Text, "", "Port of the multicast daemon."),
    row("ssl_identity", Path, "", "The client's certificate."),
    row("ssl_private_key", Path, "", "Its key."),
    row("ssl_password", Password, "", "Password of the key."),
    row("ssl_issuer", Path, "", "Its issuers.").repeatable().alias(&["ssl_issuer_list"]),
    row("ssl_trusted", Path, "", "Authorities trusted for the server.").repeatable().alias(&["ssl_trusted_list"]),
    row("ssl_verify_host", Flag, "enabled", "Verify the server's certificate."),
    row("ssl_verify_hostname", Flag, "enabled", "Match the name in it."),
    row("ssl_expected_hostname", Text, "", "Name to expect there."),
    row("ssl_cipher_suites", Text, "", "Ciphers.").alias(&["ssl_ciphers"]),
    row("ssl_auth_only", Flag, "disabled", "TLS for the login only."),
];

/// Keys of a section of routes.conf.
pub const ROUTE: &[Section] = &[("Route parameters", ROUTE_KEYS)];

const ROUTE_KEYS: &[Parameter] = &[
    row("url", ServerUrls, "", "The other server, or both of a pair."),
    row("zone_name", Text, "default_mhop_zone", "Zone of the route."),
    row("zone_type", Choice(&["1hop", "mhop"]), "mhop", "How far topic messages travel in it."),
    row("topic_prefetch", ANY_COUNT, "0", "Topic messages that are fetched ahead."),
    row("incoming_topic", Text, "", "Topic, and a selector of what comes in.").repeatable(),
    row("outgoing_topic", Text, "", "Topic, and a selector of what goes out.").repeatable(),
    row("ssl_identity", Path, "", "Own certificate."),
    row("ssl_private_key", Path, "", "Its key."),
    row("ssl_password", Password, "", "Password of the key."),
    row("ssl_issuer", Path, "", "Its issuers.").repeatable(),
    row("ssl_trusted", Path, "", "Authorities trusted for the other server.").repeatable(),
    row("ssl_verify_host", Flag, "enabled", "Verify the other server's certificate."),
    row("ssl_verify_hostname", Flag, "enabled", "Match the name in it."),
    row("ssl_expected_hostname", Text, "", "Name to expect there."),
    row("ssl_ciphers", Text, "", "Ciphers."),
];

/// Values of `topic_import_dm` and `queue_import_dm`.
const DELIVERY_MODES: Kind = Choice(&["TIBEMS_PERSISTENT", "TIBEMS_NON_PERSISTENT", "TIBEMS_RELIABLE"]);

/// Keys of a section of transports.conf.
pub const TRANSPORT: &[Section] = &[("Transport parameters", TRANSPORT_KEYS)];

const TRANSPORT_KEYS: &[Parameter] = &[
    row("type", Choice(&["tibrv", "tibrvcm", "tibftl"]), "", "Kind of transport; the first key of its section."),
    row("topic_import_dm", DELIVERY_MODES, "TIBEMS_RELIABLE", "Delivery mode of what is imported to topics."),
    row("queue_import_dm", DELIVERY_MODES, "TIBEMS_NON_PERSISTENT", "Delivery mode of what is imported to queues."),
    row("export_headers", Flag, "enabled", "Export header fields."),
    row("export_properties", Flag, "enabled", "Export properties."),
    row("service", Text, "", "Rendezvous service."),
    row("network", Text, "", "Rendezvous network."),
    row("daemon", Text, "", "Rendezvous daemon."),
    row("rv_tport", Text, "", "The tibrv transport below a tibrvcm one."),
    row("cm_name", Text, "", "Name of the certified sender."),
    row("ledger_file", Path, "", "Its ledger."),
    row("sync_ledger", Flag, "disabled", "Write the ledger before going on."),
    row("request_old", Flag, "disabled", "Ask for what was missed."),
    row("default_ttl", ANY_COUNT, "0", "Time limit of certified messages, in seconds; 0 = none."),
    row("explicit_config_only", Flag, "disabled", "Only the listeners of tibrvcm.conf."),
    row("url", Text, "", "FTL server."),
    row("application", Text, "", "FTL application."),
    row("endpoint", Text, "", "FTL endpoint."),
];

/// Words of tibrvcm.conf.
pub const LISTENER: &[Section] = &[("Words of a line", LISTENER_WORDS)];

const LISTENER_WORDS: &[Parameter] = &[
    row("listener", Text, "", "Name of the certified listener, the second word."),
    row("subject", Text, "", "Its Rendezvous subject, without wildcards, the third word."),
];

/// Keys of a section of channels.conf.
pub const CHANNEL: &[Section] = &[("Channel parameters", CHANNEL_KEYS)];

const CHANNEL_KEYS: &[Parameter] = &[
    row("address", Text, "", "Multicast group, ip:port."),
    row("interface", Text, "", "Address of the interface to send on."),
    row("ttl", Count(1, 255), "16", "Hops."),
    row("priority", Choice(&["-5", "-4", "-3", "-2", "-1", "0", "1", "2", "3", "4", "5"]), "0", "5 is the highest."),
    row("maxrate", ANY_SIZE, "12MB", "Bytes a second."),
    row("maxtime", ANY_TIME, "35", "How long a message is kept for those that missed it."),
];
