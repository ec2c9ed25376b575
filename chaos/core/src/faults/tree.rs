//! Signals to all processes of a node that is not ours: an Erlang machine, a JVM behind its script, a daemon.
//!
//! A node is every process that carries its mark in its environment, every descendant of one, and what else the target names. Neither a process
//! group nor a session would do: the helper processes of an Erlang machine make their own, and a daemon leaves its parent.
//! The proof is that of [`super::process`], for every thread of all of them, and that a second look finds no further one.

use super::Effect;
use super::process::{EFFECT_LIMIT, TaskStat, task_stats};
use crate::clock;
use crate::error::{Doing, Result};
use nix::errno::Errno;
use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Name of the mark in the environment.
pub const MARK_NAME: &str = "CHAOS_NODE";
/// Pause between two looks at a node that has not obeyed yet.
const LOOK_AGAIN: Duration = Duration::from_micros(200);

/// What the processes of one node have in common.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark(String);

impl Mark {
    /// A mark with this value, which no other node of this machine may have.
    pub fn new(value: String) -> Self {
        Self(value)
    }

    /// Its value in the environment.
    pub fn value(&self) -> &str {
        &self.0
    }

    /// The processes that carry it, their descendants, and `more` with theirs. One that has ended and waits to be reaped is none.
    pub fn processes(&self, more: &[Pid]) -> Vec<Pid> {
        let entry = format!("{MARK_NAME}={}", self.0);
        let all = all_processes();
        let mut found: BTreeSet<i32> = all.keys().copied().filter(|&pid| has_in_environment(pid, &entry)).collect();
        found.extend(more.iter().map(|pid| pid.as_raw()).filter(|pid| all.contains_key(pid)));
        loop {
            let children = all.iter().filter(|(pid, parent)| found.contains(parent) && !found.contains(pid));
            let children: Vec<i32> = children.map(|(&pid, _)| pid).collect();
            if children.is_empty() {
                break;
            }
            found.extend(children);
        }
        found.into_iter().map(Pid::from_raw).collect()
    }
}

/// Kills them all and waits until no thread of any can run again.
pub fn kill(mark: &Mark, more: &[Pid]) -> Result<Option<Effect>> {
    apply(mark, more, Signal::SIGKILL, TaskStat::is_exiting, "every thread exiting")
}

/// Stops them all and waits until every thread has stopped.
pub fn stop(mark: &Mark, more: &[Pid]) -> Result<Option<Effect>> {
    apply(mark, more, Signal::SIGSTOP, |stat| stat.is_stopped() || stat.is_exiting(), "every thread in state T")
}

/// Lets them run on and waits until no thread is stopped.
pub fn resume(mark: &Mark, more: &[Pid]) -> Result<Option<Effect>> {
    apply(mark, more, Signal::SIGCONT, |stat| !stat.is_stopped(), "no thread in state T")
}

/// `None`: there is no process, or the effect was not seen in time.
fn apply(
    mark: &Mark,
    more: &[Pid],
    signal: Signal,
    bitten: fn(TaskStat) -> bool,
    words: &str,
) -> Result<Option<Effect>> {
    let mut members = mark.processes(more);
    let requested_ns = clock::now_ns();
    send(signal, &members)?;
    let mut threads = 0;
    while !members.is_empty() && clock::now_ns() - requested_ns < EFFECT_LIMIT.as_nanos() as u64 {
        let mut stats = Vec::new();
        for &pid in &members {
            stats.extend(task_stats(pid)?);
        }
        let effective_ns = clock::now_ns();
        threads = threads.max(stats.len());
        if !stats.into_iter().all(bitten) {
            std::thread::sleep(LOOK_AGAIN);
            continue;
        }
        let late: Vec<Pid> = mark.processes(more).into_iter().filter(|pid| !members.contains(pid)).collect();
        if late.is_empty() {
            let list = members.iter().map(Pid::to_string).collect::<Vec<_>>().join(", ");
            let proof =
                format!("{signal} to {} processes ({list}): {words} ({threads} of them) in /proc", members.len());
            return Ok(Some(Effect { requested_ns, effective_ns, proof }));
        }
        send(signal, &late)?;
        members.extend(late);
    }
    Ok(None)
}

