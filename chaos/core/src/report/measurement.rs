//! The page, the table and the summary of a measurement: the findings first, then every value of every sample.

use super::html::{document, environment, escape, figure, section};
use super::plots::{Row, Strip, strip};
use super::theme::{BLUE, Colour, GREEN, ORANGE, count_mark, ms_mark};
use super::{HTML_FILE, write};
use crate::error::Result;
use crate::measurement::{Figure, Finding, MeasurementResult, Unit};
use crate::result::{Observed, Verdict};
use crate::scenario::size;
use std::path::Path;

/// Builds the reports of a measurement.
pub(super) fn build(folder: &Path, result: &MeasurementResult) -> Result<()> {
    let mut pictures = Vec::new();
    let mut body = head(result);
    for unit in Unit::ALL {
        let words = "Each point is a round; the bar is the median, the shade its 95 % interval (6 or more rounds).";
        let name = format!("measured-{}", slug(unit));
        let drawn =
            figure(&mut pictures, &name, words, Some(csv(result, unit)), |width| strip(&plot(result, unit), width))?;
        body += &drawn.map_or_else(String::new, |drawn| {
            section(&title(unit).to_lowercase().replace(" ", "-"), title(unit), &drawn)
        });
    }
    body += &section("samples", "Samples", &table(result));
    body += &section("again", "Run it again", &again(result));
    write(folder, HTML_FILE, &document(&format!("Measurement: {}", result.verdict), &body))?;
    for picture in &pictures {
        picture.write(folder)?;
    }
    write(folder, "summary.md", &markdown(result))
}

/// Letters that fit beside a plot on a telephone.
const NARROW_NAME_MAX: usize = 15;

fn slug(unit: Unit) -> &'static str {
    match unit {
        Unit::Ms => "times",
        Unit::PerSecond => "rates",
        Unit::Bytes => "bytes",
        Unit::Reported => "reported",
    }
}

fn title(unit: Unit) -> &'static str {
    match unit {
        Unit::Ms => "Times",
        Unit::PerSecond => "Rates",
        Unit::Bytes => "Memory",
        Unit::Reported => "What the broker reports",
    }
}

/// The values behind a plot, in the unit of the figures.
fn csv(result: &MeasurementResult, unit: Unit) -> String {
    let mut text = "figure,of,round,value\n".to_owned();
    for figure in result.figures.iter().filter(|figure| figure.unit == unit) {
        for (round, value) in figure.values.iter().enumerate() {
            let [name, subject] = [&figure.name, &figure.subject].map(|words| words.replace(',', ";"));
            text += &format!("{name},{subject},{},{value}\n", round + 1);
        }
    }
    text
}

fn plot(result: &MeasurementResult, unit: Unit) -> Strip<'_> {
    let mut subjects: Vec<&str> = result.figures.iter().map(|figure| figure.subject.as_str()).collect();
    subjects.dedup();
    let colour = |figure: &Figure| -> Colour {
        const COLOURS: [Colour; 3] = [BLUE, ORANGE, GREEN];
        COLOURS[subjects.iter().position(|one| *one == figure.subject).unwrap_or(0) % COLOURS.len()]
    };
    let mut figures: Vec<&Figure> = result.figures.iter().filter(|figure| figure.unit == unit).collect();
    // What is compared stands together, in the order in which it was first measured.
    let place = |figure: &Figure| result.figures.iter().position(|one| one.name == figure.name);
    figures.sort_by_key(|figure| place(figure));
    let short = |words: &str| words.chars().take(NARROW_NAME_MAX).collect::<String>();
    let rows = figures.into_iter().map(|figure| {
        let name = [figure.name.as_str(), figure.subject.as_str()].join(" ").trim().to_owned();
        let narrow = [short(&figure.name), short(&figure.subject)];
        let points = figure.values.iter().copied().map(Observed::At).collect();
        Row { name, narrow, points, colour: colour(figure), spread: &figure.spread }
    });
    Strip { name: slug(unit), label: title(unit), title: unit.title(), mark: mark(unit), rows: rows.collect() }
}

fn mark(unit: Unit) -> fn(f64) -> String {
    match unit {
        Unit::Ms => ms_mark,
        Unit::Bytes => |bytes| size(bytes as u64),
        Unit::PerSecond | Unit::Reported => count_mark,
    }
}

