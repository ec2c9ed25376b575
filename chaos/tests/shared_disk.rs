//! A real pair on a shared disk that misbehaves, small: a host that crashes, and runs that end badly. Skipped without root and /dev/fuse.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The machine does not allow the trial.
const EXIT_CODE_SKIPPED: i32 = 3;
const LIMIT: Duration = Duration::from_secs(60);

fn chaos(folder: &Path) -> Command {
    let temporary = folder.join("tmp");
    std::fs::create_dir_all(&temporary).expect("the folder is ours");
    let mut command = Command::new(env!("CARGO_BIN_EXE_chaos"));
    command.args([
        "run",
        "host-crash",
        "--trials",
        "1",
        "--store",
        "sync",
        "--seed",
        "1",
        "--replays",
        "5",
        "--rate",
        "500",
    ]);
    command.arg("--out").arg(folder.join("out")).env("TMPDIR", temporary).env("CI", "true");
    command
}

fn mounts_below(folder: &Path) -> usize {
    let mounted = std::fs::read_to_string("/proc/self/mountinfo").expect("every Linux has it");
    mounted.lines().filter(|line| line.contains(&*folder.to_string_lossy())).count()
}

fn await_that(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_crashed_host_costs_a_sync_store_nothing_and_the_disk_tells_what_it_did() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let output = chaos(folder.path()).output().expect("the binary was built");
    let (said, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.code() == Some(EXIT_CODE_SKIPPED) {
        eprintln!("skipped: {told}");
        return;
    }
    assert_eq!(output.status.code(), Some(0), "{said}\n{told}");
    let text = std::fs::read_to_string(folder.path().join("out/result.json")).expect("it was written");
    let result: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
    let trial = &result["trials"][0];
    assert_eq!((&trial["takeover"], &trial["messages"]["lost"]), (&true.into(), &0.into()), "{trial}");
    let evidence = trial["faults"][0]["evidence"].to_string();
    assert!(evidence.contains("did not arrive"), "{evidence}");
    // Nobody was told: no FIN and no RST left the dead host.
    assert!(evidence.contains(" 0 bytes passed") && evidence.contains("were swallowed"), "{evidence}");
    assert_eq!(mounts_below(folder.path()), 0);
}

/// Neither a kill of the harness nor an interrupt may leave a mount, or a process that waits for one.
#[test]
fn whichever_way_a_run_ends_nothing_stays_mounted() {
    for signal in [Signal::SIGKILL, Signal::SIGINT] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut harness =
            chaos(folder.path()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the binary was built");
        let mut ended = false;
        await_that("both hosts have mounted, or the machine does not allow it", || {
            ended = harness.try_wait().expect("it is our child").is_some();
            ended || mounts_below(folder.path()) == 2
        });
        if ended {
            eprintln!("skipped: no shared disk here");
            return;
        }
        kill(Pid::from_raw(harness.id().cast_signed()), signal).expect("it runs");
        await_that("the harness ends", || harness.try_wait().expect("it is our child").is_some());
        await_that("the mounts go", || mounts_below(folder.path()) == 0);
    }
}
