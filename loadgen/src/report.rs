//! Owns what a run leaves for readers: the JSON document and the summary in words. It judges nothing and measures nothing.

use std::fmt::{self, Write};

use serde_json::{Value, json};

use crate::clock::Nanos;
use crate::host::Host;
use crate::ledger::{Connection, Ledger};
use crate::meter::Histograms;
use crate::options::{Limit, Options};
use crate::schedule::Spread;
use crate::series::{Percentiles, Series};
use crate::timeline::{Gaps, gaps};
use crate::verdict::{Counts, LinkLoss, Verdict, Window};

/// The name and version of the JSON document's form.
pub const SCHEMA: &str = "understudy.loadgen/1";

/// A finished run, and what was found out about it.
#[derive(Debug)]
pub struct Report<'a> {
    /// What was asked for.
    pub options: &'a Options,
    /// Every send and delivery.
    pub ledger: &'a Ledger,
    /// Rates and latencies.
    pub series: &'a Series,
    /// The judgement.
    pub verdict: &'a Verdict,
}

impl Report<'_> {
    /// The whole report as one JSON document of the form `SCHEMA`. Times are CLOCK_MONOTONIC nanoseconds.
    #[must_use]
    pub fn json(&self) -> Value {
        let Self { options, ledger, series, verdict } = self;
        json!({
            "schema": SCHEMA,
            "verdict": verdict.verdict.to_string(),
            "findings": verdict.findings.iter().map(|finding| finding.name()).collect::<Vec<_>>(),
            "reasons": verdict.reasons,
            "not_judged": verdict.not_judged,
            "run": format!("{:016x}", ledger.run),
            "options": options_json(options),
            "start_ns": series.start_ns,
            "stop_ns": series.stop_ns,
            "loss_judged": verdict.loss_judged,
            "messages": counts_json(&verdict.counts),
            "losses": verdict.losses.iter().map(loss_json).collect::<Vec<_>>(),
            "rates": {
                "confirmed_per_s": self.per_second(verdict.counts.confirmed),
                "delivered_per_s": self.delivered_per_second(),
            },
            "replies": series.counters.replies,
            "latency_ns": latency_json(&series.histograms),
            "generator_lag_p99_ns": series.generator_lag_p99_ns(),
            "generator_cpu": series.generator_cpu(),
            "generator_wait": series.generator_wait(),
            "host": Host::read(),
            "gaps": gaps_json(&self.gaps()),
            "connections": self.connections_json(),
            "marks": series.marks,
            "faults": series.faults,
            "intervals": series.intervals,
        })
    }

    pub(crate) fn gaps(&self) -> Gaps {
        let stop_ns = if self.series.stop_ns == 0 { Nanos::MAX } else { self.series.stop_ns };
        gaps(self.ledger, self.series.start_ns, stop_ns)
    }

    /// Messages a second over the time in which messages were sent.
    pub(crate) fn per_second(&self, count: u64) -> f64 {
        let seconds = self.series.sending_seconds();
        if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
    }

    /// Deliveries a second: while messages were sent, or between the first and the last where nobody sent any.
    pub(crate) fn delivered_per_second(&self) -> f64 {
        let delivered = self.verdict.counts.delivered;
        if !self.ledger.producers.is_empty() {
            return self.per_second(delivered);
        }
        let mut busy = self.series.intervals.iter().filter(|interval| interval.counters.delivered > 0);
        let Some(first) = busy.next() else { return 0.0 };
        let last_ns = busy.next_back().map_or(first.end_ns, |interval| interval.end_ns);
        delivered as f64 * 1e9 / (last_ns - first.begin_ns) as f64
    }

    fn connections(&self) -> impl Iterator<Item = (String, &Connection)> {
        let producers = self.ledger.producers.iter().flat_map(|log| {
            log.connections.iter().map(move |connection| (format!("producer {}", log.producer), connection))
        });
        let consumers = self.ledger.consumers.iter().flat_map(|log| {
            log.connections.iter().map(move |connection| (format!("consumer {}", log.consumer), connection))
        });
        producers.chain(consumers)
    }

    fn connections_json(&self) -> Vec<Value> {
        let line = |(client, connection): (String, &Connection)| {
            json!({
                "client": client, "server": connection.server, "opened_ns": connection.opened_ns,
                "closed_ns": connection.closed_ns, "reason": connection.reason,
            })
        };
        self.connections().map(line).collect()
    }

    /// The report in words, for a terminal.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::new();
        // Writing into a string cannot fail.
        self.write(&mut out).expect("a string takes everything");
        out
    }

    fn write(&self, out: &mut String) -> fmt::Result {
        let counts = &self.verdict.counts;
        let seconds = self.series.sending_seconds();
        if self.ledger.producers.is_empty() {
            let (delivered, consumers, rate) = (counts.delivered, self.options.consumers, self.delivered_per_second());
            writeln!(out, "delivered {delivered} to {consumers} consumers ({rate:.0}/s)")?;
            self.write_generator(out)?;
            return self.write_verdict(out);
        }
        writeln!(out, "Sent for {seconds:.1} s: {}", describe(self.options))?;
        writeln!(
            out,
            "  attempted {}  confirmed {} ({:.0}/s)  refused {}  in doubt {}{}",
            counts.attempted,
            counts.confirmed,
            self.per_second(counts.confirmed),
            counts.failed,
            counts.in_doubt,
            if counts.shed > 0 { format!("  shed {}", counts.shed) } else { String::new() },
        )?;
        let rate = self.delivered_per_second();
        if self.options.ledger {
            writeln!(out, "  delivered {} ({} distinct, {rate:.0}/s)", counts.delivered, counts.delivered_distinct)?;
        } else {
            writeln!(out, "  delivered {} ({rate:.0}/s)", counts.delivered)?;
        }
        if self.options.request_reply {
            writeln!(out, "  answered {}", self.series.counters.replies)?;
        }
        self.write_latency(out)?;
        self.write_generator(out)?;
        self.write_outages(out)?;
        self.write_verdict(out)
    }

    fn write_latency(&self, out: &mut String) -> fmt::Result {
        writeln!(out)?;
        writeln!(
            out,
            "{:<10} {:>10} {:>10} {:>10} {:>10} {:>10} {:>10} {:>10}",
            "latency", "min", "50 %", "90 %", "99 %", "99.9 %", "99.99 %", "max"
        )?;
        for (name, histogram) in Histograms::NAMES.iter().zip(self.series.histograms.all()) {
            let Some(points) = Percentiles::of(histogram) else { continue };
            let Percentiles { min_ns, p50_ns, p90_ns, p99_ns, p999_ns, p9999_ns, max_ns, .. } = points;
            write!(out, "{name:<10}")?;
            for value_ns in [min_ns, p50_ns, p90_ns, p99_ns, p999_ns, p9999_ns, max_ns] {
                write!(out, " {:>10}", latency(value_ns))?;
            }
            writeln!(out)?;
        }
        Ok(())
    }

    /// What the measuring itself cost, and what makes it doubtful.
    fn write_generator(&self, out: &mut String) -> fmt::Result {
        let host = Host::read();
        let percent =
            |share: Option<f64>| share.map_or_else(|| "-".to_owned(), |share| format!("{:.0} %", share * 100.0));
        writeln!(out)?;
        writeln!(
            out,
            "generator: busiest thread {} of a core, waiting for one {}; clock {} ({:.0} ns a reading), {} cores",
            percent(self.series.generator_cpu()),
            percent(self.series.generator_wait()),
            host.clock_source,
            host.clock_read_ns,
            host.cores
        )?;
        host.doubt().map_or(Ok(()), |doubt| writeln!(out, "  {doubt}"))
    }

    fn write_outages(&self, out: &mut String) -> fmt::Result {
        let lost: Vec<_> = self.connections().filter(|(_, connection)| connection.is_lost()).collect();
        if lost.is_empty() {
            return Ok(());
        }
        writeln!(out)?;
        let at = |at_ns: Nanos| (at_ns.saturating_sub(self.series.start_ns)) as f64 / 1e9;
        writeln!(out, "{} connections were lost:", lost.len())?;
        for (client, connection) in lost.iter().take(12) {
            let closed_s = at(connection.closed_ns);
            // Some brokers send a page of their stack.
            writeln!(out, "  at {closed_s:.3} s  {client} from {}: {:.160}", connection.server, connection.reason)?;
        }
        let gaps = self.gaps();
        for (what, gap) in [("confirms", gaps.confirm), ("deliveries", gaps.delivery)] {
            if let Some(gap) = gap {
                let length = latency(gap.end_ns - gap.begin_ns);
                writeln!(out, "  longest time without {what}: {length} (from {:.3} s)", at(gap.begin_ns))?;
            }
        }
        Ok(())
    }

    fn write_verdict(&self, out: &mut String) -> fmt::Result {
        let Verdict { counts, loss_judged, .. } = self.verdict;
        writeln!(out)?;
        if self.ledger.producers.is_empty() {
            return self.write_reasons(out);
        }
        if !self.options.ledger {
            return self.write_reasons(out);
        }
        let lost = if *loss_judged { format!("{} lost", counts.lost) } else { "loss not judged".to_owned() };
        writeln!(
            out,
            "{lost}, {} unexpected, {} out of order, {} recovered",
            counts.unexpected, counts.out_of_order, counts.recovered
        )?;
        for loss in &self.verdict.losses {
            writeln!(out, "  {}", describe_loss(loss))?;
        }
        writeln!(
            out,
            "{} duplicated: {} by our re-sends, {} marked and {} unmarked redeliveries, {} resurrected",
            counts.duplicated,
            counts.duplicated_by_resend,
            counts.redelivered_flagged,
            counts.redelivered_unflagged,
            counts.resurrected
        )?;
        self.write_reasons(out)
    }

    fn write_reasons(&self, out: &mut String) -> fmt::Result {
        let Verdict { verdict, reasons, not_judged, .. } = self.verdict;
        for reason in not_judged {
            writeln!(out, "not judged: {reason}")?;
        }
        for reason in reasons {
            writeln!(out, "{verdict}: {reason}")?;
        }
        writeln!(out, "verdict: {verdict}")
    }
}

