//! Signals to a process, each with the proof that it took effect.
//!
//! The proof is read from /proc/PID/task/*/stat: a stopped thread says `T`, and a thread that will never run user code again has
//! the kernel's flag PF_EXITING, which is set long before a parent can reap it (the kernel first frees the memory and closes the files).

use crate::clock;
use crate::error::{AtPath, Doing, Result};
use crate::faults::Effect;
use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// linux/sched.h: the task is being shut down.
const PF_EXITING: u64 = 0x4;

/// A signal that is pending takes effect at the next return to user mode; a thread in an uninterruptible disk wait may need longer.
pub(in crate::faults) const EFFECT_LIMIT: Duration = Duration::from_secs(5);

/// What /proc says of one thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::faults) struct TaskStat {
    state: char,
    flags: u64,
}

impl TaskStat {
    pub(in crate::faults) fn is_exiting(self) -> bool {
        self.flags & PF_EXITING != 0 || matches!(self.state, 'Z' | 'X')
    }

    pub(in crate::faults) fn is_stopped(self) -> bool {
        self.state == 'T'
    }
}

/// Kills the process and waits until no thread of it can run again.
pub fn kill(pid: Pid) -> Result<Option<Effect>> {
    apply(pid, Signal::SIGKILL, |stats| stats.iter().all(|stat| stat.is_exiting()), "every thread exiting")
}

/// Stops the process and waits until every thread of it has stopped.
pub fn stop(pid: Pid) -> Result<Option<Effect>> {
    apply(pid, Signal::SIGSTOP, stands_still, "every thread in state T")
}

/// Threads that end are no longer those of a running server; if all of them do, it was not stopped: it has ended.
fn stands_still(stats: &[TaskStat]) -> bool {
    stats.iter().all(|stat| stat.is_stopped() || stat.is_exiting()) && stats.iter().any(|stat| stat.is_stopped())
}

/// Stops the process and waits until its main thread has stopped: others may wait for a disk that does not answer.
pub fn stop_main(pid: Pid) -> Result<Option<Effect>> {
    let requested_ns = clock::now_ns();
    signal::kill(pid, Signal::SIGSTOP).doing("send a signal to a node")?;
    let path = PathBuf::from(format!("/proc/{pid}/task/{pid}/stat"));
    loop {
        let text = std::fs::read_to_string(&path).at(&path)?;
        let effective_ns = clock::now_ns();
        if parse_stat(&text).is_some_and(TaskStat::is_stopped) {
            let proof = format!("SIGSTOP to {pid}: its main thread in state T");
            return Ok(Some(Effect { requested_ns, effective_ns, proof }));
        }
        if effective_ns - requested_ns > EFFECT_LIMIT.as_nanos() as u64 {
            return Ok(None);
        }
        std::thread::sleep(Duration::from_micros(20));
    }
}

/// Lets a stopped process run on and waits until no thread is stopped.
pub fn resume(pid: Pid) -> Result<Option<Effect>> {
    apply(pid, Signal::SIGCONT, |stats| !stats.iter().any(|stat| stat.is_stopped()), "no thread in state T")
}

/// Asks the process to end and waits until it has taken note: the signal is no longer pending, or the process is on its way out.
pub fn terminate(pid: Pid) -> Result<Option<Effect>> {
    let requested_ns = clock::now_ns();
    signal::kill(pid, Signal::SIGTERM).doing("send a signal to a node")?;
    loop {
        let is_pending = is_pending(pid, Signal::SIGTERM)?;
        let effective_ns = clock::now_ns();
        if !is_pending {
            let proof = format!("SIGTERM to {pid}: no longer pending in /proc/{pid}/status");
            return Ok(Some(Effect { requested_ns, effective_ns, proof }));
        }
        if effective_ns - requested_ns > EFFECT_LIMIT.as_nanos() as u64 {
            return Ok(None);
        }
        std::thread::sleep(Duration::from_micros(20));
    }
}

/// Signals to a process wait in the mask `ShdPnd`, in hexadecimal; the lowest bit is signal 1 (proc_pid_status(5)).
fn is_pending(pid: Pid, signal: Signal) -> Result<bool> {
    let path = PathBuf::from(format!("/proc/{pid}/status"));
    let text = match std::fs::read_to_string(&path) {
        Err(error) if is_gone(&error) => return Ok(false),
        other => other.at(&path)?,
    };
    let mask = text.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("ShdPnd:")?.trim(), 16).ok());
    Ok(mask.is_some_and(|mask| mask >> (signal as i32 - 1) & 1 == 1))
}

/// Sends `signal` and polls until the threads satisfy `bitten`. `None`: the signal was sent, but its effect was not seen in time.
fn apply(pid: Pid, signal: Signal, bitten: fn(&[TaskStat]) -> bool, words: &str) -> Result<Option<Effect>> {
    let requested_ns = clock::now_ns();
    signal::kill(pid, signal).doing("send a signal to a node")?;
    loop {
        let stats = task_stats(pid)?;
        let effective_ns = clock::now_ns();
        if bitten(&stats) {
            let proof = format!("{signal} to {pid}: {words} ({} of them) in /proc/{pid}/task", stats.len());
            return Ok(Some(Effect { requested_ns, effective_ns, proof }));
        }
        if effective_ns - requested_ns > EFFECT_LIMIT.as_nanos() as u64 {
            return Ok(None);
        }
        std::thread::sleep(Duration::from_micros(20));
    }
}

