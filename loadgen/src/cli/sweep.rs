//! Owns `loadgen sweep`: one trial after the other at the rates that the search wants, and the files that they leave.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Args;

use super::arguments::LoadArguments;
use super::conduct::{Course, Watch};
use super::{UsageError, write_file};
use crate::judgement::Measure;
use crate::options::{Limit, Options};
use crate::plots;
use crate::report::Report;
use crate::run::{Finished, start};
use crate::schedule::Rate;
use crate::search::{Bounds, Finding, Search};
use crate::sweep::{Sweep, Trial, grows};
use crate::threshold::Threshold;
use crate::units::parse_duration;
use crate::verdict::{Ruling, Verdict};

/// A rate of a command line that is one number.
fn parse_rate(text: &str) -> Result<f64, String> {
    let rate: Rate = text.parse().map_err(|error: crate::schedule::RateError| error.to_string())?;
    rate.per_second().ok_or_else(|| format!("`{text}`: write one number of messages a second, such as 20k"))
}

/// Exit codes: 0 a rate was found, 1 messages were lost or the like, 2 none was found or the generator was the bottleneck.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  loadgen sweep --url amqp://localhost --address q --target 'p99<5ms' --json sweep.json --svg sweep.svg
  loadgen sweep --url amqp://localhost --address q --target 'p99<1ms,delivery.p99.9<20ms' --from 10k --to 500k --trial 20s

A rate is met if every condition of --target holds and the backlog does not grow. The rate doubles until one is missed, then the gap is
halved until it is within --precision; the answer is tried --confirm times. Exit codes: 0 found, 1 violated, 2 unknown, 254 usage, 255 internal.")]
pub(super) struct SweepArguments {
    #[command(flatten)]
    load: LoadArguments,
    /// What must hold at a rate that counts, such as p99<5ms, delivery.p99.9<20ms, response.max<1s
    #[arg(long, value_name = "CONDITIONS", value_delimiter = ',', required = true, help_heading = "Search")]
    target: Vec<Threshold>,
    /// The first rate, in messages a second
    #[arg(long, value_name = "RATE", default_value = "1k", value_parser = parse_rate, help_heading = "Search")]
    from: f64,
    /// Try no higher rate
    #[arg(long, value_name = "RATE", default_value = "10M", value_parser = parse_rate, help_heading = "Search")]
    to: f64,
    /// Be content when the missed rate is so many percent above the met one
    #[arg(long, value_name = "PERCENT", default_value_t = 5.0, help_heading = "Search")]
    precision: f64,
    /// So many trials must have met the answer
    #[arg(long, value_name = "N", default_value_t = 3, help_heading = "Search")]
    confirm: usize,
    /// Length of a trial, its warm-up not included
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = parse_duration, help_heading = "Search")]
    trial: Duration,
    /// Call a trial unfit if the generator itself was later than this (99th percentile)
    #[arg(long, value_name = "DURATION", default_value = "50ms", value_parser = parse_duration, help_heading = "Search")]
    lag_limit: Duration,
    /// Call a trial unfit if the generator's busiest thread used more of a core than this, in percent
    #[arg(long, value_name = "PERCENT", default_value_t = 95.0, help_heading = "Search")]
    cpu_limit: f64,

    /// Write all trials and the answer as JSON
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    json: Option<PathBuf>,
    /// Write a line of figures for each trial
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    csv: Option<PathBuf>,
    /// Draw latency against load
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    svg: Option<PathBuf>,
    /// Show no progress
    #[arg(long, short, help_heading = "Output")]
    quiet: bool,
}

impl SweepArguments {
    fn bounds(&self) -> anyhow::Result<Bounds> {
        anyhow::ensure!(self.from <= self.to, "--from must not be above --to");
        anyhow::ensure!(self.precision > 0.0, "--precision must be above 0");
        anyhow::ensure!(self.confirm >= 1, "--confirm must be at least 1");
        let (first, most) = (self.from, self.to);
        Ok(Bounds {
            first,
            least: 1.0_f64.min(first),
            most,
            precision: self.precision / 100.0,
            confirmations: self.confirm,
        })
    }

