//! The parameter tables: every name that the configuration files may hold, what it takes, and what becomes of it.
//!
//! This is the one place that knows the names. docs/PARAMETERS.md and the help are generated from here; a test holds
//! them together. Names, defaults and ranges are those of EMS 8.6 where EMS has the parameter.

use super::parameter::{FOREVER, Kind, Parameter};
use Kind::*;

const fn row(name: &'static str, kind: Kind, default: &'static str, help: &'static str) -> Parameter {
    Parameter::new(name, kind, default, help)
}

const MS: u64 = 1_000_000;
const MB: u64 = 1 << 20;
const ANY_COUNT: Kind = Count(0, u32::MAX as u64);
const ANY_SIZE: Kind = Size(0, u64::MAX);
const ANY_TIME: Kind = Time(0, FOREVER);

const NO_STATISTICS: &str = "this version keeps no statistics";

/// Words of `startup_abort_list`.
pub(crate) const ABORT_WORDS: &[&str] = &["SSL", "TRANSPORTS", "CONFIG_FILES", "CONFIG_ERRORS", "DB_FILES"];
/// Values of `ft_takeover`.
pub(crate) const TAKEOVER_WORDS: &[&str] = &["both", "link"];

/// A titled part of a table.
pub type Section = (&'static str, &'static [Parameter]);

/// tibemsd.conf.
pub const SERVER: &[Section] = &[
    ("Identity and files", IDENTITY),
    ("Network", NETWORK),
    ("Fault tolerance", FAULT_TOLERANCE),
    ("TLS", TLS),
    ("Storage", STORAGE),
    ("Memory and limits", MEMORY),
    ("Start-up", START_UP),
    ("Liveness of connections", LIVENESS),
    ("Behaviour", BEHAVIOUR),
    ("Statistics", STATISTICS),
    ("Log", LOG),
];

const IDENTITY: &[Parameter] = &[
    row(
        "server",
        Text,
        "EMS-SERVER",
        "Name of the server, at most 64 characters. Both servers of a pair have the same name.",
    ),
    row(
        "password",
        Password,
        "",
        "Password with which this server logs in to its peer, as the user named like the server.",
    )
    .live(),
    row("users", Path, "users.conf", "File of users."),
    row("queues", Path, "queues.conf", "File of queues and patterns for queues."),
    row("stores", Path, "stores.conf", "File of stores. Without it the three stores that EMS ships exist."),
    row("store", Path, "datastore", "Folder of the store files; both servers of a pair name the same one."),
    row(
        "authorization",
        Flag,
        "disabled",
        "Check user names and passwords, and the permissions of queues that are `secure`.",
    )
    .live(),
    row(
        "allow_plain_without_tls",
        Flag,
        "disabled",
        "With authorization: take passwords also from connections that are neither TLS nor from this host.",
    ),
    row("groups", Path, "groups.conf", "File of groups."),
    row("acl_list", Path, "acl.conf", "File of permissions."),
    row("topics", Path, "topics.conf", "File of topics."),
    row("durables", Path, "durables.conf", "File of durable subscriptions."),
    row("bridges", Path, "bridges.conf", "File of bridges."),
    row("factories", Path, "factories.conf", "File of connection factories."),
    row("routes", Path, "routes.conf", "File of routes."),
    row("transports", Path, "transports.conf", "File of transports."),
    row("tibrvcm", Path, "tibrvcm.conf", "File of certified listeners."),
    row("channels", Path, "channels.conf", "File of multicast channels."),
    row("module_path", Path, "", "Folders of shared libraries.").accepted("the server is one program without modules"),
];

