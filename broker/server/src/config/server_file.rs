//! The main file, as meant, and with it the others through their own modules. Does not know whether they are .conf
//! files or one tibemsd.json.

use super::entry::Entry;
use super::family::{self, SideFile};
use super::findings::{Findings, Spot, Weight};
use super::model::{self, Configuration, Ft, KeptFiles, Listen, Paths, Role, StoreSpec, User};
use super::source::{Source, Text};
use super::tables::{ABORT_WORDS, SERVER};
use super::value::{self, Address};
use super::written::Settings;
use super::{acl, bridges, groups, kept, monitors, queues, stores, tls, users};
use crate::security::password;
use std::path::{Path, PathBuf};

/// Silence after which a client is closed when `server_timeout_client_connection` is not set, in nanoseconds.
const CLIENT_TIMEOUT_DEFAULT: u64 = 60_000_000_000;
/// What the store adds to a message, rounded up generously, in bytes.
const RECORD_BYTES: u64 = 4096;
/// Longest server name, in characters (EMS's limit).
const SERVER_NAME_MAX: usize = 64;

/// Reads everything; what is wrong goes to `findings`. `None` when the main file itself cannot be read.
pub(super) fn load(path: &Path, role: Role, overrides: &[(String, String)], findings: &mut Findings) -> Option<Loaded> {
    let source = Source::open(path, role, findings)?;
    let settings = settings(&source, overrides, findings);
    let abort_on = value::list(settings.text("startup_abort_list"));
    let abort_on = ABORT_WORDS.iter().copied().filter(|word| abort_on.iter().any(|set| set.eq_ignore_ascii_case(word)));
    let abort_on: Vec<&'static str> = abort_on.collect();
    let configuration = Reader { source: &source, role, settings: &settings, findings }.configuration();
    if abort_on.contains(&"DB_FILES") {
        check_store_exists(&configuration, settings.spot("store"), findings);
    }
    Some(Loaded { configuration, abort_on })
}

/// The configuration, and the words of startup_abort_list.
pub(super) struct Loaded {
    pub(super) configuration: Configuration,
    pub(super) abort_on: Vec<&'static str>,
}

/// Where `overrides` stand.
const COMMAND_LINE: &str = "command line";

/// The parameters with what beats them.
pub(super) fn settings(source: &Source, overrides: &[(String, String)], findings: &mut Findings) -> Settings {
    let mut settings = Settings::new(SERVER, Spot::new(source.path(), 0));
    source.server().iter().for_each(|property| settings.take(property, findings));
    for (name, value) in overrides {
        settings.replace(Spot::new(Path::new(COMMAND_LINE), 0), name, value, findings);
    }
    settings
}

/// Turns settings into meaning.
struct Reader<'r> {
    source: &'r Source,
    role: Role,
    settings: &'r Settings,
    findings: &'r mut Findings,
}

