//! The loss matrix: scenarios by store settings, as a page shows it and as Markdown. An empty cell says why it is empty.

use super::html::{escape, tag};
use super::text::count;
use crate::result::{RunResult, SummaryRow, TrialResult, Verdict};
use crate::scenario::StoreSetting;

/// What stands in a cell.
enum Cell {
    NotRun,
    /// Why.
    Skipped(String),
    Run(Box<SummaryRow>),
}

fn cell(result: &RunResult, scenario: &str, store: StoreSetting) -> Cell {
    let Some(row) = result.loss(scenario, store) else { return Cell::NotRun };
    if row.verdict != Verdict::Skipped {
        return Cell::Run(Box::new(row));
    }
    let of_cell = |trial: &&TrialResult| trial.scenario == scenario && trial.store == store;
    let reasons = result.trials.iter().filter(of_cell).flat_map(|trial| &trial.reasons);
    Cell::Skipped(reasons.last().cloned().unwrap_or_default())
}

/// For the page: a grid on a desk, a list on a telephone.
pub(super) fn html(result: &RunResult) -> String {
    let mut cells = "<div class=\"head\"></div>".to_owned();
    for store in StoreSetting::ALL {
        cells += &format!("<div class=\"head\">{store} store</div>");
    }
    for scenario in result.scenarios() {
        cells += &format!("<div class=\"head\">{}</div>", escape(&scenario));
        for store in StoreSetting::ALL {
            let label = format!("<span class=\"label\">{}, {store} store</span>", escape(&scenario));
            cells += &match cell(result, &scenario, store) {
                Cell::NotRun => format!("<div class=\"none\">{label}not run</div>"),
                Cell::Skipped(reason) => format!("<div class=\"none\">{label}skipped: {}</div>", escape(&reason)),
                Cell::Run(row) => run(&row, &label, bound(result, store)),
            };
        }
    }
    format!(
        "<p>Confirmed messages that were never delivered, of all that were confirmed, by fault and store setting.</p>\n\
         <div class=\"matrix\">{cells}</div>\n<p class=\"muted\">{}{}</p>\n",
        escape(&result.async_bound),
        rate(result)
    )
}

/// What the store setting allows.
fn bound(result: &RunResult, store: StoreSetting) -> String {
    match store {
        StoreSetting::Sync => "bound: 0".to_owned(),
        StoreSetting::Async => format!("bound: a suffix, {} MiB", result.pair.async_unflushed_bytes_max >> 20),
    }
}

fn run(row: &SummaryRow, label: &str, bound: String) -> String {
    let wrongly = match row.duplicated_wrongly {
        0 => String::new(),
        wrong => format!(" ({wrong} unmarked or acknowledged before)"),
    };
    let most = if row.lost > 0 { format!(", at most {} in one trial", count(row.lost_max)) } else { String::new() };
    let control = if row.lost > 0 && row.store == StoreSetting::Sync && row.verdict == Verdict::Pass {
        "<br>a negative control: this loss had to be found"
    } else {
        ""
    };
    let unexpected = match row.unexpected {
        0 => String::new(),
        some => format!("<br>{} unexpected", count(some)),
    };
    format!(
        "<div class=\"cell {verdict}\">{label}<span class=\"big\">{lost} / {confirmed}</span>{tag}, n = {n}, {bound}{most}<br>\
         {duplicated} duplicates{wrongly}{unexpected}{control}</div>",
        verdict = row.verdict,
        lost = count(row.lost),
        confirmed = count(row.confirmed),
        tag = tag(row.verdict),
        n = row.trials,
        duplicated = count(row.duplicated),
    )
}

/// What no loss in so many trials shows.
fn rate(result: &RunResult) -> String {
    let of_sync = |trial: &&TrialResult| trial.store == StoreSetting::Sync;
    // A negative control that lost what it had to says nothing about the others.
    let is_sound = |trial: &&TrialResult| trial.verdict == Verdict::Pass && trial.messages.lost == 0;
    // Nor does a trial in which nobody took over say anything about failovers.
    let is_failover = |trial: &&TrialResult| trial.failover().is_some();
    let passed = result.trials.iter().filter(of_sync).filter(is_sound).filter(is_failover).count();
    let lost = result.trials.iter().filter(of_sync).any(|one| one.verdict != Verdict::Pass && one.messages.lost > 0);
    if passed == 0 || lost {
        return String::new();
    }
    let share = (300.0 / passed as f64).ceil().min(100.0);
    format!(
        " No sync loss in {passed} failovers: at 95 % confidence, at most {share:.0} % of such failovers lose anything (3/n)."
    )
}

/// For the summary of a CI server.
pub(super) fn markdown(result: &RunResult) -> String {
    let mut text = "## Loss: lost / confirmed\n\n| scenario |".to_owned();
    text += &StoreSetting::ALL.map(|store| format!(" {store} store |")).concat();
    text += "\n|---|---|---|\n";
    for scenario in result.scenarios() {
        text += &format!("| {scenario} |");
        for store in StoreSetting::ALL {
            text += &match cell(result, &scenario, store) {
                Cell::NotRun => " not run |".to_owned(),
                Cell::Skipped(reason) => format!(" skipped: {} |", reason.replace('|', "/")),
                Cell::Run(row) => {
                    let [lost, confirmed, duplicated] = [row.lost, row.confirmed, row.duplicated].map(count);
                    let (verdict, n) = (row.verdict, row.trials);
                    format!(" {lost} / {confirmed} ({verdict}, n = {n}, duplicates {duplicated}) |")
                }
            };
        }
        text += "\n";
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::synthetic;

    #[test]
    fn only_failovers_say_how_often_a_failover_loses_anything() {
        let mut result = synthetic::run();
        let of_sync = |trial: &&TrialResult| trial.store == StoreSetting::Sync;
        let (all, with) = (
            result.trials.iter().filter(of_sync).count(),
            result.trials.iter().filter(of_sync).filter(|trial| trial.takeover).count(),
        );
        assert!(
            with < all && rate(&result).contains(&format!("No sync loss in {with} failovers")),
            "{}",
            rate(&result)
        );
        result.trials.retain(|trial| !trial.takeover);
        assert_eq!(rate(&result), "");
    }
}