/// The request in one line.
pub(crate) fn describe(options: &Options) -> String {
    let Options { producers, consumers, window, ack, backlog, resend, seed, .. } = options;
    let spread = if options.spread == Spread::Even { "" } else { " at random" };
    let durability = if options.durable { "durable" } else { "not durable" };
    let settled = if options.settled { ", settled" } else { "" };
    format!(
        "{}{spread}, {} {durability}{settled}, {producers} producers with {window} in flight, {consumers} consumers (ack {ack}), \
         backlog {backlog}, resend {resend}, seed {seed}",
        options.rate,
        sizes(options),
    )
}

fn sizes(options: &Options) -> String {
    match &options.sizes {
        _ if !options.contents.is_empty() => format!("content of {} files", options.contents.len()),
        Some(sizes) => sizes.to_string(),
        None => format!("{} B", options.payload_bytes),
    }
}

/// What one link lost, in one line.
fn describe_loss(loss: &LinkLoss) -> String {
    let LinkLoss { producer, connection, confirmed, lost, span_ns, holes, .. } = loss;
    let shape = if *holes == 0 { "the newest ones".to_owned() } else { format!("{holes} of them from the middle") };
    let span = latency(*span_ns);
    format!("producer {producer}, connection {connection}: {lost} of {confirmed} confirmed, {shape}, over {span}")
}

