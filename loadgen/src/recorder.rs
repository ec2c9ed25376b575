//! Owns the collection of what all clients measure, ten times a second, on a thread of its own: into the series, and into an
//! HDR interval log if one is wanted. It never holds a client up: it swaps and does its work outside the lock.

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use crate::clock::{MILLISECOND_NS, Nanos, now_ns};
use crate::hlog;
use crate::meter::{Gauges, Histograms, Meter, Readings, lock};
use crate::options::{Limit, Options};
use crate::schedule::{Schedule, Spread};
use crate::series::{Interval, Percentiles, Series};
use crate::thread_use::{Sample, ThreadUse, busiest};

/// Length of an interval: fine enough to see a failover's edges.
const INTERVAL_NS: Nanos = 100 * MILLISECOND_NS;

/// Where the recorder reads.
pub(crate) struct Sources {
    pub(crate) meters: Vec<Arc<Meter>>,
    pub(crate) producers: Vec<Arc<Gauges>>,
    pub(crate) consumers: Vec<Arc<Gauges>>,
    pub(crate) threads: Vec<Arc<ThreadUse>>,
}

/// The recorder's thread. Dropping it ends the thread without the last interval's part.
#[derive(Debug)]
pub(crate) struct Recorder {
    stop: Sender<()>,
    thread: JoinHandle<io::Result<()>>,
}

impl Recorder {
    pub(crate) fn start(
        sources: Sources,
        options: &Options,
        series: Arc<Mutex<Series>>,
        interval_log: Option<&Path>,
    ) -> io::Result<Self> {
        let log = interval_log.map(File::create).transpose()?.map(BufWriter::new);
        let (stop, stopped) = channel();
        let collector = Collector::new(sources, options, series);
        let thread = std::thread::Builder::new().name("recorder".to_owned()).spawn(move || match log {
            Some(mut log) => log_intervals(collector, &stopped, &mut log),
            None => collector.run(&stopped, &mut |_, _| Ok(())),
        })?;
        Ok(Self { stop, thread })
    }

    /// Takes the last part of an interval, and ends.
    pub(crate) fn finish(self) -> io::Result<()> {
        drop(self.stop);
        self.thread.join().unwrap_or_else(|_panic| Err(io::Error::other("the recorder's thread panicked")))
    }
}

/// Writes every interval's histograms, tagged by their name and by the phase of the run.
fn log_intervals(collector: Collector, stopped: &Receiver<()>, log: &mut BufWriter<File>) -> io::Result<()> {
    let (wall, monotonic_ns) = (SystemTime::now(), now_ns());
    let comments = [
        "[Latencies of a load run in nanoseconds; tags: histogram.phase]".to_owned(),
        format!("[Timestamps are seconds since CLOCK_MONOTONIC {monotonic_ns} ns]"),
    ];
    hlog::write(log, wall, &comments, |log| {
        collector.run(stopped, &mut |collected, phase| {
            let begin = Duration::from_nanos(collected.interval.begin_ns.saturating_sub(monotonic_ns));
            let length = Duration::from_nanos(collected.interval.end_ns - collected.interval.begin_ns);
            for (name, histogram) in Histograms::NAMES.iter().zip(collected.histograms.all()) {
                if !histogram.is_empty() {
                    let tag = if phase.is_empty() { (*name).to_owned() } else { format!("{name}.{phase}") };
                    log.write(&tag, begin, length, histogram)?;
                }
            }
            Ok(())
        })
    })
}

/// One interval, before it is merged away.
struct Collected<'a> {
    interval: &'a Interval,
    histograms: &'a Histograms,
}

/// What becomes of each interval besides the series.
type Sink<'a> = dyn FnMut(&Collected<'_>, &str) -> io::Result<()> + 'a;

struct Collector {
    sources: Sources,
    series: Arc<Mutex<Series>>,
    options: Options,
    /// An empty set of readings, exchanged for a full one.
    spare: Readings,
    /// The readings of all meters of the interval.
    sum: Readings,
    begin_ns: Nanos,
    /// What is due by now, as all schedules together say; empty before the start.
    schedules: Vec<Schedule>,
    /// What was counted as offered.
    offered: u64,
    /// What the clients' threads had used at the end of the last interval.
    thread_samples: Vec<Sample>,
}

impl Collector {
    fn new(sources: Sources, options: &Options, series: Arc<Mutex<Series>>) -> Self {
        let (spare, sum) = (Readings::default(), Readings::default());
        let (options, schedules) = (options.clone(), Vec::new());
        Self {
            sources,
            series,
            options,
            spare,
            sum,
            begin_ns: now_ns(),
            schedules,
            offered: 0,
            thread_samples: Vec::new(),
        }
    }

    fn run(mut self, stopped: &Receiver<()>, sink: &mut Sink<'_>) -> io::Result<()> {
        let mut due_ns = self.begin_ns + INTERVAL_NS;
        // A log that cannot be written must not end the recording: it is reported at the end.
        let mut result = Ok(());
        loop {
            let pause = Duration::from_nanos(due_ns.saturating_sub(now_ns()));
            let last = stopped.recv_timeout(pause) == Err(RecvTimeoutError::Disconnected);
            let collected = self.collect(sink);
            result = result.and(collected);
            if last {
                return result;
            }
            // A recorder that was held up makes one long interval, not many empty ones.
            due_ns = (due_ns + INTERVAL_NS).max(now_ns());
        }
    }

