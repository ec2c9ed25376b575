//! Owns a run from start to judgement: it starts the client threads and the recorder, and tells them what to do next.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::watch;

use crate::client::Client;
use crate::clock::{MILLISECOND_NS, Nanos, now_ns};
use crate::consumer::Consumer;
use crate::control::{Command, Phase, Shared};
use crate::ledger::{ConsumerLog, Ledger, ProducerLog};
use crate::meter::{Gauges, Meter, lock};
use crate::options::{DrainBy, Options, OptionsError};
use crate::producer::Producer;
use crate::recorder::{Recorder, Sources};
use crate::series::{FaultWindow, Interval, Mark, Series};
use crate::thread_use::ThreadUse;

/// How often the run looks at its clients while it waits for something.
const POLL: Duration = Duration::from_millis(5);

/// Why a run could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The request makes no sense.
    #[error(transparent)]
    Options(#[from] OptionsError),
    /// The operating system refused a thread, a runtime or the log file.
    #[error("{what}: {source}")]
    System {
        /// What was wanted.
        what: &'static str,
        /// The refusal.
        source: std::io::Error,
    },
    /// A server refused for good: trying again would not help.
    #[error("{client}: {reason}")]
    Refused {
        /// Which client, at which server.
        client: String,
        /// What the server said.
        reason: String,
    },
    /// Not all clients reached a server in time.
    #[error("{missing} of {clients} clients found no server in {seconds} s; the last answer was: {reason}")]
    Unreachable {
        /// Clients without a link.
        missing: u64,
        /// All clients.
        clients: u64,
        /// How long was waited.
        seconds: u64,
        /// The last failure of any of them.
        reason: String,
    },
}

/// What a run looks like at this moment.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// The last complete interval, if there is one.
    pub interval: Option<Interval>,
    /// Messages sent, re-sends included.
    pub sent: u64,
    /// Messages confirmed.
    pub confirmed: u64,
    /// Deliveries.
    pub delivered: u64,
    /// Sends without an outcome.
    pub in_flight: u64,
    /// Messages due and not sent.
    pub backlog: u64,
    /// Usable producer links.
    pub producers_connected: u64,
    /// Usable consumer links.
    pub consumers_connected: u64,
    /// Producers that have sent all and got all answers.
    pub producers_done: u64,
    /// All producers.
    pub producers: u64,
    /// All consumers.
    pub consumers: u64,
    /// Connections that were lost since the start.
    pub disconnected: u64,
}

/// What a finished run leaves.
#[derive(Debug)]
pub struct Finished {
    /// Every send and every delivery.
    pub ledger: Ledger,
    /// Rates and latencies.
    pub series: Series,
}

/// A run under way. Dropping it ends the clients without grace.
#[derive(Debug)]
pub struct Handle {
    shared: Arc<Shared>,
    control: watch::Sender<Command>,
    series: Arc<Mutex<Series>>,
    producers: Vec<Part<ProducerLog>>,
    consumers: Vec<Part<ConsumerLog>>,
    workers: Vec<JoinHandle<()>>,
    recorder: Recorder,
}

/// What is shared with one client: its record and its gauges.
#[derive(Debug)]
struct Part<L> {
    log: Arc<Mutex<L>>,
    gauges: Arc<Gauges>,
}

impl<L> Part<L> {
    fn new(log: L) -> Self {
        Self { log: Arc::new(Mutex::new(log)), gauges: Arc::default() }
    }
}

