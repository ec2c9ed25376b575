//! Tables in plain text: for the terminal, for CI summaries in Markdown, and as CSV.

use super::matrix;
use super::properties::properties;
use crate::result::{Ratio, RunResult, SummaryRow, Times, TrialResult};
use crate::scenario::{StoreSetting, size};
use crate::statistics::Spread;

/// What the report says when no async trial lost anything.
pub(super) const NOT_EXERCISED: &str = "No async trial lost anything: this load did not exercise the difference between the store \
                                        settings. It does not show that an async store is safe.";

/// Milliseconds with a unit, in three or four digits.
pub(crate) fn duration(ms: f64) -> String {
    match ms.abs() {
        below if below < 10.0 => format!("{ms:.2} ms"),
        below if below < 100.0 => format!("{ms:.1} ms"),
        below if below < 1000.0 => format!("{ms:.0} ms"),
        _ => format!("{:.2} s", ms / 1000.0),
    }
}

/// A count with its thousands apart: `559,837`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let first = digits.len() % 3;
    let (head, tail) = digits.split_at(first);
    let groups = tail.as_bytes().chunks(3).map(|group| String::from_utf8_lossy(group).into_owned());
    let head = (!head.is_empty()).then(|| head.to_owned());
    head.into_iter().chain(groups).collect::<Vec<_>>().join(",")
}

/// A value of a spread: absent means censored where there are trials, and nothing where there are none.
pub(super) fn of_spread(spread: &Spread, value: Option<f64>) -> String {
    match value {
        Some(ms) => duration(ms),
        None if spread.n == 0 => "-".to_owned(),
        None => "beyond the limit".to_owned(),
    }
}

/// The interval of the median, or why there is none.
pub(super) fn interval(spread: &Spread) -> String {
    match spread.ci95 {
        Some([low, high]) => format!("{} to {}", of_spread(spread, low), of_spread(spread, high)),
        None if spread.n == 0 => "-".to_owned(),
        None => "needs 6 trials".to_owned(),
    }
}

/// Whether the difference between the store settings could have shown and did not.
pub(super) fn not_exercised(result: &RunResult) -> bool {
    result.target.is_none()
        && !result.async_loss_seen
        && result.trials.iter().any(|trial| trial.store == StoreSetting::Async)
}

/// The verdict table, one row for each scenario and store setting.
pub fn terminal_table(result: &RunResult) -> String {
    let place_width = result.summary.iter().map(|row| row.cell().place().len()).max().unwrap_or(0).max(5);
    let name_width = result.summary.iter().map(|row| row.scenario.len()).max().unwrap_or(0).max(8);
    let mut text = format!(
        "\n{:<name_width$} {:<place_width$}  {:<8} {:>6} {:>10} {:>6} {:>10}  failover: {:>9} {:>9} {:>9}\n",
        "scenario", "store", "verdict", "trials", "confirmed", "lost", "duplicates", "median", "p90", "max"
    );
    for row in &result.summary {
        let spread = &row.failover_ms;
        let [median, p90, max] = [spread.median, spread.p90, spread.max].map(|value| of_spread(spread, value));
        let (scenario, place, lost, duplicated) = (&row.scenario, row.cell().place(), row.lost, row.duplicated);
        text += &format!(
            "{scenario:<name_width$} {place:<place_width$}  {:<8} {:>6} {:>10} {lost:>6} {duplicated:>10}            {median:>9} {p90:>9} {max:>9}\n",
            row.verdict, row.trials, row.confirmed
        );
    }
    let exercised = not_exercised(result).then(|| NOT_EXERCISED.to_owned());
    let sentences = exercised
        .into_iter()
        .chain(ratio_sentences(result))
        .chain(left_sentences(result))
        .chain(disturbed_sentence(result));
    let sentences: String = sentences.map(|sentence| format!("\n{sentence}")).collect();
    if !sentences.is_empty() {
        text += &format!("{sentences}\n");
    }
    text + &format!("\nverdict: {} ({:.0} s, seed {})\n", result.verdict, result.duration_s, result.seed)
}