const NETWORK: &[Parameter] = &[
    row("listen", Address, "tcp://7222", "Address to accept clients and the peer on; without a host, all addresses.")
        .repeatable(),
    row(
        "client_urls",
        ClientUrls,
        "",
        "Extension: the URLs that clients are told to fail over to, where proxies or address translation make them differ. Default: the own listen, then ft_active.",
    ),
    row("max_connections", ANY_COUNT, "0", "Most client connections at a time; 0 = no limit.").live(),
    row("handshake_timeout", Time(100 * MS, FOREVER), "10", "Time for a new connection to send its AMQP open.").live(),
    row(
        "processor_ids",
        Counts,
        "",
        "Processors that the server's loop runs on, such as 0 or 0,1; it runs one loop. Default: wherever the system puts it. A processor of its own keeps other programs from interrupting it.",
    ),
    row("network_thread_count", Count(1, 1024), "1", "Network threads.")
        .accepted("shards take the place of network threads"),
    row(
        "monitor_listen",
        MonitorAddress,
        "",
        "HTTP address for /isLive, /isReady and /metrics; without a host, all addresses. Nobody is asked for a password there. Not set: no monitor.",
    ),
    row("health_check_listen", MonitorAddress, "", "The name of monitor_listen before EMS 10; may stand beside it.")
        .repeatable(),
    row(
        "secondary_monitor_listen",
        MonitorAddress,
        "",
        "monitor_listen of the secondary server of a tibemsd.json. A tibemsd.conf is that of one server and has monitor_listen only.",
    ),
    row("routing", Flag, "disabled", "Routes to other servers.").accepted("there are no routes"),
    row("multicast", Flag, "disabled", "Multicast.").accepted("there is no multicast"),
    row("tibrv_transports", Flag, "disabled", "Rendezvous transports.").accepted("there are no transports"),
    row("tibftl_transports", Flag, "disabled", "FTL transports.").accepted("there are no transports"),
];

const FAULT_TOLERANCE: &[Parameter] = &[
    row(
        "ft_active",
        Address,
        "",
        "URL of the other server. Set on both: who reaches an active peer becomes standby. Not set: standalone.",
    ),
    row("ft_heartbeat", Time(MS, 3_600_000 * MS), "3", "Interval of the heartbeats between the servers."),
    row(
        "ft_activation",
        Time(2 * MS, 7_200_000 * MS),
        "10",
        "Silence after which the peer is held dead; at least twice ft_heartbeat.",
    ),
    row(
        "ft_reconnect_timeout",
        ANY_TIME,
        "60",
        "How long a new active server keeps the state of clients that have not come back, from the end of its recovery on, and how long it keeps that of a client whose connection was lost: temporary queues. What is durable stays.",
    ),
    row(
        "unshared_peer",
        Address,
        "",
        "Extension, unshared state: URL of another server that serves beside this one from a store of its own. Set on both, instead of ft_active, with the same server and password. Clients are told of it to fail over to, and differences of queues, users, groups, permissions and certificates are warned of. With ssl:// it is reached as ft_ssl_* says.",
    ),
    row(
        "ft_takeover",
        Choice(TAKEOVER_WORDS),
        "both",
        "Extension: what must be silent for ft_activation before a standby takes over from an owner that holds its lock: both the link between the servers and the heartbeat in the store, or the link alone.",
    ),
    row(
        "standby_tailing",
        Flag,
        "enabled",
        "Extension: while this server is standby, it reads the active server's journal, so that a takeover reads only the rest.",
    ),
    row(
        "ft_ssl_identity",
        Path,
        "",
        "Certificate that is shown to the peer when ft_active is ssl://; PEM or DER. Needed where the peer has ssl_require_client_cert.",
    ),
    row("ft_ssl_issuer", Path, "", "Issuers of that certificate, which are shown with it.").repeatable(),
    row(
        "ft_ssl_private_key",
        Path,
        "",
        "Its key: PKCS#8, also encrypted (PBES2), PKCS#1 or SEC1; PEM or DER. Not set: it stands in the certificate's file.",
    ),
    row("ft_ssl_password", Password, "", "Password of the key."),
    row("ft_ssl_trusted", Path, "", "Authorities trusted for the peer's certificate; PEM or DER.").repeatable(),
    row(
        "ft_ssl_verify_host",
        Flag,
        "enabled",
        "The peer's certificate must come from one of ft_ssl_trusted. Disabled: any certificate will do, and the log warns.",
    ),
    row(
        "ft_ssl_verify_hostname",
        Flag,
        "enabled",
        "The peer's certificate must have the expected name or address in its subjectAltName.",
    ),
    row("ft_ssl_expected_hostname", Text, "", "The name to expect there. Not set: the host of ft_active."),
    row("ft_ssl_ciphers", Text, "", "Ciphers on the link to the peer; see the table of ciphers."),
];

