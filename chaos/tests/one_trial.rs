//! The whole chain, small: a real pair, a real load, one SIGKILL, a report; the same above a backlog; and a measurement.

use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// The machine does not allow the trial: no io_uring in this kernel or container.
const EXIT_CODE_SKIPPED: i32 = 3;

/// The trials measure: two at a time would disturb each other.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Runs `chaos run` with the words of `line`; false if the machine does not allow it. Anything but a pass fails the test.
fn passes(line: &str, out: &Path) -> bool {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let output = Command::new(env!("CARGO_BIN_EXE_chaos"))
        .arg("run")
        .args(line.split_whitespace())
        // Other tests may keep the machine busy.
        .args(if line.starts_with("memory") { &[][..] } else { &["--replays", "5"] })
        .arg("--out")
        .arg(out)
        .env("CI", "true")
        .output()
        .expect("the binary was built");
    let (said, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.code() == Some(EXIT_CODE_SKIPPED) {
        eprintln!("skipped: {told}");
        return false;
    }
    assert_eq!(output.status.code(), Some(0), "{said}\n{told}");
    assert!(said.contains("verdict: pass") && said.contains("report.html"), "{said}");
    true
}

fn has_files(out: &Path, names: &[&str]) {
    for name in names {
        assert!(out.join(name).metadata().is_ok_and(|file| file.len() > 0), "{name}");
    }
    let again =
        Command::new(env!("CARGO_BIN_EXE_chaos")).arg("report").arg(out).output().expect("the binary was built");
    assert_eq!(again.status.code(), Some(0), "{}", String::from_utf8_lossy(&again.stderr));
}

#[test]
fn a_killed_active_costs_a_sync_store_nothing() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = folder.path().join("out");
    if passes("quick --seed 1 --trials 1 --only kill-active --store sync --rate 1000", &out) {
        let names = [
            "report.html",
            "result.json",
            "plan.json",
            "events.jsonl",
            "history.jsonl.zst",
            "junit.xml",
            "summary.md",
            "trials.csv",
            "trial-01-kill-active-sync.csv",
            "trial-01-kill-active-sync.hlog",
            "trial-01-kill-active-sync.svg",
            "waterfall-kill-active.svg",
        ];
        has_files(&out, &names);
    }
}

/// A backlog so small is filled anew for each trial; that a larger one serves several is for the release build to run.
#[test]
fn a_backlog_outlives_hot_and_cold_takeovers() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = folder.path().join("out");
    if passes("backlog --seed 1 --trials 1 --backlog 1MiB --rate 500", &out) {
        has_files(&out, &["backlog-failover-sync.svg", "backlog-recovery-sync.svg", "trial-02-kill-backlog-sync.csv"]);
        let text = std::fs::read_to_string(out.join("result.json")).expect("it was written");
        let result: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
        let drained: Vec<u64> =
            result["stores"].as_array().into_iter().flatten().filter_map(|store| store["delivered"].as_u64()).collect();
        // A trial that was played again had a store of its own.
        assert!(drained.len() >= 2 && drained.iter().all(|&delivered| delivered == 1024), "{drained:?}");
    }
}

#[test]
fn a_measurement_leaves_a_report() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = folder.path().join("out");
    if passes("memory --seed 1 --trials 1 --messages 2000", &out) {
        has_files(&out, &["report.html", "result.json", "summary.md", "measured-bytes.svg", "measured-rates.svg"]);
    }
}