/// Starts the clients and connects them; `Handle::started` begins the schedule.
///
/// # Errors
/// The request makes no sense, or the operating system refuses a thread or the log file.
pub fn start(options: Options, interval_log: Option<&Path>) -> Result<Handle, RunError> {
    options.validate()?;
    let run = options.run.unwrap_or_else(|| fastrand::u64(1..));
    let parts = |count: u32| (0..count).map(|number| (number, options.address_of(number).to_owned()));
    let producers: Vec<_> = parts(options.producers)
        .map(|(producer, address)| Part::new(ProducerLog { producer, address, ..ProducerLog::default() }))
        .collect();
    let consumers: Vec<_> = parts(options.consumers)
        .map(|(consumer, address)| Part::new(ConsumerLog { consumer, address, ..ConsumerLog::default() }))
        .collect();
    let meters: Vec<_> = (0..options.threads).map(|_| Arc::new(Meter::default())).collect();
    let series = Arc::new(Mutex::new(Series::default()));
    let sources = Sources {
        meters: meters.clone(),
        producers: producers.iter().map(|part| Arc::clone(&part.gauges)).collect(),
        consumers: consumers.iter().map(|part| Arc::clone(&part.gauges)).collect(),
        threads: (0..options.threads).map(|_| Arc::default()).collect(),
    };
    let threads = sources.threads.clone();
    let recorder = Recorder::start(sources, &options, Arc::clone(&series), interval_log)
        .map_err(|source| RunError::System { what: "starting the recorder", source })?;
    let (control, _) = watch::channel(Command { phase: Phase::Connect, start_ns: 0, probe: 0 });
    let shared = Arc::new(Shared::new(options, run));
    let mut handle = Handle { shared, control, series, producers, consumers, workers: Vec::new(), recorder };
    for (index, (meter, used)) in meters.into_iter().zip(threads).enumerate() {
        handle.start_worker(index, &meter, used)?;
    }
    Ok(handle)
}

impl Handle {
    /// One thread with its own runtime, and every so many-th client on it.
    fn start_worker(&mut self, index: usize, meter: &Arc<Meter>, used: Arc<ThreadUse>) -> Result<(), RunError> {
        let failed = |source| RunError::System { what: "starting a thread of clients", source };
        let threads = self.shared.options.threads;
        let is_ours = |number: &usize| number % threads == index;
        let client = |kind: &str, number: usize, gauges: &Arc<Gauges>| {
            let name = format!("{kind} {number}");
            Client::new(name, Arc::clone(&self.shared), Arc::clone(meter), Arc::clone(gauges), self.control.subscribe())
        };
        let mut producers = Vec::new();
        for (number, part) in self.producers.iter().enumerate().filter(|(number, _)| is_ours(number)) {
            let Part { log, gauges } = part;
            let (shared, meter) = (Arc::clone(&self.shared), Arc::clone(meter));
            let producer = Producer::new(number as u32, shared, meter, Arc::clone(gauges), Arc::clone(log));
            producers.push((client("producer", number, gauges), producer));
        }
        let mut consumers = Vec::new();
        for (number, part) in self.consumers.iter().enumerate().filter(|(number, _)| is_ours(number)) {
            let Part { log, gauges } = part;
            let (shared, meter) = (Arc::clone(&self.shared), Arc::clone(meter));
            let consumer = Consumer::new(number as u32, shared, meter, Arc::clone(gauges), Arc::clone(log));
            consumers.push((client("consumer", number, gauges), consumer));
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let control = self.control.subscribe();
        let work = move || {
            let clients = tokio::task::LocalSet::new();
            clients.spawn_local(async move { used.watch(control).await });
            for (client, producer) in producers {
                clients.spawn_local(client.run(producer));
            }
            for (client, consumer) in consumers {
                clients.spawn_local(client.run(consumer));
            }
            runtime.block_on(clients);
        };
        let thread = std::thread::Builder::new().name(format!("clients-{index}")).spawn(work).map_err(failed)?;
        self.workers.push(thread);
        Ok(())
    }

    fn gauges(&self) -> impl Iterator<Item = &Gauges> {
        let producers = self.producers.iter().map(|part| part.gauges.as_ref());
        producers.chain(self.consumers.iter().map(|part| part.gauges.as_ref()))
    }

    /// Waits until all clients are connected and begins the schedule; gives its start.
    ///
    /// # Errors
    /// A server refused for good, or `limit` passed.
    pub async fn started(&self, limit: Duration) -> Result<Nanos, RunError> {
        self.connected(limit).await?;
        // A moment ahead, so that no producer begins late.
        let start_ns = now_ns() + MILLISECOND_NS;
        self.begin(start_ns);
        Ok(start_ns)
    }

    /// Begins the schedule at `start_ns`, which may lie ahead.
    pub fn begin(&self, start_ns: Nanos) {
        lock(&self.series).start_ns = start_ns;
        self.control.send_modify(|command| {
            command.start_ns = start_ns;
            command.phase = command.phase.max(Phase::Send);
        });
    }

    /// When the schedule begins; 0 if nobody has said.
    #[must_use]
    pub fn start_ns(&self) -> Nanos {
        lock(&self.series).start_ns
    }

    /// Has the backlog built that was asked for, and waits until it is confirmed; false if it was not within `limit`.
    pub async fn filled(&self, limit: Duration) -> bool {
        self.control.send_modify(|command| command.phase = command.phase.max(Phase::Fill));
        let filled = || self.shared.has_failed() || self.producers.iter().all(|part| part.gauges.is_filled());
        wait_until(limit, filled).await && !self.shared.has_failed()
    }

    /// Waits until all clients are connected.
    ///
    /// # Errors
    /// A server refused for good, or `limit` passed.
    pub async fn connected(&self, limit: Duration) -> Result<(), RunError> {
        let connected = || self.shared.has_failed() || self.gauges().all(Gauges::is_connected);
        let in_time = wait_until(limit, connected).await;
        self.check()?;
        if !in_time {
            let missing = self.gauges().filter(|gauges| !gauges.is_connected()).count() as u64;
            let clients = self.gauges().count() as u64;
            return Err(RunError::Unreachable {
                missing,
                clients,
                seconds: limit.as_secs(),
                reason: self.shared.last_reason(),
            });
        }
        Ok(())
    }

    /// Whether sending was stopped because the record had reached its bound.
    #[must_use]
    pub fn is_ledger_full(&self) -> bool {
        self.shared.is_ledger_full()
    }

    /// Whether a server refused a client for good since the start.
    ///
    /// # Errors
    /// That refusal, once.
    pub fn check(&self) -> Result<(), RunError> {
        self.shared.take_failure().map_or(Ok(()), Err)
    }

    /// What the run looks like now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let sum = |read: fn(&Gauges) -> u64| self.producers.iter().map(|part| read(&part.gauges)).sum();
        let connected = |gauges: &Gauges| u64::from(gauges.is_connected());
        let series = lock(&self.series);
        Snapshot {
            interval: series.intervals.last().cloned(),
            sent: series.counters.sent,
            confirmed: series.counters.confirmed,
            delivered: series.counters.delivered,
            in_flight: sum(|gauges| Gauges::get(&gauges.in_flight)),
            backlog: sum(|gauges| Gauges::get(&gauges.backlog)),
            producers_connected: sum(connected),
            consumers_connected: self.consumers.iter().map(|part| connected(&part.gauges)).sum(),
            producers_done: sum(|gauges| u64::from(gauges.is_done())),
            producers: self.producers.len() as u64,
            consumers: self.consumers.len() as u64,
            disconnected: series.counters.disconnected,
        }
    }

