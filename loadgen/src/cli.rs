//! Owns the command line: how a run is written, and what a process does with it, up to its exit code.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand, ValueEnum};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::clock::Nanos;
use crate::options::{Ack, Backlog, Consume, Limit, Options, Resend, Url};
use crate::plots;
use crate::progress::Progress;
use crate::report::Report;
use crate::run::{Finished, Handle, RunError, start};
use crate::schedule::Rate;
use crate::threshold::Threshold;
use crate::tls::{Tls, TlsError, TlsFiles};
use crate::units::{parse_bytes, parse_duration};
use crate::verdict::{AsyncBound, Rules, Ruling, StorePromise, Verdict, judge};

/// Exit code for a command line that makes no sense.
const EXIT_USAGE: i32 = 254;
/// Exit code for a failure of the generator itself.
const EXIT_INTERNAL: i32 = 255;

/// Load generator for AMQP 1.0 brokers and pairs: open loop, honest under outages, with a verdict on every message.
#[derive(Debug, Parser)]
#[command(name = "loadgen", version, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Send and receive, survive failovers, report latency and judge what was lost.
    Run(Box<RunArguments>),
}

/// What a store promises, as far as a command line can say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Store {
    /// What is confirmed is never lost.
    Sync,
    /// A lost connection may cost the newest of what was confirmed on it, but leaves no hole.
    Async,
}

/// A list of servers, as EMS clients write it. Where the state is not shared a client moves on in the same way; that messages
/// stay behind with a dead server is for the verdict to find.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Servers(Vec<Url>);

impl std::str::FromStr for Servers {
    type Err = <Url as std::str::FromStr>::Err;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // A password may hold a plus sign.
        text.replace("+amqp", ",amqp").split(',').map(str::parse).collect::<Result<_, _>>().map(Servers)
    }
}

/// Exit codes: 0 pass, 1 violated, 2 unknown, 254 usage, 255 internal.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  loadgen run --url amqp://127.0.0.1:7222,amqp://127.0.0.1:7224 --address sync.q --rate 20k --duration 30s --ack confirmed
  loadgen run --url amqp://localhost --address q --rate max --size 16 --producers 16 --window 1000 --json result.json
  loadgen run --url amqp://localhost --address q --drain-only

Exit codes: 0 pass, 1 violated, 2 unknown, 254 usage, 255 internal.")]
struct RunArguments {
    /// The servers, tried in this order: `amqp[s]://[user[:password]@]host[:port],...`; `+` instead of `,` between servers that
    /// do not share their state
    #[arg(long = "url", value_name = "URLS", required = true, help_heading = "Where")]
    urls: Vec<Servers>,
    /// The queues: client number n uses queue n modulo their count
    #[arg(long = "address", value_name = "NAMES", value_delimiter = ',', required = true, help_heading = "Where")]
    addresses: Vec<String>,
    /// Login name (SASL PLAIN); without it SASL ANONYMOUS
    #[arg(long, help_heading = "Where")]
    user: Option<String>,
    /// Password of the login
    #[arg(long, default_value = "", hide_default_value = true, help_heading = "Where")]
    password: String,

    /// Authorities that are trusted for amqps://, in PEM
    #[arg(long, value_name = "FILE", help_heading = "Where")]
    tls_ca: Option<PathBuf>,
    /// Certificate to show, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_key", help_heading = "Where")]
    tls_cert: Option<PathBuf>,
    /// Its key, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert", help_heading = "Where")]
    tls_key: Option<PathBuf>,
    /// Take any certificate for amqps://
    #[arg(long, conflicts_with = "tls_ca", help_heading = "Where")]
    tls_insecure: bool,

