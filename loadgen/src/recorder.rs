//! Owns the collection of what all clients measure, ten times a second, on a thread of its own: into the series, and into an
//! HDR interval log if one is wanted. It never holds a client up: it swaps and does its work outside the lock.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{
    IntervalLogWriter, IntervalLogWriterBuilder, IntervalLogWriterError, Tag,
};

use crate::clock::{MILLISECOND_NS, Nanos, now_ns};
use crate::meter::{Gauges, Histograms, Meter, Readings, lock};
use crate::options::{Limit, Options};
use crate::schedule::Schedule;
use crate::series::{Interval, Percentiles, Series};

/// Length of an interval: fine enough to see a failover's edges.
const INTERVAL_NS: Nanos = 100 * MILLISECOND_NS;

/// Where the recorder reads.
pub(crate) struct Sources {
    pub(crate) meters: Vec<Arc<Meter>>,
    pub(crate) producers: Vec<Arc<Gauges>>,
    pub(crate) consumers: Vec<Arc<Gauges>>,
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
    let mut serializer = V2DeflateSerializer::new();
    let (wall, monotonic_ns) = (SystemTime::now(), now_ns());
    let mut builder = IntervalLogWriterBuilder::new();
    builder.add_comment("[Latencies of a load run in nanoseconds; tags: histogram.phase]");
    builder.add_comment(&format!("[Timestamps are seconds since CLOCK_MONOTONIC {monotonic_ns} ns]"));
    builder.with_start_time(wall).with_base_time(wall).with_max_value_divisor(1.0);
    let mut writer = builder.begin_log_with(log, &mut serializer)?;
    collector.run(stopped, &mut |collected, phase| {
        let begin = Duration::from_nanos(collected.interval.begin_ns.saturating_sub(monotonic_ns));
        let length = Duration::from_nanos(collected.interval.end_ns - collected.interval.begin_ns);
        write_histograms(&mut writer, collected.histograms, begin, length, phase)
    })?;
    drop(writer);
    log.flush()
}

fn write_histograms<W: Write>(
    writer: &mut IntervalLogWriter<'_, '_, W, V2DeflateSerializer>,
    histograms: &Histograms,
    begin: Duration,
    length: Duration,
    phase: &str,
) -> io::Result<()> {
    for (name, histogram) in Histograms::NAMES.iter().zip(histograms.all()) {
        if histogram.is_empty() {
            continue;
        }
        let tag = if phase.is_empty() { (*name).to_owned() } else { format!("{name}.{phase}") };
        writer.write_histogram(histogram, begin, length, Tag::new(&tag)).map_err(|error| match error {
            IntervalLogWriterError::IoError(error) => error,
            IntervalLogWriterError::SerializeError(error) => io::Error::other(error.to_string()),
        })?;
    }
    Ok(())
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
}

impl Collector {
    fn new(sources: Sources, options: &Options, series: Arc<Mutex<Series>>) -> Self {
        let (spare, sum) = (Readings::default(), Readings::default());
        Self { sources, series, options: options.clone(), spare, sum, begin_ns: now_ns() }
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
        let mut series = lock(&self.series);
        let interval = self.interval(&series, end_ns);
        let phase = phase_of(&series, &interval, &self.options);
        self.merge(&mut series, interval.clone(), phase);
        drop(series);
        self.begin_ns = end_ns;
        sink(&Collected { interval: &interval, histograms: &self.sum.histograms }, phase)
    }

    fn interval(&self, series: &Series, end_ns: Nanos) -> Interval {
        let Sources { producers, consumers, .. } = &self.sources;
        let sum = |read: fn(&Gauges) -> u64| producers.iter().map(|gauges| read(gauges)).sum();
        let connected = |clients: &[Arc<Gauges>]| clients.iter().filter(|gauges| gauges.is_connected()).count() as u64;
        let histograms = &self.sum.histograms;
        Interval {
            begin_ns: self.begin_ns,
            end_ns,
            offered: self.offered(series, end_ns),
            counters: self.sum.counters,
            backlog: sum(|gauges| Gauges::get(&gauges.backlog)),
            in_flight: sum(|gauges| Gauges::get(&gauges.in_flight)),
            producers_connected: connected(producers),
            consumers_connected: connected(consumers),
            response: Percentiles::of(&histograms.response),
            service: Percentiles::of(&histograms.service),
            delivery: Percentiles::of(&histograms.delivery),
        }
    }

    /// What the schedule wanted sent in this interval.
    fn offered(&self, series: &Series, end_ns: Nanos) -> u64 {
        if series.start_ns == 0 {
            return 0;
        }
        let schedule = Schedule::new(self.options.rate, series.start_ns, 0, 1);
        let mut stop_ns = if series.stop_ns == 0 { Nanos::MAX } else { series.stop_ns };
        let mut count_max = u64::MAX;
        match self.options.limit {
            Limit::Duration(duration) => stop_ns = stop_ns.min(series.start_ns + duration.as_nanos() as Nanos),
            Limit::Count(count) => count_max = count,
            Limit::None => {}
        }
        let due = |at_ns: Nanos| schedule.due_count(at_ns.min(stop_ns).saturating_sub(1)).min(count_max);
        // A stop that was noted late can lie before what an earlier interval has counted already.
        due(end_ns).saturating_sub(due(self.begin_ns))
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
            if !own_lag || phase != FAULT {
                sum.add(part).expect("an auto-resizing histogram takes every value");
            }
        }
    }
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
