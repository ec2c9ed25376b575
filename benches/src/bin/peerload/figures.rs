//! What the operating system says about both sides, and the line of JSON that is printed.
//!
//! Owns the reading of /proc and /sys, and the judgement which side was the bottleneck.

use crate::load::Load;
use crate::options::Options;
use anyhow::{Context, Result};
use nix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};
use std::time::Instant;

/// A side that had its processor for so much of the time was busy all the time.
const BUSY_SHARE: f64 = 0.93;
/// Fields of /proc/PID/stat behind the name: utime and stime are the 12th and 13th.
const UTIME_FIELD: usize = 11;
/// Field of /sys/block/DEVICE/stat: flush requests that completed.
const FLUSHES_FIELD: usize = 15;

/// Counters at one moment.
pub(crate) struct Figures {
    at: Instant,
    /// Processor time, in nanoseconds.
    broker_ns: u64,
    tool_ns: u64,
    flushes: Option<u64>,
}

impl Figures {
    /// Reads the counters.
    ///
    /// # Errors
    /// The broker is gone, or /proc or /sys does not say what was asked for.
    pub(crate) fn take(options: &Options) -> Result<Self> {
        let broker_ns = options.broker_pid.iter().map(|pid| process_ns(*pid)).sum::<Result<u64>>()?;
        let own = clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)?;
        let tool_ns = own.tv_sec() as u64 * 1_000_000_000 + own.tv_nsec() as u64;
        let flushes = options.device.as_deref().map(flushes).transpose()?;
        Ok(Figures { at: Instant::now(), broker_ns, tool_ns, flushes })
    }
}

/// Processor time of all threads of a process, in steps of 10 ms.
fn process_ns(pid: u32) -> Result<u64> {
    let stat =
        std::fs::read_to_string(format!("/proc/{pid}/stat")).with_context(|| format!("process {pid} is gone"))?;
    let (_, fields) = stat.rsplit_once(')').context("a name ends with a parenthesis")?;
    let ticks = fields.split_whitespace().skip(UTIME_FIELD).take(2).map(|field| field.parse::<u64>().unwrap_or(0));
    Ok(ticks.sum::<u64>() * 10_000_000)
}

fn flushes(device: &str) -> Result<u64> {
    let path = format!("/sys/block/{device}/stat");
    let stat = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    stat.split_whitespace()
        .nth(FLUSHES_FIELD)
        .context("this kernel does not count flushes")?
        .parse()
        .map_err(Into::into)
}

/// All that was measured, in one line.
pub(crate) fn line(options: &Options, load: &Load, before: &Figures, after: &Figures) -> Value {
    let seconds = (after.at - before.at).as_secs_f64();
    let share = |from: u64, to: u64| (to - from) as f64 / 1e9 / seconds;
    let (broker, tool) = (share(before.broker_ns, after.broker_ns), share(before.tool_ns, after.tool_ns));
    let latency = |quantile: f64| load.latencies.value_at_quantile(quantile) as f64 / 1e3;
    let flushes = before.flushes.zip(after.flushes).map(|(from, to)| ((to - from) as f64 / seconds).round());
    json!({
        "label": options.label,
        "producers": options.producers,
        "in_flight": options.in_flight,
        "bytes": options.bytes,
        "settled": options.settled,
        "rate": options.rate,
        "seconds": seconds,
        "confirmed_per_s": (load.total.confirmed as f64 / seconds).round(),
        "received_per_s": (load.total.received as f64 / seconds).round(),
        "latency_us_p50": latency(0.5),
        "latency_us_p99": latency(0.99),
        "latency_us_p999": latency(0.999),
        "broker_cpu": broker,
        "tool_cpu": tool,
        "flushes_per_s": flushes,
        "bottleneck": bottleneck(options, broker, tool),
    })
}

/// The side that had no processor time left, if one had none.
fn bottleneck(options: &Options, broker: f64, tool: f64) -> &'static str {
    match (options.rate > 0, tool >= BUSY_SHARE, broker >= BUSY_SHARE) {
        (_, true, _) => "tool",
        (_, false, true) => "broker",
        (true, false, false) => "none: the rate was given",
        (false, false, false) => "neither processor: disk, or the wait for answers",
    }
}