    /// Messages a second of all producers together, such as 20000, 20k, 1.5M; or max (closed loop)
    #[arg(long, default_value = "max", help_heading = "Load")]
    rate: Rate,
    /// Size of each payload, such as 16, 1KiB, 64KB
    #[arg(long, value_name = "BYTES", default_value = "1KiB", value_parser = parse_bytes, help_heading = "Load")]
    size: usize,
    /// Producers, each with its own connection
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = "Load")]
    producers: u32,
    /// Consumers, each with its own connection; 0 sends only, and judges no loss
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = "Load")]
    consumers: u32,
    /// Send for this long, such as 500ms, 10s, 5m
    #[arg(long, default_value = "10s", value_parser = parse_duration, conflicts_with = "count", help_heading = "Load")]
    duration: Duration,
    /// Send so many messages instead, of all producers together
    #[arg(long, value_name = "N", help_heading = "Load")]
    count: Option<u64>,
    /// Keep the latency of this first part out of the summary
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = parse_duration, help_heading = "Load")]
    warmup: Duration,
    /// Only empty the queues: nothing is sent
    #[arg(long, conflicts_with_all = ["count", "duration", "producers", "rate"], help_heading = "Load")]
    drain_only: bool,

    /// Unconfirmed messages that each producer may have in flight
    #[arg(long, value_name = "N", default_value_t = 1000, help_heading = "Behaviour")]
    window: u32,
    /// Messages that each consumer lets the broker send ahead
    #[arg(long, value_name = "N", default_value_t = 1000, help_heading = "Behaviour")]
    credit: u32,
    /// How consumers acknowledge
    #[arg(long, value_enum, default_value_t = Ack::Accept, help_heading = "Behaviour")]
    ack: Ack,
    /// When consumers take messages
    #[arg(long, value_enum, default_value_t = Consume::Always, help_heading = "Behaviour")]
    consume: Consume,
    /// Whether messages are marked durable
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set, help_heading = "Behaviour")]
    durable: bool,
    /// What becomes of messages that were due while the broker could not take them
    #[arg(long, value_enum, default_value_t = Backlog::CatchUp, help_heading = "Behaviour")]
    backlog: Backlog,
    /// How much faster than the rate a paced backlog is worked off
    #[arg(long, value_name = "FACTOR", default_value_t = 2.0, help_heading = "Behaviour")]
    paced_factor: f64,
    /// How late a message may be before it is shed
    #[arg(long, value_name = "DURATION", default_value = "100ms", value_parser = parse_duration, help_heading = "Behaviour")]
    shed_after: Duration,
    /// What becomes of sends that a lost connection left unconfirmed
    #[arg(long, value_enum, default_value_t = Resend::Unconfirmed, help_heading = "Behaviour")]
    resend: Resend,
    /// Makes the random choices repeatable (reconnection jitter, payload filler)
    #[arg(long, default_value_t = 1, help_heading = "Behaviour")]
    seed: u64,
    /// What the queue's store promises: sync loses nothing confirmed; async may lose the newest confirms of a lost connection
    #[arg(long, value_enum, default_value_t = Store::Sync, help_heading = "Verdict")]
    store: Store,
    /// Count the run as violated if this holds, such as p99>5ms, delivery.p99.9>1s, gap>3s, confirmed_rate<10000, duplicated>0
    #[arg(long, value_name = "CONDITION", value_delimiter = ',', help_heading = "Verdict")]
    fail_if: Vec<Threshold>,
    /// Call the run unknown if the generator itself was later than this (99th percentile, outside faults)
    #[arg(long, value_name = "DURATION", default_value = "50ms", value_parser = parse_duration, help_heading = "Verdict")]
    lag_limit: Duration,
    /// Only one server of the list may confirm at a time: two that do are a violation
    #[arg(long, help_heading = "Verdict")]
    one_active: bool,

    /// Threads that the connections are spread over
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = "Tuning")]
    threads: usize,
    /// Sends due within this time leave in one wake-up: shorter is more exact and costs more CPU
    #[arg(long, value_name = "DURATION", default_value = "200us", value_parser = parse_duration, help_heading = "Tuning")]
    tick: Duration,
    /// Limit for one attempt to connect, attach included
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = parse_duration, help_heading = "Tuning")]
    connect_timeout: Duration,
    /// First pause after all servers refused; it grows by a quarter each round, up to --reconnect-max
    #[arg(long, value_name = "DURATION", default_value = "10ms", value_parser = parse_duration, help_heading = "Tuning")]
    reconnect_min: Duration,
    /// Longest pause after all servers refused
    #[arg(long, value_name = "DURATION", default_value = "500ms", value_parser = parse_duration, help_heading = "Tuning")]
    reconnect_max: Duration,
    /// A server that is silent for so long counts as lost; 0s waits for ever
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = parse_duration, help_heading = "Tuning")]
    idle_timeout: Duration,
    /// Give up if not all clients find a server at the start, or if sends stay unanswered at the end, for so long
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = parse_duration, help_heading = "Tuning")]
    patience: Duration,
    /// The queues count as empty when nothing arrived for so long and an explicit drain brought nothing
    #[arg(long, value_name = "DURATION", default_value = "300ms", value_parser = parse_duration, help_heading = "Tuning")]
    quiet_time: Duration,

    /// Write the whole result as JSON
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    json: Option<PathBuf>,
    /// Write an HDR interval log (tags: histogram.phase)
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    hlog: Option<PathBuf>,
    /// Write every send and delivery as JSON lines
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    history: Option<PathBuf>,
    /// Write latency.svg, rates.svg and percentiles.svg into this folder
    #[arg(long, value_name = "FOLDER", help_heading = "Output")]
    plots: Option<PathBuf>,
    /// Show no progress
    #[arg(long, short, help_heading = "Output")]
    quiet: bool,
}