/// A latency with the unit that keeps it short.
pub(crate) fn latency(value_ns: Nanos) -> String {
    match value_ns as f64 {
        value if value < 999_500.0 => format!("{:.1} us", value / 1e3),
        value if value < 999_500_000.0 => format!("{:.2} ms", value / 1e6),
        value => format!("{:.2} s", value / 1e9),
    }
}

fn options_json(options: &Options) -> Value {
    let limit = match options.limit {
        Limit::Duration(duration) => json!({"duration_s": duration.as_secs_f64()}),
        Limit::Count(count) => json!({"count": count}),
        Limit::None => json!({}),
    };
    json!({
        "urls": options.urls.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "addresses": options.addresses,
        "rate": options.rate.to_string(),
        "rate_per_s": options.rate.per_second(),
        "spread": options.spread.to_string(),
        "sizes": sizes(options),
        "producers": options.producers,
        "consumers": options.consumers,
        "limit": limit,
        "window": options.window,
        "credit": options.credit,
        "renew": options.renew.to_string(),
        "drain_by": options.drain_by.to_string(),
        "ack": options.ack.to_string(),
        "settled": options.settled,
        "request_reply": options.request_reply,
        "build_backlog": options.build_backlog,
        "producer_think_ms": options.producer_think.as_secs_f64() * 1e3,
        "consumer_think_ms": options.consumer_think.as_secs_f64() * 1e3,
        "consume": options.consume.to_string(),
        "durable": options.durable,
        "backlog": options.backlog.to_string(),
        "paced_factor": options.paced_factor,
        "shed_after_ms": options.shed_after.as_millis() as u64,
        "backlog_max": options.backlog_max,
        "resend": options.resend.to_string(),
        "ledger": options.ledger,
        "seed": options.seed,
        "threads": options.threads,
        "warmup_s": options.warmup.as_secs_f64(),
        "tick_us": options.tick.as_micros() as u64,
    })
}

