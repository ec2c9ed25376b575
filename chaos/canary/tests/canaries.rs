//! Each defect is caught by the suite `ci`, by the checker that it was made for; the same broker without a defect passes.
//!
//! Each test plays real pairs for some seconds. One plays at a time: two would disturb each other's times.

use serde_json::Value;
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// The machine does not allow the trial: no io_uring in this kernel or container.
const EXIT_CODE_SKIPPED: i32 = 3;
const EXIT_CODE_PASS: i32 = 0;
const EXIT_CODE_VIOLATED: i32 = 1;

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// What the harness concluded.
struct Run {
    exit_code: i32,
    said: String,
    /// The findings of all trials that were not replaced.
    findings: Vec<String>,
    result: Value,
}

/// Plays `scenarios` of the suite `ci` as it is shipped, each once, with a load that a broker without optimizations can bear; `None` if
/// the machine does not allow it.
fn play(defect: &str, scenarios: &str, out: &Path) -> Option<Run> {
    let line = ["run", "ci", "--seed", "1", "--only", scenarios, "--store", "sync", "--trials", "1", "--rate", "1000"];
    harness(defect, &[&line[..], &["--shrink", "0"]].concat(), out)
}

/// The harness with these arguments.
fn harness(defect: &str, arguments: &[&str], out: &Path) -> Option<Run> {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let output = Command::new(env!("CARGO_BIN_EXE_broker-canary"))
        .arg("chaos")
        .args(arguments)
        // Other tests may keep the machine busy.
        .args(["--replays", "5", "--out"])
        .arg(out)
        .env("CANARY_DEFECT", defect)
        .env("CI", "true")
        .output()
        .expect("the binary was built");
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    let exit_code = output.status.code().unwrap_or_default();
    if exit_code == EXIT_CODE_SKIPPED {
        eprintln!("skipped: {said}");
        return None;
    }
    let text = std::fs::read_to_string(out.join("result.json")).unwrap_or_else(|error| panic!("{error}: {said}"));
    let result: Value = serde_json::from_str(&text).expect("it is JSON");
    let trials = result["trials"].as_array().into_iter().flatten();
    let findings = trials.flat_map(|trial| trial["findings"].as_array().into_iter().flatten());
    let findings = findings.filter_map(Value::as_str).map(str::to_owned).collect();
    Some(Run { exit_code, said, findings, result })
}

fn catches(defect: &str, scenario: &str, expected: &[&str]) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let Some(run) = play(defect, scenario, &folder.path().join("out")) else { return };
    assert_eq!(run.exit_code, EXIT_CODE_VIOLATED, "{}", run.said);
    for finding in expected {
        assert!(run.findings.iter().any(|found| found == finding), "no {finding} in {:?}: {}", run.findings, run.said);
    }
}

#[test]
fn the_control_passes() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let scenarios = "kill-active,kill-backlog,pause-active";
    let Some(run) = play("none", scenarios, &folder.path().join("out")) else { return };
    assert_eq!((run.exit_code, run.findings), (EXIT_CODE_PASS, vec![]), "{}", run.said);
}

#[test]
fn a_confirm_before_the_sync_is_caught_as_a_loss() {
    catches("confirm-before-sync", "kill-backlog", &["lost"]);
}

#[test]
fn a_skipped_ownership_check_is_caught_as_two_actives() {
    catches("skip-ownership-check", "pause-active", &["two-actives", "epochs-overlap"]);
}

#[test]
fn a_forgotten_acknowledgement_is_caught_as_a_resurrection() {
    catches("forget-acknowledgement", "kill-active", &["resurrected"]);
}

#[test]
fn an_unmarked_second_delivery_is_caught_as_that() {
    catches("deliver-twice", "kill-active", &["unflagged-redelivery"]);
}

#[test]
fn five_faults_are_reduced_to_the_one_that_matters_and_it_can_be_played_again() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = folder.path().join("out");
    let scenario = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/one-of-five.toml");
    let line = ["run", scenario, "--seed", "1", "--trials", "1", "--store", "sync", "--shrink", "12"];
    let Some(run) = harness("confirm-before-sync", &line, &out) else { return };
    let shrunk = &run.result["shrunk"];
    assert_eq!((&shrunk["faults_before"], &shrunk["faults_after"]), (&5.into(), &1.into()), "{}", run.said);
    assert!(run.said.contains("fails with 1 of its 5 faults"), "{}", run.said);
    let plan = out.join("shrunk-plan.json");
    let text = std::fs::read_to_string(&plan).expect("it was written");
    let kept: Value = serde_json::from_str(&text).expect("it is JSON");
    assert_eq!(kept["trials"][0]["faults"][0]["fault"]["do"], "kill", "{text}");

    let plan = plan.display().to_string();
    let line = ["replay", &plan, "--trial", "1"];
    let run = harness("confirm-before-sync", &line, &folder.path().join("again")).expect("it could be played before");
    assert!(run.exit_code == EXIT_CODE_VIOLATED && run.findings.contains(&"lost".to_owned()), "{}", run.said);
    // A sound broker passes the same plan.
    let run = harness("none", &line, &folder.path().join("sound")).expect("it could be played before");
    assert_eq!((run.exit_code, run.findings), (EXIT_CODE_PASS, vec![]), "{}", run.said);
}

#[test]
fn an_unknown_defect_is_refused() {
    let output = Command::new(env!("CARGO_BIN_EXE_broker-canary"))
        .args(["--defect", "sing", "--config", "none.conf"])
        .output()
        .expect("the binary was built");
    assert_eq!(output.status.code(), Some(254));
    assert!(String::from_utf8_lossy(&output.stderr).contains("confirm-before-sync"));
}
