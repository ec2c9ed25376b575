//! The section of one scenario: what it does, its verdicts, its waterfall, its latencies, and each trial over time.

use super::html::{NOTHING, details, escape, figure, reason, section, table, tag};
use super::plots::{self, Curve};
use super::tables::{evidence, times_row};
use super::text::{count, duration};
use super::theme::{BLUE, Dash, GREEN, Line, PURPLE, VERMILION};
use super::{Data, Picture, data};
use crate::error::Result;
use crate::latency::Latency;
use crate::result::{Observed, SummaryRow, TrialResult, Verdict};

/// Its name in addresses of the page.
pub(super) fn id(scenario: &str) -> String {
    let letters = scenario.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' });
    format!("scenario-{}", letters.collect::<String>())
}

/// The section.
pub(super) fn part(data: &Data, scenario: &str, pictures: &mut Vec<Picture>) -> Result<String> {
    let result = &data.result;
    let trials: Vec<&TrialResult> = result.trials.iter().filter(|trial| trial.scenario == scenario).collect();
    let rows: Vec<&SummaryRow> = result.summary.iter().filter(|row| row.scenario == scenario).collect();
    let mut body = explanation(scenario);
    body += &reasons(&trials);
    let head = ["scenario", "store", "n", "min", "median", "p90", "max", "95 % interval of the median"];
    body += &table(&head, &rows.iter().map(|row| times_row(result, row)).collect::<String>());
    let name = format!("waterfall-{scenario}");
    let csv = super::data::waterfall(&trials);
    let drawn = figure(pictures, &name, "", Some(csv), |width| plots::waterfall(scenario, &trials, width))?;
    body += &drawn.map_or_else(String::new, |drawn| format!("<h3>Phases of each failover</h3>\n{drawn}"));
    body += &latencies(data, &rows, pictures)?;
    body += &over_time(data, &rows, pictures)?;
    Ok(section(&id(scenario), &escape(scenario), &body))
}

fn explanation(scenario: &str) -> String {
    crate::scenario::scenario(scenario)
        .map_or_else(|_| String::new(), |one| format!("<p>{}</p>\n", escape(&one.explanation)))
}

fn reasons(trials: &[&TrialResult]) -> String {
    let list: String = trials.iter().flat_map(|trial| trial.reasons.iter().map(|words| reason(trial, words))).collect();
    if list.is_empty() { list } else { format!("<ul>{list}</ul>\n") }
}

fn title(row: &SummaryRow) -> String {
    escape(&format!("{} store{}", row.store, row.cell().place().trim_start_matches(row.store.name())))
}

fn latencies(data: &Data, rows: &[&SummaryRow], pictures: &mut Vec<Picture>) -> Result<String> {
    let mut body = String::new();
    for row in rows {
        let Some(merged) = data.latency.get(&row.cell()) else { continue };
        let curves = curves(merged);
        let name = format!("percentiles-{}", row.cell().slug());
        let label = format!("Latency by percentile, {} {}", row.scenario, row.cell().place());
        let csv = data::percentiles(&curves);
        let drawn = figure(pictures, &name, "", Some(csv), |width| {
            plots::percentiles(&name, &label, &curves, width).map(Some)
        })?;
        let words = format!("Latency by percentile, {}", title(row));
        body += &details(false, &words, &(drawn.unwrap_or_default() + &percentile_table(&curves)));
    }
    if !body.is_empty() {
        body = format!(
            "<h3>Latency</h3>\n<p>All trials together, after the warm-up: <b>response</b> from the intended send to the confirm, <b>service</b> from \
             the last attempt to the confirm, <b>delay</b> from the intended send to the last attempt; before the fault, from the fault to \
             steady flow, and after that. In an outage the schedule runs on, so the tail of the response is the outage itself.</p>\n{body}"
        );
    }
    Ok(body)
}

fn curves(merged: &Latency) -> Vec<Curve<'_>> {
    let curve = |name, line, histogram| Curve { name, line, histogram };
    let (response, service) = (&merged.response, &merged.service);
    vec![
        curve("response, baseline", Line::solid(BLUE), &response.baseline),
        curve("response, fault", Line::solid(VERMILION), &response.fault),
        curve("response, recovered", Line::solid(GREEN), &response.recovered),
        curve("service, baseline", Line::dashed(BLUE, Dash::Short), &service.baseline),
        curve("service, fault", Line::dashed(VERMILION, Dash::Short), &service.fault),
        curve("service, recovered", Line::dashed(GREEN, Dash::Short), &service.recovered),
        curve("delay", Line::dashed(PURPLE, Dash::Long), &merged.delay),
    ]
}

