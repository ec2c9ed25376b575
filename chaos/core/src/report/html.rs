//! report.html: one page without a network, a script or another file, verdict first.

use super::plots::{self, Curve, PHASES};
use super::text::{NOT_EXERCISED, count, duration, interval, not_exercised, of_spread};
use super::theme::{self, BLUE, Dash, GREEN, Line, PURPLE, VERMILION, Width};
use super::{Data, Picture};
use crate::clock::ms_between;
use crate::environment::Environment;
use crate::error::Result;
use crate::result::{Observed, RunResult, SummaryRow, TrialResult, Verdict};
use crate::scenario::StoreSetting;
use crate::statistics::Spread;

const STYLE: &str = include_str!("style.css");

/// The text with the characters that mean something in HTML and XML replaced.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// The page, and the pictures that it shows for files of their own.
pub(super) fn page(data: &Data) -> Result<(String, Vec<Picture>)> {
    let result = &data.result;
    let mut pictures = Vec::new();
    let mut body = head(result);
    body += &matrix(result);
    body += &section("Failover time", &failover(result, &mut pictures)?);
    if let Some(words) = super::backlog::section(result, &mut pictures)? {
        body += &section("What a backlog costs", &words);
    }
    if let Some(words) = pauses(result) {
        body += &section("Woken servers", &words);
    }
    body += &section("Where the time goes", &waterfalls(result, &mut pictures)?);
    body += &section("Each trial over time", &timelines(data, &mut pictures)?);
    body += &section("Latency by percentile", &latency(data, &mut pictures)?);
    body += &section("Store recovery", &recovery(result, &mut pictures)?);
    body += &section("Trials", &trials(result));
    body += &section("Run it again", &again(result));
    Ok((document(&format!("Chaos: {}", result.verdict), &body), pictures))
}

/// A whole page around `body`.
pub(super) fn document(title: &str, body: &str) -> String {
    let style = format!("{}{STYLE}", theme::css_variables());
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n<meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{title}</title>\n<style>{style}</style>\n</head>\n<body>\n<main>\n{body}</main>\n</body>\n</html>\n"
    )
}

pub(super) fn section(title: &str, body: &str) -> String {
    format!("<section>\n<h2>{title}</h2>\n{body}</section>\n")
}

fn tag(verdict: Verdict) -> String {
    format!("<span class=\"tag {verdict}\">{verdict}</span>")
}

fn head(result: &RunResult) -> String {
    let (confirmed, lost) = total(result, |_| true);
    let (sync_confirmed, sync_lost) = total(result, |trial| trial.store == StoreSetting::Sync);
    let [confirmed, lost, sync_confirmed, sync_lost] = [confirmed, lost, sync_confirmed, sync_lost].map(count);
    let words = match result.verdict {
        Verdict::Pass => "Every promise held in every trial, and every fault was seen to take effect.",
        Verdict::Violated => "A promise was broken. The reasons are below.",
        Verdict::Unknown => "At least one trial could not be judged. The reasons are below.",
        Verdict::Skipped => "The environment did not allow these trials.",
    };
    let reasons: String = result
        .trials
        .iter()
        .chain(&result.disturbed)
        .flat_map(|trial| trial.reasons.iter().map(move |reason| (trial, reason)))
        .map(|(trial, reason)| {
            let (number, scenario, store) = (trial.number, &trial.scenario, trial.cell().place());
            format!("<li>trial {number}, {scenario} {store}, {}: {}</li>", tag(trial.verdict), escape(reason))
        })
        .collect();
    let reasons = if reasons.is_empty() { String::new() } else { format!("<ul>{reasons}</ul>") };
    let asynchronous = if not_exercised(result) { format!("<p><b>{NOT_EXERCISED}</b></p>") } else { String::new() };
    format!(
        "<h1>What a failover costs</h1>\n<p class=\"muted\">{} trials, suite {}, seed {}, {}, {:.0} s</p>\n\
         <div class=\"verdict {}\"><strong>{}</strong><p>{words}</p>\
         <p>Sync store: {sync_lost} lost of {sync_confirmed} confirmed messages. Both settings: {lost} of {confirmed}.</p>\
         {asynchronous}{reasons}</div>\n",
        result.trials.len(),
        result.suite,
        result.seed,
        result.started,
        result.duration_s,
        result.verdict,
        result.verdict
    )
}