    fn collect(&mut self, sink: &mut Sink<'_>) -> io::Result<()> {
        self.sum.reset();
        for meter in &self.sources.meters {
            meter.swap(&mut self.spare);
            self.sum.histograms.add(&self.spare.histograms);
            self.sum.counters.add(&self.spare.counters);
            self.spare.reset();
        }
        let end_ns = now_ns().max(self.begin_ns + 1);
        let series = Arc::clone(&self.series);
        let mut series = lock(&series);
        let interval = self.interval(&series, end_ns);
        let phase = phase_of(&series, &interval, &self.options);
        self.merge(&mut series, interval.clone(), phase);
        drop(series);
        self.begin_ns = end_ns;
        sink(&Collected { interval: &interval, histograms: &self.sum.histograms }, phase)
    }

    fn interval(&mut self, series: &Series, end_ns: Nanos) -> Interval {
        let offered = self.offered(series, end_ns);
        let Sources { producers, consumers, .. } = &self.sources;
        let sum = |read: fn(&Gauges) -> u64| producers.iter().map(|gauges| read(gauges)).sum();
        let connected = |clients: &[Arc<Gauges>]| clients.iter().filter(|gauges| gauges.is_connected()).count() as u64;
        let (generator_cpu, generator_wait) = busiest(&self.sources.threads, &mut self.thread_samples);
        let histograms = &self.sum.histograms;
        Interval {
            begin_ns: self.begin_ns,
            end_ns,
            offered,
            counters: self.sum.counters,
            backlog: sum(|gauges| Gauges::get(&gauges.backlog)),
            in_flight: sum(|gauges| Gauges::get(&gauges.in_flight)),
            producers_connected: connected(producers),
            consumers_connected: connected(consumers),
            generator_cpu,
            generator_wait,
            response: Percentiles::of(&histograms.response),
            service: Percentiles::of(&histograms.service),
            delivery: Percentiles::of(&histograms.delivery),
        }
    }

    /// What the schedule wanted sent in this interval.
    fn offered(&mut self, series: &Series, end_ns: Nanos) -> u64 {
        if series.start_ns == 0 {
            return 0;
        }
        if self.schedules.is_empty() {
            self.schedules = schedules(&self.options, series.start_ns);
        }
        let mut stop_ns = if series.stop_ns == 0 { Nanos::MAX } else { series.stop_ns };
        let mut count_max = u64::MAX;
        match self.options.limit {
            Limit::Duration(duration) => stop_ns = stop_ns.min(series.start_ns + duration.as_nanos() as Nanos),
            Limit::Count(count) => count_max = count,
            Limit::None => {}
        }
        let at_ns = end_ns.min(stop_ns).saturating_sub(1);
        let due = self.schedules.iter_mut().map(|schedule| schedule.due_count(at_ns)).sum::<u64>().min(count_max);
        // A stop that was noted late can lie before what an earlier interval has counted already.
        let offered = due.saturating_sub(self.offered);
        self.offered += offered;
        offered
    }

    fn merge(&self, series: &mut Series, interval: Interval, phase: &str) {
        series.counters.add(&interval.counters);
        series.intervals.push(interval);
        if phase == WARMUP {
            return;
        }
        let total = &mut series.histograms;
        for (index, (sum, part)) in total.all_mut().into_iter().zip(self.sum.histograms.all()).enumerate() {
            // What a fault does to the host is not the generator's own lag.
            let own_lag = Histograms::NAMES[index] == "lag";
            if !part.is_empty() && (!own_lag || phase != FAULT) {
                sum.add(part).expect("an auto-resizing histogram takes every value");
            }
        }
    }
}

/// Evenly spread, all producers' messages are those of one; at random, each producer has its own.
fn schedules(options: &Options, start_ns: Nanos) -> Vec<Schedule> {
    let count = if options.spread == Spread::Even { 1 } else { options.producers.max(1) };
    let schedule = |number| Schedule::new(&options.rate, start_ns, number, count).spread(options.spread, options.seed);
    (0..count).map(schedule).collect()
}

const WARMUP: &str = "warmup";
const FAULT: &str = "fault";

/// The phase of the run that an interval belongs to; empty for its steady part.
fn phase_of(series: &Series, interval: &Interval, options: &Options) -> &'static str {
    let in_fault = |begin_ns: Nanos, end_ns: Nanos| begin_ns <= interval.end_ns && interval.begin_ns <= end_ns;
    let warm_ns = series.start_ns + options.warmup.as_nanos() as Nanos;
    if series.faults.iter().map(|fault| fault.window()).any(|window| in_fault(window.begin_ns, window.end_ns)) {
        FAULT
    } else if series.start_ns == 0 || interval.begin_ns < warm_ns && !options.warmup.is_zero() {
        WARMUP
    } else {
        ""
    }
}
