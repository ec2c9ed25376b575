//! Brokers that are not ours, as far as the harness can tell: our own pair driven by commands only, and shells that leave helpers behind.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const CHAOS: &str = env!("CARGO_BIN_EXE_chaos");
/// The machine does not allow the trial: no io_uring in this kernel or container.
const EXIT_CODE_SKIPPED: i32 = 3;

/// The shipped file of a shared-store pair, two start commands, one store, no role command; with the broker that is linked into `chaos`.
fn shared_store_pair(folder: &Path) -> std::path::PathBuf {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("targets/understudy.toml");
    let text = fs::read_to_string(shipped).expect("it is shipped");
    let text = text
        .replace("\"${target}/../../target/release/broker\"", &format!("\"{CHAOS}\", \"node\""))
        .replace("../../target/release/broker", CHAOS);
    let path = folder.join("pair.toml");
    fs::write(&path, text).expect("the folder is ours");
    path
}

#[test]
fn a_shared_store_pair_fails_over_by_commands_alone() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = folder.path().join("out");
    let output = Command::new(CHAOS)
        .args(
            "run quick --seed 1 --trials 1 --only kill-active,delay-heartbeats --store sync --rate 500 --replays 5"
                .split(' '),
        )
        .arg("--target")
        .arg(shared_store_pair(folder.path()))
        .arg("--out")
        .arg(&out)
        .env("CI", "true")
        .output()
        .expect("the binary was built");
    let told = format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    // The scenario on the link makes no sense for it and is skipped; where io_uring is refused, both are.
    assert!([Some(0), Some(EXIT_CODE_SKIPPED)].contains(&output.status.code()), "{told}");
    let text = fs::read_to_string(out.join("result.json")).expect("it was written");
    let result: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
    let [killed, delayed] = ["kill-active", "delay-heartbeats"].map(|name| {
        let trials = result["trials"].as_array().expect("it is a list");
        trials.iter().find(|trial| trial["scenario"] == name).expect("it was planned").clone()
    });
    assert_eq!(delayed["verdict"], "skipped");
    assert!(delayed["reasons"][0].as_str().is_some_and(|reason| reason.contains("makes no sense")), "{delayed}");
    if killed["reasons"].to_string().contains("io_uring") {
        eprintln!("skipped: {}", killed["reasons"]);
        return;
    }
    assert_eq!(killed["verdict"], "pass", "{}", killed["reasons"]);
    assert_eq!(killed["takeover"], true);
    assert!(killed["times_ms"]["failover"].as_f64().is_some_and(|ms| ms > 0.0), "{killed}");
    for hidden in ["detection", "claim", "store_recovery", "reattach"] {
        assert!(killed["times_ms"][hidden].is_null(), "{hidden}");
        assert!(result["target"]["not_observable"].to_string().contains(hidden), "{hidden}");
    }
    assert!(killed["faults"][0]["effect"]["proof"].as_str().is_some_and(|proof| proof.contains("SIGKILL")), "{killed}");
}

/// A node that never serves, with a helper in a session of its own and a daemon.
const LEAVES_HELPERS: &str = r#"name = "helpers"
explanation = "a node with helpers"
restart_after = "10s"
[queues.sync]
address = "q"
words = "none"
[[node]]
url = "amqp://127.0.0.1:1"
start = "setsid sleep 60 & echo $! >> PIDS; (setsid sh -c 'echo $$ >> PIDS; exec sleep 60' &); echo $$ >> PIDS; exec sleep 60"
"#;

#[test]
fn an_interrupted_run_ends_every_process_of_a_foreign_node() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (pids, temporary) = (folder.path().join("pids"), folder.path().join("tmp"));
        fs::create_dir(&temporary).expect("the folder is ours");
        let target = folder.path().join("target.toml");
        fs::write(&target, LEAVES_HELPERS.replace("PIDS", &pids.display().to_string())).expect("the folder is ours");
        let mut harness = Command::new(CHAOS)
            .args(["run", "quick", "--trials", "1", "--only", "kill-active", "--store", "sync", "--target"])
            .arg(&target)
            .arg("--out")
            .arg(folder.path().join("out"))
            .env("TMPDIR", &temporary)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary was built");
        let read = || fs::read_to_string(&pids).unwrap_or_default();
        await_that("three processes run", || read().lines().count() == 3);
        kill(Pid::from_raw(harness.id() as i32), signal).expect("it runs");
        await_that("the harness ends", || harness.try_wait().expect("it is our child").is_some());
        let all: Vec<i32> = read().lines().filter_map(|line| line.parse().ok()).collect();
        assert_eq!(all.len(), 3, "{all:?}");
        assert!(all.iter().all(|&pid| has_ended(pid)), "{signal}: {all:?}");
        assert_eq!(fs::read_dir(&temporary).expect("it was made").count(), 0, "{signal}");
    }
}

#[test]
fn a_mistake_in_the_file_is_a_usage_error_with_its_line() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let target = folder.path().join("target.toml");
    fs::write(&target, LEAVES_HELPERS.replace("words = ", "wrods = ")).expect("the folder is ours");
    let output = Command::new(CHAOS).args(["run", "quick", "--target"]).arg(&target).output().expect("it was built");
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(254), "{told}");
    assert!(told.contains("target.toml:6: ") && told.contains("wrods") && told.contains("docs/TARGETS.md"), "{told}");
}

fn await_that(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "{what}: not within 20 s");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A zombie has ended; nobody else's process can have that id so soon.
fn has_ended(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_none_or(|(_, rest)| matches!(rest.trim_start().chars().next(), Some('Z' | 'X') | None))
}