fn total(result: &RunResult, which: impl Fn(&TrialResult) -> bool) -> (u64, u64) {
    let counts =
        result.trials.iter().filter(|trial| which(trial)).map(|trial| (trial.messages.confirmed, trial.messages.lost));
    counts.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
}

/// The loss matrix: a grid on a desk, a list on a telephone.
fn matrix(result: &RunResult) -> String {
    let mut cells = "<div class=\"head\"></div>".to_owned();
    let scenarios = result.scenarios();
    for scenario in &scenarios {
        cells += &format!("<div class=\"head\">{scenario}</div>");
    }
    for store in StoreSetting::ALL {
        cells += &format!("<div class=\"head\">{store} store</div>");
        for scenario in &scenarios {
            cells += &result.loss(scenario, store).map_or_else(|| empty_cell(scenario, store), |row| cell(&row));
        }
    }
    let sync = result
        .trials
        .iter()
        .filter(|trial| trial.store == StoreSetting::Sync && trial.verdict == Verdict::Pass)
        .count();
    let (_, sync_lost) = total(result, |trial| trial.store == StoreSetting::Sync);
    let rate = if sync > 0 && sync_lost == 0 {
        let share = (300.0 / sync as f64).min(100.0);
        format!(
            " No sync loss in {sync} trials: at 95 % confidence, at most {share:.0} % of such failovers lose anything (3/n)."
        )
    } else {
        String::new()
    };
    section(
        "Lost messages",
        &format!(
            "<p>Confirmed messages that were never delivered, of all that were confirmed, by store setting and fault.</p>\n\
             <div class=\"matrix\">{cells}</div>\n<p class=\"muted\">{}{rate}</p>\n",
            escape(&result.async_bound)
        ),
    )
}

fn empty_cell(scenario: &str, store: StoreSetting) -> String {
    format!("<div class=\"none\"><span class=\"label\">{store} store, {scenario}</span>not run</div>")
}

fn cell(row: &SummaryRow) -> String {
    let wrongly = match row.duplicated_wrongly {
        0 => String::new(),
        wrong => format!(" ({wrong} unmarked or acknowledged before)"),
    };
    let most = if row.lost > 0 { format!("<br>at most {} in one trial", count(row.lost_max)) } else { String::new() };
    format!(
        "<div class=\"cell {verdict}\"><span class=\"label\">{store} store, {scenario}</span>\
         <span class=\"big\">{lost} / {confirmed}</span>{tag}, n = {n}{most}<br>{duplicated} duplicates{wrongly}<br>{unexpected} unexpected</div>",
        verdict = row.verdict,
        store = row.store,
        scenario = row.scenario,
        lost = count(row.lost),
        confirmed = count(row.confirmed),
        tag = tag(row.verdict),
        n = row.trials,
        duplicated = count(row.duplicated),
        unexpected = count(row.unexpected),
    )
}

/// A picture for both widths, kept for a file as well.
pub(super) fn figure(
    pictures: &mut Vec<Picture>,
    name: &str,
    words: &str,
    draw: impl Fn(Width) -> Result<Option<String>>,
) -> Result<Option<String>> {
    let mut html = "<figure>".to_owned();
    for width in Width::BOTH {
        let Some(svg) = draw(width)? else { return Ok(None) };
        html += &format!("<div class=\"{}\">{svg}</div>", width.class());
        if width == Width::Wide {
            pictures.push(Picture { name: format!("{name}.svg"), svg: theme::standalone(&svg) });
        }
    }
    Ok(Some(html + &format!("<figcaption>{words}</figcaption></figure>\n")))
}

