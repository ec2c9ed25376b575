//! The configuration as meant: checked, in base units, with absolute paths. Knows no file syntax.

use super::permission::{Permissions, Scope};
use engine::QueueDefinition;
use std::path::PathBuf;

/// Everything that the server must know at start.
#[derive(Clone, Debug)]
pub struct Configuration {
    /// The main file, absolute.
    pub file: PathBuf,
    /// The other files that administrators' commands change, absolute.
    pub paths: Paths,
    /// Which of the two servers of a tibemsd.json this is.
    pub role: Role,
    /// `server`: the name that both servers of a pair share.
    pub server: String,
    /// `password` for the FT link.
    pub password: String,
    /// `listen`, at least one.
    pub listens: Vec<Listen>,
    /// `monitor_listen` and each `health_check_listen`; `tls` is never set.
    pub monitor_listens: Vec<Listen>,
    /// `authorization`.
    pub authorization: bool,
    /// users.conf; `admin` always exists.
    pub users: Vec<User>,
    /// groups.conf, without the group `all`, which exists by itself.
    pub groups: Vec<Group>,
    /// acl.conf, in file order.
    pub acl: Vec<AclEntry>,
    /// `allow_plain_without_tls`: passwords are taken from connections that are neither TLS nor loopback.
    pub plain_without_tls: bool,
    /// queues.conf, in file order. [`QueueDefinition::store`] is an index into `stores`.
    pub queues: Vec<QueueSpec>,
    /// What is read and checked and of which nothing comes yet.
    pub kept: KeptFiles,
    /// Index into `stores` of the store for queues without `store=`: `$sys.nonfailsafe`.
    pub default_store: u8,
    /// `store`: folder of the store files.
    pub store_folder: PathBuf,
    /// The message stores; a position here is the [`engine::StoreId`].
    pub stores: Vec<StoreSpec>,
    /// `$sys.meta`.
    pub meta: StoreSpec,
    /// `ft_*`; `None` = standalone.
    pub ft: Option<Ft>,
    /// `ft_activation` also where there is no peer: an owner's silence after which a claim is tried; nanoseconds.
    pub ft_activation_ns: u64,
    /// `ft_heartbeat` also where there is no peer: the on-disk heartbeat; nanoseconds.
    pub ft_heartbeat_ns: u64,
    /// `unshared_peer`: the server beside this one that has a store of its own.
    pub unshared_peer: Option<Listen>,
    /// `ft_reconnect_timeout`: how long the temporary queues of a lost client are kept, nanoseconds.
    pub ft_reconnect_ns: u64,
    /// `ssl_*` and `ft_ssl_*`.
    pub tls: TlsSettings,
    /// `logfile`.
    pub logfile: Option<PathBuf>,
    /// `client_urls`: URLs that clients are told to fail over to, in order (AMQP scheme).
    pub failover_list: Vec<String>,
    /// `debug_sync_delay`: nanoseconds added to each sync.
    pub debug_sync_delay_ns: u64,
    /// `segment_size`: bytes of a new segment file.
    pub segment_bytes: u64,
    /// `async_flush_interval`, nanoseconds.
    pub async_flush_interval_ns: u64,
    /// `async_unflushed_max`, bytes.
    pub async_unflushed_max: u64,
    /// `max_client_msg_size`, bytes; never more than half a segment.
    pub message_bytes_max: u64,
    /// `store_defrag_rate`: bytes a second that are copied out of sparse segments; 0 = none.
    pub defrag_bytes_per_s: u64,
    /// `standby_tailing`: the standby reads the active server's journal.
    pub standby_tailing: bool,
    /// `max_msg_memory`: bytes for message bodies in memory; 0 = no limit.
    pub message_memory_max: u64,
    /// `msg_swapping`: bodies that are stored leave memory at that limit; otherwise sends are refused.
    pub swapping: bool,
    /// `destination_backlog_swapout`: messages of a queue that are the last to leave memory.
    pub swapout: u64,
    /// `processor_ids`: processors of the loop; empty = any.
    pub processor_ids: Vec<usize>,
    /// `max_connections`; 0 = no limit.
    pub connections_max: u32,
    /// `handshake_timeout`, nanoseconds.
    pub handshake_timeout_ns: u64,
    /// `server_timeout_client_connection`, nanoseconds of silence after which a client is closed.
    pub client_timeout_ns: u64,
}