impl Reader<'_> {
    fn configuration(mut self) -> Configuration {
        let settings = self.settings;
        let listens = self.listens();
        let monitor_listens = monitors::listens(settings, self.findings);
        let ft = self.ft(&listens);
        let unshared_peer = self.unshared_peer(&listens, ft.is_some());
        let tls_peer = model::tls_peer(ft.as_ref(), unshared_peer.as_ref()).map(str::to_owned);
        let (stores, meta) = self.stores();
        let queues = match self.source.entries(family::QUEUES, settings, self.findings) {
            Some(entries) => queues::read(&entries, &stores, self.findings),
            None => self.no_queues(),
        };
        let authorization = settings.flag("authorization");
        let users = self.users(authorization, ft.is_some() || unshared_peer.is_some());
        self.check_login_between(authorization, ft.as_ref(), unshared_peer.as_ref());
        let groups = self.text("groups");
        let groups = groups.parse(self.findings, |path, text, findings| groups::parse(path, text, &users, findings));
        let acl = self.text("acl_list");
        let acl = acl.parse(self.findings, |path, text, findings| acl::parse(path, text, &users, &groups, findings));
        let segment_bytes = settings.bytes("segment_size").next_multiple_of(4096);
        Configuration {
            file: self.source.path().to_owned(),
            paths: Paths {
                users: self.source.resolve("users", settings),
                groups: self.source.resolve("groups", settings),
                queues: self.source.resolve("queues", settings),
                acl: self.source.resolve("acl_list", settings),
            },
            role: self.role,
            server: self.server_name(),
            password: settings.text("password").to_owned(),
            failover_list: self.failover_list(&listens, ft.as_ref(), unshared_peer.as_ref()),
            unshared_peer,
            authorization,
            users,
            groups,
            acl,
            plain_without_tls: settings.flag("allow_plain_without_tls"),
            queues,
            kept: self.kept(&stores),
            default_store: stores::DEFAULT,
            store_folder: self.resolve("store"),
            stores,
            meta,
            ft_activation_ns: settings.nanos("ft_activation"),
            ft_heartbeat_ns: settings.nanos("ft_heartbeat"),
            ft_reconnect_ns: settings.nanos("ft_reconnect_timeout"),
            tls: tls::settings(settings, self.source.path(), &listens, tls_peer.as_deref(), self.findings),
            listens,
            monitor_listens,
            ft,
            logfile: settings.is_set("logfile").then(|| self.resolve("logfile")),
            debug_sync_delay_ns: settings.nanos("debug_sync_delay"),
            segment_bytes,
            async_flush_interval_ns: settings.nanos("async_flush_interval"),
            async_unflushed_max: settings.bytes("async_unflushed_max"),
            message_bytes_max: self.message_bytes_max(segment_bytes),
            defrag_bytes_per_s: settings.bytes_or_none("store_defrag_rate"),
            standby_tailing: settings.flag("standby_tailing"),
            message_memory_max: settings.bytes_or_none("max_msg_memory"),
            swapping: settings.flag("msg_swapping"),
            swapout: settings.count("destination_backlog_swapout"),
            processor_ids: self.processor_ids(),
            connections_max: u32::try_from(settings.count("max_connections")).expect("the row has that range"),
            handshake_timeout_ns: settings.nanos("handshake_timeout"),
            client_timeout_ns: or_default(settings.nanos("server_timeout_client_connection"), CLIENT_TIMEOUT_DEFAULT),
        }
    }

    /// A path of the file, relative to the folder of the file.
    fn resolve(&self, name: &str) -> PathBuf {
        self.source.resolve(name, self.settings)
    }

    /// There is no queues.conf.
    fn no_queues<T>(&mut self) -> Vec<T> {
        if !self.settings.is_set("queues") {
            let spot = self.source.spot("queues", self.settings);
            let remedy = "create it with at least one line, for example '>' to allow every queue";
            self.findings.add(Weight::Doubt, &spot, "queues", "does not exist: there are no queues", remedy);
        }
        Vec::new()
    }

    /// The files of which nothing comes yet.
    fn kept(&mut self, stores: &[StoreSpec]) -> KeptFiles {
        let mark = self.findings.mark();
        let transports = self.entries(family::TRANSPORTS);
        let transports = kept::transports(&transports, self.findings);
        let listeners = self.entries(family::LISTENERS);
        let listeners = kept::listeners(&listeners, &transports, self.findings);
        self.findings.soften(mark, Weight::Transport);
        let [topics, durables] = [family::TOPICS, family::DURABLES].map(|file| self.entries(file));
        let [factories, routes, channels] =
            [family::FACTORIES, family::ROUTES, family::CHANNELS].map(|file| self.entries(file));
        let bridges = self.source.bridges(self.settings, self.findings).unwrap_or_default();
        KeptFiles {
            topics: kept::topics(&topics, stores, self.findings),
            durables: kept::durables(&durables, self.findings),
            bridges: bridges::read(&bridges, self.findings),
            factories: kept::with_url(family::FACTORIES, &factories, self.findings),
            routes: kept::with_url(family::ROUTES, &routes, self.findings),
            channels: kept::channels(&channels, self.findings),
            transports,
            listeners,
        }
    }

    /// The lines of a file that may be missing.
    fn text(&mut self, name: &str) -> Text {
        self.source.text(name, self.settings, self.findings).unwrap_or_default()
    }

    /// The entries of a file that may be missing.
    fn entries(&mut self, file: &SideFile) -> Vec<Entry> {
        self.source.entries(file, self.settings, self.findings).unwrap_or_default()
    }

    fn processor_ids(&self) -> Vec<usize> {
        let ids = value::list(self.settings.text("processor_ids"));
        ids.into_iter().map(|id| value::count(id).expect("checked when it was set") as usize).collect()
    }

    fn server_name(&mut self) -> String {
        let name = self.settings.text("server");
        if name.chars().count() > SERVER_NAME_MAX {
            let message = format!("is longer than {SERVER_NAME_MAX} characters");
            self.findings.error(self.settings.spot("server"), "server", message, "choose a shorter name");
        }
        name.to_owned()
    }

    fn listens(&mut self) -> Vec<Listen> {
        let mut listens: Vec<Listen> = Vec::new();
        for setting in self.settings.texts("listen") {
            let Address { host, port, tls } = value::address(&setting.text).expect("checked when it was set");
            let listen = Listen { host, port, tls };
            if port != 0 && listens.contains(&listen) {
                let message = format!("{} is listened on already", setting.text);
                self.findings.error(&setting.spot, "listen", message, "remove one of the two lines");
            }
            listens.push(listen);
        }
        listens
    }

    fn ft(&mut self, listens: &[Listen]) -> Option<Ft> {
        let settings = self.settings;
        let (heartbeat_ns, activation_ns) = (settings.nanos("ft_heartbeat"), settings.nanos("ft_activation"));
        if activation_ns < 2 * heartbeat_ns {
            let name = if settings.is_set("ft_activation") { "ft_activation" } else { "ft_heartbeat" };
            let message = format!(
                "ft_activation ({}) is less than twice ft_heartbeat ({})",
                settings.text("ft_activation"),
                settings.text("ft_heartbeat")
            );
            let remedy = "raise ft_activation, so that one late heartbeat is not taken for a dead server";
            self.findings.error(settings.spot(name), name, message, remedy);
        }
        if !settings.is_set("ft_active") {
            return None;
        }
        let peer_url = settings.text("ft_active").to_owned();
        let peer = value::address(&peer_url).expect("checked when it was set");
        self.check_peer("ft_active", &peer, listens);
        Some(Ft {
            peer_url,
            peer_host: if peer.host.is_empty() { "localhost".to_owned() } else { peer.host },
            peer_port: peer.port,
            peer_tls: peer.tls,
            heartbeat_ns,
            activation_ns,
            takeover_by_link: settings.text("ft_takeover").eq_ignore_ascii_case("link"),
        })
    }

    /// The other server where each has a store of its own.
    fn unshared_peer(&mut self, listens: &[Listen], is_pair: bool) -> Option<Listen> {
        const NAME: &str = "unshared_peer";
        if !self.settings.is_set(NAME) {
            return None;
        }
        let peer = value::address(self.settings.text(NAME)).expect("checked when it was set");
        self.check_peer(NAME, &peer, listens);
        if is_pair {
            let remedy = "remove ft_active where each server has a store of its own, otherwise unshared_peer";
            self.findings.error(self.settings.spot(NAME), NAME, "cannot be set together with ft_active", remedy);
        }
        let host = if peer.host.is_empty() { "localhost".to_owned() } else { peer.host };
        Some(Listen { host, port: peer.port, tls: peer.tls })
    }

    fn check_peer(&mut self, name: &str, peer: &Address, listens: &[Listen]) {
        let spot = self.settings.spot(name);
        if peer.port == 0 {
            self.findings.error(spot, name, "has no port", "name the port that the other server listens on");
        }
        let is_own = |listen: &&Listen| {
            let same_host = listen.host == peer.host || (is_this_host(&listen.host) && is_this_host(&peer.host));
            listen.port == peer.port && same_host
        };
        if peer.port != 0 && listens.iter().any(|listen| is_own(&listen)) {
            let remedy = "name the URL of the other server of the pair";
            self.findings.error(spot, name, "names this server itself", remedy);
        }
    }

    fn stores(&mut self) -> (Vec<StoreSpec>, StoreSpec) {
        let entries = self.entries(family::STORES);
        let minimum = |name: &str| {
            let own = self.settings.bytes(name);
            or_default(own, self.settings.bytes("store_minimum"))
        };
        let minimums = stores::Minimums {
            sync: minimum("store_minimum_sync"),
            r#async: minimum("store_minimum_async"),
            meta: minimum("store_minimum_meta"),
        };
        stores::read(&entries, minimums, self.findings)
    }

    fn users(&mut self, authorization: bool, paired: bool) -> Vec<User> {
        let text = self.source.text("users", self.settings, self.findings);
        let spot = self.source.spot("users", self.settings);
        if text.is_none() && authorization {
            let remedy = "create it, or set authorization = disabled";
            self.findings.error(&spot, "users", "cannot be read, and authorization is enabled", remedy);
        }
        let users = text.unwrap_or_default().parse(self.findings, users::parse);
        let (server, own) = (self.settings.text("server"), self.settings.text("password"));
        let is_known = users.iter().any(|user| user.name == server && password::matches(&user.password, own));
        if authorization && paired && !is_known {
            let message = format!("has no user '{server}' with the password of tibemsd.conf: the peer cannot log in");
            let remedy = format!("add a line {server}:password:the servers of the pair");
            self.findings.error(&spot, "users", message, remedy);
        }
        users
    }

    /// Two servers that cannot tell each other a password never become a pair.
    fn check_login_between(&mut self, authorization: bool, ft: Option<&Ft>, unshared: Option<&Listen>) {
        let settings = self.settings;
        let ft = ft.map(|ft| ("ft_active", ft.peer_tls, &ft.peer_host));
        let other = ft.or_else(|| unshared.map(|other| ("unshared_peer", other.tls, &other.host)));
        let public = other.filter(|(_, is_tls, host)| !is_tls && !is_this_host(host));
        if let Some((name, ..)) = public.filter(|_| authorization && !settings.flag("allow_plain_without_tls")) {
            let message = "passwords are not taken from a network connection without TLS: the servers cannot log in to each other";
            let remedy = "write ssl://, or set allow_plain_without_tls = enabled";
            self.findings.add(Weight::Doubt, settings.spot(name), name, message, remedy);
        }
    }

    /// A message is never split over segments, and half of one is the most that the store writes at once.
    fn message_bytes_max(&mut self, segment_bytes: u64) -> u64 {
        let room = segment_bytes / 2 - RECORD_BYTES;
        let wanted = self.settings.bytes("max_client_msg_size");
        if wanted > room {
            let message = format!("is more than fits in half a segment ({room} bytes)");
            let name = "max_client_msg_size";
            self.findings.error(self.settings.spot(name), name, message, "lower it, or raise segment_size");
        }
        or_default(wanted, room)
    }

    fn failover_list(&self, listens: &[Listen], ft: Option<&Ft>, unshared: Option<&Listen>) -> Vec<String> {
        let told = value::list(self.settings.text("client_urls"));
        if !told.is_empty() {
            return told.into_iter().map(|url| value::client_url(url).expect("checked when it was set")).collect();
        }
        let own = listens.iter().take(1).map(|listen| url(&listen.host, listen.port, listen.tls));
        let peer = ft.into_iter().map(|ft| url(&ft.peer_host, ft.peer_port, ft.peer_tls));
        let unshared = unshared.into_iter().map(|other| url(&other.host, other.port, other.tls));
        own.chain(peer).chain(unshared).collect()
    }
}