const NOTHING: &str = "<p class=\"muted\">No trial of this run gave data for this.</p>\n";

fn failover(result: &RunResult, pictures: &mut Vec<Picture>) -> Result<String> {
    let words = "Each point is a trial: from the moment at which the fault was seen to take effect to the first confirm, by the new active \
                 server, of a message first sent after it. The bar is the median, the shade its 95 % interval (6 or more trials). An open \
                 circle with an arrow did not recover within the limit.";
    let figure = figure(pictures, "failover", words, |width| plots::failover(result, width))?;
    let rows: String = result.summary.iter().map(times_row).collect();
    let head = "<tr><th>scenario</th><th class=\"left\">store</th><th>n</th><th>min</th><th>median</th><th>p90</th><th>max</th>\
                <th>95 % interval of the median</th></tr>";
    let table = format!("<div class=\"scroll\"><table>{head}{rows}</table></div>\n");
    Ok(figure.unwrap_or_else(|| NOTHING.to_owned()) + &table)
}

fn times_row(row: &SummaryRow) -> String {
    let spread = &row.failover_ms;
    let (scenario, store) = (&row.scenario, row.cell().place());
    if spread.n == 0 {
        let words = if row.takeover_expected { "not measured" } else { "no takeover, as expected" };
        return format!(
            "<tr><td>{scenario}</td><td class=\"left\">{store}</td><td>{}</td><td colspan=\"5\">{words}</td></tr>",
            row.trials
        );
    }
    let values = [spread.min, spread.median, spread.p90, spread.max]
        .map(|value| format!("<td>{}</td>", of_spread(spread, value)));
    let (n, values, interval) = (spread.n, values.concat(), interval(spread));
    format!("<tr><td>{scenario}</td><td class=\"left\">{store}</td><td>{n}</td>{values}<td>{interval}</td></tr>")
}

/// How long former active servers stayed after they woke up; `None` when none did.
fn pauses(result: &RunResult) -> Option<String> {
    let rows: String = result.summary.iter().filter(|row| row.left_after_ms.n > 0).map(pause_row).collect();
    let head = "<tr><th>store</th><th>n</th><th>min</th><th>median</th><th>p90</th><th>max</th></tr>";
    let words = "From SIGCONT to the end of the former active server, which must find itself fenced and leave by itself within 1 s. Each \
                 trial's own time is in the table of trials.";
    (!rows.is_empty()).then(|| format!("<p>{words}</p>\n<div class=\"scroll\"><table>{head}{rows}</table></div>\n"))
}

fn pause_row(row: &SummaryRow) -> String {
    let spread = &row.left_after_ms;
    let values = [spread.min, spread.median, spread.p90, spread.max];
    let values = values.map(|value| format!("<td>{}</td>", of_spread(spread, value))).concat();
    format!("<tr><td>{}</td><td>{}</td>{values}</tr>", row.cell().place(), spread.n)
}