/// One that has ended meanwhile needs no signal.
fn send(signal: Signal, members: &[Pid]) -> Result<()> {
    for &pid in members {
        match signal::kill(pid, signal) {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(errno) => return Err(errno).doing("send a signal to a process of a node"),
        }
    }
    Ok(())
}

/// Every process that has not ended, with its parent.
fn all_processes() -> BTreeMap<i32, i32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    // A process may end between the two readings; then it is none.
    numbers
        .filter_map(|pid| Some((pid, parent(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?)))
        .collect()
}

/// Fields 3 and 4 of proc_pid_stat(5): the state and the parent.
fn parent(stat: &str) -> Option<i32> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X") { None } else { fields.next()?.parse().ok() }
}

/// Processes of other users cannot be looked into, and are none of ours unless a descendant.
fn has_in_environment(pid: i32, entry: &str) -> bool {
    let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    environment.split(|&byte| byte == 0).any(|one| one == entry.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::CommandExt;
    use std::process::{Child, Command};
    use std::time::Instant;

    /// A shell with a child, and a daemon in a session of its own that has left them.
    fn family(name: &str) -> (Mark, Child) {
        let mark = Mark::new(format!("{name}-{}", std::process::id()));
        let script = "setsid sh -c 'sleep 60 & exec sleep 60' & (setsid sleep 60 &) ; env -i sleep 60; true";
        let child = Command::new("sh").args(["-c", script]).env(MARK_NAME, mark.value()).process_group(0).spawn();
        let child = child.expect("sh(1) exists");
        let deadline = Instant::now() + Duration::from_secs(10);
        while mark.processes(&[]).len() < 5 {
            assert!(Instant::now() < deadline, "{:?}", mark.processes(&[]));
            std::thread::sleep(Duration::from_millis(5));
        }
        (mark, child)
    }

    #[test]
    fn a_kill_reaches_children_daemons_and_those_that_forgot_their_environment() {
        let (mark, mut child) = family("kill");
        let members = mark.processes(&[]);
        let effect = kill(&mark, &[]).expect("they are ours").expect("SIGKILL has effect");
        assert!(
            effect.effective_ns >= effect.requested_ns && effect.proof.contains("SIGKILL to 5"),
            "{}",
            effect.proof
        );
        child.wait().expect("it is our child");
        assert!(members.iter().all(|&pid| task_stats(pid).expect("readable").into_iter().all(TaskStat::is_exiting)));
        assert_eq!(mark.processes(&[]), []);
        assert_eq!(kill(&mark, &[]).expect("nobody is there"), None);
    }

    #[test]
    fn stop_and_resume_are_seen_in_every_thread() {
        let (mark, mut child) = family("stop");
        stop(&mark, &[]).expect("they are ours").expect("SIGSTOP has effect");
        let states = || mark.processes(&[]).into_iter().flat_map(|pid| task_stats(pid).expect("readable"));
        assert!(states().count() >= 5 && states().all(TaskStat::is_stopped));
        resume(&mark, &[]).expect("they are ours").expect("SIGCONT has effect");
        assert!(!states().any(TaskStat::is_stopped));
        kill(&mark, &[]).expect("they are ours").expect("SIGKILL has effect");
        child.wait().expect("it is our child");
    }

    #[test]
    fn a_named_process_counts_without_a_mark() {
        let mut child = Command::new("sleep").arg("60").spawn().expect("sleep(1) exists");
        let pid = Pid::from_raw(child.id() as i32);
        let mark = Mark::new(format!("named-{}", std::process::id()));
        assert_eq!(mark.processes(&[pid]), [pid]);
        kill(&mark, &[pid]).expect("it is ours").expect("SIGKILL has effect");
        child.wait().expect("it is our child");
        assert_eq!(mark.processes(&[pid]), []);
    }

    #[test]
    fn a_process_that_waits_to_be_reaped_has_no_parent() {
        assert_eq!(parent("17 (a) b) S 3 17 17"), Some(3));
        assert_eq!(parent("17 (a) Z 3 17 17"), None);
        assert_eq!(parent("17 (a"), None);
    }
}
