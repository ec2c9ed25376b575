//! The sections of the page that are about all scenarios: times, recovery, trials, and what repeats the run.

use super::html::{NOTHING, definitions, details, environment, escape, figure, table, tag};
use super::plots::{self, PHASES};
use super::text::{count, duration, interval, of_spread};
use super::{Picture, data, scenarios};
use crate::clock::ms_between;
use crate::error::Result;
use crate::result::{FaultRecord, Observed, RunResult, SummaryRow, TrialResult, Verdict};
use crate::statistics::Spread;

pub(super) fn failover(result: &RunResult, pictures: &mut Vec<Picture>) -> Result<String> {
    let words = "Each point is a trial: from the moment at which the fault was seen to take effect to the first confirm, by the new active \
                 server, of a message first sent after it. The bar is the median, the shade its 95 % interval (6 or more trials). An open \
                 circle with an arrow did not recover within the limit.";
    let csv = data::failover(&result.trials);
    let figure = figure(pictures, "failover", words, Some(csv), |width| plots::failover(result, width))?;
    let rows: String = result.summary.iter().map(|row| times_row(result, row)).collect();
    let head = ["scenario", "store", "n", "min", "median", "p90", "max", "95 % interval of the median"];
    let table = long_table(result.summary.len(), "failover times in numbers", &table(&head, &rows));
    Ok(figure.unwrap_or_else(|| NOTHING.to_owned()) + &table)
}

/// A table with more rows than this is folded at first: its parts are in the sections of the scenarios.
const ROWS_SHOWN_MAX: usize = 16;

fn long_table(rows: usize, words: &str, table: &str) -> String {
    if rows > ROWS_SHOWN_MAX { details(false, &format!("{words} ({rows} rows)"), table) } else { table.to_owned() }
}

pub(super) fn times_row(result: &RunResult, row: &SummaryRow) -> String {
    let spread = &row.failover_ms;
    let (scenario, place) = (escape(&row.scenario), escape(&row.cell().place()));
    if spread.n == 0 {
        let words = without_failover(result, row);
        return format!(
            "<tr><td>{scenario}</td><td class=\"left\">{place}</td><td>{}</td><td colspan=\"5\">{words}</td></tr>",
            row.trials
        );
    }
    let values = [spread.min, spread.median, spread.p90, spread.max]
        .map(|value| format!("<td>{}</td>", of_spread(spread, value)));
    let (n, values, interval) = (spread.n, values.concat(), interval(spread));
    format!("<tr><td>{scenario}</td><td class=\"left\">{place}</td><td>{n}</td>{values}<td>{interval}</td></tr>")
}

/// What is told of trials without a failover: where nobody took over, how long clients were not served.
fn without_failover(result: &RunResult, row: &SummaryRow) -> String {
    if row.verdict == Verdict::Skipped {
        return "skipped".to_owned();
    }
    if row.takeover_expected {
        return "not measured".to_owned();
    }
    let cell = row.cell();
    let gaps = result.cell(&cell).filter_map(|trial| trial.unavailable_ms.publish);
    match gaps.max_by(f64::total_cmp) {
        Some(gap) => format!("no takeover; longest time without confirms {}", duration(gap)),
        None => "no takeover".to_owned(),
    }
}

/// How long former active servers stayed after they woke up; `None` when none did.
pub(super) fn pauses(result: &RunResult) -> Option<String> {
    let rows: String = result.summary.iter().filter(|row| row.left_after_ms.n > 0).map(pause_row).collect();
    let words = "From SIGCONT to the end of the former active server, which must find itself fenced and leave by itself within 1 s. Each \
                 trial's own time is in the table of trials.";
    let head = ["scenario", "store", "n", "min", "median", "p90", "max"];
    (!rows.is_empty()).then(|| format!("<p>{words}</p>\n{}", table(&head, &rows)))
}

fn pause_row(row: &SummaryRow) -> String {
    let spread = &row.left_after_ms;
    let values = [spread.min, spread.median, spread.p90, spread.max];
    let values = values.map(|value| format!("<td>{}</td>", of_spread(spread, value))).concat();
    let (scenario, place) = (escape(&row.scenario), escape(&row.cell().place()));
    format!("<tr><td>{scenario}</td><td class=\"left\">{place}</td><td>{}</td>{values}</tr>", spread.n)
}