/// summary.md: what a CI server shows beside a run.
pub(super) fn markdown(result: &RunResult, plan_hash: Option<&str>) -> String {
    let environment = &result.environment;
    let mut text = format!(
        "# Chaos: {}\n\nSuite {}, seed {}, {} trials in {:.0} s on {} ({} processors, {}), commit {}.\n\n",
        result.verdict,
        result.suite,
        result.seed,
        result.trials.len(),
        result.duration_s,
        environment.processor,
        environment.processors,
        environment.file_system,
        environment.commit
    );
    text += "| property | | |\n|---|---|---|\n";
    for one in properties(result) {
        text += &format!("| {} | **{}** | {} |\n", one.promise, one.word(), one.evidence);
    }
    text += &format!("\n{}", matrix::markdown(result));
    if not_exercised(result) {
        text += &format!("\n{NOT_EXERCISED}\n");
    }
    text += &format!("\n{}\n\n## Failover time\n\n", result.async_bound);
    text +=
        "| scenario | store | n | min | median | p90 | max | 95 % interval of the median | store recovery (median) |\n";
    text += "|---|---|---|---|---|---|---|---|---|\n";
    let (measured, others): (Vec<_>, Vec<_>) = result.summary.iter().partition(|row| has_times(row));
    for row in measured {
        text += &times_row(row);
    }
    if !others.is_empty() {
        let names: Vec<String> = others.iter().map(|row| format!("{} {}", row.scenario, row.cell().place())).collect();
        text += &format!("\nWithout a takeover: {}.\n", names.join(", "));
    }
    for sentence in ratio_sentences(result).iter().chain(&left_sentences(result)) {
        text += &format!("\n{sentence}\n");
    }
    let all = result.trials.iter().chain(&result.disturbed);
    let failed: Vec<&TrialResult> = all.filter(|trial| !trial.reasons.is_empty()).collect();
    if !failed.is_empty() {
        text += "\n## What was not a pass\n\n";
    }
    for trial in failed {
        for reason in &trial.reasons {
            let (number, scenario, store, verdict) =
                (trial.number, &trial.scenario, trial.cell().place(), trial.verdict);
            text += &format!("* trial {number} ({scenario} {store}, {verdict}): {reason}\n");
        }
    }
    for store in result.stores.iter().filter(|store| !store.reasons.is_empty()) {
        text += &format!("* {}\n", store.line().trim());
    }
    if let Some(shrunk) = &result.shrunk {
        text += &format!("\n{}\n", shrunk.sentence());
    }
    text = bounded(text);
    text + &format!("\nPlan {}. Again: `{}`\n", plan_hash.unwrap_or("not kept"), result.command)
}

/// A CI server drops a summary of more than 1024 KiB as a whole; so it is cut before, and says so.
const MARKDOWN_BYTES_MAX: usize = 900 << 10;

fn bounded(mut text: String) -> String {
    if text.len() > MARKDOWN_BYTES_MAX {
        let lines = text[..text.floor_char_boundary(MARKDOWN_BYTES_MAX)].rfind('\n').unwrap_or(0);
        text.truncate(lines);
        text += "\n\nThe rest is too long for a summary: it is in report.html and result.json.\n";
    }
    text
}

/// How many trials were played again, if any.
fn disturbed_sentence(result: &RunResult) -> Option<String> {
    let count = result.disturbed.len();
    (count > 0).then(|| format!("played again, since the load generator itself was late: {count} of the trials"))
}

/// How long woken former active servers stayed, a sentence for each scenario and store setting.
fn left_sentences(result: &RunResult) -> Vec<String> {
    let rows = result.summary.iter().filter(|row| row.left_after_ms.n > 0);
    let sentence = |row: &SummaryRow| {
        let spread = &row.left_after_ms;
        let [median, max] = [spread.median, spread.max].map(|value| of_spread(spread, value));
        let (n, scenario, place) = (spread.n, &row.scenario, row.cell().place());
        format!(
            "woken former active servers left by themselves, {scenario} {place} store: n = {n}, median {median}, max {max} after SIGCONT"
        )
    };
    rows.map(sentence).collect()
}

/// What the size of a backlog costs, a sentence for each figure and standby.
pub(super) fn ratio_sentences(result: &RunResult) -> Vec<String> {
    let sentence = |one: &Ratio| {
        let [largest, smallest] = [one.largest, one.smallest];
        format!(
            "{} above a backlog, {} store, {} standby: {} above {}, {} above {}, ratio {:.2}",
            one.what,
            one.store,
            one.standby,
            duration(largest.1),
            size(largest.0),
            duration(smallest.1),
            size(smallest.0),
            one.ratio
        )
    };
    result.ratios.iter().map(sentence).collect()
}

/// Whether a row has failover times, or ought to.
fn has_times(row: &SummaryRow) -> bool {
    row.failover_ms.n > 0 || row.takeover_expected
}

fn times_row(row: &SummaryRow) -> String {
    let spread = &row.failover_ms;
    let [min, median, p90, max] =
        [spread.min, spread.median, spread.p90, spread.max].map(|value| of_spread(spread, value));
    let recovery = of_spread(&row.store_recovery_ms, row.store_recovery_ms.median);
    let (scenario, store, n, interval) = (&row.scenario, row.cell().place(), spread.n, interval(spread));
    format!("| {scenario} | {store} | {n} | {min} | {median} | {p90} | {max} | {interval} | {recovery} |\n")
}

const CSV_HEADER: &str = "trial,scenario,store,seed,verdict,censored_ms,detection_ms,claim_ms,store_recovery_ms,reattach_ms,\
                          failover_ms,rto_ms,first_delivery_ms,clients_back_ms,attempted,confirmed,in_doubt,delivered,lost,duplicated,\
                          unexpected,recovered,store_bytes,store_messages,store_segments,\
                          successor_read_bytes,backlog_bytes,standby,left_after_ms\n";