fn waterfalls(result: &RunResult, pictures: &mut Vec<Picture>) -> Result<String> {
    let ends: String = PHASES.iter().map(|(name, end, ..)| format!("<li><b>{name}</b> ends with {end}</li>")).collect();
    let mut body = format!(
        "<p>The phases come from the servers' own event lines, on the same clock; they only annotate what clients saw, and a trial in \
         which they are out of order is unknown.</p>\n<ul>{ends}</ul>\n"
    );
    let trials: Vec<&TrialResult> = result.trials.iter().collect();
    for scenario in result.scenarios() {
        let name = format!("waterfall-{scenario}");
        let figure = figure(pictures, &name, "", |width| plots::waterfall(&scenario, &trials, width))?;
        body += &figure.map(|figure| format!("<h3>{scenario}</h3>\n{figure}")).unwrap_or_default();
    }
    body += "<div class=\"scroll\"><table><tr><th>median of</th><th class=\"left\">store</th><th>detection</th><th>claim</th>\
             <th>store recovery</th><th>reattach</th><th>failover</th><th>to steady flow</th></tr>";
    for row in result.summary.iter().filter(|row| row.failover_ms.n > 0) {
        let spreads: [&Spread; 6] =
            [&row.detection_ms, &row.claim_ms, &row.store_recovery_ms, &row.reattach_ms, &row.failover_ms, &row.rto_ms];
        let values = spreads.map(|spread| format!("<td>{}</td>", of_spread(spread, spread.median))).concat();
        body += &format!("<tr><td>{}</td><td class=\"left\">{}</td>{values}</tr>", row.scenario, row.cell().place());
    }
    Ok(body + "</table></div>\n<p class=\"muted\">Medians of phases do not add up to the median of the whole.</p>\n")
}

/// One trial of each cell is open: the one in the middle by failover time. The others can be unfolded.
fn timelines(data: &Data, pictures: &mut Vec<Picture>) -> Result<String> {
    let mut body = "<p>Gaps are times without a single confirm. The band begins with the fault; it ends with the first confirm by the new active \
                    server, or when the fault was taken back.</p>\n"
        .to_owned();
    for row in &data.result.summary {
        let mut cell: Vec<&TrialResult> = data.result.cell(&row.cell()).collect();
        cell.sort_by(|a, b| {
            a.times_ms.failover.unwrap_or(f64::MAX).total_cmp(&b.times_ms.failover.unwrap_or(f64::MAX))
        });
        let open = cell.get((cell.len() - 1) / 2).map(|trial| trial.number);
        body += &format!("<h3>{}, {} store{}</h3>\n", row.scenario, row.store, backlog_words(row));
        cell.sort_by_key(|trial| trial.number);
        for trial in cell {
            body += &timeline(data, trial, open == Some(trial.number), pictures)?;
        }
    }
    Ok(body)
}

fn timeline(data: &Data, trial: &TrialResult, open: bool, pictures: &mut Vec<Picture>) -> Result<String> {
    let summary = format!("trial {}: {}, {}", trial.number, failover_words(trial), tag(trial.verdict));
    let open = if open { " open" } else { "" };
    let body = match data.series.get(&trial.number) {
        Some(buckets) if !buckets.is_empty() => {
            let stem = trial.file_stem();
            let figure = figure(pictures, &stem, "", |width| plots::timeline(trial, buckets, width).map(Some))?;
            figure.unwrap_or_default()
        }
        _ => NOTHING.to_owned(),
    };
    Ok(format!("<details{open}><summary>{summary}</summary>\n{body}</details>\n"))
}

fn backlog_words(row: &SummaryRow) -> String {
    row.backlog.map_or_else(String::new, |backlog| format!(", {backlog}"))
}

fn failover_words(trial: &TrialResult) -> String {
    match trial.failover() {
        Some(Observed::At(failover)) => format!("failover {}", duration(failover)),
        Some(Observed::Beyond(limit)) => format!("no failover within {}", duration(limit)),
        None if trial.takeover => "takeover, not measured".to_owned(),
        None => "no takeover".to_owned(),
    }
}