impl RunArguments {
    /// As written to as meant.
    fn options(&self) -> Result<Options, TlsError> {
        Ok(Options {
            urls: self.urls.iter().flat_map(|servers| servers.0.clone()).collect(),
            tls: self.tls()?,
            addresses: self.addresses.clone(),
            user: self.user.clone(),
            password: self.password.clone(),
            rate: self.rate,
            payload_bytes: self.size,
            producers: if self.drain_only { 0 } else { self.producers },
            consumers: self.consumers,
            limit: self.count.map_or(Limit::Duration(self.duration), Limit::Count),
            window: self.window,
            credit: self.credit,
            ack: self.ack,
            consume: self.consume,
            durable: self.durable,
            backlog: self.backlog,
            paced_factor: self.paced_factor,
            shed_after: self.shed_after,
            resend: self.resend,
            seed: self.seed,
            run: None,
            threads: self.threads,
            tick: self.tick,
            connect_timeout: self.connect_timeout,
            reconnect_min: self.reconnect_min,
            reconnect_max: self.reconnect_max,
            idle_timeout: self.idle_timeout,
            warmup: self.warmup,
        })
    }

    fn tls(&self) -> Result<Option<Tls>, TlsError> {
        if self.tls_ca.is_none() && !self.tls_insecure {
            return Ok(None);
        }
        let identity = self.tls_cert.clone().zip(self.tls_key.clone());
        Tls::new(&TlsFiles { ca: self.tls_ca.clone(), identity, insecure: self.tls_insecure }).map(Some)
    }
}

/// Runs the command line `arguments` (program name first) and gives the process's exit code.
pub fn run(arguments: impl Iterator<Item = OsString>) -> i32 {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            let shown = error.print();
            let asked_for = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            return if asked_for && shown.is_ok() { 0 } else { EXIT_USAGE };
        }
    };
    let Command::Run(arguments) = cli.command;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result = runtime.context("starting a runtime").and_then(|runtime| runtime.block_on(arguments.run()));
    match result {
        Ok(ruling) => ruling.exit_code(),
        Err(error) => {
            eprintln!("loadgen: {error:#}");
            if error.is::<TlsError>() {
                return EXIT_USAGE;
            }
            match error.downcast_ref::<RunError>() {
                Some(RunError::Options(_)) => EXIT_USAGE,
                // Nothing was measured, but not for a fault of ours.
                Some(RunError::Unreachable { .. } | RunError::Refused { .. }) => Ruling::Unknown.exit_code(),
                _ => EXIT_INTERNAL,
            }
        }
    }
}

/// What a terminal shows of the run, and whether somebody wants it to end.
struct Watch {
    progress: Progress,
    interrupt: Signal,
    terminate: Signal,
}

