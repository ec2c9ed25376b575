//! The whole chain, small: a real pair, a real load, one SIGKILL, a report; the same above a backlog, and for a file with several faults; and a
//! measurement.

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

/// A scenario of the user's own: a fault that only sets the scene, and two that follow one another, each with its evidence.
const TWO_FAULTS: &str = r#"
name = "mine"
explanation = "the standby is restarted, then the active server is killed, and killed again while the first victim is back"
takeover = "expected"

[load]
rate = 500
warmup = "500ms"
steady = "1s"

[[fault]]
do = "terminate"
role = "standby"
preparation = true
at = { after = "warm-up" }
heal = { after = "exit" }

[[fault]]
do = "kill"
role = "active"
at = { after = "healed", phase = "random 200ms" }
heal = { after = "takeover" }

[[fault]]
do = "kill"
role = "active"
at = { after = "healed" }
heal = { after = "takeover" }
"#;

#[test]
fn a_scenario_file_with_several_faults_is_played_with_evidence_for_each() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (out, file) = (folder.path().join("out"), folder.path().join("mine.toml"));
    std::fs::write(&file, TWO_FAULTS).expect("the folder is ours");
    if passes(&format!("{} --seed 1 --trials 1 --store sync", file.display()), &out) {
        let text = std::fs::read_to_string(out.join("result.json")).expect("it was written");
        let result: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
        let faults = result["trials"][0]["faults"].as_array().expect("a list").clone();
        let names: Vec<&str> = faults.iter().filter_map(|fault| fault["name"].as_str()).collect();
        assert_eq!(names, ["SIGTERM", "SIGKILL", "SIGKILL"]);
        assert!(faults.iter().all(|fault| fault["effect"]["proof"].as_str().is_some_and(|proof| !proof.is_empty())));
        assert_ne!(faults[1]["victim"], faults[2]["victim"], "the second kill is for the one that took over");
        let plan = std::fs::read_to_string(out.join("plan.json")).expect("it was written");
        assert!(plan.contains("\"do\": \"terminate\"") && plan.contains("\"after\": \"healed\""), "{plan}");
    }
}

#[test]
fn a_mistake_in_a_file_is_a_usage_error_that_names_its_line() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("mine.toml");
    std::fs::write(&file, TWO_FAULTS.replace("takeover = \"expected\"", "takover = \"expected\"")).expect("ours");
    let output =
        Command::new(env!("CARGO_BIN_EXE_chaos")).arg("run").arg(&file).output().expect("the binary was built");
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(254), "{told}");
    assert!(told.contains("mine.toml:4: ") && told.contains("takover") && told.contains("SCENARIOS.md"), "{told}");
}

#[test]
fn a_measurement_leaves_a_report() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = folder.path().join("out");
    if passes("memory --seed 1 --trials 1 --messages 2000", &out) {
        has_files(&out, &["report.html", "result.json", "summary.md", "measured-bytes.svg", "measured-rates.svg"]);
    }
}