fn latency(data: &Data, pictures: &mut Vec<Picture>) -> Result<String> {
    let mut body = "<p>All trials of a cell together, after the warm-up: <b>response</b> from the intended send to the confirm, apart for the time from \
                    the fault to steady flow; <b>service</b> from the last attempt to the confirm; <b>delay</b> from the intended send to the last attempt. In an \
                    outage the schedule runs on, so the tail of the response is the outage itself.</p>\n"
        .to_owned();
    let mut any = false;
    for row in &data.result.summary {
        let Some(merged) = data.latency.get(&row.cell()) else { continue };
        any = true;
        let curves = [
            Curve { name: "response", line: Line::solid(BLUE), histogram: &merged.response },
            Curve { name: "response in the fault", line: Line::solid(VERMILION), histogram: &merged.response_in_fault },
            Curve { name: "service", line: Line::dashed(GREEN, Dash::Long), histogram: &merged.service },
            Curve { name: "delay", line: Line::dashed(PURPLE, Dash::Short), histogram: &merged.delay },
        ];
        let name = format!("percentiles-{}", row.cell().slug());
        let label = format!("Latency by percentile, {} {}", row.scenario, row.cell().place());
        let figure = figure(pictures, &name, "", |width| plots::percentiles(&name, &label, &curves, width).map(Some))?;
        let open = if row.scenario == "kill-active" { " open" } else { "" };
        body += &format!(
            "<details{open}><summary>{}, {} store{}</summary>\n{}{}</details>\n",
            row.scenario,
            row.store,
            backlog_words(row),
            figure.unwrap_or_default(),
            percentile_table(&curves)
        );
    }
    Ok(if any { body } else { body + NOTHING })
}