const TLS: &[Parameter] = &[
    row(
        "ssl_server_identity",
        Path,
        "",
        "Certificate of this server, for ssl:// listens; PEM or DER. Clients look for their URL's host in its subjectAltName.",
    ),
    row(
        "ssl_server_key",
        Path,
        "",
        "Its key: PKCS#8, also encrypted (PBES2), PKCS#1 or SEC1; PEM or DER. Not set: it stands in the certificate's file.",
    ),
    row("ssl_password", Password, "", "Password of the key. It is not asked for at the start."),
    row("ssl_server_issuer", Path, "", "Issuers of the certificate, which are shown with it.").repeatable(),
    row("ssl_server_trusted", Path, "", "Authorities trusted for clients' certificates; PEM or DER.").repeatable(),
    row("ssl_server_ciphers", Text, "", "Ciphers, as OpenSSL names them; see the table of ciphers."),
    row("ssl_dh_size", Choice(&["512", "768", "1024", "2048"]), "1024", "Size of the Diffie-Hellman group, in bits.")
        .accepted("keys are agreed on by elliptic curves only"),
    row("ssl_require_client_cert", Flag, "disabled", "Refuse clients without a certificate of ssl_server_trusted."),
    row("ssl_require_route_cert_only", Flag, "disabled", "Demand certificates of routes only.")
        .accepted("there are no routes"),
    row(
        "ssl_use_cert_username",
        Flag,
        "disabled",
        "A client with a certificate is the user of the certificate's common name, whatever name it logs in with. SASL EXTERNAL means the same and needs no parameter.",
    ),
    row(
        "ssl_cert_user_specname",
        Text,
        "CERTIFICATE_USER",
        "A client with a certificate that logs in with this name is the user of the certificate's common name.",
    ),
    row(
        "ssl_crl_path",
        Path,
        "",
        "Folder of revocation lists for clients' certificates; PEM or DER. Every authority in a client's chain must have one there that is up to date.",
    ),
    row("ssl_crl_update_interval", ANY_TIME, "0", "How often to read them again.")
        .accepted("revocation lists are read again with the certificates, on SIGHUP"),
    row("ssl_auth_only", Flag, "disabled", "TLS for the login only.")
        .accepted("a connection that begins with TLS is encrypted to its end"),
    row("fips140-2", Flag, "disabled", "Validated cryptography only.")
        .refused("this version has no validated cryptography; remove the line"),
];

const STORAGE: &[Parameter] = &[
    row(
        "store_minimum_sync",
        Size(8 * MB, u64::MAX),
        "0",
        "Bytes that stand ready ahead of use in each sync store of the active server; a standby prepares the two segments with which it would begin.",
    ),
    row("store_minimum_async", Size(8 * MB, u64::MAX), "0", "The same for each async store."),
    row("store_minimum_meta", Size(8 * MB, u64::MAX), "0", "The same for $sys.meta."),
    row("store_minimum", Size(8 * MB, u64::MAX), "0", "The same for all stores that have no value of their own."),
    row(
        "segment_size",
        Size(MB, 1024 * MB),
        "64MB",
        "Extension: size of a segment file of a store, for new segments. Rounded up to 4KB.",
    ),
    row(
        "store_defrag_rate",
        Size(64 << 10, 4096 * MB),
        "32MB",
        "Extension: segments of which little is live are emptied by copying their live messages forward, at most so many bytes of them in a second, in each store. 0 = never: one message that nobody takes keeps its segment.",
    ),
    row(
        "async_flush_interval",
        Time(MS, 10_000 * MS),
        "10ms",
        "Extension: an async store writes at least this often. With async_unflushed_max it bounds what a crash loses.",
    ),
    row(
        "async_unflushed_max",
        Size(64 << 10, 4096 * MB),
        "8MB",
        "Extension: an async store admits nothing more while so much is not written yet.",
    ),
    row(
        "debug_sync_delay",
        Time(0, 10_000 * MS),
        "0",
        "Extension, for tests: time added to each sync of a store, to imitate a slow disk.",
    )
    .live(),
    row("store_crc", Flag, "enabled", "Checksums in the store.").accepted("checksums are always on"),
    row("store_truncate", Flag, "disabled", "Shrink store files.")
        .accepted("segments that hold no live message are removed as they die"),
    row("always_exit_on_disk_error", Flag, "enabled", "Leave after any disk error.")
        .accepted("after a failed write the server always gives up the active role"),
];