impl Watch {
    fn new(quiet: bool) -> std::io::Result<Self> {
        Ok(Self {
            progress: Progress::new(quiet),
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Waits for `step` and shows progress meanwhile; `None` if Ctrl-C or SIGTERM cut it short.
    async fn over<T>(&mut self, handle: &Handle, what: &str, step: impl Future<Output = T>) -> Option<T> {
        tokio::pin!(step);
        loop {
            tokio::select! {
                result = &mut step => return Some(result),
                _ = self.interrupt.recv() => break,
                _ = self.terminate.recv() => break,
                () = tokio::time::sleep(Duration::from_millis(50)) => self.progress.show(handle, what),
            }
        }
        self.progress.say(&format!("interrupted while {what}; once more skips the next step, too"));
        None
    }
}

/// How complete a run was at its end.
struct Seen {
    /// Every send has its answer.
    answered: bool,
    /// The queues were seen empty.
    drained: bool,
}

impl RunArguments {
    async fn run(&self) -> anyhow::Result<Ruling> {
        let options = self.options()?;
        let handle = start(options.clone(), self.hlog.as_deref())?;
        let mut watch = Watch::new(self.quiet).context("watching for signals")?;
        let seen = self.conduct(&handle, &options, &mut watch).await?;
        let finished = handle.finish().await?;
        watch.progress.finish();
        let mut verdict = judge(&finished.ledger, &self.rules(&finished, seen.drained));
        if !seen.answered {
            let patience = self.patience;
            verdict.unknown(format!("some sends were still unanswered {patience:?} after the end of the schedule"));
        }
        let Finished { ledger, series } = &finished;
        self.apply_thresholds(&options, &finished, &mut verdict);
        let report = Report { options: &options, ledger, series, verdict: &verdict };
        print!("{}", report.text());
        self.write_files(&report)?;
        Ok(verdict.verdict)
    }

    /// Start, sending, the last answers, drain.
    async fn conduct(&self, handle: &Handle, options: &Options, watch: &mut Watch) -> anyhow::Result<Seen> {
        match watch.over(handle, "connecting", handle.started(self.patience)).await {
            Some(started) => started?,
            None => return Ok(Seen { answered: true, drained: false }),
        };
        let sending = async {
            match options.limit {
                Limit::Duration(duration) if !self.drain_only => tokio::time::sleep(duration).await,
                _ => {}
            }
            // A count takes as long as it takes; a schedule that is over leaves only its backlog.
            let limit = if self.count.is_some() { Duration::from_secs(10 * 365 * 86_400) } else { self.patience };
            handle.sent_all(limit).await
        };
        watch.over(handle, "sending", sending).await;
        handle.check()?;
        let answered = watch.over(handle, "settling", handle.stop_sending(self.patience)).await.unwrap_or(false);
        handle.check()?;
        let drain = handle.drain(self.quiet_time, self.drain_limit());
        let drained = watch.over(handle, "draining", drain).await.unwrap_or(false);
        Ok(Seen { answered, drained })
    }

    /// A drain goes on while messages come; without any, it is given the patience asked for.
    fn drain_limit(&self) -> Duration {
        self.patience.max(Duration::from_secs(10))
    }

    fn rules(&self, finished: &Finished, drained: bool) -> Rules {
        let store = match self.store {
            Store::Sync => StorePromise::Sync,
            Store::Async => StorePromise::Async(AsyncBound::default()),
        };
        Rules {
            store,
            consumed: self.consumers > 0,
            drained,
            acks_confirmed: self.ack == Ack::Confirmed,
            one_active: self.one_active,
            faults: finished.series.fault_windows(),
            generator_lag_p99_ns: finished.series.generator_lag_p99_ns(),
            generator_lag_limit_ns: self.lag_limit.as_nanos() as Nanos,
            depths: Vec::new(),
        }
    }

    fn apply_thresholds(&self, options: &Options, finished: &Finished, verdict: &mut Verdict) {
        let report = Report { options, ledger: &finished.ledger, series: &finished.series, verdict };
        let held: Vec<_> = self.fail_if.iter().map(|threshold| (threshold, threshold.holds(&report))).collect();
        for (threshold, holds) in held {
            match holds {
                Some(true) => verdict.violated(format!("{threshold} holds, and should not")),
                Some(false) => {}
                None => verdict.unknown(format!("{threshold} could not be judged: nothing of it was measured")),
            }
        }
    }

    fn write_files(&self, report: &Report<'_>) -> anyhow::Result<()> {
        if let Some(path) = &self.json {
            let text = serde_json::to_string_pretty(&report.json())?;
            write_file(path, text.as_bytes())?;
        }
        if let Some(path) = &self.history {
            let mut text = String::new();
            for line in crate::history::lines(report.ledger) {
                text.push_str(&line);
                text.push('\n');
            }
            write_file(path, text.as_bytes())?;
        }
        if let Some(folder) = &self.plots {
            std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
            write_file(&folder.join("latency.svg"), plots::latency_over_time(report.series)?.as_bytes())?;
            write_file(&folder.join("rates.svg"), plots::rates_over_time(report.series)?.as_bytes())?;
            write_file(&folder.join("percentiles.svg"), plots::percentile_curve(report.series)?.as_bytes())?;
        }
        Ok(())
    }
}

fn write_file(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    std::fs::write(path, content).with_context(|| format!("writing {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::Servers;

    #[test]
    fn servers_with_and_without_shared_state_are_one_list() {
        let ports = |text: &str| {
            let servers: Servers = text.parse().unwrap();
            servers.0.iter().map(|url| url.port).collect::<Vec<_>>()
        };
        assert_eq!(ports("amqp://a:1,amqp://a:2"), [1, 2]);
        assert_eq!(ports("amqp://a:1+amqp://b:2"), [1, 2]);
        assert_eq!(ports("amqp://a:1,amqp://a:2+amqp://b:3,amqp://b:4"), [1, 2, 3, 4]);
        assert_eq!(ports("amqp://u:p+q@a:1"), [1], "a plus sign in a password");
    }
}
