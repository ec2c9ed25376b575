//! What a person reads after a run. Everything is built from the files of the result folder, so that it can be built again.
//!
//! `theme` and `plots` draw, `data` writes the numbers behind the plots. `html` lays out the page: `properties` is its verdict, `matrix` the
//! loss, `tables` what is about all trials, `backlog` what is about backlogs, `scenarios` one scenario. `text` writes tables for terminals
//! and Markdown, `junit` is for CI servers, `comparison` sets two runs side by side, `measurement` is about runs without a fault.

mod backlog;
mod comparison;
mod data;
mod html;
mod junit;
mod matrix;
mod measurement;
mod plots;
mod properties;
mod scenarios;
#[cfg(test)]
pub(crate) mod synthetic;
mod tables;
mod text;
mod theme;

use crate::compare::Comparison;
use crate::error::{AtPath, Result};
use crate::fates::{self, Message};
use crate::latency::Latency;
use crate::measurement::MeasurementResult;
use crate::result::{RunResult, TrialResult};
use crate::scenario::Cell;
use crate::series::{self, Bucket};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::Path;

pub use comparison::{build as build_comparison, markdown as comparison_markdown, text as comparison_text};
pub use text::terminal_table;
pub(crate) use text::{count, duration};
pub(crate) use theme::trimmed;

/// Name of the page.
pub const HTML_FILE: &str = "report.html";
/// Name of the page of a comparison.
pub const COMPARISON_HTML_FILE: &str = "comparison.html";

/// What the page is made from.
#[derive(Debug)]
struct Data {
    result: RunResult,
    /// SHA-256 of plan.json, its first 16 digits.
    plan_hash: Option<String>,
    /// By trial number; a trial that could not be carried out has none.
    series: BTreeMap<usize, Vec<Bucket>>,
    /// By trial number, of those that lost something.
    fates: BTreeMap<usize, Vec<Message>>,
    /// All trials of a cell together.
    latency: BTreeMap<Cell, Latency>,
    /// With a run that the result was compared with.
    comparison: Option<Comparison>,
}

/// With more trials than this, one of each cell that passed is on the page, folded, and the others have their plots beside it.
const ORDINARY_TRIALS_MAX: usize = 60;

impl Data {
    fn is_large(&self) -> bool {
        self.result.trials.len() > ORDINARY_TRIALS_MAX
    }
}

/// A plot as a file of its own.
#[derive(Debug)]
struct Picture {
    /// Its file's name, without the ending.
    name: String,
    svg: String,
    /// The numbers behind it, unless they have a file of their own.
    csv: Option<String>,
}

impl Picture {
    fn write(&self, folder: &Path) -> Result<()> {
        if let Some(csv) = &self.csv {
            write(folder, &format!("{}.csv", self.name), csv)?;
        }
        write(folder, &format!("{}.svg", self.name), &self.svg)
    }
}

/// Builds all reports of the result folder of a measurement.
pub fn build_measurement(folder: &Path, result: &MeasurementResult) -> Result<()> {
    measurement::build(folder, result)
}

/// The table and the findings of a measurement, for a terminal.
pub fn measurement_table(result: &MeasurementResult) -> String {
    measurement::text(result)
}

/// Builds all reports of a result folder and returns the result that they show.
pub fn build(folder: &Path) -> Result<RunResult> {
    let data = read(folder)?;
    let (page, pictures) = html::page(&data)?;
    write(folder, HTML_FILE, &page)?;
    for picture in &pictures {
        picture.write(folder)?;
    }
    let result = data.result;
    write(folder, "summary.md", &text::markdown(&result, data.plan_hash.as_deref()))?;
    write(folder, "trials.csv", &text::trials_csv(&result))?;
    write(folder, "junit.xml", &junit::document(&result, folder)?)?;
    Ok(result)
}

fn read(folder: &Path) -> Result<Data> {
    let result = RunResult::read(folder)?;
    let file = |trial: &TrialResult, ending: &str| {
        let path = folder.join(format!("{}{ending}", trial.file_stem()));
        path.exists().then_some(path)
    };
    let (mut series, mut fates, mut latency) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for trial in &result.trials {
        if let Some(path) = file(trial, ".csv") {
            series.insert(trial.number, series::read(&path)?);
        }
        if let Some(path) = file(trial, "-fates.csv") {
            fates.insert(trial.number, fates::read(&path)?);
        }
        if let Some(path) = file(trial, ".hlog") {
            latency.entry(trial.cell()).or_insert_with(Latency::default).add_log(&path)?;
        }
    }
    let (plan_hash, comparison) = (plan_hash(folder)?, Comparison::read(folder)?);
    Ok(Data { result, plan_hash, series, fates, latency, comparison })
}