const MEMORY: &[Parameter] = &[
    row(
        "max_msg_memory",
        Size(8 * MB, u64::MAX),
        "512MB",
        "Memory for message bodies of all stores and of non-persistent messages together. Above it msg_swapping rules. The entries of the queues, 32 bytes a message, are not part of it; when they alone are more, sends are refused. 0 = no limit, as in EMS. The default is that of the tibemsd.conf that EMS ships (EMS itself: 0).",
    )
    .live(),
    row(
        "max_client_msg_size",
        Size(1024, 2048 * MB),
        "0",
        "Largest message that a client may send; 0 = what fits in half a segment.",
    )
    .alias(&["max_message_size"]),
    row(
        "msg_swapping",
        Flag,
        "enabled",
        "At max_msg_memory: enabled drops bodies from memory that are in the store and reads them back, disabled refuses sends. Non-persistent messages cannot be swapped: they are refused at max_msg_memory in either case.",
    ),
    row(
        "destination_backlog_swapout",
        ANY_COUNT,
        "1024",
        "When memory is needed, messages that had more than so many before them in their queue leave it first, the newest first. With max_msg_memory=0 they leave it as soon as they are stored. 0 = all of them.",
    )
    .live(),
    row("reserve_memory", ANY_SIZE, "0", "Memory kept for hard times, in MB.").accepted("memory has fixed bounds"),
    row("max_stat_memory", ANY_SIZE, "64MB", "Memory for statistics.").accepted(NO_STATISTICS),
    row("large_destination_memory", ANY_SIZE, "0", "Size of a queue that is worth an alert.").accepted(NO_STATISTICS),
    row("large_destination_count", ANY_COUNT, "0", "Length of a queue that is worth an alert.").accepted(NO_STATISTICS),
];

const START_UP: &[Parameter] = &[row(
    "startup_abort_list",
    Choices(ABORT_WORDS),
    "",
    "What stops the start and is a warning otherwise: CONFIG_FILES a file that is named and cannot be read, CONFIG_ERRORS an unknown name or something that is there twice, DB_FILES a store folder that is missing or empty (it would become a new store), TRANSPORTS a mistake in transports.conf or tibrvcm.conf, and tibrv_transports or tibftl_transports, since there are no transports. SSL is always in force: what cannot be done securely never starts.",
)];

const LIVENESS: &[Parameter] = &[
    row(
        "server_timeout_client_connection",
        ANY_TIME,
        "0",
        "Silence after which a client's connection is closed; sent to the client as AMQP idle-time-out. 0 = the server's own default of 60 s.",
    ),
    row("client_heartbeat_server", ANY_TIME, "0", "Interval of the clients' heartbeats.")
        .accepted("AMQP clients follow the idle-time-out that server_timeout_client_connection sets"),
    row("server_heartbeat_client", ANY_TIME, "0", "Interval of the heartbeats to clients.")
        .accepted("the server follows the idle-time-out that each AMQP client asks for"),
    row("client_timeout_server_connection", ANY_TIME, "0", "Silence after which a client gives the server up.")
        .accepted("AMQP clients have their own setting"),
    row("server_heartbeat_server", ANY_TIME, "0", "Interval of heartbeats on routes.")
        .accepted("there are no routes; ft_heartbeat rules the pair"),
    row("server_timeout_server_connection", ANY_TIME, "0", "Silence after which a route is given up.")
        .accepted("there are no routes; ft_activation rules the pair"),
];

