//! The part of the page about takeovers above a backlog: two plots, the medians, and what became of the backlogs themselves.

use super::html::{escape, figure};
use super::plots::{self, Figure};
use super::text::{count, of_spread, ratio_sentences};
use super::{Picture, data};
use crate::error::Result;
use crate::result::{RunResult, StoreResult, SummaryRow};
use crate::scenario::{StoreSetting, size};
use crate::statistics::Spread;
use crate::trial::TAILING_UNKNOWN;

/// The section; `None` when no trial had a backlog.
pub(super) fn section(result: &RunResult, pictures: &mut Vec<Picture>) -> Result<Option<String>> {
    let rows: Vec<&SummaryRow> = result.summary.iter().filter(|row| row.backlog.is_some()).collect();
    if rows.is_empty() {
        return Ok(None);
    }
    let mut body = "<p>A queue of the same store holds a backlog from before the trial; the load goes on beside it, on a queue of its own. A hot \
                    standby follows the journal (standby_tailing = enabled), a cold one reads the store at the takeover. Every trial is a \
                    point; lines join the medians.</p>\n"
        .to_owned();
    for store in StoreSetting::ALL {
        for (what, name) in [(Figure::Failover, "failover"), (Figure::StoreRecovery, "recovery")] {
            let name = format!("backlog-{name}-{store}");
            let words = format!("{}, {store} store", what.words());
            let drawn = figure(pictures, &name, &words, Some(data::backlog(result, store)), |width| {
                plots::backlog(result, store, what, width)
            })?;
            body += &drawn.unwrap_or_default();
        }
    }
    body += "<div class=\"scroll\"><table><tr><th>backlog</th><th class=\"left\">store</th><th>n</th><th>detection</th><th>claim</th>\
             <th>store recovery</th><th>reattach</th><th>failover</th><th>failover, min to max</th><th>read from the disk</th></tr>";
    body += &rows.iter().map(|row| median_row(row)).collect::<String>();
    body += "</table></div>\n<p class=\"muted\">Medians. Read from the disk: by the new active server between the fault and its takeover, as the \
             kernel counts it.</p>\n";
    body += &ratio_sentences(result).iter().map(|sentence| format!("<p><b>{sentence}</b></p>\n")).collect::<String>();
    if result.trials.iter().any(|trial| trial.observations.iter().any(|one| one.contains(TAILING_UNKNOWN))) {
        body += &format!("<p><b>{TAILING_UNKNOWN}: hot and cold are the same here.</b></p>\n");
    }
    body += "<h3>The backlogs</h3>\n<p>Each was filled as fast as the broker confirmed; after the trials that it served it was read to the end, and \
             every message compared with what had been confirmed.</p>\n<div class=\"scroll\"><table><tr><th>backlog</th>\
             <th class=\"left\">store</th><th class=\"left\">verdict</th><th class=\"left\">trials</th><th>messages</th><th>files</th><th>filled in</th>\
             <th>delivered</th><th>lost</th><th>duplicates</th><th>drained in</th><th class=\"left\">reasons</th></tr>";
    body += &result.stores.iter().map(store_row).collect::<String>();
    Ok(Some(body + "</table></div>\n"))
}

fn median_row(row: &SummaryRow) -> String {
    let spreads = [&row.detection_ms, &row.claim_ms, &row.store_recovery_ms, &row.reattach_ms, &row.failover_ms];
    let medians = spreads.map(|spread| format!("<td>{}</td>", of_spread(spread, spread.median))).concat();
    let failover: &Spread = &row.failover_ms;
    let range = [failover.min, failover.max].map(|value| of_spread(failover, value)).join(" to ");
    let read = row.successor_read_bytes.median.map_or_else(|| "-".to_owned(), |bytes| size(bytes as u64));
    let name = row.backlog.map_or_else(String::new, |backlog| backlog.to_string());
    let (store, n) = (row.store, row.trials);
    format!(
        "<tr><td>{name}</td><td class=\"left\">{store}</td><td>{n}</td>{medians}<td>{range}</td><td>{read}</td></tr>"
    )
}

fn store_row(store: &StoreResult) -> String {
    let trials = store.trials.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
    let verdict = format!("<span class=\"tag {0}\">{0}</span>", store.verdict);
    let numbers = [
        count(store.messages),
        size(store.store_bytes),
        format!("{:.1} s", store.fill_s),
        count(store.delivered),
        count(store.lost),
        count(store.duplicated),
        format!("{:.1} s", store.drain_s),
    ];
    let numbers = numbers.map(|value| format!("<td>{value}</td>")).concat();
    format!(
        "<tr><td>{}</td><td class=\"left\">{}</td><td class=\"left\">{verdict}</td><td class=\"left\">{trials}</td>{numbers}\
         <td class=\"words\">{}</td></tr>",
        size(store.size_bytes),
        store.store,
        escape(&store.reasons.join("; "))
    )
}