/// What names a plan: the same seed, options and version give the same file.
fn plan_hash(folder: &Path) -> Result<Option<String>> {
    let path = folder.join("plan.json");
    if !path.exists() {
        return Ok(None);
    }
    let digest = Sha256::digest(std::fs::read(&path).at(&path)?);
    Ok(Some(digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()))
}

fn write(folder: &Path, name: &str, text: &str) -> Result<()> {
    let path = folder.join(name);
    std::fs::write(&path, text).at(&path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare;
    use crate::scenario::StoreSetting;

    fn built() -> (tempfile::TempDir, String) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        synthetic::write(folder.path(), &synthetic::run());
        build(folder.path()).expect("a whole result");
        let page = std::fs::read_to_string(folder.path().join(HTML_FILE)).expect("it was built");
        (folder, page)
    }

    #[test]
    fn the_page_needs_no_network_and_no_script() {
        let (_folder, page) = built();
        // The name of the SVG namespace is no address that anything fetches.
        let page = page.replace("http://www.w3.org/2000/svg", "");
        for forbidden in ["http:", "https:", "//cdn", "<script", "<link", "<img", "@import", "url("] {
            assert!(!page.contains(forbidden), "{forbidden}");
        }
    }

    #[test]
    fn every_scenario_and_every_trial_is_on_the_page() {
        let (_folder, page) = built();
        for scenario in synthetic::run().scenarios() {
            for store in StoreSetting::ALL {
                assert!(page.contains(&format!("scenario-{scenario}")), "{scenario} {store}");
            }
        }
        for number in 1..=28 {
            assert!(page.contains(&format!("<summary>trial {number}: ")), "{number}");
        }
        assert!(page.contains("--seed 7") && page.contains("Imaginary &lt;CPU&gt; &amp; Sons"));
        assert!(page.find("class=\"verdict pass\"") < page.find("<h2>"), "the verdict comes first");
    }

    #[test]
    fn each_plot_is_drawn_for_both_widths_and_as_a_file() {
        let (folder, page) = built();
        assert_eq!(
            page.matches("<div class=\"wide\"><svg").count(),
            page.matches("<div class=\"narrow\"><svg").count()
        );
        for name in ["failover.svg", "waterfall-kill-active.svg", "recovery.svg", "trial-01-kill-active-sync.svg"] {
            let text = std::fs::read_to_string(folder.path().join(name)).expect(name);
            assert!(text.starts_with("<svg") && text.trim_end().ends_with("</svg>"), "{name}");
        }
        assert!(!folder.path().join("waterfall-delay-heartbeats.svg").exists());
    }

    #[test]
    fn every_plot_has_its_numbers_beside_it() {
        let (folder, _) = built();
        let names: Vec<String> = std::fs::read_dir(folder.path())
            .expect("it was built")
            .map(|entry| entry.expect("it can be read").file_name().to_string_lossy().into_owned())
            .collect();
        let plots: Vec<&str> = names.iter().filter_map(|name| name.strip_suffix(".svg")).collect();
        assert!(plots.len() > 30, "{plots:?}");
        for plot in plots {
            let csv = std::fs::read_to_string(folder.path().join(format!("{plot}.csv"))).expect(plot);
            assert!(csv.lines().count() > 1, "{plot}");
        }
    }

    #[test]
    fn each_fault_has_a_lane_a_loss_its_messages_and_a_skipped_trial_its_reason() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let result = synthetic::troubled();
        synthetic::write(folder.path(), &result);
        let stem = result.trials[1].file_stem();
        fates::write(&folder.path().join(format!("{stem}-fates.csv")), &synthetic::fates()).expect("ours");
        build(folder.path()).expect("a whole result");
        let text = |name: &str| std::fs::read_to_string(folder.path().join(name)).expect(name);
        assert!(text("trial-01-kill-active-sync.svg").contains("cut &lt;both directions&gt;, link, for 800 ms"));
        let drawn = text(&format!("{stem}-fates.svg"));
        assert!(drawn.contains("producer 3") && drawn.contains("lost"), "{drawn}");
        assert!(text(HTML_FILE).contains("skipped: no /dev/fuse here"));
        assert!(text("summary.md").contains("| host-crash | skipped: no /dev/fuse here | not run |"));
        assert!(text("junit.xml").contains("<skipped message=\"no /dev/fuse here\""));
    }

    #[test]
    fn of_many_trials_the_ordinary_ones_lie_beside_the_page() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut result = synthetic::run();
        let more = result.trials.clone();
        for (place, trial) in more.iter().cycle().take(60).enumerate() {
            result.trials.push(TrialResult { number: 29 + place, ..trial.clone() });
        }
        synthetic::write(folder.path(), &result);
        build(folder.path()).expect("a whole result");
        let page = std::fs::read_to_string(folder.path().join(HTML_FILE)).expect("it was built");
        assert_eq!(page.matches("<details open>").count(), 0, "nothing is unfolded that passed");
        assert!(page.len() < 3 << 20, "{} bytes", page.len());
        let link = format!("<a href=\"{}.svg\">", result.trials[87].file_stem());
        assert!(page.contains(&link) && folder.path().join(format!("{}.svg", result.trials[87].file_stem())).exists());
    }

    #[test]
    fn a_comparison_is_a_page_and_a_section_of_the_later_report() {
        let (base, new) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        synthetic::write(base.path(), &synthetic::run());
        let mut slower = synthetic::run();
        for trial in &mut slower.trials {
            trial.times_ms.failover = trial.times_ms.failover.map(|ms| ms * 2.0);
        }
        slower.summary = crate::result::summarize(&slower.trials);
        synthetic::write(new.path(), &slower);
        let gates = vec!["failover=10%".parse().expect("a gate")];
        let request = compare::Request { gates, despite_differences: false };
        let comparison = compare::compare(base.path(), new.path(), &request).expect("they are alike");
        assert_eq!(comparison.exit_code(), 1);
        comparison.write(new.path()).expect("ours");
        build_comparison(new.path(), &comparison).expect("it can be drawn");
        let text = |name: &str| std::fs::read_to_string(new.path().join(name)).expect(name);
        for page in [text(HTML_FILE), text(COMPARISON_HTML_FILE)] {
            assert!(
                page.contains("gate: violated") && page.contains("failover: NEW against BASE"),
                "the plot is shown"
            );
        }
        assert!(
            text("comparison.md").contains("| kill-active | sync | failover | 6, 6 |"),
            "{}",
            text("comparison.md")
        );
        assert!(text("comparison.csv").lines().count() > 10 && text("comparison-failover.svg").contains("+100 %"));
        let again = Comparison::read(new.path()).expect("it was written").expect("it is there");
        // The last digit of a float may change on its way through a file.
        assert_eq!(
            (again.gate, again.counts, again.rows.len()),
            (comparison.gate, comparison.counts, comparison.rows.len())
        );
    }

    #[test]
    fn a_backlog_has_its_plots_its_ratio_and_what_became_of_it() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        synthetic::write(folder.path(), &synthetic::backlogs());
        build(folder.path()).expect("a whole result");
        let page = std::fs::read_to_string(folder.path().join(HTML_FILE)).expect("it was built");
        for name in ["backlog-failover-sync.svg", "backlog-recovery-sync.svg", "waterfall-kill-backlog.svg"] {
            let text = std::fs::read_to_string(folder.path().join(name)).expect(name);
            assert!(text.contains("10 GiB") && text.contains("10 MiB"), "{name}");
        }
        assert!(!folder.path().join("backlog-failover-async.svg").exists());
        assert!(page.contains("<td>10 GiB cold</td>") && page.contains("planted &lt;reason&gt;"));
        let summary = std::fs::read_to_string(folder.path().join("summary.md")).expect("it was built");
        assert!(summary.contains("10 GiB, ") || summary.contains("above 10 GiB"), "{summary}");
        assert!(summary.contains("planted <reason>"), "{summary}");
    }

    #[test]
    fn a_run_in_which_nothing_could_be_carried_out_has_a_page_too() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut result = synthetic::run();
        for trial in &mut result.trials {
            trial.times_ms = Default::default();
            trial.instants_ms = Default::default();
            trial.faults = Vec::new();
            trial.store_recovered = None;
            trial.reasons = vec!["the trial could not be carried out: <no broker>".to_owned()];
        }
        result.summary = crate::result::summarize(&result.trials);
        result.write(folder.path()).expect("the folder is ours");
        build(folder.path()).expect("a result without series");
        let page = std::fs::read_to_string(folder.path().join(HTML_FILE)).expect("it was built");
        assert!(page.contains("&lt;no broker&gt;") && page.contains("not measured"));
    }

    #[test]
    fn a_result_of_another_version_is_refused() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join("result.json"), "{\"schema\":\"understudy.chaos/99\"}").expect("ours");
        assert!(matches!(build(folder.path()), Err(crate::Error::Schema { .. })));
    }
}