/// The medians of the phases; the waterfalls are in the sections of the scenarios.
pub(super) fn phases(result: &RunResult) -> String {
    let ends: String = PHASES.iter().map(|(name, end, ..)| format!("<li><b>{name}</b> ends with {end}</li>")).collect();
    let mut rows = String::new();
    for row in result.summary.iter().filter(|row| row.failover_ms.n > 0) {
        let spreads: [&Spread; 6] =
            [&row.detection_ms, &row.claim_ms, &row.store_recovery_ms, &row.reattach_ms, &row.failover_ms, &row.rto_ms];
        let values = spreads.map(|spread| format!("<td>{}</td>", phase_value(spread))).concat();
        let (scenario, place) = (escape(&row.scenario), escape(&row.cell().place()));
        rows += &format!("<tr><td>{scenario}</td><td class=\"left\">{place}</td>{values}</tr>");
    }
    let head = ["median of", "store", "detection", "claim", "store recovery", "reattach", "failover", "to steady flow"];
    format!(
        "<p>The phases come from the servers' own event lines, on the same clock; they only annotate what clients saw, and a trial in \
         which they are out of order is unknown. A phase that was not told of joins the next one: a broker may log no such lines, and a \
         server that is itself started again after the fault notices nothing, but claims the store at once.</p>\n<ul>{ends}</ul>\n{}\
         <p class=\"muted\">Medians of phases do not add up to the median of the whole.</p>\n",
        long_table(result.summary.len(), "medians of the phases", &table(&head, &rows))
    )
}

fn phase_value(spread: &Spread) -> String {
    if spread.n == 0 { "not observable".to_owned() } else { of_spread(spread, spread.median) }
}

pub(super) fn recovery(result: &RunResult, pictures: &mut Vec<Picture>) -> Result<String> {
    let words = "From the claim of the store to the recovered store, against the bytes of the journal that were read. Each point is a trial.";
    let csv = data::recovery(result);
    let figure = figure(pictures, "recovery", words, Some(csv), |width| plots::recovery(result, width))?;
    Ok(figure.unwrap_or_else(|| NOTHING.to_owned()))
}

const TRIAL_HEAD: [&str; 16] = [
    "#",
    "scenario",
    "store",
    "verdict",
    "failover",
    "steady after",
    "without confirms",
    "woken server left after",
    "attempted",
    "confirmed",
    "in doubt",
    "delivered",
    "lost",
    "recovered",
    "duplicates",
    "p99 before",
];

pub(super) fn trials(result: &RunResult) -> String {
    let rows: String = result.trials.iter().map(trial_row).collect();
    format!(
        "<p>What was seen of a fault, and what else was, is with the plot of the trial, in the section of its scenario.</p>\n{}",
        table(&TRIAL_HEAD, &rows)
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
    let (number, verdict) = (trial.number, tag(trial.verdict));
    let (scenario, place) = (escape(&trial.scenario), escape(&trial.cell().place()));
    let section = scenarios::id(&trial.scenario);
    format!(
        "<tr><td>{number}</td><td class=\"left\"><a href=\"#{section}\">{scenario}</a></td><td class=\"left\">{place}</td>\
         <td class=\"left\">{verdict}</td>{numbers}</tr>\n"
    )
}

/// What a trial was judged by, a sentence each.
pub(super) fn evidence(trial: &TrialResult) -> Vec<String> {
    let mut words: Vec<String> = trial.faults.iter().flat_map(fault_evidence).collect();
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

fn fault_evidence(fault: &FaultRecord) -> Vec<String> {
    let first = match &fault.effect {
        Some(effect) => {
            let after_ms = ms_between(effect.requested_ns, effect.effective_ns);
            format!("{} (proved {after_ms:.3} ms after the request)", effect.proof)
        }
        None => format!("{} was not seen to take effect", fault.name),
    };
    std::iter::once(first).chain(fault.evidence.iter().cloned()).collect()
}

pub(super) fn again(result: &RunResult) -> String {
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
    let list = definitions(entries.into_iter().chain(environment(&result.environment)));
    format!(
        "<pre>{}</pre>\n<p><code>chaos replay DIR</code> plays the plan of this folder again, <code>--trial N</code> one trial of it. The plan with every phase and seed is in plan.json, every figure in result.json and trials.csv, every send and delivery in \
         history.jsonl.zst, all events in events.jsonl, histograms in the .hlog files. The numbers behind each plot are in a .csv of its name.</p>\n\
         <dl>{list}</dl>\n",
        escape(&result.command)
    )
}
