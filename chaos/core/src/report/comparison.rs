//! A comparison of two runs as text, Markdown, CSV and a page of its own; a report of the later run has it as a section.

use super::html::{details, document, escape, figure, section, table};
use super::plots::{self, Forest};
use super::text::{count, duration};
use super::{COMPARISON_HTML_FILE, Picture, write};
use crate::compare::{ALL_CELLS, Comparison, Counts, Difference, GateResult, Row};
use crate::error::Result;
use std::path::Path;

/// Writes comparison.html, .md, .csv and the plots, and builds the report of the folder anew if it holds one.
pub fn build(folder: &Path, comparison: &Comparison) -> Result<()> {
    let mut pictures = Vec::new();
    let body = format!("<h1>NEW against BASE</h1>\n{}", words(comparison, &mut pictures)?);
    write(folder, COMPARISON_HTML_FILE, &document("Chaos: comparison", &body))?;
    for picture in &pictures {
        picture.write(folder)?;
    }
    write(folder, "comparison.md", &markdown(comparison))?;
    write(folder, "comparison.csv", &csv(comparison))?;
    if folder.join(crate::result::FILE).exists() {
        super::build(folder)?;
    }
    Ok(())
}

/// The section of a report.
pub(super) fn part(comparison: &Comparison, pictures: &mut Vec<Picture>) -> Result<String> {
    Ok(section("comparison", "Comparison with a base run", &words(comparison, pictures)?))
}

/// Everything below the heading.
fn words(comparison: &Comparison, pictures: &mut Vec<Picture>) -> Result<String> {
    let mut body = verdict_box(comparison);
    for figure_name in figures(comparison).into_iter().filter(|name| DRAWN.contains(&name.as_str())) {
        let forest = Forest { figure: &figure_name, comparison };
        let name = format!("comparison-{}", figure_name.replace('.', "-"));
        let draw = |width| plots::forest(&forest, width);
        let Some(drawn) = figure(pictures, &name, CAPTION, None, draw)? else { continue };
        body += &details(figure_name == DRAWN[0], &format!("{figure_name}: NEW minus BASE"), &drawn);
    }
    let head = [
        "scenario",
        "store",
        "verdict",
        "trials",
        "lost / confirmed, BASE",
        "NEW",
        "duplicates, BASE",
        "duplicates, NEW",
    ];
    body +=
        &format!("<h3>Messages</h3>\n{}", table(&head, &comparison.counts.iter().map(counts_row).collect::<String>()));
    let head = ["scenario", "store", "figure", "n", "BASE", "NEW", "difference", "95 % interval", "conclusion"];
    let (pooled, rows): (Vec<&Row>, Vec<&Row>) = comparison.rows.iter().partition(|row| row.scenario == ALL_CELLS);
    let times = |rows: &[&Row]| table(&head, &rows.iter().map(|row| figure_row(row)).collect::<String>());
    body += &format!("<h3>Times of all scenarios together</h3>\n{}", times(&pooled));
    let of_scenarios = details(rows.len() <= ROWS_SHOWN_MAX, &format!("{} figures", rows.len()), &times(&rows));
    body += &format!("<h3>Times by scenario</h3>\n{of_scenarios}");
    body += &format!("<p class=\"muted\">{}</p>\n", escape(&comparison.method));
    Ok(body)
}

/// Of more rows, the table is folded at first.
const ROWS_SHOWN_MAX: usize = 100;
const CAPTION: &str = "NEW minus BASE, as a part of BASE's value; the line is the 95 % interval. Right of zero NEW is slower. An open point has \
                       no interval: it needs 6 trials on both sides.";

/// The figures that are drawn; all are in the table.
const DRAWN: [&str; 5] = ["failover", "steady", "store-recovery", "response-p99", "response-in-fault-p99"];

fn figures(comparison: &Comparison) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for row in &comparison.rows {
        if !names.contains(&row.figure) {
            names.push(row.figure.clone());
        }
    }
    names
}