/// trials.csv: every figure of every trial; an absent value is an empty field.
pub(super) fn trials_csv(result: &RunResult) -> String {
    let mut text = CSV_HEADER.to_owned();
    for trial in &result.trials {
        let (number, scenario, store, seed, verdict) =
            (trial.number, &trial.scenario, trial.store, trial.seed, trial.verdict);
        let fields = [times_fields(trial), count_fields(trial), backlog_fields(trial)].join(",");
        text += &format!("{number},{scenario},{store},{seed},{verdict},{fields}\n");
    }
    text
}

fn times_fields(trial: &TrialResult) -> String {
    let Times { detection, claim, store_recovery, reattach, failover, rto, first_delivery, clients_back } =
        trial.times_ms;
    let times =
        [trial.censored_ms, detection, claim, store_recovery, reattach, failover, rto, first_delivery, clients_back];
    times.map(|value| value.map_or_else(String::new, |ms| format!("{ms:.3}"))).join(",")
}

fn count_fields(trial: &TrialResult) -> String {
    let found = &trial.messages;
    let counts = [
        found.attempted,
        found.confirmed,
        found.in_doubt,
        found.delivered,
        found.lost,
        found.duplicated,
        found.unexpected,
        found.recovered,
    ];
    let store = trial.store_recovered.as_ref().map(|store| [store.bytes, store.messages, store.segments]);
    let text = |values: &[u64]| values.iter().map(u64::to_string).collect::<Vec<_>>().join(",");
    format!("{},{}", text(&counts), store.map_or_else(|| ",,".to_owned(), |values| text(&values)))
}

fn backlog_fields(trial: &TrialResult) -> String {
    let text = |value: Option<u64>| value.map_or_else(String::new, |value| value.to_string());
    let asked = trial.backlog.as_ref().map(|seen| seen.asked);
    let standby = asked.map_or("", |asked| asked.standby.name());
    let left_after_ms = trial.left_after_ms.map_or_else(String::new, |ms| format!("{ms:.3}"));
    format!(
        "{},{},{standby},{left_after_ms}",
        text(trial.successor_read_bytes),
        text(asked.map(|asked| asked.size_bytes))
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::synthetic;

    #[test]
    fn durations_have_units_and_no_needless_digits() {
        for (ms, expected) in [(0.1234, "0.12 ms"), (42.04, "42.0 ms"), (512.3, "512 ms"), (1234.0, "1.23 s")] {
            assert_eq!(duration(ms), expected);
        }
    }

    #[test]
    fn thousands_are_set_apart() {
        let pairs = [(0, "0"), (999, "999"), (1000, "1,000"), (559_837, "559,837"), (1_234_567, "1,234,567")];
        assert!(pairs.iter().all(|(number, expected)| count(*number) == *expected));
    }

    #[test]
    fn an_empty_cell_says_that_it_was_not_run() {
        let mut result = synthetic::run();
        result.trials.retain(|trial| trial.scenario != "slow-sync" || trial.store == StoreSetting::Sync);
        let text = markdown(&result, None);
        assert_eq!(text.matches("not run").count(), 1, "{text}");
        assert!(text.contains("0 / 120,000 (pass, n = 6"), "{text}");
    }

    #[test]
    fn a_summary_stays_below_what_a_server_takes() {
        let mut result = synthetic::run();
        result.trials[0].reasons = vec!["a long reason ".repeat(100); 2000];
        let text = markdown(&result, Some("0123456789abcdef"));
        assert!(text.len() < 1000 << 10 && text.contains("too long for a summary"));
        assert!(text.trim_end().ends_with("--seed 7`") && text.contains("Plan 0123456789abcdef"));
        assert!(!text.contains("<svg"));
    }

    #[test]
    fn a_load_that_lost_nothing_is_said_to_show_nothing() {
        let mut result = synthetic::run();
        assert!(!markdown(&result, None).contains(NOT_EXERCISED));
        result.async_loss_seen = false;
        assert!(markdown(&result, None).contains(NOT_EXERCISED));
        assert!(terminal_table(&result).contains(NOT_EXERCISED));
    }

    #[test]
    fn rows_without_a_takeover_are_named_and_have_no_times() {
        let result = synthetic::run();
        let row = result.summary.iter().find(|row| !has_times(row)).expect("one scenario has no takeover");
        let text = markdown(&result, None);
        let times = text.split("## Failover time").nth(1).expect("there is such a section");
        assert!(!times.contains(&format!("| {} |", row.scenario)), "{times}");
        assert!(times.contains("Without a takeover: ") && times.contains(&row.scenario), "{times}");
    }

    #[test]
    fn a_censored_spread_is_not_a_number() {
        let spread = crate::statistics::spread(&[Some(10.0), None]);
        assert_eq!(of_spread(&spread, spread.max), "beyond the limit");
        assert_eq!(of_spread(&Spread::default(), None), "-");
        assert_eq!(interval(&spread), "needs 6 trials");
    }

    #[test]
    fn csv_has_one_line_for_each_trial_and_as_many_fields_as_names() {
        let result = synthetic::run();
        let csv = trials_csv(&result);
        let widths: Vec<usize> = csv.lines().map(|line| line.split(',').count()).collect();
        assert_eq!(widths.len(), result.trials.len() + 1);
        assert!(widths.iter().all(|&width| width == widths[0]), "{widths:?}");
    }
}
