//! docs/LOADGEN.md names every field and column that the program writes, and every figure that a condition takes.

use std::collections::BTreeSet;

use loadgen::compare::Comparison;
use loadgen::judgement::Measure;
use loadgen::ledger::{Connection, Ledger};
use loadgen::merge::Merged;
use loadgen::options::{Limit, Options};
use loadgen::report::Report;
use loadgen::run::Finished;
use loadgen::series::{FaultWindow, Interval, Mark, Percentiles, Series};
use loadgen::sweep::{Sweep, Trial};
use loadgen::table::COLUMNS;
use loadgen::verdict::LinkLoss;
use serde_json::Value;

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/LOADGEN.md");

/// A report with something in every list, so that every field occurs.
fn full_report() -> Value {
    let mut series = Series { start_ns: 1, stop_ns: 2_000_000_001, ..Series::default() };
    let points = Some(Percentiles::default());
    series.intervals.push(Interval { response: points, service: points, delivery: points, ..Interval::default() });
    series.marks.push(Mark { at_ns: 1, label: "mark".to_owned() });
    series.faults.push(FaultWindow { begin_ns: 1, end_ns: Some(2), label: "fault".to_owned() });
    for histogram in [&mut series.histograms.response, &mut series.histograms.delivery] {
        histogram.record(5).expect("in range");
    }
    let mut ledger = Ledger::default();
    let mut log = loadgen::ledger::ProducerLog::default();
    log.connections.push(Connection { server: "s".to_owned(), opened_ns: 1, closed_ns: 2, reason: String::new() });
    let sent = |invoke_ns| loadgen::ledger::Send {
        sequence: invoke_ns,
        intended_ns: invoke_ns,
        invoke_ns,
        outcome_ns: invoke_ns + 1,
        confirm_index: 0,
        connection: 0,
        attempt: 0,
        outcome: loadgen::ledger::Outcome::Ok,
    };
    log.sends = [sent(5), sent(9)].into_iter().collect();
    ledger.producers.push(log);
    let finished = Finished { ledger, series };
    let mut reports = Vec::new();
    for limit in [Limit::Count(5), Limit::Duration(std::time::Duration::from_secs(1))] {
        let options = Options { limit, ..Options::default() };
        let mut verdict = Measure::default().judge(&options, &finished, true);
        verdict.losses.push(LinkLoss {
            producer: 0,
            connection: 0,
            confirmed: 1,
            lost: 1,
            lost_bytes: 1,
            span_ns: 1,
            holes: 1,
            excused: true,
        });
        let Finished { ledger, series } = &finished;
        reports.push(Report { options: &options, ledger, series, verdict: &verdict }.json());
    }
    Value::Array(reports)
}

/// Every key of a document, at any depth.
fn keys(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(key, value)| {
            found.insert(key.clone());
            keys(value, found);
        }),
        Value::Array(values) => values.iter().for_each(|value| keys(value, found)),
        _ => {}
    }
}

#[test]
fn every_field_is_documented() {
    let trial = Trial {
        offered_per_s: 1.0,
        confirmed_per_s: 1.0,
        delivered_per_s: 1.0,
        response: Some(Percentiles::default()),
        delivery: None,
        generator_cpu: None,
        misses: Vec::new(),
        unfit: None,
        violated: None,
    };
    let sweep = Sweep { targets: Vec::new(), trials: vec![trial], answer: None, missed: None, interrupted: false };
    let comparison = Comparison { tolerance_percent: 5.0, resamples: 100, seed: 1, gate: Vec::new() };
    let mut entry = loadgen::hlog::Entry {
        tag: "response".to_owned(),
        begin: std::time::Duration::ZERO,
        length: std::time::Duration::from_millis(100),
        histogram: hdrhistogram::Histogram::new(3).expect("three digits"),
    };
    entry.histogram.record(5).expect("in range");
    let logs = [vec![entry]];
    let mut merged = Merged::default();
    merged.add_log(logs[0].clone());
    let compared = serde_json::to_value(comparison.compare(&logs, &logs)).expect("JSON");
    let mut found: BTreeSet<String> = COLUMNS.iter().map(|column| (*column).to_owned()).collect();
    for document in [full_report(), sweep.json(), merged.json(), compared] {
        keys(&document, &mut found);
    }
    assert!(found.len() > 120, "{} fields are too few: something is not in the documents under test", found.len());
    let text = std::fs::read_to_string(DOCUMENT).expect("docs/LOADGEN.md");
    let missing: Vec<_> = found.iter().filter(|key| !text.contains(&format!("`{key}`"))).collect();
    assert!(missing.is_empty(), "docs/LOADGEN.md does not name {missing:?}");
}

/// The machine-readable parts of the documents are what they say.
#[test]
fn the_profile_of_the_document_is_one() {
    let text = std::fs::read_to_string(DOCUMENT).expect("docs/LOADGEN.md");
    let profile: Vec<&str> = text
        .lines()
        .skip_while(|line| !line.starts_with("    url = "))
        .take_while(|line| line.starts_with("    "))
        .collect();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("load.toml");
    std::fs::write(&path, profile.join("\n")).expect("written");
    // A port where nobody listens: the profile was understood if that is the complaint.
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_loadgen"))
        .args(["run", "--url", "amqp://127.0.0.1:1", "--patience", "100ms", "--profile"])
        .arg(&path)
        .output()
        .expect("the program starts");
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{err}");
    assert!(err.contains("32 of 32 clients found no server"), "{err}");
}

/// The arguments of the Kubernetes job are ones: with its variables set, all that is missing is a broker.
#[test]
fn the_job_of_the_document_starts() {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/kubernetes/loadgen-job.yaml");
    let text = std::fs::read_to_string(manifest).expect("the manifest");
    let folder = tempfile::tempdir().expect("a folder");
    let set = |argument: &str| {
        let argument = argument.replace("$(JOB_COMPLETION_INDEX)", "3").replace("$(LOADGEN_START)", "+5s");
        let argument = argument.replace("$(LOADGEN_USER):$(LOADGEN_PASSWORD)@", "me:secret@");
        let argument = argument.replace("broker-a:7222", "127.0.0.1:1").replace("broker-b:7222", "127.0.0.1:1");
        argument.replace("/results", folder.path().to_str().expect("UTF-8"))
    };
    let arguments: Vec<String> = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- ").filter(|word| word.starts_with("--")))
        .map(set)
        .collect();
    assert!(arguments.len() > 8 && arguments.iter().all(|argument| !argument.contains("$(")), "{arguments:?}");
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_loadgen"))
        .args(["run", "--patience", "100ms"])
        .args(&arguments)
        .output()
        .expect("the program starts");
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{err}");
    assert!(err.contains("8 of 8 clients found no server"), "{err}");
}