    /// Notes something that happened now, to be shown in plots; gives its time.
    pub fn mark(&self, label: &str) -> Nanos {
        let at_ns = now_ns();
        lock(&self.series).marks.push(Mark { at_ns, label: label.to_owned() });
        at_ns
    }

    /// A fault is at work from `at_ns` on, until `fault_end`.
    pub fn fault_begin(&self, label: &str, at_ns: Nanos) {
        let fault = FaultWindow { begin_ns: at_ns, end_ns: None, label: label.to_owned() };
        lock(&self.series).faults.push(fault);
    }

    /// The fault begun last is over since `at_ns`.
    pub fn fault_end(&self, at_ns: Nanos) {
        if let Some(fault) = lock(&self.series).faults.last_mut() {
            fault.end_ns.get_or_insert(at_ns);
        }
    }

    /// Stops the schedule and waits until every send has its outcome, re-sends included, or `limit` has passed.
    /// True if every one has.
    pub async fn stop_sending(&self, limit: Duration) -> bool {
        self.control.send_modify(|command| command.phase = command.phase.max(Phase::Stop));
        self.note_stop();
        self.sent_all(limit).await
    }

    /// Waits until the producers are done by themselves (`Limit::Duration` or `Limit::Count`), or `limit` has passed.
    pub async fn sent_all(&self, limit: Duration) -> bool {
        let done = || self.shared.has_failed() || self.producers.iter().all(|part| part.gauges.is_done());
        let in_time = wait_until(limit, done).await;
        if in_time {
            self.note_stop();
        }
        in_time && !self.shared.has_failed()
    }

    fn note_stop(&self) {
        let mut series = lock(&self.series);
        if series.stop_ns == 0 {
            series.stop_ns = now_ns();
        }
    }