    pub(super) async fn run(&self) -> anyhow::Result<Ruling> {
        let options = self.load.options().map_err(UsageError)?;
        let warmup = if options.warmup.is_zero() { Duration::from_secs(1) } else { options.warmup };
        let options = Options { warmup, limit: Limit::Duration(warmup + self.trial), ..options };
        let mut search = Search::new(self.bounds().map_err(UsageError)?);
        let mut watch = Watch::new(self.quiet)?;
        let mut trials = Vec::new();
        let mut interrupted = false;
        while let Some(rate) = search.next_rate().filter(|_| !interrupted) {
            let rate: Rate = format!("{rate}").parse().context("a rate of the search")?;
            let (trial, cut_short) = self.try_rate(Options { rate, ..options.clone() }, &mut watch).await?;
            interrupted = cut_short;
            if !interrupted {
                search.note(if trial.met() { Finding::Met } else { Finding::Missed });
                watch.progress.say(&trial.line());
                trials.push(trial);
            }
            if trials.last().is_some_and(|trial| trial.violated.is_some()) {
                break;
            }
        }
        watch.progress.finish();
        let targets = self.target.iter().map(ToString::to_string).collect();
        let sweep = Sweep { targets, trials, answer: search.answer(), missed: search.missed(), interrupted };
        print!("{}", sweep.text());
        self.write_files(&sweep)?;
        Ok(sweep.ruling())
    }

    /// One trial, and whether somebody cut it short.
    async fn try_rate(&self, options: Options, watch: &mut Watch) -> anyhow::Result<(Trial, bool)> {
        let course = Course { start_at: None, patience: self.load.patience, quiet_time: self.load.quiet_time };
        let measure = Measure { lag_limit: self.lag_limit, cpu_limit: self.cpu_limit / 100.0, ..Measure::default() };
        let handle = start(options.clone(), None)?;
        let seen = course.conduct(&handle, &options, watch).await?;
        let finished = handle.finish().await?;
        let verdict = measure.judge(&options, &finished, seen.drained);
        Ok((self.judge(&options, &finished, &verdict), seen.interrupted))
    }

    fn judge(&self, options: &Options, finished: &Finished, verdict: &Verdict) -> Trial {
        let report = Report { options, ledger: &finished.ledger, series: &finished.series, verdict };
        let failing = self.target.iter().filter(|target| target.holds(&report) != Some(true));
        let mut misses: Vec<String> = failing.map(|target| format!("{target} does not hold")).collect();
        if grows(&finished.series, options.warmup) {
            misses.push("the backlog grows".to_owned());
        }
        let unfit = (verdict.verdict == Ruling::Unknown).then(|| verdict.reasons.join("; "));
        let violated = (verdict.verdict == Ruling::Violated).then(|| verdict.reasons.join("; "));
        Trial {
            offered_per_s: options.rate.per_second().unwrap_or(0.0),
            confirmed_per_s: report.per_second(verdict.counts.confirmed),
            delivered_per_s: report.per_second(verdict.counts.delivered),
            response: crate::series::Percentiles::of(&finished.series.histograms.response),
            delivery: crate::series::Percentiles::of(&finished.series.histograms.delivery),
            generator_cpu: finished.series.generator_cpu(),
            misses,
            unfit,
            violated,
        }
    }

    fn write_files(&self, sweep: &Sweep) -> anyhow::Result<()> {
        if let Some(path) = &self.json {
            write_file(path, serde_json::to_string_pretty(&sweep.json())?.as_bytes())?;
        }
        if let Some(path) = &self.csv {
            write_file(path, sweep.csv().as_bytes())?;
        }
        if let Some(path) = &self.svg {
            write_file(
                path,
                plots::latency_against_load(&sweep.points(), sweep.answer.map(|(rate, _)| rate))?.as_bytes(),
            )?;
        }
        Ok(())
    }
}