/// An unmounted disk must not become an empty broker.
fn check_store_exists(configuration: &Configuration, spot: &Spot, findings: &mut Findings) {
    let meta = configuration.store_folder.join(&configuration.meta.file);
    if !meta.exists() {
        let message = format!("there is no store: {} does not exist", meta.display());
        let remedy = "mount the folder; for the very first start add --set startup_abort_list=";
        findings.error(spot, "store", message, remedy);
    }
}

fn or_default(value: u64, default: u64) -> u64 {
    if value == 0 { default } else { value }
}

pub(super) fn is_this_host(host: &str) -> bool {
    let is_loopback = |address: std::net::IpAddr| address.is_loopback();
    ["", "localhost", "0.0.0.0", "::"].contains(&host) || host.parse().is_ok_and(is_loopback)
}

/// A URL for clients. A listen on all addresses is told by the machine's name, as EMS does.
fn url(host: &str, port: u16, tls: bool) -> String {
    let scheme = if tls { "amqps" } else { "amqp" };
    let host = match host {
        "" | "0.0.0.0" | "::" => machine_name(),
        host if host.contains(':') => format!("[{host}]"),
        host => host.to_owned(),
    };
    format!("{scheme}://{host}:{port}")
}

fn machine_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "localhost".to_owned() } else { name.to_owned() }
}