fn head(result: &MeasurementResult) -> String {
    let words = match result.verdict {
        Verdict::Pass => "Everything that was demanded was met.",
        Verdict::Violated => "Something that was demanded was not met.",
        Verdict::Unknown => "Something could not be judged.",
        Verdict::Skipped => "The environment did not allow all of it.",
    };
    let list =
        |items: Vec<String>| if items.is_empty() { String::new() } else { format!("<ul>{}</ul>", items.concat()) };
    let item = |words: &String| format!("<li>{}</li>", escape(words));
    let findings = result.findings.iter().map(|finding| format!("<li>{}</li>", escape(&sentence(finding)))).collect();
    let others: Vec<&String> = result.reasons.iter().filter(|reason| !is_finding(result, reason)).collect();
    format!(
        "<h1>Measurement: {}</h1>\n<p class=\"muted\">{}, seed {}, {:.0} s</p>\n<p>{}</p>\n<div class=\"verdict {}\"><strong>{}</strong><p>{words}</p>{}{}</div>\n{}",
        result.suite.name(),
        result.started,
        result.seed,
        result.duration_s,
        escape(result.suite.explanation()),
        result.verdict,
        result.verdict,
        list(findings),
        list(others.into_iter().map(item).collect()),
        list(result.notes.iter().map(item).collect())
    )
}

fn is_finding(result: &MeasurementResult, reason: &str) -> bool {
    result.findings.iter().any(|finding| finding.words == reason)
}

fn sentence(finding: &Finding) -> String {
    let mark = match finding.met {
        Some(true) => "met: ",
        Some(false) => "NOT MET: ",
        None => "",
    };
    format!("{mark}{}", finding.words)
}

fn table(result: &MeasurementResult) -> String {
    let mut table = "<div class=\"scroll\"><table><tr><th>figure</th><th class=\"left\">of</th><th>n</th><th>min</th><th>median</th><th>max</th>\
                     <th>95 % interval of the median</th><th class=\"left\">every value</th></tr>"
        .to_owned();
    for figure in &result.figures {
        let [min, median, max, interval] = cells(figure);
        let values = figure.values.iter().map(|value| figure.unit.words(*value)).collect::<Vec<_>>().join(", ");
        table += &format!(
            "<tr><td>{}</td><td class=\"left\">{}</td><td>{}</td><td>{min}</td><td>{median}</td><td>{max}</td><td>{interval}</td>\
             <td class=\"words\">{values}</td></tr>",
            escape(&figure.name),
            escape(&figure.subject),
            figure.values.len()
        );
    }
    table + "</table></div>\n"
}

/// Smallest, median, largest, and interval of the median.
fn cells(figure: &Figure) -> [String; 4] {
    let spread = &figure.spread;
    let words = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| figure.unit.words(value));
    let interval = match spread.ci95 {
        Some([low, high]) => format!("{} to {}", words(low), words(high)),
        None => "needs 6 rounds".to_owned(),
    };
    [words(spread.min), words(spread.median), words(spread.max), interval]
}

fn again(result: &MeasurementResult) -> String {
    let entries = result.setting.iter().map(|(name, value)| (name.as_str(), value.clone()));
    let entries = entries.chain(environment(&result.environment));
    let list: String =
        entries.map(|(name, value)| format!("<dt>{}</dt><dd>{}</dd>", escape(name), escape(&value))).collect();
    format!("<pre>{}</pre>\n<p>Every value is in result.json.</p>\n<dl>{list}</dl>\n", escape(&result.command))
}

/// What the terminal shows at the end.
pub(super) fn text(result: &MeasurementResult) -> String {
    let width = result.figures.iter().map(|figure| figure.name.len()).max().unwrap_or(0);
    let subjects = result.figures.iter().map(|figure| figure.subject.len()).max().unwrap_or(0);
    let (figure, of) = ("figure", "of");
    let mut text =
        format!("\n{figure:<width$}  {of:<subjects$}  {:>3} {:>12} {:>12} {:>12}\n", "n", "min", "median", "max");
    for figure in &result.figures {
        let [min, median, max, _] = cells(figure);
        let (name, subject, n) = (&figure.name, &figure.subject, figure.values.len());
        text += &format!("{name:<width$}  {subject:<subjects$}  {n:>3} {min:>12} {median:>12} {max:>12}\n");
    }
    text.push('\n');
    text += &sentences(result, "").concat();
    text + &format!("\nverdict: {} ({:.0} s, seed {})\n", result.verdict, result.duration_s, result.seed)
}