fn sides(comparison: &Comparison) -> [(&'static str, String); 2] {
    [("BASE", &comparison.base), ("NEW", &comparison.new)].map(|(name, side)| {
        let words = format!(
            "{}: {}, suite {}, seed {}, commit {}, broker {}, {}",
            side.folder, side.verdict, side.suite, side.seed, side.commit, side.broker, side.started
        );
        (name, words)
    })
}

/// What the gate, or without one the figures, say in a sentence.
fn conclusion(comparison: &Comparison) -> String {
    let count = |which: fn(&Difference) -> bool| comparison.rows.iter().filter(|row| which(&row.difference)).count();
    let judged = count(|one| one.interval_ms.is_some() || one.ends_less_often());
    format!(
        "{judged} of {} figures could be judged: {} worse, {} better. At 95 % confidence, one of 40 figures without any difference looks worse by chance.",
        comparison.rows.len(),
        count(Difference::is_worse),
        count(Difference::is_better)
    )
}

fn verdict_box(comparison: &Comparison) -> String {
    let (class, head) = match &comparison.gate {
        Some(gate) => (gate.verdict.name(), format!("gate: {}", gate.verdict)),
        None => ("skipped", "no gate".to_owned()),
    };
    let list = |items: &[String]| items.iter().map(|item| format!("<li>{}</li>", escape(item))).collect::<String>();
    let gates = comparison.gate.iter().flat_map(gate_lines).collect::<Vec<_>>();
    let reasons = comparison.gate.as_ref().map_or(&[] as &[String], |gate| gate.reasons.as_slice());
    let notes = [reasons, gates.as_slice(), comparison.warnings.as_slice(), comparison.unmatched.as_slice()].concat();
    let sides = sides(comparison).map(|(name, words)| format!("<dt>{name}</dt><dd>{}</dd>", escape(&words))).concat();
    format!(
        "<div class=\"verdict {class}\"><strong>{head}</strong><p>{}</p><ul>{}</ul></div>\n<dl>{sides}</dl>\n",
        conclusion(comparison),
        list(&notes)
    )
}

fn gate_lines(gate: &GateResult) -> Vec<String> {
    let line = |one: &crate::compare::Judged| {
        format!(
            "gate {}: of its figures {} judged, {} worse, {} not judged (too few trials, or trials beyond their limit)",
            one.gate,
            one.judged,
            one.worse.len(),
            one.not_judged
        )
    };
    gate.gates.iter().map(line).collect()
}

fn counts_row(row: &Counts) -> String {
    let share = |side: usize| format!("{} / {}", count(row.lost[side]), count(row.confirmed[side]));
    let verdicts = row.verdict.map(|verdict| format!("<span class=\"tag {verdict}\">{verdict}</span>")).join(", ");
    let [base, new] = row.duplicated.map(count);
    format!(
        "<tr><td>{}</td><td class=\"left\">{}</td><td class=\"left\">{verdicts}</td><td>{}, {}</td><td>{}</td><td>{}</td><td>{base}</td>\
         <td>{new}</td></tr>",
        escape(&row.scenario),
        escape(&row.place),
        row.trials[0],
        row.trials[1],
        share(0),
        share(1)
    )
}

fn figure_row(row: &Row) -> String {
    let [n, base, new, difference, interval, words] = fields(row);
    let tone = match &row.difference {
        one if one.is_worse() => " class=\"left tag violated\"",
        one if one.is_better() => " class=\"left tag pass\"",
        _ => " class=\"left\"",
    };
    format!(
        "<tr><td>{}</td><td class=\"left\">{}</td><td class=\"left\">{}</td><td>{n}</td><td>{base}</td><td>{new}</td><td>{difference}</td>\
         <td>{interval}</td><td{tone}>{words}</td></tr>",
        escape(&row.scenario),
        escape(&row.place),
        row.figure
    )
}

/// Number of trials, both values, difference, interval, conclusion.
fn fields(row: &Row) -> [String; 6] {
    let one = &row.difference;
    let [base, new] = one.value_ms.map(|value| value.map_or_else(|| "beyond the limit".to_owned(), duration));
    let difference = one.difference_ms.map_or_else(
        || "-".to_owned(),
        |ms| {
            let part = one.relative.map_or_else(String::new, |part| format!(" ({:+.1} %)", part * 100.0));
            format!("{}{part}", signed(ms))
        },
    );
    let interval =
        one.interval_ms.map_or_else(|| "-".to_owned(), |[low, high]| format!("{} to {}", signed(low), signed(high)));
    [format!("{}, {}", one.n[0], one.n[1]), base, new, difference, interval, one.words().to_owned()]
}

fn signed(ms: f64) -> String {
    if ms > 0.0 { format!("+{}", duration(ms)) } else { duration(ms) }
}

/// For a terminal.
pub fn text(comparison: &Comparison) -> String {
    let mut text: String = sides(comparison).map(|(name, words)| format!("{name:<5} {words}\n")).concat();
    for warning in comparison.warnings.iter().chain(&comparison.unmatched) {
        text += &format!("differs: {warning}\n");
    }
    let cells: Vec<[String; 9]> = comparison.rows.iter().map(cells).collect();
    let head = ["scenario", "store", "figure", "n", "BASE", "NEW", "difference", "95 % interval", "conclusion"];
    let width =
        |column: usize| cells.iter().map(|row| row[column].len()).chain([head[column].len()]).max().unwrap_or(0);
    let widths: [usize; 9] = std::array::from_fn(width);
    let line = |row: &[&str; 9]| {
        let padded = row.iter().zip(widths).map(|(words, width)| format!("{words:<width$}")).collect::<Vec<_>>();
        format!("{}\n", padded.join("  ").trim_end())
    };
    text += &format!("\n{}", line(&head));
    for row in &cells {
        text += &line(&row.each_ref().map(String::as_str));
    }
    for cell in comparison.counts.iter().filter(|cell| cell.lost != [0, 0] || cell.verdict[0] != cell.verdict[1]) {
        text += &format!("\n{}", counts_sentence(cell));
    }
    text += &format!("\n{}\n\n{}\n", conclusion(comparison), comparison.method);
    if let Some(gate) = &comparison.gate {
        for sentence in gate_lines(gate).iter().chain(&gate.reasons) {
            text += &format!("\n{sentence}");
        }
        text += &format!("\ngate: {}\n", gate.verdict);
    }
    text
}

fn cells(row: &Row) -> [String; 9] {
    let [n, base, new, difference, interval, words] = fields(row);
    [row.scenario.clone(), row.place.clone(), row.figure.clone(), n, base, new, difference, interval, words]
}

fn counts_sentence(cell: &Counts) -> String {
    format!(
        "{} {}: {} and {}; lost {} of {} in BASE, {} of {} in NEW",
        cell.scenario,
        cell.place,
        cell.verdict[0],
        cell.verdict[1],
        count(cell.lost[0]),
        count(cell.confirmed[0]),
        count(cell.lost[1]),
        count(cell.confirmed[1])
    )
}

/// For the summary of a CI server.
pub fn markdown(comparison: &Comparison) -> String {
    let head = comparison.gate.as_ref().map_or_else(|| "no gate".to_owned(), |gate| format!("gate: {}", gate.verdict));
    let mut text = format!("# Chaos: NEW against BASE, {head}\n\n");
    for (name, words) in sides(comparison) {
        text += &format!("* {name} {words}\n");
    }
    let gates = comparison.gate.iter().flat_map(|gate| gate.reasons.iter().cloned().chain(gate_lines(gate)));
    let notes = comparison.warnings.iter().chain(&comparison.unmatched).map(|one| format!("differs: {one}"));
    for sentence in gates.chain(notes) {
        text += &format!("* {sentence}\n");
    }
    text += &format!(
        "\n{}\n\n| scenario | store | figure | n | BASE | NEW | difference | 95 % interval | conclusion |\n",
        conclusion(comparison)
    );
    text += &format!("|{}\n", "---|".repeat(9));
    for row in &comparison.rows {
        text += &format!("| {} |\n", cells(row).join(" | "));
    }
    text += "\n| scenario | store | verdict | trials | lost / confirmed, BASE | NEW | duplicates, BASE | NEW |\n|---|---|---|---|---|---|---|---|\n";
    for cell in &comparison.counts {
        let [duplicated, duplicated_new] = cell.duplicated.map(count);
        text += &format!(
            "| {} | {} | {}, {} | {}, {} | {} / {} | {} / {} | {duplicated} | {duplicated_new} |\n",
            cell.scenario,
            cell.place,
            cell.verdict[0],
            cell.verdict[1],
            cell.trials[0],
            cell.trials[1],
            count(cell.lost[0]),
            count(cell.confirmed[0]),
            count(cell.lost[1]),
            count(cell.confirmed[1])
        );
    }
    text + &format!("\n{}\n", comparison.method)
}

/// The figures, an absent value as an empty field.
fn csv(comparison: &Comparison) -> String {
    let mut text = "scenario,place,figure,base_n,new_n,base_censored,new_censored,base_ms,new_ms,difference_ms,relative,low_ms,high_ms\n".to_owned();
    let optional = |value: Option<f64>| value.map_or_else(String::new, |value| format!("{value:.6}"));
    for row in &comparison.rows {
        let Difference { n, censored, value_ms, difference_ms, relative, interval_ms } = &row.difference;
        let numbers = [
            value_ms[0],
            value_ms[1],
            *difference_ms,
            *relative,
            interval_ms.map(|ends| ends[0]),
            interval_ms.map(|ends| ends[1]),
        ];
        let place = row.place.replace(',', ";");
        text += &format!(
            "{},{place},{},{},{},{},{},{}\n",
            row.scenario,
            row.figure,
            n[0],
            n[1],
            censored[0],
            censored[1],
            numbers.map(optional).join(",")
        );
    }
    text
}