/// One entry for each thread; none when the process is gone. The caller has not reaped the process, so its id is its own.
pub(in crate::faults) fn task_stats(pid: Pid) -> Result<Vec<TaskStat>> {
    let folder = PathBuf::from(format!("/proc/{pid}/task"));
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if is_gone(&error) => return Ok(Vec::new()),
        Err(error) => return Err(error).at(&folder),
    };
    let mut stats = Vec::new();
    for entry in entries {
        match entry.and_then(|entry| std::fs::read_to_string(entry.path().join("stat"))) {
            Ok(line) => stats.push(parse_stat(&line).ok_or_else(|| io::ErrorKind::InvalidData.into()).at(&folder)?),
            Err(error) if is_gone(&error) => {}
            Err(error) => return Err(error).at(&folder),
        }
    }
    Ok(stats)
}

/// A thread that ends between the listing and the reading: ENOENT, or ESRCH from the read.
fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH)
}

/// The state is field 3 and the flags are field 9 (proc_pid_stat(5)); field 2 is the name in parentheses and may hold anything.
fn parse_stat(line: &str) -> Option<TaskStat> {
    let (_, rest) = line.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    let flags = fields.nth(5)?.parse().ok()?;
    Some(TaskStat { state, flags })
}

/// Processor time that a process has used so far, in seconds; 0 when it is gone.
pub fn processor_time_s(pid: Pid) -> f64 {
    let line = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).unwrap_or_default();
    let Some((_, rest)) = line.rsplit_once(')') else { return 0.0 };
    let ticks: u64 = rest.split_ascii_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    // USER_HZ is 100 on every architecture that io_uring runs on.
    ticks as f64 / 100.0
}

/// Bytes that a process has had read from the disk so far, as the kernel counts them; `None` when it is gone.
pub fn read_bytes(pid: Pid) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/io")).ok()?;
    text.lines().find_map(|line| line.strip_prefix("read_bytes: ")?.parse().ok())
}

/// The most memory that a process has had resident so far, in bytes; `None` when it is gone.
pub fn peak_memory_bytes(pid: Pid) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let kib: u64 =
        text.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim_end_matches("kB").trim().parse().ok())?;
    Some(kib << 10)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Child, Command};

    fn sleeper() -> (Child, Pid) {
        let child = Command::new("sleep").arg("60").spawn().expect("sleep(1) exists");
        let pid = Pid::from_raw(child.id() as i32);
        (child, pid)
    }

    #[test]
    fn a_name_with_parentheses_does_not_confuse_the_parser() {
        let line = "17 (a) b (c) T 1 17 17 0 -1 4194308 100 0 0";
        assert_eq!(parse_stat(line), Some(TaskStat { state: 'T', flags: 4_194_308 }));
        assert!(parse_stat(line).expect("parsed above").is_stopped());
        assert!(parse_stat(line).expect("parsed above").is_exiting());
        assert_eq!(parse_stat("17 (sleep"), None);
    }

    #[test]
    fn a_process_that_ends_was_not_stopped() {
        let (stopped, running) = (TaskStat { state: 'T', flags: 0 }, TaskStat { state: 'R', flags: 0 });
        let exiting = TaskStat { state: 'R', flags: PF_EXITING };
        assert!(stands_still(&[stopped, exiting]));
        assert!(!stands_still(&[stopped, running]));
        assert!(!stands_still(&[exiting, exiting]) && !stands_still(&[]));
    }

    #[test]
    fn kill_is_proved_before_the_child_is_reaped() {
        let (mut child, pid) = sleeper();
        let effect = kill(pid).expect("the child exists").expect("SIGKILL has effect");
        assert!(effect.effective_ns >= effect.requested_ns);
        assert!(effect.proof.contains("SIGKILL"), "{}", effect.proof);
        let status = child.wait().expect("it is our child");
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(libc::SIGKILL));
    }

    #[test]
    fn stop_and_resume_are_seen_in_proc() {
        let (mut child, pid) = sleeper();
        stop(pid).expect("the child exists").expect("SIGSTOP has effect");
        assert!(task_stats(pid).expect("readable").iter().all(|stat| stat.is_stopped()));
        resume(pid).expect("the child exists").expect("SIGCONT has effect");
        assert!(!task_stats(pid).expect("readable").iter().any(|stat| stat.is_stopped()));
        kill(pid).expect("the child exists").expect("SIGKILL has effect");
        child.wait().expect("it is our child");
    }

    #[test]
    fn a_stopped_process_keeps_the_request_to_end_pending() {
        let (mut child, pid) = sleeper();
        stop(pid).expect("the child exists").expect("SIGSTOP has effect");
        signal::kill(pid, Signal::SIGTERM).expect("the child exists");
        assert!(is_pending(pid, Signal::SIGTERM).expect("readable"));
        assert!(!is_pending(pid, Signal::SIGUSR1).expect("readable"));
        signal::kill(pid, Signal::SIGCONT).expect("the child exists");
        terminate(pid).expect("the child exists").expect("SIGTERM has effect");
        let status = child.wait().expect("it is our child");
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(libc::SIGTERM));
    }

    #[test]
    fn the_kernel_counts_what_a_process_reads_and_needs() {
        assert!(peak_memory_bytes(Pid::this()).is_some_and(|bytes| bytes > 1 << 20));
        assert_eq!(peak_memory_bytes(Pid::from_raw(i32::MAX)), None);
        assert!(read_bytes(Pid::this()).is_some());
        assert_eq!(read_bytes(Pid::from_raw(i32::MAX)), None);
    }

    #[test]
    fn a_signal_to_nobody_is_an_error() {
        let (mut child, pid) = sleeper();
        child.kill().expect("it runs");
        child.wait().expect("it is our child");
        assert!(kill(pid).is_err());
    }
}
