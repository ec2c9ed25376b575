//! report.html: one page without a network, a script or another file; verdict first, then an index, what trials have in common, and a
//! section for each scenario.

use super::properties::properties;
use super::text::{NOT_EXERCISED, count, not_exercised, of_spread};
use super::theme::{self, Width};
use super::{Data, Picture, comparison, matrix, scenarios, tables};
use crate::environment::Environment;
use crate::error::Result;
use crate::result::{RunResult, TrialResult, Verdict};
use crate::scenario::StoreSetting;

const STYLE: &str = include_str!("style.css");

/// The text with the characters that mean something in HTML and XML replaced.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// The page, and the pictures that it shows for files of their own.
pub(super) fn page(data: &Data) -> Result<(String, Vec<Picture>)> {
    let result = &data.result;
    let mut pictures = Vec::new();
    let mut parts = vec![section("lost", "Lost messages", &matrix::html(result))];
    parts.push(section("failover", "Failover time", &tables::failover(result, &mut pictures)?));
    if let Some(found) = &data.comparison {
        parts.push(comparison::part(found, &mut pictures)?);
    }
    if let Some(words) = super::backlog::section(result, &mut pictures)? {
        parts.push(section("backlog", "What a backlog costs", &words));
    }
    if let Some(words) = tables::pauses(result) {
        parts.push(section("woken", "Woken servers", &words));
    }
    parts.push(section("recovery", "Store recovery", &tables::recovery(result, &mut pictures)?));
    parts.push(section("phases", "Where the time goes", &tables::phases(result)));
    for scenario in result.scenarios() {
        parts.push(scenarios::part(data, &scenario, &mut pictures)?);
    }
    parts.push(section("trials", "Trials", &tables::trials(result)));
    parts.push(section("again", "Run it again", &tables::again(result)));
    let body = format!("{}{}{}", head(data), index(result), parts.concat());
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

/// A section that the index leads to by its name.
pub(super) fn section(id: &str, title: &str, body: &str) -> String {
    format!("<section id=\"{id}\">\n<h2>{title}</h2>\n{body}</section>\n")
}

pub(super) fn tag(verdict: Verdict) -> String {
    format!("<span class=\"tag {verdict}\">{verdict}</span>")
}

/// What can be unfolded.
pub(super) fn details(is_open: bool, summary: &str, body: &str) -> String {
    let open = if is_open { " open" } else { "" };
    format!("<details{open}><summary>{summary}</summary>\n{body}</details>\n")
}

/// Columns of words; all others hold numbers, which stand at the right.
const WORDS: [&str; 5] = ["scenario", "store", "verdict", "figure", "conclusion"];

/// A table that is moved sideways where the window is narrower.
pub(super) fn table(head: &[&str], rows: &str) -> String {
    let class = |name: &&str| if WORDS.contains(name) { " class=\"left\"" } else { "" };
    let head: String = head.iter().map(|name| format!("<th{}>{name}</th>", class(name))).collect();
    format!("<div class=\"scroll\"><table><tr>{head}</tr>{rows}</table></div>\n")
}

pub(super) const NOTHING: &str = "<p class=\"muted\">No trial of this run gave data for this.</p>\n";

fn head(data: &Data) -> String {
    let result = &data.result;
    let skips = result.trials.iter().any(|trial| trial.verdict == Verdict::Skipped);
    let words = match result.verdict {
        Verdict::Pass if skips => {
            "Every promise held in every trial that the environment allowed; what was skipped is below."
        }
        Verdict::Pass => "Every promise held in every trial, and every fault was seen to take effect.",
        Verdict::Violated => "A promise was broken. The reasons are below.",
        Verdict::Unknown => "At least one trial could not be judged. The reasons are below.",
        Verdict::Skipped => "The environment did not allow these trials.",
    };
    let asynchronous = if not_exercised(result) { format!("<p><b>{NOT_EXERCISED}</b></p>") } else { String::new() };
    let rows: String = properties(result)
        .iter()
        .map(|one| {
            let (class, word) = (one.class(), one.word());
            format!(
                "<li><span class=\"tag {class}\">{word}</span> <span>{}</span> <span class=\"muted\">{}</span></li>",
                one.promise, one.evidence
            )
        })
        .collect();
    format!(
        "<h1>What a failover costs</h1>\n<p class=\"muted\">{} trials, suite {}, {}, {:.0} s</p>\n\
         <div class=\"verdict {verdict}\"><strong>{verdict}</strong><p>{words}</p>{asynchronous}<ul class=\"properties\">{rows}</ul>{}\
         <dl>{}</dl></div>\n",
        result.trials.len(),
        escape(&result.suite),
        result.started,
        result.duration_s,
        reasons(result),
        identity(data),
        verdict = result.verdict
    )
}

/// Reasons that are listed at once; the others are in the sections of their scenarios.
const REASONS_MAX: usize = 20;

fn reasons(result: &RunResult) -> String {
    let all = result.trials.iter().chain(&result.disturbed).filter(|trial| trial.verdict != Verdict::Skipped);
    let mut list: Vec<String> = all.flat_map(|trial| trial.reasons.iter().map(move |one| reason(trial, one))).collect();
    list.extend(
        result
            .stores
            .iter()
            .filter(|store| !store.reasons.is_empty())
            .map(|store| format!("<li>{}</li>", escape(store.line().trim()))),
    );
    list.extend(skipped(result));
    let more = list.len().saturating_sub(REASONS_MAX);
    list.truncate(REASONS_MAX);
    if more > 0 {
        list.push(format!("<li>and {more} more, in the sections of their scenarios and in result.json</li>"));
    }
    let list = if list.is_empty() { String::new() } else { format!("<ul>{}</ul>", list.concat()) };
    let shrunk = result.shrunk.as_ref().map(|shrunk| format!("<p>{}</p>", escape(&shrunk.sentence())));
    list + &shrunk.unwrap_or_default()
}

/// What was skipped, with its reason, a line for each scenario.
fn skipped(result: &RunResult) -> Vec<String> {
    let line = |scenario: String| {
        let trials: Vec<&TrialResult> = result.trials.iter().filter(|trial| trial.scenario == scenario).collect();
        let skipped: Vec<&&TrialResult> = trials.iter().filter(|trial| trial.verdict == Verdict::Skipped).collect();
        let reason = skipped.first()?.reasons.last().cloned().unwrap_or_default();
        let (n, of) = (skipped.len(), trials.len());
        Some(format!(
            "<li>{}, {}: {n} of {of} trials: {}</li>",
            escape(&scenario),
            tag(Verdict::Skipped),
            escape(&reason)
        ))
    };
    result.scenarios().into_iter().filter_map(line).collect()
}

/// A trial and why it is not a pass.
pub(super) fn reason(trial: &TrialResult, reason: &str) -> String {
    let (number, scenario, place) = (trial.number, escape(&trial.scenario), escape(&trial.cell().place()));
    format!("<li>trial {number}, {scenario} {place}, {}: {}</li>", tag(trial.verdict), escape(reason))
}

/// What repeats the run, and where it took place.
fn identity(data: &Data) -> String {
    let result = &data.result;
    let hash = data.plan_hash.clone().unwrap_or_else(|| "plan.json is not there".to_owned());
    let entries = [("again", result.command.clone()), ("seed", result.seed.to_string()), ("plan", hash)];
    definitions(entries.into_iter().chain(environment(&result.environment)))
}

/// The entries of a list of definitions.
pub(super) fn definitions(entries: impl IntoIterator<Item = (&'static str, String)>) -> String {
    entries.into_iter().map(|(name, value)| format!("<dt>{name}</dt><dd>{}</dd>", escape(&value))).collect()
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

/// A line for each scenario that leads to its section.
fn index(result: &RunResult) -> String {
    let row = |scenario: &String| {
        let cells: String = StoreSetting::ALL
            .iter()
            .map(|store| {
                let Some(row) = result.loss(scenario, *store) else {
                    return "<td class=\"muted\">not run</td><td>-</td>".to_owned();
                };
                if row.verdict == Verdict::Skipped {
                    return format!("<td>{}</td><td>-</td>", tag(row.verdict));
                }
                let failover = match row.failover_ms.n {
                    0 if !row.takeover_expected => "no takeover".to_owned(),
                    _ => of_spread(&row.failover_ms, row.failover_ms.median),
                };
                format!(
                    "<td>{}, n = {}, {} lost</td><td>{failover}</td>",
                    tag(row.verdict),
                    row.trials,
                    count(row.lost)
                )
            })
            .collect();
        let name = escape(scenario);
        format!("<tr><td><a href=\"#{}\">{name}</a></td>{cells}</tr>", scenarios::id(scenario))
    };
    let rows: String = result.scenarios().iter().map(row).collect();
    let head = ["scenario", "sync store", "failover, median", "async store", "failover, median"];
    let others = [
        ("lost", "Lost messages"),
        ("failover", "Failover time"),
        ("recovery", "Store recovery"),
        ("phases", "Where the time goes"),
        ("trials", "Trials"),
        ("again", "Run it again"),
    ];
    let links = others.map(|(id, title)| format!("<a href=\"#{id}\">{title}</a>")).join(" &middot; ");
    let body = format!("<p>{links}</p>\n<div class=\"index\">{}</div>", table(&head, &rows));
    format!("<nav>\n{body}</nav>\n")
}

/// A picture for both widths, kept for a file as well, with the numbers behind it.
pub(super) fn figure(
    pictures: &mut Vec<Picture>,
    name: &str,
    words: &str,
    csv: Option<String>,
    draw: impl Fn(Width) -> Result<Option<String>>,
) -> Result<Option<String>> {
    let mut html = "<figure>".to_owned();
    for width in Width::BOTH {
        let Some(svg) = draw(width)? else { return Ok(None) };
        html += &format!("<div class=\"{}\">{}</div>", width.class(), theme::inline(&svg));
        if width == Width::Wide {
            pictures.push(Picture { name: name.to_owned(), svg: theme::standalone(&svg), csv: csv.clone() });
        }
    }
    let caption = if words.is_empty() { String::new() } else { format!("<figcaption>{words}</figcaption>") };
    Ok(Some(html + &caption + "</figure>\n"))
}
