//! Faults of the network, end to end and small: a partition by proxies, clients in need, and hosts cut off by the packet filter.

use std::path::Path;
use std::process::{Command, Stdio};

/// The machine does not allow the trial: no io_uring, or no network namespaces.
const EXIT_CODE_SKIPPED: i32 = 3;

/// Runs one trial of a scenario and returns its record; none if the machine does not allow it. Anything but a pass fails the test.
fn trial(scenario: &str, out: &Path) -> Option<serde_json::Value> {
    let harness = Command::new(env!("CARGO_BIN_EXE_chaos"))
        .args(["run", scenario, "--trials", "1", "--store", "sync", "--rate", "500", "--seed", "3", "--replays", "5"])
        .arg("--out")
        .arg(out)
        .env("CI", "true")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary was built");
    let own = format!("understudy-{}-", harness.id());
    let output = harness.wait_with_output().expect("it is our child");
    let left = std::fs::read_dir("/run/netns").into_iter().flatten().flatten();
    let left: Vec<String> = left.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    assert!(!left.iter().any(|name| name.starts_with(&own)), "{left:?}");
    let (said, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.code() == Some(EXIT_CODE_SKIPPED) {
        eprintln!("skipped: {said}\n{told}");
        return None;
    }
    assert_eq!(output.status.code(), Some(0), "{scenario}: {said}\n{told}");
    let text = std::fs::read_to_string(out.join("result.json")).expect("it was written");
    let result: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
    Some(result["trials"][0].clone())
}

fn evidence(trial: &serde_json::Value) -> String {
    trial["faults"][0]["evidence"].to_string()
}

/// The trials measure: two at a time would disturb each other, so they are one test.
#[test]
fn a_network_that_is_cut_takes_nothing_over_and_says_what_it_stopped() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    if let Some(trial) = self::trial("partition", &folder.path().join("partition")) {
        assert_eq!(trial["takeover"], false);
        assert!(evidence(&trial).contains(" 0 bytes passed, "), "{trial}");
    }
    if let Some(trial) = self::trial("half-open-clients", &folder.path().join("half-open")) {
        assert!(evidence(&trial).contains(" were swallowed, "), "{trial}");
    }
    if let Some(trial) = self::trial("host-cut", &folder.path().join("host-cut")) {
        assert!(evidence(&trial).contains("the packet filter stopped "), "{trial}");
        assert_eq!(trial["takeover"], false);
    }
}
