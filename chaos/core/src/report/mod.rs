//! What a person reads after a run. Everything is built from the files of the result folder, so that it can be built again.
//!
//! `theme` and `plots` draw, `html` lays out the page, `text` writes tables for terminals and Markdown, `junit` for CI servers.

mod backlog;
mod html;
mod junit;
mod measurement;
mod plots;
#[cfg(test)]
pub(crate) mod synthetic;
mod text;
mod theme;

use crate::error::{AtPath, Result};
use crate::latency::Latency;
use crate::measurement::MeasurementResult;
use crate::result::{RunResult, TrialResult};
use crate::scenario::Cell;
use crate::series::{self, Bucket};
use std::collections::BTreeMap;
use std::path::Path;

pub use text::terminal_table;
pub(crate) use text::{count, duration};
pub(crate) use theme::trimmed;

/// Name of the page.
pub const HTML_FILE: &str = "report.html";

/// What the page is made from.
#[derive(Debug)]
struct Data {
    result: RunResult,
    /// By trial number; a trial that could not be carried out has none.
    series: BTreeMap<usize, Vec<Bucket>>,
    /// All trials of a cell together.
    latency: BTreeMap<Cell, Latency>,
}

/// A plot as a file of its own.
#[derive(Debug)]
struct Picture {
    name: String,
    svg: String,
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
        write(folder, &picture.name, &picture.svg)?;
    }
    let result = data.result;
    write(folder, "summary.md", &text::markdown(&result))?;
    write(folder, "trials.csv", &text::trials_csv(&result))?;
    write(folder, "junit.xml", &junit::document(&result)?)?;
    Ok(result)
}

fn read(folder: &Path) -> Result<Data> {
    let result = RunResult::read(folder)?;
    let file = |trial: &TrialResult, kind: &str| {
        let path = folder.join(format!("{}.{kind}", trial.file_stem()));
        path.exists().then_some(path)
    };
    let (mut series, mut latency) = (BTreeMap::new(), BTreeMap::new());
    for trial in &result.trials {
        if let Some(path) = file(trial, "csv") {
            series.insert(trial.number, series::read(&path)?);
        }
        if let Some(path) = file(trial, "hlog") {
            latency.entry(trial.cell()).or_insert_with(Latency::default).add_log(&path)?;
        }
    }
    Ok(Data { result, series, latency })
}

fn write(folder: &Path, name: &str, text: &str) -> Result<()> {
    let path = folder.join(name);
    std::fs::write(&path, text).at(&path)
}

#[cfg(test)]
mod tests {
    use super::*;
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
                assert!(page.contains(&format!("<h3>{scenario}, {store} store</h3>")), "{scenario} {store}");
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