    /// Waits until the queues are empty: nothing arrived for `quiet`, every consumer's explicit drain was answered with
    /// nothing, and every acknowledgement was confirmed where that was asked for. True if that came true within `limit`.
    /// False at once where nobody consumes. With `DrainBy::Silence` consumers are not asked.
    pub async fn drain(&self, quiet: Duration, limit: Duration) -> bool {
        let quiet_ns = quiet.as_nanos() as Nanos;
        let begin_ns = now_ns();
        let deadline_ns = begin_ns + limit.as_nanos() as Nanos;
        if self.shared.options.drain_by == DrainBy::Silence {
            let silent = || now_ns() >= begin_ns + quiet_ns && self.is_quiet(now_ns(), quiet_ns) && self.is_empty(0);
            return !self.consumers.is_empty() && wait_until(limit, silent).await;
        }
        // Two seconds are long for an answer, but a connection may be lost on the way: then the next request counts.
        let left = || Duration::from_nanos(deadline_ns.saturating_sub(now_ns())).min(Duration::from_secs(2));
        while !self.consumers.is_empty() && now_ns() < deadline_ns {
            self.control.send_modify(|command| command.probe += 1);
            let probe = self.control.borrow().probe;
            let answered = |gauges: &Gauges| Gauges::get(&gauges.answered_probe) >= probe;
            wait_until(left(), || self.consumers.iter().all(|part| answered(&part.gauges))).await;
            let quiet = wait_until(left(), || self.is_quiet(now_ns(), quiet_ns)).await;
            if quiet && self.is_empty(probe) {
                return true;
            }
        }
        false
    }

    fn is_empty(&self, probe: u64) -> bool {
        self.consumers.iter().all(|part| {
            let unconfirmed = Gauges::get(&part.gauges.in_flight);
            unconfirmed == 0 && Gauges::get(&part.gauges.empty_probe) >= probe
        })
    }

    fn is_quiet(&self, now: Nanos, quiet_ns: Nanos) -> bool {
        let newest = self.consumers.iter().map(|part| Gauges::get(&part.gauges.last_arrival_ns)).max();
        now.saturating_sub(newest.unwrap_or(0)) >= quiet_ns
    }

    /// A copy of the record so far. It takes time and memory for millions of messages: `finish` moves it out instead.
    #[must_use]
    pub fn ledger(&self) -> Arc<Ledger> {
        Arc::new(Ledger {
            run: self.shared.run,
            payload_bytes: self.shared.template.payload_bytes_mean(),
            producers: self.producers.iter().map(|part| lock(&part.log).clone()).collect(),
            consumers: self.consumers.iter().map(|part| lock(&part.log).clone()).collect(),
        })
    }

    /// The last `count` intervals, or fewer.
    #[must_use]
    pub fn series_tail(&self, count: usize) -> Vec<Interval> {
        let series = lock(&self.series);
        series.intervals[series.intervals.len().saturating_sub(count)..].to_vec()
    }

    /// A copy of the series so far.
    #[must_use]
    pub fn series(&self) -> Series {
        lock(&self.series).clone()
    }

    /// Closes all connections, ends all threads and gives what they recorded.
    ///
    /// # Errors
    /// The interval log could not be written, or a thread of clients broke down.
    pub async fn finish(self) -> Result<Finished, RunError> {
        self.note_stop();
        self.control.send_modify(|command| command.phase = Phase::Quit);
        let failed = |source| RunError::System { what: "ending a thread", source };
        while self.workers.iter().any(|worker| !worker.is_finished()) {
            tokio::time::sleep(POLL).await;
        }
        for worker in self.workers {
            worker.join().map_err(|_panic| failed(std::io::Error::other("a client panicked")))?;
        }
        self.recorder.finish().map_err(|source| RunError::System { what: "writing the interval log", source })?;
        let ledger = Ledger {
            run: self.shared.run,
            payload_bytes: self.shared.template.payload_bytes_mean(),
            producers: self.producers.iter().map(|part| std::mem::take(&mut *lock(&part.log))).collect(),
            consumers: self.consumers.iter().map(|part| std::mem::take(&mut *lock(&part.log))).collect(),
        };
        let series = std::mem::take(&mut *lock(&self.series));
        Ok(Finished { ledger, series })
    }
}

/// True as soon as `condition` holds; false if it does not within `limit`.
async fn wait_until(limit: Duration, condition: impl Fn() -> bool) -> bool {
    let deadline_ns = now_ns() + limit.as_nanos() as Nanos;
    loop {
        if condition() {
            return true;
        }
        if now_ns() >= deadline_ns {
            return false;
        }
        tokio::time::sleep(POLL).await;
    }
}
