//! Owns `loadgen run`: its own arguments, and the files that it leaves.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, ValueEnum};

use super::arguments::LoadArguments;
use super::conduct::{Course, Watch};
use super::{UsageError, write_file};
use crate::judgement::Measure;
use crate::options::{Limit, Options};
use crate::page;
use crate::plots;
use crate::report::Report;
use crate::run::{Finished, start};
use crate::schedule::Rate;
use crate::table;
use crate::threshold::Threshold;
use crate::units::parse_duration;
use crate::verdict::{Ruling, Verdict};
use crate::wall::StartAt;

/// What a store promises, as far as a command line can say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Store {
    /// What is confirmed is never lost.
    Sync,
    /// A lost connection may cost the newest of what was confirmed on it, but leaves no hole.
    Async,
}

/// Exit codes: 0 pass, 1 violated, 2 unknown, 254 usage, 255 internal.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  loadgen run --url amqp://127.0.0.1:7222,amqp://127.0.0.1:7224 --address sync.q --rate 20k --duration 30s --ack confirmed
  loadgen run --url amqp://localhost --address q --rate max --size 16 --producers 16 --window 1000 --json result.json
  loadgen run --url amqp://localhost --address q.{0..99} --producers 100 --consumers 100 --rate ramp:1k..50k/30s --spread poisson
  loadgen run --profile nightly.toml --rate 5k
  loadgen run --url amqp://localhost --address q --drain-only

Exit codes: 0 pass, 1 violated, 2 unknown, 254 usage, 255 internal.")]
pub(super) struct RunArguments {
    #[command(flatten)]
    load: LoadArguments,

    /// Messages a second of all producers together, such as 20000, 20k, 1.5M; or max (closed loop); or a rate that changes:
    /// ramp:1k..50k/30s, steps:1k*10s,5k*10s, bursts:20k/200ms/1s
    #[arg(long, default_value = "max", help_heading = "Load")]
    rate: Rate,
    /// Send for this long, such as 500ms, 10s, 5m
    #[arg(long, default_value = "10s", value_parser = parse_duration, conflicts_with = "count", help_heading = "Load")]
    duration: Duration,
    /// Send so many messages instead, of all producers together
    #[arg(long, value_name = "N", help_heading = "Load")]
    count: Option<u64>,
    /// Only empty the queues: nothing is sent
    #[arg(long, conflicts_with_all = ["count", "duration", "producers", "rate", "build_backlog", "request_reply"], help_heading = "Load")]
    drain_only: bool,
    /// Producers ask and wait for the answer on a queue of their own; consumers answer
    #[arg(long, conflicts_with_all = ["settled", "build_backlog", "no_ledger"], help_heading = "Load")]
    request_reply: bool,
    /// Begin the schedule at this time, such as 2026-11-26T12:00:00Z, or so long from now, such as +10s: for many machines
    #[arg(long, value_name = "TIME", help_heading = "Load")]
    start_at: Option<StartAt>,

    /// What the queue's store promises: sync loses nothing confirmed; async may lose the newest confirms of a lost connection
    #[arg(long, value_enum, default_value_t = Store::Sync, help_heading = "Verdict")]
    store: Store,
    /// Count the run as violated if this holds, such as p99>5ms, delivery.p99.9>1s, gap>3s, confirmed_rate<10000, duplicated>0
    #[arg(long, value_name = "CONDITION", value_delimiter = ',', help_heading = "Verdict")]
    fail_if: Vec<Threshold>,
    /// Call the run unknown if the generator itself was later than this (99th percentile, outside faults)
    #[arg(long, value_name = "DURATION", default_value = "50ms", value_parser = parse_duration, help_heading = "Verdict")]
    lag_limit: Duration,
    /// Call the run unknown if the generator's busiest thread used more of a core than this, in percent
    #[arg(long, value_name = "PERCENT", default_value_t = 95.0, help_heading = "Verdict")]
    cpu_limit: f64,
    /// Only one server of the list may confirm at a time: two that do are a violation
    #[arg(long, help_heading = "Verdict")]
    one_active: bool,

    /// Write the whole result as JSON
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    json: Option<PathBuf>,
    /// Write an HDR interval log (tags: histogram.phase)
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    hlog: Option<PathBuf>,
    /// Write a line of figures for each tenth of a second
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    csv: Option<PathBuf>,
    /// Write every send and delivery as JSON lines
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    history: Option<PathBuf>,
    /// Write latency.svg, rates.svg and percentiles.svg into this folder
    #[arg(long, value_name = "FOLDER", help_heading = "Output")]
    plots: Option<PathBuf>,
    /// Write a page for a browser with all of it, in one file
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    html: Option<PathBuf>,
    /// Show no progress
    #[arg(long, short, help_heading = "Output")]
    quiet: bool,
}

impl RunArguments {
    fn options(&self) -> anyhow::Result<Options> {
        let options = self.load.options()?;
        Ok(Options {
            rate: self.rate.clone(),
            limit: self.count.map_or(Limit::Duration(self.duration), Limit::Count),
            producers: if self.drain_only { 0 } else { options.producers },
            request_reply: self.request_reply,
            ..options
        })
    }

    pub(super) async fn run(&self) -> anyhow::Result<Ruling> {
        let options = self.options().map_err(UsageError)?;
        let measure = Measure {
            store: Measure::of_store(self.store == Store::Async),
            one_active: self.one_active,
            lag_limit: self.lag_limit,
            cpu_limit: self.cpu_limit / 100.0,
        };
        let course = Course { start_at: self.start_at, patience: self.load.patience, quiet_time: self.load.quiet_time };
        let handle = start(options.clone(), self.hlog.as_deref())?;
        let mut watch = Watch::new(self.quiet)?;
        let seen = course.conduct(&handle, &options, &mut watch).await?;
        let finished = handle.finish().await?;
        watch.progress.finish();
        let mut verdict = measure.judge(&options, &finished, seen.drained);
        seen.include(&options, &course, &mut verdict);
        self.apply_thresholds(&options, &finished, &mut verdict);
        let Finished { ledger, series } = &finished;
        let report = Report { options: &options, ledger, series, verdict: &verdict };
        print!("{}", report.text());
        self.write_files(&report)?;
        Ok(verdict.verdict)
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
        if let Some(path) = &self.csv {
            write_file(path, table::intervals(report.series).as_bytes())?;
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
        if let Some(path) = &self.html {
            write_file(path, page::of_run(report)?.as_bytes())?;
        }
        Ok(())
    }
}