const BEHAVIOUR: &[Parameter] = &[
    row(
        "npsend_check_mode",
        Choice(&["always", "never", "temp_dest", "auth", "temp_auth"]),
        "",
        "Confirmation of non-persistent sends.",
    )
    .accepted("the AMQP settle mode of each sender decides"),
    row("flow_control", Flag, "disabled", "Slow senders down at the flowControl of a queue.")
        .accepted("link credit bounds senders; flowControl has no effect"),
    row("flow_control_only_with_active_consumer", Flag, "disabled", "Only where there are consumers.")
        .accepted("link credit bounds senders"),
    row("compliant_queue_ack", Flag, "enabled", "Acknowledgements of queue messages survive.")
        .accepted("acknowledgements are always stored"),
    row("disconnect_non_acking_consumers", Flag, "disabled", "Close consumers that acknowledge nothing.")
        .accepted("consumers that acknowledge nothing run out of window"),
    row("track_message_ids", Flag, "disabled", "Index messages by message id.").accepted("messages are not indexed"),
    row("track_correlation_ids", Flag, "disabled", "Index messages by correlation id.")
        .accepted("messages are not indexed"),
];

const STATISTICS: &[Parameter] = &[
    row("statistics", Flag, "disabled", "Keep statistics.").accepted(NO_STATISTICS),
    row("server_rate_interval", Time(1000 * MS, FOREVER), "1", "Interval of the server's rates.")
        .accepted(NO_STATISTICS),
    row("rate_interval", Time(1000 * MS, FOREVER), "3", "Interval of all other rates.").accepted(NO_STATISTICS),
    row(
        "detailed_statistics",
        Choices(&["NONE", "PRODUCERS", "PRODUCER", "CONSUMERS", "CONSUMER", "ROUTES"]),
        "NONE",
        "Statistics per client.",
    )
    .accepted(NO_STATISTICS),
    row("statistics_cleanup_interval", ANY_TIME, "30", "How often to drop old statistics.").accepted(NO_STATISTICS),
];

const LOG: &[Parameter] = &[
    row("logfile", Path, "", "File for the operator's log, besides standard error."),
    row("logfile_max_size", Size(64 << 10, u64::MAX), "0", "Size at which the log is rotated.")
        .accepted("the log is not rotated"),
    row("logfile_max_count", ANY_COUNT, "0", "Rotated logs to keep.").accepted("the log is not rotated"),
    row("log_trace", Text, "DEFAULT", "What goes to the log file.")
        .accepted("everything that the server has to say goes there"),
    row("console_trace", Text, "DEFAULT", "What goes to the console.")
        .accepted("everything that the server has to say goes there"),
    row("client_trace", Text, "", "Tracing of clients.").accepted("clients are not traced"),
];

/// Values of `overflowPolicy`.
pub(crate) const OVERFLOW_WORDS: &[&str] = &["default", "discardOld", "rejectIncoming"];

/// Properties in queues.conf. A property without a value is a flag.
pub const QUEUE: &[Section] = &[("Queue properties", QUEUE_PROPERTIES)];