fn percentile_table(curves: &[Curve<'_>]) -> String {
    let mut table = "<div class=\"scroll\"><table><tr><th></th><th>n</th><th>p50</th><th>p90</th><th>p99</th><th>p99.9</th><th>max</th></tr>".to_owned();
    for curve in curves {
        let values = [0.5, 0.9, 0.99, 0.999, 1.0].map(|p| curve.histogram.value_at_quantile(p) as f64 / 1e6);
        let cells = values.map(|ms| {
            if curve.histogram.is_empty() { "<td>-</td>".to_owned() } else { format!("<td>{}</td>", duration(ms)) }
        });
        table +=
            &format!("<tr><td>{}</td><td>{}</td>{}</tr>", curve.name, count(curve.histogram.len()), cells.concat());
    }
    table + "</table></div>\n"
}

fn recovery(result: &RunResult, pictures: &mut Vec<Picture>) -> Result<String> {
    let words = "From the claim of the store to the recovered store, against the bytes of the journal that were read. Each point is a trial.";
    let figure = figure(pictures, "recovery", words, |width| plots::recovery(result, width))?;
    Ok(figure.unwrap_or_else(|| NOTHING.to_owned()))
}

fn trials(result: &RunResult) -> String {
    let rows: String = result.trials.iter().map(trial_row).collect();
    format!(
        "<div class=\"scroll\"><table><tr><th>#</th><th class=\"left\">scenario</th><th class=\"left\">store</th><th class=\"left\">verdict</th>\
         <th>failover</th><th>steady after</th><th>without confirms</th><th>woken server left after</th><th>attempted</th><th>confirmed</th><th>in doubt</th><th>delivered</th>\
         <th>lost</th><th>recovered</th><th>duplicates</th><th>p99 before</th><th class=\"left\">evidence and observations</th></tr>{rows}</table></div>\n"
    )
}

fn trial_row(trial: &TrialResult) -> String {
    let optional = |ms: Option<f64>| ms.map_or_else(|| "-".to_owned(), duration);
    let observed = |time: Option<Observed>| match time {
        Some(Observed::Beyond(limit)) => format!("> {}", duration(limit)),
        other => optional(other.map(Observed::ms)),
    };
    let messages = &trial.messages;
    let numbers = [
        observed(trial.failover()),
        observed(trial.rto()),
        optional(trial.unavailable_ms.publish),
        optional(trial.left_after_ms),
        count(messages.attempted),
        count(messages.confirmed),
        count(messages.in_doubt),
        count(messages.delivered),
        count(messages.lost),
        count(messages.recovered),
        count(messages.duplicated),
        duration(trial.response_ms.before.p99),
    ];
    let numbers = numbers.map(|value| format!("<td>{value}</td>")).concat();
    let (number, scenario, store, verdict) = (trial.number, &trial.scenario, trial.cell().place(), tag(trial.verdict));
    let words = escape(&evidence(trial).join("; "));
    format!(
        "<tr><td>{number}</td><td class=\"left\">{scenario}</td><td class=\"left\">{store}</td><td class=\"left\">{verdict}</td>{numbers}\
         <td class=\"words\">{words}</td></tr>\n"
    )
}

fn evidence(trial: &TrialResult) -> Vec<String> {
    let mut words = Vec::new();
    for fault in &trial.faults {
        match &fault.effect {
            Some(effect) => {
                let after_ms = ms_between(effect.requested_ns, effect.effective_ns);
                words.push(format!("{} (proved {after_ms:.3} ms after the request)", effect.proof));
            }
            None => words.push(format!("{} was not seen to take effect", fault.name)),
        }
        words.extend(fault.evidence.iter().cloned());
    }
    for loss in &trial.losses {
        let shape = if loss.is_suffix { "a suffix" } else { "with a hole" };
        words.push(format!(
            "producer {} lost {} confirms, {shape} of {} us",
            loss.producer, loss.messages, loss.span_us
        ));
    }
    words.extend(trial.observations.iter().cloned());
    if let Some(lag_ms) = trial.generator_lag_p99_ms {
        let share = &trial.processor_share;
        words.push(format!(
            "the generator's own lag was {} at p99; the active server used {:.2} cores before the fault, harness and generator {:.2}",
            duration(lag_ms),
            share.active,
            share.harness
        ));
    }
    words.extend(trial.not_judged.iter().map(|sentence| format!("not judged: {sentence}")));
    words
}

/// Where a run took place, by name.
pub(super) fn environment(environment: &Environment) -> [(&'static str, String); 5] {
    let Environment { processor, processors, memory_mib, .. } = environment;
    [
        ("broker", environment.broker.clone()),
        ("version", format!("{}, commit {}", environment.version, environment.commit)),
        ("machine", format!("{processor}, {processors} processors, {memory_mib} MiB")),
        ("kernel", environment.kernel.clone()),
        ("file system", format!("{} at {}", environment.file_system, environment.store_parent)),
    ]
}

fn again(result: &RunResult) -> String {
    let (load, pair) = (&result.load, &result.pair);
    let entries = [
        ("seed", result.seed.to_string()),
        (
            "load",
            format!(
                "open loop, {} messages/s of {} bytes from {} producers, {} consumer with confirmed acknowledgements; backlog policy catch-up",
                load.rate_per_s, load.size_bytes, load.producers, load.consumers
            ),
        ),
        (
            "clients",
            format!(
                "idle time-out {} ms, connect time-out {} ms, window {}, credit {}",
                load.client_idle_timeout_ms, load.client_connect_timeout_ms, load.window, load.credit
            ),
        ),
        ("pair", format!("ft_heartbeat {} ms, ft_activation {} ms", pair.ft_heartbeat_ms, pair.ft_activation_ms)),
        (
            "async store",
            format!("async_flush_interval {} ms, async_unflushed_max {} bytes", pair.async_flush_interval_ms, pair.async_unflushed_bytes_max),
        ),
        ("a trial", format!("{} ms warm-up, fault at a random phase, {} ms of steady flow", load.warm_up_ms, load.steady_ms)),
        ("steady", "at least 95 % of the offered rate and a p99 of at most twice that of the second before the fault, or 10 ms".to_owned()),
    ];
    let entries = entries.into_iter().chain(environment(&result.environment));
    let list: String = entries.map(|(name, value)| format!("<dt>{name}</dt><dd>{}</dd>", escape(&value))).collect();
    format!(
        "<pre>{}</pre>\n<p>The plan with every phase and seed is in plan.json, every figure in result.json and trials.csv, every send and delivery in \
         history.jsonl.zst, all events in events.jsonl, histograms in the .hlog files.</p>\n<dl>{list}</dl>\n",
        escape(&result.command)
    )
}