fn percentile_table(curves: &[Curve<'_>]) -> String {
    let mut rows = String::new();
    for curve in curves {
        let values = [0.5, 0.9, 0.99, 0.999, 1.0].map(|p| curve.histogram.value_at_quantile(p) as f64 / 1e6);
        let cells = values.map(|ms| {
            if curve.histogram.is_empty() { "<td>-</td>".to_owned() } else { format!("<td>{}</td>", duration(ms)) }
        });
        rows += &format!("<tr><td>{}</td><td>{}</td>{}</tr>", curve.name, count(curve.histogram.len()), cells.concat());
    }
    table(&["", "n", "p50", "p90", "p99", "p99.9", "max"], &rows)
}

fn over_time(data: &Data, rows: &[&SummaryRow], pictures: &mut Vec<Picture>) -> Result<String> {
    let mut body = "<h3>Each trial over time</h3>\n".to_owned();
    for row in rows {
        let mut trials: Vec<&TrialResult> = data.result.cell(&row.cell()).collect();
        trials.sort_by_key(|trial| trial.number);
        let shown = shown(&trials);
        for trial in trials {
            let is_shown = shown == Some(trial.number);
            body += &trial_over_time(data, trial, is_shown, pictures)?;
        }
    }
    Ok(body)
}

/// The trial that is open at first: one that is no pass, else the one in the middle by failover time.
fn shown(trials: &[&TrialResult]) -> Option<usize> {
    if let Some(trial) = trials.iter().find(|trial| trial.verdict == Verdict::Violated) {
        return Some(trial.number);
    }
    let mut sorted = trials.to_vec();
    sorted.sort_by(|a, b| a.times_ms.failover.unwrap_or(f64::MAX).total_cmp(&b.times_ms.failover.unwrap_or(f64::MAX)));
    sorted.get(sorted.len().saturating_sub(1) / 2).map(|trial| trial.number)
}

fn trial_over_time(data: &Data, trial: &TrialResult, open: bool, pictures: &mut Vec<Picture>) -> Result<String> {
    let (number, place) = (trial.number, escape(&trial.cell().place()));
    let summary = format!("trial {number}: {place}, {}, {}", failover_words(trial), tag(trial.verdict));
    let stem = trial.file_stem();
    let is_embedded = open || trial.verdict != Verdict::Pass || !data.is_large();
    let mut body = match data.series.get(&trial.number) {
        Some(buckets) if !buckets.is_empty() => {
            let draw = |width| plots::timeline(trial, buckets, width).map(Some);
            let drawn = figure(pictures, &stem, "", None, draw)?.unwrap_or_default();
            let link = format!("<p>Drawn in <a href=\"{stem}.svg\">{stem}.svg</a>, beside this page.</p>\n");
            if is_embedded { drawn } else { link }
        }
        _ => NOTHING.to_owned(),
    };
    if let Some(messages) = data.fates.get(&trial.number) {
        let words = "What became of the messages around the loss, by producer. Black: the fault; dashed: the first confirm by the new \
                     active server. Where several messages share a pixel, the worst fate is shown.";
        let name = format!("{stem}-fates");
        let drawn = figure(pictures, &name, words, None, |width| plots::fates(trial, messages, width).map(Some))?;
        body += &drawn.unwrap_or_default();
    }
    let seen: String = evidence(trial).iter().map(|words| format!("<li>{}</li>", escape(words))).collect();
    body += &format!("<ul class=\"evidence\">{seen}</ul>\n");
    let is_unfolded = open && (!data.is_large() || trial.verdict != Verdict::Pass);
    Ok(details(is_unfolded, &summary, &body))
}

/// The failover of a trial, or that there was none.
pub(super) fn failover_words(trial: &TrialResult) -> String {
    match trial.failover() {
        Some(Observed::At(failover)) => format!("failover {}", duration(failover)),
        Some(Observed::Beyond(limit)) => format!("no failover within {}", duration(limit)),
        None if trial.takeover => "takeover, not measured".to_owned(),
        None => "no takeover".to_owned(),
    }
}
