//! From the command line to a running server.
//!
//! Owns the order of start-up and the exit codes. Each failure is told in words that name file, parameter or address and the remedy.

use crate::admin::Admin;
use crate::broker::{Broker, Parts};
use crate::budget::Budget;
use crate::clock::WallClock;
use crate::config::{self, Configuration, Diagnostic, Listen, Mode, Severity, StoreSpec};
use crate::exchange::{Exchange, STORES_MAX};
use crate::ha::{Ha, HaConfig};
use crate::log::Log;
use crate::login::Logins;
use crate::monitor::{Monitor, Publisher, metrics_help};
use crate::options::{Command, Options};
use crate::processors;
use crate::reread::Source;
use crate::store_check;
use crate::temporary::TemporaryQueues;
use crate::tls;
use crate::unshared::Unshared;
use anyhow::{Context, anyhow, bail};
use engine::{Engine, StoreId, Stores};
use reactor::{ListenerId, Reactor, SetupError};
use std::ffi::OsString;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, ToSocketAddrs};
use std::time::{Duration, Instant};
use store::{Store, StoreConfig};

/// Exit code of a server that could not start.
const EXIT_START: i32 = 1;

/// How long a port in use is tried again.
const PORT_PATIENCE: Duration = Duration::from_secs(2);

/// The broker as a program: `arguments` begin with the program's name. Returns the exit code of the process.
pub fn run(arguments: impl Iterator<Item = OsString>) -> i32 {
    run_on(arguments, || Reactor::uring(reactor::Config::default()))
}

/// The same on a reactor that the caller makes, on the thread that shall hold it.
pub fn run_on(arguments: impl Iterator<Item = OsString>, reactor: impl FnOnce() -> Result<Reactor, SetupError>) -> i32 {
    let options = match Options::read(arguments) {
        Ok(options) => options,
        Err(error) => {
            // Nowhere to report that the terminal is gone.
            let _ = error.print();
            return if error.use_stderr() { EXIT_START } else { 0 };
        }
    };
    if let Some(Command::StoreCheck { folder, json }) = &options.command {
        return store_check::run(folder, *json);
    }
    if options.help_parameters {
        print!("{}", config::parameters_help());
        return 0;
    }
    if options.help_metrics {
        print!("{}", metrics_help());
        return 0;
    }
    for option in options.without_effect() {
        eprintln!("command line: {option} is accepted, not acted upon: why a TLS handshake failed is always logged");
    }
    let loaded = config::load_as(options.role(), &options.config, &options.all_overrides(), options.check);
    let (configuration, remarks) = match loaded {
        Ok(loaded) => loaded,
        Err(remarks) => {
            print_remarks(&remarks);
            return EXIT_START;
        }
    };
    print_remarks(&remarks);
    if options.check {
        let notes = remarks.iter().filter(|remark| remark.severity == Severity::Note).count();
        let warnings = remarks.len() - notes;
        println!("{}: {notes} accepted, not acted upon; {warnings} warnings, no errors", options.config.display());
        return 0;
    }
    match serve(reactor, configuration, &options) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("broker: {error:#}");
            EXIT_START
        }
    }
}

fn print_remarks(remarks: &[Diagnostic]) {
    for remark in remarks {
        eprintln!("{remark}");
    }
    let errors = remarks.iter().filter(|remark| remark.severity == Severity::Error).count();
    if errors > 0 {
        let warnings = remarks.iter().filter(|remark| remark.severity == Severity::Warning).count();
        eprintln!("{errors} errors, {warnings} warnings");
    }
}

