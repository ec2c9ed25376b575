//! Whichever way a run ends, its nodes end with it and its temporary folders go. The nodes are played by a script.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(20);

const KILL: [&str; 2] = ["--only", "kill-active"];

/// A run that has started both nodes, and then waits in vain for a server that takes its load.
struct Run {
    folder: tempfile::TempDir,
    harness: Child,
    nodes: Vec<Pid>,
}

impl Run {
    fn start(what: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let temporary = folder.path().join("tmp");
        fs::create_dir(&temporary).expect("the folder is ours");
        let harness = Command::new(env!("CARGO_BIN_EXE_chaos"))
            .arg("run")
            .args(what)
            .args(["--trials", "1", "--store", "sync", "--broker"])
            .arg(actor(folder.path()))
            .arg("--out")
            .arg(folder.path().join("out"))
            .env("TMPDIR", &temporary)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary was built");
        let mut run = Self { folder, harness, nodes: Vec::new() };
        await_that("both nodes run", || run.read_nodes().len() == 2);
        run.nodes = run.read_nodes();
        run
    }

    fn read_nodes(&self) -> Vec<Pid> {
        let text = fs::read_to_string(self.folder.path().join("pids")).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok().map(Pid::from_raw)).collect()
    }

    fn end_by(&mut self, signal: Signal) -> ExitStatus {
        kill(Pid::from_raw(self.harness.id() as i32), signal).expect("it runs");
        await_that("the harness ends", || self.harness.try_wait().expect("it is our child").is_some());
        self.harness.wait().expect("it is our child")
    }

    fn temporary_entries(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.folder.path().join("tmp")).expect("it was made");
        entries.map(|entry| entry.expect("readable").path()).collect()
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // It has ended in a test that passes.
        let _ = self.harness.kill();
        let _ = self.harness.wait();
    }
}

/// Tells its process id, plays a role, and lives.
fn actor(folder: &Path) -> PathBuf {
    let path = folder.join("actor");
    let pids = folder.join("pids");
    let script = format!(
        "#!/bin/sh\ncase $2 in */A/*) role=ACTIVE;; *) role=STANDBY;; esac\n\
         echo \"{{\\\"event\\\":\\\"ft_state\\\",\\\"t_ns\\\":1,\\\"to\\\":\\\"$role\\\"}}\"\necho $$ >> {}\nexec sleep 60\n",
        pids.display()
    );
    fs::write(&path, script).expect("the folder is ours");
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("the file is ours");
    path
}

fn await_that(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !condition() {
        assert!(Instant::now() < deadline, "{what}: not within {LIMIT:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Nobody else's process can have that id so soon; a zombie has ended.
fn has_ended(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_none_or(|(_, rest)| matches!(rest.trim_start().chars().next(), Some('Z' | 'X') | None))
}

#[test]
fn an_interrupted_run_leaves_no_process_and_no_folder() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let mut run = Run::start(&KILL);
        let status = run.end_by(signal);
        assert_eq!(status.code(), Some(255), "{signal}");
        assert!(run.nodes.iter().all(|&pid| has_ended(pid)), "{signal}");
        assert_eq!(run.temporary_entries(), Vec::<PathBuf>::new(), "{signal}");
    }
}

#[test]
fn an_interrupted_run_leaves_no_host_and_no_node_on_one() {
    if let Some(reason) = chaos_core::cluster::namespaces::unavailable() {
        eprintln!("skipped: {reason}");
        return;
    }
    let mut run = Run::start(&["host-cut"]);
    let own = format!("understudy-{}-", run.harness.id());
    let hosts = || {
        let entries = fs::read_dir("/run/netns").into_iter().flatten().flatten();
        entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(&own)).count()
    };
    assert_eq!(hosts(), 2);
    let network = |process: &str| fs::read_link(format!("/proc/{process}/ns/net")).expect("it runs");
    for node in &run.nodes {
        assert_ne!(network(&node.to_string()), network("self"));
    }
    assert_eq!(run.end_by(Signal::SIGINT).code(), Some(255));
    assert!(run.nodes.iter().all(|&pid| has_ended(pid)));
    assert_eq!(hosts(), 0);
}

#[test]
fn nodes_die_with_a_harness_that_is_killed() {
    let mut run = Run::start(&KILL);
    run.end_by(Signal::SIGKILL);
    let nodes = run.nodes.clone();
    await_that("the kernel ends the nodes", || nodes.iter().all(|&pid| has_ended(pid)));
}

/// Its process id was given to a harness that died before the node ran: whoever adopted the node is not that one.
#[test]
fn a_node_whose_harness_is_gone_does_not_begin() {
    let mut gone = Command::new("true").spawn().expect("true(1) exists");
    gone.wait().expect("it is our child");
    let output = Command::new(env!("CARGO_BIN_EXE_chaos"))
        .args(["node-program", "echo", "I run"])
        .env("CHAOS_HARNESS", gone.id().to_string())
        .output()
        .expect("the binary was built");
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty() && String::from_utf8_lossy(&output.stderr).contains("cannot tie the node"));
}