/// The totals of a verdict as JSON, by the names of `Counts`.
#[must_use]
pub fn counts_json(counts: &Counts) -> Value {
    json!({
        "attempted": counts.attempted, "attempts": counts.attempts, "confirmed": counts.confirmed,
        "failed": counts.failed, "in_doubt": counts.in_doubt, "shed": counts.shed, "delivered": counts.delivered,
        "delivered_distinct": counts.delivered_distinct, "lost": counts.lost, "undelivered": counts.undelivered,
        "recovered": counts.recovered, "unexpected": counts.unexpected, "alien": counts.alien,
        "corrupt": counts.corrupt, "never_attempted": counts.never_attempted, "ghosts": counts.ghosts,
        "duplicated": counts.duplicated, "duplicated_by_resend": counts.duplicated_by_resend,
        "redelivered_flagged": counts.redelivered_flagged, "redelivered_unflagged": counts.redelivered_unflagged,
        "resurrected": counts.resurrected, "out_of_order": counts.out_of_order,
        "confirmed_by_two": counts.confirmed_by_two,
    })
}

fn loss_json(loss: &LinkLoss) -> Value {
    json!({
        "producer": loss.producer, "connection": loss.connection, "confirmed": loss.confirmed, "lost": loss.lost,
        "lost_bytes": loss.lost_bytes, "span_ns": loss.span_ns, "holes": loss.holes, "excused": loss.excused,
    })
}

/// Points of each latency histogram as JSON, by the names of `Histograms`; `null` where nothing was recorded.
#[must_use]
pub fn latency_json(histograms: &Histograms) -> Value {
    let points = Histograms::NAMES.iter().zip(histograms.all());
    let points = points.map(|(name, histogram)| ((*name).to_owned(), json!(Percentiles::of(histogram))));
    Value::Object(points.collect())
}

fn gaps_json(gaps: &Gaps) -> Value {
    let gap = |gap: Option<Window>| gap.map(|gap| json!({"begin_ns": gap.begin_ns, "end_ns": gap.end_ns}));
    json!({"confirm": gap(gaps.confirm), "delivery": gap(gaps.delivery)})
}