const QUEUE_PROPERTIES: &[Parameter] = &[
    row(
        "store",
        Text,
        "$sys.nonfailsafe",
        "Store of the messages. Among several patterns the one with most literal elements decides.",
    ),
    row("failsafe", Flag, "disabled", "Older word for store=$sys.failsafe."),
    row("maxmsgs", Count(0, u64::MAX), "0", "Messages that the queue may hold, unsettled ones included; 0 = no limit."),
    row("maxbytes", ANY_SIZE, "0", "Bytes that the queue may hold; 0 = no limit."),
    row(
        "overflowPolicy",
        Choice(OVERFLOW_WORDS),
        "default",
        "At these limits: default and rejectIncoming refuse the new message with amqp:resource-limit-exceeded, discardOld removes the oldest waiting ones.",
    ),
    row(
        "prefetch",
        Text,
        "",
        "Unsettled messages that one consumer may hold, or none for one at a time. Not set, or 0: inherited, and otherwise the consumer's AMQP credit alone decides (EMS: 5, which bounds what its client library fetches ahead).",
    ),
    row(
        "exclusive",
        Flag,
        "disabled",
        "Only the consumer that attached first receives; the next takes over when it leaves.",
    ),
    row(
        "maxRedelivery",
        Count(0, 255),
        "0",
        "Delivery attempts after which a message is removed, 2 to 255; 0 = no limit. Not kept across a restart.",
    ),
    row(
        "expiration",
        ANY_TIME,
        "",
        "Replaces the sender's time to live; 0 = never expires. Seconds, or with msec, sec, min, hour, day.",
    ),
    row("secure", Flag, "disabled", "With `authorization`: only who has the permission in acl.conf may use it."),
    row("global", Flag, "disabled", "Routable.").accepted("there are no routes"),
    row("flowControl", ANY_SIZE, "0", "Backlog at which senders are slowed down; without a value 256KB.")
        .accepted("link credit bounds senders"),
    row("redeliveryDelay", ANY_TIME, "0", "Pause before a redelivery.").accepted("messages are redelivered at once"),
    row("sender_name", Flag, "disabled", "Stamp messages with the sender's user name.")
        .accepted("messages are forwarded as they are"),
    row("sender_name_enforced", Flag, "disabled", "The same, whatever the sender says.")
        .accepted("messages are forwarded as they are"),
    row("trace", Text, "", "Trace messages.").accepted("messages are not traced"),
    row("import", Text, "", "Transports to import from.").accepted("there are no transports"),
];

/// Values of `mode` in stores.conf.
pub(crate) const MODE_WORDS: &[&str] = &["sync", "async"];
/// Values of `type` in stores.conf.
pub(crate) const TYPE_WORDS: &[&str] = &["file", "mstore", "dbstore", "as", "ftl"];

/// Keys of a section of stores.conf.
pub const STORE: &[Section] = &[("Store parameters", STORE_KEYS)];

const STORE_KEYS: &[Parameter] = &[
    row("type", Choice(TYPE_WORDS), "file", "Kind of store; only file exists here.")
        .refused("write type=file; this server has file stores only"),
    row("file", Path, "", "Name inside the store folder; here a folder of segment files."),
    row(
        "mode",
        Choice(MODE_WORDS),
        "async",
        "sync: confirm after the write is durable. async: confirm at once and write soon. $sys.meta is always written sync.",
    ),
    row(
        "file_minimum",
        Size(8 * MB, u64::MAX),
        "0",
        "Bytes that stand ready ahead of use; 0 = store_minimum_sync or store_minimum_async.",
    ),
    row("file_crc", Flag, "enabled", "Checksums.").accepted("checksums are always on"),
    row("file_truncate", Flag, "disabled", "Shrink the file.")
        .accepted("segments that hold no live message are removed as they die"),
    row("file_destination_defrag", ANY_SIZE, "0", "Rewrite a queue's messages side by side.")
        .accepted("store_defrag_rate rules what is copied"),
    row("processor_id", ANY_COUNT, "", "Processor of the store's thread.")
        .accepted("stores have no thread of their own"),
];

/// The row of that name or alias.
pub(crate) fn find(table: &'static [Section], name: &str) -> Option<&'static Parameter> {
    rows(table).find(|row| row.is_called(name))
}

/// All rows of a table.
pub(crate) fn rows(table: &'static [Section]) -> impl Iterator<Item = &'static Parameter> {
    table.iter().flat_map(|(_, rows)| rows.iter())
}