fn serve(
    reactor: impl FnOnce() -> Result<Reactor, SetupError>,
    configuration: Configuration,
    options: &Options,
) -> anyhow::Result<i32> {
    let mut reactor = reactor()?;
    let keeper = reactor::keep_memory();
    reactor.watch_signals().context("signals cannot be watched")?;
    let mut log = Log::start(configuration.logfile.as_deref()).with_context(|| {
        let file = configuration.logfile.as_deref().unwrap_or_else(|| std::path::Path::new(""));
        format!("logfile {} cannot be opened; make its folder, or change the parameter logfile", file.display())
    })?;
    if let Err(error) = keeper {
        log.line(format!(
            "no process can be started to keep the memory ({error}): if killed, this server closes its connections late"
        ));
    }
    let listeners = listen(&mut reactor, &configuration, &mut log)?;
    // Only now, with signals blocked; ends with this function.
    let monitor = start_monitor(&configuration, &mut log)?;
    let peer_address = match &configuration.ft {
        Some(ft) => Some(resolve(&ft.peer_host, ft.peer_port).context("parameter ft_active")?),
        None => None,
    };
    let unshared_address = match &configuration.unshared_peer {
        Some(other) => Some(resolve(&other.host, other.port).context("parameter unshared_peer")?),
        None => None,
    };
    let clock = WallClock::from_system(reactor.now());
    let source =
        Some(Source { role: options.role(), path: options.config.clone(), overrides: options.all_overrides() });
    let start =
        Start { random: random()?, listeners, peer_address, unshared_address, source, options: options.into(), clock };
    let processor_ids = configuration.processor_ids.clone();
    let mut broker = assemble(configuration, reactor, log, start)?;
    broker.share_descriptors(reactor::raise_descriptor_limit().context("the limit of open files cannot be read")?);
    let _monitor = monitor.map(|(monitor, publisher)| {
        broker.publish_to(publisher);
        monitor
    });
    processors::bind(&processor_ids).with_context(|| {
        let count = std::thread::available_parallelism().map_or(0, usize::from);
        format!("processor_ids={processor_ids:?}: the loop cannot be bound to them; this process may use {count} processors, counted from 0")
    })?;
    broker.start();
    Ok(broker.run()?)
}

/// What a start knows beside the configuration.
#[derive(Debug)]
pub struct Start {
    /// Fresh for each start of a process.
    pub random: u128,
    /// Where clients connect.
    pub listeners: Vec<ListenerId>,
    /// The other server.
    pub peer_address: Option<SocketAddr>,
    /// The server beside this one that has a store of its own.
    pub unshared_address: Option<SocketAddr>,
    /// Where the configuration comes from: its object files are read again at activation.
    pub source: Option<Source>,
    /// What the operator allows.
    pub options: StoreOptions,
    /// The time of day.
    pub clock: WallClock,
}

/// What the operator allows at this start.
#[derive(Clone, Copy, Debug, Default)]
pub struct StoreOptions {
    /// `--force-start`.
    pub force_start: bool,
    /// `--create-store`.
    pub create_store: bool,
}

impl From<&Options> for StoreOptions {
    fn from(options: &Options) -> Self {
        StoreOptions { force_start: options.force_start, create_store: options.create_store }
    }
}

