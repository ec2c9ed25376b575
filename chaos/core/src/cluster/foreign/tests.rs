//! Targets that are played by shells, with role commands in place of an AMQP listener.

use super::*;
use std::os::unix::fs::PermissionsExt;

/// A harness that becomes the program it is told to, as the real one does.
fn launcher(folder: &Path) -> Launcher {
    let path = folder.join("harness");
    std::fs::write(&path, "#!/bin/sh\nshift\nexec \"$@\"\n").expect("the folder is ours");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("the file is ours");
    Launcher::new(path, None)
}

const HEAD: &str = "name = 'played'\nexplanation = 'a play'\n[queues.sync]\naddress = 'q'\nwords = 'w'\n";

async fn started(folder: &Path, top: &str, nodes: &[&str]) -> Result<Foreign> {
    let path = folder.join("target.toml");
    let nodes: String = nodes.iter().map(|node| format!("[[node]]\nurl = 'amqp://127.0.0.1:1'\n{node}\n")).collect();
    std::fs::write(&path, format!("{top}\n{HEAD}{nodes}")).expect("the folder is ours");
    let target = Arc::new(crate::targets::read(&path).expect("it is well-formed"));
    let work = TemporaryFolder::new(folder, "target-", false)?;
    Foreign::start(&launcher(folder), target, StoreSetting::Sync, work).await
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

const SOON: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_lone_node_is_started_again_by_its_supervisor_and_takes_over_from_itself() {
    let folder = folder();
    // Its helper leaves the session, as those of an Erlang machine do.
    let node = "start = 'setsid sleep 60 & exec sleep 60'\nrole = 'echo active'";
    let mut foreign = started(folder.path(), "restart_after = '50ms'", &[node]).await.expect("it is played");
    assert_eq!((foreign.active(), foreign.successor(NodeId::A)), (Some(NodeId::A), NodeId::A));
    let before = foreign.processes(NodeId::A);
    let effect = foreign.kill(NodeId::A).await.expect("it runs").expect("SIGKILL has effect");
    assert!(effect.proof.contains("SIGKILL to 2 processes"), "{}", effect.proof);
    assert!(!foreign.is_running(NodeId::A));
    foreign.await_takeover(NodeId::A, 1, SOON).await.expect("the supervisor starts it");
    assert_eq!(foreign.starts(NodeId::A), 2);
    let after = foreign.processes(NodeId::A);
    assert!(!after.is_empty() && after.iter().all(|pid| !before.contains(pid)));
    let path = foreign.folder().to_owned();
    drop(foreign);
    assert!(!path.exists());
    assert!(after.iter().all(|pid| !Path::new(&format!("/proc/{pid}")).exists() || is_zombie(*pid)));
}

/// A helper that lost its parent is reaped by whoever adopts it.
fn is_zombie(pid: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_none_or(|(_, rest)| rest.trim_start().starts_with(['Z', 'X']))
}

/// The role of a node that serves while it has the lock of the store, as a shared-store pair does.
const SHARES_A_STORE: &str =
    "start = 'exec flock ${dir}/store.lock sh -c \"echo ${node} > ${dir}/owner; exec sleep 60\"'
role = 'grep -qx ${node} ${dir}/owner && echo active || echo standby'";

#[tokio::test]
async fn the_second_node_of_a_shared_store_takes_over_and_the_first_comes_back_behind_it() {
    let folder = folder();
    let mut foreign = started(folder.path(), "", &[SHARES_A_STORE, SHARES_A_STORE]).await.expect("both are played");
    let victim = foreign.active().expect("one has the lock");
    foreign.kill(victim).await.expect("it runs").expect("SIGKILL has effect");
    foreign.await_takeover(victim, 1, SOON).await.expect("the other gets the lock");
    assert_eq!(foreign.active(), Some(victim.peer()));
    foreign.start_again(victim).await.expect("it starts");
    foreign.await_roles(SOON).await.expect("both run");
    assert_eq!((foreign.active(), foreign.starts(victim)), (Some(victim.peer()), 2));
    foreign.start_again(victim).await.expect("it runs already");
    assert_eq!(foreign.starts(victim), 2);
}

/// A node on another machine, as far as the harness can tell: its start command returns, and everything else is a command.
const FAR_AWAY: &str =
    "start = 'env -u CHAOS_NODE setsid sh -c \"echo \\$\\$ > ${dir}/pid; exec sleep 60\" > ${dir}/out 2>&1 &'
start_returns = true
stop = 'kill -TERM $(cat ${dir}/pid) 2> ${dir}/gone || true'
role = 'kill -0 $(cat ${dir}/pid) && echo active'
kill = 'kill -KILL $(cat ${dir}/pid)'
kill_proof = '! kill -0 $(cat ${dir}/pid)'
pause = 'kill -STOP $(cat ${dir}/pid)'
pause_proof = 'grep -q \"^State:.T\" /proc/$(cat ${dir}/pid)/status'
resume = 'kill -CONT $(cat ${dir}/pid)'
resume_proof = 'grep -q \"^State:.S\" /proc/$(cat ${dir}/pid)/status'";

#[tokio::test]
async fn commands_hurt_and_prove_where_no_process_can_be_seen() {
    let folder = folder();
    let mut foreign = started(folder.path(), "restart_after = '1ms'", &[FAR_AWAY]).await.expect("it is played");
    assert_eq!(foreign.processes(NodeId::A), []);
    for effect in [foreign.pause(NodeId::A).await, foreign.resume(NodeId::A).await] {
        let effect = effect.expect("the command works").expect("the proof comes");
        assert!(effect.proof.contains("exited with 0"), "{}", effect.proof);
    }
    foreign.kill(NodeId::A).await.expect("the command works").expect("the proof comes");
    foreign.await_takeover(NodeId::A, 1, SOON).await.expect("the supervisor knows that it is down");
    let pid = std::fs::read_to_string(foreign.folder().join("pid")).expect("it was written");
    drop(foreign);
    let pid = Pid::from_raw(pid.trim().parse().expect("it is a number"));
    let deadline = std::time::Instant::now() + SOON;
    while !is_zombie(pid) {
        assert!(std::time::Instant::now() < deadline, "{pid} was not stopped");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[tokio::test]
async fn a_node_that_hides_asks_for_its_process_ids() {
    let folder = folder();
    let hidden = "start = 'exec env -u CHAOS_NODE sh -c \"touch ${dir}/up; exec sleep 60\"'\nrole = 'test -e ${dir}/up && echo active'";
    let foreign = started(folder.path(), "restart_after = '1s'", &[hidden]).await.expect("it is played");
    let error = foreign.kill(NodeId::A).await.expect_err("nobody carries the mark").to_string();
    assert!(error.contains("pids") && error.contains("CHAOS_NODE"), "{error}");
}

#[tokio::test]
async fn a_node_that_cannot_start_and_a_missing_program_are_named() {
    let folder = folder();
    let broken = "start = 'echo no such option >&2; exit 1'";
    let error = started(folder.path(), "", &[broken, broken]).await.expect_err("it ended");
    assert!(matches!(error, Error::NodeEnded { .. }) && error.to_string().contains("no such option"), "{error}");
    let top = "requires = ['no-such-program']\nremedy = 'install it'\nrestart_after = '1s'";
    let error = started(folder.path(), top, &["start = 'true'"]).await.expect_err("it is missing");
    assert!(error.is_environment(), "{error}");
    assert!(error.to_string().contains("no-such-program is missing; install it"), "{error}");
}

#[tokio::test]
async fn a_store_is_cleaned_before_and_queues_are_prepared_after_the_start() {
    let folder = folder();
    let top = "restart_after = '1s'\nclean = 'echo clean >> ${dir}/order'\nprepare = 'echo prepare >> ${dir}/order'";
    let node = "start = 'echo start >> ${dir}/order; exec sleep 60'\nrole = 'grep -q start ${dir}/order && echo active'\nlogs = ['${dir}/order']";
    let foreign = started(folder.path(), top, &[node]).await.expect("it is played");
    let kept = folder.path().join("kept");
    foreign.copy_logs(&kept).expect("the folder is ours");
    let order = std::fs::read_to_string(kept.join("A/order")).expect("it was copied");
    let lines: Vec<&str> = order.lines().collect();
    assert!(lines.first() == Some(&"clean") && lines.len() == 3, "{lines:?}");
    assert!(kept.join("A/output-1.log").exists());
}