/// Findings, other reasons and notes, a line each.
fn sentences(result: &MeasurementResult, bullet: &str) -> Vec<String> {
    let findings = result.findings.iter().map(sentence);
    let others = result.reasons.iter().filter(|reason| !is_finding(result, reason)).cloned();
    let notes = result.notes.iter().map(|note| format!("note: {note}"));
    findings.chain(others).chain(notes).map(|words| format!("{bullet}{words}\n")).collect()
}

/// summary.md: what a CI server shows beside a run.
fn markdown(result: &MeasurementResult) -> String {
    let mut text = format!("# Measurement {}: {}\n\n", result.suite.name(), result.verdict);
    text += &sentences(result, "* ").concat();
    text += "\n| figure | of | n | min | median | max | 95 % interval of the median |\n|---|---|---|---|---|---|---|\n";
    for figure in &result.figures {
        let [min, median, max, interval] = cells(figure);
        let (name, subject, n) = (&figure.name, &figure.subject, figure.values.len());
        text += &format!("| {name} | {subject} | {n} | {min} | {median} | {max} | {interval} |\n");
    }
    text + &format!("\nAgain: `{}`\n", result.command)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::Environment;
    use crate::measurement::MeasuringSuite;
    use crate::measurement::SCHEMA;
    use crate::statistics::spread;

    fn sample(name: &str, subject: &str, unit: Unit, values: &[f64]) -> Figure {
        let spread = spread(&values.iter().copied().map(Some).collect::<Vec<_>>());
        Figure { name: name.to_owned(), subject: subject.to_owned(), unit, values: values.to_vec(), spread }
    }

    fn result() -> MeasurementResult {
        MeasurementResult {
            schema: SCHEMA.to_owned(),
            verdict: Verdict::Violated,
            suite: MeasuringSuite::Steady,
            seed: 3,
            command: "cargo run --release -p chaos -- run steady --seed 3".to_owned(),
            started: "2026-01-31T12:00:00Z".to_owned(),
            duration_s: 60.0,
            environment: Environment::default(),
            setting: vec![("A".to_owned(), "new <one>".to_owned())],
            figures: vec![
                sample("confirm p99", "A", Unit::Ms, &[2.0, 2.5, 3.0]),
                sample("confirmed at most", "A", Unit::PerSecond, &[90e3, 91e3]),
                sample("confirm p99", "B", Unit::Ms, &[1.0, 1.5, 1.2]),
            ],
            findings: vec![Finding { words: "p99: worse".to_owned(), met: Some(false) }],
            reasons: vec!["p99: worse".to_owned(), "not drained".to_owned()],
            notes: vec!["a note".to_owned()],
        }
    }

    #[test]
    fn page_pictures_and_summary_are_built_from_the_folder() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        result().write(folder.path()).expect("the folder is ours");
        let read = MeasurementResult::read(folder.path()).expect("it was written").expect("it is a measurement");
        assert_eq!(read, result());
        build(folder.path(), &read).expect("it can be drawn");
        let file = |name: &str| std::fs::read_to_string(folder.path().join(name)).expect(name);
        assert!(file("measured-times.svg").contains("confirm p99 A"));
        assert!(!folder.path().join("measured-bytes.svg").exists());
        let page = file(HTML_FILE);
        assert!(page.contains("NOT MET: p99: worse") && page.contains("new &lt;one&gt;"));
        assert_eq!(page.matches("p99: worse").count(), 1);
        assert!(file("summary.md").contains("| confirm p99 | A | 3 | 2.00 ms | 2.50 ms | 3.00 ms | needs 6 rounds |"));
    }

    #[test]
    fn the_terminal_says_everything_once() {
        let text = text(&result());
        assert_eq!((text.matches("worse").count(), text.matches("not drained").count()), (1, 1), "{text}");
        assert!(text.contains("note: a note") && text.contains("verdict: violated"), "{text}");
    }

    #[test]
    fn what_is_compared_stands_together() {
        let result = result();
        let names: Vec<String> = plot(&result, Unit::Ms).rows.into_iter().map(|row| row.name).collect();
        assert_eq!(names, ["confirm p99 A", "confirm p99 B"]);
    }
}