/// Joins the parts of one server.
///
/// # Errors
/// The configuration asks for more than there is room for.
pub fn assemble(
    configuration: Configuration,
    mut reactor: Reactor,
    mut log: Log,
    start: Start,
) -> anyhow::Result<Broker> {
    if configuration.stores.len() > STORES_MAX {
        bail!("stores.conf defines {} stores, at most {STORES_MAX} are supported", configuration.stores.len());
    }
    let now = reactor.now();
    log.line(format!(
        "Understudy {}, server '{}', process {}, store {}",
        env!("CARGO_PKG_VERSION"),
        configuration.server,
        std::process::id(),
        configuration.store_folder.display()
    ));
    if !configuration.authorization {
        log.line("authorization is disabled: every client is accepted, whatever its name and password");
    }
    let tls = tls::read(&configuration).map_err(|problems| anyhow!("{}", tls::list(&problems)))?;
    for remark in &tls.remarks {
        log.line(remark.clone());
    }
    let listens = configuration.listens.iter().zip(&start.listeners);
    let tls_listeners = listens.filter(|(listen, _)| listen.tls).map(|(_, id)| *id).collect();
    let sync: Vec<bool> = configuration.stores.iter().map(|store| store.mode == Mode::Sync).collect();
    let store_config = store_config(&configuration, start.options);
    store_config.check().context("the stores cannot be set up as tibemsd.conf and stores.conf say")?;
    let store = Store::new(store_config, start.random, reactor::buffer::aligned);
    let budget = Budget {
        bytes_max: configuration.message_memory_max,
        swapping: configuration.swapping,
        swapout: configuration.swapout,
    };
    let exchange = Exchange::new(engine(&configuration, &sync), store, sync, budget);
    let logins = Logins::start(&mut reactor).context("the threads that compare passwords cannot be started")?;
    let admin =
        Admin::start(&mut reactor, &configuration).context("the thread for administration cannot be started")?;
    let ha = Ha::new(ha_config(&configuration), start.random as u64, now);
    let server = configuration.server.clone();
    Ok(Broker::new(Parts {
        clock: start.clock,
        configuration,
        reactor,
        exchange,
        ha,
        log,
        peer_address: start.peer_address,
        source: start.source,
        unshared: Unshared::new(start.unshared_address),
        temporary: TemporaryQueues::new(&server, (start.random >> 64) as u64),
        listeners: start.listeners,
        tls_listeners,
        tls,
        logins,
        admin,
    }))
}

fn engine(configuration: &Configuration, sync: &[bool]) -> Engine {
    let definitions = configuration.queues.iter().map(|queue| queue.definition.clone()).collect();
    let sync = (0..sync.len()).filter(|index| sync[*index]).map(|index| StoreId(index as u8)).collect();
    Engine::new(definitions, Stores { default: StoreId(configuration.default_store), sync })
}

fn ha_config(configuration: &Configuration) -> HaConfig {
    let ft = configuration.ft.as_ref();
    HaConfig {
        peer_url: ft.map(|ft| ft.peer_url.clone()),
        heartbeat: configuration.ft_heartbeat_ns,
        activation: configuration.ft_activation_ns,
        takeover_by_link: ft.is_some_and(|ft| ft.takeover_by_link),
        lock_file: configuration.meta.file.clone(),
        server: configuration.server.clone(),
        process_id: std::process::id(),
    }
}

/// A segment of the metadata has this share of a store's: a record there stands for a segment here.
const META_SEGMENT_SHARE: u64 = 16;
/// Journal writes in flight where a write takes long; all of them together may have half a segment.
const WRITES_IN_FLIGHT_MAX: usize = 4;

/// What a store accepts with one write in flight.
const META_SEGMENT_BYTES_MIN: u64 = 16 << 10;

fn store_config(configuration: &Configuration, options: StoreOptions) -> store::Config {
    let one = |spec: &StoreSpec| StoreConfig {
        name: spec.name.clone(),
        file: spec.file.clone(),
        mode: match spec.mode {
            Mode::Sync => store::Mode::Sync,
            Mode::Async => store::Mode::Async,
        },
        minimum_bytes: spec.minimum_bytes,
    };
    let defaults =
        store::Config::new(configuration.store_folder.clone(), configuration.stores.iter().map(one).collect());
    store::Config {
        meta_file: configuration.meta.file.clone(),
        meta_minimum_bytes: configuration.meta.minimum_bytes,
        segment_bytes: configuration.segment_bytes,
        meta_segment_bytes: (configuration.segment_bytes / META_SEGMENT_SHARE)
            .next_multiple_of(4096)
            .clamp(META_SEGMENT_BYTES_MIN, defaults.meta_segment_bytes),
        batch_bytes_max: defaults
            .batch_bytes_max
            .min(usize::try_from(configuration.segment_bytes / 8).unwrap_or(usize::MAX)),
        writes_in_flight_max: WRITES_IN_FLIGHT_MAX,
        async_flush_interval: configuration.async_flush_interval_ns,
        async_unflushed_max: configuration.async_unflushed_max,
        heartbeat_interval: configuration.ft_heartbeat_ns,
        unreadable_slot_limit: configuration.ft_activation_ns,
        cache_bytes_max: match configuration.message_memory_max {
            0 => usize::MAX,
            limit => usize::try_from(limit).unwrap_or(usize::MAX),
        },
        copy_bytes_per_s: configuration.defrag_bytes_per_s,
        standby_tailing: configuration.standby_tailing,
        swap: configuration.swapping,
        force_start: options.force_start,
        create: options.create_store,
        ..defaults
    }
}