impl Configuration {
    /// Read from a tibemsd.json, which both servers of a pair share.
    pub fn is_json(&self) -> bool {
        self.file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"))
    }

    /// The other server's host, where it is reached by `ssl://`.
    pub fn tls_peer(&self) -> Option<&str> {
        tls_peer(self.ft.as_ref(), self.unshared_peer.as_ref())
    }
}

/// The host in `ft_active` or `unshared_peer`, where that is an `ssl://` URL.
pub(super) fn tls_peer<'c>(ft: Option<&'c Ft>, unshared: Option<&'c Listen>) -> Option<&'c str> {
    let ft = ft.filter(|ft| ft.peer_tls).map(|ft| ft.peer_host.as_str());
    ft.or_else(|| unshared.filter(|other| other.tls).map(|other| other.host.as_str()))
}

/// Files that a tibemsd.conf names, whether they exist or not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Paths {
    /// `users`.
    pub users: PathBuf,
    /// `groups`.
    pub groups: PathBuf,
    /// `queues`.
    pub queues: PathBuf,
    /// `acl_list`.
    pub acl: PathBuf,
}

/// Which server of a tibemsd.json is meant; a tibemsd.conf is of one server, which is its primary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// The one of `primary_listens`.
    #[default]
    Primary,
    /// The one of `secondary_listens`.
    Secondary,
}

/// The files that are read and checked and of which nothing comes yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeptFiles {
    /// topics.conf.
    pub topics: Vec<Kept>,
    /// durables.conf: the name is the topic's, the durable's is the property `name`.
    pub durables: Vec<Kept>,
    /// bridges.conf.
    pub bridges: Vec<Bridge>,
    /// factories.conf.
    pub factories: Vec<Kept>,
    /// routes.conf.
    pub routes: Vec<Kept>,
    /// transports.conf.
    pub transports: Vec<Kept>,
    /// tibrvcm.conf: the name is the transport's.
    pub listeners: Vec<Kept>,
    /// channels.conf.
    pub channels: Vec<Kept>,
}

/// One entry of such a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its name.
    pub name: String,
    /// What was set, by name, as written.
    pub properties: Vec<(String, String)>,
    /// Line in its file.
    pub line: usize,
}

/// One section of bridges.conf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bridge {
    /// Where messages come from; may be a pattern.
    pub source: Destination,
    /// Where they go as well.
    pub targets: Vec<BridgeTarget>,
    /// Line in bridges.conf.
    pub line: usize,
}

/// One target of a bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BridgeTarget {
    /// Where messages go.
    pub destination: Destination,
    /// Which messages; `None` = all.
    pub selector: Option<String>,
}

/// A topic or a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// A topic, by name.
    Topic(String),
    /// A queue, by name.
    Queue(String),
}

impl Destination {
    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Destination::Topic(name) | Destination::Queue(name) => name,
        }
    }
}

/// One `listen` URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Host name or address; empty = all.
    pub host: String,
    /// Port.
    pub port: u16,
    /// `ssl://`.
    pub tls: bool,
}

/// One line of users.conf.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// Login name.
    pub name: String,
    /// Password, as written: empty = none, a hash (`$argon2id$...`), or in the clear.
    pub password: String,
    /// Free text.
    pub description: String,
}

impl std::fmt::Debug for User {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let User { name, password, description } = self;
        let password = if password.is_empty() { "none" } else { "set" };
        write!(formatter, "User {{ name: {name:?}, password: {password}, description: {description:?} }}")
    }
}

/// One group of groups.conf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Name; `$admin` are the administrators.
    pub name: String,
    /// Free text.
    pub description: String,
    /// Names of users.
    pub members: Vec<String>,
    /// Line of the header in groups.conf; 0 = made while running.
    pub line: usize,
}

/// One line of acl.conf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AclEntry {
    /// What it is about.
    pub target: AclTarget,
    /// Who is granted something.
    pub principal: Principal,
    /// What is granted; never nothing.
    pub permissions: Permissions,
    /// Line in acl.conf; 0 = made while running.
    pub line: usize,
}

/// What a permission is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AclTarget {
    /// A queue, or a pattern of queues.
    Queue(String),
    /// A topic, or a pattern of topics.
    Topic(String),
    /// The server.
    Admin,
}

impl AclTarget {
    /// Its kind.
    pub fn scope(&self) -> Scope {
        match self {
            AclTarget::Queue(_) => Scope::Queue,
            AclTarget::Topic(_) => Scope::Topic,
            AclTarget::Admin => Scope::Admin,
        }
    }
}

/// Who has a permission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Principal {
    /// One user.
    User(String),
    /// All members of a group.
    Group(String),
}

/// One line of queues.conf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueSpec {
    /// What the engine takes.
    pub definition: QueueDefinition,
    /// `secure`: permissions are checked.
    pub secure: bool,
    /// Line in queues.conf.
    pub line: usize,
}

/// When a store confirms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// After the write is durable and checked.
    Sync,
    /// On admission.
    Async,
}

/// One section of stores.conf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreSpec {
    /// Name, as in `[name]`.
    pub name: String,
    /// File name relative to the store folder.
    pub file: String,
    /// `mode`.
    pub mode: Mode,
    /// `file_minimum`, or `store_minimum_*` of its kind: bytes kept zero-filled ahead of use.
    pub minimum_bytes: u64,
}

/// Fault tolerance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ft {
    /// `ft_active`, as written: the other server.
    pub peer_url: String,
    /// Its host.
    pub peer_host: String,
    /// Its port.
    pub peer_port: u16,
    /// `ssl://`.
    pub peer_tls: bool,
    /// `ft_heartbeat`, nanoseconds.
    pub heartbeat_ns: u64,
    /// `ft_activation`, nanoseconds.
    pub activation_ns: u64,
    /// `ft_takeover=link`: silence of the link alone is enough.
    pub takeover_by_link: bool,
}

/// A certificate, its key and whom to trust: `ssl_*` of the accepting side, or `ft_ssl_*` of the connecting one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// The own certificate.
    pub identity: Option<PathBuf>,
    /// Its key; without it the key stands in the certificate's file.
    pub key: Option<PathBuf>,
    /// The key's password; empty = not encrypted.
    pub password: String,
    /// The certificate's issuers, which are shown with it.
    pub issuers: Vec<PathBuf>,
    /// Authorities whose certificates are accepted.
    pub trusted: Vec<PathBuf>,
    /// A list of ciphers as OpenSSL writes it; empty = all.
    pub ciphers: String,
}

/// TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsSettings {
    /// `ssl_*`: for those who connect to an `ssl://` listen.
    pub accepting: TlsFiles,
    /// `ssl_require_client_cert`.
    pub require_client_cert: bool,
    /// `ssl_use_cert_username`: a client's name is that of its certificate.
    pub use_cert_username: bool,
    /// `ssl_cert_user_specname`: so is the name of a client that says it is this user.
    pub cert_user_specname: String,
    /// `ssl_crl_path`: folder of revocation lists for clients' certificates.
    pub crl_path: Option<PathBuf>,
    /// `ft_ssl_*`: for the link to an `ssl://` peer.
    pub connecting: TlsFiles,
    /// `ft_ssl_verify_host`: the peer's certificate must come from a trusted authority.
    pub verify_host: bool,
    /// `ft_ssl_verify_hostname`: and have the peer's name.
    pub verify_hostname: bool,
    /// `ft_ssl_expected_hostname`: that name, where it is not the host of `ft_active`.
    pub expected_hostname: Option<String>,
}