fn listen(reactor: &mut Reactor, configuration: &Configuration, log: &mut Log) -> anyhow::Result<Vec<ListenerId>> {
    let mut listeners = Vec::new();
    for listen in &configuration.listens {
        let url = url(listen);
        let address = address_of(listen).with_context(|| format!("parameter listen={url}"))?;
        let (listener, address) = patiently(|| reactor.listen(address)).with_context(|| no_listen(&url, address))?;
        log.line(format!("Accepting connections on {}://{address}", scheme(listen)));
        listeners.push(listener);
    }
    Ok(listeners)
}

/// The monitor, where one is wanted.
fn start_monitor(configuration: &Configuration, log: &mut Log) -> anyhow::Result<Option<(Monitor, Publisher)>> {
    let mut listeners = Vec::new();
    for listen in &configuration.monitor_listens {
        let url = format!("http://{}:{}", listen.host, listen.port);
        let address = address_of(listen).with_context(|| format!("parameter monitor_listen={url}"))?;
        let listener = patiently(|| TcpListener::bind(address)).with_context(|| no_listen(&url, address))?;
        log.line(format!("Answering /isLive, /isReady and /metrics on http://{}", listener.local_addr()?));
        listeners.push(listener);
    }
    if listeners.is_empty() {
        return Ok(None);
    }
    Monitor::start(listeners).context("the monitor's thread cannot be started; remove monitor_listen").map(Some)
}

fn address_of(listen: &Listen) -> anyhow::Result<SocketAddr> {
    match listen.host.as_str() {
        "" => Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), listen.port)),
        host => resolve(host, listen.port),
    }
}

fn no_listen(url: &str, address: SocketAddr) -> String {
    format!(
        "listen={url}: cannot listen on {address}; is another server running there, or is the address not of this machine?"
    )
}

/// A process that was killed a moment ago may hold its port until the kernel has taken down its ring.
fn patiently<L>(mut listen: impl FnMut() -> std::io::Result<L>) -> std::io::Result<L> {
    let until = Instant::now() + PORT_PATIENCE;
    loop {
        match listen() {
            Err(error) if error.kind() == ErrorKind::AddrInUse && Instant::now() < until => {
                std::thread::sleep(Duration::from_millis(10));
            }
            result => return result,
        }
    }
}

fn url(listen: &Listen) -> String {
    format!("{}://{}:{}", scheme(listen), listen.host, listen.port)
}

fn scheme(listen: &Listen) -> &'static str {
    if listen.tls { "ssl" } else { "tcp" }
}

fn resolve(host: &str, port: u16) -> anyhow::Result<SocketAddr> {
    let mut addresses =
        (host, port).to_socket_addrs().with_context(|| format!("the host name '{host}' cannot be resolved"))?;
    addresses.next().with_context(|| format!("the host name '{host}' has no address"))
}

/// Random bits from the kernel: the name of this process in the epoch chain.
fn random() -> anyhow::Result<u128> {
    use std::io::Read;
    let mut bytes = [0; 16];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut bytes))
        .context("/dev/urandom cannot be read")?;
    Ok(u128::from_ne_bytes(bytes))
}
